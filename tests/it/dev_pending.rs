//! What comes next on a dev chain, over HTTP: the state after the pending block, what its base fee
//! is, what it will never have, and when it comes.

use crate::{
    dev_methods::{Dev, FIRST, STRANGER, TO, in_each_mode},
    rules_support::quantity,
};
use fugue_types::{B256, Bytes, U256, keccak256};
use serde_json::{Value, json};

/// Code that stores the word it is called with in slot 0, and without one returns what is there:
/// CALLDATASIZE, PUSH1 12, JUMPI, PUSH0, SLOAD, PUSH0, MSTORE, PUSH1 32, PUSH0, RETURN, JUMPDEST,
/// PUSH0, CALLDATALOAD, PUSH0, SSTORE, STOP.
const STORES: &str = "0x36600c575f545f5260205ff35b5f355f5500";
/// Code that returns one byte of zero, and so creates the contract `0x00`: PUSH1 1, PUSH0, RETURN.
const CREATES: &str = "0x60015ff3";

fn word(number: u64) -> Value {
    json!(B256::from(U256::from(number)))
}

fn number(value: &Value) -> U256 {
    serde_json::from_value(value.clone()).unwrap_or_else(|_| panic!("{value} is no number"))
}

/// What is read of the state at a tag.
fn read(dev: &Dev, tag: &str) -> [Value; 5] {
    [
        dev.ok("eth_call", &json!([{ "to": STRANGER }, tag])),
        dev.ok("eth_getStorageAt", &json!([STRANGER, "0x0", tag])),
        dev.ok("eth_getBalance", &json!([TO, tag])),
        dev.ok("eth_getCode", &json!([FIRST.create(2), tag])),
        dev.ok("eth_getTransactionCount", &json!([FIRST, tag])),
    ]
}

/// A chain whose pool has three transactions of the first account: it stores 8, pays 5 wei, and
/// creates a contract. The next block has the same time whenever it is asked for.
fn with_pending(dev: &Dev) {
    dev.ok("anvil_setCode", &json!([STRANGER, STORES]));
    dev.ok("evm_setAutomine", &json!([false]));
    dev.ok("evm_setNextBlockTimestamp", &json!([dev.head("timestamp") + 1_000]));
    for tx in [
        json!({ "from": FIRST, "to": STRANGER, "data": word(8) }),
        json!({ "from": FIRST, "to": TO, "value": "0x5" }),
        json!({ "from": FIRST, "data": CREATES }),
    ] {
        dev.send(&tx);
    }
}

#[test]
fn the_state_at_pending_is_that_after_the_transactions_of_the_pool() {
    in_each_mode(|dev| {
        let empty = [word(0), word(0), json!("0x0"), json!("0x"), json!("0x0")];
        with_pending(dev);
        let pending = [word(8), word(8), json!("0x5"), json!("0x00"), json!("0x3")];
        assert_eq!([read(dev, "latest"), read(dev, "pending")], [empty.clone(), pending.clone()]);
        // Nothing became of it, and it is what the block is.
        assert_eq!((dev.number(), read(dev, "latest")), (1, empty));
        dev.ok("evm_mine", &json!([]));
        assert_eq!([read(dev, "latest"), read(dev, "pending")], [pending.clone(), pending]);
    });
}

#[test]
fn messages_at_pending_find_what_the_pool_will_have_done() {
    in_each_mode(|dev| {
        with_pending(dev);
        let store = json!({ "from": FIRST, "to": STRANGER, "data": word(8) });
        // It changes nothing any more.
        let estimate = |params: &Value| number(&dev.ok("eth_estimateGas", params));
        let next = estimate(&json!([store]));
        assert_eq!(estimate(&json!([store, "pending"])), next);
        assert!(next + U256::from(15_000) < estimate(&json!([store, "latest"])), "{next}");
        let gas_used =
            |tag: &str| number(&dev.ok("eth_createAccessList", &json!([store, tag]))["gasUsed"]);
        assert!(gas_used("pending") + U256::from(15_000) < gas_used("latest"));
        // Before the block, and after it.
        let call = json!([{ "transactions": [{ "to": STRANGER }] }]);
        for (index, expected) in [(0, word(0)), (1, word(8)), (3, word(8)), (-1, word(8))] {
            let start = json!({ "blockNumber": "pending", "transactionIndex": index });
            let answer = dev.ok("eth_callMany", &json!([call, start]));
            assert_eq!(answer, json!([[{ "value": expected }]]), "{index}");
        }
        let simulated = json!({ "blockStateCalls": [{ "calls": [{ "to": STRANGER }] }] });
        let simulated = dev.ok("eth_simulateV1", &json!([simulated, "pending"]));
        assert_eq!(simulated[0]["number"], "0x3");
        assert_eq!(simulated[0]["calls"][0]["returnData"], word(8));
    });
}

#[test]
fn a_proof_at_pending_is_by_the_root_of_the_pending_block() {
    in_each_mode(|dev| {
        with_pending(dev);
        let block = dev.ok("eth_getBlockByNumber", &json!(["pending", false]));
        let proof = dev.ok("eth_getProof", &json!([STRANGER, ["0x0"], "pending"]));
        assert_eq!(proof["storageProof"][0]["value"], "0x8");
        let root: Bytes = serde_json::from_value(proof["accountProof"][0].clone()).expect("bytes");
        assert_eq!(block["stateRoot"], json!(keccak256(&root)));
        let account = dev.ok("eth_getAccount", &json!([STRANGER, "pending"]));
        assert_eq!(account["storageRoot"], proof["storageHash"]);
        assert_ne!(dev.ok("eth_getAccount", &json!([STRANGER, "latest"])), account);
    });
}

#[test]
fn the_base_fee_that_is_set_is_told_at_once() {
    in_each_mode(|dev| {
        let set = U256::from(7_000_000_000_u64);
        let ask = |method: &str| number(&dev.ok(method, &json!([])));
        let tip = ask("eth_maxPriorityFeePerGas");
        assert!(ask("eth_baseFee") < set && ask("eth_gasPrice") < set);
        dev.ok("hardhat_setNextBlockBaseFeePerGas", &json!([set]));
        let block = dev.ok("eth_getBlockByNumber", &json!(["pending", false]));
        assert_eq!(block["baseFeePerGas"], json!(set));
        assert_eq!([ask("eth_baseFee"), ask("eth_gasPrice")], [set, set + tip]);
        let history = dev.ok("eth_feeHistory", &json!(["0x1", "latest", []]));
        assert_eq!(number(&history["baseFeePerGas"][1]), set);
        let filled = json!([{ "from": FIRST, "to": TO, "gas": "0x5208" }]);
        let filled = dev.ok("eth_fillTransaction", &filled);
        assert_eq!(number(&filled["tx"]["maxFeePerGas"]), set + set + tip);
        // It is of one block.
        dev.ok("evm_mine", &json!([]));
        assert!(ask("eth_baseFee") < set);
    });
}

#[test]
fn what_gas_costs_after_a_full_block_is_what_the_next_one_takes() {
    in_each_mode(|dev| {
        let full = |prices: &Value| {
            let mut tx = json!({ "from": FIRST, "to": TO, "gas": "0x5208" });
            for (name, price) in prices.as_object().expect("prices") {
                tx[name] = price.clone();
            }
            let hash = dev.send(&tx);
            assert_eq!(dev.receipt(&hash)["status"], "0x1", "{tx}");
            assert_eq!(dev.head("gasUsed"), dev.head("gasLimit"));
        };
        dev.ok("evm_setBlockGasLimit", &json!(["0x5208"]));
        // It leaves no tip that would hide the rise of the base fee.
        full(&json!({ "maxFeePerGas": "0x174876e800", "maxPriorityFeePerGas": "0x1" }));
        full(&json!({ "gasPrice": dev.ok("eth_gasPrice", &json!([])) }));
        let asked = json!([{ "from": FIRST, "to": TO, "gas": "0x5208", "type": "0x0" }]);
        let filled = dev.ok("eth_fillTransaction", &asked);
        full(&json!({ "gasPrice": filled["tx"]["gasPrice"] }));
    });
}

#[test]
fn who_requests_accounts_is_given_them() {
    in_each_mode(|dev| {
        let accounts = dev.ok("eth_accounts", &json!([]));
        assert_eq!(dev.ok("eth_requestAccounts", &json!([])), accounts);
    });
}

#[test]
fn what_can_never_be_mined_is_refused_and_blocks_nobody() {
    in_each_mode(|dev| {
        let low = "max fee per gas less than block base fee: maxFeePerGas: 1, baseFee: 875000000";
        let tip = "max priority fee per gas higher than max fee per gas: \
                   maxFeePerGas (1) < maxPriorityFeePerGas (2)";
        let cheap = json!({ "from": FIRST, "to": TO, "maxFeePerGas": "0x1" });
        let torn = json!({
            "from": FIRST, "to": TO, "maxFeePerGas": "0x1", "maxPriorityFeePerGas": "0x2",
        });
        let fixed = json!({ "from": FIRST, "to": TO, "gasPrice": "0x1" });
        for (tx, code, words) in [(&cheap, 802, low), (&fixed, 802, low), (&torn, 804, tip)] {
            let told = dev.refused("eth_sendTransaction", &json!([tx]));
            assert_eq!(told, (code, words.to_owned()), "{tx}");
        }
        for tx in [&cheap, &fixed] {
            let raw = dev.ok("eth_signTransaction", &json!([tx]))["raw"].clone();
            for method in ["eth_sendRawTransaction", "eth_sendRawTransactionSync"] {
                let told = dev.refused(method, &json!([raw]));
                assert_eq!(told, (802, low.to_owned()), "{method} {tx}");
            }
        }
        let told = dev.refused("eth_signTransaction", &json!([torn]));
        assert_eq!(told, (804, tip.to_owned()));
        let status = dev.ok("txpool_status", &json!([]));
        assert_eq!(status, json!({ "pending": "0x0", "queued": "0x0" }));
        let hash = dev.send(&json!({ "from": FIRST, "to": TO }));
        assert_eq!(dev.receipt(&hash)["status"], "0x1");
        // While blocks come when they are asked for, one may come that has it.
        dev.ok("evm_setAutomine", &json!([false]));
        let sent = dev.send(&cheap);
        let raw = dev.ok("eth_signTransaction", &json!([cheap]))["raw"].clone();
        let waiting = [sent, dev.ok("eth_sendRawTransaction", &json!([raw]))];
        dev.ok("evm_mine", &json!([]));
        assert!(waiting.iter().all(|hash| dev.receipt(hash).is_null()));
        dev.ok("hardhat_setNextBlockBaseFeePerGas", &json!(["0x1"]));
        dev.ok("evm_mine", &json!([]));
        assert!(waiting.iter().all(|hash| dev.receipt(hash)["status"] == "0x1"));
    });
}

#[test]
fn a_contract_is_not_created_of_nothing() {
    in_each_mode(|dev| {
        for method in ["eth_sendTransaction", "eth_signTransaction", "eth_fillTransaction"] {
            let (code, told) = dev.refused(method, &json!([{ "from": FIRST }]));
            let words = "contract creation without any data provided";
            assert_eq!((code, told.as_str()), (-32_000, words), "{method}");
        }
    });
}

#[test]
fn blocks_come_by_a_clock_that_has_two_ends() {
    in_each_mode(|dev| {
        dev.ok("evm_setAutomine", &json!([false]));
        assert_eq!(dev.ok("evm_setIntervalMining", &json!([[50, 100]])), true);
        while dev.number() < 3 {
            std::thread::yield_now();
        }
        // 0 would be none.
        assert_eq!(dev.ok("anvil_getIntervalMining", &json!([])), 1);
        assert_eq!(dev.ok("evm_setIntervalMining", &json!([[1_000, 2_000]])), true);
        assert_eq!(dev.ok("anvil_getIntervalMining", &json!([])), 2);
        let (code, _) = dev.refused("evm_setIntervalMining", &json!([[1_000, 100_000_000]]));
        assert_eq!(code, -32_000);
        let (code, told) = dev.refused("evm_setIntervalMining", &json!([[2, 1]]));
        assert!(code == -32_602 && told.ends_with("above the second"), "{code} {told}");
        assert_eq!(dev.ok("evm_setIntervalMining", &json!([[0, 0]])), true);
        assert_eq!(dev.ok("anvil_getIntervalMining", &json!([])), Value::Null);
    });
}

#[test]
fn no_block_is_made_where_the_last_would_have_no_timestamp() {
    in_each_mode(|dev| {
        let (timestamp, most) = (dev.head("timestamp"), quantity(u64::MAX));
        for (method, params) in [
            // The sum has no room, the product has none, and without an interval.
            ("hardhat_mine", json!(["0x2", most])),
            ("hardhat_mine", json!(["0x3", "0x8000000000000000"])),
            ("evm_mine", json!([{ "timestamp": most, "blocks": 2 }])),
        ] {
            let (code, told) = dev.refused(method, &params);
            let words = "blocks has a timestamp above 18446744073709551615, the largest";
            assert!(code == -32_000 && told.ends_with(words), "{params}: {code} {told}");
        }
        // Nothing of it was kept for the next block, and one alone has no interval.
        assert_eq!(dev.number(), 0);
        dev.ok("hardhat_mine", &json!(["0x1", most]));
        assert_eq!(dev.number(), 1);
        assert!(dev.head("timestamp") < timestamp + 0xffff_ffff);
    });
}

//! What tools call on a dev chain, over HTTP: accounts that the node signs for, impersonation,
//! edits of the state, blocks and time at will, and the way back.

use crate::{
    import_support::{Datadir, Recipe, text},
    node_support::{Running, Site},
    rules_support::{Endpoint, WireChain, quantity, request},
};
use alloy_consensus::{TxEip1559, transaction::SignerRecoverable};
use alloy_eips::{Decodable2718, Encodable2718};
use alloy_primitives::eip191_hash_message;
use fugue_chainspec::Fork;
use fugue_types::{Address, B256, Bytes, Transaction, TxKind, U256, address, b256};
use fugue_workload::{Wallet, gwei};
use serde_json::{Value, json};
use std::path::Path;

const CHAIN_ID: u64 = 1_337;
const KEY: B256 = b256!("0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80");
pub(crate) const FIRST: Address = address!("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266");
/// Nobody has its key.
pub(crate) const STRANGER: Address = Address::repeat_byte(0x5a);
pub(crate) const TO: Address = Address::repeat_byte(0xde);
/// Code that logs an empty log: PUSH1 0, PUSH1 0, LOG0.
const LOGS: &str = "0x60006000a0";
/// Code that reverts: PUSH1 0, PUSH1 0, REVERT.
const REVERTS: &str = "0x60006000fd";
/// Ten thousand ether.
const FUNDS: &str = "0x21e19e0c9bab2400000";

/// A dev chain, kept in a folder, that is called over HTTP.
pub(crate) struct Dev {
    node: Running,
    public: Endpoint,
}

impl Dev {
    fn start(datadir: &Path, more: &[&str]) -> Self {
        let own = ["--dev", "--datadir", text(datadir), "--http", "--http.port", "0"];
        let node = Running::start(&[&own[..], more].concat());
        let public = node.public();
        let dev = Self { node, public };
        // Nobody reads what it says, and what is not read would stop it in the end.
        assert_eq!(dev.ok("hardhat_setLoggingEnabled", &json!([false])), true);
        dev
    }

    #[track_caller]
    pub(crate) fn ok(&self, method: &str, params: &Value) -> Value {
        let answer = self.public.call(method, params);
        answer.unwrap_or_else(|error| panic!("{method} {params}: {error:?}"))
    }

    /// The code and the message of an error.
    #[track_caller]
    pub(crate) fn refused(&self, method: &str, params: &Value) -> (i64, String) {
        let error = self.public.call(method, params).expect_err(method);
        (error.code, error.message)
    }

    /// Sends a transaction that the node signs. Gives its hash.
    #[track_caller]
    pub(crate) fn send(&self, tx: &Value) -> Value {
        self.ok("eth_sendTransaction", &json!([tx]))
    }

    #[track_caller]
    pub(crate) fn receipt(&self, hash: &Value) -> Value {
        self.ok("eth_getTransactionReceipt", &json!([hash]))
    }

    #[track_caller]
    fn balance(&self, account: Address) -> Value {
        self.ok("eth_getBalance", &json!([account, "latest"]))
    }

    /// A number of the head's header.
    #[track_caller]
    pub(crate) fn head(&self, field: &str) -> u64 {
        let head = self.ok("eth_getBlockByNumber", &json!(["latest", false]));
        let digits = head[field].as_str().and_then(|text| text.strip_prefix("0x"));
        u64::from_str_radix(digits.expect("a number"), 16).expect("a number")
    }

    #[track_caller]
    pub(crate) fn number(&self) -> u64 {
        self.head("number")
    }

    /// Stops it; nothing is wrong with what it leaves.
    fn stop(self, datadir: &Path) {
        self.node.stop();
        let datadir = Datadir { path: datadir.to_owned(), chain: String::new() };
        let verify = datadir.db(&["verify"]).ends(0);
        assert_eq!(verify.last()["problems"], json!([]), "{verify}");
    }
}

/// Calls with a dev chain in each mode of execution, and verifies what it leaves.
pub(crate) fn in_each_mode(test: impl Fn(&Dev)) {
    for mode in ["seq", "occ"] {
        let folder = tempfile::tempdir().expect("a folder");
        let datadir = folder.path().join("dev");
        let dev = Dev::start(&datadir, &["--mode", mode]);
        test(&dev);
        dev.stop(&datadir);
    }
}

#[test]
fn the_methods_of_a_dev_chain_are_on_no_other() {
    let site = Site::new(WireChain::of_recipe(&Recipe::new(0xde7, Fork::Osaka, 2, 1)));
    let node = site.start(&["--http", "--http.port", "0"]);
    let public = node.public();
    for method in [
        "eth_coinbase",
        "eth_sendUnsignedTransaction",
        "personal_sign",
        "evm_snapshot",
        "evm_mine",
        "hardhat_setBalance",
        "anvil_setBalance",
    ] {
        let error = public.call(method, &json!([])).expect_err(method);
        assert_eq!(error.code, -32_601, "{method}");
    }
    assert_eq!(public.call("eth_accounts", &json!([])), Ok(json!([])));
    node.stop();
}

#[test]
fn the_node_signs_for_its_ten_accounts() {
    in_each_mode(|dev| {
        let accounts = dev.ok("eth_accounts", &json!([]));
        assert_eq!(accounts.as_array().map(Vec::len), Some(10));
        assert_eq!(accounts[0], json!(FIRST));
        // Each is in a block when its hash comes; the node has filled in the rest.
        for number in 1..=3 {
            let hash = dev.send(&json!({ "from": FIRST, "to": TO, "value": "0x1" }));
            let receipt = dev.receipt(&hash);
            assert_eq!(receipt["blockNumber"], json!(quantity(number)), "{receipt}");
            assert_eq!((&receipt["status"], &receipt["from"]), (&json!("0x1"), &json!(FIRST)));
        }
        assert_eq!(dev.balance(TO), "0x3");
        // What it signs is what the key signs.
        let wallet = Wallet::from_key(KEY).expect("a key");
        let message = Bytes::from_static(b"hello");
        let expected = wallet.sign(eip191_hash_message(&message)).as_bytes();
        let expected = json!(Bytes::from(expected.to_vec()));
        assert_eq!(dev.ok("eth_sign", &json!([FIRST, message])), expected);
        assert_eq!(dev.ok("personal_sign", &json!([message, FIRST])), expected);
        // In both forms it is the same.
        for asked in [
            json!({ "from": FIRST, "to": TO, "gasPrice": "0x77359400" }),
            json!({ "from": FIRST, "to": TO, "gasPrice": "0x77359400", "accessList": [] }),
            json!({ "from": FIRST, "to": TO }),
        ] {
            let signed = dev.ok("eth_signTransaction", &json!([asked]));
            let encoded: Bytes = serde_json::from_value(signed["raw"].clone()).expect("bytes");
            let tx = Transaction::decode_2718_exact(&encoded).expect("a transaction");
            let told: Option<Transaction> = serde_json::from_value(signed["tx"].clone()).ok();
            assert_eq!(told, Some(tx), "{signed}");
            assert!(signed["tx"]["gasPrice"].is_string(), "{signed}");
            assert_eq!(signed["tx"].get("blockHash"), None, "{signed}");
        }
        let signed = dev.ok("eth_signTransaction", &json!([{ "from": FIRST, "to": TO }]));
        let encoded: Bytes = serde_json::from_value(signed["raw"].clone()).expect("bytes");
        let tx = Transaction::decode_2718_exact(&encoded).expect("a transaction");
        assert_eq!(tx.recover_signer().ok(), Some(FIRST));
        assert_eq!(signed["tx"]["hash"], json!(tx.hash()));
        let hash = dev.ok("eth_sendRawTransaction", &json!([encoded]));
        assert_eq!(hash, json!(tx.hash()));
        assert_eq!(dev.receipt(&hash)["status"], "0x1");
        let (code, told) = dev.refused("eth_sign", &json!([STRANGER, message]));
        assert!(code == -32_000 && told.starts_with("unknown account"), "{code} {told}");
        let (code, told) = dev.refused("eth_sendTransaction", &json!([{ "to": "0x12" }]));
        assert!(code == -32_602 && told.contains("(transaction): to:"), "{code} {told}");
    });
}

#[test]
fn typed_data_is_signed_with_the_domain_of_the_chain() {
    let folder = tempfile::tempdir().expect("a folder");
    let datadir = folder.path().join("dev");
    let dev = Dev::start(&datadir, &["--dev.chain-id", "31337"]);
    assert_eq!(dev.ok("eth_chainId", &json!([])), "0x7a69");
    let data = json!({
        "types": {
            "EIP712Domain": [{ "name": "chainId", "type": "uint256" }],
            "Note": [{ "name": "text", "type": "string" }],
        },
        "primaryType": "Note", "domain": { "chainId": 31_337 }, "message": { "text": "hello" },
    });
    let signed = dev.ok("eth_signTypedData_v4", &json!([FIRST, data]));
    assert_eq!(signed.as_str().map(str::len), Some(132));
    // The same as text, as libraries send it.
    let again = dev.ok("eth_signTypedData_v4", &json!([FIRST, data.to_string()]));
    assert_eq!(signed, again);
    let (code, _) = dev.refused("eth_signTypedData_v4", &json!([FIRST, { "types": {} }]));
    assert_eq!(code, -32_602);
    dev.stop(&datadir);
}

#[test]
fn a_transaction_that_fails_has_a_hash_and_a_receipt() {
    in_each_mode(|dev| {
        assert_eq!(dev.ok("anvil_setCode", &json!([STRANGER, REVERTS])), Value::Null);
        let hash = dev.send(&json!({ "from": FIRST, "to": STRANGER }));
        assert_eq!(dev.receipt(&hash)["status"], "0x0");
    });
}

#[test]
fn an_edit_is_seen_at_once_and_undone_by_a_revert() {
    in_each_mode(|dev| {
        dev.send(&json!({ "from": FIRST, "to": TO, "value": "0x1" }));
        let (number, timestamp) = (dev.number(), dev.head("timestamp"));
        let id = dev.ok("evm_snapshot", &json!([]));
        let balance = "0xde0b6b3a7640000";
        assert_eq!(dev.ok("hardhat_setBalance", &json!([STRANGER, balance])), true);
        assert_eq!(dev.ok("hardhat_setNonce", &json!([STRANGER, "0x7"])), true);
        assert_eq!(dev.ok("hardhat_setCode", &json!([STRANGER, REVERTS])), true);
        let word = B256::with_last_byte(9);
        assert_eq!(dev.ok("hardhat_setStorageAt", &json!([STRANGER, "0x1", word])), true);
        let read = |dev: &Dev| {
            [
                dev.balance(STRANGER),
                dev.ok("eth_getTransactionCount", &json!([STRANGER, "latest"])),
                dev.ok("eth_getCode", &json!([STRANGER, "latest"])),
                dev.ok("eth_getStorageAt", &json!([STRANGER, "0x1", "latest"])),
            ]
        };
        assert_eq!(read(dev), [json!(balance), json!("0x7"), json!(REVERTS), json!(word)]);
        // Each is a block of its own, and takes no time.
        assert_eq!((dev.number(), dev.head("timestamp")), (number + 4, timestamp));
        // Edits last, also over a block with transactions, and an account can lose its balance.
        dev.send(&json!({ "from": FIRST, "to": TO, "value": "0x1" }));
        assert_eq!(dev.ok("hardhat_setBalance", &json!([STRANGER, "0x0"])), true);
        assert_eq!(read(dev), [json!("0x0"), json!("0x7"), json!(REVERTS), json!(word)]);

        assert_eq!(dev.ok("evm_revert", &json!([id])), true);
        let nothing = B256::ZERO;
        assert_eq!(read(dev), [json!("0x0"), json!("0x0"), json!("0x"), json!(nothing)]);
        assert_eq!((dev.number(), dev.balance(TO)), (number, json!("0x1")));
        // It is good for one time.
        assert_eq!(dev.ok("evm_revert", &json!([id])), false);
        // The pool has gone back as well: the same nonce is the next one.
        let hash = dev.send(&json!({ "from": FIRST, "to": TO, "value": "0x1" }));
        assert_eq!(dev.receipt(&hash)["blockNumber"], json!(quantity(number + 1)));
    });
}

#[test]
fn anybody_is_impersonated_contracts_and_the_poor_included() {
    in_each_mode(|dev| {
        let tx = json!({ "from": STRANGER, "to": TO, "value": "0x5" });
        let (code, told) = dev.refused("eth_sendTransaction", &json!([tx]));
        assert!(code == -32_000 && told.starts_with("unknown account"), "{code} {told}");
        assert_eq!(dev.ok("hardhat_impersonateAccount", &json!([STRANGER])), true);
        assert_eq!(dev.ok("hardhat_setBalance", &json!([STRANGER, FUNDS])), true);
        dev.ok("hardhat_setCode", &json!([STRANGER, REVERTS]));
        let accounts = dev.ok("eth_accounts", &json!([]));
        assert_eq!(accounts[10], json!(STRANGER));
        for nonce in ["0x0", "0x1"] {
            let hash = dev.send(&tx);
            assert_eq!(dev.receipt(&hash)["status"], "0x1");
            let found = dev.ok("eth_getTransactionByHash", &json!([hash]));
            assert_eq!((&found["from"], &found["nonce"]), (&json!(STRANGER), &json!(nonce)));
        }
        assert_eq!(dev.balance(TO), "0xa");
        assert_eq!(dev.ok("hardhat_stopImpersonatingAccount", &json!([STRANGER])), true);
        assert_eq!(dev.ok("hardhat_stopImpersonatingAccount", &json!([STRANGER])), false);
        dev.refused("eth_sendTransaction", &json!([tx]));
        // One that has nothing, in a block that costs nothing.
        let poor = Address::repeat_byte(0x77);
        dev.ok("anvil_autoImpersonateAccount", &json!([true]));
        dev.ok("anvil_setNextBlockBaseFeePerGas", &json!(["0x0"]));
        let hash = dev.send(&json!({ "from": poor, "to": TO, "gasPrice": "0x0" }));
        assert_eq!(dev.receipt(&hash)["from"], json!(poor));
        assert_eq!(dev.head("baseFeePerGas"), 0);
        dev.ok("anvil_autoImpersonateAccount", &json!([false]));
        dev.refused("eth_sendTransaction", &json!([{ "from": poor, "to": TO }]));
    });
}

#[test]
fn blocks_and_time_are_as_they_are_asked_for() {
    in_each_mode(|dev| {
        assert_eq!(dev.ok("evm_mine", &json!([])), "0x0");
        assert_eq!(dev.ok("hardhat_getAutomine", &json!([])), true);
        assert_eq!(dev.ok("evm_setAutomine", &json!([false])), true);
        let tx = json!({ "from": FIRST, "to": TO, "value": "0x1" });
        let sent = [dev.send(&tx), dev.send(&tx), dev.send(&tx)];
        assert!(sent.iter().all(|hash| dev.receipt(hash).is_null()));
        assert_eq!(dev.ok("hardhat_dropTransaction", &json!([sent[2]])), true);
        assert_eq!(dev.ok("anvil_dropTransaction", &json!([sent[2]])), Value::Null);

        let (number, timestamp) = (dev.number(), dev.head("timestamp"));
        let (code, told) = dev.refused("evm_setNextBlockTimestamp", &json!([timestamp]));
        assert!(code == -32_000 && told.contains("not above"), "{code} {told}");
        let (coinbase, randao) = (Address::repeat_byte(3), B256::repeat_byte(4));
        dev.ok("evm_setNextBlockTimestamp", &json!([timestamp + 1_000]));
        dev.ok("hardhat_setCoinbase", &json!([coinbase]));
        assert_eq!(dev.ok("eth_coinbase", &json!([])), json!(coinbase));
        dev.ok("hardhat_setPrevRandao", &json!([randao]));
        dev.ok("hardhat_setNextBlockBaseFeePerGas", &json!(["0x77359400"]));
        dev.ok("evm_setBlockGasLimit", &json!(["0x1c9c380"]));
        // An edit meanwhile takes nothing of it away, and leaves the transactions where they are.
        dev.ok("hardhat_setBalance", &json!([STRANGER, "0x1"]));
        dev.ok("evm_mine", &json!([]));
        let block = dev.ok("eth_getBlockByNumber", &json!(["latest", false]));
        assert_eq!(block["number"], json!(quantity(number + 2)));
        assert_eq!(block["timestamp"], json!(quantity(timestamp + 1_000)));
        assert_eq!(block["transactions"], json!(&sent[..2]));
        assert_eq!((&block["miner"], &block["mixHash"]), (&json!(coinbase), &json!(randao)));
        assert_eq!(block["baseFeePerGas"], "0x77359400");
        assert_eq!(block["gasLimit"], "0x1c9c380");

        // The clock goes on from there.
        let ahead = dev.ok("evm_increaseTime", &json!(["0x1f4"]));
        assert!(ahead.as_i64().is_some_and(|ahead| ahead > 500), "{ahead}");
        dev.ok("evm_mine", &json!([]));
        assert!(dev.head("timestamp") >= timestamp + 1_500);
        assert_ne!(dev.head("baseFeePerGas"), 2_000_000_000);

        let before = dev.head("timestamp");
        assert_eq!(dev.ok("hardhat_mine", &json!(["0x3", "0x3c"])), true);
        assert_eq!(dev.number(), number + 6);
        let last = dev.head("timestamp");
        assert!(last >= before + 1 + 2 * 60, "{before} {last}");
        dev.ok("evm_mine", &json!([{ "timestamp": last + 50, "blocks": 2 }]));
        assert!(dev.head("timestamp") >= last + 51);
        assert_eq!(dev.number(), number + 8);
        dev.ok("anvil_setBlockTimestampInterval", &json!([12]));
        let before = dev.head("timestamp");
        dev.ok("anvil_mine", &json!([2]));
        assert_eq!(dev.head("timestamp"), before + 24);
        assert_eq!(dev.ok("anvil_removeBlockTimestampInterval", &json!([])), true);
        let (code, told) = dev.refused("hardhat_mine", &json!(["0xf4241"]));
        assert!(code == -32_602 && told.ends_with("want at most 1000000"), "{code} {told}");

        // What was left waits for the next block, which comes at once again.
        let waits = dev.send(&tx);
        assert!(dev.receipt(&waits).is_null());
        dev.ok("evm_setAutomine", &json!([true]));
        assert_eq!(dev.receipt(&waits)["status"], "0x1");
    });
}

#[test]
fn blocks_come_by_a_clock_that_can_be_set() {
    let folder = tempfile::tempdir().expect("a folder");
    let datadir = folder.path().join("dev");
    let dev = Dev::start(&datadir, &[]);
    dev.ok("evm_setAutomine", &json!([false]));
    assert_eq!(dev.ok("evm_setIntervalMining", &json!([200])), true);
    while dev.number() < 2 {
        std::thread::yield_now();
    }
    dev.ok("anvil_setIntervalMining", &json!([0]));
    assert_eq!(dev.ok("anvil_getIntervalMining", &json!([])), Value::Null);
    let (code, _) = dev.refused("anvil_setIntervalMining", &json!([100_000]));
    assert_eq!(code, -32_000);
    dev.stop(&datadir);
}

#[test]
fn time_goes_on_from_blocks_that_came_faster_than_seconds_passed() {
    in_each_mode(|dev| {
        dev.ok("anvil_mine", &json!([200]));
        let before = dev.head("timestamp");
        dev.ok("evm_increaseTime", &json!([60]));
        dev.ok("evm_mine", &json!([]));
        assert!(dev.head("timestamp") >= before + 60, "{before}");
    });
}

#[test]
fn what_is_estimated_is_what_would_happen_in_the_next_block() {
    in_each_mode(|dev| {
        dev.ok("evm_mine", &json!([]));
        let opens = u32::try_from(dev.head("timestamp") + 5_000).expect("32 bits");
        // Reverts until that time, and then stores it in slot 0.
        let code = format!("0x4263{opens:08x}11600f5742600055005b60006000fd");
        dev.ok("anvil_setCode", &json!([STRANGER, code]));
        let call = json!({ "from": FIRST, "to": STRANGER });
        dev.refused("eth_estimateGas", &json!([call]));
        dev.ok("evm_increaseTime", &json!([6_000]));
        let estimate = dev.ok("eth_estimateGas", &json!([call]));
        assert_eq!(dev.ok("eth_estimateGas", &json!([call, "pending"])), estimate);
        assert_eq!(dev.ok("eth_call", &json!([call, "pending"])), "0x");
        // A block that is named, and what is called, is the head as it is.
        dev.refused("eth_estimateGas", &json!([call, "latest"]));
        dev.refused("eth_call", &json!([call]));
        // What is sent has some room, and is far below what it may have.
        let hash = dev.send(&call);
        assert_eq!(dev.receipt(&hash)["status"], "0x1");
        let sent = dev.ok("eth_getTransactionByHash", &json!([hash]));
        let gas = |value: &Value| {
            let digits = value.as_str().and_then(|text| text.strip_prefix("0x"));
            u64::from_str_radix(digits.expect("a number"), 16).expect("a number")
        };
        let (estimate, sent) = (gas(&estimate), gas(&sent["gas"]));
        assert!(estimate < sent && sent < 2 * estimate, "{estimate} {sent}");
    });
}

#[test]
fn what_no_block_can_have_makes_no_blocks() {
    in_each_mode(|dev| {
        dev.ok("evm_setAutomine", &json!([false]));
        let tx = json!({ "from": FIRST, "to": TO, "gas": "0x186a0" });
        let hash = dev.send(&tx);
        dev.ok("evm_setBlockGasLimit", &json!([30_000]));
        let (code, told) = dev.refused("eth_sendTransaction", &json!([tx]));
        assert!(code == 803 && told.contains("exceeds block gas limit"), "{code} {told}");
        dev.ok("evm_setAutomine", &json!([true]));
        assert_eq!(dev.number(), 0);
        // Tools look into the pool, whatever APIs the server has.
        let status = dev.ok("txpool_status", &json!([]));
        assert_eq!(status, json!({ "pending": "0x1", "queued": "0x0" }));
        // It waits for one that can, and the pool goes by the new limit at once.
        dev.ok("evm_setAutomine", &json!([false]));
        dev.ok("evm_setBlockGasLimit", &json!([40_000_000]));
        let next = dev.send(&tx);
        dev.ok("evm_setAutomine", &json!([true]));
        let numbers = [&hash, &next].map(|hash| dev.receipt(hash)["blockNumber"].clone());
        assert_eq!(numbers, [json!("0x1"), json!("0x1")]);
        assert_eq!(dev.head("gasLimit"), 40_000_000);
    });
}

#[test]
fn an_edit_has_no_witness() {
    let folder = tempfile::tempdir().expect("a folder");
    let datadir = folder.path().join("dev");
    let dev = Dev::start(&datadir, &["--http.api", "eth,debug"]);
    dev.send(&json!({ "from": FIRST, "to": TO, "value": "0x1" }));
    dev.ok("hardhat_setBalance", &json!([STRANGER, "0x1"]));
    dev.ok("debug_executionWitness", &json!(["0x1"]));
    let (code, told) = dev.refused("debug_executionWitness", &json!(["0x2"]));
    assert!(code == -32_000 && told.contains("edits the state"), "{code} {told}");
    dev.stop(&datadir);
}

#[test]
fn who_only_asks_does_not_wait_for_blocks_and_neither_does_the_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let datadir = folder.path().join("dev");
    let dev = Dev::start(&datadir, &["--rpc.max-reading-calls=1", "--rpc.max-waiting-calls=1"]);
    let public = dev.public;
    std::thread::scope(|scope| {
        let mining = scope.spawn(move || public.call("hardhat_mine", &json!(["0xc4e0"])));
        while dev.number() < 2 {
            std::thread::yield_now();
        }
        let accounts = dev.ok("eth_accounts", &json!([]));
        assert_eq!(accounts.as_array().map(Vec::len), Some(10));
        dev.ok("eth_estimateGas", &json!([{ "from": FIRST, "to": TO }]));
        let (_, told) = dev.refused("evm_mine", &json!([]));
        assert!(told.starts_with("1 calls that change the chain wait or run already"), "{told}");
        assert!(dev.number() < 50_400);
        dev.stop(&datadir);
        let told = mining.join().expect("it is answered").expect_err("it is not done");
        assert!(told.message.starts_with("given up after"), "{}", told.message);
    });
}

/// A transfer of the first account, and its hash.
fn transfer(nonce: u64) -> (Bytes, Value) {
    let tx = Wallet::from_key(KEY).expect("a key").eip1559(TxEip1559 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: gwei(100),
        max_priority_fee_per_gas: gwei(1),
        to: TxKind::Call(TO),
        value: U256::from(1),
        ..TxEip1559::default()
    });
    (Bytes::from(tx.encoded_2718()), json!(tx.hash()))
}

#[test]
fn a_message_that_breaks_a_rule_is_told_in_the_words_that_libraries_look_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let datadir = folder.path().join("dev");
    let dev = Dev::start(&datadir, &[]);
    let funds = "insufficient funds for gas * price + value";
    for (value, gas, fee, tip, words) in [
        ("0xffffffffffffffffffffffff", "0x5208", "0x77359400", "0x0", funds),
        ("0x0", "0x5207", "0x77359400", "0x0", "intrinsic gas too low"),
        ("0x0", "0x5208", "0x1", "0x0", "max fee per gas less than block base fee"),
        ("0x0", "0x5208", "0x1", "0x2", "max priority fee per gas higher than max fee per gas"),
    ] {
        let call = json!({
            "from": FIRST, "to": TO, "value": value, "gas": gas,
            "maxFeePerGas": fee, "maxPriorityFeePerGas": tip,
        });
        let (code, told) = dev.refused("eth_call", &json!([call, "latest"]));
        assert!(code == -32_000 && told.starts_with(words), "{code} {told}");
    }
    dev.stop(&datadir);
}

#[test]
fn the_pending_block_has_what_the_pool_has() {
    in_each_mode(|dev| {
        let count = || dev.ok("eth_getBlockTransactionCountByNumber", &json!(["pending"]));
        let pending = |is_full: bool| dev.ok("eth_getBlockByNumber", &json!(["pending", is_full]));
        assert_eq!((&pending(false)["number"], count()), (&json!("0x1"), json!("0x0")));
        dev.ok("evm_setAutomine", &json!([false]));
        let timestamp = quantity(dev.head("timestamp") + 4_000_000_000);
        dev.ok("evm_setNextBlockTimestamp", &json!([timestamp]));
        let hash = dev.send(&json!({ "from": FIRST, "to": TO, "value": "0x5" }));
        // What was asked for before does not stand in for it, however short the time.
        let block = pending(false);
        assert_eq!((&block["transactions"], count()), (&json!([hash]), json!("0x1")));
        for name in ["hash", "nonce", "miner"] {
            assert_eq!(block.get(name), Some(&Value::Null), "{name}");
        }
        assert_eq!((&block["gasUsed"], &block["timestamp"]), (&json!("0x5208"), &json!(timestamp)));
        let tx = dev.ok("eth_getTransactionByHash", &json!([hash]));
        assert_eq!((&tx["blockHash"], &tx["from"]), (&Value::Null, &json!(FIRST)));
        assert_eq!(pending(true)["transactions"], json!([tx]));
        for (index, expected) in [("0x0", &tx), ("0x1", &Value::Null)] {
            let params = json!(["pending", index]);
            assert_eq!(dev.ok("eth_getTransactionByBlockNumberAndIndex", &params), *expected);
        }
        let raw = dev.ok("eth_getRawTransactionByHash", &json!([hash]));
        let params = json!(["pending", "0x0"]);
        assert_eq!(dev.ok("eth_getRawTransactionByBlockNumberAndIndex", &params), raw);
        assert!(dev.ok("eth_getBlockReceipts", &json!(["pending"])).is_null());
        // It is no block of the chain, and the next one is like it.
        assert_eq!(dev.number(), 0);
        dev.ok("evm_mine", &json!([]));
        let mined = dev.ok("eth_getBlockByNumber", &json!(["latest", false]));
        for name in ["number", "parentHash", "timestamp", "transactions", "baseFeePerGas"] {
            assert_eq!(mined[name], block[name], "{name}");
        }
        assert_eq!(pending(false)["parentHash"], mined["hash"]);
    });
}

#[test]
fn filters_tell_logs_that_the_way_back_takes_as_removed() {
    in_each_mode(|dev| {
        dev.ok("hardhat_setCode", &json!([STRANGER, LOGS]));
        let filter = || dev.ok("eth_newFilter", &json!([{ "address": STRANGER }]));
        let changes = |filter: &Value| -> Vec<(Value, bool)> {
            let told = dev.ok("eth_getFilterChanges", &json!([filter]));
            let logs = told.as_array().expect("a list").iter();
            logs.map(|log| (log["transactionHash"].clone(), log["removed"] == true)).collect()
        };
        let send =
            |value: &str| dev.send(&json!({ "from": FIRST, "to": STRANGER, "value": value }));
        // 1. Blocks in memory: of one filter that has told of them, and one that began after them.
        let early = filter();
        let id = dev.ok("evm_snapshot", &json!([]));
        let lost = [send("0x1"), send("0x2")];
        let late = filter();
        assert_eq!(changes(&early), lost.clone().map(|hash| (hash, false)));
        assert_eq!(dev.ok("evm_revert", &json!([id])), true);
        let kept = send("0x3");
        let [first, second] = lost;
        let told = vec![(second, true), (first, true), (kept, false)];
        assert_eq!([changes(&early), changes(&late)], [told.clone(), told]);
        // 2. Durable ones: a batch has 32.
        let id = dev.ok("evm_snapshot", &json!([]));
        let lost = send("0x4");
        assert_eq!(changes(&early), [(lost.clone(), false)]);
        dev.ok("hardhat_mine", &json!(["0x30"]));
        assert!(changes(&early).is_empty());
        assert_eq!(dev.ok("evm_revert", &json!([id])), true);
        assert_eq!(changes(&early), [(lost, true)]);
    });
}

#[test]
fn the_way_back_leads_over_durable_blocks_and_the_same_block_comes_again() {
    in_each_mode(|dev| {
        let (encoded, hash) = transfer(0);
        dev.ok("evm_mine", &json!([]));
        let id = dev.ok("evm_snapshot", &json!([]));
        // 1. At the same time, on the same block: the same block.
        let timestamp = dev.head("timestamp") + 10;
        let mut seen = Vec::new();
        for _ in 0..2 {
            let inner = dev.ok("evm_snapshot", &json!([]));
            dev.ok("evm_setNextBlockTimestamp", &json!([timestamp]));
            assert_eq!(dev.ok("eth_sendRawTransaction", &json!([encoded])), hash);
            seen.push(dev.receipt(&hash)["blockHash"].clone());
            assert_eq!(dev.ok("evm_revert", &json!([inner])), true);
            assert!(dev.receipt(&hash).is_null());
        }
        assert_eq!(seen[0], seen[1]);
        // 2. Another one in its place is another one.
        dev.ok("evm_setNextBlockTimestamp", &json!([timestamp]));
        dev.ok("evm_mine", &json!([]));
        assert!(dev.receipt(&hash).is_null());
        // 3. Far enough for blocks to be durable: a batch has 32.
        dev.ok("hardhat_setBalance", &json!([STRANGER, "0x1"]));
        dev.ok("hardhat_mine", &json!(["0x50"]));
        dev.ok("eth_sendRawTransaction", &json!([encoded]));
        assert_eq!(dev.ok("evm_revert", &json!([id])), true);
        assert_eq!((dev.number(), dev.balance(STRANGER)), (1, json!("0x0")));
        assert!(dev.receipt(&hash).is_null());
        // 4. And on from there.
        dev.ok("hardhat_setBalance", &json!([STRANGER, "0x2"]));
        dev.ok("eth_sendRawTransaction", &json!([encoded]));
        assert_eq!(dev.receipt(&hash)["blockNumber"], "0x3");
        dev.ok("hardhat_mine", &json!(["0x28"]));
        assert_eq!(dev.ok("debug_setHead", &json!(["0x2"])), Value::Null);
        assert_eq!((dev.number(), dev.balance(STRANGER)), (2, json!("0x2")));
        assert!(dev.receipt(&hash).is_null());
        let (code, _) = dev.refused("debug_setHead", &json!(["0x3"]));
        assert_eq!(code, -32_000);
        // 5. To the beginning.
        dev.send(&json!({ "from": FIRST, "to": TO, "value": "0x1" }));
        let (code, told) =
            dev.refused("hardhat_reset", &json!([{ "forking": { "jsonRpcUrl": "http://x" } }]));
        assert!(code == -32_602 && told.contains("forks"), "{code} {told}");
        let before = dev.ok("hardhat_metadata", &json!([]));
        assert_eq!(before["chainId"], CHAIN_ID);
        assert_eq!(dev.ok("hardhat_reset", &json!([])), true);
        // The settings are as they were as well.
        assert_eq!(dev.ok("hardhat_setLoggingEnabled", &json!([false])), true);
        let after = dev.ok("hardhat_metadata", &json!([]));
        assert_eq!(after["latestBlockNumber"], 0);
        assert_ne!(after["instanceId"], before["instanceId"]);
        assert_eq!((dev.number(), dev.balance(FIRST)), (0, json!(FUNDS)));
        let info = dev.ok("anvil_nodeInfo", &json!([]));
        assert_eq!(info["environment"]["chainId"], CHAIN_ID);
        assert_eq!(info["currentBlockNumber"], "0x0");
        dev.send(&json!({ "from": FIRST, "to": TO, "value": "0x1" }));
    });
}

#[test]
fn the_way_back_is_told_to_filters_and_subscriptions() {
    let folder = tempfile::tempdir().expect("a folder");
    let datadir = folder.path().join("dev");
    let dev = Dev::start(&datadir, &["--ws", "--ws.port", "0"]);
    dev.ok("hardhat_setCode", &json!([STRANGER, LOGS]));
    let id = dev.ok("evm_snapshot", &json!([]));
    let (first, mut hashes) = (dev.number() + 1, Vec::new());
    let call = json!({ "from": FIRST, "to": STRANGER });
    for _ in 0..2 {
        let receipt = dev.receipt(&dev.send(&call));
        assert_eq!(receipt["logs"].as_array().map(Vec::len), Some(1), "{receipt}");
        hashes.push(receipt["blockHash"].clone());
    }
    let mut socket = dev.node.websocket().connect();
    assert_eq!(socket.upgrade(&[]), 101);
    let subscribed = socket.exchange(&request("eth_subscribe", &json!(["logs", {}])));
    assert!(subscribed.contains("result"), "{subscribed}");
    let blocks = dev.ok("eth_newBlockFilter", &json!([]));

    assert_eq!(dev.ok("evm_revert", &json!([id])), true);
    for hash in hashes.iter().rev() {
        let told: Value = serde_json::from_str(&socket.hear()).expect("JSON");
        let log = &told["params"]["result"];
        assert_eq!((&log["removed"], &log["blockHash"]), (&json!(true), hash), "{told}");
    }
    // Whatever has taken the place of blocks that are forgotten is told.
    dev.ok("evm_increaseTime", &json!([1_000]));
    dev.ok("hardhat_mine", &json!(["0x3"]));
    let hash = |number: u64| {
        dev.ok("eth_getBlockByNumber", &json!([quantity(number), false]))["hash"].clone()
    };
    let expected: Vec<Value> = (first..first + 3).map(hash).collect();
    assert!(expected.iter().all(|hash| !hashes.contains(hash)), "{expected:?}");
    assert_eq!(dev.ok("eth_getFilterChanges", &json!([blocks])), json!(expected));
    drop(socket);
    dev.stop(&datadir);
}

#[test]
fn edits_and_impersonations_survive_a_kill() {
    let folder = tempfile::tempdir().expect("a folder");
    let datadir = folder.path().join("dev");
    let dev = Dev::start(&datadir, &[]);
    dev.ok("hardhat_setBalance", &json!([STRANGER, FUNDS]));
    dev.ok("hardhat_setCode", &json!([STRANGER, REVERTS]));
    dev.ok("hardhat_impersonateAccount", &json!([STRANGER]));
    let hash = dev.send(&json!({ "from": STRANGER, "to": TO, "value": "0x5" }));
    let (number, balance) = (dev.number(), dev.balance(STRANGER));
    dev.node.kill();

    let dev = Dev::start(&datadir, &[]);
    assert_eq!((dev.number(), dev.balance(STRANGER)), (number, balance));
    assert_eq!(dev.receipt(&hash)["from"], json!(STRANGER));
    assert_eq!(dev.ok("eth_getCode", &json!([STRANGER, "latest"])), REVERTS);
    // Who is impersonated is forgotten.
    let (code, _) = dev.refused("eth_sendTransaction", &json!([{ "from": STRANGER, "to": TO }]));
    assert_eq!(code, -32_000);
    dev.stop(&datadir);
}

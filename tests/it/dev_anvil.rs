//! What anvil alone has, on a dev chain, over HTTP.

use crate::{
    dev_methods::{FIRST, STRANGER, TO, in_each_mode},
    rules_support::quantity,
};
use fugue_types::{Address, B256, U256};
use serde_json::{Value, json};

/// Code that returns the word 7: PUSH1 7, PUSH0, MSTORE, PUSH1 32, PUSH0, RETURN.
const RETURNS: &str = "0x60075f5260205ff3";
/// Code that reverts with what it is called with: CALLDATASIZE, PUSH0, PUSH0, CALLDATACOPY,
/// CALLDATASIZE, PUSH0, REVERT.
const REVERTS: &str = "0x365f5f37365ffd";
/// Code that halts: INVALID.
const HALTS: &str = "0xfe";
/// Code that returns one byte of zero, and so creates the contract `0x00`: PUSH1 1, PUSH0, RETURN.
const CREATES: &str = "0x60015ff3";

#[test]
fn a_balance_is_added_to_up_to_the_largest() {
    in_each_mode(|dev| {
        let balance = || dev.ok("eth_getBalance", &json!([STRANGER, "latest"]));
        for (wei, expected) in [(5, 5), (0, 5), (7, 12)] {
            assert_eq!(dev.ok("anvil_addBalance", &json!([STRANGER, wei])), Value::Null);
            assert_eq!(balance(), json!(quantity(expected)));
        }
        // Each is a block of its own.
        assert_eq!(dev.number(), 3);
        dev.ok("anvil_addBalance", &json!([STRANGER, U256::MAX]));
        assert_eq!(balance(), json!(U256::MAX));
        let (code, told) = dev.refused("anvil_addBalance", &json!([STRANGER]));
        assert!(code == -32_602 && told.contains("(amount)"), "{code} {told}");
    });
}

#[test]
fn the_transactions_of_one_sender_leave_the_pool() {
    in_each_mode(|dev| {
        dev.ok("evm_setAutomine", &json!([false]));
        let second = dev.ok("eth_accounts", &json!([]))[1].clone();
        let status = |pending: u64, queued: u64| {
            let expected = json!({ "pending": quantity(pending), "queued": quantity(queued) });
            assert_eq!(dev.ok("txpool_status", &json!([])), expected);
        };
        // Two that could be in a block, and one that leaves a gap.
        for nonce in ["0x0", "0x1", "0x5"] {
            dev.send(&json!({ "from": FIRST, "to": TO, "nonce": nonce, "gas": "0x5208" }));
        }
        let kept = dev.send(&json!({ "from": second, "to": TO, "gas": "0x5208" }));
        status(3, 1);
        for _ in 0..2 {
            assert_eq!(dev.ok("anvil_removePoolTransactions", &json!([FIRST])), Value::Null);
            status(1, 0);
        }
        dev.ok("evm_mine", &json!([]));
        let block = dev.ok("eth_getBlockByNumber", &json!(["latest", false]));
        assert_eq!(block["transactions"], json!([kept]));
        // The next nonce is that of the chain again.
        dev.ok("evm_setAutomine", &json!([true]));
        let sent = dev.send(&json!({ "from": FIRST, "to": TO }));
        assert_eq!(dev.receipt(&sent)["status"], "0x1");
    });
}

#[test]
fn a_rollback_takes_blocks_as_the_way_back_does() {
    in_each_mode(|dev| {
        let tx = json!({ "from": FIRST, "to": TO, "value": "0x1" });
        let sent = [dev.send(&tx), dev.send(&tx), dev.send(&tx)];
        let snapshots = [1, 3].map(|number| {
            // The second one is of a block that goes.
            dev.ok("anvil_mine", &json!([number]));
            dev.ok("evm_snapshot", &json!([]))
        });
        assert_eq!(dev.number(), 7);
        assert_eq!(dev.ok("anvil_rollback", &json!([])), Value::Null);
        assert_eq!(dev.number(), 6);
        dev.ok("evm_setAutomine", &json!([false]));
        dev.send(&tx);
        assert_eq!(dev.ok("anvil_rollback", &json!(["0x2"])), Value::Null);
        assert_eq!(dev.number(), 4);
        let status = dev.ok("txpool_status", &json!([]));
        assert_eq!(status, json!({ "pending": "0x0", "queued": "0x0" }));
        assert_eq!(dev.ok("evm_revert", &json!([snapshots[1]])), false);
        assert_eq!(dev.ok("evm_revert", &json!([snapshots[0]])), true);
        // By none, it stays.
        dev.ok("anvil_rollback", &json!([0]));
        assert_eq!(dev.number(), 4);
        let (code, told) = dev.refused("anvil_rollback", &json!([5]));
        assert!(code == -32_000 && told.starts_with("5 blocks below the head, 4"), "{code} {told}");
        // Over durable blocks, a batch has 32, and down to the genesis.
        dev.ok("anvil_mine", &json!([80]));
        assert_eq!(dev.ok("anvil_rollback", &json!([82])), Value::Null);
        assert_eq!(dev.number(), 2);
        let are_there = sent.each_ref().map(|hash| !dev.receipt(hash).is_null());
        assert_eq!(are_there, [true, true, false]);
        dev.ok("anvil_rollback", &json!([2]));
        assert_eq!((dev.number(), dev.receipt(&sent[0])), (0, Value::Null));
        // And on from there.
        dev.ok("evm_setAutomine", &json!([true]));
        assert_eq!(dev.receipt(&dev.send(&tx))["blockNumber"], "0x1");
    });
}

#[test]
fn mined_blocks_are_told_with_what_their_transactions_gave_back() {
    in_each_mode(|dev| {
        let accounts = [0x5a, 0x5b, 0x5c].map(Address::repeat_byte);
        for (account, code) in accounts.iter().zip([RETURNS, REVERTS, HALTS]) {
            dev.ok("anvil_setCode", &json!([account, code]));
        }
        let [returns, reverts, halts] = accounts;
        dev.ok("evm_setAutomine", &json!([false]));
        // `Error(string)`, of four bytes.
        let failure = format!("0x08c379a0{:064x}{:064x}{:0<64}", 32, 4, "6e6f7065");
        let (seven, nothing) = (json!(B256::with_last_byte(7)), json!("0x"));
        let cases = [
            (json!({ "to": returns }), Some(seven), None),
            (json!({ "to": TO, "value": "0x1" }), Some(nothing.clone()), None),
            (json!({ "data": CREATES }), Some(json!("0x00")), None),
            (json!({ "to": reverts, "data": failure }), Some(json!(failure)), Some(json!("nope"))),
            (json!({ "to": reverts }), Some(nothing), None),
            (json!({ "to": halts }), None, None),
        ];
        for (tx, ..) in &cases {
            let mut tx = tx.clone();
            (tx["from"], tx["gas"]) = (json!(FIRST), json!("0x186a0"));
            dev.send(&tx);
        }
        let number = dev.number() + 1;
        let mut blocks = dev.ok("anvil_mine_detailed", &json!([]));
        assert_eq!(dev.number(), number);
        assert_eq!(blocks.as_array().map(Vec::len), Some(1), "{blocks}");
        let block = &mut blocks[0];
        let txs = block["transactions"].as_array_mut().expect("a list");
        assert_eq!(txs.len(), cases.len());
        for (tx, (sent, output, reason)) in txs.iter_mut().zip(cases) {
            let fields = tx.as_object_mut().expect("an object");
            assert_eq!(fields.remove("output"), output, "{sent}");
            assert_eq!(fields.remove("revertReason"), reason, "{sent}");
        }
        // All else is as always.
        assert_eq!(*block, dev.ok("eth_getBlockByNumber", &json!([quantity(number), true])));

        let timestamp = quantity(dev.head("timestamp") + 50);
        let options = json!([{ "timestamp": timestamp, "blocks": 2 }]);
        let blocks = dev.ok("evm_mine_detailed", &options);
        let block = |number: u64| dev.ok("eth_getBlockByNumber", &json!([quantity(number), true]));
        assert_eq!(blocks, json!([block(number + 1), block(number + 2)]));
        assert_eq!(blocks[0]["timestamp"], json!(timestamp));
        assert_eq!(dev.ok("evm_mine_detailed", &json!([{ "blocks": 0 }])), json!([]));
        let (code, told) = dev.refused("evm_mine_detailed", &json!([{ "blocks": 1_025 }]));
        assert!(code == -32_602 && told.ends_with("want at most 1024"), "{code} {told}");
        assert_eq!(dev.number(), number + 2);
    });
}

//! What anvil alone has, on a dev chain, over HTTP.

use crate::{
    dev_methods::{FIRST, STRANGER, TO, in_each_mode},
    rules_support::quantity,
};
use fugue_types::U256;
use serde_json::{Value, json};

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

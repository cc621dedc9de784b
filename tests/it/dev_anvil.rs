//! What anvil alone has, on a dev chain, over HTTP.

use crate::{
    dev_methods::{STRANGER, in_each_mode},
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

//! What edits of a dev chain leave behind, over HTTP.

use crate::dev_methods::{Dev, FIRST, in_each_mode};
use fugue_types::{Address, B256};
use serde_json::{Value, json};

/// Code that returns nothing, and so creates a contract without code: STOP.
const CREATES: &str = "0x00";

/// Puts a word into a slot of an account without code.
fn store(dev: &Dev, account: Address, slot: &str, word: u8) {
    let word = B256::with_last_byte(word);
    assert_eq!(dev.ok("hardhat_setStorageAt", &json!([account, slot, word])), true);
}

/// The status of a transaction that creates a contract.
fn created(dev: &Dev) -> Value {
    let hash = dev.send(&json!({ "from": FIRST, "data": CREATES }));
    dev.receipt(&hash)["status"].clone()
}

#[test]
fn a_contract_is_created_where_all_that_was_stored_was_emptied() {
    in_each_mode(|dev| {
        let here = FIRST.create(0);
        // 1. What it stores is durable: a batch has 32 blocks. Its balance keeps the account.
        dev.ok("hardhat_setBalance", &json!([here, "0x1"]));
        store(dev, here, "0x1", 9);
        store(dev, here, "0x2", 8);
        dev.ok("hardhat_mine", &json!(["0x50"]));
        // 2. One of two slots is left (EIP-7610).
        store(dev, here, "0x1", 0);
        let id = dev.ok("evm_snapshot", &json!([]));
        assert_eq!(created(dev), "0x0");
        assert_eq!(dev.ok("evm_revert", &json!([id])), true);
        // 3. None is.
        let id = dev.ok("evm_snapshot", &json!([]));
        store(dev, here, "0x2", 0);
        assert_eq!(created(dev), "0x1");
        // 4. After the way back, what was emptied is there again.
        assert_eq!(dev.ok("evm_revert", &json!([id])), true);
        assert_eq!(created(dev), "0x0");
    });
}

#[test]
fn an_account_that_has_nothing_goes_with_the_last_that_it_stores() {
    in_each_mode(|dev| {
        let here = FIRST.create(0);
        store(dev, here, "0x1", 9);
        dev.ok("hardhat_mine", &json!(["0x50"]));
        store(dev, here, "0x1", 0);
        // What is stored anew is all that there is, also when it is durable.
        store(dev, here, "0x2", 7);
        dev.ok("hardhat_mine", &json!(["0x50"]));
        let slot = |slot: &str| dev.ok("eth_getStorageAt", &json!([here, slot, "latest"]));
        let [nothing, seven] = [0, 7].map(|word| json!(B256::with_last_byte(word)));
        assert_eq!([slot("0x1"), slot("0x2")], [nothing, seven]);
        let id = dev.ok("evm_snapshot", &json!([]));
        store(dev, here, "0x2", 0);
        assert_eq!(created(dev), "0x1");
        assert_eq!(dev.ok("evm_revert", &json!([id])), true);
        assert_eq!(created(dev), "0x0");
    });
}

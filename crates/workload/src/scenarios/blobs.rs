//! Blob transactions (EIP-4844), withdrawals (EIP-4895) and access lists (EIP-2930) among others.

use crate::{Call, Props, Rng, Scenario, Script};
use alloy_eips::eip2930::{AccessList, AccessListItem};
use fugue_chainspec::Fork;
use fugue_types::{Address, B256, U256};

/// Blobs of one transaction at most. Source: EIP-7594, and EIP-4844 for a block of Cancun.
const BLOBS_MAX: u64 = 6;

/// Blob transactions between others: blocks end where the blobs do. From Cancun on.
pub fn blobs(seed: u64, fork: Fork) -> Scenario {
    let about = "transactions with one to six blobs between plain ones";
    let mut script = Script::new("blobs-mixed", about, seed, fork);
    let mut rng = script.stream("draws");
    let props = Props::deploy(&mut script);
    let users = script.users(12);
    let beneficiary = script.user().address();
    let others: Vec<Address> = users.iter().map(|user| user.address()).collect();
    // As many blobs as one block takes, in a few transactions.
    for count in [BLOBS_MAX, 1, 2] {
        for _ in 0..8 {
            script.send(rng.pick(&users), props.anything(&mut rng, &others));
        }
        let call = Call::transfer(rng.pick(&others), U256::from(1)).blobs(count);
        script.send(rng.pick(&users), call);
    }
    for _ in 0..8 {
        script.send(
            rng.pick(&users),
            props
                .look(&mut rng, &others)
                .unwrap_or_else(|| Call::transfer(beneficiary, U256::from(1))),
        );
    }
    script.end(beneficiary)
}

/// Withdrawals to accounts that the block used, and of nothing to accounts that do not exist.
/// From Shanghai on.
pub fn withdrawals(seed: u64, fork: Fork) -> Scenario {
    let about = "withdrawals to senders, to the beneficiary, to contracts, and of nothing";
    let mut script = Script::new("blobs-withdrawals", about, seed, fork);
    let mut rng = script.stream("draws");
    let props = Props::deploy(&mut script);
    let users = script.users(8);
    let beneficiary = rng.address();
    let others: Vec<Address> = users.iter().map(|user| user.address()).collect();
    let phoenix = props.phoenixes().map_or(props.spender, |[main, _]| main);
    for _ in 0..2 {
        for _ in 0..25 {
            let heir = rng.pick(&others);
            let call = match rng.below(3) {
                0 => props.rise_or_fall(&mut rng, heir),
                1 => props.look(&mut rng, &[heir, beneficiary, phoenix]),
                _ => Some(Call::transfer(heir, U256::from(5))),
            };
            let call = call.unwrap_or_else(|| props.count(&mut rng));
            script.send(rng.pick(&users), call);
        }
        let list = [
            (rng.pick(&others), 1_000_000),
            (beneficiary, 7),
            (rng.address(), 0),
            (phoenix, 3),
            (props.spender, 32_000_000_000),
            (rng.address(), 1),
            (beneficiary, 0),
            (beneficiary, 1),
        ];
        script.block_with(beneficiary, &list);
    }
    script.end(beneficiary)
}

/// Access lists that fit, that name too much, or that name nothing of use. From Berlin on.
pub fn access_lists(seed: u64, fork: Fork) -> Scenario {
    let about = "access lists with the right slots, with others, and with repetitions";
    let mut script = Script::new("blobs-access-lists", about, seed, fork);
    let mut rng = script.stream("draws");
    let props = Props::deploy(&mut script);
    let users = script.users(15);
    let beneficiary = rng.address();
    let mut others: Vec<Address> = users.iter().map(|user| user.address()).collect();
    others.extend([beneficiary, props.counter, props.store, Address::with_last_byte(2)]);
    for _ in 0..60 {
        let call = props.anything(&mut rng, &others);
        let call = if rng.chance(70) {
            let list = access_list(&mut rng, &others);
            call.access(list)
        } else {
            call
        };
        script.send(rng.pick(&users), call);
    }
    script.end(beneficiary)
}

/// Up to four of the addresses, each with up to three low slots; some stand there twice.
pub(crate) fn access_list(rng: &mut Rng, others: &[Address]) -> AccessList {
    let items = (0..rng.below(5)).map(|_| {
        let address = rng.pick(others);
        let storage_keys =
            (0..rng.below(4)).map(|_| B256::from(U256::from(rng.below(3)))).collect();
        AccessListItem { address, storage_keys }
    });
    AccessList(items.collect())
}

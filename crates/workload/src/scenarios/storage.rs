//! Slots that everyone writes, slots that nobody else writes, writes that leave no trace, and
//! contracts that store what they see of others.

use crate::{Call, Props, Scenario, Script, Tiny};
use fugue_chainspec::Fork;
use fugue_types::{Address, U256};

/// Counters written by hand, for every fork.
pub fn counters_by_hand(seed: u64, fork: Fork) -> Scenario {
    let about = "one hot slot, slots of each sender, a slot that another names";
    let mut script = Script::new("storage-counters-by-hand", about, seed, fork);
    let mut rng = script.stream("draws");
    let tiny = Tiny::place(&mut script);
    let users = script.users(30);
    let others: Vec<Address> = users.iter().map(|user| user.address()).collect();
    for _ in 0..70 {
        let call =
            if rng.chance(70) { tiny.count(&mut rng) } else { tiny.anything(&mut rng, &others) };
        script.send(rng.pick(&users), call);
    }
    let beneficiary = rng.address();
    script.end(beneficiary)
}

/// Counters of one slot, of a slot for each sender, of both, and of a slot that another names.
/// From Byzantium on.
pub fn counters(seed: u64, fork: Fork) -> Scenario {
    let about = "one hot slot, slots of each sender, a slot that another names";
    let mut script = Script::new("storage-counters", about, seed, fork);
    let mut rng = script.stream("draws");
    let props = Props::deploy(&mut script);
    let users = script.users(40);
    for _ in 0..80 {
        script.send(rng.pick(&users), props.count(&mut rng));
    }
    let beneficiary = rng.address();
    script.end(beneficiary)
}

/// Stores that change nothing, refunds, and writes that are undone. From Byzantium on.
pub fn rewrites(seed: u64, fork: Fork) -> Scenario {
    let about = "silent stores, refunds up to their cap, undone writes to shared slots";
    let mut script = Script::new("storage-rewrites", about, seed, fork);
    let mut rng = script.stream("draws");
    let props = Props::deploy(&mut script);
    let users = script.users(20);
    for cell in 0..12_u64 {
        let words = [U256::from(cell), U256::from(cell % 3)];
        let call = Call::function(props.store, "ReverseStore", "set(uint256,uint256)", &words);
        script.setup(script.deployer(), call);
    }
    for _ in 0..80 {
        let call = if rng.chance(65) { props.rewrite(&mut rng) } else { props.fail(&mut rng) };
        script.send(rng.pick(&users), call);
    }
    let beneficiary = rng.address();
    script.end(beneficiary)
}

/// Logs, precompiled contracts, and what a block tells its transactions. From Byzantium on.
pub fn outputs(seed: u64, fork: Fork) -> Scenario {
    let about = "logs of every shape, precompiled contracts, the block's own values";
    let mut script = Script::new("storage-outputs", about, seed, fork);
    let mut rng = script.stream("draws");
    let props = Props::deploy(&mut script);
    let users = script.users(20);
    for _ in 0..60 {
        let call = match rng.below(3) {
            0 => props.log(&mut rng),
            1 => props.compute(&mut rng),
            _ => props.record(&mut rng).unwrap_or_else(|| props.log(&mut rng)),
        };
        script.send(rng.pick(&users), call);
    }
    let beneficiary = rng.address();
    script.end(beneficiary)
}

/// Balances and codes are stored while transfers, deaths and births change them. From
/// Constantinople on.
pub fn survey(seed: u64, fork: Fork) -> Scenario {
    let about = "balances, code hashes and code sizes stored while the block changes them";
    let mut script = Script::new("storage-survey", about, seed, fork);
    let mut rng = script.stream("draws");
    let props = Props::deploy(&mut script);
    let users = script.users(12);
    let beneficiary = rng.address();
    let mut others: Vec<Address> = users.iter().map(|user| user.address()).collect();
    others.extend(props.phoenixes().into_iter().flatten());
    others.extend([beneficiary, props.spender, rng.address()]);
    for _ in 0..70 {
        let heir = rng.pick(&others);
        let call = match rng.below(8) {
            0..=3 => props.look(&mut rng, &others),
            4 => props.rise_or_fall(&mut rng, heir),
            5 => Some(props.pay(&mut rng, &others)),
            _ => Some(Call::transfer(heir, U256::from(21)).gas(60_000)),
        };
        let call = call.unwrap_or_else(|| props.count(&mut rng));
        script.send(rng.pick(&users), call);
    }
    script.end(beneficiary)
}

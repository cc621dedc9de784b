//! A block of everything: for property tests, and for as many different blocks as one likes.

use crate::{
    Call, Desk, DeskSize, Props, Rng, Scenario, Script, Tiny, Wallet,
    scenarios::{blobs::access_list, delegation::Delegates, nonces::create_any, transfers},
};
use fugue_chainspec::Fork;
use fugue_types::Address;

/// Users of a random block: few, so that they meet.
const USERS: usize = 16;

/// All that a random transaction may use.
struct Stage {
    tiny: Tiny,
    props: Option<Props>,
    desk: Option<Desk>,
    delegates: Option<Delegates>,
    users: Vec<Wallet>,
    others: Vec<Address>,
}

/// A scenario of `transactions` random transactions: one block, or as many as the gas limits and
/// blobs need. Contracts are used from the fork on that they run on.
pub fn random(seed: u64, fork: Fork, transactions: usize) -> Scenario {
    let about = "everything at random";
    let mut script = Script::new(&format!("random-{seed}"), about, seed, fork);
    let mut rng = script.stream("draws");
    let mut stage = set(&mut script);
    for _ in 0..transactions {
        step(&mut stage, &mut script, &mut rng);
    }
    let unknown = rng.address();
    let beneficiary = if rng.chance(60) { rng.pick(&stage.others) } else { unknown };
    let withdrawals: Vec<_> = (0..rng.below(6))
        .map(|_| {
            let to = if rng.chance(70) { rng.pick(&stage.others) } else { rng.address() };
            (to, rng.below(3))
        })
        .collect();
    script.block_with(beneficiary, &withdrawals);
    script.end(beneficiary)
}

fn set(script: &mut Script) -> Stage {
    let tiny = Tiny::place(script);
    let size = DeskSize { users: USERS, tokens: 4, pools: 4 };
    let solidity = script.has(Fork::Byzantium);
    let props = solidity.then(|| Props::deploy(script));
    let desk = solidity.then(|| Desk::deploy(script, size));
    let delegates = script.has(Fork::Prague).then(|| Delegates::deploy(script));
    let users = desk.as_ref().map(|desk| desk.users.clone());
    let users = users.unwrap_or_else(|| script.users(USERS));
    let mut others: Vec<Address> = users.iter().map(|user| user.address()).collect();
    others.extend([tiny.forwarder, tiny.counter]);
    if let Some(props) = props {
        others.push(props.spender);
        others.extend(props.phoenixes().into_iter().flatten());
    }
    Stage { tiny, props, desk, delegates, users, others }
}

/// Sends exactly one transaction.
fn step(stage: &mut Stage, script: &mut Script, rng: &mut Rng) {
    let user = rng.pick(&stage.users);
    let roll = rng.below(100);
    if let (55..75, Some(desk)) = (roll, &mut stage.desk) {
        desk.anything(script, rng);
        return;
    }
    if let (90..98, Some(delegates)) = (roll, stage.delegates) {
        delegates.delegate_any(script, rng, &stage.users);
        return;
    }
    if roll >= 98 {
        create_any(script, rng, user);
        return;
    }
    let call = match (roll, stage.props) {
        (0..25, _) => transfers::any(rng, user.address(), &stage.others, script.fork()),
        (25..55, Some(props)) => props.anything(rng, &stage.others),
        _ => stage.tiny.anything(rng, &stage.others),
    };
    let call = decorate(call, script, rng, &stage.others);
    script.send(user, call);
}

/// Some calls name what they will access, some carry a blob.
fn decorate(call: Call, script: &Script, rng: &mut Rng, others: &[Address]) -> Call {
    let call = if rng.chance(10) { call.access(access_list(rng, others)) } else { call };
    if script.has(Fork::Cancun) && rng.chance(2) { call.blobs(1) } else { call }
}

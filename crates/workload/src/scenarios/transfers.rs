//! Bursts of plain transfers: the best case for execution in parallel, and the worst.

use crate::{Call, Rng, Scenario, Script, ether};
use alloy_eips::{
    eip2935::HISTORY_STORAGE_ADDRESS,
    eip4788::{BEACON_ROOTS_ADDRESS, SYSTEM_ADDRESS},
    eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS,
    eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS,
};
use fugue_chainspec::Fork;
use fugue_types::{Address, Bytes, U256};

/// Highest address of a precompiled contract that transfers go to.
const PRECOMPILE_LAST: u8 = 0x12;

/// Pairs that have nothing to do with one another, but for the beneficiary.
pub fn independent(seed: u64, fork: Fork) -> Scenario {
    let about = "plain transfers between disjoint pairs of accounts";
    let mut script = Script::new("transfers-independent", about, seed, fork);
    let mut rng = script.stream("draws");
    for _ in 0..60 {
        let from = script.user();
        let to = if rng.chance(70) { script.user().address() } else { rng.address() };
        script.send(from, Call::transfer(to, wei(&mut rng)));
    }
    let beneficiary = rng.address();
    script.end(beneficiary)
}

/// Everybody pays the same account, which pays somebody now and then.
pub fn hot_recipient(seed: u64, fork: Fork) -> Scenario {
    let about = "plain transfers to one account, which spends in between";
    let mut script = Script::new("transfers-hot-recipient", about, seed, fork);
    let mut rng = script.stream("draws");
    let hot = script.user();
    let senders = script.users(40);
    for _ in 0..60 {
        if rng.chance(10) {
            script.send(hot, Call::transfer(rng.pick(&senders).address(), wei(&mut rng)));
        } else {
            let call = Call::transfer(hot.address(), wei(&mut rng));
            script.send(rng.pick(&senders), call);
        }
    }
    let beneficiary = rng.address();
    script.end(beneficiary)
}

/// Accounts that do not exist before pass on what they got one transaction earlier.
pub fn chain(seed: u64, fork: Fork) -> Scenario {
    let about = "each transfer spends what the transfer before it brought";
    let mut script = Script::new("transfers-chain", about, seed, fork);
    let mut rng = script.stream("draws");
    let cost = script.upfront(&Call::transfer(Address::ZERO, U256::ZERO));
    for links in [40_u64, 12] {
        let mut value = ether(20);
        let mut from = script.user();
        for _ in 0..links {
            let to = script.stranger();
            script.send(from, Call::transfer(to.address(), value));
            value -= cost;
            from = to;
        }
        script.send(from, Call::transfer(rng.address(), U256::from(1)));
    }
    let beneficiary = rng.address();
    script.end(beneficiary)
}

/// Long runs of transactions by one sender, alone and interleaved.
pub fn runs(seed: u64, fork: Fork) -> Scenario {
    let about = "runs of fifty transactions by one sender";
    let mut script = Script::new("transfers-runs", about, seed, fork);
    let mut rng = script.stream("draws");
    let [first, second, third] = [(); 3].map(|()| script.user());
    for _ in 0..50 {
        script.send(first, Call::transfer(rng.address(), wei(&mut rng)));
    }
    for _ in 0..25 {
        script.send(second, Call::transfer(third.address(), wei(&mut rng)));
        script.send(third, Call::transfer(second.address(), wei(&mut rng)));
    }
    let beneficiary = rng.address();
    script.end(beneficiary)
}

/// To oneself, to nobody yet, with nothing, to precompiled and to system contracts.
pub fn odd(seed: u64, fork: Fork) -> Scenario {
    let about = "transfers to oneself, to empty accounts, to precompiles, to system contracts";
    let mut script = Script::new("transfers-odd", about, seed, fork);
    let mut rng = script.stream("draws");
    let users = script.users(12);
    let beneficiary = rng.address();
    let empty = [rng.address(), rng.address()];
    for _ in 0..70 {
        let user = rng.pick(&users);
        let call = match rng.below(8) {
            0 => Call::transfer(user.address(), wei(&mut rng)),
            1 => Call::transfer(rng.address(), wei(&mut rng)),
            2 => Call::transfer(rng.pick(&empty), U256::ZERO),
            3 => Call::transfer(rng.address(), U256::ZERO),
            4 => to_precompile(&mut rng),
            5 => Call::transfer(SYSTEM_ADDRESS, U256::from(rng.below(2))),
            6 => to_system_contract(&mut rng, fork),
            _ => Call::transfer(beneficiary, U256::from(rng.below(3))),
        };
        script.send(user, call);
    }
    script.end(beneficiary)
}

/// A random transfer of the odd kinds, or a plain one.
pub(crate) fn any(rng: &mut Rng, from: Address, others: &[Address], fork: Fork) -> Call {
    match rng.below(12) {
        0 => Call::transfer(from, wei(rng)),
        1 | 2 => Call::transfer(rng.address(), wei(rng)),
        3 => Call::transfer(Address::repeat_byte(rng.below(4) as u8 + 0x90), U256::ZERO),
        4 => to_precompile(rng),
        5 => to_system_contract(rng, fork),
        6 => Call::transfer(SYSTEM_ADDRESS, U256::from(rng.below(2))),
        7 | 8 => Call::transfer(others[0], wei(rng)),
        _ => Call::transfer(rng.pick(others), wei(rng)),
    }
}

fn wei(rng: &mut Rng) -> U256 {
    U256::from(1 + rng.below(1_000_000_000_000))
}

/// Some wei or none to a precompiled contract, or to where a later fork has one.
pub(crate) fn to_precompile(rng: &mut Rng) -> Call {
    let number = 1 + rng.below(u64::from(PRECOMPILE_LAST)) as u8;
    let value = U256::from(rng.below(3));
    Call::transfer(Address::with_last_byte(number), value).gas(60_000)
}

/// A request for a withdrawal or a consolidation, or a call that the contract refuses. Before the
/// contract's fork its address is one like any other.
pub(crate) fn to_system_contract(rng: &mut Rng, fork: Fork) -> Call {
    let (to, input) = match rng.below(5) {
        0 => (WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, noise(rng, 56)),
        1 => (CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS, noise(rng, 96)),
        2 => (BEACON_ROOTS_ADDRESS, Bytes::new()),
        3 => (HISTORY_STORAGE_ADDRESS, Bytes::from([0_u8; 32])),
        _ => (WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, Bytes::new()),
    };
    let value = if fork >= Fork::Prague { 1_000_000 } else { rng.below(2) };
    Call::to(to, input).value(U256::from(value)).gas(250_000).fresh(8)
}

fn noise(rng: &mut Rng, length: usize) -> Bytes {
    let bytes: Vec<u8> = (0..length).map(|_| rng.below(256) as u8).collect();
    bytes.into()
}

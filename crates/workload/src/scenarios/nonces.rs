//! Runs of one sender with failures in the middle, and creations whose addresses follow from
//! nonces.

use crate::{Call, Props, Rng, Scenario, Script, Tiny, Wallet, bytecode, ether};
use fugue_chainspec::Fork;
use fugue_types::{Address, Bytes, U256};

/// A failed transaction takes its nonce and its fee all the same.
pub fn failing_runs(seed: u64, fork: Fork) -> Scenario {
    let about = "runs of one sender in which transactions revert, halt, and run out of gas";
    let mut script = Script::new("nonces-failing-runs", about, seed, fork);
    let mut rng = script.stream("draws");
    let tiny = Tiny::place(&mut script);
    let props = script.has(Fork::Byzantium).then(|| Props::deploy(&mut script));
    let senders = script.users(3);
    let beneficiary = rng.address();
    for _ in 0..50 {
        let sender = rng.pick(&senders);
        let call = match (rng.below(6), props) {
            (0, _) => tiny.fail(&mut rng),
            (1, _) => tiny.count(&mut rng),
            (2 | 3, Some(props)) => props.fail(&mut rng),
            (4, Some(props)) => props.pay(&mut rng, &[sender.address(), beneficiary]),
            (5, _) => Call::transfer(rng.pick(&senders).address(), U256::from(8)),
            _ => tiny.pay(&mut rng, beneficiary),
        };
        script.send(sender, call);
    }
    script.end(beneficiary)
}

/// Contracts are created by accounts and by contracts, and used at once by others.
pub fn creates(seed: u64, fork: Fork) -> Scenario {
    let about = "contracts created and used in one block, failed creations, collisions";
    let mut script = Script::new("nonces-creates", about, seed, fork);
    let mut rng = script.stream("draws");
    let tiny = Tiny::place(&mut script);
    let users = script.users(6);
    let beneficiary = rng.address();
    let blocked = collisions(&mut script);
    let mut known = vec![tiny.counter];
    // A contract's first child has the nonce 1: those of the genesis begin there.
    known.extend((1..4).map(|nonce| tiny.factory.create(nonce)));
    for _ in 0..50 {
        let user = rng.pick(&users);
        match rng.below(9) {
            0 | 1 => known.push(create_any(&mut script, &mut rng, user)),
            2 => known.push(create_failing(&mut script, &mut rng, user)),
            3 => {
                // Paid before it exists.
                let next = user.address().create(script.next_nonce(user) + 1);
                script.send(user, Call::transfer(next, U256::from(33)));
                known.push(create_any(&mut script, &mut rng, user));
            }
            4 => script.send(user, tiny.make(&mut rng)),
            5 => script.send(user, Call::transfer(rng.pick(&known), ether(1)).gas(60_000)),
            _ => script.send(user, Call::to(rng.pick(&known), Bytes::new())),
        }
    }
    for wallet in blocked {
        let code = bytecode::deploy(&bytecode::counter());
        let address = script.create(wallet, Call::create(code).value(U256::from(3)));
        script.send(rng.pick(&users), Call::to(address, Bytes::new()));
        script.send(wallet, Call::transfer(address, U256::from(1)).gas(60_000));
    }
    script.end(beneficiary)
}

/// Wallets whose first contract has no place: there is code or a nonce already. The last one's
/// place has nothing but a balance, which is no obstacle.
fn collisions(script: &mut Script) -> Vec<Wallet> {
    let wallets = script.users(3);
    let codes = [bytecode::counter(), Vec::new(), Vec::new()];
    for (wallet, code) in wallets.iter().zip(codes) {
        let address = wallet.address().create(0);
        script.place(address, Bytes::from(code), U256::from(10), &[]);
    }
    if let Some(last) = wallets.last() {
        script.forget_nonce(last.address().create(0));
    }
    wallets
}

/// One of the programs, deployed by an account.
pub(crate) fn create_any(script: &mut Script, rng: &mut Rng, user: Wallet) -> Address {
    let code = match rng.below(4) {
        0 => bytecode::deploy(&bytecode::counter()),
        1 => bytecode::deploy_after(&bytecode::store(0, 5), &bytecode::own_counter()),
        2 => bytecode::deploy(&bytecode::factory()),
        // No code at all: an account with a nonce (EIP-161) or without.
        _ => Bytes::new(),
    };
    script.create(user, Call::create(code).value(U256::from(rng.below(5))))
}

/// A creation that meets an invalid opcode, runs out of gas, or cannot pay for its code: what
/// happens then changed with Homestead (EIP-2).
fn create_failing(script: &mut Script, rng: &mut Rng, user: Wallet) -> Address {
    let call = match rng.below(4) {
        0 => Call::create(Bytes::from([0x60_u8, 1, 0x60, 0, 0x55, 0xfe])),
        1 => Call::create(Bytes::from(bytecode::spinner())),
        // A creation that destroys itself leaves nothing: SELFDESTRUCT to the caller.
        2 => Call::create(Bytes::from([0x33_u8, 0xff])),
        // Deposits 200 bytes of zeros with too little gas: PUSH 200, PUSH 0, RETURN.
        _ => Call::create(Bytes::from([0x60_u8, 200, 0x60, 0, 0xf3])).gas(58_000).fresh(1),
    };
    script.create(user, call.value(U256::from(rng.below(2))))
}

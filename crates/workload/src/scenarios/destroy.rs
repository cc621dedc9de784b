//! Contracts that destroy themselves, and contracts that come back at the same address.

use crate::{Call, Props, Rng, Scenario, Script, Tiny, Wallet, bytecode, tiny, word};
use fugue_chainspec::Fork;
use fugue_types::{Address, Bytes, U256};

/// Phoenixes rise, are poked, die and rise again within a block, and in the block after it. From
/// Constantinople on; up to Shanghai they really die (EIP-6780).
pub fn phoenix(seed: u64, fork: Fork) -> Scenario {
    let about = "CREATE2 and SELFDESTRUCT at one address, transaction after transaction";
    let mut script = Script::new("destroy-phoenix", about, seed, fork);
    let mut rng = script.stream("draws");
    let props = Props::deploy(&mut script);
    let users = script.users(10);
    let beneficiary = script.user().address();
    let mut others: Vec<Address> = users.iter().map(|user| user.address()).collect();
    others.extend(props.phoenixes().into_iter().flatten());
    if let (Some(factory), Some([main, spare])) = (props.factory, props.phoenixes()) {
        whole_life(&mut script, &users, factory, main, beneficiary);
        second_life(&mut script, &users, factory, [main, spare]);
    }
    for length in [30, 12] {
        for _ in 0..length {
            let heir = if rng.chance(30) { beneficiary } else { rng.pick(&others) };
            let call = match rng.below(10) {
                0 | 1 => props.look(&mut rng, &others),
                2 => Some(Call::transfer(rng.pick(&others), U256::from(6)).gas(40_000)),
                _ => props.rise_or_fall(&mut rng, heir),
            };
            let call = call.unwrap_or_else(|| props.count(&mut rng));
            script.send(rng.pick(&users), call);
        }
        script.block(beneficiary);
    }
    script.end(beneficiary)
}

/// Rise, bump, die, a gift to the dead, rise again, and a look at what is left of the storage.
fn whole_life(
    script: &mut Script,
    users: &[Wallet],
    factory: Address,
    main: Address,
    beneficiary: Address,
) {
    let spawn = || ask(factory, "spawn()", &[]);
    let poke = || ask(factory, "poke(address)", &[word(main)]);
    let bump = || Call::function(main, "Phoenix", "bump()", &[]);
    let die = |heir: Address| Call::function(main, "Phoenix", "die(address)", &[word(heir)]);
    let gift = || Call::transfer(main, U256::from(77)).gas(40_000);
    let steps = [
        gift(),
        poke(),
        spawn().value(U256::from(1_000)),
        bump(),
        bump(),
        poke(),
        die(beneficiary),
        poke(),
        gift(),
        bump(),
        spawn(),
        poke(),
        bump(),
        die(main),
        gift(),
        spawn().value(U256::from(5)),
        spawn(),
        poke(),
        die(Address::repeat_byte(0x66)),
        die(factory),
    ];
    for (number, step) in steps.into_iter().enumerate() {
        script.send(users[number % users.len()], step);
    }
}

/// Lives and deaths within single transactions, and creations where somebody lives already.
fn second_life(script: &mut Script, users: &[Wallet], factory: Address, places: [Address; 2]) {
    let [main, spare] = places;
    let kill = || ask(factory, "spawnAndKill()", &[]).value(U256::from(9)).gas(350_000);
    let collide = || ask(factory, "collide(uint256)", &[U256::from(160_000)]);
    let steps = [
        kill(),
        kill(),
        Call::transfer(spare, U256::from(4)).gas(40_000),
        kill(),
        collide(),
        collide(),
        ask(factory, "poke(address)", &[word(main)]),
        ask(factory, "spawnAt(bytes32)", &[U256::from(99)]),
        ask(factory, "spawnAt(bytes32)", &[U256::from(99)]),
        kill(),
    ];
    for (number, step) in steps.into_iter().enumerate() {
        script.send(users[number % users.len()], step);
    }
}

fn ask(factory: Address, signature: &str, words: &[U256]) -> Call {
    Call::function(factory, "PhoenixFactory", signature, words).gas(250_000).fresh(9)
}

/// Contracts written by hand destroy themselves: some were there before, some are new.
pub fn by_hand(seed: u64, fork: Fork) -> Scenario {
    let about = "SELFDESTRUCT of old and new contracts, and transfers to what is gone";
    let mut script = Script::new("destroy-by-hand", about, seed, fork);
    let mut rng = script.stream("draws");
    let tiny = Tiny::place(&mut script);
    let users = script.users(8);
    let beneficiary = rng.address();
    let mut others: Vec<Address> = users.iter().map(|user| user.address()).collect();
    others.extend(&tiny.killers);
    others.push(beneficiary);
    for _ in 0..60 {
        let user = rng.pick(&users);
        let heir = rng.pick(&others);
        match rng.below(8) {
            0 => new_killer(&mut script, &mut rng, user, heir),
            1..=3 => script.send(user, tiny.kill(&mut rng, heir)),
            4 => script.send(user, tiny.look(&mut rng, heir)),
            5 => script.send(user, tiny.pay(&mut rng, heir)),
            _ => {
                let to = rng.pick(&tiny.killers);
                script.send(user, Call::to(to, tiny::argument(heir)).value(U256::from(3)));
            }
        }
    }
    script.end(beneficiary)
}

/// A contract with a slot is created, destroyed, and paid, by one sender in a row.
fn new_killer(script: &mut Script, rng: &mut Rng, user: Wallet, heir: Address) {
    let code = bytecode::deploy_after(&bytecode::store(1, 9), &bytecode::killer());
    let address = script.create(user, Call::create(code).value(U256::from(50)));
    if rng.chance(70) {
        script.send(user, Call::to(address, tiny::argument(heir)));
    }
    script.send(user, Call::to(address, Bytes::new()).value(U256::from(2)));
    script.send(user, Call::transfer(address, U256::from(1)).gas(40_000));
}

//! The fee recipient, whose balance every transaction of a block changes, as a party to them.

use crate::{Call, Fee, Props, Scenario, Script, Tiny, contracts, ether, word};
use fugue_chainspec::Fork;
use fugue_types::{Address, U256};

/// A price that leaves much for the beneficiary.
const RICH: Fee = Fee::Gwei { max: 100, tip: 50 };
/// A price that the beneficiary can pay from the fees of a few transactions before it.
const POOR: Fee = Fee::Gwei { max: 20, tip: 1 };

/// An author without funds lives on the fees that it earned earlier in the block.
pub fn author_trades(seed: u64, fork: Fork) -> Scenario {
    let about = "the beneficiary spends the fees of the same block";
    let mut script = Script::new("fees-author-trades", about, seed, fork);
    let mut rng = script.stream("draws");
    let tiny = Tiny::place(&mut script);
    let users = script.users(12);
    let author = script.stranger();
    for _ in 0..20 {
        let to = rng.pick(&users).address();
        script.send(rng.pick(&users), Call::transfer(to, U256::from(5)).fee(RICH));
    }
    for round in 0..3_u64 {
        let to = rng.pick(&users).address();
        script.send(author, Call::transfer(to, U256::from(100_000_000_000_000_u64)).fee(POOR));
        script.send(rng.pick(&users), Call::transfer(author.address(), ether(1)));
        script.send(author, Call::transfer(author.address(), U256::from(round)).fee(POOR));
        script.send(author, tiny.count(&mut rng).fee(POOR));
        script.send(rng.pick(&users), tiny.look(&mut rng, author.address()));
        script.send(author, Call::transfer(to, U256::from(3)).fee(Fee::Nothing));
        script.send(rng.pick(&users), tiny.pay(&mut rng, author.address()));
    }
    script.end(author.address())
}

/// Nobody pays anything to a beneficiary that does not exist; then it is touched with nothing.
pub fn absent_author(seed: u64, fork: Fork) -> Scenario {
    let about = "a beneficiary that does not exist, no fees, and transfers of nothing to it";
    let mut script = Script::new("fees-absent-author", about, seed, fork);
    let mut rng = script.stream("draws");
    let tiny = Tiny::place(&mut script);
    let users = script.users(8);
    let author = rng.address();
    for number in 0..24 {
        let call = match number % 6 {
            0 => Call::transfer(author, U256::ZERO),
            1 => tiny.look(&mut rng, author),
            2 => tiny.pay(&mut rng, author),
            3 => tiny.fail(&mut rng),
            _ => Call::transfer(rng.pick(&users).address(), U256::from(9)),
        };
        let call = if number % 6 == 2 { call.value(U256::ZERO) } else { call };
        script.send(rng.pick(&users), call.fee(Fee::Nothing));
    }
    script.end(author)
}

/// Contracts pay the beneficiary and look at its balance, between fees of zero and more. From
/// Byzantium on.
pub fn tips(seed: u64, fork: Fork) -> Scenario {
    let about = "contracts tip the beneficiary and store its balance";
    let mut script = Script::new("fees-tips", about, seed, fork);
    let mut rng = script.stream("draws");
    let props = Props::deploy(&mut script);
    let users = script.users(10);
    let author = script.user();
    for _ in 0..60 {
        let user = if rng.chance(15) { author } else { rng.pick(&users) };
        let call = match rng.below(6) {
            0 | 1 => props.tip(&mut rng),
            2 => Call::transfer(author.address(), U256::from(rng.below(5))),
            3 => Call::transfer(rng.pick(&users).address(), U256::from(11)),
            _ => {
                let look = props.look(&mut rng, &[author.address(), user.address()]);
                look.unwrap_or_else(|| props.count(&mut rng))
            }
        };
        let fee = rng.pick(&[Fee::Nothing, Fee::Usual, RICH]);
        script.send(user, call.fee(fee));
    }
    script.end(author.address())
}

/// The beneficiary is a contract that pays out what it has; then one that destroys itself. From
/// Byzantium on, the second block from Constantinople on.
pub fn contract_author(seed: u64, fork: Fork) -> Scenario {
    let about = "the beneficiary is a contract that spends, and one that destroys itself";
    let mut script = Script::new("fees-contract-author", about, seed, fork);
    let mut rng = script.stream("draws");
    let props = Props::deploy(&mut script);
    let users = script.users(8);
    let others: Vec<Address> = users.iter().map(|user| user.address()).collect();
    let phoenix = props.phoenixes().map(|[main, _]| main);
    if let Some(factory) = props.factory {
        let spawn = Call::function(factory, "PhoenixFactory", "spawn()", &[]);
        let spawn = spawn.value(ether(1)).gas(250_000).fresh(9);
        script.setup(script.deployer(), spawn);
    }
    for _ in 0..30 {
        let call = match rng.below(4) {
            0 => {
                // More than the fees so far fails, less passes.
                let amount = U256::from(rng.below(4) * 100_000_000_000_000);
                let to = word(rng.pick(&others));
                let input = contracts::call("Spender", "spend(address,uint256)", &[to, amount]);
                Call::to(props.spender, input)
            }
            1 => props.pay(&mut rng, &others),
            2 => Call::transfer(props.spender, U256::from(1)).gas(40_000),
            _ => Call::transfer(rng.pick(&others), U256::from(1)),
        };
        script.send(rng.pick(&users), call.fee(RICH));
    }
    script.block(props.spender);
    let Some(phoenix) = phoenix else { return script.end(props.spender) };
    for number in 0..24 {
        let call = if number % 8 == 3 {
            let heir = word(rng.pick(&others));
            Call::function(phoenix, "Phoenix", "die(address)", &[heir])
        } else if number % 8 == 5 {
            props.rise_or_fall(&mut rng, phoenix).unwrap_or_else(|| props.count(&mut rng))
        } else if number % 4 == 2 {
            let look = props.look(&mut rng, &[phoenix, props.spender]);
            look.unwrap_or_else(|| props.count(&mut rng))
        } else {
            Call::transfer(rng.pick(&others), U256::from(1))
        };
        script.send(rng.pick(&users), call.fee(RICH));
    }
    script.end(phoenix)
}

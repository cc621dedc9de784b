//! Decentralised finance on a [`Desk`], from Byzantium on: exchanges, tokens, loans, a vault,
//! options, and payment channels, each alone and all together.

use crate::{Call, Desk, DeskAction, DeskSize, Rng, Scenario, Script};
use fugue_chainspec::Fork;
use fugue_types::U256;

/// Trades over a few pools: one pool is the worst case, many are nearly independent. `pools` is
/// 1, 4 or 20.
pub fn swaps(seed: u64, fork: Fork, pools: usize) -> Scenario {
    let theme = match pools {
        1 => "defi-swaps-one-pool",
        4 => "defi-swaps-four-pools",
        _ => "defi-swaps-many-pools",
    };
    let size = DeskSize { users: 40, tokens: 8, pools };
    one_kind(theme, "trades that meet at pools", seed, fork, size, DeskAction::Swap)
}

/// Token transfers, hot and independent.
pub fn tokens(seed: u64, fork: Fork) -> Scenario {
    let about = "token transfers between random users, and many to one";
    let mut script = Script::new("defi-tokens", about, seed, fork);
    let mut rng = script.stream("draws");
    let desk = Desk::deploy(&mut script, DeskSize { users: 40, tokens: 3, pools: 0 });
    let hot = desk.users[0].address();
    for _ in 0..80 {
        let user = rng.pick(&desk.users);
        let to = if rng.chance(40) { hot } else { desk.peer(&mut rng) };
        desk.transfer(&mut script, &mut rng, user, to);
    }
    let beneficiary = rng.address();
    script.end(beneficiary)
}

/// Collateral, loans, repayments, withdrawals, and liquidations after the price fell.
pub fn lending(seed: u64, fork: Fork) -> Scenario {
    let size = DeskSize { users: 15, tokens: 2, pools: 0 };
    let about = "loans against collateral at a changing price";
    one_kind("defi-lending", about, seed, fork, size, DeskAction::Lend)
}

/// Deposits, harvests and redemptions of one vault.
pub fn vault(seed: u64, fork: Fork) -> Scenario {
    let size = DeskSize { users: 20, tokens: 2, pools: 0 };
    let about = "shares of a vault whose price moves with each harvest";
    one_kind("defi-vault", about, seed, fork, size, DeskAction::Save)
}

/// Options written, bought and settled, alone and in batches.
pub fn options(seed: u64, fork: Fork) -> Scenario {
    let size = DeskSize { users: 20, tokens: 2, pools: 0 };
    let about = "options that are written, sold and settled within a block";
    one_kind("defi-options", about, seed, fork, size, DeskAction::Options)
}

/// Payment channels opened and closed in three ways.
pub fn channels(seed: u64, fork: Fork) -> Scenario {
    let size = DeskSize { users: 20, tokens: 2, pools: 0 };
    let about = "channels closed by voucher, by signature, and by time";
    one_kind("defi-channels", about, seed, fork, size, DeskAction::Channel)
}

/// Everything together with transfers of ether: `count` transactions, in as many blocks as their
/// gas limits need.
pub fn mix(seed: u64, fork: Fork, count: usize) -> Scenario {
    let about = "trades, tokens, loans, vault, options, channels, and transfers of ether";
    let mut script = Script::new("defi-mix", about, seed, fork);
    let mut rng = script.stream("draws");
    let mut desk = Desk::deploy(&mut script, DeskSize { users: 80, tokens: 8, pools: 12 });
    for _ in 0..count {
        if rng.chance(25) {
            pay(&desk, &mut script, &mut rng);
        } else {
            desk.anything(&mut script, &mut rng);
        }
    }
    let beneficiary = rng.address();
    script.end(beneficiary)
}

fn pay(desk: &Desk, script: &mut Script, rng: &mut Rng) {
    let from = rng.pick(&desk.users);
    let to = if rng.chance(20) { rng.address() } else { desk.peer(rng) };
    script.send(from, Call::transfer(to, U256::from(1 + rng.below(1_000_000))));
}

fn one_kind(
    theme: &str,
    about: &'static str,
    seed: u64,
    fork: Fork,
    size: DeskSize,
    action: DeskAction,
) -> Scenario {
    let mut script = Script::new(theme, about, seed, fork);
    let mut rng = script.stream("draws");
    let mut desk = Desk::deploy(&mut script, size);
    for _ in 0..60 {
        desk.act(&mut script, &mut rng, action);
    }
    let beneficiary = rng.address();
    script.end(beneficiary)
}

//! A block of everything: for property tests, and for as many different blocks as one likes.
//!
//! A part of the transactions is drawn evenly. The others are pointed at a few accounts, where
//! executors in parallel are known to go wrong: see [`Focus`].

use crate::{
    Call, Desk, DeskSize, Fee, Grant, Props, Rng, Scenario, Script, Tiny, Wallet,
    scenarios::{blobs::access_list, delegation::Delegates, nonces::create_any, transfers},
    tiny,
};
use alloy_eips::{eip4788::SYSTEM_ADDRESS, eip8282};
use fugue_chainspec::Fork;
use fugue_types::{Address, Bytes, U256};

/// Users of a random block: few, so that they meet.
const USERS: usize = 16;
/// Transactions of 100 that are pointed at the focus of the block.
const POINTED_PERCENT: u64 = 35;
/// The highest address that a precompiled contract as beneficiary may have.
const PRECOMPILES: u64 = 10;

/// All that a random transaction may use.
struct Stage {
    tiny: Tiny,
    props: Option<Props>,
    desk: Option<Desk>,
    delegates: Option<Delegates>,
    users: Vec<Wallet>,
    others: Vec<Address>,
    focus: Focus,
}

/// The accounts that one block is about.
struct Focus {
    /// The fee recipient: a sender, a contract that destroys itself or comes back, another one, a
    /// precompiled contract, the system's address, or nobody.
    beneficiary: Address,
    /// Its key, if it is a user.
    author: Option<Wallet>,
    /// A sender of long runs, which fail in the middle; from Prague on with code that comes,
    /// changes and goes.
    star: Wallet,
    /// Accounts with no nonce, balance or code (EIP-161), one of which has a key, and may delegate.
    /// They exist, and have storage, unless the scenario is without such accounts; from Spurious
    /// Dragon on they go when they are touched.
    empty: [Address; 2],
    /// That one.
    ghost: Wallet,
}

/// A scenario of `transactions` random transactions: one block, or as many as the gas limits and
/// blobs need. Contracts are used from the fork on that they run on. With fewer transactions it
/// begins with the same ones.
pub fn random(seed: u64, fork: Fork, transactions: usize) -> Scenario {
    // Mainnet has none after the merge (EIP-7523); another chain may have them in its genesis.
    write(seed, fork, transactions, true)
}

/// The same transactions on a state without accounts that are there and empty. Most blocks of
/// [`random`] touch one, and then neither lanes nor access lists can follow them.
pub fn random_without_empty(seed: u64, fork: Fork, transactions: usize) -> Scenario {
    write(seed, fork, transactions, false)
}

fn write(seed: u64, fork: Fork, transactions: usize, has_empty: bool) -> Scenario {
    let about = "everything at random";
    let mut script = Script::new(&format!("random-{seed}"), about, seed, fork);
    let mut rng = script.stream("draws");
    let mut stage = set(&mut script, &mut rng);
    if has_empty {
        for address in stage.focus.empty {
            let slots = [1, 2, 3].map(|slot| (U256::from(slot), U256::from(7)));
            script.place(address, Bytes::new(), U256::ZERO, &slots);
            script.forget_nonce(address);
        }
    }
    for _ in 0..transactions {
        step(&mut stage, &mut script, &mut rng);
    }
    let Focus { beneficiary, star, empty, .. } = stage.focus;
    let touched = [beneficiary, star.address(), empty[0]];
    let withdrawals: Vec<_> = (0..rng.below(6))
        .map(|_| {
            let to = match rng.below(10) {
                0..4 => rng.pick(&touched),
                4..8 => rng.pick(&stage.others),
                _ => rng.address(),
            };
            (to, rng.below(3))
        })
        .collect();
    script.block_with(beneficiary, &withdrawals);
    script.end(beneficiary)
}

fn set(script: &mut Script, rng: &mut Rng) -> Stage {
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
    let ghost = script.stranger();
    let focus = focus(rng, &tiny, props, &users, ghost);
    Stage { tiny, props, desk, delegates, users, others, focus }
}

fn focus(
    rng: &mut Rng,
    tiny: &Tiny,
    props: Option<Props>,
    users: &[Wallet],
    ghost: Wallet,
) -> Focus {
    let empty = [rng.address(), ghost.address()];
    let star = rng.pick(users);
    let author = if rng.chance(50) { star } else { rng.pick(users) };
    let killer = rng.pick(&tiny.killers);
    let phoenix = props.and_then(|props| props.phoenixes()).map_or(killer, |[main, _]| main);
    let contract = props.map_or(tiny.forwarder, |props| props.spender);
    let roll = rng.below(100);
    let beneficiary = match roll {
        0..35 => author.address(),
        35..50 => phoenix,
        50..60 => killer,
        60..70 => rng.pick(&[contract, tiny.counter]),
        70..76 => Address::with_last_byte(1 + rng.below(PRECOMPILES) as u8),
        76..80 => SYSTEM_ADDRESS,
        80..86 => empty[1],
        _ => rng.address(),
    };
    let author = (roll < 35).then_some(author);
    Focus { beneficiary, author, star, empty, ghost }
}

/// Sends exactly one transaction.
fn step(stage: &mut Stage, script: &mut Script, rng: &mut Rng) {
    if rng.chance(POINTED_PERCENT) {
        pointed(stage, script, rng);
        return;
    }
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

/// Sends exactly one transaction that has to do with the focus.
fn pointed(stage: &Stage, script: &mut Script, rng: &mut Rng) {
    let Stage { tiny, props, delegates, users, focus, .. } = stage;
    let Focus { beneficiary, author, star, empty, ghost: _ } = *focus;
    let user = match rng.below(10) {
        0..3 => star,
        3..5 => author.unwrap_or(star),
        _ => rng.pick(users),
    };
    let roll = rng.below(20);
    if let (0..4, Some(delegates)) = (roll, delegates) {
        hand_over(delegates, script, rng, stage);
        return;
    }
    let wei = U256::from(rng.below(3));
    let call = match (roll, props) {
        (0..7, _) => Call::transfer(beneficiary, wei).gas(40_000),
        (7 | 8, _) => tiny.look(rng, beneficiary),
        (9, _) => Call::to(rng.pick(&tiny.killers), tiny::argument(beneficiary)).value(wei),
        // It destroys itself, if it is one that can, in favour of itself or of somebody.
        (10, _) => {
            let heir = rng.pick(&[beneficiary, star.address(), empty[0]]);
            Call::to(beneficiary, tiny::argument(heir)).value(wei)
        }
        (11 | 12, Some(props)) => {
            let fate = props.rise_or_fall(rng, beneficiary);
            fate.unwrap_or_else(|| props.tip(rng))
        }
        (13 | 14, Some(props)) => props.fail(rng),
        (15, Some(props)) => props.tip(rng),
        (16, _) => Call::transfer(rng.pick(&empty), wei * U256::from(rng.below(2))),
        // Nothing by way of a contract: what is empty is touched by a call.
        (17, _) => Call::to(tiny.forwarder, tiny::argument(rng.pick(&empty))),
        (18, _) => transfers::to_precompile(rng),
        (19, _) if script.has(Fork::Amsterdam) && rng.chance(40) => {
            let contracts =
                [eip8282::BUILDER_DEPOSIT_CONTRACT_ADDRESS, eip8282::BUILDER_EXIT_CONTRACT_ADDRESS];
            Call::to(rng.pick(&contracts), Bytes::new()).value(wei)
        }
        (19, _) => transfers::to_system_contract(rng, script.fork()),
        _ => tiny.fail(rng),
    };
    let rich = Fee::Gwei { max: 100, tip: 50 };
    let fee = rng.pick(&[Fee::Usual, Fee::Usual, Fee::Nothing, rich]);
    script.send(user, call.fee(fee));
}

/// The star gets code, other code, or none, by its own transaction or by another's, twice in one
/// perhaps; then it is called.
fn hand_over(delegates: &Delegates, script: &mut Script, rng: &mut Rng, stage: &Stage) {
    let Focus { star, ghost, .. } = stage.focus;
    // No code that destroys itself: what the star has would go to whoever is named.
    let [no_code, precompiled] = [Address::ZERO, Address::with_last_byte(4)];
    let Delegates { first, second } = *delegates;
    let targets = [first, second, first, second, no_code, stage.tiny.counter, precompiled];
    let sponsor = if rng.chance(40) { star } else { rng.pick(&stage.users) };
    let count = 1 + rng.below(2);
    let authority = if rng.chance(25) { ghost } else { star };
    let grants = (0..count).map(|_| Grant::To(authority, rng.pick(&targets)));
    let grants: Vec<Grant> = grants.collect();
    let call = delegates.call_account(rng, authority.address(), &stage.others);
    script.delegate(sponsor, &grants, call.gas(120_000));
}

/// Some calls name what they will access, some carry a blob.
fn decorate(call: Call, script: &Script, rng: &mut Rng, others: &[Address]) -> Call {
    let call = if rng.chance(10) { call.access(access_list(rng, others)) } else { call };
    if script.has(Fork::Cancun) && rng.chance(2) { call.blobs(1) } else { call }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_consensus::transaction::SignerRecoverable;
    use fugue_types::TransactionTrait;

    #[test]
    fn fewer_transactions_are_the_first_ones() {
        for fork in [Fork::Frontier, Fork::London, Fork::Amsterdam] {
            let [short, long] = [12, 30].map(|count| random(4, fork, count));
            let all = |scenario: &Scenario| -> Vec<_> {
                let blocks = scenario.blocks.iter();
                blocks.flat_map(|plan| plan.transactions.clone()).collect()
            };
            assert_eq!(all(&short).len(), 12);
            assert_eq!(all(&short), all(&long)[..12]);
            assert_eq!(short.blocks[0].beneficiary, long.blocks[0].beneficiary);
        }
    }

    #[test]
    fn without_empty_accounts_the_transactions_are_the_same() {
        let empty = |scenario: &Scenario| {
            let accounts = scenario.genesis.accounts.values();
            accounts.filter(|found| found.account.is_empty()).count()
        };
        for fork in [Fork::Byzantium, Fork::London, Fork::Prague] {
            let [with, without] = [random, random_without_empty].map(|write| write(7, fork, 20));
            assert_eq!((empty(&with), empty(&without)), (2, 0), "{fork}");
            let all = |scenario: &Scenario| scenario.blocks[0].transactions.clone();
            assert_eq!(all(&with), all(&without));
        }
    }

    #[test]
    fn the_fee_recipient_is_whatever_it_may_be() {
        // It sends, gets, has code, is a precompiled contract, or does not exist.
        let mut counts = [0; 5];
        for seed in 0..100 {
            let scenario = random(seed, Fork::Berlin, 30);
            let beneficiary = scenario.blocks[0].beneficiary;
            let txs = || scenario.blocks.iter().flat_map(|plan| &plan.transactions);
            let known = scenario.genesis.accounts.get(&beneficiary);
            let is = [
                txs().any(|tx| tx.recover_signer().is_ok_and(|sender| sender == beneficiary)),
                txs().any(|tx| tx.to() == Some(beneficiary)),
                known.is_some_and(|found| found.account.has_code()),
                (1..=10).any(|byte| beneficiary == Address::with_last_byte(byte)),
                known.is_none(),
            ];
            for (count, is) in counts.iter_mut().zip(is) {
                *count += u32::from(is);
            }
        }
        assert!(counts.iter().all(|count| *count >= 1), "{counts:?}");
        assert!(counts[0] >= 15 && counts[1] >= 50, "{counts:?}");
    }

    #[test]
    fn one_account_gets_code_other_code_and_none() {
        let mut targets: Vec<Vec<Address>> = Vec::new();
        for seed in 0..10 {
            let scenario = random(seed, Fork::Prague, 60);
            let txs = scenario.blocks.iter().flat_map(|plan| &plan.transactions);
            let lists = txs.filter_map(|tx| tx.authorization_list());
            targets.push(lists.flatten().map(|signed| *signed.inner().address()).collect());
        }
        let all = targets.concat();
        assert!(all.len() >= 30, "{} authorizations", all.len());
        assert!(all.contains(&Address::ZERO), "nobody clears");
        let several = targets.iter().filter(|list| list.len() >= 3).count();
        assert!(several >= 5, "{several} blocks in which code changes");
    }
}

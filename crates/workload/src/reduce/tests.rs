//! Differences that are known beforehand, and what is left of the blocks around them.

use super::*;
use crate::{Call, Grant, Scenario, Script, build, scenarios};
use alloy_consensus::transaction::SignerRecoverable;
use fugue_chainspec::Fork;
use fugue_types::{Address, B256, TransactionTrait, U256};
use fugue_validation::{Ommers, check_block};

/// The first block of a scenario.
fn whole(scenario: &Scenario) -> Trial {
    let bundle = build(scenario).expect("a scenario that makes a chain").remove(0);
    let txs = &bundle.block.block().body.transactions;
    let senders = txs.iter().map(|tx| tx.recover_signer().expect("a good signature")).collect();
    Trial::new(bundle, senders)
}

fn hashes(trial: &Trial) -> Vec<B256> {
    let txs = &trial.bundle().block.block().body.transactions;
    txs.iter().map(|tx| *tx.hash()).collect()
}

fn has_all(trial: &Trial, needed: &[B256]) -> bool {
    let there = hashes(trial);
    needed.iter().all(|hash| there.contains(hash))
}

fn nonce(trial: &Trial, address: Address) -> Option<u64> {
    let state = trial.bundle().state.as_ref()?;
    state.accounts.get(&address).map(|account| account.nonce)
}

#[test]
fn what_a_difference_does_not_need_goes() {
    let whole = whole(&scenarios::blobs::withdrawals(3, Fork::Cancun));
    let all = hashes(&whole);
    let needed = [all[7], all[16]];
    let state = whole.bundle().state.as_ref().expect("a pre-state");
    let with_slots = state.accounts.iter().find(|(_, account)| account.storage.len() > 1);
    let (&address, account) = with_slots.expect("an account with slots");
    let slot = *account.storage.keys().nth(1).expect("a second slot");
    let withdrawal = whole.bundle().block.block().body.withdrawals.as_ref().expect("some")[2];

    let differs = |trial: &Trial| {
        let state = trial.bundle().state.as_ref()?;
        let has_slot = state.accounts.get(&address)?.storage.contains_key(&slot);
        let withdrawals = trial.bundle().block.block().body.withdrawals.as_ref()?;
        let is_good = has_slot && withdrawals.contains(&withdrawal) && has_all(trial, &needed);
        is_good.then(|| trial.size())
    };
    let reduced = reduce(whole.clone(), differs, |_, _| true).expect("it differs");
    let expected = Size { transactions: 2, withdrawals: 1, accounts: 1, slots: 1, codes: 0 };
    assert_eq!(reduced.trial.size(), expected);
    assert_eq!(reduced.difference, expected, "the difference is that of the smallest block");
    assert!(reduced.is_minimal);
    assert_eq!(hashes(&reduced.trial), needed);
    let bundle = reduced.trial.bundle();
    assert!(bundle.block_hashes.is_empty());
    let state = bundle.state.as_ref().expect("a pre-state");
    assert!(state.codes.is_empty() && !state.is_complete);
    // Far fewer than one for each item, of which the state alone has more.
    assert!(reduced.trials < 400, "{} trials for {}", reduced.trials, whole.size());

    // The header was told of all that left the body.
    let config = bundle.config.clone().expect("a configuration");
    let config: fugue_chainspec::ChainConfig = serde_json::from_value(config).expect("JSON");
    let chain = fugue_chainspec::ChainSpec::try_from(&config).expect("a chain");
    let rules = chain.rules(&bundle.block.block().header);
    assert_eq!(check_block(&bundle.block, &rules, Ommers::Known), Ok(()));
    assert_ne!(bundle.block.hash(), whole.bundle().block.hash());
}

#[test]
fn a_sender_begins_with_the_nonce_of_what_is_left_of_it() {
    let mut script = Script::new("reduce-nonces", "a run of one sender", 1, Fork::Prague);
    let [sender, authority, sponsor] = [script.user(), script.user(), script.user()];
    let give = |to: Address| Call::transfer(to, U256::from(1)).gas(60_000);
    for _ in 0..4 {
        script.send(sender, give(authority.address()));
    }
    let target = Address::repeat_byte(0x44);
    // The authority's nonce is 1 after this, and its transaction has the nonce 1.
    script.delegate(sponsor, &[Grant::To(authority, target)], give(sender.address()));
    script.send(authority, give(sender.address()));
    let whole = whole(&script.end(Address::repeat_byte(0x55)));
    let all = hashes(&whole);
    let address = sender.address();
    let tail = whole.with_transactions(|index, _| index == 3);
    assert_eq!(nonce(&tail, address), Some(3));
    let middle = whole.with_transactions(|index, _| (1..3).contains(&index));
    assert_eq!(nonce(&middle, address), Some(1));
    assert_eq!(nonce(&middle, authority.address()), Some(0), "it sends nothing");
    let authorized = whole.with_transactions(|index, _| index >= 4);
    assert_eq!(nonce(&authorized, authority.address()), Some(0));
    let alone = whole.with_transactions(|index, _| index == 5);
    assert_eq!(nonce(&alone, authority.address()), Some(1));
    assert_eq!(hashes(&alone), all[5..]);
    let first = &alone.bundle().block.block().body.transactions[0];
    assert_eq!((first.nonce(), alone.senders()), (1, &[authority.address()][..]));
}

#[test]
fn a_block_without_a_difference_is_left_alone() {
    let whole = whole(&scenarios::transfers::independent(1, Fork::Osaka));
    assert_eq!(reduce(whole, |_| None::<()>, |_, _| true), None);
}

#[test]
fn it_ends_when_it_is_told_to_and_says_so() {
    let whole = whole(&scenarios::transfers::independent(1, Fork::Osaka));
    let needed = [hashes(&whole)[40]];
    let differs = |trial: &Trial| has_all(trial, &needed).then_some(());
    let reduced = reduce(whole.clone(), differs, |_, trials| trials < 9).expect("it differs");
    assert_eq!((reduced.trials, reduced.is_minimal), (9, false));
    assert!(reduced.trial.size().transactions < whole.size().transactions);
    assert!(has_all(&reduced.trial, &needed));
}

//! State roots within a block: before Byzantium each receipt holds the one after its transaction.

use crate::{HashedDiff, StateTrie, TrieError, TrieSource};
use fugue_state::{Account, AccountDiff, DiffError, StateDiff};
use fugue_types::{Address, B256};
use std::collections::{BTreeMap, btree_map::Entry};

/// What the steps of a block made of its tries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Steps {
    /// The state root after each step.
    pub roots: Vec<B256>,
    /// Storage roots by hashed address, as [`StateTrie::apply`] gives them, step by step: the last
    /// one of an account counts.
    pub storage_roots: Vec<(B256, B256)>,
    /// What the block changes after its last step.
    pub rest: StateDiff,
}

/// The steps of a block could not be followed. Never a verdict on a block.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StepsError {
    /// A root could not be computed.
    #[error(transparent)]
    Trie(#[from] TrieError),
    /// A step does not follow the one before it.
    #[error(transparent)]
    Diff(#[from] DiffError),
}

/// Of each account of the steps, how it was before the first and after the last that changed it.
type Reached = BTreeMap<Address, (Option<Account>, Option<Account>)>;

/// Takes the tries through the steps of a block, one by one. `diff` is what the whole block
/// changes; after its last step it changes accounts alone, by its rewards, and no storage. That
/// rest is left to the caller.
///
/// # Errors
/// [`StepsError`]; the tries must then be dropped.
pub fn step_through(
    tries: &mut StateTrie,
    source: &dyn TrieSource,
    steps: &[StateDiff],
    diff: &StateDiff,
) -> Result<Steps, StepsError> {
    let (mut roots, mut storage_roots) = (Vec::with_capacity(steps.len()), Vec::new());
    let mut reached = Reached::new();
    for step in steps {
        for change in &step.accounts {
            follow(&mut reached, change)?;
        }
        storage_roots.extend(tries.apply(source, &HashedDiff::from(step), None)?);
        roots.push(tries.root());
    }
    Ok(Steps { roots, storage_roots, rest: rest(reached, diff) })
}

fn follow(reached: &mut Reached, change: &AccountDiff) -> Result<(), DiffError> {
    match reached.entry(change.address) {
        Entry::Vacant(entry) => {
            entry.insert((change.before, change.after));
        }
        Entry::Occupied(mut entry) => {
            let (_, last) = entry.get_mut();
            if *last != change.before {
                return Err(DiffError { address: change.address });
            }
            *last = change.after;
        }
    }
    Ok(())
}

/// From what was reached to where the whole diff ends.
fn rest(mut reached: Reached, diff: &StateDiff) -> StateDiff {
    let change = |address, before, after| AccountDiff {
        address,
        before,
        after,
        wiped: false,
        slots: Vec::new(),
    };
    let mut accounts = Vec::new();
    for AccountDiff { address, before, after, .. } in &diff.accounts {
        let before = reached.remove(address).map_or(*before, |(_, last)| last);
        accounts.push(change(*address, before, *after));
    }
    // What the steps changed and the whole block did not is in the end as it was at first.
    let back = reached.into_iter().map(|(address, (first, last))| change(address, last, first));
    accounts.extend(back);
    StateDiff { accounts, codes: Vec::new() }.canonical()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EMPTY_ROOT_HASH, NoSource};
    use fugue_state::{MemoryState, SlotDiff};
    use fugue_types::U256;

    fn account(nonce: u64, balance: u64) -> Option<Account> {
        Some(Account { nonce, balance: U256::from(balance), ..Account::default() })
    }

    fn change(byte: u8, before: Option<Account>, after: Option<Account>) -> AccountDiff {
        let address = Address::repeat_byte(byte);
        AccountDiff { address, before, after, wiped: false, slots: Vec::new() }
    }

    fn slot(before: u64, after: u64) -> Vec<SlotDiff> {
        let [before, after] = [before, after].map(U256::from);
        vec![SlotDiff { slot: U256::from(7), before, after }]
    }

    fn diff(accounts: impl IntoIterator<Item = AccountDiff>) -> StateDiff {
        StateDiff { accounts: accounts.into_iter().collect(), codes: Vec::new() }.canonical()
    }

    /// A state with accounts 1 and 2, the latter with a slot, and its tries.
    fn before() -> (MemoryState, StateTrie) {
        let contract = AccountDiff { slots: slot(0, 5), ..change(2, None, account(1, 20)) };
        let genesis = diff([change(1, None, account(0, 100)), contract]);
        let mut state = MemoryState::default();
        state.apply(&genesis).unwrap();
        let mut tries = StateTrie::new(EMPTY_ROOT_HASH);
        tries.apply(&NoSource, &HashedDiff::from(&genesis), None).unwrap();
        assert_eq!(tries.root(), state.root());
        (state, tries)
    }

    /// Compares every root with a naive one; gives the rest.
    fn check(steps: &[StateDiff], whole: &StateDiff) -> StateDiff {
        let (mut state, mut tries) = before();
        let mut end = state.clone();
        end.apply(whole).unwrap();
        let found = step_through(&mut tries, &NoSource, steps, whole).unwrap();
        assert_eq!(found.roots.len(), steps.len());
        for (step, root) in steps.iter().zip(&found.roots) {
            state.apply(step).unwrap();
            assert_eq!(*root, state.root());
        }
        tries.apply(&NoSource, &HashedDiff::from(&found.rest), None).unwrap();
        assert_eq!(tries.root(), end.root());
        found.rest
    }

    #[test]
    fn roots_after_steps_and_rest_are_those_of_a_naive_rebuild() {
        let steps = [
            diff([]),
            diff([change(1, account(0, 100), account(1, 90)), change(3, None, account(0, 10))]),
            diff([AccountDiff { slots: slot(5, 0), ..change(2, account(1, 20), account(1, 21)) }]),
            diff([change(1, account(1, 90), account(2, 80)), change(3, account(0, 10), None)]),
        ];
        // A reward for account 1 and one for account 4, which comes into being.
        let whole = diff([
            change(1, account(0, 100), account(2, 85)),
            AccountDiff { slots: slot(5, 0), ..change(2, account(1, 20), account(1, 21)) },
            change(4, None, account(0, 5)),
        ]);
        let rest = check(&steps, &whole);
        let expected =
            diff([change(1, account(2, 80), account(2, 85)), change(4, None, account(0, 5))]);
        assert_eq!(rest, expected);
    }

    #[test]
    fn an_account_that_a_reward_brings_back_is_in_the_rest() {
        let steps = [diff([change(2, account(1, 20), account(1, 15))])];
        let rest = check(&steps, &diff([]));
        assert_eq!(rest, diff([change(2, account(1, 15), account(1, 20))]));
    }

    #[test]
    fn the_storage_root_of_a_step_is_that_after_it() {
        let (_, mut tries) = before();
        let wipe = AccountDiff { slots: slot(5, 0), ..change(2, account(1, 20), account(1, 20)) };
        let steps = [diff([wipe.clone()])];
        let found = step_through(&mut tries, &NoSource, &steps, &diff([wipe])).unwrap();
        let owner = fugue_types::keccak256(Address::repeat_byte(2));
        assert_eq!(found.storage_roots, [(owner, EMPTY_ROOT_HASH)]);
        assert!(found.rest.is_empty());
    }

    #[test]
    fn a_step_that_does_not_follow_is_refused() {
        let (_, mut tries) = before();
        let steps = [
            diff([change(1, account(0, 100), account(1, 90))]),
            diff([change(1, account(0, 100), account(1, 80))]),
        ];
        let whole = diff([change(1, account(0, 100), account(1, 80))]);
        let error = step_through(&mut tries, &NoSource, &steps, &whole).unwrap_err();
        assert_eq!(error, StepsError::Diff(DiffError { address: Address::repeat_byte(1) }));
    }
}

//! The tries of a state that readers see, proofs by them (EIP-1186), and state roots after changes
//! that are only assumed.
//!
//! ```text
//!           back, by history                 forth, by the changes of blocks
//! block N <------------------ durable head ------------------> block not durable
//! ```
//! Every trie node is compared with what its parent names, up to the state root of a header, and
//! the root that comes out is compared with that of the block: a proof that does not hold is never
//! given.

use super::ChainView;
use crate::ImportError;
use fugue_state::{Account, Layer, StateDiff};
use fugue_storage::{NodesWhile, StorageError};
use fugue_trie::{HashedDiff, StateTrie, TrieAccount, TrieError, TrieSource};
use fugue_types::{Address, B256, Bytes, U256, keccak256};
use parking_lot::Mutex;

/// Keys that are read by one copy of tries, at most: what each brings into memory stays. About
/// eight branches of 900 bytes for a key of a large state.
const KEPT_KEYS_MAX: usize = 16_384;

/// What it may take to come to the tries of a state.
#[derive(Clone, Copy)]
pub struct Reach<'c> {
    /// Blocks from the newest durable one back, at most.
    pub blocks_max: u64,
    /// Accounts and slots that changed since, at most: they are held in memory, about a kilobyte
    /// each.
    pub changes_max: usize,
    /// Whether the work goes on: asked for every block and every trie node. It ends with the reason
    /// that this gives, as [`StorageError::GivenUp`].
    pub check: &'c (dyn Fn() -> Result<(), String> + Sync),
}

impl std::fmt::Debug for Reach<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { blocks_max, changes_max, check: _ } = self;
        let mut reach = f.debug_struct("Reach");
        reach.field("blocks_max", blocks_max).field("changes_max", changes_max);
        reach.finish_non_exhaustive()
    }
}

impl Reach<'_> {
    pub(super) fn checked(&self) -> Result<(), StorageError> {
        (self.check)().map_err(StorageError::GivenUp)
    }

    /// The error of work that may have been given up meanwhile: tries tell no errors of others.
    fn told(&self, error: ImportError) -> ImportError {
        match self.checked() {
            Err(given_up) => given_up.into(),
            Ok(()) => error,
        }
    }
}

/// An account or its absence, proven by the root of a state. Source: EIP-1186.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountProof {
    /// The account; `None` if it is not there.
    pub account: Option<Account>,
    /// Root of its storage; of an empty trie if it is not there.
    pub storage_root: B256,
    /// RLP of trie nodes from the state root on.
    pub nodes: Vec<Bytes>,
    /// One for each slot that was asked for, in that order.
    pub slots: Vec<SlotProof>,
}

/// A slot, proven by the root of its account's storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotProof {
    /// Key of the slot.
    pub slot: U256,
    /// Its value; zero if it is not there.
    pub value: U256,
    /// RLP of trie nodes from the root of the storage on; none if there is no storage.
    pub nodes: Vec<Bytes>,
}

/// The tries of a block above the durable ones, with how many keys they have answered. Whoever
/// needs them takes them out: who comes meanwhile makes others.
#[derive(Debug, Default)]
pub(super) struct KeptTries(Mutex<Option<(u64, usize, StateTrie)>>);

impl KeptTries {
    fn take(&self, number: u64) -> Option<(usize, StateTrie)> {
        let kept = self.0.lock().take_if(|(of, _, _)| *of == number)?;
        Some((kept.1, kept.2))
    }

    fn put(&self, number: u64, keys: usize, tries: StateTrie) {
        if keys <= KEPT_KEYS_MAX {
            *self.0.lock() = Some((number, keys, tries));
        }
    }

    /// Of which block there are tries.
    #[cfg(test)]
    pub(super) fn number(&self) -> Option<u64> {
        self.0.lock().as_ref().map(|(number, _, _)| *number)
    }
}

impl ChainView {
    /// An account and slots of it in the state after a block of the head's chain, proven by its
    /// state root. `None` above the head.
    ///
    /// Of the newest durable block a proof costs as much as its nodes. What is older costs, beside
    /// that, as much as changed since: history is gone back through.
    ///
    /// # Errors
    /// [`ImportError::Storage`], with `Pruned` if the state is no longer kept, and `GivenUp` if it
    /// is out of reach.
    pub fn proof(
        &self,
        number: u64,
        address: Address,
        slots: &[U256],
        reach: &Reach<'_>,
    ) -> Result<Option<AccountProof>, ImportError> {
        let owner = keccak256(address);
        self.with_tries(number, 1 + slots.len(), reach, |tries, source| {
            let (account, nodes) = tries.prove_account(source, owner)?;
            let mut proven = Vec::with_capacity(slots.len());
            for slot in slots {
                let key = keccak256(slot.to_be_bytes::<32>());
                let (value, nodes) = tries.prove_slot(source, owner, key)?;
                proven.push(SlotProof { slot: *slot, value, nodes: bytes(nodes) });
            }
            let storage_root =
                account.map_or(fugue_trie::EMPTY_ROOT_HASH, |account| account.storage_root);
            let account = account.map(|account| {
                let TrieAccount { nonce, balance, storage_root: _, code_hash } = account;
                Account { nonce, balance, code_hash }
            });
            Ok(AccountProof { account, storage_root, nodes: bytes(nodes), slots: proven })
        })
    }

    /// Calls with what gives the state root after one more change, the first one from the state
    /// after a block of the head's chain. `None` above the head.
    ///
    /// Costs as much as a [`ChainView::proof`] of that state, and the changes themselves.
    ///
    /// # Errors
    /// As [`ChainView::proof`]; so does what the call is given.
    pub fn with_roots<T>(
        &self,
        number: u64,
        reach: &Reach<'_>,
        call: impl FnOnce(&mut dyn FnMut(&StateDiff) -> Result<B256, ImportError>) -> T,
    ) -> Result<Option<T>, ImportError> {
        let tries = self.with_tries(number, 0, reach, |tries, _| {
            // Those that are kept are not changed: the changes are made in a copy.
            let is_kept = self.kept_at(number).is_some();
            let blinded = StateTrie::new(tries.root());
            Ok(if is_kept { tries.clone() } else { std::mem::replace(tries, blinded) })
        })?;
        let Some(mut tries) = tries else { return Ok(None) };
        let check = || reach.checked();
        let nodes = NodesWhile { snapshot: &self.snapshot, check: &check };
        Ok(Some(call(&mut |diff| {
            reach.checked()?;
            let applied = tries.apply(&nodes, &HashedDiff::from(diff), None);
            applied.map_err(|error| reach.told(error.into()))?;
            Ok(tries.root())
        })))
    }

    /// The state roots after each of these changes, one upon the other, the first one made to the
    /// state after a block of the head's chain. `None` above the head.
    ///
    /// # Errors
    /// As [`ChainView::with_roots`].
    pub fn roots_through(
        &self,
        number: u64,
        changes: &[StateDiff],
        reach: &Reach<'_>,
    ) -> Result<Option<Vec<B256>>, ImportError> {
        self.with_roots(number, reach, |root| changes.iter().map(root).collect())?.transpose()
    }

    /// Calls with the tries of the state after a block of the head's chain, to be read and not
    /// changed, and the source of what is blinded in them. `keys` says about how many keys are
    /// read. `None` above the head.
    pub(super) fn with_tries<T>(
        &self,
        number: u64,
        keys: usize,
        reach: &Reach<'_>,
        call: impl FnOnce(&mut StateTrie, &dyn TrieSource) -> Result<T, TrieError>,
    ) -> Result<Option<T>, ImportError> {
        if number > self.head.number {
            return Ok(None);
        }
        let check = || reach.checked();
        let nodes = NodesWhile { snapshot: &self.snapshot, check: &check };
        let kept = self.kept_at(number);
        let (read, mut tries) = match kept.and_then(|kept| kept.take(number)) {
            Some(found) => found,
            None => (0, self.tries(number, reach, &nodes).map_err(|error| reach.told(error))?),
        };
        let done = call(&mut tries, &nodes).map_err(|error| reach.told(error.into()))?;
        if let Some(kept) = kept {
            kept.put(number, read.saturating_add(keys), tries);
        }
        Ok(Some(done))
    }

    /// Where the tries of a block are kept; `None` of a durable one, and in a view for one call.
    fn kept_at(&self, number: u64) -> Option<&KeptTries> {
        self.kept.as_ref().filter(|_| number > self.base)
    }

    fn tries(
        &self,
        number: u64,
        reach: &Reach<'_>,
        nodes: &NodesWhile<'_>,
    ) -> Result<StateTrie, ImportError> {
        let from = number.min(self.base);
        let mut tries = self.durable_tries(from, reach)?;
        let above = usize::try_from(number - from).unwrap_or(usize::MAX);
        let above = &self.above[..above.min(self.above.len())];
        let Some(last) = above.last() else { return Ok(tries) };
        let mut changes = Layer::default();
        for record in above {
            reach.checked()?;
            changes.push(&record.diff)?;
        }
        // All blocks at once: most of what one hashes the next would hash again.
        tries.apply(nodes, &HashedDiff::from(&changes.into_diff()), None)?;
        if tries.root() != last.block.block().header.state_root {
            let message = format!("the tries of block {number} do not come out");
            return Err(ImportError::Internal(message));
        }
        Ok(tries)
    }

    /// The tries of a block that is in the snapshot.
    fn durable_tries(&self, number: u64, reach: &Reach<'_>) -> Result<StateTrie, ImportError> {
        // What is pruned is out of every reach.
        self.snapshot.state_at(number)?;
        let durable = self.snapshot.meta().head.number;
        if number == durable {
            let (_, header) = self.snapshot.header(number)?;
            return Ok(StateTrie::new(header.state_root));
        }
        let Reach { blocks_max, changes_max, check: _ } = *reach;
        let back = durable.saturating_sub(number);
        if back > blocks_max {
            let oldest = durable.saturating_sub(blocks_max);
            return Err(given_up(format!(
                "block {number} is {back} blocks below the newest durable one: proofs and state \
                 roots go back {blocks_max} blocks, to block {oldest}"
            )));
        }
        let tries = self.snapshot.tries_at_while(number, &|changes| {
            if changes > changes_max {
                return Err(StorageError::GivenUp(format!(
                    "more than {changes_max} accounts and slots changed since block {number}, the \
                     most that proofs and state roots go back through: ask of a newer block"
                )));
            }
            reach.checked()
        });
        Ok(tries?)
    }
}

fn given_up(reason: String) -> ImportError {
    StorageError::GivenUp(reason).into()
}

fn bytes(nodes: Vec<Vec<u8>>) -> Vec<Bytes> {
    nodes.into_iter().map(Bytes::from).collect()
}

#[cfg(test)]
mod tests;

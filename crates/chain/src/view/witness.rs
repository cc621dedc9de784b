//! Execution witnesses: what it takes to execute a block of the chain again, and to compute the
//! state root after it, without any other part of the state.
//!
//! The block is executed one transaction after the other on the state before it, and what that
//! reads is noted. The proofs of all of it are in the witness, and what a change of the tries needs
//! beside them (`fugue_trie::WitnessNodes`). The root that comes out is the header's.

use super::{ChainView, Reach};
use crate::{ImportError, error::Fault};
use fugue_executor::{BlockOutcome, Execution, Executor, Mode, Scope};
use fugue_state::{Account, Guarded, SlotSet, StateError, StateView};
use fugue_storage::StorageError;
use fugue_trie::{HashedDiff, StepsError, TrieError, WitnessNodes, step_through};
use fugue_types::{Address, B256, Bytes, U256, keccak256};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};

/// Headers of ancestors, at most: BLOCKHASH looks no further back. Source: Yellow Paper, appendix
/// H.
const HEADERS_MAX: u64 = 256;

/// What a block needs of the state before it, and of the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecutionWitness {
    /// RLP of trie nodes of accounts and storage, in order of their bytes, each once.
    pub state: Vec<Bytes>,
    /// Codes that were read, in order of their hashes.
    pub codes: Vec<Bytes>,
    /// Addresses, then keys of slots in 32 bytes, that were read or changed; either in order, each
    /// once.
    pub keys: Vec<Bytes>,
    /// RLP of the headers of ancestors, oldest first: from the oldest whose hash was asked for to
    /// the parent.
    pub headers: Vec<Bytes>,
}

impl ExecutionWitness {
    /// Bytes of all parts.
    pub fn bytes(&self) -> usize {
        let Self { state, codes, keys, headers } = self;
        [state, codes, keys, headers].into_iter().flatten().map(|part| part.len()).sum()
    }
}

impl ChainView {
    /// The witness of a block of the head's chain. `None` above the head, and of the genesis, which
    /// is not executed.
    ///
    /// Costs what executing the block does, the proofs of all that it reads, and as much as a
    /// [`ChainView::proof`] of the state before it.
    ///
    /// # Errors
    /// As [`ChainView::proof`], or [`ImportError::State`] with the reason of `reach` if it is given
    /// up while the block is executed.
    pub fn execution_witness(
        &self,
        number: u64,
        reach: &Reach<'_>,
    ) -> Result<Option<ExecutionWitness>, ImportError> {
        let Some(before) = number.checked_sub(1) else { return Ok(None) };
        let Some(viewed) = self.block(number)? else { return Ok(None) };
        let (hash, state_root) = (viewed.hash, viewed.header.state_root);
        let rules = self.spec.rules(&viewed.header);
        // Its own, with one thread and no codes: those that another block has read are not asked
        // of the state.
        let executor = Executor::new(1).map_err(internal)?;
        let recovered = viewed.into_recovered().map_err(internal)?;
        let prepared = executor.prepare_recovered(recovered).map_err(internal)?;
        let executed = self.with_state(before, |state| {
            let guard = |_| (reach.check)().map_err(StateError::Unavailable);
            let state = &Guarded::new(state, guard);
            let noted = Noted { state, reads: Mutex::default() };
            let executed = executor.execute(Mode::Seq, &prepared, &rules, &noted, Scope::Block);
            executed.map(|Execution { outcome, report: _ }| (outcome, noted.reads.into_inner()))
        })?;
        let executed = executed.ok_or_else(|| internal("a parent is above the head"))?;
        let (outcome, mut reads) =
            executed.map_err(|error| Fault::from(error).of_block(number, hash))?;
        reads.add_changed(&outcome);

        let state = self.with_tries(before, reads.keys.len(), reach, |tries, source| {
            let nodes = WitnessNodes::new(tries, source);
            for (address, slot) in &reads.keys {
                let owner = keccak256(address);
                match slot {
                    None => nodes.show_account(owner)?,
                    Some(slot) => nodes.show_slot(owner, keccak256(slot.to_be_bytes::<32>()))?,
                }
            }
            let root = root_after(&nodes, &outcome)?;
            Ok(root.map(|root| (root, nodes.into_nodes())))
        })?;
        let state = state.ok_or_else(|| internal("a parent is above the head"))?;
        let (root, state) = state.map_err(internal)?;
        if root != state_root {
            return Err(internal(format!("block {number} gives the state root {root}")));
        }
        let headers = self.headers(reads.oldest_hash, before, reach)?;
        let Reads { keys, codes, oldest_hash: _ } = reads;
        Ok(Some(ExecutionWitness {
            state,
            codes: codes.into_values().collect(),
            keys: preimages(&keys),
            headers,
        }))
    }

    /// RLP of the headers from `oldest`, or the parent's if that is none, to the parent's.
    fn headers(
        &self,
        oldest: Option<u64>,
        parent: u64,
        reach: &Reach<'_>,
    ) -> Result<Vec<Bytes>, ImportError> {
        let oldest = oldest.unwrap_or(parent).max((parent + 1).saturating_sub(HEADERS_MAX));
        let mut headers = Vec::new();
        for number in oldest.min(parent)..=parent {
            (reach.check)().map_err(StorageError::GivenUp)?;
            let found = self.header(number)?;
            let (_, header) = found.ok_or_else(|| internal("an ancestor is above the head"))?;
            headers.push(alloy_rlp::encode(&header).into());
        }
        Ok(headers)
    }
}

fn internal(error: impl ToString) -> ImportError {
    ImportError::Internal(error.to_string())
}

/// The state root after a block; everything on the way to it is then in the witness. Before
/// Byzantium that includes the roots in the receipts.
fn root_after(
    nodes: &WitnessNodes<'_>,
    outcome: &BlockOutcome,
) -> Result<Result<B256, String>, TrieError> {
    let mut tries = nodes.blinded();
    let mut rest = None;
    if !outcome.steps.is_empty() {
        match step_through(&mut tries, nodes, &outcome.steps, &outcome.diff) {
            Ok(steps) => rest = Some(steps.rest),
            Err(StepsError::Trie(error)) => return Err(error),
            Err(StepsError::Diff(error)) => return Ok(Err(error.to_string())),
        }
    }
    let diff = rest.as_ref().unwrap_or(&outcome.diff);
    tries.apply(nodes, &HashedDiff::from(diff), None)?;
    if rest.is_some() {
        // For whoever changes the state once, by all of the block.
        nodes.blinded().apply(nodes, &HashedDiff::from(&outcome.diff), None)?;
    }
    Ok(Ok(tries.root()))
}

/// What was asked of a state.
#[derive(Debug, Default)]
struct Reads {
    /// Accounts, and slots.
    keys: BTreeSet<(Address, Option<U256>)>,
    /// By their hashes.
    codes: BTreeMap<B256, Bytes>,
    /// The oldest ancestor whose hash was asked for.
    oldest_hash: Option<u64>,
}

impl Reads {
    /// What is changed is read before, but for what no transaction looks at.
    fn add_changed(&mut self, outcome: &BlockOutcome) {
        for diff in outcome.steps.iter().chain([&outcome.diff]) {
            for change in &diff.accounts {
                self.keys.insert((change.address, None));
                let slots = change.slots.iter().map(|slot| (change.address, Some(slot.slot)));
                self.keys.extend(slots);
            }
        }
    }
}

/// Addresses and keys of slots, each once.
fn preimages(keys: &BTreeSet<(Address, Option<U256>)>) -> Vec<Bytes> {
    let addresses: BTreeSet<Address> = keys.iter().map(|(address, _)| *address).collect();
    let slots: BTreeSet<U256> = keys.iter().filter_map(|(_, slot)| *slot).collect();
    let addresses = addresses.iter().map(|address| Bytes::copy_from_slice(address.as_slice()));
    let slots = slots.iter().map(|slot| Bytes::from(slot.to_be_bytes::<32>().to_vec()));
    addresses.chain(slots).collect()
}

/// A state that notes what it is asked.
struct Noted<'v> {
    state: &'v dyn StateView,
    reads: Mutex<Reads>,
}

impl StateView for Noted<'_> {
    fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        self.reads.lock().keys.insert((address, None));
        self.state.account(address)
    }

    fn slot(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        // The root of its storage is in the account.
        self.reads.lock().keys.extend([(address, None), (address, Some(slot))]);
        self.state.slot(address, slot)
    }

    fn has_storage_beside(&self, address: Address, emptied: &SlotSet) -> Result<bool, StateError> {
        self.reads.lock().keys.insert((address, None));
        self.state.has_storage_beside(address, emptied)
    }

    fn code(&self, code_hash: B256) -> Result<Bytes, StateError> {
        let code = self.state.code(code_hash)?;
        self.reads.lock().codes.insert(code_hash, code.clone());
        Ok(code)
    }

    fn block_hash(&self, number: u64) -> Result<B256, StateError> {
        let oldest = &mut self.reads.lock().oldest_hash;
        *oldest = Some(oldest.map_or(number, |oldest| oldest.min(number)));
        self.state.block_hash(number)
    }

    fn check(&self) -> Result<(), StateError> {
        self.state.check()
    }
}

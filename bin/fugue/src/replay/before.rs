//! The state before a recorded block, in the form that its file has: what execution reads, and how
//! far an outcome can be judged.

use fugue_archive::{Bundle, PreState, Record, WitnessBundle};
use fugue_chainspec::Rules;
use fugue_executor::{BlockOutcome, Scope};
use fugue_state::{Account, DiffError, MemoryAccount, MemoryState, StateDiff, StateView};
use fugue_trie::{
    HashedDiff, Sibling, StateTrie, Steps, StepsError, TrieError, Witness, WitnessState,
    step_through,
};
use fugue_types::{B256, B256Map, Bytes, Eip658Value, HashMap, Header, KECCAK256_EMPTY};
use fugue_validation::{Mismatch, OutcomeFacts, Rule, check_outcome};

/// The state before a block.
pub(crate) enum Before<'r> {
    /// Account by account.
    Listed {
        state: MemoryState,
        /// It is the whole state, so that roots can be computed.
        is_whole: bool,
    },
    /// By trie nodes under its root.
    Proven { bundle: &'r WitnessBundle, witness: Witness, block_hashes: HashMap<u64, B256> },
}

/// What the header says of an outcome.
pub(super) struct Judgement {
    pub(super) mismatches: Vec<Mismatch>,
    /// Whether the root of the receipts was compared, and the state root.
    pub(super) has_receipts_root: bool,
    pub(super) has_state_root: bool,
    /// Why something was not compared, if that is not plain from the kind of the file.
    pub(super) note: Option<String>,
}

/// State roots, as far as they can be computed.
#[derive(Default)]
struct Roots {
    /// After the opening of the block and after each transaction; before Byzantium.
    steps: Option<Vec<B256>>,
    /// After the block.
    block: Option<B256>,
    /// As in [`Judgement`].
    note: Option<String>,
}

impl<'r> Before<'r> {
    /// `None` if the file has no state.
    pub(crate) fn new(record: &'r Record) -> Option<Self> {
        match record {
            Record::Bundle(bundle) => bundle.state.as_ref().map(|state| Self::Listed {
                state: memory_state(state, bundle),
                is_whole: state.is_complete,
            }),
            Record::Witness(bundle) => {
                let sibling =
                    if bundle.sibling_is_branch { Sibling::Branch } else { Sibling::Needed };
                Some(Self::Proven {
                    bundle,
                    witness: Witness::new(bundle.nodes.iter().cloned(), sibling),
                    block_hashes: bundle.block_hashes.iter().map(|(n, hash)| (*n, *hash)).collect(),
                })
            }
        }
    }

    /// Calls with the state as a view.
    pub(crate) fn with_view<T>(&self, call: impl FnOnce(&dyn StateView) -> T) -> T {
        match self {
            Self::Listed { state, .. } => call(state),
            Self::Proven { bundle, witness, block_hashes } => {
                let root = bundle.pre_state_root;
                call(&WitnessState::new(witness, root, &bundle.codes, block_hashes))
            }
        }
    }

    /// What can be executed on it. A list need not have what no transaction reads; a proof shows
    /// whatever the block reads to be there or not.
    pub(crate) const fn scope(&self) -> Scope {
        match self {
            Self::Listed { .. } => Scope::Recorded,
            Self::Proven { .. } => Scope::Block,
        }
    }

    /// Codes of its contracts.
    pub(crate) const fn codes(&self) -> &B256Map<Bytes> {
        match self {
            Self::Listed { state, .. } => &state.codes,
            Self::Proven { bundle, .. } => &bundle.codes,
        }
    }

    /// Compares an outcome with the header.
    ///
    /// # Errors
    /// Why the roots could not be computed: what the state lacks, or why the outcome does not
    /// follow it.
    pub(super) fn judge(
        &self,
        header: &Header,
        rules: &Rules,
        outcome: &BlockOutcome,
    ) -> Result<Judgement, String> {
        let has_status = rules.receipts_have_status();
        let Roots { steps, block, note } = match self {
            Self::Listed { is_whole: false, .. } => Roots::default(),
            Self::Listed { state, is_whole: true } => listed_roots(state, outcome)
                .map_err(|error| format!("the diff does not fit the pre-state: {error}"))?,
            Self::Proven { bundle, witness, .. } => {
                proven_roots(witness, bundle, has_status, outcome)?
            }
        };
        let receipts = if has_status {
            outcome.receipts()
        } else {
            let roots = steps.as_deref().unwrap_or_default();
            // The first step is the opening of the block. Without roots the receipts are good for
            // their blooms.
            outcome.receipts_with(|index, _| {
                Eip658Value::PostState(roots.get(index + 1).copied().unwrap_or_default())
            })
        };
        let has_receipts_root = has_status || steps.is_some();
        let facts = OutcomeFacts {
            gas_used: outcome.gas_used,
            blob_gas_used: outcome.blob_gas_used,
            receipts: &receipts,
            are_receipts_whole: has_receipts_root,
            requests: outcome.requests.as_ref(),
            access_list: outcome.access_list.as_deref(),
        };
        let mut mismatches = check_outcome(header, &facts);
        if let Some(found) = block
            && found != header.state_root
        {
            mismatches.push(Mismatch::new(Rule::StateRoot, header.state_root, found));
        }
        Ok(Judgement { mismatches, has_receipts_root, has_state_root: block.is_some(), note })
    }
}

/// A list as a view.
pub(super) fn memory_state(state: &PreState, bundle: &Bundle) -> MemoryState {
    let accounts = state.accounts.iter().map(|(address, pre)| {
        let code_hash = pre.code_hash.unwrap_or(KECCAK256_EMPTY);
        let account = Account { nonce: pre.nonce, balance: pre.balance, code_hash };
        let slots = pre.storage.iter().filter(|(_, value)| !value.is_zero());
        let slots = slots.map(|(slot, value)| (*slot, *value)).collect();
        (*address, MemoryAccount { account, slots })
    });
    MemoryState {
        accounts: accounts.collect(),
        codes: state.codes.clone(),
        block_hashes: bundle.block_hashes.iter().map(|(number, hash)| (*number, *hash)).collect(),
    }
}

/// Roots of the whole state, built anew each time.
fn listed_roots(before: &MemoryState, outcome: &BlockOutcome) -> Result<Roots, DiffError> {
    let after = |state: &mut MemoryState, diff: &StateDiff| -> Result<B256, DiffError> {
        state.apply(diff)?;
        Ok(state.root())
    };
    let mut stepped = before.clone();
    let steps = outcome.steps.iter().map(|step| after(&mut stepped, step));
    let steps = steps.collect::<Result<_, _>>()?;
    let block = after(&mut before.clone(), &outcome.diff)?;
    Ok(Roots { steps: Some(steps), block: Some(block), note: None })
}

/// Roots by the nodes of a witness. What was recorded for the block as a whole may lack nodes that
/// its single transactions need, as where one transaction removes a key beside another that a later
/// one adds: then there are no roots within the block.
fn proven_roots(
    witness: &Witness,
    bundle: &WitnessBundle,
    has_status: bool,
    outcome: &BlockOutcome,
) -> Result<Roots, String> {
    let mut note = None;
    if !has_status {
        let reason = if bundle.sibling_is_branch {
            // What is taken for a branch is one after the whole block.
            "the witness leaves siblings out".to_owned()
        } else {
            match stepped_roots(witness, bundle, outcome) {
                Ok((steps, block)) => {
                    return Ok(Roots { steps: Some(steps), block: Some(block), note });
                }
                Err(StepsError::Trie(error @ TrieError::Missing { .. })) => error.to_string(),
                Err(error) => return Err(error.to_string()),
            }
        };
        note = Some(format!("no state roots within the block: {reason}"));
    }
    let mut tries = witness.tries(bundle.pre_state_root);
    let block = applied(&mut tries, witness, &outcome.diff).map_err(|error| error.to_string())?;
    Ok(Roots { steps: None, block: Some(block), note })
}

/// State roots after the steps of a block, and after the block.
fn stepped_roots(
    witness: &Witness,
    bundle: &WitnessBundle,
    outcome: &BlockOutcome,
) -> Result<(Vec<B256>, B256), StepsError> {
    let mut tries = witness.tries(bundle.pre_state_root);
    let Steps { roots, rest, .. } =
        step_through(&mut tries, witness, &outcome.steps, &outcome.diff)?;
    let block = applied(&mut tries, witness, &rest)?;
    Ok((roots, block))
}

fn applied(tries: &mut StateTrie, witness: &Witness, diff: &StateDiff) -> Result<B256, TrieError> {
    tries.apply(witness, &HashedDiff::from(diff), None)?;
    Ok(tries.root())
}

//! Execution alone: the blocks one transaction after the other on a state in memory. It is what
//! everything else is a multiple of.

use super::workload::Workload;
use crate::{UsageError, client::payload::Beside, datadir::usage, progress::Progress};
use fugue_chain::Genesis;
use fugue_executor::{BlockOutcome, Executor, Mode, Scope};
use fugue_state::StateDiff;
use fugue_types::{B256, Bytes, SealedBlock};
use fugue_validation::{Ommers, check_block};
use std::time::{Duration, Instant};

/// Ancestors whose hash BLOCKHASH knows.
const ANCESTORS: u64 = 256;

/// What execution alone took and gave.
#[derive(Debug, Default)]
pub(super) struct Alone {
    /// Of each block.
    pub(super) executed: Vec<Duration>,
    /// Accounts and slots that each block changed: leaves of the tries.
    pub(super) leaves: Vec<usize>,
    /// What a payload of each block says beside it.
    pub(super) beside: Vec<Beside>,
    /// Recovering senders, of all blocks.
    pub(super) recovered: Duration,
    /// The last block.
    pub(super) head: B256,
}

impl Alone {
    pub(super) fn total(&self) -> Duration {
        self.executed.iter().sum()
    }
}

/// Executes all blocks.
pub(super) fn run(workload: &Workload, threads: usize) -> Result<Alone, UsageError> {
    let Genesis { chain, mut state, .. } = workload.genesis()?;
    let executor = Executor::new(threads).map_err(usage)?;
    let mut alone = Alone::default();
    let progress = Progress::new("blocks executed", workload.amount().blocks);
    for block in workload.blocks() {
        let block = block?;
        let (hash, number) = (block.hash(), block.block().header.number);
        let parent = block.block().header.parent_hash;
        if !alone.executed.is_empty() && parent != alone.head {
            let reason = "does not follow the block before it in the files";
            return Err(UsageError(format!("block {number} ({hash}) {reason}")));
        }
        state.block_hashes.insert(number.saturating_sub(1), parent);
        state.block_hashes.retain(|known, _| known.saturating_add(ANCESTORS) >= number);

        let started = Instant::now();
        let rules = chain.rules(&block.block().header);
        let judge = |block: &SealedBlock| check_block(block, &rules, Ommers::Known);
        let checked = block.check(judge).map_err(|refused| {
            let (_, mismatch) = *refused;
            UsageError(format!("block {number} ({hash}): {mismatch}"))
        })?;
        let prepared = executor.prepare(checked, &rules).map_err(usage)?;
        alone.recovered += started.elapsed();

        let started = Instant::now();
        let executed = executor.execute(Mode::Seq, &prepared, &rules, &state, Scope::Block);
        alone.executed.push(started.elapsed());
        let BlockOutcome { diff, requests, access_list, .. } = executed.map_err(usage)?.outcome;
        alone.leaves.push(leaves(&diff));
        let access_list = access_list.map(|list| Bytes::from(alloy_rlp::encode(list)));
        alone.beside.push(Beside { requests, access_list });
        state.apply(&diff).map_err(usage)?;
        alone.head = hash;
        progress.step(&number.to_string());
    }
    progress.finish();
    Ok(alone)
}

fn leaves(diff: &StateDiff) -> usize {
    diff.accounts.iter().map(|account| 1 + account.slots.len()).sum()
}

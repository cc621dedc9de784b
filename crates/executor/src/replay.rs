//! A block that is run again, step by step, to look at the states between its transactions.

use crate::{BlockError, PreparedBlock, sequential};
use fugue_chainspec::Rules;
use fugue_evm::{CodeCache, PreparedTx};
use fugue_state::{Stack, StateDiff, StateView};
use fugue_types::{RecoveredBlock, TxResult};

/// The first transactions of a block, or all of them, and what each of them changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replay {
    block: PreparedBlock,
    /// By the opening of the block, then by each transaction that was run.
    steps: Vec<StateDiff>,
    results: Vec<TxResult>,
}

impl Replay {
    /// Opens the block on the state before it, and runs its first `count` transactions, or all.
    /// The block is not closed.
    ///
    /// # Errors
    /// [`BlockError`].
    pub fn run(
        block: RecoveredBlock,
        rules: &Rules,
        view: &dyn StateView,
        codes: &CodeCache,
        count: usize,
    ) -> Result<Self, BlockError> {
        let block = PreparedBlock::new(block, None)?;
        let (steps, results) = sequential::run_steps(&block, rules, view, codes, count)?;
        Ok(Self { block, steps, results })
    }

    /// The block.
    pub const fn block(&self) -> &RecoveredBlock {
        &self.block.block
    }

    /// All transactions of the block, as the EVM takes them.
    pub fn txs(&self) -> &[PreparedTx] {
        &self.block.txs
    }

    /// What the transactions did that were run.
    pub fn results(&self) -> &[TxResult] {
        &self.results
    }

    /// What the opening of the block changed, then each transaction that was run.
    pub fn steps(&self) -> &[StateDiff] {
        &self.steps
    }

    /// The state before the transaction with this index, over the state before the block; of an
    /// index beyond those that were run, the state after the last one.
    pub fn before<'v>(&'v self, index: usize, view: &'v dyn StateView) -> Stack<'v> {
        // The opening is a step, too.
        Stack::new(self.steps.iter().take(index.saturating_add(1)), view)
    }
}

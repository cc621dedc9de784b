//! Judging a block before it is executed: what needs no parent can be done ahead, on other threads.

use crate::{ImportError, error::Fault};
use fugue_chainspec::ChainSpec;
use fugue_executor::{Executor, PreparedBlock};
use fugue_types::SealedBlock;
use fugue_validation::{Ommers, check_block};
use std::sync::Arc;

/// Checks bodies by their headers and recovers senders. Clones work side by side.
#[derive(Debug, Clone)]
pub struct Preparer {
    pub(crate) spec: Arc<ChainSpec>,
    pub(crate) executor: Arc<Executor>,
}

impl Preparer {
    /// From a sealed block to one that can be imported.
    ///
    /// # Errors
    /// [`ImportError::Invalid`].
    pub fn prepare(&self, block: SealedBlock) -> Result<PreparedBlock, ImportError> {
        let (number, hash) = (block.block().header.number, block.hash());
        let rules = self.spec.rules(&block.block().header);
        let checked = block.check(|block| check_block(block, &rules, Ommers::Known));
        let checked = checked.map_err(|refused| Fault::from(refused.1).of_block(number, hash))?;
        self.executor
            .prepare(checked, &rules)
            .map_err(|error| Fault::from(error).of_block(number, hash))
    }
}

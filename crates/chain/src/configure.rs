//! Another configuration for a chain that has begun: a fork that is scheduled while it runs.

use crate::{Chain, Genesis, GenesisError, engine::journaled_headers};
use fugue_chainspec::SpecChange;
use fugue_storage::{StorageError, Store};
use std::path::Path;

/// A chain does not take another configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigureError {
    /// It cannot go on by it.
    #[error("{0}")]
    Chain(SpecChange),
    /// Blocks of the journal cannot be imported by it.
    #[error("of the blocks that are not in the database yet, {0}")]
    Journal(SpecChange),
    /// The one that it has says nothing to this program.
    #[error("the one that is stored: {0}")]
    Stored(GenesisError),
    /// The store failed, or is not to be written.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Chain {
    /// Has the store keep the configuration of `genesis`, which is the chain's own, if all blocks
    /// have the same rules by it: those of the store, and those of a node's journal, if there is
    /// one. Says whether it was another one; where it says the same, nothing is written.
    ///
    /// # Errors
    /// [`ConfigureError`]; the store is then as it was.
    pub fn configure(
        store: &Store,
        genesis: &Genesis,
        journal: &Path,
    ) -> Result<bool, ConfigureError> {
        let snapshot = store.snapshot_for(1)?;
        let meta = snapshot.meta();
        if genesis.has_config(&meta.config) {
            return Ok(false);
        }
        let (_, first) = snapshot.header(0)?;
        let old = Genesis::stored_chain(&meta.config, &first).map_err(ConfigureError::Stored)?;
        let header = |number| snapshot.header(number).map(|(_, header)| header);
        if let Some(change) = old.change(&genesis.chain, meta.head.number, header)? {
            return Err(ConfigureError::Chain(change));
        }
        // A node has told that these are valid, and would drop those that are no more.
        let journaled = journaled_headers(journal)?;
        let change = journaled.iter().find_map(|header| old.change_at(&genesis.chain, header));
        if let Some(change) = change {
            return Err(ConfigureError::Journal(change));
        }
        drop(snapshot);
        store.set_config(genesis.config_json())?;
        Ok(true)
    }
}

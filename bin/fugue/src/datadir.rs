//! The folder of a node: where its store lies, and opening it with the chain that it has.

use crate::UsageError;
use fugue_chain::{Chain, Genesis, Head};
use fugue_chainspec::ChainSpec;
use fugue_storage::{Access, Store, StoreOptions};
use std::path::{Path, PathBuf};

/// The folder of the store within the data folder.
const STORE: &str = "db";
/// File in the data folder with the blocks of a node that are not durable.
pub(crate) const JOURNAL: &str = "journal";

/// `--datadir` of the commands that work on stored chains.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Datadir {
    /// Folder of the node's data
    #[arg(long, value_name = "DIR", env = "FUGUE_DATADIR")]
    pub(crate) datadir: PathBuf,
}

/// Whether a chain is to have an index of addresses. It has one from its beginning, or never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AddressIndex {
    /// If it has one.
    Kept,
    /// If it has one, or begins.
    Begun,
    /// It must.
    Needed,
}

/// What was done to a folder in which a chain was to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begun {
    /// The chain began.
    New,
    /// It was there, and has another configuration from now on.
    Configured,
    /// Nothing.
    Before,
}

impl AddressIndex {
    /// As `--index-addresses` says.
    pub(crate) const fn of_flag(is_set: bool) -> Self {
        if is_set { Self::Needed } else { Self::Kept }
    }
}

impl Datadir {
    /// Where the store lies.
    pub(crate) fn store_path(&self) -> PathBuf {
        self.datadir.join(STORE)
    }

    /// Opens the store of a chain that has begun.
    pub(crate) fn open(&self, access: Access, readers: usize) -> Result<Store, UsageError> {
        let path = self.store_path();
        let is_there = path.try_exists().map_err(|error| UsageError::at(&path, error))?;
        if !is_there {
            let message = "no chain here; `fugue init` makes one";
            return Err(UsageError::at(&self.datadir, message));
        }
        let store = Store::open(&path, StoreOptions::new(access, readers)).map_err(usage)?;
        store.head().map_err(usage)?;
        Ok(store)
    }

    /// Opens the store, and begins the chain in it if it is empty. One that has begun gets the
    /// configuration of `genesis`, or is refused if a block of it has other rules by that. Says
    /// what was done.
    pub(crate) fn open_or_init(
        &self,
        genesis: &Genesis,
        readers: usize,
        index: AddressIndex,
    ) -> Result<(Store, Head, Begun), UsageError> {
        let options = StoreOptions::new(Access::Write, readers);
        let store = Store::open(&self.store_path(), options).map_err(usage)?;
        let is_new = store.meta().map_err(usage)?.is_none();
        let head = match index {
            AddressIndex::Kept => Chain::init(&store, genesis),
            AddressIndex::Begun | AddressIndex::Needed => Chain::init_indexed(&store, genesis),
        };
        let head = head.map_err(usage)?;
        self.check_index(&store, index)?;
        let configured = Chain::configure(&store, genesis, &self.datadir.join(JOURNAL));
        let is_configured = configured.map_err(|error| {
            let message = "has this chain with another configuration than --chain gives";
            UsageError::at(&self.datadir, format!("{message}: {error}"))
        })?;
        let begun = match (is_new, is_configured) {
            (true, _) => Begun::New,
            (false, true) => Begun::Configured,
            (false, false) => Begun::Before,
        };
        Ok((store, head, begun))
    }

    /// Refuses a chain that has begun without an index that is needed.
    pub(crate) fn check_index(&self, store: &Store, index: AddressIndex) -> Result<(), UsageError> {
        let meta = store.meta().map_err(usage)?;
        if index == AddressIndex::Needed && meta.is_some_and(|meta| !meta.indexes_addresses) {
            let message = "has begun without an index of addresses: --index-addresses is for a \
                           folder without a chain";
            return Err(UsageError::at(&self.datadir, message));
        }
        Ok(())
    }
}

/// The rules of the chain in a store.
pub(crate) fn spec_of(store: &Store) -> Result<ChainSpec, UsageError> {
    let snapshot = store.snapshot().map_err(usage)?;
    let (_, header) = snapshot.header(0).map_err(usage)?;
    Genesis::stored_chain(&snapshot.meta().config, &header)
        .map_err(|error| UsageError::at(store.path(), error))
}

/// `--chain`: the name of a public chain, or a genesis file. Its hash is compared where it is known
/// when the chain begins.
pub(crate) fn genesis(chain: &str) -> Result<Genesis, UsageError> {
    if Genesis::NAMES.contains(&chain) {
        return Genesis::named(chain).map_err(usage);
    }
    let path = Path::new(chain);
    if !path.exists() {
        let names = Genesis::NAMES.join(", ");
        return Err(UsageError(format!("--chain {chain}: neither one of {names} nor a file")));
    }
    let bytes = fugue_archive::read_file(path).map_err(|error| UsageError::at(path, error))?;
    Genesis::from_json(&bytes).map_err(|error| UsageError::at(path, error))
}

/// An error for the user.
pub(crate) fn usage(error: impl std::fmt::Display) -> UsageError {
    UsageError(error.to_string())
}

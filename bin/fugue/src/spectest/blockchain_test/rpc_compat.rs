//! The chain of the rpc-compat tests, sent to a node over the Engine API: `chain.rlp` from
//! `genesis.json` on, up to the head that `headfcu.json` names.

use super::{
    engine::{Drive, Session, Station},
    verdict::{Expected, TestBlock, Wire},
};
use crate::UsageError;
use fugue_archive::{ArchiveError, BlockFile, FileBlock};
use fugue_chain::Genesis;
use fugue_types::{B256, SealedBlock};
use serde::Deserialize;
use serde_json::Value;
use std::{
    fmt::Display,
    path::{Path, PathBuf},
};

const GENESIS: &str = "genesis.json";
const CHAIN: &str = "chain.rlp";
const FORKCHOICE: &str = "headfcu.json";

/// A folder with such a chain.
#[derive(Debug, Clone)]
pub(in crate::spectest) struct ChainFolder(PathBuf);

/// A call of `engine_forkchoiceUpdated`.
#[derive(Deserialize)]
struct Forkchoice {
    method: String,
    params: Value,
}

impl ChainFolder {
    /// `None` if the files are not there.
    pub(in crate::spectest) fn at(path: &Path) -> Option<Self> {
        let is_one = [GENESIS, CHAIN, FORKCHOICE].iter().all(|name| path.join(name).is_file());
        is_one.then(|| Self(path.to_owned()))
    }

    /// The name of its case.
    pub(in crate::spectest) fn name(&self) -> String {
        format!("{}::rpc_compat_chain", self.0.display())
    }

    /// Sends the chain. Gives the number of blocks that are no payloads, and what is wrong.
    ///
    /// # Errors
    /// If the files cannot be read.
    pub(in crate::spectest) fn run_engine(
        &self,
        station: &Station,
    ) -> Result<(usize, Result<(), String>), UsageError> {
        let genesis = Genesis::from_json(&self.read(GENESIS)?);
        let genesis = genesis.map_err(|error| self.wrong(GENESIS, &error))?;
        let call = serde_json::from_slice(&self.read(FORKCHOICE)?);
        let call: Forkchoice = call.map_err(|error| self.wrong(FORKCHOICE, &error))?;
        let blocks = self.blocks()?;
        let drive =
            Drive { spec: &genesis.chain, genesis: &genesis, genesis_hash: None, blocks: &blocks };
        let end = |session: &mut Session<'_>| {
            let head = &call.params[0]["headBlockHash"];
            let head: B256 = serde_json::from_value(head.clone())
                .map_err(|error| format!("{FORKCHOICE}: headBlockHash: {error}"))?;
            let mut sealed = blocks.iter().filter_map(|block| block.block.as_ref().ok());
            let sealed = sealed.find(|block| block.hash() == head);
            let sealed = sealed.ok_or_else(|| format!("{CHAIN} has no block {head}"))?;
            session.follow_as(&call.method, &call.params, head)?;
            session.check_head(head, sealed.block().header.state_root)
        };
        Ok(drive.run(station, end))
    }

    fn read(&self, name: &str) -> Result<Vec<u8>, UsageError> {
        std::fs::read(self.0.join(name)).map_err(|error| self.wrong(name, &error))
    }

    fn wrong(&self, name: &str, error: &dyn Display) -> UsageError {
        UsageError::at(&self.0.join(name), error)
    }

    fn blocks(&self) -> Result<Vec<TestBlock>, UsageError> {
        let file = BlockFile::open(&self.0.join(CHAIN));
        let file = file.map_err(|error| self.wrong(CHAIN, &error))?;
        let valid = |block: SealedBlock| TestBlock {
            expected: Expected::Valid(block.hash()),
            block: Ok(block),
            wire: Wire::Block { access_list: None },
        };
        let block = |found: Result<FileBlock, ArchiveError>| {
            found.map(|found| valid(found.block)).map_err(|error| self.wrong(CHAIN, &error))
        };
        file.map(block).collect()
    }
}

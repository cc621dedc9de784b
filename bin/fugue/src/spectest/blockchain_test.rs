//! Blockchain tests: a genesis, blocks that are imported or refused one after the other, and the
//! head and the state that this leaves.
//!
//! A case takes the way of every import: through the chain into a store, which is in memory. Seals
//! of proof of work are trusted. With `--engine` it takes the way of a consensus client instead:
//! see [`engine`].

mod author;
mod engine;
mod network;
mod payload;
mod rpc_compat;
mod schema;
mod verdict;

use super::{
    compared::{Compared, Differed, Subject},
    equal,
    state_test::schema::state_of,
    ways::Manned,
};
use author::{Author, prepare};
pub(super) use engine::Station;
use engine::{Drive, Session};
use fugue_chain::{Chain, ChainOptions, Genesis, Head};
use fugue_chainspec::ChainSpec;
use fugue_executor::{Executor, Mode, Scope};
use fugue_state::{MemoryState, StateView};
use fugue_storage::{Faults, Store};
use fugue_types::{B256, BlockAccessList, Header};
pub(super) use rpc_compat::ChainFolder;
use schema::{Config, Fixture};
use serde_json::Value;
use std::{fmt::Display, sync::Arc};
use verdict::{Expected, TestBlock};

/// Longest chain that is unwound to its genesis.
const UNWOUND_BLOCKS_MAX: u64 = 8;

/// A blockchain test, parsed and decoded: for runs in every mode.
#[derive(Debug)]
pub(in crate::spectest) struct BlockchainTest {
    network: String,
    config: Option<Config>,
    has_builder_requests: bool,
    genesis: Header,
    genesis_hash: B256,
    pre: MemoryState,
    blocks: Vec<TestBlock>,
    last_hash: B256,
    post_root: B256,
    /// What is read back; `None` where the fixture has the root alone.
    post: Option<MemoryState>,
}

impl BlockchainTest {
    /// Parses a fixture: one with blocks in RLP, or with calls of the Engine API.
    ///
    /// # Errors
    /// A message that names the test and the field.
    pub(in crate::spectest) fn parse(name: &str, test: Value) -> Result<Self, String> {
        let fixture: Result<Fixture, _> = serde_path_to_error::deserialize(test);
        fixture
            .map_err(|error| error.to_string())
            .and_then(Self::new)
            .map_err(|reason| format!("{name}: {reason}"))
    }

    fn new(fixture: Fixture) -> Result<Self, String> {
        let Fixture {
            network,
            config,
            genesis_block_header,
            pre,
            blocks,
            engine_new_payloads,
            last_block_hash,
            post_state,
            post_state_hash,
        } = fixture;
        let blocks = blocks.into_iter().map(|element| element.into_block(&network));
        let payloads = engine_new_payloads.into_iter().map(|payload| payload.into_block());
        let numbered = |(index, block): (usize, Result<TestBlock, String>)| {
            block.map_err(|reason| format!("block {index}: {reason}"))
        };
        let blocks = blocks.chain(payloads).enumerate().map(numbered).collect::<Result<_, _>>()?;
        let post = post_state.as_ref().map(state_of);
        let post_root = post.as_ref().map(MemoryState::root).or(post_state_hash);
        Ok(Self {
            genesis_hash: genesis_block_header.hash,
            genesis: genesis_block_header.into_header(),
            pre: state_of(&pre),
            blocks,
            last_hash: last_block_hash,
            post_root: post_root.ok_or("postState: missing, and postStateHash, too")?,
            post,
            network,
            config,
            has_builder_requests: true,
        })
    }

    /// As the fork was drafted before EIP-8282.
    pub(in crate::spectest) const fn omit_builder_requests(&mut self) {
        self.has_builder_requests = false;
    }

    /// Name of its network: a fork, or a transition between two.
    pub(in crate::spectest) fn fork(&self) -> &str {
        &self.network
    }

    /// Runs the test.
    ///
    /// # Errors
    /// What differs from the fixture.
    pub(in crate::spectest) fn run(
        &self,
        mode: Mode,
        executor: &Arc<Executor>,
    ) -> Result<(), String> {
        let spec = self.spec()?;
        let genesis = Genesis::new(spec.clone(), self.genesis.clone(), self.pre.clone());
        let store = Store::memory(Faults::none());
        let first = Chain::init(&store, &genesis).map_err(broken)?;
        equal("hash of the genesis", self.genesis_hash, first.hash)?;
        let lists = self.lists(mode, &spec, executor);
        let options = ChainOptions::new(mode, executor.threads());
        let chain = Chain::with_executor(store, spec, options, Arc::clone(executor));
        let mut chain = chain.map_err(broken)?;
        for (index, (block, list)) in self.blocks.iter().zip(lists).enumerate() {
            block.import(&mut chain, list).map_err(|why| format!("block {index}: {why}"))?;
        }
        chain.flush().map_err(broken)?;
        equal("hash of the last block", self.last_hash, chain.head().hash)?;
        self.check_post(&chain)?;
        if mode == Mode::Seq {
            verify(&chain)?;
            self.check_unwound(&mut chain, first)?;
        }
        Ok(())
    }

    /// Executes the blocks in these ways on states in memory, valid or not, and compares each with
    /// its sequential run.
    ///
    /// # Errors
    /// The first block and way in which another outcome was found.
    pub(in crate::spectest) fn compare(&self, ways: &[Manned]) -> Result<Compared, Differed> {
        let mut counts = Compared::default();
        // A network that is not known fails the test itself.
        let (Ok(spec), Some((_, executor))) = (self.spec(), ways.first()) else {
            return Ok(counts);
        };
        let mut author = Author::new(&spec, Arc::clone(executor), self.genesis_hash, &self.pre);
        for (index, block) in self.blocks.iter().enumerate() {
            let Ok(sealed) = &block.block else { continue };
            let Some((prepared, rules)) = prepare(&spec, executor, sealed) else { continue };
            let Some(state) = author.before(sealed) else { continue };
            let scope = Scope::Block;
            let subject = Subject { block: &prepared, rules: &rules, view: state, scope };
            let diff = subject.compare(ways, &mut counts).map_err(|Differed { way, why }| {
                Differed { way, why: format!("block {index}: {why}") }
            })?;
            if let (Some(diff), Expected::Valid(_)) = (diff, &block.expected) {
                author.add_executed(sealed, &diff);
            }
        }
        Ok(counts)
    }

    /// Runs the test over the Engine API. Gives the number of blocks that are no payloads, and what
    /// differs from the fixture.
    pub(in crate::spectest) fn run_engine(&self, station: &Station) -> (usize, Result<(), String>) {
        let spec = match self.spec() {
            Ok(spec) => spec,
            Err(why) => return (0, Err(why)),
        };
        let genesis = Genesis::new(spec.clone(), self.genesis.clone(), self.pre.clone());
        let drive = Drive {
            spec: &spec,
            genesis: &genesis,
            genesis_hash: Some(self.genesis_hash),
            blocks: &self.blocks,
        };
        let end = |session: &mut Session<'_>| session.end_at(self.last_hash, self.post_root);
        drive.run(station, end)
    }

    /// The access list of each block that a mode has a use for: an RLP comes without, and older
    /// blocks have none.
    fn lists(
        &self,
        mode: Mode,
        spec: &ChainSpec,
        executor: &Arc<Executor>,
    ) -> Vec<Option<Arc<BlockAccessList>>> {
        let mut author = Author::new(spec, Arc::clone(executor), self.genesis_hash, &self.pre);
        self.blocks.iter().map(|block| author.list(block, mode)).collect()
    }

    /// Whether its blocks come with access lists over the Engine API, at least in the end.
    pub(in crate::spectest) fn has_lists(&self) -> bool {
        network::has_lists(&self.network)
    }

    fn spec(&self) -> Result<ChainSpec, String> {
        let spec = network::chain(&self.network, self.config.as_ref())?;
        Ok(if self.has_builder_requests { spec } else { spec.without_builder_requests() })
    }

    fn check_post(&self, chain: &Chain) -> Result<(), String> {
        let snapshot = chain.store().snapshot().map_err(broken)?;
        let number = snapshot.meta().head.number;
        let (_, header) = snapshot.header(number).map_err(broken)?;
        equal("state root", self.post_root, header.state_root)?;
        match &self.post {
            Some(post) => check_state(&snapshot.state_at(number).map_err(broken)?, post),
            None => Ok(()),
        }
    }

    /// Back at its first block, a short chain has the state that it began with.
    fn check_unwound(&self, chain: &mut Chain, first: Head) -> Result<(), String> {
        if !(1..=UNWOUND_BLOCKS_MAX).contains(&chain.head().number) {
            return Ok(());
        }
        let head = chain.unwind(0).map_err(broken)?;
        equal("unwound: hash of the genesis", first.hash, head.hash)?;
        let unwound = |why: String| format!("unwound: {why}");
        verify(chain).map_err(unwound)?;
        let snapshot = chain.store().snapshot().map_err(broken)?;
        let view = snapshot.state_at(0).map_err(broken)?;
        check_state(&view, &self.pre).map_err(unwound)
    }
}

/// Whether tests of a network are run over the Engine API.
pub(super) fn is_of_engine(network: &str) -> bool {
    network::is_merged(network)
}

/// Reads every account, code and slot of a state whose root is known to be right.
fn check_state(view: &dyn StateView, expected: &MemoryState) -> Result<(), String> {
    for (address, account) in &expected.accounts {
        let found = view.account(*address).map_err(broken)?;
        if found != Some(account.account) {
            let expected = account.account;
            return Err(format!("account {address}: expected {expected:?}, found {found:?}"));
        }
        let code_hash = account.account.code_hash;
        if account.account.has_code()
            && expected.codes.get(&code_hash) != Some(&view.code(code_hash).map_err(broken)?)
        {
            return Err(format!("account {address}: the code is not that of {code_hash}"));
        }
        for (slot, value) in &account.slots {
            let found = view.slot(*address, *slot).map_err(broken)?;
            if found != *value {
                let slot = format!("account {address}, slot {slot:#x}");
                return Err(format!("{slot}: expected {value:#x}, found {found:#x}"));
            }
        }
    }
    Ok(())
}

/// Everything in the store against everything else.
fn verify(chain: &Chain) -> Result<(), String> {
    let snapshot = chain.store().snapshot().map_err(broken)?;
    let verified = snapshot.verify(|| ()).map_err(broken)?;
    match verified.problems.first() {
        Some(problem) => Err(format!("the store does not fit together: {}", problem.what)),
        None => Ok(()),
    }
}

fn broken(error: impl Display) -> String {
    format!("the store broke: {error}")
}

#[cfg(test)]
mod tests;

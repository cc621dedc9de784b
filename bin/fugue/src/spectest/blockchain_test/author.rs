//! What a call of the Engine API carries of a block, and the RLP of the block has a hash of alone:
//! requests, and the block access list. Whoever makes the block has them from executing it, so it
//! is executed here, one transaction after the other, on a state in memory. The states between the
//! blocks of a test are for other runs, too.

use super::verdict::{Expected, TestBlock};
use crate::{client::payload::Beside, spectest::compared::takes_list};
use fugue_chainspec::{ChainSpec, Rules};
use fugue_executor::{BlockOutcome, Executor, Mode, PreparedBlock, Scope};
use fugue_state::{MemoryState, StateDiff};
use fugue_types::{B256, B256Map, BlockAccessList, Bytes, SealedBlock};
use fugue_validation::{Ommers, check_block};
use std::sync::Arc;

/// Executes blocks when it is asked for what they give.
pub(super) struct Author<'t> {
    spec: &'t ChainSpec,
    executor: Arc<Executor>,
    genesis_hash: B256,
    genesis_state: &'t MemoryState,
    /// Valid ones.
    blocks: B256Map<&'t SealedBlock>,
    /// The state after each block that was needed.
    states: B256Map<MemoryState>,
}

impl<'t> Author<'t> {
    pub(super) fn new(
        spec: &'t ChainSpec,
        executor: Arc<Executor>,
        genesis_hash: B256,
        genesis_state: &'t MemoryState,
    ) -> Self {
        let (blocks, states) = Default::default();
        Self { spec, executor, genesis_hash, genesis_state, blocks, states }
    }

    /// Takes note of a valid block, on which others may build.
    pub(super) fn add(&mut self, block: &'t SealedBlock) {
        self.blocks.insert(block.hash(), block);
    }

    /// As [`Author::add`], where it is known what the block does.
    pub(super) fn add_executed(&mut self, block: &'t SealedBlock, diff: &StateDiff) {
        self.add(block);
        if let Some(state) = self.after(block, diff) {
            self.states.insert(block.hash(), state);
        }
    }

    /// The state before a block; `None` if its parent is not known.
    pub(super) fn before(&mut self, block: &SealedBlock) -> Option<&MemoryState> {
        let parent = block.block().header.parent_hash;
        self.reach(parent)?;
        self.states.get(&parent)
    }

    /// The access list of a block, and takes note of the block; `None` if this mode has no use for
    /// a list, or the block cannot be executed.
    pub(super) fn list(
        &mut self,
        block: &'t TestBlock,
        mode: Mode,
    ) -> Option<Arc<BlockAccessList>> {
        let sealed = block.block.as_ref().ok()?;
        let is_valid = matches!(block.expected, Expected::Valid(_));
        if !takes_list(mode, &self.spec.rules(&sealed.block().header)) {
            if is_valid {
                self.add(sealed);
            }
            return None;
        }
        let executor = Arc::clone(&self.executor);
        let (prepared, rules) = prepare(self.spec, &executor, sealed)?;
        let state = self.before(sealed)?;
        let listed = executor.list_accesses(&prepared, &rules, state, Scope::Block);
        let (outcome, list) = listed.ok()?;
        if is_valid {
            self.add_executed(sealed, &outcome.diff);
        }
        Some(Arc::new(list))
    }

    /// What a block gives; `None` if it cannot be executed: it is invalid, or its parent is not
    /// known.
    pub(super) fn beside(&mut self, block: &SealedBlock) -> Option<Beside> {
        let parent = block.block().header.parent_hash;
        self.reach(parent)?;
        let BlockOutcome { requests, access_list, .. } =
            run(self.spec, &self.executor, block, self.states.get(&parent)?)?;
        let access_list = access_list.map(|list| Bytes::from(alloy_rlp::encode(list)));
        Some(Beside { requests, access_list })
    }

    /// Makes the state after a block.
    fn reach(&mut self, hash: B256) -> Option<()> {
        let (mut path, mut at) = (Vec::new(), hash);
        while !self.states.contains_key(&at) {
            if at == self.genesis_hash {
                let mut state = self.genesis_state.clone();
                state.block_hashes.insert(0, at);
                self.states.insert(at, state);
                break;
            }
            let block = *self.blocks.get(&at)?;
            path.push(block);
            at = block.block().header.parent_hash;
        }
        for block in path.into_iter().rev() {
            let state = self.states.get(&block.block().header.parent_hash)?;
            let outcome = run(self.spec, &self.executor, block, state)?;
            let state = self.after(block, &outcome.diff)?;
            self.states.insert(block.hash(), state);
        }
        Some(())
    }

    /// The state after a block, whose parent's is there.
    fn after(&self, block: &SealedBlock, diff: &StateDiff) -> Option<MemoryState> {
        let header = &block.block().header;
        let mut state = self.states.get(&header.parent_hash)?.clone();
        state.apply(diff).ok()?;
        state.block_hashes.insert(header.number, block.hash());
        Some(state)
    }
}

/// A block that can be executed, and its rules; `None` if it is refused before.
pub(super) fn prepare(
    spec: &ChainSpec,
    executor: &Executor,
    block: &SealedBlock,
) -> Option<(PreparedBlock, Rules)> {
    let rules = spec.rules(&block.block().header);
    let judge = |block: &SealedBlock| check_block(block, &rules, Ommers::Known);
    let checked = block.clone().check(judge).ok()?;
    let prepared = executor.prepare(checked, &rules).ok()?;
    Some((prepared, rules))
}

fn run(
    spec: &ChainSpec,
    executor: &Executor,
    block: &SealedBlock,
    state: &MemoryState,
) -> Option<BlockOutcome> {
    let (prepared, rules) = prepare(spec, executor, block)?;
    let execution = executor.execute(Mode::Seq, &prepared, &rules, state, Scope::Block).ok()?;
    Some(execution.outcome)
}

//! The state after a block, ready to execute its child: the store's state at a durable block, the
//! changes since, and the tries.

use crate::{
    Head, ImportError,
    cache::StateCache,
    chain::header_of,
    proven::ProvenState,
    warm::{hashed, warm, watched},
};
use fugue_executor::Location;
use fugue_state::{HashesFrom, Layer, StateDiff, StateView};
use fugue_storage::{BlockRecord, CheckedNodes, Snapshot};
use fugue_trie::{HashedDiff, StateTrie, TrieSource};
use fugue_types::B256;
use rayon::ThreadPool;
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// How far below the durable head a block may have its parent, and another branch begin: what
/// changed since is held in memory.
pub(crate) const REORG_DEPTH_MAX: u64 = 1_024;

/// The state after the block `at`.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) at: B256,
    pub(crate) snapshot: Arc<Snapshot>,
    /// The durable block below all changes.
    pub(crate) base: u64,
    base_hash: B256,
    pub(crate) layer: Layer,
    pub(crate) tries: StateTrie,
    /// What a batch on its way to the store changes was taken out of these tries, and what they
    /// have changed since is above it. Others, on the same path, have it in what they changed; and
    /// what the path has changed back they do not have at all.
    pub(crate) is_sent: bool,
    /// Hashes of the blocks above the base.
    hashes: BTreeMap<u64, B256>,
}

impl Work {
    /// The state after the last block of a path, the first of which is a child of the durable block
    /// `below`.
    pub(crate) fn above(
        below: B256,
        path: &[Arc<BlockRecord>],
        snapshot: Arc<Snapshot>,
        pool: Option<&ThreadPool>,
    ) -> Result<Self, ImportError> {
        let base = snapshot
            .number(below)?
            .ok_or_else(|| ImportError::Internal(format!("block {below} is nowhere")))?;
        let (head, oldest) = (snapshot.meta().head, snapshot.meta().oldest_state);
        if base < oldest || head.number - base.min(head.number) > REORG_DEPTH_MAX {
            return Err(ImportError::TooDeep { number: base, head: head.number });
        }
        let header = header_of(&snapshot, base, below)?;
        let is_on_head = base == head.number;
        let tries =
            if is_on_head { StateTrie::new(header.state_root) } else { snapshot.tries_at(base)? };
        let (layer, hashes) = (Layer::default(), BTreeMap::new());
        let (base_hash, is_sent) = (below, false);
        let mut work = Self { at: below, snapshot, base, base_hash, layer, tries, is_sent, hashes };
        let Some(last) = path.last() else { return Ok(work) };
        let mut changes = Layer::default();
        for record in path {
            changes.push(&record.diff)?;
            work.advance(record.block.block().header.number, record.block.hash(), &record.diff)?;
        }
        let diff = HashedDiff::from(&changes.into_diff());
        // All blocks at once. On the durable head the root of the last vouches for what was read.
        let (as_read, checked) = (&*work.snapshot, CheckedNodes(&work.snapshot));
        let source: &dyn TrieSource = if is_on_head { as_read } else { &checked };
        work.tries.apply(source, &diff, pool)?;
        let header = &last.block.block().header;
        if work.tries.root() != header.state_root {
            let message = format!("the tries of block {} do not come out", header.number);
            return Err(ImportError::Internal(message));
        }
        Ok(work)
    }

    /// The state becomes that after the next block, to whose diff the tries were brought already.
    pub(crate) fn advance(
        &mut self,
        number: u64,
        hash: B256,
        diff: &StateDiff,
    ) -> Result<(), ImportError> {
        self.layer.push(diff)?;
        self.hashes.insert(number, hash);
        self.at = hash;
        Ok(())
    }

    /// The same state, on a newer state of the store, which has what was taken out of these tries
    /// ([`Work::is_sent`]); above its head there are `above`, the last of which is the block of
    /// this work.
    pub(crate) fn rebase(
        self,
        snapshot: Arc<Snapshot>,
        above: &[Arc<BlockRecord>],
        branches_max: usize,
    ) -> Result<Self, ImportError> {
        let mut tries = self.tries;
        tries.prune(branches_max);
        let Head { number: base, hash: base_hash } = snapshot.meta().head;
        let (layer, hashes) = (Layer::default(), BTreeMap::new());
        let is_sent = false;
        let mut work =
            Self { at: base_hash, snapshot, base, base_hash, layer, tries, is_sent, hashes };
        for record in above {
            work.advance(record.block.block().header.number, record.block.hash(), &record.diff)?;
        }
        Ok(work)
    }

    /// Calls with the state as a view. The cache is of the newest durable state. With a pool, one
    /// of its threads meanwhile brings into memory what the tries will need of what is read, up to
    /// so many branches.
    pub(crate) fn with_view<T>(
        &mut self,
        cache: &StateCache,
        pool: Option<(&ThreadPool, usize)>,
        call: impl FnOnce(&dyn StateView) -> T,
    ) -> Result<T, ImportError> {
        let past = self.snapshot.state_at(self.base)?;
        let (layer, hashes) = (&self.layer, &self.hashes);
        let on = |below: &dyn StateView| call_over(below, layer, hashes, call);
        if self.base != self.snapshot.meta().head.number {
            return Ok(on(&past));
        }
        let Some((pool, branches_max)) = pool else { return Ok(on(&cache.over(&past))) };
        let (tries, source) = (&mut self.tries, &*self.snapshot);
        let is_over = AtomicBool::new(false);
        Ok(pool.in_place_scope(|scope| {
            let (watched, keys) = watched(&past);
            scope.spawn(|_| warm(tries, source, keys, branches_max, &is_over));
            let done = on(&cache.over(&watched));
            // The root is computed by all threads, also of what is not read yet.
            is_over.store(true, Ordering::Relaxed);
            done
        }))
    }

    /// Brings into memory what a block will need that reads these, and may change them; of the
    /// tries up to so many branches. Ends early if `goes_on` says no before one of them. Nothing
    /// depends on it: what cannot be read is passed over.
    pub(crate) fn warm(
        &mut self,
        cache: &StateCache,
        keys: &[Location],
        branches_max: usize,
        goes_on: impl Fn() -> bool,
    ) {
        if self.base != self.snapshot.meta().head.number {
            return;
        }
        let read = |view: &dyn StateView| {
            for (address, slot) in keys.iter().take_while(|_| goes_on()) {
                let _ = match slot {
                    Some(slot) => view.slot(*address, *slot).map(drop),
                    None => view.account(*address).map(drop),
                };
            }
        };
        let _ = self.with_view(cache, None, read);
        for (owner, slot) in hashed(keys) {
            if !goes_on() || self.tries.branches() > branches_max {
                return;
            }
            let _ = self.tries.warm(&*self.snapshot, owner, slot);
        }
    }

    /// As [`Work::with_view`], with a view that damage of the store cannot change.
    pub(crate) fn with_proven_view<T>(&mut self, call: impl FnOnce(&dyn StateView) -> T) -> T {
        let Self { base, base_hash, snapshot, layer, tries, hashes, .. } = self;
        // The layer is of use for codes alone: the tries are those after it.
        call_over(&ProvenState::new(tries, snapshot, *base, *base_hash), layer, hashes, call)
    }
}

fn call_over<T>(
    below: &dyn StateView,
    layer: &Layer,
    hashes: &BTreeMap<u64, B256>,
    call: impl FnOnce(&dyn StateView) -> T,
) -> T {
    let view = &layer.over(below);
    // Of blocks that are not durable.
    let hash =
        |number| hashes.get(&number).map_or_else(|| view.block_hash(number), |hash| Ok(*hash));
    call(&HashesFrom::new(view, hash))
}

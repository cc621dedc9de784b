//! Making blocks durable, beside the thread that imports.
//!
//! | job | started when | gives | awaited where |
//! | --- | --- | --- | --- |
//! | [`Persisting`] | a batch is full, or is to be flushed | a durable batch | [`Chain::settle`] |
//!
//! While a batch is on its way to the store, its blocks stay in the tree, and the state after the
//! newest block stays above the old durable head. When it has arrived, both move up. At most one
//! batch is on its way: who has another one waits, and [`crate::Times::waited`] tells how long.
//!
//! 1. A batch ends at the head, whose branches are taken out of the tries.
//! 2. Meanwhile blocks may be imported, and the head may move, also to another branch if the state
//!    below that will be kept.
//! 3. The batch has arrived: the tree forgets its blocks. If the work is the one that they were
//!    taken from, with nothing but children since, it moves onto the new state of the store; else
//!    it is dropped and built anew.
//! 4. If the batch fails, what was durable stays so, the tries are dropped, and the store refuses
//!    every further write.

use crate::{Chain, Head, HeadRule, ImportError, Retention, tree::head_of};
use fugue_storage::{BlockRecord, CommitBatch, Snapshot, StorageError, Store};
use fugue_types::{B256, Block, SealedBlock};
use std::{
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// Blocks that were durable and are kept beside the chain when another branch takes their place, at
/// most.
const ABANDONED_MAX: u64 = 128;

/// Steps of pruning that follow a batch beside the chain, at most.
const PRUNE_STEPS_MAX: usize = 2;

/// A batch on its way.
pub(crate) struct Persisting {
    /// Taken when it is joined.
    thread: Option<JoinHandle<Result<Written, StorageError>>>,
    /// It takes the place of blocks that are durable.
    pub(crate) replaces: bool,
    /// The blocks whose place it takes, lowest first, to be kept beside the chain.
    pub(crate) abandoned: Vec<SealedBlock>,
    /// Its blocks, lowest first.
    pub(crate) heads: Vec<Head>,
    bytes: usize,
}

impl std::fmt::Debug for Persisting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Persisting").field("heads", &self.heads).finish_non_exhaustive()
    }
}

impl Drop for Persisting {
    fn drop(&mut self) {
        // The store is in use until it has arrived.
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A batch that has arrived.
struct Written {
    blocks: Vec<Arc<BlockRecord>>,
    /// It follows the durable head; else it took the place of blocks that were durable.
    extends: bool,
    /// What became of the pruning that follows.
    pruned: Result<(), StorageError>,
    took: Duration,
}

/// A batch, and where it goes.
struct Batch {
    batch: CommitBatch,
    /// The durable block that it follows, if that is not the durable head.
    fork: Option<u64>,
    retention: Retention,
    prune_steps_max: usize,
}

impl Batch {
    fn write(self, store: &Store) -> Result<Written, StorageError> {
        let started = Instant::now();
        match self.fork {
            None => store.commit(&self.batch)?,
            Some(fork) => {
                store.replace(fork, &self.batch)?;
            }
        }
        let pruned = match self.retention {
            Retention::Archive => Ok(()),
            retention => store.prune_in_steps(retention, self.prune_steps_max).map(drop),
        };
        let (blocks, extends) = (self.batch.blocks, self.fork.is_none());
        Ok(Written { blocks, extends, pruned, took: started.elapsed() })
    }
}

impl Chain {
    /// Whether the blocks that are neither durable nor on their way are as many as go together.
    pub(crate) fn is_batch_full(&self) -> bool {
        let persisting = self.persisting.as_ref();
        let (blocks, bytes) = persisting.map_or((0, 0), |it| (it.heads.len(), it.bytes));
        self.pending_blocks.saturating_sub(blocks) >= self.options.batch_blocks_max
            || self.pending_bytes.saturating_sub(bytes) >= self.options.batch_bytes_max
    }

    /// Makes the chain of the head durable. Gives the head if anything was written.
    ///
    /// # Errors
    /// [`ImportError::Storage`]: then nothing more will be written. What [`Chain::durable`] says is
    /// durable stays so.
    pub fn flush(&mut self) -> Result<Option<Head>, ImportError> {
        let earlier = self.settle(true)?;
        if !self.persist(|_, _| Ok(()))? {
            return Ok(earlier);
        }
        self.settle(true)
    }

    /// Sends the chain of the head on its way to the store, if there is anything to be sent; an
    /// earlier batch must have arrived. Before that `keep` is given the durable blocks whose place
    /// it takes, lowest first, as far as they are to be kept.
    pub(crate) fn persist(
        &mut self,
        keep: impl FnOnce(&Self, &[SealedBlock]) -> Result<(), ImportError>,
    ) -> Result<bool, ImportError> {
        let (below, path) = self.tree.path_to(self.head.hash);
        if path.is_empty() || self.persisting.is_some() {
            return Ok(false);
        }
        let mut work = match self.work.take() {
            Some(work) if work.at == self.head.hash => work,
            _ => self.work_after(self.head.hash)?,
        };
        // The chain may leave the durable one below its head.
        let fork = (below != self.durable.hash).then_some(work.base);
        let abandoned = match fork {
            Some(fork) if self.options.head_rule == HeadRule::Forkchoice => {
                abandoned(&work.snapshot, fork)
            }
            _ => Vec::new(),
        };
        keep(self, &abandoned)?;
        let heads = path.iter().map(|record| head_of(record)).collect();
        let batch = CommitBatch { blocks: path, trie: work.tries.take_updates() };
        work.is_sent = true;
        self.work = Some(work);
        // Who follows a fork choice must not wait until a long past is gone.
        let prune_steps_max = match self.options.head_rule {
            HeadRule::Heaviest => usize::MAX,
            HeadRule::Forkchoice => PRUNE_STEPS_MAX,
        };
        let retention = self.options.retention;
        let batch = Batch { batch, fork, retention, prune_steps_max };
        let store = self.store.clone();
        let run = move || batch.write(&store);
        let thread = std::thread::Builder::new().name("fugue-persist".to_owned()).spawn(run);
        let thread = thread.map_err(|error| {
            self.work = None;
            ImportError::Internal(format!("no thread to make blocks durable: {error}"))
        })?;
        let (thread, replaces, bytes) = (Some(thread), fork.is_some(), self.pending_bytes);
        self.persisting = Some(Persisting { thread, replaces, abandoned, heads, bytes });
        Ok(true)
    }

    /// Takes note of a batch that has arrived. Gives the durable head if one has; waits for it if
    /// told so.
    pub(crate) fn settle(&mut self, waits: bool) -> Result<Option<Head>, ImportError> {
        let is_there =
            |it: &mut Persisting| waits || it.thread.as_ref().is_none_or(JoinHandle::is_finished);
        let Some(mut persisting) = self.persisting.take_if(is_there) else { return Ok(None) };
        let Some(thread) = persisting.thread.take() else { return Ok(None) };
        let started = Instant::now();
        let written = thread.join();
        self.times.waited += started.elapsed();
        let written = written
            .map_err(|_| ImportError::Internal("making blocks durable panicked".to_owned()))
            .and_then(|written| Ok(written?));
        // If anything fails, the tries are dropped: what was taken out of them is lost.
        let work = self.work.take();
        let Written { blocks, extends, pruned, took } = written?;
        let started = Instant::now();
        if let Some(last) = blocks.last() {
            self.durable = head_of(last);
        }
        if extends {
            blocks.iter().for_each(|record| self.cache.advance(&record.diff));
        } else {
            self.cache.clear();
        }
        pruned?;
        let snapshot = self.new_snapshot()?;
        let unrooted = self.tree.settle(&blocks, self.head.number, &snapshot)?;
        self.count_pending();
        // One that was built while the batch was on its way does not know what the store has of it.
        if let Some(work) = work.filter(|work| extends && work.is_sent) {
            let (below, above): (B256, _) = self.tree.path_to(work.at);
            if below == self.durable.hash {
                let branches_max = self.options.branches_max;
                self.work = Some(work.rebase(snapshot, &above, branches_max)?);
            }
        }
        self.abandoned = std::mem::take(&mut persisting.abandoned);
        if !self.abandoned.is_empty() {
            // What was above them, and not durable yet, goes with them.
            let above = unrooted.iter().map(|record| record.block.block().clone());
            self.abandoned.extend(above.map(SealedBlock::seal));
        }
        self.times.durable += took + started.elapsed();
        Ok(Some(self.durable))
    }
}

/// The durable blocks above a fork, lowest first; none where they are too many, or cannot be read.
fn abandoned(snapshot: &Snapshot, fork: u64) -> Vec<SealedBlock> {
    let head = snapshot.meta().head.number;
    if head.saturating_sub(fork) > ABANDONED_MAX {
        return Vec::new();
    }
    let read = |number: u64| {
        let (_, header) = snapshot.header(number)?;
        let body = snapshot.body(number)?;
        Ok(SealedBlock::seal(Block { header, body }))
    };
    let blocks: Result<_, StorageError> = (fork + 1..=head).map(read).collect();
    // They are kept as a courtesy: whoever wants them back can send them.
    blocks.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ChainOptions,
        engine::samples::{After, REVERSIBLE, World, come, keys, raise},
        tree::weight,
    };
    use fugue_chainspec::ChainSpec;
    use fugue_executor::Mode;
    use fugue_state::{MemoryState, StateView};
    use fugue_types::Address;

    /// A chain that follows a fork choice, and its genesis.
    fn begun() -> (Chain, After) {
        let World { store, spec, genesis, .. } = World::new();
        let options = ChainOptions::following(Mode::Seq, 1);
        let chain = Chain::open(store, ChainSpec::clone(&spec), options).expect("a good store");
        (chain, genesis)
    }

    /// Puts a block, whose parent is there, into the tree.
    fn place(chain: &mut Chain, after: &After) {
        let record = after.record().expect("not the genesis");
        let bytes = weight(&record);
        chain.tree.insert(record, bytes);
    }

    /// A block whose slots come and go, one that takes that back, and one that changes them anew.
    fn back_and_forth(genesis: &After) -> [After; 3] {
        let (_, turn) = REVERSIBLE[2];
        let diff = turn(&genesis.state);
        let turned = genesis.child(diff.clone());
        let back = turned.child(diff.reversed().expect("nothing is wiped"));
        let raised = back.child(raise(&back.state));
        [turned, back, raised]
    }

    /// Of what a batch has changed, and a block above it has changed back, a work that was built
    /// meanwhile knows nothing; the next batch has to take it out of the store all the same.
    #[test]
    fn what_a_batch_changed_is_changed_back_in_the_store_whatever_was_built_meanwhile() {
        let (mut chain, genesis) = begun();
        let [turned, back, raised] = back_and_forth(&genesis);
        for after in [&turned, &back, &raised] {
            place(&mut chain, after);
        }
        chain.set_head(turned.head.hash).expect("it is there");
        // As while the batch is on its way: the store has none of it yet.
        let meanwhile = chain.work_after(back.head.hash).expect("the roots come out");
        assert_eq!(chain.persist(|_, _| Ok(())), Ok(true));
        chain.work = Some(meanwhile);
        assert_eq!(chain.settle(true), Ok(Some(turned.head)));
        chain.set_head(back.head.hash).expect("it is there");
        assert_eq!(chain.flush(), Ok(Some(back.head)));
        chain.work = None;
        let next = chain.work_after(raised.head.hash).map(|work| work.at);
        assert_eq!(next, Ok(raised.head.hash), "the tries of the store are those of its head");
    }

    #[test]
    fn the_work_that_a_batch_was_taken_from_moves_onto_it() {
        let (mut chain, genesis) = begun();
        let [turned, back, raised] = back_and_forth(&genesis);
        for after in [&turned, &back, &raised] {
            place(&mut chain, after);
            chain.set_head(after.head.hash).expect("it is there");
            assert_eq!(chain.persist(|_, _| Ok(())), Ok(true));
            assert_eq!(chain.settle(true), Ok(Some(after.head)));
            assert_eq!(chain.work.as_ref().map(|work| work.at), Some(after.head.hash));
        }
    }

    /// Makes a block durable, and reads the state after it through the cache.
    fn read_durable(chain: &mut Chain, after: &After) {
        place(chain, after);
        chain.set_head(after.head.hash).expect("it is there");
        assert_eq!(chain.flush(), Ok(Some(after.head)));
        let work = chain.work.take().map_or_else(|| chain.work_after(after.head.hash), Ok);
        let read = |state: &dyn StateView| {
            for (address, slot) in keys() {
                if let Some(slot) = slot {
                    assert_eq!(state.slot(address, slot), after.state.slot(address, slot));
                } else {
                    assert_eq!(state.account(address), after.state.account(address));
                }
            }
        };
        assert_eq!(work.expect("a good store").with_view(&chain.cache, None, read), Ok(()));
        let known = Address::repeat_byte(1);
        let told = chain.cache.over(&MemoryState::default()).account(known);
        assert_eq!(told, after.state.account(known), "the cache was not asked");
    }

    #[test]
    fn the_cache_goes_along_with_what_is_durable_also_to_another_branch() {
        let (mut chain, genesis) = begun();
        let left = genesis.child(raise(&genesis.state));
        let other = genesis.child(come(&genesis.state));
        let child = other.child(raise(&other.state));
        for after in [&left, &other, &child] {
            read_durable(&mut chain, after);
        }
    }
}

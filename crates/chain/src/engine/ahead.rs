//! Looking ahead: while nothing is to be built, the builder's thread runs the transactions of the
//! pool on the state of the head, in the order in which a block takes them.
//!
//! What comes of it is of use to whoever builds or imports the next block:
//! 1. each transaction's footprint tells which of the others it is to wait for,
//! 2. what it read is in memory, also where the chain's thread imports, which is told the keys.
//!
//! Nothing depends on it. It stands back while the engine has a call to answer, and while a build
//! is made better; it passes over transactions above [`TX_GAS_MAX`], and ends for a head once
//! [`TXS_MAX`] transactions or [`BLOCKS_MAX`] blocks' worth of gas were run: what comes later, or
//! in place of one that was run, waits for the next head.

use super::{
    Shared,
    ground::Ground,
    pool::{best_for, next_header},
};
use crate::{ChainView, Head, ImportError};
use fugue_chainspec::Rules;
use fugue_executor::{Executor, Location};
use fugue_state::Layer;
use fugue_txpool::PooledTx;
use fugue_types::{B256, HashSet, Header, TransactionTrait as _};
use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

/// Transactions that are run on one head, at most.
const TXS_MAX: usize = 4_096;
/// Blocks whose gas limit they may use up together.
const BLOCKS_MAX: u64 = 2;
/// Gas limit above which a transaction is not run: a build that begins meanwhile waits for its end.
const TX_GAS_MAX: u64 = 8_000_000;
/// Keys of one head that are brought into memory, at most.
const KEYS_MAX: usize = 65_536;
/// Keys that are at a time, here and by the chain's thread, which stops for any call.
const KEYS_TOGETHER: usize = 64;
/// After so long, others are looked at; a transaction that has begun is run to its end.
const SLICE: Duration = Duration::from_millis(2);
/// Between two looks at which transactions the pool has: a look takes time for each of them.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How far the look has gone.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    /// On whose state.
    head: Head,
    /// The next block's header, about, and its rules.
    header: Header,
    rules: Option<Rules>,
    gas_left: u64,
    /// What those did that were run.
    layer: Layer,
    /// Their hashes, also of those that were refused.
    done: HashSet<B256>,
    /// The pool when it was looked at last.
    seen: Option<(u64, Instant)>,
    queue: VecDeque<Arc<PooledTx>>,
    /// What was read.
    keys: HashSet<Location>,
    /// Of these, what is to be brought into memory here, and then by the chain's thread.
    cold: VecDeque<Location>,
    unnamed: Vec<Location>,
}

impl Ahead {
    /// How long there is nothing to do, if nothing happens; `None` for as long as nothing does.
    pub(crate) fn patience(&self, shared: &Shared, ground: Option<&Ground>) -> Option<Duration> {
        if shared.is_called() {
            return None;
        }
        let view = shared.view.read();
        let is_left = ground.is_some_and(|ground| ground.is_left_by(&view));
        let names = !self.unnamed.is_empty() && !shared.is_warming.load(Ordering::Acquire);
        if is_left || names || !self.cold.is_empty() || !self.queue.is_empty() {
            return Some(Duration::ZERO);
        }
        self.until_look(shared, view.head())
    }

    /// How long until head and pool are looked at; `None` if they are what they were.
    fn until_look(&self, shared: &Shared, head: Head) -> Option<Duration> {
        let Some((version, looked)) = self.seen else { return Some(Duration::ZERO) };
        let is_new = shared.pool.version() != version || head != self.head;
        is_new.then(|| LOOK_EVERY.saturating_sub(looked.elapsed()))
    }

    /// Goes on for a little.
    pub(crate) fn go_on(
        &mut self,
        shared: &Shared,
        executor: &Executor,
        ground: &mut Option<Ground>,
    ) {
        if self.step(shared, executor, ground).is_err() {
            *ground = None;
            self.give_up(shared);
        }
        if !self.unnamed.is_empty() && !shared.is_warming.load(Ordering::Acquire) {
            let count = self.unnamed.len().min(KEYS_TOGETHER);
            shared.name_keys(self.unnamed.drain(..count).collect());
        }
    }

    /// Nothing depends on it: until something is new, that is all.
    pub(crate) fn give_up(&mut self, shared: &Shared) {
        shared.ahead_failures.fetch_add(1, Ordering::Relaxed);
        let seen = Some((shared.pool.version(), Instant::now()));
        let head = shared.view.read().head();
        *self = Self { head, seen, ..Self::default() };
    }

    fn step(
        &mut self,
        shared: &Shared,
        executor: &Executor,
        ground: &mut Option<Ground>,
    ) -> Result<(), ImportError> {
        let view = shared.view.read().clone();
        // What it stands on cannot be reused by the store.
        ground.take_if(|ground| ground.is_left_by(&view));
        if self.until_look(shared, view.head()) == Some(Duration::ZERO) {
            self.look(shared, &view)?;
        }
        let is_current = view.head() == self.head;
        let Some(rules) = self.rules.filter(|_| is_current) else {
            self.queue.clear();
            self.cold.clear();
            return Ok(());
        };
        if self.queue.is_empty() && self.cold.is_empty() {
            return Ok(());
        }
        let pool = executor.pool();
        let here = match ground.take() {
            Some(ground) if ground.hash() == self.head.hash => ground,
            earlier => Ground::at(self.head, &view, earlier, pool)?,
        };
        let ground = ground.insert(here);
        let started = Instant::now();
        let goes_on = || !shared.is_called() && started.elapsed() < SLICE;
        if !self.cold.is_empty() {
            let count = self.cold.len().min(KEYS_TOGETHER);
            let keys: Vec<_> = self.cold.drain(..count).collect();
            ground.warm(&keys, goes_on);
            self.unnamed.extend(keys);
            return Ok(());
        }
        let txs = self.queue.iter().map(|pooled| (&pooled.tx, pooled.sender));
        let (header, layer) = (&self.header, &mut self.layer);
        let found = ground
            .with_view(|state| executor.preexecute(header, &rules, state, layer, txs, goes_on))?;
        let found = found.map_err(|error| ImportError::Internal(error.to_string()))?;

        for footprint in found.iter().flatten() {
            self.gas_left = self.gas_left.saturating_sub(footprint.gas_used());
            for key in footprint.reads() {
                if self.keys.len() < KEYS_MAX && self.keys.insert(*key) {
                    self.cold.push_back(*key);
                }
            }
        }
        let hashes: Vec<B256> = self.queue.drain(..found.len()).map(|pooled| pooled.hash).collect();
        self.done.extend(&hashes);
        let found = hashes.into_iter().zip(found);
        shared.footprints.insert(found.filter_map(|(hash, found)| Some((hash, found?))));
        if self.gas_left == 0 {
            self.queue.clear();
        }
        Ok(())
    }

    /// Looks at the head, and at which transactions of the pool were not run on its state.
    fn look(&mut self, shared: &Shared, view: &ChainView) -> Result<(), ImportError> {
        let Shared { pool, spec, footprints, .. } = shared;
        let version = pool.version();
        let head = view.head();
        if head != self.head || self.rules.is_none() {
            let (hash, parent) = view
                .header(head.number)?
                .ok_or_else(|| ImportError::Internal("the head has no header".to_owned()))?;
            let header = next_header(spec, hash, &parent);
            let rules = Some(spec.rules(&header));
            let gas_left = BLOCKS_MAX.saturating_mul(header.gas_limit);
            // What was run on an older head is forgotten: so the footprints stay few.
            let mut kept = std::mem::take(&mut self.done);
            kept.retain(|hash| pool.get(hash).is_some());
            footprints.keep(&kept);
            *self = Self { head, header, rules, gas_left, ..Self::default() };
        }
        self.seen = Some((version, Instant::now()));
        let room = TXS_MAX.saturating_sub(self.done.len());
        if self.gas_left == 0 || room == 0 {
            return Ok(());
        }
        let Some(rules) = &self.rules else { return Ok(()) };
        let best = best_for(pool, &self.header, rules);
        let is_to_run = |pooled: &Arc<PooledTx>| {
            pooled.tx.gas_limit() <= TX_GAS_MAX && !self.done.contains(&pooled.hash)
        };
        self.queue = best.filter(is_to_run).take(room).collect();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::samples::{World, raise};

    #[test]
    fn a_ground_that_the_store_has_left_is_let_go_though_there_is_nothing_to_run() {
        let world = World::new();
        let old = world.snapshot();
        let one = world.genesis.child(raise(&world.genesis.state));
        let shared = world.shared(&old, &one);
        let executor = Executor::new(1).expect("a thread");
        let (mut ahead, mut ground) = (Ahead::default(), Some(world.ground(&old, &one)));
        // 1. Head and pool are looked at. Then there is nothing to do, and the ground stays.
        ahead.go_on(&shared, &executor, &mut ground);
        assert!(ground.is_some());
        assert_eq!(ahead.patience(&shared, ground.as_ref()), None);
        // 2. The head becomes durable. It is still the head, and the pool is still empty.
        world.commit(&one);
        *shared.view.write() = Arc::new(world.view(&world.snapshot(), &one));
        assert_eq!(ahead.patience(&shared, ground.as_ref()), Some(Duration::ZERO));
        ahead.go_on(&shared, &executor, &mut ground);
        assert!(ground.is_none());
        assert_eq!(Arc::strong_count(&old), 1, "others have the old state");
        // 3. And there is nothing to do again.
        assert_eq!(ahead.patience(&shared, ground.as_ref()), None);
        assert_eq!(shared.ahead_failures.load(Ordering::Relaxed), 0);
    }
}

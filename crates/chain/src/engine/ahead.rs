//! Looking ahead: while nothing is to be built, the builder's thread runs the transactions of the
//! pool on the state of the head, in the order in which a block takes them.
//!
//! What comes of it is of use to whoever builds or imports the next block:
//! 1. each transaction's footprint tells which of the others it is to wait for,
//! 2. what it read is in memory, also where the chain's thread imports, which is told the keys.
//!
//! Nothing depends on it. It stands back while a call is being answered, and ends for a head once
//! [`TXS_MAX`] transactions or [`BLOCKS_MAX`] blocks' worth of gas were run.

use super::{Shared, ground::Ground, pool::next_header};
use crate::{ChainView, Head, ImportError};
use fugue_executor::{Executor, Location};
use fugue_state::Layer;
use fugue_txpool::PooledTx;
use fugue_types::{B256, HashSet, Header};
use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

/// Transactions that are run on one head, at most.
const TXS_MAX: usize = 4_096;
/// Blocks whose gas limit they may use up together.
const BLOCKS_MAX: u64 = 2;
/// Keys of one head that are named to the chain's thread, at most.
const KEYS_MAX: usize = 65_536;
/// Keys that are named at a time: the chain's thread is at them for a millisecond or two.
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
    /// The next block's header, about.
    header: Header,
    gas_left: u64,
    /// What those did that were run.
    layer: Layer,
    /// Their hashes, also of those that were refused.
    done: HashSet<B256>,
    /// The pool when it was looked at last.
    seen: Option<(u64, Instant)>,
    queue: VecDeque<Arc<PooledTx>>,
    /// Keys that were or will be named.
    keys: HashSet<Location>,
    unnamed: VecDeque<Location>,
}

impl Ahead {
    /// How long there is nothing to do, if nothing happens; `None` if there will not be.
    pub(crate) fn patience(&self, shared: &Shared) -> Option<Duration> {
        if shared.is_busy.load(Ordering::Acquire) {
            return None;
        }
        let names = !self.unnamed.is_empty() && !shared.is_warming.load(Ordering::Acquire);
        if names || !self.queue.is_empty() {
            return Some(Duration::ZERO);
        }
        let Some((version, looked)) = self.seen else { return Some(Duration::ZERO) };
        let is_new = shared.pool.version() != version || shared.view.read().head() != self.head;
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
            self.give_up();
        }
        self.name_keys(shared);
    }

    /// Nothing depends on it: until something is new, that is all for this head.
    pub(crate) fn give_up(&mut self) {
        let seen = self.seen.or_else(|| Some((0, Instant::now())));
        *self = Self { head: self.head, seen, ..Self::default() };
    }

    fn step(
        &mut self,
        shared: &Shared,
        executor: &Executor,
        ground: &mut Option<Ground>,
    ) -> Result<(), ImportError> {
        let view = shared.view.read().clone();
        if self.queue.is_empty() || view.head() != self.head {
            self.look(shared, &view)?;
        }
        if self.queue.is_empty() {
            return Ok(());
        }
        let pool = executor.pool();
        let here = match ground.take() {
            Some(ground) if ground.hash() == self.head.hash => ground,
            earlier => Ground::at(self.head, &view, earlier, pool)?,
        };
        let ground = ground.insert(here);
        let started = Instant::now();
        let goes_on = || !shared.is_busy.load(Ordering::Acquire) && started.elapsed() < SLICE;
        let rules = shared.spec.rules(&self.header);
        let txs = self.queue.iter().map(|pooled| (&pooled.tx, pooled.sender));
        let (header, layer) = (&self.header, &mut self.layer);
        let found = ground
            .with_view(|state| executor.preexecute(header, &rules, state, layer, txs, goes_on))?;
        let found = found.map_err(|error| ImportError::Internal(error.to_string()))?;

        let mut fresh = Vec::new();
        for footprint in found.iter().flatten() {
            self.gas_left = self.gas_left.saturating_sub(footprint.gas_used());
            for key in footprint.reads() {
                if self.keys.len() < KEYS_MAX && self.keys.insert(*key) {
                    fresh.push(*key);
                }
            }
        }
        ground.warm(&fresh);
        self.unnamed.extend(fresh);
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
        if head != self.head || self.seen.is_none() {
            let (hash, parent) = view
                .header(head.number)?
                .ok_or_else(|| ImportError::Internal("the head has no header".to_owned()))?;
            let header = next_header(spec, hash, &parent);
            let gas_left = BLOCKS_MAX.saturating_mul(header.gas_limit);
            *self = Self { head, header, gas_left, ..Self::default() };
            footprints.retain(|hash| pool.get(hash).is_some());
        }
        self.seen = Some((version, Instant::now()));
        let room = TXS_MAX.saturating_sub(self.done.len());
        if self.gas_left == 0 || room == 0 {
            return Ok(());
        }
        let blob_fee = spec
            .rules(&self.header)
            .blob_params
            .zip(self.header.excess_blob_gas)
            .map(|(params, excess)| params.calc_blob_fee(excess));
        let best = pool.best(self.header.base_fee_per_gas.unwrap_or_default(), blob_fee);
        self.queue = best.filter(|pooled| !self.done.contains(&pooled.hash)).take(room).collect();
        Ok(())
    }

    /// Names keys to the chain's thread, unless it is at earlier ones.
    fn name_keys(&mut self, shared: &Shared) {
        if self.unnamed.is_empty() || shared.is_warming.load(Ordering::Acquire) {
            return;
        }
        let count = self.unnamed.len().min(KEYS_TOGETHER);
        shared.name_keys(self.unnamed.drain(..count).collect());
    }
}

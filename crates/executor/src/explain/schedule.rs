//! How long a block takes on some cores, if each takes up the first transaction, in some order,
//! that waits for nobody: list scheduling, which never takes twice as long as the best schedule.
//!
//! What a transaction weighs is how long it takes: gas, or nanoseconds.

use super::{ConflictGraph, speed_up};
use std::{
    cmp::Reverse,
    collections::{BTreeSet, BinaryHeap},
};

/// Which of the transactions that wait for nobody is taken up first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Order {
    /// The first in the block.
    Block,
    /// The one that weighs most; of equals the first in the block. An execution can only guess it.
    Heaviest,
}

/// A block on some cores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// How many cores, all as fast as one another.
    pub cores: usize,
    /// What all transactions weigh.
    pub total: u64,
    /// When the last one ends, in the unit of the weights.
    pub length: u64,
}

impl Schedule {
    /// How many times faster than one core that is.
    pub fn speed_up(&self) -> f64 {
        speed_up(self.total, self.length)
    }
}

/// Transactions that are not begun.
struct Waiting<'g> {
    graph: &'g ConflictGraph<'g>,
    order: Order,
    weights: &'g [u64],
    /// Of each transaction, those that depend on it.
    dependents: Vec<Vec<usize>>,
    /// Of each transaction, how many it depends on that have not ended.
    missing: Vec<usize>,
    /// Those that pay a fee and have not ended.
    unpaid: BTreeSet<usize>,
    /// Those that wait for fees alone.
    held: BTreeSet<usize>,
    /// Those that wait for nobody, each behind its rank: the lowest is taken up first.
    ready: BTreeSet<(Reverse<u64>, usize)>,
}

impl ConflictGraph<'_> {
    /// The block on so many cores, at least one. `weights` has what each transaction weighs, in
    /// block order; what is missing at its end weighs nothing.
    pub fn schedule(&self, cores: usize, order: Order, weights: &[u64]) -> Schedule {
        let cores = cores.max(1);
        let mut waiting = Waiting::new(self, order, weights);
        let mut running: BinaryHeap<Reverse<(u64, usize)>> = BinaryHeap::new();
        let mut now = 0_u64;
        loop {
            while running.len() < cores
                && let Some(index) = waiting.begin()
            {
                let end = now.saturating_add(waiting.weight(index));
                running.push(Reverse((end, index)));
            }
            let Some(Reverse((end, index))) = running.pop() else { break };
            now = end;
            waiting.end(index);
            // All that end at this time, before anything begins.
            while let Some(Reverse((end, index))) = running.peek().copied()
                && end == now
            {
                running.pop();
                waiting.end(index);
            }
        }
        let total = weights.iter().take(self.txs.len()).copied().fold(0, u64::saturating_add);
        Schedule { cores, total, length: now }
    }
}

impl<'g> Waiting<'g> {
    fn new(graph: &'g ConflictGraph<'g>, order: Order, weights: &'g [u64]) -> Self {
        let count = graph.txs.len();
        let mut dependents = vec![Vec::new(); count];
        for (index, dependencies) in graph.dependencies.iter().enumerate() {
            for dependency in dependencies {
                dependents[dependency.on].push(index);
            }
        }
        let paying = graph.txs.iter().enumerate().filter(|(_, tx)| tx.credits);
        let mut waiting = Self {
            graph,
            order,
            weights,
            dependents,
            missing: graph.dependencies.iter().map(Vec::len).collect(),
            unpaid: paying.map(|(index, _)| index).collect(),
            held: BTreeSet::new(),
            ready: BTreeSet::new(),
        };
        for index in 0..count {
            if waiting.missing[index] == 0 {
                waiting.release(index);
            }
        }
        waiting
    }

    fn weight(&self, index: usize) -> u64 {
        self.weights.get(index).copied().unwrap_or_default()
    }

    /// The next to begin.
    fn begin(&mut self) -> Option<usize> {
        // Whoever looks at the fee recipient waits for the fees of all before it. If the first of
        // them has to, all others have to.
        while let Some(first) = self.held.first().copied()
            && self.unpaid.first().is_none_or(|unpaid| *unpaid > first)
        {
            self.held.remove(&first);
            self.make_ready(first);
        }
        self.ready.pop_first().map(|(_, index)| index)
    }

    fn end(&mut self, index: usize) {
        self.unpaid.remove(&index);
        for dependent in std::mem::take(&mut self.dependents[index]) {
            self.missing[dependent] -= 1;
            if self.missing[dependent] == 0 {
                self.release(dependent);
            }
        }
    }

    /// It depends on nobody that has not ended.
    fn release(&mut self, index: usize) {
        if self.graph.reads_fees[index] {
            self.held.insert(index);
        } else {
            self.make_ready(index);
        }
    }

    fn make_ready(&mut self, index: usize) {
        let rank = match self.order {
            Order::Block => 0,
            Order::Heaviest => self.weight(index),
        };
        self.ready.insert((Reverse(rank), index));
    }
}

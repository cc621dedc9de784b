//! Small transactions over numbered keys, made from a seed, and the interpreter that defines where
//! they end.

use fugue_workload::Rng;
use std::collections::BTreeMap;

/// A step of a transaction. What it writes, and where, follows from what it reads.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// Reads two keys, and writes what comes of them under one of two others.
    Mix { from: [u64; 2], to: [u64; 2] },
    /// Reads a key and writes what is there already.
    Silent(u64),
    /// Goes on at the transaction's turn only.
    AtTurn,
}

/// What is run.
#[derive(Debug, Clone, Default)]
pub(super) struct Recipe {
    pub(super) transactions: Vec<Vec<Step>>,
    /// Waits for this earlier one before it runs ahead.
    pub(super) predecessors: BTreeMap<usize, usize>,
    pub(super) keys: u64,
    /// Values are below this; a small range makes different ways lead to equal values.
    pub(super) range: u64,
    /// Its commit is refused.
    pub(super) refused: Option<usize>,
    /// It panics whenever it runs.
    pub(super) panics: Option<usize>,
    /// Its commit panics.
    pub(super) commit_panics: Option<usize>,
    /// Asking whom it waits for panics; transaction 0 takes until then.
    pub(super) predecessor_panics: Option<usize>,
    /// The worker of this number panics when it is made.
    pub(super) worker_panics: Option<u64>,
    /// Transactions 0 and 1 take longer than one and two guesses of all others.
    pub(super) is_held: bool,
}

impl Recipe {
    pub(super) fn random(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let count = rng.index(61);
        let keys = 1 + rng.below(24);
        Self::draw(&mut rng, count, keys)
    }

    /// `count` transactions over `keys` keys.
    pub(super) fn draw(rng: &mut Rng, count: usize, keys: u64) -> Self {
        let range = if rng.chance(50) { 4 } else { u64::MAX };
        let (hot, chained) = (rng.below(60), rng.below(40));
        let (silent, at_turn) = (rng.below(30), rng.below(8));
        let mut recipe = Self { keys, range, ..Self::default() };
        for tx in 0..count {
            if tx > 0 && rng.chance(chained) {
                recipe.predecessors.insert(tx, tx - 1 - rng.index(tx.min(4)));
            }
            let steps = 1 + rng.index(5);
            let steps = (0..steps).map(|_| {
                let mut key = || if rng.chance(hot) { 0 } else { rng.below(keys) };
                let (from, to) = ([key(), key()], [key(), key()]);
                if rng.chance(at_turn) {
                    Step::AtTurn
                } else if rng.chance(silent) {
                    Step::Silent(to[0])
                } else {
                    Step::Mix { from, to }
                }
            });
            recipe.transactions.push(steps.collect());
        }
        recipe
    }

    /// Each transaction has a key of its own.
    pub(super) fn independent(count: usize) -> Self {
        let own = |key| vec![Step::Mix { from: [key; 2], to: [key; 2] }];
        let keys = count as u64;
        Self {
            transactions: (0..keys).map(own).collect(),
            keys,
            range: u64::MAX,
            ..Self::default()
        }
    }

    /// All transactions change one key.
    pub(super) fn serial(count: usize) -> Self {
        let transactions = vec![vec![Step::Mix { from: [0; 2], to: [0; 2] }]; count];
        Self { transactions, keys: 1, range: u64::MAX, ..Self::default() }
    }

    /// The value of a key before the first transaction.
    pub(super) fn base(&self, key: u64) -> u64 {
        (key + 1) % self.range
    }

    /// Outputs of all transactions and final values of all keys: the definition.
    pub(super) fn expected(&self) -> (Vec<u64>, Vec<u64>) {
        let mut values: Vec<u64> = (0..self.keys).map(|key| self.base(key)).collect();
        let mut outputs = Vec::new();
        for tx in 0..self.transactions.len() {
            let read = |key: u64| Ok::<_, Stop>(values[key as usize]);
            let run = self.interpret(tx, read, || Ok(())).expect("nothing stops it");
            for (key, value) in &run.writes {
                values[*key as usize] = *value;
            }
            outputs.push(run.output);
        }
        (outputs, values)
    }

    /// Runs one transaction on what `read` and `at_turn` answer.
    pub(super) fn interpret(
        &self,
        tx: usize,
        mut read: impl FnMut(u64) -> Result<u64, Stop>,
        at_turn: impl Fn() -> Result<(), Stop>,
    ) -> Result<Run, Stop> {
        let mut run = Run::default();
        for step in &self.transactions[tx] {
            match step {
                Step::Mix { from: [left, right], to } => {
                    let left = run.look(*left, &mut read)?;
                    let right = run.look(*right, &mut read)?;
                    let value = mix(left, right, tx as u64) % self.range;
                    run.output = mix(run.output, value, 1);
                    run.writes.insert(to[(value & 1) as usize], value);
                }
                Step::Silent(key) => {
                    let value = run.look(*key, &mut read)?;
                    run.writes.insert(*key, value);
                }
                Step::AtTurn => at_turn()?,
            }
        }
        Ok(run)
    }
}

/// A number made of all three; one to one in a value that is given on both sides.
const fn mix(left: u64, right: u64, by: u64) -> u64 {
    let sum = left.wrapping_mul(5).wrapping_add(right.wrapping_mul(2)).wrapping_add(by);
    let product = sum.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    product ^ (product >> 29)
}

/// Why a transaction does not run to its end.
#[derive(Debug)]
pub(super) enum Stop {
    Blocked(usize),
    Parked,
}

/// What a transaction did.
#[derive(Debug, Default)]
pub(super) struct Run {
    pub(super) reads: BTreeMap<u64, u64>,
    pub(super) writes: BTreeMap<u64, u64>,
    pub(super) output: u64,
}

impl Run {
    /// The value of a key as this transaction sees it: its own, else the one it has read before.
    fn look(
        &mut self,
        key: u64,
        read: &mut impl FnMut(u64) -> Result<u64, Stop>,
    ) -> Result<u64, Stop> {
        if let Some(value) = self.writes.get(&key).or_else(|| self.reads.get(&key)) {
            return Ok(*value);
        }
        let value = read(key)?;
        self.reads.insert(key, value);
        Ok(value)
    }
}

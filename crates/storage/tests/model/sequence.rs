//! A fixed course of a store: the same steps every time, with the model after each.

use super::{
    CONFIG, Model, compare,
    plan::{BlockPlan, Edit},
};
use fugue_storage::{CommitBatch, Faults, Retention, Snapshot, StorageError, Store};
use fugue_trie::StateTrie;

/// Numbers that look random and are the same every time: SplitMix64.
#[derive(Debug, Clone)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn throw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `end`, which is not 0.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.throw() % end
    }

    fn byte(&mut self) -> u8 {
        self.throw().to_le_bytes()[0]
    }

    fn index(&mut self, end: u8) -> usize {
        usize::from(self.byte() % end)
    }

    fn slots(&mut self) -> Vec<(usize, u8)> {
        let count = 1 + self.index(4);
        (0..count)
            .map(|_| (self.index(8), if self.index(4) == 0 { 0 } else { self.byte() }))
            .collect()
    }

    fn edit(&mut self) -> Edit {
        match self.index(12) {
            0..=4 => Edit::Store(self.slots()),
            5..=7 => Edit::Pay(self.byte()),
            8 => Edit::Code(self.byte()),
            9 => Edit::Delete,
            10 => Edit::Wipe(self.slots()),
            _ => Edit::Remake(self.slots()),
        }
    }

    /// A block of up to seven edits.
    pub(crate) fn block(&mut self) -> BlockPlan {
        let count = self.index(8);
        let edits = (0..count).map(|_| (self.index(6), self.edit())).collect();
        BlockPlan { edits, tx_count: self.byte() % 4, salt: self.byte() }
    }
}

/// One call of the store.
#[derive(Debug)]
pub(crate) enum Step {
    Init(CommitBatch),
    Commit(CommitBatch),
    Unwind(u64),
    Prune(Retention),
}

impl Step {
    pub(crate) fn run(&self, store: &Store) -> Result<(), StorageError> {
        match self {
            Self::Init(batch) => store.init(CONFIG.to_vec(), batch),
            Self::Commit(batch) => store.commit(batch),
            Self::Unwind(to) => store.unwind(*to, |_| ()),
            Self::Prune(retention) => store.prune(*retention).map(|_| ()),
        }
    }

    /// Whether it is one transaction and nothing more: done if it says so, and only then.
    pub(crate) const fn is_one_write(&self) -> bool {
        matches!(self, Self::Init(_) | Self::Commit(_))
    }
}

/// Steps, and the model after each.
#[derive(Debug)]
pub(crate) struct Sequence {
    pub(crate) steps: Vec<Step>,
    pub(crate) after: Vec<Model>,
}

impl Sequence {
    /// Begins a chain, commits six batches, prunes twice, unwinds once.
    pub(crate) fn new() -> Self {
        let mut dice = Dice(7);
        let mut genesis = dice.block();
        // Every account is there from the start, some with storage.
        genesis.edits.extend((0..6).map(|index| (index, Edit::Pay(dice.byte()))));
        genesis.edits.extend((0..3).map(|index| (index, Edit::Store(dice.slots()))));
        let (model, batch, trie) = Model::genesis(&genesis);
        let store = Store::memory(Faults::none());
        let step = Step::Init(batch);
        step.run(&store).expect("an empty store");
        let sequence = Self { steps: vec![step], after: vec![model.clone()] };
        let mut maker = Maker { store, model, trie, dice, sequence };
        maker.commit(2);
        maker.commit(1);
        maker.commit(3);
        maker.prune(Retention::Full { window: 4 });
        maker.commit(2);
        maker.commit(1);
        maker.unwind(5);
        maker.commit(3);
        maker.prune(Retention::Minimal { window: 3 });
        maker.sequence
    }

    pub(crate) fn last(&self) -> &Model {
        self.after.last().expect("there is a first step")
    }

    /// The model with the marks of a snapshot.
    pub(crate) fn model_of(&self, snapshot: &Snapshot) -> Option<&Model> {
        self.after.iter().find(|model| compare::marks(snapshot, model).is_ok())
    }
}

struct Maker {
    store: Store,
    model: Model,
    trie: StateTrie,
    dice: Dice,
    sequence: Sequence,
}

impl Maker {
    fn commit(&mut self, blocks: usize) {
        let plans: Vec<BlockPlan> = (0..blocks).map(|_| self.dice.block()).collect();
        let snapshot = self.store.snapshot().expect("nothing fails");
        let batch = self.model.extend(&plans, &mut self.trie, &snapshot);
        self.push(Step::Commit(batch));
    }

    fn unwind(&mut self, to: u64) {
        self.model.cut(to);
        self.trie = StateTrie::new(self.model.root());
        self.push(Step::Unwind(to));
    }

    fn prune(&mut self, retention: Retention) {
        self.model.prune(retention);
        self.push(Step::Prune(retention));
    }

    fn push(&mut self, step: Step) {
        step.run(&self.store).expect("nothing fails");
        // Nothing stays in memory: the next batch reads what this one wrote.
        self.trie.prune(0);
        self.sequence.steps.push(step);
        self.sequence.after.push(self.model.clone());
    }
}

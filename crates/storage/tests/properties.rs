//! Random courses of a store against a model in plain maps: every block, every state that is kept,
//! every trie, and the number of rows, after every step.

mod model;

use fugue_state::{Account, AccountDiff, SlotDiff, StateDiff};
use fugue_storage::{
    Access, BlockRecord, CommitBatch, Faults, LOG_SECTION_BLOCKS, Retention, StorageError, Store,
    StoreOptions, Table,
};
use fugue_trie::{EMPTY_ROOT_HASH, NoSource, StateTrie};
use fugue_types::{Address, Block, Bytes, U256, keccak256};
use model::{
    CONFIG, Model, ModelBlock, compare,
    plan::{ADDRESSES, BlockPlan, Edit},
    raw, recovered,
};
use proptest::{collection::vec, prelude::*};
use std::{path::Path, sync::Arc};
use tempfile::TempDir;

/// A store and its model. The folder outlives the store.
struct Subject {
    store: Option<Store>,
    folder: Option<TempDir>,
    model: Model,
    trie: StateTrie,
}

fn open(folder: &Path) -> Store {
    let store = Store::open(folder, StoreOptions::new(Access::Write, 2));
    store.expect("a folder of our own")
}

impl Subject {
    fn new(folder: Option<TempDir>, genesis: &BlockPlan) -> Self {
        Self::begun(folder, genesis, Store::init)
    }

    /// In memory, with an index of addresses.
    fn indexed(genesis: &BlockPlan) -> Self {
        Self::begun(None, genesis, Store::init_indexed)
    }

    fn begun(
        folder: Option<TempDir>,
        genesis: &BlockPlan,
        init: fn(&Store, Vec<u8>, &CommitBatch) -> Result<(), StorageError>,
    ) -> Self {
        let store = match &folder {
            Some(folder) => open(folder.path()),
            None => Store::memory(Faults::none()),
        };
        assert_eq!(store.meta(), Ok(None));
        let empty = StorageError::Empty { path: store.path().to_owned() };
        assert_eq!(store.snapshot().err(), Some(empty.clone()));
        assert_eq!(store.head(), Err(empty));
        let (model, batch, trie) = Model::genesis(genesis);
        init(&store, CONFIG.to_vec(), &batch).expect("an empty store");
        let subject = Self { store: Some(store), folder, model, trie };
        subject.check();
        subject
    }

    fn in_memory(genesis: BlockPlan) -> Self {
        Self::new(None, &genesis)
    }

    fn store(&self) -> &Store {
        self.store.as_ref().expect("open between steps")
    }

    fn check(&self) {
        let compared = compare::whole(self.store(), &self.model);
        compared.unwrap_or_else(|wrong| panic!("head {}: {wrong:?}", self.model.head().number));
    }

    /// Commits a batch. After it, the tries are pruned to so many branches, or begin anew.
    fn commit(&mut self, plans: &[BlockPlan], branches_max: Option<usize>) {
        let before = self.store().snapshot().expect("there is a chain");
        let head = self.model.head();
        let batch = self.model.extend(plans, &mut self.trie, &before);
        self.store().commit(&batch).expect("blocks that follow the head");
        match branches_max {
            Some(branches_max) => self.trie.prune(branches_max),
            None => self.trie = StateTrie::new(self.model.root()),
        }
        assert_eq!(before.meta().head, head, "a snapshot stays where it is");
        compare::state(&before, self.model.block(head.number)).expect("and what it says");
        if !plans.is_empty() {
            let again = self.store().commit(&batch);
            assert!(matches!(again, Err(StorageError::Misfit(_))), "{again:?}");
        }
    }

    fn unwind(&mut self, pick: u64) {
        let (oldest, head) = (self.model.oldest_state, self.model.head().number);
        if let Some(number) = oldest.checked_sub(1) {
            let pruned = StorageError::Pruned { what: "state", number, oldest };
            assert_eq!(self.store().unwind(number, |_| ()), Err(pruned));
        }
        let above = StorageError::AboveHead { number: head + 1, head };
        assert_eq!(self.store().unwind(head + 1, |_| ()), Err(above));
        let to = oldest + pick % (head - oldest + 1);
        let mut heads = Vec::new();
        self.store().unwind(to, |head| heads.push(head)).expect("a block that is kept");
        self.model.cut(to);
        self.trie = StateTrie::new(self.model.root());
        let told = if to < head { vec![self.model.head()] } else { Vec::new() };
        assert_eq!(heads, told);
    }

    fn prune(&mut self, retention: Retention) {
        let expected = self.model.prune(retention);
        assert_eq!(self.store().prune(retention), Ok(expected));
    }

    fn reopen(&mut self) {
        if let Some(folder) = &self.folder {
            self.store = None;
            self.store = Some(open(folder.path()));
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Commit(Vec<BlockPlan>, Option<usize>),
    Unwind(u64),
    Prune(Retention),
    Reopen,
}

fn slots() -> impl Strategy<Value = Vec<(usize, u8)>> {
    let byte = prop_oneof![1 => Just(0u8), 3 => any::<u8>()];
    vec((0usize..8, byte), 1..5)
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        5 => slots().prop_map(Edit::Store),
        3 => any::<u8>().prop_map(Edit::Pay),
        1 => any::<u8>().prop_map(Edit::Code),
        2 => Just(Edit::Delete),
        2 => slots().prop_map(Edit::Wipe),
        1 => slots().prop_map(Edit::Remake),
    ]
}

fn block() -> impl Strategy<Value = BlockPlan> {
    let edits = vec((0usize..6, edit()), 0..8);
    (edits, 0u8..4, any::<u8>()).prop_map(|(edits, tx_count, salt)| BlockPlan {
        edits,
        tx_count,
        salt,
    })
}

fn retention() -> impl Strategy<Value = Retention> {
    prop_oneof![
        1 => Just(Retention::Archive),
        3 => (0u64..8).prop_map(|window| Retention::Full { window }),
        3 => (0u64..8).prop_map(|window| Retention::Minimal { window }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let branches_max = proptest::option::of(0usize..20);
    prop_oneof![
        8 => (vec(block(), 0..6), branches_max)
            .prop_map(|(plans, branches_max)| Step::Commit(plans, branches_max)),
        2 => any::<u64>().prop_map(Step::Unwind),
        2 => retention().prop_map(Step::Prune),
        1 => Just(Step::Reopen),
    ]
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases) }
}

fn run(mut subject: Subject, steps: &[Step]) -> Subject {
    for step in steps {
        match step {
            Step::Commit(plans, branches_max) => subject.commit(plans, *branches_max),
            Step::Unwind(pick) => subject.unwind(*pick),
            Step::Prune(retention) => subject.prune(*retention),
            Step::Reopen => subject.reopen(),
        }
        subject.check();
    }
    subject
}

proptest! {
    #![proptest_config(config(96))]

    #[test]
    fn a_store_in_memory_answers_as_the_model(
        genesis in block(),
        steps in vec(step(), 1..12),
    ) {
        run(Subject::new(None, &genesis), &steps);
    }
}

/// Whom the index of addresses names in which blocks, and whom it knows.
fn check_addresses(subject: &Subject) {
    let snapshot = subject.store().snapshot().expect("there is a chain");
    let blocks = &subject.model.blocks;
    let head = subject.model.head().number;
    let range = snapshot.oldest_named()..=head;
    let others = [0x80, 0x81, 3, 4, 5, 0x99].map(Address::repeat_byte);
    for address in ADDRESSES.iter().chain(&others) {
        let names = |block: &&ModelBlock| {
            let mut logs = block.receipts.iter().flat_map(|receipt| receipt.logs());
            range.contains(&block.header.number)
                && (block.diff.accounts.iter().any(|change| change.address == *address)
                    || block.senders.contains(address)
                    || logs.any(|log| log.address == *address))
        };
        let expected: Vec<u64> =
            blocks.iter().filter(names).map(|block| block.header.number).collect();
        let found = snapshot.address_blocks(range.clone(), *address);
        assert_eq!(found, Ok(expected), "{address} up to block {head}");
        // What blocks knew that are gone may be known still.
        let is_here = blocks.iter().any(|block| block.state.accounts.contains_key(address));
        let known = snapshot.address(keccak256(address)).expect("nothing fails");
        assert!(known == Some(*address) || (known.is_none() && !is_here), "{address}");
    }
}

proptest! {
    #![proptest_config(config(48))]

    #[test]
    fn an_index_of_addresses_has_what_blocks_name(
        genesis in block(),
        steps in vec(step(), 1..12),
    ) {
        let mut subject = Subject::indexed(&genesis);
        check_addresses(&subject);
        for step in &steps {
            subject = run(subject, std::slice::from_ref(step));
            check_addresses(&subject);
        }
    }
}

proptest! {
    #![proptest_config(config(4))]

    #[test]
    fn a_store_in_a_folder_answers_as_the_model(
        genesis in block(),
        steps in vec(step(), 6..16),
    ) {
        let folder = Some(tempfile::tempdir().expect("a folder"));
        run(Subject::new(folder, &genesis), &steps);
    }
}

/// The story that storage ids are for: three lives of one account's storage within one batch.
#[test]
fn storage_that_is_wiped_and_stored_again_in_one_batch_keeps_its_past() {
    let mut subject = Subject::in_memory(BlockPlan::of([
        (0, Edit::Store(vec![(0, 1), (1, 2), (2, 3)])),
        (1, Edit::Store(vec![(0, 4)])),
    ]));
    let plans = [
        BlockPlan::of([(0, Edit::Wipe(vec![(1, 5), (3, 6)]))]),
        BlockPlan::of([(0, Edit::Delete), (1, Edit::Pay(9))]),
        BlockPlan::of([(0, Edit::Store(vec![(0, 7), (2, 8)]))]),
        BlockPlan::of([(0, Edit::Wipe(vec![]))]),
        BlockPlan::of([(0, Edit::Store(vec![(0, 1)]))]),
    ];
    subject.commit(&plans, Some(0));
    subject.check();
    // Back to the middle life, which no row of the latest state names.
    subject.unwind(3);
    subject.check();
    subject.commit(&plans[3..], None);
    subject.check();
    subject.prune(Retention::Full { window: 1 });
    subject.check();
    subject.unwind(0);
    subject.check();
}

#[test]
fn a_slot_that_is_emptied_and_filled_again_stays_in_one_storage() {
    let mut subject = Subject::in_memory(BlockPlan::of([(0, Edit::Store(vec![(0, 1)]))]));
    for value in [0, 2, 0, 3] {
        subject.commit(&[BlockPlan::of([(0, Edit::Store(vec![(0, value)]))])], None);
        subject.check();
    }
    assert_eq!(subject.model.blocks.iter().map(|block| block.buried.len()).sum::<usize>(), 0);
    subject.unwind(1);
    subject.check();
}

#[test]
fn a_long_unwind_and_a_long_prune_go_in_steps() {
    let genesis = BlockPlan::of((0..6).map(|index| (index, Edit::Pay(1))));
    let mut subject = Subject::in_memory(genesis);
    for batch in 0..11u8 {
        let plan = |block: usize| BlockPlan::of([(block % 6, Edit::Pay(batch + 2))]);
        subject.commit(&(0..100).map(plan).collect::<Vec<_>>(), Some(8));
    }
    let mut heads = Vec::new();
    subject.store().unwind(3, |head| heads.push(head.number)).expect("a block that is kept");
    assert_eq!(heads, [76, 3], "1024 blocks, then the rest");
    subject.model.cut(3);
    subject.trie = StateTrie::new(subject.model.root());
    subject.check();
    let plan = |block: usize| BlockPlan::of([(block % 6, Edit::Store(vec![(block % 8, 1)]))]);
    subject.commit(&(0..600).map(plan).collect::<Vec<_>>(), None);
    subject.prune(Retention::Minimal { window: 5 });
    subject.check();
}

/// What the index of logs says, and that nothing else is in it: without the states, which take long
/// in a long chain.
fn check_logs(subject: &Subject) {
    let snapshot = subject.store().snapshot().expect("there is a chain");
    let head = subject.model.head().number;
    compare::logs(&snapshot, &subject.model).unwrap_or_else(|wrong| panic!("{head}: {wrong:?}"));
    let verified = compare::verified(&snapshot, &subject.model);
    let verified = verified.unwrap_or_else(|wrong| panic!("{head}: {wrong:?}"));
    let sizes = compare::sizes(subject.store(), &verified, &subject.model);
    sizes.unwrap_or_else(|wrong| panic!("{head}: {wrong:?}"));
}

#[test]
fn the_index_of_logs_goes_through_sections() {
    let mut subject = Subject::in_memory(BlockPlan::of([(0, Edit::Pay(1))]));
    let plan = |salt: u64| {
        let salt = salt.to_le_bytes()[0];
        // One address has logs in most blocks, so that it gets a bitmap.
        BlockPlan { tx_count: u8::from(!salt.is_multiple_of(8)) * 2, salt, ..BlockPlan::default() }
    };
    let section = LOG_SECTION_BLOCKS;
    // Batches that end before a section does, with it, and within the next one but one.
    for (from, to) in [(1, section - 100), (section - 99, section - 1), (section, 2 * section + 50)]
    {
        let plans: Vec<BlockPlan> = (from..=to).map(plan).collect();
        subject.commit(&plans, None);
        assert_eq!(subject.model.head().number, to);
        check_logs(&subject);
    }
    for to in [2 * section + 20, section + 70] {
        subject.store().unwind(to, |_| ()).expect("a block that is kept");
        subject.model.cut(to);
        check_logs(&subject);
    }
    subject.trie = StateTrie::new(subject.model.root());
    subject.commit(&(0..300).map(plan).collect::<Vec<_>>(), None);
    check_logs(&subject);
    // A section is kept as long as one of its blocks is.
    let head = subject.model.head().number;
    for oldest in [section - 1, section, section + 3] {
        subject.prune(Retention::Full { window: head - oldest });
        check_logs(&subject);
    }
    subject.store().unwind(section + 3, |_| ()).expect("a block that is kept");
    subject.model.cut(section + 3);
    check_logs(&subject);
}

/// What the new blocks add is read by what the old ones left, in the same transaction.
#[test]
fn blocks_that_take_the_place_of_others_take_their_place_in_the_index_of_logs() {
    let mut subject = Subject::in_memory(BlockPlan::of([(0, Edit::Pay(1))]));
    let plans = |salt: u8, tx_counts: [u8; 5]| {
        let plan = |tx_count| BlockPlan { tx_count, ..BlockPlan::of([(1, Edit::Pay(salt))]) };
        tx_counts.map(plan)
    };
    subject.commit(&plans(2, [1, 3, 0, 3, 2]), None);
    subject.check();
    let fork = 2;
    let before = subject.store().snapshot().expect("there is a chain");
    subject.trie = before.tries_at(fork).expect("a block that is kept");
    subject.model.cut(fork);
    let batch = subject.model.extend(&plans(3, [2, 0, 0, 1, 3]), &mut subject.trie, &before);
    subject.store().replace(fork, &batch).expect("blocks that follow the fork");
    drop(before);
    subject.trie = StateTrie::new(subject.model.root());
    subject.check();
}

#[test]
fn a_chain_is_begun_once_and_with_block_0() {
    let store = Store::memory(Faults::none());
    let plan = BlockPlan::of([(0, Edit::Pay(1))]);
    let (_, genesis, _) = Model::genesis(&plan);
    let (_, other, _) = Model::genesis(&BlockPlan { salt: 1, ..plan });
    let record = &genesis.blocks[0];

    let none = CommitBatch::default();
    let two =
        CommitBatch { blocks: vec![record.clone(), record.clone()], trie: genesis.trie.clone() };
    // Block 1, which names as its parent the hash that an empty store has for a head.
    let Block { mut header, body } = record.block.block().clone();
    header.number = 1;
    let block = recovered(Block { header, body }, Vec::new());
    let first = BlockRecord { block, ..BlockRecord::clone(record) };
    let first = CommitBatch { blocks: vec![Arc::new(first)], trie: genesis.trie.clone() };
    for (name, batch) in [("none", none), ("two", two), ("block 1", first)] {
        let begun = store.init(CONFIG.to_vec(), &batch);
        assert!(matches!(begun, Err(StorageError::Misfit(_))), "{name}: {begun:?}");
        assert_eq!(store.meta(), Ok(None), "{name}");
    }

    store.init(CONFIG.to_vec(), &genesis).expect("an empty store");
    let again = store.init(CONFIG.to_vec(), &genesis);
    assert!(matches!(again, Err(StorageError::Misfit(_))), "{again:?}");
    let (expected, found) = (other.blocks[0].block.hash(), record.block.hash());
    let refused = Err(StorageError::OtherChain { expected, found });
    assert_eq!(store.init(CONFIG.to_vec(), &other), refused);
}

#[test]
fn a_commit_before_the_chain_is_refused_and_the_chain_may_still_begin() {
    let store = Store::memory(Faults::none());
    let (_, genesis, _) = Model::genesis(&BlockPlan::default());
    let early = store.commit(&genesis);
    assert!(matches!(early, Err(StorageError::Empty { .. })), "{early:?}");
    assert_eq!(store.init(CONFIG.to_vec(), &genesis), Ok(()));
}

#[test]
fn a_diff_of_another_state_is_refused_and_leaves_all_as_it_was() {
    let mut subject = Subject::in_memory(BlockPlan::of([(0, Edit::Pay(1))]));
    let mut other = Subject::in_memory(BlockPlan::of([(0, Edit::Pay(2))]));
    let plans = [BlockPlan::of([(0, Edit::Pay(3))])];
    let batch = other.model.extend(&plans, &mut other.trie, &NoSource);
    let [record] = &batch.blocks[..] else { panic!("one block") };
    // The right parent, the wrong state.
    let Block { mut header, body } = record.block.block().clone();
    header.parent_hash = subject.model.head().hash;
    let block = recovered(Block { header, body }, Vec::new());
    let record = BlockRecord { block, ..BlockRecord::clone(record) };
    let batch = CommitBatch { blocks: vec![Arc::new(record)], trie: batch.trie };
    let refused = subject.store().commit(&batch);
    assert!(matches!(refused, Err(StorageError::Misfit(_))), "{refused:?}");
    subject.check();
    subject.commit(&plans, None);
    subject.check();
}

/// 1. One thread prunes: it looks where the head is, and waits for its turn to write.
/// 2. Another thread commits meanwhile.
/// 3. What the first then writes must not put the head back.
#[test]
fn commits_and_pruning_of_two_threads_do_not_undo_each_other() {
    let mut subject = Subject::in_memory(BlockPlan::of([(0, Edit::Pay(1))]));
    let batches: Vec<CommitBatch> = (0..500u16)
        .map(|salt| {
            let plan = BlockPlan { salt: salt.to_le_bytes()[0], ..BlockPlan::default() };
            subject.model.extend(&[plan], &mut subject.trie, &NoSource)
        })
        .collect();
    let store = subject.store();
    std::thread::scope(|scope| {
        let committing = scope.spawn(|| {
            for batch in &batches {
                store.commit(batch).expect("each follows the one before");
            }
        });
        while !committing.is_finished() {
            store.prune(Retention::Minimal { window: 2 }).expect("nothing fails");
        }
        committing.join().expect("all are committed");
    });
    store.prune(Retention::Minimal { window: 2 }).expect("nothing fails");
    subject.model.prune(Retention::Minimal { window: 2 });
    subject.check();
}

fn account(nonce: u64, balance: u64, code: &[u8]) -> Account {
    Account { nonce, balance: U256::from(balance), code_hash: keccak256(code) }
}

fn slot(slot: u64, before: u64, after: u64) -> SlotDiff {
    SlotDiff { slot: U256::from(slot), before: U256::from(before), after: U256::from(after) }
}

/// The diffs of the chain whose rows are pinned.
fn pinned_diffs() -> [StateDiff; 3] {
    let [payer, contract, heir] = [0x11, 0x22, 0x33].map(Address::repeat_byte);
    let code = Bytes::from_static(&[0x60, 0x01]);
    let change = |address, before, after, wiped, slots| AccountDiff {
        address,
        before,
        after: Some(after),
        wiped,
        slots,
    };
    let rich = account(0, 1_000_000_000, &[]);
    let spent = account(1, 999_979_000, &[]);
    let program = account(1, 0, &code);
    let genesis = StateDiff {
        accounts: vec![
            change(payer, None, rich, false, vec![]),
            change(contract, None, program, false, vec![slot(1, 0, 0x0a), slot(2, 0, 0x0bcd)]),
        ],
        codes: vec![(keccak256(&code), code)],
    };
    let slots = vec![slot(1, 0x0a, 0), slot(3, 0, 7)];
    let first = StateDiff {
        accounts: vec![
            change(payer, Some(rich), spent, false, vec![]),
            change(contract, Some(program), program, false, slots),
        ],
        codes: vec![],
    };
    let slots = vec![slot(4, 0, 1), slot(5, 0, 0x0102_0304_0506)];
    let second = StateDiff {
        accounts: vec![
            change(contract, Some(program), program, true, slots),
            change(heir, None, account(0, 7, &[]), false, vec![]),
        ],
        codes: vec![],
    };
    [genesis, first, second]
}

/// `FUGUE_BLESS=1` writes the file anew; then `SCHEMA_VERSION` must go up too.
#[test]
fn the_rows_of_a_small_chain_are_those_of_the_golden_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let mut model = Model::default();
    let mut trie = StateTrie::new(EMPTY_ROOT_HASH);
    for (diff, tx_count) in pinned_diffs().into_iter().zip([0, 1, 0]) {
        if model.blocks.is_empty() {
            let blocks = vec![model.append(diff, tx_count, 0, &mut trie, &NoSource)];
            let batch = CommitBatch { blocks, trie: trie.take_updates() };
            store.init(CONFIG.to_vec(), &batch).expect("an empty store");
        } else {
            let snapshot = store.snapshot().expect("there is a chain");
            let blocks = vec![model.append(diff, tx_count, 0, &mut trie, &snapshot)];
            let batch = CommitBatch { blocks, trie: trie.take_updates() };
            store.commit(&batch).expect("a block that follows");
        }
    }
    drop(store);
    let found = raw::dump(folder.path());
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/schema-3.txt"));
    if std::env::var_os("FUGUE_BLESS").is_some() {
        std::fs::write(path, &found).expect("the golden file may be written");
    }
    let expected = std::fs::read_to_string(path).expect("a golden file");
    assert!(expected == found, "expected:\n{expected}\nfound:\n{found}");
    assert_eq!(raw::rows(folder.path(), Table::Meta).len(), 8);
}

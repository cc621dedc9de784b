//! The chain: its head, its tree, its store, and the one way in. It is one thing: whatever changes
//! the head goes through it.

use crate::{
    ChainOptions, Genesis, Head, HeadRule, ImportError, InvalidReason, Preparer,
    cache::StateCache,
    dev::Amended,
    error::Fault,
    executed::{Executed, Parent},
    footprints::Footprints,
    parallel::ParallelRuns,
    persist::Persisting,
    times::Times,
    tree::{Invalid, Tree, weight},
    work::Work,
};
use alloy_consensus::proofs::calculate_ommers_root;
use alloy_rlp::EMPTY_LIST_CODE;
use fugue_chainspec::{ChainSpec, Rules};
use fugue_executor::{Execution, Executor, Location, Mode, PreparedBlock, Scope};
use fugue_state::StateView;
use fugue_storage::{BlockRecord, CheckedNodes, CommitBatch, Snapshot, StorageError, Store};
use fugue_trie::{HashedDiff, StateTrie, Steps, TrieSource, step_through};
use fugue_txpool::Pool;
use fugue_types::{B256, Block, Bytes, Eip658Value, Header, SealedBlock, SenderCount, U256};
use fugue_validation::{
    AncestorFacts, OMMER_ANCESTORS, OutcomeFacts, check_child, check_merge, check_ommers,
    check_outcome,
};
use std::{convert::Infallible, sync::Arc, time::Instant};

/// Transactions of a block from which it is worth waking a thread that reads trie nodes ahead.
const WARM_TXS_MIN: usize = 16;

/// Threads that execute in parallel from which one of them is worth being lent for that.
const WARM_THREADS_MIN: usize = 4;

/// Where an imported block stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// It was there.
    Known,
    /// It is the head.
    Head,
    /// It is the head, and its chain is another than that of the head before.
    Reorganised,
    /// It is beside the chain of the head.
    Side,
}

/// An imported block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Imported {
    /// Its number.
    pub number: u64,
    /// Its hash.
    pub hash: B256,
    /// Gas that it used.
    pub gas_used: u64,
    /// Transactions that it has.
    pub tx_count: usize,
    /// Those of them that were run before, and ordered by what they read and wrote then.
    pub foreseen: usize,
    /// Senders that were known, and not recovered.
    pub known_senders: usize,
    /// Where it stands.
    pub place: Place,
    /// The parallel run gave another outcome, and the sequential one stands. A defect of ours.
    pub parallel_differed: bool,
    /// Set if blocks became durable with it: the newest of them.
    pub durable: Option<Head>,
}

/// A chain over its store.
#[derive(Debug)]
pub struct Chain {
    pub(crate) spec: Arc<ChainSpec>,
    pub(crate) store: Arc<Store>,
    pub(crate) executor: Arc<Executor>,
    /// Of transactions that were run before; whoever does that puts them here.
    pub(crate) footprints: Arc<Footprints>,
    /// Has recovered the senders of what it holds; `None` without an engine.
    pub(crate) pool: Option<Arc<Pool>>,
    /// Of a chain for development.
    pub(crate) amended: Option<Arc<Amended>>,
    pub(crate) options: ChainOptions,
    pub(crate) tree: Tree,
    pub(crate) head: Head,
    head_difficulty: U256,
    pub(crate) durable: Head,
    pub(crate) cache: StateCache,
    /// The state after the head, or after the side block that came last.
    pub(crate) work: Option<Work>,
    /// Blocks of the head's chain that are not durable, and bytes that they take, about.
    pub(crate) pending_blocks: usize,
    pub(crate) pending_bytes: usize,
    /// The batch that is becoming durable.
    pub(crate) persisting: Option<Persisting>,
    /// Blocks that were durable until the last batch took their place, and what was above them,
    /// lowest first.
    pub(crate) abandoned: Vec<SealedBlock>,
    pub(crate) times: Times,
    pub(crate) parallel: ParallelRuns,
}

/// How the store is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nodes {
    /// The flat state, and trie nodes, as they are.
    AsRead,
    /// All of it by trie nodes that are compared with what their parents name.
    Checked,
}

impl Chain {
    /// Begins a chain in an empty store.
    ///
    /// # Errors
    /// [`ImportError::Storage`]; with `OtherChain` if the store has another chain.
    pub fn init(store: &Store, genesis: &Genesis) -> Result<Head, ImportError> {
        Self::begin(store, genesis, Store::init)
    }

    /// As [`Chain::init`], for a chain that keeps an index of addresses. A chain that has begun
    /// stays as it is.
    ///
    /// # Errors
    /// As [`Chain::init`].
    pub fn init_indexed(store: &Store, genesis: &Genesis) -> Result<Head, ImportError> {
        Self::begin(store, genesis, Store::init_indexed)
    }

    fn begin(
        store: &Store,
        genesis: &Genesis,
        init: fn(&Store, Vec<u8>, &CommitBatch) -> Result<(), StorageError>,
    ) -> Result<Head, ImportError> {
        let diff = genesis.state.diff_from_nothing();
        let mut tries = StateTrie::new(fugue_trie::EMPTY_ROOT_HASH);
        let storage_roots = tries.apply(&fugue_trie::NoSource, &HashedDiff::from(&diff), None)?;
        let block = genesis.block(tries.root());
        let hash = block.hash();
        if let Some(meta) = store.meta()? {
            store.check_genesis(&meta, hash)?;
            return Ok(meta.head);
        }
        if let Some(expected) = genesis.expected_hash().filter(|expected| *expected != hash) {
            let message = format!("the genesis hashes to {hash}, not to {expected}");
            return Err(ImportError::Internal(message));
        }
        let total_difficulty = block.block().header.difficulty;
        let block = block
            .check(|_| Ok::<_, Infallible>(()))
            .map_err(|_| ImportError::Internal("a genesis is not judged".to_owned()))?
            .recover(|_| Ok::<_, SenderCount>(Vec::new()))
            .map_err(|error| ImportError::Internal(error.to_string()))?;
        let receipts = Vec::new();
        // Nothing happens in a genesis.
        let access_list = block.block().header.block_access_list_hash;
        let access_list = access_list.map(|_| Bytes::from_static(&[EMPTY_LIST_CODE]));
        let record =
            BlockRecord { block, total_difficulty, receipts, access_list, diff, storage_roots };
        let batch = CommitBatch { blocks: vec![Arc::new(record)], trie: tries.take_updates() };
        init(store, genesis.config_json(), &batch)?;
        Ok(Head { number: 0, hash })
    }

    /// The chain of a store that has one.
    ///
    /// # Errors
    /// [`ImportError::Storage`], [`ImportError::Internal`] if there are no threads to be had.
    pub fn open(store: Store, spec: ChainSpec, options: ChainOptions) -> Result<Self, ImportError> {
        let executor = Executor::new(options.threads)
            .map_err(|error| ImportError::Internal(error.to_string()))?;
        Self::with_executor(store, spec, options, Arc::new(executor))
    }

    /// As [`Chain::open`], with the threads and codes of an executor that is there. One chain at a
    /// time may import with it, on a thread that is none of its own: while a block is executed, one
    /// of them waits for what is read.
    ///
    /// # Errors
    /// As [`Chain::open`].
    pub fn with_executor(
        store: Store,
        spec: ChainSpec,
        options: ChainOptions,
        executor: Arc<Executor>,
    ) -> Result<Self, ImportError> {
        let snapshot = store.snapshot()?;
        let head = snapshot.meta().head;
        let head_difficulty = snapshot.total_difficulty(head.number)?;
        drop(snapshot);
        let amended = spec.is_dev().then(Arc::default);
        Ok(Self {
            spec: Arc::new(spec),
            store: Arc::new(store),
            executor,
            footprints: Arc::default(),
            pool: None,
            amended,
            options,
            tree: Tree::default(),
            head,
            head_difficulty,
            durable: head,
            cache: StateCache::new(),
            work: None,
            pending_blocks: 0,
            pending_bytes: 0,
            persisting: None,
            abandoned: Vec::new(),
            times: Times::default(),
            parallel: ParallelRuns::default(),
        })
    }

    /// The newest block of the heaviest chain.
    pub const fn head(&self) -> Head {
        self.head
    }

    /// The newest durable block.
    pub const fn durable(&self) -> Head {
        self.durable
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// What imports took so far.
    pub const fn times(&self) -> Times {
        self.times
    }

    /// What prepares blocks for this chain, on other threads.
    pub fn preparer(&self) -> Preparer {
        let (spec, executor) = (self.spec.clone(), self.executor.clone());
        Preparer { spec, executor, pool: self.pool.clone() }
    }

    /// Imports a block whose parent is known.
    ///
    /// # Errors
    /// [`ImportError`]; only [`ImportError::Invalid`] says something about the block.
    pub fn import(&mut self, block: SealedBlock) -> Result<Imported, ImportError> {
        match self.connect(block)? {
            Ok(imported) => Ok(imported),
            Err(orphan) => Err(unknown_parent(&orphan.block().header, orphan.hash())),
        }
    }

    /// As [`Chain::import`], but gives a block back whose parent is not known.
    pub(crate) fn connect(
        &mut self,
        block: SealedBlock,
    ) -> Result<Result<Imported, SealedBlock>, ImportError> {
        let hash = block.hash();
        if let Some(known) = self.known(hash, &block.block().header)? {
            return Ok(Ok(known));
        }
        let parent = match self.judge(block.block(), hash) {
            Ok(parent) => parent,
            Err(ImportError::UnknownParent { .. }) => return Ok(Err(block)),
            Err(error) => {
                // The children of an invalid block would push it out.
                if !error.is_of_parent() {
                    self.tree.keep_bad(hash, block.block());
                }
                return Err(error);
            }
        };
        let started = Instant::now();
        let parent_hash = block.block().header.parent_hash;
        let prepared = self.preparer().judge(block).map_err(|refused| {
            if let ImportError::Invalid { reason, .. } = &refused.error
                && refused.is_whole
            {
                let invalid = Invalid::child_of(&parent.header, parent_hash);
                self.tree.remember_invalid(hash, invalid.because(reason));
            }
            if let Some(block) = &refused.block {
                self.tree.keep_bad(hash, block.block());
            }
            refused.error
        })?;
        self.times.prepared += started.elapsed();
        self.import_judged(prepared, parent).map(Ok)
    }

    /// As [`Chain::import`], for a block that [`Preparer::prepare`] has prepared.
    ///
    /// # Errors
    /// As [`Chain::import`].
    pub fn import_prepared(&mut self, prepared: PreparedBlock) -> Result<Imported, ImportError> {
        let (block, hash) = (prepared.block().block(), prepared.block().hash());
        if let Some(known) = self.known(hash, &block.header)? {
            return Ok(known);
        }
        let parent = self.judge(block, hash)?;
        self.import_judged(prepared, parent)
    }

    /// What is to be said of a block that [`Preparer::prepare`] has refused: it is invalid only if
    /// it is of this chain, which its parent tells.
    pub fn refuse(&mut self, header: &Header, hash: B256, error: ImportError) -> ImportError {
        match self.judge_header(header, hash) {
            Ok(_) => error,
            Err(told) => told,
        }
    }

    fn import_judged(
        &mut self,
        mut prepared: PreparedBlock,
        parent: Parent,
    ) -> Result<Imported, ImportError> {
        let foreseen = match self.options.mode {
            Mode::Seq => 0,
            Mode::Occ | Mode::Lanes => self.footprints.order(&mut prepared),
            Mode::Bal | Mode::Auto => {
                prepared.index_access_list(&self.spec.rules(&prepared.block().block().header));
                self.footprints.order(&mut prepared)
            }
        };
        let (block, hash) = (prepared.block().block(), prepared.block().hash());
        let (number, gas_used) = (block.header.number, block.header.gas_used);
        let known_senders = prepared.known_senders();
        let refused = Invalid::child_of(&parent.header, block.header.parent_hash);
        let (done, parallel_differed) = match self.execute(&prepared) {
            Ok(done) => done,
            Err(fault) => {
                // The tries may be changed halfway.
                self.work = None;
                // The body is the one that the header names: the hash stands for all of it.
                if let Fault::Invalid(reason) = &fault {
                    self.tree.remember_invalid(hash, refused.because(reason));
                    self.tree.keep_bad(hash, block);
                }
                return Err(fault.of_block(number, hash));
            }
        };
        let record = done.record(prepared, &parent);
        let tx_count = record.receipts.len();
        let started = Instant::now();
        let place = self.place(record)?;
        self.times.inserted += started.elapsed();
        let durable = match self.options.head_rule {
            HeadRule::Heaviest if self.is_batch_full() => self.flush()?,
            HeadRule::Heaviest | HeadRule::Forkchoice => None,
        };
        Ok(Imported {
            number,
            hash,
            gas_used,
            tx_count,
            foreseen,
            known_senders,
            place,
            parallel_differed,
            durable,
        })
    }

    /// The store at its head: the snapshot that is at hand, if there is one.
    pub(crate) fn snapshot(&self) -> Result<Arc<Snapshot>, ImportError> {
        match &self.work {
            Some(work) => Ok(work.snapshot.clone()),
            None => self.new_snapshot(),
        }
    }

    /// The store as it is now, for the threads of an import.
    pub(crate) fn new_snapshot(&self) -> Result<Arc<Snapshot>, ImportError> {
        Ok(Arc::new(self.store.snapshot_for(self.executor.threads() + 1)?))
    }

    fn known(&self, hash: B256, header: &Header) -> Result<Option<Imported>, ImportError> {
        let is_known = self.tree.get(hash).is_some() || self.snapshot()?.number(hash)?.is_some();
        Ok(is_known.then_some(Imported {
            number: header.number,
            hash,
            gas_used: header.gas_used,
            tx_count: 0,
            foreseen: 0,
            known_senders: 0,
            place: Place::Known,
            parallel_differed: false,
            durable: None,
        }))
    }

    /// Executes, roots and compares. A block that seems invalid is executed once more, one
    /// transaction after the other and on a state that is proven by its root, and that answer
    /// stands; says whether the parallel one was another.
    fn execute(&mut self, prepared: &PreparedBlock) -> Result<(Executed, bool), Fault> {
        let rules = self.spec.rules(&prepared.block().block().header);
        let mode = self.options.mode;
        match self.run(prepared, &rules, mode, Nodes::AsRead) {
            Err(Fault::Invalid(_)) => {
                self.work = None;
                self.cache.clear();
                let done = self.run(prepared, &rules, Mode::Seq, Nodes::Checked)?;
                Ok((done, mode != Mode::Seq))
            }
            done => Ok((done?, false)),
        }
    }

    /// The header as the child of its parent, and its ommers.
    fn judge(&mut self, block: &Block, hash: B256) -> Result<Parent, ImportError> {
        let parent = self.judge_header(&block.header, hash)?;
        if !block.body.ommers.is_empty() {
            let ancestors = self.ancestors(block.header.parent_hash)?;
            // The body may be another than the header names: nothing is remembered.
            check_ommers(block, &self.spec, &ancestors)
                .map_err(|mismatch| Fault::from(mismatch).of_block(block.header.number, hash))?;
        }
        Ok(parent)
    }

    /// The header as the child of its parent. If it is refused, so is what builds on it, whatever
    /// its body is.
    fn judge_header(&mut self, header: &Header, hash: B256) -> Result<Parent, ImportError> {
        if let Some(parent) = self.tree.invalid(header.parent_hash) {
            let reason = InvalidReason::Parent(header.parent_hash);
            let refused = parent.clone().because(&reason);
            self.tree.remember_invalid(hash, refused);
            return Err(Fault::Invalid(reason).of_block(header.number, hash));
        }
        let parent = self.parent_of(header)?.ok_or_else(|| unknown_parent(header, hash))?;
        self.judge_child(header, &parent).map_err(|fault| {
            if let Fault::Invalid(reason) = &fault {
                let refused = Invalid::child_of(&parent.header, header.parent_hash);
                self.tree.remember_invalid(hash, refused.because(reason));
            }
            fault.of_block(header.number, hash)
        })?;
        Ok(parent)
    }

    fn judge_child(&self, header: &Header, parent: &Parent) -> Result<(), Fault> {
        let rules = self.spec.rules(header);
        check_merge(&self.spec, header, &parent.header, parent.total_difficulty)?;
        check_child(header, &rules, &parent.header, &self.spec.rules(&parent.header))?;
        Ok(())
    }

    fn parent_of(&self, header: &Header) -> Result<Option<Parent>, ImportError> {
        if let Some(record) = self.tree.get(header.parent_hash) {
            let total_difficulty = record.total_difficulty;
            let header = record.block.block().header.clone();
            return Ok(Some(Parent { header, total_difficulty }));
        }
        let snapshot = self.snapshot()?;
        let Some(number) = snapshot.number(header.parent_hash)? else { return Ok(None) };
        let parent = header_of(&snapshot, number, header.parent_hash)?;
        let total_difficulty = snapshot.total_difficulty(number)?;
        Ok(Some(Parent { header: parent, total_difficulty }))
    }

    /// A block's ancestors among which ommers have their parents, itself first.
    fn ancestors(&self, hash: B256) -> Result<Vec<AncestorFacts>, ImportError> {
        let snapshot = self.snapshot()?;
        let (mut ancestors, mut at) = (Vec::new(), hash);
        while ancestors.len() < OMMER_ANCESTORS {
            let (header, ommers) = match self.tree.get(at) {
                Some(record) => {
                    let block = record.block.block();
                    (block.header.clone(), block.body.ommers.clone())
                }
                None => {
                    let number = snapshot.number(at)?.ok_or_else(|| {
                        ImportError::Internal(format!("ancestor {at} is nowhere"))
                    })?;
                    let (header, ommers) =
                        (header_of(&snapshot, number, at)?, snapshot.body(number)?.ommers);
                    if calculate_ommers_root(&ommers) != header.ommers_hash {
                        let message = format!("the stored ommers of block {number} are damaged");
                        return Err(ImportError::Internal(message));
                    }
                    (header, ommers)
                }
            };
            let (number, parent) = (header.number, header.parent_hash);
            let ommers = ommers.iter().map(Header::hash_slow).collect();
            ancestors.push(AncestorFacts { hash: at, header, ommers });
            if number == 0 {
                break;
            }
            at = parent;
        }
        Ok(ancestors)
    }

    /// Executes on the state after the parent, brings the tries to the state after the block, and
    /// compares with the header. After an error the work is void.
    fn run(
        &mut self,
        prepared: &PreparedBlock,
        rules: &Rules,
        mode: Mode,
        nodes: Nodes,
    ) -> Result<Executed, Fault> {
        let header = &prepared.block().block().header;
        let amendment = self.amendment_of(prepared.block().hash());
        let work = match self.work.take() {
            Some(work) if work.at == header.parent_hash => work,
            _ => self.work_after(header.parent_hash)?,
        };
        let work = self.work.insert(work);
        let started = Instant::now();
        let executor = &*self.executor;
        let run =
            |view: &dyn StateView| executor.execute(mode, prepared, rules, view, Scope::Block);
        let call = |view: &dyn StateView| match &amendment {
            Some(amendment) => run(&amendment.over(view)),
            None => run(view),
        };
        let executed = match nodes {
            Nodes::Checked => work.with_proven_view(call),
            Nodes::AsRead => {
                // Few threads that execute have none to spare.
                let has_spare = mode == Mode::Seq || executor.threads() >= WARM_THREADS_MIN;
                let is_worth_it = has_spare && prepared.block().senders().len() >= WARM_TXS_MIN;
                let pool = executor.pool().filter(|_| is_worth_it);
                let pool = pool.map(|pool| (pool, 2 * self.options.branches_max));
                work.with_view(&self.cache, pool, call)?
            }
        };
        let Execution { mut outcome, report } = executed?;
        self.parallel.add(&report, outcome.results.len());
        if let Some(amendment) = &amendment {
            outcome.diff = amendment.followed_by(&outcome.diff)?;
        }
        let receipts = rules.receipts_have_status().then(|| outcome.receipts());
        self.times.executed += started.elapsed();

        let started = Instant::now();
        let pool = executor.pool();
        let (as_read, checked) = (&*work.snapshot, CheckedNodes(&work.snapshot));
        let source: &dyn TrieSource = match nodes {
            Nodes::AsRead => as_read,
            Nodes::Checked => &checked,
        };
        let (receipts, storage_roots) = if let Some(receipts) = receipts {
            let hashed = HashedDiff::from(&outcome.diff);
            let roots = work.tries.apply(source, &hashed, pool)?;
            (receipts, roots)
        } else {
            let Steps { roots, mut storage_roots, rest } =
                step_through(&mut work.tries, source, &outcome.steps, &outcome.diff)?;
            let hashed = HashedDiff::from(&rest);
            storage_roots.extend(work.tries.apply(source, &hashed, pool)?);
            if roots.len() != outcome.results.len() + 1 {
                let message = "not one step for the opening and each transaction".to_owned();
                return Err(ImportError::Internal(message).into());
            }
            // The first step is the opening of the block.
            let status = |index: usize, _: &_| {
                Eip658Value::PostState(roots.get(index + 1).copied().unwrap_or_default())
            };
            (outcome.receipts_with(status), storage_roots)
        };
        let found = work.tries.root();
        self.times.rooted += started.elapsed();

        let started = Instant::now();
        let facts = OutcomeFacts {
            gas_used: outcome.gas_used,
            blob_gas_used: outcome.blob_gas_used,
            receipts: &receipts,
            are_receipts_whole: true,
            requests: outcome.requests.as_ref(),
            access_list: outcome.access_list.as_deref(),
        };
        let mismatches = check_outcome(header, &facts);
        if !mismatches.is_empty() {
            return Err(Fault::Invalid(InvalidReason::Outcome(mismatches)));
        }
        if found != header.state_root {
            let expected = header.state_root;
            return Err(Fault::Invalid(InvalidReason::StateRoot { expected, found }));
        }
        work.advance(header.number, prepared.block().hash(), &outcome.diff)?;
        let access_list = outcome.access_list.map(|list| alloy_rlp::encode(list).into());
        self.times.inserted += started.elapsed();
        Ok(Executed { diff: outcome.diff, receipts, access_list, storage_roots })
    }

    /// Brings into memory what the next block is likely to need, while `goes_on` says so.
    pub(crate) fn warm(&mut self, keys: &[Location], goes_on: impl Fn() -> bool) {
        let (head, branches_max) = (self.head.hash, 2 * self.options.branches_max);
        if let Some(work) = self.work.as_mut().filter(|work| work.at == head) {
            work.warm(&self.cache, keys, branches_max, goes_on);
        }
    }

    /// Puts an executed block into the tree, and follows the heaviest chain: by total difficulty,
    /// after the merge, where that stays, by number.
    fn place(&mut self, record: BlockRecord) -> Result<Place, ImportError> {
        let header = &record.block.block().header;
        let (number, hash, parent) = (header.number, record.block.hash(), header.parent_hash);
        let total_difficulty = record.total_difficulty;
        let bytes = weight(&record);
        let extends = parent == self.head.hash;
        let is_heavier = self.options.head_rule == HeadRule::Heaviest
            && (total_difficulty, number) > (self.head_difficulty, self.head.number);
        if !is_heavier && self.has_no_room(bytes) {
            self.tree.retain_paths([self.head.hash, parent]);
            if self.has_no_room(bytes) {
                self.work = None;
                return Err(ImportError::BranchTooLong { number, hash });
            }
        }
        self.tree.insert(Arc::new(record), bytes);
        if !is_heavier {
            return Ok(Place::Side);
        }
        self.head = Head { number, hash };
        self.head_difficulty = total_difficulty;
        if extends {
            self.pending_blocks += 1;
            self.pending_bytes += bytes;
            return Ok(Place::Head);
        }
        self.count_pending();
        Ok(Place::Reorganised)
    }

    /// The state after a block, built anew.
    pub(crate) fn work_after(&self, hash: B256) -> Result<Work, ImportError> {
        let (below, path) = self.tree.path_to(hash);
        Work::above(below, &path, self.new_snapshot()?, self.executor.pool())
    }

    /// Counts the blocks of the head's chain that are not durable.
    pub(crate) fn count_pending(&mut self) {
        let (_, path) = self.tree.path_to(self.head.hash);
        self.pending_blocks = path.len();
        self.pending_bytes = path.iter().map(|record| weight(record)).sum();
    }

    /// Follows the chain of a block that was imported, or is durable; says where the head was.
    /// `None` if there is no such block: nothing has changed.
    ///
    /// # Errors
    /// What the store says.
    pub fn set_head(&mut self, hash: B256) -> Result<Option<Head>, ImportError> {
        let (number, total_difficulty) = match self.tree.get(hash) {
            Some(record) => (record.block.block().header.number, record.total_difficulty),
            None => {
                let snapshot = self.snapshot()?;
                let Some(number) = snapshot.number(hash)? else { return Ok(None) };
                header_of(&snapshot, number, hash)?;
                (number, snapshot.total_difficulty(number)?)
            }
        };
        let before = std::mem::replace(&mut self.head, Head { number, hash });
        self.head_difficulty = total_difficulty;
        self.count_pending();
        Ok(Some(before))
    }

    /// Whether a block of so many bytes is too much beside the chain of the head.
    fn has_no_room(&self, bytes: usize) -> bool {
        let side_blocks = self.tree.len().saturating_sub(self.pending_blocks);
        let side_bytes = self.tree.bytes().saturating_sub(self.pending_bytes);
        side_blocks >= self.options.side_blocks_max
            || side_bytes.saturating_add(bytes) > self.options.side_bytes_max
    }

    /// Makes a block of the past the head again. What came after it is forgotten.
    ///
    /// # Errors
    /// [`ImportError::Storage`], with `Pruned` if its state is no longer kept.
    pub fn unwind(&mut self, to: u64) -> Result<Head, ImportError> {
        self.flush()?;
        self.work = None;
        self.tree.clear();
        self.cache.clear();
        self.store.unwind(to, |_| ())?;
        let snapshot = self.store.snapshot()?;
        self.head = snapshot.meta().head;
        self.head_difficulty = snapshot.total_difficulty(self.head.number)?;
        self.durable = self.head;
        Ok(self.head)
    }
}

/// The header with this number, to which a hash has led.
pub(crate) fn header_of(
    snapshot: &Snapshot,
    number: u64,
    hash: B256,
) -> Result<Header, ImportError> {
    let (found, header) = snapshot.header(number)?;
    if found != hash {
        return Err(ImportError::Internal(format!("the store leads from {hash} to {found}")));
    }
    Ok(header)
}

const fn unknown_parent(header: &Header, hash: B256) -> ImportError {
    let Header { number, parent_hash: parent, .. } = *header;
    ImportError::UnknownParent { number, hash, parent }
}

#[cfg(test)]
mod tests;

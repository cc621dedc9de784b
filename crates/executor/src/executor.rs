//! The executor: its threads, its code cache, what it has learned, and the choice of the mode.

use crate::{
    BlockError, BlockOutcome, BuildLimits, Built, Candidate, Draft, Footprint, ListFault,
    PreparedBlock, TxAccess, TxRedo, TxRuns, accesses, bal,
    build::{self, Job},
    crew::{is_slow, pool_of},
    footprint,
    hints::Hints,
    lanes::{self, LaneFault, LaneRoom, LaneRun, Spent},
    occ::{self, OccRun, Resources, Room},
    prepare::{predecessors, prepare_txs},
    redo,
    rerun::RunLog,
    sequential,
};
use fugue_chainspec::Rules;
use fugue_evm::CodeCache;
use fugue_scheduler::Stats;
use fugue_state::{Layer, StateError, StateView};
use fugue_types::{
    Address, B256, BlockAccessList, Bytes, CheckedBlock, Header, RecoveredBlock, Transaction,
};
use parking_lot::Mutex;
use std::{
    fmt,
    num::NonZero,
    str::FromStr,
    time::{Duration, Instant},
};

/// Transactions below which a block is prepared on the caller's thread: waking the pool costs more
/// than recovering a signature.
const POOL_TXS_MIN: usize = 4;

/// How the transactions of a block are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// One after the other: the definition.
    Seq,
    /// Optimistically in parallel, on multi-version memory.
    Occ,
    /// All at once, by the access list that the block came with; one after the other before
    /// Byzantium. As [`Mode::Occ`] without a list, and where a block is filled.
    Bal,
    /// Each thread a share of the block, settled afterwards; as [`Mode::Occ`] where the rules of
    /// the block do not let it, and where a block is filled.
    Lanes,
    /// As the block allows, and as pays on these threads: [`Report::way`] says how and why. As
    /// [`Mode::Occ`] where a block is filled.
    Auto,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Seq => "seq",
            Self::Occ => "occ",
            Self::Bal => "bal",
            Self::Lanes => "lanes",
            Self::Auto => "auto",
        })
    }
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "seq" => Ok(Self::Seq),
            "occ" => Ok(Self::Occ),
            "bal" => Ok(Self::Bal),
            "lanes" => Ok(Self::Lanes),
            "auto" => Ok(Self::Auto),
            _ => Err(format!(
                "\"{name}\" is no mode of execution: those are seq, occ, bal, lanes and auto"
            )),
        }
    }
}

/// What of a block is executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All of it.
    Block,
    /// All of it, on a state that holds only what was recorded of it: a system contract that must
    /// be there, and is not, answers with nothing.
    Recorded,
    /// The transactions alone, without system calls, withdrawals, requests and rewards: the scope
    /// of the official state tests.
    Transactions,
}

/// Why a parallel run ended early, and the rest of the block, or all of it, was run sequentially.
/// A block that is being filled is then filled from the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fallback {
    /// What the parallel run came upon.
    pub cause: FallbackCause,
}

/// What a parallel run came upon. Never a verdict on the block.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FallbackCause {
    /// What would be one if the run had been sequential, or a failure of the state or of this
    /// executor.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// The access list, on [`Way::List`].
    #[error("access list: {0}")]
    List(Box<ListFault>),
    /// The block is no good one for lanes, on [`Way::Lanes`].
    #[error("lanes: {0}")]
    Lanes(#[from] LaneFault),
}

impl From<ListFault> for FallbackCause {
    fn from(fault: ListFault) -> Self {
        Self::List(Box::new(fault))
    }
}

impl From<StateError> for FallbackCause {
    fn from(error: StateError) -> Self {
        Self::Block(error.into())
    }
}

/// A block that lanes left to another way, and what was spent on it until then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenUp {
    /// What they came upon.
    pub cause: FallbackCause,
    /// Transactions that had run; none if the block was not begun, as one that is known to be a
    /// chain. If some were kept, no others count.
    pub txs: usize,
    /// Whether these are the first of the block, and were kept; else all was in vain.
    pub is_kept: bool,
    /// Until then, from the start.
    pub time: Duration,
}

/// What became of a block's access list, in [`Mode::Bal`] and on [`Way::List`]. Where
/// [`Report::way`] says that a block ran sequentially for a reason, nobody has looked at its list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListUse {
    /// The block came without one, and ran as in [`Mode::Occ`]; in [`Mode::Bal`] alone.
    Absent,
    /// The block ran by it, and it is what the block does.
    Followed,
    /// The run by it was dropped, and the block ran sequentially: [`Report::fallback`] says why.
    Dropped,
}

/// The way on which a block runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// One transaction after the other, and why another mode than [`Mode::Seq`] took that way.
    Sequential(Option<WhySequential>),
    /// Optimistically, on multi-version memory.
    Optimistic,
    /// In lanes.
    Lanes,
    /// By the block's access list.
    List,
}

/// Why [`Mode::Auto`], or [`Mode::Bal`] with a list, runs a block one transaction after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhySequential {
    /// There is no other thread.
    OneThread,
    /// Waking other threads would take longer than they could gain.
    LittleToDo,
    /// The block is from before Byzantium: all that is done is taken down step by step, and an
    /// access list, if there is one, does not tell whether an empty account is there.
    ManySteps,
    /// By what earlier blocks have taught, by footprints or by its first transactions, nearly every
    /// transaction waits for another one.
    OneChain,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sequential(None) => "sequential",
            Self::Sequential(Some(WhySequential::OneThread)) => "sequential: one thread",
            Self::Sequential(Some(WhySequential::LittleToDo)) => "sequential: little to do",
            Self::Sequential(Some(WhySequential::ManySteps)) => "sequential: before Byzantium",
            Self::Sequential(Some(WhySequential::OneChain)) => "sequential: one chain",
            Self::Optimistic => "optimistic",
            Self::Lanes => "lanes",
            Self::List => "access list",
        })
    }
}

/// How a block was executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The mode that was asked for.
    pub mode: Mode,
    /// The way on which it was begun; where lanes left it to another one, that. A fallback is none.
    pub way: Way,
    /// Threads that were offered: those of the executor, but to the execution of a block in
    /// [`Mode::Auto`] no more than there are cores, unless the state is slow to answer.
    pub threads: usize,
    /// What the scheduler did, lanes, or those who followed a list; empty where all ran
    /// sequentially. The active threads of lanes are the workers that have run something; a thread
    /// may be several of them.
    pub stats: Stats,
    /// Set if the parallel run ended early.
    pub fallback: Option<Fallback>,
    /// Set if lanes gave the block up, whichever way went on with it.
    pub given_up: Option<GivenUp>,
    /// What became of the access list; `None` where nobody has looked for one.
    pub list: Option<ListUse>,
    /// What each transaction took on [`Way::Optimistic`] and [`Way::Lanes`], in block order; empty
    /// unless the executor is [observing](Executor::observing), and on other ways. On
    /// [`Way::List`] each runs once.
    pub tx_runs: Vec<TxRuns>,
    /// Bytes that were taken, at the end of the block, by versioned memory, or by the journals and
    /// touches of lanes and what lanes share; also if it had been taken before. If lanes gave the
    /// block up, what they took is added to what the way took that went on. 0 where neither was
    /// tried. Results and changes are not counted.
    pub memory_bytes: usize,
}

impl Report {
    /// What ran in lanes that were given up, if that was in vain.
    pub fn lost_lanes(&self) -> Option<&GivenUp> {
        self.given_up.as_ref().filter(|given_up| given_up.txs > 0 && !given_up.is_kept)
    }

    /// Of a run that went to its end, and of which nothing else is to be told.
    pub const fn new(mode: Mode, way: Way, threads: usize, stats: Stats) -> Self {
        Self {
            mode,
            way,
            threads,
            stats,
            fallback: None,
            given_up: None,
            list: None,
            tx_runs: Vec::new(),
            memory_bytes: 0,
        }
    }
}

/// An executed block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Execution {
    /// What the block does.
    pub outcome: BlockOutcome,
    /// How that was found.
    pub report: Report,
}

/// Executes blocks, keeping threads, analysed code, and hints from one to the next.
#[derive(Debug)]
pub struct Executor {
    threads: usize,
    pool: rayon::ThreadPool,
    /// One thread for each core, where there are more than these.
    narrow: Option<rayon::ThreadPool>,
    codes: CodeCache,
    room: Mutex<Option<Room>>,
    lane_room: Mutex<Option<LaneRoom>>,
    hints: Mutex<Hints>,
    observes: bool,
}

impl Executor {
    /// An executor with this many threads, the caller's included; at least one.
    ///
    /// # Errors
    /// [`BlockError::Internal`] if the system gives no threads.
    pub fn new(threads: usize) -> Result<Self, BlockError> {
        let threads = threads.max(1);
        // Where nobody tells, there is one for each thread.
        let cores = std::thread::available_parallelism().map_or(threads, NonZero::get);
        let pool = pool_of(threads)?;
        let narrow = if threads > cores { Some(pool_of(cores)?) } else { None };
        let (codes, room, lane_room) = (CodeCache::new(), Mutex::new(None), Mutex::new(None));
        let (hints, observes) = (Mutex::default(), false);
        Ok(Self { threads, pool, narrow, codes, room, lane_room, hints, observes })
    }

    /// Has [`Mode::Auto`] take all threads, however many cores there are: for those who compare
    /// what modes do, and not how long it takes.
    #[must_use]
    pub fn on_all_threads(self) -> Self {
        Self { narrow: None, ..self }
    }

    /// Notes from now on what each transaction of a block takes in its parallel run:
    /// [`Report::tx_runs`]. That costs two looks at a clock and a lock for each run.
    #[must_use]
    pub fn observing(self) -> Self {
        Self { observes: true, ..self }
    }

    /// Threads of this executor.
    pub const fn threads(&self) -> usize {
        self.threads
    }

    /// Its threads, to be lent for other work between blocks; `None` if there is one thread only.
    pub fn pool(&self) -> Option<&rayon::ThreadPool> {
        (self.threads > 1).then_some(&self.pool)
    }

    /// Recovers the senders of a checked block, in parallel, as far as it can have gas for their
    /// transactions.
    ///
    /// # Errors
    /// [`crate::InvalidBlock::Signature`].
    pub fn prepare(&self, block: CheckedBlock, rules: &Rules) -> Result<PreparedBlock, BlockError> {
        self.prepare_knowing(block, rules, &[])
    }

    /// As [`Executor::prepare`], where some senders are known: `known` has one entry for each
    /// transaction, in block order. What is `None`, or missing at the end, is recovered; what is
    /// there must be what the signature gives.
    ///
    /// # Errors
    /// As [`Executor::prepare`].
    pub fn prepare_knowing(
        &self,
        block: CheckedBlock,
        rules: &Rules,
        known: &[Option<Address>],
    ) -> Result<PreparedBlock, BlockError> {
        let pool = self.pool_for(block.block().body.transactions.len());
        PreparedBlock::recover(block, rules, known, pool)
    }

    /// Prepares a block whose senders are known.
    ///
    /// # Errors
    /// [`BlockError::Internal`] if a transaction is of an unknown type.
    pub fn prepare_recovered(&self, block: RecoveredBlock) -> Result<PreparedBlock, BlockError> {
        let pool = self.pool_for(block.senders().len());
        PreparedBlock::new(block, pool)
    }

    /// What blocks in [`Mode::Lanes`] and [`Mode::Auto`] have taught so far; in [`Mode::Bal`] they
    /// teach how long calls take alone. It decides what runs beside what and when, and never what
    /// comes out.
    pub fn hints(&self) -> Hints {
        self.hints.lock().clone()
    }

    /// Takes up hints that were laid by, in place of what was learned since.
    pub fn remember(&self, hints: &Hints) {
        self.hints.lock().become_as(hints);
    }

    /// Forgets what blocks have taught.
    pub fn forget(&self) {
        self.hints.lock().clear();
    }

    /// Analyses codes ahead of a block that may call them, each with its keccak256.
    pub fn warm<'c>(&self, codes: impl IntoIterator<Item = (&'c B256, &'c Bytes)>) {
        for (hash, code) in codes {
            self.codes.warm(*hash, code);
        }
    }

    /// The pool, where there is enough work for it.
    fn pool_for(&self, tx_count: usize) -> Option<&rayon::ThreadPool> {
        (self.threads > 1 && tx_count >= POOL_TXS_MIN).then_some(&self.pool)
    }

    /// Executes a block on the state before it.
    ///
    /// # Errors
    /// [`BlockError::Invalid`] only after a sequential run has found it; other errors say nothing
    /// about the block.
    pub fn execute(
        &self,
        mode: Mode,
        block: &PreparedBlock,
        rules: &Rules,
        view: &dyn StateView,
        scope: Scope,
    ) -> Result<Execution, BlockError> {
        // Transactions alone are less than what a list tells of.
        let has_list = block.access_list().is_some() && scope != Scope::Transactions;
        let narrow = self.narrow.as_ref().filter(|_| mode == Mode::Auto);
        let pool = narrow.filter(|_| !is_slow(block, view)).unwrap_or(&self.pool);
        let way = match mode {
            Mode::Seq => Way::Sequential(None),
            Mode::Occ => Way::Optimistic,
            Mode::Bal if !has_list => Way::Optimistic,
            Mode::Bal if bal::fits(rules) => Way::List,
            Mode::Bal => Way::Sequential(Some(WhySequential::ManySteps)),
            Mode::Lanes if lanes::fits(rules) => Way::Lanes,
            Mode::Lanes => Way::Optimistic,
            Mode::Auto => choose(block, rules, has_list, pool.current_num_threads()),
        };
        let resources = self.resources(pool);
        let report = |way, stats| Report::new(mode, way, pool.current_num_threads(), stats);
        let in_order = |way: Way| -> Result<Execution, BlockError> {
            let outcome = sequential::run(block, rules, view, &self.codes, scope)?;
            Ok(Execution { outcome, report: report(way, Stats::default()) })
        };
        let optimistic = || -> Result<Execution, FallbackCause> {
            let OccRun { outcome, stats, ended_by, tx_runs, memory_bytes } =
                occ::run(block, rules, view, scope, &resources)?;
            let fallback = ended_by.map(|cause| Fallback { cause: cause.into() });
            let report = report(Way::Optimistic, stats);
            let report = Report { fallback, tx_runs, memory_bytes, ..report };
            Ok(Execution { outcome, report })
        };
        let ended = |outcome, stats| Execution { outcome, report: report(way, stats) };
        let in_lanes = |LaneRun { outcome, stats, given_up }| {
            let chain = Way::Sequential(Some(WhySequential::OneChain));
            let way = if given_up.is_some() { chain } else { way };
            let report = Report { given_up, ..report(way, stats) };
            Execution { outcome, report }
        };
        let runs = self.observes.then(|| RunLog::new(block.txs.len()));
        let (begun, mut spent) = (Instant::now(), Spent { runs, ..Spent::default() });
        let ran: Result<Execution, FallbackCause> = match way {
            Way::Sequential(_) => return in_order(way),
            Way::Optimistic => optimistic(),
            Way::Lanes => {
                let declines = mode == Mode::Auto;
                lanes::run(block, rules, view, scope, &resources, declines, &mut spent)
                    .map(in_lanes)
            }
            Way::List => match block.list_index(rules) {
                Some(Ok(index)) => bal::run(block, index, rules, view, scope, &resources)
                    .map(|(outcome, stats)| ended(outcome, stats)),
                Some(Err(fault)) => Err(fault.clone().into()),
                None => Err(BlockError::Internal("the block has no list".to_owned()).into()),
            },
        };
        let given_up = ran.as_ref().err().filter(|_| way == Way::Lanes).map(|cause| GivenUp {
            cause: cause.clone(),
            txs: spent.txs,
            is_kept: false,
            time: begun.elapsed(),
        });
        let (way, ran) = match ran {
            Err(FallbackCause::Lanes(LaneFault::ManyChains)) if mode == Mode::Auto => {
                (Way::Optimistic, optimistic())
            }
            ran => (way, ran),
        };
        // Whatever a parallel run came upon, only one that was sequential from the start may speak
        // about the block.
        let mut execution = match ran {
            Ok(execution) => execution,
            Err(FallbackCause::Lanes(LaneFault::OneChain)) => {
                in_order(Way::Sequential(Some(WhySequential::OneChain)))?
            }
            Err(cause) => {
                let Execution { outcome, report } = in_order(way)?;
                let fallback = Some(Fallback { cause });
                Execution { outcome, report: Report { fallback, ..report } }
            }
        };
        if self.threads > 1 && matches!(mode, Mode::Bal | Mode::Lanes | Mode::Auto) {
            let BlockOutcome { results, excess, .. } = &execution.outcome;
            self.hints.lock().learn_work(&block.txs, results, excess);
        }
        execution.report.given_up = given_up.or(execution.report.given_up);
        execution.report.memory_bytes += spent.memory_bytes;
        if execution.report.way == Way::Lanes {
            execution.report.tx_runs = spent.runs.map(RunLog::into_runs).unwrap_or_default();
        }
        execution.report.list = match way {
            Way::List if execution.report.fallback.is_some() => Some(ListUse::Dropped),
            Way::List => Some(ListUse::Followed),
            Way::Optimistic if mode == Mode::Bal => Some(ListUse::Absent),
            Way::Optimistic | Way::Lanes | Way::Sequential(_) => None,
        };
        Ok(execution)
    }

    /// The report of a run that went to its end.
    fn report(&self, mode: Mode, way: Way, stats: Stats) -> Report {
        Report::new(mode, way, self.threads, stats)
    }

    /// Executes a block sequentially and gives its access list beside its outcome, on every fork:
    /// what a sidecar has for [`PreparedBlock::with_access_list`]. The outcome is that of
    /// [`Executor::execute`]; it has the list from Amsterdam on.
    ///
    /// A list of an older block is of our own making, by the rules of EIP-7928 ("Scope and
    /// Inclusion", "Recording Semantics by Change Type"): the opening of the block moves the
    /// balances of the DAO fork, each transaction reads and pays the fee recipient, the closing
    /// adds withdrawals and rewards. A destroyed contract has a nonce of zero, a balance of zero
    /// and an empty code; the slots that go with it are not listed for that.
    ///
    /// # Errors
    /// As [`Executor::execute`].
    pub fn list_accesses(
        &self,
        block: &PreparedBlock,
        rules: &Rules,
        view: &dyn StateView,
        scope: Scope,
    ) -> Result<(BlockOutcome, BlockAccessList), BlockError> {
        sequential::list_accesses(block, rules, view, &self.codes, scope)
    }

    /// Fills a block from candidates on the state before it. They are tried in the given order, and
    /// what is refused at its turn is left out, together with what its sender has after it. The
    /// answer is the same in every mode and on any number of threads, if no time limit cuts it off.
    ///
    /// Candidates cost memory even where they are not tried: the caller bounds their number.
    ///
    /// # Errors
    /// [`BlockError::Invalid`] if no block is possible on this state: a system contract is not
    /// there, or fails. Otherwise the state failed, or this executor.
    pub fn build(
        &self,
        mode: Mode,
        draft: &Draft<'_>,
        candidates: Vec<Candidate>,
        rules: &Rules,
        view: &dyn StateView,
        limits: &BuildLimits,
    ) -> Result<Built, BlockError> {
        let mut footprints = Vec::with_capacity(candidates.len());
        let pairs = candidates.into_iter().map(|Candidate { tx, sender, footprint }| {
            footprints.push(footprint);
            (tx, sender)
        });
        let (transactions, senders): (Vec<_>, Vec<_>) = pairs.unzip();
        // Those were admitted by what they cost.
        let pool = self.pool_for(transactions.len());
        let txs = prepare_txs(&transactions, &senders, u64::MAX, pool)?;
        let predecessors = predecessors(&txs, &footprints);
        let Draft { header, withdrawals } = *draft;
        let job = Job {
            header,
            withdrawals,
            rules,
            view,
            limits,
            transactions: &transactions,
            txs: &txs,
            predecessors: &predecessors,
        };
        let in_order = || build::fill_in_order(&job, &self.codes);
        let (filled, report) = match mode {
            Mode::Seq => (in_order()?, self.report(mode, Way::Sequential(None), Stats::default())),
            _ => match occ::fill(&job, &self.resources(&self.pool)) {
                Ok((filled, stats, memory_bytes)) => {
                    let report = self.report(mode, Way::Optimistic, stats);
                    (filled, Report { memory_bytes, ..report })
                }
                Err(cause) => {
                    let report = self.report(mode, Way::Optimistic, Stats::default());
                    let fallback = Some(Fallback { cause: cause.into() });
                    (in_order()?, Report { fallback, ..report })
                }
            },
        };
        Ok(filled.into_built(transactions, senders, report))
    }

    /// Runs transactions one after the other on the state before a block that may have them, on the
    /// caller's thread, and tells what each read and wrote: `None` for one that is refused, and
    /// then nothing of it is left. `layer` holds what was done before on that state, and is added
    /// to. It ends early if `goes_on` says no before a transaction.
    ///
    /// The block is not opened, and no fees are paid: what comes out is a guess.
    ///
    /// # Errors
    /// If a transaction is of an unknown type, or the layer is not one of that state; the layer is
    /// then void.
    pub fn preexecute<'t>(
        &self,
        header: &Header,
        rules: &Rules,
        view: &dyn StateView,
        layer: &mut Layer,
        txs: impl IntoIterator<Item = (&'t Transaction, Address)>,
        goes_on: impl FnMut() -> bool,
    ) -> Result<Vec<Option<Footprint>>, BlockError> {
        footprint::preexecute(header, rules, &self.codes, view, layer, txs, goes_on)
    }

    /// Runs a block on the state before it, one transaction after the other on the caller's thread,
    /// and tells what each read and wrote, and how long it ran while that was noted. The block is
    /// not closed, and its gas is not judged.
    ///
    /// # Errors
    /// [`BlockError`]; it is no verdict on the block.
    pub fn accesses(
        &self,
        block: &PreparedBlock,
        rules: &Rules,
        view: &dyn StateView,
    ) -> Result<Vec<TxAccess>, BlockError> {
        accesses::run(block, rules, view, &self.codes)
    }

    /// Runs a block as [`Executor::accesses`] does, and tells how long each transaction ran: what
    /// it touches is not noted.
    ///
    /// # Errors
    /// As [`Executor::accesses`].
    pub fn times(
        &self,
        block: &PreparedBlock,
        rules: &Rules,
        view: &dyn StateView,
    ) -> Result<Vec<Duration>, BlockError> {
        accesses::times(block, rules, view, &self.codes)
    }

    /// Runs a block as [`Executor::accesses`] does, and tells of each transaction what depends on
    /// values that those before it have changed. This takes several times as long.
    ///
    /// # Errors
    /// As [`Executor::accesses`].
    pub fn redo(
        &self,
        block: &PreparedBlock,
        rules: &Rules,
        view: &dyn StateView,
    ) -> Result<Vec<TxRedo>, BlockError> {
        redo::run(block, rules, view, &self.codes)
    }

    /// What a parallel run borrows.
    fn resources<'e>(&'e self, pool: &'e rayon::ThreadPool) -> Resources<'e> {
        let Self { threads: _, pool: _, narrow: _, codes, room, lane_room, observes, hints } = self;
        let threads = pool.current_num_threads();
        Resources { codes, pool, threads, room, lane_room, hints, observes: *observes }
    }
}

/// How [`Mode::Auto`] runs a block.
fn choose(block: &PreparedBlock, rules: &Rules, has_list: bool, threads: usize) -> Way {
    if threads == 1 {
        return Way::Sequential(Some(WhySequential::OneThread));
    }
    if !lanes::pays(block) {
        // Plain payments are light in lanes, and nowhere else.
        if lanes::fits(rules) && lanes::has_many_payments(block) {
            return Way::Lanes;
        }
        return Way::Sequential(Some(WhySequential::LittleToDo));
    }
    if has_list && bal::fits(rules) {
        return Way::List;
    }
    if lanes::fits(rules) {
        return Way::Lanes;
    }
    // From Amsterdam on a block has a list, but for those that come without; and before
    // Byzantium all that is done is taken down step by step.
    if rules.receipts_have_status() {
        Way::Optimistic
    } else {
        Way::Sequential(Some(WhySequential::ManySteps))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_mode_is_told_which_there_are() {
        let told = "fast".parse::<Mode>().expect_err("no mode");
        for mode in [Mode::Seq, Mode::Occ, Mode::Bal, Mode::Lanes, Mode::Auto] {
            let name = mode.to_string();
            assert_eq!(name.parse::<Mode>(), Ok(mode));
            assert!(told.contains(&name), "{told}");
        }
    }
}

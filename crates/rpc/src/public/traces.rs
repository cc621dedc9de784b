//! What the methods share that trace: blocks that are run again, and answers that are written piece
//! by piece.
//!
//! ```text
//! block -> Replay: the state before each transaction -> traces, on several threads -> JSON of each
//! ```
//! The replay is sequential; a trace depends on nothing but the state before its transaction, so
//! the answer is the same on any number of threads. What was recorded for a transaction is let go
//! as soon as its part of the answer is written. How much is recorded and written is bounded for
//! all transactions of an answer together, so whether it fits does not depend on the threads.

mod folder;
mod parts;

pub(crate) use folder::{FolderTurn, TraceFile, TraceFolder};
pub(crate) use parts::Part;

use crate::{
    public::{
        Answer, Context,
        error::{self, refused},
        eth::{
            call_many::{Start, at_start},
            transactions,
        },
        made::traceable,
        overrides::{BlockOverrides, StateOverrides},
        patience::Patience,
        question::with_place,
    },
    stream::Outlet,
};
use fugue_chain::{ChainView, ViewedBlock};
use fugue_chainspec::Rules;
use fugue_evm::{Assumed, CodeCache, Place, TraceBudget, TraceError, TraceOrigin, TraceSubject};
use fugue_executor::{BlockError, Replay};
use fugue_state::StateView;
use fugue_types::{B256, Header, RecoveredBlock};
use jsonrpsee::{core::JsonRawValue, types::ErrorObjectOwned};
use serde::Serialize;
use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread::Builder,
};

/// Bytes of the stack of a thread that traces: calls 1,024 deep are written, and let go, by
/// recursion.
const STACK_BYTES: usize = 16 * 1024 * 1024;
/// Bytes that a piece of an answer counts by itself before it tells the others.
const BYTES_PER_TELLING: usize = 64 * 1024;

/// The traces of one answer.
pub(crate) struct Traces {
    /// What may be recorded for them.
    pub(crate) budget: TraceBudget,
    threads: usize,
    written_max: usize,
    written: AtomicUsize,
    patience: Patience,
    /// Where the answer may be sent while it is made.
    outlet: Option<Outlet>,
}

impl Traces {
    pub(crate) fn new(context: &Context) -> Self {
        let patience = context.patience.clone();
        let is_over = move || patience.check().is_err();
        Self {
            budget: TraceBudget::new(context.limits.trace_memory_max, is_over),
            threads: context.limits.trace_threads_max.max(1),
            written_max: context.limits.trace_bytes_max,
            written: AtomicUsize::new(0),
            patience: context.patience.clone(),
            outlet: context.outlet.clone(),
        }
    }

    /// A piece of the answer, in JSON, for who puts the pieces together by other means than
    /// [`Traces::list`].
    ///
    /// # Errors
    /// If it does not fit with what is written already.
    pub(crate) fn write<T: Serialize + ?Sized>(&self, value: &T) -> Answer {
        let mut piece = Part::alone(self);
        piece.value(value)?;
        let text = String::from_utf8(piece.into_text()).map_err(error::internal)?;
        JsonRawValue::from_string(text).map_err(error::internal)
    }

    /// Whether more was written than an answer may have.
    fn is_full(&self) -> bool {
        self.written.load(Ordering::Relaxed) > self.written_max
    }

    /// Why there is no trace.
    pub(crate) fn error(&self, error: TraceError) -> ErrorObjectOwned {
        match error {
            TraceError::Call(error) => error::of_call(error),
            TraceError::TooLarge(max) => self.too_large("--rpc.max-trace-memory", max),
            TraceError::GivenUp => match self.patience.check() {
                Err(reason) => reason,
                Ok(()) => error::internal("a trace was given up for nothing"),
            },
        }
    }

    fn too_large(&self, flag: &str, max: usize) -> ErrorObjectOwned {
        refused(format!(
            "the traces of this answer take more than {max} bytes ({flag}): ask for a single \
             transaction, or for less of it"
        ))
    }

    /// Calls with each number below `count`, on several threads, and gives what that gives, in
    /// order.
    ///
    /// # Errors
    /// The error with the least number, of those that were come to.
    pub(crate) fn each<T: Send>(
        &self,
        count: usize,
        work: impl Fn(usize) -> Result<T, ErrorObjectOwned> + Sync,
    ) -> Result<Vec<T>, ErrorObjectOwned> {
        on_threads(self.threads.min(count), count, &work)
    }

    /// Calls on a thread that has the stack for it.
    ///
    /// # Errors
    /// What the call gives.
    pub(crate) fn one<T: Send>(
        &self,
        work: impl Fn() -> Result<T, ErrorObjectOwned> + Sync,
    ) -> Result<T, ErrorObjectOwned> {
        let done = on_threads(1, 1, &|_: usize| work())?;
        done.into_iter().next().ok_or_else(|| error::internal("a thread gave nothing"))
    }
}

/// Calls `work` with each number below `count`, the next free thread with the next number. The
/// threads have the priority of the caller's (Linux), and end with this call.
fn on_threads<T: Send>(
    threads: usize,
    count: usize,
    work: &(impl Fn(usize) -> Result<T, ErrorObjectOwned> + Sync),
) -> Result<Vec<T>, ErrorObjectOwned> {
    if count == 0 {
        return Ok(Vec::new());
    }
    let (next, has_failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let worker = || {
        let mut done = Vec::new();
        while !has_failed.load(Ordering::Relaxed) {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= count {
                break;
            }
            let result = work(index);
            if result.is_err() {
                has_failed.store(true, Ordering::Relaxed);
            }
            done.push((index, result));
        }
        done
    };
    let worker = &worker;
    let parts = std::thread::scope(|scope| {
        let mut started = Vec::new();
        for _ in 0..threads.max(1) {
            let builder = Builder::new().name("fugue-trace".to_owned()).stack_size(STACK_BYTES);
            // Fewer threads than there should be do the same work.
            started.extend(builder.spawn_scoped(scope, worker).ok());
        }
        // All are waited for, whatever one of them comes to.
        started.into_iter().map(|thread| thread.join()).collect::<Vec<_>>()
    });
    let parts = parts.into_iter().collect::<Result<Vec<_>, _>>();
    let parts = parts.map_err(|_| error::internal("a trace panicked"))?;
    let mut done: Vec<_> = parts.into_iter().flatten().collect();
    done.sort_unstable_by_key(|(index, _)| *index);
    let done: Vec<T> = done.into_iter().map(|(_, result)| result).collect::<Result<_, _>>()?;
    if done.len() != count {
        return Err(error::internal("the system gives no threads"));
    }
    Ok(done)
}

/// A block that is being run again.
pub(crate) struct Rerun<'r> {
    pub(crate) rules: &'r Rules,
    pub(crate) replay: &'r Replay,
    /// A chain that has its parent, and the number of that.
    pub(crate) parent: (&'r ChainView, u64),
    /// Before the block.
    state: &'r dyn StateView,
    codes: &'r CodeCache,
    assumed: &'r Assumed,
}

impl Rerun<'_> {
    pub(crate) fn header(&self) -> &Header {
        &self.replay.block().block().header
    }

    /// Hash of the transaction with this index; zero if there is none.
    pub(crate) fn tx_hash(&self, index: usize) -> B256 {
        let txs = &self.replay.block().block().body.transactions;
        txs.get(index).map(|tx| *tx.hash()).unwrap_or_default()
    }

    /// The state before the transaction with this index; of an index beyond those that were run,
    /// after the last one.
    pub(crate) fn before(&self, index: usize) -> impl StateView {
        self.replay.before(index, self.state)
    }

    /// Calls with what is needed to trace the transaction with this index.
    pub(crate) fn at<T>(
        &self,
        traces: &Traces,
        index: usize,
        trace: impl FnOnce(&Place<'_>, TraceSubject<'_>, TraceOrigin) -> Result<T, TraceError>,
    ) -> Result<T, ErrorObjectOwned> {
        traces.patience.check()?;
        let Self { rules, replay, parent: _, state, codes, assumed } = *self;
        let tx = replay.txs().get(index);
        let tx = tx.ok_or_else(|| error::internal(format!("no transaction {index} was run")))?;
        let origin = TraceOrigin {
            block_hash: Some(replay.block().hash()),
            tx_hash: Some(self.tx_hash(index)),
            tx_index: Some(index),
        };
        let (header, view) = (self.header(), &replay.before(index, state));
        let place = Place { rules, header, codes, view, assumed };
        trace(&place, TraceSubject::Tx(tx), origin).map_err(|error| traces.error(error))
    }
}

/// Runs the first `count` transactions of a block again, and calls with that. The block and its
/// parent may stand beside the chain.
///
/// # Errors
/// If the state before the block is not known, or what the call gives.
pub(crate) fn rerun<T>(
    context: &Context,
    view: &ChainView,
    viewed: ViewedBlock,
    count: usize,
    call: impl FnOnce(&Rerun<'_>) -> Result<T, ErrorObjectOwned>,
) -> Result<T, ErrorObjectOwned> {
    let block = viewed.into_recovered().map_err(error::internal)?;
    rerun_block(context, view, block, count, error::of_replay, call)
}

/// The same with a block that need not be known. `of_block` says what it means that it cannot be
/// run.
///
/// # Errors
/// As [`rerun`].
pub(crate) fn rerun_block<T>(
    context: &Context,
    view: &ChainView,
    block: RecoveredBlock,
    count: usize,
    of_block: impl FnOnce(BlockError) -> ErrorObjectOwned,
    call: impl FnOnce(&Rerun<'_>) -> Result<T, ErrorObjectOwned>,
) -> Result<T, ErrorObjectOwned> {
    let header = &block.block().header;
    if header.number == 0 {
        return Err(refused("genesis is not traceable"));
    }
    let parent_hash = header.parent_hash;
    // Its number is that of the parent, whatever a bad block says of its own.
    let beside;
    let parent = match view.number(parent_hash).map_err(error::of_chain)? {
        // What the view keeps for one call is there for the next.
        Some(number) => (view, number),
        None => {
            let found = view.up_to(parent_hash).map_err(error::of_chain)?;
            beside = found.ok_or_else(|| {
                let told = "its parent, is not known, nor the state after it";
                refused(format!("block {parent_hash}, {told}"))
            })?;
            (&beside, beside.head().number)
        }
    };
    let rules = view.spec().rules(header);
    let (codes, patience) = (&*context.codes, &context.patience);
    let (chain, number) = parent;
    let done = chain.with_state(number, |state| {
        let state = patience.guard(state);
        let replay = Replay::run(block, &rules, &state, codes, count).map_err(of_block)?;
        let (state, assumed) = (&state, &Assumed::default());
        let (rules, replay) = (&rules, &replay);
        call(&Rerun { rules, replay, parent, state, codes, assumed })
    });
    done.map_err(error::of_chain)?.ok_or_else(error::block_not_found)?
}

/// Calls with what is needed to trace a message: after a block or some of its transactions, and
/// with what is assumed.
///
/// # Errors
/// If the block is pending, the state is not known, or what the call gives.
pub(crate) fn question<T>(
    context: &Context,
    start: Start,
    state_overrides: &StateOverrides,
    block_overrides: &BlockOverrides,
    call: impl FnOnce(&Place<'_>) -> Result<T, ErrorObjectOwned>,
) -> Result<T, ErrorObjectOwned> {
    let start = Start { block: traceable(start.block)?, ..start };
    at_start(context, start, |header, view| {
        with_place(context, header, view, state_overrides, block_overrides, call)?
    })?
}

/// A transaction of the chain.
///
/// # Errors
/// If it is not known.
pub(crate) fn tx(view: &ChainView, hash: B256) -> Result<(ViewedBlock, usize), ErrorObjectOwned> {
    transactions::find(view, hash)?.ok_or_else(|| refused("transaction not found"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{sync::Barrier, time::Duration};

    fn traces(threads: usize, written_max: usize) -> Traces {
        Traces {
            budget: TraceBudget::new(0, || false),
            threads,
            written_max,
            written: AtomicUsize::new(0),
            patience: Patience::default(),
            outlet: None,
        }
    }

    #[test]
    fn several_threads_give_what_one_gives() {
        let one = traces(1, 0).each(50, |index| Ok(index * 7)).expect("no errors");
        assert_eq!(one, (0..50).map(|index| index * 7).collect::<Vec<_>>());
        // Two must be at work at once, or neither goes on.
        let both = Barrier::new(2);
        let four = traces(4, 0).each(50, |index| {
            if index < 2 {
                both.wait();
            }
            Ok(index * 7)
        });
        assert_eq!(four.expect("no errors"), one);
        assert_eq!(traces(4, 0).each(0, Ok).expect("no errors"), [0_usize; 0]);
    }

    #[test]
    fn the_first_error_is_given_and_no_more_is_done() {
        let calls = AtomicUsize::new(0);
        let refused = traces(1, 0).each(10, |index| {
            calls.fetch_add(1, Ordering::Relaxed);
            if index >= 3 { Err(refused(index.to_string())) } else { Ok(()) }
        });
        assert_eq!(refused.expect_err("it fails").message(), "3");
        assert_eq!(calls.into_inner(), 4);
    }

    #[test]
    fn a_panic_is_an_internal_error() {
        let refused = traces(2, 0).each(4, |index| {
            assert!(index != 2, "told to");
            Ok(())
        });
        assert_eq!(refused.expect_err("it fails").code(), error::INTERNAL);
    }

    #[test]
    fn deep_values_have_the_stack_to_be_written_and_let_go() {
        let depth = 1_024 * 4;
        let text = traces(1, usize::MAX).one(|| {
            let mut value = serde_json::Value::Null;
            for _ in 0..depth {
                value = serde_json::Value::Array(vec![value]);
            }
            traces(1, usize::MAX).write(&value)
        });
        assert_eq!(text.expect("it fits").get().len(), 2 * depth + 4);
    }

    #[test]
    fn pieces_of_an_answer_share_its_room() {
        let text = "x".repeat(98);
        let traces = traces(1, 250);
        let written = traces.write(&text).expect("it fits");
        assert_eq!(written.get().len(), 100);
        assert!(traces.write(&text).is_ok());
        let error = traces.write(&text).expect_err("the third does not fit");
        assert_eq!(error.code(), error::REFUSED);
        assert!(
            error.message().contains("250 bytes (--rpc.max-trace-size)"),
            "{}",
            error.message()
        );
    }

    #[test]
    fn a_piece_that_is_much_too_large_is_not_written_to_its_end() {
        let traces = traces(1, 1_000);
        let values = vec![7_u64; 1_000_000];
        assert!(traces.write(&values).is_err());
        assert!(traces.written.into_inner() < 3 * BYTES_PER_TELLING);
    }

    #[test]
    fn a_trace_that_was_given_up_says_why() {
        let over = Patience::new(Duration::ZERO, Default::default());
        let traces = Traces { patience: over, ..traces(1, 0) };
        let error = traces.error(TraceError::GivenUp);
        assert!(error.message().ends_with("longer than 0 s"), "{}", error.message());
    }
}

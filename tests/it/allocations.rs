//! Execution asks for memory for what a transaction leaves in its result, and for next to nothing
//! else: room is kept from one transaction to the next.
//!
//! What a block takes once, as the tables of a kernel, does not count here: two blocks of the same
//! kind are run, one longer than the other, and what the longer one has asked for more is counted
//! by the transactions that it has more. Both have been run before.
//!
//! The allocator of these tests counts for each thread, so that other tests do not count, whatever
//! runs beside them.

#![expect(unsafe_code, reason = "an allocator is unsafe to implement; this one only counts")]

use crate::support::Case;
use fugue_executor::{Execution, Executor, Mode, Scope, Way};
use fugue_workload::{BlockKind, Codes, build, contended};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    sync::Arc,
};

/// Gas of the two blocks, about: some hundred transactions, and three times as many.
const GAS: [u64; 2] = [4_000_000, 12_000_000];
/// Pieces of memory that a transfer of tokens leaves in its result: the list of its logs, the
/// topics and the data of the one log, and two for the output.
const LEFT_BY_TOKENS: u64 = 5;
/// Accounts that a transfer of ether, and one of tokens, is the first of its block to load: of each
/// a journal keeps apart what it was before.
const LOADED_BY_ETHER: u64 = 2;
const LOADED_BY_TOKENS: u64 = 1;
/// Pieces that a transaction takes in `occ` besides, which has a journal of its own: lists of the
/// accounts that it has read and changed, kept until its turn; of tokens also the slots that it has
/// read and changed, and the contract with the table of its slots, which each loads anew.
const APART_BY_ETHER: u64 = 2;
const APART_BY_TOKENS: u64 = 6;
/// Pieces that a transaction may take besides: the input of its call, for which the EVM
/// implementation asks each time, and as much again for all lists and tables of a block, which
/// double their room some times, and for lanes, of which the longer block may have a few more.
const BESIDE_MAX: u64 = 2;
/// Runs that are counted, of which the least counts: by chance a block has more lanes in one run
/// than in another.
const RUNS: usize = 5;

/// The system's allocator, which is told from here on.
struct Counting;

thread_local! {
    /// Times that this thread has asked for memory, or for more or less of it.
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

fn note() {
    // A thread that ends has no count any more, and nobody asks for it.
    COUNT.try_with(|count| count.set(count.get() + 1)).ok();
}

// SAFETY: all that is asked of this allocator is asked of the system's, and answered by it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: the caller keeps to the contract of this function, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        note();
        // SAFETY: as above.
        unsafe { System.realloc(memory, layout, bytes) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Times that this thread, and those of an executor, have asked for memory so far.
fn count(executor: &Executor) -> u64 {
    let own = || COUNT.with(Cell::get);
    let of_pool: u64 = match executor.pool() {
        Some(pool) => pool.broadcast(|_| own()).into_iter().sum(),
        None => 0,
    };
    own() + of_pool
}

/// A block of one kind, with its access list, whose transactions do not meet.
fn case(kind: BlockKind, gas: u64, executor: &Executor) -> Case {
    let scenario = contended(1, kind, gas, &[0], &Codes::default()).expect("a scenario");
    let bundles = build(&scenario).expect("a good scenario");
    let Case { block, rules, view } = Case::new(bundles.last().expect("a block"), executor);
    executor.warm(&view.codes);
    let listed = executor.list_accesses(&block, &rules, &view, Scope::Recorded);
    let block = block.with_access_list(Arc::new(listed.expect("a good block").1));
    block.index_access_list(&rules);
    Case { block, rules, view }
}

/// Times that a run of a block asks for memory.
fn asked(mode: Mode, case: &Case, executor: &Executor) -> u64 {
    let Case { block, rules, view } = case;
    let run = || {
        let before = count(executor);
        let run = executor.execute(mode, block, rules, view, Scope::Recorded);
        let asked = count(executor) - before;
        let Execution { report, .. } = run.expect("a good block");
        let way = match mode {
            Mode::Lanes => Way::Lanes,
            Mode::Bal => Way::List,
            Mode::Occ => Way::Optimistic,
            _ => Way::Sequential(None),
        };
        assert_eq!((report.way, report.fallback), (way, None), "{mode}");
        asked
    };
    // What is kept is there from the third on.
    run();
    run();
    (0..RUNS).map(|_| run()).min().unwrap_or_default()
}

#[test]
fn a_transaction_takes_memory_for_what_it_leaves() {
    let kinds = [
        (BlockKind::Transfers, 0, LOADED_BY_ETHER, APART_BY_ETHER),
        (BlockKind::Tokens, LEFT_BY_TOKENS, LOADED_BY_TOKENS, APART_BY_TOKENS),
    ];
    for (kind, left, loaded, apart) in kinds {
        for threads in [1, 2] {
            let executor = Executor::new(threads).expect("threads");
            let [short, long] = GAS.map(|gas| case(kind, gas, &executor));
            let txs = long.block.senders().len() - short.block.senders().len();
            assert!(txs > 200, "{kind}: {txs}");
            let txs = txs as u64;
            for mode in [Mode::Seq, Mode::Occ, Mode::Lanes, Mode::Bal] {
                let [few, many] = [&short, &long].map(|case| asked(mode, case, &executor));
                let more = many.saturating_sub(few);
                let apart = if mode == Mode::Occ { apart } else { 0 };
                let (least, most) = (left * txs, (left + loaded + apart + BESIDE_MAX) * txs);
                assert!(
                    (least..=most).contains(&more),
                    "{kind}, {mode} on {threads}: {more} for {txs} transactions, not {least} to \
                     {most}; {few} for the short block"
                );
            }
        }
    }
}

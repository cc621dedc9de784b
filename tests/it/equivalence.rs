//! Parallel execution against sequential execution: generated blocks, recorded blocks of mainnet,
//! random blocks, and blocks that are invalid.

use crate::support::{Case, bundle_files, generated, in_time, recorded, small_bundle};
use alloy_consensus::{TxLegacy, proofs::calculate_transaction_root};
use fugue_archive::{Bundle, BundleReader, PreAccount};
use fugue_chainspec::Fork;
use fugue_executor::{
    BlockError, Execution, Executor, InvalidBlock, Mode, Scope, first_divergence,
};
use fugue_scheduler::Stats;
use fugue_types::{SealedBlock, Transaction, TransactionTrait, TxKind, U256};
use fugue_workload::{Wallet, build, catalog, random};
use proptest::{
    prelude::any,
    sample::select,
    test_runner::{Config, TestCaseError, TestError, TestRunner},
};
use std::{collections::BTreeSet, path::Path};

/// Numbers of threads that a block is run on.
const THREADS: [usize; 4] = [1, 2, 3, 8];
/// Random scenarios, and how often a failing one is made smaller.
const RANDOM_CASES: u32 = 24;
const SHRINKS_MAX: u32 = 16;

/// An executor for each number of threads.
fn executors() -> Vec<Executor> {
    THREADS.iter().map(|threads| Executor::new(*threads).expect("threads")).collect()
}

/// Runs a block sequentially, then in parallel on each executor, whose statistics it gives.
fn compare(case: &Case, executors: &[Executor]) -> Result<Vec<Stats>, String> {
    let Case { block, rules, view } = case;
    let run = |executor: &Executor, mode: Mode| {
        let execution = executor.execute(mode, block, rules, view, Scope::Recorded);
        execution.map_err(|error| format!("{mode} on {} threads: {error}", executor.threads()))
    };
    let sequential = executors.first().ok_or("no executor")?;
    let expected = run(sequential, Mode::Seq)?.outcome;
    let promised = block.block().block().header.gas_used;
    if expected.gas_used != promised {
        return Err(format!("gas used is {}, not {promised}", expected.gas_used));
    }
    let in_parallel = |executor: &Executor| -> Result<Stats, String> {
        let Execution { outcome, report } = run(executor, Mode::Occ)?;
        let wrong = |what: String| Err(format!("{} threads: {what}", executor.threads()));
        if let Some(fallback) = report.fallback {
            return wrong(format!("the parallel run was dropped: {}", fallback.cause));
        }
        if let Some(divergence) = first_divergence(&expected, &outcome) {
            return wrong(divergence.to_string());
        }
        if outcome != expected {
            return wrong("a difference that first_divergence does not see".to_owned());
        }
        Ok(report.stats)
    };
    executors.iter().map(in_parallel).collect()
}

/// Compares the modes on every bundle below a folder.
fn check_folder(folder: &Path) {
    let executors = executors();
    let mut reader = BundleReader::new();
    let mut most_active = [0; THREADS.len()];
    for path in bundle_files(folder) {
        let bundle = reader.read(&path).unwrap_or_else(|error| panic!("{error}"));
        let case = Case::new(&bundle, &executors[0]);
        let stats = compare(&case, &executors)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for (most, stats) in most_active.iter_mut().zip(stats) {
            *most = stats.active_threads.max(*most);
        }
    }
    for (threads, most) in THREADS.into_iter().zip(most_active) {
        let expected = threads.min(2);
        assert!(most >= expected, "on {threads} threads never more than {most} had work");
    }
}

#[test]
fn f1_generated_blocks_execute_equally_in_both_modes() {
    check_folder(&generated());
}

#[test]
fn f1_recorded_blocks_execute_equally_in_both_modes() {
    if let Some(folder) = recorded("mainnet-blocks/blocks") {
        check_folder(&folder);
    }
}

fn check_random(seed: u64, fork: Fork, txs: usize, executor: &Executor) -> Result<(), String> {
    let bundles = build(&random(seed, fork, txs)).map_err(|error| error.to_string())?;
    for bundle in &bundles {
        let case = Case::new(bundle, executor);
        compare(&case, std::slice::from_ref(executor))
            .map_err(|error| format!("block {}: {error}", bundle.block.block().header.number))?;
    }
    Ok(())
}

#[test]
fn random_blocks_execute_equally_in_both_modes() {
    let forks: BTreeSet<Fork> = catalog(0).iter().map(|scenario| scenario.fork).collect();
    let forks: Vec<Fork> = forks.into_iter().collect();
    let executors = executors();
    let config = Config {
        cases: RANDOM_CASES,
        max_shrink_iters: SHRINKS_MAX,
        failure_persistence: None,
        ..Config::default()
    };
    let input = (any::<u64>(), select(forks), 30..=80_usize, 0..THREADS.len());
    let tested = TestRunner::new(config).run(&input, |(seed, fork, txs, place)| {
        check_random(seed, fork, txs, &executors[place]).map_err(TestCaseError::fail)
    });
    match tested {
        Ok(()) => {}
        Err(TestError::Fail(reason, (seed, fork, txs, place))) => panic!(
            "{reason}\nseed {seed}, fork {fork}, {txs} transactions, {} threads; the blocks:\n\
             fugue generate --random --seed {seed} --fork {fork} --txs {txs} --out DIR",
            THREADS[place]
        ),
        Err(TestError::Abort(reason)) => panic!("{reason}"),
    }
}

/// A bundle with room for one more transaction, from a fork that knows base fees.
fn roomy_bundle() -> Bundle {
    small_bundle(|bundle| {
        let block = bundle.block.block();
        let left = block.header.gas_limit.saturating_sub(block.header.gas_used);
        let fits = |tx: &Transaction| left > 2 * tx.gas_limit() && tx.blob_gas_used().is_none();
        let last = block.body.transactions.last();
        block.header.base_fee_per_gas.is_some()
            && block.body.transactions.len() >= 8
            && last.is_some_and(fits)
    })
}

/// The bundle with one more transaction, its roots as they must be before execution.
fn with_transaction(bundle: &Bundle, index: usize, tx: Transaction) -> Bundle {
    let mut block = bundle.block.block().clone();
    block.body.transactions.insert(index, tx);
    block.header.transactions_root = calculate_transaction_root(&block.body.transactions);
    Bundle { block: SealedBlock::seal(block), ..bundle.clone() }
}

#[test]
fn an_invalid_transaction_makes_the_block_invalid_in_every_mode() {
    let mut bundle = roomy_bundle();
    let wallet = Wallet::derive(0x1bad, 0);
    let ether = U256::from(10).pow(U256::from(18));
    let funded = PreAccount { balance: ether, ..PreAccount::default() };
    bundle.state.as_mut().expect("a pre-state").accounts.insert(wallet.address(), funded);
    let block = bundle.block.block();
    let count = block.body.transactions.len();
    let base_fee = block.header.base_fee_per_gas.expect("a base fee");
    let too_high = wallet.legacy(TxLegacy {
        chain_id: Some(bundle.chain_id),
        nonce: 7,
        gas_price: 2 * u128::from(base_fee),
        gas_limit: 100_000,
        to: TxKind::Call(wallet.address()),
        ..TxLegacy::default()
    });
    let last = block.body.transactions.last().expect("a transaction").clone();
    let cases = [
        (0, too_high.clone(), "NONCE_MISMATCH_TOO_HIGH"),
        (count / 2, too_high.clone(), "NONCE_MISMATCH_TOO_HIGH"),
        (count, too_high, "NONCE_MISMATCH_TOO_HIGH"),
        (count, last, "NONCE_MISMATCH_TOO_LOW"),
    ];
    for (index, tx, reason) in cases {
        let changed = with_transaction(&bundle, index, tx);
        let what = format!("{reason} at {index} of {count}");
        let errors = in_time(&what, move || refusals(&changed));
        for error in &errors {
            let BlockError::Invalid(InvalidBlock::Transaction {
                index: found, reason: named, ..
            }) = error
            else {
                panic!("{what}: {error}");
            };
            assert_eq!(*found, index, "{what}: {error}");
            assert!(named.names().contains(&reason), "{what}: {error}");
            assert_eq!(*error, errors[0], "{what}");
        }
    }
}

/// What each mode on each number of threads says about an invalid block.
fn refusals(bundle: &Bundle) -> Vec<BlockError> {
    let mut errors = Vec::new();
    for threads in [1, 2, 8] {
        let executor = Executor::new(threads).expect("threads");
        let Case { block, rules, view } = Case::new(bundle, &executor);
        for mode in [Mode::Seq, Mode::Occ] {
            let executed = executor.execute(mode, &block, &rules, &view, Scope::Recorded);
            errors.push(executed.expect_err("an invalid block"));
        }
    }
    errors
}

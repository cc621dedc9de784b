//! The parallel modes against sequential execution: generated blocks, recorded blocks of mainnet,
//! random blocks with random schedules, and blocks that are invalid.

use crate::{
    noisy::Noisy,
    support::{Case, bundle_files, generated, in_time, recorded, root, small_bundle},
};
use alloy_consensus::TxLegacy;
use fugue_archive::{Bundle, BundleReader, PreAccount, write_zstd};
use fugue_chainspec::Fork;
use fugue_executor::{
    BlockError, BlockOutcome, Execution, Executor, FallbackCause, InvalidBlock, Mode, Scope,
    first_divergence,
};
use fugue_state::StateView;
use fugue_types::{Address, Block, Bytes, Transaction, TransactionTrait, TxKind, U256};
use fugue_workload::{
    Call, FORKS, Fee, Grant, Rng, Script, Trial, Wallet, build, random, reduce, seal_body,
};
use proptest::{
    prelude::any,
    strategy::Strategy,
    test_runner::{Config, TestCaseError, TestError, TestRunner},
};
use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
};

/// Modes that are compared with the sequential one.
const MODES: [Mode; 3] = [Mode::Occ, Mode::Lanes, Mode::Auto];
/// Numbers of threads that a block is run on.
const THREADS: [usize; 5] = [1, 2, 3, 8, 16];
/// Random scenarios, unless `FUGUE_CASES` says how many; each fork has at least one.
const RANDOM_CASES: u32 = 32;
/// Transactions of a random scenario.
const RANDOM_TXS: std::ops::RangeInclusive<usize> = 20..=60;
/// How often a failing scenario is made shorter.
const SHRINKS_MAX: u32 = 16;
/// How often a smaller block is run on each number of threads before it counts as a good one, and
/// how many of them are run at most.
const TRIES: u64 = 3;
const TRIALS_MAX: usize = 400;

/// An executor for each number of threads.
fn executors() -> Vec<Executor> {
    THREADS.iter().map(|threads| Executor::new(*threads).expect("threads")).collect()
}

/// How many random scenarios there are of each fork.
fn cases_per_fork() -> u32 {
    let asked = std::env::var("FUGUE_CASES").ok();
    let cases = asked.map_or(RANDOM_CASES, |cases| cases.parse().expect("FUGUE_CASES: a number"));
    cases.div_ceil(FORKS.len() as u32).max(1)
}

/// What sequential execution gives.
fn sequential(case: &Case, executor: &Executor) -> Result<BlockOutcome, BlockError> {
    let Case { block, rules, view } = case;
    let executed = executor.execute(Mode::Seq, block, rules, view, Scope::Recorded);
    executed.map(|execution| execution.outcome)
}

/// How many threads had work in a parallel run that gives what is expected; else what is wrong.
fn parallel(
    case: &Case,
    view: &dyn StateView,
    expected: &BlockOutcome,
    executor: &Executor,
    mode: Mode,
) -> Result<usize, String> {
    let wrong = |what: String| Err(format!("{mode} on {} threads: {what}", executor.threads()));
    let run = executor.execute(mode, &case.block, &case.rules, view, Scope::Recorded);
    let Execution { outcome, report } = match run {
        Ok(execution) => execution,
        Err(error) => return wrong(error.to_string()),
    };
    // Lanes may find that a block is none for them, and then nothing else is wrong.
    if let Some(fallback) = report.fallback
        && !matches!(fallback.cause, FallbackCause::Lanes(_))
    {
        return wrong(format!("the parallel run was dropped: {}", fallback.cause));
    }
    if let Some(divergence) = first_divergence(expected, &outcome) {
        return wrong(divergence.to_string());
    }
    if outcome != *expected {
        return wrong("a difference that first_divergence does not see".to_owned());
    }
    Ok(report.stats.active_threads)
}

/// Runs a block sequentially, then in each mode on each executor. Gives the most threads that had
/// work on each.
fn compare(case: &Case, executors: &[Executor]) -> Result<Vec<usize>, String> {
    let first = executors.first().ok_or("no executor")?;
    let expected = sequential(case, first).map_err(|error| format!("seq: {error}"))?;
    let promised = case.block.block().block().header.gas_used;
    if expected.gas_used != promised {
        return Err(format!("gas used is {}, not {promised}", expected.gas_used));
    }
    let mut most_active = Vec::new();
    for executor in executors {
        let mut most = 0;
        for mode in MODES {
            most = parallel(case, &case.view, &expected, executor, mode)?.max(most);
        }
        most_active.push(most);
    }
    Ok(most_active)
}

/// The same on a state that answers with pauses.
fn compare_noisily(case: &Case, executors: &[Executor], noise: u64) -> Result<(), String> {
    let first = executors.first().ok_or("no executor")?;
    let expected = sequential(case, first).map_err(|error| format!("seq: {error}"))?;
    for (number, executor) in (0..).zip(executors) {
        for mode in MODES {
            let view = Noisy::new(&case.view, noise.wrapping_add(number));
            parallel(case, &view, &expected, executor, mode)
                .map_err(|wrong| format!("{wrong} (with pauses)"))?;
        }
    }
    Ok(())
}

/// Compares the modes on every bundle below a folder.
fn check_folder(folder: &Path) {
    let executors = executors();
    let mut reader = BundleReader::new();
    let mut most_active = [0; THREADS.len()];
    for path in bundle_files(folder) {
        let bundle = reader.read(&path).unwrap_or_else(|error| panic!("{error}"));
        let case = Case::new(&bundle, &executors[0]);
        let active = compare(&case, &executors)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for (most, active) in most_active.iter_mut().zip(active) {
            *most = active.max(*most);
        }
    }
    for (threads, most) in THREADS.into_iter().zip(most_active) {
        let expected = threads.min(2);
        assert!(most >= expected, "on {threads} threads never more than {most} had work");
    }
}

#[test]
fn f1_generated_blocks_execute_equally_in_all_modes() {
    check_folder(&generated());
}

#[test]
fn f1_recorded_blocks_execute_equally_in_all_modes() {
    if let Some(folder) = recorded("mainnet-blocks/blocks") {
        check_folder(&folder);
    }
}

/// Random blocks, and the pauses of the state that they are run on. Written and read as
/// `SEED:FORK:TXS:NOISE`.
#[derive(Debug, Clone, Copy)]
struct Draw {
    seed: u64,
    fork: Fork,
    txs: usize,
    noise: u64,
}

impl fmt::Display for Draw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, fork, txs, noise } = self;
        write!(f, "{seed}:{fork}:{txs}:{noise}")
    }
}

impl FromStr for Draw {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split(':').collect();
        let [seed, fork, txs, noise] = parts[..] else {
            return Err("SEED:FORK:TXS:NOISE".to_owned());
        };
        let number = |part: &str| part.parse::<u64>().map_err(|error| error.to_string());
        let fork = Fork::from_str(fork).map_err(|_| format!("no fork {fork}"))?;
        Ok(Self { seed: number(seed)?, fork, txs: number(txs)? as usize, noise: number(noise)? })
    }
}

/// The first block of a draw on which a mode differs, and how.
fn check_draw(draw: &Draw, executors: &[Executor]) -> Result<(), (Box<Bundle>, String)> {
    let bundles = build(&random(draw.seed, draw.fork, draw.txs));
    for bundle in bundles.unwrap_or_else(|error| panic!("{draw}: {error}")) {
        let case = Case::new(&bundle, &executors[0]);
        let compared = compare(&case, executors).map(drop);
        let compared = compared.and_then(|()| compare_noisily(&case, executors, draw.noise));
        compared.map_err(|wrong| (Box::new(bundle), wrong))?;
    }
    Ok(())
}

/// What is left of a block that is not needed for a mode to differ, written to a file.
fn smallest(bundle: &Bundle, draw: &Draw, executors: &[Executor]) -> Option<(PathBuf, String)> {
    let senders = Case::new(bundle, &executors[0]).block.senders().to_vec();
    let differs = |trial: &Trial| {
        let case = Case::new(trial.bundle(), &executors[0]);
        // What has become invalid says nothing of the modes.
        sequential(&case, &executors[0]).ok()?;
        let tries = (0..TRIES).map(|number| draw.noise.wrapping_add(number << 32));
        tries.map(|noise| compare_noisily(&case, executors, noise)).find_map(Result::err)
    };
    let trial = Trial::new(bundle.clone(), senders);
    let reduced = reduce(trial, differs, |_, trials| trials < TRIALS_MAX)?;
    let case = Case::new(reduced.trial.bundle(), &executors[0]);
    let outcome = sequential(&case, &executors[0]).ok()?;
    let folder = root().join("target/equivalence");
    std::fs::create_dir_all(&folder).ok()?;
    let path = folder.join(format!("{}-{}.json.zst", draw.seed, draw.fork));
    let smallest = reduced.trial.promising(&outcome, &case.rules);
    let json = smallest.to_json(&draw.fork.to_string()).ok()?;
    write_zstd(&path, &json, 3).ok()?;
    Some((path, format!("{}: {}", reduced.trial.size(), reduced.difference)))
}

/// Fails with everything that it takes to look into it.
fn fail(draw: &Draw, executors: &[Executor], reason: &str) -> ! {
    let Draw { seed, fork, txs, .. } = draw;
    let again = check_draw(draw, executors).err();
    let smallest = again.and_then(|(bundle, _)| smallest(&bundle, draw, executors));
    let smallest = smallest
        .map_or("no smaller one differs each time".to_owned(), |(path, what)| {
            format!("{what}\nfugue replay {} --mode both --threads 16", path.display())
        });
    panic!(
        "{reason}\nagain, with the same pauses:\n\
         FUGUE_DRAW={draw} cargo nextest run --release -p fugue-tests random_blocks\n\
         the blocks:\n\
         fugue generate --random --seed {seed} --fork {fork} --txs {txs} --out DIR\n\
         the smallest block: {smallest}"
    );
}

#[test]
fn random_blocks_execute_equally_in_all_modes() {
    let executors = executors();
    if let Ok(draw) = std::env::var("FUGUE_DRAW") {
        let draw: Draw = draw.parse().unwrap_or_else(|error| panic!("FUGUE_DRAW: {error}"));
        if let Err((_, wrong)) = check_draw(&draw, &executors) {
            fail(&draw, &executors, &wrong);
        }
        return;
    }
    for fork in FORKS {
        let config = Config {
            cases: cases_per_fork(),
            max_shrink_iters: SHRINKS_MAX,
            failure_persistence: None,
            ..Config::default()
        };
        // A scenario with fewer transactions begins with the same ones. Another seed is another
        // scenario, and no smaller one.
        let input = (any::<u64>().no_shrink(), RANDOM_TXS, any::<u64>().no_shrink());
        let tested = TestRunner::new(config).run(&input, |(seed, txs, noise)| {
            let checked = check_draw(&Draw { seed, fork, txs, noise }, &executors);
            checked.map_err(|(_, wrong)| TestCaseError::fail(wrong))
        });
        match tested {
            Ok(()) => {}
            Err(TestError::Fail(reason, (seed, txs, noise))) => {
                fail(&Draw { seed, fork, txs, noise }, &executors, &reason.to_string());
            }
            Err(TestError::Abort(reason)) => panic!("{reason}"),
        }
    }
}

#[test]
fn a_draw_is_read_as_it_is_written() {
    for text in ["7:Osaka:30:18446744073709551615", "0:Frontier:1:0"] {
        let draw: Draw = text.parse().expect("a draw");
        assert_eq!(draw.to_string(), text);
    }
    for text in ["", "7:Osaka:30", "7:Osaka:30:1:1", "7:Nowhere:30:1", "x:Osaka:30:1"] {
        assert!(text.parse::<Draw>().is_err(), "{text}");
    }
}

#[test]
fn pauses_change_nothing_of_what_a_state_answers() {
    let bundle = small_bundle(|bundle| !bundle.block.block().body.transactions.is_empty());
    let executor = Executor::new(1).expect("threads");
    let case = Case::new(&bundle, &executor);
    let Case { block, rules, view } = &case;
    let noisy = Noisy::new(view, 5);
    let executed = executor.execute(Mode::Seq, block, rules, &noisy, Scope::Recorded);
    let executed = executed.map(|execution| execution.outcome);
    assert!(executed.is_ok());
    assert_eq!(executed, sequential(&case, &executor));
}

/// A change after which a block is invalid, or which makes it another valid one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Damage {
    /// A transaction is gone that another one of its sender follows.
    Gap,
    /// Two of one sender have changed places.
    Swapped,
    /// A transaction comes again at the end.
    Twice,
    /// A sender has nothing.
    Poor,
    /// The block may use half of the gas that it does.
    Full,
}

impl Damage {
    const ALL: [Self; 5] = [Self::Gap, Self::Swapped, Self::Twice, Self::Poor, Self::Full];

    /// Whether the block has to be invalid: nonces are handed out once.
    fn is_fatal(self) -> bool {
        matches!(self, Self::Gap | Self::Swapped | Self::Twice)
    }

    /// The bundle after it; `None` if there is nothing to be damaged in this way.
    fn of(self, bundle: &Bundle, senders: &[Address], rng: &mut Rng) -> Option<Bundle> {
        let mut bundle = bundle.clone();
        let mut block = bundle.block.block().clone();
        let Block { header, body } = &mut block;
        let txs = &mut body.transactions;
        let later =
            |index: usize| (index + 1..senders.len()).find(|n| senders[*n] == senders[index]);
        let followed: Vec<(usize, usize)> =
            (0..senders.len()).filter_map(|index| Some((index, later(index)?))).collect();
        match self {
            Self::Gap | Self::Swapped => {
                let (index, next) = *followed.get(rng.index(followed.len()))?;
                if self == Self::Gap {
                    txs.remove(index);
                } else {
                    txs.swap(index, next);
                }
            }
            Self::Twice => {
                let index = rng.index(txs.len());
                // A blob more may be one too many, which is found before execution.
                let again = txs.get(index).cloned().filter(|tx| tx.blob_gas_used().is_none())?;
                txs.push(again);
            }
            Self::Poor => {
                let sender = senders.get(rng.index(senders.len()))?;
                bundle.state.as_mut()?.accounts.get_mut(sender)?.balance = U256::ZERO;
            }
            Self::Full => {
                header.gas_limit = (header.gas_used / 2).max(5_000);
                header.gas_used = 0;
            }
        }
        bundle.block = seal_body(block);
        Some(bundle)
    }
}

/// What each mode on each number of threads gives for a block that may be invalid.
fn answers(
    bundle: &Bundle,
    executors: &[Executor],
    noise: u64,
) -> Vec<(String, Result<BlockOutcome, BlockError>)> {
    let case = Case::new(bundle, &executors[0]);
    let mut answers = vec![("seq".to_owned(), sequential(&case, &executors[0]))];
    for executor in executors {
        for mode in MODES {
            let view = Noisy::new(&case.view, noise);
            let Case { block, rules, .. } = &case;
            let executed = executor.execute(mode, block, rules, &view, Scope::Recorded);
            let executed = executed.map(|execution| execution.outcome);
            answers.push((format!("{mode} on {} threads", executor.threads()), executed));
        }
    }
    answers
}

/// Where two answers part, in less than all of both.
fn parting(
    expected: &Result<BlockOutcome, BlockError>,
    found: &Result<BlockOutcome, BlockError>,
) -> String {
    match (expected, found) {
        (Ok(expected), Ok(found)) => first_divergence(expected, found)
            .map_or("differs in what is not compared".to_owned(), |what| what.to_string()),
        (Ok(_), Err(error)) => format!("{error}, of a valid block"),
        (Err(error), Ok(_)) => format!("no {error}"),
        (Err(expected), Err(found)) => format!("{found}, in place of {expected}"),
    }
}

#[test]
fn damaged_random_blocks_are_answered_alike_and_in_time() {
    let executors = Arc::new(executors());
    let mut invalid = [0; Damage::ALL.len()];
    for seed in 0..u64::from(cases_per_fork().div_ceil(2)) {
        for fork in FORKS {
            let bundles = build(&random(seed, fork, 40)).expect("a random scenario");
            let bundle = &bundles[0];
            let senders = Case::new(bundle, &executors[0]).block.senders().to_vec();
            let mut rng = Rng::new(seed).fork(fork.name());
            for (damage, invalid) in Damage::ALL.into_iter().zip(&mut invalid) {
                let Some(damaged) = damage.of(bundle, &senders, &mut rng) else { continue };
                let what = format!("seed {seed}, {fork}, {damage:?}");
                let (noise, lent) = (rng.draw(), executors.clone());
                let answers = in_time(&what, move || answers(&damaged, &lent, noise));
                let expected = &answers[0].1;
                let is_invalid = matches!(expected, Err(BlockError::Invalid(_)));
                assert!(is_invalid || !damage.is_fatal(), "{what}: {expected:?}");
                assert!(is_invalid || expected.is_ok(), "{what}: {expected:?}");
                *invalid += usize::from(is_invalid);
                for (who, answer) in &answers {
                    assert!(answer == expected, "{what}: {who}: {}", parting(expected, answer));
                }
            }
        }
    }
    for (damage, invalid) in Damage::ALL.into_iter().zip(invalid) {
        assert!(invalid >= FORKS.len() / 2, "{damage:?} made {invalid} blocks invalid");
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
    Bundle { block: seal_body(block), ..bundle.clone() }
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
    let executors = Arc::new(executors());
    for (index, tx, reason) in cases {
        let changed = with_transaction(&bundle, index, tx);
        let what = format!("{reason} at {index} of {count}");
        let lent = executors.clone();
        let answers = in_time(&what, move || answers(&changed, &lent, 1));
        for (who, answer) in &answers {
            let Err(BlockError::Invalid(InvalidBlock::Transaction {
                index: found,
                reason: named,
                ..
            })) = answer
            else {
                panic!("{what}: {who}: {answer:?}");
            };
            assert_eq!(*found, index, "{what}: {who}");
            assert!(named.names().contains(&reason), "{what}: {who}: {named}");
            assert_eq!(*answer, answers[0].1, "{what}: {who}");
        }
    }
}

/// Pairs of transactions, or triples, of the scenarios below.
const PAIRS: u8 = 24;
/// How often such a block is run on each number of threads: who runs what is left to chance.
const RUNS: usize = 4;

/// Runs the blocks of a script in all modes.
fn check_script(script: Script) {
    let executors = executors();
    let bundles = build(&script.end(Address::repeat_byte(0xfe)));
    for bundle in bundles.unwrap_or_else(|error| panic!("{error}")) {
        let case = Case::new(&bundle, &executors[0]);
        for _ in 0..RUNS {
            compare(&case, &executors).unwrap_or_else(|wrong| panic!("{wrong}"));
        }
    }
}

fn call(to: Address, input: Bytes) -> Call {
    let to = TxKind::Call(to);
    let (value, access) = (U256::ZERO, None);
    Call { to, value, input, gas: 100_000, fresh: 1, fee: Fee::Usual, access, blobs: 0 }
}

/// A slot is set, read by another contract, and set back: no diff of a lane shows it.
#[test]
fn what_a_block_changes_and_changes_back_is_seen_in_between() {
    /// With data: SSTORE(0, CALLDATALOAD(0)); without: RETURN(SLOAD(0)).
    const KEEPER: [u8; 23] = [
        0x36, 0x60, 0x0f, 0x57, 0x60, 0, 0x54, 0x60, 0, 0x52, 0x60, 0x20, 0x60, 0, 0xf3, 0x5b,
        0x60, 0, 0x35, 0x60, 0, 0x55, 0x00,
    ];
    let mut script = Script::new("changed-back", "slots that are set back", 1, Fork::Cancun);
    let at = |kind: u8, index: u8| {
        let mut bytes = [kind; 20];
        bytes[19] = index;
        Address::from(bytes)
    };
    for index in 0..PAIRS {
        let (keeper, reader) = (at(0xc1, index), at(0xc2, index));
        script.place(keeper, Bytes::copy_from_slice(&KEEPER), U256::ZERO, &[]);
        // SSTORE(0, STATICCALL(keeper))
        let mut code = vec![0x60, 0x20, 0x60, 0, 0x60, 0, 0x60, 0, 0x73];
        code.extend_from_slice(keeper.as_slice());
        code.extend_from_slice(&[0x5a, 0xfa, 0x50, 0x60, 0, 0x51, 0x60, 0, 0x55, 0x00]);
        script.place(reader, code.into(), U256::ZERO, &[]);
    }
    let word = |value: u64| Bytes::from(U256::from(value).to_be_bytes::<32>());
    for (kind, input) in [(0xc1, word(1)), (0xc2, Bytes::new()), (0xc1, word(0))] {
        for index in 0..PAIRS {
            let user = script.user();
            script.send(user, call(at(kind, index), input.clone()));
        }
    }
    check_script(script);
}

/// Nobody is there for having been touched: an authority gets no refund for it.
#[test]
fn authorities_that_were_touched_in_vain_are_none_in_every_mode() {
    let mut script = Script::new("touched-in-vain", "authorities that are none", 1, Fork::Prague);
    let delegate = Address::repeat_byte(0xc0);
    let strangers: Vec<Wallet> = (0..PAIRS).map(|_| script.stranger()).collect();
    for stranger in &strangers {
        let user = script.user();
        script.send(user, call(stranger.address(), Bytes::new()));
    }
    for stranger in &strangers {
        let user = script.user();
        script.delegate(user, &[Grant::To(*stranger, delegate)], call(delegate, Bytes::new()));
    }
    check_script(script);
}

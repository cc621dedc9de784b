//! The parallel modes against sequential execution: generated blocks, recorded blocks of mainnet,
//! random blocks with random schedules, of which it is counted how they ran.

use crate::{
    noisy::Noisy,
    support::{Case, bundle_files, generated, recorded, root, small_bundle},
};
use fugue_archive::{Bundle, BundleReader, write_zstd};
use fugue_chainspec::Fork;
use fugue_executor::{
    BlockError, BlockOutcome, Execution, Executor, FallbackCause, LaneFault, ListFault, Mode,
    PreparedBlock, Report, Scope, Way, first_divergence,
};
use fugue_state::StateView;
use fugue_types::{Address, Bytes, TxKind, U256};
use fugue_workload::{
    Call, FORKS, Fee, Grant, Scenario, Script, Trial, Wallet, build, random, random_without_empty,
    reduce,
};
use proptest::{
    prelude::any,
    strategy::Strategy,
    test_runner::{Config, TestCaseError, TestError, TestRunner},
};
use std::{
    cell::RefCell,
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
};

/// Modes that are compared with the sequential one. In [`Mode::Bal`] a block has the access list of
/// its sequential run, in the others none.
pub(crate) const MODES: [Mode; 4] = [Mode::Occ, Mode::Bal, Mode::Lanes, Mode::Auto];
/// Numbers of threads that a block is run on.
const THREADS: [usize; 5] = [1, 2, 3, 8, 16];
/// Random scenarios, unless `FUGUE_CASES` says how many; each fork has at least two, and those
/// before Byzantium half as many.
const RANDOM_CASES: u32 = 32;
/// Transactions of a random scenario: of most with more than sixty [`Mode::Auto`] thinks that they
/// pay in parallel.
const RANDOM_TXS: std::ops::RangeInclusive<usize> = 20..=80;
/// Of so many random scenarios one has accounts that are there and empty.
pub(crate) const EMPTY_EVERY: usize = 4;
/// Runs of a hundred in [`Mode::Lanes`] that have to stay in lanes, on all forks together that let
/// them: of blocks that are known, and of random ones, also with pauses. Who disturbs whom is left
/// to chance; without pauses hardly any run is given up for it.
const LANES_PERCENT_MIN: usize = 90;
const RANDOM_LANES_PERCENT_MIN: usize = 40;
/// How often a failing scenario is made shorter.
const SHRINKS_MAX: u32 = 16;
/// How often a smaller block is run on each number of threads before it counts as a good one, and
/// how many of them are run at most.
const TRIES: u64 = 3;
const TRIALS_MAX: usize = 400;

/// An executor for each number of threads.
pub(crate) fn executors() -> Vec<Executor> {
    THREADS
        .iter()
        .map(|threads| Executor::new(*threads).expect("threads").on_all_threads())
        .collect()
}

/// How many random scenarios there are of each fork.
pub(crate) fn cases_per_fork() -> u32 {
    let asked = std::env::var("FUGUE_CASES").ok();
    let cases = asked.map_or(RANDOM_CASES, |cases| cases.parse().expect("FUGUE_CASES: a number"));
    cases.div_ceil(FORKS.len() as u32).max(2)
}

/// What sequential execution gives.
pub(crate) fn sequential(case: &Case, executor: &Executor) -> Result<BlockOutcome, BlockError> {
    let Case { block, rules, view } = case;
    let executed = executor.execute(Mode::Seq, block, rules, view, Scope::Recorded);
    executed.map(|execution| execution.outcome)
}

/// Where two answers part, in less than all of both.
pub(crate) fn parting(
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

/// A block that all modes are to give the same for.
struct Subject<'c> {
    case: &'c Case,
    /// What sequential execution gives.
    expected: BlockOutcome,
    /// The block with its access list.
    listed: PreparedBlock,
    /// Some account is there and empty before the block.
    has_empty: bool,
}

impl<'c> Subject<'c> {
    fn new(case: &'c Case, executors: &[Executor]) -> Result<Self, String> {
        let executor = executors.first().ok_or("no executor")?;
        let expected = sequential(case, executor).map_err(|error| format!("seq: {error}"))?;
        let Case { block, rules, view } = case;
        let listed = executor.list_accesses(block, rules, view, Scope::Recorded);
        let (outcome, list) = listed.map_err(|error| format!("seq with a list: {error}"))?;
        if outcome != expected {
            let parting = parting(&Ok(expected), &Ok(outcome));
            return Err(format!("seq with a list: {parting}"));
        }
        let has_empty = view.accounts.values().any(|found| found.account.is_empty());
        let listed = block.clone().with_access_list(Arc::new(list));
        Ok(Self { case, expected, listed, has_empty })
    }

    /// The report of a parallel run that gives what is expected; else what is wrong.
    fn run(&self, mode: Mode, executor: &Executor, view: &dyn StateView) -> Result<Report, String> {
        let Self { case, expected, listed, has_empty } = self;
        let wrong = |what: String| Err(format!("{mode} on {} threads: {what}", executor.threads()));
        let block = if mode == Mode::Bal { listed } else { &case.block };
        let run = executor.execute(mode, block, &case.rules, view, Scope::Recorded);
        let Execution { outcome, report } = match run {
            Ok(execution) => execution,
            Err(error) => return wrong(error.to_string()),
        };
        if let Some(fallback) = &report.fallback
            && !is_unfit(&fallback.cause, *has_empty)
        {
            return wrong(format!("the parallel run was dropped: {}", fallback.cause));
        }
        if let Some(divergence) = first_divergence(expected, &outcome) {
            return wrong(divergence.to_string());
        }
        if outcome != *expected {
            return wrong("a difference that first_divergence does not see".to_owned());
        }
        Ok(report)
    }
}

/// Whether a parallel run has found a block to be none for its way, and nothing else is wrong:
/// where an account is there and empty, lanes and lists cannot follow what becomes of it.
fn is_unfit(cause: &FallbackCause, has_empty: bool) -> bool {
    match cause {
        FallbackCause::Lanes(LaneFault::Empty(_)) => has_empty,
        FallbackCause::Lanes(_) => true,
        FallbackCause::List(fault) => match &**fault {
            ListFault::Step { what, .. } => {
                has_empty && ["account", "storage"].contains(&what.field)
            }
            _ => false,
        },
        FallbackCause::Block(_) => false,
    }
}

/// Runs a block sequentially, then in each mode on each executor, and tells of each run.
fn compare(
    case: &Case,
    executors: &[Executor],
    tell: &mut dyn FnMut(&Report),
) -> Result<(), String> {
    let subject = Subject::new(case, executors)?;
    let promised = case.block.block().block().header.gas_used;
    if subject.expected.gas_used != promised {
        return Err(format!("gas used is {}, not {promised}", subject.expected.gas_used));
    }
    for executor in executors {
        for mode in MODES {
            tell(&subject.run(mode, executor, &case.view)?);
        }
    }
    Ok(())
}

/// The same on a state that answers with pauses.
fn compare_noisily(
    case: &Case,
    executors: &[Executor],
    noise: u64,
    tell: &mut dyn FnMut(&Report),
) -> Result<(), String> {
    let subject = Subject::new(case, executors)?;
    for (number, executor) in (0..).zip(executors) {
        for mode in MODES {
            let view = Noisy::new(&case.view, noise.wrapping_add(number));
            let ran = subject.run(mode, executor, &view);
            tell(&ran.map_err(|wrong| format!("{wrong} (with pauses)"))?);
        }
    }
    Ok(())
}

/// The commands that run a block in all modes.
fn replay_commands(path: &Path) -> String {
    let (path, lists) = (path.display(), root().join("target/equivalence/lists"));
    let lists = lists.display();
    format!(
        "fugue replay {path} --mode seq --write-bal {lists} && \
         fugue replay {path} --mode all --bal {lists} --threads 16 --rounds 100"
    )
}

/// Compares the modes on every bundle below a folder.
fn check_folder(folder: &Path) {
    let executors = executors();
    let mut reader = BundleReader::new();
    let mut most_active: BTreeMap<usize, usize> = BTreeMap::new();
    let mut ways = Ways::default();
    for path in bundle_files(folder) {
        let bundle = reader.read(&path).unwrap_or_else(|error| panic!("{error}"));
        let case = Case::new(&bundle, &executors[0]);
        let compared = compare(&case, &executors, &mut |report: &Report| {
            let most = most_active.entry(report.threads).or_default();
            *most = report.stats.active_threads.max(*most);
            ways.count(case.rules.fork, report, &|| replay_commands(&path));
        });
        compared.unwrap_or_else(|wrong| panic!("{wrong}\n{}", replay_commands(&path)));
    }
    for threads in THREADS {
        let (most, expected) = (most_active.get(&threads), threads.min(2));
        assert!(most >= Some(&expected), "on {threads} threads never more than {most:?} had work");
    }
    ways.check(LANES_PERCENT_MIN);
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
/// `SEED:FORK:TXS:NOISE:EMPTY`.
#[derive(Debug, Clone, Copy)]
struct Draw {
    seed: u64,
    fork: Fork,
    txs: usize,
    noise: u64,
    /// Some accounts are there and empty.
    has_empty: bool,
}

impl fmt::Display for Draw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, fork, txs, noise, has_empty } = self;
        write!(f, "{seed}:{fork}:{txs}:{noise}:{has_empty}")
    }
}

impl FromStr for Draw {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split(':').collect();
        let [seed, fork, txs, noise, has_empty] = parts[..] else {
            return Err("SEED:FORK:TXS:NOISE:EMPTY".to_owned());
        };
        let number = |part: &str| part.parse::<u64>().map_err(|error| error.to_string());
        let (seed, txs, noise) = (number(seed)?, number(txs)? as usize, number(noise)?);
        let fork = Fork::from_str(fork).map_err(|_| format!("no fork {fork}"))?;
        let has_empty = has_empty.parse::<bool>().map_err(|error| error.to_string())?;
        Ok(Self { seed, fork, txs, noise, has_empty })
    }
}

impl Draw {
    fn bundles(&self) -> Vec<Bundle> {
        let Self { seed, fork, txs, has_empty, .. } = *self;
        let scenario = random_scenario(has_empty, seed, fork, txs);
        build(&scenario).unwrap_or_else(|error| panic!("{self}: {error}"))
    }

    /// The command that runs it again.
    fn command(&self) -> String {
        let test = "random_blocks_execute_equally_in_all_modes";
        format!("FUGUE_DRAW={self} cargo nextest run --release -p fugue-tests {test}")
    }
}

/// A random scenario, with or without accounts that are there and empty.
pub(crate) fn random_scenario(has_empty: bool, seed: u64, fork: Fork, txs: usize) -> Scenario {
    let write = if has_empty { random } else { random_without_empty };
    write(seed, fork, txs)
}

/// How often blocks ran in a mode, on several threads.
#[derive(Debug, Default)]
struct Count {
    runs: usize,
    /// They went to their end on the way that the mode names.
    own: usize,
    /// One that did not, and why.
    other: Option<String>,
}

/// How blocks ran: of each fork, in each mode.
#[derive(Debug, Default)]
struct Ways(BTreeMap<Fork, [Count; MODES.len()]>);

impl Ways {
    /// `again` is what runs the block once more.
    fn count(&mut self, fork: Fork, report: &Report, again: &dyn Fn() -> String) {
        // On one thread no two transactions run at once, whatever the way.
        let mode = MODES.iter().position(|mode| *mode == report.mode && report.threads > 1);
        let Some(mode) = mode else { return };
        let count = &mut self.0.entry(fork).or_default()[mode];
        count.runs += 1;
        if has_own_way(report) {
            count.own += 1;
        } else {
            count.other.get_or_insert_with(|| {
                let Report { way, threads, fallback, .. } = report;
                let cause = fallback.as_ref().map(|fallback| fallback.cause.to_string());
                let cause =
                    cause.unwrap_or_else(|| "by the rules, or as it would not pay".to_owned());
                format!("{way} on {threads} threads, {cause}:\n{}", again())
            });
        }
    }

    /// Fails if blocks ran in a mode, but not as it names: of all forks together so many of a
    /// hundred in lanes, and of each any.
    fn check(&self, lanes_percent_min: usize) {
        for (place, mode) in MODES.into_iter().enumerate() {
            let least = match mode {
                Mode::Seq | Mode::Occ | Mode::Bal => 100,
                Mode::Lanes => lanes_percent_min,
                Mode::Auto => 0,
            };
            let (mut all, mut all_own, mut one) = (0_usize, 0_usize, "");
            for (fork, counts) in self.0.iter().filter(|(fork, _)| has_way(mode, **fork)) {
                let Count { runs, own, other } = &counts[place];
                (all, all_own) = (all + runs, all_own + own);
                one = other.as_deref().unwrap_or(one);
                // In `auto` it is said of no fork how many blocks have to pay.
                let is_enough = *own > 0 || mode == Mode::Auto;
                assert!(is_enough, "{fork}: none went the way of {mode}\n{self}such as: {one}");
            }
            assert!(
                all_own > 0 && all_own * 100 >= all * least,
                "less than {least} of 100 runs went the way of {mode}\n{self}such as: {one}"
            );
        }
    }
}

impl fmt::Display for Ways {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heads = MODES.map(|mode| format!("{:>12}", mode.to_string()));
        writeln!(f, "own way, runs   {}", heads.concat())?;
        for (fork, counts) in &self.0 {
            let cells = counts.iter().map(|Count { runs, own, .. }| format!("{own} of {runs}"));
            let cells: String = cells.map(|cell| format!("{cell:>12}")).collect();
            writeln!(f, "{:16}{cells}", fork.to_string())?;
        }
        Ok(())
    }
}

/// Whether a block went to its end on the way that its mode names; in [`Mode::Auto`] on any but the
/// sequential one.
fn has_own_way(report: &Report) -> bool {
    let is_own = match report.mode {
        Mode::Seq => matches!(report.way, Way::Sequential(_)),
        Mode::Occ => report.way == Way::Optimistic,
        Mode::Bal => report.way == Way::List,
        Mode::Lanes => report.way == Way::Lanes,
        Mode::Auto => !matches!(report.way, Way::Sequential(_)),
    };
    is_own && report.fallback.is_none()
}

/// Whether the rules of a fork let blocks run on the way that a mode names.
fn has_way(mode: Mode, fork: Fork) -> bool {
    match mode {
        Mode::Seq | Mode::Occ | Mode::Auto => true,
        Mode::Bal => fork >= Fork::Byzantium,
        Mode::Lanes => (Fork::Byzantium..Fork::Amsterdam).contains(&fork),
    }
}

/// The first block of a draw on which a mode differs, and how.
fn check_draw(
    draw: &Draw,
    executors: &[Executor],
    ways: &mut Ways,
) -> Result<(), (Box<Bundle>, String)> {
    // Of blocks that touch an empty account it is not said how many can stay on their way.
    let mut tell = |report: &Report| {
        if !draw.has_empty {
            ways.count(draw.fork, report, &|| draw.command());
        }
    };
    // One thread does the same whatever pauses there are.
    let disturbed = &executors[1..];
    for bundle in draw.bundles() {
        let case = Case::new(&bundle, &executors[0]);
        let compared = compare(&case, executors, &mut tell)
            .and_then(|()| compare_noisily(&case, disturbed, draw.noise, &mut tell));
        compared.map_err(|wrong| (Box::new(bundle), wrong))?;
    }
    Ok(())
}

/// Writes blocks where the build is; gives the path.
fn keep(name: &str, draw: &Draw, bundle: &Bundle) -> Option<PathBuf> {
    let folder = root().join("target/equivalence");
    std::fs::create_dir_all(&folder).ok()?;
    let path = folder.join(format!("{}-{}-{name}.json.zst", draw.seed, draw.fork));
    let json = bundle.to_json(&draw.fork.to_string()).ok()?;
    write_zstd(&path, &json, 3).ok()?;
    Some(path)
}

/// What is left of a block that is not needed for a mode to differ, written to a file.
fn smallest(bundle: &Bundle, draw: &Draw, executors: &[Executor]) -> Option<(PathBuf, String)> {
    let senders = Case::new(bundle, &executors[0]).block.senders().to_vec();
    let differs = |trial: &Trial| {
        let case = Case::new(trial.bundle(), &executors[0]);
        // What has become invalid says nothing of the modes.
        sequential(&case, &executors[0]).ok()?;
        let tries = (0..TRIES).map(|number| draw.noise.wrapping_add(number << 32));
        // The access list is that of this smaller block.
        let compare = |noise| compare_noisily(&case, executors, noise, &mut |_| ());
        tries.map(compare).find_map(Result::err)
    };
    let trial = Trial::new(bundle.clone(), senders);
    let reduced = reduce(trial, differs, |_, trials| trials < TRIALS_MAX)?;
    let case = Case::new(reduced.trial.bundle(), &executors[0]);
    let outcome = sequential(&case, &executors[0]).ok()?;
    let path = keep("smallest", draw, &reduced.trial.promising(&outcome, &case.rules))?;
    Some((path, format!("{}: {}", reduced.trial.size(), reduced.difference)))
}

/// Fails with everything that it takes to look into it.
fn fail(draw: &Draw, executors: &[Executor], reason: &str) -> ! {
    let again = check_draw(draw, executors, &mut Ways::default()).err();
    let smallest = again.and_then(|(bundle, _)| smallest(&bundle, draw, executors));
    let smallest = smallest
        .map_or("no smaller one differs each time".to_owned(), |(path, what)| {
            format!("{what}\n{}", replay_commands(&path))
        });
    let blocks = draw.bundles().into_iter().zip(1_u32..);
    let blocks = blocks.filter_map(|(bundle, number)| keep(&number.to_string(), draw, &bundle));
    let blocks: Vec<String> = blocks.map(|path| replay_commands(&path)).collect();
    panic!(
        "{reason}\nagain, with the same pauses:\n{}\nthe blocks:\n{}\n\
         the smallest block: {smallest}",
        draw.command(),
        blocks.join("\n")
    );
}

#[test]
fn random_blocks_execute_equally_in_all_modes() {
    let executors = executors();
    let ways = RefCell::new(Ways::default());
    let check = |draw: &Draw| check_draw(draw, &executors, &mut ways.borrow_mut());
    if let Ok(draw) = std::env::var("FUGUE_DRAW") {
        let draw: Draw = draw.parse().unwrap_or_else(|error| panic!("FUGUE_DRAW: {error}"));
        if let Err((_, wrong)) = check(&draw) {
            fail(&draw, &executors, &wrong);
        }
        eprintln!("{}", ways.borrow());
        return;
    }
    // The forks take turns with their empty accounts, so that no fork has them in most blocks.
    let cases = FORKS.into_iter().enumerate().flat_map(|(place, fork)| {
        // Of the modes only `occ` is another one than `seq` before Byzantium.
        let cases = cases_per_fork() as usize;
        let cases = if fork < Fork::Byzantium { cases.div_ceil(2) } else { cases };
        let has_empty = move |case: usize| (place + case).is_multiple_of(EMPTY_EVERY);
        (0..cases).map(move |case| (fork, has_empty(case)))
    });
    for (fork, has_empty) in cases {
        let config = Config {
            cases: 1,
            max_shrink_iters: SHRINKS_MAX,
            failure_persistence: None,
            ..Config::default()
        };
        // A scenario with fewer transactions begins with the same ones. Another seed is another
        // scenario, and no smaller one.
        let input = (any::<u64>().no_shrink(), RANDOM_TXS, any::<u64>().no_shrink());
        let draw = |(seed, txs, noise)| Draw { seed, fork, txs, noise, has_empty };
        let tested = TestRunner::new(config).run(&input, |drawn| {
            check(&draw(drawn)).map_err(|(_, wrong)| TestCaseError::fail(wrong))
        });
        match tested {
            Ok(()) => {}
            Err(TestError::Fail(reason, drawn)) => {
                fail(&draw(drawn), &executors, &reason.to_string());
            }
            Err(TestError::Abort(reason)) => panic!("{reason}"),
        }
    }
    ways.borrow().check(RANDOM_LANES_PERCENT_MIN);
}

#[test]
fn a_draw_is_read_as_it_is_written() {
    for text in ["7:Osaka:30:18446744073709551615:false", "0:Frontier:1:0:true"] {
        let draw: Draw = text.parse().expect("a draw");
        assert_eq!(draw.to_string(), text);
    }
    let wrong = ["", "7:Osaka:30:1", "7:Osaka:30:1:1", "7:Nowhere:30:1:true", "x:Osaka:30:1:true"];
    for text in wrong {
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

#[test]
fn a_list_that_forgets_an_account_is_no_reason_to_leave_it() {
    let executors = executors();
    // From a fork whose blocks run by lists.
    let bundle = small_bundle(|bundle| {
        let block = bundle.block.block();
        block.header.base_fee_per_gas.is_some() && !block.body.transactions.is_empty()
    });
    let case = Case::new(&bundle, &executors[0]);
    let mut subject = Subject::new(&case, &executors).expect("a good block");
    let run = |subject: &Subject<'_>| subject.run(Mode::Bal, &executors[1], &case.view);
    assert!(has_own_way(&run(&subject).expect("a right list")));
    let mut list = subject.listed.access_list().expect("a list").to_vec();
    assert!(list.pop().is_some());
    subject.listed = case.block.clone().with_access_list(Arc::new(list));
    let wrong = run(&subject).expect_err("an account is not there");
    assert!(wrong.contains("the parallel run was dropped: access list"), "{wrong}");
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
            let compared = compare(&case, &executors, &mut |_| ());
            compared.unwrap_or_else(|wrong| panic!("{wrong}"));
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

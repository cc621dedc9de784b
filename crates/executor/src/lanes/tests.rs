//! Blocks in lanes that disturb one another in a known way: each transaction is put into the lane
//! that the test names, or the workers meet before they go on.

pub(super) mod bugs;
mod chains;
mod cores;
mod disturbed;
mod guesses;
mod listening;
mod observed;
mod payments;
mod settled;
mod spent;
mod taught;
mod workers;

use super::{running::Running, *};
use crate::{Execution, Executor, InvalidBlock, Mode, Way, WhySequential};
use alloy_consensus::{Signed, TxLegacy};
use fugue_chainspec::ChainSpec;
use fugue_state::{Account, Guarded, MemoryAccount, MemoryState, Question};
use fugue_types::{
    B256, Block, BlockBody, Bytes, KECCAK256_EMPTY, SealedBlock, SenderCount, Transaction, TxKind,
    U256, Withdrawal, Withdrawals, keccak256,
};
use std::{
    collections::BTreeSet,
    convert::Infallible,
    sync::{Arc, Barrier},
    time::Duration,
};

const ALICE: Address = Address::repeat_byte(0xa1);
const BOB: Address = Address::repeat_byte(0xa2);
/// Has nothing, and is not there.
const POOR: Address = Address::repeat_byte(0xa3);
const PAYEE: Address = Address::repeat_byte(0xb0);
const STRANGER: Address = Address::repeat_byte(0xb1);
const EMPTY: Address = Address::repeat_byte(0xb2);
const COUNTER: Address = Address::repeat_byte(0xc0);
const KEEPER: Address = Address::repeat_byte(0xc1);
const MORTAL: Address = Address::repeat_byte(0xc2);
const FACTORY: Address = Address::repeat_byte(0xc3);
/// Two that call the counter, and two that hand on what they are paid to the empty account.
const COUNTS_TOO: [Address; 2] = [Address::repeat_byte(0xd0), Address::repeat_byte(0xd1)];
const HANDS_ON: [Address; 2] = [Address::repeat_byte(0xd2), Address::repeat_byte(0xd3)];
const AUTHOR: Address = Address::repeat_byte(0xfe);
/// Adds one to slot 0: SSTORE(0, SLOAD(0) + 1).
const COUNTS: &[u8] = &[0x60, 0, 0x54, 0x60, 1, 0x01, 0x60, 0, 0x55];
/// Given one word logs the value of that slot; given two, stores the second one at the first.
const KEEPS: &[u8] = &[
    0x36, 0x60, 32, 0x14, 0x60, 15, 0x57, 0x60, 32, 0x35, 0x60, 0, 0x35, 0x55, 0x00, 0x5b, 0x60, 0,
    0x35, 0x54, 0x60, 0, 0x52, 0x60, 32, 0x60, 0, 0xa0,
];
/// Ends itself: SELFDESTRUCT(CALLER).
const ENDS: &[u8] = &[0x33, 0xff];
/// Stores 5 at slot 1, and deploys what ends itself.
const INIT: &[u8] =
    &[0x60, 5, 0x60, 1, 0x55, 0x61, 0x33, 0xff, 0x60, 0, 0x52, 0x60, 2, 0x60, 30, 0xf3];

/// Creates a contract by [`INIT`]: CREATE2(0, 16, 16, 0).
fn creates() -> Vec<u8> {
    let tail = [0x60, 0, 0x52, 0x60, 0, 0x60, 16, 0x60, 16, 0x60, 0, 0xf5];
    [&[0x6f][..], INIT, &tail[..]].concat()
}

fn child() -> Address {
    FACTORY.create2(B256::ZERO, keccak256(INIT))
}

/// Calls an account with what was paid: CALL(GAS, address, CALLVALUE, 0, 0, 0, 0).
fn hands_on(address: Address) -> Vec<u8> {
    let head = [0x60, 0, 0x60, 0, 0x60, 0, 0x60, 0, 0x34, 0x73];
    [&head[..], address.as_slice(), &[0x5a, 0xf1][..]].concat()
}

/// Adds an account to a state, or puts it in place of what is there.
fn put(state: &mut MemoryState, address: Address, balance: u64, code: &[u8], slots: &[(u64, u64)]) {
    let code = Bytes::copy_from_slice(code);
    let code_hash = if code.is_empty() { KECCAK256_EMPTY } else { keccak256(&code) };
    let nonce = u64::from(!code.is_empty());
    let account = Account { nonce, balance: U256::from(balance), code_hash };
    let slots = slots.iter().map(|(slot, value)| (U256::from(*slot), U256::from(*value)));
    let slots = slots.collect();
    state.accounts.insert(address, MemoryAccount { account, slots });
    if nonce > 0 {
        state.codes.insert(code_hash, code);
    }
}

fn state() -> MemoryState {
    let mut state = MemoryState::default();
    let mut add = |address, balance, code: &[u8], slots: &[(u64, u64)]| {
        put(&mut state, address, balance, code, slots);
    };
    for rich in [ALICE, BOB] {
        add(rich, 1_000_000_000_000_000_000, &[], &[]);
    }
    for (address, balance) in [(PAYEE, 1), (AUTHOR, 1), (EMPTY, 0)] {
        add(address, balance, &[], &[]);
    }
    add(COUNTER, 0, COUNTS, &[(0, 7)]);
    add(KEEPER, 0, KEEPS, &[(5, 9), (6, 9)]);
    add(MORTAL, 3, ENDS, &[(1, 1)]);
    add(FACTORY, 0, &creates(), &[]);
    for address in COUNTS_TOO {
        add(address, 0, &hands_on(COUNTER), &[]);
    }
    for address in HANDS_ON {
        add(address, 0, &hands_on(EMPTY), &[]);
    }
    state
}

type Sent = (Address, Transaction);

fn tx(sender: Address, nonce: u64, to: Address, value: u64, input: &[u8]) -> Sent {
    with_gas(500_000, sender, nonce, to, value, input)
}

fn with_gas(
    gas_limit: u64,
    sender: Address,
    nonce: u64,
    to: Address,
    value: u64,
    input: &[u8],
) -> Sent {
    let tx = TxLegacy {
        chain_id: None,
        nonce,
        gas_price: 10,
        gas_limit,
        to: TxKind::Call(to),
        value: U256::from(value),
        input: Bytes::copy_from_slice(input),
    };
    // The senders are given: nobody looks at the signature.
    let signature = format!("{:0>64}{:0>64}1b", "1", "1").parse().expect("a signature");
    (sender, Transaction::Legacy(Signed::new_unhashed(tx, signature)))
}

fn pay(sender: Address, nonce: u64, to: Address, value: u64) -> Sent {
    tx(sender, nonce, to, value, &[])
}

/// A payment with no gas for anything else.
fn transfer(sender: Address, nonce: u64, to: Address, value: u64) -> Sent {
    with_gas(PAYMENT_GAS, sender, nonce, to, value, &[])
}

fn call(sender: Address, nonce: u64, to: Address, value: u64) -> Sent {
    tx(sender, nonce, to, value, &[1])
}

fn look(sender: Address, nonce: u64, slot: u64) -> Sent {
    tx(sender, nonce, KEEPER, 0, &U256::from(slot).to_be_bytes::<32>())
}

fn store(sender: Address, nonce: u64, slot: u64, value: u64) -> Sent {
    let words = [slot, value].map(|word| U256::from(word).to_be_bytes::<32>());
    tx(sender, nonce, KEEPER, 0, &words.concat())
}

/// A block and the state before it.
struct Ground {
    executor: Executor,
    block: PreparedBlock,
    rules: Rules,
    state: MemoryState,
    /// Where it is noted what is run in lanes; not by [`Ground::execute`].
    runs: Option<RunLog>,
}

impl Ground {
    fn new(fork: Fork, txs: &[Sent]) -> Self {
        Self::with_threads(fork, txs, 2)
    }

    fn with_threads(fork: Fork, txs: &[Sent], threads: usize) -> Self {
        let root = (fork >= Fork::Cancun).then_some(B256::repeat_byte(0xbb));
        let header = Header {
            number: 1,
            gas_limit: 30_000_000,
            // It is not compared with what is used.
            gas_used: 20_000_000,
            beneficiary: AUTHOR,
            base_fee_per_gas: (fork >= Fork::London).then_some(7),
            parent_beacon_block_root: root,
            excess_blob_gas: root.map(|_| 0),
            ..Header::default()
        };
        let rules = ChainSpec::at_fork(1, fork).rules(&header);
        // To whom transactions pay, or look at, as well.
        let withdrawal = |address| Withdrawal { address, amount: 3, ..Withdrawal::default() };
        let withdrawals = || Withdrawals::new([COUNTER, POOR].map(withdrawal).to_vec());
        let withdrawals = (fork >= Fork::Shanghai).then(withdrawals);
        let (senders, transactions): (Vec<_>, Vec<_>) = txs.iter().cloned().unzip();
        let body = BlockBody { transactions, ommers: Vec::new(), withdrawals };
        let sealed = SealedBlock::seal(Block { header, body });
        let checked = sealed.check(|_| Ok::<_, Infallible>(())).expect("nothing is judged");
        let block = checked.recover(|_| Ok::<_, SenderCount>(senders)).expect("one for each");
        let executor = Executor::new(threads).expect("threads").on_all_threads();
        let block = executor.prepare_recovered(block).expect("known types");
        Self { executor, block, rules, state: state(), runs: None }
    }

    /// Has a contract in the state before the block.
    fn deploy(&mut self, address: Address, code: &[u8], slots: &[(u64, u64)]) {
        put(&mut self.state, address, 0, code, slots);
    }

    fn execute(&self, mode: Mode, view: &dyn StateView) -> Result<Execution, BlockError> {
        self.executor.execute(mode, &self.block, &self.rules, view, Scope::Recorded)
    }

    fn sequential(&self) -> Result<BlockOutcome, BlockError> {
        self.execute(Mode::Seq, &self.state).map(|execution| execution.outcome)
    }

    /// Runs the block, each transaction in the lane of this number, as [`run`] does.
    fn in_lanes(&self, numbers: &[usize]) -> Result<LaneRun, FallbackCause> {
        self.in_lanes_noting(numbers, &mut Log::default())
    }

    /// As [`Ground::in_lanes`]; who disturbed whom is added to the log.
    fn in_lanes_noting(&self, numbers: &[usize], log: &mut Log) -> Result<LaneRun, FallbackCause> {
        let order: Vec<_> = (0..numbers.len()).collect();
        self.in_lanes_by_turns(numbers, &order, &Published::default(), log)
    }

    /// As [`Ground::in_lanes_noting`], one transaction after the other in this order, in which
    /// those of a lane are in that of the block. If it is open, lanes listen to what is published.
    fn in_lanes_by_turns(
        &self,
        numbers: &[usize],
        order: &[usize],
        published: &Published,
        log: &mut Log,
    ) -> Result<LaneRun, FallbackCause> {
        let Self { block: prepared, rules, state, .. } = self;
        let (codes, opening) = self.opening()?;
        let opened = Stack::new([&opening], state);
        let workers = numbers.iter().max().map_or(1, |last| last + 1);
        let claims = Claims::new(Plan::cold(&prepared.txs, workers), workers).declining(false);
        let shared =
            Shared { claims: OnceLock::from(claims), ..self.shared(&codes, &opened, published) };
        let mut running: Vec<_> =
            (0..workers).map(|worker| Running::new(&shared, worker)).collect();
        for index in order {
            running[numbers[*index]].run(&shared, shared.claims.get(), *index)?;
        }
        for lane in running {
            lane.end(&shared);
        }
        let mut lanes = shared.lanes.into_inner();
        log.append(&mut shared.log.into_inner());
        let (codes, view, threads) = (&codes, &opened, self.executor.threads());
        let pool = self.executor.pool().expect("more than one thread");
        let runs = self.runs.as_ref();
        let job = Job { prepared, rules, codes, view, pool, threads, runs };
        let Settled { diff, tally, stats } = settle(&job, &mut lanes, log)?;
        let (scope, diffs) = (Scope::Recorded, [opening, diff]);
        let outcome = close(prepared, rules, codes, scope, state, diffs, tally)?;
        Ok(LaneRun { outcome, stats, given_up: None })
    }

    /// What the opening of the block changes.
    fn opening(&self) -> Result<(CodeCache, StateDiff), BlockError> {
        let codes = CodeCache::new();
        let header = &self.block.block.block().header;
        let opening = open(&self.rules, header, &self.state, &codes)?.0;
        Ok((codes, opening))
    }

    /// What workers share, before anything has run.
    fn shared<'l>(
        &'l self,
        codes: &'l CodeCache,
        view: &'l dyn StateView,
        published: &'l Published,
    ) -> Shared<'l> {
        let Self { block: prepared, rules, .. } = self;
        Shared {
            prepared,
            rules,
            header: &prepared.block.block().header,
            codes,
            view,
            claims: OnceLock::new(),
            is_planned: AtomicBool::new(false),
            first: First::default(),
            callers: callers(&prepared.txs),
            marks: Marks::default(),
            published,
            declines: false,
            rooms: Mutex::new(Vec::new()),
            journals: JournalRooms::default(),
            lanes: Mutex::new(Vec::new()),
            log: Mutex::default(),
            budget: Budget::new(u64::MAX),
            ran: AtomicUsize::new(0),
            is_told: AtomicBool::new(false),
            bytes: AtomicUsize::new(0),
            runs: self.runs.as_ref(),
            is_over: AtomicBool::new(false),
            failure: Mutex::new(None),
        }
    }

    /// Runs the block in these lanes, to the sequential outcome; gives what that took.
    fn stats(&self, numbers: &[usize]) -> Stats {
        let LaneRun { outcome, stats, .. } = match self.in_lanes(numbers) {
            Ok(run) => run,
            Err(cause) => panic!("{numbers:?}: {cause}"),
        };
        assert_eq!(Ok(outcome), self.sequential(), "{numbers:?}");
        let lanes: BTreeSet<_> = numbers.iter().collect();
        assert_eq!(stats.active_threads, lanes.len(), "{numbers:?}");
        // As a guess, at its turn, or both.
        let again = stats.runs - numbers.len();
        let possible = stats.rerun_txs..=stats.rerun_txs + stats.head_reruns;
        assert!(possible.contains(&again), "{numbers:?}: {stats:?}");
        assert!(stats.head_reruns <= stats.rerun_txs, "{numbers:?}: {stats:?}");
        if lanes.len() == 1 && stats.light_txs == 0 {
            assert_eq!(stats.rerun_txs, 0, "it is the sequential run");
        }
        stats
    }

    /// As [`Ground::stats`]; gives how many ran again.
    fn reruns(&self, numbers: &[usize]) -> usize {
        self.stats(numbers).rerun_txs
    }
}

/// All ways to put `count` transactions into so many lanes.
fn splits(count: usize, lanes: usize) -> Vec<Vec<usize>> {
    (0..count).fold(vec![Vec::new()], |splits, _| {
        let longer = |split: Vec<usize>| {
            (0..lanes).map(move |lane| [&split[..], &[lane][..]].concat()).collect::<Vec<_>>()
        };
        splits.into_iter().flat_map(longer).collect()
    })
}

const FORKS: [Fork; 6] =
    [Fork::Byzantium, Fork::Istanbul, Fork::London, Fork::Shanghai, Fork::Cancun, Fork::Prague];

/// Payments of one sender, to one recipient, and to the fee recipient.
fn payments() -> [Sent; 6] {
    [
        transfer(ALICE, 0, PAYEE, 5),
        transfer(ALICE, 1, PAYEE, 6),
        transfer(BOB, 0, PAYEE, 7),
        transfer(ALICE, 2, AUTHOR, 8),
        transfer(BOB, 1, AUTHOR, 9),
        transfer(BOB, 2, ALICE, 10),
    ]
}

#[test]
fn plain_payments_do_not_disturb_one_another_however_they_are_put_into_lanes() {
    let ground = Ground::new(Fork::Istanbul, &payments());
    for split in splits(6, 3) {
        assert_eq!(ground.reruns(&split), 0, "{split:?}");
    }
    for fork in FORKS {
        let ground = Ground::new(fork, &payments());
        assert_eq!(ground.reruns(&[0, 1, 2, 1, 2, 0]), 0, "{fork}");
        let Execution { outcome, report } =
            ground.execute(Mode::Lanes, &ground.state).expect("valid");
        assert_eq!(Ok(outcome), ground.sequential(), "{fork}");
        assert_eq!((report.way, report.fallback), (Way::Lanes, None), "{fork}");
        assert_eq!((report.stats.rerun_txs, report.stats.light_txs), (0, 6), "{fork}");
    }
}

#[test]
fn whom_nobody_knew_is_made_known_once() {
    let txs = [pay(ALICE, 0, STRANGER, 5), pay(BOB, 0, STRANGER, 6), pay(ALICE, 1, STRANGER, 7)];
    let ground = Ground::new(Fork::Istanbul, &txs);
    // The first of another lane finds one that is there already; so do those after it in it.
    for (split, expected) in [([0, 0, 0], 0), ([0, 1, 0], 1), ([0, 1, 1], 1), ([0, 1, 2], 2)] {
        assert_eq!(ground.reruns(&split), expected, "{split:?}");
    }
}

#[test]
fn a_transaction_runs_again_where_it_has_come_upon_another_value() {
    let count = |sender, nonce| call(sender, nonce, COUNTER, 0);
    let counts = [count(ALICE, 0), count(BOB, 0), count(ALICE, 1), count(BOB, 1)];
    let cases: [(&str, &[Sent], &[usize], usize); 8] = [
        ("a counter", &counts, &[0, 1, 0, 1], 3),
        ("a counter, half by half", &counts, &[0, 0, 1, 1], 2),
        ("a counter in one lane", &counts, &[1, 1, 1, 1], 0),
        ("other slots", &[store(ALICE, 0, 5, 1), store(BOB, 0, 6, 1)], &[0, 1], 0),
        ("looks alone", &[look(ALICE, 0, 5), look(BOB, 0, 5)], &[0, 1], 0),
        ("a look before", &[look(ALICE, 0, 5), store(BOB, 0, 5, 1)], &[0, 1], 0),
        ("a look after", &[store(ALICE, 0, 5, 1), look(BOB, 0, 5)], &[0, 1], 1),
        ("the value that is there", &[store(ALICE, 0, 5, 9), look(BOB, 0, 5)], &[0, 1], 0),
    ];
    for (name, txs, split, expected) in cases {
        for fork in FORKS {
            let ground = Ground::new(fork, txs);
            assert_eq!(ground.reruns(split), expected, "{name}, {fork}");
        }
    }
}

/// What a lane has changed, and changed back, others come upon all the same in between.
#[test]
fn what_a_lane_undoes_is_seen_in_between() {
    let txs = [store(ALICE, 0, 5, 1), look(BOB, 0, 5), store(ALICE, 1, 5, 9), look(BOB, 1, 5)];
    let ground = Ground::new(Fork::Istanbul, &txs);
    for split in splits(4, 2) {
        ground.reruns(&split);
    }
    assert_eq!(ground.reruns(&[0, 1, 0, 1]), 1);
    // So it is with a contract that comes and goes.
    let txs = [
        call(ALICE, 0, FACTORY, 0),
        pay(BOB, 0, child(), 1),
        pay(ALICE, 1, child(), 0),
        pay(BOB, 1, child(), 1),
    ];
    let ground = Ground::new(Fork::Istanbul, &txs);
    for split in splits(4, 2) {
        ground.reruns(&split);
    }
}

#[test]
fn a_contract_is_destroyed_and_revived_across_lanes() {
    let txs = [
        pay(ALICE, 0, MORTAL, 0),
        pay(BOB, 0, MORTAL, 4),
        call(ALICE, 1, FACTORY, 0),
        pay(BOB, 1, child(), 2),
        call(BOB, 2, FACTORY, 0),
        pay(ALICE, 2, MORTAL, 1),
    ];
    for fork in [Fork::Istanbul, Fork::Shanghai, Fork::Cancun] {
        let ground = Ground::new(fork, &txs);
        let outcome = ground.sequential().expect("valid");
        let is_wiped = outcome.diff.accounts.iter().any(|account| account.wiped);
        assert_eq!(is_wiped, fork < Fork::Cancun, "{fork}");
        let has_run_again = splits(6, 2).iter().filter(|split| ground.reruns(split) > 0).count();
        assert!(has_run_again > 0, "{fork}");
    }
}

#[test]
fn a_sender_that_is_funded_in_another_lane_pays_all_the_same() {
    let txs = [pay(ALICE, 0, POOR, 10_000_000_000), pay(POOR, 0, PAYEE, 1), pay(POOR, 1, PAYEE, 2)];
    let ground = Ground::new(Fork::Istanbul, &txs);
    for split in splits(3, 3) {
        let expected = match split[..] {
            [a, b, c] if a == b && b == c => 0,
            // Refused in their lanes, as they have nothing there.
            [a, b, c] => usize::from(a != b) + usize::from(a != c),
            _ => unreachable!("there are three"),
        };
        let reruns = ground.reruns(&split);
        assert!(reruns >= expected, "{split:?}: {reruns}");
    }
}

#[test]
fn an_account_that_is_there_and_empty_is_told_of() {
    let txs = [pay(ALICE, 0, EMPTY, 5), pay(BOB, 0, EMPTY, 6)];
    let ground = Ground::new(Fork::Istanbul, &txs);
    for split in [[0, 0], [0, 1]] {
        let cause = ground.in_lanes(&split).err();
        assert_eq!(cause, Some(LaneFault::Empty(EMPTY).into()), "{split:?}");
    }
}

#[test]
fn a_block_is_given_up_whose_transactions_are_entangled() {
    let nonces = (0..20).flat_map(|nonce| [(ALICE, nonce), (BOB, nonce)]);
    let txs: Vec<_> = nonces.map(|(sender, nonce)| call(sender, nonce, COUNTER, 0)).collect();
    let ground = Ground::new(Fork::Istanbul, &txs);
    let turns: Vec<_> = (0..txs.len()).map(|index| index % 2).collect();
    assert_eq!(ground.in_lanes(&turns).err(), Some(LaneFault::Entangled.into()));
    assert_eq!(ground.reruns(&vec![0; txs.len()]), 0);
    let Execution { outcome, report } = ground.execute(Mode::Lanes, &ground.state).expect("valid");
    assert_eq!(Ok(outcome), ground.sequential());
    assert_eq!(report.way, Way::Lanes);
}

#[test]
fn an_invalid_block_is_what_it_is_sequentially() {
    let high = [pay(ALICE, 0, PAYEE, 1), pay(BOB, 0, PAYEE, 1), pay(ALICE, 2, PAYEE, 1)];
    let low = [pay(ALICE, 0, PAYEE, 1), pay(BOB, 0, PAYEE, 1), pay(ALICE, 0, PAYEE, 1)];
    let poor = [call(ALICE, 0, COUNTER, 0), pay(POOR, 0, PAYEE, 1), pay(BOB, 9, PAYEE, 1)];
    for txs in [high, low, poor] {
        let ground = Ground::new(Fork::Istanbul, &txs);
        let expected = ground.sequential().expect_err("invalid");
        let BlockError::Invalid(InvalidBlock::Transaction { .. }) = expected else {
            panic!("{expected}")
        };
        for split in splits(3, 3) {
            let cause = ground.in_lanes(&split).err();
            assert_eq!(cause, Some(expected.clone().into()), "{split:?}");
        }
        for mode in [Mode::Lanes, Mode::Auto] {
            assert_eq!(ground.execute(mode, &ground.state), Err(expected.clone()), "{mode}");
        }
    }
}

/// What a view does when certain accounts are asked for.
enum Trouble {
    /// The first two who ask wait for one another.
    Meets(Barrier),
    /// The first one who asks fails.
    FailsOnce,
    Fails,
    /// The first one who asks panics.
    Panics,
}

fn troubled<'s>(
    state: &'s MemoryState,
    accounts: &'s [Address],
    trouble: Trouble,
) -> impl StateView + 's {
    let asked = AtomicUsize::new(0);
    Guarded::new(state, move |question| {
        let Question::Account(address) = question else { return Ok(()) };
        if !accounts.contains(&address) {
            return Ok(());
        }
        let failure = || Err(StateError::Unavailable("as it was told".to_owned()));
        match (&trouble, asked.fetch_add(1, Ordering::Relaxed)) {
            (Trouble::Meets(barrier), 0 | 1) => {
                barrier.wait();
            }
            (Trouble::FailsOnce, 0) | (Trouble::Fails, _) => return failure(),
            (Trouble::Panics, 0) => panic!("as it was told"),
            _ => {}
        }
        Ok(())
    })
}

/// Calls of two contracts by turns: each is a heavy group, so that each worker has one of them.
fn by_turns([first, second]: [Address; 2], value: u64) -> Ground {
    // More often than what encloses something.
    let txs: Vec<_> = (0..5)
        .flat_map(|nonce| [call(ALICE, nonce, first, value), call(BOB, nonce, second, value)])
        .collect();
    Ground::new(Fork::Istanbul, &txs)
}

/// The state, where the first who asks for one of these waits for the second who does.
fn meeting<'s>(ground: &'s Ground, contracts: &'s [Address; 2]) -> impl StateView + 's {
    troubled(&ground.state, contracts, Trouble::Meets(Barrier::new(2)))
}

#[test]
fn workers_that_have_disturbed_one_another_come_to_the_sequential_outcome() {
    let ground = by_turns(COUNTS_TOO, 0);
    let view = meeting(&ground, &COUNTS_TOO);
    let Execution { outcome, report } = ground.execute(Mode::Lanes, &view).expect("valid");
    assert_eq!(Ok(outcome), ground.sequential());
    assert_eq!((report.way, report.fallback), (Way::Lanes, None));
    assert!(report.stats.rerun_txs > 0 && report.stats.active_threads == 2, "{:?}", report.stats);
}

#[test]
fn with_an_account_that_is_empty_the_block_runs_sequentially() {
    let ground = by_turns(HANDS_ON, 1);
    let view = meeting(&ground, &HANDS_ON);
    let Execution { outcome, report } = ground.execute(Mode::Lanes, &view).expect("valid");
    assert_eq!(Ok(outcome), ground.sequential());
    let cause = report.fallback.map(|fallback| fallback.cause);
    assert_eq!((report.way, cause), (Way::Lanes, Some(LaneFault::Empty(EMPTY).into())));
}

#[test]
fn what_befalls_a_lane_is_no_verdict() {
    let txs: Vec<_> = (0..4).map(|nonce| call(ALICE, nonce, COUNTER, 0)).collect();
    let ground = Ground::new(Fork::Istanbul, &txs);
    let run = |trouble| ground.execute(Mode::Lanes, &troubled(&ground.state, &[COUNTER], trouble));
    assert!(matches!(run(Trouble::Fails), Err(BlockError::State(_))));
    let cause_of = |trouble| {
        let Execution { outcome, report } = run(trouble).expect("valid");
        assert_eq!(Ok(outcome), ground.sequential());
        report.fallback.expect("the run ended").cause
    };
    let cause = cause_of(Trouble::FailsOnce);
    assert!(matches!(cause, FallbackCause::Block(BlockError::State(_))), "{cause}");
    let cause = cause_of(Trouble::Panics);
    assert!(matches!(cause, FallbackCause::Block(BlockError::Internal(_))), "{cause}");
}

#[test]
fn auto_takes_the_way_that_the_block_and_the_threads_allow() {
    let few = &counting()[..3];
    let enough = &counting()[..];
    let payments: Vec<_> =
        (0..PAYMENTS_MIN as u64).map(|nonce| transfer(ALICE, nonce, PAYEE, 1)).collect();
    let sequential = |why| Way::Sequential(Some(why));
    let cases: [(Fork, &[Sent], usize, Way); 13] = [
        (Fork::Shanghai, enough, 1, sequential(WhySequential::OneThread)),
        (Fork::Shanghai, few, 2, sequential(WhySequential::LittleToDo)),
        (Fork::Shanghai, &payments[..PAYMENTS_MIN - 1], 2, sequential(WhySequential::LittleToDo)),
        (Fork::Shanghai, &payments, 2, Way::Lanes),
        (Fork::Shanghai, &payments, 1, sequential(WhySequential::OneThread)),
        (Fork::SpuriousDragon, &payments, 2, sequential(WhySequential::LittleToDo)),
        (Fork::Homestead, enough, 2, sequential(WhySequential::ManySteps)),
        (Fork::SpuriousDragon, enough, 2, sequential(WhySequential::ManySteps)),
        (Fork::Byzantium, enough, 2, Way::Lanes),
        (Fork::Shanghai, enough, 2, Way::Lanes),
        (Fork::Osaka, enough, 2, Way::Lanes),
        // From Amsterdam on without its list.
        (Fork::Amsterdam, enough, 2, Way::Optimistic),
        (Fork::Amsterdam, few, 2, sequential(WhySequential::LittleToDo)),
    ];
    for (fork, txs, threads, way) in cases {
        let ground = Ground::with_threads(fork, txs, threads);
        let case = format!("{fork}, {} on {threads}", txs.len());
        let Execution { outcome, report } =
            ground.execute(Mode::Auto, &ground.state).expect("valid");
        assert_eq!(Ok(outcome), ground.sequential(), "{case}");
        assert_eq!((report.mode, report.way), (Mode::Auto, way), "{case}");
    }
}

/// Calls, as many as are enough for lanes.
fn counting() -> Vec<Sent> {
    (0..CALLS_MIN as u64).map(|nonce| call(ALICE, nonce, COUNTER, 0)).collect()
}

#[test]
fn auto_takes_the_list_where_there_is_one_that_tells_all() {
    let before = Way::Sequential(Some(WhySequential::ManySteps));
    let cases = [
        (Fork::SpuriousDragon, before),
        (Fork::Byzantium, Way::List),
        (Fork::Shanghai, Way::List),
        (Fork::Amsterdam, Way::List),
    ];
    for (fork, way) in cases {
        let Ground { executor, block, rules, state, .. } = Ground::new(fork, &counting());
        let listed = executor.list_accesses(&block, &rules, &state, Scope::Recorded);
        let (expected, list) = listed.expect("valid");
        let block = block.with_access_list(Arc::new(list));
        let ran = executor.execute(Mode::Auto, &block, &rules, &state, Scope::Recorded);
        let Execution { outcome, report } = ran.expect("valid");
        assert_eq!((outcome, report.way), (expected, way), "{fork}");
        assert_eq!(report.fallback, None, "{fork}");
    }
}

#[test]
fn lanes_fall_to_the_optimistic_way_where_the_rules_do_not_let_them() {
    for fork in [Fork::Homestead, Fork::Amsterdam] {
        let ground = Ground::new(fork, &counting());
        let Execution { outcome, report } =
            ground.execute(Mode::Lanes, &ground.state).expect("valid");
        assert_eq!(Ok(outcome), ground.sequential(), "{fork}");
        assert_eq!(report.way, Way::Optimistic, "{fork}");
    }
}

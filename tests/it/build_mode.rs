//! Filling blocks from candidates: in parallel against one by one, what comes of it against
//! executing it, and each rule by itself.

use crate::support::{Case, bundle_files, generated};
use alloy_consensus::{TxEip4844, TxLegacy};
use alloy_rlp::Encodable;
use fugue_archive::BundleReader;
use fugue_chainspec::{ChainSpec, Fork, Rules};
use fugue_executor::{
    BlockError, BlockOutcome, BuildLimits, Built, Candidate, Draft, Executor, Footprint, Mode,
    Refusal, Scope, first_divergence,
};
use fugue_scheduler::Stats;
use fugue_state::{
    Account, Guarded, Layer, MemoryAccount, MemoryState, Question, SlotDiff, StateDiff, StateView,
};
use fugue_trie::{EMPTY_ROOT_HASH, HashedDiff, NoSource, StateTrie};
use fugue_types::{
    Address, B256, Block, BlockBody, Bytes, CheckedBlock, Header, RecoveredBlock, SealedBlock,
    TxKind, U256, Withdrawal, Withdrawals, b256, keccak256,
};
use fugue_workload::{Rng, Wallet, place_system_contracts};
use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

/// Numbers of threads that a block is filled on.
const THREADS: [usize; 4] = [1, 2, 3, 8];
const NO_LIMITS: BuildLimits =
    BuildLimits { txs_max: usize::MAX, bytes_max: usize::MAX, blobs_max: None, until: None };
/// Gas limit of a block that no test fills.
const ROOMY: u64 = 30_000_000;
/// Gas limit of a plain transfer.
const TRANSFER_GAS: u64 = 21_000;
const GAS_PRICE: u128 = 1_000;
const BASE_FEE: u64 = 7;
const AUTHOR: Address = Address::repeat_byte(0xfe);
/// A contract that counts its calls in slot 0: PUSH1 0 SLOAD PUSH1 1 ADD PUSH1 0 SSTORE.
const COUNTER: Address = Address::repeat_byte(0xc0);
const COUNTS: &[u8] = &[0x60, 0, 0x54, 0x60, 1, 1, 0x60, 0, 0x55];

/// An executor for each number of threads.
fn executors() -> Vec<Executor> {
    THREADS.iter().map(|threads| Executor::new(*threads).expect("threads")).collect()
}

/// What a block is filled on.
#[derive(Clone, Copy)]
struct Ground<'g> {
    draft: Draft<'g>,
    rules: &'g Rules,
    view: &'g dyn StateView,
}

impl Ground<'_> {
    fn build(
        &self,
        executor: &Executor,
        mode: Mode,
        candidates: &[Candidate],
        limits: &BuildLimits,
    ) -> Result<Built, String> {
        let Self { draft, rules, view } = self;
        let built = executor.build(mode, draft, candidates.to_vec(), rules, *view, limits);
        built.map_err(|error| format!("{mode} on {} threads: {error}", executor.threads()))
    }

    /// Executes what was filled, as the block that it is.
    fn execute(&self, executor: &Executor, built: &Built) -> Result<BlockOutcome, BlockError> {
        let Draft { header, withdrawals } = self.draft;
        let transactions = built.transactions.clone();
        let body =
            BlockBody { transactions, ommers: Vec::new(), withdrawals: withdrawals.cloned() };
        let block = SealedBlock::seal(Block { header: header.clone(), body });
        // The header is not complete, so its judge has nothing to say.
        let checked = block
            .check(|_| Ok::<_, Infallible>(()))
            .unwrap_or_else(|refused| -> CheckedBlock { match refused.1 {} });
        let block = checked.recover(|_| Ok::<_, BlockError>(built.senders.clone()))?;
        let block = executor.prepare_recovered(block)?;
        let (rules, view) = (self.rules, self.view);
        Ok(executor.execute(Mode::Seq, &block, rules, view, Scope::Block)?.outcome)
    }

    /// Fills a block one by one, executes it, then fills it in parallel on each executor.
    fn check(
        &self,
        executors: &[Executor],
        candidates: &[Candidate],
        limits: &BuildLimits,
    ) -> Result<Built, String> {
        let sequential = executors.first().ok_or("no executor")?;
        let expected = self.build(sequential, Mode::Seq, candidates, limits)?;
        let executed = self.execute(sequential, &expected).map_err(|error| error.to_string())?;
        if executed != expected.outcome {
            let divergence = first_divergence(&executed, &expected.outcome);
            return Err(format!("filled and executed differ: {divergence:?}"));
        }
        for executor in executors {
            let found = self.build(executor, Mode::Occ, candidates, limits)?;
            let wrong = |what: String| Err(format!("{} threads: {what}", executor.threads()));
            if let Some(fallback) = &found.report.fallback {
                return wrong(format!("the parallel run was dropped: {}", fallback.cause));
            }
            if (&found.taken, &found.refused) != (&expected.taken, &expected.refused) {
                let [found, expected] = [&found, &expected].map(|b| (&b.taken, &b.refused));
                return wrong(format!("{found:?}, expected {expected:?}"));
            }
            if let Some(divergence) = first_divergence(&expected.outcome, &found.outcome) {
                return wrong(divergence.to_string());
            }
            if (Built { report: expected.report.clone(), ..found }) != expected {
                return wrong("other transactions, senders or fees".to_owned());
            }
        }
        Ok(expected)
    }
}

fn candidates(block: &RecoveredBlock) -> Vec<Candidate> {
    let pairs = block.block().body.transactions.iter().zip(block.senders());
    pairs
        .map(|(tx, sender)| Candidate { tx: tx.clone(), sender: *sender, footprint: None })
        .collect()
}

/// Calls `check` with every generated block, ready to run, and its name.
fn for_each_block(executor: &Executor, mut check: impl FnMut(&str, &Case)) {
    let mut reader = BundleReader::new();
    for path in bundle_files(&generated()) {
        let bundle = reader.read(&path).unwrap_or_else(|error| panic!("{error}"));
        check(&path.display().to_string(), &Case::new(&bundle, executor));
    }
}

fn ground(case: &Case) -> Ground<'_> {
    let Block { header, body } = case.block.block().block();
    let draft = Draft { header, withdrawals: body.withdrawals.as_ref() };
    Ground { draft, rules: &case.rules, view: &case.view }
}

#[test]
fn the_transactions_of_a_block_fill_it_again() {
    let executors = executors();
    for_each_block(&executors[0], |name, case| {
        let block = case.block.block();
        let built = ground(case)
            .check(&executors, &candidates(block), &NO_LIMITS)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(built.refused.is_empty(), "{name}: {:?}", built.refused);
        assert_eq!(built.transactions, block.block().body.transactions, "{name}");
        assert_eq!(built.outcome.gas_used, block.block().header.gas_used, "{name}");
    });
}

/// Candidates with gaps, doubles, such that nobody pays, and others out of order.
fn disturbed(candidates: Vec<Candidate>, rng: &mut Rng) -> Vec<Candidate> {
    let mut disturbed = Vec::new();
    for candidate in candidates {
        if rng.chance(5) {
            continue;
        }
        if rng.chance(10) {
            disturbed.push(candidate.clone());
        }
        if rng.chance(10) {
            let (nonce, stranger) = (rng.below(2), Wallet::derive(0x0bad, rng.draw()));
            disturbed.push(call(stranger, nonce, TRANSFER_GAS, stranger.address()));
        }
        disturbed.push(candidate);
    }
    for _ in 0..disturbed.len() / 10 {
        let (one, other) = (rng.index(disturbed.len()), rng.index(disturbed.len()));
        disturbed.swap(one, other);
    }
    disturbed
}

#[test]
fn disturbed_candidates_fill_blocks_equally_in_both_modes() {
    let executors = executors();
    let mut rng = Rng::new(1);
    let (mut taken, mut invalid, mut low, mut after) = (0, 0, 0, 0);
    for_each_block(&executors[0], |name, case| {
        let candidates = disturbed(candidates(case.block.block()), &mut rng);
        // Half of the blocks are full before their candidates end.
        let is_short = rng.chance(50);
        let txs_max = if is_short { candidates.len() / 2 } else { usize::MAX };
        let limits = BuildLimits { txs_max, ..NO_LIMITS };
        let built = ground(case)
            .check(&executors, &candidates, &limits)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        taken += built.taken.len();
        for (_, reason) in built.refused {
            match reason {
                Refusal::Invalid(_) => invalid += 1,
                Refusal::NonceTooLow => low += 1,
                Refusal::Sender => after += 1,
                _ => {}
            }
        }
    });
    let counts = [taken, invalid, low, after];
    assert!(counts.iter().all(|count| *count >= 100), "{counts:?}");
}

/// A state of a few wallets with one ether each and the system contracts, and a header.
struct Scene {
    executors: Vec<Executor>,
    state: MemoryState,
    header: Header,
    rules: Rules,
}

impl Scene {
    fn new(fork: Fork, gas_limit: u64, wallets: &[Wallet]) -> Self {
        let mut state = MemoryState::default();
        place_system_contracts(fork, &mut state);
        for wallet in wallets {
            let account =
                Account { balance: U256::from(10).pow(U256::from(18)), ..Account::default() };
            let account = MemoryAccount { account, ..MemoryAccount::default() };
            state.accounts.insert(wallet.address(), account);
        }
        let header = Header {
            number: 1,
            timestamp: 1_700_000_000,
            beneficiary: AUTHOR,
            gas_limit,
            base_fee_per_gas: Some(BASE_FEE),
            parent_beacon_block_root: Some(B256::ZERO),
            excess_blob_gas: Some(0),
            slot_number: Some(1),
            ..Header::default()
        };
        let rules = ChainSpec::at_fork(1, fork).rules(&header);
        Self { executors: executors(), state, header, rules }
    }

    fn place(&mut self, address: Address, code: Bytes) {
        let account = Account { nonce: 1, code_hash: keccak256(&code), ..Account::default() };
        self.state.codes.insert(account.code_hash, code);
        let account = MemoryAccount { account, ..MemoryAccount::default() };
        self.state.accounts.insert(address, account);
    }

    fn ground<'g>(&'g self, view: &'g dyn StateView) -> Ground<'g> {
        let draft = Draft { header: &self.header, withdrawals: None };
        Ground { draft, rules: &self.rules, view }
    }

    fn fill(&self, candidates: &[Candidate], limits: &BuildLimits) -> Built {
        let built = self.ground(&self.state).check(&self.executors, candidates, limits);
        built.unwrap_or_else(|error| panic!("{error}"))
    }
}

fn wallets<const N: usize>() -> [Wallet; N] {
    std::array::from_fn(|index| Wallet::derive(0xb11d, index as u64))
}

/// One wei to an account, by an old transaction that is good on every chain.
fn call(from: Wallet, nonce: u64, gas_limit: u64, to: Address) -> Candidate {
    let tx = from.legacy(TxLegacy {
        chain_id: None,
        nonce,
        gas_price: GAS_PRICE,
        gas_limit,
        to: TxKind::Call(to),
        value: U256::from(1),
        input: Bytes::new(),
    });
    Candidate { tx, sender: from.address(), footprint: None }
}

/// To the sender itself, so that no account comes into being.
fn transfer(from: Wallet, nonce: u64) -> Candidate {
    call(from, nonce, TRANSFER_GAS, from.address())
}

fn with_blobs(from: Wallet, nonce: u64, blobs: usize) -> Candidate {
    let mut versioned_hash = B256::ZERO;
    versioned_hash.0[0] = 1;
    let tx = from.eip4844(TxEip4844 {
        chain_id: 1,
        nonce,
        gas_limit: TRANSFER_GAS,
        max_fee_per_gas: GAS_PRICE,
        max_priority_fee_per_gas: 1,
        to: from.address(),
        blob_versioned_hashes: vec![versioned_hash; blobs],
        max_fee_per_blob_gas: GAS_PRICE,
        ..TxEip4844::default()
    });
    Candidate { tx, sender: from.address(), footprint: None }
}

#[test]
fn after_a_gap_nothing_of_the_sender_is_taken() {
    let [one, other] = wallets();
    let scene = Scene::new(Fork::Osaka, ROOMY, &[one, other]);
    let candidates = [transfer(one, 0), transfer(one, 2), transfer(one, 1), transfer(other, 0)];
    let built = scene.fill(&candidates, &NO_LIMITS);
    assert_eq!(built.taken, [0, 3]);
    let [(1, Refusal::Invalid(reason)), (2, Refusal::Sender)] = &built.refused[..] else {
        panic!("{:?}", built.refused);
    };
    assert!(reason.names().contains(&"NONCE_MISMATCH_TOO_HIGH"), "{reason}");
}

#[test]
fn a_nonce_that_is_used_already_leaves_no_gap() {
    let [one] = wallets();
    let scene = Scene::new(Fork::Osaka, ROOMY, &[one]);
    let built = scene.fill(&[transfer(one, 0), transfer(one, 0), transfer(one, 1)], &NO_LIMITS);
    assert_eq!(built.taken, [0, 2]);
    assert_eq!(built.refused, [(1, Refusal::NonceTooLow)]);
}

#[test]
fn who_cannot_pay_is_refused() {
    let [one, poor] = wallets();
    let scene = Scene::new(Fork::Osaka, ROOMY, &[one]);
    let built = scene.fill(&[transfer(poor, 0), transfer(poor, 1), transfer(one, 0)], &NO_LIMITS);
    assert_eq!(built.taken, [2]);
    let [(0, Refusal::Invalid(reason)), (1, Refusal::Sender)] = &built.refused[..] else {
        panic!("{:?}", built.refused);
    };
    assert!(reason.names().contains(&"INSUFFICIENT_ACCOUNT_FUNDS"), "{reason}");
}

#[test]
fn what_does_not_fit_is_passed_over_until_nothing_fits() {
    let [one, large, small, last] = wallets();
    for fork in [Fork::London, Fork::Osaka] {
        let scene = Scene::new(fork, 2 * TRANSFER_GAS + 999, &[one, large, small, last]);
        let candidates = [
            transfer(one, 0),
            call(large, 0, TRANSFER_GAS + 1_000, large.address()),
            transfer(large, 0),
            transfer(small, 0),
            transfer(last, 0),
        ];
        let built = scene.fill(&candidates, &NO_LIMITS);
        assert_eq!(built.taken, [0, 3], "{fork}");
        // The last one is not tried: no transaction fits.
        assert_eq!(built.refused, [(1, Refusal::Gas), (2, Refusal::Sender)], "{fork}");
    }
}

#[test]
fn what_has_no_room_is_not_seen_by_those_after_it() {
    let [one, large, small] = wallets();
    let mut scene = Scene::new(Fork::Osaka, 200_000, &[one, large, small]);
    scene.place(COUNTER, Bytes::from_static(COUNTS));
    let candidates =
        [transfer(one, 0), call(large, 0, 190_000, COUNTER), call(small, 0, 100_000, COUNTER)];
    let built = scene.fill(&candidates, &NO_LIMITS);
    assert_eq!((built.taken, built.refused), (vec![0, 2], vec![(1, Refusal::Gas)]));
    let mut changes = built.outcome.diff.accounts.iter();
    let counted = changes.find(|change| change.address == COUNTER).map(|change| &change.slots[..]);
    let once = SlotDiff { slot: U256::ZERO, before: U256::ZERO, after: U256::from(1) };
    assert_eq!(counted, Some(&[once][..]));
}

#[test]
fn blobs_end_where_the_rules_or_the_limit_say() {
    let [one, other, third, plain] = wallets();
    let scene = Scene::new(Fork::Cancun, ROOMY, &[one, other, third, plain]);
    for (blobs, blobs_max) in [([2, 2, 1], Some(3)), ([4, 4, 2], None)] {
        let candidates = [
            with_blobs(one, 0, blobs[0]),
            with_blobs(other, 0, blobs[1]),
            transfer(other, 1),
            with_blobs(third, 0, blobs[2]),
            transfer(plain, 0),
        ];
        let built = scene.fill(&candidates, &BuildLimits { blobs_max, ..NO_LIMITS });
        assert_eq!(built.taken, [0, 3, 4], "{blobs:?}");
        assert_eq!(built.refused, [(1, Refusal::Blobs), (2, Refusal::Sender)], "{blobs:?}");
    }
}

#[test]
fn transactions_end_where_their_count_or_their_bytes_say() {
    let [one, other, third] = wallets();
    let scene = Scene::new(Fork::Osaka, ROOMY, &[one, other, third]);
    let candidates = [transfer(one, 0), with_blobs(other, 0, 1), transfer(third, 0)];
    let built = scene.fill(&candidates, &BuildLimits { txs_max: 1, ..NO_LIMITS });
    assert_eq!((built.taken, built.refused), (vec![0], vec![]));

    let lengths = candidates.each_ref().map(|candidate| candidate.tx.length());
    let exact = BuildLimits { bytes_max: lengths.iter().sum(), ..NO_LIMITS };
    assert_eq!(scene.fill(&candidates, &exact).taken, [0, 1, 2]);
    let bytes_max = lengths[0] + lengths[1].max(lengths[2]) - 1;
    let built = scene.fill(&candidates, &BuildLimits { bytes_max, ..NO_LIMITS });
    assert_eq!((built.taken, built.refused), (vec![0, 2], vec![(1, Refusal::Bytes)]));
}

#[test]
fn when_the_time_is_over_the_block_is_closed() {
    let [one] = wallets();
    let scene = Scene::new(Fork::Osaka, ROOMY, &[one]);
    let limits = BuildLimits { until: Some(Instant::now()), ..NO_LIMITS };
    let built = scene.fill(&[transfer(one, 0)], &limits);
    assert_eq!((built.taken, built.refused), (vec![], vec![]));
    assert!(built.outcome.requests.is_some());
}

#[test]
fn what_would_make_the_block_invalid_is_undone() {
    let [one, other] = wallets();
    let mut scene = Scene::new(Fork::Osaka, ROOMY, &[one, other]);
    let contract = scene.rules.deposit_contract.expect("a deposit contract");
    let topic = b256!("0x649bbc62d0e31342afea4e5cd82d4049e7e1ee912fc0889aa790803be39038c5");
    // Stores 1 in slot 0 and logs a deposit without data.
    let mut code = vec![0x60, 1, 0x60, 0, 0x55, 0x7f];
    code.extend_from_slice(topic.as_slice());
    code.extend_from_slice(&[0x60, 0, 0x60, 0, 0xa1]);
    scene.place(contract, code.into());
    let candidates = [
        call(one, 0, 100_000, contract),
        transfer(one, 1),
        // Reads an account that the first one has changed.
        call(other, 0, TRANSFER_GAS, one.address()),
    ];
    let built = scene.fill(&candidates, &NO_LIMITS);
    assert_eq!(built.taken, [2]);
    assert_eq!(built.refused, [(0, Refusal::DepositLog), (1, Refusal::Sender)]);
    assert!(built.outcome.diff.accounts.iter().all(|change| change.address != contract));
}

#[test]
fn the_access_list_stays_below_its_bound() {
    let wallets: [Wallet; 40] = wallets();
    // 530 items, most of which are kept for the closing of the block.
    let scene = Scene::new(Fork::Amsterdam, 1_060_000, &wallets);
    let candidates = wallets.map(|wallet| transfer(wallet, 0));
    let built = scene.fill(&candidates, &NO_LIMITS);
    assert!(!built.taken.is_empty());
    assert!(!built.refused.is_empty());
    assert!(built.refused.iter().all(|(_, reason)| *reason == Refusal::AccessList));
    assert_eq!(built.taken.len() + built.refused.len(), candidates.len());
}

#[test]
fn items_of_who_is_refused_are_left_to_those_after_it() {
    let [reader, other] = wallets();
    let mut scene = Scene::new(Fork::Amsterdam, 1_060_000, &[reader, other]);
    // Reads fifty slots, more than there is room for: PUSH1 SLOAD POP.
    let code: Vec<u8> = (0..50).flat_map(|slot| [0x60, slot, 0x54, 0x50]).collect();
    scene.place(COUNTER, code.into());
    let built = scene.fill(&[call(reader, 0, 500_000, COUNTER), transfer(other, 0)], &NO_LIMITS);
    assert_eq!((built.taken, built.refused), (vec![1], vec![(0, Refusal::AccessList)]));
}

#[test]
fn a_closing_that_changes_more_than_all_before_it_does_not_hide_that() {
    let [one] = wallets();
    let scene = Scene::new(Fork::Cancun, ROOMY, &[one]);
    let withdrawal = |byte| {
        let address = Address::repeat_byte(byte);
        Withdrawal { index: 0, validator_index: 0, address, amount: 1 }
    };
    let withdrawals = Withdrawals::new((1..=16).map(withdrawal).collect());
    let Ground { draft, rules, view } = scene.ground(&scene.state);
    let draft = Draft { withdrawals: Some(&withdrawals), ..draft };
    let built =
        Ground { draft, rules, view }.check(&scene.executors, &[transfer(one, 0)], &NO_LIMITS);
    let changes = built.unwrap_or_else(|error| panic!("{error}")).outcome.diff.accounts;
    // The contract of beacon roots, the sender and the fee recipient.
    assert_eq!(changes.len(), 3 + 16);
}

#[test]
fn fees_are_what_the_recipient_gets() {
    let [one, other] = wallets();
    let scene = Scene::new(Fork::Osaka, ROOMY, &[one, other]);
    let built = scene.fill(&[transfer(one, 0), with_blobs(other, 0, 2)], &NO_LIMITS);
    let tips = GAS_PRICE - u128::from(BASE_FEE) + 1;
    assert_eq!(built.fees, U256::from(tips) * U256::from(TRANSFER_GAS));
    let mut changes = built.outcome.diff.accounts.iter();
    let author = changes.find(|change| change.address == AUTHOR).and_then(|change| change.after);
    assert_eq!(author.map(|account| account.balance), Some(built.fees));
}

#[test]
fn a_parallel_run_that_breaks_is_told_and_filled_again() {
    let [one, other] = wallets();
    let scene = Scene::new(Fork::Osaka, ROOMY, &[one, other]);
    let candidates = [transfer(other, 0), transfer(one, 0), transfer(other, 1)];
    let expected = scene.fill(&candidates, &NO_LIMITS);
    for executor in &scene.executors {
        let has_panicked = AtomicBool::new(false);
        let view = Guarded::new(&scene.state, |question| {
            if question == Question::Account(one.address()) {
                assert!(has_panicked.swap(true, Ordering::Relaxed), "as it was told");
            }
            Ok(())
        });
        let ground = scene.ground(&view);
        let built = ground.build(executor, Mode::Occ, &candidates, &NO_LIMITS).expect("filled");
        assert!(built.report.fallback.is_some());
        assert_eq!(Built { report: expected.report.clone(), ..built }, expected);
    }
}

/// Two calls of each wallet to a contract that counts them.
fn counting<const N: usize>(scene: &mut Scene, wallets: &[Wallet; N]) -> Vec<Candidate> {
    scene.place(COUNTER, Bytes::from_static(COUNTS));
    let calls = |nonce| wallets.iter().map(move |from| call(*from, nonce, 100_000, COUNTER));
    (0..2).flat_map(calls).collect()
}

/// Runs them one after the other before any block has them, in the given order.
fn preexecute(
    ground: &Ground<'_>,
    executor: &Executor,
    layer: &mut Layer,
    candidates: &[Candidate],
) -> Vec<Option<Footprint>> {
    let Ground { draft, rules, view } = ground;
    let txs = candidates.iter().map(|candidate| (&candidate.tx, candidate.sender));
    let found = executor.preexecute(draft.header, rules, *view, layer, txs, || true);
    found.unwrap_or_else(|error| panic!("{error}"))
}

/// Candidates with what they did when they were run before.
fn with(candidates: Vec<Candidate>, footprints: Vec<Option<Footprint>>) -> Vec<Candidate> {
    let pairs = candidates.into_iter().zip(footprints);
    pairs
        .map(|(candidate, footprint)| Candidate { footprint: footprint.map(Arc::new), ..candidate })
        .collect()
}

#[test]
fn a_footprint_tells_what_was_read_and_written_after_those_before() {
    let wallets = wallets::<3>();
    let mut scene = Scene::new(Fork::Osaka, ROOMY, &wallets);
    let candidates = counting(&mut scene, &wallets);
    let ground = scene.ground(&scene.state);
    let executor = &scene.executors[0];
    let mut layer = Layer::default();
    // The nonces of the second half follow those of the first, in a run of its own.
    let mut found = preexecute(&ground, executor, &mut layer, &candidates[..3]);
    found.extend(preexecute(&ground, executor, &mut layer, &candidates[3..]));
    let slot = (COUNTER, Some(U256::ZERO));
    for (candidate, footprint) in candidates.iter().zip(&found) {
        let footprint = footprint.as_ref().expect("it is good at its turn");
        let sender = (candidate.sender, None);
        for locations in [footprint.reads(), footprint.writes()] {
            assert!([slot, sender, (COUNTER, None)].iter().all(|one| locations.contains(one)));
            assert!(!locations.contains(&(AUTHOR, None)), "fees are not paid");
        }
        assert!(footprint.gas_used() > TRANSFER_GAS);
    }
    let counted = layer.over(&scene.state).slot(COUNTER, U256::ZERO);
    assert_eq!(counted, Ok(U256::from(candidates.len())));

    // Once more they are refused, and nothing is left of them.
    let again = preexecute(&ground, executor, &mut layer, &candidates);
    assert!(again.iter().all(Option::is_none));
    let counted = layer.over(&scene.state).slot(COUNTER, U256::ZERO);
    assert_eq!(counted, Ok(U256::from(candidates.len())));

    let txs = candidates.iter().map(|candidate| (&candidate.tx, candidate.sender));
    let (mut left, mut layer) = (2, Layer::default());
    let goes_on = || {
        left -= 1;
        left >= 0
    };
    let Ground { draft, rules, view } = ground;
    let some = executor.preexecute(draft.header, rules, view, &mut layer, txs, goes_on);
    assert_eq!(some.expect("good transactions").len(), 2);
}

#[test]
fn who_is_known_to_wait_runs_once() {
    let wallets = wallets::<16>();
    let mut scene = Scene::new(Fork::Osaka, ROOMY, &wallets);
    let candidates = counting(&mut scene, &wallets);
    let ground = scene.ground(&scene.state);
    let footprints = preexecute(&ground, &scene.executors[0], &mut Layer::default(), &candidates);
    let candidates = with(candidates, footprints.clone());
    let expected = scene.fill(&candidates, &NO_LIMITS);
    assert_eq!(expected.taken.len(), candidates.len());
    for executor in &scene.executors {
        let built = ground.build(executor, Mode::Occ, &candidates, &NO_LIMITS);
        let Stats { runs, rerun_txs, blocked_runs, head_reruns, .. } =
            built.expect("it was filled before").report.stats;
        let counts = (runs, rerun_txs, blocked_runs, head_reruns);
        assert_eq!(counts, (candidates.len(), 0, 0, 0), "{} threads", executor.threads());
    }
}

#[test]
fn footprints_that_are_wrong_change_no_answer() {
    let executors = executors();
    let mut differed = 0;
    for_each_block(&executors[0], |name, case| {
        let ground = ground(case);
        let candidates = candidates(case.block.block());
        let right = preexecute(&ground, &executors[0], &mut Layer::default(), &candidates);
        let mut wrong = right.clone();
        let third = wrong.len() / 3;
        wrong.rotate_left(third);
        differed += usize::from(wrong != right);
        for footprints in [right, wrong] {
            let footprints: Vec<_> = footprints.into_iter().map(|one| one.map(Arc::new)).collect();
            let mut block = case.block.clone();
            block.foresee(&footprints);
            let execute = |executor: &Executor, mode, block| {
                let (rules, view) = (&case.rules, &case.view);
                executor.execute(mode, block, rules, view, Scope::Block)
            };
            let expected = execute(&executors[0], Mode::Seq, &case.block).map(|it| it.outcome);
            for executor in &executors {
                let found = execute(executor, Mode::Occ, &block).map(|it| it.outcome);
                assert!(found == expected, "{name}, {} threads", executor.threads());
            }
        }
    });
    assert!(differed > 10, "{differed}");
}

#[test]
fn a_change_of_the_tries_can_be_taken_back() {
    let executor = Executor::new(1).expect("a thread");
    let (mut back, mut stuck) = (0, 0);
    for_each_block(&executor, |name, case| {
        let mut tries = StateTrie::new(EMPTY_ROOT_HASH);
        let mut apply = |diff: &StateDiff| {
            tries.apply(&NoSource, &HashedDiff::from(diff), None).expect("tries in memory");
            tries.root()
        };
        let before = apply(&case.view.diff_from_nothing());
        let (rules, view) = (&case.rules, &case.view);
        let executed = executor.execute(Mode::Seq, &case.block, rules, view, Scope::Block);
        let diff = executed.expect("a good block").outcome.diff;
        let after = apply(&diff);
        let Some(reversed) = diff.reversed() else {
            stuck += 1;
            assert!(
                diff.accounts
                    .iter()
                    .any(|change| change.before.is_some()
                        && (change.wiped || change.after.is_none()))
            );
            return;
        };
        back += 1;
        assert_eq!(apply(&reversed), before, "{name}");
        assert_eq!(apply(&diff), after, "{name}");
    });
    assert!(back >= 10 && stuck >= 1, "{back} {stuck}");
}

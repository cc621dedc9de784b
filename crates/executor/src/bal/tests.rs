//! Blocks by their lists, right and wrong.

mod crew;
mod lasting;

use super::*;
use crate::{Divergence, Execution, Executor, InvalidBlock, ListUse, Mode, Way, WhySequential};
use alloy_consensus::{Signed, TxLegacy};
use fugue_chainspec::ChainSpec;
use fugue_state::{Account, Guarded, MemoryAccount, MemoryState, Question, StateError};
use fugue_types::{
    AccountChanges, Address, B256, BalanceChange, Block, BlockAccessIndex, BlockAccessList,
    BlockBody, Bytes, CodeChange, Header, KECCAK256_EMPTY, SealedBlock, SenderCount, SlotChanges,
    StorageChange, Transaction, TxKind, U256, Withdrawal, Withdrawals, keccak256,
};
use std::{convert::Infallible, sync::Arc};

const ALICE: Address = Address::repeat_byte(0xa1);
const BOB: Address = Address::repeat_byte(0xb0);
const COUNTER: Address = Address::repeat_byte(0xc0);
const READER: Address = Address::repeat_byte(0xc1);
const MORTAL: Address = Address::repeat_byte(0xc2);
const CREATOR: Address = Address::repeat_byte(0xc3);
const OTHER: Address = Address::repeat_byte(0xd0);
const AUTHOR: Address = Address::repeat_byte(0xfe);
/// Adds one to slot 0: PUSH1 0, SLOAD, PUSH1 1, ADD, PUSH1 0, SSTORE.
const COUNTS: &[u8] = &[0x60, 0, 0x54, 0x60, 1, 0x01, 0x60, 0, 0x55];
/// Reads slot 5: PUSH1 5, SLOAD, POP.
const READS: &[u8] = &[0x60, 5, 0x54, 0x50];
/// Ends itself: CALLER, SELFDESTRUCT.
const ENDS: &[u8] = &[0x33, 0xff];
/// Creates a contract with one wei: PUSH1 0, PUSH1 0, PUSH1 1, CREATE.
const CREATES: &[u8] = &[0x60, 0, 0x60, 0, 0x60, 1, 0xf0];
/// Deploys one byte: PUSH1 1, PUSH1 0, RETURN.
const DEPLOYS: &[u8] = &[0x60, 1, 0x60, 0, 0xf3];

fn state() -> MemoryState {
    let mut state = MemoryState::default();
    let mut add = |address, balance: u64, code: &'static [u8], slots: &[(u64, u64)]| {
        let code = Bytes::from_static(code);
        let code_hash = if code.is_empty() { KECCAK256_EMPTY } else { keccak256(&code) };
        let nonce = u64::from(!code.is_empty());
        let account = Account { nonce, balance: U256::from(balance), code_hash };
        let slots = slots.iter().map(|(slot, value)| (U256::from(*slot), U256::from(*value)));
        let slots = slots.collect();
        state.accounts.insert(address, MemoryAccount { account, slots });
        state.codes.insert(code_hash, code);
    };
    add(ALICE, 1_000_000_000_000_000_000, &[], &[]);
    add(BOB, 1_000_000_000_000_000_000, &[], &[]);
    add(COUNTER, 0, COUNTS, &[(0, 7)]);
    add(READER, 0, READS, &[(5, 9)]);
    add(MORTAL, 3, ENDS, &[(1, 1)]);
    add(CREATOR, 0, CREATES, &[]);
    state
}

type Sent = (Address, Transaction);

fn tx(sender: Address, nonce: u64, to: TxKind, value: u64, input: &'static [u8]) -> Sent {
    let tx = TxLegacy {
        chain_id: None,
        nonce,
        gas_price: 10,
        // New accounts and code are dear in Amsterdam.
        gas_limit: 1_000_000,
        to,
        value: U256::from(value),
        input: Bytes::from_static(input),
    };
    // The senders are given: nobody looks at the signature.
    let signature = format!("{:0>64}{:0>64}1b", "1", "1").parse().expect("a signature");
    (sender, Transaction::Legacy(Signed::new_unhashed(tx, signature)))
}

fn call(sender: Address, nonce: u64, to: Address, value: u64) -> Sent {
    tx(sender, nonce, TxKind::Call(to), value, &[])
}

/// Steps 1 to 6: a count, a payment, a count, a deployment, a read, a payment.
fn some_txs() -> Vec<Sent> {
    vec![
        call(ALICE, 0, COUNTER, 0),
        call(BOB, 0, OTHER, 5),
        call(ALICE, 1, COUNTER, 0),
        tx(BOB, 1, TxKind::Create, 0, DEPLOYS),
        call(ALICE, 2, READER, 0),
        call(BOB, 2, OTHER, 6),
    ]
}

/// A block, the state before it, what it does, and its list.
struct Ground {
    executor: Executor,
    block: PreparedBlock,
    rules: Rules,
    state: MemoryState,
    expected: BlockOutcome,
    list: BlockAccessList,
}

impl Ground {
    fn new(fork: Fork, txs: &[Sent]) -> Self {
        Self::on(state(), fork, txs)
    }

    fn on(state: MemoryState, fork: Fork, txs: &[Sent]) -> Self {
        let (executor, block, rules) = prepared(fork, txs);
        let run = executor.execute(Mode::Seq, &block, &rules, &state, Scope::Recorded);
        let expected = run.expect("valid").outcome;
        let listed = executor.list_accesses(&block, &rules, &state, Scope::Recorded);
        let (outcome, list) = listed.expect("valid");
        assert_eq!(outcome, expected, "{fork}");
        Self { executor, block, rules, state, expected, list }
    }

    /// Runs the block by a list; whatever it is, the outcome is the same.
    fn run(&self, list: BlockAccessList) -> Result<(), FallbackCause> {
        let block = self.block.clone().with_access_list(Arc::new(list));
        let (rules, state) = (&self.rules, &self.state);
        let run = self.executor.execute(Mode::Bal, &block, rules, state, Scope::Recorded);
        let Execution { outcome, report } = run.expect("valid");
        assert_eq!(outcome, self.expected);
        match report.fallback {
            None => {
                assert_eq!(report.list, Some(ListUse::Followed));
                assert_eq!(report.stats.runs, self.block.txs.len());
                Ok(())
            }
            Some(fallback) => {
                assert_eq!(report.list, Some(ListUse::Dropped));
                Err(fallback.cause)
            }
        }
    }

    /// The block with another header.
    fn with_header(&self, change: impl FnOnce(&mut Header)) -> PreparedBlock {
        let Block { mut header, body } = self.block.block().block().clone();
        change(&mut header);
        let senders = self.block.senders().to_vec();
        prepare(&self.executor, Block { header, body }, senders)
    }

    /// What is wrong with the list after a change.
    fn fault(&self, change: impl FnOnce(&mut BlockAccessList)) -> ListFault {
        let mut list = self.list.clone();
        change(&mut list);
        match self.run(list) {
            Err(FallbackCause::List(fault)) => *fault,
            other => panic!("{other:?}"),
        }
    }

    /// The step that does not fit, and what of it.
    fn misfit(&self, change: impl FnOnce(&mut BlockAccessList)) -> (usize, Divergence) {
        match self.fault(change) {
            ListFault::Step { step, what } => (step, *what),
            other => panic!("{other}"),
        }
    }
}

fn prepared(fork: Fork, txs: &[Sent]) -> (Executor, PreparedBlock, Rules) {
    let root = (fork >= Fork::Cancun).then_some(B256::repeat_byte(0xbb));
    let header = Header {
        number: 1,
        gas_limit: 30_000_000,
        beneficiary: AUTHOR,
        base_fee_per_gas: (fork >= Fork::London).then_some(7),
        parent_beacon_block_root: root,
        excess_blob_gas: root.map(|_| 0),
        ..Header::default()
    };
    let rules = ChainSpec::at_fork(1, fork).rules(&header);
    let withdrawal = Withdrawal { index: 0, validator_index: 0, address: OTHER, amount: 1 };
    let withdrawals = (fork >= Fork::Shanghai).then(|| Withdrawals::new(vec![withdrawal]));
    let (senders, transactions): (Vec<_>, Vec<_>) = txs.iter().cloned().unzip();
    let body = BlockBody { transactions, ommers: Vec::new(), withdrawals };
    let executor = Executor::new(2).expect("threads");
    let block = prepare(&executor, Block { header, body }, senders);
    (executor, block, rules)
}

fn prepare(executor: &Executor, block: Block, senders: Vec<Address>) -> PreparedBlock {
    let sealed = SealedBlock::seal(block);
    let checked = sealed.check(|_| Ok::<_, Infallible>(())).expect("nothing is judged");
    let block = checked.recover(|_| Ok::<_, SenderCount>(senders)).expect("one for each");
    executor.prepare_recovered(block).expect("known types")
}

fn of(list: &mut BlockAccessList, address: Address) -> &mut AccountChanges {
    list.iter_mut().find(|account| account.address == address).expect("it is listed")
}

const FORKS: [Fork; 7] = [
    Fork::Byzantium,
    Fork::Istanbul,
    Fork::London,
    Fork::Shanghai,
    Fork::Cancun,
    Fork::Prague,
    Fork::Amsterdam,
];

#[test]
fn a_block_runs_by_its_list_on_every_fork_from_byzantium_on() {
    for fork in FORKS {
        let ground = Ground::new(fork, &some_txs());
        assert_eq!(ground.run(ground.list.clone()), Ok(()), "{fork}");
        let is_listed = ground.expected.access_list.is_some();
        assert_eq!(is_listed, fork >= Fork::Amsterdam, "{fork}");
    }
}

#[test]
fn a_block_without_a_list_runs_as_occ_and_the_report_says_so() {
    let Ground { executor, block, rules, state, expected, .. } =
        Ground::new(Fork::Shanghai, &some_txs());
    let run = executor.execute(Mode::Bal, &block, &rules, &state, Scope::Recorded);
    let Execution { outcome, report } = run.expect("valid");
    assert_eq!(outcome, expected);
    assert_eq!((report.mode, report.list), (Mode::Bal, Some(ListUse::Absent)));
    assert_eq!(report.fallback, None);
}

/// Before Spurious Dragon an empty account may appear, as the last transaction here has it: a list
/// names it, and does not tell that it is there.
#[test]
fn a_block_before_byzantium_runs_sequentially_whatever_its_list_and_the_report_says_why() {
    let mut txs = some_txs();
    txs.push(call(BOB, 3, Address::repeat_byte(0xee), 0));
    for fork in [Fork::Frontier, Fork::Homestead, Fork::SpuriousDragon] {
        let Ground { executor, block, rules, state, expected, list } = Ground::new(fork, &txs);
        for list in [list, BlockAccessList::new()] {
            let block = block.clone().with_access_list(Arc::new(list));
            let run = executor.execute(Mode::Bal, &block, &rules, &state, Scope::Recorded);
            let Execution { outcome, report } = run.expect("valid");
            assert_eq!(outcome, expected, "{fork}");
            assert_eq!(outcome.steps.len(), txs.len() + 1, "{fork}");
            let way = Way::Sequential(Some(WhySequential::ManySteps));
            assert_eq!((report.way, report.list, report.fallback), (way, None, None), "{fork}");
        }
    }
}

#[test]
fn what_a_destroyed_contract_had_is_gone_for_those_after_it() {
    let txs = [
        call(ALICE, 0, MORTAL, 0),
        call(BOB, 0, MORTAL, 4),
        call(ALICE, 1, COUNTER, 0),
        call(BOB, 1, MORTAL, 0),
    ];
    for fork in [Fork::Byzantium, Fork::Istanbul, Fork::Shanghai, Fork::Cancun] {
        let ground = Ground::new(fork, &txs);
        assert_eq!(ground.run(ground.list.clone()), Ok(()), "{fork}");
        let ended = ground.expected.diff.accounts.iter().any(|account| account.wiped);
        assert_eq!(ended, fork < Fork::Cancun, "{fork}");
    }
}

/// Whether the address has storage is asked before it is known that nothing is created there.
#[test]
fn a_creation_that_fails_for_want_of_ether_looks_at_nothing_that_is_not_listed() {
    let txs = [call(ALICE, 0, CREATOR, 0), call(BOB, 0, CREATOR, 1), call(ALICE, 1, CREATOR, 0)];
    for fork in [Fork::Istanbul, Fork::Shanghai, Fork::Amsterdam] {
        let ground = Ground::new(fork, &txs);
        assert_eq!(ground.run(ground.list.clone()), Ok(()), "{fork}");
    }
}

#[test]
fn an_empty_account_that_is_cleared_is_not_in_a_list_so_the_block_runs_sequentially() {
    let txs = [call(ALICE, 0, OTHER, 0), call(BOB, 0, COUNTER, 0)];
    let mut before = state();
    before.accounts.insert(OTHER, MemoryAccount::default());
    for fork in [Fork::Byzantium, Fork::Istanbul] {
        let ground = Ground::on(before.clone(), fork, &txs);
        let (step, what) = ground.misfit(|_| {});
        assert_eq!((step, what.address, what.field), (1, Some(OTHER), "account"), "{fork}");
        assert_eq!((&*what.expected, &*what.found), ("not there", "there"), "{fork}");
        let without = Ground::new(fork, &txs);
        assert_eq!(without.run(without.list.clone()), Ok(()), "{fork}");
    }
}

#[test]
fn the_first_wrong_fragment_is_named() {
    type Change = fn(&mut BlockAccessList);
    // Step, account, slot, field, what the step did, what the list has.
    type Expected = (usize, Address, Option<u64>, &'static str, &'static str, &'static str);
    let cases: [(Change, Expected); 11] = [
        (
            |list| {
                let changes = &mut of(list, COUNTER).storage_changes[0].changes;
                changes[1].new_value = U256::from(11);
            },
            (3, COUNTER, Some(0), "value", "0x9", "0xb"),
        ),
        // What a later step reads is wrong before what it writes is: the earlier one is named.
        (
            |list| {
                let changes = &mut of(list, COUNTER).storage_changes[0].changes;
                changes[0].new_value = U256::from(11);
            },
            (1, COUNTER, Some(0), "value", "0x8", "0xb"),
        ),
        (
            |list| of(list, OTHER).balance_changes[0].post_balance = U256::from(6),
            (2, OTHER, None, "balance", "5", "6"),
        ),
        (
            |list| of(list, ALICE).nonce_changes[1].new_nonce = 7,
            (3, ALICE, None, "nonce", "2", "7"),
        ),
        (
            |list| {
                let changes = &mut of(list, COUNTER).storage_changes[0].changes;
                changes.pop();
            },
            (3, COUNTER, Some(0), "value", "0x9", "unchanged"),
        ),
        (
            |list| {
                let account = of(list, COUNTER);
                account.storage_changes.clear();
                account.storage_reads.push(U256::ZERO);
            },
            (1, COUNTER, Some(0), "value", "0x8", "unchanged"),
        ),
        (
            |list| of(list, READER).storage_reads.clear(),
            (5, READER, Some(5), "slot", "looked at", "not listed"),
        ),
        (
            |list| list.retain(|account| account.address != READER),
            (5, READER, None, "account", "looked at", "not listed"),
        ),
        (
            |list| {
                let change = BalanceChange::new(BlockAccessIndex::new(2), U256::from(1));
                of(list, COUNTER).balance_changes.push(change);
            },
            (2, COUNTER, None, "balance", "unchanged", "1"),
        ),
        (
            |list| {
                let change = StorageChange::new(BlockAccessIndex::new(4), U256::from(9));
                let account = of(list, READER);
                account.storage_reads.clear();
                account.storage_changes.push(SlotChanges::new(U256::from(5), vec![change]));
            },
            (4, READER, Some(5), "value", "unchanged", "0x9"),
        ),
        (
            |list| {
                let changes = &mut of(list, OTHER).balance_changes;
                changes[0].block_access_index = BlockAccessIndex::new(1);
            },
            (1, OTHER, None, "balance", "unchanged", "5"),
        ),
    ];
    for fork in [Fork::Shanghai, Fork::Amsterdam] {
        let ground = Ground::new(fork, &some_txs());
        for (case, (change, expected)) in cases.iter().enumerate() {
            let (step, what) = ground.misfit(change);
            let (at, address, slot, field, made, listed) = *expected;
            let found = (step, what.address, what.slot, what.field);
            let expected = (at, Some(address), slot.map(U256::from), field);
            assert_eq!(found, expected, "{fork}, case {case}");
            assert_eq!((&*what.expected, &*what.found), (made, listed), "{fork}, case {case}");
            assert_eq!(what.transaction, Some(at - 1), "{fork}, case {case}");
        }
    }
}

/// All that its step made stands before it in the list.
#[test]
fn a_change_of_the_last_account_that_nothing_made_is_named() {
    // BALANCE(NOT(0)), POP
    const LOOKS: &[u8] = &[0x60, 0, 0x19, 0x31, 0x50];
    let last = Address::repeat_byte(0xff);
    for fork in [Fork::Shanghai, Fork::Amsterdam] {
        let txs = [call(ALICE, 0, COUNTER, 0), tx(BOB, 0, TxKind::Create, 0, LOOKS)];
        let ground = Ground::new(fork, &txs);
        let (step, what) = ground.misfit(|list| {
            let change = BalanceChange::new(BlockAccessIndex::new(1), U256::from(1));
            of(list, last).balance_changes.push(change);
        });
        assert_eq!((step, what.address, what.field), (1, Some(last), "balance"), "{fork}");
    }
}

#[test]
fn a_wrong_code_and_a_wrong_closing_are_named() {
    let ground = Ground::new(Fork::Shanghai, &some_txs());
    let (step, what) = ground.misfit(|list| {
        let created = list.iter_mut().find(|account| !account.code_changes.is_empty());
        created.expect("a deployment").code_changes[0].new_code = Bytes::from_static(&[1]);
    });
    assert_eq!((step, what.transaction, what.field), (4, Some(3), "code hash"));
    let (step, what) = ground.misfit(|list| {
        let last = of(list, OTHER).balance_changes.last_mut().expect("a withdrawal");
        last.post_balance += U256::from(1);
    });
    assert_eq!((step, what.transaction, what.field), (7, None, "balance"));
}

#[test]
fn of_two_wrong_fragments_the_one_of_the_earlier_step_is_named() {
    let ground = Ground::new(Fork::Shanghai, &some_txs());
    for _ in 0..20 {
        let (step, _) = ground.misfit(|list| {
            of(list, READER).storage_reads.clear();
            of(list, OTHER).balance_changes[0].post_balance = U256::from(6);
        });
        assert_eq!(step, 2);
    }
}

#[test]
fn entries_that_nothing_looks_at_are_found() {
    let ground = Ground::new(Fork::Amsterdam, &some_txs());
    let address = Address::repeat_byte(0xff);
    let fault = ground.fault(|list| list.push(AccountChanges::new(address)));
    assert_eq!(fault, ListFault::Untouched { address, slot: None });
    assert!(fault.to_string().contains("nothing looks at it"), "{fault}");
    let slot = U256::from(6);
    let fault = ground.fault(|list| of(list, READER).storage_reads.push(slot));
    assert_eq!(fault, ListFault::Untouched { address: READER, slot: Some(slot) });
    assert!(fault.to_string().contains("slot 0x6"), "{fault}");
}

#[test]
fn a_list_whose_form_is_wrong_is_not_run_by() {
    let ground = Ground::new(Fork::Shanghai, &some_txs());
    type Change = fn(&mut BlockAccessList);
    let changes: [Change; 5] = [
        |list| list.swap(0, 1),
        |list| {
            let twice = list[0].clone();
            list.insert(0, twice);
        },
        // Six transactions: the closing has index 7.
        |list| {
            let change = BalanceChange::new(BlockAccessIndex::new(8), U256::ZERO);
            of(list, AUTHOR).balance_changes.push(change);
        },
        |list| {
            let change = BalanceChange::new(BlockAccessIndex::new(u64::MAX), U256::ZERO);
            of(list, AUTHOR).balance_changes.push(change);
        },
        |list| {
            let slot = of(list, COUNTER).storage_changes[0].slot;
            of(list, COUNTER).storage_reads.push(slot);
        },
    ];
    for (case, change) in changes.into_iter().enumerate() {
        let fault = ground.fault(change);
        assert!(matches!(fault, ListFault::Structure(_)), "case {case}: {fault}");
    }
    let fault = ground.fault(|list| {
        let code = Bytes::from(vec![0; 64 * 1024 + 1]);
        of(list, COUNTER).code_changes.push(CodeChange::new(BlockAccessIndex::new(7), code));
    });
    assert!(matches!(fault, ListFault::CodeSize { address: COUNTER, .. }), "{fault}");
}

#[test]
fn a_list_of_a_million_entries_is_refused_before_it_is_indexed() {
    let slots = |count: u64| -> BlockAccessList {
        let mut account = AccountChanges::new(OTHER);
        account.storage_reads = (0..count).map(U256::from).collect();
        vec![account]
    };
    // With the account it is one item more.
    for (fork, max) in [(Fork::Shanghai, 1_000_000), (Fork::Amsterdam, 15_000)] {
        let (_, block, rules) = prepared(fork, &some_txs());
        let fits = block.clone().with_access_list(Arc::new(slots(max - 1)));
        assert!(matches!(fits.list_index(&rules), Some(Ok(_))), "{fork}");
        let block = block.with_access_list(Arc::new(slots(max)));
        let expected = ListFault::Items { items: max + 1, max };
        assert_eq!(block.list_index(&rules), Some(&Err(expected)), "{fork}");
    }
}

#[test]
fn an_invalid_block_is_what_it_is_sequentially_whatever_its_list() {
    let ground = Ground::new(Fork::Shanghai, &some_txs());
    let mut txs = some_txs();
    txs[3] = tx(BOB, 9, TxKind::Create, 0, DEPLOYS);
    let (executor, block, rules) = prepared(Fork::Shanghai, &txs);
    let block = block.with_access_list(Arc::new(ground.list));
    let run = |mode| executor.execute(mode, &block, &rules, &ground.state, Scope::Recorded);
    let expected = run(Mode::Seq).expect_err("a nonce too high");
    let BlockError::Invalid(InvalidBlock::Transaction { index: 3, .. }) = expected else {
        panic!("{expected}")
    };
    assert_eq!(run(Mode::Bal), Err(expected));
}

/// The second would use no more than is left.
#[test]
fn a_gas_limit_above_what_is_left_is_found_by_a_list_too() {
    for fork in [Fork::Shanghai, Fork::Amsterdam] {
        let ground = Ground::new(fork, &[call(ALICE, 0, BOB, 1), call(BOB, 0, ALICE, 1)]);
        let Ground { executor, rules, state, list, .. } = &ground;
        // As much as each asks for.
        let block = ground.with_header(|header| header.gas_limit = 1_000_000);
        let block = block.with_access_list(Arc::new(list.clone()));
        let run = |mode| executor.execute(mode, &block, rules, state, Scope::Recorded);
        let expected = run(Mode::Seq).expect_err("it has no room for the second");
        let BlockError::Invalid(InvalidBlock::GasLimit { index: 1, .. }) = expected else {
            panic!("{fork}: {expected}")
        };
        assert_eq!(run(Mode::Bal), Err(expected), "{fork}");
    }
}

/// Who is paid nothing is in the list all the same (EIP-7928), and what no balance can hold is not
/// paid.
#[test]
fn a_fee_of_nothing_or_of_too_much_is_the_same_in_every_mode() {
    let txs = [call(ALICE, 0, COUNTER, 0), call(BOB, 0, OTHER, 5)];
    let mut rich = state();
    let account = Account { balance: U256::MAX - U256::from(1), ..Account::default() };
    rich.accounts.insert(AUTHOR, MemoryAccount { account, ..MemoryAccount::default() });
    for fork in [Fork::Paris, Fork::Shanghai, Fork::Amsterdam] {
        // The base fee is all of the price, or all but 3.
        for (base_fee, before) in [(10, state()), (7, rich.clone())] {
            let ground = Ground::on(before, fork, &txs);
            let Ground { executor, rules, state, .. } = &ground;
            let block = ground.with_header(|header| header.base_fee_per_gas = Some(base_fee));
            let run = |mode| {
                let run = executor.execute(mode, &block, rules, state, Scope::Recorded);
                let Execution { outcome, report } = run.expect("valid");
                assert!(mode == Mode::Lanes || report.fallback.is_none(), "{fork}, {base_fee}");
                outcome
            };
            let expected = run(Mode::Seq);
            let is_paid = expected.diff.accounts.iter().any(|change| change.address == AUTHOR);
            assert!(!is_paid, "{fork}, {base_fee}");
            if let Some(list) = &expected.access_list {
                assert!(list.iter().any(|account| account.address == AUTHOR), "{base_fee}");
            }
            for mode in [Mode::Occ, Mode::Lanes] {
                assert_eq!(run(mode), expected, "{fork}, {base_fee}, {mode}");
            }
        }
    }
}

#[test]
fn what_the_list_names_is_read_once_and_nothing_else() {
    let ground = Ground::new(Fork::Shanghai, &some_txs());
    let Ground { block, rules, expected, list, .. } = ground;
    let slots =
        |account: &AccountChanges| account.storage_changes.len() + account.storage_reads.len();
    let counts = (list.len(), list.iter().map(slots).sum::<usize>());
    let block = block.with_access_list(Arc::new(list));
    let (accounts, slots) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let state = state();
    let view = Guarded::new(&state, |question| {
        let count = match question {
            Question::Account(_) => &accounts,
            Question::Slot(..) => &slots,
            _ => return Ok(()),
        };
        count.fetch_add(1, Ordering::Relaxed);
        Ok(())
    });
    let executor = Executor::new(1).expect("a thread");
    let run = executor.execute(Mode::Bal, &block, &rules, &view, Scope::Recorded);
    let Execution { outcome, report } = run.expect("valid");
    assert_eq!((outcome, report.list), (expected, Some(ListUse::Followed)));
    assert_eq!((accounts.into_inner(), slots.into_inner()), counts);
}

#[test]
fn a_failure_of_the_state_is_no_verdict_and_a_panic_ends_the_run_alone() {
    let ground = Ground::new(Fork::Shanghai, &some_txs());
    let Ground { executor, block, rules, expected, list, .. } = ground;
    let block = block.with_access_list(Arc::new(list));
    let state = state();
    let run = |panics| {
        let is_over = AtomicBool::new(false);
        let view = Guarded::new(&state, |question| match question {
            Question::Slot(address, _) if address == READER && panics => {
                // At the first time.
                assert!(is_over.swap(true, Ordering::Relaxed), "as it was told");
                Ok(())
            }
            Question::Slot(address, _) if address == READER => {
                Err(StateError::Unavailable("as it was told".to_owned()))
            }
            _ => Ok(()),
        });
        executor.execute(Mode::Bal, &block, &rules, &view, Scope::Recorded)
    };
    assert!(matches!(run(false), Err(BlockError::State(_))));
    let Execution { outcome, report } = run(true).expect("valid");
    assert_eq!(outcome, expected);
    let cause = report.fallback.expect("the run ended").cause;
    assert!(matches!(cause, FallbackCause::Block(BlockError::Internal(_))), "{cause}");
}

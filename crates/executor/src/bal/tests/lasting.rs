//! Journals that last, of two workers that take turns in every possible way.

use super::*;
use crate::samples::{AUTHORITY, authorization};
use alloy_consensus::TxEip7702;
use fugue_state::SlotDiff;

/// Creates a contract from its input: CALLDATACOPY(0, 0, CALLDATASIZE),
/// CREATE2(CALLVALUE, 0, CALLDATASIZE, 0), POP.
const FACTORY_CODE: &[u8] =
    &[0x36, 0x60, 0, 0x60, 0, 0x37, 0x60, 0, 0x36, 0x60, 0, 0x34, 0xf5, 0x50];
const FACTORY: Address = Address::repeat_byte(0xc4);
/// Adds one to slot 0, and deploys a contract that adds one to slot 1, or ends itself if it is
/// paid.
const CHILD_CODE: &[u8] = &[
    0x60, 0, 0x54, 0x60, 1, 0x01, 0x60, 0, 0x55, // slot 0
    0x70, 0x34, 0x60, 14, 0x57, // PUSH17; CALLVALUE, PUSH1 14, JUMPI
    0x60, 1, 0x54, 0x60, 1, 0x01, 0x60, 1, 0x55, 0x00, // slot 1, STOP
    0x5b, 0x33, 0xff, // JUMPDEST, CALLER, SELFDESTRUCT
    0x60, 0, 0x52, 0x60, 17, 0x60, 15, 0xf3, // MSTORE, RETURN
];

/// Puts a contract without storage into the state.
fn place(state: &mut MemoryState, address: Address, code: &'static [u8]) {
    let code = Bytes::from_static(code);
    let account = Account { nonce: 1, balance: U256::ZERO, code_hash: keccak256(&code) };
    state.codes.insert(account.code_hash, code);
    state.accounts.insert(address, MemoryAccount { account, ..MemoryAccount::default() });
}

/// Runs the block by a list, its transactions in this order, each by the worker that is named.
fn take_turns(
    ground: &Ground,
    list: &BlockAccessList,
    turns: impl IntoIterator<Item = (usize, usize)>,
) -> Result<BlockOutcome, FallbackCause> {
    let block = ground.block.clone().with_access_list(Arc::new(list.clone()));
    counting_turns(ground, &block, turns)?.1
}

/// As [`take_turns`], with a block that has a list; also gives how many transactions ran and fit.
fn counting_turns(
    ground: &Ground,
    block: &PreparedBlock,
    turns: impl IntoIterator<Item = (usize, usize)>,
) -> Result<(usize, Result<BlockOutcome, FallbackCause>), FallbackCause> {
    let index = block.list_index(&ground.rules).expect("a list").as_ref().expect("of good form");
    let (codes, room) = (CodeCache::new(), Mutex::new(None));
    let pool = ground.executor.pool().expect("there are two threads");
    let (lane_room, hints) = (Mutex::new(None), Mutex::default());
    let resources = Resources {
        codes: &codes,
        pool,
        threads: 1,
        room: &room,
        lane_room: &lane_room,
        hints: &hints,
        observes: false,
    };
    let run = Run::new(block, index, &ground.rules, &ground.state, &resources);
    let opening = run.open(&mut run.kernel(0))?;
    let mut workers = [run.worker(run.kernel(0)), run.worker(run.kernel(0))];
    for (tx, worker) in turns {
        if run.stop.lets(step_of(tx)) {
            run.run_tx(tx, &mut workers[worker]);
        }
    }
    for worker in &mut workers {
        worker.kernel.reader_mut().settle();
    }
    drop(workers);
    let ran = run.done.iter().filter(|done| done.get().is_some()).count();
    Ok((ran, run.finish(opening, Scope::Recorded).map(|(outcome, _)| outcome)))
}

/// The workers of the transactions in block order, in every possible way.
fn every_way(count: usize) -> impl Iterator<Item = Vec<(usize, usize)>> {
    (0..1_usize << count).map(move |way| (0..count).map(|tx| (tx, way >> tx & 1)).collect())
}

/// However two workers share the block, in block order, and in the opposite order, in which every
/// journal begins anew: the outcome is the sequential one.
fn check(ground: &Ground, what: &str) {
    let count = ground.block.txs.len();
    for turns in every_way(count) {
        let found = take_turns(ground, &ground.list, turns.iter().copied());
        assert_eq!(found.as_ref(), Ok(&ground.expected), "{what}: {turns:?}");
    }
    let back = (0..count).rev().map(|tx| (tx, 0));
    assert_eq!(take_turns(ground, &ground.list, back).as_ref(), Ok(&ground.expected), "{what}");
    // Some first, by either, then what is left.
    let first = (0..count).filter(|tx| tx % 3 == 2).map(|tx| (tx, tx % 2));
    let rest = (0..count).filter(|tx| tx % 3 != 2).map(|tx| (tx, tx / 2 % 2));
    let turns = first.chain(rest);
    assert_eq!(take_turns(ground, &ground.list, turns).as_ref(), Ok(&ground.expected), "{what}");
}

#[test]
fn slots_balances_and_nonces_that_the_other_has_left_are_come_upon() {
    for fork in FORKS {
        let ground = Ground::new(fork, &some_txs());
        check(&ground, &fork.to_string());
    }
}

#[test]
fn a_contract_that_is_destroyed_and_comes_back_is_the_same_to_both() {
    let child = FACTORY.create2_from_code([0_u8; 32], CHILD_CODE);
    let create = |sender, nonce| tx(sender, nonce, TxKind::Call(FACTORY), 0, CHILD_CODE);
    let txs = [
        create(ALICE, 0),
        call(BOB, 0, child, 0),
        call(ALICE, 1, child, 0),
        call(BOB, 1, child, 5),
        call(ALICE, 2, child, 0),
        create(BOB, 2),
        call(ALICE, 3, child, 0),
        call(BOB, 3, child, 7),
    ];
    for fork in [Fork::Petersburg, Fork::Istanbul, Fork::Shanghai, Fork::Cancun, Fork::Amsterdam] {
        let mut state = state();
        place(&mut state, FACTORY, FACTORY_CODE);
        let ground = Ground::on(state, fork, &txs);
        let listed = ground.list.iter().find(|account| account.address == child);
        let codes = listed.expect("it was created").code_changes.len();
        // Created, destroyed, created, destroyed.
        assert_eq!(codes, if fork < Fork::Cancun { 4 } else { 1 }, "{fork}");
        check(&ground, &fork.to_string());
    }
}

/// It was there before the block with as much at its slot as in the end: the slot changes all the
/// same, since it began anew. What it had after the creation the other has changed.
#[test]
fn a_slot_that_comes_back_to_its_value_is_that_of_another_contract() {
    // As the child, with the same slot in its creation as in its code.
    let creation: &'static [u8] = [&CHILD_CODE[14..23], &CHILD_CODE[9..]].concat().leak();
    let child = FACTORY.create2_from_code([0_u8; 32], creation);
    let txs = [
        call(BOB, 0, child, 5),
        tx(ALICE, 0, TxKind::Call(FACTORY), 0, creation),
        call(BOB, 1, child, 0),
        call(ALICE, 1, child, 0),
    ];
    let (slot, three) = (U256::from(1), U256::from(3));
    let mut state = state();
    place(&mut state, FACTORY, FACTORY_CODE);
    place(&mut state, child, &CHILD_CODE[10..27]);
    state.accounts.get_mut(&child).expect("a contract").slots.insert(slot, three);
    for fork in [Fork::Petersburg, Fork::Istanbul, Fork::Shanghai] {
        let ground = Ground::on(state.clone(), fork, &txs);
        let mut changes = ground.expected.diff.accounts.iter();
        let change = changes.find(|change| change.address == child).expect("it changed");
        let counted = SlotDiff { slot, before: U256::ZERO, after: three };
        assert_eq!((change.wiped, &change.slots[..]), (true, &[counted][..]), "{fork}");
        check(&ground, &fork.to_string());
    }
}

/// Lets [`AUTHORITY`] have the code of another account.
fn delegation(sender: Address, nonce: u64, target: Address, authority_nonce: u64) -> Sent {
    let tx = TxEip7702 {
        chain_id: 1,
        nonce,
        gas_limit: 1_000_000,
        max_fee_per_gas: 10,
        max_priority_fee_per_gas: 1,
        to: OTHER,
        value: U256::from(1),
        authorization_list: vec![authorization(target, authority_nonce)],
        ..TxEip7702::default()
    };
    let signature = format!("{:0>64}{:0>64}1b", "1", "1").parse().expect("a signature");
    (sender, Transaction::Eip7702(Signed::new_unhashed(tx, signature)))
}

#[test]
fn a_delegation_that_the_other_has_set_changed_or_cleared_is_come_upon() {
    let txs = [
        call(BOB, 0, AUTHORITY, 0),
        delegation(ALICE, 0, COUNTER, 0),
        call(BOB, 1, AUTHORITY, 0),
        call(ALICE, 1, AUTHORITY, 0),
        delegation(BOB, 2, READER, 1),
        call(ALICE, 2, AUTHORITY, 0),
        delegation(BOB, 3, Address::ZERO, 2),
        call(ALICE, 3, AUTHORITY, 3),
    ];
    for fork in [Fork::Prague, Fork::Amsterdam] {
        let ground = Ground::new(fork, &txs);
        let listed = ground.list.iter().find(|account| account.address == AUTHORITY);
        let listed = listed.expect("it was called");
        assert_eq!((listed.code_changes.len(), listed.nonce_changes.len()), (3, 3), "{fork}");
        assert_eq!(listed.storage_changes[0].changes.len(), 2, "{fork}");
        check(&ground, &fork.to_string());
    }
}

/// A lie about what a worker's own journal knows better, or about what it takes from the list.
#[test]
fn a_lie_is_found_at_its_step_whoever_ran_what_before() {
    type Lie = fn(&mut BlockAccessList);
    fn counts(list: &mut BlockAccessList) -> &mut Vec<StorageChange> {
        &mut of(list, COUNTER).storage_changes[0].changes
    }
    let cases: [(Lie, usize); 7] = [
        // Steps 1 and 3 count from 7 to 8 and 9.
        (|list| counts(list)[1].new_value = U256::from(11), 3),
        (|list| counts(list)[0].new_value = U256::from(11), 1),
        // As if the first had not counted: the third would be right for who has not run it.
        (
            |list| {
                counts(list).remove(0);
                counts(list)[0].new_value = U256::from(8);
            },
            1,
        ),
        // Somebody else is said to have changed it in between, to another value or the same.
        (
            |list| {
                let change = StorageChange::new(BlockAccessIndex::new(2), U256::from(50));
                counts(list).insert(1, change);
            },
            2,
        ),
        (
            |list| {
                let change = StorageChange::new(BlockAccessIndex::new(2), U256::from(8));
                counts(list).insert(1, change);
            },
            2,
        ),
        (|list| of(list, ALICE).nonce_changes[1].new_nonce = 7, 3),
        (
            |list| {
                let change = BalanceChange::new(BlockAccessIndex::new(2), U256::from(1));
                of(list, ALICE).balance_changes.insert(1, change);
            },
            2,
        ),
    ];
    for fork in [Fork::Shanghai, Fork::Amsterdam] {
        let ground = Ground::new(fork, &some_txs());
        for (case, (lie, expected)) in cases.iter().enumerate() {
            let mut list = ground.list.clone();
            lie(&mut list);
            for turns in every_way(ground.block.txs.len()) {
                let found = take_turns(&ground, &list, turns.iter().copied());
                let Err(FallbackCause::List(fault)) = found else {
                    panic!("{fork}, case {case}: {turns:?}")
                };
                let ListFault::Step { step, .. } = *fault else { panic!("{fault}") };
                assert_eq!(step, *expected, "{fork}, case {case}: {turns:?}");
            }
        }
    }
}

/// An account or a slot that a journal has from a step before is in the list all the same.
#[test]
fn what_is_left_out_of_the_list_is_found_by_who_asks_first() {
    let txs = [
        call(ALICE, 0, READER, 0),
        call(BOB, 0, READER, 0),
        call(ALICE, 1, COUNTER, 0),
        call(BOB, 1, READER, 0),
    ];
    let ground = Ground::new(Fork::Shanghai, &txs);
    let mut list = ground.list.clone();
    of(&mut list, READER).storage_reads.clear();
    for turns in every_way(txs.len()) {
        let found = take_turns(&ground, &list, turns.iter().copied());
        let Err(FallbackCause::List(fault)) = found else { panic!("{turns:?}") };
        assert!(matches!(*fault, ListFault::Step { step: 1, .. }), "{fault}");
    }
}

#[test]
fn other_threads_are_woken_for_what_is_worth_it() {
    let ground = Ground::new(Fork::Shanghai, &some_txs());
    let block = ground.block.clone().with_access_list(Arc::new(ground.list));
    let index = block.list_index(&ground.rules).expect("a list").as_ref().expect("of good form");
    let with = |gas_used: u64| {
        let mut block = block.block().block().clone();
        block.header.gas_used = gas_used;
        block
    };
    let likely = |gas: &u64| Likely { gas: *gas, excess: 0, is_known: true };
    let worth = |gas_used, gas: &[u64]| {
        let likely: Vec<_> = gas.iter().map(likely).collect();
        worth(&with(gas_used), index, &likely, 4)
    };
    assert_eq!(worth(WAKE_GAS_MIN, &[WAKE_GAS_MIN; 6]), 4);
    assert_eq!(worth(WAKE_GAS_MIN - 1, &[WAKE_GAS_MIN; 6]), 1);
    assert_eq!(worth(WAKE_GAS_MIN, &[1; 6]), 1);
    // The header does not say.
    assert_eq!(worth(0, &[WAKE_GAS_MIN; 6]), 4);
    assert_eq!(worth(0, &[WAKE_GAS_MIN; 2]), 2);
    assert_eq!(worth(0, &[]), 1);
    // Little gas may take long.
    let likely = [Likely { gas: 1, excess: WAKE_GAS_MIN / 2, is_known: true }; 2];
    assert_eq!(super::worth(&with(2), index, &likely, 4), 2);
}

/// What is stored at the address since the first transaction is no reason to look at it.
#[test]
fn an_address_at_which_nothing_can_be_created_stays_cold_in_every_mode() {
    // SSTORE(1, 5), RETURN(0, 1)
    let init = [0x60, 5, 0x60, 1, 0x55, 0x60, 1, 0x60, 0, 0xf3];
    let created = CREATOR.create2(B256::ZERO, keccak256(init));
    // CREATE2 of it with as many wei as there are bytes of data; BALANCE of its address.
    let creates = [0x60, 0, 0x52, 0x60, 0, 0x60, 10, 0x60, 22, 0x36, 0xf5, 0x50, 0x73];
    let looks = [0x31, 0x50];
    let code = [&[0x69][..], &init, &creates, created.as_slice(), &looks].concat();
    let mut before = state();
    let code_hash = keccak256(&code);
    before.codes.insert(code_hash, code.into());
    before.accounts.get_mut(&CREATOR).expect("a contract").account.code_hash = code_hash;
    let creator = TxKind::Call(CREATOR);
    let txs = [tx(ALICE, 0, creator, 0, &[]), tx(BOB, 0, creator, 0, &[1])];
    for fork in [Fork::Istanbul, Fork::Berlin, Fork::Shanghai, Fork::Osaka, Fork::Amsterdam] {
        let ground = Ground::on(before.clone(), fork, &txs);
        let there = ground.list.iter().any(|account| account.address == created);
        assert!(there, "{fork}: it was created");
        if let Err(cause) = ground.run(ground.list.clone()) {
            panic!("{fork}: {cause}");
        }
    }
}

#[test]
fn what_is_known_to_take_long_is_begun_first() {
    let ground = Ground::new(Fork::Shanghai, &some_txs());
    let (block, results) = (&ground.block, &ground.expected.results);
    let first = |hints: &Hints| {
        let work: Vec<u64> = likely(block, hints).iter().map(Likely::work).collect();
        Plan::new(&work, 2).claim().map(<[usize]>::to_vec)
    };
    let mut hints = Hints::default();
    assert_eq!(first(&hints), Some(vec![0]));
    hints.learn_work(&block.txs[4..5], &results[4..5], &[]);
    assert_eq!(first(&hints), Some(vec![0]));
    hints.learn_work(&block.txs[4..5], &results[4..5], &[(0, 40_000_000)]);
    assert_eq!(first(&hints), Some(vec![4]));
    // A run by the list teaches it.
    let found = ground.run(ground.list.clone());
    assert_eq!(
        (found, ground.executor.hints().gas_of(&block.txs[4])),
        (Ok(()), results[4].gas.used)
    );
}

/// A list may fit whatever the transactions do, and each may use all of its gas.
#[test]
fn no_more_runs_by_a_list_than_the_block_has_gas_for() {
    const BURNER: Address = Address::repeat_byte(0xc5);
    let mut before = state();
    // JUMPDEST, PUSH1 0, JUMP
    place(&mut before, BURNER, &[0x5b, 0x60, 0, 0x56]);
    // A million gas each.
    let txs: Vec<_> = (0..8).map(|nonce| call(ALICE, nonce, BURNER, 0)).collect();
    for fork in [Fork::Shanghai, Fork::Amsterdam] {
        let ground = Ground::on(before.clone(), fork, &txs);
        let block = ground.with_header(|header| header.gas_limit = 3_500_000);
        let block = block.with_access_list(Arc::new(ground.list.clone()));
        let run = |mode| {
            let Ground { executor, rules, state, .. } = &ground;
            executor.execute(mode, &block, rules, state, Scope::Recorded)
        };
        let expected = run(Mode::Seq).expect_err("it has no room for all of them");
        let BlockError::Invalid(InvalidBlock::GasLimit { index: 3, .. }) = expected else {
            panic!("{fork}: {expected}")
        };
        assert_eq!(run(Mode::Bal), Err(expected.clone()), "{fork}");
        let turns = (0..txs.len()).map(|tx| (tx, 0));
        let (ran, ended) = counting_turns(&ground, &block, turns).expect("the opening fits");
        assert_eq!((ran, ended), (3, Err(FallbackCause::from(expected))), "{fork}");
    }
}

/// Those that burn what the block does not have are begun before the step that is lied about.
#[test]
fn more_gas_than_the_block_has_that_a_list_lets_it_use_is_no_verdict() {
    const BURNER: Address = Address::repeat_byte(0xc5);
    // Burns all if slot 0 is set: PUSH1 0, SLOAD, PUSH1 7, JUMPI, STOP, JUMPDEST, PUSH1 7, JUMP.
    const BURNS: &[u8] = &[0x60, 0, 0x54, 0x60, 7, 0x57, 0x00, 0x5b, 0x60, 7, 0x56];
    let mut before = state();
    place(&mut before, BURNER, BURNS);
    let mut burning = before.clone();
    let burner = burning.accounts.get_mut(&BURNER).expect("a contract");
    burner.slots.insert(U256::ZERO, U256::from(1));
    let mut txs = vec![call(BOB, 0, ALICE, 1)];
    txs.extend((0..5).map(|nonce| call(ALICE, nonce, BURNER, 0)));
    for fork in [Fork::Shanghai, Fork::Amsterdam] {
        let ground = Ground::on(burning.clone(), fork, &txs);
        // Teaches how much the calls burn, so that two threads begin with them.
        assert_eq!(ground.run(ground.list.clone()), Ok(()), "{fork}");
        // As if the payment had set the slot.
        let mut list = ground.list.clone();
        let burner = of(&mut list, BURNER);
        burner.storage_reads.clear();
        let change = StorageChange::new(BlockAccessIndex::new(1), U256::from(1));
        burner.storage_changes.push(SlotChanges::new(U256::ZERO, vec![change]));
        // Room for two of them.
        let block = ground.with_header(|header| header.gas_limit = 2_500_000);
        let block = block.with_access_list(Arc::new(list));
        let run = |mode| {
            let Ground { executor, rules, .. } = &ground;
            let run = executor.execute(mode, &block, rules, &before, Scope::Recorded);
            run.expect("nothing is burned")
        };
        let expected = run(Mode::Seq).outcome;
        let Execution { outcome, report } = run(Mode::Bal);
        assert_eq!((outcome, report.list), (expected, Some(ListUse::Dropped)), "{fork}");
        let cause = report.fallback.expect("the run ended").cause;
        let FallbackCause::Block(BlockError::Invalid(InvalidBlock::GasLimit { .. })) = cause else {
            panic!("{fork}: {cause}")
        };
    }
}

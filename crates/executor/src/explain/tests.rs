//! Blocks of a few transactions, made by hand.

use super::*;
use fugue_types::U256;

/// The fee recipient.
const AUTHOR: Address = Address::repeat_byte(0xfe);
/// A contract, and another one.
const HERE: Address = Address::repeat_byte(0xc0);
const THERE: Address = Address::repeat_byte(0xc1);

fn slot(address: Address, slot: u64) -> StateField {
    StateField { address, field: Field::Slot(U256::from(slot)) }
}

/// A transaction of a sender that pays a fee, its own account alone read and written.
fn tx(sender: u8, gas_used: u64) -> TxAccess {
    let sender = Address::repeat_byte(sender);
    let writes = [Field::Nonce, Field::Balance].map(|field| StateField { address: sender, field });
    TxAccess {
        sender,
        reads: vec![(sender, None)],
        writes: writes.to_vec(),
        sees: Vec::new(),
        credits: true,
        gas_used,
        nanos: gas_used,
    }
}

impl TxAccess {
    fn reading(mut self, fields: &[StateField]) -> Self {
        for StateField { address, field } in fields {
            let slot = match field {
                Field::Slot(slot) => Some(*slot),
                Field::Nonce | Field::Balance | Field::Code => None,
            };
            self.reads.push((*address, slot));
        }
        self
    }

    /// Reads and writes them.
    fn changing(self, fields: &[StateField]) -> Self {
        let mut tx = self.reading(fields);
        tx.writes.extend(fields);
        tx
    }

    /// Sees the balance of an account.
    fn seeing(mut self, address: Address) -> Self {
        if !self.reads.contains(&(address, None)) {
            self.reads.push((address, None));
        }
        self.sees.push(address);
        self
    }

    /// Pays the fee recipient something, and its fee then as anybody.
    fn tipping(mut self) -> Self {
        self.reads.push((AUTHOR, None));
        self.writes.push(balance_of(AUTHOR));
        self.credits = false;
        self
    }

    /// Sees the balance of the fee recipient.
    fn looking(mut self) -> Self {
        self.sees.push(AUTHOR);
        self.tipping()
    }
}

fn explain(txs: &[TxAccess]) -> Explanation {
    Explanation::of(txs, AUTHOR)
}

/// Of each transaction, the indices that it depends on.
fn edges(explanation: &Explanation) -> Vec<Vec<usize>> {
    let all = explanation.dependencies.iter();
    all.map(|list| list.iter().map(|dependency| dependency.on).collect()).collect()
}

fn path(path: &CriticalPath) -> Vec<usize> {
    path.steps.iter().map(|step| step.index).collect()
}

/// How long the block takes on 2, 4, 8, 16 cores.
fn lengths(explanation: &Explanation) -> [u64; 4] {
    explanation.schedules.map(|schedule| schedule.length)
}

#[test]
fn transactions_of_strangers_run_all_at_once() {
    let found = explain(&[tx(1, 100), tx(2, 100), tx(3, 100), tx(4, 100)]);
    assert!(found.dependencies.iter().all(Vec::is_empty));
    assert_eq!((found.gas.total, found.gas.length), (400, 100));
    assert_eq!(path(&found.gas), [0]);
    assert_eq!(found.gas.speed_up(), 4.0);
    assert_eq!(lengths(&found), [200, 100, 100, 100]);
    assert_eq!(found.schedules.map(|schedule| schedule.cores), [2, 4, 8, 16]);
    assert_eq!(found.schedules[0].speed_up(), 2.0);
    // Each of them has paid the same account.
    assert_eq!((found.fee_credits, found.fee_readers.len()), (4, 0));
    assert!(found.hottest.is_empty() && found.senders.is_empty());
}

#[test]
fn a_slot_that_all_count_up_makes_a_row_of_them() {
    let counts = |sender| tx(sender, 100).changing(&[slot(HERE, 7)]);
    let found = explain(&[counts(1), counts(2), tx(9, 50), counts(3), counts(4)]);
    // To the latest writer alone.
    assert_eq!(edges(&found), [vec![], vec![0], vec![], vec![1], vec![3]]);
    let conflict = Conflict { field: slot(HERE, 7), cause: ConflictCause::State };
    assert_eq!(found.dependencies[4][0].conflicts, [conflict]);
    assert_eq!(path(&found.gas), [0, 1, 3, 4]);
    assert!(found.gas.steps[0].conflicts.is_empty());
    assert_eq!(found.gas.steps[3].conflicts, [conflict]);
    assert_eq!((found.gas.total, found.gas.length), (450, 400));
    assert_eq!(found.gas.speed_up(), 1.125);
    assert_eq!(lengths(&found), [400; 4]);
    assert_eq!(found.hottest, [HotField { field: slot(HERE, 7), pairs: 3 }]);
}

#[test]
fn readers_of_a_slot_wait_for_its_writer_and_not_for_one_another() {
    let reads = |sender| tx(sender, 100).reading(&[slot(HERE, 7)]);
    let writes = tx(1, 100).changing(&[slot(HERE, 7)]);
    let found = explain(&[reads(2), writes, reads(3), reads(4), reads(5)]);
    assert_eq!(edges(&found), [vec![], vec![], vec![1], vec![1], vec![1]]);
    assert_eq!(found.gas.length, 200);
    assert_eq!(lengths(&found), [300, 200, 200, 200]);
    assert_eq!(found.hottest, [HotField { field: slot(HERE, 7), pairs: 3 }]);
}

#[test]
fn the_longer_side_of_a_diamond_is_critical() {
    let [top, left, right] = [1, 2, 3].map(|number| slot(HERE, number));
    let txs = [
        tx(1, 100).changing(&[top]),
        tx(2, 50).reading(&[top]).changing(&[left]),
        tx(3, 200).reading(&[top]).changing(&[right]),
        tx(4, 100).reading(&[left, right]),
    ];
    let found = explain(&txs);
    assert_eq!(edges(&found), [vec![], vec![0], vec![0], vec![1, 2]]);
    assert_eq!(path(&found.gas), [0, 2, 3]);
    assert_eq!((found.gas.total, found.gas.length), (450, 400));
    assert_eq!(lengths(&found), [400; 4]);
    // In time the other side may be the longer one.
    let [first, slow, third, last] = txs;
    let found = explain(&[first, TxAccess { nanos: 900, ..slow }, third, last]);
    assert_eq!(path(&found.gas), [0, 2, 3]);
    assert_eq!(path(&found.time), [0, 1, 3]);
    assert_eq!((found.time.total, found.time.length), (1_300, 1_100));
}

#[test]
fn cores_take_up_what_is_ready_in_block_order() {
    let found = explain(&[tx(1, 100), tx(2, 100), tx(3, 300)]);
    assert_eq!(lengths(&found), [400, 300, 300, 300]);
    // The second waits for the first; meanwhile the third runs.
    let hot = [slot(HERE, 1)];
    let txs = [tx(1, 100).changing(&hot), tx(2, 100).changing(&hot), tx(3, 200), tx(4, 50)];
    assert_eq!(lengths(&explain(&txs)), [250, 200, 200, 200]);
    // What ends at the same time is gone through before anything begins: then the two that wait for
    // the second come before the last.
    let txs = [
        tx(1, 100),
        tx(2, 100).changing(&hot),
        tx(3, 300).reading(&hot),
        tx(4, 500).reading(&hot),
        tx(5, 100),
    ];
    assert_eq!(lengths(&explain(&txs)), [600; 4]);
}

#[test]
fn the_nonces_of_a_sender_are_told_apart() {
    let txs = [tx(1, 100), tx(1, 100), tx(2, 100), tx(1, 100)];
    // Nonce and balance, twice; or the nonce alone: that the balance suffices is no order.
    for (balances, count) in [(Balances::Exact, 4), (Balances::Lazy, 2)] {
        let all = ConflictGraph::new(&txs, AUTHOR, balances).dependencies;
        let on = all.iter().map(|list| list.iter().map(|it| it.on).collect::<Vec<_>>());
        assert_eq!(on.collect::<Vec<_>>(), [vec![], vec![0], vec![], vec![1]], "{balances:?}");
        let conflicts = all.iter().flatten().flat_map(|one| &one.conflicts);
        let causes: Vec<_> = conflicts.map(|conflict| conflict.cause).collect();
        assert_eq!(causes, vec![ConflictCause::Sender; count], "{balances:?}");
    }
    // Lanes take the nonce from the transaction, so that the order is no bound.
    let found = explain(&txs);
    assert!(found.dependencies.iter().all(Vec::is_empty) && found.hottest.is_empty());
    assert_eq!((found.gas.total, found.gas.length), (400, 100));
    let chain = SenderChain { sender: Address::repeat_byte(1), txs: 3, gas_used: 300 };
    assert_eq!(found.senders, [chain]);
    // What another one sends to a sender is no matter of nonces; it is one at all if it is seen.
    let payee = Address::repeat_byte(2);
    let paid = balance_of(payee);
    let pays = tx(1, 100).changing(&[paid]);
    let found = explain(&[pays.clone(), tx(2, 100)]);
    assert!(found.dependencies.iter().all(Vec::is_empty));
    let found = explain(&[pays, tx(2, 100).seeing(payee)]);
    let conflict = Conflict { field: paid, cause: ConflictCause::State };
    assert_eq!(found.dependencies[1], [Dependency { on: 0, conflicts: vec![conflict] }]);
}

#[test]
fn who_looks_at_the_fee_recipient_waits_for_all_fees_before_it() {
    let found = explain(&[tx(1, 300), tx(2, 100), tx(3, 50).looking(), tx(4, 10)]);
    let conflict = Conflict { field: balance_of(AUTHOR), cause: ConflictCause::FeeRecipient };
    assert_eq!(edges(&found), [vec![], vec![], vec![1], vec![]]);
    assert_eq!(found.dependencies[2][0].conflicts, [conflict]);
    // The latest fee is not the one that is waited for longest.
    assert_eq!(path(&found.gas), [0, 2]);
    assert_eq!(found.gas.steps[1].conflicts, [conflict]);
    assert_eq!(found.gas.length, 350);
    assert_eq!(lengths(&found), [350; 4]);
    assert_eq!((found.fee_credits, found.fee_readers), (3, vec![2]));
    assert!(found.hottest.is_empty());
}

#[test]
fn who_reads_an_account_may_have_looked_at_any_of_its_fields_but_for_sums() {
    let [nonce, balance, code] = [Field::Nonce, Field::Balance, Field::Code]
        .map(|field| StateField { address: HERE, field });
    let txs = [
        tx(1, 100).changing(&[nonce, code]),
        tx(2, 100).changing(&[balance]),
        tx(3, 100).reading(&[slot(HERE, 1)]),
        tx(4, 100).reading(&[code]),
    ];
    let graph = |balances| ConflictGraph::new(&txs, AUTHOR, balances).dependencies;
    let fields = |dependency: &Dependency| -> (usize, Vec<StateField>) {
        let fields = dependency.conflicts.iter().map(|conflict| conflict.field);
        (dependency.on, fields.collect())
    };
    let waits = |list: &Vec<Dependency>| list.iter().map(fields).collect::<Vec<_>>();
    // Slots are told apart.
    let exact: Vec<_> = graph(Balances::Exact).iter().map(waits).collect();
    let all = vec![(0, vec![nonce, code]), (1, vec![balance])];
    assert_eq!(exact, [vec![], vec![(0, vec![nonce, code])], vec![], all]);
    let code = (0, vec![code]);
    let lazy: Vec<_> = graph(Balances::Lazy).iter().map(waits).collect();
    assert_eq!(lazy, [vec![], vec![code.clone()], vec![], vec![code]]);
    assert_eq!(graph(Balances::Least), graph(Balances::Lazy));
    assert_eq!(explain(&txs).dependencies, graph(Balances::Least));
}

#[test]
fn payments_to_one_account_are_no_row_however_they_are_weighed() {
    let paid = balance_of(HERE);
    let mut txs: Vec<TxAccess> = (1..=8).map(|from| tx(from, 100).changing(&[paid])).collect();
    let found = explain(&txs);
    assert!(found.dependencies.iter().all(Vec::is_empty));
    for path in [&found.gas, &found.time] {
        assert_eq!((path.total, path.length, path.speed_up()), (800, 100, 8.0));
    }
    assert_eq!(lengths(&found), [400, 200, 100, 100]);
    assert!(found.hottest.is_empty());
    // As is where they all pay the fee recipient.
    let tips: Vec<TxAccess> = (1..=8).map(|from| tx(from, 100).tipping()).collect();
    let found = explain(&tips);
    assert_eq!((found.gas.length, found.fee_credits, found.fee_readers.len()), (100, 0, 0));
    // A mode that compares the account as a whole takes them one by one.
    assert_eq!(length(&txs, 8, Order::Block), 800);
    // Who sees what was paid waits for it.
    txs.push(tx(9, 50).seeing(HERE));
    let found = explain(&txs);
    assert_eq!(found.dependencies[8].iter().map(|it| it.on).collect::<Vec<_>>(), [7]);
    assert_eq!((found.gas.length, found.hottest.len()), (150, 1));
    assert_eq!(found.hottest[0], HotField { field: paid, pairs: 1 });
}

#[test]
fn a_block_without_transactions_has_nothing_to_explain() {
    let found = explain(&[]);
    assert_eq!(found.gas, CriticalPath::default());
    assert_eq!(found.gas.speed_up(), 1.0);
    assert_eq!(lengths(&found), [0; 4]);
}

#[test]
fn lists_of_the_hottest_are_bounded() {
    let fields: Vec<StateField> = (0..100).map(|number| slot(HERE, number)).collect();
    let mut txs = vec![tx(1, 100).changing(&fields), tx(2, 100).reading(&fields)];
    // The last one is the hottest.
    txs.push(tx(3, 100).reading(&fields[99..]));
    let found = explain(&txs);
    assert_eq!(found.hottest.len(), HOTTEST_MAX);
    assert_eq!(found.hottest[0], HotField { field: fields[99], pairs: 2 });
    assert_eq!(found.hottest[1], HotField { field: fields[0], pairs: 1 });
    let senders: Vec<TxAccess> = (0..100).map(|sender| tx(sender % 50, 100)).collect();
    assert_eq!(explain(&senders).senders.len(), SENDERS_MAX);
}

#[test]
fn a_profile_adds_up_what_a_contract_causes() {
    let (here, other) = (slot(HERE, 1), slot(HERE, 2));
    let there = slot(THERE, 1);
    let one = [
        tx(1, 100).changing(&[here, there]),
        // For both contracts.
        tx(2, 200).changing(&[here, there]),
        // For this one alone.
        tx(3, 400).changing(&[here, other]),
        // Not for this one.
        tx(4, 800).reading(&[there]),
        // It looks at it, and waits for nobody.
        tx(5, 10).reading(&[slot(HERE, 9)]),
    ];
    let strangers = [tx(1, 100), tx(2, 300)];
    let mut profile = ContractProfile::new(HERE);
    for txs in [&one[..], &strangers[..]] {
        profile.add(txs, &explain(txs));
    }
    // The path of the first block is 0, 1, 3: what comes last waits for the other contract.
    assert_eq!(path(&explain(&one).gas), [0, 1, 3]);
    assert_eq!((profile.blocks, profile.touched_blocks), (2, 1));
    assert_eq!((profile.txs, profile.touched_txs), (7, 4));
    assert_eq!((profile.gas_used, profile.path_gas), (1_910, 1_400));
    assert_eq!((profile.serial_gas, profile.alone_gas, profile.pairs), (200, 0, 2));
    let share = FieldShare { serial_gas: 200, pairs: 2 };
    assert_eq!(profile.fields(), [(Field::Slot(U256::from(1)), share)]);

    // Without that last one the contract alone holds up the third.
    let mut profile = ContractProfile::new(HERE);
    profile.add(&one[..3], &explain(&one[..3]));
    assert_eq!((profile.path_gas, profile.serial_gas, profile.alone_gas), (700, 600, 400));
}

/// How long a block takes on some cores, in gas.
fn length(txs: &[TxAccess], cores: usize, order: Order) -> u64 {
    let weights: Vec<u64> = txs.iter().map(|tx| tx.gas_used).collect();
    ConflictGraph::new(txs, AUTHOR, Balances::Exact).schedule(cores, order, &weights).length
}

#[test]
fn the_heaviest_of_strangers_comes_first() {
    let txs = [tx(1, 100), tx(2, 100), tx(3, 100), tx(4, 300)];
    // In block order the heavy one begins when the light ones have ended on one core.
    assert_eq!(length(&txs, 2, Order::Block), 400);
    assert_eq!(length(&txs, 2, Order::Heaviest), 300);
    // On one core, and on many, no order is better than another one.
    for order in [Order::Block, Order::Heaviest] {
        assert_eq!(length(&txs, 1, order), 600);
        assert_eq!(length(&txs, 4, order), 300);
        assert_eq!(length(&txs, 0, order), 600, "a core is the least");
    }
}

#[test]
fn heaviest_first_is_worse_where_a_light_one_holds_up_a_heavy_one() {
    let hot = [slot(HERE, 1)];
    let txs =
        [tx(1, 200).changing(&hot), tx(2, 300), tx(3, 300), tx(4, 400).reading(&hot), tx(5, 100)];
    // The first and second, 200 and 300; the third from 200 to 500, the fourth from 300 to 700.
    assert_eq!(length(&txs, 2, Order::Block), 700);
    // The second and third to 300; the first to 500 and the last to 400; the fourth to 900.
    assert_eq!(length(&txs, 2, Order::Heaviest), 900);
    // What becomes ready at the same time is taken by weight as well.
    let txs = [
        tx(1, 100).changing(&hot),
        tx(2, 100).reading(&hot),
        tx(3, 100).reading(&hot),
        tx(4, 200).reading(&hot),
    ];
    assert_eq!(length(&txs, 2, Order::Block), 400);
    assert_eq!(length(&txs, 2, Order::Heaviest), 300);
}

#[test]
fn weights_may_be_times() {
    let txs = [tx(1, 100), tx(2, 100), tx(3, 100)];
    let graph = ConflictGraph::new(&txs, AUTHOR, Balances::Exact);
    let schedule = graph.schedule(2, Order::Block, &[7, 20, 9]);
    assert_eq!(schedule, Schedule { cores: 2, total: 36, length: 20 });
    assert_eq!(schedule.speed_up(), 1.8);
    // What has no weight takes no time, and what is weighed beyond the block is not there.
    assert_eq!(graph.schedule(1, Order::Heaviest, &[7]).length, 7);
    assert_eq!(graph.schedule(1, Order::Block, &[1; 9]).total, 3);
}

#[test]
fn sums_of_balances_are_no_conflicts() {
    let [balance, code] =
        [Field::Balance, Field::Code].map(|field| StateField { address: HERE, field });
    let txs = [
        tx(1, 100).changing(&[balance]),
        tx(2, 100).changing(&[balance]),
        // The order of a sender stands.
        tx(1, 100),
        tx(3, 100).tipping(),
        tx(4, 100).changing(&[slot(HERE, 1), code]),
        tx(5, 100).reading(&[slot(HERE, 1)]),
        tx(6, 100).changing(&[balance]),
    ];
    let on = |balances| -> Vec<Vec<usize>> {
        let graph = ConflictGraph::new(&txs, AUTHOR, balances);
        let all = graph.dependencies.iter();
        all.map(|list| list.iter().map(|dependency| dependency.on).collect()).collect()
    };
    let exact = on(Balances::Exact);
    assert_eq!(exact, [vec![], vec![0], vec![0], vec![2], vec![1], vec![4], vec![1, 4]]);
    let lazy = on(Balances::Lazy);
    assert_eq!(lazy, [vec![], vec![], vec![0], vec![], vec![], vec![4], vec![4]]);
    // Who pays the fee recipient waits for nobody then.
    let weights = [100; 7];
    let graph = ConflictGraph::new(&txs, AUTHOR, Balances::Lazy);
    assert_eq!(graph.schedule(7, Order::Block, &weights).length, 200);
    let graph = ConflictGraph::new(&txs, AUTHOR, Balances::Exact);
    assert_eq!(graph.schedule(7, Order::Block, &weights).length, 400);
}

#[test]
fn a_nonce_is_a_conflict_for_who_counts_it_up() {
    let nonce = StateField { address: HERE, field: Field::Nonce };
    let txs = [
        tx(1, 100).changing(&[nonce]),
        // It calls the contract, and makes none with it.
        tx(2, 100).reading(&[nonce]),
        tx(3, 100).changing(&[nonce]),
    ];
    for balances in [Balances::Lazy, Balances::Least] {
        let graph = ConflictGraph::new(&txs, AUTHOR, balances);
        let lists: Vec<usize> = graph.dependencies.iter().map(Vec::len).collect();
        assert_eq!(lists, [0, 0, 1], "{balances:?}");
        assert_eq!(graph.dependencies[2][0].on, 0, "{balances:?}");
    }
}

#[test]
fn with_the_state_at_hand_nobody_waits() {
    let hot = [slot(HERE, 1)];
    // A row by the slot, by the sender, and by the fees.
    let txs = [
        tx(1, 100).changing(&hot),
        tx(2, 100).changing(&hot),
        tx(2, 100),
        tx(3, 300).changing(&hot).looking(),
    ];
    let weights = [100, 100, 100, 300];
    let graph = ConflictGraph::new(&txs, AUTHOR, Balances::Exact);
    assert_eq!(graph.schedule(2, Order::Heaviest, &weights).length, 600);
    let graph = ConflictGraph::independent(&txs, AUTHOR);
    let length = |cores, order| graph.schedule(cores, order, &weights).length;
    assert_eq!(length(2, Order::Heaviest), 300);
    // In block order the heaviest begins when two of the others have ended.
    assert_eq!(length(2, Order::Block), 400);
    assert_eq!([1, 3, 4].map(|cores| length(cores, Order::Heaviest)), [600, 300, 300]);
}

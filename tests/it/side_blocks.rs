//! Blocks beside the chain that are not forgotten: they are read by their hashes, with their states
//! and all that follows from these, as when they were in the chain (EIP-1898).

use crate::{
    engine_support::{BRANCHES, Branches, Node, Setup, check_view, choice, index},
    import_support::{Recipe, Replayed, TestChain},
    rules_support::{UNKNOWN, Wire, WireChain, quantity},
};
use fugue_chain::ChainView;
use fugue_chainspec::Fork;
use fugue_state::{MemoryState, StateView};
use fugue_storage::{Faults, Store};
use fugue_types::{Address, B256, Bytes, U256};
use serde_json::{Value, json};

/// Batches so large that nothing becomes durable before the end.
const LARGE: usize = 1_000;
/// So many transactions that the blocks of each branch have logs.
const ONE: Recipe =
    Recipe { seed: 0x5b5, fork: Fork::Prague, blocks: 8, transactions: 80, shared: 4, branch: 1 };
const TWO: Recipe = Recipe { blocks: 9, branch: 2, ..ONE };
/// How often a call is looked at: others may read at the same time.
const LOOKS: usize = 5;
/// Where code is assumed to be.
const HERE: Address = Address::repeat_byte(0xca);
/// Returns the hash of the block before the one it runs in.
const PARENT_HASH: &[u8] =
    &[0x60, 0x01, 0x43, 0x03, 0x40, 0x60, 0x00, 0x52, 0x60, 0x20, 0x60, 0x00, 0xf3];

/// The chain up to a block.
#[track_caller]
fn up_to(node: &Node, hash: B256) -> ChainView {
    node.view().up_to(hash).expect("a good store").expect("a known block")
}

/// Waits until nothing is on its way to the store, and what left it is beside the chain.
fn quiet(node: &Node) {
    node.until("keeping what left", |status| !status.is_persisting && status.orphans == 0);
}

#[test]
fn a_branch_beside_the_chain_has_all_of_its_states_whatever_is_durable() {
    let Branches { one, two, common, of_one, of_two } = &*BRANCHES;
    for batch in [LARGE, 2] {
        let node = Node::in_memory(one, &Setup::new(batch));
        node.follow(&one.blocks);
        let durable = node.settled().durable.number;
        assert_eq!(durable > *common, batch == 2, "block {durable} is durable");
        // Executed, and not chosen yet.
        node.send(BRANCHES.own_of_two());
        let told = format!("batches of {batch}, beside the chain");
        check_view(&up_to(&node, two.head().hash), two, of_two, &told);
        assert_eq!(node.view().number(two.head().hash), Ok(None));
        for (chosen, beside, replayed) in [(two, one, of_one), (one, two, of_two)] {
            node.choose(choice(chosen.head().hash));
            quiet(&node);
            check_view(&up_to(&node, beside.head().hash), beside, replayed, &told);
        }
    }
}

/// What tells two blocks with one number apart.
struct Places {
    number: u64,
    /// Its balance is not the same after them.
    account: Address,
    /// Its value is the same neither before nor after them.
    slot: (Address, U256),
}

impl Places {
    fn new(common: u64, of_one: &Replayed, of_two: &Replayed) -> Self {
        const NONE: &str = "none: take another seed";
        let has_logs = |replayed: &Replayed, number: u64| {
            replayed.receipts[index(number)].iter().any(|receipt| !receipt.logs().is_empty())
        };
        let last = of_one.states.len() as u64 - 1;
        let is_one = |number: &u64| has_logs(of_one, *number) && has_logs(of_two, *number);
        let number = (common + 2..=last).rev().find(is_one).expect(NONE);
        let states = |number: u64| -> [&MemoryState; 2] {
            [&of_one.states[index(number)], &of_two.states[index(number)]]
        };
        let ([before_one, before_two], [one, two]) = (states(number - 1), states(number));
        let balance = |state: &MemoryState, address: Address| {
            state.accounts.get(&address).map(|found| found.account.balance)
        };
        let keys = of_one.keys();
        let mut accounts = keys.keys().copied();
        let account = accounts.find(|it| balance(one, *it) != balance(two, *it)).expect(NONE);
        let mut slots =
            keys.iter().flat_map(|(owner, slots)| slots.iter().map(move |it| (*owner, *it)));
        let differs = |one: &MemoryState, two: &MemoryState, (owner, slot): (Address, U256)| {
            one.slot(owner, slot) != two.slot(owner, slot)
        };
        let slot = slots.find(|it| differs(before_one, before_two, *it) && differs(one, two, *it));
        Self { number, account, slot: slot.expect(NONE) }
    }

    /// Calls of every kind that name a block by its hash.
    fn questions(&self, hash: B256) -> Vec<(&'static str, Value)> {
        let Self { number: _, account, slot: (owner, slot) } = *self;
        let (block, slot) = (json!({ "blockHash": hash }), B256::from(slot));
        let balance: &[u8] = &[0x31, 0x60, 0x00, 0x52, 0x60, 0x20, 0x60, 0x00, 0xf3];
        let balance = Bytes::from([&[0x73_u8][..], account.as_slice(), balance].concat());
        let message = json!({ "to": HERE });
        let with_code = |code: &[u8]| {
            let code = Bytes::copy_from_slice(code);
            json!({ HERE.to_string(): { "code": code } })
        };
        let simulated = json!({ "blockStateCalls": [{ "calls": [message] }] });
        let within = json!({ "blockNumber": block, "transactionIndex": 1 });
        let calls = json!({ "tracer": "callTracer" });
        let parent = with_code(PARENT_HASH);
        vec![
            ("debug_executionWitness", json!([block])),
            ("debug_executionWitnessByBlockHash", json!([hash])),
            ("debug_getRawReceipts", json!([block])),
            ("debug_intermediateRoots", json!([hash])),
            ("debug_storageRangeAt", json!([hash, 0, owner, "0x", 1_024])),
            ("debug_traceBlockByHash", json!([hash, calls])),
            ("eth_call", json!([message, block, with_code(&balance)])),
            ("eth_call", json!([message, block, parent])),
            ("eth_callMany", json!([[{ "transactions": [message] }], within, parent])),
            ("eth_getAccount", json!([owner, block])),
            ("eth_getBalance", json!([account, block])),
            ("eth_getBlockReceipts", json!([hash])),
            ("eth_getLogs", json!([block])),
            ("eth_getProof", json!([owner, [slot], block])),
            ("eth_getStorageAt", json!([owner, slot, block])),
            ("eth_simulateV1", json!([simulated, block])),
            ("ots_getBlockDetailsByHash", json!([hash])),
            ("trace_block", json!([hash])),
        ]
    }

    /// What these calls are answered with.
    fn answers(&self, wire: &Wire, hash: B256) -> Vec<(&'static str, Value)> {
        let answer = |(method, params): (&'static str, Value)| {
            let mut answer = wire.public_ok(method, &params);
            // The keys of slots are told where they are known, which depends on what is durable.
            for slots in answer.get_mut("storage").into_iter().filter_map(Value::as_object_mut) {
                slots.values_mut().for_each(|slot| slot["key"] = Value::Null);
            }
            (method, answer)
        };
        self.questions(hash).into_iter().map(answer).collect()
    }
}

#[test]
fn a_block_beside_the_chain_answers_as_it_did_in_it_unless_it_must_be_canonical() {
    let two = TestChain::new(&TWO);
    let of_two = Replayed::new(&two);
    for batch in [LARGE, 2] {
        let chain = WireChain::of_recipe(&ONE);
        let common = chain.chain.fork_with(&two);
        let places = Places::new(common, &Replayed::new(&chain.chain), &of_two);
        let node = Node::in_memory(&chain.chain, &Setup::new(batch));
        let wire = Wire::over(chain, node);
        let [left, joined] = [&wire.chain.chain, &two].map(|chain| chain.hash(places.number));
        let before = two.hash(places.number - 1);
        wire.node.follow(&wire.chain.chain.blocks);
        let of_left = places.answers(&wire, left);
        // Executed, and not chosen yet.
        wire.node.send(&two.blocks[index(common)..]);
        let of_joined = places.answers(&wire, joined);
        for ((method, one), (_, other)) in of_left.iter().zip(&of_joined) {
            assert_ne!(one, other, "{method}");
        }
        assert!(of_joined.contains(&("eth_call", json!(before))), "the hash of its parent");
        for head in [two.head(), wire.chain.chain.head()] {
            wire.node.choose(choice(head.hash));
            quiet(&wire.node);
            for (hash, answers) in [(left, &of_left), (joined, &of_joined)] {
                assert_eq!(places.answers(&wire, hash), *answers, "batches of {batch}, {head:?}");
            }
        }
        // By its number it is the one in the chain.
        let account = places.account;
        let balance = json!([account, quantity(places.number)]);
        let balance = ("eth_getBalance", wire.public_ok("eth_getBalance", &balance));
        assert!(of_left.contains(&balance) && !of_joined.contains(&balance));

        let asked = |block: Value| {
            let message = json!({ "to": account });
            [
                ("debug_executionWitness", json!([block])),
                ("debug_traceCall", json!([message, block])),
                ("eth_call", json!([message, block])),
                ("eth_getBalance", json!([account, block])),
                ("eth_getCode", json!([account, block])),
                ("eth_getProof", json!([account, [], block])),
                ("eth_getStorageAt", json!([account, "0x0", block])),
                ("eth_getTransactionCount", json!([account, block])),
            ]
        };
        for (method, params) in asked(json!({ "blockHash": left, "requireCanonical": true })) {
            wire.public_ok(method, &params);
        }
        let not_canonical = format!("hash {joined} is not currently canonical");
        for (hash, must_be, code, told) in [
            (joined, true, -32_000, not_canonical.as_str()),
            (UNKNOWN, true, -32_001, "block not found"),
            (UNKNOWN, false, -32_001, "block not found"),
        ] {
            let block = json!({ "blockHash": hash, "requireCanonical": must_be });
            for (method, params) in asked(block) {
                let error = wire.public.call(method, &params).expect_err(method);
                assert_eq!((error.code, error.message.as_str()), (code, told), "{method}");
            }
        }
    }
}

#[test]
fn what_a_view_keeps_for_roots_is_there_for_the_next_call() {
    let chain = WireChain::of_recipe(&ONE);
    let faults = Faults::counted();
    let store = Store::memory(faults.clone());
    let node = Node::open(store, None, &chain.chain.genesis, &Setup::new(LARGE));
    let wire = Wire::over(chain, node.expect("a good store"));
    wire.node.follow(&wire.chain.chain.blocks);
    quiet(&wire.node);
    let hash = json!([wire.chain.chain.head().hash]);
    let reads = |method: &str| {
        let before = faults.operations();
        wire.public_ok(method, &hash);
        faults.operations() - before
    };
    // Codes are kept by whatever runs a block first.
    reads("trace_block");
    let first = reads("debug_intermediateRoots");
    let again = [(); LOOKS].map(|()| reads("debug_intermediateRoots"));
    assert!(again.iter().any(|again| *again < first), "{first} reads, then {again:?}");
}

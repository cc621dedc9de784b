//! Execution witnesses and proofs that a node makes of its own chain: of every kind of block, of
//! durable ones and of those above them.

use crate::{
    engine_support::{Folder, Node, Setup, index},
    import_support::{DESTRUCTIVE, MODERN, OLD, Replayed, TestChain},
    node_support::Site,
    rules_support::WireChain,
};
use fugue_chain::{Chain, ChainOptions, ChainView, ExecutionWitness, Reach};
use fugue_chainspec::Fork;
use fugue_executor::{Execution, Executor, Mode, Scope};
use fugue_state::{MemoryState, StateView};
use fugue_storage::{Access, Store, StoreOptions};
use fugue_trie::{
    EMPTY_ROOT_HASH, HashedDiff, Nibbles, Sibling, TrieAccount, Witness, WitnessState,
    step_through, verify_proof,
};
use fugue_types::{
    Address, B256, B256Map, Bytes, HashMap, Header, KECCAK256_EMPTY, U256, keccak256,
};
use serde_json::json;
use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
};

/// No bounds.
const FAR: Reach<'static> =
    Reach { blocks_max: u64::MAX, changes_max: usize::MAX, check: &|| Ok(()) };
/// From one block whose proofs are checked to the next.
const PROOF_STEP: usize = 11;

fn witness(view: &ChainView, number: u64) -> ExecutionWitness {
    let witness = view.execution_witness(number, &FAR);
    let witness = witness.unwrap_or_else(|error| panic!("block {number}: {error}"));
    witness.unwrap_or_else(|| panic!("block {number}: no witness"))
}

/// The header of each ancestor, which follow one another up to the parent.
fn hashes(chain: &TestChain, number: u64, witness: &ExecutionWitness) -> HashMap<u64, B256> {
    let mut hashes = HashMap::default();
    let mut child = chain.block(number).block().header.clone();
    for rlp in witness.headers.iter().rev() {
        let header: Header = alloy_rlp::decode_exact(rlp).expect("a header");
        assert_eq!(header.hash_slow(), child.parent_hash, "block {number}");
        hashes.insert(header.number, child.parent_hash);
        child = header;
    }
    assert!(hashes.contains_key(&(number - 1)), "block {number}: not the parent");
    hashes
}

/// From the witness alone the block gives what its header says.
fn check(chain: &TestChain, number: u64, witness: &ExecutionWitness) {
    let (block, before) = (chain.block(number), chain.block(number - 1));
    let (header, root) = (&block.block().header, before.block().header.state_root);
    let told = format!("block {number}");
    let nodes = Witness::new(witness.state.iter().cloned(), Sibling::Needed);
    let codes = witness.codes.iter().map(|code| (keccak256(code), code.clone()));
    let codes: B256Map<Bytes> = codes.collect();
    let hashes = hashes(chain, number, witness);
    let state = WitnessState::new(&nodes, root, &codes, &hashes);

    // With codes of no other block.
    let executor = Executor::new(1).expect("a thread");
    let rules = chain.genesis.chain.rules(header);
    let checked = block.clone().check(|_| Ok::<_, Infallible>(())).expect("nothing is judged");
    let prepared = executor.prepare(checked, &rules).expect("good signatures");
    let done = executor.execute(Mode::Seq, &prepared, &rules, &state, Scope::Block);
    let Execution { outcome, .. } = done.unwrap_or_else(|error| panic!("{told}: {error}"));
    assert_eq!(outcome.gas_used, header.gas_used, "{told}");
    let mut tries = nodes.tries(root);
    let whole = tries.apply(&nodes, &HashedDiff::from(&outcome.diff), None);
    assert!(whole.is_ok(), "{told}: {whole:?}");
    assert_eq!(tries.root(), header.state_root, "{told}");
    if !outcome.steps.is_empty() {
        let mut tries = nodes.tries(root);
        let steps = step_through(&mut tries, &nodes, &outcome.steps, &outcome.diff);
        let steps = steps.unwrap_or_else(|error| panic!("{told}: {error}"));
        tries.apply(&nodes, &HashedDiff::from(&steps.rest), None).expect("nothing lacks");
        assert_eq!(tries.root(), header.state_root, "{told}");
    }

    let keys: BTreeSet<&[u8]> = witness.keys.iter().map(|key| &key[..]).collect();
    assert_eq!(keys.len(), witness.keys.len(), "{told}: a key stands twice");
    for change in &outcome.diff.accounts {
        assert!(keys.contains(change.address.as_slice()), "{told}: {}", change.address);
        for slot in &change.slots {
            assert!(keys.contains(&slot.slot.to_be_bytes::<32>()[..]), "{told}: {}", slot.slot);
        }
    }
    assert!(witness.state.is_sorted() && !witness.state.is_empty(), "{told}");
    let parts = [&witness.state, &witness.codes, &witness.keys, &witness.headers];
    let bytes: usize = parts.into_iter().flatten().map(|part| part.len()).sum();
    assert_eq!(witness.bytes(), bytes, "{told}");
}

/// Accounts and slots after a block are proven to be what they are in the maps.
fn check_proofs(
    view: &ChainView,
    number: u64,
    state: &MemoryState,
    keys: &BTreeMap<Address, BTreeSet<U256>>,
) {
    let (_, header) = view.header(number).expect("a good store").expect("a block of the chain");
    for (address, slots) in keys {
        let slots: Vec<U256> = slots.iter().take(3).copied().chain([U256::MAX]).collect();
        let proof = view.proof(number, *address, &slots, &FAR);
        let proof = proof.expect("a good store").expect("a block of the chain");
        assert_eq!(Ok(proof.account), state.account(*address), "block {number}: {address}");
        let rlp = proof.account.map(|account| {
            alloy_rlp::encode(TrieAccount {
                nonce: account.nonce,
                balance: account.balance,
                storage_root: proof.storage_root,
                code_hash: account.code_hash,
            })
        });
        let key = Nibbles::unpack(keccak256(address));
        verify_proof(header.state_root, key, rlp, &proof.nodes).expect("it holds");
        for (slot, proven) in slots.iter().zip(&proof.slots) {
            assert_eq!(Ok(proven.value), state.slot(*address, *slot), "block {number}: {address}");
            let key = Nibbles::unpack(keccak256(slot.to_be_bytes::<32>()));
            let rlp = (!proven.value.is_zero()).then(|| alloy_rlp::encode(proven.value));
            verify_proof(proof.storage_root, key, rlp, &proven.nodes).expect("it holds");
        }
    }
}

/// A node at the end of a chain, some of which is durable and some of which is not.
fn half_durable(chain: &TestChain) -> Node {
    let node = Node::in_memory(chain, &Setup::new(chain.blocks.len() * 2 / 3));
    node.follow(&chain.blocks);
    let durable = node.settled().durable.number;
    assert!(durable > 0 && durable < chain.head().number, "block {durable} is durable");
    node
}

fn check_all(view: &ChainView, chain: &TestChain) {
    let last = chain.head().number;
    for number in 1..=last {
        let made = witness(view, number);
        check(chain, number, &made);
        if number % 7 == 0 {
            assert_eq!(made, witness(view, number), "block {number}: another one");
        }
    }
    for none in [0, last + 1] {
        assert_eq!(view.execution_witness(none, &FAR), Ok(None), "block {none}");
    }
    let replayed = Replayed::new(chain);
    let keys = replayed.keys();
    for number in (0..=last).step_by(PROOF_STEP).chain([last]) {
        check_proofs(view, number, &replayed.states[index(number)], &keys);
    }
}

#[test]
fn blocks_that_create_and_destroy_have_witnesses() {
    check_all(&half_durable(&DESTRUCTIVE).view(), &DESTRUCTIVE);
}

#[test]
fn blocks_of_the_newest_fork_have_witnesses() {
    check_all(&half_durable(&MODERN).view(), &MODERN);
}

#[test]
fn blocks_whose_receipts_hold_state_roots_have_witnesses() {
    let folder = Folder::new();
    let options = StoreOptions::new(Access::Write, 2);
    let store = Store::open(&folder.store(), options).expect("a folder of our own");
    Chain::init(&store, &OLD.genesis).expect("an empty store");
    let imports = ChainOptions::new(Mode::Seq, 1);
    let chain = Chain::open(store, OLD.genesis.chain.clone(), imports);
    let mut chain = chain.expect("a good store");
    for block in &OLD.blocks {
        chain.import(block.clone()).expect("a good block");
    }
    chain.flush().expect("room");
    drop(chain);
    let node = Node::on(&folder, &OLD, &Setup::new(1));
    check_all(&node.view(), &OLD);
}

#[test]
fn a_witness_that_is_given_up_or_out_of_reach_is_not_given() {
    let node = half_durable(&MODERN);
    let view = node.view();
    let near = Reach { blocks_max: 1, ..FAR };
    let told = view.execution_witness(1, &near).unwrap_err().to_string();
    assert!(told.contains("state roots go back 1 blocks"), "{told}");
    let enough = || -> Result<(), String> { Err("enough".to_owned()) };
    let given_up = Reach { check: &enough, ..FAR };
    let told = view.execution_witness(MODERN.head().number, &given_up).unwrap_err().to_string();
    assert!(told.contains("enough"), "{told}");
}

#[test]
fn proofs_and_witnesses_have_their_form_over_the_wire() {
    let site = Site::new(WireChain::new(Fork::Osaka));
    let node = site.start(&["--http", "--http.port", "0", "--http.api", "eth,debug"]);
    site.follow(node.engine(), 1..=site.chain.last());
    let public = node.public();
    let absent = Address::repeat_byte(0xab);
    let slot = |key| json!({ "key": key, "value": "0x0", "proof": [] });
    for block in [json!("latest"), json!("0x0"), json!({ "blockHash": site.chain.hash(2) })] {
        let params = json!([absent, ["0x00", B256::ZERO], block]);
        let mut proof = public.call("eth_getProof", &params).expect("a proof");
        let nodes = proof["accountProof"].take();
        assert!(nodes.as_array().is_some_and(|nodes| !nodes.is_empty()), "{block}: {nodes}");
        let expected = json!({
            "address": absent, "accountProof": null, "balance": "0x0", "nonce": "0x0",
            "codeHash": KECCAK256_EMPTY, "storageHash": EMPTY_ROOT_HASH,
            "storageProof": [slot(json!("0x0")), slot(json!(B256::ZERO))],
        });
        assert_eq!(proof, expected, "{block}");
    }

    let without = public.call("eth_getProof", &json!([absent, [], "latest"])).expect("a proof");
    assert_eq!(without["storageProof"], json!([]));
    assert_eq!(public.call("eth_getProof", &json!([absent, null, "latest"])), Ok(without));

    let witness = public.call("debug_executionWitness", &json!(["latest"])).expect("a witness");
    let hash = site.chain.hash(site.chain.last());
    let by_hash = public.call("debug_executionWitnessByBlockHash", &json!([hash]));
    assert_eq!(by_hash, Ok(witness.clone()));
    for part in ["state", "codes", "keys", "headers"] {
        assert!(witness[part].is_array(), "{part}: {witness}");
    }

    let many = vec!["0x0"; 1_025];
    let unknown = B256::repeat_byte(0x99);
    for (method, params, code, told) in [
        ("eth_getProof", json!([absent, many, "latest"]), -32_602, "(storage keys): 1025 values"),
        ("eth_getProof", json!([absent, ["0xg"], "latest"]), -32_602, "(storage keys): [0]: "),
        ("eth_getProof", json!([absent]), -32_602, "missing argument 1 (storage keys)"),
        ("eth_getProof", json!([absent, [], unknown]), -32_001, "block not found"),
        ("debug_executionWitness", json!(["0x0"]), -32_000, "the genesis is not executed"),
        ("debug_executionWitness", json!(["0xffff"]), -32_001, "block not found"),
        ("debug_executionWitnessByBlockHash", json!([unknown]), -32_001, "block not found"),
        ("debug_executionWitnessByBlockHash", json!(["0x1"]), -32_602, "(block hash)"),
    ] {
        let error = public.call(method, &params).expect_err("refused");
        assert_eq!(error.code, code, "{method}: {error:?}");
        assert!(error.message.contains(told), "{method}: {error:?}");
    }
    node.stop();
}

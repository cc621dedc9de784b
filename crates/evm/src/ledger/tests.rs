//! A ledger beside a kernel that runs the same payments in one journal.

use super::*;
use crate::{CodeCache, FeePayment, Kernel, ViewReader};
use alloy_consensus::{Signed, TxEip1559, TxEip2930, TxLegacy};
use alloy_primitives::Signature;
use fugue_chainspec::ChainSpec;
use fugue_state::{MemoryAccount, MemoryState};
use fugue_types::{B256, KECCAK256_EMPTY, Transaction, TxKind, keccak256};
use revm::context_interface::transaction::{AccessList, AccessListItem};

const SENDER: Address = Address::repeat_byte(0xa1);
/// Has sent five transactions.
const OLD: Address = Address::repeat_byte(0xa2);
/// Can pay for the gas of a payment, and 9 wei.
const EXACT: Address = Address::repeat_byte(0xa3);
/// Has sent as many as there can be.
const LAST: Address = Address::repeat_byte(0xa4);
const PAYEE: Address = Address::repeat_byte(0xb0);
/// Is not there.
const STRANGER: Address = Address::repeat_byte(0xb1);
/// Is there, and empty.
const EMPTY: Address = Address::repeat_byte(0xb2);
/// Has so much that its balance counts as seen.
const VAST: Address = Address::repeat_byte(0xb3);
/// Has all that fits.
const FULL: Address = Address::repeat_byte(0xb4);
const CONTRACT: Address = Address::repeat_byte(0xc0);
const DELEGATED: Address = Address::repeat_byte(0xc1);
const AUTHOR: Address = Address::repeat_byte(0xfe);
/// In no state.
const NOBODY: Address = Address::repeat_byte(0x0b);
const ETHER: u64 = 1_000_000_000_000_000_000;
const GAS_PRICE: u128 = 10;
/// From London on.
const BASE_FEE: u64 = 7;
/// All on which a ledger takes anything.
const FORKS: [Fork; 11] = [
    Fork::Byzantium,
    Fork::Constantinople,
    Fork::Petersburg,
    Fork::Istanbul,
    Fork::Berlin,
    Fork::London,
    Fork::Paris,
    Fork::Shanghai,
    Fork::Cancun,
    Fork::Prague,
    Fork::Osaka,
];

fn state() -> MemoryState {
    let mut state = MemoryState::default();
    let mut add = |address, nonce, balance: U256, code: &[u8]| {
        let code_hash = if code.is_empty() { KECCAK256_EMPTY } else { keccak256(code) };
        let account = Account { nonce, balance, code_hash };
        state.accounts.insert(address, MemoryAccount { account, ..MemoryAccount::default() });
        if !code.is_empty() {
            state.codes.insert(code_hash, Bytes::copy_from_slice(code));
        }
    };
    let ether = U256::from(ETHER);
    let gas = U256::from(GAS_PRICE) * U256::from(PAYMENT_GAS);
    add(SENDER, 0, ether, &[]);
    add(OLD, 5, ether, &[]);
    add(EXACT, 0, gas + U256::from(9), &[]);
    add(LAST, u64::MAX, ether, &[]);
    add(PAYEE, 0, U256::ONE, &[]);
    add(EMPTY, 0, U256::ZERO, &[]);
    add(VAST, 3, U256::ONE << 241, &[]);
    add(FULL, 0, U256::MAX, &[]);
    add(CONTRACT, 1, ether, &[0]);
    let designator = [&[0xef, 0x01, 0x00][..], CONTRACT.as_slice()].concat();
    add(DELEGATED, 1, ether, &designator);
    add(AUTHOR, 0, ether, &[]);
    state
}

/// A payment before it is signed.
#[derive(Debug, Clone)]
struct Draft {
    from: Address,
    nonce: u64,
    to: TxKind,
    value: U256,
    gas_limit: u64,
    price: Price,
    chain_id: Option<u64>,
    input: Bytes,
}

/// The type of a transaction, with what it pays for gas.
#[derive(Debug, Clone)]
enum Price {
    Legacy(u128),
    /// With this access list.
    Listed(u128, AccessList),
    /// At most, and as a tip.
    Tipped(u128, u128),
}

fn pays(from: Address, nonce: u64, to: Address, value: u64) -> Draft {
    Draft {
        from,
        nonce,
        to: TxKind::Call(to),
        value: U256::from(value),
        gas_limit: PAYMENT_GAS,
        price: Price::Legacy(GAS_PRICE),
        chain_id: None,
        input: Bytes::new(),
    }
}

/// A payment that is plain.
fn plain() -> Draft {
    pays(SENDER, 0, PAYEE, 5)
}

/// As a payment that is plain, but for what it pays for gas.
fn priced(price: Price) -> Draft {
    Draft { price, chain_id: Some(1), ..plain() }
}

impl Draft {
    fn prepare(&self) -> PreparedTx {
        // The sender is given: nobody looks at the signature.
        let signature = Signature::new(U256::ONE, U256::ONE, false);
        let Self { from, nonce, to, value, gas_limit, price, chain_id, input } = self.clone();
        let tx = match price {
            Price::Legacy(gas_price) => {
                let tx = TxLegacy { chain_id, nonce, gas_price, gas_limit, to, value, input };
                Transaction::Legacy(Signed::new_unhashed(tx, signature))
            }
            Price::Listed(gas_price, access_list) => {
                let chain_id = chain_id.unwrap_or(1);
                let tx = TxEip2930 {
                    chain_id,
                    nonce,
                    gas_price,
                    gas_limit,
                    to,
                    value,
                    access_list,
                    input,
                };
                Transaction::Eip2930(Signed::new_unhashed(tx, signature))
            }
            Price::Tipped(max_fee_per_gas, max_priority_fee_per_gas) => {
                let tx = TxEip1559 {
                    chain_id: chain_id.unwrap_or(1),
                    nonce,
                    gas_limit,
                    max_fee_per_gas,
                    max_priority_fee_per_gas,
                    to,
                    value,
                    access_list: AccessList::default(),
                    input,
                };
                Transaction::Eip1559(Signed::new_unhashed(tx, signature))
            }
        };
        PreparedTx::new(&tx, from).expect("a known type")
    }
}

fn header() -> Header {
    Header {
        number: 1,
        gas_limit: 30_000_000,
        beneficiary: AUTHOR,
        base_fee_per_gas: Some(BASE_FEE),
        excess_blob_gas: Some(0),
        ..Header::default()
    }
}

fn rules(fork: Fork) -> Rules {
    ChainSpec::at_fork(1, fork).rules(&header())
}

/// Runs transactions in a ledger, and in one kernel those that it takes; tells which these are.
/// With `true` transactions of the sender may be missing. A ledger leaves each fee to others, and a
/// kernel does if nothing has looked at the fee recipient: it is one of whom nobody knows.
fn taken_of(fork: Fork, txs: &[(Draft, bool)]) -> Vec<bool> {
    let (state, rules, header) = (state(), rules(fork), header());
    let codes = CodeCache::new();
    let reader = ViewReader(&state);
    let aside = Header { beneficiary: NOBODY, ..header.clone() };
    let mut kernel = Kernel::new(&rules, &aside, &codes, reader, FeePayment::Deferred);
    kernel.note_touches(Touched::default());
    let mut ledger = Ledger::new(&rules, &header, &state, Touched::default());
    let mut taken = Vec::new();
    for (draft, may_assume) in txs {
        let tx = draft.prepare();
        let noted = ledger.touched.len();
        let paid = ledger.pay(&tx, *may_assume).expect("a state in memory");
        taken.push(paid.is_some());
        assert_eq!(ledger.touched.len(), noted + usize::from(paid.is_some()), "{fork}: {draft:?}");
        let Some(Paid { executed, is_assumed, .. }) = paid else { continue };
        let expected = match may_assume {
            true => kernel.transact_assuming(&tx),
            false => (false, kernel.transact(&tx)),
        };
        assert_eq!((is_assumed, Ok(executed)), expected, "{fork}: {draft:?}");
    }
    are_equal(fork, &ledger.into_history(), &kernel.into_history());
    taken
}

fn are_equal(fork: Fork, light: &History, full: &History) {
    assert_eq!(light.diff, full.diff, "{fork}");
    assert_eq!(light.restored, full.restored, "{fork}");
    assert_eq!(light.touched.len(), full.touched.len(), "{fork}");
    assert_eq!(light.touched.codes(), full.touched.codes(), "{fork}");
    for tx in 0..full.touched.len() {
        let [light, full] = [&light.touched, &full.touched].map(|touched| {
            let (accounts, slots) = touched.of(tx);
            let tags: Vec<_> =
                accounts.iter().map(|touch| (tag(&touch.address), tx as u32)).collect();
            assert_eq!(touched.tags_of(tx), tags, "{fork}, {tx}");
            let mut accounts = accounts.to_vec();
            accounts.sort_unstable_by_key(|touch| touch.address);
            (accounts, slots.to_vec())
        });
        assert_eq!(light, full, "{fork}, {tx}");
    }
    for address in [SENDER, OLD, EXACT, PAYEE, STRANGER, VAST, AUTHOR] {
        // Of what it has left to others it may have loaded something as well.
        assert!(light.has_loaded(&address) || !full.has_loaded(&address), "{fork}: {address}");
        assert_eq!(light.has_changed(&address), full.has_changed(&address), "{fork}: {address}");
        assert!(!light.has_loaded_slot(&address, &U256::ZERO), "{fork}: {address}");
    }
}

/// As [`taken_of`], where no transaction of a sender is missing.
fn taken(fork: Fork, drafts: &[Draft]) -> Vec<bool> {
    let txs: Vec<_> = drafts.iter().map(|draft| (draft.clone(), false)).collect();
    taken_of(fork, &txs)
}

#[test]
fn plain_payments_leave_what_they_leave_in_a_kernel() {
    let drafts = [
        pays(SENDER, 0, PAYEE, 5),
        // Who is paid nothing is not there afterwards either.
        pays(SENDER, 1, STRANGER, 0),
        pays(SENDER, 2, STRANGER, 10_000_000),
        pays(SENDER, 3, STRANGER, 1),
        pays(STRANGER, 0, SENDER, 3),
        pays(SENDER, 4, PAYEE, 0),
        pays(SENDER, 5, VAST, 1),
        pays(VAST, 3, PAYEE, 2),
        // Nothing is left.
        pays(EXACT, 0, PAYEE, 9),
        pays(SENDER, 6, AUTHOR, 1),
        pays(AUTHOR, 0, PAYEE, 1),
        pays(OLD, 5, EXACT, 1),
        // What is not used is given back.
        Draft { gas_limit: 10 * PAYMENT_GAS, ..pays(SENDER, 7, PAYEE, 1) },
        Draft { chain_id: Some(1), ..pays(OLD, 6, PAYEE, 1) },
    ];
    for fork in FORKS {
        let taken = taken(fork, &drafts);
        let left: Vec<_> = (0..drafts.len()).filter(|index| !taken[*index]).collect();
        assert_eq!(left, [0; 0], "{fork}");
    }
}

#[test]
fn types_and_prices_are_those_of_the_fork() {
    let cases = [
        (priced(Price::Legacy(u128::from(BASE_FEE))), Fork::Byzantium),
        (priced(Price::Listed(GAS_PRICE, AccessList::default())), Fork::Berlin),
        (priced(Price::Tipped(20, 5)), Fork::London),
        (priced(Price::Tipped(9, 5)), Fork::London),
        (priced(Price::Tipped(9, 9)), Fork::London),
        (priced(Price::Tipped(u128::from(BASE_FEE), 0)), Fork::London),
    ];
    for (draft, first) in cases {
        for fork in FORKS {
            assert_eq!(
                taken(fork, std::slice::from_ref(&draft)),
                [fork >= first],
                "{fork}: {draft:?}"
            );
        }
    }
    // Less than the base fee is nothing before there is one.
    for price in [0, u128::from(BASE_FEE) - 1] {
        for fork in FORKS {
            let draft = priced(Price::Legacy(price));
            assert_eq!(taken(fork, &[draft]), [fork < Fork::London], "{fork}: {price}");
        }
    }
}

/// Source: EIP-7825, "Specification".
#[test]
fn gas_is_bounded_as_in_the_fork() {
    for (gas_limit, last) in [(1 << 24, Fork::Osaka), ((1 << 24) + 1, Fork::Prague)] {
        for fork in FORKS {
            let draft = Draft { gas_limit, ..plain() };
            assert_eq!(taken(fork, &[draft]), [fork <= last], "{fork}: {gas_limit}");
        }
    }
}

#[test]
fn what_is_not_plain_is_left_to_a_kernel() {
    let to = |to| pays(SENDER, 0, to, 5);
    let from = |from, nonce| pays(from, nonce, PAYEE, 5);
    let item = AccessListItem { address: PAYEE, storage_keys: vec![B256::ZERO] };
    let cases = [
        ("to oneself", to(SENDER)),
        ("to a contract", to(CONTRACT)),
        ("by a contract", from(CONTRACT, 1)),
        ("to one that is delegated", to(DELEGATED)),
        ("by one that is delegated", from(DELEGATED, 1)),
        ("to a precompiled contract", to(Address::with_last_byte(4))),
        ("to one that is there and empty", to(EMPTY)),
        ("the same, of nothing", pays(SENDER, 0, EMPTY, 0)),
        (
            "by one that is there and empty",
            Draft { price: Price::Legacy(0), ..pays(EMPTY, 0, PAYEE, 0) },
        ),
        ("by nobody", Draft { price: Price::Legacy(0), ..pays(STRANGER, 0, PAYEE, 0) }),
        ("a creation", Draft { to: TxKind::Create, ..plain() }),
        ("more gas than the block", Draft { gas_limit: 30_000_001, ..plain() }),
        ("less gas", Draft { gas_limit: PAYMENT_GAS - 1, ..plain() }),
        ("data", Draft { input: Bytes::from_static(&[0]), ..plain() }),
        ("a nonce that is too low", from(OLD, 4)),
        ("a nonce that is too high", from(OLD, 6)),
        ("the last nonce", from(LAST, u64::MAX)),
        ("funds that do not suffice", pays(EXACT, 0, PAYEE, 10)),
        ("more than fits", pays(SENDER, 0, FULL, 1)),
        ("gas that nobody can pay", priced(Price::Legacy(u128::MAX))),
        ("another chain", Draft { chain_id: Some(2), ..plain() }),
        ("an access list", priced(Price::Listed(GAS_PRICE, AccessList(vec![item])))),
        ("a tip above all", priced(Price::Tipped(9, 10))),
    ];
    for fork in FORKS {
        assert_eq!(taken(fork, &[plain()]), [true], "{fork}");
        for (name, draft) in &cases {
            assert_eq!(taken(fork, std::slice::from_ref(draft)), [false], "{fork}: {name}");
        }
    }
}

#[test]
fn a_precompiled_contract_is_one_from_its_fork_on() {
    let at = |number: u16| Address::from_word(U256::from(number).into());
    let cases = [
        (0x01, Fork::Byzantium),
        (0x08, Fork::Byzantium),
        (0x09, Fork::Istanbul),
        (0x0a, Fork::Cancun),
        (0x11, Fork::Prague),
        (0x100, Fork::Osaka),
    ];
    for (number, first) in cases {
        for fork in FORKS {
            let draft = pays(SENDER, 0, at(number), 5);
            assert_eq!(taken(fork, &[draft]), [fork < first], "{fork}: {number:#x}");
        }
    }
}

#[test]
fn a_sender_is_taken_to_have_sent_what_is_missing() {
    let txs = [
        (pays(SENDER, 3, PAYEE, 1), true),
        (pays(SENDER, 4, PAYEE, 1), true),
        // Nobody is taken not to have sent what was.
        (pays(SENDER, 2, PAYEE, 1), true),
        (pays(SENDER, 9, PAYEE, 1), false),
        (pays(SENDER, 9, PAYEE, 1), true),
        (pays(SENDER, u64::MAX, PAYEE, 1), true),
        // What is missing may have made it known.
        (pays(STRANGER, 1, PAYEE, 1), true),
        (pays(OLD, 5, SENDER, 1), true),
    ];
    let expected = [true, true, false, false, true, false, false, true];
    for fork in FORKS {
        assert_eq!(taken_of(fork, &txs), expected, "{fork}");
    }
}

#[test]
fn nothing_is_plain_where_touches_cannot_be_noted_or_the_evm_does_not_run() {
    let state = state();
    let is_taken = |fork, header: Header| {
        let mut ledger = Ledger::new(&rules(fork), &header, &state, Touched::default());
        ledger.pay(&plain().prepare(), false).expect("a state in memory").is_some()
    };
    for (fork, expected) in [
        (Fork::SpuriousDragon, false),
        (Fork::Byzantium, true),
        (Fork::Osaka, true),
        (Fork::Amsterdam, false),
    ] {
        assert_eq!(is_taken(fork, header()), expected, "{fork}");
    }
    for (fork, expected) in [(Fork::Shanghai, true), (Fork::Cancun, false)] {
        let without = Header { excess_blob_gas: None, ..header() };
        assert_eq!(is_taken(fork, without), expected, "{fork}");
    }
    for (gas_limit, expected) in [(PAYMENT_GAS, true), (PAYMENT_GAS - 1, false)] {
        assert_eq!(is_taken(Fork::Osaka, Header { gas_limit, ..header() }), expected);
    }
}

#[test]
fn random_payments_leave_what_they_leave_in_a_kernel() {
    let everybody = [SENDER, OLD, EXACT, PAYEE, STRANGER, VAST, CONTRACT, AUTHOR];
    let (mut paid, mut left) = (0, 0);
    for seed in 1..=300_u64 {
        let mut number = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut below = |bound: usize| {
            number ^= number << 13;
            number ^= number >> 7;
            number ^= number << 17;
            (number >> 16) as usize % bound
        };
        let mut nonces = everybody.map(|address| u64::from(address == CONTRACT));
        (nonces[1], nonces[5]) = (5, 3);
        let txs: Vec<_> = (0..20)
            .map(|_| {
                let from = below(everybody.len());
                // Some are refused; then those after it may be as well.
                let nonce = nonces[from] + [0, 0, 0, 0, 0, 1][below(6)];
                nonces[from] = nonce + 1;
                let value = [0, 1, 1_000_000][below(3)];
                let draft = pays(everybody[from], nonce, everybody[below(everybody.len())], value);
                (draft, below(2) == 0)
            })
            .collect();
        let taken = taken_of(FORKS[below(FORKS.len())], &txs);
        paid += taken.iter().filter(|is_taken| **is_taken).count();
        left += taken.iter().filter(|is_taken| !**is_taken).count();
    }
    assert!(paid > 300 && left > 300, "{paid} in ledgers, {left} not");
}

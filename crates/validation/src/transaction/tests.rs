//! Transactions of the official tests, and others under the signature of one of them: it stays
//! valid for any transaction, only the sender changes.

use super::*;
use alloy_consensus::{Signed, TxEip1559, TxEip2930, TxEip4844, TxEip7702, TxLegacy};
use alloy_eips::{
    Decodable2718,
    eip2930::{AccessList, AccessListItem},
    eip7702::{Authorization, SignedAuthorization},
};
use fugue_chainspec::ChainSpec;
use fugue_types::{Bytes, Header, address};

/// `ttSignature/RightVRSTest`: a transfer, signed for no chain.
const TRANSFER: &str = "0xf85f030182520894b94f5374fce5edbc8e2a8697c15331677e6ebf0b0a801ca098ff9212\
    01554726367d2be8c804a7ff89ccf285ebc57dff8ae4c44b9c19ac4aa01887321be575c8095f789dd4c743dfe42c18\
    20f9231f98a962b210e3ac2452a3";
const TRANSFER_SENDER: Address = address!("0x58d79230fc81a042315da7d243272798e27cb40c");
/// `ttSignature/Vitalik_1`: a transfer, signed for chain 1.
const PROTECTED: &str = "0xf864808504a817c80082520894353535353535353535353535353535353535353580802\
    5a0044852b2a670ade5407e78fb2863c51de9fcb96542a07186fe3aeda6bb8a116da0044852b2a670ade5407e78fb2\
    863c51de9fcb96542a07186fe3aeda6bb8a116d";
/// `ttSignature/Vitalik_12`: a creation with 21 bytes of initcode, six of them zero.
const CREATION: &str = "0xf8610e80830493e080809560f2ff61000080610011600039610011565b6000f31ca0a310\
    f4d0b26207db76ba4e1e6e7cf1857ee3aa8559bcbc399a6b09bfea2d30b4a06dff38c645a1486651a717ddf3daccb4\
    fd9a630871ecea0758ddfcf2774f9bc6";

fn rules(fork: Fork) -> Rules {
    ChainSpec::at_fork(1, fork).rules(&Header::default())
}

fn decode(hex: &str) -> Transaction {
    let bytes: Bytes = hex.parse().unwrap();
    Transaction::decode_2718_exact(&bytes).unwrap()
}

fn signed<T>(tx: T) -> Signed<T> {
    Signed::new_unhashed(tx, *decode(TRANSFER).signature())
}

fn legacy(tx: TxLegacy) -> Transaction {
    Transaction::Legacy(signed(tx))
}

fn eip1559(tx: TxEip1559) -> Transaction {
    Transaction::Eip1559(signed(TxEip1559 { chain_id: 1, ..tx }))
}

fn eip4844(blob_versioned_hashes: Vec<B256>) -> Transaction {
    let tx =
        TxEip4844 { chain_id: 1, gas_limit: 21_000, blob_versioned_hashes, ..TxEip4844::default() };
    Transaction::Eip4844(signed(tx))
}

fn eip7702(authorizations: usize) -> Transaction {
    let authorization = Authorization { chain_id: U256::ZERO, address: Address::ZERO, nonce: 0 };
    let one = SignedAuthorization::new_unchecked(authorization, 0, U256::ONE, U256::ONE);
    let authorization_list = vec![one; authorizations];
    let tx =
        TxEip7702 { chain_id: 1, gas_limit: 1 << 20, authorization_list, ..TxEip7702::default() };
    Transaction::Eip7702(signed(tx))
}

fn call(to: Address) -> TxLegacy {
    TxLegacy { gas_limit: 1 << 20, to: TxKind::Call(to), ..TxLegacy::default() }
}

#[track_caller]
fn is_refused(tx: &Transaction, fork: Fork, name: &str) {
    let error = check_transaction(tx, &rules(fork)).unwrap_err();
    assert!(error.names().contains(&name), "{fork}: {error} is not {name}");
}

#[track_caller]
fn costs(tx: &Transaction, fork: Fork, expected: u64) {
    let facts = check_transaction(tx, &rules(fork)).unwrap();
    assert_eq!(facts.intrinsic_gas, expected, "{fork}");
    assert_eq!(check_transaction_from(tx, facts.sender, &rules(fork)), Ok(facts));
}

#[test]
fn a_transfer_is_valid_at_every_fork_and_its_sender_is_recovered() {
    for fork in Fork::VARIANTS.iter().filter(|fork| **fork < Fork::Amsterdam) {
        let facts = check_transaction(&decode(TRANSFER), &rules(*fork)).unwrap();
        let floor_gas = if *fork < Fork::Prague { 0 } else { 21_000 };
        assert_eq!(facts, TxFacts { sender: TRANSFER_SENDER, intrinsic_gas: 21_000, floor_gas });
    }
}

#[test]
fn each_fork_has_its_price_of_a_creation() {
    let prices = [
        (Fork::Frontier, 22_044),
        (Fork::Homestead, 54_044),
        (Fork::Petersburg, 54_044),
        (Fork::Istanbul, 53_264),
        (Fork::Paris, 53_264),
        (Fork::Shanghai, 53_266),
        (Fork::Osaka, 53_266),
        (Fork::Amsterdam, 24_266),
    ];
    for (fork, expected) in prices {
        costs(&decode(CREATION), fork, expected);
    }
}

#[test]
fn addresses_and_keys_of_an_access_list_cost_gas() {
    let item =
        |keys| AccessListItem { address: Address::ZERO, storage_keys: vec![B256::ZERO; keys] };
    let access_list = AccessList(vec![item(0), item(3)]);
    let to = TxKind::Call(Address::ZERO);
    let tx = TxEip2930 { chain_id: 1, gas_limit: 1 << 20, to, access_list, ..TxEip2930::default() };
    let tx = Transaction::Eip2930(signed(tx));
    costs(&tx, Fork::Berlin, 21_000 + 2 * 2_400 + 3 * 1_900);
    costs(&tx, Fork::Amsterdam, 15_000 + 2 * 4_180 + 3 * 4_048);
    let facts = check_transaction(&tx, &rules(Fork::Amsterdam)).unwrap();
    assert_eq!(facts.floor_gas, 15_000 + 64 * (2 * 20 + 3 * 32));
}

#[test]
fn each_authorization_costs_gas_and_there_must_be_one() {
    costs(&eip7702(2), Fork::Prague, 21_000 + 2 * 25_000);
    costs(&eip7702(2), Fork::Amsterdam, 15_000 + 2 * 7_816);
    is_refused(&eip7702(0), Fork::Prague, "TYPE_4_EMPTY_AUTHORIZATION_LIST");
}

#[test]
fn from_amsterdam_on_recipient_and_value_are_priced_apart() {
    let (sender, other) = (Address::with_last_byte(1), Address::with_last_byte(2));
    let cost = |to: Address, value: u64| {
        let tx = legacy(TxLegacy { value: U256::from(value), ..call(to) });
        gas_at_once(&tx, &rules(Fork::Amsterdam), sender)
    };
    assert_eq!(cost(sender, 0), (12_000, 12_000));
    assert_eq!(cost(sender, 1), (12_000, 12_000));
    assert_eq!(cost(other, 0), (15_000, 15_000));
    assert_eq!(cost(other, 1), (21_000, 21_000));
}

#[test]
fn the_gas_limit_pays_what_is_charged_at_once() {
    let with_limit = |gas_limit, data: &'static [u8]| {
        let input = Bytes::from_static(data);
        legacy(TxLegacy { gas_limit, input, ..call(Address::ZERO) })
    };
    is_refused(&with_limit(20_999, &[]), Fork::Frontier, "INTRINSIC_GAS_TOO_LOW");
    costs(&with_limit(21_000, &[]), Fork::Frontier, 21_000);
    is_refused(&with_limit(21_071, &[0, 1]), Fork::Petersburg, "INTRINSIC_GAS_TOO_LOW");
    costs(&with_limit(21_072, &[0, 1]), Fork::Petersburg, 21_072);
    costs(&with_limit(21_020, &[0, 1]), Fork::Istanbul, 21_020);
    is_refused(&with_limit(21_049, &[0, 1]), Fork::Prague, "INTRINSIC_GAS_BELOW_FLOOR_GAS_COST");
    costs(&with_limit(21_050, &[0, 1]), Fork::Prague, 21_020);
}

#[test]
fn a_gas_limit_has_a_cap_from_osaka_on() {
    let with_limit = |gas_limit| legacy(TxLegacy { gas_limit, ..call(Address::ZERO) });
    let cap = 1 << 24;
    costs(&with_limit(cap + 1), Fork::Prague, 21_000);
    is_refused(&with_limit(cap + 1), Fork::Osaka, "GAS_LIMIT_EXCEEDS_MAXIMUM");
    costs(&with_limit(cap), Fork::Osaka, 21_000);
    costs(&with_limit(cap + 1), Fork::Amsterdam, 15_000);
}

#[test]
fn from_amsterdam_on_the_cap_holds_for_regular_gas() {
    let input = Bytes::from(vec![1_u8; 1 << 20]);
    let tx = legacy(TxLegacy { gas_limit: 1 << 30, input, ..call(Address::ZERO) });
    is_refused(&tx, Fork::Amsterdam, "INTRINSIC_GAS_TOO_LOW");
}

#[test]
fn a_type_is_refused_before_its_fork() {
    let cases = [
        (EIP2930_TX_TYPE_ID, Fork::Istanbul, Fork::Berlin, "TYPE_1_TX_PRE_FORK"),
        (EIP1559_TX_TYPE_ID, Fork::Berlin, Fork::London, "TYPE_2_TX_PRE_FORK"),
        (EIP4844_TX_TYPE_ID, Fork::Shanghai, Fork::Cancun, "TYPE_3_TX_PRE_FORK"),
        (EIP7702_TX_TYPE_ID, Fork::Cancun, Fork::Prague, "TYPE_4_TX_PRE_FORK"),
    ];
    for (tx_type, before, since, name) in cases {
        let error = check_transaction_type(tx_type, &rules(before)).unwrap_err();
        assert!(error.names().contains(&name), "{error} is not {name}");
        assert_eq!(check_transaction_type(tx_type, &rules(since)), Ok(()));
    }
    assert!(check_transaction_type(5, &rules(Fork::Amsterdam)).is_err());
    let tx = eip1559(TxEip1559::default());
    is_refused(&tx, Fork::Berlin, "TYPE_NOT_SUPPORTED");
}

#[test]
fn a_chain_id_is_known_from_spurious_dragon_on() {
    let protected = decode(PROTECTED);
    is_refused(&protected, Fork::Tangerine, "INVALID_SIGNATURE_VRS");
    costs(&protected, Fork::SpuriousDragon, 21_000);
    let elsewhere = ChainSpec::at_fork(2, Fork::SpuriousDragon).rules(&Header::default());
    assert_eq!(
        check_transaction(&protected, &elsewhere),
        Err(InvalidTransaction::ChainId { expected: 2, found: 1 }),
    );
}

#[test]
fn the_highest_nonce_is_refused() {
    let with_nonce = |nonce| legacy(TxLegacy { nonce, ..call(Address::ZERO) });
    costs(&with_nonce(u64::MAX - 1), Fork::Frontier, 21_000);
    is_refused(&with_nonce(u64::MAX), Fork::Frontier, "NONCE_IS_MAX");
}

#[test]
fn initcode_has_a_limit_from_shanghai_on() {
    let with_bytes = |bytes| {
        let tx = call(Address::ZERO);
        legacy(TxLegacy {
            to: TxKind::Create,
            gas_limit: 1 << 24,
            input: vec![0_u8; bytes].into(),
            ..tx
        })
    };
    let over = with_bytes(INITCODE_BYTES_MAX + 1);
    assert!(check_transaction(&over, &rules(Fork::Paris)).is_ok());
    is_refused(&over, Fork::Shanghai, "INITCODE_SIZE_EXCEEDED");
    assert!(check_transaction(&with_bytes(INITCODE_BYTES_MAX), &rules(Fork::Shanghai)).is_ok());
    assert!(check_transaction(&over, &rules(Fork::Amsterdam)).is_ok());
    let over = with_bytes(INITCODE_BYTES_MAX_AMSTERDAM + 1);
    is_refused(&over, Fork::Amsterdam, "INITCODE_SIZE_EXCEEDED");
}

#[test]
fn the_priority_fee_is_part_of_the_highest_fee() {
    let with_fees = |max_priority_fee_per_gas| {
        let to = TxKind::Call(Address::ZERO);
        let tx = TxEip1559 { gas_limit: 21_000, to, max_fee_per_gas: 10, ..TxEip1559::default() };
        eip1559(TxEip1559 { max_priority_fee_per_gas, ..tx })
    };
    costs(&with_fees(10), Fork::London, 21_000);
    is_refused(&with_fees(11), Fork::London, "PRIORITY_GREATER_THAN_MAX_FEE_PER_GAS");
}

#[test]
fn blobs_are_counted_and_their_hashes_have_a_version() {
    let good = B256::right_padding_from(&[1]);
    is_refused(&eip4844(vec![]), Fork::Cancun, "TYPE_3_TX_ZERO_BLOBS");
    let bad = vec![good, B256::with_last_byte(1)];
    is_refused(&eip4844(bad), Fork::Cancun, "TYPE_3_TX_INVALID_BLOB_VERSIONED_HASH");
    costs(&eip4844(vec![good; 6]), Fork::Cancun, 21_000);
    is_refused(&eip4844(vec![good; 7]), Fork::Cancun, "TYPE_3_TX_BLOB_COUNT_EXCEEDED");
    costs(&eip4844(vec![good; 9]), Fork::Prague, 21_000);
    is_refused(&eip4844(vec![good; 7]), Fork::Osaka, "TYPE_3_TX_BLOB_COUNT_EXCEEDED");
}

#[test]
fn a_signature_out_of_range_is_refused() {
    // `ttRSValue`: `TransactionWithRvalue0`, `TransactionWithRvalueTooHigh`.
    let zero_r = "0xf83f800182520894095e7baea6a6c7c4c2dfeb977efac326af552d870b801b80a0efffd310ac74\
        3f371de3b9f7f9cb56c0b28ad43601b4ab949f53faa07bd2c804";
    let high_r = "0xf85f800182520894095e7baea6a6c7c4c2dfeb977efac326af552d870b801ba0ffffffffffffff\
        fffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141a0efffd310ac743f371de3b9f7f9cb56c0b28ad4\
        3601b4ab949f53faa07bd2c804";
    for hex in [zero_r, high_r] {
        let found = check_transaction(&decode(hex), &rules(Fork::Frontier));
        assert_eq!(found, Err(InvalidTransaction::SignatureRange));
    }
}

#[test]
fn a_high_s_is_refused_from_homestead_on() {
    // `ttRSValue/TransactionWithSvalueHigh`.
    let high_s = "0xf85f800182520894095e7baea6a6c7c4c2dfeb977efac326af552d870b801ba048b55bfa915ac7\
        95c431978d8a6a992b628d557da5ff759b307d495a36649353a0fffffffffffffffffffffffffffffffebaaedc\
        e6af48a03bbfd25e8cd0364140";
    let facts = check_transaction(&decode(high_s), &rules(Fork::Frontier)).unwrap();
    assert_eq!(facts.sender, address!("0x474869ba435affa1f45aaada48520880921c0887"));
    let found = check_transaction(&decode(high_s), &rules(Fork::Homestead));
    assert_eq!(found, Err(InvalidTransaction::SignatureHigh));
}

#[test]
fn a_signature_of_nobody_is_refused() {
    // `ttRSValue/TransactionWithRvalueHigh`.
    let no_point = "0xf85f800182520894095e7baea6a6c7c4c2dfeb977efac326af552d870b801ca0ffffffffffff\
        fffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364140a07778cde41a8a37f6a087622b38bc201a8e96\
        bbed8c2907925d204da92411ee9e";
    is_refused(&decode(no_point), Fork::Frontier, "EC_RECOVERY_FAIL");
}

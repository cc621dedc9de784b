//! Each rule that a transaction breaks by itself.

use super::*;
use crate::{
    samples::{GAS_LIMIT, Wallet, cell_sidecar, head, old_sidecar, wallet},
    tx::split,
};
use alloy_consensus::{Signed, TxEip1559, TxLegacy};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::Signature;
use fugue_chainspec::Fork;
use fugue_types::{Bytes, TxKind, U256, b256};
use fugue_validation::InvalidTransaction;

fn check_at(fork: Fork, tx: PooledTransaction, origin: Origin) -> Result<Address, PoolError> {
    let (tx, sidecar) = split(tx);
    let options = PoolOptions::default();
    check_alone(tx, sidecar, origin, &head(fork), &options).map(|tx| tx.sender)
}

fn check(tx: PooledTransaction) -> Result<Address, PoolError> {
    check_at(Fork::Osaka, tx, Origin::External)
}

fn dynamic(wallet: &Wallet, change: impl FnOnce(&mut TxEip1559)) -> PooledTransaction {
    let mut tx = TxEip1559 {
        chain_id: 1,
        gas_limit: 21_000,
        max_fee_per_gas: 100,
        max_priority_fee_per_gas: 2,
        to: TxKind::Call(Address::repeat_byte(9)),
        ..TxEip1559::default()
    };
    change(&mut tx);
    PooledTransaction::Eip1559(wallet.signed(tx))
}

#[test]
fn every_type_is_taken_from_its_sender() {
    for tx in wallet(1).each_type(0) {
        assert_eq!(check(tx), Ok(wallet(1).address));
    }
}

#[test]
fn a_type_that_the_fork_lacks_is_rejected() {
    let cases = [(Fork::Istanbul, 1), (Fork::Berlin, 2), (Fork::Shanghai, 3), (Fork::Cancun, 4)];
    for (fork, tx_type) in cases {
        let tx = wallet(1).each_type(0).into_iter().find(|tx| tx.ty() == tx_type);
        let error = check_at(fork, tx.unwrap(), Origin::External);
        let expected = InvalidTransaction::TypeNotSupported { tx_type, fork };
        assert_eq!(error, Err(expected.into()));
    }
}

#[test]
fn another_chain_is_rejected() {
    let tx = dynamic(&wallet(1), |tx| tx.chain_id = 2);
    assert_eq!(check(tx), Err(InvalidTransaction::ChainId { expected: 1, found: 2 }.into()));
}

#[test]
fn an_unprotected_transaction_is_taken() {
    assert_eq!(check(wallet(1).legacy(0, 100, None)), Ok(wallet(1).address));
}

#[test]
fn a_high_s_is_rejected() {
    let tx = TxLegacy { gas_price: 10, gas_limit: 21_000, ..TxLegacy::default() };
    let order = b256!("0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141");
    let order = U256::from_be_bytes(order.0);
    let signature = Signature::new(U256::from(1), order - U256::from(1), false);
    let tx = PooledTransaction::Legacy(Signed::new_unhashed(tx, signature));
    assert_eq!(check(tx), Err(InvalidTransaction::SignatureHigh.into()));
}

#[test]
fn gas_is_at_least_the_intrinsic_and_at_most_the_block() {
    let low = dynamic(&wallet(1), |tx| tx.gas_limit = 20_999);
    let error = InvalidTransaction::IntrinsicGas { gas_limit: 20_999, intrinsic_gas: 21_000 };
    assert_eq!(check(low), Err(error.into()));
    let high = dynamic(&wallet(1), |tx| tx.gas_limit = GAS_LIMIT + 1);
    let error = PoolError::GasLimit { gas_limit: GAS_LIMIT + 1, max: GAS_LIMIT };
    assert_eq!(check(high), Err(error));
}

#[test]
fn one_transaction_has_a_gas_limit_from_osaka_on() {
    let tx = || dynamic(&wallet(1), |tx| tx.gas_limit = (1 << 24) + 1);
    assert_eq!(check_at(Fork::Prague, tx(), Origin::External), Ok(wallet(1).address));
    let error = InvalidTransaction::GasLimitMax { gas_limit: (1 << 24) + 1, max: 1 << 24 };
    assert_eq!(check(tx()), Err(error.into()));
}

#[test]
fn initcode_is_bounded() {
    let tx = dynamic(&wallet(1), |tx| {
        tx.to = TxKind::Create;
        tx.gas_limit = 10_000_000;
        tx.input = Bytes::from(vec![0; 49_153]);
    });
    let error = InvalidTransaction::InitcodeSize { size: 49_153, max: 49_152 };
    assert_eq!(check(tx), Err(error.into()));
}

#[test]
fn a_tip_above_the_fee_is_rejected() {
    let tx = dynamic(&wallet(1), |tx| tx.max_priority_fee_per_gas = 101);
    let error = InvalidTransaction::PriorityFee { priority_fee: 101, max_fee: 100 };
    assert_eq!(check(tx), Err(error.into()));
}

#[test]
fn only_a_local_transaction_may_have_no_tip() {
    let tx = || dynamic(&wallet(1), |tx| tx.max_priority_fee_per_gas = 0);
    assert_eq!(check(tx()), Err(PoolError::Underpriced { tip: 0, min: 1 }));
    assert_eq!(check_at(Fork::Osaka, tx(), Origin::Local), Ok(wallet(1).address));
}

#[test]
fn a_fee_for_blob_gas_of_zero_is_rejected() {
    let tx = wallet(1).blobs(0, 100, 2, 0, cell_sidecar());
    assert_eq!(check(tx), Err(PoolError::BlobUnderpriced { fee: 0, min: 1 }));
}

#[test]
fn a_sidecar_must_have_the_form_of_the_fork() {
    let tx = wallet(1).blobs(0, 100, 2, 1, old_sidecar());
    assert!(matches!(check(tx.clone()), Err(PoolError::SidecarForm { .. })));
    assert_eq!(check_at(Fork::Prague, tx, Origin::External), Ok(wallet(1).address));
}

#[test]
fn blobs_are_counted() {
    let Sidecar::Eip7594(one) = cell_sidecar() else { panic!("a sidecar with cell proofs") };
    let mut many = one.clone();
    for _ in 0..6 {
        many.blobs.extend(one.blobs.iter().copied());
        many.commitments.extend(one.commitments.iter().copied());
        many.cell_proofs.extend(one.cell_proofs.iter().copied());
    }
    let tx = wallet(1).blobs(0, 100, 2, 1, Sidecar::Eip7594(many));
    assert_eq!(check(tx), Err(PoolError::BlobCount { count: 7, max: 6 }));
}

#[test]
fn a_large_transaction_is_rejected_before_it_is_decoded() {
    let options = PoolOptions::default();
    let (bytes, max) = (options.tx_bytes_max + 1, options.tx_bytes_max);
    let error = Err(PoolError::Size { bytes, max });
    assert_eq!(decode(&vec![2; bytes], &options).map(drop), error);
    let tx = dynamic(&wallet(1), |tx| {
        tx.gas_limit = 16_000_000;
        tx.input = Bytes::from(vec![0; max]);
    });
    assert!(matches!(check(tx), Err(PoolError::Size { .. })));
}

#[test]
fn decoding_takes_exactly_the_sent_form() {
    let options = PoolOptions::default();
    for tx in wallet(1).each_type(0) {
        let mut bytes = tx.encoded_2718();
        assert_eq!(decode(&bytes, &options), Ok(tx));
        bytes.push(0);
        assert!(matches!(decode(&bytes, &options), Err(PoolError::Decode(_))));
    }
    assert!(matches!(decode(&[], &options), Err(PoolError::Decode(_))));
    assert!(matches!(decode(&[5, 0xc0], &options), Err(PoolError::Decode(_))));
}

#[test]
fn a_blob_transaction_without_its_blobs_says_so() {
    let (tx, _) = split(wallet(1).blobs(0, 100, 2, 1, cell_sidecar()));
    let decoded = decode(&tx.encoded_2718(), &PoolOptions::default());
    assert_eq!(decoded, Err(PoolError::SidecarMissing));
}

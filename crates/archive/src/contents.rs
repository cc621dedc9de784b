//! The parts of a block in an era file: decoded, and compared with what the header commits to.

use crate::Fault;
use alloy_consensus::proofs;
use alloy_rlp::Decodable;
use fugue_types::{
    B256, BlockBody, Eip658Value, Header, Log, Receipt, ReceiptEnvelope, TxType, Withdrawals,
};

/// Decodes one part of a block from all of these bytes.
pub(crate) fn decode<T: Decodable>(what: &'static str, bytes: &[u8]) -> Result<T, Fault> {
    alloy_rlp::decode_exact(bytes).map_err(|error| Fault::Rlp { what, error })
}

/// Whether the header is that of this body.
pub(crate) fn check_body(header: &Header, body: &BlockBody) -> Result<(), Fault> {
    let BlockBody { transactions, ommers, withdrawals } = body;
    let found = proofs::calculate_transaction_root(transactions);
    same("transactions root", header.transactions_root, found)?;
    let found = proofs::calculate_ommers_root(ommers);
    same("ommers hash", header.ommers_hash, found)?;
    let expected = header.withdrawals_root;
    let found = withdrawals.as_ref().map(withdrawals_root);
    if expected == found { Ok(()) } else { Err(Fault::WithdrawalsRoot { expected, found }) }
}

fn withdrawals_root(withdrawals: &Withdrawals) -> B256 {
    proofs::calculate_withdrawals_root(withdrawals)
}

/// Whether the header is that of a block with these receipts.
pub(crate) fn check_receipts(header: &Header, receipts: &[ReceiptEnvelope]) -> Result<(), Fault> {
    same("receipts root", header.receipts_root, proofs::calculate_receipt_root(receipts))
}

fn same(what: &'static str, expected: B256, found: B256) -> Result<(), Fault> {
    if expected == found { Ok(()) } else { Err(Fault::Root { what, expected, found }) }
}

/// A receipt as ere files have it: with its type inside, and without the bloom filter, which
/// follows from the logs.
///
/// ```text
/// rlp([type, post-state or status, cumulative gas, logs])
/// ```
pub(crate) struct SlimReceipt(pub(crate) ReceiptEnvelope);

impl Decodable for SlimReceipt {
    fn decode(buf: &mut &[u8]) -> alloy_rlp::Result<Self> {
        let mut fields = alloy_rlp::Header::decode_bytes(buf, true)?;
        let kind = TxType::try_from(u8::decode(&mut fields)?);
        let kind = kind.map_err(|_| alloy_rlp::Error::Custom("unknown transaction type"))?;
        let status = Eip658Value::decode(&mut fields)?;
        let cumulative_gas_used = u64::decode(&mut fields)?;
        let logs = Vec::<Log>::decode(&mut fields)?;
        if !fields.is_empty() {
            return Err(alloy_rlp::Error::Custom("a slim receipt has four fields"));
        }
        let receipt = Receipt { status, cumulative_gas_used, logs }.with_bloom();
        Ok(Self(ReceiptEnvelope::from_typed(kind, receipt)))
    }
}

//! The transactions that wait for a block.

use crate::public::{
    Answer, Class, Context, Table,
    args::{Args, address},
    error, json, wire,
};
use fugue_txpool::PooledTx;
use fugue_types::{Address, Transaction, TransactionTrait, U256};
use jsonrpsee::types::ErrorObjectOwned;
use serde_json::{Map, Value, json as object};
use std::{collections::BTreeMap, sync::Arc};

/// The methods of this namespace.
pub(super) const METHODS: Table = &[
    ("txpool_content", Class::Reading, content),
    ("txpool_contentFrom", Class::Reading, content_from),
    ("txpool_inspect", Class::Reading, inspect),
    ("txpool_status", Class::Reading, status),
];

/// Bytes of a transaction in an answer beside its data, about.
const TX_BYTES: usize = 500;

/// `txpool_status`.
fn status(context: &Context, args: Args) -> Answer {
    args.end()?;
    let status = context.engine.pool().status();
    let (pending, queued) = (U256::from(status.pending), U256::from(status.queued));
    json(&object!({ "pending": pending, "queued": queued }))
}

/// `txpool_content`.
fn content(context: &Context, args: Args) -> Answer {
    args.end()?;
    check_size(context)?;
    let content = context.engine.pool().content();
    let (pending, queued) = (by_sender(&content.pending)?, by_sender(&content.queued)?);
    json(&object!({ "pending": pending, "queued": queued }))
}

/// # Errors
/// If all of the pool is too much for one answer.
pub(super) fn check_size(context: &Context) -> Result<(), ErrorObjectOwned> {
    let status = context.engine.pool().status();
    let max = context.limits.pool_bytes_max;
    let counts = [status.pending, status.queued].map(|count| count.saturating_mul(TX_BYTES));
    let parts = [status.pending_bytes, status.queued_bytes, counts[0], counts[1]];
    if parts.into_iter().fold(0, usize::saturating_add) > max {
        return Err(error::refused(format!(
            "the pool is too large to be told of at once, {max} bytes are the most: use \
             txpool_contentFrom"
        )));
    }
    Ok(())
}

/// `txpool_inspect`: a line for each transaction.
fn inspect(context: &Context, args: Args) -> Answer {
    args.end()?;
    check_size(context)?;
    let content = context.engine.pool().content();
    let [pending, queued] = [&content.pending, &content.queued].map(lines_by_sender);
    json(&object!({ "pending": pending, "queued": queued }))
}

fn lines_by_sender(part: &BTreeMap<Address, Vec<Arc<PooledTx>>>) -> Map<String, Value> {
    let lines = |txs: &[Arc<PooledTx>]| -> Map<String, Value> {
        txs.iter().map(|tx| (tx.nonce().to_string(), Value::from(line(&tx.tx)))).collect()
    };
    part.iter().map(|(sender, txs)| (sender.to_checksum(None), lines(txs).into())).collect()
}

/// In the form that go-ethereum has for it.
fn line(tx: &Transaction) -> String {
    let to = tx.to().map_or_else(|| "contract creation".to_owned(), |to| to.to_checksum(None));
    let (value, gas, price) = (tx.value(), tx.gas_limit(), tx.max_fee_per_gas());
    format!("{to}: {value} wei + {gas} gas × {price} wei")
}

/// `txpool_contentFrom`.
fn content_from(context: &Context, mut args: Args) -> Answer {
    let sender = args.required("address", address)?;
    args.end()?;
    let [pending, queued] = context.engine.pool().content_of(sender);
    let (pending, queued) = (by_nonce(&pending)?, by_nonce(&queued)?);
    json(&object!({ "pending": pending, "queued": queued }))
}

fn by_sender(
    part: &BTreeMap<Address, Vec<Arc<PooledTx>>>,
) -> Result<Map<String, Value>, ErrorObjectOwned> {
    part.iter().map(|(sender, txs)| Ok((sender.to_checksum(None), by_nonce(txs)?))).collect()
}

fn by_nonce(txs: &[Arc<PooledTx>]) -> Result<Value, ErrorObjectOwned> {
    let wired: Result<Map<String, Value>, serde_json::Error> =
        txs.iter().map(|tx| Ok((tx.nonce().to_string(), wire::pooled(tx)?))).collect();
    wired.map(Value::Object).map_err(error::internal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_consensus::{Signed, TxEip1559, TxLegacy};
    use alloy_primitives::Signature;
    use fugue_types::TxKind;

    #[test]
    fn a_line_says_what_a_transaction_may_cost() {
        let signature = Signature::test_signature();
        let (value, gas_limit) = (U256::from(7), 21_000);
        let to = TxKind::Call(Address::repeat_byte(0xab));
        let sent = TxEip1559 { value, gas_limit, to, max_fee_per_gas: 9, ..TxEip1559::default() };
        let found = line(&Transaction::Eip1559(Signed::new_unhashed(sent, signature)));
        let recipient = Address::repeat_byte(0xab).to_checksum(None);
        assert_eq!(found, format!("{recipient}: 7 wei + 21000 gas × 9 wei"));
        let made = TxLegacy { value, gas_limit, gas_price: 3, ..TxLegacy::default() };
        let found = line(&Transaction::Legacy(Signed::new_unhashed(made, signature)));
        assert_eq!(found, "contract creation: 7 wei + 21000 gas × 3 wei");
    }
}

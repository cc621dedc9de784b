//! Blocks, transactions, receipts and logs as JSON has them: the published types of alloy, filled.

use alloy_consensus::transaction::Recovered;
use alloy_rlp::Encodable;
use alloy_rpc_types_eth::{
    Block as WireBlock, BlockTransactions, Header as WireHeader, Log as WireLog,
    Transaction as PublishedTransaction, TransactionReceipt,
};
use fugue_chain::ViewedBlock;
use fugue_chainspec::Rules;
use fugue_txpool::PooledTx;
use fugue_types::{
    Address, B256, Block, Header, Log, ReceiptEnvelope, Transaction, TransactionTrait, U256,
};
use serde_json::Value;

/// A transaction in JSON.
pub(crate) type WireTransaction = PublishedTransaction<Transaction>;

/// How much of its transactions a block shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Detail {
    Hashes,
    Transactions,
}

/// What transactions, receipts and logs say of their block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    hash: B256,
    number: u64,
    timestamp: u64,
    base_fee: Option<u64>,
    /// In wei per unit of blob gas.
    blob_price: Option<u128>,
}

impl Place {
    pub(crate) fn new(hash: B256, header: &Header, rules: &Rules) -> Self {
        let blob_price = rules.blob_params.and_then(|params| header.blob_fee(params));
        Self {
            hash,
            number: header.number,
            timestamp: header.timestamp,
            base_fee: header.base_fee_per_gas,
            blob_price,
        }
    }
}

/// A block, and its transactions or their hashes.
pub(crate) fn block(
    viewed: ViewedBlock,
    rules: &Rules,
    detail: Detail,
) -> WireBlock<WireTransaction> {
    let ViewedBlock { hash, header, body, senders } = viewed;
    let place = Place::new(hash, &header, rules);
    let block = Block { header, body };
    let size = U256::from(block.length());
    let Block { header, body } = block;
    let transactions = match detail {
        Detail::Hashes => {
            BlockTransactions::Hashes(body.transactions.iter().map(|tx| *tx.hash()).collect())
        }
        Detail::Transactions => {
            let signed = body.transactions.into_iter().zip(senders).enumerate();
            let wired = signed.map(|(index, (tx, sender))| transaction(&place, index, tx, sender));
            BlockTransactions::Full(wired.collect())
        }
    };
    WireBlock {
        header: WireHeader { hash, inner: header, total_difficulty: None, size: Some(size) },
        uncles: body.ommers.iter().map(|ommer| ommer.hash_slow()).collect(),
        transactions,
        withdrawals: body.withdrawals,
    }
}

/// A transaction of a block.
pub(crate) fn transaction(
    place: &Place,
    index: usize,
    tx: Transaction,
    sender: Address,
) -> WireTransaction {
    WireTransaction {
        block_hash: Some(place.hash),
        block_number: Some(place.number),
        transaction_index: Some(index as u64),
        effective_gas_price: Some(tx.effective_gas_price(place.base_fee)),
        block_timestamp: Some(place.timestamp),
        inner: Recovered::new_unchecked(tx, sender),
    }
}

/// A transaction of the pool: what it would say of its block is null.
pub(crate) fn pooled(pooled: &PooledTx) -> Result<Value, serde_json::Error> {
    pending(pooled.tx.clone(), pooled.sender)
}

/// A transaction of no block.
pub(crate) fn pending(tx: Transaction, sender: Address) -> Result<Value, serde_json::Error> {
    let mut value = serde_json::to_value(WireTransaction {
        block_hash: None,
        block_number: None,
        transaction_index: None,
        effective_gas_price: Some(tx.effective_gas_price(None)),
        block_timestamp: None,
        inner: Recovered::new_unchecked(tx, sender),
    })?;
    if let Some(object) = value.as_object_mut() {
        // The published type leaves it away, the specification does not.
        object.insert("blockTimestamp".to_owned(), Value::Null);
    }
    Ok(value)
}

/// A transaction that was not sent: without what a block or the pool would say of it.
///
/// Source: execution-apis, "TransactionSigned".
pub(crate) fn unsent(tx: &Transaction) -> Result<Value, serde_json::Error> {
    let mut value = serde_json::to_value(tx)?;
    if let Some(object) = value.as_object_mut()
        && !object.contains_key("gasPrice")
    {
        // The specification asks for it, the published type has it of mined ones alone.
        let most = U256::from(tx.effective_gas_price(None));
        object.insert("gasPrice".to_owned(), serde_json::to_value(most)?);
    }
    Ok(value)
}

/// The receipts of a block, one for each transaction.
pub(crate) fn receipts(
    viewed: &ViewedBlock,
    rules: &Rules,
    receipts: Vec<ReceiptEnvelope>,
) -> Vec<TransactionReceipt> {
    let place = Place::new(viewed.hash, &viewed.header, rules);
    let signed = viewed.body.transactions.iter().zip(&viewed.senders);
    let mut before = Before::default();
    let wired = signed.zip(receipts).enumerate().map(|(index, ((tx, sender), envelope))| {
        let here = before;
        before.add(&envelope);
        receipt(&place, index, here, tx, *sender, envelope)
    });
    wired.collect()
}

/// The receipt of one transaction of a block.
pub(crate) fn receipt_at(
    viewed: &ViewedBlock,
    rules: &Rules,
    receipts: Vec<ReceiptEnvelope>,
    index: usize,
) -> Option<TransactionReceipt> {
    let place = Place::new(viewed.hash, &viewed.header, rules);
    let (tx, sender) = (viewed.body.transactions.get(index)?, viewed.senders.get(index)?);
    let mut before = Before::default();
    for envelope in receipts.get(..index)? {
        before.add(envelope);
    }
    let envelope = receipts.into_iter().nth(index)?;
    Some(receipt(&place, index, before, tx, *sender, envelope))
}

/// What the transactions before one used and logged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Before {
    gas: u64,
    logs: u64,
}

impl Before {
    fn add(&mut self, envelope: &ReceiptEnvelope) {
        self.gas = envelope.cumulative_gas_used();
        self.logs = self.logs.saturating_add(envelope.logs().len() as u64);
    }
}

fn receipt(
    place: &Place,
    index: usize,
    before: Before,
    tx: &Transaction,
    sender: Address,
    envelope: ReceiptEnvelope,
) -> TransactionReceipt {
    let gas_used = envelope.cumulative_gas_used().saturating_sub(before.gas);
    let mut log_index = before.logs;
    let inner = envelope.map_logs(|found| {
        let wired = log(place, index, *tx.hash(), log_index, found);
        log_index = log_index.saturating_add(1);
        wired
    });
    let to = tx.to();
    let blob_gas_used = tx.blob_gas_used();
    TransactionReceipt {
        inner,
        transaction_hash: *tx.hash(),
        transaction_index: Some(index as u64),
        block_hash: Some(place.hash),
        block_number: Some(place.number),
        gas_used,
        effective_gas_price: tx.effective_gas_price(place.base_fee),
        blob_gas_used,
        blob_gas_price: blob_gas_used.and(place.blob_price),
        from: sender,
        to,
        contract_address: to.is_none().then(|| sender.create(tx.nonce())),
    }
}

/// A log. `log_index` is its index in the block.
pub(crate) fn log(
    place: &Place,
    tx_index: usize,
    tx_hash: B256,
    log_index: u64,
    log: Log,
) -> WireLog {
    WireLog {
        inner: log,
        block_hash: Some(place.hash),
        block_number: Some(place.number),
        block_timestamp: Some(place.timestamp),
        transaction_hash: Some(tx_hash),
        transaction_index: Some(tx_index as u64),
        log_index: Some(log_index),
        removed: false,
    }
}

#[cfg(test)]
mod tests;

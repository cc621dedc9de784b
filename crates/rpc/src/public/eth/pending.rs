//! The pending block: what the next block would take of the pool. It has no hash yet, nobody has
//! worked on it, and who will be paid is not known; its transactions are those of the pool still.
//! The state after it is read as that of any block.

use crate::public::{
    Answer, Context, dev, error, json,
    wire::{self, Detail},
};
use fugue_chain::{BuildError, ChainView, ViewedBlock};
use fugue_chainspec::Rules;
use jsonrpsee::types::ErrorObjectOwned;
use serde_json::Value;
use std::sync::Arc;

/// What JSON has null for. Source: go-ethereum; execution-apis has it for the hash and the nonce.
const UNKNOWN: [&str; 3] = ["hash", "nonce", "miner"];

/// The chain with the block as its head; `None` where it would have proof of work.
///
/// # Errors
/// If it was not built, or not in time.
pub(crate) fn view(context: &Context) -> Result<Option<Arc<ChainView>>, ErrorObjectOwned> {
    let patience = &context.patience;
    loop {
        let wanted = dev::next_block(context)?;
        let found = context.engine.pending_view(wanted, &|| patience.goes_on());
        // Why it was given up is for the call to say.
        patience.check()?;
        match found {
            // The head has moved.
            Err(BuildError::GivenUp) => {}
            found => return Ok(found.map_err(error::of_build)?.map(Arc::new)),
        }
    }
}

/// The block.
///
/// # Errors
/// As [`view`].
pub(crate) fn find(context: &Context) -> Result<Option<ViewedBlock>, ErrorObjectOwned> {
    let Some(view) = view(context)? else { return Ok(None) };
    view.block(view.head().number).map_err(error::of_chain)
}

/// The block in JSON.
pub(super) fn block(context: &Context, detail: Detail) -> Answer {
    let Some(found) = find(context)? else { return json(&()) };
    let rules = context.engine.spec().rules(&found.header);
    json(&wired(&found, &rules, detail).map_err(error::internal)?)
}

fn wired(block: &ViewedBlock, rules: &Rules, detail: Detail) -> Result<Value, serde_json::Error> {
    let mut value = serde_json::to_value(wire::block(block.clone(), rules, Detail::Hashes))?;
    if let Some(fields) = value.as_object_mut() {
        for name in UNKNOWN {
            fields.insert(name.to_owned(), Value::Null);
        }
        if detail == Detail::Transactions {
            let signed = block.body.transactions.iter().zip(&block.senders);
            let txs = signed.map(|(tx, sender)| wire::pending(tx.clone(), *sender));
            let txs = txs.collect::<Result<Vec<Value>, _>>()?;
            fields.insert("transactions".to_owned(), Value::Array(txs));
        }
    }
    Ok(value)
}

/// One of its transactions in JSON; null if it does not have so many.
pub(super) fn transaction(context: &Context, index: usize) -> Answer {
    let found = find(context)?;
    let signed = found.as_ref().and_then(|block| {
        let tx = block.body.transactions.get(index)?;
        Some((tx.clone(), *block.senders.get(index)?))
    });
    let wired = signed.map(|(tx, sender)| wire::pending(tx, sender)).transpose();
    json(&wired.map_err(error::internal)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_consensus::{SignableTransaction, TxLegacy};
    use alloy_primitives::Signature;
    use fugue_chainspec::{ChainSpec, Fork};
    use fugue_types::{Address, B256, BlockBody, Header, Transaction};
    use serde_json::json as object;

    #[test]
    fn what_is_not_known_yet_is_null() {
        let header = Header { number: 7, ..Header::default() };
        let tx = TxLegacy { nonce: 3, ..TxLegacy::default() };
        let tx = Transaction::Legacy(tx.into_signed(Signature::test_signature()));
        let tx_hash = *tx.hash();
        let body = BlockBody { transactions: vec![tx], ..BlockBody::default() };
        let senders = vec![Address::repeat_byte(5)];
        let block = ViewedBlock { hash: B256::repeat_byte(9), header, body, senders };
        let rules = ChainSpec::at_fork(1, Fork::Osaka).rules(&block.header);

        let wired = |detail| super::wired(&block, &rules, detail).expect("JSON");
        let hashes = wired(Detail::Hashes);
        assert_eq!(hashes["transactions"], object!([tx_hash]));
        let full = wired(Detail::Transactions);
        for block in [&hashes, &full] {
            assert_eq!(block["number"], "0x7");
            for name in UNKNOWN {
                assert_eq!(block.get(name), Some(&Value::Null), "{name}");
            }
        }
        let tx = &full["transactions"][0];
        assert_eq!((&tx["hash"], &tx["nonce"]), (&object!(tx_hash), &object!("0x3")));
        assert_eq!(
            (&tx["from"], &tx["blockHash"]),
            (&object!(Address::repeat_byte(5)), &Value::Null)
        );
    }
}

//! The `testing` namespace: blocks that are built at once, of named transactions. Source:
//! execution-apis, `src/testing`.

use crate::{
    engine::testing,
    public::{
        Answer, Class, Context, Table,
        args::{Args, bytes, hash, list},
        error, json,
    },
};
use alloy_eips::Decodable2718;
use fugue_chain::{
    BuildAttributes, BuildError, BuildOrder, BuiltPayload, Contents, EngineError, Forkchoice,
    ForkchoiceVerdict, Head, PayloadVerdict, Reply,
};
use fugue_txpool::{PooledTransaction, Sidecar, split};
use fugue_types::{B256, Bytes, Transaction};
use jsonrpsee::types::ErrorObjectOwned;
use serde_json::Value;
use std::{
    sync::mpsc::{self, RecvTimeoutError},
    time::Duration,
};

/// The methods of this namespace.
pub(super) const METHODS: Table = &[
    ("testing_buildBlockV1", Class::Executing, build_block),
    ("testing_commitBlockV1", Class::Executing, commit_block),
];

/// Bytes of the extra data of a header. Source: Yellow Paper, "Block Header Validity".
const EXTRA_BYTES_MAX: usize = 32;
/// Between two looks whether somebody still waits for the engine's answer.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// `testing_buildBlockV1`: a block on any that is known. Nothing becomes of it.
fn build_block(context: &Context, mut args: Args) -> Answer {
    let parent = args.required("parent block hash", hash)?;
    let header = context.view().header_by_hash(parent).map_err(error::of_chain)?;
    let header = header.ok_or_else(error::block_not_found)?;
    let order = order(context, args, Head { number: header.number, hash: parent })?;
    testing::envelope(context.engine.spec(), &build(context, order)?)
}

/// `testing_commitBlockV1`: a block on the head, which becomes the head. Gives its hash.
fn commit_block(context: &Context, args: Args) -> Answer {
    let view = context.view();
    let order = order(context, args, view.head())?;
    let block = build(context, order)?.block;
    let hash = block.hash();
    let engine = &context.engine;
    match wait(context, |reply| engine.new_payload(block, Duration::ZERO, reply))? {
        PayloadVerdict::Valid => {}
        PayloadVerdict::Invalid(refusal) => {
            return Err(error::internal(format!("a built block is invalid: {}", refusal.reason)));
        }
        PayloadVerdict::Syncing | PayloadVerdict::Accepted => {
            return Err(error::refused("the head has moved on, too far for a block on it"));
        }
    }
    // What is safe and final stays so.
    let mark = |head: Option<Head>| head.map_or(B256::ZERO, |head| head.hash);
    let (safe, finalized) = (mark(view.safe()), mark(view.finalized()));
    let state = Forkchoice { head: hash, safe, finalized };
    match wait(context, |reply| engine.forkchoice(state, None, reply))? {
        ForkchoiceVerdict::Valid(_) => json(&hash),
        ForkchoiceVerdict::Invalid(_) | ForkchoiceVerdict::Syncing => {
            Err(error::refused("the block was built, but is not the head"))
        }
    }
}

/// The arguments after the parent.
fn order(context: &Context, mut args: Args, parent: Head) -> Result<BuildOrder, ErrorObjectOwned> {
    let spec = context.engine.spec();
    let number = parent.number.saturating_add(1);
    let decode = |value: &Value| testing::attributes(value, spec, number);
    let attributes: BuildAttributes = args.required("payload attributes", decode)?;
    let txs_max = context.limits.testing_txs_max;
    let txs = args.optional("transactions", |value| list(value, txs_max, transaction))?;
    let extra_data = args.optional("extra data", extra_data)?;
    args.end()?;
    let contents = txs.map_or(Contents::Pool, Contents::Exactly);
    Ok(BuildOrder { parent: parent.hash, attributes, contents, extra_data })
}

/// As blocks have it, or as it is sent, with its blobs.
fn transaction(value: &Value) -> Result<(Transaction, Option<Sidecar>), String> {
    let encoded = bytes(value)?;
    if let Ok(tx) = Transaction::decode_2718_exact(&encoded) {
        return Ok((tx, None));
    }
    let tx = PooledTransaction::decode_2718_exact(&encoded);
    tx.map(split).map_err(|error| error.to_string())
}

fn extra_data(value: &Value) -> Result<Bytes, String> {
    let data = bytes(value)?;
    if data.len() > EXTRA_BYTES_MAX {
        return Err(format!("{} bytes, want at most {EXTRA_BYTES_MAX}", data.len()));
    }
    Ok(data)
}

fn build(context: &Context, order: BuildOrder) -> Result<BuiltPayload, ErrorObjectOwned> {
    let patience = &context.patience;
    let built = context.engine.build_at_once(order, &|| patience.goes_on());
    // Why it was given up is for the call to say.
    patience.check()?;
    built.map_err(|error| match error {
        // Here the timestamp is an argument.
        BuildError::Timestamp { .. } => {
            error::invalid_params(format!("payload attributes: {error}"))
        }
        other => error::of_build(other),
    })
}

/// Waits for the engine, while somebody waits for the call.
pub(super) fn wait<T: Send + 'static>(
    context: &Context,
    ask: impl FnOnce(Reply<Result<T, EngineError>>),
) -> Result<T, ErrorObjectOwned> {
    let (sender, receiver) = mpsc::channel();
    ask(Box::new(move |answer: Result<T, EngineError>| {
        // If the call was given up, there is nobody to tell.
        drop(sender.send(answer));
    }));
    loop {
        match receiver.recv_timeout(LOOK_EVERY) {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error @ EngineError::Internal(_))) => return Err(error::internal(error)),
            Ok(Err(refusal)) => return Err(error::refused(refusal.to_string())),
            Err(RecvTimeoutError::Timeout) => context.patience.check()?,
            Err(RecvTimeoutError::Disconnected) => {
                return Err(error::internal("the engine did not answer"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_consensus::{Signed, TxEip4844, TxLegacy};
    use alloy_eips::Encodable2718;
    use alloy_primitives::Signature;
    use serde_json::json as object;

    #[test]
    fn transactions_come_with_or_without_their_blobs() {
        let signature = Signature::test_signature();
        let plain = Transaction::Legacy(Signed::new_unhashed(TxLegacy::default(), signature));
        let encoded = object!(Bytes::from(plain.encoded_2718()));
        assert_eq!(transaction(&encoded), Ok((plain, None)));
        let tx = TxEip4844::default().with_sidecar(Sidecar::default());
        let sent = PooledTransaction::Eip4844(Signed::new_unhashed(tx, signature));
        let found = transaction(&object!(Bytes::from(sent.encoded_2718()))).expect("a transaction");
        assert_eq!((found.0.hash(), found.1), (sent.hash(), Some(Sidecar::default())));
        assert!(transaction(&object!("0x")).is_err());
        assert!(transaction(&object!("0x7f00")).is_err());
    }

    #[test]
    fn extra_data_has_a_bound() {
        let data = |count: usize| object!(Bytes::from(vec![1; count]));
        assert_eq!(extra_data(&object!("0x")), Ok(Bytes::new()));
        assert!(extra_data(&data(EXTRA_BYTES_MAX)).is_ok());
        assert!(extra_data(&data(EXTRA_BYTES_MAX + 1)).is_err());
    }
}

//! Whom transactions may be sent from, what the pool lets go, and what the node says of itself.

use super::{Done, chain, of_dev};
use crate::{
    dev::Impersonation,
    public::{
        Answer, Context,
        args::{Args, address, boolean, hash},
        error, json, web3,
    },
};
use fugue_types::{Address, B256, U256};
use jsonrpsee::types::ErrorObjectOwned;
use serde_json::{Map, Value, json as object};

fn change(context: &Context, change: Impersonation) -> Done {
    chain(context)?.impersonate(change).map_err(of_dev)
}

fn account(mut args: Args) -> Result<Address, ErrorObjectOwned> {
    let account = args.required("address", address)?;
    args.end()?;
    Ok(account)
}

/// `eth_coinbase`: who is paid by the next block.
pub(super) fn coinbase(context: &Context, args: Args) -> Answer {
    args.end()?;
    json(&chain(context)?.next_block().map_err(of_dev)?.fee_recipient)
}

/// `hardhat_impersonateAccount`.
pub(super) fn impersonate(context: &Context, args: Args) -> Done {
    change(context, Impersonation::Start(account(args)?))
}

/// `anvil_stopImpersonatingAccount`.
pub(super) fn stop_impersonating(context: &Context, args: Args) -> Done {
    change(context, Impersonation::Stop(account(args)?))
}

/// `hardhat_stopImpersonatingAccount`: says whether it was impersonated.
pub(super) fn stop_impersonating_anyone(context: &Context, args: Args) -> Answer {
    let account = account(args)?;
    let was_impersonated = chain(context)?.is_impersonated(account);
    change(context, Impersonation::Stop(account))?;
    json(&was_impersonated)
}

/// `anvil_autoImpersonateAccount`.
pub(super) fn impersonate_all(context: &Context, mut args: Args) -> Done {
    let is_on = args.required("enabled", boolean)?;
    args.end()?;
    change(context, Impersonation::All(is_on))
}

/// `hardhat_dropTransaction`: says whether the pool had it.
pub(super) fn drop_transaction(context: &Context, mut args: Args) -> Answer {
    let hash = args.required("transaction hash", hash)?;
    args.end()?;
    json(&(context.engine.drop_pooled(&[hash]).map_err(error::of_chain)? > 0))
}

/// `anvil_dropTransaction`: its hash, or null if the pool did not have it.
pub(super) fn drop_one(context: &Context, mut args: Args) -> Answer {
    let hash = args.required("transaction hash", hash)?;
    args.end()?;
    let count = context.engine.drop_pooled(&[hash]).map_err(error::of_chain)?;
    json(&(count > 0).then_some(hash))
}

/// `anvil_removePoolTransactions`: those of a sender.
pub(super) fn drop_all_of(context: &Context, args: Args) -> Done {
    let [pending, queued] = context.engine.pool().content_of(account(args)?);
    // The last one first: no other has to wait for it.
    let hashes = pending.iter().chain(&queued).rev().map(|pooled| pooled.hash);
    let hashes: Vec<B256> = hashes.collect();
    context.engine.drop_pooled(&hashes).map(|_| ()).map_err(error::of_chain)
}

/// `anvil_dropAllTransactions`.
pub(super) fn drop_all(context: &Context, args: Args) -> Done {
    args.end()?;
    context.engine.clear_pool().map(|_| ()).map_err(error::of_chain)
}

/// `hardhat_getAutomine`.
pub(super) fn automine(context: &Context, args: Args) -> Answer {
    args.end()?;
    json(&chain(context)?.status().is_automine)
}

/// `anvil_getIntervalMining`: the longest, in seconds; null if there is none. A part of a second
/// counts as one: 0 is what turns it off.
pub(super) fn interval_mining(context: &Context, args: Args) -> Answer {
    args.end()?;
    let interval = chain(context)?.status().interval;
    json(&interval.map(|interval| interval.max.as_nanos().div_ceil(1_000_000_000)))
}

/// `hardhat_metadata`.
pub(super) fn metadata(context: &Context, args: Args) -> Answer {
    args.end()?;
    json(&Value::Object(told(context)?))
}

/// `anvil_metadata`.
pub(super) fn metadata_with_snapshots(context: &Context, args: Args) -> Answer {
    args.end()?;
    let mut fields = told(context)?;
    let snapshots = chain(context)?.snapshots().into_iter();
    let snapshots: Map<String, Value> = snapshots
        .map(|(id, head)| (format!("{id:#x}"), object!([head.number, head.hash])))
        .collect();
    fields.insert("snapshots".to_owned(), Value::Object(snapshots));
    fields.insert("forkedNetwork".to_owned(), Value::Null);
    json(&Value::Object(fields))
}

fn told(context: &Context) -> Result<Map<String, Value>, ErrorObjectOwned> {
    let head = context.view().head();
    let fields = [
        ("clientVersion", object!(web3::client_name())),
        ("chainId", object!(context.engine.spec().chain_id())),
        ("instanceId", object!(chain(context)?.status().instance)),
        ("latestBlockNumber", object!(head.number)),
        ("latestBlockHash", object!(head.hash)),
    ];
    Ok(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// `anvil_nodeInfo`.
pub(super) fn info(context: &Context, args: Args) -> Answer {
    args.end()?;
    let view = context.view();
    let found = view.header(view.head().number).map_err(error::of_chain)?;
    let (hash, header) = found.ok_or_else(error::block_not_found)?;
    let base_fee = header.base_fee_per_gas.unwrap_or_default();
    let fork = view.spec().rules(&header).fork.to_string();
    json(&object!({
        "currentBlockNumber": U256::from(header.number),
        "currentBlockTimestamp": header.timestamp,
        "currentBlockHash": hash,
        "hardFork": fork.to_lowercase(),
        "transactionOrder": "fees",
        "environment": {
            "baseFee": U256::from(base_fee),
            "chainId": view.spec().chain_id(),
            "gasLimit": U256::from(header.gas_limit),
            "gasPrice": U256::from(base_fee),
        },
        "forkConfig": { "forkUrl": null, "forkBlockNumber": null, "forkRetryBackoff": null },
    }))
}

//! What the node says of its chain, without asking the store.

use crate::public::{Answer, Context, args::Args, json};
use fugue_types::{Address, U256};
use serde_json::json as object;

/// `eth_accounts`: no keys are kept, but those of a chain for development.
pub(crate) fn accounts(context: &Context, args: Args) -> Answer {
    args.end()?;
    let accounts = context.dev.as_ref().map(|dev| dev.chain.accounts());
    json::<[Address]>(&accounts.unwrap_or_default())
}

/// `eth_blockNumber`.
pub(crate) fn block_number(context: &Context, args: Args) -> Answer {
    args.end()?;
    json(&U256::from(context.view().head().number))
}

/// `eth_chainId`.
pub(crate) fn chain_id(context: &Context, args: Args) -> Answer {
    args.end()?;
    json(&U256::from(context.engine.spec().chain_id()))
}

/// `eth_syncing`. The consensus layer names the head that is missing by its hash alone, so the
/// highest block that can be told of is the present one.
pub(crate) fn syncing(context: &Context, args: Args) -> Answer {
    args.end()?;
    if !context.engine.is_syncing() {
        return json(&false);
    }
    let head = U256::from(context.view().head().number);
    json(&object!({ "startingBlock": head, "currentBlock": head, "highestBlock": head }))
}

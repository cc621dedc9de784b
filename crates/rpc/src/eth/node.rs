//! What the node says of itself, without asking the store.

use crate::eth::{
    Answer, Context,
    args::{Args, bytes},
    json,
};
use fugue_types::{Address, U256, keccak256};
use serde_json::json as object;

/// `eth_accounts`: no keys are kept.
pub(crate) fn accounts(_: &Context, args: Args) -> Answer {
    args.end()?;
    json::<[Address; 0]>(&[])
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

/// `net_version`: the chain id in decimal.
pub(crate) fn net_version(context: &Context, args: Args) -> Answer {
    args.end()?;
    json(&context.engine.spec().chain_id().to_string())
}

/// `net_listening`: there is no peer to peer network.
pub(crate) fn net_listening(_: &Context, args: Args) -> Answer {
    args.end()?;
    json(&false)
}

/// `net_peerCount`: there is no peer to peer network.
pub(crate) fn net_peer_count(_: &Context, args: Args) -> Answer {
    args.end()?;
    json(&U256::ZERO)
}

/// `web3_clientVersion`.
pub(crate) fn client_version(_: &Context, args: Args) -> Answer {
    args.end()?;
    let (os, processor) = (std::env::consts::OS, std::env::consts::ARCH);
    json(&format!("fugue/v{}/{os}-{processor}", env!("CARGO_PKG_VERSION")))
}

/// `web3_sha3`: keccak256.
pub(crate) fn sha3(_: &Context, mut args: Args) -> Answer {
    let data = args.required("data", bytes)?;
    args.end()?;
    json(&keccak256(data))
}

//! What the node says of its network: there is no peer-to-peer network.

use crate::public::{Answer, Class, Context, Table, args::Args, json};
use fugue_types::U256;

/// The methods of this namespace.
pub(super) const METHODS: Table = &[
    ("net_listening", Class::Immediate, listening),
    ("net_peerCount", Class::Immediate, peer_count),
    ("net_version", Class::Immediate, version),
];

/// `net_version`: the chain id in decimal.
fn version(context: &Context, args: Args) -> Answer {
    args.end()?;
    json(&context.engine.spec().chain_id().to_string())
}

/// `net_listening`: the node listens for calls, as is plain from this one; it has no peers.
/// Libraries take false for a node that is gone.
fn listening(_: &Context, args: Args) -> Answer {
    args.end()?;
    json(&true)
}

/// `net_peerCount`: there is no peer-to-peer network.
fn peer_count(_: &Context, args: Args) -> Answer {
    args.end()?;
    json(&U256::ZERO)
}

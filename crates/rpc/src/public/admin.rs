//! The `admin` namespace, as far as there is something to tell without a peer-to-peer network.

use crate::public::{Answer, Class, Context, Table, args::Args, debug, error, json, web3};
use fugue_chainspec::ChainConfig;
use fugue_types::{Address, B256};
use serde::Serialize;

/// Names the folder of the data; not offered where that is not known.
pub(super) const DATADIR: &str = "admin_datadir";

/// The methods of this namespace.
pub(super) const METHODS: Table = &[
    ("admin_clearTxpool", Class::Reading, debug::clear_txpool),
    (DATADIR, Class::Immediate, datadir),
    ("admin_nodeInfo", Class::Reading, node_info),
    ("admin_peers", Class::Immediate, peers),
];

/// What go-ethereum tells of itself, but for what a network would have: keys, addresses, ports.
#[derive(Debug, Serialize)]
struct NodeInfo {
    name: String,
    protocols: Protocols,
}

#[derive(Debug, Serialize)]
struct Protocols {
    eth: EthInfo,
}

#[derive(Debug, Serialize)]
struct EthInfo {
    network: u64,
    genesis: B256,
    config: ChainConfig,
    head: B256,
}

/// `admin_datadir`.
fn datadir(context: &Context, args: Args) -> Answer {
    args.end()?;
    let datadir = context.datadir.as_deref();
    json(datadir.ok_or_else(|| error::internal("the folder of the data is not known"))?)
}

/// `admin_nodeInfo`.
fn node_info(context: &Context, args: Args) -> Answer {
    args.end()?;
    let view = context.view();
    let first = view.header(0).map_err(error::of_chain)?;
    let (genesis, _) = first.ok_or_else(error::block_not_found)?;
    let spec = view.spec();
    let (network, config, head) = (spec.chain_id(), spec.config(), view.head().hash);
    let eth = EthInfo { network, genesis, config, head };
    json(&NodeInfo { name: web3::client_name(), protocols: Protocols { eth } })
}

/// `admin_peers`: there is no peer-to-peer network.
fn peers(_: &Context, args: Args) -> Answer {
    args.end()?;
    json::<[Address; 0]>(&[])
}

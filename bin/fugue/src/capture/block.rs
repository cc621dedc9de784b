//! A block and its parent's header, as they are hashed: raw where the node gives them so, else put
//! together from their fields. Either way all of it is compared with the hashes that the headers
//! have.

use super::endpoint::{Endpoint, Fault};
use crate::client::public::{decoded, quantity};
use alloy_consensus::proofs::{
    calculate_ommers_root, calculate_transaction_root, calculate_withdrawals_root,
};
use alloy_rlp::Decodable;
use fugue_types::{B256, Block, BlockBody, Bytes, Header, SealedBlock, Transaction, Withdrawals};
use serde_json::{Value, json};

const RAW_BLOCK: &str = "debug_getRawBlock";
const RAW_HEADER: &str = "debug_getRawHeader";
const BLOCK: &str = "eth_getBlockByNumber";
const OMMER: &str = "eth_getUncleByBlockNumberAndIndex";

/// The block with this number, and its parent's header.
pub(super) fn fetch(endpoint: &Endpoint, number: u64) -> Result<(SealedBlock, Header), Fault> {
    let found = raw::<Block>(endpoint, number, RAW_BLOCK)
        .map(SealedBlock::seal)
        .and_then(|block| fitting(endpoint, number, RAW_BLOCK, block));
    let block = match found {
        Err(fault) if fault.is_passable() => {
            let block = told_block(endpoint, number)?;
            fitting(endpoint, number, BLOCK, block)?
        }
        found => found?,
    };
    let parent_hash = block.block().header.parent_hash;
    let before = number.saturating_sub(1);
    let is_parent = |method: &'static str, header: Header| {
        if header.hash_slow() == parent_hash {
            return Ok(header);
        }
        let reason = format!("not the parent of block {number}, {parent_hash}: the chain moved");
        Err(endpoint.unfit(before, method, reason))
    };
    let found = raw::<Header>(endpoint, before, RAW_HEADER);
    let parent = match found.and_then(|header| is_parent(RAW_HEADER, header)) {
        Err(fault) if fault.is_passable() => {
            let told = told(endpoint, before, false)?;
            is_parent(BLOCK, header(endpoint, before, &told)?)?
        }
        found => found?,
    };
    Ok((block, parent))
}

fn raw<T: Decodable>(endpoint: &Endpoint, number: u64, method: &'static str) -> Result<T, Fault> {
    let rlp: Bytes = endpoint.get(number, method, &json!([quantity(number)]))?;
    alloy_rlp::decode_exact(&rlp).map_err(|error| endpoint.unfit(number, method, error))
}

/// The body is the one that the header names.
fn fitting(
    endpoint: &Endpoint,
    number: u64,
    method: &'static str,
    sealed: SealedBlock,
) -> Result<SealedBlock, Fault> {
    let Block { header, body } = sealed.block();
    let withdrawals = body.withdrawals.as_ref().map(|list| calculate_withdrawals_root(list));
    let wrong = [
        ("number", header.number != number),
        (
            "transactionsRoot",
            header.transactions_root != calculate_transaction_root(&body.transactions),
        ),
        ("sha3Uncles", header.ommers_hash != calculate_ommers_root(&body.ommers)),
        ("withdrawalsRoot", header.withdrawals_root != withdrawals),
    ];
    match wrong.iter().find(|(_, is_wrong)| *is_wrong) {
        None => Ok(sealed),
        Some((field, _)) => {
            Err(endpoint.unfit(number, method, format!("{field} is not what the block has")))
        }
    }
}

/// What `eth_getBlockByNumber` says.
fn told(endpoint: &Endpoint, number: u64, is_full: bool) -> Result<Value, Fault> {
    let told = endpoint.call(number, BLOCK, &json!([quantity(number), is_full]))?;
    if told.is_null() {
        return Err(endpoint.unfit(number, BLOCK, "there is no such block"));
    }
    Ok(told)
}

fn header(endpoint: &Endpoint, number: u64, told: &Value) -> Result<Header, Fault> {
    decoded(told.clone()).map_err(|error| endpoint.unfit(number, BLOCK, error))
}

/// The block out of its fields.
fn told_block(endpoint: &Endpoint, number: u64) -> Result<SealedBlock, Fault> {
    let told = told(endpoint, number, true)?;
    let unfit =
        |field: &str, error: String| endpoint.unfit(number, BLOCK, format!("{field}: {error}"));
    let field = |name: &str| told.get(name).cloned().unwrap_or_default();
    let hash: B256 = decoded(field("hash")).map_err(|error| unfit("hash", error))?;
    let transactions: Vec<Transaction> =
        decoded(field("transactions")).map_err(|error| unfit("transactions", error))?;
    let uncles: Option<Vec<B256>> =
        decoded(field("uncles")).map_err(|error| unfit("uncles", error))?;
    let mut ommers = Vec::new();
    for (index, hash) in (0_u64..).zip(uncles.unwrap_or_default()) {
        let params = json!([quantity(number), quantity(index)]);
        let ommer: Header = endpoint.get(number, OMMER, &params)?;
        if ommer.hash_slow() != hash {
            return Err(endpoint.unfit(number, OMMER, format!("not {hash}")));
        }
        ommers.push(ommer);
    }
    let withdrawals: Option<Withdrawals> =
        decoded(field("withdrawals")).map_err(|error| unfit("withdrawals", error))?;
    let header = header(endpoint, number, &told)?;
    let body = BlockBody { transactions, ommers, withdrawals };
    SealedBlock::seal_as(Block { header, body }, hash).map_err(|error| {
        let reason = format!("{error}: it has fields that are not known, or lacks some");
        endpoint.unfit(number, BLOCK, reason)
    })
}

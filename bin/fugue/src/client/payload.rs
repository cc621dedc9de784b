//! Blocks as calls of the Engine API: which version of a method, and which JSON.
//! Source: execution-apis, `src/engine`.

use alloy_consensus::{
    EMPTY_OMMER_ROOT_HASH,
    proofs::{calculate_transaction_root, calculate_withdrawals_root},
};
use alloy_eips::Encodable2718;
use alloy_primitives::B64;
use fugue_chainspec::{Fork, Rules};
use fugue_types::{
    B256, Block, Bytes, Header, Requests, SealedBlock, TransactionTrait as _, U256, Withdrawal,
    keccak256,
};
use serde_json::{Value, json};

/// The methods for blocks of a fork.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Versions {
    /// Of `engine_newPayload`.
    pub(crate) new_payload: u8,
    /// Of `engine_forkchoiceUpdated`.
    pub(crate) forkchoice: u8,
    /// Of `engine_getPayload`.
    pub(crate) get_payload: u8,
}

impl Versions {
    /// Those of the fork of these rules.
    pub(crate) fn of(rules: &Rules) -> Self {
        let versions = [
            (Fork::Amsterdam, [5, 4, 6]),
            (Fork::Osaka, [4, 3, 5]),
            (Fork::Prague, [4, 3, 4]),
            (Fork::Cancun, [3, 3, 3]),
            (Fork::Shanghai, [2, 2, 2]),
        ];
        let found = versions.into_iter().find(|(fork, _)| rules.has(*fork));
        let [new_payload, forkchoice, get_payload] = found.map_or([1, 1, 1], |(_, found)| found);
        Self { new_payload, forkchoice, get_payload }
    }
}

/// What a call says of a block that its RLP has hashes of alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Beside {
    /// From Prague on.
    pub(crate) requests: Option<Requests>,
    /// In RLP, from Amsterdam on.
    pub(crate) access_list: Option<Bytes>,
}

/// The parameters of `engine_newPayload` of a version; `None` if they cannot tell the whole of the
/// block: whoever puts it together from them would get another hash.
pub(crate) fn new_payload(block: &SealedBlock, version: u8, beside: &Beside) -> Option<Value> {
    let Block { header, body } = block.block();
    let is_told = body.ommers.is_empty()
        && header.base_fee_per_gas.is_some()
        && told(block.block(), version, beside).hash_slow() == block.hash();
    if !is_told {
        return None;
    }
    let mut params = vec![payload(block.block(), block.hash(), beside.access_list.as_ref())];
    if version >= 3 {
        let hashes = body.transactions.iter().filter_map(|tx| tx.blob_versioned_hashes());
        params.push(json!(hashes.flatten().copied().collect::<Vec<B256>>()));
        params.push(json!(header.parent_beacon_block_root));
    }
    if version >= 4 {
        // Elements with a type and no data are left out. Source: `prague.md`.
        let list = |requests: &Requests| -> Vec<Bytes> {
            requests.iter().filter(|request| request.len() > 1).cloned().collect()
        };
        params.push(json!(beside.requests.as_ref().map(list)));
    }
    Some(Value::Array(params))
}

/// The header that the parameters tell of.
fn told(block: &Block, version: u8, beside: &Beside) -> Header {
    let Block { header, body } = block;
    let requests = beside.requests.as_ref().filter(|_| version >= 4);
    Header {
        ommers_hash: EMPTY_OMMER_ROOT_HASH,
        difficulty: U256::ZERO,
        nonce: B64::ZERO,
        transactions_root: calculate_transaction_root(&body.transactions),
        withdrawals_root: body.withdrawals.as_ref().map(|list| calculate_withdrawals_root(list)),
        parent_beacon_block_root: header.parent_beacon_block_root.filter(|_| version >= 3),
        requests_hash: requests.map(Requests::requests_hash),
        block_access_list_hash: beside.access_list.as_ref().map(keccak256),
        ..header.clone()
    }
}

fn payload(block: &Block, hash: B256, access_list: Option<&Bytes>) -> Value {
    let Block { header, body } = block;
    let transactions = body.transactions.iter().map(|tx| Bytes::from(tx.encoded_2718()));
    let mut payload = json!({
        "parentHash": header.parent_hash,
        "feeRecipient": header.beneficiary,
        "stateRoot": header.state_root,
        "receiptsRoot": header.receipts_root,
        "logsBloom": header.logs_bloom,
        "prevRandao": header.mix_hash,
        "blockNumber": quantity(header.number),
        "gasLimit": quantity(header.gas_limit),
        "gasUsed": quantity(header.gas_used),
        "timestamp": quantity(header.timestamp),
        "extraData": header.extra_data,
        "baseFeePerGas": quantity(header.base_fee_per_gas.unwrap_or_default()),
        "blockHash": hash,
        "transactions": transactions.collect::<Vec<Bytes>>(),
    });
    let number = |number: Option<u64>| number.map(|number| json!(quantity(number)));
    for (field, value) in [
        ("withdrawals", body.withdrawals.as_ref().map(|list| withdrawals(list))),
        ("blobGasUsed", number(header.blob_gas_used)),
        ("excessBlobGas", number(header.excess_blob_gas)),
        ("blockAccessList", access_list.map(|list| json!(list))),
        ("slotNumber", number(header.slot_number)),
    ] {
        if let Some(value) = value {
            payload[field] = value;
        }
    }
    payload
}

/// Whether a header has just those fields that the parameters of a version must tell of. If not,
/// the call is refused as such.
pub(crate) fn has_structure(header: &Header, version: u8) -> bool {
    [
        (header.withdrawals_root.is_some(), 2),
        (header.blob_gas_used.is_some(), 3),
        (header.excess_blob_gas.is_some(), 3),
        (header.parent_beacon_block_root.is_some(), 3),
        (header.requests_hash.is_some(), 4),
        (header.block_access_list_hash.is_some(), 5),
        (header.slot_number.is_some(), 5),
    ]
    .into_iter()
    .all(|(is_there, since)| is_there == (version >= since))
}

/// What a block is to be built with, so that it is like this one. `version` is that of
/// `engine_forkchoiceUpdated`.
pub(crate) fn attributes(block: &Block, version: u8) -> Value {
    let Block { header, body } = block;
    let mut attributes = json!({
        "timestamp": quantity(header.timestamp),
        "prevRandao": header.mix_hash,
        "suggestedFeeRecipient": header.beneficiary,
    });
    if version >= 2 {
        let list = body.withdrawals.as_ref();
        attributes["withdrawals"] = list.map_or_else(|| json!([]), |list| withdrawals(list));
    }
    if version >= 3 {
        attributes["parentBeaconBlockRoot"] =
            json!(header.parent_beacon_block_root.unwrap_or_default());
    }
    if version >= 4 {
        attributes["slotNumber"] = json!(quantity(header.slot_number.unwrap_or_default()));
        attributes["targetGasLimit"] = json!(quantity(header.gas_limit));
    }
    attributes
}

fn withdrawals(list: &[Withdrawal]) -> Value {
    let withdrawal = |withdrawal: &Withdrawal| {
        let Withdrawal { index, validator_index, address, amount } = withdrawal;
        json!({
            "index": quantity(*index),
            "validatorIndex": quantity(*validator_index),
            "address": address,
            "amount": quantity(*amount),
        })
    };
    list.iter().map(withdrawal).collect()
}

fn quantity(number: u64) -> String {
    format!("{number:#x}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use fugue_chainspec::ChainSpec;
    use fugue_types::BlockBody;

    fn versions(fork: Fork) -> (u8, u8, u8) {
        let found = Versions::of(&ChainSpec::at_fork(1, fork).rules_at(1, 1));
        (found.new_payload, found.forkchoice, found.get_payload)
    }

    #[test]
    fn each_fork_has_the_versions_of_the_specification() {
        for (fork, expected) in [
            (Fork::Paris, (1, 1, 1)),
            (Fork::Shanghai, (2, 2, 2)),
            (Fork::Cancun, (3, 3, 3)),
            (Fork::Prague, (4, 3, 4)),
            (Fork::Osaka, (4, 3, 5)),
            (Fork::Bpo2, (4, 3, 5)),
            (Fork::Amsterdam, (5, 4, 6)),
        ] {
            assert_eq!(versions(fork), expected, "{fork}");
        }
    }

    fn header() -> Header {
        let transactions_root = calculate_transaction_root::<fugue_types::Transaction>(&[]);
        Header { number: 7, base_fee_per_gas: Some(7), transactions_root, ..Header::default() }
    }

    fn told_of(header: Header, version: u8) -> Option<Value> {
        let block = SealedBlock::seal(Block { header, body: BlockBody::default() });
        new_payload(&block, version, &Beside::default())
    }

    #[test]
    fn what_a_payload_cannot_tell_of_is_none() {
        let found = told_of(header(), 1).expect("a payload");
        assert_eq!(found[0]["blockNumber"], "0x7");
        assert_eq!(found.as_array().map(Vec::len), Some(1));
        let others = [
            Header { difficulty: U256::from(1), ..header() },
            Header { nonce: B64::repeat_byte(1), ..header() },
            Header { ommers_hash: B256::ZERO, ..header() },
            Header { transactions_root: B256::ZERO, ..header() },
            Header { base_fee_per_gas: None, ..header() },
            Header { withdrawals_root: Some(B256::ZERO), ..header() },
            Header { requests_hash: Some(B256::ZERO), ..header() },
        ];
        for other in others {
            assert_eq!(told_of(other.clone(), 4), None, "{other:?}");
        }
        // The first two versions have no place for it.
        let rooted = Header { parent_beacon_block_root: Some(B256::ZERO), ..header() };
        assert_eq!(told_of(rooted.clone(), 2), None);
        let told = told_of(rooted, 3).expect("a payload");
        assert_eq!(told[1], json!([]));
        assert_eq!(told[2], json!(B256::ZERO));
    }

    #[test]
    fn a_structure_has_all_fields_of_its_version_and_no_others() {
        let mut header = header();
        let mut is_of = |version: u8, change: &dyn Fn(&mut Header)| {
            change(&mut header);
            (1..=5).map(|other| has_structure(&header, other)).collect::<Vec<_>>()
                == (1..=5).map(|other| other == version).collect::<Vec<_>>()
        };
        assert!(is_of(1, &|_| ()));
        assert!(is_of(2, &|header| header.withdrawals_root = Some(B256::ZERO)));
        assert!(is_of(0, &|header| header.blob_gas_used = Some(0)));
        assert!(is_of(3, &|header| {
            header.excess_blob_gas = Some(0);
            header.parent_beacon_block_root = Some(B256::ZERO);
        }));
        assert!(is_of(4, &|header| header.requests_hash = Some(B256::ZERO)));
        assert!(is_of(5, &|header| {
            header.block_access_list_hash = Some(B256::ZERO);
            header.slot_number = Some(0);
        }));
    }

    #[test]
    fn attributes_have_the_fields_of_their_version() {
        let block = Block { header: header(), body: BlockBody::default() };
        let fields = [
            ("withdrawals", 2),
            ("parentBeaconBlockRoot", 3),
            ("slotNumber", 4),
            ("targetGasLimit", 4),
        ];
        for version in 1..=4 {
            let found = attributes(&block, version);
            for (field, since) in fields {
                assert_eq!(found.get(field).is_some(), version >= since, "{version}: {field}");
            }
        }
    }
}

//! Rules E4 to E9 and E30, as far as no chain is needed for them.

use super::*;
use fugue_types::Withdrawal;
use serde_json::{Value, json};

const ALL: [Version; 5] = [Version::V1, Version::V2, Version::V3, Version::V4, Version::V5];

/// The fork whose payloads a version is for.
fn era(version: Version) -> Era {
    match version {
        Version::V1 => Era::Paris,
        Version::V2 => Era::Shanghai,
        Version::V3 => Era::Cancun,
        Version::V4 => Era::Prague,
        Version::V5 | Version::V6 => Era::Amsterdam,
    }
}

/// A block with the fields of a version's payloads, and its access list.
fn block(version: Version) -> (SealedBlock, Option<Bytes>) {
    let access_list = (version >= Version::V5).then(|| Bytes::from_static(&[0xc0]));
    let since = |since: Version| version >= since;
    let withdrawal =
        Withdrawal { index: 1, validator_index: 2, address: Address::repeat_byte(3), amount: 4 };
    let withdrawals = since(Version::V2).then(|| Withdrawals::new(vec![withdrawal]));
    let header = Header {
        parent_hash: B256::repeat_byte(1),
        beneficiary: Address::repeat_byte(2),
        state_root: B256::repeat_byte(3),
        transactions_root: calculate_transaction_root::<Transaction>(&[]),
        receipts_root: B256::repeat_byte(4),
        logs_bloom: Bloom::repeat_byte(5),
        number: 6,
        gas_limit: 7,
        gas_used: 8,
        timestamp: 9,
        extra_data: Bytes::from_static(b"fugue"),
        mix_hash: B256::repeat_byte(10),
        base_fee_per_gas: Some(11),
        withdrawals_root: withdrawals.as_ref().map(|list| calculate_withdrawals_root(list)),
        blob_gas_used: since(Version::V3).then_some(12),
        excess_blob_gas: since(Version::V3).then_some(13),
        parent_beacon_block_root: since(Version::V3).then_some(B256::repeat_byte(14)),
        requests_hash: since(Version::V4).then(|| some_requests().requests_hash()),
        block_access_list_hash: access_list.as_ref().map(keccak256),
        slot_number: since(Version::V5).then_some(15),
        ..Header::default()
    };
    let body = BlockBody { transactions: Vec::new(), ommers: Vec::new(), withdrawals };
    (SealedBlock::seal(Block { header, body }), access_list)
}

fn some_requests() -> Requests {
    Requests::from_requests([Bytes::from_static(&[0, 1]), Bytes::from_static(&[2, 1, 1])])
}

/// The parameters of a call with the version's block.
fn call(version: Version) -> Vec<Value> {
    let (block, access_list) = block(version);
    let payload = ExecutionPayload::of_block(&block, access_list.as_ref());
    let mut params = vec![serde_json::to_value(payload).unwrap()];
    if version >= Version::V3 {
        params.extend([json!([]), json!(B256::repeat_byte(14))]);
    }
    if version >= Version::V4 {
        params.push(json!(["0x0001", "0x020101"]));
    }
    params
}

fn decode_in(version: Version, era: Era, params: &[Value]) -> Result<NewPayload, Failure> {
    let json = serde_json::to_string(params).unwrap();
    NewPayload::decode(version, &Params::new(Some(&json)), |_, _| era)
}

fn decode(version: Version, params: &[Value]) -> Result<NewPayload, Failure> {
    decode_in(version, era(version), params)
}

/// What is wrong with the parameters, in the version's own fork.
fn invalid_params(version: Version, params: &[Value]) -> String {
    match decode(version, params) {
        Err(Failure::InvalidParams(why)) => why,
        other => panic!("{version:?}: {other:?}"),
    }
}

fn is_unsupported(version: Version, era: Era, params: &[Value]) -> bool {
    let found = decode_in(version, era, params);
    let is_it = matches!(found, Err(Failure::Engine(fugue_chain::EngineError::UnsupportedFork(_))));
    assert!(is_it || found.is_ok(), "{version:?} in {era:?}: {found:?}");
    is_it
}

/// The block of a call whose payload was changed.
fn unfit(version: Version, change: impl FnOnce(&mut Vec<Value>)) -> Unfit {
    let mut params = call(version);
    change(&mut params);
    decode(version, &params).unwrap().into_block().unwrap_err()
}

#[test]
fn payloads_of_each_version_round_trip() {
    for version in ALL {
        let (block, _) = block(version);
        let call = decode(version, &call(version)).unwrap();
        assert_eq!(call.place(), (6, block.hash()));
        let found = call.into_block();
        assert_eq!(found.as_ref(), Ok(&block), "{version:?}");
        let list = found.as_ref().ok().and_then(|block| block.access_list());
        assert_eq!(list.is_some(), version >= Version::V5, "{version:?}");
    }
}

#[test]
fn e4_an_empty_transaction_is_invalid() {
    for version in ALL {
        let found = unfit(version, |params| params[0]["transactions"] = json!(["0x"]));
        assert_eq!(found, Unfit::EmptyTransaction(0), "{version:?}");
    }
}

#[test]
fn e4_an_undecodable_transaction_is_invalid_and_no_error() {
    for bad in ["0x00", "0xc0", "0x05c0", "0x03", "0xff"] {
        let found = unfit(Version::V1, |params| params[0]["transactions"] = json!([bad]));
        assert!(matches!(found, Unfit::Transaction { index: 0, .. }), "{bad}: {found:?}");
    }
}

#[test]
fn e5_another_block_hash_is_invalid() {
    for version in ALL {
        let other = B256::repeat_byte(0xee);
        let found = unfit(version, |params| params[0]["blockHash"] = json!(other));
        assert!(matches!(found, Unfit::Hash(HashMismatch { expected, .. }) if expected == other));
        // Each part of the header counts.
        let found = unfit(version, |params| params[0]["gasUsed"] = json!("0x9"));
        assert!(matches!(found, Unfit::Hash(_)), "{version:?}");
    }
    let found = unfit(Version::V3, |params| params[2] = json!(B256::ZERO));
    assert!(matches!(found, Unfit::Hash(_)));
}

#[test]
fn e6_other_versioned_hashes_are_invalid() {
    for version in [Version::V3, Version::V4, Version::V5] {
        let found = unfit(version, |params| params[1] = json!([B256::repeat_byte(1)]));
        assert_eq!(found, Unfit::VersionedHashes, "{version:?}");
    }
}

#[test]
fn e7_missing_blob_gas_is_invalid_params() {
    for version in [Version::V3, Version::V4, Version::V5] {
        for field in ["blobGasUsed", "excessBlobGas", "withdrawals", "parentHash", "transactions"] {
            let mut params = call(version);
            params[0][field] = Value::Null;
            let why = invalid_params(version, &params);
            params[0].as_object_mut().unwrap().remove(field);
            assert!(why.starts_with("executionPayload: "), "{field}: {why}");
            let why = invalid_params(version, &params);
            assert!(why.contains(field), "{field}: {why}");
        }
    }
}

#[test]
fn e7_missing_and_surplus_parameters_are_invalid_params() {
    for version in ALL {
        let params = call(version);
        for index in 0..params.len() {
            let mut changed = params.clone();
            changed[index] = Value::Null;
            let why = invalid_params(version, &changed);
            assert!(why.ends_with(": missing"), "{version:?} {index}: {why}");
            assert!(decode(version, &params[..index]).is_err(), "{version:?} {index}");
        }
        let surplus: Vec<_> = params.iter().cloned().chain([json!("0x")]).collect();
        assert!(invalid_params(version, &surplus).starts_with("params: "));
        let nothing: Vec<_> = params.iter().cloned().chain([Value::Null]).collect();
        assert!(decode(version, &nothing).is_ok());
    }
}

#[test]
fn e7_fields_of_later_versions_are_invalid_params() {
    let fields = [
        ("withdrawals", json!([]), Version::V2),
        ("blobGasUsed", json!("0x0"), Version::V3),
        ("excessBlobGas", json!("0x0"), Version::V3),
        ("blockAccessList", json!("0xc0"), Version::V5),
        ("slotNumber", json!("0x0"), Version::V5),
    ];
    for version in ALL {
        for (field, value, since) in &fields {
            if version < *since {
                let mut params = call(version);
                params[0][*field] = value.clone();
                let why = invalid_params(version, &params);
                assert!(why.contains(field), "{version:?} {field}: {why}");
                // What is null is not given.
                params[0][*field] = Value::Null;
                assert!(decode(version, &params).is_ok(), "{version:?} {field}");
            }
        }
        let mut params = call(version);
        params[0]["unheardOf"] = json!(1);
        assert!(invalid_params(version, &params).contains("unheardOf"));
    }
}

#[test]
fn e7_the_second_version_takes_the_structure_of_the_fork() {
    let (first, second) = (call(Version::V1), call(Version::V2));
    assert!(decode_in(Version::V2, Era::Paris, &first).is_ok());
    assert!(decode_in(Version::V2, Era::Shanghai, &second).is_ok());
    for (era, params) in [(Era::Paris, &second), (Era::Shanghai, &first)] {
        let found = decode_in(Version::V2, era, params);
        assert!(matches!(found, Err(Failure::InvalidParams(_))), "{era:?}: {found:?}");
    }
}

#[test]
fn e7_structure_is_checked_before_the_fork() {
    for version in [Version::V3, Version::V4, Version::V5] {
        let mut params = call(version);
        params[0]["blobGasUsed"] = Value::Null;
        let found = decode_in(version, Era::Shanghai, &params);
        assert!(matches!(found, Err(Failure::InvalidParams(_))), "{version:?}: {found:?}");
    }
}

#[test]
fn e30_each_version_takes_payloads_of_its_forks_alone() {
    let eras = [
        Era::Paris,
        Era::Shanghai,
        Era::Cancun,
        Era::Prague,
        Era::Osaka,
        Era::Amsterdam,
        Era::Later,
    ];
    let cases: [(Version, &[Era]); 3] = [
        (Version::V3, &[Era::Cancun]),
        (Version::V4, &[Era::Prague, Era::Osaka]),
        (Version::V5, &[Era::Amsterdam]),
    ];
    for (version, good) in cases {
        for era in eras {
            let is_unsupported = is_unsupported(version, era, &call(version));
            assert_eq!(is_unsupported, !good.contains(&era), "{version:?} in {era:?}");
        }
    }
    for era in eras.into_iter().filter(|era| *era >= Era::Cancun) {
        for structure in [Version::V2, Version::V3] {
            assert!(is_unsupported(Version::V2, era, &call(structure)[..1]), "{era:?}");
        }
    }
}

#[test]
fn e8_requests_out_of_order_or_without_data_are_invalid_params() {
    for bad in [
        json!(["0x0201", "0x0001"]),
        json!(["0x0001", "0x0002"]),
        json!(["0x00"]),
        json!(["0x"]),
        json!(["0x0001", "0x01"]),
        json!([null]),
        json!("0x0001"),
        Value::Null,
    ] {
        for version in [Version::V4, Version::V5] {
            let mut params = call(version);
            params[3] = bad.clone();
            let why = invalid_params(version, &params);
            assert!(why.starts_with("executionRequests: "), "{bad}: {why}");
        }
    }
    // Other requests than the header's are no error of the call, and neither are unknown types.
    for other in [json!([]), json!(["0x0001", "0xff01"])] {
        let found = unfit(Version::V4, |params| params[3] = other);
        assert!(matches!(found, Unfit::Hash(_)), "{found:?}");
    }
}

#[test]
fn e9_a_missing_or_undecodable_access_list_is_invalid_params() {
    for bad in [Value::Null, json!("0x"), json!("0x01"), json!("0xc1"), json!("0xc0c0")] {
        let mut params = call(Version::V5);
        params[0]["blockAccessList"] = bad.clone();
        // Before the hash is looked at, which is another one now.
        let why = invalid_params(Version::V5, &params);
        assert!(why.contains("blockAccessList"), "{bad}: {why}");
    }
    let mut params = call(Version::V5);
    params[0]["slotNumber"] = Value::Null;
    assert!(invalid_params(Version::V5, &params).contains("slotNumber"));
}

#[test]
fn a_base_fee_above_64_bits_is_invalid() {
    let found =
        unfit(Version::V1, |params| params[0]["baseFeePerGas"] = json!("0x10000000000000000"));
    assert_eq!(found, Unfit::BaseFee(U256::from(1_u128 << 64)));
}

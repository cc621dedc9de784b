//! The bodies of fuzz targets on random JSON that is made of what methods look for, on random
//! bytes, and on what is awkward.

use super::*;
use proptest::{collection::vec, prelude::*, sample::select};
use serde_json::json;
use std::{collections::BTreeSet, path::Path};

/// Words that mean something somewhere.
const WORDS: &[&str] = &[
    "latest",
    "pending",
    "safe",
    "finalized",
    "earliest",
    "0x",
    "0X",
    "0x0",
    "0x00",
    "0x1",
    "",
    "2.0",
    "callTracer",
    "null",
    "\u{0}",
    "0x\u{661}",
];

/// Names of fields of messages, filters, blocks, payloads, attributes and requests.
const FIELDS: &[&str] = &[
    "accessList",
    "address",
    "attributes",
    "authorizationList",
    "baseFeePerGas",
    "blobGasUsed",
    "blobVersionedHashes",
    "blockAccessList",
    "blockHash",
    "blockNumber",
    "chainId",
    "data",
    "excessBlobGas",
    "extraData",
    "feeRecipient",
    "finalizedBlockHash",
    "from",
    "fromBlock",
    "gas",
    "gasLimit",
    "gasPrice",
    "gasUsed",
    "headBlockHash",
    "id",
    "input",
    "jsonrpc",
    "logsBloom",
    "maxFeePerBlobGas",
    "maxFeePerGas",
    "maxPriorityFeePerGas",
    "method",
    "nonce",
    "params",
    "parentBeaconBlockRoot",
    "parentHash",
    "prevRandao",
    "receiptsRoot",
    "requireCanonical",
    "safeBlockHash",
    "slotNumber",
    "stateRoot",
    "storageKeys",
    "suggestedFeeRecipient",
    "targetGasLimit",
    "timestamp",
    "to",
    "toBlock",
    "topics",
    "transactions",
    "type",
    "value",
    "withdrawals",
    "yParity",
];

/// Hex strings as long as numbers, addresses, hashes and blooms are, or about as long.
fn hex() -> impl Strategy<Value = String> {
    let digits = prop_oneof![
        "[0-9a-f]{0,5}",
        "[1-9a-fA-F][0-9a-fA-F]{14,16}",
        "[0-9a-fA-F]{39,41}",
        "[0-9a-f]{40}",
        "[0-9a-f]{63,65}",
        "[0-9a-f]{64}",
        "[0-9a-f]{512}",
        "[0-9a-gxX_ +-]{0,8}",
    ];
    digits.prop_map(|digits| format!("0x{digits}"))
}

fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        1 => any::<u64>().prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
        6 => hex().prop_map(Value::from),
        2 => select(WORDS).prop_map(Value::from),
        1 => "\\PC{0,20}".prop_map(Value::from),
    ]
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![9 => select(FIELDS).prop_map(str::to_owned), 1 => "\\PC{0,6}"]
}

fn value() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(5, 96, 8, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..8).prop_map(Value::Array),
            vec((key(), inner), 0..8)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// A good payload of the third structure, and what is sent with it.
fn payload() -> Value {
    let (hash, address) = (format!("0x{}", "11".repeat(32)), format!("0x{}", "22".repeat(20)));
    let payload = json!({
        "parentHash": hash, "feeRecipient": address, "stateRoot": hash, "receiptsRoot": hash,
        "logsBloom": format!("0x{}", "00".repeat(256)), "prevRandao": hash, "blockNumber": "0x1",
        "gasLimit": "0x1c9c380", "gasUsed": "0x0", "timestamp": "0x64", "extraData": "0x",
        "baseFeePerGas": "0x7", "blockHash": hash, "transactions": [], "withdrawals": [],
        "blobGasUsed": "0x0", "excessBlobGas": "0x0",
    });
    json!([payload, [], hash, []])
}

/// A call, or what is nearly one.
fn call() -> impl Strategy<Value = Value> {
    let method = prop_oneof![Just(json!("a")), Just(json!("b")), leaf()];
    let version = prop_oneof![4 => Just(json!("2.0")), 1 => leaf()];
    (version, leaf(), method, value(), vec((key(), leaf()), 0..3)).prop_map(
        |(version, id, method, params, others)| {
            let mut call = json!({
                "jsonrpc": version, "id": id, "method": method, "params": params,
            });
            for (key, value) in others {
                call[key] = value;
            }
            call
        },
    )
}

proptest! {
    #[test]
    fn any_json_is_decoded_or_refused(value in value()) {
        let lone = value.to_string();
        let listed = json!([value, value]).to_string();
        for text in [lone, listed] {
            public_params(text.as_bytes());
            engine_params(text.as_bytes());
        }
    }

    #[test]
    fn any_change_of_a_payload_is_decoded_or_refused(
        changes in vec((key(), value()), 0..3),
        other in proptest::option::of((0_usize..4, value())),
    ) {
        let mut params = payload();
        for (field, value) in changes {
            params[0][field] = value;
        }
        if let Some((index, value)) = other {
            params[index] = value;
        }
        engine_params(params.to_string().as_bytes());
    }

    #[test]
    fn any_calls_are_answered_in_json(
        calls in vec(call(), 1..6),
        is_batch in any::<bool>(),
        cut in proptest::option::of(0_usize..500),
    ) {
        let mut text = if is_batch { json!(calls).to_string() } else { calls[0].to_string() };
        if let Some(cut) = cut
            && text.is_char_boundary(cut)
        {
            text.truncate(cut);
        }
        http_request(text.as_bytes());
        ipc_stream(text.as_bytes());
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(bytes in vec(any::<u8>(), 0..1_000)) {
        for (_, target) in TARGETS {
            target(&bytes);
        }
    }
}

#[test]
fn what_is_deep_or_long_or_odd_is_decoded_or_refused() {
    let deep = 100_000;
    let long = 200_000;
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"a","params":"#;
    for text in [
        "[".repeat(deep),
        "]".repeat(deep),
        r#"{"a":"#.repeat(deep),
        format!("{}{}", "[".repeat(deep), "]".repeat(deep)),
        format!("{call}{}{}}}", "[".repeat(deep), "]".repeat(deep)),
        format!(r#"{{"id":{}{}}}"#, "[".repeat(deep), "]".repeat(deep)),
        format!(r#"["0x{}"]"#, "f".repeat(long)),
        format!(r#"[{{"data":"0x{}","topics":[[]]}}]"#, "f".repeat(long)),
        format!(r#"[{}1]"#, "1,".repeat(long)),
        format!(r#"[{{"address":[{}null]}}]"#, "null,".repeat(long / 5)),
        format!("[{}1]", "{},".repeat(long / 3)),
        format!("{call}[{}1]}}", "9".repeat(long)),
        format!("[{}1]", "9".repeat(long)),
        "[1e999999999]".to_owned(),
        r#"["\ud800"]"#.to_owned(),
        r#"["\u0000\u202e"]"#.to_owned(),
        "\u{feff}[]".to_owned(),
        " ".repeat(long),
        String::new(),
        r#"{"jsonrpc":"2.0","method":"a"}"#.to_owned(),
        "\"".to_owned(),
        "[\"\\".to_owned(),
    ] {
        for (name, target) in TARGETS {
            // What fails says its name before it does.
            let told: String = text.chars().take(40).collect();
            println!("{name}: {told}");
            target(text.as_bytes());
        }
    }
}

#[test]
fn notifications_alone_need_no_answer() {
    let said = r#"{"jsonrpc":"2.0","method":"a"}"#;
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"a"}"#;
    let batch = |entries: &[&str]| format!("[{}]", entries.join(","));
    for text in [said.to_owned(), format!(" \n{said} "), batch(&[said]), batch(&[said, said])] {
        assert!(are_notifications(text.as_bytes()), "{text}");
        http_request(text.as_bytes());
    }
    let odd_id = |id: &str| call.replace(":1,", &format!(":{id},"));
    for text in [
        String::new(),
        "[]".to_owned(),
        "{}".to_owned(),
        "7".to_owned(),
        format!("{said},"),
        call.to_owned(),
        odd_id("null"),
        odd_id("-1"),
        odd_id("1,\"\\u0069d\":1"),
        batch(&[said, call]),
        batch(&[said, &odd_id("1.5")]),
        batch(&[said, "7"]),
        batch(&[said, &batch(&[said])]),
    ] {
        assert!(!are_notifications(text.as_bytes()), "{text}");
        http_request(text.as_bytes());
    }
}

#[test]
fn a_request_above_the_bound_is_told_so() {
    http_request(&vec![b'['; BYTES_MAX as usize + 1]);
}

#[test]
fn every_body_has_a_target() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/targets");
    let files = folder.read_dir().expect("the folder of the targets");
    let files = files.map(|file| file.expect("a readable folder").path());
    // Bodies of others are beside what they need.
    let is_of_these =
        |file: &Path| std::fs::read_to_string(file).expect("text").contains("fugue_rpc::fuzzing::");
    let names: BTreeSet<String> = files
        .filter(|file| is_of_these(file.as_path()))
        .filter_map(|file| Some(file.file_stem()?.to_string_lossy().into_owned()))
        .collect();
    let bodies: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names, bodies);
}

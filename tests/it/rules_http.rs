//! The rules of the Engine API as callers see them, over HTTP: numbers after `e` are rules, those
//! after `f` are failures of other clients, both of `FEATURES.md` in the design documents. It is
//! one thing, and so one file: the table of the rules in their order.
//!
//! What is asked twice is asked in [`crate::rules_support`], where also every error of an engine
//! method is compared with E3.

use crate::{
    engine_support::{Node, Setup, changed, choice, moved},
    import_support::Replayed,
    rules_support::{
        FORKS, SECRET, UNKNOWN, Wire, WireChain, assert_invalid, attributes, bearer, choice_of,
        engine_methods, head, later_fields, open, public_methods, quantity, request, shaped,
        state_of, structure_of, token, valid,
    },
};
use alloy_consensus::{
    SignableTransaction, Signed, TxEip4844, TxEip7702, TxLegacy, proofs::calculate_transaction_root,
};
use alloy_eips::{
    Encodable2718,
    eip4844::{Blob, BlobTransactionSidecar, env_settings::EnvKzgSettings},
    eip7594::{BlobTransactionSidecarEip7594, CELLS_PER_EXT_BLOB},
    eip7702::{Authorization, SignedAuthorization},
};
use alloy_primitives::Signature;
use fugue_chain::{ForkchoiceVerdict, Genesis, Retention};
use fugue_chainspec::Fork;
use fugue_rpc::{
    ENGINE_BATCH_MAX, ENGINE_BODY_BYTES_MAX, IPC_LIMITS, ListenSocket, start_ipc_server,
};
use fugue_state::StateView;
use fugue_txpool::{PooledTransaction, Sidecar};
use fugue_types::{
    Address, B256, Bytes, Requests, SealedBlock, Transaction, TxKind, U256, address, b256,
};
use fugue_workload::{BLOCK_GAS_LIMIT, CHAIN_ID, gwei};
use jsonwebtoken::{Algorithm, get_current_timestamp};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    time::Duration,
};

/// `{"alg":"none","typ":"JWT"}` in base64.
const ALG_NONE: &str = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0";
/// Bytes of a cell of a blob. Source: EIP-7594.
const CELL_BYTES: usize = 2_048;
/// The order of the curve. Source: SEC 2, secp256k1.
const ORDER: B256 = b256!("0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141");

/// The status of a request with these headers.
fn status(wire: &Wire, headers: &[(&str, &str)]) -> u16 {
    wire.engine.connect().post(headers, &request("eth_chainId", &json!([]))).status
}

fn status_with(wire: &Wire, authorization: &str) -> u16 {
    status(wire, &[("authorization", authorization)])
}

#[test]
fn e1_only_who_has_the_secret_is_answered() {
    let wire = Wire::new(Fork::Paris);
    let now = json!({ "iat": get_current_timestamp() });
    let good = token(Algorithm::HS256, &SECRET, &now);
    let (message, signature) = good.rsplit_once('.').expect("three parts");
    let (_, claims) = message.split_once('.').expect("three parts");
    let timeless = json!({ "exp": get_current_timestamp() + 1_000 });
    assert_eq!(status(&wire, &[]), 401);
    for (about, token) in [
        ("another secret", token(Algorithm::HS256, &[0x22; 32], &now)),
        ("HS384", token(Algorithm::HS384, &SECRET, &now)),
        ("HS512", token(Algorithm::HS512, &SECRET, &now)),
        ("no algorithm", format!("{ALG_NONE}.{claims}.")),
        ("no algorithm, signed", format!("{ALG_NONE}.{claims}.{signature}")),
        ("no signature", format!("{message}.")),
        ("no time", token(Algorithm::HS256, &SECRET, &timeless)),
        ("no token", "a.b.c".to_owned()),
    ] {
        assert_eq!(status_with(&wire, &format!("Bearer {token}")), 401, "{about}");
    }
    for value in [good.clone(), format!("Basic {good}"), "Bearer".to_owned(), String::new()] {
        assert_eq!(status_with(&wire, &value), 401, "{value}");
    }
    for (name, scheme) in
        [("authorization", "Bearer"), ("Authorization", "Bearer"), ("AUTHORIZATION", "bearer")]
    {
        assert_eq!(status(&wire, &[(name, format!("{scheme} {good}").as_str())]), 200, "{name}");
    }
    let more = json!({
        "iat": get_current_timestamp(), "id": "node 1", "clv": "Client/v1", "exp": 1,
        "nbf": u64::MAX, "aud": "another", "unheard": { "of": null },
    });
    let more = token(Algorithm::HS256, &SECRET, &more);
    assert_eq!(status_with(&wire, &format!("Bearer {more}")), 200, "other claims are ignored");
    // A token is asked for with every request, also on a connection that had one.
    let mut connection = wire.engine.connect();
    let body = request("eth_chainId", &json!([]));
    assert_eq!(wire.engine.post_over(&mut connection, &body).status, 200);
    assert_eq!(connection.post(&[], &body).status, 401);
}

/// The status of a request whose token was issued so many seconds from the second in which it is
/// both sent and answered.
fn status_at(wire: &Wire, seconds: i64) -> u16 {
    loop {
        let now = get_current_timestamp();
        let iat = now.checked_add_signed(seconds).expect("a time");
        let token = token(Algorithm::HS256, &SECRET, &json!({ "iat": iat }));
        let status = status_with(wire, &format!("Bearer {token}"));
        if get_current_timestamp() == now {
            return status;
        }
    }
}

#[test]
fn e1_a_token_is_good_for_a_minute_both_ways() {
    let wire = Wire::new(Fork::Paris);
    for (seconds, status) in [
        (0, 200),
        (-59, 200),
        (59, 200),
        (-60, 200),
        (60, 200),
        (-61, 401),
        (61, 401),
        (-86_400, 401),
        (86_400, 401),
    ] {
        assert_eq!(status_at(&wire, seconds), status, "{seconds} s");
    }
}

#[test]
fn e1_a_websocket_needs_a_token_for_its_handshake_alone() {
    let wire = Wire::new(Fork::Paris);
    let upgrade = |authorization: &str| {
        let mut connection = wire.engine.connect();
        (connection.upgrade(&[("authorization", authorization)]), connection)
    };
    let other = token(Algorithm::HS256, &[1; 32], &json!({ "iat": get_current_timestamp() }));
    for bad in ["Bearer".to_owned(), format!("Bearer {other}")] {
        assert_eq!(upgrade(bad.as_str()).0, 401, "{bad}");
    }
    let (status, mut connection) = upgrade(bearer().as_str());
    assert_eq!(status, 101);
    let text = request("eth_chainId", &json!([]));
    for _ in 0..2 {
        let answer: Value = serde_json::from_str(&connection.exchange(&text)).expect("JSON");
        assert_eq!(answer["result"], json!(quantity(CHAIN_ID)), "{answer}");
    }
}

#[test]
fn e1_ipc_needs_no_token() {
    let wire = Wire::new(Fork::Paris);
    let folder = tempfile::tempdir().expect("a folder");
    let listen = ListenSocket { path: folder.path().join("fugue.ipc"), flag: "--ipcpath" };
    let started = start_ipc_server(listen, IPC_LIMITS, engine_methods(wire.node.engine()));
    let server = wire.block_on(started).expect("a socket");
    let mut stream = UnixStream::connect(server.path()).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a bound on reading");
    let text = request("engine_exchangeCapabilities", &json!([[]]));
    stream.write_all(text.as_bytes()).expect("the server reads");
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line).expect("the server answers");
    let answer: Value = serde_json::from_str(&line).expect("JSON");
    assert!(answer["result"].is_array(), "{answer}");
    drop(stream);
    wire.block_on(server.stop());
}

#[test]
fn e2_the_capabilities_are_exactly_the_methods_that_there_are() {
    let wire = Wire::new(Fork::Paris);
    let methods = engine_methods(wire.node.engine());
    let own = "engine_exchangeCapabilities";
    let names = methods.method_names().filter(|name| name.starts_with("engine_") && *name != own);
    let registered: BTreeSet<String> = names.map(str::to_owned).collect();
    let versions = [
        ("newPayload", 5),
        ("forkchoiceUpdated", 4),
        ("getPayload", 6),
        ("getPayloadBodiesByHash", 2),
        ("getPayloadBodiesByRange", 2),
        ("getBlobs", 4),
        ("getClientVersion", 1),
        ("exchangeTransitionConfiguration", 1),
    ];
    let specified = versions.iter().flat_map(|(name, newest)| {
        (1..=*newest).map(move |version| format!("engine_{name}V{version}"))
    });
    let specified: BTreeSet<String> = specified.collect();
    assert_eq!(registered, specified);
    for theirs in [json!([]), json!(["engine_newPayloadV1", "engine_newPayloadV99", own, "x"])] {
        let listed: Vec<String> =
            serde_json::from_value(wire.ok(own, &json!([theirs]))).expect("names");
        assert_eq!(listed.iter().cloned().collect::<BTreeSet<_>>(), specified);
        assert_eq!(listed.len(), specified.len(), "each once");
    }
}

#[test]
fn e3_errors_have_no_data_and_those_of_the_node_tell_what_happened() {
    let wire = Wire::with(Fork::Prague, |setup| setup.engine.calls_max = 1);
    wire.follow(1..=1);
    for (method, params, code) in [
        ("engine_newPayloadV4", json!([]), -32_602),
        ("engine_getPayloadV4", json!(["0x0000000000000001"]), -38_001),
        ("engine_getBlobsV3", json!([vec![UNKNOWN; 129]]), -38_004),
        ("engine_newPayloadV3", shaped(&wire.chain.params(2), 3, 3), -38_005),
    ] {
        assert_eq!(wire.code(method, &params), code, "{method}");
    }
    let other = state_of(wire.chain.hash(1), UNKNOWN, B256::ZERO);
    let answer = wire.forkchoice(&other, &Value::Null);
    assert_eq!(answer.expect_err("an error").code, -38_002);
    let late = attributes(0, wire.chain.versions.forkchoice);
    let answer = wire.forkchoice(&choice_of(wire.chain.hash(1)), &late);
    assert_eq!(answer.expect_err("an error").code, -38_003);

    // One call is being answered, one waits, and there is no room for another.
    let held = wire.node.hold();
    let waits = wire.node.begin_forkchoice(choice(wire.chain.hash(1)));
    let answer = wire.forkchoice(&choice_of(wire.chain.hash(1)), &Value::Null);
    let error = answer.expect_err("an error");
    assert_eq!((error.code, error.message.as_str()), (-32_000, "Server error"), "{error:?}");
    drop(held);
    assert_eq!(waits.answer(), Ok(ForkchoiceVerdict::Valid(None)));
    wire.follow(2..=2);
}

/// The parameters of the second block, of which the parent is not there either, with another value
/// for a field of its payload.
fn with_field(wire: &Wire, field: &str, value: Value) -> Value {
    let mut params = wire.chain.params(2);
    params[0][field] = value;
    params
}

#[test]
fn e4_an_empty_transaction_makes_a_payload_invalid_even_while_syncing() {
    for fork in FORKS {
        let wire = Wire::new(fork);
        for transactions in [json!(["0x"]), json!(["0x02", "0x"])] {
            let params = with_field(&wire, "transactions", transactions);
            assert_invalid(&wire.send(&params), None, fork.name());
        }
        assert_eq!(wire.send(&wire.chain.params(2)), open("SYNCING"), "{fork}");
    }
}

#[test]
fn e5_another_hash_makes_a_payload_invalid_even_while_syncing() {
    for fork in FORKS {
        let wire = Wire::new(fork);
        for known in [0, 1] {
            wire.follow(1..=known);
            for (field, value) in [
                ("blockHash", json!(UNKNOWN)),
                ("gasUsed", json!("0x1")),
                ("extraData", json!("0x1234")),
                ("transactions", json!([])),
            ] {
                let params = with_field(&wire, field, value);
                let found = wire.send(&params);
                if fork == Fork::Paris {
                    assert_eq!(found["status"], "INVALID_BLOCK_HASH", "{field}");
                    assert_eq!(found["latestValidHash"], Value::Null, "{field}");
                    assert_invalid(&wire.ok("engine_newPayloadV2", &params), None, field);
                } else {
                    assert_invalid(&found, None, field);
                }
            }
        }
    }
}

#[test]
fn e6_other_versioned_hashes_make_a_payload_invalid_even_while_syncing() {
    for fork in [Fork::Cancun, Fork::Prague, Fork::Osaka, Fork::Amsterdam] {
        let wire = Wire::new(fork);
        for known in [0, 1] {
            wire.follow(1..=known);
            let mut params = wire.chain.params(2);
            let mut hashes = params[1].as_array().cloned().expect("a list");
            hashes.push(json!(UNKNOWN));
            params[1] = json!(hashes);
            assert_invalid(&wire.send(&params), None, fork.name());
            // Also where the hash is another.
            params[0]["blockHash"] = json!(UNKNOWN);
            assert_invalid(&wire.send(&params), None, fork.name());
        }
        let good = wire.send(&wire.chain.params(2));
        assert_eq!(good, valid(wire.chain.hash(2)), "{fork}");
    }
}

/// The structure of a payload that a version of `engine_newPayload` takes on a fork.
fn structure_due(version: u8, fork: Fork) -> u8 {
    if version == 2 && fork == Fork::Paris { 1 } else { structure_of(version) }
}

#[test]
fn e7_another_structure_is_invalid_params_whatever_the_fork() {
    for fork in FORKS {
        let wire = Wire::new(fork);
        for version in 1..=5 {
            let (structure, method) =
                (structure_due(version, fork), format!("engine_newPayloadV{version}"));
            let good = shaped(&wire.chain.params(1), version, structure);
            let refused = |bad: &Value, about: &str| {
                let told = format!("{fork}: {method}: {about}");
                assert_eq!(wire.code(&method, bad), -32_602, "{told}");
            };
            // Of the second version the fork says which structure is due, so it comes first.
            let is_open = |field: &str| {
                version == 2
                    && fork >= Fork::Cancun
                    && later_fields().iter().any(|it| it.0 == field)
            };
            let fields = good[0].as_object().expect("an object");
            for field in fields.keys().filter(|field| !is_open(field)) {
                let mut bad = good.clone();
                bad[0][field] = Value::Null;
                refused(&bad, field);
                bad[0].as_object_mut().expect("an object").remove(field);
                refused(&bad, field);
                bad[0][field] = json!({});
                refused(&bad, field);
            }
            for (field, since, value) in later_fields() {
                if since > structure && !is_open(field) {
                    let mut bad = good.clone();
                    bad[0][field] = value;
                    refused(&bad, field);
                }
            }
            let mut bad = good.clone();
            bad[0]["unheardOf"] = json!("0x0");
            refused(&bad, "unheardOf");
            let params = good.as_array().expect("a list");
            for index in 0..params.len() {
                let mut bad = params.clone();
                bad[index] = Value::Null;
                refused(&json!(bad), &format!("parameter {index} is null"));
                bad.truncate(index);
                refused(&json!(bad), &format!("{index} parameters"));
            }
            let more = [params.as_slice(), &[json!([])]].concat();
            refused(&json!(more), "one parameter more");
            refused(&json!({ "executionPayload": good[0] }), "parameters by name");
        }
    }
}

#[test]
fn e8_requests_have_their_form_and_those_that_are_not_the_block_s_make_it_invalid() {
    for fork in [Fork::Prague, Fork::Osaka, Fork::Amsterdam] {
        let wire = Wire::new(fork);
        let (good, method) = (wire.chain.params(1), wire.chain.new_payload());
        let with = |requests: Value| {
            let mut params = good.clone();
            params[3] = requests;
            params
        };
        for bad in [
            Value::Null,
            json!(["0x"]),
            json!(["0x00"]),
            json!(["0x00aa", "0x01"]),
            json!(["0x01aa", "0x00aa"]),
            json!(["0x00aa", "0x00bb"]),
            json!(["0x00a"]),
            json!([7]),
            json!("0x00aa"),
        ] {
            assert_eq!(wire.code(&method, &with(bad.clone())), -32_602, "{fork}: {bad}");
        }
        for other in [json!(["0x00aa"]), json!(["0xf0aa"]), json!(["0x00aa", "0xffbb"])] {
            assert_invalid(&wire.send(&with(other)), None, fork.name());
        }
        // The header is that of these requests, but they do not come out.
        for request in [vec![0x00_u8, 0xaa], vec![0xf0, 0xaa]] {
            let list = vec![Bytes::from(request)];
            let hash = Requests::new(list.clone()).requests_hash();
            let bad =
                changed(wire.chain.chain.block(1), |header| header.requests_hash = Some(hash));
            let mut params = wire.chain.params_of(&bad);
            params[3] = json!(list);
            assert_invalid(&wire.send(&params), Some(wire.chain.hash(0)), fork.name());
        }
        wire.follow(1..=2);
    }
}

#[test]
fn e9_an_access_list_that_does_not_decode_is_told_before_the_hash() {
    let wire = Wire::new(Fork::Amsterdam);
    for bad in ["0x", "0x00", "0xc1", "0xc0c0", "0xff", "0xc20102"] {
        for hash in [wire.chain.hash(2), UNKNOWN] {
            let mut params = with_field(&wire, "blockAccessList", json!(bad));
            params[0]["blockHash"] = json!(hash);
            assert_eq!(wire.code("engine_newPayloadV5", &params), -32_602, "{bad}");
        }
    }
    let mut params = wire.chain.params(2);
    params[0].as_object_mut().expect("an object").remove("blockAccessList");
    assert_eq!(wire.code("engine_newPayloadV5", &params), -32_602);
    // One that decodes, and is that of no transaction.
    let params = with_field(&wire, "blockAccessList", json!("0xc0"));
    assert_invalid(&wire.send(&params), None, "another list");
    wire.follow(1..=2);
}

#[test]
fn e10_an_invalid_payload_names_its_newest_valid_ancestor() {
    for fork in [Fork::Paris, Fork::Prague, Fork::Amsterdam] {
        let wire = Wire::new(fork);
        wire.follow(1..=2);
        let chain = &wire.chain.chain;
        let bad = changed(chain.block(3), |header| header.state_root = UNKNOWN);
        let child = moved(chain.block(4), &bad);
        let grandchild = moved(chain.block(5), &child);
        let ancestor = Some(chain.hash(2));
        assert_eq!(wire.send(&wire.chain.params_of(&grandchild)), open("SYNCING"), "{fork}");
        for block in [&bad, &child, &grandchild, &bad] {
            assert_invalid(&wire.send(&wire.chain.params_of(block)), ancestor, fork.name());
            let updated = wire.forkchoice(&choice_of(block.hash()), &Value::Null);
            let updated = updated.expect("a result");
            assert_invalid(&updated["payloadStatus"], ancestor, fork.name());
            assert_eq!(updated["payloadId"], Value::Null, "{fork}");
            assert_eq!(wire.tagged("latest"), ancestor, "{fork}");
            // E11: it is shown to nobody.
            let found = wire.public.call("eth_getBlockByHash", &json!([block.hash(), false]));
            assert_eq!(found, Ok(Value::Null), "{fork}");
        }
        wire.follow(3..=5);
    }
}

#[test]
fn e13_e21_a_payload_is_accepted_but_a_fork_choice_never_is() {
    let wire = Wire::with(Fork::Shanghai, |setup| setup.chain.side_blocks_max = 3);
    let chain = &wire.chain;
    for number in 1..=3 {
        assert_eq!(wire.send(&chain.params(number)), valid(chain.hash(number)));
    }
    for _ in 0..2 {
        assert_eq!(wire.send(&chain.params(4)), open("ACCEPTED"));
    }
    assert_eq!(wire.send(&chain.params(6)), open("SYNCING"));
    for number in [4, 6] {
        let updated = wire.forkchoice(&choice_of(chain.hash(number)), &Value::Null);
        assert_eq!(updated.expect("a result")["payloadStatus"], open("SYNCING"));
    }
    assert_eq!(wire.tagged("latest"), Some(chain.hash(0)));
    wire.choose(&choice_of(chain.hash(3)));
    wire.follow(4..=6);
}

#[test]
fn e15_an_unknown_head_is_syncing_and_no_error() {
    for fork in FORKS {
        let wire = Wire::new(fork);
        wire.follow(1..=2);
        let state = state_of(wire.chain.hash(2), wire.chain.hash(1), wire.chain.hash(1));
        wire.choose(&state);
        let marks = wire.marks();
        assert_eq!(wire.ok("eth_syncing", &json!([])), json!(false));
        for attributes in [Value::Null, wire.chain.attributes(2), json!({})] {
            for head in [UNKNOWN, B256::ZERO, wire.chain.hash(4)] {
                let state = state_of(head, UNKNOWN, wire.chain.hash(1));
                let updated = wire.forkchoice(&state, &attributes).expect("a result");
                let expected = json!({ "payloadStatus": open("SYNCING"), "payloadId": null });
                assert_eq!(updated, expected, "{fork}");
                assert_eq!(wire.marks(), marks, "{fork}");
                assert!(wire.ok("eth_syncing", &json!([])).is_object(), "{fork}");
            }
        }
        wire.choose(&state);
        assert_eq!(wire.ok("eth_syncing", &json!([])), json!(false));
    }
}

#[test]
fn e16_a_safe_or_final_block_beside_the_chain_changes_nothing() {
    let wire = Wire::new(Fork::Prague);
    let hash = |number| wire.chain.hash(number);
    assert_eq!(wire.marks(), [Some(hash(0)), None, None]);
    wire.follow(1..=4);
    assert_eq!(wire.send(&wire.chain.params(5)), valid(hash(5)));
    assert_eq!(wire.send(&wire.chain.params(6)), valid(hash(6)));
    wire.choose(&state_of(hash(4), hash(3), hash(2)));
    let marks = [Some(hash(4)), Some(hash(3)), Some(hash(2))];
    assert_eq!(wire.marks(), marks);
    for wrong in [UNKNOWN, hash(6)] {
        for state in [
            state_of(hash(5), wrong, hash(2)),
            state_of(hash(5), hash(3), wrong),
            state_of(hash(5), wrong, B256::ZERO),
        ] {
            for attributes in [Value::Null, wire.chain.attributes(5)] {
                let answer = wire.forkchoice(&state, &attributes);
                assert_eq!(answer.expect_err("an error").code, -38_002, "{state}");
                assert_eq!(wire.marks(), marks, "{state}");
            }
        }
    }
    wire.choose(&state_of(hash(5), hash(4), hash(3)));
    assert_eq!(wire.marks(), [Some(hash(5)), Some(hash(4)), Some(hash(3))]);
}

#[test]
fn e19_wrong_attributes_do_not_undo_the_fork_choice() {
    for fork in FORKS {
        let wire = Wire::new(fork);
        let (chain, own) = (&wire.chain, wire.chain.versions.forkchoice);
        for number in 1..=5 {
            assert_eq!(wire.send(&chain.params(number)), valid(chain.hash(number)), "{fork}");
        }
        let timestamp = |number| chain.chain.block(number).block().header.timestamp;
        let mut without = chain.attributes(4);
        without.as_object_mut().expect("an object").remove("prevRandao");
        // A version of another fork, with the attributes of its own structure.
        let other = if own == 4 || fork <= Fork::Shanghai { 3 } else { 4 };
        let cases = [
            (2, own, attributes(timestamp(2), own), -38_003),
            (3, own, attributes(timestamp(3) - 1, own), -38_003),
            (4, own, without, -38_003),
            (5, other, attributes(timestamp(5) + 12, other), -38_005),
        ];
        for (number, version, attributes, code) in cases {
            let told = format!("{fork}: block {number}");
            let method = format!("engine_forkchoiceUpdatedV{version}");
            let (head, safe, last) =
                (chain.hash(number), chain.hash(number - 1), chain.hash(number - 2));
            let params = json!([state_of(head, safe, last), attributes]);
            assert_eq!(wire.code(&method, &params), code, "{told}");
            assert_eq!(wire.marks(), [Some(head), Some(safe), Some(last)], "{told}");
        }
        assert_eq!(wire.node.status().built, 0);
    }
}

#[test]
fn e20_a_reorganisation_has_a_limit() {
    let wire = Wire::with(Fork::Cancun, |setup| setup.engine.reorg_depth_max = 2);
    wire.follow(1..=5);
    for attributes in [Value::Null, wire.chain.attributes(2)] {
        let answer = wire.forkchoice(&choice_of(wire.chain.hash(2)), &attributes);
        assert_eq!(answer.expect_err("an error").code, -38_006);
        assert_eq!(wire.tagged("latest"), Some(wire.chain.hash(5)));
    }
    wire.choose(&choice_of(wire.chain.hash(3)));
    assert_eq!(wire.tagged("latest"), Some(wire.chain.hash(3)));
}

#[test]
fn e22_custody_columns_are_16_bytes_and_say_nothing_of_the_fork_choice() {
    let wire = Wire::new(Fork::Amsterdam);
    wire.follow(1..=2);
    let call = |head: u64, custody: Value| {
        let params = json!([choice_of(wire.chain.hash(head)), null, custody]);
        wire.call("engine_forkchoiceUpdatedV4", &params)
    };
    for bad in [
        json!("0x"),
        json!(format!("0x{}", "ff".repeat(15))),
        json!(format!("0x{}", "ff".repeat(17))),
        json!("ff".repeat(16)),
        json!([1]),
        json!(7),
    ] {
        let answer = call(1, bad.clone());
        assert_eq!(answer.expect_err("an error").code, -32_602, "{bad}");
        assert_eq!(wire.tagged("latest"), Some(wire.chain.hash(2)), "{bad}");
    }
    for byte in ["00", "ff", "5a"] {
        for head in [1, 2] {
            let updated = call(head, json!(format!("0x{}", byte.repeat(16)))).expect("a result");
            assert_eq!(updated["payloadStatus"], valid(wire.chain.hash(head)));
        }
    }
    let updated = call(2, Value::Null).expect("a result");
    assert_eq!(updated["payloadStatus"], valid(wire.chain.hash(2)));
    // The version before has no such parameter.
    let params = json!([choice_of(wire.chain.hash(2)), null, format!("0x{}", "ff".repeat(16))]);
    assert_eq!(wire.code("engine_forkchoiceUpdatedV3", &params), -32_602);
}

#[test]
fn e23_the_gas_limit_goes_towards_the_one_that_was_asked_for() {
    let wire = Wire::new(Fork::Amsterdam);
    wire.follow(1..=2);
    let head = wire.chain.hash(2);
    let gas_limit = |target: u64| {
        let mut attributes = wire.chain.attributes(2);
        attributes["targetGasLimit"] = json!(quantity(target));
        let built = wire.build(head, &attributes);
        let params = wire.chain.params_of_built(&built, &attributes, &[]);
        let hash = built["executionPayload"]["blockHash"].clone();
        assert_eq!(wire.send(&params)["latestValidHash"], hash, "{target}");
        let found = built["executionPayload"]["gasLimit"].as_str().expect("a quantity");
        u64::from_str_radix(found.trim_start_matches("0x"), 16).expect("a quantity")
    };
    assert_eq!(gas_limit(BLOCK_GAS_LIMIT), BLOCK_GAS_LIMIT);
    assert!(gas_limit(BLOCK_GAS_LIMIT / 2) < BLOCK_GAS_LIMIT);
    assert!(gas_limit(0) < BLOCK_GAS_LIMIT);
    assert!(gas_limit(u64::MAX) > BLOCK_GAS_LIMIT);
}

#[test]
fn e24_a_build_has_one_name_and_one_payload() {
    for fork in FORKS {
        let wire = Wire::new(fork);
        wire.follow(1..=2);
        let (head, attributes) = (wire.chain.hash(2), wire.chain.attributes(2));
        let method = format!("engine_getPayloadV{}", wire.chain.versions.get_payload);
        let id = wire.begin_build(head, &attributes);
        let built = wire.ok(&method, &json!([id]));
        for _ in 0..2 {
            assert_eq!(wire.begin_build(head, &attributes), id, "{fork}");
            assert_eq!(wire.ok(&method, &json!([id])), built, "{fork}");
        }
        assert_eq!(wire.code(&method, &json!(["0x1122334455667788"])), -38_001, "{fork}");
        for bad in [json!([]), json!([null]), json!(["0x"]), json!(["0x11223344556677"])] {
            assert_eq!(wire.code(&method, &bad), -32_602, "{fork}: {bad}");
        }
        let params = wire.chain.params_of_built(&built, &attributes, &[]);
        let hash: B256 =
            params[0]["blockHash"].as_str().and_then(|text| text.parse().ok()).expect("a hash");
        assert_eq!(wire.send(&params), valid(hash), "{fork}: what is built is valid");
        wire.choose(&choice_of(hash));
        assert_eq!(wire.tagged("latest"), Some(hash), "{fork}");
    }
}

/// Two blobs, each cell of which is another.
fn two_blobs() -> Vec<Blob> {
    let blob = |nth: u8| {
        let mut blob = Blob::ZERO;
        for (cell, bytes) in (0_u8..).zip(blob.0.chunks_mut(CELL_BYTES)) {
            // The first byte of a field element stays zero, so that it is one.
            (bytes[1], bytes[2]) = (nth, cell);
        }
        blob
    };
    vec![blob(1), blob(2)]
}

/// The blobs with the proofs that are due on a fork.
fn sidecar(fork: Fork) -> Sidecar {
    let (blobs, setup) = (two_blobs(), EnvKzgSettings::Default);
    if fork >= Fork::Osaka {
        let made = BlobTransactionSidecarEip7594::try_from_blobs_with_settings(blobs, setup.get());
        Sidecar::Eip7594(made.expect("good blobs"))
    } else {
        let made = BlobTransactionSidecar::try_from_blobs_with_settings(blobs, setup.get());
        Sidecar::Eip4844(made.expect("good blobs"))
    }
}

/// Puts a transaction of the deployer with these blobs into the pool. Gives their hashes.
fn send_blobs(wire: &Wire, sidecar: &Sidecar) -> Vec<B256> {
    let hashes: Vec<B256> = sidecar.versioned_hashes().collect();
    let tx = wire.chain.deployer.eip4844(TxEip4844 {
        chain_id: CHAIN_ID,
        nonce: wire.deployer_nonce(),
        gas_limit: 500_000,
        max_fee_per_gas: gwei(100),
        max_priority_fee_per_gas: gwei(2),
        to: Address::repeat_byte(0xb0),
        blob_versioned_hashes: hashes.clone(),
        max_fee_per_blob_gas: gwei(100),
        ..TxEip4844::default()
    });
    let Transaction::Eip4844(signed) = tx else { panic!("a transaction of another type") };
    let (tx, signature, hash) = (signed.tx().clone(), *signed.signature(), *signed.hash());
    let signed = Signed::new_unchecked(tx.with_sidecar(sidecar.clone()), signature, hash);
    let encoded = Bytes::from(PooledTransaction::Eip4844(signed).encoded_2718());
    assert_eq!(wire.ok("eth_sendRawTransaction", &json!([encoded])), json!(hash));
    hashes
}

/// The proofs as JSON: so many for each blob.
fn proofs_of(sidecar: &Sidecar) -> (Value, usize) {
    match sidecar {
        Sidecar::Eip4844(sidecar) => (json!(sidecar.proofs), 1),
        Sidecar::Eip7594(sidecar) => (json!(sidecar.cell_proofs), CELLS_PER_EXT_BLOB),
    }
}

#[test]
fn e25_the_bundle_has_the_blobs_of_the_payload_with_their_proofs() {
    for fork in [Fork::Cancun, Fork::Prague, Fork::Osaka, Fork::Amsterdam] {
        let wire = Wire::new(fork);
        wire.follow(1..=2);
        let attributes = wire.chain.attributes(2);
        let empty = json!({ "commitments": [], "proofs": [], "blobs": [] });
        let built = wire.build(wire.chain.hash(2), &attributes);
        assert_eq!(built["blobsBundle"], empty, "{fork}");

        let sidecar = sidecar(fork);
        let hashes = send_blobs(&wire, &sidecar);
        let mut attributes = attributes;
        attributes["prevRandao"] = json!(B256::repeat_byte(0x25));
        let built = wire.build(wire.chain.hash(2), &attributes);
        let (bundle, (proofs, per_blob)) = (&built["blobsBundle"], proofs_of(&sidecar));
        let count = |list: &str| bundle[list].as_array().map(Vec::len);
        let counts = (count("blobs"), count("commitments"), count("proofs"));
        assert_eq!(counts, (Some(2), Some(2), Some(2 * per_blob)), "{fork}");
        assert!(bundle["blobs"] == json!(sidecar.blobs()), "{fork}: other blobs");
        assert_eq!(bundle["commitments"], json!(sidecar.commitments()), "{fork}");
        assert_eq!(bundle["proofs"], proofs, "{fork}");
        assert_eq!(built["executionPayload"]["blobGasUsed"], "0x40000", "{fork}");
        assert_eq!(built["shouldOverrideBuilder"], json!(false), "{fork}");

        let mut turned = hashes.clone();
        turned.reverse();
        for wrong in [&turned[..], &hashes[..1], &[]] {
            let params = wire.chain.params_of_built(&built, &attributes, wrong);
            assert_invalid(&wire.send(&params), None, fork.name());
        }
        let params = wire.chain.params_of_built(&built, &attributes, &hashes);
        assert_eq!(wire.send(&params)["status"], "VALID", "{fork}");
    }
}

#[test]
fn e26_bodies_come_in_order_with_null_for_what_is_missing_and_end_at_the_head() {
    for fork in FORKS {
        let wire = Wire::new(fork);
        wire.follow(1..=4);
        assert_eq!(wire.send(&wire.chain.params(5)), valid(wire.chain.hash(5)));
        let body = |number: u64| {
            let payload = &wire.chain.params(number)[0];
            let withdrawals = payload.get("withdrawals").cloned().unwrap_or_default();
            assert_eq!(withdrawals.is_array(), fork >= Fork::Shanghai, "{fork}");
            json!({ "transactions": payload["transactions"], "withdrawals": withdrawals })
        };
        let by_hash = "engine_getPayloadBodiesByHashV1";
        let by_range = "engine_getPayloadBodiesByRangeV1";
        let hash = |number| wire.chain.hash(number);
        let asked = json!([[hash(3), UNKNOWN, hash(1), hash(3), UNKNOWN]]);
        let found = wire.ok(by_hash, &asked);
        assert_eq!(found, json!([body(3), null, body(1), body(3), null]), "{fork}");
        assert_eq!(wire.ok(by_hash, &json!([[]])), json!([]), "{fork}");
        for (start, count, expected) in [
            ("0x1", "0x2", json!([body(1), body(2)])),
            ("0x3", "0x20", json!([body(3), body(4)])),
            ("0x4", "0x1", json!([body(4)])),
            ("0x5", "0x1", json!([])),
            ("0xffffffffffffffff", "0x20", json!([])),
        ] {
            assert_eq!(wire.ok(by_range, &json!([start, count])), expected, "{fork}: {start}");
        }
        for bad in [["0x0", "0x1"], ["0x1", "0x0"], ["0x01", "0x1"], ["1", "1"]] {
            assert_eq!(wire.code(by_range, &json!(bad)), -32_602, "{fork}: {bad:?}");
        }
        for (asked, is_answered) in [(32_u64, true), (1_024, true), (1_025, false)] {
            let hashes = json!([vec![UNKNOWN; asked as usize]]);
            let range = json!(["0x1", quantity(asked)]);
            if is_answered {
                assert_eq!(wire.ok(by_hash, &hashes), json!(vec![Value::Null; asked as usize]));
                assert_eq!(wire.ok(by_range, &range).as_array().map(Vec::len), Some(4));
            } else {
                assert_eq!(wire.code(by_hash, &hashes), -38_004, "{fork}");
                assert_eq!(wire.code(by_range, &range), -38_004, "{fork}");
            }
        }
        assert_eq!(wire.code(by_range, &json!(["0x1", "0xffffffffffffffff"])), -38_004);
    }
}

#[test]
fn e27_f17_blobs_are_answered_by_the_rules_of_each_version() {
    for fork in [Fork::Prague, Fork::Osaka, Fork::Amsterdam] {
        let (wire, sidecar) = (Wire::new(fork), sidecar(fork));
        wire.follow(1..=2);
        let hashes = send_blobs(&wire, &sidecar);
        let (proofs, per_blob) = proofs_of(&sidecar);
        let blob = |nth: usize| {
            let proofs = proofs.as_array().expect("a list");
            let proofs = &proofs[nth * per_blob..(nth + 1) * per_blob];
            let blob = json!(sidecar.blobs()[nth]);
            if fork >= Fork::Osaka {
                json!({ "blob": blob, "proofs": proofs })
            } else {
                json!({ "blob": blob, "proof": proofs[0] })
            }
        };
        let both = json!([hashes]);
        let mixed = json!([[hashes[1], UNKNOWN, hashes[0]]]);
        let same = |method: &str, params: &Value, expected: Value| {
            assert!(wire.ok(method, params) == expected, "{fork}: {method}");
        };
        if fork >= Fork::Osaka {
            assert_eq!(wire.code("engine_getBlobsV1", &both), -38_005, "{fork}");
            same("engine_getBlobsV2", &both, json!([blob(0), blob(1)]));
            same("engine_getBlobsV2", &mixed, Value::Null);
            same("engine_getBlobsV3", &both, json!([blob(0), blob(1)]));
            same("engine_getBlobsV3", &mixed, json!([blob(1), null, blob(0)]));
        } else {
            same("engine_getBlobsV1", &both, json!([blob(0), blob(1)]));
            same("engine_getBlobsV1", &mixed, json!([blob(1), null, blob(0)]));
            // Their proofs are of the old form.
            same("engine_getBlobsV2", &both, Value::Null);
            same("engine_getBlobsV3", &both, json!([null, null]));
        }
        let bits = format!("0x{}", "00".repeat(16));
        for version in 1..=4 {
            if version == 1 && fork >= Fork::Osaka {
                continue;
            }
            let method = format!("engine_getBlobsV{version}");
            let params = |count: usize| match version {
                4 => json!([vec![UNKNOWN; count], bits]),
                _ => json!([vec![UNKNOWN; count]]),
            };
            let missing = if version == 2 { Value::Null } else { json!(vec![Value::Null; 128]) };
            same(&method, &params(128), missing);
            assert_eq!(wire.code(&method, &params(129)), -38_004, "{fork}: {method}");
            assert_eq!(wire.code(&method, &json!([])), -32_602, "{fork}: {method}");
        }

        // F17: while the node does not know the head, there are none, and that is no error.
        let unknown = wire.forkchoice(&choice_of(UNKNOWN), &Value::Null).expect("a result");
        assert_eq!(unknown["payloadStatus"]["status"], "SYNCING");
        if fork < Fork::Osaka {
            same("engine_getBlobsV1", &both, json!([null, null]));
        }
        same("engine_getBlobsV2", &both, Value::Null);
        same("engine_getBlobsV3", &both, Value::Null);
        same("engine_getBlobsV4", &json!([hashes, bits]), Value::Null);
        wire.choose(&choice_of(wire.chain.hash(2)));
        let method = if fork >= Fork::Osaka { "engine_getBlobsV3" } else { "engine_getBlobsV1" };
        same(method, &both, json!([blob(0), blob(1)]));
    }
}

#[test]
fn e28_bit_i_mod_8_of_byte_i_div_8_stands_for_cell_i() {
    let (wire, sidecar) = (Wire::new(Fork::Osaka), sidecar(Fork::Osaka));
    wire.follow(1..=2);
    let hashes = send_blobs(&wire, &sidecar);
    let (proofs, per_blob) = proofs_of(&sidecar);
    let several: [Vec<usize>; 6] =
        [vec![0], vec![7], vec![8], vec![127], vec![0, 7, 9, 63, 64, 120, 127], vec![]];
    for wanted in several {
        let mut bits = [0_u8; 16];
        for cell in &wanted {
            bits[cell / 8] |= 1 << (cell % 8);
        }
        let asked = json!([[hashes[1], UNKNOWN], Bytes::copy_from_slice(&bits)]);
        let found = wire.ok("engine_getBlobsV4", &asked);
        assert_eq!(found.as_array().map(Vec::len), Some(2), "{wanted:?}");
        assert_eq!(found[1], Value::Null, "{wanted:?}");
        let (cells, found) = (&found[0]["blob_cells"], &found[0]["proofs"]);
        let expected: Vec<&Value> = wanted.iter().map(|cell| &proofs[per_blob + cell]).collect();
        assert_eq!(*found, json!(expected), "{wanted:?}");
        assert_eq!(cells.as_array().map(Vec::len), Some(wanted.len()), "{wanted:?}");
        for (place, cell) in wanted.iter().enumerate() {
            // The first half of the cells is the blob itself.
            if let Some(bytes) = sidecar.blobs()[1].0.chunks(CELL_BYTES).nth(*cell) {
                let bytes = json!(Bytes::copy_from_slice(bytes));
                assert!(cells[place] == bytes, "cell {cell} of {wanted:?}");
            }
        }
    }
    for bad in [json!("0x"), json!("0x01"), json!(format!("0x{}", "00".repeat(17))), Value::Null] {
        assert_eq!(wire.code("engine_getBlobsV4", &json!([hashes, bad])), -32_602);
    }
}

#[test]
fn e29_bodies_have_access_lists_from_amsterdam_on() {
    for fork in [Fork::Paris, Fork::Osaka, Fork::Amsterdam] {
        let wire = Wire::new(fork);
        wire.follow(1..=3);
        let list = |number: u64| {
            let payload = &wire.chain.params(number)[0];
            payload.get("blockAccessList").cloned().unwrap_or_default()
        };
        let hashes = json!([[wire.chain.hash(2), UNKNOWN, wire.chain.hash(1)]]);
        let found = wire.ok("engine_getPayloadBodiesByHashV2", &hashes);
        assert_eq!(found[1], Value::Null, "{fork}");
        for (place, number) in [(0, 2), (2, 1)] {
            assert_eq!(found[place].get("blockAccessList"), Some(&list(number)), "{fork}");
        }
        let found = wire.ok("engine_getPayloadBodiesByRangeV2", &json!(["0x1", "0x9"]));
        assert_eq!(found.as_array().map(Vec::len), Some(3), "{fork}");
        for (place, number) in [(0, 1), (1, 2), (2, 3)] {
            assert_eq!(found[place].get("blockAccessList"), Some(&list(number)), "{fork}");
            assert_eq!(list(number).is_string(), fork == Fork::Amsterdam, "{fork}");
        }
        let found = wire.ok("engine_getPayloadBodiesByRangeV1", &json!(["0x1", "0x1"]));
        assert_eq!(found[0].get("blockAccessList"), None, "{fork}");
    }
}

#[test]
fn e30_each_version_is_for_payloads_of_its_forks_alone() {
    for fork in FORKS {
        let wire = Wire::new(fork);
        let own = wire.chain.versions.new_payload;
        for version in 1..=5 {
            let method = format!("engine_newPayloadV{version}");
            let params = shaped(&wire.chain.params(1), version, structure_due(version, fork));
            let told = format!("{fork}: {method}");
            if version == own || (version == 2 && fork == Fork::Paris) {
                assert_eq!(wire.ok(&method, &params), valid(wire.chain.hash(1)), "{told}");
            } else if version == 1 {
                // It has no fork: the block lacks what its header must have.
                let found = wire.ok(&method, &params);
                assert_eq!(found["status"], "INVALID_BLOCK_HASH", "{told}");
            } else {
                assert_eq!(wire.code(&method, &params), -38_005, "{told}");
            }
        }
    }
}

#[test]
fn e30_each_version_builds_and_gives_payloads_of_its_forks_alone() {
    for fork in FORKS {
        let wire = Wire::new(fork);
        let (state, versions) = (choice_of(wire.chain.hash(0)), wire.chain.versions);
        let timestamp = wire.chain.chain.first.block().header.timestamp;
        for version in 1..=4 {
            let structure = if version == 2 && fork == Fork::Paris { 1 } else { version };
            let attributes = attributes(timestamp + 1 + u64::from(version), structure);
            let method = format!("engine_forkchoiceUpdatedV{version}");
            let (params, told) = (json!([state, attributes]), format!("{fork}: {method}"));
            if version == versions.forkchoice || (version == 2 && fork == Fork::Paris) {
                let updated = wire.ok(&method, &params);
                assert!(updated["payloadId"].is_string(), "{told}: {updated}");
            } else {
                let code = if version == 1 { -38_003 } else { -38_005 };
                assert_eq!(wire.code(&method, &params), code, "{told}");
            }
        }
        let id = wire.begin_build(wire.chain.hash(0), &wire.chain.attributes(0));
        for version in 1..=6 {
            let (method, params) = (format!("engine_getPayloadV{version}"), json!([id]));
            if version == versions.get_payload || (version == 2 && fork == Fork::Paris) {
                let built = wire.ok(&method, &params);
                let payload = if version == 1 { &built } else { &built["executionPayload"] };
                assert_eq!(payload["blockNumber"], "0x1", "{fork}: {method}");
            } else {
                assert_eq!(wire.code(&method, &params), -38_005, "{fork}: {method}");
            }
        }
    }
}

#[test]
fn e30_f26_forks_change_with_the_second() {
    let times = [
        ("shanghaiTime", 100),
        ("cancunTime", 200),
        ("pragueTime", 300),
        ("osakaTime", 400),
        ("amsterdamTime", 500),
    ];
    let payload = WireChain::new(Fork::Paris).params(1);
    let chain = WireChain::scheduled(times);
    let node = Node::in_memory(&chain.chain, &Setup::new(1_000));
    let wire = Wire::over(chain, node);
    let genesis = wire.chain.chain.first.block().header.timestamp;
    let state = choice_of(wire.chain.hash(0));
    for seconds in [99, 100, 199, 200, 299, 300, 399, 400, 499, 500, 10_000] {
        let second = if seconds < 100 { 1 } else { 2 };
        for (version, structure, from, to) in
            [(2, second, 0, 200), (3, 3, 200, 300), (4, 3, 300, 500), (5, 4, 500, u64::MAX)]
        {
            let mut params = shaped(&payload, version, structure);
            params[0]["timestamp"] = json!(quantity(genesis + seconds));
            let (method, told) =
                (format!("engine_newPayloadV{version}"), format!("{version} at {seconds} s"));
            if (from..to).contains(&seconds) {
                // Its hash is that of another payload.
                assert_invalid(&wire.ok(&method, &params), None, &told);
            } else {
                assert_eq!(wire.code(&method, &params), -38_005, "{told}");
            }
        }
        for (version, structure, from, to) in
            [(2, second, 0, 200), (3, 3, 200, 500), (4, 4, 500, u64::MAX)]
        {
            let params = json!([state, attributes(genesis + seconds, structure)]);
            let (method, told) = (
                format!("engine_forkchoiceUpdatedV{version}"),
                format!("attributes of {version} at {seconds} s"),
            );
            if (from..to).contains(&seconds) {
                assert!(wire.ok(&method, &params)["payloadId"].is_string(), "{told}");
            } else {
                assert_eq!(wire.code(&method, &params), -38_005, "{told}");
            }
        }
    }
}

#[test]
fn e31_the_engine_has_room_for_large_payloads_and_a_bound() {
    let wire = Wire::new(Fork::Paris);
    // 16 MiB are answered.
    let params = json!([["x".repeat(16 << 20)]]);
    assert!(wire.ok("engine_exchangeCapabilities", &params).is_array());
    // More than the bound is refused by what the request says of itself: nothing of it is sent.
    let bytes = ENGINE_BODY_BYTES_MAX as usize + 1;
    let (mut connection, bearer) = (wire.engine.connect(), bearer());
    connection.write(head("POST", &[("authorization", bearer.as_str())], bytes).as_bytes());
    assert_eq!(connection.read().status, 413);
    // Without a token it is not even looked at.
    let mut connection = wire.engine.connect();
    connection.write(head("POST", &[], bytes).as_bytes());
    assert_eq!(connection.read().status, 401);

    let batch = |count: u32| {
        let calls = vec![request("eth_chainId", &json!([])); count as usize];
        let response = wire.post(&format!("[{}]", calls.join(",")));
        assert_eq!(response.status, 200, "{response:?}");
        serde_json::from_str::<Value>(&response.body).expect("JSON")
    };
    let answers = batch(ENGINE_BATCH_MAX);
    let answers = answers.as_array().expect("a list");
    assert_eq!(answers.len(), ENGINE_BATCH_MAX as usize);
    assert!(answers.iter().all(|answer| answer["result"] == json!(quantity(CHAIN_ID))));
    let refused = batch(ENGINE_BATCH_MAX + 1);
    assert!(refused.is_object() && refused["error"]["code"].is_i64(), "{refused}");
    assert_eq!(wire.ok("eth_chainId", &json!([])), json!(quantity(CHAIN_ID)));
}

#[test]
fn e32_the_same_payload_at_the_same_time_is_executed_once() {
    let wire = Wire::new(Fork::Prague);
    let (endpoint, method) = (wire.engine, wire.chain.new_payload());
    for number in 1..=4 {
        let (params, expected) = (wire.chain.params(number), valid(wire.chain.hash(number)));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    assert_eq!(endpoint.call(&method, &params), Ok(expected.clone()));
                });
            }
        });
        assert_eq!(wire.node.status().imported, number);
    }
    wire.choose(&choice_of(wire.chain.hash(4)));
    assert_eq!(wire.node.status().imported, 4);
}

#[test]
fn e33_f9_callers_that_go_away_do_not_keep_others_waiting() {
    let wire = Wire::new(Fork::Prague);
    wire.follow(1..=3);
    let hashes = vec![wire.chain.hash(2); 1_024];
    let calls = [
        request("engine_getPayloadBodiesByHashV1", &json!([hashes])),
        request("engine_getPayloadBodiesByRangeV1", &json!(["0x1", "0x400"])),
    ];
    for nth in 0..64 {
        let (body, bearer) = (&calls[nth % calls.len()], bearer());
        let head = head("POST", &[("authorization", bearer.as_str())], body.len());
        let mut connection = wire.engine.connect();
        connection.write(format!("{head}{body}").as_bytes());
        drop(connection);
        if nth % 8 == 0 {
            assert_eq!(wire.ok("eth_blockNumber", &json!([])), "0x3");
        }
    }
    wire.follow(4..=6);
    let params = json!(["0x1", "0x400"]);
    let bodies = wire.ok("engine_getPayloadBodiesByRangeV1", &params);
    assert_eq!(bodies.as_array().map(Vec::len), Some(6));
}

#[test]
fn f6_the_deposit_contract_of_a_chain_is_its_own_and_has_no_default() {
    let mainnet = address!("0x00000000219ab540356cbb839cbe05303d7705fa");
    for (name, contract) in [
        ("mainnet", mainnet),
        ("sepolia", address!("0x7f02c3e3c98b133055b8b348b2ac625669ed295d")),
        ("hoodi", mainnet),
        ("holesky", address!("0x4242424242424242424242424242424242424242")),
    ] {
        let genesis = Genesis::named(name).expect("it is built in");
        let rules = genesis.chain.rules_at(u64::MAX, u64::MAX);
        assert_eq!(rules.deposit_contract, Some(contract), "{name}");
        assert!(rules.has(Fork::Osaka), "{name}: {}", rules.fork);
    }
    let chain = WireChain::new(Fork::Prague).chain;
    assert_eq!(chain.genesis.chain.rules_at(1, u64::MAX).deposit_contract, None);
    let mut json: Value = serde_json::from_slice(&chain.json).expect("JSON");
    let own = Address::repeat_byte(0xdc);
    json["config"]["depositContractAddress"] = json!(own);
    let genesis = Genesis::from_json(json.to_string().as_bytes()).expect("a good genesis file");
    assert_eq!(genesis.chain.rules_at(1, u64::MAX).deposit_contract, Some(own));
}

/// The block with this transaction alone, and the header that goes with it, as far as that is known
/// without executing it.
fn with_tx(block: &SealedBlock, tx: Transaction) -> SealedBlock {
    let mut block = block.block().clone();
    block.body.transactions = vec![tx];
    block.header.transactions_root = calculate_transaction_root(&block.body.transactions);
    block.header.blob_gas_used = block.header.blob_gas_used.map(|_| 0);
    SealedBlock::seal(block)
}

/// Halves of signatures that nobody can have made.
fn bad_halves() -> [(U256, U256); 7] {
    let (one, order) = (U256::from(1), U256::from_be_bytes(ORDER.0));
    [
        (U256::ZERO, one),
        (one, U256::ZERO),
        (order, one),
        (one, order),
        (U256::MAX, U256::MAX),
        // Source: EIP-2, `s` is in the lower half.
        (one, order - one),
        (one, order / U256::from(2) + one),
    ]
}

fn delegating(nonce: u64, authorization_list: Vec<SignedAuthorization>) -> TxEip7702 {
    TxEip7702 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit: 2_000_000,
        max_fee_per_gas: gwei(100),
        max_priority_fee_per_gas: gwei(2),
        to: Address::repeat_byte(0xb0),
        authorization_list,
        ..TxEip7702::default()
    }
}

fn plain(nonce: u64, chain_id: Option<u64>) -> TxLegacy {
    TxLegacy {
        chain_id,
        nonce,
        gas_price: gwei(100),
        gas_limit: 100_000,
        to: TxKind::Call(Address::repeat_byte(0xb0)),
        ..TxLegacy::default()
    }
}

#[test]
fn f15_a_signature_out_of_range_makes_a_payload_invalid_and_is_no_error() {
    let wire = Wire::new(Fork::Prague);
    wire.follow(1..=1);
    let nonce = wire.deployer_nonce();
    let authorization = wire.chain.deployer.authorize(U256::ZERO, Address::ZERO, nonce + 1);
    for (r, s) in bad_halves() {
        for parity in [false, true] {
            let signature = Signature::new(r, s, parity);
            let delegating = delegating(nonce, vec![authorization.clone()]);
            for tx in [
                Transaction::Eip7702(delegating.into_signed(signature)),
                Transaction::Legacy(plain(nonce, Some(CHAIN_ID)).into_signed(signature)),
                Transaction::Legacy(plain(nonce, None).into_signed(signature)),
            ] {
                let told = format!("{tx:?}");
                let bad = with_tx(wire.chain.chain.block(2), tx);
                // It decodes, so it is judged as the child of its parent.
                let found = wire.send(&wire.chain.params_of(&bad));
                assert_invalid(&found, Some(wire.chain.hash(1)), &told);
            }
        }
    }
    wire.follow(2..=3);
}

#[test]
fn f15_an_authorization_out_of_range_is_passed_over() {
    let wire = Wire::new(Fork::Prague);
    wire.follow(1..=2);
    let chain_id = U256::from(CHAIN_ID);
    let authorization = Authorization { chain_id, address: Address::repeat_byte(0xde), nonce: 0 };
    let bad = bad_halves().into_iter().flat_map(|(r, s)| {
        let unsigned = authorization.clone();
        let signed =
            move |parity| SignedAuthorization::new_unchecked(unsigned.clone(), parity, r, s);
        [0, 1, 2, 255].map(signed)
    });
    let tx = wire.chain.deployer.eip7702(delegating(wire.deployer_nonce(), bad.collect()));
    let hash = *tx.hash();
    let encoded = Bytes::from(tx.encoded_2718());
    assert_eq!(wire.ok("eth_sendRawTransaction", &json!([encoded])), json!(hash));
    let attributes = wire.chain.attributes(2);
    let built = wire.build(wire.chain.hash(2), &attributes);
    assert_eq!(built["executionPayload"]["transactions"], json!([encoded]));
    let params = wire.chain.params_of_built(&built, &attributes, &[]);
    let head: B256 =
        params[0]["blockHash"].as_str().and_then(|text| text.parse().ok()).expect("a hash");
    assert_eq!(wire.send(&params), valid(head));
    wire.choose(&choice_of(head));
    let receipt = wire.public_ok("eth_getTransactionReceipt", &json!([hash]));
    assert_eq!(receipt["status"], "0x1", "{receipt}");
    assert_eq!(receipt["blockHash"], json!(head), "{receipt}");
}

/// A transaction from before EIP-155 whose signature has no leading zeros: 67 bytes from its end is
/// `v`.
fn unprotected(wire: &Wire) -> Vec<u8> {
    let mut all = (0..100).map(|nonce| wire.chain.deployer.legacy(plain(nonce, None)));
    let found = all.find_map(|tx| {
        let encoded = tx.encoded_2718();
        let [v, r, s] = [67, 66, 33].map(|back| encoded[encoded.len() - back]);
        (matches!(v, 27 | 28) && r == 0xa0 && s == 0xa0).then_some(encoded)
    });
    found.expect("most signatures are so")
}

#[test]
fn f15_bytes_that_are_no_transaction_of_a_block_make_a_payload_invalid_and_are_no_error() {
    let wire = Wire::new(Fork::Prague);
    wire.follow(1..=1);
    let old = unprotected(&wire);
    let typed = wire.chain.deployer.eip7702(delegating(0, Vec::new())).encoded_2718();
    let as_string = |bytes: &[u8]| alloy_rlp::encode(Bytes::copy_from_slice(bytes));
    let mut bad: Vec<(String, Vec<u8>)> = vec![
        ("a typed transaction as an RLP string".to_owned(), as_string(&typed)),
        ("a legacy transaction as an RLP string".to_owned(), as_string(&old)),
        ("a byte more".to_owned(), [&typed[..], &[0]].concat()),
        ("a byte more, legacy".to_owned(), [&old[..], &[0]].concat()),
        ("a byte less".to_owned(), typed[..typed.len() - 1].to_vec()),
        ("a byte less, legacy".to_owned(), old[..old.len() - 1].to_vec()),
        ("its type alone".to_owned(), typed[..1].to_vec()),
    ];
    for v in [0x80, 1, 2, 26, 29, 34] {
        let mut encoded = old.clone();
        let at = encoded.len() - 67;
        encoded[at] = v;
        bad.push((format!("v is {v:#x}"), encoded));
    }
    for kind in [0, 5, 0x7f, 0x80, 0xbf, 0xff] {
        bad.push((format!("type {kind:#x}"), [&[kind][..], &old[..]].concat()));
    }
    // A blob transaction as the pool has it: blobs have no place in a block.
    let Transaction::Eip4844(signed) = wire.chain.deployer.eip4844(TxEip4844 {
        chain_id: CHAIN_ID,
        blob_versioned_hashes: vec![UNKNOWN],
        ..TxEip4844::default()
    }) else {
        panic!("a transaction of another type");
    };
    let none =
        BlobTransactionSidecar { blobs: Vec::new(), commitments: Vec::new(), proofs: Vec::new() };
    let (tx, signature) = (signed.tx().clone(), *signed.signature());
    let pooled = Signed::new_unhashed(tx.with_sidecar(Sidecar::Eip4844(none)), signature);
    let pooled = PooledTransaction::Eip4844(pooled).encoded_2718();
    bad.push(("a blob transaction with its sidecar".to_owned(), pooled));
    for (about, encoded) in bad {
        let mut params = wire.chain.params(2);
        params[0]["transactions"] = json!([Bytes::from(encoded)]);
        let found = wire.send(&params);
        assert_invalid(&found, None, &about);
        let why = found["validationError"].as_str().unwrap_or_default();
        assert!(why.starts_with("transaction 0"), "{about}: {why}");
    }
    wire.follow(2..=3);
}

#[test]
fn f21_what_is_pruned_is_answered_with_4444_and_never_with_another_state() {
    let wire = Wire::pruned(0xf21, Fork::Prague, Retention::Full { window: 3 });
    let replayed = Replayed::new(&wire.chain.chain);
    let last = wire.chain.last();
    let oldest = wire.node.view().oldest_state();
    assert!(oldest > 3 && oldest < last, "the oldest state is of block {oldest}");
    let deployer = wire.chain.deployer.address();
    for number in 0..=last {
        let at = quantity(number);
        let state = &replayed.states[usize::try_from(number).expect("few blocks")];
        let account = state.account(deployer).expect("in memory").expect("it is there");
        let call = json!({ "to": deployer });
        for (method, params, expected) in [
            ("eth_getBalance", json!([deployer, at]), json!(account.balance)),
            ("eth_getTransactionCount", json!([deployer, at]), json!(quantity(account.nonce))),
            ("eth_getCode", json!([deployer, at]), json!("0x")),
            ("eth_getStorageAt", json!([deployer, "0x0", at]), json!(B256::ZERO)),
            ("eth_call", json!([call, at]), json!("0x")),
        ] {
            let answer = wire.public.call(method, &params);
            if number < oldest {
                let error = answer.expect_err("it is pruned");
                assert_eq!(error.code, 4_444, "{method} at {number}: {error:?}");
                assert!(error.message.contains("pruned history unavailable"), "{error:?}");
            } else {
                assert_eq!(answer, Ok(expected), "{method} at {number}");
            }
        }
        // Bodies are kept.
        let txs = &wire.chain.chain.block(number).block().body.transactions;
        for tx in txs {
            let found = wire.public.call("eth_getTransactionByHash", &json!([tx.hash()]));
            assert_eq!(found.expect("a transaction")["blockNumber"], json!(at));
            // Receipts go with the state.
            let receipt = wire.public.call("eth_getTransactionReceipt", &json!([tx.hash()]));
            if number < oldest {
                let error = receipt.expect_err("it is pruned");
                assert_eq!(error.code, 4_444, "block {number}: {error:?}");
            } else {
                assert_eq!(receipt.expect("a receipt")["blockNumber"], json!(at));
            }
        }
    }
}

#[test]
fn f22_the_end_of_time_is_a_time_as_any() {
    for fork in [Fork::Paris, Fork::Shanghai, Fork::Osaka, Fork::Amsterdam] {
        let wire = Wire::new(fork);
        wire.follow(1..=1);
        let mut attributes = attributes(u64::MAX, wire.chain.versions.forkchoice);
        if fork >= Fork::Amsterdam {
            attributes["slotNumber"] = json!(quantity(u64::MAX));
        }
        let built = wire.build(wire.chain.hash(1), &attributes);
        let params = wire.chain.params_of_built(&built, &attributes, &[]);
        assert_eq!(params[0]["timestamp"], json!(quantity(u64::MAX)), "{fork}");
        if fork >= Fork::Amsterdam {
            assert_eq!(params[0]["slotNumber"], json!(quantity(u64::MAX)));
        }
        let hash: B256 =
            params[0]["blockHash"].as_str().and_then(|text| text.parse().ok()).expect("a hash");
        assert_eq!(wire.send(&params), valid(hash), "{fork}");
        wire.choose(&choice_of(hash));
        // Nothing comes after it.
        let answer = wire.forkchoice(&choice_of(hash), &attributes);
        assert_eq!(answer.expect_err("an error").code, -38_003, "{fork}");
        for (method, params) in [
            ("eth_gasPrice", json!([])),
            ("eth_baseFee", json!([])),
            ("eth_feeHistory", json!(["0x2", "latest", [50]])),
            ("eth_call", json!([{ "to": Address::ZERO }])),
            ("eth_getBlockByNumber", json!(["latest", true])),
        ] {
            let answer = wire.public.call(method, &params);
            assert!(answer.is_ok(), "{fork}: {method}: {answer:?}");
        }
        // The chain goes on beside it.
        wire.choose(&choice_of(wire.chain.hash(1)));
        wire.follow(2..=3);
    }
}

#[test]
fn f28_no_method_is_silent() {
    let wire = Wire::new(Fork::Amsterdam);
    wire.follow(1..=2);
    let engine = engine_methods(wire.node.engine());
    let public = public_methods(wire.node.engine());
    let ports = [(wire.engine, engine), (wire.public, public)];
    for (endpoint, methods) in ports {
        let mut names: Vec<&str> = methods.method_names().collect();
        names.sort_unstable();
        assert!(names.len() > 20, "{names:?}");
        for name in names {
            if name.ends_with("_subscribe") || name.ends_with("_unsubscribe") {
                // Over HTTP nobody can be notified.
                let error = endpoint.call(name, &json!(["newHeads"])).expect_err("this is HTTP");
                assert_eq!(error.code, -32_601, "{name}: {error:?}");
                continue;
            }
            match endpoint.call(name, &json!([])) {
                Ok(found) => assert!(!found.is_null(), "{name} answers null"),
                Err(error) => assert_eq!(error.code, -32_602, "{name}: {error:?}"),
            }
            for nonsense in [
                json!([{ "nonsense": true }, "zz", 7, []]),
                json!(["zz"]),
                json!([-1]),
                json!({ "nonsense": true }),
            ] {
                let error = endpoint.call(name, &nonsense).expect_err("it makes no sense");
                assert_eq!(error.code, -32_602, "{name}: {nonsense}: {error:?}");
            }
        }
        for name in ["debug_dumpBlock", "debug_dbAncient", "miner_start", "eth_coinbase", "x"] {
            let error = endpoint.call(name, &json!([])).expect_err("there is no such method");
            let told = format!("the method {name} does not exist/is not available");
            assert_eq!((error.code, error.message), (-32_601, told));
        }
    }
    // What is for the consensus client is for nobody else.
    let error = wire.public.call("engine_exchangeCapabilities", &json!([[]]));
    assert_eq!(error.expect_err("there is no such method").code, -32_601);
    // What others have is told apart from what nobody has.
    let error = wire.engine.call("txpool_status", &json!([])).expect_err("it is not here");
    assert!(error.message.ends_with("on this server: see --http.api and --ws.api"), "{error:?}");
    // What acts says what it did.
    assert_eq!(wire.ok("fugue_reconsiderBlock", &json!([UNKNOWN])), json!(false));
    let bad = changed(wire.chain.chain.block(3), |header| header.state_root = UNKNOWN);
    assert_invalid(
        &wire.send(&wire.chain.params_of(&bad)),
        Some(wire.chain.hash(2)),
        "another state root",
    );
    assert_eq!(wire.ok("fugue_reconsiderBlock", &json!([bad.hash()])), json!(true));
    assert_eq!(wire.ok("fugue_reconsiderBlock", &json!([bad.hash()])), json!(false));
}

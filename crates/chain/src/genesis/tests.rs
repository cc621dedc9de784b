//! Genesis of the public chains, of files in every notation, and of files that are wrong.

use super::*;
use fugue_types::{Bytes, U256, address};
use serde_json::json;

/// A file with all that must be there, on a chain on which every fork up to `fork` holds from
/// genesis on.
fn file(fork: Fork) -> Value {
    let since = |known: Fork| if fork >= known { json!(0) } else { Value::Null };
    json!({
        "config": {
            "chainId": 7,
            "homesteadBlock": since(Fork::Homestead),
            "eip150Block": since(Fork::Tangerine),
            "eip155Block": since(Fork::SpuriousDragon),
            "eip158Block": since(Fork::SpuriousDragon),
            "byzantiumBlock": since(Fork::Byzantium),
            "constantinopleBlock": since(Fork::Constantinople),
            "petersburgBlock": since(Fork::Petersburg),
            "istanbulBlock": since(Fork::Istanbul),
            "berlinBlock": since(Fork::Berlin),
            "londonBlock": since(Fork::London),
            "terminalTotalDifficulty": since(Fork::Paris),
            "shanghaiTime": since(Fork::Shanghai),
            "cancunTime": since(Fork::Cancun),
            "pragueTime": since(Fork::Prague),
            "osakaTime": since(Fork::Osaka),
            "amsterdamTime": since(Fork::Amsterdam)
        },
        "gasLimit": "0x1c9c380",
        "difficulty": "0x1",
        "alloc": {"0x00000000000000000000000000000000000000aa": {"balance": "0x5"}}
    })
}

/// Sets a field, or removes it. `path` is a JSON pointer.
fn change(file: &mut Value, path: &str, value: Option<Value>) {
    let (parent, key) = path.rsplit_once('/').expect("a pointer has a slash");
    let parent = file.pointer_mut(parent).and_then(Value::as_object_mut).expect("an object");
    match value {
        Some(value) => parent.insert(key.to_owned(), value),
        None => parent.remove(key),
    };
}

fn read(file: &Value) -> Result<Genesis, GenesisError> {
    Genesis::from_json(file.to_string().as_bytes())
}

#[test]
fn each_public_chain_begins_with_its_known_block() {
    let known = [
        (
            "mainnet",
            b256!("0xd7f8974fb5ac78d9ac099b9ad5018bedc2ce0a72dad1827a1709da30580f0544"),
            b256!("0xd4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3"),
        ),
        (
            "sepolia",
            b256!("0x5eb6e371a698b8d68f665192350ffcecbbbf322916f4b51bd79bb6887da3f494"),
            b256!("0x25a5cc106eea7138acab33231d7160d69cb777ee0c2c553fcddf5138993e6dd9"),
        ),
        (
            "hoodi",
            b256!("0xda87d7f5f91c51508791bbcbd4aa5baf04917830b86985eeb9ad3d5bfb657576"),
            b256!("0xbbe312868b376a3001692a646dd2d7d1e4406380dfd86b98aa8a34d1557c971b"),
        ),
        (
            "holesky",
            b256!("0x69d8c9d72f6fa4ad42d4702b433707212f90db395eb54dc20bc85de253788783"),
            b256!("0xb5f7f912443c940f21fd611f12828d75b534364ed9e95ca4e307729a4661bde4"),
        ),
    ];
    assert_eq!(known.map(|(name, ..)| name), Genesis::NAMES);
    for (name, root, hash) in known {
        let genesis = Genesis::named(name).expect("built in");
        assert_eq!(genesis.state.root(), root, "{name}");
        assert_eq!(genesis.block(root).hash(), hash, "{name}");
        assert_eq!(genesis.expected_hash(), Some(hash), "{name}");
        assert_eq!(genesis.chain.name(), name);
    }
}

#[test]
fn a_chain_that_nobody_knows_is_refused_with_the_names_of_those_known() {
    let error = Genesis::named("ropsten").expect_err("not built in").to_string();
    assert!(error.ends_with("\"ropsten\", only for mainnet, sepolia, hoodi, holesky"), "{error}");
}

/// Compares around each switch: forks by block below the merge, forks by time above it.
#[test]
fn the_built_in_configurations_say_what_the_built_in_rules_say() {
    for name in Genesis::NAMES {
        let genesis = Genesis::named(name).expect("built in");
        let config = chain_config(&genesis.config).expect("a configuration");
        let first = genesis.header(B256::ZERO);
        let chain = ChainSpec::of_genesis(&config, &first).expect("a chain");
        assert_eq!(chain.chain_id(), genesis.chain.chain_id());
        assert_eq!(
            chain.terminal_total_difficulty(),
            genesis.chain.terminal_total_difficulty(),
            "{name}"
        );
        assert_eq!(chain.rules(&first), genesis.chain.rules(&first), "{name}");
        let mut compared = 0;
        for (field, at) in genesis.config.as_object().expect("an object") {
            let Some(at) = at.as_u64().filter(|_| field != "mergeNetsplitBlock") else { continue };
            let around = [at.saturating_sub(1), at];
            let headers = if field.ends_with("Block") {
                let difficulty = U256::from(1);
                around.map(|number| Header { number, difficulty, ..Header::default() })
            } else if field.ends_with("Time") {
                let number = 30_000_000;
                around.map(|timestamp| Header { number, timestamp, ..Header::default() })
            } else {
                continue;
            };
            compared += 1;
            for header in &headers {
                assert_eq!(chain.rules(header), genesis.chain.rules(header), "{name} {field}");
            }
        }
        assert!(compared > 15, "{name}: {compared} switches");
    }
}

#[test]
fn accounts_that_are_listed_exist_and_slots_of_zero_do_not() {
    let mut file = file(Fork::Berlin);
    let account = json!({
        "balance": "0",
        "nonce": "0x0",
        "code": "0x",
        "storage": {"0x01": "0x00", "0x02": "0x2a"}
    });
    change(&mut file, "/alloc/00000000000000000000000000000000000000bb", Some(account));
    let code = json!({"balance": 0, "nonce": 1, "code": "0x6000"});
    change(&mut file, "/alloc/00000000000000000000000000000000000000cc", Some(code));
    let state = read(&file).expect("a good file").state;
    assert_eq!(state.accounts.len(), 3);
    let empty = &state.accounts[&address!("0x00000000000000000000000000000000000000bb")];
    assert!(empty.account.is_empty());
    assert_eq!(empty.slots.len(), 1);
    assert_eq!(empty.slots[&U256::from(2)], U256::from(42));
    let contract = &state.accounts[&address!("0x00000000000000000000000000000000000000cc")];
    assert_eq!(contract.account.nonce, 1);
    assert_eq!(state.codes.len(), 1);
    let code = &state.codes[&contract.account.code_hash];
    assert_eq!(*code, Bytes::from_static(&[0x60, 0x00]));
    // Two of them are in mainnet's genesis; without them its root would differ.
    let mainnet = Genesis::named("mainnet").expect("built in").state;
    let empty = mainnet.accounts.values().filter(|found| found.account.is_empty());
    assert_eq!(empty.count(), 2);
}

#[test]
fn notations_of_the_same_value_are_the_same() {
    let strict = json!({
        "config": file(Fork::Berlin)["config"],
        "nonce": "0x42",
        "timestamp": "0x10",
        "extraData": "0x",
        "gasLimit": "0x1388",
        "difficulty": "0x400000000",
        "mixHash": B256::ZERO,
        "coinbase": "0x0000000000000000000000000000000000000000",
        "number": "0x0",
        "gasUsed": "0x0",
        "parentHash": B256::ZERO,
        "alloc": {
            "0xabcdef0000000000000000000000000000000001": {
                "balance": "0xde0b6b3a7640000",
                "nonce": "0x1",
                "code": "0x00",
                "storage": {
                    "0x0000000000000000000000000000000000000000000000000000000000000001":
                        "0x000000000000000000000000000000000000000000000000000000000000000a"
                }
            }
        }
    });
    let loose = json!({
        "config": file(Fork::Berlin)["config"],
        "nonce": 66,
        "timestamp": "16",
        "extraData": "",
        "gasLimit": "0X0001388",
        "difficulty": "17179869184",
        "mixhash": B256::ZERO,
        "number": "",
        "baseFeePerGas": null,
        "excessBlobGas": null,
        "blobGasUsed": null,
        "comment": {"nobody": "reads this"},
        "alloc": {
            "ABCDEF0000000000000000000000000000000001": {
                "balance": "1000000000000000000",
                "nonce": 1,
                "code": "0x00",
                "storage": {"1": "0x0a"},
                "secretKey": "0x01"
            }
        }
    });
    assert_eq!(read(&strict).expect("a good file"), read(&loose).expect("a good file"));
}

#[test]
fn the_first_header_has_the_fields_of_its_fork() {
    let present = |fork| {
        let header = read(&file(fork)).expect("a good file").header(B256::ZERO);
        [
            header.base_fee_per_gas == Some(1_000_000_000),
            header.withdrawals_root == Some(EMPTY_WITHDRAWALS),
            header.blob_gas_used == Some(0),
            header.excess_blob_gas == Some(0),
            header.parent_beacon_block_root == Some(B256::ZERO),
            header.requests_hash == Some(EMPTY_REQUESTS_HASH),
            header.block_access_list_hash == Some(EMPTY_LIST_HASH),
            header.slot_number == Some(0),
        ]
    };
    let first = |count| std::array::from_fn(|index| index < count);
    assert_eq!(present(Fork::Berlin), first(0));
    assert_eq!(present(Fork::London), first(1));
    assert_eq!(present(Fork::Paris), first(1));
    assert_eq!(present(Fork::Shanghai), first(2));
    assert_eq!(present(Fork::Cancun), first(5));
    assert_eq!(present(Fork::Osaka), first(6));
    assert_eq!(present(Fork::Amsterdam), first(8));

    let mut given = file(Fork::Amsterdam);
    let fields = ["baseFeePerGas", "blobGasUsed", "excessBlobGas", "slotNumber"];
    for (number, field) in (7..).zip(fields) {
        change(&mut given, &format!("/{field}"), Some(json!(number)));
    }
    change(&mut given, "/gasLimit", Some(json!("0x0")));
    let genesis = read(&given).expect("a good file");
    let header = genesis.header(B256::ZERO);
    assert_eq!(header.base_fee_per_gas, Some(7));
    assert_eq!(header.blob_gas_used, Some(8));
    assert_eq!(header.excess_blob_gas, Some(9));
    assert_eq!(header.slot_number, Some(10));
    assert_eq!(header.gas_limit, GAS_LIMIT_OF_ZERO);
    let body = |genesis: &Genesis| genesis.block(B256::ZERO).block().body.clone();
    assert_eq!(body(&genesis).withdrawals, Some(Withdrawals::default()));
    assert_eq!(body(&read(&file(Fork::Paris)).expect("a good file")).withdrawals, None);
}

#[test]
fn a_file_of_a_public_chain_is_a_chain_of_its_own() {
    let mut file = file(Fork::Prague);
    change(&mut file, "/config/chainId", Some(json!(1)));
    let genesis = read(&file).expect("a good file");
    assert_eq!(genesis.chain.chain_id(), 1);
    assert_eq!(genesis.chain.rules(&genesis.header(B256::ZERO)).fork, Fork::Prague);
    assert_eq!(genesis.expected_hash(), None);
}

#[test]
fn what_a_database_keeps_gives_the_chain_again() {
    let custom = read(&file(Fork::Cancun)).expect("a good file");
    for genesis in [Genesis::named("mainnet").expect("built in"), custom] {
        let first = genesis.header(B256::ZERO);
        let chain = Genesis::stored_chain(&genesis.config_json(), &first).expect("stored");
        assert_eq!(chain, genesis.chain);
    }
    let header = Header::default();
    let unknown = Genesis::stored_chain(br#"{"name":"ropsten"}"#, &header);
    assert!(matches!(unknown, Err(GenesisError::Name(name)) if name == "ropsten"));
    let nothing = Genesis::stored_chain(b"{}", &header);
    assert!(matches!(nothing, Err(GenesisError::Missing("config"))));
    assert!(Genesis::stored_chain(b"", &header).is_err());
}

#[test]
fn a_total_difficulty_is_exact_however_large_the_number_is() {
    let file = file(Fork::Berlin).to_string();
    let with = |digits: &str| {
        let field = format!("\"terminalTotalDifficulty\":{digits}");
        let file = file.replace("\"terminalTotalDifficulty\":null", &field);
        Genesis::from_json(file.as_bytes())
    };
    let largest = U256::MAX.to_string();
    let sizes = ["18446744073709551615", "18446744073709551617", "58750000000000000000001"];
    for digits in sizes.into_iter().chain([largest.as_str()]) {
        let genesis = with(digits).expect("a good file");
        let expected: U256 = digits.parse().expect("a number");
        assert_eq!(genesis.chain.terminal_total_difficulty(), Some(expected));
        let first = genesis.header(B256::ZERO);
        let stored = Genesis::stored_chain(&genesis.config_json(), &first).expect("stored");
        assert_eq!(stored, genesis.chain);
        assert!(genesis.has_config(&genesis.config_json()));
    }
    let too_large = format!("{largest}0");
    for wrong in ["1e30", "-58750000000000000000001", too_large.as_str()] {
        let error = with(wrong).expect_err(wrong).to_string();
        assert!(error.starts_with("config.terminalTotalDifficulty: "), "{error}");
    }
}

#[test]
fn a_configuration_that_says_the_same_in_other_words_is_that_of_the_database() {
    let contract = "0x00000000219ab540356cBB839Cbe05303d7705Fa";
    let mut file = file(Fork::Osaka);
    change(&mut file, "/config/depositContractAddress", Some(json!(contract)));
    let stored = read(&file).expect("a good file").config_json();
    let is_stored = |file: &Value| read(file).expect("a good file").has_config(&stored);
    assert!(is_stored(&file));
    let contract = contract.to_ascii_lowercase();
    change(&mut file, "/config/depositContractAddress", Some(json!(contract)));
    assert!(is_stored(&file));
    change(&mut file, "/config/osakaTime", Some(json!(9)));
    assert!(!is_stored(&file));
    assert!(!Genesis::named("mainnet").expect("built in").has_config(&stored));
}

/// A file with this field instead of a good one is refused with a message that begins so.
fn refuse(path: &str, value: Option<Value>, expected: &str) {
    let mut file = file(Fork::Prague);
    change(&mut file, path, value);
    let error = read(&file).expect_err(path).to_string();
    assert!(error.starts_with(expected), "{path}: {error}");
}

#[test]
fn a_configuration_that_is_wrong_is_refused_with_the_place_and_the_reason() {
    refuse("/config", None, "config: missing");
    refuse("/config", Some(Value::Null), "config: missing");
    let refuse = |field: &str, value: Option<Value>, expected: &str| {
        refuse(&format!("/config/{field}"), value, expected);
    };
    refuse("chainId", None, "config.chainId: missing");
    refuse("chainId", Some(json!("7")), "config.chainId: invalid type");
    refuse("cancunTime", Some(json!("soon")), "config.cancunTime: invalid value");
    refuse("terminalTotalDifficulty", Some(json!(1e30)), "config.terminalTotalDifficulty: ");
    refuse(
        "blobSchedule",
        Some(json!({"cancun": {"max": 6}})),
        "config.blobSchedule.cancun: missing field",
    );
    refuse(
        "blobSchedule",
        Some(json!({"london": {"target": 3, "max": 6, "baseFeeUpdateFraction": 1}})),
        "config: blobSchedule names \"london\"",
    );
    refuse("berlinBlock", None, "config: berlinBlock is missing, though London is scheduled");
    refuse(
        "terminalTotalDifficulty",
        None,
        "config: terminalTotalDifficulty is missing, though Shanghai is scheduled",
    );
    refuse("cancunTime", Some(json!(9)), "config: Prague is scheduled before Cancun");
    refuse("bpo1Time", Some(json!(9)), "config: osakaTime is missing, though Bpo1 is scheduled");
}

#[test]
fn a_header_field_that_is_wrong_is_refused_with_the_place_and_the_reason() {
    let numbers = "expected a number: decimal, or hexadecimal after 0x";
    refuse("/gasLimit", None, "gasLimit: missing");
    refuse("/difficulty", None, "difficulty: missing");
    refuse("/number", Some(json!(3)), "number: 3, but a chain begins with block 0");
    refuse(
        "/nonce",
        Some(json!("66 ")),
        &format!("nonce: invalid value: string \"66 \", {numbers}"),
    );
    refuse(
        "/timestamp",
        Some(json!(-1)),
        &format!("timestamp: invalid type: integer `-1`, {numbers}"),
    );
    refuse(
        "/gasLimit",
        Some(json!("0x")),
        &format!("gasLimit: invalid value: string \"0x\", {numbers}"),
    );
    refuse(
        "/gasLimit",
        Some(json!("0x10000000000000000")),
        "gasLimit: 18446744073709551616 is too large",
    );
    refuse("/extraData", Some(json!("0x0")), "extraData: invalid value");
    refuse("/mixHash", Some(json!("0x00")), "mixHash: ");
}

#[test]
fn an_account_that_is_wrong_is_refused_with_the_place_and_the_reason() {
    refuse("/alloc", None, "alloc: missing");
    refuse("/alloc", Some(json!([])), "alloc: invalid type: sequence, expected an object");
    refuse("/alloc/0x12", Some(json!({"balance": "0"})), "alloc.0x12: ");
    refuse(
        "/alloc/00000000000000000000000000000000000000AA",
        Some(json!({"balance": "0"})),
        "alloc: 0x00000000000000000000000000000000000000AA is listed twice",
    );
    let refuse = |field: &str, value: Value, expected: &str| {
        let account = "0x00000000000000000000000000000000000000aa";
        let value = (!value.is_null()).then_some(value);
        let expected = format!("alloc.{account}{expected}");
        refuse(&format!("/alloc/{account}{field}"), value, &expected);
    };
    refuse("", json!("5"), ": invalid type: string \"5\", expected an account");
    refuse("/balance", Value::Null, ": missing field `balance`");
    refuse("/balance", json!(1e30), ".balance: invalid type: floating point");
    refuse("/balance", json!("1 ether"), ".balance: invalid value: string \"1 ether\"");
    refuse("/nonce", json!("18446744073709551616"), ".nonce: 18446744073709551616 is too large");
    refuse("/code", json!("0xzz"), ".code: invalid value");
    refuse(
        "/storage",
        json!({"0x01": "0x1_0"}),
        ".storage.0x01: invalid value: string \"0x1_0\", expected up to 32 bytes",
    );
    refuse("/storage", json!({"0x01": "0x0", "0x1": "0x0"}), ".storage: 0x1 is listed twice");
}

#[test]
fn header_fields_of_a_later_fork_are_refused_where_clients_disagree_on_them() {
    for (fork, field, expected) in [
        (Fork::Berlin, "baseFeePerGas", "baseFeePerGas: given, but London does not hold"),
        (Fork::Shanghai, "excessBlobGas", "excessBlobGas: given, but Cancun does not hold"),
    ] {
        let mut file = file(fork);
        change(&mut file, &format!("/{field}"), Some(json!("0x1")));
        let error = read(&file).expect_err("too early").to_string();
        assert!(error.starts_with(expected), "{error}");
    }
    // These two are passed over by all.
    let mut file = file(Fork::Shanghai);
    change(&mut file, "/blobGasUsed", Some(json!("0x1")));
    change(&mut file, "/slotNumber", Some(json!("0x1")));
    let header = read(&file).expect("a good file").header(B256::ZERO);
    assert_eq!((header.blob_gas_used, header.slot_number), (None, None));
}

#[test]
fn what_is_no_json_is_refused() {
    for (bytes, expected) in [
        (&b""[..], "JSON: EOF"),
        (&b"5"[..], "JSON: invalid type: integer `5`, expected an object"),
        (&b"{} {}"[..], "after the end: trailing characters"),
        (&b"\x28\xb5\x2f\xfd"[..], "JSON: expected value"),
    ] {
        let error = Genesis::from_json(bytes).expect_err("no file").to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}

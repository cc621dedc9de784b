//! For each method examples of its parameters, which it takes. Together they name all arguments
//! that there are, and the fields of those that are objects.
//!
//! It is one thing: a table, by what the methods are asked about.

use fugue_types::{Address, B256, Bytes};
use fugue_workload::CHAIN_ID;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What the examples name: a block, a transaction in it that is a call, and accounts.
pub(super) struct Place {
    /// An account whose key there is.
    pub(super) own: Address,
    /// Who sends the call, to whom, and with what.
    pub(super) sender: Address,
    pub(super) callee: Address,
    pub(super) input: Bytes,
    pub(super) tx: B256,
    /// A transaction that may be in the next block.
    pub(super) next: Bytes,
    /// The block.
    pub(super) number: u64,
    pub(super) timestamp: u64,
    pub(super) head: B256,
    pub(super) parent: B256,
    /// Its RLP.
    pub(super) block: Bytes,
}

type Names = &'static [&'static str];
/// Methods that are asked alike, and what they are asked.
type Group = (Names, Vec<Value>);

/// Methods that take no arguments.
const ALONE: Names = &[
    "admin_clearTxpool",
    "admin_datadir",
    "admin_nodeInfo",
    "admin_peers",
    "anvil_dropAllTransactions",
    "anvil_getAutomine",
    "anvil_getIntervalMining",
    "anvil_metadata",
    "anvil_nodeInfo",
    "anvil_removeBlockTimestampInterval",
    "anvil_snapshot",
    "debug_chainConfig",
    "debug_clearTxpool",
    "debug_getBadBlocks",
    "eth_accounts",
    "eth_baseFee",
    "eth_blobBaseFee",
    "eth_blockNumber",
    "eth_capabilities",
    "eth_chainId",
    "eth_coinbase",
    "eth_config",
    "eth_gasPrice",
    "eth_maxPriorityFeePerGas",
    "eth_newBlockFilter",
    "eth_pendingTransactions",
    "eth_requestAccounts",
    "eth_syncing",
    "evm_snapshot",
    "hardhat_getAutomine",
    "hardhat_metadata",
    "net_listening",
    "net_peerCount",
    "net_version",
    "ots_getApiLevel",
    "rpc_modules",
    "txpool_content",
    "txpool_inspect",
    "txpool_status",
    "web3_clientVersion",
];

/// The examples, by the name of the method.
///
/// # Panics
/// If a method stands here twice.
pub(super) fn all(place: &Place) -> BTreeMap<&'static str, Vec<Value>> {
    let mut all = BTreeMap::new();
    let alone = vec![of(ALONE, vec![json!([])])];
    let groups = [alone, blocks(place), state(place), messages(place), traces(place), dev(place)];
    for (names, examples) in groups.into_iter().flatten() {
        for name in names {
            let before = all.insert(*name, examples.clone());
            assert!(before.is_none(), "{name} has examples twice");
        }
    }
    all
}

fn of(names: Names, examples: Vec<Value>) -> Group {
    (names, examples)
}

fn hex(number: u64) -> String {
    format!("{number:#x}")
}

/// A message with the fields that one has.
fn message(place: &Place) -> Value {
    let Place { sender, callee, input, .. } = place;
    json!({ "from": sender, "to": callee, "gas": "0x30d40", "value": "0x0", "input": input })
}

/// A message with all that it may have but authorizations, which do not go with blobs.
fn long_message(place: &Place) -> Value {
    let Place { own, callee, input, .. } = place;
    json!({
        "from": own, "to": callee, "gas": "0x30d40", "value": "0x1", "data": input, "input": input,
        "nonce": "0x0", "type": "0x3", "chainId": hex(CHAIN_ID),
        "maxFeePerGas": "0x174876e800", "maxPriorityFeePerGas": "0x1",
        "maxFeePerBlobGas": "0x174876e800",
        "blobVersionedHashes": [format!("0x01{}", "11".repeat(31))],
        "accessList": [{ "address": callee, "storageKeys": [B256::repeat_byte(1)] }],
    })
}

fn granting_message(place: &Place) -> Value {
    let Place { own, callee, .. } = place;
    let grant = json!({
        "chainId": "0x0", "address": callee, "nonce": "0x0", "yParity": "0x0",
        "r": "0x1", "s": "0x1",
    });
    json!({ "from": own, "to": callee, "authorizationList": [grant] })
}

fn state_overrides(place: &Place) -> Value {
    let (own, callee) = (place.own.to_string(), place.callee.to_string());
    let other = Address::repeat_byte(0x51).to_string();
    let identity = Address::with_last_byte(4).to_string();
    json!({
        own: { "balance": "0xde0b6b3a7640000", "nonce": "0x7", "code": "0x" },
        callee: { "stateDiff": { "0x0": "0x1" } },
        other: { "code": "0x600054", "state": { "0x1": "0x2" } },
        identity: { "movePrecompileToAddress": Address::repeat_byte(0x52) },
    })
}

fn block_overrides(place: &Place) -> Value {
    json!({
        "number": hex(place.number + 9), "time": hex(place.timestamp + 99),
        "gasLimit": "0x1c9c380", "feeRecipient": place.own, "prevRandao": B256::repeat_byte(3),
        "baseFeePerGas": "0x0", "blobBaseFee": "0x1",
    })
}

/// The same under other names, with a hash.
fn other_overrides(place: &Place) -> Value {
    json!({
        "blockNumber": hex(place.number + 9), "timestamp": hex(place.timestamp + 99),
        "coinbase": place.own, "random": B256::repeat_byte(3), "baseFee": "0x0",
        "parentBeaconBlockRoot": B256::repeat_byte(5), "blockHash": { "1": B256::repeat_byte(6) },
    })
}

fn filter(place: &Place) -> Value {
    json!({
        "fromBlock": "0x0", "toBlock": "latest", "address": [place.callee],
        "topics": [null, [B256::repeat_byte(1), B256::repeat_byte(2)]],
    })
}

fn attributes(place: &Place) -> Value {
    let withdrawal = json!({
        "index": "0x0", "validatorIndex": "0x0", "address": place.own, "amount": "0x1",
    });
    json!({
        "timestamp": hex(place.timestamp + 12), "prevRandao": B256::repeat_byte(4),
        "suggestedFeeRecipient": place.own, "withdrawals": [withdrawal],
        "parentBeaconBlockRoot": B256::repeat_byte(5),
    })
}

/// What the chain and the pool have.
fn blocks(place: &Place) -> Vec<Group> {
    let Place { own, sender, callee, tx, next, head, .. } = place;
    let by_hash = json!([{ "blockHash": head, "requireCanonical": true }]);
    let id = json!([format!("0x{}", "ab".repeat(16))]);
    vec![
        of(
            &[
                "debug_executionWitness",
                "debug_getRawBlock",
                "debug_getRawBlockAccessList",
                "debug_getRawHeader",
                "debug_getRawReceipts",
                "debug_getRawTransactions",
                "eth_getBlockAccessList",
                "eth_getBlockAccessListRaw",
                "eth_getBlockReceipts",
                "trace_block",
                "trace_blockOpcodeGas",
            ],
            vec![json!(["latest"]), json!([{ "blockNumber": "0x1" }]), by_hash],
        ),
        of(&["fugue_explainBlock"], vec![json!([]), json!(["latest", "occ"])]),
        of(
            &[
                "debug_executionWitnessByBlockHash",
                "eth_getBlockAccessListByBlockHash",
                "eth_getBlockTransactionCountByHash",
                "eth_getHeaderByHash",
                "eth_getUncleCountByBlockHash",
                "fugue_reconsiderBlock",
                "ots_getBlockDetailsByHash",
            ],
            vec![json!([head])],
        ),
        of(
            &[
                "eth_getBlockAccessListByBlockNumber",
                "eth_getBlockTransactionCountByNumber",
                "eth_getHeaderByNumber",
                "eth_getUncleCountByBlockNumber",
            ],
            vec![json!(["latest"]), json!(["0x1"])],
        ),
        of(
            &["erigon_getHeaderByNumber", "ots_getBlockDetails", "ots_getHeaderByNumber"],
            vec![json!(["latest"]), json!(["0x1"]), json!([1])],
        ),
        // Of a chain for development it is a number alone.
        of(&["debug_setHead"], vec![json!(["0x1"])]),
        of(&["eth_getBlockByHash"], vec![json!([head, true])]),
        of(&["eth_getBlockByNumber"], vec![json!(["0x1", false]), json!(["pending", true])]),
        of(
            &[
                "eth_getRawTransactionByBlockHashAndIndex",
                "eth_getTransactionByBlockHashAndIndex",
                "eth_getUncleByBlockHashAndIndex",
            ],
            vec![json!([head, "0x0"])],
        ),
        of(
            &[
                "eth_getRawTransactionByBlockNumberAndIndex",
                "eth_getTransactionByBlockNumberAndIndex",
                "eth_getUncleByBlockNumberAndIndex",
            ],
            vec![json!(["latest", "0x0"])],
        ),
        of(
            &[
                "debug_getRawTransaction",
                "eth_getRawTransactionByHash",
                "eth_getTransactionByHash",
                "eth_getTransactionReceipt",
                "ots_getInternalOperations",
                "ots_getTransactionError",
                "ots_traceTransaction",
                "trace_transaction",
                "trace_transactionOpcodeGas",
            ],
            vec![json!([tx])],
        ),
        of(&["eth_getTransactionBySenderAndNonce"], vec![json!([sender, "0x0"])]),
        of(
            &["ots_getTransactionBySenderAndNonce"],
            vec![json!([sender, "0x0"]), json!([sender, 0])],
        ),
        of(&["ots_getBlockTransactions"], vec![json!(["latest", 0, 10]), json!([1, 0, 10])]),
        of(
            &["ots_searchTransactionsAfter"],
            vec![json!([sender, 0, 10]), json!([sender, "earliest", 10])],
        ),
        of(
            &["ots_searchTransactionsBefore"],
            vec![json!([sender, 0, 10]), json!([sender, "latest", 10])],
        ),
        of(&["ots_getContractCreator"], vec![json!([callee])]),
        of(&["eth_sendRawTransaction"], vec![json!([next])]),
        of(&["eth_sendRawTransactionSync"], vec![json!([next, 1])]),
        of(&["txpool_contentFrom"], vec![json!([own])]),
        of(&["eth_feeHistory"], vec![json!(["0x2", "latest", [0, 12.5, 100]])]),
        of(
            &["eth_getLogs", "eth_newFilter"],
            vec![json!([filter(place)]), json!([{ "address": callee, "topics": [] }])],
        ),
        of(&["eth_newPendingTransactionFilter"], vec![json!([true])]),
        of(&["eth_getFilterChanges", "eth_getFilterLogs", "eth_uninstallFilter"], vec![id.clone()]),
        of(
            &["eth_subscribe"],
            vec![
                json!(["newHeads"]),
                json!(["logs", filter(place)]),
                json!(["newPendingTransactions", true]),
                json!(["syncing"]),
                json!(["transactionReceipts", { "transactionHashes": [tx] }]),
            ],
        ),
        of(&["debug_subscribe"], vec![json!(["traceChain", "0x0", "latest", {}])]),
        of(&["debug_unsubscribe", "eth_unsubscribe"], vec![id]),
        of(&["testing_buildBlockV1"], vec![json!([head, attributes(place), [next], "0x0102"])]),
        of(&["testing_commitBlockV1"], vec![json!([attributes(place), [next], "0x0102"])]),
        of(&["web3_sha3"], vec![json!(["0x0102"])]),
    ]
}

/// Accounts and what they store.
fn state(place: &Place) -> Vec<Group> {
    let Place { own, callee, head, parent, .. } = place;
    let by_hash = json!({ "blockHash": head, "requireCanonical": false });
    let word = B256::repeat_byte(1);
    vec![
        of(
            &[
                "eth_getAccount",
                "eth_getAccountInfo",
                "eth_getBalance",
                "eth_getCode",
                "eth_getTransactionCount",
            ],
            vec![json!([callee, "latest"]), json!([own, by_hash])],
        ),
        of(&["ots_hasCode"], vec![json!([callee, 1]), json!([own, by_hash])]),
        of(
            &["eth_getStorageAt"],
            vec![json!([callee, "0x0", "latest"]), json!([callee, "0", "latest"])],
        ),
        of(
            &["eth_getStorageValues"],
            vec![json!([{ callee.to_string(): ["0x0", word] }, "latest"])],
        ),
        of(&["eth_getProof"], vec![json!([callee, ["0x0", word, "1"], "latest"])]),
        of(&["debug_accountAt", "debug_accountInfoAt"], vec![json!(["latest", 0, callee])]),
        of(&["debug_accountRange"], vec![json!(["latest", "0x", 16, false, true, false])]),
        of(&["debug_codeByHash", "debug_preimage"], vec![json!([word])]),
        of(&["debug_dbGet"], vec![json!([word.to_string().replacen("0x", "0x63", 1)])]),
        of(&["debug_getModifiedAccountsByHash"], vec![json!([head]), json!([parent, head])]),
        of(&["debug_getModifiedAccountsByNumber"], vec![json!([0, "latest"])]),
        of(
            &["debug_storageRangeAt"],
            vec![
                json!([head, 0, callee, "0x00", 16]),
                json!(["latest", 0, callee, "0x00", 16]),
                json!([by_hash, 0, callee, "0x00", 16]),
            ],
        ),
        of(&["fugue_profileContract"], vec![json!([callee, "0x0", "latest"])]),
    ]
}

/// Messages that are run.
fn messages(place: &Place) -> Vec<Group> {
    let (short, long, granting) = (message(place), long_message(place), granting_message(place));
    let (state, block) = (state_overrides(place), block_overrides(place));
    let bundles = json!([
        { "transactions": [short, short] },
        { "transactions": [long], "blockOverride": block },
        { "transactions": [], "blockOverride": other_overrides(place) },
    ]);
    let start = json!({ "blockNumber": "latest", "transactionIndex": 0 });
    let withdrawal = json!({
        "index": "0x1", "validatorIndex": "0x2", "address": place.own, "amount": "0x3",
    });
    let mut of_header = block.clone();
    of_header["withdrawals"] = json!([withdrawal]);
    let simulated = json!({
        "blockStateCalls": [
            { "blockOverrides": of_header, "stateOverrides": state, "calls": [short, granting] },
            { "calls": [{ "from": place.own, "nonce": "0x8", "gas": "0x5208" }] },
        ],
        "validation": false, "traceTransfers": true, "returnFullTransactions": true,
    });
    let types = json!(["trace", "vmTrace", "stateDiff"]);
    vec![
        of(
            &["eth_call", "eth_createAccessList", "eth_estimateGas"],
            vec![
                json!([short, "latest", state, block]),
                json!([long, { "blockHash": place.head }, {}, {}]),
                json!([granting, "pending"]),
            ],
        ),
        of(
            &["eth_callMany"],
            vec![
                json!([bundles, start, state, 1_000]),
                json!([bundles, { "blockNumber": place.head, "transactionIndex": -1 }]),
            ],
        ),
        of(&["eth_simulateV1"], vec![json!([simulated, "latest"])]),
        of(&["eth_fillTransaction"], vec![json!([short]), json!([long]), json!([granting])]),
        of(&["trace_call"], vec![json!([short, types, "latest", state, block])]),
        of(&["trace_callMany"], vec![json!([[[short, types], [long, ["trace"]]], "latest"])]),
        of(&["trace_rawTransaction"], vec![json!([place.next, types, "latest"])]),
        of(
            &["debug_traceCallMany"],
            vec![json!([bundles, start, { "tracer": "callTracer", "stateOverrides": state }])],
        ),
        of(
            &["debug_traceCall"],
            vec![
                json!([short, "latest", {
                    "tracer": "prestateTracer", "tracerConfig": { "diffMode": true },
                    "stateOverrides": state, "blockOverrides": block, "txIndex": "0x0",
                }]),
                json!([granting, "latest", { "enableMemory": true, "enableReturnData": true }]),
            ],
        ),
    ]
}

/// Traces of what the chain has.
fn traces(place: &Place) -> Vec<Group> {
    let Place { own, sender, callee, tx, head, block, .. } = place;
    let settings = || {
        let calls = json!({ "onlyTopCall": true, "withLog": true });
        let mux = json!({ "callTracer": calls, "4byteTracer": null, "noopTracer": null });
        [
            json!({ "disableStack": true, "disableStorage": true, "limit": 3, "timeout": "1m30s" }),
            json!({ "tracer": "callTracer", "tracerConfig": calls, "timeout": "5s" }),
            json!({ "tracer": "flatCallTracer", "tracerConfig": { "includePrecompiles": true } }),
            json!({ "tracer": "muxTracer", "tracerConfig": mux, "reexec": 128 }),
        ]
    };
    let with = |subject: Value| -> Vec<Value> {
        settings().into_iter().map(|settings| json!([subject, settings])).collect()
    };
    let to_file = json!({ "txHash": tx, "enableMemory": true, "disableStack": false });
    vec![
        of(&["debug_traceTransaction"], with(json!(tx))),
        of(&["debug_traceBlockByNumber"], with(json!("latest"))),
        of(
            &["debug_intermediateRoots", "debug_traceBadBlock", "debug_traceBlockByHash"],
            with(json!(head)),
        ),
        of(&["debug_traceBlock"], with(json!(block))),
        of(
            &["debug_standardTraceBadBlockToFile", "debug_standardTraceBlockToFile"],
            vec![json!([head, to_file])],
        ),
        of(
            &["trace_filter"],
            vec![
                json!([{
                    "fromBlock": "0x0", "toBlock": "latest", "fromAddress": [sender, own],
                    "toAddress": callee, "after": 0, "count": "0x10", "mode": "intersection",
                }]),
                json!([{ "fromBlock": 1, "toBlock": 2 }]),
            ],
        ),
        of(&["trace_get"], vec![json!([tx, ["0x0", "0x1"]]), json!([tx, [0]])]),
        of(&["trace_replayBlockTransactions"], vec![json!(["latest", ["trace", "stateDiff"]])]),
        of(&["trace_replayTransaction"], vec![json!([tx, ["vmTrace"]])]),
    ]
}

/// What a chain for development has besides.
fn dev(place: &Place) -> Vec<Group> {
    let Place { own, callee, tx, timestamp, .. } = place;
    let mut to_sign = message(place);
    to_sign["from"] = json!(own);
    let priced = json!({
        "from": own, "to": callee, "gas": "0x5208", "gasPrice": "0x174876e800",
        "value": "0x1", "nonce": "0x0", "chainId": hex(CHAIN_ID), "data": "0x",
    });
    let later = timestamp + 100;
    vec![
        of(
            &[
                "anvil_autoImpersonateAccount",
                "anvil_setAutomine",
                "anvil_setLoggingEnabled",
                "evm_setAutomine",
                "hardhat_setLoggingEnabled",
            ],
            vec![json!([true])],
        ),
        of(
            &["anvil_dropTransaction", "anvil_setPrevRandao", "hardhat_dropTransaction"],
            vec![json!([tx])],
        ),
        of(&["hardhat_setPrevRandao"], vec![json!([B256::repeat_byte(9)])]),
        of(
            &[
                "anvil_impersonateAccount",
                "anvil_removePoolTransactions",
                "anvil_setCoinbase",
                "anvil_stopImpersonatingAccount",
                "hardhat_impersonateAccount",
                "hardhat_setCoinbase",
                "hardhat_stopImpersonatingAccount",
            ],
            vec![json!([callee])],
        ),
        of(
            &[
                "anvil_increaseTime",
                "anvil_revert",
                "anvil_rollback",
                "anvil_setBlockTimestampInterval",
                "anvil_setIntervalMining",
                "evm_increaseTime",
                "evm_revert",
            ],
            vec![json!([5]), json!(["0x1"]), json!(["1"])],
        ),
        of(&["evm_setIntervalMining"], vec![json!([5]), json!(["0x1"]), json!([[1_000, 2_000]])]),
        of(
            &[
                "anvil_setBlockGasLimit",
                "anvil_setNextBlockBaseFeePerGas",
                "evm_setBlockGasLimit",
                "hardhat_setNextBlockBaseFeePerGas",
            ],
            vec![json!(["0x1c9c380"])],
        ),
        of(
            &[
                "anvil_setNextBlockTimestamp",
                "anvil_setTime",
                "evm_setNextBlockTimestamp",
                "evm_setTime",
            ],
            vec![json!([later])],
        ),
        of(&["anvil_mine", "hardhat_mine"], vec![json!(["0x2", "0xc"])]),
        of(
            &["anvil_mine_detailed", "evm_mine", "evm_mine_detailed"],
            vec![json!([later]), json!([{ "options": { "timestamp": later, "blocks": 2 } }])],
        ),
        of(
            &["anvil_reset", "hardhat_reset"],
            vec![json!([{ "forking": { "jsonRpcUrl": null, "blockNumber": null } }])],
        ),
        of(
            &["anvil_addBalance", "anvil_setBalance", "hardhat_setBalance"],
            vec![json!([callee, "0xde0b6b3a7640000"])],
        ),
        of(&["anvil_setNonce", "hardhat_setNonce"], vec![json!([callee, "0x7"])]),
        of(&["anvil_setCode", "hardhat_setCode"], vec![json!([callee, "0x600054"])]),
        of(
            &["anvil_setStorageAt", "hardhat_setStorageAt"],
            vec![json!([callee, "0x0", B256::repeat_byte(1)])],
        ),
        of(&["eth_sign"], vec![json!([own, "0x0102"])]),
        of(&["personal_sign"], vec![json!(["0x0102", own, "password"])]),
        of(
            &["eth_signTypedData", "eth_signTypedData_v3", "eth_signTypedData_v4"],
            vec![json!([own, typed_data()]), json!([own, typed_data().to_string()])],
        ),
        of(
            &["eth_sendTransaction", "eth_sendUnsignedTransaction", "eth_signTransaction"],
            vec![json!([to_sign]), json!([priced]), json!([granting_message(place)])],
        ),
    ]
}

/// With types within types, lists, and each kind of atomic value.
fn typed_data() -> Value {
    let field = |name: &str, kind: &str| json!({ "name": name, "type": kind });
    let order = [
        field("maker", "Party"),
        field("others", "Party[2][]"),
        field("amount", "uint256"),
        field("delta", "int64"),
        field("salt", "bytes32"),
        field("data", "bytes"),
        field("is_open", "bool"),
    ];
    let party = json!({ "name": "a", "wallet": Address::repeat_byte(1) });
    json!({
        "types": {
            "EIP712Domain": [field("name", "string"), field("chainId", "uint256")],
            "Party": [field("name", "string"), field("wallet", "address")],
            "Order": order,
        },
        "primaryType": "Order",
        "domain": { "name": "Orders", "chainId": 1 },
        "message": {
            "maker": party, "others": [[party, party]], "amount": "1000", "delta": -1,
            "salt": B256::repeat_byte(2), "data": "0x0102", "is_open": true,
        },
    })
}

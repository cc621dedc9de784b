//! What a question assumes of the state, and of the block that its message is run in.
//!
//! A field that is not known is refused: to act as if it were not there would be a wrong answer.

use crate::public::{
    Limits,
    args::{
        address, bytes, field, hash, object, quantity, quantity_u64, quantity_u128, slot, under,
    },
};
use fugue_chainspec::{ChainSpec, Fork, Rules};
use fugue_evm::Assumed;
use fugue_state::{AssumedAccount, AssumedStorage};
use fugue_types::{Address, B256, Header, U256};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Blocks whose hashes may be assumed: BLOCKHASH reaches back no further.
const BLOCK_HASHES_MAX: usize = 256;

/// What is assumed of the state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct StateOverrides {
    pub(crate) accounts: BTreeMap<Address, AssumedAccount>,
    /// Where precompiled contracts are moved to.
    moved: Vec<(Address, Address)>,
}

/// What is assumed of a block.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct BlockOverrides {
    pub(crate) number: Option<u64>,
    pub(crate) time: Option<u64>,
    pub(crate) gas_limit: Option<u64>,
    pub(crate) fee_recipient: Option<Address>,
    pub(crate) prev_randao: Option<B256>,
    pub(crate) base_fee: Option<u64>,
    pub(crate) blob_base_fee: Option<u128>,
    pub(crate) difficulty: Option<U256>,
    pub(crate) beacon_root: Option<B256>,
    /// What BLOCKHASH gives, by number; of others what the chain has.
    pub(crate) block_hashes: BTreeMap<u64, B256>,
}

impl StateOverrides {
    /// Where precompiled contracts are then. One of which anything is assumed is not where it was.
    pub(crate) fn precompiles(&self) -> Vec<(Address, Option<Address>)> {
        let moved = self.moved.iter().map(|(from, to)| (*from, Some(*to)));
        let gone = self.accounts.keys().filter(|address| !self.is_moved(**address));
        moved.chain(gone.map(|address| (*address, None))).collect()
    }

    fn is_moved(&self, address: Address) -> bool {
        self.moved.iter().any(|(from, _)| *from == address)
    }
}

impl BlockOverrides {
    /// The header with what is assumed of it, and the rules that its number and time ask for.
    pub(crate) fn applied(&self, spec: &ChainSpec, header: &Header) -> (Header, Rules) {
        let Self { number, time, gas_limit, fee_recipient, prev_randao, .. } = *self;
        let is_merged = spec.rules(header).has(Fork::Paris);
        let mut header = header.clone();
        header.number = number.unwrap_or(header.number);
        header.timestamp = time.unwrap_or(header.timestamp);
        header.gas_limit = gas_limit.unwrap_or(header.gas_limit);
        header.beneficiary = fee_recipient.unwrap_or(header.beneficiary);
        header.mix_hash = prev_randao.unwrap_or(header.mix_hash);
        header.base_fee_per_gas = self.base_fee.or(header.base_fee_per_gas);
        header.parent_beacon_block_root = self.beacon_root.or(header.parent_beacon_block_root);
        if !is_merged {
            // After the merge no code sees it, and it does not undo the merge.
            header.difficulty = self.difficulty.unwrap_or(header.difficulty);
        }
        let rules = spec.rules(&header);
        if rules.has(Fork::Cancun) {
            // A block from before then has none.
            header.excess_blob_gas.get_or_insert(0);
        }
        (header, rules)
    }
}

/// What is assumed besides what a header says.
pub(crate) fn assumed(state: &StateOverrides, block: &BlockOverrides) -> Assumed {
    Assumed { blob_base_fee: block.blob_base_fee, precompiles: state.precompiles() }
}

/// Source: geth, "eth_call", state override set.
pub(crate) fn state_overrides(value: &Value, limits: &Limits) -> Result<StateOverrides, String> {
    let Limits { overridden_accounts_max, overridden_slots_max, .. } = *limits;
    let accounts = object(value)?;
    if accounts.len() > overridden_accounts_max {
        let count = accounts.len();
        return Err(format!("{count} accounts, want at most {overridden_accounts_max}"));
    }
    let mut overrides = StateOverrides::default();
    let mut slots = Slots { count: 0, max: overridden_slots_max };
    for (key, value) in accounts {
        let named = |reason: String| under(key, &reason);
        let address = address(&Value::from(key.as_str())).map_err(named)?;
        let (account, moved) = account(value, &mut slots).map_err(named)?;
        overrides.accounts.insert(address, account);
        overrides.moved.extend(moved.map(|to| (address, to)));
    }
    Ok(overrides)
}

/// Slots of all accounts together.
struct Slots {
    count: usize,
    max: usize,
}

fn account(value: &Value, slots: &mut Slots) -> Result<(AssumedAccount, Option<Address>), String> {
    let fields = object(value)?;
    only(fields, &["balance", "nonce", "code", "state", "stateDiff", "movePrecompileToAddress"])?;
    let mut map = |name| field(fields, name, |value| slot_map(value, slots));
    let storage = match (map("state")?, map("stateDiff")?) {
        (Some(_), Some(_)) => return Err("state and stateDiff are given".to_owned()),
        (Some(all), None) => AssumedStorage::All(all),
        (None, some) => AssumedStorage::Some(some.unwrap_or_default()),
    };
    let account = AssumedAccount {
        balance: field(fields, "balance", quantity)?,
        nonce: field(fields, "nonce", quantity_u64)?,
        code: field(fields, "code", bytes)?,
        storage,
    };
    Ok((account, field(fields, "movePrecompileToAddress", address)?))
}

fn slot_map(value: &Value, all: &mut Slots) -> Result<BTreeMap<U256, U256>, String> {
    let fields = object(value)?;
    all.count = all.count.saturating_add(fields.len());
    if all.count > all.max {
        return Err(format!("more than {} slots in all", all.max));
    }
    let mut slots = BTreeMap::new();
    for (key, value) in fields {
        let named = |reason: String| under(key, &reason);
        let key = slot(&Value::from(key.as_str())).map_err(named)?;
        slots.insert(key, slot(value).map_err(named)?);
    }
    Ok(slots)
}

/// Source: geth, "eth_call", block override set, and execution-apis, "BlockOverrides"; the hashes
/// are Erigon's.
pub(crate) fn block_overrides(value: &Value) -> Result<BlockOverrides, String> {
    let fields = object(value)?;
    only(fields, &[&BLOCK_FIELDS[..], &["blockHash"]].concat())?;
    let block_hashes = field(fields, "blockHash", hash_map)?.unwrap_or_default();
    Ok(BlockOverrides { block_hashes, ..of_block(fields)? })
}

/// By numbers in decimal, as Go writes the keys of such a map, or in hex.
fn hash_map(value: &Value) -> Result<BTreeMap<u64, B256>, String> {
    let fields = object(value)?;
    if fields.len() > BLOCK_HASHES_MAX {
        return Err(format!("{} hashes, want at most {BLOCK_HASHES_MAX}", fields.len()));
    }
    let mut hashes = BTreeMap::new();
    for (key, value) in fields {
        let named = |reason: String| under(key, &reason);
        let number = key.parse::<u64>().or_else(|_| quantity_u64(&Value::from(key.as_str())));
        hashes.insert(number.map_err(named)?, hash(value).map_err(named)?);
    }
    Ok(hashes)
}

/// Fields of a block's overrides, under their names in the specification and in clients.
pub(crate) const BLOCK_FIELDS: [&str; 15] = [
    "number",
    "blockNumber",
    "time",
    "timestamp",
    "gasLimit",
    "feeRecipient",
    "coinbase",
    "prevRandao",
    "random",
    "baseFeePerGas",
    "baseFee",
    "blobBaseFee",
    "difficulty",
    "beaconRoot",
    "parentBeaconBlockRoot",
];

pub(crate) fn of_block(fields: &Map<String, Value>) -> Result<BlockOverrides, String> {
    Ok(BlockOverrides {
        number: either(fields, "number", "blockNumber", quantity_u64)?,
        time: either(fields, "time", "timestamp", quantity_u64)?,
        gas_limit: field(fields, "gasLimit", quantity_u64)?,
        fee_recipient: either(fields, "feeRecipient", "coinbase", address)?,
        prev_randao: either(fields, "prevRandao", "random", hash)?,
        base_fee: either(fields, "baseFeePerGas", "baseFee", quantity_u64)?,
        blob_base_fee: field(fields, "blobBaseFee", quantity_u128)?,
        difficulty: field(fields, "difficulty", quantity)?,
        beacon_root: either(fields, "beaconRoot", "parentBeaconBlockRoot", hash)?,
        block_hashes: BTreeMap::new(),
    })
}

/// A field that has two names.
fn either<T>(
    fields: &Map<String, Value>,
    name: &str,
    other: &str,
    decode: impl Fn(&Value) -> Result<T, String>,
) -> Result<Option<T>, String> {
    match (field(fields, name, &decode)?, field(fields, other, &decode)?) {
        (Some(_), Some(_)) => Err(format!("{name} and {other} are given")),
        (one, two) => Ok(one.or(two)),
    }
}

/// # Errors
/// If there is another field.
pub(crate) fn only(fields: &Map<String, Value>, known: &[&str]) -> Result<(), String> {
    match fields.keys().find(|name| !known.contains(&name.as_str())) {
        Some(name) => Err(format!("{name}: not supported")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fugue_chainspec::ChainConfig;
    use serde_json::json;

    const HERE: Address = Address::repeat_byte(1);

    fn read(value: &Value) -> Result<StateOverrides, String> {
        let limits =
            Limits { overridden_accounts_max: 2, overridden_slots_max: 3, ..Limits::default() };
        state_overrides(value, &limits)
    }

    #[test]
    fn accounts_and_slots_have_bounds() {
        let [one, two, three] = [1, 2, 3].map(|byte| Address::repeat_byte(byte).to_string());
        let (two_slots, one_slot) =
            (json!({ "0x1": "0x2", "0x2": "0x2" }), json!({ "0x7": "0x2" }));
        let most = json!({
            one.as_str(): { "state": two_slots.clone() }, two.as_str(): { "stateDiff": one_slot },
        });
        assert!(read(&most).is_ok());
        let slots = json!({
            one.as_str(): { "state": two_slots.clone() }, two.as_str(): { "state": two_slots },
        });
        let accounts = json!({ one.as_str(): {}, two.as_str(): {}, three.as_str(): {} });
        for (wrong, told) in
            [(slots, "state: more than 3 slots in all"), (accounts, "3 accounts, want at most 2")]
        {
            let found = read(&wrong).expect_err("refused");
            assert!(found.ends_with(told), "{found}");
        }
    }

    #[test]
    fn an_account_is_assumed_field_by_field() {
        let value = json!({ HERE.to_string(): {
            "balance": "0x5", "nonce": "0x1", "code": "0x60", "stateDiff": { "0x1": "0x2" },
        }});
        let overrides = read(&value).expect("well formed");
        let account = &overrides.accounts[&HERE];
        assert_eq!((account.balance, account.nonce), (Some(U256::from(5)), Some(1)));
        let slots = BTreeMap::from([(U256::from(1), U256::from(2))]);
        assert_eq!(account.storage, AssumedStorage::Some(slots));
        assert_eq!(overrides.precompiles(), [(HERE, None)]);
    }

    #[test]
    fn a_precompiled_contract_moves() {
        let identity = Address::with_last_byte(4);
        let moves = json!({ identity.to_string(): { "movePrecompileToAddress": HERE } });
        let overrides = read(&moves).expect("well formed");
        assert_eq!(overrides.precompiles(), [(identity, Some(HERE))]);
    }

    #[test]
    fn what_contradicts_itself_or_is_not_known_is_refused() {
        for (wrong, reason) in [
            (json!({ "0x12": {} }), "an address has 20 bytes"),
            (json!({ HERE.to_string(): { "state": {}, "stateDiff": {} } }), "are given"),
            (json!({ HERE.to_string(): { "bal": "0x1" } }), "bal: not supported"),
            (json!({ HERE.to_string(): { "state": { "0x1": "zz" } } }), ".state.0x1: hex "),
        ] {
            let found = read(&wrong).expect_err("refused");
            assert!(found.contains(reason), "{found}");
        }
    }

    #[test]
    fn a_block_is_assumed_field_by_field() {
        let value = json!({
            "number": "0x9", "time": "0x8", "gasLimit": "0x7", "coinbase": HERE,
            "random": B256::repeat_byte(6), "baseFee": "0x5", "blobBaseFee": "0x4",
        });
        let overrides = block_overrides(&value).expect("well formed");
        let spec = ChainSpec::at_fork(1, Fork::Shanghai);
        let (header, _) = overrides.applied(&spec, &Header::default());
        assert_eq!((header.number, header.timestamp, header.gas_limit), (9, 8, 7));
        assert_eq!((header.beneficiary, header.mix_hash), (HERE, B256::repeat_byte(6)));
        assert_eq!((header.base_fee_per_gas, overrides.blob_base_fee), (Some(5), Some(4)));
        assert!(block_overrides(&json!({ "coinbase": HERE, "feeRecipient": HERE })).is_err());
        assert!(block_overrides(&json!({ "hash": HERE })).is_err());
    }

    #[test]
    fn names_of_other_clients_say_the_same() {
        let word = B256::repeat_byte(6);
        let names = [
            ("number", "blockNumber", json!("0x9")),
            ("time", "timestamp", json!("0x8")),
            ("feeRecipient", "coinbase", json!(HERE)),
            ("prevRandao", "random", json!(word)),
            ("baseFeePerGas", "baseFee", json!("0x5")),
            ("beaconRoot", "parentBeaconBlockRoot", json!(word)),
        ];
        for (name, other, value) in names {
            let found = block_overrides(&json!({ name: value })).expect("well formed");
            assert_ne!(found, BlockOverrides::default(), "{name}");
            assert_eq!(block_overrides(&json!({ other: value })), Ok(found), "{other}");
            let both = block_overrides(&json!({ name: value, other: value }));
            assert_eq!(both, Err(format!("{name} and {other} are given")));
        }
    }

    #[test]
    fn hashes_are_assumed_by_number() {
        let word = B256::repeat_byte(6);
        let read = |hashes: Value| block_overrides(&json!({ "blockHash": hashes }));
        let found = read(json!({ "9": word, "0xa": word })).expect("well formed");
        assert_eq!(found.block_hashes, BTreeMap::from([(9, word), (10, word)]));
        let many: Map<String, Value> =
            (0..=BLOCK_HASHES_MAX).map(|number| (number.to_string(), json!(word))).collect();
        for (wrong, reason) in [
            (json!([]), "blockHash: an object"),
            (json!({ "-1": word }), "blockHash.-1: hex string without"),
            (json!({ "9": "0x1" }), "blockHash.9: a hash has 32 bytes"),
            (json!(many), "blockHash: 257 hashes, want at most 256"),
        ] {
            let found = read(wrong).expect_err("refused");
            assert!(found.starts_with(reason), "{found}");
        }
    }

    #[test]
    fn a_block_may_be_moved_over_a_fork() {
        let config = ChainConfig {
            london_block: Some(0),
            terminal_total_difficulty: Some(U256::from(1)),
            shanghai_time: Some(50),
            cancun_time: Some(100),
            ..ChainConfig::default()
        };
        let spec = ChainSpec::try_from(&config).expect("a good configuration");
        let header = Header { number: 5, timestamp: 10, ..Header::default() };
        let after = |overrides: BlockOverrides| {
            let (header, rules) = overrides.applied(&spec, &header);
            (rules.fork, header.excess_blob_gas)
        };
        assert_eq!(after(BlockOverrides::default()), (Fork::Paris, None));
        let later = BlockOverrides { time: Some(100), ..BlockOverrides::default() };
        assert_eq!(after(later), (Fork::Cancun, Some(0)));
        // Proof of work does not come back with its difficulty.
        let difficulty = Some(U256::from(7));
        let hard = BlockOverrides { difficulty, ..BlockOverrides::default() };
        assert_eq!(after(hard), (Fork::Paris, None));
    }
}

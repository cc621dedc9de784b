//! Where a chain begins: the genesis of each public chain, built in, and genesis files in geth's
//! format.
//!
//! A genesis file has a `config` (which forks switch when), the fields of the first header, and
//! the accounts before the first block (`alloc`). It does not have the state root: whoever keeps
//! the state computes that, and gets the header for it. For a public chain the hash of that header
//! is known, which vouches for the file and for the root.

mod file;

use alloy_consensus::constants::{
    EMPTY_WITHDRAWALS, HOLESKY_GENESIS_HASH, HOODI_GENESIS_HASH, MAINNET_GENESIS_HASH,
    SEPOLIA_GENESIS_HASH,
};
use alloy_eips::{eip1559::INITIAL_BASE_FEE, eip7685::EMPTY_REQUESTS_HASH};
use file::{GenesisFile, Number};
use fugue_chainspec::{ChainConfig, ChainSpec, ConfigError, Fork, Rules};
use fugue_state::MemoryState;
use fugue_types::{B256, Block, BlockBody, Header, SealedBlock, Withdrawals, b256};
use serde_json::Value;

/// Gas limit of a genesis that names zero (geth's rule).
const GAS_LIMIT_OF_ZERO: u64 = 4_712_388;
/// keccak256 of the RLP of an empty list. Source: EIP-7928.
const EMPTY_LIST_HASH: B256 =
    b256!("0x1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347");

/// A chain whose genesis is built in.
struct PublicChain {
    name: &'static str,
    chain_id: u64,
    genesis_hash: B256,
    /// Its genesis file, zstd-compressed; `etc/genesis` makes it.
    packed: &'static [u8],
}

static PUBLIC_CHAINS: [PublicChain; 4] = [
    PublicChain {
        name: "mainnet",
        chain_id: 1,
        genesis_hash: MAINNET_GENESIS_HASH,
        packed: include_bytes!("../genesis/mainnet.json.zst"),
    },
    PublicChain {
        name: "sepolia",
        chain_id: 11_155_111,
        genesis_hash: SEPOLIA_GENESIS_HASH,
        packed: include_bytes!("../genesis/sepolia.json.zst"),
    },
    PublicChain {
        name: "hoodi",
        chain_id: 560_048,
        genesis_hash: HOODI_GENESIS_HASH,
        packed: include_bytes!("../genesis/hoodi.json.zst"),
    },
    PublicChain {
        name: "holesky",
        chain_id: 17_000,
        genesis_hash: HOLESKY_GENESIS_HASH,
        packed: include_bytes!("../genesis/holesky.json.zst"),
    },
];

/// No chain begins with what was given.
#[derive(Debug, thiserror::Error)]
pub enum GenesisError {
    /// No public chain has this name.
    #[error(
        "no genesis is built in for \"{0}\", only for {known}",
        known = Genesis::NAMES.join(", ")
    )]
    Name(String),
    /// Not the JSON that is expected, at this place in it.
    #[error("{path}: {source}")]
    Json {
        /// Path of the field.
        path: String,
        /// What the parser says.
        source: serde_json::Error,
    },
    /// A field that no chain goes without.
    #[error("{0}: missing")]
    Missing(&'static str),
    /// The first block has another number than zero.
    #[error("number: {0}, but a chain begins with block 0")]
    Number(u64),
    /// A header field is given that the first header does not have.
    #[error("{field}: given, but {fork} does not hold at genesis")]
    Early {
        /// The field.
        field: &'static str,
        /// The fork that brings it.
        fork: Fork,
    },
    /// The configuration is no chain's.
    #[error("config: {0}")]
    Config(#[from] ConfigError),
    /// A built-in file does not decompress.
    #[error("the built-in genesis of {name} is damaged: {source}")]
    BuiltIn {
        /// The chain.
        name: &'static str,
        /// What zstd says.
        source: std::io::Error,
    },
}

/// Where a chain begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Genesis {
    /// The rules of the chain.
    pub chain: ChainSpec,
    /// The accounts before the first block. One that is listed exists, even if all of it is zero.
    pub state: MemoryState,
    /// The `config` of the file, as it stands there.
    pub config: Value,
    /// The name of a public chain whose built-in genesis this is.
    name: Option<&'static str>,
    /// The first header but for its state root.
    header: Header,
}

impl Genesis {
    /// The public chains whose genesis is built in.
    pub const NAMES: [&str; 4] = ["mainnet", "sepolia", "hoodi", "holesky"];

    /// A genesis of parts: `header` is the first header, whose state root is left to be computed.
    pub fn new(chain: ChainSpec, header: Header, state: MemoryState) -> Self {
        Self { chain, state, config: Value::Null, name: None, header }
    }

    /// The genesis of a public chain, with the rules that Fugue has for it.
    ///
    /// # Errors
    /// `Name` if no public chain is called so.
    pub fn named(name: &str) -> Result<Self, GenesisError> {
        let public = public_chain(name)?;
        let file = zstd::decode_all(public.packed)
            .map_err(|source| GenesisError::BuiltIn { name: public.name, source })?;
        let file = GenesisFile::parse(&file)?;
        let mut genesis = Self::begin(file, |_, _| rules_of(public))?;
        genesis.name = Some(public.name);
        Ok(genesis)
    }

    /// The genesis in a file of geth's format. Its chain is what `config` says, also where the
    /// chain id is a public chain's.
    ///
    /// # Errors
    /// [`GenesisError`], which names the field. As geth does, it insists on `config`, `gasLimit`,
    /// `difficulty`, `alloc`, and the `balance` of each account; also on `config.chainId`.
    /// `baseFeePerGas` and `excessBlobGas` are refused where the first header does not have them.
    pub fn from_json(json: &[u8]) -> Result<Self, GenesisError> {
        Self::begin(GenesisFile::parse(json)?, |config, header| {
            Ok(ChainSpec::of_genesis(&chain_config(config)?, header)?)
        })
    }

    /// Puts the first header together. Source: geth, `core/genesis.go`, the one definition of the
    /// format.
    fn begin(
        file: GenesisFile,
        chain: impl FnOnce(&Value, &Header) -> Result<ChainSpec, GenesisError>,
    ) -> Result<Self, GenesisError> {
        let GenesisFile {
            config,
            nonce,
            timestamp,
            extra_data,
            gas_limit,
            difficulty,
            mix_hash,
            coinbase,
            alloc,
            number,
            gas_used,
            parent_hash,
            base_fee_per_gas,
            excess_blob_gas,
            blob_gas_used,
            slot_number,
        } = file;
        let config = config.ok_or(GenesisError::Missing("config"))?;
        let Number(gas_limit) = gas_limit.ok_or(GenesisError::Missing("gasLimit"))?;
        let Number(difficulty) = difficulty.ok_or(GenesisError::Missing("difficulty"))?;
        let alloc = alloc.ok_or(GenesisError::Missing("alloc"))?;
        if let Some(Number(number)) = number
            && number != 0
        {
            return Err(GenesisError::Number(number));
        }
        let mut header = Header {
            parent_hash: parent_hash.unwrap_or_default(),
            beneficiary: coinbase.unwrap_or_default(),
            difficulty,
            gas_limit: if gas_limit == 0 { GAS_LIMIT_OF_ZERO } else { gas_limit },
            gas_used: or_zero(gas_used),
            timestamp: or_zero(timestamp),
            extra_data: extra_data.unwrap_or_default(),
            mix_hash: mix_hash.unwrap_or_default(),
            nonce: or_zero(nonce).to_be_bytes().into(),
            ..Header::default()
        };

        let chain = chain(&config, &header)?;
        let given = ForkFields { base_fee_per_gas, excess_blob_gas, blob_gas_used, slot_number };
        let rules = chain.rules(&header);
        given.complete(&mut header, &rules)?;
        Ok(Self { chain, state: alloc.into_state(), config, name: None, header })
    }

    /// The first header. `state_root` is the root of [`Genesis::state`].
    pub fn header(&self, state_root: B256) -> Header {
        Header { state_root, ..self.header.clone() }
    }

    /// The first block, which is empty. `state_root` is the root of [`Genesis::state`].
    pub fn block(&self, state_root: B256) -> SealedBlock {
        let header = self.header(state_root);
        let withdrawals = header.withdrawals_root.map(|_| Withdrawals::default());
        let body = BlockBody { withdrawals, ..BlockBody::default() };
        SealedBlock::seal(Block { header, body })
    }

    /// Whether a store that keeps this configuration has this chain's rules: a public chain's are
    /// told by its name, all others by what the configuration says, in whatever notation.
    pub fn has_config(&self, stored: &[u8]) -> bool {
        let kept: Option<Value> = serde_json::from_slice(stored).ok();
        let kept = kept.unwrap_or_default();
        match self.name {
            Some(name) => kept["name"] == *name,
            None if kept["name"].is_null() => {
                let chain = || Self::stored_chain(stored, &self.header);
                kept["config"] == self.config || chain().is_ok_and(|chain| chain == self.chain)
            }
            None => false,
        }
    }

    /// What the first block of a public chain hashes to; `None` for a genesis from a file. With
    /// any other hash, the state or its root is wrong.
    pub fn expected_hash(&self) -> Option<B256> {
        let name = self.name?;
        PUBLIC_CHAINS.iter().find(|public| public.name == name).map(|public| public.genesis_hash)
    }

    /// What a database keeps of the chain, for [`Genesis::stored_chain`]: `config`, and the name
    /// of a public chain.
    pub fn config_json(&self) -> Vec<u8> {
        serde_json::json!({ "name": self.name, "config": self.config }).to_string().into_bytes()
    }

    /// The chain of which a database kept [`Genesis::config_json`], and whose first header is
    /// `genesis`. A public chain has the rules of this program, which may know forks that were
    /// not scheduled when the database was made.
    ///
    /// # Errors
    /// [`GenesisError`] if `stored` is nothing that `config_json` gave, or names a chain or a fork
    /// that only another version of the program knows.
    pub fn stored_chain(stored: &[u8], genesis: &Header) -> Result<ChainSpec, GenesisError> {
        let stored: Value = serde_json::from_slice(stored)
            .map_err(|source| GenesisError::Json { path: "JSON".to_owned(), source })?;
        if let Some(name) = stored.get("name").and_then(Value::as_str) {
            return rules_of(public_chain(name)?);
        }
        let config = stored.get("config").ok_or(GenesisError::Missing("config"))?;
        Ok(ChainSpec::of_genesis(&chain_config(config)?, genesis)?)
    }
}

/// The header fields of forks that a file may give.
struct ForkFields {
    base_fee_per_gas: Option<Number<u64>>,
    excess_blob_gas: Option<Number<u64>>,
    blob_gas_used: Option<Number<u64>>,
    slot_number: Option<Number<u64>>,
}

impl ForkFields {
    /// Gives the header the fields that its rules demand, with what they are in an empty block
    /// where the file is silent. Before their forks, geth takes a base fee and excess blob gas into
    /// the header where others do not: nobody can tell which block is meant.
    fn complete(self, header: &mut Header, rules: &Rules) -> Result<(), GenesisError> {
        let Self { base_fee_per_gas, excess_blob_gas, blob_gas_used, slot_number } = self;
        if rules.has(Fork::London) {
            let base_fee = base_fee_per_gas.map_or(INITIAL_BASE_FEE, |Number(base_fee)| base_fee);
            header.base_fee_per_gas = Some(base_fee);
        } else if base_fee_per_gas.is_some() {
            return Err(GenesisError::Early { field: "baseFeePerGas", fork: Fork::London });
        }
        if rules.has(Fork::Shanghai) {
            header.withdrawals_root = Some(EMPTY_WITHDRAWALS);
        }
        if rules.has(Fork::Cancun) {
            header.blob_gas_used = Some(or_zero(blob_gas_used));
            header.excess_blob_gas = Some(or_zero(excess_blob_gas));
            header.parent_beacon_block_root = Some(B256::ZERO);
        } else if excess_blob_gas.is_some() {
            return Err(GenesisError::Early { field: "excessBlobGas", fork: Fork::Cancun });
        }
        if rules.has(Fork::Prague) {
            header.requests_hash = Some(EMPTY_REQUESTS_HASH);
        }
        if rules.has(Fork::Amsterdam) {
            header.block_access_list_hash = Some(EMPTY_LIST_HASH);
            header.slot_number = Some(or_zero(slot_number));
        }
        Ok(())
    }
}

fn public_chain(name: &str) -> Result<&'static PublicChain, GenesisError> {
    let public = PUBLIC_CHAINS.iter().find(|public| public.name == name);
    public.ok_or_else(|| GenesisError::Name(name.to_owned()))
}

fn rules_of(public: &PublicChain) -> Result<ChainSpec, GenesisError> {
    let chain = ChainSpec::by_chain_id(public.chain_id);
    chain.ok_or_else(|| GenesisError::Name(public.name.to_owned()))
}

/// The `config` of a file. Without a chain id it would be mainnet's.
fn chain_config(config: &Value) -> Result<ChainConfig, GenesisError> {
    if config.get("chainId").is_none_or(Value::is_null) {
        return Err(GenesisError::Missing("config.chainId"));
    }
    serde_path_to_error::deserialize(config).map_err(|error| {
        let path = match error.path().to_string() {
            path if path == "." => "config".to_owned(),
            path => format!("config.{path}"),
        };
        GenesisError::Json { path, source: error.into_inner() }
    })
}

fn or_zero(number: Option<Number<u64>>) -> u64 {
    number.map_or(0, |Number(number)| number)
}

#[cfg(test)]
mod tests;

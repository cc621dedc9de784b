//! State tests: one transaction on a small state, for each fork and variant.

pub(super) mod schema;

use super::{
    compared::{Compared, Differed, Subject},
    equal,
    ways::Manned,
};
use alloy_consensus::{TxLegacy, transaction::RlpEcdsaDecodableTx};
use alloy_eips::{Decodable2718, eip2718::Eip2718Error};
use fugue_chainspec::{BlobParams, ChainSpec, Fork, Rules};
use fugue_executor::{BlockError, BlockOutcome, Executor, Mode, PreparedBlock, Scope};
use fugue_state::{Account, MemoryState, SlotSet, StateError, StateView};
use fugue_types::{
    Address, B256, Block, BlockBody, Bytes, Header, Log, SealedBlock, Transaction, U256, keccak256,
};
use schema::Post;
pub(super) use schema::StateTest;
use serde_json::Value;

/// Chain id of the fixtures.
pub(super) const CHAIN_ID: u64 = 1;

impl StateTest {
    /// # Errors
    /// A message that names the field.
    pub(super) fn parse(test: Value) -> Result<Self, String> {
        serde_path_to_error::deserialize(test).map_err(|error| error.to_string())
    }

    /// Every variant of the test.
    pub(super) fn variants<'t>(
        &'t self,
        name: &'t str,
        only_fork: Option<&'t str>,
    ) -> impl Iterator<Item = Variant<'t>> {
        self.post
            .iter()
            .filter(move |(fork, _)| only_fork.is_none_or(|only| only.eq_ignore_ascii_case(fork)))
            .flat_map(move |(fork, posts)| {
                let variant = move |(index, post)| Variant { test: self, name, fork, index, post };
                posts.iter().enumerate().map(variant)
            })
    }
}

/// One transaction of a test at one fork.
#[derive(Clone)]
pub(super) struct Variant<'t> {
    test: &'t StateTest,
    name: &'t str,
    fork: &'t str,
    index: usize,
    post: &'t Post,
}

impl Variant<'_> {
    pub(super) fn name(&self) -> String {
        let Self { name, fork, index, .. } = self;
        format!("{name}[{fork}/{index}]")
    }

    pub(super) const fn fork(&self) -> &str {
        self.fork
    }

    /// # Errors
    /// What differs from the fixture.
    pub(super) fn run(&self, mode: Mode, executor: &Executor) -> Result<(), String> {
        run_one(self.test, self.fork, self.post, mode, executor)
    }

    /// Executes the transaction in these ways, and compares with its sequential run.
    ///
    /// # Errors
    /// The first way in which another outcome was found.
    pub(super) fn compare(&self, ways: &[Manned]) -> Result<Compared, Differed> {
        let mut counts = Compared::default();
        // A fork that is not known fails the test itself.
        let (Some(fork), Some((_, executor))) = (fork(self.fork), ways.first()) else {
            return Ok(counts);
        };
        let header = self.test.env.header();
        let rules = rules(self.test, fork, &header);
        let state = self.test.state();
        // What is refused here is refused before there is a mode.
        if let Ok(block) = prepare(self.test, self.post, &rules, header, executor) {
            let (block, rules, view) = (&block, &rules, &FixtureView(&state));
            let subject = Subject { block, rules, view, scope: Scope::Transactions };
            subject.compare(ways, &mut counts)?;
        }
        Ok(counts)
    }
}

/// The fork that the fixtures call by this name.
pub(super) fn fork(name: &str) -> Option<Fork> {
    Some(match name {
        "Frontier" => Fork::Frontier,
        "Homestead" => Fork::Homestead,
        "EIP150" => Fork::Tangerine,
        "EIP158" => Fork::SpuriousDragon,
        "Byzantium" => Fork::Byzantium,
        "Constantinople" => Fork::Constantinople,
        "ConstantinopleFix" => Fork::Petersburg,
        "Istanbul" => Fork::Istanbul,
        "Berlin" => Fork::Berlin,
        "London" => Fork::London,
        "ArrowGlacier" => Fork::ArrowGlacier,
        "GrayGlacier" => Fork::GrayGlacier,
        "Paris" | "Merge" => Fork::Paris,
        "Shanghai" => Fork::Shanghai,
        "Cancun" => Fork::Cancun,
        "Prague" => Fork::Prague,
        "Osaka" => Fork::Osaka,
        "BPO1" => Fork::Bpo1,
        "BPO2" => Fork::Bpo2,
        "BPO3" => Fork::Bpo3,
        "BPO4" => Fork::Bpo4,
        "BPO5" => Fork::Bpo5,
        "Amsterdam" => Fork::Amsterdam,
        _ => return None,
    })
}

fn run_one(
    test: &StateTest,
    fork_name: &str,
    post: &Post,
    mode: Mode,
    executor: &Executor,
) -> Result<(), String> {
    let fork = fork(fork_name).ok_or_else(|| format!("fork {fork_name} is not known"))?;
    let header = test.env.header();
    let rules = rules(test, fork, &header);
    let mut state = test.state();
    match execute(test, post, &rules, header, &state, mode, executor) {
        Ok(outcome) => {
            if let Some(expected) = &post.expect_exception {
                return Err(format!("expected {expected}, but the transaction ran"));
            }
            let logs: Vec<&Log> = outcome.results.iter().flat_map(|result| &result.logs).collect();
            equal("logs hash", post.logs, keccak256(alloy_rlp::encode(&logs)))?;
            state.apply(&outcome.diff).map_err(|error| error.to_string())?;
            equal("state root", post.hash, state.root())
        }
        Err(Refused { message, names }) => {
            let Some(expected) = &post.expect_exception else { return Err(message) };
            let is_expected = expected.split('|').any(|name| {
                let name = name.rsplit('.').next().unwrap_or(name);
                names.contains(&name)
            });
            if !is_expected {
                return Err(format!("expected {expected}, refused for another reason: {message}"));
            }
            let root = state.root();
            if root == post.hash || rules.has(Fork::SpuriousDragon) {
                return equal("state root", post.hash, root);
            }
            // Some fillers of these forks touch the fee recipient even so.
            state.accounts.entry(test.env.current_coinbase).or_default();
            equal("state root", post.hash, state.root())
        }
    }
}

/// A refused transaction, and the official names of the reason.
struct Refused {
    message: String,
    names: Vec<&'static str>,
}

impl From<BlockError> for Refused {
    fn from(error: BlockError) -> Self {
        let names = match &error {
            BlockError::Invalid(invalid) => invalid.names().to_vec(),
            BlockError::State(_) | BlockError::Internal(_) => Vec::new(),
        };
        Self { message: error.to_string(), names }
    }
}

fn rules(test: &StateTest, fork: Fork, header: &Header) -> Rules {
    let mut chain = ChainSpec::at_fork(CHAIN_ID, fork);
    for (name, entry) in test.config.iter().flat_map(|config| &config.blob_schedule) {
        if let Some(fork) = self::fork(name) {
            let base = if fork >= Fork::Osaka { BlobParams::osaka() } else { BlobParams::cancun() };
            let max_blobs_per_tx =
                if fork >= Fork::Osaka { base.max_blobs_per_tx } else { entry.max };
            let params = BlobParams {
                target_blob_count: entry.target,
                max_blob_count: entry.max,
                update_fraction: u128::from(entry.base_fee_update_fraction),
                max_blobs_per_tx,
                ..base
            };
            chain = chain.with_blob_params(fork, params);
        }
    }
    chain.rules(header)
}

fn execute(
    test: &StateTest,
    post: &Post,
    rules: &Rules,
    header: Header,
    state: &MemoryState,
    mode: Mode,
    executor: &Executor,
) -> Result<BlockOutcome, Refused> {
    let prepared = prepare(test, post, rules, header, executor)?;
    let view = FixtureView(state);
    let execution = executor.execute(mode, &prepared, rules, &view, Scope::Transactions)?;
    Ok(execution.outcome)
}

/// A block of the transaction alone.
fn prepare(
    test: &StateTest,
    post: &Post,
    rules: &Rules,
    header: Header,
    executor: &Executor,
) -> Result<PreparedBlock, Refused> {
    let sender = test.transaction.sender;
    let (tx, is_signed) = match &post.txbytes {
        Some(bytes) => (decode(bytes)?, true),
        None => (test.transaction.unsigned(post).map_err(other)?, false),
    };
    let block = Block {
        header,
        body: BlockBody { transactions: vec![tx], ommers: Vec::new(), withdrawals: None },
    };
    // A fixture's environment is no real header: there is nothing to judge.
    let checked = SealedBlock::seal(block)
        .check(|_| Ok::<_, std::convert::Infallible>(()))
        .map_err(|refused| -> Refused { match refused.1 {} })?;
    let prepared: PreparedBlock = if is_signed {
        executor.prepare(checked, rules)?
    } else {
        let recovered = checked.recover(|_| Ok::<_, BlockError>(vec![sender]))?;
        executor.prepare_recovered(recovered)?
    };
    if prepared.senders() != [sender] {
        return Err(other(format!("sender: expected {sender}, found {:?}", prepared.senders())));
    }
    Ok(prepared)
}

fn other(message: String) -> Refused {
    Refused { message, names: Vec::new() }
}

/// Decodes the transaction as it came; why it does not decode has official names too.
fn decode(bytes: &Bytes) -> Result<Transaction, Refused> {
    /// From this byte on a transaction is an RLP list: of type 0. Source: EIP-2718.
    const LIST: u8 = 0xc0;
    let decoded = match bytes.first() {
        Some(&first) if first >= LIST => {
            let mut rest = &bytes[..];
            match TxLegacy::rlp_decode_signed(&mut rest) {
                Ok(_) if !rest.is_empty() => Err(alloy_rlp::Error::UnexpectedLength.into()),
                decoded => decoded.map(Transaction::Legacy).map_err(Eip2718Error::from),
            }
        }
        _ => Transaction::decode_2718_exact(bytes),
    };
    decoded.map_err(|error| {
        let is_overflow = matches!(error, Eip2718Error::RlpError(alloy_rlp::Error::Overflow));
        let names = match (bytes.first(), is_overflow) {
            // A number that does not fit: value, or a price that nobody can pay.
            (_, true) => vec![
                "RLP_INVALID_VALUE",
                "TR_RLP_WRONGVALUE",
                "GASLIMIT_PRICE_PRODUCT_OVERFLOW",
                "TR_NoFundsX",
            ],
            // These types have no form without a recipient.
            (Some(3), false) => vec!["TYPE_3_TX_CONTRACT_CREATION", "TR_BLOBCREATE"],
            (Some(4), false) => vec!["TYPE_4_TX_CONTRACT_CREATION"],
            _ => Vec::new(),
        };
        Refused { message: format!("transaction: {error}"), names }
    })
}

/// The fixture's state; the hash of an ancestor is, by convention, that of its number in decimal.
struct FixtureView<'s>(&'s MemoryState);

impl StateView for FixtureView<'_> {
    fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        self.0.account(address)
    }

    fn slot(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        self.0.slot(address, slot)
    }

    fn has_storage_beside(&self, address: Address, emptied: &SlotSet) -> Result<bool, StateError> {
        self.0.has_storage_beside(address, emptied)
    }

    fn code(&self, code_hash: B256) -> Result<Bytes, StateError> {
        self.0.code(code_hash)
    }

    fn block_hash(&self, number: u64) -> Result<B256, StateError> {
        Ok(keccak256(number.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spectest::ways::{Executors, Way};
    use serde_json::json;

    #[test]
    fn a_transaction_is_compared_in_every_way_on_every_fork() {
        let (sender, recipient) = (Address::repeat_byte(1), Address::repeat_byte(2));
        let post = json!([{
            "indexes": { "data": 0, "gas": 0, "value": 0 },
            "hash": B256::ZERO,
            "logs": B256::ZERO,
        }]);
        let test = json!({
            "env": {
                "currentCoinbase": Address::repeat_byte(3),
                "currentDifficulty": "0x00",
                "currentGasLimit": "0x01c9c380",
                "currentNumber": "0x01",
                "currentTimestamp": "0x03e8",
                "currentBaseFee": "0x07",
                "currentRandom": "0x00",
            },
            "pre": {
                sender.to_string(): {
                    "balance": "0x0f4240", "nonce": "0x00", "code": "0x", "storage": {},
                },
            },
            "transaction": {
                "data": ["0x"],
                "gasLimit": ["0x5208"],
                "gasPrice": "0x0a",
                "nonce": "0x00",
                "to": recipient.to_string(),
                "value": ["0x01"],
                "sender": sender,
            },
            "post": { "Frontier": post.clone(), "Berlin": post.clone(), "Shanghai": post },
        });
        let test = StateTest::parse(test).unwrap();
        let ways: Vec<Way> = [Mode::Occ, Mode::Lanes, Mode::Auto]
            .into_iter()
            .flat_map(|mode| [1, 2].map(|threads| Way { mode, threads }))
            .collect();
        let manned = Executors::default().of(&ways).unwrap();
        let variants: Vec<_> = test.variants("f.json::t", None).collect();
        assert_eq!(variants.len(), 3);
        for variant in variants {
            let (name, compared) = (variant.name(), variant.compare(&manned).unwrap());
            assert_eq!(compared, Compared { runs: ways.len(), fallbacks: 0 }, "{name}");
            // The root of the fixture is not that of any state.
            let run = variant.run(Mode::Seq, &manned[0].1);
            assert!(run.unwrap_err().contains("hash"), "{name}");
        }
    }
}

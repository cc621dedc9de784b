//! A chain of its own, without a consensus client: ten accounts with funds, and blocks when there
//! is something to include, or by the clock.
//!
//! The thread `fugue-dev` plays the consensus client: it asks the engine to build on the head, and
//! hands it back what it built, as any payload. Nothing in the engine knows of it.

use crate::UsageError;
use fugue_chain::{
    BuildAttributes, Engine, EngineError, Forkchoice, ForkchoiceVerdict, Genesis, Head,
    PayloadVerdict, Reply,
};
use fugue_chainspec::Fork;
use fugue_state::MemoryState;
use fugue_txpool::{Observer, PooledTx};
use fugue_types::{Address, B256, Header, U256, keccak256};
use fugue_workload::place_system_contracts;
use serde_json::{Map, Value, json};
use std::{
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// EIP-155 chain id of the dev chain.
pub(crate) const CHAIN_ID: u64 = 1_337;
/// Balance of each account at genesis, in ether.
const FUNDS: u64 = 10_000;
/// One ether in wei.
const ETHER: u128 = 1_000_000_000_000_000_000;
/// Gas limit of the genesis.
const GAS_LIMIT: u64 = 60_000_000;
/// Blocks from the head down to the safe and to the finalized one, as on a healthy public chain.
const SAFE_DEPTH: u64 = 32;
const FINALIZED_DEPTH: u64 = 64;
/// Longest that the engine may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// Longest wait before it is looked whether there is anything to include, if nobody tells.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Secret keys of the accounts: those of the mnemonic `test test test test test test test test test
/// test test junk`, which wallets and tools for development use as well. Everybody knows them.
pub(crate) const KEYS: [&str; 10] = [
    "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
    "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
    "5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
    "7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6",
    "47e179ec197488593b187f80a00eb0da91f1b9d0b13f8733639f19c30a34926a",
    "8b3a350cf5c34c9194ca85829a2df0ec3153be0318b5e2d3348e872092edffba",
    "92db14e403b83dfe3df233f83dfa3a0d7096f21ca9b0d6d6b8d88b2b4ec1564e",
    "4bbbf85ce3377467afe5d46f804f221813b2bb87f24d81f60f1fcdbf7cbf4356",
    "dbda1821b80551c9d65939329250298aa3472ba22feea921c0cf5d620ea67b97",
    "2a871d0798f97d79848a013d4936a73bf4cc922c825d33c1cf7073dff6d409c6",
];

/// Addresses of the accounts, in the order of [`KEYS`].
pub(crate) const ACCOUNTS: [&str; 10] = [
    "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266",
    "0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
    "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC",
    "0x90F79bf6EB2c4f870365E785982E1f101E93b906",
    "0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65",
    "0x9965507D1a55bcC2695C58ba16FB37d819B0A4dc",
    "0x976EA74026E726554dB657fA54763abd0C3a0aa9",
    "0x14dC79964da2C08b23698B3D3cc7Ca32193d9955",
    "0x23618e81E3f5cdF7f54C3d65f7FBc0aBf5B21E8f",
    "0xa0Ee7A142d267C1f36714E4a8F75612F20a79720",
];

/// The genesis of the dev chain: every fork up to the newest one of mainnet, from the start.
///
/// # Errors
/// [`UsageError`] if the genesis that is made here does not read: a defect of ours.
pub(crate) fn genesis() -> Result<Genesis, UsageError> {
    let mut alloc = Map::new();
    for address in ACCOUNTS {
        let balance = U256::from(FUNDS) * U256::from(ETHER);
        alloc.insert(address.to_owned(), json!({ "balance": balance }));
    }
    let mut contracts = MemoryState::default();
    place_system_contracts(Fork::Osaka, &mut contracts);
    for (address, found) in &contracts.accounts {
        let code = contracts.codes.get(&found.account.code_hash).cloned().unwrap_or_default();
        let account = json!({ "balance": "0x0", "nonce": "0x1", "code": code });
        alloc.insert(address.to_string(), account);
    }
    let mut config = Map::new();
    config.insert("chainId".to_owned(), CHAIN_ID.into());
    for block in [
        "homestead",
        "eip150",
        "eip155",
        "eip158",
        "byzantium",
        "constantinople",
        "petersburg",
        "istanbul",
        "berlin",
        "london",
    ] {
        config.insert(format!("{block}Block"), 0.into());
    }
    config.insert("terminalTotalDifficulty".to_owned(), 0.into());
    for time in ["shanghai", "cancun", "prague", "osaka", "bpo1", "bpo2"] {
        config.insert(format!("{time}Time"), 0.into());
    }
    let schedule = json!({
        "cancun": blobs(3, 6, 3_338_477), "prague": blobs(6, 9, 5_007_716),
        "osaka": blobs(6, 9, 5_007_716), "bpo1": blobs(10, 15, 8_346_193),
        "bpo2": blobs(14, 21, 11_684_671),
    });
    config.insert("blobSchedule".to_owned(), schedule);
    let genesis = json!({
        "config": config, "alloc": alloc, "gasLimit": format!("{GAS_LIMIT:#x}"),
        "difficulty": "0x0", "timestamp": "0x0", "extraData": "0x",
        "baseFeePerGas": "0x3b9aca00",
    });
    let json = genesis.to_string();
    Genesis::from_json(json.as_bytes())
        .map_err(|error| UsageError(format!("the genesis of the dev chain: {error}")))
}

fn blobs(target: u64, max: u64, update_fraction: u64) -> Value {
    json!({ "target": target, "max": max, "baseFeeUpdateFraction": update_fraction })
}

/// The thread that makes blocks.
pub(crate) struct Miner {
    thread: JoinHandle<()>,
    /// Dropped with the observer, it ends the thread.
    wake: SyncSender<()>,
    /// Wakes the thread when the pool has something to include.
    observer: Arc<Observer>,
}

impl Miner {
    /// Starts making blocks: every `block_time`, or where that is `None`, when the pool has a
    /// transaction that can be included.
    ///
    /// # Errors
    /// If there is no thread to be had.
    pub(crate) fn start(engine: Engine, block_time: Option<Duration>) -> Result<Self, UsageError> {
        let (wake, woken) = sync_channel(1);
        let told = wake.clone();
        // A full channel already wakes the thread.
        let observer: Arc<Observer> = Arc::new(move |_: &Arc<PooledTx>| {
            let _ = told.try_send(());
        });
        engine.pool().on_pending(&observer);
        let run = move || run(&engine, block_time, &woken);
        let thread = std::thread::Builder::new().name("fugue-dev".to_owned()).spawn(run);
        let thread = thread.map_err(|error| UsageError(format!("the dev chain: {error}")))?;
        Ok(Self { thread, wake, observer })
    }

    /// Ends the thread; a block that is being made is made to its end. The engine must be running.
    pub(crate) fn stop(self) {
        let Self { thread, wake, observer } = self;
        drop((wake, observer));
        let _ = thread.join();
    }
}

fn run(engine: &Engine, block_time: Option<Duration>, woken: &Receiver<()>) {
    let mut next = block_time.map(|time| Instant::now() + time);
    loop {
        let wait = next.map_or(LOOK_EVERY, |next| next.saturating_duration_since(Instant::now()));
        if let Err(RecvTimeoutError::Disconnected) = woken.recv_timeout(wait) {
            return;
        }
        match (block_time, &mut next) {
            (Some(time), Some(at)) => {
                if Instant::now() < *at {
                    continue;
                }
                *at += time;
                // After a pause, by a debugger or a sleeping machine, blocks are not made up for.
                *at = (*at).max(Instant::now());
                report(make_block(engine));
            }
            _ => {
                while has_candidates(engine) {
                    let made = make_block(engine);
                    let is_full = matches!(&made, Ok(made) if made.tx_count > 0);
                    report(made);
                    if !is_full {
                        break;
                    }
                }
            }
        }
    }
}

fn has_candidates(engine: &Engine) -> bool {
    let head = engine.pool().head();
    engine.pool().best(head.base_fee, head.blob_base_fee).next().is_some()
}

/// A block of the dev chain.
#[derive(Debug)]
struct Made {
    head: Head,
    tx_count: usize,
    gas_used: u64,
}

fn report(made: Result<Made, String>) {
    match made {
        Ok(Made { head, tx_count, gas_used }) => tracing::info!(
            target: "fugue::dev", number = head.number, hash = %head.hash, txs = tx_count, gas_used,
            "block"
        ),
        Err(error) => tracing::error!(target: "fugue::dev", %error, "no block"),
    }
}

/// Builds on the head, imports what was built, and follows it.
fn make_block(engine: &Engine) -> Result<Made, String> {
    let view = engine.view();
    let head = view.head();
    let (_, parent) = view.header(head.number).map_err(text)?.ok_or("the head has no header")?;
    let attributes = attributes(&parent, head.hash);
    let below = |depth: u64| {
        let number = head.number.saturating_sub(depth);
        Ok::<_, String>(view.header(number).map_err(text)?.map_or(B256::ZERO, |(hash, _)| hash))
    };
    let mut state = Forkchoice {
        head: head.hash,
        safe: below(SAFE_DEPTH)?,
        finalized: below(FINALIZED_DEPTH)?,
    };
    let asked = |reply| engine.forkchoice(state, Some(Ok(attributes)), reply);
    let id = match answer(asked)? {
        ForkchoiceVerdict::Valid(Some(id)) => id,
        other => return Err(format!("the head is not built on: {other:?}")),
    };
    let built = answer(|reply| engine.payload(id, reply))?;
    let block = built.block.clone();
    let made = Made {
        head: Head { number: block.block().header.number, hash: block.hash() },
        tx_count: block.block().body.transactions.len(),
        gas_used: block.block().header.gas_used,
    };
    match answer(|reply| engine.new_payload(block, Duration::ZERO, reply))? {
        PayloadVerdict::Valid => {}
        other => return Err(format!("what was built is not valid: {other:?}")),
    }
    state.head = made.head.hash;
    match answer(|reply| engine.forkchoice(state, None, reply))? {
        ForkchoiceVerdict::Valid(_) => Ok(made),
        other => Err(format!("what was built is not followed: {other:?}")),
    }
}

#[expect(clippy::disallowed_methods, reason = "the dev chain is its own consensus layer")]
fn attributes(parent: &Header, hash: B256) -> BuildAttributes {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    BuildAttributes {
        timestamp: now.max(parent.timestamp.saturating_add(1)),
        // As good as random for a chain whose keys everybody knows, and the same in every run.
        prev_randao: keccak256(hash),
        fee_recipient: Address::ZERO,
        withdrawals: Some(Vec::new()),
        parent_beacon_block_root: Some(B256::ZERO),
        slot_number: None,
        target_gas_limit: None,
    }
}

/// Waits for the answer to a call.
fn answer<T: Send + 'static>(
    call: impl FnOnce(Reply<Result<T, EngineError>>),
) -> Result<T, String> {
    let (sender, receiver) = sync_channel(1);
    // If nobody waits any more, there is nobody to tell.
    call(Box::new(move |answer| drop(sender.send(answer))));
    receiver.recv_timeout(ANSWER_MAX).map_err(|_| "no answer".to_owned())?.map_err(text)
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_genesis_reads_and_has_the_ten_accounts() {
        let genesis = genesis().unwrap_or_else(|UsageError(error)| panic!("{error}"));
        assert_eq!(genesis.chain.chain_id(), CHAIN_ID);
        assert_eq!(genesis.chain.rules_at(1, 1).fork, Fork::Bpo2);
        for address in ACCOUNTS {
            let address: Address = address.parse().expect("an address");
            let account = &genesis.state.accounts[&address].account;
            assert_eq!(account.balance, U256::from(FUNDS) * U256::from(ETHER));
        }
    }

    #[test]
    fn addresses_are_those_of_the_keys() {
        for (key, address) in KEYS.iter().zip(ACCOUNTS) {
            let key: B256 = key.parse().expect("32 bytes");
            let wallet = fugue_workload::Wallet::from_key(key).expect("a key");
            assert_eq!(wallet.address().to_checksum(None), address);
        }
    }
}

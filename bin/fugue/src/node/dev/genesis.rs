//! How the dev chain begins: its genesis, and ten accounts with funds, whose keys everybody knows.

use crate::UsageError;
use fugue_chain::Genesis;
use fugue_chainspec::Fork;
use fugue_state::MemoryState;
use fugue_types::U256;
use fugue_workload::place_system_contracts;
use serde_json::{Map, Value, json};

/// EIP-155 chain id of the dev chain, where no other is named.
pub(super) const CHAIN_ID: u64 = 1_337;
/// Balance of each account at genesis, in ether.
const FUNDS: u64 = 10_000;
/// One ether in wei.
const ETHER: u128 = 1_000_000_000_000_000_000;
/// Gas limit of the genesis.
const GAS_LIMIT: u64 = 60_000_000;
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
pub(crate) fn genesis(chain_id: Option<u64>) -> Result<Genesis, UsageError> {
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
    config.insert("chainId".to_owned(), chain_id.unwrap_or(CHAIN_ID).into());
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

#[cfg(test)]
mod tests {
    use super::*;
    use fugue_types::{Address, B256};

    #[test]
    fn the_genesis_reads_and_has_the_ten_accounts() {
        let genesis = genesis(None).unwrap_or_else(|UsageError(error)| panic!("{error}"));
        assert_eq!(genesis.chain.chain_id(), CHAIN_ID);
        assert_eq!(genesis.chain.rules_at(1, 1).fork, Fork::Bpo2);
        for address in ACCOUNTS {
            let address: Address = address.parse().expect("an address");
            let account = &genesis.state.accounts[&address].account;
            assert_eq!(account.balance, U256::from(FUNDS) * U256::from(ETHER));
        }
    }

    #[test]
    fn the_genesis_has_the_chain_id_that_is_named() {
        let genesis = genesis(Some(31_337)).unwrap_or_else(|UsageError(error)| panic!("{error}"));
        assert_eq!(genesis.chain.chain_id(), 31_337);
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

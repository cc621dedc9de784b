//! Headers for the tests of this crate.

use crate::child_difficulty;
use fugue_chainspec::{ChainSpec, Fork, Rules};
use fugue_types::{B256, Header, U256};

/// What a test does to a valid header.
pub(crate) type Change = fn(&mut Header);

/// The forks that change what a header holds or how it follows from its parent.
pub(crate) const FORKS: [Fork; 12] = [
    Fork::Frontier,
    Fork::Homestead,
    Fork::Byzantium,
    Fork::Petersburg,
    Fork::Berlin,
    Fork::London,
    Fork::Paris,
    Fork::Shanghai,
    Fork::Cancun,
    Fork::Prague,
    Fork::Osaka,
    Fork::Amsterdam,
];

/// The rules of a block with this header where `fork` holds from genesis on.
pub(crate) fn rules(fork: Fork, header: &Header) -> Rules {
    ChainSpec::at_fork(1, fork).rules(header)
}

/// A valid header with the fields of `fork`, half of its gas used.
pub(crate) fn header(fork: Fork) -> Header {
    let since = |first: Fork| fork >= first;
    Header {
        number: 100,
        timestamp: 1_000,
        gas_limit: 30_000_000,
        gas_used: 15_000_000,
        difficulty: U256::from(if since(Fork::Paris) { 0 } else { 0x2_0000 }),
        base_fee_per_gas: since(Fork::London).then_some(1_000_000_000),
        withdrawals_root: since(Fork::Shanghai).then(|| Header::default().transactions_root),
        blob_gas_used: since(Fork::Cancun).then_some(0),
        excess_blob_gas: since(Fork::Cancun).then_some(0),
        parent_beacon_block_root: since(Fork::Cancun).then_some(B256::ZERO),
        requests_hash: since(Fork::Prague).then_some(B256::ZERO),
        block_access_list_hash: since(Fork::Amsterdam).then_some(B256::ZERO),
        slot_number: since(Fork::Amsterdam).then_some(0),
        ..Header::default()
    }
}

/// A valid child of `parent`, which must have used half of its gas and no blobs, 12 seconds later.
pub(crate) fn child(fork: Fork, parent: &Header) -> Header {
    let mut child = Header {
        parent_hash: parent.hash_slow(),
        number: parent.number + 1,
        timestamp: parent.timestamp + 12,
        ..parent.clone()
    };
    if fork < Fork::Paris {
        child.difficulty = child_difficulty(&rules(fork, &child), child.timestamp, parent);
    }
    child
}

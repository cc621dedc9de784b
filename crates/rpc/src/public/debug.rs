//! The `debug` namespace: what the chain has in its own encoding, and what the node knows besides.

mod accounts;
mod chain;
mod foreign;
mod head;
mod raw;
mod roots;
mod storage;
pub(super) mod trace;
mod witness;

use crate::public::{
    Class, Table,
    eth::{access_lists, transactions},
};

/// `admin_clearTxpool` is the same.
pub(super) use chain::clear_txpool;

/// The methods of this namespace.
pub(super) const METHODS: Table = &[
    ("debug_accountAt", Class::Executing, accounts::at),
    ("debug_accountInfoAt", Class::Executing, accounts::info_at),
    ("debug_accountRange", Class::Searching, accounts::range),
    ("debug_chainConfig", Class::Immediate, chain::config),
    ("debug_clearTxpool", Class::Reading, chain::clear_txpool),
    ("debug_codeByHash", Class::Reading, chain::code_by_hash),
    ("debug_dbGet", Class::Reading, chain::db_get),
    ("debug_executionWitness", Class::Executing, witness::execution_witness),
    ("debug_executionWitnessByBlockHash", Class::Executing, witness::execution_witness_by_hash),
    ("debug_getBadBlocks", Class::Reading, chain::bad_blocks),
    ("debug_getModifiedAccountsByHash", Class::Searching, accounts::modified_by_hash),
    ("debug_getModifiedAccountsByNumber", Class::Searching, accounts::modified_by_number),
    ("debug_getRawBlock", Class::Reading, raw::block),
    ("debug_getRawBlockAccessList", Class::Reading, access_lists::raw),
    ("debug_getRawHeader", Class::Reading, raw::header),
    ("debug_getRawReceipts", Class::Reading, raw::receipts),
    ("debug_getRawTransaction", Class::Reading, transactions::raw_by_hash),
    ("debug_getRawTransactions", Class::Reading, raw::transactions),
    ("debug_intermediateRoots", Class::Tracing, roots::intermediate),
    ("debug_preimage", Class::Reading, accounts::preimage),
    ("debug_setHead", Class::Executing, head::set),
    ("debug_storageRangeAt", Class::Tracing, storage::range_at),
];

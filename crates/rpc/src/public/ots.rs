//! The `ots` namespace, which the explorer Otterscan asks for. One of its methods has the name that
//! it has in Erigon: by it Otterscan sees at its start whether a node is one that it can ask.

mod blocks;
mod pages;
mod search;
mod transactions;

use crate::public::{
    Answer, Class, Context, Table,
    args::{Args, address},
    block_ref::block_ref,
    json,
    made::{count_or_tag, made},
};

/// The methods of this namespace.
pub(super) const METHODS: Table = &[
    ("erigon_getHeaderByNumber", Class::Reading, blocks::header),
    ("ots_getApiLevel", Class::Immediate, api_level),
    ("ots_getBlockDetails", Class::Reading, blocks::details_by_number),
    ("ots_getBlockDetailsByHash", Class::Reading, blocks::details_by_hash),
    ("ots_getBlockTransactions", Class::Reading, blocks::transactions),
    ("ots_getContractCreator", Class::Tracing, search::contract_creator),
    ("ots_getHeaderByNumber", Class::Reading, blocks::header),
    ("ots_getInternalOperations", Class::Tracing, transactions::internal_operations),
    ("ots_getTransactionBySenderAndNonce", Class::Reading, search::by_sender_and_nonce),
    ("ots_getTransactionError", Class::Tracing, transactions::error_of),
    ("ots_hasCode", Class::Reading, has_code),
    ("ots_searchTransactionsAfter", Class::Tracing, pages::after),
    ("ots_searchTransactionsBefore", Class::Tracing, pages::before),
    ("ots_traceTransaction", Class::Tracing, transactions::calls),
];

/// The version of these methods. Source: Otterscan, "Custom JSON-RPC API".
const API_LEVEL: u64 = 8;

/// `ots_getApiLevel`.
fn api_level(_: &Context, args: Args) -> Answer {
    args.end()?;
    json(&API_LEVEL)
}

/// `ots_hasCode`.
fn has_code(context: &Context, mut args: Args) -> Answer {
    let address = args.required("address", address)?;
    let block =
        args.optional("block", |value| count_or_tag(value).or_else(|_| block_ref(value)))?;
    args.end()?;
    let block = made(block.unwrap_or_default())?;
    let account = context.with_state(&block, |state| state.account(address))?;
    json(&account.is_some_and(|account| account.has_code()))
}

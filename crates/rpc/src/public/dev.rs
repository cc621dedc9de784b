//! What tools call on a chain for development: accounts that the node signs for, blocks and time
//! at their wish, changes of the state, and the way back.
//!
//! There are several dialects of this, which differ in names and answers. Where a method has two
//! names, `hardhat_` answers with true and `anvil_` with null, as their clients want it; numbers
//! are taken as JSON has them, in hex, or in decimal.

mod blocks;
mod detailed;
mod edits;
mod node;
mod signing;
mod transact;
pub(crate) mod typed_data;

pub(crate) use transact::submit;

use crate::{
    dev::{DevChain, DevError},
    public::{
        Answer, Class, Context, Table, error,
        eth::{self, transactions},
        json,
    },
};
use fugue_chain::{ChainView, DevBlock};
use fugue_types::U256;
use jsonrpsee::types::ErrorObjectOwned;
use serde_json::Value;
use std::sync::{Arc, Mutex};

/// The maker of the blocks, and whose turn it is to have a nonce.
#[derive(Clone)]
pub(crate) struct Dev {
    pub(crate) chain: Arc<dyn DevChain>,
    sending: Arc<Mutex<()>>,
}

impl Dev {
    pub(crate) fn new(chain: Arc<dyn DevChain>) -> Self {
        Self { chain, sending: Arc::default() }
    }
}

/// The methods that a chain for development has beside all others, or in place of those with the
/// same name. What makes blocks or waits for who does is [`Class::Changing`].
pub(super) const METHODS: Table = &[
    ("anvil_addBalance", Class::Changing, |c, a| null(edits::add_balance(c, a))),
    ("anvil_autoImpersonateAccount", Class::Reading, |c, a| null(node::impersonate_all(c, a))),
    ("anvil_dropAllTransactions", Class::Reading, |c, a| null(node::drop_all(c, a))),
    ("anvil_dropTransaction", Class::Reading, node::drop_one),
    ("anvil_getAutomine", Class::Reading, node::automine),
    ("anvil_getIntervalMining", Class::Reading, node::interval_mining),
    ("anvil_impersonateAccount", Class::Reading, |c, a| null(node::impersonate(c, a))),
    ("anvil_increaseTime", Class::Changing, blocks::increase_time),
    ("anvil_metadata", Class::Changing, node::metadata_with_snapshots),
    ("anvil_mine", Class::Changing, |c, a| null(blocks::mine_blocks(c, a))),
    ("anvil_mine_detailed", Class::Changing, blocks::mine_detailed),
    ("anvil_nodeInfo", Class::Reading, node::info),
    ("anvil_removeBlockTimestampInterval", Class::Changing, blocks::remove_timestamp_interval),
    ("anvil_removePoolTransactions", Class::Reading, |c, a| null(node::drop_all_of(c, a))),
    ("anvil_reset", Class::Changing, |c, a| null(blocks::reset(c, a))),
    ("anvil_revert", Class::Changing, blocks::revert),
    ("anvil_rollback", Class::Changing, |c, a| null(blocks::rollback(c, a))),
    ("anvil_setAutomine", Class::Changing, |c, a| null(blocks::set_automine(c, a))),
    ("anvil_setBalance", Class::Changing, |c, a| null(edits::set_balance(c, a))),
    ("anvil_setBlockGasLimit", Class::Changing, |c, a| truth(blocks::set_gas_limit(c, a))),
    ("anvil_setBlockTimestampInterval", Class::Changing, |c, a| {
        null(blocks::set_timestamp_interval(c, a))
    }),
    ("anvil_setCode", Class::Changing, |c, a| null(edits::set_code(c, a))),
    ("anvil_setCoinbase", Class::Changing, |c, a| null(blocks::set_coinbase(c, a))),
    ("anvil_setIntervalMining", Class::Changing, |c, a| null(blocks::set_interval_seconds(c, a))),
    ("anvil_setLoggingEnabled", Class::Changing, |c, a| null(blocks::set_logging(c, a))),
    ("anvil_setNextBlockBaseFeePerGas", Class::Changing, |c, a| null(blocks::set_base_fee(c, a))),
    ("anvil_setNextBlockTimestamp", Class::Changing, |c, a| null(blocks::set_timestamp(c, a))),
    ("anvil_setNonce", Class::Changing, |c, a| null(edits::set_nonce(c, a))),
    ("anvil_setPrevRandao", Class::Changing, |c, a| null(blocks::set_randao(c, a))),
    ("anvil_setStorageAt", Class::Changing, |c, a| truth(edits::set_storage(c, a))),
    ("anvil_setTime", Class::Changing, blocks::set_time),
    ("anvil_snapshot", Class::Changing, blocks::snapshot),
    ("anvil_stopImpersonatingAccount", Class::Reading, |c, a| null(node::stop_impersonating(c, a))),
    ("debug_setHead", Class::Changing, |c, a| null(blocks::set_head(c, a))),
    ("eth_coinbase", Class::Reading, node::coinbase),
    ("eth_requestAccounts", Class::Reading, eth::node::accounts),
    ("eth_sendRawTransaction", Class::Changing, transactions::send_raw),
    ("eth_sendTransaction", Class::Changing, transact::send),
    ("eth_sendUnsignedTransaction", Class::Changing, transact::send_unsigned),
    ("eth_sign", Class::Reading, signing::sign),
    ("eth_signTransaction", Class::Executing, transact::sign),
    ("eth_signTypedData", Class::Reading, signing::sign_typed_data),
    ("eth_signTypedData_v3", Class::Reading, signing::sign_typed_data),
    ("eth_signTypedData_v4", Class::Reading, signing::sign_typed_data),
    ("evm_increaseTime", Class::Changing, blocks::increase_time),
    ("evm_mine", Class::Changing, blocks::mine),
    ("evm_mine_detailed", Class::Changing, blocks::mine_detailed),
    ("evm_revert", Class::Changing, blocks::revert),
    ("evm_setAutomine", Class::Changing, |c, a| truth(blocks::set_automine(c, a))),
    ("evm_setBlockGasLimit", Class::Changing, |c, a| truth(blocks::set_gas_limit(c, a))),
    ("evm_setIntervalMining", Class::Changing, |c, a| truth(blocks::set_interval(c, a))),
    ("evm_setNextBlockTimestamp", Class::Changing, |c, a| null(blocks::set_timestamp(c, a))),
    ("evm_setTime", Class::Changing, blocks::set_time),
    ("evm_snapshot", Class::Changing, blocks::snapshot),
    ("hardhat_dropTransaction", Class::Reading, node::drop_transaction),
    ("hardhat_getAutomine", Class::Reading, node::automine),
    ("hardhat_impersonateAccount", Class::Reading, |c, a| truth(node::impersonate(c, a))),
    ("hardhat_metadata", Class::Reading, node::metadata),
    ("hardhat_mine", Class::Changing, |c, a| truth(blocks::mine_blocks(c, a))),
    ("hardhat_reset", Class::Changing, |c, a| truth(blocks::reset(c, a))),
    ("hardhat_setBalance", Class::Changing, |c, a| truth(edits::set_balance(c, a))),
    ("hardhat_setCode", Class::Changing, |c, a| truth(edits::set_code(c, a))),
    ("hardhat_setCoinbase", Class::Changing, |c, a| truth(blocks::set_coinbase(c, a))),
    ("hardhat_setLoggingEnabled", Class::Changing, |c, a| truth(blocks::set_logging(c, a))),
    ("hardhat_setNextBlockBaseFeePerGas", Class::Changing, |c, a| {
        truth(blocks::set_base_fee(c, a))
    }),
    ("hardhat_setNonce", Class::Changing, |c, a| truth(edits::set_nonce(c, a))),
    ("hardhat_setPrevRandao", Class::Changing, |c, a| truth(blocks::set_randao(c, a))),
    ("hardhat_setStorageAt", Class::Changing, |c, a| truth(edits::set_storage(c, a))),
    ("hardhat_stopImpersonatingAccount", Class::Reading, node::stop_impersonating_anyone),
    ("personal_sign", Class::Reading, signing::personal_sign),
];

/// What a method gives that only does something.
type Done = Result<(), ErrorObjectOwned>;

fn null(done: Done) -> Answer {
    done.and_then(|()| json(&()))
}

fn truth(done: Done) -> Answer {
    done.and_then(|()| json(&true))
}

/// The maker of the blocks.
fn chain(context: &Context) -> Result<&dyn DevChain, ErrorObjectOwned> {
    let dev = context.dev.as_ref();
    let chain = dev.map(|dev| &*dev.chain);
    chain.ok_or_else(|| error::internal("a method of a chain for development, without one"))
}

/// The block that would be made at this moment; `None` on any other chain.
pub(crate) fn next_block(context: &Context) -> Result<Option<DevBlock>, ErrorObjectOwned> {
    let next = context.dev.as_ref().map(|dev| dev.chain.next_block());
    next.transpose().map_err(of_dev)
}

/// Whether a block of the chain is one of the edits that make blocks of their own: no other has the
/// timestamp of its parent.
pub(crate) fn is_edit(
    context: &Context,
    view: &ChainView,
    number: u64,
) -> Result<bool, ErrorObjectOwned> {
    let Some(parent) = number.checked_sub(1).filter(|_| context.dev.is_some()) else {
        return Ok(false);
    };
    let timestamp = |number| {
        let found = view.header(number).map_err(error::of_chain)?;
        found.map(|(_, header)| header.timestamp).ok_or_else(error::block_not_found)
    };
    Ok(timestamp(number)? == timestamp(parent)?)
}

fn of_dev(error: DevError) -> ErrorObjectOwned {
    match error {
        DevError::Refused(reason) => error::refused(reason),
        DevError::Broken(cause) => error::internal(cause),
    }
}

/// A number as JSON has it, in hex with or without leading zeros, or in decimal.
fn number(value: &Value) -> Result<U256, String> {
    if let Some(number) = value.as_u64() {
        return Ok(U256::from(number));
    }
    let text = value.as_str().ok_or("a number is expected")?;
    let hex = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let (digits, radix) = hex.map_or((text, 10), |digits| (digits, 16));
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
        return Err("a number is expected".to_owned());
    }
    U256::from_str_radix(digits, u64::from(radix)).map_err(|_| "number > 256 bits".to_owned())
}

fn number_u64(value: &Value) -> Result<u64, String> {
    u64::try_from(number(value)?).map_err(|_| "number > 64 bits".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json as object;

    #[test]
    fn a_number_may_be_written_in_any_way() {
        for value in [object!(16), object!("16"), object!("0x10"), object!("0x0010")] {
            assert_eq!(number(&value), Ok(U256::from(16)), "{value}");
        }
        let word = object!(format!("0x{}", "f".repeat(64)));
        assert_eq!(number(&word), Ok(U256::MAX));
        let more = object!(format!("0x1{}", "0".repeat(64)));
        for wrong in [object!(-1), object!(1.5), object!("0x"), object!(""), object!("ten"), more] {
            assert!(number(&wrong).is_err(), "{wrong}");
        }
        assert!(number_u64(&object!("0x10000000000000000")).is_err());
    }

    #[test]
    fn methods_are_sorted_and_each_is_there_once() {
        let names: Vec<&str> = METHODS.iter().map(|(name, ..)| *name).collect();
        assert!(names.is_sorted_by(|one, other| one < other), "{names:?}");
    }
}

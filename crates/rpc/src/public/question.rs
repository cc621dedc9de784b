//! Where the message of a question is run: in a block and on a state, of both of which something
//! may be assumed; and what it may take.

use crate::public::{
    Context,
    error::{self, refused},
    eth::calls::Message,
    overrides::{BlockOverrides, StateOverrides, assumed},
};
use fugue_evm::{CallRequest, Place};
use fugue_state::{HashesFrom, Stack, StateError, StateView, assumed_diff};
use fugue_types::{B256, Header};
use jsonrpsee::types::ErrorObjectOwned;
use std::collections::BTreeMap;

/// Calls with what is needed to run a message in the block with this header, on this state, as the
/// question assumes them to be.
///
/// # Errors
/// If a precompiled contract cannot be moved as it is assumed, or the state cannot be read.
pub(crate) fn with_place<T>(
    context: &Context,
    header: &Header,
    state: &dyn StateView,
    state_overrides: &StateOverrides,
    block_overrides: &BlockOverrides,
    ask: impl FnOnce(&Place<'_>) -> T,
) -> Result<T, ErrorObjectOwned> {
    let (header, rules) = block_overrides.applied(context.engine.spec(), header);
    let assumed = assumed(state_overrides, block_overrides);
    assumed.check(&rules).map_err(|reason| refused(reason.to_string()))?;
    let diff = assumed_diff(state, &state_overrides.accounts).map_err(error::of_state)?;
    let assumed_state = Stack::new([&diff], state);
    let state = any_number(&assumed_state, &block_overrides.block_hashes);
    // Outermost, so that the clock is looked at where all that is read is assumed, too.
    let view = &context.patience.guard(&state);
    let codes = &*context.codes;
    Ok(ask(&Place { rules: &rules, header: &header, codes, view, assumed: &assumed }))
}

/// A message with the gas that it may use.
pub(crate) fn with_gas(context: &Context, message: &Message) -> CallRequest {
    let gas_max = context.limits.call_gas_max;
    let gas = message.gas.map_or(gas_max, |gas| gas.min(gas_max));
    CallRequest { gas, ..message.request.clone() }
}

/// A state whose block may be assumed to have any number: blocks that are not there have the hash
/// zero. Source: geth, BLOCKHASH with block overrides. Hashes may be assumed as well.
pub(crate) fn any_number<'v>(
    view: &'v dyn StateView,
    assumed: &'v BTreeMap<u64, B256>,
) -> impl StateView + 'v {
    HashesFrom::new(view, move |number| match assumed.get(&number) {
        Some(hash) => Ok(*hash),
        None => match view.block_hash(number) {
            Err(StateError::BlockHashMissing(_)) => Ok(B256::ZERO),
            found => found,
        },
    })
}

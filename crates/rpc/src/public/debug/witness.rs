//! What a block needs of the state before it: `debug_executionWitness`, in the form of geth and
//! reth.

use crate::public::{
    Answer, Context,
    args::{Args, hash},
    block_ref::{BlockRef, block_ref},
    dev, error, json,
    made::traceable,
};
use fugue_chain::ExecutionWitness;
use fugue_types::Bytes;
use serde::Serialize;

#[derive(Serialize)]
struct WireWitness {
    /// RLP of trie nodes.
    state: Vec<Bytes>,
    codes: Vec<Bytes>,
    /// Addresses and keys of slots, whose hashes are the keys of the tries.
    keys: Vec<Bytes>,
    /// RLP, oldest first, the parent last.
    headers: Vec<Bytes>,
}

/// `debug_executionWitness`.
pub(crate) fn execution_witness(context: &Context, mut args: Args) -> Answer {
    let block = traceable(args.required("block", block_ref)?)?;
    args.end()?;
    witness(context, &block)
}

/// `debug_executionWitnessByBlockHash`.
pub(crate) fn execution_witness_by_hash(context: &Context, mut args: Args) -> Answer {
    let hash = args.required("block hash", hash)?;
    args.end()?;
    witness(context, &BlockRef::Hash { hash, must_be_canonical: false })
}

fn witness(context: &Context, block: &BlockRef) -> Answer {
    let (view, number) = block.chain_with_state(context.view())?;
    if number == 0 {
        return Err(error::refused("the genesis is not executed, and has no witness"));
    }
    if dev::is_edit(context, &view, number)? {
        let told = format!("block {number} edits the state, which no witness shows");
        return Err(error::refused(told));
    }
    let check = || context.patience.told();
    let found = view.execution_witness(number, &context.reach(&check));
    let found = found.map_err(error::of_chain)?.ok_or_else(error::block_not_found)?;
    let (bytes, bytes_max) = (found.bytes(), context.limits.witness_bytes_max);
    if bytes > bytes_max {
        let told = format!("the witness has {bytes} bytes, {bytes_max} at most are given");
        return Err(error::refused(told));
    }
    let ExecutionWitness { state, codes, keys, headers } = found;
    json(&WireWitness { state, codes, keys, headers })
}

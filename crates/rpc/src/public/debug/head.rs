//! The way back along the chain, for whoever runs the node: `debug_setHead`.

use crate::public::{
    Answer, Context, args::Args, block_ref::block_ref, error, json, made::made, testing,
};
use fugue_chain::{ImportError, StorageError};

/// `debug_setHead`: a block of the chain becomes the head, as if the consensus client had chosen
/// it, until that chooses again. Nothing is forgotten.
///
/// Sources: geth's documentation, "debug_setHead", for the number; Besu's, for hash and tag.
pub(super) fn set(context: &Context, mut args: Args) -> Answer {
    let named = made(args.required("block", block_ref)?)?;
    args.end()?;
    let view = context.view();
    named.check_canonical(&view)?;
    let number = named.number(&view)?.ok_or_else(error::block_not_found)?;
    let oldest = view.oldest_state();
    if number < oldest {
        let pruned = StorageError::Pruned { what: "state", number, oldest };
        return Err(error::of_chain(ImportError::Storage(pruned)));
    }
    let found = view.header(number).map_err(error::of_chain)?;
    let (hash, _) = found.ok_or_else(error::block_not_found)?;
    // The chain may have moved on by then: the engine looks again.
    drop(view);
    testing::wait(context, |reply| context.engine.set_head(hash, reply))?;
    json(&())
}

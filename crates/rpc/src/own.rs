//! Methods of Fugue's own that go through the queue of the engine, for whoever runs the node.

use crate::public::{
    args::{Args, hash},
    error,
};
use fugue_chain::{Engine, EngineError};
use jsonrpsee::{RpcModule, core::RegisterMethodError, types::ErrorObjectOwned};
use std::sync::Arc;
use tokio::sync::{Semaphore, oneshot};

/// Blocks that are reconsidered at the same time.
const RECONSIDERED_MAX: usize = 1;

/// The methods over a chain.
///
/// # Errors
/// Only if two methods had one name.
pub(crate) fn module(engine: Engine) -> Result<RpcModule<()>, RegisterMethodError> {
    // One at a time for each server: the queue of the engine is for the consensus layer.
    let turn = Arc::new(Semaphore::new(RECONSIDERED_MAX));
    let mut module = RpcModule::new((engine, turn));
    // Forgets that a block was found invalid, so that it is judged anew when it comes again: for
    // the day on which the verdict was ours to regret. Says whether it was known to be invalid.
    module.register_async_method("fugue_reconsiderBlock", |params, context, _| async move {
        let (engine, turn) = &*context;
        let mut args = Args::new(&params)?;
        let hash = args.required("block hash", hash)?;
        args.end()?;
        let permit = Arc::clone(turn).try_acquire_owned();
        let permit = permit.map_err(|_| error::refused("another block is being reconsidered"))?;
        let (sender, receiver) = oneshot::channel();
        let reply = move |known: Result<bool, EngineError>| {
            drop(permit);
            // If the caller has gone, there is nobody to tell.
            drop(sender.send(known));
        };
        engine.reconsider(hash, Box::new(reply));
        let known = receiver.await.map_err(|_| error::internal("the engine has stopped"))?;
        known.map_err(|error| -> ErrorObjectOwned { error::internal(error) })
    })?;
    Ok(module.remove_context())
}

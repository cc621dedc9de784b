//! Methods of Fugue's own, for whoever runs the node.

use fugue_chain::Engine;
use fugue_types::B256;
use jsonrpsee::{
    RpcModule,
    core::RegisterMethodError,
    types::{ErrorObjectOwned, error::INTERNAL_ERROR_CODE},
};
use tokio::sync::oneshot;

/// The methods over a chain.
///
/// # Errors
/// Only if two methods had one name.
pub(crate) fn module(engine: Engine) -> Result<RpcModule<()>, RegisterMethodError> {
    let mut module = RpcModule::new(engine);
    // Forgets that a block was found invalid, so that it is judged anew when it comes again: for
    // the day on which the verdict was ours to regret. Says whether it was known to be invalid.
    module.register_async_method("fugue_reconsiderBlock", |params, engine, _| async move {
        let hash: B256 = params.one()?;
        let (sender, receiver) = oneshot::channel();
        // If the caller has gone, there is nobody to tell.
        engine.reconsider(hash, Box::new(move |known| drop(sender.send(known))));
        let failed =
            |reason: String| ErrorObjectOwned::owned(INTERNAL_ERROR_CODE, reason, None::<()>);
        let known = receiver.await.map_err(|_| failed("the engine has stopped".to_owned()))?;
        known.map_err(|error| failed(error.to_string()))
    })?;
    Ok(module.remove_context())
}

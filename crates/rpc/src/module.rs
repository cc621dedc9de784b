//! Which methods a server offers.

use crate::{
    dev::DevChain,
    engine::{self, ClientVersion},
    own, public,
};
use fugue_chain::Engine;
use jsonrpsee::{RpcModule, core::RegisterMethodError};
use std::{io, path::Path, sync::Arc};

/// The methods beside the Engine API that its port must offer. Source: execution-apis,
/// `common.md`, "Underlying protocol".
const BESIDE_ENGINE: [&str; 9] = [
    "eth_blockNumber",
    "eth_call",
    "eth_chainId",
    "eth_getBlockByHash",
    "eth_getBlockByNumber",
    "eth_getCode",
    "eth_getLogs",
    "eth_sendRawTransaction",
    "eth_syncing",
];

/// The methods of a server were not put together.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    /// An API that the node does not have.
    #[error("there is no API {name:?}: known are {known}")]
    UnknownApi {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// Two methods have one name: a defect of ours.
    #[error("two methods have one name: {0}")]
    Register(#[from] RegisterMethodError),
}

/// The methods for the consensus layer.
///
/// # Errors
/// [`ModuleError::Register`].
pub fn engine_module(
    engine: Engine,
    client: ClientVersion,
    limits: public::Limits,
) -> Result<RpcModule<()>, ModuleError> {
    let context = public::Context::new(engine.clone(), limits);
    let mut eth = public::module(context)?.remove_context();
    keep(&mut eth, |name| BESIDE_ENGINE.contains(&name));
    let mut module = engine::module(engine.clone(), client)?;
    module.merge(eth)?;
    module.merge(own::module(engine)?)?;
    Ok(module)
}

/// The methods for everyone, of the only public server: those of the APIs `apis`, which are the
/// words before the `_` of a method's name.
///
/// # Errors
/// [`ModuleError`].
pub fn public_module(
    engine: Engine,
    limits: public::Limits,
    apis: &[String],
) -> Result<RpcModule<()>, ModuleError> {
    PublicApi::new(engine, limits).module(apis, limits.are_sent_local)
}

/// What all public servers of a node share: their limits hold for all of them together.
#[derive(Clone)]
pub struct PublicApi {
    engine: Engine,
    context: public::Context,
}

impl PublicApi {
    /// For the servers of one node.
    pub fn new(engine: Engine, limits: public::Limits) -> Self {
        Self { context: public::Context::new(engine.clone(), limits), engine }
    }

    /// Of a node whose data lie in this folder, which they tell whoever may ask.
    #[must_use]
    pub fn with_datadir(mut self, datadir: &Path) -> Self {
        self.context = self.context.with_datadir(datadir);
        self
    }

    /// Of a node that writes traces to files, where a caller asks for that, in this folder. It is
    /// for one process.
    ///
    /// # Errors
    /// If it cannot be made or read.
    pub fn with_trace_files(mut self, folder: &Path) -> io::Result<Self> {
        self.context = self.context.with_trace_files(folder)?;
        Ok(self)
    }

    /// Of a chain for development: each server has the methods of that, whatever its APIs are.
    #[must_use]
    pub fn with_dev(self, chain: Arc<dyn DevChain>) -> Self {
        let Self { engine, context } = self;
        Self { engine, context: context.with_dev(chain) }
    }

    /// The methods of one server: those of the APIs `apis`. `are_sent_local` says what the
    /// transactions that come by it are, in place of the limits.
    ///
    /// # Errors
    /// [`ModuleError`].
    pub fn module(
        &self,
        apis: &[String],
        are_sent_local: bool,
    ) -> Result<RpcModule<()>, ModuleError> {
        let context = self.context.clone().with_sent_local(are_sent_local);
        let own_apis = context.own_apis().iter().map(|api| (*api).to_owned());
        let apis: Vec<String> = apis.iter().cloned().chain(own_apis).collect();
        let dev = public::dev_module(context.clone())?.remove_context();
        let mut module = public::module(context)?.remove_context();
        module.merge(own::module(self.engine.clone())?)?;
        keep_apis(&mut module, &apis)?;
        public::rpc::register(&mut module)?;
        module.merge(dev)?;
        Ok(module)
    }
}

fn keep_apis(module: &mut RpcModule<()>, apis: &[String]) -> Result<(), ModuleError> {
    let mut known: Vec<_> = module.method_names().map(api_of).collect();
    known.sort_unstable();
    known.dedup();
    if let Some(name) = apis.iter().find(|name| !known.contains(&name.as_str())) {
        let (name, known) = (name.clone(), known.join(", "));
        return Err(ModuleError::UnknownApi { name, known });
    }
    keep(module, |name| apis.iter().any(|api| api == api_of(name)));
    Ok(())
}

/// `eth` of `eth_call`.
pub(crate) fn api_of(name: &'static str) -> &'static str {
    match name.split_once('_') {
        // Otterscan asks it to see whom it talks to.
        Some(("erigon", _)) => "ots",
        Some((api, _)) => api,
        None => name,
    }
}

fn keep(module: &mut RpcModule<()>, is_kept: impl Fn(&'static str) -> bool) {
    let left_out: Vec<_> = module.method_names().filter(|name| !is_kept(name)).collect();
    for name in left_out {
        module.remove_method(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module() -> RpcModule<()> {
        let mut module = RpcModule::new(());
        for name in ["eth_call", "eth_chainId", "net_version"] {
            module.register_method(name, |_, _, _| "done").unwrap();
        }
        module
    }

    fn names(module: &RpcModule<()>) -> Vec<&'static str> {
        let mut names: Vec<_> = module.method_names().collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn an_api_is_what_is_before_the_line_in_the_names_of_its_methods() {
        let mut eth = module();
        keep_apis(&mut eth, &["eth".to_owned()]).unwrap();
        assert_eq!(names(&eth), ["eth_call", "eth_chainId"]);
        let mut none = module();
        keep_apis(&mut none, &[]).unwrap();
        assert!(names(&none).is_empty());
    }

    #[test]
    fn what_otterscan_asks_of_erigon_is_of_its_own_api() {
        let names = ["erigon_getHeaderByNumber", "ots_getApiLevel", "eth_call", "alone"];
        assert_eq!(names.map(api_of), ["ots", "ots", "eth", "alone"]);
    }

    #[test]
    fn an_unknown_api_is_an_error_that_names_the_known_ones() {
        let error = keep_apis(&mut module(), &["eht".to_owned()]).unwrap_err();
        assert_eq!(error.to_string(), "there is no API \"eht\": known are eth, net");
    }
}

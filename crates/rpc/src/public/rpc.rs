//! `rpc_modules`: the namespaces that a server has. Every server has it.

use super::{Answer, args::Args, json};
use crate::module::api_of;
use jsonrpsee::{RpcModule, core::RegisterMethodError};
use std::collections::BTreeMap;

/// This namespace.
const RPC: &str = "rpc";
/// The version of every namespace.
const VERSION: &str = "1.0";

/// Adds the method, which tells of all that the module has at that moment.
///
/// # Errors
/// Only if it is there already.
pub(crate) fn register(module: &mut RpcModule<()>) -> Result<(), RegisterMethodError> {
    let names = module.method_names().map(api_of).chain([RPC]);
    let modules: BTreeMap<_, _> = names.map(|name| (name, VERSION)).collect();
    module.register_method("rpc_modules", move |params, _, _| -> Answer {
        Args::new(&params)?.end()?;
        json(&modules)
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json as object};

    async fn modules(names: &[&'static str]) -> Value {
        let mut module = RpcModule::new(());
        for &name in names {
            module.register_method(name, |_, _, _| "done").unwrap();
        }
        register(&mut module).unwrap();
        let request = r#"{"jsonrpc":"2.0","id":1,"method":"rpc_modules","params":[]}"#;
        let (answer, _) = module.raw_json_request(request, 1).await.unwrap();
        let answer: Value = serde_json::from_str(answer.get()).unwrap();
        answer["result"].clone()
    }

    #[tokio::test]
    async fn the_namespaces_are_those_of_the_server() {
        let found = modules(&["eth_call", "eth_chainId", "net_version"]).await;
        assert_eq!(found, object!({ "eth": "1.0", "net": "1.0", "rpc": "1.0" }));
        assert_eq!(modules(&[]).await, object!({ "rpc": "1.0" }));
    }
}

//! The `trace` namespace, as OpenEthereum had it: calls, instructions and changed state, of the
//! chain and of messages; and the gas of each instruction, which is Reth's.

mod chain;
mod filter;
mod messages;
mod opcodes;
mod rewards;

pub(super) use rewards::block_rewards;

use crate::public::{Class, Table};
use alloy_rpc_types_trace::parity::TraceType;
use fugue_types::HashSet;
use serde_json::Value;

/// The methods of this namespace.
pub(super) const METHODS: Table = &[
    ("trace_block", Class::Tracing, chain::block),
    ("trace_blockOpcodeGas", Class::Tracing, opcodes::block),
    ("trace_call", Class::Tracing, messages::call),
    ("trace_callMany", Class::Tracing, messages::call_many),
    ("trace_filter", Class::Tracing, filter::filter),
    ("trace_get", Class::Tracing, chain::get),
    ("trace_rawTransaction", Class::Tracing, messages::raw_transaction),
    ("trace_replayBlockTransactions", Class::Tracing, chain::replay_block),
    ("trace_replayTransaction", Class::Tracing, chain::replay_transaction),
    ("trace_transaction", Class::Tracing, chain::transaction),
    ("trace_transactionOpcodeGas", Class::Tracing, opcodes::transaction),
];

/// Which traces are asked for. Source: OpenEthereum, "The trace module".
fn types(value: &Value) -> Result<HashSet<TraceType>, String> {
    let names = value.as_array().ok_or("a list is expected")?;
    let type_of = |name: &Value| match name.as_str() {
        Some("trace") => Ok(TraceType::Trace),
        Some("vmTrace") => Ok(TraceType::VmTrace),
        Some("stateDiff") => Ok(TraceType::StateDiff),
        _ => Err(format!("{name}: trace, vmTrace or stateDiff is expected")),
    };
    names.iter().map(type_of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn traces_are_asked_for_by_name() {
        let both = types(&json!(["trace", "stateDiff", "trace"])).expect("known names");
        assert_eq!(both, HashSet::from_iter([TraceType::Trace, TraceType::StateDiff]));
        assert!(types(&json!([])).expect("none").is_empty());
        assert!(types(&json!("trace")).is_err() && types(&json!(["calls"])).is_err());
    }
}

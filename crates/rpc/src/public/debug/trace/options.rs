//! What a request says of the tracer, and of the time that it may take.

use crate::public::{
    Context, Limits,
    args::{count, field, hash, object, published, under},
    overrides::{BlockOverrides, StateOverrides, block_overrides, state_overrides},
};
use alloy_rpc_types_trace::geth::{GethDebugTracingOptions, GethDefaultTracingOptions};
use fugue_evm::{GethTracer, TracerError};
use fugue_types::B256;
use serde_json::Value;
use std::time::Duration;

/// How a request wants to have it traced. `reexec` says nothing here: states are there, or not.
#[derive(Debug)]
pub(super) struct Options {
    pub(super) tracer: GethTracer,
    time_max: Option<Duration>,
}

/// How a message is traced, and what is assumed.
pub(super) struct CallOptions {
    pub(super) options: Options,
    pub(super) state: StateOverrides,
    pub(super) block: BlockOverrides,
    /// Transactions of the block that have run; all of them if it is `None`.
    pub(super) transactions: Option<usize>,
}

impl Options {
    pub(super) fn new(given: GethDebugTracingOptions) -> Result<Self, String> {
        let time_max = given.timeout.as_deref().map(duration).transpose();
        let time_max = time_max.map_err(|reason| format!("timeout: {reason}"))?;
        let tracer = GethTracer::new(given).map_err(|error| match error {
            TracerError::Settings(reason) => under("tracerConfig", &reason),
            unknown @ TracerError::Unknown(_) => under("tracer", &unknown.to_string()),
        })?;
        Ok(Self { tracer, time_max })
    }

    /// For a call that takes no longer than the request says.
    pub(super) fn patient(&self, context: &Context) -> Context {
        context.at_most(self.time_max)
    }
}

/// Source: geth's documentation, "debug_traceTransaction", `TraceConfig`.
pub(super) fn options(value: &Value) -> Result<Options, String> {
    object(value)?;
    // What lies flat among the others has no path in them.
    published::<GethDefaultTracingOptions>(value)?;
    Options::new(published(value)?)
}

/// Source: geth's documentation, "debug_traceCall", `TraceCallConfig`.
pub(super) fn call_options(value: &Value, limits: &Limits) -> Result<CallOptions, String> {
    let fields = object(value)?;
    let transactions = field(fields, "txIndex", count)?;
    Ok(CallOptions {
        options: options(value)?,
        state: field(fields, "stateOverrides", |value| state_overrides(value, limits))?
            .unwrap_or_default(),
        block: field(fields, "blockOverrides", block_overrides)?.unwrap_or_default(),
        // Larger than any index is an index that no block has.
        transactions: transactions.map(|index| usize::try_from(index).unwrap_or(usize::MAX)),
    })
}

/// What of a block is written to files.
#[derive(Debug, Default)]
pub(super) struct FileOptions {
    /// What each line shows.
    pub(super) steps: GethDefaultTracingOptions,
    /// The one transaction that is wanted, if it is not all.
    pub(super) tx: Option<B256>,
}

/// Source: geth, `StdTraceConfig`, whose zero hash is none.
pub(super) fn file_options(value: &Value) -> Result<FileOptions, String> {
    let fields = object(value)?;
    if fields.get("overrides").is_some_and(|overrides| !overrides.is_null()) {
        return Err("overrides: a block is run by the rules of the chain".to_owned());
    }
    let tx = field(fields, "txHash", hash)?.filter(|hash| !hash.is_zero());
    Ok(FileOptions { steps: published(value)?, tx })
}

/// A duration as Go writes it: `300ms`, `1.5s`, `1m30s`. Source: Go, package `time`,
/// `ParseDuration`.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "a duration is expected, such as 10s or 1m30s".to_owned();
    let mut rest = text;
    let mut sum = Duration::ZERO;
    loop {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let (number, unit) = rest.split_at(digits);
        let end = unit.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(unit.len());
        let (unit, after) = unit.split_at(end);
        let seconds = match unit {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3_600.0,
            _ => return Err(wrong()),
        };
        let number: f64 = number.parse().map_err(|_| wrong())?;
        let part = Duration::try_from_secs_f64(number * seconds).map_err(|_| wrong())?;
        sum = sum.saturating_add(part);
        if after.is_empty() {
            return Ok(sum);
        }
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn durations_are_those_of_go() {
        for (text, millis) in
            [("5s", 5_000), ("300ms", 300), ("1m30s", 90_000), ("1.5h", 5_400_000)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for wrong in ["", "5", "s", "5x", "-1s", "1.2.3s", "99999999999999999999999h"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn options_name_a_tracer_and_a_time() {
        let given = json!({ "tracer": "callTracer", "timeout": "2s", "reexec": 128 });
        assert_eq!(options(&given).expect("well formed").time_max, Some(Duration::from_secs(2)));
        assert!(options(&json!({})).is_ok());
        for (wrong, reason) in [
            (json!("callTracer"), "an object is expected"),
            (json!({ "tracer": "{}" }), "tracer: no tracer is named"),
            (json!({ "timeout": "soon" }), "timeout: a duration is expected"),
            (json!({ "timeout": 5 }), "timeout: invalid type"),
            (json!({ "disableStack": 1 }), "disableStack: invalid type"),
            (
                json!({ "tracer": "callTracer", "tracerConfig": { "withLog": 1 } }),
                "tracerConfig.withLog: invalid type",
            ),
        ] {
            let found = options(&wrong).expect_err("refused");
            assert!(found.starts_with(reason), "{found}");
        }
    }

    #[test]
    fn a_message_is_traced_with_what_is_assumed_and_where_it_would_be() {
        let given = json!({
            "txIndex": "0x2", "blockOverrides": { "time": "0x5" },
            "stateOverrides": { "0x0101010101010101010101010101010101010101": { "nonce": "0x1" } },
        });
        let read = |value: &Value| call_options(value, &Limits::default());
        let found = read(&given).expect("well formed");
        assert_eq!((found.transactions, found.block.time), (Some(2), Some(5)));
        assert_eq!(found.state.accounts.len(), 1);
        assert!(read(&json!({ "stateOverrides": { "0x1": {} } })).is_err());
    }

    #[test]
    fn files_may_be_of_one_transaction_and_are_never_of_other_rules() {
        let hash = B256::repeat_byte(7);
        let given = json!({ "txHash": hash, "enableMemory": true, "reexec": 128 });
        let found = file_options(&given).expect("well formed");
        assert_eq!((found.tx, found.steps.is_memory_enabled()), (Some(hash), true));
        let all = json!({ "txHash": B256::ZERO, "overrides": null });
        assert_eq!(file_options(&all).expect("well formed").tx, None);
        for (wrong, reason) in [
            (json!("0x"), "an object is expected"),
            (json!({ "txHash": "../x" }), "txHash: "),
            (json!({ "overrides": {} }), "overrides: "),
            (json!({ "disableStack": 1 }), "disableStack: invalid type"),
        ] {
            let found = file_options(&wrong).expect_err("refused");
            assert!(found.starts_with(reason), "{found}");
        }
    }
}

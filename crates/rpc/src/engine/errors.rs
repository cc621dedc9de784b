//! The errors that the Engine API answers with, and their codes. Source: execution-apis,
//! `common.md`, "Errors".
//!
//! `data` is `null`, except with code -32000, where it is an object with the member `err`; so the
//! detail is in the message, after the specification's words.

use fugue_chain::{EngineError, ImportError};
use jsonrpsee::types::ErrorObjectOwned;
use serde_json::json;

/// A call is not answered with a result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    /// The parameters do not have their form.
    #[error("invalid params: {0}")]
    InvalidParams(String),
    /// More is asked for than is answered.
    #[error("too large request: {asked} {what}, at most {max}")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How much is asked for.
        asked: u64,
        /// How much is answered.
        max: u64,
    },
    /// The engine did not do it.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// We are broken.
    #[error("{0}")]
    Broken(String),
    /// Nobody waits for the answer any more.
    #[error("the call was given up")]
    GivenUp,
}

impl Failure {
    /// The parameter `name` does not have its form.
    pub(super) fn param(name: &str, why: impl std::fmt::Display) -> Self {
        Self::InvalidParams(format!("{name}: {why}"))
    }

    /// The method is not for blocks of this fork.
    pub(super) fn unsupported_fork(why: String) -> Self {
        Self::Engine(EngineError::UnsupportedFork(why))
    }

    /// Whether this is no fault of the caller.
    pub(super) fn is_ours(&self) -> bool {
        self.parts().0 == SERVER_ERROR
    }

    /// Code, words of the specification, detail.
    fn parts(&self) -> (i32, &'static str, String) {
        match self {
            Self::InvalidParams(why) => (-32602, "Invalid params", why.clone()),
            Self::TooLarge { what, asked, max } => {
                (-38004, "Too large request", format!("{asked} {what}, at most {max}"))
            }
            Self::Engine(EngineError::UnknownPayload) => {
                (-38001, "Unknown payload", "there is no such build".to_owned())
            }
            Self::Engine(EngineError::InvalidForkchoice(why)) => {
                (-38002, "Invalid forkchoice state", why.clone())
            }
            Self::Engine(EngineError::InvalidAttributes(why)) => {
                (-38003, "Invalid payload attributes", why.clone())
            }
            Self::Engine(EngineError::UnsupportedFork(why)) => {
                (-38005, "Unsupported fork", why.clone())
            }
            Self::Engine(EngineError::TooDeep { depth, max }) => {
                (-38006, "Too deep reorg", format!("{depth} blocks, at most {max}"))
            }
            Self::Engine(EngineError::Pruned { number, oldest }) => {
                let why =
                    format!("the state after block {number} is pruned, the oldest is {oldest}'s");
                (-38006, "Too deep reorg", why)
            }
            Self::Engine(
                EngineError::Busy(_)
                | EngineError::BusyBytes(_)
                | EngineError::Stopped
                | EngineError::Internal(_),
            )
            | Self::Broken(_)
            | Self::GivenUp => (SERVER_ERROR, "Server error", self.to_string()),
        }
    }
}

/// The code whose `data` tells what happened.
const SERVER_ERROR: i32 = -32000;

impl From<ImportError> for Failure {
    fn from(error: ImportError) -> Self {
        Self::Broken(error.to_string())
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::Broken(error.to_string())
    }
}

impl From<Failure> for ErrorObjectOwned {
    fn from(failure: Failure) -> Self {
        let (code, words, detail) = failure.parts();
        if code == SERVER_ERROR {
            Self::owned(code, words, Some(json!({ "err": detail })))
        } else {
            Self::owned(code, format!("{words}: {detail}"), Some(()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn wire(failure: impl Into<Failure>) -> Value {
        serde_json::to_value(ErrorObjectOwned::from(failure.into())).unwrap()
    }

    #[test]
    fn e3_errors_have_the_codes_of_the_specification_and_null_data() {
        let why = || "why".to_owned();
        for (failure, code, words) in [
            (Failure::InvalidParams(why()), -32602, "Invalid params"),
            (EngineError::UnknownPayload.into(), -38001, "Unknown payload"),
            (EngineError::InvalidForkchoice(why()).into(), -38002, "Invalid forkchoice state"),
            (EngineError::InvalidAttributes(why()).into(), -38003, "Invalid payload attributes"),
            (Failure::TooLarge { what: "blobs", asked: 2, max: 1 }, -38004, "Too large request"),
            (EngineError::UnsupportedFork(why()).into(), -38005, "Unsupported fork"),
            (EngineError::TooDeep { depth: 2, max: 1 }.into(), -38006, "Too deep reorg: 2 blocks"),
            (
                EngineError::Pruned { number: 1, oldest: 2 }.into(),
                -38006,
                "Too deep reorg: the state after block 1 is pruned, the oldest is 2's",
            ),
        ] {
            let error = wire(failure);
            assert_eq!(error["code"], code);
            assert!(error["message"].as_str().unwrap().starts_with(words), "{error}");
            assert_eq!(error.get("data"), Some(&Value::Null), "{error}");
        }
    }

    #[test]
    fn e3_what_is_our_fault_tells_what_happened_in_its_data() {
        for (failure, err) in [
            (EngineError::Internal("the disk is full".to_owned()).into(), "the disk is full"),
            (Failure::Broken("no thread".to_owned()), "no thread"),
            (EngineError::Stopped.into(), "the engine has stopped"),
        ] {
            let expected =
                json!({ "code": -32000, "message": "Server error", "data": { "err": err } });
            assert_eq!(wire(failure), expected);
        }
    }
}

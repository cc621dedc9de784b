//! The node that blocks are taken from, and why it does not give something.

use super::number_of;
use crate::{
    UsageError,
    client::{
        CallError,
        public::{PublicClient, decoded},
    },
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::{fmt, time::Duration};

/// There is no such method. Source: JSON-RPC 2.0.
const METHOD_NOT_FOUND: i32 = -32_601;

/// Why something is not to be had, in a message that names the node, the method and the block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// The node has no such method.
    Missing(String),
    /// It refuses, or what it gives is of no use.
    Unfit(String),
    /// What it gives is well formed, and the block gives something else than its header says.
    Differs(String),
    /// It does not answer, or the disk does not take what it gives.
    Broken(String),
}

impl Fault {
    pub(super) fn into_message(self) -> String {
        match self {
            Self::Missing(message)
            | Self::Unfit(message)
            | Self::Differs(message)
            | Self::Broken(message) => message,
        }
    }

    /// Whether there may be another way to the same.
    pub(super) const fn is_passable(&self) -> bool {
        !matches!(self, Self::Broken(_))
    }
}

/// A node, by its URL.
pub(super) struct Endpoint {
    client: PublicClient,
    url: String,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

impl Endpoint {
    pub(super) fn new(url: &str, timeout_s: u64) -> Result<Self, UsageError> {
        let client = PublicClient::new(url, Duration::from_secs(timeout_s))?;
        Ok(Self { client, url: url.to_owned() })
    }

    /// EIP-155 chain id.
    pub(super) fn chain_id(&self) -> Result<u64, UsageError> {
        let failed = |error: &dyn fmt::Display| UsageError(format!("{self}: eth_chainId: {error}"));
        let answer = self.client.call("eth_chainId", &json!([])).map_err(|error| failed(&error))?;
        number_of(answer).map_err(|error| failed(&error))
    }

    /// The number of its newest block; `None` if it does not say so.
    pub(super) fn head(&self) -> Option<u64> {
        number_of(self.client.call("eth_blockNumber", &json!([])).ok()?).ok()
    }

    /// Calls a method for a block.
    pub(super) fn call(&self, number: u64, method: &str, params: &Value) -> Result<Value, Fault> {
        self.client.call(method, params).map_err(|error| {
            let message = self.message(number, method, &error);
            match error {
                CallError::Refused { code: METHOD_NOT_FOUND, .. } => Fault::Missing(message),
                CallError::Refused { .. } => Fault::Unfit(message),
                CallError::Broken(_) => Fault::Broken(message),
            }
        })
    }

    /// The same, with an answer of this form.
    pub(super) fn get<T: DeserializeOwned>(
        &self,
        number: u64,
        method: &str,
        params: &Value,
    ) -> Result<T, Fault> {
        let answer = self.call(number, method, params)?;
        decoded(answer).map_err(|error| self.unfit(number, method, error))
    }

    /// What a method gives is of no use.
    pub(super) fn unfit(&self, number: u64, method: &str, reason: impl fmt::Display) -> Fault {
        Fault::Unfit(self.message(number, method, &reason))
    }

    fn message(&self, number: u64, method: &str, reason: &dyn fmt::Display) -> String {
        format!("{self}: {method} (block {number}): {reason}")
    }
}

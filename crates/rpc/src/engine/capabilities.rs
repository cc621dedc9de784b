//! What the two layers tell each other about themselves. Source: execution-apis, `common.md`,
//! `identification.md`, `paris.md`.

use super::{
    errors::Failure,
    params::ParamList,
    wire::{Fixed, Quantity, Wide},
};
use fugue_types::{B256, U256};
use jsonrpsee::types::Params;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

/// `TERMINAL_TOTAL_DIFFICULTY` where proof of work never ends: `2^256 - 2^10`.
/// Source: execution-apis, `engine_exchangeTransitionConfigurationV1`, 7.
const NO_TERMINAL_DIFFICULTY: U256 =
    U256::from_limbs([u64::MAX - 1_023, u64::MAX, u64::MAX, u64::MAX]);

/// `ClientVersionV1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientVersion {
    /// Two letters.
    pub code: String,
    /// Name for people.
    pub name: String,
    /// Version of the program.
    pub version: String,
    /// The first four bytes of the hash of its commit, in hex.
    pub commit: String,
}

/// `TransitionConfigurationV1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct TransitionConfiguration {
    terminal_total_difficulty: Wide,
    terminal_block_hash: Fixed<32>,
    terminal_block_number: Quantity,
}

/// Answers `engine_exchangeCapabilities`: `ours` are the methods with a version.
pub(super) fn exchange(
    ours: &[&'static str],
    params: &Params<'_>,
) -> Result<Box<RawValue>, Failure> {
    let list = ParamList::new(params, &["capabilities"])?;
    let theirs: Vec<String> = list.required(0)?;
    tracing::debug!(target: "fugue::engine", theirs = theirs.len(), "capabilities exchanged");
    Ok(to_raw_value(&ours)?)
}

/// Answers `engine_getClientVersionV1`.
pub(super) fn client_version(
    ours: &ClientVersion,
    params: &Params<'_>,
) -> Result<Box<RawValue>, Failure> {
    let list = ParamList::new(params, &["clientVersion"])?;
    let ClientVersion { code, name, version, commit } = list.required(0)?;
    let client = name.as_str();
    tracing::debug!(target: "fugue::engine", code, client, version, commit, "consensus client");
    Ok(to_raw_value(&[ours])?)
}

/// Answers `engine_exchangeTransitionConfigurationV1`, which some clients still call.
pub(super) fn transition(
    terminal_total_difficulty: Option<U256>,
    params: &Params<'_>,
) -> Result<Box<RawValue>, Failure> {
    let list = ParamList::new(params, &["transitionConfiguration"])?;
    let theirs: TransitionConfiguration = list.required(0)?;
    let ours = TransitionConfiguration {
        terminal_total_difficulty: Wide(
            terminal_total_difficulty.unwrap_or(NO_TERMINAL_DIFFICULTY),
        ),
        terminal_block_hash: Fixed(B256::ZERO),
        terminal_block_number: Quantity(0),
    };
    if theirs.terminal_total_difficulty != ours.terminal_total_difficulty
        || theirs.terminal_block_hash != ours.terminal_block_hash
    {
        tracing::warn!(
            target: "fugue::engine",
            ?theirs,
            ?ours,
            "the consensus client is configured for another transition: is it of this chain?"
        );
    }
    Ok(to_raw_value(&ours)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn wire(answer: Result<Box<RawValue>, Failure>) -> Value {
        serde_json::from_str(answer.unwrap().get()).unwrap()
    }

    #[test]
    fn e2_the_answer_lists_our_methods_whatever_theirs_are() {
        let ours = ["engine_newPayloadV1", "engine_newPayloadV2"];
        for theirs in [json!([[]]), json!([["engine_newPayloadV9", "engine_x"]])] {
            let theirs = theirs.to_string();
            let found = exchange(&ours, &Params::new(Some(&theirs)));
            assert_eq!(wire(found), json!(ours));
        }
        let found = exchange(&ours, &Params::new(Some("[\"engine_x\"]")));
        assert!(matches!(found, Err(Failure::InvalidParams(_))));
    }

    #[test]
    fn the_client_version_is_in_a_list() {
        let ours = ClientVersion {
            code: "FG".to_owned(),
            name: "Fugue".to_owned(),
            version: "v1".to_owned(),
            commit: "0x01020304".to_owned(),
        };
        let theirs = json!([{ "code": "ZZ", "name": "x", "version": "y", "commit": "z" }]);
        let theirs = theirs.to_string();
        let found = wire(client_version(&ours, &Params::new(Some(&theirs))));
        let ours =
            json!({ "code": "FG", "name": "Fugue", "version": "v1", "commit": "0x01020304" });
        assert_eq!(found, json!([ours]));
    }

    #[test]
    fn the_transition_is_the_one_of_the_chain() {
        let theirs = json!([{
            "terminalTotalDifficulty": "0x1",
            "terminalBlockHash": B256::ZERO,
            "terminalBlockNumber": "0x7",
        }]);
        let theirs = theirs.to_string();
        let never = format!("0x{}c00", "f".repeat(61));
        for (ours, expected) in [(Some(U256::from(31)), "0x1f"), (None, never.as_str())] {
            let found = wire(transition(ours, &Params::new(Some(&theirs))));
            assert_eq!(found["terminalTotalDifficulty"], expected);
            assert_eq!(found["terminalBlockHash"], json!(B256::ZERO));
            assert_eq!(found["terminalBlockNumber"], "0x0");
        }
    }
}

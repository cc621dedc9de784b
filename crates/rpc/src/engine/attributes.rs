//! The parameters of `engine_forkchoiceUpdated`: a fork choice, what to build, and what the
//! consensus layer keeps.
//!
//! Wrong attributes are no error of the call yet: the fork choice is followed first, and kept.
//! Source: execution-apis, `paris.md`, `engine_forkchoiceUpdatedV1`, 8.

use super::{
    errors::Failure,
    forks::{Era, Version},
    params::ParamList,
    wire::{Fixed, Quantity, WireWithdrawal},
};
use fugue_chain::{BuildAttributes, EngineError, Forkchoice};
use fugue_types::Address;
use jsonrpsee::types::Params;
use serde::Deserialize;
use serde_json::Value;

/// Of V1 to V3.
const PARAMS: &[&str] = &["forkchoiceState", "payloadAttributes"];
/// Of V4.
const PARAMS_WITH_CUSTODY: &[&str] = &["forkchoiceState", "payloadAttributes", "custodyColumns"];

/// `ForkchoiceStateV1`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ForkchoiceState {
    head_block_hash: Fixed<32>,
    safe_block_hash: Fixed<32>,
    finalized_block_hash: Fixed<32>,
}

/// `PayloadAttributesV1` to `V4`, which differ in the optional fields.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PayloadAttributes {
    timestamp: Quantity,
    prev_randao: Fixed<32>,
    suggested_fee_recipient: Fixed<20>,
    withdrawals: Option<Vec<WireWithdrawal>>,
    parent_beacon_block_root: Option<Fixed<32>>,
    slot_number: Option<Quantity>,
    target_gas_limit: Option<Quantity>,
}

/// Which fields attributes have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Structure {
    V1,
    /// And `withdrawals`.
    V2,
    /// And `parentBeaconBlockRoot`.
    V3,
    /// And `slotNumber`, `targetGasLimit`.
    V4,
}

/// A call of `engine_forkchoiceUpdated` whose parameters have their form; the attributes, perhaps,
/// have not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ForkchoiceCall {
    pub(super) state: Forkchoice,
    pub(super) attributes: Option<Result<BuildAttributes, EngineError>>,
}

impl ForkchoiceCall {
    /// Reads the parameters of a call. `era_at` says which fork a block of a timestamp is of.
    ///
    /// # Errors
    /// [`Failure::InvalidParams`] if fork choice or custody columns do not have their form.
    pub(super) fn decode(
        version: Version,
        params: &Params<'_>,
        era_at: impl Fn(u64) -> Era,
    ) -> Result<Self, Failure> {
        let names = if version >= Version::V4 { PARAMS_WITH_CUSTODY } else { PARAMS };
        let list = ParamList::new(params, names)?;
        let state: ForkchoiceState = list.required(0)?;
        // This node has whole blobs alone, and samples none: the columns have a form to check, and
        // nothing to change. Their bit `i % 8` of byte `i / 8` stands for column `i`.
        let _: Option<Fixed<16>> = list.optional(2)?;
        let ForkchoiceState { head_block_hash, safe_block_hash, finalized_block_hash } = state;
        Ok(Self {
            state: Forkchoice {
                head: head_block_hash.0,
                safe: safe_block_hash.0,
                finalized: finalized_block_hash.0,
            },
            attributes: list.json(1).map(|json| attributes(version, json, era_at)),
        })
    }
}

fn attributes(
    version: Version,
    json: &str,
    era_at: impl Fn(u64) -> Era,
) -> Result<BuildAttributes, EngineError> {
    let attributes: PayloadAttributes = serde_json::from_str(json)
        .map_err(|error| EngineError::InvalidAttributes(error.to_string()))?;
    let timestamp = attributes.timestamp.0;
    let era = era_at(timestamp);
    // The structure comes first, then the fork.
    let (due, is_fitting) = match version {
        Version::V1 if era < Era::Shanghai => (Structure::V1, true),
        Version::V1 => {
            let why = format!("version 1 has no withdrawals, which a block of {timestamp} has");
            return Err(EngineError::InvalidAttributes(why));
        }
        Version::V2 if era < Era::Shanghai => (Structure::V1, true),
        Version::V2 => (Structure::V2, era < Era::Cancun),
        Version::V3 => (Structure::V3, matches!(era, Era::Cancun | Era::Prague | Era::Osaka)),
        Version::V4 | Version::V5 | Version::V6 => (Structure::V4, era == Era::Amsterdam),
    };
    attributes.check(due).map_err(EngineError::InvalidAttributes)?;
    if !is_fitting {
        return Err(EngineError::UnsupportedFork(format!(
            "engine_forkchoiceUpdated{version:?} does not build blocks of timestamp {timestamp}"
        )));
    }
    Ok(attributes.into())
}

/// Attributes of a block that is built at once, whatever its fork: the fields are those of the
/// newest structure for it, but for the target gas limit, which may be given or not.
pub(super) fn of_any_fork(
    value: &Value,
    era_at: impl Fn(u64) -> Era,
) -> Result<BuildAttributes, String> {
    let attributes = PayloadAttributes::deserialize(value).map_err(|error| error.to_string())?;
    let due = match era_at(attributes.timestamp.0) {
        Era::Paris => Structure::V1,
        Era::Shanghai => Structure::V2,
        Era::Cancun | Era::Prague | Era::Osaka => Structure::V3,
        Era::Amsterdam | Era::Later => Structure::V4,
    };
    attributes.check_but_for_target(due)?;
    Ok(attributes.into())
}

impl PayloadAttributes {
    /// Rule: the fields are exactly those of the structure.
    fn check(&self, due: Structure) -> Result<(), String> {
        self.check_but_for_target(due)?;
        check_field("targetGasLimit", self.target_gas_limit.is_some(), due >= Structure::V4)
    }

    fn check_but_for_target(&self, due: Structure) -> Result<(), String> {
        for (field, is_given, since) in [
            ("withdrawals", self.withdrawals.is_some(), Structure::V2),
            ("parentBeaconBlockRoot", self.parent_beacon_block_root.is_some(), Structure::V3),
            ("slotNumber", self.slot_number.is_some(), Structure::V4),
        ] {
            check_field(field, is_given, due >= since)?;
        }
        Ok(())
    }
}

fn check_field(field: &str, is_given: bool, is_due: bool) -> Result<(), String> {
    if is_given == is_due {
        return Ok(());
    }
    let why = if is_due { "missing" } else { "not of this version and fork" };
    Err(format!("{field}: {why}"))
}

impl From<PayloadAttributes> for BuildAttributes {
    fn from(attributes: PayloadAttributes) -> Self {
        let PayloadAttributes {
            timestamp,
            prev_randao,
            suggested_fee_recipient,
            withdrawals,
            parent_beacon_block_root,
            slot_number,
            target_gas_limit,
        } = attributes;
        Self {
            timestamp: timestamp.0,
            prev_randao: prev_randao.0,
            fee_recipient: Address(suggested_fee_recipient.0),
            withdrawals: withdrawals.map(|list| list.into_iter().map(Into::into).collect()),
            parent_beacon_block_root: parent_beacon_block_root.map(|root| root.0),
            slot_number: slot_number.map(|slot| slot.0),
            target_gas_limit: target_gas_limit.map(|gas| gas.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fugue_types::B256;
    use serde_json::json;

    const ERAS: [Era; 7] = [
        Era::Paris,
        Era::Shanghai,
        Era::Cancun,
        Era::Prague,
        Era::Osaka,
        Era::Amsterdam,
        Era::Later,
    ];

    fn state() -> Value {
        json!({
            "headBlockHash": B256::repeat_byte(1),
            "safeBlockHash": B256::repeat_byte(2),
            "finalizedBlockHash": B256::ZERO,
        })
    }

    fn attributes_of(structure: Structure) -> Value {
        let mut attributes = json!({
            "timestamp": "0x9",
            "prevRandao": B256::repeat_byte(3),
            "suggestedFeeRecipient": Address::repeat_byte(4),
        });
        for (field, value, since) in [
            ("withdrawals", json!([]), Structure::V2),
            ("parentBeaconBlockRoot", json!(B256::repeat_byte(5)), Structure::V3),
            ("slotNumber", json!("0x6"), Structure::V4),
            ("targetGasLimit", json!("0x7"), Structure::V4),
        ] {
            if structure >= since {
                attributes[field] = value;
            }
        }
        attributes
    }

    fn decode(version: Version, era: Era, params: &Value) -> Result<ForkchoiceCall, Failure> {
        let json = params.to_string();
        ForkchoiceCall::decode(version, &Params::new(Some(&json)), |_| era)
    }

    /// What becomes of attributes: the call itself is right.
    fn build(
        version: Version,
        era: Era,
        attributes: &Value,
    ) -> Result<BuildAttributes, EngineError> {
        let call = decode(version, era, &json!([state(), attributes])).unwrap();
        assert_eq!(call.state.head, B256::repeat_byte(1));
        call.attributes.unwrap()
    }

    fn is_invalid(found: &Result<BuildAttributes, EngineError>) -> bool {
        matches!(found, Err(EngineError::InvalidAttributes(_)))
    }

    fn is_unsupported(found: &Result<BuildAttributes, EngineError>) -> bool {
        matches!(found, Err(EngineError::UnsupportedFork(_)))
    }

    #[test]
    fn attributes_may_be_missing() {
        for params in [json!([state()]), json!([state(), null])] {
            for version in [Version::V1, Version::V2, Version::V3, Version::V4] {
                let call = decode(version, Era::Paris, &params).unwrap();
                assert_eq!(call.attributes, None);
                assert_eq!(call.state.safe, B256::repeat_byte(2));
                assert_eq!(call.state.finalized, B256::ZERO);
            }
        }
    }

    #[test]
    fn another_structure_of_the_fork_choice_is_invalid_params() {
        let mut short = state();
        short["safeBlockHash"] = Value::Null;
        for params in [json!([]), json!([null]), json!([short]), json!(["0x"]), json!({})] {
            let found = decode(Version::V3, Era::Cancun, &params);
            assert!(matches!(found, Err(Failure::InvalidParams(_))), "{params}: {found:?}");
        }
    }

    #[test]
    fn e19_wrong_attributes_come_with_a_right_fork_choice() {
        let garbage = [json!("0x"), json!({}), json!({ "timestamp": "0x9" }), json!(7)];
        for version in [Version::V1, Version::V2, Version::V3, Version::V4] {
            for attributes in &garbage {
                let found = build(version, Era::Paris, attributes);
                assert!(is_invalid(&found), "{version:?}: {attributes}: {found:?}");
            }
        }
    }

    #[test]
    fn e19_structure_comes_before_the_fork() {
        let at = |version, era, structure| build(version, era, &attributes_of(structure));
        // As hive has it.
        assert!(is_invalid(&at(Version::V3, Era::Shanghai, Structure::V2)));
        assert!(is_unsupported(&at(Version::V3, Era::Shanghai, Structure::V3)));
        assert!(is_invalid(&at(Version::V2, Era::Shanghai, Structure::V3)));
        assert!(is_invalid(&at(Version::V2, Era::Cancun, Structure::V3)));
        assert!(is_unsupported(&at(Version::V2, Era::Cancun, Structure::V2)));
        assert!(is_invalid(&at(Version::V2, Era::Paris, Structure::V2)));
        assert!(is_invalid(&at(Version::V2, Era::Shanghai, Structure::V1)));
        assert!(is_invalid(&at(Version::V1, Era::Paris, Structure::V2)));
        assert!(is_invalid(&at(Version::V1, Era::Shanghai, Structure::V1)));
        assert!(at(Version::V1, Era::Paris, Structure::V1).is_ok());
        assert!(at(Version::V2, Era::Paris, Structure::V1).is_ok());
        assert!(at(Version::V2, Era::Shanghai, Structure::V2).is_ok());
    }

    #[test]
    fn e30_each_version_builds_for_its_forks_alone() {
        for era in ERAS {
            let third = build(Version::V3, era, &attributes_of(Structure::V3));
            let is_third = matches!(era, Era::Cancun | Era::Prague | Era::Osaka);
            assert_eq!(third.is_ok(), is_third, "{era:?}");
            assert_eq!(is_unsupported(&third), !is_third, "{era:?}");
            let fourth = build(Version::V4, era, &attributes_of(Structure::V4));
            assert_eq!(fourth.is_ok(), era == Era::Amsterdam, "{era:?}");
            assert_eq!(is_unsupported(&fourth), era != Era::Amsterdam, "{era:?}");
            assert!(is_invalid(&build(Version::V3, era, &attributes_of(Structure::V4))));
            assert!(is_invalid(&build(Version::V4, era, &attributes_of(Structure::V3))));
        }
    }

    #[test]
    fn e22_custody_columns_are_16_bytes_or_missing() {
        let with =
            |custody: Value| decode(Version::V4, Era::Amsterdam, &json!([state(), null, custody]));
        assert!(with(Value::Null).is_ok());
        assert!(with(json!(format!("0x{}", "ff".repeat(16)))).is_ok());
        for bad in [json!("0x"), json!(format!("0x{}", "ff".repeat(15))), json!([1]), json!(3)] {
            let found = with(bad);
            assert!(matches!(found, Err(Failure::InvalidParams(_))), "{found:?}");
        }
        let found = decode(Version::V3, Era::Cancun, &json!([state(), null, "0x"]));
        assert!(matches!(found, Err(Failure::InvalidParams(_))));
    }

    #[test]
    fn a_block_of_any_fork_has_the_fields_of_its_fork() {
        for era in ERAS {
            let due = match era {
                Era::Paris => Structure::V1,
                Era::Shanghai => Structure::V2,
                Era::Cancun | Era::Prague | Era::Osaka => Structure::V3,
                Era::Amsterdam | Era::Later => Structure::V4,
            };
            for structure in [Structure::V1, Structure::V2, Structure::V3, Structure::V4] {
                let mut attributes = attributes_of(structure);
                let found = of_any_fork(&attributes, |_| era);
                assert_eq!(found.is_ok(), structure == due, "{era:?} {structure:?}: {found:?}");
                // The target gas limit is free.
                attributes["targetGasLimit"] = json!("0x7");
                let found = of_any_fork(&attributes, |_| era).map(|found| found.target_gas_limit);
                let expected = (structure == due).then_some(Some(7));
                assert_eq!(found.ok(), expected, "{era:?} {structure:?}");
            }
            let without = attributes_of(due);
            let mut fields = without.as_object().unwrap().clone();
            fields.remove("targetGasLimit");
            assert!(of_any_fork(&fields.into(), |_| era).is_ok(), "{era:?}");
        }
        assert!(of_any_fork(&json!({ "nonsense": true }), |_| Era::Paris).is_err());
    }

    #[test]
    fn e23_the_target_gas_limit_is_handed_on() {
        let attributes = build(Version::V4, Era::Amsterdam, &attributes_of(Structure::V4)).unwrap();
        assert_eq!(attributes.target_gas_limit, Some(7));
        assert_eq!(attributes.slot_number, Some(6));
        assert_eq!(attributes.timestamp, 9);
        assert_eq!(attributes.parent_beacon_block_root, Some(B256::repeat_byte(5)));
        assert_eq!(attributes.withdrawals, Some(Vec::new()));
    }
}

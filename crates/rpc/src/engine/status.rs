//! What is said of payloads and fork choices. Source: execution-apis, `PayloadStatusV1`.

use super::{forks::Version, payload::Unfit, wire::Fixed};
use fugue_chain::{ForkchoiceVerdict, PayloadVerdict, Refusal};
use fugue_types::B256;
use serde::Serialize;

/// `status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum Status {
    Valid,
    Invalid,
    Syncing,
    Accepted,
    /// Of `engine_newPayloadV1` alone.
    InvalidBlockHash,
}

/// `PayloadStatusV1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PayloadStatus {
    pub(super) status: Status,
    latest_valid_hash: Option<B256>,
    validation_error: Option<String>,
}

/// The answer of `engine_forkchoiceUpdated`, which never says `ACCEPTED`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ForkchoiceUpdated {
    pub(super) payload_status: PayloadStatus,
    payload_id: Option<Fixed<8>>,
}

impl Status {
    /// For metrics and logs.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Invalid | Self::InvalidBlockHash => "invalid",
            Self::Syncing => "syncing",
            Self::Accepted => "accepted",
        }
    }
}

impl PayloadStatus {
    /// Of the payload with this hash.
    pub(super) fn of_verdict(verdict: PayloadVerdict, hash: B256) -> Self {
        match verdict {
            PayloadVerdict::Valid => Self::valid(hash),
            PayloadVerdict::Invalid(refusal) => Self::invalid(refusal),
            PayloadVerdict::Syncing => Self::open(Status::Syncing),
            PayloadVerdict::Accepted => Self::open(Status::Accepted),
        }
    }

    /// Of a payload that was not shown to the chain.
    pub(super) fn of_unfit(unfit: &Unfit, version: Version) -> Self {
        let status = match unfit {
            Unfit::Hash(_) if version == Version::V1 => Status::InvalidBlockHash,
            _ => Status::Invalid,
        };
        Self { status, latest_valid_hash: None, validation_error: Some(unfit.to_string()) }
    }

    /// What is wrong with the payload.
    pub(super) fn error(&self) -> Option<&str> {
        self.validation_error.as_deref()
    }

    const fn valid(hash: B256) -> Self {
        Self { status: Status::Valid, latest_valid_hash: Some(hash), validation_error: None }
    }

    fn invalid(refusal: Refusal) -> Self {
        let Refusal { latest_valid, reason } = refusal;
        Self {
            status: Status::Invalid,
            latest_valid_hash: latest_valid,
            validation_error: Some(reason),
        }
    }

    const fn open(status: Status) -> Self {
        Self { status, latest_valid_hash: None, validation_error: None }
    }
}

impl ForkchoiceUpdated {
    /// Of the fork choice with this head.
    pub(super) fn of_verdict(verdict: ForkchoiceVerdict, head: B256) -> Self {
        let (payload_status, id) = match verdict {
            ForkchoiceVerdict::Valid(id) => (PayloadStatus::valid(head), id),
            ForkchoiceVerdict::Invalid(refusal) => (PayloadStatus::invalid(refusal), None),
            ForkchoiceVerdict::Syncing => (PayloadStatus::open(Status::Syncing), None),
        };
        Self { payload_status, payload_id: id.map(|id| Fixed(id.into())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fugue_types::HashMismatch;
    use serde_json::{Value, json};

    fn wire(answer: impl Serialize) -> Value {
        serde_json::to_value(answer).unwrap()
    }

    #[test]
    fn e5_the_first_version_has_a_status_for_another_hash() {
        let hash = B256::repeat_byte(1);
        let unfit = Unfit::Hash(HashMismatch { expected: hash, found: hash });
        for (version, status) in [
            (Version::V1, "INVALID_BLOCK_HASH"),
            (Version::V2, "INVALID"),
            (Version::V3, "INVALID"),
            (Version::V5, "INVALID"),
        ] {
            let found = wire(PayloadStatus::of_unfit(&unfit, version));
            let why = unfit.to_string();
            let expected =
                json!({ "status": status, "latestValidHash": null, "validationError": why });
            assert_eq!(found, expected);
        }
        let found = wire(PayloadStatus::of_unfit(&Unfit::EmptyTransaction(0), Version::V1));
        assert_eq!(found["status"], "INVALID");
        assert_eq!(found["latestValidHash"], Value::Null);
    }

    #[test]
    fn e10_an_invalid_payload_names_its_newest_valid_ancestor() {
        for latest_valid in [None, Some(B256::ZERO), Some(B256::repeat_byte(2))] {
            let refusal = Refusal { latest_valid, reason: "a rule".to_owned() };
            let found =
                wire(PayloadStatus::of_verdict(PayloadVerdict::Invalid(refusal), B256::ZERO));
            let expected = json!({
                "status": "INVALID", "latestValidHash": latest_valid, "validationError": "a rule",
            });
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn e13_syncing_and_accepted_name_no_hash() {
        for (verdict, status) in
            [(PayloadVerdict::Syncing, "SYNCING"), (PayloadVerdict::Accepted, "ACCEPTED")]
        {
            let found = wire(PayloadStatus::of_verdict(verdict, B256::repeat_byte(1)));
            let expected =
                json!({ "status": status, "latestValidHash": null, "validationError": null });
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn e15_an_unknown_head_is_syncing_and_no_error() {
        let head = B256::repeat_byte(1);
        let found = wire(ForkchoiceUpdated::of_verdict(ForkchoiceVerdict::Syncing, head));
        let status =
            json!({ "status": "SYNCING", "latestValidHash": null, "validationError": null });
        assert_eq!(found, json!({ "payloadStatus": status, "payloadId": null }));
    }

    #[test]
    fn a_followed_head_is_its_own_latest_valid_hash_and_names_the_build() {
        let head = B256::repeat_byte(1);
        let verdict = ForkchoiceVerdict::Valid(Some([0, 1, 2, 3, 4, 5, 6, 0xff]));
        let found = wire(ForkchoiceUpdated::of_verdict(verdict, head));
        let status = json!({ "status": "VALID", "latestValidHash": head, "validationError": null });
        assert_eq!(found, json!({ "payloadStatus": status, "payloadId": "0x00010203040506ff" }));
    }
}

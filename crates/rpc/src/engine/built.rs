//! Built blocks, as `engine_getPayload` answers with them.

use super::{
    errors::Failure,
    forks::{Era, Version},
    payload::ExecutionPayload,
    wire::Wide,
};
use alloy_eips::eip4844::{Blob, Bytes48};
use fugue_chain::BuiltPayload;
use fugue_txpool::{Sidecar, SidecarForm};
use fugue_types::Bytes;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use std::sync::Arc;

/// The answer of `engine_getPayloadV2` and later; V1 has the payload alone.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a> {
    execution_payload: ExecutionPayload,
    block_value: Wide,
    /// From V3 on.
    #[serde(skip_serializing_if = "Option::is_none")]
    blobs_bundle: Option<Bundle<'a>>,
    /// From V3 on. This node has no opinion on builders.
    #[serde(skip_serializing_if = "Option::is_none")]
    should_override_builder: Option<bool>,
    /// From V4 on.
    #[serde(skip_serializing_if = "Option::is_none")]
    execution_requests: Option<Vec<&'a Bytes>>,
}

/// `BlobsBundleV1` and `V2`, which differ in the number of proofs.
#[derive(Debug, Serialize)]
struct Bundle<'a> {
    commitments: Vec<&'a Bytes48>,
    proofs: Vec<&'a Bytes48>,
    blobs: Vec<&'a Blob>,
}

/// The answer of a version of `engine_getPayload`. `era` is the block's.
///
/// # Errors
/// `UnsupportedFork` if the version is not for blocks of the era.
pub(super) fn answer(
    version: Version,
    era: Era,
    built: &BuiltPayload,
) -> Result<Box<RawValue>, Failure> {
    check_fork(version, era)?;
    if version == Version::V1 {
        let BuiltPayload { block, access_list, .. } = built;
        return Ok(to_raw_value(&ExecutionPayload::of_block(block, access_list.as_ref()))?);
    }
    whole(version, built)
}

/// All that is told of a built block, in the form of a version from V2 on.
///
/// # Errors
/// [`Failure::Broken`] if its blobs have not the form of the version.
pub(super) fn whole(version: Version, built: &BuiltPayload) -> Result<Box<RawValue>, Failure> {
    let BuiltPayload { block, value, requests, access_list, sidecars } = built;
    let execution_payload = ExecutionPayload::of_block(block, access_list.as_ref());
    let form = match version {
        Version::V1 | Version::V2 => None,
        Version::V3 | Version::V4 => Some(SidecarForm::BlobProofs),
        Version::V5 | Version::V6 => Some(SidecarForm::CellProofs),
    };
    let requests = (version >= Version::V4).then(|| {
        let requests = requests.iter().flat_map(|requests| requests.iter());
        // Elements with a type and no data are left out. Source: `prague.md`.
        requests.filter(|request| request.len() > 1).collect()
    });
    let envelope = Envelope {
        execution_payload,
        block_value: Wide(*value),
        blobs_bundle: form.map(|form| bundle(sidecars, form)).transpose()?,
        should_override_builder: (version >= Version::V3).then_some(false),
        execution_requests: requests,
    };
    Ok(to_raw_value(&envelope)?)
}

fn check_fork(version: Version, era: Era) -> Result<(), Failure> {
    let is_fitting = match version {
        Version::V1 => era == Era::Paris,
        Version::V2 => era < Era::Cancun,
        Version::V3 => era == Era::Cancun,
        Version::V4 => era == Era::Prague,
        Version::V5 => era == Era::Osaka,
        Version::V6 => era == Era::Amsterdam,
    };
    if is_fitting {
        return Ok(());
    }
    let why = format!("engine_getPayload{version:?} is not for payloads of {era:?}");
    Err(Failure::unsupported_fork(why))
}

/// Rule: the three lists fit each other. Source: execution-apis, `BlobsBundleV1`, `BlobsBundleV2`.
fn bundle(sidecars: &[Arc<Sidecar>], form: SidecarForm) -> Result<Bundle<'_>, Failure> {
    let mut bundle = Bundle { commitments: Vec::new(), proofs: Vec::new(), blobs: Vec::new() };
    for sidecar in sidecars {
        if SidecarForm::of(sidecar) != form {
            return Err(Failure::Broken("a blob of the block has proofs of another fork".into()));
        }
        let proofs = match &**sidecar {
            Sidecar::Eip4844(sidecar) => &sidecar.proofs,
            Sidecar::Eip7594(sidecar) => &sidecar.cell_proofs,
        };
        bundle.commitments.extend(sidecar.commitments());
        bundle.proofs.extend(proofs);
        bundle.blobs.extend(sidecar.blobs());
    }
    let Bundle { commitments, proofs, blobs } = &bundle;
    let proofs_due = blobs.len().saturating_mul(form.proofs_per_blob());
    if commitments.len() != blobs.len() || proofs.len() != proofs_due {
        return Err(Failure::Broken("a blob of the block lacks commitment or proofs".into()));
    }
    Ok(bundle)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_eips::{
        eip4844::BlobTransactionSidecar,
        eip7594::{BlobTransactionSidecarEip7594, CELLS_PER_EXT_BLOB},
    };
    use fugue_chain::EngineError;
    use fugue_types::{Block, BlockBody, Header, Requests, SealedBlock, U256};
    use serde_json::{Value, json};

    const ALL: [(Version, Era); 6] = [
        (Version::V1, Era::Paris),
        (Version::V2, Era::Shanghai),
        (Version::V3, Era::Cancun),
        (Version::V4, Era::Prague),
        (Version::V5, Era::Osaka),
        (Version::V6, Era::Amsterdam),
    ];

    fn sidecar(blobs: usize, form: SidecarForm) -> Arc<Sidecar> {
        let commitments = vec![Bytes48::repeat_byte(1); blobs];
        let proofs = vec![Bytes48::repeat_byte(2); blobs * form.proofs_per_blob()];
        let blobs = vec![Blob::ZERO; blobs];
        Arc::new(match form {
            SidecarForm::BlobProofs => {
                Sidecar::Eip4844(BlobTransactionSidecar { blobs, commitments, proofs })
            }
            SidecarForm::CellProofs => Sidecar::Eip7594(BlobTransactionSidecarEip7594 {
                blobs,
                commitments,
                cell_proofs: proofs,
            }),
        })
    }

    fn built(sidecars: Vec<Arc<Sidecar>>) -> BuiltPayload {
        let header = Header { number: 3, base_fee_per_gas: Some(7), ..Header::default() };
        let body = BlockBody { transactions: Vec::new(), ommers: Vec::new(), withdrawals: None };
        let requests = [Bytes::from_static(&[0, 1]), Bytes::from_static(&[1])];
        BuiltPayload {
            block: SealedBlock::seal(Block { header, body }),
            value: U256::from(255),
            requests: Some(Requests::from_requests(requests)),
            access_list: None,
            sidecars,
        }
    }

    fn wire(version: Version, era: Era, built: &BuiltPayload) -> Value {
        serde_json::from_str(answer(version, era, built).unwrap().get()).unwrap()
    }

    #[test]
    fn each_version_has_its_members() {
        for (version, era) in ALL {
            let found = wire(version, era, &built(Vec::new()));
            let payload = if version == Version::V1 { &found } else { &found["executionPayload"] };
            assert_eq!(payload["blockNumber"], "0x3", "{version:?}");
            let members = [
                ("blockValue", json!("0xff"), Version::V2),
                ("blobsBundle", json!({"commitments": [], "proofs": [], "blobs": []}), Version::V3),
                ("shouldOverrideBuilder", json!(false), Version::V3),
                ("executionRequests", json!(["0x0001"]), Version::V4),
            ];
            for (member, value, since) in members {
                let due = (version >= since).then_some(value);
                assert_eq!(found.get(member), due.as_ref(), "{version:?}: {member}");
            }
        }
    }

    #[test]
    fn e24_a_payload_of_another_fork_is_unsupported() {
        for (version, own) in ALL {
            for (_, era) in ALL {
                let found = answer(version, era, &built(Vec::new()));
                let is_own = era == own || (version == Version::V2 && era == Era::Paris);
                let is_unsupported =
                    matches!(found, Err(Failure::Engine(EngineError::UnsupportedFork(_))));
                assert_eq!(is_unsupported, !is_own, "{version:?} in {era:?}");
            }
            assert!(answer(version, Era::Later, &built(Vec::new())).is_err());
        }
    }

    #[test]
    fn e25_the_lists_of_the_bundle_fit_each_other() {
        for (version, era, form, per_blob) in [
            (Version::V3, Era::Cancun, SidecarForm::BlobProofs, 1),
            (Version::V4, Era::Prague, SidecarForm::BlobProofs, 1),
            (Version::V5, Era::Osaka, SidecarForm::CellProofs, CELLS_PER_EXT_BLOB),
            (Version::V6, Era::Amsterdam, SidecarForm::CellProofs, CELLS_PER_EXT_BLOB),
        ] {
            let found = wire(version, era, &built(vec![sidecar(2, form), sidecar(1, form)]));
            let count = |list: &str| found["blobsBundle"][list].as_array().unwrap().len();
            let counts = (count("blobs"), count("commitments"), count("proofs"));
            assert_eq!(counts, (3, 3, 3 * per_blob), "{version:?}");
        }
    }

    #[test]
    fn e25_proofs_of_another_form_or_number_are_not_handed_out() {
        let old = built(vec![sidecar(1, SidecarForm::BlobProofs)]);
        let new = built(vec![sidecar(1, SidecarForm::CellProofs)]);
        assert!(matches!(answer(Version::V5, Era::Osaka, &old), Err(Failure::Broken(_))));
        assert!(matches!(answer(Version::V4, Era::Prague, &new), Err(Failure::Broken(_))));
        let commitments = vec![Bytes48::ZERO];
        let short = BlobTransactionSidecar { blobs: Vec::new(), commitments, proofs: Vec::new() };
        let short = built(vec![Arc::new(Sidecar::Eip4844(short))]);
        assert!(matches!(answer(Version::V3, Era::Cancun, &short), Err(Failure::Broken(_))));
    }
}

//! Blobs of the pool. Source: execution-apis, `cancun.md`, `osaka.md`, `amsterdam.md`,
//! `engine_getBlobs`.

use super::{
    errors::Failure,
    forks::{Era, Version},
    params::ParamList,
    wire::Fixed,
    work::Waited,
};
use alloy_eips::{
    eip4844::{Blob, BlobCellsAndProofsV1, Bytes48},
    eip7594::BlobCellMask,
};
use fugue_txpool::{PooledBlob, Sidecar};
use fugue_types::B256;
use jsonrpsee::types::Params;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

/// Blobs in a request. The specification asks for 128 at least.
pub(super) const BLOBS_MAX: u64 = 128;
/// Calls that compute cells at a time; more wait.
pub(super) const CELL_CALLS_MAX: usize = 2;

const HASHES: &str = "versioned_blob_hashes";
const CELLS: &str = "indices_bitarray";

/// `BlobAndProofV1`.
#[derive(Debug, Serialize)]
struct BlobAndProof<'a> {
    blob: &'a Blob,
    proof: &'a Bytes48,
}

/// `BlobAndProofV2`.
#[derive(Debug, Serialize)]
struct BlobAndProofs<'a> {
    blob: &'a Blob,
    proofs: &'a [Bytes48],
}

/// The blobs that are asked for, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WantedBlobs {
    version: Version,
    hashes: Vec<B256>,
    /// For V4; otherwise none.
    cells: BlobCellMask,
}

impl WantedBlobs {
    /// Reads the parameters of `engine_getBlobs`. `era` is the head's.
    ///
    /// # Errors
    /// [`Failure::InvalidParams`], [`Failure::TooLarge`]; `UnsupportedFork` for V1 from Osaka on.
    pub(super) fn decode(version: Version, params: &Params<'_>, era: Era) -> Result<Self, Failure> {
        let names: &'static [&'static str] =
            if version >= Version::V4 { &[HASHES, CELLS] } else { &[HASHES] };
        let list = ParamList::new(params, names)?;
        let hashes: Vec<Fixed<32>> = list.required(0)?;
        let cells =
            if version >= Version::V4 { mask(list.required(1)?) } else { BlobCellMask::default() };
        let asked = hashes.len() as u64;
        if asked > BLOBS_MAX {
            return Err(Failure::TooLarge { what: "blobs", asked, max: BLOBS_MAX });
        }
        if version == Version::V1 && era >= Era::Osaka {
            let why = "engine_getBlobsV1 ends with Osaka".to_owned();
            return Err(Failure::unsupported_fork(why));
        }
        Ok(Self { version, hashes: hashes.into_iter().map(|hash| hash.0).collect(), cells })
    }

    /// Whether the answer takes more than looking up.
    pub(super) fn computes_cells(&self) -> bool {
        self.cells.count() > 0
    }

    /// The answer while syncing.
    pub(super) fn answer_while_syncing(&self) -> Result<Box<RawValue>, Failure> {
        match self.version {
            Version::V1 => Ok(to_raw_value(&vec![(); self.hashes.len()])?),
            _ => Ok(RawValue::NULL.to_owned()),
        }
    }

    /// The answer.
    pub(super) fn answer(
        &self,
        find: impl Fn(&B256) -> Option<PooledBlob>,
        waited: &Waited<'_, Box<RawValue>>,
    ) -> Result<Box<RawValue>, Failure> {
        let found: Vec<Option<PooledBlob>> = self.hashes.iter().map(find).collect();
        let found = found.iter().map(Option::as_ref);
        let answer = match self.version {
            Version::V1 => {
                let blobs: Vec<_> = found.map(|blob| blob.and_then(with_proof)).collect();
                to_raw_value(&blobs)
            }
            Version::V2 => {
                let blobs: Option<Vec<_>> =
                    found.map(|blob| blob.and_then(with_cell_proofs)).collect();
                to_raw_value(&blobs)
            }
            Version::V3 => {
                let blobs: Vec<_> = found.map(|blob| blob.and_then(with_cell_proofs)).collect();
                to_raw_value(&blobs)
            }
            Version::V4 | Version::V5 | Version::V6 => {
                let mut blobs = Vec::with_capacity(self.hashes.len());
                for blob in found {
                    waited.check()?;
                    blobs.push(match blob {
                        Some(blob) => cells(blob, self.cells)?,
                        None => None,
                    });
                }
                to_raw_value(&blobs)
            }
        };
        Ok(answer?)
    }
}

/// Bit `i % 8` of byte `i / 8` stands for cell `i`: a bit vector in SSZ.
/// Source: consensus-specs, "Bitvector"; execution-apis#856.
fn mask(bits: Fixed<16>) -> BlobCellMask {
    BlobCellMask::from_bits(u128::from_le_bytes(bits.0.0))
}

/// `None` for a blob with cell proofs.
fn with_proof(blob: &PooledBlob) -> Option<BlobAndProof<'_>> {
    match (&**blob.sidecar(), blob.proofs()?) {
        (Sidecar::Eip4844(_), [proof]) => Some(BlobAndProof { blob: blob.blob()?, proof }),
        _ => None,
    }
}

/// `None` for a blob with a proof of the whole.
fn with_cell_proofs(blob: &PooledBlob) -> Option<BlobAndProofs<'_>> {
    match &**blob.sidecar() {
        Sidecar::Eip7594(_) => Some(BlobAndProofs { blob: blob.blob()?, proofs: blob.proofs()? }),
        Sidecar::Eip4844(_) => None,
    }
}

/// Extends the blob, and takes the cells that are asked for: milliseconds. `None` for a blob with a
/// proof of the whole.
fn cells(blob: &PooledBlob, mask: BlobCellMask) -> Result<Option<BlobCellsAndProofsV1>, Failure> {
    let Sidecar::Eip7594(sidecar) = &**blob.sidecar() else { return Ok(None) };
    let cells = sidecar.blob_cells_and_proofs(blob.index(), mask);
    cells.map_err(|error| Failure::Broken(format!("cells of a blob: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::work::blocking;
    use alloy_eips::eip7594::CELLS_PER_EXT_BLOB;
    use serde_json::{Value, json};

    fn decode(version: Version, era: Era, params: &Value) -> Result<WantedBlobs, Failure> {
        WantedBlobs::decode(version, &Params::new(Some(&params.to_string())), era)
    }

    fn hashes(count: u64) -> Value {
        json!(vec![B256::ZERO; count as usize])
    }

    /// The answer of an empty pool.
    async fn answer(version: Version, params: &Value) -> Value {
        let wanted = decode(version, Era::Prague, params).unwrap();
        let answer = blocking(None, move |waited| wanted.answer(|_| None, &waited));
        serde_json::from_str(answer.await.unwrap().get()).unwrap()
    }

    const BITS: &str = "0x00000000000000000000000000000000";

    #[test]
    fn e27_as_many_blobs_as_the_bound_are_answered_and_no_more() {
        const { assert!(BLOBS_MAX >= 128) };
        for version in [Version::V1, Version::V2, Version::V3, Version::V4] {
            let params = |count| match version {
                Version::V4 => json!([hashes(count), BITS]),
                _ => json!([hashes(count)]),
            };
            assert!(decode(version, Era::Cancun, &params(BLOBS_MAX)).is_ok());
            let found = decode(version, Era::Cancun, &params(BLOBS_MAX + 1));
            assert!(matches!(found, Err(Failure::TooLarge { .. })), "{version:?}: {found:?}");
            let found = decode(version, Era::Cancun, &json!([null, BITS]));
            assert!(matches!(found, Err(Failure::InvalidParams(_))), "{version:?}: {found:?}");
        }
    }

    #[test]
    fn e27_the_first_version_ends_with_osaka() {
        for (era, is_over) in [
            (Era::Cancun, false),
            (Era::Prague, false),
            (Era::Osaka, true),
            (Era::Amsterdam, true),
            (Era::Later, true),
        ] {
            assert_eq!(decode(Version::V1, era, &json!([hashes(1)])).is_err(), is_over, "{era:?}");
            assert!(decode(Version::V2, era, &json!([hashes(1)])).is_ok());
        }
    }

    #[tokio::test]
    async fn e27_what_is_missing_is_null_in_place_or_all_together() {
        let two = json!([hashes(2)]);
        assert_eq!(answer(Version::V1, &two).await, json!([null, null]));
        assert_eq!(answer(Version::V2, &two).await, Value::Null);
        assert_eq!(answer(Version::V3, &two).await, json!([null, null]));
        assert_eq!(answer(Version::V4, &json!([hashes(2), BITS])).await, json!([null, null]));
        assert_eq!(answer(Version::V2, &json!([[]])).await, json!([]));
    }

    #[test]
    fn e27_while_syncing_the_answer_is_null() {
        for (version, expected) in [
            (Version::V1, "[null,null]"),
            (Version::V2, "null"),
            (Version::V3, "null"),
            (Version::V4, "null"),
        ] {
            let bits = if version == Version::V4 { json!(BITS) } else { Value::Null };
            let params = json!([hashes(2), bits]);
            let wanted = decode(version, Era::Cancun, &params).unwrap();
            assert_eq!(wanted.answer_while_syncing().unwrap().get(), expected, "{version:?}");
        }
    }

    #[test]
    fn e28_the_first_bit_of_the_first_byte_is_the_first_cell() {
        for (index, byte, bit) in
            [(0, 0, 1), (7, 0, 0x80), (8, 1, 1), (120, 15, 1), (127, 15, 0x80)]
        {
            let mut bytes = [0_u8; 16];
            bytes[byte] = bit;
            let mask = mask(Fixed(bytes.into()));
            assert_eq!(mask.selected_indices().collect::<Vec<_>>(), [index]);
        }
        assert_eq!(mask(Fixed([0xff; 16].into())).count(), CELLS_PER_EXT_BLOB);
    }

    #[test]
    fn e28_the_bit_array_has_16_bytes() {
        for bad in [json!("0x"), json!("0x03"), json!(format!("{BITS}00")), json!(3), Value::Null] {
            let found = decode(Version::V4, Era::Amsterdam, &json!([hashes(1), bad]));
            assert!(matches!(found, Err(Failure::InvalidParams(_))), "{found:?}");
        }
        let none = decode(Version::V4, Era::Osaka, &json!([hashes(1), BITS])).unwrap();
        assert!(!none.computes_cells());
    }
}

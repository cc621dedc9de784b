//! Blobs, their commitments and their proofs.
//!
//! A sidecar has one of two forms: one proof for each blob (EIP-4844), or one for each cell of the
//! extended blob (EIP-7594). Which one is due follows from the rules of the next block.

use crate::PoolError;
use alloy_eips::{
    eip4844::{
        Blob, BlobTransactionSidecar, BlobTransactionValidationError, env_settings::EnvKzgSettings,
    },
    eip7594::{BlobTransactionSidecarEip7594, BlobTransactionSidecarVariant, CELLS_PER_EXT_BLOB},
};
use fugue_chainspec::{Fork, Rules};
use fugue_types::B256;
use std::fmt;

/// Blobs with their commitments and proofs, in either form.
pub type Sidecar = BlobTransactionSidecarVariant;

/// What the proofs of a sidecar prove.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SidecarForm {
    /// Each proof a blob: before Osaka. Source: EIP-4844, "Networking".
    BlobProofs,
    /// Each proof a cell of an extended blob: from Osaka on. Source: EIP-7594, "Networking".
    CellProofs,
}

impl SidecarForm {
    /// The form that is due under these rules.
    pub fn at(rules: &Rules) -> Self {
        if rules.has(Fork::Osaka) { Self::CellProofs } else { Self::BlobProofs }
    }

    /// The form that a sidecar has.
    pub const fn of(sidecar: &Sidecar) -> Self {
        match sidecar {
            Sidecar::Eip4844(_) => Self::BlobProofs,
            Sidecar::Eip7594(_) => Self::CellProofs,
        }
    }

    /// How many proofs belong to a blob.
    pub const fn proofs_per_blob(self) -> usize {
        match self {
            Self::BlobProofs => 1,
            Self::CellProofs => CELLS_PER_EXT_BLOB,
        }
    }
}

impl fmt::Display for SidecarForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BlobProofs => "0 (blob proofs, EIP-4844)",
            Self::CellProofs => "1 (cell proofs, EIP-7594)",
        })
    }
}

/// Judges a sidecar by all that is cheap to see: form, counts, and the hashes of the commitments.
/// `hashes` are the versioned hashes of its transaction, `rules` those of the block.
///
/// # Errors
/// `SidecarForm`, `SidecarCounts`, `BlobHash` of [`PoolError`].
pub fn check_sidecar(hashes: &[B256], sidecar: &Sidecar, rules: &Rules) -> Result<(), PoolError> {
    let (expected, found) = (SidecarForm::at(rules), SidecarForm::of(sidecar));
    if expected != found {
        return Err(PoolError::SidecarForm { expected, found });
    }
    let (blobs, commitments) = (sidecar.blobs().len(), sidecar.commitments().len());
    let proofs = match sidecar {
        Sidecar::Eip4844(sidecar) => sidecar.proofs.len(),
        Sidecar::Eip7594(sidecar) => sidecar.cell_proofs.len(),
    };
    let count = hashes.len();
    let proofs_due = count.saturating_mul(found.proofs_per_blob());
    if blobs != count || commitments != count || proofs != proofs_due {
        return Err(PoolError::SidecarCounts { hashes: count, blobs, commitments, proofs });
    }
    let mut pairs = hashes.iter().zip(sidecar.versioned_hashes());
    match pairs.find(|(expected, found)| *expected != found) {
        Some((expected, found)) => Err(PoolError::BlobHash { expected: *expected, found }),
        None => Ok(()),
    }
}

/// Commits to blobs, and proves them in this form: much dearer than [`check_proofs`], above all
/// where it is cell by cell.
///
/// # Errors
/// `PoolError::SidecarMalformed` if a blob holds what is no field element.
pub fn prove_blobs(blobs: Vec<Blob>, form: SidecarForm) -> Result<Sidecar, PoolError> {
    let setup = EnvKzgSettings::Default;
    let proven = match form {
        SidecarForm::BlobProofs => {
            BlobTransactionSidecar::try_from_blobs_with_settings(blobs, setup.get())
                .map(Sidecar::Eip4844)
        }
        SidecarForm::CellProofs => {
            BlobTransactionSidecarEip7594::try_from_blobs_with_settings(blobs, setup.get())
                .map(Sidecar::Eip7594)
        }
    };
    proven.map_err(|error| PoolError::SidecarMalformed(error.to_string()))
}

/// Verifies the proofs: milliseconds for each blob. The first call loads the trusted setup of the
/// KZG ceremony, which takes about a second.
///
/// # Errors
/// `BlobProof`, `SidecarMalformed` of [`PoolError`].
pub fn check_proofs(hashes: &[B256], sidecar: &Sidecar) -> Result<(), PoolError> {
    let setup = EnvKzgSettings::Default;
    sidecar.validate(hashes, setup.get()).map_err(|error| match error {
        BlobTransactionValidationError::InvalidProof => PoolError::BlobProof,
        other => PoolError::SidecarMalformed(other.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{cell_sidecar, hashes, old_sidecar, rules};
    use alloy_eips::eip4844::Bytes48;

    fn cells(change: impl FnOnce(&mut Vec<Bytes48>)) -> Sidecar {
        let Sidecar::Eip7594(mut sidecar) = cell_sidecar() else {
            panic!("a sidecar with cell proofs");
        };
        change(&mut sidecar.cell_proofs);
        Sidecar::Eip7594(sidecar)
    }

    #[test]
    fn each_fork_takes_its_own_form() {
        let (old, new) = (old_sidecar(), cell_sidecar());
        let (prague, osaka) = (rules(Fork::Prague), rules(Fork::Osaka));
        assert_eq!(check_sidecar(&hashes(&old), &old, &prague), Ok(()));
        assert_eq!(check_sidecar(&hashes(&new), &new, &osaka), Ok(()));
        let wrong = PoolError::SidecarForm {
            expected: SidecarForm::CellProofs,
            found: SidecarForm::BlobProofs,
        };
        let words = "unexpected blob sidecar version: have 0 (blob proofs, EIP-4844), \
                     want 1 (cell proofs, EIP-7594)";
        assert_eq!(wrong.to_string(), words);
        assert_eq!(check_sidecar(&hashes(&old), &old, &osaka), Err(wrong));
        let wrong = PoolError::SidecarForm {
            expected: SidecarForm::BlobProofs,
            found: SidecarForm::CellProofs,
        };
        assert_eq!(check_sidecar(&hashes(&new), &new, &prague), Err(wrong));
    }

    #[test]
    fn a_blob_that_holds_no_field_elements_cannot_be_proven() {
        for form in [SidecarForm::BlobProofs, SidecarForm::CellProofs] {
            let error = prove_blobs(vec![Blob::repeat_byte(0xff)], form);
            assert!(matches!(error, Err(PoolError::SidecarMalformed(_))), "{form}: {error:?}");
        }
    }

    #[test]
    fn a_missing_proof_is_rejected() {
        let sidecar = cells(|proofs| {
            proofs.pop();
        });
        let counts = PoolError::SidecarCounts { hashes: 1, blobs: 1, commitments: 1, proofs: 127 };
        assert_eq!(check_sidecar(&hashes(&sidecar), &sidecar, &rules(Fork::Osaka)), Err(counts));
    }

    #[test]
    fn a_hash_of_another_blob_is_rejected() {
        let sidecar = cell_sidecar();
        let found = hashes(&sidecar)[0];
        let expected = B256::repeat_byte(1);
        assert_eq!(
            check_sidecar(&[expected], &sidecar, &rules(Fork::Osaka)),
            Err(PoolError::BlobHash { expected, found })
        );
    }

    #[test]
    fn right_proofs_are_verified() {
        for sidecar in [old_sidecar(), cell_sidecar()] {
            assert_eq!(check_proofs(&hashes(&sidecar), &sidecar), Ok(()));
        }
    }

    #[test]
    fn a_wrong_proof_is_rejected() {
        // A commitment is a point of the curve like a proof, so only the equation fails.
        let wrong = cell_sidecar().commitments()[0];
        let sidecar = cells(|proofs| proofs[5] = wrong);
        assert_eq!(check_proofs(&hashes(&sidecar), &sidecar), Err(PoolError::BlobProof));
    }

    #[test]
    fn a_proof_that_is_no_point_is_malformed() {
        let sidecar = cells(|proofs| proofs[5] = Bytes48::repeat_byte(0xff));
        let error = check_proofs(&hashes(&sidecar), &sidecar);
        assert!(matches!(error, Err(PoolError::SidecarMalformed(_))), "{error:?}");
    }
}

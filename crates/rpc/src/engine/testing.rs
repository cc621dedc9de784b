//! What the methods of the namespace `testing` have of the Engine API: the attributes of a block,
//! and the form in which it is handed out.

use super::{
    attributes, built,
    forks::{Era, Version},
};
use fugue_chain::{BuildAttributes, BuiltPayload};
use fugue_chainspec::ChainSpec;
use jsonrpsee::types::ErrorObjectOwned;
use serde_json::{Value, value::RawValue};

/// The attributes of the block with this number, of any fork.
///
/// # Errors
/// Which field does not have its form, or is not of the fork.
pub(crate) fn attributes(
    value: &Value,
    spec: &ChainSpec,
    number: u64,
) -> Result<BuildAttributes, String> {
    attributes::of_any_fork(value, |timestamp| Era::at(spec, number, timestamp))
}

/// A built block in the form of the newest `engine_getPayload` for its fork; before Cancun in that
/// of Cancun, which has room for all.
///
/// # Errors
/// If its blobs have the proofs of another fork, which would be a defect of ours.
pub(crate) fn envelope(
    spec: &ChainSpec,
    payload: &BuiltPayload,
) -> Result<Box<RawValue>, ErrorObjectOwned> {
    let header = &payload.block.block().header;
    let version = match Era::at(spec, header.number, header.timestamp) {
        Era::Paris | Era::Shanghai | Era::Cancun => Version::V3,
        Era::Prague => Version::V4,
        Era::Osaka => Version::V5,
        Era::Amsterdam | Era::Later => Version::V6,
    };
    Ok(built::whole(version, payload)?)
}

//! The decoders of the Engine API on any text, for fuzz targets.

use super::{
    attributes::ForkchoiceCall,
    blobs::WantedBlobs,
    bodies::{BODIES_MAX, Wanted},
    forks::{Era, Version},
    payload::NewPayload,
};
use jsonrpsee::types::Params;

const VERSIONS: [Version; 6] =
    [Version::V1, Version::V2, Version::V3, Version::V4, Version::V5, Version::V6];
const ERAS: [Era; 7] =
    [Era::Paris, Era::Shanghai, Era::Cancun, Era::Prague, Era::Osaka, Era::Amsterdam, Era::Later];

/// Reads a text as the parameters of every method, in every version and fork. What is read keeps to
/// its bounds, and a block is the one that its payload says.
pub(crate) fn decode(text: &str) {
    let params = Params::new(Some(text));
    for version in VERSIONS {
        for era in ERAS {
            if let Ok(call) = NewPayload::decode(version, &params, |_, _| era) {
                let (number, hash) = call.place();
                if let Ok(block) = call.into_block() {
                    assert_eq!((block.block().header.number, block.hash()), (number, hash));
                }
            }
            // Of these two there is nothing to say but that they end.
            let _ = ForkchoiceCall::decode(version, &params, |_| era);
            let _ = WantedBlobs::decode(version, &params, era);
        }
    }
    for wanted in [Wanted::by_hash(&params), Wanted::by_range(&params)] {
        match wanted {
            Ok(Wanted::Hashes(hashes)) => assert!(hashes.len() as u64 <= BODIES_MAX),
            Ok(Wanted::Range { start, count }) => {
                assert!(start > 0 && (1..=BODIES_MAX).contains(&count), "{count} from {start}");
            }
            Err(_) => {}
        }
    }
}

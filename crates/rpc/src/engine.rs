//! The Engine API: how the consensus layer drives the node. Source: execution-apis, `src/engine`.
//!
//! ```text
//! request -> params, wire -> payload, attributes,  -> the chain -> status, built -> answer
//!            (structure)     bodies, blobs (rules)    or a view    errors
//! ```
//! Everything between the request and the chain is without a chain, and so are the tests of it. The
//! rules E1 to E33 that tests name are those of the project's list of what clients get wrong.

mod attributes;
mod blobs;
mod bodies;
mod built;
mod capabilities;
mod errors;
mod forks;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzz;
mod methods;
mod params;
mod payload;
mod status;
pub(crate) mod testing;
mod wire;
mod work;

pub use capabilities::ClientVersion;
pub(crate) use methods::module;

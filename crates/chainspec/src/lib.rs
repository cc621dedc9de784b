//! Says which rules hold at a given block.
//!
//! A fork is data: [`ChainSpec::rules`] resolves it once per block into [`Rules`], and nobody else
//! compares block numbers or timestamps with fork heights.

mod change;
mod config;
mod rules;
mod schedule;
mod spec;

pub use alloy_eips::eip7840::BlobParams;
pub use alloy_genesis::ChainConfig;
pub use alloy_hardforks::EthereumHardfork as Fork;
pub use change::SpecChange;
pub use config::ConfigError;
pub use rules::Rules;
pub use schedule::Schedule;
pub use spec::ChainSpec;

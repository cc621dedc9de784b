//! Deterministic blocks with their state: the awkward cases and a DeFi mix; and smaller blocks.
//!
//! Terms:
//! * a [`Scenario`] is a genesis, transactions that set the stage, and plans of blocks;
//! * a [`Script`] writes one: it keeps nonces, prices and gas limits right, so that every
//!   transaction of a plan is valid in its place, whether it then succeeds or fails;
//! * [`contended`] writes blocks of one kind, of which a known share aims at one place;
//! * a [`Desk`] is a set of DeFi contracts with users, [`Props`] the contracts for awkward cases;
//! * a [`Trial`] is a block that [`reduce()`] makes smaller, its own or anybody's.
//!
//! Everything follows from a seed: the same seed gives the same bytes on every machine.

mod rng;
mod wallet;

pub mod bytecode;
mod contracts;
mod system;

mod call;
mod scenario;
mod script;

mod desk;
mod desk_actions;
mod props;
mod tiny;

pub mod scenarios;

mod catalog;
mod random;
mod reduce;

mod build;
mod forge;

mod aave;
mod uniswap;
mod unlinked;

mod market;

mod contended;

pub use aave::AaveCodes;
pub use build::{BuildCause, BuildError, BuiltChain, build, build_chain};
pub use call::{Call, Fee, ether, gwei};
pub use catalog::{FORKS, catalog};
pub use contended::{BlockKind, Codes, Exchange, Pools, contended};
pub use contracts::{Arg, call, call_with, creation, runtime, selector, word};
pub use desk::{Desk, DeskSize, OpenChannel, Pool};
pub use desk_actions::DeskAction;
pub use forge::{Forge, Forged};
pub use market::{MARKET_ACCOUNTS_MIN, Market, MarketMix, MarketSize};
pub use props::Props;
pub use random::{random, random_without_empty};
pub use reduce::{Reduced, Size, Trial, reduce, seal_body};
pub use rng::Rng;
pub use scenario::{BLOCK_GAS_LIMIT, BlockPlan, CHAIN_ID, Scenario, TX_GAS_LIMIT_MAX};
pub use script::{Grant, Script};
pub use system::place_system_contracts;
pub use tiny::Tiny;
pub use uniswap::UniswapCodes;
pub use unlinked::UnlinkedCode;
pub use wallet::Wallet;

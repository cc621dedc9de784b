//! The scenarios, one file for each theme. Every function gives a scenario for a seed and a fork;
//! its doc names the first fork that it is for, where that is not Frontier.

pub mod blobs;
pub mod defi;
pub mod delegation;
pub mod destroy;
pub mod fees;
pub mod nonces;
pub mod storage;
pub mod transfers;

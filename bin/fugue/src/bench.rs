//! `fugue bench`: how long executing, importing and serving blocks takes on this machine.
//!
//! What is timed has the names by which ratios are given:
//! * `P`: execution, from a prepared block to its outcome;
//! * `R`: the state root, from the outcome to the root, receipts included;
//! * `D`: making blocks durable.
//!
//! Senders are always recovered before, and that is never part of these. [`execution`] measures `P`
//! alone, of modes side by side. Only [`newpayload`] and [`rpc`], which time what callers wait
//! for, have names of their own; [`simulate`] and [`redo`] time single transactions as well, and
//! reckon with what they found. Everything that is written lies in one folder, which is removed at
//! the end.

mod alone;
mod contracts;
mod execution;
mod folder;
mod import;
mod newpayload;
mod process;
mod redo;
mod report;
mod root;
mod rpc;
mod simulate;
mod spread;
mod workload;

use crate::{UsageError, Verdict, cli, print};
use clap::Subcommand;
use serde_json::Value;
use std::{fmt::Display, path::Path, time::Duration};

/// Options of `fugue bench`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Compare modes of execution side by side, on recorded and on generated blocks.
    Execution(execution::Options),
    /// Import blocks into new data folders, beside their execution alone.
    Import(import::Options),
    /// Send blocks to a node over HTTP as a consensus client does, and have blocks built.
    #[command(name = "newpayload")]
    NewPayload(newpayload::Options),
    /// Bound what could be gained by running only parts of transactions again.
    Redo(redo::Options),
    /// Compute state roots of small blocks, beside their execution.
    Root(root::Options),
    /// Ask the public methods of a node, alone and while it imports blocks.
    Rpc(rpc::Options),
    /// Predict how long blocks take on other numbers of cores, from times that are measured here.
    Simulate(simulate::Options),
}

/// Runs the command.
pub(crate) fn run(options: &Options) -> Result<Verdict, UsageError> {
    match &options.command {
        Command::Execution(options) => execution::run(options),
        Command::Import(options) => import::run(options),
        Command::NewPayload(options) => newpayload::run(options),
        Command::Redo(options) => redo::run(options),
        Command::Root(options) => root::run(options),
        Command::Rpc(options) => rpc::run(options),
        Command::Simulate(options) => simulate::run(options),
    }
}

/// Writes the object to where `--json` says, and the text to standard output, unless that belongs
/// to the object.
fn show(json: Option<&Path>, object: &Value, text: impl Display) -> Result<(), UsageError> {
    match json {
        Some(path) if path.as_os_str() == "-" => return print(format_args!("{object}\n")),
        Some(path) => {
            let written = std::fs::write(path, format!("{object}\n"));
            written.map_err(|error| UsageError::at(path, error))?;
        }
        None => {}
    }
    print(text)
}

/// How many in a second; `None` where no time went by.
fn per_second(count: f64, time: Duration) -> Option<f64> {
    (!time.is_zero()).then(|| count / time.as_secs_f64())
}

/// How many times as long as `other`; `None` where `other` is no time.
fn ratio(time: Duration, other: Duration) -> Option<f64> {
    per_second(time.as_secs_f64(), other)
}

/// The first line of every text.
fn machine(threads: usize) -> String {
    format!("machine    {threads} threads on {} cores\n", cli::cores())
}

/// A number for people; a dash where there is none.
fn cell(value: Option<f64>, decimals: usize) -> String {
    value.map_or("-".to_owned(), |value| format!("{value:.decimals$}"))
}

/// Bytes for people.
fn mb(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

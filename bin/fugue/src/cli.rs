//! The command line.

use crate::{
    UsageError, Verdict, bench, capture, config, db, export, generate, import, init, node, replay,
    shell, spectest, state,
};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use fugue_executor::Mode;
use std::process::ExitCode;

/// An Ethereum execution client that runs the transactions of a block in parallel and ends where
/// sequential execution would.
#[derive(Debug, Parser)]
#[command(name = "fugue", version, about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Follow a chain with a consensus client, or alone with --dev.
    Node(Box<node::Options>),
    /// Look at the settings of a node.
    Config(config::Options),
    /// Execute recorded blocks and prove the results against their headers and each other.
    Replay(replay::Options),
    /// Take blocks from a node, with what it takes to execute them, into files for replay.
    Capture(capture::Options),
    /// Begin a chain in a data folder.
    Init(init::Options),
    /// Import blocks from files into a chain on disk.
    Import(import::Options),
    /// Write blocks of a stored chain to files.
    Export(export::Options),
    /// Look at a stored chain, check it, go back in it.
    Db(db::Options),
    /// Read the state after a block.
    State(state::Options),
    /// Time execution, imports, state roots, the Engine API and JSON-RPC on this machine.
    Bench(bench::Options),
    /// Run official consensus test fixtures.
    Spectest(spectest::Options),
    /// Write deterministic blocks with their state, for tests and demonstrations.
    Generate(generate::Options),
    /// Print the completions of a shell.
    Completions(shell::Completions),
    /// Print the manual, or write a page of it for each command.
    Man(shell::Manual),
}

/// `--mode` of the commands that execute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Modes {
    /// One transaction after the other.
    Seq,
    /// Optimistically in parallel.
    Occ,
    /// In parallel by the access list of the block, one after the other before Byzantium; as occ
    /// where there is no list.
    Bal,
    /// Each thread a share of the block; as occ where the rules do not let it.
    Lanes,
    /// As the block allows, and as pays.
    Auto,
    /// seq and occ; in replay, with --bal, seq and bal.
    Both,
    /// All of them; bal in spectest, and in replay with --bal.
    All,
}

impl Modes {
    /// The modes in which each block runs, the sequential one first. `has_lists` says whether
    /// access lists are given beside the blocks.
    pub(crate) const fn list(self, has_lists: bool) -> &'static [Mode] {
        match self {
            Self::Seq => &[Mode::Seq],
            Self::Occ => &[Mode::Occ],
            Self::Bal => &[Mode::Bal],
            Self::Lanes => &[Mode::Lanes],
            Self::Auto => &[Mode::Auto],
            Self::Both if has_lists => &[Mode::Seq, Mode::Bal],
            Self::Both => &[Mode::Seq, Mode::Occ],
            Self::All if has_lists => &[Mode::Seq, Mode::Occ, Mode::Bal, Mode::Lanes, Mode::Auto],
            Self::All => &[Mode::Seq, Mode::Occ, Mode::Lanes, Mode::Auto],
        }
    }
}

/// `--threads` of the commands that execute.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Threads {
    /// Threads for parallel execution [default: all cores]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

impl Threads {
    pub(crate) fn count(self) -> usize {
        self.threads.map_or_else(cores, usize::from)
    }
}

/// Cores that this process may use.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Runs the program on the process's arguments.
pub fn run() -> ExitCode {
    let verdict = command().unwrap_or_else(|UsageError(message)| {
        eprintln!("error: {message}");
        Verdict::BadInput
    });
    ExitCode::from(verdict.exit_code())
}

fn command() -> Result<Verdict, UsageError> {
    // clap answers bad usage with exit code 2 itself.
    let (matches, settings) = config::matches(Cli::command(), std::env::args_os().collect())?;
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match cli.command {
        Command::Node(options) => node::run(&options),
        Command::Config(options) => config::run(&options, &settings),
        Command::Replay(options) => replay::run(&options),
        Command::Capture(options) => capture::run(&options),
        Command::Init(options) => init::run(&options),
        Command::Import(options) => import::run(&options),
        Command::Export(options) => export::run(&options),
        Command::Db(options) => db::run(&options),
        Command::State(options) => state::run(&options),
        Command::Bench(options) => bench::run(&options),
        Command::Spectest(options) => spectest::run(&options),
        Command::Generate(options) => generate::run(&options),
        Command::Completions(options) => {
            shell::completions(&options, config::prepared(Cli::command()))
        }
        Command::Man(options) => shell::manual(&options, config::prepared(Cli::command())),
    }
}

//! `fugue completions` and `fugue man`: what a shell and a reader of manuals want to know of the
//! command line.

use crate::{UsageError, Verdict, datadir::usage, print};
use clap::Command;
use clap_complete::aot::{Shell, generate};
use clap_mangen::Man;
use std::path::PathBuf;

/// Options of `fugue completions`.
#[derive(Debug, clap::Args)]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

/// Options of `fugue man`.
#[derive(Debug, clap::Args)]
pub(crate) struct Manual {
    /// Write a page for each command into this folder, instead of the first page to standard output
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Runs `fugue completions`.
pub(crate) fn completions(
    options: &Completions,
    mut command: Command,
) -> Result<Verdict, UsageError> {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    generate(options.shell, &mut command, name, &mut script);
    print(String::from_utf8_lossy(&script))?;
    Ok(Verdict::Good)
}

/// Runs `fugue man`.
pub(crate) fn manual(options: &Manual, mut command: Command) -> Result<Verdict, UsageError> {
    // Built, a command below another one is named for both.
    command.build();
    let Some(folder) = &options.out else {
        let mut page = Vec::new();
        Man::new(command).render(&mut page).map_err(usage)?;
        print(String::from_utf8_lossy(&page))?;
        return Ok(Verdict::Good);
    };
    std::fs::create_dir_all(folder).map_err(|error| UsageError::at(folder, error))?;
    for page in pages(&command) {
        Man::new(page).generate_to(folder).map_err(|error| UsageError::at(folder, error))?;
    }
    Ok(Verdict::Good)
}

/// A command and all below it, but for those that only give help.
fn pages(command: &Command) -> Vec<Command> {
    let below = command.get_subcommands().filter(|command| command.get_name() != "help");
    let below = below.flat_map(pages);
    std::iter::once(command.clone()).chain(below).collect()
}

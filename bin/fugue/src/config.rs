//! What `fugue node` is set to, by its flags, the environment, a TOML file or its defaults, in this
//! order; and `fugue config check`.
//!
//! The flags of `node`, as clap knows them, are the one list of settings. Where else a setting may
//! stand follows from the name of its flag:
//!
//! | flag | environment | file |
//! | --- | --- | --- |
//! | `--threads` | `FUGUE_THREADS` | `threads` |
//! | `--authrpc.addr` | `FUGUE_AUTHRPC_ADDR` | `addr` in `[authrpc]` |
//! | `--http` | `FUGUE_HTTP` | `enabled` in `[http]`, since `--http.addr` makes that a table |
//!
//! What the file says becomes the default of its flag, so the order is clap's own. A switch may be
//! given a value (`--http=false`), so that each place can take back what a lower one says.

use crate::{UsageError, Verdict, node, print};
use clap::{Arg, ArgAction, ArgMatches, Command, builder::BoolishValueParser, parser::ValueSource};
use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
};
use toml::de::{DeTable, DeValue};

/// The command whose flags are the settings.
const NODE: &str = "node";
/// The flag that names the file. The file does not name another one.
const CONFIG: &str = "config";
/// Key of a switch whose name is that of a table.
const ENABLED: &str = "enabled";

/// Options of `fugue config`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    pub(crate) command: Action,
}

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Action {
    /// Check the settings of a node, and print them with where each comes from.
    Check(Box<node::Options>),
}

/// Runs the command.
pub(crate) fn run(options: &Options, settings: &Settings) -> Result<Verdict, UsageError> {
    let Action::Check(node) = &options.command;
    node.check()?;
    print(settings)?;
    Ok(Verdict::Good)
}

/// The program's arguments, with what the file of a node's settings says. Where they are wrong, the
/// process ends as clap has it.
///
/// # Errors
/// If the file cannot be read, or has a fault.
pub(crate) fn matches(
    command: Command,
    arguments: Vec<OsString>,
) -> Result<(ArgMatches, Settings), UsageError> {
    let command = prepared(command);
    let matches = command.clone().get_matches_from(arguments.clone());
    let path = of_node(&matches).and_then(|own| own.get_one::<PathBuf>(CONFIG)).cloned();
    let Some(path) = path else {
        let settings = Settings::new(&command, &matches, None);
        return Ok((matches, settings));
    };
    let file = SettingsFile::read(&path, node_command(&command))?;
    let command = each_flag(command, &mut |arg| file.make_default(arg));
    let matches = command.clone().get_matches_from(arguments);
    let settings = Settings::new(&command, &matches, Some(&file));
    Ok((matches, settings))
}

/// The program's command line, with the flags of a node as operators know them.
pub(crate) fn prepared(command: Command) -> Command {
    each_flag(command, &mut with_variable).mut_subcommands(|command| {
        if command.get_name() == NODE { command.after_help(node::EXIT_CODES) } else { command }
    })
}

/// Changes the flags of a node in each command that has them.
fn each_flag(command: Command, change: &mut dyn FnMut(Arg) -> Arg) -> Command {
    command.mut_subcommands(|command| {
        if command.get_name() == NODE {
            command.mut_args(&mut *change)
        } else if command.get_name() == CONFIG {
            command.mut_subcommands(|command| command.mut_args(&mut *change))
        } else {
            command
        }
    })
}

fn node_command(command: &Command) -> &Command {
    command.find_subcommand(NODE).expect("the program has this command")
}

/// What was given for the flags of a node, if the command is one that has them.
fn of_node(matches: &ArgMatches) -> Option<&ArgMatches> {
    match matches.subcommand()? {
        (NODE, own) => Some(own),
        (CONFIG, own) => Some(own.subcommand()?.1),
        _ => None,
    }
}

/// Gives a flag its variable of the environment, and a switch a value.
fn with_variable(arg: Arg) -> Arg {
    let Some(variable) = arg.get_long().map(variable) else { return arg };
    let arg = arg.env(variable);
    if !matches!(arg.get_action(), ArgAction::SetTrue) {
        return arg;
    }
    arg.action(ArgAction::Set)
        .value_parser(BoolishValueParser::new())
        .num_args(0..=1)
        .require_equals(true)
        .value_name("BOOL")
        .default_value("false")
        .default_missing_value("true")
        .hide_default_value(true)
        .hide_possible_values(true)
}

/// The variable of a flag.
fn variable(long: &str) -> String {
    let name = long.replace(['.', '-'], "_").to_uppercase();
    format!("FUGUE_{name}")
}

/// Whether a flag takes several values.
fn is_list(arg: &Arg) -> bool {
    arg.get_value_delimiter().is_some()
}

/// The settings, each with its place in the file: the table and the key, with a dot between.
fn places(node: &Command) -> Vec<(String, &Arg)> {
    let longs: Vec<&str> = node.get_arguments().filter_map(Arg::get_long).collect();
    let mut places = Vec::new();
    for arg in node.get_arguments() {
        let Some(long) = arg.get_long().filter(|long| *long != CONFIG) else { continue };
        let table = format!("{long}.");
        let is_table = longs.iter().any(|other| other.starts_with(&table));
        let place = if is_table { format!("{table}{ENABLED}") } else { long.to_owned() };
        places.push((place, arg));
    }
    places
}

/// What a file says of one setting.
struct Given {
    /// Counted from 1.
    line: usize,
    values: Vec<String>,
}

/// A file of settings.
struct SettingsFile {
    path: PathBuf,
    text: String,
    /// By the names of the flags.
    given: BTreeMap<String, Given>,
}

impl SettingsFile {
    fn read(path: &Path, node: &Command) -> Result<Self, UsageError> {
        let text = std::fs::read_to_string(path).map_err(|error| UsageError::at(path, error))?;
        let mut file = Self { path: path.to_owned(), text: String::new(), given: BTreeMap::new() };
        let table = DeTable::parse(&text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            UsageError(format!("{}:{}: {}", path.display(), line(&text, at), error.message()))
        })?;
        file.text.clone_from(&text);
        let places = places(node).into_iter().collect();
        file.take("", table.get_ref(), &places)?;
        Ok(file)
    }

    /// Takes what a table says. `within` is empty or the table's name with a dot behind it.
    fn take(
        &mut self,
        within: &str,
        table: &DeTable<'_>,
        places: &BTreeMap<String, &Arg>,
    ) -> Result<(), UsageError> {
        for (key, value) in table {
            let place = format!("{within}{}", key.get_ref());
            let line = line(&self.text, key.span().start);
            match (places.get(&place), value.get_ref()) {
                (Some(arg), value) => {
                    let values = values(arg, value).and_then(|values| judged(arg, values));
                    let values =
                        values.map_err(|fault| self.fault(line, &format!("{place}: {fault}")))?;
                    let long = arg.get_long().unwrap_or_default().to_owned();
                    self.given.insert(long, Given { line, values });
                }
                (None, DeValue::Table(inner)) => {
                    let inside = format!("{place}.");
                    if !places.keys().any(|place| place.starts_with(&inside)) {
                        return Err(self.fault(line, &format!("unknown table \"{place}\"")));
                    }
                    self.take(&inside, inner, places)?;
                }
                (None, _) => {
                    let enabled = format!("{place}.{ENABLED}");
                    let hint = if places.contains_key(&enabled) {
                        format!("; it is \"{ENABLED}\" in [{place}]")
                    } else {
                        String::new()
                    };
                    return Err(self.fault(line, &format!("unknown key \"{place}\"{hint}")));
                }
            }
        }
        Ok(())
    }

    fn fault(&self, line: usize, message: &str) -> UsageError {
        UsageError(format!("{}:{line}: {message}", self.path.display()))
    }

    /// Makes what the file says the default.
    fn make_default(&self, arg: Arg) -> Arg {
        match arg.get_long().and_then(|long| self.given.get(long)) {
            Some(given) => arg.required(false).default_values(given.values.clone()),
            None => arg,
        }
    }
}

/// The line of a byte, counted from 1.
fn line(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

/// The values of a flag, as they would be written behind it.
fn values(arg: &Arg, value: &DeValue<'_>) -> Result<Vec<String>, String> {
    match value {
        DeValue::Array(items) if is_list(arg) => {
            items.iter().map(|item| scalar(item.get_ref())).collect()
        }
        value => Ok(vec![scalar(value)?]),
    }
}

fn scalar(value: &DeValue<'_>) -> Result<String, String> {
    match value {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(number) => Ok(number.to_string()),
        DeValue::Boolean(is_true) => Ok(is_true.to_string()),
        DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => {
            Err(format!("no setting has a value of this type: {}", value.type_str()))
        }
    }
}

/// The same values, if the flag takes them: tried alone, so that the fault is told with its line.
fn judged(arg: &Arg, values: Vec<String>) -> Result<Vec<String>, String> {
    let long = arg.get_long().unwrap_or_default();
    let words: Vec<String> = values.iter().map(|value| format!("--{long}={value}")).collect();
    let alone = Command::new(NODE).no_binary_name(true).arg(arg.clone());
    match alone.try_get_matches_from(words) {
        Ok(_) => Ok(values),
        Err(error) => {
            let text = error.to_string();
            let lines = text.lines().map(str::trim).take_while(|line| !line.is_empty());
            let text = lines.collect::<Vec<_>>().join(" ");
            Err(text.strip_prefix("error: ").unwrap_or(&text).to_owned())
        }
    }
}

/// Where the value of a setting comes from.
enum Origin {
    Flag,
    Environment(String),
    File(PathBuf, usize),
    Default,
    /// There is no value.
    Unset,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("flag"),
            Self::Environment(variable) => write!(f, "environment, {variable}"),
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Default => f.write_str("default"),
            Self::Unset => f.write_str("not set"),
        }
    }
}

/// One setting with its value.
struct Setting {
    /// Empty for those that stand at the top.
    table: String,
    key: String,
    /// In TOML.
    value: String,
    origin: Origin,
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, value, origin, .. } = self;
        match origin {
            Origin::Unset => writeln!(f, "# {key} =  # {origin}"),
            _ => writeln!(f, "{key} = {value}  # {origin}"),
        }
    }
}

/// The settings of a node with where each comes from; empty for other commands. Shown, they are a
/// file of settings.
#[derive(Default)]
pub(crate) struct Settings(Vec<Setting>);

impl Settings {
    fn new(command: &Command, matches: &ArgMatches, file: Option<&SettingsFile>) -> Self {
        let Some(own) = of_node(matches) else { return Self::default() };
        let setting = |(place, arg): (String, &Arg)| {
            let id = arg.get_id().as_str();
            let long = arg.get_long().unwrap_or_default();
            let (table, key) = place.rsplit_once('.').unwrap_or(("", place.as_str()));
            let raw = own.get_raw(id).into_iter().flatten();
            let values: Vec<String> = raw.map(|value| in_toml(&value.to_string_lossy())).collect();
            let value = if is_list(arg) {
                format!("[{}]", values.join(", "))
            } else {
                values.into_iter().next().unwrap_or_default()
            };
            let from_file = file.and_then(|file| {
                let line = file.given.get(long)?.line;
                Some(Origin::File(file.path.clone(), line))
            });
            let origin = match (own.value_source(id), from_file) {
                (Some(ValueSource::CommandLine), _) => Origin::Flag,
                (Some(ValueSource::EnvVariable), _) => Origin::Environment(variable(long)),
                (_, Some(origin)) => origin,
                (Some(_), None) => Origin::Default,
                // A list without values is one.
                (None, None) if is_list(arg) => Origin::Default,
                (None, None) => Origin::Unset,
            };
            Setting { table: table.to_owned(), key: key.to_owned(), value, origin }
        };
        Self(places(node_command(command)).into_iter().map(setting).collect())
    }
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What stands at the top of a file comes before its tables.
        let mut tables = vec![""];
        let mut seen = BTreeSet::from([""]);
        for setting in &self.0 {
            if seen.insert(&setting.table) {
                tables.push(&setting.table);
            }
        }
        for table in tables {
            if !table.is_empty() {
                writeln!(f, "\n[{table}]")?;
            }
            for setting in self.0.iter().filter(|setting| setting.table == table) {
                write!(f, "{setting}")?;
            }
        }
        Ok(())
    }
}

/// A value as it may stand in a file.
fn in_toml(text: &str) -> String {
    let is_integer = text.parse::<i64>().is_ok_and(|number| number.to_string() == text);
    if is_integer || text == "true" || text == "false" {
        return text.to_owned();
    }
    toml::Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_a_setting_follows_from_its_flag() {
        assert_eq!(variable("authrpc.addr"), "FUGUE_AUTHRPC_ADDR");
        assert_eq!(variable("dev.block-time"), "FUGUE_DEV_BLOCK_TIME");
        let node = Command::new(NODE)
            .arg(Arg::new("http").long("http").action(ArgAction::SetTrue))
            .arg(Arg::new("http.addr").long("http.addr"))
            .arg(Arg::new("config").long("config"))
            .arg(Arg::new("threads").long("threads"));
        let places: Vec<String> = places(&node).into_iter().map(|(place, _)| place).collect();
        assert_eq!(places, ["http.enabled", "http.addr", "threads"]);
    }

    #[test]
    fn values_are_written_so_that_they_are_read_again() {
        for text in ["8551", "true", "127.0.0.1", "007", "a \"quoted\" word", "", "-1", "*"] {
            let file = format!("key = {}", in_toml(text));
            let table = DeTable::parse(&file).expect("TOML");
            let (_, value) = table.get_ref().iter().next().expect("a key");
            assert_eq!(scalar(value.get_ref()), Ok(text.to_owned()), "{file}");
        }
    }
}

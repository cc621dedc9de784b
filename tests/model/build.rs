//! Copies the scheduler's sources for each checker, as they are and with each planted bug, into
//! modules that stand on the checker's locks and atomics instead of the real ones. The scheduler
//! itself is left alone.

#[path = "bugs.rs"]
mod bugs;

use bugs::{BUGS, Bug, Change, File, Model, SETTINGS, SETTINGS_OF_LOOM};
use std::{fs, path::Path};

/// The scheduler, from here.
const SCHEDULER: &str = "../../crates/scheduler/src";
/// What must hold of it, and which bugs break that.
const INVARIANTS: &str = "../../crates/scheduler/INVARIANTS.md";
/// The scheduler's door to threads, locks and atomics, as its files name it.
const DOOR: &str = "crate::sync::";

/// A model checker.
struct Checker {
    /// The module of its copies.
    name: &'static str,
    /// What stands in for the door.
    door: &'static str,
    settings: &'static [Change],
    /// What its copies are run by, beside the probe.
    driver: &'static str,
    models: &'static [Model],
}

const CHECKERS: [Checker; 2] = [
    Checker {
        name: "by_shuttle",
        door: "crate::shuttle_door::",
        settings: &[],
        driver: "kitchen",
        models: &[Model::Serves, Model::Settles],
    },
    Checker {
        name: "by_loom",
        door: "crate::loom_door::",
        settings: SETTINGS_OF_LOOM,
        driver: "parts",
        models: &[Model::Parts],
    },
];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=bugs.rs");
    let invariants = read(INVARIANTS);
    for Bug { name, .. } in BUGS {
        assert!(invariants.contains(&format!("`{name}`")), "{INVARIANTS} does not name {name}");
    }
    let mut code = String::new();
    for checker in &CHECKERS {
        // No copy uses everything, and a planted bug may leave a name unused.
        code += &format!("#[allow(dead_code, warnings)]\nmod {} {{\n", checker.name);
        code += &copy(checker, "original", None, &[]);
        for bug in BUGS {
            let by = bug.caught_by.iter().filter(|model| checker.models.contains(model));
            let by: Vec<Model> = by.copied().collect();
            if !by.is_empty() {
                code += &copy(checker, bug.name, Some(&bug.change), &by);
            }
        }
        code += "}\n";
    }
    let out = std::env::var("OUT_DIR").expect("cargo names the folder for what is generated");
    fs::write(Path::new(&out).join("copies.rs"), code).expect("the folder can be written");
}

/// One copy of the scheduler, with the tests that a planted bug is caught.
fn copy(checker: &Checker, name: &str, bug: Option<&Change>, caught_by: &[Model]) -> String {
    let file = |file: File| {
        let path = match file {
            File::Memory => format!("{SCHEDULER}/memory.rs"),
            File::Session => format!("{SCHEDULER}/session.rs"),
        };
        let mut text = stripped(&read(&path));
        let changes = bug.into_iter().chain(SETTINGS).chain(checker.settings);
        for change in changes.filter(|change| change.file == file) {
            text = changed(&text, change).unwrap_or_else(|count| {
                panic!(
                    "{name}: {count} places in {path} read as below, one is expected: the code \
                     has changed, bring tests/model/bugs.rs up to date\n{}",
                    change.from
                )
            });
        }
        through(&text, checker.door, &path)
    };
    let own = |name: &str| stripped(&read(&format!("variant/{name}.rs")));
    let (memory, session) = (file(File::Memory), file(File::Session));
    let (probe, driver) = (own("probe"), own(checker.driver));
    let tests: String = caught_by
        .iter()
        .map(|model| {
            let (test, call) = match model {
                Model::Serves => ("serving", "whole::must_fail(kitchen::serves)"),
                Model::Settles => ("settling", "whole::must_fail(kitchen::settles)"),
                Model::Parts => ("parts", "small::must_fail(&parts::PARTS)"),
            };
            format!("#[test] fn is_caught_by_{test}() {{ crate::{call}; }}\n")
        })
        .collect();
    format!(
        "pub(crate) mod {name} {{\n\
         pub(crate) mod memory {{\n{memory}\n}}\n\
         pub(crate) mod session {{\n{session}\npub(crate) mod probe {{\n{probe}\n}}\n}}\n\
         pub(crate) mod {driver_name} {{\n{driver}\n}}\n\
         {tests}}}\n",
        driver_name = checker.driver,
    )
}

fn read(path: &str) -> String {
    println!("cargo::rerun-if-changed={path}");
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The code without its unit tests, and without lines of comments.
fn stripped(text: &str) -> String {
    let code = text.split("\n#[cfg(test)]\n").next().unwrap_or_default();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// The code with another door.
fn through(text: &str, door: &str, path: &str) -> String {
    assert!(text.contains(DOOR), "{path} does not use {DOOR}");
    text.replace(DOOR, door)
}

/// The code after a change, or how often it has what is to be changed, if not once.
fn changed(text: &str, change: &Change) -> Result<String, usize> {
    // Places of everything but white space.
    let dense: Vec<(usize, char)> =
        text.char_indices().filter(|(_, letter)| !letter.is_whitespace()).collect();
    let from: Vec<char> = change.from.chars().filter(|letter| !letter.is_whitespace()).collect();
    let is_here =
        |window: &[(usize, char)]| window.iter().map(|(_, letter)| letter).eq(from.iter());
    let places: Vec<&[(usize, char)]> =
        dense.windows(from.len()).filter(|window| is_here(window)).collect();
    let [place] = places[..] else { return Err(places.len()) };
    let (first, last) = (place[0], place[place.len() - 1]);
    let end = last.0 + last.1.len_utf8();
    Ok(format!("{}{}{}", &text[..first.0], change.to, &text[end..]))
}

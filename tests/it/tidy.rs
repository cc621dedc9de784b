//! House rules for the text of the repository.
//!
//! What is looked for is put together from parts, so that this file does not find itself.

use crate::support::{files, root};
use std::path::Path;

/// Longest line of code in characters, as in `rustfmt.toml`.
const WIDTH_MAX: usize = 100;
/// A string literal from this length on makes its line too long by itself.
const LITERAL_MIN: usize = 60;
/// Digits of a hash in hexadecimal.
const HEX_MIN: usize = 64;
/// Longest file of code in lines, if its doc does not say why it is one thing.
const LINES_MAX: usize = 700;
/// Most that the small fixtures take together.
const TESTDATA_BYTES_MAX: u64 = 12 << 20;
/// Headings of a decision, in this order.
const HEADINGS: [&str; 5] =
    ["Situation", "Options", "Choice", "Consequence", "How we would know it was wrong"];

/// Files of code with their text, named from the root.
fn code() -> Vec<(String, String)> {
    let files = ["crates", "bin", "tests"].iter().flat_map(|folder| files(&root().join(folder)));
    let code = files.filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    let code: Vec<_> = code
        .map(|path| {
            let text = std::fs::read_to_string(&path).expect("code is UTF-8");
            (name(&path), text)
        })
        .collect();
    assert!(!code.is_empty(), "no code was found");
    code
}

fn name(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

/// Fails with all faults at once.
fn no_faults(faults: &[String]) {
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn every_file_of_code_opens_with_what_it_is_for() {
    let faults = code().into_iter().filter(|(_, text)| !text.starts_with("//!"));
    no_faults(
        &faults.map(|(name, _)| format!("{name}: does not open with //!")).collect::<Vec<_>>(),
    );
}

#[test]
fn no_code_holds_what_must_go_before_a_merge() {
    let needles = [concat!("FIX", "ME"), concat!("db", "g!(")];
    let mut faults = Vec::new();
    for (name, text) in code() {
        for (number, line) in (1..).zip(text.lines()) {
            let found = needles.iter().filter(|needle| line.contains(**needle));
            faults.extend(found.map(|needle| format!("{name}:{number}: {needle}")));
        }
    }
    no_faults(&faults);
}

/// Whether a line may be longer than others: it holds a link, a hash, or a long literal.
fn may_be_long(line: &str) -> bool {
    let has_literal =
        line.split('"').skip(1).step_by(2).any(|literal| literal.chars().count() >= LITERAL_MIN);
    let has_hex =
        line.split(|c: char| !c.is_ascii_hexdigit()).any(|digits| digits.len() >= HEX_MIN);
    line.contains("http") || has_literal || has_hex
}

#[test]
fn lines_of_code_fit_the_width() {
    let mut faults = Vec::new();
    for (name, text) in code() {
        for (number, line) in (1..).zip(text.lines()) {
            let width = line.chars().count();
            if width > WIDTH_MAX && !may_be_long(line) {
                faults.push(format!("{name}:{number}: {width} characters"));
            }
        }
    }
    no_faults(&faults);
}

#[test]
fn a_long_file_says_why_it_is_one_thing() {
    let mut faults = Vec::new();
    for (name, text) in code() {
        let doc = text.lines().map_while(|line| line.strip_prefix("//!"));
        let doc = doc.map(str::trim).collect::<Vec<_>>().join(" ");
        let lines = text.lines().count();
        if lines > LINES_MAX && !doc.contains("one thing") {
            faults.push(format!("{name}: {lines} lines"));
        }
    }
    no_faults(&faults);
}

#[test]
fn no_file_names_a_machine_or_a_registry() {
    let machines = [concat!("/wo", "rk/"), concat!("/ro", "ot/")];
    let registries = [concat!("crates", ".io"), concat!("npm", "js"), concat!("py", "pi.org")];
    let mut faults = Vec::new();
    for path in files(root()) {
        // What is not UTF-8 is compressed data.
        let Ok(text) = String::from_utf8(std::fs::read(&path).expect("a readable file")) else {
            continue;
        };
        let is_lock = path.ends_with("Cargo.lock");
        let registries = registries.iter().filter(|_| !is_lock);
        let found = machines.iter().chain(registries).filter(|needle| text.contains(**needle));
        faults.extend(found.map(|needle| format!("{}: {needle}", name(&path))));
    }
    no_faults(&faults);
}

#[test]
fn fixtures_stay_small() {
    let bytes: u64 = files(&root().join("testdata"))
        .iter()
        .map(|path| path.metadata().map_or(0, |metadata| metadata.len()))
        .sum();
    assert!(bytes <= TESTDATA_BYTES_MAX, "testdata/ holds {bytes} bytes");
}

#[test]
fn every_decision_has_its_headings() {
    let decisions = files(&root().join("etc/decisions"));
    assert!(!decisions.is_empty(), "no decisions were found");
    let mut faults = Vec::new();
    for path in decisions {
        let text = std::fs::read_to_string(&path).expect("a decision is UTF-8");
        let headings: Vec<&str> =
            text.lines().filter_map(|line| line.strip_prefix("## ")).map(str::trim).collect();
        if headings != HEADINGS {
            faults.push(format!("{}: {headings:?}", name(&path)));
        }
    }
    no_faults(&faults);
}

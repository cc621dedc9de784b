//! Every dependency has a licence that `deny.toml` allows.

use crate::support::root;
use std::{collections::BTreeSet, process::Command};

/// The quoted words of `allow = [...]` in `deny.toml`.
fn allowed() -> Vec<String> {
    let text = std::fs::read_to_string(root().join("deny.toml")).expect("deny.toml");
    let list = text.split("allow = [").nth(1).and_then(|rest| rest.split(']').next());
    let words = list.expect("an allow list").split('"').skip(1).step_by(2);
    words.map(str::to_owned).collect()
}

/// Whether an SPDX expression can be met: some alternative of which every part is allowed.
fn is_met(expression: &str, allowed: &[String]) -> bool {
    let flat = expression.replace(['(', ')'], " ").replace('/', " OR ");
    flat.split(" OR ").any(|alternative| {
        alternative.split(" AND ").all(|part| allowed.iter().any(|known| known == part.trim()))
    })
}

#[test]
fn every_dependency_has_an_allowed_licence() {
    let allowed = allowed();
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    // What is built: the lock file names a few more, of features that nobody turned on.
    let output = Command::new(cargo)
        .args(["tree", "--workspace", "--locked", "--offline"])
        .args(["--prefix", "none", "--format", "{l}\t{p}"])
        .current_dir(root())
        .output()
        .expect("cargo starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).expect("UTF-8");
    let packages: BTreeSet<&str> = tree.lines().filter(|line| !line.is_empty()).collect();
    assert!(packages.len() > 50);
    for package in packages {
        let (licence, name) = package.split_once('\t').expect("licence and name");
        assert!(is_met(licence, &allowed), "{name}: licence \"{licence}\" is not in deny.toml");
    }
}

#[test]
fn an_expression_is_met_by_one_allowed_alternative() {
    let allowed = ["MIT".to_owned(), "Apache-2.0".to_owned()];
    for (expression, expected) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("GPL-3.0 OR MIT", true),
        ("MIT/Apache-2.0", true),
        ("MIT AND GPL-3.0", false),
        ("(MIT OR GPL-3.0) AND Apache-2.0", true),
    ] {
        assert_eq!(is_met(expression, &allowed), expected, "{expression}");
    }
}

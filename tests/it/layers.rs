//! The table of `ARCHITECTURE.md` against the manifests: the same crates, exactly the dependencies
//! that the table names, each of a lower row.

use crate::support::root;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

/// Of each crate, by its name without the prefix, the crates that it depends on.
type Edges = BTreeMap<String, BTreeSet<String>>;

/// Rows and edges of the first table.
fn table() -> (BTreeMap<String, u32>, Edges) {
    let text = read(&root().join("ARCHITECTURE.md"));
    let lines = text.lines().map(str::trim);
    let table = lines.skip_while(|line| !line.starts_with('|'));
    let table = table.take_while(|line| line.starts_with('|'));
    let (mut rows, mut edges) = (BTreeMap::new(), Edges::new());
    // The heading and the line below it are not rows.
    for line in table.skip(2) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [row, name, _, on] = cells[..] else { panic!("four cells are expected: {line}") };
        let row: u32 = row.parse().unwrap_or_else(|error| panic!("{error}: {line}"));
        let name = name.trim_matches('`').to_owned();
        let on = on.split(',').map(|name| name.trim().trim_matches('`'));
        let on = on.filter(|name| !["", "-", "none"].contains(name)).map(str::to_owned);
        assert!(rows.insert(name.clone(), row).is_none(), "{name} stands in the table twice");
        edges.insert(name, on.collect());
    }
    assert!(!rows.is_empty(), "ARCHITECTURE.md has no table");
    (rows, edges)
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Manifests of a folder's packages, with the names of their folders.
fn manifests(folder: &str) -> Vec<(String, PathBuf)> {
    let entries = root().join(folder).read_dir().expect("the folder of the packages");
    let paths = entries.map(|entry| entry.expect("a readable folder").path());
    let paths = paths.filter(|path| path.join("Cargo.toml").is_file());
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    paths.filter_map(|path| Some((name(&path)?, path.join("Cargo.toml")))).collect()
}

/// Names in the sections of dependencies, those for development left out.
fn dependencies(manifest: &str) -> Vec<&str> {
    let mut is_inside = false;
    let mut names = Vec::new();
    for line in manifest.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[') {
            let section = section.trim_end_matches(']');
            assert!(!section.contains("dependencies."), "write it in one line: {line}");
            is_inside = section.ends_with("dependencies") && !section.starts_with("dev-");
        } else if is_inside && !line.is_empty() && !line.starts_with('#') {
            names.extend(line.split(['.', '=', ' ']).next());
        }
    }
    names
}

/// Edges of the manifests.
fn edges() -> Edges {
    let mut edges = Edges::new();
    for (name, path) in manifests("crates").into_iter().chain(manifests("bin")) {
        let text = read(&path);
        let package = if name == "fugue" { name.clone() } else { format!("fugue-{name}") };
        let says_so = text.lines().any(|line| line == format!("name = \"{package}\""));
        assert!(says_so, "{}: the package is not named {package}", path.display());
        let on = dependencies(&text).into_iter().filter_map(|name| name.strip_prefix("fugue-"));
        edges.insert(name, on.map(str::to_owned).collect());
    }
    edges
}

#[test]
fn the_table_names_the_crates_that_exist() {
    let names = |edges: Edges| edges.into_keys().collect::<BTreeSet<_>>();
    assert_eq!(names(table().1), names(edges()), "the table, then the folders");
}

#[test]
fn a_crate_depends_on_exactly_what_its_row_names() {
    let (_, named) = table();
    for (name, on) in edges() {
        assert_eq!(named.get(&name), Some(&on), "{name}: the table, then the manifest");
    }
}

#[test]
fn a_crate_depends_on_lower_rows_only() {
    let (rows, edges) = table();
    for (name, on) in edges {
        for lower in on {
            let row = rows.get(&lower).unwrap_or_else(|| panic!("{lower} has no row"));
            assert!(*row < rows[&name], "{name} depends on {lower}, which is not below it");
        }
    }
}

#[test]
fn only_evm_names_the_evm_implementation() {
    let mut found = BTreeSet::new();
    let tests = ("tests".to_owned(), root().join("tests/Cargo.toml"));
    for (name, path) in manifests("crates").into_iter().chain(manifests("bin")).chain([tests]) {
        let text = read(&path);
        let names_it = |line: &str| line.starts_with("revm") || line.starts_with("alloy-evm");
        if text.lines().map(str::trim).any(names_it) {
            found.insert(name);
        }
    }
    assert_eq!(found, BTreeSet::from(["evm".to_owned()]));
}

//! What is executed: recorded blocks from files, and generated ones.

use super::case::{Case, Found};
use crate::{
    UsageError,
    bench::contracts::{self, CONTRACTS},
    datadir::usage,
    replay,
};
use fugue_archive::BundleReader;
use fugue_executor::Executor;
use fugue_workload::{BlockKind, Codes, build, contended};
use std::{path::Path, str::FromStr};

/// Where recorded blocks are looked for, where nothing is said.
const BUNDLES: [&str; 2] = ["testdata/bundles", "../shared/data/mainnet-blocks/blocks"];
/// The name of recorded blocks among the workloads.
const RECORDED: &str = "bundles";

/// A kind of workload, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::bench) enum Source {
    /// Recorded blocks.
    Bundles,
    /// Generated ones.
    Kind(BlockKind),
}

impl FromStr for Source {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        if name == RECORDED {
            return Ok(Self::Bundles);
        }
        let kind = name.parse::<BlockKind>();
        kind.map(Self::Kind).map_err(|told| format!("{told}; {RECORDED} are recorded ones"))
    }
}

/// Blocks that are measured together.
pub(in crate::bench) struct Workload {
    pub(in crate::bench) name: String,
    /// How many transactions of a hundred aim at the hot place, where that was chosen.
    pub(in crate::bench) share: Option<u8>,
    pub(in crate::bench) is_recorded: bool,
    /// Each with the name of its file, or of what was generated.
    pub(in crate::bench) cases: Vec<(String, Box<Case>)>,
}

/// What is loaded at a time.
pub(in crate::bench) enum Item {
    /// All bundles of a path.
    Path(String),
    /// Blocks of a kind, one for each share.
    Kind(BlockKind, Box<Codes>),
}

/// What was asked for.
pub(in crate::bench) struct Wanted<'o> {
    /// All, if there are none.
    pub(in crate::bench) sources: &'o [Source],
    pub(in crate::bench) bundles: &'o [String],
    pub(in crate::bench) contracts: Option<&'o Path>,
    pub(in crate::bench) gas: u64,
    pub(in crate::bench) shares: Vec<u8>,
    pub(in crate::bench) seed: u64,
}

impl Wanted<'_> {
    /// What there is to load, in order. What nobody asked for by name, and is not there, is left
    /// out.
    ///
    /// # Errors
    /// If something that was asked for by name is not there.
    pub(in crate::bench) fn items(
        &self,
        left_out: &mut Vec<String>,
    ) -> Result<Vec<Item>, UsageError> {
        let all = self.sources.is_empty();
        let mut items = Vec::new();
        if all || self.sources.contains(&Source::Bundles) {
            let paths = self.paths();
            if paths.is_empty() {
                let reason = format!("{RECORDED}: none of {} is there", BUNDLES.join(", "));
                if !all {
                    return Err(UsageError(reason));
                }
                left_out.push(reason);
            }
            items.extend(paths.into_iter().map(Item::Path));
        }
        let is_wanted = |kind: &BlockKind| all || self.sources.contains(&Source::Kind(*kind));
        let kinds: Vec<BlockKind> = BlockKind::ALL.into_iter().filter(is_wanted).collect();
        let mut codes = Codes::default();
        if kinds.iter().any(|kind| kind.is_of_uniswap()) {
            codes.uniswap = contracts::uniswap(self.contracts)?;
        }
        if kinds.contains(&BlockKind::Aave) {
            codes.aave = contracts::aave(self.contracts)?;
        }
        for kind in kinds {
            if codes.suffice(kind) {
                items.push(Item::Kind(kind, Box::new(codes.clone())));
                continue;
            }
            let folder = self.contracts.unwrap_or(Path::new(CONTRACTS)).display();
            let reason = format!("{kind}: its contracts are not in {folder}");
            if !all {
                return Err(UsageError(reason));
            }
            left_out.push(reason);
        }
        Ok(items)
    }

    /// The paths that are named, or those of the usual ones that are there.
    fn paths(&self) -> Vec<String> {
        if !self.bundles.is_empty() {
            return self.bundles.to_vec();
        }
        let there = BUNDLES.into_iter().filter(|path| Path::new(path).is_dir());
        there.map(str::to_owned).collect()
    }

    /// Reads or generates blocks, and recovers their senders on the threads of the last executor.
    ///
    /// # Errors
    /// If a file is none, or a block is not one.
    pub(in crate::bench) fn load(
        &self,
        item: &Item,
        executors: &[Executor],
        left_out: &mut Vec<String>,
    ) -> Result<Vec<Workload>, UsageError> {
        let Some(executor) = executors.last() else { return Ok(Vec::new()) };
        match item {
            Item::Path(path) => Ok(vec![recorded(path, executor, left_out)?]),
            Item::Kind(kind, codes) => self.generated(*kind, codes, executor),
        }
    }

    fn generated(
        &self,
        kind: BlockKind,
        codes: &Codes,
        executor: &Executor,
    ) -> Result<Vec<Workload>, UsageError> {
        eprintln!("generating {kind}");
        let scenario =
            contended(self.seed, kind, self.gas, &self.shares, codes).map_err(UsageError)?;
        let bundles = build(&scenario).map_err(usage)?;
        // Where there is no share to be chosen, there is one block.
        let shares = self.shares.iter().map(|share| kind.has_share().then_some(*share));
        let workload = |(bundle, share): (_, Option<u8>)| -> Result<Workload, UsageError> {
            let case = Case::of_bundle(bundle, executor)?;
            let name = kind.to_string();
            let cases = vec![(name.clone(), case)];
            Ok(Workload { name, share, is_recorded: false, cases })
        };
        bundles.into_iter().zip(shares).map(workload).collect()
    }
}

/// The bundles of a path, as a replay takes them.
fn recorded(
    path: &str,
    executor: &Executor,
    left_out: &mut Vec<String>,
) -> Result<Workload, UsageError> {
    eprintln!("reading {path}");
    let mut reader = BundleReader::new();
    let mut cases = Vec::new();
    for file in replay::expand(&[path.to_owned()])? {
        let record = reader.read_record(&file).map_err(usage)?;
        let found = Case::of_record(&record, executor);
        match found.map_err(|UsageError(reason)| UsageError::at(&file, reason))? {
            Found::Case(case) => cases.push((file.display().to_string(), case)),
            Found::Nothing(reason) => left_out.push(format!("{}: {reason}", file.display())),
        }
    }
    Ok(Workload { name: path.to_owned(), share: None, is_recorded: true, cases })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted<'o>(sources: &'o [Source], bundles: &'o [String]) -> Wanted<'o> {
        let missing = Path::new("no such folder");
        let (contracts, shares) = (Some(missing), vec![0]);
        Wanted { sources, bundles, contracts, gas: 1, shares, seed: 1 }
    }

    #[test]
    fn workloads_are_named_bundles_or_as_their_kind() {
        assert_eq!("bundles".parse::<Source>(), Ok(Source::Bundles));
        assert_eq!("erc20".parse::<Source>(), Ok(Source::Kind(BlockKind::Tokens)));
        let told = "erc21".parse::<Source>().expect_err("no name");
        assert!(told.contains("erc20") && told.contains("bundles"), "{told}");
    }

    #[test]
    fn what_is_named_is_taken_in_the_order_of_the_kinds() {
        let sources =
            ["mix", "bundles", "transfers"].map(|name| name.parse::<Source>().expect("a name"));
        let bundles = ["one", "two"].map(str::to_owned);
        let mut left_out = Vec::new();
        let items = wanted(&sources, &bundles).items(&mut left_out).expect("all is there");
        let names: Vec<String> = items
            .iter()
            .map(|item| match item {
                Item::Path(path) => path.clone(),
                Item::Kind(kind, _) => kind.to_string(),
            })
            .collect();
        assert_eq!(names, ["one", "two", "transfers", "mix"]);
        assert!(left_out.is_empty());
    }

    #[test]
    fn contracts_that_are_asked_for_by_name_must_be_there() {
        let sources = [Source::Kind("uniswap-v2-1".parse().expect("a kind"))];
        let error = wanted(&sources, &[]).items(&mut Vec::new()).err().expect("no such folder");
        assert!(error.0.contains("no such folder"), "{error}");
        let sources = [Source::Kind(BlockKind::Aave)];
        let error = wanted(&sources, &[]).items(&mut Vec::new()).err().expect("no such folder");
        assert_eq!(error.0, "aave: its contracts are not in no such folder");
    }
}

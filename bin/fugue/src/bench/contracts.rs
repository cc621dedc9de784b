//! Compiled contracts of others, which are not part of the repository.

use crate::UsageError;
use fugue_archive::read_file;
use fugue_types::Bytes;
use fugue_workload::UniswapCodes;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Where the contracts of Uniswap are looked for, where nothing is said.
pub(super) const CONTRACTS: &str = "../shared/data/contracts/npm";

/// The codes of Uniswap in a folder; `None` if nobody said which, and they are not at the usual
/// place.
///
/// # Errors
/// If the folder has not all of them.
pub(super) fn uniswap(folder: Option<&Path>) -> Result<Option<UniswapCodes>, UsageError> {
    let folder = match folder {
        Some(folder) => folder,
        None if Path::new(CONTRACTS).is_dir() => Path::new(CONTRACTS),
        None => return Ok(None),
    };
    let package = |name: &str| Package::read(folder.join(format!("{name}.json.zst")));
    let v2_core = package("uniswap-v2-core")?;
    let v2_periphery = package("uniswap-v2-periphery")?;
    let v3_core = package("uniswap-v3-core")?;
    let v3_periphery = package("uniswap-v3-periphery")?;
    Ok(Some(UniswapCodes {
        v2_factory: v2_core.creation("UniswapV2Factory")?,
        v2_router: v2_periphery.creation("UniswapV2Router02")?,
        v3_factory: v3_core.creation("UniswapV3Factory")?,
        v3_router: v3_periphery.creation("SwapRouter")?,
        v3_positions: v3_periphery.creation("NonfungiblePositionManager")?,
        v3_quoter: v3_periphery.creation("QuoterV2")?,
    }))
}

/// A file of compiled contracts.
struct Package {
    path: PathBuf,
    contracts: Value,
}

impl Package {
    fn read(path: PathBuf) -> Result<Self, UsageError> {
        let bytes = read_file(&path).map_err(|error| UsageError::at(&path, error))?;
        let file: Value =
            serde_json::from_slice(&bytes).map_err(|error| UsageError::at(&path, error))?;
        let contracts = file.get("contracts").cloned().unwrap_or_default();
        Ok(Self { path, contracts })
    }

    /// The creation code of a contract, without arguments.
    fn creation(&self, name: &str) -> Result<Bytes, UsageError> {
        let code = self.contracts.get(name).and_then(|found| found.get("bytecode"));
        let code = code.and_then(Value::as_str).and_then(|code| code.parse().ok());
        code.ok_or_else(|| UsageError::at(&self.path, format!("no creation code of {name}")))
    }
}

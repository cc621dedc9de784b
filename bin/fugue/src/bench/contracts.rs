//! Compiled contracts of others, which are not part of the repository.

use crate::UsageError;
use fugue_archive::read_file;
use fugue_types::Bytes;
use fugue_workload::{AaveCodes, UniswapCodes, UnlinkedCode};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Where contracts are looked for, where nothing is said.
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

/// The codes of Aave in a folder; `None` if their file is not there.
///
/// # Errors
/// If the file has not all of them.
pub(super) fn aave(folder: Option<&Path>) -> Result<Option<AaveCodes>, UsageError> {
    let path = folder.unwrap_or(Path::new(CONTRACTS)).join("aave-core-v3.json.zst");
    if !path.is_file() {
        return Ok(None);
    }
    let package = Package::read(path)?;
    AaveCodes::collect(|name| package.unlinked(name)).map(Some)
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

    /// The creation code of a contract, without arguments and without its libraries.
    fn unlinked(&self, name: &str) -> Result<UnlinkedCode, UsageError> {
        let code = self.contracts.get(name).and_then(UnlinkedCode::from_json);
        code.ok_or_else(|| self.nothing_of(name))
    }

    /// The creation code of a contract, without arguments.
    fn creation(&self, name: &str) -> Result<Bytes, UsageError> {
        let code = self.contracts.get(name).and_then(|found| found.get("bytecode"));
        let code = code.and_then(Value::as_str).and_then(|code| code.parse().ok());
        code.ok_or_else(|| self.nothing_of(name))
    }

    fn nothing_of(&self, name: &str) -> UsageError {
        UsageError::at(&self.path, format!("no creation code of {name}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_file_without_a_contract_is_refused_and_no_file_is_none() {
        let package = |contracts| Package { path: "aave-core-v3.json.zst".into(), contracts };
        let contracts = package(json!({"Pool": {"bytecode": "0x00"}, "AToken": {}}));
        assert!(contracts.unlinked("Pool").is_ok());
        for name in ["AToken", "SupplyLogic"] {
            let error = contracts.unlinked(name).expect_err("no code").0;
            assert!(error.contains(name) && error.contains("aave-core-v3"), "{error}");
        }
        let missing = aave(Some(Path::new("no such folder")));
        assert!(missing.expect("nothing to be read").is_none());
    }
}

//! `fugue init`: begin a chain in a data folder.

use crate::{
    UsageError, Verdict,
    datadir::{AddressIndex, Begun, Datadir, genesis},
    print,
};
use serde_json::json;

/// Options of `fugue init`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// mainnet, sepolia, hoodi, holesky, or a genesis file in geth's format
    #[arg(long, value_name = "CHAIN")]
    chain: String,
    #[command(flatten)]
    datadir: Datadir,
    /// Keep an index of addresses with the chain, for methods that list accounts or search for the
    /// transactions of an address
    #[arg(long)]
    index_addresses: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(crate) fn run(options: &Options) -> Result<Verdict, UsageError> {
    let genesis = genesis(&options.chain)?;
    let index = AddressIndex::of_flag(options.index_addresses);
    let (_, head, begun) = options.datadir.open_or_init(&genesis, 1, index)?;
    let (name, accounts) = (genesis.chain.name(), genesis.state.accounts.len());
    if options.json {
        print(format_args!(
            "{}\n",
            json!({
                "type": "init", "chain": name, "chainId": genesis.chain.chain_id(),
                "isNew": begun == Begun::New, "isConfigured": begun == Begun::Configured,
                "accounts": accounts,
                "head": { "number": head.number, "hash": head.hash },
            })
        ))?;
        return Ok(Verdict::Good);
    }
    let (number, hash) = (head.number, head.hash);
    let text = match begun {
        Begun::New => format!("genesis {hash}, {accounts} accounts"),
        Begun::Configured => {
            format!("already there, now with this configuration, head {number} ({hash})")
        }
        Begun::Before => format!("already there, head {number} ({hash})"),
    };
    print(format_args!("{name}: {text}\n"))?;
    Ok(Verdict::Good)
}

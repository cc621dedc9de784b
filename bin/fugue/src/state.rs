//! `fugue state`: what an account or a slot was after a block.

use crate::{
    UsageError, Verdict,
    datadir::{Datadir, usage},
    print,
};
use clap::Subcommand;
use fugue_state::{Account, StateView};
use fugue_storage::Access;
use fugue_types::{Address, U256};
use serde_json::json;

/// Options of `fugue state`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// An account, or one of its slots.
    Get {
        #[command(flatten)]
        datadir: Datadir,
        /// The block after which [default: the head]
        #[arg(long, value_name = "NUMBER")]
        block: Option<u64>,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
        /// The account
        #[arg(value_name = "ADDRESS", value_parser = parsed_address)]
        address: Address,
        /// The slot, decimal or 0x
        #[arg(value_name = "SLOT")]
        slot: Option<U256>,
    },
}

fn parsed_address(text: &str) -> Result<Address, String> {
    let parsed = text.parse::<Address>();
    parsed.map_err(|error| format!("{error}: an address has 20 bytes, 40 digits in hex"))
}

/// Runs the command.
pub(crate) fn run(options: &Options) -> Result<Verdict, UsageError> {
    let Command::Get { datadir, block, json, address, slot } = &options.command;
    let store = datadir.open(Access::Read, 1)?;
    let snapshot = store.snapshot().map_err(usage)?;
    let number = block.unwrap_or(snapshot.meta().head.number);
    let state = snapshot.state_at(number).map_err(usage)?;
    if let Some(slot) = slot {
        let value = state.slot(*address, *slot).map_err(usage)?;
        return show(
            *json,
            &json!({ "block": number, "slot": slot, "value": value }),
            &[("value", format!("{value:#x}"))],
        );
    }
    let Some(account) = state.account(*address).map_err(usage)? else {
        return show(
            *json,
            &json!({ "block": number, "exists": false }),
            &[("exists", "no".to_owned())],
        );
    };
    let Account { nonce, balance, code_hash } = account;
    let code_bytes =
        if account.has_code() { state.code(code_hash).map_err(usage)?.len() } else { 0 };
    let has_storage = state.has_storage(*address).map_err(usage)?;
    show(
        *json,
        &json!({
            "block": number, "exists": true, "nonce": nonce, "balance": balance,
            "codeHash": code_hash, "codeBytes": code_bytes, "hasStorage": has_storage,
        }),
        &[
            ("nonce", nonce.to_string()),
            ("balance", format!("{balance} wei")),
            ("code", format!("{code_hash} ({code_bytes} bytes)")),
            ("storage", if has_storage { "some" } else { "none" }.to_owned()),
        ],
    )
}

fn show(
    is_json: bool,
    json: &serde_json::Value,
    lines: &[(&str, String)],
) -> Result<Verdict, UsageError> {
    if is_json {
        print(format_args!("{json}\n"))?;
    } else {
        for (name, value) in lines {
            print(format_args!("{name:<8} {value}\n"))?;
        }
    }
    Ok(Verdict::Good)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_address_is_told_what_one_is() {
        let address = Address::repeat_byte(0xa1);
        assert_eq!(parsed_address(&address.to_string()), Ok(address));
        for wrong in ["0xa1", "", "0xzz"] {
            let told = parsed_address(wrong).expect_err(wrong);
            assert!(told.ends_with("an address has 20 bytes, 40 digits in hex"), "{told}");
        }
    }
}

//! `fugue db`: what is in a store, whether it is sound, and going back.

use crate::{
    UsageError, Verdict,
    datadir::{Datadir, usage},
    print,
    progress::Progress,
};
use clap::Subcommand;
use fugue_chain::{Head, Retention};
use fugue_storage::Access;
use serde_json::json;

/// Options of `fugue db`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    datadir: Datadir,
    /// Print one JSON object
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Head, marks of pruning, and the size of every table.
    Stats,
    /// Compute everything that can be computed from everything else, and compare.
    Verify,
    /// Where the database lies.
    Path,
    /// Make an earlier block the head; forgets what came after it.
    Unwind {
        /// The block that becomes the head
        #[arg(long, value_name = "NUMBER")]
        to: u64,
    },
    /// Delete what is not to be kept of the past.
    Prune {
        /// full[:BLOCKS] or minimal[:BLOCKS]
        #[arg(long)]
        retention: Retention,
    },
}

/// Runs the command.
pub(crate) fn run(options: &Options) -> Result<Verdict, UsageError> {
    match &options.command {
        Command::Stats => stats(options),
        Command::Verify => verify(options),
        Command::Path => {
            print(format_args!("{}\n", options.datadir.store_path().display()))?;
            Ok(Verdict::Good)
        }
        Command::Unwind { to } => unwind(options, *to),
        Command::Prune { retention } => prune(options, *retention),
    }
}

fn stats(options: &Options) -> Result<Verdict, UsageError> {
    let store = options.datadir.open(Access::Read, 1)?;
    let snapshot = store.snapshot().map_err(usage)?;
    let (meta, stats) = (snapshot.meta(), store.stats().map_err(usage)?);
    if options.json {
        let tables: serde_json::Map<String, serde_json::Value> = stats
            .tables
            .iter()
            .map(|(table, size)| {
                (table.name().to_owned(), json!({ "rows": size.rows, "bytes": size.bytes }))
            })
            .collect();
        print(format_args!(
            "{}\n",
            json!({
                "type": "stats", "genesis": meta.genesis,
                "head": { "number": meta.head.number, "hash": meta.head.hash },
                "oldestBody": meta.oldest_body, "oldestReceipts": meta.oldest_receipts,
                "oldestState": meta.oldest_state, "indexesAddresses": meta.indexes_addresses,
                "fileBytes": stats.file_bytes, "usedBytes": stats.used_bytes, "tables": tables,
            })
        ))?;
        return Ok(Verdict::Good);
    }
    let mut text = format!(
        "genesis   {}\nhead      {} ({})\nbodies    from {}\nreceipts  from {}\n\
         states    from {}\nfile      {}\nin use    {}\n\n{:<16} {:>14} {:>12}\n",
        meta.genesis,
        meta.head.number,
        meta.head.hash,
        meta.oldest_body,
        meta.oldest_receipts,
        meta.oldest_state,
        size(stats.file_bytes),
        size(stats.used_bytes),
        "table",
        "rows",
        "size",
    );
    for (table, found) in &stats.tables {
        text += &format!("{:<16} {:>14} {:>12}\n", table.name(), found.rows, size(found.bytes));
    }
    print(text)?;
    Ok(Verdict::Good)
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1_024 => format!("{bytes} B"),
        1_024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1_024.0),
        1_048_576..1_073_741_824 => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
        _ => format!("{:.2} GiB", bytes as f64 / 1_073_741_824.0),
    }
}

fn verify(options: &Options) -> Result<Verdict, UsageError> {
    let store = options.datadir.open(Access::Read, 1)?;
    let snapshot = store.snapshot().map_err(usage)?;
    let rows = |wanted: &str| -> Result<u64, UsageError> {
        let stats = store.stats().map_err(usage)?;
        let found = stats.tables.iter().find(|(table, _)| table.name() == wanted);
        Ok(found.map_or(0, |(_, size)| size.rows))
    };
    let steps = rows("Headers")? + rows("Accounts")? + rows("Changes")?;
    let progress = Progress::new("blocks and accounts", usize::try_from(steps).unwrap_or(0));
    let verified = snapshot.verify(|| progress.step("")).map_err(usage)?;
    progress.finish();
    let fugue_storage::Verified {
        headers,
        bodies,
        receipts,
        log_terms,
        addresses,
        address_terms,
        accounts,
        slots,
        branches,
        codes,
        problems,
    } = &verified;
    if options.json {
        let problems: Vec<_> = problems.iter().map(|problem| &problem.what).collect();
        print(format_args!(
            "{}\n",
            json!({
                "type": "verify", "headers": headers, "bodies": bodies, "receipts": receipts,
                "logTerms": log_terms, "addresses": addresses, "addressTerms": address_terms,
                "accounts": accounts, "slots": slots, "branches": branches, "codes": codes,
                "problems": problems,
            })
        ))?;
    } else {
        for problem in problems {
            print(format_args!("problem: {}\n", problem.what))?;
        }
        print(format_args!(
            "{headers} headers, {bodies} bodies, {receipts} blocks of receipts, {log_terms} terms \
             of logs, {addresses} indexed addresses, {address_terms} times in blocks, {accounts} \
             accounts, {slots} slots, {branches} trie branches, {codes} codes: {}\n",
            match problems.len() {
                0 => "all fits".to_owned(),
                count => format!("{count} problems"),
            }
        ))?;
    }
    Ok(if verified.problems.is_empty() { Verdict::Good } else { Verdict::Differs })
}

fn unwind(options: &Options, to: u64) -> Result<Verdict, UsageError> {
    let store = options.datadir.open(Access::Write, 1)?;
    let from = store.head().map_err(usage)?;
    let count = usize::try_from(from.number.saturating_sub(to)).unwrap_or(0);
    let progress = Progress::new("blocks", count);
    let mut at = from.number;
    let step = |head: Head| {
        while at > head.number {
            at -= 1;
            progress.step(&head.number.to_string());
        }
    };
    store.unwind(to, step).map_err(usage)?;
    progress.finish();
    let head = store.head().map_err(usage)?;
    if options.json {
        let line = json!({
            "type": "unwind", "from": from.number,
            "head": { "number": head.number, "hash": head.hash },
        });
        print(format_args!("{line}\n"))?;
    } else {
        let Head { number, hash } = head;
        print(format_args!("unwound from block {}: head {number} ({hash})\n", from.number))?;
    }
    Ok(Verdict::Good)
}

fn prune(options: &Options, retention: Retention) -> Result<Verdict, UsageError> {
    let store = options.datadir.open(Access::Write, 1)?;
    let pruned = store.prune(retention).map_err(usage)?;
    let fugue_storage::Pruned { states, receipts, bodies } = pruned;
    if options.json {
        let line = json!({
            "type": "prune", "states": states, "receipts": receipts, "bodies": bodies,
        });
        print(format_args!("{line}\n"))?;
    } else {
        print(format_args!("pruned: {states} states, {receipts} receipts, {bodies} bodies\n"))?;
    }
    Ok(Verdict::Good)
}

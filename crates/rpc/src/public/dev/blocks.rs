//! Blocks and time at the wish of the caller, and the way back.

use super::{Done, chain, number_u64, of_dev};
use crate::{
    dev::{DevBlocks, DevSetting},
    public::{
        Answer, Context,
        args::{Args, address, boolean, field, hash, object},
        error::invalid_params,
        json,
    },
};
use fugue_types::U256;
use serde_json::Value;
use std::time::Duration;

/// Blocks that one call makes, at most: each is executed and stored as any other.
const BLOCKS_MAX: u64 = 10_000;
/// `evm_setIntervalMining` takes a smaller number for seconds, as one family of tools sends them,
/// and others for milliseconds, as the other does.
const INTERVAL_MS_MIN: u64 = 100;

/// `evm_mine`.
pub(super) fn mine(context: &Context, mut args: Args) -> Answer {
    let blocks = args.optional("options", mine_options)?.unwrap_or_else(|| one(None));
    args.end()?;
    mine_all(context, &blocks)?;
    json("0x0")
}

const fn one(timestamp: Option<u64>) -> DevBlocks {
    DevBlocks { count: 1, timestamp, interval: None }
}

/// A timestamp, or an object with it and the number of blocks.
fn mine_options(value: &Value) -> Result<DevBlocks, String> {
    if !value.is_object() {
        return number_u64(value).map(|timestamp| one(Some(timestamp)));
    }
    let fields = object(value)?;
    // Some clients say that these are options.
    let fields = match fields.get("options") {
        Some(options) => object(options)?,
        None => fields,
    };
    let count = field(fields, "blocks", number_u64)?.unwrap_or(1);
    Ok(DevBlocks { count, ..one(field(fields, "timestamp", number_u64)?) })
}

/// `hardhat_mine`: how many, and the seconds between them.
pub(super) fn mine_blocks(context: &Context, mut args: Args) -> Done {
    let count = args.optional("blocks", number_u64)?.unwrap_or(1);
    let interval = args.optional("interval", number_u64)?.filter(|interval| *interval > 0);
    args.end()?;
    mine_all(context, &DevBlocks { count, interval, ..one(None) })
}

fn mine_all(context: &Context, blocks: &DevBlocks) -> Done {
    if blocks.count > BLOCKS_MAX {
        let count = blocks.count;
        return Err(invalid_params(format!(
            "invalid argument 0 (blocks): {count} blocks, want at most {BLOCKS_MAX}"
        )));
    }
    // Many blocks take longer than other calls may; they end if nobody waits for them.
    let goes_on = || !context.patience.is_gone();
    chain(context)?.mine(blocks, &goes_on).map_err(of_dev)
}

/// `evm_snapshot`.
pub(super) fn snapshot(context: &Context, args: Args) -> Answer {
    args.end()?;
    json(&U256::from(chain(context)?.snapshot().map_err(of_dev)?))
}

/// `evm_revert`.
pub(super) fn revert(context: &Context, mut args: Args) -> Answer {
    let snapshot = args.required("snapshot", number_u64)?;
    args.end()?;
    json(&chain(context)?.revert(snapshot).map_err(of_dev)?)
}

/// `debug_setHead`.
pub(super) fn set_head(context: &Context, mut args: Args) -> Done {
    let number = args.required("block number", number_u64)?;
    args.end()?;
    chain(context)?.rewind(number).map_err(of_dev)
}

/// `hardhat_reset`. There is nothing that could be forked.
pub(super) fn reset(context: &Context, mut args: Args) -> Done {
    args.optional("options", no_fork)?;
    args.end()?;
    chain(context)?.reset().map_err(of_dev)
}

/// Clients send the object of a fork also where they name none.
fn no_fork(value: &Value) -> Result<(), String> {
    let fields = object(value)?;
    let fork = match fields.get("forking") {
        Some(Value::Null) | None => fields,
        Some(fork) => object(fork)?,
    };
    let names = ["jsonRpcUrl", "blockNumber"];
    match names.iter().find(|name| fork.get(**name).is_some_and(|value| !value.is_null())) {
        Some(name) => Err(format!("{name}: forks of other chains are not supported")),
        None => Ok(()),
    }
}

fn set(context: &Context, setting: DevSetting) -> Done {
    chain(context)?.set(setting).map_err(of_dev)
}

/// `evm_increaseTime`, in seconds: gives by how much the clock is ahead.
pub(super) fn increase_time(context: &Context, mut args: Args) -> Answer {
    let seconds = args.required("seconds", number_u64)?;
    args.end()?;
    set(context, DevSetting::TimeForward(seconds))?;
    json(&chain(context)?.status().offset)
}

/// `evm_setTime`: gives by how many seconds the clock is ahead.
pub(super) fn set_time(context: &Context, mut args: Args) -> Answer {
    let timestamp = args.required("timestamp", number_u64)?;
    args.end()?;
    set(context, DevSetting::Time(timestamp))?;
    json(&chain(context)?.status().offset.max(0))
}

/// `evm_setNextBlockTimestamp`.
pub(super) fn set_timestamp(context: &Context, mut args: Args) -> Done {
    let timestamp = args.required("timestamp", number_u64)?;
    args.end()?;
    set(context, DevSetting::NextTimestamp(timestamp))
}

/// `anvil_setBlockTimestampInterval`, in seconds.
pub(super) fn set_timestamp_interval(context: &Context, mut args: Args) -> Done {
    let seconds = args.required("seconds", number_u64)?;
    args.end()?;
    set(context, DevSetting::TimestampInterval(Some(seconds)))
}

/// `anvil_removeBlockTimestampInterval`: says whether there was one.
pub(super) fn remove_timestamp_interval(context: &Context, args: Args) -> Answer {
    args.end()?;
    let was_there = chain(context)?.status().timestamp_interval.is_some();
    set(context, DevSetting::TimestampInterval(None))?;
    json(&was_there)
}

/// `evm_setAutomine`.
pub(super) fn set_automine(context: &Context, mut args: Args) -> Done {
    let is_on = args.required("enabled", boolean)?;
    args.end()?;
    set(context, DevSetting::Automine(is_on))
}

/// `evm_setIntervalMining`; 0 turns it off.
pub(super) fn set_interval(context: &Context, mut args: Args) -> Done {
    let interval = args.required("interval", interval)?;
    args.end()?;
    set(context, DevSetting::Interval(interval))
}

/// See [`INTERVAL_MS_MIN`].
fn interval(value: &Value) -> Result<Option<Duration>, String> {
    Ok(match number_u64(value)? {
        0 => None,
        seconds if seconds < INTERVAL_MS_MIN => Some(Duration::from_secs(seconds)),
        millis => Some(Duration::from_millis(millis)),
    })
}

/// `anvil_setIntervalMining`, in seconds; 0 turns it off.
pub(super) fn set_interval_seconds(context: &Context, mut args: Args) -> Done {
    let seconds = args.required("seconds", number_u64)?;
    args.end()?;
    let interval = (seconds > 0).then(|| Duration::from_secs(seconds));
    set(context, DevSetting::Interval(interval))
}

/// `evm_setBlockGasLimit`.
pub(super) fn set_gas_limit(context: &Context, mut args: Args) -> Done {
    let gas_limit = args.required("gas limit", number_u64)?;
    args.end()?;
    set(context, DevSetting::GasLimit(gas_limit))
}

/// `hardhat_setNextBlockBaseFeePerGas`, in wei.
pub(super) fn set_base_fee(context: &Context, mut args: Args) -> Done {
    let base_fee = args.required("base fee", number_u64)?;
    args.end()?;
    set(context, DevSetting::NextBaseFee(base_fee))
}

/// `hardhat_setPrevRandao`: of the next block.
pub(super) fn set_randao(context: &Context, mut args: Args) -> Done {
    let prev_randao = args.required("prevrandao", hash)?;
    args.end()?;
    set(context, DevSetting::NextRandao(prev_randao))
}

/// `hardhat_setCoinbase`.
pub(super) fn set_coinbase(context: &Context, mut args: Args) -> Done {
    let coinbase = args.required("address", address)?;
    args.end()?;
    set(context, DevSetting::Coinbase(coinbase))
}

/// `hardhat_setLoggingEnabled`: whether each block is told in the log.
pub(super) fn set_logging(context: &Context, mut args: Args) -> Done {
    let is_on = args.required("enabled", boolean)?;
    args.end()?;
    set(context, DevSetting::Logging(is_on))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json as object;

    #[test]
    fn options_of_mining_have_several_forms() {
        let at = |count, timestamp| DevBlocks { count, ..one(timestamp) };
        for (value, expected) in [
            (object!(5), at(1, Some(5))),
            (object!("0x5"), at(1, Some(5))),
            (object!({}), at(1, None)),
            (object!({ "blocks": 3 }), at(3, None)),
            (object!({ "options": { "timestamp": "0x5", "blocks": 3 } }), at(3, Some(5))),
        ] {
            assert_eq!(mine_options(&value), Ok(expected), "{value}");
        }
        for wrong in [object!([]), object!(true), object!({ "blocks": "many" })] {
            assert!(mine_options(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_interval_is_in_seconds_or_in_milliseconds() {
        assert_eq!(interval(&object!(0)), Ok(None));
        assert_eq!(interval(&object!(12)), Ok(Some(Duration::from_secs(12))));
        assert_eq!(interval(&object!(5_000)), Ok(Some(Duration::from_secs(5))));
        assert!(interval(&object!([1, 2])).is_err());
    }

    #[test]
    fn a_fork_is_refused_and_its_empty_object_is_not() {
        for empty in [
            object!({}),
            object!({ "forking": null }),
            object!({ "forking": { "blockNumber": null } }),
            object!({ "jsonRpcUrl": null, "blockNumber": null }),
        ] {
            assert_eq!(no_fork(&empty), Ok(()), "{empty}");
        }
        for fork in
            [object!({ "forking": { "jsonRpcUrl": "http://x" } }), object!({ "blockNumber": 1 })]
        {
            let told = no_fork(&fork).expect_err("a fork");
            assert!(told.contains("not supported"), "{told}");
        }
    }
}

//! Blocks and time at the wish of the caller, and the way back.

use super::{Done, chain, detailed, number_u64, of_dev};
use crate::{
    dev::{DevAncestor, DevBlocks, DevInterval, DevSetting},
    public::{
        Answer, Context,
        args::{Args, address, boolean, field, hash, object},
        error::invalid_params,
        json,
    },
};
use fugue_chain::Head;
use fugue_types::U256;
use jsonrpsee::types::ErrorObjectOwned;
use serde_json::Value;
use std::time::Duration;

/// Blocks that one call makes, at most: each is executed and stored as any other, so it is time and
/// the disk that bound them, and not memory. Tests of votes make those of a week, 50,400.
const BLOCKS_MAX: u64 = 1_000_000;
/// The same where the answer has the blocks.
const DETAILED_MAX: u64 = 1_024;
/// `evm_setIntervalMining` takes a smaller number for seconds, as one family of tools sends them,
/// and others for milliseconds, as the other does.
const INTERVAL_MS_MIN: u64 = 100;

/// `evm_mine`.
pub(super) fn mine(context: &Context, mut args: Args) -> Answer {
    let blocks = args.optional("options", mine_options)?.unwrap_or_else(|| one(None));
    args.end()?;
    mine_all(context, &blocks, BLOCKS_MAX)?;
    json("0x0")
}

/// `anvil_mine_detailed`: gives the blocks.
pub(super) fn mine_detailed(context: &Context, mut args: Args) -> Answer {
    let blocks = args.optional("options", mine_options)?.unwrap_or_else(|| one(None));
    args.end()?;
    let head = mine_all(context, &blocks, DETAILED_MAX)?;
    detailed::up_to(context, head, blocks.count)
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
    mine_all(context, &DevBlocks { count, interval, ..one(None) }, BLOCKS_MAX).map(|_| ())
}

/// Makes so many blocks, at most `max`, and gives the last of them.
fn mine_all(context: &Context, blocks: &DevBlocks, max: u64) -> Result<Head, ErrorObjectOwned> {
    if blocks.count > max {
        let count = blocks.count;
        return Err(invalid_params(format!(
            "invalid argument 0 (blocks): {count} blocks, want at most {max}"
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
    chain(context)?.rewind(DevAncestor::Number(number)).map_err(of_dev)
}

/// `anvil_rollback`: so many blocks.
pub(super) fn rollback(context: &Context, mut args: Args) -> Done {
    let depth = args.optional("depth", number_u64)?.unwrap_or(1);
    args.end()?;
    chain(context)?.rewind(DevAncestor::Depth(depth)).map_err(of_dev)
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

/// A number, for which see [`INTERVAL_MS_MIN`], or the least and the most in milliseconds.
fn interval(value: &Value) -> Result<Option<DevInterval>, String> {
    if let Some(ends) = value.as_array() {
        let [min, max] = ends.as_slice() else {
            return Err("a number, or a list of two, is expected".to_owned());
        };
        let millis = |value| number_u64(value).map(Duration::from_millis);
        let (min, max) = (millis(min)?, millis(max)?);
        if min > max {
            return Err("the first number is above the second".to_owned());
        }
        return Ok((!max.is_zero()).then_some(DevInterval { min, max }));
    }
    let always = match number_u64(value)? {
        0 => return Ok(None),
        seconds if seconds < INTERVAL_MS_MIN => Duration::from_secs(seconds),
        millis => Duration::from_millis(millis),
    };
    Ok(Some(DevInterval::exactly(always)))
}

/// `anvil_setIntervalMining`, in seconds; 0 turns it off.
pub(super) fn set_interval_seconds(context: &Context, mut args: Args) -> Done {
    let seconds = args.required("seconds", number_u64)?;
    args.end()?;
    let interval = (seconds > 0).then(|| DevInterval::exactly(Duration::from_secs(seconds)));
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
        let always = |seconds| Ok(Some(DevInterval::exactly(Duration::from_secs(seconds))));
        assert_eq!(interval(&object!(0)), Ok(None));
        assert_eq!(interval(&object!(12)), always(12));
        assert_eq!(interval(&object!(5_000)), always(5));
    }

    #[test]
    fn an_interval_may_have_two_ends_in_milliseconds() {
        let millis = Duration::from_millis;
        for (value, min, max) in [
            (object!([1_000, 2_000]), 1_000, 2_000),
            (object!([5, "0x10"]), 5, 16),
            (object!([0, 7]), 0, 7),
            (object!([7, 7]), 7, 7),
        ] {
            let expected = DevInterval { min: millis(min), max: millis(max) };
            assert_eq!(interval(&value), Ok(Some(expected)), "{value}");
        }
        assert_eq!(interval(&object!([0, 0])), Ok(None));
        for wrong in [object!([]), object!([1]), object!([1, 2, 3]), object!([2, 1]), object!({})] {
            assert!(interval(&wrong).is_err(), "{wrong}");
        }
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

//! What tools ask of the dev chain over JSON-RPC.

use super::{Dev, Kept, Manner, Snapshots, making::instance, settings::now};
use alloy_primitives::Signature;
use fugue_chain::{DevBlock, DevContent, Edit, EngineError, Head, SubmitError};
use fugue_rpc::{DevAncestor, DevBlocks, DevChain, DevError, DevSetting, DevStatus, Impersonation};
use fugue_txpool::{Added, Origin};
use fugue_types::{Address, B256};
use fugue_workload::Wallet;
use std::{ops::RangeInclusive, time::Duration};

/// Accounts that are impersonated by name, at most.
const IMPERSONATED_MAX: usize = 10_000;
/// Snapshots that are remembered, at most: the oldest are forgotten. Each takes about 200 bytes.
const SNAPSHOTS_MAX: usize = 65_536;
/// Longest interval from one block to the next, as `--dev.block-time` has it.
const INTERVAL_MAX: Duration = Duration::from_secs(3_600);
/// Gas limits of a block, as `--builder.gaslimit` has them.
const GAS_LIMITS: RangeInclusive<u64> = 5_000..=0x7fff_ffff_ffff_ffff;

impl Dev {
    fn name_timestamp(&self, timestamp: u64) -> Result<(), DevError> {
        let (_, head) = self.head(&self.engine.view()).map_err(of_engine)?;
        let before = head.timestamp;
        if timestamp <= before {
            let told = format!("timestamp {timestamp} is not above that of the head, {before}");
            return Err(DevError::Refused(told));
        }
        self.manner().settings.next_timestamp = Some(timestamp);
        Ok(())
    }

    /// # Errors
    /// If the last of these blocks would have a timestamp above the largest.
    fn check_timestamps(&self, blocks: &DevBlocks) -> Result<(), DevError> {
        let DevBlocks { count, timestamp, interval } = *blocks;
        let (_, head) = self.head(&self.engine.view()).map_err(of_engine)?;
        let wanted = match timestamp {
            Some(timestamp) => timestamp,
            None => self.planned().map_err(of_engine)?.timestamp,
        };
        // Without an interval, each is at least a second above the one before.
        let interval = interval.or(self.manner().settings.timestamp_interval).unwrap_or(1).max(1);
        let first = head.timestamp.checked_add(1).map(|least| wanted.max(least));
        let passed = count.saturating_sub(1).checked_mul(interval);
        let last = first.zip(passed).and_then(|(first, passed)| first.checked_add(passed));
        last.map(|_| ()).ok_or_else(|| above_largest(count))
    }

    /// The pool goes by the gas limit that is set, not by that of the head.
    fn limit_pool(&self) {
        let gas_limit = self.manner().settings.gas_limit;
        if let Some(gas_limit) = gas_limit {
            self.engine.limit_pool_gas(gas_limit);
        }
    }

    /// A block of the chain; `None` above the head.
    fn block(&self, number: u64) -> Result<Option<Head>, DevError> {
        let found = self.engine.view().header(number);
        let found = found.map_err(|error| DevError::Broken(error.to_string()))?;
        Ok(found.map(|(hash, _)| Head { number, hash }))
    }

    fn own(&self, account: Address) -> Option<&Wallet> {
        self.wallets.iter().find(|wallet| wallet.address() == account)
    }
}

impl DevChain for Dev {
    fn accounts(&self) -> Vec<Address> {
        let manner = self.manner();
        let own = self.wallets.iter().map(Wallet::address);
        own.chain(manner.impersonated.iter().copied()).collect()
    }

    fn sign(&self, signer: Address, hash: B256) -> Option<Signature> {
        self.own(signer).map(|wallet| wallet.sign(hash))
    }

    fn is_impersonated(&self, account: Address) -> bool {
        let manner = self.manner();
        manner.impersonates_all || manner.impersonated.contains(&account)
    }

    fn impersonate(&self, change: Impersonation) -> Result<(), DevError> {
        let mut manner = self.manner();
        match change {
            // There is a key, which does as well.
            Impersonation::Start(account) if self.own(account).is_some() => {}
            Impersonation::Start(account) => {
                let impersonated = &mut manner.impersonated;
                if impersonated.len() >= IMPERSONATED_MAX && !impersonated.contains(&account) {
                    let told = format!("{IMPERSONATED_MAX} accounts are impersonated, the most");
                    return Err(DevError::Refused(told));
                }
                impersonated.insert(account);
            }
            Impersonation::Stop(account) => {
                manner.impersonated.remove(&account);
            }
            Impersonation::All(is_on) => manner.impersonates_all = is_on,
        }
        Ok(())
    }

    fn send(&self, encoded: &[u8], origin: Origin) -> Result<Added, SubmitError> {
        let _turn = self.turn();
        let added = self.engine.submit(encoded, origin)?;
        let is_automine = self.manner().settings.is_automine;
        if is_automine {
            self.include_pending();
        }
        Ok(added)
    }

    fn mine(&self, blocks: &DevBlocks, goes_on: &dyn Fn() -> bool) -> Result<Head, DevError> {
        let DevBlocks { count, timestamp, interval } = *blocks;
        let _turn = self.turn();
        self.check_timestamps(blocks)?;
        if let Some(timestamp) = timestamp {
            self.name_timestamp(timestamp)?;
        }
        for index in 0..count {
            if self.is_ended() || !goes_on() {
                return Err(DevError::Refused(format!("given up after {index} blocks")));
            }
            if let Some(interval) = interval.filter(|_| index > 0) {
                let (_, head) = self.head(&self.engine.view()).map_err(of_engine)?;
                let next = head.timestamp.checked_add(interval);
                let next = next.ok_or_else(|| above_largest(count))?;
                self.manner().settings.next_timestamp = Some(next);
            }
            self.make_block(DevContent::Pool).map_err(of_engine)?;
        }
        Ok(self.engine.view().head())
    }

    fn edit(&self, edit: Edit) -> Result<(), DevError> {
        let _turn = self.turn();
        self.make_block(DevContent::Edit(edit)).map_err(of_engine)
    }

    fn snapshot(&self) -> Result<u64, DevError> {
        let mut snapshots = self.turn();
        let (head, _) = self.head(&self.engine.view()).map_err(of_engine)?;
        let settings = self.manner().settings.clone();
        snapshots.last += 1;
        let id = snapshots.last;
        snapshots.by_name.insert(id, Kept { head, settings, taken: now() });
        if snapshots.by_name.len() > SNAPSHOTS_MAX {
            snapshots.by_name.pop_first();
        }
        Ok(id)
    }

    fn revert(&self, snapshot: u64) -> Result<bool, DevError> {
        let mut snapshots = self.turn();
        let Some(kept) = snapshots.by_name.get(&snapshot).cloned() else { return Ok(false) };
        if !self.go_back(kept.head).map_err(of_engine)? {
            return Ok(false);
        }
        snapshots.by_name.retain(|id, _| *id < snapshot);
        self.manner().settings.restore(kept.settings, kept.taken, now());
        self.limit_pool();
        Ok(true)
    }

    fn rewind(&self, to: DevAncestor) -> Result<(), DevError> {
        let mut snapshots = self.turn();
        let head = self.engine.view().head().number;
        let number = match to {
            DevAncestor::Number(number) => number,
            DevAncestor::Depth(depth) => head.checked_sub(depth).ok_or_else(|| {
                DevError::Refused(format!("{depth} blocks below the head, {head}, there is none"))
            })?,
        };
        let block = self.block(number)?;
        let gone = || DevError::Refused(format!("there is no block {number}"));
        let block = block.ok_or_else(gone)?;
        if !self.go_back(block).map_err(of_engine)? {
            return Err(gone());
        }
        snapshots.by_name.retain(|_, kept| kept.head.number <= number);
        self.limit_pool();
        Ok(())
    }

    fn reset(&self) -> Result<(), DevError> {
        let mut snapshots = self.turn();
        let gone = || DevError::Broken("the chain has no genesis".to_owned());
        let genesis = self.block(0)?.ok_or_else(gone)?;
        if !self.go_back(genesis).map_err(of_engine)? {
            return Err(gone());
        }
        *snapshots = Snapshots::default();
        let manner = Manner::new(self.first.clone(), instance(&self.engine));
        *self.manner() = manner;
        self.wake();
        Ok(())
    }

    fn set(&self, setting: DevSetting) -> Result<(), DevError> {
        let _turn = self.turn();
        match setting {
            DevSetting::Automine(is_on) => {
                self.manner().settings.is_automine = is_on;
                if is_on {
                    self.include_pending();
                }
            }
            DevSetting::Interval(Some(interval)) if interval.max > INTERVAL_MAX => {
                let max = INTERVAL_MAX.as_secs();
                return Err(DevError::Refused(format!("the longest interval is {max} s")));
            }
            DevSetting::Interval(interval) => {
                self.manner().settings.interval = interval;
                self.wake();
            }
            DevSetting::TimeForward(seconds) => {
                let (_, head) = self.head(&self.engine.view()).map_err(of_engine)?;
                self.manner().settings.forward(seconds, head.timestamp, now());
            }
            DevSetting::Time(timestamp) => self.manner().settings.set_clock(timestamp, now()),
            DevSetting::NextTimestamp(timestamp) => self.name_timestamp(timestamp)?,
            DevSetting::TimestampInterval(interval) => {
                self.manner().settings.timestamp_interval = interval;
            }
            DevSetting::NextBaseFee(base_fee) => {
                self.manner().settings.next_base_fee = Some(base_fee);
            }
            DevSetting::NextRandao(randao) => self.manner().settings.next_randao = Some(randao),
            DevSetting::Coinbase(coinbase) => self.manner().settings.coinbase = coinbase,
            DevSetting::GasLimit(gas_limit) if !GAS_LIMITS.contains(&gas_limit) => {
                let (min, max) = (GAS_LIMITS.start(), GAS_LIMITS.end());
                let told = format!("gas limit {gas_limit} is not between {min} and {max}");
                return Err(DevError::Refused(told));
            }
            DevSetting::GasLimit(gas_limit) => {
                self.manner().settings.gas_limit = Some(gas_limit);
                self.limit_pool();
            }
            DevSetting::Logging(is_on) => self.manner().is_logging = is_on,
        }
        Ok(())
    }

    fn status(&self) -> DevStatus {
        let manner = self.manner();
        let settings = &manner.settings;
        DevStatus {
            is_automine: settings.is_automine,
            interval: settings.interval,
            offset: settings.offset,
            timestamp_interval: settings.timestamp_interval,
            instance: manner.instance,
        }
    }

    fn next_block(&self) -> Result<DevBlock, DevError> {
        self.planned().map_err(of_engine)
    }

    fn snapshots(&self) -> Vec<(u64, Head)> {
        self.turn().by_name.iter().map(|(id, kept)| (*id, kept.head)).collect()
    }
}

fn above_largest(count: u64) -> DevError {
    let max = u64::MAX;
    DevError::Refused(format!(
        "the last of {count} blocks has a timestamp above {max}, the largest"
    ))
}

fn of_engine(error: EngineError) -> DevError {
    match error {
        EngineError::InvalidForkchoice(reason) | EngineError::InvalidAttributes(reason) => {
            DevError::Refused(reason)
        }
        busy @ (EngineError::Busy(_) | EngineError::BusyBytes(_)) => {
            DevError::Refused(busy.to_string())
        }
        broken => DevError::Broken(broken.to_string()),
    }
}

//! What tools ask of the dev chain over JSON-RPC.

use super::{Dev, Kept, State, making::instance, settings::now};
use alloy_primitives::Signature;
use fugue_chain::{DevContent, Edit, EngineError, Head, SubmitError};
use fugue_rpc::{DevBlocks, DevChain, DevError, DevSetting, DevStatus, Impersonation};
use fugue_txpool::Origin;
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
    fn name_timestamp(&self, state: &mut State, timestamp: u64) -> Result<(), DevError> {
        let (_, head) = self.head(&self.engine.view()).map_err(of_engine)?;
        let before = head.timestamp;
        if timestamp <= before {
            let told = format!("timestamp {timestamp} is not above that of the head, {before}");
            return Err(DevError::Refused(told));
        }
        state.settings.next_timestamp = Some(timestamp);
        Ok(())
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
        let state = self.lock();
        let own = self.wallets.iter().map(Wallet::address);
        own.chain(state.impersonated.iter().copied()).collect()
    }

    fn sign(&self, signer: Address, hash: B256) -> Option<Signature> {
        self.own(signer).map(|wallet| wallet.sign(hash))
    }

    fn is_impersonated(&self, account: Address) -> bool {
        let state = self.lock();
        state.impersonates_all || state.impersonated.contains(&account)
    }

    fn impersonate(&self, change: Impersonation) -> Result<(), DevError> {
        let mut state = self.lock();
        match change {
            // There is a key, which does as well.
            Impersonation::Start(account) if self.own(account).is_some() => {}
            Impersonation::Start(account) => {
                if state.impersonated.len() >= IMPERSONATED_MAX {
                    let told = format!("{IMPERSONATED_MAX} accounts are impersonated, the most");
                    return Err(DevError::Refused(told));
                }
                state.impersonated.insert(account);
            }
            Impersonation::Stop(account) => {
                state.impersonated.remove(&account);
            }
            Impersonation::All(is_on) => state.impersonates_all = is_on,
        }
        Ok(())
    }

    fn send(&self, encoded: &[u8], origin: Origin) -> Result<B256, SubmitError> {
        let mut state = self.lock();
        let added = self.engine.submit(encoded, origin)?;
        if state.settings.is_automine {
            self.include_pending(&mut state);
        }
        Ok(added.hash)
    }

    fn mine(&self, blocks: &DevBlocks, goes_on: &dyn Fn() -> bool) -> Result<(), DevError> {
        let DevBlocks { count, timestamp, interval } = *blocks;
        let mut state = self.lock();
        if let Some(timestamp) = timestamp {
            self.name_timestamp(&mut state, timestamp)?;
        }
        for index in 0..count {
            if !goes_on() {
                return Err(DevError::Refused(format!("given up after {index} blocks")));
            }
            if let Some(interval) = interval.filter(|_| index > 0) {
                let (_, head) = self.head(&self.engine.view()).map_err(of_engine)?;
                state.settings.next_timestamp = Some(head.timestamp.saturating_add(interval));
            }
            self.make_block(&mut state, DevContent::Pool).map_err(of_engine)?;
        }
        Ok(())
    }

    fn edit(&self, edit: Edit) -> Result<(), DevError> {
        let mut state = self.lock();
        self.make_block(&mut state, DevContent::Edit(edit)).map_err(of_engine)
    }

    fn snapshot(&self) -> Result<u64, DevError> {
        let mut state = self.lock();
        let (head, _) = self.head(&self.engine.view()).map_err(of_engine)?;
        let kept = Kept { head, settings: state.settings.clone(), taken: now() };
        state.last_snapshot += 1;
        let id = state.last_snapshot;
        state.snapshots.insert(id, kept);
        if state.snapshots.len() > SNAPSHOTS_MAX {
            state.snapshots.pop_first();
        }
        Ok(id)
    }

    fn revert(&self, snapshot: u64) -> Result<bool, DevError> {
        let mut state = self.lock();
        let Some(kept) = state.snapshots.get(&snapshot).cloned() else { return Ok(false) };
        if !self.go_back(kept.head).map_err(of_engine)? {
            return Ok(false);
        }
        state.snapshots.retain(|id, _| *id < snapshot);
        state.settings.restore(kept.settings, kept.taken, now());
        Ok(true)
    }

    fn rewind(&self, number: u64) -> Result<(), DevError> {
        let mut state = self.lock();
        let block = self.block(number)?;
        let gone = || DevError::Refused(format!("there is no block {number}"));
        let block = block.ok_or_else(gone)?;
        if !self.go_back(block).map_err(of_engine)? {
            return Err(gone());
        }
        state.snapshots.retain(|_, kept| kept.head.number <= number);
        Ok(())
    }

    fn reset(&self) -> Result<(), DevError> {
        let mut state = self.lock();
        let gone = || DevError::Broken("the chain has no genesis".to_owned());
        let genesis = self.block(0)?.ok_or_else(gone)?;
        if !self.go_back(genesis).map_err(of_engine)? {
            return Err(gone());
        }
        *state = State::new(self.first.clone(), instance(&self.engine));
        self.wake();
        Ok(())
    }

    fn set(&self, setting: DevSetting) -> Result<(), DevError> {
        let mut state = self.lock();
        let settings = &mut state.settings;
        match setting {
            DevSetting::Automine(is_on) => {
                settings.is_automine = is_on;
                if is_on {
                    self.include_pending(&mut state);
                }
            }
            DevSetting::Interval(Some(interval)) if interval > INTERVAL_MAX => {
                let max = INTERVAL_MAX.as_secs();
                return Err(DevError::Refused(format!("the longest interval is {max} s")));
            }
            DevSetting::Interval(interval) => {
                settings.interval = interval;
                self.wake();
            }
            DevSetting::TimeForward(seconds) => {
                let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
                settings.offset = settings.offset.saturating_add(seconds);
            }
            DevSetting::Time(timestamp) => settings.set_clock(timestamp, now()),
            DevSetting::NextTimestamp(timestamp) => self.name_timestamp(&mut state, timestamp)?,
            DevSetting::TimestampInterval(interval) => settings.timestamp_interval = interval,
            DevSetting::NextBaseFee(base_fee) => settings.next_base_fee = Some(base_fee),
            DevSetting::NextRandao(randao) => settings.next_randao = Some(randao),
            DevSetting::Coinbase(coinbase) => settings.coinbase = coinbase,
            DevSetting::GasLimit(gas_limit) if !GAS_LIMITS.contains(&gas_limit) => {
                let (min, max) = (GAS_LIMITS.start(), GAS_LIMITS.end());
                let told = format!("gas limit {gas_limit} is not between {min} and {max}");
                return Err(DevError::Refused(told));
            }
            DevSetting::GasLimit(gas_limit) => settings.gas_limit = Some(gas_limit),
            DevSetting::Logging(is_on) => state.is_logging = is_on,
        }
        Ok(())
    }

    fn status(&self) -> DevStatus {
        let state = self.lock();
        let settings = &state.settings;
        DevStatus {
            is_automine: settings.is_automine,
            interval: settings.interval,
            offset: settings.offset,
            timestamp_interval: settings.timestamp_interval,
            next_base_fee: settings.next_base_fee,
            instance: state.instance,
            snapshots: state.snapshots.iter().map(|(id, kept)| (*id, kept.head)).collect(),
        }
    }
}

fn of_engine(error: EngineError) -> DevError {
    match error {
        EngineError::InvalidForkchoice(reason) | EngineError::InvalidAttributes(reason) => {
            DevError::Refused(reason)
        }
        busy @ EngineError::Busy(_) => DevError::Refused(busy.to_string()),
        broken => DevError::Broken(broken.to_string()),
    }
}

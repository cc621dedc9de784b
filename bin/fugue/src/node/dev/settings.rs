//! How the blocks of the dev chain are made, and by which clock.

use fugue_rpc::DevInterval;
use fugue_types::{Address, B256};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How blocks are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settings {
    /// A block for each transaction.
    pub(super) is_automine: bool,
    /// A block each time that so much has passed.
    pub(super) interval: Option<DevInterval>,
    /// Seconds by which the clock of the blocks is ahead of that of the machine.
    pub(super) offset: i64,
    /// Timestamp of the next block that has transactions, or could have.
    pub(super) next_timestamp: Option<u64>,
    /// Seconds from one timestamp to the next, in place of the clock.
    pub(super) timestamp_interval: Option<u64>,
    /// Of the next such block, in wei.
    pub(super) next_base_fee: Option<u64>,
    /// Of the next such block.
    pub(super) next_randao: Option<B256>,
    pub(super) coinbase: Address,
    pub(super) gas_limit: Option<u64>,
}

impl Settings {
    pub(super) fn new(block_time: Option<Duration>) -> Self {
        Self {
            is_automine: block_time.is_none(),
            interval: block_time.map(DevInterval::exactly),
            offset: 0,
            next_timestamp: None,
            timestamp_interval: None,
            next_base_fee: None,
            next_randao: None,
            coinbase: Address::ZERO,
            gas_limit: None,
        }
    }

    /// Timestamp of the next block: above that of its parent.
    pub(super) fn timestamp(&self, parent: u64, now: u64) -> u64 {
        let wanted = match (self.next_timestamp, self.timestamp_interval) {
            (Some(exact), _) => exact,
            (None, Some(interval)) => parent.saturating_add(interval),
            (None, None) => now.saturating_add_signed(self.offset),
        };
        wanted.max(parent.saturating_add(1))
    }

    /// What held for one block alone has held. After a timestamp that was named, the clock goes on
    /// from there.
    pub(super) fn step(&mut self, timestamp: u64, now: u64) {
        if self.next_timestamp.take().is_some() {
            self.set_clock(timestamp, now);
        }
        self.next_base_fee = None;
        self.next_randao = None;
    }

    /// Lets the clock run ahead by so many seconds more. Blocks that came faster than the seconds
    /// passed are ahead of it: then it is by so much ahead of the newest, which has the timestamp
    /// `parent`, or nobody would see it.
    pub(super) fn forward(&mut self, seconds: u64, parent: u64, now: u64) {
        let clock = now.saturating_add_signed(self.offset).max(parent);
        self.set_clock(clock.saturating_add(seconds), now);
    }

    /// It is `timestamp` at this moment.
    pub(super) fn set_clock(&mut self, timestamp: u64, now: u64) {
        let ahead = i128::from(timestamp) - i128::from(now);
        self.offset = i64::try_from(ahead).unwrap_or(i64::MAX);
    }

    /// What a snapshot has kept holds again: all but when blocks are made. The clock goes on from
    /// when it was `taken`.
    pub(super) fn restore(&mut self, kept: Self, taken: u64, now: u64) {
        let passed = i64::try_from(now.saturating_sub(taken)).unwrap_or(i64::MAX);
        let Self { is_automine, interval, .. } = *self;
        let offset = kept.offset.saturating_sub(passed);
        *self = Self { is_automine, interval, offset, ..kept };
    }
}

/// What passes before one block, by the hash of the block before: as good as random.
pub(super) fn drawn(interval: DevInterval, before: B256) -> Duration {
    let DevInterval { min, max } = interval;
    let [first, second, ..] = before.0;
    let share = u32::from(u16::from_be_bytes([first, second]));
    min + max.saturating_sub(min) * share / u32::from(u16::MAX)
}

/// Seconds since 1970.
#[expect(clippy::disallowed_methods, reason = "the dev chain is its own consensus layer")]
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_timestamp_is_that_of_the_clock_and_above_the_parents() {
        let mut settings = Settings::new(None);
        assert_eq!(settings.timestamp(10, 50), 50);
        assert_eq!(settings.timestamp(50, 50), 51);
        settings.offset = 100;
        assert_eq!(settings.timestamp(50, 50), 150);
        settings.offset = -100;
        assert_eq!(settings.timestamp(20, 50), 21);
        settings.timestamp_interval = Some(7);
        assert_eq!(settings.timestamp(20, 50), 27);
    }

    #[test]
    fn what_is_drawn_lies_between_the_ends() {
        let (min, max) = (Duration::from_secs(1), Duration::from_secs(2));
        let interval = DevInterval { min, max };
        assert_eq!(drawn(interval, B256::ZERO), min);
        assert_eq!(drawn(interval, B256::repeat_byte(0xff)), max);
        let middle = drawn(interval, B256::repeat_byte(0x80));
        assert!(min < middle && middle < max, "{middle:?}");
        assert_eq!(drawn(DevInterval::exactly(max), B256::repeat_byte(0x80)), max);
    }

    #[test]
    fn after_a_timestamp_that_was_named_the_clock_goes_on_from_there() {
        let mut settings = Settings::new(None);
        (settings.next_timestamp, settings.next_base_fee) = (Some(1_000), Some(7));
        assert_eq!(settings.timestamp(20, 50), 1_000);
        settings.step(1_000, 50);
        assert_eq!(settings, Settings { offset: 950, ..Settings::new(None) });
        assert_eq!(settings.timestamp(1_000, 53), 1_003);
        // Without one, the clock stays as it is.
        settings.step(1_003, 53);
        assert_eq!(settings.offset, 950);
    }

    #[test]
    fn the_clock_goes_forward_from_a_block_that_is_ahead_of_it() {
        let mut settings = Settings::new(None);
        settings.forward(60, 20, 50);
        assert_eq!((settings.offset, settings.timestamp(20, 50)), (60, 110));
        // A hundred blocks within the same second.
        settings.forward(60, 210, 50);
        assert_eq!((settings.offset, settings.timestamp(210, 50)), (220, 270));
        settings.forward(u64::MAX, 270, 50);
        assert_eq!(settings.offset, i64::MAX);
        settings.forward(u64::MAX, u64::MAX, 50);
        assert_eq!(settings.timestamp(u64::MAX, 50), u64::MAX);
    }

    #[test]
    fn a_snapshot_brings_its_time_back_and_leaves_when_blocks_are_made() {
        let mut settings = Settings { offset: 5, ..Settings::new(None) };
        let kept = settings.clone();
        settings.offset = 500;
        settings.is_automine = false;
        settings.restore(kept, 50, 60);
        assert_eq!((settings.offset, settings.is_automine), (-5, false));
        assert_eq!(settings.timestamp(0, 60), 55);
    }
}

//! Many times in a few numbers.

use serde_json::{Value, json};
use std::time::Duration;

/// Percentiles of times, each the smallest time that is not less than so many of them; zero where
/// there are none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Spread {
    pub(super) p50: Duration,
    pub(super) p95: Duration,
    pub(super) p99: Duration,
    pub(super) max: Duration,
}

impl Spread {
    pub(super) fn of(times: &[Duration]) -> Self {
        let mut times = times.to_vec();
        times.sort_unstable();
        let at = |percent: usize| {
            let rank = (times.len() * percent).div_ceil(100);
            times.get(rank.saturating_sub(1)).copied().unwrap_or_default()
        };
        Self { p50: at(50), p95: at(95), p99: at(99), max: at(100) }
    }

    /// In milliseconds.
    pub(super) fn to_json(self) -> Value {
        let Self { p50, p95, p99, max } = self;
        json!({ "p50Ms": ms(p50), "p95Ms": ms(p95), "p99Ms": ms(p99), "maxMs": ms(max) })
    }
}

pub(super) fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(all: impl IntoIterator<Item = u64>) -> [u128; 4] {
        let times: Vec<Duration> = all.into_iter().map(Duration::from_millis).collect();
        let Spread { p50, p95, p99, max } = Spread::of(&times);
        [p50, p95, p99, max].map(|time| time.as_millis())
    }

    #[test]
    fn a_percentile_is_the_smallest_time_that_so_many_do_not_exceed() {
        assert_eq!(of([]), [0; 4]);
        assert_eq!(of([7]), [7; 4]);
        assert_eq!(of([3, 1]), [1, 3, 3, 3]);
        assert_eq!(of((1..=100).rev()), [50, 95, 99, 100]);
        assert_eq!(of(1..=1_000), [500, 950, 990, 1_000]);
        assert_eq!(of([1, 1, 1, 1, 9]), [1, 9, 9, 9]);
    }

    #[test]
    fn the_object_is_in_milliseconds() {
        let spread = Spread::of(&[Duration::from_micros(1_500)]);
        assert_eq!(spread.to_json()["p95Ms"], 1.5);
    }
}

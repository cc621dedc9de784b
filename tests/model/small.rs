//! Small parts under loom, which goes through all orders of their steps, and through what threads
//! may see of each other's writes by the memory model.

use crate::by_loom::original::parts;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Switches to another thread, where the present one could go on, in one order. Faults of this kind
/// need one or two, and the number of orders grows with each. `$LOOM_MAX_PREEMPTIONS` instead.
const PREEMPTIONS_MAX: usize = 2;
/// Steps of one order; what ends takes a fraction of it.
const STEPS_MAX: usize = 10_000;

/// Goes through the orders of a part.
fn check(part: fn()) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(PREEMPTIONS_MAX));
    builder.max_branches = STEPS_MAX;
    builder.check(part);
}

/// Some part fails.
pub(crate) fn must_fail(parts: &[fn()]) {
    let fails = |part: fn()| catch_unwind(AssertUnwindSafe(|| check(part))).is_err();
    assert!(parts.iter().any(|part| fails(*part)), "the planted bug is not caught");
}

#[test]
fn a_clear_bit_proves_that_the_base_value_was_read() {
    check(parts::a_clear_bit_proves_that_the_base_value_was_read);
}

#[test]
fn who_waits_is_woken_or_sees_that_it_need_not_wait() {
    check(parts::who_waits_is_woken_or_sees_that_it_need_not_wait);
}

#[test]
fn who_waits_for_one_without_guesses_is_woken() {
    check(parts::who_waits_for_one_without_guesses_is_woken);
}

#[test]
fn who_is_overtaken_runs_again() {
    check(parts::who_is_overtaken_runs_again);
}

//! The scheduler under model checkers. The build script copies its sources, as they are and with
//! each bug of `bugs.rs` planted, and puts shuttle or loom where `sync.rs` is. The models hold for
//! the scheduler as it is, and fail on each bug.
//!
//! Copies, because features of a crate are those of the whole build: a feature that puts a checker
//! behind the door would put it into the program, too.
//!
//! `crates/scheduler/INVARIANTS.md` says which invariant is held by which model.

mod loom_door;
#[path = "../it/scheduler_program/recipe.rs"]
#[expect(dead_code, reason = "the tests of the real scheduler have other recipes, too")]
mod recipe;
mod shuttle_door;
mod small;
mod whole;

include!(concat!(env!("OUT_DIR"), "/copies.rs"));

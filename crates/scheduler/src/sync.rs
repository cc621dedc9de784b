//! The only door to threads, locks and atomics, so that a model checker can stand behind it.

pub(crate) use parking_lot::Mutex;
pub(crate) use std::{
    hint::spin_loop,
    sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering},
    thread::{sleep, yield_now},
};

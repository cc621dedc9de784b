//! A state that answers with pauses, by a seed: threads come to the same places in another order
//! each time, and nothing in the program has to know of it.

use fugue_state::{Account, SlotSet, StateError, StateView};
use fugue_types::{Address, B256, Bytes, U256};
use fugue_workload::Rng;
use std::sync::atomic::{AtomicU64, Ordering};

/// Pauses that give the core away: so many of 16.
const YIELDS: u64 = 3;
/// The longest pause that keeps the core, in turns of a loop that does nothing.
const SPINS_MAX: u64 = 4_000;

/// A state with pauses before and after each answer.
pub(crate) struct Noisy<'v> {
    view: &'v dyn StateView,
    seed: u64,
    pauses: AtomicU64,
}

impl<'v> Noisy<'v> {
    pub(crate) const fn new(view: &'v dyn StateView, seed: u64) -> Self {
        Self { view, seed, pauses: AtomicU64::new(0) }
    }

    /// What `read` gives, later. A pause after it lets others write what was read.
    fn answer<T>(&self, read: impl FnOnce(&dyn StateView) -> T) -> T {
        self.pause();
        let answer = read(self.view);
        self.pause();
        answer
    }

    fn pause(&self) {
        let number = self.pauses.fetch_add(1, Ordering::Relaxed);
        let mut rng = Rng::new(self.seed).fork(&number.to_string());
        match rng.below(16) {
            0..YIELDS => (0..=rng.below(4)).for_each(|_| std::thread::yield_now()),
            YIELDS => (0..rng.below(SPINS_MAX)).for_each(|_| std::hint::spin_loop()),
            _ => {}
        }
    }
}

impl StateView for Noisy<'_> {
    fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        self.answer(|view| view.account(address))
    }

    fn slot(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        self.answer(|view| view.slot(address, slot))
    }

    fn has_storage_beside(&self, address: Address, emptied: &SlotSet) -> Result<bool, StateError> {
        self.answer(|view| view.has_storage_beside(address, emptied))
    }

    fn code(&self, code_hash: B256) -> Result<Bytes, StateError> {
        self.answer(|view| view.code(code_hash))
    }

    fn block_hash(&self, number: u64) -> Result<B256, StateError> {
        self.answer(|view| view.block_hash(number))
    }
}

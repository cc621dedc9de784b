//! How long a call or a batch of calls may take, and whether anyone still waits for it.
//!
//! Code that is run asks the state all the time, so the view that it reads looks at the clock; what
//! walks over blocks looks between two of them.

use crate::public::error;
use fugue_state::{Guarded, StateError, StateView};
use jsonrpsee::types::ErrorObjectOwned;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// How an error begins that says that a call was given up. Callers find it by this, too.
pub(crate) const GIVEN_UP: &str = "the call was given up: ";

/// When a call is given up.
#[derive(Debug, Clone, Default)]
pub(crate) struct Patience {
    /// When it must have ended, and how long it may take in all; `None` is never.
    end: Option<(Instant, Duration)>,
    /// Nobody waits for it any more.
    is_gone: Arc<AtomicBool>,
}

impl Patience {
    /// For a call that begins at this moment, or a batch.
    pub(crate) fn new(time_max: Duration, is_gone: Arc<AtomicBool>) -> Self {
        let end = Instant::now().checked_add(time_max).map(|end| (end, time_max));
        Self { end, is_gone }
    }

    /// Whether nobody waits for the call any more.
    pub(crate) fn is_gone(&self) -> bool {
        self.is_gone.load(Ordering::Relaxed)
    }

    /// The same for a call that may take no longer than so from here on.
    pub(crate) fn at_most(&self, time_max: Duration) -> Self {
        let shorter = Self::new(time_max, Arc::clone(&self.is_gone));
        let is_shorter = match (shorter.end, self.end) {
            (Some((end, _)), Some((own, _))) => end < own,
            (end, _) => end.is_some(),
        };
        if is_shorter { shorter } else { self.clone() }
    }

    /// The same with all of its time from here on, for a call that goes on with something else.
    pub(crate) fn anew(&self) -> Self {
        match self.end {
            Some((_, time_max)) => Self::new(time_max, Arc::clone(&self.is_gone)),
            None => self.clone(),
        }
    }

    /// Why the call is given up, if it is.
    fn reason(&self) -> Option<String> {
        if self.is_gone() {
            return Some(format!("{GIVEN_UP}the caller has gone"));
        }
        let (_, time_max) = self.end.filter(|(end, _)| *end <= Instant::now())?;
        Some(format!("{GIVEN_UP}it took longer than {} s", time_max.as_secs_f64()))
    }

    /// Whether the call is not to be given up.
    pub(crate) fn goes_on(&self) -> bool {
        self.reason().is_none()
    }

    /// For who knows nothing of JSON-RPC.
    ///
    /// # Errors
    /// The reason why the call is to be given up.
    pub(crate) fn told(&self) -> Result<(), String> {
        self.reason().map_or(Ok(()), Err)
    }

    /// # Errors
    /// If the call is to be given up.
    pub(crate) fn check(&self) -> Result<(), ErrorObjectOwned> {
        self.reason().map_or(Ok(()), |reason| Err(error::refused(reason)))
    }

    /// # Errors
    /// If the call is to be given up.
    pub(crate) fn check_state(&self) -> Result<(), StateError> {
        self.reason().map_or(Ok(()), |reason| Err(StateError::Unavailable(reason)))
    }

    /// The state, which answers while the call is not given up.
    pub(crate) fn guard<'v>(&'v self, state: &'v dyn StateView) -> impl StateView + 'v {
        Guarded::new(state, |_| self.check_state())
    }
}

/// Says that the caller has gone when it is dropped.
pub(crate) struct Waiting(pub(crate) Arc<AtomicBool>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fugue_state::{Account, SlotSet};
    use fugue_types::{Address, B256, Bytes, U256};

    const HOUR: Duration = Duration::from_secs(3600);

    /// A state without anything.
    struct Nothing;

    impl StateView for Nothing {
        fn account(&self, _: Address) -> Result<Option<Account>, StateError> {
            Ok(None)
        }

        fn slot(&self, _: Address, _: U256) -> Result<U256, StateError> {
            Ok(U256::ZERO)
        }

        fn has_storage_beside(&self, _: Address, _: &SlotSet) -> Result<bool, StateError> {
            Ok(false)
        }

        fn code(&self, code_hash: B256) -> Result<Bytes, StateError> {
            Err(StateError::CodeMissing(code_hash))
        }

        fn block_hash(&self, number: u64) -> Result<B256, StateError> {
            Err(StateError::BlockHashMissing(number))
        }
    }

    fn read(patience: &Patience) -> Result<Option<Account>, StateError> {
        patience.guard(&Nothing).account(Address::ZERO)
    }

    #[test]
    fn a_call_that_begins_anew_has_all_of_its_time_and_ends_with_its_caller() {
        let spent = Patience { end: Some((Instant::now(), HOUR)), is_gone: Arc::default() };
        assert!(!spent.goes_on() && spent.anew().goes_on());
        assert!(Patience::default().anew().goes_on());
        let anew = spent.anew();
        drop(Waiting(Arc::clone(&spent.is_gone)));
        assert!(!anew.goes_on());
    }

    #[test]
    fn a_view_answers_until_the_call_has_taken_too_long() {
        assert_eq!(read(&Patience::default()), Ok(None));
        assert_eq!(read(&Patience::new(HOUR, Arc::default())), Ok(None));
        let over = Patience::new(Duration::ZERO, Arc::default());
        let error = read(&over).unwrap_err();
        let told = error::of_state(error);
        assert_eq!(
            (told.code(), told.message()),
            (error::REFUSED, over.reason().unwrap().as_str())
        );
        assert!(told.message().ends_with("longer than 0 s"), "{}", told.message());
        assert!(over.check().is_err() && over.guard(&Nothing).check().is_err());
        assert_eq!(over.told(), Err(told.message().to_owned()));
    }

    #[test]
    fn a_call_may_ask_for_less_time_and_not_for_more() {
        let is_gone = Arc::new(AtomicBool::new(false));
        let patience = Patience::new(HOUR, Arc::clone(&is_gone));
        assert!(patience.at_most(Duration::ZERO).check().is_err());
        assert!(Patience::default().at_most(Duration::ZERO).check().is_err());
        for time_max in [2 * HOUR, Duration::MAX] {
            assert_eq!(patience.at_most(time_max).end, patience.end);
        }
        let shorter = patience.at_most(HOUR / 2);
        assert!(shorter.check().is_ok());
        is_gone.store(true, Ordering::Relaxed);
        assert!(shorter.check().is_err());
    }

    #[test]
    fn a_view_answers_until_the_caller_has_gone() {
        let is_gone = Arc::new(AtomicBool::new(false));
        let waiting = Waiting(Arc::clone(&is_gone));
        let patience = Patience::new(HOUR, is_gone);
        assert_eq!(read(&patience), Ok(None));
        drop(waiting);
        assert!(read(&patience).is_err());
        assert!(patience.check().unwrap_err().message().ends_with("the caller has gone"));
    }
}

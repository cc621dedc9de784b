//! How many methods of each class run at a time, and how many more wait for that.

use crate::public::{Class, Limits, error};
use jsonrpsee::types::ErrorObjectOwned;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{AcquireError, OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

/// The permits that there are. Copies share them.
#[derive(Clone)]
pub(super) struct Permits {
    reading: Pool,
    searching: Pool,
    executing: Pool,
    tracing: Pool,
    changing: Pool,
    /// Calls of one class that wait or run: those of one do not keep out those of another.
    calls_max: usize,
    wait_max: Duration,
}

/// The permits of a class.
#[derive(Clone)]
struct Pool {
    free: Arc<Semaphore>,
    /// Calls that wait for one, or have one.
    calls: Arc<AtomicUsize>,
    /// How many there are, what their calls do, and the option that says so, if there is one.
    told: (usize, &'static str, &'static str),
}

/// What a method holds while it runs: its place among those that wait or run, and one permit or
/// two.
pub(super) struct Held {
    _counted: Counted,
    _own: OwnedSemaphorePermit,
    _reading: Option<OwnedSemaphorePermit>,
}

impl Permits {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            reading: Pool::new(limits.reading_calls_max, "read", "--rpc.max-reading-calls"),
            searching: Pool::new(limits.searching_calls_max, "search", "--rpc.max-searching-calls"),
            executing: Pool::new(
                limits.executing_calls_max,
                "run code",
                "--rpc.max-executing-calls",
            ),
            tracing: Pool::new(limits.tracing_calls_max, "trace", "--rpc.max-tracing-calls"),
            // The maker of blocks does one thing after the other: others would only hold threads.
            changing: Pool::new(1, "change the chain", ""),
            calls_max: limits.waiting_calls_max,
            wait_max: limits.call_time_max,
        }
    }

    /// Waits for what a method of this class holds: a permit of its class, and one of all that
    /// read, if it is among them. Whoever waits for the smaller class does not hold what others
    /// could use.
    ///
    /// What changes the chain waits for as long as it takes what came before it: its caller wants
    /// it done, and not to ask again.
    ///
    /// # Errors
    /// If as many wait as may, or if it has waited too long.
    pub(super) async fn take(&self, class: Class) -> Result<Held, ErrorObjectOwned> {
        let (own, reading) = match class {
            Class::Reading | Class::Immediate => (&self.reading, None),
            Class::Searching => (&self.searching, Some(&self.reading)),
            Class::Executing => (&self.executing, Some(&self.reading)),
            Class::Tracing => (&self.tracing, Some(&self.reading)),
            Class::Changing => (&self.changing, None),
        };
        let counted = Counted::new(&own.calls, self.calls_max).ok_or_else(|| {
            let (max, what) = (self.calls_max, own.told.1);
            error::refused(format!(
                "{max} calls that {what} wait or run already, the most \
                 (--rpc.max-waiting-calls): ask later"
            ))
        })?;
        let wait = (class != Class::Changing).then_some(self.wait_max);
        let end = wait.and_then(|wait| Instant::now().checked_add(wait));
        let own = self.taken(own, end).await?;
        let reading = match reading {
            Some(reading) => Some(self.taken(reading, end).await?),
            None => None,
        };
        Ok(Held { _counted: counted, _own: own, _reading: reading })
    }

    /// Waits for a permit to read, for whoever is bounded elsewhere.
    ///
    /// # Errors
    /// Only if the server has stopped.
    pub(super) async fn read(&self) -> Result<OwnedSemaphorePermit, AcquireError> {
        Arc::clone(&self.reading.free).acquire_owned().await
    }

    /// Waits for a permit until then, or without an end.
    async fn taken(
        &self,
        pool: &Pool,
        end: Option<Instant>,
    ) -> Result<OwnedSemaphorePermit, ErrorObjectOwned> {
        let permit = Arc::clone(&pool.free).acquire_owned();
        let permit = match end {
            Some(end) => timeout_at(end, permit).await.map_err(|_| {
                let (seconds, (max, what, flag)) = (self.wait_max.as_secs_f64(), pool.told);
                error::refused(format!(
                    "the node is busy: the call had no turn within {seconds} s: of those that \
                     {what}, at most {max} at a time ({flag})"
                ))
            })?,
            None => permit.await,
        };
        permit.map_err(|_| error::internal("the server has stopped"))
    }
}

impl Pool {
    /// At least one permit.
    fn new(permits: usize, what: &'static str, flag: &'static str) -> Self {
        let permits = permits.max(1);
        let free = Arc::new(Semaphore::new(permits));
        Self { free, calls: Arc::default(), told: (permits, what, flag) }
    }
}

/// One of the calls that wait or run.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    /// `None` if there are `max` already.
    fn new(count: &Arc<AtomicUsize>, max: usize) -> Option<Self> {
        let counted = Self(Arc::clone(count));
        (counted.0.fetch_add(1, Ordering::Relaxed) < max).then_some(counted)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::public::{METHODS, dev};
    use std::pin::pin;
    use tokio::time::timeout;

    /// Waits long enough for any test.
    const USUAL: Duration = Duration::from_secs(3_600);

    fn of(searching_calls_max: usize) -> Limits {
        Limits {
            reading_calls_max: 4,
            searching_calls_max,
            call_time_max: USUAL,
            ..Limits::default()
        }
    }

    /// `None` if one would have to wait.
    async fn at_once(permits: &Permits, class: Class) -> Option<Held> {
        timeout(Duration::ZERO, permits.take(class)).await.ok().and_then(Result::ok)
    }

    /// Why there is none.
    async fn refused(permits: &Permits, class: Class) -> String {
        permits.take(class).await.err().expect("it is refused").message().to_owned()
    }

    #[tokio::test]
    async fn a_balance_is_read_while_as_many_search_as_may_and_more_wait() {
        let permits = Permits::new(&of(2));
        let first = at_once(&permits, Class::Searching).await;
        let second = at_once(&permits, Class::Searching).await;
        assert!(first.is_some() && second.is_some());
        assert!(at_once(&permits, Class::Searching).await.is_none());
        let mut reads = Vec::new();
        for _ in 0..2 {
            reads.push(at_once(&permits, Class::Reading).await.unwrap());
        }
        // Searches are among all that read.
        assert!(at_once(&permits, Class::Reading).await.is_none());
        drop(first);
        assert!(at_once(&permits, Class::Searching).await.is_some());
        drop((second, reads));
    }

    #[tokio::test]
    async fn where_none_may_search_one_may() {
        assert!(at_once(&Permits::new(&of(0)), Class::Searching).await.is_some());
    }

    #[tokio::test]
    async fn what_changes_the_chain_is_done_one_by_one_and_keeps_nobody_from_reading() {
        let permits = Permits::new(&Limits {
            reading_calls_max: 1,
            call_time_max: Duration::ZERO,
            ..Limits::default()
        });
        let first = at_once(&permits, Class::Changing).await;
        assert!(first.is_some());
        assert!(at_once(&permits, Class::Reading).await.is_some());
        // It waits for longer than others may.
        let mut second = pin!(permits.take(Class::Changing));
        assert!(timeout(Duration::ZERO, second.as_mut()).await.is_err());
        drop(first);
        assert!(second.await.is_ok());
    }

    #[tokio::test]
    async fn no_more_calls_of_a_class_wait_than_may_and_others_come() {
        let permits = Permits::new(&Limits { waiting_calls_max: 2, ..of(1) });
        let first = at_once(&permits, Class::Searching).await;
        assert!(first.is_some());
        let second = waits(&permits, Class::Searching).await;
        let told = refused(&permits, Class::Searching).await;
        assert!(told.starts_with("2 calls that search wait or run already"), "{told}");
        assert!(told.contains("(--rpc.max-waiting-calls)"), "{told}");
        assert!(at_once(&permits, Class::Reading).await.is_some());
        // Who no longer waits makes room.
        drop(second);
        drop(waits(&permits, Class::Searching).await);
    }

    /// What waits for a permit.
    async fn waits(
        permits: &Permits,
        class: Class,
    ) -> impl Future<Output = Result<Held, ErrorObjectOwned>> {
        let mut taking = Box::pin(permits.take(class));
        assert!(timeout(Duration::ZERO, taking.as_mut()).await.is_err(), "it waits");
        taking
    }

    #[tokio::test]
    async fn a_call_that_has_no_turn_is_told_which_bound_that_is() {
        let permits = Permits::new(&Limits { call_time_max: Duration::ZERO, ..of(1) });
        let search = at_once(&permits, Class::Searching).await;
        assert!(search.is_some());
        let told = refused(&permits, Class::Searching).await;
        let bound = "of those that search, at most 1 at a time (--rpc.max-searching-calls)";
        assert!(told.ends_with(bound), "{told}");
        let mut reads = Vec::new();
        for _ in 0..3 {
            reads.push(at_once(&permits, Class::Reading).await.unwrap());
        }
        drop(search);
        // One may search, but none may read.
        reads.push(at_once(&permits, Class::Reading).await.unwrap());
        let told = refused(&permits, Class::Searching).await;
        assert!(
            told.ends_with("that read, at most 4 at a time (--rpc.max-reading-calls)"),
            "{told}"
        );
    }

    #[test]
    fn what_looks_through_many_blocks_or_accounts_searches() {
        let rows = METHODS.iter().copied().flatten();
        let searching = rows.filter(|(_, class, _)| *class == Class::Searching);
        let names: Vec<&str> = searching.map(|(name, ..)| *name).collect();
        let wanted = [
            "debug_accountRange",
            "debug_getModifiedAccountsByHash",
            "debug_getModifiedAccountsByNumber",
            "eth_feeHistory",
            "eth_getFilterChanges",
            "eth_getFilterLogs",
            "eth_getLogs",
        ];
        assert_eq!(names, wanted);
    }

    #[test]
    fn on_a_chain_for_development_only_what_does_not_wait_for_blocks_reads() {
        let others = dev::METHODS.iter().filter(|(_, class, _)| *class != Class::Changing);
        let names: Vec<&str> = others.map(|(name, ..)| *name).collect();
        let wanted = [
            "anvil_autoImpersonateAccount",
            "anvil_dropAllTransactions",
            "anvil_dropTransaction",
            "anvil_getAutomine",
            "anvil_getIntervalMining",
            "anvil_impersonateAccount",
            "anvil_nodeInfo",
            "anvil_removePoolTransactions",
            "anvil_stopImpersonatingAccount",
            "eth_coinbase",
            "eth_requestAccounts",
            "eth_sign",
            "eth_signTransaction",
            "eth_signTypedData",
            "eth_signTypedData_v3",
            "eth_signTypedData_v4",
            "hardhat_dropTransaction",
            "hardhat_getAutomine",
            "hardhat_impersonateAccount",
            "hardhat_metadata",
            "hardhat_stopImpersonatingAccount",
            "personal_sign",
        ];
        assert_eq!(names, wanted);
    }
}

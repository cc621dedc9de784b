//! How many methods of each class run at a time.

use crate::public::{Class, Limits};
use std::sync::Arc;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

/// The permits that there are. Copies share them.
#[derive(Clone)]
pub(super) struct Permits {
    reading: Arc<Semaphore>,
    searching: Arc<Semaphore>,
    executing: Arc<Semaphore>,
    tracing: Arc<Semaphore>,
}

/// What a method holds while it runs: a permit of its class, if that has some of its own, and one
/// of all that read.
pub(super) type Held = (Option<OwnedSemaphorePermit>, OwnedSemaphorePermit);

impl Permits {
    pub(super) fn new(limits: &Limits) -> Self {
        let pool = |permits: usize| Arc::new(Semaphore::new(permits.max(1)));
        Self {
            reading: pool(limits.reading_calls_max),
            searching: pool(limits.reading_calls_max / 2),
            executing: pool(limits.executing_calls_max),
            tracing: pool(limits.tracing_calls_max),
        }
    }

    /// Waits for what a method of this class holds. Whoever waits for the smaller class does not
    /// hold what others could use.
    ///
    /// # Errors
    /// Only if the server has stopped.
    pub(super) async fn take(&self, class: Class) -> Result<Held, AcquireError> {
        let smaller = match class {
            Class::Searching => Some(taken(&self.searching).await?),
            Class::Executing => Some(taken(&self.executing).await?),
            Class::Tracing => Some(taken(&self.tracing).await?),
            Class::Reading | Class::Immediate => None,
        };
        Ok((smaller, taken(&self.reading).await?))
    }
}

async fn taken(pool: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, AcquireError> {
    Arc::clone(pool).acquire_owned().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::public::METHODS;
    use std::time::Duration;
    use tokio::time::timeout;

    fn of_readers(reading_calls_max: usize) -> Permits {
        Permits::new(&Limits { reading_calls_max, ..Limits::default() })
    }

    /// `None` if one would have to wait.
    async fn at_once(permits: &Permits, class: Class) -> Option<Held> {
        timeout(Duration::ZERO, permits.take(class)).await.ok().and_then(Result::ok)
    }

    #[tokio::test]
    async fn a_balance_is_read_while_as_many_search_as_may_and_more_wait() {
        let permits = of_readers(4);
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
    async fn where_one_may_read_one_may_search() {
        assert!(at_once(&of_readers(1), Class::Searching).await.is_some());
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
}

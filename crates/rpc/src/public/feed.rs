//! What happened lately, for those who follow it: a ring of bounded size, of which each listener
//! knows how far it has come.
//!
//! Whoever tells never waits for a listener: it puts an item in, and what is too much falls out at
//! the other end. A listener that is too slow finds that it has missed something, and is told how
//! much. So what listeners cost is the ring, however many they are; without any it is empty.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::watch;

/// What a feed keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FeedBounds {
    /// Items.
    pub(crate) items_max: usize,
    /// Bytes of them, about; the newest item is kept whatever it takes.
    pub(crate) bytes_max: usize,
}

/// A feed of items.
#[derive(Debug)]
pub(crate) struct Feed<T> {
    bounds: FeedBounds,
    ring: Mutex<Ring<T>>,
    /// Changes with every item.
    told: watch::Sender<()>,
}

#[derive(Debug)]
struct Ring<T> {
    /// Number of the oldest item that is kept; they count up from 0.
    first: u64,
    /// Each with the bytes that it takes, about.
    items: VecDeque<(T, usize)>,
    bytes: usize,
    listeners: usize,
}

/// The listener was too slow: items are gone that it has not seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lagged {
    /// How many.
    pub(crate) missed: u64,
}

/// Follows a feed, from the item on that is told next when it begins to listen.
#[derive(Debug)]
pub(crate) struct Listener<T> {
    feed: Arc<Feed<T>>,
    /// Number of the item that it is to see next.
    next: u64,
    told: watch::Receiver<()>,
}

impl<T> Feed<T> {
    pub(crate) fn new(bounds: FeedBounds) -> Arc<Self> {
        let items = VecDeque::new();
        let ring = Mutex::new(Ring { first: 0, items, bytes: 0, listeners: 0 });
        Arc::new(Self { bounds, ring, told: watch::Sender::new(()) })
    }

    /// Held for moments: by whoever tells, too.
    fn ring(&self) -> MutexGuard<'_, Ring<T>> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts an item in, if anybody listens. `make` gives it with the bytes that it takes, about.
    pub(crate) fn tell(&self, make: impl FnOnce() -> (T, usize)) {
        if self.ring().listeners == 0 {
            return;
        }
        let (item, bytes) = make();
        let gone = {
            let mut ring = self.ring();
            if ring.listeners == 0 {
                return;
            }
            ring.bytes = ring.bytes.saturating_add(bytes);
            ring.items.push_back((item, bytes));
            ring.trim(self.bounds)
        };
        // Freed outside of the lock.
        drop(gone);
        self.told.send_replace(());
    }

    /// Begins to listen.
    pub(crate) fn listen(self: &Arc<Self>) -> Listener<T> {
        let told = self.told.subscribe();
        let mut ring = self.ring();
        ring.listeners = ring.listeners.saturating_add(1);
        let next = ring.end();
        drop(ring);
        Listener { feed: Arc::clone(self), next, told }
    }
}

impl<T> Ring<T> {
    /// Number of the item that comes next.
    fn end(&self) -> u64 {
        self.first.saturating_add(self.items.len() as u64)
    }

    /// Takes out what is too much.
    fn trim(&mut self, bounds: FeedBounds) -> Vec<T> {
        let mut gone = Vec::new();
        while self.items.len() > 1
            && (self.items.len() > bounds.items_max || self.bytes > bounds.bytes_max)
        {
            let Some((item, bytes)) = self.items.pop_front() else { break };
            self.first = self.first.saturating_add(1);
            self.bytes = self.bytes.saturating_sub(bytes);
            gone.push(item);
        }
        gone
    }
}

impl<T: Clone> Listener<T> {
    /// The next item, if there is one already.
    ///
    /// # Errors
    /// [`Lagged`], until it catches up.
    pub(crate) fn try_next(&mut self) -> Result<Option<T>, Lagged> {
        let ring = self.feed.ring();
        let Some(index) = self.next.checked_sub(ring.first) else {
            return Err(Lagged { missed: ring.first.saturating_sub(self.next) });
        };
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        let item = ring.items.get(index).map(|(item, _)| item.clone());
        drop(ring);
        self.next = self.next.saturating_add(u64::from(item.is_some()));
        Ok(item)
    }

    /// The next item; waits for it. Nothing is lost if this is dropped before it is done.
    ///
    /// # Errors
    /// As [`Listener::try_next`].
    pub(crate) async fn next(&mut self) -> Result<T, Lagged> {
        loop {
            self.ready().await;
            if let Some(item) = self.try_next()? {
                return Ok(item);
            }
        }
    }
}

impl<T> Listener<T> {
    /// Waits until there is an item, or one was missed. Nothing is lost if this is dropped before
    /// it is done.
    pub(crate) async fn ready(&mut self) {
        while self.has_seen_all() {
            // What is told between the look and this has changed it already. The sender lives as
            // long as the feed.
            let _ = self.told.changed().await;
        }
    }

    fn has_seen_all(&self) -> bool {
        let end = self.feed.ring().end();
        self.next >= end
    }

    /// What the feed keeps.
    pub(crate) fn bounds(&self) -> FeedBounds {
        self.feed.bounds
    }

    /// Goes on from the oldest item that is still there.
    pub(crate) fn catch_up(&mut self) {
        self.next = self.next.max(self.feed.ring().first);
    }
}

impl<T> Drop for Listener<T> {
    fn drop(&mut self) {
        let mut ring = self.feed.ring();
        ring.listeners = ring.listeners.saturating_sub(1);
        if ring.listeners == 0 {
            ring.first = ring.end();
            ring.bytes = 0;
            let gone = std::mem::take(&mut ring.items);
            drop(ring);
            drop(gone);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: FeedBounds = FeedBounds { items_max: 3, bytes_max: 100 };

    fn feed() -> Arc<Feed<u32>> {
        Feed::new(BOUNDS)
    }

    fn tell(feed: &Feed<u32>, items: impl IntoIterator<Item = u32>) {
        for item in items {
            feed.tell(|| (item, 1));
        }
    }

    fn kept(feed: &Feed<u32>) -> Vec<u32> {
        feed.ring().items.iter().map(|(item, _)| *item).collect()
    }

    #[test]
    fn each_listener_sees_what_is_told_after_it_began_in_order() {
        let feed = feed();
        let mut first = feed.listen();
        tell(&feed, [1]);
        let mut second = feed.listen();
        tell(&feed, [2]);
        assert_eq!([first.try_next(), first.try_next()], [Ok(Some(1)), Ok(Some(2))]);
        assert_eq!([second.try_next(), second.try_next()], [Ok(Some(2)), Ok(None)]);
        tell(&feed, [3]);
        assert_eq!([first.try_next(), second.try_next()], [Ok(Some(3)); 2]);
    }

    #[test]
    fn a_slow_listener_is_told_how_much_it_has_missed_and_keeps_no_more_than_the_bounds() {
        let feed = feed();
        let mut slow = feed.listen();
        let mut quick = feed.listen();
        for item in 0..10 {
            tell(&feed, [item]);
            assert_eq!(quick.try_next(), Ok(Some(item)));
        }
        assert_eq!(kept(&feed), [7, 8, 9]);
        assert_eq!([slow.try_next(), slow.try_next()], [Err(Lagged { missed: 7 }); 2]);
        slow.catch_up();
        assert_eq!(slow.try_next(), Ok(Some(7)));
        // Once nothing is missed, there is nothing to catch up with.
        slow.catch_up();
        assert_eq!([slow.try_next(), slow.try_next()], [Ok(Some(8)), Ok(Some(9))]);
    }

    #[test]
    fn bytes_are_bounded_but_the_newest_item_is_kept() {
        let feed = feed();
        let mut listener = feed.listen();
        for (item, bytes) in [(1, 60), (2, 40), (3, 1)] {
            feed.tell(|| (item, bytes));
        }
        assert_eq!(kept(&feed), [2, 3]);
        feed.tell(|| (4, 1_000));
        assert_eq!((kept(&feed), feed.ring().bytes), (vec![4], 1_000));
        listener.catch_up();
        assert_eq!([listener.try_next(), listener.try_next()], [Ok(Some(4)), Ok(None)]);
    }

    #[test]
    fn without_listeners_nothing_is_made_or_kept() {
        let feed = feed();
        feed.tell(|| unreachable!("nobody listens"));
        let listener = feed.listen();
        tell(&feed, [1, 2]);
        drop(listener);
        assert_eq!((kept(&feed), feed.ring().bytes), (vec![], 0));
        let mut later = feed.listen();
        assert_eq!(later.try_next(), Ok(None));
        tell(&feed, [3]);
        assert_eq!(later.try_next(), Ok(Some(3)));
    }

    #[tokio::test]
    async fn a_listener_that_has_missed_something_does_not_wait() {
        let feed = feed();
        let mut listener = feed.listen();
        tell(&feed, 0..10);
        listener.ready().await;
        assert_eq!(listener.next().await, Err(Lagged { missed: 7 }));
        listener.catch_up();
        listener.ready().await;
        // It is still in the feed.
        assert_eq!(listener.next().await, Ok(7));
    }

    #[tokio::test]
    async fn a_listener_that_waits_is_woken() {
        let feed = feed();
        let mut listener = feed.listen();
        let told = Arc::clone(&feed);
        let waiting = tokio::spawn(async move {
            let items = [listener.next().await, listener.next().await];
            // The feed lives as long as this.
            drop(listener);
            items
        });
        tokio::task::yield_now().await;
        tell(&told, [1]);
        tokio::task::yield_now().await;
        tell(&told, [2]);
        assert_eq!(waiting.await.unwrap(), [Ok(1), Ok(2)]);
    }
}

//! Telling of moves of the head to whoever wants to know.
//!
//! Listeners are called on the thread of the chain, so they only put aside what they are told:
//! whoever is slow to take it from there keeps nobody waiting.

use crate::moved::HeadMove;
use parking_lot::Mutex;
use std::{
    fmt,
    sync::{Arc, Weak},
};

/// What happened.
#[derive(Debug, Clone)]
pub enum ChainEvent {
    /// The head moved. Views are those of the head that it moved to, or a later one, and the pool
    /// follows it.
    HeadMoved(Arc<HeadMove>),
    /// Whether a head is missing has changed: see [`crate::Engine::is_syncing`].
    Syncing(bool),
}

/// Is told what happened, in the order in which it did, on the thread of the chain: it must return
/// at once.
pub type ChainListener = dyn Fn(&ChainEvent) + Send + Sync;

/// Those who listen.
#[derive(Default)]
pub(crate) struct Feed(Mutex<Vec<Weak<ChainListener>>>);

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Feed").field(&self.0.lock().len()).finish()
    }
}

impl Feed {
    pub(crate) fn add(&self, listener: &Arc<ChainListener>) {
        self.0.lock().push(Arc::downgrade(listener));
    }

    /// Whoever listens still.
    fn listeners(&self) -> Vec<Arc<ChainListener>> {
        let mut listeners = self.0.lock();
        listeners.retain(|known| known.strong_count() > 0);
        listeners.iter().filter_map(Weak::upgrade).collect()
    }

    /// Tells what happened; it is made only if somebody listens.
    pub(crate) fn tell(&self, event: impl FnOnce() -> ChainEvent) {
        let listeners = self.listeners();
        if listeners.is_empty() {
            return;
        }
        let event = event();
        for listener in listeners {
            listener(&event);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_are_told_in_order_for_as_long_as_they_are_kept() {
        let (feed, told) = (Feed::default(), Arc::new(Mutex::new(Vec::new())));
        let listener = |name: u8| -> Arc<ChainListener> {
            let told = Arc::clone(&told);
            Arc::new(move |event: &ChainEvent| {
                if let ChainEvent::Syncing(is_syncing) = event {
                    told.lock().push((name, *is_syncing));
                }
            })
        };
        let (one, two) = (listener(1), listener(2));
        feed.add(&one);
        feed.add(&two);
        feed.tell(|| ChainEvent::Syncing(true));
        drop(one);
        feed.tell(|| ChainEvent::Syncing(false));
        assert_eq!(*told.lock(), [(1, true), (2, true), (2, false)]);
        drop(two);
        feed.tell(|| unreachable!("nobody listens"));
        assert!(feed.0.lock().is_empty());
    }
}

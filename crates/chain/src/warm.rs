//! Reading trie nodes ahead: while a block is executed, what it reads of the durable state tells
//! which parts of the tries its changes may come by.
//!
//! | job | started when | gives | awaited where |
//! | --- | --- | --- | --- |
//! | [`warm`] | a block is executed, on the pool | branches in memory | when it is executed |
//!
//! Nothing depends on it: a key that is passed over, or that cannot be read, is read when the root
//! is computed.

use fugue_executor::Location;
use fugue_state::{Guarded, Question, StateView};
use fugue_trie::{Batch, StateTrie, TrieSource};
use fugue_types::B256;
use std::sync::{
    atomic::{AtomicBool, Ordering},
    mpsc::{Receiver, sync_channel},
};

/// Keys that wait to be warmed; more are passed over.
const KEYS_MAX: usize = 4_096;
/// Keys that are hashed together.
const TOGETHER_MAX: usize = 64;

/// The view, and where the accounts and slots come out that are read of it, until it is dropped.
pub(crate) fn watched(view: &dyn StateView) -> (impl StateView + '_, Receiver<Location>) {
    let (keys, told) = sync_channel(KEYS_MAX);
    let watched = Guarded::new(view, move |question| {
        // Nobody waits for room: what finds none is passed over.
        let _ = match question {
            Question::Account(address) => keys.try_send((address, None)),
            Question::Slot(address, slot) => keys.try_send((address, Some(slot))),
            _ => Ok(()),
        };
        Ok(())
    });
    (watched, told)
}

/// Warms the tries until no more keys come, they have more branches than so many in memory, or it
/// is over. What is read and not changed stays there until the next batch is durable.
pub(crate) fn warm(
    tries: &mut StateTrie,
    source: &dyn TrieSource,
    keys: Receiver<Location>,
    branches_max: usize,
    is_over: &AtomicBool,
) {
    while let Ok(first) = keys.recv() {
        let together: Vec<Location> =
            std::iter::once(first).chain(keys.try_iter().take(TOGETHER_MAX - 1)).collect();
        for (owner, slot) in hashed(&together) {
            let goes_on = !is_over.load(Ordering::Relaxed) && tries.branches() <= branches_max;
            // After an error too: computing the root will come upon it again, and say it.
            if !goes_on || tries.warm(source, owner, slot).is_err() {
                return;
            }
        }
    }
}

/// Keys as the tries know them.
pub(crate) fn hashed(keys: &[Location]) -> Vec<(B256, Option<B256>)> {
    let mut batch = Batch::default();
    let mut hashed: Vec<(B256, Option<B256>)> = Vec::with_capacity(keys.len());
    for (index, (address, slot)) in keys.iter().enumerate() {
        batch.push(address.as_slice(), (index, false));
        if let Some(slot) = slot {
            batch.push(&slot.to_be_bytes::<32>(), (index, true));
        }
        hashed.push((B256::ZERO, slot.map(|_| B256::ZERO)));
    }
    batch.hash(|(index, is_slot), hash| {
        let (owner, slot) = &mut hashed[*index];
        if *is_slot {
            *slot = Some(hash);
        } else {
            *owner = hash;
        }
    });
    hashed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::samples::{World, keys};

    #[test]
    fn no_more_branches_come_into_memory_than_there_may_be() {
        let world = World::new();
        let (snapshot, genesis) = (world.snapshot(), &world.genesis);
        let branches = |branches_max| {
            let (watched, told) = watched(&genesis.state);
            for (address, slot) in keys() {
                match slot {
                    Some(slot) => drop(watched.slot(address, slot)),
                    None => drop(watched.account(address)),
                }
            }
            drop(watched);
            let mut tries = StateTrie::new(genesis.header.state_root);
            warm(&mut tries, &*snapshot, told, branches_max, &AtomicBool::new(false));
            tries.branches()
        };
        assert!(branches(usize::MAX) > 16, "below the root of the accounts");
        // The way to one key goes by a few.
        assert!((5..9).contains(&branches(4)));
    }
}

//! The state after the head, for the builder: kept from one build to the next, and from one head to
//! its child, so that what was read of it stays in memory.

use crate::{ChainView, Head, ImportError, cache::StateCache, work::Work};
use fugue_executor::Location;
use fugue_state::{StateDiff, StateView};
use fugue_trie::HashedDiff;
use fugue_types::B256;
use rayon::ThreadPool;
use std::sync::Arc;

/// Branches of the tries that stay in memory from one head to the next, about; 900 bytes each.
const BRANCHES_MAX: usize = 100_000;

/// The state after a block, where others can be built.
#[derive(Debug)]
pub(crate) struct Ground {
    work: Work,
    cache: StateCache,
    /// The way back from what a root was computed of last, and the root of the state: the tries are
    /// taken back before they are used again.
    tried: Option<(StateDiff, B256)>,
}

impl Ground {
    /// The state after the head of a view; of what is known of an `earlier` one if it is that of an
    /// ancestor.
    pub(crate) fn at(
        head: Head,
        view: &ChainView,
        earlier: Option<Self>,
        pool: Option<&ThreadPool>,
    ) -> Result<Self, ImportError> {
        // If it does not come out, the earlier one is of no use, and that is all.
        let extended = earlier.map(|ground| ground.extend(head, view, pool));
        if let Some(Ok(Some(ground))) = extended {
            return Ok(ground);
        }
        let (snapshot, below, path) = view.path_to(head.hash);
        let work = Work::above(below, &path, snapshot.clone(), pool)?;
        Ok(Self { work, cache: StateCache::new(), tried: None })
    }

    /// The ground of a block, of that of an ancestor; `None` if it is that of no ancestor.
    fn extend(
        mut self,
        head: Head,
        view: &ChainView,
        pool: Option<&ThreadPool>,
    ) -> Result<Option<Self>, ImportError> {
        let Work { at, base, snapshot, .. } = &self.work;
        // Above a block that is not the durable head, the store may no longer have what it had.
        if self.is_left_by(view) || *base != snapshot.meta().head.number {
            return Ok(None);
        }
        let (_, below, path) = view.path_to(head.hash);
        let known = path.iter().position(|record| record.block.hash() == *at);
        let first = known.map_or_else(|| (*at == below).then_some(0), |index| Some(index + 1));
        let Some(first) = first else { return Ok(None) };
        self.take_back(pool)?;
        if self.work.tries.branches() > BRANCHES_MAX {
            self.work.tries.prune(BRANCHES_MAX);
        }
        for record in &path[first..] {
            let header = &record.block.block().header;
            self.apply(&record.diff, header.state_root, pool)?;
            self.work.advance(header.number, record.block.hash(), &record.diff)?;
        }
        Ok(Some(self))
    }

    /// Whether the view is over a newer state of the store.
    pub(crate) fn is_left_by(&self, view: &ChainView) -> bool {
        !Arc::ptr_eq(&self.work.snapshot, view.snapshot())
    }

    /// The block whose state it is.
    pub(crate) const fn hash(&self) -> B256 {
        self.work.at
    }

    /// Calls with the state as a view.
    pub(crate) fn with_view<T>(
        &mut self,
        call: impl FnOnce(&dyn StateView) -> T,
    ) -> Result<T, ImportError> {
        self.work.with_view(&self.cache, None, call)
    }

    /// The state root after a change of this state, which stays what it is. The tries must have
    /// been taken back.
    pub(crate) fn root_after(
        &mut self,
        diff: &StateDiff,
        pool: Option<&ThreadPool>,
    ) -> Result<B256, ImportError> {
        self.roots_after(diff, pool).map(|(root, _)| root)
    }

    /// The same, and the storage roots that change, as a record of a block has them.
    pub(crate) fn roots_after(
        &mut self,
        diff: &StateDiff,
        pool: Option<&ThreadPool>,
    ) -> Result<(B256, Vec<(B256, B256)>), ImportError> {
        let Work { tries, snapshot, .. } = &mut self.work;
        let hashed = HashedDiff::from(diff);
        let Some(back) = diff.reversed() else {
            let mut tries = tries.clone();
            let storage_roots = tries.apply(&**snapshot, &hashed, pool)?;
            return Ok((tries.root(), storage_roots));
        };
        self.tried = Some((back, tries.root()));
        let storage_roots = tries.apply(&**snapshot, &hashed, pool)?;
        Ok((tries.root(), storage_roots))
    }

    /// Takes the tries back to the state.
    pub(crate) fn take_back(&mut self, pool: Option<&ThreadPool>) -> Result<(), ImportError> {
        match self.tried.take() {
            Some((back, root)) => self.apply(&back, root, pool),
            None => Ok(()),
        }
    }

    fn apply(
        &mut self,
        diff: &StateDiff,
        root: B256,
        pool: Option<&ThreadPool>,
    ) -> Result<(), ImportError> {
        self.work.tries.apply(&*self.work.snapshot, &HashedDiff::from(diff), pool)?;
        if self.work.tries.root() != root {
            let message = "the tries of the builder do not come out".to_owned();
            return Err(ImportError::Internal(message));
        }
        Ok(())
    }

    /// Brings into memory what a block will need that reads these. Ends early if `goes_on` says no.
    pub(crate) fn warm(&mut self, keys: &[Location], goes_on: impl Fn() -> bool) {
        self.work.warm(&self.cache, keys, 2 * BRANCHES_MAX, goes_on);
    }
}

#[cfg(test)]
mod tests;

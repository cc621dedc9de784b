//! The state after the head, for the builder: kept from one build to the next, and from one head to
//! its child, so that what was read of it stays in memory.

use crate::{ChainView, Head, ImportError, cache::StateCache, work::Work};
use fugue_executor::Location;
use fugue_state::{StateDiff, StateView};
use fugue_trie::HashedDiff;
use fugue_types::B256;
use rayon::ThreadPool;
use std::sync::Arc;

/// Branches of the tries above which the ground is left and made anew; 900 bytes each.
const BRANCHES_MAX: usize = 100_000;

/// The state after a block, where others can be built.
#[derive(Debug)]
pub(crate) struct Ground {
    work: Work,
    cache: StateCache,
    /// What a root was computed of last, and the root of the state: the tries are taken back before
    /// they are used again.
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
        let (snapshot, below, path) = view.path_to(head.hash);
        if let Some(mut ground) = earlier
            && Arc::ptr_eq(&ground.work.snapshot, snapshot)
            && ground.is_worth_keeping()
        {
            let at = ground.work.at;
            let known = path.iter().position(|record| record.block.hash() == at);
            let first = known.map_or_else(|| (at == below).then_some(0), |index| Some(index + 1));
            if let Some(first) = first
                && ground.take_back(pool)?
            {
                for record in &path[first..] {
                    let header = &record.block.block().header;
                    ground.apply(&record.diff, header.state_root, pool)?;
                    ground.work.advance(header.number, record.block.hash(), &record.diff)?;
                }
                return Ok(ground);
            }
        }
        let work = Work::above(below, &path, snapshot.clone(), pool)?;
        Ok(Self { work, cache: StateCache::new(), tried: None })
    }

    /// The block whose state it is.
    pub(crate) const fn hash(&self) -> B256 {
        self.work.at
    }

    /// Above a block that is not the durable head, the store may no longer have what it had.
    fn is_worth_keeping(&self) -> bool {
        let Work { base, snapshot, tries, .. } = &self.work;
        *base == snapshot.meta().head.number && tries.branches() <= BRANCHES_MAX
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
        self.tried = Some((diff.clone(), self.work.tries.root()));
        self.work.tries.apply(&*self.work.snapshot, &HashedDiff::from(diff), pool)?;
        Ok(self.work.tries.root())
    }

    /// Takes the tries back to the state; `false` if there is no way back.
    pub(crate) fn take_back(&mut self, pool: Option<&ThreadPool>) -> Result<bool, ImportError> {
        let Some((tried, root)) = self.tried.take() else { return Ok(true) };
        let Some(back) = tried.reversed() else { return Ok(false) };
        self.apply(&back, root, pool)?;
        Ok(true)
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

    /// Brings into memory what a block will need that reads these.
    pub(crate) fn warm(&mut self, keys: &[Location]) {
        self.work.warm(&self.cache, keys, BRANCHES_MAX);
    }
}

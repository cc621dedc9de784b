//! Back to a block of the chain, as if nothing had come after it.

use crate::{Chain, Head, ImportError};

impl Chain {
    /// Makes a block of the head's chain the head again, and forgets what came after it, however
    /// deep that is. No batch may be on its way.
    ///
    /// 1. Blocks that are durable are taken back in the store, in steps of a bounded size.
    /// 2. Of the others those stay that lead up to the block.
    ///
    /// # Errors
    /// [`ImportError::Storage`], with `Pruned` if the state is no longer kept: then nothing has
    /// changed.
    pub(crate) fn rewind(&mut self, to: Head) -> Result<(), ImportError> {
        let (below, path) = self.tree.path_to(to.hash);
        if below != self.durable.hash {
            let above = u64::try_from(path.len()).unwrap_or(u64::MAX);
            // What stands on the store as it was cannot be gone on with.
            self.work = None;
            self.cache.clear();
            self.store.unwind(to.number.saturating_sub(above), |_| ())?;
            self.durable = self.store.head()?;
        }
        self.tree.retain_paths([to.hash, to.hash]);
        self.work = self.work.take().filter(|work| work.at == to.hash);
        if self.set_head(to.hash)?.is_none() {
            return Err(ImportError::Internal(format!("block {} is nowhere", to.hash)));
        }
        Ok(())
    }
}

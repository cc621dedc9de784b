//! Makes a block smaller while something about it stays, as a difference between two executions.
//!
//! Delta debugging: of each part ever shorter runs are left out, down to single items, and what
//! still differs is gone on with. Parts come in the order of what a reader would rather not have
//! to look at: senders with all they send, transactions, withdrawals, accounts, slots, codes. It
//! ends when nothing of any part can be left out any more.
//!
//! A smaller block is a block of its own: its header fits its body, and each sender begins with the
//! nonce of its first transaction that is left. A transaction from between two of the same sender
//! is needed by the later one, for its nonce; whoever judges a block has to refuse what sequential
//! execution calls invalid.

mod part;
mod trial;

#[cfg(test)]
mod tests;

pub use trial::{Size, Trial, seal_body};

use part::Part;

/// A block of which nothing more could be left out.
#[derive(Debug, Clone, PartialEq)]
pub struct Reduced<D> {
    /// The block.
    pub trial: Trial,
    /// What was found in it.
    pub difference: D,
    /// How many smaller blocks were judged.
    pub trials: usize,
    /// Whether nothing can be left out; false if it was told to end before.
    pub is_minimal: bool,
}

/// Leaves out of `whole` what `differs` does not need to find something. `None` if it finds nothing
/// in the block as it is.
///
/// `goes_on` is asked before each smaller block is judged; it is given the size of the smallest one
/// so far, and how many were judged.
pub fn reduce<D>(
    whole: Trial,
    mut differs: impl FnMut(&Trial) -> Option<D>,
    goes_on: impl FnMut(Size, usize) -> bool,
) -> Option<Reduced<D>> {
    let difference = differs(&whole)?;
    let best = Reduced { trial: whole, difference, trials: 0, is_minimal: true };
    let mut reduction = Reduction { best, differs, goes_on };
    loop {
        let mut has_shrunk = false;
        for part in Part::ALL {
            has_shrunk |= reduction.pass(part);
        }
        if !has_shrunk || !reduction.best.is_minimal {
            return Some(reduction.best);
        }
    }
}

struct Reduction<D, F, G> {
    /// The smallest so far; not minimal any more once the reduction was told to end.
    best: Reduced<D>,
    differs: F,
    goes_on: G,
}

impl<D, F: FnMut(&Trial) -> Option<D>, G: FnMut(Size, usize) -> bool> Reduction<D, F, G> {
    /// Leaves out what can be of one part; whether anything was.
    fn pass(&mut self, part: Part) -> bool {
        let before = part.count(&self.best.trial);
        if !self.best.is_minimal {
            return false;
        }
        let mut length = before.max(1);
        loop {
            let has_shrunk = self.sweep(part, length);
            if !self.best.is_minimal {
                break;
            }
            if length > 1 {
                length /= 2;
            } else if !has_shrunk {
                // What one item needed may have gone after the item was tried: single items are
                // tried again until all of them stay.
                break;
            }
        }
        part.count(&self.best.trial) < before
    }

    /// Tries to leave out each run of this length once; whether any was left out.
    fn sweep(&mut self, part: Part, length: usize) -> bool {
        let mut has_shrunk = false;
        let mut start = 0;
        loop {
            let count = part.count(&self.best.trial);
            if start >= count {
                return has_shrunk;
            }
            let end = count.min(start + length);
            let smaller = part.without(&self.best.trial, start..end);
            match self.judge(smaller) {
                None => return has_shrunk,
                Some(true) => has_shrunk = true,
                Some(false) => start = end,
            }
        }
    }

    /// Goes on with a smaller block if it differs; `None` if it is not to be judged any more.
    fn judge(&mut self, smaller: Trial) -> Option<bool> {
        let best = &mut self.best;
        if !(self.goes_on)(best.trial.size(), best.trials) {
            best.is_minimal = false;
            return None;
        }
        best.trials += 1;
        let difference = (self.differs)(&smaller);
        Some(match difference {
            Some(difference) => {
                best.trial = smaller;
                best.difference = difference;
                true
            }
            None => false,
        })
    }
}

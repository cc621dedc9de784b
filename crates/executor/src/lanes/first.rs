//! The first transactions of a block: the caller runs them, in block order, while another thread
//! wakes and makes the plan. If the block turns out to be one chain, that is not lost
//! ([`mod@chain`](super::chain)).

use super::{LaneFault, claims::Claims, marks::Dependence};
use fugue_evm::{PreparedTx, Target};
use std::sync::atomic::{AtomicUsize, Ordering};

/// More than a block has transactions.
const CLOSED: usize = usize::MAX;

/// Calls of one contract that a block begins with, at least, for the caller to run them: of others
/// the plan tells what is best begun with.
const ALIKE_MIN: usize = 4;

/// Gives out the first transactions, until it is known who runs what.
#[derive(Debug, Default)]
pub(super) struct First {
    /// How many it has to give out.
    count: usize,
    /// The next one; [`CLOSED`] if it gives out no more.
    next: AtomicUsize,
}

impl First {
    /// For a block that looks like a chain, since it begins with calls of one contract: those. The
    /// first one is the caller's before anybody makes the plan.
    pub(super) fn of(txs: &[PreparedTx]) -> Self {
        let callee = |tx: &PreparedTx| match tx.target() {
            Target::Call(callee) => Some(callee),
            Target::Payment | Target::Creation => None,
        };
        let Some(first) = txs.first().and_then(callee) else { return Self::default() };
        let count = txs.iter().take_while(|tx| callee(tx) == Some(first)).count();
        if count < ALIKE_MIN {
            return Self::default();
        }
        Self { count, next: AtomicUsize::new(1) }
    }

    /// Whether there are any.
    pub(super) const fn is_any(&self) -> bool {
        self.count > 0
    }

    /// The one after the first, and so on. The caller alone asks for it.
    pub(super) fn next(&self) -> Option<usize> {
        let following = |next| (next < self.count).then(|| next + 1);
        self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, following).ok()
    }

    /// Gives out no more, and tells how many it has.
    pub(super) fn close(&self) -> usize {
        self.next.swap(CLOSED, Ordering::Relaxed)
    }
}

/// What is to be told of a transaction that ran.
#[derive(Debug, Clone, Copy)]
pub(super) enum Noted {
    /// On whom it depends.
    Ran(Dependence),
    /// That it is a plain payment, and whether it depends on others.
    Payment(bool),
    Refused,
}

impl Noted {
    /// Tells it; fails if it does not pay to go on.
    pub(super) fn tell(
        self,
        claims: &Claims,
        worker: usize,
        index: usize,
    ) -> Result<(), LaneFault> {
        match self {
            Self::Ran(dependence) => claims.note(worker, index, dependence).map_or(Ok(()), Err),
            Self::Payment(depends) => {
                claims.note_payment(index, depends);
                Ok(())
            }
            Self::Refused => {
                claims.note_refused(index);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lanes::claims::tests::tx;
    use fugue_types::{Address, TxKind};

    fn first(count: usize) -> First {
        First { count, next: AtomicUsize::new(1) }
    }

    #[test]
    fn what_is_given_out_before_it_closes_is_told() {
        let whole = first(3);
        assert_eq!([0; 3].map(|_| whole.next()), [Some(1), Some(2), None]);
        assert_eq!(whole.close(), 3);
        let some = first(9);
        assert_eq!(some.next(), Some(1));
        assert_eq!(some.close(), 2);
        assert_eq!(some.next(), None);
        let none = First::default();
        assert_eq!((none.next(), none.close(), none.is_any()), (None, 0, false));
    }

    #[test]
    fn a_block_begins_with_as_many_calls_of_one_contract_as_stand_there() {
        let [a, b] = [0xa0, 0xb0].map(|byte| TxKind::Call(Address::repeat_byte(byte)));
        let call = |to| tx(to, &[1], 100_000);
        let payment = tx(a, &[], 21_000);
        let cases = [
            (Vec::new(), 0),
            (vec![call(a); 3], 0),
            (vec![call(a); 4], 4),
            ([vec![call(a); 5], vec![call(b); 5]].concat(), 5),
            ([vec![call(a); 4], vec![payment.clone()]].concat(), 4),
            ([vec![call(b)], vec![call(a); 9]].concat(), 0),
            ([vec![payment], vec![call(a); 9]].concat(), 0),
            (vec![call(TxKind::Create); 9], 0),
        ];
        for (txs, count) in cases {
            assert_eq!(First::of(&txs).count, count, "{txs:?}");
        }
    }
}

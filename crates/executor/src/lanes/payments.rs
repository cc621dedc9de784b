//! The plain payments of a worker: a lane that has a ledger ([`Ledger`]) in place of an EVM.
//!
//! A worker runs two lanes side by side, and each payment that it claims is tried in the ledger
//! first, unless who pays or is paid calls something in the block: neither lane sees what the other
//! one has done, and such an account would be in both. What is not plain there goes to the EVM,
//! which also has the last word on what seems not to be in order: the payment may be in order on
//! what the other lane has done. Where the worker goes back in the block, both end, and both begin
//! anew.
//!
//! To settling a ledger is a lane like any other, for all that it relies on holds of it:
//! * *It ran in block order*: so does the worker, and the ledger has some of what that one runs.
//! * *It has seen nothing of others*: it began with the state before the block, and sees neither
//!   the other lane of its worker nor those of others. It has no slots to hear of.
//! * *What a payment did follows from what it came upon*, by its touches: the sender's nonce and
//!   code, the recipient's code, that the first had enough, and whether either was there. The
//!   ledger notes them as a journal does, for which its tests compare the two. That a payment is
//!   plain follows from the same: an account that another lane gives code to (by a creation, or a
//!   delegation of EIP-7702), or destroys, was changed there and loaded here. So it is hot, and
//!   whoever paid it afterwards without seeing that does not hold, and runs again in an EVM.
//! * *The nonce of a sender* is raised only if somebody before may have sent what is missing; it is
//!   hot then, and compared.
//! * *The fee recipient* may pay, or be paid. All fees are left to settling, where it is hot then,
//!   having been loaded; that the ledger has not seen them is no more than a lower balance.
//! * *An account that is there and empty* is in none either, so that no lane with a ledger ends
//!   one.

use super::{Lane, LaneTx, ReadResult, Shared};
use fugue_evm::{Ledger, Paid, PreparedTx, TagFilter, tag};
use fugue_types::Address;
use std::sync::atomic::Ordering;

/// Tags of all who send something else than payments.
pub(super) fn callers(txs: &[PreparedTx]) -> TagFilter {
    let mut callers = TagFilter::default();
    let calls = txs.iter().filter(|tx| tx.payee().is_none());
    calls.for_each(|tx| callers.add(tag(&tx.sender())));
    callers
}

/// A ledger that is run.
pub(super) struct PaymentLane<'l> {
    ledger: Ledger<'l>,
    txs: Vec<LaneTx>,
    assumed: Vec<Address>,
}

impl<'l> PaymentLane<'l> {
    pub(super) fn new(shared: &Shared<'l>) -> Self {
        let Shared { rules, header, view, .. } = *shared;
        let room = shared.rooms.lock().pop().unwrap_or_default();
        let ledger = Ledger::new(rules, header, view, room);
        Self { ledger, txs: Vec::new(), assumed: Vec::new() }
    }

    /// Runs a transaction above those before it, if it is a plain payment, and says whether it
    /// spends what they have brought in; `None` if it is not plain.
    pub(super) fn run(&mut self, shared: &Shared<'l>, index: usize) -> ReadResult<Option<bool>> {
        let tx = &shared.prepared.txs[index];
        // Only whose sender has sent before in this block may miss something.
        let may_assume = shared.prepared.predecessors[index].is_some();
        let Some(paid) = self.ledger.pay(tx, may_assume)? else { return Ok(None) };
        let Paid { executed, is_assumed, spends_receipts } = paid;
        if is_assumed {
            self.assumed.push(tx.sender());
        }
        let touches = Some(self.txs.len());
        self.txs.push(LaneTx { index, executed: Some(executed), touches });
        Ok(Some(spends_receipts))
    }

    /// Bytes that it has taken.
    pub(super) fn memory_bytes(&self) -> usize {
        self.ledger.memory_bytes()
    }

    /// The lane at its end; `None` if nothing ran in it.
    pub(super) fn end(self, shared: &Shared<'l>, worker: usize) -> Option<Lane> {
        let bytes = self.memory_bytes();
        let Self { ledger, txs, assumed } = self;
        let history = ledger.into_history();
        if txs.is_empty() {
            shared.rooms.lock().push(history.touched);
            return None;
        }
        shared.bytes.fetch_add(bytes, Ordering::Relaxed);
        Some(Lane {
            worker,
            thread: rayon::current_thread_index(),
            is_ledger: true,
            noted: txs.iter().map(|tx| tx.index).collect(),
            txs,
            assumed,
            heard: Vec::new(),
            heard_slots: 0,
            history,
        })
    }
}

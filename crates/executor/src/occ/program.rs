//! A block as the scheduler's program: run a transaction ahead or at its turn, commit it.
//!
//! What a commit does is not the same for a block that is given, where every transaction has to
//! hold ([`InOrder`]), and for one that is being filled, where those that do not are left out.

use super::memory::{ReadFault, Room, StateMemory, version_of};
use crate::{
    BlockError,
    rerun::{RunLog, Stale},
    sequential::Progress,
};
use fugue_chainspec::{Fork, Rules};
use fugue_evm::{CodeCache, Executed, Fault, FeePayment, Kernel, PreparedTx, ReadLog, StateReader};
use fugue_scheduler::{Place, Program, Ran};
use fugue_state::{Account, AccountDiff, Overlay, StateDiff, StateError, StateView};
use fugue_types::{Address, B256, Bytes, Header, Transaction, U256};
use parking_lot::Mutex;
use std::time::Instant;

/// The last run of a transaction.
pub(super) struct TxRun {
    pub(super) executed: Result<Executed, Fault<StateError>>,
    pub(super) diff: StateDiff,
    pub(super) reads: ReadLog,
}

/// The transactions of one block being executed by many threads.
pub(super) struct OccBlock<'b> {
    header: &'b Header,
    txs: &'b [PreparedTx],
    predecessors: &'b [Option<usize>],
    rules: &'b Rules,
    codes: &'b CodeCache,
    memory: StateMemory<'b>,
    runs: Vec<Mutex<Option<TxRun>>>,
    /// Where it is noted what each transaction takes, if somebody asked for it.
    log: Option<RunLog>,
}

/// What happens at the turn of a transaction whose last run is known to hold.
pub(super) trait Commit: Sync {
    /// Why the session ends.
    type Error: Send;

    /// Takes the run of `tx` from the block. Called in block order, one at a time.
    fn commit(&self, block: &OccBlock<'_>, tx: usize) -> Result<(), Self::Error>;
}

impl<'b> OccBlock<'b> {
    pub(super) fn new(
        header: &'b Header,
        txs: &'b [PreparedTx],
        predecessors: &'b [Option<usize>],
        rules: &'b Rules,
        codes: &'b CodeCache,
        memory: StateMemory<'b>,
    ) -> Self {
        let runs = txs.iter().map(|_| Mutex::new(None)).collect();
        Self { header, txs, predecessors, rules, codes, memory, runs, log: None }
    }

    /// Notes from now on what each transaction takes.
    pub(super) fn observe(&mut self, log: RunLog) {
        self.log = Some(log);
    }

    /// What was noted.
    pub(super) fn take_log(&mut self) -> Option<RunLog> {
        self.log.take()
    }

    /// The room of the memory, and the bytes that it took.
    pub(super) fn into_room(self) -> (Room, usize) {
        self.memory.into_room()
    }

    /// The last run of a transaction, at its turn.
    pub(super) fn take_run(&self, tx: usize) -> Result<TxRun, BlockError> {
        let run = self.runs[tx].lock().take();
        run.ok_or_else(|| BlockError::Internal(format!("transaction {tx} has no result")))
    }

    /// Why the last run of a transaction does not hold; `None` if there is none, or it does.
    fn stale(&self, tx: usize) -> Option<Stale> {
        let run = self.runs[tx].lock();
        let TxRun { reads, .. } = run.as_ref()?;
        let ReadLog { accounts, slots, seen: _ } = reads;
        let memory = &self.memory;
        let account =
            accounts.iter().find_map(|(address, read)| memory.stale_account(*address, tx, *read));
        account.or_else(|| {
            let mut slots = slots.iter();
            slots.find_map(|(address, slot, read)| memory.stale_slot(*address, *slot, tx, *read))
        })
    }

    /// Pays the fee that a transaction did not pay itself. `state` is the one before the payment.
    pub(super) fn pay(
        &self,
        tx: usize,
        fee: U256,
        state: &Overlay<'_>,
    ) -> Result<Option<AccountDiff>, BlockError> {
        let change = fee_change(self.header, self.rules, fee, state)?;
        if let Some(change) = &change {
            // Nobody who runs ahead reads this account, so nobody is overtaken.
            self.memory.write_account(version_of(tx), change, &mut Vec::new());
        }
        Ok(change)
    }

    /// Takes back what a transaction wrote, at its turn. Those who have read it are not told: like
    /// all others, they compare at their own turn, which is still to come.
    pub(super) fn undo(&self, tx: usize, diff: &StateDiff) {
        self.memory.write(version_of(tx), &StateDiff::default(), diff, &mut Vec::new());
    }
}

/// The fee that a transaction did not pay itself, as a change of the fee recipient's account.
/// `state` is the one before the payment.
pub(crate) fn fee_change(
    header: &Header,
    rules: &Rules,
    fee: U256,
    state: &dyn StateView,
) -> Result<Option<AccountDiff>, StateError> {
    let address = header.beneficiary;
    let before = state.account(address)?;
    let credited = before.unwrap_or_default();
    // As a direct payment does: what would overflow is not credited.
    let balance = credited.balance.checked_add(fee).unwrap_or(credited.balance);
    let credited = Account { balance, ..credited };
    // Source: EIP-161: touching an empty account ends it; before, it brings it into being.
    let clears = rules.has(Fork::SpuriousDragon) && credited.is_empty();
    let after = (!clears).then_some(credited);
    let wiped = before.is_some() && clears;
    let change = AccountDiff { address, before, after, wiped, slots: Vec::new() };
    Ok((before != after).then_some(change))
}

/// Reads of one worker, for the transaction it is running.
pub(super) struct MemoryReader<'p, 'b> {
    block: &'p OccBlock<'b>,
    tx: usize,
    place: Place,
}

impl StateReader for MemoryReader<'_, '_> {
    type Error = ReadFault;

    fn account(&mut self, address: Address) -> Result<Option<Account>, ReadFault> {
        if self.place == Place::Ahead && address == self.block.header.beneficiary {
            return Err(ReadFault::NotYet);
        }
        self.block.memory.account(address, self.tx)
    }

    fn slot(&mut self, address: Address, slot: U256) -> Result<U256, ReadFault> {
        self.block.memory.slot(address, slot, self.tx)
    }

    /// The answer is not compared, but its account is: with its storage an account goes itself. One
    /// that was there and empty may be paid anew, and looks as if it had stayed. So nobody who runs
    /// ahead is told of storage that was there before the block.
    fn has_storage(&mut self, address: Address) -> Result<bool, ReadFault> {
        match self.place {
            Place::Ahead if self.block.memory.had_storage(address)? => Err(ReadFault::NotYet),
            Place::Ahead => Ok(false),
            Place::Head => self.block.memory.has_storage(address, self.tx),
        }
    }

    fn code(&mut self, code_hash: B256) -> Result<Bytes, ReadFault> {
        self.block.memory.code(code_hash)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, ReadFault> {
        self.block.memory.block_hash(number)
    }
}

/// The block as a program.
pub(super) struct Occ<'p, 'b, C> {
    pub(super) block: &'p OccBlock<'b>,
    pub(super) commit: &'p C,
}

impl<'p, 'b, C> Occ<'p, 'b, C> {
    /// See [`Program::execute`].
    fn run(
        &self,
        kernel: &mut Kernel<'p, MemoryReader<'p, 'b>>,
        tx: usize,
        place: Place,
        overtaken: &mut Vec<usize>,
    ) -> Ran {
        let reader = kernel.reader_mut();
        reader.tx = tx;
        reader.place = place;
        let executed = match kernel.transact(&self.block.txs[tx]) {
            Ok(executed) => Ok(executed),
            // A guess may be refused as well as run; only at its turn that means something.
            Err(Fault::Invalid(reason)) => Err(Fault::Invalid(reason)),
            Err(Fault::Read(ReadFault::Blocked(on))) => {
                return give_up(kernel, Ran::Blocked { on });
            }
            Err(Fault::Read(ReadFault::NotYet)) => return give_up(kernel, Ran::Parked),
            Err(_) if place == Place::Ahead => return give_up(kernel, Ran::Parked),
            Err(Fault::Read(ReadFault::State(error))) => Err(Fault::Read(error)),
            Err(Fault::Internal(message)) => Err(Fault::Internal(message)),
        };
        let (diff, reads) = kernel.take();
        let mut run = self.block.runs[tx].lock();
        let earlier = run.take().map(|run| run.diff).unwrap_or_default();
        self.block.memory.write(version_of(tx), &diff, &earlier, overtaken);
        *run = Some(TxRun { executed, diff, reads });
        // The memory speaks of versions; readers are transactions.
        for reader in overtaken {
            *reader -= version_of(0);
        }
        Ran::Done
    }
}

/// Leaves nothing of a run that came to no end.
fn give_up(kernel: &mut Kernel<'_, MemoryReader<'_, '_>>, ran: Ran) -> Ran {
    kernel.forget();
    ran
}

impl<'p, 'b, C: Commit> Program for Occ<'p, 'b, C> {
    type Worker = Kernel<'p, MemoryReader<'p, 'b>>;
    type Error = C::Error;

    fn worker(&self) -> Self::Worker {
        let block = self.block;
        let reader = MemoryReader { block, tx: 0, place: Place::Ahead };
        Kernel::new(block.rules, block.header, block.codes, reader, FeePayment::Deferred)
    }

    fn predecessor(&self, tx: usize) -> Option<usize> {
        self.block.predecessors.get(tx).copied().flatten()
    }

    fn execute(
        &self,
        kernel: &mut Self::Worker,
        tx: usize,
        place: Place,
        overtaken: &mut Vec<usize>,
    ) -> Ran {
        let Some(log) = &self.block.log else { return self.run(kernel, tx, place, overtaken) };
        // Before it begins, the memory tells what of the run before it does not hold.
        let stale = self.block.stale(tx);
        let begun = Instant::now();
        let ran = self.run(kernel, tx, place, overtaken);
        log.ran(tx, begun.elapsed(), stale, ran);
        ran
    }

    fn suspect(&self, tx: usize) {
        if let Some(run) = &*self.block.runs[tx].lock() {
            self.block.memory.suspect(version_of(tx), &run.diff);
        }
    }

    fn is_current(&self, tx: usize) -> bool {
        let run = self.block.runs[tx].lock();
        let Some(TxRun { reads, .. }) = &*run else { return false };
        let ReadLog { accounts, slots, seen: _ } = reads;
        let memory = &self.block.memory;
        accounts.iter().all(|(address, read)| memory.account_is(*address, tx, *read))
            && slots.iter().all(|(address, slot, read)| memory.slot_is(*address, *slot, tx, *read))
    }

    fn commit(&self, tx: usize) -> Result<(), C::Error> {
        self.commit.commit(self.block, tx)
    }
}

/// The commit of a block that is given: what does not hold ends the session.
pub(super) struct InOrder<'b> {
    transactions: &'b [Transaction],
    /// What is committed; `None` after a commit that failed half-way.
    progress: Mutex<Option<Progress<'b>>>,
}

impl<'b> InOrder<'b> {
    pub(super) fn new(transactions: &'b [Transaction], progress: Progress<'b>) -> Self {
        Self { transactions, progress: Mutex::new(Some(progress)) }
    }

    /// What is committed.
    pub(super) fn into_progress(self) -> Result<Progress<'b>, BlockError> {
        let broken = || BlockError::Internal("a commit failed half-way".to_owned());
        self.progress.into_inner().ok_or_else(broken)
    }
}

impl Commit for InOrder<'_> {
    type Error = BlockError;

    fn commit(&self, block: &OccBlock<'_>, tx: usize) -> Result<(), BlockError> {
        let transaction = &self.transactions[tx];
        let mut progress = self.progress.lock();
        let Some(Progress { overlay, tally, .. }) = &*progress else {
            return Err(BlockError::Internal("a commit failed half-way".to_owned()));
        };
        tally.admit(transaction)?;
        let TxRun { executed, mut diff, reads } = block.take_run(tx)?;
        let executed =
            executed.map_err(|fault| BlockError::of_transaction(tx, *transaction.hash(), fault))?;
        if let Some(fee) = executed.fee_due
            && let Some(change) = block.pay(tx, fee, overlay)?
        {
            diff.accounts.push(change);
        }
        // From here on the progress changes: taken out, so that an error or a panic leaves none
        // behind.
        let Some(Progress { mut overlay, mut tally, mut notes }) = progress.take() else {
            return Err(BlockError::Internal("the progress is gone".to_owned()));
        };
        overlay.push(&diff)?;
        if notes.are_kept() {
            if executed.fee_due.is_some() {
                notes.pays(block.header.beneficiary);
            }
            notes.push(&reads, &diff.canonical())?;
        }
        tally.add(transaction, executed.result, executed.excess);
        *progress = Some(Progress { overlay, tally, notes });
        Ok(())
    }
}

#[cfg(test)]
mod observed;

//! A block as the scheduler's program: run a transaction ahead or at its turn, commit it.

use super::memory::{ReadFault, Room, StateMemory, version_of};
use crate::{BlockError, PreparedBlock, sequential::Progress};
use fugue_chainspec::{Fork, Rules};
use fugue_evm::{CodeCache, Executed, Fault, FeePayment, Kernel, ReadLog, StateReader};
use fugue_scheduler::{Place, Program, Ran};
use fugue_state::{Account, AccountDiff, Overlay, StateDiff, StateError, StateView};
use fugue_types::{Address, B256, Block, Bytes, U256};
use parking_lot::Mutex;

/// The last run of a transaction.
struct TxRun {
    executed: Result<Executed, Fault<StateError>>,
    diff: StateDiff,
    reads: ReadLog,
}

/// One block being executed by many threads.
pub(super) struct OccBlock<'b> {
    prepared: &'b PreparedBlock,
    rules: &'b Rules,
    codes: &'b CodeCache,
    memory: StateMemory<'b>,
    runs: Vec<Mutex<Option<TxRun>>>,
    /// What is committed; `None` after a commit that failed half-way.
    progress: Mutex<Option<Progress<'b>>>,
}

impl<'b> OccBlock<'b> {
    pub(super) fn new(
        prepared: &'b PreparedBlock,
        rules: &'b Rules,
        codes: &'b CodeCache,
        memory: StateMemory<'b>,
        progress: Progress<'b>,
    ) -> Self {
        Self {
            prepared,
            rules,
            codes,
            memory,
            runs: prepared.txs.iter().map(|_| Mutex::new(None)).collect(),
            progress: Mutex::new(Some(progress)),
        }
    }

    /// What is committed, and the room of the memory.
    pub(super) fn into_parts(self) -> (Result<Progress<'b>, BlockError>, Room) {
        let broken = || BlockError::Internal("a commit failed half-way".to_owned());
        (self.progress.into_inner().ok_or_else(broken), self.memory.into_room())
    }

    fn block(&self) -> &'b Block {
        self.prepared.block.block()
    }

    /// The fee that a transaction did not pay itself, as a change of the fee recipient's account.
    fn fee_change(
        &self,
        fee: U256,
        state: &Overlay<'_>,
    ) -> Result<Option<AccountDiff>, StateError> {
        let address = self.block().header.beneficiary;
        let before = state.account(address)?;
        let credited = before.unwrap_or_default();
        // As a direct payment does: what would overflow is not credited.
        let balance = credited.balance.checked_add(fee).unwrap_or(credited.balance);
        let credited = Account { balance, ..credited };
        // Source: EIP-161: touching an empty account ends it; before, it brings it into being.
        let clears = self.rules.has(Fork::SpuriousDragon) && credited.is_empty();
        let after = (!clears).then_some(credited);
        let change = AccountDiff { address, before, after, wiped: false, slots: Vec::new() };
        Ok((before != after).then_some(change))
    }
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
        if self.place == Place::Ahead && address == self.block.block().header.beneficiary {
            return Err(ReadFault::NotYet);
        }
        self.block.memory.account(address, self.tx)
    }

    fn slot(&mut self, address: Address, slot: U256) -> Result<U256, ReadFault> {
        self.block.memory.slot(address, slot, self.tx)
    }

    fn has_storage(&mut self, address: Address) -> Result<bool, ReadFault> {
        self.block.memory.has_storage(address, self.tx)
    }

    fn code(&mut self, code_hash: B256) -> Result<Bytes, ReadFault> {
        self.block.memory.code(code_hash)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, ReadFault> {
        self.block.memory.block_hash(number)
    }
}

/// The block as a program.
pub(super) struct Occ<'p, 'b>(pub(super) &'p OccBlock<'b>);

impl<'p, 'b> Program for Occ<'p, 'b> {
    type Worker = Kernel<'p, MemoryReader<'p, 'b>>;
    type Error = BlockError;

    fn worker(&self) -> Self::Worker {
        let block = self.0;
        let reader = MemoryReader { block, tx: 0, place: Place::Ahead };
        let header = &block.block().header;
        Kernel::new(block.rules, header, block.codes, reader, FeePayment::Deferred)
    }

    fn predecessor(&self, tx: usize) -> Option<usize> {
        self.0.prepared.predecessors.get(tx).copied().flatten()
    }

    fn execute(
        &self,
        kernel: &mut Self::Worker,
        tx: usize,
        place: Place,
        overtaken: &mut Vec<usize>,
    ) -> Ran {
        let reader = kernel.reader_mut();
        reader.tx = tx;
        reader.place = place;
        let executed = kernel.transact(&self.0.prepared.txs[tx]);
        let (diff, reads) = kernel.take();
        let executed = match executed {
            Ok(executed) => Ok(executed),
            // A guess may be refused as well as run; only at its turn that means something.
            Err(Fault::Invalid(reason)) => Err(Fault::Invalid(reason)),
            Err(Fault::Read(ReadFault::Blocked(on))) => return Ran::Blocked { on },
            Err(Fault::Read(ReadFault::NotYet)) => return Ran::Parked,
            Err(_) if place == Place::Ahead => return Ran::Parked,
            Err(Fault::Read(ReadFault::State(error))) => Err(Fault::Read(error)),
            Err(Fault::Internal(message)) => Err(Fault::Internal(message)),
        };
        let mut run = self.0.runs[tx].lock();
        let earlier = run.take().map(|run| run.diff).unwrap_or_default();
        self.0.memory.write(version_of(tx), &diff, &earlier, overtaken);
        *run = Some(TxRun { executed, diff, reads });
        // The memory speaks of versions; readers are transactions.
        for reader in overtaken {
            *reader -= version_of(0);
        }
        Ran::Done
    }

    fn suspect(&self, tx: usize) {
        if let Some(run) = &*self.0.runs[tx].lock() {
            self.0.memory.suspect(version_of(tx), &run.diff);
        }
    }

    fn is_current(&self, tx: usize) -> bool {
        let run = self.0.runs[tx].lock();
        let Some(TxRun { reads, .. }) = &*run else { return false };
        let ReadLog { accounts, slots, seen: _ } = reads;
        let memory = &self.0.memory;
        accounts.iter().all(|(address, read)| memory.account_is(*address, tx, *read))
            && slots.iter().all(|(address, slot, read)| memory.slot_is(*address, *slot, tx, *read))
    }

    fn commit(&self, tx: usize) -> Result<(), BlockError> {
        let block = self.0;
        let transaction = &block.block().body.transactions[tx];
        let mut progress = block.progress.lock();
        let Some(Progress { overlay, tally, .. }) = &*progress else {
            return Err(BlockError::Internal("a commit failed half-way".to_owned()));
        };
        tally.admit(transaction)?;
        let run = block.runs[tx].lock().take();
        let Some(TxRun { executed, mut diff, reads }) = run else {
            return Err(BlockError::Internal(format!("transaction {tx} has no result")));
        };
        let executed =
            executed.map_err(|fault| BlockError::of_transaction(tx, *transaction.hash(), fault))?;
        if let Some(fee) = executed.fee_due
            && let Some(change) = block.fee_change(fee, overlay)?
        {
            let paid = StateDiff { accounts: vec![change.clone()], codes: Vec::new() };
            // Nobody who runs ahead reads this account, so nobody is overtaken.
            block.memory.write(version_of(tx), &paid, &StateDiff::default(), &mut Vec::new());
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
                notes.pays(block.block().header.beneficiary);
            }
            notes.push(&reads, &diff.canonical())?;
        }
        tally.add(transaction, executed.result);
        *progress = Some(Progress { overlay, tally, notes });
        Ok(())
    }
}

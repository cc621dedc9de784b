//! A block that is run again to see what each of its transactions reads and writes, exactly.
//!
//! A [`crate::Footprint`] is a guess, made before any block has the transaction, and has a bound.
//! This is what the transaction does in its place, as the parallel mode would see it: it reads
//! whole accounts, and leaves its fee to the commit unless it looks at the fee recipient. Beside
//! that it tells of which balances it saw more than that they suffice, as lanes would.

use crate::{BlockError, Explanation, Location, PreparedBlock, frame, occ};
use fugue_chainspec::Rules;
use fugue_evm::{
    CodeCache, Executed, Fault, FeePayment, Kernel, PreparedTx, ReadLog, StateReader, Touched,
    ViewReader,
};
use fugue_state::{AccountDiff, Overlay, StateDiff, StateView};
use fugue_types::{Address, RecoveredBlock, U256};
use std::time::{Duration, Instant};

/// What an account has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// Transactions sent, or contracts created.
    Nonce,
    /// In wei.
    Balance,
    /// The code, a delegation (EIP-7702) included.
    Code,
    /// A slot of its storage.
    Slot(U256),
}

/// A field of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StateField {
    /// The account.
    pub address: Address,
    /// Which of its fields.
    pub field: Field,
}

/// What one transaction of a block read and wrote, and what it took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TxAccess {
    /// Who sent it.
    pub sender: Address,
    /// Accounts and slots that it read, each once. Of an account that it read, it may have looked
    /// at any field but slots: execution reads them together.
    pub reads: Vec<Location>,
    /// Fields whose value after it is another than before it, each once. It has read the accounts,
    /// and the slots of those that it has not created.
    pub writes: Vec<StateField>,
    /// Accounts of whose balance it saw more than that it suffices, each once. It has read them.
    pub sees: Vec<Address>,
    /// The fee recipient got its fee without being looked at. Neither list tells of that.
    pub credits: bool,
    /// Gas that its sender paid for.
    pub gas_used: u64,
    /// Time that it ran, after those before it and alone, reads of the state and notes of what it
    /// touched included, in nanoseconds. [`crate::Executor::times`] has it without the notes.
    pub nanos: u64,
}

/// A block, and what each of its transactions read and wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accesses {
    block: PreparedBlock,
    txs: Vec<TxAccess>,
}

impl Accesses {
    /// Opens a block of the chain on the state before it, and runs its transactions one after the
    /// other. The block is not closed, and its gas is not judged.
    ///
    /// # Errors
    /// [`BlockError`].
    pub fn of(
        block: RecoveredBlock,
        rules: &Rules,
        view: &dyn StateView,
        codes: &CodeCache,
    ) -> Result<Self, BlockError> {
        let block = PreparedBlock::new(block, None)?;
        let txs = run(&block, rules, view, codes)?;
        Ok(Self { block, txs })
    }

    /// The block, ready to be executed.
    pub const fn block(&self) -> &PreparedBlock {
        &self.block
    }

    /// Of each transaction, in block order.
    pub fn txs(&self) -> &[TxAccess] {
        &self.txs
    }

    /// Why the block takes as long as it does.
    pub fn explain(&self) -> Explanation {
        Explanation::of(&self.txs, self.block.block().block().header.beneficiary)
    }
}

/// A kernel for transactions that run one after the other.
fn kernel<'r>(
    prepared: &PreparedBlock,
    rules: &Rules,
    view: &'r dyn StateView,
    codes: &'r CodeCache,
) -> Kernel<'r, ViewReader<Overlay<'r>>> {
    let header = &prepared.block.block().header;
    Kernel::new(rules, header, codes, ViewReader(Overlay::new(view)), FeePayment::Deferred)
}

/// See [`crate::Executor::accesses`].
pub(crate) fn run(
    prepared: &PreparedBlock,
    rules: &Rules,
    view: &dyn StateView,
    codes: &CodeCache,
) -> Result<Vec<TxAccess>, BlockError> {
    let kernel = kernel(prepared, rules, view, codes);
    let txs = Vec::with_capacity(prepared.txs.len());
    let mut noting = Noting { txs, touched: Touched::default() };
    walk(prepared, rules, kernel, &mut noting)?;
    Ok(noting.txs)
}

/// See [`crate::Executor::times`].
pub(crate) fn times(
    prepared: &PreparedBlock,
    rules: &Rules,
    view: &dyn StateView,
    codes: &CodeCache,
) -> Result<Vec<Duration>, BlockError> {
    let kernel = kernel(prepared, rules, view, codes);
    let mut timing = Timing(Vec::with_capacity(prepared.txs.len()));
    walk(prepared, rules, kernel, &mut timing)?;
    Ok(timing.0)
}

/// What somebody does who has the transactions of a block run one after the other.
pub(crate) trait Walk<I> {
    /// Runs one, which is timed.
    fn transact<R: StateReader>(
        &mut self,
        kernel: &mut Kernel<'_, R, I>,
        tx: &PreparedTx,
    ) -> Result<Executed, Fault<R::Error>>;

    /// It has run.
    fn ran<R: StateReader>(&mut self, kernel: &mut Kernel<'_, R, I>, ran: Ran<'_>);
}

/// A transaction that has run in its place, alone in the journal.
pub(crate) struct Ran<'r> {
    pub(crate) sender: Address,
    pub(crate) gas_used: u64,
    pub(crate) reads: &'r ReadLog,
    /// Without the fee, if that is left to the commit.
    pub(crate) diff: &'r StateDiff,
    /// What that fee changes.
    pub(crate) fee: Option<&'r AccountDiff>,
    pub(crate) nanos: u64,
}

/// Opens a block on the state that the kernel reads, and runs its transactions.
pub(crate) fn walk<I>(
    prepared: &PreparedBlock,
    rules: &Rules,
    mut kernel: Kernel<'_, ViewReader<Overlay<'_>>, I>,
    walker: &mut impl Walk<I>,
) -> Result<(), BlockError> {
    let block = prepared.block.block();
    frame::open(&mut kernel, rules, &block.header)?;
    let (opening, _) = kernel.take();
    kernel.reader_mut().0.push(&opening)?;
    let txs = block.body.transactions.iter().zip(&prepared.txs).enumerate();
    for (index, (tx, prepared)) in txs {
        let begun = Instant::now();
        let executed = walker.transact(&mut kernel, prepared);
        let nanos = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let Executed { result, fee_due, .. } =
            executed.map_err(|fault| BlockError::of_transaction(index, *tx.hash(), fault))?;
        let (mut diff, reads) = kernel.take();
        let state = &mut kernel.reader_mut().0;
        let fee = match fee_due {
            Some(fee) => occ::fee_change(&block.header, rules, fee, state)?,
            None => None,
        };
        let (sender, gas_used) = (prepared.sender(), result.gas.used);
        let ran = Ran { sender, gas_used, reads: &reads, diff: &diff, fee: fee.as_ref(), nanos };
        walker.ran(&mut kernel, ran);
        diff.accounts.extend(fee);
        kernel.reader_mut().0.push(&diff)?;
    }
    Ok(())
}

/// Notes what they read and write.
struct Noting {
    txs: Vec<TxAccess>,
    /// Room for what the next one touches, while this one uses the kernel's.
    touched: Touched,
}

impl Walk<()> for Noting {
    fn transact<R: StateReader>(
        &mut self,
        kernel: &mut Kernel<'_, R>,
        tx: &PreparedTx,
    ) -> Result<Executed, Fault<R::Error>> {
        // From the first one on: the opening of the block is none.
        if kernel.touched().is_none() {
            kernel.note_touches(Touched::default());
        }
        kernel.transact(tx)
    }

    fn ran<R: StateReader>(&mut self, kernel: &mut Kernel<'_, R>, ran: Ran<'_>) {
        let Ran { sender, gas_used, reads, diff, fee, nanos } = ran;
        let (reads, writes, credits) = (locations(reads), fields(diff), fee.is_some());
        kernel.swap_touched(&mut self.touched);
        let seen = self.touched.all().0.iter().filter(|touch| touch.is_balance_seen);
        let sees = seen.map(|touch| touch.address).collect();
        self.touched.clear();
        self.txs.push(TxAccess { sender, reads, writes, sees, credits, gas_used, nanos });
    }
}

/// Notes no more than how long they run.
struct Timing(Vec<Duration>);

impl Walk<()> for Timing {
    fn transact<R: StateReader>(
        &mut self,
        kernel: &mut Kernel<'_, R>,
        tx: &PreparedTx,
    ) -> Result<Executed, Fault<R::Error>> {
        kernel.transact(tx)
    }

    fn ran<R: StateReader>(&mut self, _: &mut Kernel<'_, R>, ran: Ran<'_>) {
        self.0.push(Duration::from_nanos(ran.nanos));
    }
}

fn locations(reads: &ReadLog) -> Vec<Location> {
    let ReadLog { accounts, slots, seen: _ } = reads;
    let accounts = accounts.iter().map(|(address, _)| (*address, None));
    let slots = slots.iter().map(|(address, slot, _)| (*address, Some(*slot)));
    accounts.chain(slots).collect()
}

/// The fields that a diff changes. An account that loses its storage changes in all fields: who
/// reads a slot of it has read the account.
fn fields(diff: &StateDiff) -> Vec<StateField> {
    let mut fields = Vec::new();
    for change in &diff.accounts {
        let AccountDiff { address, before, after, wiped, slots } = change;
        let (old, new) = (before.unwrap_or_default(), after.unwrap_or_default());
        // An empty account that comes or goes, before EIP-161, has no field that tells.
        let is_whole = *wiped || (before != after && old == new);
        let changed = [
            (Field::Nonce, old.nonce != new.nonce),
            (Field::Balance, old.balance != new.balance),
            (Field::Code, old.code_hash != new.code_hash),
        ];
        let changed = changed.into_iter().filter(|(_, is_other)| is_whole || *is_other);
        let slots = slots.iter().map(|slot| Field::Slot(slot.slot));
        let all = changed.map(|(field, _)| field).chain(slots);
        fields.extend(all.map(|field| StateField { address: *address, field }));
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use fugue_state::{Account, SlotDiff};
    use fugue_types::B256;

    const HERE: Address = Address::repeat_byte(1);

    fn changed(before: Option<Account>, after: Option<Account>, wiped: bool) -> Vec<Field> {
        let slot = SlotDiff { slot: U256::from(5), before: U256::ZERO, after: U256::from(1) };
        let slots = if after.is_some() { vec![slot] } else { Vec::new() };
        let change = AccountDiff { address: HERE, before, after, wiped, slots };
        let found = fields(&StateDiff { accounts: vec![change], codes: Vec::new() });
        assert!(found.iter().all(|found| found.address == HERE));
        found.iter().map(|found| found.field).collect()
    }

    #[test]
    fn fields_are_told_apart_by_their_values() {
        let old = Account { nonce: 1, balance: U256::from(7), ..Account::default() };
        let slot = Field::Slot(U256::from(5));
        assert_eq!(changed(Some(old), Some(old), false), [slot]);
        let counted = Account { nonce: 2, ..old };
        assert_eq!(changed(Some(old), Some(counted), false), [Field::Nonce, slot]);
        let paid = Account { balance: U256::from(8), ..counted };
        assert_eq!(changed(Some(old), Some(paid), false), [Field::Nonce, Field::Balance, slot]);
        let coded = Account { code_hash: B256::repeat_byte(3), ..old };
        assert_eq!(changed(Some(old), Some(coded), false), [Field::Code, slot]);
        let born = Account { balance: U256::from(8), ..Account::default() };
        assert_eq!(changed(None, Some(born), false), [Field::Balance, slot]);
    }

    #[test]
    fn an_account_that_lost_its_storage_changed_as_a_whole() {
        let whole = [Field::Nonce, Field::Balance, Field::Code];
        let old = Account { balance: U256::from(7), ..Account::default() };
        assert_eq!(changed(Some(old), None, true), whole);
        assert_eq!(changed(Some(old), Some(old), true)[..3], whole);
        // It is there, or it is not.
        assert_eq!(changed(Some(Account::default()), None, false), whole);
    }
}

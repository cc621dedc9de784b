//! One EVM for one block.

use crate::{
    CodeCache, InvalidTx, PreparedTx, ReadLog, StateReader, Touched, bytes,
    database::{LoggedDatabase, ReadFault, to_account},
    ledger::Kept,
    machine::{Ctx, Machine, Phases},
    system::SystemGas,
    touched::{TagFilter, tag},
};
use fugue_chainspec::{Fork, Rules};
use fugue_state::{Account, AccountDiff, SlotDiff, StateDiff};
use fugue_types::{
    Address, AddressMap, Bytes, Header, KECCAK256_EMPTY, TxGas, TxResult, TxStatus, U256,
};
use revm::{
    context::{ContextSetters, TxEnv},
    context_interface::{
        JournalTr, Transaction as _,
        journaled_state::account::JournaledAccountTr,
        result::{EVMError, ExecutionResult},
    },
    handler::Handler,
    inspector::{Inspector, InspectorHandler},
    state::{Account as RevmAccount, EvmState, EvmStorageSlot},
};

/// Who credits the fee recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeePayment {
    /// The transaction itself, at its end.
    Direct,
    /// The caller, later; so that the one account that every transaction pays does not make them
    /// all depend on each other. A transaction that reads the fee recipient pays directly.
    Deferred,
}

/// A transaction that ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Executed {
    /// What it did.
    pub result: TxResult,
    /// The fee in wei if [`FeePayment::Deferred`] left it to the caller.
    pub fee_due: Option<U256>,
    /// Gas that would take as long as its precompiled contracts took, beyond what they used: they
    /// are slow for what they cost. It follows from what ran, and tells of time alone.
    pub excess: u64,
}

/// What transactions of one journal, or of one ledger ([`Ledger`](crate::Ledger)), have done to the
/// state.
#[derive(Debug, Default)]
pub struct History {
    /// What they changed, in canonical form.
    pub diff: StateDiff,
    /// What each of them touched.
    pub touched: Touched,
    /// Accounts whose fields, and slots whose values, one of them changed and a later one changed
    /// back, so that the diff does not show it; in order.
    pub restored: Vec<(Address, Option<U256>)>,
    /// What the journal has loaded; empty of a ledger.
    pub(crate) state: EvmState,
    /// What the ledger has loaded; empty of a journal.
    pub(crate) ledger: AddressMap<Kept>,
    /// Tags of all accounts in either.
    pub(crate) loaded: TagFilter,
    /// Empty: its room is kept.
    pub(crate) log: ReadLog,
}

/// Room that a journal has taken, for another one.
#[derive(Debug, Default)]
pub struct JournalRoom {
    state: EvmState,
    log: ReadLog,
}

impl JournalRoom {
    /// Accounts and slots that it has room for.
    pub fn capacity(&self) -> (usize, usize) {
        let accounts = self.state.capacity().min(self.log.accounts.capacity());
        (accounts, self.log.slots.capacity())
    }

    /// Bytes that it takes.
    pub fn memory_bytes(&self) -> usize {
        let Self { state, log } = self;
        bytes::of_table::<(Address, RevmAccount)>(state.capacity()) + log.memory_bytes()
    }
}

impl History {
    /// Whether any of them has loaded the account.
    pub fn has_loaded(&self, address: &Address) -> bool {
        self.loaded.passes(tag(address))
            && (self.state.contains_key(address) || self.ledger.contains_key(address))
    }

    /// Whether any of them has loaded the slot.
    pub fn has_loaded_slot(&self, address: &Address, slot: &U256) -> bool {
        self.loaded.passes(tag(address))
            && self.state.get(address).is_some_and(|account| account.storage.contains_key(slot))
    }

    /// Gives back what was loaded, and keeps the room for this many accounts, and as many slots, if
    /// that much was taken. It takes the least where the transactions ran: each account has memory
    /// of that thread.
    pub fn into_room(self, loads: usize) -> JournalRoom {
        let Self { mut state, mut log, .. } = self;
        state.clear();
        state.shrink_to(loads);
        log.clear();
        log.shrink_to(loads);
        JournalRoom { state, log }
    }

    /// Whether any of them has changed the account.
    pub fn has_changed(&self, address: &Address) -> bool {
        change_of(&self.diff, address).is_some()
            || self.restored.binary_search_by_key(address, |(address, _)| *address).is_ok()
    }
}

/// A transaction or system call that did not run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault<E: std::error::Error + 'static> {
    /// It breaks a rule. Says nothing yet about the block: the state may have been a guess.
    #[error(transparent)]
    Invalid(InvalidTx),
    /// The state was not read.
    #[error(transparent)]
    Read(E),
    /// The EVM implementation gave up; a defect of ours, not of the transaction.
    #[error("EVM: {0}")]
    Internal(String),
}

/// One EVM, set up for one block. An inspector looks on where there is one.
pub struct Kernel<'c, R: StateReader, I = ()> {
    pub(crate) machine: Machine<'c, R, I>,
    pub(crate) phases: Phases<'c, R, I>,
    pub(crate) chain_id: u64,
    /// Base fee and blob base fee of the block, in wei, whatever was waived for one message.
    pub(crate) base_fees: (u64, u128),
    clears_empty_accounts: bool,
    lists_accesses: bool,
    pub(crate) system_gas: SystemGas,
    /// Room of [`changes_noting`].
    places: AddressMap<usize>,
}

impl<R: StateReader, I> std::fmt::Debug for Kernel<'_, R, I> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kernel").finish_non_exhaustive()
    }
}

impl<'c, R: StateReader> Kernel<'c, R> {
    /// Sets up an EVM for the block with this header.
    pub fn new(
        rules: &Rules,
        header: &Header,
        codes: &'c CodeCache,
        reader: R,
        fees: FeePayment,
    ) -> Self {
        Self::inspected(rules, header, codes, reader, fees, ())
    }
}

impl<'c, R: StateReader, I> Kernel<'c, R, I> {
    pub(crate) fn inspected(
        rules: &Rules,
        header: &Header,
        codes: &'c CodeCache,
        reader: R,
        fees: FeePayment,
        inspector: I,
    ) -> Self {
        let database = LoggedDatabase::new(reader, codes, rules.has(Fork::Prague));
        let machine = Machine::inspected(rules, header, database, inspector);
        let block = &machine.inner.ctx.block;
        let blob_base_fee = block.blob_excess_gas_and_price.map(|blobs| blobs.blob_gasprice);
        let base_fees = (block.basefee, blob_base_fee.unwrap_or_default());
        Self {
            machine,
            phases: Phases::new(fees),
            chain_id: rules.chain_id,
            base_fees,
            clears_empty_accounts: rules.has(Fork::SpuriousDragon),
            lists_accesses: rules.has(Fork::Amsterdam),
            system_gas: SystemGas::new(rules),
            places: AddressMap::default(),
        }
    }

    /// Logs all slots that are looked at ([`ReadLog::seen`]) on every fork.
    pub const fn list_accesses(&mut self) {
        self.lists_accesses = true;
    }

    /// The reader, to point it at the next transaction.
    pub fn reader_mut(&mut self) -> &mut R {
        &mut self.machine.inner.ctx.journaled_state.database.reader
    }

    /// The reader, when the block is done.
    pub fn into_reader(self) -> R {
        self.machine.inner.ctx.journaled_state.database.reader
    }

    /// The inspector, when there is nothing more to look at.
    pub(crate) fn into_inspector(self) -> I {
        self.machine.inner.inspector
    }

    /// Runs one transaction. Its changes stay in the journal.
    ///
    /// # Errors
    /// [`Fault`]; the journal is then as it was before, though the read log is longer.
    pub fn transact(&mut self, tx: &PreparedTx) -> Result<Executed, Fault<R::Error>> {
        self.begin_tx(tx);
        let result = self.phases.run(&mut self.machine).map_err(to_fault)?;
        Ok(self.executed(tx, result))
    }

    /// As [`Kernel::transact`], with the inspector looking on.
    ///
    /// # Errors
    /// As [`Kernel::transact`].
    pub(crate) fn transact_inspected(
        &mut self,
        tx: &PreparedTx,
    ) -> Result<Executed, Fault<R::Error>>
    where
        I: Inspector<Ctx<'c, R>>,
    {
        self.begin_tx(tx);
        let result = self.phases.inspect_run(&mut self.machine).map_err(to_fault)?;
        Ok(self.executed(tx, result))
    }

    fn begin_tx(&mut self, tx: &PreparedTx) {
        self.phases.fee_due.set(None);
        self.machine.inner.precompiles.excess = 0;
        let journal = &mut self.machine.inner.ctx.journaled_state;
        if let Some(touched) = &mut journal.touched {
            // What overflows is refused before the balance is looked at.
            let spends = tx.env.max_balance_spending().unwrap_or(U256::MAX);
            let authorizes = !tx.env.authorization_list.is_empty();
            touched.begin_tx(tx.env.caller, spends, authorizes, &journal.database.log);
        }
        self.begin(tx.env.clone());
    }

    pub(crate) fn begin(&mut self, tx: TxEnv) {
        let context = &mut self.machine.inner.ctx;
        context.set_tx(tx);
        // A run that failed may have left an error that nobody has asked for.
        context.error = Ok(());
    }

    fn executed(&self, tx: &PreparedTx, result: ExecutionResult) -> Executed {
        let fee_due = self.phases.fee_due.get();
        let excess = self.machine.inner.precompiles.excess;
        Executed { result: to_result(tx, result), fee_due, excess }
    }

    /// From now on each transaction pays its fee itself.
    pub const fn pay_fees(&mut self) {
        self.phases.fees = FeePayment::Direct;
    }

    /// From now on notes what each transaction touches.
    pub fn note_touches(&mut self, room: Touched) {
        self.machine.inner.ctx.journaled_state.touched = Some(Box::new(room));
    }

    /// Has the journal use the room that another one has taken, if it is empty itself.
    pub fn use_room(&mut self, room: JournalRoom) {
        let journal = &mut self.machine.inner.ctx.journaled_state;
        if journal.inner.state.is_empty() && journal.database.log == ReadLog::default() {
            let JournalRoom { state, log } = room;
            journal.inner.state = state;
            journal.database.log = log;
        }
    }

    /// Bytes that its journal and the notes of [`Kernel::note_touches`] have taken; what accounts
    /// keep their slots in is counted by the slots that were loaded.
    pub fn memory_bytes(&self) -> usize {
        let journal = &self.machine.inner.ctx.journaled_state;
        let log = &journal.database.log;
        let accounts = bytes::of_table::<(Address, RevmAccount)>(journal.inner.state.capacity());
        let slots = bytes::of_table::<(U256, EvmStorageSlot)>(log.slots.len());
        let touched = journal.touched.as_deref().map_or(0, Touched::memory_bytes);
        let entries = bytes::of_vec(&journal.inner.journal);
        accounts + slots + entries + log.memory_bytes() + touched
    }

    /// What the transactions have touched since [`Kernel::note_touches`].
    pub fn touched(&self) -> Option<&Touched> {
        self.machine.inner.ctx.journaled_state.touched.as_deref()
    }

    /// Exchanges the notes of [`Kernel::note_touches`] for others, which are added to from now on.
    pub fn swap_touched(&mut self, other: &mut Touched) {
        if let Some(touched) = &mut self.machine.inner.ctx.journaled_state.touched {
            std::mem::swap(&mut **touched, other);
        }
    }

    /// Takes the notes out; none are made any more.
    pub fn take_touched(&mut self) -> Touched {
        self.machine.inner.ctx.journaled_state.touched.take().map(|it| *it).unwrap_or_default()
    }

    /// Runs one transaction as [`Kernel::transact`] does, where transactions of its sender before
    /// it may be missing from the journal: they are taken to have been there, so that its nonce is
    /// right, and `true` says so.
    ///
    /// # Errors
    /// As [`Kernel::transact`].
    pub fn transact_assuming(
        &mut self,
        tx: &PreparedTx,
    ) -> (bool, Result<Executed, Fault<R::Error>>) {
        match self.assume_nonce(tx) {
            Ok(is_assumed) => (is_assumed, self.transact(tx)),
            Err(error) => (false, Err(Fault::Read(error))),
        }
    }

    /// Gives the sender the nonce that the transaction asks for, if its own is lower, and says
    /// whether it was.
    pub(crate) fn assume_nonce(&mut self, tx: &PreparedTx) -> Result<bool, R::Error> {
        let journal = &mut self.machine.inner.ctx.journaled_state;
        let loaded = journal.inner.load_account_mut(&mut journal.database, tx.env.caller);
        if let Err(ReadFault(error)) = loaded {
            return Err(error);
        }
        let mut is_assumed = false;
        if let Some(sender) = journal.inner.state.get_mut(&tx.env.caller)
            && sender.info.nonce < tx.env.nonce
        {
            sender.info.nonce = tx.env.nonce;
            sender.original_info_mut().nonce = tx.env.nonce;
            is_assumed = true;
        }
        Ok(is_assumed)
    }

    /// Ends a journal that notes touches.
    pub fn into_history(mut self) -> History {
        let touched = self.take_touched();
        let journal = self.machine.inner.ctx.journaled_state;
        let LoggedDatabase { mut log, codes, .. } = journal.database;
        let clears = self.clears_empty_accounts;
        let mut same = Same::default();
        let (state, places) = (&journal.inner.state, &mut self.places);
        let diff = changes_noting(state, &log, codes, clears, places, Some(&mut same));
        let restored = restored(&diff, &touched, &same);
        let mut loaded = TagFilter::default();
        log.accounts.iter().for_each(|(address, _)| loaded.add(tag(address)));
        log.clear();
        let (state, ledger) = (journal.inner.state, AddressMap::default());
        History { diff, touched, restored, state, ledger, loaded, log }
    }

    /// Whether an account has code.
    ///
    /// # Errors
    /// Only if the account cannot be read.
    pub fn has_code(&mut self, address: Address) -> Result<bool, R::Error> {
        let journal = &mut self.machine.inner.ctx.journaled_state;
        let account = journal
            .inner
            .load_account(&mut journal.database, address)
            .map_err(|ReadFault(error)| error)?;
        Ok(account.data.info.code_hash != KECCAK256_EMPTY)
    }

    /// Adds `amount` wei to an account and touches it, which ends an empty one (EIP-161).
    ///
    /// # Errors
    /// Only if the account cannot be read.
    pub fn credit(&mut self, address: Address, amount: U256) -> Result<(), R::Error> {
        let journal = &mut self.machine.inner.ctx.journaled_state;
        journal
            .inner
            .balance_incr(&mut journal.database, address, amount)
            .map_err(|ReadFault(error)| error)?;
        journal.commit_tx();
        Ok(())
    }

    /// Takes all wei from an account, which is touched, and says how much it was.
    ///
    /// # Errors
    /// Only if the account cannot be read.
    pub fn drain(&mut self, address: Address) -> Result<U256, R::Error> {
        let journal = &mut self.machine.inner.ctx.journaled_state;
        let mut account = journal
            .inner
            .load_account_mut(&mut journal.database, address)
            .map_err(|ReadFault(error)| error)?
            .data;
        let balance = *account.balance();
        account.set_balance(U256::ZERO);
        journal.commit_tx();
        Ok(balance)
    }

    /// Forgets what the journal and the read log have, keeping their room. Notes of touches stay.
    pub fn forget(&mut self) {
        let journal = &mut self.machine.inner.ctx.journaled_state;
        let mut state = std::mem::take(&mut journal.inner.state);
        journal.finalize();
        state.clear();
        journal.inner.state = state;
        journal.database.log.clear();
        journal.database.begin_anew();
    }

    /// Takes all changes out of the journal, in canonical form, and what was read since the last
    /// time. After a [`Fault`] the changes are those of the transactions before it.
    pub fn take(&mut self) -> (StateDiff, ReadLog) {
        let journal = &mut self.machine.inner.ctx.journaled_state;
        let mut log = std::mem::take(&mut journal.database.log);
        let mut state = std::mem::take(&mut journal.inner.state);
        journal.finalize();
        let (codes, clears) = (journal.database.codes, self.clears_empty_accounts);
        let diff = changes_noting(&state, &log, codes, clears, &mut self.places, None);
        if self.lists_accesses {
            let seen = state.iter().flat_map(|(address, account)| {
                account.storage.keys().map(move |slot| (*address, *slot))
            });
            log.seen = seen.collect();
        }
        // The map goes back empty: the next transaction finds its memory.
        state.clear();
        let journal = &mut self.machine.inner.ctx.journaled_state;
        journal.inner.state = state;
        journal.database.begin_anew();
        (diff, log)
    }
}

/// What was changed since the log was begun, in canonical form. Codes that were deployed are kept.
pub(crate) fn changes(
    state: &EvmState,
    log: &ReadLog,
    codes: &CodeCache,
    clears_empty_accounts: bool,
) -> StateDiff {
    changes_noting(state, log, codes, clears_empty_accounts, &mut AddressMap::default(), None)
}

/// Accounts and slots that may be as they were when the log was begun, so that the diff does not
/// show them: tags, which others may share.
#[derive(Default)]
struct Same {
    accounts: TagFilter,
    /// Accounts any of whose slots may be.
    all_slots: TagFilter,
    slots: TagFilter,
}

impl Same {
    const fn slot_tag(address: &Address, slot: &U256) -> u32 {
        tag(address) ^ (slot.as_limbs()[0] as u32).wrapping_mul(0x9e37_79b1)
    }

    fn may_have(&self, address: &Address) -> bool {
        self.accounts.passes(tag(address))
    }

    fn may_have_slot(&self, address: &Address, slot: &U256) -> bool {
        self.slots.passes(Self::slot_tag(address, slot)) || self.all_slots.passes(tag(address))
    }
}

/// As [`changes`]; what it does not show is noted. `places` is room for where accounts are among
/// the changes.
fn changes_noting(
    state: &EvmState,
    log: &ReadLog,
    codes: &CodeCache,
    clears_empty_accounts: bool,
    places: &mut AddressMap<usize>,
    mut same: Option<&mut Same>,
) -> StateDiff {
    let accounts = Vec::with_capacity(log.accounts.len());
    let mut diff = StateDiff { accounts, codes: Vec::new() };
    places.clear();
    for (address, before) in &log.accounts {
        let Some(account) = state.get(address) else { continue };
        let after = after(account, *before, clears_empty_accounts);
        let wiped = account.is_selfdestructed() && before.is_some();
        if let Some(changed) = after
            && changed.code_hash != KECCAK256_EMPTY
            && before.is_none_or(|before| before.code_hash != changed.code_hash)
            && let Some(code) = &account.info.code
        {
            codes.insert(changed.code_hash, code.clone());
            diff.codes.push((changed.code_hash, code.original_bytes()));
        }
        let mut slots = Vec::new();
        let began_anew = wiped || account.is_created();
        if after.is_some() && began_anew {
            // The slots of such an account were not read from the state: they began as zero.
            slots.extend(account.storage.iter().map(|(slot, value)| SlotDiff {
                slot: *slot,
                before: U256::ZERO,
                after: value.present_value,
            }));
        }
        if let Some(same) = &mut same {
            let is_touched = account.is_touched();
            if !is_touched || (after == *before && !wiped) {
                same.accounts.add(tag(address));
            }
            if !is_touched || after.is_none() || began_anew {
                same.all_slots.add(tag(address));
            }
        }
        if account.is_touched() || wiped {
            if after.is_some() && !began_anew {
                places.insert(*address, diff.accounts.len());
            }
            diff.accounts.push(AccountDiff {
                address: *address,
                before: *before,
                after,
                wiped,
                slots,
            });
        }
    }
    for (address, slot, before) in &log.slots {
        let Some(changed) = places.get(address).and_then(|place| diff.accounts.get_mut(*place))
        else {
            continue;
        };
        let Some(value) = state.get(address).and_then(|account| account.storage.get(slot)) else {
            continue;
        };
        if let Some(same) = &mut same
            && value.present_value == *before
        {
            same.slots.add(Same::slot_tag(address, slot));
        }
        changed.slots.push(SlotDiff { slot: *slot, before: *before, after: value.present_value });
    }
    diff.canonical()
}

/// The change of an account in a canonical diff.
fn change_of<'d>(diff: &'d StateDiff, address: &Address) -> Option<&'d AccountDiff> {
    let place = diff.accounts.binary_search_by_key(address, |change| change.address).ok()?;
    diff.accounts.get(place)
}

/// What some transaction changed, and the diff of all of them does not show.
fn restored(diff: &StateDiff, touched: &Touched, same: &Same) -> Vec<(Address, Option<U256>)> {
    let (accounts, slots) = touched.all();
    let fields = accounts.iter().filter(|touch| {
        touch.is_change()
            && same.may_have(&touch.address)
            && change_of(diff, &touch.address)
                .is_none_or(|change| change.before == change.after && !change.wiped)
    });
    let slots = slots.iter().filter(|touch| {
        touch.before != touch.after
            && same.may_have_slot(&touch.address, &touch.slot)
            && change_of(diff, &touch.address).is_none_or(|change| {
                change.slots.binary_search_by_key(&touch.slot, |slot| slot.slot).is_err()
            })
    });
    let fields = fields.map(|touch| (touch.address, None));
    let slots = slots.map(|touch| (touch.address, Some(touch.slot)));
    let mut restored: Vec<_> = fields.chain(slots).collect();
    restored.sort_unstable();
    restored.dedup();
    restored
}

/// The account after the changes; `None` if it does not exist then.
fn after(
    account: &RevmAccount,
    before: Option<Account>,
    clears_empty_accounts: bool,
) -> Option<Account> {
    if account.is_selfdestructed_locally() {
        // Destroyed, and not looked at by a later transaction, which would have reset it.
        return None;
    }
    if !account.is_touched() {
        // One that was empty is gone since it was touched.
        return before.filter(|_| !account.is_selfdestructed());
    }
    let present = to_account(&account.info);
    (!(clears_empty_accounts && present.is_empty())).then_some(present)
}

pub(crate) fn to_fault<E: std::error::Error + 'static>(error: EVMError<ReadFault<E>>) -> Fault<E> {
    match error {
        EVMError::Transaction(invalid) => Fault::Invalid(InvalidTx(invalid)),
        EVMError::Database(ReadFault(error)) => Fault::Read(error),
        EVMError::Header(header) => Fault::Internal(header.to_string()),
        EVMError::Custom(message) => Fault::Internal(message),
        EVMError::CustomAny(error) => Fault::Internal(error.to_string()),
    }
}

fn to_result(tx: &PreparedTx, result: ExecutionResult) -> TxResult {
    let gas = result.gas();
    let gas = TxGas {
        used: gas.tx_gas_used(),
        regular: gas.block_regular_gas_used(),
        state: gas.block_state_gas_used(),
    };
    let created = result.created_address();
    let (status, logs, output) = match result {
        ExecutionResult::Success { logs, output, .. } => {
            (TxStatus::Success, logs, output.into_data())
        }
        ExecutionResult::Revert { logs, output, .. } => (TxStatus::Revert, logs, output),
        ExecutionResult::Halt { reason, logs, .. } => {
            (TxStatus::Halt(format!("{reason:?}")), logs, Bytes::new())
        }
    };
    TxResult { tx_type: tx.tx_type, status, gas, logs, output, created }
}

#[cfg(test)]
pub(crate) mod tests;

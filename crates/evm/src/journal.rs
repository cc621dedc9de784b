//! The EVM implementation's journal, which also notes what each transaction depends on and leaves
//! behind, for those who keep many transactions in one journal.
//!
//! Every method but a few only hands on. What is noted comes from three places:
//! * entries of the journal say which accounts and slots a transaction came upon first; those of a
//!   frame that is reverted are copied before they are gone, since it depends on them all the same;
//! * an account or slot that is warm from the start leaves no entry; the database logs it if it is
//!   loaded, the access list names it;
//! * a balance of which more than "it suffices" was seen is noted where that is asked for.
//!
//! Values need no notes: the journal itself keeps, of each account and slot, what it was when the
//! transaction came upon it.
//!
//! A journal that lasts beside others notes what each transaction changed ([`Changed`]).

use crate::{StateReader, database::LoggedDatabase, lasting::Changed, touched::Touched};
use fugue_types::{Address, AddressMap, B256, HashSet, Log, U256};
use revm::{
    bytecode::Bytecode,
    context::JournalEntry,
    context::journal::JournalInner,
    context_interface::{
        JournalTr,
        context::{SStoreResult, SelfDestructResult},
        journaled_state::{
            AccountInfoLoad, AccountLoad, JournalCheckpoint, JournalLoadError, StateLoad,
            TransferError, account::JournaledAccount,
        },
    },
    database_interface::Database,
    inspector::JournalExt,
    primitives::{AddressSet, hardfork::SpecId},
    state::{Account, AccountStatus, EvmState},
};

/// A journal that can note what transactions touch.
#[derive(Debug)]
pub(crate) struct Journal<'c, R> {
    pub(crate) database: LoggedDatabase<'c, R>,
    pub(crate) inner: JournalInner<JournalEntry>,
    /// Set where it is noted.
    pub(crate) touched: Option<Box<Touched>>,
    /// Set where the journal lasts beside others.
    pub(crate) changed: Option<Box<Changed>>,
}

type Fault<'c, R> = <LoggedDatabase<'c, R> as Database>::Error;
type LoadFault<'c, R> = JournalLoadError<Fault<'c, R>>;

impl<'c, R: StateReader> Journal<'c, R> {
    /// Notes that more of an account's balance was seen than that it suffices.
    fn see_balance(&mut self, address: Address) {
        if let Some(touched) = &mut self.touched {
            touched.see_balance(address);
        }
    }

    /// What the transaction touched, and is empty, is not there in the next one, nor has it any
    /// storage. Source: EIP-161.
    ///
    /// It counts as untouched, since to be touched is taken for being there, where an authority is
    /// refunded for it. Source: EIP-7702, "Behavior", step 7.
    fn clear_empty(&mut self) {
        let JournalInner { state, journal, cfg, .. } = &mut self.inner;
        let may_have_vacant = self.database.has_vacant && cfg.spec.is_enabled_in(SpecId::PRAGUE);
        let may_have_empty =
            self.database.has_empty && cfg.spec.is_enabled_in(SpecId::SPURIOUS_DRAGON);
        if !may_have_vacant && !may_have_empty {
            return;
        }
        for entry in journal.iter() {
            if let JournalEntry::AccountTouched { address } = entry
                && let Some(account) = state.get_mut(address)
                && account.is_empty()
                && account.original_info_mut().is_empty()
                && !account.is_selfdestructed_locally()
            {
                account.unmark_touch();
                if !account.is_loaded_as_not_existing() {
                    account.storage.clear();
                    // Created: its slots are zero, whatever the state before has.
                    account.status |= AccountStatus::LoadedAsNotExisting
                        | AccountStatus::SelfDestructed
                        | AccountStatus::Created;
                }
            }
        }
    }

    /// Notes that a contract is to be created.
    pub(crate) fn see_creation(&mut self, creator: Address, sees_balance: bool) {
        if let Some(touched) = &mut self.touched {
            touched.see_nonces();
            if sees_balance {
                touched.see_balance(creator);
            }
        }
    }
}

impl<'c, R: StateReader> JournalTr for Journal<'c, R> {
    type Database = LoggedDatabase<'c, R>;
    type State = EvmState;
    type JournaledAccount<'a>
        = JournaledAccount<'a, LoggedDatabase<'c, R>, JournalEntry>
    where
        Self: 'a;

    fn new(database: Self::Database) -> Self {
        Self { database, inner: JournalInner::new(), touched: None, changed: None }
    }

    fn db_and_state(&self) -> (&Self::Database, &EvmState) {
        (&self.database, &self.inner.state)
    }

    fn db_and_state_mut(&mut self) -> (&mut Self::Database, &mut EvmState) {
        (&mut self.database, &mut self.inner.state)
    }

    fn sload_skip_cold_load(
        &mut self,
        address: Address,
        key: U256,
        skip_cold_load: bool,
    ) -> Result<StateLoad<U256>, LoadFault<'c, R>> {
        self.inner.sload_assume_account_present(&mut self.database, address, key, skip_cold_load)
    }

    fn sstore_skip_cold_load(
        &mut self,
        address: Address,
        key: U256,
        value: U256,
        skip_cold_load: bool,
    ) -> Result<StateLoad<SStoreResult>, LoadFault<'c, R>> {
        let database = &mut self.database;
        self.inner.sstore_assume_account_present(database, address, key, value, skip_cold_load)
    }

    fn tload(&mut self, address: Address, key: U256) -> U256 {
        self.inner.tload(address, key)
    }

    fn tstore(&mut self, address: Address, key: U256, value: U256) {
        self.inner.tstore(address, key, value);
    }

    fn log(&mut self, log: Log) {
        self.inner.log(log);
    }

    fn take_logs(&mut self) -> Vec<Log> {
        self.inner.take_logs()
    }

    fn logs(&self) -> &[Log] {
        &self.inner.logs
    }

    /// All of the balance goes, so it is seen.
    fn selfdestruct(
        &mut self,
        address: Address,
        target: Address,
        skip_cold_load: bool,
    ) -> Result<StateLoad<SelfDestructResult>, LoadFault<'c, R>> {
        self.see_balance(address);
        self.inner.selfdestruct(&mut self.database, address, target, skip_cold_load)
    }

    fn warm_access_list(&mut self, access_list: AddressMap<HashSet<U256>>) {
        if let Some(touched) = &mut self.touched {
            touched.expect(&access_list);
        }
        self.inner.warm_addresses.set_access_list(access_list);
    }

    fn warm_coinbase_account(&mut self, address: Address) {
        self.inner.warm_addresses.set_coinbase(address);
    }

    fn warm_precompiles(&mut self, addresses: &AddressSet) {
        self.inner.warm_addresses.set_precompile_addresses(addresses);
    }

    fn precompile_addresses(&self) -> &AddressSet {
        self.inner.warm_addresses.precompiles()
    }

    fn set_spec_id(&mut self, spec_id: SpecId) {
        self.inner.cfg.spec = spec_id;
    }

    fn set_eip7708_config(&mut self, disabled: bool, eip8246_delayed_clear_disabled: bool) {
        self.inner.set_eip7708_config(disabled, eip8246_delayed_clear_disabled);
    }

    fn touch_account(&mut self, address: Address) {
        self.inner.touch(address);
    }

    fn transfer(
        &mut self,
        from: Address,
        to: Address,
        balance: U256,
    ) -> Result<Option<TransferError>, Fault<'c, R>> {
        let failed = self.inner.transfer(&mut self.database, from, to, balance)?;
        if failed.is_some() {
            self.see_balance(from);
        }
        Ok(failed)
    }

    fn transfer_loaded(
        &mut self,
        from: Address,
        to: Address,
        balance: U256,
    ) -> Option<TransferError> {
        let failed = self.inner.transfer_loaded(from, to, balance);
        // To oneself nothing is moved, and no entry says that the balance sufficed.
        if failed.is_some() || (from == to && !balance.is_zero()) {
            self.see_balance(from);
        }
        failed
    }

    #[expect(deprecated, reason = "the trait has it")]
    fn caller_accounting_journal_entry(
        &mut self,
        address: Address,
        old_balance: U256,
        bump_nonce: bool,
    ) {
        self.inner.caller_accounting_journal_entry(address, old_balance, bump_nonce);
    }

    fn balance_incr(&mut self, address: Address, balance: U256) -> Result<(), Fault<'c, R>> {
        self.inner.balance_incr(&mut self.database, address, balance)
    }

    #[expect(deprecated, reason = "the trait has it")]
    fn nonce_bump_journal_entry(&mut self, address: Address) {
        self.inner.nonce_bump_journal_entry(address);
    }

    fn load_account(&mut self, address: Address) -> Result<StateLoad<&Account>, Fault<'c, R>> {
        self.inner.load_account(&mut self.database, address)
    }

    fn load_account_with_code(
        &mut self,
        address: Address,
    ) -> Result<StateLoad<&Account>, Fault<'c, R>> {
        self.inner.load_code(&mut self.database, address)
    }

    fn load_account_delegated(
        &mut self,
        address: Address,
    ) -> Result<StateLoad<AccountLoad>, Fault<'c, R>> {
        self.inner.load_account_delegated(&mut self.database, address)
    }

    fn load_account_mut_skip_cold_load(
        &mut self,
        address: Address,
        skip_cold_load: bool,
    ) -> Result<StateLoad<Self::JournaledAccount<'_>>, LoadFault<'c, R>> {
        self.inner.load_account_mut_optional(&mut self.database, address, skip_cold_load)
    }

    fn load_account_mut_optional_code(
        &mut self,
        address: Address,
        load_code: bool,
    ) -> Result<StateLoad<Self::JournaledAccount<'_>>, Fault<'c, R>> {
        self.inner
            .load_account_mut_optional_code(&mut self.database, address, load_code, false)
            .map_err(JournalLoadError::unwrap_db_error)
    }

    fn set_code_with_hash(&mut self, address: Address, code: Bytecode, hash: B256) {
        self.inner.set_code_with_hash(address, code, hash);
    }

    fn checkpoint(&mut self) -> JournalCheckpoint {
        self.inner.checkpoint()
    }

    fn checkpoint_commit(&mut self) {
        self.inner.checkpoint_commit();
    }

    fn checkpoint_revert(&mut self, checkpoint: JournalCheckpoint) {
        if let Some(touched) = &mut self.touched {
            touched.keep_reverted(&self.inner.journal, checkpoint.journal_i);
        }
        if let Some(changed) = &mut self.changed {
            let entries = self.inner.journal.get(checkpoint.journal_i..);
            changed.see_reverted(entries.unwrap_or_default());
        }
        self.inner.checkpoint_revert(checkpoint);
    }

    fn create_account_checkpoint(
        &mut self,
        caller: Address,
        address: Address,
        balance: U256,
        spec_id: SpecId,
    ) -> Result<JournalCheckpoint, TransferError> {
        self.inner.create_account_checkpoint(caller, address, balance, spec_id)
    }

    fn depth(&self) -> usize {
        self.inner.depth
    }

    fn commit_tx(&mut self) {
        if let Some(touched) = &mut self.touched {
            touched.end_tx(&mut self.inner, &self.database.log);
        }
        match &mut self.changed {
            Some(changed) => {
                changed.end_tx(&mut self.inner, self.database.codes);
                // Nobody asks for it, and it would grow with the block.
                self.database.log.accounts.clear();
                self.database.log.slots.clear();
            }
            None => self.clear_empty(),
        }
        self.inner.commit_tx();
    }

    fn discard_tx(&mut self) {
        if let Some(touched) = &mut self.touched {
            touched.drop_tx();
        }
        if let Some(changed) = &mut self.changed {
            changed.drop_tx();
        }
        self.inner.discard_tx();
    }

    fn finalize(&mut self) -> EvmState {
        self.inner.finalize()
    }

    /// Without the code it is asked for the balance, or for what depends on it.
    fn load_account_info_skip_cold_load(
        &mut self,
        address: Address,
        load_code: bool,
        skip_cold_load: bool,
    ) -> Result<AccountInfoLoad<'_>, LoadFault<'c, R>> {
        if !load_code {
            self.see_balance(address);
        }
        let spec = self.inner.cfg.spec;
        let database = &mut self.database;
        self.inner.load_account_optional(database, address, load_code, skip_cold_load).map(|load| {
            let is_empty = load.state_clear_aware_is_empty(spec);
            AccountInfoLoad::new(&load.data.info, load.is_cold, is_empty)
        })
    }
}

impl<R: StateReader> JournalExt for Journal<'_, R> {
    fn journal(&self) -> &[JournalEntry] {
        &self.inner.journal
    }
}

//! The accounts that a transaction looks at, as they were, or what it changed of them:
//! go-ethereum's `prestateTracer`, and the form that it had at first, `prestateTracerLegacy`.
//!
//! It looks at its sender, its target, the author of the block and its authorities (EIP-7702), and
//! at what instructions name. What they were is read when it has run, from the state before it.

use crate::{
    CallError, Place, TraceBudget, TraceError,
    trace::{run::TraceCtx, words::Instruction},
};
use alloy_rpc_types_trace::geth::{AccountState, PreStateConfig};
use fugue_chainspec::Fork;
use fugue_state::Account;
use fugue_types::{Address, B256, Bytes, HashSet, KECCAK256_EMPTY, TxKind, U256};
use revm::{
    bytecode::opcode,
    context::TxEnv,
    context_interface::either::Either,
    interpreter::{
        CreateInputs, InstructionResult, Interpreter,
        interpreter_types::{InputsTr, Jumps, LoopControl, RuntimeFlag},
    },
    primitives::hardfork::SpecId,
    state::{Account as RevmAccount, EvmState},
};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Bytes that a byte of a code takes, with its digits in the answer.
const CODE_BYTE: usize = 3;
/// Words on the stack from which on a call is looked at. Source: go-ethereum,
/// `eth/tracers/native/prestate.go`.
const CALL_STACK_MIN: usize = 5;

/// An account, or what is new of it. The published type has no hash of the code.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct TracedAccount {
    /// Balance, code, nonce, and slots.
    #[serde(flatten)]
    pub state: AccountState,
    /// keccak256 of the code, if there is one, or was.
    #[serde(rename = "codeHash", skip_serializing_if = "Option::is_none")]
    pub code_hash: Option<B256>,
}

/// Accounts by address.
pub type TracedAccounts = BTreeMap<Address, TracedAccount>;

/// An account as it was, as `prestateTracerLegacy` tells of it: nothing is left out, also of one
/// that was not there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct LegacyAccount {
    /// In wei.
    pub balance: U256,
    /// Transactions sent, or contracts created.
    pub nonce: u64,
    /// Empty if there was none.
    pub code: Bytes,
    /// The slots that were looked at, also those that were zero.
    pub storage: BTreeMap<B256, B256>,
}

/// What a transaction looked at, or changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum StateTrace {
    /// All that it looked at, as it was.
    Before(TracedAccounts),
    /// The same in the form that it had at first.
    Legacy(BTreeMap<Address, LegacyAccount>),
    /// What it changed.
    Diff {
        /// What is new of the accounts, but for those that were destroyed.
        post: TracedAccounts,
        /// The accounts as they were, but for those that were not there.
        pre: TracedAccounts,
    },
}

/// What is wanted.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct StateConfig {
    pub(super) published: PreStateConfig,
    /// Also accounts that were empty.
    pub(super) include_empty: bool,
}

/// Notes what is looked at.
#[derive(Debug, Clone, Default)]
pub(super) struct PreState {
    config: StateConfig,
    /// Whether it looks at what the first form of it looked at.
    is_legacy: bool,
    accounts: BTreeMap<Address, BTreeSet<U256>>,
    created: HashSet<Address>,
    destroyed: HashSet<Address>,
    /// The next instruction, and what it names.
    next: Instruction,
    named: Option<Named>,
}

#[derive(Debug, Clone, Copy)]
enum Named {
    Slot(Address, U256),
    Account(Address),
    Callee(Address),
    /// Who is destroyed, and who gets the rest.
    End(Address, Address),
}

impl PreState {
    pub(super) fn new(config: StateConfig) -> Self {
        Self { config, ..Self::default() }
    }

    /// In the form that it had at first. It knows no author of the block, no heirs of what is
    /// destroyed, and no delegations, and it notes what an instruction names before its gas is
    /// paid. Source: go-ethereum, `eth/tracers/js/internal/tracers/prestate_tracer_legacy.js`.
    pub(super) fn legacy() -> Self {
        Self { is_legacy: true, ..Self::default() }
    }

    fn look(&mut self, address: Address) -> &mut BTreeSet<U256> {
        self.accounts.entry(address).or_default()
    }

    pub(super) fn step(&mut self, interp: &Interpreter) {
        self.next = Instruction::next(interp);
        let stack = interp.stack.data();
        let word = |from_top: usize| stack.iter().rev().nth(from_top).copied();
        let address = |from_top: usize| word(from_top).map(|word| Address::from_word(word.into()));
        let here = interp.input.target_address();
        self.named = match interp.bytecode.opcode() {
            opcode::SLOAD | opcode::SSTORE => word(0).map(|slot| Named::Slot(here, slot)),
            opcode::BALANCE | opcode::EXTCODESIZE | opcode::EXTCODECOPY | opcode::EXTCODEHASH => {
                address(0).map(Named::Account)
            }
            opcode::SELFDESTRUCT if !self.is_legacy => {
                address(0).map(|heir| Named::End(here, heir))
            }
            opcode::CALL | opcode::CALLCODE | opcode::DELEGATECALL | opcode::STATICCALL
                if stack.len() >= CALL_STACK_MIN =>
            {
                address(1).map(Named::Callee)
            }
            _ => None,
        };
    }

    /// An instruction that was refused, as for want of gas, has looked at nothing; not so at first.
    pub(super) fn step_end(&mut self, interp: &mut Interpreter, context: &TraceCtx<'_>) {
        let Some(named) = self.named.take() else { return };
        let is_refused = |it| self.next.is_refused(it) && !self.is_legacy;
        let ended = interp.bytecode.instruction_result();
        if ended.is_some_and(|it| is_refused(it) || it == InstructionResult::StackUnderflow) {
            return;
        }
        match named {
            Named::Slot(address, slot) => {
                self.look(address).insert(slot);
            }
            Named::Account(address) => {
                self.look(address);
            }
            Named::Callee(address) => {
                self.look(address);
                if self.is_legacy {
                    return;
                }
                let callee = context.journaled_state.inner.state.get(&address);
                let code = callee.and_then(|callee| callee.info.code.as_ref());
                if let Some(delegate) = code.and_then(|code| code.eip7702_address()) {
                    self.look(delegate);
                }
            }
            Named::End(address, heir) => {
                self.look(heir);
                // Source: EIP-6780.
                let is_kept = interp.runtime_flag.spec_id().is_enabled_in(SpecId::CANCUN);
                if !is_kept || self.created.contains(&address) {
                    self.destroyed.insert(address);
                }
            }
        }
    }

    pub(super) fn create(&mut self, context: &TraceCtx<'_>, inputs: &CreateInputs) {
        let creator = context.journaled_state.inner.state.get(&inputs.caller());
        let nonce = creator.map(|creator| creator.info.nonce).unwrap_or_default();
        let created = inputs.created_address(nonce);
        self.look(created);
        self.created.insert(created);
    }

    /// What was looked at; `after` is the state after the transaction, as far as it is known.
    ///
    /// # Errors
    /// If the state is not read, or what is told does not fit.
    pub(super) fn into_trace(
        mut self,
        place: &Place<'_>,
        tx: &TxEnv,
        after: &EvmState,
        budget: &TraceBudget,
    ) -> Result<StateTrace, TraceError> {
        let reader = Reader { place, budget };
        if self.is_legacy {
            return self.legacy_before(&reader, tx);
        }
        self.look(place.header.beneficiary);
        self.look(tx.caller);
        if let TxKind::Call(to) = tx.kind {
            self.look(to);
            if place.rules.has(Fork::Prague)
                && let Some(delegate) = reader.delegate(to)?
            {
                self.look(delegate);
            }
        }
        for authorization in &tx.authorization_list {
            if let Either::Right(recovered) = authorization
                && let Some(authority) = recovered.authority()
            {
                self.look(authority);
            }
        }
        if self.config.published.is_diff_mode() {
            self.diff(&reader, after)
        } else {
            self.before(&reader)
        }
    }

    fn before(self, reader: &Reader<'_>) -> Result<StateTrace, TraceError> {
        let mut before = TracedAccounts::new();
        for (address, slots) in &self.accounts {
            let was = reader.account(*address)?;
            if was.is_empty() && !self.config.include_empty {
                continue;
            }
            let mut told = self.told(reader, was)?;
            if self.config.published.storage_enabled() {
                for slot in slots {
                    let value = reader.slot(*address, *slot)?;
                    told.state.storage.insert((*slot).into(), value.into());
                }
            }
            before.insert(*address, told);
        }
        Ok(StateTrace::Before(before))
    }

    /// Where the script of go-ethereum reads the state as it is by then, and takes back what it
    /// knows to have changed, this is the state before.
    fn legacy_before(mut self, reader: &Reader<'_>, tx: &TxEnv) -> Result<StateTrace, TraceError> {
        self.look(tx.caller);
        match tx.kind {
            TxKind::Call(to) => {
                self.look(to);
            }
            TxKind::Create => {
                let nonce = reader.account(tx.caller)?.nonce;
                self.accounts.remove(&tx.caller.create(nonce));
            }
        }
        let mut before = BTreeMap::new();
        for (address, slots) in &self.accounts {
            let Account { nonce, balance, code_hash } = reader.account(*address)?;
            let code = reader.code(code_hash, None)?;
            let mut storage = BTreeMap::<B256, B256>::new();
            for slot in slots {
                storage.insert((*slot).into(), reader.slot(*address, *slot)?.into());
            }
            before.insert(*address, LegacyAccount { balance, nonce, code, storage });
        }
        Ok(StateTrace::Legacy(before))
    }

    fn diff(self, reader: &Reader<'_>, after: &EvmState) -> Result<StateTrace, TraceError> {
        let (mut pre, mut post) = (TracedAccounts::new(), TracedAccounts::new());
        for (address, slots) in &self.accounts {
            let was = reader.account(*address)?;
            let mut told = self.told(reader, was)?;
            let mut new = TracedAccount::default();
            let is_destroyed = self.destroyed.contains(address);
            let account = after.get(address);
            let (is, code) = account.map_or((was, None), account_now);
            if !is_destroyed {
                new.state.balance = (is.balance != was.balance).then_some(is.balance);
                // A nonce of zero is left out, though it is new.
                new.state.nonce = (is.nonce != was.nonce && is.nonce != 0).then_some(is.nonce);
                if is.code_hash != was.code_hash {
                    new.code_hash = Some(is.code_hash);
                    if self.config.published.code_enabled() {
                        new.state.code = Some(reader.code(is.code_hash, code)?);
                    }
                }
            }
            let mut is_changed = is != was;
            if self.config.published.storage_enabled() {
                for slot in slots {
                    let value = reader.slot(*address, *slot)?;
                    let now = account.map_or(value, |account| slot_now(account, *slot, value));
                    if is_destroyed || (value != now && !value.is_zero()) {
                        told.state.storage.insert((*slot).into(), value.into());
                    }
                    is_changed |= value != now;
                    if value != now && !now.is_zero() {
                        new.state.storage.insert((*slot).into(), now.into());
                    }
                }
            }
            if is_changed && !is_destroyed {
                post.insert(*address, new);
            }
            if (is_changed || is_destroyed) && !was.is_empty() {
                pre.insert(*address, told);
            }
        }
        Ok(StateTrace::Diff { post, pre })
    }

    /// An account as it was, without its slots.
    fn told(&self, reader: &Reader<'_>, was: Account) -> Result<TracedAccount, TraceError> {
        let shows_code = self.config.published.code_enabled() && was.has_code();
        let code = shows_code.then(|| reader.code(was.code_hash, None)).transpose()?;
        Ok(TracedAccount {
            state: AccountState::from_account_info(was.nonce, was.balance, code),
            code_hash: was.has_code().then_some(was.code_hash),
        })
    }
}

/// The state before.
struct Reader<'r> {
    place: &'r Place<'r>,
    budget: &'r TraceBudget,
}

impl Reader<'_> {
    fn account(&self, address: Address) -> Result<Account, TraceError> {
        let found = self.place.view.account(address).map_err(CallError::State)?;
        Ok(found.unwrap_or_default())
    }

    fn slot(&self, address: Address, slot: U256) -> Result<U256, TraceError> {
        Ok(self.place.view.slot(address, slot).map_err(CallError::State)?)
    }

    /// A code, which may be known already.
    fn code(&self, hash: B256, known: Option<Bytes>) -> Result<Bytes, TraceError> {
        let Place { codes, view, .. } = *self.place;
        let code = match known {
            Some(code) => code,
            None if hash == KECCAK256_EMPTY => Bytes::new(),
            None => codes.get(hash, || view.code(hash)).map_err(CallError::State)?.original_bytes(),
        };
        self.budget.add(code.len().saturating_mul(CODE_BYTE))?;
        Ok(code)
    }

    /// To whom an account delegates. Source: EIP-7702.
    fn delegate(&self, address: Address) -> Result<Option<Address>, TraceError> {
        let account = self.account(address)?;
        if !account.has_code() {
            return Ok(None);
        }
        let Place { codes, view, .. } = *self.place;
        let code = codes.get(account.code_hash, || view.code(account.code_hash));
        Ok(code.map_err(CallError::State)?.eip7702_address())
    }
}

/// An account after the transaction, and its code if it is known.
fn account_now(account: &RevmAccount) -> (Account, Option<Bytes>) {
    if account.is_selfdestructed() {
        return (Account::default(), None);
    }
    let code = account.info.code.as_ref().map(|code| code.original_bytes());
    (crate::database::to_account(&account.info), code)
}

/// A slot after the transaction; it had this value before.
fn slot_now(account: &RevmAccount, slot: U256, before: U256) -> U256 {
    if account.is_selfdestructed() {
        return U256::ZERO;
    }
    account.storage.get(&slot).map_or(before, |slot| slot.present_value)
}

//! Plain payments, without an EVM.
//!
//! A payment is *plain* if it is in order, and does nothing but move amounts and count up a nonce:
//! * it is of a type that the fork has, without data, access list, authorizations and blobs, and
//!   its gas limit is enough and allowed (EIP-7825);
//! * it breaks no rule: chain id, prices, gas limit of the block, nonce, funds;
//! * both accounts are there, or the recipient is none, and neither is empty or has code; nor is
//!   the recipient a precompiled contract, or the sender.
//!
//! A [`Ledger`] runs what is plain, and leaves the rest to a kernel: it refuses nothing, and says
//! nothing about what it leaves. What it gives and notes is what a kernel with
//! [`FeePayment::Deferred`] gives and notes of the same payments in one journal, in particular:
//! * all gas that is used is intrinsic, with and without the floor of EIP-7623, and what is left
//!   over is given back;
//! * sender and recipient are all that it comes upon. If one of them is the fee recipient, the fees
//!   are left to the caller all the same, where a kernel that has loaded it pays them at once;
//! * nothing is ever changed back: who sends has a higher nonce afterwards, and what others have
//!   only grows. So [`History::restored`] is empty.
//!
//! Only from Byzantium on, and before Amsterdam, as for notes of touches: elsewhere nothing is
//! plain.

use crate::{
    AccountTouch, Executed, History, PAYMENT_GAS, PreparedTx, ReadLog, Touched, bytes, env,
    touched::{TagFilter, tag},
};
use fugue_chainspec::{Fork, Rules};
use fugue_state::{Account, AccountDiff, StateDiff, StateError, StateView};
use fugue_types::{Address, AddressMap, Bytes, Header, TxGas, TxResult, TxStatus, TxType, U256};
use revm::{
    context::TxEnv,
    context_interface::Transaction as _,
    precompile::{PrecompileSpecId, Precompiles},
    primitives::eip7825::TX_GAS_LIMIT_CAP,
    state::EvmState,
};
use std::collections::hash_map::Entry;

#[cfg(doc)]
use crate::{FeePayment, Kernel};

/// Runs plain payments of one block, each above those before it.
pub struct Ledger<'v> {
    view: &'v dyn StateView,
    terms: Terms,
    accounts: AddressMap<Kept>,
    touched: Touched,
}

/// An account that a ledger has loaded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kept {
    /// As it is in the view.
    before: Option<Account>,
    now: Option<Account>,
    /// A payment was plain in which it took part.
    is_noted: bool,
}

/// What a plain payment did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paid {
    /// What it did.
    pub executed: Executed,
    /// Transactions of the sender before it were taken to have been there, as in
    /// [`Kernel::transact_assuming`].
    pub is_assumed: bool,
    /// The sender spends what those before it have brought in, having had less than it has to have.
    pub spends_receipts: bool,
}

/// What a block asks of its payments.
#[derive(Debug)]
struct Terms {
    /// Whether any payment is plain.
    has_plain: bool,
    chain_id: u64,
    /// In wei; 0 before London.
    base_fee: u128,
    /// Most gas of a transaction (EIP-7825, and that of the block).
    gas_limit: u64,
    /// Whether there are transactions with access lists (EIP-2930), and with tips (EIP-1559).
    has_lists: bool,
    has_tips: bool,
    precompiles: &'static Precompiles,
}

/// A payment that is plain as far as it says itself; amounts in wei.
#[derive(Debug, Clone, Copy)]
struct Payment {
    from: Address,
    to: Address,
    nonce: u64,
    value: U256,
    /// What the gas costs, and the part of that which is not burnt.
    fee: U256,
    tip: U256,
    /// What the sender has to have.
    spends: U256,
}

impl std::fmt::Debug for Ledger<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ledger").finish_non_exhaustive()
    }
}

impl<'v> Ledger<'v> {
    /// A ledger for the block with this header, on the state that it begins with. Touches are noted
    /// in the room, which is empty.
    pub fn new(rules: &Rules, header: &Header, view: &'v dyn StateView, room: Touched) -> Self {
        let terms = Terms::new(rules, header);
        Self { view, terms, accounts: AddressMap::default(), touched: room }
    }

    /// Runs a payment as [`Kernel::transact`] does, or [`Kernel::transact_assuming`] if
    /// transactions of the sender before it may be missing from the ledger. `None` if it is not
    /// plain: then nothing is changed or noted, but that accounts may be loaded.
    ///
    /// # Errors
    /// Only if the state cannot answer.
    pub fn pay(&mut self, tx: &PreparedTx, may_assume: bool) -> Result<Option<Paid>, StateError> {
        let Some(payment) = self.terms.payment(tx) else { return Ok(None) };
        let Payment { from, to, nonce, value, tip, spends, fee: _ } = payment;
        let Kept { before, now, .. } = self.kept(from)?;
        let Some(sender) = now.filter(is_plain) else { return Ok(None) };
        let recipient = self.kept(to)?.now;
        if recipient.is_some_and(|recipient| !is_plain(&recipient)) {
            return Ok(None);
        }
        let is_assumed = may_assume && sender.nonce < nonce;
        let sender = if is_assumed { Account { nonce, ..sender } } else { sender };
        let Some((left, paid)) = payment.moved(sender, recipient) else { return Ok(None) };
        // As a journal notes it: the check before the transaction asks for the value, and so does
        // the transfer.
        let payer = AccountTouch {
            spends: spends.saturating_add(value),
            is_nonce_seen: true,
            ..AccountTouch::between(from, Some(sender), Some(left))
        };
        self.touched.add_tx([payer, AccountTouch::between(to, recipient, paid)]);
        self.put(from, Some(left));
        self.put(to, paid);
        let result = TxResult {
            tx_type: tx.tx_type,
            status: TxStatus::Success,
            gas: TxGas { used: PAYMENT_GAS, regular: PAYMENT_GAS, state: 0 },
            logs: Vec::new(),
            output: Bytes::new(),
            created: None,
        };
        let executed = Executed { result, fee_due: Some(tip), excess: 0 };
        let spends_receipts = before.is_none_or(|before| before.balance < spends);
        Ok(Some(Paid { executed, is_assumed, spends_receipts }))
    }

    /// The account, and what it is after the payments so far.
    fn kept(&mut self, address: Address) -> Result<Kept, StateError> {
        match self.accounts.entry(address) {
            Entry::Occupied(kept) => Ok(*kept.get()),
            Entry::Vacant(vacant) => {
                let before = self.view.account(address)?;
                Ok(*vacant.insert(Kept { before, now: before, is_noted: false }))
            }
        }
    }

    /// Changes an account that is loaded.
    fn put(&mut self, address: Address, now: Option<Account>) {
        if let Some(kept) = self.accounts.get_mut(&address) {
            kept.now = now;
            kept.is_noted = true;
        }
    }

    /// Bytes that it has taken.
    pub fn memory_bytes(&self) -> usize {
        let Self { view: _, terms: _, accounts, touched } = self;
        bytes::of_table::<(Address, Kept)>(accounts.capacity()) + touched.memory_bytes()
    }

    /// Ends the ledger.
    pub fn into_history(self) -> History {
        let Self { view: _, terms: _, mut accounts, touched } = self;
        // Of the others nothing was seen that anybody depends on.
        accounts.retain(|_, kept| kept.is_noted);
        let mut loaded = TagFilter::default();
        let mut changes = Vec::with_capacity(accounts.len());
        for (address, Kept { before, now, is_noted: _ }) in &accounts {
            loaded.add(tag(address));
            if before != now {
                changes.push(AccountDiff {
                    address: *address,
                    before: *before,
                    after: *now,
                    wiped: false,
                    slots: Vec::new(),
                });
            }
        }
        History {
            diff: StateDiff { accounts: changes, codes: Vec::new() }.canonical(),
            touched,
            restored: Vec::new(),
            log: ReadLog::default(),
            state: EvmState::default(),
            ledger: accounts,
            loaded,
        }
    }
}

impl Terms {
    fn new(rules: &Rules, header: &Header) -> Self {
        let block = env::block(rules, header);
        // Without it the EVM refuses to run anything.
        let has_blob_fee = !rules.has(Fork::Cancun) || block.blob_excess_gas_and_price.is_some();
        let gas_max = if rules.has(Fork::Osaka) { TX_GAS_LIMIT_CAP } else { u64::MAX };
        let spec = PrecompileSpecId::from_spec_id(env::cfg(rules).spec);
        Self {
            has_plain: rules.receipts_have_status() && !rules.has(Fork::Amsterdam) && has_blob_fee,
            chain_id: rules.chain_id,
            base_fee: u128::from(block.basefee),
            gas_limit: block.gas_limit.min(gas_max),
            has_lists: rules.has(Fork::Berlin),
            has_tips: rules.has(Fork::London),
            precompiles: Precompiles::new(spec),
        }
    }

    /// The payment that a transaction is; `None` if it is not plain, whatever the accounts are.
    fn payment(&self, tx: &PreparedTx) -> Option<Payment> {
        let TxEnv { caller: from, value, nonce, .. } = &tx.env;
        let to = tx.payee()?;
        let is_plain = self.has_plain
            && (PAYMENT_GAS..=self.gas_limit).contains(&tx.gas_limit())
            && *from != to
            && !self.precompiles.contains(&to)
            && self.takes(tx);
        if !is_plain {
            return None;
        }
        let price = tx.env.effective_gas_price(self.base_fee);
        let tip = price.checked_sub(self.base_fee)?;
        let gas = u128::from(PAYMENT_GAS);
        Some(Payment {
            from: *from,
            to,
            nonce: *nonce,
            value: *value,
            fee: U256::from(price.checked_mul(gas)?),
            tip: U256::from(tip.checked_mul(gas)?),
            spends: tx.env.max_balance_spending().ok()?,
        })
    }

    /// Whether the fork has transactions of this type, and the chain this one.
    fn takes(&self, tx: &PreparedTx) -> bool {
        let TxEnv { chain_id, gas_price, gas_priority_fee, .. } = &tx.env;
        let is_known = match tx.tx_type {
            TxType::Legacy => true,
            TxType::Eip2930 => self.has_lists,
            TxType::Eip1559 => {
                self.has_tips && gas_priority_fee.is_some_and(|tip| tip <= *gas_price)
            }
            TxType::Eip4844 | TxType::Eip7702 => false,
        };
        // Only before EIP-155 a transaction names no chain.
        let is_here = match chain_id {
            Some(chain_id) => *chain_id == self.chain_id,
            None => tx.tx_type == TxType::Legacy,
        };
        is_known && is_here
    }
}

impl Payment {
    /// Sender and recipient after it; `None` if nonce or funds are not right, or the amount is too
    /// large.
    fn moved(
        &self,
        sender: Account,
        recipient: Option<Account>,
    ) -> Option<(Account, Option<Account>)> {
        let Self { nonce, value, fee, spends, .. } = *self;
        if sender.nonce != nonce || sender.balance < spends {
            return None;
        }
        let balance = sender.balance.checked_sub(fee)?.checked_sub(value)?;
        let left = Account { nonce: nonce.checked_add(1)?, balance, ..sender };
        let recipient = recipient.unwrap_or_default();
        let paid = Account { balance: recipient.balance.checked_add(value)?, ..recipient };
        // Who is paid nothing is not made known by that. Source: EIP-161.
        Some((left, (!paid.is_empty()).then_some(paid)))
    }
}

/// Whether an account that is there can take part in a plain payment.
fn is_plain(account: &Account) -> bool {
    !account.has_code() && !account.is_empty()
}

#[cfg(test)]
mod tests;

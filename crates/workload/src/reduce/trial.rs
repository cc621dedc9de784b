//! A block that is made smaller, and the state before it.

use alloy_consensus::proofs::{calculate_transaction_root, calculate_withdrawals_root};
use alloy_eips::{eip7702::SignedAuthorization, eip7928::compute_block_access_list_hash};
use fugue_archive::{Bundle, PreState};
use fugue_chainspec::Rules;
use fugue_executor::BlockOutcome;
use fugue_types::{
    Address, AddressMap, B256, Block, SealedBlock, Transaction, TransactionTrait, Withdrawals,
};
use fugue_validation::{logs_bloom, receipts_root};
use std::{collections::BTreeSet, fmt, ops::Range};

/// How much there is of a block and of the state before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Size {
    /// Transactions of the block.
    pub transactions: usize,
    /// Withdrawals of the block.
    pub withdrawals: usize,
    /// Accounts of the state.
    pub accounts: usize,
    /// Slots of these accounts.
    pub slots: usize,
    /// Accounts that have code.
    pub codes: usize,
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { transactions, withdrawals, accounts, slots, codes } = self;
        write!(
            f,
            "{transactions} transactions, {withdrawals} withdrawals, {accounts} accounts, \
             {slots} slots, {codes} codes"
        )
    }
}

/// A block with the state that it is executed on, of both of which something may have been left
/// out.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    bundle: Bundle,
    senders: Vec<Address>,
}

impl Trial {
    /// A block whose senders are known, one for each transaction. The state is no longer said to be
    /// whole: what is left of it has another root than the parent's header names.
    pub fn new(mut bundle: Bundle, senders: Vec<Address>) -> Self {
        if let Some(state) = &mut bundle.state {
            state.is_complete = false;
        }
        Self { bundle, senders }
    }

    /// The block and the state. The header fits the body; what execution gives is for nobody to
    /// compare with it.
    pub const fn bundle(&self) -> &Bundle {
        &self.bundle
    }

    /// The sender of each transaction.
    pub fn senders(&self) -> &[Address] {
        &self.senders
    }

    /// How much is left.
    pub fn size(&self) -> Size {
        let body = &self.bundle.block.block().body;
        let accounts = self.bundle.state.iter().flat_map(|state| state.accounts.values());
        Size {
            transactions: body.transactions.len(),
            withdrawals: body.withdrawals.as_ref().map_or(0, |all| all.len()),
            accounts: accounts.clone().count(),
            slots: accounts.clone().map(|account| account.storage.len()).sum(),
            codes: accounts.filter(|account| account.code_hash.is_some()).count(),
        }
    }

    /// The block and the state, its header changed to promise what execution gave: gas, receipts,
    /// requests, access list. The state root stays as it was.
    pub fn promising(&self, outcome: &BlockOutcome, rules: &Rules) -> Bundle {
        let mut block = self.bundle.block.block().clone();
        let receipts = outcome.receipts();
        let header = &mut block.header;
        header.gas_used = outcome.gas_used;
        header.logs_bloom = logs_bloom(&receipts);
        if rules.receipts_have_status() {
            header.receipts_root = receipts_root(&receipts);
        }
        if let Some(requests) = &outcome.requests {
            header.requests_hash = Some(requests.requests_hash());
        }
        if let Some(list) = &outcome.access_list {
            header.block_access_list_hash = Some(compute_block_access_list_hash(list));
        }
        Bundle { block: SealedBlock::seal(block), ..self.bundle.clone() }
    }

    /// With the transactions of which `keep` says yes, by index and sender. The nonces that senders
    /// begin with are those that the remaining ones need.
    pub(super) fn with_transactions(&self, keep: impl Fn(usize, Address) -> bool) -> Self {
        let mut block = self.bundle.block.block().clone();
        let all = std::mem::take(&mut block.body.transactions);
        let mut senders = Vec::new();
        for (index, (tx, sender)) in all.into_iter().zip(&self.senders).enumerate() {
            if keep(index, *sender) {
                block.body.transactions.push(tx);
                senders.push(*sender);
            }
        }
        let mut bundle = self.bundle.clone();
        if let Some(state) = &mut bundle.state {
            fit_nonces(state, &block.body.transactions, &senders);
        }
        bundle.block = seal_body(block);
        Self { bundle, senders }
    }

    pub(super) fn without_withdrawals(&self, places: Range<usize>) -> Self {
        let mut block = self.bundle.block.block().clone();
        if let Some(Withdrawals(all)) = &mut block.body.withdrawals {
            all.drain(places);
        }
        let bundle = Bundle { block: seal_body(block), ..self.bundle.clone() };
        Self { bundle, senders: self.senders.clone() }
    }

    /// With less state. Codes that belonged to accounts alone of which none has them any more go
    /// with them.
    pub(super) fn with_state(&self, change: impl FnOnce(&mut PreState)) -> Self {
        let mut bundle = self.bundle.clone();
        if let Some(state) = &mut bundle.state {
            let before = named(state);
            change(state);
            let after = named(state);
            state.codes.retain(|hash, _| after.contains(hash) || !before.contains(hash));
        }
        Self { bundle, senders: self.senders.clone() }
    }
}

/// Seals a block after its header was told what its body holds: the roots of transactions and
/// withdrawals, and the blob gas. Ommers are taken to be as they were.
pub fn seal_body(mut block: Block) -> SealedBlock {
    let Block { header, body } = &mut block;
    header.transactions_root = calculate_transaction_root(&body.transactions);
    if let Some(withdrawals) = &body.withdrawals {
        header.withdrawals_root = Some(calculate_withdrawals_root(withdrawals));
    }
    if let Some(blob_gas) = &mut header.blob_gas_used {
        *blob_gas = body.transactions.iter().filter_map(|tx| tx.blob_gas_used()).sum();
    }
    SealedBlock::seal(block)
}

/// Hashes of the codes that accounts have.
fn named(state: &PreState) -> BTreeSet<B256> {
    state.accounts.values().filter_map(|account| account.code_hash).collect()
}

/// Lets each sender begin with the nonce of its first transaction, or of an authorization that is
/// applied before it (EIP-7702).
fn fit_nonces(state: &mut PreState, txs: &[Transaction], senders: &[Address]) {
    let mut first: AddressMap<u64> = AddressMap::default();
    let mut authorized: AddressMap<u64> = AddressMap::default();
    for (tx, sender) in txs.iter().zip(senders) {
        if !first.contains_key(sender) {
            let own = tx.nonce();
            let least = authorized.get(sender).map_or(own, |nonce| own.min(*nonce));
            first.insert(*sender, least);
        }
        for signed in tx.authorization_list().into_iter().flatten() {
            let Some(authority) = authority(signed) else { continue };
            let known = state.accounts.get(&authority).map_or(0, |account| account.nonce);
            let nonce = signed.inner().nonce();
            // One that was used before the block was skipped in it.
            if nonce >= known {
                let least = authorized.entry(authority).or_insert(nonce);
                *least = nonce.min(*least);
            }
        }
    }
    for (sender, nonce) in first {
        if let Some(account) = state.accounts.get_mut(&sender) {
            account.nonce = nonce;
        }
    }
}

fn authority(signed: &SignedAuthorization) -> Option<Address> {
    let signature = signed.signature().ok()?;
    signature.recover_address_from_prehash(&signed.inner().signature_hash()).ok()
}

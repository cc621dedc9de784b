//! What a chain for development has beside others: blocks as their author likes them, changes of
//! the state that no transaction makes, and a way back to any block.
//!
//! Such a change is the *amendment* of a block without transactions: what the block is executed on
//! is the state after its parent with the amendment laid over it, as the balances of The DAO were
//! moved at the opening of a block. So every root is that of the state which readers see. A header
//! does not tell of an amendment: it is known by the hash of the block, and kept in the journal for
//! as long as the block is.
//!
//! Nothing of this is there on other chains: [`ChainSpec::is_dev`](fugue_chainspec::ChainSpec)
//! makes the one [`Amended`] that a chain asks.

mod amended;
mod rewind;

pub(crate) use amended::{Amended, Amendment};
pub(crate) use rewind::Rewound;

use fugue_state::{AccountDiff, SlotDiff, SlotSet, StateDiff, StateError, StateView};
use fugue_types::{Address, B256, Bytes, U256, keccak256};

/// A block of a chain for development, on the head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DevBlock {
    /// In seconds; not below that of the head.
    pub timestamp: u64,
    /// RANDAO of the beacon chain (EIP-4399).
    pub prev_randao: B256,
    /// Who is paid.
    pub fee_recipient: Address,
    /// In wei; `None` is what follows from the head (EIP-1559).
    pub base_fee: Option<u64>,
    /// `None` goes towards that of the builder.
    pub gas_limit: Option<u64>,
    /// What is in it.
    pub content: DevContent,
}

/// What is in a block of a chain for development.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DevContent {
    /// Transactions of the pool.
    Pool,
    /// A change of the state, and no transactions.
    Edit(Edit),
}

/// A change of one account. What is `None`, and slots that are not named, stay as they are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edit {
    /// The account; it need not exist.
    pub address: Address,
    /// In wei.
    pub balance: Option<U256>,
    /// What it gets on top of its balance, in wei, up to the largest one.
    pub deposit: U256,
    /// Transactions sent, or contracts created.
    pub nonce: Option<u64>,
    /// Its code; empty takes it away.
    pub code: Option<Bytes>,
    /// Slots, each once, and what they hold then.
    pub slots: Vec<(U256, U256)>,
}

impl Edit {
    /// As a change of this state. An account without nonce, balance and code is there only if it
    /// stores something.
    ///
    /// # Errors
    /// Only if the state cannot answer.
    pub(crate) fn diff(&self, state: &dyn StateView) -> Result<StateDiff, StateError> {
        let Self { address, balance, deposit, nonce, code, slots } = self;
        let address = *address;
        let before = state.account(address)?;
        let mut account = before.unwrap_or_default();
        account.balance = balance.unwrap_or(account.balance).saturating_add(*deposit);
        account.nonce = nonce.unwrap_or(account.nonce);
        let mut codes = Vec::new();
        if let Some(code) = code {
            account.code_hash = keccak256(code);
            if account.has_code() {
                codes.push((account.code_hash, code.clone()));
            }
        }
        let mut changed = Vec::with_capacity(slots.len());
        for (slot, after) in slots {
            let before = state.slot(address, *slot)?;
            changed.push(SlotDiff { slot: *slot, before, after: *after });
        }
        let stores = |slot: &SlotDiff| !slot.after.is_zero();
        let named: SlotSet = slots.iter().map(|(slot, _)| *slot).collect();
        let is_there = !account.is_empty()
            || changed.iter().any(stores)
            || state.has_storage_beside(address, &named)?;
        let after = is_there.then_some(account);
        let wiped = before.is_some() && after.is_none();
        let change = AccountDiff { address, before, after, wiped, slots: changed };
        Ok(StateDiff { accounts: vec![change], codes }.canonical())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fugue_state::{Account, MemoryState, Overlay};

    const HERE: Address = Address::repeat_byte(5);

    fn edit(change: impl FnOnce(&mut Edit)) -> Edit {
        let mut edit = Edit { address: HERE, ..Edit::default() };
        change(&mut edit);
        edit
    }

    /// The account after all of these, one after the other.
    fn after(edits: &[Edit]) -> (Option<Account>, U256) {
        let state = MemoryState::default();
        let mut overlay = Overlay::new(&state);
        for edit in edits {
            let diff = edit.diff(&overlay).expect("a state");
            overlay.push(&diff).expect("it follows");
        }
        let slot = overlay.slot(HERE, U256::from(1)).expect("a state");
        (overlay.account(HERE).expect("a state"), slot)
    }

    #[test]
    fn an_edit_changes_what_it_names_and_leaves_the_rest() {
        let code = Bytes::from(vec![0]);
        let edits = [
            edit(|edit| edit.balance = Some(U256::from(7))),
            edit(|edit| edit.nonce = Some(3)),
            edit(|edit| edit.code = Some(code.clone())),
            edit(|edit| edit.slots.push((U256::from(1), U256::from(9)))),
        ];
        let code_hash = keccak256(&code);
        let account = Account { nonce: 3, balance: U256::from(7), code_hash };
        assert_eq!(after(&edits), (Some(account), U256::from(9)));
        let gone = edit(|edit| edit.code = Some(Bytes::new()));
        let account = Account { code_hash: Account::default().code_hash, ..account };
        assert_eq!(after(&[&edits[..], &[gone]].concat()).0, Some(account));
    }

    #[test]
    fn a_deposit_adds_to_what_there_is_up_to_the_largest_balance() {
        let deposit = |wei: U256| edit(|edit| edit.deposit = wei);
        let balance = |edits: &[Edit]| after(edits).0.map(|account| account.balance);
        let [three, four] = [3, 4].map(|wei| deposit(U256::from(wei)));
        assert_eq!(balance(&[three.clone(), four]), Some(U256::from(7)));
        assert_eq!(balance(&[three, deposit(U256::MAX)]), Some(U256::MAX));
    }

    #[test]
    fn an_empty_account_is_there_only_for_what_it_stores() {
        let nothing = edit(|edit| edit.balance = Some(U256::ZERO));
        assert_eq!(after(std::slice::from_ref(&nothing)), (None, U256::ZERO));
        let some = edit(|edit| edit.balance = Some(U256::from(1)));
        assert_eq!(after(&[some, nothing.clone()]), (None, U256::ZERO));
        let stored = edit(|edit| edit.slots.push((U256::from(1), U256::from(9))));
        assert_eq!(after(&[stored.clone(), nothing]), (Some(Account::default()), U256::from(9)));
        let [other, other_emptied] =
            [7, 0].map(|value| edit(|edit| edit.slots.push((U256::from(2), U256::from(value)))));
        let emptied = edit(|edit| edit.slots.push((U256::from(1), U256::ZERO)));
        let edits = [stored, other, emptied, other_emptied];
        assert_eq!(after(&edits[..3]), (Some(Account::default()), U256::ZERO));
        assert_eq!(after(&edits), (None, U256::ZERO));
    }
}

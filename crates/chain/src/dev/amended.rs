//! Amendments, by the blocks that they belong to; and their form in the journal.

use crate::{Chain, ImportError};
use alloy_rlp::{RlpDecodable, RlpEncodable};
use fugue_state::{
    Account, AccountDiff, DiffError, Layer, LayerView, SlotDiff, StateDiff, StateView,
};
use fugue_types::{Address, B256, B256Map, Bytes, U256, keccak256};
use parking_lot::Mutex;
use std::{collections::VecDeque, sync::Arc};

/// Blocks whose amendments are known, at most; the oldest are forgotten. Only those that are not
/// durable are executed again, which are far fewer.
const AMENDED_MAX: usize = 256;

/// A change of the state that a block begins with.
#[derive(Debug)]
pub(crate) struct Amendment {
    diff: StateDiff,
    layer: Layer,
}

impl Amendment {
    pub(crate) fn new(diff: StateDiff) -> Result<Self, DiffError> {
        let layer = layer_of(&diff)?;
        Ok(Self { diff, layer })
    }

    /// The state as the amendment leaves it.
    pub(crate) fn over<'a>(&'a self, state: &'a dyn StateView) -> LayerView<'a> {
        self.layer.over(state)
    }

    /// All that a block changes: the amendment, and what the block does after it.
    pub(crate) fn followed_by(&self, rest: &StateDiff) -> Result<StateDiff, DiffError> {
        let mut layer = layer_of(&self.diff)?;
        layer.push(rest)?;
        Ok(layer.into_diff())
    }
}

fn layer_of(diff: &StateDiff) -> Result<Layer, DiffError> {
    let mut layer = Layer::default();
    layer.push(diff)?;
    Ok(layer)
}

/// The amendments of a chain for development.
#[derive(Debug, Default)]
pub(crate) struct Amended(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    by_block: B256Map<Arc<Amendment>>,
    /// Oldest first.
    order: VecDeque<B256>,
}

impl Amended {
    pub(crate) fn get(&self, block: B256) -> Option<Arc<Amendment>> {
        self.0.lock().by_block.get(&block).cloned()
    }

    pub(crate) fn insert(&self, block: B256, amendment: Arc<Amendment>) {
        let Known { by_block, order } = &mut *self.0.lock();
        if by_block.insert(block, amendment).is_some() {
            // After a way back the same block may come again, and is a new one then.
            order.retain(|known| *known != block);
        }
        order.push_back(block);
        if order.len() > AMENDED_MAX
            && let Some(oldest) = order.pop_front()
        {
            by_block.remove(&oldest);
        }
    }
}

impl Chain {
    /// The amendment of a block, if it has one.
    pub(crate) fn amendment_of(&self, block: B256) -> Option<Arc<Amendment>> {
        self.amended.as_ref().and_then(|amended| amended.get(block))
    }

    /// The same as a payload of the journal, after a byte that says what it is.
    pub(crate) fn amendment_entry(&self, kind: u8, block: B256) -> Option<Vec<u8>> {
        let amendment = self.amendment_of(block)?;
        let mut entry = vec![kind];
        alloy_rlp::Encodable::encode(&StoredAmendment::of(block, &amendment.diff), &mut entry);
        Some(entry)
    }

    /// Takes the amendments that a journal holds, by the byte that says what they are. What does
    /// not decode is left out: its block then does not come out, and is left out as well.
    pub(crate) fn take_amendments(&self, kind: u8, entries: &[Vec<u8>]) -> Result<(), ImportError> {
        let Some(amended) = &self.amended else { return Ok(()) };
        for entry in entries {
            let Some(rlp) = entry.strip_prefix(&[kind]) else { continue };
            if let Ok(stored) = alloy_rlp::decode_exact::<StoredAmendment>(rlp) {
                let block = stored.block;
                amended.insert(block, Arc::new(Amendment::new(stored.into_diff())?));
            }
        }
        Ok(())
    }
}

/// An amendment in the journal. Lists of none or one are what may be missing.
#[derive(Debug, RlpEncodable, RlpDecodable)]
struct StoredAmendment {
    block: B256,
    accounts: Vec<StoredChange>,
    codes: Vec<Bytes>,
}

#[derive(Debug, RlpEncodable, RlpDecodable)]
struct StoredChange {
    address: Address,
    before: Vec<StoredAccount>,
    after: Vec<StoredAccount>,
    slots: Vec<StoredSlot>,
}

#[derive(Debug, RlpEncodable, RlpDecodable)]
struct StoredAccount {
    nonce: u64,
    balance: U256,
    code_hash: B256,
}

#[derive(Debug, RlpEncodable, RlpDecodable)]
struct StoredSlot {
    slot: U256,
    before: U256,
    after: U256,
}

impl StoredAmendment {
    fn of(block: B256, diff: &StateDiff) -> Self {
        let account = |account: &Account| {
            let Account { nonce, balance, code_hash } = *account;
            StoredAccount { nonce, balance, code_hash }
        };
        let change = |change: &AccountDiff| {
            // An edit wipes only whom it takes away.
            let AccountDiff { address, before, after, wiped: _, slots } = change;
            let slot = |slot: &SlotDiff| {
                let SlotDiff { slot, before, after } = *slot;
                StoredSlot { slot, before, after }
            };
            StoredChange {
                address: *address,
                before: before.iter().map(account).collect(),
                after: after.iter().map(account).collect(),
                slots: slots.iter().map(slot).collect(),
            }
        };
        let accounts = diff.accounts.iter().map(change).collect();
        let codes = diff.codes.iter().map(|(_, code)| code.clone()).collect();
        Self { block, accounts, codes }
    }

    fn into_diff(self) -> StateDiff {
        let account = |accounts: &[StoredAccount]| {
            accounts.first().map(|stored| {
                let StoredAccount { nonce, balance, code_hash } = *stored;
                Account { nonce, balance, code_hash }
            })
        };
        let change = |stored: StoredChange| {
            let StoredChange { address, before, after, slots } = stored;
            let slot = |stored: StoredSlot| {
                let StoredSlot { slot, before, after } = stored;
                SlotDiff { slot, before, after }
            };
            let (before, after) = (account(&before), account(&after));
            let wiped = before.is_some() && after.is_none();
            let slots = slots.into_iter().map(slot).collect();
            AccountDiff { address, before, after, wiped, slots }
        };
        let codes = self.codes.into_iter().map(|code| (keccak256(&code), code)).collect();
        let accounts = self.accounts.into_iter().map(change).collect();
        StateDiff { accounts, codes }.canonical()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dev::Edit;
    use fugue_state::MemoryState;

    fn diff(byte: u8) -> StateDiff {
        let edit = Edit {
            address: Address::repeat_byte(byte),
            balance: Some(U256::from(byte)),
            code: Some(Bytes::from(vec![byte])),
            slots: vec![(U256::from(byte), U256::from(1))],
            ..Edit::default()
        };
        edit.diff(&MemoryState::default()).expect("a state")
    }

    #[test]
    fn an_amendment_comes_back_from_the_journal_as_it_was() {
        let (block, diff) = (B256::repeat_byte(1), diff(7));
        let encoded = alloy_rlp::encode(StoredAmendment::of(block, &diff));
        let stored: StoredAmendment = alloy_rlp::decode_exact(&encoded).expect("an amendment");
        assert_eq!(stored.block, block);
        assert_eq!(stored.into_diff(), diff);
    }

    #[test]
    fn what_a_block_does_follows_its_amendment() {
        let first = diff(7);
        let amendment = Amendment::new(first.clone()).expect("a change of nothing");
        let state = MemoryState::default();
        let more = Edit { nonce: Some(1), address: Address::repeat_byte(7), ..Edit::default() };
        let rest = more.diff(&amendment.over(&state)).expect("a state");
        let whole = amendment.followed_by(&rest).expect("it follows");
        let account = whole.accounts[0].after.expect("it is there");
        assert_eq!((account.nonce, account.balance), (1, U256::from(7)));
        assert_eq!(whole.accounts[0].slots, first.accounts[0].slots);
        assert_eq!(whole.codes, first.codes);
        // It does not follow another state.
        assert!(Amendment::new(rest).expect("a change").followed_by(&first).is_err());
    }

    #[test]
    fn the_oldest_amendments_are_forgotten() {
        let amended = Amended::default();
        let amendment = Arc::new(Amendment::new(diff(7)).expect("a change of nothing"));
        let block = |index: usize| B256::from(U256::from(index));
        for index in 0..=AMENDED_MAX {
            amended.insert(block(index), Arc::clone(&amendment));
        }
        assert!(amended.get(block(0)).is_none());
        assert!(amended.get(block(1)).is_some() && amended.get(block(AMENDED_MAX)).is_some());
    }

    #[test]
    fn a_block_that_comes_again_is_not_the_oldest() {
        let amended = Amended::default();
        let amendment = Arc::new(Amendment::new(diff(7)).expect("a change of nothing"));
        let block = |index: usize| B256::from(U256::from(index));
        for index in (0..AMENDED_MAX).chain([0, AMENDED_MAX]) {
            amended.insert(block(index), Arc::clone(&amendment));
        }
        assert!(amended.get(block(0)).is_some());
        assert!(amended.get(block(1)).is_none());
    }
}

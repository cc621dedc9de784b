//! Diffs of later transitions, and a view with them laid over it.

use crate::{Account, AccountDiff, DiffError, SlotDiff, SlotSet, StateDiff, StateError, StateView};
use fugue_types::{Address, AddressMap, B256, B256Map, Bytes, HashMap, U256};

#[derive(Debug)]
struct Changed {
    before: Option<Account>,
    after: Option<Account>,
    /// As in [`AccountDiff`].
    wiped: bool,
    /// The account ceased to exist at some time: nothing of the parent's storage is left.
    began_anew: bool,
    /// Value before and after; before is zero where the account began anew.
    slots: HashMap<U256, (U256, U256)>,
}

/// All that has changed since some state.
#[derive(Debug, Default)]
pub struct Layer {
    accounts: AddressMap<Changed>,
    codes: B256Map<Bytes>,
}

/// A layer over the state that it began with, as a view.
#[derive(Clone, Copy)]
pub struct LayerView<'v> {
    layer: &'v Layer,
    parent: &'v dyn StateView,
}

impl std::fmt::Debug for LayerView<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LayerView").field("layer", self.layer).finish_non_exhaustive()
    }
}

/// A parent view and all that has changed since: as a view, and as one diff.
pub struct Overlay<'v> {
    parent: &'v dyn StateView,
    layer: Layer,
}

impl std::fmt::Debug for Overlay<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Overlay").field("layer", &self.layer).finish_non_exhaustive()
    }
}

impl Layer {
    /// The layer over the state that it began with.
    pub fn over<'v>(&'v self, parent: &'v dyn StateView) -> LayerView<'v> {
        LayerView { layer: self, parent }
    }

    /// Every account that has changed: itself after, whether nothing of its storage before is left,
    /// and the slots that changed, after.
    pub fn changes(
        &self,
    ) -> impl Iterator<
        Item = (Address, Option<Account>, bool, impl Iterator<Item = (U256, U256)> + '_),
    > + '_ {
        self.accounts.iter().map(|(address, changed)| {
            let slots = changed.slots.iter().map(|(slot, (_, after))| (*slot, *after));
            (*address, changed.after, changed.began_anew, slots)
        })
    }

    /// Whether no diff has changed anything.
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty()
    }

    /// Lays one more diff on top.
    ///
    /// # Errors
    /// [`DiffError`] if the diff does not follow the state below it; the layer is then partly
    /// changed and must be dropped.
    pub fn push(&mut self, diff: &StateDiff) -> Result<(), DiffError> {
        self.codes.extend(diff.codes.iter().cloned());
        for change in &diff.accounts {
            let known = self.accounts.entry(change.address).or_insert_with(|| Changed {
                before: change.before,
                after: change.before,
                wiped: false,
                began_anew: false,
                slots: HashMap::default(),
            });
            if known.after != change.before {
                return Err(DiffError { address: change.address });
            }
            known.after = change.after;
            known.wiped |= change.wiped;
            if change.wiped || change.after.is_none() {
                known.began_anew = true;
                known.slots.clear();
            }
            for slot in &change.slots {
                known
                    .slots
                    .entry(slot.slot)
                    .and_modify(|(_, after)| *after = slot.after)
                    .or_insert((slot.before, slot.after));
            }
        }
        Ok(())
    }

    /// All diffs in one.
    pub fn into_diff(self) -> StateDiff {
        let accounts = self.accounts.into_iter().map(|(address, changed)| {
            let Changed { before, after, wiped, began_anew: _, slots } = changed;
            let slots = slots
                .into_iter()
                .map(|(slot, (before, after))| SlotDiff { slot, before, after })
                .collect();
            AccountDiff { address, before, after, wiped: wiped && before.is_some(), slots }
        });
        StateDiff { accounts: accounts.collect(), codes: self.codes.into_iter().collect() }
            .canonical()
    }
}

impl<'v> Overlay<'v> {
    /// Nothing has changed yet.
    pub fn new(parent: &'v dyn StateView) -> Self {
        Self::over(parent, Layer::default())
    }

    /// What the layer holds has changed.
    pub fn over(parent: &'v dyn StateView, layer: Layer) -> Self {
        Self { parent, layer }
    }

    /// What has changed, taken off the parent.
    pub fn into_layer(self) -> Layer {
        self.layer
    }

    /// How many accounts have changed.
    pub fn len(&self) -> usize {
        self.layer.accounts.len()
    }

    /// Whether no diff has changed anything.
    pub fn is_empty(&self) -> bool {
        self.layer.is_empty()
    }

    /// Lays one more diff on top.
    ///
    /// # Errors
    /// As [`Layer::push`].
    pub fn push(&mut self, diff: &StateDiff) -> Result<(), DiffError> {
        self.layer.push(diff)
    }

    /// All diffs in one.
    pub fn into_diff(self) -> StateDiff {
        self.layer.into_diff()
    }
}

impl StateView for Overlay<'_> {
    fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        self.layer.over(self.parent).account(address)
    }

    fn slot(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        self.layer.over(self.parent).slot(address, slot)
    }

    fn has_storage_beside(&self, address: Address, emptied: &SlotSet) -> Result<bool, StateError> {
        self.layer.over(self.parent).has_storage_beside(address, emptied)
    }

    fn code(&self, code_hash: B256) -> Result<Bytes, StateError> {
        self.layer.over(self.parent).code(code_hash)
    }

    fn block_hash(&self, number: u64) -> Result<B256, StateError> {
        self.parent.block_hash(number)
    }

    fn check(&self) -> Result<(), StateError> {
        self.parent.check()
    }
}

impl StateView for LayerView<'_> {
    fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        match self.layer.accounts.get(&address) {
            Some(changed) => Ok(changed.after),
            None => self.parent.account(address),
        }
    }

    fn slot(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        if let Some(changed) = self.layer.accounts.get(&address) {
            if let Some((_, after)) = changed.slots.get(&slot) {
                return Ok(*after);
            }
            if changed.began_anew {
                return Ok(U256::ZERO);
            }
        }
        self.parent.slot(address, slot)
    }

    fn has_storage_beside(&self, address: Address, emptied: &SlotSet) -> Result<bool, StateError> {
        let Some(changed) = self.layer.accounts.get(&address) else {
            return self.parent.has_storage_beside(address, emptied);
        };
        let mut emptied = emptied.clone();
        for (slot, (_, after)) in &changed.slots {
            if emptied.insert(*slot) && !after.is_zero() {
                return Ok(true);
            }
        }
        if changed.began_anew {
            return Ok(false);
        }
        self.parent.has_storage_beside(address, &emptied)
    }

    fn code(&self, code_hash: B256) -> Result<Bytes, StateError> {
        match self.layer.codes.get(&code_hash) {
            Some(code) => Ok(code.clone()),
            None => self.parent.code(code_hash),
        }
    }

    fn block_hash(&self, number: u64) -> Result<B256, StateError> {
        self.parent.block_hash(number)
    }

    fn check(&self) -> Result<(), StateError> {
        self.parent.check()
    }
}

//! Which accounts lanes have disturbed one another with, as far as is known before settling.
//!
//! An account that several lanes load is not hot yet. It is where one lane has changed what another
//! has looked at: a slot that both have loaded, or a field that was seen. It is in any case if one
//! has heard of a slot of it: that lane's diff tells nothing of it then. Where only amounts were
//! moved, and the balance before the block suffices for all that is spent however it is ordered,
//! amounts add up.

use super::Lane;
use fugue_evm::{AccountTouch, TagFilter, tag};
use fugue_state::{Account, AccountDiff};
use fugue_types::{Address, AddressMap, U256};

/// All that the lanes did to an account that several of them have loaded.
#[derive(Default)]
struct Shared {
    before: Option<Account>,
    /// Something else than an amount, or a nonce that nobody has seen, was moved or seen.
    is_hot: bool,
    is_balance_seen: bool,
    is_balance_changed: bool,
    is_nonce_seen: bool,
    is_nonce_changed: bool,
    /// The most that one transaction had to have, and what all of them took.
    spends: U256,
    taken: U256,
}

/// Accounts that one lane has changed while another has looked at what was changed.
pub(super) fn disturbed(lanes: &[Lane]) -> Vec<Address> {
    let known = lanes.iter().flat_map(|lane| {
        let assumed = lane.assumed.iter().filter(|_| !planted!(ForgetsAssumedSenders));
        assumed.chain(&lane.heard)
    });
    let mut hot: Vec<Address> = known.copied().collect();
    if lanes.len() < 2 {
        return hot;
    }
    let mut shared: AddressMap<Shared> = AddressMap::default();
    let mut filter = TagFilter::default();
    for (number, lane) in lanes.iter().enumerate() {
        for change in &lane.history.diff.accounts {
            let AccountDiff { address, before, after, slots, .. } = change;
            let is_other = |(other, _): &(usize, &Lane)| *other != number;
            let mut others = lanes.iter().enumerate().filter(is_other).map(|(_, lane)| lane);
            let Some(first) = others.find(|lane| lane.history.has_loaded(address)) else {
                continue;
            };
            let mut others = std::iter::once(first).chain(others);
            let is_slot_shared = others.any(|other| {
                slots.iter().any(|slot| other.history.has_loaded_slot(address, &slot.slot))
            }) && !planted!(ForgetsSharedSlots);
            if is_slot_shared || change.wiped {
                hot.push(*address);
            } else if before != after {
                filter.add(tag(address));
                shared.insert(*address, Shared { before: *before, ..Shared::default() });
            }
        }
    }
    for (number, lane) in lanes.iter().enumerate() {
        // Whoever looked in between saw something else than before the block.
        for (address, slot) in &lane.history.restored {
            let others = lanes.iter().enumerate().filter(|(other, _)| *other != number);
            let is_shared = others.map(|(_, lane)| &lane.history).any(|other| match slot {
                Some(slot) => other.has_loaded_slot(address, slot),
                None => other.has_loaded(address),
            });
            if is_shared && !planted!(ForgetsRestoredValues) {
                hot.push(*address);
            }
        }
    }
    if shared.is_empty() {
        return hot;
    }
    for lane in lanes {
        for (_, touch) in lane.history.touched.with_tags(|tag| filter.passes(tag)) {
            if let Some(shared) = shared.get_mut(&touch.address) {
                shared.add(touch);
            }
        }
    }
    hot.extend(shared.iter().filter(|(_, shared)| shared.is_disturbed()).map(|(it, _)| *it));
    hot
}

impl Shared {
    fn add(&mut self, touch: &AccountTouch) {
        let (Some(before), Some(after)) = (touch.before, touch.after) else {
            self.is_hot = true;
            return;
        };
        self.is_hot |= touch.is_created || before.code_hash != after.code_hash;
        self.is_balance_seen |= touch.is_balance_seen;
        self.is_balance_changed |= before.balance != after.balance;
        self.is_nonce_seen |= touch.is_nonce_seen;
        self.is_nonce_changed |= before.nonce != after.nonce;
        self.spends = self.spends.max(touch.spends);
        let taken = before.balance.saturating_sub(after.balance);
        self.taken = self.taken.saturating_add(taken);
    }

    fn is_disturbed(&self) -> bool {
        let Some(before) = self.before else { return true };
        // However they are ordered, each has what it spends: what others take is there as well.
        let suffices = before
            .balance
            .checked_sub(self.taken)
            .is_some_and(|left| left >= self.spends && !left.is_zero())
            || planted!(TrustsThatFundsSuffice);
        let is_balance_seen = self.is_balance_seen && !planted!(ForgetsSeenBalances);
        self.is_hot
            || (self.is_balance_changed && (is_balance_seen || !suffices))
            || (self.is_nonce_changed && self.is_nonce_seen && !planted!(ForgetsSeenNonces))
    }
}

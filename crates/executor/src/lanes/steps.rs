//! What lanes have changed, to be found by account.

use super::{Lane, listening::account_hash};
use fugue_evm::{AccountTouch, SlotTouch};
use fugue_types::Address;

/// Places of all changes among the touches of the lanes, sorted: an account's stand together, in
/// block order.
#[derive(Debug)]
pub(super) struct Steps(Vec<Place>);

/// The order of the fields is that of the steps: of what one transaction has changed, the account
/// comes before its slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    /// Of the account's name, seeded: nobody can have those of many accounts stand together.
    hash: u64,
    /// The transaction's index in the block.
    index: u32,
    is_slot: bool,
    lane: u32,
    /// The transaction's place in its lane.
    noted: u32,
    /// Among the accounts, or slots, of the transaction.
    touch: u32,
}

/// What a transaction has changed of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step<'l> {
    Account(&'l AccountTouch),
    Slot(&'l SlotTouch),
}

impl Steps {
    pub(super) fn new(lanes: &[Lane]) -> Self {
        let mut places = Vec::new();
        for (number, lane) in lanes.iter().enumerate() {
            let touched = &lane.history.touched;
            for noted in 0..touched.len() {
                let index = lane.index_of(noted);
                let mut add = |address: &Address, is_slot, touch: usize| {
                    places.push(Place {
                        hash: account_hash(address),
                        index: index as u32,
                        is_slot,
                        lane: number as u32,
                        noted: noted as u32,
                        touch: touch as u32,
                    });
                };
                let (accounts, slots) = touched.of(noted);
                for (place, touch) in accounts.iter().enumerate() {
                    if touch.is_change() {
                        add(&touch.address, false, place);
                    }
                }
                for (place, touch) in slots.iter().enumerate() {
                    if touch.before != touch.after {
                        add(&touch.address, true, place);
                    }
                }
            }
        }
        places.sort_unstable();
        Self(places)
    }

    /// What the lanes have changed of an account before a transaction, in block order, each with
    /// the index of who has. The lanes are those that the steps were made of.
    pub(super) fn before<'l>(
        &self,
        lanes: &'l [Lane],
        address: Address,
        index: usize,
    ) -> impl Iterator<Item = (usize, Step<'l>)> {
        let wanted = account_hash(&address);
        let from = self.0.partition_point(|place| place.hash < wanted);
        let places = self.0.get(from..).unwrap_or_default().iter();
        let places =
            places.take_while(move |place| place.hash == wanted && (place.index as usize) < index);
        places.filter_map(move |place| {
            let touched = &lanes.get(place.lane as usize)?.history.touched;
            let (accounts, slots) = touched.of(place.noted as usize);
            let touch = place.touch as usize;
            let step = if place.is_slot {
                slots.get(touch).filter(|touch| touch.address == address).map(Step::Slot)
            } else {
                accounts.get(touch).filter(|touch| touch.address == address).map(Step::Account)
            };
            Some((place.index as usize, step?))
        })
    }
}

//! Values of the state and of transient storage, and which of them hold something of a changed one.

use fugue_types::{Address, HashMap, HashSet, U256};

/// A value of the state, by where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StateValue {
    /// Transactions sent, or contracts created.
    Nonce(Address),
    /// In wei.
    Balance(Address),
    /// The code, a delegation (EIP-7702) included.
    Code(Address),
    /// A slot of a storage.
    Slot(Address, U256),
}

/// A value that a transaction may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Place {
    State(StateValue),
    /// EIP-1153.
    Transient(Address, U256),
}

/// What is known of the values that one transaction sees.
#[derive(Debug, Default)]
pub(super) struct Values {
    /// What is other than it was when the transaction is taken to have run before.
    pub(super) changed: HashSet<StateValue>,
    /// What the transaction has written: whether it is marked.
    written: HashMap<Place, bool>,
    /// What it overwrote, in order, to be put back where a frame fails.
    overwritten: Vec<(Place, Option<bool>)>,
}

/// A value that is read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Read {
    pub(super) is_marked: bool,
    /// It comes from the state, and not from this transaction.
    pub(super) is_changed: bool,
}

impl Values {
    /// A transaction begins.
    pub(super) fn begin(&mut self) {
        self.written.clear();
        self.overwritten.clear();
    }

    pub(super) fn read(&self, place: Place) -> Read {
        if let Some(is_marked) = self.written.get(&place) {
            return Read { is_marked: *is_marked, is_changed: false };
        }
        let is_changed = match place {
            Place::State(value) => self.changed.contains(&value),
            Place::Transient(..) => false,
        };
        Read { is_marked: is_changed, is_changed }
    }

    pub(super) fn write(&mut self, place: Place, is_marked: bool) {
        let before = self.written.insert(place, is_marked);
        self.overwritten.push((place, before));
    }

    /// Where a frame stands that begins now.
    pub(super) fn checkpoint(&self) -> usize {
        self.overwritten.len()
    }

    /// Takes back what was written since.
    pub(super) fn revert(&mut self, checkpoint: usize) {
        while self.overwritten.len() > checkpoint {
            match self.overwritten.pop() {
                Some((place, Some(before))) => self.written.insert(place, before),
                Some((place, None)) => self.written.remove(&place),
                None => return,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_frame_wrote_is_taken_back() {
        let here = Address::repeat_byte(1);
        let changed = StateValue::Slot(here, U256::ZERO);
        let mut values = Values { changed: [changed].into_iter().collect(), ..Values::default() };
        let source = Read { is_marked: true, is_changed: true };
        let [slot, other] = [Place::State(changed), Place::Transient(here, U256::ZERO)];
        assert_eq!((values.read(slot), values.read(other)), (source, Read::default()));
        values.write(slot, false);
        let checkpoint = values.checkpoint();
        values.write(slot, true);
        values.write(other, true);
        assert_eq!(values.read(slot), Read { is_marked: true, is_changed: false });
        values.revert(checkpoint);
        assert_eq!((values.read(slot), values.read(other)), (Read::default(), Read::default()));
        values.revert(0);
        assert_eq!(values.read(slot), source);
    }
}

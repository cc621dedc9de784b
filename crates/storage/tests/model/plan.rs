//! What the blocks of a test do, in few numbers, so that a failing case gets small.

use fugue_state::{AccountDiff, MemoryAccount, MemoryState, SlotDiff, StateDiff};
use fugue_trie::Nibbles;
use fugue_types::{Address, B256, Bytes, U256, keccak256};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

/// Accounts. Hashes of four of them begin alike, so that branches get prefixes, part and collapse.
pub(crate) static ADDRESSES: LazyLock<Vec<Address>> = LazyLock::new(|| {
    let address = |seed: u64| Address::from_word(B256::from(U256::from(seed)));
    let wanted: [&[u8]; 6] = [&[1, 2, 3], &[1, 2, 3], &[1, 2, 4], &[1, 5], &[7], &[14]];
    seeds(&wanted, |seed| keccak256(address(seed))).into_iter().map(address).collect()
});

/// Slots, with hashes of the same kind.
pub(crate) static SLOTS: LazyLock<Vec<U256>> = LazyLock::new(|| {
    let wanted: [&[u8]; 8] =
        [&[10, 11, 12], &[10, 11, 12], &[10, 11, 13], &[10, 1], &[0], &[5], &[5], &[15]];
    let hash = |seed: u64| keccak256(U256::from(seed).to_be_bytes::<32>());
    seeds(&wanted, hash).into_iter().map(U256::from).collect()
});

/// For each beginning the first seed that is left and whose hash begins so.
fn seeds(wanted: &[&[u8]], hash: impl Fn(u64) -> B256) -> Vec<u64> {
    let mut seeds: Vec<u64> = Vec::new();
    for start in wanted {
        let start = Nibbles::from_nibbles(start);
        let is_it =
            |seed: &u64| !seeds.contains(seed) && Nibbles::unpack(hash(*seed)).starts_with(&start);
        let seed = (1u64..).find(is_it).expect("some hash begins so");
        seeds.push(seed);
    }
    seeds
}

/// A change of one account. All but `Delete` and `Wipe` make the account if it is not there.
#[derive(Debug, Clone)]
pub(crate) enum Edit {
    /// Sets the balance.
    Pay(u8),
    /// Sets slots.
    Store(Vec<(usize, u8)>),
    /// Sets the code, of so many bytes.
    Code(u8),
    /// The account ceases to be.
    Delete,
    /// All slots go, others come.
    Wipe(Vec<(usize, u8)>),
    /// The account ceases to be, and is made anew with slots.
    Remake(Vec<(usize, u8)>),
}

/// A block.
#[derive(Debug, Clone, Default)]
pub(crate) struct BlockPlan {
    /// By index of the account, one after the other.
    pub(crate) edits: Vec<(usize, Edit)>,
    pub(crate) tx_count: u8,
    /// Tells apart blocks that are otherwise equal.
    pub(crate) salt: u8,
}

/// A number of one byte or of up to 31, so that leaves of all lengths come up.
fn wide(byte: u8) -> U256 {
    U256::from(byte) << (usize::from(byte % 3) * 120)
}

fn code(length: u8) -> Bytes {
    Bytes::from(vec![length; usize::from(length)])
}

impl BlockPlan {
    /// A block of nothing but these edits.
    pub(crate) fn of(edits: impl IntoIterator<Item = (usize, Edit)>) -> Self {
        Self { edits: edits.into_iter().collect(), ..Self::default() }
    }

    /// What the block changes, in canonical form.
    pub(crate) fn diff(&self, state: &MemoryState) -> StateDiff {
        let mut drafts: BTreeMap<Address, Draft> = BTreeMap::new();
        let mut codes = Vec::new();
        for (index, edit) in &self.edits {
            let address = ADDRESSES[index % ADDRESSES.len()];
            let draft = drafts.entry(address).or_insert_with(|| Draft {
                account: state.accounts.get(&address).cloned(),
                wiped: false,
            });
            if let Edit::Code(length) = edit
                && *length > 0
            {
                codes.push((keccak256(code(*length)), code(*length)));
            }
            draft.edit(edit);
        }
        let accounts = drafts
            .into_iter()
            .map(|(address, draft)| draft.diff(address, state.accounts.get(&address)))
            .collect();
        StateDiff { accounts, codes }.canonical()
    }
}

/// An account while a block runs.
struct Draft {
    account: Option<MemoryAccount>,
    /// It lost all slots on the way.
    wiped: bool,
}

impl Draft {
    fn edit(&mut self, edit: &Edit) {
        match edit {
            Edit::Pay(byte) => self.made().account.balance = wide(*byte),
            Edit::Store(slots) => self.store(slots),
            Edit::Code(length) => self.made().account.code_hash = keccak256(code(*length)),
            Edit::Delete => self.end(),
            Edit::Wipe(slots) => {
                if let Some(account) = &mut self.account {
                    account.slots.clear();
                    self.wiped = true;
                    self.store(slots);
                }
            }
            Edit::Remake(slots) => {
                self.end();
                self.made().account.nonce = 1;
                self.store(slots);
            }
        }
    }

    fn made(&mut self) -> &mut MemoryAccount {
        self.account.get_or_insert_default()
    }

    fn end(&mut self) {
        self.account = None;
        self.wiped = true;
    }

    fn store(&mut self, slots: &[(usize, u8)]) {
        let account = self.made();
        for (index, byte) in slots {
            let (slot, value) = (SLOTS[index % SLOTS.len()], wide(*byte));
            if value.is_zero() {
                account.slots.remove(&slot);
            } else {
                account.slots.insert(slot, value);
            }
        }
    }

    fn diff(self, address: Address, before: Option<&MemoryAccount>) -> AccountDiff {
        let wiped = self.wiped && before.is_some();
        let kept = before.filter(|_| !wiped);
        let after = self.account.as_ref().map(|found| found.account);
        let found = self.account.unwrap_or_default();
        let mut keys: BTreeSet<U256> = found.slots.keys().copied().collect();
        keys.extend(kept.into_iter().flat_map(|kept| kept.slots.keys().copied()));
        let value = |account: Option<&MemoryAccount>, slot: &U256| {
            account.and_then(|account| account.slots.get(slot)).copied().unwrap_or_default()
        };
        let slots = keys
            .iter()
            .map(|slot| SlotDiff {
                slot: *slot,
                before: value(kept, slot),
                after: value(Some(&found), slot),
            })
            .collect();
        let before = before.map(|found| found.account);
        AccountDiff { address, before, after, wiped, slots }
    }
}

//! The keys that one block changed: what unwinding and pruning go by.
//!
//! ```text
//! changes    count u32, H(address) 32 each | storages, to the end
//! storage    storage id u64, count u32, H(slot) 32 each
//! ```

use crate::row::take;
use fugue_types::B256;

/// Keys that a block changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// Hashed addresses.
    pub(crate) accounts: Vec<B256>,
    /// Storage ids with hashed slots.
    pub(crate) storages: Vec<(u64, Vec<B256>)>,
}

impl Changes {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(4 + self.accounts.len() * 32);
        put_keys(&mut bytes, &self.accounts);
        for (id, slots) in &self.storages {
            bytes.extend_from_slice(&id.to_be_bytes());
            put_keys(&mut bytes, slots);
        }
        bytes
    }

    /// `None` if the bytes are not such.
    pub(crate) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let buf = &mut bytes;
        let accounts = take_keys(buf)?;
        let mut storages = Vec::new();
        while !buf.is_empty() {
            let id = u64::from_be_bytes(take(buf, 8)?.try_into().ok()?);
            storages.push((id, take_keys(buf)?));
        }
        Some(Self { accounts, storages })
    }
}

fn put_keys(bytes: &mut Vec<u8>, keys: &[B256]) {
    let count = u32::try_from(keys.len()).expect("a block's gas pays for far fewer keys");
    bytes.extend_from_slice(&count.to_be_bytes());
    keys.iter().for_each(|key| bytes.extend_from_slice(key.as_slice()));
}

fn take_keys(buf: &mut &[u8]) -> Option<Vec<B256>> {
    let count = u32::from_be_bytes(take(buf, 4)?.try_into().ok()?);
    let keys = take(buf, usize::try_from(count).ok()?.checked_mul(32)?)?;
    Some(keys.as_chunks::<32>().0.iter().map(B256::from).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_have_the_bytes_that_are_drawn() {
        let key = B256::repeat_byte;
        let changes = Changes { accounts: vec![key(1)], storages: vec![(5, vec![key(2), key(3)])] };
        let mut expected = vec![0, 0, 0, 1];
        expected.extend([1; 32]);
        expected.extend([0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 2]);
        expected.extend([2; 32]);
        expected.extend([3; 32]);
        assert_eq!(changes.encode(), expected);
        assert_eq!(Changes::decode(&expected), Some(changes));
        for length in 0..expected.len() {
            let cut = Changes::decode(&expected[..length]);
            assert!(cut.is_none() || length == 36, "{length}");
        }
    }
}

//! An account as it is stored: drawn in `tables`.

use fugue_state::Account;
use fugue_trie::TrieAccount;
use fugue_types::{B256, KECCAK256_EMPTY, U256};

const HAS_CODE: u8 = 1;
const HAS_STORAGE: u8 = 2;

/// Where an account's slots lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StorageRef {
    pub(crate) root: B256,
    pub(crate) id: u64,
}

/// An account, with what is known of its storage: nothing if it never had any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) account: Account,
    pub(crate) storage: Option<StorageRef>,
}

impl Row {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let Self { account: Account { nonce, balance, code_hash }, storage } = self;
        let mut bytes = Vec::with_capacity(16);
        let mut flags = 0;
        if *code_hash != KECCAK256_EMPTY {
            flags |= HAS_CODE;
        }
        if storage.is_some() {
            flags |= HAS_STORAGE;
        }
        bytes.push(flags);
        put_trimmed(&mut bytes, &nonce.to_be_bytes());
        put_trimmed(&mut bytes, &balance.to_be_bytes::<32>());
        if flags & HAS_CODE != 0 {
            bytes.extend_from_slice(code_hash.as_slice());
        }
        if let Some(StorageRef { root, id }) = storage {
            bytes.extend_from_slice(root.as_slice());
            bytes.extend_from_slice(&id.to_be_bytes());
        }
        bytes
    }

    /// `None` if the bytes are not a row's.
    pub(crate) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let buf = &mut bytes;
        let flags = *take(buf, 1)?.first()?;
        if flags & !(HAS_CODE | HAS_STORAGE) != 0 {
            return None;
        }
        let nonce = take_trimmed::<8>(buf).map(u64::from_be_bytes)?;
        let balance = take_trimmed::<32>(buf).map(U256::from_be_bytes)?;
        let code_hash =
            if flags & HAS_CODE != 0 { B256::from_slice(take(buf, 32)?) } else { KECCAK256_EMPTY };
        let storage = if flags & HAS_STORAGE != 0 {
            let root = B256::from_slice(take(buf, 32)?);
            Some(StorageRef { root, id: u64::from_be_bytes(take(buf, 8)?.try_into().ok()?) })
        } else {
            None
        };
        let account = Account { nonce, balance, code_hash };
        bytes.is_empty().then_some(Self { account, storage })
    }

    /// The account as its leaf of the trie holds it.
    pub(crate) fn trie_account(&self) -> TrieAccount {
        let Account { nonce, balance, code_hash } = self.account;
        let storage_root = self.storage.map_or(fugue_trie::EMPTY_ROOT_HASH, |storage| storage.root);
        TrieAccount { nonce, balance, storage_root, code_hash }
    }
}

/// Big-endian bytes without leading zeros.
pub(crate) fn trimmed(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.get(zeros..).unwrap_or_default()
}

/// The number of trimmed bytes; `None` if they are too many or not trimmed.
pub(crate) fn untrimmed<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    if bytes.first() == Some(&0) {
        return None;
    }
    let mut whole = [0; N];
    whole.get_mut(N.checked_sub(bytes.len())?..)?.copy_from_slice(bytes);
    Some(whole)
}

/// A slot's value as it is stored.
pub(crate) fn slot_value(bytes: &[u8]) -> Option<U256> {
    untrimmed(bytes).map(U256::from_be_bytes::<32>)
}

pub(crate) fn put_trimmed(out: &mut Vec<u8>, bytes: &[u8]) {
    let bytes = trimmed(bytes);
    out.push(u8::try_from(bytes.len()).expect("at most 32 bytes"));
    out.extend_from_slice(bytes);
}

pub(crate) fn take_trimmed<const N: usize>(buf: &mut &[u8]) -> Option<[u8; N]> {
    let length = usize::from(*take(buf, 1)?.first()?);
    untrimmed(take(buf, length)?)
}

pub(crate) fn take<'b>(buf: &mut &'b [u8], count: usize) -> Option<&'b [u8]> {
    let (taken, rest) = buf.split_at_checked(count)?;
    *buf = rest;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> [(Row, Vec<u8>); 3] {
        let plain = Row { account: Account::default(), storage: None };
        let payer = Row {
            account: Account { nonce: 0x102, balance: U256::from(0xab_cdef), ..Account::default() },
            storage: None,
        };
        let contract = Row {
            account: Account { nonce: 1, balance: U256::ZERO, code_hash: B256::repeat_byte(7) },
            storage: Some(StorageRef { root: B256::repeat_byte(9), id: 0x0304 }),
        };
        let mut bytes = vec![3, 1, 1, 0];
        bytes.extend([7; 32]);
        bytes.extend([9; 32]);
        bytes.extend([0, 0, 0, 0, 0, 0, 3, 4]);
        [(plain, vec![0, 0, 0]), (payer, vec![0, 2, 1, 2, 3, 0xab, 0xcd, 0xef]), (contract, bytes)]
    }

    #[test]
    fn rows_have_the_bytes_that_are_drawn() {
        for (row, bytes) in rows() {
            assert_eq!(row.encode(), bytes);
            assert_eq!(Row::decode(&bytes), Some(row));
        }
    }

    #[test]
    fn a_row_that_is_cut_longer_or_not_trimmed_is_refused() {
        for (_, bytes) in rows() {
            for length in 0..bytes.len() {
                assert_eq!(Row::decode(&bytes[..length]), None, "{length}");
            }
            let longer = [bytes.as_slice(), &[0]].concat();
            assert_eq!(Row::decode(&longer), None);
        }
        assert_eq!(Row::decode(&[0, 1, 0, 0]), None, "a nonce of one zero byte");
        assert_eq!(Row::decode(&[4, 0, 0]), None, "an unknown flag");
    }
}

//! The EVM implementation's database on top of a [`StateReader`].

use crate::{CodeCache, ReadLog, StateReader, code::as_before_prague};
use fugue_state::Account;
use fugue_types::{Address, B256, HashMap, U256};
use revm::{
    bytecode::Bytecode,
    database_interface::{DBErrorMarker, Database},
    state::AccountInfo,
};

/// A read that was not answered, in the wrapper that the EVM implementation asks for.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(crate) struct ReadFault<E: std::error::Error + 'static>(pub(crate) E);

impl<E: std::error::Error + Send + Sync + 'static> DBErrorMarker for ReadFault<E> {}

/// Answers the EVM from a reader and logs what it answered.
#[derive(Debug)]
pub(crate) struct LoggedDatabase<'c, R> {
    pub(crate) reader: R,
    pub(crate) codes: &'c CodeCache,
    pub(crate) log: ReadLog,
    /// The rules know delegations (EIP-7702).
    pub(crate) delegates: bool,
    /// An account was asked for that does not exist, since the journal was last empty.
    pub(crate) has_vacant: bool,
    /// One was asked for that exists and is empty.
    pub(crate) has_empty: bool,
    /// Of ancestors that were asked for, 256 at most: a store reads a header for each, and to ask
    /// costs 20 gas every time (BLOCKHASH).
    hashes: HashMap<u64, B256>,
}

impl<'c, R> LoggedDatabase<'c, R> {
    /// Nothing has been asked for yet.
    pub(crate) fn new(reader: R, codes: &'c CodeCache, delegates: bool) -> Self {
        let (log, has_vacant, has_empty) = (ReadLog::default(), false, false);
        Self { reader, codes, log, delegates, has_vacant, has_empty, hashes: HashMap::default() }
    }

    /// The journal is empty again.
    pub(crate) const fn begin_anew(&mut self) {
        self.has_vacant = false;
        self.has_empty = false;
    }
}

/// The account as the EVM implementation holds it; its code is asked for by hash when needed.
pub(crate) fn to_info(account: Account) -> AccountInfo {
    let Account { nonce, balance, code_hash } = account;
    AccountInfo { nonce, balance, code_hash, account_id: None, code: None }
}

/// The account as everyone else holds it.
pub(crate) fn to_account(info: &AccountInfo) -> Account {
    Account { nonce: info.nonce, balance: info.balance, code_hash: info.code_hash }
}

impl<R: StateReader> Database for LoggedDatabase<'_, R> {
    type Error = ReadFault<R::Error>;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, Self::Error> {
        let account = self.reader.account(address).map_err(ReadFault)?;
        self.log.accounts.push((address, account));
        self.has_vacant |= account.is_none();
        self.has_empty |= account.is_some_and(|account| account.is_empty());
        Ok(account.map(to_info))
    }

    fn code_by_hash(&mut self, code_hash: B256) -> Result<Bytecode, Self::Error> {
        let code = self.codes.get(code_hash, || self.reader.code(code_hash)).map_err(ReadFault)?;
        Ok(if self.delegates { code } else { as_before_prague(code) })
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, Self::Error> {
        let value = self.reader.slot(address, slot).map_err(ReadFault)?;
        self.log.slots.push((address, slot, value));
        Ok(value)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, Self::Error> {
        if let Some(hash) = self.hashes.get(&number) {
            return Ok(*hash);
        }
        let hash = self.reader.block_hash(number).map_err(ReadFault)?;
        self.hashes.insert(number, hash);
        Ok(hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fugue_state::StateError;
    use fugue_types::Bytes;

    /// Knows hashes alone, from block 5 on, and counts how often it is asked for one.
    struct Hashes(usize);

    impl StateReader for Hashes {
        type Error = StateError;

        fn account(&mut self, _: Address) -> Result<Option<Account>, StateError> {
            Ok(None)
        }

        fn slot(&mut self, _: Address, _: U256) -> Result<U256, StateError> {
            Ok(U256::ZERO)
        }

        fn has_storage(&mut self, _: Address) -> Result<bool, StateError> {
            Ok(false)
        }

        fn code(&mut self, code_hash: B256) -> Result<Bytes, StateError> {
            Err(StateError::CodeMissing(code_hash))
        }

        fn block_hash(&mut self, number: u64) -> Result<B256, StateError> {
            self.0 += 1;
            if number < 5 {
                return Err(StateError::BlockHashMissing(number));
            }
            Ok(B256::from(U256::from(number)))
        }
    }

    #[test]
    fn the_hash_of_an_ancestor_is_read_once() {
        let codes = CodeCache::new();
        let mut database = LoggedDatabase::new(Hashes(0), &codes, true);
        for (number, reads) in [(7, 1), (8, 2), (7, 2), (8, 2), (7, 2)] {
            let hash = database.block_hash(number).expect("it is known");
            assert_eq!((hash, database.reader.0), (B256::from(U256::from(number)), reads));
        }
        // What was not answered is asked again.
        for reads in [3, 4] {
            assert!(database.block_hash(4).is_err());
            assert_eq!(database.reader.0, reads);
        }
    }
}

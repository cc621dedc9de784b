//! The index of addresses, of databases that were begun with one: which address has a hash, and
//! which blocks name an address.
//!
//! State is kept by the hashes of addresses. The table `Addresses` has the address of every account
//! that exists or ever did, those of the genesis too. A row is written when an account begins to
//! be, and stays: whatever becomes of its block, it is true.
//!
//! A block *names* the accounts that it changed, the senders and recipients of its transactions,
//! the addresses of its logs, and from Amsterdam on all of its block access list (EIP-7928). What
//! was called before Amsterdam, but neither changed nor wrote a log, is known to a trace alone. The
//! genesis names nobody. The table `AddressIndex` has the rows of the [index of logs], where the
//! hash of a term is that of the address, keccak256. Its sections go when the states before all of
//! their blocks are gone.
//!
//! [index of logs]: crate::log_index

use crate::{BlockRecord, Snapshot, StorageError, Table, blocks::damaged, log_index::TermHash};
use alloy_rlp::{Decodable, Header};
use fugue_types::{
    Address, B256, BlockBody, Bytes, HashSet, ReceiptEnvelope, TransactionTrait, keccak256,
};
use std::ops::RangeInclusive;

/// What says whom a block names, beside the accounts that it changed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Named<'b> {
    pub(crate) body: &'b BlockBody,
    pub(crate) senders: &'b [Address],
    pub(crate) receipts: &'b [ReceiptEnvelope],
    pub(crate) access_list: Option<&'b Bytes>,
}

impl<'b> Named<'b> {
    pub(crate) fn of_record(record: &'b BlockRecord) -> Self {
        Self {
            body: &record.block.block().body,
            senders: record.block.senders(),
            receipts: &record.receipts,
            access_list: record.access_list.as_ref(),
        }
    }

    /// Some of them more than once.
    fn addresses(self) -> impl Iterator<Item = Address> + 'b {
        let Self { body, senders, receipts, access_list } = self;
        let recipients = body.transactions.iter().filter_map(TransactionTrait::to);
        let logs = receipts.iter().flat_map(ReceiptEnvelope::logs).map(|log| log.address);
        let listed = access_list.and_then(|list| listed(list)).unwrap_or_default();
        senders.iter().copied().chain(recipients).chain(logs).chain(listed)
    }

    /// The terms of the block, which has changed the accounts with these hashes: each once.
    pub(crate) fn terms(self, changed: &[B256]) -> Vec<TermHash> {
        let addresses: HashSet<Address> = self.addresses().collect();
        let hashes = addresses.into_iter().map(keccak256);
        let terms = changed.iter().copied().chain(hashes).map(TermHash::of);
        let mut terms: Vec<TermHash> = terms.collect();
        terms.sort_unstable();
        terms.dedup();
        terms
    }
}

/// The accounts of a block access list in RLP; `None` if it is none.
fn listed(mut list: &[u8]) -> Option<Vec<Address>> {
    let mut accounts = Header::decode_bytes(&mut list, true).ok()?;
    let mut addresses = Vec::new();
    while !accounts.is_empty() {
        // The address stands first.
        let mut account = Header::decode_bytes(&mut accounts, true).ok()?;
        addresses.push(Address::decode(&mut account).ok()?);
    }
    Some(addresses)
}

impl BlockRecord {
    /// Whether the block names an address, as the index of addresses has it.
    pub fn names(&self, address: Address) -> bool {
        self.diff.accounts.iter().any(|change| change.address == address)
            || Named::of_record(self).addresses().any(|named| named == address)
    }
}

impl Snapshot {
    /// Whether there is an index of addresses.
    ///
    /// # Errors
    /// [`StorageError::NotIndexed`].
    pub const fn check_addresses(&self) -> Result<(), StorageError> {
        if self.meta().indexes_addresses { Ok(()) } else { Err(StorageError::NotIndexed) }
    }

    /// The address with this hash; `None` if there never was such an account.
    ///
    /// # Errors
    /// [`StorageError::NotIndexed`], or what the database says.
    pub fn address(&self, hash: B256) -> Result<Option<Address>, StorageError> {
        self.check_addresses()?;
        self.decoded(Table::Addresses, hash.as_slice(), |bytes| {
            let address = Address::from(<[u8; 20]>::try_from(bytes).ok()?);
            (keccak256(address) == hash).then_some(address)
        })
    }

    /// The address of an account that some block changed, by its hash.
    ///
    /// # Errors
    /// [`StorageError::NotIndexed`], or what the database says.
    pub fn account_address(&self, hash: B256) -> Result<Address, StorageError> {
        let missing =
            || damaged(Table::Addresses, hash.as_slice(), "the address of an account is missing");
        self.address(hash)?.ok_or_else(missing)
    }

    /// The oldest block of which is kept what it did: the state before it, its body, its receipts.
    pub fn oldest_named(&self) -> u64 {
        let meta = self.meta();
        meta.oldest_state.saturating_add(1).max(meta.oldest_body).max(meta.oldest_receipts)
    }

    /// The blocks of `range`, ascending, that name an address, and rarely one that does not. For an
    /// empty range there are none.
    ///
    /// Reads a row for each section of [`LOG_SECTION_BLOCKS`](crate::LOG_SECTION_BLOCKS).
    ///
    /// # Errors
    /// [`StorageError::NotIndexed`], [`StorageError::Pruned`] if a block of the range is before
    /// [`Snapshot::oldest_named`], [`StorageError::AboveHead`], or what the database says.
    pub fn address_blocks(
        &self,
        range: RangeInclusive<u64>,
        address: Address,
    ) -> Result<Vec<u64>, StorageError> {
        self.check_addresses()?;
        if range.is_empty() {
            return Ok(Vec::new());
        }
        for number in [range.start(), range.end()] {
            self.retained("transactions", *number, self.oldest_named())?;
        }
        let term = TermHash::of(keccak256(address));
        self.posted_blocks(Table::AddressIndex, range, &[vec![term]])
    }

    /// The hashes of the addresses of all accounts that a block changed, other than the genesis.
    ///
    /// # Errors
    /// [`StorageError::Pruned`], [`StorageError::AboveHead`], or what the database says.
    pub fn changed_accounts(&self, number: u64) -> Result<Vec<B256>, StorageError> {
        self.retained("changes", number, self.meta().oldest_state.saturating_add(1))?;
        Ok(self.changes(number)?.accounts)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{CommitBatch, Faults, INDEXED_SCHEMA_VERSION, Retention, SCHEMA_VERSION, Store};
    use fugue_state::{Account, AccountDiff, StateDiff};
    use fugue_trie::{EMPTY_ROOT_HASH, HashedDiff, StateTrie};
    use fugue_types::{
        Block, Eip658Value, Header as BlockHeader, Log, Receipt, SealedBlock, SenderCount, U256,
    };
    use std::{convert::Infallible, sync::Arc};

    /// Blocks of a section, and then some.
    const SECTION: u64 = crate::LOG_SECTION_BLOCKS;

    fn address(byte: u8) -> Address {
        Address::repeat_byte(byte)
    }

    fn account(balance: u64) -> Account {
        Account { balance: U256::from(balance), ..Account::default() }
    }

    /// Makes, changes or ends an account.
    fn change(byte: u8, before: Option<u64>, after: Option<u64>) -> AccountDiff {
        let (before, after) = (before.map(account), after.map(account));
        let wiped = before.is_some() && after.is_none();
        AccountDiff { address: address(byte), before, after, wiped, slots: Vec::new() }
    }

    fn receipt(logs: &[u8]) -> ReceiptEnvelope {
        let log = |byte: &u8| Log::new_unchecked(address(*byte), Vec::new(), Bytes::new());
        let logs = logs.iter().map(log).collect();
        let status = Eip658Value::Eip658(true);
        ReceiptEnvelope::Legacy(Receipt { status, cumulative_gas_used: 1, logs }.with_bloom())
    }

    /// What is done to a store.
    type Damage = dyn Fn(&Store) -> Result<(), StorageError>;

    /// A store, and what the next block builds on.
    pub(crate) struct Subject {
        pub(crate) store: Store,
        trie: StateTrie,
        parent: BlockHeader,
    }

    impl Subject {
        pub(crate) fn new(is_indexed: bool) -> Self {
            let store = Store::memory(Faults::none());
            let trie = StateTrie::new(EMPTY_ROOT_HASH);
            let mut subject = Self { store, trie, parent: BlockHeader::default() };
            let genesis = subject.batch(vec![change(1, None, Some(9))], &[]);
            let begun = if is_indexed {
                subject.store.init_indexed(Vec::new(), &genesis)
            } else {
                subject.store.init(Vec::new(), &genesis)
            };
            begun.expect("an empty store");
            subject
        }

        /// The next block, with these logs. Its header has no roots but that of the state.
        fn batch(&mut self, accounts: Vec<AccountDiff>, logs: &[u8]) -> CommitBatch {
            let diff = StateDiff { accounts, codes: Vec::new() };
            let is_first = self.parent == BlockHeader::default();
            let hashed = HashedDiff::from(&diff);
            let source = (!is_first).then(|| self.store.snapshot().expect("a chain"));
            let storage_roots = match &source {
                Some(source) => self.trie.apply(source, &hashed, None),
                None => self.trie.apply(&fugue_trie::NoSource, &hashed, None),
            };
            let receipts = if logs.is_empty() { Vec::new() } else { vec![receipt(logs)] };
            let header = BlockHeader {
                number: if is_first { 0 } else { self.parent.number + 1 },
                parent_hash: if is_first { B256::ZERO } else { self.parent.hash_slow() },
                state_root: self.trie.root(),
                receipts_root: alloy_consensus::proofs::calculate_receipt_root(&receipts),
                gas_limit: 1,
                ..BlockHeader::default()
            };
            self.parent = header.clone();
            let block = SealedBlock::seal(Block { header, body: BlockBody::default() });
            let block = block.check(|_| Ok::<_, Infallible>(())).expect("nobody judges");
            let block = block.recover(|_| Ok::<_, SenderCount>(Vec::new())).expect("it is empty");
            let record = BlockRecord {
                block,
                total_difficulty: U256::ZERO,
                receipts,
                access_list: None,
                diff,
                storage_roots: storage_roots.expect("nothing is blinded"),
            };
            CommitBatch { blocks: vec![Arc::new(record)], trie: self.trie.take_updates() }
        }

        pub(crate) fn commit(&mut self, accounts: Vec<AccountDiff>, logs: &[u8]) {
            let batch = self.batch(accounts, logs);
            self.store.commit(&batch).expect("it follows");
        }

        fn unwind(&mut self, to: u64) {
            self.store.unwind(to, |_| ()).expect("it is kept");
            let (_, header) = self.snapshot().header(to).expect("it is there");
            self.trie = StateTrie::new(header.state_root);
            self.parent = header;
        }

        pub(crate) fn snapshot(&self) -> Snapshot {
            self.store.snapshot().expect("a chain")
        }

        /// The blocks that name an address, of all that may be asked for; and all fits.
        fn blocks(&self, byte: u8) -> Vec<u64> {
            let snapshot = self.snapshot();
            let verified = snapshot.verify(|| ()).expect("a good store");
            assert_eq!(verified.problems, Vec::new());
            let range = snapshot.oldest_named()..=snapshot.meta().head.number;
            snapshot.address_blocks(range, address(byte)).expect("it is kept")
        }

        fn is_known(&self, byte: u8) -> bool {
            let found = self.snapshot().address(keccak256(address(byte))).expect("a good store");
            assert!(found.is_none_or(|found| found == address(byte)));
            found.is_some()
        }
    }

    #[test]
    fn addresses_and_blocks_are_kept_through_commits_and_unwinding() {
        let mut subject = Subject::new(true);
        assert!(subject.is_known(1) && !subject.is_known(2));
        subject.commit(vec![change(1, Some(9), Some(8)), change(2, None, Some(1))], &[]);
        subject.commit(vec![change(2, Some(1), None)], &[7]);
        subject.commit(Vec::new(), &[7, 1]);
        assert_eq!(subject.blocks(1), [1, 3]);
        assert_eq!(subject.blocks(2), [1, 2]);
        assert_eq!(subject.blocks(7), [2, 3]);
        assert_eq!(subject.blocks(9), [0_u64; 0]);
        assert!(subject.is_known(2), "it existed once");
        // Nobody but logs has ever named it.
        assert!(!subject.is_known(7));
        let changed = subject.snapshot().changed_accounts(2).expect("it is kept");
        assert_eq!(changed, [keccak256(address(2))]);

        subject.unwind(1);
        assert_eq!((subject.blocks(1), subject.blocks(7)), (vec![1], Vec::new()));
        assert!(subject.is_known(2));
        // Another block has its place.
        subject.commit(vec![change(3, None, Some(1))], &[9]);
        assert_eq!((subject.blocks(2), subject.blocks(3)), (vec![1], vec![2]));
        assert_eq!(subject.blocks(9), [2]);
        assert!(subject.is_known(3));
    }

    #[test]
    fn sections_go_when_no_state_of_theirs_is_kept() {
        let mut subject = Subject::new(true);
        for number in 1..=SECTION + 200 {
            let logs: &[u8] = if number.is_multiple_of(100) { &[5] } else { &[] };
            subject.commit(Vec::new(), logs);
        }
        let all: Vec<u64> = (1..=12).map(|hundred| hundred * 100).collect();
        assert_eq!(subject.blocks(5), all);
        let rows = |subject: &Subject| {
            let stats = subject.store.stats().expect("a good store");
            let of_index = stats.tables.iter().find(|(table, _)| *table == Table::AddressIndex);
            of_index.map_or(0, |(_, size)| size.rows)
        };
        assert_eq!(rows(&subject), 2);
        // What is left of the first section is kept with it.
        subject.store.prune(Retention::Full { window: 250 }).expect("nothing fails");
        assert_eq!((subject.blocks(5), rows(&subject)), (vec![1_000, 1_100, 1_200], 2));
        let before = subject.snapshot().oldest_named() - 1;
        let refused = subject.snapshot().address_blocks(before..=1_200, address(5));
        assert!(matches!(refused, Err(StorageError::Pruned { .. })), "{refused:?}");
        subject.store.prune(Retention::Minimal { window: 150 }).expect("nothing fails");
        assert_eq!((subject.blocks(5), rows(&subject)), (vec![1_100, 1_200], 1));
        // The account of the genesis is as old as that.
        assert!(subject.is_known(1));
    }

    #[test]
    fn what_the_block_of_the_oldest_state_changed_is_pruned_and_not_damaged() {
        let mut subject = Subject::new(true);
        for balance in 1..=5 {
            subject.commit(vec![change(1, Some(10 - balance), Some(9 - balance))], &[]);
        }
        for (window, oldest) in [(5, 0), (2, 3)] {
            subject.store.prune(Retention::Full { window }).expect("nothing fails");
            let snapshot = subject.snapshot();
            assert_eq!(snapshot.meta().oldest_state, oldest);
            let pruned =
                StorageError::Pruned { what: "changes", number: oldest, oldest: oldest + 1 };
            assert_eq!(snapshot.changed_accounts(oldest), Err(pruned));
            let kept = snapshot.changed_accounts(oldest + 1);
            assert_eq!(kept, Ok(vec![keccak256(address(1))]));
        }
    }

    #[test]
    fn a_chain_without_the_index_says_so_and_has_the_schema_that_it_had() {
        let mut subject = Subject::new(false);
        subject.commit(vec![change(2, None, Some(1))], &[7]);
        let snapshot = subject.snapshot();
        let refused = Err(StorageError::NotIndexed);
        assert_eq!(snapshot.check_addresses(), refused);
        assert_eq!(snapshot.address(keccak256(address(1))), Err(StorageError::NotIndexed));
        assert_eq!(snapshot.address_blocks(1..=1, address(7)), Err(StorageError::NotIndexed));
        let stats = subject.store.stats().expect("a good store");
        let rows = stats.tables.iter().filter(|(table, _)| table.is_optional());
        assert_eq!(rows.map(|(_, size)| size.rows).sum::<u64>(), 0);
        assert_eq!(snapshot.verify(|| ()).expect("a good store").problems, Vec::new());
        for (is_indexed, schema) in [(false, SCHEMA_VERSION), (true, INDEXED_SCHEMA_VERSION)] {
            let snapshot = Subject::new(is_indexed).snapshot();
            assert_eq!(snapshot.meta().indexes_addresses, is_indexed);
            let found = snapshot.decoded(Table::Meta, crate::meta::SCHEMA, |bytes| {
                Some(u32::from_be_bytes(bytes.try_into().ok()?))
            });
            assert_eq!(found, Ok(Some(schema)));
        }
    }

    #[test]
    fn what_is_missing_or_too_much_is_told() {
        let damages: [(&str, &Damage); 4] = [
            ("an address is missing", &|store| {
                store.write(|tx| tx.delete(Table::Addresses, keccak256(address(2)).as_slice()))
            }),
            ("an address is another one", &|store| {
                let key = keccak256(address(2));
                store.write(|tx| tx.put(Table::Addresses, key.as_slice(), address(3).as_slice()))
            }),
            ("blocks are missing", &|store| {
                store.write(|tx| tx.delete_prefix(Table::AddressIndex, &[]).map(drop))
            }),
            ("a block is above the head", &|store| {
                let key = [&0_u64.to_be_bytes()[..], &[0xff, 0xf0]].concat();
                store.write(|tx| tx.put(Table::AddressIndex, &key, &[0, 1, 3, 0xff]))
            }),
        ];
        for (name, damage) in damages {
            let mut subject = Subject::new(true);
            subject.commit(vec![change(2, None, Some(1))], &[7]);
            damage(&subject.store).expect("nothing fails");
            let verified = subject.snapshot().verify(|| ()).expect("damage is a problem");
            assert!(!verified.problems.is_empty(), "{name}");
        }
    }

    #[test]
    fn a_block_names_what_its_access_list_has() {
        let account = |byte: u8| {
            let mut fields = alloy_rlp::encode(address(byte));
            // Five lists of changes follow.
            fields.extend([0xc0; 5]);
            fields
        };
        let list = |items: &[Vec<u8>]| {
            let payload = items.concat();
            let mut bytes = Vec::new();
            Header { list: true, payload_length: payload.len() }.encode(&mut bytes);
            bytes.extend(payload);
            bytes
        };
        let accounts = [1, 2].map(|byte| list(&[account(byte)]));
        let whole = list(&accounts);
        assert_eq!(listed(&whole), Some(vec![address(1), address(2)]));
        assert_eq!(listed(&[0xc0]), Some(Vec::new()));
        assert_eq!(listed(&whole[..whole.len() - 1]), None);
        assert_eq!(listed(&[0x80]), None);
        let access_list = Some(Bytes::from(whole));
        let body = BlockBody::default();
        let (senders, receipts) = ([address(3)], [receipt(&[4, 2])]);
        let named = Named {
            body: &body,
            senders: &senders,
            receipts: &receipts,
            access_list: access_list.as_ref(),
        };
        let mut expected = [1, 2, 3, 4, 5].map(|byte| TermHash::of(keccak256(address(byte))));
        expected.sort_unstable();
        assert_eq!(named.terms(&[keccak256(address(5))]), expected);
    }
}

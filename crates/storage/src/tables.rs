//! What the database holds, table by table. Integers in keys and values are big-endian and of fixed
//! width unless they are *trimmed*: without leading zero bytes. H(x) is keccak256(x).
//!
//! ```text
//! table            key                                value
//! Meta             name                               see `meta`
//! Headers          number u64                         hash 32, length u8 and trimmed total
//!                                                     difficulty, packed RLP of the header
//! HeaderNumbers    hash 32                            number u64
//! Bodies           number u64                         packed RLP of the body
//! Receipts         number u64                         packed RLP of the receipts, see `blocks`
//! LogIndex         number u64, bucket u16             blocks by their logs, see `log_index`
//! AddressIndex     number u64, bucket u16             blocks by the addresses that they name, see
//!                                                     `address_index`; in some databases
//! AccessLists      number u64                         packed RLP of the block access list, from
//!                                                     Amsterdam on
//! Senders          number u64                         20 bytes for each transaction
//! Transactions     hash 32                            number u64, index u32
//! Accounts         H(address) 32                      row
//! Storage          storage id u64, H(slot) 32         trimmed value
//! Codes            H(code) 32                         the code
//! Addresses        H(address) 32                      the address 20; in some databases
//! AccountHistory   H(address) 32, number u64          row before the block, or nothing
//! StorageHistory   storage id u64, H(slot) 32,        trimmed value before the block
//!                  number u64
//! Changes          number u64                         keys that the block changed, see `changes`
//! Graves           number u64, storage id u64         nothing: the block ended that storage's life
//! AccountTrie      path                               stored branch (crate `trie`)
//! StorageTrie      storage id u64, path               stored branch
//!
//! path    length u8 in nibbles, nibbles packed, high nibble first
//! row     flags u8 | length u8, trimmed nonce | length u8, trimmed balance
//!         | code hash 32 if flags & 1 | storage root 32, storage id u64 if flags & 2
//! packed  0x00, bytes | 0x01, length u32 unpacked, zstd frame
//! ```

/// A table of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// What holds for the whole chain.
    Meta,
    /// Canonical headers.
    Headers,
    /// Numbers by hash.
    HeaderNumbers,
    /// Transactions, ommers, withdrawals.
    Bodies,
    /// Receipts.
    Receipts,
    /// Blocks by what their logs have.
    LogIndex,
    /// Blocks by the addresses that they name.
    AddressIndex,
    /// Block access lists.
    AccessLists,
    /// Senders of transactions.
    Senders,
    /// Where a transaction is.
    Transactions,
    /// The latest accounts.
    Accounts,
    /// The latest slots.
    Storage,
    /// Codes by hash.
    Codes,
    /// Addresses by hash.
    Addresses,
    /// Accounts before blocks.
    AccountHistory,
    /// Slots before blocks.
    StorageHistory,
    /// Keys that each block changed.
    Changes,
    /// Storages that each block ended.
    Graves,
    /// Branches of the trie of the accounts.
    AccountTrie,
    /// Branches of the tries of storage.
    StorageTrie,
}

impl Table {
    /// All tables.
    pub const ALL: [Self; 20] = [
        Self::Meta,
        Self::Headers,
        Self::HeaderNumbers,
        Self::Bodies,
        Self::Receipts,
        Self::LogIndex,
        Self::AddressIndex,
        Self::AccessLists,
        Self::Senders,
        Self::Transactions,
        Self::Accounts,
        Self::Storage,
        Self::Codes,
        Self::Addresses,
        Self::AccountHistory,
        Self::StorageHistory,
        Self::Changes,
        Self::Graves,
        Self::AccountTrie,
        Self::StorageTrie,
    ];

    /// Its name in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Meta => "Meta",
            Self::Headers => "Headers",
            Self::HeaderNumbers => "HeaderNumbers",
            Self::Bodies => "Bodies",
            Self::Receipts => "Receipts",
            Self::LogIndex => "LogIndex",
            Self::AddressIndex => "AddressIndex",
            Self::AccessLists => "AccessLists",
            Self::Senders => "Senders",
            Self::Transactions => "Transactions",
            Self::Accounts => "Accounts",
            Self::Storage => "Storage",
            Self::Codes => "Codes",
            Self::Addresses => "Addresses",
            Self::AccountHistory => "AccountHistory",
            Self::StorageHistory => "StorageHistory",
            Self::Changes => "Changes",
            Self::Graves => "Graves",
            Self::AccountTrie => "AccountTrie",
            Self::StorageTrie => "StorageTrie",
        }
    }

    /// Whether a database may lack it that has no index of addresses: those of the first programs
    /// of this schema do.
    pub(crate) const fn is_optional(self) -> bool {
        matches!(self, Self::AddressIndex | Self::Addresses)
    }

    pub(crate) const fn index(self) -> usize {
        self as usize
    }
}

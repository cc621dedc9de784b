//! Everything that a store answers, against the model.

use super::{CONFIG, Model, ModelBlock, plan};
use fugue_state::{Account, MemoryState, StateView};
use fugue_storage::{
    Head, LOG_SECTION_BLOCKS, LogTerms, Snapshot, StorageError, Store, Table, Verified,
};
use fugue_types::{Address, B256, HashSet, U256, keccak256};
use std::{collections::BTreeSet, fmt::Debug};

/// Where a store and the model part.
#[derive(Debug)]
pub(crate) enum Wrong {
    /// The store could not answer.
    Error(String),
    /// It answered something else.
    Differs { what: &'static str, text: String },
}

impl<E: std::error::Error> From<E> for Wrong {
    fn from(error: E) -> Self {
        Self::Error(error.to_string())
    }
}

fn same<T: PartialEq + Debug>(
    what: &'static str,
    number: u64,
    expected: &T,
    found: &T,
) -> Result<(), Wrong> {
    if expected == found {
        return Ok(());
    }
    let text = format!("block {number}: expected {expected:?}, found {found:?}");
    Err(Wrong::Differs { what, text })
}

/// All of it.
pub(crate) fn whole(store: &Store, model: &Model) -> Result<(), Wrong> {
    let snapshot = store.snapshot()?;
    same("head of the store", 0, &model.head(), &store.head()?)?;
    marks(&snapshot, model)?;
    chain(&snapshot, model)?;
    logs(&snapshot, model)?;
    states(&snapshot, model)?;
    let verified = verified(&snapshot, model)?;
    sizes(store, &verified, model)
}

/// What holds for the whole chain.
pub(crate) fn marks(snapshot: &Snapshot, model: &Model) -> Result<(), Wrong> {
    let meta = snapshot.meta();
    let head = model.head().number;
    same("head", head, &model.head(), &meta.head)?;
    same("genesis", 0, &model.block(0).hash, &meta.genesis)?;
    same("config", 0, &CONFIG.to_vec(), &meta.config)?;
    let expected = (model.oldest_state, model.oldest_receipts, model.oldest_body);
    let found = (meta.oldest_state, meta.oldest_receipts, meta.oldest_body);
    same("marks", head, &expected, &found)
}

/// What is kept of a block, or the word that it is pruned.
fn kept<T: PartialEq + Debug>(
    what: &'static str,
    number: u64,
    oldest: u64,
    expected: &T,
    found: Result<T, StorageError>,
) -> Result<(), Wrong> {
    if number >= oldest {
        return same(what, number, expected, &found?);
    }
    let pruned = StorageError::Pruned { what, number, oldest };
    same(what, number, &Some(pruned), &found.err())
}

/// Headers, bodies, receipts, senders, and the ways to them.
pub(crate) fn chain(snapshot: &Snapshot, model: &Model) -> Result<(), Wrong> {
    let meta = snapshot.meta();
    let above =
        Some(StorageError::AboveHead { number: meta.head.number + 1, head: meta.head.number });
    for (number, block) in (0..).zip(&model.blocks) {
        let header = (block.hash, block.header.clone());
        same("header", number, &header, &snapshot.header(number)?)?;
        let total = snapshot.total_difficulty(number)?;
        same("total difficulty", number, &block.total_difficulty, &total)?;
        same("number", number, &Some(number), &snapshot.number(block.hash)?)?;
        kept("body", number, model.oldest_body, &block.body, snapshot.body(number))?;
        let list = snapshot.access_list(number);
        kept("access list", number, model.oldest_body, &block.access_list, list)?;
        kept("senders", number, model.oldest_body, &block.senders, snapshot.senders(number))?;
        let receipts = snapshot.receipts(number);
        kept("receipts", number, model.oldest_receipts, &block.receipts, receipts)?;
        for (index, transaction) in (0u32..).zip(&block.body.transactions) {
            let place = (number >= model.oldest_body).then_some((number, index));
            let found = snapshot.transaction(*transaction.tx_hash())?;
            same("transaction", number, &place, &found)?;
        }
    }
    let number = meta.head.number + 1;
    same("header above", number, &above, &snapshot.header(number).err())?;
    same("body above", number, &above, &snapshot.body(number).err())?;
    same("state above", number, &above, &snapshot.state_at(number).err())?;
    same("unknown hash", number, &None, &snapshot.number(B256::repeat_byte(0xee))?)?;
    same("unknown transaction", number, &None, &snapshot.transaction(B256::repeat_byte(0xee))?)
}

/// A term of a log: 0 and an address, or the position of a topic from 1 on, and the topic.
type Term = (u8, Vec<u8>);

/// The terms of a block's logs.
fn terms(block: &ModelBlock) -> BTreeSet<Term> {
    let logs = block.receipts.iter().flat_map(|receipt| receipt.logs());
    logs.flat_map(|log| {
        let topics = (1..).zip(log.data.topics()).map(|(kind, topic)| (kind, topic.to_vec()));
        topics.chain([(0, log.address.to_vec())])
    })
    .collect()
}

/// Filters for what there is and for what there is not: addresses, and topics by position.
fn filters(model: &Model) -> Vec<(Vec<Address>, Vec<Vec<B256>>)> {
    let address = |byte: u8| Address::repeat_byte(byte);
    let number = |number: u64| B256::from(U256::from(number));
    let head = model.head().number;
    // Every number of a short chain, some of a long one.
    let step = usize::try_from(head / 16 + 1).expect("a short chain");
    let mut filters = vec![
        (vec![], vec![]),
        (vec![], vec![vec![], vec![]]),
        (vec![address(3)], vec![]),
        (vec![address(4)], vec![]),
        (vec![address(0x99)], vec![]),
        (vec![address(0x99), address(5), address(4)], vec![]),
        (vec![address(4)], vec![vec![number(0)], vec![]]),
        (vec![], vec![vec![], vec![number(7)]]),
        (vec![], vec![vec![number(7)]]),
        (vec![address(3)], vec![vec![number(0), number(1)], vec![number(7), number(8)]]),
        (vec![], vec![(0..=head).step_by(step).map(number).collect()]),
    ];
    let each = (0..=head).step_by(step).map(|block| (vec![address(3)], vec![vec![number(block)]]));
    filters.extend(each);
    filters
}

/// The blocks that the index of logs names, against those whose logs have the terms.
pub(crate) fn logs(snapshot: &Snapshot, model: &Model) -> Result<(), Wrong> {
    let (oldest, head) = (model.oldest_receipts, model.head().number);
    let blocks: Vec<_> =
        (0u64..).zip(&model.blocks).map(|(at, block)| (at, terms(block))).collect();
    for (addresses, topics) in filters(model) {
        let wanted = LogTerms::new(&addresses, &topics);
        let addresses: Vec<Term> = addresses.iter().map(|address| (0, address.to_vec())).collect();
        let topics = (1..).zip(&topics).map(|(kind, values)| {
            values.iter().map(|value| (kind, value.to_vec())).collect::<Vec<Term>>()
        });
        let positions: Vec<Vec<Term>> = [addresses].into_iter().chain(topics).collect();
        let is_found = |terms: &BTreeSet<Term>| {
            positions
                .iter()
                .all(|values| values.is_empty() || values.iter().any(|value| terms.contains(value)))
        };
        for (from, to) in [(oldest, head), (oldest.midpoint(head), head), (oldest, oldest)] {
            let inside = blocks.iter().filter(|(at, _)| (from..=to).contains(at));
            let expected: Vec<u64> =
                inside.filter(|(_, terms)| is_found(terms)).map(|(at, _)| *at).collect();
            same("blocks of logs", head, &expected, &snapshot.log_blocks(from..=to, &wanted)?)?;
        }
    }
    let all = LogTerms::new(&[], &[]);
    if let Some(number) = oldest.checked_sub(1) {
        let pruned = StorageError::Pruned { what: "receipts", number, oldest };
        same("pruned logs", head, &Some(pruned), &snapshot.log_blocks(number..=head, &all).err())?;
    }
    let above = StorageError::AboveHead { number: head + 1, head };
    same("logs above", head, &Some(above), &snapshot.log_blocks(oldest..=head + 1, &all).err())?;
    let none = snapshot.log_blocks(head + 9..=head, &all)?;
    same("logs of nothing", head, &Vec::new(), &none)
}

/// The state after every block, as views and as tries.
pub(crate) fn states(snapshot: &Snapshot, model: &Model) -> Result<(), Wrong> {
    for (number, block) in (0..).zip(&model.blocks) {
        if number >= model.oldest_state {
            state(snapshot, block)?;
            let root = snapshot.tries_at(number)?.root();
            same("root of the tries", number, &block.header.state_root, &root)?;
            continue;
        }
        let oldest = model.oldest_state;
        let pruned = Some(StorageError::Pruned { what: "state", number, oldest });
        same("pruned state", number, &pruned, &snapshot.state_at(number).err())?;
        same("pruned tries", number, &pruned, &snapshot.tries_at(number).err())?;
    }
    Ok(())
}

/// The state after one block, as a view.
pub(crate) fn state(snapshot: &Snapshot, block: &ModelBlock) -> Result<(), Wrong> {
    let number = block.header.number;
    let view = snapshot.state_at(number)?;
    let stranger = Address::repeat_byte(0x99);
    for address in plan::ADDRESSES.iter().chain([&stranger]) {
        same("account", number, &account(&block.state, *address), &view.account(*address)?)?;
        let has_storage = block.state.has_storage(*address)?;
        same("has_storage", number, &has_storage, &view.has_storage(*address)?)?;
        let mut emptied = HashSet::default();
        for slot in plan::SLOTS.iter().chain([&U256::MAX]) {
            let value = block.state.slot(*address, *slot)?;
            same("slot", number, &value, &view.slot(*address, *slot)?)?;
            emptied.insert(*slot);
            let expected = block.state.has_storage_beside(*address, &emptied)?;
            let found = view.has_storage_beside(*address, &emptied)?;
            same("has_storage_beside", number, &expected, &found)?;
        }
    }
    for account in block.state.accounts.values().map(|found| found.account) {
        if account.has_code() {
            let code = block.state.code(account.code_hash)?;
            same("code", number, &code, &view.code(account.code_hash)?)?;
        }
    }
    same("block hash", number, &block.hash, &view.block_hash(number)?)?;
    same("hash of a child", number, &true, &view.block_hash(number + 1).is_err())
}

fn account(state: &MemoryState, address: Address) -> Option<Account> {
    state.accounts.get(&address).map(|found| found.account)
}

fn count(count: usize) -> u64 {
    u64::try_from(count).expect("a short chain")
}

/// What verification finds: all of the model, and no problem.
pub(crate) fn verified(snapshot: &Snapshot, model: &Model) -> Result<Verified, Wrong> {
    let Head { number, hash: _ } = model.head();
    let verified = snapshot.verify(|| ())?;
    same("problems", number, &Vec::new(), &verified.problems)?;
    let head = model.block(number);
    let slots: usize = head.state.accounts.values().map(|account| account.slots.len()).sum();
    let expected = [
        number + 1,
        number + 1 - model.oldest_body,
        number + 1 - model.oldest_receipts,
        count(with_receipts(model).map(|block| terms(block).len()).sum()),
        count(head.state.accounts.len()),
        count(slots),
    ];
    let Verified { headers, bodies, receipts, log_terms, accounts, slots, .. } = &verified;
    let found = [*headers, *bodies, *receipts, *log_terms, *accounts, *slots];
    same("verified", number, &expected, &found)?;
    Ok(verified)
}

fn with_receipts(model: &Model) -> impl Iterator<Item = &ModelBlock> {
    model.blocks.iter().filter(|block| block.header.number >= model.oldest_receipts)
}

/// Where the terms of logs stand in the index: sections go as a whole.
fn log_rows(model: &Model) -> BTreeSet<(u64, u16)> {
    let section = |number: u64| number / LOG_SECTION_BLOCKS;
    let oldest = section(model.oldest_receipts);
    let blocks = model.blocks.iter().map(|block| (section(block.header.number), block));
    blocks
        .filter(|(section, _)| *section >= oldest)
        .flat_map(|(section, block)| {
            terms(block).into_iter().map(move |(kind, term)| {
                let hash = keccak256([vec![kind], term].concat());
                (section, (u16::from(hash[0]) << 4) | (u16::from(hash[1]) >> 4))
            })
        })
        .collect()
}

/// Rows of each table: nothing is left behind that no answer needs.
pub(crate) fn sizes(store: &Store, verified: &Verified, model: &Model) -> Result<(), Wrong> {
    let number = model.head().number;
    let blocks = number + 1;
    let head = model.block(number);
    let stats = store.stats()?;
    let rows = |wanted: Table| {
        let found = stats.tables.iter().find(|(table, _)| *table == wanted);
        found.map_or(0, |(_, stats)| stats.rows)
    };
    let buried = || model.with_history().flat_map(|block| &block.buried);
    let transactions = model.blocks.iter().filter(|block| block.header.number >= model.oldest_body);
    let lists = transactions.clone().filter(|block| block.access_list.is_some());
    let accounts = model.with_history().map(|block| block.diff.accounts.len());
    let slots = model.with_history().flat_map(|block| &block.diff.accounts);
    let alive = head.state.accounts.values().map(|account| account.slots.len());
    let expected = [
        (Table::Meta, 8),
        (Table::Headers, blocks),
        (Table::HeaderNumbers, blocks),
        (Table::Bodies, blocks - model.oldest_body),
        (Table::Senders, blocks - model.oldest_body),
        (Table::Receipts, blocks - model.oldest_receipts),
        (Table::LogIndex, count(log_rows(model).len())),
        (Table::AccessLists, count(lists.count())),
        (Table::Transactions, count(transactions.map(|block| block.body.transactions.len()).sum())),
        (Table::Accounts, count(head.state.accounts.len())),
        (Table::Storage, count(alive.chain(buried().copied()).sum())),
        (Table::AccountHistory, count(accounts.sum())),
        (Table::StorageHistory, count(slots.map(|change| change.slots.len()).sum())),
        (Table::Changes, number - model.oldest_state),
        (Table::Graves, count(buried().count())),
    ];
    for (table, expected) in expected {
        same(table.name(), number, &expected, &rows(table))?;
    }
    let branches = rows(Table::AccountTrie) + rows(Table::StorageTrie);
    same("branches", number, &verified.branches, &branches)
}

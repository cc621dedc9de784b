//! A chain in plain maps, block by block: what a store must answer, and the batches that it gets.

#![allow(dead_code, reason = "each test binary uses a part of it")]

pub(crate) mod compare;
pub(crate) mod plan;
pub(crate) mod raw;
pub(crate) mod sequence;

use alloy_consensus::proofs::{
    calculate_ommers_root, calculate_receipt_root, calculate_transaction_root,
    calculate_withdrawals_root,
};
use alloy_eips::Decodable2718;
use fugue_state::{MemoryState, StateDiff};
use fugue_storage::{BlockRecord, CommitBatch, Head, Pruned, Retention};
use fugue_trie::{EMPTY_ROOT_HASH, HashedDiff, NoSource, StateTrie, TrieSource};
use fugue_types::{
    Address, B256, Block, BlockBody, Bytes, Eip658Value, Header, Log, LogData, Receipt,
    ReceiptEnvelope, RecoveredBlock, SealedBlock, SenderCount, Transaction, TxType, U256,
    Withdrawal, Withdrawals, keccak256,
};
use plan::BlockPlan;
use std::{collections::BTreeSet, convert::Infallible, sync::Arc};

/// The configuration that every store of the tests keeps.
pub(crate) const CONFIG: &[u8] = b"{\"chainId\":1}";

/// A block, and the state after it.
#[derive(Debug, Clone)]
pub(crate) struct ModelBlock {
    pub(crate) hash: B256,
    pub(crate) header: Header,
    pub(crate) body: BlockBody,
    pub(crate) senders: Vec<Address>,
    pub(crate) receipts: Vec<ReceiptEnvelope>,
    /// Of some blocks.
    pub(crate) access_list: Option<Bytes>,
    pub(crate) total_difficulty: U256,
    pub(crate) diff: StateDiff,
    pub(crate) state: MemoryState,
    /// Accounts that have a storage after the block: one began, and none was wiped since.
    pub(crate) stored: BTreeSet<Address>,
    /// For each storage that the block ended, how many slots it held.
    pub(crate) buried: Vec<usize>,
}

/// The canonical chain, and what of it is kept.
#[derive(Debug, Clone, Default)]
pub(crate) struct Model {
    /// By number.
    pub(crate) blocks: Vec<ModelBlock>,
    pub(crate) oldest_state: u64,
    pub(crate) oldest_receipts: u64,
    pub(crate) oldest_body: u64,
}

impl Model {
    /// A chain of one block, with what a store is begun with, and the tries after it.
    pub(crate) fn genesis(plan: &BlockPlan) -> (Self, CommitBatch, StateTrie) {
        let mut model = Self::default();
        let mut trie = StateTrie::new(EMPTY_ROOT_HASH);
        let batch = model.extend(std::slice::from_ref(plan), &mut trie, &NoSource);
        (model, batch, trie)
    }

    /// Appends blocks, as one batch.
    pub(crate) fn extend(
        &mut self,
        plans: &[BlockPlan],
        trie: &mut StateTrie,
        source: &dyn TrieSource,
    ) -> CommitBatch {
        let mut batch = CommitBatch::default();
        for plan in plans {
            let state = self.blocks.last().map(|block| block.state.clone()).unwrap_or_default();
            let diff = plan.diff(&state);
            let record = self.append(diff, plan.tx_count, plan.salt, trie, source);
            batch.blocks.push(record);
        }
        batch.trie = trie.take_updates();
        batch
    }

    /// Appends a block with this diff.
    pub(crate) fn append(
        &mut self,
        diff: StateDiff,
        tx_count: u8,
        salt: u8,
        trie: &mut StateTrie,
        source: &dyn TrieSource,
    ) -> Arc<BlockRecord> {
        let block = self.next(diff, tx_count, salt);
        let roots = trie.apply(source, &HashedDiff::from(&block.diff), None);
        let storage_roots = roots.expect("the source has every node");
        assert_eq!(trie.root(), block.header.state_root, "block {}", block.header.number);
        let decoded = Block { header: block.header.clone(), body: block.body.clone() };
        let record = BlockRecord {
            block: recovered(decoded, block.senders.clone()),
            total_difficulty: block.total_difficulty,
            receipts: block.receipts.clone(),
            access_list: block.access_list.clone(),
            diff: block.diff.clone(),
            storage_roots,
        };
        self.blocks.push(block);
        Arc::new(record)
    }

    fn next(&self, diff: StateDiff, tx_count: u8, salt: u8) -> ModelBlock {
        let parent = self.blocks.last();
        let number = self.blocks.len() as u64;
        let mut state = parent.map(|block| block.state.clone()).unwrap_or_default();
        let (stored, buried) = lives(parent, &diff);
        state.apply(&diff).expect("the diff is made from this state");
        let body = BlockBody {
            transactions: (0..tx_count).map(|index| transaction(number, index)).collect(),
            ommers: if number % 5 == 3 {
                vec![Header { number: number - 1, ..Header::default() }]
            } else {
                Vec::new()
            },
            withdrawals: number.is_multiple_of(2).then(|| {
                Withdrawals::new(vec![Withdrawal {
                    index: number,
                    validator_index: 7,
                    address: Address::repeat_byte(5),
                    amount: 1,
                }])
            }),
        };
        let receipts: Vec<_> = (0..tx_count).map(|index| receipt(number, index)).collect();
        // A header has this field only with all that came before it.
        let access_list = (number % 4 == 2).then(|| Bytes::from(vec![salt | 1; 40]));
        let is_late = access_list.is_some();
        let header = Header {
            blob_gas_used: is_late.then_some(0),
            excess_blob_gas: is_late.then_some(0),
            parent_beacon_block_root: is_late.then_some(B256::ZERO),
            requests_hash: is_late.then_some(B256::ZERO),
            block_access_list_hash: access_list.as_ref().map(keccak256),
            parent_hash: parent.map(|block| block.hash).unwrap_or_default(),
            ommers_hash: calculate_ommers_root(&body.ommers),
            state_root: state.root(),
            transactions_root: calculate_transaction_root(&body.transactions),
            receipts_root: calculate_receipt_root(&receipts),
            difficulty: U256::from(number % 3),
            number,
            gas_limit: 30_000_000,
            timestamp: number * 12,
            extra_data: Bytes::from(vec![salt]),
            base_fee_per_gas: Some(7),
            withdrawals_root: body.withdrawals.as_ref().map(|all| calculate_withdrawals_root(all)),
            ..Header::default()
        };
        let below = parent.map(|block| block.total_difficulty).unwrap_or_default();
        ModelBlock {
            hash: header.hash_slow(),
            senders: (0..tx_count).map(|index| Address::repeat_byte(0x80 | index)).collect(),
            total_difficulty: below + header.difficulty,
            header,
            body,
            receipts,
            access_list,
            diff,
            state,
            stored,
            buried,
        }
    }

    pub(crate) fn block(&self, number: u64) -> &ModelBlock {
        let index = usize::try_from(number).expect("a short chain");
        &self.blocks[index]
    }

    pub(crate) fn head(&self) -> Head {
        let head = self.blocks.last().expect("a chain has at least block 0");
        Head { number: head.header.number, hash: head.hash }
    }

    pub(crate) fn root(&self) -> B256 {
        self.block(self.head().number).header.state_root
    }

    /// Forgets all blocks above one.
    pub(crate) fn cut(&mut self, to: u64) {
        self.blocks.truncate(usize::try_from(to).expect("a short chain") + 1);
    }

    /// What a store with this chain prunes.
    pub(crate) fn prune(&mut self, retention: Retention) -> Pruned {
        let (window, with_bodies) = match retention {
            Retention::Archive => return Pruned::default(),
            Retention::Full { window } => (window, false),
            Retention::Minimal { window } => (window, true),
        };
        let oldest = self.head().number.saturating_sub(window);
        let raised = |mark: &mut u64| {
            let by = oldest.saturating_sub(*mark);
            *mark += by;
            by
        };
        Pruned {
            states: raised(&mut self.oldest_state),
            receipts: raised(&mut self.oldest_receipts),
            bodies: if with_bodies { raised(&mut self.oldest_body) } else { 0 },
        }
    }

    /// Blocks whose state is kept, without the oldest: history tells what was before them.
    pub(crate) fn with_history(&self) -> impl Iterator<Item = &ModelBlock> {
        self.blocks.iter().filter(|block| block.header.number > self.oldest_state)
    }
}

/// A block with senders, unjudged.
pub(crate) fn recovered(block: Block, senders: Vec<Address>) -> RecoveredBlock {
    let checked = SealedBlock::seal(block).check(|_| Ok::<_, Infallible>(()));
    let recovered = checked.expect("nobody judges").recover(|_| Ok::<_, SenderCount>(senders));
    recovered.expect("one sender for each transaction")
}

/// Which accounts have a storage after a diff, and how many slots each storage held that ended.
fn lives(parent: Option<&ModelBlock>, diff: &StateDiff) -> (BTreeSet<Address>, Vec<usize>) {
    let mut stored = parent.map(|block| block.stored.clone()).unwrap_or_default();
    let mut buried = Vec::new();
    for change in &diff.accounts {
        let had = stored.remove(&change.address);
        let is_kept = had && !change.wiped && change.after.is_some();
        if had && !is_kept {
            let account = parent.and_then(|block| block.state.accounts.get(&change.address));
            buried.push(account.map_or(0, |account| account.slots.len()));
        }
        if is_kept || (change.after.is_some() && !change.slots.is_empty()) {
            stored.insert(change.address);
        }
    }
    (stored, buried)
}

/// An RLP list of encoded items.
fn list(items: &[Vec<u8>]) -> Vec<u8> {
    let payload = items.concat();
    let mut rlp = Vec::new();
    alloy_rlp::Header { list: true, payload_length: payload.len() }.encode(&mut rlp);
    rlp.extend(payload);
    rlp
}

/// A contract creation that nobody signed, of the legacy type or of EIP-1559.
fn transaction(number: u64, index: u8) -> Transaction {
    let nonce = number * 256 + u64::from(index);
    let field = |number: u64| alloy_rlp::encode(number);
    let bytes = if index.is_multiple_of(2) {
        list(&[nonce, 1, 21_000, 0, 0, 0, 27, 1, 1].map(field))
    } else {
        let mut fields = [1, nonce, 1, 2, 21_000, 0, 0, 0].map(field).to_vec();
        fields.push(list(&[]));
        fields.extend([0, 1, 1].map(field));
        [vec![2], list(&fields)].concat()
    };
    Transaction::decode_2718_exact(&bytes).expect("the fields of a transaction")
}

/// A receipt with a log or two, in higher blocks so long that it is compressed.
fn receipt(number: u64, index: u8) -> ReceiptEnvelope {
    let topics = vec![B256::from(U256::from(number))];
    let data = Bytes::from(vec![7; usize::try_from(number).expect("a short chain") % 64 * 10]);
    let mut logs =
        vec![Log { address: Address::repeat_byte(3), data: LogData::new_unchecked(topics, data) }];
    if (number + u64::from(index)) % 3 == 2 {
        // Of another address, with what other blocks have too.
        let topics = [number % 2, 7, number].map(|topic| B256::from(U256::from(topic))).to_vec();
        let data = LogData::new_unchecked(topics, Bytes::new());
        logs.push(Log { address: Address::repeat_byte(4 + index), data });
    }
    let status = match number % 3 {
        0 => Eip658Value::PostState(B256::repeat_byte(4)),
        other => Eip658Value::Eip658(other == 1),
    };
    let cumulative_gas_used = 21_000 * (u64::from(index) + 1);
    let kind = if index.is_multiple_of(2) { TxType::Legacy } else { TxType::Eip1559 };
    let receipt = Receipt { status, cumulative_gas_used, logs };
    ReceiptEnvelope::from_typed(kind, receipt.with_bloom())
}

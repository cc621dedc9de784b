//! Small chains and files for the tests, put together without the code that they test.

use crate::{
    ArchiveError, BlockFile, Cause, EraSummary, Fault, FileBlock,
    accumulator::Accumulator,
    e2store::{Head, Kind, put_entry, put_packed},
    index::index_payload,
    verify,
};
use alloy_consensus::proofs::{calculate_receipt_root, calculate_transaction_root};
use alloy_eips::Decodable2718;
use fugue_types::{
    Address, B256, Block, BlockBody, Bytes, Eip658Value, Header, Log, LogData, Receipt,
    ReceiptEnvelope, SealedBlock, Transaction, TxType, U256, Withdrawal, Withdrawals,
};
use std::path::{Path, PathBuf};

/// Distance of the bytes at which files are cut, and of those of which a bit is flipped.
const CUT_EVERY: usize = 97;
const FLIP_EVERY: usize = 61;

/// An RLP list of encoded items.
fn list(items: &[Vec<u8>]) -> Vec<u8> {
    let payload = items.concat();
    let mut rlp = Vec::new();
    alloy_rlp::Header { list: true, payload_length: payload.len() }.encode(&mut rlp);
    rlp.extend(payload);
    rlp
}

/// A contract creation that nobody signed.
fn transaction(kind: TxType, nonce: u64) -> Transaction {
    let number = alloy_rlp::encode::<u64>;
    let bytes = if kind == TxType::Legacy {
        list(&[nonce, 1, 21_000, 0, 0, 0, 27, 1, 1].map(number))
    } else {
        let mut fields = [1, nonce, 1, 2, 21_000, 0, 0, 0].map(number).to_vec();
        fields.push(list(&[]));
        fields.extend([0, 1, 1].map(number));
        [vec![2], list(&fields)].concat()
    };
    Transaction::decode_2718_exact(&bytes).unwrap()
}

fn receipt(kind: TxType, number: u64, cumulative_gas_used: u64) -> ReceiptEnvelope {
    let topics = vec![B256::from(U256::from(number))];
    let data = LogData::new_unchecked(topics, Bytes::from(vec![7; 100]));
    let logs = vec![Log { address: Address::repeat_byte(3), data }];
    let status = match number % 3 {
        0 => Eip658Value::PostState(B256::repeat_byte(4)),
        other => Eip658Value::Eip658(other == 1),
    };
    let receipt = Receipt { status, cumulative_gas_used, logs };
    ReceiptEnvelope::from_typed(kind, receipt.with_bloom())
}

/// A chain from this number on. A block without difficulty is one from after the merge.
pub(crate) fn chain(first: u64, difficulties: &[u64]) -> Vec<FileBlock> {
    let mut parent_hash = B256::repeat_byte(9);
    let mut total = if first == 0 { U256::ZERO } else { U256::from(1_000_000) };
    let mut blocks = Vec::new();
    for (number, difficulty) in (first..).zip(difficulties) {
        let is_merged = *difficulty == 0;
        let kinds = [TxType::Legacy, TxType::Eip1559];
        let kinds = &kinds[..if number % 4 == 3 { 0 } else { 2 }];
        let body = BlockBody {
            transactions: kinds.iter().map(|kind| transaction(*kind, number)).collect(),
            ommers: vec![
                Header { number, ..Header::default() };
                usize::from(number.is_multiple_of(2))
            ],
            withdrawals: is_merged.then(|| Withdrawals::new(vec![Withdrawal::default()])),
        };
        let receipts = kinds.iter().zip(1..).map(|(kind, gas)| receipt(*kind, number, gas));
        let receipts: Vec<_> = receipts.collect();
        let header = Header {
            number,
            parent_hash,
            difficulty: U256::from(*difficulty),
            transactions_root: calculate_transaction_root(&body.transactions),
            ommers_hash: body.calculate_ommers_root(),
            withdrawals_root: body.calculate_withdrawals_root(),
            base_fee_per_gas: is_merged.then_some(7),
            receipts_root: calculate_receipt_root(&receipts),
            ..Header::default()
        };
        let block = SealedBlock::seal(Block { header, body });
        parent_hash = block.hash();
        total += U256::from(*difficulty);
        let total_difficulty = Some(total);
        blocks.push(FileBlock { block, receipts: Some(receipts), total_difficulty });
    }
    blocks
}

/// The hashes of blocks.
pub(crate) fn hashes(blocks: &[FileBlock]) -> Vec<B256> {
    blocks.iter().map(|block| block.block.hash()).collect()
}

/// The accumulator over these blocks.
pub(crate) fn accumulator(blocks: &[FileBlock]) -> B256 {
    let mut accumulator = Accumulator::default();
    for FileBlock { block, total_difficulty, .. } in blocks {
        accumulator.push(block.hash(), total_difficulty.unwrap());
    }
    accumulator.root()
}

fn put_version(out: &mut Vec<u8>) {
    out.extend(Head::VERSION.to_bytes());
}

/// Appends one entry of a block.
fn put(out: &mut Vec<u8>, kind: Kind, file_block: &FileBlock) {
    let FileBlock { block, receipts, total_difficulty } = file_block;
    let receipts = receipts.as_deref().unwrap();
    let plain = match kind {
        Kind::HEADER => alloy_rlp::encode(&block.block().header),
        Kind::BODY => alloy_rlp::encode(&block.block().body),
        Kind::RECEIPTS => list(&receipts.iter().map(alloy_rlp::encode).collect::<Vec<_>>()),
        Kind::SLIM_RECEIPTS => list(&receipts.iter().map(slim).collect::<Vec<_>>()),
        Kind::PROOF => list(&[vec![0x80], alloy_rlp::encode(Bytes::from(vec![5; 300]))]),
        _ => {
            let total = total_difficulty.unwrap().to_le_bytes::<32>();
            return put_entry(out, kind, &total).unwrap();
        }
    };
    put_packed(out, kind, &plain).unwrap();
}

fn slim(envelope: &ReceiptEnvelope) -> Vec<u8> {
    let Receipt { status, cumulative_gas_used, logs } = envelope.as_receipt().unwrap();
    let kind = alloy_rlp::encode(u8::from(envelope.tx_type()));
    let gas = alloy_rlp::encode(cumulative_gas_used);
    list(&[kind, alloy_rlp::encode(status), gas, alloy_rlp::encode(logs)])
}

/// An era1 file of these blocks, with these accumulators.
pub(crate) fn era1_with(blocks: &[FileBlock], accumulators: &[B256]) -> Vec<u8> {
    let mut out = Vec::new();
    put_version(&mut out);
    let mut places = Vec::new();
    for block in blocks {
        places.push(out.len() as u64);
        for kind in [Kind::HEADER, Kind::BODY, Kind::RECEIPTS, Kind::TOTAL_DIFFICULTY] {
            put(&mut out, kind, block);
        }
    }
    for accumulator in accumulators {
        put_entry(&mut out, Kind::ACCUMULATOR, accumulator.as_slice()).unwrap();
    }
    let first = blocks[0].block.block().header.number;
    let mut payload = index_payload(first, out.len() as u64, &places);
    payload.extend((blocks.len() as u64).to_le_bytes());
    put_entry(&mut out, Kind::BLOCK_INDEX, &payload).unwrap();
    out
}

/// An era1 file of these blocks.
pub(crate) fn era1(blocks: &[FileBlock]) -> Vec<u8> {
    era1_with(blocks, &[accumulator(blocks)])
}

/// The order of the entries in an ere file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// All headers, all bodies, and so on.
    ByKind,
    /// All of one block, then all of the next.
    ByBlock,
}

/// An ere file of these blocks, with these entries for each of them.
pub(crate) fn ere(
    blocks: &[FileBlock],
    kinds: &[Kind],
    layout: Layout,
    accumulator: Option<B256>,
) -> Vec<u8> {
    let mut out = Vec::new();
    put_version(&mut out);
    let mut places = vec![0; blocks.len() * kinds.len()];
    let mut put_one = |out: &mut Vec<u8>, block: usize, kind: usize| {
        places[block * kinds.len() + kind] = out.len() as u64;
        put(out, kinds[kind], &blocks[block]);
    };
    match layout {
        Layout::ByKind => (0..kinds.len())
            .for_each(|kind| (0..blocks.len()).for_each(|block| put_one(&mut out, block, kind))),
        Layout::ByBlock => (0..blocks.len())
            .for_each(|block| (0..kinds.len()).for_each(|kind| put_one(&mut out, block, kind))),
    }
    // An entry that the format has room for.
    put_entry(&mut out, Kind(0x0080), b"of another program").unwrap();
    if let Some(accumulator) = accumulator {
        put_entry(&mut out, Kind::ACCUMULATOR, accumulator.as_slice()).unwrap();
    }
    let first = blocks[0].block.block().header.number;
    let mut payload = index_payload(first, out.len() as u64, &places);
    payload.extend((kinds.len() as u64).to_le_bytes());
    payload.extend((blocks.len() as u64).to_le_bytes());
    put_entry(&mut out, Kind::DYNAMIC_BLOCK_INDEX, &payload).unwrap();
    out
}

/// A file of these bytes; it lives as long as its folder.
pub(crate) fn write(name: &str, bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

/// All blocks of a file.
pub(crate) fn read(path: &Path) -> Result<Vec<FileBlock>, ArchiveError> {
    BlockFile::open(path)?.collect()
}

/// What is wrong with a file of blocks.
pub(crate) fn fault(error: &ArchiveError) -> &Fault {
    match &error.cause {
        Cause::Blocks { fault, .. } => fault,
        other => panic!("{other}"),
    }
}

/// What reading gives.
type Read<T> = Result<T, ArchiveError>;

/// Cuts a file, and flips bits of it, at many places. Gives `check` a word for what was done, what
/// is read from the damaged file, and what it is verified as.
pub(crate) fn damage(
    name: &str,
    good: &[u8],
    mut check: impl FnMut(&str, Read<Vec<FileBlock>>, Read<EraSummary>),
) {
    let cuts = (0..good.len()).step_by(CUT_EVERY);
    let cuts = cuts.map(|at| (format!("cut at {at}"), good[..at].to_vec()));
    let flips = (0..good.len()).step_by(FLIP_EVERY).map(|at| {
        let mut bytes = good.to_vec();
        bytes[at] ^= 1 << (at % 8);
        (format!("flipped at {at}"), bytes)
    });
    let (_folder, path) = write(name, good);
    for (how, bytes) in cuts.chain(flips) {
        std::fs::write(&path, bytes).unwrap();
        check(&how, read(&path), verify(&path));
    }
}

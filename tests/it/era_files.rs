//! Era files of real chains: they are what their names, indexes and accumulators say, and every
//! block in them is what its header says. Files that Fugue writes of them are the same again.

use crate::support::{in_time, root};
use fugue_archive::{BlockFile, ERA_BLOCKS_MAX, Era1Writer, FileBlock, FileKind, verify};
use fugue_types::{B256, SealedBlock, b256};
use std::path::{Path, PathBuf};

/// Every file, with its first block and the transactions in it.
const FILES: [(&str, u64, usize); 4] = [
    ("mainnet-00000-5ec1ffb8.era1", 0, 0),
    ("mainnet-00001-a5364e9a.era1", 8_192, 0),
    ("sepolia-00000-643a00f7.era1", 0, 0),
    ("sepolia-00021-b8814b14.era1", 172_032, 93),
];

/// Hashes of genesis blocks, and state roots of the last blocks of files.
const MAINNET_GENESIS: B256 =
    b256!("d4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3");
const SEPOLIA_GENESIS: B256 =
    b256!("25a5cc106eea7138acab33231d7160d69cb777ee0c2c553fcddf5138993e6dd9");
const MAINNET_16383_STATE: B256 =
    b256!("e5e5a767fa558d17c5a80bda68a0b98b426b500c443cfebf68feddd9f373192b");
const SEPOLIA_8191_STATE: B256 =
    b256!("93375bd8da5611012a5e1c4732b432045ebe92acec13d391410b89afd8e8a464");

/// The folder of era files, which is no part of the repository; where CI runs, it has to be there.
fn folder() -> Option<PathBuf> {
    let data = std::env::var_os("FUGUE_DATA");
    let data = data.map_or_else(|| root().join("../shared/data"), PathBuf::from);
    let folder = data.join("era1");
    if folder.is_dir() {
        return Some(folder);
    }
    let is_ci = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(!is_ci, "CI needs {}: set FUGUE_DATA", folder.display());
    eprintln!("skipped: {} is not there; FUGUE_DATA says where it is", folder.display());
    None
}

fn read(path: &Path) -> Vec<FileBlock> {
    let file = BlockFile::open(path).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(file.kind(), FileKind::Era1);
    assert_eq!(file.block_count(), Some(ERA_BLOCKS_MAX));
    file.collect::<Result<_, _>>().unwrap_or_else(|error| panic!("{error}"))
}

fn last(blocks: &[FileBlock]) -> &SealedBlock {
    &blocks.last().expect("a block").block
}

#[test]
fn real_era_files_are_what_their_names_say() {
    let Some(folder) = folder() else { return };
    in_time("era files", move || {
        for (name, first, _) in FILES {
            let summary = verify(&folder.join(name)).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(summary.blocks, ERA_BLOCKS_MAX, "{name}");
            assert_eq!((summary.first, summary.last), (first, first + 8_191), "{name}");
            let accumulator = summary.accumulator.map(|root| format!("{root:x}"));
            let accumulator = accumulator.unwrap_or_default();
            assert!(name.contains(&format!("-{accumulator:.8}.era1")), "{name}: {accumulator}");
        }
    });
}

#[test]
fn every_block_of_real_era_files_fits_its_header() {
    let Some(folder) = folder() else { return };
    let files = in_time("era files", move || {
        FILES.map(|(name, first, transactions)| {
            let blocks = read(&folder.join(name));
            let bodies = blocks.iter().map(|block| &block.block.block().body);
            let found: usize = bodies.map(|body| body.transactions.len()).sum();
            assert_eq!(found, transactions, "{name}");
            let receipts = blocks.iter().flat_map(|block| block.receipts.iter().flatten());
            assert_eq!(receipts.count(), transactions, "{name}");
            assert_eq!(blocks[0].block.block().header.number, first, "{name}");
            blocks
        })
    });
    let [mainnet, mainnet_next, sepolia, _] = &files;
    assert_eq!(mainnet[0].block.hash(), MAINNET_GENESIS);
    assert_eq!(sepolia[0].block.hash(), SEPOLIA_GENESIS);
    assert_eq!(last(mainnet).hash(), mainnet_next[0].block.block().header.parent_hash);
    assert_eq!(last(mainnet_next).block().header.state_root, MAINNET_16383_STATE);
    assert_eq!(last(sepolia).block().header.state_root, SEPOLIA_8191_STATE);
}

#[test]
fn real_era_files_are_written_as_files_of_the_same_name_and_blocks() {
    let Some(folder) = folder() else { return };
    in_time("era files", move || {
        let copies = tempfile::tempdir().expect("a folder");
        for (name, ..) in FILES {
            let blocks = read(&folder.join(name));
            let path = copies.path().join("new.era1");
            let mut writer = Era1Writer::create(&path).unwrap_or_else(|error| panic!("{error}"));
            for FileBlock { block, receipts, total_difficulty } in &blocks {
                let receipts = receipts.as_deref().expect("receipts");
                let total_difficulty = total_difficulty.expect("a total difficulty");
                let pushed = writer.push(block, receipts, total_difficulty);
                pushed.unwrap_or_else(|error| panic!("{error}"));
            }
            let network = name.split('-').next().expect("a network");
            let (path, accumulator) =
                writer.finish_named(network).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(path, copies.path().join(name));
            let summary = verify(&path).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(summary.accumulator, Some(accumulator), "{name}");
            assert!(read(&path) == blocks, "{name}: other blocks");
        }
    });
}

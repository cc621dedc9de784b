//! What the thread of the chain keeps for a restart: blocks that are not durable, and the newest
//! fork choice.

use super::{Worker, block_key};
use crate::{Chain, ImportError, Imported, Place, engine::Forkchoice};
use alloy_rlp::Decodable;
use fugue_storage::{Journal, StorageError};
use fugue_types::{B256, B256Map, Block, Header, SealedBlock};
use std::path::Path;

/// First byte of a payload of the journal: a block in RLP follows.
const ENTRY_BLOCK: u8 = 0;
/// First byte of a payload of the journal: head, safe and finalized hash follow.
const ENTRY_FORKCHOICE: u8 = 1;
/// First byte of a payload of the journal: the amendment of a block follows, which comes later.
const ENTRY_AMENDMENT: u8 = 2;

/// Bytes that the journal may grow by before what is forgotten is left out of it.
const JOURNAL_SLACK_BYTES: u64 = 64 << 20;

impl Worker {
    /// Imports what the journal holds, and follows the fork choice that it ends with. A block
    /// beside the chain of the head that cannot be imported is left out, with all that builds on
    /// it.
    pub(crate) fn replay_journal(&mut self) -> Result<(), ImportError> {
        let Some(path) = &self.options.journal else { return self.publish() };
        let (journal, entries) = Journal::open(path)?;
        self.chain.take_amendments(ENTRY_AMENDMENT, &entries)?;
        let (blocks, last) = read_entries(entries);
        // 1. The chain of the head, so that nothing beside it takes its room.
        let chosen = last.map_or(B256::ZERO, |state| state.head);
        self.replay_chosen(path_to(chosen, &blocks))?;
        if let Some(state) = last
            && self.chain.set_head(state.head)?.is_some()
        {
            self.safe = self.on_chain(state.safe)?;
            self.finalized = self.on_chain(state.finalized)?;
            self.forkchoice = state;
        } else {
            // It was invalid, or is nowhere.
            let durable = self.chain.durable();
            self.chain.set_head(durable.hash)?;
        }
        // 2. What is beside it.
        for block in blocks {
            self.replay(block)?;
        }
        // A verdict of an earlier program does not bind this one.
        self.chain.tree.forget_all_invalid();
        self.journal = Some(journal);
        self.rewrite_journal()?;
        self.publish()?;
        self.tell_of_move(self.chain.durable());
        Ok(())
    }

    /// Imports blocks that lead up to the head, lowest first.
    fn replay_chosen(&mut self, path: Vec<SealedBlock>) -> Result<(), ImportError> {
        for block in path {
            match self.chain.import(block) {
                // The head moves up with them: the chain of the head has no bound, as it had none
                // when it was chosen.
                Ok(Imported { place: Place::Side, hash, .. }) => {
                    self.chain.set_head(hash)?;
                }
                Ok(_) => {}
                Err(ImportError::Invalid { .. }) => break,
                // The journal is about to be rewritten, and nobody sends again what was valid and
                // the head. So there is no start without it: whoever has taken the store away from
                // under the journal can remove that, too.
                Err(
                    error @ (ImportError::UnknownParent { .. }
                    | ImportError::TooDeep { .. }
                    | ImportError::BranchTooLong { .. }),
                ) => return Err(ImportError::Journal(Box::new(error))),
                Err(broken) => return Err(broken),
            }
        }
        Ok(())
    }

    fn replay(&mut self, block: SealedBlock) -> Result<(), ImportError> {
        match self.chain.import(block) {
            Ok(_)
            | Err(
                ImportError::UnknownParent { .. }
                | ImportError::Invalid { .. }
                | ImportError::TooDeep { .. }
                | ImportError::BranchTooLong { .. },
            ) => Ok(()),
            Err(broken) => Err(broken),
        }
    }

    /// Sends the chain of the head on its way to the store. Blocks whose place it takes are in the
    /// journal before that: afterwards they are nowhere else.
    pub(super) fn persist(&mut self) -> Result<bool, ImportError> {
        let journal = &mut self.journal;
        self.chain.persist(|chain, abandoned| {
            let Some(journal) = journal.as_mut().filter(|_| !abandoned.is_empty()) else {
                return Ok(());
            };
            for block in abandoned {
                for entry in block_entries(chain, block.hash(), block.block()) {
                    journal.append(&entry)?;
                }
            }
            Ok(journal.sync()?)
        })
    }

    pub(super) fn journal_block(&mut self, hash: B256) -> Result<(), ImportError> {
        let (Some(journal), Some(record)) = (&mut self.journal, self.chain.tree.get(hash)) else {
            return Ok(());
        };
        for entry in block_entries(&self.chain, hash, record.block.block()) {
            journal.append(&entry)?;
        }
        let grown = journal.bytes().saturating_sub(self.rewritten);
        if grown > self.rewritten.saturating_add(JOURNAL_SLACK_BYTES) {
            self.rewrite_journal()?;
        }
        Ok(())
    }

    pub(super) fn journal_forkchoice(&mut self, syncs: bool) -> Result<(), ImportError> {
        let Some(journal) = &mut self.journal else { return Ok(()) };
        journal.append(&forkchoice_entry(&self.forkchoice))?;
        if syncs {
            journal.sync()?;
        }
        Ok(())
    }

    /// Leaves in the journal what is not durable, or will soon not be.
    pub(super) fn rewrite_journal(&mut self) -> Result<(), ImportError> {
        let Some(journal) = &mut self.journal else { return Ok(()) };
        let tree = self.chain.tree.blocks();
        let leaving = self.chain.persisting.iter().flat_map(|batch| &batch.abandoned);
        let left = self.abandoned.values().chain(leaving);
        let left = left.map(|block| (block.hash(), block.block()));
        let kept = tree.values().map(|record| (record.block.hash(), record.block.block()));
        let mut blocks: Vec<(B256, &Block)> = kept.chain(left).collect();
        blocks.sort_unstable_by_key(|(_, block)| block.header.number);
        let mut entries = Vec::with_capacity(blocks.len() + 1);
        for (hash, block) in blocks {
            entries.extend(block_entries(&self.chain, hash, block));
        }
        entries.push(forkchoice_entry(&self.forkchoice));
        journal.replace(entries.iter().map(Vec::as_slice))?;
        self.rewritten = journal.bytes();
        Ok(())
    }
}

/// A block, after its amendment if it has one.
fn block_entries(chain: &Chain, hash: B256, block: &Block) -> impl Iterator<Item = Vec<u8>> {
    let mut entry = vec![ENTRY_BLOCK];
    alloy_rlp::Encodable::encode(block, &mut entry);
    chain.amendment_entry(ENTRY_AMENDMENT, hash).into_iter().chain([entry])
}

fn forkchoice_entry(state: &Forkchoice) -> Vec<u8> {
    let Forkchoice { head, safe, finalized } = state;
    [&[ENTRY_FORKCHOICE][..], head.as_slice(), safe.as_slice(), finalized.as_slice()].concat()
}

/// The blocks of a journal, and the newest fork choice. Parents come first, also of blocks that
/// were written before them: those whose place another branch was to take.
fn read_entries(entries: Vec<Vec<u8>>) -> (Vec<SealedBlock>, Option<Forkchoice>) {
    let (mut blocks, mut last) = (Vec::<SealedBlock>::new(), None);
    for entry in entries {
        match entry.split_first() {
            Some((&ENTRY_BLOCK, mut rlp)) => {
                blocks.extend(Block::decode(&mut rlp).ok().map(SealedBlock::seal));
            }
            Some((&ENTRY_FORKCHOICE, hashes)) => last = forkchoice_of(hashes).or(last),
            _ => {}
        }
    }
    blocks.sort_by_key(block_key);
    (blocks, last)
}

/// Headers of the blocks that a journal holds, lowest first; none where there is no such file.
pub(crate) fn journaled_headers(path: &Path) -> Result<Vec<Header>, StorageError> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let (_, entries) = Journal::open(path)?;
    let (blocks, _) = read_entries(entries);
    Ok(blocks.iter().map(|block| block.block().header.clone()).collect())
}

/// The blocks up to this one among `blocks`, lowest first.
fn path_to(hash: B256, blocks: &[SealedBlock]) -> Vec<SealedBlock> {
    let known: B256Map<&SealedBlock> = blocks.iter().map(|block| (block.hash(), block)).collect();
    let (mut path, mut at) = (Vec::new(), hash);
    while let Some(block) = known.get(&at) {
        path.push((*block).clone());
        at = block.block().header.parent_hash;
    }
    path.reverse();
    path
}

fn forkchoice_of(hashes: &[u8]) -> Option<Forkchoice> {
    let hash = |index: usize| B256::try_from(hashes.get(index * 32..(index + 1) * 32)?).ok();
    Some(Forkchoice { head: hash(0)?, safe: hash(1)?, finalized: hash(2)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ChainOptions, EngineOptions,
        engine::samples::{After, World, come, raise},
        tree::weight,
    };
    use fugue_chainspec::ChainSpec;
    use fugue_executor::Mode;
    use std::sync::Arc;

    /// Puts a block, whose parent is there, into the tree, and has it be the head.
    fn lead(chain: &mut Chain, after: &After) {
        let record = after.record().expect("not the genesis");
        let bytes = weight(&record);
        chain.tree.insert(record, bytes);
        chain.set_head(after.head.hash).expect("it is there");
    }

    /// They are in the tree no more, and soon not in the store.
    #[test]
    fn a_rewrite_keeps_blocks_whose_place_a_batch_on_its_way_takes() {
        let world = World::new();
        let shared = Arc::new(world.shared(&world.snapshot(), &world.genesis));
        let World { store, spec, genesis, .. } = world;
        let options = ChainOptions::following(Mode::Seq, 1);
        let chain = Chain::open(store, ChainSpec::clone(&spec), options).expect("a good store");
        let mut worker = Worker::new(chain, shared, EngineOptions::default());
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("journal");
        let (journal, _) = Journal::open(&path).expect("a folder of our own");
        worker.journal = Some(journal);

        let left = genesis.child(raise(&genesis.state));
        lead(&mut worker.chain, &left);
        assert_eq!(worker.chain.flush(), Ok(Some(left.head)));
        let other = genesis.child(come(&genesis.state));
        lead(&mut worker.chain, &other);
        assert_eq!(worker.persist(), Ok(true));
        assert_eq!(worker.rewrite_journal(), Ok(()));
        let headers = journaled_headers(&path).expect("a good journal");
        let mut found: Vec<B256> = headers.iter().map(Header::hash_slow).collect();
        let mut expected = [left.head.hash, other.head.hash];
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected);
    }
}

//! A block that is run again, step by step, to look at the states between its transactions.

use crate::{BlockError, PreparedBlock, sequential};
use fugue_chainspec::Rules;
use fugue_evm::{CodeCache, PreparedTx};
use fugue_state::{DiffError, Layer, Stack, StateDiff, StateView};
use fugue_types::{RecoveredBlock, TxResult};

/// Steps, or runs of them, that are put together into one. What is read between two transactions is
/// looked for in each diff below them: behind 2,000 transactions in 36 diffs at most, not in 2,001.
const FOLD: usize = 16;

/// The first transactions of a block, or all of them, and what each of them changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replay {
    block: PreparedBlock,
    /// By the opening of the block, then by each transaction that was run.
    steps: Vec<StateDiff>,
    /// Whole runs of [`FOLD`] steps, each as one diff; then of [`FOLD`] of those, and so on, until
    /// there are fewer.
    runs: Vec<Vec<StateDiff>>,
    results: Vec<TxResult>,
}

impl Replay {
    /// Opens the block on the state before it, and runs its first `count` transactions, or all.
    /// The block is not closed.
    ///
    /// # Errors
    /// [`BlockError`].
    pub fn run(
        block: RecoveredBlock,
        rules: &Rules,
        view: &dyn StateView,
        codes: &CodeCache,
        count: usize,
    ) -> Result<Self, BlockError> {
        let block = PreparedBlock::new(block, None)?;
        let (steps, results) = sequential::run_steps(&block, rules, view, codes, count)?;
        let mut runs: Vec<Vec<StateDiff>> = Vec::new();
        loop {
            let below = runs.last().unwrap_or(&steps);
            if below.len() < FOLD {
                break;
            }
            let folded = folded(below)?;
            runs.push(folded);
        }
        Ok(Self { block, steps, runs, results })
    }

    /// The block.
    pub const fn block(&self) -> &RecoveredBlock {
        &self.block.block
    }

    /// All transactions of the block, as the EVM takes them.
    pub fn txs(&self) -> &[PreparedTx] {
        &self.block.txs
    }

    /// What the transactions did that were run.
    pub fn results(&self) -> &[TxResult] {
        &self.results
    }

    /// What the opening of the block changed, then each transaction that was run.
    pub fn steps(&self) -> &[StateDiff] {
        &self.steps
    }

    /// The state before the transaction with this index, over the state before the block; of an
    /// index beyond those that were run, the state after the last one.
    pub fn before<'v>(&'v self, index: usize, view: &'v dyn StateView) -> Stack<'v> {
        Stack::new(self.diffs_before(index), view)
    }

    /// The diffs that together are the steps before the transaction, oldest first: the longest runs
    /// that fit, then shorter ones, then single steps.
    fn diffs_before(&self, index: usize) -> impl Iterator<Item = &StateDiff> {
        // The opening is a step, too.
        let mut count = index.saturating_add(1).min(self.steps.len());
        let mut parts = Vec::with_capacity(1 + self.runs.len());
        for diffs in std::iter::once(&self.steps).chain(&self.runs) {
            // Those before are in the longer runs. The longest are fewer than `FOLD`.
            let whole = count / FOLD * FOLD;
            parts.push(&diffs[whole..count]);
            count /= FOLD;
        }
        parts.into_iter().rev().flatten()
    }
}

/// Each whole run of [`FOLD`] diffs, put together into one.
fn folded(diffs: &[StateDiff]) -> Result<Vec<StateDiff>, DiffError> {
    let fold = |run: &[StateDiff]| -> Result<StateDiff, DiffError> {
        let mut layer = Layer::default();
        for diff in run {
            layer.push(diff)?;
        }
        Ok(layer.into_diff())
    };
    diffs.chunks_exact(FOLD).map(fold).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Executor, InvalidBlock, Mode, Scope};
    use alloy_consensus::{Signed, TxLegacy};
    use alloy_eips::eip4788::BEACON_ROOTS_ADDRESS;
    use fugue_chainspec::{ChainSpec, Fork};
    use fugue_state::{Account, MemoryAccount, MemoryState};
    use fugue_types::{
        Address, B256, Block, BlockBody, Bytes, Header, KECCAK256_EMPTY, SealedBlock, SenderCount,
        Transaction, TxKind, U256, keccak256,
    };
    use std::convert::Infallible;

    const SENDER: Address = Address::repeat_byte(0xa1);
    const CONTRACT: Address = Address::repeat_byte(0xc0);
    const OTHER: Address = Address::repeat_byte(0xd0);
    const MORTAL: Address = Address::repeat_byte(0xc2);
    const AUTHOR: Address = Address::repeat_byte(0xfe);
    /// Adds one to slot 0: PUSH1 0, SLOAD, PUSH1 1, ADD, PUSH1 0, SSTORE.
    const COUNTS: &[u8] = &[0x60, 0, 0x54, 0x60, 1, 0x01, 0x60, 0, 0x55];
    /// Stores its input in slot 0: PUSH1 0, CALLDATALOAD, PUSH1 0, SSTORE.
    const STORES_INPUT: &[u8] = &[0x60, 0, 0x35, 0x60, 0, 0x55];
    /// Ends itself: CALLER, SELFDESTRUCT.
    const ENDS: &[u8] = &[0x33, 0xff];

    fn state() -> MemoryState {
        let mut state = MemoryState::default();
        let mut add = |address, nonce, balance: u64, code: &'static [u8]| {
            let code = Bytes::from_static(code);
            let code_hash = if code.is_empty() { KECCAK256_EMPTY } else { keccak256(&code) };
            let account = Account { nonce, balance: U256::from(balance), code_hash };
            let slots = Default::default();
            state.accounts.insert(address, MemoryAccount { account, slots });
            state.codes.insert(code_hash, code);
        };
        add(SENDER, 0, 1_000_000_000_000_000_000, &[]);
        add(CONTRACT, 1, 0, COUNTS);
        add(BEACON_ROOTS_ADDRESS, 1, 0, STORES_INPUT);
        state
    }

    fn tx(nonce: u64, to: Address, value: u64) -> Transaction {
        let tx = TxLegacy {
            chain_id: None,
            nonce,
            gas_price: 10,
            gas_limit: 100_000,
            to: TxKind::Call(to),
            value: U256::from(value),
            input: Bytes::new(),
        };
        // The senders are given: nobody looks at the signature.
        let signature = format!("{:0>64}{:0>64}1b", "1", "1").parse().expect("a signature");
        Transaction::Legacy(Signed::new_unhashed(tx, signature))
    }

    fn block(fork: Fork, txs: &[Transaction]) -> (RecoveredBlock, Rules) {
        let root = (fork >= Fork::Cancun).then_some(B256::repeat_byte(0xbb));
        let header = Header {
            number: 1,
            gas_limit: 30_000_000,
            beneficiary: AUTHOR,
            base_fee_per_gas: Some(7),
            parent_beacon_block_root: root,
            excess_blob_gas: root.map(|_| 0),
            ..Header::default()
        };
        let rules = ChainSpec::at_fork(1, fork).rules(&header);
        let (transactions, ommers) = (txs.to_vec(), Vec::new());
        let body = BlockBody { transactions, ommers, withdrawals: None };
        let sealed = SealedBlock::seal(Block { header, body });
        let checked = sealed.check(|_| Ok::<_, Infallible>(())).expect("nothing is judged");
        let senders = vec![SENDER; txs.len()];
        (checked.recover(|_| Ok::<_, SenderCount>(senders)).expect("one for each"), rules)
    }

    fn replay(fork: Fork, txs: &[Transaction], count: usize) -> Result<Replay, BlockError> {
        let (block, rules) = block(fork, txs);
        Replay::run(block, &rules, &state(), &CodeCache::new(), count)
    }

    /// The accounts and the slot that the transactions touch.
    fn looks(view: &dyn StateView) -> (Vec<Option<Account>>, U256) {
        let accounts = [SENDER, CONTRACT, OTHER, AUTHOR].map(|address| view.account(address));
        let accounts = accounts.into_iter().collect::<Result<_, _>>().expect("readable");
        (accounts, view.slot(CONTRACT, U256::ZERO).expect("readable"))
    }

    #[test]
    fn the_state_before_each_transaction_is_what_the_ones_before_it_leave() {
        let txs = [tx(0, CONTRACT, 0), tx(1, OTHER, 5), tx(2, CONTRACT, 0), tx(3, OTHER, 6)];
        let executor = Executor::new(1).expect("a thread");
        let replay = replay(Fork::Shanghai, &txs, usize::MAX).expect("valid");
        assert_eq!((replay.results().len(), replay.txs().len()), (4, 4));
        let below = state();
        for count in 0..=txs.len() {
            let (block, rules) = block(Fork::Shanghai, &txs[..count]);
            let prepared = executor.prepare_recovered(block).expect("known types");
            let run = executor.execute(Mode::Seq, &prepared, &rules, &below, Scope::Transactions);
            let outcome = run.expect("valid").outcome;
            let mut expected = below.clone();
            expected.apply(&outcome.diff).expect("it follows");
            assert_eq!(looks(&replay.before(count, &below)), looks(&expected), "{count}");
            assert_eq!(replay.results()[..count], outcome.results[..]);
        }
    }

    #[test]
    fn behind_many_transactions_a_few_diffs_are_looked_through() {
        let mut below = state();
        let code = Bytes::from_static(ENDS);
        let code_hash = keccak256(&code);
        let account = Account { nonce: 1, balance: U256::ZERO, code_hash };
        let slots = [(U256::ZERO, U256::from(7))].into_iter().collect();
        below.accounts.insert(MORTAL, MemoryAccount { account, slots });
        below.codes.insert(code_hash, code);
        // It ends within a run, and there is something at its address again in the next one.
        let to = |nonce: u64| match nonce {
            20 => tx(nonce, MORTAL, 0),
            40 => tx(nonce, MORTAL, 3),
            _ => tx(nonce, CONTRACT, 0),
        };
        let txs: Vec<_> = (0..300).map(to).collect();
        let (block, rules) = block(Fork::Shanghai, &txs);
        let replay = Replay::run(block, &rules, &below, &CodeCache::new(), usize::MAX);
        let replay = replay.expect("valid");
        assert_eq!(replay.runs.iter().map(Vec::len).collect::<Vec<_>>(), [18, 1]);
        // With the opening, a step more than the index has run.
        for (index, diffs) in [
            (0, 1),
            (14, 15),
            (15, 1),
            (16, 2),
            (19, 5),
            (20, 6),
            (21, 7),
            (40, 11),
            (41, 12),
            (254, 30),
            (255, 1),
            (270, 16),
            (299, 15),
            (300, 16),
            (usize::MAX, 16),
        ] {
            assert_eq!(replay.diffs_before(index).count(), diffs, "before {index}");
            let steps = replay.steps().iter().take(index.saturating_add(1));
            let plain = Stack::new(steps, &below);
            let state = replay.before(index, &below);
            assert_eq!(looks(&state), looks(&plain), "before {index}");
            let mortal = |view: &Stack<'_>| {
                let slot = view.slot(MORTAL, U256::ZERO).expect("readable");
                let has_storage = view.has_storage(MORTAL).expect("readable");
                (view.account(MORTAL).expect("readable"), slot, has_storage)
            };
            assert_eq!(mortal(&state), mortal(&plain), "before {index}");
            assert_eq!(mortal(&state).2, index <= 20, "before {index}");
        }
    }

    #[test]
    fn only_the_first_transactions_are_run() {
        let txs = [tx(0, CONTRACT, 0), tx(1, CONTRACT, 0), tx(2, CONTRACT, 0)];
        let replay = replay(Fork::Shanghai, &txs, 2).expect("valid");
        assert_eq!((replay.results().len(), replay.steps().len(), replay.txs().len()), (2, 3, 3));
        let below = state();
        for (index, count) in [(0, 0), (1, 1), (2, 2), (3, 2), (usize::MAX, 2)] {
            let (_, slot) = looks(&replay.before(index, &below));
            assert_eq!(slot, U256::from(count), "before {index}");
        }
    }

    #[test]
    fn a_transaction_that_is_not_run_is_not_judged() {
        let txs = [tx(0, OTHER, 1), tx(7, OTHER, 1)];
        assert!(replay(Fork::Shanghai, &txs, 1).is_ok());
        let refused = replay(Fork::Shanghai, &txs, 2);
        let Err(BlockError::Invalid(InvalidBlock::Transaction { index: 1, .. })) = refused else {
            panic!("{refused:?}")
        };
    }

    #[test]
    fn the_first_transaction_sees_what_the_opening_did() {
        let below = state();
        let slot = |fork| {
            let replay = replay(fork, &[tx(0, OTHER, 1)], 0).expect("valid");
            replay.before(0, &below).slot(BEACON_ROOTS_ADDRESS, U256::ZERO).expect("readable")
        };
        assert_eq!(slot(Fork::Cancun), U256::from_be_bytes([0xbb; 32]));
        assert_eq!(slot(Fork::Shanghai), U256::ZERO);
    }
}

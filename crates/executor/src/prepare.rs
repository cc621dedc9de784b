//! From a checked block to one that can be executed: senders, authorities, order per sender.

use crate::{
    BlockError, Footprint, InvalidBlock, ListFault, Location,
    bal::{ListIndex, ListLimits},
    footprint::Kin,
};
use alloy_consensus::{crypto::SECP256K1N_HALF, transaction::SignerRecoverable};
use fugue_chainspec::{Fork, Rules};
use fugue_evm::{PreparedTx, TxEncodingError};
use fugue_types::{
    Address, Block, BlockAccessList, CheckedBlock, HashMap, RecoveredBlock, Transaction,
    TransactionTrait as _, impersonated,
};
use rayon::{ThreadPool, prelude::*};
use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicUsize, Ordering},
};

/// Gas of its block that an authorization (EIP-7702) takes at least, on any fork: 25,000 are
/// charged, of which a fifth at most is given back; from Amsterdam on 7,816 (EIP-8038).
const AUTHORIZATION_GAS_MIN: u64 = 7_500;

/// Gas of its block that a transaction takes at least: 21,000, of which a half may be given back,
/// and from London on a fifth (EIP-3529); from Amsterdam on 12,000 (EIP-2780), of which the block
/// counts nothing as given back (EIP-7778).
fn tx_gas_min(rules: &Rules) -> u64 {
    if rules.has(Fork::Amsterdam) {
        12_000
    } else if rules.has(Fork::London) {
        21_000 - 21_000 / 5
    } else {
        21_000 - 21_000 / 2
    }
}

/// A block with everything that is computed once and not once per execution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreparedBlock {
    pub(crate) block: RecoveredBlock,
    pub(crate) txs: Vec<PreparedTx>,
    /// For each transaction the nearest earlier one without which it is not worth running.
    pub(crate) predecessors: Vec<Option<usize>>,
    /// Gas that each transaction is likely to use; empty where nothing is known of any.
    pub(crate) foreseen_gas: Vec<Option<u64>>,
    /// Which of them belong together, as far as is known.
    pub(crate) kin: Kin,
    known_senders: usize,
    /// What came beside the block, and that list checked and indexed, once somebody has asked.
    access_list: Option<Arc<BlockAccessList>>,
    list_index: OnceLock<Arc<Result<ListIndex, ListFault>>>,
}

impl PreparedBlock {
    /// Recovers the senders that are not known, then prepares; on the pool, or on the caller's
    /// thread alone. A transaction to which the block cannot come has the zero address for one.
    pub(crate) fn recover(
        block: CheckedBlock,
        rules: &Rules,
        known: &[Option<Address>],
        pool: Option<&ThreadPool>,
    ) -> Result<Self, BlockError> {
        let is_homestead = rules.has(Fork::Homestead);
        let has_protection = rules.has(Fork::SpuriousDragon);
        // All up to this index take more gas than the block has: one of them is refused at its
        // turn, and none behind them has one. Whoever makes a block can write down as many as its
        // bytes have room for.
        let last = block.block().header.gas_limit / tx_gas_min(rules);
        let recovered = AtomicUsize::new(0);
        let recover = |(index, tx): (usize, &Transaction)| -> Result<Address, BlockError> {
            if rules.is_dev
                && let Some(sender) = impersonated(tx.signature())
            {
                return Ok(sender);
            }
            let refused = || InvalidBlock::Signature { index, hash: *tx.hash() }.into();
            // Source: EIP-155: before Spurious Dragon there is no such v.
            if !has_protection && tx.is_legacy() && tx.chain_id().is_some() {
                return Err(refused());
            }
            // Source: EIP-2: a high s is refused from Homestead on, whoever knows its sender.
            if is_homestead && tx.signature().s() > SECP256K1N_HALF {
                return Err(refused());
            }
            if let Some(Some(sender)) = known.get(index) {
                return Ok(*sender);
            }
            recovered.fetch_add(1, Ordering::Relaxed);
            if index as u64 > last {
                return Ok(Address::ZERO);
            }
            let sender =
                if is_homestead { tx.recover_signer() } else { tx.recover_signer_unchecked() };
            sender.map_err(|_| refused())
        };
        let block = block.recover(|txs| match pool {
            Some(pool) => pool.install(|| {
                txs.par_iter().enumerate().map(recover).collect::<Result<_, BlockError>>()
            }),
            None => txs.iter().enumerate().map(recover).collect(),
        })?;
        let prepared = Self::new(block, pool)?;
        let known_senders = prepared.senders().len().saturating_sub(recovered.into_inner());
        Ok(Self { known_senders, ..prepared })
    }

    /// Prepares a block whose senders are known.
    pub(crate) fn new(
        mut block: RecoveredBlock,
        pool: Option<&ThreadPool>,
    ) -> Result<Self, BlockError> {
        let access_list = block.take_access_list();
        let Block { header, body } = block.block();
        let txs = prepare_txs(&body.transactions, block.senders(), header.gas_limit, pool)?;
        let predecessors = predecessors(&txs, &[]);
        let known_senders = block.senders().len();
        Ok(Self {
            block,
            txs,
            predecessors,
            foreseen_gas: Vec::new(),
            kin: Kin::default(),
            known_senders,
            access_list,
            list_index: OnceLock::new(),
        })
    }

    /// With the access list (EIP-7928) of this block, or one of the same form for a block that
    /// predates them ([`crate::Executor::list_accesses`]). It may be wrong: [`crate::Mode::Bal`]
    /// finds out.
    #[must_use]
    pub fn with_access_list(self, list: Arc<BlockAccessList>) -> Self {
        Self { access_list: Some(list), list_index: OnceLock::new(), ..self }
    }

    /// The access list that the block came with.
    pub const fn access_list(&self) -> Option<&Arc<BlockAccessList>> {
        self.access_list.as_ref()
    }

    /// Checks the form of the access list and makes its index, if the block has one. Execution does
    /// it where nobody has before; `rules` are the block's.
    pub fn index_access_list(&self, rules: &Rules) {
        self.list_index(rules);
    }

    /// The index of the access list, or what is wrong with its form.
    pub(crate) fn list_index(&self, rules: &Rules) -> Option<&Result<ListIndex, ListFault>> {
        let list = self.access_list.as_ref()?;
        let index = || {
            let limits = ListLimits::of(rules, &self.block.block().header, self.txs.len());
            Arc::new(ListIndex::new(list.clone(), &limits))
        };
        let index = self.list_index.get_or_init(index);
        Some(&**index)
    }

    /// Lets transactions wait for those whose writes they are likely to read, and lanes keep those
    /// together that are tied by a slot. `footprints` has one for each transaction that was run
    /// before.
    pub fn foresee(&mut self, footprints: &[Option<Arc<Footprint>>]) {
        self.predecessors = predecessors(&self.txs, footprints);
        let gas = |footprint: &Option<Arc<Footprint>>| footprint.as_ref().map(|it| it.gas_used());
        self.foreseen_gas = footprints.iter().map(gas).collect();
        self.kin = Kin::new(footprints);
    }

    /// The block and its senders.
    pub const fn block(&self) -> &RecoveredBlock {
        &self.block
    }

    /// The block and its senders, taken out.
    pub fn into_block(self) -> RecoveredBlock {
        self.block
    }

    /// One sender for each transaction, in block order; of those that can have no turn, for there
    /// are more before them than the block has gas for, it may not have been recovered.
    pub fn senders(&self) -> &[Address] {
        self.block.senders()
    }

    /// How many of them were known, and not recovered.
    pub const fn known_senders(&self) -> usize {
        self.known_senders
    }
}

/// Transactions ready to run, each with its sender; on the pool, or on the caller's thread alone.
/// Authorities are recovered as far as so much gas pays for them. Behind that the block runs
/// nothing at its turn, and whoever makes one can write down as many as its bytes have room for.
pub(crate) fn prepare_txs(
    txs: &[Transaction],
    senders: &[Address],
    gas_limit: u64,
    pool: Option<&ThreadPool>,
) -> Result<Vec<PreparedTx>, TxEncodingError> {
    let mut gas = 0_u64;
    let is_unpaid = |tx: &Transaction| {
        let count = tx.authorization_list().map_or(0, <[_]>::len) as u64;
        gas = gas.saturating_add(count.saturating_mul(AUTHORIZATION_GAS_MIN));
        gas > gas_limit
    };
    let paid = txs.iter().position(is_unpaid).unwrap_or(txs.len());
    let prepare = |(index, (tx, sender)): (usize, (&Transaction, &Address))| {
        if index < paid {
            PreparedTx::new(tx, *sender)
        } else {
            PreparedTx::unrecovered(tx, *sender)
        }
    };
    match pool {
        Some(pool) => {
            pool.install(|| txs.par_iter().zip(senders).enumerate().map(prepare).collect())
        }
        None => txs.iter().zip(senders).enumerate().map(prepare).collect(),
    }
}

/// For each transaction the nearest earlier one without which it is not worth running: whose nonce
/// it builds upon, or, as far as footprints tell, whose writes it reads.
pub(crate) fn predecessors(
    txs: &[PreparedTx],
    footprints: &[Option<Arc<Footprint>>],
) -> Vec<Option<usize>> {
    let mut last_writer: HashMap<Location, usize> = HashMap::default();
    let mut predecessors = Vec::with_capacity(txs.len());
    for (index, tx) in txs.iter().enumerate() {
        let sender = (tx.sender(), None);
        let mut latest = last_writer.get(&sender).copied();
        if let Some(Some(footprint)) = footprints.get(index) {
            for read in footprint.reads() {
                latest = latest.max(last_writer.get(read).copied());
            }
            last_writer.extend(footprint.writes().iter().map(|write| (*write, index)));
        }
        predecessors.push(latest);
        last_writer.insert(sender, index);
        // An authorization counts up its authority's nonce as a transaction does.
        last_writer.extend(tx.authorities().map(|authority| ((authority, None), index)));
    }
    predecessors
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Executor, Mode, Scope, samples::authorization};
    use alloy_consensus::{Signed, TxEip7702, TxLegacy};
    use fugue_chainspec::ChainSpec;
    use fugue_state::{Account, MemoryAccount, MemoryState};
    use fugue_types::{
        BlockBody, Header, KECCAK256_EMPTY, SealedBlock, SenderCount, TxKind, U256, impersonating,
    };
    use std::convert::Infallible;

    /// The least `s`, and the highest, in hexadecimal.
    const LOW: &str = "1";
    const HIGH: &str = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364140";

    /// A transaction with this `s`, and an `r` to which there is a point of the curve.
    fn tx(nonce: u64, s: &str) -> Transaction {
        let r = "1";
        let signature = format!("{r:0>64}{s:0>64}1b").parse().unwrap();
        let tx = TxLegacy { nonce, ..TxLegacy::default() };
        Transaction::Legacy(Signed::new_unhashed(tx, signature))
    }

    /// The senders, and how many of them were known.
    fn prepare(
        fork: Fork,
        txs: &[Transaction],
        known: &[Option<Address>],
    ) -> Result<(Vec<Address>, usize), BlockError> {
        let header = Header { gas_limit: 30_000_000, ..Header::default() };
        let rules = ChainSpec::at_fork(1, fork).rules(&header);
        let (transactions, ommers) = (txs.to_vec(), Vec::new());
        let body = BlockBody { transactions, ommers, withdrawals: None };
        let sealed = SealedBlock::seal(Block { header, body });
        let checked = sealed.check(|_| Ok::<_, Infallible>(())).unwrap();
        let prepared = PreparedBlock::recover(checked, &rules, known, None)?;
        Ok((prepared.senders().to_vec(), prepared.known_senders()))
    }

    #[test]
    fn senders_that_are_known_are_taken_and_the_others_recovered() {
        let txs = [tx(0, LOW), tx(1, LOW), tx(2, LOW)];
        let (recovered, count) = prepare(Fork::Prague, &txs, &[]).unwrap();
        assert_eq!(count, 0);
        // It is not looked at: no signature here gives it.
        let told = Address::repeat_byte(7);
        assert!(!recovered.contains(&told));
        for known in [
            [None, None, None],
            [None, Some(told), None],
            [Some(told), None, Some(told)],
            [Some(told), Some(told), Some(told)],
        ] {
            let expected = known.iter().zip(&recovered).map(|(known, own)| known.unwrap_or(*own));
            let expected = (expected.collect(), known.iter().flatten().count());
            assert_eq!(prepare(Fork::Prague, &txs, &known), Ok(expected));
        }
        let expected = vec![told, recovered[1], recovered[2]];
        assert_eq!(prepare(Fork::Prague, &txs, &[Some(told)]), Ok((expected, 1)));
    }

    #[test]
    fn a_high_s_is_refused_from_homestead_on_whoever_knows_its_sender() {
        let txs = [tx(0, HIGH)];
        let told = Address::repeat_byte(7);
        let error = InvalidBlock::Signature { index: 0, hash: *txs[0].hash() };
        for known in [&[Some(told)][..], &[]] {
            let refused = prepare(Fork::Homestead, &txs, known);
            assert_eq!(refused, Err(error.clone().into()));
        }
        assert_eq!(prepare(Fork::Frontier, &txs, &[Some(told)]), Ok((vec![told], 1)));
        let (_, count) = prepare(Fork::Frontier, &txs, &[]).unwrap();
        assert_eq!(count, 0);
    }

    #[test]
    fn a_protected_signature_is_refused_before_spurious_dragon_whoever_knows_its_sender() {
        let Transaction::Legacy(signed) = tx(0, LOW) else { panic!("not a legacy transaction") };
        let (tx, signature, _) = signed.into_parts();
        let tx = TxLegacy { chain_id: Some(1), ..tx };
        let txs = [Transaction::Legacy(Signed::new_unhashed(tx, signature))];
        let told = Address::repeat_byte(7);
        let error = InvalidBlock::Signature { index: 0, hash: *txs[0].hash() };
        for known in [&[Some(told)][..], &[]] {
            for fork in [Fork::Frontier, Fork::Tangerine] {
                let refused = prepare(fork, &txs, known).map(drop);
                assert_eq!(refused, Err(error.clone().into()), "{fork}");
            }
            assert!(prepare(Fork::SpuriousDragon, &txs, known).is_ok());
        }
    }

    /// A block with gas for three payments, and payments with these gas limits.
    fn payments(fork: Fork, gas_limits: &[u64]) -> (CheckedBlock, Rules) {
        let header = Header {
            number: 1,
            gas_limit: 63_000,
            base_fee_per_gas: Some(7),
            excess_blob_gas: (fork >= Fork::Cancun).then_some(0),
            ..Header::default()
        };
        let rules = ChainSpec::at_fork(1, fork).rules(&header);
        let pay = |(value, gas_limit): (u64, &u64)| {
            let tx = TxLegacy {
                gas_price: 10,
                gas_limit: *gas_limit,
                to: TxKind::Call(Address::repeat_byte(7)),
                value: U256::from(value),
                ..TxLegacy::default()
            };
            let signature = format!("{LOW:0>64}{LOW:0>64}1b").parse().unwrap();
            Transaction::Legacy(Signed::new_unhashed(tx, signature))
        };
        let (transactions, ommers) = ((1..).zip(gas_limits).map(pay).collect(), Vec::new());
        let body = BlockBody { transactions, ommers, withdrawals: None };
        let sealed = SealedBlock::seal(Block { header, body });
        (sealed.check(|_| Ok::<_, Infallible>(())).unwrap(), rules)
    }

    #[test]
    fn senders_are_recovered_as_far_as_the_block_has_gas_for_their_transactions() {
        for (fork, count) in [(Fork::Berlin, 7), (Fork::London, 4), (Fork::Amsterdam, 6)] {
            let (block, rules) = payments(fork, &[21_000; 10]);
            let prepared = PreparedBlock::recover(block, &rules, &[], None).unwrap();
            let is_known = prepared.senders().iter().map(|sender| *sender != Address::ZERO);
            let expected: Vec<_> = (0..10).map(|index| index < count).collect();
            assert_eq!(is_known.collect::<Vec<_>>(), expected, "{fork}");
            assert_eq!(prepared.known_senders(), 0, "{fork}");
        }
    }

    #[test]
    fn a_block_with_too_many_transactions_is_refused_as_if_all_senders_were_recovered() {
        let executor = Executor::new(2).unwrap();
        // The fourth one has no room, or would have if it took nothing.
        for fourth in [21_000, 0] {
            let gas_limits = [21_000, 21_000, 21_000, fourth, 21_000, 21_000, 21_000, 21_000];
            let (block, rules) = payments(Fork::Prague, &gas_limits);
            let txs = &block.block().body.transactions;
            let senders: Vec<_> = txs.iter().map(|tx| tx.recover_signer().unwrap()).collect();
            let mut state = MemoryState::default();
            for sender in &senders {
                let balance = U256::from(1_000_000_000);
                let account = Account { nonce: 0, balance, code_hash: KECCAK256_EMPTY };
                let slots = Default::default();
                state.accounts.insert(*sender, MemoryAccount { account, slots });
            }
            let whole = block.clone().recover(|_| Ok::<_, SenderCount>(senders)).unwrap();
            let whole = PreparedBlock::new(whole, None).unwrap();
            let run = |mode: Mode, block: &PreparedBlock| {
                let run = executor.execute(mode, block, &rules, &state, Scope::Transactions);
                run.map(|run| run.outcome)
            };
            let expected = run(Mode::Seq, &whole);
            match &expected {
                Err(BlockError::Invalid(InvalidBlock::GasLimit { index: 3, .. })) => {
                    assert_eq!(fourth, 21_000);
                }
                Err(BlockError::Invalid(InvalidBlock::Transaction { index: 3, .. })) => {
                    assert_eq!(fourth, 0);
                }
                other => panic!("{other:?}"),
            }
            let prepared = PreparedBlock::recover(block, &rules, &[], None).unwrap();
            assert_eq!(prepared.senders()[4..], [Address::ZERO; 4]);
            for mode in [Mode::Seq, Mode::Occ, Mode::Bal, Mode::Lanes, Mode::Auto] {
                assert_eq!(run(mode, &prepared), expected, "{mode}");
            }
        }
    }

    #[test]
    fn authorities_are_recovered_as_far_as_the_block_has_gas_for_them() {
        let authorizes = |count| {
            let authorization_list = vec![authorization(Address::repeat_byte(7), 0); count];
            let tx = TxEip7702 { authorization_list, ..TxEip7702::default() };
            let signature = format!("{LOW:0>64}{LOW:0>64}1b").parse().unwrap();
            Transaction::Eip7702(Signed::new_unhashed(tx, signature))
        };
        let txs = [authorizes(2), tx(0, LOW), authorizes(3), authorizes(1)];
        let found = |authorizations: u64| -> Vec<usize> {
            let gas = authorizations * AUTHORIZATION_GAS_MIN;
            let prepared = prepare_txs(&txs, &[Address::ZERO; 4], gas, None).unwrap();
            prepared.iter().map(|tx| tx.authorities().count()).collect()
        };
        assert_eq!(found(6), [2, 0, 3, 1]);
        assert_eq!(found(5), [2, 0, 3, 0]);
        // Nor those behind the first one that is too much.
        assert_eq!(found(4), [2, 0, 0, 0]);
        assert_eq!(found(1), [0; 4]);
    }

    #[test]
    fn a_made_up_signature_names_its_sender_on_a_dev_chain_alone() {
        let sender = Address::repeat_byte(7);
        let tx = TxLegacy { nonce: 5, ..TxLegacy::default() };
        let tx = Transaction::Legacy(Signed::new_unhashed(tx, impersonating(sender)));
        let senders = |spec: ChainSpec| {
            let header = Header::default();
            let (transactions, ommers) = (vec![tx.clone()], Vec::new());
            let body = BlockBody { transactions, ommers, withdrawals: None };
            let sealed = SealedBlock::seal(Block { header, body });
            let checked = sealed.check(|_| Ok::<_, Infallible>(())).unwrap();
            let rules = spec.rules(&Header::default());
            PreparedBlock::recover(checked, &rules, &[], None).map(|it| it.senders().to_vec())
        };
        let spec = ChainSpec::at_fork(1, Fork::Osaka);
        assert_ne!(senders(spec.clone()), Ok(vec![sender]));
        assert_eq!(senders(spec.for_dev()), Ok(vec![sender]));
    }
}

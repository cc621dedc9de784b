//! A block as it is being filled: what is taken, and what the next candidate has to fit into.
//!
//! The steps of a candidate's turn, in every mode: [`Filling::is_over`], [`Filling::admits`], its
//! run, [`Filling::judge`], [`Filling::take`].

use super::{Built, Job, Refusal};
use crate::{
    BlockError, BlockOutcome, InvalidBlock, Report, Scope,
    frame::Frame,
    requests,
    sequential::{self, Notes, OverlayKernel},
    tally::Tally,
};
use alloy_consensus::Transaction as _;
use alloy_eips::{
    eip2718::Encodable2718,
    eip7002::MAX_WITHDRAWAL_REQUESTS_PER_BLOCK,
    eip7251::MAX_CONSOLIDATION_REQUESTS_PER_BLOCK,
    eip7928::{ITEM_COST, total_bal_items},
    eip8282::{MAX_BUILDER_DEPOSIT_REQUESTS_PER_BLOCK, MAX_BUILDER_EXIT_REQUESTS_PER_BLOCK},
};
use fugue_chainspec::Fork;
use fugue_evm::{Executed, Fault, ReadLog};
use fugue_state::{Overlay, StateDiff, StateError, StateView};
use fugue_types::{Address, HashSet, Transaction, TxResult, U256};
use std::time::Instant;

/// Gas that every transaction needs. Source: Yellow Paper, "Fee Schedule".
const TX_GAS_MIN: u64 = 21_000;
/// The same from Amsterdam on. Source: EIP-2780.
const TX_GAS_MIN_AMSTERDAM: u64 = 12_000;

/// Most items of the access list that the contracts of requests can add when the block is closed:
/// each has its account, four slots that keep its queue, and the slots of the requests that it
/// gives out. Source: EIP-7002, EIP-7251, EIP-8282.
const CLOSING_ITEMS_MAX: usize = 4 * (1 + 4)
    + 3 * MAX_WITHDRAWAL_REQUESTS_PER_BLOCK
    + 4 * MAX_CONSOLIDATION_REQUESTS_PER_BLOCK
    + 6 * MAX_BUILDER_DEPOSIT_REQUESTS_PER_BLOCK
    + 3 * MAX_BUILDER_EXIT_REQUESTS_PER_BLOCK;

/// A block as it is being filled.
pub(crate) struct Filling<'b> {
    job: &'b Job<'b>,
    tally: Tally,
    notes: Notes,
    taken: Vec<usize>,
    refused: Vec<(usize, Refusal)>,
    /// Senders of whom nothing more is taken.
    closed: HashSet<Address>,
    bytes: usize,
    blobs: u64,
    /// Items of the access list, and how many it may have before the block is closed. Before
    /// Amsterdam there are none.
    items: u64,
    items_max: u64,
    /// Of the block, in wei; 0 before London.
    base_fee: u64,
    fees: U256,
}

/// A block that was filled, its transactions still among the candidates.
pub(crate) struct Filled {
    taken: Vec<usize>,
    refused: Vec<(usize, Refusal)>,
    outcome: BlockOutcome,
    fees: U256,
}

impl<'b> Filling<'b> {
    pub(crate) fn new(job: &'b Job<'b>) -> Self {
        let Job { header, withdrawals, rules, .. } = *job;
        let withdrawals = withdrawals.map_or(0, |all| all.len());
        let at_close = (CLOSING_ITEMS_MAX + withdrawals) as u64;
        let is_london = rules.has(Fork::London);
        Self {
            job,
            tally: Tally::new(rules, header, 0),
            notes: Notes::new(rules, Scope::Block),
            taken: Vec::new(),
            refused: Vec::new(),
            closed: HashSet::default(),
            bytes: 0,
            blobs: 0,
            items: 0,
            items_max: job.items_max().saturating_sub(at_close),
            base_fee: header.base_fee_per_gas.filter(|_| is_london).unwrap_or_default(),
            fees: U256::ZERO,
        }
    }

    /// Notes the opening of the block.
    pub(crate) fn open(&mut self, reads: &ReadLog, diff: &StateDiff) -> Result<(), BlockError> {
        self.notes.push(reads, diff)?;
        self.items = self.notes.items();
        Ok(())
    }

    /// Whether no more candidate is to be tried.
    pub(crate) fn is_over(&self) -> bool {
        let Job { limits, rules, .. } = *self.job;
        let is_amsterdam = rules.has(Fork::Amsterdam);
        let gas_min = if is_amsterdam { TX_GAS_MIN_AMSTERDAM } else { TX_GAS_MIN };
        self.taken.len() >= limits.txs_max
            || self.tally.gas_left() < gas_min
            || limits.until.is_some_and(|until| Instant::now() >= until)
    }

    /// Whether a candidate is worth running. `state` is the one after what was taken.
    pub(crate) fn admits(&mut self, index: usize, state: &Overlay<'_>) -> Result<bool, BlockError> {
        match self.obstacle(index, state)? {
            Some(reason) => {
                self.refuse(index, reason);
                Ok(false)
            }
            None => Ok(true),
        }
    }

    /// What stands against running a candidate.
    fn obstacle(&self, index: usize, state: &Overlay<'_>) -> Result<Option<Refusal>, StateError> {
        let (tx, sender) = self.candidate(index);
        if self.closed.contains(&sender) {
            return Ok(Some(Refusal::Sender));
        }
        // Execution would say so too, but not of one that has no room.
        if tx.nonce() < state.account(sender)?.unwrap_or_default().nonce {
            return Ok(Some(Refusal::NonceTooLow));
        }
        let limits = self.job.limits;
        if self.bytes.saturating_add(tx.network_len()) > limits.bytes_max {
            return Ok(Some(Refusal::Bytes));
        }
        let blobs = self.blobs.saturating_add(tx.blob_count().unwrap_or_default());
        // A limit that is passed stands in the way of those alone that have blobs.
        if tx.blob_count().is_some() && limits.blobs_max.is_some_and(|max| blobs > max) {
            return Ok(Some(Refusal::Blobs));
        }
        Ok(match self.tally.admit(tx) {
            Ok(()) => None,
            Err(InvalidBlock::BlobGas { .. }) => Some(Refusal::Blobs),
            Err(_) => Some(Refusal::Gas),
        })
    }

    /// Judges what an admitted candidate did; `None` if it is refused. What is given back must then
    /// be taken.
    pub(crate) fn judge(
        &mut self,
        index: usize,
        executed: Result<Executed, Fault<StateError>>,
        reads: &ReadLog,
    ) -> Result<Option<Executed>, BlockError> {
        let executed = match executed {
            Ok(executed) => executed,
            Err(Fault::Invalid(reason)) => {
                self.refuse(index, Refusal::Invalid(reason));
                return Ok(None);
            }
            Err(fault) => {
                let (tx, _) = self.candidate(index);
                return Err(BlockError::of_transaction(index, *tx.hash(), fault));
            }
        };
        if self.has_malformed_deposit(&executed.result) {
            self.refuse(index, Refusal::DepositLog);
            return Ok(None);
        }
        let recipient = executed.fee_due.map(|_| self.job.header.beneficiary);
        let items = self.items + self.notes.items_of(reads, recipient);
        if items > self.items_max {
            self.refuse(index, Refusal::AccessList);
            return Ok(None);
        }
        self.items = items;
        Ok(Some(executed))
    }

    /// Takes a candidate into the block; `state` then is the one after it.
    pub(crate) fn take(
        &mut self,
        index: usize,
        executed: Executed,
        diff: &StateDiff,
        reads: &ReadLog,
        state: &mut Overlay<'_>,
    ) -> Result<(), BlockError> {
        let Executed { result, fee_due, excess } = executed;
        let (tx, _) = self.candidate(index);
        state.push(diff)?;
        if fee_due.is_some() {
            self.notes.pays(self.job.header.beneficiary);
        }
        self.notes.push(reads, diff)?;
        self.bytes = self.bytes.saturating_add(tx.network_len());
        self.blobs = self.blobs.saturating_add(tx.blob_count().unwrap_or_default());
        let tip = tx.effective_tip_per_gas(self.base_fee).unwrap_or_default();
        let fee = U256::from(tip).saturating_mul(U256::from(result.gas.used));
        self.fees = self.fees.saturating_add(fee);
        self.taken.push(index);
        self.tally.add(tx, result, excess);
        Ok(())
    }

    /// Closes the block. The kernel stands on the state after what was taken.
    ///
    /// # Errors
    /// [`BlockError::Internal`] if the closing adds more items to the access list than were kept
    /// for it, which the system contracts do not do.
    pub(crate) fn close(self, kernel: OverlayKernel<'_, '_>) -> Result<Filled, BlockError> {
        let Self { job, tally, notes, taken, refused, fees, .. } = self;
        let Job { header, withdrawals, rules, .. } = *job;
        let frame = Frame { header, ommers: &[], withdrawals };
        let outcome = sequential::finish(kernel, tally, notes, rules, &frame, Scope::Block)?;
        let items = outcome.access_list.as_deref().map_or(0, total_bal_items);
        if items > job.items_max() {
            let message = format!("the access list has {items} items after the closing");
            return Err(BlockError::Internal(message));
        }
        Ok(Filled { taken, refused, outcome, fees })
    }

    fn candidate(&self, index: usize) -> (&'b Transaction, Address) {
        let Job { transactions, txs, .. } = *self.job;
        (&transactions[index], txs[index].sender())
    }

    fn refuse(&mut self, index: usize, reason: Refusal) {
        if reason != Refusal::NonceTooLow {
            let (_, sender) = self.candidate(index);
            self.closed.insert(sender);
        }
        self.refused.push((index, reason));
    }

    fn has_malformed_deposit(&self, result: &TxResult) -> bool {
        let rules = self.job.rules;
        let contract = rules.deposit_contract.filter(|_| rules.has(Fork::Prague));
        contract.is_some_and(|contract| requests::deposits(contract, &result.logs).is_err())
    }
}

impl Job<'_> {
    /// Most items of the block's access list. Source: EIP-7928, "Block Access List size
    /// constraint".
    const fn items_max(&self) -> u64 {
        self.header.gas_limit / ITEM_COST as u64
    }
}

impl Filled {
    /// Picks the transactions of the block from the candidates.
    pub(crate) fn into_built(
        self,
        transactions: Vec<Transaction>,
        senders: Vec<Address>,
        report: Report,
    ) -> Built {
        let Self { taken, refused, outcome, fees } = self;
        let mut next = taken.iter().peekable();
        let candidates = transactions.into_iter().zip(senders).enumerate();
        let (transactions, senders) = candidates
            .filter(|(index, _)| next.next_if(|taken| *taken == index).is_some())
            .map(|(_, candidate)| candidate)
            .unzip();
        Built { transactions, senders, taken, refused, outcome, fees, report }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BuildLimits;
    use alloy_consensus::{Signed, TxLegacy};
    use fugue_chainspec::ChainSpec;
    use fugue_evm::PreparedTx;
    use fugue_state::MemoryState;
    use fugue_types::{Bytes, Header, TxGas, TxStatus, TxType};

    const SENDER: Address = Address::repeat_byte(0xa1);
    const PAYEE: Address = Address::repeat_byte(0xb0);

    /// Why a payment is refused that owes this fee, and has looked at sender and recipient, where
    /// the access list has room for so many items.
    fn refusal(fee_due: Option<U256>, room: usize) -> Option<Refusal> {
        let header = Header {
            number: 1,
            gas_limit: ((CLOSING_ITEMS_MAX + room) * ITEM_COST) as u64,
            beneficiary: Address::repeat_byte(0xfe),
            ..Header::default()
        };
        let rules = ChainSpec::at_fork(1, Fork::Amsterdam).rules(&header);
        // It has run: only its sender is asked for.
        let signature = format!("{:0>64}{:0>64}1b", "1", "1").parse().expect("a signature");
        let tx = Transaction::Legacy(Signed::new_unhashed(TxLegacy::default(), signature));
        let txs = [PreparedTx::new(&tx, SENDER).expect("a known type")];
        let (transactions, view) = ([tx], MemoryState::default());
        let limits = BuildLimits {
            txs_max: usize::MAX,
            bytes_max: usize::MAX,
            blobs_max: None,
            until: None,
        };
        let job = Job {
            header: &header,
            withdrawals: None,
            rules: &rules,
            view: &view,
            limits: &limits,
            transactions: &transactions,
            txs: &txs,
            predecessors: &[None],
        };
        let result = TxResult {
            tx_type: TxType::Legacy,
            status: TxStatus::Success,
            gas: TxGas::default(),
            logs: Vec::new(),
            output: Bytes::new(),
            created: None,
        };
        let executed = Executed { result, fee_due, excess: 0 };
        let accounts = [SENDER, PAYEE].map(|address| (address, None)).to_vec();
        let reads = ReadLog { accounts, ..ReadLog::default() };
        let mut filling = Filling::new(&job);
        let judged = filling.judge(0, Ok(executed), &reads).expect("nothing is broken");
        let refused = filling.refused.pop().map(|(_, reason)| reason);
        assert_eq!(judged.is_none(), refused.is_some());
        refused
    }

    /// The account of the fee recipient is in the list, although the candidate did not look at it.
    #[test]
    fn the_fee_recipient_is_an_item_of_the_first_one_that_owes_a_fee() {
        let full = Some(Refusal::AccessList);
        assert_eq!([1, 2].map(|room| refusal(None, room)), [full.clone(), None]);
        let fee = Some(U256::from(1));
        assert_eq!([2, 3].map(|room| refusal(fee, room)), [full, None]);
    }
}

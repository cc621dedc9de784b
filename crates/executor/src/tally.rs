//! The counts of a block: what it may still take, and what it has used.

use crate::{BlockOutcome, InvalidBlock};
use alloy_consensus::Transaction as _;
use alloy_eips::eip7825::MAX_TX_GAS_LIMIT_OSAKA;
use fugue_chainspec::{Fork, Rules};
use fugue_types::{Header, Transaction, TxResult};
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts of the transactions so far, in block order.
#[derive(Debug)]
pub(crate) struct Tally {
    gas_limit: u64,
    blob_gas_max: Option<u64>,
    has_two_dimensions: bool,
    results: Vec<TxResult>,
    excess: Vec<(usize, u64)>,
    used: u64,
    regular: u64,
    state: u64,
    blob: u64,
}

impl Tally {
    pub(crate) fn new(rules: &Rules, header: &Header, tx_count: usize) -> Self {
        Self {
            gas_limit: header.gas_limit,
            blob_gas_max: rules.blob_params.map(|params| params.max_blob_gas_per_block()),
            has_two_dimensions: rules.has(Fork::Amsterdam),
            results: Vec::with_capacity(tx_count),
            excess: Vec::new(),
            used: 0,
            regular: 0,
            state: 0,
            blob: 0,
        }
    }

    /// Whether the block has room for the transaction.
    ///
    /// Before Amsterdam gas is what senders paid. From then on the regular dimension is short if
    /// the gas limit, but no more than EIP-7825 lets one transaction spend there, does not fit; and
    /// the state dimension if the gas limit does not fit. Source: EIP-8037.
    pub(crate) fn admit(&self, tx: &Transaction) -> Result<(), InvalidBlock> {
        let index = self.results.len();
        let short = |available| -> Result<(), InvalidBlock> {
            let gas_limit = tx.gas_limit();
            Err(InvalidBlock::GasLimit { index, hash: *tx.hash(), gas_limit, available })
        };
        if self.has_two_dimensions {
            let regular_left = self.gas_limit.saturating_sub(self.regular);
            if tx.gas_limit().min(MAX_TX_GAS_LIMIT_OSAKA) > regular_left {
                return short(regular_left);
            }
            let state_left = self.gas_limit.saturating_sub(self.state);
            if tx.gas_limit() > state_left {
                return short(state_left);
            }
        } else {
            let left = self.gas_limit.saturating_sub(self.used);
            if tx.gas_limit() > left {
                return short(left);
            }
        }
        if let (Some(max), Some(blob_gas)) = (self.blob_gas_max, tx.blob_gas_used())
            && self.blob.saturating_add(blob_gas) > max
        {
            let blob_gas = self.blob.saturating_add(blob_gas);
            return Err(InvalidBlock::BlobGas { index, hash: *tx.hash(), blob_gas, max });
        }
        Ok(())
    }

    /// Counts an admitted transaction that ran, with its excess ([`BlockOutcome::excess`]).
    pub(crate) fn add(&mut self, tx: &Transaction, result: TxResult, excess: u64) {
        if excess > 0 {
            self.excess.push((self.results.len(), excess));
        }
        self.used += result.gas.used;
        self.regular += result.gas.regular;
        self.state += result.gas.state;
        self.blob += tx.blob_gas_used().unwrap_or_default();
        self.results.push(result);
    }

    /// Gas that no transaction has used, in the dimension that has less of it.
    pub(crate) fn gas_left(&self) -> u64 {
        let used = if self.has_two_dimensions { self.regular.max(self.state) } else { self.used };
        self.gas_limit.saturating_sub(used)
    }

    /// What the transactions did, in block order.
    pub(crate) fn results(&self) -> &[TxResult] {
        &self.results
    }

    /// The counts as an outcome whose other fields are still empty.
    pub(crate) fn into_outcome(self) -> BlockOutcome {
        let (gas_used, gas_regular, gas_state) = if self.has_two_dimensions {
            (self.regular.max(self.state), self.regular, self.state)
        } else {
            (self.used, self.used, 0)
        };
        BlockOutcome {
            results: self.results,
            excess: self.excess,
            gas_used,
            gas_regular,
            gas_state,
            blob_gas_used: self.blob,
            ..BlockOutcome::default()
        }
    }
}

/// Gas for transactions that run before anybody has admitted them, in any order. Those of a valid
/// block have enough of it; of another one all would run, however many there are, before it is
/// found that they have no room.
#[derive(Debug)]
pub(crate) struct Budget {
    left: AtomicU64,
}

impl Budget {
    pub(crate) const fn new(gas: u64) -> Self {
        Self { left: AtomicU64::new(gas) }
    }

    /// Takes off what a transaction has used.
    ///
    /// # Errors
    /// [`InvalidBlock::GasLimit`] if there was not enough left. No verdict on the block: it may
    /// have run on what it would not come upon at its turn.
    pub(crate) fn spend(
        &self,
        index: usize,
        tx: &Transaction,
        result: &TxResult,
    ) -> Result<(), InvalidBlock> {
        // A block does not count refunds before Amsterdam, and later not what goes for its state.
        let used = result.gas.used.min(result.gas.regular);
        let take = |left: u64| left.checked_sub(used);
        match self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
            Ok(_) => Ok(()),
            Err(available) => {
                let gas_limit = tx.gas_limit();
                Err(InvalidBlock::GasLimit { index, hash: *tx.hash(), gas_limit, available })
            }
        }
    }
}

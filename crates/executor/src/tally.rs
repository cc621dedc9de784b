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

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_consensus::{Signed, TxLegacy};
    use fugue_chainspec::ChainSpec;
    use fugue_types::{Bytes, TxGas, TxStatus, TxType};

    fn tx(gas_limit: u64) -> Transaction {
        let tx = TxLegacy { gas_limit, ..TxLegacy::default() };
        // Nobody looks at the signature.
        let signature = format!("{:0>64}{:0>64}1b", "1", "1").parse().expect("a signature");
        Transaction::Legacy(Signed::new_unhashed(tx, signature))
    }

    fn result(regular: u64, state: u64) -> TxResult {
        TxResult {
            tx_type: TxType::Legacy,
            status: TxStatus::Success,
            gas: TxGas { used: regular + state, regular, state },
            logs: Vec::new(),
            output: Bytes::new(),
            created: None,
        }
    }

    /// Source: EIP-8037: of the gas limit, what EIP-7825 lets one transaction spend has to fit the
    /// regular gas that is left, and all of it the state gas.
    #[test]
    fn from_amsterdam_on_a_gas_limit_has_to_fit_what_is_left_in_both_dimensions() {
        // Regular and state gas used of 30 million, a gas limit, and what is left for it if it does
        // not fit. The cap of EIP-7825 is 16,777,216.
        let cases = [
            (0, 0, 30_000_000, None),
            (0, 0, 30_000_001, Some(30_000_000)),
            (0, 10_000_000, 20_000_000, None),
            (0, 10_000_000, 20_000_001, Some(20_000_000)),
            (0, 10_000_000, 25_000_000, Some(20_000_000)),
            (13_222_784, 0, 25_000_000, None),
            (13_222_785, 0, 25_000_000, Some(16_777_215)),
            (20_000_000, 0, 10_000_000, None),
            (20_000_000, 0, 10_000_001, Some(10_000_000)),
            (20_000_000, 25_000_000, 5_000_000, None),
            (20_000_000, 25_000_000, 5_000_001, Some(5_000_000)),
        ];
        let header = Header { gas_limit: 30_000_000, ..Header::default() };
        let rules = ChainSpec::at_fork(1, Fork::Amsterdam).rules(&header);
        for (regular, state, gas_limit, expected) in cases {
            let mut tally = Tally::new(&rules, &header, 2);
            tally.add(&tx(gas_limit), result(regular, state), 0);
            let left = match tally.admit(&tx(gas_limit)) {
                Ok(()) => None,
                Err(InvalidBlock::GasLimit { index: 1, available, .. }) => Some(available),
                Err(other) => panic!("{other}"),
            };
            assert_eq!(left, expected, "{gas_limit} after {regular} and {state}");
        }
    }
}

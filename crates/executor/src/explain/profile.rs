//! How much of the critical paths of some blocks a contract causes, and by which of its fields.

use super::{Conflict, Explanation};
use crate::{Field, TxAccess};
use fugue_types::{Address, HashMap};
use std::cmp::Reverse;

/// What a field of the contract has to do with it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FieldShare {
    /// Gas of transactions on critical paths that wait for the one before them for this field, and
    /// perhaps for others.
    pub serial_gas: u64,
    /// Pairs of a transaction that reads it, and the latest one before it that changed it.
    pub pairs: usize,
}

/// What a contract has to do with how long blocks take.
///
/// Holds every field of the contract that has a conflict in any of the blocks: bounded by their
/// gas, since each costs a write and a read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContractProfile {
    contract: Address,
    /// Blocks that were added.
    pub blocks: usize,
    /// Those with a transaction that looks at the contract.
    pub touched_blocks: usize,
    /// Transactions of the blocks.
    pub txs: usize,
    /// Those that look at the contract.
    pub touched_txs: usize,
    /// Gas of all transactions.
    pub gas_used: u64,
    /// Gas of those on the critical path of their block.
    pub path_gas: u64,
    /// Gas of those on a critical path that wait for the one before them for the contract, and
    /// perhaps for others.
    pub serial_gas: u64,
    /// Gas of those that wait for the one before them for the contract alone.
    pub alone_gas: u64,
    /// Pairs of transactions with a conflict in the contract.
    pub pairs: usize,
    fields: HashMap<Field, FieldShare>,
}

impl ContractProfile {
    /// Of no blocks yet.
    pub fn new(contract: Address) -> Self {
        Self {
            contract,
            blocks: 0,
            touched_blocks: 0,
            txs: 0,
            touched_txs: 0,
            gas_used: 0,
            path_gas: 0,
            serial_gas: 0,
            alone_gas: 0,
            pairs: 0,
            fields: HashMap::default(),
        }
    }

    /// Adds a block: what its transactions did, and what that explains.
    pub fn add(&mut self, txs: &[TxAccess], explanation: &Explanation) {
        let looks = |tx: &&TxAccess| tx.reads.iter().any(|(address, _)| *address == self.contract);
        let touched = txs.iter().filter(looks).count();
        self.blocks += 1;
        self.touched_blocks += usize::from(touched > 0);
        self.txs += txs.len();
        self.touched_txs += touched;
        for dependency in explanation.dependencies.iter().flatten() {
            let fields = fields_of(self.contract, &dependency.conflicts);
            self.pairs += usize::from(!fields.is_empty());
            for field in fields {
                self.fields.entry(field).or_default().pairs += 1;
            }
        }
        self.gas_used = self.gas_used.saturating_add(explanation.gas.total);
        self.path_gas = self.path_gas.saturating_add(explanation.gas.length);
        for step in &explanation.gas.steps {
            let fields = fields_of(self.contract, &step.conflicts);
            if fields.is_empty() {
                continue;
            }
            let gas = txs.get(step.index).map_or(0, |tx| tx.gas_used);
            self.serial_gas = self.serial_gas.saturating_add(gas);
            if fields.len() == step.conflicts.len() {
                self.alone_gas = self.alone_gas.saturating_add(gas);
            }
            for field in fields {
                let share = self.fields.entry(field).or_default();
                share.serial_gas = share.serial_gas.saturating_add(gas);
            }
        }
    }

    /// Fields of the contract that have conflicts: of most gas on critical paths first, then of
    /// most pairs.
    pub fn fields(&self) -> Vec<(Field, FieldShare)> {
        let mut fields: Vec<_> =
            self.fields.iter().map(|(field, share)| (*field, *share)).collect();
        fields.sort_unstable_by_key(|(field, share)| {
            (Reverse(share.serial_gas), Reverse(share.pairs), *field)
        });
        fields
    }
}

/// The fields of an account among conflicts.
fn fields_of(address: Address, conflicts: &[Conflict]) -> Vec<Field> {
    let fields = conflicts.iter().map(|conflict| conflict.field);
    fields.filter(|field| field.address == address).map(|field| field.field).collect()
}

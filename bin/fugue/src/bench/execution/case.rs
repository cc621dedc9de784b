//! A block ready to run on the state before it, which is in memory.

use crate::{
    UsageError,
    datadir::usage,
    replay::{self, Before},
};
use fugue_archive::{Bundle, Record};
use fugue_chainspec::Rules;
use fugue_executor::{Executor, Mode, PreparedBlock, Scope};
use fugue_state::MemoryState;
use fugue_types::CheckedBlock;
use fugue_validation::{Ommers, check_block};

/// A block, its rules, and the state before it.
pub(in crate::bench) struct Case {
    pub(in crate::bench) number: u64,
    pub(in crate::bench) txs: usize,
    /// Gas that its header says it uses.
    pub(in crate::bench) gas: u64,
    pub(in crate::bench) rules: Rules,
    /// Before senders are recovered.
    pub(in crate::bench) checked: CheckedBlock,
    /// After that.
    pub(in crate::bench) prepared: PreparedBlock,
    pub(in crate::bench) state: MemoryState,
    pub(in crate::bench) scope: Scope,
}

impl Case {
    /// The block as a mode takes it: with its access list for the one that runs by it.
    pub(in crate::bench) fn ready<'r>(
        &'r self,
        mode: Mode,
        listed: Option<&'r PreparedBlock>,
    ) -> &'r PreparedBlock {
        listed.filter(|_| mode == Mode::Bal).unwrap_or(&self.prepared)
    }
}

/// What a file gives.
pub(in crate::bench) enum Found {
    Case(Box<Case>),
    /// Nothing to be measured, for a reason.
    Nothing(&'static str),
}

impl Case {
    /// The block of a file, whose senders are recovered.
    ///
    /// # Errors
    /// If the block cannot be executed.
    pub(in crate::bench) fn of_record(
        record: &Record,
        executor: &Executor,
    ) -> Result<Found, UsageError> {
        let has_ommers = match record {
            Record::Bundle(bundle) => bundle.has_ommers,
            // Reads would be walks through a trie, and not what a node has in memory.
            Record::Witness(_) => return Ok(Found::Nothing("has the state as trie nodes")),
        };
        let Some(before) = Before::new(record) else {
            return Ok(Found::Nothing("has no state"));
        };
        let scope = before.scope();
        let Before::Listed { state, .. } = before else {
            return Ok(Found::Nothing("has the state as trie nodes"));
        };
        let chain = replay::chain(record).map_err(UsageError)?;
        let sealed = record.block();
        let header = &sealed.block().header;
        let (number, gas) = (header.number, header.gas_used);
        let rules = chain.rules(header);
        let ommers = if has_ommers { Ommers::Known } else { Ommers::Unknown };
        let checked = sealed.clone().check(|block| check_block(block, &rules, ommers));
        let checked = checked.map_err(|refused| {
            let (_, mismatch) = *refused;
            UsageError(format!("block {number}: {mismatch}"))
        })?;
        let prepared = executor.prepare(checked.clone(), &rules).map_err(usage)?;
        let txs = prepared.senders().len();
        Ok(Found::Case(Box::new(Self { number, txs, gas, rules, checked, prepared, state, scope })))
    }

    /// A generated block.
    ///
    /// # Errors
    /// As [`Case::of_record`].
    pub(in crate::bench) fn of_bundle(
        bundle: Bundle,
        executor: &Executor,
    ) -> Result<Box<Self>, UsageError> {
        match Self::of_record(&Record::Bundle(bundle), executor)? {
            Found::Case(case) => Ok(case),
            Found::Nothing(reason) => Err(UsageError(format!("a generated block {reason}"))),
        }
    }
}

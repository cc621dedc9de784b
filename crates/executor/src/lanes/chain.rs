//! A block that turns out to be one chain: what has run of it is kept, and the rest runs above it,
//! one transaction after the other.
//!
//! Lanes end where they are then. The first transactions of the block are settled as ever, by an
//! argument that asks for nothing of those behind them: of others, whoever is settled has seen what
//! earlier ones had left alone, and these have run, and are settled too.

use super::{FallbackCause, Lane, LaneFault, LaneTx};
use crate::{
    BlockError, BlockOutcome, PreparedBlock, Scope,
    sequential::{self, Notes, Progress},
    tally::Tally,
};
use fugue_chainspec::Rules;
use fugue_evm::CodeCache;
use fugue_state::{Overlay, StateDiff, StateView};

/// Gas of the first transactions of a chain from which on their runs are kept: below, to run them
/// again is sooner done than to go on above them.
pub(super) const KEPT_GAS_MIN: u64 = 700_000;

/// Whether no more is run because the block is one chain.
pub(super) const fn is_chain(cause: &FallbackCause) -> bool {
    matches!(cause, FallbackCause::Lanes(LaneFault::OneChain))
}

/// How many of the first transactions of the block have run, and the number of lanes that these
/// are in, which come first then; 0 if one of them goes on behind a gap, so that nobody knows what
/// it had left before that, or if they have used less gas than that.
///
/// A lane that is left out begins behind them: none of them has heard of it.
pub(super) fn first_txs(lanes: &mut [Lane], gas_min: u64) -> (usize, usize) {
    let mut ran: Vec<usize> = lanes.iter().flat_map(|lane| &lane.txs).map(|tx| tx.index).collect();
    ran.sort_unstable();
    let count = ran.iter().enumerate().take_while(|(place, index)| place == *index).count();
    let is_first = |lane: &Lane| lane.txs.first().is_none_or(|tx| tx.index < count);
    lanes.sort_by_key(|lane| !is_first(lane));
    let of_first = lanes.iter().take_while(|lane| is_first(lane)).count();
    let mut gas = 0_u64;
    for LaneTx { index, executed, .. } in lanes[..of_first].iter().flat_map(|lane| &lane.txs) {
        if *index >= count {
            return (0, 0);
        }
        let used = executed.as_ref().map_or(0, |executed| executed.result.gas.used);
        gas = gas.saturating_add(used);
    }
    if gas >= gas_min { (count, of_first) } else { (0, 0) }
}

/// Runs sequentially what is left of a block that has changed the state by these diffs so far.
pub(super) fn go_on(
    prepared: &PreparedBlock,
    rules: &Rules,
    codes: &CodeCache,
    scope: Scope,
    view: &dyn StateView,
    changed: [StateDiff; 2],
    tally: Tally,
) -> Result<BlockOutcome, BlockError> {
    let mut overlay = Overlay::new(view);
    for diff in &changed {
        overlay.push(diff)?;
    }
    let progress = Progress { overlay, tally, notes: Notes::new(rules, scope) };
    sequential::resume(progress, prepared, rules, codes, scope)
}

//! One transaction after the other: the definition of every other mode, and the baseline of every
//! ratio. One EVM for the block; nothing is set up anew per transaction.

use crate::{BlockError, BlockOutcome, PreparedBlock, Scope, frame, tally::Tally};
use fugue_chainspec::Rules;
use fugue_evm::{CodeCache, FeePayment, Kernel, ViewReader};
use fugue_state::{Overlay, StateDiff, StateView};

/// How far a block has come.
pub(crate) struct Progress<'v> {
    /// The state after the transactions so far.
    pub(crate) overlay: Overlay<'v>,
    /// What they did and used.
    pub(crate) tally: Tally,
    /// Before Byzantium: what the opening of the block and each transaction changed.
    pub(crate) steps: Option<Vec<StateDiff>>,
}

/// Opens the block and runs all of it.
pub(crate) fn run(
    prepared: &PreparedBlock,
    rules: &Rules,
    view: &dyn StateView,
    codes: &CodeCache,
    scope: Scope,
) -> Result<BlockOutcome, BlockError> {
    let block = prepared.block.block();
    let reader = ViewReader(Overlay::new(view));
    let mut kernel = Kernel::new(rules, &block.header, codes, reader, FeePayment::Direct);
    let tally = Tally::new(rules, &block.header, prepared.txs.len());
    let mut steps = (!rules.receipts_have_status()).then(Vec::new);
    if scope != Scope::Transactions {
        frame::open(&mut kernel, rules, block)?;
    }
    if let Some(steps) = &mut steps {
        take_step(&mut kernel, steps)?;
    }
    run_rest(kernel, tally, steps, prepared, rules, scope)
}

/// Runs what is left of a block that was opened and has come as far as `progress` says.
pub(crate) fn resume(
    progress: Progress<'_>,
    prepared: &PreparedBlock,
    rules: &Rules,
    codes: &CodeCache,
    scope: Scope,
) -> Result<BlockOutcome, BlockError> {
    let Progress { overlay, tally, steps } = progress;
    let header = &prepared.block.block().header;
    let kernel = Kernel::new(rules, header, codes, ViewReader(overlay), FeePayment::Direct);
    run_rest(kernel, tally, steps, prepared, rules, scope)
}

type OverlayKernel<'c, 'v> = Kernel<'c, ViewReader<Overlay<'v>>>;

fn run_rest(
    mut kernel: OverlayKernel<'_, '_>,
    mut tally: Tally,
    mut steps: Option<Vec<StateDiff>>,
    prepared: &PreparedBlock,
    rules: &Rules,
    scope: Scope,
) -> Result<BlockOutcome, BlockError> {
    let block = prepared.block.block();
    let txs = block.body.transactions.iter().zip(&prepared.txs).enumerate();
    // The changes of the whole block gather in the kernel's journal. Only before Byzantium each
    // transaction's are taken out, as its receipt holds the state root after it.
    for (index, (tx, prepared)) in txs.skip(tally.results().len()) {
        tally.admit(tx)?;
        let executed = kernel
            .transact(prepared)
            .map_err(|fault| BlockError::of_transaction(index, *tx.hash(), fault))?;
        tally.add(tx, executed.result);
        if let Some(steps) = &mut steps {
            take_step(&mut kernel, steps)?;
        }
    }
    let requests = match scope {
        Scope::Block | Scope::Recorded => {
            frame::close(&mut kernel, rules, block, tally.results(), scope)?
        }
        Scope::Transactions => None,
    };
    let (last, _) = kernel.take();
    let mut overlay = kernel.into_reader().0;
    let diff = if overlay.is_empty() {
        last
    } else {
        overlay.push(&last)?;
        overlay.into_diff()
    };
    Ok(BlockOutcome { requests, diff, steps: steps.unwrap_or_default(), ..tally.into_outcome() })
}

/// Moves the changes from the journal to the overlay, and notes them.
fn take_step(
    kernel: &mut OverlayKernel<'_, '_>,
    steps: &mut Vec<StateDiff>,
) -> Result<(), BlockError> {
    let (diff, _) = kernel.take();
    kernel.reader_mut().0.push(&diff)?;
    steps.push(diff);
    Ok(())
}

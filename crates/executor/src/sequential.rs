//! One transaction after the other: the definition of every other mode, and the baseline of every
//! ratio. One EVM for the block; nothing is set up anew per transaction.

use crate::{BlockError, BlockOutcome, PreparedBlock, Scope, frame, tally::Tally};
use fugue_chainspec::Rules;
use fugue_evm::{CodeCache, FeePayment, Kernel, ViewReader};
use fugue_state::{Overlay, StateView};

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
    let mut tally = Tally::new(rules, &block.header, prepared.txs.len());
    // The changes of the whole block gather in the kernel's journal. Only before Byzantium each
    // transaction's are taken out, as its receipt holds the state root after it.
    let takes_steps = !rules.receipts_have_status();
    let mut steps = Vec::new();
    let mut step = |kernel: &mut Kernel<'_, ViewReader<Overlay<'_>>>| {
        let (diff, _) = kernel.take();
        kernel.reader_mut().0.push(&diff)?;
        steps.push(diff);
        Ok::<_, BlockError>(())
    };

    if scope == Scope::Block {
        frame::open(&mut kernel, rules, block)?;
    }
    if takes_steps {
        step(&mut kernel)?;
    }
    for (index, (tx, prepared)) in block.body.transactions.iter().zip(&prepared.txs).enumerate() {
        tally.admit(tx)?;
        let executed = kernel
            .transact(prepared)
            .map_err(|fault| BlockError::of_transaction(index, *tx.hash(), fault))?;
        tally.add(tx, executed.result);
        if takes_steps {
            step(&mut kernel)?;
        }
    }
    let requests = match scope {
        Scope::Block => frame::close(&mut kernel, rules, block, tally.results())?,
        Scope::Transactions => None,
    };
    let (last, _) = kernel.take();
    let diff = if takes_steps {
        let mut overlay = kernel.into_reader().0;
        overlay.push(&last)?;
        overlay.into_diff()
    } else {
        last
    };
    Ok(BlockOutcome { requests, diff, steps, ..tally.into_outcome() })
}

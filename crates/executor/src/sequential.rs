//! One transaction after the other: the definition of every other mode, and the baseline of every
//! ratio. One EVM for the block; nothing is set up anew per transaction.

use crate::{
    BlockError, BlockOutcome, PreparedBlock, Scope,
    access_list::AccessList,
    frame::{self, Frame},
    tally::Tally,
};
use fugue_chainspec::{Fork, Rules};
use fugue_evm::{CodeCache, FeePayment, Kernel, ReadLog, StateReader, ViewReader};
use fugue_state::{Overlay, StateDiff, StateError, StateView};
use fugue_types::{Address, BlockAccessList, TxResult};

/// How far a block has come.
pub(crate) struct Progress<'v> {
    /// The state after the transactions so far.
    pub(crate) overlay: Overlay<'v>,
    /// What they did and used.
    pub(crate) tally: Tally,
    pub(crate) notes: Notes,
}

/// What is noted of each step of a block: its opening, its transactions, its closing.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    /// Before Byzantium: what the opening of the block and each transaction changed.
    steps: Option<Vec<StateDiff>>,
    /// From Amsterdam on.
    access_list: Option<AccessList>,
}

impl Notes {
    pub(crate) fn new(rules: &Rules, scope: Scope) -> Self {
        let lists_accesses = rules.has(Fork::Amsterdam) && scope != Scope::Transactions;
        Self {
            steps: (!rules.receipts_have_status()).then(Vec::new),
            access_list: lists_accesses.then(AccessList::default),
        }
    }

    /// Whether anything is noted, so that each step has to be taken out.
    pub(crate) const fn are_kept(&self) -> bool {
        self.steps.is_some() || self.access_list.is_some()
    }

    /// Items of the access list of the steps so far (EIP-7928); 0 where none is kept.
    pub(crate) fn items(&self) -> u64 {
        self.access_list.as_ref().map_or(0, AccessList::items)
    }

    /// Items that a step would add, which reads this and pays `recipient` without reading it.
    pub(crate) fn items_of(&self, reads: &ReadLog, recipient: Option<Address>) -> u64 {
        self.access_list.as_ref().map_or(0, |list| list.items_of(reads, recipient))
    }

    /// The next step pays the fee recipient without reading it.
    pub(crate) fn pays(&mut self, recipient: Address) {
        if let Some(list) = &mut self.access_list {
            list.touch(recipient);
        }
    }

    /// Notes the next step.
    pub(crate) fn push(&mut self, reads: &ReadLog, diff: &StateDiff) -> Result<(), BlockError> {
        if let Some(list) = &mut self.access_list {
            list.push(reads, diff)?;
        }
        if let Some(steps) = &mut self.steps {
            steps.push(diff.clone());
        }
        Ok(())
    }
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
    let mut notes = Notes::new(rules, scope);
    if scope != Scope::Transactions {
        frame::open(&mut kernel, rules, &block.header)?;
    }
    if notes.are_kept() {
        take_step(&mut kernel, &mut notes)?;
    }
    run_rest(kernel, tally, notes, prepared, rules, scope)
}

/// As [`run`], and gives the access list of the block beside its outcome, on every fork.
pub(crate) fn list_accesses(
    prepared: &PreparedBlock,
    rules: &Rules,
    view: &dyn StateView,
    codes: &CodeCache,
    scope: Scope,
) -> Result<(BlockOutcome, BlockAccessList), BlockError> {
    let block = prepared.block.block();
    let reader = ViewReader(Overlay::new(view));
    let mut kernel = Kernel::new(rules, &block.header, codes, reader, FeePayment::Direct);
    kernel.list_accesses();
    let tally = Tally::new(rules, &block.header, prepared.txs.len());
    let list = Some(AccessList::default());
    let mut notes = Notes { access_list: list, ..Notes::new(rules, scope) };
    if scope != Scope::Transactions {
        frame::open(&mut kernel, rules, &block.header)?;
    }
    take_step(&mut kernel, &mut notes)?;
    let mut outcome = run_rest(kernel, tally, notes, prepared, rules, scope)?;
    let is_listed = rules.has(Fork::Amsterdam) && scope != Scope::Transactions;
    let list = if is_listed { outcome.access_list.clone() } else { outcome.access_list.take() };
    Ok((outcome, list.unwrap_or_default()))
}

/// Opens the block and runs its first `count` transactions, each step's changes taken out.
pub(crate) fn run_steps(
    prepared: &PreparedBlock,
    rules: &Rules,
    view: &dyn StateView,
    codes: &CodeCache,
    count: usize,
) -> Result<(Vec<StateDiff>, Vec<TxResult>), BlockError> {
    let block = prepared.block.block();
    let reader = ViewReader(Overlay::new(view));
    let mut kernel = Kernel::new(rules, &block.header, codes, reader, FeePayment::Direct);
    let mut tally = Tally::new(rules, &block.header, prepared.txs.len());
    let mut notes = Notes { steps: Some(Vec::new()), access_list: None };
    frame::open(&mut kernel, rules, &block.header)?;
    take_step(&mut kernel, &mut notes)?;
    let step = |kernel: &mut OverlayKernel<'_, '_>| take_step(kernel, &mut notes);
    run_some(&mut kernel, &mut tally, prepared, count, step)?;
    Ok((notes.steps.unwrap_or_default(), tally.into_outcome().results))
}

/// Runs what is left of a block that was opened and has come as far as `progress` says.
pub(crate) fn resume(
    progress: Progress<'_>,
    prepared: &PreparedBlock,
    rules: &Rules,
    codes: &CodeCache,
    scope: Scope,
) -> Result<BlockOutcome, BlockError> {
    let Progress { overlay, tally, notes } = progress;
    let header = &prepared.block.block().header;
    let kernel = Kernel::new(rules, header, codes, ViewReader(overlay), FeePayment::Direct);
    run_rest(kernel, tally, notes, prepared, rules, scope)
}

/// A kernel over the state after the steps so far.
pub(crate) type OverlayKernel<'c, 'v> = Kernel<'c, ViewReader<Overlay<'v>>>;

/// Runs what is left of a block of which a kernel has run as much as the tally says, above its
/// opening; nothing is noted of the steps.
pub(crate) fn go_on<R: StateReader<Error = StateError>>(
    kernel: &mut Kernel<'_, R>,
    mut tally: Tally,
    opening: &StateDiff,
    prepared: &PreparedBlock,
    rules: &Rules,
    scope: Scope,
) -> Result<BlockOutcome, BlockError> {
    run_some(kernel, &mut tally, prepared, usize::MAX, |_| Ok(()))?;
    let frame = Frame::of(prepared.block.block());
    let requests = frame::close(kernel, rules, &frame, tally.results(), scope)?;
    let diff = kernel.take().0.after(opening)?;
    Ok(BlockOutcome { requests, diff, ..tally.into_outcome() })
}

fn run_rest(
    mut kernel: OverlayKernel<'_, '_>,
    mut tally: Tally,
    mut notes: Notes,
    prepared: &PreparedBlock,
    rules: &Rules,
    scope: Scope,
) -> Result<BlockOutcome, BlockError> {
    let step = |kernel: &mut OverlayKernel<'_, '_>| {
        if notes.are_kept() { take_step(kernel, &mut notes) } else { Ok(()) }
    };
    run_some(&mut kernel, &mut tally, prepared, usize::MAX, step)?;
    finish(kernel, tally, notes, rules, &Frame::of(prepared.block.block()), scope)
}

/// Runs what is left of the first `count` transactions, with a step after each.
fn run_some<R: StateReader<Error = StateError>>(
    kernel: &mut Kernel<'_, R>,
    tally: &mut Tally,
    prepared: &PreparedBlock,
    count: usize,
    mut step: impl FnMut(&mut Kernel<'_, R>) -> Result<(), BlockError>,
) -> Result<(), BlockError> {
    let txs = prepared.block.block().body.transactions.iter().zip(&prepared.txs).enumerate();
    // The changes of the whole block gather in the kernel's journal. Only before Byzantium, where
    // its receipt holds the state root after it, and from Amsterdam on, where the access list has a
    // place for it, each transaction's are taken out.
    for (index, (tx, prepared)) in txs.take(count).skip(tally.results().len()) {
        tally.admit(tx)?;
        let executed = kernel
            .transact(prepared)
            .map_err(|fault| BlockError::of_transaction(index, *tx.hash(), fault))?;
        tally.add(tx, executed.result, executed.excess);
        step(kernel)?;
    }
    Ok(())
}

/// Closes a block whose transactions have run, and gives its outcome.
pub(crate) fn finish(
    mut kernel: OverlayKernel<'_, '_>,
    tally: Tally,
    notes: Notes,
    rules: &Rules,
    frame: &Frame<'_>,
    scope: Scope,
) -> Result<BlockOutcome, BlockError> {
    let requests = frame::close(&mut kernel, rules, frame, tally.results(), scope)?;
    let (last, reads) = kernel.take();
    let Notes { steps, access_list } = notes;
    let access_list = match access_list {
        Some(mut list) => {
            list.push(&reads, &last)?;
            Some(list.into_list())
        }
        None => None,
    };
    let mut overlay = kernel.into_reader().0;
    let diff = if overlay.len() < last.accounts.len() {
        last.after(&overlay.into_diff())?
    } else {
        overlay.push(&last)?;
        overlay.into_diff()
    };
    let steps = steps.unwrap_or_default();
    Ok(BlockOutcome { requests, diff, steps, access_list, ..tally.into_outcome() })
}

/// Moves the changes from the journal to the overlay, and notes them.
fn take_step(kernel: &mut OverlayKernel<'_, '_>, notes: &mut Notes) -> Result<(), BlockError> {
    let (diff, reads) = kernel.take();
    kernel.reader_mut().0.push(&diff)?;
    notes.push(&reads, &diff)
}

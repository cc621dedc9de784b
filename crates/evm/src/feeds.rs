//! What of a transaction depends on values that were changed: the instructions that changed reads
//! feed into, which are the least that has to run again where only those do.
//!
//! Whatever is read of a changed value is marked, and marks follow what is computed: through the
//! stack, each byte of memory, storage, transient storage, balances, and the data of inner calls.
//! An instruction that takes something marked is *fed*; moving words on the stack is none. Where
//! something marked decides which instruction is next, or where something is read or written, the
//! instruction is a *guard*: as long as guards come out as before, the fed ones are all that can
//! come out otherwise; else anything from there on may.
//!
//! Left out: that gas depends on what is stored, that `GAS` tells of it, and that a balance may no
//! longer suffice; all are taken to come out as before. The storage that goes with a destroyed
//! account is not marked.

mod marks;
mod rules;
mod values;

use crate::{CodeCache, Executed, Fault, FeePayment, Kernel, PreparedTx, StateReader};
use fugue_chainspec::Rules;
use fugue_types::{HashSet, Header};
use marks::Marks;
use revm::{
    inspector::Inspector,
    interpreter::{
        CallInputs, CallOutcome, CreateInputs, CreateOutcome, Interpreter, InterpreterResult,
        interpreter_types::{InputsTr, Jumps},
    },
};
use rules::{Frame, Step};
use values::{Place, Values};

pub use values::StateValue;

/// Gas that a call which sends ether has on top of what its caller gives. Source: Yellow Paper,
/// appendix G, `G_callstipend`.
const CALL_STIPEND: u64 = 2_300;

/// Instructions that have run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Work {
    /// How many.
    pub steps: u64,
    /// Gas that they took, those of precompiled contracts included; without the intrinsic gas of
    /// the transaction, and without what failing frames lose.
    pub gas: u64,
}

/// What of a transaction depends on changed values. Each kind of work has the one before it, but
/// for `all`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fed {
    /// All that it did.
    pub all: Work,
    /// What changed reads feed into, those reads included: what has to run again if all guards come
    /// out as before.
    pub fed: Work,
    /// That, and all from the first guard on.
    pub guarded: Work,
    /// All from the first changed read on.
    pub after_read: Work,
    /// Reads of changed values from the state.
    pub reads: u64,
    /// Instructions that are guards.
    pub guards: u64,
}

/// To which kinds of work an instruction belongs.
#[derive(Debug, Clone, Copy, Default)]
struct Kinds {
    is_fed: bool,
    is_guarded: bool,
    is_after_read: bool,
}

/// Follows changed values through transactions, one after the other. Within a transaction memory is
/// bounded by what its gas buys.
#[derive(Debug, Default)]
pub struct Feeds {
    values: Values,
    frames: Vec<Frame>,
    /// The frame that the last instruction is about to begin.
    next: Option<Frame>,
    /// Of each open frame, to which work the call belongs that began it.
    calls: Vec<Kinds>,
    /// The last instruction, and the gas that was left before it.
    last: (Kinds, u64),
    /// Changed code runs: everything is fed.
    is_all_fed: bool,
    found: Fed,
}

impl Feeds {
    /// Values of the state that are other than they were. Whoever runs transactions keeps them.
    pub const fn changed_mut(&mut self) -> &mut HashSet<StateValue> {
        &mut self.values.changed
    }

    /// What was found of the last transaction.
    pub const fn found(&self) -> &Fed {
        &self.found
    }

    fn begin_tx(&mut self) {
        self.values.begin();
        self.frames.clear();
        self.calls.clear();
        self.next = None;
        self.last = Default::default();
        self.is_all_fed = false;
        self.found = Fed::default();
    }

    /// The kinds of work that this adds to.
    fn add(&mut self, kinds: Kinds, add: impl Fn(&mut Work)) {
        let Fed { all, fed, guarded, after_read, reads: _, guards: _ } = &mut self.found;
        add(all);
        let kinds = [kinds.is_fed, kinds.is_guarded, kinds.is_after_read];
        for (work, is_it) in [fed, guarded, after_read].into_iter().zip(kinds) {
            if is_it {
                add(work);
            }
        }
    }

    fn begin_frame(&mut self, forwarded: u64) {
        let mut frame = self.next.take().unwrap_or_default();
        frame.checkpoint = self.values.checkpoint();
        // What the call hands on is not what it takes. Nobody has called the outermost one.
        let kinds = if self.frames.is_empty() { Kinds::default() } else { self.last.0 };
        if !self.frames.is_empty() {
            self.add(kinds, |work| work.gas = work.gas.saturating_sub(forwarded));
        }
        self.frames.push(frame);
        self.calls.push(kinds);
    }

    /// `keeps` says whether the caller's memory gets what comes back, if anything does.
    fn end_frame(&mut self, result: &InterpreterResult, keeps: bool) {
        let (Some(mut frame), Some(kinds)) = (self.frames.pop(), self.calls.pop()) else { return };
        let len = result.output.len();
        if !frame.has_begun {
            let gas = result.gas.total_gas_spent();
            self.add(kinds, |work| work.gas = work.gas.saturating_add(gas));
            frame.output = Marks::of(len, frame.has_marked_input());
        }
        if !result.result.is_ok() {
            self.values.revert(frame.checkpoint);
        }
        if !result.result.is_ok_or_revert() {
            frame.output = Marks::default();
        }
        if let Some(caller) = self.frames.last_mut() {
            caller.take_back(frame, len, keeps);
        }
    }
}

impl<C> Inspector<C> for Feeds {
    fn initialize_interp(&mut self, interp: &mut Interpreter, _: &mut C) {
        if let Some(frame) = self.frames.last_mut() {
            frame.has_begun = true;
        }
        if let Some(address) = interp.input.bytecode_address() {
            let code = self.values.read(Place::State(StateValue::Code(*address)));
            if code.is_changed {
                self.is_all_fed = true;
                self.found.reads += 1;
            }
        }
    }

    fn step(&mut self, interp: &mut Interpreter, _: &mut C) {
        self.next = None;
        let Some(frame) = self.frames.last_mut() else { return };
        let (code, here) = (interp.bytecode.opcode(), interp.input.target_address());
        let Step { is_fed, is_guard, is_source, begins } =
            rules::step(code, interp.stack.data(), here, frame, &mut self.values);
        self.next = begins;
        self.found.reads += u64::from(is_source);
        self.found.guards += u64::from(is_guard);
        let is_fed = is_fed || self.is_all_fed;
        let kinds = Kinds {
            is_fed,
            is_guarded: is_fed || self.found.guards > 0,
            is_after_read: is_fed || self.found.reads > 0,
        };
        self.add(kinds, |work| work.steps = work.steps.saturating_add(1));
        self.last = (kinds, interp.gas.remaining());
    }

    fn step_end(&mut self, interp: &mut Interpreter, _: &mut C) {
        let (kinds, before) = self.last;
        let taken = before.saturating_sub(interp.gas.remaining());
        self.add(kinds, |work| work.gas = work.gas.saturating_add(taken));
    }

    fn call(&mut self, _: &mut C, inputs: &mut CallInputs) -> Option<CallOutcome> {
        let stipend = if inputs.transfers_value() { CALL_STIPEND } else { 0 };
        self.begin_frame(inputs.gas_limit.saturating_sub(stipend));
        None
    }

    fn call_end(&mut self, _: &mut C, _: &CallInputs, outcome: &mut CallOutcome) {
        self.end_frame(&outcome.result, outcome.result.result.is_ok_or_revert());
    }

    fn create(&mut self, _: &mut C, inputs: &mut CreateInputs) -> Option<CreateOutcome> {
        self.begin_frame(inputs.gas_limit());
        None
    }

    fn create_end(&mut self, _: &mut C, _: &CreateInputs, outcome: &mut CreateOutcome) {
        self.end_frame(&outcome.result, false);
        // The code of what was created is nothing that comes back.
        if outcome.result.result.is_ok()
            && let Some(caller) = self.frames.last_mut()
        {
            caller.returned = Marks::default();
        }
    }
}

impl<'c, R: StateReader> Kernel<'c, R, Feeds> {
    /// Sets up an EVM for the block with this header, which follows changed values through its
    /// transactions.
    pub fn with_feeds(
        rules: &Rules,
        header: &Header,
        codes: &'c CodeCache,
        reader: R,
        fees: FeePayment,
    ) -> Self {
        Self::inspected(rules, header, codes, reader, fees, Feeds::default())
    }

    /// What follows the values.
    pub fn feeds_mut(&mut self) -> &mut Feeds {
        &mut self.machine.inner.inspector
    }

    /// As [`Kernel::transact`]; [`Feeds::found`] has what was found.
    ///
    /// # Errors
    /// As [`Kernel::transact`].
    pub fn transact_fed(&mut self, tx: &PreparedTx) -> Result<Executed, Fault<R::Error>> {
        self.feeds_mut().begin_tx();
        self.transact_inspected(tx)
    }
}

#[cfg(test)]
mod tests;

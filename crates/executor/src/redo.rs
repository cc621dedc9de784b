//! What running only parts of transactions again could gain at best: of each transaction of a
//! block, what depends on values that others before it have changed.
//!
//! A value is *changed* where it is other than after the opening of the block: whoever ran ahead of
//! all others has read it as it was then. That is the worst case. Nobody does this to execute a
//! block: it follows every instruction, to measure.

use crate::{
    BlockError, PreparedBlock,
    accesses::{Ran, Walk, walk},
    occ,
};
use fugue_chainspec::Rules;
use fugue_evm::{
    CodeCache, Executed, Fault, Fed, FeePayment, Feeds, Kernel, PreparedTx, Recorder, StateReader,
    StateValue, ViewReader,
};
use fugue_state::{AccountDiff, Overlay, StateView};
use fugue_types::{DefaultHashBuilder, HashMap, HashSet, U256};

/// What of a transaction would have to run again, where everything that others have changed before
/// it is new to it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TxRedo {
    /// What depends on changed values. Without reads of any, nobody disturbs it.
    pub fed: Fed,
    /// On the state after the opening of the block it runs the same instructions as in its place,
    /// so that what is fed is all that would be other than there, unless a marked word says where.
    pub keeps_path: bool,
    /// Time that it took while its instructions were recorded, and nothing of what they computed,
    /// in nanoseconds.
    pub recorded_nanos: u64,
    /// Time that it took while changed values were followed, in nanoseconds.
    pub followed_nanos: u64,
}

/// See [`crate::Executor::redo`].
pub(crate) fn run(
    prepared: &PreparedBlock,
    rules: &Rules,
    view: &dyn StateView,
    codes: &CodeCache,
) -> Result<Vec<TxRedo>, BlockError> {
    let header = &prepared.block.block().header;
    let reader = || ViewReader(Overlay::new(view));
    let fees = FeePayment::Deferred;
    let hashes = DefaultHashBuilder::default();

    let kernel = Kernel::with_feeds(rules, header, codes, reader(), fees);
    let mut following = Following::default();
    walk(prepared, rules, kernel, &mut following)?;

    let kernel = Kernel::with_recorder(rules, header, codes, reader(), fees);
    let mut recording = Recording { hashes: &hashes, paths: Vec::new() };
    walk(prepared, rules, kernel, &mut recording)?;

    let ahead = paths_ahead(prepared, rules, view, codes, &hashes)?;
    let pairs = following.found.into_iter().zip(recording.paths).zip(ahead);
    let redo = pairs.map(|(((fed, followed_nanos), (path, recorded_nanos)), ahead)| {
        let keeps_path = path.is_some() && path == ahead;
        TxRedo { fed, keeps_path, recorded_nanos, followed_nanos }
    });
    Ok(redo.collect())
}

/// The path of each transaction on the state after the opening of the block; `None` if it does not
/// run there.
fn paths_ahead(
    prepared: &PreparedBlock,
    rules: &Rules,
    view: &dyn StateView,
    codes: &CodeCache,
    hashes: &DefaultHashBuilder,
) -> Result<Vec<Option<u64>>, BlockError> {
    let header = &prepared.block.block().header;
    let (opening, _) = occ::open(rules, header, view, codes)?;
    let mut overlay = Overlay::new(view);
    overlay.push(&opening)?;
    let reader = ViewReader(overlay);
    let mut kernel = Kernel::with_recorder(rules, header, codes, reader, FeePayment::Deferred);
    let mut paths = Vec::with_capacity(prepared.txs.len());
    for tx in &prepared.txs {
        let path = match kernel.transact_recorded_assuming(tx) {
            Ok(_) => kernel.recorder().path(hashes),
            Err(Fault::Invalid(_)) => None,
            Err(Fault::Read(error)) => return Err(error.into()),
            Err(Fault::Internal(message)) => return Err(BlockError::Internal(message)),
        };
        paths.push(path);
        kernel.take();
    }
    Ok(paths)
}

/// Follows changed values.
#[derive(Default)]
struct Following {
    /// Of each value that any transaction has changed, what it was before the first one.
    first: HashMap<StateValue, U256>,
    /// Of each transaction, with its time.
    found: Vec<(Fed, u64)>,
}

impl Walk<Feeds> for Following {
    fn transact<R: StateReader>(
        &mut self,
        kernel: &mut Kernel<'_, R, Feeds>,
        tx: &PreparedTx,
    ) -> Result<Executed, Fault<R::Error>> {
        kernel.transact_fed(tx)
    }

    fn ran<R: StateReader>(&mut self, kernel: &mut Kernel<'_, R, Feeds>, ran: Ran<'_>) {
        let feeds = kernel.feeds_mut();
        self.found.push((*feeds.found(), ran.nanos));
        for change in ran.diff.accounts.iter().chain(ran.fee) {
            note(change, &mut self.first, feeds.changed_mut());
        }
    }
}

/// Notes what is changed by now.
fn note(
    change: &AccountDiff,
    first: &mut HashMap<StateValue, U256>,
    changed: &mut HashSet<StateValue>,
) {
    let AccountDiff { address, before, after, wiped: _, slots } = change;
    let (old, new) = (before.unwrap_or_default(), after.unwrap_or_default());
    let codes = [old, new].map(|account| U256::from_be_bytes(account.code_hash.0));
    let fields = [
        (StateValue::Nonce(*address), U256::from(old.nonce), U256::from(new.nonce)),
        (StateValue::Balance(*address), old.balance, new.balance),
        (StateValue::Code(*address), codes[0], codes[1]),
    ];
    let slots =
        slots.iter().map(|slot| (StateValue::Slot(*address, slot.slot), slot.before, slot.after));
    for (value, before, after) in fields.into_iter().chain(slots) {
        if before == after {
            continue;
        }
        if *first.entry(value).or_insert(before) == after {
            changed.remove(&value);
        } else {
            changed.insert(value);
        }
    }
}

/// Records which instructions there are.
struct Recording<'h> {
    hashes: &'h DefaultHashBuilder,
    /// Of each transaction, with its time.
    paths: Vec<(Option<u64>, u64)>,
}

impl Walk<Recorder> for Recording<'_> {
    fn transact<R: StateReader>(
        &mut self,
        kernel: &mut Kernel<'_, R, Recorder>,
        tx: &PreparedTx,
    ) -> Result<Executed, Fault<R::Error>> {
        kernel.transact_recorded(tx)
    }

    fn ran<R: StateReader>(&mut self, kernel: &mut Kernel<'_, R, Recorder>, ran: Ran<'_>) {
        self.paths.push((kernel.recorder().path(self.hashes), ran.nanos));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fugue_state::{Account, SlotDiff};
    use fugue_types::Address;

    const HERE: Address = Address::repeat_byte(1);

    #[test]
    fn a_value_that_is_as_it_was_is_not_changed() {
        let mut first = HashMap::default();
        let mut changed = HashSet::default();
        let account = |balance: u64| Account { balance: U256::from(balance), ..Account::default() };
        let mut change = |balances: [u64; 2], slots: [u64; 2]| {
            let [before, after] = balances.map(|balance| Some(account(balance)));
            let [old, new] = slots.map(U256::from);
            let slots = vec![SlotDiff { slot: U256::from(7), before: old, after: new }];
            let change = AccountDiff { address: HERE, before, after, wiped: false, slots };
            note(&change, &mut first, &mut changed);
            let has = |value| changed.contains(&value);
            assert!(!has(StateValue::Nonce(HERE)) && !has(StateValue::Code(HERE)));
            [StateValue::Balance(HERE), StateValue::Slot(HERE, U256::from(7))].map(has)
        };
        assert_eq!(change([5, 6], [0, 0]), [true, false]);
        assert_eq!(change([6, 7], [0, 3]), [true, true]);
        assert_eq!(change([7, 5], [3, 4]), [false, true]);
        assert_eq!(change([5, 5], [4, 0]), [false, false]);
    }
}

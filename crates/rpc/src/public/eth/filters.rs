//! Filters that stay open, and are asked from time to time what is new: `eth_newFilter` and its
//! like.
//!
//! A filter of blocks or logs remembers how far it has told of the chain ([`Position`]), and goes
//! on from there when it is asked: that is exact whatever the head did meanwhile, and needs no
//! backlog. It tells the net change: a block that came and went between two questions is not told.
//! A filter of transactions has its place in the feed of those.
//!
//! All servers of a node have the same filters. One that nobody asks for some minutes is closed;
//! that is looked after whenever filters are asked, opened or closed, or logs are subscribed to.

mod position;

use crate::{
    ids::{self, RandomIds},
    public::{
        Answer, Context, Limits,
        args::{Args, boolean, quantity_u128},
        error,
        eth::{
            changes::{Change, Followed, Wanted},
            logs::{self as all_logs, Where, weight},
        },
        feed::Listener,
        json,
        live::PendingTx,
        patience::Patience,
        wire,
    },
};
use alloy_rpc_types_eth::Log as WireLog;
use fugue_chain::ChainView;
use fugue_types::B256;
use jsonrpsee::types::ErrorObjectOwned;
use position::{Position, Step};
use serde_json::Value;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError},
    time::Instant,
};

/// The open filters, by id.
#[derive(Default)]
pub(crate) struct Filters(Mutex<HashMap<u128, Open>>);

/// An open filter.
struct Open {
    /// When it was opened, or asked last.
    asked: Instant,
    filter: Arc<Mutex<Filter>>,
}

/// What a filter tells of.
enum Filter {
    Blocks(Position),
    Logs {
        wanted: Box<Wanted>,
        /// Where `eth_getFilterLogs` looks.
        place: Where,
        position: Position,
    },
    Pending {
        txs: Listener<Arc<PendingTx>>,
        is_full: bool,
    },
}

impl Filters {
    /// The filters that were asked lately enough.
    fn open(&self, limits: &Limits) -> MutexGuard<'_, HashMap<u128, Open>> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, one| one.asked.elapsed() < limits.filter_idle_max);
        open
    }

    /// Closes those that were not.
    pub(crate) fn close_idle(&self, limits: &Limits) {
        drop(self.open(limits));
    }

    /// Opens a filter. Gives its id.
    ///
    /// # Errors
    /// If there are as many as may be.
    fn add(&self, limits: &Limits, filter: Filter) -> Answer {
        let mut open = self.open(limits);
        let max = limits.filters_max;
        if open.len() >= max {
            let told = format!("{max} filters are open, the most: close some, or ask later");
            return Err(error::refused(told));
        }
        let id = RandomIds::next();
        let filter = Arc::new(Mutex::new(filter));
        open.insert(id, Open { asked: Instant::now(), filter });
        json(&ids::text(id))
    }

    /// The filter with this id, which is asked.
    ///
    /// # Errors
    /// If there is none.
    fn ask(&self, limits: &Limits, id: u128) -> Result<Arc<Mutex<Filter>>, ErrorObjectOwned> {
        let mut open = self.open(limits);
        let one = open.get_mut(&id).ok_or_else(error::filter_not_found)?;
        one.asked = Instant::now();
        Ok(Arc::clone(&one.filter))
    }
}

/// `eth_newBlockFilter`.
pub(crate) fn new_block_filter(context: &Context, args: Args) -> Answer {
    args.end()?;
    let position = Position::at_head(&context.view())?;
    context.live.filters.add(&context.limits, Filter::Blocks(position))
}

/// `eth_newFilter`.
pub(crate) fn new_filter(context: &Context, mut args: Args) -> Answer {
    let limits = &context.limits;
    let followed = args.required("filter", |value| Followed::decode(value, limits))?;
    args.end()?;
    let place = followed.place.clone();
    let wanted = Box::new(followed.keep(&context.live, limits)?);
    let position = Position::at_head(&context.view())?;
    context.live.filters.add(limits, Filter::Logs { wanted, place, position })
}

/// `eth_newPendingTransactionFilter`.
pub(crate) fn new_pending_filter(context: &Context, mut args: Args) -> Answer {
    let is_full = args.optional("full transactions", boolean)?.unwrap_or(false);
    args.end()?;
    let txs = context.live.pending.listen();
    context.live.filters.add(&context.limits, Filter::Pending { txs, is_full })
}

/// `eth_uninstallFilter`.
pub(crate) fn uninstall(context: &Context, mut args: Args) -> Answer {
    let id = args.required("filter id", quantity_u128)?;
    args.end()?;
    let closed = context.live.filters.open(&context.limits).remove(&id);
    json(&closed.is_some())
}

/// `eth_getFilterChanges`.
pub(crate) fn changes(context: &Context, mut args: Args) -> Answer {
    let id = args.required("filter id", quantity_u128)?;
    args.end()?;
    let filter = context.live.filters.ask(&context.limits, id)?;
    let mut filter = alone(&filter)?;
    match &mut *filter {
        Filter::Blocks(position) => new_blocks(context, position),
        Filter::Logs { wanted, position, .. } => new_logs(context, wanted, position),
        Filter::Pending { txs, is_full } => new_txs(txs, *is_full),
    }
}

/// `eth_getFilterLogs`.
pub(crate) fn logs(context: &Context, mut args: Args) -> Answer {
    let id = args.required("filter id", quantity_u128)?;
    args.end()?;
    let filter = context.live.filters.ask(&context.limits, id)?;
    let filter = alone(&filter)?;
    match &*filter {
        Filter::Logs { wanted, place, .. } => {
            json(&all_logs::find(context, place, &wanted.filter)?)
        }
        Filter::Blocks(_) | Filter::Pending { .. } => Err(error::filter_not_found()),
    }
}

/// The filter, if nobody else is asking it: whoever asks twice at a time does not hold two threads.
fn alone(filter: &Mutex<Filter>) -> Result<MutexGuard<'_, Filter>, ErrorObjectOwned> {
    match filter.try_lock() {
        Ok(filter) => Ok(filter),
        Err(TryLockError::Poisoned(poisoned)) => Ok(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => Err(error::refused("the filter is being asked already")),
    }
}

/// Whether a call goes on after so many steps. One that takes too long tells what it has come to:
/// its caller asks again, and must not begin at the same place then.
///
/// # Errors
/// If the call is to be given up.
fn goes_on(patience: &Patience, steps: u64) -> Result<bool, ErrorObjectOwned> {
    if steps > 0 && !patience.is_gone() {
        return Ok(patience.goes_on());
    }
    patience.check().map(|()| true)
}

/// Hashes of the blocks that joined the chain, lowest first. What is too much for one answer comes
/// with the next one; the position moves only if there is an answer.
fn new_blocks(context: &Context, position: &mut Position) -> Answer {
    let (view, mut at, mut hashes) = (context.view(), position.clone(), Vec::new());
    for steps in 0..context.limits.log_blocks_max {
        if !goes_on(&context.patience, steps)? {
            break;
        }
        match at.step(&view)? {
            None => break,
            Some(Step::Left(_)) => {}
            Some(Step::Joined { hash, .. }) => hashes.push(hash),
        }
    }
    let answer = json(&hashes)?;
    *position = at;
    Ok(answer)
}

/// Logs of the blocks that left the chain, newest block first, and then those of the blocks that
/// joined it, lowest first; in parts as [`new_blocks`] does it.
fn new_logs(context: &Context, wanted: &Wanted, position: &mut Position) -> Answer {
    let Limits { log_blocks_max, logs_max, log_bytes_max, .. } = context.limits;
    let (view, mut at) = (context.view(), position.clone());
    let (mut logs, mut bytes) = (Vec::new(), 0_usize);
    for steps in 0..log_blocks_max {
        if !goes_on(&context.patience, steps)? {
            break;
        }
        let (hash, change) = match at.step(&view)? {
            None => break,
            Some(Step::Left(hash)) => (hash, Change::Left),
            Some(Step::Joined { header, .. }) if !wanted.may_concern(&header) => continue,
            Some(Step::Joined { hash, .. }) => (hash, Change::Joined),
        };
        let found = logs_of(&view, wanted, hash, change)?;
        bytes = bytes.saturating_add(weight(&found));
        logs.extend(found);
        if logs.len() >= logs_max || bytes >= log_bytes_max {
            break;
        }
    }
    let answer = json(&logs)?;
    *position = at;
    Ok(answer)
}

/// Those of one block. Nothing can be told of a block that left the chain so long ago that it is
/// forgotten; one that joined it and has lost its receipts is an error, as half an answer looks
/// like a whole one.
fn logs_of(
    view: &ChainView,
    wanted: &Wanted,
    hash: B256,
    change: Change,
) -> Result<Vec<WireLog>, ErrorObjectOwned> {
    let block = view.moved_block(hash).map_err(error::of_chain)?;
    let Some(block) = block else { return Ok(Vec::new()) };
    if change == Change::Joined && block.receipts().is_none() {
        view.receipts(block.header().number).map_err(error::of_chain)?;
    }
    Ok(wanted.logs(&block, view.spec(), change))
}

/// Transactions that became executable. Of more than the feed keeps these are the last.
fn new_txs(txs: &mut Listener<Arc<PendingTx>>, is_full: bool) -> Answer {
    let mut found = Vec::new();
    loop {
        match txs.try_next() {
            Ok(Some(tx)) => found.push(tx),
            Ok(None) => break,
            Err(_) => txs.catch_up(),
        }
    }
    if !is_full {
        return json(&found.iter().map(|tx| *tx.tx.hash()).collect::<Vec<_>>());
    }
    let wired = found.iter().map(|tx| wire::pending(tx.tx.clone(), tx.sender));
    json(&wired.collect::<Result<Vec<Value>, _>>().map_err(error::internal)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::public::{
        error::REFUSED,
        feed::{Feed, FeedBounds},
    };
    use alloy_consensus::{SignableTransaction, TxLegacy};
    use alloy_primitives::Signature;
    use fugue_chain::Head;
    use fugue_types::{Address, Transaction};
    use serde_json::json as object;
    use std::{sync::atomic::AtomicBool, time::Duration};

    fn limits() -> Limits {
        Limits { filters_max: 2, ..Limits::default() }
    }

    fn blocks() -> Filter {
        Filter::Blocks(Position::at(Head { number: 0, hash: B256::ZERO }))
    }

    fn id(answer: Answer) -> u128 {
        let answer = answer.expect("a filter");
        quantity_u128(&serde_json::from_str(answer.get()).expect("JSON")).expect("a quantity")
    }

    #[test]
    fn no_more_filters_are_open_than_may_be() {
        let (filters, limits) = (Filters::default(), limits());
        let first = id(filters.add(&limits, blocks()));
        filters.add(&limits, blocks()).expect("room");
        assert_eq!(filters.add(&limits, blocks()).unwrap_err().code(), error::REFUSED);
        assert!(filters.open(&limits).remove(&first).is_some());
        filters.add(&limits, blocks()).expect("room");
        let told = filters.ask(&limits, first).err().map(|error| error.message().to_owned());
        assert_eq!(told.as_deref(), Some("filter not found"));
    }

    #[test]
    fn a_filter_that_is_not_asked_is_closed_and_makes_room() {
        let (filters, limits) = (Filters::default(), limits());
        let ids = [(), ()].map(|()| id(filters.add(&limits, blocks())));
        // As if neither had been asked for longer than may be, and then one of them was.
        let idle = Limits { filter_idle_max: Duration::ZERO, ..limits };
        assert!(filters.ask(&limits, ids[0]).is_ok());
        assert!(filters.ask(&idle, ids[0]).is_err());
        assert!(filters.ask(&limits, ids[1]).is_err());
        filters.add(&limits, blocks()).expect("room");
    }

    #[test]
    fn what_takes_too_long_is_told_as_far_as_it_has_come() {
        let (hour, over) = (Duration::from_secs(3_600), Duration::ZERO);
        let after = |time_max, is_gone, steps| {
            let patience = Patience::new(time_max, Arc::new(AtomicBool::new(is_gone)));
            goes_on(&patience, steps).map_err(|error| error.code())
        };
        assert_eq!([after(hour, false, 0), after(hour, false, 1)], [Ok(true); 2]);
        assert_eq!([after(over, false, 0), after(over, false, 1)], [Err(REFUSED), Ok(false)]);
        // Nobody would hear it.
        assert_eq!([after(hour, true, 0), after(hour, true, 1)], [Err(REFUSED); 2]);
    }

    #[test]
    fn a_filter_is_asked_once_at_a_time() {
        let filter = Mutex::new(blocks());
        let first = alone(&filter).expect("nobody asks");
        assert!(alone(&filter).is_err());
        drop(first);
        assert!(alone(&filter).is_ok());
    }

    #[test]
    fn of_too_many_transactions_the_last_are_told() {
        let feed = Feed::new(FeedBounds { items_max: 2, bytes_max: usize::MAX });
        let mut txs = feed.listen();
        let tx = |nonce| {
            let tx = TxLegacy { nonce, ..TxLegacy::default() };
            let signed = tx.into_signed(Signature::test_signature());
            Arc::new(PendingTx { tx: Transaction::Legacy(signed), sender: Address::ZERO })
        };
        let hashes = [0, 1, 2].map(|nonce| {
            let tx = tx(nonce);
            let hash = *tx.tx.hash();
            feed.tell(|| (tx, 1));
            hash
        });
        let told = |txs: &mut Listener<Arc<PendingTx>>, is_full: bool| -> Value {
            let answer = new_txs(txs, is_full).expect("an answer");
            serde_json::from_str(answer.get()).expect("JSON")
        };
        assert_eq!(told(&mut txs, false), object!([hashes[1], hashes[2]]));
        assert_eq!(told(&mut txs, false), object!([]));
        feed.tell(|| (tx(7), 1));
        let full = told(&mut txs, true);
        assert_eq!((&full[0]["nonce"], &full[0]["blockHash"]), (&object!("0x7"), &Value::Null));
    }
}

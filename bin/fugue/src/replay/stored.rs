//! `fugue replay --datadir`: execute a range of a stored chain again, several blocks at once.
//!
//! Workers execute: each takes the next number, reads the block and its senders from the store, and
//! executes it in every mode on the state after its parent, out of history. The caller's thread
//! judges in the order of the numbers: outcomes by the header, and the state root, for which it
//! takes the tries of the first parent from block to block. What differs in nothing has its list
//! written, where that is asked for.

use crate::{
    UsageError, Verdict,
    datadir::{Datadir, spec_of, usage},
    print,
    progress::Progress,
    replay::{lists::Lists, modes, report::JsonLines},
};
use fugue_chainspec::{ChainSpec, Rules};
use fugue_executor::{BlockOutcome, Executor, Mode, PreparedBlock, Scope, first_divergence};
use fugue_state::{StateDiff, StateView};
use fugue_storage::{Access, Snapshot};
use fugue_trie::{HashedDiff, StateTrie, Steps, step_through};
use fugue_types::{B256, Block, BlockAccessList, Eip658Value, Header, SealedBlock};
use fugue_validation::{Ommers, OutcomeFacts, check_block, check_outcome};
use serde_json::json;
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        mpsc::{Receiver, sync_channel},
    },
    time::Instant,
};

/// Blocks that workers execute ahead of the one that is judged.
const AHEAD_MAX: u64 = 64;

/// What is replayed, and how.
pub(super) struct Range<'o> {
    pub(super) datadir: &'o Datadir,
    pub(super) from: Option<u64>,
    pub(super) to: Option<u64>,
    /// The sequential one first.
    pub(super) modes: &'static [Mode],
    pub(super) lists: Option<&'o Lists>,
    pub(super) workers: usize,
    pub(super) stop_at_first: bool,
}

/// A block as it was executed.
struct Executed {
    hash: B256,
    header: Header,
    rules: Rules,
    tx_count: usize,
    /// Of the first mode that succeeded.
    outcome: Option<BlockOutcome>,
    differences: Vec<String>,
    /// Its access list, where lists are written.
    list: Option<BlockAccessList>,
    /// Why it was not executed, if the file of its list is of no use.
    unusable: Option<UsageError>,
}

/// The number that is given out next, and the one that is judged next.
struct Turn {
    next: u64,
    judged: u64,
    is_over: bool,
}

/// Runs the command.
pub(super) fn run(range: &Range<'_>, json: Option<JsonLines>) -> Result<Verdict, UsageError> {
    let store = range.datadir.open(Access::Read, range.workers + 1)?;
    let spec = spec_of(&store)?;
    let snapshot = store.snapshot().map_err(usage)?;
    let meta = snapshot.meta();
    let from = range.from.unwrap_or(meta.oldest_state.max(meta.oldest_body) + 1).max(1);
    let to = range.to.unwrap_or(meta.head.number);
    if from > to {
        return Err(UsageError(format!("no block from {from} to {to}")));
    }
    snapshot.header(to).map_err(usage)?;
    snapshot.body(from).map_err(usage)?;
    let tries = snapshot.tries_at(from - 1).map_err(usage)?;

    let turn = (Mutex::new(Turn { next: from, judged: from, is_over: false }), Condvar::new());
    let count = usize::try_from(to - from + 1).unwrap_or(usize::MAX);
    let progress = Progress::new("blocks", count);
    let (sender, receiver) = sync_channel(range.workers);
    let (lists, totals) = (range.lists, Totals::default());
    let mut judge =
        Judge { snapshot: &snapshot, lists, tries, after: from - 1, json, progress, totals };
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..range.workers {
            let (sender, turn, spec, snapshot) = (sender.clone(), &turn, &spec, &snapshot);
            scope.spawn(move || {
                let worker = Worker::new(spec, snapshot, range);
                while let Some(number) = take(turn, to) {
                    let executed =
                        worker.as_ref().map_err(copy).and_then(|worker| worker.execute(number));
                    if sender.send((number, executed)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let judged = judge.all(from, receiver, &turn, range.stop_at_first);
        // Whatever ended it, nobody waits for a turn any more.
        lock(&turn.0).is_over = true;
        turn.1.notify_all();
        judged
    })?;
    judge.finish(from, to, started.elapsed().as_secs_f64(), range)
}

fn copy(error: &UsageError) -> UsageError {
    UsageError(error.0.clone())
}

fn lock(turn: &Mutex<Turn>) -> std::sync::MutexGuard<'_, Turn> {
    turn.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The next number, when it is not too far ahead.
fn take((turn, moved): &(Mutex<Turn>, Condvar), to: u64) -> Option<u64> {
    let mut turn = lock(turn);
    while !turn.is_over && turn.next <= to && turn.next >= turn.judged + AHEAD_MAX {
        turn = moved.wait(turn).unwrap_or_else(PoisonError::into_inner);
    }
    if turn.is_over || turn.next > to {
        return None;
    }
    turn.next += 1;
    Some(turn.next - 1)
}

struct Worker<'r> {
    spec: &'r ChainSpec,
    snapshot: &'r Snapshot,
    modes: &'static [Mode],
    lists: Option<&'r Lists>,
    executor: Executor,
}

impl<'r> Worker<'r> {
    fn new(
        spec: &'r ChainSpec,
        snapshot: &'r Snapshot,
        range: &Range<'r>,
    ) -> Result<Self, UsageError> {
        let Range { modes, lists, .. } = *range;
        // Blocks run beside each other; within a block the parallel mode needs two to be parallel.
        let threads = if *modes == [Mode::Seq] { 1 } else { 2 };
        let executor = Executor::new(threads).map_err(usage)?;
        Ok(Self { spec, snapshot, modes, lists, executor })
    }

    fn execute(&self, number: u64) -> Result<Executed, UsageError> {
        let (hash, header) = self.snapshot.header(number).map_err(usage)?;
        let body = self.snapshot.body(number).map_err(usage)?;
        let senders = self.snapshot.senders(number).map_err(usage)?;
        let rules = self.spec.rules(&header);
        let tx_count = body.transactions.len();
        let mut executed = Executed {
            hash,
            header: header.clone(),
            rules,
            tx_count,
            outcome: None,
            differences: Vec::new(),
            list: None,
            unusable: None,
        };
        let block = SealedBlock::seal(Block { header, body });
        if block.hash() != hash {
            let found = block.hash();
            executed.differences.push(format!("hash: expected {hash}, found {found}"));
        }
        let checked = block.check(|block| check_block(block, &rules, Ommers::Known));
        let checked = match checked {
            Ok(checked) => checked,
            Err(refused) => {
                executed.differences.push(format!("header and body: {}", refused.1));
                return Ok(executed);
            }
        };
        let recovered = checked.recover(|_| Ok::<_, fugue_types::SenderCount>(senders));
        let mut prepared =
            self.executor.prepare_recovered(recovered.map_err(usage)?).map_err(usage)?;
        if modes::read_lists(self.modes) {
            let list = match self.lists.filter(|lists| lists.are_read()) {
                Some(lists) => match lists.read(number, hash) {
                    Ok(list) => list,
                    Err(error) => {
                        executed.unusable = Some(error);
                        return Ok(executed);
                    }
                },
                None => self.stored_list(number)?,
            };
            if let Some(list) = list {
                prepared = prepared.with_access_list(Arc::new(list));
            }
        }
        let view = self.snapshot.state_at(number - 1).map_err(usage)?;
        for mode in self.modes {
            let run = self.executor.execute(*mode, &prepared, &rules, &view, Scope::Block);
            match (run, &executed.outcome) {
                (Ok(run), None) => executed.outcome = Some(run.outcome),
                (Ok(run), Some(expected)) => {
                    if let Some(what) = first_divergence(expected, &run.outcome) {
                        executed.differences.push(format!("sequential and parallel: {what}"));
                    }
                }
                (Err(fugue_executor::BlockError::State(error)), _) => return Err(usage(error)),
                (Err(error), _) => executed.differences.push(format!("{mode}: {error}")),
            }
        }
        if self.lists.is_some_and(|lists| !lists.are_read()) {
            self.list_accesses(&prepared, &view, &mut executed)?;
        }
        Ok(executed)
    }

    /// The list of a block as it is stored.
    fn stored_list(&self, number: u64) -> Result<Option<BlockAccessList>, UsageError> {
        let Some(rlp) = self.snapshot.access_list(number).map_err(usage)? else { return Ok(None) };
        let list = alloy_rlp::decode_exact::<BlockAccessList>(&rlp);
        list.map(Some).map_err(|error| UsageError(format!("block {number}: access list: {error}")))
    }

    /// Makes the list of a block that is equal so far.
    fn list_accesses(
        &self,
        prepared: &PreparedBlock,
        view: &dyn StateView,
        executed: &mut Executed,
    ) -> Result<(), UsageError> {
        let Some(expected) = executed.outcome.as_ref().filter(|_| executed.differences.is_empty())
        else {
            return Ok(());
        };
        let rules = &executed.rules;
        let listed = self.executor.list_accesses(prepared, rules, view, Scope::Block);
        let (outcome, list) = listed.map_err(usage)?;
        match first_divergence(expected, &outcome) {
            Some(what) => executed.differences.push(format!("sequential and listed: {what}")),
            None => executed.list = Some(list),
        }
        Ok(())
    }
}

#[derive(Default)]
struct Totals {
    blocks: u64,
    different: u64,
    /// Blocks whose list could not be used: they are none of the others.
    unreadable: u64,
    transactions: u64,
    gas: u64,
}

struct Judge<'r> {
    snapshot: &'r Snapshot,
    lists: Option<&'r Lists>,
    tries: StateTrie,
    /// The block after which the tries are those of the chain; only its child is judged by them.
    after: u64,
    json: Option<JsonLines>,
    progress: Progress,
    totals: Totals,
}

impl Judge<'_> {
    fn all(
        &mut self,
        from: u64,
        receiver: Receiver<(u64, Result<Executed, UsageError>)>,
        (turn, moved): &(Mutex<Turn>, Condvar),
        stop_at_first: bool,
    ) -> Result<(), UsageError> {
        // At most as many as workers may be ahead.
        let mut waiting = BTreeMap::new();
        let mut number = from;
        for (done, executed) in receiver {
            waiting.insert(done, executed);
            while let Some(executed) = waiting.remove(&number) {
                self.one(number, executed?)?;
                if stop_at_first && self.totals.different + self.totals.unreadable > 0 {
                    return Ok(());
                }
                number += 1;
                lock(turn).judged = number;
                moved.notify_all();
            }
        }
        Ok(())
    }

    fn one(&mut self, number: u64, executed: Executed) -> Result<(), UsageError> {
        let Executed { hash, header, rules, tx_count, outcome, mut differences, list, unusable } =
            executed;
        if let Some(UsageError(reason)) = unusable
            && differences.is_empty()
        {
            return self.unreadable(number, hash, &reason);
        }
        if let Some(outcome) = outcome {
            if self.after != number - 1 {
                // Whatever came before, this block is judged by itself.
                self.tries = self.snapshot.tries_at(number - 1).map_err(usage)?;
            }
            differences.extend(self.judge(&header, &rules, &outcome)?);
            if self.tries.root() == header.state_root {
                self.after = number;
            } else {
                let (expected, found) = (header.state_root, self.tries.root());
                differences.push(format!("stateRoot: expected {expected}, found {found}"));
            }
        }
        if let Some(lists) = self.lists
            && let Some(list) = list
            && differences.is_empty()
        {
            lists.write(number, hash, &list)?;
        }
        self.totals.blocks += 1;
        self.totals.transactions += tx_count as u64;
        self.totals.gas = self.totals.gas.saturating_add(header.gas_used);
        self.totals.different += u64::from(!differences.is_empty());
        for difference in &differences {
            self.progress.say(&format!("block {number} ({hash}): {difference}"));
        }
        if let Some(json) = &mut self.json {
            json.line(&json!({
                "type": "block", "kind": "stored", "number": number, "hash": hash,
                "fork": rules.fork.to_string(), "transactions": tx_count,
                "gasUsed": header.gas_used, "differences": differences,
                "verdict": if differences.is_empty() { "equal" } else { "different" },
            }))?;
        }
        self.progress.step(&number.to_string());
        Ok(())
    }

    /// Nothing can be said about this block, and that says nothing about others.
    fn unreadable(&mut self, number: u64, hash: B256, reason: &str) -> Result<(), UsageError> {
        self.totals.unreadable += 1;
        self.progress.say(&format!("error: {reason}"));
        if let Some(json) = &mut self.json {
            json.line(&json!({
                "type": "unreadable", "kind": "stored", "number": number, "hash": hash,
                "reason": reason,
            }))?;
        }
        self.progress.step(&number.to_string());
        Ok(())
    }

    /// Takes the tries to the state after the block, and compares the outcome with its header.
    fn judge(
        &mut self,
        header: &Header,
        rules: &Rules,
        outcome: &BlockOutcome,
    ) -> Result<Vec<String>, UsageError> {
        let receipts = if rules.receipts_have_status() {
            self.apply(&outcome.diff)?;
            outcome.receipts()
        } else {
            let (source, steps) = (self.snapshot, &outcome.steps);
            let Steps { roots, rest, .. } =
                step_through(&mut self.tries, source, steps, &outcome.diff).map_err(usage)?;
            self.apply(&rest)?;
            // The first step is the opening of the block.
            outcome.receipts_with(|index, _| {
                Eip658Value::PostState(roots.get(index + 1).copied().unwrap_or_default())
            })
        };
        let facts = OutcomeFacts {
            gas_used: outcome.gas_used,
            blob_gas_used: outcome.blob_gas_used,
            receipts: &receipts,
            are_receipts_whole: true,
            requests: outcome.requests.as_ref(),
            access_list: outcome.access_list.as_deref(),
        };
        Ok(check_outcome(header, &facts).iter().map(ToString::to_string).collect())
    }

    fn apply(&mut self, diff: &StateDiff) -> Result<(), UsageError> {
        let applied = self.tries.apply(self.snapshot, &HashedDiff::from(diff), None);
        applied.map(drop).map_err(usage)
    }

    fn finish(
        mut self,
        from: u64,
        to: u64,
        seconds: f64,
        range: &Range<'_>,
    ) -> Result<Verdict, UsageError> {
        self.progress.finish();
        let Totals { blocks, different, unreadable, transactions, gas } = self.totals;
        let modes: Vec<String> = range.modes.iter().map(Mode::to_string).collect();
        if let Some(json) = &mut self.json {
            json.line(&json!({
                "type": "summary", "kind": "stored", "from": from, "to": to, "blocks": blocks,
                "different": different, "unreadable": unreadable, "transactions": transactions,
                "gasUsed": gas, "seconds": seconds, "modes": modes, "workers": range.workers,
            }))?;
        }
        if !self.json.is_some_and(|json| json.is_standard_output()) {
            print(format_args!(
                "blocks {from} to {to}: {} equal, {different} different, {unreadable} unreadable; \
                 {transactions} transactions, {:.1} Mgas in {seconds:.1} s, {} on {} workers\n",
                blocks - different,
                gas as f64 / 1e6,
                modes.join(" and "),
                range.workers,
            ))?;
        }
        Ok(match (different, unreadable) {
            (0, 0) => Verdict::Good,
            (0, _) => Verdict::BadInput,
            _ => Verdict::Differs,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fugue_chain::{Chain, Genesis};
    use fugue_chainspec::Fork;
    use fugue_state::MemoryState;
    use fugue_storage::{Faults, Store};

    #[test]
    fn a_list_is_written_only_where_the_header_differs_in_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let lists = Lists::new(None, Some(folder.path())).expect("a folder");
        let spec = ChainSpec::at_fork(1, Fork::Shanghai);
        let genesis = Genesis::new(spec.clone(), Header::default(), MemoryState::default());
        let store = Store::memory(Faults::none());
        Chain::init(&store, &genesis).expect("an empty store");
        let snapshot = store.snapshot().expect("a chain");
        let tries = snapshot.tries_at(0).expect("its state is kept");
        let good = Header { number: 1, state_root: tries.root(), ..Header::default() };
        let mut judge = Judge {
            snapshot: &snapshot,
            lists: lists.as_ref(),
            tries,
            after: 0,
            json: None,
            progress: Progress::new("blocks", 3),
            totals: Totals::default(),
        };
        for (header, files) in [
            (Header { gas_used: 1, ..good.clone() }, 0),
            (Header { state_root: B256::ZERO, ..good.clone() }, 0),
            (good, 1),
        ] {
            let executed = Executed {
                hash: B256::ZERO,
                rules: spec.rules(&header),
                header,
                tx_count: 0,
                outcome: Some(BlockOutcome::default()),
                differences: Vec::new(),
                list: Some(BlockAccessList::new()),
                unusable: None,
            };
            judge.one(1, executed).expect("it is judged");
            let written = folder.path().read_dir().expect("a folder").count();
            assert_eq!(written, files);
        }
        assert_eq!((judge.totals.blocks, judge.totals.different), (3, 2));
    }
}

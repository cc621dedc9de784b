//! Answers that several threads put together: each writes a part, and the parts are joined in their
//! order.
//!
//! ```text
//! part whose turn it is ----------------------------> the answer -> sent, where that is possible
//! part ahead of its turn -> waits there, whole or half -^
//! ```
//! Where the answer is sent while it is made, parts that are written ahead of their turn are held
//! back when they are too much together; the part whose turn it is waits for nobody but the reader.
//! Where it is not, the whole is in memory in any case, and no part waits.

use crate::{
    public::{
        Answer, error,
        patience::Patience,
        traces::{BYTES_PER_TELLING, Traces, on_threads},
    },
    stream::Writer,
};
use jsonrpsee::types::ErrorObjectOwned;
use serde::Serialize;
use std::{
    collections::BTreeMap,
    io, mem,
    sync::{Condvar, Mutex, MutexGuard, PoisonError, atomic::Ordering},
    time::Duration,
};

/// Bytes of parts that are written ahead of their turn, above which they are held back; each may
/// have a little more.
const AHEAD_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How often a part that is held back looks whether the call is given up.
const LOOK: Duration = Duration::from_millis(50);

/// What parts are joined to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// One value, of one part.
    Value,
    /// A list: each element has a comma before it, of which the first becomes the bracket.
    List,
}

impl Traces {
    /// An answer that is a list, of parts with the numbers below `count`, on several threads. Each
    /// may have any number of elements.
    ///
    /// # Errors
    /// The error with the least number, of those that were come to. Whoever is sent the answer
    /// while it is made may be unable to tell it.
    pub(crate) fn list(
        &self,
        count: usize,
        write: impl Fn(usize, &mut Part<'_>) -> Result<(), ErrorObjectOwned> + Sync,
    ) -> Answer {
        self.joined(Form::List, count, &write)
    }

    /// An answer of one part, on a thread that has the stack for it.
    ///
    /// # Errors
    /// As [`Traces::list`].
    pub(crate) fn value(
        &self,
        write: impl Fn(&mut Part<'_>) -> Result<(), ErrorObjectOwned> + Sync,
    ) -> Answer {
        self.joined(Form::Value, 1, &|_: usize, part: &mut Part<'_>| write(part))
    }

    fn joined(
        &self,
        form: Form,
        count: usize,
        write: &(impl Fn(usize, &mut Part<'_>) -> Result<(), ErrorObjectOwned> + Sync),
    ) -> Answer {
        let writer = Writer::new(self.outlet.clone(), self.patience.clone());
        let answer = Joined::new(form, writer, self.patience.clone());
        on_threads(self.threads.min(count), count, &|index: usize| {
            let mut part = Part::new(self, Some((&answer, index)));
            let written = write(index, &mut part).and_then(|()| part.end());
            written.inspect_err(|error| answer.fail(error))
        })?;
        answer.finish()
    }
}

/// A part of an answer, or a piece by itself, while it is written.
pub(crate) struct Part<'t> {
    text: Vec<u8>,
    /// Bytes of it that the others do not know of yet.
    untold: usize,
    /// Bytes of it that are counted as written ahead.
    ahead: usize,
    traces: &'t Traces,
    /// The answer that it belongs to, and which part of it this is.
    place: Option<(&'t Joined, usize)>,
    /// Why it cannot be written on.
    failure: Option<ErrorObjectOwned>,
}

impl<'t> Part<'t> {
    fn new(traces: &'t Traces, place: Option<(&'t Joined, usize)>) -> Self {
        Self { text: Vec::new(), untold: 0, ahead: 0, traces, place, failure: None }
    }

    /// A piece that belongs to no answer yet.
    pub(super) fn alone(traces: &'t Traces) -> Self {
        Self::new(traces, None)
    }

    /// The next element of a list.
    ///
    /// # Errors
    /// As [`Part::value`].
    pub(crate) fn element<T: Serialize + ?Sized>(
        &mut self,
        value: &T,
    ) -> Result<(), ErrorObjectOwned> {
        self.punctuation(",")?;
        self.value(value)
    }

    /// A value.
    ///
    /// # Errors
    /// If it does not fit with what is written already, or the call is given up.
    pub(crate) fn value<T: Serialize + ?Sized>(
        &mut self,
        value: &T,
    ) -> Result<(), ErrorObjectOwned> {
        let written = serde_json::to_writer(&mut *self, value);
        self.tell();
        self.check()?;
        written.map_err(error::internal)
    }

    /// What is between values.
    ///
    /// # Errors
    /// As [`Part::value`].
    pub(crate) fn punctuation(&mut self, text: &str) -> Result<(), ErrorObjectOwned> {
        let written = io::Write::write_all(self, text.as_bytes());
        self.check()?;
        written.map_err(error::internal)
    }

    fn check(&mut self) -> Result<(), ErrorObjectOwned> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        if self.traces.is_full() {
            return Err(self.traces.too_large("--rpc.max-trace-size", self.traces.written_max));
        }
        Ok(())
    }

    /// What was written.
    pub(super) fn into_text(self) -> Vec<u8> {
        self.text
    }

    fn end(mut self) -> Result<(), ErrorObjectOwned> {
        self.tell();
        self.check()?;
        let Some((answer, index)) = self.place else { return Ok(()) };
        answer.end(index, mem::take(&mut self.text), self.ahead)
    }

    fn tell(&mut self) {
        self.traces.written.fetch_add(mem::take(&mut self.untold), Ordering::Relaxed);
    }

    fn told(&mut self) -> io::Result<()> {
        self.tell();
        if self.traces.is_full() {
            return Err(io::Error::other("the answer is full"));
        }
        let Some((answer, index)) = self.place else { return Ok(()) };
        answer.pass_on(index, &mut self.text, &mut self.ahead).map_err(|failure| {
            self.failure = Some(failure);
            io::Error::other("the answer is given up")
        })
    }
}

impl io::Write for Part<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        self.untold = self.untold.saturating_add(bytes.len());
        if self.untold >= BYTES_PER_TELLING {
            self.told()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An answer, and the parts that wait for their turn.
struct Joined {
    form: Form,
    /// Parts may have to wait.
    is_sent: bool,
    patience: Patience,
    state: Mutex<State>,
    /// Told when it is the turn of another part, or of none.
    moved: Condvar,
}

struct State {
    writer: Writer,
    is_empty: bool,
    /// The part whose turn it is.
    next: usize,
    /// Parts that ended before their turn.
    ended: BTreeMap<usize, Vec<u8>>,
    /// Bytes of them, and of others ahead of their turn.
    ahead: usize,
    /// The first one.
    failure: Option<ErrorObjectOwned>,
}

impl State {
    /// More of the part whose turn it is.
    fn push(&mut self, form: Form, text: &mut Vec<u8>) -> Result<(), ErrorObjectOwned> {
        if form == Form::List
            && self.is_empty
            && let Some(comma) = text.first_mut()
        {
            *comma = b'[';
        }
        self.is_empty &= text.is_empty();
        let pushed = self.writer.push(text);
        text.clear();
        pushed
    }

    /// The part whose turn it is, if it has ended.
    fn take_next(&mut self) -> Option<Vec<u8>> {
        let text = self.ended.remove(&self.next)?;
        self.ahead = self.ahead.saturating_sub(text.len());
        Some(text)
    }
}

impl Joined {
    fn new(form: Form, writer: Writer, patience: Patience) -> Self {
        let is_sent = writer.may_send();
        let (next, ended, ahead, failure) = Default::default();
        let state = State { writer, is_empty: true, next, ended, ahead, failure };
        Self { form, is_sent, patience, state: Mutex::new(state), moved: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over what a part has so far, if it is its turn; waits for that while too much is
    /// written ahead. `counted` is how much of it was counted as such.
    fn pass_on(
        &self,
        index: usize,
        text: &mut Vec<u8>,
        counted: &mut usize,
    ) -> Result<(), ErrorObjectOwned> {
        if !self.is_sent {
            return Ok(());
        }
        let mut state = self.state();
        state.ahead = state.ahead.saturating_sub(*counted).saturating_add(text.len());
        *counted = text.len();
        let mut state = self.held_back(state, index)?;
        if state.next == index {
            state.ahead = state.ahead.saturating_sub(mem::take(counted));
            state.push(self.form, text)?;
        }
        Ok(())
    }

    /// Takes over the rest of a part, `counted` bytes of which were counted as written ahead.
    fn end(&self, index: usize, text: Vec<u8>, counted: usize) -> Result<(), ErrorObjectOwned> {
        let mut state = self.state();
        state.ahead = state.ahead.saturating_sub(counted).saturating_add(text.len());
        let mut state = if self.is_sent { self.held_back(state, index)? } else { state };
        state.ended.insert(index, text);
        while let Some(mut text) = state.take_next() {
            state.push(self.form, &mut text)?;
            state.next = state.next.saturating_add(1);
        }
        drop(state);
        self.moved.notify_all();
        Ok(())
    }

    /// Waits while it is not the turn of a part, and too much is written ahead.
    fn held_back<'s>(
        &'s self,
        mut state: MutexGuard<'s, State>,
        index: usize,
    ) -> Result<MutexGuard<'s, State>, ErrorObjectOwned> {
        loop {
            if let Some(failure) = &state.failure {
                return Err(failure.clone());
            }
            if state.next == index || state.ahead <= AHEAD_BYTES_MAX {
                return Ok(state);
            }
            self.patience.check()?;
            let waited = self.moved.wait_timeout(state, LOOK);
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// One of the parts has failed: the others need not wait for it.
    fn fail(&self, failure: &ErrorObjectOwned) {
        self.state().failure.get_or_insert_with(|| failure.clone());
        self.moved.notify_all();
    }

    /// The answer of all parts.
    fn finish(self) -> Answer {
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        let State { mut writer, is_empty, .. } = state;
        if self.form == Form::List {
            let end: &[u8] = if is_empty { b"[]" } else { b"]" };
            writer.push(end)?;
        }
        writer.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::{Inlet, Offer, Streamed, WHOLE_BYTES_MAX};
    use fugue_evm::TraceBudget;
    use http_body::Body;
    use std::{
        future::poll_fn,
        pin::Pin,
        sync::{
            Arc,
            atomic::{AtomicBool, AtomicUsize},
            mpsc,
        },
        thread,
    };

    /// Enough for all that is written here.
    const ROOM: usize = 64 * 1024 * 1024;

    fn traces(threads: usize) -> Traces {
        Traces {
            budget: TraceBudget::new(0, || false),
            threads,
            written_max: ROOM,
            written: AtomicUsize::new(0),
            patience: Patience::default(),
            outlet: None,
        }
    }

    /// With the answer as it is sent.
    fn sent(threads: usize) -> (Traces, Streamed) {
        let (outlet, inlet) = Offer::new(ROOM).open();
        let traces = Traces { outlet: Some(outlet), ..traces(threads) };
        (traces, body(inlet))
    }

    fn body(inlet: Inlet) -> Streamed {
        let waiting = crate::public::patience::Waiting(Arc::new(AtomicBool::new(false)));
        Streamed::new(inlet, waiting).within("null", ())
    }

    fn next(body: &mut Streamed) -> Option<Vec<u8>> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let frame = runtime.block_on(poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)))?;
        Some(frame.expect("it does not break off").into_data().expect("no trailers").to_vec())
    }

    /// Part `index` has `index % 3` elements of so many bytes.
    fn some(index: usize, bytes: usize, part: &mut Part<'_>) -> Result<(), ErrorObjectOwned> {
        (0..index % 3).try_for_each(|nth| part.element(&format!("{index}.{nth}{:bytes$}", "")))
    }

    #[test]
    fn parts_are_joined_in_their_order_on_any_number_of_threads() {
        for bytes in [0, 1_000, 60_000] {
            let elements = (0..20).flat_map(|index| {
                (0..index % 3).map(move |nth| format!("{index}.{nth}{:bytes$}", ""))
            });
            let expected = serde_json::to_string(&elements.collect::<Vec<_>>()).unwrap();
            for threads in [1, 4] {
                let whole = traces(threads).list(20, |index, part| some(index, bytes, part));
                assert!(whole.unwrap().get() == expected, "{bytes} {threads}");
                let (traces, mut body) = sent(threads);
                let mut read = Vec::new();
                let answer = thread::scope(|scope| {
                    let answer = scope.spawn(|| {
                        let answer = traces.list(20, |index, part| some(index, bytes, part));
                        traces.outlet.as_ref().expect("one").end(answer)
                    });
                    while let Some(piece) = next(&mut body) {
                        read.extend(piece);
                    }
                    answer.join().expect("no panic").unwrap()
                });
                let is_long = expected.len() > WHOLE_BYTES_MAX;
                let answer = if is_long { read } else { answer.get().as_bytes().to_vec() };
                assert!(answer == expected.as_bytes(), "{bytes} {threads}");
                assert_eq!(is_long, bytes == 60_000);
            }
        }
    }

    #[test]
    fn a_list_may_be_empty_and_a_value_is_no_list() {
        assert_eq!(traces(2).list(0, |_, _| Ok(())).unwrap().get(), "[]");
        assert_eq!(traces(2).list(5, |_, _| Ok(())).unwrap().get(), "[]");
        let value = traces(2).value(|part| {
            part.punctuation("[")?;
            part.value(&7)?;
            part.element("x")?;
            part.punctuation("]")
        });
        assert_eq!(value.unwrap().get(), "[7,\"x\"]");
    }

    #[test]
    fn the_first_bytes_are_sent_before_the_last_part_is_begun() {
        let (traces, mut body) = sent(1);
        let (told, is_read) = mpsc::channel();
        let is_read = Mutex::new(is_read);
        let long = "x".repeat(WHOLE_BYTES_MAX);
        thread::scope(|scope| {
            let answer = scope.spawn(|| {
                let answer = traces.list(2, |index, part| {
                    if index == 1 {
                        // Not before the reader says so.
                        is_read.lock().unwrap().recv().expect("it was read");
                    }
                    part.element(&long)
                });
                traces.outlet.as_ref().expect("one").end(answer)
            });
            assert_eq!(next(&mut body), Some(Vec::new()), "nothing is before the result");
            assert!(next(&mut body).is_some_and(|piece| piece.starts_with(b"[\"xx")));
            told.send(()).unwrap();
            while next(&mut body).is_some() {}
            assert!(answer.join().expect("no panic").is_ok());
        });
    }

    #[test]
    fn parts_ahead_of_their_turn_are_held_back_until_it_comes() {
        let (traces, _body) = sent(1);
        let writer = Writer::new(traces.outlet.clone(), Patience::default());
        // Who has to wait is given up at once.
        let over = Patience::new(Duration::ZERO, Arc::default());
        let answer = Joined::new(Form::List, writer, over);
        let (mut text, mut counted) = (vec![b','; AHEAD_BYTES_MAX], 0);
        answer.pass_on(1, &mut text, &mut counted).expect("as much as may be ahead");
        text.push(b',');
        assert!(answer.pass_on(1, &mut text, &mut counted).is_err());
        assert!(answer.end(2, Vec::new(), 0).is_err());
        assert_eq!((counted, text.len()), (AHEAD_BYTES_MAX + 1, AHEAD_BYTES_MAX + 1));
        answer.end(0, b",1".to_vec(), 0).expect("its turn");
        assert_eq!(answer.state().next, 1);
        // Where the answer is not sent, nobody waits.
        let whole = Writer::new(None, Patience::default());
        let answer = Joined::new(Form::List, whole, Patience::new(Duration::ZERO, Arc::default()));
        assert!(answer.end(1, text, 0).is_ok());
    }

    #[test]
    fn a_part_that_fails_ends_those_that_wait_for_it() {
        let (traces, _body) = sent(2);
        let long = "x".repeat(AHEAD_BYTES_MAX + 1);
        let refused = traces.list(2, |index, part| {
            if index == 1 {
                return part.element(&long);
            }
            while traces.written.load(Ordering::Relaxed) < AHEAD_BYTES_MAX {
                thread::yield_now();
            }
            Err(error::refused("no"))
        });
        assert_eq!(refused.unwrap_err().message(), "no");
    }
}

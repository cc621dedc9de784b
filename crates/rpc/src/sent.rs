//! What a caller has sent, looked at for what the server does not say: whether what it takes for a
//! notification has an id after all.
//!
//! jsonrpsee reads a message as a request, and what is none, such as for an id of -1, as a
//! notification, which ignores ids. Then its caller would wait for an answer for ever. So the text
//! is looked at again, over HTTP only once something is taken for a notification:
//!
//! ```text
//! body of a request -> Sent: text  -> a notification? -> how many of it have an id
//! WebSocket -> Messages -> message -> Sent: how many have an id
//! ```
//! All that have one are answered in the same words, with an id of null, so it is enough to know
//! how many they are, alone and in batches, whose answers are lists. Over a WebSocket each message
//! is a task of its own, and is looked at before that begins; but a task may overtake another, and
//! then is told what was meant for that. Callers see no difference, except of batches that are
//! under way at once, with calls in them: the error may be in the list of the other.

use jsonrpsee::{
    server::middleware::rpc::{Notification, Request},
    types::{ErrorCode, ErrorObjectOwned, Id},
};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// What was sent: the body of a request over HTTP, or all messages of a WebSocket. Among the
/// extensions of whatever is made of it.
#[derive(Clone, Default)]
pub(crate) struct Sent(Arc<Mutex<Text>>);

#[derive(Default)]
struct Text {
    /// What is not looked at; no longer than a request may be.
    bytes: Vec<u8>,
    /// Of what was looked at, and is not told.
    alone: usize,
    in_batches: usize,
}

/// How something was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Alone,
    InBatch,
}

impl Text {
    /// So many more are to be told.
    fn add(&mut self, (form, misread): (Form, usize)) {
        let count = self.count(form);
        *count = count.saturating_add(misread);
    }

    const fn count(&mut self, form: Form) -> &mut usize {
        match form {
            Form::Alone => &mut self.alone,
            Form::InBatch => &mut self.in_batches,
        }
    }
}

/// In the extensions of an answer that is none: nothing is sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Silence;

impl Sent {
    fn text(&self) -> MutexGuard<'_, Text> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// More of a body.
    pub(crate) fn push(&self, bytes: &[u8]) {
        self.text().bytes.extend_from_slice(bytes);
    }

    /// It was a call.
    pub(crate) fn forget(&self) {
        self.text().bytes = Vec::new();
    }

    /// A whole message of a WebSocket, which has at most so many calls if it is a batch.
    pub(crate) fn look(&self, message: &[u8], batch_max: usize) {
        let misread = misread(message, batch_max);
        self.text().add(misread);
    }

    /// Whether one more of what is taken for notifications, and was sent like this, is to be told
    /// that it is no request.
    pub(crate) fn take_misread(&self, form: Form) -> bool {
        let mut text = self.text();
        let bytes = mem::take(&mut text.bytes);
        // Of a batch that is too large, nothing is taken for a notification.
        text.add(misread(&bytes, usize::MAX));
        let count = text.count(form);
        let is_one = *count > 0;
        *count = count.saturating_sub(1);
        is_one
    }
}

/// What it is told, with an id of null. Source: JSON-RPC 2.0, sections 5 and 5.1.
pub(crate) fn no_request() -> (Id<'static>, ErrorObjectOwned) {
    (Id::Null, ErrorCode::InvalidRequest.into())
}

/// What tells a notification from a request.
#[derive(Deserialize)]
pub(crate) struct Shape<'a> {
    #[serde(borrow)]
    pub(crate) id: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) method: Option<&'a RawValue>,
}

/// How many of a message the server takes for notifications though they have an id.
fn misread(message: &[u8], batch_max: usize) -> (Form, usize) {
    // Of bytes, as the server reads them: of what it ignores it does not ask whether it is UTF-8.
    let text = message.trim_ascii_start();
    if !text.starts_with(b"[") {
        return (Form::Alone, usize::from(is_misread(text)));
    }
    let count = match serde_json::from_slice::<Vec<&RawValue>>(text) {
        Ok(calls) if calls.len() <= batch_max => {
            calls.iter().filter(|call| is_misread(call.get().as_bytes())).count()
        }
        _ => 0,
    };
    (Form::InBatch, count)
}

fn is_misread(text: &[u8]) -> bool {
    // An id that is there twice is no id, and none that is not there.
    let has_id = || !matches!(serde_json::from_slice(text), Ok(Shape { id: None, .. }));
    serde_json::from_slice::<Request<'_>>(text).is_err()
        && serde_json::from_slice::<Notification<'_>>(text).is_ok()
        && has_id()
}

/// Takes the messages of a WebSocket out of what is read from its socket, in pieces. What is no
/// WebSocket gives no message, or one that is no JSON. Source: RFC 6455, section 5.2.
pub(crate) struct Messages {
    bytes_max: usize,
    /// Of a frame that has not begun, at most [`HEAD_BYTES_MAX`].
    head: Vec<u8>,
    frame: Option<Frame>,
    message: Vec<u8>,
    /// The message is too long: nothing of it is kept.
    is_over: bool,
}

/// Bytes before what a frame carries: kind, lengths, mask.
const HEAD_BYTES_MAX: usize = 14;
/// The bit of a last frame, and that of a mask.
const FLAG: u8 = 0x80;
/// From this kind on, frames are no part of a message.
const CONTROL: u8 = 8;

struct Frame {
    is_control: bool,
    is_last: bool,
    mask: [u8; 4],
    /// Bytes that were read, and that are to be read.
    read: usize,
    left: u64,
}

impl Frame {
    /// `None` if the head goes on.
    fn of(head: &[u8]) -> Option<Self> {
        let [first, second, rest @ ..] = head else { return None };
        let (left, rest) = match second & !FLAG {
            126 => {
                let (length, rest) = rest.split_first_chunk::<2>()?;
                (u64::from(u16::from_be_bytes(*length)), rest)
            }
            127 => {
                let (length, rest) = rest.split_first_chunk::<8>()?;
                (u64::from_be_bytes(*length), rest)
            }
            length => (u64::from(length), rest),
        };
        let mask = if second & FLAG == 0 { [0; 4] } else { *rest.first_chunk::<4>()? };
        let is_control = first & 0xf >= CONTROL;
        Some(Self { is_control, is_last: first & FLAG != 0, mask, read: 0, left })
    }
}

impl Messages {
    pub(crate) fn new(bytes_max: usize) -> Self {
        let head = Vec::with_capacity(HEAD_BYTES_MAX);
        Self { bytes_max, head, frame: None, message: Vec::new(), is_over: false }
    }

    /// What was read next; each message that ends with it is given to `take`.
    pub(crate) fn push(&mut self, mut bytes: &[u8], mut take: impl FnMut(&[u8])) {
        loop {
            let Some(mut frame) = self.frame.take() else {
                let Some((&byte, rest)) = bytes.split_first() else { return };
                bytes = rest;
                self.head.push(byte);
                self.frame = Frame::of(&self.head);
                if self.frame.is_some() {
                    self.head.clear();
                }
                continue;
            };
            let count = usize::try_from(frame.left).unwrap_or(usize::MAX).min(bytes.len());
            let (part, rest) = bytes.split_at(count);
            bytes = rest;
            if !frame.is_control {
                self.keep(part, &frame);
            }
            frame.read = frame.read.wrapping_add(count);
            frame.left = frame.left.saturating_sub(count as u64);
            if frame.left > 0 {
                self.frame = Some(frame);
                return;
            }
            if frame.is_last && !frame.is_control {
                let message = mem::take(&mut self.message);
                if !mem::take(&mut self.is_over) {
                    take(&message);
                }
            }
        }
    }

    fn keep(&mut self, part: &[u8], frame: &Frame) {
        if self.message.len().saturating_add(part.len()) > self.bytes_max {
            self.is_over = true;
            self.message = Vec::new();
        }
        if !self.is_over {
            let mask = frame.mask.iter().cycle().skip(frame.read % frame.mask.len());
            self.message.extend(part.iter().zip(mask).map(|(byte, mask)| byte ^ mask));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"m"}"#;
    const SAID: &str = r#"{"jsonrpc":"2.0","method":"m"}"#;

    fn with(id: &str) -> String {
        format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"m","params":[]}}"#)
    }

    #[test]
    fn what_has_an_id_that_cannot_be_one_is_misread() {
        for id in ["-1", "1.5", "true", "{}", "[1]", "99999999999999999999999", "1,\"id\":2"] {
            assert!(is_misread(with(id).as_bytes()), "{id}");
        }
        // Nor can what is not UTF-8, or has that beside it.
        for id in [&b"\"\xff\""[..], b"-1,\"x\":\"\xff\""] {
            let text = [&br#"{"jsonrpc":"2.0","method":"m","id":"#[..], id, b"}"].concat();
            assert!(is_misread(&text), "{id:?}");
        }
        for id in ["0", "null", "\"a\"", "18446744073709551615"] {
            assert!(!is_misread(with(id).as_bytes()), "{id}");
        }
        // Neither are notifications, and what is told to be no request in any case.
        for text in [SAID, CALL, "{}", r#"{"id":-1}"#, r#"{"id":-1,"method":"m"}"#, "7", "{"] {
            assert!(!is_misread(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn as_many_are_told_as_have_an_id() {
        let sent = Sent::default();
        let batch = format!("[{SAID},{},{CALL},{},{{}}]", with("-1"), with("1.5"));
        let (begin, end) = batch.as_bytes().split_at(7);
        sent.push(begin);
        sent.push(end);
        let of_batch = || [(); 3].map(|()| sent.take_misread(Form::InBatch));
        assert_eq!(of_batch(), [true, true, false]);
        sent.push(with("-1").as_bytes());
        sent.forget();
        assert!(!sent.take_misread(Form::Alone));
        // What is too many calls is told so as a whole.
        sent.look(batch.as_bytes(), 4);
        assert!(!sent.take_misread(Form::InBatch));
        sent.look(batch.as_bytes(), 5);
        sent.look(&[0xff], 5);
        sent.look(with("-1").as_bytes(), 5);
        assert_eq!(of_batch(), [true, true, false]);
        assert_eq!([(); 2].map(|()| sent.take_misread(Form::Alone)), [true, false]);
    }

    fn frame(first: u8, text: &[u8]) -> Vec<u8> {
        const MASK: [u8; 4] = [1, 2, 3, 0xf4];
        let mut frame = vec![first];
        match text.len() {
            length @ ..126 => frame.push(FLAG | length as u8),
            length @ ..0x1_0000 => {
                frame.push(FLAG | 126);
                frame.extend((length as u16).to_be_bytes());
            }
            length => {
                frame.push(FLAG | 127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        frame.extend(MASK);
        frame.extend(text.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        frame
    }

    #[test]
    fn messages_are_taken_out_however_they_arrive() {
        let (long, longer) = (vec![b'l'; 300], vec![b'm'; 70_000]);
        let stream = [
            frame(0x81, b"one"),
            frame(0x81, b""),
            // In three parts, with a ping between them.
            frame(0x01, b"t"),
            frame(0x00, b"w"),
            frame(0x89, b"ping"),
            frame(0x80, b"o"),
            frame(0x82, &long),
            frame(0x81, &longer),
            frame(0x81, b"end"),
        ]
        .concat();
        for size in [1, 2, 7, 1_000, stream.len()] {
            for (bytes_max, is_kept) in [(longer.len(), true), (longer.len() - 1, false)] {
                let mut messages = Messages::new(bytes_max);
                let mut found = Vec::new();
                for piece in stream.chunks(size) {
                    messages.push(piece, |message| found.push(message.to_vec()));
                }
                let mut wanted = vec![b"one".to_vec(), vec![], b"two".to_vec(), long.clone()];
                wanted.extend(is_kept.then(|| longer.clone()));
                wanted.push(b"end".to_vec());
                assert!(found == wanted, "in pieces of {size}, at most {bytes_max}");
            }
        }
    }

    #[test]
    fn what_is_no_websocket_keeps_little() {
        let mut messages = Messages::new(10);
        for piece in ["POST / HTTP/1.1\r\n\r\n", "\u{ff}\u{ff}", &"x".repeat(1_000)] {
            messages.push(piece.as_bytes(), |_| {});
            assert!(messages.message.len() <= 10 && messages.head.len() <= HEAD_BYTES_MAX);
        }
    }
}

//! What a caller has sent, looked at for what the server does not say as it should: that it is no
//! request.
//!
//! jsonrpsee reads a message as a request, and what is none, such as for an id of -1, as a
//! notification, which ignores ids. Then its caller would wait for an answer for ever. What is
//! neither it calls no JSON, though it be some. So the text is looked at again, over HTTP only once
//! something is taken for a notification, or was answered and no call:
//!
//! ```text
//! body of a request -> Sent: text -> a notification? -> how many of it have an id
//!                                 -> no call?        -> whether it is JSON
//! WebSocket -> Messages -> message, when it is whole -> mended -> the server
//! ```
//! All that are no requests are told so in the same words, with an id of null unless they have a
//! good one. So over HTTP it is enough to know how many they are, and over a WebSocket the server
//! is handed something in their place that it tells so.

use alloy_primitives::bytes::BytesMut;
use jsonrpsee::{
    MethodResponse,
    server::middleware::rpc::{Notification, Request},
    types::{ErrorCode, Id, InvalidRequest},
};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;
use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::io::ReadBuf;

/// What the server tells to be no request, with an id of null.
const NO_REQUEST: &str = r#"{"id":null}"#;

/// The body of a request over HTTP. Among the extensions of whatever is made of it.
#[derive(Clone, Default)]
pub(crate) struct Sent(Arc<Mutex<Text>>);

#[derive(Default)]
struct Text {
    /// What is not looked at; no longer than a request may be.
    bytes: Vec<u8>,
    /// Of what was looked at, and is not told.
    misread: usize,
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

    /// Whether one more of what is taken for notifications is to be told that it is no request.
    pub(crate) fn take_misread(&self) -> bool {
        let mut text = self.text();
        let bytes = mem::take(&mut text.bytes);
        text.misread = text.misread.saturating_add(misread(&bytes));
        let is_one = text.misread > 0;
        text.misread = text.misread.saturating_sub(1);
        is_one
    }

    /// Whether it was answered as no JSON, and is some.
    pub(crate) fn is_misjudged(&self) -> bool {
        let bytes = mem::take(&mut self.text().bytes);
        !is_batch(&bytes) && is_misjudged(&bytes)
    }
}

/// What is told to what is no request, and has no good id. Source: JSON-RPC 2.0, sections 5, 5.1.
pub(crate) fn no_request() -> MethodResponse {
    MethodResponse::error(Id::Null, ErrorCode::InvalidRequest)
}

/// The answer to what is no request; `None` to a notification.
pub(crate) fn answer(text: &[u8]) -> Option<MethodResponse> {
    if is_notification(text) {
        return None;
    }
    Some(match serde_json::from_slice(text) {
        Ok(InvalidRequest { id }) => MethodResponse::error(id, ErrorCode::InvalidRequest),
        Err(_) if is_json(text) => no_request(),
        Err(_) => MethodResponse::error(Id::Null, ErrorCode::ParseError),
    })
}

/// What tells a notification from a request.
#[derive(Deserialize)]
struct Shape<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
}

/// What is handed to the server in place of a message, which has at most so many calls if it is a
/// batch; `None` if that answers it as it should.
fn mended(message: &[u8], batch_max: usize) -> Option<Vec<u8>> {
    // Of bytes, as the server reads them: of what it ignores it does not ask whether it is UTF-8.
    let text = message.trim_ascii_start();
    if !is_batch(text) {
        return is_misjudged(text).then(|| NO_REQUEST.into());
    }
    let calls = serde_json::from_slice::<Vec<&RawValue>>(text).ok()?;
    if calls.len() > batch_max {
        return None;
    }
    let mut is_mended = false;
    let calls = calls.into_iter().map(|call| {
        let is_none = is_misjudged(call.get().as_bytes());
        is_mended |= is_none;
        if is_none { NO_REQUEST } else { call.get() }
    });
    let calls: Vec<&str> = calls.collect();
    is_mended.then(|| format!("[{}]", calls.join(",")).into())
}

/// How many of a body the server takes for notifications though they have an id.
fn misread(body: &[u8]) -> usize {
    if !is_batch(body) {
        return usize::from(is_misread(body));
    }
    let calls = serde_json::from_slice::<Vec<&RawValue>>(body).unwrap_or_default();
    calls.iter().filter(|call| is_misread(call.get().as_bytes())).count()
}

fn is_batch(text: &[u8]) -> bool {
    text.starts_with(b"[")
}

fn is_json(text: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(text).is_ok()
}

fn is_request(text: &[u8]) -> bool {
    serde_json::from_slice::<Request<'_>>(text).is_ok()
}

/// Whether the server takes what is no request for a notification.
fn is_like_a_notification(text: &[u8]) -> bool {
    serde_json::from_slice::<Notification<'_>>(text).is_ok()
}

/// Whether what is no request is a notification.
fn is_notification(text: &[u8]) -> bool {
    // An id that is there twice is no id, and none that is not there.
    let has_no_id = || matches!(serde_json::from_slice(text), Ok(Shape { id: None }));
    is_like_a_notification(text) && has_no_id()
}

fn is_misread(text: &[u8]) -> bool {
    !is_request(text) && is_like_a_notification(text) && !is_notification(text)
}

/// Whether it is no request, is not told so, and is no notification.
fn is_misjudged(text: &[u8]) -> bool {
    let is_told = || serde_json::from_slice::<InvalidRequest<'_>>(text).is_ok();
    !is_request(text) && !is_told() && !is_notification(text) && is_json(text)
}

/// Takes the messages of a WebSocket out of what is read from its socket, in pieces, and hands out
/// each of them when it is whole, in one frame. One that is too long is handed out up to the end of
/// the frame that makes it so, as it comes: the server refuses it by its length. For what no client
/// may send, it is handed a frame that it fails the connection of. Source: RFC 6455, section 5.
pub(crate) struct Messages {
    bytes_max: usize,
    batch_max: usize,
    /// Of a frame that has not begun, at most [`HEAD_BYTES_MAX`].
    head: Vec<u8>,
    frame: Option<Frame>,
    /// The first byte of the message that has begun, and what it carries so far.
    kind: Option<u8>,
    message: Vec<u8>,
    /// The message is too long: nothing of it is kept.
    is_over: bool,
    /// The connection fails: nothing more is looked at.
    is_failed: bool,
    /// What is to be handed out.
    out: BytesMut,
}

/// Bytes before what a frame carries: kind, lengths, mask.
const HEAD_BYTES_MAX: usize = 14;
/// The bit of a last frame, and that of a mask.
const FLAG: u8 = 0x80;
/// The bits of the first byte that nobody has given a meaning here.
const RESERVED: u8 = 0x70;
/// The kinds of frames: one that goes on with a message, and those that begin one.
const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
/// From this kind on, frames are no part of a message.
const CONTROL: u8 = 8;
/// The first byte of a frame of a kind that is reserved: the server fails the connection of it.
const FAILURE: u8 = FLAG | 0xf;

#[derive(Clone, Copy)]
struct Frame {
    first: u8,
    is_masked: bool,
    mask: [u8; 4],
    /// Bytes that were read, and that are to be read.
    read: usize,
    left: u64,
    fate: Fate,
}

/// What becomes of what a frame carries.
#[derive(Clone, Copy)]
enum Fate {
    /// It is kept until its message is whole.
    Kept,
    /// It is handed out as it comes, masked: it is no part of a message.
    Passed,
    /// It is handed out as it comes, without its mask: its message is too long by it.
    Refused,
    /// Its message was refused before.
    Dropped,
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
        let is_masked = second & FLAG != 0;
        let mask = if is_masked { *rest.first_chunk::<4>()? } else { [0; 4] };
        Some(Self { first: *first, is_masked, mask, read: 0, left, fate: Fate::Kept })
    }

    /// Whether a client may send it, within a message that has begun or between messages. What else
    /// holds for control frames the server asks itself. Source: RFC 6455, sections 5.1, 5.2, 5.4.
    const fn may_come(self, has_begun: bool) -> bool {
        let is_in_turn = match self.first & 0xf {
            CONTINUATION => has_begun,
            TEXT | BINARY => !has_begun,
            _ => self.is_control(),
        };
        is_in_turn && self.is_masked && self.first & RESERVED == 0
    }

    const fn is_control(self) -> bool {
        self.first & 0xf >= CONTROL
    }

    const fn is_last(self) -> bool {
        self.first & FLAG != 0
    }
}

impl Messages {
    pub(crate) fn new(bytes_max: usize, batch_max: usize) -> Self {
        let head = Vec::with_capacity(HEAD_BYTES_MAX);
        let (kind, message, out) = Default::default();
        let (is_over, is_failed) = (false, false);
        Self { bytes_max, batch_max, head, frame: None, kind, message, is_over, is_failed, out }
    }

    /// What was read next.
    pub(crate) fn push(&mut self, mut bytes: &[u8]) {
        while !self.is_failed {
            let Some(mut frame) = self.frame.take() else {
                let Some((&byte, rest)) = bytes.split_first() else { return };
                bytes = rest;
                self.head.push(byte);
                if let Some(frame) = Frame::of(&self.head) {
                    self.frame = self.begin(frame);
                    self.head.clear();
                }
                continue;
            };
            let count = usize::try_from(frame.left).unwrap_or(usize::MAX).min(bytes.len());
            let (part, rest) = bytes.split_at(count);
            bytes = rest;
            let mask = frame.mask.iter().cycle().skip(frame.read % frame.mask.len());
            let text = part.iter().zip(mask).map(|(byte, mask)| byte ^ mask);
            match frame.fate {
                Fate::Kept => self.message.extend(text),
                Fate::Passed => self.out.extend_from_slice(part),
                Fate::Refused => self.out.extend(text),
                Fate::Dropped => {}
            }
            frame.read = frame.read.wrapping_add(count);
            frame.left = frame.left.saturating_sub(count as u64);
            if frame.left > 0 {
                self.frame = Some(frame);
                return;
            }
            if frame.is_last() && !frame.is_control() {
                self.end();
            }
        }
    }

    /// Hands out as much as there is, and is room for. Says whether that is anything.
    pub(crate) fn pull(&mut self, buffer: &mut ReadBuf<'_>) -> bool {
        let count = self.out.len().min(buffer.remaining());
        buffer.put_slice(&self.out.split_to(count));
        if self.out.is_empty() {
            // It may have been long.
            self.out = BytesMut::new();
        }
        count > 0
    }

    /// The head of a frame is whole. `None` if the connection fails.
    fn begin(&mut self, mut frame: Frame) -> Option<Frame> {
        if !frame.may_come(self.kind.is_some()) {
            self.is_failed = true;
            self.message = Vec::new();
            self.hand_out(FAILURE, &[]);
            return None;
        }
        if frame.is_control() {
            self.out.extend_from_slice(&self.head);
            frame.fate = Fate::Passed;
            return Some(frame);
        }
        let kind = *self.kind.get_or_insert(frame.first);
        let length = frame.left.saturating_add(self.message.len() as u64);
        if self.is_over {
            frame.fate = Fate::Dropped;
        } else if length > self.bytes_max as u64 {
            // In one frame: from the head that is too much on, the server passes over as many bytes
            // as all frames of the message have.
            self.is_over = true;
            let begun = mem::take(&mut self.message);
            self.hand_out_head(kind | FLAG, length);
            self.out.extend_from_slice(&begun);
            frame.fate = Fate::Refused;
        }
        Some(frame)
    }

    /// A message is whole.
    fn end(&mut self) {
        let first = self.kind.take().unwrap_or_default() | FLAG;
        if mem::take(&mut self.is_over) {
            return;
        }
        let message = mem::take(&mut self.message);
        match mended(&message, self.batch_max) {
            Some(mended) => self.hand_out(first, &mended),
            None => self.hand_out(first, &message),
        }
    }

    /// A frame with this first byte.
    fn hand_out(&mut self, first: u8, text: &[u8]) {
        self.hand_out_head(first, text.len() as u64);
        self.out.extend_from_slice(text);
    }

    /// The head of a frame with this first byte, that carries so many bytes.
    fn hand_out_head(&mut self, first: u8, length: u64) {
        /// That changes nothing. A frame of a client must have one.
        const MASK: [u8; 4] = [0; 4];
        if let Ok(length @ ..126) = u8::try_from(length) {
            self.out.extend_from_slice(&[first, FLAG | length]);
        } else if let Ok(length) = u16::try_from(length) {
            self.out.extend_from_slice(&[first, FLAG | 126]);
            self.out.extend_from_slice(&length.to_be_bytes());
        } else {
            self.out.extend_from_slice(&[first, FLAG | 127]);
            self.out.extend_from_slice(&length.to_be_bytes());
        }
        self.out.extend_from_slice(&MASK);
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
        assert_eq!([(); 3].map(|()| sent.take_misread()), [true, true, false]);
        sent.push(with("-1").as_bytes());
        sent.forget();
        assert!(!sent.take_misread());
    }

    #[test]
    fn what_is_json_and_no_request_is_told_so_with_its_id_if_that_is_one() {
        let told = |text: &str| answer(text.as_bytes()).map(|told| told.as_json().to_string());
        let no_request = r#"{"code":-32600,"message":"Invalid request"}"#;
        for text in ["{}", r#"{"foo":1}"#, "null", "1", "\"abc\"", r#"{"jsonrpc":"2.0"}"#] {
            let wanted = format!(r#"{{"jsonrpc":"2.0","id":null,"error":{no_request}}}"#);
            assert_eq!(told(text), Some(wanted), "{text}");
            assert_eq!(mended(text.as_bytes(), 1).as_deref(), Some(NO_REQUEST.as_bytes()));
            let sent = Sent::default();
            sent.push(text.as_bytes());
            assert!(sent.is_misjudged(), "{text}");
        }
        let wanted = format!(r#"{{"jsonrpc":"2.0","id":5,"error":{no_request}}}"#);
        assert_eq!(told(r#"{"id":5,"method":"m"}"#), Some(wanted));
        for text in ["", "{", "nul", "1 2", "\u{feff}{}"] {
            assert!(told(text).is_some_and(|told| told.contains("-32700")), "{text}");
        }
        assert_eq!(told(SAID), None);
    }

    #[test]
    fn a_message_is_mended_where_the_server_would_not_tell_that_it_is_no_request() {
        for text in ["", "{", "nul", SAID, CALL, r#"{"id":5}"#, "[]", "[", &format!("[{SAID}]")] {
            assert_eq!(mended(text.as_bytes(), 5), None, "{text}");
        }
        let odd = with("-1");
        assert_eq!(mended(odd.as_bytes(), 1).as_deref(), Some(NO_REQUEST.as_bytes()));
        let batch = format!(" [{SAID}, {odd},{CALL}]");
        let wanted = format!("[{SAID},{NO_REQUEST},{CALL}]");
        assert_eq!(mended(batch.as_bytes(), 3).as_deref(), Some(wanted.as_bytes()));
        // What is too many calls is told so as a whole.
        assert_eq!(mended(batch.as_bytes(), 2), None);
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

    /// The first bytes of frames, and what they carry.
    fn frames(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
        let mut found = Vec::new();
        while !bytes.is_empty() {
            let mut lengths = 2..=bytes.len().min(HEAD_BYTES_MAX);
            let of = |length: usize| Some((length, Frame::of(&bytes[..length])?));
            let (length, frame) = lengths.find_map(of).expect("a whole head");
            let (text, rest) = bytes[length..].split_at(frame.left as usize);
            let mask = frame.mask.iter().cycle();
            found.push((
                frame.first,
                text.iter().zip(mask).map(|(byte, mask)| byte ^ mask).collect(),
            ));
            bytes = rest;
        }
        found
    }

    /// What is handed out of a stream that arrives in pieces of this size, with little room for it.
    fn handed_out(messages: &mut Messages, stream: &[u8], size: usize) -> Vec<u8> {
        let (mut found, mut room) = (Vec::new(), [0; 50]);
        for piece in stream.chunks(size) {
            messages.push(piece);
            loop {
                let mut buffer = ReadBuf::new(&mut room);
                if !messages.pull(&mut buffer) {
                    break;
                }
                found.extend_from_slice(buffer.filled());
            }
        }
        found
    }

    #[test]
    fn messages_are_handed_out_when_they_are_whole_however_they_arrive() {
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
            frame(0x81, b"{}"),
        ]
        .concat();
        let wanted = [
            (0x81, b"one".to_vec()),
            (0x81, vec![]),
            (0x89, b"ping".to_vec()),
            (0x81, b"two".to_vec()),
            (0x82, long),
            (0x81, longer.clone()),
            (0x81, NO_REQUEST.into()),
        ];
        for size in [1, 2, 7, 1_000, stream.len()] {
            for bytes_max in [longer.len(), longer.len() - 1] {
                let mut messages = Messages::new(bytes_max, 1);
                let found = frames(&handed_out(&mut messages, &stream, size));
                assert!(found == wanted, "in pieces of {size}, at most {bytes_max}");
            }
        }
    }

    #[test]
    fn nothing_of_a_message_is_handed_out_before_its_end_unless_it_is_too_long() {
        let parts = [frame(0x01, b"ab"), frame(0x00, b"cd"), frame(0x80, b"ef")].concat();
        for size in [1, parts.len()] {
            let mut messages = Messages::new(6, 1);
            assert!(handed_out(&mut messages, &parts[..parts.len() - 1], size).is_empty());
            let found = handed_out(&mut messages, &parts[parts.len() - 1..], size);
            assert_eq!(frames(&found), [(0x81, b"abcdef".to_vec())]);
        }
    }

    #[test]
    fn what_makes_a_message_too_long_comes_with_what_has_begun_and_the_rest_is_dropped() {
        for (begun, wanted) in [("abcd", "abcdefg"), ("", "efg"), ("ab", "abefg")] {
            let stream = [
                frame(0x02, begun.as_bytes()),
                frame(0x00, b"efg"),
                frame(0x89, b"ping"),
                frame(0x00, b"of any length"),
                frame(0x80, b"h"),
                frame(0x81, b"n"),
            ]
            .concat();
            let (ping, next) = ((0x89, b"ping".to_vec()), (0x81, b"n".to_vec()));
            for size in [1, 3, stream.len()] {
                let mut messages = Messages::new(wanted.len() - 1, 1);
                let found = handed_out(&mut messages, &stream, size);
                let wanted = [(0x82, wanted.as_bytes().to_vec()), ping.clone(), next.clone()];
                assert_eq!(frames(&found), wanted, "in pieces of {size}");
            }
        }
        // Also the first of the frames may be too long.
        let stream = [frame(0x01, b"abc"), frame(0x80, b"d"), frame(0x81, b"n")].concat();
        let found = handed_out(&mut Messages::new(2, 1), &stream, 2);
        assert_eq!(frames(&found), [(0x81, b"abc".to_vec()), (0x81, b"n".to_vec())]);
    }

    #[test]
    fn a_length_of_64_bits_is_told_and_nothing_of_it_is_waited_for() {
        let mut messages = Messages::new(5, 1);
        let begun = frame(0x01, b"abcd");
        let endless = [&[0x80, FLAG | 127][..], &[0xff; 8], &[0; 4], b"efg"].concat();
        assert!(handed_out(&mut messages, &begun, 1).is_empty());
        let found = handed_out(&mut messages, &endless, 1);
        let wanted = [&[0x81, FLAG | 127][..], &[0xff; 8], &[0; 4], b"abcdefg"].concat();
        assert_eq!(found, wanted);
        assert!(messages.message.is_empty() && messages.out.is_empty());
    }

    #[test]
    fn after_what_no_client_may_send_there_is_only_what_fails_the_connection() {
        let begun = || frame(0x01, b"begun");
        let unmasked = |first: u8| vec![first, 2, b'{', b'}'];
        for (name, bad) in [
            ("a message in a message", [begun(), frame(0x81, b"{}")].concat()),
            ("a begin in a message", [begun(), frame(0x02, b"{}"), frame(0x80, b"")].concat()),
            ("a continuation of nothing", frame(0x80, b"{}")),
            ("a reserved bit of a message", frame(0xc1, b"{}")),
            ("a reserved bit of a continuation", [begun(), frame(0x90, b"{}")].concat()),
            ("a reserved bit of a ping", frame(0xa9, b"{}")),
            ("a reserved kind", frame(0x83, b"{}")),
            ("a message without a mask", unmasked(0x81)),
            ("a continuation without a mask", [begun(), unmasked(0x80)].concat()),
            ("a ping without a mask", unmasked(0x89)),
            (
                "a message in one that was refused",
                [frame(0x01, &[b'x'; 11]), frame(0x81, b"{}")].concat(),
            ),
        ] {
            let stream = [frame(0x81, b"good"), bad, frame(0x81, b"later")].concat();
            for size in [1, stream.len()] {
                let mut messages = Messages::new(10, 1);
                let mut found = frames(&handed_out(&mut messages, &stream, size));
                found.retain(|(_, text)| *text != [b'x'; 11]);
                let wanted = [(0x81, b"good".to_vec()), (FAILURE, vec![])];
                assert_eq!(found, wanted, "{name}, in pieces of {size}");
                assert!(messages.message.is_empty(), "{name}");
            }
        }
    }

    #[test]
    fn what_is_no_websocket_keeps_little() {
        let mut messages = Messages::new(10, 1);
        for piece in ["POST / HTTP/1.1\r\n\r\n", "\u{ff}\u{ff}", &"x".repeat(1_000)] {
            handed_out(&mut messages, piece.as_bytes(), 7);
            assert!(messages.message.len() <= 10 && messages.head.len() <= HEAD_BYTES_MAX);
        }
    }
}

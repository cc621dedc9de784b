//! The server for programs of this machine: a socket in the file system.
//!
//! Messages are JSON values, one after the other, with or without space between them, but that
//! numbers and words end with it; answers end with a newline. There is no token: whoever may open
//! the file may call (execution-apis, `authentication.md`), and that is the node's user alone.
//!
//! | job | started when | gives | awaited where |
//! | --- | --- | --- | --- |
//! | accepting | at the start | connections | [`RunningIpc::stop`] |
//! | a connection | accepted | answers, in order | at the end of the accepting |
//! | writing | with its connection | - | at the end of its connection |
//! | a subscription | asked for, by jsonrpsee | notifications | ended when the writing ends |

mod frame;

use crate::{
    flow::{Flow, FlowLimits},
    ids::RandomIds,
    public::{error, patience::Patience},
    sent,
    server::{PUBLIC_LIMITS, STOP_PATIENCE, ServerError},
};
use frame::{Broken, Framer};
use jsonrpsee::{
    BoundedSubscriptions, ConnectionId, MethodCallback, MethodResponse, MethodSink, Methods,
    SubscriptionState,
    types::{
        ErrorCode, ErrorObjectOwned, Id, Params, Request,
        error::{
            OVERSIZED_REQUEST_CODE, OVERSIZED_REQUEST_MSG, reject_too_big_batch_request,
            reject_too_big_batch_response, reject_too_many_subscriptions,
        },
    },
};
use serde_json::value::{RawValue, to_raw_value};
use std::{
    fs::{self, DirBuilder, Permissions},
    io::{self, ErrorKind},
    os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, Interest},
    net::{
        UnixListener, UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, oneshot, watch},
    task::{JoinHandle, JoinSet},
    time::{sleep, timeout},
};

/// What an IPC server answers at most where the operator does not say otherwise: as the public
/// servers, but for longer messages. Its callers are the node's user, who may also hand over whole
/// blocks.
pub const IPC_LIMITS: IpcLimits = IpcLimits {
    message_bytes_max: 128 * 1024 * 1024,
    response_bytes_max: PUBLIC_LIMITS.response_bytes_max as usize,
    batch_max: PUBLIC_LIMITS.batch_max as usize,
    batch_bytes_max: PUBLIC_LIMITS.batch_bytes_max,
    batch_time_max: PUBLIC_LIMITS.batch_time_max,
    connections_max: 64,
    subscriptions_max: PUBLIC_LIMITS.subscriptions_max,
    unsent_bytes_max: PUBLIC_LIMITS.unsent_bytes_max,
};

/// Answers and notifications of a connection that wait to be written.
const WAITING_MAX: usize = 256;
/// Bytes that are read at once.
const READ_BYTES: usize = 64 * 1024;
/// Of the socket: its owner alone may use it.
const SOCKET_MODE: u32 = 0o600;
/// Of the folder that it is made in: nobody else may enter.
const FOLDER_MODE: u32 = 0o700;
/// After a connection could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long one that is too many is told so: its buffers are empty.
const REFUSAL_TIME_MAX: Duration = Duration::from_millis(100);
/// How often it is looked whether the caller of a call under way has hung up.
const LOOK: Duration = Duration::from_millis(50);

/// What an IPC server answers at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IpcLimits {
    /// Bytes of a message.
    pub message_bytes_max: usize,
    /// Bytes of an answer.
    pub response_bytes_max: usize,
    /// Calls in a batch.
    pub batch_max: usize,
    /// Bytes of all answers to a batch together.
    pub batch_bytes_max: usize,
    /// How long calls of a batch are begun; further ones are given up.
    pub batch_time_max: Duration,
    /// Connections at a time; more are refused.
    pub connections_max: usize,
    /// Subscriptions of a connection.
    pub subscriptions_max: u32,
    /// Bytes of answers and notifications of a connection that are not sent, above which its calls
    /// and notifications wait.
    pub unsent_bytes_max: u64,
}

impl IpcLimits {
    /// Calls of a connection are worked on one after the other.
    const fn flow(self) -> FlowLimits {
        FlowLimits {
            calls_max: 1,
            unsent_bytes_max: self.unsent_bytes_max,
            all_unsent_bytes_max: u64::MAX,
            batch_bytes_max: self.batch_bytes_max,
            batch_time_max: self.batch_time_max,
        }
    }
}

/// Where an IPC server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenSocket {
    /// The socket.
    pub path: PathBuf,
    /// The option of the command line that names it, for messages.
    pub flag: &'static str,
}

/// A server that runs. It ends when this is dropped.
#[derive(Debug)]
pub struct RunningIpc {
    path: PathBuf,
    /// Ends the server when it is dropped.
    stop: oneshot::Sender<()>,
    accepting: JoinHandle<()>,
}

impl RunningIpc {
    /// The socket.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Answers what was asked, ends, and removes the socket; what takes longer than a few seconds
    /// is dropped.
    pub async fn stop(self) {
        let Self { path: _, stop, accepting } = self;
        drop(stop);
        // An error says that it has ended already.
        let _ = accepting.await;
    }
}

/// Starts an IPC server on the current runtime. A socket that nobody listens on is replaced.
///
/// # Errors
/// [`ServerError::SocketTaken`], [`ServerError::Socket`].
pub async fn start_ipc_server(
    listen: ListenSocket,
    limits: IpcLimits,
    methods: impl Into<Methods>,
) -> Result<RunningIpc, ServerError> {
    let ListenSocket { path, flag } = listen;
    let methods = methods.into();
    let listener = bind(&path).await.map_err(|source| match source.kind() {
        ErrorKind::AddrInUse => ServerError::SocketTaken { path: path.clone(), flag },
        _ => ServerError::Socket { path: path.clone(), flag, source },
    })?;
    let (stop, stopped) = oneshot::channel();
    let accepting = tokio::spawn(accept(listener, path.clone(), limits, methods, stopped));
    Ok(RunningIpc { path, stop, accepting })
}

/// Makes the socket where nobody else can reach it, and then moves it to its place: it is never
/// there with more permissions than it shall have.
async fn bind(path: &Path) -> io::Result<UnixListener> {
    if let Ok(found) = fs::symlink_metadata(path) {
        if !found.file_type().is_socket() {
            return Err(io::Error::new(ErrorKind::AlreadyExists, "what is there is no socket"));
        }
        if !is_left_over(path).await {
            return Err(ErrorKind::AddrInUse.into());
        }
        fs::remove_file(path)?;
    }
    // Short, as the system bounds the path of a socket.
    let folder = path.with_file_name(format!(".{:x}", std::process::id()));
    let made = folder.join("s");
    // Of a program that did not end well; an error says that there is none.
    let _ = fs::remove_file(&made);
    let _ = fs::remove_dir(&folder);
    DirBuilder::new().mode(FOLDER_MODE).create(&folder)?;
    let listener = bind_in_folder(&made, path);
    // The socket is in its place, or of no use.
    let _ = fs::remove_file(&made);
    let _ = fs::remove_dir(&folder);
    listener
}

fn bind_in_folder(made: &Path, path: &Path) -> io::Result<UnixListener> {
    let listener = UnixListener::bind(made)?;
    fs::set_permissions(made, Permissions::from_mode(SOCKET_MODE))?;
    fs::rename(made, path)?;
    Ok(listener)
}

/// Whether nobody listens on a socket: it is of a program that did not end well.
async fn is_left_over(path: &Path) -> bool {
    let refused = |error: io::Error| error.kind() == ErrorKind::ConnectionRefused;
    UnixStream::connect(path).await.err().is_some_and(refused)
}

async fn accept(
    listener: UnixListener,
    path: PathBuf,
    limits: IpcLimits,
    methods: Methods,
    mut stopped: oneshot::Receiver<()>,
) {
    let mut connections = JoinSet::new();
    // Dropped when they are to end.
    let (running, ending) = watch::channel(());
    let mut ids = (0_usize..).map(ConnectionId);
    let max = limits.connections_max;
    loop {
        tokio::select! {
            _ = &mut stopped => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if connections.len() < max => {
                    let id = ids.next().unwrap_or_default();
                    let ending = ending.clone();
                    connections.spawn(serve(stream, limits, methods.clone(), id, ending));
                }
                Ok((stream, _)) => {
                    tracing::warn!(target: "fugue::rpc", max, "too many IPC connections");
                    // Who does not take it has gone.
                    let _ = timeout(REFUSAL_TIME_MAX, turn_away(stream, max)).await;
                }
                Err(error) => {
                    tracing::warn!(target: "fugue::rpc", %error, "IPC connection not accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
    drop((listener, running));
    // Each answers what it has read.
    let ended = async { while connections.join_next().await.is_some() {} };
    if timeout(STOP_PATIENCE, ended).await.is_err() {
        tracing::warn!(target: "fugue::rpc", path = %path.display(), "connections are dropped");
        connections.shutdown().await;
    }
    // It is of no use any more; an error says that it is gone already.
    let _ = fs::remove_file(path);
}

/// Tells a connection that there are as many as may be, whatever it wanted to ask.
async fn turn_away(mut stream: UnixStream, max: usize) -> io::Result<()> {
    let told = format!("{max} IPC connections at a time are the most: ask later");
    let told = failed(error::refused(told));
    stream.write_all(told.get().as_bytes()).await?;
    stream.write_all(b"\n").await
}

async fn serve(
    stream: UnixStream,
    limits: IpcLimits,
    methods: Methods,
    id: ConnectionId,
    mut ending: watch::Receiver<()>,
) {
    let (mut reader, writer) = stream.into_split();
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    let flow = Flow::new(limits.flow(), Arc::default());
    // Dropped when nothing more comes in, or when this is ended.
    let (open, closed) = oneshot::channel();
    let writing = tokio::spawn(write(writer, receiver, Arc::clone(&flow), closed));
    let mut caller = Caller::new(methods, sender, flow, id, limits);
    let mut framer = Framer::new(limits.message_bytes_max);
    let mut read = vec![0; READ_BYTES];
    'connection: loop {
        let count = tokio::select! {
            biased;
            // Nothing is ever told but the end.
            _ = ending.changed() => break,
            count = reader.read(&mut read) => count,
        };
        let Ok(count @ 1..) = count else { break };
        framer.push(read.get(..count).unwrap_or_default());
        loop {
            let is_open = match framer.next_message() {
                Ok(None) => break,
                Ok(Some(message)) => {
                    caller.may_answer().await
                        && tokio::select! {
                            is_open = caller.answer(&message) => is_open,
                            () = hung_up(&reader) => false,
                        }
                }
                Err(broken) => {
                    let told = match broken {
                        Broken::NoMessage => failed(ErrorCode::ParseError),
                        Broken::TooLarge => failed(too_large(limits.message_bytes_max)),
                    };
                    caller.send(told).await;
                    break 'connection;
                }
            };
            if !is_open {
                break 'connection;
            }
        }
    }
    drop((caller, open));
    let _ = writing.await;
}

/// Waits until the other side has closed the socket, and not only its half of it: who has no more
/// to say may wait for an answer. The system tells of that together with what is always so.
async fn hung_up(reader: &OwnedReadHalf) {
    loop {
        sleep(LOOK).await;
        match reader.ready(Interest::WRITABLE).await {
            Ok(ready) if !ready.is_write_closed() => {}
            Ok(_) | Err(_) => return,
        }
    }
}

/// Writes until the connection is `closed`, and then what is left. Subscriptions end when this no
/// longer takes what they send.
async fn write(
    mut writer: OwnedWriteHalf,
    mut receiver: mpsc::Receiver<Box<RawValue>>,
    flow: Arc<Flow>,
    mut closed: oneshot::Receiver<()>,
) {
    let mut is_open = true;
    loop {
        let message = tokio::select! {
            biased;
            _ = &mut closed, if is_open => {
                receiver.close();
                is_open = false;
                continue;
            }
            message = receiver.recv() => message,
        };
        let Some(message) = message else { break };
        let bytes = message.get().as_bytes();
        let written = writer.write_all(bytes).await;
        if written.is_err() || writer.write_all(b"\n").await.is_err() {
            break;
        }
        flow.sent(bytes.len() as u64);
    }
}

/// One connection's calls.
struct Caller {
    methods: Methods,
    sender: mpsc::Sender<Box<RawValue>>,
    flow: Arc<Flow>,
    id: ConnectionId,
    subscriptions: BoundedSubscriptions,
    limits: IpcLimits,
}

impl Caller {
    fn new(
        methods: Methods,
        sender: mpsc::Sender<Box<RawValue>>,
        flow: Arc<Flow>,
        id: ConnectionId,
        limits: IpcLimits,
    ) -> Self {
        let subscriptions = BoundedSubscriptions::new(limits.subscriptions_max);
        Self { methods, sender, flow, id, subscriptions, limits }
    }

    /// Whether the other side still reads.
    async fn send(&self, message: Box<RawValue>) -> bool {
        self.flow.owe(message.get().len() as u64);
        self.sender.send(message).await.is_ok()
    }

    /// Waits until little enough is unsent. Says whether the other side still reads.
    async fn may_answer(&self) -> bool {
        tokio::select! {
            () = self.sender.closed() => false,
            () = self.flow.opens() => true,
        }
    }

    /// Answers a message. Says whether the other side still reads.
    async fn answer(&mut self, message: &[u8]) -> bool {
        let Ok(text) = std::str::from_utf8(message) else {
            return self.send(failed(ErrorCode::ParseError)).await;
        };
        let answer = if text.trim_start().starts_with('[') {
            self.batch(text).await
        } else {
            self.call(text).await
        };
        match answer {
            Some(answer) => self.send(answer).await,
            None => true,
        }
    }

    async fn batch(&mut self, text: &str) -> Option<Box<RawValue>> {
        let Ok(calls) = serde_json::from_str::<Vec<&RawValue>>(text) else {
            return Some(failed(ErrorCode::ParseError));
        };
        if calls.is_empty() {
            return Some(failed(ErrorCode::InvalidRequest));
        }
        let IpcLimits { batch_max, batch_bytes_max, batch_time_max, .. } = self.limits;
        if calls.len() > batch_max {
            return Some(failed(reject_too_big_batch_request(batch_max)));
        }
        let patience = Patience::new(batch_time_max, Arc::default());
        let mut answers = Vec::with_capacity(calls.len());
        let mut bytes = 0_usize;
        for call in calls {
            let answer = match patience.check() {
                Ok(()) => self.call_in_a_batch(call.get()).await,
                Err(given_up) => refuse(call.get(), given_up),
            };
            let Some(answer) = answer else { continue };
            bytes = bytes.saturating_add(answer.get().len());
            if bytes > batch_bytes_max {
                return Some(failed(reject_too_big_batch_response(batch_bytes_max)));
            }
            answers.push(answer);
        }
        if answers.is_empty() { None } else { to_raw_value(&answers).ok() }
    }

    /// As [`Caller::call`], but subscribes to nothing.
    async fn call_in_a_batch(&mut self, text: &str) -> Option<Box<RawValue>> {
        if let Ok(request) = serde_json::from_str::<Request<'_>>(text)
            && let Some(refusal) = error::if_subscribed_in_a_batch(request.method_name())
        {
            return Some(MethodResponse::error(request.id, refusal).into_json());
        }
        self.call(text).await
    }

    /// `None` for a notification, which is not answered, and for a subscription, which has answered
    /// by itself already.
    async fn call(&mut self, text: &str) -> Option<Box<RawValue>> {
        let Ok(request) = serde_json::from_str::<Request<'_>>(text) else {
            return no_request(text);
        };
        let Request { id, method, params, mut extensions, .. } = request;
        let params = Params::new(params.as_deref().map(RawValue::get));
        let (max, connection) = (self.limits.response_bytes_max, self.id);
        let response = match self.methods.method(&method) {
            None => MethodResponse::error(id, error::method_not_found(&method)),
            Some(MethodCallback::Sync(call)) => call(id, params, max, extensions),
            Some(MethodCallback::Async(call)) => {
                call(id.into_owned(), params.into_owned(), connection, max, extensions).await
            }
            Some(MethodCallback::Unsubscription(call)) => {
                call(id, params, connection, max, extensions)
            }
            Some(MethodCallback::Subscription(call)) => match self.subscriptions.acquire() {
                Some(subscription_permit) => {
                    extensions.insert(Arc::clone(&self.flow));
                    let (conn_id, id_provider) = (connection, &RandomIds);
                    let state = SubscriptionState { conn_id, id_provider, subscription_permit };
                    call(id, params, MethodSink::new(self.sender.clone()), state, extensions).await
                }
                None => {
                    let max = self.subscriptions.max();
                    MethodResponse::error(id, reject_too_many_subscriptions(max))
                }
            },
        };
        (!response.is_subscription()).then(|| response.into_json())
    }
}

/// The answer to a call that is not begun.
fn refuse(text: &str, error: ErrorObjectOwned) -> Option<Box<RawValue>> {
    match serde_json::from_str::<Request<'_>>(text) {
        Ok(request) => Some(MethodResponse::error(request.id, error).into_json()),
        Err(_) => no_request(text),
    }
}

/// The answer to what is no request; `None` to a notification.
fn no_request(text: &str) -> Option<Box<RawValue>> {
    sent::answer(text.as_bytes()).map(MethodResponse::into_json)
}

/// The answer to what is not a call.
fn failed(error: impl Into<ErrorObjectOwned>) -> Box<RawValue> {
    MethodResponse::error(Id::Null, error.into()).into_json()
}

/// As the other servers say it.
fn too_large(bytes_max: usize) -> ErrorObjectOwned {
    let told = format!("Exceeded max limit of {bytes_max}");
    ErrorObjectOwned::owned(OVERSIZED_REQUEST_CODE, OVERSIZED_REQUEST_MSG, Some(told))
}

/// Takes any bytes as what a caller sends, in pieces, for fuzz targets. Every answer is JSON.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) async fn fuzz(data: &[u8], methods: Methods, bytes_max: usize) {
    /// Of a piece, so that messages begin and end within one.
    const PIECE_BYTES: usize = 61;
    let (sender, mut receiver) = mpsc::channel(WAITING_MAX);
    let flow = Flow::new(IPC_LIMITS.flow(), Arc::default());
    let mut caller = Caller::new(methods, sender, flow, ConnectionId::default(), IPC_LIMITS);
    let mut framer = Framer::new(bytes_max);
    for piece in data.chunks(PIECE_BYTES) {
        framer.push(piece);
        loop {
            let message = match framer.next_message() {
                Ok(Some(message)) => message,
                Ok(None) => break,
                Err(_) => return,
            };
            assert!(message.len() <= bytes_max + PIECE_BYTES, "{} bytes", message.len());
            assert!(caller.answer(&message).await, "the other side reads");
            while let Ok(answer) = receiver.try_recv() {
                let answer = serde_json::from_str::<&RawValue>(answer.get());
                assert!(answer.is_ok(), "{answer:?} to {message:?}");
            }
        }
    }
}

#[cfg(test)]
mod tests;

//! The server for programs of this machine: a socket in the file system.
//!
//! Messages are JSON values, one after the other, with or without space between them; answers end
//! with a newline. There is no token: whoever may open the file may call (execution-apis,
//! `authentication.md`), and that is the node's user alone.
//!
//! | job | started when | gives | awaited where |
//! | --- | --- | --- | --- |
//! | accepting | at the start | connections | [`RunningIpc::stop`] |
//! | a connection | accepted | answers, in order | ended with the accepting |
//! | writing | with its connection | - | at the end of its connection |
//! | a subscription | asked for, by jsonrpsee | notifications | ended when the writing ends |

mod frame;

use crate::{
    flow::{Flow, FlowLimits},
    ids::RandomIds,
    public::{error, patience::Patience},
    server::ServerError,
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
use serde::Deserialize;
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
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream, unix::OwnedWriteHalf},
    sync::{mpsc, oneshot},
    task::{JoinHandle, JoinSet},
};

/// Bytes of a message.
pub const IPC_MESSAGE_BYTES_MAX: usize = 128 * 1024 * 1024;
/// Calls in a batch.
pub const IPC_BATCH_MAX: usize = 2_000;
/// Bytes of all answers to a batch together.
pub const IPC_BATCH_BYTES_MAX: usize = 250_000_000;
/// Connections at a time.
pub const IPC_CONNECTIONS_MAX: usize = 64;
/// How long calls of a batch are begun; further ones are given up.
const BATCH_TIME_MAX: Duration = Duration::from_secs(60);
/// Answers and notifications of a connection that wait to be written.
const WAITING_MAX: usize = 256;
/// Subscriptions of a connection.
const SUBSCRIPTIONS_MAX: u32 = 1_024;
/// What a connection may have under way: its calls are worked on one after the other, and more than
/// so many unsent bytes hold its calls and notifications back.
const FLOW: FlowLimits = FlowLimits {
    calls_max: 1,
    unsent_bytes_max: 64 * 1024 * 1024,
    all_unsent_bytes_max: u64::MAX,
    batch_bytes_max: IPC_BATCH_BYTES_MAX,
    batch_time_max: BATCH_TIME_MAX,
};
/// Bytes that are read at once.
const READ_BYTES: usize = 64 * 1024;
/// Of the socket: its owner alone may use it.
const SOCKET_MODE: u32 = 0o600;
/// Of the folder that it is made in: nobody else may enter.
const FOLDER_MODE: u32 = 0o700;
/// After a connection could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

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

    /// Ends the server, and removes the socket.
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
    methods: impl Into<Methods>,
) -> Result<RunningIpc, ServerError> {
    let ListenSocket { path, flag } = listen;
    let methods = methods.into();
    let listener = bind(&path).await.map_err(|source| match source.kind() {
        ErrorKind::AddrInUse => ServerError::SocketTaken { path: path.clone(), flag },
        _ => ServerError::Socket { path: path.clone(), flag, source },
    })?;
    let (stop, stopped) = oneshot::channel();
    let accepting = tokio::spawn(accept(listener, path.clone(), methods, stopped));
    Ok(RunningIpc { path, stop, accepting })
}

/// Makes the socket where nobody else can reach it, and then moves it to its place: it is never
/// there with more permissions than it shall have.
async fn bind(path: &Path) -> io::Result<UnixListener> {
    if fs::symlink_metadata(path).is_ok() {
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

/// A socket that nobody listens on: of a program that did not end well.
async fn is_left_over(path: &Path) -> bool {
    let is_socket =
        fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket());
    let refused = |error: io::Error| error.kind() == ErrorKind::ConnectionRefused;
    is_socket && UnixStream::connect(path).await.err().is_some_and(refused)
}

async fn accept(
    listener: UnixListener,
    path: PathBuf,
    methods: Methods,
    mut stopped: oneshot::Receiver<()>,
) {
    let mut connections = JoinSet::new();
    let mut ids = (0_usize..).map(ConnectionId);
    loop {
        tokio::select! {
            _ = &mut stopped => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if connections.len() < IPC_CONNECTIONS_MAX => {
                    let id = ids.next().unwrap_or_default();
                    connections.spawn(serve(stream, methods.clone(), id));
                }
                Ok(_) => {
                    let max = IPC_CONNECTIONS_MAX;
                    tracing::warn!(target: "fugue::rpc", max, "too many IPC connections");
                }
                Err(error) => {
                    tracing::warn!(target: "fugue::rpc", %error, "IPC connection not accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
    connections.shutdown().await;
    // It is of no use any more; an error says that it is gone already.
    let _ = fs::remove_file(path);
}

async fn serve(stream: UnixStream, methods: Methods, id: ConnectionId) {
    let (mut reader, writer) = stream.into_split();
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    let flow = Flow::new(FLOW, Arc::default());
    // Dropped when nothing more comes in, or when this is ended.
    let (open, closed) = oneshot::channel();
    let writing = tokio::spawn(write(writer, receiver, Arc::clone(&flow), closed));
    let mut caller = Caller::new(methods, sender, flow, id);
    let mut framer = Framer::new(IPC_MESSAGE_BYTES_MAX);
    let mut read = vec![0; READ_BYTES];
    'connection: while let Ok(count @ 1..) = reader.read(&mut read).await {
        framer.push(read.get(..count).unwrap_or_default());
        loop {
            let is_open = match framer.next_message() {
                Ok(None) => break,
                Ok(Some(message)) => caller.may_answer().await && caller.answer(&message).await,
                Err(broken) => {
                    let told = match broken {
                        Broken::NoMessage => failed(ErrorCode::ParseError),
                        Broken::TooLarge => failed(too_large()),
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
    batch_time_max: Duration,
}

/// What tells a notification from a request.
#[derive(Deserialize)]
struct Shape<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Option<&'a RawValue>,
}

impl Caller {
    fn new(
        methods: Methods,
        sender: mpsc::Sender<Box<RawValue>>,
        flow: Arc<Flow>,
        id: ConnectionId,
    ) -> Self {
        let subscriptions = BoundedSubscriptions::new(SUBSCRIPTIONS_MAX);
        Self { methods, sender, flow, id, subscriptions, batch_time_max: BATCH_TIME_MAX }
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
        if calls.len() > IPC_BATCH_MAX {
            return Some(failed(reject_too_big_batch_request(IPC_BATCH_MAX)));
        }
        let patience = Patience::new(self.batch_time_max, Arc::default());
        let mut answers = Vec::with_capacity(calls.len());
        let mut bytes = 0_usize;
        for call in calls {
            let answer = match patience.check() {
                Ok(()) => self.call_in_a_batch(call.get()).await,
                Err(given_up) => refuse(call.get(), given_up),
            };
            let Some(answer) = answer else { continue };
            bytes = bytes.saturating_add(answer.get().len());
            if bytes > IPC_BATCH_BYTES_MAX {
                return Some(failed(reject_too_big_batch_response(IPC_BATCH_BYTES_MAX)));
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
        let (max, connection) = (usize::MAX, self.id);
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
    match serde_json::from_str::<Shape<'_>>(text) {
        Ok(Shape { id: None, method: Some(_) }) => None,
        Ok(_) => Some(failed(ErrorCode::InvalidRequest)),
        Err(_) => Some(failed(ErrorCode::ParseError)),
    }
}

/// The answer to what is not a call.
fn failed(error: impl Into<ErrorObjectOwned>) -> Box<RawValue> {
    MethodResponse::error(Id::Null, error.into()).into_json()
}

/// As the other servers say it.
fn too_large() -> ErrorObjectOwned {
    let told = format!("Exceeded max limit of {IPC_MESSAGE_BYTES_MAX}");
    ErrorObjectOwned::owned(OVERSIZED_REQUEST_CODE, OVERSIZED_REQUEST_MSG, Some(told))
}

/// Takes any bytes as what a caller sends, in pieces, for fuzz targets. Every answer is JSON.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) async fn fuzz(data: &[u8], methods: Methods, bytes_max: usize) {
    /// Of a piece, so that messages begin and end within one.
    const PIECE_BYTES: usize = 61;
    let (sender, mut receiver) = mpsc::channel(WAITING_MAX);
    let flow = Flow::new(FLOW, Arc::default());
    let mut caller = Caller::new(methods, sender, flow, ConnectionId::default());
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
mod tests {
    use super::*;
    use jsonrpsee::{
        RpcModule,
        core::{SubscriptionError, to_json_raw_value},
    };
    use serde_json::{Value, json};
    use std::{
        future::{Future, poll_fn},
        pin::pin,
        task::Poll,
    };
    use tokio::io::{AsyncBufReadExt, BufReader};

    fn methods() -> Methods {
        let mut module = RpcModule::new(());
        module.register_method("test_echo", |params, _, _| params.one::<u64>()).unwrap();
        module.into()
    }

    fn socket(folder: &tempfile::TempDir) -> ListenSocket {
        ListenSocket { path: folder.path().join("fugue.ipc"), flag: "--ipcpath" }
    }

    #[tokio::test]
    async fn calls_and_batches_are_answered_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let server = start_ipc_server(socket(&folder), methods()).await.unwrap();
        let mode = fs::metadata(server.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, SOCKET_MODE);
        let mut stream = BufReader::new(UnixStream::connect(server.path()).await.unwrap());
        let call = |id: u64| {
            format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"test_echo","params":[{id}]}}"#)
        };
        let note = r#"{"jsonrpc":"2.0","method":"test_echo","params":[9]}"#;
        let asked =
            format!("{}{note}\n [{},{note},{}] [] {{\"id\":1}} !", call(1), call(2), call(3));
        stream.write_all(asked.as_bytes()).await.unwrap();
        let mut answers = Vec::new();
        for _ in 0..5 {
            let mut line = String::new();
            stream.read_line(&mut line).await.unwrap();
            answers.push(serde_json::from_str::<Value>(&line).unwrap());
        }
        assert_eq!(answers[0]["result"], 1);
        assert_eq!(answers[1][0]["result"], 2);
        assert_eq!(answers[1][1]["result"], 3);
        assert_eq!(answers[2]["error"]["code"], -32600);
        assert_eq!(answers[3]["error"]["code"], -32600);
        assert_eq!(answers[4]["error"]["code"], -32700);
        // What is not JSON ends the connection.
        let mut line = String::new();
        assert_eq!(stream.read_line(&mut line).await.unwrap(), 0);
        let path = server.path().to_owned();
        server.stop().await;
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn calls_of_a_batch_whose_time_is_over_are_given_up_and_not_begun() {
        let (sender, _receiver) = mpsc::channel(1);
        let flow = Flow::new(FLOW, Arc::default());
        let mut caller = Caller::new(methods(), sender, flow, ConnectionId::default());
        caller.batch_time_max = Duration::ZERO;
        let call = r#"{"jsonrpc":"2.0","id":7,"method":"test_echo","params":[7]}"#;
        let note = r#"{"jsonrpc":"2.0","method":"test_echo","params":[9]}"#;
        let answers = caller.batch(&format!("[{call},{note},{{}},{call}]")).await.unwrap();
        let answers: Value = serde_json::from_str(answers.get()).unwrap();
        let message = "the call was given up: it took longer than 0 s";
        let told = json!({ "code": error::REFUSED, "message": message });
        let told = json!({ "jsonrpc": "2.0", "id": 7, "error": told });
        assert_eq!((&answers[0], &answers[2]), (&told, &told), "{answers}");
        assert_eq!(answers[1]["error"]["code"], -32600);
        assert_eq!(answers.as_array().map(Vec::len), Some(3));
    }

    #[tokio::test]
    async fn nothing_is_answered_while_too_much_is_unsent() {
        let (sender, receiver) = mpsc::channel(1);
        let flow = Flow::new(FLOW, Arc::default());
        let caller = Caller::new(methods(), sender, Arc::clone(&flow), ConnectionId::default());
        assert!(caller.may_answer().await);
        flow.owe(FLOW.unsent_bytes_max + 1);
        {
            let mut may_answer = pin!(caller.may_answer());
            let is_ready = poll_fn(|cx| Poll::Ready(may_answer.as_mut().poll(cx).is_ready())).await;
            assert!(!is_ready);
            flow.sent(1);
            assert!(may_answer.await);
        }
        flow.owe(1);
        drop(receiver);
        assert!(!caller.may_answer().await);
    }

    #[tokio::test]
    async fn a_batch_of_too_many_calls_is_told_how_many_there_may_be() {
        let (sender, _receiver) = mpsc::channel(1);
        let flow = Flow::new(FLOW, Arc::default());
        let mut caller = Caller::new(methods(), sender, flow, ConnectionId::default());
        let calls = format!("[{}]", vec!["1"; IPC_BATCH_MAX + 1].join(","));
        let answer = caller.batch(&calls).await.unwrap();
        let answer: Value = serde_json::from_str(answer.get()).unwrap();
        assert_eq!(answer["error"]["code"], -32010, "{answer}");
        assert_eq!(answer["error"]["data"], format!("Exceeded max limit of {IPC_BATCH_MAX}"));
    }

    #[tokio::test]
    async fn a_socket_left_over_is_replaced_and_one_in_use_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = socket(&folder).path;
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let server = start_ipc_server(socket(&folder), methods()).await.unwrap();
        let error = start_ipc_server(socket(&folder), methods()).await.unwrap_err();
        assert!(matches!(error, ServerError::SocketTaken { .. }), "{error}");
        server.stop().await;
        fs::write(&path, "kept").unwrap();
        assert!(start_ipc_server(socket(&folder), methods()).await.is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "kept");
    }

    /// A method that counts up to its argument for those who subscribe, and what tells that one of
    /// them has gone.
    fn counting() -> (Methods, mpsc::UnboundedReceiver<()>) {
        let (sender, gone) = mpsc::unbounded_channel::<()>();
        let mut module = RpcModule::new(sender);
        let [count, counted, stop] = ["test_count", "test_counted", "test_stop"];
        let registered = module.register_subscription(
            count,
            counted,
            stop,
            |params, pending, gone, _| async move {
                let to = params.one::<u64>().unwrap();
                let sink = pending.accept().await?;
                for number in 1..=to {
                    sink.send(to_json_raw_value(&number)?).await?;
                }
                sink.closed().await;
                gone.send(())?;
                Ok::<_, SubscriptionError>(())
            },
        );
        registered.unwrap();
        (module.into(), gone)
    }

    async fn say(stream: &mut BufReader<UnixStream>, method: &str, argument: Value) {
        let call = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": [argument] });
        stream.write_all(call.to_string().as_bytes()).await.unwrap();
    }

    async fn heard(stream: &mut BufReader<UnixStream>) -> Value {
        let mut line = String::new();
        stream.read_line(&mut line).await.unwrap();
        serde_json::from_str(&line).unwrap()
    }

    #[tokio::test]
    async fn a_subscription_is_answered_then_notifies_and_ends_when_it_is_told_to() {
        let (folder, (methods, mut gone)) = (tempfile::tempdir().unwrap(), counting());
        let server = start_ipc_server(socket(&folder), methods).await.unwrap();
        let mut stream = BufReader::new(UnixStream::connect(server.path()).await.unwrap());
        say(&mut stream, "test_count", json!(3)).await;
        let id = heard(&mut stream).await["result"].take();
        assert!(id.as_str().is_some_and(|id| id.starts_with("0x")), "{id}");
        for number in 1..=3 {
            let told = heard(&mut stream).await;
            assert_eq!(told["method"], "test_counted");
            assert_eq!(told["params"], json!({ "subscription": id, "result": number }));
        }
        say(&mut stream, "test_stop", id.clone()).await;
        assert_eq!(heard(&mut stream).await["result"], true);
        gone.recv().await.unwrap();
        say(&mut stream, "test_stop", id).await;
        assert_eq!(heard(&mut stream).await["result"], false);
        server.stop().await;
    }

    #[tokio::test]
    async fn subscriptions_are_of_their_connection_and_end_with_it_or_the_server() {
        let (folder, (methods, mut gone)) = (tempfile::tempdir().unwrap(), counting());
        let server = start_ipc_server(socket(&folder), methods).await.unwrap();
        let connect =
            || async { BufReader::new(UnixStream::connect(server.path()).await.unwrap()) };
        let (mut one, mut other) = (connect().await, connect().await);
        say(&mut one, "test_count", json!(0)).await;
        let id = heard(&mut one).await["result"].take();
        say(&mut other, "test_stop", id).await;
        assert_eq!(heard(&mut other).await["result"], false);
        drop(one);
        gone.recv().await.unwrap();
        say(&mut other, "test_count", json!(0)).await;
        heard(&mut other).await;
        server.stop().await;
        gone.recv().await.unwrap();
    }
}

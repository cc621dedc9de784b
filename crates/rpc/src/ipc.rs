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
//! | a subscription | asked for | notifications | ended with its connection |

mod frame;

use crate::{public::patience::Patience, server::ServerError};
use frame::Framer;
use jsonrpsee::{
    MethodResponse, Methods,
    types::{ErrorObjectOwned, Request},
};
use serde::Deserialize;
use serde_json::{
    json,
    value::{RawValue, to_raw_value},
};
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
/// Answers and notifications that wait to be written, for each connection and each subscription.
const WAITING_MAX: usize = 256;
/// Bytes that are read at once.
const READ_BYTES: usize = 64 * 1024;
/// Of the socket: its owner alone may use it.
const SOCKET_MODE: u32 = 0o600;
/// Of the folder that it is made in: nobody else may enter.
const FOLDER_MODE: u32 = 0o700;
/// After a connection could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const PARSE_ERROR: (i32, &str) = (-32700, "Parse error");
const INVALID_REQUEST: (i32, &str) = (-32600, "Invalid request");
/// As the other servers say it.
const BATCH_TOO_LARGE: (i32, &str) = (-32011, "The batch response was too large");

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
    loop {
        tokio::select! {
            _ = &mut stopped => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if connections.len() < IPC_CONNECTIONS_MAX => {
                    connections.spawn(serve(stream, methods.clone()));
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

async fn serve(stream: UnixStream, methods: Methods) {
    let (mut reader, writer) = stream.into_split();
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    let writing = tokio::spawn(write(writer, receiver));
    let subscriptions = JoinSet::new();
    let mut caller = Caller { methods, sender, subscriptions, batch_time_max: BATCH_TIME_MAX };
    let mut framer = Framer::new(IPC_MESSAGE_BYTES_MAX);
    let mut read = vec![0; READ_BYTES];
    'connection: while let Ok(count @ 1..) = reader.read(&mut read).await {
        framer.push(read.get(..count).unwrap_or_default());
        loop {
            let is_open = match framer.next_message() {
                Ok(None) => break,
                Ok(Some(message)) => caller.answer(&message).await,
                Err(_) => {
                    caller.send(failed(PARSE_ERROR)).await;
                    break 'connection;
                }
            };
            if !is_open {
                break 'connection;
            }
        }
    }
    // Ends the subscriptions, and with the last sender the writing.
    drop(caller);
    let _ = writing.await;
}

async fn write(mut writer: OwnedWriteHalf, mut receiver: mpsc::Receiver<Box<RawValue>>) {
    while let Some(message) = receiver.recv().await {
        let written = writer.write_all(message.get().as_bytes()).await;
        if written.is_err() || writer.write_all(b"\n").await.is_err() {
            break;
        }
    }
}

/// One connection's calls.
struct Caller {
    methods: Methods,
    sender: mpsc::Sender<Box<RawValue>>,
    subscriptions: JoinSet<()>,
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
    /// Whether the other side still reads.
    async fn send(&self, message: Box<RawValue>) -> bool {
        self.sender.send(message).await.is_ok()
    }

    /// Answers a message. Says whether the other side still reads.
    async fn answer(&mut self, message: &[u8]) -> bool {
        // Subscriptions that have ended.
        while self.subscriptions.try_join_next().is_some() {}
        let Ok(text) = std::str::from_utf8(message) else {
            return self.send(failed(PARSE_ERROR)).await;
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
            return Some(failed(PARSE_ERROR));
        };
        if calls.is_empty() || calls.len() > IPC_BATCH_MAX {
            return Some(failed(INVALID_REQUEST));
        }
        let patience = Patience::new(self.batch_time_max, Arc::default());
        let mut answers = Vec::with_capacity(calls.len());
        let mut bytes = 0_usize;
        for call in calls {
            let answer = match patience.check() {
                Ok(()) => self.call(call.get()).await,
                Err(given_up) => refuse(call.get(), given_up),
            };
            let Some(answer) = answer else { continue };
            bytes = bytes.saturating_add(answer.get().len());
            if bytes > IPC_BATCH_BYTES_MAX {
                return Some(failed(BATCH_TOO_LARGE));
            }
            answers.push(answer);
        }
        if answers.is_empty() { None } else { to_raw_value(&answers).ok() }
    }

    /// `None` for a notification, which is not answered.
    async fn call(&mut self, text: &str) -> Option<Box<RawValue>> {
        let Ok((answer, mut news)) = self.methods.raw_json_request(text, WAITING_MAX).await else {
            return no_request(text);
        };
        // Only a subscription keeps the channel open.
        let first = match news.try_recv() {
            Ok(message) => Some(message),
            Err(mpsc::error::TryRecvError::Empty) => None,
            Err(mpsc::error::TryRecvError::Disconnected) => return Some(answer),
        };
        let sender = self.sender.clone();
        self.subscriptions.spawn(async move {
            let mut next = first;
            loop {
                if let Some(message) = next
                    && sender.send(message).await.is_err()
                {
                    break;
                }
                next = news.recv().await;
                if next.is_none() {
                    break;
                }
            }
        });
        Some(answer)
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
        Ok(_) => Some(failed(INVALID_REQUEST)),
        Err(_) => Some(failed(PARSE_ERROR)),
    }
}

/// The answer to what is not a call.
fn failed((code, message): (i32, &str)) -> Box<RawValue> {
    let answer = json!({
        "jsonrpc": "2.0", "id": null, "error": { "code": code, "message": message },
    });
    to_raw_value(&answer).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::public::error;
    use jsonrpsee::RpcModule;
    use serde_json::Value;
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
        let (subscriptions, batch_time_max) = (JoinSet::new(), Duration::ZERO);
        let mut caller = Caller { methods: methods(), sender, subscriptions, batch_time_max };
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
}

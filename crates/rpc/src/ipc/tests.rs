//! The server over IPC, and a connection of it without one.

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

/// A caller, and what is told to it.
fn caller(limits: IpcLimits) -> (Caller, mpsc::Receiver<Box<RawValue>>) {
    let (sender, receiver) = mpsc::channel(1);
    let flow = Flow::new(limits.flow(), Arc::default());
    (Caller::new(methods(), sender, flow, ConnectionId::default(), limits), receiver)
}

fn socket(folder: &tempfile::TempDir) -> ListenSocket {
    ListenSocket { path: folder.path().join("fugue.ipc"), flag: "--ipcpath" }
}

#[tokio::test]
async fn calls_and_batches_are_answered_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let server = start_ipc_server(socket(&folder), IPC_LIMITS, methods()).await.unwrap();
    let mode = fs::metadata(server.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, SOCKET_MODE);
    let mut stream = BufReader::new(UnixStream::connect(server.path()).await.unwrap());
    let call =
        |id: u64| format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"test_echo","params":[{id}]}}"#);
    let note = r#"{"jsonrpc":"2.0","method":"test_echo","params":[9]}"#;
    let asked = format!("{}{note}\n [{},{note},{}] [] {{\"id\":1}} !", call(1), call(2), call(3));
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
    // What does not begin as JSON ends the connection.
    let mut line = String::new();
    assert_eq!(stream.read_line(&mut line).await.unwrap(), 0);
    let path = server.path().to_owned();
    server.stop().await;
    assert!(!path.exists());
}

#[tokio::test]
async fn what_is_no_request_is_told_so_and_the_connection_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let server = start_ipc_server(socket(&folder), IPC_LIMITS, methods()).await.unwrap();
    let mut stream = BufReader::new(UnixStream::connect(server.path()).await.unwrap());
    for (text, id, code) in [
        ("{}", json!(null), -32600),
        (r#"{"foo":1}"#, json!(null), -32600),
        (r#"{"jsonrpc":"2.0"}"#, json!(null), -32600),
        (r#"{"method":"test_echo"}"#, json!(null), -32600),
        (r#"{"jsonrpc":"2.0","id":-1,"method":"test_echo"}"#, json!(null), -32600),
        (r#"{"id":7}"#, json!(7), -32600),
        ("1 ", json!(null), -32600),
        ("null\n", json!(null), -32600),
        ("\"abc\"", json!(null), -32600),
        ("{no}", json!(null), -32700),
        ("nul ", json!(null), -32700),
    ] {
        stream.write_all(text.as_bytes()).await.unwrap();
        let told = heard(&mut stream).await;
        assert_eq!((&told["id"], &told["error"]["code"]), (&id, &json!(code)), "{text}: {told}");
    }
    stream.write_all(b"[1,{}]").await.unwrap();
    let told = heard(&mut stream).await;
    assert_eq!(
        (&told[0]["error"]["code"], &told[1]["error"]["code"]),
        (&json!(-32600), &json!(-32600))
    );
    say(&mut stream, "test_echo", json!(5)).await;
    assert_eq!(heard(&mut stream).await["result"], 5);
    server.stop().await;
}

/// A method whose calls wait for what is told to them, in the order in which they come.
fn waiting() -> (Methods, mpsc::UnboundedReceiver<oneshot::Sender<u64>>) {
    let (begun, calls) = mpsc::unbounded_channel();
    let mut module = RpcModule::new(());
    module
        .register_async_method("test_wait", move |_, _, _| {
            let (sender, answer) = oneshot::channel::<u64>();
            begun.send(sender).unwrap();
            async move { answer.await.map_err(error::internal) }
        })
        .unwrap();
    (module.into(), calls)
}

#[tokio::test]
async fn a_server_that_stops_answers_what_was_asked_before() {
    let (folder, (methods, mut calls)) = (tempfile::tempdir().unwrap(), waiting());
    let server = start_ipc_server(socket(&folder), IPC_LIMITS, methods).await.unwrap();
    let path = server.path().to_owned();
    let mut stream = BufReader::new(UnixStream::connect(&path).await.unwrap());
    say(&mut stream, "test_wait", json!(0)).await;
    let answer = calls.recv().await.unwrap();
    let stopping = tokio::spawn(server.stop());
    // Once it is told to stop, nobody is let in any more.
    while UnixStream::connect(&path).await.is_ok() {
        tokio::task::yield_now().await;
    }
    answer.send(7).unwrap();
    assert_eq!(heard(&mut stream).await["result"], 7);
    stopping.await.unwrap();
    assert!(!path.exists());
}

#[tokio::test]
async fn a_call_is_given_up_when_its_caller_hangs_up_and_not_when_he_only_listens() {
    let (folder, (methods, mut calls)) = (tempfile::tempdir().unwrap(), waiting());
    let server = start_ipc_server(socket(&folder), IPC_LIMITS, methods).await.unwrap();
    let call = br#"{"jsonrpc":"2.0","id":1,"method":"test_wait"}"#;
    let mut listens = UnixStream::connect(server.path()).await.unwrap();
    listens.write_all(call).await.unwrap();
    let answer = calls.recv().await.unwrap();
    listens.shutdown().await.unwrap();
    // It begins later than the other one, so that was looked at when this one is given up.
    let mut hangs_up = UnixStream::connect(server.path()).await.unwrap();
    hangs_up.write_all(call).await.unwrap();
    let mut given_up = calls.recv().await.unwrap();
    drop(hangs_up);
    given_up.closed().await;
    answer.send(7).unwrap();
    let mut line = String::new();
    BufReader::new(listens).read_line(&mut line).await.unwrap();
    assert_eq!(serde_json::from_str::<Value>(&line).unwrap()["result"], 7, "{line}");
    server.stop().await;
}

#[tokio::test]
async fn calls_of_a_batch_whose_time_is_over_are_given_up_and_not_begun() {
    let limits = IpcLimits { batch_time_max: Duration::ZERO, ..IPC_LIMITS };
    let (mut caller, _receiver) = caller(limits);
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
    let (caller, receiver) = caller(IPC_LIMITS);
    let flow = Arc::clone(&caller.flow);
    assert!(caller.may_answer().await);
    flow.owe(IPC_LIMITS.unsent_bytes_max + 1);
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
    let (mut caller, _receiver) = caller(IpcLimits { batch_max: 5, ..IPC_LIMITS });
    let answer = caller.batch("[1,2,3,4,5,6]").await.unwrap();
    assert_told(&answer, -32010, 5);
    assert!(caller.batch("[1,2,3,4,5]").await.unwrap().get().starts_with('['));
}

#[tokio::test]
async fn an_answer_and_all_of_a_batch_are_as_long_as_they_may_be() {
    let call = r#"{"jsonrpc":"2.0","id":7,"method":"test_echo","params":[7]}"#;
    let bytes = r#"{"jsonrpc":"2.0","id":7,"result":7}"#.len();
    for (response_bytes_max, is_told) in [(bytes, false), (bytes - 1, true)] {
        let (mut caller, _receiver) = caller(IpcLimits { response_bytes_max, ..IPC_LIMITS });
        let answer = caller.call(call).await.unwrap();
        if is_told {
            assert_told(&answer, -32008, response_bytes_max);
        } else {
            assert_eq!(answer.get().len(), bytes, "{answer}");
        }
    }
    let batch = format!("[{call},{call}]");
    let (mut caller, _receiver) =
        caller(IpcLimits { batch_bytes_max: 2 * bytes - 1, ..IPC_LIMITS });
    assert_told(&caller.batch(&batch).await.unwrap(), -32011, 2 * bytes - 1);
}

#[tokio::test]
async fn a_message_a_connection_and_a_subscription_too_many_are_told_what_the_bound_is() {
    let (folder, (methods, _gone)) = (tempfile::tempdir().unwrap(), counting());
    let limits = IpcLimits {
        message_bytes_max: 1_000,
        connections_max: 1,
        subscriptions_max: 1,
        ..IPC_LIMITS
    };
    let server = start_ipc_server(socket(&folder), limits, methods).await.unwrap();
    let mut one = BufReader::new(UnixStream::connect(server.path()).await.unwrap());
    say(&mut one, "test_count", json!(0)).await;
    assert!(heard(&mut one).await["result"].is_string());
    say(&mut one, "test_count", json!(0)).await;
    let told = heard(&mut one).await["error"].take();
    assert_eq!((&told["code"], &told["data"]), (&json!(-32006), &exceeded(1)), "{told}");

    let mut other = BufReader::new(UnixStream::connect(server.path()).await.unwrap());
    let told = heard(&mut other).await["error"].take();
    assert_eq!(told["code"], error::REFUSED, "{told}");
    assert!(told["message"].as_str().unwrap().starts_with("1 IPC connections"), "{told}");
    let mut line = String::new();
    assert_eq!(other.read_line(&mut line).await.unwrap(), 0, "it is hung up on");

    one.write_all(format!("[{}", " ".repeat(1_000)).as_bytes()).await.unwrap();
    let told = heard(&mut one).await["error"].take();
    assert_eq!((&told["code"], &told["data"]), (&json!(-32007), &exceeded(1_000)), "{told}");
    server.stop().await;
}

fn exceeded(max: usize) -> Value {
    json!(format!("Exceeded max limit of {max}"))
}

/// It is an error of this code that says what the bound is.
#[track_caller]
fn assert_told(answer: &RawValue, code: i32, max: usize) {
    let answer: Value = serde_json::from_str(answer.get()).unwrap();
    assert_eq!(answer["error"]["code"], code, "{answer}");
    assert_eq!(answer["error"]["data"], exceeded(max), "{answer}");
}

#[tokio::test]
async fn a_socket_left_over_is_replaced_and_one_in_use_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = socket(&folder).path;
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let server = start_ipc_server(socket(&folder), IPC_LIMITS, methods()).await.unwrap();
    let error = start_ipc_server(socket(&folder), IPC_LIMITS, methods()).await.unwrap_err();
    assert!(matches!(error, ServerError::SocketTaken { .. }), "{error}");
    server.stop().await;
    // What is no socket is not in use, and stays.
    fs::write(&path, "kept").unwrap();
    let error = start_ipc_server(socket(&folder), IPC_LIMITS, methods()).await.unwrap_err();
    assert!(matches!(error, ServerError::Socket { .. }), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "kept");
}

/// A method that counts up to its argument for those who subscribe, and what tells that one of
/// them has gone.
fn counting() -> (Methods, mpsc::UnboundedReceiver<()>) {
    let (sender, gone) = mpsc::unbounded_channel::<()>();
    let mut module = RpcModule::new(sender);
    let [count, counted, stop] = ["test_count", "test_counted", "test_stop"];
    let registered =
        module.register_subscription(count, counted, stop, |params, pending, gone, _| async move {
            let to = params.one::<u64>().unwrap();
            let sink = pending.accept().await?;
            for number in 1..=to {
                sink.send(to_json_raw_value(&number)?).await?;
            }
            sink.closed().await;
            gone.send(())?;
            Ok::<_, SubscriptionError>(())
        });
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
    let server = start_ipc_server(socket(&folder), IPC_LIMITS, methods).await.unwrap();
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
    let server = start_ipc_server(socket(&folder), IPC_LIMITS, methods).await.unwrap();
    let connect = || async { BufReader::new(UnixStream::connect(server.path()).await.unwrap()) };
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

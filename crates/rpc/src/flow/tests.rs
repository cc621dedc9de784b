//! What a connection may have under way, and who is refused.

use super::*;
use crate::{
    public::{
        patience::Waiting,
        subscriptions::{SUBSCRIBE, UNSUBSCRIBE},
    },
    stream::Streamed,
};
use jsonrpsee::ResponsePayload;
use serde_json::{Value, json};
use std::{future::ready, pin::pin};

const HOUR: Duration = Duration::from_secs(3600);
const LIMITS: FlowLimits = FlowLimits {
    calls_max: 2,
    unsent_bytes_max: 10,
    all_unsent_bytes_max: 100,
    batch_bytes_max: 1_000,
    batch_time_max: HOUR,
};

fn flow(is_websocket: bool) -> (Arc<Flow>, Arc<AtomicU64>) {
    let all_unsent = Arc::new(AtomicU64::new(0));
    let flow = Flow::new(LIMITS, Arc::clone(&all_unsent));
    flow.change(|counts| counts.is_websocket = is_websocket);
    (flow, all_unsent)
}

fn is_open(flow: &Flow) -> bool {
    flow.poll_gate(&mut Context::from_waker(Waker::noop())).is_ready()
}

#[test]
fn no_more_is_read_while_as_many_calls_are_under_way_as_may_be() {
    let (flow, _) = flow(true);
    let first = flow.enter();
    assert!(is_open(&flow));
    let second = flow.enter();
    assert!(!is_open(&flow));
    drop(first);
    assert!(is_open(&flow));
    drop(second);
}

#[test]
fn no_more_is_read_while_too_much_is_owed() {
    let (flow, all_unsent) = flow(true);
    flow.owe(11);
    assert!(!is_open(&flow));
    flow.written(1);
    assert!(is_open(&flow));
    flow.blocked();
    assert!(!is_open(&flow));
    // More is sent than answers: their frames.
    flow.written(20);
    assert!(is_open(&flow));
    assert_eq!(all_unsent.load(Ordering::Relaxed), 0);
    flow.owe(7);
    drop(flow);
    assert_eq!(all_unsent.load(Ordering::Relaxed), 0);
}

#[test]
fn an_http_connection_has_no_gate() {
    let (flow, _) = flow(false);
    flow.owe(11);
    flow.blocked();
    assert!(is_open(&flow));
}

#[tokio::test]
async fn calls_are_refused_while_the_server_owes_too_much() {
    let (flow, all_unsent) = flow(true);
    let turn = flow.enter().turn().await.unwrap();
    let answer = turn.end(MethodResponse::error(Id::Null, refusal()));
    let owed = answer.as_json().get().len() as u64;
    assert_eq!(all_unsent.load(Ordering::Relaxed), owed);
    // It is owed whatever becomes of the answer: it is on its way.
    drop(answer);
    assert_eq!(all_unsent.load(Ordering::Relaxed), owed);
    all_unsent.store(101, Ordering::Relaxed);
    let refused = flow.enter().turn().await.err().unwrap();
    assert_eq!(refused.code(), LIMIT_EXCEEDED);
    assert!(refused.message().contains("100 bytes"), "{}", refused.message());
}

#[tokio::test]
async fn over_http_an_answer_is_owed_for_as_long_as_it_is_there() {
    let (flow, all_unsent) = flow(false);
    let turn = flow.enter().turn().await.unwrap();
    let answer = turn.end(MethodResponse::error(Id::Null, refusal()));
    let owed = answer.as_json().get().len() as u64;
    let debt = answer.extensions().get::<Debt>().cloned().unwrap();
    drop(answer);
    // What the socket writes may be of another stream.
    flow.written(owed);
    assert_eq!(all_unsent.load(Ordering::Relaxed), owed);
    drop(debt);
    assert_eq!(all_unsent.load(Ordering::Relaxed), 0);
}

fn refusal() -> ErrorObjectOwned {
    ErrorObjectOwned::owned(LIMIT_EXCEEDED, "refused", None::<()>)
}

/// Answers calls by a function, and a batch as a whole with an error.
#[derive(Clone)]
struct Answering<F>(F);

impl<F: Fn(Request<'_>) -> MethodResponse> RpcServiceT for Answering<F> {
    type MethodResponse = MethodResponse;
    type NotificationResponse = MethodResponse;
    type BatchResponse = MethodResponse;

    fn call<'a>(&self, request: Request<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        ready((self.0)(request))
    }

    fn batch<'a>(&self, _: Batch<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        ready(MethodResponse::error(Id::Null, refusal()))
    }

    fn notification<'a>(
        &self,
        _: Notification<'a>,
    ) -> impl Future<Output = MethodResponse> + Send + 'a {
        ready(MethodResponse::notification())
    }
}

#[tokio::test]
async fn calls_of_a_batch_whose_time_is_over_are_given_up_and_not_begun() {
    let over = "the call was given up: it took longer than 0 s";
    for (batch_time_max, code, message, begun) in
        [(HOUR, LIMIT_EXCEEDED, "refused", 2), (Duration::ZERO, error::REFUSED, over, 0)]
    {
        let limits = FlowLimits { batch_time_max, ..LIMITS };
        let calls = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&calls);
        let inner = Answering(move |request: Request<'_>| {
            counted.fetch_add(1, Ordering::Relaxed);
            MethodResponse::error(request.id, refusal())
        });
        let bounded = FlowLayer::new(Flow::new(limits, Arc::default())).layer(inner);
        let call = |id| Ok(BatchEntry::Call(Request::borrowed("any", None, Id::Number(id))));
        let answer = bounded.batch(Batch::from(vec![call(1), call(2)])).await;
        let answer: Value = serde_json::from_str(answer.as_json().get()).unwrap();
        let told = json!({ "code": code, "message": message });
        assert_eq!(
            answer,
            json!([
                { "jsonrpc": "2.0", "id": 1, "error": told },
                { "jsonrpc": "2.0", "id": 2, "error": told },
            ])
        );
        assert_eq!(calls.load(Ordering::Relaxed), begun);
    }
}

fn poll(future: std::pin::Pin<&mut impl Future>) -> bool {
    future.poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

#[tokio::test]
async fn notifications_wait_for_each_other_and_while_too_much_is_unsent() {
    let (flow, all_unsent) = flow(true);
    let room = flow.room().await;
    room.opens().await;
    room.owe(11);
    assert_eq!(all_unsent.load(Ordering::Relaxed), 11);
    let mut next = pin!(flow.room());
    {
        let mut opens = pin!(room.opens());
        assert!(!poll(opens.as_mut()) && !poll(next.as_mut()));
        flow.written(1);
        opens.await;
    }
    assert!(!poll(next.as_mut()));
    // Less is owed, too, if it is not sent.
    room.owe(1);
    {
        let mut opens = pin!(room.opens());
        assert!(!poll(opens.as_mut()));
        room.forgive(1);
        opens.await;
    }
    drop(room);
    next.await.opens().await;
}

#[tokio::test]
async fn while_all_owe_too_much_only_who_owes_nothing_is_notified() {
    let (flow, all_unsent) = flow(true);
    let room = flow.room().await;
    all_unsent.store(100, Ordering::Relaxed);
    room.opens().await;
    room.owe(3);
    {
        let mut opens = pin!(room.opens());
        assert!(!poll(opens.as_mut()));
        flow.written(2);
        assert!(!poll(opens.as_mut()));
        flow.written(1);
        opens.await;
    }
    room.owe(1);
    // When others have paid, it may owe some.
    all_unsent.store(99, Ordering::Relaxed);
    room.opens().await;
}

#[tokio::test]
async fn nobody_is_notified_over_http_and_a_batch_subscribes_to_nothing() {
    let answered = |answer: &MethodResponse| -> i64 {
        let answer: Value = serde_json::from_str(answer.as_json().get()).unwrap();
        answer.get(0).unwrap_or(&answer)["error"]["code"].as_i64().unwrap()
    };
    let call = |method| Request::borrowed(method, None, Id::Number(1));
    // What is begun is answered with -32005.
    for (method, is_websocket, alone, in_a_batch) in [
        (SUBSCRIBE, false, -32601, -32601),
        (UNSUBSCRIBE, false, -32601, -32601),
        (SUBSCRIBE, true, -32005, -32000),
        (UNSUBSCRIBE, true, -32005, -32005),
        ("debug_subscribe", false, -32601, -32601),
        ("debug_unsubscribe", false, -32601, -32601),
        ("debug_subscribe", true, -32005, -32000),
    ] {
        let bounded = FlowLayer::new(flow(is_websocket).0)
            .layer(Answering(|request: Request<'_>| MethodResponse::error(request.id, refusal())));
        assert_eq!(answered(&bounded.call(call(method)).await), alone, "{method}");
        let batch = Batch::from(vec![Ok(BatchEntry::Call(call(method)))]);
        assert_eq!(answered(&bounded.batch(batch).await), in_a_batch, "{method}");
    }
}

/// An answer that is sent while it is made, where it may.
fn sending(request: Request<'_>) -> MethodResponse {
    let extensions = request.extensions;
    let mut result = Some("whole");
    if let Some(offer) = extensions.get::<Offer>() {
        offer.accept(Streamed::new(offer.open().1, Waiting(Arc::default())));
        result = None;
    }
    let result = ResponsePayload::success(result);
    let answer = MethodResponse::response(request.id, result, usize::MAX);
    answer.with_extensions(extensions)
}

#[tokio::test]
async fn an_answer_that_is_sent_while_it_is_made_keeps_its_turn_and_is_no_part_of_a_batch() {
    let (flow, all_unsent) = flow(false);
    let bounded = FlowLayer::new(Arc::clone(&flow)).layer(Answering(sending));
    let call = || {
        let mut request = Request::borrowed("any", None, Id::Number(1));
        request.extensions_mut().insert(Offer::new(usize::MAX));
        request
    };
    let answer = bounded.call(call()).await;
    assert_eq!(answer.as_json().get(), r#"{"jsonrpc":"2.0","id":1,"result":null}"#);
    assert_eq!(all_unsent.load(Ordering::Relaxed), QUEUE_BYTES_MAX as u64);
    assert_eq!(flow.turns.available_permits(), LIMITS.calls_max - 1);
    let offer = answer.extensions().get::<Offer>().cloned().unwrap();
    drop(answer);
    assert_eq!(all_unsent.load(Ordering::Relaxed), 0);
    drop(offer.take().expect("the answer"));
    assert_eq!(flow.turns.available_permits(), LIMITS.calls_max);

    let batch = bounded.batch(Batch::from(vec![Ok(BatchEntry::Call(call()))])).await;
    assert_eq!(batch.as_json().get(), r#"[{"jsonrpc":"2.0","id":1,"result":"whole"}]"#);
}

/// What the server takes for a notification.
fn notification(sent: &Sent) -> Notification<'static> {
    let mut notification = Notification::new("any".into(), None);
    notification.extensions_mut().insert(sent.clone());
    notification
}

#[tokio::test]
async fn what_has_an_id_is_told_to_be_no_request_and_what_has_none_is_not_answered() {
    let bounded = FlowLayer::new(flow(false).0)
        .layer(Answering(|request: Request<'_>| MethodResponse::error(request.id, refusal())));
    let told = json!({ "code": -32600, "message": "Invalid request" });
    let told = json!({ "jsonrpc": "2.0", "id": null, "error": told });
    let answered =
        |answer: &MethodResponse| serde_json::from_str::<Value>(answer.as_json().get()).unwrap();
    let is_silent = |answer: &MethodResponse| answer.extensions().get::<Silence>().is_some();
    let sent = Sent::default();
    sent.push(br#"{"jsonrpc":"2.0","id":-1,"method":"any"}"#);
    let answer = bounded.notification(notification(&sent)).await;
    assert!(answer.is_method_call() && !is_silent(&answer));
    assert_eq!(answered(&answer), told);
    // It is paid for, as all may owe little.
    drop(answer);
    // It was told.
    assert!(is_silent(&bounded.notification(notification(&sent)).await));

    sent.push(br#"[{"jsonrpc":"2.0","method":"any"},{"jsonrpc":"2.0","id":-1,"method":"any"}]"#);
    let batch = || {
        let entry = || Ok(BatchEntry::Notification(notification(&sent)));
        Batch::from(vec![entry(), entry()])
    };
    let answer = bounded.batch(batch()).await;
    assert!(answer.is_batch() && !is_silent(&answer));
    assert_eq!(answered(&answer), json!([told]));
    drop(answer);
    assert!(is_silent(&bounded.batch(batch()).await));
}

#[tokio::test]
async fn of_a_batch_of_calls_alone_the_text_is_not_kept() {
    let bounded = FlowLayer::new(flow(false).0)
        .layer(Answering(|request: Request<'_>| MethodResponse::error(request.id, refusal())));
    let sent = Sent::default();
    sent.push(br#"{"jsonrpc":"2.0","id":-1,"method":"any"}"#);
    let mut call = Request::borrowed("any", None, Id::Number(1));
    call.extensions_mut().insert(sent.clone());
    let answer = bounded.batch(Batch::from(vec![Ok(BatchEntry::Call(call))])).await;
    assert!(answer.is_batch());
    // Where it was kept, one of it would be told.
    assert!(!sent.take_misread());
}

#[test]
fn between_requests_alone_a_request_is_awaited() {
    let (flow, _) = flow(false);
    let now = Instant::now();
    let request = http::Request::new(());
    assert!(!flow.heard(now));
    assert_eq!(flow.since(), Some(now));
    let under_way = flow.begin(&request);
    assert!(!flow.heard(now) && flow.since().is_none());
    flow.owe(1);
    drop(under_way);
    assert!(!flow.heard(now) && flow.since().is_none());
    flow.sent(1);
    assert!(!flow.heard(now) && flow.since().is_some());
    flow.written(1);
    assert_eq!(flow.since(), None);
    let mut framed = http::Request::new(());
    *framed.version_mut() = Version::HTTP_2;
    drop(flow.begin(&framed));
    assert!(!flow.heard(now) && flow.since().is_none());
}

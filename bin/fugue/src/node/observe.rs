//! What an operator's tools ask a node: `/metrics` for Prometheus, `/health` and `/ready`.
//!
//! Requests are so plain that a server of HTTP/1.1 for them fits here: a `GET` or `HEAD` without a
//! body is answered, and the connection closed.

use metrics_exporter_prometheus::PrometheusHandle;
use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
    sync::Semaphore,
    time::timeout,
};

/// Connections at once, at most: a further one waits.
pub(super) const CONNECTIONS_MAX: usize = 32;
/// Bytes of the head of a request.
const HEAD_BYTES_MAX: usize = 8 << 10;
/// Longest that a connection takes.
const CONNECTION_TIME: Duration = Duration::from_secs(10);
/// Until a connection is accepted again after that failed, as when no more files can be opened.
const PAUSE: Duration = Duration::from_millis(100);
/// Longest time without a fork choice of a node that is ready. A consensus client sends one in each
/// slot, if not more.
const FORKCHOICE_AGE_MAX: Duration = Duration::from_secs(300);

/// Why a node does not do what it is there for; `None` if it does.
pub(super) type Judge = Box<dyn Fn() -> Option<String> + Send + Sync>;

/// What is told.
pub(super) struct Observed {
    pub(super) metrics: PrometheusHandle,
    /// Whether the node works.
    pub(super) health: Judge,
    /// Whether it works and is where the consensus client is, and that was heard lately.
    pub(super) ready: Judge,
}

/// An answer.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    status: &'static str,
    kind: &'static str,
    body: String,
}

impl Answer {
    fn text(status: &'static str, body: impl Into<String>) -> Self {
        Self { status, kind: "text/plain; charset=utf-8", body: body.into() }
    }

    fn judged(fault: Option<String>) -> Self {
        match fault {
            None => Self::text("200 OK", "ok\n"),
            Some(fault) => Self::text("503 Service Unavailable", format!("{fault}\n")),
        }
    }
}

/// What there is to say of a consensus client that is not heard; `None` if it was heard lately.
pub(super) fn silence(last_forkchoice: Option<Instant>, now: Instant) -> Option<String> {
    let Some(last) = last_forkchoice else {
        return Some("no fork choice of a consensus client yet".to_owned());
    };
    let age = now.saturating_duration_since(last);
    let seconds = age.as_secs();
    (age > FORKCHOICE_AGE_MAX).then(|| format!("no fork choice for {seconds} seconds"))
}

/// Answers whoever connects, until the runtime ends.
pub(super) async fn serve(listener: TcpListener, observed: Arc<Observed>) {
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(permit) = connections.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let observed = observed.clone();
                tokio::spawn(async move {
                    let _permit = permit;
                    match timeout(CONNECTION_TIME, converse(stream, &observed)).await {
                        Ok(Ok(())) => {}
                        Ok(Err(error)) => {
                            tracing::debug!(%error, "a connection for metrics failed")
                        }
                        Err(_) => tracing::debug!("a connection for metrics took too long"),
                    }
                });
            }
            Err(error) => {
                tracing::debug!(%error, "no connection for metrics");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn converse(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    observed: &Observed,
) -> io::Result<()> {
    let mut head: Vec<u8> = Vec::with_capacity(1_024);
    let answer = loop {
        if let Some(end) = head.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            head.truncate(end);
            break answer(&String::from_utf8_lossy(&head), observed);
        }
        if head.len() >= HEAD_BYTES_MAX {
            break Answer::text("431 Request Header Fields Too Large", "");
        }
        if stream.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    };
    let wants_body = !head.starts_with(b"HEAD ");
    let Answer { status, kind, body } = answer;
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    if wants_body {
        stream.write_all(body.as_bytes()).await?;
    }
    stream.shutdown().await
}

/// The answer to a request with this head.
fn answer(head: &str, observed: &Observed) -> Answer {
    let mut words = head.lines().next().unwrap_or_default().split(' ');
    let (method, target) = (words.next(), words.next().unwrap_or_default());
    if !matches!(method, Some("GET" | "HEAD")) {
        return Answer::text("405 Method Not Allowed", "only GET and HEAD\n");
    }
    let path = target.split('?').next().unwrap_or_default();
    match path {
        "/metrics" => {
            let kind = "text/plain; version=0.0.4; charset=utf-8";
            Answer { status: "200 OK", kind, body: observed.metrics.render() }
        }
        "/health" => Answer::judged((observed.health)()),
        "/ready" => Answer::judged((observed.ready)()),
        _ => Answer::text("404 Not Found", "there are /metrics, /health and /ready\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use metrics_exporter_prometheus::PrometheusBuilder;

    #[test]
    fn a_consensus_client_is_heard_for_five_minutes() {
        let heard = Instant::now();
        let after = |seconds| silence(Some(heard), heard + Duration::from_secs(seconds));
        assert_eq!(after(0), None);
        assert_eq!(after(300), None);
        assert_eq!(after(301), Some("no fork choice for 301 seconds".to_owned()));
        let told = silence(None, heard).expect("a fault");
        assert_eq!(told, "no fork choice of a consensus client yet");
    }

    #[tokio::test]
    async fn who_asks_for_the_head_of_an_answer_is_told_no_more() {
        let observed = Observed {
            metrics: PrometheusBuilder::new().build_recorder().handle(),
            health: Box::new(|| None),
            ready: Box::new(|| None),
        };
        let mut told = Vec::new();
        for request in ["GET /health HTTP/1.1\r\n\r\n", "HEAD /health HTTP/1.1\r\n\r\n"] {
            let (mut asks, answers) = tokio::io::duplex(HEAD_BYTES_MAX);
            asks.write_all(request.as_bytes()).await.expect("a request");
            converse(answers, &observed).await.expect("an answer");
            let mut answer = String::new();
            asks.read_to_string(&mut answer).await.expect("text");
            told.push(answer);
        }
        assert!(told[0].starts_with("HTTP/1.1 200 OK"), "{told:?}");
        assert_eq!(told[0], format!("{}ok\n", told[1]));
    }

    #[test]
    fn requests_are_answered_by_path() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let observed = Observed {
            metrics: recorder.handle(),
            health: Box::new(|| None),
            ready: Box::new(|| Some("syncing".to_owned())),
        };
        metrics::with_local_recorder(&recorder, || metrics::gauge!("fugue_test").set(7.0));
        let asked = |line: &str| {
            let head = format!("{line} HTTP/1.1\r\nhost: localhost");
            let answer = answer(&head, &observed);
            (answer.status, answer.body)
        };
        assert_eq!(asked("GET /health"), ("200 OK", "ok\n".to_owned()));
        assert_eq!(asked("GET /ready"), ("503 Service Unavailable", "syncing\n".to_owned()));
        let (status, body) = asked("GET /metrics?name=x");
        assert!(status == "200 OK" && body.contains("fugue_test 7"), "{status} {body}");
        assert_eq!(asked("GET /nothing").0, "404 Not Found");
        assert_eq!(asked("POST /metrics").0, "405 Method Not Allowed");
        assert_eq!(asked("").0, "405 Method Not Allowed");
    }
}

//! Answers that are sent while they are made: they are those that a batch is sent as a whole, in
//! pieces and compressed or not; what cannot be ended breaks off, and whoever goes away or does not
//! read makes room for others.

use crate::{
    engine_support::{Node, Setup},
    rules_limits::Limited,
    rules_support::{Wire, WireChain, head, quantity, request},
};
use flate2::read::GzDecoder;
use fugue_rpc::{EthLimits, PUBLIC_LIMITS, PublicLimits};
use fugue_workload::MarketSize;
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    time::Duration,
};

/// Longest that an answer may take; what is answered at all is answered in a fraction of it.
const HANG: Duration = Duration::from_secs(60);
/// Bytes of an answer that is longer than one which is sent as a whole.
const LONG: usize = 300 * 1024;
const CONTRACT: &str = "0xc0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0";

/// A node with two blocks of a market.
fn wire() -> Wire {
    let (chain, _) = WireChain::of_market(0x57e, &MarketSize::new(100, 60), 2);
    let node = Node::in_memory(&chain.chain, &Setup::new(1_000));
    let wire = Wire::over(chain, node);
    wire.follow(1..=2);
    wire
}

/// A server that traces.
struct Server<'w>(Limited<'w>);

/// How the body of an answer is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    /// With its length before it.
    Whole,
    /// In pieces, the last of which says so.
    InPieces,
    /// In pieces that break off.
    Broken,
}

#[derive(Debug)]
struct Answer {
    sent: Sent,
    is_compressed: bool,
    body: Vec<u8>,
}

impl<'w> Server<'w> {
    fn new(wire: &'w Wire, limits: PublicLimits, of_calls: EthLimits) -> Self {
        Self(Limited::offering(wire, &["debug", "trace"], limits, of_calls))
    }

    /// Sends a request over a connection of its own, which is left when this is dropped.
    fn send(&self, headers: &[(&str, &str)], body: &str) -> BufReader<TcpStream> {
        let mut stream = TcpStream::connect(self.0.address).expect("a connection");
        stream.set_read_timeout(Some(HANG)).expect("a bound on reading");
        let head = head("POST", headers, body.len());
        stream.write_all(format!("{head}{body}").as_bytes()).expect("the server reads");
        BufReader::new(stream)
    }

    fn ask(&self, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut stream = self.send(headers, body);
        let (mut length, mut is_compressed) = (None, false);
        let status = line(&mut stream);
        if status.is_empty() {
            // Broken off so early that nothing was on its way.
            return Answer { sent: Sent::Broken, is_compressed, body: Vec::new() };
        }
        assert_eq!(status, "HTTP/1.1 200 OK");
        loop {
            let header = line(&mut stream).to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            length = header.strip_prefix("content-length: ").map(str::to_owned).or(length);
            is_compressed |= header == "content-encoding: gzip";
        }
        let Some(length) = length else {
            let (body, sent) = pieces(&mut stream);
            return Answer { sent, is_compressed, body };
        };
        let mut body = vec![0; length.parse().expect("a number")];
        stream.read_exact(&mut body).expect("the server answers");
        Answer { sent: Sent::Whole, is_compressed, body }
    }

    /// The error of a batch of this call alone, which is answered as a whole.
    fn error(&self, call: &str) -> Value {
        let answer = self.ask(&[], &format!("[{call}]"));
        assert_eq!(answer.sent, Sent::Whole);
        let mut answer: Value = serde_json::from_slice(&answer.body).expect("JSON");
        answer[0]["error"].take()
    }
}

/// A line; empty if nothing more comes.
fn line(stream: &mut BufReader<TcpStream>) -> String {
    let mut line = String::new();
    // It may be broken off.
    let _ = stream.read_line(&mut line);
    line.trim_end().to_owned()
}

fn pieces(stream: &mut BufReader<TcpStream>) -> (Vec<u8>, Sent) {
    let mut body = Vec::new();
    loop {
        let Ok(bytes) = usize::from_str_radix(&line(stream), 16) else {
            return (body, Sent::Broken);
        };
        let mut piece = vec![0; bytes];
        if stream.read_exact(&mut piece).is_err() {
            return (body, Sent::Broken);
        }
        body.extend(piece);
        assert_eq!(line(stream), "");
        if bytes == 0 {
            return (body, Sent::InPieces);
        }
    }
}

/// A message that jumps in circles until so much gas is used up: a step is about ninety bytes of
/// its trace.
fn steps(gas: u64) -> Value {
    json!([
        { "to": CONTRACT, "gas": quantity(gas) },
        "latest",
        { "stateOverrides": { CONTRACT: { "code": "0x5b600056" } } },
    ])
}

#[test]
fn an_answer_in_pieces_is_the_one_that_is_sent_as_a_whole() {
    let wire = wire();
    // A batch of one call may have as long an answer.
    let limits = PublicLimits { batch_bytes_max: 100_000_000, ..PUBLIC_LIMITS };
    let server = Server::new(&wire, limits, EthLimits::default());
    let traces = json!(["trace", "vmTrace", "stateDiff"]);
    let call = json!({ "to": CONTRACT, "gas": "0x186a0" });
    let bundles = json!([{ "transactions": [call, call] }, { "transactions": [call] }]);
    let looped = json!({ "stateOverrides": { CONTRACT: { "code": "0x5b600056" } } });
    let block = json!("0x2");
    let hash = wire.chain.hash(2);
    let tx = *wire.chain.chain.block(2).block().body.transactions[0].hash();
    for (method, params, is_long) in [
        ("debug_traceBlockByNumber", json!([block]), true),
        ("debug_traceBlockByHash", json!([hash, { "disableStack": true }]), true),
        ("debug_traceCall", steps(200_000), true),
        ("debug_traceCallMany", json!([bundles, { "blockNumber": "latest" }, looped]), true),
        ("trace_replayBlockTransactions", json!([block, traces]), true),
        ("trace_callMany", json!([[[call, ["trace"]], [call, ["trace"]]]]), false),
        ("trace_block", json!([block]), false),
        ("trace_block", json!(["0x0"]), false),
        ("trace_replayTransaction", json!([tx, ["trace"]]), false),
        ("debug_traceTransaction", json!([tx, { "tracer": "callTracer" }]), false),
    ] {
        let call = request(method, &params);
        let whole = server.ask(&[], &format!("[{call}]"));
        assert_eq!(whole.sent, Sent::Whole, "{method}");
        let whole = &whole.body[1..whole.body.len() - 1];
        assert!(whole.starts_with(br#"{"jsonrpc":"2.0","id":1,"result":"#), "{method}");
        let answer = server.ask(&[], &call);
        assert!(answer.body == whole, "{method} {params}");
        let is_in_pieces = answer.sent == Sent::InPieces;
        assert!(is_in_pieces || answer.sent == Sent::Whole, "{method}: {:?}", answer.sent);
        assert!(!is_long || (is_in_pieces && whole.len() > LONG), "{method}: {}", whole.len());
        assert!(is_in_pieces || whole.len() < LONG, "{method}: {}", whole.len());
        let packed = server.ask(&[("accept-encoding", "gzip")], &call);
        assert_eq!(packed.is_compressed, whole.len() >= 1_400, "{method}");
        let mut unpacked = Vec::new();
        if packed.is_compressed {
            GzDecoder::new(&packed.body[..]).read_to_end(&mut unpacked).expect("gzip");
        } else {
            unpacked = packed.body;
        }
        assert!(unpacked == whole, "{method}, compressed");
    }
}

#[test]
fn what_goes_wrong_before_the_first_piece_is_an_error_and_later_breaks_the_answer_off() {
    let wire = wire();
    let usual = EthLimits::default();
    let long = request("debug_traceCall", &steps(1_000_000));
    let small = EthLimits { trace_bytes_max: LONG, ..usual };
    let server = Server::new(&wire, PUBLIC_LIMITS, small);
    // A batch is told why.
    assert_eq!(server.error(&long)["code"], -32_000);
    let gzip = [("accept-encoding", "gzip")];
    for headers in [&gzip[1..], &gzip[..]] {
        let answer = server.ask(headers, &long);
        assert_eq!(answer.sent, Sent::Broken);
        assert!(answer.body.len() < 2 * LONG, "{}", answer.body.len());
    }
    let limits = PublicLimits { response_bytes_max: LONG as u32, ..PUBLIC_LIMITS };
    let server = Server::new(&wire, limits, usual);
    assert_eq!(server.ask(&[], &long).sent, Sent::Broken);

    let tiny = EthLimits { trace_bytes_max: 1_000, ..usual };
    for (of_calls, params) in [(tiny, steps(1_000_000)), (usual, json!([{}, "0xffff"]))] {
        let server = Server::new(&wire, PUBLIC_LIMITS, of_calls);
        let call = request("debug_traceCall", &params);
        let answer = server.ask(&[], &call);
        assert_eq!(answer.sent, Sent::Whole);
        let answer: Value = serde_json::from_slice(&answer.body).expect("JSON");
        assert_eq!(answer["error"], server.error(&call), "{answer}");
        assert!(answer["error"]["code"].is_i64(), "{answer}");
    }
}

#[test]
fn who_goes_away_or_does_not_read_makes_room_for_others() {
    let wire = wire();
    // One at a time; a socket holds a few MiB of the thirty that are asked for.
    let of_calls = EthLimits {
        tracing_calls_max: 1,
        trace_time_max: Duration::from_secs(2),
        ..EthLimits::default()
    };
    let server = Server::new(&wire, PUBLIC_LIMITS, of_calls);
    let endless = request("debug_traceCall", &steps(1_500_000));
    let next = request("debug_traceCall", &steps(25_000));
    for goes_away in [true, false] {
        let mut first = server.send(&[], &endless);
        assert_eq!(line(&mut first), "HTTP/1.1 200 OK");
        let left = (!goes_away).then_some(first);
        let answer = server.ask(&[], &next);
        assert_eq!(answer.sent, Sent::Whole);
        let answer: Value = serde_json::from_slice(&answer.body).expect("JSON");
        assert!(answer["result"]["structLogs"].is_array(), "{answer}");
        drop(left);
    }
}

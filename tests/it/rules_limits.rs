//! The bounds of the public servers as callers meet them, answers that are compressed, and callers
//! that are slow, silent, or too many. Numbers after `f` are those of `rules_http`.

use crate::{
    engine_support::{Node, Setup},
    rules_support::{Endpoint, Wire, WireChain, bearer, head, quantity, request, valid},
};
use flate2::read::GzDecoder;
use fugue_chainspec::Fork;
use fugue_rpc::{
    EthLimits, Listen, PUBLIC_LIMITS, PublicLimits, PublicServerOptions, RunningServer, Transport,
    public_module, start_public_server,
};
use fugue_types::{Address, Bytes};
use fugue_workload::{CHAIN_ID, MarketSize};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::{Duration, Instant},
};

/// Longest that an answer may take; what is answered at all is answered in a fraction of it.
const HANG: Duration = Duration::from_secs(60);
/// Long enough for whatever a test asks for, and short enough to be waited for.
const IDLE: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);
/// Between bytes of a caller that drips.
const DRIP: Duration = Duration::from_millis(20);
/// Less than the 30 s after which a connection without a request ends in any case.
const SOON: Duration = Duration::from_secs(20);
const GZIP: (&str, &str) = ("accept-encoding", "gzip");

/// A server of its own beside those of a node.
pub(crate) struct Limited<'w> {
    wire: &'w Wire,
    pub(crate) address: SocketAddr,
    /// Taken when it is stopped.
    server: Option<RunningServer>,
}

impl Drop for Limited<'_> {
    fn drop(&mut self) {
        // A test that has failed leaves its server to the end of the process.
        if let Some(server) = self.server.take().filter(|_| !std::thread::panicking()) {
            self.wire.block_on(server.stop());
        }
    }
}

/// A node with three blocks.
pub(crate) fn wire() -> Wire {
    let wire = Wire::new(Fork::Prague);
    wire.follow(1..=3);
    wire
}

impl<'w> Limited<'w> {
    fn new(wire: &'w Wire, limits: PublicLimits, of_calls: EthLimits) -> Self {
        Self::offering(wire, &["eth"], limits, of_calls)
    }

    /// A server of the methods in these groups.
    pub(crate) fn offering(
        wire: &'w Wire,
        apis: &[&str],
        limits: PublicLimits,
        of_calls: EthLimits,
    ) -> Self {
        let apis: Vec<String> = apis.iter().copied().map(str::to_owned).collect();
        let methods = public_module(wire.node.engine().clone(), of_calls, &apis).expect("methods");
        let options = PublicServerOptions {
            listen: Listen { address: (Ipv4Addr::LOCALHOST, 0).into(), flag: "--test.port" },
            transport: Transport::Both,
            vhosts: vec!["localhost".to_owned()],
            origins: Vec::new(),
            ws_origins: Vec::new(),
            limits,
        };
        let server = wire.block_on(start_public_server(options, methods)).expect("a port");
        Self { wire, address: server.local_addr(), server: Some(server) }
    }

    fn of_servers(wire: &'w Wire, limits: PublicLimits) -> Self {
        Self::new(wire, limits, EthLimits::default())
    }

    fn endpoint(&self) -> Endpoint {
        Endpoint::of_public(self.address)
    }

    fn connect(&self) -> Caller {
        Caller::open(self.address)
    }

    /// It answers as ever, as soon as it has noticed that the last answer was taken.
    #[track_caller]
    fn assert_answers(&self) {
        let ask = || self.endpoint().call("eth_chainId", &json!([]));
        let asked = Instant::now();
        let mut found = ask();
        while found.as_ref().is_err_and(|error| error.message.contains("wait to be sent"))
            && asked.elapsed() < HANG
        {
            std::thread::sleep(Duration::from_millis(10));
            found = ask();
        }
        assert_eq!(found, Ok(json!(quantity(CHAIN_ID))));
    }
}

/// A connection whose answers are bytes, of a length that is told before or piece by piece.
struct Caller(BufReader<TcpStream>);

#[derive(Debug)]
struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Caller {
    fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("a connection");
        stream.set_read_timeout(Some(HANG)).expect("a bound on reading");
        Self(BufReader::new(stream))
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).expect("the server reads");
    }

    fn ask(&mut self, headers: &[(&str, &str)], body: &str) -> Answer {
        let head = head("POST", headers, body.len());
        self.write(format!("{head}{body}").as_bytes());
        self.read()
    }

    /// Sends a body without a word of its length before.
    fn ask_in_pieces(&mut self, body: &str) -> Answer {
        let begin = "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
                     transfer-encoding: chunked\r\n\r\n";
        self.write(begin.as_bytes());
        self.write(format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len()).as_bytes());
        self.read()
    }

    fn read(&mut self) -> Answer {
        let first = self.line();
        let status = first.split(' ').nth(1).and_then(|word| word.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status in {first:?}"));
        let mut headers = BTreeMap::new();
        loop {
            let line = self.line();
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("{line:?}"));
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        let body = match headers.get("content-length") {
            Some(bytes) => self.take(bytes.parse().expect("a number")),
            None => self.pieces(),
        };
        Answer { status, headers, body }
    }

    fn pieces(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let bytes = usize::from_str_radix(&self.line(), 16).expect("a length");
            body.extend(self.take(bytes));
            assert_eq!(self.line(), "");
            if bytes == 0 {
                return body;
            }
        }
    }

    fn take(&mut self, bytes: usize) -> Vec<u8> {
        let mut taken = vec![0; bytes];
        self.0.read_exact(&mut taken).expect("the server answers");
        taken
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        let bytes = self.0.read_line(&mut line).expect("the server answers");
        assert!(bytes > 0, "the server closed the connection without an answer");
        line.trim_end().to_owned()
    }

    /// Waits until the server hangs up, whatever it says before.
    fn read_to_end(mut self) {
        if let Err(error) = self.0.read_to_end(&mut Vec::new()) {
            assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
        }
    }
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// It is an error of this code that says what the bound is.
    #[track_caller]
    fn tells(&self, status: u16, code: i64, max: u64) {
        let json = self.json();
        let (found, data) = (&json["error"]["code"], &json["error"]["data"]);
        assert_eq!((self.status, found), (status, &json!(code)), "{json}");
        assert_eq!(data, &json!(format!("Exceeded max limit of {max}")), "{json}");
    }
}

/// A batch of the same call.
fn batch(count: usize, call: &str) -> String {
    format!("[{}]", vec![call; count].join(","))
}

fn chain_id() -> String {
    request("eth_chainId", &json!([]))
}

fn block() -> String {
    request("eth_getBlockByNumber", &json!(["0x1", true]))
}

/// A message that runs this code.
fn run(code: &[u8]) -> String {
    request("eth_call", &json!([{ "data": Bytes::copy_from_slice(code) }]))
}

#[test]
fn who_comes_to_a_bound_is_told_what_it_is() {
    let wire = wire();
    let limited = Limited::of_servers(
        &wire,
        PublicLimits {
            body_bytes_max: 10_000,
            response_bytes_max: 1_000,
            batch_max: 5,
            batch_bytes_max: 200,
            ..PUBLIC_LIMITS
        },
    );
    let padded = |bytes: usize| format!("{}{}", chain_id(), " ".repeat(bytes - chain_id().len()));
    let mut caller = limited.connect();
    for answer in [caller.ask(&[], &padded(10_000)), caller.ask_in_pieces(&padded(10_000))] {
        assert_eq!(answer.json()["result"], json!(quantity(CHAIN_ID)));
    }
    caller.ask(&[], &batch(6, &chain_id())).tells(200, -32_010, 5);
    caller.ask(&[], &batch(5, &chain_id())).tells(200, -32_011, 200);
    caller.ask(&[], &block()).tells(200, -32_008, 1_000);
    // By what it says of itself, and by what comes.
    caller.write(head("POST", &[], 10_001).as_bytes());
    caller.read().tells(413, -32_007, 10_000);
    limited.connect().ask_in_pieces(&padded(10_001)).tells(413, -32_007, 10_000);
    limited.assert_answers();
}

#[test]
fn as_many_are_served_at_a_time_as_may_be_and_others_are_told() {
    let wire = wire();
    let limited = Limited::of_servers(&wire, PublicLimits { connections_max: 1, ..PUBLIC_LIMITS });
    let mut socket = limited.endpoint().connect();
    assert_eq!(socket.upgrade(&[]), 101);
    let answer = limited.connect().ask(&[], &chain_id());
    let told = String::from_utf8_lossy(&answer.body);
    assert_eq!(answer.status, 429, "{answer:?}");
    assert!(told.starts_with("1 requests and WebSockets at a time"), "{told}");
    let found = socket.exchange(&chain_id());
    assert!(found.contains("result"), "{found}");
}

#[test]
fn terms_of_filters_that_nobody_asks_for_are_to_be_had_again() {
    let wire = wire();
    let filter = json!([{ "address": Address::repeat_byte(0xb0) }]);
    for (filter_idle_max, is_free) in [(HOUR, false), (Duration::ZERO, true)] {
        let of_calls = EthLimits { terms_max: 1, filter_idle_max, ..EthLimits::default() };
        let limited = Limited::new(&wire, PUBLIC_LIMITS, of_calls);
        let open = || limited.endpoint().call("eth_newFilter", &filter);
        assert!(open().is_ok(), "there is one");
        let refused = open().err().map(|error| (error.code, error.message));
        assert_eq!(refused.is_none(), is_free, "{refused:?}");
        if let Some((code, message)) = refused {
            assert!(code == -32_000 && message.contains("1 addresses and topics"), "{message}");
        }
    }
}

#[test]
fn a_batch_of_ten_thousand_calls_is_answered_in_order_where_that_many_are_allowed() {
    let wire = wire();
    const MANY: usize = 10_000;
    let limited = Limited::of_servers(
        &wire,
        PublicLimits { batch_max: MANY as u32, batch_time_max: HOUR, ..PUBLIC_LIMITS },
    );
    let call = |id: usize| json!({ "jsonrpc": "2.0", "id": id, "method": "eth_chainId" });
    let calls = json!((0..MANY).map(call).collect::<Vec<_>>()).to_string();
    let answers = limited.connect().ask(&[], &calls).json();
    let answers = answers.as_array().expect("a list");
    let are_in_order = (0..).zip(answers).all(|(id, answer)| answer["id"] == json!(id));
    assert!(answers.len() == MANY && are_in_order, "{} answers", answers.len());
    // By default they are too many.
    let limited = Limited::of_servers(&wire, PUBLIC_LIMITS);
    limited.connect().ask(&[], &calls).tells(200, -32_010, 1_000);
}

#[test]
fn long_answers_are_compressed_for_who_accepts_it() {
    let wire = wire();
    let limited = Limited::of_servers(&wire, PUBLIC_LIMITS);
    let (long, mut caller) = (batch(10, &block()), limited.connect());
    let plain = caller.ask(&[], &long);
    assert_eq!((plain.status, plain.header("content-encoding")), (200, None));
    let compressed = caller.ask(&[GZIP], &long);
    assert_eq!(compressed.header("content-encoding"), Some("gzip"), "{compressed:?}");
    assert_eq!(compressed.header("vary"), Some("accept-encoding"));
    assert!(compressed.body.len() * 3 < plain.body.len(), "{}", compressed.body.len());
    let mut body = Vec::new();
    GzDecoder::new(&compressed.body[..]).read_to_end(&mut body).expect("gzip");
    assert!(body == plain.body, "{}", String::from_utf8_lossy(&body));

    let short = caller.ask(&[GZIP], &chain_id());
    assert_eq!(short.header("content-encoding"), None, "{short:?}");
    assert_eq!(short.json()["result"], json!(quantity(CHAIN_ID)));
    let other = caller.ask(&[("accept-encoding", "br, zstd, gzip;q=0")], &long);
    assert!(other.body == plain.body, "{other:?}");

    let off = Limited::of_servers(&wire, PublicLimits { compresses: false, ..PUBLIC_LIMITS });
    let answer = off.connect().ask(&[GZIP], &long);
    assert_eq!((answer.header("content-encoding"), answer.header("vary")), (None, None));
    // The consensus client is not served so: its answers have their length before them.
    let bearer = bearer();
    let headers = [("authorization", bearer.as_str()), GZIP];
    let response = wire.engine.connect().post(&headers, &long);
    assert_eq!(response.body.as_bytes(), &plain.body[..]);
}

#[test]
fn compressed_answers_are_paid_for_and_do_not_add_up() {
    let wire = wire();
    let owed_max = 200_000;
    let limited = Limited::of_servers(
        &wire,
        PublicLimits { all_unsent_bytes_max: owed_max, ..PUBLIC_LIMITS },
    );
    let (long, mut caller) = (batch(10, &block()), limited.connect());
    let bytes = caller.ask(&[], &long).body.len() as u64;
    // Together they are several times as long as may be unsent.
    for nth in 0..4 * owed_max / bytes {
        let answer = caller.ask(&[GZIP], &long);
        assert_eq!(answer.header("content-encoding"), Some("gzip"), "{nth}: {answer:?}");
    }
    limited.assert_answers();
}

#[test]
fn a_request_with_an_encoding_is_refused_at_all_ports() {
    let wire = wire();
    let limited = Limited::of_servers(&wire, PUBLIC_LIMITS);
    let bearer = bearer();
    let encoded = [("content-encoding", "gzip")];
    let answer = limited.connect().ask(&encoded, "\u{1f}a bomb");
    assert_eq!((answer.status, answer.header("accept-encoding")), (415, Some("identity")));
    let signed = [("authorization", bearer.as_str()), encoded[0]];
    assert_eq!(wire.engine.connect().post(&signed, &chain_id()).status, 415);
    // Whoever may not call is not told so much.
    assert_eq!(wire.engine.connect().post(&encoded, &chain_id()).status, 401);
    let plain = [("content-encoding", "identity")];
    assert_eq!(limited.connect().ask(&plain, &chain_id()).status, 200);
}

#[test]
fn what_is_no_request_is_told_so_and_the_connection_goes_on() {
    let wire = wire();
    let limited = Limited::of_servers(&wire, PUBLIC_LIMITS);
    let deep = format!("{}{}", "[".repeat(50_000), "]".repeat(50_000));
    let with = |params: &str| {
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"eth_getBalance","params":{params}}}"#)
    };
    let mut socket = limited.endpoint().connect();
    assert_eq!(socket.upgrade(&[]), 101);
    for (body, code) in [
        ("no JSON".to_owned(), -32_700),
        (String::new(), -32_700),
        (format!("\u{feff}{}", chain_id()), -32_700),
        ("{ no JSON".to_owned(), -32_700),
        ("7".to_owned(), -32_600),
        ("null".to_owned(), -32_600),
        ("{}".to_owned(), -32_600),
        (r#"{"id":1}"#.to_owned(), -32_600),
        ("[]".to_owned(), -32_600),
        ("[1]".to_owned(), -32_600),
        (with("{}"), -32_602),
        (with(&deep), -32_602),
        (with(&format!(r#"["0x{}"]"#, "f".repeat(1_000_000))), -32_602),
        (with("[\"\\ud800\"]"), -32_602),
        (with("[1,2,3,4,5,6,7,8]"), -32_602),
        (request("no_such_method", &json!([])), -32_601),
    ] {
        let mut caller = limited.connect();
        let answer = caller.ask(&[], &body);
        let json = answer.json();
        let error = if json.is_array() { &json[0]["error"] } else { &json["error"] };
        let told: String = body.chars().take(80).collect();
        assert_eq!((answer.status, &error["code"]), (200, &json!(code)), "{told}: {json}");
        if body.len() < 60_000 {
            socket.say(&body);
            let heard: Value = serde_json::from_str(&socket.hear()).expect("JSON");
            assert_eq!(heard, json, "{told}");
        }
        assert_eq!(caller.ask(&[], &chain_id()).json()["result"], json!(quantity(CHAIN_ID)));
    }
}

#[test]
fn json_may_go_by_each_of_its_names_at_all_ports() {
    let wire = wire();
    let limited = Limited::of_servers(&wire, PUBLIC_LIMITS);
    let bearer = bearer();
    for (name, status) in [
        ("application/json", 200),
        ("application/json; charset=UTF-8; profile=x", 200),
        ("application/json-rpc", 200),
        ("Application/JSONRequest;charset=utf-8", 200),
        ("application/jsonp", 415),
        ("text/plain; application/json", 415),
        ("text/plain", 415),
        ("", 415),
    ] {
        let named = [("content-type", name)];
        assert_eq!(limited.connect().ask(&named, &chain_id()).status, status, "{name:?}");
        let signed = [("authorization", bearer.as_str()), named[0]];
        assert_eq!(wire.engine.connect().post(&signed, &chain_id()).status, status, "{name:?}");
    }
}

#[test]
fn what_has_an_id_is_no_notification_and_a_notification_is_not_answered() {
    let wire = wire();
    let limited = Limited::of_servers(&wire, PUBLIC_LIMITS);
    let with =
        |id: &str| format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"eth_chainId","params":[]}}"#);
    let said = r#"{"jsonrpc":"2.0","method":"eth_chainId","params":[]}"#;
    let error = json!({ "code": -32_600, "message": "Invalid request" });
    let refused = json!({ "jsonrpc": "2.0", "id": null, "error": error });
    let answered = json!({ "jsonrpc": "2.0", "id": 1, "result": quantity(CHAIN_ID) });
    let (mut caller, mut socket) = (limited.connect(), limited.endpoint().connect());
    assert_eq!(socket.upgrade(&[]), 101);
    let mut over_both = |body: &str, wanted: &Value| {
        let answer = caller.ask(&[], body);
        assert_eq!((answer.status, &answer.json()), (200, wanted), "{body}");
        socket.say(body);
        let heard: Value = serde_json::from_str(&socket.hear()).expect("JSON");
        assert_eq!(&heard, wanted, "{body}");
    };
    for id in ["-1", "1.5", "true", "{}", "[1]", "99999999999999999999999"] {
        over_both(&with(id), &refused);
        over_both(&format!("[{}]", with(id)), &json!([refused]));
        let batch = format!("[{},{said},{}]", with("1"), with(id));
        over_both(&batch, &json!([answered, refused]));
    }
    over_both(&with("1"), &answered);
    over_both(&format!("[{said},{},{said}]", with("1")), &json!([answered]));
    for silent in [said.to_owned(), format!("[{said},{said}]")] {
        let answer = caller.ask(&[], &silent);
        assert_eq!((answer.status, answer.body.len()), (200, 0), "{silent}: {answer:?}");
        // The next answer is that to the call.
        socket.say(&silent);
        let heard: Value = serde_json::from_str(&socket.exchange(&with("1"))).expect("JSON");
        assert_eq!(heard, answered, "{silent}");
    }
    // In pieces, and at the port of the Engine API, it is the same.
    assert_eq!(caller.ask_in_pieces(&with("-1")).json(), refused);
    let bearer = bearer();
    let response = wire.engine.connect().post(&[("authorization", bearer.as_str())], &with("-1"));
    assert_eq!(serde_json::from_str::<Value>(&response.body).expect("JSON"), refused);
}

#[test]
fn callers_that_say_no_more_are_hung_up_on() {
    let wire = wire();
    let limited = Limited::of_servers(&wire, PublicLimits { idle_max: IDLE, ..PUBLIC_LIMITS });
    let whole = head("POST", &[], 100);
    let body = format!("{whole}{{\"jsonrpc\"");
    let begun = ["", "POST / HT", &whole[..whole.len() - 1], body.as_str()];
    // All of them at the same time, so that they are waited for once.
    let callers = begun.map(|bytes| {
        let mut caller = limited.connect();
        caller.write(bytes.as_bytes());
        caller
    });
    limited.assert_answers();
    callers.into_iter().for_each(Caller::read_to_end);
    limited.assert_answers();
}

#[test]
fn callers_that_drip_give_up_their_places() {
    let wire = wire();
    let limits = PublicLimits { request_time_max: IDLE, sockets_max: 6, ..PUBLIC_LIMITS };
    let limited = Limited::of_servers(&wire, limits);
    let body = format!("{}{{", head("POST", &[], 1_000_000));
    let pieces = "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
                  transfer-encoding: chunked\r\n\r\nfffff\r\n";
    let pieces_of_json = format!("{pieces}{{");
    let begun = [
        "POST / HTTP/1.1\r\nx: ",
        body.as_str(),
        // Nothing but space, and more.
        pieces,
        pieces_of_json.as_str(),
        "GET / HTTP/1.1\r\nconnection: upgrade\r\nupgrade: websocket\r\nx: ",
        // This one is answered once, and keeps its connection.
        "POST / HTTP/1.1\r\nx: ",
    ];
    let mut dripping = begun.map(|begun| (limited.connect(), begun));
    let (kept, _) = &mut dripping[5];
    assert_eq!(kept.ask(&[], &chain_id()).status, 200);
    let asked = Instant::now();
    std::thread::scope(|scope| {
        for (mut caller, begun) in dripping {
            caller.write(begun.as_bytes());
            let mut stream = caller.0.into_inner();
            scope.spawn(move || {
                let drips = HANG.as_millis() / DRIP.as_millis();
                let _ = (0..drips).try_for_each(|_| {
                    std::thread::sleep(DRIP);
                    stream.write_all(b" ")
                });
            });
        }
        // As many as there are places: all of them are given up.
        let mut callers = [(); 6].map(|()| limited.connect());
        for caller in &mut callers {
            assert_eq!(caller.ask(&[], &chain_id()).json()["result"], json!(quantity(CHAIN_ID)));
        }
    });
    assert!(asked.elapsed() < SOON, "{:?}", asked.elapsed());
}

#[test]
fn who_does_not_end_a_request_is_told_and_not_that_the_node_is_at_fault() {
    let wire = wire();
    let limits = PublicLimits { request_time_max: IDLE, ..PUBLIC_LIMITS };
    let limited = Limited::of_servers(&wire, limits);
    let mut late = limited.connect();
    late.write(format!("{}{{", head("POST", &[], 100)).as_bytes());
    let answer = late.read();
    let told = String::from_utf8_lossy(&answer.body);
    assert_eq!(answer.status, 408, "{answer:?}");
    assert!(told.contains("not whole within 1 s"), "{told}");
    late.read_to_end();
    // Between requests nobody is late, and a WebSocket has no requests.
    let mut kept = limited.connect();
    let mut socket = limited.endpoint().connect();
    assert_eq!(socket.upgrade(&[]), 101);
    for waited in [2 * IDLE, Duration::ZERO] {
        assert_eq!(kept.ask(&[], &chain_id()).status, 200);
        assert!(socket.exchange(&chain_id()).contains("result"));
        std::thread::sleep(waited);
    }
}

#[test]
fn a_caller_that_does_not_read_gives_up_its_place() {
    let wire = wire();
    let limited = Limited::of_servers(
        &wire,
        PublicLimits { idle_max: IDLE, sockets_max: 1, ..PUBLIC_LIMITS },
    );
    // PUSH3 3,000,000, PUSH0, REVERT: so many zeros, in hex twice. Together they are more than
    // sockets hold.
    let reverts = run(&[0x62, 0x2d, 0xc6, 0xc0, 0x5f, 0xfd]);
    let mut slow = limited.connect();
    let body = batch(4, &reverts);
    slow.write(format!("{}{body}", head("POST", &[], body.len())).as_bytes());
    // It has the only place, until it has not read for too long.
    limited.assert_answers();
    drop(slow);
}

#[test]
fn a_flood_of_connections_is_answered_some_at_a_time() {
    let wire = wire();
    let limited = Limited::of_servers(&wire, PublicLimits { sockets_max: 2, ..PUBLIC_LIMITS });
    let endpoint = limited.endpoint();
    std::thread::scope(|scope| {
        for _ in 0..40 {
            scope.spawn(move || {
                for _ in 0..5 {
                    let found = endpoint.call("eth_blockNumber", &json!([]));
                    assert_eq!(found, Ok(json!("0x3")));
                }
            });
        }
    });
}

#[test]
fn f9_a_call_whose_caller_has_gone_makes_room_for_the_next() {
    let wire = wire();
    let of_calls = EthLimits {
        call_gas_max: 1_000_000_000_000_000,
        call_time_max: HOUR,
        executing_calls_max: 1,
        ..EthLimits::default()
    };
    let limited = Limited::new(&wire, PUBLIC_LIMITS, of_calls);
    // JUMPDEST, GAS, BALANCE, POP, PUSH0, JUMP: looks at one account after the other, for years.
    let endless = run(&[0x5b, 0x5a, 0x31, 0x50, 0x5f, 0x56]);
    let ends = request("eth_call", &json!([{ "to": Address::repeat_byte(0xb0) }]));
    for _ in 0..4 {
        let mut gone = limited.connect();
        gone.write(format!("{}{endless}", head("POST", &[], endless.len())).as_bytes());
        let mut next = limited.connect();
        next.write(format!("{}{ends}", head("POST", &[], ends.len())).as_bytes());
        drop(gone);
        assert_eq!(next.read().json()["result"], "0x");
    }
}

#[test]
fn f3_whatever_a_revert_says_is_told_and_harms_nothing() {
    let wire = wire();
    let limited = Limited::of_servers(&wire, PUBLIC_LIMITS);
    let error = |words: &[[u8; 32]], text: &[u8]| {
        let mut data = vec![0x08, 0xc3, 0x79, 0xa0];
        data.extend(words.concat());
        data.extend(text);
        data
    };
    let word = |last: u8| {
        let mut word = [0; 32];
        word[31] = last;
        word
    };
    let panicked = |code: [u8; 32]| [&[0x4e, 0x48, 0x7b, 0x71][..], &code].concat();
    for data in [
        vec![],
        vec![0x08],
        vec![0x08, 0xc3, 0x79, 0xa0],
        error(&[word(32), word(4)], b"good"),
        error(&[word(32), word(3)], &[0xff, 0xfe, 0x00]),
        error(&[word(32), [0xff; 32]], b"too long"),
        error(&[[0xff; 32], word(4)], b"nowhere"),
        error(&[word(32)], b""),
        panicked(word(0x11)),
        panicked([0xff; 32]),
        vec![0xab; 200],
    ] {
        // PUSH1 size, PUSH1 offset, PUSH0, CODECOPY, PUSH1 size, PUSH0, REVERT, and the data.
        let size = u8::try_from(data.len()).expect("short data");
        let code = [0x60, size, 0x60, 9, 0x5f, 0x39, 0x60, size, 0x5f, 0xfd];
        let mut code = code.to_vec();
        code[3] = code.len() as u8;
        code.extend(&data);
        let answer = limited.connect().ask(&[], &run(&code)).json();
        assert_eq!(answer["error"]["code"], 3, "{answer}");
        assert_eq!(answer["error"]["data"], json!(Bytes::from(data)), "{answer}");
    }
    let next = wire.chain.params(4);
    assert_eq!(wire.send(&next), valid(wire.chain.hash(4)));
}

#[test]
fn f12_answers_are_bounded_by_their_size_and_the_error_names_a_range_that_fits() {
    let (chain, _) = WireChain::of_market(0xf12, &MarketSize::new(100, 60), 4);
    let node = Node::in_memory(&chain.chain, &Setup::new(1_000));
    let wire = Wire::over(chain, node);
    wire.follow(1..=4);
    let usual = EthLimits::default();
    let ask = |endpoint: Endpoint, from: u64, to: u64| {
        let filter = json!([{ "fromBlock": quantity(from), "toBlock": quantity(to) }]);
        endpoint.call("eth_getLogs", &filter)
    };
    let all = ask(wire.public, 1, 4).expect("logs").as_array().map(Vec::len).expect("a list");
    let of_first = ask(wire.public, 1, 1).expect("logs").as_array().map(Vec::len).expect("a list");
    assert!(of_first > 1 && all > of_first, "{of_first} of {all}");
    for (of_calls, told, range) in [
        (EthLimits { logs_max: of_first, ..usual }, format!("max results {of_first},"), "1-1"),
        (EthLimits { log_bytes_max: 1, ..usual }, "max result size 1 bytes".to_owned(), "1-1"),
        (EthLimits { log_blocks_max: 3, ..usual }, "max block range 3".to_owned(), ""),
    ] {
        let limited = Limited::new(&wire, PUBLIC_LIMITS, of_calls);
        let error = ask(limited.endpoint(), 1, 4).expect_err("too much");
        assert_eq!(error.code, -32_602, "{error:?}");
        assert!(error.message.contains(&told) && error.message.ends_with(range), "{error:?}");
        assert!(ask(limited.endpoint(), 1, 1).is_ok(), "the range that is named fits");
    }
}

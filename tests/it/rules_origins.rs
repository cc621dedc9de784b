//! Which sites' pages may call a public server, as their browsers meet it: preflights, requests
//! and WebSockets with an origin.

use crate::{
    rules_limits::wire,
    rules_support::{Endpoint, Wire, head, quantity, request},
};
use fugue_rpc::{
    EthLimits, Listen, PUBLIC_LIMITS, PublicServerOptions, RunningServer, Transport, public_module,
    start_public_server,
};
use fugue_workload::CHAIN_ID;
use serde_json::json;
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::Duration,
};

/// Longest that an answer may take; what is answered at all is answered in a fraction of it.
const HANG: Duration = Duration::from_secs(60);
/// Its pages may read answers over HTTP.
const READS: &str = "https://reads.example";
/// Its pages may open a WebSocket.
const OPENS: &str = "https://opens.example";
const FOREIGN: &str = "https://foreign.example";
/// Of a page that is developed on this machine.
const LOCAL: &str = "http://localhost:5173";
const ALLOWED_ORIGIN: &str = "access-control-allow-origin";

/// A server of its own beside those of a node, for HTTP and WebSocket.
fn start(wire: &Wire, origins: &[&str], ws_origins: &[&str]) -> RunningServer {
    let names = |names: &[&str]| names.iter().copied().map(str::to_owned).collect::<Vec<_>>();
    let limits = EthLimits::default();
    let methods = public_module(wire.node.engine().clone(), limits, &names(&["eth"]));
    let options = PublicServerOptions {
        listen: Listen { address: (Ipv4Addr::LOCALHOST, 0).into(), flag: "--test.port" },
        transport: Transport::Both,
        vhosts: names(&["localhost"]),
        origins: names(origins),
        ws_origins: names(ws_origins),
        limits: PUBLIC_LIMITS,
    };
    let started = start_public_server(options, methods.expect("methods"));
    wire.block_on(started).expect("a port")
}

/// The status of an answer, its headers by their names in lower case, and its body.
struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// Asks over a connection that ends with the answer.
fn ask(address: SocketAddr, method: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(HANG)).expect("a bound on reading");
    let headers = [&[("connection", "close")][..], headers].concat();
    let head = head(method, &headers, body.len());
    stream.write_all(format!("{head}{body}").as_bytes()).expect("the server reads");
    let mut reader = BufReader::new(stream);
    let mut line = || {
        let mut line = String::new();
        reader.read_line(&mut line).expect("the server answers");
        line.trim_end().to_owned()
    };
    let first = line();
    let status = first.split(' ').nth(1).and_then(|word| word.parse().ok());
    let status = status.unwrap_or_else(|| panic!("no status in {first:?}"));
    let mut headers = BTreeMap::new();
    loop {
        let line = line();
        let Some((name, value)) = line.split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let mut body = String::new();
    reader.read_to_string(&mut body).expect("the server answers");
    Answer { status, headers, body }
}

/// What a browser asks before a page's request that has a header of its own.
fn preflight(address: SocketAddr, origin: &str) -> Answer {
    let headers = [
        ("origin", origin),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "content-type,x-own"),
    ];
    ask(address, "OPTIONS", &headers, "")
}

/// A call of a page of this origin.
fn post(address: SocketAddr, origin: &str) -> Answer {
    ask(address, "POST", &[("origin", origin)], &request("eth_chainId", &json!([])))
}

/// The status of the answer to a page of this origin that asks for a WebSocket.
fn upgrade(address: SocketAddr, origin: &str) -> u16 {
    Endpoint::of_public(address).connect().upgrade(&[("origin", origin)])
}

#[test]
fn a_browser_shows_answers_to_pages_of_sites_that_are_named_for_http() {
    let wire = wire();
    let server = start(&wire, &[READS], &[OPENS]);
    let address = server.local_addr();
    let answer = preflight(address, READS);
    assert_eq!((answer.status, answer.header(ALLOWED_ORIGIN)), (200, Some(READS)));
    assert_eq!(answer.header("access-control-allow-headers"), Some("content-type,x-own"));
    assert_eq!(answer.header("access-control-max-age"), Some("600"));
    let methods = answer.header("access-control-allow-methods").unwrap_or_default();
    assert!(methods.split(',').any(|method| method == "POST"), "{methods}");
    assert_eq!(post(address, READS).header(ALLOWED_ORIGIN), Some(READS));
    // One that may open a WebSocket is as foreign as another.
    for origin in [OPENS, FOREIGN, LOCAL] {
        assert_eq!(preflight(address, origin).header(ALLOWED_ORIGIN), None, "{origin}");
        // The browser keeps the answer from the page.
        let answer = post(address, origin);
        assert_eq!((answer.status, answer.header(ALLOWED_ORIGIN)), (200, None), "{origin}");
        assert!(answer.body.contains(&quantity(CHAIN_ID)), "{}", answer.body);
    }
    wire.block_on(server.stop());
}

#[test]
fn pages_of_sites_that_are_named_for_websockets_open_one() {
    let wire = wire();
    let server = start(&wire, &[READS], &[OPENS]);
    let address = server.local_addr();
    assert_eq!(upgrade(address, OPENS), 101);
    for origin in [READS, FOREIGN, LOCAL, "null"] {
        assert_eq!(upgrade(address, origin), 403, "{origin}");
    }
    // What is no browser names no origin.
    assert_eq!(Endpoint::of_public(address).connect().upgrade(&[]), 101);
    wire.block_on(server.stop());
}

#[test]
fn the_letters_of_a_site_may_be_written_large() {
    let (wire, reads, opens) = (wire(), READS.to_uppercase(), OPENS.to_uppercase());
    let server = start(&wire, &[reads.as_str()], &[opens.as_str()]);
    let address = server.local_addr();
    assert_eq!(post(address, READS).header(ALLOWED_ORIGIN), Some(READS));
    assert_eq!(upgrade(address, OPENS), 101);
    wire.block_on(server.stop());
}

#[test]
fn where_no_site_is_named_pages_of_this_machine_open_a_websocket() {
    let wire = wire();
    let server = start(&wire, &[], &[]);
    let address = server.local_addr();
    for origin in [LOCAL, "http://localhost", "http://127.0.0.1:8080"] {
        assert_eq!(upgrade(address, origin), 101, "{origin}");
    }
    for origin in [FOREIGN, "null", "http://localhost.foreign.example"] {
        assert_eq!(upgrade(address, origin), 403, "{origin}");
    }
    // Over HTTP none may read without being named.
    assert_eq!(post(address, LOCAL).header(ALLOWED_ORIGIN), None);
    wire.block_on(server.stop());
}

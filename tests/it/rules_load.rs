//! The node under load, on loopback: many connections send valid, invalid, repeated, early and
//! oversized requests while the payloads of a chain come in their order.
//!
//! Nothing here is asserted of time; how long `engine_newPayload` took is printed.

use crate::{
    engine_support::{Node, Setup, changed},
    import_support::Recipe,
    rules_support::{
        Connection, Endpoint, UNKNOWN, Wire, WireChain, assert_invalid, bearer, choice_of, head,
        open, quantity, request, valid,
    },
};
use fugue_chainspec::Fork;
use fugue_rpc::ENGINE_BODY_BYTES_MAX;
use fugue_types::keccak256;
use serde_json::{Value, json};
use std::{
    ops::RangeInclusive,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// Connections that send whatever.
const LOADERS: u64 = 16;
/// Kinds of requests.
const KINDS: u64 = 12;
/// Blocks until a batch is full.
const BATCH: usize = 8;
/// Blocks beside the chain, and above its head, that the node keeps.
const SIDE: usize = 32;
/// Blocks without a parent that the node keeps.
const ORPHANS: usize = 6;
/// How far above the head a block may be that is sent early.
const EARLY: u64 = 10;

/// Ends the load when it is dropped, also by a panic: the loaders are waited for.
struct Ending<'l>(&'l AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A connection that sends one kind of request after the other.
struct Loader<'l> {
    engine: Endpoint,
    public: Endpoint,
    chain: &'l WireChain,
    /// Number of the head.
    head: &'l AtomicU64,
    seed: u64,
}

impl Loader<'_> {
    /// Sends until it is told to end. Gives how many requests were answered.
    fn run(&self, is_over: &AtomicBool) -> u64 {
        let mut connection = self.engine.connect();
        let mut count = 0;
        // Once in any case, however late this thread begins.
        loop {
            self.send(&mut connection, count);
            count += 1;
            if is_over.load(Ordering::Relaxed) {
                return count;
            }
        }
    }

    /// Sends a request, and looks at its answer.
    fn send(&self, connection: &mut Connection, nth: u64) {
        let Self { engine, public, chain, head, seed } = self;
        let (head, method) = (head.load(Ordering::Relaxed), chain.new_payload());
        let mut call = |method: &str, params: &Value| engine.call_over(connection, method, params);
        match (nth + seed) % KINDS {
            0 => {
                // A block that is there, and is not executed again.
                let number = 1 + nth % head;
                let found = call(&method, &chain.params(number));
                assert_eq!(found, Ok(valid(chain.hash(number))));
            }
            1 => {
                // A block that is executed, and is another one each time.
                let root = keccak256([seed.to_be_bytes(), nth.to_be_bytes()].concat());
                let bad = changed(chain.chain.block(head), |header| header.state_root = root);
                let found = call(&method, &chain.params_of(&bad)).expect("a status");
                assert_invalid(&found, Some(chain.hash(head - 1)), "another state root");
            }
            2 => {
                // A block that comes too early: perhaps its parent has come meanwhile.
                let number = (head + 2 + nth % (EARLY - 1)).min(chain.last());
                let found = call(&method, &chain.params(number)).expect("a status");
                let status = found["status"].as_str().unwrap_or_default();
                assert!(["SYNCING", "ACCEPTED", "VALID"].contains(&status), "{found}");
            }
            3 => {
                // A block whose parent never comes.
                let parent_hash = keccak256([nth.to_be_bytes(), seed.to_be_bytes()].concat());
                let lost =
                    changed(chain.chain.block(head), |header| header.parent_hash = parent_hash);
                assert_eq!(call(&method, &chain.params_of(&lost)), Ok(open("SYNCING")));
            }
            4 => {
                let mut params = chain.params(head);
                params[0]["blockHash"] = json!(UNKNOWN);
                assert_invalid(&call(&method, &params).expect("a status"), None, "another hash");
            }
            5 => {
                let error = call(&method, &json!([{}])).expect_err("an error");
                assert_eq!(error.code, -32_602, "{error:?}");
            }
            6 => {
                let params = json!([choice_of(UNKNOWN), null]);
                let found = call("engine_forkchoiceUpdatedV3", &params).expect("a result");
                assert_eq!(found["payloadStatus"], open("SYNCING"));
            }
            7 => {
                let params = json!(["0x1", "0x20"]);
                let found = call("engine_getPayloadBodiesByRangeV1", &params).expect("bodies");
                assert!(found.as_array().is_some_and(|all| !all.is_empty()), "{found}");
            }
            8 => {
                let params = json!([quantity(head), true]);
                let found = public.call("eth_getBlockByNumber", &params).expect("a block");
                assert_eq!(found["hash"], json!(chain.hash(head)));
                let call = json!({ "to": chain.deployer.address() });
                match public.call("eth_call", &json!([call, "latest"])) {
                    Ok(found) => assert_eq!(found, "0x"),
                    // Calls that run code have little room, and may be told to come again.
                    Err(error) => assert_eq!(error.code, -32_000, "{error:?}"),
                }
            }
            9 => self.send_too_much(),
            10 => {
                let response = engine.post_over(&mut engine.connect(), "{ no JSON");
                assert!(response.body.contains("-32700"), "{response:?}");
                let refused = engine.connect().post(&[], &request(&method, &json!([])));
                assert_eq!(refused.status, 401);
            }
            _ => {
                let calls = vec![request("eth_chainId", &json!([])); 50].join(",");
                let response = engine.post_over(connection, &format!("[{calls}]"));
                assert_eq!(response.status, 200, "{response:?}");
            }
        }
    }

    /// A request of which the head alone is sent.
    fn send_too_much(&self) {
        let bearer = bearer();
        let bytes = ENGINE_BODY_BYTES_MAX as usize + 1;
        let mut connection = self.engine.connect();
        connection.write(head("POST", &[("authorization", bearer.as_str())], bytes).as_bytes());
        assert_eq!(connection.read().status, 413);
    }
}

/// The blocks come in their order, and each becomes the head. Gives how long each payload took.
fn follow(wire: &Wire, numbers: RangeInclusive<u64>, head: &AtomicU64) -> Vec<Duration> {
    let Wire { chain, engine, node, .. } = wire;
    let mut connection = engine.connect();
    let mut times = Vec::new();
    for number in numbers {
        let hash = chain.hash(number);
        let body = request(&chain.new_payload(), &chain.params(number));
        let started = Instant::now();
        let response = engine.post_over(&mut connection, &body);
        times.push(started.elapsed());
        assert_eq!(response.result(), Ok(valid(hash)), "block {number}");
        let params = json!([choice_of(hash), null]);
        let updated = engine.call_over(&mut connection, "engine_forkchoiceUpdatedV3", &params);
        let expected = json!({ "payloadStatus": valid(hash), "payloadId": null });
        assert_eq!(updated, Ok(expected), "block {number}");
        head.store(number, Ordering::Relaxed);
        let status = node.status();
        assert!(status.orphans <= ORPHANS, "{status:?}");
        assert!(status.pending_blocks <= 2 * BATCH, "{status:?}");
        assert!(status.tree_blocks <= 2 * BATCH + SIDE, "{status:?}");
        assert_eq!(status.failed, None);
    }
    times
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

#[test]
fn payloads_are_answered_while_many_connections_send_all_kinds_of_requests() {
    let chain = WireChain::of_recipe(&Recipe::new(0x10ad, Fork::Osaka, 120, 3));
    let mut setup = Setup::new(BATCH);
    setup.chain.side_blocks_max = SIDE;
    setup.engine.orphans_max = ORPHANS;
    // More than there are connections: nothing is refused for want of room.
    setup.engine.calls_max = 4 * LOADERS as usize;
    let node = Node::in_memory(&chain.chain, &setup);
    let wire = Wire::over(chain, node);
    let (last, head) = (wire.chain.last(), AtomicU64::new(0));
    let middle = last / 2;
    let idle = median(follow(&wire, 1..=middle, &head));

    let is_over = AtomicBool::new(false);
    let (loaded, answered) = std::thread::scope(|scope| {
        let ending = Ending(&is_over);
        let (engine, public, chain) = (wire.engine, wire.public, &wire.chain);
        let loaders = (0..LOADERS).map(|seed| {
            let (head, is_over) = (&head, &is_over);
            scope.spawn(move || Loader { engine, public, chain, head, seed }.run(is_over))
        });
        let loaders: Vec<_> = loaders.collect();
        let times = follow(&wire, middle + 1..=last, &head);
        drop(ending);
        let counts = loaders.into_iter().map(|loader| loader.join().expect("a loader"));
        (median(times), counts.collect::<Vec<u64>>())
    });

    let status = wire.node.status();
    let at = (status.head.number, status.head.hash);
    assert_eq!(at, (last, wire.chain.hash(last)), "{status:?}");
    assert_eq!(wire.tagged("latest"), Some(wire.chain.hash(last)));
    assert_eq!(status.imported, last, "each block was executed once");
    assert_eq!((status.parallel_differed, status.reorganisations), (0, 0), "{status:?}");
    assert!(status.orphans <= ORPHANS && status.invalid > 0, "{status:?}");
    assert!(answered.iter().all(|count| *count > 0), "{answered:?}");
    let (idle_us, loaded_us) = (idle.as_micros(), loaded.as_micros());
    eprintln!(
        "newPayload, median: {idle_us} µs idle, {loaded_us} µs beside {} requests of {LOADERS} \
         connections: {:.1} times as long",
        answered.iter().sum::<u64>(),
        loaded.as_secs_f64() / idle.as_secs_f64(),
    );
}

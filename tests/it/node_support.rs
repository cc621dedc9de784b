//! What the tests of `fugue node` share: the program without settings of others, a node that runs,
//! and a folder with a chain for it.

use crate::{
    import_support::{Place, text},
    rules_support::{Endpoint, SECRET, WireChain, choice_of, quantity, valid},
    support::{in_time, program},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read},
    ops::RangeInclusive,
    process::{Child, ChildStderr, Command, Stdio},
};

/// The program, without settings of whoever runs the tests.
pub(crate) fn fugue(arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("FUGUE_") {
            command.env_remove(name);
        }
    }
    command.args(arguments);
    command
}

/// A node that runs. It is killed when this is dropped.
pub(crate) struct Running {
    child: Child,
    stderr: BufReader<ChildStderr>,
    /// What it said last, by message.
    pub(crate) said: BTreeMap<String, Value>,
}

impl Running {
    /// Begins a node, and waits until it is ready. What it says of each call is left out: nobody
    /// reads it.
    pub(crate) fn start(flags: &[&str]) -> Self {
        let mut command = fugue(&["node"]);
        command.args(["--log.level", "info,fugue::engine=error,fugue::rpc=error"]).args(flags);
        Self::spawn(command)
    }

    /// Begins a node with this command, on a port that is free, and waits until it is ready.
    pub(crate) fn spawn(mut command: Command) -> Self {
        command.args(["--threads", "2", "--ipcdisable", "--authrpc.port", "0"]);
        command.args(["--log.format", "json"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let stderr = BufReader::new(child.stderr.take().expect("it is piped"));
        Self { child, stderr, said: BTreeMap::new() }.after("ready")
    }

    /// Waits until it says something.
    pub(crate) fn after(self, message: &'static str) -> Self {
        in_time(message, move || self.read_until(message))
    }

    fn read_until(mut self, message: &str) -> Self {
        loop {
            let mut line = String::new();
            let bytes = self.stderr.read_line(&mut line).expect("UTF-8");
            assert!(bytes > 0, "the node ended before it said {message:?}: {:?}", self.said);
            let value: Value = serde_json::from_str(&line)
                .unwrap_or_else(|error| panic!("{error}: {line} after {:?}", self.said));
            let said = value["message"].as_str().expect("a message").to_owned();
            let is_last = said == message;
            self.said.insert(said, value);
            if is_last {
                return self;
            }
        }
    }

    /// Where it listens, by the message that says so.
    pub(crate) fn address(&self, message: &str) -> &str {
        let said = self.said.get(message).and_then(|said| said["address"].as_str());
        said.unwrap_or_else(|| panic!("no {message}: {:?}", self.said))
    }

    /// The Engine API. The secret must be [`SECRET`].
    pub(crate) fn engine(&self) -> Endpoint {
        Endpoint::of_engine(self.address("Engine API").parse().expect("an address"))
    }

    /// What is for everyone, with `--http`.
    pub(crate) fn public(&self) -> Endpoint {
        Endpoint::of_public(self.address("HTTP").parse().expect("an address"))
    }

    /// The same over WebSocket, with `--ws`.
    pub(crate) fn websocket(&self) -> Endpoint {
        Endpoint::of_public(self.address("WebSocket").parse().expect("an address"))
    }

    /// Bytes of memory that it has, pages of the database's file included. Only Linux tells.
    pub(crate) fn resident_bytes(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let rest = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kib: u64 = rest.split_whitespace().next()?.parse().ok()?;
        Some(kib * 1_024)
    }

    /// Sends a signal, and waits for the end. Gives the exit code, and what was said.
    pub(crate) fn end(mut self, signal: &str) -> (Option<i32>, String) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &id]).status().expect("kill is there");
        assert!(sent.success(), "{signal} was not sent");
        let _leftover = Leftover(id);
        in_time("a node ends", move || {
            let mut rest = String::new();
            self.stderr.read_to_string(&mut rest).expect("UTF-8");
            (self.child.wait().expect("it has ended").code(), rest)
        })
    }

    /// Ends it as an operator does.
    pub(crate) fn stop(self) {
        let (code, rest) = self.end("-TERM");
        assert_eq!(code, Some(0), "{rest}");
        assert!(rest.contains("all of the chain is durable"), "{rest}");
        assert!(!rest.contains("panicked"), "{rest}");
    }

    /// Ends it as nobody should.
    pub(crate) fn kill(self) {
        let (code, rest) = self.end("-KILL");
        assert_eq!(code, None, "{rest}");
    }
}

/// A node of this process id, which may not outlive a test that fails.
struct Leftover(String);

impl Drop for Leftover {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // It may have ended.
            let _ = Command::new("kill").args(["-KILL", &self.0]).status();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A folder with a genesis file, a secret, and a data folder of that chain.
pub(crate) struct Site {
    pub(crate) place: Place,
    pub(crate) chain: WireChain,
}

impl Site {
    pub(crate) fn new(chain: WireChain) -> Self {
        let place = Place::new(&chain.chain);
        let digits: String = SECRET.iter().map(|byte| format!("{byte:02x}")).collect();
        place.write("jwt.hex", digits.as_bytes());
        Self { place, chain }
    }

    pub(crate) fn start(&self, more: &[&str]) -> Running {
        let [datadir, genesis, secret] =
            ["data", "genesis.json", "jwt.hex"].map(|name| self.place.path(name));
        let own = ["--datadir", text(&datadir), "--chain", text(&genesis)];
        let secret = ["--authrpc.jwtsecret", text(&secret)];
        Running::start(&[&own[..], &secret, more].concat())
    }

    /// The blocks come, and each becomes the head.
    pub(crate) fn follow(&self, engine: Endpoint, numbers: RangeInclusive<u64>) {
        let method = format!("engine_forkchoiceUpdatedV{}", self.chain.versions.forkchoice);
        let mut connection = engine.connect();
        for number in numbers {
            let (hash, params) = (self.chain.hash(number), self.chain.params(number));
            let status = engine.call_over(&mut connection, &self.chain.new_payload(), &params);
            assert_eq!(status, Ok(valid(hash)), "block {number}");
            let params = json!([choice_of(hash), null]);
            let updated = engine.call_over(&mut connection, &method, &params);
            let updated = updated.unwrap_or_else(|error| panic!("block {number}: {error:?}"));
            assert_eq!(updated["payloadStatus"], valid(hash), "block {number}");
        }
    }

    /// The head is the block with this number.
    #[track_caller]
    pub(crate) fn assert_head(&self, engine: Endpoint, number: u64) {
        let found = engine.call("eth_getBlockByNumber", &json!(["latest", false]));
        let found = found.unwrap_or_else(|error| panic!("{error:?}"));
        let (found, hash) = (found["number"].clone(), found["hash"].clone());
        let expected = (json!(quantity(number)), json!(self.chain.hash(number)));
        assert_eq!((found, hash), expected);
    }
}

//! A node in a process of its own: this program, as an operator starts it.
//!
//! What it says is read until it is ready, and then thrown away by a thread, since a pipe that is
//! full would stop it.

use crate::{UsageError, datadir::usage, node};
use fugue_executor::Mode;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::{
    io::{BufRead, BufReader, Lines},
    net::SocketAddr,
    path::Path,
    process::{Child, ChildStderr, Command, Stdio},
    thread::{Builder, JoinHandle},
};

/// What is said of each call is left out.
const LOG_LEVEL: &str = "info,fugue::engine=error,fugue::rpc=error";

/// How a node is started.
pub(super) struct NodeSettings<'s> {
    pub(super) datadir: &'s Path,
    pub(super) secret: &'s Path,
    pub(super) mode: Mode,
    pub(super) threads: usize,
}

/// A node that runs. It is killed when this is dropped.
pub(super) struct NodeProcess {
    child: Child,
    engine: SocketAddr,
    public: SocketAddr,
    /// Gives the last line that the node has said.
    listening: Option<JoinHandle<String>>,
}

/// Kills a process that nobody waits for.
struct Unready(Option<Child>);

impl Drop for Unready {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            end(child);
        }
    }
}

impl NodeProcess {
    /// Starts one on ports that are free, and waits until it is ready.
    pub(super) fn start(settings: &NodeSettings<'_>) -> Result<Self, UsageError> {
        let child = command(settings)?.spawn().map_err(usage)?;
        let mut unready = Unready(Some(child));
        let stderr = unready.0.as_mut().and_then(|child| child.stderr.take());
        let stderr = stderr.ok_or_else(|| usage("the node has no standard error"))?;
        let mut lines = BufReader::new(stderr).lines();
        let (engine, public) = addresses(&mut lines)?;
        let listening = Builder::new()
            .name("fugue-bench-node".to_owned())
            .spawn(move || lines.map_while(Result::ok).last().unwrap_or_default())
            .map_err(usage)?;
        let child = unready.0.take().ok_or_else(|| usage("the node is gone"))?;
        Ok(Self { child, engine, public, listening: Some(listening) })
    }

    /// The port of the Engine API.
    pub(super) const fn engine(&self) -> SocketAddr {
        self.engine
    }

    /// The port for everyone.
    pub(super) const fn public(&self) -> SocketAddr {
        self.public
    }

    /// Ends it as an operator does.
    ///
    /// # Errors
    /// If it does not end well.
    pub(super) fn stop(mut self) -> Result<(), UsageError> {
        kill_process(Pid::from_child(&self.child), Signal::TERM).map_err(usage)?;
        let status = self.child.wait().map_err(usage)?;
        let last = self.listening.take().and_then(|listening| listening.join().ok());
        if status.success() {
            return Ok(());
        }
        Err(UsageError(format!("the node ended with {status}: {}", last.unwrap_or_default())))
    }
}

impl Drop for NodeProcess {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// Kills a process that may have ended.
fn end(child: &mut Child) {
    // An error says that it has ended already.
    let _ = child.kill();
    let _ = child.wait();
}

fn command(settings: &NodeSettings<'_>) -> Result<Command, UsageError> {
    let NodeSettings { datadir, secret, mode, threads } = settings;
    let mut command = Command::new(std::env::current_exe().map_err(usage)?);
    // Its settings are these alone.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("FUGUE_") {
            command.env_remove(name);
        }
    }
    command.arg("node").arg("--datadir").arg(datadir);
    command.arg("--authrpc.jwtsecret").arg(secret);
    command.args(["--mode", &mode.to_string(), "--threads", &threads.to_string()]);
    command.args(["--authrpc.port", "0", "--http", "--http.port", "0", "--ipcdisable"]);
    command.args(["--http.api", &node::all_apis()]);
    command.args(["--log.format", "json", "--log.level", LOG_LEVEL]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    Ok(command)
}

/// Where the Engine API and the public methods are served, once the node is ready.
fn addresses(
    lines: &mut Lines<BufReader<ChildStderr>>,
) -> Result<(SocketAddr, SocketAddr), UsageError> {
    let (mut engine, mut public, mut last) = (None, None, String::new());
    for line in lines {
        let line = line.map_err(usage)?;
        let said: Value = serde_json::from_str(&line).unwrap_or_default();
        let address: Option<SocketAddr> =
            said["address"].as_str().and_then(|text| text.parse().ok());
        match said["message"].as_str() {
            Some("Engine API") => engine = address,
            Some("HTTP") => public = address,
            Some("ready") => {
                let both = engine.zip(public);
                return both.ok_or_else(|| usage("the node does not say where it listens"));
            }
            _ => {}
        }
        last = line;
    }
    Err(UsageError(format!("the node ended before it was ready: {last}")))
}

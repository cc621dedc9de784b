//! Those who ask, over connections that are kept: each asks again as soon as it is answered.

use super::requests::{Kind, Targets};
use crate::{
    UsageError,
    bench::{per_second, spread::Spread},
    client::{self, CallError, Params},
    datadir::usage,
    node::give_way,
};
use fugue_rpc::PUBLIC_LIMITS;
use jsonrpsee::core::client::ClientT;
use jsonrpsee_http_client::{HttpClient, HttpClientBuilder};
use serde_json::value::RawValue;
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    runtime::{Builder, Runtime},
    task::JoinSet,
};

/// Threads of all who ask.
const THREADS: usize = 2;
/// Times that each connection keeps, the newest ones.
const TIMES_MAX: usize = 1 << 18;
/// Longest that an answer may take; a node gives up a call long before.
const CALL_TIME: Duration = Duration::from_secs(60);
/// The method is not there. Source: JSON-RPC 2.0.
const METHOD_NOT_FOUND: i32 = -32601;

/// What came of requests of one kind.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    /// Of those that were answered.
    pub(super) times: Spread,
    pub(super) answered: usize,
    /// Answered with an error, as when too many wait.
    pub(super) refused: usize,
    /// Answered in a second.
    pub(super) rate: Option<f64>,
}

/// Connections to a node.
pub(super) struct Loader {
    runtime: Runtime,
    client: HttpClient,
    connections: usize,
}

/// Requests that go on until this is ended, or dropped.
pub(super) struct Load<'l> {
    runtime: &'l Runtime,
    started: Instant,
    is_over: Arc<AtomicBool>,
    asking: JoinSet<Result<Answers, CallError>>,
}

/// What one connection was answered.
#[derive(Default)]
struct Answers {
    times: Vec<Duration>,
    answered: usize,
    refused: usize,
}

impl Loader {
    /// To a public server.
    pub(super) fn new(address: SocketAddr, connections: usize) -> Result<Self, UsageError> {
        let runtime = Builder::new_multi_thread()
            .thread_name("fugue-load")
            .worker_threads(THREADS)
            .on_thread_start(give_way)
            .enable_all()
            .build()
            .map_err(usage)?;
        let client = {
            let _within = runtime.enter();
            HttpClientBuilder::default()
                .max_response_size(PUBLIC_LIMITS.response_bytes_max)
                .request_timeout(CALL_TIME)
                .build(format!("http://{address}"))
                .map_err(usage)?
        };
        Ok(Self { runtime, client, connections })
    }

    /// Asks once; says why such requests cannot be measured, if they cannot.
    ///
    /// # Errors
    /// If the answer is another error than that there is no such method.
    pub(super) fn probe(
        &self,
        kind: Kind,
        targets: &Targets,
    ) -> Result<Option<String>, UsageError> {
        if targets.params(kind, 0).is_none() {
            return Ok(Some("the blocks have nothing to ask for".to_owned()));
        }
        match self.runtime.block_on(ask_once(&self.client, kind, targets, 0)) {
            Ok(()) => Ok(None),
            Err(CallError::Refused { code: METHOD_NOT_FOUND, message }) => {
                Ok(Some(format!("error {METHOD_NOT_FOUND}: {message}")))
            }
            Err(error) => Err(UsageError(format!("{}: {error}", kind.name()))),
        }
    }

    /// Begins to ask on all connections.
    pub(super) fn begin(&self, kind: Kind, targets: &Arc<Targets>) -> Load<'_> {
        let is_over = Arc::new(AtomicBool::new(false));
        let mut asking = JoinSet::new();
        for first in 0..self.connections {
            let (client, targets) = (self.client.clone(), Arc::clone(targets));
            let (step, is_over) = (self.connections, Arc::clone(&is_over));
            let keep_on = async move {
                let mut answers = Answers::default();
                let mut nth = first;
                while !is_over.load(Ordering::Relaxed) {
                    let started = Instant::now();
                    match ask_once(&client, kind, &targets, nth).await {
                        Ok(()) => answers.add(started.elapsed()),
                        Err(CallError::Refused { .. }) => answers.refused += 1,
                        Err(broken) => return Err(broken),
                    }
                    nth = nth.wrapping_add(step);
                }
                Ok(answers)
            };
            asking.spawn_on(keep_on, self.runtime.handle());
        }
        Load { runtime: &self.runtime, started: Instant::now(), is_over, asking }
    }
}

/// One request.
async fn ask_once(
    client: &HttpClient,
    kind: Kind,
    targets: &Targets,
    nth: usize,
) -> Result<(), CallError> {
    let params = targets.params(kind, nth).unwrap_or_default();
    let params = Params(client::raw(&params)?);
    let answer = client.request::<Box<RawValue>, _>(kind.method(), params).await;
    answer.map(drop).map_err(CallError::from)
}

impl Answers {
    fn add(&mut self, time: Duration) {
        match self.times.get_mut(self.answered % TIMES_MAX) {
            Some(oldest) => *oldest = time,
            None => self.times.push(time),
        }
        self.answered += 1;
    }
}

impl Load<'_> {
    /// Waits for the answers to what was asked.
    ///
    /// # Errors
    /// If a request was not answered.
    pub(super) fn end(mut self) -> Result<Asked, UsageError> {
        self.is_over.store(true, Ordering::Relaxed);
        let mut all = Answers::default();
        while let Some(joined) = self.runtime.block_on(self.asking.join_next()) {
            let Answers { times, answered, refused } = joined.map_err(usage)?.map_err(usage)?;
            all.times.extend(times);
            all.answered += answered;
            all.refused += refused;
        }
        let rate = per_second(all.answered as f64, self.started.elapsed());
        let Answers { times, answered, refused } = all;
        Ok(Asked { times: Spread::of(&times), answered, refused, rate })
    }
}

impl Drop for Load<'_> {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_times_are_kept() {
        let mut answers = Answers::default();
        for nth in 0..TIMES_MAX as u64 + 2 {
            answers.add(Duration::from_nanos(nth));
        }
        assert_eq!((answers.times.len(), answers.answered), (TIMES_MAX, TIMES_MAX + 2));
        assert_eq!(answers.times[1], Duration::from_nanos(TIMES_MAX as u64 + 1));
        assert_eq!(answers.times[2], Duration::from_nanos(2));
    }
}

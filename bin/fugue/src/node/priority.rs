//! The priority of threads. Linux has one for each; elsewhere there is none to be lowered.

use std::{io, sync::Once};
use tracing::warn;

/// Nice value of threads that give way: the least priority that there is.
///
/// The scheduler weighs such a thread 15 and others 1,024 (Linux, `sched_prio_to_weight`). So 64
/// public calls that compute at a time, and the threads of their servers, weigh less than one
/// thread of the engine; with a nice value of 10 they would weigh as much as seven. With the policy
/// SCHED_IDLE, which weighs 3, they would hardly go on beside a busy machine: but whoever holds a
/// lock that the engine waits for has to come to give it back.
#[cfg(target_os = "linux")]
const NICE: i32 = 19;

/// Gives way from here on, with the thread of the caller alone. If that is refused, the first one
/// tells.
pub(crate) fn give_way() {
    static TOLD: Once = Once::new();
    if let Err(error) = lower() {
        TOLD.call_once(|| warn!(%error, "public calls run with the priority of the engine"));
    }
}

/// Linux takes the id of a thread where others take that of a process. Source: setpriority(2),
/// "C library/kernel differences".
#[cfg(target_os = "linux")]
fn lower() -> io::Result<()> {
    let thread = rustix::thread::gettid();
    rustix::process::setpriority_process(Some(thread), NICE).map_err(io::Error::from)
}

#[cfg(not(target_os = "linux"))]
fn lower() -> io::Result<()> {
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::node::Runtimes;
    use rustix::{process::getpriority_process, thread::gettid};
    use tokio::{runtime::Runtime, task::spawn_blocking};

    /// Nice value of the thread of the caller.
    fn nice() -> i32 {
        getpriority_process(Some(gettid())).expect("a priority")
    }

    #[test]
    fn a_thread_gives_way_alone() {
        let before = nice();
        let lowered = std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                give_way();
                nice()
            });
            thread.join().expect("it does not panic")
        });
        assert_eq!((lowered, nice()), (NICE, before));
    }

    #[test]
    fn all_threads_of_public_calls_give_way_and_none_of_the_engine() {
        let nice_in = |runtime: &Runtime| {
            runtime.block_on(async {
                let (worker, blocking) = (tokio::spawn(async { nice() }), spawn_blocking(nice));
                (worker.await.expect("a priority"), blocking.await.expect("a priority"))
            })
        };
        let runtimes = Runtimes::new().expect("threads");
        let own = nice();
        assert_eq!(nice_in(&runtimes.engine), (own, own));
        assert_eq!(nice_in(&runtimes.rpc), (NICE, NICE));
        assert_eq!(nice(), own);
        runtimes.end();
    }
}

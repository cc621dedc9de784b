//! Waiting for the chain, and work that may block.

use super::errors::Failure;
use fugue_chain::{EngineError, Reply};
use tokio::{
    sync::{
        OwnedSemaphorePermit,
        oneshot::{self, Sender},
    },
    task::spawn_blocking,
};

/// Says whether anyone waits for the work's result. Asked between its steps: the caller may hang
/// up, and what nobody waits for is not to be done.
pub(super) struct Waited<'s, T>(&'s Sender<Result<T, Failure>>);

impl<T> Waited<'_, T> {
    /// # Errors
    /// [`Failure::GivenUp`] if nobody waits.
    pub(super) fn check(&self) -> Result<(), Failure> {
        if self.0.is_closed() { Err(Failure::GivenUp) } else { Ok(()) }
    }
}

/// Asks the engine, before anything is waited for: questions of one HTTP connection are asked in
/// the order in which they came. Those of a WebSocket, each of which is read in a task of its own,
/// are so only if the caller waits for each answer.
pub(super) async fn ask<T: Send + 'static>(
    question: impl FnOnce(Reply<Result<T, EngineError>>) + Send,
) -> Result<T, Failure> {
    let (sender, receiver) = oneshot::channel();
    question(Box::new(move |answer| {
        // Nobody waits if the caller has hung up.
        let _ = sender.send(answer);
    }));
    match receiver.await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(EngineError::Stopped.into()),
    }
}

/// Does work where it may block. `permit` is held until it has ended.
pub(super) async fn blocking<T: Send + 'static>(
    permit: Option<OwnedSemaphorePermit>,
    work: impl FnOnce(Waited<'_, T>) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let (sender, receiver) = oneshot::channel();
    spawn_blocking(move || {
        let result = work(Waited(&sender));
        drop(permit);
        let _ = sender.send(result);
    });
    receiver.await.unwrap_or_else(|_| Err(Failure::Broken("the work panicked".to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[tokio::test]
    async fn answers_and_results_come_back() {
        let answer = ask(|reply: Reply<Result<u64, EngineError>>| reply(Ok(7))).await;
        assert_eq!(answer, Ok(7));
        let refused = ask(|reply: Reply<Result<u64, EngineError>>| {
            reply(Err(EngineError::UnknownPayload));
        });
        assert_eq!(refused.await, Err(EngineError::UnknownPayload.into()));
        let dropped = ask(|reply: Reply<Result<u64, EngineError>>| drop(reply)).await;
        assert_eq!(dropped, Err(EngineError::Stopped.into()));
        assert_eq!(blocking(None, |waited| waited.check().map(|()| 8)).await, Ok(8));
    }

    #[tokio::test]
    async fn e33_work_that_nobody_waits_for_ends_between_its_steps() {
        let (begun, has_begun) = oneshot::channel();
        let (go, may_go) = mpsc::channel::<()>();
        let (ended, has_ended) = oneshot::channel();
        let call = tokio::spawn(blocking(None, move |waited: Waited<'_, ()>| {
            begun.send(()).unwrap();
            may_go.recv().unwrap();
            ended.send(waited.check()).unwrap();
            Ok(())
        }));
        has_begun.await.unwrap();
        call.abort();
        assert!(call.await.unwrap_err().is_cancelled());
        go.send(()).unwrap();
        assert_eq!(has_ended.await.unwrap(), Err(Failure::GivenUp));
    }
}

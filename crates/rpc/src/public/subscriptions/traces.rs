//! `debug_subscribe`: the traces of a range of blocks, one block with each notification.
//!
//! | job | started when | gives | awaited where |
//! | --- | --- | --- | --- |
//! | the traces of a block | the connection has room | a notification | by its subscription |
//!
//! A block is traced when it is the turn of the subscription among those of its connection and
//! little is unsent there: a connection has the traces of one block in memory at a time, and a
//! caller that does not read has nothing traced for it.

use crate::public::{
    Class, Context,
    args::Args,
    debug::trace::ChainTraces,
    error, on_a_thread,
    subscriptions::{Ended, Subscriber, answer, closed, room, text},
};
use jsonrpsee::{
    Extensions, PendingSubscriptionSink,
    core::SubscriptionError,
    types::{ErrorObjectOwned, Params},
};
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;

/// What may be subscribed to.
const TRACE_CHAIN: &str = "traceChain";

pub(super) async fn subscribe(
    params: Params<'static>,
    pending: PendingSubscriptionSink,
    context: Arc<Context>,
    extensions: Extensions,
) -> Result<(), SubscriptionError> {
    let admitted = admit(&params, &context);
    let Some(((traces, _room), subscriber)) =
        answer(admitted, pending, context, &extensions).await?
    else {
        return Ok(());
    };
    match subscriber.traces(&Arc::new(traces)).await {
        Ok(()) => Ok(()),
        Err(ended) => closed(ended),
    }
}

/// What a caller asks for, and its place among all subscriptions.
fn admit(
    params: &Params<'_>,
    context: &Context,
) -> Result<(ChainTraces, OwnedSemaphorePermit), ErrorObjectOwned> {
    let mut args = Args::new(params)?;
    let kind = args.required("subscription", text)?;
    if kind != TRACE_CHAIN {
        return Err(error::invalid_params(format!(
            "invalid argument 0 (subscription): {kind:?} is not {TRACE_CHAIN}"
        )));
    }
    let traces = ChainTraces::read(args, context)?;
    Ok((traces, room(context)?))
}

impl Subscriber {
    /// Tells all traces, and ends.
    async fn traces(&self, traces: &Arc<ChainTraces>) -> Result<(), Ended> {
        for number in traces.numbers() {
            let turn = self.turn().await?;
            turn.opens().await?;
            let (context, traces) = (Arc::clone(&self.context), Arc::clone(traces));
            let work = move |context: &Context| traces.of_block(context, number);
            let made = tokio::select! {
                () = self.sink.closed() => return Err(Ended::Gone),
                made = on_a_thread(context, Class::Tracing, work) => made.map_err(Ended::With)?,
            };
            if made.get() != "null" {
                turn.send(made).await?;
            }
        }
        Ok(())
    }
}

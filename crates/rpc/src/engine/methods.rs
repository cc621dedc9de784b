//! The methods of the Engine API: parameters in, chain asked, answer out.
//!
//! A call is read, and its block put together, on the thread that it came on, which belongs to the
//! engine's runtime alone; the chain answers from a thread of its own. What reads the store, copies
//! blobs or computes cells goes to the runtime's threads for blocking work.

use super::{
    attributes::ForkchoiceCall,
    blobs::{CELL_CALLS_MAX, WantedBlobs},
    bodies::Wanted,
    built,
    capabilities::{self, ClientVersion},
    errors::Failure,
    forks::{Era, Version},
    params::ParamList,
    payload::NewPayload,
    status::{ForkchoiceUpdated, PayloadStatus, Status},
    wire::Fixed,
    work::{ask, blocking},
};
use fugue_chain::{ChainView, Engine};
use jsonrpsee::{
    RpcModule,
    core::RegisterMethodError,
    types::{ErrorObjectOwned, Params},
};
use metrics::{counter, histogram};
use serde_json::value::{RawValue, to_raw_value};
use std::{sync::Arc, time::Instant};
use tokio::sync::Semaphore;

const REQUESTS: &str = "fugue_engine_requests_total";
const SECONDS: &str = "fugue_engine_call_seconds";

/// What is answered, and a word for it.
struct Answer {
    outcome: &'static str,
    json: Box<RawValue>,
}

impl From<Box<RawValue>> for Answer {
    fn from(json: Box<RawValue>) -> Self {
        Self { outcome: "ok", json }
    }
}

/// What the methods work with.
struct EngineApi {
    engine: Engine,
    client: ClientVersion,
    /// One for each call that computes cells at the same time.
    cell_calls: Arc<Semaphore>,
}

impl EngineApi {
    fn era(&self, number: u64, timestamp: u64) -> Era {
        Era::at(self.engine.spec(), number, timestamp)
    }

    /// The era of the view's head. Reads the store if the head is durable.
    fn head_era(&self, view: &ChainView) -> Result<Era, Failure> {
        let number = view.head().number;
        let header = view.header(number)?;
        let timestamp = header.map_or(0, |(_, header)| header.timestamp);
        Ok(self.era(number, timestamp))
    }
}

/// The methods of the Engine API.
///
/// # Errors
/// None, unless two methods have one name.
pub(crate) fn module(
    engine: Engine,
    client: ClientVersion,
) -> Result<RpcModule<()>, RegisterMethodError> {
    use Version::{V1, V2, V3, V4, V5, V6};
    let cell_calls = Arc::new(Semaphore::new(CELL_CALLS_MAX));
    let mut module = RpcModule::new(EngineApi { engine, client, cell_calls });
    for (name, version) in [
        ("engine_newPayloadV1", V1),
        ("engine_newPayloadV2", V2),
        ("engine_newPayloadV3", V3),
        ("engine_newPayloadV4", V4),
        ("engine_newPayloadV5", V5),
    ] {
        add(&mut module, name, move |api, params| new_payload(api, params, version))?;
    }
    for (name, version) in [
        ("engine_forkchoiceUpdatedV1", V1),
        ("engine_forkchoiceUpdatedV2", V2),
        ("engine_forkchoiceUpdatedV3", V3),
        ("engine_forkchoiceUpdatedV4", V4),
    ] {
        add(&mut module, name, move |api, params| forkchoice_updated(api, params, version))?;
    }
    for (name, version) in [
        ("engine_getPayloadV1", V1),
        ("engine_getPayloadV2", V2),
        ("engine_getPayloadV3", V3),
        ("engine_getPayloadV4", V4),
        ("engine_getPayloadV5", V5),
        ("engine_getPayloadV6", V6),
    ] {
        add(&mut module, name, move |api, params| get_payload(api, params, version))?;
    }
    for (name, version) in
        [("engine_getPayloadBodiesByHashV1", V1), ("engine_getPayloadBodiesByHashV2", V2)]
    {
        add(&mut module, name, move |api, params| {
            get_bodies(api, Wanted::by_hash(&params), version)
        })?;
    }
    for (name, version) in
        [("engine_getPayloadBodiesByRangeV1", V1), ("engine_getPayloadBodiesByRangeV2", V2)]
    {
        add(&mut module, name, move |api, params| {
            get_bodies(api, Wanted::by_range(&params), version)
        })?;
    }
    for (name, version) in [
        ("engine_getBlobsV1", V1),
        ("engine_getBlobsV2", V2),
        ("engine_getBlobsV3", V3),
        ("engine_getBlobsV4", V4),
    ] {
        add(&mut module, name, move |api, params| get_blobs(api, params, version))?;
    }
    add(&mut module, "engine_getClientVersionV1", client_version)?;
    add(&mut module, "engine_exchangeTransitionConfigurationV1", exchange_transition)?;
    // Last, as it lists the others and not itself.
    let mut names: Vec<_> = module.method_names().collect();
    names.sort_unstable();
    let names: Arc<[&'static str]> = names.into();
    add(&mut module, "engine_exchangeCapabilities", move |_, params| {
        exchange_capabilities(names.clone(), params)
    })?;
    Ok(module.remove_context())
}

/// Registers a method, whose calls are counted and timed.
fn add<M, F>(
    module: &mut RpcModule<EngineApi>,
    name: &'static str,
    method: M,
) -> Result<(), RegisterMethodError>
where
    M: Fn(Arc<EngineApi>, Params<'static>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Answer, Failure>> + Send + 'static,
{
    module.register_async_method(name, move |params, api, _| counted(name, method(api, params)))?;
    Ok(())
}

async fn counted(
    name: &'static str,
    call: impl Future<Output = Result<Answer, Failure>> + Send,
) -> Result<Box<RawValue>, ErrorObjectOwned> {
    let started = Instant::now();
    let result = call.await;
    let outcome = match &result {
        Ok(answer) => answer.outcome,
        Err(_) => "error",
    };
    let method = name.strip_prefix("engine_").unwrap_or(name);
    counter!(REQUESTS, "method" => method, "outcome" => outcome).increment(1);
    histogram!(SECONDS, "method" => method).record(started.elapsed().as_secs_f64());
    match result {
        Ok(answer) => Ok(answer.json),
        Err(failure) => {
            if failure.is_ours() {
                tracing::error!(target: "fugue::engine", method = name, %failure, "call failed");
            } else {
                tracing::warn!(target: "fugue::engine", method = name, %failure, "call refused");
            }
            Err(failure.into())
        }
    }
}

fn millis(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX)
}

async fn new_payload(
    api: Arc<EngineApi>,
    params: Params<'static>,
    version: Version,
) -> Result<Answer, Failure> {
    let started = Instant::now();
    let call = NewPayload::decode(version, &params, |number, time| api.era(number, time))?;
    // The text is about twice the block.
    drop(params);
    let (number, hash) = call.place();
    let status = match call.into_block() {
        Err(unfit) => PayloadStatus::of_unfit(&unfit, version),
        Ok(block) => {
            let decoded = started.elapsed();
            let verdict = ask(|reply| api.engine.new_payload(block, decoded, reply)).await?;
            PayloadStatus::of_verdict(verdict, hash)
        }
    };
    let (outcome, error) = (status.status.word(), status.error());
    let ms = millis(started);
    tracing::info!(
        target: "fugue::engine",
        status = outcome, number, %hash, ms, error, "new payload"
    );
    Ok(Answer { outcome, json: to_raw_value(&status)? })
}

async fn forkchoice_updated(
    api: Arc<EngineApi>,
    params: Params<'static>,
    version: Version,
) -> Result<Answer, Failure> {
    let started = Instant::now();
    // Forks after the merge go by time alone; the number is a guess for chains where they do not.
    let next = api.engine.view().head().number.saturating_add(1);
    let call = ForkchoiceCall::decode(version, &params, |timestamp| api.era(next, timestamp))?;
    drop(params);
    let ForkchoiceCall { state, attributes } = call;
    let builds = attributes.is_some();
    let verdict = ask(|reply| api.engine.forkchoice(state, attributes, reply)).await?;
    let updated = ForkchoiceUpdated::of_verdict(verdict, state.head);
    let status = updated.payload_status.status;
    let number = match status {
        Status::Valid => Some(api.engine.view().head()).filter(|head| head.hash == state.head),
        _ => None,
    };
    let (outcome, error) = (status.word(), updated.payload_status.error());
    let (number, ms) = (number.map(|head| head.number), millis(started));
    tracing::info!(
        target: "fugue::engine",
        status = outcome, number, hash = %state.head, ms, builds, error, "fork choice"
    );
    Ok(Answer { outcome, json: to_raw_value(&updated)? })
}

async fn get_payload(
    api: Arc<EngineApi>,
    params: Params<'static>,
    version: Version,
) -> Result<Answer, Failure> {
    let id: Fixed<8> = ParamList::new(&params, &["payloadId"])?.required(0)?;
    let built = ask(|reply| api.engine.payload(id.0.0, reply)).await?;
    let header = &built.block.block().header;
    let era = api.era(header.number, header.timestamp);
    let json = blocking(None, move |waited| {
        waited.check()?;
        built::answer(version, era, &built)
    });
    Ok(json.await?.into())
}

async fn get_bodies(
    api: Arc<EngineApi>,
    wanted: Result<Wanted, Failure>,
    version: Version,
) -> Result<Answer, Failure> {
    let wanted = wanted?;
    let view = api.engine.view();
    let json = blocking(None, move |waited| wanted.answer(version, &view, &waited));
    Ok(json.await?.into())
}

async fn get_blobs(
    api: Arc<EngineApi>,
    params: Params<'static>,
    version: Version,
) -> Result<Answer, Failure> {
    let view = api.engine.view();
    let wanted = WantedBlobs::decode(version, &params, api.head_era(&view)?)?;
    if api.engine.is_syncing() {
        return Ok(wanted.answer_while_syncing()?.into());
    }
    let permit = if wanted.computes_cells() {
        let permit = api.cell_calls.clone().acquire_owned().await;
        Some(permit.map_err(|_| Failure::Broken("no more cells are computed".to_owned()))?)
    } else {
        None
    };
    let json =
        blocking(permit, move |waited| wanted.answer(|hash| api.engine.pool().blob(hash), &waited));
    Ok(json.await?.into())
}

async fn client_version(api: Arc<EngineApi>, params: Params<'static>) -> Result<Answer, Failure> {
    Ok(capabilities::client_version(&api.client, &params)?.into())
}

async fn exchange_transition(
    api: Arc<EngineApi>,
    params: Params<'static>,
) -> Result<Answer, Failure> {
    let difficulty = api.engine.spec().terminal_total_difficulty();
    Ok(capabilities::transition(difficulty, &params)?.into())
}

async fn exchange_capabilities(
    ours: Arc<[&'static str]>,
    params: Params<'static>,
) -> Result<Answer, Failure> {
    Ok(capabilities::exchange(&ours, &params)?.into())
}

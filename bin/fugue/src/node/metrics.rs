//! The metrics of a node: one table of all that it exports, and the ones that are read off the
//! engine, the pool and the system once a second.
//!
//! What happens rather than is, as the calls of the Engine API, is recorded where it happens; the
//! table has it all the same, and the dashboard of `etc/grafana` uses nothing that is not in it.

use super::process::Process;
use crate::{UsageError, datadir::usage};
use fugue_chain::{EngineStatus, Head, ParallelRuns};
use fugue_txpool::PoolStatus;
use metrics::{counter, gauge, histogram};
use metrics_exporter_prometheus::{
    BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};
use std::time::{Duration, Instant};

/// Bounds of what is measured in seconds: a tenth of a millisecond to half a minute.
const SECONDS: [f64; 17] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0, 30.0,
];

/// How a metric goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Up. Counters are whole numbers, so sums of time are in milliseconds.
    Counter,
    /// Up and down.
    Gauge,
    /// Into buckets.
    Histogram,
}

/// A metric.
#[derive(Debug)]
struct Metric {
    name: &'static str,
    kind: Kind,
    /// Its series have labels, and there are none before something is recorded.
    has_labels: bool,
    help: &'static str,
}

const fn metric(name: &'static str, kind: Kind, help: &'static str) -> Metric {
    Metric { name, kind, has_labels: false, help }
}

const fn labelled(name: &'static str, kind: Kind, help: &'static str) -> Metric {
    Metric { name, kind, has_labels: true, help }
}

/// All metrics.
const METRICS: &[Metric] = &[
    labelled("fugue_info", Kind::Gauge, "1, with version and chain as labels"),
    // Head and sync.
    metric("fugue_head_number", Kind::Gauge, "number of the head"),
    metric("fugue_safe_number", Kind::Gauge, "number of the newest safe block"),
    metric("fugue_finalized_number", Kind::Gauge, "number of the newest final block"),
    metric("fugue_syncing", Kind::Gauge, "1 if the newest fork choice named an unknown head"),
    metric(
        "fugue_forkchoice_age_seconds",
        Kind::Gauge,
        "since the newest valid fork choice, or since the start if there was none",
    ),
    metric("fugue_healthy", Kind::Gauge, "0 once the engine has failed, else 1"),
    metric("fugue_blocks_imported_total", Kind::Counter, "blocks that were imported"),
    metric(
        "fugue_transactions_foreseen_total",
        Kind::Counter,
        "imported transactions that were run ahead, and ordered by what they read and wrote",
    ),
    metric(
        "fugue_known_senders_total",
        Kind::Counter,
        "transactions of imported blocks whose senders the pool knew",
    ),
    metric("fugue_reorganisations_total", Kind::Counter, "times that the head left its chain"),
    metric(
        "fugue_parallel_differed_total",
        Kind::Counter,
        "blocks whose parallel run gave another outcome than the sequential one",
    ),
    metric(
        "fugue_parallel_transactions_total",
        Kind::Counter,
        "transactions of imported blocks that were executed in parallel",
    ),
    metric("fugue_parallel_runs_total", Kind::Counter, "runs of them, unfinished ones included"),
    metric(
        "fugue_parallel_rerun_transactions_total",
        Kind::Counter,
        "those of them that ran more than once",
    ),
    metric(
        "fugue_parallel_head_reruns_total",
        Kind::Counter,
        "those of them that had to run again at their turn",
    ),
    metric(
        "fugue_parallel_fallbacks_total",
        Kind::Counter,
        "blocks whose parallel run ended early, so that the rest ran sequentially",
    ),
    metric(
        "fugue_parallel_lanes_given_up_total",
        Kind::Counter,
        "blocks that lanes gave up when transactions had run, whichever way went on",
    ),
    metric(
        "fugue_parallel_memory_bytes",
        Kind::Gauge,
        "memory of the parallel run of the newest imported block, without results and changes",
    ),
    metric("fugue_orphan_blocks", Kind::Gauge, "blocks that wait for a parent"),
    metric("fugue_invalid_blocks", Kind::Gauge, "blocks that are remembered as invalid"),
    // The servers, which record this themselves.
    labelled(
        "fugue_engine_call_seconds",
        Kind::Histogram,
        "from a call of the Engine API to its answer, by method",
    ),
    labelled(
        "fugue_engine_requests_total",
        Kind::Counter,
        "calls of the Engine API, by method and outcome",
    ),
    labelled(
        "fugue_rpc_refused_total",
        Kind::Counter,
        "requests that were refused, by reason: host (or origin), token",
    ),
    // Phases of imports.
    labelled(
        "fugue_phase_milliseconds_total",
        Kind::Counter,
        "what the phases of imports took, by phase: decode, prepare, execute, root, insert",
    ),
    // Persistence.
    metric("fugue_durable_number", Kind::Gauge, "number of the newest durable block"),
    metric("fugue_pending_blocks", Kind::Gauge, "blocks of the chain that are not durable"),
    metric("fugue_pending_bytes", Kind::Gauge, "bytes of memory that they take, about"),
    metric("fugue_tree_blocks", Kind::Gauge, "blocks that are not durable, side blocks included"),
    metric("fugue_persisting", Kind::Gauge, "1 while blocks are being made durable"),
    metric("fugue_persist_milliseconds_total", Kind::Counter, "what making blocks durable took"),
    metric(
        "fugue_persist_wait_milliseconds_total",
        Kind::Counter,
        "how long imports waited because too many blocks were not durable",
    ),
    // The pool.
    labelled(
        "fugue_pool_transactions",
        Kind::Gauge,
        "transactions in the pool, by kind: pending, queued, blob",
    ),
    labelled("fugue_pool_bytes", Kind::Gauge, "bytes that they take, by kind"),
    metric(
        "fugue_pool_preexecuted",
        Kind::Gauge,
        "transactions of the pool that were run ahead, on the state of the head or the one before",
    ),
    metric(
        "fugue_preexecution_failures_total",
        Kind::Counter,
        "times that running them ahead came upon an error",
    ),
    // The builder.
    metric("fugue_payloads_built_total", Kind::Counter, "payloads that were built"),
    // The process.
    metric("fugue_process_resident_bytes", Kind::Gauge, "memory, pages of the database included"),
    metric("fugue_process_anonymous_bytes", Kind::Gauge, "memory of the process alone"),
    metric("fugue_process_threads", Kind::Gauge, "threads"),
    metric("fugue_process_open_files", Kind::Gauge, "files and sockets that are open"),
    metric("fugue_process_cpu_milliseconds_total", Kind::Counter, "time of processors"),
];

/// Begins the metrics of this process.
///
/// # Errors
/// If it has metrics already.
pub(super) fn install(chain: &str) -> Result<PrometheusHandle, UsageError> {
    let recorder = recorder().map_err(usage)?;
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).map_err(usage)?;
    describe(chain);
    Ok(handle)
}

fn recorder() -> Result<PrometheusRecorder, BuildError> {
    let seconds = Matcher::Suffix("_seconds".to_owned());
    Ok(PrometheusBuilder::new().set_buckets_for_metric(seconds, &SECONDS)?.build_recorder())
}

/// Tells what each metric means, and begins those that have one series at zero, so that none is
/// missing until something happens.
fn describe(chain: &str) {
    for Metric { name, kind, has_labels, help } in METRICS {
        let (name, help) = (*name, *help);
        match kind {
            Kind::Counter => {
                metrics::describe_counter!(name, help);
                if !has_labels {
                    counter!(name).absolute(0);
                }
            }
            Kind::Gauge => {
                metrics::describe_gauge!(name, help);
                if !has_labels {
                    gauge!(name).set(0.0);
                }
            }
            Kind::Histogram => {
                metrics::describe_histogram!(name, help);
                if !has_labels {
                    drop(histogram!(name));
                }
            }
        }
    }
    let version = env!("CARGO_PKG_VERSION");
    gauge!("fugue_info", "version" => version, "chain" => chain.to_owned()).set(1.0);
}

/// Takes over what engine and pool say of themselves. Where no consensus client was heard yet, the
/// silence began when the node did.
pub(super) fn report(engine: &EngineStatus, pool: &PoolStatus, started: Instant) {
    let EngineStatus {
        head,
        durable,
        safe,
        finalized,
        pending_blocks,
        pending_bytes,
        tree_blocks,
        is_persisting,
        orphans,
        invalid,
        imported,
        foreseen,
        parallel_differed,
        parallel,
        known_senders,
        reorganisations,
        built,
        preexecuted,
        ahead_failures,
        times,
        is_syncing,
        last_forkchoice,
        failed,
    } = engine;
    let number = |head: &Option<Head>| head.map_or(0, |head| head.number);
    count("fugue_head_number", head.number);
    count("fugue_safe_number", number(safe));
    count("fugue_finalized_number", number(finalized));
    count("fugue_syncing", u64::from(*is_syncing));
    let silence = last_forkchoice.unwrap_or(started).elapsed();
    gauge!("fugue_forkchoice_age_seconds").set(silence.as_secs_f64());
    count("fugue_healthy", u64::from(failed.is_none()));
    counter!("fugue_blocks_imported_total").absolute(*imported);
    counter!("fugue_transactions_foreseen_total").absolute(*foreseen);
    counter!("fugue_known_senders_total").absolute(*known_senders);
    counter!("fugue_reorganisations_total").absolute(*reorganisations);
    counter!("fugue_parallel_differed_total").absolute(*parallel_differed);
    let ParallelRuns { txs, runs, rerun_txs, head_reruns, fallbacks, given_up, memory_bytes } =
        parallel;
    counter!("fugue_parallel_transactions_total").absolute(*txs);
    counter!("fugue_parallel_runs_total").absolute(*runs);
    counter!("fugue_parallel_rerun_transactions_total").absolute(*rerun_txs);
    counter!("fugue_parallel_head_reruns_total").absolute(*head_reruns);
    counter!("fugue_parallel_fallbacks_total").absolute(*fallbacks);
    counter!("fugue_parallel_lanes_given_up_total").absolute(*given_up);
    count("fugue_parallel_memory_bytes", *memory_bytes);
    size("fugue_orphan_blocks", *orphans);
    size("fugue_invalid_blocks", *invalid);
    for (phase, time) in [
        ("decode", times.decoded),
        ("prepare", times.prepared),
        ("execute", times.executed),
        ("root", times.rooted),
        ("insert", times.inserted),
    ] {
        counter!("fugue_phase_milliseconds_total", "phase" => phase).absolute(milliseconds(time));
    }
    count("fugue_durable_number", durable.number);
    size("fugue_pending_blocks", *pending_blocks);
    size("fugue_pending_bytes", *pending_bytes);
    size("fugue_tree_blocks", *tree_blocks);
    count("fugue_persisting", u64::from(*is_persisting));
    counter!("fugue_persist_milliseconds_total").absolute(milliseconds(times.durable));
    counter!("fugue_persist_wait_milliseconds_total").absolute(milliseconds(times.waited));
    counter!("fugue_payloads_built_total").absolute(*built);
    size("fugue_pool_preexecuted", *preexecuted);
    counter!("fugue_preexecution_failures_total").absolute(*ahead_failures);
    report_pool(pool);
}

fn report_pool(pool: &PoolStatus) {
    let PoolStatus { pending, queued, blobs, pending_bytes, queued_bytes, blob_bytes } = pool;
    for (kind, count, bytes) in [
        // What is executable counts those with blobs; here each counts once.
        ("pending", pending.saturating_sub(*blobs), *pending_bytes),
        ("queued", *queued, *queued_bytes),
        ("blob", *blobs, *blob_bytes),
    ] {
        gauge!("fugue_pool_transactions", "kind" => kind).set(count as f64);
        gauge!("fugue_pool_bytes", "kind" => kind).set(bytes as f64);
    }
}

/// Takes over what the system says of the process.
pub(super) fn report_process(process: &Process) {
    let Process { resident_bytes, anonymous_bytes, threads, cpu, open_files } = process;
    count("fugue_process_resident_bytes", *resident_bytes);
    count("fugue_process_anonymous_bytes", *anonymous_bytes);
    count("fugue_process_threads", *threads);
    count("fugue_process_open_files", *open_files);
    counter!("fugue_process_cpu_milliseconds_total").absolute(milliseconds(*cpu));
}

fn count(name: &'static str, value: u64) {
    gauge!(name).set(value as f64);
}

fn size(name: &'static str, value: usize) {
    gauge!(name).set(value as f64);
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Names of metrics in a text.
    fn names(text: &str) -> BTreeSet<&str> {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        words.filter(|word| word.starts_with("fugue_")).collect()
    }

    /// The metric that a series belongs to.
    fn base(series: &str) -> &str {
        let is_histogram = |name: &str| {
            METRICS.iter().any(|metric| metric.name == name && metric.kind == Kind::Histogram)
        };
        let parts = ["_bucket", "_sum", "_count"];
        let base = parts.iter().find_map(|part| series.strip_suffix(part));
        base.filter(|&base| is_histogram(base)).unwrap_or(series)
    }

    fn exported() -> String {
        let recorder = recorder().expect("buckets");
        metrics::with_local_recorder(&recorder, || {
            describe("hoodi");
            let ms = Duration::from_millis;
            let times = fugue_chain::Times {
                decoded: ms(1),
                prepared: ms(2),
                executed: ms(3),
                rooted: ms(4),
                inserted: ms(5),
                durable: ms(6),
                waited: ms(7),
            };
            let parallel = ParallelRuns {
                txs: 90,
                runs: 96,
                rerun_txs: 5,
                head_reruns: 4,
                fallbacks: 1,
                given_up: 2,
                memory_bytes: 4096,
            };
            let engine = EngineStatus { imported: 3, times, parallel, ..EngineStatus::default() };
            let pool = PoolStatus { pending: 5, blobs: 2, ..PoolStatus::default() };
            report(&engine, &pool, Instant::now());
            let process = Process {
                resident_bytes: 7,
                anonymous_bytes: 6,
                threads: 5,
                cpu: Duration::from_millis(1_500),
                open_files: 4,
            };
            report_process(&process);
            histogram!("fugue_engine_call_seconds", "method" => "newPayloadV4").record(0.02);
            let labels = [("method", "newPayloadV4"), ("outcome", "ok")];
            counter!("fugue_engine_requests_total", &labels).increment(1);
            counter!("fugue_rpc_refused_total", "reason" => "host").increment(2);
        });
        recorder.handle().render()
    }

    #[test]
    fn the_table_has_what_is_exported_and_nothing_else() {
        let text = exported();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let series = lines.filter_map(|line| line.split(['{', ' ']).next());
        let found: BTreeSet<&str> = series.filter(|name| !name.is_empty()).map(base).collect();
        let table: BTreeSet<&str> = METRICS.iter().map(|metric| metric.name).collect();
        assert_eq!(found, table, "{text}");
        assert_eq!(table.len(), METRICS.len(), "a name stands in the table twice");
        for line in [
            "fugue_blocks_imported_total 3",
            "fugue_parallel_transactions_total 90",
            "fugue_parallel_runs_total 96",
            "fugue_parallel_rerun_transactions_total 5",
            "fugue_parallel_head_reruns_total 4",
            "fugue_parallel_fallbacks_total 1",
            "fugue_parallel_lanes_given_up_total 2",
            "fugue_parallel_memory_bytes 4096",
            "fugue_pool_transactions{kind=\"pending\"} 3",
            "fugue_phase_milliseconds_total{phase=\"decode\"} 1",
            "fugue_phase_milliseconds_total{phase=\"prepare\"} 2",
            "fugue_phase_milliseconds_total{phase=\"execute\"} 3",
            "fugue_phase_milliseconds_total{phase=\"root\"} 4",
            "fugue_phase_milliseconds_total{phase=\"insert\"} 5",
            "fugue_persist_milliseconds_total 6",
            "fugue_persist_wait_milliseconds_total 7",
            "fugue_process_cpu_milliseconds_total 1500",
            "fugue_rpc_refused_total{reason=\"host\"} 2",
            "# TYPE fugue_persist_wait_milliseconds_total counter",
            "fugue_engine_call_seconds_bucket{method=\"newPayloadV4\",le=\"0.025\"} 1",
            "# HELP fugue_head_number number of the head",
        ] {
            assert!(text.lines().any(|found| found == line), "no {line} in:\n{text}");
        }
    }

    #[test]
    fn the_dashboard_shows_what_the_node_exports() {
        let dashboard = include_str!("../../../../etc/grafana/fugue.json");
        let dashboard: serde_json::Value = serde_json::from_str(dashboard).expect("JSON");
        let mut queries = Vec::new();
        collect_queries(&dashboard, &mut queries);
        assert!(queries.len() > 20, "{} queries", queries.len());
        let mut used = BTreeSet::new();
        for query in &queries {
            let found = names(query);
            assert!(!found.is_empty(), "no metric of ours in {query}");
            for name in found {
                let known = METRICS.iter().any(|metric| metric.name == base(name));
                assert!(known, "{name} is not exported: {query}");
                used.insert(base(name));
            }
        }
        let unused: Vec<&str> =
            METRICS.iter().map(|metric| metric.name).filter(|name| !used.contains(name)).collect();
        assert!(unused.is_empty(), "not on the dashboard: {unused:?}");
    }

    fn collect_queries(value: &serde_json::Value, queries: &mut Vec<String>) {
        match value {
            serde_json::Value::Object(fields) => {
                for (name, value) in fields {
                    match value.as_str() {
                        Some(query) if name == "expr" => queries.push(query.to_owned()),
                        _ => collect_queries(value, queries),
                    }
                }
            }
            serde_json::Value::Array(items) => {
                for item in items {
                    collect_queries(item, queries);
                }
            }
            _ => {}
        }
    }
}

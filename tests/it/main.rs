//! The whole-program tests, one binary: house rules, the program on good and on damaged files, the
//! parallel mode against the sequential one, and the scheduler on programs of its own.
//!
//! They look for the program beside themselves, so it is built first, with the same profile.

mod support;

mod layers;
mod licences;
mod tidy;

mod aave_blocks;
mod bench_cli;
mod bench_redo;
mod bench_rpc;
mod bench_simulate;
mod capture_cli;
mod damaged;
mod dev_anvil;
mod dev_edits;
mod dev_methods;
mod dev_pending;
mod era_files;
mod genesis_files;
mod import_bad_days;
mod import_cli;
mod import_crash;
mod import_faults;
mod import_support;
mod node_config;
mod node_life;
mod node_support;
mod openrpc;
mod other_config;
mod replay_cli;
mod rpc_compat;
mod tracers;
mod witness_replay;

mod addresses;
mod allocations;
mod bal_mode;
mod build_mode;
mod engine_bad_days;
mod engine_build;
mod engine_forkchoice;
mod engine_kills;
mod engine_support;
mod equivalence;
mod execution_witness;
mod extremes;
mod hash_maps;
mod invalid_blocks;
mod log_index;
mod method_params;
mod noisy;
mod observed_runs;
mod rpc_bad_days;
mod rpc_errors;
mod rpc_explain;
mod rpc_questions;
mod rpc_streams;
mod rpc_subscriptions;
mod rpc_traces;
mod rules_bounds;
mod rules_fuzz;
mod rules_http;
mod rules_limits;
mod rules_load;
mod rules_origins;
mod rules_support;
mod scheduler_program;
mod set_head;
mod side_blocks;
mod small_methods;
mod trace_files;

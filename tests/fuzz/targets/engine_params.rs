//! Parameters of the Engine API.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fugue_rpc::fuzzing::engine_params(data));

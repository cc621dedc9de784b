//! Data of messages that revert.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fugue_rpc::fuzzing::revert_data(data));

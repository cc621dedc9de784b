//! Arguments of the public methods.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fugue_rpc::fuzzing::public_params(data));

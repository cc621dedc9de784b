//! Bodies of requests over HTTP.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fugue_rpc::fuzzing::http_request(data));

//! What comes over IPC.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fugue_rpc::fuzzing::ipc_stream(data));

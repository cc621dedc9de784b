//! Parameters of every method that is registered, which is called with them.

#![no_main]

use fugue_tests::methods::Methods;
use std::sync::LazyLock;

/// One chain for all inputs: each finds it where the first one did.
static METHODS: LazyLock<Methods> = LazyLock::new(Methods::new);

libfuzzer_sys::fuzz_target!(|data: &[u8]| METHODS.fuzz(data));

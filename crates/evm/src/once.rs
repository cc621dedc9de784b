//! Whoever runs one transaction many times, under many rules and in many ways, may have what takes
//! longest of it computed once: the compression of BLAKE2 (EIP-152) takes up to 4 billion rounds,
//! which is a minute.

use fugue_types::HashMap;
use parking_lot::Mutex;
use revm::precompile::{Crypto, DefaultCrypto, install_crypto};
use std::sync::{Arc, OnceLock};

/// Rounds that a compression has at least to be kept: a tenth of a second. They cost more gas than
/// a transaction may use from Osaka on (EIP-7825).
const ROUNDS_MIN: u32 = 1 << 24;
/// Compressions that are kept, 350 bytes each; of others each is computed.
const KEPT_MAX: usize = 1 << 10;

/// From now on a long compression of BLAKE2 is computed once in this process, whichever EVM asks
/// for it. It gives whether that is so: not if anything was computed by a precompiled contract
/// before.
pub fn compute_long_hashes_once() -> bool {
    install_crypto(Once::default())
}

/// The arguments of a compression: rounds, state, message, offset, whether the block is the last.
type Arguments = (u32, [u64; 8], [u64; 16], [u64; 2], bool);

#[derive(Debug, Default)]
struct Once {
    /// The state after each. Who asks while it is computed waits for it.
    kept: Mutex<HashMap<Arguments, Arc<OnceLock<[u64; 8]>>>>,
}

impl Once {
    /// Where a compression is kept, if there is room for it.
    fn place(&self, arguments: Arguments) -> Option<Arc<OnceLock<[u64; 8]>>> {
        let mut kept = self.kept.lock();
        let has_room = kept.len() < KEPT_MAX || kept.contains_key(&arguments);
        has_room.then(|| Arc::clone(kept.entry(arguments).or_default()))
    }
}

impl Crypto for Once {
    fn blake2_compress(&self, rounds: u32, h: &mut [u64; 8], m: &[u64; 16], t: &[u64; 2], f: bool) {
        let long = (rounds >= ROUNDS_MIN).then_some((rounds, *h, *m, *t, f));
        let before = *h;
        let compute = || {
            let mut after = before;
            DefaultCrypto.blake2_compress(rounds, &mut after, m, t, f);
            after
        };
        *h = match long.and_then(|arguments| self.place(arguments)) {
            Some(place) => *place.get_or_init(compute),
            None => compute(),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compress(crypto: &impl Crypto, rounds: u32, last: bool) -> [u64; 8] {
        let mut state = [7; 8];
        crypto.blake2_compress(rounds, &mut state, &[5; 16], &[3, 0], last);
        state
    }

    #[test]
    fn a_long_compression_is_computed_once_and_a_short_one_each_time() {
        let once = Once::default();
        for (rounds, kept) in [(12, 0), (ROUNDS_MIN - 1, 0), (ROUNDS_MIN, 1), (ROUNDS_MIN, 1)] {
            let state = compress(&once, rounds, true);
            assert_eq!(state, compress(&DefaultCrypto, rounds, true), "{rounds}");
            assert_eq!(once.kept.lock().len(), kept, "{rounds}");
        }
        // It is what is kept that is given, to whoever has the same arguments.
        let arguments = (ROUNDS_MIN + 1, [7; 8], [5; 16], [3, 0], true);
        let place = once.place(arguments).expect("there is room");
        place.set([1; 8]).expect("nothing is there");
        assert_eq!(compress(&once, ROUNDS_MIN + 1, true), [1; 8]);
        let other = compress(&once, ROUNDS_MIN + 1, false);
        assert_eq!(other, compress(&DefaultCrypto, ROUNDS_MIN + 1, false));
    }

    #[test]
    fn no_more_is_kept_than_there_is_room_for() {
        let once = Once::default();
        let arguments = |rounds| (rounds, [0; 8], [0; 16], [0, 0], true);
        let places = (0..KEPT_MAX as u32).filter_map(|rounds| once.place(arguments(rounds)));
        assert_eq!(places.count(), KEPT_MAX);
        assert!(once.place(arguments(KEPT_MAX as u32)).is_none());
        assert!(once.place(arguments(0)).is_some(), "it is there");
        assert_eq!(once.kept.lock().len(), KEPT_MAX);
    }
}

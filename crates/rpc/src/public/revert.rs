//! Messages that ran and failed, as errors.

use crate::public::error::refused;
use fugue_evm::{CallOutcome, revert_reason};
use fugue_types::{Bytes, TxStatus};
use jsonrpsee::types::ErrorObjectOwned;

/// A message reverted. Source: EIP-1474 does not have it; all clients give 3.
const REVERTED: i32 = 3;
/// Bytes of a reason that is told in words; in JSON each may take six. Longer ones are in the data
/// alone.
const REASON_BYTES_MAX: usize = 16 * 1024;

/// A message that ran and failed, as an error.
pub(crate) fn of_failed(outcome: CallOutcome) -> ErrorObjectOwned {
    match outcome.status {
        TxStatus::Revert => reverted(&outcome.output),
        other => refused(other.name()),
    }
}

/// With the data, and its reason if it has one that is known.
fn reverted(data: &Bytes) -> ErrorObjectOwned {
    let reason = revert_reason(data).filter(|reason| reason.len() <= REASON_BYTES_MAX);
    let message = match reason {
        Some(reason) => format!("execution reverted: {reason}"),
        None => "execution reverted".to_owned(),
    };
    ErrorObjectOwned::owned(REVERTED, message, Some(data))
}

/// Tells of any data, for fuzz targets.
#[cfg(any(test, feature = "fuzzing"))]
pub(super) fn fuzz(data: &[u8]) {
    let told = reverted(&Bytes::copy_from_slice(data));
    assert_eq!(told.code(), REVERTED, "{}", told.message());
}

#[cfg(test)]
mod tests {
    use super::*;
    use fugue_types::U256;

    /// First bytes of keccak256 of `Error(string)`.
    const ERROR_SELECTOR: [u8; 4] = [0x08, 0xc3, 0x79, 0xa0];
    /// First bytes of keccak256 of `Panic(uint256)`.
    const PANIC_SELECTOR: [u8; 4] = [0x4e, 0x48, 0x7b, 0x71];

    fn data(selector: [u8; 4], words: &[U256], tail: &[u8]) -> Bytes {
        let words = words.iter().flat_map(|word| word.to_be_bytes::<32>());
        selector.into_iter().chain(words).chain(tail.iter().copied()).collect()
    }

    #[test]
    fn a_revert_has_code_3_its_data_and_its_reason() {
        let mut text = b"user error".to_vec();
        text.resize(32, 0);
        let data = data(ERROR_SELECTOR, &[U256::from(32), U256::from(10)], &text);
        let error = reverted(&data);
        assert_eq!((error.code(), error.message()), (3, "execution reverted: user error"));
        let json = error.data().expect("has data").get().to_owned();
        assert_eq!(json, format!("\"{data}\""));
    }

    #[test]
    fn a_panic_is_told_in_words() {
        let error = reverted(&data(PANIC_SELECTOR, &[U256::from(1)], &[]));
        assert_eq!(error.message(), "execution reverted: assert(false)");
        let error = reverted(&data(PANIC_SELECTOR, &[U256::from(0x99)], &[]));
        assert_eq!(error.message(), "execution reverted: unknown panic code: 0x99");
    }

    #[test]
    fn a_reason_that_is_too_long_is_in_the_data_alone() {
        for (size, is_told) in [(REASON_BYTES_MAX, true), (REASON_BYTES_MAX + 1, false)] {
            let text = vec![b'x'; size.next_multiple_of(32)];
            let data = data(ERROR_SELECTOR, &[U256::from(32), U256::from(size)], &text);
            let error = reverted(&data);
            assert_eq!(error.message().len() > size, is_told, "{size}");
            let json = error.data().expect("has data").get().to_owned();
            assert_eq!(json, format!("\"{data}\""), "{size}");
        }
    }

    #[test]
    fn f3_data_of_another_form_has_no_reason() {
        for data in [
            Bytes::new(),
            Bytes::from_static(&[1, 2, 3, 4, 5]),
            data(ERROR_SELECTOR, &[U256::MAX, U256::MAX], &[]),
            data(ERROR_SELECTOR, &[U256::from(32), U256::MAX], &[]),
            data(PANIC_SELECTOR, &[], &[]),
        ] {
            assert_eq!(reverted(&data).message(), "execution reverted");
        }
    }

    #[test]
    fn a_halt_is_no_revert() {
        let status = TxStatus::Halt("out of gas".to_owned());
        let outcome = CallOutcome {
            status,
            gas_used: 1,
            gas_spent: 1,
            gas_regular: 1,
            gas_state: 0,
            output: Bytes::new(),
            logs: Vec::new(),
            lacked_gas: false,
            created: None,
        };
        let error = of_failed(outcome);
        assert_eq!((error.code(), error.message()), (-32000, "out of gas"));
    }
}

//! Ids of filters and subscriptions: random, so that nobody guesses another's.

use alloy_primitives::B128;
use jsonrpsee::{core::traits::IdProvider, types::SubscriptionId};

/// Gives ids of 128 random bits, as quantities.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RandomIds;

impl RandomIds {
    /// The next id.
    pub(crate) fn next() -> u128 {
        u128::from_be_bytes(B128::random().0)
    }
}

impl IdProvider for RandomIds {
    fn next_id(&self) -> SubscriptionId<'static> {
        text(Self::next()).into()
    }
}

/// As requests and answers write it.
pub(crate) fn text(id: u128) -> String {
    format!("{id:#x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_quantities_and_differ() {
        let [SubscriptionId::Str(one), SubscriptionId::Str(two)] =
            [RandomIds.next_id(), RandomIds.next_id()]
        else {
            panic!("ids are strings")
        };
        assert_ne!(one, two);
        let digits = one.strip_prefix("0x").expect("hexadecimal");
        assert!(!digits.starts_with('0') && digits.len() <= 32, "{one}");
        assert_eq!(text(0xab), "0xab");
    }
}

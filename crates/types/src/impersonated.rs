//! Senders without a key, on a chain for development: a signature that is made up, and names whom
//! the transaction is from.
//!
//! ```text
//! r  2^160 + the address
//! s  the mark, the same for all
//! ```
//! A key gives such a signature by chance in one of 2^350 cases, and it counts for nothing on a
//! chain whose rules do not ask for it.

use crate::{Address, B256, U256};
use alloy_primitives::Signature;

/// `impersonated` in ASCII. Not zero, and in the lower half of its range (EIP-2).
const MARK: U256 = U256::from_limbs([0x7273_6f6e_6174_6564, 0x696d_7065, 0, 0]);
/// Bits of an address.
const ADDRESS_BITS: usize = 160;

/// The signature that stands for one of an address.
pub fn impersonating(sender: Address) -> Signature {
    let above = U256::from(1) << ADDRESS_BITS;
    Signature::new(U256::from_be_slice(sender.as_slice()) | above, MARK, false)
}

/// Whom a signature stands for; `None` if it is not made up.
pub fn impersonated(signature: &Signature) -> Option<Address> {
    let r = signature.r();
    let is_made_up = signature.s() == MARK && r >> ADDRESS_BITS == U256::from(1);
    is_made_up.then(|| Address::from_word(B256::from(r)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_up_signature_names_its_sender() {
        for sender in [Address::ZERO, Address::repeat_byte(0xff), Address::repeat_byte(0x5a)] {
            let signature = impersonating(sender);
            assert_eq!(impersonated(&signature), Some(sender));
            assert!(!signature.r().is_zero());
        }
        let bytes = MARK.to_be_bytes::<32>();
        assert!(bytes.ends_with(b"impersonated"));
    }

    #[test]
    fn any_other_signature_names_nobody() {
        let made_up = impersonating(Address::repeat_byte(7));
        let one = U256::from(1);
        for (r, s) in [
            (made_up.r(), made_up.s() + one),
            (made_up.r() << 1_usize, made_up.s()),
            (made_up.r() ^ (one << ADDRESS_BITS), made_up.s()),
            (made_up.r() | (one << 161_usize), made_up.s()),
        ] {
            assert_eq!(impersonated(&Signature::new(r, s, false)), None);
        }
    }
}

//! What the state says of a sender.

use crate::PoolError;
use alloy_eips::eip7702::constants::EIP7702_DELEGATION_DESIGNATOR;
use fugue_chainspec::Rules;
use fugue_state::{Account, StateView};
use fugue_types::Address;

/// Bytes of a delegation: the designator and an address. Source: EIP-7702, "Behavior".
const DELEGATION_BYTES: usize = EIP7702_DELEGATION_DESIGNATOR.len() + 20;

/// A sender that may send.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SenderFacts {
    pub(crate) account: Account,
    /// It runs the code of another account.
    pub(crate) is_delegated: bool,
}

impl SenderFacts {
    /// As [`SenderFacts::check`], but on a chain for development any account may send.
    ///
    /// # Errors
    /// As [`SenderFacts::check`].
    pub(crate) fn of(
        sender: Address,
        account: Account,
        rules: &Rules,
        state: &dyn StateView,
    ) -> Result<Self, PoolError> {
        match Self::check(sender, account, state) {
            Err(PoolError::SenderHasCode { .. }) if rules.is_dev => {
                Ok(Self { account, is_delegated: false })
            }
            facts => facts,
        }
    }

    /// Asks for the sender's code, if it has any.
    ///
    /// # Errors
    /// `PoolError::SenderHasCode` if that is no delegation; `PoolError::State`.
    ///
    /// Source: EIP-3607; EIP-7702, "Transaction origination".
    fn check(sender: Address, account: Account, state: &dyn StateView) -> Result<Self, PoolError> {
        if !account.has_code() {
            return Ok(Self { account, is_delegated: false });
        }
        if is_delegation(&state.code(account.code_hash)?) {
            Ok(Self { account, is_delegated: true })
        } else {
            Err(PoolError::SenderHasCode { sender, code_hash: account.code_hash })
        }
    }
}

fn is_delegation(code: &[u8]) -> bool {
    code.len() == DELEGATION_BYTES && code.starts_with(&EIP7702_DELEGATION_DESIGNATOR)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::rules;
    use fugue_chainspec::Fork;
    use fugue_state::MemoryState;
    use fugue_types::{Bytes, keccak256};

    fn check(code: Vec<u8>) -> Result<bool, PoolError> {
        let code_hash = keccak256(&code);
        let mut state = MemoryState::default();
        state.codes.insert(code_hash, Bytes::from(code));
        let account = Account { code_hash, ..Account::default() };
        SenderFacts::check(Address::ZERO, account, &state).map(|facts| facts.is_delegated)
    }

    #[test]
    fn sender_with_code_is_rejected_unless_it_is_a_delegation() {
        let delegation = [&EIP7702_DELEGATION_DESIGNATOR[..], &[7; 20]].concat();
        assert_eq!(check(Vec::new()), Ok(false));
        assert_eq!(check(delegation.clone()), Ok(true));
        for code in [vec![0], delegation[..22].to_vec(), [&delegation[..], &[0]].concat()] {
            let code_hash = keccak256(&code);
            let error = PoolError::SenderHasCode { sender: Address::ZERO, code_hash };
            assert_eq!(check(code), Err(error));
        }
    }

    #[test]
    fn a_contract_may_send_on_a_dev_chain() {
        let code_hash = keccak256([0]);
        let mut state = MemoryState::default();
        state.codes.insert(code_hash, Bytes::from(vec![0]));
        let account = Account { code_hash, ..Account::default() };
        for is_dev in [false, true] {
            let rules = Rules { is_dev, ..rules(Fork::Osaka) };
            let facts = SenderFacts::of(Address::ZERO, account, &rules, &state);
            assert_eq!(facts.is_ok(), is_dev);
        }
    }

    #[test]
    fn a_code_that_the_state_lacks_is_no_verdict() {
        let account = Account { code_hash: keccak256([1]), ..Account::default() };
        let facts = SenderFacts::check(Address::ZERO, account, &MemoryState::default());
        assert!(matches!(facts, Err(PoolError::State(_))));
    }
}

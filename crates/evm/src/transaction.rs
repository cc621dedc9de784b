//! A transaction ready to run: decoded, its sender and authorities recovered.

use alloy_evm::FromRecoveredTx;
use fugue_types::{Address, Transaction, TxType, Typed2718};
use revm::{context::TxEnv, context_interface::either::Either};

/// A type byte that no fork knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("transaction type {0} is not known")]
pub struct TxEncodingError(pub u8);

/// Gas of a transaction that does nothing but pay. Source: Yellow Paper, appendix G,
/// `G_transaction`.
pub const PAYMENT_GAS: u64 = 21_000;

/// What a transaction is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// To call this account, with data, or with gas for more than a payment.
    Call(Address),
    /// To pay, with no gas for anything else.
    Payment,
    /// To create a contract.
    Creation,
}

/// A transaction as the kernel takes it. Making one recovers the authorities of an EIP-7702
/// transaction, so it is done once, not once per execution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreparedTx {
    pub(crate) env: TxEnv,
    pub(crate) tx_type: TxType,
}

impl PreparedTx {
    /// # Errors
    /// [`TxEncodingError`] if the type is not known.
    pub fn new(tx: &Transaction, sender: Address) -> Result<Self, TxEncodingError> {
        let tx_type = TxType::try_from(tx.ty()).map_err(|_| TxEncodingError(tx.ty()))?;
        Ok(Self { env: TxEnv::from_recovered_tx(tx, sender), tx_type })
    }

    /// As [`PreparedTx::new`], but its authorities are not recovered: that is done whenever it
    /// runs. For one that most likely does not.
    ///
    /// # Errors
    /// As [`PreparedTx::new`].
    pub fn unrecovered(tx: &Transaction, sender: Address) -> Result<Self, TxEncodingError> {
        let Transaction::Eip7702(signed) = tx else { return Self::new(tx, sender) };
        let mut bare = signed.tx().clone();
        let authorizations = std::mem::take(&mut bare.authorization_list);
        let mut env = TxEnv::from_recovered_tx(&bare, sender);
        env.authorization_list = authorizations.into_iter().map(Either::Left).collect();
        Ok(Self { env, tx_type: TxType::Eip7702 })
    }

    /// Who pays.
    pub const fn sender(&self) -> Address {
        self.env.caller
    }

    /// What it is for, as far as it says itself.
    pub fn target(&self) -> Target {
        match self.env.kind.to() {
            Some(callee) if !self.env.data.is_empty() || self.env.gas_limit > PAYMENT_GAS => {
                Target::Call(*callee)
            }
            Some(_) => Target::Payment,
            None => Target::Creation,
        }
    }

    /// Whom it pays, if it does nothing else, unless that account has code.
    pub fn payee(&self) -> Option<Address> {
        let TxEnv { kind, data, access_list, authorization_list, blob_hashes, .. } = &self.env;
        let is_bare = data.is_empty()
            && access_list.0.is_empty()
            && authorization_list.is_empty()
            && blob_hashes.is_empty();
        kind.to().copied().filter(|_| is_bare)
    }

    /// Its data.
    pub fn input(&self) -> &[u8] {
        &self.env.data
    }

    /// Gas that it may use.
    pub const fn gas_limit(&self) -> u64 {
        self.env.gas_limit
    }

    /// Accounts whose code this transaction may set (EIP-7702), invalid authorizations left out;
    /// none if they were not recovered.
    pub fn authorities(&self) -> impl Iterator<Item = Address> {
        self.env.authorization_list.iter().filter_map(|authorization| match authorization {
            Either::Right(recovered) => recovered.authority(),
            Either::Left(_) => None,
        })
    }
}

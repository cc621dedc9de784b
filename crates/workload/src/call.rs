//! What a transaction of a script shall do, before nonce, price and signature.

use crate::contracts;
use alloy_eips::eip2930::AccessList;
use fugue_types::{Address, Bytes, TxKind, U256};

/// Gas of a plain transfer. Source: Yellow Paper, appendix G.
const TRANSFER_GAS: u64 = 21_000;

/// `count` ether in wei.
pub fn ether(count: u64) -> U256 {
    U256::from(u128::from(count) * 1_000_000_000_000_000_000)
}

/// `count` gwei in wei.
pub fn gwei(count: u64) -> u128 {
    u128::from(count) * 1_000_000_000
}

/// What a transaction offers for its gas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fee {
    /// Any type the fork has; before London 1 to 20 gwei, from London on a tip of 0, 1 or 2 gwei
    /// below a maximum of 100, or a price of 20 to 22.
    Usual,
    /// Nothing for the beneficiary: before London a price of zero, from London on no tip.
    Nothing,
    /// From London on a maximum and a tip in gwei; before London the tip is the price.
    Gwei {
        /// Most that is paid per unit of gas.
        max: u64,
        /// What the beneficiary gets per unit of gas.
        tip: u64,
    },
}

/// What a transaction shall do.
#[derive(Debug, Clone)]
pub struct Call {
    /// Whom it calls.
    pub to: TxKind,
    /// Value in wei.
    pub value: U256,
    /// Call data or creation code.
    pub input: Bytes,
    /// Gas limit on forks before Amsterdam.
    pub gas: u64,
    /// How many slots it may add to the state, where an account counts as two and 60 bytes of code
    /// as one: each of them is dear from Amsterdam on (EIP-8037).
    pub fresh: u64,
    /// What it offers for its gas.
    pub fee: Fee,
    /// Accounts and slots to access, used from Berlin on.
    pub access: Option<AccessList>,
    /// How many blobs it carries, used from Cancun on.
    pub blobs: u64,
}

impl Call {
    fn new(to: TxKind, input: Bytes, gas: u64, fresh: u64) -> Self {
        let fee = Fee::Usual;
        Self { to, value: U256::ZERO, input, gas, fresh, fee, access: None, blobs: 0 }
    }

    /// A plain transfer with no gas for code.
    pub fn transfer(to: Address, value: U256) -> Self {
        Self::new(TxKind::Call(to), Bytes::new(), TRANSFER_GAS, 2).value(value)
    }

    /// A call with call data and 100,000 gas.
    pub fn to(to: Address, input: Bytes) -> Self {
        Self::new(TxKind::Call(to), input, 100_000, 3)
    }

    /// A call of a compiled contract's function whose arguments are static words, with 100,000
    /// gas.
    pub fn function(to: Address, name: &str, signature: &str, words: &[U256]) -> Self {
        Self::to(to, contracts::call(name, signature, words))
    }

    /// A creation with gas for calldata, deposit, and a constructor of a few stores, on every
    /// fork.
    pub fn create(code: Bytes) -> Self {
        let length = code.len() as u64;
        Self::new(TxKind::Create, code, 200_000 + 280 * length, 8 + length / 60)
    }

    /// With this value in wei.
    pub fn value(mut self, value: U256) -> Self {
        self.value = value;
        self
    }

    /// With this gas limit before Amsterdam.
    pub fn gas(mut self, gas: u64) -> Self {
        self.gas = gas;
        self
    }

    /// Adding up to this many slots, or their worth in accounts and code.
    pub fn fresh(mut self, fresh: u64) -> Self {
        self.fresh = fresh;
        self
    }

    /// With this offer for the gas.
    pub fn fee(mut self, fee: Fee) -> Self {
        self.fee = fee;
        self
    }

    /// With this access list.
    pub fn access(mut self, list: AccessList) -> Self {
        self.access = Some(list);
        self
    }

    /// With this many blobs.
    pub fn blobs(mut self, count: u64) -> Self {
        self.blobs = count;
        self
    }
}

//! Runs a message on a state as a question: what would it do? Nothing is written.
//!
//! Of the rules for transactions those hold that the question itself names: funds for the value,
//! and a base fee where a price is given. No nonce, no limit of the block, and no proof that the
//! sender is a person (EIP-3607) is asked for.

use crate::{
    CodeCache, FeePayment, InvalidTx, ReadLog, ViewReader,
    database::{LoggedDatabase, ReadFault},
    machine::{Machine, Phases},
};
use alloy_consensus::crypto::secp256k1::recover_signer;
use fugue_chainspec::{Fork, Rules};
use fugue_state::{StateError, StateView};
use fugue_types::{Address, B256, Bytes, Header, Log, TxKind, TxStatus, U256};
use revm::{
    context::{ContextSetters, TxEnv},
    context_interface::{
        either::Either,
        result::{EVMError, ExecutionResult, HaltReason, InvalidTransaction},
        transaction::{
            AccessList, RecoveredAuthority, RecoveredAuthorization, SignedAuthorization,
            TransactionType,
        },
    },
    handler::Handler,
    primitives::eip7825::TX_GAS_LIMIT_CAP,
};

/// What the sender of a message offers for a unit of gas, in wei.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CallPrice {
    /// Nothing, and none is demanded: the base fee is zero, also for the code that asks for it.
    #[default]
    Free,
    /// One price.
    Fixed(u128),
    /// Source: EIP-1559.
    Dynamic {
        /// The most, base fee included.
        max: u128,
        /// The most above the base fee.
        tip: u128,
    },
}

/// A message that might be sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallRequest {
    /// Who sends it.
    pub from: Address,
    /// Who gets it; `None` makes a contract of `data`.
    pub to: Option<Address>,
    /// The most gas it may use.
    pub gas: u64,
    /// What is offered for gas.
    pub price: CallPrice,
    /// Wei that go with it.
    pub value: U256,
    /// Its input.
    pub data: Bytes,
    /// Accounts and slots that are warm from the start (EIP-2930).
    pub access_list: Option<AccessList>,
    /// Versioned hashes of blobs (EIP-4844).
    pub blob_hashes: Vec<B256>,
    /// The most wei for a unit of blob gas; `None` demands no blob base fee.
    pub max_fee_per_blob_gas: Option<u128>,
    /// Delegations that are set first (EIP-7702).
    pub authorizations: Vec<SignedAuthorization>,
}

/// What a message did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallOutcome {
    /// How it ended.
    pub status: TxStatus,
    /// Gas that a transaction would have paid for.
    pub gas_used: u64,
    /// Return or revert data; for a creation the code.
    pub output: Bytes,
    /// Logs in the order of emission.
    pub logs: Vec<Log>,
}

/// A message that did not run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// It breaks a rule.
    #[error(transparent)]
    Invalid(InvalidTx),
    /// Blobs and delegations need somebody to send them to.
    #[error("a message with {0} cannot create a contract")]
    Creates(&'static str),
    /// The state was not read. Says nothing about the message.
    #[error(transparent)]
    State(#[from] StateError),
    /// The EVM implementation gave up; a defect of ours.
    #[error("EVM: {0}")]
    Internal(String),
}

/// No gas is enough, or none was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EstimateError {
    /// It fails, and not for want of gas.
    #[error("{}", .0.status.name())]
    Failed(CallOutcome),
    /// It needs more gas than it may use or pay for.
    #[error("gas required exceeds allowance ({0})")]
    Allowance(u64),
    /// It did not run.
    #[error(transparent)]
    Call(#[from] CallError),
}

/// Gas of a transfer to an account without code, before Amsterdam. Source: Yellow Paper,
/// G_transaction.
const TRANSFER_GAS: u64 = 21_000;
/// What a call with value hands over besides. Source: Yellow Paper, G_callstipend.
const CALL_STIPEND: u64 = 2_300;
/// An estimate may be too high by this share, in thousandths, as in the leading clients: it saves
/// half of the runs.
const ESTIMATE_TOLERANCE: u128 = 15;
/// Runs of the search, which halves what is open each time.
const SEARCH_RUNS_MAX: usize = 64;

/// Runs a message on the state after the block with this header, as if in that block.
///
/// # Errors
/// [`CallError`].
pub fn call(
    rules: &Rules,
    header: &Header,
    codes: &CodeCache,
    view: &dyn StateView,
    request: &CallRequest,
) -> Result<CallOutcome, CallError> {
    let place = Place { rules, header, codes, view };
    Ok(place.run(request, request.gas, TxGasCap::Lifted)?.outcome)
}

/// The least gas, or little more, with which the message succeeds: at most `request.gas`, what a
/// transaction may have (EIP-7825), and what the sender can pay for.
///
/// # Errors
/// [`EstimateError`].
pub fn estimate_gas(
    rules: &Rules,
    header: &Header,
    codes: &CodeCache,
    view: &dyn StateView,
    request: &CallRequest,
) -> Result<u64, EstimateError> {
    let place = Place { rules, header, codes, view };
    let mut highest = place.allowance(request)?;
    if place.is_transfer(request)?
        && highest >= TRANSFER_GAS
        && place.attempt(request, TRANSFER_GAS)?.is_some_and(|ran| ran.is_success())
    {
        return Ok(TRANSFER_GAS);
    }
    let Some(ran) = place.attempt(request, highest)? else {
        return Err(EstimateError::Allowance(highest));
    };
    if !ran.is_success() {
        return Err(if ran.lacked_gas {
            EstimateError::Allowance(highest)
        } else {
            EstimateError::Failed(ran.outcome)
        });
    }

    let mut lowest = ran.outcome.gas_used.saturating_sub(1);
    // A frame keeps a 64th of its gas from the frames that it calls, so a message may need more
    // than it uses. Most need no more than this.
    let guess = ran.gas_spent.saturating_add(CALL_STIPEND).saturating_mul(64) / 63;
    let mut next = Some(guess).filter(|guess| *guess < highest);
    for _ in 0..SEARCH_RUNS_MAX {
        let open = highest.saturating_sub(lowest);
        let is_near = u128::from(open) * 1_000 < u128::from(highest) * ESTIMATE_TOLERANCE;
        if next.is_none() && (open <= 1 || is_near) {
            break;
        }
        // Most messages need little: the next is at most twice what is known to be too little.
        let halfway = lowest.saturating_add(open / 2).min(lowest.saturating_mul(2));
        let gas = next.take().unwrap_or(halfway.max(lowest.saturating_add(1)));
        if place.attempt(request, gas)?.is_some_and(|ran| ran.is_success()) {
            highest = gas;
        } else {
            lowest = gas;
        }
    }
    Ok(highest)
}

/// What EIP-7825 says of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TxGasCap {
    Kept,
    Lifted,
}

/// A block, and the state after it.
#[derive(Clone, Copy)]
struct Place<'a> {
    rules: &'a Rules,
    header: &'a Header,
    codes: &'a CodeCache,
    view: &'a dyn StateView,
}

/// A message that ran.
struct Ran {
    outcome: CallOutcome,
    /// Before refunds.
    gas_spent: u64,
    lacked_gas: bool,
}

impl Ran {
    const fn is_success(&self) -> bool {
        self.outcome.status.is_success()
    }
}

impl Place<'_> {
    /// The most gas that a transaction may have and its sender can pay.
    fn allowance(&self, request: &CallRequest) -> Result<u64, CallError> {
        let is_capped = self.rules.has(Fork::Osaka) && !self.rules.has(Fork::Amsterdam);
        let gas = if is_capped { request.gas.min(TX_GAS_LIMIT_CAP) } else { request.gas };
        let price = match request.price {
            CallPrice::Free => 0,
            CallPrice::Fixed(price) => price,
            CallPrice::Dynamic { max, .. } => max,
        };
        if price == 0 {
            return Ok(gas);
        }
        let balance = self.view.account(request.from)?.unwrap_or_default().balance;
        let funds = balance.saturating_sub(request.value);
        let affordable: u64 = (funds / U256::from(price)).saturating_to();
        Ok(gas.min(affordable))
    }

    /// Whether it only moves wei, to an account without code.
    fn is_transfer(&self, request: &CallRequest) -> Result<bool, CallError> {
        let Some(to) = request.to else { return Ok(false) };
        if self.rules.has(Fork::Amsterdam)
            || !request.data.is_empty()
            || request.access_list.is_some()
            || !request.authorizations.is_empty()
            || !request.blob_hashes.is_empty()
        {
            return Ok(false);
        }
        Ok(!self.view.account(to)?.is_some_and(|account| account.has_code()))
    }

    /// Runs a message with this much gas; `None` if that does not even let it begin.
    fn attempt(&self, request: &CallRequest, gas: u64) -> Result<Option<Ran>, CallError> {
        match self.run(request, gas, TxGasCap::Kept) {
            Ok(ran) => Ok(Some(ran)),
            Err(CallError::Invalid(InvalidTx(
                InvalidTransaction::CallGasCostMoreThanGasLimit { .. }
                | InvalidTransaction::GasFloorMoreThanGasLimit { .. },
            ))) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn run(&self, request: &CallRequest, gas: u64, cap: TxGasCap) -> Result<Ran, CallError> {
        let reader = ViewReader(self.view);
        let database = LoggedDatabase { reader, codes: self.codes, log: ReadLog::default() };
        let mut machine = Machine::new(self.rules, self.header, database);
        let context = &mut machine.inner.ctx;
        context.cfg.disable_nonce_check = true;
        context.cfg.disable_eip3607 = true;
        context.cfg.disable_block_gas_limit = true;
        if cap == TxGasCap::Lifted {
            context.cfg.tx_gas_limit_cap = Some(u64::MAX);
        }
        if request.is_free() {
            context.block.basefee = 0;
        }
        if request.max_fee_per_blob_gas.is_none()
            && let Some(blobs) = &mut context.block.blob_excess_gas_and_price
        {
            blobs.blob_gasprice = 0;
        }
        context.set_tx(request.tx_env(gas, self.rules.chain_id)?);
        let mut phases = Phases::new(FeePayment::Direct);
        Ok(to_ran(phases.run(&mut machine).map_err(to_error)?))
    }
}

impl CallRequest {
    /// Whether no base fee is demanded.
    const fn is_free(&self) -> bool {
        matches!(
            self.price,
            CallPrice::Free | CallPrice::Fixed(0) | CallPrice::Dynamic { max: 0, tip: 0 }
        )
    }

    /// As the EVM implementation takes it: of the oldest type of transaction that has its fields.
    fn tx_env(&self, gas_limit: u64, chain_id: u64) -> Result<TxEnv, CallError> {
        let (gas_price, tip) = match self.price {
            CallPrice::Free => (0, None),
            CallPrice::Fixed(price) => (price, None),
            CallPrice::Dynamic { max, tip } => (max, Some(tip)),
        };
        let tx_type = if !self.authorizations.is_empty() {
            TransactionType::Eip7702
        } else if !self.blob_hashes.is_empty() {
            TransactionType::Eip4844
        } else if tip.is_some() {
            TransactionType::Eip1559
        } else if self.access_list.is_some() {
            TransactionType::Eip2930
        } else {
            TransactionType::Legacy
        };
        let needs_tip = matches!(tx_type, TransactionType::Eip7702 | TransactionType::Eip4844);
        let kind = match (self.to, tx_type) {
            (Some(to), _) => TxKind::Call(to),
            (None, TransactionType::Eip7702) => return Err(CallError::Creates("authorizations")),
            (None, TransactionType::Eip4844) => return Err(CallError::Creates("blobs")),
            (None, _) => TxKind::Create,
        };
        Ok(TxEnv {
            tx_type: tx_type as u8,
            caller: self.from,
            gas_limit,
            gas_price,
            kind,
            value: self.value,
            data: self.data.clone(),
            nonce: 0,
            chain_id: Some(chain_id),
            access_list: self.access_list.clone().unwrap_or_default(),
            gas_priority_fee: tip.or_else(|| needs_tip.then_some(gas_price)),
            blob_hashes: self.blob_hashes.clone(),
            max_fee_per_blob_gas: self.max_fee_per_blob_gas.unwrap_or_default(),
            authorization_list: self.authorizations.iter().map(recovered).collect(),
        })
    }
}

fn recovered(signed: &SignedAuthorization) -> Either<SignedAuthorization, RecoveredAuthorization> {
    let signature = signed.signature().ok();
    let authority = signature
        .and_then(|signature| recover_signer(&signature, signed.signature_hash()).ok())
        .map_or(RecoveredAuthority::Invalid, RecoveredAuthority::Valid);
    Either::Right(RecoveredAuthorization::new_unchecked(signed.inner().clone(), authority))
}

fn to_error(error: EVMError<ReadFault<StateError>>) -> CallError {
    match error {
        EVMError::Transaction(invalid) => CallError::Invalid(InvalidTx(invalid)),
        EVMError::Database(ReadFault(error)) => CallError::State(error),
        EVMError::Header(header) => CallError::Internal(header.to_string()),
        EVMError::Custom(message) => CallError::Internal(message),
        EVMError::CustomAny(error) => CallError::Internal(error.to_string()),
    }
}

fn to_ran(result: ExecutionResult) -> Ran {
    let gas = *result.gas();
    let (gas_used, gas_spent) = (gas.tx_gas_used(), gas.total_gas_spent().max(gas.floor_gas()));
    let mut lacked_gas = false;
    let (status, logs, output) = match result {
        ExecutionResult::Success { logs, output, .. } => {
            (TxStatus::Success, logs, output.into_data())
        }
        ExecutionResult::Revert { output, .. } => (TxStatus::Revert, Vec::new(), output),
        ExecutionResult::Halt { reason, .. } => {
            lacked_gas = matches!(reason, HaltReason::OutOfGas(_));
            (TxStatus::Halt(format!("{reason:?}")), Vec::new(), Bytes::new())
        }
    };
    Ran { outcome: CallOutcome { status, gas_used, output, logs }, gas_spent, lacked_gas }
}

#[cfg(test)]
mod tests;

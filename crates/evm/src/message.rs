//! Messages: what might be sent, without a signature, and what it did.

use crate::{
    InvalidTx, Kernel, StateReader,
    database::ReadFault,
    machine::{Ctx, Machine},
    trace::words,
};
use alloy_consensus::crypto::secp256k1::recover_signer;
use fugue_state::StateError;
use fugue_types::{Address, B256, Bytes, Log, TxKind, TxStatus, U256};
use revm::{
    context::{ContextSetters, TxEnv},
    context_interface::{
        Cfg,
        either::Either,
        result::{EVMError, ExecutionResult, HaltReason, InvalidTransaction},
        transaction::{
            AccessList, RecoveredAuthority, RecoveredAuthorization, SignedAuthorization,
            TransactionType,
        },
    },
    handler::{EthFrame, Handler},
    inspector::{Inspector, InspectorHandler},
    interpreter::Interpreter,
    primitives::hardfork::SpecId,
};

/// What the sender of a message offers for a unit of gas, in wei.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CallPrice {
    /// Nothing.
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
    /// The sender's transactions before it, where that is checked.
    pub nonce: u64,
    /// Accounts and slots that are warm from the start (EIP-2930).
    pub access_list: Option<AccessList>,
    /// Versioned hashes of blobs (EIP-4844).
    pub blob_hashes: Vec<B256>,
    /// The most wei for a unit of blob gas; `None` demands no blob base fee.
    pub max_fee_per_blob_gas: Option<u128>,
    /// Delegations that are set first (EIP-7702).
    pub authorizations: Vec<SignedAuthorization>,
}

/// Which rules for transactions a message must keep. That its sender has no code (EIP-3607), and
/// the block's gas limit, are not asked for in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checks {
    /// The nonce is the sender's.
    pub nonce: bool,
    /// What is demanded for gas of a message that offers nothing.
    pub base_fee: BaseFee,
    /// The most gas of a transaction (EIP-7825).
    pub gas_cap: bool,
}

impl Checks {
    /// Those that a question keeps.
    pub const QUESTION: Self = Self { nonce: false, base_fee: BaseFee::Zero, gas_cap: false };
}

/// What is demanded for gas of a message that offers nothing. Others must offer the base fee.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BaseFee {
    /// The base fee.
    Kept,
    /// Nothing, and the code sees the base fee of the block.
    Waived,
    /// Nothing: the base fee is zero, also for the code that asks for it.
    Zero,
}

/// What a message did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallOutcome {
    /// How it ended: a halt in the words of go-ethereum.
    pub status: TxStatus,
    /// Gas that a transaction would have paid for.
    pub gas_used: u64,
    /// The same before refunds: what it must have at least.
    pub gas_spent: u64,
    /// What a block counts of it in the regular dimension, from Amsterdam on. Source: EIP-7778,
    /// EIP-8037.
    pub gas_regular: u64,
    /// The same in the state dimension. Source: EIP-8037.
    pub gas_state: u64,
    /// Return or revert data; for a creation the code.
    pub output: Bytes,
    /// Logs in the order of emission.
    pub logs: Vec<Log>,
    /// It ended for want of gas.
    pub lacked_gas: bool,
    /// The contract that it made.
    pub created: Option<Address>,
}

/// A message that did not run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// It breaks a rule.
    #[error(transparent)]
    Invalid(InvalidTx),
    /// It creates a contract with more code than that may have (EIP-3860). The words are those of
    /// go-ethereum.
    #[error("max initcode size exceeded: code size {size} limit {max}")]
    InitCode {
        /// Bytes that it has.
        size: usize,
        /// Bytes that it may have.
        max: usize,
    },
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

impl<R: StateReader<Error = StateError>, I> Kernel<'_, R, I> {
    /// Runs a message as the next transaction of the block. Its changes stay in the journal.
    ///
    /// # Errors
    /// [`CallError`]; the journal is then as it was before.
    pub fn send(
        &mut self,
        request: &CallRequest,
        checks: Checks,
    ) -> Result<CallOutcome, CallError> {
        self.take_message(request, checks)?;
        let result = self.phases.run(&mut self.machine);
        self.outcome(result)
    }

    /// What became of the message that was run last.
    fn outcome(
        &mut self,
        result: Result<ExecutionResult, EVMError<ReadFault<StateError>>>,
    ) -> Result<CallOutcome, CallError> {
        let inner = &mut self.machine.inner;
        let result = result.map_err(|error| to_error(error, &inner.ctx))?;
        // The frames that are kept for the next message are as this one has left them.
        let mut outermost = inner.frame_stack.start_init();
        Ok(to_outcome(result, &outermost.get(EthFrame::invalid).interpreter))
    }

    pub(crate) fn take_message(
        &mut self,
        request: &CallRequest,
        checks: Checks,
    ) -> Result<(), CallError> {
        let mut tx = request.tx_env(self.chain_id)?;
        let Machine { inner } = &mut self.machine;
        let (cfg, block) = (&mut inner.ctx.cfg, &mut inner.ctx.block);
        cfg.disable_nonce_check = !checks.nonce;
        cfg.disable_eip3607 = true;
        cfg.disable_block_gas_limit = true;
        cfg.tx_gas_limit_cap = if checks.gas_cap { None } else { Some(u64::MAX) };
        if checks.base_fee != BaseFee::Kept {
            leave_out_later(&mut tx, cfg.spec);
        }
        let is_free = tx.gas_price == 0 && tx.gas_priority_fee.unwrap_or_default() == 0;
        cfg.disable_base_fee = is_free && checks.base_fee != BaseFee::Kept;
        let has_no_base_fee = is_free && checks.base_fee == BaseFee::Zero;
        let has_no_blob_fee = checks.base_fee != BaseFee::Kept
            && request.max_fee_per_blob_gas.is_none()
            && !request.blob_hashes.is_empty();
        // What was waived for the message before is asked for again.
        let (base_fee, blob_base_fee) = self.base_fees;
        block.basefee = if has_no_base_fee { 0 } else { base_fee };
        if let Some(blobs) = &mut block.blob_excess_gas_and_price {
            blobs.blob_gasprice = if has_no_blob_fee { 0 } else { blob_base_fee };
        }
        inner.ctx.set_tx(tx);
        Ok(())
    }
}

impl<'c, R: StateReader<Error = StateError>, I> Kernel<'c, R, I> {
    /// As [`Kernel::send`], the inspector looking on.
    pub(crate) fn send_inspected(
        &mut self,
        request: &CallRequest,
        checks: Checks,
    ) -> Result<CallOutcome, CallError>
    where
        I: Inspector<Ctx<'c, R>>,
    {
        self.take_message(request, checks)?;
        let result = self.phases.inspect_run(&mut self.machine);
        self.outcome(result)
    }
}

impl<R: StateReader, I> Kernel<'_, R, I> {
    /// Moves the precompiled contract at `from` to `to`, where it takes the place of what is there;
    /// to nowhere, if that is `None`. Says whether there is one.
    pub fn shift_precompile(&mut self, from: Address, to: Option<Address>) -> bool {
        let precompiles = &mut self.machine.inner.precompiles;
        let is_there = precompiles.has(from);
        if is_there {
            precompiles.shift(from, to);
        }
        is_there
    }

    /// Wei for a unit of blob gas, in place of what the header says.
    pub fn set_blob_base_fee(&mut self, price: u128) {
        self.base_fees.1 = price;
        if let Some(blobs) = &mut self.machine.inner.ctx.block.blob_excess_gas_and_price {
            blobs.blob_gasprice = price;
        }
    }
}

impl CallOutcome {
    pub(crate) const fn is_success(&self) -> bool {
        self.status.is_success()
    }
}

impl CallRequest {
    /// As the EVM implementation takes it: of the oldest type of transaction that has its fields.
    pub(crate) fn tx_env(&self, chain_id: u64) -> Result<TxEnv, CallError> {
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
            gas_limit: self.gas,
            gas_price,
            kind,
            value: self.value,
            data: self.data.clone(),
            nonce: self.nonce,
            chain_id: Some(chain_id),
            access_list: self.access_list.clone().unwrap_or_default(),
            gas_priority_fee: tip.or_else(|| needs_tip.then_some(gas_price)),
            blob_hashes: self.blob_hashes.clone(),
            max_fee_per_blob_gas: self.max_fee_per_blob_gas.unwrap_or_default(),
            authorization_list: self.authorizations.iter().map(recovered).collect(),
        })
    }
}

/// Takes off a question what its fork does not know yet, as go-ethereum does: nobody offers two
/// prices before London, and no access list warms anything before Berlin.
fn leave_out_later(tx: &mut TxEnv, spec: SpecId) {
    let (two_prices, listing) = (TransactionType::Eip1559 as u8, TransactionType::Eip2930 as u8);
    if tx.tx_type == two_prices && !spec.is_enabled_in(SpecId::LONDON) {
        tx.tx_type = listing;
        (tx.gas_price, tx.gas_priority_fee) = (0, None);
    }
    if tx.tx_type == listing && !spec.is_enabled_in(SpecId::BERLIN) {
        tx.tx_type = TransactionType::Legacy as u8;
        tx.access_list = AccessList::default();
    }
}

fn recovered(signed: &SignedAuthorization) -> Either<SignedAuthorization, RecoveredAuthorization> {
    let signature = signed.signature().ok();
    let authority = signature
        .and_then(|signature| recover_signer(&signature, signed.signature_hash()).ok())
        .map_or(RecoveredAuthority::Invalid, RecoveredAuthority::Valid);
    Either::Right(RecoveredAuthorization::new_unchecked(signed.inner().clone(), authority))
}

pub(crate) fn to_error<R: StateReader>(
    error: EVMError<ReadFault<StateError>>,
    ctx: &Ctx<'_, R>,
) -> CallError {
    match error {
        EVMError::Transaction(InvalidTransaction::CreateInitCodeSizeLimit) => {
            CallError::InitCode { size: ctx.tx.data.len(), max: ctx.cfg.max_initcode_size() }
        }
        EVMError::Transaction(invalid) => CallError::Invalid(InvalidTx(invalid)),
        EVMError::Database(ReadFault(error)) => CallError::State(error),
        EVMError::Header(header) => CallError::Internal(header.to_string()),
        EVMError::Custom(message) => CallError::Internal(message),
        EVMError::CustomAny(error) => CallError::Internal(error.to_string()),
    }
}

fn to_outcome(result: ExecutionResult, outermost: &Interpreter) -> CallOutcome {
    let gas = *result.gas();
    let (gas_used, gas_spent) = (gas.tx_gas_used(), gas.total_gas_spent().max(gas.floor_gas()));
    let (gas_regular, gas_state) = (gas.block_regular_gas_used(), gas.block_state_gas_used());
    let created = result.created_address();
    let mut lacked_gas = false;
    let (status, logs, output) = match result {
        ExecutionResult::Success { logs, output, .. } => {
            (TxStatus::Success, logs, output.into_data())
        }
        ExecutionResult::Revert { output, .. } => (TxStatus::Revert, Vec::new(), output),
        ExecutionResult::Halt { reason, .. } => {
            lacked_gas = matches!(reason, HaltReason::OutOfGas(_));
            let words = words::of_message(reason, outermost);
            (TxStatus::Halt(words), Vec::new(), Bytes::new())
        }
    };
    CallOutcome {
        status,
        gas_used,
        gas_spent,
        gas_regular,
        gas_state,
        output,
        logs,
        lacked_gas,
        created,
    }
}

//! The EVM implementation with Fugue's few differences: a created address with storage collides
//! (EIP-7610), and the fee of a transaction may be handed out instead of paid.

use crate::{
    StateReader, constantinople,
    database::{LoggedDatabase, ReadFault},
    env,
    journal::Journal,
    kernel::FeePayment,
    precompiled::Precompiled,
};
use fugue_chainspec::{Fork, Rules};
use fugue_types::{Address, Header, KECCAK256_EMPTY, U256};
use revm::{
    context::{BlockEnv, CfgEnv, Context, Evm, FrameStack, TxEnv},
    context_interface::{
        Block, Transaction,
        context::ContextError,
        result::{EVMError, HaltReason},
    },
    handler::{
        EthFrame, EvmTr, FrameInitOrResult, FrameResult, Handler, ItemOrResult,
        evm::FrameInitResult, instructions::EthInstructions, post_execution, pre_execution,
    },
    inspector::{Inspector, InspectorEvmTr, InspectorHandler},
    interpreter::{
        GasTracker,
        interpreter::EthInterpreter,
        interpreter_action::{FrameInit, FrameInput},
    },
    primitives::{constants::CALL_STACK_LIMIT, hardfork::SpecId},
};

/// In `chain` is what the delegations of the transaction give back (EIP-7702).
pub(crate) type Ctx<'c, R> =
    Context<BlockEnv, TxEnv, CfgEnv, LoggedDatabase<'c, R>, Journal<'c, R>, u64>;
type Instructions<'c, R> = EthInstructions<EthInterpreter, Ctx<'c, R>>;
type Inner<'c, R, I> =
    Evm<Ctx<'c, R>, I, Instructions<'c, R>, Precompiled, EthFrame<EthInterpreter>>;
type DbFault<R> = ReadFault<<R as StateReader>::Error>;

/// Call frames that have room from the start, as in the EVM implementation's own set-up.
const FRAMES: usize = 8;

/// The EVM implementation, set up for one block. An inspector looks on where there is one.
pub(crate) struct Machine<'c, R: StateReader, I = ()> {
    pub(crate) inner: Inner<'c, R, I>,
}

impl<'c, R: StateReader, I> Machine<'c, R, I> {
    pub(crate) fn inspected(
        rules: &Rules,
        header: &Header,
        database: LoggedDatabase<'c, R>,
        inspector: I,
    ) -> Self {
        let cfg = env::cfg(rules);
        let spec = cfg.spec;
        let ctx: Ctx<'c, R> = Context::new(database, spec);
        let mut instruction = EthInstructions::new_mainnet_with_spec(spec);
        if rules.fork == Fork::Constantinople {
            constantinople::insert_sstore(&mut instruction);
        }
        let inner = Evm {
            ctx: ctx.with_cfg(cfg).with_block(env::block(rules, header)),
            inspector,
            instruction,
            precompiles: Precompiled::new(spec),
            frame_stack: FrameStack::new_prealloc(FRAMES),
        };
        Self { inner }
    }

    /// A created address that already has storage collides. Source: EIP-7610.
    ///
    /// Returns the account if that rule, and no other, makes the creation fail: the EVM
    /// implementation itself looks at nonce and code only.
    fn storage_collision(&mut self, frame: &FrameInit) -> Result<Option<Address>, DbFault<R>> {
        let FrameInput::Create(inputs) = &frame.frame_input else { return Ok(None) };
        let journal = &mut self.inner.ctx.journaled_state;
        let Some(caller) = journal.inner.state.get(&inputs.caller()) else { return Ok(None) };
        // What fails for another reason before the address is looked at leaves it cold (EIP-2929).
        let is_tried = frame.depth <= CALL_STACK_LIMIT as usize
            && caller.info.balance >= inputs.value()
            && caller.info.nonce != u64::MAX;
        if !is_tried {
            return Ok(None);
        }
        let target = inputs.created_address(caller.info.nonce);
        let account = journal.inner.load_account(&mut journal.database, target)?.data;
        let has_none = account.is_loaded_as_not_existing() || account.is_selfdestructed();
        let collides_anyway = account.info.nonce != 0 || account.info.code_hash != KECCAK256_EMPTY;
        if has_none || collides_anyway {
            return Ok(None);
        }
        // Asked after the account, which is logged: with its storage an account goes itself, so
        // that whoever was answered too early has read an account that is another one now.
        Ok(journal.database.reader.has_storage(target).map_err(ReadFault)?.then_some(target))
    }
}

impl<'c, R: StateReader, I> EvmTr for Machine<'c, R, I> {
    type Context = Ctx<'c, R>;
    type Instructions = Instructions<'c, R>;
    type Precompiles = Precompiled;
    type Frame = EthFrame<EthInterpreter>;

    fn all(
        &self,
    ) -> (&Self::Context, &Self::Instructions, &Self::Precompiles, &FrameStack<Self::Frame>) {
        self.inner.all()
    }

    fn all_mut(
        &mut self,
    ) -> (
        &mut Self::Context,
        &mut Self::Instructions,
        &mut Self::Precompiles,
        &mut FrameStack<Self::Frame>,
    ) {
        self.inner.all_mut()
    }

    fn frame_init(
        &mut self,
        frame: FrameInit,
    ) -> Result<FrameInitResult<'_, Self::Frame>, ContextError<DbFault<R>>> {
        // A loop of such calls takes long, and reads nothing: does anyone still wait?
        if let FrameInput::Call(inputs) = &frame.frame_input
            && self.inner.precompiles.is_slow(&inputs.bytecode_address)
        {
            self.inner.ctx.journaled_state.database.reader.check().map_err(ReadFault)?;
        }
        // Whether the balance suffices is looked at before anything is moved.
        if let FrameInput::Create(inputs) = &frame.frame_input {
            let sees_balance = !inputs.value().is_zero();
            self.inner.ctx.journaled_state.see_creation(inputs.caller(), sees_balance);
        }
        if let Some(target) = self.storage_collision(&frame)? {
            // A nonce makes the EVM implementation see the collision; nothing reads it meanwhile.
            self.set_nonce(target, 1);
            let failed = match self.inner.frame_init(frame)? {
                ItemOrResult::Result(result) => result,
                ItemOrResult::Item(_) => unreachable!("an account with a nonce collides"),
            };
            self.set_nonce(target, 0);
            return Ok(ItemOrResult::Result(failed));
        }
        self.inner.frame_init(frame)
    }

    fn frame_run(&mut self) -> Result<FrameInitOrResult<Self::Frame>, ContextError<DbFault<R>>> {
        self.inner.frame_run()
    }

    fn frame_return_result(
        &mut self,
        result: FrameResult,
    ) -> Result<Option<FrameResult>, ContextError<DbFault<R>>> {
        self.inner.frame_return_result(result)
    }
}

type Frames = FrameStack<EthFrame<EthInterpreter>>;

impl<'c, R: StateReader, I: Inspector<Ctx<'c, R>>> InspectorEvmTr for Machine<'c, R, I> {
    type Inspector = I;

    fn all_inspector(
        &self,
    ) -> (&Self::Context, &Self::Instructions, &Self::Precompiles, &Frames, &I) {
        self.inner.all_inspector()
    }

    fn all_mut_inspector(
        &mut self,
    ) -> (&mut Self::Context, &mut Self::Instructions, &mut Self::Precompiles, &mut Frames, &mut I)
    {
        self.inner.all_mut_inspector()
    }
}

impl<R: StateReader, I> Machine<'_, R, I> {
    fn set_nonce(&mut self, address: Address, nonce: u64) {
        if let Some(account) = self.inner.ctx.journaled_state.inner.state.get_mut(&address) {
            account.info.nonce = nonce;
        }
    }
}

/// The phases of a transaction: the EVM implementation's, but for the fee.
pub(crate) struct Phases<'c, R, I = ()> {
    pub(crate) fees: FeePayment,
    /// The fee of the last transaction if it was not paid to the account.
    pub(crate) fee_due: std::cell::Cell<Option<U256>>,
    pub(crate) marker: std::marker::PhantomData<(&'c (), R, I)>,
}

impl<R, I> Phases<'_, R, I> {
    pub(crate) const fn new(fees: FeePayment) -> Self {
        Self { fees, fee_due: std::cell::Cell::new(None), marker: std::marker::PhantomData }
    }
}

impl<'c, R: StateReader, I> Handler for Phases<'c, R, I> {
    type Evm = Machine<'c, R, I>;
    type Error = EVMError<DbFault<R>>;
    type HaltReason = HaltReason;

    /// What the delegations give back is counted at the end, and noted for who looks on: to
    /// go-ethereum it is refunded from the first instruction on.
    fn apply_eip7702_auth_list(
        &self,
        machine: &mut Self::Evm,
        gas: &mut GasTracker,
    ) -> Result<Option<u64>, Self::Error> {
        let context = &mut machine.inner.ctx;
        let refund = pre_execution::apply_eip7702_auth_list::<_, Self::Error>(context, gas)?;
        context.chain = refund.unwrap_or_default();
        Ok(refund)
    }

    /// With [`FeePayment::Deferred`] the fee is left to the caller, unless the transaction has
    /// looked at the fee recipient's account: then it is paid at once, as always.
    fn reward_beneficiary(
        &self,
        machine: &mut Self::Evm,
        result: &mut FrameResult,
    ) -> Result<(), Self::Error> {
        let context = &mut machine.inner.ctx;
        let recipient = context.block.beneficiary();
        let is_loaded = context.journaled_state.inner.state.contains_key(&recipient);
        if self.fees == FeePayment::Direct || is_loaded {
            return Ok(post_execution::reward_beneficiary(context, result.gas())?);
        }
        // Source: EIP-1559, "Specification": the base fee is burnt from London on.
        let base_fee = u128::from(context.block.basefee());
        let price = context.tx.effective_gas_price(base_fee);
        let is_london = context.cfg.spec().is_enabled_in(SpecId::LONDON);
        let tip = if is_london { price.saturating_sub(base_fee) } else { price };
        let gas = result.gas();
        let gas_used = gas.used().saturating_sub(gas.reservoir());
        // As the EVM implementation multiplies: it wraps, for prices that nobody can pay.
        self.fee_due.set(Some(U256::from(tip.wrapping_mul(u128::from(gas_used)))));
        Ok(())
    }
}

impl<'c, R: StateReader, I: Inspector<Ctx<'c, R>>> InspectorHandler for Phases<'c, R, I> {
    type IT = EthInterpreter;
}

//! Precompiled contracts: those of the fork, or as a question assumes them.
//!
//! Gas tells little of the time that they take: some of them take more than ten times as long as
//! other instructions of as much gas. What that comes to is counted, for whoever has to know how
//! long a transaction runs; no outcome depends on it.

use revm::{
    context_interface::{Cfg, ContextTr, JournalTr, LocalContextTr},
    handler::{EthPrecompiles, PrecompileProvider, precompile_output_to_interpreter_result},
    interpreter::{CallInputs, InstructionResult, InterpreterResult},
    precompile::Precompile,
    primitives::{Address, AddressMap, AddressSet, hardfork::SpecId},
};

/// The precompiled contracts of an EVM.
#[derive(Debug)]
pub(crate) struct Precompiled {
    fork: EthPrecompiles,
    /// Where the contracts are, if not where the fork has them.
    assumed: Option<AddressMap<Precompile>>,
    /// Gas that would take as long as those of the fork have taken, beyond what they used; since
    /// it was last set to 0.
    pub(crate) excess: u64,
}

/// How many times as long as a gas takes on average a gas of this contract takes.
///
/// Measured with common inputs on an Intel Xeon, in loops of calls, by the 0.4 nanoseconds that a
/// gas of recorded blocks of mainnet takes there; roughly, since other machines differ.
const fn slowness(contract: &Address) -> u64 {
    let [.., high, low] = contract.0.0;
    match u16::from_be_bytes([high, low]) {
        // Recovery of a key; SHA-256; powers, which are between 2 and 25.
        0x01 => 25,
        0x02 => 6,
        0x05 => 10,
        // bn254: addition; multiplication, pairing.
        0x06 => 80,
        0x07 | 0x08 => 40,
        // BLAKE2; a point of a blob.
        0x09 => 40,
        0x0a => 30,
        // BLS12-381: additions, multiplications, pairing; maps to points.
        0x0b..=0x0f => 40,
        0x10 | 0x11 => 30,
        // A signature on P-256.
        0x0100 => 30,
        _ => 1,
    }
}

/// The most that a call with so many bytes of input costs, of contracts that may find only at the
/// end of their work that an input is wrong; 0 of others. Source: EIP-1108, EIP-4844, EIP-2537.
const fn late_gas(contract: &Address, bytes: u64) -> u64 {
    let [.., high, low] = contract.0.0;
    match u16::from_be_bytes([high, low]) {
        0x08 => 45_000 + bytes / 192 * 34_000,
        0x0a => 50_000,
        0x0b => 375,
        0x0c => bytes / 160 * 12_000,
        0x0d => 600,
        0x0e => bytes / 288 * 22_500,
        0x0f => 37_700 + bytes / 384 * 32_600,
        0x10 => 5_500,
        0x11 => 23_800,
        _ => 0,
    }
}

/// Gas that would take as long as a call of a contract with so many bytes of input has taken,
/// beyond what it used. A call that fails spends all that it is given: it has done no more than is
/// paid for by its price, and mostly little.
fn excess_of(contract: &Address, bytes: usize, result: &InterpreterResult) -> u64 {
    let spent = result.gas.total_gas_spent();
    let paid = match result.result {
        // The gas has sufficed.
        InstructionResult::PrecompileError => spent.min(late_gas(contract, bytes as u64)),
        _ if result.is_ok() => spent,
        _ => 0,
    };
    paid.saturating_mul(slowness(contract) - 1)
}

impl Precompiled {
    /// Those of the fork.
    pub(crate) fn new(spec: SpecId) -> Self {
        Self { fork: EthPrecompiles::new(spec), assumed: None, excess: 0 }
    }

    /// Whether there is one.
    pub(crate) fn has(&self, address: Address) -> bool {
        match &self.assumed {
            None => self.fork.contains(&address),
            Some(assumed) => assumed.contains_key(&address),
        }
    }

    /// Whether there is one that takes long for its gas.
    pub(crate) fn is_slow(&self, address: &Address) -> bool {
        match &self.assumed {
            None => slowness(address) > 1 && self.fork.contains(address),
            Some(assumed) => {
                assumed.get(address).is_some_and(|contract| slowness(contract.address()) > 1)
            }
        }
    }

    /// Moves the contract at `from` to `to`, where it takes the place of what is there; to nowhere,
    /// if that is `None`.
    pub(crate) fn shift(&mut self, from: Address, to: Option<Address>) {
        let fork = &self.fork;
        let assumed = self.assumed.get_or_insert_with(|| {
            let all = fork.precompiles.addresses();
            let contract = |at| fork.precompiles.get(at).map(|contract| (*at, contract.clone()));
            all.filter_map(contract).collect()
        });
        if let Some(contract) = assumed.remove(&from)
            && let Some(to) = to
        {
            assumed.insert(to, contract);
        }
    }
}

impl<C: ContextTr<Cfg: Cfg<Spec = SpecId>>> PrecompileProvider<C> for Precompiled {
    type Output = InterpreterResult;

    fn set_spec(&mut self, spec: SpecId) -> bool {
        <EthPrecompiles as PrecompileProvider<C>>::set_spec(&mut self.fork, spec)
    }

    fn run(
        &mut self,
        context: &mut C,
        inputs: &CallInputs,
    ) -> Result<Option<InterpreterResult>, String> {
        let Some(assumed) = &self.assumed else {
            let result = self.fork.run(context, inputs)?;
            if let Some(result) = &result {
                let excess = excess_of(&inputs.bytecode_address, inputs.input.len(), result);
                self.excess = self.excess.saturating_add(excess);
            }
            return Ok(result);
        };
        let Some(contract) = assumed.get(&inputs.bytecode_address) else {
            return Ok(None);
        };
        let input = inputs.input.as_bytes(context);
        let output = contract.execute(&input, inputs.gas_limit, inputs.reservoir);
        let output = output.map_err(|error| error.to_string())?;
        drop(input);
        if let Some(reason) = output.halt_reason()
            && !reason.is_oog()
            && context.journal().depth() == 1
        {
            context.local_mut().set_precompile_error_context(reason.to_string());
        }
        Ok(Some(precompile_output_to_interpreter_result(output, inputs.gas_limit)))
    }

    /// What is warm is a rule of the fork (EIP-2929), wherever its contracts are assumed.
    fn warm_addresses(&self) -> &AddressSet {
        self.fork.warm_addresses()
    }

    fn contains(&self, address: &Address) -> bool {
        self.has(*address)
    }
}

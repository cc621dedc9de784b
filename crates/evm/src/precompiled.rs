//! Precompiled contracts: those of the fork, or as a question assumes them.

use revm::{
    context_interface::{Cfg, ContextTr, JournalTr, LocalContextTr},
    handler::{EthPrecompiles, PrecompileProvider, precompile_output_to_interpreter_result},
    interpreter::{CallInputs, InterpreterResult},
    precompile::Precompile,
    primitives::{Address, AddressMap, AddressSet, hardfork::SpecId},
};

/// The precompiled contracts of an EVM.
#[derive(Debug)]
pub(crate) struct Precompiled {
    fork: EthPrecompiles,
    assumed: Option<Box<Assumed>>,
}

/// Contracts that are not where the fork has them.
#[derive(Debug)]
struct Assumed {
    contracts: AddressMap<Precompile>,
    addresses: AddressSet,
}

impl Precompiled {
    /// Those of the fork.
    pub(crate) fn new(spec: SpecId) -> Self {
        Self { fork: EthPrecompiles::new(spec), assumed: None }
    }

    /// Whether there is one.
    pub(crate) fn has(&self, address: Address) -> bool {
        match &self.assumed {
            None => self.fork.contains(&address),
            Some(assumed) => assumed.addresses.contains(&address),
        }
    }

    /// Moves the contract at `from` to `to`, where it takes the place of what is there; to nowhere,
    /// if that is `None`.
    pub(crate) fn shift(&mut self, from: Address, to: Option<Address>) {
        let fork = &self.fork;
        let assumed = self.assumed.get_or_insert_with(|| {
            let all = fork.precompiles.addresses();
            let contracts = all.filter_map(|address| {
                fork.precompiles.get(address).map(|contract| (*address, contract.clone()))
            });
            let (contracts, addresses) = (contracts.collect(), fork.warm_addresses().clone());
            Box::new(Assumed { contracts, addresses })
        });
        assumed.addresses.remove(&from);
        if let Some(contract) = assumed.contracts.remove(&from)
            && let Some(to) = to
        {
            assumed.addresses.insert(to);
            assumed.contracts.insert(to, contract);
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
        let Some(assumed) = &self.assumed else { return self.fork.run(context, inputs) };
        let Some(contract) = assumed.contracts.get(&inputs.bytecode_address) else {
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

    fn warm_addresses(&self) -> &AddressSet {
        match &self.assumed {
            None => self.fork.warm_addresses(),
            Some(assumed) => &assumed.addresses,
        }
    }

    fn contains(&self, address: &Address) -> bool {
        self.has(*address)
    }
}

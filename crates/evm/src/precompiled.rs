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
    /// Where the contracts are, if not where the fork has them.
    assumed: Option<AddressMap<Precompile>>,
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
            Some(assumed) => assumed.contains_key(&address),
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
        let Some(assumed) = &self.assumed else { return self.fork.run(context, inputs) };
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

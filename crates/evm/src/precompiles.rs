//! The precompiled contracts of a fork.

use crate::env;
use fugue_chainspec::Rules;
use fugue_types::Address;
use revm::precompile::{PrecompileSpecId, Precompiles};
use std::collections::BTreeMap;

/// Addresses of the precompiled contracts that these rules have, by name.
///
/// Source of the names: EIP-7910.
pub fn precompiles(rules: &Rules) -> BTreeMap<&'static str, Address> {
    let spec = PrecompileSpecId::from_spec_id(env::cfg(rules).spec);
    let contracts = Precompiles::new(spec).inner().values();
    contracts.map(|contract| (contract.id().name(), *contract.address())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use fugue_chainspec::{ChainSpec, Fork};
    use fugue_types::address;

    #[test]
    fn each_fork_has_its_own() {
        for (fork, count) in [
            (Fork::Frontier, 4),
            (Fork::Byzantium, 8),
            (Fork::Istanbul, 9),
            (Fork::Shanghai, 9),
            (Fork::Cancun, 10),
            (Fork::Prague, 17),
            (Fork::Osaka, 18),
            (Fork::Bpo2, 18),
        ] {
            let found = precompiles(&ChainSpec::at_fork(1, fork).rules_at(1, 1));
            assert_eq!(found.len(), count, "{fork}: {found:?}");
            let first = address!("0x0000000000000000000000000000000000000001");
            assert_eq!(found.get("ECREC"), Some(&first), "{fork}");
        }
        let osaka = precompiles(&ChainSpec::at_fork(1, Fork::Osaka).rules_at(1, 1));
        let verify = address!("0x0000000000000000000000000000000000000100");
        assert_eq!(osaka.get("P256VERIFY"), Some(&verify));
    }
}

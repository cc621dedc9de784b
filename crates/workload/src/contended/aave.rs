//! Reserves of Aave V3 as places, made by transactions to the real contracts.
//!
//! What the owner of the market supplies can be borrowed. Whoever borrows or repays has supplied
//! collateral before, to one more reserve, which no block that is measured changes: so two
//! transactions meet at a reserve alone.

use super::{
    Floor, Pools,
    piece::{SENDER_UNITS, Visits},
};
use crate::{AaveCodes, Call, Wallet, aave::Aave, desk::units};
use fugue_types::Address;

/// How many reserves transactions take turns at. One market may have 128.
const RESERVE_COUNT: usize = 32;
/// The same as places.
pub(super) const RESERVES: Pools = Pools::Few(RESERVE_COUNT);
/// What there is to be borrowed from each of them.
const RESERVE_UNITS: u64 = 1_000_000_000;
/// Collateral and debt that each borrower begins with.
const COLLATERAL_UNITS: u64 = 10_000;
const DEBT_UNITS: u64 = 1_000;
/// What is supplied at a time, and what is borrowed or repaid.
const SUPPLY_UNITS: u64 = 100;
const LOAN_UNITS: u64 = 50;

/// A market with its reserves.
pub(super) struct Market {
    aave: Aave,
    /// Of each place, the hot one first.
    tokens: Vec<Address>,
}

impl Market {
    /// Deploys the contracts, and lists and fills the reserves. Each sender of each block has been
    /// at the place that it goes to.
    ///
    /// # Errors
    /// If the contracts do not link.
    pub(super) fn set_up(
        floor: &mut Floor,
        codes: &AaveCodes,
        visits: Visits<'_>,
        senders: &[Vec<Wallet>],
    ) -> Result<Self, String> {
        let deployer = floor.script.deployer();
        let owner = deployer.address();
        let nonce = floor.script.next_nonce(deployer);
        let collateral = floor.token();
        let reserves: Vec<usize> = (0..RESERVE_COUNT).map(|_| floor.token()).collect();
        let tokens: Vec<Address> = reserves.iter().map(|token| floor.address(*token)).collect();
        let collateral_token = floor.address(collateral);
        let listed = [&tokens[..], &[collateral_token]].concat();
        let (aave, calls) = Aave::new(codes, owner, nonce, &listed)?;
        for call in calls {
            floor.script.setup(deployer, call);
        }
        let amount = units(RESERVE_UNITS);
        for (reserve, token) in reserves.iter().zip(&tokens) {
            floor.lend(*reserve, owner, aave.pool, amount);
            floor.script.setup(deployer, aave.supply(*token, amount, owner));
        }
        for (block, senders) in senders.iter().enumerate() {
            for (index, sender) in senders.iter().enumerate() {
                let (place, user) = (visits.place_of(RESERVES, block, index), sender.address());
                floor.lend(reserves[place], user, aave.pool, units(SENDER_UNITS));
                let token = tokens[place];
                if is_supplier(index) {
                    let call = aave.supply(token, units(SUPPLY_UNITS), user);
                    floor.script.setup(*sender, call);
                    continue;
                }
                let amount = units(COLLATERAL_UNITS);
                floor.lend(collateral, user, aave.pool, amount);
                floor.script.setup(*sender, aave.supply(collateral_token, amount, user));
                floor.script.setup(*sender, aave.borrow(token, units(DEBT_UNITS), user));
            }
        }
        Ok(Self { aave, tokens })
    }

    /// A supply, a loan, or a repayment, in turn.
    pub(super) fn step(&self, place: usize, user: Address, index: usize) -> Call {
        let token = self.tokens[place];
        match index % 3 {
            0 => self.aave.supply(token, units(SUPPLY_UNITS), user),
            1 => self.aave.borrow(token, units(LOAN_UNITS), user),
            _ => self.aave.repay(token, units(LOAN_UNITS), user),
        }
    }
}

/// Whether who sends this transaction of a block supplies.
fn is_supplier(index: usize) -> bool {
    index.is_multiple_of(3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BlockKind, Codes, Scenario, aave::tests::codes, contended};
    use alloy_consensus::transaction::SignerRecoverable;
    use fugue_types::{HashMap, HashSet, Transaction, TransactionTrait};

    const SHARES: [u8; 3] = [0, 30, 100];
    const GAS: u64 = 20_000_000;

    /// Of contracts that do nothing.
    fn scenario(seed: u64) -> Scenario {
        let codes = Codes { aave: Some(codes()), ..Codes::default() };
        contended(seed, BlockKind::Aave, GAS, &SHARES, &codes).expect("a scenario")
    }

    /// The reserve that a transaction goes to: the first argument.
    fn reserve(tx: &Transaction) -> Address {
        Address::from_slice(&tx.input()[16..36])
    }

    #[test]
    fn the_hot_reserve_has_its_share_and_the_others_take_turns() {
        let scenario = scenario(1);
        let mut hot = None;
        for (plan, share) in scenario.blocks.iter().zip(SHARES).rev() {
            let mut visits: HashMap<Address, usize> = HashMap::default();
            for tx in &plan.transactions {
                *visits.entry(reserve(tx)).or_default() += 1;
            }
            // All go there in the last block.
            let hot = *hot.get_or_insert_with(|| reserve(&plan.transactions[0]));
            let count = plan.transactions.len();
            let aimed = count * usize::from(share) / 100;
            let least = visits.get(&hot).copied().unwrap_or_default();
            let turns = (count - aimed).div_ceil(RESERVE_COUNT);
            // The others come to it when it is its turn, which is not as often in each stretch.
            assert!(aimed <= least && least <= aimed + 2 * turns, "{share}: {least} of {count}");
            assert_eq!(visits.len(), if share == 100 { 1 } else { RESERVE_COUNT }, "{share}");
        }
    }

    #[test]
    fn steps_take_turns_and_nobody_sends_two_of_them() {
        let scenario = scenario(1);
        let mut senders: HashSet<Address> = HashSet::default();
        for plan in &scenario.blocks {
            for (index, tx) in plan.transactions.iter().enumerate() {
                let selector: [u8; 4] = tx.input()[..4].try_into().expect("four bytes");
                let expected = [0x617b_a037_u32, 0xa415_bcad, 0x573a_de81][index % 3];
                assert_eq!(u32::from_be_bytes(selector), expected, "{index}");
                // Who borrows or repays has supplied and borrowed before, at the same reserve.
                assert_eq!(tx.nonce(), if is_supplier(index) { 1 } else { 2 });
                let sender = tx.recover_signer().expect("a good signature");
                assert!(senders.insert(sender), "{sender} sends a second one");
            }
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_transactions() {
        let of = |seed| {
            let Scenario { setup, blocks, .. } = scenario(seed);
            (setup, blocks.into_iter().map(|plan| plan.transactions).collect::<Vec<_>>())
        };
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
    }
}

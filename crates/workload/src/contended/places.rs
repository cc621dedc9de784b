//! What stands at places: pools, lending pools, vaults, desks of options; and what is called there.
//!
//! All of it is put into the genesis as storage. Source of the slots: the order of the variables in
//! `testdata/contracts/src`.

use super::{
    Floor, Pools,
    piece::{SENDER_UNITS, Visits},
};
use crate::{
    Call, Wallet, contracts,
    desk::{mapping_slot, units},
    forge::GENESIS_TIME,
    market::pool_slots,
    word,
};
use fugue_types::{Address, U256};
use std::collections::BTreeSet;

/// What a place holds of each of its tokens.
const PLACE_UNITS: u64 = 1_000_000_000;
/// Gas limit of a swap, a step of a loan, a deposit, a settlement.
const CALL_GAS: u64 = 190_000;
/// Collateral and debt that each borrower begins with.
const COLLATERAL_UNITS: u64 = 10_000;
const DEBT_UNITS: u64 = 1_000;
/// Yield of a vault in a second.
const YIELD: u64 = 1_000_000_000_000_000;
/// Quantity and collateral of an option. At a price a fifth above the strike its holder gets 2.
const OPTION_UNITS: u64 = 10;
const LOCKED_UNITS: u64 = 5;

/// Pools with two tokens each. `traders` has each sender with the pools that it goes to.
pub(super) fn pools(
    floor: &mut Floor,
    count: usize,
    traders: &[(Address, BTreeSet<usize>)],
) -> Vec<Address> {
    let code = contracts::runtime("Exchange");
    let mut pools = Vec::with_capacity(count);
    let mut pairs = Vec::with_capacity(count);
    for _ in 0..count {
        let (pool, pair) = (floor.rng.address(), floor.pair());
        for token in pair {
            floor.credit(token, pool, units(PLACE_UNITS));
        }
        let slots = pool_slots(pair.map(|token| floor.address(token)), units(PLACE_UNITS));
        floor.script.place(pool, code.clone(), U256::ZERO, &slots);
        pools.push(pool);
        pairs.push(pair);
    }
    for (trader, places) in traders {
        for place in places {
            for token in pairs[*place] {
                floor.lend(token, *trader, pools[*place], units(SENDER_UNITS));
            }
        }
    }
    pools
}

/// A trade, in turns to either side.
pub(super) fn swap(pool: Address, index: usize) -> Call {
    let words = [U256::from(index % 2), units(1 + index as u64 % 50), U256::ZERO];
    Call::function(pool, "Exchange", "swap(bool,uint256,uint256)", &words).gas(CALL_GAS)
}

/// Lending pools, at which each sender has a loan already.
pub(super) fn lending(floor: &mut Floor, visits: Visits<'_>, users: &[Wallet]) -> Vec<Address> {
    let code = contracts::runtime("LendingPool");
    let borrowers = guests(visits, users);
    let mut pools = Vec::with_capacity(borrowers.len());
    for borrowers in borrowers {
        let pool = floor.rng.address();
        let tokens @ [collateral, debt] = floor.pair();
        let [scaled_debt, count] = [units(DEBT_UNITS), U256::from(borrowers.len())];
        let index = U256::from(10).pow(U256::from(27));
        let account = units(COLLATERAL_UNITS) | (scaled_debt << 128_usize);
        let mut slots = vec![
            (U256::from(0), word(floor.address(collateral))),
            (U256::from(1), word(floor.address(debt))),
            (U256::from(2), word(floor.script.deployer().address())),
            (U256::from(3), units(1)),
            (U256::from(4), index | (U256::from(GENESIS_TIME) << 192_usize)),
            (U256::from(5), scaled_debt * count),
        ];
        for borrower in borrowers {
            slots.push((mapping_slot(word(borrower), U256::from(6)), account));
            for token in tokens {
                floor.lend(token, borrower, pool, units(SENDER_UNITS));
            }
        }
        for token in tokens {
            floor.credit(token, pool, units(PLACE_UNITS));
        }
        floor.script.place(pool, code.clone(), U256::ZERO, &slots);
        pools.push(pool);
    }
    pools
}

/// Collateral, a loan, or a repayment, in turn.
pub(super) fn loan(pool: Address, index: usize) -> Call {
    let (signature, amount) = match index % 3 {
        0 => ("supply(uint256)", units(100)),
        1 => ("borrow(uint256)", units(50)),
        _ => ("repay(uint256)", units(50)),
    };
    Call::function(pool, "LendingPool", signature, &[amount]).gas(CALL_GAS)
}

/// Vaults, each with a strategy of its own, of which each sender has a share already.
pub(super) fn vaults(floor: &mut Floor, visits: Visits<'_>, users: &[Wallet]) -> Vec<Address> {
    let code = contracts::runtime("Vault");
    let guests = guests(visits, users);
    let mut vaults = Vec::with_capacity(guests.len());
    for guests in guests {
        let (vault, strategy) = (floor.rng.address(), floor.rng.address());
        let token = floor.token();
        floor.lend(token, strategy, vault, units(PLACE_UNITS));
        floor.credit(token, vault, units(PLACE_UNITS));
        let mut slots = vec![
            (U256::from(0), word(floor.address(token))),
            (U256::from(1), word(strategy)),
            (U256::from(2), U256::from(YIELD)),
            (U256::from(3), U256::from(GENESIS_TIME)),
            (U256::from(4), units(PLACE_UNITS)),
            (U256::from(5), units(PLACE_UNITS)),
        ];
        for guest in guests {
            slots.push((mapping_slot(word(guest), U256::from(6)), units(1)));
            floor.lend(token, guest, vault, units(SENDER_UNITS));
        }
        floor.script.place(vault, code.clone(), U256::ZERO, &slots);
        vaults.push(vault);
    }
    vaults
}

/// Three deposits, then a harvest.
pub(super) fn share(vault: Address, owner: Address, index: usize) -> Call {
    let call = if index % 4 == 3 {
        Call::function(vault, "Vault", "harvest()", &[])
    } else {
        Call::function(vault, "Vault", "deposit(uint256,address)", &[units(10), word(owner)])
    };
    call.gas(CALL_GAS)
}

/// Desks of options. Each sender has written one for each block, which somebody else holds.
pub(super) fn options(floor: &mut Floor, visits: Visits<'_>, users: &[Wallet]) -> Vec<Address> {
    let code = contracts::runtime("Options");
    let mut written: Vec<Vec<U256>> = vec![Vec::new(); visits.count + 1];
    for block in 0..visits.shares.len() {
        for (index, user) in users.iter().enumerate() {
            written[visits.own_place(block, index)].push(option_id(user.address(), block));
        }
    }
    let fifth = units(1) / U256::from(5);
    let mut desks = Vec::with_capacity(written.len());
    for ids in written {
        let (desk, token) = (floor.rng.address(), floor.token());
        let locked = units(LOCKED_UNITS) * U256::from(ids.len());
        floor.credit(token, desk, locked);
        let mut slots = vec![
            (U256::from(0), word(floor.address(token))),
            (U256::from(1), word(floor.script.deployer().address())),
            (U256::from(2), units(1)),
            (U256::from(3), locked),
        ];
        for id in ids {
            let (writer, holder) = (writer(id), floor.rng.address());
            for account in [writer, holder] {
                floor.credit(token, account, units(1));
            }
            // Expired long ago, and a call.
            let first = word(holder) | (U256::from(1) << 160_usize) | (U256::from(1) << 224_usize);
            let second = (units(1) - fifth) | (units(OPTION_UNITS) << 128_usize);
            let third = units(LOCKED_UNITS) | (units(1) << 128_usize);
            let base = mapping_slot(id, U256::from(4));
            for (offset, value) in (0_u64..).zip([first, second, third]) {
                slots.push((base.wrapping_add(U256::from(offset)), value));
            }
        }
        floor.script.place(desk, code.clone(), U256::ZERO, &slots);
        desks.push(desk);
    }
    desks
}

/// The settlement of the option that its sender has written for a block.
pub(super) fn settlement(desk: Address, writer: Address, block: usize) -> Call {
    let words = [option_id(writer, block)];
    Call::function(desk, "Options", "settle(uint256)", &words).gas(CALL_GAS)
}

/// The id of the option that a writer has written for a block.
fn option_id(writer: Address, block: usize) -> U256 {
    (word(writer) << 64_usize) | U256::from(block + 1)
}

fn writer(id: U256) -> Address {
    Address::from_word((id >> 64_usize).into())
}

/// For each place, the hot one first, the senders that go there in any block.
fn guests(visits: Visits<'_>, users: &[Wallet]) -> Vec<Vec<Address>> {
    let mut guests: Vec<Vec<Address>> = vec![Vec::new(); visits.count + 1];
    for (index, user) in users.iter().enumerate() {
        for place in visits.of_sender(Pools::Each, index) {
            guests[place].push(user.address());
        }
    }
    guests
}

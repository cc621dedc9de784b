//! Contracts written by hand that run on every fork, and one call to them at a time: what
//! [`crate::Props`] is before Byzantium.

use crate::{Call, Rng, Script, bytecode, word};
use fugue_types::{Address, Bytes, U256};

/// How many contracts that destroy themselves there are.
const KILLERS: usize = 6;

/// Contracts that run on every fork.
#[derive(Debug, Clone)]
pub struct Tiny {
    /// One slot for all.
    pub counter: Address,
    /// One slot for each caller.
    pub own_counter: Address,
    /// A slot that another names.
    pub chase: Address,
    /// Passes value on.
    pub forwarder: Address,
    /// Keeps balances.
    pub balance_reader: Address,
    /// Keeps the beneficiary's balance.
    pub coinbase_reader: Address,
    /// Runs out of gas.
    pub spinner: Address,
    /// Writes, then meets an invalid opcode.
    pub fails: Address,
    /// Creates counters.
    pub factory: Address,
    /// Destroy themselves; each begins with a balance and a slot.
    pub killers: Vec<Address>,
}

impl Tiny {
    /// Puts the contracts into the genesis.
    pub fn place(script: &mut Script) -> Self {
        let mut rng = script.stream("tiny");
        let mut put = |code: Vec<u8>, balance: u64| {
            let address = rng.address();
            let slots = [(U256::ZERO, U256::from(3))];
            script.place(address, Bytes::from(code), U256::from(balance), &slots);
            address
        };
        Self {
            counter: put(bytecode::counter(), 0),
            own_counter: put(bytecode::own_counter(), 0),
            chase: put(bytecode::chase(), 0),
            forwarder: put(bytecode::forwarder(), 0),
            balance_reader: put(bytecode::balance_reader(), 0),
            coinbase_reader: put(bytecode::coinbase_reader(), 0),
            spinner: put(bytecode::spinner(), 0),
            fails: put(bytecode::counts_and_fails(), 0),
            factory: put(bytecode::factory(), 0),
            killers: (0..KILLERS).map(|_| put(bytecode::killer(), 1_000)).collect(),
        }
    }

    /// Everything at random; `others` are accounts that the call may pay or look at.
    pub fn anything(&self, rng: &mut Rng, others: &[Address]) -> Call {
        let one = rng.pick(others);
        match rng.below(8) {
            0 | 1 => self.count(rng),
            2 => self.fail(rng),
            3 => self.pay(rng, one),
            4 => self.look(rng, one),
            5 => self.kill(rng, one),
            6 => self.make(rng),
            _ => Call::transfer(rng.pick(&self.killers), U256::from(5)).gas(40_000),
        }
    }

    /// A slot for all, a slot for each, or a slot that another names.
    pub fn count(&self, rng: &mut Rng) -> Call {
        let to = rng.pick(&[self.counter, self.own_counter, self.chase]);
        Call::to(to, Bytes::new())
    }

    /// All gas goes, and all writes are undone.
    pub fn fail(&self, rng: &mut Rng) -> Call {
        Call::to(rng.pick(&[self.spinner, self.fails]), Bytes::new()).gas(60_000)
    }

    /// Ether through a contract.
    pub fn pay(&self, rng: &mut Rng, to: Address) -> Call {
        let to = if rng.chance(30) { rng.address() } else { to };
        let wei = U256::from(rng.below(1_000_000));
        Call::to(self.forwarder, argument(to)).value(wei).fresh(3)
    }

    /// A balance into storage.
    pub fn look(&self, rng: &mut Rng, of: Address) -> Call {
        if rng.chance(40) {
            return Call::to(self.coinbase_reader, Bytes::new());
        }
        Call::to(self.balance_reader, argument(of))
    }

    /// A contract destroys itself, for one of several heirs: an account, itself, a contract, or
    /// nobody yet.
    pub fn kill(&self, rng: &mut Rng, heir: Address) -> Call {
        let victim = rng.pick(&self.killers);
        let heir = match rng.below(4) {
            0 => victim,
            1 => rng.pick(&self.killers),
            2 => rng.address(),
            _ => heir,
        };
        Call::to(victim, argument(heir))
    }

    /// A contract creates a contract.
    pub fn make(&self, rng: &mut Rng) -> Call {
        Call::to(self.factory, Bytes::new()).value(U256::from(rng.below(9))).gas(150_000).fresh(4)
    }
}

/// Call data of one word: an address.
pub(crate) fn argument(address: Address) -> Bytes {
    word(address).to_be_bytes::<32>().into()
}

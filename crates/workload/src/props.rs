//! The contracts for awkward cases, and one call to them at a time.

use crate::{Arg, Call, Rng, Script, contracts, contracts::word, ether};
use fugue_chainspec::Fork;
use fugue_types::{Address, B256, U256, keccak256};

/// Cells, slots, and keys that calls choose from: few, so that they meet.
const CELLS: u64 = 12;

/// The contracts for awkward cases, from Byzantium on; some need a later fork.
#[derive(Debug, Clone, Copy)]
pub struct Props {
    /// `HotCounter`.
    pub counter: Address,
    /// `Spender`.
    pub spender: Address,
    /// `Reverter`.
    pub reverter: Address,
    /// `ReverseStore`.
    pub store: Address,
    /// `Logger`.
    pub logger: Address,
    /// `Precompiles`.
    pub precompiles: Address,
    /// `Reader`, from Constantinople on.
    pub reader: Option<Address>,
    /// `PhoenixFactory`, from Constantinople on.
    pub factory: Option<Address>,
    /// `BlockInfo`, from London on.
    pub info: Option<Address>,
}

impl Props {
    /// Deploys what runs on the script's fork, which is Byzantium or later.
    pub fn deploy(script: &mut Script) -> Self {
        let modern = script.has(Fork::Constantinople);
        let london = script.has(Fork::London);
        Self {
            counter: script.deploy("HotCounter", &[]),
            spender: script.deploy("Spender", &[]),
            reverter: script.deploy("Reverter", &[]),
            store: script.deploy("ReverseStore", &[]),
            logger: script.deploy("Logger", &[]),
            precompiles: script.deploy("Precompiles", &[]),
            reader: modern.then(|| script.deploy("Reader", &[])),
            factory: modern.then(|| script.deploy("PhoenixFactory", &[])),
            info: london.then(|| script.deploy("BlockInfo", &[])),
        }
    }

    /// The addresses at which phoenixes of the factory live: the main and the spare one.
    pub fn phoenixes(&self) -> Option<[Address; 2]> {
        let factory = self.factory?;
        let code = keccak256(contracts::creation("Phoenix", &[]));
        Some([1, 2].map(|salt: u64| factory.create2(B256::from(U256::from(salt)), code)))
    }

    /// Everything at random; `others` are accounts that the call may pay or look at.
    pub fn anything(&self, rng: &mut Rng, others: &[Address]) -> Call {
        let one = rng.pick(others);
        match rng.below(10) {
            0 | 1 => self.count(rng),
            2 => self.fail(rng),
            3 => self.rewrite(rng),
            4 => self.pay(rng, others),
            5 => self.log(rng),
            6 => self.compute(rng),
            7 => self.look(rng, others).unwrap_or_else(|| self.tip(rng)),
            8 => self.rise_or_fall(rng, one).unwrap_or_else(|| self.count(rng)),
            _ => self.record(rng).unwrap_or_else(|| self.rewrite(rng)),
        }
    }

    /// A slot for all, a slot for each, both, or a slot that another names.
    pub fn count(&self, rng: &mut Rng) -> Call {
        let signature = rng.pick(&["increment()", "own()", "both()", "chase()"]);
        Call::function(self.counter, "HotCounter", signature, &[])
    }

    /// Writes that are undone, in a transaction of their own or in a call of one.
    pub fn fail(&self, rng: &mut Rng) -> Call {
        let first = U256::from(rng.below(CELLS));
        let count = U256::from(1 + rng.below(2));
        if rng.chance(50) {
            let kind = U256::from(rng.below(5));
            let words = [kind, first, count, U256::from(50_000)];
            let signature = "attempt(uint256,uint256,uint256,uint256)";
            return Call::function(self.reverter, "Reverter", signature, &words).gas(180_000);
        }
        let signature = rng.pick(&[
            "failCustom(uint256,uint256)",
            "failPanic(uint256,uint256)",
            "failInvalid(uint256,uint256)",
            "failOutOfGas(uint256,uint256)",
            "succeed(uint256,uint256)",
        ]);
        Call::function(self.reverter, "Reverter", signature, &[first, count])
    }

    /// Writes that change nothing, or that earn refunds.
    pub fn rewrite(&self, rng: &mut Rng) -> Call {
        let cell = U256::from(rng.below(CELLS));
        let x = U256::from(rng.below(3));
        let store = |signature: &str, words: &[U256]| {
            Call::function(self.store, "ReverseStore", signature, words)
        };
        match rng.below(6) {
            0 | 1 => store("silent(uint256,uint256)", &[cell, x]),
            2 => store("same(uint256)", &[cell]),
            3 => store("toggle(uint256)", &[cell]),
            4 => store("set(uint256,uint256)", &[cell, x]),
            _ => store("clear(uint256,uint256)", &[U256::ZERO, U256::from(CELLS)]).gas(150_000),
        }
    }

    /// Ether through a contract to accounts of `others` or to new ones. Spending what the contract
    /// has gathered fails where it has gathered too little.
    pub fn pay(&self, rng: &mut Rng, others: &[Address]) -> Call {
        let to = if rng.chance(30) { rng.address() } else { rng.pick(others) };
        let wei = U256::from(1 + rng.below(1_000_000));
        match rng.below(5) {
            0 | 1 => {
                let input = contracts::call("Spender", "forward(address)", &[word(to)]);
                Call::to(self.spender, input).value(wei)
            }
            2 => {
                let words = [word(to), wei];
                Call::function(self.spender, "Spender", "spend(address,uint256)", &words)
            }
            3 => {
                let list = (0..4).map(|_| word(rng.pick(others))).chain([word(to)]).collect();
                let args = [Arg::Words(list)];
                let input = contracts::call_with("Spender", "spread(address[])", &args);
                Call::to(self.spender, input).value(wei).gas(250_000).fresh(5)
            }
            _ => self.tip(rng),
        }
    }

    /// Ether to the block's beneficiary by a call.
    pub fn tip(&self, rng: &mut Rng) -> Call {
        let wei = U256::from(1 + rng.below(1_000_000));
        if rng.chance(30) {
            let signature = "tipCoinbaseFromBalance(uint256)";
            return Call::function(self.spender, "Spender", signature, &[wei]);
        }
        Call::function(self.spender, "Spender", "tipCoinbase()", &[]).value(wei)
    }

    /// Logs of every shape.
    pub fn log(&self, rng: &mut Rng) -> Call {
        let seed = U256::from(rng.below(CELLS));
        let data = vec![rng.below(256) as u8; rng.index(70)];
        let input = match rng.below(3) {
            0 => {
                let args = [Arg::Word(seed), Arg::Bytes(data)];
                contracts::call_with("Logger", "all(uint256,bytes)", &args)
            }
            1 => {
                // Five topics are one too many: it reverts.
                let topics = Arg::Word(U256::from(rng.below(6)));
                let args = [topics, Arg::Word(seed), Arg::Bytes(data)];
                contracts::call_with("Logger", "log(uint256,uint256,bytes)", &args)
            }
            _ => {
                let count = U256::from(rng.below(20));
                contracts::call("Logger", "many(uint256,uint256)", &[count, seed])
            }
        };
        Call::to(self.logger, input)
    }

    /// Precompiled contracts, with good input and with any.
    pub fn compute(&self, rng: &mut Rng) -> Call {
        if rng.chance(50) {
            let seed = U256::from_be_bytes(rng.bytes32().0);
            let words = [seed];
            return Call::function(self.precompiles, "Precompiles", "sweep(bytes32)", &words)
                .gas(350_000);
        }
        let which = U256::from(1 + rng.below(18));
        let bytes = rng.bytes32().repeat(rng.index(5));
        let args = [Arg::Word(which), Arg::Bytes(bytes), Arg::Word(U256::from(60_000))];
        let input = contracts::call_with("Precompiles", "run(uint256,bytes,uint256)", &args);
        Call::to(self.precompiles, input).gas(200_000)
    }

    /// Balances and codes of `others` and of the beneficiary into storage.
    pub fn look(&self, rng: &mut Rng, others: &[Address]) -> Option<Call> {
        let reader = self.reader?;
        let signature = match rng.below(5) {
            0 => "readCoinbase()",
            1 => "readCoinbaseOwn()",
            2 => "readSender()",
            3 => return Some(self.survey(rng, "survey(address[])", others)?.gas(150_000)),
            _ => return Some(self.survey(rng, "surveyOwn(address[])", others)?.gas(150_000)),
        };
        Some(Call::function(reader, "Reader", signature, &[]))
    }

    fn survey(&self, rng: &mut Rng, signature: &str, others: &[Address]) -> Option<Call> {
        let list = (0..6).map(|_| word(rng.pick(others))).collect();
        let input = contracts::call_with("Reader", signature, &[Arg::Words(list)]);
        Some(Call::to(self.reader?, input))
    }

    /// A phoenix comes, goes, or is looked for. `heir` may get what it leaves.
    pub fn rise_or_fall(&self, rng: &mut Rng, heir: Address) -> Option<Call> {
        let factory = self.factory?;
        let [main, spare] = self.phoenixes()?;
        let phoenix = if rng.chance(80) { main } else { spare };
        let wei = U256::from(rng.below(1_000));
        let ask = |signature: &str, words: &[U256]| {
            Call::function(factory, "PhoenixFactory", signature, words).gas(250_000).fresh(9)
        };
        Some(match rng.below(10) {
            0 | 1 => ask("spawn()", &[]).value(wei),
            2 | 3 => ask("poke(address)", &[word(phoenix)]).gas(120_000),
            4 => ask("spawnAndKill()", &[]).value(wei).gas(350_000),
            5 => ask("collide(uint256)", &[U256::from(150_000)]),
            6 => Call::function(phoenix, "Phoenix", "bump()", &[]),
            7 => Call::transfer(phoenix, ether(1)).gas(40_000),
            _ => {
                let heir = rng.pick(&[heir, phoenix, factory, Address::repeat_byte(0x77)]);
                Call::function(phoenix, "Phoenix", "die(address)", &[word(heir)])
            }
        })
    }

    /// What the block tells its transactions.
    pub fn record(&self, rng: &mut Rng) -> Option<Call> {
        let info = self.info?;
        let call =
            |signature: &str, words: &[U256]| Call::function(info, "BlockInfo", signature, words);
        Some(match rng.below(4) {
            0 => call("record()", &[]),
            1 => call("recordOwn()", &[]),
            2 => call("recordHistory(uint256)", &[U256::from(rng.below(12))]),
            _ => Call::transfer(info, U256::from(7)).gas(40_000),
        })
    }
}

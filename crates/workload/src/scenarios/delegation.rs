//! Accounts with a key that run code (EIP-7702), from Prague on: what code an account has, and
//! which nonce, changes between transactions of a block and within one.

use crate::{Arg, Call, Grant, Props, Rng, Scenario, Script, Wallet, contracts, word};
use fugue_chainspec::Fork;
use fugue_types::{Address, U256};

/// Gas of a call of an account that may run a delegate's code.
const CALL_GAS: u64 = 120_000;

/// The two contracts that accounts delegate to.
#[derive(Debug, Clone, Copy)]
pub struct Delegates {
    /// `Delegate`.
    pub first: Address,
    /// `DelegateB`, with the same selectors and other effects.
    pub second: Address,
}

impl Delegates {
    /// Deploys both.
    pub fn deploy(script: &mut Script) -> Self {
        Self { first: script.deploy("Delegate", &[]), second: script.deploy("DelegateB", &[]) }
    }

    /// A call of an account that may be delegated: to count, to act for it, or with ether alone.
    pub fn call_account(&self, rng: &mut Rng, account: Address, others: &[Address]) -> Call {
        match rng.below(5) {
            0 | 1 => increment(account),
            2 => execute(account, rng.pick(others), rng.below(1_000)),
            3 => Call::transfer(account, U256::from(rng.below(50))).gas(CALL_GAS).fresh(3),
            // Without gas for code: a delegated account cannot even take ether.
            _ => Call::transfer(account, U256::from(1)),
        }
    }

    /// An authorization of `wallet`: mostly for one of the contracts, sometimes for none, for an
    /// account without code, for a precompiled contract, or for the account itself.
    pub fn grant(&self, rng: &mut Rng, wallet: Wallet, others: &[Address]) -> Grant {
        let target = match rng.below(10) {
            0..=2 => self.first,
            3..=5 => self.second,
            6 => Address::ZERO,
            7 => rng.pick(others),
            8 => Address::with_last_byte(4),
            _ => wallet.address(),
        };
        match rng.below(10) {
            0 => Grant::WrongNonce(wallet, target),
            1 => Grant::WrongChain(wallet, target),
            2 => Grant::Forged(target),
            3 => Grant::AnyChain(wallet, target),
            _ => Grant::To(wallet, target),
        }
    }

    /// Sends one transaction with up to four authorizations of `wallets`, the sender's own perhaps
    /// among them, that then calls one of the authorities.
    pub fn delegate_any(&self, script: &mut Script, rng: &mut Rng, wallets: &[Wallet]) {
        let others: Vec<Address> = wallets.iter().map(|wallet| wallet.address()).collect();
        let sender = rng.pick(wallets);
        let count = 1 + rng.below(4);
        let authorities: Vec<Wallet> = (0..count).map(|_| rng.pick(wallets)).collect();
        let grants: Vec<Grant> =
            authorities.iter().map(|wallet| self.grant(rng, *wallet, &others)).collect();
        let called = rng.pick(&authorities).address();
        let call = self.call_account(rng, called, &others).gas(CALL_GAS);
        script.delegate(sender, &grants, call);
    }
}

/// One account is delegated, delegated anew, cleared, and delegates itself; it is called, paid,
/// looked at, and sends between these steps, and it is the beneficiary.
pub fn handover(seed: u64, fork: Fork) -> Scenario {
    let about = "one account changes its code again and again while it is used";
    let mut script = Script::new("delegation-handover", about, seed, fork);
    let mut rng = script.stream("draws");
    let props = Props::deploy(&mut script);
    let delegates = Delegates::deploy(&mut script);
    let account = script.user();
    let users = script.users(8);
    let address = account.address();
    let others = [users[0].address(), address, rng.address()];
    let targets = [delegates.first, delegates.second, Address::ZERO, delegates.second];
    for round in 0..8 {
        let target = targets[round % targets.len()];
        let sponsor = if round % 3 == 2 { account } else { rng.pick(&users) };
        script.delegate(sponsor, &[Grant::To(account, target)], increment(address));
        for _ in 0..4 {
            let call = delegates.call_account(&mut rng, address, &others);
            script.send(rng.pick(&users), call);
        }
        script.send(account, Call::transfer(rng.pick(&users).address(), U256::from(9)));
        let look = props.look(&mut rng, &[address]).unwrap_or_else(|| props.count(&mut rng));
        script.send(rng.pick(&users), look);
    }
    script.end(address)
}

/// Several authorities in one transaction, one of them twice, the sender among them.
pub fn crowd(seed: u64, fork: Fork) -> Scenario {
    let about = "several authorizations in one transaction, and calls between those";
    let mut script = Script::new("delegation-crowd", about, seed, fork);
    let mut rng = script.stream("draws");
    let delegates = Delegates::deploy(&mut script);
    let wallets = script.users(10);
    let others: Vec<Address> = wallets.iter().map(|wallet| wallet.address()).collect();
    let [first, second, sender] = [wallets[0], wallets[1], wallets[2]];
    let grants = [
        Grant::To(first, delegates.first),
        Grant::To(second, delegates.first),
        Grant::To(first, delegates.second),
        Grant::To(sender, delegates.second),
    ];
    script.delegate(sender, &grants, increment(first.address()));
    script.send(first, Call::transfer(second.address(), U256::from(2)));
    for _ in 0..40 {
        if rng.chance(50) {
            delegates.delegate_any(&mut script, &mut rng, &wallets);
        } else {
            let account = rng.pick(&others);
            let call = delegates.call_account(&mut rng, account, &others);
            script.send(rng.pick(&wallets), call);
        }
    }
    let beneficiary = rng.address();
    script.end(beneficiary)
}

/// Authorizations that are skipped: the account keeps its code and its nonce.
pub fn refused(seed: u64, fork: Fork) -> Scenario {
    let about = "authorizations with a wrong nonce, another chain, or no signature";
    let mut script = Script::new("delegation-refused", about, seed, fork);
    let mut rng = script.stream("draws");
    let delegates = Delegates::deploy(&mut script);
    let wallets = script.users(6);
    let Delegates { first, second } = delegates;
    for round in 0..12 {
        let account = wallets[round % wallets.len()];
        let sender = rng.pick(&wallets);
        let grants = [
            Grant::WrongNonce(account, second),
            Grant::Forged(second),
            Grant::To(account, first),
            Grant::WrongChain(account, second),
        ];
        let grants = if round % 2 == 0 { &grants[..] } else { &grants[..2] };
        script.delegate(sender, grants, increment(account.address()));
        script.send(rng.pick(&wallets), increment(account.address()));
        script.send(account, Call::transfer(sender.address(), U256::from(4)));
    }
    let beneficiary = rng.address();
    script.end(beneficiary)
}

/// Everybody pays and calls one delegated account, whose code changes in the middle.
pub fn hot(seed: u64, fork: Fork) -> Scenario {
    let about = "a hot account takes ether with code that changes in the middle of the block";
    let mut script = Script::new("delegation-hot", about, seed, fork);
    let mut rng = script.stream("draws");
    let delegates = Delegates::deploy(&mut script);
    let account = script.user();
    let users = script.users(30);
    let address = account.address();
    for number in 0..60 {
        if number % 15 == 0 {
            let target = if number % 30 == 0 { delegates.second } else { delegates.first };
            let grant = [Grant::AnyChain(account, target)];
            script.delegate(rng.pick(&users), &grant, increment(address));
        }
        let call = match rng.below(4) {
            0 => increment(address),
            1 => execute(address, rng.pick(&users).address(), 10),
            _ => Call::transfer(address, U256::from(3)).gas(CALL_GAS).fresh(2),
        };
        script.send(rng.pick(&users), call);
    }
    let beneficiary = rng.address();
    script.end(beneficiary)
}

fn increment(account: Address) -> Call {
    Call::function(account, "Delegate", "increment()", &[]).gas(CALL_GAS)
}

fn execute(account: Address, to: Address, wei: u64) -> Call {
    let args = [Arg::Word(word(to)), Arg::Word(U256::from(wei)), Arg::Bytes(Vec::new())];
    let input = contracts::call_with("Delegate", "execute(address,uint256,bytes)", &args);
    Call::to(account, input).gas(CALL_GAS).fresh(3)
}

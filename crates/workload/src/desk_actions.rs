//! What the users of a desk do, one transaction at a time. Some of it fails, as on a real chain:
//! a loan without collateral, a swap that asks for too much, an option that is sold already.

use crate::{
    Arg, Call, Desk, OpenChannel, Rng, Script, Wallet, contracts, contracts::word, desk::units,
};
use fugue_types::{Address, B256, U256, keccak256};

/// Links of the hash chain of a channel.
const LINKS: u64 = 8;
/// What a link is worth in wei.
const LINK_WEI: u64 = 1_000_000_000_000;
/// Options that are settled at once at most.
const SETTLED_MAX: usize = 6;

/// A kind of transaction on a desk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeskAction {
    /// A trade at a pool, or a change of its liquidity.
    Swap,
    /// Tokens from one account to another.
    Transfer,
    /// Collateral, loans, liquidations.
    Lend,
    /// Shares of the vault.
    Save,
    /// Options written, sold and settled.
    Options,
    /// Payment channels.
    Channel,
}

impl Desk {
    /// Any of the actions; trades and transfers are the most frequent.
    pub fn anything(&mut self, script: &mut Script, rng: &mut Rng) {
        let action = match rng.below(20) {
            0..=6 => DeskAction::Swap,
            7..=11 => DeskAction::Transfer,
            12..=14 => DeskAction::Lend,
            15 | 16 => DeskAction::Save,
            17 | 18 => DeskAction::Options,
            _ => DeskAction::Channel,
        };
        self.act(script, rng, action);
    }

    /// Sends one transaction of this kind by a random user.
    pub fn act(&mut self, script: &mut Script, rng: &mut Rng, action: DeskAction) {
        let user = rng.pick(&self.users);
        match action {
            DeskAction::Swap if !self.pools.is_empty() => self.swap(script, rng, user),
            DeskAction::Swap | DeskAction::Transfer => {
                let to = if rng.chance(25) { rng.address() } else { self.peer(rng) };
                self.transfer(script, rng, user, to);
            }
            DeskAction::Lend => self.lend(script, rng, user),
            DeskAction::Save => self.save(script, rng, user),
            DeskAction::Options => self.trade_option(script, rng, user),
            DeskAction::Channel => self.use_channel(script, rng, user),
        }
    }

    /// The address of any user.
    pub fn peer(&self, rng: &mut Rng) -> Address {
        rng.pick(&self.users).address()
    }

    /// A trade at a random pool; now and then liquidity, or a demand that cannot be met.
    pub fn swap(&self, script: &mut Script, rng: &mut Rng, user: Wallet) {
        let pool = rng.pick(&self.pools).address;
        let amount = units(1 + rng.below(50));
        let call = match rng.below(20) {
            0 => {
                let signature = "addLiquidity(uint256,uint256)";
                let words = [amount, amount + amount];
                Call::function(pool, "Exchange", signature, &words).gas(260_000).fresh(5)
            }
            1 => Call::function(pool, "Exchange", "removeLiquidity(uint256)", &[units(1)])
                .gas(180_000)
                .fresh(4),
            number => {
                let side = U256::from(rng.below(2));
                let wanted = if number == 2 { units(1_000_000) } else { U256::ZERO };
                let signature = "swap(bool,uint256,uint256)";
                Call::function(pool, "Exchange", signature, &[side, amount, wanted])
                    .gas(190_000)
                    .fresh(4)
            }
        };
        script.send(user, call);
    }

    /// Tokens to an account; now and then more than there are, or new ones.
    pub fn transfer(&self, script: &mut Script, rng: &mut Rng, user: Wallet, to: Address) {
        let token = rng.pick(&self.tokens);
        let amount = units(1 + rng.below(9));
        let call = match rng.below(20) {
            0 => Call::function(token, "Token", "mint(address,uint256)", &[word(to), amount]),
            1 => {
                let words = [word(to), units(u64::MAX)];
                Call::function(token, "Token", "transfer(address,uint256)", &words)
            }
            2 => {
                let owner = self.peer(rng);
                let signature = "transferFrom(address,address,uint256)";
                Call::function(token, "Token", signature, &[word(owner), word(to), amount])
            }
            3 => Call::function(token, "Token", "approve(address,uint256)", &[word(to), amount]),
            _ => Call::function(token, "Token", "transfer(address,uint256)", &[word(to), amount]),
        };
        script.send(user, call.gas(90_000));
    }

    /// One step of a loan, or of somebody else's.
    pub fn lend(&self, script: &mut Script, rng: &mut Rng, user: Wallet) {
        let amount = units(100 + rng.below(500));
        let pool = |signature: &str, words: &[U256]| {
            Call::function(self.lending, "LendingPool", signature, words).gas(200_000).fresh(4)
        };
        let call = match rng.below(12) {
            0..=3 => pool("supply(uint256)", &[amount]),
            4..=6 => pool("borrow(uint256)", &[amount / U256::from(2)]),
            7 => pool("repay(uint256)", &[amount / U256::from(4)]),
            8 => pool("repay(uint256)", &[U256::MAX]),
            9 => pool("withdraw(uint256)", &[amount / U256::from(3)]),
            10 => {
                let borrower = word(self.peer(rng));
                pool("liquidate(address,uint256)", &[borrower, amount])
            }
            _ => {
                let price = units(50 + rng.below(60)) / U256::from(100);
                script.send(script.deployer(), pool("setPrice(uint256)", &[price]));
                return;
            }
        };
        script.send(user, call);
    }

    /// Into the vault, out of it, or its harvest.
    pub fn save(&self, script: &mut Script, rng: &mut Rng, user: Wallet) {
        let amount = units(10 + rng.below(90));
        let vault = |signature: &str, words: &[U256]| {
            Call::function(self.vault, "Vault", signature, words).gas(220_000).fresh(4)
        };
        let receiver = word(if rng.chance(80) { user.address() } else { self.peer(rng) });
        let call = match rng.below(10) {
            0..=4 => vault("deposit(uint256,address)", &[amount, receiver]),
            5 => vault("redeem(uint256,address)", &[amount / U256::from(2), receiver]),
            6 => vault("withdraw(uint256,address)", &[amount / U256::from(3), receiver]),
            7 => vault("transfer(address,uint256)", &[receiver, amount / U256::from(5)]),
            _ => vault("harvest()", &[]),
        };
        script.send(user, call);
    }

    /// Writes an option, or buys or settles one that was written.
    pub fn trade_option(&mut self, script: &mut Script, rng: &mut Rng, user: Wallet) {
        let step = rng.below(10);
        if step < 4 || self.option_ids.is_empty() {
            self.write_option(script, rng, user);
            return;
        }
        let id = rng.pick(&self.option_ids);
        let call = match step {
            4..=6 => Call::function(self.options, "Options", "buy(uint256)", &[id]).gas(150_000),
            7 => Call::function(self.options, "Options", "settle(uint256)", &[id]).gas(180_000),
            8 => {
                let list = (0..SETTLED_MAX).map(|_| rng.pick(&self.option_ids)).collect();
                let args = [Arg::Words(list)];
                let input = contracts::call_with("Options", "settleMany(uint256[])", &args);
                Call::to(self.options, input).gas(600_000).fresh(6)
            }
            _ => {
                let price = units(80 + rng.below(60)) / U256::from(100);
                let signature = "setPrice(uint256)";
                let call = Call::function(self.options, "Options", signature, &[price]);
                script.send(script.deployer(), call);
                return;
            }
        };
        script.send(user, call);
    }

    fn write_option(&mut self, script: &mut Script, rng: &mut Rng, user: Wallet) {
        let salt = self.next_salt();
        // Most options live within one block: with a duration of zero they can be settled at once.
        let duration = if rng.chance(80) { 0_u64 } else { 3_600 };
        let words = [
            U256::from(salt),
            U256::from(rng.below(2)),
            units(80 + rng.below(40)) / U256::from(100),
            units(1 + rng.below(20)),
            units(5),
            units(1),
            U256::from(duration),
        ];
        let signature = "write(uint64,bool,uint128,uint128,uint128,uint128,uint32)";
        let call = Call::function(self.options, "Options", signature, &words);
        script.send(user, call.gas(260_000).fresh(7));
        self.option_ids.push(id_of(user, salt));
    }

    /// Opens a channel, or closes one in one of the three ways.
    pub fn use_channel(&mut self, script: &mut Script, rng: &mut Rng, user: Wallet) {
        if self.channels.is_empty() || rng.chance(55) {
            self.open_channel(script, rng, user);
            return;
        }
        let open = self.channels.swap_remove(rng.index(self.channels.len()));
        match rng.below(4) {
            0 | 1 => self.close_with_voucher(script, rng, open),
            2 => self.close_with_signature(script, rng, open),
            _ => {
                let call = Call::function(self.channel, "Channel", "timeout(uint256)", &[open.id]);
                script.send(user, call);
            }
        }
    }

    fn open_channel(&mut self, script: &mut Script, rng: &mut Rng, payer: Wallet) {
        let salt = self.next_salt();
        let recipient = rng.pick(&self.users);
        let secret = rng.bytes32();
        let duration = if rng.chance(50) { 0_u64 } else { 86_400 };
        let words = [
            word(recipient.address()),
            U256::from(salt),
            U256::from(duration),
            U256::from_be_bytes(link(secret, LINKS).0),
            U256::from(LINK_WEI),
        ];
        let signature = "open(address,uint64,uint32,bytes32,uint128)";
        let call = Call::function(self.channel, "Channel", signature, &words);
        let value = U256::from(LINK_WEI * LINKS);
        script.send(payer, call.value(value).gas(160_000).fresh(4));
        self.channels.push(OpenChannel { id: id_of(payer, salt), payer, recipient, secret });
    }

    /// Reveals a link of the chain; one in ten times it is worth less than is asked.
    fn close_with_voucher(&self, script: &mut Script, rng: &mut Rng, open: OpenChannel) {
        let count = rng.below(LINKS + 1);
        let asked = if rng.chance(10) { count + 1 } else { count };
        let nonce = link(open.secret, LINKS - count);
        let words = [open.id, U256::from(asked * LINK_WEI), U256::from_be_bytes(nonce.0)];
        let signature = "closeWithVoucher(uint256,uint256,bytes32)";
        let call = Call::function(self.channel, "Channel", signature, &words);
        script.send(open.recipient, call.gas(120_000));
    }

    /// Shows the payer's signature of an amount; one in ten times for another amount.
    fn close_with_signature(&self, script: &mut Script, rng: &mut Rng, open: OpenChannel) {
        let amount = U256::from(rng.below(LINKS + 1) * LINK_WEI);
        let asked = if rng.chance(10) { amount + U256::from(1) } else { amount };
        let signed = open.payer.sign(voucher(self.channel, open.id, amount));
        let v = U256::from(27 + u8::from(signed.v()));
        let words = [open.id, asked, v, signed.r(), signed.s()];
        let signature = "close(uint256,uint256,uint8,bytes32,bytes32)";
        let call = Call::function(self.channel, "Channel", signature, &words);
        script.send(open.recipient, call.gas(120_000));
    }

    fn next_salt(&mut self) -> u64 {
        self.salt += 1;
        self.salt
    }
}

/// The id that `Options` and `Channel` give to what an account makes with a salt.
fn id_of(owner: Wallet, salt: u64) -> U256 {
    (word(owner.address()) << 64_usize) | U256::from(salt)
}

/// `secret` hashed `count` times.
fn link(secret: B256, count: u64) -> B256 {
    (0..count).fold(secret, |hash, _| keccak256(hash))
}

/// What the payer of a channel signs: `Channel.digest`.
fn voucher(channel: Address, id: U256, amount: U256) -> B256 {
    let words = [word(channel), id, amount].map(|value| value.to_be_bytes::<32>());
    let mut message = b"\x19Ethereum Signed Message:\n32".to_vec();
    message.extend_from_slice(keccak256(words.concat()).as_slice());
    keccak256(&message)
}

//! Aave V3 by its real contracts: who deploys them, how reserves are listed, and what is called to
//! supply, to borrow and to repay.
//!
//! Source: the repository aave-v3-core: constructors, signatures, which contract links which
//! library, and the order in which its own deployment goes.

use crate::{Call, UnlinkedCode, contracts::input, word};
use fugue_types::{Address, U256};
use std::collections::BTreeMap;

/// Gas limit of a setting; of making a proxy; of listing a reserve, which makes three.
const SETTING_GAS: u64 = 150_000;
const PROXY_GAS: u64 = 1_500_000;
const LISTING_GAS: u64 = 4_000_000;
/// Gas limit of a supply, a loan or a repayment.
const STEP_GAS: u64 = 400_000;
/// What each token is worth: one unit of the currency that the oracle counts in.
const PRICE: u64 = 100_000_000;
/// Decimals of each token.
const DECIMALS: u64 = 18;
/// Of the worth of collateral, in ten thousandths: what may be borrowed at first, where it is
/// liquidated, and what it is sold for then.
const LOAN_TO_VALUE: u64 = 7_500;
const THRESHOLD: u64 = 8_000;
const BONUS: u64 = 10_500;
/// What the treasury gets of interest, in ten thousandths.
const RESERVE_FACTOR: u64 = 1_000;
/// The arguments of the rates after the first, in thousandths: the usage that is aimed at, the base
/// of variable rates and their slopes, the slopes of stable rates and what is added to them, and
/// the part of the debt that stable loans should have.
const RATES: [u64; 9] = [900, 0, 40, 600, 5, 600, 10, 80, 200];
/// The mode of loans at a variable rate.
const VARIABLE: u64 = 2;
/// Libraries, each after those that it calls.
const LIBRARIES: &[&str] = AaveCodes::NAMES.split_at(8).0;

/// Creation codes of the real contracts.
#[derive(Debug, Clone)]
pub struct AaveCodes(BTreeMap<&'static str, UnlinkedCode>);

impl AaveCodes {
    /// The contracts that there must be, libraries first.
    pub const NAMES: [&'static str; 18] = [
        "SupplyLogic",
        "BorrowLogic",
        "LiquidationLogic",
        "EModeLogic",
        "BridgeLogic",
        "PoolLogic",
        "ConfiguratorLogic",
        "FlashLoanLogic",
        "PoolAddressesProvider",
        "Pool",
        "PoolConfigurator",
        "ACLManager",
        "AToken",
        "StableDebtToken",
        "VariableDebtToken",
        "DefaultReserveInterestRateStrategy",
        "MockAggregator",
        "AaveOracle",
    ];

    /// Asks for the code of each.
    ///
    /// # Errors
    /// The first answer that is one.
    pub fn collect<E>(
        mut code: impl FnMut(&'static str) -> Result<UnlinkedCode, E>,
    ) -> Result<Self, E> {
        let mut codes = BTreeMap::new();
        for name in Self::NAMES {
            codes.insert(name, code(name)?);
        }
        Ok(Self(codes))
    }
}

/// A market of Aave.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Aave {
    /// Who is called, and whom users let take their tokens.
    pub(crate) pool: Address,
}

impl Aave {
    /// The market with a reserve for each token, which its owner makes by its transactions from
    /// this nonce on; and these, in order.
    ///
    /// # Errors
    /// If a contract calls a library that is not one of [`LIBRARIES`].
    pub(crate) fn new(
        codes: &AaveCodes,
        owner: Address,
        nonce: u64,
        tokens: &[Address],
    ) -> Result<(Self, Vec<Call>), String> {
        let mut deployment =
            Deployment { codes, owner, nonce, at: BTreeMap::new(), calls: Vec::new() };
        for library in LIBRARIES {
            deployment.create(library, &[])?;
        }
        let market = "Fugue";
        let head = [U256::from(2 * 32), word(owner), U256::from(market.len()), text(market)];
        let provider = deployment.create("PoolAddressesProvider", &head)?;
        // The proxies of both, of which the provider creates each when it is told what is behind
        // it. The first nonce of a contract is 1 (EIP-161).
        let [pool, configurator] = [1, 2].map(|nonce| provider.create(nonce));
        let pool_code = deployment.create("Pool", &[word(provider)])?;
        let configurator_code = deployment.create("PoolConfigurator", &[])?;
        deployment.set(provider, "setACLAdmin(address)", &[word(owner)]);
        let roles = deployment.create("ACLManager", &[word(provider)])?;
        deployment.set(provider, "setACLManager(address)", &[word(roles)]);
        deployment.set(roles, "addPoolAdmin(address)", &[word(owner)]);
        deployment.call(provider, "setPoolImpl(address)", &[word(pool_code)], PROXY_GAS);
        let words = [word(configurator_code)];
        deployment.call(provider, "setPoolConfiguratorImpl(address)", &words, PROXY_GAS);

        let oracle = deployment.oracle(provider, tokens)?;
        deployment.set(provider, "setPriceOracle(address)", &[word(oracle)]);
        let a_token = deployment.create("AToken", &[word(pool)])?;
        let stable_debt = deployment.create("StableDebtToken", &[word(pool)])?;
        let variable_debt = deployment.create("VariableDebtToken", &[word(pool)])?;
        let thousandth = U256::from(10).pow(U256::from(24));
        let mut arguments = vec![word(provider)];
        arguments.extend(RATES.map(|rate| U256::from(rate) * thousandth));
        let rates = deployment.create("DefaultReserveInterestRateStrategy", &arguments)?;
        let codes = [a_token, stable_debt, variable_debt];
        for token in tokens {
            deployment.list(configurator, &listing(codes, rates, *token, owner), *token);
        }
        Ok((Self { pool }, deployment.calls))
    }

    /// The user supplies so much of a token.
    pub(crate) fn supply(self, token: Address, amount: U256, user: Address) -> Call {
        let words = [word(token), amount, word(user), U256::ZERO];
        self.step("supply(address,uint256,address,uint16)", &words)
    }

    /// The user borrows so much of a token, on what it has supplied before.
    pub(crate) fn borrow(self, token: Address, amount: U256, user: Address) -> Call {
        let words = [word(token), amount, U256::from(VARIABLE), U256::ZERO, word(user)];
        self.step("borrow(address,uint256,uint256,uint16,address)", &words)
    }

    /// The user repays so much of a token.
    pub(crate) fn repay(self, token: Address, amount: U256, user: Address) -> Call {
        let words = [word(token), amount, U256::from(VARIABLE), word(user)];
        self.step("repay(address,uint256,uint256,address)", &words)
    }

    fn step(self, signature: &str, words: &[U256]) -> Call {
        Call::to(self.pool, input(signature, words)).gas(STEP_GAS)
    }
}

/// Transactions that an account sends, one after the other.
struct Deployment<'c> {
    codes: &'c AaveCodes,
    owner: Address,
    /// Of the first transaction.
    nonce: u64,
    /// Where what was created is; what was created twice is where it was last.
    at: BTreeMap<&'static str, Address>,
    calls: Vec<Call>,
}

impl Deployment<'_> {
    /// Creates a contract with the words of its arguments.
    fn create(&mut self, name: &'static str, arguments: &[U256]) -> Result<Address, String> {
        let code = self.codes.0.get(name).ok_or_else(|| format!("{name} has no code"))?;
        let mut creation = code.linked(|library| self.at.get(library).copied())?;
        for argument in arguments {
            creation.extend_from_slice(&argument.to_be_bytes::<32>());
        }
        let address = self.owner.create(self.nonce + self.calls.len() as u64);
        self.calls.push(Call::create(creation.into()));
        self.at.insert(name, address);
        Ok(address)
    }

    fn call(&mut self, to: Address, signature: &str, words: &[U256], gas: u64) {
        self.calls.push(Call::to(to, input(signature, words)).gas(gas));
    }

    fn set(&mut self, to: Address, signature: &str, words: &[U256]) {
        self.call(to, signature, words, SETTING_GAS);
    }

    /// The oracle, which asks a source of its own for the price of each token.
    fn oracle(&mut self, provider: Address, tokens: &[Address]) -> Result<Address, String> {
        let mut sources = Vec::with_capacity(tokens.len());
        for _ in tokens {
            sources.push(self.create("MockAggregator", &[U256::from(PRICE)])?);
        }
        // Behind the six words of the arguments, each list has its length and one word for each.
        let count = U256::from(tokens.len());
        let [first, second] = [6, 7 + tokens.len()].map(|words| U256::from(words * 32));
        // No other oracle is asked, and prices are of no token.
        let none = U256::ZERO;
        let mut arguments = vec![word(provider), first, second, none, none, U256::from(PRICE)];
        for list in [tokens, &sources[..]] {
            arguments.push(count);
            arguments.extend(list.iter().map(|address| word(*address)));
        }
        self.create("AaveOracle", &arguments)
    }

    /// Makes a reserve that can be borrowed from, and is collateral.
    fn list(&mut self, configurator: Address, listing: &[U256], token: Address) {
        let signature = "initReserves((address,address,address,uint8,address,address,address,\
                         address,string,string,string,string,string,string,bytes)[])";
        self.call(configurator, signature, listing, LISTING_GAS);
        let token = word(token);
        let signature = "configureReserveAsCollateral(address,uint256,uint256,uint256)";
        let [loan_to_value, threshold, bonus] = [LOAN_TO_VALUE, THRESHOLD, BONUS].map(U256::from);
        self.set(configurator, signature, &[token, loan_to_value, threshold, bonus]);
        self.set(configurator, "setReserveBorrowing(address,bool)", &[token, U256::from(1)]);
        let words = [token, U256::from(RESERVE_FACTOR)];
        self.set(configurator, "setReserveFactor(address,uint256)", &words);
    }
}

/// The arguments that make a reserve: a list of one, with the codes of its token for suppliers and
/// of those for stable and variable debt. Nobody is told of what is supplied and borrowed.
fn listing(codes: [Address; 3], rates: Address, token: Address, treasury: Address) -> Vec<U256> {
    let [a_token, stable_debt, variable_debt] = codes.map(word);
    // The list has its place behind one word, and its only item behind the length and one more.
    let mut words = vec![U256::from(32), U256::from(1), U256::from(32)];
    words.extend([a_token, stable_debt, variable_debt, U256::from(DECIMALS)]);
    words.extend([word(rates), word(token), word(treasury), U256::ZERO]);
    // Names and symbols, and no parameters: each has the word of its place in the item, and there
    // its length and, if it is not empty, one word.
    let texts = ["Aave", "a", "Aave variable debt", "variable", "Aave stable debt", "stable", ""];
    let head = 8 + texts.len();
    let mut tail = Vec::new();
    for item in texts {
        words.push(U256::from((head + tail.len()) * 32));
        tail.push(U256::from(item.len()));
        if !item.is_empty() {
            tail.push(text(item));
        }
    }
    words.extend(tail);
    words
}

/// The word of a text of at most 32 bytes, which stands at its beginning.
fn text(text: &str) -> U256 {
    let mut bytes = [0; 32];
    for (to, from) in bytes.iter_mut().zip(text.bytes()) {
        *to = from;
    }
    U256::from_be_bytes(bytes)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use fugue_types::TxKind;
    use serde_json::json;

    /// Codes that deploy nothing, each with a byte by which it is known; flash loans call another
    /// library, which is named behind that.
    pub(crate) fn codes() -> AaveCodes {
        let mut number = 0_u8;
        let code = |name: &'static str| {
            number += 1;
            let contract = if name == "FlashLoanLogic" {
                json!({
                    "bytecode": format!("0x00{number:02x}__${}$__", "0".repeat(34)),
                    "linkReferences": {"": {"BorrowLogic": [{"start": 2, "length": 20}]}},
                })
            } else {
                json!({"bytecode": format!("0x00{number:02x}")})
            };
            UnlinkedCode::from_json(&contract).ok_or(name)
        };
        AaveCodes::collect(code).expect("codes")
    }

    fn number(name: &str) -> u8 {
        let index = AaveCodes::NAMES.iter().position(|known| *known == name).expect("a contract");
        u8::try_from(index + 1).expect("a few contracts")
    }

    fn words(input: &[u8]) -> Vec<U256> {
        input.chunks(32).map(U256::from_be_slice).collect()
    }

    /// A market of two tokens, its owner, and what makes it.
    fn market() -> (Aave, Address, Vec<Call>) {
        let owner = Address::repeat_byte(0xde);
        let tokens = [1, 2].map(Address::repeat_byte);
        let (market, calls) = Aave::new(&codes(), owner, 7, &tokens).expect("a market");
        (market, owner, calls)
    }

    /// Where a contract is created first, and the words of its arguments.
    fn creation(name: &str) -> (Address, Vec<U256>) {
        let (_, owner, calls) = market();
        let is_of = |call: &Call| call.to == TxKind::Create && call.input[1] == number(name);
        let nth = calls.iter().position(is_of).expect("a creation");
        (owner.create(7 + nth as u64), words(&calls[nth].input[2..]))
    }

    #[test]
    fn all_is_created_and_libraries_are_linked() {
        let (market, _, calls) = market();
        for name in AaveCodes::NAMES {
            let created = calls
                .iter()
                .filter(|call| call.to == TxKind::Create && call.input[1] == number(name));
            // Each token has a source of prices.
            let expected = if name == "MockAggregator" { 2 } else { 1 };
            assert_eq!(created.count(), expected, "{name}");
        }
        let flash = calls.iter().find(|call| call.input[1] == number("FlashLoanLogic"));
        let (borrow, _) = creation("BorrowLogic");
        assert_eq!(flash.expect("a creation").input[2..], borrow[..]);
        let (provider, _) = creation("PoolAddressesProvider");
        assert_eq!(market.pool, provider.create(1));
        assert_eq!(creation("Pool").1, [word(provider)]);
        assert_eq!(creation("AToken").1, [word(market.pool)]);
    }

    #[test]
    fn the_oracle_has_a_source_for_each_token() {
        let (provider, _) = creation("PoolAddressesProvider");
        let (first, price) = creation("MockAggregator");
        assert_eq!(price, [U256::from(PRICE)]);
        let (_, found) = creation("AaveOracle");
        let head = [6 * 32, 9 * 32, 0, 0, PRICE, 2].map(U256::from);
        assert_eq!((found[0], &found[1..7]), (word(provider), &head[..]));
        let tokens = [1, 2].map(|byte| word(Address::repeat_byte(byte)));
        assert_eq!((&found[7..9], found[9]), (&tokens[..], U256::from(2)));
        assert_eq!((found[10], found.len()), (word(first), 12));
    }

    #[test]
    fn a_listing_has_its_texts_behind_their_places() {
        let [a, s, v, rates, token, treasury] = [1, 2, 3, 4, 5, 6].map(Address::repeat_byte);
        let words = listing([a, s, v], rates, token, treasury);
        assert_eq!(words[..3], [32, 1, 32].map(U256::from));
        let item = &words[3..];
        assert_eq!(item[..4], [word(a), word(s), word(v), U256::from(18)]);
        assert_eq!(item[4..8], [word(rates), word(token), word(treasury), U256::ZERO]);
        let expected =
            ["Aave", "a", "Aave variable debt", "variable", "Aave stable debt", "stable"];
        for (place, expected) in item[8..14].iter().zip(expected) {
            let place = place.saturating_to::<usize>() / 32;
            assert_eq!(item[place], U256::from(expected.len()), "{expected}");
            let bytes = item[place + 1].to_be_bytes::<32>();
            assert_eq!(bytes[..expected.len()], *expected.as_bytes());
        }
        // No parameters: the last word is their length.
        assert_eq!(item[14].saturating_to::<usize>(), 32 * (item.len() - 1));
        assert_eq!(item[item.len() - 1], U256::ZERO);
    }

    #[test]
    fn steps_are_calls_of_the_pool() {
        let (market, _, _) = market();
        let [token, user] = [1, 2].map(Address::repeat_byte);
        let amount = U256::from(5);
        let steps = [
            (market.supply(token, amount, user), [0x61, 0x7b, 0xa0, 0x37], 4),
            (market.borrow(token, amount, user), [0xa4, 0x15, 0xbc, 0xad], 5),
            (market.repay(token, amount, user), [0x57, 0x3a, 0xde, 0x81], 4),
        ];
        for (call, selector, count) in steps {
            assert_eq!(call.to, TxKind::Call(market.pool));
            assert_eq!(call.input[..4], selector);
            let words = words(&call.input[4..]);
            assert_eq!((words.len(), words[0], words[1]), (count, word(token), amount));
            assert!(words.contains(&word(user)));
        }
    }

    #[test]
    fn a_library_that_is_nowhere_is_an_error() {
        let code = |name: &'static str| {
            let contract = json!({
                "bytecode": format!("0x__${}$__", "0".repeat(34)),
                "linkReferences": {"": {"Elsewhere": [{"start": 0, "length": 20}]}},
            });
            UnlinkedCode::from_json(&contract).ok_or(name)
        };
        let codes = AaveCodes::collect(code).expect("codes");
        let error = Aave::new(&codes, Address::ZERO, 0, &[]).expect_err("it is nowhere");
        assert!(error.contains("Elsewhere"), "{error}");
        assert_eq!(AaveCodes::collect(Err).expect_err("the first answer"), "SupplyLogic");
    }
}

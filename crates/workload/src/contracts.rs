//! The compiled test contracts and the ABI encoding of calls to them.
//!
//! Names and signatures are written in this crate and not read from anywhere, so one that does not
//! exist is a programming error and panics.

use fugue_types::{Address, Bytes, U256, keccak256};
use std::{collections::BTreeMap, sync::OnceLock};

const COMPILED: &str = include_str!("../../../testdata/contracts/compiled.json");
/// Bytes of an ABI word.
const WORD: usize = 32;

struct Contract {
    creation: Bytes,
    runtime: Bytes,
    selectors: BTreeMap<String, [u8; 4]>,
}

/// One argument of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arg {
    /// A static value in one word.
    Word(U256),
    /// `bytes`.
    Bytes(Vec<u8>),
    /// `uint256[]` or `address[]`.
    Words(Vec<U256>),
}

/// The word of an address.
pub fn word(address: Address) -> U256 {
    U256::from_be_bytes(address.into_word().0)
}

/// Code that deploys the contract, with the words of its constructor's arguments.
pub fn creation(name: &str, args: &[U256]) -> Bytes {
    let mut code = contract(name).creation.to_vec();
    for arg in args {
        code.extend_from_slice(&arg.to_be_bytes::<WORD>());
    }
    code.into()
}

/// The deployed code, for a genesis.
pub fn runtime(name: &str) -> Bytes {
    contract(name).runtime.clone()
}

/// The selector of a function by its canonical signature.
pub fn selector(name: &str, signature: &str) -> [u8; 4] {
    let found = contract(name).selectors.get(signature);
    *found.expect("the signature is one of the contract's")
}

/// Call data for a function whose arguments are all static words.
pub fn call(name: &str, signature: &str, words: &[U256]) -> Bytes {
    debug_assert_eq!(words.len(), argument_count(signature), "{name}.{signature}");
    let mut data = selector(name, signature).to_vec();
    for argument in words {
        data.extend_from_slice(&argument.to_be_bytes::<WORD>());
    }
    data.into()
}

/// Call data for a function of any contract whose arguments are all static words.
pub(crate) fn input(signature: &str, words: &[U256]) -> Bytes {
    let mut input = keccak256(signature)[..4].to_vec();
    for word in words {
        input.extend_from_slice(&word.to_be_bytes::<WORD>());
    }
    input.into()
}

/// Call data for a function some of whose arguments are dynamic.
///
/// Source: Solidity's ABI specification, "Formal Specification of the Encoding": a dynamic
/// argument leaves in the head the offset of its place in the tail, counted from the first word.
pub fn call_with(name: &str, signature: &str, args: &[Arg]) -> Bytes {
    debug_assert_eq!(args.len(), argument_count(signature), "{name}.{signature}");
    let mut head = selector(name, signature).to_vec();
    let mut tail = Vec::new();
    for arg in args {
        let offset = U256::from(args.len() * WORD + tail.len());
        match arg {
            Arg::Word(value) => head.extend_from_slice(&value.to_be_bytes::<WORD>()),
            Arg::Bytes(bytes) => {
                head.extend_from_slice(&offset.to_be_bytes::<WORD>());
                tail.extend_from_slice(&U256::from(bytes.len()).to_be_bytes::<WORD>());
                tail.extend_from_slice(bytes);
                tail.resize(tail.len().next_multiple_of(WORD), 0);
            }
            Arg::Words(words) => {
                head.extend_from_slice(&offset.to_be_bytes::<WORD>());
                tail.extend_from_slice(&U256::from(words.len()).to_be_bytes::<WORD>());
                for value in words {
                    tail.extend_from_slice(&value.to_be_bytes::<WORD>());
                }
            }
        }
    }
    head.extend_from_slice(&tail);
    head.into()
}

fn argument_count(signature: &str) -> usize {
    if signature.ends_with("()") { 0 } else { signature.matches(',').count() + 1 }
}

fn contract(name: &str) -> &'static Contract {
    static CONTRACTS: OnceLock<BTreeMap<String, Contract>> = OnceLock::new();
    CONTRACTS.get_or_init(parse).get(name).expect("the name is one of compiled.json")
}

fn parse() -> BTreeMap<String, Contract> {
    let file: serde_json::Value =
        serde_json::from_str(COMPILED).expect("compiled.json is JSON: it is part of the source");
    let contracts = file["contracts"].as_object().expect("compiled.json lists contracts");
    contracts
        .iter()
        .map(|(name, found)| {
            let selectors = found["selectors"].as_object().expect("each contract has selectors");
            let selectors = selectors
                .iter()
                .map(|(signature, value)| (signature.clone(), four_bytes(&code(value))))
                .collect();
            let contract = Contract {
                creation: code(&found["creation"]),
                runtime: code(&found["runtime"]),
                selectors,
            };
            (name.clone(), contract)
        })
        .collect()
}

fn code(value: &serde_json::Value) -> Bytes {
    let text = value.as_str().expect("codes and selectors are strings");
    text.parse().expect("codes and selectors are hexadecimal")
}

fn four_bytes(bytes: &[u8]) -> [u8; 4] {
    bytes.try_into().expect("a selector has four bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_are_the_hashes_of_their_signatures() {
        let signature = "transfer(address,uint256)";
        assert_eq!(selector("Token", signature), keccak256(signature)[..4]);
    }

    #[test]
    fn call_data_is_the_selector_and_the_words() {
        let signature = "swapExactTokensForTokens(uint256,uint256,address[],address,uint256)";
        let data = input(signature, &[U256::from(7)]);
        assert_eq!(data[..4], [0x38, 0xed, 0x17, 0x39]);
        assert_eq!((data.len(), data[35]), (36, 7));
    }

    #[test]
    fn constructor_arguments_follow_the_creation_code() {
        let plain = creation("Token", &[]);
        let with = creation("Token", &[U256::from(1), U256::from(2)]);
        assert_eq!(with.len(), plain.len() + 64);
        assert_eq!(with[with.len() - 1], 2);
    }

    #[test]
    fn static_calls_are_the_selector_and_the_words() {
        let to = Address::repeat_byte(7);
        let data = call("Token", "transfer(address,uint256)", &[word(to), U256::from(5)]);
        assert_eq!(data.len(), 68);
        assert_eq!(data[16..36], to[..]);
        assert_eq!(data[67], 5);
    }

    #[test]
    fn dynamic_arguments_stand_behind_their_offsets() {
        let args = [Arg::Word(U256::from(1)), Arg::Bytes(vec![0xab; 3])];
        let data = call_with("Logger", "all(uint256,bytes)", &args);
        let words: Vec<_> = data[4..].chunks(32).map(U256::from_be_slice).collect();
        assert_eq!(words.len(), 4);
        assert_eq!(words[1], U256::from(64));
        assert_eq!(words[2], U256::from(3));
        assert_eq!(data[100..104], [0xab, 0xab, 0xab, 0]);

        let list = [Arg::Words(vec![U256::from(8), U256::from(9)])];
        let data = call_with("Options", "settleMany(uint256[])", &list);
        let words: Vec<_> = data[4..].chunks(32).map(U256::from_be_slice).collect();
        assert_eq!(words, [32, 2, 8, 9].map(U256::from));
    }

    #[test]
    fn the_factory_creates_the_phoenix_of_the_list() {
        let factory = runtime("PhoenixFactory");
        let phoenix = creation("Phoenix", &[]);
        assert!(factory.windows(phoenix.len()).any(|window| window == &phoenix[..]));
    }
}

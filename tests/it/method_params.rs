//! The parameters of every method that is registered: each has an example, each argument of it is
//! read by its parser, which refuses it by its place and name, and nothing that an example may be
//! changed to is answered with a defect of ours. `make fuzz` goes on with the last of these.

use fugue_tests::methods::{Method, Methods};
use proptest::{
    collection::vec,
    prelude::{Strategy, any},
    prop_oneof,
    test_runner::{Config, TestRunner},
};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Inputs for each method, and how often one that fails is made smaller.
const CASES: u32 = 16;
const SHRINKS_MAX: u32 = 2_000;
/// Bytes of an input: some steps.
const BYTES_MAX: usize = 40;
/// What no argument may be: half a number.
const WRONG: f64 = 1.5;
/// A transaction is in the pool, and cannot be executed yet. Source: EIP-7966.
const NOT_READY: i64 = 5;
/// The one argument that may be anything: nobody needs it.
const ANYTHING: (&str, usize) = ("personal_sign", 2);

#[test]
fn every_method_has_an_example() {
    let methods = Methods::new();
    let registered: BTreeSet<&str> = methods.all().iter().map(|method| method.name).collect();
    let with_examples: BTreeSet<&str> = methods.examples().keys().copied().collect();
    assert_eq!(registered, with_examples, "those that are registered, then those with examples");
    for (node, is_dev) in [("that follows a chain", false), ("that makes its own", true)] {
        let count = methods.all().iter().filter(|method| method.is_dev == is_dev).count();
        assert!(count > 100, "{count} methods of a node {node}");
    }
}

/// Calls a method with an example that has something else in the place `index`, or after its last
/// argument. Gives whether that is told to be one argument too many.
///
/// # Errors
/// If the answer does not say that it is this argument that is wrong.
fn refused_at(
    methods: &Methods,
    method: Method,
    example: &[Value],
    index: usize,
) -> Result<bool, String> {
    let mut wrong = example.to_vec();
    wrong.truncate(index);
    wrong.push(json!(WRONG));
    wrong.extend(example.iter().skip(index + 1).cloned());
    let told = match methods.call(method, &json!(wrong)) {
        Ok(found) => return Err(format!("{method:?}: argument {index} is not read: {found}")),
        Err(told) => told,
    };
    let is_after_the_last =
        index >= example.len() && told.message.starts_with("too many arguments");
    let names_it = told.message.starts_with(&format!("invalid argument {index} ("));
    if told.is_of_arguments() && (names_it || is_after_the_last) {
        return Ok(is_after_the_last);
    }
    Err(format!("{method:?}: argument {index}: {told:?}"))
}

#[test]
fn each_argument_of_every_method_is_read() {
    let methods = Methods::new();
    let mut faults = Vec::new();
    for method in methods.all().iter().copied() {
        let mut is_whole = false;
        for example in &methods.examples()[method.name] {
            if let Err(told) = methods.call(method, example)
                && told.is_of_arguments()
            {
                faults.push(format!("{method:?}: an example is refused: {told:?}: {example}"));
            }
            let example = example.as_array().expect("a list of arguments");
            for index in 0..=example.len() {
                if (method.name, index) == ANYTHING {
                    continue;
                }
                match refused_at(&methods, method, example, index) {
                    Ok(is_after_the_last) => is_whole |= is_after_the_last,
                    Err(fault) => faults.push(fault),
                }
            }
        }
        if !is_whole {
            faults.push(format!("{method:?}: no example has all arguments"));
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

/// Steps that change an example, or any bytes at all.
fn data() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => vec(any::<u8>(), 1..BYTES_MAX),
        1 => vec(any::<u8>(), 0..4),
        1 => "\\PC{0,20}".prop_map(String::into_bytes),
    ]
}

#[test]
fn no_change_of_an_example_makes_a_method_fail() {
    let methods = Methods::new();
    let config = Config {
        cases: CASES,
        max_shrink_iters: SHRINKS_MAX,
        failure_persistence: None,
        ..Config::default()
    };
    let mut runner = TestRunner::new(config);
    for method in methods.all().iter().copied() {
        let tested = runner.run(&data(), |data| {
            methods.check(method, &methods.made(method, &data));
            Ok(())
        });
        if let Err(error) = tested {
            panic!("{method:?}: {error}");
        }
    }
    // And it goes on.
    let number = Method { name: "eth_blockNumber", is_dev: false };
    assert_eq!(methods.call(number, &json!([])), Ok(json!("0x2")));
}

#[test]
fn data_name_every_method_and_are_taken_as_they_are_or_as_changes() {
    let methods = Methods::new();
    let mut named = BTreeMap::new();
    for (at, method) in (0_u16..).zip(methods.all()) {
        let mut data = at.to_le_bytes().to_vec();
        data.extend(br#"["as it is"]"#);
        let (found, params) = methods.asked(&data).expect("a method");
        assert_eq!((found, params), (*method, json!(["as it is"])));
        named.insert((method.name, method.is_dev), at);
    }
    assert_eq!(named.len(), methods.all().len());
    assert_eq!(methods.asked(&[0]), None);
    // Nothing is changed; the first argument becomes null; the list becomes deep.
    let balance = Method { name: "eth_getBalance", is_dev: false };
    let example = &methods.examples()["eth_getBalance"][0];
    assert_eq!(methods.made(balance, &[]), *example);
    assert_eq!(methods.made(balance, &[0, 1, 0, 0]), json!([null, example[1]]));
    let deep = methods.made(balance, &[0, 0, 2, 200]).to_string();
    assert!(deep.starts_with(r#"{"a":[{"a":["#), "{deep}");
    methods.check(balance, &methods.made(balance, &[0, 0, 2, 200]));
}

#[test]
fn what_was_signed_elsewhere_is_sent_by_who_makes_the_blocks() {
    let methods = Methods::new();
    let sync = Method { name: "eth_sendRawTransactionSync", is_dev: true };
    let told = methods.call(sync, &methods.examples()[sync.name][0]).expect_err("it waits");
    // The pool itself could execute it: who makes no blocks here has said that it waits.
    assert_eq!(told.code, NOT_READY, "{told:?}");
}

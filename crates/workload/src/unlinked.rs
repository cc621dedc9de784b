//! Creation code that calls libraries, before it is known where these are.

use fugue_types::{Address, Bytes};
use serde_json::Value;

/// Bytes of an address, and of the hole that is left for one.
const HOLE_BYTES: usize = 20;
/// How a hole begins in hexadecimal. Source: Solidity's documentation, "Using the Command Line
/// Compiler", "Library Linking".
const HOLE_START: &[u8] = b"__$";

/// Creation code without arguments, with holes for the addresses of libraries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnlinkedCode {
    /// Zeros where holes are.
    code: Bytes,
    /// Each hole by its library and its first byte; it ends within the code.
    holes: Vec<(String, usize)>,
}

impl UnlinkedCode {
    /// The code of a contract in the JSON of a compiler: `bytecode` in hexadecimal with `0x`, and
    /// in `linkReferences`, if it is there, by file and library a list of objects with the `start`
    /// of each hole in bytes. `None` if it has no code, or the holes are not as listed.
    pub fn from_json(contract: &Value) -> Option<Self> {
        let text = contract.get("bytecode")?.as_str()?.strip_prefix("0x")?;
        let mut digits = text.as_bytes().to_vec();
        let mut holes = Vec::new();
        let files = contract.get("linkReferences").and_then(Value::as_object);
        let libraries = files.into_iter().flat_map(|files| files.values());
        for (library, listed) in libraries.filter_map(Value::as_object).flatten() {
            for hole in listed.as_array()? {
                let start = usize::try_from(hole.get("start")?.as_u64()?).ok()?;
                let from = start.checked_mul(2)?;
                let to = from.checked_add(2 * HOLE_BYTES)?;
                let hole = digits.get_mut(from..to)?;
                if !hole.starts_with(HOLE_START) {
                    return None;
                }
                hole.fill(b'0');
                holes.push((library.clone(), start));
            }
        }
        // A hole that is not listed is no hexadecimal.
        let code: Bytes = std::str::from_utf8(&digits).ok()?.parse().ok()?;
        (!code.is_empty()).then_some(Self { code, holes })
    }

    /// The code with the addresses of its libraries.
    ///
    /// # Errors
    /// If one of them is not known.
    pub(crate) fn linked(&self, find: impl Fn(&str) -> Option<Address>) -> Result<Vec<u8>, String> {
        let mut code = self.code.to_vec();
        for (library, start) in &self.holes {
            let found = find(library).ok_or_else(|| format!("{library} is called, and nowhere"))?;
            code[*start..*start + HOLE_BYTES].copy_from_slice(&found[..]);
        }
        Ok(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Pushes the address of a library, and drops it.
    fn contract(start: usize) -> Value {
        let hole = format!("__${}$__", "c3".repeat(17));
        json!({
            "bytecode": format!("0x73{hole}50"),
            "linkReferences": {"Lib.sol": {"Lib": [{"start": start, "length": 20}]}},
        })
    }

    #[test]
    fn holes_are_filled_with_addresses() {
        let code = UnlinkedCode::from_json(&contract(1)).expect("a code");
        let linked = code.linked(|name| (name == "Lib").then_some(Address::repeat_byte(0xab)));
        let expected = [&[0x73_u8][..], &[0xab; 20], &[0x50]].concat();
        assert_eq!(linked, Ok(expected));
        let error = code.linked(|_| None).expect_err("it is not known where the library is");
        assert!(error.contains("Lib"), "{error}");
    }

    #[test]
    fn code_without_holes_is_as_it_is() {
        let code = UnlinkedCode::from_json(&json!({"bytecode": "0x6001"})).expect("a code");
        assert_eq!(code.linked(|_| None), Ok(vec![0x60, 1]));
    }

    #[test]
    fn holes_must_be_as_listed() {
        for start in [0, 2, 1_000] {
            assert_eq!(UnlinkedCode::from_json(&contract(start)), None, "{start}");
        }
        let mut unlisted = contract(1);
        unlisted["linkReferences"] = json!({});
        assert_eq!(UnlinkedCode::from_json(&unlisted), None);
    }

    #[test]
    fn what_has_no_code_is_refused() {
        for contract in [json!({}), json!({"bytecode": "0x"}), json!({"bytecode": "0xno"})] {
            assert_eq!(UnlinkedCode::from_json(&contract), None, "{contract}");
        }
    }
}

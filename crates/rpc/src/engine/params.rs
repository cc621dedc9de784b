//! The parameters of a call, one by one and by name.

use super::errors::Failure;
use jsonrpsee::types::Params;
use serde::Deserialize;
use serde_json::value::RawValue;

/// The parameters of a call, in order. What is `null` counts as missing.
/// Source: execution-apis, `cancun.md`, `engine_newPayloadV3`, 1.
#[derive(Debug)]
pub(super) struct ParamList<'a> {
    names: &'static [&'static str],
    items: Vec<&'a RawValue>,
}

impl<'a> ParamList<'a> {
    /// Takes a list of parameters apart, which has none beyond those of `names`.
    pub(super) fn new(
        params: &'a Params<'_>,
        names: &'static [&'static str],
    ) -> Result<Self, Failure> {
        let items: Vec<&'a RawValue> = match params.as_str() {
            None | Some("") => Vec::new(),
            Some(text) => {
                serde_json::from_str(text).map_err(|error| Failure::param("params", error))?
            }
        };
        if items.iter().skip(names.len()).any(|item| !is_null(item)) {
            let why = format!("{} parameters, at most {}", items.len(), names.len());
            return Err(Failure::param("params", why));
        }
        Ok(Self { names, items })
    }

    fn name(&self, index: usize) -> &'static str {
        self.names.get(index).copied().unwrap_or("params")
    }

    /// The JSON of a parameter.
    pub(super) fn json(&self, index: usize) -> Option<&'a str> {
        let item = self.items.get(index).copied()?;
        (!is_null(item)).then(|| item.get())
    }

    /// A parameter that may be missing.
    pub(super) fn optional<T: Deserialize<'a>>(&self, index: usize) -> Result<Option<T>, Failure> {
        let Some(json) = self.json(index) else { return Ok(None) };
        let read = serde_json::from_str(json).map(Some);
        read.map_err(|error| Failure::param(self.name(index), error))
    }

    /// A parameter that may not be missing.
    pub(super) fn required<T: Deserialize<'a>>(&self, index: usize) -> Result<T, Failure> {
        self.optional(index)?.ok_or_else(|| Failure::param(self.name(index), "missing"))
    }
}

fn is_null(item: &RawValue) -> bool {
    item.get() == "null"
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 2] = ["first", "second"];

    fn fails(text: &str, read: impl Fn(&ParamList<'_>) -> Result<(), Failure>) -> String {
        let params = Params::new(Some(text));
        ParamList::new(&params, &NAMES).and_then(|list| read(&list)).unwrap_err().to_string()
    }

    #[test]
    fn e7_null_is_missing_and_what_is_missing_is_named() {
        for text in ["[1]", "[1,null]", "[ 1 , null , null ]"] {
            let params = Params::new(Some(text));
            let list = ParamList::new(&params, &NAMES).unwrap();
            assert_eq!(list.required::<u64>(0), Ok(1), "{text}");
            assert_eq!(list.optional::<u64>(1), Ok(None), "{text}");
            let message = fails(text, |list| list.required::<u64>(1).map(drop));
            assert_eq!(message, "invalid params: second: missing", "{text}");
        }
        let none = Params::new(None);
        assert_eq!(ParamList::new(&none, &NAMES).unwrap().optional::<u64>(0), Ok(None));
    }

    #[test]
    fn e7_another_structure_is_invalid_params() {
        for text in ["{}", "5", "[1,2,3]"] {
            let message = fails(text, |_| Ok(()));
            assert!(message.starts_with("invalid params: params: "), "{message}");
        }
        let message = fails("[1,\"x\"]", |list| list.optional::<u64>(1).map(drop));
        assert!(message.starts_with("invalid params: second: "), "{message}");
    }
}

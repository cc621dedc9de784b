//! The first way: the node gives the trie nodes that prove the state before the block.
//!
//! Clients differ in the form of the answer: lists or maps by hash, headers in RLP or as objects,
//! the parent first or last. Only the parts count.

use super::{Subject, endpoint::Fault};
use crate::client::public::{decoded, quantity};
use fugue_archive::WitnessBundle;
use fugue_types::{B256, Bytes, HashMap, Header, keccak256};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

pub(super) const METHOD: &str = "debug_executionWitness";

/// The block with what the node's witness has.
pub(super) fn take(subject: &Subject<'_>) -> Result<WitnessBundle, Fault> {
    let Subject { endpoint, chain, block, parent } = subject;
    let number = subject.header().number;
    let answer = endpoint.call(number, METHOD, &json!([quantity(number)]))?;
    let unfit = |error: String| endpoint.unfit(number, METHOD, error);
    let part = |name: &str| parts(answer.get(name)).map_err(|error| format!("{name}: {error}"));
    let nodes: BTreeSet<Bytes> = part("state").map_err(unfit)?.into_iter().collect();
    let codes = part("codes").map_err(unfit)?;
    let headers = headers(answer.get("headers")).map_err(unfit)?;
    Ok(WitnessBundle {
        chain_id: chain.id,
        config: chain.config.clone(),
        block: block.clone(),
        pre_state_root: parent.state_root,
        block_hashes: ancestors(parent, subject.header().parent_hash, headers),
        parent: Some(parent.clone()),
        nodes: nodes.into_iter().collect(),
        codes: codes.into_iter().map(|code| (keccak256(&code), code)).collect(),
        sibling_is_branch: false,
    })
}

/// A list of data, or the values of a map.
fn parts(value: Option<&Value>) -> Result<Vec<Bytes>, String> {
    match value {
        Some(Value::Object(map)) => map.values().cloned().map(decoded).collect(),
        Some(list @ Value::Array(_)) => decoded(list.clone()),
        _ => Err("a list of data is expected".to_owned()),
    }
}

/// Headers in RLP or as objects; none if there are none.
fn headers(value: Option<&Value>) -> Result<Vec<Header>, String> {
    let list = match value {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(value) => value.as_array().ok_or("headers: a list is expected")?,
    };
    let header = |(index, value): (usize, &Value)| {
        let header = match value {
            Value::Object(_) => decoded(value.clone()),
            other => decoded::<Bytes>(other.clone())
                .and_then(|rlp| alloy_rlp::decode_exact(&rlp).map_err(|error| error.to_string())),
        };
        header.map_err(|error| format!("headers[{index}]: {error}"))
    };
    list.iter().enumerate().map(header).collect()
}

/// Hashes of the parent and of all ancestors to which the headers lead from it.
fn ancestors(parent: &Header, parent_hash: B256, headers: Vec<Header>) -> BTreeMap<u64, B256> {
    let by_hash = headers.into_iter().map(|header| (header.hash_slow(), header));
    let by_hash: HashMap<B256, Header> = by_hash.collect();
    let mut hashes = BTreeMap::from([(parent.number, parent_hash)]);
    let mut at = parent;
    while let Some(before) = at.number.checked_sub(1) {
        hashes.insert(before, at.parent_hash);
        match by_hash.get(&at.parent_hash) {
            Some(header) if header.number == before => at = header,
            _ => break,
        }
    }
    hashes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Headers of blocks 5, 6 and 7.
    fn chain() -> [Header; 3] {
        let mut parent_hash = B256::repeat_byte(4);
        [5, 6, 7].map(|number| {
            let header = Header { parent_hash, number, ..Header::default() };
            parent_hash = header.hash_slow();
            header
        })
    }

    fn rlp(header: &Header) -> Bytes {
        alloy_rlp::encode(header).into()
    }

    #[test]
    fn headers_come_in_either_form_and_any_order() {
        let [five, six, seven] = chain();
        let hash = seven.hash_slow();
        let expected = BTreeMap::from([
            (4, five.parent_hash),
            (5, six.parent_hash),
            (6, seven.parent_hash),
            (7, hash),
        ]);
        let object = |header: &Header| serde_json::to_value(header).expect("JSON");
        for given in [
            json!([rlp(&five), rlp(&six), rlp(&seven)]),
            json!([rlp(&seven), rlp(&six), rlp(&five)]),
            json!([object(&seven), object(&six), object(&five)]),
        ] {
            let headers = headers(Some(&given)).expect("headers");
            assert_eq!(ancestors(&seven, hash, headers), expected);
        }
        // Without them the parent's own header tells of its parent.
        for given in [None, Some(&Value::Null), Some(&json!([]))] {
            let headers = headers(given).expect("no headers");
            let few = BTreeMap::from([(6, seven.parent_hash), (7, hash)]);
            assert_eq!(ancestors(&seven, hash, headers), few);
        }
        // One that is of another chain leads nowhere.
        let stranger = Header { number: 6, ..Header::default() };
        let few = BTreeMap::from([(6, seven.parent_hash), (7, hash)]);
        assert_eq!(ancestors(&seven, hash, vec![stranger]), few);
        assert!(headers(Some(&json!(["0x"]))).unwrap_err().starts_with("headers[0]: "));
    }

    #[test]
    fn nodes_come_as_a_list_or_as_a_map() {
        let list = json!(["0xc0", "0xc1"]);
        let map = json!({ "0x01": "0xc0", "0x02": "0xc1" });
        let expected = [Bytes::from_static(&[0xc0]), Bytes::from_static(&[0xc1])];
        assert_eq!(parts(Some(&list)).expect("a list"), expected);
        assert_eq!(parts(Some(&map)).expect("a map"), expected);
        assert!(parts(None).is_err() && parts(Some(&json!("0xc0"))).is_err());
    }
}

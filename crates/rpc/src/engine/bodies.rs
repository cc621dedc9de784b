//! Bodies of known blocks. Source: execution-apis, `shanghai.md`, `amsterdam.md`,
//! `engine_getPayloadBodiesBy...`.

use super::{
    errors::Failure,
    forks::Version,
    params::ParamList,
    wire::{Data, Fixed, Quantity, WireWithdrawal},
    work::Waited,
};
use alloy_eips::Encodable2718;
use fugue_chain::{ChainView, ImportError, StorageError};
use fugue_types::{B256, BlockBody, Bytes};
use jsonrpsee::types::Params;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

/// Bodies in an answer. The specification asks for 32 at least.
pub(super) const BODIES_MAX: u64 = 1_024;
/// Bytes of an answer, below what the server sends at most.
pub(super) const BODIES_BYTES_MAX: u64 = 200_000_000;

/// `ExecutionPayloadBodyV1` and `V2`.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    transactions: Vec<Data>,
    /// `null` before Shanghai.
    withdrawals: Option<Vec<WireWithdrawal>>,
    /// From V2 on; `null` before Amsterdam, or if it is pruned.
    #[serde(skip_serializing_if = "Option::is_none")]
    block_access_list: Option<Option<Data>>,
}

impl Body {
    fn new(body: &BlockBody, access_list: Option<Option<Bytes>>) -> Self {
        let transactions = body.transactions.iter().map(|tx| Data(tx.encoded_2718().into()));
        let withdrawals = body.withdrawals.as_ref();
        Self {
            transactions: transactions.collect(),
            withdrawals: withdrawals.map(|list| list.iter().map(WireWithdrawal::from).collect()),
            block_access_list: access_list.map(|list| list.map(Data)),
        }
    }
}

/// The blocks whose bodies are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    Hashes(Vec<B256>),
    Range { start: u64, count: u64 },
}

impl Wanted {
    /// Reads the parameters of `engine_getPayloadBodiesByHash`.
    pub(super) fn by_hash(params: &Params<'_>) -> Result<Self, Failure> {
        let list = ParamList::new(params, &["blockHashes"])?;
        let hashes: Vec<Fixed<32>> = list.required(0)?;
        check_count(hashes.len() as u64)?;
        Ok(Self::Hashes(hashes.into_iter().map(|hash| hash.0).collect()))
    }

    /// Reads the parameters of `engine_getPayloadBodiesByRange`.
    pub(super) fn by_range(params: &Params<'_>) -> Result<Self, Failure> {
        const NAMES: &[&str] = &["start", "count"];
        let list = ParamList::new(params, NAMES)?;
        let [start, count] = [list.required::<Quantity>(0)?.0, list.required::<Quantity>(1)?.0];
        for (name, value) in [("start", start), ("count", count)] {
            if value < 1 {
                return Err(Failure::param(name, "below 1"));
            }
        }
        check_count(count)?;
        Ok(Self::Range { start, count })
    }

    /// The answer. Reads the store, one block after the other.
    pub(super) fn answer(
        self,
        version: Version,
        view: &ChainView,
        waited: &Waited<'_, Box<RawValue>>,
    ) -> Result<Box<RawValue>, Failure> {
        let mut bodies = Bodies::default();
        match self {
            Self::Hashes(hashes) => {
                for hash in hashes {
                    waited.check()?;
                    bodies.push(by_hash(view, hash, version)?)?;
                }
            }
            Self::Range { start, count } => {
                for number in known_numbers(start, count, view.head().number) {
                    waited.check()?;
                    bodies.push(by_number(view, number, version)?)?;
                }
            }
        }
        Ok(to_raw_value(&bodies.items)?)
    }
}

fn check_count(asked: u64) -> Result<(), Failure> {
    if asked > BODIES_MAX {
        return Err(Failure::TooLarge { what: "bodies", asked, max: BODIES_MAX });
    }
    Ok(())
}

/// The numbers of a range up to the head: what is above it is left out.
fn known_numbers(start: u64, count: u64, head: u64) -> impl Iterator<Item = u64> {
    (start..=head).take(usize::try_from(count).unwrap_or(usize::MAX))
}

/// Bodies as JSON, with a bound on all together.
#[derive(Default)]
struct Bodies {
    items: Vec<Box<RawValue>>,
    bytes: u64,
}

impl Bodies {
    fn push(&mut self, body: Option<Body>) -> Result<(), Failure> {
        let item = to_raw_value(&body)?;
        self.bytes = self.bytes.saturating_add(item.get().len() as u64);
        if self.bytes > BODIES_BYTES_MAX {
            let (asked, max) = (self.bytes, BODIES_BYTES_MAX);
            return Err(Failure::TooLarge { what: "bytes of bodies", asked, max });
        }
        self.items.push(item);
        Ok(())
    }
}

fn by_hash(view: &ChainView, hash: B256, version: Version) -> Result<Option<Body>, Failure> {
    let Some(block) = kept(view.block_by_hash(hash))?.flatten() else { return Ok(None) };
    Ok(Some(Body::new(&block.body, access_list(view, hash, version)?)))
}

fn by_number(view: &ChainView, number: u64, version: Version) -> Result<Option<Body>, Failure> {
    let Some(block) = kept(view.block(number))?.flatten() else { return Ok(None) };
    Ok(Some(Body::new(&block.body, access_list(view, block.hash, version)?)))
}

fn access_list(
    view: &ChainView,
    hash: B256,
    version: Version,
) -> Result<Option<Option<Bytes>>, Failure> {
    if version < Version::V2 {
        return Ok(None);
    }
    Ok(Some(kept(view.access_list(hash))?.flatten()))
}

/// `None` for what is not kept any more.
fn kept<T>(found: Result<T, ImportError>) -> Result<Option<T>, Failure> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(ImportError::Storage(StorageError::Pruned { .. })) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fugue_types::Withdrawals;
    use serde_json::{Value, json};

    fn by_hash(params: &Value) -> Result<Wanted, Failure> {
        Wanted::by_hash(&Params::new(Some(&params.to_string())))
    }

    fn by_range(params: &Value) -> Result<Wanted, Failure> {
        Wanted::by_range(&Params::new(Some(&params.to_string())))
    }

    #[test]
    fn e26_as_many_bodies_as_the_bound_are_answered_and_no_more() {
        const { assert!(BODIES_MAX >= 32) };
        let hashes = |count: u64| json!([vec![B256::ZERO; count as usize]]);
        assert!(by_hash(&hashes(BODIES_MAX)).is_ok());
        assert!(matches!(by_hash(&hashes(BODIES_MAX + 1)), Err(Failure::TooLarge { .. })));
        let range = |count: u64| json!(["0x1", format!("{count:#x}")]);
        assert_eq!(by_range(&range(BODIES_MAX)), Ok(Wanted::Range { start: 1, count: BODIES_MAX }));
        assert!(matches!(by_range(&range(BODIES_MAX + 1)), Err(Failure::TooLarge { .. })));
        assert!(matches!(by_range(&range(u64::MAX)), Err(Failure::TooLarge { .. })));
    }

    #[test]
    fn e26_a_range_begins_and_counts_from_one() {
        for bad in [
            json!(["0x0", "0x1"]),
            json!(["0x1", "0x0"]),
            json!([1, 1]),
            json!(["0x1"]),
            json!(["0x1", null]),
            json!([]),
        ] {
            let found = by_range(&bad);
            assert!(matches!(found, Err(Failure::InvalidParams(_))), "{bad}: {found:?}");
        }
        for bad in [json!([]), json!([["0x01"]]), json!(["0x01"]), json!([[null]])] {
            let found = by_hash(&bad);
            assert!(matches!(found, Err(Failure::InvalidParams(_))), "{bad}: {found:?}");
        }
        assert_eq!(by_hash(&json!([[]])), Ok(Wanted::Hashes(Vec::new())));
    }

    #[test]
    fn e26_a_range_ends_at_the_head() {
        for (start, count, head, expected) in [
            (1, 3, 5, vec![1, 2, 3]),
            (4, 3, 5, vec![4, 5]),
            (5, 1, 5, vec![5]),
            (6, 3, 5, vec![]),
            (u64::MAX, 3, 5, vec![]),
            (u64::MAX, 3, u64::MAX, vec![u64::MAX]),
        ] {
            let found: Vec<_> = known_numbers(start, count, head).collect();
            assert_eq!(found, expected, "{count} from {start} on, head {head}");
        }
    }

    #[test]
    fn e26_withdrawals_are_null_before_shanghai_and_a_list_after() {
        let mut body =
            BlockBody { transactions: Vec::new(), ommers: Vec::new(), withdrawals: None };
        let before = serde_json::to_value(Body::new(&body, None)).unwrap();
        assert_eq!(before, json!({ "transactions": [], "withdrawals": null }));
        body.withdrawals = Some(Withdrawals::default());
        let after = serde_json::to_value(Body::new(&body, None)).unwrap();
        assert_eq!(after, json!({ "transactions": [], "withdrawals": [] }));
    }

    #[test]
    fn e29_an_access_list_is_null_where_there_is_none() {
        let body = BlockBody { transactions: Vec::new(), ommers: Vec::new(), withdrawals: None };
        for (list, expected) in
            [(None, Value::Null), (Some(Bytes::from_static(&[0xc0])), json!("0xc0"))]
        {
            let found = serde_json::to_value(Body::new(&body, Some(list))).unwrap();
            assert_eq!(found.get("blockAccessList"), Some(&expected));
        }
    }

    #[test]
    fn what_is_pruned_is_missing_and_what_is_broken_is_an_error() {
        let pruned = StorageError::Pruned { what: "body", number: 1, oldest: 2 };
        assert_eq!(kept::<()>(Err(ImportError::Storage(pruned))), Ok(None));
        let broken = ImportError::Internal("no disk".to_owned());
        assert!(matches!(kept::<()>(Err(broken)), Err(Failure::Broken(_))));
        assert_eq!(kept(Ok(1)), Ok(Some(1)));
    }
}

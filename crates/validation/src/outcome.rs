//! What execution gave against what the header promised.

use crate::{Mismatch, Rule, expect};
use alloy_consensus::{TxReceipt, proofs::calculate_receipt_root};
use alloy_eips::eip7928::{ITEM_COST, compute_block_access_list_hash, total_bal_items};
use fugue_types::{AccountChanges, B256, Bloom, Header, ReceiptEnvelope, Requests};

/// What execution gave, as far as a header speaks of it.
#[derive(Debug, Clone, Copy)]
pub struct OutcomeFacts<'o> {
    /// Gas as the header counts it.
    pub gas_used: u64,
    /// Blob gas; 0 before Cancun.
    pub blob_gas_used: u64,
    /// All receipts, with their blooms.
    pub receipts: &'o [ReceiptEnvelope],
    /// Whether the receipts are whole: those from before Byzantium hold state roots, which not
    /// every source of a block allows to compute. Their root is compared only if they are.
    pub are_receipts_whole: bool,
    /// Requests, from Prague on.
    pub requests: Option<&'o Requests>,
    /// The block access list, from Amsterdam on.
    pub access_list: Option<&'o [AccountChanges]>,
}

/// Compares the outcome of a block with its header, and gives every difference.
pub fn check_outcome(header: &Header, facts: &OutcomeFacts<'_>) -> Vec<Mismatch> {
    let OutcomeFacts {
        gas_used,
        blob_gas_used,
        receipts,
        are_receipts_whole,
        requests,
        access_list,
    } = *facts;
    let mut mismatches = vec![expect(Rule::GasUsed, header.gas_used, gas_used)];
    if are_receipts_whole {
        mismatches.push(expect(Rule::ReceiptsRoot, header.receipts_root, receipts_root(receipts)));
    }
    mismatches.push(expect(Rule::LogsBloom, header.logs_bloom, logs_bloom(receipts)));
    if let Some(expected) = header.blob_gas_used {
        mismatches.push(expect(Rule::BlobGasUsed, expected, blob_gas_used));
    }
    if let Some(expected) = header.requests_hash {
        let found = requests.map(Requests::requests_hash).unwrap_or_default();
        mismatches.push(expect(Rule::RequestsHash, expected, found));
    }
    if let Some(expected) = header.block_access_list_hash {
        let list = access_list.unwrap_or_default();
        // Source: EIP-7928, "Block Access List size constraint".
        let items_max = header.gas_limit / ITEM_COST as u64;
        let items = total_bal_items(list);
        mismatches.push(expect(Rule::AccessListSize, items.min(items_max), items));
        mismatches.push(expect(
            Rule::AccessListHash,
            expected,
            compute_block_access_list_hash(list),
        ));
    }
    mismatches.into_iter().filter_map(Result::err).collect()
}

/// Root of the receipts trie.
pub fn receipts_root(receipts: &[ReceiptEnvelope]) -> B256 {
    calculate_receipt_root(receipts)
}

/// All blooms in one.
pub fn logs_bloom(receipts: &[ReceiptEnvelope]) -> Bloom {
    receipts.iter().fold(Bloom::ZERO, |bloom, receipt| bloom | receipt.bloom())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;
    use fugue_chainspec::Fork;
    use fugue_types::Address;

    /// Source: EIP-7928, "Block Access List size constraint": 2000 gas for each item, rounded down.
    #[test]
    fn an_access_list_has_only_items_that_the_gas_limit_pays_for() {
        let header = Header { gas_limit: 30_000_001, ..samples::header(Fork::Amsterdam) };
        let is_too_large = |items: usize| {
            let list = vec![AccountChanges::new(Address::ZERO); items];
            let facts = OutcomeFacts {
                gas_used: 0,
                blob_gas_used: 0,
                receipts: &[],
                are_receipts_whole: true,
                requests: None,
                access_list: Some(&list),
            };
            check_outcome(&header, &facts).iter().any(|it| it.rule == Rule::AccessListSize)
        };
        assert!(!is_too_large(15_000));
        assert!(is_too_large(15_001));
    }
}

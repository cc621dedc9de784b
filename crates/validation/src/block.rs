//! The body against its header, and the header's own fields against its fork.

use crate::{
    Mismatch, Rule, expect,
    header::{check_fields, check_gas_limit, field_of_fork},
};
use alloy_consensus::{
    Transaction as _,
    proofs::{calculate_ommers_root, calculate_transaction_root, calculate_withdrawals_root},
};
use fugue_chainspec::{Fork, Rules};
use fugue_types::{Block, SealedBlock};

/// Largest block from Osaka on, in bytes of RLP: 10 MiB without the 2 MiB that are kept for the
/// consensus layer. Source: EIP-7934, `MAX_RLP_BLOCK_SIZE`.
const BLOCK_BYTES_MAX: usize = (10 << 20) - (2 << 20);

/// Whether the ommers of a block are at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ommers {
    /// They are in the body.
    Known,
    /// The source of the block does not have them; their hash is not compared.
    Unknown,
}

/// Judges a body by its header, and the header's fields by its fork. Not what depends on other
/// blocks, of which the ommers are for [`check_ommers`](crate::check_ommers).
///
/// # Errors
/// The first [`Mismatch`].
///
/// Source: Yellow Paper, "Holistic Validity"; EIP-3675, EIP-4844, EIP-4895, EIP-7685, EIP-7934.
pub fn check_block(block: &SealedBlock, rules: &Rules, ommers: Ommers) -> Result<(), Mismatch> {
    let Block { header, body } = block.block();
    check_gas_limit(header)?;
    check_fields(header, rules)?;
    let root = calculate_transaction_root(&body.transactions);
    expect(Rule::TransactionsRoot, header.transactions_root, root)?;
    if ommers == Ommers::Known {
        let hash = calculate_ommers_root(&body.ommers);
        expect(Rule::OmmersHash, header.ommers_hash, hash)?;
    }
    field_of_fork("withdrawals", rules.has(Fork::Shanghai), body.withdrawals.is_some())?;
    if let (Some(expected), Some(withdrawals)) = (header.withdrawals_root, &body.withdrawals) {
        expect(Rule::WithdrawalsRoot, expected, calculate_withdrawals_root(withdrawals))?;
    }
    if let Some(expected) = header.blob_gas_used {
        let gas = body.transactions.iter().filter_map(|tx| tx.blob_gas_used());
        expect(Rule::BlobGasUsed, expected, gas.fold(0, u64::saturating_add))?;
    }
    if rules.has(Fork::Osaka) {
        let bytes = Block::rlp_length_for(header, body);
        if bytes > BLOCK_BYTES_MAX {
            let bound = format!("at most {BLOCK_BYTES_MAX} bytes");
            return Err(Mismatch::new(Rule::BlockSize, bound, bytes));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{self, FORKS};
    use alloy_consensus::{Signed, TxLegacy};
    use fugue_types::{Address, B256, BlockBody, Header, Transaction, Withdrawals, impersonating};

    fn broken(fork: Fork, header: Header, body: BlockBody) -> Option<Rule> {
        let rules = samples::rules(fork, &header);
        let block = SealedBlock::seal(Block { header, body });
        check_block(&block, &rules, Ommers::Known).err().map(|mismatch| mismatch.rule)
    }

    fn empty(fork: Fork) -> BlockBody {
        let withdrawals = (fork >= Fork::Shanghai).then(Withdrawals::default);
        BlockBody { transactions: Vec::new(), ommers: Vec::new(), withdrawals }
    }

    #[test]
    fn an_empty_block_of_every_fork_is_valid() {
        for fork in FORKS {
            assert_eq!(broken(fork, samples::header(fork), empty(fork)), None, "{fork}");
        }
    }

    #[test]
    fn the_header_names_the_body() {
        let fork = Fork::Homestead;
        let header = Header { transactions_root: B256::ZERO, ..samples::header(fork) };
        assert_eq!(broken(fork, header, empty(fork)), Some(Rule::TransactionsRoot));
        let body = BlockBody { ommers: vec![samples::header(fork)], ..empty(fork) };
        assert_eq!(broken(fork, samples::header(fork), body), Some(Rule::OmmersHash));
        let fork = Fork::Shanghai;
        let header = Header { withdrawals_root: Some(B256::ZERO), ..samples::header(fork) };
        assert_eq!(broken(fork, header, empty(fork)), Some(Rule::WithdrawalsRoot));
        let fork = Fork::Cancun;
        let header = Header { blob_gas_used: Some(131_072), ..samples::header(fork) };
        assert_eq!(broken(fork, header, empty(fork)), Some(Rule::BlobGasUsed));
    }

    #[test]
    fn ommers_that_are_not_known_are_not_compared() {
        let header = Header { ommers_hash: B256::ZERO, ..samples::header(Fork::Homestead) };
        let rules = samples::rules(Fork::Homestead, &header);
        let block = SealedBlock::seal(Block { header, body: empty(Fork::Homestead) });
        assert_eq!(check_block(&block, &rules, Ommers::Unknown), Ok(()));
    }

    #[test]
    fn a_body_has_withdrawals_from_shanghai_on() {
        let with = |fork| broken(fork, samples::header(fork), empty(Fork::Shanghai));
        let without = |fork| broken(fork, samples::header(fork), empty(Fork::Paris));
        assert_eq!(with(Fork::Paris), Some(Rule::Early("withdrawals")));
        assert_eq!(with(Fork::Shanghai), None);
        assert_eq!(without(Fork::Paris), None);
        assert_eq!(without(Fork::Shanghai), Some(Rule::Missing("withdrawals")));
    }

    #[test]
    fn the_header_is_judged_too() {
        let header = Header { gas_used: 30_000_001, ..samples::header(Fork::London) };
        assert_eq!(broken(Fork::London, header, empty(Fork::London)), Some(Rule::GasUsedMax));
    }

    #[test]
    fn a_block_from_osaka_on_is_not_too_large() {
        let of_bytes = |fork, bytes: usize| {
            let with_input = |length: usize| {
                let tx = TxLegacy { input: vec![0_u8; length].into(), ..TxLegacy::default() };
                let signed = Signed::new_unhashed(tx, impersonating(Address::ZERO));
                let transactions = vec![Transaction::Legacy(signed)];
                let transactions_root = calculate_transaction_root(&transactions);
                let header = Header { transactions_root, ..samples::header(fork) };
                (header, BlockBody { transactions, ..empty(fork) })
            };
            // RLP writes any length from 2^16 to 2^24 in three bytes.
            let some = 1 << 20;
            let (header, body) = with_input(some);
            let others = Block::rlp_length_for(&header, &body) - some;
            let (header, body) = with_input(bytes - others);
            broken(fork, header, body)
        };
        // Source: EIP-7934, "Specification": a block that has more than 8,388,608 is invalid.
        assert_eq!(of_bytes(Fork::Osaka, 8_388_608), None);
        assert_eq!(of_bytes(Fork::Osaka, 8_388_609), Some(Rule::BlockSize));
        assert_eq!(of_bytes(Fork::Prague, 8_388_609), None);
    }
}

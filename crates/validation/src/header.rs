//! A header by itself: what its fork asks of its fields.

use crate::{Mismatch, Rule, expect};
use alloy_consensus::EMPTY_OMMER_ROOT_HASH;
use alloy_eips::eip4844::DATA_GAS_PER_BLOB;
use fugue_chainspec::{Fork, Rules};
use fugue_types::{Header, U256};

/// Largest `extraData` in bytes. Source: Yellow Paper, "Block Header Validity".
const EXTRA_DATA_BYTES_MAX: usize = 32;
/// `extraData` of the DAO fork's first blocks. Source: EIP-779.
const DAO_EXTRA_DATA: &[u8] = b"dao-hard-fork";
/// Lowest gas limit of a block. Source: Yellow Paper, "Block Header Validity".
pub(crate) const GAS_LIMIT_MIN: u64 = 5_000;
/// Highest gas limit of a block. Source: the official tests, which ask the range of EIP-1985 of
/// every header.
const GAS_LIMIT_MAX: u64 = u64::MAX >> 1;

/// Judges the gas limit without its parent's.
///
/// # Errors
/// [`Mismatch`] by [`Rule::GasLimitMin`] or [`Rule::GasLimitMax`].
pub(crate) fn check_gas_limit(header: &Header) -> Result<(), Mismatch> {
    if header.gas_limit < GAS_LIMIT_MIN {
        let bound = format!("at least {GAS_LIMIT_MIN}");
        return Err(Mismatch::new(Rule::GasLimitMin, bound, header.gas_limit));
    }
    if header.gas_limit > GAS_LIMIT_MAX {
        let bound = format!("at most {GAS_LIMIT_MAX}");
        return Err(Mismatch::new(Rule::GasLimitMax, bound, header.gas_limit));
    }
    Ok(())
}

/// Judges all other fields by their fork alone.
///
/// # Errors
/// The first [`Mismatch`].
///
/// Source: Yellow Paper, "Block Header Validity"; EIP-779, EIP-3675, EIP-4844.
pub(crate) fn check_fields(header: &Header, rules: &Rules) -> Result<(), Mismatch> {
    fields_of_fork(header, rules)?;
    extra_data(header, rules)?;
    if header.gas_used > header.gas_limit {
        let bound = format!("at most {}", header.gas_limit);
        return Err(Mismatch::new(Rule::GasUsedMax, bound, header.gas_used));
    }
    if let (Some(params), Some(used)) = (rules.blob_params, header.blob_gas_used) {
        if used > params.max_blob_gas_per_block() {
            let bound = format!("at most {}", params.max_blob_gas_per_block());
            return Err(Mismatch::new(Rule::BlobGasMax, bound, used));
        }
        if !used.is_multiple_of(DATA_GAS_PER_BLOB) {
            let bound = format!("a multiple of {DATA_GAS_PER_BLOB}");
            return Err(Mismatch::new(Rule::BlobGasUnit, bound, used));
        }
    }
    if rules.has(Fork::Paris) {
        // Source: EIP-3675, "Block structure".
        expect(Rule::ProofOfStake, U256::ZERO, header.difficulty)?;
        if !header.nonce.is_zero() {
            return Err(Mismatch::new(Rule::Nonce, "zero", header.nonce));
        }
        expect(Rule::NoOmmers, EMPTY_OMMER_ROOT_HASH, header.ommers_hash)?;
    }
    Ok(())
}

/// A field is there from its fork on and not before.
fn fields_of_fork(header: &Header, rules: &Rules) -> Result<(), Mismatch> {
    let fields = [
        ("baseFeePerGas", Fork::London, header.base_fee_per_gas.is_some()),
        ("withdrawalsRoot", Fork::Shanghai, header.withdrawals_root.is_some()),
        ("blobGasUsed", Fork::Cancun, header.blob_gas_used.is_some()),
        ("excessBlobGas", Fork::Cancun, header.excess_blob_gas.is_some()),
        ("parentBeaconBlockRoot", Fork::Cancun, header.parent_beacon_block_root.is_some()),
        ("requestsHash", Fork::Prague, header.requests_hash.is_some()),
        ("blockAccessListHash", Fork::Amsterdam, header.block_access_list_hash.is_some()),
        ("slotNumber", Fork::Amsterdam, header.slot_number.is_some()),
    ];
    fields
        .into_iter()
        .try_for_each(|(field, fork, is_there)| field_of_fork(field, rules.has(fork), is_there))
}

/// A field is there if and only if it `must_be`.
pub(crate) fn field_of_fork(
    field: &'static str,
    must_be: bool,
    is_there: bool,
) -> Result<(), Mismatch> {
    match (must_be, is_there) {
        (true, false) => Err(Mismatch::new(Rule::Missing(field), "a value", "none")),
        (false, true) => Err(Mismatch::new(Rule::Early(field), "none", "a value")),
        _ => Ok(()),
    }
}

fn extra_data(header: &Header, rules: &Rules) -> Result<(), Mismatch> {
    if header.extra_data.len() > EXTRA_DATA_BYTES_MAX {
        let bound = format!("at most {EXTRA_DATA_BYTES_MAX} bytes");
        return Err(Mismatch::new(Rule::ExtraDataSize, bound, header.extra_data.len()));
    }
    let is_of_dao_fork = header.extra_data[..] == *DAO_EXTRA_DATA;
    match rules.dao_extra_data {
        Some(true) if !is_of_dao_fork => {
            Err(Mismatch::new(Rule::ExtraDataDao, "dao-hard-fork", &header.extra_data))
        }
        Some(false) if is_of_dao_fork => {
            Err(Mismatch::new(Rule::ExtraDataDao, "anything else", "dao-hard-fork"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{self, Change, FORKS};
    use fugue_chainspec::{ChainConfig, ChainSpec};
    use fugue_types::{B256, Bytes};

    fn broken(fork: Fork, change: Change) -> Option<Rule> {
        let mut header = samples::header(fork);
        change(&mut header);
        check_fields(&header, &samples::rules(fork, &header)).err().map(|mismatch| mismatch.rule)
    }

    #[test]
    fn a_header_with_the_fields_of_its_fork_is_valid() {
        for fork in FORKS {
            let header = samples::header(fork);
            assert_eq!(check_fields(&header, &samples::rules(fork, &header)), Ok(()), "{fork}");
        }
    }

    #[test]
    fn a_field_comes_with_its_fork() {
        let fields: [(&str, Fork, Fork, Change); 6] = [
            ("baseFeePerGas", Fork::Berlin, Fork::London, |header| {
                header.base_fee_per_gas = header.base_fee_per_gas.xor(Some(7));
            }),
            ("withdrawalsRoot", Fork::Paris, Fork::Shanghai, |header| {
                header.withdrawals_root = header.withdrawals_root.xor(Some(B256::ZERO));
            }),
            ("blobGasUsed", Fork::Shanghai, Fork::Cancun, |header| {
                header.blob_gas_used = header.blob_gas_used.xor(Some(0));
            }),
            ("parentBeaconBlockRoot", Fork::Shanghai, Fork::Cancun, |header| {
                header.parent_beacon_block_root =
                    header.parent_beacon_block_root.xor(Some(B256::ZERO));
            }),
            ("requestsHash", Fork::Cancun, Fork::Prague, |header| {
                header.requests_hash = header.requests_hash.xor(Some(B256::ZERO));
            }),
            ("slotNumber", Fork::Osaka, Fork::Amsterdam, |header| {
                header.slot_number = header.slot_number.xor(Some(0));
            }),
        ];
        for (field, before, since, toggle) in fields {
            assert_eq!(broken(before, toggle), Some(Rule::Early(field)), "{before}");
            assert_eq!(broken(since, toggle), Some(Rule::Missing(field)), "{since}");
        }
    }

    #[test]
    fn a_block_after_the_merge_has_no_difficulty_nonce_or_ommers() {
        let fork = Fork::Paris;
        let found = broken(fork, |header| header.difficulty = U256::from(1));
        assert_eq!(found, Some(Rule::ProofOfStake));
        let found = broken(fork, |header| header.nonce = [0, 0, 0, 0, 0, 0, 0, 1].into());
        assert_eq!(found, Some(Rule::Nonce));
        let found = broken(fork, |header| header.ommers_hash = B256::ZERO);
        assert_eq!(found, Some(Rule::NoOmmers));
    }

    #[test]
    fn the_gas_used_is_no_more_than_the_limit() {
        assert_eq!(broken(Fork::London, |header| header.gas_used = header.gas_limit), None);
        let found = broken(Fork::London, |header| header.gas_used = header.gas_limit + 1);
        assert_eq!(found, Some(Rule::GasUsedMax));
    }

    #[test]
    fn the_gas_limit_has_bounds() {
        let broken = |gas_limit| {
            let header = Header { gas_limit, ..Header::default() };
            check_gas_limit(&header).err().map(|mismatch| mismatch.rule)
        };
        assert_eq!(broken(4_999), Some(Rule::GasLimitMin));
        assert_eq!(broken(5_000), None);
        assert_eq!(broken(0x7fff_ffff_ffff_ffff), None);
        assert_eq!(broken(0x8000_0000_0000_0000), Some(Rule::GasLimitMax));
    }

    #[test]
    fn blob_gas_is_that_of_whole_blobs_and_of_no_more_than_the_fork_allows() {
        let found = broken(Fork::Cancun, |header| header.blob_gas_used = Some(6 * 131_072));
        assert_eq!(found, None);
        let found = broken(Fork::Cancun, |header| header.blob_gas_used = Some(7 * 131_072));
        assert_eq!(found, Some(Rule::BlobGasMax));
        let found = broken(Fork::Prague, |header| header.blob_gas_used = Some(7 * 131_072));
        assert_eq!(found, None);
        let found = broken(Fork::Cancun, |header| header.blob_gas_used = Some(131_073));
        assert_eq!(found, Some(Rule::BlobGasUnit));
    }

    #[test]
    fn extra_data_is_short() {
        let found = broken(Fork::London, |header| header.extra_data = vec![0; 32].into());
        assert_eq!(found, None);
        let found = broken(Fork::London, |header| header.extra_data = vec![0; 33].into());
        assert_eq!(found, Some(Rule::ExtraDataSize));
    }

    #[test]
    fn the_first_blocks_of_the_dao_fork_tell_their_side() {
        let refusing = ChainConfig {
            homestead_block: Some(1_150_000),
            dao_fork_block: Some(1_920_000),
            dao_fork_support: false,
            ..ChainConfig::default()
        };
        let refusing = ChainSpec::try_from(&refusing).expect("valid config");
        let broken = |chain: &ChainSpec, number, extra_data: &'static [u8]| {
            let extra_data = Bytes::from_static(extra_data);
            let header = Header { number, extra_data, ..samples::header(Fork::Homestead) };
            check_fields(&header, &chain.rules(&header)).err().map(|mismatch| mismatch.rule)
        };
        let mainnet = ChainSpec::mainnet();
        for number in [1_920_000, 1_920_009] {
            assert_eq!(broken(&mainnet, number, b"dao-hard-fork"), None, "{number}");
            assert_eq!(broken(&mainnet, number, b""), Some(Rule::ExtraDataDao), "{number}");
            let found = broken(&refusing, number, b"dao-hard-fork");
            assert_eq!(found, Some(Rule::ExtraDataDao), "{number}");
            assert_eq!(broken(&refusing, number, b""), None, "{number}");
        }
        for number in [1_919_999, 1_920_010] {
            for chain in [&mainnet, &refusing] {
                assert_eq!(broken(chain, number, b"dao-hard-fork"), None, "{number}");
                assert_eq!(broken(chain, number, b""), None, "{number}");
            }
        }
    }
}

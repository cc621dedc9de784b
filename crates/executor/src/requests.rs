//! Requests to the consensus layer (EIP-7685).

use fugue_types::{Address, B256, Bytes, Log, address, b256};

/// Type of deposit requests. Source: EIP-6110.
pub(crate) const DEPOSIT: u8 = 0;
/// Builder deposit contract, request type 3. Source: EIP-8282.
pub(crate) const BUILDER_DEPOSIT_CONTRACT: Address =
    address!("0x0000BFF46984E3725691FA540A8C7589300D8282");
/// Builder exit contract, request type 4. Source: EIP-8282.
pub(crate) const BUILDER_EXIT_CONTRACT: Address =
    address!("0x000064D678505AD48F8CCB093BC65613800E8282");

/// First topic of a deposit log. Source: EIP-6110, "Configuration".
const DEPOSIT_TOPIC: B256 =
    b256!("0x649bbc62d0e31342afea4e5cd82d4049e7e1ee912fc0889aa790803be39038c5");
/// Fields of a deposit: position of its length word in the log's data, and its length, in bytes.
/// Source: EIP-6110, `is_valid_deposit_event_data`.
const DEPOSIT_FIELDS: [(usize, usize); 5] = [(160, 48), (256, 32), (320, 8), (384, 96), (512, 8)];
/// Length of a deposit log's data in bytes.
const DEPOSIT_LOG_BYTES: usize = 576;

/// A log of the deposit contract whose data is not laid out as a deposit.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct MalformedDeposit;

/// Deposits among `logs`, concatenated in order. Source: EIP-6110, "Block processing".
pub(crate) fn deposits<'l>(
    contract: Address,
    logs: impl IntoIterator<Item = &'l Log>,
) -> Result<Bytes, MalformedDeposit> {
    let mut deposits = Vec::new();
    for log in logs {
        if log.address == contract && log.topics().first() == Some(&DEPOSIT_TOPIC) {
            append_deposit(&log.data.data, &mut deposits).ok_or(MalformedDeposit)?;
        }
    }
    Ok(deposits.into())
}

fn append_deposit(data: &[u8], deposits: &mut Vec<u8>) -> Option<()> {
    if data.len() != DEPOSIT_LOG_BYTES {
        return None;
    }
    for (field, (position, length)) in DEPOSIT_FIELDS.into_iter().enumerate() {
        let (start, end) = (position + 32, position + 32 + length);
        let is_laid_out = word(data, field * 32)? == position && word(data, position)? == length;
        if !is_laid_out {
            return None;
        }
        deposits.extend_from_slice(data.get(start..end)?);
    }
    Some(())
}

/// The 32-byte big-endian number at `start`, if it fits.
fn word(data: &[u8], start: usize) -> Option<usize> {
    let (high, low) = data.get(start..start + 32)?.split_at_checked(24)?;
    if high.iter().any(|byte| *byte != 0) {
        return None;
    }
    usize::try_from(u64::from_be_bytes(low.try_into().ok()?)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use fugue_types::LogData;

    const CONTRACT: Address = Address::repeat_byte(1);

    fn data() -> Vec<u8> {
        let mut data = vec![0; DEPOSIT_LOG_BYTES];
        for (field, (position, length)) in DEPOSIT_FIELDS.into_iter().enumerate() {
            data[field * 32 + 30..field * 32 + 32]
                .copy_from_slice(&(position as u16).to_be_bytes());
            data[position + 31] = length as u8;
            data[position + 32..position + 32 + length].fill(field as u8 + 1);
        }
        data
    }

    fn log(data: Vec<u8>) -> Log {
        Log { address: CONTRACT, data: LogData::new_unchecked(vec![DEPOSIT_TOPIC], data.into()) }
    }

    #[test]
    fn a_deposit_log_gives_its_five_fields_in_order() {
        let deposits = deposits(CONTRACT, &[log(data())]).expect("laid out as a deposit");
        let expected: Vec<u8> = [(1, 48), (2, 32), (3, 8), (4, 96), (5, 8)]
            .into_iter()
            .flat_map(|(byte, length)| vec![byte; length])
            .collect();
        assert_eq!(deposits, Bytes::from(expected));
    }

    #[test]
    fn a_deposit_log_with_any_wrong_word_is_malformed() {
        for (field, (position, _)) in DEPOSIT_FIELDS.into_iter().enumerate() {
            for place in [field * 32, field * 32 + 31, position, position + 31] {
                let mut data = data();
                data[place] ^= 1;
                assert_eq!(deposits(CONTRACT, &[log(data)]), Err(MalformedDeposit), "{place}");
            }
        }
        assert_eq!(deposits(CONTRACT, &[log(data()[..575].to_vec())]), Err(MalformedDeposit));
    }

    #[test]
    fn logs_of_others_are_no_deposits() {
        let mut other = log(data());
        other.address = Address::ZERO;
        assert_eq!(deposits(CONTRACT, &[other]), Ok(Bytes::new()));
    }
}

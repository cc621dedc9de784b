//! What a revert says: the reason that Solidity encodes, in words.

use fugue_types::U256;

/// First bytes of keccak256 of `Error(string)`.
const ERROR_SELECTOR: [u8; 4] = [0x08, 0xc3, 0x79, 0xa0];
/// First bytes of keccak256 of `Panic(uint256)`.
const PANIC_SELECTOR: [u8; 4] = [0x4e, 0x48, 0x7b, 0x71];
/// Bytes of a word of the ABI.
const WORD: usize = 32;

/// The reason in the data of a revert; `None` if it has another form.
///
/// Source: Solidity documentation, "Error handling", and the ABI specification.
pub fn revert_reason(data: &[u8]) -> Option<String> {
    let (selector, rest) = data.split_at_checked(4)?;
    if selector == ERROR_SELECTOR {
        let start = usize::try_from(word(rest, 0)?).ok()?;
        let size = usize::try_from(word(rest, start)?).ok()?;
        let start = start.checked_add(WORD)?;
        let text = rest.get(start..start.checked_add(size)?)?;
        return Some(String::from_utf8_lossy(text).into_owned());
    }
    if selector == PANIC_SELECTOR {
        return Some(panic_reason(word(rest, 0)?));
    }
    None
}

fn word(data: &[u8], start: usize) -> Option<U256> {
    let bytes = data.get(start..start.checked_add(WORD)?)?;
    Some(U256::from_be_slice(bytes))
}

/// In the words of the other clients.
fn panic_reason(code: U256) -> String {
    let known = match u8::try_from(code) {
        Ok(0x00) => "generic panic",
        Ok(0x01) => "assert(false)",
        Ok(0x11) => "arithmetic underflow or overflow",
        Ok(0x12) => "division or modulo by zero",
        Ok(0x21) => "enum overflow",
        Ok(0x22) => "invalid encoded storage byte array accessed",
        Ok(0x31) => "out-of-bounds array access; popping on an empty array",
        Ok(0x32) => "out-of-bounds access of an array or bytesN",
        Ok(0x41) => "out of memory",
        Ok(0x51) => "uninitialized function",
        _ => return format!("unknown panic code: {code:#x}"),
    };
    known.to_owned()
}

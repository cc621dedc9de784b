//! Small programs written by hand, for forks that cannot run the compiled contracts (those use
//! opcodes of Byzantium). All of them run from Frontier on.

use fugue_types::Bytes;

/// Longest program that [`deploy`] can carry.
pub const PROGRAM_BYTES_MAX: usize = 255;

/// Creation code that leaves `program` behind.
pub fn deploy(program: &[u8]) -> Bytes {
    deploy_after(&[], program)
}

/// Creation code that runs `before` and then leaves `program` behind. `before` must leave the
/// stack as it was.
pub fn deploy_after(before: &[u8], program: &[u8]) -> Bytes {
    let length = byte_of(program.len());
    let start = byte_of(before.len() + 11);
    let mut code = before.to_vec();
    // PUSH length, DUP1, PUSH start, PUSH 0, CODECOPY, PUSH 0, RETURN.
    code.extend_from_slice(&[0x60, length, 0x80, 0x60, start, 0x60, 0, 0x39, 0x60, 0, 0xf3]);
    code.extend_from_slice(program);
    code.into()
}

/// Stores `value` at slot `slot`: a beginning for [`deploy_after`].
pub fn store(slot: u8, value: u8) -> [u8; 5] {
    [0x60, value, 0x60, slot, 0x55]
}

/// Slot 0 counts the calls.
pub fn counter() -> Vec<u8> {
    // SLOAD(0), ADD 1, SSTORE(0), STOP.
    vec![0x60, 0, 0x54, 0x60, 1, 0x01, 0x60, 0, 0x55, 0x00]
}

/// The slot named by the caller counts its calls.
pub fn own_counter() -> Vec<u8> {
    vec![0x33, 0x54, 0x60, 1, 0x01, 0x33, 0x55, 0x00]
}

/// Counts at the slot that slot 0 names (modulo 16, plus 1), then counts slot 0.
pub fn chase() -> Vec<u8> {
    let mut code = vec![0x60, 1, 0x60, 16, 0x60, 0, 0x54, 0x06, 0x01];
    // DUP1, SLOAD, ADD 1, SWAP1, SSTORE.
    code.extend_from_slice(&[0x80, 0x54, 0x60, 1, 0x01, 0x90, 0x55]);
    code.extend_from_slice(&counter());
    code
}

/// Destroys itself in favour of the address in the first word of the call data.
pub fn killer() -> Vec<u8> {
    vec![0x60, 0, 0x35, 0xff]
}

/// Passes the call's value on to the address in the first word of the call data, with 10,000 gas,
/// and keeps in slot 0 whether that worked.
pub fn forwarder() -> Vec<u8> {
    let mut code = vec![0x60, 0, 0x60, 0, 0x60, 0, 0x60, 0];
    // CALLVALUE, CALLDATALOAD(0), PUSH 10000, CALL. All of the gas could not be asked for: before
    // EIP-150 that is more than there is left.
    code.extend_from_slice(&[0x34, 0x60, 0, 0x35, 0x61, 0x27, 0x10, 0xf1]);
    code.extend_from_slice(&[0x60, 0, 0x55, 0x00]);
    code
}

/// Keeps the balance of the address in the first word of the call data, at the slot of that name.
pub fn balance_reader() -> Vec<u8> {
    vec![0x60, 0, 0x35, 0x31, 0x60, 0, 0x35, 0x55, 0x00]
}

/// Keeps the balance of the block's beneficiary in slot 0.
pub fn coinbase_reader() -> Vec<u8> {
    vec![0x41, 0x31, 0x60, 0, 0x55, 0x00]
}

/// Runs until the gas is gone.
pub fn spinner() -> Vec<u8> {
    vec![0x5b, 0x60, 0, 0x56]
}

/// Counts slot 0, then meets an invalid opcode.
pub fn counts_and_fails() -> Vec<u8> {
    vec![0x60, 0, 0x54, 0x60, 1, 0x01, 0x60, 0, 0x55, 0xfe]
}

/// Creates a [`counter`] with the call's value and keeps its address in slot 0.
pub fn factory() -> Vec<u8> {
    let child = deploy(&counter());
    let length = byte_of(child.len());
    // PUSH child, MSTORE(0): the child stands at the right end of the first word.
    let mut code = vec![0x5f + length];
    code.extend_from_slice(&child);
    code.extend_from_slice(&[0x60, 0, 0x52]);
    // CREATE(callvalue, 32 - length, length), SSTORE(0), STOP.
    code.extend_from_slice(&[0x60, length, 0x60, 32 - length, 0x34, 0xf0, 0x60, 0, 0x55, 0x00]);
    code
}

fn byte_of(length: usize) -> u8 {
    u8::try_from(length).expect("programs are shorter than PROGRAM_BYTES_MAX")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn creation_code_names_where_its_program_starts() {
        for before in [Vec::new(), store(0, 7).to_vec()] {
            let code = deploy_after(&before, &counter());
            let start = usize::from(code[before.len() + 4]);
            assert_eq!(code[start..], counter()[..]);
            assert_eq!(usize::from(code[before.len() + 1]), counter().len());
        }
    }

    #[test]
    fn the_factory_pushes_all_of_its_child() {
        let code = factory();
        let length = usize::from(code[0] - 0x5f);
        assert_eq!(code[1..=length], deploy(&counter())[..]);
    }
}

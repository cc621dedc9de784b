//! What is kept of what lanes have done where it is followed, and where a transaction runs again.

use super::*;

#[test]
fn who_runs_again_leaves_an_address_cold_at_which_nothing_can_be_created() {
    // SSTORE(1, 5), RETURN(0, 1)
    let init = [0x60, 5, 0x60, 1, 0x55, 0x60, 1, 0x60, 0, 0xf3];
    let created = FACTORY.create2(B256::ZERO, keccak256(init));
    // CREATE2 of it with as many wei as there are bytes of data; BALANCE of its address.
    let creates = [0x60, 0, 0x52, 0x60, 0, 0x60, 10, 0x60, 22, 0x36, 0xf5, 0x50, 0x73];
    let code = [&[0x69][..], &init, &creates, created.as_slice(), &[0x31, 0x50]].concat();
    let txs = [tx(ALICE, 0, FACTORY, 0, &[]), tx(BOB, 0, FACTORY, 0, &[1])];
    let mut ground = Ground::new(Fork::Osaka, &txs);
    ground.deploy(FACTORY, &code, &[]);
    // Its lane has not seen that the factory has created something.
    assert_eq!(ground.stats(&[0, 1]).rerun_txs, 1);
}

//! What a worker runs its transactions on, and in which lane.

use super::{bugs::PEEKS, *};
use alloy_eips::eip4788::BEACON_ROOTS_ADDRESS;

#[test]
fn lanes_run_on_what_the_opening_of_the_block_has_left() {
    let looks = [ALICE, BOB].map(|sender| pay(sender, 0, BEACON_ROOTS_ADDRESS, 0));
    let mut ground = Ground::new(Fork::Cancun, &looks);
    // It stores the root, and logs the balance of the account that is named by that.
    ground.deploy(BEACON_ROOTS_ADDRESS, PEEKS, &[]);
    put(&mut ground.state, Address::repeat_byte(0xbb), 5, &[], &[]);
    let Execution { outcome, report } = ground.execute(Mode::Lanes, &ground.state).expect("valid");
    let found = outcome.results[0].logs[0].data.data.clone();
    assert_eq!(found, Bytes::from(U256::from(5).to_be_bytes::<32>()));
    assert_eq!(Ok(outcome), ground.sequential());
    assert_eq!((report.way, report.fallback), (Way::Lanes, None));
}

/// The heaviest transaction is begun first, by itself.
#[test]
fn who_goes_back_in_the_block_goes_on_in_another_lane() {
    let slot = U256::from(5).to_be_bytes::<32>();
    let txs = [store(ALICE, 0, 5, 1), with_gas(2_000_000, BOB, 0, KEEPER, 0, &slot)];
    let ground = Ground::new(Fork::Istanbul, &txs);
    let mut plan = Plan::cold(&ground.block.txs, 2);
    plan.early = vec![1];
    let claims = Claims::new(plan, 2).declining(false);
    let (codes, published) = (CodeCache::new(), Published::default());
    let shared = ground.shared(&codes, &ground.state, &published);
    let shared = Shared { claims: OnceLock::from(claims), ..shared };
    assert!(run_lanes(&shared, 0, None).is_none(), "nothing is left to go on with");
    let lanes = shared.lanes.into_inner();
    let txs_of = |lane: &Lane| lane.txs.iter().map(|tx| tx.index).collect::<Vec<_>>();
    assert_eq!(lanes.iter().map(txs_of).collect::<Vec<_>>(), [[1], [0]]);
}

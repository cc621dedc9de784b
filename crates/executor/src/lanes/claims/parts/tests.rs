//! Groups that are taken apart, and who claims what of them.

use super::*;
use crate::lanes::{
    LaneFault,
    claims::{
        Claim, Claims, MANY_MIN,
        counts::SPLIT_MIN,
        tests::{names, on_one, pays},
    },
};
use fugue_types::Address;

const TOKEN: Address = Address::repeat_byte(0xa0);
/// Gas of a transaction that is a batch by itself while nothing is known of a group.
const GAS: u64 = 200_000;

/// A block of as many calls of one contract, each by somebody else, with the holders that they
/// name; those from 100 on nobody else names.
fn block(count: u8, holders: impl Fn(u8) -> Vec<u8>) -> Vec<PreparedTx> {
    let sender = |number| Address::with_last_byte(number);
    (0..count).map(|number| names(sender(number), TOKEN, &holders(number), GAS)).collect()
}

fn plan(txs: &[PreparedTx]) -> Plan {
    Plan::cold(txs, 2)
}

/// Every fourth one names the same holder.
fn every_fourth(number: u8) -> Vec<u8> {
    vec![if number.is_multiple_of(4) { 1 } else { 100 + number }]
}

#[test]
fn transactions_with_a_party_in_common_are_a_part_unless_nearly_all_have_it() {
    let parts_of = |count, holders: fn(u8) -> Vec<u8>| {
        let txs = block(count, holders);
        let parts = Parts::of_block(&plan(&txs), &txs, || true)?;
        let of: Vec<_> = (0..txs.len()).map(|index| parts.part_of(index)).collect();
        Some((of, parts.are_even))
    };
    let some = |count: usize, of: fn(usize) -> Option<usize>| (0..count).map(of).collect();
    let hot = some(40, |index| index.is_multiple_of(4).then_some(0));
    assert_eq!(parts_of(40, every_fourth), Some((hot, true)));
    let pools = some(40, |index| Some(index % 5));
    assert_eq!(parts_of(40, |number| vec![1 + number % 5, 9]), Some((pools, true)), "9 is common");
    let chained = some(40, |_| Some(0));
    assert_eq!(parts_of(40, |number| vec![1 + number, 2 + number]), Some((chained, false)));
    let own = some(40, |_| None);
    assert_eq!(parts_of(40, |number| vec![100 + number]), Some((own, true)));
    assert_eq!(parts_of(TXS_MIN as u8 - 1, every_fourth), None, "too few");
    let txs = block(40, every_fourth);
    assert!(Parts::of_block(&plan(&txs), &txs, || false).is_none(), "nobody needs them any more");
    // What names itself twice has nothing in common with others.
    assert_eq!(
        parts_of(30, |number| vec![100 + number; 2]).map(|(of, _)| of),
        Some(vec![None; 30])
    );
}

#[test]
fn a_block_of_several_groups_is_not_taken_apart() {
    let mut txs = block(40, every_fourth);
    let other = |number: u8| names(Address::with_last_byte(number), TOKEN.create(1), &[9], GAS);
    txs.extend((100..120).map(other));
    assert!(Parts::of_block(&plan(&txs), &txs, || true).is_none());
}

/// All that is claimed of a block by a worker that begins it, and by one that comes when so many of
/// it have run. Each depends on others as is said.
fn claimed(
    txs: &[PreparedTx],
    ran: usize,
    depends: impl Fn(usize) -> Dependence,
) -> [Vec<usize>; 2] {
    let claims = Claims::new(plan(txs), 2);
    let (mut all, mut lasts) = ([Vec::new(), Vec::new()], [None, None]);
    let mut batch = Vec::new();
    let mut go_on = |worker: usize| {
        let claim = claims.claim(worker, lasts[worker], &mut batch);
        match claim {
            Claim::Look => claims.look_closely(txs, || true),
            Claim::Run => {
                for index in &batch {
                    assert_eq!(claims.note(worker, *index, depends(*index)), None, "{index}");
                }
                lasts[worker] = batch.last().copied();
                all[worker].extend_from_slice(&batch);
            }
            Claim::Wait(_) | Claim::End => {}
        }
        claim
    };
    assert_eq!(go_on(0), Claim::Run);
    assert_eq!(go_on(1), Claim::Look);
    for _ in 1..ran {
        assert_eq!(go_on(0), Claim::Run);
    }
    let has_ended = (0..1_000).any(|_| [1, 0].map(&mut go_on) == [Claim::End; 2]);
    assert!(has_ended, "they wait for one another");
    all
}

#[test]
fn what_meets_stays_with_who_runs_it_and_the_rest_is_anybodys() {
    let txs = block(80, every_fourth);
    let depends = |index: usize| {
        if index.is_multiple_of(4) && index > 0 { on_one(0, index - 4) } else { Dependence::NONE }
    };
    let [first, second] = claimed(&txs, SPLIT_MIN as usize, depends);
    assert!((0..80).step_by(4).all(|index| first.contains(&index)), "{first:?}");
    assert!(second.len() > 20, "{second:?}");
    assert_eq!(first.len() + second.len(), 80);
    // Where they say nothing of it, whoever comes takes what is next.
    let silent = block(80, |number| vec![100 + number]);
    let [_, second] = claimed(&silent, SPLIT_MIN as usize, depends);
    assert!(second.iter().any(|index| index.is_multiple_of(4)), "{second:?}");
}

#[test]
fn parts_that_are_alike_are_shared_out_alike() {
    let txs = block(80, |number| vec![1 + number % 8]);
    let [first, second] = claimed(&txs, SPLIT_MIN as usize, |index| match index.checked_sub(8) {
        Some(before) => on_one(0, before),
        None => Dependence::NONE,
    });
    assert!(first.len().abs_diff(second.len()) < 10, "{first:?} {second:?}");
    // From then on each part is one worker's.
    for part in 0..8 {
        let is_part = |index: &&usize| **index % 8 == part && **index >= 8;
        let counts = [&first, &second].map(|all| all.iter().filter(is_part).count());
        assert!(counts.contains(&0) || counts.contains(&9), "{part}: {counts:?}");
    }
}

#[test]
fn many_chains_are_no_reason_to_give_up_if_parts_tell_them_apart() {
    let told = |txs: &[PreparedTx], behind: usize| {
        let claims = Claims::new(plan(txs), 2);
        claims.look_closely(txs, || true);
        let note = |index: usize| match index.checked_sub(behind) {
            Some(before) => claims.note(0, index, on_one(0, before)),
            None => claims.note(0, index, Dependence::NONE),
        };
        (0..MANY_MIN as usize).find_map(note)
    };
    let txs = block(80, |number| vec![1 + number % 8]);
    assert_eq!(told(&txs, 8), None);
    assert_eq!(told(&txs, 7), Some(LaneFault::ManyChains), "on those of other parts");
    let silent = block(80, |number| vec![100 + number]);
    assert_eq!(told(&silent, 8), Some(LaneFault::ManyChains));
    let one = block(80, |number| vec![1 + number, 2 + number]);
    assert_eq!(told(&one, 8), Some(LaneFault::ManyChains), "one part is no help");
}

#[test]
fn nobody_waits_for_a_worker_that_has_not_begun() {
    let txs = block(80, |number| vec![1 + number % 8]);
    let claims = Claims::new(Plan::cold(&txs, 3), 3);
    claims.look_closely(&txs, || true);
    let (mut lasts, mut batch, mut ran) = ([None; 2], Vec::new(), 0);
    let mut going = vec![0, 1];
    // Each time one of them is asked that is still going.
    for turn in 0..10_000 {
        let Some(worker) = going.get(turn % going.len().max(1)).copied() else { break };
        match claims.claim(worker, lasts[worker], &mut batch) {
            Claim::Run => {
                for index in &batch {
                    let before = index.checked_sub(8);
                    let dependence = before.map_or(Dependence::NONE, |before| on_one(0, before));
                    assert_eq!(claims.note(worker, *index, dependence), None);
                }
                lasts[worker] = batch.last().copied();
                ran += batch.len();
            }
            Claim::Look | Claim::Wait(_) => {}
            Claim::End => going.retain(|other| *other != worker),
        }
    }
    assert_eq!((ran, going), (80, Vec::new()));
}

/// All depend on others, and more than may for a group to be split, but on those of their part.
#[test]
fn chains_are_shared_out_where_parts_explain_them() {
    let on_last = |chains: usize| {
        move |index: usize| match index.checked_sub(chains) {
            Some(before) => on_one(0, before),
            None => Dependence::NONE,
        }
    };
    let txs = block(80, |number| vec![1 + number % 2]);
    let [first, second] = claimed(&txs, 10, on_last(2));
    assert_eq!(first.len() + second.len(), 80);
    assert!(second.len() > 30, "{second:?}");
    assert!(second.iter().all(|index| index % 2 == second[0] % 2), "one of the two: {second:?}");
    // Where parts say nothing of it, it is one worker's.
    let silent = block(80, |number| vec![100 + number]);
    let claims = Claims::new(plan(&silent), 2);
    claims.look_closely(&silent, || true);
    let mut batch = Vec::new();
    for index in 0..8 {
        assert_eq!(claims.claim(0, (index > 0).then(|| index - 1), &mut batch), Claim::Run);
        assert_eq!(batch, [index]);
        assert_eq!(claims.note(0, index, on_last(2)(index)), None);
    }
    assert_eq!(claims.claim(1, None, &mut batch), Claim::End);
}

#[test]
fn a_chain_of_payments_is_one_workers_own() {
    let payer = |number: u8| Address::with_last_byte(1 + number);
    let pays = |number: u8| pays(payer(number), payer(number + 1), GAS);
    let txs: Vec<_> = (0..40).map(pays).collect();
    let claims = Claims::new(plan(&txs), 2);
    claims.look_closely(&txs, || true);
    let (mut batch, mut last, mut ran) = (Vec::new(), None, 0);
    while claims.claim(0, last, &mut batch) == Claim::Run {
        batch.iter().for_each(|index| claims.note_payment(*index, *index > 0));
        last = batch.last().copied();
        ran += batch.len();
        if ran < SPLIT_MIN as usize {
            continue;
        }
        assert_eq!(claims.claim(1, None, &mut batch), Claim::End, "after {ran}");
        break;
    }
}

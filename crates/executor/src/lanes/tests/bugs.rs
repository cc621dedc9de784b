//! Bugs that are planted in settling, one at a time, and the blocks that find them.
//!
//! Each is what somebody might leave out in one line (`planted!`), and breaks one sentence of the
//! argument of why settling is right: it is told here. What finds it is a block in lanes whose
//! outcome is another one then, and with no bug is that of the sequential run. Whoever adds
//! something to compare or to follow adds the bug that forgets it, and sees its block fail.
//!
//! What a journal notes of its transactions, and a ledger, is settled as it is noted: whether that
//! is right is compared in `fugue-evm`. What lanes hear, claim and learn is a guess, and costs time
//! alone where it is wrong.
//!
//! A bug is planted for the whole process, since lanes and guesses run on any thread: every test
//! has a process of its own.

use super::{
    guesses::{FIRST, add, adding, numbered, watch},
    listening::{Course, MORTAL_COUNTS, creates_mortal, drawn},
    payments::{ETHER, at_price, delegate},
    *,
};
use crate::samples::AUTHORITY;
use fugue_evm::AccountTouch;

/// Makes them, and a list of all.
macro_rules! bugs {
    ($($(#[$doc:meta])* $bug:ident,)*) => {
        /// What settling does wrong.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(in crate::lanes) enum Bug {
            $($(#[$doc])* $bug,)*
        }

        const BUGS: &[Bug] = &[$(Bug::$bug,)*];
    };
}

bugs! {
    // Which accounts are hot before the first transaction.
    /// A sender that was taken to have sent what is in other lanes is hot.
    ForgetsAssumedSenders,
    /// An account is hot with a slot that one lane has changed and another has loaded.
    ForgetsSharedSlots,
    /// What a lane has changed and changed back others come upon in between.
    ForgetsRestoredValues,
    /// Amounts add up only where the balance before the block suffices for all that is spent.
    TrustsThatFundsSuffice,
    /// A balance that one lane has changed and another has seen is hot.
    ForgetsSeenBalances,
    /// So is a nonce.
    ForgetsSeenNonces,
    /// The fee recipient is hot if a lane has loaded it.
    LeavesTheFeeRecipientCold,
    /// An account that is there and empty is no good one to follow.
    TakesEmptyForNone,

    // What is compared.
    /// The code of an account that was come upon is compared.
    IgnoresCodes,
    /// A nonce that was seen is compared.
    IgnoresSeenNonces,
    /// A balance that was seen is compared.
    IgnoresSeenBalances,
    /// Of a balance that was spent it is asked that it suffices.
    IgnoresFunds,
    /// From the first rerun on, slots that nobody has changed are compared, too.
    TrustsUnchangedSlots,
    /// Of a guess all is compared that a lane has changed, or that is paid the fees.
    ComparesGuessesAsLanes,

    // What is followed.
    /// Who is settled leaves its slots behind.
    ForgetsSlots,
    /// Nothing is left of the storage of an account that began anew.
    KeepsSlotsOfTheDestroyed,
    /// Nor of that before the block.
    ForgetsThatStorageWent,
    /// An account that becomes hot later is what the lanes have made of it so far.
    ForgetsWhatLanesDid,
    /// The fee recipient, with the fees so far.
    ForgetsFeesSoFar,
    /// What a transaction has changed in its lane that does not hold is hot.
    KeepsDiffsOfWhoFails,
    /// What a rerun changes is hot.
    LeavesColdWhatRerunsChange,
    /// What a guess has changed is hot, whether it is settled or not.
    ForgetsWhatGuessesDid,

    // What a rerun reads.
    /// It runs on the slots that are settled so far.
    ReadsSlotsBeforeTheBlock,
    /// And on what lanes have done to accounts that are not hot.
    ReadsPastLanes,

    // How all is put together.
    /// No lane's diff of a hot account is settled.
    AddsWhatLanesDidToTheHot,
    /// Of an account that is not hot, the lanes' slots stand together.
    DropsSlotsOfOtherLanes,
    /// And amounts are added up.
    DropsAmountsOfOtherLanes,
    /// Codes that a rerun has set are those of the block.
    ForgetsCodesOfReruns,
    /// So are those that a guess has set.
    ForgetsCodesOfGuesses,

    // What is gone on with of a chain.
    /// The fees of those that have run are paid.
    ForgetsFeesOfTheFirst,
    /// Nobody of them has looked at the fee recipient, who lacks them.
    KeepsWhoSawTheFeeRecipient,
    /// No nonce was raised for what nobody has sent.
    TrustsAssumedNonces,
}

/// The one that is planted.
static PLANTED: AtomicUsize = AtomicUsize::new(NONE);
const NONE: usize = usize::MAX;

impl Bug {
    pub(in crate::lanes) fn is_planted(self) -> bool {
        PLANTED.load(Ordering::Relaxed) == self as usize
    }
}

/// A touch as the one sees it who forgets to compare something.
pub(in crate::lanes) fn forgetful(touch: &AccountTouch, now: Option<Account>) -> AccountTouch {
    let mut touch = touch.clone();
    touch.is_nonce_seen &= !planted!(IgnoresSeenNonces);
    touch.is_balance_seen &= !planted!(IgnoresSeenBalances);
    if planted!(IgnoresFunds) {
        touch.spends = U256::ZERO;
    }
    if let (Some(before), Some(now)) = (&mut touch.before, now)
        && planted!(IgnoresCodes)
    {
        before.code_hash = now.code_hash;
    }
    touch
}

/// Whether a run with this bug, or with none, accepts a block with something else than the
/// sequential outcome. That a run comes to no end is no bug that is found: the block would run
/// sequentially. Without a bug it is one that it seems invalid, and is not.
fn is_wrong(
    bug: Option<Bug>,
    expected: &Result<BlockOutcome, BlockError>,
    run: impl FnOnce() -> Result<LaneRun, FallbackCause>,
) -> bool {
    PLANTED.store(bug.map_or(NONE, |bug| bug as usize), Ordering::SeqCst);
    let ran = catch_unwind(AssertUnwindSafe(run));
    PLANTED.store(NONE, Ordering::SeqCst);
    match ran {
        Ok(Ok(run)) => Ok(run.outcome) != *expected,
        _ if bug.is_some() => false,
        Ok(Err(FallbackCause::Block(error))) => Err(error) != *expected,
        Ok(Err(FallbackCause::Lanes(_) | FallbackCause::List(_))) => false,
        Err(_) => true,
    }
}

/// Without data stores 1 at the slot that slot 0 names: SSTORE(SLOAD(0), 1). Else as [`KEEPS`].
const POINTS: &[u8] = &[
    0x36, 0x60, 11, 0x57, 0x60, 1, 0x60, 0, 0x54, 0x55, 0x00, 0x5b, 0x36, 0x60, 32, 0x14, 0x60, 27,
    0x57, 0x60, 32, 0x35, 0x60, 0, 0x35, 0x55, 0x00, 0x5b, 0x60, 0, 0x35, 0x54, 0x60, 0, 0x52,
    0x60, 32, 0x60, 0, 0xa0,
];
/// With data stores its first word at slot 0. Without, logs the balance of the account that slot 0
/// names: MSTORE(0, BALANCE(SLOAD(0))), LOG0(0, 32).
pub(super) const PEEKS: &[u8] = &[
    0x36, 0x60, 17, 0x57, 0x60, 0, 0x54, 0x31, 0x60, 0, 0x52, 0x60, 32, 0x60, 0, 0xa0, 0x00, 0x5b,
    0x60, 0, 0x35, 0x60, 0, 0x55, 0x00,
];
/// Gives seven to whoever calls: CALL(GAS, CALLER, 7, 0, 0, 0, 0).
pub(super) const GIVES: &[u8] = &[0x60, 0, 0x60, 0, 0x60, 0, 0x60, 0, 0x60, 7, 0x33, 0x5a, 0xf1];
const POINTER: Address = Address::repeat_byte(0xe5);
pub(super) const PEEKER: Address = Address::repeat_byte(0xe6);
pub(super) const GIVER: Address = Address::repeat_byte(0xe7);
/// What those have who cannot pay for gas otherwise.
const ENOUGH: u64 = 10_000_000_000;

/// A block, the lane of each of its transactions, and the bugs that it finds.
type Script = (Ground, &'static [usize], &'static [Bug]);

fn on_istanbul(txs: &[Sent]) -> Ground {
    Ground::new(Fork::Istanbul, txs)
}

fn words(words: [u64; 2]) -> Vec<u8> {
    words.map(|word| U256::from(word).to_be_bytes::<32>()).concat()
}

/// Slots, and who looks at them.
fn of_slots() -> [Script; 5] {
    let mut pointing = on_istanbul(&[
        tx(ALICE, 0, POINTER, 0, &words([0, 7])),
        // It points at slot 7, and not at 6 as in its lane.
        tx(BOB, 0, POINTER, 0, &[]),
        tx(BOB, 1, POINTER, 0, &U256::from(6).to_be_bytes::<32>()),
    ]);
    pointing.deploy(POINTER, POINTS, &[(0, 6)]);
    [
        (
            on_istanbul(&[call(ALICE, 0, COUNTER, 0), call(BOB, 0, COUNTER, 0)]),
            &[0, 1],
            &[
                Bug::ForgetsSharedSlots,
                Bug::ForgetsSlots,
                Bug::ReadsSlotsBeforeTheBlock,
                Bug::AddsWhatLanesDidToTheHot,
            ],
        ),
        (
            on_istanbul(&[
                store(ALICE, 0, 5, 1),
                look(BOB, 0, 5),
                store(ALICE, 1, 5, 9),
                look(BOB, 1, 5),
            ]),
            &[0, 1, 0, 1],
            &[Bug::ForgetsRestoredValues],
        ),
        // The one who runs again has sent before, and with the same nonce.
        (
            on_istanbul(&[look(BOB, 0, 6), store(ALICE, 0, 5, 1), look(BOB, 0, 5)]),
            &[1, 0, 1],
            &[Bug::ForgetsWhatLanesDid],
        ),
        (
            on_istanbul(&[store(ALICE, 0, 5, 1), store(BOB, 0, 6, 1)]),
            &[0, 1],
            &[Bug::DropsSlotsOfOtherLanes],
        ),
        (pointing, &[0, 1, 1], &[Bug::TrustsUnchangedSlots]),
    ]
}

/// Amounts, nonces, and whoever depends on them.
fn of_accounts() -> [Script; 8] {
    // What is missing was never sent.
    let gap = [pay(ALICE, 0, PAYEE, 1), pay(BOB, 0, PAYEE, 1), pay(ALICE, 2, PAYEE, 1)];
    let mut giving = on_istanbul(&[call(ALICE, 0, GIVER, 0), call(BOB, 0, GIVER, 0)]);
    put(&mut giving.state, GIVER, 10, GIVES, &[]);
    let mut spending = on_istanbul(&[
        call(ALICE, 0, HANDS_ON[0], ETHER - 500_000 * 10),
        transfer(ALICE, 1, PAYEE, ETHER / 2),
    ]);
    put(&mut spending.state, EMPTY, 1, &[], &[]);
    [
        (on_istanbul(&gap), &[0, 1, 0], &[Bug::ForgetsAssumedSenders]),
        (on_istanbul(&gap), &[0, 0, 1], &[Bug::IgnoresSeenNonces]),
        (giving, &[0, 1], &[Bug::TrustsThatFundsSuffice]),
        (spending, &[0, 1], &[Bug::IgnoresFunds]),
        (
            adding(&[pay(ALICE, 0, PAYEE, 5), watch(BOB, 0, [PAYEE, STRANGER])]),
            &[0, 1],
            &[Bug::ForgetsSeenBalances, Bug::IgnoresSeenBalances],
        ),
        (
            on_istanbul(&[transfer(ALICE, 0, PAYEE, 5), transfer(BOB, 0, PAYEE, 7)]),
            &[0, 1],
            &[Bug::DropsAmountsOfOtherLanes],
        ),
        (
            on_istanbul(&[transfer(ALICE, 0, AUTHOR, 8), transfer(BOB, 0, PAYEE, 1)]),
            &[0, 0],
            &[Bug::LeavesTheFeeRecipientCold],
        ),
        // To be touched ends it.
        (
            on_istanbul(&[pay(ALICE, 0, EMPTY, 0), pay(BOB, 0, EMPTY, 0)]),
            &[0, 1],
            &[Bug::TakesEmptyForNone],
        ),
    ]
}

/// Delegations, contracts that end, and codes that are new.
fn of_codes() -> [Script; 5] {
    // In its lane the authorization has another nonce.
    let txs = [transfer(AUTHORITY, 0, PAYEE, 1), delegate(ALICE, 0, COUNTER, 1)];
    let mut authorizing = Ground::new(Fork::Prague, &txs);
    put(&mut authorizing.state, AUTHORITY, ETHER, &[], &[]);
    let txs = [delegate(ALICE, 0, COUNTER, 0), transfer(BOB, 0, AUTHORITY, 2)];
    let mut delegated = Ground::new(Fork::Prague, &txs);
    put(&mut delegated.state, AUTHORITY, 1, &[], &[]);
    let (creates, created) = creates_mortal();
    // It ends, begins anew, and counts from zero.
    let txs = [pay(ALICE, 0, created, 0), call(ALICE, 1, FACTORY, 0), call(BOB, 0, created, 0)];
    let mut reborn = Ground::new(Fork::Shanghai, &txs);
    reborn.deploy(FACTORY, &creates, &[]);
    reborn.deploy(created, &MORTAL_COUNTS, &[(0, 7)]);
    // It was refused in its lane, and no lane has the code.
    let creating = [pay(ALICE, 0, POOR, ENOUGH), call(POOR, 0, FACTORY, 0)];
    let guessed = [&creating[..], &[store(ALICE, 1, 5, 1), look(BOB, 0, 5)][..]].concat();
    [
        (authorizing, &[0, 1], &[Bug::ForgetsSeenNonces]),
        (delegated, &[0, 1], &[Bug::IgnoresCodes]),
        (reborn, &[0, 0, 1], &[Bug::KeepsSlotsOfTheDestroyed, Bug::ForgetsThatStorageWent]),
        (on_istanbul(&creating), &[0, 1], &[Bug::ForgetsCodesOfReruns]),
        (on_istanbul(&guessed), &[0, 1, 0, 1], &[Bug::ForgetsCodesOfGuesses]),
    ]
}

/// In the lanes 0, 0, 1 and 1, the guess of the last one does not hold for the balance of the fee
/// recipient.
pub(super) fn peeking() -> Ground {
    let txs = [
        tx(ALICE, 0, PEEKER, 0, &AUTHOR.into_word().0),
        store(ALICE, 1, 5, 1),
        // It finds the value there, and pays less for gas than in its lane.
        store(BOB, 0, 5, 1),
        // Only as a guess it sees the fee recipient, with what its lane had paid; and pays no tip.
        at_price(pay(BOB, 1, PEEKER, 0), 7),
    ];
    let mut ground = Ground::new(Fork::London, &txs);
    ground.deploy(PEEKER, PEEKS, &[]);
    ground
}

/// What runs again does something else than in its lane, or as a guess.
fn of_reruns() -> [Script; 4] {
    // As in `guesses`: whom a guess has paid, another guess has seen, and nobody is paid there.
    let seen = numbered(FIRST + 0x11010);
    let guessing = adding(&[
        add(ALICE, 0, 0x10),
        add(BOB, 0, 0x100),
        add(ALICE, 1, 0x1000),
        pay(ALICE, 2, PAYEE, 5),
        add(BOB, 1, 0x10000),
        watch(BOB, 2, [seen, PAYEE]),
    ]);
    // In its lane it sees nobody's balance; when it runs again, that of one paid in another lane.
    let mut straying = on_istanbul(&[
        pay(ALICE, 0, PAYEE, 5),
        tx(ALICE, 1, PEEKER, 0, &PAYEE.into_word().0),
        pay(BOB, 0, PEEKER, 0),
    ]);
    straying.deploy(PEEKER, PEEKS, &[]);
    [
        (straying, &[0, 0, 1], &[Bug::ReadsPastLanes]),
        (
            adding(&[add(ALICE, 0, 0x10), add(BOB, 0, 0x100)]),
            &[0, 1],
            &[Bug::KeepsDiffsOfWhoFails, Bug::LeavesColdWhatRerunsChange],
        ),
        (guessing, &[0, 1, 0, 0, 1, 1], &[Bug::ForgetsWhatGuessesDid]),
        (peeking(), &[0, 0, 1, 1], &[Bug::ComparesGuessesAsLanes, Bug::ForgetsFeesSoFar]),
    ]
}

/// What is gone on with after so many transactions.
fn of_chains() -> [(Ground, usize, &'static [Bug]); 3] {
    let mut seeing = on_istanbul(&[
        tx(ALICE, 0, PEEKER, 0, &AUTHOR.into_word().0),
        pay(BOB, 0, PEEKER, 0),
        pay(BOB, 1, PEEKER, 0),
    ]);
    seeing.deploy(PEEKER, PEEKS, &[]);
    let counts = |nonce| call(ALICE, nonce, COUNTER, 0);
    [
        (on_istanbul(&[counts(0), counts(1)]), 1, &[Bug::ForgetsFeesOfTheFirst]),
        (seeing, 2, &[Bug::KeepsWhoSawTheFeeRecipient]),
        (on_istanbul(&[counts(0), counts(2), counts(3)]), 2, &[Bug::TrustsAssumedNonces]),
    ]
}

#[test]
fn each_planted_bug_is_found_and_nothing_is_wrong_without_one() {
    let mut unfound = BUGS.to_vec();
    let scripts = of_slots().into_iter().chain(of_accounts()).chain(of_codes()).chain(of_reruns());
    for (ground, lanes, finds) in scripts {
        let expected = ground.sequential();
        let is_wrong = |bug| is_wrong(bug, &expected, || ground.in_lanes(lanes));
        assert!(!is_wrong(None), "{finds:?}: none is planted");
        unfound.retain(|bug| !finds.contains(bug) || !is_wrong(Some(*bug)));
    }
    for (ground, count, finds) in of_chains() {
        let expected = ground.sequential();
        let is_wrong = |bug| is_wrong(bug, &expected, || ground.begun_with(count, &ground.state));
        assert!(!is_wrong(None), "{finds:?}: none is planted");
        unfound.retain(|bug| !finds.contains(bug) || !is_wrong(Some(*bug)));
    }
    assert!(unfound.is_empty(), "not found: {unfound:?}");
}

/// Random blocks find what breaks most blocks.
#[test]
fn bugs_that_break_many_blocks_are_found_by_random_ones() {
    for bug in [
        Bug::ForgetsSharedSlots,
        Bug::ForgetsSlots,
        Bug::ReadsSlotsBeforeTheBlock,
        Bug::LeavesTheFeeRecipientCold,
        Bug::AddsWhatLanesDidToTheHot,
    ] {
        let finds = |seed: u64| {
            let (ground, courses) = drawn(seed);
            let expected = ground.sequential();
            courses.iter().any(|Course { numbers, order, writes }| {
                let run = || ground.in_lanes_that_listen(numbers, order, *writes);
                is_wrong(Some(bug), &expected, run)
            })
        };
        assert!((1..=300).any(finds), "{bug:?} is not found");
    }
}

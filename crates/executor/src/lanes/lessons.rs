//! What a block in lanes teaches: which transactions came upon what others had written.
//!
//! It is put together from marks, and from what ran again while lanes were settled: an account may
//! disturb as well as a slot. Where marks were lost, less is learned.

use super::{
    marks::Dependence,
    plan::{Plan, parties},
};
use crate::hints::{Hints, Lesson, Partner};
use fugue_evm::PreparedTx;
use fugue_types::Address;
use parking_lot::Mutex;

/// A transaction came upon what an earlier one had written, or should have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Meeting {
    pub(super) reader: u32,
    pub(super) writer: u32,
}

impl Meeting {
    pub(super) fn new(reader: usize, writer: usize) -> Self {
        Self { reader: reader as u32, writer: writer as u32 }
    }
}

/// What was noted of transactions that ran, in no order.
#[derive(Debug, Default)]
pub(super) struct Log {
    ran: Vec<u32>,
    /// Of these, those that may have come upon more than is told.
    blurred: Vec<u32>,
    meetings: Vec<Meeting>,
}

impl Log {
    /// A transaction ran, and its slots were marked.
    pub(super) fn add(&mut self, index: usize, dependence: &Dependence) {
        let reader = index as u32;
        self.ran.push(reader);
        self.blurred.extend(dependence.is_blurred.then_some(reader));
        let writers = dependence.writers.iter();
        self.meetings.extend(writers.map(|writer| Meeting { reader, writer }));
        self.meetings.extend(dependence.by_other.map(|reader| Meeting::new(reader.index, index)));
    }

    /// Meetings that came out later.
    pub(super) fn add_meetings(&mut self, meetings: &[Meeting]) {
        self.meetings.extend_from_slice(meetings);
    }

    /// How many transactions ran, of those that were not refused.
    pub(super) fn ran_count(&self) -> usize {
        self.ran.len()
    }

    /// Takes over what another one has.
    pub(super) fn append(&mut self, other: &mut Self) {
        self.ran.append(&mut other.ran);
        self.blurred.append(&mut other.blurred);
        self.meetings.append(&mut other.meetings);
    }

    /// Teaches the hints what there is to be learned.
    pub(super) fn teach(mut self, plan: &Plan, txs: &[PreparedTx], hints: &Mutex<Hints>) {
        if self.ran.is_empty() {
            return;
        }
        let callee_of = |index: u32| plan.callee_of.get(index as usize).copied().flatten();
        let mut ran = vec![0_u32; plan.callees.len()];
        for callee in self.ran.iter().filter_map(|index| callee_of(*index)) {
            ran[callee as usize] += 1;
        }
        self.meetings.sort_unstable();
        self.meetings.dedup();
        let mut lessons = vec![Lesson::default(); ran.len()];
        let mut depends = vec![false; plan.callee_of.len()];
        // Of each two callees, the transactions of either that came upon the other's: one entry for
        // each, both ways round.
        let mut met: Vec<(u32, u32, u32)> = Vec::new();
        for of_reader in self.meetings.chunk_by(|one, next| one.reader == next.reader) {
            let Some(first) = of_reader.first() else { continue };
            let Some(callee) = callee_of(first.reader) else { continue };
            let (mut depended, mut on_strangers) = (false, false);
            for Meeting { reader, writer } in of_reader {
                match callee_of(*writer) {
                    Some(other) if other == callee => {
                        depended = true;
                        on_strangers |= are_strangers(txs, *reader, *writer);
                    }
                    Some(other) => met.extend([(callee, other, *reader), (other, callee, *reader)]),
                    None => {}
                }
            }
            depends[first.reader as usize] = depended;
            let lesson = &mut lessons[callee as usize];
            lesson.depended += u32::from(depended);
            lesson.on_strangers += u32::from(on_strangers);
        }
        // The first one has nobody to depend on; of others it is not known.
        for (lesson, ran) in lessons.iter_mut().zip(&ran) {
            lesson.trials = ran.saturating_sub(1);
        }
        for index in self.blurred.iter().filter(|index| !depends[**index as usize]) {
            if let Some(callee) = callee_of(*index) {
                let trials = &mut lessons[callee as usize].trials;
                *trials = trials.saturating_sub(1);
            }
        }
        met.sort_unstable();
        met.dedup();
        let mut addresses = vec![Address::ZERO; ran.len()];
        for (address, number) in &plan.callees {
            addresses[*number as usize] = *address;
        }
        let mut met = met.chunk_by(|one, next| one.0 == next.0).peekable();
        let mut hints = hints.lock();
        let mut partners: Vec<Partner> = Vec::new();
        for (callee, (ran_of, lesson)) in (0_u32..).zip(ran.iter().zip(lessons)) {
            partners.clear();
            let of_callee = met.next_if(|met| met.first().is_some_and(|met| met.0 == callee));
            for with in of_callee.unwrap_or_default().chunk_by(|one, next| one.1 == next.1) {
                let Some((_, other, _)) = with.first() else { continue };
                // Either may have run no more than once; then it is that one.
                let fewer = (*ran_of).min(ran[*other as usize]).max(1) as usize;
                let percent = (with.len() * 100 / fewer).min(100) as u8;
                partners.push(Partner { callee: addresses[*other as usize], percent });
            }
            if *ran_of == 0 {
                continue;
            }
            let Lesson { trials, depended, on_strangers } = lesson;
            let (depended, on_strangers) = (depended.min(trials), on_strangers.min(trials));
            let lesson = Lesson { trials, depended, on_strangers };
            let is_there = |address: &Address| {
                plan.callees.get(address).is_some_and(|number| ran[*number as usize] > 0)
            };
            hints.learn_callee(&addresses[callee as usize], lesson, &partners, is_there);
        }
    }
}

/// Whether two transactions have no party in common.
fn are_strangers(txs: &[PreparedTx], one: u32, other: u32) -> bool {
    let (Some(one), Some(other)) = (txs.get(one as usize), txs.get(other as usize)) else {
        return true;
    };
    !parties(one).any(|party| parties(other).any(|their| their == party))
}

#[cfg(test)]
mod tests;

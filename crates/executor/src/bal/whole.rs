//! The diff of a whole block from its list, whose fragments are known to fit.
//!
//! It is the one that the diffs of the steps give, laid over one another: of each account what it
//! was before the block, and what the last step left.

use super::{Step, fragment::End, values::Values};
use fugue_state::{AccountDiff, SlotDiff, StateDiff, StateError};
use fugue_types::{AccountChanges, HashMap, U256};

/// The diff of the steps below `step`, in which these accounts came to an end.
///
/// # Errors
/// If the state before the block cannot be read.
pub(super) fn diff(values: &Values<'_>, step: Step, ends: &[End]) -> Result<StateDiff, StateError> {
    // The last end of each, and whether any took the storage of an account that existed.
    let mut last_ends: HashMap<usize, (Step, bool)> = HashMap::default();
    for end in ends {
        let known = last_ends.entry(end.place).or_insert((end.step, false));
        known.0 = known.0.max(end.step);
        known.1 |= end.wiped;
    }
    let mut diff = StateDiff::default();
    for (place, changes) in values.index().list().iter().enumerate() {
        let ended = last_ends.get(&place).copied();
        if ended.is_none() && is_only_read(changes) {
            continue;
        }
        let before = values.base(place)?;
        let after = values.account(place, step)?;
        let mut slots = Vec::new();
        if after.is_some() {
            slots.reserve_exact(changes.storage_changes.len());
            for slot_place in values.index().slots_of(place) {
                let Some(last) = values.index().slot_changes(slot_place).last() else { continue };
                let (_, slot) = values.index().slot(slot_place);
                let before = match ended {
                    None => values.base_slot(slot_place)?,
                    // Since then every slot began as zero.
                    Some((end, _)) if last.block_access_index.0 >= end as u64 => U256::ZERO,
                    Some(_) => continue,
                };
                slots.push(SlotDiff { slot, before, after: last.new_value });
            }
        }
        if let Some(after) = after
            && before.is_none_or(|before| before.code_hash != after.code_hash)
            && let Some(code) = values.index().code(&after.code_hash)
            && after.has_code()
        {
            diff.codes.push((after.code_hash, code.clone()));
        }
        let wiped = before.is_some() && ended.is_some_and(|(_, wiped)| wiped);
        diff.accounts.push(AccountDiff { address: changes.address, before, after, wiped, slots });
    }
    Ok(diff.canonical())
}

fn is_only_read(account: &AccountChanges) -> bool {
    let AccountChanges {
        address: _,
        storage_changes,
        storage_reads: _,
        balance_changes,
        nonce_changes,
        code_changes,
    } = account;
    storage_changes.is_empty()
        && balance_changes.is_empty()
        && nonce_changes.is_empty()
        && code_changes.is_empty()
}

//! What the pool of transactions is told when the head moves.

use crate::{
    ChainView, ImportError,
    moved::{Moved, MovedBlock},
};
use fugue_chainspec::{ChainSpec, Fork, Rules};
use fugue_state::{Account, SlotSet, StateError, StateView};
use fugue_txpool::{Advanced, Best, HeadUpdate, MinedTx, Pool, PoolHead, PooledTx, SidecarForm};
use fugue_types::{
    Address, AddressMap, B256, Bytes, HashSet, Header, Transaction, TransactionTrait as _, U256,
};
use fugue_validation::{child_base_fee, child_excess_blob_gas};
use std::sync::Arc;

/// Blocks that left the chain whose transactions come back to the pool, at most: the oldest ones,
/// which others are likely to have replaced, stay away.
const RETURNED_BLOCKS_MAX: usize = 64;

/// The head as the pool must know it: the rules are those of the earliest next block.
pub fn pool_head(spec: &ChainSpec, hash: B256, header: &Header) -> PoolHead {
    let rules = spec.rules_at(header.number.saturating_add(1), header.timestamp.saturating_add(1));
    let blob_base_fee = rules
        .blob_params
        .map(|params| params.calc_blob_fee(child_excess_blob_gas(&params, header)));
    PoolHead {
        number: header.number,
        hash,
        rules,
        base_fee: if rules.has(Fork::London) {
            child_base_fee(header, &spec.rules(header))
        } else {
            0
        },
        blob_base_fee,
        gas_limit: header.gas_limit,
    }
}

/// Seconds between two blocks, about. Source: consensus specification, `SECONDS_PER_SLOT`.
const SLOT_SECONDS: u64 = 12;

/// The header of the next block, as far as it can be told before there are attributes.
pub(crate) fn next_header(spec: &ChainSpec, hash: B256, parent: &Header) -> Header {
    let (number, timestamp) =
        (parent.number.saturating_add(1), parent.timestamp.saturating_add(SLOT_SECONDS));
    let rules = spec.rules_at(number, timestamp);
    Header {
        parent_hash: hash,
        number,
        timestamp,
        gas_limit: parent.gas_limit,
        mix_hash: parent.mix_hash,
        base_fee_per_gas: rules
            .has(Fork::London)
            .then(|| child_base_fee(parent, &spec.rules(parent))),
        excess_blob_gas: rules.blob_params.map(|params| child_excess_blob_gas(&params, parent)),
        ..Header::default()
    }
}

/// Executable transactions for a block with this header, in the order in which it takes them.
pub(crate) fn best_for(pool: &Pool, header: &Header, rules: &Rules) -> Best {
    let blob_fee = rules
        .blob_params
        .zip(header.excess_blob_gas)
        .map(|(params, excess)| params.calc_blob_fee(excess));
    pool.best(header.base_fee_per_gas.unwrap_or_default(), blob_fee)
}

/// The same, but for blobs with the proofs of another fork: at a fork the pool may still have some.
pub(crate) fn best_of_fork(
    pool: &Pool,
    header: &Header,
    rules: &Rules,
) -> impl Iterator<Item = Arc<PooledTx>> + use<> {
    let form = SidecarForm::at(rules);
    best_for(pool, header, rules).filter(move |tx| {
        tx.sidecar.as_deref().is_none_or(|sidecar| SidecarForm::of(sidecar) == form)
    })
}

/// The head moved to that of the view. `None` if the view cannot tell what the pool must know: its
/// guesses are then those of an older head.
pub(crate) fn advance(
    pool: &Pool,
    view: &ChainView,
    moved: &Moved,
) -> Result<Option<Advanced>, ImportError> {
    let head = view.head();
    let Some((hash, header)) = view.header(head.number)? else { return Ok(None) };
    let Moved { left, joined, .. } = moved;

    let accounts = if moved.are_changes_known() {
        changed(left, joined)
    } else {
        // What changed is not in memory: all who have transactions are looked at.
        let content = pool.content();
        let senders = content.pending.keys().chain(content.queued.keys());
        let senders: HashSet<Address> = senders.copied().collect();
        let accounts = view.with_state(head.number, |state| read(state, &senders))?;
        let Some(accounts) = accounts.transpose()? else { return Ok(None) };
        accounts
    };
    let skipped = left.len().saturating_sub(RETURNED_BLOCKS_MAX);
    let returned = left.iter().skip(skipped).flat_map(MovedBlock::sent);
    let returned: Vec<(Transaction, Address)> =
        returned.map(|(tx, sender)| (tx.clone(), sender)).collect();
    let mined = joined.iter().flat_map(MovedBlock::sent);
    let mined: Vec<_> =
        mined.map(|(tx, sender)| MinedTx { hash: *tx.hash(), sender, nonce: tx.nonce() }).collect();
    let update = HeadUpdate {
        head: pool_head(view.spec(), hash, &header),
        mined: &mined,
        returned: &returned,
        changed: &accounts,
        finalized: view.finalized().map_or(0, |finalized| finalized.number),
    };
    // Most moves of the head bring nothing back, and then no state is read.
    Ok(Some(pool.advance(update, &LazyState { view, number: head.number })))
}

/// Forgets all transactions, and follows the head of the view as if there had been no other.
pub(crate) fn reset(pool: &Pool, spec: &ChainSpec, view: &ChainView) -> Result<(), ImportError> {
    pool.clear();
    let number = view.head().number;
    let Some((hash, header)) = view.header(number)? else { return Ok(()) };
    let head = pool_head(spec, hash, &header);
    let update = HeadUpdate { head, mined: &[], returned: &[], changed: &[], finalized: 0 };
    pool.advance(update, &LazyState { view, number });
    Ok(())
}

/// The pool takes transactions by this gas limit, and not by that of the head, until that moves.
pub(crate) fn limit_gas(pool: &Pool, view: &ChainView, gas_limit: u64) {
    let head = PoolHead { gas_limit, ..pool.head() };
    let update = HeadUpdate { head, mined: &[], returned: &[], changed: &[], finalized: 0 };
    pool.advance(update, &LazyState { view, number: view.head().number });
}

/// A state that is put together for each read.
struct LazyState<'v> {
    view: &'v ChainView,
    number: u64,
}

impl LazyState<'_> {
    fn read<T>(
        &self,
        read: impl FnOnce(&dyn StateView) -> Result<T, StateError>,
    ) -> Result<T, StateError> {
        let unavailable = |error: String| StateError::Unavailable(error);
        let done = self.view.with_state(self.number, read);
        let done = done.map_err(|error| unavailable(error.to_string()))?;
        done.unwrap_or_else(|| Err(unavailable(format!("block {} is gone", self.number))))
    }
}

impl StateView for LazyState<'_> {
    fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        self.read(|state| state.account(address))
    }

    fn slot(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        self.read(|state| state.slot(address, slot))
    }

    fn has_storage_beside(&self, address: Address, emptied: &SlotSet) -> Result<bool, StateError> {
        self.read(|state| state.has_storage_beside(address, emptied))
    }

    fn code(&self, code_hash: B256) -> Result<Bytes, StateError> {
        self.read(|state| state.code(code_hash))
    }

    fn block_hash(&self, number: u64) -> Result<B256, StateError> {
        self.read(|state| state.block_hash(number))
    }
}

/// Accounts that are not the same after the blocks that joined as after those that left.
fn changed(left: &[MovedBlock], joined: &[MovedBlock]) -> Vec<(Address, Option<Account>)> {
    let mut accounts: AddressMap<Option<Account>> = AddressMap::default();
    for change in left.iter().flat_map(MovedBlock::changes) {
        // The lowest block knows it as it was before all of them.
        accounts.entry(change.address).or_insert(change.before);
    }
    for change in joined.iter().flat_map(MovedBlock::changes) {
        accounts.insert(change.address, change.after);
    }
    accounts.into_iter().collect()
}

fn read(
    state: &dyn StateView,
    addresses: &HashSet<Address>,
) -> Result<Vec<(Address, Option<Account>)>, StateError> {
    addresses.iter().map(|address| Ok((*address, state.account(*address)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Chain, ChainOptions,
        engine::samples::{World, raise},
    };
    use alloy_consensus::{Signed, TxLegacy};
    use alloy_eips::Encodable2718;
    use fugue_executor::Mode;
    use fugue_storage::Retention;
    use fugue_txpool::{Origin, PoolOptions};
    use fugue_types::{TxKind, impersonating};

    #[test]
    fn after_a_move_over_a_block_that_cannot_be_read_all_senders_are_looked_at() {
        let mut world = World::new();
        world.spec = Arc::new(ChainSpec::clone(&world.spec).for_dev());
        let first = world.genesis.child(raise(&world.genesis.state));
        let second = first.child(raise(&first.state));
        let third = second.child(raise(&second.state));
        world.commit(&third);
        // The body of the first is gone.
        world.store.prune(Retention::Minimal { window: 1 }).expect("a good store");
        let view = world.view(&world.snapshot(), &second);

        // After the third its sender can just pay.
        let sender = Address::repeat_byte(1);
        let value = third.state.accounts[&sender].account.balance;
        let to = TxKind::Call(sender);
        let tx = TxLegacy { nonce: 1, gas_limit: 21_000, to, value, ..TxLegacy::default() };
        let tx = Transaction::Legacy(Signed::new_unhashed(tx, impersonating(sender)));
        let head = pool_head(&world.spec, third.head.hash, &third.header);
        let pool = Pool::new(PoolOptions::default(), head);
        let added = pool.add_encoded(&tx.encoded_2718(), Origin::Local, &third.state);
        assert_eq!(added.map(|added| added.is_pending), Ok(true));

        let options = ChainOptions::following(Mode::Seq, 1);
        let spec = ChainSpec::clone(&world.spec);
        let chain = Chain::open(world.store, spec, options).expect("a good store");
        let moved = Moved::between(&chain, third.head, world.genesis.head);
        let left: Vec<u64> = moved.left.iter().map(|block| block.header().number).collect();
        assert_eq!((left, moved.joined.len(), moved.are_changes_known()), (vec![2, 3], 0, false));
        let advanced = advance(&pool, &view, &moved).expect("a good store").expect("a head");
        assert_eq!(advanced.looked_at, 1);
        assert_eq!((pool.head().hash, pool.status().queued), (second.head.hash, 1));
    }
}

//! What is known of addresses beyond their hashes: by the index of addresses, where the database
//! has one, and by blocks that are not durable, which have addresses themselves.

use super::{ChainView, Reach};
use crate::{ImportError, StorageError};
use fugue_trie::TrieAccount;
use fugue_types::{Address, B256, keccak256};
use std::{collections::BTreeMap, ops::RangeInclusive};

/// An account in a list of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedAccount {
    /// keccak256 of its address.
    pub hash: B256,
    /// Its address.
    pub address: Address,
    /// As the trie has it.
    pub account: TrieAccount,
}

/// A part of the accounts of a state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountRange {
    /// Ascending by hash.
    pub accounts: Vec<ListedAccount>,
    /// Hash of the account that comes next; `None` if there is no other.
    pub next: Option<B256>,
}

impl ChainView {
    /// Whether the database has an index of addresses.
    ///
    /// # Errors
    /// [`StorageError::NotIndexed`].
    pub fn check_addresses(&self) -> Result<(), ImportError> {
        Ok(self.snapshot.check_addresses()?)
    }

    /// The address with this hash; `None` if there never was such an account.
    ///
    /// # Errors
    /// [`StorageError::NotIndexed`], or what the store says.
    pub fn address(&self, hash: B256) -> Result<Option<Address>, ImportError> {
        if let Some(address) = self.snapshot.address(hash)? {
            return Ok(Some(address));
        }
        let changed = self.above.iter().flat_map(|record| &record.diff.accounts);
        Ok(changed.map(|change| change.address).find(|address| keccak256(address) == hash))
    }

    /// At most `count` accounts, from the hash `start` on, as they are after a block of the head's
    /// chain. `None` above the head.
    ///
    /// # Errors
    /// [`StorageError::NotIndexed`], [`StorageError::Pruned`] if the state is no longer kept, and
    /// [`StorageError::GivenUp`] with the reason of `reach`.
    pub fn accounts_from(
        &self,
        number: u64,
        (start, count): (B256, usize),
        reach: &Reach<'_>,
    ) -> Result<Option<AccountRange>, ImportError> {
        self.check_addresses()?;
        if number > self.head.number {
            return Ok(None);
        }
        let above = usize::try_from(number.saturating_sub(self.base)).unwrap_or(usize::MAX);
        let changed = self.above.iter().take(above).flat_map(|record| &record.diff.accounts);
        let changed = changed.map(|change| (keccak256(change.address), change.address));
        let changed: BTreeMap<B256, Address> = changed.filter(|(hash, _)| *hash >= start).collect();
        // Of these, one each may be gone since.
        let wanted = count.saturating_add(1).saturating_add(changed.len());
        let state = self.snapshot.state_at(number.min(self.base))?;
        let durable = state.accounts_from(start, wanted, &|| reach.checked())?;
        // Behind the last one that was read there may be more, before which no other may be told.
        let is_whole = durable.len() < wanted;
        let last = durable.last().map(|(hash, _)| *hash).filter(|_| !is_whole);
        let listed = durable.into_iter().map(|(hash, account)| (hash, (None, account)));
        let mut listed: BTreeMap<B256, (Option<Address>, TrieAccount)> = listed.collect();
        for (hash, address) in changed {
            if last.is_some_and(|last| hash > last) {
                break;
            }
            match self.trie_account(number, address)? {
                Some(account) => listed.insert(hash, (Some(address), account)),
                None => listed.remove(&hash),
            };
        }
        let mut listed = listed.into_iter();
        let mut accounts = Vec::new();
        for (hash, (address, account)) in listed.by_ref().take(count) {
            let address = match address {
                Some(address) => address,
                None => self.snapshot.account_address(hash)?,
            };
            accounts.push(ListedAccount { hash, address, account });
        }
        Ok(Some(AccountRange { accounts, next: listed.next().map(|(hash, _)| hash) }))
    }

    /// The addresses of all accounts that a block of the head's chain changed, other than the
    /// genesis. `None` above the head.
    ///
    /// # Errors
    /// [`StorageError::NotIndexed`], [`StorageError::Pruned`] if the state before the block is no
    /// longer kept, or what the store says.
    pub fn changed_accounts(&self, number: u64) -> Result<Option<Vec<Address>>, ImportError> {
        self.check_addresses()?;
        if let Some(record) = self.record(number) {
            let changed = record.diff.accounts.iter();
            return Ok(Some(changed.map(|change| change.address).collect()));
        }
        if number > self.base {
            return Ok(None);
        }
        let hashes = self.snapshot.changed_accounts(number)?.into_iter();
        let addresses = hashes.map(|hash| self.snapshot.account_address(hash));
        Ok(Some(addresses.collect::<Result<_, StorageError>>()?))
    }

    /// The oldest block of which is kept what it did: the state before it, its body, its receipts.
    pub fn oldest_named(&self) -> u64 {
        self.snapshot.oldest_named()
    }

    /// The blocks of the head's chain that name an address, ascending, and rarely one that does
    /// not. Above the head there are none.
    ///
    /// # Errors
    /// [`StorageError::NotIndexed`], [`StorageError::Pruned`] if a block of the range is before
    /// [`ChainView::oldest_named`], or what the store says.
    pub fn address_blocks(
        &self,
        range: RangeInclusive<u64>,
        address: Address,
    ) -> Result<Vec<u64>, ImportError> {
        let durable = *range.start()..=(*range.end()).min(self.base);
        let mut numbers = self.snapshot.address_blocks(durable, address)?;
        for record in &self.above {
            let number = record.block.block().header.number;
            if range.contains(&number) && record.names(address) {
                numbers.push(number);
            }
        }
        Ok(numbers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::samples::{After, IRREVERSIBLE, REVERSIBLE, World, keys};

    const FAR: Reach<'static> =
        Reach { blocks_max: u64::MAX, changes_max: usize::MAX, check: &|| Ok(()) };

    /// Every change of the samples, one after the other.
    fn chain(world: &World) -> Vec<After> {
        let mut chain = vec![world.genesis.clone()];
        for (_, change) in IRREVERSIBLE.into_iter().chain(REVERSIBLE) {
            let last = chain.last().expect("a genesis");
            let diff = change(&last.state).canonical();
            if !diff.is_empty() {
                let next = last.child(diff);
                chain.push(next);
            }
        }
        chain
    }

    /// Views of one chain of which nothing, a part, and everything is durable.
    fn each_view(check: impl Fn(&ChainView, &[After])) {
        for durable in [0, 3, usize::MAX] {
            let world = World::indexed();
            let chain = chain(&world);
            let durable = durable.min(chain.len() - 1);
            if durable > 0 {
                world.commit(&chain[durable]);
            }
            let last = chain.last().expect("some blocks");
            check(&world.view(&world.snapshot(), last), &chain);
        }
    }

    #[test]
    fn pages_have_the_accounts_of_every_state_whatever_is_durable() {
        each_view(|view, chain| {
            for after in chain {
                let number = after.head.number;
                let mut expected: Vec<Address> = after.state.accounts.keys().copied().collect();
                expected.sort_by_key(|address| keccak256(*address));
                for count in [1, 40, 1_000] {
                    let (mut found, mut start) = (Vec::new(), B256::ZERO);
                    loop {
                        let page = view.accounts_from(number, (start, count), &FAR);
                        let page = page.expect("a good store").expect("it is there");
                        assert!(page.accounts.len() <= count);
                        for ListedAccount { hash, address, account } in page.accounts {
                            assert_eq!(keccak256(address), hash);
                            let known = view.trie_account(number, address);
                            assert_eq!(known, Ok(Some(account)), "block {number}, {address}");
                            found.push(address);
                        }
                        let Some(next) = page.next else { break };
                        start = next;
                    }
                    assert_eq!(found, expected, "block {number}, {count}");
                }
            }
            let above = view.head().number + 1;
            assert_eq!(view.accounts_from(above, (B256::ZERO, 1), &FAR), Ok(None));
        });
    }

    #[test]
    fn changes_and_blocks_are_the_same_whatever_is_durable() {
        each_view(|view, chain| {
            let head = view.head().number;
            let changed = |number| {
                let changed = view.changed_accounts(number).expect("a good store");
                (number, changed.expect("it is there"))
            };
            let changed: Vec<(u64, Vec<Address>)> = (1..=head).map(changed).collect();
            for (address, _) in keys().into_iter().filter(|(_, slot)| slot.is_none()) {
                let naming = changed.iter().filter(|(_, changed)| changed.contains(&address));
                let expected: Vec<u64> = naming.map(|(number, _)| *number).collect();
                let found = view.address_blocks(1..=head + 5, address);
                assert_eq!(found, Ok(expected.clone()), "{address}");
                let exists = |after: &After| after.state.accounts.contains_key(&address);
                let known = chain.iter().any(exists).then_some(address);
                assert_eq!(view.address(keccak256(address)), Ok(known), "{address}");
                assert!(known.is_some() || expected.is_empty());
            }
            assert_eq!(view.changed_accounts(head + 1), Ok(None));
        });
    }

    #[test]
    fn a_chain_without_the_index_says_so() {
        let world = World::new();
        let view = world.view(&world.snapshot(), &world.genesis);
        let refused = ImportError::Storage(StorageError::NotIndexed);
        assert_eq!(view.address(B256::ZERO), Err(refused.clone()));
        assert_eq!(view.accounts_from(0, (B256::ZERO, 1), &FAR), Err(refused.clone()));
        assert_eq!(view.changed_accounts(0), Err(refused.clone()));
        assert_eq!(view.address_blocks(0..=0, Address::ZERO), Err(refused));
    }
}

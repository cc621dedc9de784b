//! The state before a block as the node tells it, account by account and slot by slot, while the
//! block is executed on it: the third way, and what the second one leaves out.
//!
//! Accounts come with proofs where the node gives some, and are then those of the parent's state
//! root. What was read is the pre-state of the bundle.

use super::{
    Subject,
    endpoint::{Endpoint, Fault},
    number_of,
};
use crate::client::public::{decoded, quantity};
use fugue_archive::{Bundle, PreAccount, PreState};
use fugue_executor::{BlockError, Executor, Mode, Scope};
use fugue_state::{Account, SlotSet, StateError, StateView};
use fugue_trie::{EMPTY_ROOT_HASH, Nibbles, TrieAccount, verify_proof};
use fugue_types::{Address, B256, B256Map, Bytes, Header, KECCAK256_EMPTY, U256, keccak256};
use fugue_validation::{Ommers, check_block};
use serde::Deserialize;
use serde_json::json;
use std::{
    collections::BTreeMap,
    fmt::Display,
    sync::{Mutex, PoisonError},
};

const PROOF: &str = "eth_getProof";
const BALANCE: &str = "eth_getBalance";
const NONCE: &str = "eth_getTransactionCount";
const CODE: &str = "eth_getCode";
const SLOT: &str = "eth_getStorageAt";
const BLOCK: &str = "eth_getBlockByNumber";

/// An account that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KnownAccount {
    pub(super) account: Account,
    /// If it is proven.
    pub(super) storage_root: Option<B256>,
}

/// What is known before the block is executed; it may be that nothing of it is read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) accounts: BTreeMap<Address, KnownAccount>,
    pub(super) slots: BTreeMap<(Address, U256), U256>,
    pub(super) codes: B256Map<Bytes>,
}

/// The block, with all that it reads when it is executed.
pub(super) fn take(subject: &Subject<'_>, known: Known) -> Result<Bundle, Fault> {
    let Subject { endpoint, chain, block, parent } = subject;
    let header = subject.header();
    let rules = chain.spec.rules(header);
    let unfit =
        |error: &dyn Display| Fault::Unfit(format!("{endpoint}: block {}: {error}", header.number));
    let checked = block.clone().check(|block| check_block(block, &rules, Ommers::Known));
    let checked = checked.map_err(|refused| unfit(&refused.1))?;
    // Its own, with no codes: those that another block has read would not be asked for.
    let executor = Executor::new(1).map_err(|error| unfit(&error))?;
    let prepared = executor.prepare(checked, &rules).map_err(|error| unfit(&error))?;
    let state = RemoteState(Mutex::new(Reader::new(endpoint, parent, known)));
    let executed = executor.execute(Mode::Seq, &prepared, &rules, &state, Scope::Block);
    let Reader { accounts, slots, codes, hashes, fault, .. } =
        state.0.into_inner().unwrap_or_else(PoisonError::into_inner);
    match executed {
        Ok(_) => {}
        Err(BlockError::State(error)) => return Err(fault.unwrap_or_else(|| unfit(&error))),
        Err(error) => return Err(unfit(&error)),
    }

    let mut listed: BTreeMap<Address, PreAccount> = BTreeMap::new();
    for (address, found) in accounts {
        let Some(KnownAccount { account, storage_root: _ }) = found else { continue };
        let Account { nonce, balance, code_hash } = account;
        let code_hash = Some(code_hash).filter(|hash| *hash != KECCAK256_EMPTY);
        let account = PreAccount { balance, nonce, code_hash, storage: BTreeMap::new() };
        listed.insert(address, account);
    }
    for ((address, slot), value) in slots {
        if let Some(account) = listed.get_mut(&address) {
            account.storage.insert(slot, value);
        }
    }
    Ok(Bundle {
        chain_id: chain.id,
        config: chain.config.clone(),
        block: block.clone(),
        has_ommers: true,
        parent: Some(parent.clone()),
        block_hashes: hashes,
        state: Some(PreState { accounts: listed, codes, is_complete: false }),
    })
}

/// Asks the node, and keeps what was read.
struct Reader<'e> {
    endpoint: &'e Endpoint,
    parent: &'e Header,
    known: Known,
    /// Set once the node gives no proofs.
    has_no_proofs: bool,
    accounts: BTreeMap<Address, Option<KnownAccount>>,
    slots: BTreeMap<(Address, U256), U256>,
    codes: B256Map<Bytes>,
    hashes: BTreeMap<u64, B256>,
    /// Why the node did not tell something.
    fault: Option<Fault>,
}

/// The answer of `eth_getProof`, as far as it is needed. Source: EIP-1186.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Proof {
    account_proof: Vec<Bytes>,
    balance: U256,
    nonce: U256,
    code_hash: B256,
    storage_hash: B256,
}

impl<'e> Reader<'e> {
    fn new(endpoint: &'e Endpoint, parent: &'e Header, known: Known) -> Self {
        let hashes = BTreeMap::from([(parent.number, parent.hash_slow())]);
        Self {
            endpoint,
            parent,
            known,
            has_no_proofs: false,
            accounts: BTreeMap::new(),
            slots: BTreeMap::new(),
            codes: B256Map::default(),
            hashes,
            fault: None,
        }
    }

    fn account(&mut self, address: Address) -> Result<Option<KnownAccount>, Fault> {
        if let Some(read) = self.accounts.get(&address) {
            return Ok(*read);
        }
        let found = match self.known.accounts.get(&address).copied() {
            Some(known) => Some(known),
            None => self.asked(address)?,
        };
        // Whoever reads the file needs the code of every account in it.
        if let Some(KnownAccount { account, .. }) = found
            && account.has_code()
            && !self.codes.contains_key(&account.code_hash)
        {
            let code = self.known.codes.get(&account.code_hash).cloned();
            let code = code.map_or_else(|| self.asked_code(address), Ok)?;
            let hash = keccak256(&code);
            if hash != account.code_hash {
                let reason = format!("{address} has code {hash}, not {}", account.code_hash);
                return Err(self.unfit(CODE, reason));
            }
            self.codes.insert(hash, code);
        }
        self.accounts.insert(address, found);
        Ok(found)
    }

    fn asked(&mut self, address: Address) -> Result<Option<KnownAccount>, Fault> {
        if let Some(proof) = self.asked_proof(address)? {
            return self.proven(address, proof);
        }
        let number = self.parent.number;
        let params = json!([address, quantity(number)]);
        let balance: U256 = self.endpoint.get(number, BALANCE, &params)?;
        let nonce = self.endpoint.call(number, NONCE, &params)?;
        let nonce = number_of(nonce).map_err(|error| self.unfit(NONCE, error))?;
        let code = self.asked_code(address)?;
        let code_hash = if code.is_empty() { KECCAK256_EMPTY } else { keccak256(&code) };
        let account = Account { nonce, balance, code_hash };
        self.known.codes.insert(code_hash, code);
        // From EIP-161 on none is there that is empty; before, only proofs tell.
        Ok((!account.is_empty()).then_some(KnownAccount { account, storage_root: None }))
    }

    /// `None` if the node gives no proofs.
    fn asked_proof(&mut self, address: Address) -> Result<Option<Proof>, Fault> {
        if self.has_no_proofs {
            return Ok(None);
        }
        let number = self.parent.number;
        match self.endpoint.get(number, PROOF, &json!([address, [], quantity(number)])) {
            Err(fault) if fault.is_passable() => {
                self.has_no_proofs = true;
                Ok(None)
            }
            proof => proof.map(Some),
        }
    }

    /// The account that a proof shows to be there, or none if it shows that.
    fn proven(&self, address: Address, proof: Proof) -> Result<Option<KnownAccount>, Fault> {
        let Proof { account_proof, balance, nonce, code_hash, storage_hash } = proof;
        let (root, key) = (self.parent.state_root, Nibbles::unpack(keccak256(address)));
        let nonce = u64::try_from(nonce).map_err(|error| self.unfit(PROOF, error))?;
        let told = TrieAccount { nonce, balance, storage_root: storage_hash, code_hash };
        let rlp = alloy_rlp::encode(told);
        if verify_proof(root, key, Some(rlp), &account_proof).is_ok() {
            let account = Account { nonce, balance, code_hash };
            return Ok(Some(KnownAccount { account, storage_root: Some(storage_hash) }));
        }
        match verify_proof(root, key, None, &account_proof) {
            Ok(()) => Ok(None),
            Err(error) => {
                let reason = format!("the proof of {address} does not hold: {error}");
                Err(self.unfit(PROOF, reason))
            }
        }
    }

    fn asked_code(&self, address: Address) -> Result<Bytes, Fault> {
        let number = self.parent.number;
        self.endpoint.get(number, CODE, &json!([address, quantity(number)]))
    }

    fn slot(&mut self, address: Address, slot: U256) -> Result<U256, Fault> {
        let account = self.account(address)?;
        if account.is_none_or(|account| account.storage_root == Some(EMPTY_ROOT_HASH)) {
            return Ok(U256::ZERO);
        }
        if let Some(read) = self.slots.get(&(address, slot)) {
            return Ok(*read);
        }
        let value = match self.known.slots.get(&(address, slot)) {
            Some(value) => *value,
            None => {
                let number = self.parent.number;
                let params = json!([address, B256::from(slot), quantity(number)]);
                let value = self.endpoint.call(number, SLOT, &params)?;
                decoded(value).map_err(|error| self.unfit(SLOT, error))?
            }
        };
        self.slots.insert((address, slot), value);
        Ok(value)
    }

    fn has_storage(&mut self, address: Address) -> Result<bool, Fault> {
        if self.account(address)?.is_none() {
            return Ok(false);
        }
        if let Some(proof) = self.asked_proof(address)? {
            let proven = self.proven(address, proof)?.and_then(|proven| proven.storage_root);
            return Ok(proven.is_some_and(|root| root != EMPTY_ROOT_HASH));
        }
        // It is asked of accounts that have neither nonce nor code. The few on mainnet that store
        // something nevertheless were never created anew (EIP-7610).
        Ok(false)
    }

    fn code(&mut self, code_hash: B256) -> Result<Bytes, Fault> {
        let found = self.codes.get(&code_hash).cloned();
        found.ok_or_else(|| self.unfit(CODE, format!("no account that was read has {code_hash}")))
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, Fault> {
        if let Some(hash) = self.hashes.get(&number) {
            return Ok(*hash);
        }
        #[derive(Deserialize)]
        struct Hash {
            hash: B256,
        }
        let params = json!([quantity(number), false]);
        let Hash { hash } = self.endpoint.get(number, BLOCK, &params)?;
        self.hashes.insert(number, hash);
        Ok(hash)
    }

    fn unfit(&self, method: &str, reason: impl Display) -> Fault {
        self.endpoint.unfit(self.parent.number, method, reason)
    }
}

/// As execution reads it.
struct RemoteState<'e>(Mutex<Reader<'e>>);

impl RemoteState<'_> {
    fn read<T>(
        &self,
        read: impl FnOnce(&mut Reader<'_>) -> Result<T, Fault>,
    ) -> Result<T, StateError> {
        let reader: &mut Reader<'_> = &mut self.0.lock().unwrap_or_else(PoisonError::into_inner);
        read(reader).map_err(|fault| {
            let message = fault.clone().into_message();
            reader.fault.get_or_insert(fault);
            StateError::Unavailable(message)
        })
    }
}

impl StateView for RemoteState<'_> {
    fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        self.read(|reader| Ok(reader.account(address)?.map(|known| known.account)))
    }

    fn slot(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        self.read(|reader| reader.slot(address, slot))
    }

    /// A node does not tell the other slots, so it says yes if there is any.
    fn has_storage_beside(&self, address: Address, _: &SlotSet) -> Result<bool, StateError> {
        self.read(|reader| reader.has_storage(address))
    }

    fn code(&self, code_hash: B256) -> Result<Bytes, StateError> {
        self.read(|reader| reader.code(code_hash))
    }

    fn block_hash(&self, number: u64) -> Result<B256, StateError> {
        self.read(|reader| reader.block_hash(number))
    }
}

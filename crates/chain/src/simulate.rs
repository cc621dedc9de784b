//! Blocks that nobody has made, on a block of the chain: `eth_simulateV1`.
//!
//! Each is opened, takes its calls as transactions without a signature, is closed, and gets the
//! header that it would have, state root included; the next one is its child.

use crate::ImportError;
use alloy_consensus::{
    SignableTransaction, Signed, TxEip1559, TxEip2930, TxEip4844, TxEip7702, TxLegacy,
    constants::{EMPTY_OMMER_ROOT_HASH, EMPTY_WITHDRAWALS},
    proofs::{calculate_withdrawals_root, ordered_trie_root_with_encoder},
};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::Signature;
use alloy_rlp::EMPTY_STRING_CODE;
use fugue_chainspec::{ChainSpec, Fork, Rules};
use fugue_evm::{
    Assumed, BaseFee, CallError, CallOutcome, CallPrice, CallRequest, Checks, CodeCache, MoveError,
};
use fugue_executor::{BlockError, Simulation, SimulationEnd, SimulationError, SystemCodes};
use fugue_state::{AssumedAccount, Guarded, HashesFrom, Stack, StateDiff, StateView};
use fugue_types::{
    Address, B256, Block, BlockBody, Eip658Value, Header, Log, ReceiptEnvelope, SealedBlock,
    Transaction, TransactionTrait, TxGas, TxKind, TxResult, TxType, Typed2718, U256, Withdrawals,
    keccak256,
};
use fugue_validation::{child_base_fee, child_excess_blob_gas, logs_bloom, receipts_root};
use std::collections::BTreeMap;

/// Seconds from one block to the next where nothing else is said. Source: execution-apis,
/// `eth_simulateV1`.
const BLOCK_TIME: u64 = 12;
/// Bytes of a log in memory beside its data, about: address, topics, and place.
const LOG_BYTES: usize = 300;

/// A block to simulate; what is `None` follows from the block before it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SimulatedBlock {
    /// Its number.
    pub number: Option<u64>,
    /// Its time, in seconds.
    pub time: Option<u64>,
    /// Its gas limit.
    pub gas_limit: Option<u64>,
    /// Who gets its fees.
    pub fee_recipient: Option<Address>,
    /// Its random value; zero if it is `None`.
    pub prev_randao: Option<B256>,
    /// Wei for a unit of gas.
    pub base_fee: Option<u64>,
    /// Its parent's beacon root; zero if it is `None`.
    pub beacon_root: Option<B256>,
    /// Its difficulty, before the merge.
    pub difficulty: Option<U256>,
    /// Its withdrawals.
    pub withdrawals: Option<Withdrawals>,
    /// What is assumed of accounts before it.
    pub accounts: BTreeMap<Address, AssumedAccount>,
    /// What is assumed besides.
    pub assumed: Assumed,
    /// Its messages.
    pub calls: Vec<SimulatedCall>,
}

/// A message of a simulated block.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SimulatedCall {
    /// The message, but for gas and nonce.
    pub request: CallRequest,
    /// The most gas; all that is left, if it is `None`.
    pub gas: Option<u64>,
    /// Its nonce; the sender's, if it is `None`.
    pub nonce: Option<u64>,
}

/// How blocks are simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SimulateOptions {
    /// Blocks, those between the given ones included.
    pub blocks_max: u64,
    /// Gas of all messages together, and of calls of system contracts whose code is assumed.
    pub gas_max: u64,
    /// Bytes that all messages together give back and log.
    pub output_bytes_max: usize,
    /// Messages must keep the rules for transactions: nonce and base fee.
    pub validates: bool,
    /// Transfers of ether are among the logs.
    pub traces_transfers: bool,
}

/// A block that was simulated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Simulated {
    /// The block, with transactions that nobody has signed.
    pub block: SealedBlock,
    /// Who sends them.
    pub senders: Vec<Address>,
    /// What they did, each with its logs as they were noted: the number among all logs that the
    /// block came to, and the log.
    pub outcomes: Vec<(CallOutcome, Vec<(u64, Log)>)>,
}

/// Why blocks were not simulated.
#[derive(Debug, thiserror::Error)]
pub enum SimulateError {
    /// A number that is not above that of the block before.
    #[error("block numbers must be in order: {number} <= {parent}")]
    Number {
        /// The block's.
        number: u64,
        /// Of the block before it.
        parent: u64,
    },
    /// A time that is not later than that of the block before.
    #[error("block timestamps must be in order: {time} <= {parent}")]
    Time {
        /// The block's.
        time: u64,
        /// Of the block before it.
        parent: u64,
    },
    /// There are more blocks than there may be, which are so many. Source: execution-apis,
    /// `eth_simulateV1`, "too many blocks".
    #[error("too many blocks: {0} are the most, those between included")]
    TooManyBlocks(u64),
    /// A message asks for more gas than the block has left.
    #[error("block gas limit reached: {used} of {limit} are used, the call takes {gas}")]
    GasLimit {
        /// Gas of the messages before it.
        used: u64,
        /// Of the block.
        limit: u64,
        /// Of the message: what it asks for, or the least that it takes.
        gas: u64,
    },
    /// All messages together have left less gas than a message takes by itself. The words are those
    /// of go-ethereum.
    #[error("call {index} of block {number}: RPC gas cap exhausted: need {gas}, remaining {left}")]
    GasCap {
        /// The block.
        number: u64,
        /// The message.
        index: usize,
        /// The least that it takes.
        gas: u64,
        /// What is left.
        left: u64,
    },
    /// Calls of system contracts whose code is assumed need more gas than is left.
    #[error("block {number}: RPC gas cap exhausted by system contracts whose code is assumed")]
    SystemGas {
        /// The block.
        number: u64,
    },
    /// A message whose nonce is not the sender's, or the last one there is (EIP-2681).
    #[error("call {index} of block {number}: nonce {nonce}, the sender's is {expected}")]
    Nonce {
        /// The block.
        number: u64,
        /// The message.
        index: usize,
        /// Its nonce.
        nonce: u64,
        /// The sender's.
        expected: u64,
    },
    /// A message did not run.
    #[error("call {index} of block {number}: {error}")]
    Call {
        /// The block.
        number: u64,
        /// The message.
        index: usize,
        /// Why.
        error: CallError,
    },
    /// The messages give back and log more than they may.
    #[error("the calls return and log more than {0} bytes, the most: simulate fewer of them")]
    TooLarge(usize),
    /// A precompiled contract cannot be moved as it is assumed.
    #[error(transparent)]
    Move(#[from] MoveError),
    /// The block was not opened or closed.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// Its state root was not computed.
    #[error(transparent)]
    Root(#[from] ImportError),
}

/// Simulates blocks above `base`, on the state after it. `root` gives the state root after one more
/// change, the first one from the state after `base`.
///
/// # Errors
/// [`SimulateError`].
pub fn simulate(
    spec: &ChainSpec,
    codes: &CodeCache,
    base: (B256, &Header),
    view: &dyn StateView,
    mut root: impl FnMut(&StateDiff) -> Result<B256, ImportError>,
    blocks: Vec<SimulatedBlock>,
    options: SimulateOptions,
) -> Result<Vec<Simulated>, SimulateError> {
    let (mut parent_hash, mut parent) = (base.0, base.1.clone());
    let SimulateOptions { blocks_max, gas_max, output_bytes_max, .. } = options;
    let mut left = Left { gas: gas_max, output_bytes: output_bytes_max };
    let own_codes = &SystemCodes::of(view).map_err(BlockError::from)?;
    let (mut diffs, mut hashes, mut simulated) = (Vec::new(), BTreeMap::new(), Vec::new());
    for block in in_order(&parent, blocks, blocks_max)? {
        // The newest ancestors are simulated.
        let hash =
            |number| hashes.get(&number).map_or_else(|| view.block_hash(number), |it| Ok(*it));
        let below = HashesFrom::new(view, hash);
        let stack = Stack::new(&diffs, &below);
        // What is read of the blocks before must not hide that nobody waits any more.
        let state = Guarded::new(&stack, |_| view.check());
        let header = draft(spec, &block, parent_hash, &parent, options);
        let place = Place { rules: &spec.rules(&header), codes, view: &state, own_codes, options };
        let (done, diff) = place.run(block, header, &mut root, &mut left)?;
        parent_hash = done.block.hash();
        parent = done.block.block().header.clone();
        hashes.insert(parent.number, parent_hash);
        diffs.push(diff);
        simulated.push(done);
    }
    Ok(simulated)
}

/// The blocks with number and time, and empty ones where numbers are left out.
fn in_order(
    base: &Header,
    blocks: Vec<SimulatedBlock>,
    blocks_max: u64,
) -> Result<Vec<SimulatedBlock>, SimulateError> {
    let (mut number, mut time) = (base.number, base.timestamp);
    let mut all = Vec::with_capacity(blocks.len());
    for mut block in blocks {
        let next = block.number.unwrap_or(number.saturating_add(1));
        if next <= number {
            return Err(SimulateError::Number { number: next, parent: number });
        }
        if next.saturating_sub(base.number) > blocks_max {
            return Err(SimulateError::TooManyBlocks(blocks_max));
        }
        for between in number.saturating_add(1)..next {
            time = time.saturating_add(BLOCK_TIME);
            all.push(SimulatedBlock {
                number: Some(between),
                time: Some(time),
                ..SimulatedBlock::default()
            });
        }
        let then = block.time.unwrap_or(time.saturating_add(BLOCK_TIME));
        if then <= time {
            return Err(SimulateError::Time { time: then, parent: time });
        }
        (number, time) = (next, then);
        (block.number, block.time) = (Some(number), Some(time));
        all.push(block);
    }
    Ok(all)
}

/// The header before anything is run.
fn draft(
    spec: &ChainSpec,
    block: &SimulatedBlock,
    parent_hash: B256,
    parent: &Header,
    options: SimulateOptions,
) -> Header {
    let number = block.number.unwrap_or(parent.number.saturating_add(1));
    let timestamp = block.time.unwrap_or(parent.timestamp.saturating_add(BLOCK_TIME));
    let mut header = Header {
        parent_hash,
        ommers_hash: EMPTY_OMMER_ROOT_HASH,
        number,
        timestamp,
        beneficiary: block.fee_recipient.unwrap_or(parent.beneficiary),
        gas_limit: block.gas_limit.unwrap_or(parent.gas_limit),
        mix_hash: block.prev_randao.unwrap_or_default(),
        difficulty: parent.difficulty,
        ..Header::default()
    };
    let parent_rules = spec.rules(parent);
    // After the merge a block has none, and one that is assumed does not undo it.
    if !parent_rules.has(Fork::Paris) {
        header.difficulty = block.difficulty.unwrap_or(parent.difficulty);
    }
    let rules = spec.rules(&header);
    if rules.has(Fork::Paris) {
        header.difficulty = U256::ZERO;
    }
    if rules.has(Fork::London) {
        // Whoever offers nothing could not be run where there is a base fee.
        let of_parent =
            || if options.validates { child_base_fee(parent, &parent_rules) } else { 0 };
        header.base_fee_per_gas = Some(block.base_fee.unwrap_or_else(of_parent));
    }
    if let Some(params) = rules.blob_params.filter(|_| rules.has(Fork::Cancun)) {
        let is_first = !parent_rules.has(Fork::Cancun);
        let excess = if is_first { 0 } else { child_excess_blob_gas(&params, parent) };
        header.excess_blob_gas = Some(excess);
        header.parent_beacon_block_root = Some(block.beacon_root.unwrap_or_default());
    }
    if rules.has(Fork::Amsterdam) {
        let slots = (timestamp.saturating_sub(parent.timestamp) / BLOCK_TIME).max(1);
        header.slot_number = Some(parent.slot_number.unwrap_or_default().saturating_add(slots));
    }
    header
}

/// What the messages that are still to come may take.
struct Left {
    gas: u64,
    output_bytes: usize,
}

impl Left {
    /// Takes off what a message took.
    fn take(
        &mut self,
        outcome: &CallOutcome,
        logs: &[(u64, Log)],
        options: SimulateOptions,
    ) -> Result<(), SimulateError> {
        self.gas = self.gas.saturating_sub(outcome.gas_used);
        let logged = logs.iter().map(|(_, log)| log.data.data.len().saturating_add(LOG_BYTES));
        let bytes = logged.fold(outcome.output.len(), usize::saturating_add);
        let left = self.output_bytes.checked_sub(bytes);
        self.output_bytes = left.ok_or(SimulateError::TooLarge(options.output_bytes_max))?;
        Ok(())
    }
}

/// Where a block is run.
struct Place<'a> {
    rules: &'a Rules,
    codes: &'a CodeCache,
    view: &'a dyn StateView,
    own_codes: &'a SystemCodes,
    options: SimulateOptions,
}

impl Place<'_> {
    fn run(
        &self,
        block: SimulatedBlock,
        mut header: Header,
        root: &mut impl FnMut(&StateDiff) -> Result<B256, ImportError>,
        left: &mut Left,
    ) -> Result<(Simulated, StateDiff), SimulateError> {
        let Self { rules, codes, view, own_codes, options } = *self;
        let SimulatedBlock { accounts, assumed, calls, withdrawals, .. } = block;
        let base_fee = if options.validates { BaseFee::Kept } else { BaseFee::Waived };
        let checks = Checks { nonce: options.validates, base_fee, gas_cap: false };
        let has_transfers = options.traces_transfers;
        assumed.check(rules)?;
        let number = header.number;
        let refused = |error| match error {
            SimulationError::Block(error) => SimulateError::Block(error),
            SimulationError::GasSpent => SimulateError::SystemGas { number },
        };
        let place = fugue_evm::Place { rules, header: &header, codes, view, assumed: &assumed };
        let mut open = Simulation::open(&place, &accounts, has_transfers, own_codes, &mut left.gas)
            .map_err(refused)?;
        let (mut transactions, mut senders) = (Vec::new(), Vec::new());
        let (mut outcomes, mut results) = (Vec::new(), Vec::new());
        let mut counted = TxGas::default();
        for (index, call) in calls.into_iter().enumerate() {
            let failed = |error| SimulateError::Call { number: header.number, index, error };
            let SimulatedCall { mut request, gas: wanted, nonce } = call;
            let (used, limit) = (of_block(rules, counted), header.gas_limit);
            let available = limit.saturating_sub(used);
            let asked = wanted.unwrap_or(available);
            if asked > available {
                return Err(SimulateError::GasLimit { used, limit, gas: asked });
            }
            request.gas = asked.min(left.gas);
            let expected = open.nonce(request.from).map_err(|error| failed(error.into()))?;
            request.nonce = nonce.unwrap_or(expected);
            if options.validates {
                // Before all else that stands against it.
                check_nonce(header.number, index, request.nonce, expected)?;
            }
            if request.price == CallPrice::Free {
                let newest = CallPrice::Dynamic { max: 0, tip: 0 };
                request.price = if rules.has(Fork::London) { newest } else { CallPrice::Fixed(0) };
            }
            let (outcome, logs) = open.send(&request, checks).map_err(|error| {
                let least = match &error {
                    CallError::Invalid(invalid) => invalid.least_gas(),
                    _ => None,
                };
                // What leaves too little is said: the calls or the block, and not the message.
                match least {
                    Some(gas) if request.gas < asked => {
                        SimulateError::GasCap { number: header.number, index, gas, left: left.gas }
                    }
                    Some(gas) if wanted.is_none() => SimulateError::GasLimit { used, limit, gas },
                    _ => failed(error),
                }
            })?;
            left.take(&outcome, &logs, options)?;
            let tx = unsigned(&request, rules.chain_id);
            let result = result(&tx, &outcome);
            let TxGas { used, regular, state } = result.gas;
            counted.used = counted.used.saturating_add(used);
            counted.regular = counted.regular.saturating_add(regular);
            counted.state = counted.state.saturating_add(state);
            results.push(result);
            senders.push(request.from);
            transactions.push(tx);
            outcomes.push((outcome, logs));
        }
        let withdrawals = rules.has(Fork::Shanghai).then(|| withdrawals.unwrap_or_default());
        let closed = open.close(withdrawals.as_ref(), &results, &mut left.gas).map_err(refused)?;
        let SimulationEnd { diff, requests, access_list } = closed;
        let receipts = receipts(&results);
        header.gas_used = of_block(rules, counted);
        header.state_root = root(&diff)?;
        header.transactions_root = ordered_trie_root_with_encoder(&transactions, encode);
        header.receipts_root = receipts_root(&receipts);
        header.logs_bloom = logs_bloom(&receipts);
        header.withdrawals_root = withdrawals.as_ref().map(|all| match all.is_empty() {
            true => EMPTY_WITHDRAWALS,
            false => calculate_withdrawals_root(all),
        });
        header.requests_hash = requests.map(|requests| requests.requests_hash());
        header.block_access_list_hash = access_list.map(|list| keccak256(alloy_rlp::encode(list)));
        if rules.has(Fork::Cancun) {
            let blob_gas = transactions.iter().filter_map(TransactionTrait::blob_gas_used);
            header.blob_gas_used = Some(blob_gas.sum());
        }
        let body = BlockBody { transactions, ommers: Vec::new(), withdrawals };
        let block = SealedBlock::seal(Block { header, body });
        Ok((Simulated { block, senders, outcomes }, diff))
    }
}

/// Gas of a block whose transactions have this in all: from Amsterdam on, of the dimension that has
/// more. Source: EIP-8037.
fn of_block(rules: &Rules, gas: TxGas) -> u64 {
    let TxGas { used, regular, state } = gas;
    if rules.has(Fork::Amsterdam) { regular.max(state) } else { used }
}

/// Source: EIP-2681, and what leading clients look at first.
fn check_nonce(number: u64, index: usize, nonce: u64, expected: u64) -> Result<(), SimulateError> {
    if nonce == expected && nonce < u64::MAX {
        return Ok(());
    }
    Err(SimulateError::Nonce { number, index, nonce, expected })
}

fn receipts(results: &[TxResult]) -> Vec<ReceiptEnvelope> {
    let mut cumulative = 0_u64;
    let of = |result: &TxResult| {
        cumulative = cumulative.saturating_add(result.gas.used);
        result.receipt(Eip658Value::Eip658(result.status.is_success()), cumulative)
    };
    results.iter().map(of).collect()
}

fn result(tx: &Transaction, outcome: &CallOutcome) -> TxResult {
    let CallOutcome { status, gas_used, gas_regular, gas_state, output, logs, created, .. } =
        outcome.clone();
    TxResult {
        tx_type: TxType::try_from(tx.ty()).unwrap_or(TxType::Legacy),
        status,
        gas: TxGas { used: gas_used, regular: gas_regular, state: gas_state },
        logs,
        output,
        created,
    }
}

/// The message as a transaction whose signature is zero.
fn unsigned(request: &CallRequest, chain_id: u64) -> Transaction {
    let CallRequest { to, gas: gas_limit, value, nonce, .. } = *request;
    let input = request.data.clone();
    let kind = to.map_or(TxKind::Create, TxKind::Call);
    let access_list = request.access_list.clone().unwrap_or_default();
    let (max_fee_per_gas, max_priority_fee_per_gas) = match request.price {
        CallPrice::Free => (0, 0),
        CallPrice::Fixed(price) => (price, price),
        CallPrice::Dynamic { max, tip } => (max, tip),
    };
    let signature = Signature::new(U256::ZERO, U256::ZERO, false);
    if !request.authorizations.is_empty() {
        let authorization_list = request.authorizations.clone();
        let to = to.unwrap_or_default();
        return TxEip7702 {
            chain_id,
            nonce,
            gas_limit,
            max_fee_per_gas,
            max_priority_fee_per_gas,
            to,
            value,
            access_list,
            authorization_list,
            input,
        }
        .into_signed(signature)
        .into();
    }
    if !request.blob_hashes.is_empty() {
        return TxEip4844 {
            chain_id,
            nonce,
            gas_limit,
            max_fee_per_gas,
            max_priority_fee_per_gas,
            to: to.unwrap_or_default(),
            value,
            access_list,
            blob_versioned_hashes: request.blob_hashes.clone(),
            max_fee_per_blob_gas: request.max_fee_per_blob_gas.unwrap_or_default(),
            input,
        }
        .into_signed(signature)
        .into();
    }
    match request.price {
        CallPrice::Dynamic { .. } => TxEip1559 {
            chain_id,
            nonce,
            gas_limit,
            max_fee_per_gas,
            max_priority_fee_per_gas,
            to: kind,
            value,
            access_list,
            input,
        }
        .into_signed(signature)
        .into(),
        CallPrice::Free | CallPrice::Fixed(_) if request.access_list.is_some() => TxEip2930 {
            chain_id,
            nonce,
            gas_price: max_fee_per_gas,
            gas_limit,
            to: kind,
            value,
            access_list,
            input,
        }
        .into_signed(signature)
        .into(),
        CallPrice::Free | CallPrice::Fixed(_) => {
            let tx = TxLegacy {
                chain_id: None,
                nonce,
                gas_price: max_fee_per_gas,
                gas_limit,
                to: kind,
                value,
                input,
            };
            let mut encoded = Vec::new();
            encode(&Signed::new_unhashed(tx.clone(), signature).into(), &mut encoded);
            Signed::new_unchecked(tx, signature, keccak256(encoded)).into()
        }
    }
}

/// Encodes a transaction whose signature is zero, `v` of a legacy one included: the published
/// encoding has 27 there, in one byte before `r` and `s`. Source: execution-apis, `eth_simulateV1`,
/// "Default values for transactions".
fn encode(tx: &Transaction, out: &mut Vec<u8>) {
    tx.encode_2718(out);
    if let (Transaction::Legacy(_), [.., v, _, _]) = (tx, &mut out[..]) {
        *v = EMPTY_STRING_CODE;
    }
}

#[cfg(test)]
mod tests;

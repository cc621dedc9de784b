//! Runs a message on a state as a question: what would it do? Nothing is written.
//!
//! Of the rules for transactions those hold that the question itself names: funds for the value,
//! and a base fee where a price is given. No nonce, no limit of the block, and no proof that the
//! sender is a person (EIP-3607) is asked for.

use crate::{
    CallError, CallOutcome, CallPrice, CallRequest, Checks, CodeCache, FeePayment, Kernel,
    StateReader, ViewReader, precompiles,
};
use fugue_chainspec::{Fork, Rules};
use fugue_state::StateView;
use fugue_types::{Address, Header, U256};
use revm::{
    context_interface::transaction::AccessList,
    primitives::{eip4844::GAS_PER_BLOB, eip7825::TX_GAS_LIMIT_CAP},
};
use revm_inspectors::access_list::AccessListInspector;

/// No gas is enough, or none was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EstimateError {
    /// It fails, and not for want of gas.
    #[error("{}", .0.status.name())]
    Failed(Box<CallOutcome>),
    /// It needs more gas than it may use or pay for.
    #[error("gas required exceeds allowance ({0})")]
    Allowance(u64),
    /// It did not run.
    #[error(transparent)]
    Call(#[from] CallError),
}

/// Gas of a transfer to an account without code, before Amsterdam. Source: Yellow Paper,
/// G_transaction.
const TRANSFER_GAS: u64 = 21_000;
/// What a call with value hands over besides. Source: Yellow Paper, G_callstipend.
const CALL_STIPEND: u64 = 2_300;
/// An estimate may be too high by this share, in thousandths, as in the leading clients: it saves
/// half of the runs.
const ESTIMATE_TOLERANCE: u128 = 15;
/// Runs of the search, which halves what is open each time.
const SEARCH_RUNS_MAX: usize = 64;
/// Runs until an access list must be that of the run before it: it is nearly always the second.
const ACCESS_LIST_RUNS_MAX: usize = 8;

/// Runs a message.
///
/// # Errors
/// [`CallError`].
pub fn call(place: &Place<'_>, request: &CallRequest) -> Result<CallOutcome, CallError> {
    place.run(request, false)
}

/// The accounts and slots that a message touches, but for those that are warm in any case, and what
/// it does when they are its access list (EIP-2930).
///
/// # Errors
/// [`CallError`].
pub fn access_list(
    place: &Place<'_>,
    request: &CallRequest,
) -> Result<(AccessList, CallOutcome), CallError> {
    let given = request.access_list.clone().unwrap_or_default();
    let mut list = given.clone();
    let mut request = request.clone();
    let mut runs = 0;
    loop {
        request.access_list = Some(list.clone());
        let mut kernel = place.kernel(AccessListInspector::new(given.clone()));
        let outcome = kernel.send_inspected(&request, Checks::QUESTION)?;
        let found = kernel.into_inspector().into_access_list();
        runs += 1;
        // What it touches may depend on what is warm, by the gas that is left.
        if found == list || runs >= ACCESS_LIST_RUNS_MAX {
            return Ok((list, outcome));
        }
        list = found;
    }
}

/// The least gas, or little more, with which the message succeeds: at most `request.gas`, what a
/// transaction may have (EIP-7825), and what the sender can pay for.
///
/// # Errors
/// [`EstimateError`].
pub fn estimate_gas(place: &Place<'_>, request: &CallRequest) -> Result<u64, EstimateError> {
    let mut highest = place.allowance(request)?;
    if place.is_transfer(request)?
        && highest >= TRANSFER_GAS
        && place.attempt(request, TRANSFER_GAS)?.is_some_and(|ran| ran.is_success())
    {
        return Ok(TRANSFER_GAS);
    }
    let Some(ran) = place.attempt(request, highest)? else {
        return Err(EstimateError::Allowance(highest));
    };
    if !ran.is_success() {
        return Err(if ran.lacked_gas {
            EstimateError::Allowance(highest)
        } else {
            EstimateError::Failed(Box::new(ran))
        });
    }

    let mut lowest = ran.gas_used.saturating_sub(1);
    // A frame keeps a 64th of its gas from the frames that it calls, so a message may need more
    // than it uses. Most need no more than this.
    let guess = ran.gas_spent.saturating_add(CALL_STIPEND).saturating_mul(64) / 63;
    let mut next = Some(guess).filter(|guess| *guess < highest);
    for _ in 0..SEARCH_RUNS_MAX {
        let open = highest.saturating_sub(lowest);
        let is_near = u128::from(open) * 1_000 < u128::from(highest) * ESTIMATE_TOLERANCE;
        if next.is_none() && (open <= 1 || is_near) {
            break;
        }
        // Most messages need little: the next is at most twice what is known to be too little.
        let halfway = lowest.saturating_add(open / 2).min(lowest.saturating_mul(2));
        let gas = next.take().unwrap_or(halfway.max(lowest.saturating_add(1)));
        if place.attempt(request, gas)?.is_some_and(|ran| ran.is_success()) {
            highest = gas;
        } else {
            lowest = gas;
        }
    }
    Ok(highest)
}

/// Where a message is run: in a block, on a state.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// The rules of the block.
    pub rules: &'a Rules,
    /// Its header.
    pub header: &'a Header,
    /// Codes that are known.
    pub codes: &'a CodeCache,
    /// The state.
    pub view: &'a dyn StateView,
    /// What is assumed of the block besides.
    pub assumed: &'a Assumed,
}

impl std::fmt::Debug for Place<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Place").field("rules", self.rules).finish_non_exhaustive()
    }
}

/// What a question assumes of a block that no header says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Assumed {
    /// Wei for a unit of blob gas.
    pub blob_base_fee: Option<u128>,
    /// Precompiled contracts that are elsewhere, or not there; accounts without one are passed
    /// over. Everything of which the question assumes anything is here.
    pub precompiles: Vec<(Address, Option<Address>)>,
}

/// A precompiled contract that cannot be moved as a question assumes it. In the words of geth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MoveError {
    /// There is none.
    #[error("account {0} is not a precompile")]
    NotThere(Address),
    /// Something else is assumed of where it would go.
    #[error("account {0} is already overridden")]
    Taken(Address),
}

impl Place<'_> {
    /// The most gas that a transaction may have and its sender can pay.
    fn allowance(&self, request: &CallRequest) -> Result<u64, CallError> {
        let is_capped = self.rules.has(Fork::Osaka) && !self.rules.has(Fork::Amsterdam);
        let gas = if is_capped { request.gas.min(TX_GAS_LIMIT_CAP) } else { request.gas };
        let price = match request.price {
            CallPrice::Fixed(price) => price,
            CallPrice::Dynamic { max, .. } if self.rules.has(Fork::London) => max,
            CallPrice::Free | CallPrice::Dynamic { .. } => 0,
        };
        if price == 0 {
            return Ok(gas);
        }
        let balance = self.view.account(request.from)?.unwrap_or_default().balance;
        // Who cannot even pay the value is told so when the message is tried.
        let Some(funds) = balance.checked_sub(request.value) else { return Ok(gas) };
        let blob_gas = GAS_PER_BLOB.saturating_mul(request.blob_hashes.len() as u64);
        let blob_price = request.max_fee_per_blob_gas.unwrap_or_default();
        let funds = funds.saturating_sub(U256::from(blob_price) * U256::from(blob_gas));
        let affordable: u64 = (funds / U256::from(price)).saturating_to();
        Ok(gas.min(affordable))
    }

    /// Whether it only moves wei, to an account without code.
    fn is_transfer(&self, request: &CallRequest) -> Result<bool, CallError> {
        let Some(to) = request.to else { return Ok(false) };
        if self.rules.has(Fork::Amsterdam)
            || !request.data.is_empty()
            || request.access_list.is_some()
            || !request.authorizations.is_empty()
            || !request.blob_hashes.is_empty()
        {
            return Ok(false);
        }
        Ok(!self.view.account(to)?.is_some_and(|account| account.has_code()))
    }

    /// Runs a message with this much gas; `None` if that does not even let it begin.
    fn attempt(&self, request: &CallRequest, gas: u64) -> Result<Option<CallOutcome>, CallError> {
        match self.run(&CallRequest { gas, ..request.clone() }, true) {
            Ok(ran) => Ok(Some(ran)),
            Err(CallError::Invalid(invalid)) if invalid.least_gas().is_some() => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn run(&self, request: &CallRequest, gas_cap: bool) -> Result<CallOutcome, CallError> {
        self.kernel(()).send(request, Checks { gas_cap, ..Checks::QUESTION })
    }

    pub(crate) fn kernel<I>(&self, inspector: I) -> Kernel<'_, ViewReader<&dyn StateView>, I> {
        let Self { rules, header, codes, view, assumed } = *self;
        let (reader, fees) = (ViewReader(view), FeePayment::Direct);
        let mut kernel = Kernel::inspected(rules, header, codes, reader, fees, inspector);
        assumed.lay_on(&mut kernel);
        kernel
    }
}

impl Assumed {
    /// Whether precompiled contracts can be moved like this where these rules hold.
    ///
    /// # Errors
    /// [`MoveError`].
    pub fn check(&self, rules: &Rules) -> Result<(), MoveError> {
        let moved = self.precompiles.iter().filter_map(|(from, to)| Some((*from, (*to)?)));
        for (from, to) in moved {
            if !precompiles(rules).values().any(|address| *address == from) {
                return Err(MoveError::NotThere(from));
            }
            if self.precompiles.iter().any(|(assumed, _)| *assumed == to) {
                return Err(MoveError::Taken(to));
            }
        }
        Ok(())
    }

    /// Makes an EVM act on it.
    pub fn lay_on<R: StateReader, I>(&self, kernel: &mut Kernel<'_, R, I>) {
        for (from, to) in &self.precompiles {
            kernel.shift_precompile(*from, *to);
        }
        if let Some(price) = self.blob_base_fee {
            kernel.set_blob_base_fee(price);
        }
    }
}

#[cfg(test)]
mod tests;

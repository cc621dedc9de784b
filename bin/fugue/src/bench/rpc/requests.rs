//! The requests of `fugue bench rpc`, and what they name: accounts, contracts and transactions of
//! the blocks before.

use fugue_types::{Address, B256, Block, Bytes, TransactionTrait, keccak256};
use fugue_workload::{Exchange, Market, call, selector, word};
use serde_json::{Value, json};

/// Blocks that `eth_getLogs` looks through, or all that there are.
const LOG_BLOCKS: u64 = 1_000;
/// Things of one kind that are kept to be asked for.
const TARGETS_MAX: usize = 4_096;
/// Where the receiver stands in the input of `transfer(address,uint256)`.
const RECEIVER: std::ops::Range<usize> = 4..36;

/// A kind of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Balance,
    TokenBalance,
    Quote(Exchange),
    Logs,
    FullBlock,
    Trace,
}

impl Kind {
    /// All of them, in the order in which they are measured.
    const ALL: [Self; 8] = [
        Self::Balance,
        Self::TokenBalance,
        Self::Quote(Exchange::Own),
        Self::Quote(Exchange::UniswapV2),
        Self::Quote(Exchange::UniswapV3),
        Self::Logs,
        Self::FullBlock,
        Self::Trace,
    ];

    /// The method, and what is asked with it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Balance => "eth_getBalance",
            Self::TokenBalance => "eth_call balanceOf",
            Self::Quote(Exchange::Own) => "eth_call quote",
            Self::Quote(Exchange::UniswapV2) => "eth_call quote V2",
            Self::Quote(Exchange::UniswapV3) => "eth_call quote V3",
            Self::Logs => "eth_getLogs",
            Self::FullBlock => "eth_getBlockByNumber",
            Self::Trace => "debug_traceTransaction",
        }
    }

    pub(super) const fn method(self) -> &'static str {
        match self {
            Self::TokenBalance | Self::Quote(_) => "eth_call",
            Self::Balance | Self::Logs | Self::FullBlock | Self::Trace => self.name(),
        }
    }

    /// Whose quote it is, and which function gives it; `None` if it is none.
    pub(super) const fn quoted(self) -> Option<[&'static str; 2]> {
        match self {
            Self::Quote(Exchange::Own) => Some(["Fugue's own exchange", "Exchange.quote"]),
            Self::Quote(Exchange::UniswapV2) => {
                Some(["Uniswap V2", "UniswapV2Router02.getAmountsOut"])
            }
            Self::Quote(Exchange::UniswapV3) => {
                Some(["Uniswap V3", "QuoterV2.quoteExactInputSingle"])
            }
            Self::Balance | Self::TokenBalance | Self::Logs | Self::FullBlock | Self::Trace => None,
        }
    }
}

/// What requests name.
#[derive(Debug)]
pub(super) struct Targets {
    /// Receivers of ether.
    accounts: Vec<Address>,
    /// Tokens, each with somebody who received some.
    holders: Vec<(Address, Address)>,
    /// Of each exchange whose quotes are asked for, contracts and call data.
    quotes: Vec<(Exchange, Vec<(Address, Bytes)>)>,
    txs: Vec<B256>,
    /// Transactions that were looked at.
    seen: usize,
    /// Number of the last block.
    last: u64,
}

impl Targets {
    /// Before the first block of a market. Where swaps go to Uniswap, its quotes are asked for, and
    /// else those of our own exchange.
    pub(super) fn new(market: &Market) -> Self {
        let quoted = |exchange| (exchange, market.quotes(exchange, TARGETS_MAX));
        let mut quotes = Vec::from([Exchange::UniswapV2, Exchange::UniswapV3].map(quoted));
        quotes.retain(|(_, quotes)| !quotes.is_empty());
        if quotes.is_empty() {
            quotes.push(quoted(Exchange::Own));
        }
        let (accounts, holders, txs) = (Vec::new(), Vec::new(), Vec::new());
        Self { accounts, holders, quotes, txs, seen: 0, last: 0 }
    }

    /// What is asked for, in the order in which it is measured.
    pub(super) fn kinds(&self) -> Vec<Kind> {
        let is_asked = |kind: &Kind| match kind {
            Kind::Quote(exchange) => self.quotes_of(*exchange).is_some(),
            _ => true,
        };
        Kind::ALL.into_iter().filter(is_asked).collect()
    }

    fn quotes_of(&self, exchange: Exchange) -> Option<&[(Address, Bytes)]> {
        let found = self.quotes.iter().find(|(of, _)| *of == exchange);
        found.map(|(_, quotes)| quotes.as_slice())
    }

    /// Adds what a block has, in place of what is oldest.
    pub(super) fn add(&mut self, block: &Block) {
        let transfer = selector("Token", "transfer(address,uint256)");
        for tx in &block.body.transactions {
            let Some(to) = TransactionTrait::to(tx) else { continue };
            let input = TransactionTrait::input(tx);
            let nth = self.seen;
            self.seen += 1;
            put(&mut self.txs, nth, *tx.hash());
            if input.is_empty() {
                put(&mut self.accounts, nth, to);
            } else if let (true, Some(holder)) = (input.starts_with(&transfer), input.get(RECEIVER))
            {
                put(&mut self.holders, nth, (to, Address::from_word(B256::from_slice(holder))));
            }
        }
        self.last = block.header.number;
    }

    /// The parameters of the nth request of a kind; `None` if no block had what they name.
    pub(super) fn params(&self, kind: Kind, nth: usize) -> Option<Value> {
        let message = |to: &Address, data: &Bytes| json!([{ "to": to, "data": data }, "latest"]);
        Some(match kind {
            Kind::Balance => json!([of(&self.accounts, nth)?, "latest"]),
            Kind::TokenBalance => {
                let (token, holder) = of(&self.holders, nth)?;
                message(token, &call("Token", "balanceOf(address)", &[word(*holder)]))
            }
            Kind::Quote(exchange) => {
                let (contract, data) = of(self.quotes_of(exchange)?, nth)?;
                message(contract, data)
            }
            Kind::Logs => {
                let (token, holder) = of(&self.holders, nth)?;
                let topic = keccak256("Transfer(address,address,uint256)");
                json!([{
                    "address": token,
                    "topics": [topic, null, holder.into_word()],
                    "fromBlock": quantity(self.last.saturating_sub(LOG_BLOCKS - 1)),
                    "toBlock": quantity(self.last),
                }])
            }
            Kind::FullBlock => {
                json!([quantity(1 + nth as u64 % self.last.max(1)), true])
            }
            Kind::Trace => json!([of(&self.txs, nth)?, { "tracer": "callTracer" }]),
        })
    }
}

/// Adds a value, in place of another one if there are enough.
fn put<T>(values: &mut Vec<T>, nth: usize, value: T) {
    if values.len() < TARGETS_MAX {
        values.push(value);
    } else if let Some(place) = values.get_mut(nth % TARGETS_MAX) {
        *place = value;
    }
}

fn of<T>(values: &[T], nth: usize) -> Option<&T> {
    values.get(nth.checked_rem(values.len())?)
}

fn quantity(number: u64) -> String {
    format!("{number:#x}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use fugue_workload::{MarketSize, UniswapCodes};

    #[test]
    fn every_kind_has_something_to_ask_for_once_there_are_blocks() {
        let mut market = Market::new(1, &MarketSize::new(100, 60));
        let mut targets = Targets::new(&market);
        for kind in [Kind::Balance, Kind::TokenBalance, Kind::Logs, Kind::Trace] {
            assert_eq!(targets.params(kind, 7), None, "{kind:?}");
        }
        let mut block = Block::default();
        block.header.number = 2_000;
        block.body.transactions = market.next_block().transactions;
        targets.add(&block);
        let kinds = targets.kinds();
        assert_eq!(kinds.len(), 6);
        for kind in kinds {
            let params = targets.params(kind, 7).expect("it names something");
            assert!(params.as_array().is_some_and(|params| !params.is_empty()), "{params}");
            assert!(kind.name().starts_with(kind.method()), "{kind:?}");
        }
        let logs = targets.params(Kind::Logs, 0).expect("a filter");
        assert_eq!(
            (&logs[0]["fromBlock"], &logs[0]["toBlock"]),
            (&json!("0x3e9"), &json!("0x7d0"))
        );
        assert_eq!(logs[0]["topics"][2].as_str().map(str::len), Some(66));
        let call = targets.params(Kind::Quote(Exchange::Own), 3).expect("a call");
        assert_eq!(call[0]["data"].as_str().map(str::len), Some(2 + 2 * (4 + 64)), "{call}");
    }

    #[test]
    fn quotes_are_those_of_uniswap_where_it_is_part_of_the_market() {
        let code = Bytes::from_static(&[0]);
        let codes = UniswapCodes {
            v2_factory: code.clone(),
            v2_router: code.clone(),
            v3_factory: code.clone(),
            v3_router: code.clone(),
            v3_positions: code.clone(),
            v3_quoter: code,
        };
        let quoted = |market: &Market| -> Vec<&'static str> {
            let kinds = Targets::new(market).kinds().into_iter();
            kinds.filter_map(Kind::quoted).map(|[exchange, _]| exchange).collect()
        };
        let size = MarketSize::new(100, 60);
        assert_eq!(quoted(&Market::new(1, &size)), ["Fugue's own exchange"]);
        let market = Market::with_uniswap(1, &size, &codes);
        assert_eq!(quoted(&market), ["Uniswap V2", "Uniswap V3"]);
        let targets = Targets::new(&market);
        let begin = |exchange| -> Option<String> {
            let call = targets.params(Kind::Quote(exchange), 3)?;
            call[0]["data"].as_str().map(|data| data[..10].to_owned())
        };
        assert_eq!(begin(Exchange::UniswapV2).as_deref(), Some("0xd06ca61f"));
        assert_eq!(begin(Exchange::UniswapV3).as_deref(), Some("0xc6a5026a"));
        assert_eq!(begin(Exchange::Own), None);
    }

    #[test]
    fn no_more_is_kept_than_may_be() {
        let mut values = Vec::new();
        for nth in 0..3 * TARGETS_MAX {
            put(&mut values, nth, nth);
        }
        assert_eq!(values.len(), TARGETS_MAX);
        assert_eq!(values[0], 2 * TARGETS_MAX);
        assert_eq!(of(&values, TARGETS_MAX + 1), values.get(1));
        assert_eq!(of::<u8>(&[], 1), None);
    }
}

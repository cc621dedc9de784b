//! Blocks of a test as a consensus client sends them: over HTTP, to a node of their own.
//!
//! ```text
//! block in RLP -> payload of the version of its fork -\
//! call of the fixture, as it is -----------------------> newPayload -> VALID -> forkchoiceUpdated
//! ```
//! What a fixture says of a block is compared with the answer by the rules E4 to E10 of the
//! project's list: VALID blocks become the head; INVALID ones name their newest valid ancestor, or
//! nothing where the call itself does not fit together; a node that is broken, or that does not
//! know what it must know, fails the test. In the end the node is asked for its head.
//!
//! Blocks of proof of work are imported before the node starts. A block is not sent if a payload
//! cannot tell of all of it: see [`payload::new_payload`].

use super::{
    author::Author,
    broken, equal,
    verdict::{Call, Expected, TestBlock, Wire},
};
use crate::{
    UsageError,
    client::{
        self, CallError, EngineHost, PayloadStatus,
        payload::{self, Beside, Versions},
    },
};
use alloy_eips::eip7685::EMPTY_REQUESTS_HASH;
use fugue_chain::{Chain, ChainOptions, EngineOptions, Genesis};
use fugue_chainspec::ChainSpec;
use fugue_executor::{Executor, Mode};
use fugue_storage::{Faults, Store};
use fugue_txpool::PoolOptions;
use fugue_types::{B256, B256Map, BlockAccessList, Bytes, Requests, SealedBlock, keccak256};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::runtime::Runtime;

/// The code of parameters that do not have their form.
const INVALID_PARAMS: i32 = -32602;

/// What a thread of the runner keeps from one test to the next.
pub(in crate::spectest) struct Station {
    mode: Mode,
    executor: Arc<Executor>,
    runtime: Arc<Runtime>,
}

impl Station {
    /// # Errors
    /// If the system gives no runtime.
    pub(in crate::spectest) fn new(
        mode: Mode,
        executor: Arc<Executor>,
    ) -> Result<Self, UsageError> {
        Ok(Self { mode, executor, runtime: client::runtime_of_caller()? })
    }

    /// The next test is run in this mode, on these threads.
    pub(in crate::spectest) fn turn_to(&mut self, mode: Mode, executor: Arc<Executor>) {
        self.mode = mode;
        self.executor = executor;
    }
}

/// A chain, and what is sent of it.
pub(super) struct Drive<'t> {
    pub(super) spec: &'t ChainSpec,
    pub(super) genesis: &'t Genesis,
    /// What it must hash to, if that is known.
    pub(super) genesis_hash: Option<B256>,
    pub(super) blocks: &'t [TestBlock],
}

impl<'t> Drive<'t> {
    /// Sends all blocks to a node, then does what is to be done in the end. Gives the number of
    /// blocks that are no payloads, and what is wrong.
    pub(super) fn run(
        &self,
        station: &Station,
        end: impl FnOnce(&mut Session<'t>) -> Result<(), String>,
    ) -> (usize, Result<(), String>) {
        let mut session = match Session::start(self, station) {
            Ok(session) => session,
            Err(why) => return (0, Err(why)),
        };
        let ended = session.send_all(self.blocks).and_then(|()| end(&mut session));
        let unsent = session.unsent;
        let stopped = session.stop();
        (unsent, ended.and(stopped))
    }
}

/// What is known of a block.
#[derive(Debug, Clone, Copy)]
enum Standing {
    Valid {
        /// It has a difficulty.
        is_worked: bool,
    },
    Invalid {
        latest_valid: B256,
    },
}

/// What a call must be answered with.
#[derive(Debug, Clone, Copy)]
enum Due {
    /// The block has this hash.
    Valid(B256),
    Invalid {
        latest_valid: Option<B256>,
    },
    /// The parent is not known: nothing but that it is not valid.
    Open,
    Error(i32),
}

/// A call that is to be made.
struct Message {
    versions: Versions,
    params: Value,
    due: Due,
}

/// A node, and what it was sent.
pub(super) struct Session<'t> {
    spec: &'t ChainSpec,
    host: EngineHost,
    author: Author<'t>,
    known: B256Map<Standing>,
    /// Version of the newest fork choice.
    forkchoice: u8,
    /// Blocks that are no payloads.
    unsent: usize,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HeadBlock {
    hash: B256,
    state_root: B256,
}

impl<'t> Session<'t> {
    fn start(drive: &Drive<'t>, station: &Station) -> Result<Self, String> {
        let Drive { spec, genesis, genesis_hash, blocks } = *drive;
        let store = Store::memory(Faults::none());
        let first = Chain::init(&store, genesis).map_err(broken)?;
        if let Some(expected) = genesis_hash {
            equal("hash of the genesis", expected, first.hash)?;
        }
        let options = ChainOptions::following(station.mode, station.executor.threads());
        let chain = Chain::with_executor(store, spec.clone(), options, station.executor.clone());
        let mut chain = chain.map_err(broken)?;
        let mut author = Author::new(spec, station.executor.clone(), first.hash, &genesis.state);
        let is_worked = !genesis.header(B256::ZERO).difficulty.is_zero();
        let mut known = B256Map::default();
        known.insert(first.hash, Standing::Valid { is_worked });
        for block in blocks {
            if let (Ok(block), Expected::Valid(_)) = (&block.block, &block.expected)
                && is_of_work(block)
            {
                let imported = chain.import(block.clone()).map_err(broken)?;
                chain.set_head(imported.hash).map_err(broken)?;
                author.add(block);
                known.insert(imported.hash, Standing::Valid { is_worked: true });
            }
        }
        chain.flush().map_err(broken)?;
        let engine = EngineOptions { build_mode: Mode::Seq, ..EngineOptions::default() };
        let pool = PoolOptions::default();
        let host = EngineHost::start(&station.runtime, chain, spec, pool, engine);
        let host = host.map_err(|UsageError(message)| message)?;
        Ok(Self { spec, host, author, known, forkchoice: 1, unsent: 0 })
    }

    fn send_all(&mut self, blocks: &'t [TestBlock]) -> Result<(), String> {
        for (index, block) in blocks.iter().enumerate() {
            self.send(block).map_err(|why| format!("block {index}: {why}"))?;
        }
        Ok(())
    }

    fn send(&mut self, block: &'t TestBlock) -> Result<(), String> {
        let message = match (&block.wire, &block.block) {
            (Wire::Call(call), _) => Some(self.of_call(block, call)?),
            (Wire::Block { access_list }, Ok(sealed)) => {
                self.of_block(block, sealed, access_list.as_ref())?
            }
            (Wire::Block { .. }, Err(_)) => None,
        };
        let Some(message) = message else {
            self.unsent += 1;
            return Ok(());
        };
        let Message { versions, params, due } = message;
        let params = client::raw(&params).map_err(|error| error.to_string())?;
        let answer = self.host.client().new_payload(versions.new_payload, params);
        check(due, versions.new_payload, answer)?;
        match (due, &block.block) {
            (Due::Valid(hash), Ok(sealed)) => {
                self.known.insert(hash, Standing::Valid { is_worked: false });
                self.author.add(sealed);
                self.follow(versions.forkchoice, hash)
            }
            (Due::Invalid { latest_valid: Some(latest_valid) }, Ok(sealed)) => {
                let standing = Standing::Invalid { latest_valid };
                self.known.entry(sealed.hash()).or_insert(standing);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn of_call(&self, block: &TestBlock, call: &Call) -> Result<Message, String> {
        let Call { params, new_payload, forkchoice } = call;
        let new_payload = new_payload.ok_or("newPayloadVersion: missing")?;
        // The two go up together, but that the fork choice stays at 3 until Amsterdam.
        let usual = if new_payload > 3 { new_payload - 1 } else { new_payload };
        let versions =
            Versions { new_payload, forkchoice: forkchoice.unwrap_or(usual), get_payload: 0 };
        let due = match (&block.expected, &block.block) {
            (Expected::Error(code), _) => Due::Error(*code),
            (Expected::Valid(hash), _) => Due::Valid(*hash),
            // E4 to E6: found before the chain is looked at.
            (Expected::Invalid(_), Err(_)) => Due::Invalid { latest_valid: None },
            (Expected::Invalid(_), Ok(sealed)) => self.refusal(sealed),
        };
        Ok(Message { versions, params: params.clone(), due })
    }

    /// `None` if the block is no payload.
    fn of_block(
        &mut self,
        block: &TestBlock,
        sealed: &SealedBlock,
        access_list: Option<&Value>,
    ) -> Result<Option<Message>, String> {
        if is_of_work(sealed) {
            return Ok(None);
        }
        let header = &sealed.block().header;
        let versions = Versions::of(&self.spec.rules_at(header.number, header.timestamp));
        let beside = self.beside(sealed, access_list);
        let params = payload::new_payload(sealed, versions.new_payload, &beside);
        let due = match block.expected {
            Expected::Valid(hash) => {
                equal("hash", hash, sealed.hash())?;
                Due::Valid(hash)
            }
            Expected::Error(code) => Due::Error(code),
            // E7
            Expected::Invalid(_) if !payload::has_structure(header, versions.new_payload) => {
                Due::Error(INVALID_PARAMS)
            }
            Expected::Invalid(_) => self.refusal(sealed),
        };
        match (params, due) {
            (Some(params), due) => Ok(Some(Message { versions, params, due })),
            (None, Due::Valid(_)) => {
                let why = "a valid block, of which requests or access list are not what execution \
                           gives";
                Err(why.to_owned())
            }
            (None, _) => Ok(None),
        }
    }

    /// E10: an invalid block names its newest valid ancestor; zero if that is one of proof of work.
    fn refusal(&self, block: &SealedBlock) -> Due {
        let parent = block.block().header.parent_hash;
        let latest_valid = match self.known.get(&parent) {
            None => return Due::Open,
            Some(Standing::Valid { is_worked: true }) => B256::ZERO,
            Some(Standing::Valid { is_worked: false }) => parent,
            Some(Standing::Invalid { latest_valid }) => *latest_valid,
        };
        Due::Invalid { latest_valid: Some(latest_valid) }
    }

    /// What the header has hashes of: as the fixture says, or else as execution gives it.
    fn beside(&mut self, block: &SealedBlock, access_list: Option<&Value>) -> Beside {
        let header = &block.block().header;
        let (requests_hash, list_hash) = (header.requests_hash, header.block_access_list_hash);
        let requests =
            requests_hash.filter(|hash| *hash == EMPTY_REQUESTS_HASH).map(|_| Requests::default());
        let access_list = access_list.zip(list_hash).and_then(|(list, hash)| {
            let list: BlockAccessList = serde_json::from_value(list.clone()).ok()?;
            let rlp = Bytes::from(alloy_rlp::encode(list));
            (keccak256(&rlp) == hash).then_some(rlp)
        });
        let is_whole = requests.is_some() == requests_hash.is_some()
            && access_list.is_some() == list_hash.is_some();
        if is_whole {
            return Beside { requests, access_list };
        }
        let executed = self.author.beside(block).unwrap_or_default();
        Beside {
            requests: requests.or_else(|| requests_hash.and(executed.requests)),
            access_list: access_list.or_else(|| list_hash.and(executed.access_list)),
        }
    }

    /// Makes a block the head.
    fn follow(&mut self, version: u8, hash: B256) -> Result<(), String> {
        self.forkchoice = version;
        let method = format!("engine_forkchoiceUpdatedV{version}");
        let answer = self.host.client().forkchoice(version, hash, None);
        let followed = answer.map_err(|error| format!("{method}: {error}"))?;
        if !followed.payload_status.is_valid(hash) || followed.payload_id.is_some() {
            return Err(format!("{method}: expected VALID, found {followed:?}"));
        }
        equal("head after the fork choice", hash, self.host.engine().view().head().hash)
    }

    /// The node has this head, after a last fork choice if another block came last, and this state.
    pub(super) fn end_at(&mut self, hash: B256, state_root: B256) -> Result<(), String> {
        if self.host.engine().view().head().hash != hash && self.known.contains_key(&hash) {
            self.follow(self.forkchoice, hash)?;
        }
        self.check_head(hash, state_root)
    }

    /// Makes a call as it stands in a file, which must be answered with a head that is valid.
    pub(super) fn follow_as(
        &mut self,
        method: &str,
        params: &Value,
        hash: B256,
    ) -> Result<(), String> {
        let params = client::raw(params).map_err(|error| error.to_string())?;
        let answer = self.host.client().call::<client::Followed>(method, params);
        let followed = answer.map_err(|error| format!("{method}: {error}"))?;
        if followed.payload_status.is_valid(hash) {
            return Ok(());
        }
        Err(format!("{method}: expected VALID, found {followed:?}"))
    }

    /// Asks for the head over the same port.
    pub(super) fn check_head(&mut self, hash: B256, state_root: B256) -> Result<(), String> {
        let method = "eth_getBlockByNumber";
        let params = client::raw(&json!(["latest", false])).map_err(|error| error.to_string())?;
        let found = self.host.client().call::<HeadBlock>(method, params);
        let found = found.map_err(|error| format!("{method}: {error}"))?;
        equal("hash of the last block", hash, found.hash)?;
        equal("state root", state_root, found.state_root)
    }

    /// Ends the node, which must not have come upon a defect of its own.
    fn stop(self) -> Result<(), String> {
        let status = self.host.engine().status();
        self.host.stop().map_err(|UsageError(message)| broken(message))?;
        if status.parallel_differed > 0 {
            let count = status.parallel_differed;
            return Err(format!("{count} parallel runs gave another outcome than the sequential"));
        }
        match status.failed {
            Some(failure) => Err(broken(failure)),
            None => Ok(()),
        }
    }
}

/// Whether a block is one of proof of work.
fn is_of_work(block: &SealedBlock) -> bool {
    !block.block().header.difficulty.is_zero()
}

/// Compares an answer of `engine_newPayload` with what is due.
fn check(due: Due, version: u8, answer: Result<PayloadStatus, CallError>) -> Result<(), String> {
    let status = match (due, answer) {
        (Due::Error(expected), Err(CallError::Refused { code, .. })) if code == expected => {
            return Ok(());
        }
        (due, Err(error)) => return Err(format!("expected {due:?}, found {error}")),
        (_, Ok(status)) => status,
    };
    let is_due = match due {
        Due::Valid(hash) => status.is_valid(hash),
        Due::Invalid { latest_valid } => {
            // E5: the first version has a status for another hash.
            let is_other_hash =
                version == 1 && latest_valid.is_none() && status.status == "INVALID_BLOCK_HASH";
            (status.status == "INVALID" || is_other_hash)
                && status.latest_valid_hash == latest_valid
        }
        Due::Open => ["SYNCING", "ACCEPTED", "INVALID"].contains(&status.status.as_str()),
        Due::Error(_) => false,
    };
    if is_due { Ok(()) } else { Err(format!("expected {due:?}, found {status:?}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(status: &str, latest_valid_hash: Option<B256>) -> Result<PayloadStatus, CallError> {
        Ok(PayloadStatus { status: status.to_owned(), latest_valid_hash, validation_error: None })
    }

    fn refused(code: i32) -> Result<PayloadStatus, CallError> {
        Err(CallError::Refused { code, message: String::new() })
    }

    #[test]
    fn an_answer_is_the_one_that_is_due_or_the_case_fails() {
        let (one, two) = (B256::repeat_byte(1), B256::repeat_byte(2));
        let of = |latest_valid| Due::Invalid { latest_valid };
        let cases = [
            (Due::Valid(one), 3, status("VALID", Some(one)), true),
            (Due::Valid(one), 3, status("VALID", Some(two)), false),
            (Due::Valid(one), 3, status("SYNCING", None), false),
            (of(Some(one)), 3, status("INVALID", Some(one)), true),
            (of(Some(one)), 3, status("INVALID", None), false),
            (of(Some(one)), 3, status("SYNCING", None), false),
            (of(Some(one)), 3, refused(-32000), false),
            (of(None), 3, status("INVALID", None), true),
            (of(None), 1, status("INVALID_BLOCK_HASH", None), true),
            (of(None), 2, status("INVALID_BLOCK_HASH", None), false),
            (Due::Open, 2, status("SYNCING", None), true),
            (Due::Open, 2, status("VALID", Some(one)), false),
            (Due::Error(-32602), 4, refused(-32602), true),
            (Due::Error(-32602), 4, refused(-38005), false),
            (Due::Error(-32602), 4, status("INVALID", None), false),
            (Due::Error(-32602), 4, Err(CallError::Broken(String::new())), false),
        ];
        for (due, version, answer, is_good) in cases {
            let told = format!("{due:?} {version} {answer:?}");
            assert_eq!(check(due, version, answer).is_ok(), is_good, "{told}");
        }
    }
}

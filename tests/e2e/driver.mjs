// Takes nodes through forks in virtual time: Lodestar's Engine API client asks one node in turn for
// each payload, and every node must accept every block. Ends with an error at the first difference.
//
//   LODESTAR_PRESET=minimal node driver.mjs plan.json
//
// Prints a JSON object a slot, and at last one with the counts.
import {appendFileSync, readFileSync} from "node:fs";
import assert from "node:assert/strict";
import {setTimeout as sleep} from "node:timers/promises";
import kzgLibrary from "@crate-crypto/node-eth-kzg";
import {FAR_FUTURE_EPOCH} from "@lodestar/params";
import {keccak256} from "ethers";
import {BeaconChain, ZERO_HASH, epochOf, toHex, versionedHash} from "./beacon.mjs";
import {Transactions} from "./plan.mjs";
import {Sender, rpc} from "./sender.mjs";
// The package as a whole is not installed, so its index cannot be imported.
import {getExecutionEngineHttp} from "./node_modules/@lodestar/beacon-node/lib/execution/engine/index.js";

const BODIES_MAX = 16;
const INVALID = ["INVALID", "INVALID_BLOCK_HASH"];
const BLOB_GAS = 131_072;
const COMPOUNDING = 0x02;
const FULL_WITHDRAWAL_GWEI = 31_000_000_000n;

const plan = JSON.parse(readFileSync(process.argv[2], "utf8"));
const kzg = kzgLibrary.DasContextJs.create({usePrecomp: false});
const stop = new AbortController();

/** A node: its Engine API, its JSON-RPC, and a record of what was said on the former. */
function connect({name, engine: url, http}) {
  const levels = ["debug", "verbose", "info", "warn", "error"];
  const silent = Object.fromEntries(levels.map((level) => [level, () => {}]));
  const options = {urls: [url], jwtSecretHex: plan.jwt, retries: 0, retryDelay: 100, timeout: 30_000};
  const engine = getExecutionEngineHttp(options, {signal: stop.signal, metrics: null, logger: silent});
  const ask = engine.rpc.fetchWithRetries.bind(engine.rpc);
  engine.rpc.fetchWithRetries = async ({method, params}, settings) => {
    const result = await ask({method, params}, settings);
    const line = JSON.stringify({method, params: params.map((param) => param ?? null), result});
    appendFileSync(`${plan.folder}/${name}.jsonl`, line + "\n");
    return result;
  };
  return {name, http, engine, block: (tag) => rpc(http, "eth_getBlockByNumber", [tag, false])};
}

const nodes = plan.nodes.map(connect);
const genesisHash = (await nodes[0].block("0x0")).hash;
const sender = new Sender(plan.accounts, plan.nodes.map(({http}) => http), plan.chainId);
const owners = sender.accounts.map(({address}) => address);
const beacon = new BeaconChain({...plan, owners}, genesisHash);
const transactions = new Transactions(plan, sender, beacon, kzg);

/** The canonical chain, newest last. */
const chain = [beacon.genesis];
const counts = {};
const count = (what, more = 1) => (counts[what] = (counts[what] ?? 0) + more);

/** Asks a node to build on `parent` and gives what it built, once it is as it has to be. */
async function build({engine}, parent, slot, {attributes}) {
  const fork = beacon.fork(slot);
  const {safe, finalized} = beacon.checkpoints(parent);
  const id = await engine.notifyForkchoiceUpdate(fork, parent.hash, safe, finalized, attributes);
  await sleep(plan.buildMs);
  const built = await engine.getPayload(fork, id);
  const payload = built.executionPayload;
  assert.equal(toHex(payload.parentHash), parent.hash, "the parent");
  assert.equal(payload.blockNumber, parent.number + 1, "the number");
  assert.equal(payload.timestamp, attributes.timestamp, "the time");
  assert.equal(toHex(payload.prevRandao), toHex(attributes.prevRandao), "the randomness");
  assert.equal(toHex(payload.feeRecipient ?? []), attributes.suggestedFeeRecipient, "the receiver of fees");
  assert.deepEqual(payload.withdrawals.map(plain), attributes.withdrawals.map(plain), "the withdrawals");
  if (beacon.isFrom("deneb", slot)) checkBlobs(slot, payload, built.blobsBundle);
  return built;
}

const plain = ({index, validatorIndex, address, amount}) =>
  [index, validatorIndex, toHex(address), amount].join(" ");

/** The bundle of blobs is that of the payload's transactions, and its proofs hold. */
function checkBlobs(slot, payload, {commitments, blobs, proofs}) {
  const blobHashes = new Map(sender.sent.map((tx) => [tx.hash, tx.blobHashes]));
  const wanted = payload.transactions.flatMap((tx) => blobHashes.get(keccak256(tx)));
  assert.deepEqual(commitments.map((commitment) => toHex(versionedHash(commitment))), wanted, "blobs");
  if (!blobs.length) return;
  if (!beacon.isFrom("fulu", slot)) {
    assert(kzg.verifyBlobKzgProofBatch(blobs, commitments, proofs), "proofs of blobs");
    return;
  }
  const cells = blobs.flatMap((blob) => kzg.computeCells(blob));
  const perBlob = cells.length / blobs.length;
  assert.equal(proofs.length, cells.length, "proofs of cells");
  const repeated = cells.map((_, index) => commitments[Math.floor(index / perBlob)]);
  const indices = cells.map((_, index) => index % perBlob);
  assert(kzg.verifyCellKzgProofBatch(repeated, indices, cells, proofs), "proofs of cells");
}

/** Has a node execute a block, refuse a spoilt one, and follow the block as its head. */
async function follow({name, engine, block}, slot, head, {parentRoot}, built) {
  const fork = beacon.fork(slot);
  const {executionPayload, blobsBundle, executionRequests} = built;
  const hashes = blobsBundle?.commitments.map(versionedHash) ?? [];
  const judge = (payload) => engine.notifyNewPayload(fork, payload, hashes, parentRoot, executionRequests);
  const refused = await judge({...executionPayload, gasUsed: executionPayload.gasUsed + 1});
  assert(INVALID.includes(refused.status), `${name} finds a spoilt payload ${refused.status}`);
  const judged = await judge(executionPayload);
  assert.equal(judged.status, "VALID", `${name}: ${judged.validationError}`);
  assert.equal(judged.latestValidHash, head.hash, `${name}: the latest valid hash`);
  const {safe, finalized} = beacon.checkpoints(head);
  await engine.notifyForkchoiceUpdate(fork, head.hash, safe, finalized);
  const tags = {latest: head.hash, [`0x${head.number.toString(16)}`]: head.hash, safe, finalized};
  for (const [tag, hash] of Object.entries(tags)) {
    if (hash === ZERO_HASH) continue;
    assert.equal((await block(tag))?.hash, hash, `${name}: the block ${tag}`);
  }
}

let turn = 0;
for (let slot = 1; slot <= plan.slots; slot++) {
  if (plan.missed.includes(slot)) {
    count("missed slots");
    continue;
  }
  const depth = plan.reorgs[slot] ?? 0;
  if (depth) {
    chain.splice(-depth);
    count(`reorgs of depth ${depth}`);
  } else {
    transactions.sign(slot);
    await sender.offer();
  }
  const parent = chain.at(-1);
  const prepared = beacon.prepare(parent, slot);
  const builder = nodes[turn++ % nodes.length];
  const built = await build(builder, parent, slot, prepared);
  const head = beacon.extend(parent, slot, prepared, built);
  await Promise.all(nodes.map((node) => follow(node, slot, head, prepared, built)));
  chain.push(head);
  // What the abandoned blocks held is wanted again.
  if (depth) await sender.offerAgain();
  const {payload, state, number, hash} = head;
  console.log(JSON.stringify({
    slot,
    fork: beacon.fork(slot),
    number,
    hash,
    builder: builder.name,
    finalized: state.finalizedCheckpoint.epoch,
    transactions: payload.transactions.length,
    withdrawals: payload.withdrawals.length,
    blobs: built.blobsBundle?.commitments.length ?? 0,
  }));
}

// What came into the chain for good.
const first = (fork) => plan.forks[fork] ?? Infinity;
for (const {slot, payload, requests} of chain.slice(1)) {
  const fork = beacon.fork(slot);
  count(`blocks of ${fork}`);
  count("withdrawals", payload.withdrawals.length);
  if (payload.blobGasUsed) count(`blobs of ${fork}`, Number(payload.blobGasUsed) / BLOB_GAS);
  for (const [kind, list] of Object.entries(requests ?? {})) count(`requests: ${kind}`, list.length);
}
const head = chain.at(-1);
for (const node of nodes) {
  const missing = (await sender.missing(node.http)).map(({hash, type}) => ({hash, type}));
  assert.deepEqual(missing, [], `${node.name}: transactions without a receipt`);
  for (let from = 1; from <= head.number; from += BODIES_MAX) {
    await checkBodies(node, chain.slice(from, from + BODIES_MAX));
  }
}
for (const {type} of sender.sent) count(`transactions of type ${type}`);
for (const fork of ["deneb", "electra", "fulu"]) {
  if (epochOf(head.slot) > first(fork)) assert(counts[`blobs of ${fork}`] > 0, `no blobs in ${fork}`);
}
assert(counts.withdrawals > 0, "no withdrawals");
assert(head.state.finalizedCheckpoint.epoch >= epochOf(head.slot) - 3, "finality is late");
checkRequests(head.state, chain);
console.log(JSON.stringify({counts, finalized: head.state.finalizedCheckpoint.epoch}));
stop.abort();
process.exit(0);

/** The node gives the bodies of blocks by hash and by number. */
async function checkBodies({name, engine}, blocks) {
  const fork = beacon.fork(blocks[0].slot);
  const byHash = await engine.getPayloadBodiesByHash(fork, blocks.map(({hash}) => hash));
  const byNumber = await engine.getPayloadBodiesByRange(fork, blocks[0].number, blocks.length);
  const print = ({transactions, withdrawals}) => [transactions.map(toHex), withdrawals.map(plain)];
  const wanted = blocks.map(({payload}) => print(payload));
  assert.deepEqual(byHash.map(print), wanted, `${name}: bodies by hash`);
  assert.deepEqual(byNumber.map(print), wanted, `${name}: bodies by number`);
}

/** Requests of the execution layer had their effects on validators. */
function checkRequests(state, chain) {
  if (!(epochOf(plan.slots) > first("electra"))) return;
  const {joins, exits, compounds} = transactions.validators;
  const prefixOf = ({validators}, index) => validators.get(index).withdrawalCredentials[0];
  const isSwitched = ({state}) => prefixOf(state, compounds) === COMPOUNDING;
  assert(isSwitched({state}), "a consolidation request has no effect");
  assert.notEqual(state.validators.get(exits).exitEpoch, FAR_FUTURE_EPOCH, "a withdrawal request has no effect");
  assert.equal(state.validators.length, joins + 1, "a deposit request has no effect");
  const since = chain.findIndex(isSwitched) + 1;
  const paid = chain.slice(since).flatMap(({payload}) => payload.withdrawals);
  // A validator that compounds is paid only what it asks for.
  assert(paid.some(({validatorIndex}) => validatorIndex === compounds), "nothing was withdrawn in part");
  const isFull = ({validatorIndex, amount}) => validatorIndex === exits && amount > FULL_WITHDRAWAL_GWEI;
  assert(paid.some(isFull), "nothing was withdrawn in full");
}

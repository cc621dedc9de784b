// A beacon chain in one process and in virtual time: Lodestar's state transition makes and checks
// every block, and this file signs for all validators. Minimal preset, Capella from genesis.
import {createHash} from "node:crypto";
import {aggregateSignatures} from "@chainsafe/blst";
import {BitArray} from "@chainsafe/ssz";
import {createBeaconConfig, createChainForkConfig} from "@lodestar/config";
import {minimalChainConfig} from "@lodestar/config/configs";
import * as params from "@lodestar/params";
import * as st from "@lodestar/state-transition";
import {ssz, sszTypesFor} from "@lodestar/types";
// The package as a whole is not installed, so its index cannot be imported.
import {initDevState} from "./node_modules/@lodestar/beacon-node/lib/node/utils/state.js";

const {ForkSeq, SLOTS_PER_EPOCH} = params;
const GENESIS_VALIDATORS = 8;
const GENESIS_EXCESS_GWEI = 1e9;
const EXECUTION_CREDENTIALS = 0x01;
const MAX_ATTESTATIONS = 8;

export const ZERO_HASH = "0x" + "00".repeat(32);
export const toHex = (bytes) => "0x" + Buffer.from(bytes).toString("hex");
export const fromHex = (hex) => Uint8Array.from(Buffer.from(hex.slice(2), "hex"));
export const epochOf = (slot) => Math.floor(slot / SLOTS_PER_EPOCH);

/** Blob hash of a commitment. */
export function versionedHash(commitment) {
  const hash = createHash("sha256").update(commitment).digest();
  hash[0] = 1;
  return hash;
}

export class BeaconChain {
  /** `owners` are the addresses that validators pay out to; the ninth may join by a deposit. */
  constructor({forks, genesisTime, slotSeconds, chainId, owners}, genesisHash) {
    const chainConfig = {
      ...minimalChainConfig,
      ALTAIR_FORK_EPOCH: 0,
      BELLATRIX_FORK_EPOCH: 0,
      TERMINAL_TOTAL_DIFFICULTY: 0n,
      SECONDS_PER_SLOT: slotSeconds,
      SLOT_DURATION_MS: slotSeconds * 1000,
      DEPOSIT_CHAIN_ID: chainId,
      DEPOSIT_NETWORK_ID: chainId,
      // So that requests by validators have effects within the run.
      SHARD_COMMITTEE_PERIOD: 0,
      MIN_VALIDATOR_WITHDRAWABILITY_DELAY: 1,
    };
    for (const [fork, epoch] of Object.entries(forks)) {
      chainConfig[`${fork.toUpperCase()}_FORK_EPOCH`] = epoch;
    }
    this.genesisTime = genesisTime;
    this.slotSeconds = slotSeconds;
    this.owners = owners;
    this.keys = st.interopSecretKeys(GENESIS_VALIDATORS + 1);
    this.publicKeys = this.keys.map((key) => key.toPublicKey().toBytes());
    this.keyOf = new Map(this.keys.map((key, index) => [toHex(this.publicKeys[index]), key]));
    const state = this.genesisState(createChainForkConfig(chainConfig), genesisHash);
    this.config = createBeaconConfig(chainConfig, state.genesisValidatorsRoot);
    this.genesis = {
      slot: 0,
      number: 0,
      hash: genesisHash,
      state: st.createCachedBeaconState(state, {config: this.config, pubkeyCache: st.createPubkeyCache()}),
    };
    /** Payload hash by root of the beacon block. */
    this.hashes = new Map();
  }

  /** Validators pay out to execution addresses, and have a little more than they may stake. */
  genesisState(config, genesisHash) {
    const eth1BlockHash = fromHex(genesisHash);
    const state = initDevState(config, GENESIS_VALIDATORS, {genesisTime: this.genesisTime, eth1BlockHash});
    for (let index = 0; index < GENESIS_VALIDATORS; index++) {
      state.validators.get(index).withdrawalCredentials = this.credentials(index);
      state.balances.set(index, state.balances.get(index) + GENESIS_EXCESS_GWEI);
    }
    state.genesisValidatorsRoot = state.validators.hashTreeRoot();
    state.commit();
    return sszTypesFor(config.getForkName(0)).BeaconState.deserializeToViewDU(state.serialize());
  }

  credentials(index) {
    const credentials = new Uint8Array(32);
    credentials[0] = EXECUTION_CREDENTIALS;
    credentials.set(fromHex(this.owners[index]), 12);
    return credentials;
  }

  fork(slot) {
    return this.config.getForkName(slot);
  }

  isFrom(fork, slot) {
    return ForkSeq[this.fork(slot)] >= ForkSeq[fork];
  }

  /** What the payload at `slot` on `parent` has to be built from. */
  prepare(parent, slot) {
    const state = st.processSlots(parent.state, slot);
    const parentRoot = ssz.phase0.BeaconBlockHeader.hashTreeRoot(state.latestBlockHeader.toValue());
    this.hashes.set(toHex(parentRoot), parent.hash);
    const attributes = {
      timestamp: this.genesisTime + slot * this.slotSeconds,
      prevRandao: state.randaoMixes.get(epochOf(slot) % params.EPOCHS_PER_HISTORICAL_VECTOR),
      suggestedFeeRecipient: "0x" + "fe".repeat(19) + slot.toString(16).padStart(2, "0"),
      withdrawals: st.getExpectedWithdrawals(ForkSeq[this.fork(slot)], state).expectedWithdrawals,
    };
    if (this.isFrom("deneb", slot)) attributes.parentBeaconBlockRoot = parentRoot;
    return {state, parentRoot, attributes};
  }

  /** The block that a payload makes, executed by the beacon chain's rules. */
  extend(parent, slot, {state, parentRoot}, {executionPayload, blobsBundle, executionRequests}) {
    const types = sszTypesFor(this.fork(slot));
    const proposer = state.epochCtx.getBeaconProposer(slot);
    const body = types.BeaconBlockBody.defaultValue();
    body.randaoReveal = this.sign(
      this.keys[proposer], ssz.Epoch, epochOf(slot), params.DOMAIN_RANDAO, slot, slot,
    ).toBytes();
    body.eth1Data = state.eth1Data.toValue();
    body.attestations = this.attestations(state, parent.slot, slot);
    body.syncAggregate = this.syncAggregate(state, slot);
    body.executionPayload = executionPayload;
    if (this.isFrom("deneb", slot)) body.blobKzgCommitments = blobsBundle.commitments;
    if (this.isFrom("electra", slot)) body.executionRequests = executionRequests;
    const message = {slot, proposerIndex: proposer, parentRoot, stateRoot: new Uint8Array(32), body};
    const post = st.stateTransition(parent.state, {message, signature: new Uint8Array(96)}, {
      executionPayloadStatus: st.ExecutionPayloadStatus.valid,
      dataAvailabilityStatus: st.DataAvailabilityStatus.Available,
      verifyStateRoot: false,
      verifyProposer: false,
      verifySignatures: true,
    });
    message.stateRoot = post.hashTreeRoot();
    const hash = toHex(executionPayload.blockHash);
    this.hashes.set(toHex(types.BeaconBlock.hashTreeRoot(message)), hash);
    const number = executionPayload.blockNumber;
    return {slot, number, hash, state: post, payload: executionPayload, requests: executionRequests};
  }

  /** Hashes of the justified and the finalized payload as a block has them; zero before there are. */
  checkpoints({state}) {
    const hashOf = ({epoch, root}) => (epoch ? this.hashes.get(toHex(root)) : ZERO_HASH);
    return {safe: hashOf(state.currentJustifiedCheckpoint), finalized: hashOf(state.finalizedCheckpoint)};
  }

  sign(key, type, value, domain, stateSlot, slot) {
    return key.sign(st.computeSigningRoot(type, value, this.config.getDomain(stateSlot, domain, slot)));
  }

  /** Of every validator, for each slot from the parent's on. */
  attestations(state, parentSlot, slot) {
    const first = Math.max(parentSlot, slot - MAX_ATTESTATIONS);
    const slots = Array.from({length: slot - first}, (_, index) => first + index);
    return slots.flatMap((at) => this.attestationsOf(state, at, slot));
  }

  attestationsOf(state, at, slot) {
    const epoch = epochOf(at);
    const source = epoch === epochOf(slot)
      ? state.currentJustifiedCheckpoint
      : state.previousJustifiedCheckpoint;
    const target = {epoch, root: st.getBlockRoot(state, epoch)};
    const beaconBlockRoot = st.getBlockRootAtSlot(state, at);
    const attest = (index, members) => {
      const data = {slot: at, index, beaconBlockRoot, source: source.toValue(), target};
      const {AttestationData} = ssz.phase0;
      const signatures = members.map((member) =>
        this.sign(this.keys[member], AttestationData, data, params.DOMAIN_BEACON_ATTESTER, slot, at));
      return {
        aggregationBits: BitArray.fromBoolArray(members.map(() => true)),
        data,
        signature: aggregateSignatures(signatures).toBytes(),
      };
    };
    const count = state.epochCtx.getCommitteeCountPerSlot(epoch);
    const indices = [...Array(count).keys()];
    const committees = indices.map((index) => [...state.epochCtx.getBeaconCommittee(at, index)]);
    if (!this.isFrom("electra", slot)) return committees.map((members, index) => attest(index, members));
    const members = committees.flat();
    // With an uneven number of validators a slot may have none.
    if (!members.length) return [];
    const present = [...Array(params.MAX_COMMITTEES_PER_SLOT).keys()].map((index) => index < count);
    return [{...attest(0, members), committeeBits: BitArray.fromBoolArray(present)}];
  }

  syncAggregate(state, slot) {
    const root = st.getBlockRootAtSlot(state, slot - 1);
    const keys = state.currentSyncCommittee.pubkeys.getAllReadonly().map((key) => this.keyOf.get(toHex(key)));
    const signatures = keys.map((key) =>
      this.sign(key, ssz.Root, root, params.DOMAIN_SYNC_COMMITTEE, slot, slot - 1));
    return {
      syncCommitteeBits: BitArray.fromBoolArray(signatures.map(() => true)),
      syncCommitteeSignature: aggregateSignatures(signatures).toBytes(),
    };
  }

  /** Data of the event by which the ninth validator joins. */
  depositEvent(index) {
    const amount = params.MIN_ACTIVATION_BALANCE;
    const deposit = {pubkey: this.publicKeys[index], withdrawalCredentials: this.credentials(index), amount};
    const version = this.config.GENESIS_FORK_VERSION;
    const domain = st.computeDomain(params.DOMAIN_DEPOSIT, version, new Uint8Array(32));
    const root = st.computeSigningRoot(ssz.phase0.DepositMessage, deposit, domain);
    const signature = this.keys[index].sign(root).toBytes();
    const number = (value) => ssz.UintBn64.serialize(BigInt(value));
    const {pubkey, withdrawalCredentials} = deposit;
    const fields = [pubkey, withdrawalCredentials, number(amount), signature, number(index)];
    // ABI: an offset for each field, then length and padded bytes of each.
    const word = (value) => value.toString(16).padStart(64, "0");
    const tails = fields.map((field) => {
      const digits = 64 * Math.ceil(field.length / 32);
      return word(field.length) + Buffer.from(field).toString("hex").padEnd(digits, "0");
    });
    let offset = 32 * fields.length;
    const heads = tails.map((tail) => {
      const head = word(offset);
      offset += tail.length / 2;
      return head;
    });
    return "0x" + [...heads, ...tails].join("");
  }
}

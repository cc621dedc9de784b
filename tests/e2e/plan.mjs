// Which transactions a chain in virtual time carries, slot by slot: all types that a fork allows,
// blobs, and the requests that validators make through system contracts.
import {createHash} from "node:crypto";
import {hashAuthorization} from "ethers";
import {toHex} from "./beacon.mjs";

const WITHDRAWALS = "0x00000961ef480eb55e80d19ad83579a64c007002";
const CONSOLIDATIONS = "0x0000bbddc7ce488642fb579f8b00f3a590007251";
const RECIPIENT = "0x" + "ab".repeat(20);
const REQUEST_FEE = 1_000n;
const BLOB_BYTES = 131_072;
const FIELD_BYTES = 32;
const QUIET_SLOTS = 4;

/** Who sends what; 0 to 7 own the validators of these numbers, and 8 the one that joins. */
const TRANSFERS = 9;
const CALLS = 8;
const BLOBS = 6;
const DELEGATES = 5;
const DELEGATED = 4;

export class Transactions {
  constructor(plan, sender, beacon, kzg) {
    Object.assign(this, {plan, sender, beacon, kzg});
    this.validators = {compounds: 0, moves: 1, exits: 7, joins: 8};
  }

  /** Signs what is sent before the block at `slot`. */
  sign(slot) {
    const {sender, plan} = this;
    // The last slots are left to what is pending.
    if (slot > plan.slots - QUIET_SLOTS) return;
    const type = slot % 3;
    const slots = {accessList: [{address: plan.counter, storageKeys: ["0x" + "00".repeat(32)]}]};
    const list = type > 0 ? slots : {};
    sender.sign(TRANSFERS, type, {...list, to: RECIPIENT, value: 1n});
    sender.sign(CALLS, type, {...list, to: plan.counter, data: plan.selectors["both()"]});
    if (slot % 9 === 3) sender.sign(TRANSFERS, 2, {data: plan.creation, gasLimit: 1_000_000n});
    if (this.beacon.isFrom("deneb", slot) && slot % 3 === 1) this.signBlobs(slot);
    if (this.beacon.isFrom("electra", slot)) this.signRequests(slot - 8 * plan.forks.electra);
  }

  /** One or two blobs, with the proofs that the pools want in this fork. */
  signBlobs(slot) {
    const {kzg} = this;
    const cells = this.beacon.isFrom("fulu", slot);
    const blobs = Array.from({length: 1 + (slot % 2)}, (_, index) => {
      const data = makeBlob(`${slot} ${index}`);
      const commitment = kzg.blobToKzgCommitment(data);
      const proof = cells
        ? Buffer.concat(kzg.computeCellsAndKzgProofs(data).proofs)
        : kzg.computeBlobKzgProof(data, commitment);
      return {data: toHex(data), commitment: toHex(commitment), proof: toHex(proof)};
    });
    const fields = {to: RECIPIENT, maxFeePerBlobGas: 10n ** 10n, blobs};
    this.sender.sign(BLOBS, 3, cells ? {...fields, blobWrapperVersion: 1} : fields);
  }

  /** What happens once, so many slots after Electra; pools may go by the fork of their head. */
  signRequests(slots) {
    const {sender, plan, beacon, validators} = this;
    const {compounds, moves, exits, joins} = validators;
    const key = (index) => toHex(beacon.publicKeys[index]).slice(2);
    const gwei = (amount) => amount.toString(16).padStart(16, "0");
    const request = (from, to, data) =>
      sender.sign(from, 2, {to, data: "0x" + data, value: REQUEST_FEE, gasLimit: 400_000n});
    const once = {
      2: () => {
        this.signDelegation();
        request(compounds, CONSOLIDATIONS, key(compounds) + key(compounds));
      },
      3: () => {
        request(exits, WITHDRAWALS, key(exits) + gwei(0n));
        sender.sign(joins, 2, {to: plan.depositContract, data: beacon.depositEvent(joins)});
      },
      4: () => {
        request(compounds, WITHDRAWALS, key(compounds) + gwei(10n ** 9n));
        request(moves, CONSOLIDATIONS, key(moves) + key(compounds));
      },
      6: () => {
        const {address} = sender.accounts[DELEGATED];
        sender.sign(DELEGATES, 2, {to: address, data: plan.selectors["both()"]});
      },
    };
    once[slots]?.();
  }

  /** One account takes the counter's code (EIP-7702); another sends the transaction. */
  signDelegation() {
    const {sender, plan} = this;
    const signer = sender.accounts[DELEGATED];
    const tuple = {address: plan.counter, nonce: signer.nonce++, chainId: plan.chainId};
    const authorizationList = [{...tuple, signature: signer.key.sign(hashAuthorization(tuple))}];
    sender.sign(DELEGATES, 4, {to: RECIPIENT, authorizationList});
  }
}

/** A blob that `seed` decides; each of its field elements is below the modulus. */
function makeBlob(seed) {
  const blob = new Uint8Array(BLOB_BYTES);
  for (let at = 0; at < BLOB_BYTES; at += FIELD_BYTES) {
    blob.set(createHash("sha256").update(`${seed} ${at}`).digest().subarray(1), at + 1);
  }
  return blob;
}

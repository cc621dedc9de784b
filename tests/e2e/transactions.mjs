// Sends transactions to nodes until SIGINT, then waits until each has a receipt and its effect is
// in the state. Exit code 0 if so.
//
//   node transactions.mjs plan.json
//
// Nodes may be stopped meanwhile; what they forget is offered again.
import {readFileSync, writeFileSync} from "node:fs";
import {setTimeout as sleep} from "node:timers/promises";
import {Sender, isAway, rpc} from "./sender.mjs";

const SETTLE_MS = 90_000;
const POLL_MS = 1_000;
const AGAIN_MS = 5_000;
const RECIPIENT = "0x" + "ab".repeat(20);
const DEPLOY_EVERY = 20;

const plan = JSON.parse(readFileSync(process.argv[2], "utf8"));
const {counter, selectors, types} = plan;
const sender = new Sender(plan.accounts, plan.urls, plan.chainId);
let asked = false;
process.on("SIGINT", () => (asked = true));

const sent = {};
let transfers = 0;
let calls = 0;

/** One more transaction: each type in turn, as a transfer, a call, and now and then a contract. */
function sign(round) {
  const type = types[round % types.length];
  const account = round % sender.accounts.length;
  sent[type] = (sent[type] ?? 0) + 1;
  const slots = [{address: counter, storageKeys: ["0x" + "00".repeat(32)]}];
  const list = type > 0 ? {accessList: slots} : {};
  if (round % DEPLOY_EVERY === DEPLOY_EVERY - 1) {
    sender.sign(account, type, {...list, data: plan.creation, gasLimit: 1_000_000n});
  } else if (Math.floor(round / types.length) % 2) {
    calls++;
    sender.sign(account, type, {...list, to: counter, data: selectors["increment()"]});
  } else {
    transfers++;
    sender.sign(account, type, {...list, to: RECIPIENT, value: 1n});
  }
}

let offeredAt = Date.now();

/** Offers what is new, and at times all that is pending; nodes may be away, but not refuse. */
async function offer() {
  try {
    if (Date.now() - offeredAt > AGAIN_MS) {
      offeredAt = Date.now();
      await sender.offerAgain();
    }
    await sender.offer();
  } catch (error) {
    if (!isAway(error)) throw error;
    console.log(`away: ${error.cause?.message ?? error.message}`);
  }
}

for (let round = 0; !asked; round++) {
  sign(round);
  await offer();
  await sleep(plan.everyMs);
}

for (const url of plan.urls) {
  const end = Date.now() + SETTLE_MS;
  for (;;) {
    const missing = await sender.missing(url);
    if (!missing.length) break;
    if (Date.now() > end) {
      const list = missing.map(({hash, type, from, nonce}) => `${hash}, type ${type}, ${from} ${nonce}`);
      throw new Error(`${url} has no receipts of ${list.length}:\n${list.join("\n")}`);
    }
    await sleep(POLL_MS);
    await offer();
  }
  const total = await rpc(url, "eth_call", [{to: counter, data: selectors["total()"]}, "latest"]);
  const balance = await rpc(url, "eth_getBalance", [RECIPIENT, "latest"]);
  if (BigInt(total) !== BigInt(calls)) throw new Error(`${url}: ${calls} calls are counted as ${total}`);
  if (BigInt(balance) !== BigInt(transfers)) throw new Error(`${url}: ${balance} of ${transfers} wei`);
}
writeFileSync(plan.report, JSON.stringify(sent));
console.log(`all is in the chain; by type: ${JSON.stringify(sent)}`);

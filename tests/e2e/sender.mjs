// Signs transactions, offers them to nodes, and follows them into the chain.
import {readFileSync} from "node:fs";
import {SigningKey, Transaction} from "ethers";

const GWEI = 10n ** 9n;
const CALL_TIMEOUT_MS = 30_000;

export async function rpc(url, method, params = []) {
  const response = await fetch(url, {
    method: "POST",
    headers: {"Content-Type": "application/json"},
    body: JSON.stringify({jsonrpc: "2.0", id: 1, method, params}),
    signal: AbortSignal.timeout(CALL_TIMEOUT_MS),
  });
  const answer = await response.json();
  if (answer.error) throw new RpcError(method, answer.error);
  return answer.result;
}

/** The node answered, and with an error. */
export class RpcError extends Error {
  constructor(method, {code, message}) {
    super(`${method}: ${message} (${code})`);
    this.code = code;
  }
}

/** Whether nobody answered, as while a node is restarted. */
export const isAway = (error) => error instanceof TypeError || error.name === "TimeoutError";

export class Sender {
  /** `urls` are the nodes that get every transaction. */
  constructor(file, urls, chainId) {
    this.accounts = JSON.parse(readFileSync(file, "utf8")).map(({address, key}) => ({
      address,
      key: new SigningKey(key),
      nonce: 0,
    }));
    this.chainId = chainId;
    this.offered = new Map(urls.map((url) => [url, new Set()]));
    this.sent = [];
  }

  /** Signs what account `index` sends next, without offering it yet. */
  sign(index, type, fields) {
    const account = this.accounts[index];
    const fees = type < 2
      ? {gasPrice: 20n * GWEI}
      : {maxFeePerGas: 20n * GWEI, maxPriorityFeePerGas: GWEI};
    const tx = Transaction.from({
      type, chainId: this.chainId, nonce: account.nonce++, gasLimit: 100_000n, ...fees, ...fields,
    });
    tx.signature = account.key.sign(tx.unsignedHash);
    const {hash, nonce, serialized: raw, blobVersionedHashes} = tx;
    const signed = {
      from: account.address, nonce, hash, raw, type, blobHashes: blobVersionedHashes ?? [],
    };
    this.sent.push(signed);
    return signed;
  }

  /** Offers to each node what it was not offered; a node that does not answer gets it next time. */
  async offer() {
    for (const [url, offered] of this.offered) {
      for (const tx of this.sent) {
        if (offered.has(tx.hash)) continue;
        const hash = await rpc(url, "eth_sendRawTransaction", [tx.raw]).catch(async (error) => {
          // The node may have it: from another one, from a block that left its chain, or since it
          // went away before it could say that it had taken it.
          const known = /already known/i.test(error.message) || (/nonce/i.test(error.message) &&
            await rpc(url, "eth_getTransactionByHash", [tx.hash]));
          if (known) return tx.hash;
          error.message += ` for ${tx.hash}, type ${tx.type}`;
          throw error;
        });
        if (hash !== tx.hash) throw new Error(`${url} gives ${hash} for ${tx.hash}`);
        offered.add(tx.hash);
      }
    }
  }

  /** Has everything that is not in a node's chain offered to it again. */
  async offerAgain() {
    for (const url of this.offered.keys()) {
      const counts = new Map();
      for (const {address} of this.accounts) {
        counts.set(address, Number(await rpc(url, "eth_getTransactionCount", [address, "latest"])));
      }
      const included = this.sent.filter((tx) => tx.nonce < counts.get(tx.from));
      this.offered.set(url, new Set(included.map((tx) => tx.hash)));
    }
  }

  /** Checks the receipts at a node against its chain, and gives the transactions without one. */
  async missing(url) {
    const missing = [];
    for (const tx of this.sent) {
      const receipt = await rpc(url, "eth_getTransactionReceipt", [tx.hash]);
      if (!receipt) {
        missing.push(tx);
        continue;
      }
      const block = await rpc(url, "eth_getBlockByNumber", [receipt.blockNumber, false]);
      const problems = [
        receipt.status !== "0x1" && `status ${receipt.status}`,
        Number(receipt.type) !== tx.type && `type ${receipt.type}`,
        receipt.from.toLowerCase() !== tx.from && `from ${receipt.from}`,
        receipt.blockHash !== block?.hash && `block ${receipt.blockHash} is not canonical`,
        !block?.transactions.includes(tx.hash) && "its block does not list it",
      ].filter(Boolean);
      if (problems.length) throw new Error(`${url}: ${tx.hash}, type ${tx.type}: ${problems.join(", ")}`);
    }
    return missing;
  }
}

// The hands of viem, as protocols.mjs wants them: for scripts that sign by themselves, and for
// Hardhat, where the node signs. And what they tell of events.
import assert from "node:assert/strict";
import {
  createPublicClient,
  encodeFunctionData,
  getAddress,
  getContract,
  parseEventLogs,
  webSocket,
} from "viem";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { ETHER, did, isAnvil, plan, until } from "./common.mjs";
import { SWAP_GAS } from "./protocols.mjs";

const POLL_MS = 100;

export function viemHands(client, wallet) {
  const { account } = wallet;
  const of = ({ abi, address }, functionName, args) => ({ abi, address, functionName, args });
  const at = (abi, address) => {
    const both = { public: client, wallet };
    return getContract({ abi, address: getAddress(address), client: both });
  };
  const mined = (hash) => client.waitForTransactionReceipt({ hash });
  return {
    me: getAddress(account.address),
    at,
    address: (contract) => contract.address,
    async deploy({ abi, bytecode }, ...args) {
      const receipt = await mined(await wallet.deployContract({ abi, bytecode, args }));
      assert.equal(receipt.status, "success");
      return at(abi, receipt.contractAddress);
    },
    read: (contract, name, ...args) => client.readContract(of(contract, name, args)),
    simulate: async (contract, name, ...args) => {
      const { result } = await client.simulateContract({ ...of(contract, name, args), account });
      return result;
    },
    estimate: (contract, name, ...args) =>
      client.estimateContractGas({ ...of(contract, name, args), account }),
    async send(contract, name, args, options = {}) {
      const call = { ...of(contract, name, args), ...options };
      const receipt = await mined(await wallet.writeContract(call));
      const { transactionHash: hash, blockHash: block, gasUsed, logs } = receipt;
      return { hash, block, gasUsed, logs, ok: receipt.status === "success" };
    },
    events: ({ abi }, logs, eventName) =>
      parseEventLogs({ abi, logs, eventName }).map(({ args }) => args),
    encode: ({ abi }, functionName, ...args) => encodeFunctionData({ abi, functionName, args }),
    signer() {
      const { address, sign } = privateKeyToAccount(generatePrivateKey());
      return { address, sign: (hash) => sign({ hash }) };
    },
    why: (error) => `${error.details} ${error.message}`,
    request: (method, ...params) => client.request({ method, params }),
  };
}

// What is told of swaps at a market by eth_getLogs, by filters and by a WebSocket's subscriptions,
// across a reorg.
export async function watched(client, hands, { name, pool, router, method, args }) {
  const options = { cacheTime: 0, pollingInterval: POLL_MS, chain: client.chain };
  const transport = webSocket(plan.ws, { reconnect: false });
  const socket = createPublicClient({ ...options, transport });
  const swap = async (...given) => {
    const receipt = await hands.send(router, method, args(...given), { gas: SWAP_GAS });
    assert(receipt.ok);
    return receipt;
  };
  const [bySocket, byFilter, heads] = [[], [], []];
  const event = { address: pool.address, abi: pool.abi, eventName: "Swap" };
  const stops = [
    socket.watchContractEvent({ ...event, onLogs: (logs) => bySocket.push(...logs) }),
    client.watchContractEvent({
      ...event,
      poll: true,
      pollingInterval: POLL_MS,
      onLogs: (logs) => byFilter.push(...logs),
    }),
  ];
  const { unsubscribe } = await socket.transport.subscribe({
    params: ["newHeads"],
    onData: ({ result }) => heads.push(result),
    onError: assert.fail,
  });
  const filter = await client.createContractEventFilter(event);
  await socket.getBlockNumber();
  // A watch says nothing of when it began.
  await new Promise((done) => setTimeout(done, 500));
  const has = (logs, { hash }, removed = false) =>
    logs.find((log) => log.transactionHash === hash && log.removed === removed);

  const first = await swap(ETHER);
  await until("the subscription tells the swap", () => has(bySocket, first));
  await until("the filter tells the swap", () => has(byFilter, first));
  await until("newHeads tells the block", () => heads.find(({ hash }) => hash === first.block));
  assert(has(await client.getFilterChanges({ filter }), first));
  const logs = await client.getContractEvents({ ...event, blockHash: first.block });
  assert.deepEqual([logs.length, logs[0].transactionHash], [1, first.hash]);

  const snapshot = await hands.request("evm_snapshot");
  const lost = await swap(2n * ETHER);
  await until("the subscription tells what will be lost", () => has(bySocket, lost));
  await client.getFilterChanges({ filter });
  assert.equal(await hands.request("evm_revert", snapshot), true);
  const kept = await swap(3n * ETHER, 0n, true);
  assert.notEqual(kept.block, lost.block);
  await until("the subscription tells the new swap", () => has(bySocket, kept));
  await assert.rejects(client.getTransactionReceipt({ hash: lost.hash }), {
    name: "TransactionReceiptNotFoundError",
  });
  const anvil = isAnvil(await hands.request("web3_clientVersion"));
  if (!anvil) {
    await until("the subscription tells what was lost", () => has(bySocket, lost, true));
    const told = await client.getFilterChanges({ filter });
    assert(has(told, lost, true) && has(told, kept));
    await until("newHeads tells both blocks", () =>
      [lost, kept].every(({ block }) => heads.some(({ hash }) => hash === block)),
    );
  }
  assert.equal(await client.uninstallFilter({ filter }), true);
  stops.forEach((stop) => stop());
  await unsubscribe();
  // An open socket keeps a program from its end; this is answered after what was said before.
  await socket.getBlockNumber();
  (await socket.transport.getRpcClient()).close();
  did(
    `${name}: swaps read by eth_getLogs, filter and subscription; a reorg: the new one was told` +
      (anvil ? "" : ", and the lost one as removed"),
  );
}

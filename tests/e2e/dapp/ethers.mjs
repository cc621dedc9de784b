// Tokens, Uniswap and ERC-4337 through ethers 6: deployed, used, watched across a reorg, failing,
// estimated, simulated and traced.
import assert from "node:assert/strict";
import { ethers } from "ethers";
import { ETHER, MNEMONIC, did, frames, isAnvil, plan, until } from "./common.mjs";
import {
  DEADLINE,
  SUPPLY,
  SWAP_GAS,
  entryPoint,
  swapped,
  tokens,
  uniswapV2,
  uniswapV3,
} from "./protocols.mjs";

const SWAP = ethers.id("Swap(address,uint256,uint256,uint256,uint256,address)");

// By default an answer is used again for a quarter of a second, also across a reorg.
const provider = new ethers.JsonRpcProvider(plan.url, undefined, { cacheTimeout: -1 });
provider.pollingInterval = 100;
const socket = new ethers.WebSocketProvider(plan.ws);
const version = await provider.send("web3_clientVersion", []);
const { chainId } = await provider.getNetwork();
const wallet = ethers.HDNodeWallet.fromPhrase(MNEMONIC).connect(provider);
const owner = wallet.address;
const signer = new ethers.NonceManager(wallet);
did(`ethers ${ethers.version} on chain ${chainId} of ${version}`);

// As protocols.mjs wants them. A contract's function goes by `getFunction`, as ethers' contracts
// have methods of their own, such as `getAddress`.
const hands = {
  me: owner,
  at: (abi, address) => new ethers.Contract(address, abi, signer),
  address: (contract) => contract.target,
  async deploy({ abi, bytecode }, ...args) {
    const contract = await new ethers.ContractFactory(abi, bytecode, signer).deploy(...args);
    return contract.waitForDeployment();
  },
  read: (contract, name, ...args) => contract.getFunction(name)(...args),
  simulate: (contract, name, ...args) => contract.getFunction(name).staticCall(...args),
  estimate: (contract, name, ...args) => contract.getFunction(name).estimateGas(...args),
  async send(contract, name, args, { value, gas } = {}) {
    const sent = await contract.getFunction(name)(...args, { value, gasLimit: gas });
    // Unlike `sent.wait`, this does not reject where it failed.
    const receipt = await provider.waitForTransaction(sent.hash);
    const { hash, blockHash: block, gasUsed, logs, status } = receipt;
    return { hash, block, gasUsed, logs, ok: status === 1 };
  },
  events: (contract, logs, name) =>
    logs
      .map((log) => contract.interface.parseLog(log))
      .filter((event) => event?.name === name)
      .map(({ args }) => args.toObject()),
  encode: (contract, name, ...args) => contract.interface.encodeFunctionData(name, args),
  signer() {
    const { address, signingKey } = ethers.Wallet.createRandom();
    return { address, sign: (hash) => signingKey.sign(hash).serialized };
  },
  why: ({ reason, revert }) => `${reason} ${revert?.name} ${revert?.args}`,
  request: (method, ...params) => provider.send(method, params),
};

// A snapshot takes the wallet's nonce back, too.
async function revertTo(snapshot) {
  assert.equal(await provider.send("evm_revert", [snapshot]), true);
  signer.reset();
}

const { coins, faults } = await tokens(hands);
const [red, blue] = coins;
const v2 = await uniswapV2(hands, coins);
const { weth, factory, router, pool: pair } = v2;
assert.notEqual(await provider.getCode(pair), "0x");
assert.equal(await pair.balanceOf(owner), (await pair.totalSupply()) - 1000n);
await swapped(hands, v2);
await swapped(hands, await uniswapV3(hands, coins));
await entryPoint(hands, red, faults);

const ethRequest = await router.addLiquidityETH.populateTransaction(
  red,
  ETHER,
  0,
  0,
  owner,
  DEADLINE,
  { value: ETHER },
);
await (await signer.sendTransaction(ethRequest)).wait();
assert.equal(await weth.balanceOf(await factory.getPair(red, weth)), ETHER);
did("made a pool with ether");

const spender = ethers.Wallet.createRandom().address;
const domain = { name: "RED", version: "1", chainId, verifyingContract: red.target };
const fields = ["owner", "spender", "value", "nonce", "deadline"];
const types = {
  Permit: fields.map((name) => ({
    name,
    type: ["owner", "spender"].includes(name) ? "address" : "uint256",
  })),
};
const permit = { owner, spender, value: 5n, nonce: await red.nonces(owner), deadline: DEADLINE };
const signature = ethers.Signature.from(await wallet.signTypedData(domain, types, permit));
await (
  await red.permit(owner, spender, 5n, DEADLINE, signature.v, signature.r, signature.s)
).wait();
assert.equal(await red.allowance(owner, spender), 5n);
did("allowed by an EIP-2612 signature");

// --- events, by filter and by subscription, across a reorg ---

const swap = (amount, path = [red, blue]) =>
  router.swapExactTokensForTokens(amount, 0n, path, owner, DEADLINE, { gasLimit: SWAP_GAS });
const bySocket = [];
const byFilter = [];
await socket.on({ address: pair.target, topics: [SWAP] }, (log) => bySocket.push(log));
await provider.on({ address: pair.target, topics: [SWAP] }, (log) => byFilter.push(log));
const heads = [];
await socket.on("block", (number) => heads.push(number));
const pending = [];
await socket.on("pending", (hash) => pending.push(hash));
const fromBlock = ethers.toQuantity(await provider.getBlockNumber());
const logFilter = await provider.send("eth_newFilter", [{ address: pair.target, fromBlock }]);
const blockFilter = await provider.send("eth_newBlockFilter", []);
await until("subscriptions", async () => (await socket.getBlockNumber()) > 0);

const first = await (await swap(ETHER)).wait();
const has = (logs, hash, removed = false) =>
  logs.find((log) => log.transactionHash === hash && Boolean(log.removed) === removed);
await until("the subscription tells the swap", () => has(bySocket, first.hash));
// A filter is asked once for a block, and not for one that came while it was asked.
await until(
  "the filter tells the swap",
  async () => has(byFilter, first.hash) ?? (await provider.send("evm_mine", []), undefined),
);
await until("newHeads tells the block", () => heads.includes(first.blockNumber));
await until("the transaction was told as pending", () => pending.includes(first.hash));
assert.equal((await pair.queryFilter("Swap", first.blockNumber)).length, 1);
const changes = await provider.send("eth_getFilterChanges", [logFilter]);
assert.deepEqual(
  changes.map((log) => log.logIndex),
  first.logs
    .filter((log) => log.address === pair.target)
    .map((log) => ethers.toQuantity(log.index)),
);
assert((await provider.send("eth_getFilterChanges", [blockFilter])).includes(first.blockHash));
assert.equal((await provider.send("eth_getFilterLogs", [logFilter])).length, changes.length);
did("read the swap by eth_getLogs, by filters and by subscriptions");

const snapshot = await provider.send("evm_snapshot", []);
const lost = await (await swap(2n * ETHER)).wait();
const told = await until("the subscription tells what will be lost", () =>
  has(bySocket, lost.hash),
);
// Of a log that is removed, ethers tells only who listens to that very log.
const orphan = { orphan: "drop-log", log: { ...told.toJSON(), removed: true } };
await socket.on(orphan, (log) => bySocket.push(log));
await provider.send("eth_getFilterChanges", [logFilter]);
await revertTo(snapshot);
const kept = await (await swap(3n * ETHER, [blue, red])).wait();
assert.equal(kept.blockNumber, lost.blockNumber);
assert.notEqual(kept.blockHash, lost.blockHash);
await until("the subscription tells the new swap", () => has(bySocket, kept.hash));
assert.equal(await provider.getTransactionReceipt(lost.hash), null);
const [log] = await pair.queryFilter("Swap", kept.blockNumber);
assert.equal(log.transactionHash, kept.hash);
if (!isAnvil(version)) {
  const removed = await until("the subscription tells what was lost", () =>
    has(bySocket, lost.hash, true),
  );
  assert.equal(removed.blockHash, lost.blockHash);
  assert(
    bySocket.indexOf(removed) < bySocket.indexOf(has(bySocket, kept.hash)),
    "first what was lost",
  );
  const changed = await provider.send("eth_getFilterChanges", [logFilter]);
  assert(has(changed, lost.hash, true) && has(changed, kept.hash));
  did(
    "a reorg: lost logs were told as removed, by subscription and by filter, before the new ones",
  );
} else {
  did("a reorg: the new log was told; that others were lost is not told by this node");
}
assert.equal(await provider.send("eth_uninstallFilter", [logFilter]), true);
assert.equal(await provider.send("eth_uninstallFilter", [logFilter]), false);
await assert.rejects(provider.send("eth_getFilterChanges", [logFilter]));

// --- failing ---

await assert.rejects(
  router.swapExactTokensForTokens.staticCall(ETHER, SUPPLY, [red, blue], owner, DEADLINE),
  (error) => error.reason === "UniswapV2Router: INSUFFICIENT_OUTPUT_AMOUNT",
);
await assert.rejects(
  red.connect(ethers.Wallet.createRandom(provider)).transfer.estimateGas(owner, 1n),
  (error) => red.interface.parseError(error.data)?.name === "ERC20InsufficientBalance",
);
await assert.rejects(
  faults.own.staticCall(),
  (error) => error.revert.name === "Refused" && error.revert.args.code === 7n,
);
await assert.rejects(
  faults.divide.staticCall(0),
  (error) => error.reason === "Panic due to DIVIDE_BY_ZERO(18)",
);
await assert.rejects(faults.endless.staticCall({ gasLimit: 100_000 }), (error) =>
  /out ?of ?gas/i.test(error.info.error.message),
);
await assert.rejects(faults.reason(), { reason: "not today" });
signer.reset();
const failing = await faults.reason({ gasLimit: 100_000 });
await assert.rejects(
  failing.wait(),
  (error) => error.code === "CALL_EXCEPTION" && error.receipt.status === 0,
);
const failed = await provider.send("debug_traceTransaction", [
  failing.hash,
  { tracer: "callTracer" },
]);
assert.match(failed.error, /revert/);
assert.equal(
  faults.interface.parseError(failed.output).args[0],
  "not today",
);
assert.equal(await faults.count(), 0n);
const poor = ethers.Wallet.createRandom(provider);
const costly = {
  to: owner,
  value: 1n,
  gasLimit: 21_000n,
  maxFeePerGas: 10n ** 10n,
  maxPriorityFeePerGas: 1n,
  nonce: 0,
  chainId,
  type: 2,
};
await assert.rejects(provider.broadcastTransaction(await poor.signTransaction(costly)), {
  code: "INSUFFICIENT_FUNDS",
});
const stale = { ...costly, gasLimit: 21_000n };
await assert.rejects(provider.broadcastTransaction(await wallet.signTransaction(stale)), {
  code: "NONCE_EXPIRED",
});
did(
  "failed as it should: reasons, an own error, a panic, no gas left, a failed transaction, no funds, an old nonce",
);

// --- simulating ---

const call = async (method, ...args) => {
  const { to, data } = await method.populateTransaction(...args);
  return { from: owner, to, data };
};
const stranger = ethers.Wallet.createRandom().address;
const simulated = await provider.send("eth_simulateV1", [
  {
    blockStateCalls: [
      {
        calls: [
          await call(router.swapExactTokensForTokens, ETHER, 0, [red, blue], owner, DEADLINE),
          await call(faults.reason),
        ],
      },
      {
        stateOverrides: { [stranger]: { balance: ethers.toQuantity(ETHER) } },
        calls: [{ from: stranger, to: owner, value: "0x1" }],
      },
    ],
    traceTransfers: true,
  },
  "latest",
]);
// Anvil's first simulated block has the number of the latest one.
const next = (await provider.getBlockNumber()) + (isAnvil(version) ? 0 : 1);
assert.deepEqual(
  simulated.map((block) => Number(block.number)),
  [next, next + 1],
);
assert.deepEqual(
  simulated[0].calls.map((call) => call.status),
  ["0x1", "0x0"],
);
assert(simulated[0].calls[0].logs.some((log) => log.topics[0] === SWAP));
assert.equal(simulated[0].calls[1].error.code, isAnvil(version) ? -3200 : 3);
const [transfer] = simulated[1].calls[0].logs;
assert.equal(transfer.address, "0xeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee");
assert.equal(BigInt(transfer.data), 1n);
const overridden = await provider.send("eth_call", [
  await call(red.balanceOf, stranger),
  "latest",
  {
    [red.target]: {
      stateDiff: {
        [ethers.solidityPackedKeccak256(["uint256", "uint256"], [stranger, 0])]: ethers.toBeHex(
          9,
          32,
        ),
      },
    },
  },
]);
assert.equal(BigInt(overridden), 9n);
did("simulated two blocks with a swap, a failure and a transfer; called with a changed slot");

// --- tracing ---

const trace = await provider.send("debug_traceTransaction", [
  kept.hash,
  { tracer: "callTracer", tracerConfig: { withLog: true } },
]);
const calls = frames(trace);
assert.equal(ethers.getAddress(trace.from), owner);
assert.equal(ethers.getAddress(trace.to), router.target);
assert.equal(BigInt(trace.gasUsed), kept.gasUsed);
for (const target of [pair, red, blue]) {
  assert(
    calls.some((frame) => ethers.getAddress(frame.to) === target.target),
    `${target.target} is called`,
  );
}
assert.equal(calls.flatMap((frame) => frame.logs ?? []).length, kept.logs.length);
const steps = await provider.send("debug_traceTransaction", [kept.hash]);
assert.equal(BigInt(steps.gas), kept.gasUsed);
assert(steps.structLogs.length > 1000 && steps.structLogs[0].pc === 0);
const diff = await provider.send("debug_traceTransaction", [
  kept.hash,
  { tracer: "prestateTracer", tracerConfig: { diffMode: true } },
]);
assert(pair.target.toLowerCase() in diff.post && owner.toLowerCase() in diff.pre);
const traced = await provider.send("debug_traceCall", [
  await call(faults.own),
  "latest",
  { tracer: "callTracer" },
]);
assert.match(traced.error, /revert/);
const block = await provider.send("debug_traceBlockByNumber", [
  ethers.toQuantity(kept.blockNumber),
  { tracer: "callTracer" },
]);
assert.deepEqual(
  block.map((entry) => entry.result),
  [await provider.send("debug_traceTransaction", [kept.hash, { tracer: "callTracer" }])],
);
did(
  `traced the swap: ${calls.length} calls, ${steps.structLogs.length} steps, the state that it changed`,
);

// --- what else wallets ask ---

const listed = await provider.send("eth_createAccessList", [
  await call(router.swapExactTokensForTokens, ETHER, 0, [red, blue], owner, DEADLINE),
]);
assert(
  listed.accessList.some((entry) => ethers.getAddress(entry.address) === pair.target) &&
    !listed.error,
);
const slot = ethers.solidityPackedKeccak256(["uint256", "uint256"], [owner, 0]);
const proof = await provider.send("eth_getProof", [red.target, [slot], "latest"]);
assert.equal(BigInt(proof.storageProof[0].value), await red.balanceOf(owner));
assert.equal(
  ethers.keccak256(proof.accountProof[0]),
  (await provider.getBlock("latest")).stateRoot ??
    (await provider.send("eth_getBlockByNumber", ["latest", false])).stateRoot,
);
const history = await provider.send("eth_feeHistory", ["0x5", "latest", [25, 75]]);
assert.equal(history.gasUsedRatio.length, 5);
assert.equal(history.baseFeePerGas.length, 6);
const fees = await provider.getFeeData();
assert(fees.maxFeePerGas > fees.maxPriorityFeePerGas);
for (const type of [0, 1, 2]) {
  const accessList = type ? [{ address: red.target, storageKeys: [slot] }] : undefined;
  const receipt = await (
    await signer.sendTransaction({ to: stranger, value: 1n, type, accessList })
  ).wait();
  assert.equal(receipt.type, type);
}
const authorizer = ethers.Wallet.createRandom(provider);
const authorization = await authorizer.authorize({ address: faults.target, nonce: 0n, chainId });
const delegated = await (
  await signer.sendTransaction({ type: 4, to: stranger, authorizationList: [authorization] })
).wait();
assert.equal(delegated.status, 1);
assert.equal(await provider.getCode(authorizer), ethers.concat(["0xef0100", faults.target]));
const remote = await provider.getSigner(1);
const receipt = await (await remote.sendTransaction({ to: stranger, value: 5n })).wait();
assert.equal(receipt.from, remote.address);
assert.equal(await provider.getBalance(stranger), 8n);
assert.equal(await provider.getBalance(stranger, kept.blockNumber), 0n);
did("access list, proof, fees, transactions of types 0, 1, 2 and 4, one of the node's own account");

socket.destroy();
provider.destroy();
process.exit(0);

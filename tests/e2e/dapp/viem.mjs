// Uniswap V3 and the EntryPoint of ERC-4337 through viem 2: deployed, used, watched across a reorg,
// failing, estimated, simulated and traced; and what a dev chain can be told to do.
import assert from "node:assert/strict";
import {
  concat,
  createPublicClient,
  createTestClient,
  createWalletClient,
  defineChain,
  encodeDeployData,
  encodeFunctionData,
  encodePacked,
  erc20Abi,
  getAddress,
  getContract,
  http,
  keccak256,
  numberToHex,
  pad,
  parseAbi,
  parseEventLogs,
  toHex,
  webSocket,
  zeroAddress,
} from "viem";
import { generatePrivateKey, mnemonicToAccount, privateKeyToAccount } from "viem/accounts";
import {
  ETHER,
  MNEMONIC,
  compiled,
  did,
  frames,
  isAnvil,
  plan,
  published,
  until,
} from "./common.mjs";

const SUPPLY = 1_000_000n * ETHER;
const DEADLINE = 2n ** 63n;
const FEE = 3000;
const TICKS = 887_220;
const ONE_TO_ONE = 2n ** 96n;
const MINUTE = 60n;
// A pool works more where time has passed since its last block; an estimate knows the next block,
// and so gas is given with room.
const ROOM = { gas: 1_000_000n };

const probe = createPublicClient({ transport: http(plan.url) });
const id = await probe.getChainId();
const version = await probe.request({ method: "web3_clientVersion" });
const chain = defineChain({
  id,
  name: "dev",
  nativeCurrency: { name: "Ether", symbol: "ETH", decimals: 18 },
  rpcUrls: { default: { http: [plan.url], webSocket: [plan.ws] } },
});
const options = { chain, cacheTime: 0, pollingInterval: 100 };
const client = createPublicClient({ ...options, transport: http(plan.url) });
const socket = createPublicClient({ ...options, transport: webSocket(plan.ws) });
const account = mnemonicToAccount(MNEMONIC);
const wallet = createWalletClient({ ...options, account, transport: http(plan.url) });
const test = createTestClient({ ...options, mode: "anvil", transport: http(plan.url) });
const hardhat = createTestClient({ ...options, mode: "hardhat", transport: http(plan.url) });
const me = account.address;
did(`viem on chain ${id} of ${version}`);

async function mined(hash, status = "success") {
  const receipt = await client.waitForTransactionReceipt({ hash });
  assert.equal(receipt.status, status, hash);
  return receipt;
}

async function deploy({ abi, bytecode }, ...args) {
  const { contractAddress } = await mined(await wallet.deployContract({ abi, bytecode, args }));
  return getContract({
    abi,
    address: getAddress(contractAddress),
    client: { public: client, wallet },
  });
}

// --- Uniswap V3 ---

const tokens = compiled("tokens.sol");
const pool = (name) => published("@uniswap/v3-core", name);
const periphery = (name) => published("@uniswap/v3-periphery", name);
const made = [await deploy(tokens.Coin, "RED", SUPPLY), await deploy(tokens.Coin, "BLUE", SUPPLY)];
const coins = made.sort((one, other) =>
  one.address.toLowerCase() < other.address.toLowerCase() ? -1 : 1,
);
const [low, high] = coins;
const weth = await deploy(published("canonical-weth", "WETH9"));
const factory = await deploy(pool("UniswapV3Factory"));
const router = await deploy(periphery("SwapRouter"), factory.address, weth.address);
const positions = await deploy(
  periphery("NonfungiblePositionManager"),
  factory.address,
  weth.address,
  zeroAddress,
);
const quoter = await deploy(periphery("QuoterV2"), factory.address, weth.address);
for (const coin of coins) {
  for (const { address } of [router, positions])
    await mined(await coin.write.approve([address, SUPPLY]));
}
await mined(
  await positions.write.createAndInitializePoolIfNecessary([
    low.address,
    high.address,
    FEE,
    ONE_TO_ONE,
  ]),
);
const pair = getContract({
  abi: pool("UniswapV3Pool").abi,
  address: await factory.read.getPool([low.address, high.address, FEE]),
  client,
});
await mined(
  await positions.write.mint(
    [
      {
        token0: low.address,
        token1: high.address,
        fee: FEE,
        tickLower: -TICKS,
        tickUpper: TICKS,
        amount0Desired: 1000n * ETHER,
        amount1Desired: 1000n * ETHER,
        amount0Min: 0n,
        amount1Min: 0n,
        recipient: me,
        deadline: DEADLINE,
      },
    ],
    ROOM,
  ),
);
assert.equal(await positions.read.ownerOf([1n]), me);
assert((await pair.read.liquidity()) > 0n);
did("deployed Uniswap V3 with router, positions and quoter; made a pool, and a position in it");

const exact = (amountIn, [tokenIn, tokenOut] = coins, amountOutMinimum = 0n) => [
  {
    tokenIn: tokenIn.address,
    tokenOut: tokenOut.address,
    fee: FEE,
    recipient: me,
    deadline: DEADLINE,
    amountIn,
    amountOutMinimum,
    sqrtPriceLimitX96: 0n,
  },
];
const {
  result: [quoted],
} = await quoter.simulate.quoteExactInputSingle([
  {
    tokenIn: low.address,
    tokenOut: high.address,
    amountIn: ETHER,
    fee: FEE,
    sqrtPriceLimitX96: 0n,
  },
]);
const bySocket = [];
const byFilter = [];
const heads = [];
const watched = { address: pair.address, abi: pair.abi, eventName: "Swap" };
socket.watchContractEvent({ ...watched, onLogs: (logs) => bySocket.push(...logs) });
client.watchContractEvent({ ...watched, onLogs: (logs) => byFilter.push(...logs) });
await socket.transport.subscribe({
  params: ["newHeads"],
  onData: ({ result }) => heads.push(result),
  onError: assert.fail,
});
const filter = await client.createContractEventFilter(watched);
await socket.getBlockNumber();
await new Promise((done) => setTimeout(done, 500));

await test.increaseTime({ seconds: 5 });
await test.mine({ blocks: 1 });
const { request, result: promised } = await router.simulate.exactInputSingle(
  exact(ETHER, coins, quoted),
  { account, ...ROOM },
);
assert.equal(promised, quoted);
const estimate = await router.estimateGas.exactInputSingle(exact(ETHER, coins, quoted), {
  account,
});
const before = await high.read.balanceOf([me]);
const first = await mined(await wallet.writeContract(request));
assert.equal((await high.read.balanceOf([me])) - before, quoted);
assert(
  first.gasUsed <= estimate && estimate < 2n * first.gasUsed,
  `${first.gasUsed} of ${estimate}`,
);
const has = (logs, { transactionHash }, removed = false) =>
  logs.find((log) => log.transactionHash === transactionHash && log.removed === removed);
await until("the subscription tells the swap", () => has(bySocket, first));
await until("the filter tells the swap", () => has(byFilter, first));
await until("newHeads tells the block", () => heads.find((head) => head.hash === first.blockHash));
assert(has(await client.getFilterChanges({ filter }), first));
const logs = await client.getContractEvents({ ...watched, blockHash: first.blockHash });
assert.equal(logs[0].args.amount0, ETHER);
assert.equal(logs[0].args.amount1, -quoted);
assert.equal(logs[0].blockHash, first.blockHash);
did(
  `swapped what was quoted; ${first.gasUsed} gas, ${estimate} were estimated; told by filter and subscription`,
);

const snapshot = await test.snapshot();
const lost = await mined(await router.write.exactInputSingle(exact(2n * ETHER), ROOM));
await until("the subscription tells what will be lost", () => has(bySocket, lost));
await client.getFilterChanges({ filter });
await test.revert({ id: snapshot });
const kept = await mined(await router.write.exactInputSingle(exact(3n * ETHER, [high, low]), ROOM));
assert.equal(kept.blockNumber, lost.blockNumber);
assert.notEqual(kept.blockHash, lost.blockHash);
await until("the subscription tells the new swap", () => has(bySocket, kept));
await assert.rejects(client.getTransactionReceipt({ hash: lost.transactionHash }), {
  name: "TransactionReceiptNotFoundError",
});
if (!isAnvil(version)) {
  await until("the subscription tells what was lost", () => has(bySocket, lost, true));
  const told = await client.getFilterChanges({ filter });
  assert(has(told, lost, true) && has(told, kept));
  await until("newHeads tells both blocks", () =>
    [lost, kept].every(({ blockHash }) => heads.some((head) => head.hash === blockHash)),
  );
}
did(`a reorg: the new swap was told${isAnvil(version) ? "" : ", and the lost one as removed"}`);
assert.equal(await client.uninstallFilter({ filter }), true);

// --- failing ---

const rejects = (work, part) =>
  assert.rejects(work, (error) => {
    assert(`${error.details} ${error.message}`.includes(part), `no ${part} in ${error.message}`);
    return true;
  });
await rejects(
  router.simulate.exactInputSingle(exact(ETHER, coins, SUPPLY), { account }),
  "Too little received",
);
await rejects(router.write.exactInputSingle(exact(ETHER, coins, SUPPLY)), "Too little received");
const stranger = privateKeyToAccount(generatePrivateKey());
await rejects(low.simulate.transfer([me, 1n], { account: stranger }), "ERC20InsufficientBalance");
const faults = await deploy(tokens.Faults);
await rejects(faults.simulate.own(), "Refused");
await rejects(faults.read.divide([0n]), "Division or modulo by zero");
const failed = await mined(await faults.write.reason({ gas: 100_000n }), "reverted");
const failure = await client.request({
  method: "debug_traceTransaction",
  params: [failed.transactionHash, { tracer: "callTracer" }],
});
assert.match(failure.error, /revert/);
const poor = { account: stranger, to: me, value: ETHER, gas: 21_000n };
await rejects(wallet.sendTransaction(poor), "exceeds the balance of the account");
did("failed as it should: reasons, an own error, a panic, a failed transaction, no funds");

// --- ERC-4337 ---

const aa = (name) => published("@account-abstraction/contracts", name);
const entryPoint = await deploy(aa("EntryPoint"));
const accounts = await deploy(aa("SimpleAccountFactory"), entryPoint.address);
const ownerKey = privateKeyToAccount(generatePrivateKey());
const sender = await accounts.read.getAddress([ownerKey.address, 0n]);
await mined(await entryPoint.write.depositTo([sender], { value: ETHER }));
await mined(await low.write.transfer([sender, 10n * ETHER]));
const half = (one, other) =>
  concat([pad(toHex(one), { size: 16 }), pad(toHex(other), { size: 16 })]);
async function operation(target, data, signs = ownerKey) {
  const init = { abi: accounts.abi, functionName: "createAccount", args: [ownerKey.address, 0n] };
  const isThere = await client.getCode({ address: sender });
  const op = {
    sender,
    nonce: await entryPoint.read.getNonce([sender, 0n]),
    initCode: isThere ? "0x" : concat([accounts.address, encodeFunctionData(init)]),
    callData: encodeFunctionData({
      abi: aa("SimpleAccount").abi,
      functionName: "execute",
      args: [target, 0n, data],
    }),
    accountGasLimits: half(500_000, 200_000),
    preVerificationGas: 50_000n,
    gasFees: half(10n ** 9n, 10n ** 10n),
    paymasterAndData: "0x",
    signature: "0x",
  };
  return {
    ...op,
    signature: await signs.sign({ hash: await entryPoint.read.getUserOpHash([op]) }),
  };
}
const transfer = encodeFunctionData({
  abi: erc20Abi,
  functionName: "transfer",
  args: [stranger.address, ETHER],
});
const op = await operation(low.address, transfer);
const handled = await mined(await entryPoint.write.handleOps([[op], me]));
const events = (receipt, eventName) =>
  parseEventLogs({ abi: entryPoint.abi, logs: receipt.logs, eventName });
assert.equal(events(handled, "AccountDeployed")[0].args.sender, sender);
assert.equal(events(handled, "UserOperationEvent")[0].args.success, true);
assert.equal(await low.read.balanceOf([stranger.address]), ETHER);
const forged = await operation(low.address, transfer, stranger);
await rejects(entryPoint.simulate.handleOps([[forged], me], { account }), "AA24 signature error");
await rejects(entryPoint.simulate.handleOps([[op], me], { account }), "AA");
const failingOp = await operation(
  faults.address,
  encodeFunctionData({ abi: faults.abi, functionName: "reason" }),
);
const reverted = await mined(await entryPoint.write.handleOps([[failingOp], me]));
assert.equal(events(reverted, "UserOperationEvent")[0].args.success, false);
assert(
  events(reverted, "UserOperationRevertReason")[0].args.revertReason.includes(
    toHex("not today").slice(2),
  ),
);
did(
  "ERC-4337: made an account and had it pay by an operation; a forged, a repeated and a failing one",
);

const delegate = await deploy(aa("Simple7702Account"));
await mined(await wallet.sendTransaction({ to: ownerKey.address, value: ETHER }));
const authorization = await wallet.signAuthorization({
  account: ownerKey,
  contractAddress: delegate.address,
  executor: "self",
});
const batch = encodeFunctionData({
  abi: aa("Simple7702Account").abi,
  functionName: "execute",
  args: [stranger.address, 7n, "0x"],
});
const seen = await client.getBalance({ address: stranger.address });
const own = createWalletClient({ ...options, account: ownerKey, transport: http(plan.url) });
await mined(
  await own.sendTransaction({
    to: ownerKey.address,
    data: batch,
    authorizationList: [authorization],
  }),
);
assert.equal(
  await client.getCode({ address: ownerKey.address }),
  concat(["0xef0100", delegate.address.toLowerCase()]),
);
assert.equal((await client.getBalance({ address: stranger.address })) - seen, 7n);
did("EIP-7702: an account delegated itself, and called itself through the code");

// --- simulating and tracing ---

const head = await client.getBlockNumber();
const blocks = await client.simulateBlocks({
  blocks: [
    {
      calls: [
        {
          account: me,
          abi: router.abi,
          to: router.address,
          functionName: "exactInputSingle",
          args: exact(ETHER),
        },
        { account: me, abi: faults.abi, to: faults.address, functionName: "reason" },
      ],
    },
    {
      stateOverrides: [{ address: stranger.address, balance: ETHER }],
      calls: [{ account: stranger.address, to: me, value: 1n }],
    },
  ],
});
assert.deepEqual(
  blocks[0].calls.map((call) => call.status),
  ["success", "failure"],
);
assert.equal(blocks[1].calls[0].status, "success");
// Anvil's first simulated block has the number of the latest one.
assert.equal(blocks[1].number, head + (isAnvil(version) ? 1n : 2n));
const allowed = keccak256(encodePacked(["uint256", "uint256"], [BigInt(stranger.address), 0n]));
const balance = await client.readContract({
  address: low.address,
  abi: low.abi,
  functionName: "balanceOf",
  args: [stranger.address],
  stateOverride: [
    { address: low.address, stateDiff: [{ slot: allowed, value: numberToHex(9, { size: 32 }) }] },
  ],
});
assert.equal(balance, 9n);
const trace = await client.request({
  method: "debug_traceTransaction",
  params: [handled.transactionHash, { tracer: "callTracer", tracerConfig: { withLog: true } }],
});
const calls = frames(trace);
assert.equal(BigInt(trace.gasUsed), handled.gasUsed);
assert(calls.some((frame) => frame.type === "CREATE2" && getAddress(frame.to) === sender));
assert(calls.some((frame) => frame.type === "DELEGATECALL"));
assert.equal(calls.flatMap((frame) => frame.logs ?? []).length, handled.logs.length);
did(
  `simulated two blocks, called with a changed slot, traced an operation of ${calls.length} calls`,
);

const { accessList } = await client.createAccessList({
  account: me,
  to: router.address,
  data: encodeFunctionData({
    abi: router.abi,
    functionName: "exactInputSingle",
    args: exact(ETHER),
  }),
});
assert(accessList.some((entry) => getAddress(entry.address) === pair.address));
const proof = await client.getProof({ address: low.address, storageKeys: [allowed] });
assert.equal(proof.storageProof[0].value, ETHER);
const history = await client.getFeeHistory({ blockCount: 4, rewardPercentiles: [50] });
assert.equal(history.reward.length, 4);
assert((await client.estimateFeesPerGas()).maxFeePerGas > 0n);
assert.equal((await client.getBlobBaseFee()) > 0n, true);
did("access list, proof, fees");

// --- what a dev chain is told ---

const start = await test.snapshot();
const whale = getAddress(`0x${"ab".repeat(20)}`);
await test.setBalance({ address: whale, value: 5n * ETHER });
await test.impersonateAccount({ address: whale });
const byWhale = createWalletClient({ ...options, account: whale, transport: http(plan.url) });
const sent = await mined(await byWhale.sendTransaction({ to: stranger.address, value: ETHER }));
assert.equal(sent.from, whale.toLowerCase());
await test.stopImpersonatingAccount({ address: whale });
await assert.rejects(byWhale.sendTransaction({ to: stranger.address, value: ETHER }));
await hardhat.setBalance({ address: whale, value: 3n });
assert.equal(await client.getBalance({ address: whale }), 3n);
const code = await client.getCode({ address: faults.address });
await test.setCode({ address: whale, bytecode: code });
await test.setStorageAt({ address: whale, index: 0, value: numberToHex(42, { size: 32 }) });
assert.equal(
  await client.readContract({ address: whale, abi: faults.abi, functionName: "count" }),
  42n,
);
await hardhat.setNonce({ address: stranger.address, nonce: 9 });
assert.equal(await client.getTransactionCount({ address: stranger.address }), 9);
const stop = async () => (await client.getBlock()).timestamp;
const past = await stop();
await test.increaseTime({ seconds: Number(MINUTE) });
await test.mine({ blocks: 1 });
assert((await stop()) >= past + MINUTE);
const later = (await stop()) + 10n * MINUTE;
await test.setNextBlockTimestamp({ timestamp: later });
await mined(await wallet.sendTransaction({ to: stranger.address, value: 1n }));
assert.equal(await stop(), later);
const height = await client.getBlockNumber();
await hardhat.mine({ blocks: 3, interval: 12 });
assert.equal(await client.getBlockNumber(), height + 3n);
assert((await stop()) >= later + 24n, "the first at once or later, the others by the interval");
await client.request({ method: "evm_setAutomine", params: [false] });
const waiting = [];
for (
  let nonce = await client.getTransactionCount({ address: me }), end = nonce + 2;
  nonce < end;
  nonce++
) {
  waiting.push(
    await wallet.sendTransaction({ to: stranger.address, value: 1n, nonce, gas: 21_000n }),
  );
}
assert.equal(
  (await client.getTransactionCount({ address: me, blockTag: "pending" })) -
    (await client.getTransactionCount({ address: me })),
  2,
);
assert.equal((await client.getTransaction({ hash: waiting[0] })).blockNumber, null);
await test.mine({ blocks: 1 });
const [one, two] = await Promise.all(waiting.map((hash) => mined(hash)));
assert.equal(one.blockHash, two.blockHash);
await client.request({ method: "evm_setAutomine", params: [true] });
await test.revert({ id: start });
assert.equal(await client.getBalance({ address: whale }), 0n);
assert.equal(await client.getCode({ address: whale }), undefined);
did(
  "the dev chain: other balances, codes, slots, nonces; another's transaction; time; blocks by hand; all taken back",
);

process.exit(0);

// Tokens, Uniswap and ERC-4337 through viem 2: deployed, used, watched across a reorg, failing,
// estimated, simulated and traced; and what a dev chain can be told to do.
import assert from "node:assert/strict";
import {
  concat,
  createPublicClient,
  createTestClient,
  createWalletClient,
  defineChain,
  encodeFunctionData,
  encodePacked,
  getAddress,
  http,
  keccak256,
  numberToHex,
} from "viem";
import { generatePrivateKey, mnemonicToAccount, privateKeyToAccount } from "viem/accounts";
import { ETHER, MNEMONIC, did, isAnvil, plan, published } from "./common.mjs";
import { SUPPLY, entryPoint, swapped, tokens, uniswapV2, uniswapV3 } from "./protocols.mjs";
import { viemHands, watched } from "./viem-hands.mjs";

const MINUTE = 60n;

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

// --- tokens, Uniswap, ERC-4337 ---

const hands = viemHands(client, wallet);
const { coins, faults } = await tokens(hands);
const [red] = coins;
const v2 = await uniswapV2(hands, coins);
await swapped(hands, v2);
const v3 = await uniswapV3(hands, coins);
const { router, pool, args: exact } = v3;
await swapped(hands, v3);
await watched(client, hands, v3);
await entryPoint(hands, red, faults);

// --- failing ---

const rejects = (work, part) =>
  assert.rejects(work, (error) => {
    assert(`${error.details} ${error.message}`.includes(part), `no ${part} in ${error.message}`);
    return true;
  });
await rejects(router.write.exactInputSingle(exact(ETHER, SUPPLY)), "Too little received");
const stranger = privateKeyToAccount(generatePrivateKey());
await rejects(red.simulate.transfer([me, 1n], { account: stranger }), "ERC20InsufficientBalance");
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

// --- an account with code ---

const simple = published("@account-abstraction/contracts", "Simple7702Account");
const delegate = await hands.deploy(simple);
const ownerKey = privateKeyToAccount(generatePrivateKey());
await mined(await wallet.sendTransaction({ to: ownerKey.address, value: ETHER }));
const authorization = await wallet.signAuthorization({
  account: ownerKey,
  contractAddress: delegate.address,
  executor: "self",
});
const batch = encodeFunctionData({
  abi: simple.abi,
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

// --- simulating, and what wallets ask ---

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
  address: red.address,
  abi: red.abi,
  functionName: "balanceOf",
  args: [stranger.address],
  stateOverride: [
    { address: red.address, stateDiff: [{ slot: allowed, value: numberToHex(9, { size: 32 }) }] },
  ],
});
assert.equal(balance, 9n);
did("simulated two blocks, called with a changed slot");

const { accessList } = await client.createAccessList({
  account: me,
  to: router.address,
  data: encodeFunctionData({
    abi: router.abi,
    functionName: "exactInputSingle",
    args: exact(ETHER),
  }),
});
assert(accessList.some((entry) => getAddress(entry.address) === pool.address));
await mined(await red.write.transfer([stranger.address, ETHER]));
const proof = await client.getProof({ address: red.address, storageKeys: [allowed] });
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

// Tokens, Uniswap and ERC-4337 in a Hardhat project, with the accounts of the node.
import assert from "node:assert/strict";
import { test } from "node:test";
import hre from "hardhat";
import { getAddress, parseEther } from "viem";
import { did, plan } from "../../common.mjs";
import {
  SUPPLY,
  entryPoint,
  swapped,
  tokens,
  uniswapV2,
  uniswapV3,
} from "../../protocols.mjs";
import { viemHands, watched } from "../../viem-hands.mjs";

const { viem, provider } = await hre.network.create();
const client = await viem.getPublicClient();
const [wallet, other] = await viem.getWalletClients();
const me = wallet.account.address;
const hands = viemHands(client, wallet);

// What a test does is taken back after it.
function isolated(name, body) {
  test(name, async () => {
    const snapshot = await provider.request({ method: "evm_snapshot" });
    try {
      await body();
    } finally {
      assert.equal(await provider.request({ method: "evm_revert", params: [snapshot] }), true);
    }
    did(name);
  });
}

const coin = await viem.deployContract("Coin", ["RED", SUPPLY]);
const faults = await viem.deployContract("Faults");
did(`hardhat compiled, and deployed with the node's accounts at ${plan.url}`);

isolated("a transfer changes balances, and emits an event", async () => {
  await viem.assertions.emitWithArgs(
    coin.write.transfer([other.account.address, 5n]),
    coin,
    "Transfer",
    [getAddress(me), getAddress(other.account.address), 5n],
  );
  assert.equal(await coin.read.balanceOf([other.account.address]), 5n);
  const events = await client.getContractEvents({ ...coin, eventName: "Transfer" });
  assert.equal(events.at(-1).args.value, 5n);
  await viem.assertions.balancesHaveChanged(
    wallet.sendTransaction({ to: other.account.address, value: 7n }),
    [{ address: other.account.address, amount: 7n }],
  );
});

isolated("what fails says why", async () => {
  await viem.assertions.revertWith(faults.write.reason(), "not today");
  await viem.assertions.revertWithCustomErrorWithArgs(faults.read.own(), faults, "Refused", [
    getAddress(me),
    7n,
  ]);
  await viem.assertions.revertWithCustomError(
    coin.write.transfer([me, 1n], { account: other.account }),
    coin,
    "ERC20InsufficientBalance",
  );
});

isolated("each test begins with the same state", async () => {
  assert.equal(await coin.read.balanceOf([other.account.address]), 0n);
});

isolated("Uniswap V2 and V3: swaps, and what is told of them across a reorg", async () => {
  const { coins } = await tokens(hands);
  const v2 = await uniswapV2(hands, coins);
  const { hash } = await swapped(hands, v2);
  const v3 = await uniswapV3(hands, coins);
  await swapped(hands, v3);
  await watched(client, hands, v3);
  const { address, abi } = v2.router;
  const call = { abi, functionName: v2.method, args: v2.args(1000n) };
  const calls = [{ ...call, to: address }];
  const { results } = await client.simulateCalls({ account: me, calls });
  assert.equal(results[0].status, "success");
  await viem.assertions.revertWith(
    wallet.writeContract({ ...call, address, args: v2.args(1000n, SUPPLY) }),
    v2.refusal,
  );
  assert.equal((await client.getTransaction({ hash })).type, "eip1559");
});

isolated("the EntryPoint of ERC-4337 handles operations", async () => {
  await entryPoint(hands, coin, faults);
});

isolated("the chain is told balances, codes, time, and whose transactions to take", async () => {
  const whale = getAddress(`0x${"ab".repeat(20)}`);
  const tell = (method, ...params) => provider.request({ method, params });
  await tell("hardhat_setBalance", whale, `0x${parseEther("2").toString(16)}`);
  await tell("hardhat_impersonateAccount", whale);
  const hash = await tell("eth_sendTransaction", { from: whale, to: me, value: "0x1" });
  assert.equal((await client.waitForTransactionReceipt({ hash })).status, "success");
  await tell("hardhat_stopImpersonatingAccount", whale);
  await tell("hardhat_setCode", whale, await client.getCode({ address: faults.address }));
  await tell("hardhat_setStorageAt", whale, "0x0", `0x${"2a".padStart(64, "0")}`);
  assert.equal(await (await viem.getContractAt("Faults", whale)).read.count(), 42n);
  await tell("hardhat_setNonce", whale, "0x9");
  assert.equal(await client.getTransactionCount({ address: whale }), 9);
  const { timestamp, number } = await client.getBlock();
  await tell("evm_increaseTime", 3600);
  await tell("hardhat_mine", "0x2");
  const later = await client.getBlock();
  assert.equal(later.number, number + 2n);
  assert(later.timestamp >= timestamp + 3600n);
  await tell("evm_setNextBlockTimestamp", Number(later.timestamp) + 100);
  await tell("evm_mine");
  assert.equal((await client.getBlock()).timestamp, later.timestamp + 100n);
});

// OpenZeppelin's tokens and Uniswap V2 in a Hardhat project, with the accounts of the node.
import assert from "node:assert/strict";
import { test } from "node:test";
import hre from "hardhat";
import { getAddress, parseEther } from "viem";
import { did, frames, plan, published } from "../../common.mjs";

const { viem, provider } = await hre.network.create();
const client = await viem.getPublicClient();
const [wallet, other] = await viem.getWalletClients();
const me = wallet.account.address;
const SUPPLY = parseEther("1000000");
const DEADLINE = 2n ** 63n;

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

async function deployed({ abi, bytecode }, args = []) {
  const hash = await wallet.deployContract({ abi, bytecode, args });
  const { contractAddress } = await client.waitForTransactionReceipt({ hash });
  return viem.getContractAt("Coin", contractAddress).then(({ address }) => ({ abi, address }));
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

isolated("Uniswap V2 swaps, is estimated, simulated and traced", async () => {
  const blue = await viem.deployContract("Coin", ["BLUE", SUPPLY]);
  const weth = await deployed(published("@uniswap/v2-periphery", "WETH9"));
  const factory = await deployed(published("@uniswap/v2-core", "UniswapV2Factory"), [me]);
  const router = await deployed(published("@uniswap/v2-periphery", "UniswapV2Router02"), [
    factory.address,
    weth.address,
  ]);
  for (const token of [coin, blue]) await token.write.approve([router.address, SUPPLY]);
  const path = [coin.address, blue.address];
  const write = async (functionName, args) => {
    const hash = await wallet.writeContract({ ...router, functionName, args, gas: 5_000_000n });
    return client.waitForTransactionReceipt({ hash });
  };
  await write("addLiquidity", [...path, parseEther("10"), parseEther("10"), 0n, 0n, me, DEADLINE]);
  const swap = {
    ...router,
    functionName: "swapExactTokensForTokens",
    args: [1000n, 0n, path, me, DEADLINE],
    account: me,
  };
  // The pair works more where time has passed since its last block.
  await provider.request({ method: "evm_increaseTime", params: [5] });
  await provider.request({ method: "evm_mine" });
  const { result } = await client.simulateContract(swap);
  const estimate = await client.estimateContractGas(swap);
  const receipt = await write(swap.functionName, swap.args);
  assert(receipt.gasUsed <= estimate);
  assert.equal(await blue.read.balanceOf([me]), SUPPLY - parseEther("10") + result[1]);
  const trace = await provider.request({
    method: "debug_traceTransaction",
    params: [receipt.transactionHash, { tracer: "callTracer" }],
  });
  assert(frames(trace).some((frame) => getAddress(frame.to) === getAddress(blue.address)));
  const { results } = await client.simulateCalls({
    account: me,
    calls: [
      { to: router.address, abi: router.abi, functionName: swap.functionName, args: swap.args },
    ],
  });
  assert.equal(results[0].status, "success");
  await viem.assertions.revertWith(
    client.simulateContract({ ...swap, args: [1000n, SUPPLY, path, me, DEADLINE] }),
    "UniswapV2Router: INSUFFICIENT_OUTPUT_AMOUNT",
  );
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

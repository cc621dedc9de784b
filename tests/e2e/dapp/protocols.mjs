// Tokens of OpenZeppelin, Uniswap V2 and V3, and ERC-4337, in the words of no library: what all
// scripts do alike. A library does it with its `hands`, in which a contract is whatever it has for
// one:
//   me                                          who sends
//   deploy({ abi, bytecode }, ...args)          a contract
//   at(abi, address), address(contract)
//   read(contract, name, ...args)               what a call gives: one value, or a list
//   simulate(contract, name, ...args)           the same of a function that changes something
//   estimate(contract, name, ...args)           gas
//   send(contract, name, args, options)         the receipt of what was sent, and of what failed,
//     too, if gas is given; options are `value` and `gas`; it has `hash`, `block`, `gasUsed`, `ok`
//     and `logs`
//   events(contract, logs, name)                arguments of the events of that name
//   encode(contract, name, ...args)             call data
//   signer()                                    a new key: `address`, `sign(hash)`
//   why(error)                                  what an error says of its cause
//   request(method, ...params)                  anything else
import assert from "node:assert/strict";
import { ETHER, compiled, did, frames, published } from "./common.mjs";

export const SUPPLY = 1_000_000n * ETHER;
export const DEADLINE = 2n ** 63n;
// A pool works more where time has passed since its last block; an estimate knows the next block,
// and so gas is given with room.
export const SWAP_GAS = 1_000_000n;
const OPERATION_GAS = 5_000_000n;
const FEE = 3000;
const TICKS = 887_220;
const ONE_TO_ONE = 2n ** 96n;
const ZERO = `0x${"00".repeat(20)}`;
const GWEI = 10n ** 9n;

const hex = (number) => `0x${number.toString(16)}`;
const same = (one, other) => one.toLowerCase() === other.toLowerCase();

// A call fails, and the library's error has the reason.
export async function refused(hands, work, reason) {
  await assert.rejects(work, (error) => {
    assert(hands.why(error).includes(reason), `no ${reason} in ${hands.why(error)}`);
    return true;
  });
}

// A transaction takes effect.
async function done(hands, ...call) {
  const receipt = await hands.send(...call);
  assert(receipt.ok, `${receipt.hash} (${call[1]}) failed`);
  return receipt;
}

// ERC-20, ERC-721 and ERC-1155 of OpenZeppelin, and ways to fail.
export async function tokens(hands) {
  const { Coin, Collection, Kinds, Faults } = compiled("tokens.sol");
  const red = await hands.deploy(Coin, "RED", SUPPLY);
  const blue = await hands.deploy(Coin, "BLUE", SUPPLY);
  const collection = await hands.deploy(Collection);
  const kinds = await hands.deploy(Kinds, [1n, 2n], [10n, 20n]);
  const faults = await hands.deploy(Faults);
  const { logs } = await done(hands, collection, "take", []);
  assert.equal(hands.events(collection, logs, "Transfer")[0].tokenId, 1n);
  assert.equal(await hands.read(collection, "ownerOf", 1n), hands.me);
  const held = await hands.read(kinds, "balanceOfBatch", [hands.me, hands.me], [1n, 2n]);
  assert.deepEqual([...held], [10n, 20n]);
  did("deployed ERC-20, ERC-721 and ERC-1155; took one, and read the balances");
  return { coins: [red, blue], collection, kinds, faults };
}

// Uniswap V2, and a market of two coins there: the router's function that swaps, and its arguments.
export async function uniswapV2(hands, coins) {
  const weth = await hands.deploy(published("@uniswap/v2-periphery", "WETH9"));
  const factory = await hands.deploy(published("@uniswap/v2-core", "UniswapV2Factory"), hands.me);
  const router = await hands.deploy(
    published("@uniswap/v2-periphery", "UniswapV2Router02"),
    hands.address(factory),
    hands.address(weth),
  );
  const path = coins.map(hands.address);
  for (const coin of coins) await done(hands, coin, "approve", [hands.address(router), SUPPLY]);
  const amounts = [1000n * ETHER, 1000n * ETHER, 0n, 0n];
  await done(hands, router, "addLiquidity", [...path, ...amounts, hands.me, DEADLINE]);
  const pair = await hands.read(factory, "getPair", ...path);
  const { abi } = published("@uniswap/v2-core", "UniswapV2Pair");
  did("deployed Uniswap V2 with its router; made a pool");
  return {
    name: "Uniswap V2",
    coins,
    weth,
    factory,
    router,
    pool: hands.at(abi, pair),
    method: "swapExactTokensForTokens",
    args: (amount, least = 0n, back = false) => {
      return [amount, least, back ? path.toReversed() : path, hands.me, DEADLINE];
    },
    quote: async (amount) => (await hands.read(router, "getAmountsOut", amount, path))[1],
    promised: (result) => result[1],
    given: ({ amount0Out, amount1Out }) => amount0Out + amount1Out,
    refusal: "UniswapV2Router: INSUFFICIENT_OUTPUT_AMOUNT",
  };
}

// The same of Uniswap V3.
export async function uniswapV3(hands, coins) {
  const periphery = (name) => published("@uniswap/v3-periphery", name);
  const core = (name) => published("@uniswap/v3-core", name);
  const weth = hands.address(await hands.deploy(published("canonical-weth", "WETH9")));
  const factory = await hands.deploy(core("UniswapV3Factory"));
  const places = [hands.address(factory), weth];
  const router = await hands.deploy(periphery("SwapRouter"), ...places);
  const positions = await hands.deploy(periphery("NonfungiblePositionManager"), ...places, ZERO);
  const quoter = await hands.deploy(periphery("QuoterV2"), ...places);
  for (const coin of coins) {
    for (const spender of [router, positions])
      await done(hands, coin, "approve", [hands.address(spender), SUPPLY]);
  }
  const path = coins.map(hands.address);
  const [token0, token1] = path.toSorted((one, other) => (BigInt(one) < BigInt(other) ? -1 : 1));
  const opened = [token0, token1, FEE, ONE_TO_ONE];
  await done(hands, positions, "createAndInitializePoolIfNecessary", opened);
  const position = {
    token0,
    token1,
    fee: FEE,
    tickLower: -TICKS,
    tickUpper: TICKS,
    amount0Desired: 1000n * ETHER,
    amount1Desired: 1000n * ETHER,
    amount0Min: 0n,
    amount1Min: 0n,
    recipient: hands.me,
    deadline: DEADLINE,
  };
  await done(hands, positions, "mint", [position], { gas: SWAP_GAS });
  assert.equal(await hands.read(positions, "ownerOf", 1n), hands.me);
  const pool = hands.at(
    core("UniswapV3Pool").abi,
    await hands.read(factory, "getPool", token0, token1, FEE),
  );
  assert((await hands.read(pool, "liquidity")) > 0n);
  did("deployed Uniswap V3 with router, positions and quoter; made a pool, and a position in it");
  const swap = ([tokenIn, tokenOut], amountIn) => {
    return { tokenIn, tokenOut, fee: FEE, amountIn, sqrtPriceLimitX96: 0n };
  };
  return {
    name: "Uniswap V3",
    coins,
    router,
    pool,
    method: "exactInputSingle",
    args: (amount, least = 0n, back = false) => [
      {
        ...swap(back ? path.toReversed() : path, amount),
        recipient: hands.me,
        deadline: DEADLINE,
        amountOutMinimum: least,
      },
    ],
    quote: async (amount) =>
      (await hands.simulate(quoter, "quoteExactInputSingle", swap(path, amount)))[0],
    promised: (result) => result,
    // What leaves the pool is below zero.
    given: ({ amount0, amount1 }) => -(amount0 < 0n ? amount0 : amount1),
    refusal: "Too little received",
  };
}

// A swap at a market: quoted, simulated, estimated, sent, found by its event, traced, refused.
export async function swapped(hands, market) {
  const { coins, router, pool, method, args } = market;
  await hands.request("evm_increaseTime", 5);
  await hands.request("evm_mine");
  const quoted = await market.quote(ETHER);
  const call = [router, method, ...args(ETHER, quoted)];
  assert.equal(market.promised(await hands.simulate(...call)), quoted);
  const estimate = await hands.estimate(...call);
  const before = await hands.read(coins[1], "balanceOf", hands.me);
  const receipt = await done(hands, router, method, args(ETHER, quoted), { gas: SWAP_GAS });
  assert.equal((await hands.read(coins[1], "balanceOf", hands.me)) - before, quoted);
  const { gasUsed } = receipt;
  assert(gasUsed <= estimate && estimate < 2n * gasUsed, `${gasUsed} of ${estimate}`);

  const address = hands.address(pool);
  const logs = await hands.request("eth_getLogs", { address, blockHash: receipt.block });
  const [event] = hands.events(pool, logs, "Swap");
  assert.equal(market.given(event), quoted);
  assert.deepEqual(event, hands.events(pool, receipt.logs, "Swap")[0]);

  const tracer = { tracer: "callTracer", tracerConfig: { withLog: true } };
  const trace = await hands.request("debug_traceTransaction", receipt.hash, tracer);
  const calls = frames(trace);
  for (const part of [router, pool, ...coins])
    assert(
      calls.some(({ to }) => same(to, hands.address(part))),
      `${hands.address(part)} is called`,
    );
  assert.equal(BigInt(trace.gasUsed), gasUsed);
  assert.equal(calls.flatMap((frame) => frame.logs ?? []).length, receipt.logs.length);

  await simulated(hands, market);
  const dear = args(ETHER, SUPPLY);
  await refused(hands, hands.simulate(router, method, ...dear), market.refusal);
  const failed = await hands.send(router, method, dear, { gas: SWAP_GAS });
  assert(!failed.ok);
  const cause = await hands.request("debug_traceTransaction", failed.hash, tracer);
  assert.match(cause.error, /revert/);
  const told = Buffer.from(cause.output.slice(2), "hex").toString();
  assert(told.includes(market.refusal), told);
  did(
    `${market.name}: swapped what was quoted, ${gasUsed} gas of ${estimate} estimated; found by ` +
      `event; simulated; traced in ${calls.length} calls; refused where too little comes back`,
  );
  return receipt;
}

// Two swaps one after the other, in a block that will not be: the second gives less.
async function simulated(hands, { name, router, pool, method, args, given }) {
  const data = hands.encode(router, method, ...args(ETHER));
  const call = { from: hands.me, to: hands.address(router), data };
  const blocks = { blockStateCalls: [{ calls: [call, call] }] };
  const [{ calls }] = await hands.request("eth_simulateV1", blocks, "latest");
  const amounts = calls.map(({ status, logs }) => {
    assert.equal(status, "0x1", name);
    return given(hands.events(pool, logs, "Swap")[0]);
  });
  assert(amounts[1] < amounts[0], `${name}: ${amounts}`);
}

// The EntryPoint of ERC-4337: an account that an operation makes, and that pays for it by itself;
// an operation that another signed, one that comes again, one that fails.
export async function entryPoint(hands, coin, faults) {
  const aa = (name) => published("@account-abstraction/contracts", name);
  const entry = await hands.deploy(aa("EntryPoint"));
  const factory = await hands.deploy(aa("SimpleAccountFactory"), hands.address(entry));
  const [owner, forger, payee] = [hands.signer(), hands.signer(), hands.signer().address];
  const sender = await hands.read(factory, "getAddress", owner.address, 0n);
  const account = hands.at(aa("SimpleAccount").abi, sender);
  await done(hands, entry, "depositTo", [sender], { value: ETHER });
  await done(hands, coin, "transfer", [sender, 10n * ETHER]);
  const half = (...two) => `0x${two.map((n) => n.toString(16).padStart(32, "0")).join("")}`;
  async function operation(target, data, signer = owner) {
    const isThere = (await hands.request("eth_getCode", sender, "latest")) !== "0x";
    const creation = hands.encode(factory, "createAccount", owner.address, 0n);
    const op = {
      sender,
      nonce: await hands.read(entry, "getNonce", sender, 0n),
      initCode: isThere ? "0x" : hands.address(factory) + creation.slice(2),
      callData: hands.encode(account, "execute", hands.address(target), 0n, data),
      accountGasLimits: half(500_000n, 200_000n),
      preVerificationGas: 50_000n,
      gasFees: half(GWEI, 10n * GWEI),
      paymasterAndData: "0x",
      signature: "0x",
    };
    return { ...op, signature: await signer.sign(await hands.read(entry, "getUserOpHash", op)) };
  }
  const handle = (op) => done(hands, entry, "handleOps", [[op], hands.me], { gas: OPERATION_GAS });
  const asked = (op) => hands.simulate(entry, "handleOps", [op], hands.me);
  const transfer = hands.encode(coin, "transfer", payee, ETHER);

  const op = await operation(coin, transfer);
  assert((await hands.estimate(entry, "handleOps", [op], hands.me)) < OPERATION_GAS);
  const handled = await handle(op);
  assert(same(hands.events(entry, handled.logs, "AccountDeployed")[0].sender, sender));
  assert.equal(hands.events(entry, handled.logs, "UserOperationEvent")[0].success, true);
  assert.equal(await hands.read(coin, "balanceOf", payee), ETHER);
  const address = hands.address(entry);
  const logs = await hands.request("eth_getLogs", { address, blockHash: handled.block });
  assert.equal(hands.events(entry, logs, "UserOperationEvent").length, 1);

  await refused(hands, asked(await operation(coin, transfer, forger)), "AA24 signature error");
  await refused(hands, asked(op), "AA");
  const failing = await handle(await operation(faults, hands.encode(faults, "reason")));
  assert.equal(hands.events(entry, failing.logs, "UserOperationEvent")[0].success, false);
  const [{ revertReason }] = hands.events(entry, failing.logs, "UserOperationRevertReason");
  assert(Buffer.from(revertReason.slice(2), "hex").toString().includes("not today"), revertReason);

  const next = await operation(coin, transfer);
  const data = hands.encode(entry, "handleOps", [next], hands.me);
  const calls = [{ from: hands.me, to: address, data, gas: hex(OPERATION_GAS) }];
  const blocks = { blockStateCalls: [{ calls }] };
  const [block] = await hands.request("eth_simulateV1", blocks, "latest");
  const [event] = hands.events(entry, block.calls[0].logs, "UserOperationEvent");
  assert.equal(event.success, true);
  const tracer = { tracer: "callTracer" };
  const traced = frames(await hands.request("debug_traceTransaction", handled.hash, tracer));
  assert(traced.some(({ type, to }) => type === "CREATE2" && same(to, sender)));
  assert(traced.some(({ type }) => type === "DELEGATECALL"));
  did(
    `ERC-4337: an operation made its account and paid, ${traced.length} calls in the trace; ` +
      "another's signature, an operation again, one that fails, one simulated",
  );
  return { entry, factory };
}

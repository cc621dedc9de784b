"""Uniswap V3 and ERC-4337 through cast, for the scenario `foundry`."""

import json
import re
import secrets

from dapp import ETHER, OWNER
from stage import Failure, expect

SUPPLY = 1_000_000 * ETHER
DEADLINE = 2**63
FEE = 3000
TICKS = 887_220
ZERO = "0x" + "00" * 20
GWEI = 10**9
GAS = ("--gas-limit", 5_000_000)
MINT = "(address,address,uint24,int24,int24,uint256,uint256,uint256,uint256,address,uint256)"
QUOTED = "(uint256,uint160,uint32,uint256)"
QUOTE = f"quoteExactInputSingle((address,address,uint256,uint24,uint160)){QUOTED}"
SWAP = "exactInputSingle((address,address,uint24,address,uint256,uint256,uint256,uint160))"
V3_SWAP_EVENT = "Swap(address,address,int256,int256,uint160,uint128,int24)"
OPERATION = "(address,uint256,bytes,bytes,bytes32,uint256,bytes32,bytes,bytes)"
HANDLE = f"handleOps({OPERATION}[],address)"
HANDLED = "UserOperationEvent(bytes32,address,address,uint256,bool,uint256,uint256)"
REVERTED = "UserOperationRevertReason(bytes32,address,uint256,bytes)"


def fields(*values):
    """A tuple as cast reads it."""
    return f"({','.join(map(str, values))})"


class UniswapV3:
    """A pool of two coins, with a position in it."""

    def __init__(self, tools, coins):
        self.tools, self.coins = tools, coins
        factory = tools.create("UniswapV3Factory")
        places = [factory, tools.create("WETH9")]
        two = "constructor(address,address)"
        self.router = tools.create("SwapRouter", two, *places)
        positions = tools.create(
            "NonfungiblePositionManager", "constructor(address,address,address)", *places, ZERO
        )
        self.quoter = tools.create("QuoterV2", two, *places)
        for coin in coins:
            for spender in (self.router, positions):
                tools.send(coin, "approve(address,uint256)", spender, SUPPLY)
        pair = sorted(coins, key=lambda address: int(address, 16))
        create = "createAndInitializePoolIfNecessary(address,address,uint24,uint160)"
        tools.send(positions, create, *pair, FEE, 2**96)
        amounts = [1000 * ETHER, 1000 * ETHER, 0, 0]
        position = fields(*pair, FEE, -TICKS, TICKS, *amounts, OWNER, DEADLINE)
        tools.send(*GAS, positions, f"mint({MINT})", position)
        getter = "getPool(address,address,uint24)(address)"
        self.pool = tools.call(factory, getter, *pair, FEE)[0]
        owner = tools.call(positions, "ownerOf(uint256)(address)", 1)[0]
        expect("owner", owner.lower(), OWNER)

    def quote(self, amount):
        return int(self.tools.call(self.quoter, QUOTE, fields(*self.coins, amount, FEE, 0))[0])

    def swap(self, amount, least=0):
        """The words of a swap."""
        asked = fields(*self.coins, FEE, OWNER, DEADLINE, amount, least, 0)
        return [self.router, SWAP, asked]


def uniswap_v3(stage, tools, coins):
    """Swaps at Uniswap V3: quoted, estimated, sent, found by its event, refused, simulated,
    traced."""
    market = UniswapV3(tools, coins)
    tools.cast("rpc", "evm_increaseTime", 5)
    tools.cast("rpc", "evm_mine")
    quoted = market.quote(ETHER)
    swap = market.swap(ETHER, quoted)
    returned = tools.cast("call", "--from", OWNER, swap[0], f"{SWAP}(uint256)", *swap[2:])
    expect("a simulated swap", int(returned.split()[0]), quoted)
    estimate = int(tools.cast("estimate", "--from", OWNER, *swap))
    receipt = tools.send(*GAS, *swap)
    used = int(receipt["gasUsed"], 16)
    if not used <= estimate < 2 * used:
        raise Failure(f"{used} gas, {estimate} were estimated")
    logs = json.loads(tools.cast("logs", "--json", "--address", market.pool, V3_SWAP_EVENT))
    found = [log["transactionHash"] for log in logs]
    expect("logs", found, [receipt["transactionHash"]])
    dear = market.swap(ETHER, SUPPLY)
    for words in (["call"], ["estimate"]):
        tools.fails("Too little received", *words, "--from", OWNER, *dear)
    simulated = tools.simulate(market.swap(ETHER), market.swap(ETHER))
    expect("simulated", [result["status"] for result in simulated], ["0x1", "0x1"])
    calls = tools.frames(receipt)
    for address in (market.pool, *coins):
        if address.lower() not in [call["to"] for call in calls]:
            raise Failure(f"{address} is not in the trace")
    stage.say(
        f"Uniswap V3: swapped what was quoted, {used} gas of {estimate} estimated; found by event; "
        f"simulated; traced in {len(calls)} calls; refused where too little comes back"
    )
    return market


def entry_point(stage, tools, coin, faults):
    """ERC-4337: an account that an operation makes, and that pays for it by itself; an operation
    that another signed, one that comes again, one that fails."""
    entry = tools.create("EntryPoint")
    factory = tools.create("SimpleAccountFactory", "constructor(address)", entry)
    key, forger = (f"0x{secrets.token_hex(32)}" for _ in range(2))
    owner = tools.cast("wallet", "address", "--private-key", key)
    payee = tools.cast("wallet", "address", "--private-key", forger)
    getter = "getAddress(address,uint256)(address)"
    sender = tools.call(factory, getter, owner, 0)[0]
    tools.send("--value", ETHER, entry, "depositTo(address)", sender)
    tools.send(coin, "transfer(address,uint256)", sender, 10 * ETHER)

    def operation(target, data, signer=key):
        creation = tools.cast("calldata", "createAccount(address,uint256)", owner, 0)
        is_there = tools.cast("code", sender) != "0x"
        execute = tools.cast("calldata", "execute(address,uint256,bytes)", target, 0, data)
        op = [
            sender,
            tools.call(entry, "getNonce(address,uint192)(uint256)", sender, 0)[0],
            "0x" if is_there else factory + creation[2:],
            execute,
            half(500_000, 200_000),
            50_000,
            half(GWEI, 10 * GWEI),
            "0x",
        ]
        digest = tools.call(entry, f"getUserOpHash({OPERATION})(bytes32)", fields(*op, "0x"))[0]
        signed = tools.cast("wallet", "sign", "--no-hash", "--private-key", signer, digest)
        return fields(*op, signed)

    def handle(op):
        return [entry, HANDLE, f"[{op}]", OWNER]

    transfer = tools.cast("calldata", "transfer(address,uint256)", payee, ETHER)
    op = operation(coin, transfer)
    if int(tools.cast("estimate", "--from", OWNER, *handle(op))) > GAS[1]:
        raise Failure("an estimate of an operation is too much")
    handled = tools.send(*GAS, *handle(op))
    expect("balance", tools.call(coin, "balanceOf(address)(uint256)", payee), [str(ETHER)])
    expect("success", succeeded(tools, entry, handled), [True])
    refused(tools, "AA24 signature error", handle(operation(coin, transfer, forger)))
    refused(tools, "AA", handle(op))
    failing = tools.send(*GAS, *handle(operation(faults, tools.cast("calldata", "reason()"))))
    expect("success of one that fails", succeeded(tools, entry, failing), [False])
    topic = tools.cast("keccak", REVERTED)
    reasons = [log["data"] for log in failing["logs"] if log["topics"][0] == topic]
    if b"not today".hex() not in reasons[0]:
        raise Failure(f"another reason: {reasons}")
    simulated = tools.simulate(handle(operation(coin, transfer)))
    expect("simulated", [result["status"] for result in simulated], ["0x1"])
    calls = tools.frames(handled)
    made = [call["to"] for call in calls if call["type"] == "CREATE2"]
    expect("what was made", made, [sender.lower()])
    stage.say(
        f"ERC-4337: an operation made its account and paid, {len(calls)} calls in the trace; "
        "another's signature, an operation again, one that fails, one simulated"
    )
    return entry


def refused(tools, reason, words):
    """A call of the EntryPoint fails; the reason is in the data of its own error."""
    told = tools.fails("execution reverted", "call", "--from", OWNER, *words)
    data = re.search(r'data: "(0x[0-9a-f]*)"', told)[1]
    decoded = tools.cast("decode-error", "--sig", "FailedOp(uint256,string)", data)
    if reason not in decoded:
        raise Failure(f"no {reason} in {decoded}")


def half(one, other):
    """Two numbers of 16 bytes in one word."""
    return f"0x{one:032x}{other:032x}"


def succeeded(tools, entry, receipt):
    """Whether each operation of a transaction succeeded, by the events as `cast logs` finds them."""
    block = int(receipt["blockNumber"], 16)
    words = ["--json", "--from-block", block, "--to-block", block, "--address", entry, HANDLED]
    logs = json.loads(tools.cast("logs", *words))
    # The second of four words: nonce, success, cost of gas, gas.
    return [int(log["data"][2:][64:128], 16) == 1 for log in logs]

"""Scenario `foundry`: OpenZeppelin's tokens, Uniswap and ERC-4337 through cast and forge."""

import json
import os
import re
import shutil
import subprocess

from dapp import ETHER, HERE, KEY, OWNER, dapp, tool, unpacked
from foundry_protocols import entry_point, uniswap_v3
from stage import Failure, expect

COMMAND_S = 60
SUPPLY = 1_000_000 * ETHER
DEADLINE = 2**63
NOBODY = "0x000000000000000000000000000000000000beef"
OTHER = "0x70997970c51812dc3a010c7d01b50e0d17dc79c8"
SWAP_EVENT = "Swap(address,uint256,uint256,uint256,uint256,address)"
SWAP = "swapExactTokensForTokens(uint256,uint256,address[],address,uint256)"
# ERC20InsufficientBalance(address,uint256,uint256)
INSUFFICIENT_BALANCE = "0xe450d38c"
# An estimate knows nothing of the time that will have passed.
ROOM = ("--gas-limit", 500_000)


class Foundry:
    """cast and forge on one chain, in a project of their own."""

    def __init__(self, stage, chain, packages):
        self.stage, self.chain, self.packages = stage, chain, packages
        self.project = stage.folder / "foundry"
        shutil.copytree(HERE / "foundry", self.project)
        (self.project / "src").mkdir()
        shutil.copy(HERE / "tokens.sol", self.project / "src")
        (self.project / "node_modules").symlink_to(packages / "node_modules")
        # What they keep lies in the stage's folder.
        self.environment = os.environ | {
            "HOME": str(stage.folder),
            "E2E_PACKAGES": str(packages),
            "ETH_RPC_URL": chain.http,
            "NO_COLOR": "1",
        }
        self.log = stage.folder / "foundry.log"

    def run(self, name, *words, **settings):
        """How a command ended: code, output, what it said besides."""
        command = [str(word) for word in [tool(self.packages, name), *words]]
        done = subprocess.run(
            command,
            cwd=self.project,
            env=self.environment | {name: str(value) for name, value in settings.items()},
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
        )
        with open(self.log, "a") as log:
            shown = " ".join(word if len(word) < 200 else word[:200] + "..." for word in command[1:])
            log.write(f"$ {name} {shown}\n{done.stdout}{done.stderr}code {done.returncode}\n")
        return done

    def out(self, tool, *words, **settings):
        """The output of a command that ends well."""
        done = self.run(tool, *words, **settings)
        if done.returncode:
            raise Failure(f"{tool} {words[0]} {words[1]}: {done.stderr.strip()}")
        return done.stdout.strip()

    def cast(self, *words):
        return self.out("cast", *words)

    def fails(self, reason, *words):
        """A cast command ends badly, and says why; gives what it said."""
        done = self.run("cast", *words)
        if not done.returncode or reason not in done.stderr:
            raise Failure(f"cast {words[0]}: no {reason!r} in: {done.stdout}{done.stderr}")
        return done.stderr

    def forge(self, *words, **settings):
        return self.out("forge", *words, **settings)

    def send(self, *words):
        """The receipt of a transaction of the first account."""
        return json.loads(self.cast("send", "--json", "--private-key", KEY, *words))

    def create(self, name, signature=None, *arguments):
        """Deploys a published contract; gives its address."""
        code = json.loads((self.stage.folder / f"{name}.json").read_text())["bytecode"]
        more = [signature, *arguments] if signature else []
        return self.send("--create", code, *more)["contractAddress"]

    def call(self, address, signature, *arguments):
        """The lines of an answer, without what cast writes beside a number."""
        lines = self.cast("call", address, signature, *arguments).splitlines()
        return [line.split(" [")[0] for line in lines]

    def simulate(self, *calls):
        """What comes of calls one after the other, in a block that will not be."""
        block = [
            {"from": OWNER, "to": to, "data": self.cast("calldata", signature, *arguments)}
            for to, signature, *arguments in calls
        ]
        blocks = json.dumps({"blockStateCalls": [{"calls": block}]})
        return json.loads(self.cast("rpc", "eth_simulateV1", blocks, "latest"))[0]["calls"]

    def frames(self, receipt):
        """All calls of a transaction, outermost first, as `callTracer` gives them."""

        def within(call):
            return [call] + [inner for part in call.get("calls", []) for inner in within(part)]

        tracer = json.dumps({"tracer": "callTracer", "tracerConfig": {"withLog": True}})
        trace = self.cast("rpc", "debug_traceTransaction", receipt["transactionHash"], tracer)
        return within(json.loads(trace))


def number(receipt, name="blockNumber"):
    return int(receipt[name], 16)


def foundry(stage, setup):
    """cast and forge on a dev chain: tokens, Uniswap, ERC-4337; a reorg, and a fork of it."""
    dapp(stage, setup, "dapp", scenario)


def scenario(stage, chain, packages):
    tools = Foundry(stage, chain, packages)
    stage.say(f"{tools.cast('--version').splitlines()[0]} on {tools.cast('client')}")
    expect("chain id", tools.cast("chain-id"), "1337")

    solc = ["--use", HERE / "solc.cjs"]
    tools.forge("build", *solc)
    made = ["create", *solc, "--broadcast", "--json", "--private-key", KEY]
    coins = []
    for name in ("RED", "BLUE"):
        words = ["src/tokens.sol:Coin", "--constructor-args", name, SUPPLY]
        coins.append(json.loads(tools.forge(*made, *words))["deployedTo"])
    first_block = int(tools.cast("block-number"))
    script = ["script", *solc, "script/Deploy.s.sol", "--broadcast", "--private-key", KEY]
    told = tools.forge(*script, "--rpc-url", chain.http, "--json")
    returns = json.loads(told.splitlines()[0])["returns"]
    green, collection, faults = (returns[name]["value"] for name in ("coin", "collection", "faults"))
    held = tools.call(green, "balanceOf(address)(uint256)", NOBODY)
    expect("balance", held, [str(5 * ETHER)])
    owner = tools.call(collection, "ownerOf(uint256)(address)", 1)[0]
    expect("owner", owner.lower(), OWNER)
    stage.say("forge compiled, deployed by `create` and by a script of five transactions")

    unpacked(stage, chain, packages)
    kinds = tools.create("Kinds", "constructor(uint256[],uint256[])", "[1,2]", "[10,20]")
    held = tools.call(kinds, "balanceOf(address,uint256)(uint256)", OWNER, 2)
    expect("balance of an ERC-1155", held, ["20"])
    weth = tools.create("WETH9")
    factory = tools.create("UniswapV2Factory", "constructor(address)", OWNER)
    router = tools.create("UniswapV2Router02", "constructor(address,address)", factory, weth)
    for coin in coins:
        tools.send(coin, "approve(address,uint256)", router, SUPPLY)
    add = "addLiquidity(address,address,uint256,uint256,uint256,uint256,address,uint256)"
    tools.send(router, add, *coins, 1000 * ETHER, 2000 * ETHER, 0, 0, OWNER, DEADLINE)
    pair = tools.call(factory, "getPair(address,address)(address)", *coins)[0]
    stage.say("cast deployed Uniswap V2, and made a pool")

    path = f"[{','.join(coins)}]"
    back = f"[{','.join(reversed(coins))}]"
    # The pair works more where time has passed since its last block.
    tools.cast("rpc", "evm_increaseTime", 5)
    tools.cast("rpc", "evm_mine")
    amounts = tools.cast("call", router, "getAmountsOut(uint256,address[])(uint256[])", ETHER, path)
    # Each number is followed by a shorter form of it in brackets.
    least = re.findall(r"(\d+) \[", amounts)[1]
    swap = [router, SWAP, ETHER, least, path, OWNER, DEADLINE]
    estimate = int(tools.cast("estimate", "--from", OWNER, *swap))
    swapped = tools.send(*ROOM, *swap)
    used = number(swapped, "gasUsed")
    if not used <= estimate < 2 * used:
        raise Failure(f"{used} gas, {estimate} were estimated")
    logs = json.loads(tools.cast("logs", "--json", "--address", pair, SWAP_EVENT))
    expect("logs", [log["transactionHash"] for log in logs], [swapped["transactionHash"]])
    stage.say(f"swapped; {used} gas, {estimate} were estimated; read the event by eth_getLogs")

    reorg(stage, tools, pair, path, back, router)
    failing(stage, tools, swap, faults, coins)
    tracing(stage, tools, swapped, swap, pair, coins)
    market = uniswap_v3(stage, tools, coins)
    entry = entry_point(stage, tools, coins[0], faults)

    words = ["--unlocked", "--from", OTHER, NOBODY, "--value", 5]
    sent = json.loads(tools.cast("send", "--json", *words))
    expect("sender", sent["from"].lower(), OTHER)
    tested = tools.forge(
        "test",
        *solc,
        E2E_URL=chain.http,
        E2E_BLOCK=tools.cast("block-number"),
        E2E_FIRST_BLOCK=first_block,
        E2E_OWNER=OWNER,
        E2E_RED=coins[0],
        E2E_BLUE=coins[1],
        E2E_ROUTER=router,
        E2E_QUOTER_V3=market.quoter,
        E2E_ROUTER_V3=market.router,
        E2E_ENTRY_POINT=entry,
    )
    if "4 tests passed" not in tested:
        raise Failure(f"forge test: {tested}")
    stage.say("a transaction of the node's own account; forge tested on a fork, and on its past")


def reorg(stage, tools, pair, path, back, router):
    """What filters and a subscription tell of a swap that a reorg takes back."""
    words = ["logs", "--subscribe", "--json", "--address", pair, "--rpc-url", tools.chain.ws]
    told = stage.start("subscription", [tool(tools.packages, "cast"), *words], HOME=stage.folder)
    # It says nothing before the first log.
    stage.wait("the subscription", 30, lambda: subscribed(stage, tools, told, pair))
    created = json.loads(tools.cast("rpc", "eth_newFilter", json.dumps({"address": pair})))
    snapshot = json.loads(tools.cast("rpc", "evm_snapshot"))
    lost = tools.send(*ROOM, router, SWAP, 2 * ETHER, 0, path, OWNER, DEADLINE)
    expect("filter", changes(tools, created), [(lost["transactionHash"], False)])
    expect("revert", tools.cast("rpc", "evm_revert", snapshot), "true")
    kept = tools.send(*ROOM, router, SWAP, 3 * ETHER, 0, back, OWNER, DEADLINE)
    expect("block", number(kept), number(lost))
    if kept["blockHash"] == lost["blockHash"]:
        raise Failure("the block is the same after a reorg")
    receipt = tools.cast("rpc", "eth_getTransactionReceipt", lost["transactionHash"])
    expect("the receipt of what was lost", receipt, "null")
    wanted = [(lost["transactionHash"], True), (kept["transactionHash"], False)]
    if tools.chain.is_anvil:
        wanted = wanted[1:]
    expect("filter", changes(tools, created), wanted)
    wanted = [(lost["transactionHash"], False), *wanted]

    def is_told():
        told = read_logs(stage)
        return all(entry in told for entry in wanted)

    stage.wait("the subscription tells the reorg", 10, is_told)
    told.kill()
    more = "" if tools.chain.is_anvil else ", and the lost one as removed"
    stage.say(f"a reorg: filter and subscription told the new swap{more}")
    logs = json.loads(tools.cast("logs", "--json", "--address", pair, SWAP_EVENT))
    if lost["transactionHash"] in [log["transactionHash"] for log in logs]:
        raise Failure("a lost log is found")


def subscribed(stage, tools, told, pair):
    """Whether the subscription has told something; a transfer of nothing makes the pair log."""
    if told.code() is not None:
        raise Failure("cast logs --subscribe ended: see subscription.log")
    tools.send(pair, "transfer(address,uint256)", NOBODY, 0)
    return read_logs(stage)


def read_logs(stage):
    """Transaction and `removed` of each log that the subscription has told, in a list that does not
    end."""
    found, decoder = [], json.JSONDecoder()
    for part in (stage.folder / "subscription.log").read_text().split('{"address"')[1:]:
        try:
            log = decoder.raw_decode('{"address"' + part)[0]
        except ValueError:
            # It is still being written.
            break
        found.append((log["transactionHash"], bool(log.get("removed"))))
    return found


def changes(tools, created):
    """Transaction and `removed` of the swaps that a filter has gathered."""
    found = json.loads(tools.cast("rpc", "eth_getFilterChanges", created))
    topic = tools.cast("keccak", SWAP_EVENT)
    swaps = [log for log in found if log["topics"][0] == topic]
    return [(log["transactionHash"], bool(log.get("removed"))) for log in swaps]


def failing(stage, tools, swap, faults, coins):
    """Calls and transactions that fail, and what is said of them."""
    dear = [*swap[:3], SUPPLY, *swap[4:]]
    reason = "UniswapV2Router: INSUFFICIENT_OUTPUT_AMOUNT"
    tools.fails(reason, "call", "--from", OWNER, *dear)
    tools.fails(reason, "send", "--private-key", KEY, *dear)
    tools.fails(reason, "estimate", "--from", OWNER, *dear)
    tools.fails("not today", "call", faults, "reason()")
    transfer = [coins[0], "transfer(address,uint256)", OWNER, 1]
    tools.fails(INSUFFICIENT_BALANCE, "call", "--from", NOBODY, *transfer)
    failed = tools.send(*ROOM, *dear)
    expect("status of a failing transaction", failed["status"], "0x0")
    traced = tools.cast("run", failed["transactionHash"])
    if reason not in traced:
        raise Failure(f"no {reason} in {traced}")
    stage.say("failed as it should: call, estimate and send tell the reason, `cast run` finds it again")


def tracing(stage, tools, swapped, swap, pair, coins):
    """What explorers and debuggers ask of a transaction, and of a call."""
    transaction = swapped["transactionHash"]
    replayed = tools.cast("run", transaction)
    for address in (pair, *coins):
        if address.lower() not in replayed.lower():
            raise Failure(f"{address} is not in the trace: {replayed}")
    calls = tools.frames(swapped)
    expect("gas of the trace", calls[0]["gasUsed"], swapped["gasUsed"])
    logs = sum(len(call.get("logs", [])) for call in calls)
    expect("logs of the trace", logs, len(swapped["logs"]))
    cheap = [*swap[:3], 0, *swap[4:]]
    simulated = tools.simulate(cheap, cheap)
    expect("simulated", [result["status"] for result in simulated], ["0x1", "0x1"])
    if not simulated[0]["logs"]:
        raise Failure("a simulated swap has no logs")
    listed = tools.cast("access-list", "--from", OWNER, *cheap)
    if pair.lower() not in listed.lower():
        raise Failure(f"the pair is not in the access list: {listed}")
    slot = tools.cast("index", "address", OWNER, 0)
    proof = json.loads(tools.cast("proof", coins[0], slot))
    stored = int(tools.cast("storage", coins[0], slot), 16)
    expect("proof", int(proof["storageProof"][0]["value"], 16), stored)
    held = tools.call(coins[0], "balanceOf(address)(uint256)", OWNER)
    expect("balance", held, [str(stored)])
    expect("type", json.loads(tools.cast("tx", transaction, "--json"))["type"], "0x2")
    stage.say("traced the swap, and again by replaying it; simulated; access list, proof, storage")

"""Tokens, Uniswap and ERC-4337 through web3.py 8: deployed, used, watched across a reorg, failing,
estimated, simulated and traced.

The steps are those of protocols.mjs; dapp.py puts the contracts beside the plan, as NAME.json.
"""

import asyncio
import json
import os
import sys
import threading
import time
from pathlib import Path

import web3
from eth_account import Account
from web3 import AsyncWeb3, Web3, WebSocketProvider
from web3.exceptions import (
    ContractLogicError,
    ContractPanicError,
    TransactionNotFound,
    Web3RPCError,
)
from web3.logs import DISCARD
from web3.middleware import SignAndSendRawMiddlewareBuilder
from web3.utils.subscriptions import LogsSubscription, NewHeadsSubscription

PLAN = Path(os.environ["E2E_PLAN"])
WAIT_S = 10
POLL_S = 0.05
ETHER = 10**18
GWEI = 10**9
SUPPLY = 1_000_000 * ETHER
DEADLINE = 2**63
SWAP_GAS = 1_000_000
OPERATION_GAS = 5_000_000
FEE = 3000
TICKS = 887_220
ZERO = "0x" + "00" * 20

plan = json.loads(PLAN.read_text())
w3 = Web3(Web3.HTTPProvider(plan["url"]))
account = w3.eth.account.from_key(os.environ["E2E_KEY"])
w3.middleware_onion.inject(SignAndSendRawMiddlewareBuilder.build(account), layer=0)
w3.eth.default_account = account.address
me = account.address
is_anvil = w3.client_version.startswith("anvil/")


def did(text):
    """One line of what was done; dapp.py prints it."""
    print(f"- {text}", flush=True)


def ask(method, *params):
    """A method that web3.py has no word for."""
    answer = w3.provider.make_request(method, params)
    assert "error" not in answer, f"{method}: {answer['error']}"
    return answer["result"]


def artifact(name):
    return json.loads((PLAN.parent / f"{name}.json").read_text())


def at(name, address):
    return w3.eth.contract(address=address, abi=artifact(name)["abi"])


def deploy(name, *arguments):
    found = artifact(name)
    contract = w3.eth.contract(abi=found["abi"], bytecode=found["bytecode"])
    receipt = w3.eth.wait_for_transaction_receipt(contract.constructor(*arguments).transact())
    assert receipt["status"] == 1, name
    return at(name, receipt["contractAddress"])


def mined(function, status=1, **options):
    """The receipt of a contract's function."""
    receipt = w3.eth.wait_for_transaction_receipt(function.transact(options))
    assert receipt["status"] == status, f"{function}: {receipt['status']}"
    return receipt


def call_of(function, gas):
    """What a contract's function is as a call of the account."""
    built = function.build_transaction({"gas": gas})
    return {"from": me, "to": built["to"], "data": built["data"], "gas": gas}


def refused(work, reason, kind=ContractLogicError):
    """A call fails with web3.py's error of that kind, which has the reason."""
    try:
        work()
    except kind as error:
        data = str(getattr(error, "data", None) or "")
        told = str(error) + bytes.fromhex(data.removeprefix("0x")).decode(errors="replace")
        assert reason.lower() in told.lower(), f"no {reason} in {told}"
        return error
    raise AssertionError(f"not refused: {reason}")


def until(what, condition):
    """The first truthy answer of a condition."""
    end = time.monotonic() + WAIT_S
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(POLL_S)
    raise AssertionError(f"{what}: not within {WAIT_S} s")


def frames(call):
    """What `callTracer` gave of a call, and of all calls within it, outermost first."""
    return [call] + [inner for part in call.get("calls", []) for inner in frames(part)]


def traced(receipt, **config):
    """The calls of a transaction."""
    config = {"tracer": "callTracer", "tracerConfig": config}
    return w3.geth.debug.trace_transaction(receipt["transactionHash"], config)


def tokens():
    """ERC-20, ERC-721 and ERC-1155 of OpenZeppelin, and ways to fail."""
    coins = [deploy("Coin", name, SUPPLY) for name in ("RED", "BLUE")]
    collection, kinds = deploy("Collection"), deploy("Kinds", [1, 2], [10, 20])
    taken = mined(collection.functions.take())
    assert collection.events.Transfer().process_receipt(taken)[0]["args"]["tokenId"] == 1
    assert collection.functions.ownerOf(1).call() == me
    assert kinds.functions.balanceOfBatch([me, me], [1, 2]).call() == [10, 20]
    did("deployed ERC-20, ERC-721 and ERC-1155; took one, and read the balances")
    return coins, deploy("Faults")


class Market:
    """A pool of two coins: how a swap there is asked for, and what is known of it."""

    def __init__(self, coins):
        self.coins = coins
        self.path = [coin.address for coin in coins]

    def allow(self, *spenders):
        for coin in self.coins:
            for spender in spenders:
                mined(coin.functions.approve(spender.address, SUPPLY))

    def way(self, back):
        return self.path[::-1] if back else self.path


class UniswapV2(Market):
    refusal = "UniswapV2Router: INSUFFICIENT_OUTPUT_AMOUNT"

    def __init__(self, coins):
        super().__init__(coins)
        factory = deploy("UniswapV2Factory", me)
        self.router = deploy("UniswapV2Router02", factory.address, deploy("WETH9").address)
        self.allow(self.router)
        amounts = [1000 * ETHER, 1000 * ETHER, 0, 0]
        mined(self.router.functions.addLiquidity(*self.path, *amounts, me, DEADLINE))
        self.pool = at("UniswapV2Pair", factory.functions.getPair(*self.path).call())
        did("deployed Uniswap V2 with its router; made a pool")

    def quote(self, amount):
        return self.router.functions.getAmountsOut(amount, self.path).call()[1]

    def swap(self, amount, least=0, back=False):
        return self.router.functions.swapExactTokensForTokens(
            amount, least, self.way(back), me, DEADLINE
        )

    @staticmethod
    def promised(result):
        return result[1]

    @staticmethod
    def given(event):
        return event["args"]["amount0Out"] + event["args"]["amount1Out"]


class UniswapV3(Market):
    refusal = "Too little received"

    def __init__(self, coins):
        super().__init__(coins)
        factory = deploy("UniswapV3Factory")
        places = [factory.address, deploy("WETH9").address]
        self.router = deploy("SwapRouter", *places)
        positions = deploy("NonfungiblePositionManager", *places, ZERO)
        self.quoter = deploy("QuoterV2", *places)
        self.allow(self.router, positions)
        pair = sorted(self.path, key=lambda address: int(address, 16))
        create = positions.functions.createAndInitializePoolIfNecessary
        mined(create(*pair, FEE, 2**96))
        position = {
            "token0": pair[0],
            "token1": pair[1],
            "fee": FEE,
            "tickLower": -TICKS,
            "tickUpper": TICKS,
            "amount0Desired": 1000 * ETHER,
            "amount1Desired": 1000 * ETHER,
            "amount0Min": 0,
            "amount1Min": 0,
            "recipient": me,
            "deadline": DEADLINE,
        }
        mined(positions.functions.mint(position), gas=SWAP_GAS)
        assert positions.functions.ownerOf(1).call() == me
        self.pool = at("UniswapV3Pool", factory.functions.getPool(*pair, FEE).call())
        did("deployed Uniswap V3 with router, positions and quoter; made a pool and a position")

    def asked(self, amount, back=False):
        names = ("tokenIn", "tokenOut", "fee", "amountIn", "sqrtPriceLimitX96")
        return dict(zip(names, (*self.way(back), FEE, amount, 0)))

    def quote(self, amount):
        return self.quoter.functions.quoteExactInputSingle(self.asked(amount)).call()[0]

    def swap(self, amount, least=0, back=False):
        more = {"recipient": me, "deadline": DEADLINE, "amountOutMinimum": least}
        return self.router.functions.exactInputSingle(self.asked(amount, back) | more)

    @staticmethod
    def promised(result):
        return result

    @staticmethod
    def given(event):
        # What leaves the pool is below zero.
        return -min(event["args"]["amount0"], event["args"]["amount1"])


def swapped(market):
    """A swap: quoted, simulated, estimated, sent, found by its event, traced, refused."""
    name, events = type(market).__name__, market.pool.events.Swap()
    # A pool works more where time has passed since its last block.
    ask("evm_increaseTime", 5)
    ask("evm_mine")
    quoted = market.quote(ETHER)
    swap = market.swap(ETHER, quoted)
    assert market.promised(swap.call()) == quoted
    estimate = swap.estimate_gas()
    balance = market.coins[1].functions.balanceOf(me)
    before = balance.call()
    receipt = mined(swap, gas=SWAP_GAS)
    assert balance.call() - before == quoted
    used = receipt["gasUsed"]
    assert used <= estimate < 2 * used, f"{used} of {estimate}"
    (event,) = events.get_logs(from_block=receipt["blockNumber"])
    assert event["transactionHash"] == receipt["transactionHash"]
    assert market.given(event) == quoted

    trace = traced(receipt, withLog=True)
    calls = frames(trace)
    for contract in (market.router, market.pool, *market.coins):
        assert any(int(call["to"], 16) == int(contract.address, 16) for call in calls)
    # web3.py makes numbers of some of the quantities of a trace.
    gas = trace["gasUsed"]
    assert (gas if isinstance(gas, int) else int(gas, 16)) == used
    assert sum(len(call.get("logs", [])) for call in calls) == len(receipt["logs"])

    # Two swaps one after the other, in a block that will not be: the second gives less.
    blocks = {"blockStateCalls": [{"calls": [call_of(market.swap(ETHER), SWAP_GAS)] * 2}]}
    (block,) = w3.eth.simulate_v1(blocks, "latest")
    assert [call["status"] for call in block["calls"]] == [1, 1]
    topic = Web3.keccak(text=signature(market.pool, "Swap"))
    logs = [log for call in block["calls"] for log in call["logs"] if log["topics"][0] == topic]
    one, two = (market.given(events.process_log(log)) for log in logs)
    assert two < one, f"{two} after {one}"

    dear = market.swap(ETHER, SUPPLY)
    for work in (dear.call, dear.estimate_gas, dear.transact):
        refused(work, market.refusal)
    failed = mined(dear, status=0, gas=SWAP_GAS)
    cause = traced(failed)
    assert "revert" in cause["error"] and market.refusal.encode().hex() in text(cause["output"])
    did(
        f"{name}: swapped what was quoted, {used} gas of {estimate} estimated; found by event; "
        f"simulated; traced in {len(calls)} calls; refused where too little comes back"
    )


def text(data):
    """Hexadecimal digits of what may be bytes."""
    return data if isinstance(data, str) else bytes(data).hex()


def signature(contract, event):
    """An event as its topic is made of."""
    (found,) = (part for part in contract.abi if part.get("name") == event)
    return f"{event}({','.join(part['type'] for part in found['inputs'])})"


class Subscriptions(threading.Thread):
    """What a WebSocket tells of logs and blocks, in lists that grow."""

    def __init__(self, address, topic):
        super().__init__(daemon=True)
        self.address, self.topic = address, topic
        self.logs, self.heads = [], []
        self.is_ready = threading.Event()

    def run(self):
        asyncio.run(self.listen())

    async def listen(self):
        async def log(context):
            self.logs.append(context.result)

        async def head(context):
            self.heads.append(context.result["hash"])

        async with AsyncWeb3(WebSocketProvider(plan["ws"])) as socket:
            wanted = [
                LogsSubscription(address=self.address, topics=[self.topic], handler=log),
                NewHeadsSubscription(handler=head),
            ]
            await socket.subscription_manager.subscribe(wanted)
            self.is_ready.set()
            await socket.subscription_manager.handle_subscriptions(run_forever=True)


def has(logs, receipt, removed=False):
    """Whether the log of a transaction was told."""
    wanted = (receipt["transactionHash"], removed)
    return any((log["transactionHash"], bool(log.get("removed"))) == wanted for log in logs)


def watched(market):
    """What eth_getLogs, filters and subscriptions tell of swaps, across a reorg."""
    topic = Web3.keccak(text=signature(market.pool, "Swap")).to_0x_hex()
    told = Subscriptions(market.pool.address, topic)
    told.start()
    assert told.is_ready.wait(WAIT_S), "no subscription"
    wanted = {"address": market.pool.address, "topics": [topic], "fromBlock": "latest"}
    raw = w3.eth.filter(wanted)
    decoded = market.pool.events.Swap.create_filter(from_block="latest")
    blocks = w3.eth.filter("latest")

    first = mined(market.swap(ETHER), gas=SWAP_GAS)
    assert has(raw.get_new_entries(), first)
    (event,) = decoded.get_new_entries()
    assert market.given(event) > 0 and event["blockHash"] == first["blockHash"]
    assert first["blockHash"] in blocks.get_new_entries()
    assert has(raw.get_all_entries(), first)
    until("the subscription tells the swap", lambda: has(told.logs, first))
    until("newHeads tells the block", lambda: first["blockHash"] in told.heads)

    snapshot = ask("evm_snapshot")
    lost = mined(market.swap(2 * ETHER), gas=SWAP_GAS)
    until("the subscription tells what will be lost", lambda: has(told.logs, lost))
    raw.get_new_entries()
    assert ask("evm_revert", snapshot) is True
    kept = mined(market.swap(3 * ETHER, back=True), gas=SWAP_GAS)
    assert kept["blockNumber"] == lost["blockNumber"] and kept["blockHash"] != lost["blockHash"]
    until("the subscription tells the new swap", lambda: has(told.logs, kept))
    try:
        w3.eth.get_transaction_receipt(lost["transactionHash"])
        raise AssertionError("the receipt of what was lost is there")
    except TransactionNotFound:
        pass
    (event,) = market.pool.events.Swap().get_logs(from_block=kept["blockNumber"])
    assert event["transactionHash"] == kept["transactionHash"]
    changes = raw.get_new_entries()
    assert has(changes, kept)
    if not is_anvil:
        assert has(changes, lost, removed=True)
        until("the subscription tells what was lost", lambda: has(told.logs, lost, removed=True))
        order = [(log["transactionHash"], bool(log["removed"])) for log in told.logs]
        removed = order.index((lost["transactionHash"], True))
        assert removed < order.index((kept["transactionHash"], False)), "first what was lost"
    assert w3.eth.uninstall_filter(raw.filter_id) is True
    more = "" if is_anvil else ", and the lost one as removed"
    did(
        f"{type(market).__name__}: swaps read by eth_getLogs, filter and subscription; a reorg: "
        f"the new one was told{more}"
    )


def entry_point(coin, faults):
    """ERC-4337: an account that an operation makes, and that pays for it by itself; an operation
    that another signed, one that comes again, one that fails."""
    entry = deploy("EntryPoint")
    factory = deploy("SimpleAccountFactory", entry.address)
    owner, forger, payee = Account.create(), Account.create(), Account.create().address
    sender = factory.functions.getAddress(owner.address, 0).call()
    made = at("SimpleAccount", sender)
    mined(entry.functions.depositTo(sender), value=ETHER)
    mined(coin.functions.transfer(sender, 10 * ETHER))

    def half(one, other):
        return one.to_bytes(16, "big") + other.to_bytes(16, "big")

    def operation(target, data, signer=owner):
        creation = factory.encode_abi("createAccount", [owner.address, 0])
        creation = bytes.fromhex(factory.address[2:] + creation[2:])
        op = {
            "sender": sender,
            "nonce": entry.functions.getNonce(sender, 0).call(),
            "initCode": b"" if w3.eth.get_code(sender) else creation,
            "callData": made.encode_abi("execute", [target.address, 0, data]),
            "accountGasLimits": half(500_000, 200_000),
            "preVerificationGas": 50_000,
            "gasFees": half(GWEI, 10 * GWEI),
            "paymasterAndData": b"",
            "signature": b"",
        }
        digest = entry.functions.getUserOpHash(op).call()
        return op | {"signature": bytes(signer.unsafe_sign_hash(digest).signature)}

    def handle(op):
        return entry.functions.handleOps([op], me)

    def told(event, receipt):
        return getattr(entry.events, event)().process_receipt(receipt, errors=DISCARD)

    transfer = coin.encode_abi("transfer", [payee, ETHER])
    op = operation(coin, transfer)
    assert handle(op).estimate_gas() < OPERATION_GAS
    handled = mined(handle(op), gas=OPERATION_GAS)
    assert told("AccountDeployed", handled)[0]["args"]["sender"] == sender
    assert told("UserOperationEvent", handled)[0]["args"]["success"]
    assert coin.functions.balanceOf(payee).call() == ETHER
    logs = entry.events.UserOperationEvent().get_logs(from_block=handled["blockNumber"])
    assert [log["args"]["sender"] for log in logs] == [sender]
    refused(handle(operation(coin, transfer, forger)).call, "AA24 signature error")
    refused(handle(op).call, "AA")
    failing = mined(handle(operation(faults, faults.encode_abi("reason"))), gas=OPERATION_GAS)
    assert not told("UserOperationEvent", failing)[0]["args"]["success"]
    (reverted,) = told("UserOperationRevertReason", failing)
    assert b"not today" in reverted["args"]["revertReason"]

    call = call_of(handle(operation(coin, transfer)), OPERATION_GAS)
    (block,) = w3.eth.simulate_v1({"blockStateCalls": [{"calls": [call]}]}, "latest")
    assert block["calls"][0]["status"] == 1
    calls = frames(traced(handled))
    created = [int(call["to"], 16) for call in calls if call["type"] == "CREATE2"]
    assert created == [int(sender, 16)]
    assert any(call["type"] == "DELEGATECALL" for call in calls)
    did(
        f"ERC-4337: an operation made its account and paid, {len(calls)} calls in the trace; "
        "another's signature, an operation again, one that fails, one simulated"
    )


def failing(coin, faults):
    """Errors with the classes of web3.py."""
    stranger = Account.create().address
    insufficient = Web3.keccak(text="ERC20InsufficientBalance(address,uint256,uint256)")[:4]
    error = refused(lambda: coin.functions.transfer(me, 1).call({"from": stranger}), "")
    assert error.data.startswith(insufficient.to_0x_hex()), error.data
    refused(faults.functions.reason().call, "not today")
    refused(faults.functions.divide(0).call, "Panic error 0x12", ContractPanicError)
    endless = faults.functions.endless()
    refused(lambda: endless.call({"gas": 100_000}), "gas", Web3RPCError)
    poor = Account.create()
    costly = {
        "to": me,
        "value": 1,
        "gas": 21_000,
        "maxFeePerGas": 10 * GWEI,
        "maxPriorityFeePerGas": 1,
        "nonce": 0,
        "chainId": w3.eth.chain_id,
        "type": 2,
    }
    sent = poor.sign_transaction(costly).raw_transaction
    refused(lambda: w3.eth.send_raw_transaction(sent), "insufficient funds", Web3RPCError)
    stale = account.sign_transaction(costly).raw_transaction
    refused(lambda: w3.eth.send_raw_transaction(stale), "nonce too low", Web3RPCError)
    did("failed as it should: a reason, an own error, a panic, no gas left, no funds, an old nonce")


def wallets(market, coin):
    """What else wallets ask."""
    stranger = Account.create().address
    slot = int.from_bytes(Web3.solidity_keccak(["uint256", "uint256"], [int(me, 16), 0]), "big")
    proof = w3.eth.get_proof(coin.address, [slot])
    held = coin.functions.balanceOf(me).call()
    assert int.from_bytes(proof["storageProof"][0]["value"], "big") == held
    theirs = Web3.solidity_keccak(["uint256", "uint256"], [int(stranger, 16), 0]).to_0x_hex()
    override = {coin.address: {"stateDiff": {theirs: "0x" + "09".zfill(64)}}}
    assert coin.functions.balanceOf(stranger).call(state_override=override) == 9
    listed = w3.eth.create_access_list(call_of(market.swap(ETHER), SWAP_GAS))
    assert market.pool.address in [entry["address"] for entry in listed["accessList"]]
    history = w3.eth.fee_history(4, "latest", [50])
    assert len(history["gasUsedRatio"]) == 4 and len(history["reward"]) == 4
    sender = w3.eth.accounts[1]
    receipt = w3.eth.wait_for_transaction_receipt(
        w3.eth.send_transaction({"from": sender, "to": stranger, "value": 5})
    )
    assert receipt["from"] == sender and w3.eth.get_balance(stranger) == 5
    signed = w3.eth.sign_transaction({"from": sender, "to": stranger, "value": 7})
    assert w3.eth.account.recover_transaction(signed["raw"]) == sender
    assert (signed["tx"]["to"], signed["tx"]["value"]) == (stranger, 7)
    did("access list, proof, a changed slot, fees, a transaction of the node's own account")


def main():
    did(f"web3.py {web3.__version__} on chain {w3.eth.chain_id} of {w3.client_version}")
    coins, faults = tokens()
    markets = [UniswapV2(coins), UniswapV3(coins)]
    for market in markets:
        swapped(market)
        watched(market)
    entry_point(coins[0], faults)
    failing(coins[0], faults)
    wallets(markets[0], coins[0])


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    # The subscription goes on for ever.
    os._exit(0)

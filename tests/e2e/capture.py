"""Scenario `capture`: blocks of another client through `fugue capture`, and back by `fugue replay`."""

import json
import re
import subprocess

from dapp import OWNER, tool
from stage import Failure
from wire import Rpc

START_S = 30
CAPTURE_S = 60
OTHER = "0x70997970c51812dc3a010c7d01b50e0d17dc79c8"
# Makes a contract that stores 42 in its first slot when it is called.
STORES = "0x6005600c60003960056000f3602a60005500"
# Anvil goes to Shanghai: from Prague on, a block needs system contracts that it does not have.
CHAIN_ID = 31337
BLOCKS = ["homestead", "eip150", "eip155", "eip158", "byzantium", "constantinople", "petersburg"]
BLOCKS += ["istanbul", "berlin", "london"]


def genesis(path):
    """The rules of the chain; the accounts come from the node."""
    config = {f"{name}Block": 0 for name in BLOCKS}
    config |= {"chainId": CHAIN_ID, "terminalTotalDifficulty": 0, "shanghaiTime": 0}
    head = {"gasLimit": "0x1c9c380", "difficulty": "0x0", "timestamp": "0x0", "extraData": "0x"}
    path.write_text(json.dumps({"config": config, "alloc": {}} | head))
    return path


def run(stage, words):
    """A command of Fugue that ends well: all that it says."""
    done = subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, timeout=CAPTURE_S
    )
    told = done.stdout + done.stderr
    with open(stage.folder / "capture.log", "a") as log:
        log.write(f"$ {' '.join(map(str, words))}\n{told}code {done.returncode}\n")
    if done.returncode:
        raise Failure(f"fugue {words[1]}: code {done.returncode}: {told[-500:]}")
    return told


def capture(stage, setup):
    """`fugue capture` from anvil: by traces, by what blocks read, and by the way that is open."""
    packages = setup.packages("dapp")
    port = stage.port()
    command = [tool(packages, "anvil"), "--port", port, "--hardfork", "shanghai"]
    anvil = stage.start("anvil", command)
    url = f"http://127.0.0.1:{port}"
    rpc = Rpc(url)
    stage.wait("anvil answers", START_S, lambda: rpc.call("eth_chainId"))

    def send(**fields):
        # Two blocks of one second would break a rule.
        rpc.call("evm_increaseTime", 5)
        sent = rpc.call("eth_sendTransaction", {"from": OWNER, **fields})
        receipt = stage.wait(f"the receipt of {sent}", START_S,
                             lambda: rpc.call("eth_getTransactionReceipt", sent))
        return receipt["contractAddress"], int(receipt["blockNumber"], 16)

    # The proofs of anvil's first state do not fit the root that its genesis names.
    send(to=OTHER, value="0x1")
    stores, first = send(data=STORES)
    send(to=stores)
    send(to=stores)
    _, last = send(to=OTHER, value="0x2")
    stage.say(f"anvil has {last} blocks")

    chain = genesis(stage.folder / "genesis.json")
    count = last - first + 1
    for way, taken in [("prestate", "prestate"), ("reads", "reads"), ("auto", "prestate")]:
        folder = stage.folder / way
        words = [setup.fugue, "capture", "--rpc", url, "--chain", chain, "--way", way]
        told = run(stage, [*words, "--block", f"{first}..{last}", "--out", folder])
        wanted = f"{count} of {count} blocks captured"
        if wanted not in told or not re.search(rf"\b{count} by {taken}\b", told):
            raise Failure(f"--way {way}: no {wanted!r} by {taken} in: {told}")
        told = run(stage, [setup.fugue, "replay", folder])
        if f"{count} equal, 0 different" not in told:
            raise Failure(f"--way {way}: the replay says: {told}")
        stage.say(f"--way {way}: {count} blocks by {taken}, replayed, equal in both modes")
    anvil.stop(START_S)

"""Scenarios of dApp clients: libraries and tools over a dev chain, with contracts that are in use.

The chain is that of `fugue node --dev`, or the one at `--url`.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

from records import NotRun
from stage import Failure
from wire import Rpc

HERE = Path(__file__).resolve().parent / "dapp"
ROOT = HERE.parent.parent.parent
START_S = 30
STOP_S = 20
SCRIPT_S = 110
UNPACK_S = 60
# Results are judged while they come; what is left of the last ones takes a moment.
JUDGE_STOP_S = 30
ETHER = 10**18
# The first of the ten accounts of a dev chain.
OWNER = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266"
KEY = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
# Contracts that tools outside Node deploy, and whose ABIs they want, with the packages they are of.
PUBLISHED = {
    "WETH9": "@uniswap/v2-periphery",
    "UniswapV2Factory": "@uniswap/v2-core",
    "UniswapV2Pair": "@uniswap/v2-core",
    "UniswapV2Router02": "@uniswap/v2-periphery",
    "UniswapV3Factory": "@uniswap/v3-core",
    "UniswapV3Pool": "@uniswap/v3-core",
    "SwapRouter": "@uniswap/v3-periphery",
    "NonfungiblePositionManager": "@uniswap/v3-periphery",
    "QuoterV2": "@uniswap/v3-periphery",
    "EntryPoint": "@account-abstraction/contracts",
    "SimpleAccount": "@account-abstraction/contracts",
    "SimpleAccountFactory": "@account-abstraction/contracts",
}
OWN = {name: "tokens.sol" for name in ("Coin", "Collection", "Kinds", "Faults")}


class Chain:
    """A dev chain that somebody else runs."""

    def __init__(self, http, ws):
        self.http, self.ws, self.rpc = http, ws, Rpc(http)

    @property
    def is_anvil(self):
        """Whether it is the reference."""
        return self.rpc.call("web3_clientVersion").startswith("anvil/")

    def stop(self):
        """Somebody else's."""


class DevNode(Chain):
    """`fugue node --dev`, with every group of methods that it has. Where there is an OpenRPC document,
    clients speak to judge.py, which judges what is answered."""

    def __init__(self, stage, setup, *words):
        program = setup.fugue
        engine, http, ws = (stage.port() for _ in range(3))
        self.stage, self.judge = stage, None
        port, ws_port, document = http, ws, openrpc_document()
        if document:
            port, ws_port = stage.port(), stage.port()
            command = [setup.packages("judge") / "bin" / "python", HERE.parent / "judge.py"]
            command += ["--listen", port, "--node", http, "--document", document]
            command += ["--listen-ws", ws_port, "--node-ws", ws]
            self.judge = stage.start("judge", command)
        else:
            stage.say("not judged: results, as there is no OpenRPC document: make openrpc")
        super().__init__(f"http://127.0.0.1:{port}", f"ws://127.0.0.1:{ws_port}")
        apis = ",".join(api_groups(program))
        command = [program, "node", "--dev", "--ipcdisable", *words]
        command += ["--authrpc.port", engine, "--authrpc.jwtsecret", stage.jwt]
        command += ["--http", "--http.port", http, "--http.api", apis]
        command += ["--ws", "--ws.port", ws, "--ws.api", apis]
        # What it keeps, as long as it runs, lies in the stage's folder.
        self.running = stage.start("fugue", command, TMPDIR=stage.folder)
        stage.wait("the node answers", START_S, lambda: self.rpc.call("eth_chainId"))

    def stop(self):
        faults = []
        if self.judge:
            code, lines = self.judge.stop(JUDGE_STOP_S), self.judge.log.read_text().splitlines()
            # The first line is the command.
            self.stage.say("; ".join([*lines[1:2], *lines[-1:]]))
            if code:
                faults += [line for line in lines if line.startswith("misfit: ")]
                faults.append(f"the judge ended with code {code}: see judge.log")
        code = self.running.stop(STOP_S)
        if code:
            faults.append(f"the node ended with code {code} after SIGTERM")
        if faults:
            raise Failure("\n".join(faults))


def openrpc_document():
    """The document that the tests of the workspace judge by, too: see tests/it/openrpc.rs. None if
    there is none."""
    named = os.environ.get("FUGUE_OPENRPC")
    if named:
        return Path(named).resolve(strict=True)
    places = [ROOT / "target" / "openrpc" / "openrpc.json", data() / "openrpc.json"]
    return next((path for path in places if path.is_file()), None)


def api_groups(program):
    """Groups of methods, as the help of `--http.api` lists them."""
    done = subprocess.run([program, "node", "--help"], capture_output=True, text=True, check=True)
    lines = iter(line.strip() for line in done.stdout.splitlines())
    groups = []
    for line in lines:
        if line.startswith("--http.api "):
            break
    for line in lines:
        if line.startswith("- "):
            groups.append(line[2:].partition(":")[0])
        elif line.startswith("--"):
            break
    if "eth" not in groups:
        raise Failure(f"the help of --http.api lists no groups: {groups}")
    return groups


def tool(packages, name):
    """A program of Foundry for this machine; the script beside it keeps its exit code to itself."""
    found = list((packages / "node_modules" / "@foundry-rs").glob(f"{name}-*/bin/{name}"))
    if not found:
        raise NotRun(f"there is no {name} for this machine")
    return found[0]


def data():
    """The folder of recorded data, which is no part of the repository."""
    return Path(os.environ.get("FUGUE_DATA") or ROOT.parent / "shared" / "data")


def contracts():
    """The folder of published contracts."""
    folder = data() / "contracts"
    if not folder.is_dir():
        raise NotRun(f"{folder} is not there; FUGUE_DATA says where the data is")
    return folder


def plan_file(stage, chain):
    """What the scripts are told."""
    path = stage.folder / "plan.json"
    plan = {"url": chain.http, "ws": chain.ws, "contracts": str(contracts().resolve())}
    path.write_text(json.dumps(plan))
    return path


def unpacked(stage, chain, packages):
    """Writes ABI and creation code of the contracts to NAME.json in the stage's folder."""
    names = [f"{source}:{name}" for name, source in (PUBLISHED | OWN).items()]
    command = ["node", packages / "unpack.mjs", stage.folder, *names]
    stage.finish("unpack", command, UNPACK_S, E2E_PLAN=plan_file(stage, chain))


def open_chain(stage, setup, *words):
    """The chain at `--url`, or a node of its own with these flags besides."""
    return Chain(setup.url, setup.ws_url) if setup.url else DevNode(stage, setup, *words)


def dapp(stage, setup, packages, scenario):
    """Runs a scenario over a dev chain, with the scripts in the folder of the packages that they
    import."""
    contracts()
    home = setup.packages(packages)
    for path in HERE.iterdir():
        if path.is_file():
            shutil.copy(path, home)
    chain = open_chain(stage, setup)
    scenario(stage, chain, home)
    chain.stop()


def script(name):
    """A scenario that is a script of Node."""

    def scenario(stage, chain, home):
        plan = plan_file(stage, chain)
        stage.finish(name, ["node", home / f"{name}.mjs"], SCRIPT_S, E2E_PLAN=plan)

    return scenario


def ethers(stage, setup):
    """ethers on a dev chain: tokens, Uniswap, ERC-4337; reorgs, failures, simulations, traces."""
    dapp(stage, setup, "dapp", script("ethers"))


def viem(stage, setup):
    """viem on a dev chain: the same, and all that the chain can be told."""
    dapp(stage, setup, "dapp", script("viem"))

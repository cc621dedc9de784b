"""The nodes under test and beside it: Fugue, Lodestar, and the sender of transactions."""

import json
import shutil
import signal
from pathlib import Path

from genesis import CHAIN_ID, COUNTER, counter_contract
from stage import Failure
from wire import Beacon, Rpc

HERE = Path(__file__).resolve().parent
START_S = 60
STOP_S = 20
CLOSE_S = 4
LODESTAR_START_S = 120
VALIDATORS = 8


class Fugue:
    """`fugue node` over a data folder that stays when the program is stopped."""

    def __init__(self, stage, program, genesis, name="fugue"):
        self.stage, self.program, self.name = stage, program, name
        self.genesis = stage.folder / f"{name}.genesis.json"
        self.genesis.write_text(json.dumps(genesis))
        self.data = stage.folder / f"{name}.data"
        self.ports = [stage.port() for _ in range(3)]
        engine, http, _ = (f"http://127.0.0.1:{port}" for port in self.ports)
        self.rpc = Rpc(http)
        self.engine = Rpc(engine, stage.secret)
        self.running = None
        self.start()

    def start(self):
        """Starts it and waits until it answers."""
        engine, http, metrics = self.ports
        command = [self.program, "node", "--chain", self.genesis, "--datadir", self.data]
        command += ["--authrpc.port", engine, "--authrpc.jwtsecret", self.stage.jwt]
        command += ["--http", "--http.port", http, "--metrics", f"127.0.0.1:{metrics}"]
        self.running = self.stage.start(self.name, command)
        what = f"{self.name} answers"
        chain = self.stage.wait(what, START_S, lambda: self.rpc.call("eth_chainId"))
        if int(chain, 16) != CHAIN_ID:
            raise Failure(f"{self.name} has chain id {chain}")

    def stop(self):
        """Ends it as an operator does."""
        code = self.running.stop(STOP_S)
        if code:
            raise Failure(f"{self.name} ended with code {code} after SIGTERM")

    def kill(self):
        """Ends it as a power failure does, as far as the program can tell."""
        self.running.kill()


class Lodestar:
    """The whole consensus client: beacon node and validators in one process. Every chain has 8
    validators; `signs` is the range of those that this one has keys of, if any. It is open to
    peers, and looks for the one at `bootnode`."""

    def __init__(self, stage, home, fugue, clock, name, signs=None, bootnode=None):
        self.stage, self.home, self.fugue, self.clock = stage, home, fugue, clock
        self.name, self.signs, self.bootnode = name, signs, bootnode
        self.receiver = f"0x{signs[0] if signs else 0xFF:02x}" + "fe" * 19
        self.data = stage.folder / f"{self.name}.data"
        self.rest, self.p2p = stage.port(), stage.port()
        self.beacon = Beacon(f"http://127.0.0.1:{self.rest}")
        self.running = None
        self.start()

    def start(self):
        """Starts it and waits until its API answers."""
        command = ["node", self.home / "node_modules/.bin/lodestar", "dev"]
        for name, value in self.options().items():
            command += [f"--{name}", str(value)]
        self.data.mkdir(exist_ok=True)
        # It writes its genesis to the folder that it is started in.
        self.running = self.stage.start(self.name, command, self.data, LODESTAR_PRESET="minimal")
        self.stage.wait(f"{self.name} answers", LODESTAR_START_S, self.address)

    def options(self):
        """What `lodestar dev` is started with: Capella from genesis, everything on loopback."""
        genesis_time, slot_seconds = self.clock
        forks = {f"params.{fork}_FORK_EPOCH": 0 for fork in ("ALTAIR", "BELLATRIX", "CAPELLA")}
        options = forks | {
            "params.SECONDS_PER_SLOT": slot_seconds,
            "params.TERMINAL_TOTAL_DIFFICULTY": 0,
            "genesisTime": genesis_time,
            "genesisValidators": VALIDATORS,
            "genesisEth1Hash": self.fugue.rpc.block(0)["hash"],
            "suggestedFeeRecipient": self.receiver,
            "dataDir": self.data,
            "dbDir": self.data / "chain-db",
            "execution.urls": self.fugue.engine.url,
            "jwt-secret": self.stage.jwt,
            "rest.address": "127.0.0.1",
            "rest.port": self.rest,
            "rest.namespace": "*",
            "server": self.beacon.url,
            "listenAddress": "127.0.0.1",
            "port": self.p2p,
            "mdns": "false",
            "metrics": "false",
            "logFile": "none",
            "discv5": "true",
            "enr.ip": "127.0.0.1",
            "enr.tcp": self.p2p,
            "enr.udp": self.p2p,
            "subscribeAllSubnets": "true",
        }
        if self.signs:
            options["startValidators"] = "{}..{}".format(*self.signs)
        if self.bootnode:
            options |= {"bootnodes": self.bootnode, "network.connectToDiscv5Bootnodes": "true"}
        return options

    def address(self):
        """Its ENR, by which others find it."""
        return self.beacon.get("/eth/v1/node/identity")["enr"]

    def stop(self):
        """Ends it. Its process may linger when all is closed, so that is not waited for long."""
        try:
            self.running.stop(CLOSE_S, signal.SIGINT)
        except Failure:
            self.running.kill()


class Sender:
    """transactions.mjs at work: sends until it is finished."""

    def __init__(self, stage, core, fugues, types=(0, 1, 2), every_ms=400):
        self.stage = stage
        self.report = stage.folder / "transactions.json"
        contract = counter_contract()
        plan = {
            "urls": [fugue.rpc.url for fugue in fugues],
            "chainId": CHAIN_ID,
            "types": types,
            "everyMs": every_ms,
            "accounts": str(HERE / "accounts.json"),
            "counter": COUNTER,
            "selectors": contract["selectors"],
            "creation": contract["creation"],
            "report": str(self.report),
        }
        path = stage.folder / "transactions.plan.json"
        path.write_text(json.dumps(plan))
        self.running = stage.start("transactions", ["node", script(core, "transactions.mjs"), path])

    def finish(self, seconds):
        """Sends no more, waits until all that was sent is in the chain, and gives the counts by
        type."""
        if self.running.stop(seconds, signal.SIGINT):
            raise Failure("transactions are missing: see transactions.log")
        return json.loads(self.report.read_text())


def script(core, name):
    """A script in the folder of the packages that it imports."""
    for path in HERE.glob("*.mjs"):
        shutil.copy(path, core)
    return core / name

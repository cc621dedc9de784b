#!/usr/bin/env python3
"""Runs end-to-end scenarios: real consensus clients and dApp clients over `fugue node`.

    tests/e2e/run.py --fugue target/release/fugue [scenario ...]

README.md tells what it needs and how long it takes.
"""

import argparse
import shutil
import signal
import sys
import time
import traceback
from pathlib import Path

sys.dont_write_bytecode = True

from capture import capture  # noqa: E402
from dapp import ethers, viem  # noqa: E402
from foundry import foundry  # noqa: E402
from genesis import FORKS  # noqa: E402
from hardhat import hardhat  # noqa: E402
from packages import InstallError, install  # noqa: E402
from pair import pair  # noqa: E402
from records import NotRun, records  # noqa: E402
from single import single  # noqa: E402
from stage import Failure, Stage  # noqa: E402
from virtual import virtual, virtual_pair  # noqa: E402
from web3py import web3py, web3py_dapp  # noqa: E402

SCENARIOS = {
    "virtual": virtual,
    "virtual-pair": virtual_pair,
    "records": records,
    "single": single,
    "pair": pair,
    "capture": capture,
}
# Those that can be run against another chain.
DAPPS = {
    "ethers": ethers,
    "viem": viem,
    "web3py-dapp": web3py_dapp,
    "web3py": web3py,
    "foundry": foundry,
    "hardhat": hardhat,
}
SCENARIOS |= DAPPS
DEFAULT_HOME = Path(__file__).resolve().parent.parent.parent / "target" / "e2e"


class Setup:
    """What is the same for all scenarios."""

    def __init__(self, given):
        self.fugue = given.fugue and given.fugue.resolve()
        self.home = given.home.resolve()
        self.slot_seconds = given.slot_seconds
        self.last_fork = given.last_fork
        self.keeps = given.keep
        self.url, self.ws_url = given.url, given.ws_url or given.url
        if self.url:
            self.ws_url = self.ws_url.replace("http", "ws", 1)

    def packages(self, name):
        """The folder with the packages of clients/`name`."""
        return install(self.home, name)


def main():
    table = "\n".join(f"  {name:14}{run.__doc__}" for name, run in SCENARIOS.items())
    parser = argparse.ArgumentParser(
        description=f"{__doc__}\nscenarios, all of them by default:\n{table}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("scenarios", nargs="*", metavar="scenario", help="one of the names below")
    parser.add_argument("--fugue", type=Path, help="the program under test")
    parser.add_argument("--home", default=DEFAULT_HOME, type=Path, help="packages and logs")
    parser.add_argument("--slot-seconds", default=2, type=int, help="in real time; 2 by default")
    parser.add_argument(
        "--last-fork", choices=FORKS, default="fulu", help="in virtual time; fulu by default"
    )
    parser.add_argument("--url", help="a dev chain in place of the program's, for dApp clients")
    parser.add_argument("--ws-url", help="its WebSocket, if that is elsewhere")
    parser.add_argument("--keep", action="store_true", help="keep folders of what passes, too")
    given = parser.parse_args()
    unknown = set(given.scenarios) - set(SCENARIOS)
    if unknown:
        parser.error(f"no such scenario: {', '.join(unknown)}")
    if given.url:
        others = set(given.scenarios or SCENARIOS) - set(DAPPS)
        if others:
            parser.error(f"--url is for {', '.join(DAPPS)}, not for {', '.join(others)}")
    elif given.fugue is None:
        parser.error("--fugue names the program; --url goes without")
    elif not given.fugue.is_file():
        parser.error(f"{given.fugue} is not there; make build builds it")
    # What was started is ended before this ends.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    setup = Setup(given)
    words = [outcome(setup, name) for name in given.scenarios or SCENARIOS]
    counts = {word: words.count(word) for word in ("passed", "not run", "failed")}
    print("; ".join(f"{count} {word}" for word, count in counts.items()))
    sys.exit(1 if counts["failed"] else 0)


def outcome(setup, name):
    """Runs one scenario in a fresh folder, which stays if it fails; gives how it ended."""
    folder = setup.home / "runs" / name
    shutil.rmtree(folder, ignore_errors=True)
    stage, start, why = Stage(folder), time.monotonic(), ""
    print(f"{name}: {SCENARIOS[name].__doc__}", flush=True)
    try:
        SCENARIOS[name](stage, setup)
        word = "passed"
    except NotRun as reason:
        word, why = "not run", f": {reason}"
    except (Failure, InstallError) as failure:
        word, why = "failed", f": {failure}"
    except Exception:
        word, why = "failed", f": {traceback.format_exc()}"
    finally:
        stage.close()
    if word == "failed":
        print("\n".join(stage.tails()))
        why += f"\nlogs and data: {folder}"
    elif not setup.keeps:
        shutil.rmtree(folder)
    print(f"{name}: {word} in {time.monotonic() - start:.0f} s{why}", flush=True)
    return word


if __name__ == "__main__":
    main()

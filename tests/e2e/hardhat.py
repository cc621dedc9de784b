"""Scenario `hardhat`: a Hardhat project over a dev chain."""

import shutil
import subprocess

from dapp import HERE, SCRIPT_S, dapp, plan_file
from packages import PACKAGED_NODE
from records import NotRun

# Hardhat 3 refuses older ones.
NODE_MIN = (22, 13)


def hardhat(stage, setup):
    """A Hardhat project on a dev chain: its compiler, accounts of the node, tests through viem."""
    dapp(stage, setup, "hardhat", scenario)


def scenario(stage, chain, home):
    project = home / "project"
    shutil.rmtree(project, ignore_errors=True)
    shutil.copytree(HERE / "hardhat", project)
    (project / "contracts").mkdir()
    shutil.copy(HERE / "tokens.sol", project / "contracts")
    (project / "node_modules").symlink_to(home / "node_modules")
    stage.finish(
        "hardhat",
        [
            node(home),
            home / "node_modules" / "hardhat" / "dist" / "src" / "cli.js",
            *("--network", "dev", "test", "nodejs"),
        ],
        SCRIPT_S,
        cwd=project,
        HOME=stage.folder,
        E2E_PLAN=plan_file(stage, chain),
        HARDHAT_DISABLE_TELEMETRY="true",
    )


def node(home):
    """A Node that is new enough: one of the packages where there is one for this machine."""
    packaged = home / PACKAGED_NODE
    if packaged.is_file():
        return packaged
    told = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True)
    version = tuple(int(part) for part in told.stdout.strip().removeprefix("v").split(".")[:2])
    if version < NODE_MIN:
        raise NotRun(f"Hardhat wants Node {'.'.join(map(str, NODE_MIN))}, this is {told.stdout}")
    return "node"

"""Scenarios `virtual` and `virtual-pair`: four forks in virtual time, by driver.mjs.

The folder of a run, which stays if run.py is told to keep it, has the Engine API calls of each node
in a file that `records` replays.
"""

import json
from collections import Counter

from genesis import (
    CHAIN_ID,
    COUNTER,
    DEPOSIT_CONTRACT,
    FORKS,
    GENESIS_TIME,
    SLOTS_PER_EPOCH,
    VIRTUAL_SLOT_SECONDS,
    counter_contract,
    genesis,
)
from nodes import HERE, Fugue, script
from stage import Failure

SLOTS = 9 * SLOTS_PER_EPOCH
# One in the middle of an epoch, two in a row, the first of a fork.
MISSED = [5, 13, 14, 16, 27]
# Slot: how many blocks its own block puts aside. The third is across the start of a fork.
REORGS = {11: 1, 21: 2, 25: 2, 30: 3, 44: 1}
# Least time that a node has to build a payload.
BUILD_MS = 150
RUN_S = 600


def virtual(stage, setup):
    """One node from Capella to Fulu in virtual time: missed slots, reorgs, blobs, requests."""
    drive(stage, setup, ["fugue"])


def virtual_pair(stage, setup):
    """Two nodes from Capella to Fulu in virtual time, which build in turn."""
    drive(stage, setup, ["fugue-1", "fugue-2"])


def drive(stage, setup, names):
    names_of_forks = list(FORKS)[: list(FORKS).index(setup.last_fork) + 1]
    # A fork an epoch.
    forks = {name: epoch for epoch, name in enumerate(names_of_forks)}
    start = genesis(forks)
    fugues = [Fugue(stage, setup.fugue, start, name) for name in names]
    contract = counter_contract()
    plan = {
        "nodes": [
            {"name": fugue.name, "engine": fugue.engine.url, "http": fugue.rpc.url}
            for fugue in fugues
        ],
        "jwt": "0x" + stage.secret,
        "folder": str(stage.folder),
        "accounts": str(HERE / "accounts.json"),
        "chainId": CHAIN_ID,
        "forks": forks,
        "genesisTime": GENESIS_TIME,
        "slotSeconds": VIRTUAL_SLOT_SECONDS,
        "slots": SLOTS,
        "missed": MISSED,
        "reorgs": REORGS,
        "buildMs": BUILD_MS,
        "counter": COUNTER,
        "depositContract": DEPOSIT_CONTRACT,
        "selectors": contract["selectors"],
        "creation": contract["creation"],
    }
    path = stage.folder / "driver.plan.json"
    path.write_text(json.dumps(plan))
    command = ["node", script(setup.packages("core"), "driver.mjs"), path]
    driver = stage.start("driver", command, LODESTAR_PRESET="minimal")
    driver.may_end = True
    told = 0

    def ended():
        nonlocal told
        lines = slots_of(stage.folder / "driver.log")
        epochs = len(lines) and lines[-1]["slot"] // SLOTS_PER_EPOCH
        if epochs > told:
            told = epochs
            stage.say("slot {slot}, {fork}, block {number}, epoch {finalized} final".format(**lines[-1]))
        return driver.code() is not None

    stage.wait("the chain is complete", RUN_S, ended)
    if driver.code():
        raise Failure(f"the driver ended with code {driver.code()}: see the end of driver.log")
    summary = json.loads((stage.folder / "driver.log").read_text().splitlines()[-1])
    for what, number in sorted(summary["counts"].items()):
        stage.say(f"{number:5} {what}")
    built = Counter(line["builder"] for line in slots_of(stage.folder / "driver.log"))
    stage.say(f"blocks by builder: {dict(built)}")
    for fugue in fugues:
        fugue.stop()


def slots_of(log):
    """What the driver told of slots so far."""
    lines = log.read_text(errors="replace").splitlines()
    return [json.loads(line) for line in lines if line.startswith('{"slot"') and line.endswith("}")]

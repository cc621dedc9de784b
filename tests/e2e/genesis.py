#!/usr/bin/env python3
"""Makes the execution genesis of a test chain, in geth's format: merged from block 0, with the
system contracts in place and the accounts of accounts.json funded.

Forks are given by epoch, as consensus clients have them; an epoch is 8 slots.

    ./genesis.py capella=0 deneb=1 electra=2 > genesis.json
"""

import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
CHAIN_ID = 1337
SLOTS_PER_EPOCH = 8
# Virtual chains begin here and live in the past.
GENESIS_TIME = 1_700_000_000
VIRTUAL_SLOT_SECONDS = 12
ETHER = 10**18

# Consensus name: field of the genesis configuration, name in the blob schedule, blobs.
FORKS = {
    "capella": ("shanghaiTime", None, None),
    "deneb": ("cancunTime", "cancun", (3, 6, 3_338_477)),
    "electra": ("pragueTime", "prague", (6, 9, 5_007_716)),
    "fulu": ("osakaTime", "osaka", (6, 9, 5_007_716)),
}
HEIGHT_FORKS = (
    "homestead eip150 eip155 eip158 byzantium constantinople petersburg istanbul berlin london"
)

DEPOSIT_CONTRACT = "0x00000000219ab540356cbb839cbe05303d7705fa"
DEPOSIT_EVENT = "649bbc62d0e31342afea4e5cd82d4049e7e1ee912fc0889aa790803be39038c5"
# Stands in for the deposit contract: whatever it is called with becomes the data of a
# DepositEvent. PUSH32 topic; CALLDATACOPY(0, 0, size); LOG1(0, size, topic).
DEPOSIT_CODE = "0x7f" + DEPOSIT_EVENT + "365f5f37" + "365fa100"
# Where `HotCounter` of testdata/contracts stands.
COUNTER = "0x00000000000000000000000000000000c0c0c0c0"


def accounts():
    """The accounts that the tests send from: address and key of each."""
    return json.loads((HERE / "accounts.json").read_text())


def counter_contract():
    """Creation code, runtime code and selectors of the contract that transactions call."""
    compiled = HERE.parent.parent / "testdata" / "contracts" / "compiled.json"
    return json.loads(compiled.read_text())["contracts"]["HotCounter"]


def system_alloc():
    """Accounts of the system contracts."""
    contracts = json.loads((HERE / "system-contracts.json").read_text())
    return {
        address: {"balance": "0x0", "nonce": "0x1", "code": contract["code"]}
        for address, contract in contracts.items()
    }


def test_alloc():
    """Everything that the scenarios use."""
    alloc = system_alloc()
    for address, code in [(DEPOSIT_CONTRACT, DEPOSIT_CODE), (COUNTER, counter_contract()["runtime"])]:
        alloc[address] = {"balance": "0x0", "nonce": "0x1", "code": code}
    for account in accounts():
        alloc[account["address"]] = {"balance": hex(1_000_000 * ETHER)}
    return alloc


def genesis(forks, alloc=None):
    """The genesis of a chain with these `forks`: epochs by consensus name."""
    config = {"chainId": CHAIN_ID}
    config |= {f"{name}Block": 0 for name in HEIGHT_FORKS.split()}
    config |= {"mergeNetsplitBlock": 0, "terminalTotalDifficulty": 0}
    config |= {"terminalTotalDifficultyPassed": True, "depositContractAddress": DEPOSIT_CONTRACT}
    schedule = {}
    for name, epoch in forks.items():
        field, entry, blobs = FORKS[name]
        seconds = epoch * SLOTS_PER_EPOCH * VIRTUAL_SLOT_SECONDS
        config[field] = GENESIS_TIME + seconds if epoch else 0
        if blobs:
            schedule[entry] = dict(zip(("target", "max", "baseFeeUpdateFraction"), blobs))
    if schedule:
        config["blobSchedule"] = schedule
    return {
        "config": config,
        "alloc": test_alloc() if alloc is None else alloc,
        "baseFeePerGas": hex(10**9),
        "coinbase": "0x" + "00" * 20,
        "difficulty": "0x0",
        "extraData": "0x",
        "gasLimit": hex(30_000_000),
        "gasUsed": "0x0",
        "mixHash": "0x" + "00" * 32,
        "nonce": "0x0",
        "number": "0x0",
        "parentHash": "0x" + "00" * 32,
        "timestamp": "0x0",
    }


if __name__ == "__main__":
    given = dict(word.split("=") for word in sys.argv[1:]) or {"capella": 0}
    json.dump(genesis({name: int(epoch) for name, epoch in given.items()}), sys.stdout, indent=1)

#!/usr/bin/env python3
"""Writes the built-in genesis files from the packages that README.md names.

usage: convert.py WHEEL TGZ OUT

WHEEL  the wheel of `ethereum-execution`: mainnet's accounts and header fields
TGZ    the tarball of `@ethereumjs/genesis`: the accounts of all four chains
OUT    folder for NAME.json.zst

Both packages must agree on mainnet. The same packages always give the same JSON; the compressed
bytes depend on the release of zstd as well.
"""

import ast
import json
import pathlib
import re
import subprocess
import sys
import tarfile
import zipfile

ZERO_HASH = "0x" + 64 * "0"
ZERO_ADDRESS = "0x" + 40 * "0"
MAINNET_DEPOSITS = "0x00000000219ab540356cbb839cbe05303d7705fa"

# Blobs per block (target, max) and the fraction of the base fee's update. EIP-7840, EIP-7892.
BLOBS = {
    "cancun": (3, 6, 3338477),
    "prague": (6, 9, 5007716),
    "osaka": (6, 9, 5007716),
    "bpo1": (10, 15, 8346193),
    "bpo2": (14, 21, 11684671),
}


def config(chain_id, blocks, total_difficulty, times, deposits, **more):
    """A chain's configuration; the forks of the times are Shanghai, Cancun, and so on."""
    forks = ["shanghai", "cancun", "prague", "osaka", "bpo1", "bpo2", "amsterdam"]
    blobs = {
        fork: {"target": target, "max": most, "baseFeeUpdateFraction": fraction}
        for fork, (target, most, fraction) in BLOBS.items()
    }
    return {
        "chainId": chain_id,
        **{f"{fork}Block": number for fork, number in blocks.items()},
        **more,
        "terminalTotalDifficulty": total_difficulty,
        **{f"{fork}Time": time for fork, time in zip(forks, times)},
        "depositContractAddress": deposits,
        "blobSchedule": blobs,
        "ethash": {},
    }


FROM_GENESIS = dict.fromkeys(
    ["homestead", "eip150", "eip155", "eip158", "byzantium", "constantinople", "petersburg"]
    + ["istanbul", "muirGlacier", "berlin", "london"],
    0,
)

CONFIGS = {
    "mainnet": config(
        1,
        {
            "homestead": 1150000,
            "daoFork": 1920000,
            "eip150": 2463000,
            "eip155": 2675000,
            "eip158": 2675000,
            "byzantium": 4370000,
            "constantinople": 7280000,
            "petersburg": 7280000,
            "istanbul": 9069000,
            "muirGlacier": 9200000,
            "berlin": 12244000,
            "london": 12965000,
            "arrowGlacier": 13773000,
            "grayGlacier": 15050000,
        },
        58750000000000000000000,
        [1681338455, 1710338135, 1746612311, 1764798551, 1765290071, 1767747671],
        MAINNET_DEPOSITS,
        daoForkSupport=True,
    ),
    "sepolia": config(
        11155111,
        FROM_GENESIS,
        17000000000000000,
        [1677557088, 1706655072, 1741159776, 1760427360, 1761017184, 1761607008, 1791294816],
        "0x7f02c3e3c98b133055b8b348b2ac625669ed295d",
        mergeNetsplitBlock=1735371,
    ),
    "hoodi": config(
        560048,
        FROM_GENESIS,
        0,
        [0, 0, 1742999832, 1761677592, 1762365720, 1762955544],
        MAINNET_DEPOSITS,
        mergeNetsplitBlock=0,
    ),
    "holesky": config(
        17000,
        FROM_GENESIS,
        0,
        [1696000704, 1707305664, 1740434112, 1759308480, 1759800000, 1760389824],
        "0x4242424242424242424242424242424242424242",
    ),
}

# Header fields of the chains that no package has them of: nonce, timestamp, gas limit,
# difficulty, extra data. The hash of each genesis block vouches for them.
FIELDS = {
    "sepolia": (0, 1633267481, 30000000, 0x20000, b"Sepolia, Athens, Attica, Greece!"),
    "hoodi": (0x1234, 1742212800, 36000000, 1, b""),
    "holesky": (0x1234, 1695902100, 25000000, 1, b""),
}


def number(value):
    """A number of any notation as minimal hexadecimal."""
    return hex(value if isinstance(value, int) else int(value, 0))


def word(value):
    """A hexadecimal value as 32 bytes."""
    return "0x" + value.removeprefix("0x").lower().zfill(64)


def account(balance, code="0x", storage=(), nonce=0):
    """An account of the file; what is zero is left out, the balance excepted."""
    fields = {"balance": number(balance)}
    slots = {word(slot): word(value) for slot, value in storage}
    slots = {slot: value for slot, value in slots.items() if value != ZERO_HASH}
    if code != "0x":
        fields["code"] = code.lower()
    if slots:
        fields["storage"] = slots
    if int(number(nonce), 16) != 0:
        fields["nonce"] = number(nonce)
    return fields


def alloc(accounts):
    """Accounts by address, addresses as geth writes them here: lower case, without prefix."""
    found = {address.removeprefix("0x").lower(): rest for address, rest in accounts}
    assert all(re.fullmatch("[0-9a-f]{40}", address) for address in found)
    assert len(found) == len(accounts), "an address stands there twice"
    return found


def from_tarball(tarball, name):
    """Accounts of a chain: address to balance, or to [balance, code, storage, nonce]."""
    module = tarball.extractfile(f"package/dist/esm/genesisStates/{name}.js").read().decode()
    module = re.sub(r"/\*.*?\*/|//[^\n]*", "", module, flags=re.DOTALL)
    literal = ast.literal_eval(module[module.index("{") : module.rindex("}") + 1])
    split = lambda entry: entry if isinstance(entry, list) else [entry]
    return alloc([(address, account(*split(entry))) for address, entry in literal.items()])


def mainnet(wheel):
    """Header fields and accounts of mainnet."""
    found = json.loads(wheel.read("ethereum/assets/mainnet.json"))
    extra_data = bytes.fromhex(found["extraData"].removeprefix("0x"))
    keys = ["nonce", "timestamp", "gasLimit", "difficulty"]
    fields = [int(found[key], 0) for key in keys] + [extra_data]
    for key in ["mixHash", "coinbase", "number", "gasUsed", "parentHash"]:
        assert int(found[key], 0) == 0, key
    accounts = []
    for address, entry in found["alloc"].items():
        assert set(entry) == {"balance"}, entry
        accounts.append((address, account(**entry)))
    return fields, alloc(accounts)


def genesis(name, fields, accounts):
    """The file of a chain."""
    nonce, timestamp, gas_limit, difficulty, extra_data = fields
    return {
        "config": CONFIGS[name],
        "nonce": number(nonce),
        "timestamp": number(timestamp),
        "extraData": "0x" + extra_data.hex(),
        "gasLimit": number(gas_limit),
        "difficulty": number(difficulty),
        "mixHash": ZERO_HASH,
        "coinbase": ZERO_ADDRESS,
        "number": "0x0",
        "gasUsed": "0x0",
        "parentHash": ZERO_HASH,
        "alloc": accounts,
    }


def compress(text):
    """One zstd frame with its size and a checksum."""
    command = ["zstd", "--quiet", "-19", "--check", f"--stream-size={len(text)}", "--stdout"]
    return subprocess.run(command, input=text, check=True, capture_output=True).stdout


def main(wheel, tgz, out):
    with zipfile.ZipFile(wheel) as wheel, tarfile.open(tgz) as tarball:
        fields, accounts = mainnet(wheel)
        assert accounts == from_tarball(tarball, "mainnet"), "the packages differ on mainnet"
        files = {"mainnet": genesis("mainnet", fields, accounts)}
        for name, fields in FIELDS.items():
            files[name] = genesis(name, fields, from_tarball(tarball, name))
    for name, file in files.items():
        text = json.dumps(file, sort_keys=True, separators=(",", ":")).encode()
        compressed = compress(text)
        pathlib.Path(out, f"{name}.json.zst").write_bytes(compressed)
        print(f"{name}: {len(file['alloc'])} accounts, {len(text)} bytes, {len(compressed)} packed")


if __name__ == "__main__":
    main(*sys.argv[1:])

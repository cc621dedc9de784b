#!/usr/bin/env python3
"""Makes an OpenRPC document of the JSON-RPC specification: `make openrpc`.

The sources are those of ethereum/execution-apis at one commit: lists of methods and maps of
schemas, in YAML. In the document they are one list and one map; nothing else of them is changed. Methods of
the Engine API are left out: its tests have rules of their own.

Where they cannot be reached, an npm package has 31 of the methods as an older specification had
them: see `older`. Which of the two a document is stands in its `info`.
"""

import argparse
import base64
import hashlib
import http.client
import io
import json
import pathlib
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request
import zlib

COMMIT = "033ca6e69da000445840d2060ff47e5e56172a86"
SOURCE = f"https://github.com/ethereum/execution-apis/archive/{COMMIT}.tar.gz"
PYYAML_VERSION = "6.0.3"
# Folders of the sources, below src/.
METHODS = ["debug", "eth", "net", "testing", "txpool"]
SCHEMAS = ["schemas", "engine/openrpc/schemas"]
# In place of the sources. npm knows where packages are.
PACKAGE, VERSION = "@metamask/api-specs", "0.15.0"
INTEGRITY = (
    "sha512-BQRkTAJeAURRpyPObr3JWOBXWnMfV2dLZOMhoBSOApjgj6kl+s2sHh+PDJJ/GA7au3Blp2mehmEmq/pOz8nkkA=="
)
# Bytes of an archive, and of a file in it, at most.
ARCHIVE_BYTES_MAX = 64 << 20
FILE_BYTES_MAX = 4 << 20
# Seconds that the download of the sources may be silent, and may take; and seconds of npm, and of
# each step that installs PyYAML.
SILENCE_MAX = 5
DOWNLOAD_MAX = 10
NPM_MAX = 10
PIP_MAX = 60
# Bytes that are read at once.
CHUNK = 1 << 16


class Unreachable(Exception):
    """What is wanted cannot be had now; the message says why."""


def download():
    """Every YAML file of the sources, by its path below src/."""
    packed, end = bytearray(), time.monotonic() + DOWNLOAD_MAX
    try:
        with urllib.request.urlopen(SOURCE, timeout=SILENCE_MAX) as response:
            while chunk := response.read1(CHUNK):
                packed += chunk
                if len(packed) > ARCHIVE_BYTES_MAX:
                    raise SystemExit(f"{SOURCE}: more than {ARCHIVE_BYTES_MAX} bytes")
                if time.monotonic() > end:
                    raise Unreachable(f"not whole within {DOWNLOAD_MAX} s")
        return unpacked(packed)
    # What is no archive comes from somebody else on the way.
    except (OSError, EOFError, http.client.HTTPException, tarfile.TarError, zlib.error) as error:
        raise Unreachable(str(error)) from None


def unpacked(packed):
    """The same of the archive."""
    files = {}
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as archive:
        for member in archive:
            # The first folder is the archive's own.
            path = pathlib.PurePosixPath(member.name).parts[1:]
            is_source = path[:1] == ("src",) and path[-1].endswith(".yaml")
            if member.isfile() and is_source and member.size <= FILE_BYTES_MAX:
                files["/".join(path[1:])] = archive.extractfile(member).read()
    return files


def read(folder):
    """The same of a folder that has them."""
    folder = pathlib.Path(folder)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.yaml")}


def yaml_loader(home):
    """What reads YAML: of PyYAML, which is installed into `home` for this alone."""
    pip = [home / "bin" / "pip", "install", "--quiet", "--retries=0", f"--timeout={SILENCE_MAX}"]
    commands = [[sys.executable, "-m", "venv", home], [*pip, f"pyyaml=={PYYAML_VERSION}"]]
    is_there = any(home.glob(f"lib/python*/site-packages/pyyaml-{PYYAML_VERSION}.dist-info"))
    for command in [] if is_there else commands:
        try:
            run = subprocess.run(command, capture_output=True, text=True, timeout=PIP_MAX)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Unreachable(f"no PyYAML: {error}") from None
        if run.returncode:
            said = (run.stderr or run.stdout).strip().splitlines() or ["nothing"]
            raise Unreachable(f"no PyYAML: {said[-1]}")
    sys.path += [str(path) for path in home.glob("lib/python*/site-packages")]
    import yaml

    return yaml.safe_load


def specified(files, load):
    """The document of the sources."""

    def below(folder):
        """What the files right in a folder say, by name."""
        for name in sorted(files):
            if name.rpartition("/")[0] == folder:
                yield name, load(files[name])

    methods, schemas = [], {}
    for folder in METHODS:
        for _, found in below(folder):
            methods += found
    for folder in SCHEMAS:
        for name, found in below(folder):
            twice = schemas.keys() & found.keys()
            if any(schemas[key] != found[key] for key in twice):
                raise SystemExit(f"{name}: other schemas of these names are known: {sorted(twice)}")
            schemas |= found
    if not methods or not schemas:
        raise SystemExit("the sources have no methods, or no schemas")
    return document("Ethereum JSON-RPC", COMMIT, methods, schemas)


def document(title, version, methods, schemas):
    methods = sorted(methods, key=lambda method: method["name"])
    return {
        "openrpc": "1.2.4",
        "info": {"title": title, "version": version},
        "methods": methods,
        "components": {"schemas": schemas},
    }


def older():
    """The document of the package, which is that of a wallet: methods of the specification as it
    was before Prague, and the wallet's own.

    Those of the specification have their tags in place; those that the wallet describes itself refer
    to tags. The latter are left out, `eth_accounts`, `eth_sendTransaction` and `eth_subscribe` among
    them, and so are examples.
    """
    with tempfile.TemporaryDirectory() as folder:
        words = ["npm", "pack", "--silent", "--fetch-retries=0", f"{PACKAGE}@{VERSION}"]
        try:
            run = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=NPM_MAX)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Unreachable(str(error)) from None
        packed = list(pathlib.Path(folder).glob("*.tgz"))
        if run.returncode or len(packed) != 1:
            raise Unreachable(f"npm pack ended with code {run.returncode}")
        content = packed[0].read_bytes()
    digest = f"sha512-{base64.b64encode(hashlib.sha512(content).digest()).decode()}"
    if digest != INTEGRITY:
        raise SystemExit(f"{PACKAGE}@{VERSION} has integrity {digest}, not {INTEGRITY}")
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
        found = json.load(archive.extractfile("package/dist/build/openrpc.json"))
    methods = [
        {key: method[key] for key in ("name", "params", "result")}
        for method in found["methods"]
        if any(tag.get("name") == "Ethereum API" for tag in method["tags"])
    ]
    schemas = found["components"]["schemas"]
    amend(schemas)
    title = f"Ethereum JSON-RPC before Prague, amended, by {PACKAGE}"
    return document(title, VERSION, methods, schemas)


def amend(schemas):
    """Gives the older schemas what the specification has demanded or allowed since, up to COMMIT.
    Other differences are of names, or of checks that the older ones lack.
    """

    def reference(name):
        return {"$ref": f"#/components/schemas/{name}"}

    # A header has more with each fork (EIP-7685, EIP-7928): the list is not closed any more.
    block = schemas["Block"]
    del block["additionalProperties"]
    for name in ("requestsHash", "blockAccessListHash"):
        block["properties"][name] = reference("hash32")

    # What is in a block tells when that was.
    time_of_block = {"blockTimestamp": reference("uint")}
    schemas["Log"]["properties"] |= time_of_block
    context = schemas["TransactionInfo"]["allOf"][0]
    context["properties"] |= time_of_block
    context["required"].append("blockTimestamp")
    # It forbade what the transaction itself has, which stands in another part of `allOf`.
    del context["unevaluatedProperties"]

    # Transactions that set code (EIP-7702) are those of EIP-1559 to an address, with a list more.
    unsigned = json.loads(json.dumps(schemas["Transaction1559Unsigned"]))
    unsigned["title"] = "EIP-7702 transaction."
    unsigned["required"].remove("gasPrice")
    unsigned["required"] += ["to", "authorizationList"]
    tuple_members = dict.fromkeys(("chainId", "nonce", "yParity", "r", "s"), reference("uint"))
    tuple_members["address"] = reference("address")
    unsigned["properties"] |= {
        "type": {"const": "0x4"},
        "to": reference("address"),
        "authorizationList": {
            "type": "array",
            "items": {
                "type": "object",
                "required": sorted(tuple_members),
                "properties": tuple_members,
            },
        },
    }
    signature = schemas["Transaction1559Signed"]["allOf"][1]
    schemas["Transaction7702Signed"] = {"type": "object", "allOf": [unsigned, signature]}
    schemas["TransactionSigned"]["oneOf"].append(reference("Transaction7702Signed"))


def is_specified(path):
    """Whether the document that is there was made of the sources at COMMIT."""
    try:
        return json.loads(path.read_bytes())["info"]["version"] == COMMIT
    except (OSError, ValueError, KeyError):
        return False


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=pathlib.Path, help="the document that is written")
    parser.add_argument("--src", help="a folder with the sources: nothing is downloaded")
    arguments = parser.parse_args()
    out = arguments.out
    try:
        files = read(arguments.src) if arguments.src else download()
        made = specified(files, yaml_loader(out.parent / "venv"))
    except Unreachable as why:
        if arguments.src:
            raise SystemExit(f"{arguments.src}: {why}") from None
        if is_specified(out):
            print(f"{out} stays as it is: the sources at {COMMIT} were not reached again ({why})")
            return
        try:
            made = older()
        except Unreachable as also:
            raise SystemExit(f"nothing made: {SOURCE}: {why}; {PACKAGE}@{VERSION}: {also}") from None
        print(f"{SOURCE} is not to be had ({why}): of older schemas, and fewer methods")
    out.parent.mkdir(parents=True, exist_ok=True)
    # Whoever is stopped half-way leaves no half of it.
    begun = out.with_suffix(".begun")
    begun.write_text(json.dumps(made, indent=1, sort_keys=True) + "\n")
    begun.replace(out)
    info = made["info"]
    print(f"{out}: {info['title']} {info['version']}: {len(made['methods'])} methods")


if __name__ == "__main__":
    main()

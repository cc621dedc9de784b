#!/usr/bin/env python3
"""Makes the OpenRPC document of the JSON-RPC specification: `make openrpc`.

The sources are those of ethereum/execution-apis at one commit: lists of methods and maps of schemas,
in YAML. In the document they are one list and one map; nothing else of them is changed. Methods of
the Engine API are left out: its tests have rules of their own.
"""

import argparse
import io
import json
import pathlib
import tarfile
import urllib.request

import yaml

COMMIT = "033ca6e69da000445840d2060ff47e5e56172a86"
SOURCE = f"https://github.com/ethereum/execution-apis/archive/{COMMIT}.tar.gz"
# Folders of the sources, below src/.
METHODS = ["debug", "eth", "net", "testing", "txpool"]
SCHEMAS = ["schemas", "engine/openrpc/schemas"]
# Bytes of the archive, and of a file in it, at most.
ARCHIVE_BYTES_MAX = 64 << 20
FILE_BYTES_MAX = 4 << 20
# Seconds that the download may be silent.
SILENCE_MAX = 60


def download():
    """Every YAML file of the sources, by its path below src/."""
    with urllib.request.urlopen(SOURCE, timeout=SILENCE_MAX) as response:
        packed = response.read(ARCHIVE_BYTES_MAX + 1)
    if len(packed) > ARCHIVE_BYTES_MAX:
        raise SystemExit(f"{SOURCE}: more than {ARCHIVE_BYTES_MAX} bytes")
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


def below(files, folder):
    """What the files right in a folder say, by name."""
    for name in sorted(files):
        if name.rpartition("/")[0] == folder:
            yield name, yaml.safe_load(files[name])


def document(files):
    """The document."""
    methods, schemas = [], {}
    for folder in METHODS:
        for _, found in below(files, folder):
            methods += found
    for folder in SCHEMAS:
        for name, found in below(files, folder):
            twice = schemas.keys() & found.keys()
            if any(schemas[key] != found[key] for key in twice):
                raise SystemExit(f"{name}: other schemas of these names are known: {sorted(twice)}")
            schemas |= found
    if not methods or not schemas:
        raise SystemExit("the sources have no methods, or no schemas")
    methods.sort(key=lambda method: method["name"])
    return {
        "openrpc": "1.2.4",
        "info": {"title": "Ethereum JSON-RPC", "version": COMMIT},
        "methods": methods,
        "components": {"schemas": schemas},
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=pathlib.Path, help="the document that is written")
    parser.add_argument("--src", help="a folder with the sources: nothing is downloaded")
    arguments = parser.parse_args()
    made = document(read(arguments.src) if arguments.src else download())
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(made, indent=1, sort_keys=True) + "\n")
    print(f"{arguments.out}: {len(made['methods'])} methods")


if __name__ == "__main__":
    main()

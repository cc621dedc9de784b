"""Tests of transactions that are not included yet: for them the dev chain makes no blocks by
itself. What web3.py's tests know of a node is nothing of that."""

import json
import os
import urllib.request

import pytest

UNMINED = ("replace_transaction", "unmined")
MINED = "already_mined"


def tell(method, *params):
    """Tells the dev chain something."""
    call = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(os.environ["EL_URL"], json.dumps(call).encode(), headers)
    with urllib.request.urlopen(request, timeout=10) as response:
        answer = json.load(response)
    assert "error" not in answer, answer


@pytest.fixture(autouse=True)
def blocks(request, prepared):
    """Blocks are made as transactions come, or after the test."""
    name = request.node.name
    waits = any(word in name for word in UNMINED) and MINED not in name
    if waits:
        tell("evm_setAutomine", False)
    yield
    if waits:
        tell("evm_mine")
        tell("evm_setAutomine", True)

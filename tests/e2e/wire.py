"""How the tests talk to nodes: JSON-RPC with or without a JWT, and the beacon API."""

import base64
import hashlib
import hmac
import json
import time
import urllib.error
import urllib.request

CALL_TIMEOUT_S = 30


class RpcError(Exception):
    """The node answered with an error, or not with JSON-RPC."""

    def __init__(self, method, error):
        super().__init__(f"{method}: {error}")
        self.code = error.get("code") if isinstance(error, dict) else None


class Rpc:
    """A JSON-RPC endpoint; with a `secret` in hexadecimal it is an Engine API."""

    def __init__(self, url, secret=None):
        self.url = url
        self.secret = secret

    def call(self, method, *params):
        """The result of `method`; raises RpcError, or OSError where nobody answers."""
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        headers = {"Content-Type": "application/json"}
        if self.secret:
            headers["Authorization"] = f"Bearer {token(self.secret)}"
        try:
            answer = json.loads(fetch(self.url, headers, json.dumps(request).encode()))
        except urllib.error.HTTPError as error:
            text = error.read().decode(errors="replace")
            raise RpcError(method, {"code": error.code, "message": text}) from None
        if "error" in answer:
            raise RpcError(method, answer["error"])
        return answer["result"]

    def block(self, tag):
        """Number, hash and parent's hash of the block at a tag or number; None if there is none."""
        found = self.call("eth_getBlockByNumber", hex(tag) if isinstance(tag, int) else tag, False)
        if not found:
            return None
        parent = found["parentHash"]
        return {"number": int(found["number"], 16), "hash": found["hash"], "parent": parent}


class Beacon:
    """The beacon API of a consensus client."""

    def __init__(self, url):
        self.url = url

    def get(self, path):
        """The data of a JSON answer."""
        return json.loads(fetch(self.url + path, {"Accept": "application/json"}))["data"]

    def state_bytes(self, state):
        """A beacon state in SSZ."""
        headers = {"Accept": "application/octet-stream"}
        return fetch(f"{self.url}/eth/v2/debug/beacon/states/{state}", headers)

    def block(self, name):
        """Slot of a beacon block, and number, hash and receiver of fees of its payload."""
        message = self.get(f"/eth/v2/beacon/blocks/{name}")["message"]
        payload = message["body"].get("execution_payload", {})
        return {
            "slot": int(message["slot"]),
            "parent": message["parent_root"],
            "number": int(payload.get("block_number", 0)),
            "hash": payload.get("block_hash"),
            "receiver": payload.get("fee_recipient", "").lower(),
        }

    def finalized(self):
        """The finalized block, or None before there is one."""
        points = self.get("/eth/v1/beacon/states/head/finality_checkpoints")
        root = points["finalized"]["root"]
        return self.block(root) if int(root, 16) else None


def fetch(url, headers, body=None):
    request = urllib.request.Request(url, body, headers)
    with urllib.request.urlopen(request, timeout=CALL_TIMEOUT_S) as response:
        return response.read()


def token(secret):
    """A JWT that was issued this second."""

    def part(value):
        return base64.urlsafe_b64encode(value).rstrip(b"=")

    claims = json.dumps({"iat": int(time.time())}).encode()
    signed = part(b'{"typ":"JWT","alg":"HS256"}') + b"." + part(claims)
    seal = hmac.new(bytes.fromhex(secret), signed, hashlib.sha256).digest()
    return (signed + b"." + part(seal)).decode()

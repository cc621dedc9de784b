"""A relay in front of a node: passes HTTP on as it is, and judges results by the OpenRPC document.

    judge.py --listen PORT --node PORT --document FILE

Methods that the document does not have are not judged, nor are errors. What does not fit is told as
it is found. SIGTERM ends it: then it tells how many results it has judged. Its exit code is 1 if any
did not fit, or could not be read, or if there was none.

It runs where the packages of clients/judge are. Clients have their answers before these are judged;
but of one connection, the next request is read afterwards: so nothing piles up.
"""

import argparse
import asyncio
import collections
import concurrent.futures
import gzip
import json
import re
import signal
import sys
from pathlib import Path

from jsonschema import Draft201909Validator
from jsonschema.exceptions import best_match

HOST = "127.0.0.1"
# Bytes of a head, and of a part of a body that is passed on at once, at most.
HEAD_MAX = 64 << 10
PART_MAX = 64 << 10
# Bytes of a body, at most.
BODY_MAX = 256 << 20
# Misfits of different kinds that are told, and characters of what is shown of one.
MISFITS_MAX = 20
SHOWN_MAX = 300

NULL_WHERE_NOTHING_IS = {
    "debug_getRawBlock",
    "debug_getRawBlockAccessList",
    "debug_getRawHeader",
    "debug_getRawReceipts",
    "debug_getRawTransaction",
    "eth_baseFee",
    "eth_blobBaseFee",
}
LOGS = {"eth_getFilterChanges", "eth_getFilterLogs", "eth_getLogs"}
PENDING = {
    "eth_getBlockByNumber": "hash",
    "eth_getTransactionByBlockNumberAndIndex": "blockHash",
    "eth_getTransactionByHash": "blockHash",
}


def is_excused(method, result):
    """Whether the schema does not speak of such a result. The reasons are those of `excuse` in
    tests/it/openrpc.rs."""
    if result is None:
        return method in NULL_WHERE_NOTHING_IS
    if method in LOGS and isinstance(result, list):
        first = result[0] if result else None
        is_whole = isinstance(first, dict) and "nonce" in first
        return not result or (is_whole and method == "eth_getFilterChanges")
    return isinstance(result, dict) and result.get(PENDING.get(method), "") is None


class Judge:
    """What the document says, and what it was found to say of results."""

    def __init__(self, document):
        self.title = document["info"]["title"]
        self.components = document.get("components", {})
        self.validators = {}
        for method in document["methods"]:
            schema = self.followed(self.followed(method).get("result", {})).get("schema")
            if schema is not None:
                # References in it begin at the root.
                root = {"allOf": [schema], "components": self.components}
                self.validators[method["name"]] = Draft201909Validator(root)
        self.judged, self.kinds = collections.Counter(), collections.Counter()

    def followed(self, value):
        """What a reference to a component stands for, or the value itself."""
        while "$ref" in value:
            _, _, kind, name = value["$ref"].split("/")
            value = self.components[kind][name]
        return value

    def exchange(self, request, answer, coding):
        """Judges an HTTP exchange, of which the bodies are given. What cannot be read is a misfit."""
        try:
            self.results(request, answer, coding)
        except Exception as error:
            self.misfit("", "$", f"cannot be judged: {error!r}", "")

    def results(self, request, answer, coding):
        """Judges the results of an exchange; batches, too."""
        if coding == "gzip":
            answer = gzip.decompress(answer)
        elif coding not in ("", "identity"):
            raise ValueError(f"an answer in {coding}")
        try:
            asked, answered = (as_list(json.loads(body)) for body in (request, answer))
        except (ValueError, RecursionError):
            # Not JSON, or nested as no answer is: no concern of the schemas.
            return
        by_id = {json.dumps(one.get("id")): one for one in answered if isinstance(one, dict)}
        for one in asked:
            found = by_id.get(json.dumps(one.get("id"))) if isinstance(one, dict) else None
            if found and "result" in found and isinstance(one.get("method"), str):
                self.result(one["method"], one.get("params"), found["result"])

    def result(self, method, params, result):
        """Judges one result."""
        validator = self.validators.get(method)
        if not validator or is_excused(method, result):
            return
        self.judged[method] += 1
        error = best_match(validator.iter_errors(result))
        if error:
            self.misfit(method, error.json_path, error.message, json.dumps(params))

    def misfit(self, method, path, message, params):
        """Tells what does not fit, once of each kind: the same in other elements is no other."""
        kind = (method, re.sub(r"\[\d+\]", "[]", path))
        self.kinds[kind] += 1
        if self.kinds[kind] == 1 and len(self.kinds) <= MISFITS_MAX:
            message = message if len(message) <= SHOWN_MAX else f"...{message[-SHOWN_MAX:]}"
            print(f"misfit: {method} {params[:SHOWN_MAX]}: {path}: {message}", flush=True)


def as_list(value):
    return value if isinstance(value, list) else [value]


class Relay:
    """Connections of clients, each request of them on a connection of its own to the node."""

    def __init__(self, judge, port):
        self.judge, self.port = judge, port
        # One thread: results are judged one after the other, and beside the passing on.
        self.pool = concurrent.futures.ThreadPoolExecutor(max_workers=1)

    async def serve(self, reader, writer):
        """Serves one client until it, or the node, has had enough."""
        try:
            while await self.exchange(reader, writer):
                pass
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError):
            # Either has gone, or does not speak HTTP: who waits for an answer sees the end.
            pass
        finally:
            writer.close()

    async def exchange(self, reader, writer):
        """One request and its answer. Whether another one may follow."""
        head = await head_of(reader)
        to_node = await asyncio.open_connection(HOST, self.port, limit=HEAD_MAX)
        try:
            _, request = await passed_on(head, reader, to_node[1], is_answer=False)
            head = await head_of(to_node[0])
            fields, answer = await passed_on(head, to_node[0], writer, is_answer=True)
        finally:
            to_node[1].close()
        coding = fields.get("content-encoding", "").lower()
        work = (self.judge.exchange, request, answer, coding)
        await asyncio.get_running_loop().run_in_executor(self.pool, *work)
        is_bounded = "content-length" in fields or "transfer-encoding" in fields
        return is_bounded and fields.get("connection", "").lower() != "close"


async def head_of(reader):
    """The head of an HTTP message; EOFError where there is none any more."""
    return await reader.readuntil(b"\r\n\r\n")


async def passed_on(head, reader, writer, is_answer):
    """Passes a message on as it comes; gives the fields of its head, and its body."""
    lines = head.decode("latin-1").split("\r\n")[1:]
    pairs = (line.partition(":") for line in lines if line)
    fields = {name.strip().lower(): value.strip() for name, _, value in pairs}
    body = bytearray()

    async def pass_on(part):
        writer.write(part)
        await writer.drain()

    async def pass_body(size):
        """As many bytes, or all that come."""
        while size is None or size:
            part = await reader.read(PART_MAX if size is None else min(size, PART_MAX))
            if not part and size is None:
                return
            if not part or len(body) + len(part) > BODY_MAX:
                raise EOFError
            await pass_on(part)
            body.extend(part)
            size = size and size - len(part)

    await pass_on(head)
    if fields.get("transfer-encoding", "").lower() == "chunked":
        size = None
        while size != 0:
            line = await reader.readline()
            if not line:
                raise EOFError
            await pass_on(line)
            size = int(line.split(b";")[0], 16)
            await pass_body(size)
            await pass_on(await reader.readexactly(2))
    elif "content-length" in fields:
        await pass_body(int(fields["content-length"]))
    elif is_answer and b" 204 " not in head[:16]:
        await pass_body(None)
    return fields, bytes(body)


async def run(judge, listen, node):
    """Relays until SIGTERM, and then judges what is left."""
    relay, end = Relay(judge, node), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end.set)
    server = await asyncio.start_server(relay.serve, HOST, listen, limit=HEAD_MAX)
    print(f"judging by {judge.title}: {len(judge.validators)} methods", flush=True)
    await end.wait()
    server.close()
    relay.pool.shutdown()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--listen", type=int, required=True, help="the port of clients")
    parser.add_argument("--node", type=int, required=True, help="the port of the node")
    parser.add_argument("--document", type=Path, required=True, help="the OpenRPC document")
    given = parser.parse_args()
    judge = Judge(json.loads(given.document.read_text()))
    asyncio.run(run(judge, given.listen, given.node))
    misfits = sum(judge.kinds.values())
    results, methods = sum(judge.judged.values()), len(judge.judged)
    print(f"{results} results of {methods} methods judged, {misfits} do not fit", flush=True)
    sys.exit(1 if misfits or not results else 0)


if __name__ == "__main__":
    main()

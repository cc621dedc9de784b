"""A relay in front of a node: passes HTTP and WebSockets on as they are, and judges results by the
OpenRPC document.

    judge.py --listen PORT --node PORT --listen-ws PORT --node-ws PORT --document FILE

Methods that the document does not have are not judged, nor are errors and notifications; but all
have to be JSON. What does not fit is told as it is found. SIGTERM ends it: then it tells how many
results it has judged. Its exit code is 1 if any did not fit, or could not be read, or if there was
none.

One thing is not passed on: the Sec-WebSocket-Extensions that a client asks for, so that nothing is
compressed.

It runs where the packages of clients/judge are. Clients have their answers before these are judged;
but of one connection, what comes next is read afterwards: so nothing piles up.
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
# Bytes of a body, or of a message of a WebSocket, at most.
BODY_MAX = 256 << 20
# Misfits of different kinds that are told, and characters of what is shown of one.
MISFITS_MAX = 20
SHOWN_MAX = 300
# Bits of the first two bytes of a frame of a WebSocket, and the first kind of those that are no
# part of a message. Source: RFC 6455, section 5.2.
LAST, EXTENDED, KIND, MASKED = 0x80, 0x70, 0x0F, 0x80
CONTROL = 8
# What ends a connection: either has gone, or does not speak HTTP, or the relay ends.
ENDED = (OSError, EOFError, ValueError, asyncio.LimitOverrunError, asyncio.CancelledError)

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
        """Judges an HTTP exchange, of which the bodies are given; batches, too."""
        calls = Calls(self)
        calls.sent(request)
        if coding == "gzip":
            answer = gzip.decompress(answer)
        elif coding not in ("", "identity"):
            raise ValueError(f"an answer in {coding}")
        if answer or calls.asked:
            calls.answered(answer)

    def seen(self, judge, *given):
        """Judges by one of the ways to do so. What cannot be read is a misfit."""
        try:
            judge(*given)
        except Exception as error:
            self.misfit("", "$", f"cannot be judged: {error!r}", "")

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


class Calls:
    """Calls that wait for their answers."""

    def __init__(self, judge):
        self.judge, self.asked = judge, {}

    def sent(self, message):
        """A client has sent this. What is no call is no concern of the schemas: whatever is said to
        it is an error."""
        try:
            entries = as_list(json.loads(message))
        except (ValueError, RecursionError):
            return
        for one in entries:
            if isinstance(one, dict) and "id" in one and isinstance(one.get("method"), str):
                self.asked[json.dumps(one["id"])] = one

    def answered(self, message):
        """The node has sent this: answers, or a notification. Judges the results."""
        try:
            entries = as_list(json.loads(message))
        except (ValueError, RecursionError) as error:
            asked = ", ".join(sorted({one["method"] for one in self.asked.values()}))
            shown = message[:SHOWN_MAX].decode(errors="backslashreplace")
            self.judge.misfit(asked, "$", f"{shown!r} is no JSON: {error}", "")
            return
        for one in entries:
            if isinstance(one, dict) and "id" in one:
                call = self.asked.pop(json.dumps(one["id"]), None)
                if call and "result" in one:
                    self.judge.result(call["method"], call.get("params"), one["result"])


class Socket:
    """What is said over one WebSocket, in parts as they come."""

    def __init__(self, judge):
        self.calls, self.ups, self.downs = Calls(judge), Messages(), Messages()

    def sent(self, part):
        """By the client."""
        for message in self.ups.push(part):
            self.calls.sent(message)

    def answered(self, part):
        """By the node."""
        for message in self.downs.push(part):
            self.calls.answered(message)


class Messages:
    """Takes messages out of the bytes of one direction of a WebSocket."""

    def __init__(self):
        self.rest, self.message = bytearray(), bytearray()

    def push(self, part):
        """The messages that end with this part."""
        self.rest += part
        while frame := self.frame():
            first, payload = frame
            if first & KIND >= CONTROL:
                continue
            if len(self.message) + len(payload) > BODY_MAX:
                raise ValueError("a message is too long")
            self.message += payload
            if first & LAST:
                yield bytes(self.message)
                self.message.clear()

    def frame(self):
        """The first byte of the next frame, and what it carries; None if it is not whole."""
        rest = self.rest
        if len(rest) < 2:
            return None
        first, second = rest[:2]
        if first & EXTENDED:
            raise ValueError("a frame of an extension that nobody asked for")
        size, begin = second & ~MASKED, 2
        if size > 125:
            begin += 2 if size == 126 else 8
            if len(rest) < begin:
                return None
            size = int.from_bytes(rest[2:begin], "big")
        if size > BODY_MAX:
            raise ValueError("a frame is too long")
        mask = None
        if second & MASKED:
            mask = rest[begin : begin + 4]
            begin += 4
        end = begin + size
        if len(rest) < end:
            return None
        payload = bytes(rest[begin:end])
        del rest[:end]
        return first, unmasked(payload, mask) if mask else payload


def unmasked(payload, mask):
    """What a client has masked. Source: RFC 6455, section 5.3."""
    size = len(payload)
    key = (mask * (size // len(mask) + 1))[:size]
    plain = int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")
    return plain.to_bytes(size, "big")


def as_list(value):
    return value if isinstance(value, list) else [value]


class Relay:
    """Connections of clients: each request of them on a connection of its own to the node, and each
    WebSocket, which has another port."""

    def __init__(self, judge, port, ws_port):
        self.judge, self.port, self.ws_port = judge, port, ws_port
        # One thread: results are judged one after the other, and beside the passing on.
        self.pool = concurrent.futures.ThreadPoolExecutor(max_workers=1)

    async def judged(self, judge, *given):
        """Has something judged, and waits for that."""
        work = (self.judge.seen, judge, *given)
        await asyncio.get_running_loop().run_in_executor(self.pool, *work)

    async def serve(self, reader, writer):
        """Serves one client until it, or the node, has had enough."""
        try:
            while await self.exchange(reader, writer):
                pass
        except ENDED:
            # Who waits for an answer sees the end.
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
        await self.judged(self.judge.exchange, request, answer, coding)
        is_bounded = "content-length" in fields or "transfer-encoding" in fields
        return is_bounded and fields.get("connection", "").lower() != "close"


    async def serve_socket(self, reader, writer):
        """Serves one WebSocket until the client, or the node, has had enough."""
        pumps = []
        try:
            head = without_extensions(await head_of(reader))
            to_node = await asyncio.open_connection(HOST, self.ws_port, limit=HEAD_MAX)
            try:
                await pass_on(to_node[1], head)
                head = await head_of(to_node[0])
                if b" 101 " not in head[:16]:
                    await passed_on(head, to_node[0], writer, is_answer=True)
                    return
                await pass_on(writer, head)
                socket = Socket(self.judge)
                pumps += [
                    asyncio.ensure_future(self.ask(socket, reader, to_node[1])),
                    asyncio.ensure_future(self.answer(socket, to_node[0], writer)),
                ]
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pump in pumps:
                    pump.cancel()
                to_node[1].close()
            # Either may have gone.
            await asyncio.gather(*pumps, return_exceptions=True)
        except ENDED:
            pass
        finally:
            writer.close()

    async def ask(self, socket, reader, writer):
        """Passes on what a client says. A call is noted before the node can answer it."""
        while part := await reader.read(PART_MAX):
            await self.judged(socket.sent, part)
            await pass_on(writer, part)

    async def answer(self, socket, reader, writer):
        """Passes on what the node says."""
        while part := await reader.read(PART_MAX):
            await pass_on(writer, part)
            await self.judged(socket.answered, part)


def without_extensions(head):
    """The head of a request, in which no extensions of WebSocket are asked for."""
    name = b"sec-websocket-extensions:"
    lines = (line for line in head.split(b"\r\n") if not line.lower().startswith(name))
    return b"\r\n".join(lines)


async def pass_on(writer, part):
    writer.write(part)
    await writer.drain()


async def head_of(reader):
    """The head of an HTTP message; EOFError where there is none any more."""
    return await reader.readuntil(b"\r\n\r\n")


async def passed_on(head, reader, writer, is_answer):
    """Passes a message on as it comes; gives the fields of its head, and its body."""
    lines = head.decode("latin-1").split("\r\n")[1:]
    pairs = (line.partition(":") for line in lines if line)
    fields = {name.strip().lower(): value.strip() for name, _, value in pairs}
    body = bytearray()

    async def pass_body(size):
        """As many bytes, or all that come."""
        while size is None or size:
            part = await reader.read(PART_MAX if size is None else min(size, PART_MAX))
            if not part and size is None:
                return
            if not part or len(body) + len(part) > BODY_MAX:
                raise EOFError
            await pass_on(writer, part)
            body.extend(part)
            size = size and size - len(part)

    await pass_on(writer, head)
    if fields.get("transfer-encoding", "").lower() == "chunked":
        size = None
        while size != 0:
            line = await reader.readline()
            if not line:
                raise EOFError
            await pass_on(writer, line)
            size = int(line.split(b";")[0], 16)
            await pass_body(size)
            await pass_on(writer, await reader.readexactly(2))
    elif "content-length" in fields:
        await pass_body(int(fields["content-length"]))
    elif is_answer and b" 204 " not in head[:16]:
        await pass_body(None)
    return fields, bytes(body)


async def run(judge, given):
    """Relays until SIGTERM, and then judges what is left."""
    relay, end = Relay(judge, given.node, given.node_ws), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end.set)
    kinds = [(relay.serve, given.listen), (relay.serve_socket, given.listen_ws)]
    servers = [
        await asyncio.start_server(serve, HOST, port, limit=HEAD_MAX) for serve, port in kinds
    ]
    print(f"judging by {judge.title}: {len(judge.validators)} methods", flush=True)
    await end.wait()
    for server in servers:
        server.close()
    relay.pool.shutdown()


def main():
    parser = argparse.ArgumentParser(description=" ".join(__doc__.splitlines()[:2]))
    parser.add_argument("--listen", type=int, required=True, help="the port of clients, for HTTP")
    parser.add_argument("--node", type=int, required=True, help="the port of the node, for HTTP")
    parser.add_argument("--listen-ws", type=int, required=True, help="the same, for WebSockets")
    parser.add_argument("--node-ws", type=int, required=True, help="the same, for WebSockets")
    parser.add_argument("--document", type=Path, required=True, help="the OpenRPC document")
    given = parser.parse_args()
    judge = Judge(json.loads(given.document.read_text()))
    asyncio.run(run(judge, given))
    misfits = sum(judge.kinds.values())
    results, methods = sum(judge.judged.values()), len(judge.judged)
    print(f"{results} results of {methods} methods judged, {misfits} do not fit", flush=True)
    sys.exit(1 if misfits or not results else 0)


if __name__ == "__main__":
    main()

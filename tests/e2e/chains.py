"""What scenarios in real time look for: finality, and agreement of nodes."""

import time

from stage import Failure

SLOTS_PER_EPOCH = 8
GENESIS_DELAY_S = 20


def real_time(slot_seconds):
    """Genesis time and seconds of a slot, for a chain that is about to begin."""
    return int(time.time()) + GENESIS_DELAY_S, slot_seconds


def finalizes(stage, lodestar, above, slots=6 * SLOTS_PER_EPOCH):
    """Waits until a block above number `above` is finalized, at both ends alike; gives the head."""
    fugue = lodestar.fugue

    def reached():
        final = lodestar.beacon.finalized()
        if not final or final["number"] <= above:
            return None
        block = fugue.rpc.block("finalized")
        if not block or block["number"] < final["number"]:
            return None
        if fugue.rpc.block(final["number"])["hash"] != final["hash"]:
            raise Failure(f"{fugue.name} has another block {final['number']} than {lodestar.name}")
        return lodestar.beacon.block("head")

    what = f"{lodestar.name} finalizes a block above {above}"
    delay = max(0, lodestar.clock[0] - time.time())
    seconds = delay + slots * lodestar.clock[1]
    return stage.wait(what, seconds, reached)


def head_is_past(stage, lodestar, slot):
    """Waits until the head is at `slot` or later; gives it."""

    def reached():
        head = lodestar.beacon.block("head")
        return head if head["slot"] >= slot else None

    seconds = 3 * SLOTS_PER_EPOCH * lodestar.clock[1]
    return stage.wait(f"{lodestar.name} comes to slot {slot}", seconds, reached)


def agree(stage, lodestars):
    """Waits until all nodes and their consensus clients have one head; gives it."""

    def reached():
        heads = [lodestar.beacon.block("head") for lodestar in lodestars]
        blocks = [lodestar.fugue.rpc.block("latest") for lodestar in lodestars]
        hashes = {block["hash"] for block in heads + blocks}
        return blocks[0] if len(hashes) == 1 else None

    seconds = 3 * SLOTS_PER_EPOCH * lodestars[0].clock[1]
    return stage.wait("heads agree", seconds, reached)

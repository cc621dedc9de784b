"""Scenario `pair`: two consensus clients that are peers, each with half of the validators and a
node of its own."""

import time
from collections import Counter

from chains import agree, finalizes, head_is_past, real_time
from genesis import genesis
from nodes import Fugue, Lodestar, Sender
from stage import Failure

# How long one node is away: less than an epoch, after which its consensus client gives up.
AWAY_SLOTS = 6
# Of the blocks until the first finalized one, by the builder of fewer.
SHARE_MIN = 0.2


def pair(stage, setup):
    """Two peered Lodestars on a node each, real time: both build; one node is away and returns."""
    chain = genesis({"capella": 0})
    fugues = [Fugue(stage, setup.fugue, chain, f"fugue-{number}") for number in (1, 2)]
    home = setup.packages("lodestar")
    clock = real_time(setup.slot_seconds)
    first = Lodestar(stage, home, fugues[0], clock, "lodestar-1", (0, 3))
    bootnode = first.address()
    second = Lodestar(stage, home, fugues[1], clock, "lodestar-2", (4, 7), bootnode)
    lodestars = [first, second]
    sender = Sender(stage, setup.packages("core"), fugues)

    head = finalizes(stage, first, above=0, slots=64)
    finalizes(stage, second, above=0)
    builders = built_by(first, head["number"])
    stage.say(f"first finality at slot {head['slot']}; blocks by builder: {dict(builders)}")
    shares = [builders[lodestar.receiver] / head["number"] for lodestar in lodestars]
    if min(shares) < SHARE_MIN:
        raise Failure(f"the nodes built {shares} of the blocks")
    agree(stage, lodestars)

    before = second.beacon.block("head")
    fugues[1].stop()
    stage.say(f"node 2 was stopped at block {before['number']}")
    time.sleep(AWAY_SLOTS * setup.slot_seconds)
    fugues[1].start()
    head = head_is_past(stage, first, before["slot"] + AWAY_SLOTS)
    caught_up(stage, fugues, head)
    stage.say(f"node 2 has block {head['number']}")
    for lodestar in lodestars:
        finalizes(stage, lodestar, above=head["number"], slots=64)
    stage.say(f"block {head['number']} is finalized")

    sent = sender.finish(120)
    block = agree(stage, lodestars)
    stage.say(f"heads agree at block {block['number']}; transactions by type: {sent}")
    for fugue in fugues:
        fugue.stop()


def built_by(lodestar, last):
    """How many of the blocks 1 to `last` pay each receiver of fees."""
    rpc = lodestar.fugue.rpc
    blocks = (rpc.call("eth_getBlockByNumber", hex(n), False) for n in range(1, last + 1))
    return Counter(block["miner"].lower() for block in blocks)


def caught_up(stage, fugues, head):
    """Waits until all nodes have the block of a head."""

    def reached():
        blocks = [fugue.rpc.block(head["number"]) for fugue in fugues]
        return all(block and block["hash"] == head["hash"] for block in blocks)

    stage.wait(f"nodes have block {head['number']}", 90, reached)

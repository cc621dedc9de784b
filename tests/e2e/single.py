"""Scenario `single`: a consensus client with all validators over one node."""

from chains import agree, finalizes, head_is_past, real_time
from genesis import genesis
from nodes import VALIDATORS, Fugue, Lodestar, Sender
from stage import Failure

# In epoch 1, before anything is justified: see `lodestar_restarted`.
RESTART_SLOT = 10
FINALITY_SLOT = 32
# Of the slots from the restart to the first finalized block.
MISSED_SLOTS_MAX = 2


def single(stage, setup):
    """Lodestar on one node, real time: finality, transactions, restarts of both, two kills."""
    home = setup.packages("lodestar")
    fugue = Fugue(stage, setup.fugue, genesis({"capella": 0}))
    clock = real_time(setup.slot_seconds)
    lodestar = Lodestar(stage, home, fugue, clock, "lodestar", (0, VALIDATORS - 1))
    sender = Sender(stage, setup.packages("core"), [fugue])
    lodestar_restarted(stage, lodestar)

    first = lodestar.beacon.block("head")
    head = finalizes(stage, lodestar, above=0, slots=FINALITY_SLOT + 16)
    missed = head["slot"] - first["slot"] - (head["number"] - first["number"])
    stage.say(f"first finality at slot {head['slot']}; {missed} slots without a block")
    if missed > MISSED_SLOTS_MAX:
        raise Failure(f"{missed} slots from {first['slot']} to {head['slot']} have no block")

    def fugue_stopped():
        fugue.stop()
        fugue.start()

    def fugue_killed():
        fugue.kill()
        fugue.start()

    events = [
        ("the node was restarted", fugue_stopped),
        ("the node was killed", fugue_killed),
        ("the node was killed again", fugue_killed),
    ]
    for what, event in events:
        before = lodestar.beacon.block("head")
        event()
        stage.say(f"{what} at block {before['number']}")
        head = finalizes(stage, lodestar, above=before["number"])
        stage.say(f"block {before['number']} is finalized at slot {head['slot']}")

    sent = sender.finish(120)
    block = agree(stage, [lodestar])
    stage.say(f"heads agree at block {block['number']}; transactions by type: {sent}")
    fugue.stop()


def lodestar_restarted(stage, lodestar):
    """Restarts the consensus client, which forgets what is not final: it makes its node go back to
    genesis, and then has it execute blocks that it knows. They come from a peer without validators
    over the same node. After this version of Lodestar has begun anew from a later epoch, it follows
    a chain only once that justifies two more epochs, and nobody else is there to see to that."""
    observer = Lodestar(
        stage, lodestar.home, lodestar.fugue, lodestar.clock, "observer", bootnode=lodestar.address()
    )
    head_is_past(stage, observer, RESTART_SLOT)
    before = observer.beacon.block("head")
    lodestar.bootnode = observer.address()
    lodestar.stop()
    lodestar.start()
    after = head_is_past(stage, lodestar, before["slot"] + 1)
    stage.say(f"restarted the consensus client after slot {before['slot']}; now at {after['slot']}")
    observer.running.kill()

"""Named places in the code where a trial may kill the process. Off, and costing nothing, in every market.

`DUEBILL_FAILPOINTS` is read once, when this module is imported: nothing that comes in later, no request and no row, can
turn a place on. It holds `place[@what][:n]`, joined by commas: at the n-th time (1 by default) that the process comes
by the place, about that verb or call where one is named, it ends by SIGKILL, as if the power had gone. Its last word on
standard error is where.
"""

import os
import signal
import threading
from collections.abc import Callable
from enum import StrEnum

VARIABLE = "DUEBILL_FAILPOINTS"


class Place(StrEnum):
    """Where a process may be killed: the steps between a wish and its last acknowledgement."""

    BEFORE_COMMIT = "before_commit"  # all is written, or ready in the one statement that commits; nothing is committed
    AFTER_COMMIT = "after_commit"  # committed, and nobody was told
    BEFORE_SEND = "before_send"  # a call is claimed and was not made
    ACCEPTED = "accepted"  # the provider did it, and nobody has read its answer
    ANSWERED = "answered"  # its answer was read and is not yet recorded
    RECORDED = "recorded"  # recorded, and not yet acknowledged to whoever waits


Plan = dict[tuple[Place, str], int]


def read_plan(words: str) -> Plan:
    """Return what a plan says: (place, what; empty for anything) to the count that is left.

    Raises: ValueError naming the part that cannot be read.
    """
    plan: Plan = {}
    for part in filter(None, (one.strip() for one in words.split(","))):
        where, _, count = part.partition(":")
        name, _, what = where.partition("@")
        if name not in list(Place) or not (count or "1").isdecimal() or int(count or 1) < 1:
            raise ValueError(f"{VARIABLE}: {part!r} is not place[@what][:n] with a place of {', '.join(Place)}")
        plan[Place(name), what] = int(count or 1)
    return plan


def last_word(pid: int, place: Place, what: str) -> str:
    """Return the line with which a process tells where it dies."""
    return f"failpoint {pid} {place}{'@' + what if what else ''}\n"


def _pass_by(place: Place, what: str = "") -> None:
    """Do nothing."""


def armed(plan: Plan) -> Callable[..., None]:
    """Return the function that counts the plan down and kills this process when a count has run out."""
    lock = threading.Lock()

    def reach(place: Place, what: str = "") -> None:
        for key in {(place, what), (place, "")}:
            with lock:
                left = plan.get(key)
                if left is None:
                    continue
                plan[key] = left - 1
            if left == 1:
                os.write(2, last_word(os.getpid(), *key).encode())
                os.kill(os.getpid(), signal.SIGKILL)

    return reach


PLAN = read_plan(os.environ.get(VARIABLE, ""))
ARMED = bool(PLAN)
reach: Callable[..., None] = armed(PLAN) if ARMED else _pass_by

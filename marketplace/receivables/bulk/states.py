"""The life of a bulk upload and of each of its rows: one list of states and one table of moves each."""

from enum import StrEnum

from marketplace.kernel.states import Machine


class UploadState(StrEnum):
    """Where an upload stands, from the first byte to the last row."""

    RECEIVING = "receiving"
    UNPACKING = "unpacking"
    READING = "reading"
    WAITING = "waiting"
    LISTING = "listing"
    DONE = "done"
    REFUSED = "refused"
    DROPPED = "dropped"


class RowState(StrEnum):
    """What became of one invoice of an upload."""

    UNREAD = "unread"
    READY = "ready"
    NEEDS = "needs"
    ASKED = "asked"
    LISTED = "listed"
    HELD = "held"
    KNOWN = "known"
    REFUSED = "refused"
    FAILED = "failed"
    LEFT = "left"


_U = UploadState

UPLOAD = Machine(
    "bulk upload",
    UploadState,
    {
        _U.RECEIVING: (_U.UNPACKING, _U.DROPPED),
        _U.UNPACKING: (_U.READING, _U.REFUSED),
        _U.READING: (_U.WAITING, _U.LISTING, _U.DONE),
        _U.WAITING: (_U.READING, _U.LISTING, _U.DONE),
        _U.LISTING: (_U.WAITING, _U.DONE),
    },
)

_R = RowState

ROW = Machine(
    "row",
    RowState,
    {
        _R.UNREAD: (_R.READY, _R.NEEDS, _R.LISTED, _R.HELD, _R.KNOWN, _R.REFUSED, _R.FAILED),
        _R.READY: (_R.ASKED, _R.UNREAD, _R.LEFT),
        _R.NEEDS: (_R.UNREAD, _R.LEFT),
        _R.ASKED: (_R.LISTED, _R.HELD, _R.KNOWN, _R.NEEDS, _R.REFUSED, _R.FAILED),
        _R.FAILED: (_R.UNREAD, _R.LEFT),
    },
)

# States in which an upload moves by itself, and those in which its bytes are needed no more.
MOVING = frozenset({_U.UNPACKING, _U.READING, _U.LISTING})
OVER = frozenset({_U.DONE, _U.REFUSED, _U.DROPPED})
# Rows that wait for the seller. A listed one leads to a receivable, a known one to an earlier one.
OPEN = frozenset({_R.READY, _R.NEEDS, _R.FAILED})
MADE = frozenset({_R.LISTED, _R.HELD})
# Rows that stand for their invoice: another row with the same one is a repetition.
HOLDING = MADE | {_R.READY, _R.ASKED}

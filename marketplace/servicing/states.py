"""The life of a collection: one list, one table of moves."""

from enum import StrEnum

from marketplace.kernel.states import Machine


class CollectionState(StrEnum):
    """Where a funded receivable stands with its debtor."""

    DUE = "due"
    PAID_IN_PART = "paid_in_part"
    OVERDUE = "overdue"
    DEFAULTED = "defaulted"
    RECOVERED = "recovered"
    SETTLED = "settled"
    WRITTEN_OFF = "written_off"


S = CollectionState

COLLECTION = Machine(
    "collection",
    CollectionState,
    {
        S.DUE: (S.PAID_IN_PART, S.OVERDUE, S.SETTLED, S.DEFAULTED),
        S.PAID_IN_PART: (S.OVERDUE, S.SETTLED, S.DEFAULTED),
        S.OVERDUE: (S.SETTLED, S.DEFAULTED),
        S.DEFAULTED: (S.RECOVERED, S.SETTLED, S.WRITTEN_OFF),
        S.RECOVERED: (S.SETTLED, S.WRITTEN_OFF),
    },
)

OPEN = (S.DUE, S.PAID_IN_PART, S.OVERDUE, S.DEFAULTED, S.RECOVERED)

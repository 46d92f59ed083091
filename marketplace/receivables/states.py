"""The life of a receivable, of a review and of a dispute: one list of states and one table of moves each."""

from enum import StrEnum

from marketplace.kernel.states import Machine


class ReceivableState(StrEnum):
    """Where a receivable stands, from the draft to the last penny."""

    DRAFTED = "drafted"
    HELD_FOR_REVIEW = "held_for_review"
    AWAITING_CONFIRMATION = "awaiting_confirmation"
    CONFIRMED = "confirmed"
    RATED = "rated"
    ON_AUCTION = "on_auction"
    AWARDED = "awarded"
    FUNDED = "funded"
    DISCHARGED = "discharged"
    BOUGHT_BACK = "bought_back"
    WRITTEN_OFF = "written_off"
    WITHDRAWN = "withdrawn"
    REJECTED = "rejected"
    EXPIRED = "expired"


class ReviewState(StrEnum):
    """A review is open until two operators release it, or one rejects what it holds."""

    OPEN = "open"
    PROPOSED = "proposed"
    RELEASED = "released"
    REJECTED = "rejected"
    CLOSED = "closed"


class DisputeState(StrEnum):
    """A dispute is open until somebody ends it."""

    OPEN = "open"
    RESOLVED = "resolved"
    UPHELD = "upheld"
    TIMED_OUT = "timed_out"


_S = ReceivableState

RECEIVABLE = Machine(
    "receivable",
    ReceivableState,
    {
        _S.DRAFTED: (_S.HELD_FOR_REVIEW, _S.AWAITING_CONFIRMATION),
        _S.HELD_FOR_REVIEW: (_S.AWAITING_CONFIRMATION, _S.CONFIRMED, _S.REJECTED, _S.WITHDRAWN, _S.EXPIRED),
        _S.AWAITING_CONFIRMATION: (_S.CONFIRMED, _S.HELD_FOR_REVIEW, _S.WITHDRAWN, _S.REJECTED, _S.EXPIRED),
        _S.CONFIRMED: (_S.RATED, _S.HELD_FOR_REVIEW, _S.WITHDRAWN, _S.REJECTED, _S.EXPIRED),
        _S.RATED: (_S.ON_AUCTION, _S.HELD_FOR_REVIEW, _S.WITHDRAWN, _S.REJECTED, _S.EXPIRED),
        _S.ON_AUCTION: (_S.AWARDED, _S.RATED, _S.HELD_FOR_REVIEW, _S.WITHDRAWN, _S.EXPIRED),
        _S.AWARDED: (_S.FUNDED, _S.RATED, _S.HELD_FOR_REVIEW, _S.WITHDRAWN, _S.REJECTED, _S.EXPIRED),
        _S.FUNDED: (_S.DISCHARGED, _S.BOUGHT_BACK, _S.WRITTEN_OFF),
        _S.WITHDRAWN: (_S.HELD_FOR_REVIEW, _S.AWAITING_CONFIRMATION),
        _S.REJECTED: (_S.HELD_FOR_REVIEW, _S.AWAITING_CONFIRMATION),
        _S.EXPIRED: (_S.HELD_FOR_REVIEW, _S.AWAITING_CONFIRMATION),
    },
)

_R = ReviewState

REVIEW = Machine(
    "review",
    ReviewState,
    {
        _R.OPEN: (_R.PROPOSED, _R.REJECTED, _R.CLOSED),
        _R.PROPOSED: (_R.RELEASED, _R.REJECTED, _R.CLOSED),
    },
)

_D = DisputeState

DISPUTE = Machine("dispute", DisputeState, {_D.OPEN: (_D.RESOLVED, _D.UPHELD, _D.TIMED_OUT)})

# States in which the seller may still take the receivable back: nothing of it is sold.
WITHDRAWABLE = frozenset({_S.HELD_FOR_REVIEW, _S.AWAITING_CONFIRMATION, _S.CONFIRMED, _S.RATED})
# States that end a receivable before anybody bought it: its title is tombstoned, its key stays taken. From them the
# same receivable may come back in a new round, unless it was rejected for good.
UNSOLD_ENDS = frozenset({_S.WITHDRAWN, _S.REJECTED, _S.EXPIRED})
# States in which it counts as part of the book.
LIVE = frozenset({_S.HELD_FOR_REVIEW, _S.AWAITING_CONFIRMATION, _S.CONFIRMED, _S.RATED, _S.ON_AUCTION,
                  _S.AWARDED, _S.FUNDED})  # fmt: skip
# States in which it is still waiting for a buyer and lapses when too few days are left to run.
LAPSES = frozenset({_S.HELD_FOR_REVIEW, _S.AWAITING_CONFIRMATION, _S.CONFIRMED, _S.RATED})
# The reason code on the tombstone of a rejection that the seller may put right.
CURABLE = "rejected_curable"

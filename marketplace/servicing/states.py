"""The lives of a collection, a holding's offer, a buy-back and a proposed dilution: one table of moves each."""

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
    BOUGHT_BACK = "bought_back"
    CHARGED_BACK = "charged_back"


S = CollectionState

COLLECTION = Machine(
    "collection",
    CollectionState,
    {
        S.DUE: (S.PAID_IN_PART, S.OVERDUE, S.SETTLED, S.DEFAULTED, S.BOUGHT_BACK),
        S.PAID_IN_PART: (S.OVERDUE, S.SETTLED, S.DEFAULTED, S.BOUGHT_BACK),
        S.OVERDUE: (S.SETTLED, S.DEFAULTED, S.BOUGHT_BACK),
        S.DEFAULTED: (S.RECOVERED, S.SETTLED, S.WRITTEN_OFF, S.BOUGHT_BACK),
        S.RECOVERED: (S.SETTLED, S.WRITTEN_OFF, S.BOUGHT_BACK),
        # The debtor's bank took the money back after all was shared out: it is owed again, and title stays at rest.
        S.SETTLED: (S.CHARGED_BACK,),
        S.CHARGED_BACK: (S.SETTLED,),
    },
)

OPEN = (S.DUE, S.PAID_IN_PART, S.OVERDUE, S.DEFAULTED, S.RECOVERED)
CLOSED = (S.SETTLED, S.WRITTEN_OFF, S.BOUGHT_BACK, S.CHARGED_BACK)


class OfferState(StrEnum):
    """Where an offer of a holding stands. `void`: the market took away what was offered, or changed it."""

    OPEN = "open"
    ACCEPTED = "accepted"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    VOID = "void"


_O = OfferState

OFFER = Machine("offer", OfferState, {_O.OPEN: (_O.ACCEPTED, _O.WITHDRAWN, _O.EXPIRED, _O.VOID)})


class DecisionState(StrEnum):
    """Where a decision of two people stands."""

    PROPOSED = "proposed"
    DONE = "done"
    WITHDRAWN = "withdrawn"


_D = DecisionState

DECISION = Machine("decision", DecisionState, {_D.PROPOSED: (_D.DONE, _D.WITHDRAWN)})


class BuyBackState(StrEnum):
    """Where a buy-back stands: asked of the seller, paid, or no longer asked."""

    ASKED = "asked"
    PAID = "paid"
    WITHDRAWN = "withdrawn"


_B = BuyBackState

BUYBACK = Machine("buy_back", BuyBackState, {_B.ASKED: (_B.PAID, _B.WITHDRAWN)})


class ProposalState(StrEnum):
    """Where a credit note stands that needs a second voice. `proposed`: one operator is for it."""

    WAITING = "waiting"
    PROPOSED = "proposed"
    TAKEN = "taken"
    REFUSED = "refused"


_P = ProposalState

PROPOSAL = Machine(
    "dilution_proposal",
    ProposalState,
    {_P.WAITING: (_P.PROPOSED, _P.TAKEN, _P.REFUSED), _P.PROPOSED: (_P.TAKEN, _P.REFUSED)},
)

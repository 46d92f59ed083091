"""Every state of every noun has its badge, and no badge stands for a state that does not exist."""

from enum import StrEnum

import pytest

from marketplace.payments.rules import CallState, NoticeState, PaymentState, PayoutState
from marketplace.receivables.bulk.states import RowState, UploadState
from marketplace.receivables.states import DisputeState, ReceivableState, ReviewState
from marketplace.servicing.states import CollectionState, ProposalState
from marketplace.trading.rules import BidState, LotState
from marketplace.web.states import LOOKS, SHAPES

MACHINES: dict[str, type[StrEnum]] = {
    "receivable": ReceivableState,
    "review": ReviewState,
    "dispute": DisputeState,
    "dilution_proposal": ProposalState,
    "lot": LotState,
    "bid": BidState,
    "collection": CollectionState,
    "payment": PaymentState,
    "payout": PayoutState,
    "call": CallState,
    "notice": NoticeState,
    "upload": UploadState,
    "row": RowState,
}
# Shown beside the machine’s own: an open dispute.
BESIDE = {"receivable": {"disputed"}, "collection": {"disputed"}}


@pytest.mark.parametrize("noun", MACHINES)
def test_badges_and_states_are_the_same(noun: str) -> None:
    assert set(LOOKS[noun]) - BESIDE.get(noun, set()) == {str(state) for state in MACHINES[noun]}


def test_every_badge_has_a_shape() -> None:
    assert {css for states in LOOKS.values() for css, _ in states.values()} <= set(SHAPES)

"""Lots of one session clear together: never over a cap, and never worth less than the best of all fillings."""

from __future__ import annotations

from itertools import product

from hypothesis import given

from auction.joint import FLOW, GREEDY, JointClearing, Session, clear_jointly
from auction.rules import admit, least_award
from tests.auction import profile
from tests.auction.sessions import sessions


def fills_of(clearing: JointClearing) -> dict[str, int]:
    return {fill.bid.id: fill.cash_minor for award in clearing.awards for fill in award.fills}


def best_of_all(session: Session, failed: frozenset[str] = frozenset()) -> int:
    """Try every filling of the session in whole units; lots in `failed` get nothing."""
    bids = [(lot, one) for lot in session.lots if lot.book.lot not in failed for one in admit(lot.book)[0]]
    choices = [[x for x in range(one.cash_minor + 1) if x == 0 or x >= one.bid.min_fill_minor] for _, one in bids]
    best = 0
    for amounts in product(*choices):
        used: dict[tuple, int] = {}
        worth = 0
        for (lot, one), x in zip(bids, amounts, strict=True):
            investor = one.bid.investor
            for key in (("lot", lot.book.lot), ("budget", investor), ("debtor", investor, lot.debtor),
                        ("seller", investor, lot.seller)):  # fmt: skip
                used[key] = used.get(key, 0) + x
            worth += (lot.book.reserve_bps - one.bid.rate_bps + 1) * lot.book.tenor_days * x
        rooms = {
            **{("lot", lot.book.lot): lot.book.target_minor for lot in session.lots},
            **{("budget", name): room for name, room in session.budgets.items()},
            **{("debtor", *pair): room for pair, room in session.debtor_limits.items()},
            **{("seller", *pair): room for pair, room in session.seller_limits.items()},
        }
        if all(minor <= rooms.get(key, minor) for key, minor in used.items()):
            best = max(best, worth)
    return best


def judge(session: Session, clearing: JointClearing) -> None:
    """Demand what must hold of any clearing."""
    spent: dict[tuple, int] = {}
    for award in clearing.awards:
        book = award.lot.book
        standing = {one.bid.id: one.cash_minor for one in award.standing}
        assert award.awarded_minor == sum(fill.cash_minor for fill in award.fills) <= book.target_minor
        assert award.outcome == "failed" or award.awarded_minor >= max(least_award(book), 1)
        assert (award.outcome == "full") == (award.awarded_minor == book.target_minor)
        for fill in award.fills:
            assert max(fill.bid.min_fill_minor, 1) <= fill.cash_minor <= standing[fill.bid.id]
            assert fill.bid.rate_bps <= fill.rate_bps <= book.reserve_bps
            for key in ((fill.bid.investor,), (fill.bid.investor, "d", award.lot.debtor),
                        (fill.bid.investor, "s", award.lot.seller)):  # fmt: skip
                spent[key] = spent.get(key, 0) + fill.cash_minor
    for name, room in session.budgets.items():
        assert spent.get((name,), 0) <= room
    for kind, limits in (("d", session.debtor_limits), ("s", session.seller_limits)):
        for (name, other), room in limits.items():
            assert spent.get((name, kind, other), 0) <= room
    assert clearing.worth <= clearing.bound


@profile.properties(4)
@given(sessions())
def test_nested_caps_reach_the_optimum_of_all_fillings(session):
    clearing = clear_jointly(session)
    judge(session, clearing)
    failed = frozenset(award.lot.book.lot for award in clearing.awards if award.outcome == "failed")
    assert clearing.worth == best_of_all(session, failed)
    assert clearing.gap_ppm == 0
    assert clearing.path == FLOW


@profile.properties(8)
@given(sessions(min_fills=True, crossing=True))
def test_least_fills_and_crossing_caps_reach_the_optimum_or_say_how_far_it_is(session):
    clearing = clear_jointly(session)
    judge(session, clearing)
    failed = frozenset(award.lot.book.lot for award in clearing.awards if award.outcome == "failed")
    best = best_of_all(session, failed)
    assert clearing.worth <= best <= clearing.bound
    if clearing.path != GREEDY and clearing.gap_ppm == 0:
        assert clearing.worth == best

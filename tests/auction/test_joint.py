"""Lots of one session clear together: never over a cap, and never worth less than the best of all fillings."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auction.errors import BookInvalid, TooLarge
from auction.explaining import explain
from auction.flow import Network, Unsolved, prove, solve_flow
from auction.greedy import bound, fill_by_worth
from auction.joint import (
    FLOW,
    GREEDY,
    PROGRAM,
    JointClearing,
    JointLot,
    Session,
    clear_jointly,
    problem_of,
    solve,
)
from auction.problem import Family, Problem, tie_of
from auction.rules import admit, least_award
from tests.auction import profile
from tests.auction.books import a_bid, a_book
from tests.auction.sessions import a_session, sessions


def fills_of(clearing: JointClearing) -> dict[str, int]:
    return {fill.bid.id: fill.cash_minor for award in clearing.awards for fill in award.fills}


def best_of_all(session: Session, failed: frozenset[str] = frozenset()) -> tuple[int, int]:
    """Try every filling of the session in whole units; lots in `failed` get nothing. Returns worth and hashes."""
    bids = [(lot, one) for lot in session.lots if lot.book.lot not in failed for one in admit(lot.book)[0]]
    choices = [[x for x in range(one.cash_minor + 1) if x == 0 or x >= one.bid.min_fill_minor] for _, one in bids]
    best = (0, 0)
    for amounts in product(*choices):
        used: dict[tuple, int] = {}
        worth = hashes = 0
        for (lot, one), x in zip(bids, amounts, strict=True):
            investor = one.bid.investor
            for key in (("lot", lot.book.lot), ("budget", investor), ("debtor", investor, lot.debtor),
                        ("seller", investor, lot.seller)):  # fmt: skip
                used[key] = used.get(key, 0) + x
            worth += (lot.book.reserve_bps - one.bid.rate_bps + 1) * lot.book.tenor_days * x
            hashes += tie_of(one.bid.id) * x
        rooms = {
            **{("lot", lot.book.lot): lot.book.target_minor for lot in session.lots},
            **{("budget", name): room for name, room in session.budgets.items()},
            **{("debtor", *pair): room for pair, room in session.debtor_limits.items()},
            **{("seller", *pair): room for pair, room in session.seller_limits.items()},
        }
        if all(minor <= rooms.get(key, minor) for key, minor in used.items()):
            best = max(best, (worth, hashes))
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
    hashes = sum(tie_of(bid_id) * cash for bid_id, cash in fills_of(clearing).items())
    assert (clearing.worth, hashes) == best_of_all(session, failed)
    assert clearing.gap_ppm == 0
    assert clearing.path == FLOW


@profile.properties(8)
@given(sessions(min_fills=True, crossing=True))
def test_least_fills_and_crossing_caps_reach_the_optimum_or_say_how_far_it_is(session):
    clearing = clear_jointly(session)
    judge(session, clearing)
    failed = frozenset(award.lot.book.lot for award in clearing.awards if award.outcome == "failed")
    best, _ = best_of_all(session, failed)
    assert clearing.worth <= best <= clearing.bound
    if clearing.path != GREEDY and clearing.gap_ppm == 0:
        assert clearing.worth == best


@profile.properties(4)
@given(sessions(), st.integers(0, 2**32))
def test_the_order_of_lots_and_bids_does_not_matter(session, seed):
    dice = random.Random(seed)
    lots = [
        JointLot(replace(lot.book, bids=tuple(dice.sample(lot.book.bids, len(lot.book.bids)))), lot.debtor, lot.seller)
        for lot in session.lots
    ]
    dice.shuffle(lots)
    caps = [dict(reversed(caps.items())) for caps in (session.budgets, session.debtor_limits, session.seller_limits)]
    assert fills_of(clear_jointly(Session(tuple(lots), *caps))) == fills_of(clear_jointly(session))


@profile.properties(8)
@given(sessions(min_fills=True, crossing=True))
def test_every_bid_that_did_not_get_all_it_asked_for_hears_why(session):
    clearing = clear_jointly(session)
    filled = fills_of(clearing)
    told = explain(session, clearing)
    assert [one.bid.id for one in told] == sorted(bid.id for lot in session.lots for bid in lot.book.bids)
    for one in told:
        assert one.cash_minor == filled.get(one.bid.id, 0)
        assert (one.state == "filled") == (one.cash_minor == one.bid.cash_minor)
        assert bool(one.why) == (one.state != "filled"), one
        assert (one.cash_minor > 0) == (one.state in ("filled", "cut"))


@profile.properties(4)
@given(sessions(min_fills=True, crossing=True))
def test_bids_by_worth_keep_every_cap_and_the_bound_is_never_beaten(session):
    problem = problem_of(session)
    filled = fill_by_worth(problem)
    assert problem.holds(filled)
    fill, limit, _ = solve(problem)
    assert problem.holds(fill)
    assert problem.value(filled) <= bound(problem)
    assert problem.value(fill) <= min(limit, bound(problem))


# --- by hand -------------------------------------------------------------------------------------------


def two_lots(**caps: dict) -> Session:
    """Ann bids on both lots, Bob only on the second, at a worse rate."""
    lots = []
    for name, bids in (
        ("one", [("a1", "ann", 100, 600), ("c1", "cid", 100, 700)]),
        ("two", [("a2", "ann", 100, 600), ("b2", "bob", 100, 650)]),
    ):
        rows = [
            {**a_bid(bid_id, rate, cash, seq=seq), "investor": investor}
            for seq, (bid_id, investor, cash, rate) in enumerate(bids, 1)
        ]
        lots.append((a_book(*rows, lot=name, face_minor=100, target_minor=100, tenor_days=50), "d", f"s-{name}"))
    return a_session(lots, **caps)


def test_a_purse_too_small_for_both_lots_is_spent_where_it_saves_most():
    session = two_lots(budgets={"ann": 100})
    clearing = clear_jointly(session)
    assert fills_of(clearing) == {"a1": 100, "b2": 100}
    assert clearing.worth == clearing.bound == (251 + 201) * 50 * 100
    told = {one.bid.id: (one.state, [(why.code, dict(why.numbers)) for why in one.why]) for one in
            explain(session, clearing)}  # fmt: skip
    assert told == {
        "a1": ("filled", []),
        "a2": ("unfilled", [("budget_used", {"cap_minor": 100, "worth": 12_550})]),
        "b2": ("filled", []),
        "c1": ("unfilled", [("above_stop_out", {"rate_bps": 700, "stop_out_bps": 600})]),
    }


def test_a_limit_on_a_debtor_binds_over_lots():
    clearing = clear_jointly(two_lots(debtor_limits={("ann", "d"): 150}))
    assert fills_of(clearing) == {"a1": 100, "a2": 50, "b2": 50}


def test_lots_that_fall_short_fail_and_their_cash_goes_elsewhere():
    rows = [{**a_bid(name, 600, 100, seq=1), "investor": "ann"} for name in ("x", "y")]
    books = [
        (a_book(rows[0], lot="one", face_minor=200, target_minor=200, tenor_days=90), "d", "s"),
        (a_book(rows[1], lot="two", face_minor=100, target_minor=100, tenor_days=10), "d", "s"),
    ]
    session = a_session(books, budgets={"ann": 100})
    clearing = clear_jointly(session)
    assert [award.outcome for award in clearing.awards] == ["failed", "full"]
    assert fills_of(clearing) == {"y": 100}
    (told,) = [one for one in explain(session, clearing) if one.bid.id == "x"]
    assert (told.state, told.why[0].code, dict(told.why[0].numbers)) == (
        "unfilled", "lot_failed", {"offered_minor": 100, "least_minor": 160},
    )  # fmt: skip


def test_where_limits_on_debtors_and_sellers_cross_a_program_decides():
    bids = [("d1", "s1"), ("d1", "s2"), ("d2", "s1"), ("d2", "s2")]
    lots = [
        (a_book({**a_bid(f"b{n}", 600 - n, 100, seq=1), "investor": "ann"}, lot=f"lot-{n}", face_minor=100,
                target_minor=100, min_share_bps=0), *pair)
        for n, pair in enumerate(bids)
    ]  # fmt: skip
    caps = {("ann", name): 100 for name in ("d1", "d2")}, {("ann", name): 100 for name in ("s1", "s2")}
    session = a_session(lots, debtor_limits=caps[0], seller_limits=caps[1])
    clearing = clear_jointly(session)
    assert (clearing.path, clearing.gap_ppm) == (PROGRAM, 0)
    assert sum(fills_of(clearing).values()) == 200
    assert clearing.worth == best_of_pairs(session)


def best_of_pairs(session: Session) -> int:
    """Either both lots of one diagonal or of the other, or a mixture of no more worth."""
    worth = [(lot.book.reserve_bps - lot.book.bids[0].rate_bps + 1) * lot.book.tenor_days * 100 for lot in session.lots]
    return max(worth[0] + worth[3], worth[1] + worth[2])


def test_an_all_or_none_bid_is_taken_or_left_whole():
    rows = [
        {**a_bid("all", 600, 80, seq=1, least=80), "investor": "ann"},
        {**a_bid("some", 610, 60, seq=2), "investor": "bob"},
        {**a_bid("rest", 620, 60, seq=3), "investor": "cid"},
    ]
    session = a_session([(a_book(*rows, face_minor=100, target_minor=100), "d", "s")], budgets={"ann": 79})
    clearing = clear_jointly(session)
    assert fills_of(clearing) == {"some": 60, "rest": 40}
    told = next(one for one in explain(session, clearing) if one.bid.id == "all")
    assert (told.state, [why.code for why in told.why]) == ("passed_over", ["least_fill"])


def test_when_no_solver_answers_bids_are_filled_by_worth_and_the_gap_is_told():
    """A worth beyond the flow's range leaves only the greedy way."""
    rows = [a_bid(f"b{n}", 10**6 - n, 1_000, seq=n + 1) for n in range(6)]
    book = a_book(*rows, face_minor=2_500, target_minor=2_500, reserve_bps=10**6, tenor_days=10**9)
    wild = a_session([({**book, "reserve_bps": 2 * 10**6}, "d", "s")])
    clearing = clear_jointly(wild)
    judge(wild, clearing)
    assert clearing.path == GREEDY
    assert clearing.gap_ppm == 0  # one lot: by worth is best, and the bound proves it
    assert fills_of(clearing) == {"b5": 1_000, "b4": 1_000, "b3": 500}


def test_a_flow_can_be_solved_in_a_process_of_its_own_and_stopped():
    problem = a_large_problem(30_000)
    inside = solve_flow(problem)
    assert (solve_flow(problem, seconds_max=120) == inside).all()
    fill, limit, path = solve(problem, seconds_max=0)
    assert path == GREEDY
    assert problem.holds(fill)
    assert problem.value(fill) <= problem.value(inside) <= limit
    assert limit - problem.value(fill) < limit // 20


def a_large_problem(count: int) -> Problem:
    dice = np.random.default_rng(5)
    lot, investor = dice.integers(0, 200, count), dice.integers(0, 300, count)
    nowhere = Family(np.full(count, -1), np.zeros(0, np.int64))
    return Problem(
        cash=dice.integers(1, 100, count) * 10_000, least=np.zeros(count, np.int64),
        worth=dice.integers(1, 150_000, count), tie=dice.integers(0, 2**24, count),
        lots=Family(lot, np.full(200, 20_000_000)), budgets=Family(investor, np.full(300, 10_000_000)),
        debtor_limits=nowhere, seller_limits=nowhere,
    )  # fmt: skip


def test_a_flow_that_is_not_the_best_has_no_prices_that_prove_it():
    """Two ways from 0 to 1, one of them dearer; ten units go either way."""
    network = Network(
        tails=np.array([0, 0], np.int32), heads=np.array([1, 1], np.int32), rooms=np.array([10, 10]),
        costs=np.array([-5, -3]), supplies=np.array([10, -10]), ties=np.zeros(2, np.int64),
    )  # fmt: skip
    assert prove(network, np.array([10, 0])).tolist() == [0, -3]
    with pytest.raises(Unsolved):
        prove(network, np.array([9, 1]))


@pytest.mark.parametrize(
    ("session", "path"),
    [
        (lambda: a_session([(a_book(lot="x"), "d", "s"), (a_book(lot="x"), "d", "s")]), "lots[x]"),
        (lambda: a_session([(a_book(a_bid("b", 1, 1, seq=1), lot=name), "d", "s") for name in "xy"]), "bids[b]"),
        (lambda: a_session([], budgets={"ann": -1}), "budgets[ann]"),
    ],
)
def test_a_session_that_is_not_sound_is_refused(session, path):
    with pytest.raises(BookInvalid) as refused:
        clear_jointly(session())
    assert [fault.path for fault in refused.value.faults] == [path]


def test_numbers_beyond_64_bits_are_refused_not_wrapped():
    book = a_book(a_bid("b", 1, 2**70, seq=1), face_minor=2**71, target_minor=2**70)
    with pytest.raises(TooLarge):
        clear_jointly(a_session([(book, "d", "s")]))


def test_an_empty_session_clears_to_nothing():
    assert clear_jointly(a_session([])) == JointClearing((), 0, 0, FLOW)

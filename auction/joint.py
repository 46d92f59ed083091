"""Clear the lots of one session together, so that an investor may bid on fifty lots with cash for ten.

Each lot's bids are judged and cut to group caps as UPM-1 does; then the filling of highest worth is sought under every
lot's target and every investor's budget and limits. Lots that end below the seller's minimum fail together, and the
rest is cleared again with the cash this frees, until none does.

Source: market rules, "Many lots, one purse: JC-1".
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from auction.book import Book
from auction.clearing import FAILED, FULL, PARTIAL, Take
from auction.errors import BookInvalid, Fault, TooLarge
from auction.flow import NotNested, Unsolved, solve_flow
from auction.greedy import bound, fill_by_worth
from auction.pricing import Fill, price
from auction.problem import Family, Numbers, Problem, demand_room, family, tie_of
from auction.program import solve_program
from auction.rules import Refusal, Standing, admit, least_award

FLOW, PROGRAM, GREEDY = "flow", "program", "greedy"
REPAIRS_MOST = 10


@dataclass(frozen=True, slots=True)
class JointLot:
    """A lot's book, and whose receivable it sells."""

    book: Book
    debtor: str
    seller: str


@dataclass(frozen=True, slots=True)
class Session:
    """Lots that clear together. Amounts in minor units; whoever is not named is not bounded.

    `budgets` by investor, `debtor_limits` by (investor, debtor), `seller_limits` by (investor, seller): what may still
    be spent now.
    """

    lots: tuple[JointLot, ...]
    budgets: Mapping[str, int]
    debtor_limits: Mapping[tuple[str, str], int]
    seller_limits: Mapping[tuple[str, str], int]


@dataclass(frozen=True, slots=True)
class LotAward:
    """What one lot of the session gets. `offered_minor` is what it would have got, had it not failed."""

    lot: JointLot
    outcome: str
    stop_out_bps: int | None
    awarded_minor: int
    offered_minor: int
    fills: tuple[Fill, ...]
    standing: tuple[Standing, ...]
    refusals: tuple[Refusal, ...]


@dataclass(frozen=True, slots=True)
class JointClearing:
    """A session cleared: awards by lot id, the worth reached and the most that any filling could reach.

    `bound` equals `worth` where the optimum is proved. `path` names what found the filling.
    """

    awards: tuple[LotAward, ...]
    worth: int
    bound: int
    path: str

    @property
    def gap_ppm(self) -> int:
        """Return how far from the optimum this may be, in parts per million, rounded up."""
        return -(-(self.bound - self.worth) * 1_000_000 // self.bound) if self.bound else 0


def clear_jointly(session: Session, seconds_max: int | None = None) -> JointClearing:
    """Clear a session; after `seconds_max` the best filling found so far is taken, with its certified gap.

    Raises: BookInvalid when a lot or bid id occurs twice, TooLarge.
    """
    until = None if seconds_max is None else time.monotonic() + seconds_max
    lots, admitted, bids, problem = _prepare(session)
    least = np.array([max(least_award(lot.book), 1) for lot in lots], np.int64)
    offered = problem.lots.used(problem.cash)
    failed = offered < least
    while True:
        left = problem.without(np.flatnonzero(failed))
        fill, limit, path = solve(left, None if until is None else max(int(until - time.monotonic()), 1))
        got = left.lots.used(fill)
        offered = np.where(failed, offered, got)
        more = ~failed & (got < least)
        failed |= more
        if not (got[more] > 0).any():
            break
    fill[failed[problem.lots.room_of]] = 0
    takes: list[list[Take]] = [[] for _ in lots]
    for (one, place), cash in zip(bids, fill.tolist(), strict=True):
        if cash:
            takes[place].append(Take(one.bid, cash))
    awards = tuple(_award(lot, takes[place], int(offered[place]), *admitted[place]) for place, lot in enumerate(lots))
    return JointClearing(awards, left.value(fill), limit, path)


def problem_of(session: Session) -> Problem:
    """Return a session's standing bids, by id, as one problem.

    Raises: BookInvalid, TooLarge.
    """
    return _prepare(session)[3]


def solve(problem: Problem, seconds_max: int | None = None) -> tuple[Numbers, int, str]:
    """Return a filling, the most any filling is worth, and what found it.

    A flow where caps are nested; where a least fill then binds, or caps cross, a program; greedy where neither answers
    in time.
    """
    until = None if seconds_max is None else time.monotonic() + seconds_max
    try:
        relaxed = solve_flow(problem, seconds_max)
        limit = problem.value(relaxed)
        if problem.holds(relaxed):
            return relaxed, limit, FLOW
        found = [(_repair(problem, relaxed), FLOW)]
    except NotNested:
        limit = bound(problem)
        found = [(fill_by_worth(problem), GREEDY)]
    except Unsolved:
        greedy = fill_by_worth(problem)
        return greedy, bound(problem), GREEDY
    try:
        solved = solve_program(problem, None if until is None else max(int(until - time.monotonic()), 1))
        limit = min(limit, solved.bound)
        found.insert(0, (solved.fill, PROGRAM))
    except Unsolved:
        pass
    fill, path = max(found, key=lambda one: problem.value(one[0]))
    return fill, max(limit, problem.value(fill)), path


def _repair(problem: Problem, relaxed: Numbers) -> Numbers:
    """Leave out whoever gets less than his least fill, clear again, and give what is then left over by worth."""
    cash, fill = problem.cash.copy(), relaxed
    for _ in range(REPAIRS_MOST):
        short = (fill > 0) & (fill < problem.least)
        if not short.any():
            break
        cash[short] = 0
        fill = solve_flow(problem.with_cash(cash))
    fill = np.where(fill < problem.least, 0, fill)
    return fill_by_worth(problem, fill)


def _judge(session: Session) -> None:
    faults = []
    lots: set[str] = set()
    bids: set[str] = set()
    for lot in session.lots:
        if lot.book.lot in lots:
            faults.append(Fault(f"lots[{lot.book.lot}]", "repeated"))
        lots.add(lot.book.lot)
        for bid in lot.book.bids:
            if bid.id in bids:
                faults.append(Fault(f"bids[{bid.id}]", "repeated"))
            bids.add(bid.id)
    for name, caps in (("budgets", session.budgets), ("debtor_limits", session.debtor_limits),
                       ("seller_limits", session.seller_limits)):  # fmt: skip
        faults += [Fault(f"{name}[{key}]", "under_0") for key, minor in caps.items() if minor < 0]
    if faults:
        raise BookInvalid(faults)


def _prepare(
    session: Session,
) -> tuple[list[JointLot], list[tuple[list[Standing], list[Refusal]]], list[tuple[Standing, int]], Problem]:
    """Judge a session; return its lots by id, what UPM-1 admits in each, the standing bids by id, and the problem."""
    _judge(session)
    lots = sorted(session.lots, key=lambda lot: lot.book.lot)
    admitted = [admit(lot.book) for lot in lots]
    bids = [(one, place) for place, (standing, _) in enumerate(admitted) for one in standing]
    bids.sort(key=lambda row: row[0].bid.id)
    try:
        problem = _problem(session, lots, bids)
    except OverflowError:
        raise TooLarge("a number of this session does not fit in 64 bits") from None
    demand_room(problem)
    return lots, admitted, bids, problem


def _problem(session: Session, lots: list[JointLot], bids: list[tuple[Standing, int]]) -> Problem:
    """Write the standing bids, sorted by id, as columns."""
    of = [lots[place] for _, place in bids]
    rows = [one.bid for one, _ in bids]
    worth = [(lot.book.reserve_bps - bid.rate_bps + 1) * lot.book.tenor_days for bid, lot in zip(rows, of, strict=True)]
    places = np.array([place for _, place in bids], np.int64)
    pairs = list(zip(rows, of, strict=True))
    return Problem(
        cash=np.array([one.cash_minor for one, _ in bids], np.int64),
        least=np.array([bid.min_fill_minor for bid in rows], np.int64),
        worth=np.array(worth, np.int64),
        tie=np.array([tie_of(bid.id) for bid in rows], np.int64),
        lots=Family(places, np.array([lot.book.target_minor for lot in lots], np.int64)),
        budgets=family([bid.investor for bid in rows], session.budgets),
        debtor_limits=family([(bid.investor, lot.debtor) for bid, lot in pairs], session.debtor_limits),
        seller_limits=family([(bid.investor, lot.seller) for bid, lot in pairs], session.seller_limits),
    )


def _award(
    lot: JointLot, takes: list[Take], offered_minor: int, standing: list[Standing], refusals: list[Refusal]
) -> LotAward:
    awarded = sum(take.cash_minor for take in takes)
    stop_out = max((take.bid.rate_bps for take in takes), default=None)
    fills = price(takes, stop_out, lot.book.price_rule, lot.book.tenor_days)
    outcome = FAILED if not takes else FULL if awarded == lot.book.target_minor else PARTIAL
    ordered = tuple(sorted(fills, key=lambda fill: fill.bid.id))
    return LotAward(lot, outcome, stop_out, awarded, offered_minor, ordered, tuple(standing), tuple(refusals))

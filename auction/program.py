"""Where caps cross or a least fill binds: a linear or mixed-integer program, solved by HiGHS, put right in integers.

HiGHS reckons in floating point, so its answer is only a proposal: amounts are cut to whole minor units, checked against
every cap, and topped up; which bids with a least fill take part is all that is kept of it where a flow can do the rest.

Source: market rules, "Many lots, one purse: JC-1".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from auction.flow import NotNested, Unsolved, solve_flow
from auction.greedy import fill_by_worth
from auction.problem import Family, Numbers, Problem

EXACT_MOST = 2**53  # beyond this, floating point skips whole numbers
SLACK = 1e-6
PRECISION = 1e-9  # how far HiGHS's own bound may be trusted, as a share of it


@dataclass(frozen=True, slots=True, eq=False)
class Solved:
    """A filling, and the solver's word that none is worth more than `bound`."""

    fill: Numbers
    bound: int


def solve_program(problem: Problem, seconds_max: int | None = None) -> Solved:
    """Return a filling that keeps every cap and least fill, with the solver's bound.

    Raises: Unsolved when there is no answer in time, or amounts are beyond floating point.
    """
    # Loaded here: HiGHS is needed only where a flow does not do, and takes a while to load.
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import coo_array, hstack

    there = np.flatnonzero(problem.cash > 0)
    if not len(there):
        return Solved(np.zeros(len(problem.cash), np.int64), 0)
    cash, worth = problem.cash[there], problem.worth[there]
    if int(problem.value(problem.cash)) >= EXACT_MOST * 2**10 or int(cash.max()) >= EXACT_MOST:
        raise Unsolved
    small = np.flatnonzero(problem.least[there] > 1)
    count, switches = len(there), len(small)
    rows, columns, rooms = _caps(problem, there)
    caps = coo_array((np.ones(len(rows)), (rows, columns)), shape=(len(rooms), count + switches))
    constraints = [LinearConstraint(caps.tocsr(), -np.inf, rooms)]
    if switches:
        picks = coo_array((np.ones(switches), (np.arange(switches), small)), shape=(switches, count))
        for amount, low, high in (
            (problem.least[there][small], 0, np.inf),  # least · y ≤ x
            (cash[small], -np.inf, 0),  # x ≤ cash · y
        ):
            switch = coo_array((-amount.astype(float), (np.arange(switches), np.arange(switches))))
            constraints.append(LinearConstraint(hstack((picks, switch)).tocsr(), low, high))
    found = milp(
        np.concatenate((-worth.astype(float), np.zeros(switches))),
        integrality=np.concatenate((np.zeros(count), np.ones(switches))),
        bounds=Bounds(0, np.concatenate((cash.astype(float), np.ones(switches)))),
        constraints=constraints,
        options={"mip_rel_gap": 0.0} | ({} if seconds_max is None else {"time_limit": float(seconds_max)}),
    )
    if found.x is None:
        raise Unsolved
    proposed = found.x[:count]
    taken = np.ones(count, np.bool_)
    taken[small] = found.x[count:] > 0.5
    best = -found.fun if found.mip_dual_bound is None else max(-found.mip_dual_bound, -found.fun)
    fill = _whole(problem, there, proposed, taken)
    return Solved(fill, max(int(best * (1 + PRECISION) + SLACK), problem.value(fill)))


def relaxed_value(problem: Problem) -> float:
    """Return what HiGHS finds the best filling to be worth, least fills left aside: a linear program.

    Raises: Unsolved.
    """
    from scipy.optimize import linprog
    from scipy.sparse import coo_array

    there = np.flatnonzero(problem.cash > 0)
    rows, columns, rooms = _caps(problem, there)
    caps = coo_array((np.ones(len(rows)), (rows, columns)), shape=(len(rooms), len(there)))
    upper = problem.cash[there].astype(float)
    found = linprog(
        -problem.worth[there].astype(float),
        A_ub=caps.tocsr(),
        b_ub=rooms,
        bounds=np.column_stack((np.zeros(len(there)), upper)),
        method="highs",
    )
    if found.fun is None:
        raise Unsolved
    return -float(found.fun)


def _caps(problem: Problem, there: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """Return the rows and columns of the bids in the rooms they take from, and what each room holds."""
    rows, columns, rooms = [], [], []
    first = 0
    for family in problem.families:
        room_of = family.room_of[there]
        inside = np.flatnonzero(room_of >= 0)
        rows.append(first + room_of[inside])
        columns.append(inside)
        rooms.append(family.minor)
        first += len(family.minor)
    return np.concatenate(rows), np.concatenate(columns), np.concatenate(rooms)


def _whole(
    problem: Problem, there: Numbers, proposed: npt.NDArray[np.float64], taken: npt.NDArray[np.bool_]
) -> Numbers:
    """Turn the solver's proposal into whole minor units that keep every cap."""
    cash = np.zeros(len(problem.cash), np.int64)
    cash[there] = np.where(taken, problem.cash[there], 0)
    least = np.where(cash > 0, problem.least, 0)
    least = np.where(least > 1, least, 0)
    try:
        fill = least + solve_flow(_beyond(problem, cash, least))
        if problem.holds(fill):
            return fill
    except (NotNested, Unsolved):
        pass
    whole = np.zeros(len(problem.cash), np.int64)
    whole[there] = np.maximum(np.floor(proposed + SLACK).astype(np.int64), 0)
    start = fill_by_worth(problem.with_cash(np.minimum(whole, cash)))
    return fill_by_worth(problem.with_cash(cash), start)


def _beyond(problem: Problem, cash: Numbers, least: Numbers) -> Problem:
    """Return what is left to decide once every bid taken has its least fill.

    Raises: Unsolved when the least fills alone break a cap.
    """
    families = []
    for family in problem.families:
        left = family.minor - family.used(least)
        if (left < 0).any():
            raise Unsolved
        families.append(Family(family.room_of, left))
    return Problem(cash - least, np.zeros_like(least), problem.worth, problem.tie, *families)

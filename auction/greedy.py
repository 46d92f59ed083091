"""What always ends in time: bids filled by worth, one after the other, and a bound that says how far off that may be.

The bound is a dual solution found by moving one price at a time, in whole numbers throughout: whatever the prices are,
no filling is worth more.
"""

from __future__ import annotations

import numpy as np

from auction.problem import Family, Numbers, Problem, exact_sum

ROUNDS = 12


def fill_by_worth(problem: Problem, start: Numbers | None = None) -> Numbers:
    """Fill bids in order of worth, ties by hash, each with whatever its rooms still hold; `start` is kept.

    A bid that would get less than its least fill gets nothing.
    """
    fill = np.zeros(len(problem.cash), np.int64) if start is None else start.copy()
    left = [(family.minor - family.used(fill)).tolist() for family in problem.families]
    rooms = [family.room_of.tolist() for family in problem.families]
    cash, least, got = problem.cash.tolist(), problem.least.tolist(), fill.tolist()
    for place in np.lexsort((-problem.tie, -problem.worth)).tolist():
        more = cash[place] - got[place]
        for room_of, free in zip(rooms, left, strict=True):
            if room_of[place] >= 0:
                more = min(more, free[room_of[place]])
        if more <= 0 or got[place] + more < least[place]:
            continue
        got[place] += more
        for room_of, free in zip(rooms, left, strict=True):
            if room_of[place] >= 0:
                free[room_of[place]] -= more
    return np.array(got, np.int64)


def bound(problem: Problem, rounds: int = ROUNDS) -> int:
    """Return a number that no filling's value exceeds."""
    prices = [np.zeros(len(family.minor), np.int64) for family in problem.families]
    best = _value_at(problem, prices)
    for _ in range(rounds):
        for place, family in enumerate(problem.families):
            if len(family.minor):
                prices[place][:] = 0
                prices[place] = _clearing_prices(problem, family, _net(problem, prices))
        found = _value_at(problem, prices)
        if found >= best:
            break
        best = found
    return best


def _net(problem: Problem, prices: list[Numbers]) -> Numbers:
    """Return what each bid is worth beyond the prices of its rooms."""
    net = problem.worth.copy()
    for family, price in zip(problem.families, prices, strict=True):
        inside = family.room_of >= 0
        net[inside] -= price[family.room_of[inside]]
    return net


def _value_at(problem: Problem, prices: list[Numbers]) -> int:
    rooms = sum(
        sum(room * price for room, price in zip(family.minor.tolist(), price_of.tolist(), strict=True))
        for family, price_of in zip(problem.families, prices, strict=True)
    )
    return rooms + exact_sum(problem.cash, np.maximum(_net(problem, prices), 0))


def _clearing_prices(problem: Problem, family: Family, net: Numbers) -> Numbers:
    """Return, for each room, the least price at which no more is asked for than it holds."""
    asked = np.flatnonzero((family.room_of >= 0) & (net > 0) & (problem.cash > 0))
    asked = asked[np.lexsort((-net[asked], family.room_of[asked]))]
    rooms = family.room_of[asked]
    sums = np.cumsum(problem.cash[asked])
    starts = np.flatnonzero(np.diff(rooms, prepend=-1))
    before = np.repeat(sums[starts] - problem.cash[asked[starts]], np.diff([*starts, len(rooms)]))
    over = np.flatnonzero(sums - before > family.minor[rooms])
    prices = np.zeros(len(family.minor), np.int64)
    crossed, first = np.unique(rooms[over], return_index=True)
    prices[crossed] = net[asked[over[first]]]
    return prices

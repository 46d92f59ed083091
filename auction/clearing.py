"""Find the stop-out rate and who gets what: the clearing of one lot.

The bids are sorted once; rates are then walked upwards with the cash below them as a running sum. A rate
whose bids do not fill the target is taken whole and never looked at again, because dropping a bid only
raises the stop-out. So clearing costs the sort plus one pass, whatever is dropped on the way.

Source: market rules, "Clearing", "Min-fill", and "Made precise" points 5, 6, 7, 11.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import groupby

from auction.allocation import share
from auction.book import Bid, Book
from auction.rules import Refusal, Standing, admit, least_award

FULL = "full"
PARTIAL = "partial"
FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Take:
    """The cash one bid gets, in minor units, always more than zero."""

    bid: Bid
    cash_minor: int


@dataclass(frozen=True, slots=True)
class Clearing:
    """What clearing decides. `stop_out_bps` is None when the lot fails; `passed_over` is in drop order."""

    outcome: str
    stop_out_bps: int | None
    awarded_minor: int
    standing_minor: int
    takes: tuple[Take, ...]
    standing: tuple[Standing, ...]
    refusals: tuple[Refusal, ...]
    passed_over: tuple[Bid, ...]


def clear(book: Book) -> Clearing:
    """Clear a lot: full at the lowest rate that covers A, in part when θA is there, or not at all.

    `standing_minor` is S(reserve), the cash of all bids left in the book after caps and drops.
    """
    standing, refusals = admit(book)
    takes: list[Take] = []
    passed_over: list[Bid] = []
    below = 0  # cash of the bids left at the rates walked so far
    stop_out: int | None = None
    for rate, level in _levels(standing):
        offered = sum(one.cash_minor for one in level)
        if stop_out is None and below + offered >= book.target_minor:
            level, dropped = _drop_small(level, book.target_minor - below)
            passed_over.extend(one.bid for one in dropped)
            offered -= sum(one.cash_minor for one in dropped)
            if below + offered >= book.target_minor:
                stop_out = rate
                takes.extend(_pro_rata(level, book.target_minor - below))
        if stop_out is None:
            takes.extend(Take(one.bid, one.cash_minor) for one in level)
        below += offered
    outcome = FULL
    if stop_out is None:
        outcome = PARTIAL if takes and below >= least_award(book) else FAILED
        takes = takes if outcome == PARTIAL else []
        stop_out = takes[-1].bid.rate_bps if takes else None
    return Clearing(
        outcome=outcome,
        stop_out_bps=stop_out,
        awarded_minor=sum(take.cash_minor for take in takes),
        standing_minor=below,
        takes=tuple(takes),
        standing=tuple(standing),
        refusals=tuple(refusals),
        passed_over=tuple(passed_over),
    )


def _levels(standing: Sequence[Standing]) -> Iterator[tuple[int, list[Standing]]]:
    """Walk the standing bids, sorted by (rate, seq), one rate at a time."""
    for rate, level in groupby(standing, key=lambda one: one.bid.rate_bps):
        yield rate, list(level)


def _pro_rata(level: Sequence[Standing], rest: int) -> list[Take]:
    parts = share(rest, [one.cash_minor for one in level], [(one.bid.seq, one.bid.id) for one in level])
    return [Take(one.bid, part) for one, part in zip(level, parts, strict=True) if part]


def _drop_small(level: Sequence[Standing], rest: int) -> tuple[list[Standing], list[Standing]]:
    """Drop bids at the stop-out that would get something, but less than their least fill.

    One at a time: the largest least fill first, then the latest seq; the rest is shared anew after each. Stops when
    nobody is short, or when what is left no longer covers the rest. A quota only grows as others leave, so a bid
    whose quota holds its least fill is safe for good and the queue moves past it; the whole level is shared again only
    where rounding decides.
    """
    queue = sorted((one for one in level if one.bid.min_fill_minor > 1), key=_drop_order)
    dropped = _drop_pennies(level, rest) if queue else []
    gone = {one.bid.seq for one in dropped}
    weight = sum(one.cash_minor for one in level) - sum(one.cash_minor for one in dropped)
    start = 0
    while weight > rest:
        while start < len(queue) and (
            queue[start].bid.seq in gone or rest * queue[start].cash_minor // weight >= queue[start].bid.min_fill_minor
        ):
            start += 1
        if start == len(queue):
            break
        victim: Standing | None = queue[start]
        if not _surely_short(queue[start], rest, weight):
            victim = _first_short([one for one in level if one.bid.seq not in gone], rest)
        if victim is None:
            break
        gone.add(victim.bid.seq)
        dropped.append(victim)
        weight -= victim.cash_minor
    return [one for one in level if one.bid.seq not in gone], dropped


def _drop_order(one: Standing) -> tuple[int, int]:
    return -one.bid.min_fill_minor, -one.bid.seq


def _drop_pennies(level: Sequence[Standing], rest: int) -> list[Standing]:
    """Do the dropping while the rest is less than one unit for everybody: there each unit goes to one bid.

    All quotas round down to nothing, so the remainders are as the weights: the `rest` largest bids, ties to the lower
    (seq, id), get one unit each. Whoever of them wants more is dropped in the order of the rules, and the next in size
    moves up. Sharing the level anew for each of thousands of such drops would be quadratic.
    """
    by_size = sorted(level, key=lambda one: (-one.cash_minor, one.bid.seq, one.bid.id))
    weight = sum(one.cash_minor for one in level)
    largest, entered = 0, min(rest, len(level))
    short = [(_drop_order(one), place) for place, one in enumerate(by_size[:entered]) if one.bid.min_fill_minor > 1]
    heapify(short)
    gone: set[int] = set()
    dropped: list[Standing] = []
    while short and largest < len(by_size) and rest * by_size[largest].cash_minor < weight:
        _, place = heappop(short)
        gone.add(place)
        dropped.append(by_size[place])
        weight -= by_size[place].cash_minor
        if entered < len(by_size):
            if by_size[entered].bid.min_fill_minor > 1:
                heappush(short, (_drop_order(by_size[entered]), entered))
            entered += 1
        while largest in gone:
            largest += 1
    return dropped


def _surely_short(one: Standing, rest: int, weight: int) -> bool:
    """Tell whether the bid is short whichever way its quota is rounded."""
    quota = rest * one.cash_minor // weight
    return quota > 0 and quota + 1 < one.bid.min_fill_minor


def _first_short(level: Sequence[Standing], rest: int) -> Standing | None:
    parts = share(rest, [one.cash_minor for one in level], [(one.bid.seq, one.bid.id) for one in level])
    short = [one for one, part in zip(level, parts, strict=True) if 0 < part < one.bid.min_fill_minor]
    return min(short, key=_drop_order, default=None)

"""Find the stop-out rate and who gets what: the clearing of one lot, written to be read.

The bids are sorted once; rates are then walked upwards with the cash below them as a running sum. A rate
whose bids do not fill the target is taken whole and never looked at again, because dropping a bid only
raises the stop-out. `auction/columns.py` finds the same faster; this engine is what it is measured against.

Source: market rules, "Clearing", "Min-fill", and "Made precise" points 5, 6, 7, 11.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from auction.allocation import share
from auction.book import Bid, Book
from auction.rules import Refusal, Standing, admit, least_award

FULL = "full"
PARTIAL = "partial"
FAILED = "failed"


class Take(NamedTuple):
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
    sought = book.sought_minor
    for rate, level in _levels(standing):
        offered = sum(one.cash_minor for one in level)
        if stop_out is None and below + offered >= sought:
            level, dropped = _drop_small(level, sought - below)
            passed_over.extend(one.bid for one in dropped)
            offered -= sum(one.cash_minor for one in dropped)
            if below + offered >= sought:
                stop_out = rate
                takes.extend(_pro_rata(level, sought - below))
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
    nobody is short, or when what is left no longer covers the rest. `auction/dropping.py` does it without sharing anew.
    """
    left = list(level)
    dropped: list[Standing] = []
    while sum(one.cash_minor for one in left) >= rest:
        parts = share(rest, [one.cash_minor for one in left], [(one.bid.seq, one.bid.id) for one in left])
        short = [one for one, part in zip(left, parts, strict=True) if 0 < part < one.bid.min_fill_minor]
        if not short:
            break
        victim = max(short, key=lambda one: (one.bid.min_fill_minor, one.bid.seq))
        left.remove(victim)
        dropped.append(victim)
    return left, dropped

"""The fast engine: one lot cleared from columns of numbers, with the same result as the plain engine.

Nothing is sorted. Cash is added up by rate, one cell a basis point; the stop-out is where the running sum reaches the
target; only the bids at the stop-out, and those of groups over their cap, are looked at one by one. All numbers are
64-bit integers. Whatever might not fit is refused with TooLarge, and the plain engine, whose integers have no limit,
clears the book instead.

Source: market rules, "The auction: UPM-1"; `auction/clearing.py` says the same more slowly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from auction import rules
from auction.book import BPS, Bid, Book
from auction.clearing import FAILED, FULL, PARTIAL, Clearing, Take
from auction.dropping import NONE, share_level
from auction.errors import TooLarge
from auction.rules import Refusal, Standing
from auction.sharing import PIECE, pieces, share_columns

Numbers = npt.NDArray[np.int64]
Marks = npt.NDArray[np.uint8]

BEYOND = 2**63
CELLS_MAX = 2_000_000  # the widest histogram of rates; books with wilder rates are left to the plain engine
REASONS = (
    rules.ABOVE_RESERVE,
    rules.BELOW_MINIMUM,
    rules.NOT_LOT_MULTIPLE,
    rules.RELATED_PARTY,
    rules.OVER_GROUP_CAP,
)  # bit 0 to bit 4 of a mark
OVER_CAP = 1 << 4


@dataclass(frozen=True, slots=True)
class Terms:
    """What of a lot's terms clearing needs; amounts in minor units. `related` are codes of groups."""

    target_minor: int
    lot_size_minor: int
    minimum_minor: int
    reserve_bps: int
    min_share_bps: int
    group_cap_bps: int
    related: tuple[int, ...] = ()
    accepted_minor: int | None = None

    @property
    def sought_minor(self) -> int:
        """Return how much is to be awarded."""
        return self.target_minor if self.accepted_minor is None else self.accepted_minor

    @property
    def cap_minor(self) -> int:
        """Return ⌊κA⌋."""
        return self.group_cap_bps * self.target_minor // BPS

    @property
    def least_minor(self) -> int:
        """Return ⌈θA⌉, or the whole of a smaller amount accepted."""
        if self.accepted_minor is not None:
            return self.accepted_minor
        return -(-self.min_share_bps * self.target_minor // BPS)


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """The bids of a lot, one array a field, none negative. `group` holds codes from 0, `groups` says how many."""

    cash: Numbers
    least: Numbers
    rate: Numbers
    seq: Numbers
    group: Numbers
    groups: int


@dataclass(frozen=True, slots=True, eq=False)
class Cleared:
    """The award: the cash each bid is filled with; by place, who is refused and, as bits, for which reasons.

    `cash` is what each bid stands with after caps; for who is refused it means nothing. `passed_over` holds places, in
    drop order; `standing_minor` is without them.
    """

    outcome: str
    stop_out_bps: int | None
    awarded_minor: int
    standing_minor: int
    fill: Numbers
    cash: Numbers
    refused: Numbers
    marks: Marks
    passed_over: Numbers


def clear_columns(terms: Terms, bids: Columns) -> Cleared:
    """Clear a lot from columns.

    Raises: TooLarge when a sum might leave 64 bits or the rates spread too far; nothing is wrong with such a book.
    """
    _demand_room(terms, bids)
    cash, refused, marks = _admit(terms, bids)
    cells = np.zeros(int(bids.rate.max(initial=0)) + 1, np.int64)
    np.add.at(cells, bids.rate, cash)
    np.subtract.at(cells, bids.rate[refused], cash[refused])
    sums = np.cumsum(cells)
    target = terms.sought_minor
    picky = int(bids.least.max(initial=0)) > 1
    passed_over = [NONE]
    gone = 0  # cash of the bids dropped so far; all of it at or below the rate looked at
    fill = None
    rate = int(np.searchsorted(sums, target))
    while rate < len(sums) and fill is None:
        here = bids.rate == rate
        here[refused] = False
        if not picky and 2 * np.count_nonzero(here) > len(cash):
            fill = _crowd(bids, cash, rate, here, target - (int(sums[rate]) - int(cells[rate])))
            break
        places = np.flatnonzero(here)
        at: Numbers | slice = slice(None) if len(places) == len(cash) else places
        rest = target - (int(sums[rate]) - int(cells[rate]) - gone)
        level = share_level(rest, cash[at], bids.least[at] if picky else None, bids.seq, places)
        if len(level.dropped):
            passed_over.append(places[level.dropped])
            lost = int(cash[passed_over[-1]].sum())
            gone += lost
            cells[rate] -= lost
        if level.parts is None:
            rate = int(np.searchsorted(sums, target + gone))
        elif len(level.parts) == len(cash):
            fill = level.parts
        else:
            fill = _below(bids, cash, rate)
            fill[places[level.stays]] = level.parts
    dropped = np.concatenate(passed_over)
    left = int(sums[-1]) - gone
    outcome, awarded = FULL, target
    stop_out: int | None = rate
    if fill is None and (left == 0 or left < terms.least_minor):
        outcome, stop_out, awarded, fill = FAILED, None, 0, np.zeros_like(cash)
    elif fill is None:
        outcome, stop_out, awarded, fill = PARTIAL, int(np.flatnonzero(cells)[-1]), left, cash.copy()
    fill[refused] = 0
    fill[dropped] = 0
    return Cleared(outcome, stop_out, awarded, left, fill, cash, refused, marks, dropped)


def _crowd(bids: Columns, cash: Numbers, rate: int, here: npt.NDArray[np.bool_], rest: int) -> Numbers:
    """Fill a book most of whose bids are at the stop-out, with no least fills: as whole columns, picking nobody out."""
    fill = share_columns(rest, cash, bids.seq, here)
    for piece in pieces(len(cash)):
        np.copyto(fill[piece], cash[piece], where=bids.rate[piece] < rate)
    return fill


def _below(bids: Columns, cash: Numbers, rate: int) -> Numbers:
    """Return the cash of the bids below a rate, and 0 for the others."""
    fill = np.empty_like(cash)
    for piece in pieces(len(fill)):
        np.multiply(cash[piece], bids.rate[piece] < rate, out=fill[piece])
    return fill


def _demand_room(terms: Terms, bids: Columns) -> None:
    """Refuse what might overflow: the target beside every drop, the whole of the cash, the spread of the rates."""
    whole = int(bids.cash.max(initial=0)) * len(bids.cash)
    if whole + terms.target_minor >= BEYOND:
        raise TooLarge("the cash of this book may not fit in 64 bits")
    if int(bids.rate.max(initial=0)) >= CELLS_MAX:
        raise TooLarge("the rates of this book spread too far")
    if max(terms.lot_size_minor, terms.minimum_minor, terms.reserve_bps) >= BEYOND:
        raise TooLarge("the terms of this book do not fit in 64 bits")


def _admit(terms: Terms, bids: Columns) -> tuple[Numbers, Numbers, Marks]:
    """Return the cash each bid stands with, the places of those refused, and why ("Made precise" 1 to 4)."""
    refused, marks = _refused(terms, bids)
    sums = np.zeros(bids.groups, np.int64)
    np.add.at(sums, bids.group, bids.cash)
    np.subtract.at(sums, bids.group[refused], bids.cash[refused])
    over = sums > terms.cap_minor
    if not over.any():
        return bids.cash, refused, marks
    cash = bids.cash.copy()
    cash[refused] = 0
    there = np.flatnonzero(over[bids.group])
    there = there[cash[there] > 0]
    beyond = _cut_to_cap(terms.cap_minor, bids, cash, there)
    marks = np.concatenate((marks, np.full(len(beyond), OVER_CAP, np.uint8)))
    return cash, np.concatenate((refused, beyond)), marks


def _refused(terms: Terms, bids: Columns) -> tuple[Numbers, Marks]:
    """Return the places of bids with reasons of their own, and these as bits."""
    size = terms.lot_size_minor
    kin = np.zeros(bids.groups, np.bool_)
    kin[list(terms.related)] = True
    buffer = np.empty(PIECE, np.int64)
    found = [NONE]
    for piece in pieces(len(bids.cash)):
        cash = bids.cash[piece]
        whole = np.floor_divide(cash, size, out=buffer[: len(cash)])
        whole *= size
        broken = whole != cash
        broken |= bids.rate[piece] > terms.reserve_bps
        broken |= cash < terms.minimum_minor
        if terms.related:
            broken |= kin[bids.group[piece]]
        places = np.flatnonzero(broken)
        if len(places):
            found.append(places + piece.start)
    refused = np.concatenate(found)
    cash = bids.cash[refused]
    faults = (
        bids.rate[refused] > terms.reserve_bps,
        cash < terms.minimum_minor,
        cash % size != 0,
        kin[bids.group[refused]],
    )
    marks = np.zeros(len(refused), np.uint8)
    for bit, fault in enumerate(faults):
        marks |= fault.view(np.uint8) << np.uint8(bit)
    return refused, marks


def _cut_to_cap(cap: int, bids: Columns, cash: Numbers, there: Numbers) -> Numbers:
    """Cut, in place, what groups bid beyond their cap, dearest and latest first; return who is left with nothing.

    `there` are the bids of such groups, those refused already left out ("Made precise" 1, 2).
    """
    there = there[np.lexsort((bids.seq[there], bids.rate[there], bids.group[there]))]
    starts = np.flatnonzero(np.diff(bids.group[there], prepend=-1))
    out: list[Numbers] = []
    for start, end in zip(starts, [*starts[1:], len(there)], strict=True):
        own = there[start:end]
        sums = np.cumsum(cash[own])
        first = int(np.searchsorted(sums, cap, side="right"))  # whoever comes before fits whole
        left = cap - (int(sums[first]) - int(cash[own[first]]))
        for place in range(first, len(own)):
            if left == 0:
                cash[own[place:]] = 0
                break
            bid = own[place]
            kept = min(int(cash[bid]), left)
            cash[bid] = kept = kept if kept >= bids.least[bid] else 0
            left -= kept
        out.append(own[first:][cash[own[first:]] == 0])
    return np.concatenate(out)


# -- from a book and back -------------------------------------------------------------------------------------------


def clear_fast(book: Book) -> Clearing:
    """Clear a book with the fast engine and say it as the plain engine does, field for field.

    Raises: TooLarge.
    """
    terms, bids = columns_of(book)
    done = clear_columns(terms, bids)
    cash = done.cash.copy()
    cash[done.refused] = 0
    order = np.lexsort((bids.seq, bids.rate))
    by_rate = [(book.bids[place], int(cash[place]), int(done.fill[place])) for place in order.tolist()]
    marks = dict(zip(done.refused.tolist(), done.marks.tolist(), strict=True))
    own = sorted(place for place, mark in marks.items() if mark != OVER_CAP)
    over = [place for place in order.tolist() if marks.get(place) == OVER_CAP]
    return Clearing(
        outcome=done.outcome,
        stop_out_bps=done.stop_out_bps,
        awarded_minor=done.awarded_minor,
        standing_minor=done.standing_minor,
        takes=tuple(Take(bid, fill) for bid, _, fill in by_rate if fill),
        standing=tuple(Standing(bid, cash) for bid, cash, _ in by_rate if cash),
        refusals=tuple(_refusal(book.bids[place], marks[place]) for place in [*own, *over]),
        passed_over=tuple(book.bids[place] for place in done.passed_over),
    )


def columns_of(book: Book) -> tuple[Terms, Columns]:
    """Return a book as columns; groups are numbered as they first occur.

    Raises: TooLarge when a number does not fit in 64 bits.
    """
    codes: dict[str, int] = {}
    group = [codes.setdefault(bid.group, len(codes)) for bid in book.bids]
    try:
        cash, least, rate, seq = (
            np.array([getattr(bid, name) for bid in book.bids], np.int64)
            for name in ("cash_minor", "min_fill_minor", "rate_bps", "seq")
        )
    except OverflowError:
        raise TooLarge("a number of this book does not fit in 64 bits") from None
    terms = Terms(
        target_minor=book.target_minor,
        lot_size_minor=book.lot_size_minor,
        minimum_minor=book.minimum_minor,
        reserve_bps=book.reserve_bps,
        min_share_bps=book.min_share_bps,
        group_cap_bps=book.group_cap_bps,
        related=tuple(codes[name] for name in book.related_groups if name in codes),
        accepted_minor=book.accepted_minor,
    )
    return terms, Columns(cash, least, rate, seq, np.array(group, np.int64), len(codes))


def _refusal(bid: Bid, mark: int) -> Refusal:
    return Refusal(bid, tuple(reason for bit, reason in enumerate(REASONS) if mark >> bit & 1))

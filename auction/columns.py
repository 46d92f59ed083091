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
from auction.sharing import pieces

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
    """The award, one cell a bid: cash filled, cash standing after caps, and the reasons of a refusal as bits.

    `passed_over` holds positions, in drop order; `standing_minor` is without them, `standing` is with them. `marks` is
    None when nobody is refused or cut.
    """

    outcome: str
    stop_out_bps: int | None
    awarded_minor: int
    standing_minor: int
    fill: Numbers
    standing: Numbers
    marks: Marks | None
    passed_over: Numbers


def clear_columns(terms: Terms, bids: Columns) -> Cleared:
    """Clear a lot from columns.

    Raises: TooLarge when a sum might leave 64 bits or the rates spread too far; nothing is wrong with such a book.
    """
    _demand_room(terms, bids)
    standing, marks = _admit(terms, bids)
    cells = np.zeros(int(bids.rate.max(initial=0)) + 1, np.int64)
    np.add.at(cells, bids.rate, standing)
    sums = np.cumsum(cells)
    target = terms.sought_minor
    passed_over = [NONE]
    gone = 0  # cash of the bids dropped so far; all of it at or below the rate looked at
    fill = None
    rate = int(np.searchsorted(sums, target))
    while rate < len(sums) and fill is None:
        places = np.flatnonzero(bids.rate == rate)
        if marks is not None:
            places = places[standing[places] > 0]
        everybody = len(places) == len(standing)
        at: Numbers | slice = slice(None) if everybody else places
        rest = target - (int(sums[rate]) - int(cells[rate]) - gone)
        level = share_level(rest, standing[at], bids.least[at], bids.seq[at])
        if len(level.dropped):
            passed_over.append(places[level.dropped])
            lost = int(standing[passed_over[-1]].sum())
            gone += lost
            cells[rate] -= lost
        if level.parts is None:
            rate = int(np.searchsorted(sums, target + gone))
            continue
        if everybody and not gone:
            fill = level.parts
            break
        fill = np.empty_like(standing)
        for piece in pieces(len(fill)):
            np.multiply(standing[piece], bids.rate[piece] < rate, out=fill[piece])
        fill[places[level.stays]] = level.parts
    dropped = np.concatenate(passed_over)
    left = int(sums[-1]) - gone
    outcome, awarded = FULL, target
    stop_out: int | None = rate
    if fill is None and (left == 0 or left < terms.least_minor):
        outcome, stop_out, awarded, fill = FAILED, None, 0, np.zeros_like(standing)
    elif fill is None:
        outcome, stop_out, awarded, fill = PARTIAL, int(np.flatnonzero(cells)[-1]), left, standing.copy()
    fill[dropped] = 0
    return Cleared(outcome, stop_out, awarded, left, fill, standing, marks, dropped)


def _demand_room(terms: Terms, bids: Columns) -> None:
    """Refuse what might overflow: the target beside every drop, the whole of the cash, the spread of the rates."""
    whole = int(bids.cash.max(initial=0)) * len(bids.cash)
    if whole + terms.target_minor >= BEYOND:
        raise TooLarge("the cash of this book may not fit in 64 bits")
    if int(bids.rate.max(initial=0)) >= CELLS_MAX:
        raise TooLarge("the rates of this book spread too far")
    if max(terms.lot_size_minor, terms.minimum_minor, terms.reserve_bps) >= BEYOND:
        raise TooLarge("the terms of this book do not fit in 64 bits")


def _admit(terms: Terms, bids: Columns) -> tuple[Numbers, Marks | None]:
    """Return the cash each bid stands with, 0 where it is refused, and why ("Made precise" 1 to 4)."""
    marks = _own_marks(terms, bids)
    standing = bids.cash
    if marks is not None:
        standing = standing.copy()
        standing[marks != 0] = 0
    return _cut_to_cap(terms.cap_minor, bids, standing, marks)


def _own_marks(terms: Terms, bids: Columns) -> Marks | None:
    marks: Marks | None = None
    size = terms.lot_size_minor
    kin = np.zeros(bids.groups, np.bool_)
    kin[list(terms.related)] = True
    for piece in pieces(len(bids.cash)):
        cash = bids.cash[piece]
        for bit, broken in enumerate(
            (
                bids.rate[piece] > terms.reserve_bps,
                cash < terms.minimum_minor,
                cash // size * size != cash if size > 1 else None,
                kin[bids.group[piece]] if terms.related else None,
            )
        ):
            if broken is not None and broken.any():
                marks = np.zeros(len(bids.cash), np.uint8) if marks is None else marks
                marks[piece] |= broken.view(np.uint8) << np.uint8(bit)
    return marks


def _cut_to_cap(cap: int, bids: Columns, standing: Numbers, marks: Marks | None) -> tuple[Numbers, Marks | None]:
    """Cut what groups bid beyond their cap, dearest and latest first ("Made precise" 1, 2)."""
    sums = np.zeros(bids.groups, np.int64)
    np.add.at(sums, bids.group, standing)
    over = sums > cap
    if not over.any():
        return standing, marks
    standing = standing.copy()
    marks = np.zeros(len(standing), np.uint8) if marks is None else marks
    there = np.flatnonzero(over[bids.group])
    there = there[standing[there] > 0]
    there = there[np.lexsort((bids.seq[there], bids.rate[there], bids.group[there]))]
    starts = np.flatnonzero(np.diff(bids.group[there], prepend=-1))
    for start, end in zip(starts, [*starts[1:], len(there)], strict=True):
        own = there[start:end]
        room = cap - (np.cumsum(standing[own]) - standing[own])
        first = int(np.searchsorted(-(room - standing[own]), 0, side="right"))  # whoever comes before fits whole
        left = int(room[first])
        for place in range(first, len(own)):
            if left == 0:
                standing[own[place:]] = 0
                marks[own[place:]] |= OVER_CAP
                break
            bid = own[place]
            cash = min(int(standing[bid]), left)
            if cash < bids.least[bid]:
                marks[bid] |= OVER_CAP
                cash = 0
            standing[bid] = cash
            left -= cash
    return standing, marks


# -- from a book and back -------------------------------------------------------------------------------------------


def clear_fast(book: Book) -> Clearing:
    """Clear a book with the fast engine and say it as the plain engine does, field for field.

    Raises: TooLarge.
    """
    terms, bids = columns_of(book)
    done = clear_columns(terms, bids)
    order = np.lexsort((bids.seq, bids.rate))
    by_rate = [(book.bids[place], int(done.standing[place]), int(done.fill[place])) for place in order.tolist()]
    marks = np.zeros(len(order), np.uint8) if done.marks is None else done.marks
    own = np.flatnonzero((marks != 0) & (marks != OVER_CAP))
    over = order[marks[order] == OVER_CAP]
    return Clearing(
        outcome=done.outcome,
        stop_out_bps=done.stop_out_bps,
        awarded_minor=done.awarded_minor,
        standing_minor=done.standing_minor,
        takes=tuple(Take(bid, fill) for bid, _, fill in by_rate if fill),
        standing=tuple(Standing(bid, cash) for bid, cash, _ in by_rate if cash),
        refusals=tuple(_refusal(book.bids[place], int(marks[place])) for place in [*own, *over]),
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

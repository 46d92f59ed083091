"""Who may take part, and with how much: refusals and group caps, judged once, before clearing.

Source: market rules, "Made precise" points 1 to 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from auction.book import BPS, Bid, Book

ABOVE_RESERVE = "above_reserve"
BELOW_MINIMUM = "below_minimum"
NOT_LOT_MULTIPLE = "not_lot_multiple"
RELATED_PARTY = "related_party"
OVER_GROUP_CAP = "over_group_cap"


class Refusal(NamedTuple):
    """A bid that takes no part, with all its reasons in the order of the rules."""

    bid: Bid
    reasons: tuple[str, ...]


class Standing(NamedTuple):
    """A bid that takes part, with the cash q' that its group's cap leaves it."""

    bid: Bid
    cash_minor: int


def own_reasons(book: Book, bid: Bid) -> tuple[str, ...]:
    """Return every reason that lies in the bid itself, in the order of the rules."""
    reasons = []
    if bid.rate_bps > book.reserve_bps:
        reasons.append(ABOVE_RESERVE)
    if bid.cash_minor < book.minimum_minor:
        reasons.append(BELOW_MINIMUM)
    if bid.cash_minor % book.lot_size_minor:
        reasons.append(NOT_LOT_MULTIPLE)
    if bid.group in book.related_groups:
        reasons.append(RELATED_PARTY)
    return tuple(reasons)


def group_cap(book: Book) -> int:
    """Return ⌊κA⌋, the most cash one group may fill, in minor units."""
    return book.group_cap_bps * book.target_minor // BPS


def least_award(book: Book) -> int:
    """Return ⌈θA⌉, the least cash the seller lets the lot clear at; a smaller amount accepted is taken whole."""
    if book.accepted_minor is not None:
        return book.accepted_minor
    return -(-book.min_share_bps * book.target_minor // BPS)


def admit(book: Book) -> tuple[list[Standing], list[Refusal]]:
    """Split the book into standing bids, by (rate, seq), and refused ones.

    A cap cut keeps what room the group has left. A bid cut to nothing, or below its own least fill, is
    refused and its room passes to the group's next bid.
    """
    refusals: list[Refusal] = []
    sound: list[Bid] = []
    for bid in book.bids:
        reasons = own_reasons(book, bid)
        if reasons:
            refusals.append(Refusal(bid, reasons))
        else:
            sound.append(bid)
    sound.sort(key=lambda bid: (bid.rate_bps, bid.seq))
    standing, over_cap = _cut_to_cap(sound, group_cap(book))
    return standing, refusals + over_cap


def _cut_to_cap(sound: Sequence[Bid], cap: int) -> tuple[list[Standing], list[Refusal]]:
    room: dict[str, int] = {}
    standing: list[Standing] = []
    refusals: list[Refusal] = []
    for bid in sound:
        left = room.get(bid.group, cap)
        cash = min(bid.cash_minor, left)
        if cash == 0 or cash < bid.min_fill_minor:
            refusals.append(Refusal(bid, (OVER_GROUP_CAP,)))
            continue
        room[bid.group] = left - cash
        standing.append(Standing(bid, cash))
    return standing, refusals

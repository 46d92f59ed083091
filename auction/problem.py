"""One session's lots as one problem in numbers: who may get how much, worth what, within which rooms.

A bid is worth (R − r + 1) · d a minor unit: what its lot saves against the reserve, for as long as the money is out.
Every cap is a family of rooms, and a bid takes from one room of each family: its lot's target, its investor's budget,
its investor's limits on the debtor and on the seller.

Source: market rules, "Many lots, one purse: JC-1".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
import numpy.typing as npt

from auction.errors import TooLarge

Numbers = npt.NDArray[np.int64]

TIE_BITS = 24
BEYOND = 2**63
NOWHERE = -1


@dataclass(frozen=True, slots=True, eq=False)
class Family:
    """Rooms of one kind: which room each bid takes from (NOWHERE: none), and how much each room holds."""

    room_of: Numbers
    minor: Numbers

    def used(self, fill: Numbers) -> Numbers:
        """Return how much of each room a filling uses."""
        used = np.zeros(len(self.minor), np.int64)
        inside = self.room_of >= 0
        np.add.at(used, self.room_of[inside], fill[inside])
        return used


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """The bids of a session, by id, as columns. `families` begins with the lots, then the budgets."""

    cash: Numbers
    least: Numbers
    worth: Numbers
    tie: Numbers
    lots: Family
    budgets: Family
    debtor_limits: Family
    seller_limits: Family

    @property
    def families(self) -> tuple[Family, ...]:
        """Return every family of rooms."""
        return self.lots, self.budgets, self.debtor_limits, self.seller_limits

    def value(self, fill: Numbers) -> int:
        """Return what a filling is worth."""
        return exact_sum(fill, self.worth)

    def holds(self, fill: Numbers) -> bool:
        """Tell whether a filling keeps every cap, every bid's cash and every least fill."""
        whole = (fill >= 0) & (fill <= self.cash) & ((fill == 0) | (fill >= self.least))
        return bool(whole.all()) and all((family.used(fill) <= family.minor).all() for family in self.families)

    def without(self, lots: Numbers) -> Problem:
        """Return the problem with no cash bid on these lots."""
        cash = np.where(np.isin(self.lots.room_of, lots), 0, self.cash)
        return self.with_cash(cash)

    def with_cash(self, cash: Numbers) -> Problem:
        """Return the problem with other amounts of cash."""
        return Problem(
            cash, self.least, self.worth, self.tie, self.lots, self.budgets, self.debtor_limits, self.seller_limits
        )


def family(keys: Sequence[Any], rooms: Mapping[Any, int]) -> Family:
    """Return the family whose rooms are named by the bids' keys; a key without a room is not bounded."""
    codes: dict[Any, int] = {}
    minor: list[int] = []
    room_of = np.empty(len(keys), np.int64)
    for place, key in enumerate(keys):
        if key not in rooms:
            room_of[place] = NOWHERE
            continue
        code = codes.setdefault(key, len(codes))
        if code == len(minor):
            minor.append(rooms[key])
        room_of[place] = code
    return Family(room_of, np.array(minor, np.int64))


def demand_room(problem: Problem) -> None:
    """Refuse amounts whose sums may leave 64 bits.

    Raises: TooLarge.
    """
    cash = int(problem.cash.max(initial=0))
    rooms = [int(family.minor.sum()) for family in problem.families]
    if cash * max(len(problem.cash), 1) >= BEYOND // 4 or max(rooms, default=0) >= BEYOND // 4:
        raise TooLarge("the cash of this session may not fit in 64 bits")
    if cash * int(problem.worth.max(initial=0)) >= BEYOND:
        raise TooLarge("the worth of a bid of this session may not fit in 64 bits")


def tie_of(bid_id: str) -> int:
    """Return the fixed hash that decides between bids of equal worth: the first 24 bits of the id's SHA-256."""
    return int.from_bytes(sha256(bid_id.encode()).digest()[: TIE_BITS // 8])


def exact_sum(one: Numbers, other: Numbers) -> int:
    """Return Σ one · other, whatever its size; each product fits in 64 bits."""
    products = one * other
    return (int((products >> 32).sum()) << 32) + int((products & 0xFFFFFFFF).sum())

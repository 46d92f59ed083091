"""Bids that get many units each at a crowded stop-out, kept by amount while bids leave.

Bids of one amount have one quota and one remainder, and among them the units left over go to the lower seqs. So what
each of them gets follows from one line per amount, however many bids there are.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from auction.sharing import quotas

Numbers = npt.NDArray[np.int64]
Claim = tuple[int, int]  # what it is worth, and its seq negated: the greater claim comes first

NOBODY = -1
ENDED = 0  # the least fill shown by an amount of which nobody can become short any more


class Heavies:
    """The heavy bids of a level. Each has its quota for sure, and one claim in doubt to a unit more."""

    def __init__(self, rest: int, places: Numbers, cash: Numbers, least: Numbers, seq: Numbers) -> None:
        self.rest = rest
        self.amounts, kind = np.unique(cash[places], return_inverse=True)
        self.kind_of = dict(zip(places.tolist(), kind.tolist(), strict=True))
        by_seq = np.lexsort((seq[places], kind))
        edges = np.searchsorted(kind[by_seq], np.arange(len(self.amounts) + 1)).tolist()
        seqs = seq[places[by_seq]].tolist()
        self.seqs = [seqs[start:end] for start, end in pairwise(edges)]
        self.count = np.array([len(one) for one in self.seqs], np.int64)
        turn = places[np.lexsort((-seq[places], -least[places], kind))]
        self.queues = [
            list(zip(least[own].tolist(), seq[own].tolist(), own.tolist(), strict=True))[::-1]
            for own in (turn[start:end] for start, end in pairwise(edges))
        ]
        self.head_least = np.full(len(self.amounts), ENDED)
        self.head_seq = np.zeros(len(self.amounts), np.int64)
        self.gone: set[int] = set()
        self.sure = 0
        for kind_ in range(len(self.amounts)):
            self._show(kind_)

    def __len__(self) -> int:
        """Return how many bids are left."""
        return int(self.count.sum())

    def leave(self, place: int, seq: int) -> None:
        """Take a bid out."""
        kind = self.kind_of[place]
        own = self.seqs[kind]
        own.pop(bisect_left(own, seq))
        self.count[kind] -= 1
        self.gone.add(place)
        self._show(kind)

    def _show(self, kind: int) -> None:
        """Show the next bid of this amount in the order of dropping."""
        queue = self.queues[kind]
        while queue and queue[-1][2] in self.gone:
            queue.pop()
        self.head_least[kind], self.head_seq[kind] = queue[-1][:2] if queue else (ENDED, 0)

    def value(self, weight: int) -> None:
        """Work out quotas and remainders anew, and the order of the claims in doubt."""
        if not len(self.amounts):
            return
        found = quotas(self.rest, self.amounts, weight)
        self.parts, self.remainders = found.parts, found.remainders()
        self.sure = int((self.parts * self.count).sum())
        self.order = np.argsort(-self.remainders, kind="stable")
        self.until = np.cumsum(self.count[self.order])  # how many claims lie in the first amounts of the order
        self.run: tuple[int, int, list[int]] = (-1, -1, [])  # amounts with one remainder, and their seqs together

    def claim(self, number: int) -> Claim:
        """Return the claim in doubt at this place of the order."""
        place = int(np.searchsorted(self.until, number, side="right"))
        first, seqs = self._run_at(place)
        begins = int(self.until[first] - self.count[self.order[first]])
        return int(self.remainders[self.order[place]]), -seqs[number - begins]

    def _run_at(self, place: int) -> tuple[int, list[int]]:
        """Return where the run of equal remainders around a place of the order begins, and all its seqs, sorted."""
        start, end, seqs = self.run
        if not start <= place < end:
            value = self.remainders[self.order[place]]
            start, end = place, place + 1
            while start and self.remainders[self.order[start - 1]] == value:
                start -= 1
            while end < len(self.order) and self.remainders[self.order[end]] == value:
                end += 1
            runs = [self.seqs[kind] for kind in self.order[start:end].tolist()]
            seqs = runs[0] if len(runs) == 1 else sorted(seq for one in runs for seq in one)
            self.run = (start, end, seqs)
        return start, seqs

    def victim(self, met: int) -> tuple[tuple[int, int] | None, int]:
        """Return the first short bid in the order of dropping, as (−least, −seq), and its place; or None and NOBODY.

        `met` claims in doubt are met, the first in their order.
        """
        if not len(self):
            return None, NOBODY
        for kind in np.flatnonzero((self.head_least <= self.parts) & (self.head_least > ENDED)).tolist():
            while self.queues[kind] and self.queues[kind][-1][0] <= self.parts[kind]:
                self.queues[kind].pop()  # a quota only grows: whoever has his least fill has it for good
                self._show(kind)
        short = self.head_least > self.parts + 1
        in_doubt = np.flatnonzero(self.head_least == self.parts + 1)
        if len(in_doubt):
            short[in_doubt] = ~self._met(in_doubt, met)
        kinds = np.flatnonzero(short)
        if not len(kinds):
            return None, NOBODY
        kinds = kinds[self.head_least[kinds] == self.head_least[kinds].max()]
        kind = int(kinds[np.argmax(self.head_seq[kinds])])
        least, seq, place = self.queues[kind][-1]
        return (-least, -seq), place

    def _met(self, kinds: Numbers, met: int) -> npt.NDArray[np.bool_]:
        """Tell of which amounts the head's claim in doubt is met."""
        if not met:
            return np.zeros(len(kinds), np.bool_)
        last, last_seq = self.claim(met - 1)
        remainders = self.remainders[kinds]
        met_heads: npt.NDArray[np.bool_] = (remainders > last) | (
            (remainders == last) & (self.head_seq[kinds] <= -last_seq)
        )
        return met_heads

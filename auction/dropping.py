"""Drop bids at the stop-out that would get something, but less than their least fill, without sharing anew each time.

The rule is one drop at a time: the largest least fill first, then the latest seq, and the rest is shared again. A quota
only grows as others leave. So a bid whose quota holds its least fill is safe for good, and one whose quota, rounded up,
does not hold it is short whichever way it is rounded: such bids are dropped from the head of one queue, in O(1) each.
Only where the rounding itself decides is it asked who gets the units left over; `Stairs` keeps the answer from drop to
drop.

Source: market rules, "Min-fill", and "Made precise" point 5.
"""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heapify, heappop, heappush

import numpy as np
import numpy.typing as npt

from auction.heavies import NOBODY, Heavies
from auction.sharing import WORD, give_rest, quotas, share_columns

Numbers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

RUN_LEAST, RUN_MOST = 32, 1 << 16  # drops in a row before arrays find the next ones; how many they try at once
LIGHT_UNITS, STEPS_MAX = 4, 64  # bids below the first live on stairs; stairs beyond the second are built anew
NONE = np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Level:
    """The bids at one rate after the dropping: who is dropped, in order, who stays, and what each who stays gets.

    `parts` is None when those who stay no longer cover the rest.
    """

    dropped: Numbers
    stays: Numbers | slice
    parts: Numbers | None


def share_level(rest: int, cash: Numbers, least: Numbers | None, seqs: Numbers, places: Numbers) -> Level:
    """Share `rest` minor units among the bids of a level, dropping who gets something but less than his least fill.

    `rest` is more than zero and not above the sum of the cash, which is positive throughout. `least` is None where
    nobody has a least fill. The seq of the level's i-th bid is that of `seqs` at the i-th of `places`.

    Raises: TooLarge.
    """
    found = quotas(rest, cash, int(cash.sum()))
    small = NONE if least is None else np.flatnonzero((found.parts < least) & (least > 1))
    if least is None or not len(small):
        give_rest(found, seqs, places)
        return Level(NONE, slice(None), found.parts)
    seq = seqs[places]
    dropping = _Dropping(rest, cash, least, seq, small)
    dropping.run()
    dropped, stays = np.array(dropping.dropped, np.int64), np.flatnonzero(dropping.stays)
    covers = dropping.weight >= rest
    return Level(dropped, stays, share_columns(rest, cash[stays], seq[stays]) if covers else None)


class _Dropping:
    """One level while its bids are dropped. `queue` holds whoever may become short, in the order of the rules."""

    def __init__(self, rest: int, cash: Numbers, least: Numbers, seq: Numbers, small: Numbers) -> None:
        self.rest, self.cash, self.least, self.seq = rest, cash, least, seq
        self.stays: Mask = np.ones(len(cash), np.bool_)
        self.queue = small[np.lexsort((-seq[small], -least[small]))]
        self.weight = int(cash.sum())
        self.dropped: list[int] = []
        self.fits = rest * int(cash.max()) < 1 << WORD
        self.stairs: Stairs | None = None

    def run(self) -> None:
        """Drop until nobody is short or the level no longer covers the rest."""
        places, cash, least = self.queue.tolist(), self.cash[self.queue].tolist(), self.least[self.queue].tolist()
        head, in_a_row = 0, 0
        while self.weight > self.rest:
            while head < len(places) and (
                not self.stays[places[head]] or self.rest * cash[head] // self.weight >= least[head]
            ):
                head += 1
            if head == len(places):
                break
            quota = self.rest * cash[head] // self.weight
            if 0 < quota < least[head] - 1:
                in_a_row += 1
                self._drop(places[head])
                head += 1
                if in_a_row >= RUN_LEAST and self.fits:
                    head, in_a_row = self._run_from(head), 0
                continue
            in_a_row = 0
            victim = self._victim()
            if victim == NOBODY:
                break
            self._drop(victim)

    def _drop(self, place: int) -> None:
        self.stays[place] = False
        self.dropped.append(place)
        self.weight -= int(self.cash[place])
        if self.stairs:
            self.stairs.left.append(place)

    def _run_from(self, head: int) -> int:
        """Drop the unbroken run of bids from `head` that are surely short, found with arrays; return who is next."""
        window = RUN_LEAST
        while head < len(self.queue):
            places = self.queue[head : head + window]
            cash = self.cash[places]
            before = self.weight - (np.cumsum(cash) - cash)  # the weight when it is this one's turn
            sure = self.stays[places] & (before > self.rest)
            parts = self.rest * cash // np.maximum(before, 1)
            sure &= (parts > 0) & (parts + 1 < self.least[places])
            run = len(sure) if sure.all() else int(np.argmin(sure))
            places = places[:run]
            self.stays[places] = False
            self.dropped.extend(places.tolist())
            self.weight -= int(cash[:run].sum())
            if self.stairs:
                self.stairs.left.extend(places.tolist())
            head += run
            if run < window:
                break
            window = min(window * 2, RUN_MOST)
        return head

    def _victim(self) -> int:
        """Return the place of the bid to drop where rounding decides, or NOBODY."""
        if self.stairs is None or not self.stairs.settle(self.weight):
            self.stairs = Stairs(self.rest, self.weight, self.cash, self.least, self.seq, np.flatnonzero(self.stays))
        return self.stairs.victim()


class Stairs:
    """Who gets how many units of the rest, kept up to date while bids leave.

    Let bid i's claim to its u-th unit be worth rest · cash_i − (u − 1) · weight. Largest remainder gives the rest to
    the most valuable claims, ties to the lower seq. Among claims to a u-th unit the order is that of cash and never
    changes; so for light bids (few units each) step u of the stairs is one cut in that order, and a drop moves each cut
    a little. Heavy bids have their quota for sure and one claim each in doubt; those are worked out anew, as an array.
    """

    def __init__(self, rest: int, weight: int, cash: Numbers, least: Numbers, seq: Numbers, there: Numbers) -> None:
        self.rest, self.weight = rest, weight
        self.left: list[int] = []  # places that left since the stairs were settled
        parts = share_columns(rest, cash[there], seq[there])
        light = parts < LIGHT_UNITS
        self.heavies = Heavies(rest, there[~light], cash, least, seq)
        self.all_seqs = seq
        lights = there[light]
        order = np.lexsort((seq[lights], -cash[lights]))
        self.places: list[int] = lights[order].tolist()
        self.at = {place: position for position, place in enumerate(self.places)}
        self.cash, self.seq = cash[lights[order]].tolist(), seq[lights[order]].tolist()
        self.least = least[lights[order]].tolist()
        units = parts[light][order]
        self.units: list[int] = units.tolist()
        self.inside = int(units.sum())  # claims of light bids that are met
        count = len(self.places)
        self.before, self.after = list(range(-1, count - 1)), list(range(1, count + 1))
        cuts = [int(np.count_nonzero(units >= step)) for step in range(1, int(units.max(initial=0)) + 2)]
        self.last_in = [cut - 1 for cut in cuts]
        self.first_out = cuts
        self.first = 0  # the largest light bid still there
        self.short = [self._turn(i) for i, got in enumerate(self.units) if 0 < got < self.least[i]]
        heapify(self.short)
        self._weigh()

    def settle(self, weight: int) -> bool:
        """Bring the stairs up to date with the bids that left; False when they have grown too high."""
        self.weight = weight
        for place in self.left:
            position = self.at.get(place)
            if position is None:
                self.heavies.leave(place, int(self.all_seqs[place]))
            else:
                self._leave(position)
        self.left = []
        return self._weigh()

    def _weigh(self) -> bool:
        """Find at this weight which claims are met; False when the stairs have grown too high."""
        self.heavies.value(self.weight)
        # Heavy claims in doubt that are met, as if no light one moved: from the last ones the search would take as many
        # steps as bids have one amount.
        self.met = min(max(self.rest - self.heavies.sure - self.inside, 0), len(self.heavies))
        return self._rebalance()

    def _leave(self, position: int) -> None:
        before, after = self.before[position], self.after[position]
        if before >= 0:
            self.after[before] = after
        if after < len(self.places):
            self.before[after] = before
        for step in range(len(self.last_in)):
            if self.last_in[step] == position:
                self.last_in[step] = before
            if self.first_out[step] == position:
                self.first_out[step] = after
        if self.first == position:
            self.first = after
        self.inside -= self.units[position]
        self.units[position] = 0

    def _rebalance(self) -> bool:
        """Meet the most valuable claims until the rest is given out and no unmet claim is worth more than a met one."""
        while True:
            given = self.heavies.sure + self.inside + self.met
            if given < self.rest:
                self._meet(self._best_unmet()[1])
            elif given > self.rest:
                self._unmeet(self._worst_met()[1])
            else:
                best, best_step = self._best_unmet()
                worst, worst_step = self._worst_met()
                if best is None or worst is None or best < worst:
                    return len(self.last_in) <= STEPS_MAX
                self._unmeet(worst_step)
                self._meet(best_step)

    def _claim(self, position: int, step: int) -> tuple[int, int]:
        return self.rest * self.cash[position] - step * self.weight, -self.seq[position]

    def _best_unmet(self) -> tuple[tuple[int, int] | None, int]:
        best = self.heavies.claim(self.met) if self.met < len(self.heavies) else None
        where = NOBODY
        for step, position in enumerate(self.first_out):
            if position < len(self.places):
                claim = self._claim(position, step)
                if best is None or claim > best:
                    best, where = claim, step
        return best, where

    def _worst_met(self) -> tuple[tuple[int, int] | None, int]:
        worst = self.heavies.claim(self.met - 1) if self.met else None
        where = NOBODY
        for step, position in enumerate(self.last_in):
            if position >= 0:
                claim = self._claim(position, step)
                if worst is None or claim < worst:
                    worst, where = claim, step
        return worst, where

    def _meet(self, step: int) -> None:
        if step == NOBODY:
            self.met += 1
            return
        position = self.first_out[step]
        self.last_in[step], self.first_out[step] = position, self.after[position]
        if step == len(self.last_in) - 1:  # always keep an empty step on top
            self.last_in.append(NOBODY)
            self.first_out.append(self.first)
        self._change(position, 1)

    def _unmeet(self, step: int) -> None:
        if step == NOBODY:
            self.met -= 1
            return
        position = self.last_in[step]
        self.last_in[step], self.first_out[step] = self.before[position], position
        self._change(position, -1)

    def _change(self, position: int, by: int) -> None:
        self.inside += by
        self.units[position] += by
        if 0 < self.units[position] < self.least[position]:
            heappush(self.short, self._turn(position))

    def _turn(self, position: int) -> tuple[int, int, int]:
        return -self.least[position], -self.seq[position], position

    def victim(self) -> int:
        """Return the place of the first short bid in the order of the rules, or NOBODY."""
        while self.short and not 0 < self.units[self.short[0][2]] < self.least[self.short[0][2]]:
            heappop(self.short)
        turn, place = self.heavies.victim(self.met)
        if self.short and (turn is None or self.short[0][:2] < turn):
            return self.places[self.short[0][2]]
        return place

"""The learned verdict at work: load the shipped trees, check them, say how likely a pair is one claim listed twice.

The trees are a JSON file: reading it runs no code, and asking them needs neither NumPy nor scikit-learn.
"""

import hashlib
import json
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from math import exp
from operator import getitem
from pathlib import Path
from typing import Any

from marketplace.kernel.errors import IntegrityBreach
from marketplace.receivables.matching.lazily import lazily
from marketplace.receivables.matching.resemblance import NAMES

MODEL, CARD = "model.json", "card.json"
HOME = Path(__file__).resolve().parents[3] / "config" / "duplicates"

# A leaf's value, or (which figure, threshold, at most it, above it).
Branch = float | tuple[int, float, "Branch", "Branch"]
LEAVES_MAX = 8
# Of every byte the place of its lowest bit that is set.
LOWEST = bytes((byte & -byte).bit_length() - 1 if byte else 0 for byte in range(256))


@dataclass(frozen=True)
class Likeness:
    """Boosted trees over the figures of `resemblance`. A pair is held from `threshold` on, a chance of 0 to 1."""

    version: str
    threshold: float
    base: float
    trees: tuple[Branch, ...] = field(repr=False)

    @lazily
    def leaves(self) -> tuple[tuple[float, ...], ...]:
        """The leaves of every tree, from the left."""
        return tuple(tuple(_leaves(tree)) for tree in self.trees)

    @lazily
    def cuts(self) -> tuple[tuple[int, list[float], list[int]], ...]:
        """For each figure that is asked for its thresholds in order, and the leaves left where so many lie below it.

        Leaves are bits of one number, a byte a tree: what a branch to the right leaves out is left out of it, whatever
        the other branches say, so that the lowest bit left of each tree is the leaf that a walk would have come to.
        Source: Lucchese et al., QuickScorer, SIGIR 2015.
        """
        asked: dict[int, list[tuple[float, int]]] = defaultdict(list)
        for place, tree in enumerate(self.trees):
            for which, threshold, first, last in _branches(tree, 0):
                asked[which].append((threshold, ((1 << last) - (1 << first)) << place * LEAVES_MAX))
        found = []
        for which, branches in sorted(asked.items()):
            branches.sort()
            left = [(1 << len(self.trees) * LEAVES_MAX) - 1]
            for _, without in branches:
                left.append(left[-1] & ~without)
            found.append((which, [threshold for threshold, _ in branches], left))
        return tuple(found)

    def chance(self, figures: Sequence[float]) -> float:
        """Return how likely a pair is one claim listed twice, where both kinds were as many: 0 to 1."""
        alive = -1
        for which, thresholds, left in self.cuts:
            alive &= left[bisect_left(thresholds, figures[which])]
        reached = alive.to_bytes(len(self.trees), "little").translate(LOWEST) if self.cuts else bytes(len(self.trees))
        return 1 / (1 + exp(-sum(map(getitem, self.leaves, reached), self.base)))


def _leaves(branch: Branch) -> Iterator[float]:
    if isinstance(branch, tuple):
        yield from _leaves(branch[2])
        yield from _leaves(branch[3])
    else:
        yield branch


def _branches(branch: Branch, first: int) -> Iterator[tuple[int, float, int, int]]:
    """Yield (which figure, threshold, first leaf at most it, first leaf above it) of every branch."""
    if isinstance(branch, tuple):
        above = first + sum(1 for _ in _leaves(branch[2]))
        yield branch[0], branch[1], first, above
        yield from _branches(branch[2], first)
        yield from _branches(branch[3], above)


@lru_cache(maxsize=2)
def load_likeness(home: Path = HOME) -> Likeness:
    """Load the trees of a directory, once a process.

    Raises: IntegrityBreach("model_missing", "model_altered") when there are none, or not those that the card describes.
    """
    try:
        card, content = json.loads((home / CARD).read_bytes()), (home / MODEL).read_bytes()
    except (OSError, ValueError) as error:
        raise IntegrityBreach("model_missing", "There is no readable model in %(place)s.",
                              {"place": home.name}) from error  # fmt: skip
    if hashlib.sha256(content).hexdigest() != card["sha256"]:
        raise IntegrityBreach("model_altered", "%(file)s is not the file its model card describes.", {"file": MODEL})
    said = json.loads(content)
    if tuple(said["figures"]) != NAMES:
        raise IntegrityBreach("model_altered", "%(file)s asks for other figures than are known.", {"file": MODEL})
    return Likeness(card["version"], card["threshold"], said["base"], tuple(map(_branch, said["trees"])))


def _branch(said: Any) -> Branch:
    if isinstance(said, int | float):
        return float(said)
    which, threshold, low, high = said
    return int(which), float(threshold), _branch(low), _branch(high)

"""The learned verdict at work: load the shipped trees, check them, say how likely a pair is one claim listed twice.

The trees are a JSON file: reading it runs no code, and one pair walks them in plain Python, without scikit-learn.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from math import exp
from pathlib import Path
from typing import Any

from marketplace.kernel.errors import IntegrityBreach
from marketplace.receivables.matching.resemblance import NAMES

MODEL, CARD = "model.json", "card.json"
HOME = Path(__file__).resolve().parents[3] / "config" / "duplicates"

# A leaf's value, or (which figure, threshold, at most it, above it).
Branch = float | tuple[int, float, "Branch", "Branch"]


@dataclass(frozen=True)
class Likeness:
    """Boosted trees over the figures of `resemblance`. A pair is held from `threshold` on, a chance of 0 to 1."""

    version: str
    threshold: float
    base: float
    trees: tuple[Branch, ...] = field(repr=False)

    def chance(self, figures: Sequence[float]) -> float:
        """Return how likely a pair is one claim listed twice, where both kinds were as many: 0 to 1."""
        total = self.base
        for branch in self.trees:
            while branch.__class__ is tuple:
                which, threshold, low, high = branch
                branch = low if figures[which] <= threshold else high
            total += branch  # type: ignore[operator]
        return 1 / (1 + exp(-total))


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

"""What a chargeback takes back from whom, pure: proportionally to what a receipt gave; integers in, integers out."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from marketplace.kernel.money import allocate
from marketplace.servicing.waterfall import Step


@dataclass(frozen=True)
class Given:
    """What a receipt gave one party at one step, less what was taken back of it before; `left_minor` ≥ 0."""

    due_id: UUID
    step: Step
    party: UUID | None
    left_minor: int


@dataclass(frozen=True)
class TakeBack:
    """What is to be taken back: per share, from suspense, and beyond all that the receipt gave."""

    parts: tuple[tuple[Given, int], ...]
    excess_minor: int
    beyond_minor: int


def take_back(minor: int, given: Sequence[Given], excess_left_minor: int) -> TakeBack:
    """Split `minor` ≥ 0 over what a receipt gave, by largest remainder; ties go to the earlier share.

    No share is asked for more than it still has of this receipt. Parts, excess and what is beyond sum to `minor`.
    """
    weights = [one.left_minor for one in given] + [excess_left_minor]
    reachable = min(minor, sum(weights))
    parts = allocate(reachable, weights) if reachable else [0] * len(weights)
    taken = tuple((one, part) for one, part in zip(given, parts[:-1], strict=True) if part)
    return TakeBack(taken, parts[-1], minor - reachable)

"""Title, pure: how units are shared out, and which of them belong together."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from marketplace.kernel.money import allocate


@dataclass(frozen=True)
class Holding:
    """Units [first_unit, beyond_unit) of a receivable and who has owned them since when."""

    owner_id: UUID
    first_unit: int
    beyond_unit: int
    since: datetime
    until: datetime | None
    cause: str

    @property
    def units(self) -> int:
        """How many units, that is how many minor units of face."""
        return self.beyond_unit - self.first_unit


def share_units(face_minor: int, principals: Sequence[int]) -> list[tuple[int, int]]:
    """Cut [0, face) into one range each, in proportion to principal (largest remainder, ties to the lower index).

    A range may be empty when a principal is too small for one unit; ranges follow the given order.
    """
    ranges, start = [], 0
    for units in allocate(face_minor, principals):
        ranges.append((start, start + units))
        start += units
    return ranges

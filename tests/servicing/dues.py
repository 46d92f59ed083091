"""What is due when a receivable is funded, as a collection holds it."""

from collections.abc import Sequence
from uuid import UUID

from marketplace.servicing import waterfall
from marketplace.servicing.waterfall import Due


def opening_dues(face_minor: int, seller: UUID, fills: Sequence[tuple[UUID, int, int]], fee_bps: int) -> list[Due]:
    """Return the dues of a collection that nothing was paid into yet."""
    return [Due(*due) for due in waterfall.opening_dues(face_minor, seller, fills, fee_bps)]

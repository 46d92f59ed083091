"""Title, pure: how units are shared out, what a sale or a hand-over does to ranges, who owned what when."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from marketplace.kernel.money import allocate

Piece = tuple[UUID, int, int]  # owner, first unit, unit beyond the last
NewPiece = tuple[UUID | str, int, int]  # one to be written: of thousands of owners the ids come and go as texts


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


@dataclass(frozen=True)
class Claim:
    """A receivable to be registered: `face_minor` units of `owner_id`, under a key of 32 bytes."""

    receivable_id: UUID
    owner_id: UUID
    face_minor: int
    currency: str
    key: bytes


@dataclass(frozen=True)
class Sale:
    """All units of a receivable to new owners, in proportion to what each pays. Once in its life."""

    receivable_id: UUID
    shares: tuple[tuple[UUID | str, int], ...]


@dataclass(frozen=True)
class HandOver:
    """Units [first_unit, first_unit + units) from one owner, who must hold all of them, to another."""

    receivable_id: UUID
    from_owner: UUID
    to_owner: UUID
    first_unit: int
    units: int

    @property
    def beyond_unit(self) -> int:
        """The unit after the last."""
        return self.first_unit + self.units


def share_units(face_minor: int, principals: Sequence[int]) -> list[tuple[int, int]]:
    """Cut [0, face) into one range each, in proportion to principal (largest remainder, ties to the lower index).

    A range may be empty when a principal is too small for one unit; ranges follow the given order.
    """
    ranges, start = [], 0
    for units in allocate(face_minor, principals):
        ranges.append((start, start + units))
        start += units
    return ranges


def shared_out(face_minor: int, shares: Sequence[tuple[UUID | str, int]]) -> list[NewPiece]:
    """Return the pieces of [0, face) that buyers get in proportion to their principals; empty ones are left out."""
    ranges = share_units(face_minor, [principal for _, principal in shares])
    return [
        (owner, first, beyond)
        for (owner, _), (first, beyond) in zip(shares, ranges, strict=True) if first < beyond
    ]  # fmt: skip


def cut_out(held: Sequence[Piece], wanted: HandOver) -> tuple[list[int], list[Piece]] | None:
    """Return which of the held pieces end, by index, and the pieces that begin, by first unit, when units are handed
    over; None when the giver does not hold every one of them.

    `held` are the open pieces of the receivable by first unit. What is left of a piece stays with the giver.
    """
    touched = [
        index for index, (_, first, beyond) in enumerate(held)
        if first < wanted.beyond_unit and wanted.first_unit < beyond
    ]  # fmt: skip
    pieces = [held[index] for index in touched]
    whole = sum(min(b, wanted.beyond_unit) - max(a, wanted.first_unit) for _, a, b in pieces) == wanted.units
    if wanted.units < 1 or not whole or any(owner != wanted.from_owner for owner, _, _ in pieces):
        return None
    given: list[Piece] = [(wanted.to_owner, wanted.first_unit, wanted.beyond_unit)]
    first, beyond = pieces[0][1], pieces[-1][2]
    before: list[Piece] = [(wanted.from_owner, first, wanted.first_unit)] if first < wanted.first_unit else []
    behind: list[Piece] = [(wanted.from_owner, wanted.beyond_unit, beyond)] if wanted.beyond_unit < beyond else []
    return touched, before + given + behind


def joined(pieces: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return ranges with neighbours joined, by first unit."""
    found: list[tuple[int, int]] = []
    for first, beyond in sorted(pieces):
        if found and found[-1][1] == first:
            found[-1] = (found[-1][0], beyond)
        else:
            found.append((first, beyond))
    return found


def without(pieces: Iterable[tuple[int, int]], taken: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return what is left of ranges, neighbours joined, when other ranges are taken away."""
    left = joined(pieces)
    for first, beyond in taken:
        left = [
            part for a, b in left for part in ((a, min(b, first)), (max(a, beyond), b)) if part[0] < part[1]
        ]  # fmt: skip
    return left


def instants(chain: Sequence[Holding]) -> list[datetime]:
    """Return the instants at which title moved, oldest first."""
    return sorted({one.since for one in chain} | {one.until for one in chain if one.until is not None})

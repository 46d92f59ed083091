"""What the engine can refuse: a book that is not a book, a file that is not a transcript."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with a book: where (`bids[3].cash_minor`) and which rule (`not_an_integer`)."""

    path: str
    rule: str


class AuctionError(Exception):
    """Anything the engine refuses. Never raised directly."""


class BookInvalid(AuctionError):
    """The book as a whole is refused; `faults` lists every fault found."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        first = self.faults[0]
        more = f" (and {len(self.faults) - 1} more)" if len(self.faults) > 1 else ""
        super().__init__(f"{first.path}: {first.rule}{more}")


class TooLarge(AuctionError):
    """An amount or a sum may not fit in 64 bits: the fast engine leaves the book to the plain one."""


class TranscriptUnreadable(AuctionError):
    """The bytes are not a transcript of this engine: not JSON, a repeated key, an unknown rule version."""

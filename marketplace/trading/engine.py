"""The one door to the engine: rows become a book, the engine's outcome becomes what is stored."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from auction.book import Book
from auction.errors import AuctionError
from auction.replay import Outcome, canonical, replay, run, sha256
from auction.replay import Verdict as Verdict
from marketplace.kernel.errors import IntegrityBreach
from marketplace.trading.tables import LotRow


class SealedBid(Protocol):
    """What a book needs of a bid; a row of the table has it."""

    @property
    def id(self) -> UUID: ...
    @property
    def investor_id(self) -> UUID: ...
    @property
    def group_id(self) -> UUID: ...
    @property
    def cash_minor(self) -> int: ...
    @property
    def min_fill_minor(self) -> int: ...
    @property
    def rate_bps(self) -> int: ...
    @property
    def seq(self) -> int: ...


@dataclass(frozen=True)
class Leg:
    """One fill as the engine priced it."""

    bid_id: UUID
    cash_minor: int
    discount_minor: int
    rate_bps: int


@dataclass(frozen=True)
class Cleared:
    """A clearing, ready to be written down: figures, legs, who is refused or passed over, and the transcript."""

    outcome: str
    stop_out_bps: int | None
    awarded_minor: int
    discount_minor: int
    standing_minor: int
    groups: int
    legs: tuple[Leg, ...]
    refused: dict[UUID, tuple[str, ...]]
    passed_over: tuple[UUID, ...]
    rule: str
    rule_version: str
    transcript: bytes
    sha256: str


def clear_lot(lot: LotRow, bids: Sequence[SealedBid], accepted_minor: int | None = None) -> Cleared:
    """Clear a lot's sealed book; with `accepted_minor` for a smaller amount, which then must be covered in full.

    Raises: IntegrityBreach when the engine refuses the book: the database let something impossible in.
    """
    try:
        book = Book.parse(book_of(lot, bids, accepted_minor))
    except AuctionError as error:
        raise IntegrityBreach("book_invalid", f"The book of a lot is not sound: {error}") from error
    return _cleared(run(book))


def book_of(lot: LotRow, bids: Sequence[SealedBid], accepted_minor: int | None = None) -> dict[str, object]:
    """Return the book as the engine reads it. Ids are written as lower-case texts."""
    accepted = {} if accepted_minor is None else {"accepted_minor": accepted_minor}
    return {
        **accepted,
        "lot": str(lot.id),
        "currency": lot.currency,
        "face_minor": lot.face_minor,
        "target_minor": lot.target_minor,
        "lot_size_minor": lot.lot_size_minor,
        "minimum_minor": lot.minimum_minor,
        "reserve_bps": lot.reserve_bps,
        "tenor_days": lot.tenor_days,
        "min_share_bps": lot.min_share_bps,
        "group_cap_bps": lot.group_cap_bps,
        "price_rule": lot.price_rule,
        "related_groups": [str(group) for group in lot.related_groups],
        "bids": [
            {
                "id": str(bid.id),
                "investor": str(bid.investor_id),
                "group": str(bid.group_id),
                "cash_minor": bid.cash_minor,
                "min_fill_minor": bid.min_fill_minor,
                "rate_bps": bid.rate_bps,
                "seq": bid.seq,
            }
            for bid in bids
        ],
    }


def recompute(transcript: bytes) -> Verdict:
    """Clear a stored book again and say whether it gives the stored result."""
    return replay(transcript)


def _cleared(outcome: Outcome) -> Cleared:
    clearing, transcript = outcome.clearing, outcome.transcript
    return Cleared(
        outcome=clearing.outcome,
        stop_out_bps=clearing.stop_out_bps,
        awarded_minor=clearing.awarded_minor,
        discount_minor=outcome.discount_minor,
        standing_minor=clearing.standing_minor,
        groups=outcome.groups,
        legs=tuple(
            Leg(UUID(fill.bid.id), fill.cash_minor, fill.discount_minor, fill.rate_bps) for fill in outcome.fills
        ),
        refused={UUID(refusal.bid.id): refusal.reasons for refusal in clearing.refusals},
        passed_over=tuple(UUID(bid.id) for bid in clearing.passed_over),
        rule=str(transcript["rule"]),
        rule_version=str(transcript["rule_version"]),
        transcript=canonical(transcript),
        sha256=sha256(transcript),
    )

"""The one door to the engine: rows become a book, the engine's outcome becomes what is stored."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from auction.book import Bid, Book
from auction.errors import AuctionError
from auction.explaining import Explained as Explained
from auction.explaining import explain
from auction.joint import JointLot, LotAward
from auction.joint import Session as JointSession
from auction.joint_replay import run_jointly
from auction.mandates import Instruction as Instruction
from auction.mandates import Mandate, Offered
from auction.mandates import Reason as Reason
from auction.mandates import Used as Used
from auction.mandates import instruct as _instruct
from auction.openings import Offer, SoftClose, bought_now, shown_rate
from auction.openings import improvement_faults as _improvement_faults
from auction.replay import Outcome, canonical, clear_quickly, read, replay, run, sha256
from auction.replay import Verdict as Verdict
from marketplace.kernel.errors import IntegrityBreach
from marketplace.rating.grades import GRADES
from marketplace.trading.tables import LotRow

Books = JointSession  # what clears together, as callers name it
EPOCH, MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)
SECONDS_MAX = 60  # a solver is given so long; what has then been found is taken, and says how far off it may be


class SealedBid(Protocol):
    """What a book needs of a bid; a row of the table has it. Ids may be texts already."""

    @property
    def id(self) -> UUID | str: ...
    @property
    def investor_id(self) -> UUID | str: ...
    @property
    def group_id(self) -> UUID | str: ...
    @property
    def cash_minor(self) -> int: ...
    @property
    def min_fill_minor(self) -> int: ...
    @property
    def rate_bps(self) -> int: ...


class Leg(NamedTuple):
    """One fill as the engine priced it, of a bid by its id as texts have it."""

    bid: str
    cash_minor: int
    discount_minor: int
    rate_bps: int

    @property
    def bid_id(self) -> UUID:
        """The bid's id."""
        return UUID(self.bid)


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
        book = book_of(lot, bids, accepted_minor)
    except AuctionError as error:
        raise IntegrityBreach("book_invalid", f"The book of a lot is not sound: {error}") from error
    return _cleared(run(book))


@dataclass(frozen=True)
class Running:
    """A lot that is still open, as it would clear now: the rate it may show, and whether its buy-now rate is met."""

    shown_bps: int | None
    bought: bool


def run_now(lot: LotRow, bids: Sequence[SealedBid]) -> Running:
    """Clear an open lot's book as it stands, in the order in which the bids came in.

    Raises: IntegrityBreach when the engine refuses the book.
    """
    try:
        clearing = clear_quickly(book_of(lot, bids))
    except AuctionError as error:
        raise IntegrityBreach("book_invalid", f"The book of a lot is not sound: {error}") from error
    return Running(shown_rate(clearing), bought_now(clearing, lot.buy_now_bps))


def closes_after(lot: LotRow, placed_at: datetime, before: Running, after: Running) -> datetime:
    """Return when an open lot closes once a bid was taken: later when the bid is late and lowers the rate shown."""
    if lot.bidding != "open":
        return lot.closes_at
    rules = SoftClose(lot.late_seconds, lot.extend_seconds, lot.extensions_max, lot.improve_only_seconds)
    now_us, closes_us = ((at - EPOCH) // MICROSECOND for at in (placed_at, lot.closes_at))
    moved = rules.closes_after(now_us, closes_us, lot.extensions, before.shown_bps, after.shown_bps)
    return lot.closes_at + (moved - closes_us) * MICROSECOND


class Offers(Protocol):
    """What of a bid decides whether it is better than another: a row has it, and so has the command."""

    @property
    def rate_bps(self) -> int: ...
    @property
    def cash_minor(self) -> int: ...
    @property
    def min_fill_minor(self) -> int: ...


def improvement_faults(earlier: Offers | None, later: Offers) -> tuple[str, ...]:
    """Return why a bid is no improvement of an earlier one; none when it is."""
    return _improvement_faults(None if earlier is None else _offer(earlier), _offer(later))


def _offer(bid: Offers) -> Offer:
    return Offer(bid.rate_bps, bid.cash_minor, bid.min_fill_minor)


def book_of(lot: LotRow, bids: Sequence[SealedBid], accepted_minor: int | None = None) -> Book:
    """Return the book as the engine reads it. Ids are written as lower-case texts.

    `bids` come in the order in which they came in, and their places in this book stand for it: the market's own
    numbers would tell whoever reads two transcripts how many bids there were elsewhere between them.

    Raises: BookInvalid.
    """
    terms: dict[str, object] = {
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
    }
    if accepted_minor is not None:
        terms["accepted_minor"] = accepted_minor
    return Book.of(terms, [
        Bid(str(bid.id), str(bid.investor_id), str(bid.group_id), bid.cash_minor, bid.min_fill_minor, bid.rate_bps, seq)
        for seq, bid in enumerate(bids, 1)
    ])  # fmt: skip


class Instructs(Protocol):
    """A mandate's terms; its row has them, and so has the command that makes it."""

    @property
    def grade_worst(self) -> str: ...


def instruct(mandate: Instructs, lot: Any, *, related: bool, used: Used) -> Instruction:
    """Return what a mandate bids on a lot, or every reason why it does not."""
    terms = {name: getattr(mandate, name) for name in Mandate.__slots__ if name != "grade_worst"}
    offered = Offered(
        grade=GRADES.index(lot.debtor_grade), tenor_days=lot.tenor_days, full_recourse=lot.recourse == "full",
        loss_ppm=lot.expected_loss_recourse_ppm if lot.recourse == "full" else lot.expected_loss_ppm,
        indicative_bps=lot.indicative_bps, reserve_bps=lot.reserve_bps, target_minor=lot.target_minor,
        lot_size_minor=lot.lot_size_minor, minimum_minor=lot.minimum_minor, related=related,
    )  # fmt: skip
    return _instruct(Mandate(grade_worst=GRADES.index(mandate.grade_worst), **terms), offered, used)


def fill_among(transcript: bytes, bid: Instruction) -> tuple[int, int]:
    """Clear a stored book with one more bid, after all others; return that bid's cash and discount."""
    stored = Book.parse(read(transcript)["book"])
    extra = Bid("\uffff", "\uffff", "\uffff", bid.cash_minor, bid.min_fill_minor, bid.rate_bps,
                max((one.seq for one in stored.bids), default=0) + 1)  # fmt: skip
    fills = run(replace(stored, bids=(*stored.bids, extra))).fills
    return next(((fill.cash_minor, fill.discount_minor) for fill in fills if fill.bid is extra), (0, 0))


@dataclass(frozen=True)
class SessionLot:
    """A lot of a session with its sealed book."""

    lot: LotRow
    bids: Sequence[SealedBid]


@dataclass(frozen=True)
class ClearedSession:
    """A session cleared, ready to be written down, with what was cleared and why each bid got what it got."""

    books: JointSession
    lots: dict[UUID, Cleared]
    reasons: tuple[Explained, ...]
    transcript: bytes
    sha256: str
    path: str
    gap_ppm: int


def session_books(
    lots: Sequence[SessionLot], budgets: dict[UUID, int], debtors: dict[tuple[UUID, UUID], int]
) -> JointSession:
    """Return what clears: every lot's book, and each investor's budget and limits by debtor.

    Raises: IntegrityBreach when the engine refuses a book.
    """
    try:
        parsed = tuple(JointLot(book_of(one.lot, one.bids), str(one.lot.debtor_id), str(one.lot.seller_id))
                       for one in lots)  # fmt: skip
    except AuctionError as error:
        raise IntegrityBreach("book_invalid", f"The books of a session are not sound: {error}") from error
    caps = {str(who): minor for who, minor in budgets.items()}
    limits = {(str(who), str(debtor)): minor for (who, debtor), minor in debtors.items()}
    return JointSession(parsed, caps, limits, {})


def clear_session(session_id: UUID, books: JointSession) -> ClearedSession:
    """Clear lots together. It may take SECONDS_MAX: nobody holds a lock meanwhile.

    Raises: IntegrityBreach when the engine refuses a book.
    """
    try:
        outcome = run_jointly(str(session_id), books, SECONDS_MAX)
    except AuctionError as error:
        raise IntegrityBreach("book_invalid", f"The books of a session are not sound: {error}") from error
    lots_cleared = {UUID(award.lot.book.lot): _cleared_jointly(award, outcome.lots[award.lot.book.lot])
                    for award in outcome.clearing.awards}  # fmt: skip
    return ClearedSession(
        books, lots_cleared, tuple(explain(books, outcome.clearing)), canonical(outcome.transcript),
        sha256(outcome.transcript), outcome.clearing.path, outcome.clearing.gap_ppm,
    )  # fmt: skip


def _cleared_jointly(award: LotAward, transcript: dict[str, object]) -> Cleared:
    return Cleared(
        outcome=award.outcome, stop_out_bps=award.stop_out_bps, awarded_minor=award.awarded_minor,
        discount_minor=sum(fill.discount_minor for fill in award.fills),
        standing_minor=sum(one.cash_minor for one in award.standing),
        groups=len({fill.bid.group for fill in award.fills}),
        legs=tuple(Leg(fill.bid.id, fill.cash_minor, fill.discount_minor, fill.rate_bps) for fill in award.fills),
        refused={UUID(one.bid.id): one.reasons for one in award.refusals}, passed_over=(),
        rule=str(transcript["rule"]), rule_version=str(transcript["rule_version"]),
        transcript=(raw := canonical(transcript)), sha256=hashlib.sha256(raw).hexdigest(),
    )  # fmt: skip


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
        legs=tuple(Leg(fill.bid.id, fill.cash_minor, fill.discount_minor, fill.rate_bps) for fill in outcome.fills),
        refused={UUID(refusal.bid.id): refusal.reasons for refusal in clearing.refusals},
        passed_over=tuple(UUID(bid.id) for bid in clearing.passed_over),
        rule=str(transcript["rule"]),
        rule_version=str(transcript["rule_version"]),
        transcript=(raw := canonical(transcript)),
        sha256=hashlib.sha256(raw).hexdigest(),
    )

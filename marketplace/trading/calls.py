"""Call points: a few times a day a bidder learns whether his own sealed bids would clear, and nothing else.

Nothing is stored for this: the book as it stood at a past instant follows from when bids were placed and ended.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from marketplace.kernel.policy import Policy
from marketplace.trading import engine
from marketplace.trading.rules import LotState, calls_between
from marketplace.trading.tables import BidRow, LotRow

CALLS_MAX = 4


@dataclass(frozen=True)
class Call:
    """One of an investor's bids at one call point."""

    called_at: datetime
    lot_id: UUID
    bid_id: UUID
    rate_bps: int
    cash_minor: int
    clearing: bool


def calls_of(
    session: Session, policy: Policy, now: datetime, investor_id: UUID, lot_ids: Sequence[UUID], most: int = CALLS_MAX
) -> list[Call]:
    """Return how an investor's bids in open lots stood at the last call points, newest call first, by lot and seq."""
    lots = session.scalars(
        select(LotRow).where(LotRow.id.in_(list(lot_ids)), LotRow.state == LotState.OPEN, LotRow.session_id.is_(None),
                             LotRow.bidding == "sealed")
    ).all()  # fmt: skip
    if not lots:
        return []
    first = min(lot.opened_at for lot in lots)
    found = []
    for called_at in calls_between(first, now, policy.auction.call_hours, policy.zone)[:most]:
        books = _books_at(session, [lot.id for lot in lots if lot.opened_at < called_at], called_at)
        for lot in sorted(lots, key=lambda lot: lot.id):
            found += _own_in(lot, books[lot.id], investor_id, called_at)
    return found


def _books_at(session: Session, lot_ids: Sequence[UUID], instant: datetime) -> dict[UUID, list[BidRow]]:
    rows = session.scalars(
        select(BidRow)
        .where(BidRow.lot_id.in_(lot_ids), BidRow.placed_at <= instant)
        .where(or_(BidRow.ended_at.is_(None), BidRow.ended_at > instant))
        .order_by(BidRow.seq)
    )
    books: dict[UUID, list[BidRow]] = defaultdict(list)
    for row in rows:
        books[row.lot_id].append(row)
    return books


def _own_in(lot: LotRow, book: Sequence[BidRow], investor_id: UUID, called_at: datetime) -> list[Call]:
    own = [bid for bid in book if bid.investor_id == investor_id]
    if not own:
        return []
    filled = {leg.bid_id for leg in engine.clear_lot(lot, book).legs}
    return [Call(called_at, lot.id, bid.id, bid.rate_bps, bid.cash_minor, bid.id in filled) for bid in own]

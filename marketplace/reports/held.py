"""What of an investor's cash stands behind bids: each bid's own, or a session's budget for all of them."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session


@dataclass(frozen=True)
class HeldBid:
    """Cash that stands behind a bid."""

    lot_id: UUID
    ref: str
    debtor_name: str
    state: str
    rate_bps: int
    minor: int
    currency: str
    closes_at: datetime


@dataclass(frozen=True)
class HeldBudget:
    """Cash that stands behind all bids of a session."""

    session_id: UUID
    minor: int
    currency: str
    closes_at: datetime


def held_budgets(session: Session, investor_id: UUID) -> list[HeldBudget]:
    """Return what is held for an investor's bids in sessions that have not closed."""
    rows = session.execute(
        text(
            "SELECT purse.session_id, hold.minor, call_session.currency, call_session.closes_at "
            "FROM session_purse AS purse JOIN hold ON hold.id = purse.hold_id "
            "JOIN call_session ON call_session.id = purse.session_id "
            "WHERE purse.investor_id = :investor_id AND call_session.state = 'open' ORDER BY call_session.closes_at"
        ),
        {"investor_id": investor_id},
    )
    return [HeldBudget(**row) for row in rows.mappings()]


def held_bids(session: Session, investor_id: UUID) -> list[HeldBid]:
    """Return what holds stand against an investor's cash, soonest close first."""
    rows = session.execute(
        text(
            "SELECT lot.id AS lot_id, receivable.ref, debtor.legal_name AS debtor_name, lot.state, bid.rate_bps, "
            "       hold.minor, lot.currency, lot.closes_at "
            "FROM bid JOIN hold ON hold.id = bid.hold_id JOIN lot ON lot.id = bid.lot_id "
            "JOIN receivable ON receivable.id = lot.receivable_id "
            "JOIN organisation AS debtor ON debtor.id = lot.debtor_id "
            "WHERE bid.investor_id = :investor_id AND bid.state IN ('placed', 'filled') "
            "AND NOT EXISTS (SELECT FROM hold_resolution WHERE hold_id = hold.id) "
            "ORDER BY lot.closes_at, receivable.ref"
        ),
        {"investor_id": investor_id},
    )
    return [HeldBid(**row) for row in rows.mappings()]

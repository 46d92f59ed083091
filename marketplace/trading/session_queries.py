"""Reads about call sessions. Caps are their investor's alone until the close; then the transcript holds them."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session, undefer

from marketplace.trading.queries import Lot, _as, missing
from marketplace.trading.tables import BidRow, CallSessionRow, LotRow, SessionCapRow, SessionReasonRow


@dataclass(frozen=True)
class CallSession:
    """A session as pages see it."""

    id: UUID
    currency: str
    closes_at: datetime
    opened_at: datetime
    state: str
    closed_at: datetime | None
    sha256: str | None
    path: str | None
    gap_ppm: int | None
    lots: int = 0


@dataclass(frozen=True)
class Reason:
    """One reason: a code, and numbers in minor units or basis points."""

    code: str
    numbers: dict[str, int]


@dataclass(frozen=True)
class Explained:
    """What became of one bid: asked and got in minor units, and every reason why it did not get all its cash."""

    lot_id: UUID
    asked_minor: int
    rate_bps: int
    state: str
    cash_minor: int
    why: tuple[Reason, ...]


def sessions(session: Session, limit: int = 50) -> list[CallSession]:
    """Return sessions with how many lots each has, the open ones first, then the newest."""
    lots = select(func.count()).where(LotRow.session_id == CallSessionRow.id).scalar_subquery()
    rows = session.execute(
        select(CallSessionRow, lots).order_by(CallSessionRow.state.desc(), CallSessionRow.closes_at.desc()).limit(limit)
    )
    return [_session(row, count) for row, count in rows]


def session_of(session: Session, session_id: UUID) -> CallSession:
    """Return one session.

    Raises: NotFound("not_found").
    """
    row = session.get(CallSessionRow, session_id, populate_existing=True)
    if row is None:
        raise missing()
    return _session(row, 0)


def _session(row: CallSessionRow, lots: int) -> CallSession:
    names = [name for name in CallSession.__dataclass_fields__ if name != "lots"]
    return CallSession(**{name: getattr(row, name) for name in names}, lots=lots)


def lots_of(session: Session, session_id: UUID) -> list[Lot]:
    """Return the lots of a session, by id."""
    rows = session.scalars(select(LotRow).where(LotRow.session_id == session_id).order_by(LotRow.id))
    return [_as(Lot, row) for row in rows]


def caps_of(session: Session, session_id: UUID, investor_id: UUID) -> tuple[int | None, dict[UUID, int]]:
    """Return an investor's own caps: in all, and by debtor."""
    rows = session.execute(
        select(SessionCapRow.debtor_id, SessionCapRow.minor).where(
            SessionCapRow.session_id == session_id, SessionCapRow.investor_id == investor_id
        )
    ).all()
    whole = next((row.minor for row in rows if row.debtor_id is None), None)
    return whole, {row.debtor_id: row.minor for row in rows if row.debtor_id is not None}


def transcript(session: Session, session_id: UUID) -> bytes:
    """Return the transcript of a session that has closed.

    Raises: NotFound("not_found").
    """
    row = session.scalars(
        select(CallSessionRow).where(CallSessionRow.id == session_id).options(undefer(CallSessionRow.transcript))
    ).one_or_none()
    if row is None or row.transcript is None:
        raise missing()
    return row.transcript


def explained(session: Session, session_id: UUID, investor_id: UUID) -> list[Explained]:
    """Say of an investor's own bids in a closed session why each was filled, cut or passed over, by bid id."""
    rows = session.execute(
        select(SessionReasonRow, BidRow.lot_id, BidRow.cash_minor, BidRow.rate_bps)
        .join(BidRow, BidRow.id == SessionReasonRow.bid_id)
        .where(SessionReasonRow.session_id == session_id, SessionReasonRow.investor_id == investor_id)
        .order_by(SessionReasonRow.bid_id)
    )
    return [
        Explained(lot_id, asked, rate, row.state, row.cash_minor,
                  tuple(Reason(one["code"], one["numbers"]) for one in row.reasons))
        for row, lot_id, asked, rate in rows
    ]  # fmt: skip

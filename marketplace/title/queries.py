"""Reading the title register, now or at any instant."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, func, select, text
from sqlalchemy.orm import Session

from marketplace.title.rules import Holding, Piece
from marketplace.title.tables import Title, TitleHolding, Tombstone

COLUMNS = (
    TitleHolding.owner_id,
    func.lower(TitleHolding.units),
    func.upper(TitleHolding.units),
    func.lower(TitleHolding.held_during),
    func.upper(TitleHolding.held_during),
    TitleHolding.cause,
)


def owners_at(session: Session, receivable_id: UUID, at: datetime) -> list[Holding]:
    """Return who owned which units at an instant, by first unit."""
    rows = session.execute(
        select(*COLUMNS)
        .where(TitleHolding.receivable_id == receivable_id, TitleHolding.held_during.contains(at))
        .order_by(func.lower(TitleHolding.units))
    )
    return [_holding(row) for row in rows]


def chain(session: Session, receivable_id: UUID) -> list[Holding]:
    """Return every holding there ever was, by beginning and first unit."""
    rows = session.execute(
        select(*COLUMNS)
        .where(TitleHolding.receivable_id == receivable_id)
        .order_by(func.lower(TitleHolding.held_during), func.lower(TitleHolding.units))
    )
    return [_holding(row) for row in rows]


def held_now(session: Session, receivable_id: UUID) -> list[Piece]:
    """Return (owner, first unit, unit beyond the last) of what is held now, by first unit."""
    rows = session.execute(
        text(
            "SELECT owner_id, lower(units), upper(units) FROM holding "
            "WHERE receivable_id = :id AND upper_inf(held_during) ORDER BY lower(units)"
        ),
        {"id": receivable_id},
    )
    return [(owner, first, beyond) for owner, first, beyond in rows]


def tombstones(session: Session, receivable_id: UUID) -> list[tuple[datetime, str, bool]]:
    """Return when a receivable left the market and why, and when it came back (True), oldest first."""
    rows = session.execute(
        text(
            "SELECT at, reason_code, false AS back FROM tombstone WHERE receivable_id = :id "
            "UNION ALL SELECT at, reason_code, true FROM title_return WHERE receivable_id = :id ORDER BY at"
        ),
        {"id": receivable_id},
    )
    return [(row.at, row.reason_code, row.back) for row in rows]


def registered_as(session: Session, key: bytes) -> UUID | None:
    """Return the receivable registered under an exact key, withdrawn or not."""
    return session.execute(select(Title.receivable_id).where(Title.key == key)).scalar_one_or_none()


def left_because(session: Session, receivable_id: UUID) -> str | None:
    """Return the reason code with which a receivable last left the market unsold; None if it never did."""
    return session.execute(
        select(Tombstone.reason_code)
        .where(Tombstone.receivable_id == receivable_id)
        .order_by(Tombstone.at.desc())
        .limit(1)
    ).scalar_one_or_none()


def broken_titles(session: Session) -> list[UUID]:
    """Return titles whose open holdings do not sum to what they should: none in a sound register."""
    rows = session.execute(
        text(
            "SELECT title.receivable_id FROM title LEFT JOIN holding "
            "ON holding.receivable_id = title.receivable_id AND upper_inf(holding.held_during) "
            "GROUP BY title.receivable_id, title.face_minor, title.ended_at "
            "HAVING coalesce(sum(upper(units) - lower(units)), 0) "
            "<> CASE WHEN title.ended_at IS NULL THEN title.face_minor ELSE 0 END"
        )
    )
    return [row.receivable_id for row in rows]


def _holding(row: Row[Any]) -> Holding:
    return Holding(*tuple(row))

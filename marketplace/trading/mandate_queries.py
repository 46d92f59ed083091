"""Reads about mandates: an investor's own, what each did in every lot, and what it would have done before it was there.

The back-test asks the mandate about every lot that closed, oldest first, and clears each stored book once more with its
bid, after all others. Books are public once their lot has closed, so this tells nothing that was sealed.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row, select, text
from sqlalchemy.orm import Session, undefer

from marketplace.trading import engine
from marketplace.trading.engine import Used
from marketplace.trading.queries import missing
from marketplace.trading.schemas import CreateMandate
from marketplace.trading.tables import AwardRow, LotRow, MandateRow

DAYS, LOTS_MAX = 90, 300

NOTES = """
    SELECT note.lot_id, note.bid_id, note.reasons, note.at, receivable.ref, lot.currency, lot.state AS lot_state,
           bid.rate_bps, bid.cash_minor, bid.state AS bid_state,
           (SELECT cash_minor FROM fill WHERE fill.bid_id = note.bid_id ORDER BY round DESC LIMIT 1) AS filled_minor
    FROM mandate_note AS note JOIN lot ON lot.id = note.lot_id JOIN receivable ON receivable.id = lot.receivable_id
    LEFT JOIN bid ON bid.id = note.bid_id
    WHERE note.mandate_id = :mandate ORDER BY note.at DESC, note.lot_id LIMIT :limit"""
TOTALS = """
    SELECT note.mandate_id, count(note.bid_id) AS bids, count(*) - count(note.bid_id) AS passed,
           coalesce(sum(filled.cash_minor), 0)::bigint AS filled_minor
    FROM mandate_note AS note
    LEFT JOIN LATERAL (SELECT fill.cash_minor FROM fill JOIN bid ON bid.id = fill.bid_id
        WHERE fill.bid_id = note.bid_id AND bid.state = 'filled' ORDER BY round DESC LIMIT 1) AS filled ON true
    WHERE note.mandate_id = ANY (:mandates) GROUP BY 1"""


@dataclass(frozen=True)
class Tried:
    """What a mandate would have done in one lot that closed."""

    lot_id: UUID
    ref: str
    closed_at: datetime
    rate_bps: int
    cash_minor: int
    filled_minor: int
    discount_minor: int
    reasons: tuple[dict[str, Any], ...]


def mandates(session: Session, investor_id: UUID) -> list[MandateRow]:
    """Return an investor's mandates, newest first, those that ended last."""
    rows = session.scalars(select(MandateRow).where(MandateRow.investor_id == investor_id))
    return sorted(rows, key=lambda row: (row.state != "ended", row.created_at), reverse=True)


def mandate(session: Session, mandate_id: UUID, investor_id: UUID) -> MandateRow:
    """Return one of an investor's own mandates.

    Raises: NotFound("not_found"), for another's too.
    """
    row = session.get(MandateRow, mandate_id, populate_existing=True)
    if row is None or row.investor_id != investor_id:
        raise missing()
    return row


def totals(session: Session, mandate_ids: Sequence[UUID]) -> dict[UUID, Row[Any]]:
    """Return how often each mandate bid and did not, and what was filled."""
    rows = session.execute(text(TOTALS), {"mandates": list(mandate_ids)})
    return {row.mandate_id: row for row in rows}


def notes(session: Session, mandate_id: UUID, limit: int = 200) -> list[Row[Any]]:
    """Return what a mandate did in each lot, newest first: its bid, or every reason why not."""
    return list(session.execute(text(NOTES), {"mandate": mandate_id, "limit": limit}))


def backtest(session: Session, mandate: MandateRow | CreateMandate, group_id: UUID, now: datetime) -> list[Tried]:
    """Return what a mandate, written or not yet, would have done in the lots of the last 90 days, oldest first.

    Its own caps count from nothing; cash is taken to be there. Money is back on the expected date.
    """
    lots = session.execute(
        select(LotRow, AwardRow)
        .join(AwardRow, (AwardRow.lot_id == LotRow.id) & (AwardRow.round == 1))
        .where(LotRow.currency == mandate.currency, LotRow.closed_at > now - timedelta(days=DAYS))
        .options(undefer(AwardRow.transcript))
        .order_by(LotRow.closed_at.desc(), LotRow.id)
        .limit(LOTS_MAX)
    ).all()
    refs = _refs(session, [lot.receivable_id for lot, _ in lots])
    done: list[tuple[LotRow, int]] = []
    tried = []
    for lot, award in reversed(lots):
        wanted = engine.instruct(mandate, lot, related=group_id in lot.related_groups, used=_used(mandate, lot, done))
        filled, discount = engine.fill_among(award.transcript, wanted) if wanted.cash_minor else (0, 0)
        if filled:
            done.append((lot, filled))
        reasons = tuple({"code": one.code, **one.numbers} for one in wanted.reasons)
        assert lot.closed_at is not None
        tried.append(Tried(lot.id, refs[lot.receivable_id], lot.closed_at, wanted.rate_bps, wanted.cash_minor, filled,
                           discount, reasons))  # fmt: skip
    return tried


def _used(mandate: MandateRow | CreateMandate, lot: LotRow, done: Sequence[tuple[LotRow, int]]) -> Used:
    assert lot.closed_at is not None
    since, day = lot.closed_at - timedelta(days=mandate.budget_days), lot.closed_at.date()
    sums: dict[str, int] = defaultdict(int)
    for earlier, minor in done:
        if earlier.closed_at is not None and earlier.closed_at > since:
            sums["budget_minor"] += minor
        if earlier.expected_on > day:
            sums["outstanding_minor"] += minor
            sums["debtor_minor"] += minor * (earlier.debtor_id == lot.debtor_id)
            sums["seller_minor"] += minor * (earlier.seller_id == lot.seller_id)
    return Used(**sums)


def _refs(session: Session, receivable_ids: Sequence[UUID]) -> dict[UUID, str]:
    rows = session.execute(text("SELECT id, ref FROM receivable WHERE id = ANY (:ids)"), {"ids": list(receivable_ids)})
    return {row.id: row.ref for row in rows}

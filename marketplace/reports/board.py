"""What anybody may see of the market: the last awards without names, and a few sums."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

AWARDS = text("""
    SELECT receivable.ref, debtor.sector, lot.debtor_grade AS grade, last.awarded_minor, lot.currency,
           lot.tenor_days, last.stop_out_bps, last.made_at
    FROM lot
    JOIN receivable ON receivable.id = lot.receivable_id
    JOIN organisation AS debtor ON debtor.id = lot.debtor_id
    JOIN LATERAL (
        SELECT awarded_minor, stop_out_bps, made_at FROM award
        WHERE award.lot_id = lot.id ORDER BY round DESC LIMIT 1) AS last ON true
    WHERE lot.state IN ('accepted', 'settled')
    ORDER BY last.made_at DESC, lot.id LIMIT :limit""")
SUMS = text("""
    SELECT lot.currency, count(*) AS lots, sum(last.awarded_minor)::bigint AS funded_minor,
           percentile_disc(0.5) WITHIN GROUP (ORDER BY last.stop_out_bps) AS median_bps,
           percentile_disc(0.5) WITHIN GROUP (ORDER BY lot.tenor_days) AS median_days
    FROM lot JOIN LATERAL (
        SELECT awarded_minor, stop_out_bps FROM award
        WHERE award.lot_id = lot.id ORDER BY round DESC LIMIT 1) AS last ON true
    WHERE lot.state = 'settled' GROUP BY lot.currency ORDER BY count(*) DESC, lot.currency""")
COUNTS = text("""
    SELECT (SELECT count(*) FROM receivable WHERE state <> 'drafted') AS listed,
           (SELECT count(*) FROM lot WHERE state = 'open') AS open,
           (SELECT count(*) FROM lot WHERE state IN ('accepted', 'settled')) AS cleared""")


@dataclass(frozen=True)
class Award:
    """One award as a stranger may see it. Rates in basis points a year, money in minor units."""

    ref: str
    sector: str | None
    grade: str
    awarded_minor: int
    currency: str
    tenor_days: int
    stop_out_bps: int
    made_at: datetime


@dataclass(frozen=True)
class Sum:
    """What was funded in one currency."""

    currency: str
    lots: int
    funded_minor: int
    median_bps: int
    median_days: int


@dataclass(frozen=True)
class Board:
    """The market from the street."""

    awards: Sequence[Award]
    sums: Sequence[Sum]
    listed: int
    open: int
    cleared: int


def board(session: Session, limit: int = 5) -> Board:
    """Return the last awards and the sums."""
    counts = session.execute(COUNTS).one()
    awards = [Award(**row) for row in session.execute(AWARDS, {"limit": limit}).mappings()]
    sums = [Sum(**row) for row in session.execute(SUMS).mappings()]
    return Board(awards, sums, counts.listed, counts.open, counts.cleared)

"""Lateness over time: portfolio at risk by week, quarters of funding, concentration; and the strip of every page."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

WEEKS = 26


@dataclass(frozen=True)
class Week:
    """The book of one currency on one day: what was outstanding, and the shares over 30, 60 and 90 days late."""

    day: date
    outstanding_minor: int
    par_ppm: tuple[int, int, int]


@dataclass(frozen=True)
class Vintage:
    """What was funded in one quarter, and what became of it."""

    year: int
    quarter: int
    funded: int
    funded_minor: int
    defaulted: int
    outstanding_minor: int
    recovered_minor: int

    @property
    def default_ppm(self) -> int:
        """The share of the receivables that ever defaulted."""
        return self.defaulted * 1_000_000 // self.funded if self.funded else 0


@dataclass(frozen=True)
class Strip:
    """What moves, told on every page of the operators."""

    books: tuple[tuple[str, int, int], ...]
    collected: tuple[tuple[str, int], ...]
    suspense: tuple[tuple[str, int], ...]
    unexplained: tuple[tuple[str, int], ...]
    reconciled_at: datetime | None
    failures: int


def weeks(session: Session, currency: str, today: date, zone: str, count: int = WEEKS) -> list[Week]:
    """Return the book as it stood at the end of each of the last weeks, oldest first, weeks without one left out."""
    rows = session.execute(
        text(
            "WITH week AS (SELECT CAST(:today AS date) - 7 * n AS day FROM generate_series(0, :count - 1) AS n), "
            "stood AS (SELECT day, greatest(0, day - c.due_on) AS dpd, c.face_minor - coalesce(("
            "SELECT sum(d.received_minor - d.excess_minor) FROM distribution d WHERE d.receivable_id = c.receivable_id "
            "AND CAST(d.distributed_at AT TIME ZONE :zone AS date) <= day), 0) AS owed FROM week JOIN collection c "
            "ON c.currency = :currency AND CAST(c.opened_at AT TIME ZONE :zone AS date) <= day "
            "AND (c.closed_at IS NULL OR CAST(c.closed_at AT TIME ZONE :zone AS date) > day)) "
            "SELECT day, sum(owed) AS owed, coalesce(sum(owed) FILTER (WHERE dpd > 30), 0) AS late30, "
            "coalesce(sum(owed) FILTER (WHERE dpd > 60), 0) AS late60, "
            "coalesce(sum(owed) FILTER (WHERE dpd > 90), 0) AS late90 FROM stood GROUP BY day ORDER BY day"
        ),
        {"today": today, "count": count, "zone": zone, "currency": currency},
    )
    return [
        Week(r.day, int(r.owed), (_ppm(r.late30, r.owed), _ppm(r.late60, r.owed), _ppm(r.late90, r.owed))) for r in rows
    ]


def vintages(session: Session, currency: str, zone: str, limit: int = 8) -> list[Vintage]:
    """Return the last quarters of funding, newest first."""
    rows = session.execute(
        text(
            "SELECT CAST(extract(year FROM c.opened_at AT TIME ZONE :zone) AS int) AS year, "
            "CAST(extract(quarter FROM c.opened_at AT TIME ZONE :zone) AS int) AS quarter, count(*) AS funded, "
            "sum(p.advanced) AS advanced, count(c.defaulted_at) AS defaulted, "
            "sum(CASE WHEN c.closed_at IS NULL THEN p.owed ELSE 0 END) AS owed, "
            "coalesce(sum(r.recovered), 0) AS recovered FROM collection c CROSS JOIN LATERAL ("
            "SELECT sum(due_minor) FILTER (WHERE step = 'principal') AS advanced, "
            "sum(due_minor - paid_minor) AS owed FROM due WHERE due.receivable_id = c.receivable_id) AS p "
            "LEFT JOIN LATERAL (SELECT sum(received_minor - excess_minor) AS recovered FROM distribution d "
            "WHERE d.receivable_id = c.receivable_id AND d.recovery) AS r ON true "
            "WHERE c.currency = :currency GROUP BY 1, 2 ORDER BY 1 DESC, 2 DESC LIMIT :limit"
        ),
        {"zone": zone, "currency": currency, "limit": limit},
    )
    return [
        Vintage(row.year, row.quarter, row.funded, int(row.advanced), row.defaulted, int(row.owed), int(row.recovered))
        for row in rows
    ]


def hhi(session: Session, currency: str) -> int:
    """Return the Herfindahl-Hirschman index of debtors in the open book: 0 … 10,000."""
    found = session.execute(
        text(
            "WITH owed AS (SELECT c.debtor_id, sum(due.due_minor - due.paid_minor) AS minor FROM collection c "
            "JOIN due USING (receivable_id) WHERE c.closed_at IS NULL AND c.currency = :currency GROUP BY c.debtor_id) "
            "SELECT coalesce(round(sum(minor * minor) * 10000 / nullif(power(sum(minor), 2), 0)), 0) FROM owed"
        ),
        {"currency": currency},
    ).scalar_one()
    return int(found)


def strip(session: Session, midnight: datetime) -> Strip:
    """Return the figures of the strip. `midnight` begins the business day."""
    books = session.execute(
        text(
            "SELECT c.currency, count(DISTINCT c.receivable_id) AS n, sum(due.due_minor - due.paid_minor) AS minor "
            "FROM collection c JOIN due USING (receivable_id) WHERE c.closed_at IS NULL "
            "GROUP BY c.currency ORDER BY 2 DESC"
        )
    ).all()
    collected = session.execute(
        text(
            "SELECT c.currency, sum(d.received_minor) FROM distribution d JOIN collection c USING (receivable_id) "
            "WHERE d.distributed_at >= :since GROUP BY c.currency ORDER BY c.currency"
        ),
        {"since": midnight},
    ).all()
    suspended = session.execute(
        text(
            "SELECT a.currency, sum(b.posted_minor) FROM balance b JOIN account a ON a.id = b.account_id "
            "WHERE a.code = 'suspense' AND b.posted_minor <> 0 GROUP BY a.currency ORDER BY a.currency"
        )
    ).all()
    compared = session.execute(
        text(
            "SELECT * FROM (SELECT DISTINCT ON (currency) currency, unexplained_minor, at FROM reconciliation "
            "ORDER BY currency, at DESC) AS provider UNION ALL SELECT * FROM (SELECT DISTINCT ON (iban, currency) "
            "currency, unexplained_minor, at FROM bank_reconciliation ORDER BY iban, currency, at DESC) AS bank"
        )
    ).all()
    failures = session.execute(text("SELECT count(*) FROM job_failure WHERE cleared_at IS NULL")).scalar_one()
    return Strip(
        tuple((row.currency, row.n, int(row.minor)) for row in books),
        _sums(collected),
        _sums(suspended),
        tuple((row.currency, row.unexplained_minor) for row in compared if row.unexplained_minor),
        max((row.at for row in compared), default=None),
        failures,
    )


def _sums(rows: Sequence[object]) -> tuple[tuple[str, int], ...]:
    return tuple((str(row[0]), int(row[1])) for row in rows)  # type: ignore[index]


def _ppm(part: int, whole: int) -> int:
    return int(part) * 1_000_000 // int(whole) if whole else 0

"""What an operator sees of the whole market: the book, what is late, what waits, what failed. Set-based, read only."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

SILENT_SECONDS = 20  # after which nobody is taken to keep time
GRADES = ("A+", "A", "A-", "B+", "B", "B-", "C", "D", "E", None)
# Outstanding of every open collection, with its days past due and the debtor's grade when the lot opened.
OPEN = """
    SELECT c.receivable_id, r.ref, c.currency, c.state, c.due_on, c.expected_on, c.face_minor, c.seller_id, c.debtor_id,
           debtor.legal_name AS debtor, seller.legal_name AS seller, coalesce(r.sector, '') AS sector,
           lot.debtor_grade AS grade, greatest(0, CAST(:today AS date) - c.due_on) AS dpd,
           (SELECT sum(due_minor - paid_minor) FROM due WHERE due.receivable_id = c.receivable_id) AS outstanding,
           (SELECT step FROM ageing_step s WHERE s.receivable_id = c.receivable_id ORDER BY taken_at DESC, step LIMIT 1)
               AS last_step, r.promised_on
    FROM collection c JOIN receivable r ON r.id = c.receivable_id JOIN lot ON lot.id = c.lot_id
    JOIN organisation debtor ON debtor.id = c.debtor_id JOIN organisation seller ON seller.id = c.seller_id
    WHERE c.closed_at IS NULL"""


@dataclass(frozen=True)
class AgeingRow:
    """Outstanding by days past due (none, 1–30, 31–60, 61–90, over 90), of one grade, debtor, seller or sector."""

    label: str | None
    buckets: tuple[int, int, int, int, int]

    @property
    def total(self) -> int:
        """All of it."""
        return sum(self.buckets)

    @property
    def late30_ppm(self) -> int:
        """The share more than thirty days past due."""
        return sum(self.buckets[2:]) * 1_000_000 // self.total if self.total else 0

    def heat(self, index: int) -> str:
        """Return the tint of a late cell, by its share of the row: 1, 5, 10, 20 %."""
        share = self.buckets[index] * 100 // self.total if self.total and index else 0
        return next((f"k{step}" for step, least in ((4, 20), (3, 10), (2, 5), (1, 1)) if share >= least), "")


@dataclass(frozen=True)
class Book:
    """The open book of one currency."""

    currency: str
    receivables: int
    outstanding_minor: int
    par_ppm: tuple[int, int, int]
    funded: int
    defaulted: int
    largest_debtor_ppm: int


@dataclass(frozen=True)
class Late:
    """One receivable that needs somebody: overdue, defaulted or in recovery."""

    receivable_id: UUID
    ref: str
    debtor: str
    seller: str
    currency: str
    outstanding_minor: int
    due_on: date
    dpd: int
    grade: str | None
    state: str
    last_step: str | None
    promised_on: date | None


@dataclass(frozen=True)
class JobLine:
    """A job as the clock last saw it."""

    name: str
    started_at: datetime | None
    finished_at: datetime | None
    worked_at: datetime | None
    rows: int
    rows_ever: int
    runs: int
    failures: int
    last_error: str | None
    every_seconds: int | None = None
    next_at: datetime | None = None
    wished_at: datetime | None = None
    covered: int = 0


def currencies(session: Session) -> list[str]:
    """Return the currencies of the book, most receivables first."""
    rows = session.execute(text("SELECT currency FROM collection GROUP BY currency ORDER BY count(*) DESC, currency"))
    return [row.currency for row in rows]


def book(session: Session, currency: str, today: date) -> Book:
    """Return the figures of one currency's open book."""
    row = session.execute(
        text(
            f"WITH book AS ({OPEN} AND c.currency = :currency), "  # noqa: S608 (constant text)
            "debtors AS (SELECT debtor_id, sum(outstanding) AS owed FROM book GROUP BY debtor_id) "
            "SELECT count(*) AS receivables, coalesce(sum(outstanding), 0) AS outstanding, "
            "coalesce(sum(outstanding) FILTER (WHERE dpd > 30), 0) AS late30, "
            "coalesce(sum(outstanding) FILTER (WHERE dpd > 60), 0) AS late60, "
            "coalesce(sum(outstanding) FILTER (WHERE dpd > 90), 0) AS late90, "
            "(SELECT coalesce(max(owed), 0) FROM debtors) AS largest, "
            "(SELECT count(*) FROM collection WHERE currency = :currency) AS funded, "
            "(SELECT count(*) FROM collection WHERE currency = :currency AND defaulted_at IS NOT NULL) AS defaulted "
            "FROM book"
        ),
        {"today": today, "currency": currency},
    ).one()
    whole = int(row.outstanding)

    def share(part: int) -> int:
        return int(part) * 1_000_000 // whole if whole else 0

    return Book(currency, row.receivables, whole, (share(row.late30), share(row.late60), share(row.late90)),
                row.funded, row.defaulted, share(row.largest))  # fmt: skip


def ageing(session: Session, currency: str, today: date, by: str = "grade") -> list[AgeingRow]:
    """Return outstanding by days past due and by `grade`, `debtor`, `seller` or `sector`, largest first "
    "(grades best first)."""
    column = {"grade": "grade", "debtor": "debtor", "seller": "seller", "sector": "sector"}[by]
    rows = session.execute(
        text(
            f"SELECT {column} AS label, "  # noqa: S608 (column from the table above)
            "coalesce(sum(outstanding) FILTER (WHERE dpd = 0), 0) AS b0, "
            "coalesce(sum(outstanding) FILTER (WHERE dpd BETWEEN 1 AND 30), 0) AS b1, "
            "coalesce(sum(outstanding) FILTER (WHERE dpd BETWEEN 31 AND 60), 0) AS b2, "
            "coalesce(sum(outstanding) FILTER (WHERE dpd BETWEEN 61 AND 90), 0) AS b3, "
            "coalesce(sum(outstanding) FILTER (WHERE dpd > 90), 0) AS b4 "
            f"FROM ({OPEN} AND c.currency = :currency) AS book GROUP BY {column} ORDER BY sum(outstanding) DESC"
        ),
        {"today": today, "currency": currency},
    )
    found = [AgeingRow(r.label, (int(r.b0), int(r.b1), int(r.b2), int(r.b3), int(r.b4))) for r in rows]
    return sorted(found, key=lambda r: GRADES.index(r.label)) if by == "grade" else found


def total_of(rows: Sequence[AgeingRow]) -> AgeingRow:
    """Return the sum of ageing rows."""
    columns = [sum(row.buckets[index] for row in rows) for index in range(5)]
    return AgeingRow(None, (columns[0], columns[1], columns[2], columns[3], columns[4]))


def late(session: Session, today: date, currency: str | None = None, limit: int = 200) -> list[Late]:
    """Return what is past due, defaulted or in recovery, longest past due first."""
    rows = session.execute(
        text(
            f"SELECT * FROM ({OPEN}) AS book WHERE (dpd > 0 OR state IN ('overdue', 'defaulted', 'recovered')) "  # noqa: S608
            "AND (CAST(:currency AS text) IS NULL OR currency = :currency) ORDER BY dpd DESC, ref LIMIT :limit"
        ),
        {"today": today, "currency": currency, "limit": limit},
    )
    return [
        Late(r.receivable_id, r.ref, r.debtor, r.seller, r.currency, int(r.outstanding), r.due_on, r.dpd, r.grade,
             r.state, r.last_step, r.promised_on)
        for r in rows
    ]  # fmt: skip


def jobs(session: Session, names: Sequence[str] | None = None) -> list[JobLine]:
    """Return every job's last and next run, in the given order (by name if none is given).

    One that never ran has no instants. While nobody keeps time nothing has a next run; what should have run by now is
    due now. `covered`: days on which nobody kept time and that the last run of a day's job did as well.
    """
    rows = {
        row.job: row
        for row in session.execute(
            text(
                "SELECT s.*, w.wanted_at, CASE WHEN l.token > 0 AND l.seen_at > clock_timestamp() - "
                "make_interval(secs => :silent) THEN greatest(s.next_at, market_now()) END AS due_at, "
                "(SELECT count(*) FROM job_run r WHERE r.job = s.job AND r.covered_by = (SELECT max(business_on) "
                "FROM job_run WHERE job = s.job AND covered_by IS NULL)) AS covered "
                "FROM job_state s CROSS JOIN job_leader l LEFT JOIN job_wish w ON w.job = s.job AND w.taken_at IS NULL"
            ),
            {"silent": SILENT_SECONDS},
        )
    }
    return [_job(name, rows.get(name)) for name in (sorted(rows) if names is None else names)]


def _job(name: str, row: Row[Any] | None) -> JobLine:
    if row is None:
        return JobLine(name, None, None, None, 0, 0, 0, 0, None)
    return JobLine(name, row.started_at, row.finished_at, row.worked_at, row.rows, row.rows_ever, row.runs,
                   row.failures, row.last_error, row.every_seconds, row.due_at, row.wanted_at, row.covered)  # fmt: skip


def failures(session: Session, limit: int = 100) -> Sequence[Row[Any]]:
    """Return what jobs could not do and have not done since, newest first, with the receivable's ref where "
    "it has one."""
    return session.execute(
        text(
            "SELECT f.*, coalesce(r.ref, via_lot.ref) AS ref, coalesce(r.id, via_lot.id) AS receivable_id "
            "FROM job_failure f LEFT JOIN receivable r ON r.id = f.subject_id "
            "LEFT JOIN lot ON lot.id = f.subject_id LEFT JOIN receivable via_lot ON via_lot.id = lot.receivable_id "
            "WHERE f.cleared_at IS NULL ORDER BY f.failed_at DESC LIMIT :limit"
        ),
        {"limit": limit},
    ).all()


def failures_open(session: Session) -> int:
    """Return how many job failures are open."""
    return int(session.execute(text("SELECT count(*) FROM job_failure WHERE cleared_at IS NULL")).scalar_one())


def leader(session: Session) -> Row[Any]:
    """Return who keeps time, since when, the fencing token, and for how many real seconds it has been silent."""
    return session.execute(
        text(
            "SELECT token, holder, since, greatest(0, floor(extract(epoch FROM clock_timestamp() - seen_at)))::int "
            "AS silent_seconds FROM job_leader"
        )
    ).one()


def pipeline(session: Session) -> dict[str, int]:
    """Return how many receivables stand in each state."""
    rows = session.execute(text("SELECT state, count(*) AS n FROM receivable GROUP BY state"))
    return {row.state: row.n for row in rows}


def collected_since(session: Session, since: datetime) -> list[tuple[str, int]]:
    """Return what debtors paid since an instant, by currency."""
    rows = session.execute(
        text(
            "SELECT c.currency, sum(d.received_minor) FROM distribution d JOIN collection c USING (receivable_id) "
            "WHERE d.distributed_at >= :since GROUP BY c.currency ORDER BY c.currency"
        ),
        {"since": since},
    )
    return [(currency, int(total)) for currency, total in rows]


def suspense(session: Session) -> list[tuple[str, int]]:
    """Return the suspense account's balance by currency, where it is not empty."""
    rows = session.execute(
        text(
            "SELECT a.currency, b.posted_minor FROM account a JOIN balance b ON b.account_id = a.id "
            "WHERE a.code = 'suspense' AND b.posted_minor <> 0 ORDER BY a.currency"
        )
    )
    return [(currency, int(minor)) for currency, minor in rows]


def suspense_items(session: Session, limit: int = 200) -> Sequence[Row[Any]]:
    """Return what went into suspense and out of it, newest first."""
    return session.execute(
        text(
            "SELECT e.posted_at, e.kind, p.currency, -p.minor AS minor, e.subject_kind, e.subject_id, r.ref, "
            "r.id AS receivable_id "
            "FROM posting p JOIN account a ON a.id = p.account_id AND a.code = 'suspense' JOIN entry e ON "
            "e.id = p.entry_id "
            "LEFT JOIN debtor_payment dp ON dp.id = e.subject_id LEFT JOIN receivable r ON r.id IN "
            "(e.subject_id, dp.receivable_id) "
            "ORDER BY e.posted_at DESC LIMIT :limit"
        ),
        {"limit": limit},
    ).all()


def waiting(session: Session, state: str, limit: int = 100) -> Sequence[Row[Any]]:
    """Return receivables in a state, longest waiting first, with both names."""
    return session.execute(
        text(
            "SELECT r.id, r.ref, r.currency, r.face_minor, r.due_on, r.state, r.state_reason, r.state_since, "
            "seller.legal_name AS seller, debtor.legal_name AS debtor FROM receivable r "
            "JOIN organisation seller ON seller.id = r.seller_id JOIN organisation debtor ON debtor.id = r.debtor_id "
            "WHERE r.state = :state ORDER BY r.state_since LIMIT :limit"
        ),
        {"state": state, "limit": limit},
    ).all()


def reviews(session: Session, limit: int = 100) -> Sequence[Row[Any]]:
    """Return held listings with their findings, those that wait for a second person first."""
    return session.execute(
        text(
            "SELECT v.id AS review_id, v.cause, v.findings, v.matches, v.state, v.maker_id, v.maker_reason, "
            "v.proposed_at, "
            "v.opened_at, maker.display_name AS maker, r.id, r.ref, r.number, r.currency, r.face_minor, "
            "r.issued_on, r.due_on, (SELECT lot.id FROM lot WHERE lot.receivable_id = r.id AND "
            "lot.state IN ('accepted', 'held')) AS lot_id, "
            "seller.legal_name AS seller, debtor.legal_name AS debtor FROM review v JOIN receivable r ON "
            "r.id = v.receivable_id "
            "JOIN organisation seller ON seller.id = r.seller_id JOIN organisation debtor ON debtor.id = r.debtor_id "
            "LEFT JOIN user_account maker ON maker.id = v.maker_id WHERE v.decided_at IS NULL "
            "ORDER BY v.proposed_at NULLS LAST, v.opened_at LIMIT :limit"
        ),
        {"limit": limit},
    ).all()


def reviews_open(session: Session) -> int:
    """Return how many held listings wait for a decision."""
    return int(session.execute(text("SELECT count(*) FROM review WHERE decided_at IS NULL")).scalar_one())


def letters(session: Session, limit: int = 50) -> Sequence[Row[Any]]:
    """Return letters that wait to be handed over, newest first."""
    return session.execute(
        text(
            "SELECT m.id, m.kind, m.address, m.subject, m.body, m.queued_at, r.ref, r.id AS receivable_id, "
            "o.legal_name "
            "FROM outgoing_mail m JOIN organisation o ON o.id = m.organisation_id "
            "LEFT JOIN receivable r ON r.id = m.receivable_id WHERE m.sent_at IS NULL ORDER BY m.queued_at "
            "DESC LIMIT :limit"
        ),
        {"limit": limit},
    ).all()

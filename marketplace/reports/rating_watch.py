"""How the rating model does at work: debtors' records, drift, outcomes against PDs, grades that fell. Read only."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

import numpy as np
from sqlalchemy import text
from sqlalchemy.orm import Session

from marketplace.kernel.policy import Policy, Rating
from marketplace.rating.behaviour import PaymentRecord, expected_lateness, warnings
from marketplace.rating.drift import Bucket, Measure, against, calibration, drift, inversions, shadow
from marketplace.rating.grades import GRADES
from marketplace.rating.model import Model
from marketplace.rating.overriding import notches
from marketplace.rating.scorecard import bin_counts
from marketplace.reports.paid_day import PAID_DAY

PAST_DAYS = 90
NEWEST = (
    "SELECT DISTINCT ON (organisation_id) organisation_id, grade, level, ratios, pd_ppm, model_pd_ppm, challenger_ppm, "
    "rated_at FROM party_rating WHERE rated_at <= {at} ORDER BY organisation_id, rated_at DESC, id DESC"
)
ENDED = """
    SELECT {key} AS key, count(*) AS n, count(*) FILTER (WHERE c.defaulted_at IS NOT NULL) AS defaults,
           round(avg(rated.pd_tenor_ppm))::integer AS expected_ppm
    FROM collection c JOIN lot ON lot.id = c.lot_id
    JOIN LATERAL (SELECT pd_tenor_ppm FROM receivable_rating r WHERE r.receivable_id = c.receivable_id
                  AND r.rated_at <= lot.opened_at ORDER BY r.rated_at DESC LIMIT 1) AS rated ON true
    WHERE c.closed_at IS NOT NULL OR c.defaulted_at IS NOT NULL GROUP BY 1 ORDER BY 1"""


def payment_records(
    session: Session, today: date, late_days: int, debtor_id: UUID | None = None
) -> dict[UUID, PaymentRecord]:
    """Return every debtor's record, or one's: what it paid and how late, what is very late, what it defaulted on.

    What was paid counts from the day the money was there, which may be before the market heard of it.
    """
    rows = session.execute(
        text(f"""
            SELECT debtor_id, count(*) FILTER (WHERE state = 'settled') AS paid,
                   count(*) FILTER (WHERE defaulted_at IS NULL AND days >= :late_days) AS late,
                   count(*) FILTER (WHERE defaulted_at IS NOT NULL) AS defaulted,
                   (SELECT sum(upper(span) - lower(span)) FROM unnest(range_agg(owed)) AS span) AS exposure_days,
                   coalesce(sum(days) FILTER (WHERE state = 'settled'), 0) AS late_days_sum,
                   coalesce(sum(days * days) FILTER (WHERE state = 'settled'), 0) AS late_days_squares,
                   greatest(0, coalesce(max(days) FILTER (WHERE closed_at IS NULL), 0)) AS past_due_days
            FROM (SELECT debtor_id, state, defaulted_at, closed_at, coalesce(ended_on, :today) - due_on AS days,
                         daterange(opened_at::date, greatest(coalesce(ended_on, :today), opened_at::date), '[]') AS owed
                  FROM collection CROSS JOIN LATERAL {PAID_DAY} AS paid
                       CROSS JOIN LATERAL (SELECT CASE WHEN state = 'settled' THEN coalesce(paid.day, closed_at::date)
                                                       ELSE closed_at::date END AS ended_on) AS ended
                  WHERE opened_at::date <= :today
                        AND (CAST(:debtor_id AS uuid) IS NULL OR debtor_id = :debtor_id)) AS each_one
            GROUP BY debtor_id"""),  # noqa: S608 - built from the text named above
        {"today": today, "late_days": late_days, "debtor_id": debtor_id},
    )
    return {row.debtor_id: PaymentRecord(*(int(value) for value in row[1:])) for row in rows}


def kept_records(session: Session) -> dict[UUID, PaymentRecord]:
    """Return every debtor's record as it was noted last."""
    rows = session.execute(text(
        "SELECT DISTINCT ON (organisation_id) organisation_id, paid, late, defaulted, exposure_days, late_days_sum, "
        "late_days_squares, past_due_days FROM payment_record ORDER BY organisation_id, noted_at DESC, id DESC"
    ))  # fmt: skip
    return {row.organisation_id: PaymentRecord(*row[1:]) for row in rows}


def changed_records(session: Session, today: date, late_days: int) -> dict[UUID, PaymentRecord]:
    """Return the records of the debtors to be rated anew: a payment, a lateness or a default came since."""
    kept = kept_records(session)
    return {
        debtor: record
        for debtor, record in payment_records(session, today, late_days).items()
        if record.told(late_days) != kept.get(debtor, PaymentRecord()).told(late_days)
    }


# -- measures -----------------------------------------------------------------------------------------------------


def measures(session: Session, model: Model, policy: Rating) -> list[Measure]:
    """Return all that is measured about the model on a day, drift first, the comparison with the challenger last."""
    by_grade = sorted(_ended(session, "lot.debtor_grade"), key=lambda bucket: GRADES.index(bucket.key))
    by_month = _ended(session, "to_char(c.opened_at, 'YYYY-MM')")
    now = session.execute(text(NEWEST.format(at="'infinity'"))).all()
    return [
        *_drifts(session, now, model, policy),
        *([calibration(by_grade, policy)] if by_grade else []),
        *(against("backtest", bucket, policy) for bucket in by_grade),
        *inversions(by_grade, policy),
        *(against("vintage", bucket, policy) for bucket in by_month),
        *([shadow([(row.model_pd_ppm or row.pd_ppm, row.challenger_ppm) for row in now], policy)] if now else []),
    ]


def _ended(session: Session, key: str) -> list[Bucket]:
    return [Bucket(*row) for row in session.execute(text(ENDED.format(key=key)))]


def _drifts(session: Session, now: Sequence[Any], model: Model, policy: Rating) -> list[Measure]:
    found = []
    bins = {name: one for level in model.challenger.values() for name, one in level["ratios"].items()
            if "watched_cuts" in one}  # fmt: skip
    for name, one in sorted(bins.items()):
        values = np.array([float(row.ratios[name]) for row in now if name in row.ratios])
        if len(values):
            found.append(drift(name, one["shares"], bin_counts(values, one["watched_cuts"]), policy))
    then = session.execute(text(NEWEST.format(at=f"market_now() - interval '{PAST_DAYS} days'"))).all()
    if then:
        shares = [sum(row.grade == grade for row in then) / len(then) for grade in GRADES]
        found.append(drift("grades", shares, [sum(row.grade == grade for row in now) for grade in GRADES], policy))
    return found


def latest(session: Session) -> list[Any]:
    """Return the newest run's measures; empty before the first."""
    return list(session.execute(text(
        "SELECT * FROM rating_watch WHERE run_id = (SELECT run_id FROM rating_watch ORDER BY measured_at DESC, id DESC "
        "LIMIT 1) ORDER BY kind, key"
    )).all())  # fmt: skip


# -- falls and warnings -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fall:
    """A receivable that is on sale or held, whose debtor is rated worse now than when its lot opened."""

    receivable_id: UUID
    lot_id: UUID
    ref: str
    debtor_id: UUID
    debtor: str
    stage: str  # on_sale or held
    was: str
    now: str
    rated_at: datetime

    @property
    def notches(self) -> int:
        """How many grades worse."""
        return notches(self.was, self.now)


def falls(session: Session, least: int, receivable_ids: Sequence[UUID] | None = None) -> list[Fall]:
    """Return open lots and held receivables whose debtor fell so many notches since the lot opened, deepest first.

    `receivable_ids` narrows to these.
    """
    rows = session.execute(
        text(f"""
            SELECT r.id, lot.id AS lot_id, r.ref, o.id AS debtor_id, o.legal_name,
                   CASE WHEN lot.state = 'settled' THEN 'held' ELSE 'on_sale' END AS stage,
                   lot.debtor_grade AS was, newest.grade AS now, newest.rated_at
            FROM lot JOIN receivable r ON r.id = lot.receivable_id JOIN organisation o ON o.id = lot.debtor_id
            JOIN ({NEWEST.format(at="'infinity'")}) AS newest ON newest.organisation_id = lot.debtor_id
            LEFT JOIN collection c ON c.lot_id = lot.id
            WHERE lot.state IN ('open', 'awaiting_seller', 'accepted', 'held', 'settled')
              AND (lot.state <> 'settled' OR c.closed_at IS NULL AND c.receivable_id IS NOT NULL)
              AND newest.grade <> lot.debtor_grade
              AND (CAST(:ids AS uuid[]) IS NULL OR r.id = ANY (:ids))"""),  # noqa: S608 - built from the texts above
        {"ids": list(receivable_ids) if receivable_ids is not None else None},
    )
    found = [Fall(*row) for row in rows]
    return sorted((one for one in found if one.notches >= least), key=lambda one: (-one.notches, one.ref))


@dataclass(frozen=True)
class Watched:
    """A debtor to be watched: why, its record, and on which day after the due date it is expected to pay."""

    organisation_id: UUID
    name: str
    reasons: tuple[str, ...]
    record: PaymentRecord
    lateness_days: int


def watched(session: Session, policy: Policy) -> list[Watched]:
    """Return debtors with a reason to be watched, the most reasons first."""
    usual, late_days = policy.collection.lateness_days, policy.collection.par_days
    found = []
    for debtor, record in kept_records(session).items():
        if told := warnings(record, usual, late_days, policy.rating):
            found.append((debtor, tuple(told), record))
    names = {
        row.id: row.legal_name
        for row in session.execute(
            text("SELECT id, legal_name FROM organisation WHERE id = ANY (:ids)"), {"ids": [one[0] for one in found]}
        )
    }
    lines = [Watched(debtor, names[debtor], told, record, expected_lateness(record, usual, policy.rating))
             for debtor, told, record in found]  # fmt: skip
    return sorted(lines, key=lambda one: (-len(one.reasons), one.name))


# -- overrides ----------------------------------------------------------------------------------------------------


def overrides(session: Session, organisation_id: UUID | None = None) -> list[Any]:
    """Return overrides with the names of party and people: those that wait first, then the newest."""
    return list(session.execute(
        text("""
            SELECT g.*, o.legal_name, maker.display_name AS maker, approver.display_name AS approver
            FROM grade_override g JOIN organisation o ON o.id = g.organisation_id
            LEFT JOIN user_account maker ON maker.id = g.maker_id
            LEFT JOIN user_account approver ON approver.id = g.approver_id
            WHERE CAST(:id AS uuid) IS NULL OR g.organisation_id = :id
            ORDER BY g.state <> 'proposed', g.proposed_at DESC LIMIT 50"""),
        {"id": organisation_id},
    ).all())  # fmt: skip

"""What came of the market's own ratings: how receivables ended, and the company years that a model learns from."""

from datetime import date
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from marketplace.reports.paid_day import PAID_DAY

# Each receivable that ended, with its debtor's rating as it stood when the lot was listed. A debt that was bought back
# or charged back did not end with its debtor here.
ENDED = f"""
    SELECT collection.receivable_id, collection.debtor_id, rated.debtor_rating_id, p.filing_id, p.model_version,
           lot.opened_at::date AS listed_on,
           greatest(lot.opened_at::date, coalesce(defaulted_at, collection.closed_at)::date) AS ended_on,
           CASE WHEN defaulted_at IS NOT NULL THEN 'defaulted'
                WHEN EXISTS (SELECT FROM dilution d WHERE d.receivable_id = collection.receivable_id) THEN 'diluted'
                WHEN coalesce(paid.day, collection.closed_at::date) - collection.due_on >= :late_days THEN 'late'
                ELSE 'paid' END AS outcome
    FROM collection JOIN lot ON lot.id = collection.lot_id CROSS JOIN LATERAL {PAID_DAY} AS paid
    JOIN LATERAL (SELECT r.debtor_rating_id FROM receivable_rating r WHERE r.receivable_id = collection.receivable_id
                  AND r.rated_at <= lot.opened_at ORDER BY r.rated_at DESC LIMIT 1) AS rated ON true
    JOIN party_rating p ON p.id = rated.debtor_rating_id
    WHERE collection.defaulted_at IS NOT NULL OR collection.state = 'settled'"""  # noqa: S608 - text of ours alone
NEWEST = "SELECT DISTINCT ON (receivable_id) * FROM rating_outcome ORDER BY receivable_id, noted_at DESC, id DESC"

YEARS = f"""
    SELECT debtor_id, filing_id, min(listed_on) AS listed_on,
           (array_agg(debtor_rating_id ORDER BY listed_on, debtor_rating_id))[1] AS rating_id,
           bool_or(outcome = 'defaulted' AND ended_on <= first_on + :window) AS failed
    FROM (SELECT noted.*, min(listed_on) OVER (PARTITION BY debtor_id, filing_id) AS first_on
          FROM ({NEWEST}) AS noted) AS each_one
    GROUP BY debtor_id, filing_id"""  # noqa: S608 - built from the text above


def outcomes_to_note(session: Session, late_days: int, limit: int = 10_000) -> list[dict[str, Any]]:
    """Return how receivables ended, where nothing was noted of them or something else was."""
    rows = session.execute(
        text(f"""
            SELECT ended.* FROM ({ENDED}) AS ended LEFT JOIN ({NEWEST}) AS noted USING (receivable_id)
            WHERE (noted.outcome, noted.ended_on) IS DISTINCT FROM (ended.outcome, ended.ended_on)
            ORDER BY ended.ended_on, ended.receivable_id LIMIT :limit"""),  # noqa: S608 - built from the texts above
        {"late_days": late_days, "limit": limit},
    )
    return [dict(row) for row in rows.mappings()]


def outcome_counts(session: Session) -> dict[str, int]:
    """Return how many receivables ended how, as noted last."""
    rows = session.execute(text(f"SELECT outcome, count(*) FROM ({NEWEST}) AS noted GROUP BY 1"))  # noqa: S608
    return {str(outcome): int(count) for outcome, count in rows}


def company_years(session: Session, window_days: int, today: date) -> list[dict[str, Any]]:
    """Return the company years whose window is over: one debtor and one filing, as it was rated at the first listing.

    `failed`: one of its receivables defaulted within the window.
    """
    rows = session.execute(
        text(f"""
            SELECT y.debtor_id, y.listed_on, y.failed, p.level, p.ratios, p.z_milli, f.period_end
            FROM ({YEARS}) AS y JOIN party_rating p ON p.id = y.rating_id JOIN filing f ON f.id = p.filing_id
            WHERE y.listed_on + :window <= :today
            ORDER BY y.listed_on, y.debtor_id, f.period_end"""),  # noqa: S608 - built from the text above
        {"window": window_days, "today": today},
    )
    return [dict(row) for row in rows.mappings()]


def company_year_counts(session: Session, window_days: int, today: date) -> dict[str, int]:
    """Return how many company years are `over`, how many of these `failed`, and how many are still `open`."""
    row = session.execute(
        text(f"""
            SELECT count(*) FILTER (WHERE is_over) AS over, count(*) FILTER (WHERE is_over AND failed) AS failed,
                   count(*) FILTER (WHERE NOT is_over) AS open
            FROM (SELECT failed, listed_on + :window <= :today AS is_over FROM ({YEARS}) AS y) AS told"""),  # noqa: S608
        {"window": window_days, "today": today},
    ).one()
    return dict(row._mapping)


def learnt_this_month(session: Session, today: date) -> bool:
    """Return whether this month's learning is done."""
    found = session.execute(text("SELECT EXISTS (SELECT FROM learning_run WHERE month = :month)"),
                            {"month": today.replace(day=1)})  # fmt: skip
    return bool(found.scalar_one())


def runs(session: Session, limit: int = 12) -> list[Any]:
    """Return the newest runs of learning with the version of what they fitted."""
    return list(session.execute(
        text("SELECT run.*, m.version FROM learning_run run LEFT JOIN rating_model m ON m.id = run.model_id "
             "ORDER BY run.ran_at DESC, run.id DESC LIMIT :limit"), {"limit": limit}
    ).all())  # fmt: skip


def models(session: Session, limit: int = 24) -> list[Any]:
    """Return the models that were learnt here, without their files: what waits and what serves first."""
    return list(session.execute(
        text("""
            SELECT id, version, base, own_rows, own_failures, learnt_until, against_version, comparison, state, made_at,
                   moved_at, champion_sha256, challenger_sha256, card_sha256
            FROM rating_model ORDER BY state NOT IN ('proposed', 'serving'), state, made_at DESC LIMIT :limit"""),
        {"limit": limit},
    ).all())  # fmt: skip


def voices(session: Session) -> list[Any]:
    """Return what people said about learnt models, with their names, oldest first."""
    return list(session.execute(text(
        "SELECT v.model_id, v.voice, v.user_id, v.reason, v.said_at, person.display_name AS name FROM model_voice v "
        "LEFT JOIN user_account person ON person.id = v.user_id ORDER BY v.said_at, v.id"
    )).all())  # fmt: skip


def rated_by(session: Session) -> dict[str, int]:
    """Return how many parties' newest rating is of which model."""
    rows = session.execute(text(
        "SELECT model_version, count(*) FROM (SELECT DISTINCT ON (organisation_id) model_version FROM party_rating "
        "ORDER BY organisation_id, rated_at DESC, id DESC) AS newest GROUP BY 1"
    ))  # fmt: skip
    return {str(version): int(count) for version, count in rows}

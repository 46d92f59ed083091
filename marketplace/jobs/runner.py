"""Running one job: item by item, each in its own transaction, with the run and its failures on record."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from sqlalchemy import Connection, text

from marketplace.db import db
from marketplace.kernel.clock import business_date
from marketplace.kernel.errors import MarketplaceError
from marketplace.kernel.ids import new_id

log = logging.getLogger(__name__)


class Fenced(Exception):
    """Another scheduler was elected since: this one's runs no longer count."""


@dataclass(frozen=True)
class Job:
    """One row of the schedule: `items` finds what is to be done, `work` does one of them.

    `work` returns whether it did something. A daily job runs once per business date.
    """

    name: str
    seconds: int
    items: Callable[[], Iterable[UUID | None]]
    work: Callable[[UUID | None], object]
    daily: bool = False


def run_job(job: Job, token: int | None = None, *, zone: str = "UTC") -> int:
    """Run a job once and return how many items it did. `token` is the leader's; None for a run by hand.

    One item's failure is kept as a job failure and never stops the others.

    Raises: Fenced when the token is no longer the newest.
    """
    with db.engine.begin() as connection:
        today = business_date(connection.execute(text("SELECT market_now()")).scalar_one(), zone)
        if not _begin(connection, job, token, today):
            return 0
    done = failed = 0
    for item in job.items():
        try:
            done += bool(job.work(item))
            _clear_failure(job, item)
        except MarketplaceError as error:
            failed += 1
            _keep_failure(job, item, error.code, error.said())
        except Exception as error:  # the next item must still have its turn
            failed += 1
            log.exception("job %s failed on %s", job.name, item)
            _keep_failure(job, item, type(error).__name__, str(error)[:500])
        finally:
            db.session.remove()
    with db.engine.begin() as connection:
        _end(connection, job, today, done, failed)
    return done


def _begin(connection: Connection, job: Job, token: int | None, today: date) -> bool:
    newest = connection.execute(text("SELECT token FROM job_leader FOR SHARE")).scalar_one()
    if token is not None and token != newest:
        raise Fenced(job.name)
    if job.daily and token is not None:
        taken = connection.execute(
            text(
                "INSERT INTO job_run (job, business_on, token) VALUES (:job, :day, :token) "
                "ON CONFLICT (job, business_on) DO UPDATE SET token = excluded.token, started_at = market_now() "
                "WHERE job_run.finished_at IS NULL RETURNING job"
            ),
            {"job": job.name, "day": today, "token": newest},
        ).first()
        if taken is None:
            return False
    connection.execute(
        text(
            "INSERT INTO job_state (job, token, started_at) VALUES (:job, :token, market_now()) "
            "ON CONFLICT (job) DO UPDATE SET token = excluded.token, started_at = excluded.started_at, "
            "finished_at = NULL"
        ),
        {"job": job.name, "token": newest},
    )
    return True


def _end(connection: Connection, job: Job, today: date, done: int, failed: int) -> None:
    connection.execute(
        text(
            "UPDATE job_state SET finished_at = market_now(), rows = :done, rows_ever = rows_ever + :done, "
            "runs = runs + 1, failures = failures + :failed, "
            "worked_at = CASE WHEN :done > 0 THEN market_now() ELSE worked_at END, "
            "last_error = CASE WHEN :failed > 0 THEN last_error ELSE NULL END WHERE job = :job"
        ),
        {"job": job.name, "done": done, "failed": failed},
    )
    if job.daily:
        connection.execute(
            text("UPDATE job_run SET finished_at = market_now(), rows = :done WHERE job = :job AND business_on = :day"),
            {"job": job.name, "day": today, "done": done},
        )


def _keep_failure(job: Job, item: UUID | None, code: str, words: str) -> None:
    with db.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO job_failure (id, job, subject_id, code, words) VALUES (:id, :job, :item, :code, :words) "
                "ON CONFLICT (job, subject_id) WHERE cleared_at IS NULL DO UPDATE "
                "SET times = job_failure.times + 1, code = excluded.code, words = excluded.words, "
                "failed_at = market_now()"
            ),
            {"id": new_id(), "job": job.name, "item": item, "code": code, "words": words},
        )
        connection.execute(
            text("UPDATE job_state SET last_error = :words WHERE job = :job"), {"job": job.name, "words": words}
        )


def _clear_failure(job: Job, item: UUID | None) -> None:
    if not db.session.execute(
        text("SELECT 1 FROM job_failure WHERE job = :job AND subject_id IS NOT DISTINCT FROM :item "
             "AND cleared_at IS NULL"), {"job": job.name, "item": item}).first():  # fmt: skip
        return
    with db.engine.begin() as connection:
        connection.execute(
            text("UPDATE job_failure SET cleared_at = market_now() WHERE job = :job "
                 "AND subject_id IS NOT DISTINCT FROM :item AND cleared_at IS NULL"),
            {"job": job.name, "item": item},
        )  # fmt: skip



"""Running one job: item by item, each in its own transaction, with the run and its failures on record.

An idle run costs one statement beyond its own look-up and writes nothing: its counts are told every half minute.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, text

from marketplace.db import db, market_now
from marketplace.kernel.clock import business_date
from marketplace.kernel.errors import MarketplaceError
from marketplace.kernel.ids import new_id

log = logging.getLogger(__name__)
BATCH = 200  # items that a look-up is asked for
TELL_EVERY = timedelta(seconds=30)
LOOK_EVERY = timedelta(seconds=5)
WAIT_MAX = timedelta(minutes=15)


class Fenced(Exception):
    """Another scheduler was elected since: this one's runs no longer count."""


@dataclass(frozen=True)
class Job:
    """One row of the schedule: `items` finds at most so many of what is to be done, `work` does one of them.

    `work` returns how many things it did, or something true for one. A daily job runs once per business date; when
    something could not be done, its later ticks of the day try again. With `together` up to `together_max` items are
    done at once, in one transaction; a batch that fails is halved until what poisons it stands alone, for `work`.
    """

    name: str
    seconds: int
    items: Callable[[int], Iterable[UUID | None]]
    work: Callable[[UUID | None], object]
    daily: bool = False
    together: Callable[[list[UUID]], object] | None = None
    together_max: int = 1
    most: int = BATCH


@dataclass
class Teller:
    """What one scheduler has not yet written down about idle runs, and whether it was asked to stop."""

    stopping: Callable[[], bool] = lambda: False
    told_at: dict[str, datetime] = field(default_factory=dict)
    idle_runs: dict[str, int] = field(default_factory=dict)

    def may_keep_quiet(self, job: str, now: datetime) -> bool:
        """Count an idle run; return whether the database may learn of it later."""
        last = self.told_at.get(job)
        if last is None or abs(now - last) >= TELL_EVERY:
            return False
        self.idle_runs[job] = self.idle_runs.get(job, 0) + 1
        return True

    def told(self, job: str, now: datetime) -> int:
        """Note that a run is being written down; return how many untold ones go with it."""
        self.told_at[job] = now
        return self.idle_runs.pop(job, 0)


@dataclass
class Run:
    """One run while it goes on."""

    job: Job
    token: int | None
    newest: int
    started_at: datetime
    today: date
    open_failures: dict[UUID | None, tuple[datetime, int]]
    worth_telling: bool
    zone: str = "UTC"
    asked_for: bool = False  # a person asked for it: nothing waits, and a day that is over is gone through again
    done: int = 0
    failed: int = 0
    left: bool = False  # something is still to be done: a day's job is not over

    def waits(self, item: UUID | None) -> bool:
        """Say whether an item failed so lately, and so often, that it has to wait: 2, 4, 8 … seconds."""
        if self.token is None or self.asked_for or item not in self.open_failures:
            return False
        failed_at, times = self.open_failures[item]
        return failed_at <= self.started_at < failed_at + min(timedelta(seconds=2 ** min(times, 10)), WAIT_MAX)

    @property
    def over(self) -> bool:
        """Whether nothing of it is left for today."""
        return not self.failed and not self.left

    @property
    def next_at(self) -> datetime:
        """When it is due again: after its interval; a day's job that is over, when the next day begins."""
        soon = self.started_at + timedelta(seconds=self.job.seconds)
        if not (self.job.daily and self.over):
            return soon
        dawn = datetime.combine(self.today + timedelta(days=1), time(), ZoneInfo(self.zone)).astimezone(UTC)
        return max(soon, dawn)


def run_job(
    job: Job, token: int | None = None, *, zone: str = "UTC", teller: Teller | None = None, asked_for: bool = False
) -> int:
    """Run a job once and return how many things it did. `token` is the leader's; None for a run by hand.

    One item's failure is kept as a job failure and never stops the others; the item is tried again, later each time,
    or at once when a person `asked_for` the run.

    Raises: Fenced when the token is no longer the newest.
    """
    run = _open(job, token, zone)
    run.asked_for = asked_for
    if job.daily and token is not None and not _take_day(run):
        return 0
    items = _look_up(run)
    if any(item is not None for item in items):
        run.worth_telling = True
        _tell_start(run)
    _work_off(run, items, teller)
    if run.worth_telling or teller is None or not teller.may_keep_quiet(job.name, run.started_at):
        _tell_end(run, 1 + (teller.told(job.name, run.started_at) if teller else 0))
    return run.done


def _look_up(run: Run) -> list[UUID | None]:
    """Find what is to be done now. A failure of something that needs no doing any more is cleared."""
    asked = run.job.most + len(run.open_failures)  # what failed is found first: it must not fill the places of others
    try:
        found = list(run.job.items(asked))
    except Exception as error:  # a look-up that fails is a failure of the job as a whole
        _failed(run, None, error)
        return []
    finally:
        db.session.remove()
    if len(found) < asked:
        for item in run.open_failures.keys() - set(found):
            _clear_failure(run, item)
    ready = [item for item in found if not run.waits(item)]
    run.left = len(ready) < len(found) or len(found) >= asked
    return ready


def _open(job: Job, token: int | None, zone: str) -> Run:
    """Look once: who leads, what time it is, what failed before."""
    with db.engine.connect() as connection:
        rows = connection.execute(
            text(
                "SELECT token, market_now() AS now, f.id, f.subject_id, f.failed_at, f.times FROM job_leader "
                "LEFT JOIN job_failure f ON f.job = :job AND f.cleared_at IS NULL"
            ),
            {"job": job.name},
        ).all()
    first = rows[0]
    if token is not None and token != first.token:
        raise Fenced(job.name)
    failures = {row.subject_id: (row.failed_at, row.times) for row in rows if row.id is not None}
    return Run(job, token, first.token, first.now, business_date(first.now, zone), failures, job.daily, zone)


def _work_off(run: Run, items: list[UUID | None], teller: Teller | None) -> None:
    looked_at = run.started_at
    waiting = _batches(run, items)
    while waiting:
        batch = waiting.pop(0)
        if teller is not None and teller.stopping():
            run.left = True
            return
        if run.token is not None and batch != [None]:
            looked_at = _still_leading(run, looked_at)
        if len(batch) == 1:
            _work_one(run, batch[0])
        elif not _work_together(run, batch):
            middle = len(batch) // 2
            waiting[:0] = [batch[:middle], batch[middle:]]
    run.worth_telling = run.worth_telling or run.done > 0


def _batches(run: Run, items: list[UUID | None]) -> list[list[UUID | None]]:
    """Part the items into what is tried together; what failed before is tried alone, last."""
    most = run.job.together_max if run.job.together is not None else 1
    fresh = [item for item in items if most > 1 and item not in run.open_failures]
    alone = [[item] for item in items if most == 1 or item in run.open_failures]
    return [fresh[start : start + most] for start in range(0, len(fresh), most)] + alone


def _work_one(run: Run, item: UUID | None) -> None:
    try:
        result = run.job.work(item)
        run.done += result if type(result) is int else bool(result)
        if item in run.open_failures:
            _clear_failure(run, item)
    except Exception as error:  # the next item must still have its turn
        _failed(run, item, error)
    finally:
        db.session.remove()


def _work_together(run: Run, batch: list[UUID | None]) -> bool:
    """Do a batch in one transaction; return False when nothing of it was done."""
    assert run.job.together is not None
    try:
        run.job.together([item for item in batch if item is not None])
    except Exception as error:  # whose fault it is shows when the halves are tried
        code = error.code if isinstance(error, MarketplaceError) else type(error).__name__
        log.warning("job %s: a batch of %s failed (%s) and is halved", run.job.name, len(batch), code)
        return False
    finally:
        db.session.remove()
    run.done += len(batch)
    return True


def once(body: Callable[[], object]) -> tuple[Callable[[int], Iterable[UUID | None]], Callable[[UUID | None], object]]:
    """Return items and work of a job that is one call."""
    return (lambda _: [None]), (lambda _: body())


def _still_leading(run: Run, looked_at: datetime) -> datetime:
    """Look again, every few seconds, whether somebody else was elected while this run went on."""
    now = market_now(db.session())
    if abs(now - looked_at) < LOOK_EVERY:
        return looked_at
    if db.session.execute(text("SELECT token FROM job_leader")).scalar_one() != run.token:
        db.session.remove()
        raise Fenced(run.job.name)
    return now


def _take_day(run: Run) -> bool:
    """Take the business date of a daily job, or take over one that was never finished.

    A run of this date that began later than now was made while the clock was ahead: it does not count.
    """
    with db.engine.begin() as connection:
        taken = connection.execute(
            text(
                "INSERT INTO job_run (job, business_on, token) VALUES (:job, :day, :token) "
                "ON CONFLICT (job, business_on) DO UPDATE SET token = excluded.token, started_at = market_now() "
                "WHERE :asked_for OR job_run.finished_at IS NULL OR job_run.started_at > market_now() "
                "OR job_run.covered_by IS NOT NULL RETURNING job"
            ),
            {"job": run.job.name, "day": run.today, "token": run.newest, "asked_for": run.asked_for},
        ).first()
    return taken is not None


def _tell_start(run: Run) -> None:
    with db.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO job_state (job, token, started_at, every_seconds) VALUES (:job, :token, :at, :every) "
                "ON CONFLICT (job) DO UPDATE SET token = excluded.token, started_at = excluded.started_at, "
                "every_seconds = excluded.every_seconds, finished_at = NULL"
            ),
            {"job": run.job.name, "token": run.newest, "at": run.started_at, "every": run.job.seconds},
        )


def _tell_end(run: Run, runs: int) -> None:
    with db.engine.begin() as connection:
        told = connection.execute(
            text(
                "INSERT INTO job_state (job, token, started_at, finished_at, rows, rows_ever, runs, failures, "
                "every_seconds, next_at, worked_at) SELECT :job, :token, :at, market_now(), :done, :done, :runs, "
                ":failed, :every, :next, CASE WHEN :done > 0 THEN market_now() END FROM job_leader "
                "WHERE :by_hand OR token = :token ON CONFLICT (job) DO UPDATE SET "
                "every_seconds = excluded.every_seconds, next_at = excluded.next_at, "
                "token = excluded.token, started_at = excluded.started_at, finished_at = excluded.finished_at, "
                "rows = CASE WHEN :done > 0 THEN :done ELSE job_state.rows END, "
                "rows_ever = job_state.rows_ever + :done, runs = job_state.runs + :runs, "
                "failures = job_state.failures + :failed, "
                "worked_at = coalesce(excluded.worked_at, job_state.worked_at), "
                "last_error = CASE WHEN EXISTS (SELECT FROM job_failure WHERE job = :job AND cleared_at IS NULL) "
                "THEN job_state.last_error END"
            ),
            {"job": run.job.name, "token": run.newest, "at": run.started_at, "done": run.done, "runs": runs,
             "failed": run.failed, "every": run.job.seconds, "next": run.next_at, "by_hand": run.token is None},
        )  # fmt: skip
        if told.rowcount == 0:  # another was elected while this one slept: its word does not count
            raise Fenced(run.job.name)
        if run.job.daily and run.over:
            _end_day(connection, run)


def _end_day(connection: Connection, run: Run) -> None:
    connection.execute(
        text(
            "UPDATE job_run SET finished_at = market_now(), rows = :done, covered_by = NULL "
            "WHERE job = :job AND business_on = :day AND (finished_at IS NULL OR started_at >= :at)"
        ),
        {"job": run.job.name, "day": run.today, "done": run.done, "at": run.started_at},
    )
    connection.execute(  # a day's job works on whatever is due by now, so it has done the days nobody was there as well
        text(
            "INSERT INTO job_run (job, business_on, token, finished_at, rows, covered_by) "
            "SELECT :job, CAST(:day AS date) - back, :token, market_now(), 0, :day FROM generate_series(1, "
            "(SELECT CAST(:day AS date) - max(business_on) - 1 FROM job_run WHERE job = :job AND business_on < :day)) "
            "AS back ON CONFLICT DO NOTHING"
        ),
        {"job": run.job.name, "day": run.today, "token": run.newest},
    )


def _failed(run: Run, item: UUID | None, error: Exception) -> None:
    run.failed += 1
    run.worth_telling = True
    if isinstance(error, MarketplaceError):
        code, words = error.code, error.said()
    else:
        code, words = type(error).__name__, str(error)[:500]
        log.exception("job %s failed on %s", run.job.name, item, exc_info=error)
    db.session.rollback()
    _keep_failure(run, item, code, words)


def _keep_failure(run: Run, item: UUID | None, code: str, words: str) -> None:
    with db.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO job_failure (id, job, subject_id, code, words) VALUES (:id, :job, :item, :code, :words) "
                "ON CONFLICT (job, subject_id) WHERE cleared_at IS NULL DO UPDATE "
                "SET times = job_failure.times + 1, code = excluded.code, words = excluded.words, "
                "failed_at = market_now()"
            ),
            {"id": new_id(), "job": run.job.name, "item": item, "code": code, "words": words},
        )
        connection.execute(
            text(
                "INSERT INTO job_state (job, token, started_at, last_error) VALUES (:job, :token, :at, :words) "
                "ON CONFLICT (job) DO UPDATE SET last_error = excluded.last_error"
            ),
            {"job": run.job.name, "token": run.newest, "at": run.started_at, "words": words},
        )


def _clear_failure(run: Run, item: UUID | None) -> None:
    run.worth_telling = True
    with db.engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE job_failure SET cleared_at = market_now() WHERE job = :job "
                "AND subject_id IS NOT DISTINCT FROM :item AND cleared_at IS NULL"
            ),
            {"job": run.job.name, "item": item},
        )

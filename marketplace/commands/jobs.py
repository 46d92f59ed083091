"""`bin/market jobs`: what runs on the clock, when it last ran and runs next, and asking for one again."""

import click
from sqlalchemy import text

from marketplace.app import create_app
from marketplace.commands.output import as_json_option, emit
from marketplace.db import db
from marketplace.jobs import wishes
from marketplace.kernel.actors import Actor
from marketplace.reports import operations

COLUMNS = ("job", "last_run", "next_run", "rows", "failures", "failing", "last_error")


@click.command("jobs")
@click.option("--again", "again", metavar="JOB", help="Ask whoever keeps time to run this job now, failures included.")
@as_json_option
def command(again: str | None, as_json: bool) -> None:
    """Print every job with its last and next run, the rows of the last run that did something, and its failures.

    `failing` counts what a job could not do and has not done since. Exits 1 when JOB is none of the clock's.
    """
    with create_app().app_context():
        if again is not None:
            wishes.again(again, Actor.system("console"))
        session = db.session()
        counted = text("SELECT job, count(*) AS n FROM job_failure WHERE cleared_at IS NULL GROUP BY job")
        failing = {row.job: row.n for row in session.execute(counted)}
        emit(
            [
                {"job": row.name, "every_seconds": row.every_seconds, "last_run": row.started_at,
                 "finished_at": row.finished_at, "worked_at": row.worked_at, "next_run": row.next_at,
                 "rows": row.rows, "rows_ever": row.rows_ever, "runs": row.runs, "failures": row.failures,
                 "failing": failing.get(row.name, 0), "asked_for_at": row.wished_at, "last_error": row.last_error}
                for row in operations.jobs(session)
            ],
            as_json, COLUMNS,
        )  # fmt: skip

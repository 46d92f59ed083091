"""What a bad clock, a long pause and too many schedulers do to the jobs: nothing twice, nothing skipped."""

import json
import signal
import threading
import time
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
import pytest
from apscheduler.schedulers.background import BackgroundScheduler
from click.testing import CliRunner
from flask import Flask
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import DBAPIError

from config.settings import sqlalchemy_url
from marketplace.commands import jobs as command
from marketplace.db import db
from marketplace.embedded_postgres import EmbeddedPostgres
from marketplace.jobs.leader import Leadership, sign_connections
from marketplace.jobs.runner import Job, run_job
from marketplace.jobs.schedule import Steps, bring_forward
from marketplace.jobs.wishes import again, take_wishes
from marketplace.kernel.actors import Actor
from marketplace.kernel.clock import utc_now
from marketplace.kernel.errors import Conflict, NotFound
from marketplace.kernel.ids import new_id
from marketplace.reports import operations
from tests.conftest import APPLICATION
from tests.jobs.test_leader import Starter, engines, scheduler, wait_for
from tests.jobs.test_runner import Work, leader, listed, row
from tests.trading.world import World

__all__ = ["engines", "scheduler"]
pytestmark = pytest.mark.usefixtures("context")
ZONE = "Europe/London"


def at(world: World, instant: str) -> None:
    """Set the market's clock."""
    with world.superuser() as owner:
        owner.execute("UPDATE clock_shift SET shift = CAST(%s AS timestamptz) - clock_timestamp()", (instant,))


def days() -> list[tuple[date, date | None]]:
    db.session.rollback()
    found = db.session.execute(text("SELECT business_on, covered_by FROM job_run ORDER BY business_on"))
    return [(run.business_on, run.covered_by) for run in found]


def a_days_job() -> tuple[Job, Work]:
    work = Work()
    return Job("daily", 3_600, listed(new_id()), work, daily=True), work


@pytest.mark.parametrize(
    ("instants", "dates"),
    [
        (  # summer time begins: the hour from one to two is missing
            ("2031-03-29T23:30Z", "2031-03-30T00:30Z", "2031-03-30T01:30Z", "2031-03-30T22:59Z", "2031-03-30T23:00Z"),
            ("2031-03-29", "2031-03-30", "2031-03-31"),
        ),
        (  # it ends: the hour comes twice, and so does half past one
            ("2031-10-25T22:59Z", "2031-10-25T23:00Z", "2031-10-26T00:30Z", "2031-10-26T01:30Z", "2031-10-27T00:00Z"),
            ("2031-10-25", "2031-10-26", "2031-10-27"),
        ),
        (
            ("2032-02-28T12:00Z", "2032-02-29T00:00Z", "2032-02-29T23:59Z", "2032-03-01T00:00Z"),
            ("2032-02-28", "2032-02-29", "2032-03-01"),
        ),
    ],
    ids=["spring", "autumn", "leap day"],
)
def test_a_days_job_runs_once_on_every_date_of_a_crooked_week(
    world: World, instants: tuple[str, ...], dates: tuple[str, ...]
) -> None:
    job, work = a_days_job()
    for instant in instants:
        at(world, instant)
        for _ in range(2):
            run_job(job, leader(), zone=ZONE)
    assert days() == [(date.fromisoformat(day), None) for day in dates]
    assert len(work.did) == len(dates)


def test_after_days_of_downtime_one_run_does_them_all_and_each_is_on_record(world: World) -> None:
    job, work = a_days_job()
    at(world, "2032-02-26T09:00Z")
    run_job(job, leader(), zone=ZONE)
    at(world, "2032-03-02T09:00Z")
    run_job(job, leader(), zone=ZONE)
    today = date(2032, 3, 2)
    missed = [(date(2032, 2, day), today) for day in (27, 28, 29)] + [(date(2032, 3, 1), today)]
    assert days() == [(date(2032, 2, 26), None), *missed, (today, None)]
    assert len(work.did) == 2
    assert operations.jobs(db.session(), ["daily"])[0].covered == 4


def test_a_clock_that_was_ahead_costs_no_day(world: World) -> None:
    job, work = a_days_job()
    at(world, "2031-06-02T09:00Z")
    run_job(job, leader(), zone=ZONE)
    at(world, "2031-06-03T09:00Z")  # a day ahead, by mistake
    run_job(job, leader(), zone=ZONE)
    at(world, "2031-06-02T09:05Z")  # set right: today was done
    assert run_job(job, leader(), zone=ZONE) == 0
    at(world, "2031-06-03T00:10Z")  # and tomorrow is not, though a run of it is on record
    assert run_job(job, leader(), zone=ZONE) == 1
    assert run_job(job, leader(), zone=ZONE) == 0
    assert len(work.did) == 3


def test_a_failure_from_the_future_waits_for_nothing(world: World) -> None:
    bad = new_id()
    job = Job("try", 1, listed(bad), Work(bad))
    run_job(job, leader())
    world.move_clock(timedelta(hours=-1))
    run_job(job, leader())
    assert row("SELECT times FROM job_failure").times == 2


def test_the_next_run_is_told(world: World) -> None:
    at(world, "2031-06-02T09:00Z")
    job, _ = a_days_job()
    run_job(job, leader(), zone=ZONE)
    told = row("SELECT every_seconds, next_at FROM job_state")
    assert (told.every_seconds, told.next_at) == (3_600, datetime(2031, 6, 2, 23, tzinfo=UTC))  # midnight in London
    assert operations.jobs(db.session(), ["daily"])[0].next_at is None  # nobody keeps time
    bad = new_id()
    run_job(Job("daily", 3_600, listed(bad), Work(bad), daily=True), None, zone=ZONE)
    assert row("SELECT next_at - started_at AS wait FROM job_state").wait == timedelta(hours=1)


# -- the machine's own clock --------------------------------------------------------------------------------------


def test_a_clock_that_was_set_is_noticed_and_one_that_runs_is_not() -> None:
    began = datetime(2031, 6, 2, tzinfo=UTC)
    steps = Steps(began, 100.0)
    assert not steps.stepped(began + timedelta(seconds=1), 101.0)
    assert not steps.stepped(began + timedelta(seconds=900), 1_000.0)  # suspended, but both went on
    assert steps.stepped(began + timedelta(seconds=901, days=-1), 1_001.0)
    assert not steps.stepped(began + timedelta(seconds=902, days=-1), 1_002.0)
    assert steps.stepped(began + timedelta(seconds=903), 1_003.0)


def test_no_job_waits_for_an_hour_that_was_set_back() -> None:
    clock = BackgroundScheduler(timezone="UTC")
    clock.start(paused=True)
    clock.add_job(print, "interval", seconds=1, next_run_time=utc_now() + timedelta(days=1))
    bring_forward(clock)
    assert clock.get_jobs()[0].next_run_time <= utc_now()
    clock.shutdown(wait=False)


# -- several schedulers -------------------------------------------------------------------------------------------


def test_of_five_at_once_one_leads(postgres: EmbeddedPostgres, database: str) -> None:
    made = [create_engine(sqlalchemy_url(postgres.url(database, APPLICATION))) for _ in range(5)]
    sought = [Leadership(engine) for engine in made]
    led: list[bool] = []
    start = threading.Barrier(5)

    def seek(one: Leadership) -> None:
        start.wait()
        led.append(one.seek())

    threads = [threading.Thread(target=seek, args=(one,)) for one in sought]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(led) == [False, False, False, False, True]
    for one, engine in zip(sought, made, strict=True):
        one.resign()
        engine.dispose()


def test_a_silent_leader_is_cut_off_with_all_it_holds(world: World, engines: tuple[Engine, Engine]) -> None:
    sign_connections(engines[0])
    first, second = Leadership(engines[0]), Leadership(engines[1])
    assert first.seek()
    half_way = engines[0].connect()
    half_way.execute(text("INSERT INTO job_state (job, token) VALUES ('stuck', 1)"))
    assert second.seek() is False  # the first spoke a moment ago
    with world.superuser() as owner:
        owner.execute("UPDATE job_leader SET seen_at = seen_at - interval '10 minutes'")
    until = time.monotonic() + 20  # not at once: the lock may have been taken this moment
    while not second.seek() and time.monotonic() < until:
        time.sleep(0.1)
    assert (first.seek(), first.token, second.token) == (False, None, 2)
    with engines[1].begin() as connection:  # nobody keeps it from this row any more
        connection.execute(text("SET LOCAL lock_timeout = 3000"))
        connection.execute(text("INSERT INTO job_state (job, token) VALUES ('stuck', 2)"))
    with pytest.raises(DBAPIError):
        half_way.execute(text("SELECT 1"))
    half_way.invalidate()
    half_way.close()
    second.resign()


def test_a_leader_whose_token_is_old_resigns_at_its_next_word(engines: tuple[Engine, Engine]) -> None:
    first = Leadership(engines[0])
    assert first.seek()
    with db.engine.begin() as connection:
        connection.execute(text("UPDATE job_leader SET token = token + 1"))
    first._beat -= 60
    assert first.seek() is False


@pytest.mark.slow
def test_a_leader_stopped_for_ten_minutes_and_woken_is_fenced(world: World, scheduler: Starter) -> None:
    stopped = scheduler()
    wait_for("SELECT count(*) FROM job_state WHERE token = 1 AND finished_at IS NOT NULL")
    stopped.send_signal(signal.SIGSTOP)
    with world.superuser() as owner:
        owner.execute("UPDATE job_leader SET seen_at = seen_at - interval '10 minutes'")
    scheduler()
    wait_for("SELECT count(*) FROM job_state WHERE job = 'close_lots' AND token = 2 AND finished_at IS NOT NULL")
    stopped.send_signal(signal.SIGCONT)
    world.move_clock(timedelta(minutes=1))  # idle runs are told again
    wait_for("SELECT count(*) FROM job_state WHERE job = 'open_lots' AND token = 2 AND runs > 1")
    assert row("SELECT token, count(*) OVER () FROM job_leader") == (2, 1)
    assert row("SELECT count(*) AS n FROM job_state WHERE token = 1 AND finished_at > "
               "(SELECT since FROM job_leader)").n == 0  # fmt: skip
    assert stopped.poll() is None  # it stands by


# -- run again ----------------------------------------------------------------------------------------------------


@pytest.fixture
def known(world: World) -> Job:
    """A job the clock has told of."""
    job = Job("try", 1, listed(), Work())
    run_job(job)
    return job


def test_a_wish_is_taken_once_and_only_by_the_newest_token(world: World, known: Job) -> None:
    again("try", world.olga)
    with pytest.raises(Conflict) as refused:
        again("try", world.olga)
    assert refused.value.code == "wished_already"
    assert operations.jobs(db.session(), ["try"])[0].wished_at is not None
    assert take_wishes(db.engine, leader() - 1) == []
    assert (take_wishes(db.engine, leader()), take_wishes(db.engine, leader())) == (["try"], [])
    again("try", Actor.system("console"))
    assert row("SELECT count(*) AS n FROM event WHERE verb = 'run_job_again'").n == 2


def test_two_who_both_think_they_lead_share_wishes_out(world: World, known: Job) -> None:
    again("try", world.olga)
    taken: list[list[str]] = []
    token = leader()
    engine = db.engine
    threads = [threading.Thread(target=lambda: taken.append(take_wishes(engine, token))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(taken) == [[], ["try"]]


def test_nobody_wishes_for_a_job_that_is_none(world: World) -> None:
    with pytest.raises(NotFound) as refused:
        again("make_coffee", world.olga)
    assert refused.value.code == "no_such_job"


def test_what_a_person_asked_for_waits_for_nothing(world: World) -> None:
    bad = new_id()
    work = Work(bad)
    job = Job("daily", 1, listed(bad), work, daily=True)
    run_job(job, leader())
    run_job(job, leader())
    assert row("SELECT times FROM job_failure").times == 1
    work.poisoned.clear()
    assert run_job(job, leader(), asked_for=True) == 1
    assert run_job(job, leader()) == 0
    assert run_job(job, leader(), asked_for=True) == 1  # over for today, and gone through again
    assert len(days()) == 1


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE job_wish SET token = 1",
        "UPDATE job_wish SET taken_at = market_now()",
        "DELETE FROM job_wish",
        "INSERT INTO job_run (job, business_on, token, covered_by) VALUES ('x', '2031-01-02', 1, '2031-01-03')",
        "INSERT INTO job_run VALUES ('x', '2031-01-02', 1, market_now(), market_now(), 0, '2031-01-01')",
    ],
)
def test_the_database_refuses(world: World, known: Job, statement: str) -> None:
    again("try", world.olga)
    with world.superuser(resting=False) as owner, pytest.raises(psycopg.Error, match=r"ck_job|is refused"):
        owner.execute(statement)


def test_the_command_prints_every_job_and_asks_for_one(app: Flask, world: World, known: Job, monkeypatch: Any) -> None:
    monkeypatch.setattr(command, "create_app", lambda: app)
    said = CliRunner().invoke(command.command, ["--again", "try", "--json"])
    assert said.exit_code == 0, said.output
    (told,) = [json.loads(line) for line in said.stdout.splitlines()]
    assert told["job"] == "try"
    assert (told["rows"], told["failures"], told["failing"], told["next_run"]) == (0, 0, 0, None)
    assert told["last_run"] is not None
    assert told["asked_for_at"] is not None
    print_ = CliRunner().invoke(command.command, [])
    assert print_.stdout.split()[:3] == ["job", "last_run", "next_run"]

"""Jobs: item by item, failures kept and cleared, daily ones once a day, late leaders refused, idle ones cheap."""

from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import event as sql_event
from sqlalchemy import text

from marketplace.db import db
from marketplace.jobs.runner import Fenced, Job, Teller, once, run_job
from marketplace.jobs.schedule import JOBS
from marketplace.jobs.schedule import job as named
from marketplace.kernel.errors import RuleBroken
from marketplace.kernel.ids import new_id
from marketplace.reports import operations
from marketplace.web.operator import JOB_NAMES
from tests import lives
from tests.trading.world import World

pytestmark = pytest.mark.usefixtures("context")


def row(statement: str, **values: Any) -> Any:
    db.session.rollback()
    return db.session.execute(text(statement), values).one_or_none()


def leader() -> int:
    token: int = row("SELECT token FROM job_leader").token
    return token


def listed(*items: UUID) -> Any:
    return lambda _: list(items)


class Work:
    """Does what it is told, but for the poisoned ones."""

    def __init__(self, *poisoned: UUID) -> None:
        self.poisoned = set(poisoned)
        self.did: list[UUID | None] = []

    def __call__(self, item: UUID | None) -> bool:
        if item in self.poisoned:
            raise RuleBroken("too_early", "Not before %(day)s.", {"day": "Monday"})
        self.did.append(item)
        return True


def test_one_poisoned_item_does_not_stop_the_others_and_is_cleared_when_done(context: Flask) -> None:
    first, bad, last = new_id(), new_id(), new_id()
    work = Work(bad)
    job = Job("try", 1, listed(first, bad, last), work)
    assert run_job(job) == 2
    assert work.did == [first, last]
    kept = row("SELECT subject_id, code, words, times, cleared_at FROM job_failure")
    assert (kept.subject_id, kept.code, kept.words, kept.times) == (bad, "too_early", "Not before Monday.", 1)
    state = row("SELECT rows, failures, last_error, finished_at FROM job_state")
    assert (state.rows, state.failures, state.last_error) == (2, 1, "Not before Monday.")
    run_job(job)
    assert row("SELECT times FROM job_failure").times == 2
    work.poisoned.clear()
    assert run_job(job) == 3
    assert row("SELECT cleared_at FROM job_failure").cleared_at is not None
    assert row("SELECT last_error FROM job_state").last_error is None


def test_a_failure_of_what_needs_no_doing_any_more_is_cleared(context: Flask) -> None:
    bad = new_id()
    run_job(Job("try", 1, listed(bad), Work(bad)))
    run_job(Job("try", 1, listed(), Work()))
    assert row("SELECT cleared_at FROM job_failure").cleared_at is not None


def test_what_keeps_failing_does_not_fill_the_places_of_others(context: Flask) -> None:
    bad, good = [new_id(), new_id()], new_id()
    work = Work(*bad)
    job = Job("try", 1, lambda most: [*bad, good][:most], work, most=2)
    run_job(job)
    assert work.did == []
    run_job(job)
    assert work.did == [good]


def test_an_unforeseen_error_is_kept_too(context: Flask) -> None:
    def broken(_: UUID | None) -> None:
        raise ZeroDivisionError("by nothing")

    assert run_job(Job("try", 1, listed(new_id()), broken)) == 0
    assert row("SELECT code, words FROM job_failure") == ("ZeroDivisionError", "by nothing")


def test_a_look_up_that_fails_is_kept_and_cleared(context: Flask) -> None:
    def broken(_: int) -> Iterable[UUID | None]:
        db.session.execute(text("SELECT nothing_of_the_kind"))
        return []

    assert run_job(Job("try", 1, broken, Work())) == 0
    assert "nothing_of_the_kind" in row("SELECT words FROM job_failure").words
    run_job(Job("try", 1, listed(), Work()))
    assert row("SELECT cleared_at FROM job_failure").cleared_at is not None


def test_a_failing_item_waits_longer_each_time(world: World) -> None:
    bad = new_id()
    work = Work(bad)
    job = Job("try", 1, listed(bad), work)
    for _ in range(5):
        run_job(job, leader())
    assert row("SELECT times FROM job_failure").times == 1
    world.move_clock(timedelta(seconds=3))
    run_job(job, leader())
    assert row("SELECT times FROM job_failure").times == 2
    world.move_clock(timedelta(hours=1))
    run_job(job, leader())
    assert row("SELECT times FROM job_failure").times == 3


def test_a_job_that_is_one_call_tells_how_many_it_did(context: Flask) -> None:
    counts = iter((7, 0, 2))
    job = Job("try", 1, *once(lambda: next(counts)))
    assert [run_job(job), run_job(job), run_job(job)] == [7, 0, 2]
    assert row("SELECT rows, rows_ever, runs FROM job_state") == (2, 9, 3)


def test_a_late_leader_is_refused(context: Flask) -> None:
    old = leader()
    with db.engine.begin() as connection:
        connection.execute(text("UPDATE job_leader SET token = token + 1"))
    work = Work()
    with pytest.raises(Fenced):
        run_job(Job("try", 1, listed(new_id()), work), old)
    assert work.did == []


def test_a_leader_that_was_stopped_in_the_middle_of_a_run_does_no_further_item(world: World) -> None:
    done: list[UUID | None] = []

    def slow(item: UUID | None) -> bool:
        done.append(item)
        with db.engine.begin() as connection:  # while this one slept, another was elected
            connection.execute(text("UPDATE job_leader SET token = token + 1"))
        world.move_clock(timedelta(minutes=10))
        return True

    with pytest.raises(Fenced):
        run_job(Job("try", 1, listed(new_id(), new_id(), new_id()), slow), leader())
    assert len(done) == 1


def test_a_run_that_ends_after_another_election_does_not_tell_its_end(world: World) -> None:
    def slow(item: UUID | None) -> bool:
        with db.engine.begin() as connection:
            connection.execute(text("UPDATE job_leader SET token = token + 1"))
        return True

    with pytest.raises(Fenced):
        run_job(Job("daily", 1, listed(new_id()), slow, daily=True), leader())
    assert row("SELECT finished_at FROM job_state").finished_at is None
    assert row("SELECT finished_at FROM job_run").finished_at is None


def test_a_daily_job_runs_once_a_business_date_whoever_starts_it(world: World) -> None:
    job = Job("daily", 1, listed(new_id()), Work(), daily=True)
    assert run_job(job, leader()) == 1
    with db.engine.begin() as connection:
        connection.execute(text("UPDATE job_leader SET token = token + 1"))
    assert run_job(job, leader()) == 0
    world.move_clock(timedelta(days=1))
    assert run_job(job, leader()) == 1
    assert row("SELECT count(*) AS n FROM job_run WHERE finished_at IS NOT NULL").n == 2


def test_a_daily_job_that_died_half_way_is_taken_over(context: Flask) -> None:
    first, second = new_id(), new_id()
    done: list[UUID | None] = []

    def dies(item: UUID | None) -> bool:
        done.append(item)
        if len(done) == 1:
            raise SystemExit  # as if the process were killed
        return True

    job = Job("daily", 1, lambda _: [i for i in (first, second) if i not in done], dies, daily=True)
    with pytest.raises(SystemExit):
        run_job(job, leader())
    assert row("SELECT finished_at FROM job_run").finished_at is None
    with db.engine.begin() as connection:
        connection.execute(text("UPDATE job_leader SET token = token + 1"))
    assert run_job(job, leader()) == 1
    assert done == [first, second]
    assert row("SELECT finished_at FROM job_run").finished_at is not None
    assert run_job(job, leader()) == 0


def test_a_daily_job_with_a_failure_tries_again_the_same_day(world: World) -> None:
    bad = new_id()
    work = Work(bad)
    job = Job("daily", 1, listed(bad), work, daily=True)
    assert run_job(job, leader()) == 0
    work.poisoned.clear()
    world.move_clock(timedelta(minutes=16))
    assert run_job(job, leader()) == 1


def test_a_daily_job_that_was_stopped_half_way_is_not_over(context: Flask) -> None:
    first, second = new_id(), new_id()
    work = Work()
    stops = iter([False, True])
    job = Job("daily", 1, listed(first, second), work, daily=True)
    assert run_job(job, leader(), teller=Teller(lambda: next(stops))) == 1
    assert row("SELECT finished_at FROM job_run").finished_at is None
    assert run_job(job, leader()) == 2


def test_a_daily_job_is_not_over_while_something_that_failed_waits_its_turn(context: Flask) -> None:
    bad = new_id()
    job = Job("daily", 1, listed(bad), Work(bad), daily=True)
    run_job(job, leader())
    run_job(job, leader())
    assert row("SELECT finished_at FROM job_run").finished_at is None


def test_the_business_date_is_the_markets_own(world: World) -> None:
    job = Job("daily", 1, listed(new_id()), Work(), daily=True)
    with world.superuser() as owner:
        owner.execute("UPDATE clock_shift SET shift = timestamptz '2031-06-30 23:30:00Z' - clock_timestamp()")
    run_job(job, leader(), zone="Europe/London")
    assert row("SELECT business_on FROM job_run").business_on == date(2031, 7, 1)


def test_an_idle_tick_writes_nothing_and_asks_little(context: Flask) -> None:
    teller = Teller()
    job = Job("idle", 1, lambda _: [r.id for r in db.session.execute(text("SELECT id FROM lot WHERE false"))], Work())
    run_job(job, leader(), teller=teller)
    said: list[str] = []
    sql_event.listen(db.engine, "before_cursor_execute", lambda *args: said.append(args[2]))
    for _ in range(10):
        run_job(job, leader(), teller=teller)
    ours = [statement for statement in said if not statement.startswith("SELECT token FROM job_leader")]
    assert len(ours) == 20
    assert all(statement.startswith("SELECT") for statement in ours)
    assert row("SELECT runs FROM job_state").runs == 1


def test_idle_runs_are_told_in_the_end(world: World) -> None:
    teller = Teller()
    job = Job("idle", 1, listed(), Work())
    for _ in range(4):
        run_job(job, leader(), teller=teller)
    world.move_clock(timedelta(minutes=1))
    run_job(job, leader(), teller=teller)
    assert row("SELECT runs FROM job_state").runs == 5


def test_a_stop_is_heard_between_two_items(context: Flask) -> None:
    done: list[UUID | None] = []

    def work(item: UUID | None) -> bool:
        done.append(item)
        return True

    teller = Teller(stopping=lambda: bool(done))
    assert run_job(Job("try", 1, listed(new_id(), new_id()), work), leader(), teller=teller) == 1


def test_a_daily_job_that_was_stopped_half_way_goes_on_the_same_day(context: Flask) -> None:
    first, second = new_id(), new_id()
    work = Work()
    job = Job("daily", 1, lambda _: [i for i in (first, second) if i not in work.did], work, daily=True)
    assert run_job(job, leader(), teller=Teller(stopping=lambda: bool(work.did))) == 1
    assert row("SELECT finished_at FROM job_run").finished_at is None
    assert run_job(job, leader()) == 1
    assert row("SELECT finished_at FROM job_run").finished_at is not None


def test_a_daily_job_is_not_over_while_something_waits_to_be_tried_again(world: World) -> None:
    work = Work(new_id())
    job = Job("daily", 1, listed(*work.poisoned), work, daily=True)
    run_job(job, leader())
    run_job(job, leader())  # it failed so lately that it is not even tried
    assert row("SELECT finished_at FROM job_run").finished_at is None


def test_the_schedule_lists_every_job_once_and_the_page_shows_them_all() -> None:
    names = [job.name for job in JOBS]
    assert len(names) == len(set(names))
    assert sorted(JOB_NAMES) == sorted(names)
    assert all(job.seconds >= 1 for job in JOBS)
    assert {job.name for job in JOBS if job.daily} == {
        "age_receivables", "learn_model", "learn_payments", "rerate_parties", "watch_ratings"}  # fmt: skip


def test_every_job_runs_on_an_empty_market_and_finds_nothing(context: Flask) -> None:
    for job in JOBS:
        if job.name != "reconcile":  # asks the provider
            run_job(job)
    db.session.rollback()
    assert operations.failures(db.session()) == []


def test_a_life_runs_by_its_jobs_alone(world: World) -> None:
    lot = lives.accepted(world)
    assert run_job(named("settle_awards"), leader()) == 1
    receivable_id = lives.collection_of_lot(lot).receivable_id
    lives.received(world, receivable_id, 1_000)
    assert run_job(named("apply_payments"), leader()) == 1
    lives.on_day(world, receivable_id, 90)
    assert run_job(named("age_receivables"), leader(), zone="Europe/London") == 1
    assert lives.collection(receivable_id).state == "defaulted"
    assert run_job(named("age_receivables"), leader(), zone="Europe/London") == 0


def test_money_that_nobody_is_owed_waits_without_stopping_other_money(world: World) -> None:
    lost = lives.received(world, world.receivable(), 700)
    receivable_id = lives.funded(world)
    lives.received(world, receivable_id, 1_000)
    assert run_job(named("apply_payments"), leader()) == 1
    assert row("SELECT subject_id, code FROM job_failure") == (lost, "nothing_owed")
    assert lives.collection(receivable_id).state == "paid_in_part"

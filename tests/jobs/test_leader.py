"""One scheduler counts at a time; elections leave tokens behind; a killed scheduler is replaced."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from flask import Flask
from sqlalchemy import Engine, create_engine, text

from config.settings import sqlalchemy_url
from marketplace.db import db
from marketplace.embedded_postgres import EmbeddedPostgres
from marketplace.jobs.leader import Leadership
from tests.conftest import APPLICATION
from tests.trading.world import libpq

Starter = Callable[[], "subprocess.Popen[bytes]"]
HOUSE = Path(__file__).resolve().parents[2]


@pytest.fixture
def engines(context: Flask, postgres: EmbeddedPostgres, database: str) -> Iterator[tuple[Engine, Engine]]:
    """Two engines on one database, as two processes have them."""
    made = [create_engine(sqlalchemy_url(postgres.url(database, APPLICATION))) for _ in range(2)]
    yield made[0], made[1]
    for engine in made:
        engine.dispose()


def test_of_two_one_leads_and_the_other_takes_over(engines: tuple[Engine, Engine]) -> None:
    first, second = Leadership(engines[0]), Leadership(engines[1])
    assert (first.seek(), second.seek()) == (True, False)
    assert (first.seek(), first.token, second.token) == (True, 1, None)
    first.resign()
    assert (second.seek(), second.token) == (True, 2)
    assert first.seek() is False
    second.resign()
    first.resign()


def test_a_leader_whose_connection_breaks_stops_leading(
    engines: tuple[Engine, Engine], postgres: EmbeddedPostgres, database: str
) -> None:
    first, second = Leadership(engines[0]), Leadership(engines[1])
    assert first.seek()
    with psycopg.connect(libpq(postgres.url(database))) as superuser:
        superuser.execute(  # of this test's database alone: others run on the same server
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' "
            "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
    assert second.seek()
    assert first.seek() is False
    assert (first.token, second.token) == (None, 2)
    assert first.seek() is False  # it tries again, and the lock is another's
    second.resign()
    first.resign()


def test_a_database_that_is_away_is_no_error(postgres: EmbeddedPostgres, database: str) -> None:
    away = create_engine(sqlalchemy_url(postgres.url("nowhere_to_be_found", APPLICATION)))
    assert Leadership(away).seek() is False
    away.dispose()


@pytest.fixture
def scheduler(app: Flask, postgres: EmbeddedPostgres, database: str) -> Iterator[Starter]:
    """Start real scheduler processes on the test's database."""
    started: list[subprocess.Popen[bytes]] = []
    settings = app.extensions["duebill"].settings
    environment = os.environ | {
        "DUEBILL_HOME": str(settings.home), "DATABASE_URL": postgres.url(database, "duebill_worker"),
        "SECRET_KEY": "of the tests", "DUEBILL_PEPPER": "of the tests", "STRIPE_API_BASE": "http://127.0.0.1:9",
        "STRIPE_WEBHOOK_SECRET": "whsec_of_the_tests",
    }  # fmt: skip

    def start() -> "subprocess.Popen[bytes]":
        process = subprocess.Popen(
            [sys.executable, "-m", "marketplace", "scheduler"], cwd=HOUSE, env=environment, stderr=subprocess.PIPE
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def wait_for(statement: str, seconds: float = 60) -> None:
    """Wait until a statement counts something."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with db.engine.connect() as connection:
            if connection.execute(text(statement)).scalar_one():
                return
        time.sleep(0.2)
    pytest.fail(f"never came true: {statement}")


@pytest.mark.slow
def test_a_killed_scheduler_is_replaced_and_one_that_is_asked_ends_at_once(context: Flask, scheduler: Starter) -> None:
    first = scheduler()
    wait_for("SELECT count(*) FROM job_state WHERE token = 1 AND finished_at IS NOT NULL")
    second = scheduler()  # waits, and leads as soon as the first is gone
    first.kill()
    first.wait(10)
    wait_for("SELECT count(*) FROM job_state WHERE job = 'close_lots' AND token = 2 AND finished_at IS NOT NULL")
    began = time.monotonic()
    second.send_signal(signal.SIGTERM)
    assert second.wait(10) == 0
    assert time.monotonic() - began < 4  # two seconds of its own, and a busy machine

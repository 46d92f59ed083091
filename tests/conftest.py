"""What every test may ask for: a PostgreSQL, a fresh database, the application, a browser, the shared data."""

import contextvars
import gc
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import settings as hypothesis_settings
from psycopg.errors import DuplicateDatabase
from sqlalchemy import Engine, NullPool, QueuePool, create_engine
from sqlalchemy.orm import Session, scoped_session
from werkzeug.test import TestResponse

from config.settings import Settings, read_policy, sqlalchemy_url
from marketplace.app import create_app
from marketplace.db import db, let_go
from marketplace.embedded_postgres import EmbeddedPostgres
from marketplace.stack.locks import locked
from marketplace.stack.migration import migrate
from tests.people import KEPT, register

HOUSE = Path(__file__).resolve().parents[1]
TEMPLATE = "duebill_template"
OWNER = "duebill_owner"
APPLICATION = "duebill_application"  # what web and worker may do together
ROLES = ("duebill_web", "duebill_worker", "duebill_signer", "duebill_reader")
CHROMIUM = tuple(
    f"/usr/bin/{name}" for name in ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
)
CHROMIUM_SWITCHES = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--js-flags=--single-threaded",  # threads that compile and sweep ahead only take the cores from other tests
)  # fmt: skip

# A busy machine is not a defect: what must be quick says so in a bound of its own.
hypothesis_settings.register_profile("patient", deadline=None)
hypothesis_settings.load_profile("patient")


def pytest_collection() -> None:
    """Do not search for garbage in what is only read in."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Leave modules and tests out of every later search for garbage, and search less often: a tenth of the time."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    gc.enable()


# -- PostgreSQL ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def run_directory() -> Path:
    """A short path that this run's processes share; in memory where there is room: copies are ten times faster."""
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > 2_000_000_000 and os.access(memory, os.W_OK)
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", f"alone{os.getpid()}")[:16]
    return (memory if roomy else Path(tempfile.gettempdir())) / f"duebill-tests-{os.geteuid()}-{run}"


@pytest.fixture(scope="session")
def postgres(run_directory: Path) -> Iterator[EmbeddedPostgres]:
    """One throw-away server for the whole run. It stops, and its files go, when the last test process is gone."""
    server = EmbeddedPostgres(run_directory, throw_away=True)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def template(postgres: EmbeddedPostgres) -> str:
    """A database with every migration applied, to be copied."""
    with locked(postgres.directory / "template.lock"):
        if not postgres.database_exists(TEMPLATE):
            postgres.ensure_role(OWNER, "CREATEROLE")
            for role in ROLES:
                postgres.ensure_role(role)
            postgres.ensure_role(APPLICATION)
            with postgres.connect() as connection:
                connection.execute(f"GRANT duebill_web, duebill_worker TO {APPLICATION}")
            postgres.drop_database("in_the_making")
            postgres.create_database("in_the_making", owner=OWNER)
            migrate(postgres.url("in_the_making", OWNER))
            with postgres.connect() as connection:
                connection.execute(f"ALTER DATABASE in_the_making RENAME TO {TEMPLATE}")
    return TEMPLATE


@pytest.fixture(scope="session")
def database_name(worker_id: str) -> str:
    """The name of this test process's database."""
    return f"duebill_{worker_id}"


@pytest.fixture(scope="session")
def peopled(postgres: EmbeddedPostgres, template: str, database_name: str, _standing_app: Flask) -> str:
    """A database in which the cast of the tests is registered, and nothing else, to be copied."""
    copy = f"{database_name}_peopled"
    for left in (database_name, copy):  # by a test process that was killed
        postgres.drop_database(left)
    postgres.create_database(database_name, template=template, owner=OWNER)
    KEPT.update(register(_standing_app))
    part(_standing_app)
    with postgres.connect() as connection:
        connection.execute(f"ALTER DATABASE {database_name} RENAME TO {copy}")
    return copy


@pytest.fixture
def database(
    request: pytest.FixtureRequest, postgres: EmbeddedPostgres, template: str, database_name: str
) -> Iterator[str]:
    """The name of a fresh, migrated database. Its address for a role: `postgres.url(database, role)`.

    Where a test asks for `people`, the cast is in it: registering takes longer than most tests.
    """
    source = request.getfixturevalue("peopled") if "people" in request.fixturenames else template
    try:
        postgres.create_database(database_name, template=source, owner=OWNER)
    except DuplicateDatabase:  # left by a test process that was killed
        postgres.drop_database(database_name)
        postgres.create_database(database_name, template=source, owner=OWNER)
    yield database_name
    postgres.drop_database(database_name)


@pytest.fixture
def owner_engine(postgres: EmbeddedPostgres, database: str) -> Iterator[Engine]:
    """An engine of the database's owner, who may try what the application may not."""
    engine = create_engine(sqlalchemy_url(postgres.url(database, OWNER)), poolclass=NullPool)
    yield engine
    engine.dispose()


# -- the application ----------------------------------------------------------------------------------------------


class Visitor(FlaskClient):
    """A test client whose requests do not see the test's own application context, as real ones do not."""

    def open(self, *args: Any, **kwargs: Any) -> TestResponse:
        answer = contextvars.Context().run(super().open, *args, **kwargs)
        answer.request.environ["wsgi.input"].close()  # a large form lies in a file, which werkzeug leaves open
        return answer


@pytest.fixture(scope="session")
def settings(postgres: EmbeddedPostgres, database_name: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The settings of the application under test; `dataclasses.replace` them for others."""
    return Settings(
        home=tmp_path_factory.mktemp("home"),
        database_url=postgres.url(database_name, APPLICATION),
        secret_key="a secret of the tests",
        pepper=b"a pepper of the tests",
        policy_table=read_policy(),
        stripe_webhook_secret="whsec_of_the_tests",
        testing=True,
    )


@pytest.fixture(scope="session")
def _standing_app(settings: Settings) -> Flask:
    return _as_visited(create_app(settings))


def _as_visited(app: Flask) -> Flask:
    app.test_client_class = Visitor
    return app


@pytest.fixture
def app(_standing_app: Flask, database: str) -> Iterator[Flask]:
    """The application on a fresh database. One application serves all tests: another setting needs `make_app`."""
    yield _standing_app
    part(_standing_app)


def part(app: Flask) -> None:
    """Close the application's connections, once the last request has given its own back: that is after its answer."""
    with app.app_context():
        until = time.monotonic() + 30
        pools = [cast(QueuePool, engine.pool) for engine in db.engines.values()]
        while any(pool.checkedout() for pool in pools) and time.monotonic() < until:
            time.sleep(0.01)
        let_go()


@pytest.fixture
def make_app(settings: Settings, postgres: EmbeddedPostgres, database: str) -> Iterator[Callable[..., Flask]]:
    """Make an application of one's own on the fresh database: `make_app(role="duebill_web", demo=True)`."""
    made: list[Flask] = []

    def make(role: str = APPLICATION, **changes: Any) -> Flask:
        app = create_app(replace(settings, database_url=postgres.url(database, role), **changes))
        made.append(_as_visited(app))
        return app

    yield make
    for app in made:
        part(app)


@pytest.fixture
def context(app: Flask) -> Iterator[Flask]:
    """The application with its context pushed, as `perform` needs it."""
    with app.app_context():
        yield app


@pytest.fixture
def session(context: Flask) -> Iterator["scoped_session[Session]"]:
    """The application's session, in a pushed context. Roll back or expire to see what others committed."""
    yield db.session
    db.session.rollback()
    db.session.remove()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A visitor without a browser."""
    return app.test_client()


# -- the world outside --------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of published data that some tests read: $DUEBILL_SHARED, else `../shared/data` beside the checkout."""
    place = Path(os.environ.get("DUEBILL_SHARED") or HOUSE.parent / "shared" / "data")
    if not place.is_dir():
        pytest.skip(f"NO SHARED DATA: {place} is absent. Set DUEBILL_SHARED to run the tests that read it.")
    return place


@pytest.fixture
def live_server(app: Flask) -> Iterator[str]:
    """The address at which the application really listens."""
    from werkzeug.serving import make_server

    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join(10)
    server.server_close()


@pytest.fixture(scope="session")
def chromium() -> str:
    """Where Chromium is. Without one browser tests are skipped, but fail where a browser is required."""
    chosen = os.environ.get("DUEBILL_CHROMIUM")
    found = next((path for path in ((chosen,) if chosen else CHROMIUM) if path and os.access(path, os.X_OK)), None)
    if found is None:
        words = (
            "NO CHROMIUM: browser tests did not run. Install one (apt-get install chromium) or set DUEBILL_CHROMIUM."
        )
        if os.environ.get("DUEBILL_REQUIRE_BROWSER") == "1" or os.environ.get("CI") == "true":
            pytest.fail(words, pytrace=False)
        pytest.skip(words)
    return found


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[Any]:
    """A running Chromium (a Playwright `Browser`)."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium, args=list(CHROMIUM_SWITCHES))
        yield running
        running.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A fresh page, 1280 pixels wide, with no cookies (a Playwright `Page`)."""
    visit = browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-GB", timezone_id="Europe/Madrid")
    visit.set_default_timeout(60_000)
    yield visit.new_page()
    visit.close()

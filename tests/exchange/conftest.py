"""Markets and a registry of one's own: two instances on databases of their own, a registry that is a real process."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from flask import Flask
from sqlalchemy import text

from config.settings import Exchange, Settings, read_policy, sqlalchemy_url
from marketplace.app import create_app
from marketplace.db import db, let_go
from marketplace.embedded_postgres import EmbeddedPostgres
from marketplace.exchange import queries
from marketplace.exchange.asking import run_exchange
from marketplace.exchange.client import Registry
from marketplace.exchange.registry import add_peer, open_registry
from marketplace.exchange.schemas import AddPeer, OpenRegistry
from marketplace.exchange.service import Serving, create_registry
from marketplace.exchange.signing import secret_of
from marketplace.kernel import policy
from marketplace.kernel.actors import Actor
from marketplace.kernel.clock import business_date
from marketplace.perform import perform
from marketplace.receivables import actions
from marketplace.receivables.schemas import DraftReceivable, ListReceivable, Terms
from tests.conftest import APPLICATION, HOUSE, OWNER
from tests.people import PersonOfTheTests, register
from tests.receivables.invoices import Paper, paper, ubl

CONSORTIUM = b"a key that the consortium of the tests shares"
Databases = Callable[[str], str]


@pytest.fixture
def databases(postgres: EmbeddedPostgres, template: str, database_name: str) -> Iterator[Databases]:
    """Make a fresh migrated database by name; it goes with the test."""
    made: list[str] = []

    def make(name: str) -> str:
        full = f"{database_name}_{name}"
        postgres.drop_database(full)
        postgres.create_database(full, template=template, owner=OWNER)
        made.append(full)
        return full

    yield make
    for name in made:
        postgres.drop_database(name)


class RegistryProcess:
    """`bin/market registry serve` on a database of its own. It can be killed and started again."""

    def __init__(self, postgres: EmbeddedPostgres, database: str, home: Path, mode: str) -> None:
        self.postgres, self.database, self.home, self.mode = postgres, database, home, mode
        self.policy: Path | None = None
        self.port, self.public_key, self.url = 0, b"", ""
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What the process is told."""
        return {
            "PATH": os.environ["PATH"], "DUEBILL_HOME": str(self.home), "PYTHONPATH": str(HOUSE),
            "DATABASE_URL": self.postgres.url(self.database, "duebill_worker"), "DUEBILL_WEB_WORKERS": "2",
            **({"DUEBILL_POLICY": str(self.policy)} if self.policy else {}),
        }  # fmt: skip

    def start(self) -> "RegistryProcess":
        """Start it and wait until it answers."""
        arguments = ["serve", "--port", str(self.port), "--mode", self.mode]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "marketplace", "registry", *arguments], env=self.environment, cwd=HOUSE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert self.process.stdout is not None
        first = self.process.stdout.readline()
        assert first, self.process.communicate()[1].decode()
        told = json.loads(first)
        self.url, self.port = told["url"], int(told["url"].rpartition(":")[2])
        self.public_key = bytes.fromhex(told["public_key"] or "")
        return self

    def open_again(self) -> "RegistryProcess":
        """Open its new database, as its start opened the first: it finds it at its next request."""
        with self._service().app_context():
            perform(open_registry, OpenRegistry(self.mode, self.public_key or None), Actor.system("tests"))
            let_go()
        return self

    def is_as_started(self, mode: str) -> bool:
        """Whether it runs, in its mode and with the market's numbers: whether another test may have it."""
        runs = self.process is not None and self.process.poll() is None
        return runs and self.mode == mode and self.policy is None

    def kill(self) -> None:
        """End it as a power cut would."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()

    def stop(self) -> None:
        """End it politely."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.communicate(timeout=60)

    def command(self, *arguments: str) -> Any:
        """Run another command of the registry and return what it says."""
        done = subprocess.run([sys.executable, "-m", "marketplace", "registry", *arguments, "--json"], cwd=HOUSE,
                              env=self.environment, capture_output=True, check=False)  # fmt: skip
        if done.returncode:
            return done.stderr.decode()
        return [json.loads(line) for line in done.stdout.decode().splitlines()]

    def peer(self, name: str) -> Registry:
        """Let a market ask, and return the registry as it sees it."""
        key_id = f"k-{os.urandom(6).hex()}"
        with self._service().app_context():
            perform(add_peer, AddPeer(name, key_id), Actor.system("tests"))
            let_go()
        return Registry(self.url, key_id, secret_of(self._master(), key_id).encode(), self.mode, self.public_key)

    def _master(self) -> bytes:
        return (self.home / "secrets" / "registry-master").read_bytes()

    def _service(self) -> Flask:
        """The service in this process, over the same database."""
        url = sqlalchemy_url(self.environment["DATABASE_URL"])
        return create_registry(url, Serving(policy.parse(read_policy()), self.mode, self._master()))

    def sql(self, statement: str, *values: Any) -> list[Any]:
        """Read or change its rows as its owner, triggers and all."""
        with closing(psycopg.connect(self.postgres.url(self.database, OWNER).replace("+psycopg", ""))) as connection:
            cursor = connection.execute(statement, values)
            found = cursor.fetchall() if cursor.description else []
            connection.commit()
        return found

    def clock(self, by: timedelta) -> None:
        """Move the registry's clock."""
        self.sql("UPDATE clock_shift SET shift = shift + %s", by)


@pytest.fixture(scope="session")
def kept_registries(postgres: EmbeddedPostgres, database_name: str) -> Iterator[dict[str, RegistryProcess]]:
    """The registries that run for this test process, by mode: starting one takes longer than most tests."""
    kept: dict[str, RegistryProcess] = {}
    yield kept
    for one in kept.values():
        one.stop()
        postgres.drop_database(one.database)


@pytest.fixture
def registries(
    postgres: EmbeddedPostgres, template: str, database_name: str, kept_registries: dict[str, RegistryProcess],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[str], RegistryProcess]]:  # fmt: skip
    """Give a registry in a mode, on a fresh database: one that runs already is given another under its name."""
    given: list[tuple[str, RegistryProcess]] = []

    def make(mode: str) -> RegistryProcess:
        database, known = f"{database_name}_registry_{mode}", kept_registries.pop(mode, None)
        postgres.drop_database(database)
        postgres.create_database(database, template=template, owner=OWNER)
        found = known or RegistryProcess(postgres, database, tmp_path_factory.mktemp("registry"), mode)
        given.append((mode, found))
        return found.open_again() if known else found.start()

    yield make
    for mode, one in given:
        if one.is_as_started(mode):
            kept_registries[mode] = one
        else:
            one.stop()
            postgres.drop_database(one.database)


@dataclass
class Market:
    """One instance with its people, and what they do."""

    app: Flask
    people: dict[str, PersonOfTheTests]
    today: date
    owner_url: str
    superuser_url: str

    def clock(self, by: timedelta) -> None:
        """Move the market's clock, as its owner."""
        with psycopg.connect(self.owner_url) as connection:
            connection.execute("UPDATE clock_shift SET shift = shift + %s", (by,))

    def lists(self, written: Paper) -> UUID:
        """List an invoice of Alice's; return the receivable."""
        with self.app.app_context():
            alice = self.people["seller_alice"].actor
            drafted = perform(actions.draft_receivable, DraftReceivable("invoice.xml", ubl(written)), alice)
            command = ListReceivable(UUID(drafted["draft_id"]), {}, Terms())
            listed = perform(actions.list_receivable, command, alice)
            db.session.remove()
        return UUID(listed["receivable_id"])

    def work(self) -> int:
        """Let the job run once."""
        with self.app.app_context():
            try:
                return run_exchange()
            finally:
                db.session.remove()

    def ask(self, question: Callable[..., Any], *arguments: Any) -> Any:
        """Ask one of the room's queries."""
        with self.app.app_context():
            try:
                return question(db.session(), *arguments)
            finally:
                db.session.remove()

    def stops(self, receivable_id: UUID) -> list[str]:
        """What stands between it and a sale."""
        found: list[str] = self.ask(queries.stops, receivable_id)
        return found

    def claim_states(self, receivable_id: UUID) -> set[str]:
        """How its claims stand."""
        return {row.state for row in self.ask(queries.claims_of, receivable_id)}

    def sql(self, statement: str, **values: Any) -> list[Any]:
        """Read its rows."""
        with self.app.app_context(), db.engine.connect() as connection:
            return list(connection.execute(text(statement), values))

    def sql_as_owner(self, statement: str, *values: Any, resting: bool = True) -> None:
        """Change its rows as its owner; triggers rest where a test stands in for another room's story."""
        with closing(psycopg.connect(self.superuser_url)) as connection:
            if resting:
                connection.execute("SET session_replication_role = replica")
            connection.execute(statement, values)
            connection.commit()

    def state(self, receivable_id: UUID) -> str:
        """The receivable's state."""
        return str(self.sql("SELECT state FROM receivable WHERE id = :id", id=receivable_id)[0][0])

    def perform(self, verb: Any, command: Any, who: str) -> Any:
        """Let somebody of the cast do something."""
        with self.app.app_context():
            return perform(verb, command, self.people[who].actor)

    def paper(self, **changes: object) -> Paper:
        """An invoice of today."""
        return paper(self.today, **changes)


@pytest.fixture(scope="session")
def kept_apps() -> dict[str, Flask]:
    """The applications of this test process's markets, by name: making one takes longer than many tests."""
    return {}


@pytest.fixture
def markets(
    postgres: EmbeddedPostgres, databases: Databases, settings: Settings, kept_apps: dict[str, Flask]
) -> Iterator[Callable[[str, Exchange], Market]]:
    """Open an instance of one's own, on a fresh database: `markets("north", exchange)`."""
    opened: list[Flask] = []

    def make(name: str, exchange: Exchange) -> Market:
        database = databases(name)
        url, owner_url = postgres.url(database, APPLICATION), postgres.url(database, OWNER)
        if name not in kept_apps:
            kept_apps[name] = create_app(replace(settings, database_url=url, pepper=name.encode() * 8))
        app, carried = kept_apps[name], kept_apps[name].extensions["duebill"]
        app.extensions["duebill"] = replace(carried, settings=replace(carried.settings, exchange=exchange))
        opened.append(app)
        people = register(app)
        with app.app_context(), db.engine.connect() as connection:
            now = connection.execute(text("SELECT market_now()")).scalar_one()
        return Market(app, people, business_date(now, app.extensions["duebill"].policy.zone),
                      owner_url.replace("+psycopg", ""), postgres.url(database).replace("+psycopg", ""))  # fmt: skip

    yield make
    for app in opened:
        with app.app_context():
            db.session.remove()
            let_go()


def exchange_of(registry: Registry | None = None, key: bytes = CONSORTIUM) -> Exchange:
    """Return the settings of a market that asks a registry, or none."""
    if registry is None:
        return Exchange(key)
    return Exchange(key, registry.url, registry.key_id, registry.secret, registry.mode, registry.public_key)

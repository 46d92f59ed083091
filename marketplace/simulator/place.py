"""Where a simulation plays: a PostgreSQL, a payment sandbox and an application of its own, all thrown away."""

import contextlib
import http.client
import json
import os
import secrets
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
from flask import Flask

from config.settings import HOUSE, Settings, read_policy, sqlalchemy_url
from marketplace.app import create_app
from marketplace.embedded_postgres import EmbeddedPostgres
from marketplace.stack.installation import OWNER
from marketplace.stack.migration import migrate
from marketplace.stack.preparing import Preparation

DATABASE = "duebill_simulation"
OPEN_MINUTES = 60
PATIENCE_SECONDS = 60.0


@dataclass
class Sandbox:
    """The provider, as a process of its own that may be killed too."""

    folder: Path
    secret: str
    port: int = 0
    process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it on its books, and after the first time on the same port."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "marketplace.payments.sandbox", "--dir", str(self.folder), "--port", str(self.port),
             "--debit-seconds", "-1", "--payout-seconds", "-1"],
            cwd=HOUSE, env={**os.environ, "STRIPE_WEBHOOK_SECRET": self.secret}, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        self.port = int(json.loads(self.process.stdout.readline())["url"].rpartition(":")[2])

    def kill(self) -> None:
        """End it at once."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            assert self.process.stdout is not None
            self.process.stdout.close()
            self.process = None

    def knob(self, name: str, **params: Any) -> dict[str, Any]:
        """Turn a knob and return what it says; a refusal is returned as an empty answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_SECONDS)
        try:
            connection.request("POST", f"/sandbox/{name}", json.dumps(params), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            said = json.loads(answer.read())
        finally:
            connection.close()
        return dict(said) if answer.status < 400 else {}

    def books(self) -> list[dict[str, Any]]:
        """Return every object of the provider's, as it is now, with its `account` of the provider's."""
        with contextlib.closing(sqlite3.connect(f"file:{self.folder / 'sandbox.sqlite'}?mode=ro", uri=True)) as book:
            rows = book.execute("SELECT account, body FROM object WHERE kind <> 'event'").fetchall()
        return [{**json.loads(body), "at_account": account} for account, body in rows]

    def delivered(self) -> int:
        """Return how often an event was delivered or tried to be."""
        with contextlib.closing(sqlite3.connect(f"file:{self.folder / 'sandbox.sqlite'}?mode=ro", uri=True)) as book:
            return int(book.execute("SELECT coalesce(sum(attempts), 0) FROM delivery").fetchone()[0])


@dataclass
class Place:
    """Everything a simulation uses."""

    home: Path
    postgres: EmbeddedPostgres
    database: str
    sandbox: Sandbox
    listening: socket.socket
    apps: dict[str, Flask] = field(default_factory=dict)

    def superuser(self) -> psycopg.Connection[Any]:
        """Open a connection that may do anything: to move the clock, as no role of the market can."""
        return self.postgres.connect(self.database)

    def move_clock(self, by: timedelta) -> None:
        """Move the market's clock forward."""
        with self.superuser() as connection:
            connection.execute("UPDATE clock_shift SET shift = shift + %s", (by,))

    def kill_database(self) -> None:
        """Kill the database's first process, as the power cut does, and start it again."""
        with self.superuser() as connection:
            row = connection.execute("SHOW data_directory").fetchone()
        assert row is not None
        os.kill(int((Path(row[0]) / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)
        self.postgres.start()

    def log(self, name: str) -> Path:
        """Return where a process writes what it has to say."""
        return self.home / f"{name}.log"


@contextmanager
def standing(prepared: tuple[EmbeddedPostgres, str] | None = None) -> Iterator[Place]:
    """Build a place in a temporary folder, and take it away, whatever happens.

    `prepared`: a server that runs and the name of a migrated, empty database there, to be used instead of one's own.
    """
    home = Path(tempfile.mkdtemp(prefix="duebill-simulation-"))
    sandbox = Sandbox(home / "sandbox", f"whsec_{secrets.token_hex(16)}")
    listening = socket.create_server(("127.0.0.1", 0), backlog=256)
    postgres, database = prepared or _own_database(home)
    try:
        sandbox.start()
        place = Place(home, postgres, database, sandbox, listening)
        for name in ("web", "worker", "application"):
            place.apps[name] = create_app(_settings(place, f"duebill_{name}"))
        sandbox.knob("settings", webhook_url=f"http://127.0.0.1:{listening.getsockname()[1]}/api/webhooks/stripe")
        yield place
    finally:
        sandbox.kill()
        listening.close()
        if prepared is None:
            postgres.stop()
        shutil.rmtree(home, ignore_errors=True)


def _own_database(home: Path) -> tuple[EmbeddedPostgres, str]:
    postgres = EmbeddedPostgres(home / "postgres", throw_away=True, settings={"autovacuum": "on"})  # as a market's own
    postgres.start()
    Preparation.ensure_roles(postgres)
    postgres.create_database(DATABASE, owner=OWNER)
    with postgres.connect() as connection:  # what is acknowledged is asked for after the server was killed
        connection.execute(f"ALTER DATABASE {DATABASE} SET synchronous_commit = on")
    migrate(sqlalchemy_url(postgres.url(DATABASE, OWNER)))
    return postgres, DATABASE


def _settings(place: Place, role: str) -> Settings:
    policy = dict(read_policy())
    policy["auction"] = {**policy["auction"], "open_minutes": OPEN_MINUTES, "group_cap_bps": 10_000}
    policy["listing"] = {**policy["listing"], "debtor_share_bps_max": 10_000}  # few debtors, drawn by chance
    policy["rating"] = {**policy["rating"], "filing_months_max": 1_200}
    return Settings(
        home=place.home,
        database_url=sqlalchemy_url(place.postgres.url(place.database, role)),
        secret_key="only a simulation",  # noqa: S106
        pepper=b"only a simulation",
        policy_table=policy,
        stripe_api_key="sk_test_sandbox",
        stripe_webhook_secret=place.sandbox.secret,
        stripe_api_base=place.sandbox.url,
    )

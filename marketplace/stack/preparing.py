"""Before the market opens: PostgreSQL runs, its roles exist, the database is there, migrated and, once, filled."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import psycopg
from sqlalchemy import NullPool, create_engine, text

from config.settings import HOUSE
from marketplace.embedded_postgres import EmbeddedPostgres
from marketplace.stack import launch
from marketplace.stack.children import Say
from marketplace.stack.installation import APPLICATION, DATABASE, OWNER, ROLES, UNFINISHED, Installation, StackFailed

DEMONSTRATION = "demonstration"


class Preparation:
    """The steps, each of which does nothing when it is done already."""

    def __init__(self, place: Installation, postgres: EmbeddedPostgres | None, say: Say) -> None:
        self._place = place
        self._postgres = postgres
        self._say = say

    def prepare(self) -> bool:
        """Take all the steps; return whether the market is the demonstration.

        Raises: StackFailed; PostgresFailed.
        """
        if self._postgres is None:
            url = self._place.database_url(OWNER)
            self._migrate(url, "of DATABASE_URL")
            if has_nobody(url):
                self._first_operator(url)
            return False
        began = time.monotonic()
        how = self._postgres.start()
        self._say(f"PostgreSQL {'started' if how == 'started' else 'was running'} ({time.monotonic() - began:.1f} s)")
        self.ensure_roles(self._postgres)
        if not self._postgres.database_exists(DATABASE):
            self._make_database(self._postgres)
        elif installed_revision(self._postgres, DATABASE) != newest_revision():
            self._migrate(self._postgres.url(DATABASE, OWNER), DATABASE)
        demo = is_demonstration(self._postgres)
        if demo and not self._place.demo:
            raise StackFailed(
                f"{self._place.home} holds the demonstration. For an empty market: DUEBILL_HOME=FOLDER bin/run --empty"
            )
        return demo

    @staticmethod
    def ensure_roles(postgres: EmbeddedPostgres) -> None:
        """Let each kind of process sign in as itself. The owner migrates; the others own nothing."""
        postgres.ensure_role(OWNER, "CREATEROLE")
        for role in (*ROLES, APPLICATION):
            postgres.ensure_role(role)
        with postgres.connect() as connection:
            connection.execute(f"GRANT duebill_web, duebill_worker TO {APPLICATION}")

    def _make_database(self, postgres: EmbeddedPostgres) -> None:
        """Make and fill the database under another name. It gets its own when it is complete."""
        for left in ("sandbox", "signer"):
            shutil.rmtree(self._place.home / left, ignore_errors=True)
        (self._place.home / "people.json").unlink(missing_ok=True)
        postgres.drop_database(UNFINISHED)
        postgres.create_database(UNFINISHED, owner=OWNER)
        with postgres.connect() as connection:  # what is interrupted is begun anew, so no commit need wait for the disk
            connection.execute(f"ALTER DATABASE {UNFINISHED} SET synchronous_commit = off")
        self._migrate(postgres.url(UNFINISHED, OWNER), UNFINISHED)
        if self._place.demo:
            self._fill(postgres)
        else:
            self._first_operator(postgres.url(UNFINISHED, APPLICATION))
        with postgres.connect() as connection:
            connection.execute(f"ALTER DATABASE {UNFINISHED} RESET synchronous_commit")
            connection.execute("CHECKPOINT")
            connection.execute(
                f"COMMENT ON DATABASE {UNFINISHED} IS '{DEMONSTRATION if self._place.demo else 'market'}'"
            )
            connection.execute(f"ALTER DATABASE {UNFINISHED} RENAME TO {DATABASE}")

    def _migrate(self, url: str, database: str) -> None:
        began = time.monotonic()
        self._run("migrate", ["migrate"], self._place.environment(url))
        self._say(f"Database {database} migrated to {newest_revision()} ({time.monotonic() - began:.1f} s)")

    def _first_operator(self, url: str) -> None:
        self._say("The first operator (the password is shown this once: keep it):")
        self._run("first-operator", ["first-operator"], self._place.environment(url))

    def _fill(self, postgres: EmbeddedPostgres) -> None:
        began = time.monotonic()
        self._say("Filling the market with a demonstration (once) …")
        urls = {
            "DUEBILL_OWNER_DATABASE_URL": postgres.url(UNFINISHED, OWNER),
            "DUEBILL_SIGNER_DATABASE_URL": postgres.url(UNFINISHED, "duebill_signer"),
            "DUEBILL_SANDBOX_PORT": str(self._place.sandbox_port),
        }
        told = self._place.environment(postgres.url(UNFINISHED, APPLICATION), **urls)
        self._run("fill-market", ["fill-market"], told)
        self._say(f"Market filled ({time.monotonic() - began:.1f} s)")

    def _run(self, name: str, arguments: list[str], environment: Mapping[str, str]) -> None:
        """Run one of our own commands to its end; what it says is shown."""
        command = [
            sys.executable,
            "-I",
            "-S",
            launch.__file__,
            str(os.getpid()),
            "--",
            sys.executable,
            "-m",
            "marketplace",
        ]
        done = subprocess.run(
            [*command, *arguments], env=dict(environment), stdin=subprocess.DEVNULL, stdout=sys.stderr
        )
        if done.returncode:
            raise StackFailed(
                f"The step {name} failed (see above); nothing was changed that the next start does not repair."
            )


def newest_revision() -> str:
    """The last migration in the folder, read without loading any."""
    revisions: dict[str, str | None] = {}
    for path in (HOUSE / "migrations" / "versions").glob("*.py"):
        words = path.read_text(encoding="utf-8")
        found = re.search(r'^revision(?:: str)? = "([^"]+)"', words, re.M)
        before = re.search(r'^down_revision[^=]*= "([^"]+)"', words, re.M)
        if found:
            revisions[found[1]] = before[1] if before else None
    heads = set(revisions) - set(revisions.values())
    if len(heads) != 1:
        raise StackFailed(f"{Path('migrations/versions')} has {len(heads)} ends: {', '.join(sorted(heads))}")
    return heads.pop()


def installed_revision(postgres: EmbeddedPostgres, database: str) -> str | None:
    """The last migration that a database has seen."""
    with postgres.connect(database) as connection:
        try:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        except psycopg.errors.UndefinedTable:
            return None
    return row[0] if row else None


def is_demonstration(postgres: EmbeddedPostgres) -> bool:
    """Whether the market was filled with fictional people, whose sign-ins may be shown to everybody."""
    with postgres.connect() as connection:
        row = connection.execute(
            "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s", (DATABASE,)
        ).fetchone()
    return row is not None and row[0] == DEMONSTRATION


def has_nobody(url: str) -> bool:
    """Say whether nobody can sign in to that market yet."""
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        return connection.execute(text("SELECT 1 FROM user_account LIMIT 1")).first() is None

"""A PostgreSQL to throw away, in memory where there is room, with migrated databases and an application beside it."""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from flask import Flask

from bench.figures import Say
from config.settings import Settings, read_policy
from marketplace.app import create_app
from marketplace.embedded_postgres import EmbeddedPostgres
from marketplace.kernel.asking import NoReply, ask_once
from marketplace.stack.installation import APPLICATION, OWNER
from marketplace.stack.memory import keep_loaded
from marketplace.stack.migration import migrate
from marketplace.stack.preparing import Preparation

MEMORY = Path("/dev/shm")
START_SECONDS = 60.0
# A flush of one millisecond that is the same everywhere, with group commit: what a disk adds, without a disk.
FLUSHING = {"fsync": "on", "synchronous_commit": "on", "commit_delay": "1000", "commit_siblings": "0"}


@contextmanager
def server(needed_bytes: int, say: Say, settings: Mapping[str, str] | None = None) -> Iterator[EmbeddedPostgres]:
    """Run a server whose files vanish with it. `needed_bytes` decides between memory and disk.

    `settings` are PostgreSQL's, over those of a throw-away server: FLUSHING where commits are to cost something.

    Raises: OSError when neither has the room.
    """
    roomy = [place for place in (MEMORY, Path(tempfile.gettempdir())) if _free(place) > needed_bytes + 500_000_000]
    if not roomy:
        raise OSError(f"{needed_bytes / 1e9:.1f} GB are needed, in {MEMORY} or in {tempfile.gettempdir()}")
    place = Path(tempfile.mkdtemp(prefix="duebill-bench-", dir=roomy[0]))
    place.chmod(0o755)
    postgres = EmbeddedPostgres(place / "postgres", throw_away=True, settings=settings)
    say(f"PostgreSQL in {place}")
    try:
        postgres.start()
        Preparation.ensure_roles(postgres)
        yield postgres
    finally:
        postgres.stop()
        shutil.rmtree(place, ignore_errors=True)


def _free(place: Path) -> int:
    if not place.is_dir() or not os.access(place, os.W_OK):
        return 0
    return shutil.disk_usage(place).free


def database(postgres: EmbeddedPostgres, name: str) -> str:
    """Make a migrated database; return its address for the application."""
    postgres.create_database(name, owner=OWNER)
    migrate(postgres.url(name, OWNER))
    return postgres.url(name, APPLICATION)


def application(url: str, home: Path) -> Flask:
    """Return an application on a database of the benchmark, as the market's own processes keep it."""
    made = create_app(Settings(home=home, database_url=url, secret_key="of a benchmark", pepper=b"of a benchmark",
                               policy_table=read_policy(), stripe_webhook_secret="whsec_of_a_benchmark",
                               testing=True))  # fmt: skip
    keep_loaded()
    return made


def wait_for_answer(port: int, method: str, path: str) -> None:
    """Wait until the server of a port answers, whatever it says.

    Raises: NoReply after a minute.
    """
    until = time.monotonic() + START_SECONDS
    body = b"{}" if method == "POST" else None
    while True:
        try:
            ask_once(f"http://127.0.0.1:{port}{path}", {}, body, method, seconds=5, most=1_000_000)
            return
        except NoReply:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)

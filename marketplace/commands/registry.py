"""`bin/market registry`: the service that tells markets whether a claim is taken, and the peers it answers."""

import contextlib
import hashlib
import json
import os
import secrets
import signal
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError

import click
from flask import Flask
from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.exc import DBAPIError, ProgrammingError

from config.settings import HOUSE, home_dir, kept_secret, read_policy, sqlalchemy_url
from marketplace.audit.sequencer import sequence_events
from marketplace.commands.output import as_json_option, emit, progress
from marketplace.db import db, let_go
from marketplace.embedded_postgres import EmbeddedPostgres
from marketplace.exchange import desk, oprf
from marketplace.exchange.registry import add_peer, open_registry, revoke_peer, sweep_registry
from marketplace.exchange.schemas import AddPeer, OpenRegistry, RevokePeer, SweepRegistry
from marketplace.exchange.service import Serving, create_registry
from marketplace.exchange.signing import secret_of
from marketplace.kernel import policy
from marketplace.kernel.actors import Actor
from marketplace.perform import perform
from marketplace.stack.children import Child, Program
from marketplace.stack.installation import DATABASE, OWNER, installation
from marketplace.stack.migration import migrate, pending
from marketplace.stack.preparing import Preparation
from marketplace.stack.supervisor import GUNICORN_SETTINGS

WORKER = "duebill_worker"
INFO = b"duebill/registry/1"
MODE, MODES = "REGISTRY_SERVES", ("hmac", "oblivious")
START_SECONDS_MAX = 120.0
SWEEP_SECONDS = 30.0
COLUMNS = ["name", "key_id", "issued_at", "revoked_at", "registered", "financed"]


@click.group("registry")
def command() -> None:
    """A registry for other markets: serve it, and say who may ask."""


@command.command("serve")
@click.option("--port", type=click.IntRange(0, 65_535), default=8010, show_default=True, help="0 takes a free one.")
@click.option("--bind", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--mode", type=click.Choice(MODES), default="oblivious", show_default=True,
              help="What claims are registered under. Settled at the first start, for good.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="The first line is JSON with or without this.")
def serve(port: int, bind: str, mode: str, as_json: bool) -> None:
    """Serve until told to stop. The first line of output is a JSON object that says where and with which key."""
    with _database() as url:
        app = service(url, mode)
        with app.app_context():
            settled = perform(open_registry, OpenRegistry(mode, _public_key(app)), Actor.system("bin/market registry"))
        _serve(app, url, mode, bind, port, settled["public_key"])


@command.command("key")
@as_json_option
def key(as_json: bool) -> None:
    """Show the mode and the public key that peers pin."""
    with _opened():
        book = desk.book(db.session())
    if book is None:
        raise click.ClickException("This registry was never opened: bin/market registry serve does it.")
    emit(
        [{"mode": book.mode, "public_key": book.public_key.hex() if book.public_key else None}],
        as_json,
        ["mode", "public_key"],
    )


@command.group("peer")
def peer() -> None:
    """Who may ask this registry."""


@peer.command("add")
@click.argument("name")
@as_json_option
def add(name: str, as_json: bool) -> None:
    """Let NAME ask, with a new key. Its secret is shown this once. A known name gets a further key: revoke the old one
    when the new one is in use."""
    key_id = f"k-{secrets.token_hex(6)}"
    with _opened():
        made = perform(add_peer, AddPeer(name, key_id), Actor.system("bin/market registry peer add"))
    told = {"name": made["name"], "key_id": key_id, "secret": secret_of(_master(), key_id)}
    if not as_json:
        progress("The secret is shown this once.")
    emit([told], as_json, ["name", "key_id", "secret"])


@peer.command("list")
@as_json_option
def list_(as_json: bool) -> None:
    """Show every key, and what its peer holds."""
    with _opened():
        found = [vars(one) for one in desk.peers(db.session())]
    emit(found, as_json, COLUMNS)


@peer.command("revoke")
@click.argument("key_id")
@as_json_option
def revoke(key_id: str, as_json: bool) -> None:
    """End the key KEY_ID at once. What its peer holds stays held."""
    with _opened():
        done = perform(revoke_peer, RevokePeer(key_id), Actor.system("bin/market registry peer revoke"))
    emit([done], as_json, ["key_id", "revoked_at"])


# -- the service ----------------------------------------------------------------------------------------------------


def service(url: str | None = None, mode: str | None = None) -> Flask:
    """Return the service with the settings of the environment: what gunicorn loads."""
    mode = mode or os.environ[MODE]
    chosen = os.environ.get("DUEBILL_POLICY")
    numbers = policy.parse(read_policy(Path(chosen) if chosen else None))
    pair = oprf.derived_key(_seed(), INFO) if mode == "oblivious" else None
    return create_registry(sqlalchemy_url(url or os.environ["DATABASE_URL"]), Serving(numbers, mode, _master(), pair))


def _master() -> bytes:
    return kept_secret(home_dir(os.environ), "registry-master").encode()


def _seed() -> bytes:
    return hashlib.sha256(kept_secret(home_dir(os.environ), "registry-oprf").encode()).digest()


def _public_key(app: Flask) -> bytes | None:
    serving: Serving = app.extensions["duebill"]
    return serving.key.public if serving.key else None


def _serve(app: Flask, url: str, mode: str, bind: str, port: int, public_key: str | None) -> None:
    """Run gunicorn and, beside it, the chores: order the log, let leases lapse."""
    folder = home_dir(os.environ) / "log"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    port = port or _free_port(bind)
    told = {name: value for name, value in os.environ.items() if not name.startswith(("REGISTRY_", "EXCHANGE_"))}
    told |= {"DATABASE_URL": url, MODE: mode, "PYTHONPATH": os.environ.get("PYTHONPATH") or str(HOUSE)}
    command_line = [sys.executable, "-m", "gunicorn", "--config", str(GUNICORN_SETTINGS), "--threads", "16",
                    "--bind", f"{bind}:{port}", f"{__name__}:service()"]  # fmt: skip
    child = Child(Program("registry", command_line, told), folder / "registry.log", progress)
    stop = threading.Event()
    for wish in (signal.SIGTERM, signal.SIGINT):
        signal.signal(wish, lambda *_: stop.set())
    child.start()
    address = f"http://{bind}:{port}"
    try:
        _await(address, child)
        click.echo(json.dumps({"url": address, "pid": os.getpid(), "mode": mode, "public_key": public_key}))
        sys.stdout.flush()
        with app.app_context():
            _chores(child, stop)
    finally:
        child.stop()


def _await(address: str, child: Child) -> None:
    until = time.monotonic() + START_SECONDS_MAX
    while True:
        with contextlib.suppress(URLError, OSError), urllib.request.urlopen(f"{address}/v1/about", timeout=10):  # noqa: S310
            return
        if child.pid is None or time.monotonic() > until:
            raise click.ClickException(f"The registry does not answer at {address}.\n{child.last_words()}")
        time.sleep(0.1)


def _chores(child: Child, stop: threading.Event) -> None:
    """Order the log each second, sweep each half minute; a database that is away for a while ends nothing."""
    swept = 0.0
    while not stop.wait(1):
        child.look_after()
        try:
            sequence_events()
            if time.monotonic() - swept > SWEEP_SECONDS:
                swept = time.monotonic()
                perform(sweep_registry, SweepRegistry(), Actor.system("registry"))
        except DBAPIError as error:
            progress(f"registry: the database does not answer ({type(error).__name__})")
        finally:
            db.session.remove()


def _free_port(bind: str) -> int:
    import socket

    with socket.socket() as probe:
        probe.bind((bind, 0))
        return int(probe.getsockname()[1])


# -- its database ---------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _opened() -> Iterator[None]:
    """Give the service's context over its database, for a command at the console."""
    with _database() as url:
        app = service(url, "hmac")
        with app.app_context():
            yield
            db.session.remove()
            let_go()


@contextlib.contextmanager
def _database() -> Iterator[str]:
    """Give the address of a migrated database: DATABASE_URL's, else one of this installation's own server."""
    postgres = installation(dict(os.environ)).postgres()
    if postgres is None:
        url = sqlalchemy_url(os.environ["DATABASE_URL"])
        if _is_old(url):
            raise click.ClickException(
                "The database lacks a migration: bin/market migrate brings it up to the present."
            )
        yield url
        return
    postgres.start()
    try:
        _prepare(postgres)
        yield sqlalchemy_url(postgres.url(DATABASE, WORKER))
    finally:
        postgres.stop()


def _is_old(url: str) -> bool:
    """Say whether the registry's tables are not there. The role that serves may not read the list of migrations."""
    engine = create_engine(url, poolclass=NullPool)
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT FROM registry_book"))
    except ProgrammingError:
        return True
    finally:
        engine.dispose()
    return False


def _prepare(postgres: EmbeddedPostgres) -> None:
    Preparation.ensure_roles(postgres)
    if not postgres.database_exists(DATABASE):
        postgres.create_database(DATABASE, owner=OWNER)
    owner = sqlalchemy_url(postgres.url(DATABASE, OWNER))
    if pending(owner):
        migrate(owner)

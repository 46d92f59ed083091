"""A throw-away market in this process: its own PostgreSQL, payment sandbox and web server, gone when it ends."""

import logging
import secrets
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from flask import Flask
from sqlalchemy import Engine, create_engine
from werkzeug.serving import WSGIRequestHandler, make_server

from config.settings import Settings, read_policy, sqlalchemy_url
from marketplace.app import create_app
from marketplace.db import db, let_go
from marketplace.demo.market_clock import MarketClock
from marketplace.embedded_postgres import EmbeddedPostgres
from marketplace.kernel.money import EXPONENTS
from marketplace.payments.sandbox.server import Sandbox
from marketplace.stack.migration import migrate

OWNER, APPLICATION, DATABASE = "duebill_owner", "duebill_application", "duebill_demo"
ROLES = ("duebill_web", "duebill_worker", "duebill_signer", "duebill_reader")


@dataclass(frozen=True)
class Stage:
    """Where a story plays."""

    app: Flask
    clock: MarketClock
    owner: Engine
    signer_url: str
    home: Path
    base_url: str
    sandbox_url: str


@contextmanager
def throw_away_stage(say: Callable[[str], None]) -> Iterator[Stage]:
    """Build a stage in a temporary folder and tear it down afterwards, whatever happens."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="duebill-demo-")))
        say("starting PostgreSQL")
        postgres = EmbeddedPostgres(home / "postgres", throw_away=True)
        postgres.start()
        stack.callback(postgres.stop)
        urls = _database(postgres)
        say("starting the payment sandbox and the web server")
        webhook_secret = f"whsec_{secrets.token_hex(16)}"
        sandbox = Sandbox(home / "sandbox", 0)
        _in_thread(stack, sandbox.serve, sandbox.shutdown)
        owner = create_engine(urls["owner"], pool_size=1)
        stack.callback(owner.dispose)
        app = create_app(_settings(home, urls["application"], webhook_secret, sandbox.base_url))
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
        base_url = stack.enter_context(serving(app))
        sandbox.store.set(webhook_url=f"{base_url}/api/webhooks/stripe", webhook_secret=webhook_secret,
                          debit_seconds=0, payout_seconds=0)  # fmt: skip
        stack.enter_context(app.app_context())
        stack.callback(let_go)
        stack.callback(db.session.remove)
        yield Stage(app, MarketClock(owner), owner, urls["signer"], home, base_url, sandbox.base_url)


def _database(postgres: EmbeddedPostgres) -> dict[str, str]:
    """Make the roles and a migrated database; return its addresses by who uses them."""
    postgres.ensure_role(OWNER, "CREATEROLE")
    for role in (*ROLES, APPLICATION):
        postgres.ensure_role(role)
    with postgres.connect() as connection:
        connection.execute(f"GRANT duebill_web, duebill_worker TO {APPLICATION}")
    postgres.create_database(DATABASE, owner=OWNER)
    migrate(sqlalchemy_url(postgres.url(DATABASE, OWNER)))
    users = {"owner": OWNER, "application": APPLICATION, "signer": "duebill_signer"}
    return {name: sqlalchemy_url(postgres.url(DATABASE, user)) for name, user in users.items()}


def _settings(home: Path, database_url: str, webhook_secret: str, sandbox_url: str) -> Settings:
    return Settings(
        home=home,
        database_url=database_url,
        secret_key=secrets.token_urlsafe(32),
        pepper=secrets.token_bytes(32),
        policy_table=_generous(read_policy()),
        stripe_api_key="sk_test_sandbox",
        stripe_webhook_secret=webhook_secret,
        stripe_api_base=sandbox_url,
        demo=True,
    )


def _generous(policy: Mapping[str, Any]) -> dict[str, Any]:
    """Return the policy of a market that must take any folder: every currency, and accounts however old."""
    return {**policy, "currencies": sorted(EXPONENTS), "rating": {**policy["rating"], "filing_months_max": 1_200}}


class _Quiet(WSGIRequestHandler):
    def log_request(self, *_: object) -> None:
        """Say nothing: the story tells enough."""


@contextmanager
def serving(app: Flask, port: int = 0) -> Iterator[str]:
    """Serve the application over real HTTP on the loopback address and yield where."""
    server = make_server("127.0.0.1", port, app, threaded=True, request_handler=_Quiet)
    with ExitStack() as stack:
        _in_thread(stack, server.serve_forever, server.shutdown)
        stack.callback(server.server_close)
        yield f"http://127.0.0.1:{server.server_port}"


def _in_thread(stack: ExitStack, serve: Callable[[], object], stop: Callable[[], object]) -> None:
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    stack.callback(thread.join, 5)
    stack.callback(stop)

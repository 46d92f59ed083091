"""`fill-market`: play the demonstration into an empty database. `bin/run` calls it once."""

import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import click
import structlog
from sqlalchemy import create_engine

from config.settings import from_environment, sqlalchemy_url
from marketplace.app import create_app
from marketplace.commands.output import progress
from marketplace.db import db, let_go
from marketplace.demo.cast import shown
from marketplace.demo.fill import fill_market
from marketplace.demo.market_clock import MarketClock
from marketplace.demo.stage import Stage, serving
from marketplace.payments.sandbox.server import Sandbox


@click.command("fill-market", hidden=True)
def command() -> None:
    """Play the demonstration into the database of the environment, which must be empty."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with standing_stage() as stage:
        fill_market(stage, progress)
        password = stage.app.extensions["duebill"].settings.demo_password
        people = [{"email": one.email, "role": str(one.role), "house": one.house} for one in shown()]
        known = json.dumps({"password": password, "people": people}, ensure_ascii=False)
        (stage.home / "people.json").write_text(known, encoding="utf-8")  # what bin/run prints at every start


@contextmanager
def standing_stage() -> Iterator[Stage]:
    """A stage in this process on the installation's own database, folder and sandbox port."""
    settings = from_environment()
    urls = {name: sqlalchemy_url(os.environ[f"DUEBILL_{name}_DATABASE_URL"]) for name in ("OWNER", "SIGNER")}
    with ExitStack() as stack:
        sandbox = Sandbox(settings.home / "sandbox", int(os.environ["DUEBILL_SANDBOX_PORT"]))
        thread = threading.Thread(target=sandbox.serve, daemon=True)
        thread.start()
        stack.callback(thread.join, 5)
        stack.callback(sandbox.shutdown)
        owner = create_engine(urls["OWNER"], pool_size=1)
        stack.callback(owner.dispose)
        app = create_app(settings)
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
        base_url = stack.enter_context(serving(app))
        sandbox.store.set(webhook_url=f"{base_url}/api/webhooks/stripe", webhook_secret=settings.stripe_webhook_secret,
                          debit_seconds=0, payout_seconds=0)  # fmt: skip
        stack.callback(lambda: sandbox.store.set(debit_seconds=5, payout_seconds=2))
        stack.enter_context(app.app_context())
        stack.callback(let_go)
        stack.callback(db.session.remove)
        yield Stage(app, MarketClock(owner), owner, urls["SIGNER"], settings.home, base_url, sandbox.base_url)

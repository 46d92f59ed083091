"""The sandbox as a process of its own, the market pointed at it, and what both do together."""

import json
import os
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy.orm import Session
from werkzeug.serving import make_server

from config.settings import Settings
from marketplace.app import create_app
from marketplace.db import db
from marketplace.embedded_postgres import EmbeddedPostgres
from marketplace.kernel.actors import Actor, Role
from marketplace.kernel.ids import new_id
from marketplace.ledger.queries import balance
from marketplace.parties.actions import register_organisation
from marketplace.parties.schemas import RegisterOrganisation
from marketplace.payments import inbox, outbox, queries
from marketplace.payments.actions import fund_account, start_debtor_payment
from marketplace.payments.schemas import FundAccount, StartDebtorPayment
from marketplace.perform import perform
from tests.conftest import part

HOUSE = Path(__file__).resolve().parents[2]
SECRET = "whsec_of_the_tests"
SYSTEM = Actor.system("test")
IBAN = "GB33BUKB20201555555555"


class SandboxProcess:
    """A running sandbox: its address, its knobs, and the right to kill it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = 0
        self.process: subprocess.Popen[str] | None = None
        self.start()

    @property
    def url(self) -> str:
        """Where it listens: give it to the market as `stripe_api_base`."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it on the same books, and after the first time on the same port."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "marketplace.payments.sandbox", "--dir", str(self.folder), "--port", str(self.port),
             "--debit-seconds", "-1", "--payout-seconds", "-1"],
            cwd=HOUSE, env=os.environ | {"STRIPE_WEBHOOK_SECRET": SECRET}, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        self.port = int(json.loads(self.process.stdout.readline())["url"].rpartition(":")[2])

    def kill(self, how: int = signal.SIGKILL) -> None:
        """End it at once."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(10)
            assert self.process.stdout is not None
            self.process.stdout.close()
            self.process = None

    def knob(self, name: str, **params: Any) -> Any:
        """Turn a knob (see sandbox/control.py) and return what it says."""
        return self.ask("POST", f"/sandbox/{name}", json.dumps(params).encode(), {"Content-Type": "application/json"})

    def fail(self, action: str, path: str = ".*", **more: Any) -> None:
        """Plan a misfortune for the next request to a path."""
        self.knob("faults", action=action, path=path, **more)

    def ask(self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Any:
        """Ask anything by plain HTTP and return the JSON."""
        request = urllib.request.Request(self.url + path, body, headers or {}, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def objects(self, kind: str) -> int:
        """Return how many objects of a kind there are outside."""
        return int(self.knob("summary")["objects"].get(kind, 0))

    def balance(self, account: str = "platform", currency: str = "gbp") -> int:
        """Return a balance outside, in minor units."""
        return int(self.knob("summary")["balances"][account].get(currency, 0))


def pay(pay_url: str, outcome: str = "paid") -> str:
    """Pay on the hosted page, as a browser's form would; return where it sends the payer afterwards."""

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_: Any) -> None:
            return None

    opener = urllib.request.build_opener(Stay)
    try:
        with opener.open(pay_url, urllib.parse.urlencode({"outcome": outcome}).encode(), timeout=60) as answer:
            return str(answer.url)
    except urllib.error.HTTPError as answer:
        with answer:
            return answer.headers.get("Location") or f"status {answer.code}"


@dataclass
class Market:
    """The market pointed at a sandbox, with its webhook listening."""

    app: Flask
    sandbox: SandboxProcess
    webhook: str
    postgres: EmbeddedPostgres
    database: str

    def organisation(self, kind: str, name: str, iban: str | None = IBAN) -> UUID:
        """Register an organisation."""
        made = perform(register_organisation, RegisterOrganisation(kind, name, "GB", iban=iban), SYSTEM)
        return UUID(made["organisation_id"])

    def actor(self, role: Role, organisation_id: UUID) -> Actor:
        """Return somebody of an organisation."""
        return Actor(role, organisation_id=organisation_id)

    def fund(
        self, organisation_id: UUID, minor: int = 50_000, outcome: str | None = "paid", currency: str = "GBP"
    ) -> UUID:
        """Start a funding, open its page and, unless `outcome` is None, pay there."""
        command = FundAccount(minor, currency, "http://127.0.0.1/back/{id}")
        funding_id = UUID(perform(fund_account, command, self.actor(Role.INVESTOR, organisation_id))["funding_id"])
        url = outbox.start_now(funding_id)
        if outcome is not None:
            assert url is not None
            pay(url, outcome)
        return funding_id

    def start_payment(self, debtor_id: UUID, receivable_id: UUID, minor: int = 70_000) -> tuple[UUID, str | None]:
        """Start a debtor's payment and open its page."""
        command = StartDebtorPayment(
            receivable_id, debtor_id, "GBP", minor, "Invoice TPC-1", "http://127.0.0.1/paid/{id}"
        )
        payment_id = UUID(perform(start_debtor_payment, command, self.actor(Role.DEBTOR, debtor_id))["payment_id"])
        return payment_id, outbox.start_now(payment_id)

    def funding(self, funding_id: UUID) -> queries.Payment:
        """Return a funding as it is now."""
        with Session(db.engine) as session:
            return queries.funding(session, funding_id)

    def alerts(self) -> list[str]:
        """Return the kinds of the open alerts."""
        with Session(db.engine) as session:
            return [alert.kind for alert in queries.open_alerts(session)]

    def posts(self, path: str) -> int:
        """Return how often the market asked the provider to do something."""
        asked = self.sandbox.knob("requests")["requests"]
        return sum(one["method"] == "POST" and one["path"] == path for one in asked)

    def session_id(self, funding_id: UUID) -> str:
        """Return the provider's id of a funding's page."""
        return str(self.funding(funding_id).session_id)

    def work(self, rounds: int = 8) -> None:
        """Let the workers run until nothing is left to do."""
        for _ in range(rounds):
            self.hear()
            if not outbox.run_outbox() + inbox.run_inbox():
                return

    def hear(self) -> None:
        """Wait until the sandbox has delivered what it has to deliver."""
        for _ in range(200):
            if not self.sandbox.knob("summary")["deliveries_waiting"]:
                return
            threading.Event().wait(0.05)

    def balance(self, code: str, organisation_id: UUID | None = None, currency: str = "GBP") -> int:
        """Return a ledger balance."""
        with Session(db.engine) as session:
            return balance(session, code, organisation_id, currency).posted_minor

    def wait(self, interval: str) -> None:
        """Move the market's clock forward, as only the owner of the database can."""
        with self.postgres.connect(self.database) as owner:
            owner.execute("UPDATE clock_shift SET shift = shift + CAST(%s AS interval)", (interval,))

    def receivable(self, seller_id: UUID, debtor_id: UUID) -> UUID:
        """Write a funded receivable's row as its own room would have left it, with triggers resting."""
        known = {
            "id": new_id(), "ref": f"DB-26-{new_id().hex[-6:]}", "seller_id": seller_id, "debtor_id": debtor_id,
            "number": "TPC-1", "document_type": "380", "currency": "GBP", "face_minor": 70_000,
            "total_minor": 70_000, "issued_on": "2026-01-01", "due_on": "2026-03-01", "expected_on": "2026-03-03",
            "facts": "{}", "evidence": "typed", "deal_type": "advance", "recourse": "full",
            "price_rule": "uniform", "seller_default": "accept", "min_share_bps": 8000, "policy_version": "1",
            "state": "withdrawn",
        }  # fmt: skip
        with self.postgres.connect(self.database) as owner:
            owner.execute("SET session_replication_role = replica")
            owner.execute(
                f"INSERT INTO receivable ({', '.join(known)}) VALUES ({', '.join(['%s'] * len(known))})",  # type: ignore[arg-type]
                list(known.values()),
            )
        return known["id"]  # type: ignore[return-value]


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[SandboxProcess]:
    """A sandbox on a free port, whose banks answer only when told (`sandbox.knob("advance")`)."""
    running = SandboxProcess(tmp_path / "sandbox")
    yield running
    running.kill()


@pytest.fixture(scope="session")
def kept_app(settings: Settings) -> Flask:
    """One application for all markets of this test process: making one takes longer than many tests."""
    return create_app(replace(settings, stripe_api_key="sk_test_market", stripe_webhook_secret=SECRET))


@pytest.fixture
def market(sandbox: SandboxProcess, kept_app: Flask, postgres: EmbeddedPostgres, database: str) -> Iterator[Market]:
    """The application on a fresh database, pointed at the sandbox, in a pushed context, its webhook listening."""
    app, carried = kept_app, kept_app.extensions["duebill"]
    app.extensions["duebill"] = replace(carried, settings=replace(carried.settings, stripe_api_base=sandbox.url))
    app.extensions.pop("duebill_gateway", None)  # the last test's sandbox is gone
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    webhook = f"http://127.0.0.1:{server.server_port}/api/webhooks/stripe"
    sandbox.knob("settings", webhook_url=webhook)
    with app.app_context():
        yield Market(app, sandbox, webhook, postgres, database)
    if sandbox.process is not None:
        sandbox.knob("settings", webhook_url="")
    server.shutdown()
    thread.join(10)
    server.server_close()
    part(app)

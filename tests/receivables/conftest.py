"""The seller, the debtor and the operators of this room's tests, and invoices dated around the market's today."""

import re
from collections.abc import Callable
from datetime import date
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import text

from marketplace.db import db, market_now
from marketplace.kernel.actors import Actor, Role
from marketplace.kernel.clock import business_date
from marketplace.perform import perform
from marketplace.receivables import actions
from marketplace.receivables.debtor.schemas import WriteNotice
from marketplace.receivables.schemas import DraftReceivable, ListReceivable, Terms
from tests.people import PersonOfTheTests, register
from tests.receivables.invoices import Paper, paper, ubl
from tests.support import do

People = dict[str, PersonOfTheTests]


@pytest.fixture
def people(app: Flask) -> People:
    """Everybody of the tests' cast."""
    return register(app)


@pytest.fixture
def today(context: Flask, people: People) -> date:
    """The market's business date."""
    with db.engine.connect() as connection:
        now = connection.execute(text("SELECT market_now()")).scalar_one()
    return business_date(now, context.extensions["duebill"].policy.zone)


@pytest.fixture
def invoice(today: date) -> Paper:
    """A sound invoice of Alice's to Kestrel."""
    return paper(today)


@pytest.fixture
def drafted(context: Flask, people: People) -> Callable[..., dict[str, Any]]:
    """Draft a file as a seller (Alice by default)."""

    def draft(content: bytes, who: str = "seller_alice", filename: str = "invoice.xml") -> dict[str, Any]:
        return perform(actions.draft_receivable, DraftReceivable(filename, content), people[who].actor)

    return draft


@pytest.fixture
def listed(drafted: Callable[..., dict[str, Any]], people: People) -> Callable[..., dict[str, Any]]:
    """Draft and list an invoice; corrections and terms as a test wants them."""

    def make(written: Paper | bytes, who: str = "seller_alice", corrections: dict[str, Any] | None = None,
             **terms: Any) -> dict[str, Any]:  # fmt: skip
        content = written if isinstance(written, bytes) else ubl(written)
        draft_id = UUID(drafted(content, who)["draft_id"])
        command = ListReceivable(draft_id, corrections or {}, Terms(**terms))
        return perform(actions.list_receivable, command, people[who].actor)

    return make


def told_of(receivable_id: UUID, *assignees: UUID) -> None:
    """Issue and write the notice of an assignment."""
    notice_id = do(lambda tx: actions.issue_notice(tx, receivable_id, assignees))
    perform(actions.write_notice, WriteNotice(UUID(str(notice_id))), Actor.system("test"))


def token_for(receivable_id: str | UUID, kind: str = "confirm") -> str:
    """Return the token in the newest letter about a receivable."""
    with db.engine.connect() as connection:
        body = connection.execute(
            text("SELECT body FROM outgoing_mail WHERE receivable_id = :id AND kind = :kind ORDER BY queued_at DESC"),
            {"id": str(receivable_id), "kind": kind},
        ).scalars().first()  # fmt: skip
    found = re.search(r"/d/(\S+)", body or "")
    assert found, "no letter with a link"
    return found.group(1)


def debtor_of(receivable_id: str | UUID) -> Actor:
    """Return the debtor of a receivable as an actor."""
    with db.engine.connect() as connection:
        debtor_id = connection.execute(
            text("SELECT debtor_id FROM receivable WHERE id = :id"), {"id": str(receivable_id)}
        ).scalar_one()
    return Actor(Role.DEBTOR, None, debtor_id, on_behalf_of="link")


def now() -> Any:
    """Return the market's clock."""
    return market_now(db.session())

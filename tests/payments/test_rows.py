"""What the database itself refuses, and that it knows the same states as the code."""

import importlib
import re
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from marketplace.kernel.ids import new_id
from marketplace.kernel.states import Machine
from marketplace.payments import rules
from migrations.helpers import machine_sql
from tests.payments.playing import Market

MIGRATION = importlib.import_module("migrations.versions.0008_payments")
SECOND_RAIL = importlib.import_module("migrations.versions.0028_second_rail")  # pay-outs may go by bank file since then


@pytest.mark.parametrize(
    ("machine", "name"),
    [(rules.PAYMENT, "PAYMENT"), (rules.PAYOUT, "PAYOUT"), (rules.CALL, "CALL"), (rules.NOTICE, "NOTICE")],
)
def test_the_migration_lists_the_machines_states_and_moves(machine: Machine, name: str) -> None:
    states, moves = machine_sql(machine)
    assert getattr(MIGRATION, f"{name}_STATES") == states
    assert pairs(getattr(SECOND_RAIL if name == "PAYOUT" else MIGRATION, f"{name}_MOVES")) == pairs(moves)


def pairs(moves: str) -> set[tuple[str, str]]:
    """Return the moves in SQL as pairs."""
    return set(re.findall(r"\('(\w+)',\s*'(\w+)'\)", moves))


@pytest.fixture
def worked(market: Market) -> Market:
    """A market in which money came in."""
    market.fund(market.organisation("investor", "Bob Capital"))
    market.work()
    return market


REWRITINGS = [
    "UPDATE funding SET amount_minor = 1",
    "UPDATE funding SET state = 'open'",
    "UPDATE funding SET state = 'rich'",
    "DELETE FROM funding",
    "TRUNCATE funding CASCADE",
    "UPDATE outgoing_call SET request = '\\x00'",
    "UPDATE outgoing_call SET first_sent_at = now()",
    "UPDATE outgoing_call SET state = 'pending', provider_id = NULL, done_at = NULL",
    "DELETE FROM outgoing_call",
    "UPDATE incoming_event SET raw = '\\x00'",
    "UPDATE incoming_event SET state = 'received', settled_at = NULL",
    "DELETE FROM incoming_event",
    "UPDATE provider_transition SET transition = 'twice'",
    "DELETE FROM provider_transition",
    "INSERT INTO provider_transition (object_id, transition) SELECT object_id, transition FROM provider_transition",
    "UPDATE provider_account SET provider_id = 'cus_other'",
    "DELETE FROM provider_account",
]


def test_even_the_owner_may_not_rewrite_what_happened(worked: Market) -> None:
    for statement in REWRITINGS:
        with worked.postgres.connect(worked.database) as owner, pytest.raises(psycopg.errors.IntegrityError):
            owner.execute(statement)  # type: ignore[arg-type]
            pytest.fail(f"it took {statement}")


@pytest.mark.parametrize(
    ("state", "more"),
    [("open", {}), ("succeeded", {"received_minor": 999, "received_currency": "GBP"}),
     ("succeeded", {"received_minor": 1_000, "received_currency": "EUR"}), ("parked", {})],
)  # fmt: skip
def test_a_payment_without_what_its_state_needs_is_refused(market: Market, state: str, more: dict[str, Any]) -> None:
    row = {"id": new_id(), "organisation_id": market.organisation("investor", "Bob"), "currency": "GBP",
           "amount_minor": 1_000, "return_url": "http://x",
        "words": "x", "state": state} | more  # fmt: skip
    with pytest.raises(psycopg.errors.CheckViolation):
        insert(market, "funding", row)


def test_a_change_without_an_audit_event_cannot_commit(worked: Market) -> None:
    with worked.postgres.connect(worked.database) as owner, pytest.raises(psycopg.errors.IntegrityError, match="audit"):
        owner.execute("UPDATE funding SET pay_url = 'http://elsewhere'")


def test_web_and_worker_may_not_delete_or_touch_transitions(make_app: Callable[..., Any], worked: Market) -> None:
    for role in ("duebill_web", "duebill_worker"):
        with psycopg.connect(
            worked.postgres.url(worked.database, role).replace("+psycopg", ""), autocommit=True
        ) as connection:
            for statement in (
                "DELETE FROM funding",
                "UPDATE provider_transition SET entry_id = NULL",
                "DELETE FROM payout",
            ):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(statement)  # type: ignore[arg-type]


def insert(market: Market, table: str, row: dict[str, Any]) -> None:
    """Insert a row as the owner, in one statement."""
    with market.postgres.connect(market.database) as owner:
        owner.execute(
            f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join(['%s'] * len(row))})",  # type: ignore[arg-type]
            list(row.values()),
        )

"""Every kind of difference between the provider's balance and our books is found and named."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import psycopg
import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.orm import Session

from marketplace.db import db
from marketplace.embedded_postgres import EmbeddedPostgres
from marketplace.kernel.actors import Role
from marketplace.ledger import queries as ledger
from marketplace.ledger.actions import account, post_entry
from marketplace.ledger.rules import credit, debit
from marketplace.payments import inbox, outbox, queries, reconcile
from marketplace.payments.actions import withdraw_cash
from marketplace.payments.schemas import WithdrawCash
from marketplace.perform import perform
from tests.payments.playing import SECRET, Market, pay
from tests.payments.test_sandbox import account as connected
from tests.payments.test_sandbox import client, page
from tests.support import do


@pytest.fixture
def bob(market: Market) -> UUID:
    """An investor with 500.00 in cash."""
    organisation = market.organisation("investor", "Bob Capital")
    market.fund(organisation)
    market.work()
    return organisation


def breaks() -> list[tuple[str, int]]:
    """Reconcile, and return the named differences in pounds; nothing may be unexplained."""
    assert reconcile.run_reconciliation()["GBP"] == 0
    with Session(db.engine) as session:
        pounds = next(row for row in queries.last_reconciliations(session) if row.currency == "GBP")
    return [(one["kind"], one["minor"]) for one in pounds.breaks]


def test_sound_books_have_no_breaks(market: Market, bob: UUID) -> None:
    assert breaks() == []


def test_money_that_came_and_is_not_booked_yet_is_named(market: Market, bob: UUID) -> None:
    market.sandbox.knob("settings", delivery_mode="drop")
    market.fund(bob, 7_000)
    assert breaks() == [("receipt_not_ours", 7_000)]
    market.wait("11 minutes")
    inbox.ask_after_silence()
    assert breaks() == []


def test_somebody_elses_receipt_is_named(market: Market, bob: UUID) -> None:
    pay(page(client(market.sandbox), 900).url)
    assert breaks() == [("receipt_not_ours", 900)]


def test_a_transfer_we_did_not_order_is_named(market: Market, bob: UUID) -> None:
    v1 = client(market.sandbox)
    v1.transfers.create({"amount": 300, "currency": "gbp", "destination": connected(v1).id})
    assert breaks() == [("transfer_not_ours_yet", -300)]


def test_a_transfer_whose_answer_was_lost_is_named_until_we_know(market: Market, bob: UUID) -> None:
    perform(withdraw_cash, WithdrawCash(20_000, "GBP"), market.actor(Role.INVESTOR, bob))
    outbox.run_outbox()
    market.sandbox.fail("timeout_after", "/v1/transfers", seconds=0.1)
    outbox.run_outbox()
    assert breaks() == [("transfer_not_ours_yet", -20_000)]
    market.wait("1 minute")
    market.work()
    assert breaks() == []


def platform(code: str) -> int:
    with Session(db.engine) as session:
        return ledger.balance(session, code, None, "GBP").posted_minor


def test_fees_and_chargebacks_are_named(market: Market, bob: UUID) -> None:
    market.sandbox.knob("settings", fee_bps=100)
    market.fund(bob, 10_000)
    market.work()
    assert breaks() == []
    assert market.alerts() == [], "it is booked at once, and calls nobody"
    assert (platform("processing_costs"), platform("provider_platform")) == (100, -100)
    assert breaks() == []
    assert (platform("processing_costs"), market.balance("investor_cash", bob)) == (100, 60_000), "once, and not his"
    with db.engine.connect() as connection:
        intent = connection.execute(text("SELECT intent_id FROM funding WHERE amount_minor = 10000")).scalar_one()
    market.sandbox.knob("dispute", intent=intent, minor=4_000)
    market.work()
    assert breaks() == [("chargeback_not_booked", -4_000)]
    assert "chargeback_open" in market.alerts()


@pytest.mark.parametrize("wrong", [
    "INSERT INTO processing_cost SELECT line_id, currency, 1, entry_id FROM processing_cost",
    "INSERT INTO processing_cost SELECT 'txn_0', currency, 0, entry_id FROM processing_cost",
    "INSERT INTO processing_cost SELECT 'txn_0', currency, 1, gen_random_uuid() FROM processing_cost",
    "INSERT INTO processing_cost SELECT 'txn_0', currency, 1, entry_id FROM processing_cost",
    "UPDATE processing_cost SET minor = 1", "DELETE FROM processing_cost", "TRUNCATE processing_cost",
])  # fmt: skip
def test_the_database_books_what_a_line_cost_once_and_keeps_it(
    market: Market, bob: UUID, postgres: EmbeddedPostgres, database: str, wrong: str
) -> None:
    market.sandbox.knob("settings", fee_bps=100)
    market.fund(bob, 10_000)
    market.work()
    breaks()
    with postgres.connect(database) as connection, pytest.raises(psycopg.Error), connection.transaction():
        connection.execute(wrong)
    assert platform("processing_costs") == 100


def chargebacks() -> list[tuple[str, int]]:
    """Return the state and amount of each chargeback that we know of."""
    with db.engine.connect() as connection:
        rows = connection.execute(text("SELECT state, minor FROM chargeback ORDER BY seen_at"))
        return [(row.state, row.minor) for row in rows]


def test_a_chargeback_of_which_no_event_ever_came_is_asked_after(market: Market, bob: UUID) -> None:
    with db.engine.connect() as connection:
        intent = connection.execute(text("SELECT intent_id FROM funding")).scalar_one()
    market.sandbox.knob("settings", delivery_mode="drop")
    dispute = market.sandbox.knob("dispute", intent=intent, minor=4_000)["id"]
    market.work()
    assert chargebacks() == []
    assert breaks() == [("chargeback_not_booked", -4_000)]
    assert chargebacks() == [("open", 4_000)]
    assert "chargeback_open" in market.alerts()
    market.sandbox.knob("close_dispute", dispute=dispute, won=True)
    reconcile.run_reconciliation()
    assert chargebacks() == [("won", 4_000)]
    assert breaks() == []  # it went and came before anybody had booked it


def test_a_chargeback_lost_in_silence_is_asked_after(market: Market, bob: UUID) -> None:
    with db.engine.connect() as connection:
        intent = connection.execute(text("SELECT intent_id FROM funding")).scalar_one()
    dispute = market.sandbox.knob("dispute", intent=intent, minor=4_000)["id"]
    market.work()
    market.sandbox.knob("settings", delivery_mode="drop")
    market.sandbox.knob("close_dispute", dispute=dispute, won=False)
    assert inbox.ask_after_silence() == 0  # it has not been silent for long
    market.wait("11 minutes")
    assert inbox.ask_after_silence() == 1
    assert chargebacks() == [("lost", 4_000)]
    assert inbox.ask_after_silence() == 0


def test_a_payout_that_came_back_in_silence_is_asked_after(market: Market, bob: UUID) -> None:
    payout_id = UUID(perform(withdraw_cash, WithdrawCash(20_000, "GBP"), market.actor(Role.INVESTOR, bob))["payout_id"])
    market.work()
    market.sandbox.knob("advance")
    market.work()
    assert market.balance("investor_cash", bob) == 30_000
    with db.engine.connect() as connection:
        theirs = connection.execute(text("SELECT payout_id FROM payout WHERE state = 'paid'")).scalar_one()
    market.sandbox.knob("settings", delivery_mode="drop")
    market.sandbox.knob("payout", payout=theirs, outcome="failed")
    market.wait("3 days")
    market.work()
    assert market.balance("investor_cash", bob) == 30_000  # nobody knows
    assert inbox.ask_after_silence() == 1
    market.work()
    assert market.balance("investor_cash", bob) == 50_000
    with Session(db.engine) as session:
        assert queries.payout(session, payout_id).state == "returned"
    assert breaks() == []


def invented(bob: UUID, minor: int) -> None:
    """Book what nothing outside stands for; below zero, the other way round."""

    def invent(tx: Any) -> None:
        ours, his = account(tx, "provider_lender", None, "GBP"), account(tx, "investor_cash", bob, "GBP")
        up, down = (ours, his) if minor > 0 else (his, ours)
        post_entry(tx, "invented", "test", bob, [debit(up, abs(minor)), credit(down, abs(minor))])

    do(invent)


def calls() -> list[tuple[int, bool]]:
    """Return what each alert says is unexplained, and whether it is open, in the order they were raised."""
    with db.engine.connect() as connection:
        rows = connection.execute(text(
            "SELECT (facts ->> 'unexplained_minor')::integer, closed_at IS NULL FROM payment_alert ORDER BY raised_at"
        ))  # fmt: skip
        return [(minor, open_) for minor, open_ in rows]


def test_an_entry_nothing_outside_stands_for_stays_unexplained_and_calls_a_person(market: Market, bob: UUID) -> None:
    invented(bob, 5)
    assert reconcile.run_reconciliation()["GBP"] == -5
    assert market.alerts() == ["reconciliation_break"]


def test_what_differs_calls_once_while_it_stays_and_stops_calling_when_it_ends(market: Market, bob: UUID) -> None:
    invented(bob, 5)
    for _ in range(3):
        reconcile.run_reconciliation()
    assert calls() == [(-5, True)]
    invented(bob, 2)
    reconcile.run_reconciliation()
    assert calls() == [(-5, False), (-7, True)], "it is another trouble now"
    invented(bob, -7)
    reconcile.run_reconciliation()
    assert calls() == [(-5, False), (-7, False)]
    invented(bob, 5)
    reconcile.run_reconciliation()
    assert calls()[2:] == [(-5, True)]


def test_web_and_worker_do_their_parts_under_their_own_roles(market: Market, make_app: Callable[..., Flask]) -> None:
    bob = market.organisation("investor", "Bob Capital")
    told = {"stripe_api_base": market.sandbox.url, "stripe_webhook_secret": SECRET}
    web, worker = make_app(role="duebill_web", **told), make_app(role="duebill_worker", **told)
    with web.app_context():
        market.fund(bob)
    market.hear()
    with worker.app_context():
        assert inbox.run_inbox() > 0
    with web.app_context():
        perform(withdraw_cash, WithdrawCash(20_000, "GBP"), market.actor(Role.INVESTOR, bob))
    with worker.app_context():
        while outbox.run_outbox() + inbox.run_inbox():
            pass
        market.sandbox.knob("advance")
        market.hear()
        inbox.run_inbox()
        assert reconcile.run_reconciliation()["GBP"] == 0
    assert market.balance("provider_lender") == market.sandbox.balance() == 30_000

"""Money in and out, and what the books say about it."""

from dataclasses import replace
from typing import get_args
from urllib.request import urlopen
from uuid import UUID

import pytest
import stripe
from sqlalchemy import text
from sqlalchemy.orm import Session

from marketplace.db import db
from marketplace.kernel.actors import Actor, Role
from marketplace.kernel.errors import Conflict, NotFound, NotPermitted, RuleBroken
from marketplace.kernel.ids import new_id
from marketplace.payments import outbox, queries, reconcile
from marketplace.payments.actions import fund_account, mark_applied, request_payout, withdraw_cash
from marketplace.payments.schemas import FundAccount, WithdrawCash
from marketplace.payments.settle import SettleEvent, settle_event
from marketplace.payments.stripe_gateway import DISPUTE_STATES, current_gateway
from marketplace.perform import perform
from tests.payments.playing import Market, pay
from tests.support import do


def states(table: str, by: str = "created_at") -> list[str]:
    """Return the states of a table's rows, in the order of a column."""
    with db.engine.connect() as connection:
        return list(connection.execute(text(f"SELECT state FROM {table} ORDER BY {by}")).scalars())


def test_an_investor_puts_money_in_and_takes_it_out(market: Market) -> None:
    bob = market.organisation("investor", "Bob Capital")
    me = market.actor(Role.INVESTOR, bob)
    made = perform(fund_account, FundAccount(50_000, "GBP", "http://127.0.0.1/back/{id}"), me)
    url = outbox.start_now(UUID(made["funding_id"]))
    assert url is not None
    assert pay(url) == f"http://127.0.0.1/back/{made['funding_id']}"
    market.work()
    assert market.balance("investor_cash", bob) == market.balance("provider_lender") == 50_000
    perform(withdraw_cash, WithdrawCash(20_000, "GBP"), me)
    market.work()
    assert market.balance("withdrawal_in_transit", bob) == 20_000
    assert reconcile.run_reconciliation()["GBP"] == 0
    market.sandbox.knob("advance")
    market.work()
    assert market.balance("withdrawal_in_transit", bob) == 0
    assert market.balance("provider_lender") == market.sandbox.balance() == 30_000
    assert states("payout") == ["paid"]
    assert market.alerts() == []
    assert reconcile.run_reconciliation()["GBP"] == 0


def test_a_bank_transfer_counts_only_when_the_money_is_there(market: Market) -> None:
    bob = market.organisation("investor", "Bob Capital")
    funding = market.fund(bob, outcome="later")
    market.work()
    assert market.funding(funding).state == "processing"
    assert market.balance("investor_cash", bob) == 0
    market.sandbox.knob("advance")
    market.work()
    assert market.funding(funding).state == "succeeded"
    assert market.balance("investor_cash", bob) == 50_000


def test_a_debit_that_bounces_leaves_nothing_behind(market: Market) -> None:
    bob = market.organisation("investor", "Bob Capital")
    funding = market.fund(bob, outcome="later_fails")
    market.sandbox.knob("advance")
    market.work()
    assert market.funding(funding).state == "failed"
    assert market.balance("investor_cash", bob) == market.sandbox.balance() == 0


def test_a_declined_payment_may_be_tried_again_on_the_same_page(market: Market) -> None:
    bob = market.organisation("investor", "Bob Capital")
    funding = market.fund(bob, outcome="declined")
    market.work()
    assert market.funding(funding).state == "open"
    assert pay(str(market.funding(funding).pay_url)).startswith("http://127.0.0.1/back/")
    market.work()
    assert market.balance("investor_cash", bob) == 50_000


def test_a_page_nobody_paid_expires(market: Market) -> None:
    bob = market.organisation("investor", "Bob Capital")
    funding = market.fund(bob, outcome=None)
    market.sandbox.knob("advance", acts=["expire_session"])
    market.work()
    assert market.funding(funding).state == "expired"


def test_a_debtors_payment_waits_to_be_shared_out_and_is_shared_out_once(market: Market) -> None:
    seller, debtor = market.organisation("seller", "Alice Ltd"), market.organisation("debtor", "Kestrel Ltd", None)
    receivable = market.receivable(seller, debtor)
    payment_id, url = market.start_payment(debtor, receivable)
    with urlopen(str(url), timeout=60) as page:
        assert "Invoice TPC-1" in page.read().decode()
    pay(str(url))
    market.work()
    assert market.balance("debtor_receipts", debtor) == market.balance("provider_borrower") == 70_000
    with Session(db.engine) as session:
        assert [one.id for one in queries.received_unapplied(session)] == [payment_id]
        assert [one.receivable_id for one in queries.payments_of(session, receivable)] == [receivable]
    do(lambda tx: mark_applied(tx, payment_id, new_id()))
    with Session(db.engine) as session:
        assert queries.received_unapplied(session) == []
    with pytest.raises(Conflict, match="payment_applied"):
        do(lambda tx: mark_applied(tx, payment_id, new_id()))


@pytest.mark.parametrize("wrong", [{"minor": 69_999}, {"minor": 700_000}, {"currency": "eur"}])
def test_a_debtors_money_that_is_not_as_asked_waits_in_suspense(market: Market, wrong: dict[str, object]) -> None:
    seller, debtor = market.organisation("seller", "Alice Ltd"), market.organisation("debtor", "Kestrel Ltd", None)
    payment_id, _ = market.start_payment(debtor, market.receivable(seller, debtor))
    with Session(db.engine) as session:
        session_id = queries.debtor_payment(session, payment_id).session_id
    market.sandbox.knob("pay", session=session_id, **wrong)
    market.work()
    minor, currency = wrong.get("minor", 70_000), str(wrong.get("currency", "gbp")).upper()
    assert market.balance("debtor_receipts", debtor) == 0
    assert market.balance("suspense", None, currency) == minor
    assert states("debtor_payment") == ["parked"]
    assert market.alerts() == ["not_as_asked"]
    assert reconcile.run_reconciliation()[currency] == 0


def test_an_investors_money_that_is_not_as_asked_is_parked_and_named(market: Market) -> None:
    bob = market.organisation("investor", "Bob Capital")
    funding = market.fund(bob, outcome=None)
    market.sandbox.knob("pay", session=market.session_id(funding), minor=500_000)
    market.work()
    assert market.funding(funding).state == "parked"
    assert market.balance("investor_cash", bob) == 0
    assert reconcile.run_reconciliation()["GBP"] == 0
    with Session(db.engine) as session:
        pounds = next(row for row in queries.last_reconciliations(session) if row.currency == "GBP")
    assert pounds.breaks == [{"kind": "receipt_parked", "minor": 500_000, "about": str(funding)}]


@pytest.mark.parametrize("outcome", ["failed", "paid_then_failed"])
def test_a_payout_that_fails_even_after_it_was_paid_comes_back(market: Market, outcome: str) -> None:
    bob = market.organisation("investor", "Bob Capital")
    market.fund(bob)
    market.work()
    perform(withdraw_cash, WithdrawCash(20_000, "GBP"), market.actor(Role.INVESTOR, bob))
    market.work()
    if outcome == "paid_then_failed":
        market.sandbox.knob("advance")
        market.work()
        assert states("payout") == ["paid"]
    with db.engine.connect() as connection:
        payout = connection.execute(text("SELECT payout_id FROM payout")).scalar_one()
    market.sandbox.knob("payout", payout=payout, outcome="failed")
    market.work()
    assert states("payout") == ["returned"]
    assert market.balance("investor_cash", bob) == market.balance("provider_lender") == 50_000
    assert market.balance("withdrawal_in_transit", bob) == 0
    assert market.sandbox.balance() == 50_000
    assert market.alerts() == ["payout_failed"]
    assert reconcile.run_reconciliation()["GBP"] == 0


def test_an_advance_leaves_the_sellers_account_and_reaches_the_bank(market: Market) -> None:
    bob, alice = market.organisation("investor", "Bob Capital"), market.organisation("seller", "Alice Ltd")
    market.fund(bob)
    market.work()
    with pytest.raises(RuleBroken, match="insufficient_cash"):
        do(lambda tx: request_payout(tx, alice, "GBP", 100, "advance", "lot", new_id(), "advance:0"))
    do(lambda tx: _award(tx, bob, alice, 40_000))
    with pytest.raises(Conflict, match="payout_requested"):
        do(lambda tx: request_payout(tx, alice, "GBP", 1, "advance", "lot", new_id(), "advance:1"))
    market.work()
    assert market.balance("advance_in_transit", alice) == 40_000
    market.sandbox.knob("advance")
    market.work()
    assert market.balance("advance_in_transit", alice) == 0
    assert market.balance("provider_lender") == 10_000
    with Session(db.engine) as session:
        assert [one.purpose for one in queries.payouts_of(session, alice)] == ["advance"]


def test_a_payout_waits_until_there_is_a_bank_account(market: Market) -> None:
    bob, alice = market.organisation("investor", "Bob Capital"), market.organisation("seller", "Alice Ltd", None)
    market.fund(bob)
    market.work()
    do(lambda tx: _award(tx, bob, alice, 40_000))
    market.work()
    assert states("payout") == ["requested"]
    assert market.alerts() == ["no_bank_account"]
    with market.postgres.connect(market.database) as owner:
        owner.execute("SET session_replication_role = replica")
        owner.execute("UPDATE organisation SET iban = 'GB33BUKB20201555555555' WHERE id = %s", (alice,))
    market.work()
    assert market.alerts() == []
    market.sandbox.knob("advance")
    market.work()
    assert states("payout") == ["paid"]


@pytest.mark.parametrize("wrong", [{"minor": 19_999}, {"currency": "EUR"}])
def test_a_payout_of_another_amount_than_asked_is_named_and_moves_nothing(
    market: Market, wrong: dict[str, object]
) -> None:  # fmt: skip
    bob = market.organisation("investor", "Bob Capital")
    market.fund(bob)
    market.work()
    perform(withdraw_cash, WithdrawCash(20_000, "GBP"), market.actor(Role.INVESTOR, bob))
    market.work()
    with db.engine.connect() as connection:
        payout, account = connection.execute(text("SELECT payout_id, account_id FROM payout")).one()
    seen = replace(current_gateway().fetch_payout(payout, account), state="paid", **wrong)
    perform(settle_event, SettleEvent(None, seen), Actor.system("run_inbox"))
    assert market.balance("withdrawal_in_transit", bob) == 20_000
    assert (states("payout"), market.alerts()) == (["in_transit"], ["payout_not_as_asked"])


def test_a_bank_that_only_asks_takes_nothing_until_it_charges_back(market: Market) -> None:
    bob = market.organisation("investor", "Bob Capital")
    market.fund(bob)
    market.work()
    asked, paid = market.sandbox.knob("dispute", intent=_intent(), inquiry=True)["id"], market.sandbox.balance()
    market.work()
    assert (states("chargeback", "seen_at"), market.alerts()) == ([], [])
    assert reconcile.run_reconciliation()["GBP"] == 0
    market.sandbox.knob("escalate_dispute", dispute=asked)
    market.work()
    assert (states("chargeback", "seen_at"), market.alerts()) == (["open"], ["chargeback_open"])
    assert market.sandbox.balance() < paid
    assert reconcile.run_reconciliation()["GBP"] == 0


def test_an_inquiry_that_was_answered_leaves_nothing_behind(market: Market) -> None:
    market.fund(market.organisation("investor", "Bob Capital"))
    market.work()
    asked = market.sandbox.knob("dispute", intent=_intent(), inquiry=True)["id"]
    market.sandbox.knob("close_dispute", dispute=asked, won=True)
    market.work()
    assert (states("chargeback", "seen_at"), market.alerts()) == ([], [])
    assert reconcile.run_reconciliation()["GBP"] == 0


def test_every_state_of_a_dispute_that_the_library_knows_is_understood() -> None:
    known = get_args(get_args(stripe.Dispute.__annotations__["status"])[0])
    assert set(known) == set(DISPUTE_STATES)


def test_money_that_has_not_cleared_yet_is_asked_for_again_later(market: Market) -> None:
    bob = market.organisation("investor", "Bob Capital")
    market.fund(bob)
    market.work()
    dispute = market.sandbox.knob("dispute", intent=_intent())["id"]
    perform(withdraw_cash, WithdrawCash(20_000, "GBP"), market.actor(Role.INVESTOR, bob))
    market.work()
    assert states("payout") == ["requested"]
    assert "chargeback_open" in market.alerts()
    market.sandbox.knob("close_dispute", dispute=dispute, won=True)
    market.wait("61 minutes")
    market.work()
    market.sandbox.knob("advance")
    market.work()
    assert states("payout") == ["paid"]
    assert market.sandbox.objects("transfer") == 1
    assert market.alerts() == ["chargeback_won"], "the call about an open one ends when it is decided"


def test_only_the_right_people_start_payments(market: Market) -> None:
    alice, kestrel = market.organisation("seller", "Alice Ltd"), market.organisation("debtor", "Kestrel Ltd", None)
    mallory = market.organisation("debtor", "Mallory Ltd", None)
    receivable = market.receivable(alice, kestrel)
    with pytest.raises(NotPermitted):
        perform(fund_account, FundAccount(1, "GBP", "http://x"), market.actor(Role.DEBTOR, kestrel))
    from marketplace.payments.actions import start_debtor_payment
    from marketplace.payments.schemas import StartDebtorPayment

    with pytest.raises(NotFound):
        perform(start_debtor_payment, StartDebtorPayment(receivable, kestrel, "GBP", 1, "x", "http://x"),
                market.actor(Role.DEBTOR, mallory))  # fmt: skip
    with pytest.raises(RuleBroken, match="currency_not_traded"):
        perform(fund_account, FundAccount(1, "JPY", "http://x"), market.actor(Role.INVESTOR, alice))


def _award(tx: object, bob: UUID, alice: UUID, minor: int) -> None:
    from marketplace.ledger.actions import account, post_entry
    from marketplace.ledger.rules import credit, debit

    legs = [
        debit(account(tx, "investor_cash", bob, "GBP"), minor),
        credit(account(tx, "seller_advance", alice, "GBP"), minor),
    ]
    post_entry(tx, "award", "lot", new_id(), legs)
    request_payout(tx, alice, "GBP", minor, "advance", "lot", new_id(), "advance:1")


def _intent() -> str:
    with db.engine.connect() as connection:
        return str(connection.execute(text("SELECT intent_id FROM funding")).scalar_one())

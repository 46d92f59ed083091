"""Whatever happens to a call, it has one effect outside, or a person is told."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from marketplace.db import db
from marketplace.kernel.actors import Actor, Role
from marketplace.kernel.errors import Conflict, IntegrityBreach, NotPermitted, RuleBroken
from marketplace.kernel.ids import new_id
from marketplace.payments import inbox, outbox, queries, reconcile
from marketplace.payments.actions import withdraw_cash
from marketplace.payments.calls import confirm_call
from marketplace.payments.release import retry_call
from marketplace.payments.schemas import ConfirmCall, RetryCall, WithdrawCash
from marketplace.payments.stripe_gateway import StripeGateway
from marketplace.perform import perform
from tests.payments.playing import HOUSE, SECRET, Market, pay
from tests.payments.test_sandbox import client

WORKER = """
from marketplace.app import create_app
from marketplace.payments.outbox import run_outbox
with create_app().app_context():
    run_outbox()
"""
PASSING = ["error_500_after", "conflict_409", "rate_429", "reset_before", "reset_mid_body", "timeout_after"]
CALLS = ["/v1/accounts", "/v1/transfers", "/v1/payouts"]


@pytest.fixture
def bob(market: Market) -> UUID:
    """An investor with 500.00 in cash."""
    organisation = market.organisation("investor", "Bob Capital")
    market.fund(organisation)
    market.work()
    return organisation


def withdraw(market: Market, bob: UUID, minor: int = 20_000) -> None:
    """Ask for money to be paid out."""
    perform(withdraw_cash, WithdrawCash(minor, "GBP"), market.actor(Role.INVESTOR, bob))


def state() -> str:
    """Return the state of the one payout."""
    with db.engine.connect() as connection:
        return str(connection.execute(text("SELECT state FROM payout")).scalar_one())


def patiently(market: Market, tries: int = 6) -> None:
    """Let the workers and the market's clock go on for a while."""
    for _ in range(tries):
        market.work()
        market.sandbox.knob("advance")
        market.work()
        if state() == "paid":
            return
        market.wait("16 minutes")


def assert_paid_once(market: Market) -> None:
    """One account, one transfer, one payout; our books and theirs agree to the penny."""
    assert state() == "paid"
    assert [market.sandbox.objects(kind) for kind in ("account", "transfer", "payout")] == [1, 1, 1]
    assert market.balance("provider_lender") == market.sandbox.balance() == 30_000
    assert market.balance("investor_cash", UUID(_owner())) == 30_000
    assert reconcile.run_reconciliation()["GBP"] == 0


def _owner() -> str:
    with db.engine.connect() as connection:
        return str(connection.execute(text("SELECT organisation_id FROM payout")).scalar_one())


@pytest.mark.parametrize(
    ("action", "path"),
    [(action, "/v1/transfers") for action in PASSING]
    + [(action, path) for action in ("error_500_after", "reset_mid_body") for path in ("/v1/accounts", "/v1/payouts")],
)
def test_a_fault_that_passes_ends_in_one_payout(market: Market, bob: UUID, action: str, path: str) -> None:
    market.sandbox.fail(action, path, seconds=0.2)
    withdraw(market, bob)
    patiently(market)
    assert_paid_once(market)
    assert market.alerts() == []


def test_faults_one_after_another_end_in_one_payout(market: Market, bob: UUID) -> None:
    for action in ("reset_before", "timeout_after", "conflict_409", "rate_429", "reset_mid_body"):
        market.sandbox.fail(action, "/v1/transfers", seconds=0.1)
    withdraw(market, bob)
    patiently(market, 12)
    assert_paid_once(market)


@pytest.mark.parametrize("path", CALLS)
def test_a_worker_killed_before_the_request_arrives_does_it_once_all_the_same(
    market: Market, bob: UUID, path: str, tmp_path: Path
) -> None:
    withdraw(market, bob)
    while _next_path() != path:
        assert outbox.run_outbox(1) == 1
    with socket.create_server(("127.0.0.1", 0)) as hole:
        kill_a_worker(market, f"http://127.0.0.1:{hole.getsockname()[1]}", tmp_path, hole)
    assert market.posts(path) == 0
    assert outbox.run_outbox() == 0, "the lease of the dead worker holds"
    market.wait("3 minutes")
    patiently(market)
    assert_paid_once(market)


@pytest.mark.parametrize("path", CALLS)
def test_a_worker_killed_after_the_request_was_done_does_it_once_all_the_same(
    market: Market, bob: UUID, path: str, tmp_path: Path
) -> None:
    withdraw(market, bob)
    while _next_path() != path:
        assert outbox.run_outbox(1) == 1
    market.sandbox.fail("timeout_after", path, seconds=20)
    kill_a_worker(market, market.sandbox.url, tmp_path, None, path)
    assert market.posts(path) == 1
    market.wait("3 minutes")
    patiently(market)
    assert market.posts(path) == 2
    assert_paid_once(market)


@pytest.mark.parametrize("path", CALLS)
def test_a_worker_killed_between_the_answer_and_its_record_does_it_once_all_the_same(
    market: Market, bob: UUID, path: str, tmp_path: Path
) -> None:
    withdraw(market, bob)
    while _next_path() != path:
        assert outbox.run_outbox(1) == 1
    market.sandbox.fail("slow", path, seconds=3)
    worker = start_a_worker(market, market.sandbox.url, tmp_path)
    with market.postgres.connect(market.database) as other:
        other.autocommit = False
        _until(lambda: _count("outgoing_call WHERE state = 'sent'") == 1)
        other.execute("SELECT FROM outgoing_call WHERE state = 'sent' FOR UPDATE")
        _until(lambda: market.posts(path) == 1)
        _until(lambda: _count("pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'") == 1)
        worker.kill()
        worker.wait(10)
        other.rollback()
    market.wait("3 minutes")
    patiently(market)
    assert market.posts(path) == 2
    assert_paid_once(market)


def _count(what: str) -> int:
    with db.engine.connect() as connection:
        return int(connection.execute(text(f"SELECT count(*) FROM {what}")).scalar_one())


def _until(true: Callable[[], bool]) -> None:
    """Wait for a process to begin, which a busy machine takes its time for."""
    for _ in range(3_000):
        if true():
            return
        threading.Event().wait(0.02)
    raise TimeoutError


def start_a_worker(market: Market, address: str, home: Path) -> "subprocess.Popen[bytes]":
    """Start a real worker process that runs the outbox once."""
    environ = os.environ | {
        "DATABASE_URL": market.app.config["SQLALCHEMY_DATABASE_URI"],
        "DUEBILL_HOME": str(home),
        "STRIPE_API_BASE": address,
        "STRIPE_API_KEY": "sk_test_market",
        "STRIPE_WEBHOOK_SECRET": SECRET,
    }
    return subprocess.Popen([sys.executable, "-c", WORKER], cwd=HOUSE, env=environ)


def kill_a_worker(market: Market, address: str, home: Path, hole: socket.socket | None, path: str = "") -> None:
    """Start a real worker process and SIGKILL it once its request is on the wire (or done, without a hole)."""
    worker = start_a_worker(market, address, home)
    if hole is not None:
        hole.settimeout(60)
        connection, _ = hole.accept()
        assert connection.recv(1000).startswith(b"POST ")
        worker.kill()
        worker.wait(10)
        connection.close()
        return
    _until(lambda: market.posts(path) == 1)
    worker.kill()
    worker.wait(10)


def _next_path() -> str:
    with db.engine.connect() as connection:
        kind = (
            connection.execute(text("SELECT kind FROM outgoing_call WHERE state = 'pending' ORDER BY next_at"))
            .scalars()
            .first()
        )
    return f"/v1/{kind}s"


def test_several_workers_at_once_pay_once(market: Market, bob: UUID) -> None:
    withdraw(market, bob)
    market.sandbox.fail("slow", "/v1/transfers", seconds=0.5)

    def work() -> None:
        with market.app.app_context():
            for _ in range(6):
                outbox.run_outbox()

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    patiently(market)
    assert market.posts("/v1/transfers") == 1
    assert_paid_once(market)


def test_what_stayed_unknown_for_a_day_is_looked_up_and_never_sent_again(market: Market, bob: UUID) -> None:
    withdraw(market, bob)
    while _next_path() != "/v1/transfers":
        outbox.run_outbox(1)
    market.sandbox.fail("timeout_after", "/v1/transfers", seconds=0.1)
    outbox.run_outbox()
    market.sandbox.knob("forget_keys")
    market.wait("24 hours")
    patiently(market)
    assert market.posts("/v1/transfers") == 1
    assert_paid_once(market)


def test_what_cannot_be_found_after_a_day_rests_until_people_decide(market: Market, bob: UUID) -> None:
    withdraw(market, bob)
    while _next_path() != "/v1/transfers":
        outbox.run_outbox(1)
    market.sandbox.fail("error_500", "/v1/transfers")
    outbox.run_outbox()
    market.sandbox.knob("forget_keys")
    for _ in range(6):
        market.wait("24 hours")
        market.work()
    assert market.posts("/v1/transfers") == 1
    assert market.sandbox.objects("transfer") == 0
    assert market.alerts() == ["call_unknown"]
    assert market.balance("withdrawal_in_transit", bob) == 20_000
    assert reconcile.run_reconciliation()["GBP"] == 0


@pytest.mark.parametrize("decision", ["again", "give_back"])
def test_two_people_release_what_stays_unknown(market: Market, bob: UUID, decision: str) -> None:
    test_what_cannot_be_found_after_a_day_rests_until_people_decide(market, bob)
    olga, oscar = (Actor(Role.OPERATOR, user_id=new_id(), organisation_id=new_id()) for _ in range(2))
    with Session(db.engine) as session:
        (resting,) = queries.resting_calls(session)
    command = RetryCall(resting.id, decision, "Stripe shows nothing.")
    with pytest.raises(NotPermitted):
        perform(retry_call, command, Actor.system("test"))
    assert perform(retry_call, command, olga)["released"] is False
    with pytest.raises(RuleBroken, match="four_eyes"):
        perform(retry_call, command, olga)
    assert perform(retry_call, command, oscar)["released"] is True
    with pytest.raises(Conflict, match="not_resting"):
        perform(retry_call, command, olga)
    patiently(market)
    if decision == "again":
        assert_paid_once(market)
        assert market.alerts() == []
    else:
        assert state() == "returned"
        assert market.balance("investor_cash", bob) == market.sandbox.balance() == 50_000
        assert market.alerts() == ["payout_failed"]


@pytest.mark.parametrize("path", CALLS)
def test_a_definite_refusal_gives_the_money_back_and_calls_a_person(market: Market, bob: UUID, path: str) -> None:
    market.sandbox.fail("refuse", path)
    withdraw(market, bob)
    market.work()
    assert state() == "returned"
    assert market.balance("investor_cash", bob) == market.sandbox.balance() == 50_000
    assert "payout_failed" in market.alerts()
    assert reconcile.run_reconciliation()["GBP"] == 0
    withdraw(market, bob)
    market.work()
    market.sandbox.knob("advance")
    market.work()
    assert market.sandbox.balance() == 30_000


def test_a_refusal_of_a_later_attempt_is_not_believed_before_looking(market: Market, bob: UUID) -> None:
    withdraw(market, bob)
    while _next_path() != "/v1/transfers":
        outbox.run_outbox(1)
    market.sandbox.fail("timeout_after", "/v1/transfers", seconds=0.1)
    outbox.run_outbox()
    market.sandbox.knob("forget_keys")
    market.sandbox.fail("refuse", "/v1/transfers")
    patiently(market)
    assert_paid_once(market)


def test_a_provider_that_is_away_delays_and_loses_nothing(market: Market, bob: UUID) -> None:
    market.sandbox.kill()
    withdraw(market, bob)
    outbox.run_outbox()
    market.sandbox.start()
    market.wait("1 minute")
    patiently(market)
    assert_paid_once(market)


def test_a_payment_page_that_could_not_be_opened_is_being_prepared(market: Market) -> None:
    bob = market.organisation("investor", "Bob Capital")
    market.sandbox.fail("error_500_after", "/v1/checkout/sessions")
    funding = market.fund(bob, outcome=None)
    assert market.funding(funding).state == "preparing"
    market.wait("1 minute")
    url = outbox.start_now(funding)
    market.work()
    url = url or market.funding(funding).pay_url
    assert market.sandbox.objects("checkout.session") == 1
    assert pay(str(url)).startswith("http://127.0.0.1/back/")


def test_a_webhook_faster_than_our_own_commit_finds_its_payment(market: Market) -> None:
    bob = market.organisation("investor", "Bob Capital")
    market.sandbox.fail("timeout_after", "/v1/checkout/sessions", seconds=0.1)
    funding = market.fund(bob, outcome=None)
    assert market.funding(funding).session_id is None
    pay(client(market.sandbox).checkout.sessions.list().data[0].url)
    market.hear()
    inbox.run_inbox()
    assert market.funding(funding).state == "succeeded"
    market.wait("1 minute")
    market.work()
    assert market.funding(funding).state == "succeeded"
    assert market.balance("investor_cash", bob) == market.sandbox.balance() == 50_000
    assert market.sandbox.objects("checkout.session") == 1


def test_a_call_is_confirmed_once_and_never_with_two_objects(market: Market, bob: UUID) -> None:
    with db.engine.connect() as connection:
        call = connection.execute(text("SELECT id, provider_id FROM outgoing_call WHERE kind = 'checkout'")).one()
    with pytest.raises(Conflict, match="call_done"):
        perform(confirm_call, ConfirmCall(call.id, call.provider_id), Actor.system("test"))
    with pytest.raises(IntegrityBreach, match="two_objects"):
        perform(confirm_call, ConfirmCall(call.id, "cs_other"), Actor.system("test"))


def test_a_real_time_out_counts_as_unknown(market: Market, bob: UUID) -> None:
    withdraw(market, bob)
    market.sandbox.fail("slow", "/v1/accounts", seconds=1.5)
    with db.engine.connect() as connection:
        call_id = connection.execute(text("SELECT id FROM outgoing_call WHERE state = 'pending'")).scalar_one()
    outbox.run_one(call_id, StripeGateway("sk_test_market", market.sandbox.url, timeout=0.3))
    with db.engine.connect() as connection:
        assert (
            connection.execute(text("SELECT state FROM outgoing_call WHERE id = :id"), {"id": call_id}).scalar_one()
            == "unknown"
        )
    threading.Event().wait(1.5)
    market.wait("1 minute")
    patiently(market)
    assert_paid_once(market)

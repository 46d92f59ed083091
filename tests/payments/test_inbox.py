"""Webhooks may come twice, late, shuffled, forged or not at all: the end is the same."""

import json
import random
import threading
import time
import urllib.error
import urllib.request
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from marketplace.db import db
from marketplace.kernel.actors import Role
from marketplace.payments import inbox, outbox, reconcile
from marketplace.payments.actions import withdraw_cash
from marketplace.payments.sandbox.clock import sign
from marketplace.payments.schemas import WithdrawCash
from marketplace.perform import perform
from tests.payments.playing import SECRET, Market


def a_busy_day(market: Market) -> tuple[UUID, UUID]:
    """Let two investors pay in and out, with successes and failures, while no webhook is delivered."""
    market.sandbox.knob("settings", delivery_mode="hold")
    bob, carol = market.organisation("investor", "Bob Capital"), market.organisation("investor", "Carol Partners")
    for investor, minor, outcome in ((bob, 50_000, "paid"), (carol, 40_000, "later"), (bob, 30_000, "later_fails")):
        market.fund(investor, minor, outcome)
    market.sandbox.knob("advance")
    market.sandbox.knob("deliver")
    while outbox.run_outbox() + inbox.run_inbox():
        pass
    for investor, minor in ((bob, 10_000), (carol, 20_000)):
        perform(withdraw_cash, WithdrawCash(minor, "GBP"), market.actor(Role.INVESTOR, investor))
    while outbox.run_outbox():
        pass
    with db.engine.connect() as connection:
        payouts = dict(connection.execute(text("SELECT amount_minor, payout_id FROM payout")).all())
    market.sandbox.knob("payout", payout=payouts[10_000], outcome="paid_then_failed")
    market.sandbox.knob("payout", payout=payouts[20_000], outcome="paid")
    return bob, carol


def finish(market: Market) -> None:
    """Let the workers work until nothing is left."""
    while outbox.run_outbox() + inbox.run_inbox():
        pass


def picture(market: Market, bob: UUID, carol: UUID) -> dict[str, Any]:
    """Return everything that must come out the same, to the penny."""

    def column(sql: str) -> list[Any]:
        with db.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(sql))]

    return {
        "cash": [market.balance("investor_cash", one) for one in (bob, carol)],
        "transit": [market.balance("withdrawal_in_transit", one) for one in (bob, carol)],
        "provider": market.balance("provider_lender"),
        "outside": market.sandbox.balance(),
        "fundings": column("SELECT amount_minor, state FROM funding ORDER BY amount_minor"),
        "payouts": column("SELECT amount_minor, state FROM payout ORDER BY amount_minor"),
        "unsettled": column("SELECT kind FROM incoming_event WHERE state = 'received'"),
        "unexplained": reconcile.run_reconciliation()["GBP"],
    }  # fmt: skip


EXPECTED = {
    "cash": [50_000, 20_000], "transit": [0, 0], "provider": 70_000, "outside": 70_000,
    "fundings": [(30_000, "failed"), (40_000, "succeeded"), (50_000, "succeeded")],
    "payouts": [(10_000, "returned"), (20_000, "paid")], "unsettled": [], "unexplained": 0,
}  # fmt: skip


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"copies": 10},
        {"order": "reversed"},
        *({"order": "shuffled", "seed": seed, "copies": 3} for seed in range(4)),
    ],
    ids=str,
)
def test_events_twice_or_in_any_order_end_the_same(market: Market, how: dict[str, Any]) -> None:
    bob, carol = a_busy_day(market)
    statuses = market.sandbox.knob("deliver", **how)["statuses"]
    assert set(statuses) == {200}
    finish(market)
    assert picture(market, bob, carol) == EXPECTED


def test_events_worked_on_one_by_one_between_deliveries_end_the_same(market: Market) -> None:
    bob, carol = a_busy_day(market)
    events = [one["id"] for one in market.sandbox.ask("GET", "/v1/events?limit=100", None,
                                                      {"Authorization": "Bearer sk_test_1"})["data"]]  # fmt: skip
    random.Random(7).shuffle(events)
    for event in events:
        market.sandbox.knob("deliver", events=[event])
        inbox.run_inbox(1)
        outbox.run_outbox(1)
    market.sandbox.knob("deliver")
    finish(market)
    assert picture(market, bob, carol) == EXPECTED


def test_events_that_never_come_are_asked_for(market: Market) -> None:
    bob, carol = a_busy_day(market)
    market.wait("11 minutes")
    assert inbox.ask_after_silence() > 0
    finish(market)
    assert picture(market, bob, carol) == EXPECTED
    market.wait("11 minutes")
    assert inbox.ask_after_silence() == 0


def test_workers_on_the_inbox_at_once_end_the_same(market: Market) -> None:
    bob, carol = a_busy_day(market)
    market.sandbox.knob("deliver", copies=2)

    def work() -> None:
        with market.app.app_context():
            inbox.run_inbox()

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    finish(market)
    assert picture(market, bob, carol) == EXPECTED


def kept() -> int:
    """Return how many events are kept."""
    with db.engine.connect() as connection:
        return int(connection.execute(text("SELECT count(*) FROM incoming_event")).scalar_one())


def post(market: Market, raw: bytes, signature: str | None) -> int:
    """Post a webhook and return the status."""
    headers = {"Content-Type": "application/json"} | ({"Stripe-Signature": signature} if signature is not None else {})
    try:
        with urllib.request.urlopen(urllib.request.Request(market.webhook, raw, headers), timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code


def test_a_forged_or_stale_event_is_refused_and_nothing_is_kept(market: Market) -> None:
    market.sandbox.knob("settings", delivery_mode="hold")
    market.fund(market.organisation("investor", "Bob Capital"))
    event = market.sandbox.knob("event", type="checkout.session.completed")["id"]
    assert market.sandbox.knob("forge", event=event)["status"] == 400
    assert market.sandbox.knob("deliver", events=[event], late_seconds=301)["statuses"] == [400]
    assert kept() == 0
    assert market.sandbox.knob("deliver", events=[event], late_seconds=200)["statuses"] == [200]
    assert kept() == 1


def test_what_is_held_back_comes_when_it_is_let_go_of(market: Market) -> None:
    market.sandbox.knob("settings", delivery_mode="hold")
    market.fund(market.organisation("investor", "Bob Capital"))
    event = market.sandbox.knob("event", type="checkout.session.completed")["id"]
    waiting = market.sandbox.knob("waiting")["deliveries"]
    assert waiting > 1
    market.sandbox.knob("deliver", events=[event])
    assert kept() == 1
    assert market.sandbox.knob("waiting")["deliveries"] == waiting - 1
    assert market.sandbox.knob("release") == {"released": waiting - 1}
    market.hear()
    assert kept() == waiting


@pytest.mark.parametrize("signature", [None, "", "t=1", "t=x,v1=y", "v1=00", "t=1,v1=" + "0" * 64, "t=" + "9" * 400])
def test_odd_signatures_are_refused(market: Market, signature: str | None) -> None:
    assert post(market, b"{}", signature) == 400
    assert kept() == 0


NO_SUCH_DAY = b'{"id": "e", "created": 1e99, "type": "t", "data": {"object": {"object": "o"}}}'
ODD = [b"", b"{}", b"[]", b"null", b'{"id": 1}', b'{"data": {"object": []}}', NO_SUCH_DAY, b"\xff\xfe", b"{" * 5000]


@pytest.mark.parametrize("raw", ODD)
def test_odd_bodies_with_a_good_signature_are_refused(market: Market, raw: bytes) -> None:
    assert post(market, raw, sign(SECRET, raw, int(time.time()))) == 400
    assert kept() == 0


def test_an_event_about_somebody_elses_object_is_kept_and_ignored(market: Market) -> None:
    event = {"id": "evt_other", "type": "checkout.session.completed",
             "data": {"object": {"object": "checkout.session", "id": "cs_test_none"}}}  # fmt: skip
    raw = json.dumps(event).encode()
    assert post(market, raw, sign(SECRET, raw, int(time.time()))) == 200
    finish(market)
    with db.engine.connect() as connection:
        assert connection.execute(text("SELECT state FROM incoming_event")).scalars().all() == ["ignored"]


def test_the_webhook_says_whether_it_knew_the_event_and_keeps_the_bytes(market: Market) -> None:
    raw = b'{ "id": "evt_1", "type": "customer.created", "data": {"object": {"object": "customer", "id": "cus_1"}} }'
    signature = sign(SECRET, raw, int(time.time()))
    for fresh in (True, False):
        request = urllib.request.Request(market.webhook, raw, {"Stripe-Signature": signature})
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert json.load(answer) == {"kept": True, "fresh": fresh}
    with db.engine.connect() as connection:
        row = connection.execute(text("SELECT raw, signature FROM incoming_event")).one()
    assert (bytes(row.raw), row.signature) == (raw, signature)


def test_events_that_nobody_understands_hold_up_no_other(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    market.sandbox.knob("settings", delivery_mode="hold")
    bob = market.organisation("investor", "Bob Capital")
    strange = {"id": "cs_test_strange", "object": "checkout.session"}
    for number in range(3):
        event = {"id": f"evt_{number}", "type": "checkout.session.completed", "data": {"object": strange}}
        raw = json.dumps(event).encode()
        assert post(market, raw, sign(SECRET, raw, int(time.time()))) == 200
    market.fund(bob)
    market.sandbox.knob("deliver")
    seen = inbox.look

    def look(gateway: Any, kind: str, object_id: str, account: str | None) -> Any:
        return (
            {}["a status of next year"] if object_id == "cs_test_strange" else seen(gateway, kind, object_id, account)
        )

    monkeypatch.setattr(inbox, "look", look)
    for _ in range(12):
        inbox.run_inbox(2)
    assert market.balance("investor_cash", bob) == 50_000
    with db.engine.connect() as connection:
        left = connection.execute(text("SELECT attempts FROM incoming_event WHERE state = 'received'")).scalars().all()
        told = connection.execute(text("SELECT count(*) FROM event WHERE verb = 'postpone_event'")).scalar_one()
    assert (left, told) == ([3, 3, 3], 9)


def test_the_provider_being_away_leaves_events_for_later(market: Market) -> None:
    bob = market.organisation("investor", "Bob Capital")
    market.fund(bob)
    market.hear()
    market.sandbox.kill()
    inbox.run_inbox()
    assert market.balance("investor_cash", bob) == 0
    market.sandbox.start()
    market.work()
    assert market.balance("investor_cash", bob) == 50_000

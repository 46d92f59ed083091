"""A debtor's money counts from the day the provider had it, however late we hear of that."""

from datetime import date, timedelta
from uuid import UUID

import psycopg
import pytest
from sqlalchemy.orm import Session

from marketplace.db import db, market_now
from marketplace.kernel.clock import business_date
from marketplace.payments import inbox, queries
from tests.payments.playing import Market, pay
from tests.trading.world import libpq

DAY = 86_400
ZONE = "Europe/London"


@pytest.fixture
def started(market: Market) -> tuple[UUID, str]:
    """A payment whose page was opened five days ago and not paid yet: its id, and its page."""
    _shift(market, "-5 days")
    seller, debtor = market.organisation("seller", "Alice Ltd"), market.organisation("debtor", "Kestrel Ltd", None)
    payment_id, url = market.start_payment(debtor, market.receivable(seller, debtor))
    market.work()
    _shift(market, "0")
    assert url is not None
    return payment_id, url


def _shift(market: Market, shift: str) -> None:
    as_owner(market, "UPDATE clock_shift SET shift = %s", shift)


def as_owner(market: Market, sql: str, *values: object) -> None:
    with psycopg.connect(libpq(market.postgres.url(market.database))) as owner:
        owner.execute(sql, values)


def provider_is_behind(market: Market, days: float) -> None:
    """Let what the provider does now have been done so many days ago."""
    market.sandbox.knob("settings", clock_seconds=-days * DAY)


def received_on(payment_id: UUID) -> date | None:
    with Session(db.engine) as session:
        return queries.debtor_payment(session, payment_id).received_on


def days_ago(days: int) -> date:
    with Session(db.engine) as session:
        return business_date(market_now(session) - timedelta(days=days), ZONE)


def test_what_arrived_while_we_were_down_counts_from_its_own_day(market: Market, started: tuple[UUID, str]) -> None:
    market.sandbox.knob("settings", delivery_mode="drop")
    provider_is_behind(market, 3)
    payment_id, url = started
    pay(url)
    _shift(market, "11 minutes")
    assert inbox.ask_after_silence() == 1
    assert received_on(payment_id) == days_ago(3)


def test_a_debit_counts_from_the_day_it_was_paid_and_not_from_the_day_it_was_sent(
    market: Market, started: tuple[UUID, str]
) -> None:  # fmt: skip
    market.sandbox.knob("settings", delivery_mode="hold")
    provider_is_behind(market, 4)
    payment_id, url = started
    pay(url, "later")
    provider_is_behind(market, 2)
    market.sandbox.knob("advance")
    market.sandbox.knob(
        "deliver"
    )  # both events at once: the earlier one, worked on first, finds the money there already
    inbox.run_inbox()
    assert received_on(payment_id) == days_ago(2)


def test_a_debit_whose_event_never_came_counts_from_the_day_we_asked(
    market: Market, started: tuple[UUID, str]
) -> None:  # fmt: skip
    market.sandbox.knob("settings", delivery_mode="drop")
    provider_is_behind(market, 4)
    payment_id, url = started
    pay(url, "later")
    market.sandbox.knob("advance")
    _shift(market, "11 minutes")
    assert inbox.ask_after_silence() == 1
    assert received_on(payment_id) == days_ago(0)


@pytest.mark.parametrize(("behind", "counted"), [(9, 5), (-2, 0)])
def test_no_clock_of_the_providers_dates_money_before_it_was_asked_for_or_after_today(
    market: Market, started: tuple[UUID, str], behind: int, counted: int
) -> None:  # fmt: skip
    market.sandbox.knob("settings", delivery_mode="hold")
    provider_is_behind(market, behind)
    payment_id, url = started
    pay(url)
    market.sandbox.knob("deliver")
    inbox.run_inbox()
    assert received_on(payment_id) == days_ago(counted)


def test_the_database_takes_no_arrived_money_without_its_day_and_changes_none(
    market: Market, started: tuple[UUID, str]
) -> None:  # fmt: skip
    payment_id, url = started
    with pytest.raises(psycopg.errors.CheckViolation):
        as_owner(market, "UPDATE debtor_payment SET state = 'succeeded' WHERE id = %s", payment_id)
    pay(url)
    market.work()
    with pytest.raises(psycopg.errors.RestrictViolation):
        as_owner(market, "UPDATE debtor_payment SET received_on = received_on - 1 WHERE id = %s", payment_id)

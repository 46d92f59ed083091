"""Of the provider's balance the last days are read each hour, and once a business day its whole history."""

import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from uuid import UUID

import psycopg
import pytest
from sqlalchemy.orm import Session

from marketplace.db import db
from marketplace.embedded_postgres import EmbeddedPostgres
from marketplace.payments import provider_lines, queries, reconcile
from marketplace.payments.gateway import BalanceLine
from marketplace.payments.stripe_gateway import StripeGateway
from tests.payments.playing import Market


@pytest.fixture
def bob(market: Market) -> UUID:
    """An investor who has not paid in yet."""
    return market.organisation("investor", "Bob Capital")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[datetime | None, list[int]]]:
    """What was asked of the provider since a comparison began: from when on, and the sums it told."""
    found: list[tuple[datetime | None, list[int]]] = []
    real = StripeGateway.balance_lines

    def told(
        gateway: StripeGateway, account: str | None = None, since: datetime | None = None
    ) -> Iterator[BalanceLine]:
        lines = list(real(gateway, account, since))
        found.append((since, [line.minor for line in lines]))
        return iter(lines)

    monkeypatch.setattr(StripeGateway, "balance_lines", told)
    return found


def comes_in(market: Market, bob: UUID, minor: int) -> None:
    """Let an investor's money come in."""
    market.fund(bob, minor)
    market.work()


def breaks() -> list[tuple[str, int]]:
    """Compare, and return the named differences in pounds; nothing may be unexplained."""
    assert reconcile.run_reconciliation()["GBP"] == 0
    with Session(db.engine) as session:
        pounds = next(row for row in queries.last_reconciliations(session) if row.currency == "GBP")
    return [(one["kind"], one["minor"]) for one in pounds.breaks]


def test_what_was_read_before_is_kept_and_not_asked_for_again(
    market: Market, bob: UUID, asked: list[tuple[datetime | None, list[int]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider_lines, "OVERLAP", timedelta(0))
    comes_in(market, bob, 1_000)
    time.sleep(1.1)  # the provider's instants are whole seconds
    comes_in(market, bob, 2_000)
    assert breaks() == []
    time.sleep(1.1)
    comes_in(market, bob, 4_000)
    assert breaks() == []
    (whole, first), (since, second) = asked
    assert (whole, first) == (None, [2_000, 1_000])
    assert since is not None
    assert second == [4_000, 2_000], "the newest known one is told once more, and the older one is not"


def test_two_days_are_read_again_for_what_came_late(
    market: Market, bob: UUID, asked: list[tuple[datetime | None, list[int]]]
) -> None:
    comes_in(market, bob, 1_000)
    assert breaks() == breaks() == []
    since = asked[1][0]
    with Session(db.engine) as session:
        (line,) = provider_lines.kept(session)
    assert since == line.made_at - timedelta(days=2)


def test_each_business_day_begins_with_the_whole_history(
    market: Market, bob: UUID, asked: list[tuple[datetime | None, list[int]]]
) -> None:
    comes_in(market, bob, 1_000)
    assert breaks() == breaks() == []
    market.wait("1 day")
    assert breaks() == breaks() == []
    assert [since is None for since, _ in asked] == [True, False, True, False]


def test_a_line_that_is_told_otherwise_than_before_is_named_until_both_agree(
    market: Market, bob: UUID, asked: list[tuple[datetime | None, list[int]]]
) -> None:
    comes_in(market, bob, 1_000)
    assert breaks() == []
    _as_if_kept(market, "UPDATE provider_line SET minor = 999")
    assert breaks() == breaks() == [("line_changed", 0)], "what the provider tells now is what is compared"
    assert "reconciliation_break" in market.alerts()
    _as_if_kept(market, "UPDATE provider_line SET minor = 1000")
    assert breaks() == breaks() == []
    assert [since is None for since, _ in asked] == [True, False, True, True, False]


def test_a_line_that_is_told_no_more_is_named_and_what_it_stood_for_is_missed(market: Market, bob: UUID) -> None:
    comes_in(market, bob, 1_000)
    assert breaks() == []
    _as_if_kept(market, "UPDATE provider_line SET line_id = 'txn_of_old'")
    assert breaks() == [("line_gone", 0)]
    market.wait("1 day")
    assert breaks() == [("line_gone", 0)]


@pytest.mark.parametrize("wrong", [
    "UPDATE provider_line SET minor = 1", "DELETE FROM provider_line", "TRUNCATE provider_line",
    "INSERT INTO provider_line SELECT * FROM provider_line",
    "INSERT INTO provider_line SELECT 'txn_0', kind, minor, fee_minor, currency, made_at FROM provider_line",
])  # fmt: skip
def test_the_database_keeps_what_was_read(
    market: Market, bob: UUID, postgres: EmbeddedPostgres, database: str, wrong: str
) -> None:
    comes_in(market, bob, 1_000)
    breaks()
    with postgres.connect(database) as connection, pytest.raises(psycopg.Error), connection.transaction():
        connection.execute(wrong)
    with Session(db.engine) as session:
        assert [line.minor for line in provider_lines.kept(session)] == [1_000]


def _as_if_kept(market: Market, statement: str) -> None:
    """Let something else have been kept, as no role of the market's could."""
    with market.postgres.connect(market.database) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(statement.encode())

"""At a call point a bidder learns whether his own bids would clear, and nothing about anybody else's."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from config.settings import read_policy
from marketplace.db import db, market_now
from marketplace.kernel.policy import parse
from marketplace.perform import perform
from marketplace.trading.actions import place_bid, withdraw_bid
from marketplace.trading.calls import calls_of
from marketplace.trading.rules import calls_between
from marketplace.trading.schemas import PlaceBid, WithdrawBid
from tests.trading.world import World

POLICY = parse(read_policy())


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc]


@pytest.mark.parametrize(
    ("opened", "until", "calls"),
    [
        (at(2026, 8, 12, 8), at(2026, 8, 12, 12, 59), [at(2026, 8, 12, 9)]),
        (at(2026, 8, 12, 8), at(2026, 8, 12, 13), [at(2026, 8, 12, 13), at(2026, 8, 12, 9)]),
        (at(2026, 8, 12, 9), at(2026, 8, 12, 12), []),
        (at(2026, 10, 24, 10), at(2026, 10, 25, 10), [at(2026, 10, 25, 10), at(2026, 10, 24, 13)]),
    ],
)
def test_call_points_are_hours_of_the_market_s_own_zone(
    opened: datetime, until: datetime, calls: list[datetime]
) -> None:
    assert calls_between(opened, until, (10, 14), "Europe/London") == calls


def test_a_bidder_learns_how_his_bid_stood_and_only_his(world: World) -> None:
    lot = world.lot(minutes=3 * 24 * 60)
    for who in ("bob", "carol", "dave"):
        world.fund(who, 9_000_000)
    perform(place_bid, PlaceBid(lot, 800, 4_140_000), world.bob)
    first = perform(place_bid, PlaceBid(lot, 700, 4_140_000), world.carol)
    world.move_clock(timedelta(days=1))
    perform(withdraw_bid, WithdrawBid(UUID(first["bid_id"])), world.carol)
    now = market_now(db.session())

    def seen(who: str) -> set[tuple[int, bool]]:
        calls = calls_of(db.session(), POLICY, now, world.id(who), [lot], most=2)
        return {(call.rate_bps, call.clearing) for call in calls}

    assert seen("bob") == {(800, False)}
    assert seen("carol") == {(700, True)}
    assert seen("dave") == set()
    world.move_clock(timedelta(days=1))
    db.session.rollback()
    latest = calls_of(db.session(), POLICY, market_now(db.session()), world.id("bob"), [lot], most=1)
    assert [call.clearing for call in latest] == [True]

"""A bid is sealed, backed by a hold of exactly its cash, in time or not at all."""

from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import text

from marketplace.db import db
from marketplace.kernel.errors import NotFound, NotPermitted, RuleBroken
from marketplace.kernel.ids import new_id
from marketplace.ledger import queries as ledger
from marketplace.perform import perform
from marketplace.trading import queries
from marketplace.trading.actions import place_bid, withdraw_bid
from marketplace.trading.schemas import PlaceBid, WithdrawBid
from tests.trading.world import World


def bid(world: World, who: str, lot: UUID, rate: int, cash: int, least: int = 0, replaces: UUID | None = None) -> UUID:
    return UUID(perform(place_bid, PlaceBid(lot, rate, cash, least, replaces), getattr(world, who))["bid_id"])


def cash(world: World, who: str) -> tuple[int, int]:
    db.session.rollback()
    balance = ledger.balance(db.session, "investor_cash", world.id(who), "GBP")
    return balance.posted_minor, balance.held_minor


def refused(world: World, who: str, lot: UUID, rate: int, money: int, least: int = 0) -> RuleBroken:
    with pytest.raises(RuleBroken) as refusal:
        bid(world, who, lot, rate, money, least)
    return refusal.value


def count(table: str) -> int:
    db.session.rollback()
    return int(db.session.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


def test_a_bid_holds_exactly_its_cash(world: World) -> None:
    world.fund("bob", 5_000_000)
    lot = world.lot()
    bid_id = bid(world, "bob", lot, 710, 1_000_000, 500_000)
    assert cash(world, "bob") == (5_000_000, 1_000_000)
    [found] = queries.bids_of(db.session, lot, world.id("bob"))
    assert (found.id, found.rate_bps, found.cash_minor, found.min_fill_minor) == (
        bid_id,
        710,
        1_000_000,
        500_000,
    )
    assert found.state == "placed"


def test_a_bid_beyond_the_cash_is_refused_and_changes_nothing(world: World) -> None:
    world.fund("bob", 999_999)
    lot = world.lot()
    events = count("event")
    refusal = refused(world, "bob", lot, 710, 1_000_000)
    assert refusal.code == "insufficient_cash"
    assert [problem.field for problem in refusal.problems] == ["cash_minor"]
    assert cash(world, "bob") == (999_999, 0)
    assert (count("bid"), count("hold"), count("event")) == (0, 0, events)


def test_two_bids_cannot_hold_the_same_money(world: World) -> None:
    world.fund("bob", 1_500_000)
    lot, other = world.lot(), world.lot()
    bid(world, "bob", lot, 710, 1_000_000)
    assert refused(world, "bob", other, 710, 1_000_000).code == "insufficient_cash"


def test_a_refused_bid_hears_every_reason_at_once(world: World) -> None:
    world.fund("bob", 5_000_000)
    refusal = refused(world, "bob", world.lot(), 851, 9_999, 10_000)
    assert [problem.rule for problem in refusal.problems] == [
        "above_reserve",
        "below_minimum",
        "not_lot_multiple",
        "over_cash",
    ]


def test_the_seller_s_own_group_may_not_bid(world: World) -> None:
    world.fund("bob", 5_000_000)
    lot = world.lot()
    with world.superuser() as superuser:
        superuser.execute("UPDATE organisation SET group_id = %s WHERE id = %s", (world.id("alice"), world.id("bob")))
    assert [problem.rule for problem in refused(world, "bob", lot, 700, 1_000_000).problems] == ["related_party"]


def test_a_suspended_investor_may_not_bid(world: World) -> None:
    world.fund("bob", 5_000_000)
    with world.superuser() as superuser:
        superuser.execute("UPDATE organisation SET good_standing = false WHERE id = %s", (world.id("bob"),))
    refusal = refused(world, "bob", world.lot(), 700, 1_000_000)
    assert [problem.rule for problem in refusal.problems] == ["not_in_good_standing"]


def test_a_seller_may_not_bid_and_an_unknown_lot_is_not_found(world: World) -> None:
    lot = world.lot()
    with pytest.raises(NotPermitted):
        bid(world, "alice", lot, 700, 1_000_000)
    with pytest.raises(NotFound):
        bid(world, "bob", new_id(), 700, 1_000_000)


def test_a_bid_after_the_close_is_refused(world: World) -> None:
    world.fund("bob", 5_000_000)
    lot = world.lot()
    world.move_clock(timedelta(hours=1))
    assert refused(world, "bob", lot, 700, 1_000_000).code == "lot_closed"
    assert cash(world, "bob") == (5_000_000, 0)


def test_improving_takes_the_old_bid_back_and_frees_its_hold_first(world: World) -> None:
    world.fund("bob", 1_000_000)
    lot = world.lot()
    first = bid(world, "bob", lot, 760, 1_000_000)
    bid(world, "bob", lot, 710, 1_000_000, replaces=first)
    assert cash(world, "bob") == (1_000_000, 1_000_000)
    assert [(one.rate_bps, one.state) for one in queries.bids_of(db.session, lot, world.id("bob"))] == [
        (710, "placed"),
        (760, "withdrawn"),
    ]


def test_a_withdrawn_bid_frees_its_cash_and_cannot_be_withdrawn_twice(world: World) -> None:
    world.fund("bob", 1_000_000)
    bid_id = bid(world, "bob", world.lot(), 760, 1_000_000)
    perform(withdraw_bid, WithdrawBid(bid_id), world.bob)
    assert cash(world, "bob") == (1_000_000, 0)
    with pytest.raises(RuleBroken, match="wrong_state"):
        perform(withdraw_bid, WithdrawBid(bid_id), world.bob)


def test_a_bid_cannot_be_taken_back_after_the_close(world: World) -> None:
    world.fund("bob", 1_000_000)
    bid_id = bid(world, "bob", world.lot(), 760, 1_000_000)
    world.move_clock(timedelta(hours=1))
    with pytest.raises(RuleBroken, match="lot_closed"):
        perform(withdraw_bid, WithdrawBid(bid_id), world.bob)
    assert cash(world, "bob") == (1_000_000, 1_000_000)


def test_stranger_mallory_can_neither_take_back_nor_replace_another_s_bid(world: World) -> None:
    world.fund("bob", 1_000_000)
    world.fund("mallory", 1_000_000)
    lot = world.lot()
    bid_id = bid(world, "bob", lot, 760, 1_000_000)
    with pytest.raises(NotFound):
        perform(withdraw_bid, WithdrawBid(bid_id), world.mallory)
    with pytest.raises(NotFound):
        bid(world, "mallory", lot, 700, 1_000_000, replaces=bid_id)
    assert cash(world, "bob") == (1_000_000, 1_000_000)
    assert cash(world, "mallory") == (1_000_000, 0)
    assert queries.bids_of(db.session, lot, world.id("mallory")) == []


def test_the_same_request_sent_twice_bids_once(world: World) -> None:
    world.fund("bob", 5_000_000)
    command = PlaceBid(world.lot(), 710, 1_000_000)
    first = perform(place_bid, command, world.bob, idempotency_key="once")
    assert perform(place_bid, command, world.bob, idempotency_key="once") == first
    assert cash(world, "bob") == (5_000_000, 1_000_000)

"""Mandates bid at the close as everybody else, after everybody else; each note says what and why."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from flask import Flask
from sqlalchemy import text

from marketplace.db import db
from marketplace.kernel.errors import InvalidInput, NotFound, NotPermitted, RuleBroken
from marketplace.kernel.ids import new_id
from marketplace.perform import Tx, perform
from marketplace.trading import mandate_queries, queries
from marketplace.trading.actions import close_lot, place_bid
from marketplace.trading.batches import close_lots
from marketplace.trading.instructing import place_mandates
from marketplace.trading.mandates import create_mandate, end_mandate, pause_mandate, resume_mandate
from marketplace.trading.schemas import CloseLot, CloseLots, CreateMandate, NameMandate, PlaceBid
from tests.support import SYSTEM, do
from tests.trading.test_bidding import cash
from tests.trading.world import World, libpq

HOUR = timedelta(hours=1)


def mandate(world: World, who: str, **terms: Any) -> UUID:
    """Write a mandate: 20 bp over the indicative 7.35 %, £20,000 a lot, £1m in 30 days, unless said otherwise."""
    whole = {"name": "Good debtors", "currency": "GBP", "spread_bps": 20, "grade_worst": "B",
             "lot_minor_max": 2_000_000,
             "budget_minor": 100_000_000, "budget_days": 30, **terms}  # fmt: skip
    return UUID(perform(create_mandate, CreateMandate(**whole), getattr(world, who))["mandate_id"])


def close(world: World, *lots: UUID) -> None:
    world.move_clock(HOUR)
    perform(close_lots, CloseLots(lots), SYSTEM)
    db.session.rollback()


def notes(mandate_id: UUID) -> list[tuple[bool, list[str]]]:
    return [(note.bid_id is not None, [one["code"] for one in note.reasons])
            for note in mandate_queries.notes(db.session, mandate_id)]  # fmt: skip


def test_a_mandate_is_an_ordinary_sealed_bid_that_comes_last(world: World) -> None:
    for who in ("bob", "carol"):
        world.fund(who, 9_000_000)
    lot = world.lot()
    mandated = mandate(world, "bob", lot_minor_max=4_000_000)
    perform(place_bid, PlaceBid(lot, 755, 4_000_000), world.carol)
    assert cash(world, "bob") == (9_000_000, 0)  # nothing is held before the close
    close(world, lot)
    book = queries.book(db.session, lot)
    assert [(bid.rate_bps, bid.investor_id == world.id("bob")) for bid in book] == [(755, False), (755, True)]
    fills = {fill.investor_id: fill.cash_minor for fill in queries.fills(db.session, lot)}
    assert abs(fills[world.id("bob")] - fills[world.id("carol")]) <= 1  # the same pro-rata class
    assert notes(mandated) == [(True, [])]
    assert cash(world, "bob") == (9_000_000, 4_000_000)


def test_one_close_and_many_closes_place_the_same_bids(world: World) -> None:
    world.fund("bob", 9_000_000)
    alone, together = world.lot(), world.lot()
    mandate(world, "bob")
    world.move_clock(HOUR)
    perform(close_lot, CloseLot(alone), SYSTEM)
    perform(close_lots, CloseLots((together,)), SYSTEM)
    db.session.rollback()
    seen = [[(bid.rate_bps, bid.cash_minor) for bid in queries.book(db.session, lot)] for lot in (alone, together)]
    assert seen == [[(755, 2_000_000)]] * 2


def test_mandates_bid_in_the_order_of_their_ids_and_share_one_purse(world: World) -> None:
    world.fund("bob", 3_000_000)
    first, second = mandate(world, "bob"), mandate(world, "bob")
    lot = world.lot()
    close(world, lot)
    assert [bid.cash_minor for bid in sorted(queries.book(db.session, lot), key=lambda bid: bid.seq)] == [
        2_000_000, 1_000_000,
    ]  # fmt: skip
    assert notes(first) == notes(second) == [(True, [])]


def test_caps_hold_over_lots_that_close_together(world: World) -> None:
    world.fund("bob", 90_000_000)
    lots = [world.lot(), world.lot(), world.lot()]
    budget = mandate(world, "bob", budget_minor=2_000_000)
    debtor = mandate(world, "bob", debtor_minor_max=5_000_000)  # the budget's bid counts: it is the same investor's
    close(world, *lots)
    assert sorted(notes(budget)) == [(False, ["budget_used"]), (False, ["budget_used"]), (True, [])]
    assert sorted(notes(debtor)) == [(False, ["debtor_cap_used"]), (True, []), (True, [])]


def test_related_parties_and_poor_grades_are_passed_over_with_their_reasons(world: World) -> None:
    world.fund("bob", 9_000_000)
    picky = mandate(world, "bob", grade_worst="A+", tenor_days_max=30)
    lot = world.lot(related_groups=[world.id("bob")])
    close(world, lot)
    assert notes(picky) == [(False, ["related_party", "grade_too_low", "tenor_outside"])]
    assert queries.book(db.session, lot) == []


def test_one_that_rests_or_has_ended_does_not_bid(world: World) -> None:
    world.fund("bob", 9_000_000)
    resting, over, back = mandate(world, "bob"), mandate(world, "bob"), mandate(world, "bob")
    perform(pause_mandate, NameMandate(resting), world.bob)
    perform(end_mandate, NameMandate(over), world.bob)
    perform(pause_mandate, NameMandate(back), world.bob)
    perform(resume_mandate, NameMandate(back), world.bob)
    close(world, world.lot())
    assert (notes(resting), notes(over), notes(back)) == ([], [], [(True, [])])
    with pytest.raises(RuleBroken, match="wrong_state"):
        perform(resume_mandate, NameMandate(over), world.bob)


def test_only_its_own_investor_moves_it_and_no_other_role_writes_one(world: World) -> None:
    mine = mandate(world, "bob")
    with pytest.raises(NotFound):
        perform(pause_mandate, NameMandate(mine), world.mallory)
    with pytest.raises(NotPermitted):
        mandate(world, "alice")


def test_fields_that_contradict_each_other_are_named(world: World) -> None:
    with pytest.raises(InvalidInput) as refused:
        mandate(world, "bob", currency="XXX", tenor_days_min=90, tenor_days_max=30, min_fill_minor=3_000_000,
                budget_minor=1)  # fmt: skip
    assert [one.field for one in refused.value.problems] == [
        "currency", "tenor_days_max", "min_fill_minor", "lot_minor_max",
    ]  # fmt: skip


def test_the_back_test_clears_each_closed_lot_once_more_with_its_bid(world: World) -> None:
    for who in ("bob", "carol"):
        world.fund(who, 9_000_000)
    lot = world.lot()
    perform(place_bid, PlaceBid(lot, 800, 4_140_000), world.carol)
    close(world, lot)
    found = mandate_queries.mandate(db.session, mandate(world, "bob"), world.id("bob"))
    now = queries.lot(db.session, lot).closed_at
    assert now is not None
    (tried,) = mandate_queries.backtest(db.session, found, world.id("bob"), now)
    assert (tried.cash_minor, tried.filled_minor, tried.rate_bps) == (2_000_000, 2_000_000, 755)
    whole = 4_131_000 * 800 * 50 // 3_650_000  # everybody earns the stop-out, and its legs sum to the whole discount
    assert abs(tried.discount_minor - whole * 2_000_000 // 4_131_000) <= 1
    assert db.session.execute(text("SELECT count(*) FROM mandate_note")).scalar_one() == 0


def test_the_database_lets_a_mandate_s_bid_in_at_the_close_and_never_before(world: World) -> None:
    """Whoever holds the application's rights cannot use a mandate to bid late, early, or for somebody else."""
    world.fund("bob", 9_000_000)
    lot, mandated = world.lot(), mandate(world, "bob")
    bid = perform(place_bid, PlaceBid(lot, 700, 1_000_000), world.bob)

    def sneak(mandate_id: UUID | None, investor: str) -> str | None:
        with world.superuser(resting=False) as connection, pytest.raises(psycopg.errors.IntegrityError) as refused:
            connection.execute(
                "INSERT INTO bid (id, lot_id, investor_id, group_id, cash_minor, min_fill_minor, rate_bps, hold_id, "
                "placed_by, mandate_id) VALUES (%s, %s, %s, %s, 10000, 0, 700, %s, %s, %s)",
                (new_id(), lot, world.id(investor), world.id(investor), new_id(), new_id(), mandate_id),
            )
        return refused.value.diag.constraint_name

    assert sneak(mandated, "bob") == "bid_in_time"
    world.move_clock(HOUR)
    assert sneak(None, "bob") == "bid_in_time"
    assert sneak(mandated, "carol") in ("fk_bid_mandate_id_investor_id", "fk_bid_hold_id")
    perform(pause_mandate, NameMandate(mandated), world.bob)
    assert sneak(mandated, "bob") == "bid_mandate_active"
    with world.superuser(resting=False) as connection, pytest.raises(psycopg.errors.RestrictViolation):
        connection.execute("UPDATE bid SET mandate_id = %s WHERE id = %s", (mandated, bid["bid_id"]))


def test_two_closes_at_once_spend_one_budget_once(world: World, app: Flask) -> None:
    """Over two connections: the second close waits for the mandate, and sees what the first one's bids spent."""
    world.fund("bob", 90_000_000)
    lots = [world.lot(), world.lot()]
    once = mandate(world, "bob", budget_minor=2_000_000)
    world.move_clock(HOUR)
    db.session.rollback()

    def close_one(lot: UUID) -> None:
        def instruct(tx: Tx) -> None:
            place_mandates(tx, queries.lock_due(tx.session, [lot]))
            tx.record("lot", lot, after={})

        with app.app_context():
            do(instruct)

    with psycopg.connect(libpq(world.postgres.url(world.database))) as holding, ThreadPoolExecutor(2) as pool:
        holding.execute("SELECT FROM balance JOIN account ON account.id = account_id WHERE code = 'investor_cash' "
                        "AND organisation_id = %s FOR UPDATE OF balance", (world.id("bob"),))  # fmt: skip
        closing = [pool.submit(close_one, lot) for lot in lots]
        world.somebody_waits()
        time.sleep(0.5)
        holding.rollback()
        for one in closing:
            one.result(30)
    assert sorted(notes(once)) == [(False, ["budget_used"]), (True, [])]

"""Many bids at once: as each would be placed alone, in a number of statements that does not grow with them."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from marketplace.db import db
from marketplace.kernel.errors import NotPermitted
from marketplace.kernel.ids import new_id
from marketplace.perform import perform
from marketplace.trading.placing_many import TOGETHER_MAX, Told, place_all, place_bids
from marketplace.trading.schemas import PlaceBid, PlaceBids
from tests.trading.test_bidding import cash, count
from tests.trading.test_placing import crowd, statements
from tests.trading.world import World

STEP = 10_000


def stored() -> list[tuple[int, int, int]]:
    db.session.rollback()
    rows = db.session.execute(text("SELECT rate_bps, cash_minor, min_fill_minor FROM bid ORDER BY seq"))
    return [(row.rate_bps, row.cash_minor, row.min_fill_minor) for row in rows]


def test_every_row_is_judged_by_itself_and_says_why(world: World) -> None:
    world.fund("bob", 300_000)
    lot, gone, closed = world.lot(), new_id(), world.lot(minutes=1)
    related = world.lot(related_groups=[world.id("bob")])
    world.move_clock(timedelta(minutes=2))
    told = place_all(
        [
            PlaceBid(lot, 700, 100_000), PlaceBid(lot, 851, 100_000), PlaceBid(lot, 700, 15_000),
            PlaceBid(gone, 700, 100_000), PlaceBid(closed, 700, 100_000), PlaceBid(related, 700, 100_000),
            PlaceBid(lot, 700, 250_000), PlaceBid(lot, 650, 200_000, 50_000), PlaceBid(lot, 650, STEP),
        ],
        world.bob, "one",
    )  # fmt: skip
    assert [one.code for one in told] == [
        "", "bid_refused", "bid_refused", "not_found", "lot_closed", "bid_refused", "insufficient_cash", "",
        "insufficient_cash",
    ]  # fmt: skip
    rules = [[problem.rule for problem in one.problems] for one in told]
    assert rules[1:4] == [["above_reserve"], ["not_lot_multiple"], ["not_found"]]
    assert rules[5] == ["related_party"]
    assert stored() == [(700, 100_000, 0), (650, 200_000, 50_000)]
    assert cash(world, "bob") == (300_000, 300_000)
    verbs = "SELECT verb, count(*) FROM event WHERE verb IN ('place_bid', 'place_hold') GROUP BY verb ORDER BY verb"
    assert [tuple(row) for row in db.session.execute(text(verbs))] == [("place_bid", 2), ("place_hold", 2)]


def test_the_same_list_under_the_same_key_places_nothing_twice(world: World) -> None:
    world.fund("bob", 900_000)
    lot, open_one = world.lot(), world.lot(bidding="open", extend_seconds=120)
    bids = [PlaceBid(lot, 700, 100_000), PlaceBid(open_one, 700, 100_000), PlaceBid(lot, 900, 100_000)]
    first = place_all(bids, world.bob, "a key")
    assert place_all(bids, world.bob, "a key") == first
    assert (len(stored()), [one.bid_id is None for one in first]) == (2, [False, False, True])


def test_answering_lots_and_replaced_bids_are_placed_one_by_one(world: World) -> None:
    world.fund("bob", 9_000_000)
    lot, bought = world.lot(), world.lot(buy_now_bps=700)
    first = place_all([PlaceBid(lot, 700, 100_000)], world.bob, "first")[0].bid_id
    told = place_all([PlaceBid(lot, 690, 200_000, 0, first), PlaceBid(bought, 650, 4_140_000)], world.bob, "second")
    assert all(one.bid_id for one in told)
    states = db.session.execute(text("SELECT state FROM bid WHERE lot_id = :lot ORDER BY seq"), {"lot": lot}).scalars()
    assert list(states) == ["withdrawn", "placed"]
    assert db.session.execute(text("SELECT count(*) FROM lot WHERE bought_at IS NOT NULL")).scalar_one() == 1


def test_it_takes_as_many_statements_for_many_as_for_one_whatever_rivals_have_bid(world: World) -> None:
    world.fund("bob", 90_000_000)
    lots, crowded = [world.lot() for _ in range(6)], world.lot()
    crowd(world, crowded)

    def sent(bids: list[PlaceBid]) -> list[str]:
        with statements() as told:
            perform(place_bids, PlaceBids(tuple(bids)), world.bob)
        return told

    two = sent([PlaceBid(lots[0], 700, STEP)] * 2)
    assert sent([PlaceBid(lot, rate, STEP) for lot in lots for rate in (650, 700)]) == two
    assert sent([PlaceBid(crowded, 700, STEP)] * 2) == two
    assert not [one for one in two if "FROM bid" in one or "JOIN bid" in one]


def test_what_the_database_refuses_stops_no_other(world: World, app: Flask) -> None:
    """One of three lots closes while the next one's row is waited for: it is found by halving, the others are in."""
    world.fund("bob", 900_000)
    lots = [world.lot(minutes=1), world.lot(), world.lot()]  # locked in this order

    def place() -> list[Told]:
        with app.app_context():
            return place_all([PlaceBid(lot, 700, 100_000) for lot in lots], world.bob, "key")

    with ThreadPoolExecutor(1) as pool, world.superuser() as connection:
        connection.execute("SELECT FROM lot WHERE id = %s FOR UPDATE", (lots[1],))
        placing = pool.submit(place)
        world.somebody_waits()
        world.move_clock(timedelta(minutes=2))
        connection.rollback()
        told = placing.result(30)
    assert [one.code for one in told] == ["lot_closed", "", ""]
    assert (len(stored()), cash(world, "bob")[1]) == (2, 200_000)


def fails_at(world: World, rate: int) -> None:
    """Let the database fail, as a broken disk would, wherever a bid of this rate is written."""
    with world.superuser() as connection:
        connection.execute("CREATE FUNCTION fails() RETURNS trigger LANGUAGE plpgsql AS "
                           "$$ BEGIN RAISE 'broken' USING ERRCODE = 'XX000'; END $$")  # fmt: skip
        connection.execute(f"CREATE TRIGGER fails BEFORE INSERT ON bid FOR EACH ROW WHEN (NEW.rate_bps = {rate}) "
                           "EXECUTE FUNCTION fails()")  # fmt: skip


def test_what_fails_of_ours_takes_back_nothing_that_is_in(world: World) -> None:
    """A bid that is placed alone fails: bids before it and those written with it are told as placed."""
    world.fund("bob", 9_000_000)
    lot, one, two = world.lot(), world.lot(buy_now_bps=500), world.lot(buy_now_bps=500)
    fails_at(world, 666)
    bids = [PlaceBid(one, 700, STEP), PlaceBid(two, 666, STEP), PlaceBid(lot, 700, STEP), PlaceBid(two, 700, STEP)]
    told = place_all(bids, world.bob, "key")
    assert [one.code for one in told] == ["", "failed", "", "failed"]
    assert [(one.bid_id is None, bool(one.problems)) for one in told] == [(False, False), (True, True)] * 2
    assert len(stored()) == 2
    db.session.rollback()  # what it has read, nobody may change
    with world.superuser() as connection:
        connection.execute("DROP TRIGGER fails ON bid")
    again = place_all(bids, world.bob, "key")
    assert [one.code for one in again] == [""] * 4
    assert [again[0], again[2]] == [told[0], told[2]]
    assert len(stored()) == 4


def test_a_later_part_of_a_list_that_fails_leaves_the_earlier_ones(world: World) -> None:
    world.fund("bob", 900_000)
    lot, gone = world.lot(), new_id()
    fails_at(world, 666)
    none = [PlaceBid(gone, 700, STEP)] * (TOGETHER_MAX - 1)
    bids = [PlaceBid(lot, 700, STEP), *none, PlaceBid(lot, 650, STEP), PlaceBid(lot, 666, STEP)]
    told = place_all(bids, world.bob, "key")
    assert [told[0].code, told[1].code, told[-2].code, told[-1].code] == ["", "not_found", "failed", "failed"]
    assert stored() == [(700, STEP, 0)]
    with pytest.raises(DBAPIError):  # nothing is in when the first part fails: that is said of the list as a whole
        place_all(bids[-2:], world.bob, "other")
    assert stored() == [(700, STEP, 0)]


def test_nothing_placed_is_on_record_too_and_only_investors_place(world: World) -> None:
    events = count("event")
    assert place_all([PlaceBid(new_id(), 700, STEP)], world.bob, "key")[0].code == "not_found"
    assert count("event") == events + 1
    for who in ("alice", "olga"):
        with pytest.raises(NotPermitted):
            place_all([PlaceBid(new_id(), 700, STEP)], getattr(world, who), "key")

"""Several at once, with real connections: a bid against the close, two closers, many bids for one purse."""

import threading
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

from flask import Flask
from sqlalchemy import text

from marketplace.app import create_app
from marketplace.db import db, let_go
from marketplace.kernel.errors import RuleBroken
from marketplace.perform import perform
from marketplace.trading import queries
from marketplace.trading.actions import accept_award, close_lot, place_bid, refuse_award
from marketplace.trading.placing_together import place_together
from marketplace.trading.schemas import AcceptAward, CloseLot, PlaceBid, RefuseAward
from tests.support import SYSTEM
from tests.trading.test_bidding import cash, count
from tests.trading.world import World


def at_once(app: Flask, *bodies: Callable[[], object]) -> list[object]:
    """Run each body in its own thread and connection, started together; return results and refusals in order."""
    results: list[object] = [None] * len(bodies)
    gate = threading.Barrier(len(bodies))

    def run(place: int, body: Callable[[], object]) -> None:
        with app.app_context():
            gate.wait()
            try:
                results[place] = body()
            except RuleBroken as refusal:
                results[place] = refusal

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(bodies)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return results


def test_two_closers_close_a_lot_once(world: World, app: Flask) -> None:
    world.fund("bob", 5_000_000)
    lot = world.lot()
    perform(place_bid, PlaceBid(lot, 600, 4_140_000), world.bob)
    world.move_clock(timedelta(hours=1))
    results = at_once(app, *[lambda: perform(close_lot, CloseLot(lot), SYSTEM)] * 4)
    refusals = [result for result in results if isinstance(result, RuleBroken)]
    assert [refusal.code for refusal in refusals] == ["wrong_state"] * 3
    assert (count("award"), count("fill")) == (1, 1)


def test_a_closer_waits_for_the_bid_that_came_in_time(world: World, app: Flask) -> None:
    """The bidder holds the lot's row, the clock passes the close, the bid commits: it is in the book."""
    world.fund("bob", 5_000_000)
    lot = world.lot()
    done = threading.Event()

    def slow_bid() -> None:
        with world.superuser(resting=False) as connection:
            connection.execute("SELECT FROM lot WHERE id = %s FOR SHARE", (lot,))
            done.set()
            connection.execute("SELECT pg_sleep(0.4)")

    def closer() -> object:
        done.wait(5)
        world.move_clock(timedelta(hours=1))
        return perform(close_lot, CloseLot(lot), SYSTEM)

    perform(place_bid, PlaceBid(lot, 600, 4_140_000), world.bob)
    _, closed = at_once(app, slow_bid, closer)
    assert isinstance(closed, dict)
    assert closed["outcome"] == "full"


def test_bids_at_the_very_close_are_in_the_book_or_refused_never_lost(world: World, app: Flask) -> None:
    """Whoever was told yes is in the transcript; whoever was told no holds nothing."""
    for who in ("bob", "carol", "dave"):
        world.fund(who, 9_000_000)
    lot = world.lot()
    with world.superuser() as connection:
        connection.execute("UPDATE lot SET closes_at = clock_timestamp() + interval '2 s' WHERE id = %s", (lot,))
    placed: list[UUID] = []

    def bidder(who: str) -> Callable[[], None]:
        def bid_on() -> None:
            while True:
                placed.append(UUID(perform(place_bid, PlaceBid(lot, 600, 10_000), getattr(world, who))["bid_id"]))

        return bid_on

    def closer() -> object:
        while True:
            try:
                return perform(close_lot, CloseLot(lot), SYSTEM)
            except RuleBroken as refusal:
                if refusal.code != "not_due":
                    raise

    results = at_once(app, bidder("bob"), bidder("carol"), bidder("dave"), closer)
    assert [getattr(result, "code", None) for result in results[:3]] == ["lot_closed"] * 3
    book = {one.id for one in queries.book(db.session, lot)}
    assert placed
    assert book == set(placed)
    held = db.session.execute(text("SELECT coalesce(sum(held_minor), 0) FROM balance")).scalar_one()
    filled = [one for one in queries.book(db.session, lot) if one.state == "filled"]
    assert held == sum(one.cash_minor for one in filled)


def test_one_purse_is_not_held_twice(world: World, app: Flask) -> None:
    world.fund("bob", 1_500_000)
    lots = [world.lot(), world.lot()]
    results = at_once(
        app, *[lambda lot=lot: perform(place_bid, PlaceBid(lot, 600, 1_000_000), world.bob) for lot in lots]
    )
    assert sorted(getattr(result, "code", "placed") for result in results) == ["insufficient_cash", "placed"]
    assert cash(world, "bob") == (1_500_000, 1_000_000)


def test_thirty_two_clients_of_one_wallet_get_what_it_holds_and_no_more(world: World, app: Flask) -> None:
    """Two applications, as two web workers, where bids meet in each; the wallet pays for half of what they bid."""
    clients, each, step = 32, 2, 10_000
    world.fund("bob", clients * step)
    lots = [world.lot() for _ in range(3)]
    beside = create_app(app.extensions["duebill"].settings)
    told: list[str] = []

    def client(place: int) -> Callable[[], None]:
        def bids() -> None:
            with (app, beside)[place % 2].app_context():
                for turn in range(each):
                    try:
                        told.append(place_together(PlaceBid(lots[(place + turn) % 3], 700, step), world.bob)["bid_id"])
                    except RuleBroken as refusal:
                        told.append(refusal.code)

        return bids

    at_once(app, *[client(place) for place in range(clients)])
    with beside.app_context():
        let_go()
    placed = [one for one in told if one != "insufficient_cash"]
    assert len(told) == clients * each
    assert len(placed) == clients
    rows = db.session.execute(text("SELECT id, cash_minor FROM bid")).all()
    assert sorted(placed) == sorted(str(row.id) for row in rows)
    assert cash(world, "bob") == (clients * step, sum(row.cash_minor for row in rows)) == (clients * step,) * 2


def test_a_seller_who_accepts_and_refuses_at_once_decides_once(world: World, app: Flask) -> None:
    world.fund("bob", 5_000_000)
    lot = world.lot()
    perform(place_bid, PlaceBid(lot, 600, 4_140_000), world.bob)
    world.move_clock(timedelta(hours=1))
    perform(close_lot, CloseLot(lot), SYSTEM)
    results = at_once(
        app,
        lambda: perform(accept_award, AcceptAward(lot), world.alice),
        lambda: perform(refuse_award, RefuseAward(lot), world.alice),
    )
    assert sum(isinstance(result, RuleBroken) for result in results) == 1

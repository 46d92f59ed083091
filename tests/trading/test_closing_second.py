"""The race for a lot's last second: 32 connections bid until the clock stops them, and one closer waits for it.

Each bid is in or refused, the cash held is the cash of the bids that are in, and none is in that came late.
"""

import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import text

from marketplace.db import db
from marketplace.kernel.actors import Actor
from marketplace.kernel.errors import MarketplaceError, RuleBroken
from marketplace.perform import perform
from marketplace.trading import engine, queries
from marketplace.trading.actions import close_lot, place_bid
from marketplace.trading.placing_together import place_together
from marketplace.trading.schemas import CloseLot, PlaceBid
from tests.support import SYSTEM
from tests.trading.world import World

CONNECTIONS, APPLICATIONS, STEP = 32, 4, 10_000


Place = Callable[[PlaceBid, Actor], dict[str, Any]]


def alone(bid: PlaceBid, actor: Actor) -> dict[str, Any]:
    """Place a bid in a transaction of its own, as `place_together` does not where bidders meet."""
    return perform(place_bid, bid, actor)


class Race:
    """32 bidders with connections of their own, and what each was told."""

    def __init__(self, world: World, lot: UUID, apps: list[Flask], place: Place) -> None:
        self.world, self.lot, self.apps, self.place_bid = world, lot, apps, place
        self.gate = threading.Barrier(CONNECTIONS + 2)
        self.told_in: list[str] = []
        self.told_no: list[str] = []
        self.broken: list[BaseException] = []
        self.servers: set[int] = set()

    def bidder(self, place: int) -> None:
        """Bid until refused, keeping one connection throughout, as a busy client of its own would."""
        who = ("bob", "carol", "dave")[place % 3]
        with self.apps[place % APPLICATIONS].app_context():
            with db.engine.connect() as connection:
                self.servers.add(connection.execute(text("SELECT pg_backend_pid()")).scalar_one())
                self.gate.wait(30)
            try:
                while True:
                    bid = self.place_bid(PlaceBid(self.lot, 500 + place, STEP), self.world.actors[who])
                    self.told_in.append(bid["bid_id"])
            except MarketplaceError as refusal:
                self.told_no.append(refusal.code)
            except BaseException as error:
                self.broken.append(error)
                raise

    def closer(self) -> None:
        """Try to close until it is time."""
        with self.apps[0].app_context():
            self.gate.wait(30)
            while True:
                try:
                    perform(close_lot, CloseLot(self.lot), SYSTEM)
                    return
                except RuleBroken as refusal:
                    if refusal.code != "not_due":
                        self.broken.append(refusal)
                        raise


@pytest.mark.parametrize("place", [alone, place_together])
def test_thirty_two_connections_bid_through_the_closing_second(
    world: World, app: Flask, make_app: Callable[..., Flask], place: Place
) -> None:
    for who in ("bob", "carol", "dave"):
        world.fund(who, 90_000_000)
    lot = world.lot()
    race = Race(world, lot, [make_app() for _ in range(APPLICATIONS)], place)
    threads = [threading.Thread(target=race.bidder, args=(place,)) for place in range(CONNECTIONS)]
    threads.append(threading.Thread(target=race.closer))
    with ExitStack() as stack:
        for thread in threads:
            thread.start()
            stack.callback(thread.join, 60)
        with world.superuser() as connection:
            connection.execute("UPDATE lot SET closes_at = clock_timestamp() + interval '1 s' WHERE id = %s", (lot,))
        race.gate.wait(30)
    assert not race.broken
    assert len(race.servers) == CONNECTIONS
    assert race.told_no == ["lot_closed"] * CONNECTIONS
    book = queries.book(db.session, lot)
    assert book  # how many depends on the machine; what may never be depends on nothing
    assert sorted(str(one.id) for one in book) == sorted(race.told_in)
    found = queries.lot(db.session, lot)
    assert all(one.placed_at < found.closes_at for one in book)
    transcript = engine.recompute(queries.transcript(db.session, lot))
    assert transcript.reproduces
    held = db.session.execute(text("SELECT coalesce(sum(held_minor), 0)::bigint FROM balance")).scalar_one()
    ended = "(SELECT FROM hold_resolution WHERE hold_id = hold.id)"
    still = f"SELECT coalesce(sum(minor), 0)::bigint FROM hold WHERE NOT EXISTS {ended}"
    assert held == db.session.execute(text(still)).scalar_one()
    assert held == sum(one.cash_minor for one in book if one.state == "filled")
    ever = db.session.execute(text("SELECT sum(minor)::bigint FROM hold")).scalar_one()
    assert ever == STEP * len(race.told_in)  # a refused bid held nothing, not even for a moment

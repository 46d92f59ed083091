"""Live figures: what each reader is told, that a rival's bid changes none of it, and that streams are bounded."""

import re
from uuid import UUID, uuid4

from flask import Flask
from flask.testing import FlaskClient

from marketplace.perform import perform
from marketplace.trading.actions import place_bid
from marketplace.trading.schemas import PlaceBid
from marketplace.web.live import EACH_MAX, READERS_MAX, Streams
from tests.trading.world import World
from tests.web.test_investor import bid, visitor

STREAM = {"Accept": "text/event-stream"}


def told(client: FlaskClient, path: str) -> dict[str, object]:
    answer = client.get(path, headers={"Accept": "application/json"})
    assert answer.status_code == 200
    whole: dict[str, object] = answer.get_json()
    assert set(whole) == {"now", "mark"}
    mark = whole["mark"]
    assert isinstance(mark, dict)
    return mark


def shape(page: str) -> str:
    """Return a page without what differs each time it is drawn: nonces, tokens, ids, instants."""
    return re.sub(r"[0-9:.]+", "#", re.sub(r'(?:nonce|value)="[^"]{16,}"|[0-9a-f]{8}-[0-9a-f-]{27}', "*", page))


def test_a_rival_s_bid_changes_nothing_that_an_investor_is_told(app: Flask, world: World) -> None:
    for who in ("bob", "carol"):
        world.fund(who, 90_000_000)
    lot = world.lot()
    perform(place_bid, PlaceBid(lot, 700, 1_000_000), world.bob)
    bob, path = visitor(app, world, "bob"), f"/investor/lots/{lot}/live"
    before, page = told(bob, path), bob.get(f"/investor/lots/{lot}")
    assert set(before) == {"state", "closes_at", "calls"}
    perform(place_bid, PlaceBid(lot, 123, 3_330_000), world.carol)
    assert told(bob, path) == before
    after = bob.get(f"/investor/lots/{lot}")
    assert shape(after.text) == shape(page.text)
    by_chance = r'datetime="[^"]*"|name="csrf_token" value="[^"]*"|nonce="[^"]*"'  # an instant of 11.234 seconds, say
    said = re.sub(by_chance, "", after.text)
    for word in ("33,300", "3330000", "1.23", "123 bp", str(world.id("carol"))):
        assert word not in said


def test_refusals_read_the_same_whatever_rivals_have_bid(app: Flask, world: World) -> None:
    for who in ("bob", "carol"):
        world.fund(who, 90_000_000)
    lonely, crowded = world.lot(), world.lot()
    for _ in range(5):
        perform(place_bid, PlaceBid(crowded, 500, 4_130_000), world.carol)
    bob = visitor(app, world, "bob")
    for wrong in ({"rate": "900"}, {"cash": "1"}, {"cash": "10,001"}, {"rate": "x"}):
        told_there = []
        for lot in (lonely, crowded):
            assert bid(bob, lot, **wrong) == 422
            page = bob.post(f"/investor/lots/{lot}/bids", data={"rate": "710", "cash": "10,000", **wrong}).text
            told_there.append(page[page.index('<div class="cols c84') : page.index("</main")].count("is-invalid"))
        assert told_there[0] == told_there[1] > 0


def test_the_seller_hears_of_cover_and_of_nobody_else_s_lot(app: Flask, world: World) -> None:
    world.fund("bob", 90_000_000)
    lot = world.lot()
    alice, path = visitor(app, world, "alice"), f"/seller/lots/{lot}/live"
    assert told(alice, path)["cover_minor"] == 0
    perform(place_bid, PlaceBid(lot, 700, 1_000_000), world.bob)
    mark = told(alice, path)
    assert (mark["cover_minor"], set(mark)) == (1_000_000, {"state", "closes_at", "cover_minor"})
    assert alice.get(f"/seller/lots/{uuid4()}/live").status_code == 404
    assert visitor(app, world, "bob").get(path).status_code == 403


def test_a_stream_begins_with_what_is_true_now_and_gives_its_place_back(app: Flask, world: World) -> None:
    lot = world.lot()
    bob = visitor(app, world, "bob")
    for _ in range(EACH_MAX + 2):  # one after the other there is always room
        answer = bob.get(f"/investor/lots/{lot}/live", headers=STREAM)
        assert answer.mimetype == "text/event-stream"
        first = next(iter(answer.response))
        text = first.decode() if isinstance(first, bytes) else first
        assert text.startswith("retry: 5000\ndata: {")
        assert '"state":"open"' in text
        answer.close()


def test_no_reader_takes_all_streams_and_no_crowd_all_threads() -> None:
    streams, one = Streams(), UUID(int=1)
    assert [streams.enter(one) for _ in range(EACH_MAX + 1)] == [True] * EACH_MAX + [False]
    others = [UUID(int=number) for number in range(2, READERS_MAX + 2)]
    assert sum(streams.enter(other) for other in others) == READERS_MAX - EACH_MAX
    assert not streams.enter(UUID(int=99))
    streams.leave(one)
    assert streams.enter(UUID(int=99))
    assert not streams.enter(one)

"""A session on its pages: an operator opens it, an investor caps himself, and reads why each bid ended so."""

from datetime import timedelta
from uuid import UUID

from flask import Flask

from auction.replay import replay
from marketplace.perform import perform
from marketplace.trading.actions import place_bid
from marketplace.trading.schemas import PlaceBid
from marketplace.trading.sessions import clear_and_close
from tests.support import SYSTEM
from tests.trading.test_sessions import gathered
from tests.trading.world import World
from tests.web.test_investor import visitor


def test_an_operator_opens_a_session_and_no_second_one(app: Flask, world: World) -> None:
    olga = visitor(app, world, "olga")
    assert "No session yet" in olga.get("/operator/sessions").text
    assert olga.post("/operator/sessions", data={"currency": "GBP", "open_minutes": "soon"}).status_code == 422
    assert olga.post("/operator/sessions", data={"currency": "GBP", "open_minutes": "60"}).status_code == 303
    assert olga.post("/operator/sessions", data={"currency": "GBP", "open_minutes": "60"}).status_code == 409


def test_an_investor_caps_himself_and_reads_why(app: Flask, world: World) -> None:
    for who in ("bob", "carol"):
        world.fund(who, 90_000_000)
    session_id, (one, two) = gathered(world)
    for lot, rate in ((one, 600), (two, 500)):
        perform(place_bid, PlaceBid(lot, rate, 4_130_000), world.bob)
        perform(place_bid, PlaceBid(lot, 700, 4_140_000), world.carol)
    bob, carol = visitor(app, world, "bob"), visitor(app, world, "carol")
    place, limit = f"/investor/sessions/{session_id}", f"debtor-{world.id('kestrel')}"
    wrong = bob.post(f"{place}/caps", data={"budget": "lots", limit: "0"})
    assert wrong.status_code == 422
    assert wrong.text.count("Enter an amount like 10,000.00.") >= 2
    assert bob.post(f"{place}/caps", data={"budget": "41,300", limit: ""}).status_code == 303
    assert "41,300.00" in bob.get(place).text
    assert f'href="{place}"' in bob.get(f"/investor/lots/{one}").text
    assert "41,300.00" not in carol.get(place).text.split("<aside")[1]  # nobody sees another's caps before the close
    assert bob.get(f"{place}/transcript.json").status_code == 404
    world.move_clock(timedelta(hours=1))
    clear_and_close(UUID(str(session_id)), SYSTEM)
    page = bob.get(place).text
    assert "your budget went where it is worth more" in page
    assert "filled in full" in page
    assert "above the stop-out" not in page
    assert "above the stop-out" in carol.get(place).text or "stop-out" in carol.get(place).text
    assert replay(bob.get(f"{place}/transcript.json").data).reproduces
    assert bob.post(f"{place}/caps", data={"budget": "1"}).status_code == 422
    assert bob.get(f"/investor/lots/{one}", query_string={"recompute": "1"}).text.count("The award reproduces.") == 1

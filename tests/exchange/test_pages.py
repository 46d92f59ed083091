"""The pages of the exchange: what operators and regulators read, in every state it can be in."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from config.settings import Exchange
from marketplace.exchange.client import Registry
from tests.exchange.conftest import Market, RegistryProcess, exchange_of
from tests.people import PASSWORD, sign_in

Markets = Callable[[str, Exchange], Market]
Registries = Callable[[str], RegistryProcess]
NOWHERE = Registry("http://127.0.0.1:9", "k-000000000000", b"secret")


def seen(market: Market, who: str, path: str) -> str:
    client: FlaskClient = market.app.test_client()
    sign_in(client, market.people[who])
    answer = client.get(path)
    assert answer.status_code == 200
    return answer.get_data(as_text=True)


def test_off_it_says_how_it_is_switched_on(markets: Markets) -> None:
    alone = markets("north", Exchange())
    assert "EXCHANGE_KEY" in seen(alone, "operator_olga", "/operator/exchange")
    assert "Nothing was asked yet" in seen(alone, "regulator_rex", "/regulator/exchange")


def test_who_may_not_open_it(markets: Markets) -> None:
    north = markets("north", Exchange())
    client = north.app.test_client()
    assert client.get("/operator/exchange").status_code in (302, 303)
    sign_in(client, north.people["seller_alice"])
    assert client.get("/operator/exchange").status_code in (403, 404)
    assert client.get("/regulator/exchange").status_code in (403, 404)


def test_a_silent_registry_is_told_in_words(markets: Markets) -> None:
    north = markets("north", exchange_of(NOWHERE))
    first = north.lists(north.paper())
    north.work()
    page = seen(north, "operator_olga", "/operator/exchange")
    ref = north.sql("SELECT ref FROM receivable WHERE id = :id", id=first)[0][0]
    assert "The registry is silent." in page
    assert "nothing new is auctioned or paid out" in page
    assert ref in page


@pytest.fixture
def lively(markets: Markets, registries: Registries) -> Market:
    """A market in which everything on the page has something to show."""
    registry = registries("oblivious")
    north, south = (
        markets(name, exchange_of(registry.peer(name)))
        for name in ("A market with a name as long as names of markets ever get", "south")
    )
    for number in ("TPC-1", "TPC-2", "TPC-3"):
        north.lists(north.paper(number=number))
    north.work()
    for number in ("TPC-1", "TPC-2", "TPC-9"):
        south.lists(south.paper(number=number))
    south.work()
    south.clock(timedelta(days=11))
    south.lists(south.paper(number="TPC-10"))
    return south


def test_what_stops_a_sale_is_on_the_page(lively: Market) -> None:
    page = seen(lively, "operator_olga", "/operator/exchange")
    assert page.count("stops the sale") == 2  # two receivables, however many claims each has
    assert "registered elsewhere" in page
    assert "to be renewed" in page
    told = seen(lively, "regulator_rex", "/regulator/exchange")
    assert "held elsewhere" in told
    assert "register" in told
    looked = lively.sql("SELECT count(*) FROM event WHERE verb = 'look_up'")
    assert looked[0][0] == 1


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1280])
def test_it_fits_a_phone_and_a_desk(lively: Market, browser: Any, width: int) -> None:
    import os
    import threading

    from werkzeug.serving import make_server

    server = make_server("127.0.0.1", 0, lively.app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}"
    visit = browser.new_context(viewport={"width": width, "height": 900}, locale="en-GB")
    try:
        for who, path in (("operator_olga", "/operator/exchange"), ("regulator_rex", "/regulator/exchange")):
            page = visit.new_page()
            visit.clear_cookies()
            page.goto(f"{address}/sign-in")
            page.fill("input[name=email]", lively.people[who].email)
            page.fill("input[name=password]", PASSWORD)
            page.click("main button[type=submit]")
            page.goto(address + path)
            assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
            if os.environ.get("DUEBILL_PICTURES"):
                page.screenshot(path=f"{os.environ['DUEBILL_PICTURES']}/{who}-{width}.png", full_page=True)
            page.close()
    finally:
        visit.close()
        server.shutdown()
        thread.join(10)
        server.server_close()

"""Holdings that change hands, as people see it: offering, buying, buying back, the chain of title."""

import re
from datetime import timedelta
from threading import Thread
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event, text
from werkzeug.serving import make_server

from marketplace.db import db
from marketplace.kernel.actors import Actor
from marketplace.parties.actions import register_user
from marketplace.parties.schemas import RegisterUser
from marketplace.perform import perform
from marketplace.reports import secondary
from marketplace.servicing import queries
from marketplace.servicing.demands import demand_buy_back
from marketplace.servicing.offer_rules import yield_bps
from marketplace.servicing.offers import offer_holding
from marketplace.servicing.schemas import DemandBuyBack, OfferHolding
from marketplace.title import queries as title
from tests import lives
from tests.people import PASSWORD, register
from tests.servicing.test_buy_back import price, put_in
from tests.servicing.test_dilution import counted
from tests.trading.world import World
from tests.web.browsing import broken_rules

LONG = "The Honourable Company of Very Long Winded Aerospace Subassemblies and Precision Fasteners (Northern) plc"


@pytest.fixture
def world(world: World) -> World:
    """A market with a funded receivable's people, each of whom can sign in."""
    for who in ("alice", "bob", "carol", "dave", "olga"):
        perform(register_user, RegisterUser(world.id(who), f"{who}@example.com", who.title(), PASSWORD),
                Actor.system("tests"))  # fmt: skip
    return world


def visit(app: Flask, who: str) -> FlaskClient:
    client = app.test_client()
    answer = client.post("/sign-in", data={"email": f"{who}@example.com", "password": PASSWORD})
    assert answer.status_code == 303
    return client


def on_offer(world: World, receivable: UUID, minor: int = 800_000) -> UUID:
    return UUID(str(perform(offer_holding, OfferHolding(receivable, 1_000_000, minor, 300), world.bob)["offer_id"]))


def test_a_holding_shows_what_an_offer_would_mean_before_it_is_made(app: Flask, world: World) -> None:
    receivable = lives.funded(world)
    bob = visit(app, "bob")
    page = bob.get(f"/investor/holdings/{receivable}")
    assert page.status_code == 200
    assert "Still to come" in page.text
    form = {"units": "10,000.00", "price": "8,000.00", "hours": "72", "step": "show"}
    shown = bob.post(f"/investor/holdings/{receivable}/offers", data=form)
    assert shown.status_code == 200
    assert "Offer it at £8,000.00" in shown.text
    assert queries.offers_of(db.session(), receivable) == []
    done = bob.post(f"/investor/holdings/{receivable}/offers", data=form | {"step": "offer"})
    assert done.status_code == 303
    db.session.rollback()
    (made,) = queries.offers_of(db.session(), receivable)
    assert made.units == 1_000_000
    assert f"At most £{made.to_come_minor // 100:,}.{made.to_come_minor % 100:02d}," in shown.text  # to the penny
    assert "On offer" in bob.get(f"/investor/holdings/{receivable}").text


def test_a_price_that_was_changed_after_it_was_shown_is_shown_again(app: Flask, world: World) -> None:
    receivable = lives.funded(world)
    bob, where = visit(app, "bob"), f"/investor/holdings/{receivable}/offers"
    form = {"units": "10,000.00", "price": "5,000.00", "hours": "72"}
    shown = re.search(r'name="shown" value="([^"]+)"', bob.post(where, data=form | {"step": "show"}).text)
    assert shown
    for change in ({"price": "80.00"}, {"units": "9,000.00"}):
        again = bob.post(where, data=form | change | {"step": "offer", "shown": shown[1]})
        assert (again.status_code, "this is what it means now" in again.text) == (200, True)
    db.session.rollback()
    assert queries.offers_of(db.session(), receivable) == []
    assert bob.post(where, data=form | {"step": "offer", "shown": shown[1]}).status_code == 303


@pytest.mark.parametrize(
    ("change", "words"),
    [({"units": "10,000.01"}, "whole steps of £"), ({"units": "9,999,999"}, "You can offer at most £"),
     ({"hours": "2"}, "from 5 to 336 hours")],
)  # fmt: skip
def test_what_could_not_be_offered_is_said_when_it_is_shown(
    app: Flask, world: World, change: dict[str, str], words: str
) -> None:
    receivable = lives.funded(world)
    form = {"units": "10,000.00", "price": "80.00", "hours": "72", "step": "show"} | change
    shown = visit(app, "bob").post(f"/investor/holdings/{receivable}/offers", data=form).text
    assert words in shown
    assert "Offer it at" not in shown


def test_hours_left_empty_are_said_before_the_offer_is_made(app: Flask, world: World) -> None:
    receivable = lives.funded(world)
    form = {"units": "10,000.00", "price": "80.00", "hours": " ", "step": "show"}
    shown = visit(app, "bob").post(f"/investor/holdings/{receivable}/offers", data=form).text
    assert re.search(r'name="hours"[^>]* value="72"', shown)
    assert "Empty: 72 hours." in shown


def test_an_offer_taken_back_twice_is_told_that_it_has_ended(app: Flask, world: World) -> None:
    receivable = lives.funded(world)
    offer, bob = on_offer(world, receivable), visit(app, "bob")
    assert bob.post(f"/investor/offers/{offer}/withdraw").status_code == 303
    again = bob.post(f"/investor/offers/{offer}/withdraw")
    assert again.status_code == 422
    assert "Nothing changed." in again.text
    assert "This offer has ended." in again.text


def test_a_price_above_what_can_come_is_never_shown_as_an_offer(app: Flask, world: World) -> None:
    receivable = lives.funded(world)
    bob = visit(app, "bob")
    held = sum(b - a for owner, a, b in title.held_now(db.session(), receivable) if owner == world.id("bob"))
    db.session.rollback()
    assert f'"{held // 100}.{held % 100:02d}"' in bob.get(f"/investor/holdings/{receivable}").text  # all, to begin with
    form = {"units": "10,000.00", "price": "50,000.00", "hours": "72", "step": "show"}
    shown = bob.post(f"/investor/holdings/{receivable}/offers", data=form)
    assert shown.status_code == 200
    assert "more than these units can still bring" in shown.text
    assert "Offer it at" not in shown.text


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"units": "lots", "price": "1"}, "Enter an amount like"),
        ({"units": "10,000.01", "price": "1"}, "whole steps of £"),
        ({"units": "10,000", "price": "99,000"}, "can still bring"),
        ({"units": "10,000", "price": "1", "hours": "2"}, "from 5 to 336 hours"),
        ({"units": "10,000", "price": "1", "hours": "soon"}, "Enter a whole number."),
        ({}, "Enter an amount like"),
    ],
)
def test_what_cannot_be_offered_is_answered_beside_its_field(
    app: Flask, world: World, form: dict[str, str], words: str
) -> None:
    receivable = lives.funded(world)
    answer = visit(app, "bob").post(f"/investor/holdings/{receivable}/offers", data=form | {"step": "offer"})
    assert answer.status_code in (400, 422)
    assert words in answer.text
    db.session.rollback()
    assert queries.offers_of(db.session(), receivable) == []


def test_an_offer_is_found_filtered_and_bought(app: Flask, world: World) -> None:
    receivable = lives.funded(world)
    offer = on_offer(world, receivable)
    world.fund("carol", 800_000)
    carol = visit(app, "carol")
    assert "DB-26-" in carol.get("/investor/offers").text
    for nothing in ("?yield=9000", "?days=1", "?grade=A%2B", "?currency=EUR"):
        assert "Nothing fits" in carol.get(f"/investor/offers{nothing}").text, nothing
    for sort in ("price", "-yield", "days", "grade", "debtor", "-closes", "nonsense"):
        assert carol.get(f"/investor/offers?sort={sort}").status_code == 200
    assert "Buy for £8,000.00" in carol.get(f"/investor/offers/{offer}").text
    done = carol.post(f"/investor/offers/{offer}/accept", data={"price_minor": "800000"})
    assert done.status_code == 303, done.text
    assert "A holding changed hands" in carol.get(f"/investor/holdings/{receivable}").text
    assert carol.get("/investor/statement").status_code == 200
    again = carol.post(f"/investor/offers/{offer}/accept", data={"price_minor": "800000"})
    assert again.status_code == 409
    assert "You have bought it already" in again.text
    assert visit(app, "dave").get(f"/investor/offers/{offer}").status_code == 404


def test_who_may_not_buy_is_told_why_instead_of_a_button(app: Flask, world: World) -> None:
    """Carol's group would hold more than its cap; her own page says so before she tries."""
    receivable = lives.funded(world)
    with world.superuser() as owner:
        owner.execute("UPDATE lot SET group_cap_bps = 5000")
    offer = on_offer(world, receivable)
    world.fund("carol", 800_000)
    carol = visit(app, "carol")
    page = carol.get(f"/investor/offers/{offer}").text
    assert "Your group would hold more of this receivable than its cap of 2,430,000 units." in page
    assert "Buy for" not in page
    assert carol.post(f"/investor/offers/{offer}/accept", data={"price_minor": "800000"}).status_code == 422
    dave = visit(app, "dave").get(f"/investor/offers/{offer}").text
    assert "Buy for £8,000.00" in dave


def test_a_long_list_of_offers_comes_in_pages(app: Flask, world: World) -> None:
    """The page is cut where the rows are read; what a price earns is the same there as in the rule."""
    receivable = lives.funded(world)
    with world.superuser() as owner:
        owner.execute(
            "INSERT INTO holding_offer (id, receivable_id, owner_id, currency, units, price_minor, principal_minor, "
            "to_come_minor, fee_bps, policy_version, offered_by, offered_at, closes_at, state) "
            "SELECT gen_random_uuid(), %s, %s, 'GBP', int8range(n, n + 1), 700000 + n * 1000, 850000, 860000, 0, 'x', "
            "gen_random_uuid(), market_now(), market_now() + n * interval '1 hour', 'open' "
            "FROM generate_series(1, 120) AS n",
            (receivable, world.id("bob")),
        )
    session, day = db.session(), lives.collection(receivable).expected_on - timedelta(days=40)
    now = session.execute(text("SELECT market_now()")).scalar_one()

    def asked(**given: Any) -> secondary.Offers:
        return secondary.offers(session, world.id("carol"), world.id("carol"), now, day, secondary.Wanted(**given))

    pages = [asked(page=page, sort="-price") for page in (1, 2, 3)]
    assert [(len(one.lines), one.total, one.pages, one.page) for one in pages] == [
        (50, 120, 3, 1), (50, 120, 3, 2), (20, 120, 3, 3)
    ]  # fmt: skip
    prices = [line.price_minor for one in pages for line in one.lines]
    assert prices == sorted(prices, reverse=True)
    assert {line.yield_bps == yield_bps(line.price_minor, line.to_come_minor, 40) for line in pages[0].lines} == {True}
    assert {line.days_left for line in pages[0].lines} == {40}
    assert asked(page=99).page == 3
    least = asked(least_yield_bps=10_000)
    assert least.total == sum(yield_bps(price, 860_000, 40) >= 10_000 for price in prices)  # type: ignore[operator]
    shown = visit(app, "carol").get("/investor/offers?page=2").text
    assert "Page 2 of 3" in shown
    assert shown.count("data-l") < 60 * 6


def test_a_late_one_is_flagged_and_needs_a_tick(app: Flask, world: World) -> None:
    receivable = lives.funded(world)
    lives.on_day(world, receivable, 6)
    offer = on_offer(world, receivable)
    world.fund("carol", 800_000)
    carol = visit(app, "carol")
    assert "Overdue" in carol.get("/investor/offers").text
    assert "Nothing fits" in carol.get("/investor/offers?sound=1").text
    refused = carol.post(f"/investor/offers/{offer}/accept", data={"price_minor": "800000"})
    assert refused.status_code == 422
    assert "Tick that you have read" in refused.text
    done = carol.post(f"/investor/offers/{offer}/accept", data={"price_minor": "800000", "acknowledged": "1"})
    assert done.status_code == 303


def test_the_portfolio_tells_what_was_sold_and_what_it_cost(app: Flask, world: World) -> None:
    receivable = lives.funded(world)
    whole = {owner: b - a for owner, a, b in title.held_now(db.session(), receivable)}[world.id("bob")]
    offer = perform(offer_holding, OfferHolding(receivable, whole, 1_990_000, 300), world.bob)["offer_id"]
    world.fund("carol", 1_990_000)
    carol = visit(app, "carol")
    assert carol.post(f"/investor/offers/{offer}/accept", data={"price_minor": "1990000"}).status_code == 303
    bob = visit(app, "bob")
    assert "DB-26-0001" not in bob.get("/investor/portfolio.csv").text
    assert "DB-26-0001" in bob.get("/investor/portfolio.csv?show=ended").text
    assert "Sold" in bob.get("/investor/portfolio?show=ended").text
    line = next(line for line in carol.get("/investor/portfolio.csv").text.splitlines() if "DB-26-0001" in line)
    assert f"{(2_131_000 + 1_990_000) / 100:.2f}" in line


def test_a_stranger_sees_no_holding_and_no_title(app: Flask, world: World) -> None:
    receivable = lives.funded(world)
    dave = visit(app, "dave")
    for address in (f"holdings/{receivable}", f"holdings/{receivable}/title", f"offers/{receivable}"):
        assert dave.get(f"/investor/{address}").status_code == 404
    assert dave.post(f"/investor/holdings/{receivable}/offers", data={"units": "1", "price": "1"}).status_code == 404


def test_the_empty_list_of_offers_says_so(app: Flask, world: World) -> None:
    assert "Nothing is on offer" in visit(app, "bob").get("/investor/offers").text


def test_the_chain_of_title_is_shown_to_holders_operators_and_regulators(app: Flask, world: World) -> None:
    receivable = lives.funded(world)
    rex = register(app, "regulator_rex")["regulator_rex"]
    bob, olga, regulator = visit(app, "bob"), visit(app, "olga"), app.test_client()
    regulator.post("/sign-in", data={"email": rex.email, "password": PASSWORD})
    for client, address in (
        (bob, f"/investor/holdings/{receivable}/title"), (olga, f"/operator/receivables/{receivable}/title"),
        (regulator, f"/regulator/receivables/{receivable}/title"),
    ):  # fmt: skip
        page = client.get(address)
        assert page.status_code == 200, address
        assert "Assigned by the auction" in page.text
        assert ("Every page you open is recorded" in page.text) is (client is regulator)
        before = client.get(f"{address}?at=2020-01-01T00:00")
        assert "nobody owned it" in before.text
        assert client.get(f"{address}?at=nonsense").status_code == 200
    with db.engine.connect() as connection:
        looked = connection.execute(
            text("SELECT count(*) FROM event WHERE verb = 'look_up' AND subject_kind = 'title'")
        )
        assert looked.scalar_one() == 6


def test_a_seller_sees_the_price_puts_money_in_and_buys_back(app: Flask, world: World) -> None:
    receivable = lives.funded(world)
    alice = visit(app, "alice")
    assert "Nothing is asked of you" in alice.get("/seller/requests").text
    perform(demand_buy_back, DemandBuyBack(receivable, "warranty", "It was pledged to a bank."), world.olga)
    assert "It was pledged to a bank." in alice.get("/seller/requests").text
    wanted = price(world, receivable)
    page = alice.get(f"/seller/invoices/{receivable}/buy-back")
    assert f"{wanted / 100:,.2f}" in page.text.replace("</span>", "").replace('<span class="dec">', "")
    asked = alice.post(f"/seller/invoices/{receivable}/buy-back/money", data={"amount": "100.00"})
    assert asked.status_code == 303
    early = alice.post(f"/seller/invoices/{receivable}/buy-back", data={"price_minor": str(wanted)})
    assert early.status_code == 422
    put_in(world, wanted + 700)
    stale = alice.post(f"/seller/invoices/{receivable}/buy-back", data={"price_minor": str(wanted - 1)})
    assert stale.status_code == 422
    assert alice.post(f"/seller/invoices/{receivable}/buy-back", data={"price_minor": "x"}).status_code == 422
    done = alice.post(f"/seller/invoices/{receivable}/buy-back", data={"price_minor": str(wanted)})
    assert done.status_code == 303
    after = alice.get(f"/seller/invoices/{receivable}/buy-back").text
    assert "Bought back for" in after
    assert "Send it to my bank" in after
    assert lives.collection(receivable).state == "bought_back"
    for page_of, address in (("alice", "/seller/"), ("bob", "/investor/portfolio?show=ended")):
        assert visit(app, page_of).get(address, follow_redirects=True).status_code == 200


def test_an_operator_asks_and_asks_no_longer(app: Flask, world: World) -> None:
    receivable = lives.funded(world)
    olga = visit(app, "olga")
    assert "No buy-back yet" in olga.get("/operator/buy-backs").text
    with db.engine.connect() as connection:
        ref = connection.execute(text("SELECT ref FROM receivable WHERE id = :id"), {"id": receivable}).scalar_one()
    assert olga.post("/operator/buy-backs", data={"ref": "DB-0", "reason": "warranty"}).status_code == 422
    assert olga.post("/operator/buy-backs", data={"ref": ref, "reason": "whim"}).status_code == 422
    done = olga.post("/operator/buy-backs", data={"ref": ref, "reason": "warranty", "note": "It was pledged before."})
    assert done.status_code == 303
    assert "It was pledged before." in olga.get("/operator/buy-backs").text
    db.session.rollback()
    asked = queries.buy_back_of(db.session(), receivable)
    assert asked is not None
    assert olga.post(f"/operator/buy-backs/{asked.id}/withdraw", data={"reason": "short"}).status_code == 422
    assert (
        olga.post(f"/operator/buy-backs/{asked.id}/withdraw", data={"reason": "The pledge was lifted."}).status_code
        == 303
    )


def test_every_reader_is_led_to_the_chain_of_title(app: Flask, world: World) -> None:
    receivable = lives.funded(world)
    rex = register(app, "regulator_rex")["regulator_rex"]
    olga, regulator = visit(app, "olga"), app.test_client()
    regulator.post("/sign-in", data={"email": rex.email, "password": PASSWORD})
    assert f"/operator/receivables/{receivable}/title" in olga.get(f"/operator/receivables/{receivable}").text
    lot_id = lives.collection(receivable).lot_id
    assert f"/regulator/receivables/{receivable}/title" in regulator.get(f"/regulator/replay/{lot_id}").text


def test_demands_are_counted_in_the_bar_and_priced_in_as_many_statements_as_one(app: Flask, world: World) -> None:
    def asked(receivable: UUID) -> None:
        perform(demand_buy_back, DemandBuyBack(receivable, "warranty", "It was pledged before."), world.olga)

    first, second = lives.funded(world), lives.funded(world)
    olga = visit(app, "olga")
    assert "Buy-backs</a>" in olga.get("/operator/buy-backs").text
    asked(first)
    one = statements(olga, "/operator/buy-backs")
    asked(second)
    counted(world, second, 900_000)
    assert 'Buy-backs<span class="n">3</span>' in olga.get("/operator/buy-backs").text
    assert statements(olga, "/operator/buy-backs") - one <= 1  # the credit note's own
    counted(world, first, 900_000, "CN-2")
    assert statements(olga, "/operator/buy-backs") - one <= 1
    assert 'Requests<span class="n">4</span>' in visit(app, "alice").get("/seller/requests").text


def statements(client: FlaskClient, address: str) -> int:
    """Return how many statements a page takes."""
    seen: list[str] = []

    def noted(_c: Any, _k: Any, statement: str, *_: Any) -> None:
        seen.append(statement)

    event.listen(db.engine, "before_cursor_execute", noted)
    assert client.get(address).status_code == 200
    event.remove(db.engine, "before_cursor_execute", noted)
    return len(seen)


# -- in a browser -----------------------------------------------------------------------------------------------------


@pytest.mark.browser
@pytest.mark.parametrize("width", [pytest.param(1280, marks=pytest.mark.long), 390])
def test_the_pages_hold_at_both_widths(app: Flask, world: World, browser: Any, width: int) -> None:
    import os

    receivable = lives.funded(world)
    with world.superuser() as owner:
        owner.execute("UPDATE organisation SET legal_name = %s WHERE id = %s", (LONG, world.id("kestrel")))
    lives.on_day(world, receivable, 18)
    lives.age(receivable)
    offer = on_offer(world, receivable)
    world.fund("carol", 900_000)
    carol = visit(app, "carol")
    second = UUID(str(perform(offer_holding, OfferHolding(receivable, 500_000, 400_000, 300), world.bob)["offer_id"]))
    assert (
        carol.post(f"/investor/offers/{second}/accept", data={"price_minor": "400000", "acknowledged": "1"}).status_code
        == 303
    )
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    base, photos = f"http://127.0.0.1:{server.server_port}", os.environ.get("DUEBILL_PHOTOS")
    pages = {
        "bob": [f"/investor/holdings/{receivable}", f"/investor/holdings/{receivable}/title", "/investor/portfolio"],
        "carol": ["/investor/offers", f"/investor/offers/{offer}"],
        "alice": ["/seller/requests", f"/seller/invoices/{receivable}/buy-back"],
        "olga": ["/operator/buy-backs", f"/operator/receivables/{receivable}/title"],
    }
    try:
        for who, addresses in pages.items():
            seen = browser.new_context(viewport={"width": width, "height": 900}, locale="en-GB")
            page = seen.new_page()
            page.goto(f"{base}/sign-in")
            page.fill("input[name=email]", f"{who}@example.com")
            page.fill("input[name=password]", PASSWORD)
            page.get_by_role("button", name="Sign in", exact=True).click()
            for address in addresses:
                page.goto(base + address)
                found = broken_rules(page)
                if photos:
                    name = address.replace(str(receivable), "R").replace(str(offer), "O").strip("/").replace("/", "-")
                    page.screenshot(path=f"{photos}/{name}-{width}.png", full_page=True)
                assert found == [], address
                assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (
                    f"{address} scrolls sideways"
                )
            seen.close()
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()

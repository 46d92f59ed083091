"""The investor's pages: what is shown, what is hidden, and forms that answer beside their fields."""

import csv
import io
import json
from datetime import timedelta
from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from auction.replay import replay
from marketplace.parties.actions import register_user
from marketplace.parties.schemas import RegisterUser
from marketplace.perform import perform
from marketplace.trading.actions import accept_award, close_lot
from marketplace.trading.schemas import AcceptAward, CloseLot
from tests.people import PASSWORD
from tests.support import SYSTEM
from tests.trading.world import World

SAID = "Your sealed bid of £10,000.00 at 710 bp is in"


def visitor(app: Flask, world: World, who: str) -> FlaskClient:
    """Somebody of the world, signed in with a password of his own."""
    email = f"{who}@example.com"
    perform(register_user, RegisterUser(world.id(who), email, who.title(), PASSWORD), SYSTEM)
    client = app.test_client()
    assert client.post("/sign-in", data={"email": email, "password": PASSWORD}).status_code == 303
    return client


def bid(client: FlaskClient, lot: UUID, rate: str = "710", cash: str = "10,000", **more: str) -> int:
    return answer_to_bid(client, lot, rate, cash, **more).status_code


def answer_to_bid(
    client: FlaskClient, lot: UUID, rate: str = "710", cash: str = "10,000", **more: str
) -> TestResponse:  # fmt: skip
    return client.post(f"/investor/lots/{lot}/bids", data={"rate": rate, "cash": cash, **more})


def test_the_market_is_empty_until_a_lot_opens(app: Flask, world: World) -> None:
    bob = visitor(app, world, "bob")
    page = bob.get("/investor/market")
    assert page.status_code == 200
    assert "Nothing is on auction now" in page.text


def test_the_list_masks_the_seller_and_tells_no_cover(app: Flask, world: World) -> None:
    lot = world.lot()
    bob = visitor(app, world, "bob")
    for path in ("/investor/market", f"/investor/lots/{lot}", "/investor/market.csv"):
        page = bob.get(path)
        assert page.status_code == 200
        assert "Kestrel Aerospace UK Ltd" in page.text
        assert "Penrose" not in page.text
    assert "over" not in bob.get("/investor/market").text.split("<thead")[1].split("</thead")[0].lower()


@pytest.mark.parametrize(
    "query",
    ["q=kestrel", "q=castings", "currency=GBP", "grade=A-", "days=60", "recourse=full", "sort=-sought", "sort=grade"],
)
def test_filters_live_in_the_address(app: Flask, world: World, query: str) -> None:
    world.lot()
    assert "DB-26-0001" in visitor(app, world, "bob").get(f"/investor/market?{query}").text


@pytest.mark.parametrize(
    "query",
    [
        "q=nobody",
        "q=%25",
        "currency=EUR",
        "grade=A",
        "days=30",
        "recourse=none",
        "checked=1",
        "show=mine",
        "show=closed",
    ],
)
def test_a_filter_that_fits_nothing_says_so(app: Flask, world: World, query: str) -> None:
    world.lot()
    page = visitor(app, world, "bob").get(f"/investor/market?{query}")
    assert page.status_code == 200
    assert "No lot fits this filter" in page.text


@pytest.mark.parametrize(
    "query", ["days=x", "page=-1", "page=99999999", "sort=';--", "grade=%00", "q=%00", "show=x", "sector=%00"]
)
def test_nonsense_in_the_address_is_left_out(app: Flask, world: World, query: str) -> None:
    world.lot()
    assert visitor(app, world, "bob").get(f"/investor/market?{query}").status_code == 200


def test_the_csv_holds_no_formula(app: Flask, world: World) -> None:
    world.lot()
    with world.superuser() as superuser:
        superuser.execute("UPDATE organisation SET legal_name = '=cmd()' WHERE id = %s", (world.id("kestrel"),))
    answer = visitor(app, world, "bob").get("/investor/market.csv")
    assert answer.mimetype == "text/csv"
    rows = list(csv.reader(io.StringIO(answer.text.lstrip("\ufeff"))))
    assert rows[1][2] == "'=cmd()"
    assert rows[1][rows[0].index("Sought")] == "41310.00"


def test_a_bid_from_the_form_is_held_and_shown_only_to_its_investor(app: Flask, world: World) -> None:
    world.fund("bob", 5_000_000)
    lot = world.lot()
    bob, carol = visitor(app, world, "bob"), visitor(app, world, "carol")
    answer = answer_to_bid(bob, lot, "7.10%", least="5,000")
    assert answer.status_code == 303
    page = bob.get(answer.location).text
    assert SAID in page
    assert "Change your bid" in page
    assert SAID not in bob.get(f"/investor/lots/{lot}").text, "only to whoever comes from bidding"
    assert SAID not in carol.get(answer.location).text
    assert bob.get(f"/investor/lots/{lot}?bid=no-bid").status_code == 200
    assert "at 7.10%" in bob.get("/investor/market?show=mine").text
    assert "10,000.00 at" not in carol.get(f"/investor/lots/{lot}").text
    assert "£40,000.00" in bob.get("/investor/cash").text.replace('<span class="dec">', "").replace("</span>", "")


def test_a_bid_that_was_taken_back_is_not_said_to_be_in(app: Flask, world: World) -> None:
    world.fund("bob", 5_000_000)
    bob, lot = visitor(app, world, "bob"), world.lot()
    answer = answer_to_bid(bob, lot)
    assert SAID in bob.get(answer.location).text
    assert bob.post(f"/investor/bids/{answer.location.partition('?bid=')[2]}/withdraw").status_code == 303
    assert SAID not in bob.get(answer.location).text


def test_a_bid_that_came_just_before_the_close_is_said_to_have_been_in(app: Flask, world: World) -> None:
    world.fund("bob", 5_000_000)
    bob, lot = visitor(app, world, "bob"), world.lot()
    answer = answer_to_bid(bob, lot)
    world.move_clock(timedelta(hours=1))
    perform(close_lot, CloseLot(lot), SYSTEM)
    page = bob.get(answer.location).text
    assert "Your bid of £10,000.00 at 710 bp was in when the lot closed." in page
    assert SAID not in page


def test_a_form_sent_twice_bids_once(app: Flask, world: World) -> None:
    world.fund("bob", 5_000_000)
    lot = world.lot()
    bob = visitor(app, world, "bob")
    assert [bid(bob, lot, once="same"), bid(bob, lot, once="same")] == [303, 303]
    assert bob.get(f"/investor/lots/{lot}").text.count("Withdraw</button>") == 1


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"rate": "abc", "cash": "10,000"}, "Enter a rate in whole basis points"),
        ({"rate": "710", "cash": "ten"}, "Enter an amount like 10,000.00"),
        ({"rate": "851", "cash": "10,000"}, "Bid at the reserve of 850 bp or below"),
        ({"rate": "710", "cash": "10,050.01"}, "whole number of steps"),
        ({"rate": "710", "cash": "10,000", "least": "20,000"}, "cannot be more than you bid"),
        ({"rate": "710", "cash": "60,000"}, "less free cash than this"),
        ({"rate": "99999999", "cash": "10,000"}, "Enter a rate in whole basis points"),
        ({}, "Some fields need another look"),
    ],
)
def test_a_bid_that_cannot_be_taken_is_answered_beside_its_field(
    app: Flask, world: World, data: dict[str, str], said: str
) -> None:
    world.fund("bob", 5_000_000)
    lot = world.lot()
    answer = visitor(app, world, "bob").post(f"/investor/lots/{lot}/bids", data=data)
    assert answer.status_code == 422
    assert said in answer.text or "Enter a rate" in answer.text
    assert 'role="alert"' in answer.text
    assert 'aria-invalid="true"' in answer.text


def test_a_bid_can_be_replaced_and_withdrawn(app: Flask, world: World) -> None:
    world.fund("bob", 1_000_000)
    lot = world.lot()
    bob = visitor(app, world, "bob")
    bid(bob, lot, "760")
    page = bob.get(f"/investor/lots/{lot}").text
    first = page.split('name="replaces" value="')[1].split('"')[0]
    assert bid(bob, lot, "700", replaces=first) == 303
    second = bob.get(f"/investor/lots/{lot}").text.split("/investor/bids/")[1].split("/")[0]
    assert bob.post(f"/investor/bids/{second}/withdraw").status_code == 303
    assert bob.post(f"/investor/bids/{second}/withdraw").status_code == 422


def test_a_late_bid_hears_that_the_lot_is_closed(app: Flask, world: World) -> None:
    world.fund("bob", 5_000_000)
    lot = world.lot()
    bob = visitor(app, world, "bob")
    world.move_clock(timedelta(hours=1))
    answer = answer_to_bid(bob, lot)
    assert answer.status_code == 422
    assert "bids are no longer taken" in answer.text


def test_the_calculator_works_without_script(app: Flask, world: World) -> None:
    lot = world.lot()
    page = visitor(app, world, "bob").get(f"/investor/lots/{lot}?cash=10,000&rate=710&earn=100").text
    assert "That needs 730 bp (7.30%) a year" in page
    assert "£97" in page


def a_closed_lot(app: Flask, world: World) -> tuple[UUID, FlaskClient, FlaskClient]:
    lot = world.lot()
    bob, carol = visitor(app, world, "bob"), visitor(app, world, "carol")
    for who, client, rate, cash in (("bob", bob, "600", "20,000"), ("carol", carol, "700", "30,000")):
        world.fund(who, 5_000_000)
        assert bid(client, lot, rate, cash) == 303
    assert bob.get(f"/investor/lots/{lot}/transcript.json").status_code == 404
    world.move_clock(timedelta(hours=1))
    perform(close_lot, CloseLot(lot), SYSTEM)
    return lot, bob, carol


def test_after_the_close_the_book_the_award_and_the_proof_are_shown(app: Flask, world: World) -> None:
    lot, bob, _ = a_closed_lot(app, world)
    page = bob.get(f"/investor/lots/{lot}").text
    for words in ("The award", "The book", "Recompute it", "7.00%", "Awaiting the seller"):
        assert words in page
    assert "Aldwych" not in page
    assert "Penrose" not in page
    assert "The award reproduces." in bob.get(f"/investor/lots/{lot}?recompute=1").text


def test_the_transcript_can_be_taken_home_and_replayed(app: Flask, world: World) -> None:
    lot, bob, _ = a_closed_lot(app, world)
    answer = bob.get(f"/investor/lots/{lot}/transcript.json")
    verdict = replay(answer.data)
    assert verdict.reproduces
    assert verdict.stated_sha256 == verdict.computed_sha256 == json.loads(answer.data)["sha256"]


def test_the_seller_is_named_once_the_award_is_accepted(app: Flask, world: World) -> None:
    lot, bob, _ = a_closed_lot(app, world)
    perform(accept_award, AcceptAward(lot), world.alice)
    assert "Penrose Castings Ltd" in bob.get(f"/investor/lots/{lot}").text
    assert "Penrose Castings Ltd" in bob.get("/investor/market?show=closed").text


def test_empty_pages_say_what_is_missing(app: Flask, world: World) -> None:
    bob = visitor(app, world, "bob")
    assert "You own nothing in GBP yet" in bob.get("/investor/portfolio").text
    assert "Nothing has ended yet" in bob.get("/investor/portfolio?show=ended").text
    assert "No money here yet" in bob.get("/investor/cash").text
    assert "No movement in this period" in bob.get("/investor/statement").text
    for path in ("/investor/portfolio.csv", "/investor/statement.csv"):
        assert bob.get(path).status_code == 200


def test_the_statement_adds_up(app: Flask, world: World) -> None:
    world.fund("bob", 5_000_000)
    world.fund("bob", 1)
    bob = visitor(app, world, "bob")
    rows = list(csv.reader(io.StringIO(bob.get("/investor/statement.csv").text.lstrip("\ufeff"))))
    assert [row[4:6] for row in rows[1:]] == [["50000.00", "50000.00"], ["0.01", "50000.01"]]
    wrong = bob.get("/investor/statement?from=2020-01-01&to=nonsense")
    assert (wrong.status_code, "Enter a date like 2 Oct 2026." in wrong.text) == (422, True)
    assert bob.get("/investor/statement.csv?from=nonsense").status_code == 422, "no file of another period"
    assert bob.get("/investor/statement?from=2026-11-02&to=2026-11-01").status_code == 200


@pytest.mark.parametrize(("form", "amount"), [("top-up", ""), ("top-up", "0"), ("withdraw", "x"), ("withdraw", "-1")])
def test_an_amount_that_cannot_be_read_moves_nothing(app: Flask, world: World, form: str, amount: str) -> None:
    bob = visitor(app, world, "bob")
    answer = bob.post(f"/investor/cash/{form}", data={"amount": amount, "currency": "GBP"})
    assert answer.status_code == 422
    assert "No money was moved." in answer.text


def test_who_came_to_pay_is_led_on_as_soon_as_the_payment_page_is_there(app: Flask, world: World) -> None:
    """The worker may be faster than we are, or the provider slow: nobody has to find a button then."""
    bob = visitor(app, world, "bob")
    address = bob.post("/investor/cash/top-up", data={"amount": "10.00", "currency": "GBP"}).headers["Location"]
    assert address.endswith("?go=1")
    waits = bob.get(address)
    assert (waits.status_code, waits.headers["Refresh"]) == (200, "2")
    with world.superuser() as superuser:
        superuser.execute("UPDATE funding SET state = 'open', session_id = 'cs_1', pay_url = 'https://pay.example/1'")
    assert bob.get(address).headers["Location"] == "https://pay.example/1"
    back = bob.get(address.removesuffix("?go=1"))  # where the provider leads to: no way round in circles
    assert (back.status_code, back.headers["Refresh"]) == (200, "5")
    assert "https://pay.example/1" in back.text


def test_more_than_is_free_cannot_be_taken_out(app: Flask, world: World) -> None:
    world.fund("bob", 1_000)
    with world.superuser() as superuser:
        superuser.execute("UPDATE organisation SET iban = 'GB33BUKB20201555555555' WHERE id = %s", (world.id("bob"),))
    bob = visitor(app, world, "bob")
    answer = bob.post("/investor/cash/withdraw", data={"amount": "10.01", "currency": "GBP"})
    assert answer.status_code == 422
    assert bob.post("/investor/cash/withdraw", data={"amount": "10.00", "currency": "GBP"}).status_code == 303


@pytest.mark.parametrize("who", ["alice", "olga"])
def test_others_are_turned_away_from_every_page(app: Flask, world: World, who: str) -> None:
    lot = world.lot()
    client = visitor(app, world, who)
    paths = [
        "/investor/market", "/investor/market.csv", f"/investor/lots/{lot}", "/investor/portfolio", "/investor/cash",
        "/investor/statement", f"/investor/lots/{lot}/transcript.json",
    ]  # fmt: skip
    assert {client.get(path).status_code for path in paths} == {403}
    assert client.post(f"/investor/lots/{lot}/bids", data={"rate": "1", "cash": "1"}).status_code == 403


def test_stranger_mallory_finds_nobody_else_s_things(app: Flask, world: World) -> None:
    world.fund("bob", 1_000_000)
    lot = world.lot()
    bob, mallory = visitor(app, world, "bob"), visitor(app, world, "mallory")
    bid(bob, lot)
    theirs = bob.get(f"/investor/lots/{lot}").text.split("/investor/bids/")[1].split("/")[0]
    assert mallory.post(f"/investor/bids/{theirs}/withdraw").status_code == 404
    assert "£10,000" not in mallory.get("/investor/cash").text
    assert "Withdraw</button>" not in mallory.get(f"/investor/lots/{lot}").text

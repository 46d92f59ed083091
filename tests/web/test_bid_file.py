"""Bids from a file: all rows are judged, each refused one explained, and the same file places nothing twice."""

import contextlib

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from lxml.html import fromstring
from sqlalchemy import text

from marketplace.db import db
from marketplace.kernel.errors import InvalidInput
from marketplace.trading.bid_file import BYTES_MAX, ROWS_MAX, read_rows
from tests.trading.test_placing_many import fails_at
from tests.trading.world import World
from tests.web.test_investor import visitor


def send(client: FlaskClient, content: str, once: str = "one", step: str = "place"):  # type: ignore[no-untyped-def]
    """Send the form as bytes: the test client would leave a large one behind in a file that it does not close."""
    head = "--edge\r\nContent-Disposition: form-data; name="
    fields = f'{head}"once"\r\n\r\n{once}\r\n{head}"step"\r\n\r\n{step}\r\n'
    form = f'{fields}{head}"document"; filename="bids.csv"\r\n\r\n{content}\r\n--edge--\r\n'
    return client.post("/investor/bids/file", data=form.encode(), content_type="multipart/form-data; boundary=edge")


def bids() -> list[tuple[int, int, int]]:
    db.session.rollback()
    rows = db.session.execute(text("SELECT rate_bps, cash_minor, min_fill_minor FROM bid ORDER BY seq"))
    return [tuple(row) for row in rows]  # type: ignore[misc]


def test_a_key_that_no_page_wrote_is_refused_and_never_breaks(app: Flask, world: World) -> None:
    world.fund("bob", 3_000_000)
    world.lot()
    bob = visitor(app, world, "bob")
    for once in ("a\x00b", "a\nb"):
        page = send(bob, "cash,rate,lot\n10000,700,DB-26-0001\n", once)
        assert page.status_code == 200
        assert "0 of 1 bids are in." in page.text
    assert bids() == []


def test_sound_rows_are_in_and_each_refused_one_says_why(app: Flask, world: World) -> None:
    world.fund("bob", 3_000_000)
    world.lot()  # DB-26-0001
    bob = visitor(app, world, "bob")
    content = (
        "Cash,Rate,Lot,least,note\n"
        '"10,000",7.10%,DB-26-0001,,first\n'
        "10000,900,DB-26-0001,,above the reserve\n"
        "\n"
        "5,700,DB-26-0001,,too small\n"
        "much,fast,DB-26-0001,,not numbers\n"
        "10000,700,DB-26-9999,,no such lot\n"
        "15000,650,DB-26-0001,5000,second\n"
        "10000,600,DB-26-0001,,more than there is\n"
    )
    page = send(bob, content)
    assert page.status_code == 200
    assert "2 of 7 bids are in." in page.text
    for words in ("Bid at the reserve of 850 bp or below.", "Bid at least the smallest bid of this lot.",
                  "Enter an amount like 10,000.00.", "Enter a rate in whole basis points",
                  "No lot on auction has this reference.", "You have less free cash than this"):  # fmt: skip
        assert words in page.text
    assert bids() == [(710, 1_000_000, 0), (650, 1_500_000, 500_000)]
    assert "2 of 7 bids are in." in send(bob, content).text  # the same key: nothing is placed twice
    assert len(bids()) == 2


def test_where_something_fails_the_rows_that_are_in_say_so_and_the_file_goes_on_under_its_key(
    app: Flask, world: World
) -> None:
    world.fund("bob", 3_000_000)
    world.lot()
    world.lot(buy_now_bps=500)
    fails_at(world, 666)
    bob = visitor(app, world, "bob")
    content = "cash,rate,lot\n10000,700,DB-26-0002\n10000,666,DB-26-0002\n20000,650,DB-26-0001\n"
    page = send(bob, content).text
    assert "2 of 3 bids are in." in page
    assert page.count("Something failed here, and what became of this bid is not known.") == 1
    assert 'name="once" value="one"' in page
    assert 'name="once" value="two"' not in send(bob, content.replace("666", "700"), "two").text


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "The file lacks the column lot."),
        ("lot,rate\nx,1\n", "The file lacks the column cash."),
        ("lot,rate,cash\n", "The file has no rows."),
        ("lot,rate,cash\n" + "x,1,1\n" * (ROWS_MAX + 1), f"The file has more than {ROWS_MAX} rows."),
        # cut where it is too large, the last row would still stand as a bid of a tenth
        (
            "lot,rate,cash\nDB-26-0001,700,10000\n" + "," * (BYTES_MAX - 52) + "\nDB-26-0001,700,100000\n",
            "The file is larger than 1 MB.",
        ),
        ("lot,rate,cash,cash\nDB-26-0001,700,10000,500\n", "The file has the column cash twice."),
    ],
    ids=["empty", "a column lacks", "no rows", "too many rows", "too many bytes", "a column twice"],
)
def test_a_file_that_is_none_is_refused_as_a_whole(app: Flask, world: World, content: str, words: str) -> None:
    world.lot()
    page = send(visitor(app, world, "bob"), content)
    assert page.status_code == 422
    assert words in page.text
    assert bids() == []


def test_a_file_as_large_as_may_be_is_read_to_its_end_and_no_cell_is_cut_to_a_number(app: Flask, world: World) -> None:
    world.fund("bob", 3_000_000)
    world.lot()
    notes, long = ",".join(["n" * 70_000] * 10), "7" + " " * 150 + "00"
    page = send(visitor(app, world, "bob"), f"cash,rate,lot,{','.join('abcdefghij')}\n10000,700,DB-26-0001,{notes}\n"
                f"10000,{long},DB-26-0001,\n20000,650,DB-26-0001,\n").text  # fmt: skip
    assert "2 of 3 bids are in." in page
    assert bids() == [(700, 1_000_000, 0), (650, 2_000_000, 0)]


def test_a_file_is_shown_as_it_was_understood_before_anything_is_placed(app: Flask, world: World) -> None:
    world.fund("bob", 3_000_000)
    world.lot()
    bob = visitor(app, world, "bob")
    content = (
        "lot,rate,cash,least\n"
        '\nDB-26-0001,7.10%,"10,000",5000\n'
        "DB-26-0001,900,10000\n"
        "DB-26-0001,700,10000\n"
        "DB-26-0001,700,15000\n"
        "DB-26-0001,700,10,000\n"
        "DB-26-0001,700,1,500,000\n"
        'DB-26-0001,"7,1",10000\n'
        "DB-26-0001,7.²%,10000\n"
    )
    page = send(bob, content, step="show")
    assert page.status_code == 200
    assert bids() == []
    assert "2 of 8 bids can be placed. Nothing is placed yet." in page.text
    assert "£20,000.00 would be held out of £30,000.00 that is free." in page.text
    for words in ("7.10%", "Bid at the reserve of 850 bp or below.", "You have less free cash than this",
                  "This row has more cells than the first one.", "Enter a rate in whole basis points"):  # fmt: skip
        assert words in page.text
    form = next(form for form in fromstring(page.text).forms if "rows" in form.fields)
    asked = {**dict(form.fields), "step": "place"}
    for _twice in range(2):
        placed = bob.post("/investor/bids/file", data=asked)
        assert "2 of 2 bids are in." in placed.text
        assert bids() == [(710, 1_000_000, 500_000), (700, 1_000_000, 0)]
    numbers = fromstring(placed.text).xpath("//tbody/tr/td[1]/text()")
    assert numbers == ["3", "5"]  # the lines of the file that was sent, not of what the page carried


def test_a_list_that_failed_is_sent_again_from_its_page_under_the_one_key(app: Flask, world: World) -> None:
    world.fund("bob", 3_000_000)
    world.lot()
    world.lot(buy_now_bps=500)
    fails_at(world, 666)
    bob = visitor(app, world, "bob")
    content = "cash,rate,lot\n10000,666,DB-26-0002\n20000,650,DB-26-0001\n"
    page = send(bob, content)
    form = next(form for form in fromstring(page.text).forms if "rows" in form.fields)
    assert [one.get("value") for one in form.xpath(".//input[@name='once']")] == ["one"]
    before = bids()
    assert before
    again = bob.post("/investor/bids/file", data={**dict(form.fields), "step": "place"})
    assert again.status_code == 200
    assert bids() == before


def test_what_is_typed_is_shown_as_text(app: Flask, world: World) -> None:
    page = send(visitor(app, world, "bob"), "lot,rate,cash\n<script>alert(1)</script>,1,1\n").text
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


@given(st.binary(max_size=300))
def test_no_bytes_break_the_reader(raw: bytes) -> None:
    with contextlib.suppress(InvalidInput):  # anything else would be a fault of ours
        assert read_rows(b"lot,rate,cash\n" + raw)

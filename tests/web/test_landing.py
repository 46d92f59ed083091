"""The board on the landing page, and the invoice it sees through."""

from datetime import timedelta

from flask import Flask
from flask.testing import FlaskClient

from auction.book import Book
from auction.replay import run
from marketplace.db import db
from marketplace.embedded_postgres import EmbeddedPostgres
from marketplace.perform import perform
from marketplace.reports.board import board
from marketplace.trading.actions import accept_award, close_lot, place_bid
from marketplace.trading.schemas import AcceptAward, CloseLot, PlaceBid
from marketplace.web.example import FACE_MINOR, example
from tests.auction.books import a_bid, a_book
from tests.support import SYSTEM
from tests.trading.world import World


def test_an_award_stands_on_the_board_without_names(
    app: Flask, client: FlaskClient, postgres: EmbeddedPostgres, database: str
) -> None:
    with app.app_context():
        world = World(postgres, database)
        lot = world.lot()
        for who, rate, minor in (("bob", 600, 2_000_000), ("carol", 700, 3_000_000)):
            world.fund(who, 5_000_000)
            perform(place_bid, PlaceBid(lot, rate, minor, 0), getattr(world, who))
        assert "1 is on auction now" in client.get("/").text
        world.move_clock(timedelta(hours=1))
        perform(close_lot, CloseLot(lot), SYSTEM)
        perform(accept_award, AcceptAward(lot, None), world.alice)
        told = board(db.session())
    assert [(award.ref, award.awarded_minor, award.stop_out_bps) for award in told.awards] == [
        ("DB-26-0001", 4_131_000, 700)
    ]
    page = client.get("/").text
    assert "DB-26-0001" in page
    assert "7.00%" in page
    for name in ("Kestrel", "Penrose", "Fenwick", "Aldwych"):
        assert name not in page


def test_the_example_adds_up_and_is_what_the_engine_awards() -> None:
    story = example()
    assert story.investors_minor + story.fee_minor + story.residual_minor == FACE_MINOR
    assert story.cost_minor == story.discount_minor + story.fee_minor
    bids = [a_bid(str(seq), rate, minor, seq=seq) for seq, (minor, rate) in enumerate(story.bids)]
    outcome = run(
        Book.parse(a_book(*bids, face_minor=FACE_MINOR, target_minor=story.advance_minor, tenor_days=story.days))
    )
    assert outcome.clearing.stop_out_bps == story.rate_bps
    assert outcome.discount_minor == story.discount_minor
    assert sum(fill.cash_minor for fill in outcome.fills) == story.advance_minor

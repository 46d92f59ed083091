"""The mandates' pages: written by a form that answers beside its fields, told lot by lot, tested on what has closed."""

from datetime import timedelta

from flask import Flask

from marketplace.perform import perform
from marketplace.trading.batches import close_lots
from marketplace.trading.schemas import CloseLots
from tests.support import SYSTEM
from tests.trading.world import World
from tests.web.test_investor import visitor

TERMS = {"name": "Good <debtors>", "currency": "GBP", "grade_worst": "B+", "spread_bps": "20",
         "lot_minor_max": "20,000", "budget_minor": "1,000,000", "budget_days": "30",
         "lot_share_percent": "50"}  # fmt: skip


def test_a_mandate_s_life_on_its_pages(app: Flask, world: World) -> None:
    bob = visitor(app, world, "bob")
    assert "No mandate yet" in bob.get("/investor/mandates").text
    made = bob.post("/investor/mandates", data=TERMS)
    assert made.status_code == 303
    place = made.headers["Location"]
    assert "Good &lt;debtors&gt;" in bob.get("/investor/mandates").text
    world.fund("bob", 1_500_000)
    lots = (world.lot(), world.lot())
    world.move_clock(timedelta(hours=1))
    perform(close_lots, CloseLots(lots), SYSTEM)
    page = bob.get(place, query_string={"test": "1"})
    assert page.status_code == 200
    assert "£15,000" in page.text  # all the cash there was, on the first lot
    assert "not enough free cash" in page.text
    assert "2 lots, 2 bids" in page.text
    assert bob.get(f"{place}/log.csv").text.count("\n") == 3
    for verb, word in (("pause", "Resting"), ("resume", "Active"), ("end", "Ended")):
        assert bob.post(f"{place}/{verb}").status_code == 303
        assert word in bob.get(place).text
    stale = bob.post(f"{place}/pause")
    assert stale.status_code == 409
    assert "This mandate has been changed since the page was shown" in stale.text


def test_a_mandate_is_tested_before_it_is_started(app: Flask, world: World) -> None:
    bob = visitor(app, world, "bob")
    world.fund("bob", 1_500_000)
    lots = (world.lot(), world.lot())
    world.move_clock(timedelta(hours=1))
    perform(close_lots, CloseLots(lots), SYSTEM)
    page = bob.post("/investor/mandates", data=TERMS | {"step": "test"})
    assert page.status_code == 200
    for words in ("Not started: nothing bids yet.", "2 lots, 2 bids", "No mandate yet", 'value="1,000,000"'):
        assert words in page.text, words
    wrong = bob.post("/investor/mandates", data=TERMS | {"step": "test", "budget_minor": "1"})
    assert (wrong.status_code, "One lot cannot take more than the budget." in wrong.text) == (422, True)


def test_each_wrong_field_is_told_beside_it_and_nothing_is_written(app: Flask, world: World) -> None:
    bob = visitor(app, world, "bob")
    wrong = {**TERMS, "lot_minor_max": "much", "lot_share_percent": "200", "grade_worst": "Z"}
    answer = bob.post("/investor/mandates", data=wrong)
    assert answer.status_code == 422
    assert "Enter an amount like 10,000.00." in answer.text
    assert "Enter whole per cent, from 1 to 100." in answer.text
    assert 'value="much"' in answer.text
    assert "No mandate yet" in bob.get("/investor/mandates").text

"""The figures of lateness: they add up, they tell what stood then, and they match a day counted by hand."""

from datetime import date, timedelta

import pytest
from flask import current_app

from marketplace.db import db, market_now
from marketplace.kernel.clock import business_date
from marketplace.reports import arrears, operations
from marketplace.reports.operations import AgeingRow
from marketplace.servicing.ageing import bucket
from tests import lives
from tests.trading.world import World

ZONE = "Europe/London"
FACE = 4_860_000


def today() -> date:
    db.session.rollback()
    return business_date(market_now(db.session()), ZONE)


@pytest.mark.parametrize(
    ("days", "column"), [(0, 0), (1, 1), (30, 1), (31, 2), (60, 2), (61, 3), (90, 3), (91, 4), (400, 4)]
)
def test_ageing_puts_a_receivable_into_the_column_of_its_days(world: World, days: int, column: int) -> None:
    receivable_id = lives.funded(world)
    lives.on_day(world, receivable_id, days)
    rows = operations.ageing(db.session(), "GBP", today())
    assert bucket(days) == column
    assert [row.buckets for row in rows] == [tuple(FACE if index == column else 0 for index in range(5))]
    assert operations.total_of(rows).total == operations.book(db.session(), "GBP", today()).outstanding_minor == FACE


def test_every_division_of_the_book_has_the_same_sum(world: World) -> None:
    first = lives.funded(world)
    lives.funded(world, [("dave", 600, 5_000_000)])
    lives.pays(world, first, 1_234_567)
    lives.on_day(world, first, 45)
    for by in ("grade", "debtor", "seller", "sector"):
        rows = operations.ageing(db.session(), "GBP", today(), by)
        assert operations.total_of(rows).total == 2 * FACE - 1_234_567
    assert operations.ageing(db.session(), "EUR", today()) == []


@pytest.mark.parametrize(
    ("late", "tint"), [(0, ""), (9, ""), (10, "k1"), (49, "k1"), (50, "k2"), (100, "k3"), (200, "k4"), (1_000, "k4")]
)
def test_the_tint_follows_the_share_of_the_row(late: int, tint: str) -> None:
    assert AgeingRow(None, (1_000 - late, late, 0, 0, 0)).heat(1) == tint
    assert AgeingRow(None, (1_000 - late, late, 0, 0, 0)).heat(0) == ""


def test_the_weeks_tell_what_stood_then(world: World) -> None:
    receivable_id = lives.funded(world)
    lives.on_day(world, receivable_id, 40)
    lives.pays(world, receivable_id, 1_000_000)
    world.move_clock(timedelta(days=14))
    weeks = arrears.weeks(db.session(), "GBP", today(), ZONE)
    assert weeks[-1].outstanding_minor == FACE - 1_000_000
    assert weeks[-1].par_ppm == (1_000_000, 0, 0)
    assert weeks[0].outstanding_minor == FACE
    assert weeks[0].par_ppm == (0, 0, 0)
    assert [week.day for week in weeks] == sorted(week.day for week in weeks)
    assert len(weeks) <= arrears.WEEKS


def test_a_settled_receivable_leaves_the_book_and_stays_in_its_vintage(world: World) -> None:
    receivable_id = lives.funded(world)
    lives.pays(world, receivable_id, FACE)
    assert operations.ageing(db.session(), "GBP", today()) == []
    (vintage,) = arrears.vintages(db.session(), "GBP", ZONE)
    assert (vintage.funded, vintage.funded_minor, vintage.defaulted, vintage.outstanding_minor) == (1, 4_131_000, 0, 0)


def test_recoveries_belong_to_the_vintage_that_defaulted(world: World) -> None:
    receivable_id = lives.funded(world)
    lives.on_day(world, receivable_id, 90)
    lives.age(receivable_id)
    lives.pays(world, receivable_id, 700)
    (vintage,) = arrears.vintages(db.session(), "GBP", ZONE)
    assert (vintage.default_ppm, vintage.recovered_minor) == (1_000_000, 700)


def test_one_debtor_is_the_whole_concentration(world: World) -> None:
    assert arrears.hhi(db.session(), "GBP") == 0
    lives.funded(world)
    db.session.rollback()
    assert arrears.hhi(db.session(), "GBP") == 10_000


def test_the_strip_of_an_empty_market_is_empty(world: World) -> None:
    found = arrears.strip(db.session(), market_now(db.session()))
    assert (found.books, found.collected, found.suspense, found.failures) == ((), (), (), 0)
    assert current_app.extensions["duebill"].policy.zone == ZONE

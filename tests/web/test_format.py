"""Figures, rates and dates as pages show them."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st

from marketplace.web import format as formats


@pytest.fixture(autouse=True)
def request_in_english(context: Flask) -> Iterator[None]:
    with context.test_request_context():
        yield


@pytest.fixture
def in_chinese(context: Flask, request_in_english: None) -> Iterator[None]:
    with context.test_request_context(headers={"Cookie": "duebill_language=zh_Hant"}):
        yield


@pytest.mark.parametrize(
    ("minor", "currency", "text"),
    [
        (4_860_000, "GBP", "£48,600.00"),
        (1, "GBP", "£0.01"),
        (0, "EUR", "€0.00"),
        (-120_455, "EUR", "−€1,204.55"),
        (12_400_000_000, "HKD", "HK$124,000,000.00"),
        (500, "JPY", "JP¥500"),
        (None, "GBP", "–"),
    ],
)
def test_money_is_whole_and_never_abbreviated(minor: int | None, currency: str, text: str) -> None:
    assert formats.money_text(minor, currency) == text
    assert formats.money(minor, currency).striptags() == text


def test_minor_units_are_lighter() -> None:
    assert str(formats.money(4_860_000, "GBP")) == '<span class="nw">£48,600<span class="dec">.00</span></span>'


@pytest.mark.parametrize(
    ("minor", "text"),
    [
        (421_000_000, "£4.21m"),
        (38_100_000, "£381k"),
        (6_142_000_000, "£61.4m"),
        (99_900, "£999"),
        (-421_000_000, "−£4.21m"),
    ],
)
def test_figures_may_be_short(minor: int, text: str) -> None:
    assert formats.money_short(minor, "GBP") == text


def test_rates() -> None:
    assert [formats.bps(735), formats.bps(-5), formats.bps(0)] == ["7.35%", "−0.05%", "0.00%"]
    assert [formats.ppm(3_400), formats.ppm(470), formats.ppm(1_000_000)] == ["0.34%", "0.047%", "100.00%"]
    assert formats.basis_points(735) == "735 bp"
    assert [formats.days(1), formats.days(50)] == ["1 day", "50 days"]


def test_dates_and_times_carry_their_zone() -> None:
    close = datetime(2026, 8, 12, 15, 0, tzinfo=UTC)
    assert formats.day(date(2026, 9, 30)) == "30 Sep 2026"
    assert formats.clock(close) == "16:00 BST"
    assert formats.clock(close, "UTC", seconds=True) == "15:00:00 UTC"
    assert (
        str(formats.moment(close))
        == '<time class="nw" datetime="2026-08-12T15:00:00.000Z">12 Aug 2026, 16:00 BST</time>'
    )


def test_a_date_among_the_parameters_is_written_as_readers_write_dates() -> None:
    words = "If they are not filed by %(day)s either"
    assert formats.translated(words, {"day": date(2027, 10, 31)}) == "If they are not filed by 31 Oct 2027 either"


@pytest.mark.usefixtures("in_chinese")
def test_chinese_dates() -> None:
    assert formats.day(date(2026, 10, 2)) == "2026年10月2日"
    assert formats.day_short(date(2026, 10, 2)) == "10月2日"


@pytest.mark.parametrize(
    ("left", "text", "css"),
    [
        (5273, "1:27:53", ""),
        (581, "9:41", "soon"),
        (48, "0:48", "now"),
        (0, "0:00", "now"),
        (-5, "0:00", "now"),
        (200_000, "2 days", ""),
    ],
)
def test_countdowns(left: int, text: str, css: str) -> None:
    now = datetime(2026, 8, 12, 14, 32, 7, tzinfo=UTC)
    assert formats.time_left(now + timedelta(seconds=left), now) == text
    assert formats.count_class(now + timedelta(seconds=left), now) == css


def test_grades_and_days_past_due_have_their_colours() -> None:
    assert [formats.grade_class(g) for g in ("A+", "A-", "A−", "E", "?")] == ["g1", "g3", "g3", "g9", "d0"]
    assert [formats.dpd_class(n) for n in (-3, 0, 1, 30, 31, 60, 61, 90, 91)] == [
        "d0",
        "d0",
        "d1",
        "d1",
        "d2",
        "d2",
        "d3",
        "d3",
        "d4",
    ]


@given(st.lists(st.integers(0, 10**14), min_size=1, max_size=8).filter(any))
def test_a_split_bar_is_always_full_and_shows_every_part(amounts: list[int]) -> None:
    pieces = formats.bars(amounts)
    widths = [int(piece["width"].rstrip("%").replace(".", "")) for piece in pieces]
    assert sum(widths) == 100_000
    assert len(pieces) == sum(amount > 0 for amount in amounts)
    assert min(widths) >= 1_000

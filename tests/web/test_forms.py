"""Numbers and dates as people type them."""

from datetime import date

import pytest

from marketplace.kernel.errors import InvalidInput
from marketplace.web.forms import bps_of_percent, day_of, field_id, minor_of


@pytest.mark.parametrize(
    ("text", "minor"),
    [("48,600", 4_860_000), ("£48,600.00", 4_860_000), (" 10000.5 ", 1_000_050), ("0.01", 1), ("1 000", 100_000)],
)
def test_amounts(text: str, minor: int) -> None:
    assert minor_of(text, "GBP") == minor


@pytest.mark.parametrize(
    "text",
    ["", "-5", "1,00", "1.005", "1e6", "£", "12,3456", "９９", "NaN", "1" * 40, "999,999,999,999,999,999,999,999"],
)
def test_what_is_no_amount_names_the_field(text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        minor_of(text, "GBP", "cash")
    assert refused.value.problems[0].field == "cash"


def test_rates() -> None:
    assert [bps_of_percent(text) for text in ("7.35", "7.35%", "8", "0.5")] == [735, 735, 800, 50]
    with pytest.raises(InvalidInput):
        bps_of_percent("7.355")


def test_days() -> None:
    assert day_of("2026-10-02") == day_of("2 Oct 2026") == date(2026, 10, 2)
    with pytest.raises(InvalidInput):
        day_of("2026-02-30")


def test_field_ids_are_safe_in_addresses() -> None:
    assert field_id("lines.0.amount") == "f-lines-0-amount"

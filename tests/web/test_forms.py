"""Numbers and dates as people type them."""

from datetime import date

import pytest
from marshmallow import Schema, fields, validate

from marketplace.kernel.errors import InvalidInput
from marketplace.schemas import load
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


class Asked(Schema):
    """One field of each sort that marshmallow refuses in its own words."""

    name = fields.String(required=True, validate=validate.Length(1, 8))
    count = fields.Integer(validate=validate.Range(2, 9))
    minor = fields.Integer(validate=validate.Range(1, 10**15))
    which = fields.UUID()
    day = fields.Date()
    sort = fields.String(validate=validate.OneOf(("a", "b")))
    short = fields.String(validate=validate.Length(max=3))


@pytest.mark.parametrize(("given", "said"), [
    ({}, "Fill this in."), ({"name": "x" * 9}, "Enter 1 to 8 characters."), ({"count": "x"}, "Enter a whole number."),
    ({"count": "1"}, "Enter a number from 2 to 9."),
    ({"minor": "0"}, "Enter an amount above zero that this market can count."),
    ({"which": "x"}, "Choose something that is there."), ({"sort": "c"}, "Choose something that is there."),
    ({"day": "soon"}, "Enter a date like 2 Oct 2026."), ({"short": "long"}, "Enter 3 characters or fewer."),
])  # fmt: skip
def test_a_form_s_reader_speaks_in_words_that_people_read_and_translators_have(
    given: dict[str, str], said: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        load(Asked, given if not given else {"name": "A"} | given)
    (problem,) = refused.value.problems
    assert (problem.field, problem.words % problem.params) == (next(iter(given), "name"), said)

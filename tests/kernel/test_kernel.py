"""Money, ids, states, calendars and canonical bytes."""

import multiprocessing
from datetime import UTC, date, datetime, timedelta, timezone
from enum import StrEnum
from uuid import UUID

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from config.settings import read_policy
from marketplace.db import array
from marketplace.kernel.calendars import (
    add_business_days,
    is_business_day,
    is_settlement_day,
    next_business_day,
    settlement_day,
)
from marketplace.kernel.canonical import canonical_bytes
from marketplace.kernel.clock import business_date
from marketplace.kernel.errors import InvalidInput, RuleBroken
from marketplace.kernel.ids import new_id, new_texts
from marketplace.kernel.money import Money, allocate, exponent
from marketplace.kernel.policy import parse
from marketplace.kernel.states import Machine

WORDS = st.text(st.characters(exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | WORDS,
    lambda parts: st.lists(parts) | st.dictionaries(WORDS, parts),
)


@given(st.integers(0, 10**15), st.lists(st.integers(0, 10**9), min_size=1, max_size=30).filter(any))
def test_parts_sum_to_the_whole_and_stay_within_one_unit_of_their_share(total: int, weights: list[int]) -> None:
    parts = allocate(total, weights)
    assert sum(parts) == total
    assert all(abs(p * sum(weights) - total * w) < sum(weights) for p, w in zip(parts, weights, strict=True))


def test_the_odd_penny_goes_to_the_first_of_equals() -> None:
    assert allocate(100, [1, 1, 1]) == [34, 33, 33]


def test_nothing_can_be_shared_among_nobody() -> None:
    assert allocate(0, [0, 0]) == [0, 0]
    with pytest.raises(ValueError):
        allocate(1, [0, 0])


def test_currencies_do_not_mix() -> None:
    assert Money(5, "GBP") + Money(7, "GBP") == Money(12, "GBP")
    with pytest.raises(TypeError):
        Money(5, "GBP") + Money(7, "EUR")
    with pytest.raises(TypeError):
        Money(5.0, "GBP")  # type: ignore[arg-type]


def test_an_unknown_currency_is_named() -> None:
    with pytest.raises(InvalidInput, match="XXX"):
        exponent("XXX")


def test_ids_are_version_seven_and_never_repeat() -> None:
    ids = {new_id() for _ in range(10_000)}
    assert len(ids) == 10_000
    assert all(made.version == 7 and made.variant == "specified in RFC 4122" for made in ids)


def test_parent_and_child_draw_different_ids() -> None:
    """Web workers are forked from one process, which has made ids before."""
    new_id()
    fork = multiprocessing.get_context("fork")
    with fork.Pool(2) as children:
        theirs = [one for some in children.map(_random_parts, [100, 100], 1) for one in some]
    everybodys = theirs + _random_parts(100)
    assert len(set(everybodys)) == len(everybodys) == 300


def _random_parts(count: int) -> list[int]:
    return [new_id().int & (2**62 - 1) for _ in range(count)]


def test_ids_made_as_a_set_are_like_those_made_alone() -> None:
    texts = new_texts(10_000)
    ids = {UUID(text) for text in texts}
    assert len(ids) == 10_000
    assert all(made.version == 7 and made.variant == "specified in RFC 4122" for made in ids)
    assert {len(text) for text in texts} == {32}
    assert 0 <= (new_id().int >> 80) - (min(ids).int >> 80) < 60_000  # of now, in milliseconds
    assert new_texts(0) == []


def test_christmas_is_no_business_day() -> None:
    assert not is_business_day(date(2026, 12, 25), "GB")
    # 25 December 2026 is a Friday; Boxing Day's substitute is Monday the 28th.
    assert next_business_day(date(2026, 12, 24), "GB") == date(2026, 12, 29)
    assert add_business_days(date(2026, 11, 20), 3, "DE") == date(2026, 11, 25)


def test_banks_of_a_country_rest_by_the_calendar_of_where_they_are() -> None:
    assert not is_business_day(date(2026, 4, 6), "GB")  # Easter Monday: England's banks rest, Scotland's do not
    assert not is_business_day(date(2026, 8, 31), "GB")
    assert is_business_day(date(2028, 2, 29), "GB")
    assert not is_business_day(date(2026, 10, 3), "DE")
    assert is_business_day(date(2026, 10, 5), "XX")  # nothing is known of it but the week
    assert not is_business_day(date(2026, 10, 4), "XX")


def test_a_currency_settles_on_its_own_systems_days() -> None:
    assert not is_settlement_day(date(2026, 5, 1), "EUR")  # T2 closes on Labour Day …
    assert is_settlement_day(date(2026, 5, 1), "GBP")  # … CHAPS does not
    assert is_settlement_day(date(2026, 10, 3) + timedelta(days=2), "EUR")
    assert settlement_day(date(2026, 4, 3), "EUR") == date(2026, 4, 7)  # over Easter
    assert settlement_day(date(2026, 12, 25), "GBP") == date(2026, 12, 29)
    assert not is_settlement_day(date(2026, 11, 26), "USD")  # Thanksgiving
    assert settlement_day(date(2026, 4, 7), "EUR") == date(2026, 4, 7)


def test_the_business_date_follows_the_markets_zone() -> None:
    assert business_date(datetime(2026, 7, 1, 23, 30, tzinfo=UTC), "Europe/London") == date(2026, 7, 2)


def test_canonical_bytes_are_sorted_exact_and_in_utc() -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=timezone(timedelta(hours=1)))
    assert canonical_bytes({"b": 1, "a": at, "é": 2**60}) == (
        '{"a":"2026-01-02T02:04:05.000006Z","b":1,"é":"1152921504606846976"}'.encode()
    )
    with pytest.raises(TypeError):
        canonical_bytes({"rate": 0.1})


@given(st.lists(st.uuids() | st.integers() | st.sampled_from(["principal", "late_charge"])))
def test_an_array_in_plain_words_has_nothing_to_quote(values: list[object]) -> None:
    assert array(values) == "{" + ",".join(str(value) for value in values) + "}"


@pytest.mark.parametrize("word", ['a"b', "a b", "{}", "a\\", "", "NULL", "é"])
def test_a_word_that_would_need_quotes_is_no_part_of_a_plain_array(word: str) -> None:
    with pytest.raises(ValueError, match="plain words"):
        array(["principal", word])


@given(JSON)
def test_canonical_bytes_are_those_of_rfc_8785(value: object) -> None:
    assert canonical_bytes(value) == rfc8785.dumps(value)


@pytest.mark.parametrize("text", ["\ud800", {"\udfff": 1}, {"é\ud800": 1}])
def test_what_is_not_unicode_has_no_canonical_bytes(text: object) -> None:
    with pytest.raises(ValueError, match="surrogates"):
        canonical_bytes(text)


class Light(StrEnum):
    RED = "red"
    GREEN = "green"


def test_a_machine_names_the_move_it_refuses() -> None:
    machine = Machine("light", Light, {Light.RED: (Light.GREEN,)})
    machine.check("red", "green")
    with pytest.raises(RuleBroken) as refused:
        machine.check("green", "red")
    assert refused.value.said() == "A light that is green cannot become red."
    assert machine.sql_moves() == "('red','green')"


def test_the_policy_names_the_key_that_is_wrong() -> None:
    table = dict(read_policy())
    assert parse(table).auction.group_cap_bps == 3_500
    with pytest.raises(ValueError, match=r"policy\.auction\.open_minutes must be int"):
        parse(table | {"auction": dict(table["auction"]) | {"open_minutes": "soon"}})
    with pytest.raises(ValueError, match=r"policy\.typo is not a known key"):
        parse(table | {"typo": 1})

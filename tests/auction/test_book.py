"""A book is judged as a whole: any one fault refuses all of it, and every fault is named."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auction.book import BID_KEYS, Bid, Book
from auction.errors import BookInvalid
from tests.auction.books import a_bid, a_book, books


def faults_of(book: object) -> list[tuple[str, str]]:
    with pytest.raises(BookInvalid) as refused:
        Book.parse(book)
    return [(fault.path, fault.rule) for fault in refused.value.faults]


@pytest.mark.parametrize("key", sorted(a_book()))
def test_a_missing_key_refuses_the_book(key):
    book = a_book(a_bid("a", 1, 1, seq=1))
    del book[key]
    assert (key, "missing") in faults_of(book)


@pytest.mark.parametrize("key", sorted(a_bid("a", 1, 1, seq=1)))
def test_a_missing_key_of_a_bid_refuses_the_book(key):
    bid = a_bid("a", 1, 1, seq=1)
    del bid[key]
    assert (f"bids[0].{key}", "missing") in faults_of(a_book(bid))


@pytest.mark.parametrize("key", ["face_minor", "target_minor", "lot_size_minor", "minimum_minor", "tenor_days"])
@pytest.mark.parametrize(
    ("value", "rule"),
    [
        (0, "under_1"),
        (-1, "under_1"),
        (1.0, "not_an_integer"),
        (True, "not_an_integer"),
        ("1", "not_an_integer"),
        (None, "not_an_integer"),
    ],
)
def test_a_number_out_of_range_or_not_an_integer_refuses_the_book(key, value, rule):
    assert (key, rule) in faults_of(a_book(**{key: value}))


@pytest.mark.parametrize("key", ["min_share_bps", "group_cap_bps"])
def test_a_share_above_the_whole_refuses_the_book(key):
    assert faults_of(a_book(**{key: 10_001})) == [(key, "over_10000")]
    assert Book.parse(a_book(**{key: 10_000}))


@pytest.mark.parametrize(
    ("terms", "fault"),
    [
        ({"target_minor": 4_860_001}, ("target_minor", "over_face")),
        ({"accepted_minor": 4_131_001}, ("accepted_minor", "over_target")),
        ({"accepted_minor": 0}, ("accepted_minor", "under_1")),
        ({"accepted_minor": None}, ("accepted_minor", "not_an_integer")),
        ({"price_rule": "dutch"}, ("price_rule", "unknown")),
        ({"lot": ""}, ("lot", "empty")),
        ({"currency": 826}, ("currency", "not_a_text")),
        ({"related_groups": ["g", ""]}, ("related_groups[1]", "empty")),
        ({"related_groups": "g"}, ("related_groups", "not_a_list")),
        ({"bids": {}}, ("bids", "not_a_list")),
        ({"bids": [7]}, ("bids[0]", "not_an_object")),
        ({"bids": [a_bid("a", 1, 1, seq=1, group="\ud800")]}, ("bids[0].group", "not_unicode")),
        ({"bids": [a_bid("a", -1, 1, seq=1)]}, ("bids[0].rate_bps", "under_0")),
        ({"bids": [a_bid("a", 1, 1, seq=1, least=2)]}, ("bids[0].min_fill_minor", "over_cash")),
        ({"bids": [a_bid("a", 1, 1, seq=1), a_bid("a", 1, 1, seq=2)]}, ("bids[1].id", "repeated")),
        ({"bids": [a_bid("a", 1, 1, seq=1), a_bid("b", 1, 1, seq=1)]}, ("bids[1].seq", "repeated")),
    ],
)
def test_one_fault_refuses_the_whole_book(terms, fault):
    assert faults_of(a_book(**terms)) == [fault]


def test_every_fault_is_named_at_once():
    assert faults_of(a_book(a_bid("", -1, 1, seq=1), lot="")) == [
        ("lot", "empty"),
        ("bids[0].id", "empty"),
        ("bids[0].rate_bps", "under_0"),
    ]


def test_what_is_not_an_object_is_not_a_book():
    assert faults_of([]) == [("book", "not_an_object")]


def test_ids_and_groups_are_exact_code_points():
    """É composed and É decomposed look alike and are two groups."""
    book = a_book(a_bid("a", 1, 1, seq=1, group="\u00c9"), related_groups=["E\u0301"])
    assert Book.parse(book).bids[0].group not in Book.parse(book).related_groups


SPOILT = [("", None), ("cash_minor", -1), ("cash_minor", 1.0), ("cash_minor", True), ("min_fill_minor", 10**30),
          ("rate_bps", "7"), ("seq", None), ("id", ""), ("id", 7), ("id", "é"),
          ("group", "\ud800"), ("investor", None)]  # fmt: skip
TERMS = [("", None), ("target_minor", 0), ("price_rule", "other"), ("related_groups", [""]), ("accepted_minor", 10**30)]


def judged(make):
    try:
        return make()
    except BookInvalid as refused:
        return refused.faults


@given(books(wide=True, accepting=True), st.sampled_from(SPOILT), st.sampled_from(TERMS), st.booleans())
def test_a_book_made_of_bids_is_the_book_that_is_read_and_has_the_same_faults(drawn, spoilt, term, twice):
    if drawn["bids"] and spoilt[0]:
        drawn["bids"][-1][spoilt[0]] = spoilt[1]
    if drawn["bids"] and twice:
        drawn["bids"].append({**drawn["bids"][0], "seq": 10**6})
    if term[0]:
        drawn[term[0]] = term[1]
    bids = [Bid(*(bid[key] for key in BID_KEYS)) for bid in drawn["bids"]]
    assert judged(lambda: Book.of(drawn, bids)) == judged(lambda: Book.parse(drawn))

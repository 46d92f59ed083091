"""Anyone can compute an award again from its transcript, and is told the first place that differs."""

from __future__ import annotations

import copy
import hashlib
import json

import pytest
import rfc8785
from hypothesis import given, settings

from auction.book import Book
from auction.errors import BookInvalid, TranscriptUnreadable
from auction.replay import canonical, replay, run, sha256
from tests.auction.books import a_bid, a_book, books


def a_transcript() -> dict:
    book = a_book(a_bid("a", 600, 2_000_000, seq=1), a_bid("b", 700, 3_000_000, seq=2), a_bid("c", 900, 1, seq=3))
    return run(Book.parse(book)).transcript


@settings(max_examples=100)
@given(books())
def test_a_transcript_reproduces_with_its_hash(book):
    transcript = run(Book.parse(book)).transcript
    verdict = replay(canonical({**transcript, "sha256": sha256(transcript)}))
    assert verdict.reproduces
    assert verdict.stated_sha256 == verdict.computed_sha256


def test_the_canonical_text_is_rfc_8785_and_the_hash_is_of_its_bytes():
    transcript = a_transcript()
    assert canonical(transcript) == rfc8785.dumps(transcript)
    assert sha256(transcript) == hashlib.sha256(rfc8785.dumps(transcript)).hexdigest()


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        (("result", "stop_out_bps"), 701, "result.stop_out_bps: states 701, computed 700"),
        (("result", "fills", 0, "cash_minor"), 1, "result.fills[0].cash_minor: states 1, computed 2000000"),
        (("result", "refusals"), [], "result.refusals: states 0 entries, computed 1"),
        (("book", "bids", 0, "note"), "x", "book.bids[0].note: states 'x', which the rules do not know"),
        (("book", "bids", 0, "cash_minor"), 2_500_000, "result.discount_minor"),
        (("sha256",), "00", "sha256: states '00'"),
    ],
)
def test_the_first_difference_is_named(path, value, named):
    tampered = copy.deepcopy(a_transcript())
    place = tampered
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    verdict = replay(json.dumps(tampered).encode())
    assert not verdict.reproduces
    if named.startswith("result.discount"):
        assert verdict.difference.startswith("result.")
    else:
        assert verdict.difference.startswith(named)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"\xff",
        b'{"rule": "UPM-1", "rule": "UPM-1"}',
        b'{"rule": NaN}',
        b"[" * 100_000,
        b'{"rule":"UPM-2"}',
        b"9" * 5_000,
    ],
)
def test_what_is_not_a_transcript_is_refused_in_words(raw):
    with pytest.raises(TranscriptUnreadable):
        replay(raw)


def test_a_transcript_whose_book_is_broken_is_refused():
    with pytest.raises(BookInvalid):
        replay(json.dumps({**a_transcript(), "book": {}}).encode())

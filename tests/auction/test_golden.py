"""Awards frozen as they were first computed: whatever changes in the engines, these bytes must not.

A file here is a transcript as the market stores it. To add one, clear a book with `bin/market auction clear BOOK.json
--transcript` and look at the result by hand before keeping it.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from auction.book import Book
from auction.clearing import clear
from auction.columns import clear_fast
from auction.errors import TooLarge
from auction.replay import canonical, replay, run, sha256
from tests.auction import oracle

GOLDEN = sorted((Path(__file__).parent / "golden").glob("*.json"))
FROZEN = {name: held for held, name in (line.split() for line in (
    Path(__file__).parent / "golden" / "SHA256SUMS").read_text().splitlines())}  # fmt: skip


def test_the_golden_transcripts_cover_every_outcome_price_and_reason():
    results = [json.loads(file.read_bytes()) for file in GOLDEN]
    assert {one["result"]["outcome"] for one in results} == {"full", "partial", "failed"}
    assert {one["book"]["price_rule"] for one in results} == {"uniform", "pay_as_bid"}
    assert {one["rule_version"] for one in results} == {"1.0", "1.1"}
    heard = {reason for one in results for refusal in one["result"]["refusals"] for reason in refusal["reasons"]}
    assert heard == {"above_reserve", "below_minimum", "not_lot_multiple", "related_party", "over_group_cap"}
    assert any(one["result"]["passed_over"] for one in results)
    assert any(one["result"]["cuts"] for one in results)


@pytest.mark.parametrize("file", GOLDEN, ids=lambda file: file.stem)
def test_a_frozen_award_is_computed_again_to_the_byte(file):
    raw = file.read_bytes()
    assert hashlib.sha256(raw).hexdigest() == FROZEN[file.name]
    assert replay(raw).reproduces
    stated = json.loads(raw)
    book = Book.parse(stated["book"])
    plain = run(book, clear).transcript
    assert canonical({**plain, "sha256": sha256(plain)}) == raw
    assert stated["result"] == oracle.clear(stated["book"])
    try:
        fast = run(book, clear_fast).transcript
    except TooLarge:
        assert file.stem == "beyond-64-bits"
    else:
        assert fast == plain

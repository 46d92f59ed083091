"""The clearing of one lot: worked examples by hand, and the properties the rules promise."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from auction.book import Book
from auction.replay import run
from tests.auction import oracle
from tests.auction.books import a_bid, a_book, books


def cleared(book: dict) -> dict[str, Any]:
    return run(Book.parse(book)).transcript["result"]  # type: ignore[return-value]


def fill_of(result: dict[str, Any], *bid_ids: str) -> int:
    return sum(fill["cash_minor"] for fill in result["fills"] if fill["id"] in bid_ids)


# --- by hand -------------------------------------------------------------------------------------------


def test_cheaper_bids_are_full_and_the_margin_shares_the_rest_with_ties_to_the_lower_seq():
    book = a_book(
        a_bid("a", 600, 2_000_000, seq=1),
        a_bid("b", 700, 3_000_000, seq=3),
        a_bid("c", 700, 3_000_000, seq=2),
        a_bid("d", 800, 9_000_000, seq=4),
    )
    result = cleared({**book, "target_minor": 4_131_001})
    assert result["stop_out_bps"] == 700
    assert [(f["id"], f["cash_minor"]) for f in result["fills"]] == [
        ("a", 2_000_000),
        ("b", 1_065_500),
        ("c", 1_065_501),
    ]
    assert result["discount_minor"] == 4_131_001 * 700 * 50 // 3_650_000 == 39_612


def test_a_lot_with_the_sellers_minimum_clears_in_part_at_its_highest_rate():
    book = a_book(a_bid("a", 600, 2_000_000, seq=1), a_bid("b", 700, 1_400_000, seq=2))
    result = cleared(book)
    assert (result["outcome"], result["stop_out_bps"], result["awarded_minor"]) == ("partial", 700, 3_400_000)


def test_a_penny_under_the_sellers_minimum_fails_and_at_it_clears():
    enough = -(-8_000 * 4_131_000 // 10_000)
    assert cleared(a_book(a_bid("a", 1, enough - 1, seq=1)))["outcome"] == "failed"
    assert cleared(a_book(a_bid("a", 1, enough, seq=1)))["outcome"] == "partial"


def test_an_empty_book_fails_even_when_the_seller_would_take_nothing():
    assert cleared(a_book(min_share_bps=0))["outcome"] == "failed"


def test_a_refused_bid_hears_all_its_own_reasons_in_order():
    bid = a_bid("a", 851, 3, seq=1, group="seller-kin")
    result = cleared(a_book(bid, minimum_minor=10, lot_size_minor=2, related_groups=["seller-kin"]))
    assert result["refusals"] == [
        {"id": "a", "reasons": ["above_reserve", "below_minimum", "not_lot_multiple", "related_party"]}
    ]


def test_a_group_cap_cuts_the_dearer_bid_and_passes_room_over_an_all_or_none():
    book = a_book(
        a_bid("a", 100, 60, seq=1, group="g"),
        a_bid("b", 200, 60, seq=2, group="g", least=60),
        a_bid("c", 300, 60, seq=3, group="g"),
        a_bid("d", 400, 100, seq=4, group="h"),
        face_minor=100,
        target_minor=100,
        group_cap_bps=7_500,
        min_share_bps=0,
    )
    result = cleared(book)
    assert result["refusals"] == [{"id": "b", "reasons": ["over_group_cap"]}]
    assert result["cuts"] == [{"id": "c", "cash_minor": 15}, {"id": "d", "cash_minor": 75}]
    assert fill_of(result, "a", "c") == 75
    assert fill_of(result, "d") == 25


def test_a_cheap_all_or_none_is_passed_over_and_the_stop_out_moves_up():
    book = a_book(
        a_bid("a", 100, 80, seq=1),
        a_bid("b", 200, 50, seq=2, least=50),
        a_bid("c", 300, 50, seq=3),
        face_minor=100,
        target_minor=100,
    )
    result = cleared(book)
    assert result["passed_over"] == ["b"]
    assert (result["stop_out_bps"], fill_of(result, "c")) == (300, 20)


def test_the_largest_least_fill_goes_first_then_the_latest_seq():
    book = a_book(
        *(
            a_bid(name, 100, 60, seq=seq, least=least)
            for name, seq, least in (("a", 1, 60), ("b", 2, 59), ("c", 3, 60))
        ),
        face_minor=100,
        target_minor=100,
    )
    result = cleared(book)
    assert result["passed_over"] == ["c", "a"]
    assert result["outcome"] == "failed"


def test_pay_as_bid_prices_each_leg_at_its_own_rate_and_still_reports_the_stop_out():
    book = a_book(a_bid("a", 600, 2_000_000, seq=1), a_bid("b", 700, 3_000_000, seq=2), price_rule="pay_as_bid")
    result = cleared(book)
    assert [f["discount_minor"] for f in result["fills"]] == [
        2_000_000 * 600 * 50 // 3_650_000,
        2_131_000 * 700 * 50 // 3_650_000,
    ]
    assert result["stop_out_bps"] == 700


# --- for any book --------------------------------------------------------------------------------------


@settings(max_examples=600, deadline=None)
@given(books())
def test_the_engine_agrees_with_the_oracle(book):
    assert cleared(book) == oracle.clear(book)


@settings(max_examples=200, deadline=None)
@given(books(wide=True))
def test_the_engine_agrees_with_the_oracle_beyond_64_bits(book):
    assert cleared(book) == oracle.clear(book)


@settings(max_examples=200, deadline=None)
@given(books(least_bids=4), st.data())
def test_many_ties_with_least_fills_agree_with_the_oracle(book, data):
    for bid in book["bids"]:
        bid["rate_bps"] = data.draw(st.integers(1, 2))
    book["group_cap_bps"] = 10_000
    assert cleared(book) == oracle.clear(book)


@settings(max_examples=300, deadline=None)
@given(books(least_bids=3), st.integers(1, 4), st.data())
def test_a_rest_of_pennies_agrees_with_the_oracle(book, target, data):
    """Fewer units than bids: most quotas round to nothing, and who gets a unit decides who is dropped."""
    for bid in book["bids"]:
        bid["rate_bps"] = 1
        bid["cash_minor"] = data.draw(st.integers(1, 6)) * book["lot_size_minor"]
        bid["min_fill_minor"] = data.draw(st.sampled_from([0, 1, 2, bid["cash_minor"]]))
        bid["min_fill_minor"] = min(bid["min_fill_minor"], bid["cash_minor"])
        bid["group"] = bid["id"]
    book |= {"target_minor": target, "face_minor": 10, "group_cap_bps": 10_000, "related_groups": []}
    assert cleared(book) == oracle.clear(book)


@settings(max_examples=300, deadline=None)
@given(books())
def test_the_award_adds_up_and_nobody_is_paid_below_his_rate(book):
    outcome = run(Book.parse(book))
    result = outcome.transcript["result"]
    standing = {one.bid.id: one.cash_minor for one in outcome.clearing.standing}
    passed = set(result["passed_over"])
    supply = sum(cash for bid_id, cash in standing.items() if bid_id not in passed)
    rates = {bid["id"]: bid["rate_bps"] for bid in book["bids"]}
    filled = {fill["id"]: fill["cash_minor"] for fill in result["fills"]}
    if result["outcome"] == "failed":
        assert not filled
        assert result["awarded_minor"] == 0
        return
    assert sum(filled.values()) == result["awarded_minor"] == min(book["target_minor"], supply)
    assert sum(fill["discount_minor"] for fill in result["fills"]) == result["discount_minor"]
    assert all(fill["rate_bps"] >= rates[fill["id"]] for fill in result["fills"])
    assert all(0 < cash <= standing[bid_id] for bid_id, cash in filled.items())
    for bid_id, cash in standing.items():
        if bid_id not in passed and rates[bid_id] < result["stop_out_bps"]:
            assert filled[bid_id] == cash
        if rates[bid_id] > result["stop_out_bps"]:
            assert bid_id not in filled


@settings(max_examples=200, deadline=None)
@given(books(), st.randoms(use_true_random=False))
def test_the_order_of_the_file_does_not_matter(book, shuffler: random.Random):
    shuffled = {**book, "bids": shuffler.sample(book["bids"], len(book["bids"]))}
    assert run(Book.parse(shuffled)).transcript == run(Book.parse(book)).transcript


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(books(min_fills=False, least_bids=1), st.data())
def test_lowering_ones_rate_never_lowers_ones_fill_nor_raises_the_stop_out(book, data):
    bid = data.draw(st.sampled_from(book["bids"]))
    lower = {**bid, "rate_bps": data.draw(st.integers(0, bid["rate_bps"]))}
    before, after = cleared(book), cleared(with_bid(book, lower))
    assert fill_of(after, bid["id"]) >= fill_of(before, bid["id"])
    if before["outcome"] == "full":
        assert after["outcome"] == "full"
        assert after["stop_out_bps"] <= before["stop_out_bps"]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(books(min_fills=False, least_bids=1, likely=True), st.data())
def test_raising_ones_cash_never_lowers_ones_fill(book, data):
    bid = data.draw(st.sampled_from(book["bids"]))
    more = bid["cash_minor"] + book["lot_size_minor"] * data.draw(st.integers(1, 20))
    before, after = cleared(book), cleared(with_bid(book, {**bid, "cash_minor": more}))
    assume(before["outcome"] != "failed")
    assume(bid["cash_minor"] % book["lot_size_minor"] == 0)
    assert fill_of(after, bid["id"]) >= fill_of(before, bid["id"])


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(
    books(min_fills=False, likely=True),
    st.integers(0, 6),
    st.integers(1, 60),
    st.sampled_from(["g0", "g3", "new"]),
)
def test_one_more_bid_never_raises_the_stop_out_of_a_covered_lot(book, rate, cash, group):
    before = cleared(book)
    assume(before["outcome"] == "full")
    one_more = a_bid("one-more", rate, cash * book["lot_size_minor"], seq=1_000, group=group)
    after = cleared({**book, "bids": [*book["bids"], one_more]})
    assert after["outcome"] == "full"
    assert after["stop_out_bps"] <= before["stop_out_bps"]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(books(min_fills=False, lot_sizes=(1,), least_bids=1), st.data())
def test_splitting_a_bid_changes_its_total_by_at_most_one_unit(book, data):
    book["minimum_minor"] = 1
    bid = data.draw(st.sampled_from(book["bids"]))
    assume(bid["cash_minor"] >= 2)
    part = data.draw(st.integers(1, bid["cash_minor"] - 1))
    others = [{**other, "seq": other["seq"] * 2} for other in book["bids"] if other["id"] != bid["id"]]
    halves = [
        {**bid, "cash_minor": part, "seq": bid["seq"] * 2},
        {**bid, "id": "other-half", "cash_minor": bid["cash_minor"] - part, "seq": bid["seq"] * 2 + 1},
    ]
    whole, split = cleared(book), cleared({**book, "bids": others + halves})
    assert abs(fill_of(whole, bid["id"]) - fill_of(split, bid["id"], "other-half")) <= 1


def with_bid(book: dict, changed: dict) -> dict:
    return {**book, "bids": [changed if bid["id"] == changed["id"] else bid for bid in book["bids"]]}


def test_a_hundred_thousand_tied_bids_with_least_fills_clear_in_one_pass():
    """Re-clearing from the start after each of 50,000 drops would take hours; this takes about a second."""
    bids = [a_bid(f"b{i:06d}", 500, 100_000, seq=i + 1, least=100_000) for i in range(100_000)]
    target = 100_000 * 50_000
    result = cleared(a_book(*bids, face_minor=target, target_minor=target))
    assert (result["outcome"], len(result["passed_over"]), len(result["fills"])) == ("full", 50_000, 50_000)


def test_ten_thousand_all_or_none_bids_for_five_pennies_clear_without_sharing_again_each_time():
    bids = [a_bid(f"b{i:05d}", 500, 10_000 * (1 + i % 7), seq=i + 1, least=10_000) for i in range(10_000)]
    cheap = a_bid("cheap", 100, 500_000, seq=99_999)
    result = cleared(a_book(cheap, *bids, face_minor=500_005, target_minor=500_005))
    assert (result["outcome"], len(result["passed_over"])) == ("partial", 10_000)

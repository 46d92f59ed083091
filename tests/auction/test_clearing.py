"""The clearing of one lot, by both engines: worked examples by hand, and the properties the rules promise."""

from __future__ import annotations

import random
from itertools import product
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from auction.book import Book
from auction.clearing import clear
from auction.columns import clear_fast
from auction.errors import TooLarge
from auction.replay import Outcome, run, sha256
from tests.auction import oracle, profile
from tests.auction.books import Dice, a_bid, a_book, books


def both(book: dict) -> Outcome:
    """Clear with both engines, which must agree on every field and every byte."""
    read = Book.parse(book)
    plain = run(read, clear)
    try:
        fast = run(read, clear_fast)
    except TooLarge:
        assert any(n >= 2**55 for n in [book["target_minor"], *(bid["cash_minor"] for bid in book["bids"])])
        return plain
    assert fast == plain
    assert sha256(fast.transcript) == sha256(plain.transcript)
    return fast


def cleared(book: dict) -> dict[str, Any]:
    return both(book).transcript["result"]  # type: ignore[return-value]


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


def test_a_smaller_amount_accepted_is_awarded_whole_under_the_caps_of_the_whole_target():
    book = a_book(
        a_bid("a", 500, 50, seq=1, group="g"),
        a_bid("b", 600, 30, seq=2),
        a_bid("c", 700, 30, seq=3),
        face_minor=100,
        target_minor=100,
        group_cap_bps=4_500,
    )
    assert cleared(book)["stop_out_bps"] == 700
    result = cleared({**book, "accepted_minor": 80})
    assert (result["outcome"], result["stop_out_bps"], result["awarded_minor"]) == ("full", 700, 80)
    assert result["cuts"] == [{"id": "a", "cash_minor": 45}]  # 45 % of the target, not of what is accepted
    assert fill_of(result, "c") == 5
    assert cleared({**book, "accepted_minor": 75})["stop_out_bps"] == 600
    short = {**book, "bids": book["bids"][:2]}
    assert cleared(short)["outcome"] == "failed"
    assert cleared({**short, "accepted_minor": 75})["outcome"] == "full"
    assert cleared({**short, "accepted_minor": 76})["outcome"] == "failed"


# --- for any book --------------------------------------------------------------------------------------


@profile.properties()
@given(books(accepting=True))
def test_the_engine_agrees_with_the_oracle(book):
    assert cleared(book) == oracle.clear(book)


@profile.properties()
@given(books(wide=True))
def test_the_engine_agrees_with_the_oracle_beyond_64_bits(book):
    assert cleared(book) == oracle.clear(book)


@profile.properties()
@given(books(least_bids=4))
def test_many_ties_with_least_fills_agree_with_the_oracle(book):
    for bid in book["bids"]:
        bid["rate_bps"] = 1 + bid["rate_bps"] % 2
    book["group_cap_bps"] = 10_000
    assert cleared(book) == oracle.clear(book)


@profile.properties()
@given(books(least_bids=3), st.integers(1, 4), st.binary(min_size=24, max_size=24))
def test_a_rest_of_pennies_agrees_with_the_oracle(book, target, drawn):
    """Fewer units than bids: most quotas round to nothing, and who gets a unit decides who is dropped."""
    dice = Dice(drawn)
    for bid in book["bids"]:
        bid["rate_bps"] = 1
        bid["cash_minor"] = (1 + dice.upto(5)) * book["lot_size_minor"]
        bid["min_fill_minor"] = min(dice.one_of(0, 1, 2, bid["cash_minor"]), bid["cash_minor"])
        bid["group"] = bid["id"]
    book |= {"target_minor": target, "face_minor": 10, "group_cap_bps": 10_000, "related_groups": []}
    assert cleared(book) == oracle.clear(book)


@profile.properties()
@given(books())
def test_the_award_adds_up_and_nobody_is_paid_below_his_rate(book):
    outcome = both(book)
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


@profile.properties()
@given(books(), st.integers(0, 2**32))
def test_the_order_of_the_file_does_not_matter(book, seed):
    shuffled = {**book, "bids": random.Random(seed).sample(book["bids"], len(book["bids"]))}
    assert both(shuffled).transcript == both(book).transcript


@profile.properties()
@given(books(min_fills=False, least_bids=1), st.data())
def test_lowering_ones_rate_never_lowers_ones_fill_nor_raises_the_stop_out(book, data):
    bid = data.draw(st.sampled_from(book["bids"]))
    lower = {**bid, "rate_bps": data.draw(st.integers(0, bid["rate_bps"]))}
    before, after = cleared(book), cleared(with_bid(book, lower))
    assert fill_of(after, bid["id"]) >= fill_of(before, bid["id"])
    if before["outcome"] == "full":
        assert after["outcome"] == "full"
        assert after["stop_out_bps"] <= before["stop_out_bps"]


@profile.properties()
@given(books(min_fills=False, least_bids=1, likely=True), st.data())
def test_raising_ones_cash_never_lowers_ones_fill(book, data):
    bid = data.draw(st.sampled_from(book["bids"]))
    assume(bid["cash_minor"] % book["lot_size_minor"] == 0)
    more = bid["cash_minor"] + book["lot_size_minor"] * data.draw(st.integers(1, 20))
    before = cleared(book)
    assume(before["outcome"] != "failed")
    after = cleared(with_bid(book, {**bid, "cash_minor": more}))
    assert fill_of(after, bid["id"]) >= fill_of(before, bid["id"])


@profile.properties()
@given(
    books(min_fills=False, likely=True),
    st.integers(0, 6),
    st.integers(1, 60),
    st.sampled_from(["g0", "g3", "new"]),
)
def test_one_more_bid_never_raises_the_stop_out_of_a_covered_lot(book, rate, cash, group):
    before = cleared(book)
    assume(before["outcome"] == "full")
    one_more = a_bid("one-more", rate, cash * book["lot_size_minor"], seq=10_000, group=group)
    after = cleared({**book, "bids": [*book["bids"], one_more]})
    assert after["outcome"] == "full"
    assert after["stop_out_bps"] <= before["stop_out_bps"]


@profile.properties()
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


@profile.properties()
@given(books(min_fills=False, least_bids=1))
def test_no_other_filling_is_cheaper_or_nearer_to_pro_rata(book):
    """Try every filling of a tiny book: the award is the cheapest, then the nearest to pro rata, ties to lower seqs."""
    for bid in book["bids"][:5]:
        bid["cash_minor"] %= 4
    book |= {
        "bids": book["bids"][:5],
        "lot_size_minor": 1,
        "minimum_minor": 1,
        "target_minor": 1 + book["target_minor"] % 9,
    }
    book["face_minor"] = book["target_minor"]
    outcome = both(book)
    result = outcome.transcript["result"]
    standing = sorted(outcome.clearing.standing, key=lambda one: one.bid.seq)
    supply = sum(one.cash_minor for one in standing)
    whole = min(book["target_minor"], supply)
    if supply == 0 or whole < -(-book["min_share_bps"] * book["target_minor"] // 10_000):
        assert result["outcome"] == "failed"
        return
    fillings = [x for x in product(*(range(one.cash_minor + 1) for one in standing)) if sum(x) == whole]
    cost = min(sum(one.bid.rate_bps * x for one, x in zip(standing, filling, strict=True)) for filling in fillings)
    cheapest = [
        filling
        for filling in fillings
        if sum(one.bid.rate_bps * x for one, x in zip(standing, filling, strict=True)) == cost
    ]
    edge = max(one.bid.rate_bps for one, x in zip(standing, cheapest[0], strict=True) if x)
    level = [place for place, one in enumerate(standing) if one.bid.rate_bps == edge]
    rest, weight = sum(cheapest[0][i] for i in level), sum(standing[i].cash_minor for i in level)

    def distance(filling: tuple[int, ...]) -> int:
        return sum((filling[i] * weight - rest * standing[i].cash_minor) ** 2 for i in level)

    best = min(cheapest, key=lambda filling: (distance(filling), [-x for x in filling]))
    assert result["stop_out_bps"] == edge
    assert [(f["id"], f["cash_minor"]) for f in result["fills"]] == sorted(
        (one.bid.id, x) for one, x in zip(standing, best, strict=True) if x
    )


def with_bid(book: dict, changed: dict) -> dict:
    return {**book, "bids": [changed if bid["id"] == changed["id"] else bid for bid in book["bids"]]}

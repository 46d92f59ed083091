"""The fast engine against the plain one where it could go astray: crowded stop-outs, and numbers near 64 bits."""

from __future__ import annotations

import random
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auction.allocation import share
from auction.book import Book
from auction.clearing import clear
from auction.columns import CELLS_MAX, Columns, Terms, clear_columns, clear_fast
from auction.dropping import share_level
from auction.errors import TooLarge
from auction.replay import PLAIN_MOST, clear_quickly, run
from auction.sharing import PIECE, share_columns
from tests.auction import profile
from tests.auction.books import a_bid, a_book

# What a crowd's amounts look like; the rarer the ties and the smaller the amounts, the more rounding decides.
CROWDS = {
    "small": lambda dice: dice.randint(1, 60),
    "pennies beside blocks": lambda dice: dice.choice((dice.randint(1, 5), dice.randint(100, 3_000))),
    "large": lambda dice: dice.randint(1, 10**6),
    "few amounts": lambda dice: dice.choice((3, 5, 7, 1_000)),
    "beyond one product": lambda dice: dice.randint(1, 200) * 10**13 + dice.randint(0, 9),
}


def a_crowded_book(seed: int, most: int = 40) -> dict:
    """Return a book with up to forty bids at few rates, most with a least fill."""
    dice = random.Random(seed)
    amount = CROWDS[dice.choice(sorted(CROWDS))]
    count = dice.randint(1, most)
    seqs = dice.sample(range(1, 1_000), count)
    bids = []
    for place in range(count):
        cash = amount(dice)
        least = dice.choice((0, 1, min(cash, 2), cash, cash // 2, cash - 1, min(cash, 3), dice.randint(0, cash)))
        rate = dice.randint(1, 3) if dice.random() < 0.5 else 1
        bids.append(a_bid(f"b{place}", rate, cash, seq=seqs[place], least=least, group=f"g{dice.randint(0, 9)}"))
    supply = sum(bid["cash_minor"] for bid in bids)
    target = max(
        1,
        dice.choice((supply // 2, supply // 3, supply // 10, dice.randint(1, count * 2), dice.randint(1, supply),
                     supply - 1, supply)),
    )  # fmt: skip
    return a_book(
        *bids, face_minor=target, target_minor=target, group_cap_bps=dice.choice((10_000, 10_000, 3_500, 1_000)),
        min_share_bps=dice.choice((0, 8_000)),
    )  # fmt: skip


@profile.properties()
@given(st.integers(0, 2**64))
def test_crowded_stop_outs_clear_alike(seed):
    book = Book.parse(a_crowded_book(seed))
    assert clear_fast(book) == clear(book)


@profile.properties(20)
@given(st.integers(0, 2**64))
def test_larger_crowds_clear_alike(seed):
    book = Book.parse(a_crowded_book(seed, most=250))
    assert clear_fast(book) == clear(book)


@profile.properties()
@given(st.lists(st.tuples(st.integers(0, 2**40), st.integers(0, 3)), min_size=1, max_size=8), st.integers(0, 2**62))
def test_sharing_over_arrays_is_sharing(weights, total):
    cash = [weight << 4 * shift for weight, shift in weights]
    total %= sum(cash) + 1
    seq = list(range(len(cash)))[::-1]
    expected = share(total, cash, [(one, "") for one in seq])
    assert share_columns(total, np.array(cash), np.array(seq)).tolist() == expected


# --- near 64 bits --------------------------------------------------------------------------------------


@pytest.mark.parametrize("power", [31, 32, 53, 60, 61, 62, 63, 64, 100])
@pytest.mark.parametrize("by", [-1, 0, 1])
def test_books_near_the_limits_clear_as_the_plain_engine_clears_them(power, by):
    cash = 2**power + by
    bids = [a_bid(name, 500, cash, seq=seq, least=cash // 3) for seq, name in enumerate("abc", 1)]
    book = Book.parse(a_book(*bids, face_minor=2 * cash - 1, target_minor=2 * cash - 1))
    assert clear_quickly(book, plain_most=0) == clear(book)


def test_the_largest_book_that_fits_is_cleared_and_one_unit_more_is_left_to_the_plain_engine():
    half = 2**60
    book = a_book(*(a_bid(name, 1, half, seq=s) for s, name in enumerate("ab", 1)),
                  face_minor=2**63, target_minor=2**61 - 1)  # fmt: skip
    fits = Book.parse(book)
    with pytest.raises(TooLarge):  # the sum fits, but the pro rata of it leaves no bit to spare
        clear_fast(fits)
    assert clear_quickly(fits, plain_most=0) == clear(fits)
    smaller = Book.parse({**book, "target_minor": 2**61})  # everybody is full
    assert clear_quickly(smaller, plain_most=0) == clear(smaller)
    below = Book.parse(
        {**book, "bids": [{**bid, "cash_minor": 2**59} for bid in book["bids"]], "target_minor": 2**60 - 1}
    )
    assert clear_fast(below) == clear(below)


@pytest.mark.parametrize(
    "change",
    [
        {"rate_bps": CELLS_MAX, "reserve_bps": CELLS_MAX},
        {"rate_bps": 2**70, "reserve_bps": 2**70},
        {"seq": 2**64},
        {"reserve_bps": 2**64},
        {"minimum_minor": 2**65},
        {"lot_size_minor": 2**64},
        {"target_minor": 2**63, "face_minor": 2**63},
    ],
)
def test_wild_numbers_are_left_to_the_plain_engine(change):
    bid = a_bid("a", 5, 4_131_000, seq=1)
    book = Book.parse(a_book({**bid, **{k: v for k, v in change.items() if k in bid}},
                             **{k: v for k, v in change.items() if k not in bid}))  # fmt: skip
    with pytest.raises(TooLarge):
        clear_fast(book)
    assert clear_quickly(book, plain_most=0) == clear(book)


def test_an_empty_book_fails_with_both_engines():
    book = Book.parse(a_book())
    assert clear_fast(book) == clear(book)


def test_a_book_larger_than_the_plain_engine_likes_gives_the_same_transcript():
    dice = random.Random(7)
    bids = [
        a_bid(f"b{i}", dice.randint(400, 420), dice.randint(1, 50) * 100, seq=i + 1, least=dice.choice((0, 0, 2_000)),
              group=f"g{i % 40}")
        for i in range(3 * PLAIN_MOST)
    ]  # fmt: skip
    for bid in bids:
        bid["min_fill_minor"] = min(bid["min_fill_minor"], bid["cash_minor"])
    book = Book.parse(a_book(*bids, target_minor=900_000, lot_size_minor=100, group_cap_bps=300, min_share_bps=5_000))
    assert run(book) == run(book, clear)


@pytest.mark.parametrize(
    ("rates", "least", "step"), [(1, 0, 100), (1, 0, 1), (2, 0, 10**9), (40, 0, 100), (1, 5, 100), (40, 5, 10**10)]
)
def test_books_of_several_pieces_clear_alike(rates, least, step):
    """More bids than are worked on at a time; some refused, groups over their cap, products beyond 64 bits."""
    dice = random.Random(rates + step)
    bids = []
    for place in range(2 * PIECE + 17):
        cash = dice.randint(1, 300) * step + (0 if dice.random() < 0.97 else dice.randint(0, 1))
        smallest = min(cash, dice.choice((0, 0, cash // 2))) if dice.randint(0, 9_999) < least else 0
        group = dice.choice(("big", "kin")) if dice.random() < 0.03 else f"g{dice.randint(0, 3_000)}"
        bids.append(a_bid(f"b{place}", 500 + dice.randint(1, rates), cash, seq=place ^ 1, least=smallest, group=group))
    target = sum(bid["cash_minor"] for bid in bids) // 3
    book = Book.parse(
        a_book(*bids, face_minor=target, target_minor=target, lot_size_minor=step, minimum_minor=2 * step,
               reserve_bps=500 + max(rates * 3 // 4, 1), group_cap_bps=150, related_groups=["kin"])
    )  # fmt: skip
    assert clear_fast(book) == clear(book)


# --- crowds too large for the plain engine -------------------------------------------------------------


def level(name: str, count: int) -> tuple[int, np.ndarray, np.ndarray]:
    """Return a rest, amounts and least fills where many drops are needed."""
    dice = np.random.default_rng(11)
    cash = dice.integers(1, 1_000, count) * 10_000
    if name == "half, all or none":
        return int(cash.sum()) // 2, cash, cash.copy()
    if name == "pennies":
        return 5, cash, cash.copy()
    if name == "pennies beside one block":
        least = cash.copy()
        cash[0], least[0] = int(cash.sum()) * 10, 0
        return 20, cash, least
    if name == "a few pennies each":
        cash = dice.integers(1, 60, count)
        return int(cash.sum()) // 2, cash, np.minimum(cash, dice.integers(0, 60, count))
    return count, cash, dice.integers(2, 4, count)


@pytest.mark.parametrize(
    "name", ["half, all or none", "pennies", "pennies beside one block", "a unit each", "a few pennies each"]
)
def test_drops_take_time_in_proportion_to_the_crowd(name):
    """Sharing anew after each drop would make three times the bids nine times the work."""
    few, many = [], []
    for turn in range(12):  # both in turn, the quickest of each: what else the machine does is not measured
        few.append(seconds_of_drops(name, 4_000))
        many.append(seconds_of_drops(name, 12_000))
        if turn >= 2 and min(many) < 3**1.6 * max(min(few), 0.002):
            return
    pytest.fail(f"{min(many)} s beside {min(few)} s: as strict as 40 times for ten times the bids")


def seconds_of_drops(name: str, count: int) -> float:
    """Return the processor time of sharing a level where more than a fifth of the crowd is dropped."""
    rest, cash, least = level(name, count)
    began = time.process_time()
    found = share_level(rest, cash, least, np.arange(count), np.arange(count))
    took = time.process_time() - began
    assert len(found.dropped) > count // 5
    return took


def test_a_hundred_thousand_tied_bids_of_which_half_are_dropped():
    count = 100_000
    bids = Columns(
        cash=np.full(count, 100_000), least=np.full(count, 100_000), rate=np.full(count, 500), seq=np.arange(count),
        group=np.arange(count), groups=count,
    )  # fmt: skip
    done = clear_columns(Terms(100_000 * 50_000, 1, 1, 800, 8_000, 10_000), bids)
    assert (done.outcome, len(done.passed_over), int((done.fill > 0).sum())) == ("full", 50_000, 50_000)
    assert done.passed_over[0] == count - 1

"""While a lot is open: call points, the buy-now rate, and a close that moves only for a better price."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auction.book import Book
from auction.clearing import clear
from auction.openings import SECOND, Offer, SoftClose, bought_now, clearing_now, improvement_faults, shown_rate
from tests.auction import profile
from tests.auction.books import a_bid, a_book, books


def cleared(*bids: dict, **terms: object):
    return clear(Book.parse(a_book(*bids, face_minor=100, target_minor=100, **terms)))


def test_at_a_call_point_a_bidder_hears_of_his_own_bids_and_only_whether_they_clear():
    book = cleared(a_bid("a", 600, 80, seq=1), a_bid("b", 700, 80, seq=2), a_bid("c", 710, 80, seq=3))
    assert clearing_now(book, frozenset({"a", "c"})) == {"a": True, "c": False}
    assert clearing_now(book, frozenset()) == {}


def test_in_a_lot_that_would_fail_nobody_is_clearing():
    assert clearing_now(cleared(a_bid("a", 600, 10, seq=1)), frozenset({"a"})) == {"a": False}


@pytest.mark.parametrize(
    ("bids", "terms", "bought"),
    [
        ([("a", 500, 100)], {}, True),
        ([("a", 500, 60), ("b", 500, 40)], {}, True),
        ([("a", 500, 60), ("b", 501, 40)], {}, False),  # covered, but not at that rate
        ([("a", 400, 99)], {}, False),  # the seller would take it at the close; nobody has bought it
        ([("a", 400, 100)], {"group_cap_bps": 3_500}, False),  # one group may not take it all
        ([("a", 400, 100), ("b", 500, 65)], {"group_cap_bps": 3_500}, False),
        ([("a", 400, 100)], {"related_groups": ["group-a"]}, False),
    ],
)
def test_a_lot_is_bought_when_bids_that_may_be_filled_cover_it_at_the_buy_now_rate(bids, terms, bought):
    rows = [a_bid(name, rate, cash, seq=seq) for seq, (name, rate, cash) in enumerate(bids, 1)]
    assert bought_now(cleared(*rows, **terms), 500) is bought
    assert bought_now(cleared(*rows, **terms), None) is False


def test_a_bid_dropped_for_its_least_fill_does_not_buy():
    rows = [a_bid("a", 400, 90, seq=1), a_bid("b", 500, 20, seq=2, least=20), a_bid("c", 600, 50, seq=3)]
    assert bought_now(cleared(*rows), 500) is False


@profile.properties()
@given(books(min_fills=False, likely=True), st.integers(0, 6))
def test_who_buys_now_gets_at_least_the_rate_he_asked_and_the_seller_pays_no_more_than_he_offered(book, buy_now):
    clearing = clear(Book.parse(book))
    if bought_now(clearing, buy_now):
        assert clearing.awarded_minor == book["target_minor"]
        assert all(take.bid.rate_bps <= clearing.stop_out_bps <= buy_now for take in clearing.takes)


def test_the_rate_shown_is_rounded_up_to_five_basis_points():
    shown = [shown_rate(cleared(a_bid("a", rate, 100, seq=1))) for rate in (600, 601, 604, 605)]
    assert shown == [600, 605, 605, 605]
    assert shown_rate(cleared(a_bid("a", 600, 10, seq=1))) is None


RULES = SoftClose()
CLOSE = 1_000_000 * SECOND


@pytest.mark.parametrize(
    ("left_seconds", "extensions", "before", "after", "moved"),
    [
        (120, 0, 605, 600, True),
        (121, 0, 605, 600, False),  # not late
        (60, 0, 600, 600, False),  # does not lower what is shown
        (60, 0, 600, 605, False),
        (60, 0, None, 700, True),  # covers the lot
        (60, 0, 700, None, False),
        (60, 9, 605, 600, True),
        (60, 10, 605, 600, False),  # at most ten times
        (0, 0, 605, 600, False),  # too late to be a bid at all
    ],
)
def test_the_close_moves_only_for_a_late_bid_that_lowers_the_rate_shown(left_seconds, extensions, before, after, moved):
    now = CLOSE - left_seconds * SECOND
    assert RULES.closes_after(now, CLOSE, extensions, before, after) == CLOSE + (120 * SECOND if moved else 0)


@given(st.lists(st.tuples(st.integers(0, 400 * SECOND), st.integers(0, 2_000)), max_size=60))
def test_however_bids_arrive_the_close_moves_at_most_ten_times(arrivals):
    now, closes, extensions, shown = CLOSE - 500 * SECOND, CLOSE, 0, None
    for wait, rate in arrivals:
        now += wait
        if now >= closes:
            break
        after = rate if shown is None else min(rate, shown)
        moved = RULES.closes_after(now, closes, extensions, shown, after)
        extensions += moved > closes
        assert moved - closes in (0, 120 * SECOND)
        assert moved == closes or shown is None or after < shown
        closes, shown = moved, after
    assert extensions <= 10
    assert closes <= CLOSE + 10 * 120 * SECOND


def test_in_the_last_five_minutes_only_improvements_are_taken():
    assert RULES.improve_only(CLOSE - 300 * SECOND, CLOSE)
    assert not RULES.improve_only(CLOSE - 301 * SECOND, CLOSE)


@pytest.mark.parametrize(
    ("later", "faults"),
    [
        ((599, 100, 50), ()),
        ((599, 200, 0), ()),
        ((600, 200, 0), ("rate_not_lower",)),
        ((599, 99, 50), ("less_cash",)),
        ((599, 100, 51), ("higher_least_fill",)),
        ((601, 99, 51), ("rate_not_lower", "less_cash", "higher_least_fill")),
    ],
)
def test_an_improvement_asks_a_lower_rate_for_no_less_cash_and_no_higher_least_fill(later, faults):
    assert improvement_faults(Offer(600, 100, 50), Offer(*later)) == faults


def test_who_has_no_bid_yet_cannot_improve_one():
    assert improvement_faults(None, Offer(1, 1, 0)) == ("only_improvements_now",)

"""A mandate's bid keeps every cap, and where it does not bid it says every reason."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from auction.mandates import Mandate, Offered, Used, instruct

ANY = Mandate(
    spread_bps=20, rate_bps_min=0, grade_worst=4, tenor_days_min=1, tenor_days_max=180, full_recourse_only=False,
    loss_ppm_max=None, lot_minor_max=5_000_000, lot_share_bps_max=10_000, min_fill_minor=0, debtor_minor_max=None,
    seller_minor_max=None, outstanding_minor_max=None, budget_minor=9_000_000, budget_days=30,
)  # fmt: skip
LOT = Offered(
    grade=2, tenor_days=50, full_recourse=True, loss_ppm=350, indicative_bps=735, reserve_bps=850,
    target_minor=4_131_000, lot_size_minor=10_000, minimum_minor=10_000, related=False,
)  # fmt: skip


def test_it_bids_the_model_s_rate_and_a_spread_in_whole_steps() -> None:
    told = instruct(ANY, LOT, Used())
    assert (told.rate_bps, told.cash_minor, told.reasons) == (755, 4_130_000, ())
    half = instruct(replace(ANY, lot_share_bps_max=5_000), LOT, Used())
    assert half.cash_minor == 2_060_000  # ⌊41,310.00 / 2⌋ in steps of 100.00


def test_every_reason_is_told_at_once() -> None:
    hard = replace(ANY, grade_worst=1,
                   tenor_days_max=30, full_recourse_only=True, loss_ppm_max=100, spread_bps=200,
                   rate_bps_min=2_000, debtor_minor_max=100, seller_minor_max=100,
                   outstanding_minor_max=100)  # fmt: skip
    told = instruct(hard, replace(LOT, related=True, full_recourse=False), Used(9_000_000, 100, 100, 100, 0))
    assert told.cash_minor == 0
    assert [one.code for one in told.reasons] == [
        "related_party", "grade_too_low", "tenor_outside", "not_full_recourse", "loss_too_high", "below_least_rate",
        "above_reserve", "budget_used", "debtor_cap_used", "seller_cap_used", "outstanding_cap_used", "no_free_cash",
    ]  # fmt: skip


def test_rounding_to_whole_steps_may_leave_too_little() -> None:
    told = instruct(replace(ANY, min_fill_minor=15_000, lot_minor_max=15_000), LOT, Used())
    assert [(one.code, dict(one.numbers)) for one in told.reasons] == [
        ("too_small", {"room_minor": 15_000, "least_minor": 15_000})
    ]


minor = st.integers(0, 10_000_000)
cap = st.none() | st.integers(1, 10_000_000)


@given(
    st.builds(
        Mandate,
        spread_bps=st.integers(-1_000, 1_000), rate_bps_min=st.integers(0, 1_000), grade_worst=st.integers(0, 8),
        tenor_days_min=st.integers(1, 60), tenor_days_max=st.integers(40, 180), full_recourse_only=st.booleans(),
        loss_ppm_max=st.none() | st.integers(0, 1_000), lot_minor_max=st.integers(1, 10_000_000),
        lot_share_bps_max=st.integers(1, 10_000), min_fill_minor=st.integers(0, 50_000), debtor_minor_max=cap,
        seller_minor_max=cap, outstanding_minor_max=cap, budget_minor=st.integers(1, 10_000_000),
        budget_days=st.just(30),
    ),
    st.builds(Used, minor, minor, minor, minor, st.none() | minor),
)  # fmt: skip
def test_no_bid_breaks_a_cap_and_no_silence_is_without_reason(mandate: Mandate, used: Used) -> None:
    told = instruct(mandate, LOT, used)
    assert bool(told.cash_minor) != bool(told.reasons)
    if not told.cash_minor:
        return
    assert told.cash_minor % LOT.lot_size_minor == 0
    assert told.cash_minor >= max(LOT.minimum_minor, told.min_fill_minor)
    assert told.cash_minor <= mandate.lot_minor_max
    assert told.cash_minor * 10_000 <= mandate.lot_share_bps_max * LOT.target_minor
    assert used.budget_minor + told.cash_minor <= mandate.budget_minor
    for most, taken in ((mandate.debtor_minor_max, used.debtor_minor), (mandate.seller_minor_max, used.seller_minor),
                        (mandate.outstanding_minor_max, used.outstanding_minor)):  # fmt: skip
        assert most is None or taken + told.cash_minor <= most
    assert used.free_minor is None or told.cash_minor <= used.free_minor
    assert mandate.rate_bps_min <= told.rate_bps <= LOT.reserve_bps

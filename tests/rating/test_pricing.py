"""From PD to grade, tenor, loss, rate and advance: whole numbers, never rounded in the seller's favour."""

import math
import tomllib
from dataclasses import replace
from pathlib import Path
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketplace.kernel import policy
from marketplace.kernel.errors import InvalidInput
from marketplace.rating.grades import GRADES, grade_of, tenor_pd_ppm
from marketplace.rating.pricing import advance_bps, indicative_bps, joint_default_ppm, price

CONFIG = Path(__file__).resolve().parents[2] / "config" / "policy.toml"
POLICY = policy.parse(tomllib.loads(CONFIG.read_text())).rating
PD = st.integers(1, 999_999)
DAYS = st.integers(1, 400)


@pytest.mark.parametrize(
    ("pd", "grade"),
    [(500, "A+"), (1_000, "A+"), (1_001, "A"), (2_000, "A"), (4_000, "A-"), (7_500, "B+"), (15_000, "B"),
     (30_000, "B-"),
     (60_000, "C"), (120_000, "D"), (120_001, "E"), (1_000_000, "E")],
)  # fmt: skip
def test_a_grade_ends_at_its_upper_bound(pd: int, grade: str) -> None:
    assert grade_of(pd, POLICY.grade_bounds_ppm) == grade


@given(PD, PD)
def test_a_higher_pd_is_never_a_better_grade(one: int, other: int) -> None:
    low, high = sorted((one, other))
    bounds = POLICY.grade_bounds_ppm
    assert GRADES.index(grade_of(low, bounds)) <= GRADES.index(grade_of(high, bounds))


def test_a_year_s_tenor_is_the_pd_itself_and_sixty_days_are_worked_out() -> None:
    assert tenor_pd_ppm(7_500, 365) == 7_500
    # 1 - 0.9925^(60/365) = 0.00123676…
    assert tenor_pd_ppm(7_500, 60) == 1_237
    assert tenor_pd_ppm(7_500, 0) == 0
    assert tenor_pd_ppm(1_000_000, 1) == 1_000_000


@given(PD, DAYS, DAYS)
def test_two_tenors_after_each_other_are_the_sum_of_days(pd: int, first: int, second: int) -> None:
    """Survival multiplies: (1 - PD_a)(1 - PD_b) = 1 - PD_(a+b), to the rounding."""
    stays = (1 - tenor_pd_ppm(pd, first) / 1e6) * (1 - tenor_pd_ppm(pd, second) / 1e6)
    assert math.isclose(1 - stays, tenor_pd_ppm(pd, first + second) / 1e6, abs_tol=3e-6)


@given(PD, DAYS)
def test_a_tenor_pd_rises_with_pd_and_days(pd: int, days: int) -> None:
    assert tenor_pd_ppm(pd, days) <= tenor_pd_ppm(pd, days + 1)
    assert tenor_pd_ppm(pd, days) <= tenor_pd_ppm(min(1_000_000, pd + 1_000), days)
    assert tenor_pd_ppm(pd, days) >= 1, "a risk is never rounded away"


@pytest.mark.parametrize(("pd", "days"), [(-1, 30), (1_000_001, 30), (500, -1)])
def test_an_impossible_pd_or_tenor_is_refused(pd: int, days: int) -> None:
    with pytest.raises(InvalidInput):
        tenor_pd_ppm(pd, days)


def test_joint_default_is_the_bivariate_normal() -> None:
    # Φ₂(0, 0; ρ) = 1/4 + asin(ρ) / 2π (Sheppard 1899).
    assert joint_default_ppm(500_000, 500_000, 500_000) == 333_334
    assert joint_default_ppm(10_000, 20_000, 0) == 200, "independent: the product"
    assert joint_default_ppm(10_000, 20_000, 999_000) <= 10_000
    assert joint_default_ppm(0, 20_000, 150_000) == 0
    assert joint_default_ppm(1_000_000, 20_000, 150_000) == 20_000


@given(st.integers(10, 500_000), st.integers(10, 500_000), st.integers(0, 900_000))
def test_joint_default_lies_between_independence_and_the_lesser_pd(a: int, b: int, rho: int) -> None:
    both = joint_default_ppm(a, b, rho)
    assert math.floor(a * b / 1e6) <= both <= min(a, b)
    assert both == joint_default_ppm(b, a, rho)
    assert both <= joint_default_ppm(a, b, rho + 50_000)


def test_joint_default_agrees_with_a_numeric_integral() -> None:
    a, b, rho = 12_000, 45_000, 0.15
    h, k, normal = NormalDist().inv_cdf(a / 1e6), NormalDist().inv_cdf(b / 1e6), NormalDist()
    steps = 20_000
    width = (h + 9) / steps
    total = 0.0
    for step in range(steps):
        x = -9 + (step + 0.5) * width
        total += normal.pdf(x) * normal.cdf((k - rho * x) / math.sqrt(1 - rho * rho)) * width
    assert abs(joint_default_ppm(a, b, 150_000) - total * 1e6) <= 1


def test_a_receivable_priced_by_hand() -> None:
    """Debtor .75 % a year, seller 1.5 %, 60 days; LGD 40 %, dilution 2 %, fraud .1 %, effect of recourse 60 %."""
    priced = price(7_500, 15_000, 60, POLICY)
    assert priced.pd_tenor_ppm == 1_237
    assert (priced.dilution_ppm, priced.fraud_ppm) == (3_316, 165)  # 1-(.98)^(60/365), 1-(.999)^(60/365), rounded up
    assert priced.expected_loss_ppm == 495 + 3_316 + 165  # ⌈1,237 · .4⌉ = 495
    assert priced.indicative_bps == 400 + 250 + 242  # ⌈3,976 ppm · 365 / 60⌉ = 242 bp
    # Haircut max(5 %, 2.5 · 2 % + 3 · .3976 %) = 6.19 %; the advance stops at 90 %.
    assert priced.advance_bps == 9_000
    # Left with recourse: 495·(1 - .6·(1,237-13)/1,237) = 202; 3,316·(1 - .6·.997518) = 1,332; 165.
    assert priced.joint_ppm == 13
    assert priced.expected_loss_recourse_ppm == 202 + 1_332 + 165


def test_without_a_rated_seller_recourse_counts_for_nothing() -> None:
    priced = price(7_500, None, 60, POLICY)
    assert priced.expected_loss_recourse_ppm == priced.expected_loss_ppm
    assert priced.joint_ppm is None


@given(PD, st.one_of(st.none(), PD), DAYS)
def test_prices_stay_in_their_bounds_and_recourse_never_costs(debtor: int, seller: int | None, days: int) -> None:
    priced = price(debtor, seller, days, POLICY)
    assert 0 < priced.expected_loss_recourse_ppm <= priced.expected_loss_ppm <= 1_000_000
    assert 0 <= priced.advance_bps <= POLICY.advance_bps_max
    assert priced.indicative_bps > POLICY.base_rate_bps + POLICY.risk_premium_bps


@given(PD, PD, DAYS)
def test_a_worse_debtor_never_gets_a_better_price(one: int, other: int, days: int) -> None:
    low, high = sorted((one, other))
    good, bad = price(low, 9_000, days, POLICY), price(high, 9_000, days, POLICY)
    assert good.expected_loss_ppm <= bad.expected_loss_ppm
    assert good.indicative_bps <= bad.indicative_bps
    assert good.advance_bps >= bad.advance_bps


@given(PD, PD, PD, DAYS)
def test_a_worse_seller_never_makes_recourse_worth_more(debtor: int, one: int, other: int, days: int) -> None:
    low, high = sorted((one, other))
    better, worse = price(debtor, low, days, POLICY), price(debtor, high, days, POLICY)
    assert better.expected_loss_recourse_ppm <= worse.expected_loss_recourse_ppm + 2, "rounding apart"


def test_haircut_and_rate_follow_their_formulas() -> None:
    plain = replace(POLICY, dilution_ppm=0)
    assert advance_bps(0, plain) == 9_000, "the cap"
    assert advance_bps(0, replace(plain, advance_bps_max=10_000)) == 9_500, "never less than a 5 % haircut"
    assert advance_bps(100_000, plain) == 7_000
    assert advance_bps(400_000, plain) == 0
    assert indicative_bps(10_000, 365, POLICY) == 400 + 250 + 100
    assert indicative_bps(10_000, 73, POLICY) == 400 + 250 + 500

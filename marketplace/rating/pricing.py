"""From two PDs to expected loss, indicative rate and advance. Pure; whole parts per million and basis points out.

Dilution and fraud are one-year expected losses of the receivables' amount, taken like a PD with a loss given default of
100 % and brought to the tenor. Losses are rounded up, advances down: no rounding favours the seller over the investor.

Source: Basel framework CRE34 (purchased receivables: default and dilution risk; CRE34.4: without counting recourse).
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

from marketplace.kernel.policy import Rating
from marketplace.rating.grades import MILLION, YEAR_DAYS, tenor_pd_ppm

NORMAL = NormalDist()
# Nodes and weights of Gauss-Legendre quadrature on [-1, 1] are made once; 24 nodes are exact to 1e-12 here.
NODES = 24
HAIRCUT_DILUTION_TENTHS = 25  # 2.5 times dilution
HAIRCUT_LOSS = 3


@dataclass(frozen=True)
class Price:
    """What a receivable is worth: the figures that a deal keeps. PDs and losses over the tenor."""

    tenor_days: int
    pd_tenor_ppm: int
    seller_pd_tenor_ppm: int | None
    joint_ppm: int | None
    dilution_ppm: int
    fraud_ppm: int
    expected_loss_ppm: int
    expected_loss_recourse_ppm: int
    indicative_bps: int
    advance_bps: int


def price(debtor_pd_ppm: int, seller_pd_ppm: int | None, tenor_days: int, policy: Rating) -> Price:
    """Return the figures of a receivable whose debtor and seller have these twelve-month PDs.

    `seller_pd_ppm` None: the seller is not rated, or there is no recourse; then recourse counts for nothing.
    `tenor_days` runs to the expected, not the due, date, and is at least one.
    """
    days = max(1, tenor_days)
    pd = tenor_pd_ppm(debtor_pd_ppm, days)
    dilution, fraud = tenor_pd_ppm(policy.dilution_ppm, days), tenor_pd_ppm(policy.fraud_ppm, days)
    default_loss = _up(pd * policy.lgd_ppm, MILLION)
    loss = min(MILLION, default_loss + dilution + fraud)
    seller_pd = joint = None
    with_recourse = loss
    if seller_pd_ppm is not None:
        seller_pd = tenor_pd_ppm(seller_pd_ppm, days)
        joint = joint_default_ppm(pd, seller_pd, policy.correlation_ppm)
        with_recourse = _with_recourse(pd, seller_pd, joint, dilution, fraud, policy)
    return Price(
        tenor_days=days,
        pd_tenor_ppm=pd,
        seller_pd_tenor_ppm=seller_pd,
        joint_ppm=joint,
        dilution_ppm=dilution,
        fraud_ppm=fraud,
        expected_loss_ppm=loss,
        expected_loss_recourse_ppm=min(loss, with_recourse),
        indicative_bps=indicative_bps(loss, days, policy),
        advance_bps=advance_bps(loss, policy),
    )


def _with_recourse(pd: int, seller_pd: int, joint: int, dilution: int, fraud: int, policy: Rating) -> int:
    """Return the loss when the seller buys back, as far as that works, whenever the seller stands.

    Default: only where the debtor fails and the seller does not. Dilution: where the seller stands. Fraud: never.
    """
    effect = policy.recourse_effect_ppm
    saved_default = (pd - joint) * policy.lgd_ppm * effect
    left_default = _up(pd * policy.lgd_ppm * MILLION - saved_default, MILLION**2)
    left_dilution = _up(dilution * (MILLION**2 - (MILLION - seller_pd) * effect), MILLION**2)
    return min(MILLION, left_default + left_dilution + fraud)


def indicative_bps(loss_ppm: int, tenor_days: int, policy: Rating) -> int:
    """Return base rate + risk premium + EL · 365 / T, in bp of simple annual rate, rounded up."""
    return policy.base_rate_bps + policy.risk_premium_bps + _up(loss_ppm * YEAR_DAYS, tenor_days * 100)


def advance_bps(loss_ppm: int, policy: Rating) -> int:
    """Return min(most, 1 - max(least haircut, 2.5 · dilution + 3 · EL)) in bp, rounded down, never below zero."""
    tenths = HAIRCUT_DILUTION_TENTHS * policy.dilution_ppm + 10 * HAIRCUT_LOSS * loss_ppm
    haircut_ppm = max(policy.haircut_ppm_min, _up(tenths, 10))
    return max(0, min(policy.advance_bps_max, (MILLION - haircut_ppm) // 100))


def joint_default_ppm(pd_a_ppm: int, pd_b_ppm: int, correlation_ppm: int) -> int:
    """Return the chance that both fail, by a Gaussian copula, rounded up; between independence and the lesser PD.

    Source: Plackett 1954 (the derivative of the bivariate normal by its correlation); Basel CRE31 (one-factor model).
    """
    least, most = min(pd_a_ppm, pd_b_ppm), max(pd_a_ppm, pd_b_ppm)
    if least <= 0 or most >= MILLION:
        return max(0, least)
    h, k = NORMAL.inv_cdf(pd_a_ppm / MILLION), NORMAL.inv_cdf(pd_b_ppm / MILLION)
    rho = correlation_ppm / MILLION
    both = pd_a_ppm / MILLION * (pd_b_ppm / MILLION) + rho / 2 * sum(
        weight * _density(h, k, rho / 2 * (node + 1)) for node, weight in _legendre(NODES)
    )
    return min(least, math.ceil(round(both * MILLION, 6)))


def _density(h: float, k: float, r: float) -> float:
    return math.exp(-(h * h - 2 * r * h * k + k * k) / (2 * (1 - r * r))) / (2 * math.pi * math.sqrt(1 - r * r))


def _legendre(count: int) -> list[tuple[float, float]]:
    """Return nodes and weights of Gauss-Legendre quadrature, by Newton's method on the polynomial."""
    found = []
    for place in range(count):
        x = math.cos(math.pi * (place + 0.75) / (count + 0.5))
        slope = 1.0
        for _ in range(50):
            before, now = 1.0, x
            for degree in range(2, count + 1):
                before, now = now, ((2 * degree - 1) * x * now - (degree - 1) * before) / degree
            slope = count * (x * now - before) / (x * x - 1)
            step = now / slope
            x -= step
            if abs(step) < 1e-15:
                break
        found.append((x, 2 / ((1 - x * x) * slope * slope)))
    return found


def _up(part: int, whole: int) -> int:
    return -(-part // whole)

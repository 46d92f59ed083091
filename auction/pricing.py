"""What each fill is paid: discounts in minor units, simple annual rate, ACT/365F, rounded down.

Source: market rules, "Price", and "Made precise" points 8 and 11.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from auction.allocation import share
from auction.book import UNIFORM, Bid
from auction.clearing import Take

YEAR = 10_000 * 365  # basis points in one, times days in the year


class Fill(NamedTuple):
    """One leg of the award: cash paid out, discount earned, and the rate it is earned at."""

    bid: Bid
    cash_minor: int
    discount_minor: int
    rate_bps: int


def discount(cash_minor: int, rate_bps: int, days: int) -> int:
    """Return ⌊cash · rate · days / (10⁴ · 365)⌋ in minor units."""
    return cash_minor * rate_bps * days // YEAR


def price(takes: Sequence[Take], stop_out_bps: int | None, price_rule: str, days: int) -> list[Fill]:
    """Price the takes: all at the stop-out with one discount shared by cash, or each at its own rate."""
    if stop_out_bps is None:
        return []
    if price_rule == UNIFORM:
        cash = [take.cash_minor for take in takes]
        whole = discount(sum(cash), stop_out_bps, days)
        parts = share(whole, cash, [(take.bid.seq, take.bid.id) for take in takes])
        return [Fill(take.bid, take.cash_minor, part, stop_out_bps) for take, part in zip(takes, parts, strict=True)]
    return [
        Fill(take.bid, take.cash_minor, discount(take.cash_minor, take.bid.rate_bps, days), take.bid.rate_bps)
        for take in takes
    ]

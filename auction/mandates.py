"""Standing instructions: what one mandate bids on one lot when it closes, or every reason why it bids nothing.

Pure and in whole numbers: cash in minor units, rates in basis points a year, losses in parts per million. What comes
of it is an ordinary sealed bid, placed after all others in the order of the mandates' ids: it has no head start.

Source: market rules, "Eligibility" and "Mandates".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from auction.book import BPS

RELATED = "related_party"
GRADE, TENOR, RECOURSE, LOSS = "grade_too_low", "tenor_outside", "not_full_recourse", "loss_too_high"
BELOW_LEAST_RATE, ABOVE_RESERVE = "below_least_rate", "above_reserve"
BUDGET, DEBTOR, SELLER, OUTSTANDING = "budget_used", "debtor_cap_used", "seller_cap_used", "outstanding_cap_used"
CASH, SMALL = "no_free_cash", "too_small"


@dataclass(frozen=True, slots=True)
class Mandate:
    """One investor's instructions. A cap of None does not bind; `grade_worst` counts from 0, the best.

    The rate bid is the lot's indicative rate plus `spread_bps`. Of `budget_minor` so much may be filled within any
    `budget_days` days.
    """

    spread_bps: int
    rate_bps_min: int
    grade_worst: int
    tenor_days_min: int
    tenor_days_max: int
    full_recourse_only: bool
    loss_ppm_max: int | None
    lot_minor_max: int
    lot_share_bps_max: int
    min_fill_minor: int
    debtor_minor_max: int | None
    seller_minor_max: int | None
    outstanding_minor_max: int | None
    budget_minor: int
    budget_days: int


@dataclass(frozen=True, slots=True)
class Offered:
    """What a mandate is told of a lot."""

    grade: int
    tenor_days: int
    full_recourse: bool
    loss_ppm: int
    indicative_bps: int
    reserve_bps: int
    target_minor: int
    lot_size_minor: int
    minimum_minor: int
    related: bool


@dataclass(frozen=True, slots=True)
class Used:
    """What is used up already, and what cash is free. Bids that stand elsewhere count as if they were filled."""

    budget_minor: int = 0
    debtor_minor: int = 0
    seller_minor: int = 0
    outstanding_minor: int = 0
    free_minor: int | None = None


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason: a code, and the numbers that prove it."""

    code: str
    numbers: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Instruction:
    """What a mandate does on a lot: a bid, or no cash and every reason why not."""

    rate_bps: int
    cash_minor: int
    min_fill_minor: int
    reasons: tuple[Reason, ...]


def instruct(mandate: Mandate, lot: Offered, used: Used) -> Instruction:
    """Return what the mandate bids on the lot: as much as every cap leaves, in whole steps of the lot."""
    rate = max(lot.indicative_bps + mandate.spread_bps, 0)
    reasons = list(_unfit(mandate, lot, rate))
    rooms = _rooms(mandate, lot, used)
    cash = min(room for _, room in rooms) // lot.lot_size_minor * lot.lot_size_minor
    least = max(lot.minimum_minor, mandate.min_fill_minor)
    if cash < least:
        reasons += [Reason(code, {"room_minor": max(room, 0), "least_minor": least})
                    for code, room in rooms if room < least]  # fmt: skip
        if not any(room < least for _, room in rooms):  # rounding alone
            reasons.append(Reason(SMALL, {"room_minor": min(room for _, room in rooms), "least_minor": least}))
    if reasons:
        return Instruction(rate, 0, 0, tuple(reasons))
    return Instruction(rate, cash, mandate.min_fill_minor, ())


def _unfit(mandate: Mandate, lot: Offered, rate: int) -> Iterator[Reason]:
    """Yield why the lot is not one that the mandate wants at all."""
    if lot.related:
        yield Reason(RELATED)
    if lot.grade > mandate.grade_worst:
        yield Reason(GRADE)
    if not mandate.tenor_days_min <= lot.tenor_days <= mandate.tenor_days_max:
        yield Reason(TENOR, {"days": lot.tenor_days})
    if mandate.full_recourse_only and not lot.full_recourse:
        yield Reason(RECOURSE)
    if mandate.loss_ppm_max is not None and lot.loss_ppm > mandate.loss_ppm_max:
        yield Reason(LOSS, {"loss_ppm": lot.loss_ppm, "most_ppm": mandate.loss_ppm_max})
    if rate < mandate.rate_bps_min:
        yield Reason(BELOW_LEAST_RATE, {"rate_bps": rate, "least_bps": mandate.rate_bps_min})
    if rate > lot.reserve_bps:
        yield Reason(ABOVE_RESERVE, {"rate_bps": rate, "reserve_bps": lot.reserve_bps})


def _rooms(mandate: Mandate, lot: Offered, used: Used) -> list[tuple[str, int]]:
    """Return what each cap still leaves, the mandate's own size for a lot first."""
    size = min(mandate.lot_minor_max, mandate.lot_share_bps_max * lot.target_minor // BPS)
    rooms = [(SMALL, size), (BUDGET, mandate.budget_minor - used.budget_minor)]
    for code, cap, taken in (
        (DEBTOR, mandate.debtor_minor_max, used.debtor_minor),
        (SELLER, mandate.seller_minor_max, used.seller_minor),
        (OUTSTANDING, mandate.outstanding_minor_max, used.outstanding_minor),
    ):
        if cap is not None:
            rooms.append((code, cap - taken))
    if used.free_minor is not None:
        rooms.append((CASH, used.free_minor))
    return rooms

"""The rules of a sale, pure: the states of lots and bids, the terms of a lot, what a bid must be, who decides."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from hashlib import sha256
from typing import Protocol
from uuid import UUID
from zoneinfo import ZoneInfo

from marketplace.kernel.errors import Problem
from marketplace.kernel.money import bps_of
from marketplace.kernel.policy import Policy
from marketplace.kernel.states import Machine
from marketplace.kernel.words import N_

YEAR = 10_000 * 365


class LotState(StrEnum):
    """Where a lot stands, from the first bid to the money."""

    OPEN = "open"
    CLOSED_FAILED = "closed_failed"
    AWAITING_SELLER = "awaiting_seller"
    ACCEPTED = "accepted"
    HELD = "held"
    REFUSED = "refused"
    SETTLED = "settled"
    CANCELLED = "cancelled"


class BidState(StrEnum):
    """Where a bid stands. Sealed while `placed`."""

    PLACED = "placed"
    WITHDRAWN = "withdrawn"
    REFUSED = "refused"
    FILLED = "filled"
    PASSED_OVER = "passed_over"
    UNFILLED = "unfilled"


class MandateState(StrEnum):
    """Where a mandate stands. Only an active one bids."""

    ACTIVE = "active"
    PAUSED = "paused"
    ENDED = "ended"


class SessionState(StrEnum):
    """Where a call session stands."""

    OPEN = "open"
    CLOSED = "closed"


_L = LotState
_B = BidState

LOT = Machine(
    "lot",
    LotState,
    {
        _L.OPEN: (_L.CLOSED_FAILED, _L.AWAITING_SELLER, _L.CANCELLED),
        _L.AWAITING_SELLER: (_L.ACCEPTED, _L.REFUSED, _L.CANCELLED),
        _L.ACCEPTED: (_L.SETTLED, _L.HELD, _L.CANCELLED),
        _L.HELD: (_L.SETTLED, _L.CANCELLED),
    },
)

BID = Machine(
    "bid",
    BidState,
    {
        _B.PLACED: (_B.WITHDRAWN, _B.REFUSED, _B.FILLED, _B.PASSED_OVER, _B.UNFILLED),
        _B.FILLED: (_B.UNFILLED,),
    },
)

SESSION = Machine("call_session", SessionState, {SessionState.OPEN: (SessionState.CLOSED,)})

MANDATE = Machine(
    "mandate",
    MandateState,
    {
        MandateState.ACTIVE: (MandateState.PAUSED, MandateState.ENDED),
        MandateState.PAUSED: (MandateState.ACTIVE, MandateState.ENDED),
    },
)


@dataclass(frozen=True)
class Terms:
    """What is being sold and how, as far as bids are judged by it. Amounts in minor units, rates in bp a year."""

    face_minor: int
    target_minor: int
    advance_bps: int
    reserve_bps: int
    tenor_days: int
    lot_size_minor: int
    minimum_minor: int


def terms_of(
    policy: Policy,
    face_minor: int,
    deal_type: str,
    advance_bps: int,
    indicative_bps: int,
    own_reserve_bps: int | None,
    closes_on: date,
    expected_on: date,
) -> Terms:
    """Return the terms of a lot.

    Outright seeks what the face is worth at the reserve rate, less the fee, so that cash, discount and fee never
    exceed the face. An advance seeks ⌊face × advance⌋, but no more than that. The reserve is the seller's, else a
    margin over the indicative rate, never above the market's highest. Days run from the close to the expected date.
    """
    auction = policy.auction
    reserve = own_reserve_bps or indicative_bps + auction.reserve_over_indicative_bps or auction.reserve_bps
    reserve = min(reserve, auction.reserve_bps_max)
    days = (expected_on - closes_on).days
    fee = bps_of(face_minor, policy.fees.platform_bps)
    worth = (face_minor - fee) * YEAR // (YEAR + reserve * max(days, 0))
    target = worth if deal_type == "outright" else min(bps_of(face_minor, advance_bps), worth)
    if target == worth:
        advance_bps = max(target * 10_000 // face_minor, 1)
    size = min(auction.lot_size_minor, max(target, 1))
    return Terms(
        face_minor=face_minor,
        target_minor=target,
        advance_bps=advance_bps,
        reserve_bps=reserve,
        tenor_days=days,
        lot_size_minor=size,
        minimum_minor=max(min(auction.bid_minor_min, target), size),
    )


def answering(policy: Policy, bidding: str, buy_now_bps: int | None, reserve_bps: int) -> dict[str, int | None]:
    """Return how a lot answers to its bids while it is open: buy-now, never above the reserve, and its soft close.

    A sealed lot has no soft close: its numbers are 0.
    """
    auction, soft = policy.auction, int(bidding == "open")
    return {
        "buy_now_bps": buy_now_bps and min(buy_now_bps, reserve_bps),
        "late_seconds": soft * auction.late_seconds,
        "extend_seconds": soft * auction.extend_seconds,
        "extensions_max": soft * auction.extensions_max,
        "improve_only_seconds": soft * auction.improve_only_seconds,
    }


def opening_problems(terms: Terms, standing: Collection[bool], stops: Collection[str]) -> list[Problem]:
    """Return every reason why a lot may not open."""
    problems = []
    if terms.tenor_days < 1:
        problems.append(
            Problem("expected_on", "too_short", N_("No day is left between the close and the expected date."))
        )
    if terms.target_minor < 1:
        problems.append(Problem("face_minor", "too_small", N_("The advance on this face comes to nothing.")))
    if not all(standing):
        problems.append(
            Problem("parties", "not_in_good_standing", N_("The seller or the debtor is not in good standing."))
        )
    words = {
        "open_dispute": N_("The debtor disputes it."),
        "open_review": N_("Operators are still looking at it."),
        "claims_unchecked": N_("It was not yet compared with other markets’ claims."),
        "registry_unasked": N_("The registry of other markets has not answered yet."),
        "lease_lapsed": N_("Its registration with other markets has run out."),
        "registered_elsewhere": N_("Another market has registered the same invoice."),
        "financed_elsewhere": N_("Another market has financed the same invoice."),
    }
    problems += [Problem("receivable", stop, words.get(stop, N_("It is held back."))) for stop in stops]
    return problems


class Bounds(Protocol):
    """What a bid is measured against; a lot has it, and so have its terms."""

    @property
    def reserve_bps(self) -> int: ...
    @property
    def minimum_minor(self) -> int: ...
    @property
    def lot_size_minor(self) -> int: ...


def bid_problems(
    terms: Bounds,
    *,
    rate_bps: int,
    cash_minor: int,
    min_fill_minor: int,
    related: bool,
    good_standing: bool,
) -> list[Problem]:
    """Return every reason why a bid is not taken, in the order of the rules; none when it is sound."""
    problems = []
    if rate_bps > terms.reserve_bps:
        problems.append(Problem("rate_bps", "above_reserve", N_("Bid at the reserve of %(reserve)s bp or below."),
                                {"reserve": f"{terms.reserve_bps:,}"}))  # fmt: skip
    if cash_minor < terms.minimum_minor:
        problems.append(Problem("cash_minor", "below_minimum", N_("Bid at least the smallest bid of this lot.")))
    if cash_minor % terms.lot_size_minor:
        problems.append(Problem("cash_minor", "not_lot_multiple", N_("Bid a whole number of steps of this lot.")))
    if min_fill_minor > cash_minor:
        problems.append(Problem("min_fill_minor", "over_cash", N_("The least you take cannot be more than you bid.")))
    if related:
        problems.append(
            Problem(
                "investor",
                "related_party",
                N_("Your group is related to the seller, the debtor or the market's staff."),
            )
        )
    if not good_standing:
        problems.append(
            Problem("investor", "not_in_good_standing", N_("Your organisation is suspended: ask the operator."))
        )
    return problems


def accepts_itself(outcome: str, stop_out_bps: int | None, groups: int, own_rate_bps: int | None) -> bool:
    """Tell whether an award is accepted without asking: at or below the seller's own rate, two groups or more."""
    if outcome == "failed" or own_rate_bps is None or stop_out_bps is None:
        return False
    return stop_out_bps <= own_rate_bps and groups >= 2


def accepted_unasked_bps(own_rate_bps: int | None, buy_now_bps: int | None, bought: bool) -> int | None:
    """Return the highest rate the seller takes unasked: its own, and for a lot that was bought its buy-now rate."""
    rates = [rate for rate in (own_rate_bps, buy_now_bps if bought else None) if rate is not None]
    return max(rates, default=None)


def default_decision(seller_default: str, groups: int) -> str:
    """Return what happens when the seller says nothing in time; never an acceptance with fewer than two groups."""
    return "accept" if seller_default == "accept" and groups >= 2 else "refuse"


def least_award_minor(target_minor: int, min_share_bps: int) -> int:
    """Return ⌈θA⌉, the least the seller may accept."""
    return -(-target_minor * min_share_bps // 10_000)


def discount_minor(cash_minor: int, rate_bps: int, days: int) -> int:
    """Return ⌊cash · rate · days / (10⁴ · 365)⌋."""
    return cash_minor * rate_bps * days // YEAR


def rate_for(cash_minor: int, wanted_minor: int, days: int) -> int | None:
    """Return the lowest rate in bp whose discount reaches `wanted_minor`; None when there is nothing to earn on."""
    if cash_minor <= 0 or days <= 0 or wanted_minor < 0:
        return None
    return -(-wanted_minor * YEAR // (cash_minor * days))


def expected_loss_minor(cash_minor: int, loss_ppm: int) -> int:
    """Return the loss to expect on an amount, rounded up to the penny: loss is never shown smaller than it is."""
    return -(-cash_minor * loss_ppm // 1_000_000)


def net_yearly_bps(cash_minor: int, earned_minor: int, days: int) -> int:
    """Return money earned (it may be negative) as a yearly rate on the cash, rounded down."""
    if cash_minor <= 0 or days <= 0:
        return 0
    return earned_minor * YEAR // (cash_minor * days)


def may_reopen(policy: Policy, expected_on: date, today: date) -> bool:
    """Tell whether a receivable that did not sell may be offered again, or has too few days left and expires."""
    return (expected_on - today).days >= policy.listing.tenor_days_min


def calls_between(opened_at: datetime, until: datetime, hours: Collection[int], zone: str) -> list[datetime]:
    """Return the call points after the opening and not after `until`, newest first: these hours, every day."""
    there = ZoneInfo(zone)
    day, last = opened_at.astimezone(there).date(), until.astimezone(there).date()
    found = []
    while day <= last:
        found += [datetime.combine(day, time(hour), there).astimezone(UTC) for hour in hours]
        day += timedelta(days=1)
    return sorted((call for call in found if opened_at < call <= until), reverse=True)


def mask(seller_id: UUID) -> str:
    """Return the four letters under which a seller appears until the lot has cleared; the same in every lot."""
    return sha256(b"seller" + seller_id.bytes).hexdigest()[:4].upper()

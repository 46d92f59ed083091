"""While a lot is open: what bidders learn at call points, when a buy-now rate is met, when an open lot's close moves.

Instants are microseconds of one clock, the database's; rates are whole basis points.

Source: market rules, "Session", and docs/adr: "Rules of the auction made more precise".
"""

from __future__ import annotations

from dataclasses import dataclass

from auction.clearing import FULL, Clearing

SHOWN_TICKS = 5  # an indicative rate is shown in steps of so many basis points
SECOND = 1_000_000

NOT_LOWER = "rate_not_lower"
WORSE_CASH = "less_cash"
WORSE_LEAST = "higher_least_fill"
NO_NEW_BIDS = "only_improvements_now"


def clearing_now(clearing: Clearing, bid_ids: frozenset[str]) -> dict[str, bool]:
    """Tell, for one investor's own bids, whether each would get something if the lot closed now; nothing else is told.

    `clearing` is that of the book as it stands at the call point.
    """
    filled = {take.bid.id for take in clearing.takes}
    return {bid_id: bid_id in filled for bid_id in sorted(bid_ids)}


def bought_now(clearing: Clearing, buy_now_bps: int | None) -> bool:
    """Tell whether the lot closes at once: the whole target is covered at or below its buy-now rate.

    Group caps, least fills and refusals have been applied, so that no bid can end a lot which it may not fill.
    """
    if buy_now_bps is None or clearing.outcome != FULL or clearing.stop_out_bps is None:
        return False
    return clearing.stop_out_bps <= buy_now_bps


def shown_rate(clearing: Clearing) -> int | None:
    """Return the indicative stop-out of an open lot, rounded up to five basis points; None while it would fail."""
    if clearing.stop_out_bps is None:
        return None
    return -(-clearing.stop_out_bps // SHOWN_TICKS) * SHOWN_TICKS


@dataclass(frozen=True, slots=True)
class SoftClose:
    """How an open lot ends; from the policy, in whole seconds."""

    late_seconds: int = 120  # a bid is late when no more than this is left
    extend_seconds: int = 120
    extensions_max: int = 10
    improve_only_seconds: int = 300

    def late(self, now_us: int, closes_us: int) -> bool:
        """Tell whether a bid taken now may move the close."""
        return 0 < closes_us - now_us <= self.late_seconds * SECOND

    def improve_only(self, now_us: int, closes_us: int) -> bool:
        """Tell whether only bids that improve an earlier one are taken now."""
        return closes_us - now_us <= self.improve_only_seconds * SECOND

    def closes_after(self, now_us: int, closes_us: int, extensions: int, before: int | None, after: int | None) -> int:
        """Return when the lot closes once a bid has been taken at `now_us`.

        `before` and `after` are the rates shown without and with the bid. The close moves only when the bid is late
        and lowers the rate shown, or is the one that covers the lot; and only so many times.
        """
        lowers = after is not None and (before is None or after < before)
        if not lowers or extensions >= self.extensions_max or not self.late(now_us, closes_us):
            return closes_us
        return closes_us + self.extend_seconds * SECOND


@dataclass(frozen=True, slots=True)
class Offer:
    """What of a bid decides whether it is better than another."""

    rate_bps: int
    cash_minor: int
    min_fill_minor: int


def improvement_faults(earlier: Offer | None, later: Offer) -> tuple[str, ...]:
    """Return why a bid is not an improvement of an earlier one of the same investor on the same lot; none if it is.

    It must ask a lower rate, for no less cash, with no higher least fill.
    """
    if earlier is None:
        return (NO_NEW_BIDS,)
    faults = []
    if later.rate_bps >= earlier.rate_bps:
        faults.append(NOT_LOWER)
    if later.cash_minor < earlier.cash_minor:
        faults.append(WORSE_CASH)
    if later.min_fill_minor > earlier.min_fill_minor:
        faults.append(WORSE_LEAST)
    return tuple(faults)

"""The rules of selling a holding to another investor, pure: what may be offered, who may buy, what is said first."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from marketplace.kernel.errors import Problem
from marketplace.kernel.money import bps_of
from marketplace.kernel.policy import Secondary
from marketplace.kernel.words import N_

YEAR = 10_000 * 365


@dataclass(frozen=True)
class Standing:
    """What is true of a buyer: its group and what that group holds of the receivable, in units."""

    group_id: UUID
    good_standing: bool
    group_units: int
    holds: bool


def offering_problems(
    *, units: int, price_minor: int, hours: int, step: int, free: Sequence[tuple[int, int]], to_come_minor: int,
    policy: Secondary,
) -> list[Problem]:  # fmt: skip
    """Return every reason why these units may not be offered; `free` are the ranges held and not yet on offer."""
    problems = []
    largest, total = max((b - a for a, b in free), default=0), sum(b - a for a, b in free)
    if total == 0:
        problems.append(Problem("units", "nothing_held", N_("You hold nothing of it that is not on offer already.")))
    elif units > largest:
        words = N_("You can offer at most %(largest)s units in one piece.")
        problems.append(Problem("units", "not_in_one_piece", words, {"largest": f"{largest:,}"}))
    elif units % step and units not in {b - a for a, b in free}:
        words = N_("Offer all you hold in one piece, or a whole number of steps of %(step)s units.")
        problems.append(Problem("units", "not_lot_multiple", words, {"step": f"{step:,}"}))
    elif price_minor > to_come_minor:
        words = N_("The price is more than these units can still bring.")
        problems.append(Problem("price_minor", "above_to_come", words))
    if not policy.first_refusal_hours < hours <= policy.open_hours_max:
        words = N_("Choose from %(least)s to %(most)s hours.")
        params = {"least": policy.first_refusal_hours + 1, "most": policy.open_hours_max}
        problems.append(Problem("hours", "hours_out_of_range", words, params))
    return problems


def first_free(free: Sequence[tuple[int, int]], units: int) -> int:
    """Return the first unit of the piece that fits best: the smallest that is large enough, the lower of equals."""
    fitting = [(beyond - first, first) for first, beyond in free if beyond - first >= units]
    return min(fitting)[1]


def refusal_ends(now: datetime, co_holders: Sequence[bool], policy: Secondary) -> datetime | None:
    """Return until when only co-holders may buy: None when none of them could, or the policy gives no hours."""
    if policy.first_refusal_hours == 0 or not any(co_holders):
        return None
    return now + timedelta(hours=policy.first_refusal_hours)


def has_room(standing: Standing, related: Collection[UUID], units: int, most_units: int) -> bool:
    """Say whether a holder could lawfully take so many units more."""
    return (
        standing.good_standing and standing.group_id not in related and standing.group_units + units <= most_units
    )  # fmt: skip


def buying_problems(
    buyer: Standing, *, units: int, most_units: int, related: Collection[UUID], refusal_until: datetime | None,
    now: datetime, flags: Collection[str], acknowledged: bool,
) -> list[Problem]:  # fmt: skip
    """Return every reason why this buyer may not accept; none when it may.

    `most_units`: ⌊face × the lot's group cap⌋; `buyer.group_units` leaves out what the offer itself would move.
    """
    problems = []
    if buyer.group_id in related:
        words = N_("Your group is related to the seller, the debtor or the market's staff.")
        problems.append(Problem("investor", "related_party", words))
    if not buyer.good_standing:
        words = N_("Your organisation is suspended: ask the operator.")
        problems.append(Problem("investor", "not_in_good_standing", words))
    if buyer.group_units + units > most_units:
        words = N_("Your group would hold more of this receivable than its cap of %(most)s units.")
        problems.append(Problem("investor", "over_group_cap", words, {"most": f"{most_units:,}"}))
    if refusal_until is not None and now < refusal_until and not buyer.holds:
        words = N_("Until %(until)s only those who hold part of it already may buy.")
        params = {"until": refusal_until.strftime("%Y-%m-%d %H:%M UTC")}
        problems.append(Problem("investor", "first_refusal", words, params))
    if flags and not acknowledged:
        words = N_("Tick that you have read what speaks against it.")
        problems.append(Problem("acknowledged", "not_acknowledged", words))
    return problems


def flags_of(days_past_due: int, state: str, disputed: bool) -> list[str]:
    """Return what speaks against a receivable, as codes: overdue, defaulted, disputed."""
    found = ["overdue"] if days_past_due > 0 else []
    found += ["defaulted"] if state in ("defaulted", "recovered") else []
    return found + (["disputed"] if disputed else [])


def fee_minor(price_minor: int, fee_bps: int) -> int:
    """Return ⌊price × fee⌋."""
    return bps_of(price_minor, fee_bps)


def yield_bps(price_minor: int, to_come_minor: int, days: int) -> int | None:
    """Return what a price earns a year, simple, ACT/365 fixed, if all comes on the expected day, rounded down.

    None when no day is left to run: then it depends on how late the debtor is.
    """
    return (to_come_minor - price_minor) * YEAR // (price_minor * days) if days > 0 else None


def price_for(to_come_minor: int, rate_bps: int, days: int) -> int:
    """Return the highest price that earns at least a yearly rate if all comes after so many days."""
    return to_come_minor * YEAR // (YEAR + rate_bps * max(days, 0))

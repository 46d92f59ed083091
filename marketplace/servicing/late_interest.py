"""What the law lets a creditor claim of a business that pays late: interest and one fixed sum. Pure.

Simple interest on what was unpaid, day by day from the day after the due date, ACT/365 fixed, rounded down once:
⌊Σ unpaid × rate × days / (10⁴ × 365)⌋. The rate is the reference of the half-year in which the debt becomes overdue
plus eight points, and stays for that debt. A half-year whose reference is not in the policy is never guessed.

Source: United Kingdom: Late Payment of Commercial Debts (Interest) Act 1998 s. 4, 5A; SI 2002/1675 art. 4. European
Union: Directive 2011/7/EU art. 2(6)-(7), 3(1)-(2), 6(1); how art. 3(2) is read: docs/late-payment.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import pairwise
from uuid import UUID

from marketplace.kernel.money import allocate
from marketplace.kernel.policy import LateInterest
from marketplace.servicing.waterfall import Due, Share, Step

GB, EU = "GB", "EU"
CURRENCY = {GB: "GBP", EU: "EUR"}


@dataclass(frozen=True)
class Terms:
    """What is claimed on one debt, frozen when it became overdue. `since_on`: the due date; interest runs after it."""

    law: str
    reference_bps: int
    rate_bps: int
    since_on: date
    compensation_minor: int


@dataclass(frozen=True)
class Claim:
    """What has come up to a day, in minor units. `daily_minor`: what each further day adds, rounded down."""

    interest_minor: int
    compensation_minor: int
    daily_minor: int

    @property
    def total_minor(self) -> int:
        """Interest and fixed sum."""
        return self.interest_minor + self.compensation_minor


def law_of(country: str, policy: LateInterest) -> str | None:
    """Return the law that a debtor of a country is under, or None where none is kept here."""
    if country in policy.gb_countries:
        return GB
    return EU if country in policy.eu_countries else None


def half_year(day: date) -> date:
    """Return the first day of a day's half-year."""
    return date(day.year, 1 if day.month < 7 else 7, 1)


def terms(law: str, due_on: date, currency: str, unpaid_minor: int, policy: LateInterest) -> Terms | None:
    """Return what may be claimed on a debt of which so much was unpaid when it fell due; None while no rate is known.

    The fixed sum is due in the law's own currency only: nothing is converted.
    """
    known = {date.fromisoformat(day): bps for day, bps in (policy.gb_reference if law == GB else policy.eu_reference)}
    reference = known.get(half_year(due_on + timedelta(days=1)))
    if reference is None:
        return None
    fixed = 0
    if currency == CURRENCY[law] and unpaid_minor > 0:
        tiers = policy.gb_compensation if law == GB else policy.eu_compensation
        fixed = next(minor for least, minor in reversed(tiers) if unpaid_minor >= least)
    return Terms(law, reference, reference + policy.margin_bps, due_on, fixed)


def unpaid_on(debt_minor: int, paid: Sequence[tuple[date, int]], day: date) -> int:
    """Return what of a debt was unpaid at the end of a day; `paid` holds (day, minor units)."""
    return max(0, debt_minor - sum(minor for on, minor in paid if on <= day))


def claimed(found: Terms, debt_minor: int, paid: Sequence[tuple[date, int]], until: date) -> Claim:
    """Return what has come up through a day. A credit note lowers the debt from its beginning: it was never owed."""
    days = sorted({found.since_on, *(on for on, _ in paid if found.since_on < on < until), until})
    weighed = sum(unpaid_on(debt_minor, paid, first) * (last - first).days for first, last in pairwise(days))
    overdue = until > found.since_on
    fixed = found.compensation_minor if overdue and unpaid_on(debt_minor, paid, found.since_on) else 0
    daily = unpaid_on(debt_minor, paid, until) * found.rate_bps // (10_000 * 365)
    return Claim(weighed * found.rate_bps // (10_000 * 365) if overdue else 0, fixed, daily)


def beyond(dues: Sequence[Due], seller: UUID, minor: int, short_minor: int) -> tuple[Share, ...]:
    """Return to whom interest goes that came beyond the debt itself; the shares sum to it.

    First what the holders' late charge had to go without, because the residual could not bear it, by largest remainder
    over their principal; the rest is the seller's residual, out of which the late charge was taken before.
    """
    holders = [due for due in dues if due.step == Step.PRINCIPAL and due.due_minor]
    to_holders = min(minor, short_minor) if holders else 0
    parts = allocate(to_holders, [due.due_minor for due in holders]) if to_holders else []
    shares = [Share(Step.LATE_CHARGE, due.party, part) for due, part in zip(holders, parts, strict=False) if part]
    if minor > to_holders:
        shares.append(Share(Step.RESIDUAL, seller, minor - to_holders))
    return tuple(shares)


def grown(dues: Sequence[Due], shares: Sequence[Share]) -> list[Due]:
    """Return the dues grown by exactly these shares."""
    wanted = {(share.step, share.party): share.minor for share in shares}
    known = {(due.step, due.party) for due in dues}
    changed = [replace(due, due_minor=due.due_minor + wanted.get((due.step, due.party), 0)) for due in dues]
    return changed + [Due(step, party, part) for (step, party), part in wanted.items() if (step, party) not in known]


def together(one: Sequence[Share], other: Sequence[Share]) -> tuple[Share, ...]:
    """Return two sets of shares as one: nobody is named twice at one step."""
    sums: dict[tuple[Step, UUID | None], int] = {}
    for share in (*one, *other):
        sums[share.step, share.party] = sums.get((share.step, share.party), 0) + share.minor
    return tuple(Share(step, party, minor) for (step, party), minor in sums.items())

"""Sums, currencies and dates of two claims."""

from collections.abc import Iterator
from datetime import date

from marketplace.kernel.words import N_
from marketplace.receivables.matching.claim import Claim, Finding

# Rates of VAT in percent by which a sum may have been moved between net and gross.
# Source: standard rates of the EU and its neighbours, 2026.
VAT_RATES = (15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 27)
ROUND_MINOR = (10_000, 1_000)
PENNIES_MAX = 2
PRICE_ENDS, ODD_MINOR_MIN = frozenset((0, 50, 95, 99)), 10_000
DUE_BUCKET_DAYS = 7
DAYS_VERY_NEAR, DAYS_NEAR, DAYS_FAR = 5, 20, 120


def about_sums(new: Claim, old: Claim, explained: bool) -> Iterator[Finding]:
    """Yield what the sums say. Of two sums that agree, an odd one says more than a round one.

    That they differ says nothing where the lines explain it, or the currencies differ.
    """
    if new.money and old.money and new.money != old.money:
        said: dict[str, object] = {"new": new.currency, "old": old.currency}
        yield Finding("other_currency", -10, N_("One is in %(new)s, the other in %(old)s."), said)
        explained = True
    code = amounts(new, old)
    if code and not (explained and code == "other_amount"):
        words, weight = SAID[code]
        said = {"new": _written(new.amount_minor), "old": _written(old.amount_minor)}
        yield Finding(code, weight - _roundness(new, code), words, said)


SAID = {
    "same_amount": (N_("The same amount, %(new)s."), 45),
    "amount_to_a_penny": (N_("The amounts %(new)s and %(old)s differ by a penny or two."), 45),
    "amount_closest": (N_("The amounts %(new)s and %(old)s differ by less than one in a thousand."), 42),
    "amount_close": (N_("The amounts %(new)s and %(old)s differ by less than two percent."), 30),
    "same_basis": (N_("The amounts %(new)s and %(old)s rest on the same sum before tax or payments on account."), 38),
    "basis_close": (N_("But for payments on account the amounts %(new)s and %(old)s are near each other."), 26),
    "net_and_gross": (N_("The amounts %(new)s and %(old)s are apart by a rate of VAT."), 15),
    "half_amount": (N_("One of the amounts %(new)s and %(old)s is half the other."), 26),
    "part_amount": (N_("One of the amounts %(new)s and %(old)s is a round part of the other."), 0),
    "amount_near": (N_("The amounts %(new)s and %(old)s differ by less than six percent."), 5),
    "other_amount": (N_("The amounts %(new)s and %(old)s differ."), -25),
}


def amounts(new: Claim, old: Claim) -> str:
    """Return how two faces relate: a code of `SAID`, or nothing where one is not said. Symmetric."""
    if new.amount_minor is None or old.amount_minor is None:
        return "same_basis" if set(new.sums) & set(old.sums) else ""
    less, more = sorted((abs(new.amount_minor), abs(old.amount_minor)))
    gap = more - less
    if gap == 0:
        return "same_amount"
    if gap <= PENNIES_MAX and more >= ODD_MINOR_MIN:
        return "amount_to_a_penny"
    if gap * 1_000 <= more:
        return "amount_closest"
    if gap * 50 <= more:
        return "amount_close"
    if set(new.sums) & set(old.sums):
        return "same_basis"
    if (new.prepaid_minor or 0) != (old.prepaid_minor or 0) and (apart := _wholes_apart(new, old)) <= 0.02:
        return "same_basis" if apart <= 0.0002 else "basis_close"
    if abs(less * 2 - more) <= 1:
        return "half_amount"
    if less * 128 > more * 100 and any(abs(less * (100 + rate) - more * 100) <= 100 for rate in VAT_RATES):
        return "net_and_gross"
    if gap * 100 <= 6 * more:
        return "amount_near"
    return "part_amount" if new.goods.lumped != old.goods.lumped and _round_part(less, more) else "other_amount"


def _wholes_apart(new: Claim, old: Claim) -> float:
    """Return by what part two sums differ before anything was paid on account."""
    wholes = [claim.total_minor or (claim.amount_minor or 0) + (claim.prepaid_minor or 0) for claim in (new, old)]
    return abs(wholes[0] - wholes[1]) / max(1, *map(abs, wholes))


def _round_part(less: int, more: int) -> bool:
    """Say whether one sum is a multiple of five percent, a third or two thirds of the other, to the penny."""
    percent = round(less * 20 / more) * 5
    if abs(less * 100 - percent * more) <= 100 and percent:
        return True
    return any(abs(less * 3 - more * part) <= 3 for part in (1, 2))


def coincidence(new: Claim, old: Claim, code: str, one_order: bool) -> int:
    """Return what it says that other goods come to the same odd sum, to a penny or two, or to half of it.

    Two honest invoices of one seller to one debtor agree by their goods, not in spite of them: so it is where one gives
    an account of its sum and the other a lump. Prices end on 00, 50, 95 and 99, and such sums agree by chance; a round
    part of a sum is no accident within one order.
    """
    if new.amount_minor is None or old.amount_minor is None or new.money != old.money:
        return 0
    if new.goods.lumped == old.goods.lumped:
        return 0
    less, more = sorted((abs(new.amount_minor), abs(old.amount_minor)))
    if one_order and code in ("half_amount", "part_amount"):
        return 85
    if any(amount % 100 in PRICE_ENDS for amount in (less, more)) or less < ODD_MINOR_MIN:
        return 0
    if more - less <= 2:
        return 55
    return 85 if code == "half_amount" else 0


def _roundness(claim: Claim, code: str) -> int:
    """Return what an agreement says less for being on a round sum: such sums agree by chance."""
    amount = claim.amount_minor or 0
    if code != "same_amount" or not amount:
        return 0
    if amount % ROUND_MINOR[0] == 0:
        return 15
    return 8 if amount % ROUND_MINOR[1] == 0 else 0


def _written(minor: int | None) -> str:
    return "-" if minor is None else f"{minor / 100:,.2f}"


def about_dates(new: Claim, old: Claim, one_pair: bool) -> Iterator[Finding]:
    """Yield what the dates say. Between other parties (not `one_pair`) only dates very near each other say anything.

    Where the two pay at once or not by the same terms, the day of issue says it all: terms are agreed between two once.
    """
    mine, theirs = days(new, old)
    if mine and theirs:
        apart = abs((mine - theirs).days)
        lone = one_pair and (not (new.due_on and old.due_on) or (apart == 0 and new.due_on != old.due_on))
        said: dict[str, object] = {"new": mine.isoformat(), "old": theirs.isoformat(), "days": apart}
        if apart == 0:
            yield Finding("same_issue_date", 37 if lone else 25, N_("Issued on the same day, %(new)s."), said)
        elif apart <= (DAYS_NEAR if one_pair else DAYS_VERY_NEAR):
            weight = (20 if lone else 14) - apart * 7 // 10
            yield Finding("issued_near", weight, N_("Issued %(days)s days apart."), said)
        elif _turned(mine, theirs) and (new.due_on is None or old.due_on is None or new.due_on == old.due_on):
            yield Finding("day_for_month", 15, N_("Issued %(new)s and %(old)s: day and month changed about."), said)
        elif apart > DAYS_NEAR:
            weight = -25 if one_pair and apart <= DAYS_FAR else -35
            yield Finding("issued_apart", weight, N_("Issued %(days)s days apart."), said)
    if new.due_on and old.due_on:
        apart = abs((new.due_on - old.due_on).days)
        said = {"new": new.due_on.isoformat(), "old": old.due_on.isoformat(), "days": apart}
        if apart == 0:
            yield Finding("same_due_date", 12, N_("Due on the same day, %(new)s."), said)
        elif apart <= DUE_BUCKET_DAYS:
            yield Finding("due_together", 6, N_("Due %(days)s days apart."), said)


def _turned(one: date, other: date) -> bool:
    """Say whether two dates differ by day and month changed about: 2026-07-05 and 2026-05-07."""
    return (one.year, one.month, one.day) == (other.year, other.day, other.month)


def days(new: Claim, old: Claim) -> tuple[date | None, date | None]:
    """Return the days to compare: those of issue, or of maturity where one does not say when it was issued."""
    if new.issued_on and old.issued_on:
        return new.issued_on, old.issued_on
    return new.due_on, old.due_on

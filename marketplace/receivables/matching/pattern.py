"""Honest reasons for two invoices to look alike: the monthly bill, the second instalment, the next delivery."""

from collections.abc import Iterator
from datetime import date, timedelta

from marketplace.kernel.words import N_
from marketplace.receivables.matching import number
from marketplace.receivables.matching.claim import Claim, Finding
from marketplace.receivables.matching.identifying import identified_apart
from marketplace.receivables.matching.money import days
from marketplace.receivables.matching.particulars import one_period, told_apart

MONTH_SLACK_DAYS = 3
WEEK_DAYS = 7
WORDS = {
    "period": ("other_period", -60, N_("They say that they are for different periods.")),
    "position": ("other_part", -60, N_("They say that they are different parts or instalments.")),
    "identifier": (
        "other_identifiers",
        -70,
        N_("They are the same but for a number or name that tells what is billed."),
    ),
    "label": ("other_particulars", -40, N_("They name different sites, deliveries or the like.")),
}


def about_patterns(new: Claim, old: Claim, edited: bool) -> Iterator[Finding]:
    """Yield the honest patterns that two claims follow.

    Where the number was edited, not counted on, or one names the other's, no pattern of dates excuses them.
    """
    particulars = new.goods.particulars, old.goods.particulars
    apart = told_apart(*particulars)
    if not edited and identified_apart(new.goods.read_lines, old.goods.read_lines):
        apart = *(what for what in apart if what != "label"), "identifier"
    for what in apart:
        yield Finding(*WORDS[what])
    one_sided = bool(particulars[0].positions) != bool(particulars[1].positions)
    as_large = new.amount_minor is not None and new.amount_minor == old.amount_minor
    if one_sided and not apart and new.goods.lines and old.goods.lines and as_large:
        yield Finding("part_of_other", -30, N_("One says that it is a part, and is as large as the other."))
    mine, theirs = days(new, old)
    if not edited and not (new.issued_on or old.issued_on or new.due_on or old.due_on):
        yield Finding("undated", -20, N_("Neither says when: they may be bills of two months."))
    if edited or not mine or not theirs:
        return
    if one_period(*particulars) or particulars[0].positions & particulars[1].positions:
        return  # the same month, or the same milestone: not the next of a series
    rhythmic = rhythm(mine, theirs)
    if rhythmic and _moved_together(new, old):
        later = number.order(new.read, old.read) * ((mine > theirs) - (mine < theirs))
        weight = {1: -65, 0: -40, -1: -10}[later]
        if rhythmic == "month":
            yield Finding("regular_months", weight, N_("Whole months apart: perhaps a regular bill."))
        else:
            yield Finding("regular_weeks", weight, N_("Whole weeks apart: perhaps a regular bill."))


def rhythm(one: date, other: date) -> str:
    """Return "month" or "week" where whole ones lie between two days, else nothing."""
    early, late = sorted((one, other))
    apart = (late - early).days
    if apart >= 28 - MONTH_SLACK_DAYS:
        months = (late.year - early.year) * 12 + late.month - early.month
        between = abs(late.day - early.day)
        last_days = all((day + timedelta(days=MONTH_SLACK_DAYS)).month != day.month for day in (early, late))
        if months and (between <= MONTH_SLACK_DAYS or last_days):
            return "month"
        if 31 - between <= MONTH_SLACK_DAYS:  # the first of a month and the last of another
            return "month"
    return "week" if apart and apart % WEEK_DAYS == 0 else ""


def _moved_together(new: Claim, old: Claim) -> bool:
    """Say whether the due date moved with the date of issue: terms are the same from month to month."""
    if not (new.due_on and old.due_on and new.issued_on and old.issued_on):
        return True
    return abs(((new.due_on - new.issued_on) - (old.due_on - old.issued_on)).days) <= MONTH_SLACK_DAYS

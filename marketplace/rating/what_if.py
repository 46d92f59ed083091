"""What would change a party's grade: its accounts filed on time, the year before beside them, stronger figures. Pure.

Each case changes the balance sheet as the words say and rates it again by the same model. The cases are worked out,
not promised: an operator's override, and what the market learns later, are not in them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

from marketplace.kernel.policy import Rating
from marketplace.kernel.words import N_
from marketplace.rating.behaviour import PaymentRecord
from marketplace.rating.filing import Filing, Year
from marketplace.rating.grades import grade_of
from marketplace.rating.model import Model, pd_ppm
from marketplace.rating.ratios import Sight, look
from marketplace.rating.rules import pd_of_all, plus_months
from marketplace.rating.sheet import complete

TENTH = Decimal("0.1")


@dataclass(frozen=True)
class Case:
    """One case: its words and their parameters, and the PD and grade it would give; None: it could not be rated."""

    name: str
    words: str
    params: Mapping[str, date]
    pd_ppm: int | None
    grade: str | None


def cases(model: Model, filing: Filing, record: PaymentRecord, today: date, policy: Rating) -> list[Case]:
    """Return what the party could do, each with the grade it would give; empty when it cannot be rated at all."""
    now = look(filing)
    if now is None:
        return []
    due, lapses = (plus_months(filing.period_end, months)
                   for months in (policy.accounts_due_months, policy.filing_months_max))  # fmt: skip
    overdue = today > due

    def rated(name: str, words: str, sight: Sight | None, late: bool = overdue, **params: date) -> Case:
        if sight is None:
            return Case(name, words, params, None, None)
        of_accounts = pd_ppm(model, sight, policy.pd_prior_ppm, policy.pd_floor_ppm)
        pd = pd_of_all(of_accounts, late, record, policy)
        return Case(name, words, params, pd, grade_of(pd, policy.grade_bounds_ppm))

    found = []
    if overdue:
        found.append(rated("on_time", N_("With accounts filed on time, and the same figures"), now, late=False))
    else:
        found.append(rated("filed_late", N_("If the next accounts are not filed by %(day)s"), now, late=True,
                           day=due))  # fmt: skip
    found.append(rated("not_filed", N_("If they are not filed by %(day)s either"), None, day=lapses))
    if filing.prior is None or not _has(now, "growth"):
        found.append(rated("with_prior", N_("With last year's figures beside them, unchanged from this year's"),
                           look(replace(filing, prior=_year_before(filing.current)))))  # fmt: skip
    found.append(rated("capital", N_("With a tenth of assets put in as equity, kept in cash"), look(_capital(filing))))
    found.append(rated("repaid", N_("With a tenth of assets paid off what is due within a year, out of cash"),
                       look(_repaid(filing))))  # fmt: skip
    return found


def _has(sight: Sight, name: str) -> bool:
    return name in sight.ratios


def _year_before(year: Year) -> Year:
    return replace(year, end=plus_months(year.end, -12))


def _capital(filing: Filing) -> Filing:
    """Put a tenth of assets in as share capital: cash, current assets and net assets rise alike."""
    part = _part(filing)
    return _changed(filing, {"cash": part, "current_assets": part, "net_assets": part, "equity": part,
                             "net_current": part, "less_current": part})  # fmt: skip


def _repaid(filing: Filing) -> Filing:
    """Pay a tenth of assets off short debts, as far as there are debts and current assets."""
    sheet = complete(filing.current)
    part = _part(filing)
    if sheet is not None:
        part = max(Decimal(0), min(part, sheet.current_liabilities, sheet.current_assets))
    owed = ("creditors_within_one_year", "creditors_within_wide")
    down = {"cash": -part, "current_assets": -part}
    for name in owed:
        value = filing.current.get(name)
        if value is not None:
            # Some tag what is owed below zero.
            down[name] = -part if value >= 0 else part
    return _changed(filing, down)


def _part(filing: Filing) -> Decimal:
    sheet = complete(filing.current)
    return sheet.total_assets * TENTH if sheet else Decimal(0)


def _changed(filing: Filing, changes: Mapping[str, Decimal]) -> Filing:
    values = dict(filing.current.values)
    for name, change in changes.items():
        if name in values:
            values[name] = values[name] + change
    return replace(filing, current=replace(filing.current, values=values))

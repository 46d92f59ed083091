"""Whose accounts these are, whether they are fresh, and why a party cannot be rated. Pure; every reason at once."""

from calendar import monthrange
from datetime import date

from marketplace.kernel.actors import Role
from marketplace.kernel.errors import Problem
from marketplace.kernel.policy import Rating
from marketplace.kernel.words import N_
from marketplace.rating.behaviour import PaymentRecord, blended_pd_ppm
from marketplace.rating.figures import normal_company_number
from marketplace.rating.filing import Filing
from marketplace.rating.grades import MILLION

NO_ACCOUNTS, STALE, THIN = "no_accounts", "accounts_stale", "accounts_thin"
INSOLVENT = "insolvent"
OBSTACLES = {
    NO_ACCOUNTS: N_("No accounts are on file."),
    STALE: N_("The accounts on file are too old: newer ones must be filed."),
    THIN: N_("The accounts on file do not show assets and net assets."),
    INSOLVENT: N_("The companies register says that it is insolvent: accounts from before tell nothing."),
}


def plus_months(day: date, months: int) -> date:
    """Return the same day of a later month, or that month's last day."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def is_stale(period_end: date, today: date, months_max: int) -> bool:
    """Return whether accounts of this date are too old: a UK company's next ones are overdue well before."""
    return today > plus_months(period_end, months_max)


def filing_problems(filing: Filing, legal_id: str | None, country: str, today: date, attested: str | None, role: Role
                    ) -> list[Problem]:  # fmt: skip
    """Return every reason why these accounts cannot be taken for this organisation; empty when they can.

    A number that differs is never attested away by a person. A missing one needs an operator's words. The console
    alone may lend a party accounts of another company or year: a demonstration on real documents has no others.
    """
    if attested and role == Role.SYSTEM:
        return []
    problems = []
    own = normal_company_number(legal_id) if legal_id and country == "GB" else None
    if own and filing.company_number and own != filing.company_number:
        problems.append(Problem("company_number", "other_company",
                                N_("These are the accounts of company %(found)s; this organisation is %(own)s."),
                                {"found": filing.company_number, "own": own}))  # fmt: skip
    elif not (own and filing.company_number) and (attested is None or role not in (Role.OPERATOR, Role.SYSTEM)):
        problems.append(Problem("company_number", "unknown_number",
                                N_("No company number shows that these accounts are this organisation's. "
                                   "An operator may attest it, with the reason.")))  # fmt: skip
    if filing.period_end > today:
        problems.append(Problem("period_end", "future", N_("The balance sheet date %(day)s lies in the future."),
                                {"day": filing.period_end.isoformat()}))  # fmt: skip
    return problems


def filing_faults(filing: Filing, today: date, months_max: int, assets_known: bool) -> list[Problem]:
    """Return what is wrong with accounts that are taken nevertheless: what the reader found, age, thinness."""
    faults = list(filing.faults)
    if is_stale(filing.period_end, today, months_max):
        faults.append(Problem("period_end", "stale", N_("The accounts are older than %(months)s months."),
                              {"months": months_max}))  # fmt: skip
    if not assets_known:
        faults.append(Problem("net_assets", "thin", OBSTACLES[THIN]))
    return faults


def obstacle(period_end: date | None, assets_known: bool, today: date, months_max: int) -> str | None:
    """Return why a party with these newest accounts cannot be rated, as a code of OBSTACLES, or None."""
    if period_end is None:
        return NO_ACCOUNTS
    if is_stale(period_end, today, months_max):
        return STALE
    return None if assets_known else THIN


def pd_of_all(of_accounts_ppm: int, overdue: bool, record: PaymentRecord, policy: Rating) -> int:
    """Return the PD of the accounts, raised when the next ones are overdue, blended with the debtor's own record."""
    raised = -(-of_accounts_ppm * policy.accounts_overdue_ppm // MILLION) if overdue else of_accounts_ppm
    return blended_pd_ppm(min(MILLION, raised), record, policy)

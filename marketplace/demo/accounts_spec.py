"""Balance sheets of fictional companies: chosen figures that always balance, in whole pounds."""

import random
from dataclasses import dataclass, replace
from datetime import date
from typing import Literal

Standard = Literal["FRS-102", "FRS-105"]
Strength = Literal["strong", "middling", "weak"]


@dataclass(frozen=True)
class Balance:
    """One balance sheet in whole pounds; liabilities are positive numbers. What is derived is derived,
    never typed."""

    fixed_assets: int
    stocks: int
    debtors: int
    cash: int
    creditors_within: int
    creditors_after: int
    provisions: int
    share_capital: int
    employees: int
    turnover: int = 0
    profit: int = 0

    @property
    def current_assets(self) -> int:
        """Stocks, debtors and cash."""
        return self.stocks + self.debtors + self.cash

    @property
    def net_current(self) -> int:
        """Current assets less creditors due within one year."""
        return self.current_assets - self.creditors_within

    @property
    def less_current(self) -> int:
        """Total assets less current liabilities."""
        return self.fixed_assets + self.net_current

    @property
    def net_assets(self) -> int:
        """What belongs to the members; equals share capital and retained earnings."""
        return self.less_current - self.creditors_after - self.provisions

    @property
    def retained(self) -> int:
        """Profit and loss reserve."""
        return self.net_assets - self.share_capital


@dataclass(frozen=True)
class AccountsSpec:
    """Accounts to be made up: one company, one year end, this year and the one before."""

    name: str
    company_number: str
    period_end: date
    current: Balance
    prior: Balance | None
    standard: Standard = "FRS-102"
    in_thousands: bool = False

    @property
    def prior_end(self) -> date:
        """The balance sheet date one year earlier."""
        return _year_before(self.period_end)


def _year_before(day: date) -> date:
    last = day.month == 2 and day.day == 29
    return date(day.year - 1, day.month, 28 if last else day.day)


# Share of total assets: fixed, stocks, debtors, cash; then creditors within and after one year. In
# hundredths.
SHAPES: dict[Strength, tuple[int, int, int, int, int, int]] = {
    "strong": (30, 15, 25, 30, 22, 6),
    "middling": (38, 18, 32, 12, 44, 14),
    "weak": (46, 20, 30, 4, 78, 26),
}
GROWTH: dict[Strength, int] = {"strong": 108, "middling": 101, "weak": 90}


def balances(strength: Strength, total_assets: int, seed: int) -> tuple[Balance, Balance]:
    """Return this year's and last year's balance sheet for a company of that strength and size, from the
    seed."""
    dice = random.Random(f"{seed}/{strength}/{total_assets}")  # noqa: S311 (figures for show)
    current = _balance(strength, total_assets, dice)
    prior = _balance(strength, total_assets * 100 // GROWTH[strength], dice)
    profit = current.net_assets - prior.net_assets
    return replace(current, profit=profit, share_capital=prior.share_capital), prior


def _balance(strength: Strength, total_assets: int, dice: random.Random) -> Balance:
    def part(hundredths: int) -> int:
        return total_assets * (hundredths * 100 + dice.randrange(-120, 121)) // 10_000

    fixed, stocks, debtors, _, within, after = (part(share) for share in SHAPES[strength])
    return Balance(
        fixed_assets=fixed,
        stocks=stocks,
        debtors=debtors,
        cash=max(total_assets - fixed - stocks - debtors, total_assets // 200),
        creditors_within=within,
        creditors_after=after,
        provisions=total_assets // 100,
        share_capital=1_000 if total_assets < 5_000_000 else 250_000,
        employees=max(2, total_assets // 55_000),
        turnover=total_assets * {"strong": 190, "middling": 165, "weak": 120}[strength] // 100,
    )

"""What a set of accounts is, once read: two years of tagged figures, and what is wrong with them. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from marketplace.kernel.errors import Problem

# What `bin/market filings read` gives for each year.
REPORTED = ("fixed_assets", "current_assets", "debtors", "cash", "creditors_within_one_year",
            "creditors_after_one_year", "net_assets", "pl_reserve", "employees")  # fmt: skip


@dataclass(frozen=True)
class Year:
    """One balance sheet as tagged: every figure by name, absent ones left out. Never zero for absent."""

    end: date
    months: int | None
    values: Mapping[str, Decimal]

    def get(self, name: str) -> Decimal | None:
        """Return a figure, or None when it was not tagged."""
        return self.values.get(name)


@dataclass(frozen=True)
class Filing:
    """One set of accounts as read. `company_number` has eight characters, or is None."""

    filename: str
    company_number: str | None
    company_name: str | None
    current: Year
    prior: Year | None
    dormant: bool
    faults: tuple[Problem, ...] = field(default=())

    @property
    def period_end(self) -> date:
        """The newer balance sheet date."""
        return self.current.end

    @property
    def prior_period_end(self) -> date | None:
        """The older balance sheet date, when the file holds one."""
        return self.prior.end if self.prior else None

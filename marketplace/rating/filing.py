"""What a set of accounts is, once read: two years of tagged figures, and what is wrong with them. Pure."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from marketplace.kernel.errors import Problem
from marketplace.rating.numbers import plain

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

    def to_json(self) -> dict[str, Any]:
        """Return the filing as JSON keeps it: decimals and dates as texts."""
        return {
            "filename": self.filename,
            "company_number": self.company_number,
            "company_name": self.company_name,
            "current": _year_json(self.current),
            "prior": _year_json(self.prior) if self.prior else None,
            "dormant": self.dormant,
            "faults": [asdict(fault) | {"params": dict(fault.params)} for fault in self.faults],
        }

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> "Filing":
        """Return the filing that `to_json` wrote."""
        return cls(
            filename=kept["filename"],
            company_number=kept["company_number"],
            company_name=kept["company_name"],
            current=_year(kept["current"]),
            prior=_year(kept["prior"]) if kept["prior"] else None,
            dormant=kept["dormant"],
            faults=tuple(Problem(**fault) for fault in kept["faults"]),
        )


def _year_json(year: Year) -> dict[str, Any]:
    return {
        "end": year.end.isoformat(),
        "months": year.months,
        "values": {name: plain(value) for name, value in year.values.items()},
    }


def _year(kept: Mapping[str, Any]) -> Year:
    values = {name: Decimal(text) for name, text in kept["values"].items()}
    return Year(date.fromisoformat(kept["end"]), kept["months"], values)

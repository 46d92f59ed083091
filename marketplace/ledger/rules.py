"""Double entry, pure: the chart of accounts and what a sound entry is."""

import tomllib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from uuid import UUID

from marketplace.kernel.errors import IntegrityBreach

CHART = Path(__file__).resolve().parents[2] / "config" / "chart_of_accounts.toml"


@dataclass(frozen=True)
class AccountKind:
    """One line of the chart of accounts."""

    code: str
    pool: str
    kind: str
    owner: str
    guarded: bool

    @property
    def side(self) -> int:
        """+1 where debits increase the balance (assets, expenses), −1 where credits do."""
        return 1 if self.kind in ("asset", "expense") else -1


@dataclass(frozen=True)
class Leg:
    """One side of an entry: `minor` > 0 is a debit, `minor` < 0 a credit."""

    account_id: UUID
    minor: int


@dataclass(frozen=True)
class Debits:
    """What is debited to accounts of one code of many organisations: `minors` > 0 by the owner's id, as a text."""

    code: str
    currency: str
    minors: Mapping[str, int]


def debit(account_id: UUID, minor: int) -> Leg:
    """Return a leg that debits `minor` ≥ 0."""
    return Leg(account_id, _whole(minor))


def credit(account_id: UUID, minor: int) -> Leg:
    """Return a leg that credits `minor` ≥ 0."""
    return Leg(account_id, -_whole(minor))


def _whole(minor: int) -> int:
    if not isinstance(minor, int) or minor < 0:
        raise IntegrityBreach("bad_leg", "A leg takes whole minor units, not below zero.")
    return minor


def netted(legs: Iterable[Leg]) -> list[Leg]:
    """Return the legs summed by account, without empty ones, in account order (which is the lock order)."""
    sums: dict[UUID, int] = defaultdict(int)
    for leg in legs:
        sums[leg.account_id] += leg.minor
    return [Leg(account_id, minor) for account_id, minor in sorted(sums.items(), key=_by_account) if minor]


def _by_account(sum_of: tuple[UUID, int]) -> int:
    return sum_of[0].int


@cache
def chart() -> dict[str, AccountKind]:
    """Return the chart of accounts by code."""
    lines = tomllib.loads(CHART.read_text(encoding="utf-8"))
    return {
        code: AccountKind(code, line["pool"], line["kind"], line["owner"], line.get("guarded", False))
        for code, line in lines.items()
    }

"""Money is whole minor units of one currency. There is no division: sums are allocated, or rounded by name."""

from collections.abc import Sequence
from dataclasses import dataclass

from marketplace.kernel.errors import InvalidInput
from marketplace.kernel.words import N_

# Minor-unit digits of the currencies a market may use. Source: ISO 4217 list one.
EXPONENTS = {"GBP": 2, "EUR": 2, "HKD": 2, "USD": 2, "CNY": 2, "SEK": 2, "NOK": 2, "DKK": 2, "CHF": 2,
             "PLN": 2, "CZK": 2, "HUF": 2, "RON": 2, "BGN": 2, "JPY": 0}  # fmt: skip


@dataclass(frozen=True, order=False)
class Money:
    """An amount in minor units of an ISO 4217 currency. Negative amounts are allowed; mixing currencies is not."""

    minor: int
    currency: str

    def __post_init__(self) -> None:
        if not isinstance(self.minor, int) or isinstance(self.minor, bool):
            raise TypeError("Money takes whole minor units")

    def __add__(self, other: "Money") -> "Money":
        self._same(other)
        return Money(self.minor + other.minor, self.currency)

    def __sub__(self, other: "Money") -> "Money":
        self._same(other)
        return Money(self.minor - other.minor, self.currency)

    def _same(self, other: "Money") -> None:
        if self.currency != other.currency:
            raise TypeError(f"{self.currency} and {other.currency} do not add up")


def exponent(currency: str) -> int:
    """Return the number of minor-unit digits of a currency.

    Raises: InvalidInput("unknown_currency").
    """
    if currency not in EXPONENTS:
        raise InvalidInput("unknown_currency", N_("%(currency)s is not a currency this market knows."),
                           {"currency": currency})  # fmt: skip
    return EXPONENTS[currency]


def allocate(total: int, weights: Sequence[int]) -> list[int]:
    """Share `total` minor units by `weights` so that the parts sum to it exactly.

    Largest remainder; ties go to the lower index. Weights are ≥ 0 and not all zero unless the total is zero.
    """
    whole = sum(weights)
    if total < 0 or any(w < 0 for w in weights):
        raise ValueError("totals and weights are not negative")
    if whole == 0:
        if total == 0:
            return [0] * len(weights)
        raise ValueError("nobody to share with")
    parts = [total * w // whole for w in weights]
    remainders = [total * w % whole for w in weights]
    left = total - sum(parts)
    for index in sorted(range(len(weights)), key=lambda i: (-remainders[i], i))[:left]:
        parts[index] += 1
    return parts


def bps_of(minor: int, bps: int) -> int:
    """Return ⌊minor × bps / 10⁴⌋: the platform never rounds a fee or an advance up."""
    return minor * bps // 10_000

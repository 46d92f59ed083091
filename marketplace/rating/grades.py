"""Nine grades by the upper bound of the twelve-month PD, and the PD of a shorter time. Pure; whole numbers out.

All PDs are parts per million. Bounds, floor and ages come from policy.
"""

from collections.abc import Sequence
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Decimal, localcontext

from marketplace.kernel.errors import InvalidInput
from marketplace.kernel.words import N_

GRADES = ("A+", "A", "A-", "B+", "B", "B-", "C", "D", "E")
MILLION = 1_000_000
YEAR_DAYS = 365


def grade_of(pd_ppm: int, bounds_ppm: Sequence[int]) -> str:
    """Return the best grade whose upper bound is not below the PD; the bound itself belongs to the better grade."""
    for grade, bound in zip(GRADES, bounds_ppm, strict=True):
        if pd_ppm <= bound:
            return grade
    return GRADES[-1]


def floored(pd_ppm: int, floor_ppm: int) -> int:
    """Return the PD, never below the floor: nobody is certain to pay."""
    return max(pd_ppm, floor_ppm)


def tenor_pd_ppm(pd_ppm: int, tenor_days: int) -> int:
    """Return 1 - (1 - PD)^(T/365), rounded up to the next millionth: a risk is never rounded away.

    Raises: InvalidInput for a PD outside 0…100 % or a tenor below zero.
    """
    if not 0 <= pd_ppm <= MILLION or tenor_days < 0:
        raise InvalidInput("pd_range", N_("A PD lies between 0 and 100 %, and a tenor is not negative."))
    with localcontext() as context:
        context.prec = 40
        stays = (Decimal(MILLION - pd_ppm) / MILLION) ** (Decimal(tenor_days) / YEAR_DAYS)
        return int(((1 - stays) * MILLION).quantize(Decimal("1e-9"), ROUND_HALF_EVEN).to_integral_value(ROUND_CEILING))

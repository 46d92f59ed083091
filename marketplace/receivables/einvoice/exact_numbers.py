"""Decimal text as exact numbers: fractions inside, whole minor units outside, never a float."""

import re
from datetime import date
from fractions import Fraction

from marketplace.kernel.errors import InvalidInput
from marketplace.kernel.money import Money, exponent

# xs:decimal, bounded: no exponent, no more digits than any honest amount has.
DECIMAL = re.compile(r"[+-]?(\d{1,20}(\.\d{0,20})?|\.\d{1,20})")
DAY = re.compile(r"(\d{4})-(\d{2})-(\d{2})(Z|[+-]\d{2}:\d{2})?", re.ASCII)


def exact(text: str | None) -> Fraction | None:
    """Return the number a decimal text means, or None where it is absent or not a decimal."""
    if text is None or not text.isascii() or not DECIMAL.fullmatch(text):
        return None
    return Fraction(text.lstrip("+"))


def rounded(number: Fraction, digits: int = 2) -> Fraction:
    """Round half up (towards +∞) as XPath's round() does, which the EN 16931 rules are written in."""
    scale = 10**digits
    return Fraction((number * scale + Fraction(1, 2)).__floor__(), scale)


def decimals(text: str) -> int:
    """Return how many digits stand after the decimal point."""
    return len(text.partition(".")[2])


def money(text: str | None, currency: str | None) -> Money | None:
    """Return the amount in minor units, or None where text or currency is absent, unknown or not exact.

    Trailing zeros beyond the currency's digits lose nothing and are allowed; a true fraction of a minor
    unit is not.
    """
    number = exact(text)
    if number is None or currency is None:
        return None
    try:
        minor = number * 10 ** exponent(currency)
    except InvalidInput:
        return None
    return Money(minor.numerator, currency) if minor.denominator == 1 else None


def day(text: str | None) -> date | None:
    """Return the calendar day of an xs:date text (a zone is ignored), or None."""
    match = DAY.fullmatch(text or "")
    if not match:
        return None
    try:
        return date(int(match[1]), int(match[2]), int(match[3]))
    except ValueError:
        return None

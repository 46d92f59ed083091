"""Amounts and dates as plain text, for letters, notices and reasons: the same for every reader."""

from datetime import date

from marketplace.kernel.money import exponent


def plain_amount(minor: int, currency: str) -> str:
    """Return `GBP 48,600.00`."""
    digits = exponent(currency)
    whole, rest = divmod(minor, 10**digits)
    return f"{currency} {whole:,}" + (f".{rest:0{digits}d}" if digits else "")


def plain_day(day: date) -> str:
    """Return `2 October 2026`."""
    return f"{day.day} {day:%B %Y}"


def plain_percent(bps: int) -> str:
    """Return `7.35%`."""
    return f"{bps // 100}.{bps % 100:02d}%"

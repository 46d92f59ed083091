"""What forms need beyond their schema: problems beside their fields, and numbers as people type them."""

import re
from collections.abc import Iterable, Sequence
from datetime import date, datetime

from flask import Flask, current_app, flash

from marketplace.kernel.errors import InvalidInput, MarketplaceError, Problem
from marketplace.kernel.money import exponent
from marketplace.kernel.words import N_
from marketplace.web.format import translated

AMOUNT = re.compile(r"([0-9]{1,3}(?:[,  ][0-9]{3})+|[0-9]{1,15})(?:\.([0-9]{1,2}))?")
RATE = re.compile(r"([0-9]{1,3})(?:\.([0-9]{1,2}))?")
MINOR_MAX = 10**15  # of any amount that is typed: what a bid may be, and far below what a column can hold
SYMBOLS = {"GBP": "£", "EUR": "€", "HKD": "HK$", "USD": "US$", "CNY": "CN¥", "JPY": "¥"}


def field_id(name: str) -> str:
    """Return the element id of a field: stable, and safe in an address."""
    return "f-" + re.sub(r"[^A-Za-z0-9]+", "-", str(name)).strip("-")


def of_field(problems: Iterable[Problem] | None, name: str) -> list[Problem]:
    """Return the problems of one field."""
    return [problem for problem in problems or () if problem.field == name]


def reasons(error: MarketplaceError) -> tuple[Problem, ...]:
    """Return the problems of a refusal: its own, or the refusal itself as one that belongs to no field."""
    return error.problems or (Problem("", error.code, error.words, error.params),)


def status_of(error: MarketplaceError) -> int:
    """Return the HTTP status of a refusal, from the one table."""
    status: int = current_app.extensions["status_of"](error)
    return status


def say(words: str, kind: str = "good") -> None:
    """Show a message on the next page. The words are already in the reader's language; kinds as in `note`."""
    flash(words, kind)


def minor_of(text: str, currency: str, field: str = "amount") -> int:
    """Return minor units of an amount as people type it: `48,600`, `£48,600.00`, `10000.5`.

    Raises: InvalidInput naming the field.
    """
    bare = text.strip().removeprefix(SYMBOLS.get(currency, "")).removeprefix(currency).strip()
    found = AMOUNT.fullmatch(bare)
    digits = exponent(currency)
    decimals = (found.group(2) or "") if found else ""
    if found is None or len(decimals) > digits:
        raise InvalidInput.of_field(field, "amount", N_("Enter an amount like 10,000.00."))
    whole = int(re.sub(r"\D", "", found.group(1)))
    rest = int(decimals.ljust(digits, "0")) if digits else 0
    minor = whole * int(10**digits) + rest
    if minor > MINOR_MAX:
        raise InvalidInput.of_field(field, "too_much", N_("That is more than this market can count. Check the amount."))
    return minor


def bps_of_percent(text: str, field: str = "rate") -> int:
    """Return basis points of a yearly rate typed in per cent: `7.35` or `7.35%` → 735.

    Raises: InvalidInput naming the field.
    """
    found = RATE.fullmatch(text.strip().removesuffix("%").strip())
    if found is None:
        raise InvalidInput.of_field(field, "rate", N_("Enter a rate like 7.35, in per cent a year."))
    return int(found.group(1)) * 100 + int((found.group(2) or "").ljust(2, "0"))


def day_of(text: str, field: str = "day") -> date:
    """Return the date typed as 2026-10-02 (what a date field sends) or 2 Oct 2026.

    Raises: InvalidInput naming the field.
    """
    for pattern in ("%Y-%m-%d", "%d %b %Y", "%d %B %Y"):
        try:
            return datetime.strptime(text.strip(), pattern).date()  # noqa: DTZ007 a day has no zone
        except ValueError:
            continue
    raise InvalidInput.of_field(field, "day", N_("Enter a date like 2 Oct 2026."))


def joined(problems: Sequence[Problem]) -> str:
    """Return all reasons as one sentence each, for places without fields."""
    return " ".join(translated(p.words, p.params) for p in problems)


def install(app: Flask) -> None:
    """Give every template the two filters that the field macros use."""
    app.jinja_env.filters.update(field_id=field_id, of_field=of_field, reasons=reasons)

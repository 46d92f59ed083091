"""Business days by country, and the days on which a currency's banks settle.

Holidays come from the `holidays` package; an unknown country or currency has weekends only.
"""

from datetime import date, timedelta
from functools import lru_cache

import holidays

# Where a country's banks work by the calendar of one part of it: the package lists only what all parts share.
PARTS = {"GB": "ENG"}
# Currencies whose payments settle by a calendar of the payment system's own: T2 (the Eurosystem), the Federal Reserve.
SYSTEMS = {"EUR": "XECB", "USD": "XFED"}
HOMES = {"GBP": "GB", "CHF": "CH", "SEK": "SE", "NOK": "NO", "DKK": "DK", "PLN": "PL", "CZK": "CZ", "JPY": "JP",
         "CAD": "CA", "AUD": "AU", "NZD": "NZ", "SGD": "SG", "HKD": "HK", "INR": "IN"}  # fmt: skip


@lru_cache(maxsize=64)
def _calendar(country: str) -> holidays.HolidayBase | None:
    try:
        return holidays.country_holidays(country, subdiv=PARTS.get(country))
    except NotImplementedError:
        return None


@lru_cache(maxsize=64)
def _system(currency: str) -> holidays.HolidayBase | None:
    if currency in SYSTEMS:
        return holidays.financial_holidays(SYSTEMS[currency])
    return _calendar(HOMES[currency]) if currency in HOMES else None


def is_settlement_day(day: date, currency: str) -> bool:
    """Return whether banks settle payments in the currency (ISO 4217) that day."""
    calendar = _system(currency)
    return day.weekday() < 5 and (calendar is None or day not in calendar)


def settlement_day(day: date, currency: str) -> date:
    """Return the first day from `day` on, that day included, on which the currency's banks settle."""
    while not is_settlement_day(day, currency):
        day += timedelta(days=1)
    return day


def is_business_day(day: date, country: str) -> bool:
    """Return whether banks of the country (ISO 3166-1 alpha-2) work that day."""
    calendar = _calendar(country)
    return day.weekday() < 5 and (calendar is None or day not in calendar)


def next_business_day(day: date, country: str) -> date:
    """Return the first business day strictly after `day`."""
    return add_business_days(day, 1, country)


def add_business_days(day: date, count: int, country: str) -> date:
    """Return the day `count` ≥ 0 business days after `day`."""
    while count > 0:
        day += timedelta(days=1)
        if is_business_day(day, country):
            count -= 1
    return day

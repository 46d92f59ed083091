"""Business days by country. Holidays come from the `holidays` package; an unknown country has weekends only."""

from datetime import date, timedelta
from functools import lru_cache

import holidays


@lru_cache(maxsize=64)
def _calendar(country: str) -> holidays.HolidayBase | None:
    try:
        return holidays.country_holidays(country)
    except NotImplementedError:
        return None


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

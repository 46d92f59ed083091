"""The only reader of a real clock in Python. Deadlines are judged by the database's clock, see `db.market_now`."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo


def utc_now() -> datetime:
    """Return the machine's time, aware, in UTC."""
    return datetime.now(UTC)


def business_date(instant: datetime, zone: str) -> date:
    """Return the calendar date of an instant in the market's zone."""
    return instant.astimezone(ZoneInfo(zone)).date()

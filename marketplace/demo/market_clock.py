"""The market's clock, moved by the database's owner: only in a demonstration."""

from datetime import datetime

from sqlalchemy import Engine, text


class MarketClock:
    """Moves `market_now()` by writing the shift that no role of the application may write."""

    def __init__(self, owner: Engine) -> None:
        self._owner = owner

    def now(self) -> datetime:
        """Return the market's time."""
        with self._owner.connect() as connection:
            instant: datetime = connection.execute(text("SELECT market_now()")).scalar_one()
            return instant

    def move_to(self, instant: datetime) -> None:
        """Let the market's time be `instant` now, and go on from there. Never backwards.

        Raises: ValueError when the market is already later than that.
        """
        with self._owner.begin() as connection:
            if connection.execute(text("SELECT market_now() > :instant"), {"instant": instant}).scalar_one():
                raise ValueError("a market's clock does not go back")
            connection.execute(
                text("UPDATE clock_shift SET shift = :instant - clock_timestamp()"), {"instant": instant}
            )

    def begin_at(self, instant: datetime) -> None:
        """Let a market that has no event yet begin at `instant`."""
        with self._owner.begin() as connection:
            connection.execute(
                text(
                    "UPDATE clock_shift SET shift = :instant - clock_timestamp() WHERE NOT EXISTS (SELECT FROM event)"
                ),
                {"instant": instant},
            )

    def back_to_real_time(self) -> None:
        """Take the shift away, as the last step of filling a demonstration market.

        Raises: ValueError while the market's time is in the future.
        """
        with self._owner.begin() as connection:
            if connection.execute(text("SELECT market_now() > clock_timestamp() + interval '1 second'")).scalar_one():
                raise ValueError("a market's clock does not go back")
            connection.execute(text("UPDATE clock_shift SET shift = '0'"))

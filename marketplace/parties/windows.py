"""Counting attempts in PostgreSQL, so that several web workers share one limit.

A count must stand though the request it counts is refused and rolled back, so it has a statement of its own,
outside `perform`. It is no change of the market and leaves no event. Nobody waits for the disk either: a machine that
loses its power forgets the attempts of its last half second.
"""

import hashlib

from sqlalchemy import text
from sqlalchemy.engine import Engine

START = "date_bin(make_interval(secs => {seconds}), clock_timestamp(), TIMESTAMPTZ '2000-01-01 00:00+00')"
# Counts, as a part of a statement that may find out whose they are. `rows` says which; several come in the order of
# their keys, lest two statements wait for each other.
COUNT = f"""
    INSERT INTO rate_window (key, window_start, hits)
    SELECT {{key}}, {START}, {{weight}} FROM {{rows}}, set_config('synchronous_commit', 'off', true)
    ON CONFLICT (key, window_start) DO UPDATE SET hits = rate_window.hits + excluded.hits
    RETURNING hits, ceil(extract(epoch FROM window_start + make_interval(secs => {{seconds}}) - clock_timestamp()))::int
        AS wait"""  # noqa: S608 (parts of statements, nothing that anybody sent)
HIT = text(COUNT.format(key=":key", seconds=":seconds", weight="CAST(:weight AS integer)", rows="(SELECT) AS once"))
GIVE_BACK = text("""
    UPDATE rate_window SET hits = hits - 1 WHERE key = :key AND hits > 1
      AND window_start = date_bin(make_interval(secs => :seconds), clock_timestamp(), TIMESTAMPTZ '2000-01-01 00:00+00')
""")
SWEEP = text("DELETE FROM rate_window WHERE window_start < clock_timestamp() - interval '1 day'")


def hit(engine: Engine, what: str, limit: int, seconds: int, weight: int = 1) -> int:
    """Count an attempt at `what`, or `weight` at once; return 0 while the limit holds, else the seconds to wait."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        hits, wait = connection.execute(HIT, {"key": _key(what), "seconds": seconds, "weight": weight}).one()
        if hits == weight:
            connection.execute(SWEEP)
    return left(hits, wait, limit)


def left(hits: int, wait: int, limit: int) -> int:
    """Return the seconds to wait after so many counts; 0 while the limit holds."""
    return max(1, int(wait)) if hits > limit else 0


def give_back(engine: Engine, what: str, seconds: int) -> None:
    """Take one counted attempt back: it succeeded. One always stays, for the row may not reach zero."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(GIVE_BACK, {"key": _key(what), "seconds": seconds})


def _key(what: str) -> bytes:
    """Addresses are personal: only their hash is stored, and for a day at most."""
    return hashlib.sha256(what.encode()).digest()

"""Leader election: one scheduler counts at a time, and one that woke up too late is refused.

The leader holds an advisory lock on a connection of its own and says every few seconds that it is alive. One that
stopped (a suspended process keeps its connection, and with it the lock) is cut off by another after a while; when it
wakes it finds its connection gone and its token old.
"""

import contextlib
import os
import socket
import time
from typing import Any

from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.exc import DBAPIError

# "DUEBILLS" in ASCII: the advisory lock that the leading scheduler holds on a connection of its own.
LOCK = int.from_bytes(b"DUEBILLS", "big")
BEAT_SECONDS = 3.0  # the real clock's, as is `seen_at`: the market's own may jump
SILENT_SECONDS = 20  # after which whoever holds the lock is taken for stopped
JUST_NOW_SECONDS = 2
SIGNED = "duebill scheduler "


def holder() -> str:
    """Return what this scheduler is called: its machine and its process."""
    return f"{socket.gethostname()}:{os.getpid()}"


def sign_connections(engine: Engine) -> None:
    """Write the scheduler's name on every connection made from here on, so that another can end them all at once."""

    def sign(connection: Any, _record: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('application_name', %s, false)", (SIGNED + holder()[-40:],))
        connection.commit()

    event.listen(engine, "connect", sign)


class Leadership:
    """The advisory lock, the connection that holds it, and the fencing token of this election."""

    def __init__(self, engine: Engine, *, silent_seconds: int = SILENT_SECONDS) -> None:
        self._engine = engine
        self._connection: Connection | None = None
        self._beat = 0.0
        self._silent_seconds = silent_seconds
        self.token: int | None = None

    def seek(self) -> bool:
        """Try to become, or check that we still are, the leader. A broken connection ends the leadership."""
        try:
            if self._connection is None:
                self._connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            if self.token is None:
                return self._elected(self._connection)
            return self._still(self._connection)
        except DBAPIError:
            self.resign()
            return False

    def _elected(self, connection: Connection) -> bool:
        if not connection.execute(text("SELECT pg_try_advisory_lock(:lock)"), {"lock": LOCK}).scalar_one():
            self._cut_off_a_silent_one(connection)
            return False
        self.token = connection.execute(
            text(
                "UPDATE job_leader SET token = token + 1, holder = :holder, since = market_now(), "
                "seen_at = clock_timestamp() RETURNING token"
            ),
            {"holder": holder()},
        ).scalar_one()
        self._beat = time.monotonic()
        return True

    def _still(self, connection: Connection) -> bool:
        """Say that we are alive, now and then; a newer token means that we were cut off and replaced."""
        if time.monotonic() - self._beat < BEAT_SECONDS:
            connection.execute(text("SELECT 1"))
            return True
        ours = connection.execute(
            text("UPDATE job_leader SET seen_at = clock_timestamp() WHERE token = :token RETURNING token"),
            {"token": self.token},
        ).first()
        if ours is None:
            self.resign()
            return False
        self._beat = time.monotonic()
        return True

    def _cut_off_a_silent_one(self, connection: Connection) -> None:
        """End the connections of a leader that has said nothing for too long: the lock is free next time.

        All of them, for one may be in the middle of a transaction whose rows nobody else could touch.
        """
        connection.execute(
            text(
                "SELECT pg_terminate_backend(its.pid) FROM job_leader, pg_locks held "
                "JOIN pg_stat_activity holds ON holds.pid = held.pid JOIN pg_stat_activity its ON its.pid = held.pid "
                "OR (its.datname = holds.datname AND its.application_name = holds.application_name "
                "AND its.application_name LIKE :signed) WHERE held.locktype = 'advisory' AND held.granted "
                "AND held.objsubid = 1 AND holds.datname = current_database() "
                "AND (CAST(held.classid AS bigint) << 32) | CAST(held.objid AS bigint) = :lock "
                "AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
                "AND job_leader.seen_at < clock_timestamp() - make_interval(secs => :silent) "
                # who took the lock this moment has not said so yet, but its connection was used
                "AND holds.state_change < clock_timestamp() - make_interval(secs => :just_now)"
            ),
            {"lock": LOCK, "silent": self._silent_seconds, "just_now": JUST_NOW_SECONDS, "signed": f"{SIGNED}%"},
        )

    def resign(self) -> None:
        """Let go of the lock: say so while the connection lives, for a server ends a closed one only by and by."""
        token, self.token = self.token, None
        connection, self._connection = self._connection, None
        if connection is None:
            return
        with contextlib.suppress(DBAPIError):
            if token is not None and not connection.invalidated:
                connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": LOCK})
        connection.invalidate()
        connection.close()

"""Leader election: one scheduler counts at a time, and one that woke up too late is refused."""

import contextlib
import os
import socket

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

# "DUEBILLS" in ASCII: the advisory lock that the leading scheduler holds on a connection of its own.
LOCK = int.from_bytes(b"DUEBILLS", "big")


class Leadership:
    """The advisory lock, the connection that holds it, and the fencing token of this election."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: Connection | None = None
        self.token: int | None = None

    def seek(self) -> bool:
        """Try to become, or check that we still are, the leader. A broken connection ends the leadership."""
        try:
            if self._connection is None:
                self._connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            if self.token is None:
                return self._elected(self._connection)
            self._connection.execute(text("SELECT 1"))
            return True
        except DBAPIError:
            self.resign()
            return False

    def _elected(self, connection: Connection) -> bool:
        if not connection.execute(text("SELECT pg_try_advisory_lock(:lock)"), {"lock": LOCK}).scalar_one():
            return False
        holder = f"{socket.gethostname()}:{os.getpid()}"
        self.token = connection.execute(
            text("UPDATE job_leader SET token = token + 1, holder = :holder, since = market_now() RETURNING token"),
            {"holder": holder},
        ).scalar_one()
        return True

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

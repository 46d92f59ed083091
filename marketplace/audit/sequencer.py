"""The one sequencer: gives committed events their dense place in the log and grows the tree.

Writers never wait for each other. An event is found because it *has no place yet*, never because its number is above
the last one seen, so one that commits late is only sequenced late. What keeps that search short is a horizon: every
transaction below `pg_snapshot_xmin` has ended, so all its events were visible, and are sequenced, once a pass that
found nothing more to do has seen that snapshot.

Within a pass events are placed by `line`, the order of writing: an event that depends on another was written while
holding locks that the other's transaction had given back at its commit.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, text

from marketplace.audit.merkle import Frontier, Node
from marketplace.db import db
from marketplace.kernel.errors import IntegrityBreach

# The advisory lock of the one sequencer. The number means nothing; the primary key of event_order is the second wall.
SEQUENCER_LOCK = 4_205_139_162
BATCH = 10_000

_PLACE = text("""
    WITH late AS (
        SELECT id, line, body FROM event
        WHERE xact::xid8 >= CAST(:horizon AS xid8)
          AND NOT EXISTS (SELECT FROM event_order WHERE event_order.event_id = event.id)
        ORDER BY line LIMIT :batch)
    INSERT INTO event_order (seq, event_id, leaf_hash)
    SELECT :size + row_number() OVER (ORDER BY line) - 1, id, sha256('\\x00'::bytea || body) FROM late
    RETURNING seq, leaf_hash""")


@dataclass
class _Horizon:
    """Below this transaction number everything is sequenced, as long as it is the same server and database."""

    server: str = ""
    xact: str = "0"


_horizons: dict[str, _Horizon] = {}


def sequence_events(batch: int = BATCH, engine: Engine | None = None) -> int:
    """Place up to `batch` committed events that have no place yet; return how many.

    Returns 0 at once when another sequencer is at work. Needs the worker's role and, without `engine`, an app context.

    Raises: IntegrityBreach when the stored order and tree contradict each other.
    """
    engine = engine or db.engine
    with engine.begin() as connection:
        if not connection.execute(text("SELECT pg_try_advisory_xact_lock(:lock)"), {"lock": SEQUENCER_LOCK}).scalar():
            return 0
        horizon, seen = _horizon(connection), _snapshot(connection)
        frontier = stored_frontier(connection)
        placed = connection.execute(
            _PLACE, {"horizon": horizon.xact, "batch": batch, "size": frontier.size}
        ).all()  # fmt: skip
        if placed:
            _grow(connection, frontier, sorted((row.seq, bytes(row.leaf_hash)) for row in placed))
    if len(placed) < batch:
        horizon.xact = seen
    return len(placed)


def stored_size(connection: Connection) -> int:
    """Return how many events have a place."""
    return int(connection.execute(text("SELECT coalesce(max(seq) + 1, 0) FROM event_order")).scalar_one())


def stored_frontier(connection: Connection, size: int | None = None) -> Frontier:
    """Return the right edge of the stored tree at `size` leaves (by default all)."""
    return Frontier.load(stored_size(connection) if size is None else size, node_reader(connection))


class node_reader:
    """Read nodes of the stored tree: leaves from the order, the others from `tree_node`.

    Raises: IntegrityBreach("node_missing").
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def __call__(self, level: int, index: int) -> bytes:
        """Return the hash of one complete node."""
        statement = (
            text("SELECT hash FROM tree_node WHERE level = :level AND index = :index")
            if level
            else text("SELECT leaf_hash FROM event_order WHERE seq = :index")
        )
        found = self.connection.execute(statement, {"level": level, "index": index}).scalar_one_or_none()
        if found is None:
            raise IntegrityBreach("node_missing", "The stored tree lacks node %(index)s of level %(level)s.",
                                  {"level": level, "index": index})  # fmt: skip
        return bytes(found)


def _grow(connection: Connection, frontier: Frontier, leaves: Sequence[tuple[int, bytes]]) -> None:
    if leaves[0][0] != frontier.size or leaves[-1][0] != frontier.size + len(leaves) - 1:
        raise IntegrityBreach("order_not_dense", "The order of events has a gap.")
    _store(connection, frontier.extend(leaf for _, leaf in leaves))


def _store(connection: Connection, nodes: Sequence[Node]) -> None:
    if not nodes:
        return
    connection.execute(
        text("""
            INSERT INTO tree_node (level, index, hash)
            SELECT * FROM unnest(CAST(:levels AS integer[]), CAST(:indexes AS bigint[]), CAST(:hashes AS bytea[]))"""),
        {
            "levels": [node[0] for node in nodes],
            "indexes": [node[1] for node in nodes],
            "hashes": [node[2] for node in nodes],
        },
    )


def _snapshot(connection: Connection) -> str:
    """Return the oldest transaction still running, read before the events are."""
    return str(connection.execute(text("SELECT pg_snapshot_xmin(pg_current_snapshot())::text")).scalar_one())


def _horizon(connection: Connection) -> _Horizon:
    """Return this process's horizon for the database; a restarted or restored server begins again at zero."""
    server, name = connection.execute(
        text("SELECT pg_postmaster_start_time()::text, current_database()::text || ':' || "
             "(SELECT oid::text FROM pg_database WHERE datname = current_database())")
    ).one()  # fmt: skip
    horizon = _horizons.setdefault(name, _Horizon(server))
    if horizon.server != server:
        _horizons[name] = horizon = _Horizon(server)
    return horizon

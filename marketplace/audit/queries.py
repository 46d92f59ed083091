"""Reading the trail: its size and age, its events, the proof of one of them, bundles and look-ups."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from marketplace.audit.merkle import inclusion_proof, verify_inclusion
from marketplace.audit.sequencer import node_reader
from marketplace.kernel.errors import NotFound
from marketplace.kernel.words import N_

LOOK_UPS = ("look_up", "export_bundle", "replay_auction")


@dataclass(frozen=True)
class LogState:
    """How far the log reaches and how much of it is signed. Ages in seconds, by the market's clock."""

    size: int
    signed_size: int
    unplaced: int
    oldest_unsigned_seconds: int
    checkpoints: int
    keys: int


@dataclass(frozen=True)
class EventLine:
    """One event as lists show it. `seq` is None while it waits for its place."""

    seq: int | None
    id: UUID
    at: datetime
    verb: str
    actor_role: str
    actor_user_id: UUID | None
    on_behalf_of: str | None
    subject_kind: str
    subject_id: UUID


@dataclass(frozen=True)
class EventFilter:
    """What to look for; None means any."""

    verb: str | None = None
    actor_role: str | None = None
    actor_user_id: UUID | None = None
    subject_id: UUID | None = None
    from_at: datetime | None = None
    to_at: datetime | None = None
    before_seq: int | None = None


@dataclass(frozen=True)
class ProvedEvent:
    """One event with its stored bytes and the path from its leaf to a signed root."""

    line: EventLine
    body: bytes
    leaf_hash: bytes
    checkpoint_size: int | None
    checkpoint_root: bytes | None
    proof: Sequence[bytes]
    holds: bool

    @property
    def facts(self) -> dict[str, Any]:
        """The body, read."""
        read: dict[str, Any] = json.loads(self.body)
        return read


@dataclass(frozen=True)
class BundleLine:
    """A bundle that was ordered."""

    id: UUID
    from_at: datetime | None
    to_at: datetime | None
    state: str
    step: str
    done_rows: int
    all_rows: int
    size: int | None
    file_bytes: int | None
    file_hash: str | None
    report: dict[str, Any] | None
    words: str | None
    requested_at: datetime
    finished_at: datetime | None


def log_state(session: Session) -> LogState:
    """Return size, signed size and the age of the oldest event no checkpoint covers."""
    row = session.execute(
        text("""
            WITH signed AS (SELECT coalesce(max(size), 0) AS size, count(*) AS count FROM checkpoint),
                 tail AS (SELECT event.at FROM event_order JOIN event ON event.id = event_id, signed
                          WHERE seq >= signed.size),
                 unplaced AS (SELECT event.at FROM event
                              WHERE at > market_now() - interval '1 day'
                                AND NOT EXISTS (SELECT FROM event_order WHERE event_id = event.id))
            SELECT (SELECT coalesce(max(seq) + 1, 0) FROM event_order) AS size, signed.size AS signed_size,
                   (SELECT count(*) FROM unplaced) AS unplaced, signed.count AS checkpoints,
                   (SELECT count(*) FROM signing_key) AS keys,
                   coalesce(extract(epoch FROM market_now() - least(
                       (SELECT min(at) FROM tail), (SELECT min(at) FROM unplaced)))::bigint, 0) AS oldest
            FROM signed""")
    ).one()
    return LogState(row.size, row.signed_size, row.unplaced, max(row.oldest, 0), row.checkpoints, row.keys)


def counts_by_verb(session: Session) -> list[tuple[str, int]]:
    """Return how often each verb occurs in the log, the most frequent first."""
    rows = session.execute(
        text("""
            SELECT verb, count(*) FROM event_order JOIN event ON event.id = event_id
            GROUP BY verb ORDER BY 2 DESC, 1""")
    )
    return [(verb, count) for verb, count in rows]


def verbs(session: Session) -> list[str]:
    """Return every verb that occurs, in order."""
    return list(session.execute(text("SELECT DISTINCT verb FROM event ORDER BY 1")).scalars())


def events(session: Session, wanted: EventFilter, limit: int = 50) -> list[EventLine]:
    """Return events that have a place, the newest first; `before_seq` begins below a number."""
    rows = session.execute(
        text("""
            SELECT seq, id, at, verb, actor_role, actor_user_id, on_behalf_of, subject_kind, subject_id
            FROM event_order JOIN event ON event.id = event_id
            WHERE (CAST(:verb AS text) IS NULL OR verb = :verb)
              AND (CAST(:actor_role AS text) IS NULL OR actor_role = :actor_role)
              AND (CAST(:actor_user_id AS uuid) IS NULL OR actor_user_id = :actor_user_id)
              AND (CAST(:subject_id AS uuid) IS NULL OR subject_id = :subject_id)
              AND (CAST(:from_at AS timestamptz) IS NULL OR at >= :from_at)
              AND (CAST(:to_at AS timestamptz) IS NULL OR at < :to_at)
              AND (CAST(:before_seq AS bigint) IS NULL OR seq < :before_seq)
            ORDER BY seq DESC LIMIT :limit"""),
        {**vars(wanted), "limit": limit},
    )
    return [EventLine(*row) for row in rows]


def look_ups(session: Session, user_id: UUID, limit: int = 50) -> list[tuple[EventLine, dict[str, Any]]]:
    """Return what a person looked at, the newest first, with what each event says about it."""
    rows = session.execute(
        text("""
            SELECT seq, id, at, verb, actor_role, actor_user_id, on_behalf_of, subject_kind, subject_id, body
            FROM event LEFT JOIN event_order ON event_id = event.id
            WHERE actor_user_id = :user_id AND verb = ANY (:verbs) ORDER BY line DESC LIMIT :limit"""),
        {"user_id": user_id, "verbs": list(LOOK_UPS), "limit": limit},
    ).all()
    return [(EventLine(*row[:-1]), json.loads(bytes(row.body))) for row in rows]


def last_by_keys(session: Session, names: Collection[str]) -> dict[str, datetime]:
    """Return when each key for programs, named as events name it (`key …`), last did something; not those unused."""
    rows = session.execute(
        text("""
            SELECT name, newest.at FROM unnest(CAST(:names AS text[])) AS name CROSS JOIN LATERAL (
                SELECT at FROM event WHERE on_behalf_of = name AND on_behalf_of LIKE 'key %'
                ORDER BY at DESC LIMIT 1) AS newest"""),
        {"names": list(names)},
    )
    return {row.name: row.at for row in rows}


def proved_event(session: Session, seq: int) -> ProvedEvent:
    """Return one event with its inclusion proof in the newest checkpoint that covers it, checked.

    Raises: NotFound.
    """
    row = session.execute(
        text("""
            SELECT seq, id, at, verb, actor_role, actor_user_id, on_behalf_of, subject_kind, subject_id,
                   body, leaf_hash
            FROM event_order JOIN event ON event.id = event_id WHERE seq = :seq"""),
        {"seq": seq},
    ).one_or_none()
    if row is None:
        raise NotFound("not_found", N_("There is no event of this number."))
    point = session.execute(
        text("SELECT size, root FROM checkpoint WHERE size > :seq ORDER BY size DESC LIMIT 1"), {"seq": seq}
    ).one_or_none()
    line, leaf = EventLine(*row[:9]), bytes(row.leaf_hash)
    if point is None:
        return ProvedEvent(line, bytes(row.body), leaf, None, None, (), False)
    proof = inclusion_proof(seq, point.size, node_reader(session.connection()))
    holds = verify_inclusion(leaf, seq, point.size, proof, bytes(point.root))
    return ProvedEvent(line, bytes(row.body), leaf, point.size, bytes(point.root), proof, holds)


def has_checkpoint(session: Session, size: int) -> bool:
    """Return whether a log of this size was signed."""
    return bool(session.scalar(text("SELECT EXISTS (SELECT FROM checkpoint WHERE size = :size)"), {"size": size}))


def checkpoints(session: Session, limit: int = 20) -> list[tuple[int, str, datetime]]:
    """Return size, root and time of the newest checkpoints."""
    rows = session.execute(
        text("SELECT size, encode(root, 'hex'), signed_at FROM checkpoint ORDER BY size DESC LIMIT :limit"),
        {"limit": limit},
    )
    return [(size, root, at) for size, root, at in rows]


def bundles(session: Session, limit: int = 10) -> list[BundleLine]:
    """Return the bundles that were ordered, the newest first."""
    rows = session.execute(text(f"{_BUNDLE} ORDER BY requested_at DESC LIMIT :limit"), {"limit": limit})
    return [_bundle(row) for row in rows]


def bundle(session: Session, bundle_id: UUID) -> BundleLine:
    """Return one bundle.

    Raises: NotFound.
    """
    row = session.execute(text(f"{_BUNDLE} WHERE id = :id"), {"id": bundle_id}).one_or_none()
    if row is None:
        raise NotFound("not_found", N_("There is no such bundle."))
    return _bundle(row)


_BUNDLE = """
    SELECT id, from_at, to_at, state, step, done_rows, all_rows, size, file_bytes,
           encode(file_hash, 'hex') AS file_hash, report, words, requested_at, finished_at FROM bundle"""


def _bundle(row: Any) -> BundleLine:
    return BundleLine(*row)

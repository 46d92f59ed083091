"""Writing events: the canonical bytes are made once, here, and never serialised again."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from operator import is_
from typing import Any
from uuid import UUID

from sqlalchemy import insert, text
from sqlalchemy.orm import Session

from marketplace.audit.tables import Event
from marketplace.db import array, market_now
from marketplace.kernel.actors import Actor
from marketplace.kernel.canonical import UNREADABLE, canonical_bytes
from marketplace.kernel.errors import InvalidInput
from marketplace.kernel.ids import new_id

NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")  # as JSON writes it; a backslash that somebody typed is written twice
# Events as a part of one statement with what they tell of. `{rows}` yields a `seq` that the database drew in it: it is
# put between head and tail of those bodies that leave room for it.
EVENTS_WITH = """
    INSERT INTO event (id, at, verb, actor_role, actor_user_id, actor_organisation_id, on_behalf_of, request_id,
        subject_kind, subject_id, body)
    SELECT one.id, :at, one.verb, :actor_role, CAST(:actor_user_id AS uuid), CAST(:actor_organisation_id AS uuid),
        CAST(:on_behalf_of AS text), :request_id, one.subject_kind, one.subject_id,
        one.head || coalesce(convert_to((CASE WHEN one.numbered THEN rows.seq END)::text, 'UTF8') || one.tail, '')
    FROM {rows} AS rows, unnest(CAST(:event_ids AS uuid[]), CAST(:verbs AS text[]), CAST(:subject_kinds AS text[]),
        CAST(:subject_ids AS uuid[]), CAST(:heads AS bytea[]), CAST(:tails AS bytea[]), CAST(:numbered AS boolean[]))
        WITH ORDINALITY AS one (id, verb, subject_kind, subject_id, head, tail, numbered, place) ORDER BY one.place"""
# Events of one verb, actor and instant about as many subjects, in their order.
TOGETHER = text("""
    INSERT INTO event (id, at, verb, actor_role, actor_user_id, actor_organisation_id, on_behalf_of, request_id,
        subject_kind, subject_id, body)
    SELECT one.id, :at, :verb, :actor_role, CAST(:actor_user_id AS uuid), CAST(:actor_organisation_id AS uuid),
        CAST(:on_behalf_of AS text), :request_id, :subject_kind, one.subject_id, one.body
    FROM unnest(CAST(:ids AS uuid[]), CAST(:subjects AS uuid[]), CAST(:bodies AS bytea[])) WITH ORDINALITY
        AS one (id, subject_id, body, place) ORDER BY one.place""")
ACTING = ("at", "actor_role", "actor_user_id", "actor_organisation_id", "on_behalf_of", "request_id")
OPEN, OPEN_BYTES = "\x00", b'"\\u0000"'  # no id, and so where one is put in
JSON_TEXT = """'"' || {} || '"'"""  # an id or a word of ours as JSON, where the database writes it
JSON_INSTANT = JSON_TEXT.format("""to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')""")
ANYTHING = re.compile(rb'"\\u0000([^"]+)"')
SEQ_LATER = b'"seq":0'  # in canonical JSON this stands nowhere but after a key of that name


def write_event(
    session: Session,
    *,
    verb: str,
    actor: Actor,
    subject_kind: str,
    subject_id: UUID,
    changes: Mapping[str, Any],
    policy_version: str,
) -> UUID:
    """Insert one event in the running transaction and return its id. Empty parts of `changes` are left out."""
    return write_events(session, verb=verb, actor=actor, subject_kind=subject_kind, subjects=[(subject_id, changes)],
                        policy_version=policy_version)[0]  # fmt: skip


def write_events(
    session: Session,
    *,
    verb: str,
    actor: Actor,
    subject_kind: str,
    subjects: Sequence[tuple[UUID, Mapping[str, Any]]],
    policy_version: str,
) -> list[UUID]:
    """Insert one event a subject, all of one verb and instant, and return their ids.

    Raises: InvalidInput("characters") where a text holds a NUL: its bytes could be kept, but no pack of a bundle, which
    the database reads out of them, could ever be made again.
    """
    at = market_now(session)
    same = len(subjects) > 1 and all(_same(changes, subjects[0][1]) for _, changes in subjects)
    make = _alike if same else _one_by_one
    rows = make(at, subjects, verb=verb, actor=actor, subject_kind=subject_kind, policy_version=policy_version)
    if any(b"\\u0000" in row["body"] and NUL.search(row["body"]) for row in rows):  # the pattern alone takes long
        raise InvalidInput("characters", UNREADABLE)
    if len(rows) == 1:
        session.execute(insert(Event), rows)
    elif rows:
        given = {name: rows[0][name] for name in (*ACTING, "verb", "subject_kind")}
        given |= {"ids": array(row["id"] for row in rows), "subjects": array(row["subject_id"] for row in rows)}
        session.execute(TOGETHER, given | {"bodies": [row["body"] for row in rows]})
    return [row["id"] for row in rows]


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return one.keys() == other.keys() and all(map(is_, one.values(), (other[key] for key in one)))


def _one_by_one(
    at: datetime, subjects: Sequence[tuple[UUID, Mapping[str, Any]]], **given: Any
) -> list[dict[str, Any]]:  # fmt: skip
    return [event_row(at, subject_id=subject_id, changes=changes, **given) for subject_id, changes in subjects]


def _alike(at: datetime, subjects: Sequence[tuple[UUID, Mapping[str, Any]]], **given: Any) -> list[dict[str, Any]]:
    """Return the rows of events that differ in nothing but their ids and subjects: what is the same is written once."""
    changes = subjects[0][1]
    row = event_row(at, subject_id=subjects[0][0], changes=changes, **given)
    facts = {name: part for name, part in row.items() if name != "body"}
    parts = _body(facts | {"id": OPEN, "subject_id": OPEN}, changes, given["policy_version"]).split(OPEN_BYTES)
    if len(parts) != 3:  # the mark stands in what is told
        return _one_by_one(at, subjects, **given)
    head, middle, tail = parts
    rows = []
    for subject_id, _ in subjects:
        made = new_id()
        body = b'%b"%b"%b"%b"%b' % (head, str(made).encode(), middle, str(subject_id).encode(), tail)
        rows.append(facts | {"id": made, "subject_id": subject_id, "body": body})
    return rows


def event_row(
    at: datetime, *, verb: str, actor: Actor, subject_kind: str, subject_id: UUID, changes: Mapping[str, Any],
    policy_version: str,
) -> dict[str, Any]:  # fmt: skip
    """Return an event as its row: the facts that find it and the canonical bytes that are hashed."""
    facts: dict[str, Any] = {
        "id": new_id(),
        "at": at,
        "verb": verb,
        "actor_role": str(actor.role),
        "actor_user_id": actor.user_id,
        "actor_organisation_id": actor.organisation_id,
        "on_behalf_of": actor.on_behalf_of,
        "request_id": actor.request_id,
        "subject_kind": subject_kind,
        "subject_id": subject_id,
    }
    return facts | {"body": _body(facts, changes, policy_version)}


def _body(facts: Mapping[str, Any], changes: Mapping[str, Any], policy_version: str) -> bytes:
    told = {name: part for name, part in changes.items() if part is not None}
    return canonical_bytes({**facts, **told, "policy_version": policy_version, "format": 1})


def given_with(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what EVENTS_WITH is given for events of one actor and instant; a body whose `seq` is 0 leaves room."""
    halves = [row["body"].partition(SEQ_LATER) for row in rows]
    return {name: rows[0][name] for name in ACTING} | {
        "event_ids": [row["id"] for row in rows],
        "verbs": [row["verb"] for row in rows],
        "subject_kinds": [row["subject_kind"] for row in rows],
        "subject_ids": [row["subject_id"] for row in rows],
        "heads": [head + mark[:-1] for head, mark, _ in halves],
        "tails": [tail for _, _, tail in halves],
        "numbered": [bool(mark) for _, mark, _ in halves],
    }


class Form:
    """The bytes of events that differ in nothing but ids, figures and their instant: a statement fills them in."""

    def __init__(self, whole: bytes) -> None:
        literal, *rest = ANYTHING.split(whole)
        self._names = [name.decode() for name in rest[::2]]
        self._literals = [part.decode() for part in (literal, *rest[1::2])]

    def filled(self, values: Mapping[str, str]) -> str:
        """Return the body as an expression of the database's.

        Each value is an expression of a text that is canonical JSON, or of a whole number below 2⁵³; that of `after` is
        named `after.KEY`.
        """
        first, *others = ("'" + part.replace("'", "''") + "'" for part in self._literals)
        told = [f"({values[name]}) || {literal}" for name, literal in zip(self._names, others, strict=True)]
        return f"convert_to({' || '.join([first, *told])}, 'UTF8')"


@lru_cache(maxsize=64)
def form(verb: str, role: str, subject_kind: str, after: tuple[str, ...], policy_version: str) -> Form:
    """Return the form of events that tell these keys of what is `after`; `event_row` gives the same bytes."""
    facts = {name: OPEN + name for name in ("id", "subject_id", *ACTING)}
    facts |= {"verb": verb, "actor_role": role, "subject_kind": subject_kind}
    return Form(_body(facts, {"after": {key: f"{OPEN}after.{key}" for key in after}}, policy_version))

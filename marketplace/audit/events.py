"""Writing events: the canonical bytes are made once, here, and never serialised again."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import insert
from sqlalchemy.orm import Session

from marketplace.audit.tables import Event
from marketplace.db import market_now
from marketplace.kernel.actors import Actor
from marketplace.kernel.canonical import canonical_bytes
from marketplace.kernel.ids import new_id


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
    """Insert one event a subject, all of one verb and instant, and return their ids."""
    at = market_now(session)
    rows = []
    for subject_id, changes in subjects:
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
        told = {name: part for name, part in changes.items() if part is not None}
        rows.append(facts | {"body": canonical_bytes(facts | told | {"policy_version": policy_version, "format": 1})})
    if rows:
        session.execute(insert(Event), rows)
    return [row["id"] for row in rows]

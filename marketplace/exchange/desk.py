"""What a registry's rows say: its book, its peers, their keys, and what they asked."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from marketplace.exchange.tables import BookRow, HeldRow, KeyRow, PeerRow


@dataclass(frozen=True)
class Peer:
    """One key of one peer, with what the peer holds."""

    id: UUID
    name: str
    key_id: str
    issued_at: datetime
    revoked_at: datetime | None
    registered: int
    financed: int


@dataclass(frozen=True)
class Request:
    """One request of a peer as the log has it."""

    at: datetime
    peer: str
    operation: str
    claims: int
    refused: str | None
    known: int


@dataclass(frozen=True)
class Question:
    """One question of ours as the log has it: about one receivable, of a registry."""

    at: datetime
    receivable_id: UUID
    source: str
    operation: str
    claims: int
    state: str
    contrary: bool


def book(session: Session) -> BookRow | None:
    """Return what this database serves as a registry; None when it serves none."""
    return session.get(BookRow, True)


def key(session: Session, key_id: str) -> KeyRow | None:
    """Return a key that may sign now."""
    row = session.get(KeyRow, key_id, populate_existing=True)
    return row if row is not None and row.revoked_at is None else None


def peers(session: Session) -> list[Peer]:
    """Return every key, by peer and age."""
    held = (
        select(
            HeldRow.peer_id,
            func.count().filter(HeldRow.state == "registered").label("registered"),
            func.count().filter(HeldRow.state == "financed").label("financed"),
        )
        .where(HeldRow.state != "released")
        .group_by(HeldRow.peer_id)
        .subquery()
    )
    rows = session.execute(
        select(PeerRow.id, PeerRow.name, KeyRow.key_id, KeyRow.issued_at, KeyRow.revoked_at,
               func.coalesce(held.c.registered, 0), func.coalesce(held.c.financed, 0))
        .join(KeyRow, KeyRow.peer_id == PeerRow.id).outerjoin(held, held.c.peer_id == PeerRow.id)
        .order_by(PeerRow.name, KeyRow.issued_at)
    )  # fmt: skip
    return [Peer(*row) for row in rows]


def requests(session: Session, limit: int = 100) -> list[Request]:
    """Return what peers asked of this registry, newest first, from the audit trail."""
    rows = session.execute(
        text("""
            SELECT event.at, registry_peer.name, convert_from(event.body, 'UTF8')::jsonb -> 'after' AS told
            FROM event JOIN registry_peer ON registry_peer.id = event.subject_id
            WHERE event.verb = 'answer_peer' ORDER BY event.at DESC LIMIT :limit"""),
        {"limit": limit},
    )
    return [_request(row.at, row.name, row.told) for row in rows]


def _request(at: datetime, peer: str, told: dict[str, Any]) -> Request:
    answers = told.get("answers") or []
    count = len(told.get("claims") or []) or int(told.get("elements") or 0)
    known = sum(not answer.startswith("none") for answer in answers)
    return Request(at, peer, str(told.get("operation")), count, told.get("refused"), known)


def asked(session: Session, limit: int = 100) -> list[Question]:
    """Return what this market asked, newest first, from the audit trail."""
    rows = session.execute(
        text("""
            SELECT at, subject_id, convert_from(body, 'UTF8')::jsonb -> 'after' AS told
            FROM event WHERE verb = 'record_exchange_answer' ORDER BY at DESC LIMIT :limit"""),
        {"limit": 3 * limit},  # a receivable that is held leaves a second and a third event beside its answer
    )
    found = [_question(row.at, row.subject_id, row.told) for row in rows if (row.told or {}).get("answers")]
    return found[:limit]


def _question(at: datetime, receivable_id: UUID, told: dict[str, Any]) -> Question:
    answers = told["answers"]
    operations = " ".join(sorted({answer["operation"] for answer in answers}))
    contrary = any(answer["known"] and not answer["yours"] for answer in answers)
    states = [answer["state"] for answer in answers]
    worst = next(state for state in ("financed", "registered", "none") if state in states)
    return Question(at, receivable_id, str(told["source"]), operations, len(answers), worst, contrary)

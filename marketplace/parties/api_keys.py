"""Keys that let a program act for a person: made by him, ended by him or by operators, kept as hashes.

They live by the real clock; when one was last used is an event's time, by the market's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import func, insert, select, text, update
from sqlalchemy.orm import Session

from marketplace.audit.queries import last_by_keys
from marketplace.kernel.actors import Actor, Role
from marketplace.kernel.errors import Conflict, NotFound, NotPermitted
from marketplace.kernel.ids import new_id
from marketplace.kernel.words import N_
from marketplace.parties.rules import DESK, verb
from marketplace.parties.schemas import CreateApiKey, EndApiKey
from marketplace.parties.sessions import token_hash
from marketplace.parties.tables import ApiKeyRow, OrganisationRow, UserAccountRow
from marketplace.perform import Result, Tx

PREFIX = "dbk_"
KEYS_MAX, DAYS = 10, 365


@dataclass(frozen=True)
class ApiKey:
    """A key without its secret."""

    id: UUID
    name: str
    created_at: datetime
    expires_at: datetime
    ended_at: datetime | None
    live: bool
    last_used_at: datetime | None


@dataclass(frozen=True)
class HeldKey:
    """A living key and who holds it, as the market's operators see it."""

    key: ApiKey
    holder: str
    house: str


def acting(key_id: UUID) -> str:
    """Return how events name a key that a program acted with, beside the person it acted for."""
    return f"key {key_id}"


@verb("create_api_key")
def create_api_key(tx: Tx, command: CreateApiKey) -> Result:
    """Keep the hash of a new key for a year. The key itself was made at the door and is shown there once.

    Raises: Conflict("keys_enough").
    """
    if tx.actor.user_id is None:
        raise NotPermitted("not_permitted", N_("Only a person may have a key."))
    mine = text("SELECT FROM user_account WHERE id = :id FOR NO KEY UPDATE")  # keys of one person take turns
    tx.session.execute(mine, {"id": tx.actor.user_id})
    live = [key for key in keys_of(tx.session, tx.actor.user_id) if key.live]
    if len(live) >= KEYS_MAX:
        raise Conflict("keys_enough", N_("You have %(most)s keys already. End one of them first."), {"most": KEYS_MAX})
    now = tx.session.execute(select(func.clock_timestamp())).scalar_one()
    row = {"id": new_id(), "user_id": tx.actor.user_id, "created_at": now, "expires_at": now + timedelta(days=DAYS)}
    tx.session.execute(insert(ApiKeyRow).values(**row, name=command.name, token_hash=command.token_hash))
    tx.record("api_key", UUID(str(row["id"])), after=row)
    return {"key_id": row["id"]}


@verb("end_api_key")
def end_api_key(tx: Tx, command: EndApiKey) -> Result:
    """End one of one's own keys: nothing is taken with it any more. The market's operators end anybody's.

    Raises: NotFound, for another's key too; Conflict("key_ended").
    """
    wanted = select(ApiKeyRow).where(ApiKeyRow.id == command.key_id).with_for_update()
    if tx.actor.role not in DESK:
        wanted = wanted.where(ApiKeyRow.user_id == tx.actor.user_id)
    row = tx.session.scalars(wanted).one_or_none()
    if row is None:
        raise NotFound("not_found", N_("There is no such thing, or you may not see it."))
    if row.ended_at is not None:
        raise Conflict("key_ended", N_("This key has ended already."))
    ended = tx.session.execute(
        update(ApiKeyRow).where(ApiKeyRow.id == row.id).values(ended_at=func.clock_timestamp())
        .returning(ApiKeyRow.ended_at).execution_options(synchronize_session=False)
    ).scalar_one()  # fmt: skip
    tx.record("api_key", row.id, before={"ended_at": None}, after={"ended_at": ended})
    return {"key_id": row.id}


def keys_of(session: Session, user_id: UUID) -> list[ApiKey]:
    """Return a person's keys, newest first."""
    rows = session.scalars(select(ApiKeyRow).where(ApiKeyRow.user_id == user_id).order_by(ApiKeyRow.created_at.desc()))
    return _as_keys(session, rows.all())


def living_keys(session: Session, most: int = 500) -> list[HeldKey]:
    """Return the keys of everybody that open something now, newest first."""
    rows = session.execute(
        select(ApiKeyRow, UserAccountRow.display_name, OrganisationRow.legal_name)
        .join(UserAccountRow, UserAccountRow.id == ApiKeyRow.user_id)
        .join(OrganisationRow, OrganisationRow.id == UserAccountRow.organisation_id)
        .where(ApiKeyRow.ended_at.is_(None), ApiKeyRow.expires_at > func.clock_timestamp(), UserAccountRow.active)
        .order_by(ApiKeyRow.created_at.desc()).limit(most)
    ).all()  # fmt: skip
    keys = _as_keys(session, [row.ApiKeyRow for row in rows])
    return [HeldKey(key, row.display_name, row.legal_name) for key, row in zip(keys, rows, strict=True)]


def _as_keys(session: Session, rows: Sequence[ApiKeyRow]) -> list[ApiKey]:
    now = session.execute(select(func.clock_timestamp())).scalar_one()
    used = last_by_keys(session, [acting(row.id) for row in rows])
    return [
        ApiKey(
            row.id, row.name, row.created_at, row.expires_at, row.ended_at,
            live=row.ended_at is None and row.expires_at > now, last_used_at=used.get(acting(row.id)),
        )
        for row in rows
    ]  # fmt: skip


def actor_of(session: Session, token: str, request_id: UUID) -> Actor | None:
    """Return whom a key lets act, or None: unknown, ended, run out, or its person locked out."""
    row = session.execute(
        select(UserAccountRow.id, UserAccountRow.role, UserAccountRow.organisation_id, ApiKeyRow.id.label("key_id"))
        .join(ApiKeyRow, ApiKeyRow.user_id == UserAccountRow.id)
        .join(OrganisationRow, OrganisationRow.id == UserAccountRow.organisation_id)
        .where(ApiKeyRow.token_hash == token_hash(token), ApiKeyRow.ended_at.is_(None), UserAccountRow.active,
               ApiKeyRow.expires_at > func.clock_timestamp())
    ).one_or_none()  # fmt: skip
    if row is None:
        return None
    return Actor(Role(row.role), row.id, row.organisation_id, acting(row.key_id), request_id)

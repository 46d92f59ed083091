"""Sessions on the server: what a token opens, and for how long. By the database's real clock."""

import hashlib
import secrets
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import func, select, text
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from marketplace.kernel.actors import Role
from marketplace.parties.tables import OrganisationRow, UserAccountRow, WebSessionRow

TOUCH_SECONDS = 60
TOUCH = text("""
    UPDATE web_session SET last_seen_at = clock_timestamp()
    WHERE id = :id AND last_seen_at < clock_timestamp() - make_interval(secs => :seconds)""")


@dataclass(frozen=True)
class Person:
    """Who a session belongs to, as doors and pages see it."""

    user_id: UUID
    session_id: UUID
    display_name: str
    role: Role
    organisation_id: UUID
    organisation_name: str
    locale: str
    good_standing: bool
    stale: bool


def new_token() -> str:
    """Return a fresh token: 256 bits, for the browser alone."""
    return secrets.token_urlsafe(32)


def token_hash(token: str) -> bytes:
    """Return what the database keeps of a token."""
    return hashlib.sha256(token.encode()).digest()


def opened_by(session: Session, token: str, idle_minutes: int) -> Person | None:
    """Return the person a token belongs to, or None: unknown, ended, expired, idle too long, or locked out."""
    now = func.clock_timestamp()
    row = (
        session.execute(
            select(
                WebSessionRow.id.label("session_id"),
                UserAccountRow.id.label("user_id"),
                UserAccountRow.display_name,
                UserAccountRow.role,
                UserAccountRow.organisation_id,
                UserAccountRow.locale,
                OrganisationRow.legal_name.label("organisation_name"),
                OrganisationRow.good_standing,
                (WebSessionRow.last_seen_at < now - func.make_interval(0, 0, 0, 0, 0, 0, TOUCH_SECONDS)).label("stale"),
            )
            .join(UserAccountRow, UserAccountRow.id == WebSessionRow.user_id)
            .join(OrganisationRow, OrganisationRow.id == UserAccountRow.organisation_id)
            .where(
                WebSessionRow.token_hash == token_hash(token),
                WebSessionRow.ended_at.is_(None),
                WebSessionRow.expires_at > now,
                WebSessionRow.last_seen_at > now - func.make_interval(0, 0, 0, 0, 0, idle_minutes),
                UserAccountRow.active,
            )
        )
        .mappings()
        .one_or_none()
    )
    return Person(**{**row, "role": Role(row["role"])}) if row else None


def touch(engine: Engine, session_id: UUID) -> None:
    """Note that a session is in use, at most once a minute. No change of the market, hence no verb and no event."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(TOUCH, {"id": session_id, "seconds": TOUCH_SECONDS})

"""Sessions on the server: what a token opens, and for how long. By the database's real clock."""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.engine import Engine

from marketplace.db import driver
from marketplace.kernel.actors import Role
from marketplace.parties import windows

TOUCH_SECONDS = 60
TOUCH = text("""
    UPDATE web_session SET last_seen_at = clock_timestamp()
    WHERE id = :id AND last_seen_at < clock_timestamp() - make_interval(secs => :seconds)""")

PERSON = f"""
    user_account.id AS user_id, web_session.id AS session_id, user_account.display_name, user_account.role,
    organisation.id AS organisation_id, organisation.legal_name, user_account.locale, organisation.good_standing,
    web_session.last_seen_at < clock_timestamp() - make_interval(secs => {TOUCH_SECONDS}) AS stale"""
OPEN = """
    web_session JOIN user_account ON user_account.id = web_session.user_id
        JOIN organisation ON organisation.id = user_account.organisation_id
    WHERE web_session.token_hash = {hash} AND web_session.ended_at IS NULL
        AND web_session.expires_at > clock_timestamp()
        AND web_session.last_seen_at > clock_timestamp() - make_interval(mins => %(idle)s) AND user_account.active"""
OPENED = f"SELECT {PERSON} FROM {OPEN.format(hash='%(hash)s')}"  # noqa: S608
# Whoever comes several times at once is counted as often, and each of his posts knows which of them it is. Counts are
# held in the order of their keys, for another process may be counting the same people.
COUNTED = f"""
    WITH person AS (
        SELECT asked.place, sha256(convert_to('post user ' || user_account.id, 'UTF8')) AS key, {PERSON}
        FROM unnest(%(hashes)s::bytea[]) WITH ORDINALITY AS asked (hash, place), {OPEN.format(hash="asked.hash")}),
    often AS (SELECT key, count(*) AS times FROM person GROUP BY key ORDER BY key),
    counted AS ({windows.COUNT.format(key="key", seconds="60", weight="times", rows="often")}, key)
    SELECT place, hits - times + row_number() OVER (PARTITION BY key ORDER BY place) AS nth, wait, user_id, session_id,
        display_name, role, organisation_id, legal_name, locale, good_standing, stale
    FROM person JOIN often USING (key) JOIN counted USING (key)"""  # noqa: S608


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


def opened_by(engine: Engine, token: str, idle_minutes: int) -> Person | None:
    """Return the person a token belongs to, or None: unknown, ended, expired, idle too long, or locked out."""
    with driver(engine, outright=True) as connection:
        row = connection.execute(OPENED, {"hash": token_hash(token), "idle": idle_minutes}, prepare=True).fetchone()
    return _person(row) if row else None


def opened_and_counted(
    engine: Engine, tokens: Sequence[str], idle_minutes: int, posts_max: int
) -> list[tuple[Person, int] | None]:
    """Return for each token what `opened_by` does, and the seconds to wait if this is one post too many in its minute.

    The seconds are 0 while the limit holds. One statement finds out and counts, whatever becomes of the posts.
    """
    given = {"hashes": [token_hash(token) for token in tokens], "idle": idle_minutes}
    found: list[tuple[Person, int] | None] = [None] * len(tokens)
    with driver(engine, outright=True) as connection:
        rows = connection.execute(COUNTED, given, prepare=True).fetchall()
        if any(nth == 1 for _, nth, *_ in rows):
            connection.execute(windows.SWEEP.text)
    for place, nth, wait, *person in rows:
        found[place - 1] = _person(person), windows.left(nth, wait, posts_max)
    return found


def _person(row: Sequence[Any]) -> Person:
    user_id, session_id, name, role, *others = row
    return Person(user_id, session_id, name, Role(role), *others)


def touch(engine: Engine, session_id: UUID) -> None:
    """Note that a session is in use, at most once a minute. No change of the market, hence no verb and no event."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(TOUCH, {"id": session_id, "seconds": TOUCH_SECONDS})

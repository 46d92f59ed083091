"""What every page shows around itself: the market's clock and the last signed checkpoint."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

SHELL = text("""
    SELECT market_now() AS now, last.size, encode(last.root, 'hex') AS root, last.signed_at, last.note
    FROM (SELECT 1) AS one LEFT JOIN LATERAL (
        SELECT size, root, signed_at, note FROM checkpoint ORDER BY size DESC LIMIT 1) AS last ON true""")


@dataclass(frozen=True)
class Checkpoint:
    """The newest signed state of the audit trail: so many events, this root, signed then."""

    size: int
    root: str
    signed_at: datetime
    note: str


@dataclass(frozen=True)
class Shell:
    """The market's time and the last checkpoint, if one was ever signed."""

    now: datetime
    checkpoint: Checkpoint | None


def shell(session: Session) -> Shell:
    """Return what the page's frame needs, in one statement."""
    row = session.execute(SHELL).one()
    checkpoint = None if row.size is None else Checkpoint(row.size, row.root, row.signed_at, row.note)
    return Shell(row.now, checkpoint)


@dataclass(frozen=True)
class SigningKey:
    """A public key that signs checkpoints, as a C2SP verifier key, and when the market first knew it."""

    key_id: str
    verifier_key: str
    known_at: datetime


def signing_keys(session: Session) -> list[SigningKey]:
    """Return the public keys, newest first."""
    rows = session.execute(
        text("SELECT key_id, verifier_key, known_at FROM signing_key ORDER BY known_at DESC, key_id")
    )
    return [SigningKey(row.key_id, row.verifier_key, row.known_at) for row in rows]

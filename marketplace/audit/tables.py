"""Rows of the audit trail. Append-only by grant and by trigger."""

from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    String,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from marketplace.db import Base, Created, Id, Instant


class Event(Base):
    """One thing that happened. `body` holds the canonical JSON bytes that are hashed; the other columns find it.

    `xact` is the transaction that wrote it: triggers on title, ledger and roles look for it at commit, and the
    sequencer knows by it which events can no longer be late. `line` is the order of writing: where two events
    depend on each other the later was written under the earlier one's locks, so `line` tells cause from effect.
    """

    __tablename__ = "event"
    __table_args__ = (
        Index("ix_event_xact_number", text("(xact::xid8)")),
        Index("ix_event_key", "on_behalf_of", "at", postgresql_where=text("on_behalf_of LIKE 'key %'")),
    )

    id: Mapped[Id]
    line: Mapped[int] = mapped_column(BigInteger, Identity(always=True))
    xact: Mapped[str] = mapped_column(Text, server_default=text("pg_current_xact_id()::text"))
    at: Mapped[Created] = mapped_column(index=True)
    verb: Mapped[str] = mapped_column(Text)
    actor_role: Mapped[str] = mapped_column(Text)
    actor_user_id: Mapped[UUID | None]
    actor_organisation_id: Mapped[UUID | None]
    on_behalf_of: Mapped[str | None] = mapped_column(Text)
    request_id: Mapped[UUID]
    subject_kind: Mapped[str] = mapped_column(Text)
    subject_id: Mapped[UUID] = mapped_column(index=True)
    body: Mapped[bytes] = mapped_column(LargeBinary)


class EventOrder(Base):
    """The dense place of an event in the log, given after its commit by the one sequencer."""

    __tablename__ = "event_order"

    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    event_id: Mapped[UUID] = mapped_column(ForeignKey("event.id"), unique=True)
    leaf_hash: Mapped[bytes] = mapped_column(LargeBinary)


class TreeNode(Base):
    """A complete node of the RFC 9162 tree, from level 1 up; the leaves lie in `event_order`."""

    __tablename__ = "tree_node"

    level: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    index: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    hash: Mapped[bytes] = mapped_column(LargeBinary)


class Checkpoint(Base):
    """A signed statement of the tree's size and root."""

    __tablename__ = "checkpoint"

    size: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    root: Mapped[bytes] = mapped_column(LargeBinary)
    note: Mapped[str] = mapped_column(Text)
    key_id: Mapped[str] = mapped_column(String(8))
    signed_at: Mapped[Instant] = mapped_column(server_default=text("market_now()"))


class SigningKey(Base):
    """A public key that has signed checkpoints, and the statement by which its predecessor handed over to it."""

    __tablename__ = "signing_key"

    key_id: Mapped[str] = mapped_column(String(8), primary_key=True)
    verifier_key: Mapped[str] = mapped_column(Text)
    rotation: Mapped[str | None] = mapped_column(Text)
    known_at: Mapped[Created]


class Bundle(Base):
    """A bundle that somebody asked for, from the request to the file."""

    __tablename__ = "bundle"

    id: Mapped[Id]
    requested_by: Mapped[UUID | None]
    from_at: Mapped[Instant | None]
    to_at: Mapped[Instant | None]
    previous_size: Mapped[int | None] = mapped_column(BigInteger)
    state: Mapped[str] = mapped_column(Text, server_default=text("'queued'"))
    step: Mapped[str] = mapped_column(Text, server_default=text("''"))
    done_rows: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    all_rows: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    size: Mapped[int | None] = mapped_column(BigInteger)
    file_bytes: Mapped[int | None] = mapped_column(BigInteger)
    file_hash: Mapped[bytes | None] = mapped_column(LargeBinary)
    report: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    words: Mapped[str | None] = mapped_column(Text)
    requested_at: Mapped[Created]
    finished_at: Mapped[Instant | None]


class LogHalt(Base):
    """Why nothing may be changed: the log is not the one that was signed. At most one row, by the signer."""

    __tablename__ = "log_halt"
    __table_args__ = (CheckConstraint("single", name="single"),)

    single: Mapped[bool] = mapped_column(primary_key=True, server_default=text("true"))
    code: Mapped[str] = mapped_column(Text)
    words: Mapped[str] = mapped_column(Text)
    since: Mapped[Instant] = mapped_column(server_default=text("market_now()"))

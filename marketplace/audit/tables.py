"""Rows of the audit trail. Append-only by grant and by trigger."""

from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Integer, LargeBinary, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from marketplace.db import Base, Created, Id, Instant


class Event(Base):
    """One thing that happened. `body` holds the canonical JSON bytes that are hashed; the other columns find it.

    `xact` is the transaction that wrote it: triggers on title, ledger and roles look for it at commit.
    """

    __tablename__ = "event"

    id: Mapped[Id]
    xact: Mapped[str] = mapped_column(Text, server_default=text("pg_current_xact_id()::text"), index=True)
    at: Mapped[Created]
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
    """A complete node of the RFC 9162 tree: level 0 holds the leaves."""

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

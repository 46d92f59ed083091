"""Rows of the room: our claims and what was answered, files of other markets, and what a registry keeps."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from sqlalchemy import CHAR, DateTime, ForeignKey, Index, LargeBinary, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from marketplace.db import Base, Created, Id, Instant

Words = Annotated[str, mapped_column(Text)]
MaybeWords = Annotated[str | None, mapped_column(Text)]
Raw = Annotated[bytes, mapped_column(LargeBinary)]
MaybeRaw = Annotated[bytes | None, mapped_column(LargeBinary)]
One = Annotated[bool, mapped_column(primary_key=True, server_default=text("true"))]


class WatchRow(Base):
    """What the outside should know of a receivable. The database writes it when the receivable moves."""

    __tablename__ = "exchange_watch"

    receivable_id: Mapped[UUID] = mapped_column(ForeignKey("receivable.id"), primary_key=True)
    wanted: Mapped[Words]
    reason: Mapped[MaybeWords]
    wanted_since: Mapped[Created]
    claimed_at: Mapped[Instant | None]
    next_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True), server_default=text("market_now()"))


class ClaimRow(Base):
    """One way in which another market may know the same invoice, and how the registry holds it for us."""

    __tablename__ = "exchange_claim"
    __table_args__ = (
        UniqueConstraint("receivable_id", "claim"),
        Index(None, "claim"),
        Index("ix_exchange_claim_state", "state", "leased_until"),
    )

    id: Mapped[Id]
    receivable_id: Mapped[UUID] = mapped_column(ForeignKey("receivable.id"))
    claim: Mapped[Raw]
    key_mark: Mapped[Words]
    pseudonym: Mapped[MaybeRaw]
    state: Mapped[str] = mapped_column(Text, server_default=text("'unasked'"))
    leased_until: Mapped[Instant | None]
    asked_at: Mapped[Instant | None]


class AnswerRow(Base):
    """What somebody outside said of a claim, when it was news. Append-only."""

    __tablename__ = "exchange_answer"
    __table_args__ = (
        Index("ix_exchange_answer_receivable_id", "receivable_id", "at"),
        Index("ix_exchange_answer_at", "at"),
    )

    id: Mapped[Id]
    receivable_id: Mapped[UUID] = mapped_column(ForeignKey("receivable.id"))
    claim_id: Mapped[UUID] = mapped_column(ForeignKey("exchange_claim.id"))
    source: Mapped[Words]
    operation: Mapped[Words]
    known: Mapped[bool]
    state: Mapped[Words]
    yours: Mapped[bool]
    at: Mapped[Created]


class RegistryRow(Base):
    """How the registry has been answering us lately: one row."""

    __tablename__ = "exchange_registry"

    one: Mapped[One]
    state: Mapped[str] = mapped_column(Text, server_default=text("'unasked'"))
    since: Mapped[Created]
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    next_at: Mapped[Created]
    heard_at: Mapped[Instant | None]
    code: Mapped[MaybeWords]


class IssuerRow(Base):
    """A market whose files of claims are taken, by the key that signs them."""

    __tablename__ = "exchange_issuer"

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    verifier_key: Mapped[Words]
    trusted_at: Mapped[Created]
    revoked_at: Mapped[Instant | None]


class FileRow(Base):
    """A file of claims that was taken. Append-only."""

    __tablename__ = "claims_file"

    id: Mapped[Id]
    issuer: Mapped[str] = mapped_column(ForeignKey("exchange_issuer.name"))
    sha256: Mapped[str] = mapped_column(CHAR(64), unique=True)
    made_at: Mapped[Instant]
    claims: Mapped[int]
    changed: Mapped[int]
    held: Mapped[int]
    at: Mapped[Created]


class OutsideClaimRow(Base):
    """What an issuer says of one claim, as of its newest file."""

    __tablename__ = "outside_claim"

    issuer: Mapped[str] = mapped_column(ForeignKey("exchange_issuer.name"), primary_key=True)
    claim: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True, index=True)
    state: Mapped[Words]
    reason: Mapped[MaybeWords]
    as_of: Mapped[Instant]


class BookRow(Base):
    """What this database serves as a registry: one row, written when it opens and never changed."""

    __tablename__ = "registry_book"

    one: Mapped[One]
    mode: Mapped[Words]
    public_key: Mapped[MaybeRaw]
    opened_at: Mapped[Created]


class PeerRow(Base):
    """A market that a registry knows."""

    __tablename__ = "registry_peer"

    id: Mapped[Id]
    name: Mapped[str] = mapped_column(Text, unique=True)
    added_at: Mapped[Created]


class KeyRow(Base):
    """A key that a peer signs its requests with; the secret follows from its name and the registry's own."""

    __tablename__ = "registry_key"

    key_id: Mapped[str] = mapped_column(Text, primary_key=True)
    peer_id: Mapped[UUID] = mapped_column(ForeignKey("registry_peer.id"), index=True)
    issued_at: Mapped[Created]
    revoked_at: Mapped[Instant | None]


class NonceRow(Base):
    """A request that was answered: the same one is not answered again. Swept when its time has passed anyway."""

    __tablename__ = "registry_nonce"
    __table_args__ = (Index(None, "at"),)

    key_id: Mapped[str] = mapped_column(ForeignKey("registry_key.key_id"), primary_key=True)
    nonce: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    at: Mapped[Created]


class HeldRow(Base):
    """A claim as the registry holds it for the peer who came first."""

    __tablename__ = "registry_claim"
    __table_args__ = (
        Index("uq_registry_claim_live", "claim", unique=True, postgresql_where=text("state <> 'released'")),
        Index("ix_registry_claim_peer_id", "peer_id", "state"),
    )

    id: Mapped[Id]
    claim: Mapped[Raw]
    peer_id: Mapped[UUID] = mapped_column(ForeignKey("registry_peer.id"))
    state: Mapped[str] = mapped_column(Text, server_default=text("'registered'"))
    reason: Mapped[MaybeWords]
    registered_at: Mapped[Created]
    leased_until: Mapped[Instant | None]
    financed_at: Mapped[Instant | None]
    released_at: Mapped[Instant | None]

"""Rows of the parties: organisations, people, their secrets apart, sessions, and counted windows."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    CHAR,
    Boolean,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from marketplace.db import Base, Created, Id, Instant

REAL_NOW = text("clock_timestamp()")


class OrganisationRow(Base):
    """A company, an authority, or the market's own operator."""

    __tablename__ = "organisation"
    __table_args__ = (
        UniqueConstraint("country", "legal_id"),
        UniqueConstraint("id", "kind"),
        Index(None, "vat_id"),
        Index(None, "group_id"),
        Index(
            "uq_organisation_country_nameless",
            "country",
            text("lower(legal_name)"),
            unique=True,
            postgresql_where=text("legal_id IS NULL AND vat_id IS NULL"),
        ),
    )

    id: Mapped[Id]
    kind: Mapped[str] = mapped_column(Text)
    legal_name: Mapped[str] = mapped_column(Text)
    legal_id: Mapped[str | None] = mapped_column(Text)
    vat_id: Mapped[str | None] = mapped_column(Text)
    country: Mapped[str] = mapped_column(CHAR(2))
    sector: Mapped[str | None] = mapped_column(Text)
    group_id: Mapped[UUID | None]
    declared_group_id: Mapped[UUID | None]
    iban: Mapped[str | None] = mapped_column(Text)
    payout_rail: Mapped[str] = mapped_column(Text, server_default=text("'provider'"))
    good_standing: Mapped[bool] = mapped_column(Boolean, server_default=text("true"))
    created_at: Mapped[Created]


class RelationRow(Base):
    """Two organisations, the lower id first, that share an officer or an owner, or of which one owns the other."""

    __tablename__ = "relation"
    __table_args__ = (
        Index("uq_relation_live", "one_id", "other_id", "kind", unique=True, postgresql_where=text("ended_at IS NULL")),
        Index(None, "other_id"),
    )

    id: Mapped[Id]
    one_id: Mapped[UUID] = mapped_column(ForeignKey("organisation.id"))
    other_id: Mapped[UUID] = mapped_column(ForeignKey("organisation.id"))
    kind: Mapped[str] = mapped_column(Text)
    reference: Mapped[str] = mapped_column(Text)
    recorded_by: Mapped[UUID | None]
    recorded_at: Mapped[Created]
    ended_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class UserAccountRow(Base):
    """A person who signs in. The role is the organisation's kind; the composite key keeps them equal."""

    __tablename__ = "user_account"
    __table_args__ = (
        ForeignKeyConstraint(["organisation_id", "role"], ["organisation.id", "organisation.kind"], onupdate="CASCADE"),
        Index(None, "organisation_id"),
    )

    id: Mapped[Id]
    email: Mapped[str] = mapped_column(Text, unique=True)
    display_name: Mapped[str] = mapped_column(Text)
    role: Mapped[str] = mapped_column(Text)
    organisation_id: Mapped[UUID]
    locale: Mapped[str] = mapped_column(Text, server_default=text("'en'"))
    active: Mapped[bool] = mapped_column(Boolean, server_default=text("true"))
    created_at: Mapped[Created]


class UserSecretRow(Base):
    """A password's argon2id hash, in a table that the read-only role cannot see."""

    __tablename__ = "user_secret"

    user_id: Mapped[UUID] = mapped_column(ForeignKey("user_account.id"), primary_key=True)
    password_hash: Mapped[str] = mapped_column(Text)
    changed_at: Mapped[Created]


class WebSessionRow(Base):
    """A sign-in. The browser holds the token, the row its SHA-256. By the real clock, not the market's."""

    __tablename__ = "web_session"
    __table_args__ = (Index(None, "user_id"),)

    id: Mapped[Id]
    user_id: Mapped[UUID] = mapped_column(ForeignKey("user_account.id"))
    token_hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    created_at: Mapped[Instant] = mapped_column(server_default=REAL_NOW)
    last_seen_at: Mapped[Instant] = mapped_column(server_default=REAL_NOW)
    expires_at: Mapped[Instant]
    ended_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class ApiKeyRow(Base):
    """A key that lets a program act for a person. The row holds its SHA-256. By the real clock, not the market's."""

    __tablename__ = "api_key"
    __table_args__ = (Index(None, "user_id"),)

    id: Mapped[Id]
    user_id: Mapped[UUID] = mapped_column(ForeignKey("user_account.id"))
    name: Mapped[str] = mapped_column(Text)
    token_hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    created_at: Mapped[Instant] = mapped_column(server_default=REAL_NOW)
    expires_at: Mapped[Instant]
    ended_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class RateWindowRow(Base):
    """How often something was tried within one window of time; keys are hashed, for they hold addresses."""

    __tablename__ = "rate_window"
    __table_args__ = (Index(None, "window_start"),)

    key: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    window_start: Mapped[Instant] = mapped_column(primary_key=True)
    hits: Mapped[int] = mapped_column(Integer)

"""Rows of the ledger. Entries, postings and holds are append-only; balances are kept by triggers alone."""

from datetime import date
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    Date,
    ForeignKey,
    Index,
    SmallInteger,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from marketplace.db import Base, Created, Currency, Id, Minor


class Account(Base):
    """An account of the chart, of one organisation where the chart says so, in one currency."""

    __tablename__ = "account"
    __table_args__ = (
        UniqueConstraint("code", "organisation_id", "currency", postgresql_nulls_not_distinct=True),
        UniqueConstraint("id", "currency", "pool", "side"),
    )

    id: Mapped[Id]
    code: Mapped[str] = mapped_column(Text)
    organisation_id: Mapped[UUID | None]
    currency: Mapped[Currency]
    pool: Mapped[str] = mapped_column(Text)
    side: Mapped[int] = mapped_column(SmallInteger)
    guarded: Mapped[bool] = mapped_column(Boolean)
    opened_at: Mapped[Created]


class Balance(Base):
    """What an account holds. Nothing points here, so that a hot row carries no foreign-key locks."""

    __tablename__ = "balance"

    account_id: Mapped[UUID] = mapped_column(primary_key=True)
    guarded: Mapped[bool] = mapped_column(Boolean)
    posted_minor: Mapped[Minor] = mapped_column(BigInteger, server_default=text("0"))
    held_minor: Mapped[Minor] = mapped_column(BigInteger, server_default=text("0"))


class Entry(Base):
    """A journal entry: at least two postings that sum to zero per currency and pool."""

    __tablename__ = "entry"
    __table_args__ = (Index(None, "subject_id"),)

    id: Mapped[Id]
    kind: Mapped[str] = mapped_column(Text)
    subject_kind: Mapped[str] = mapped_column(Text)
    subject_id: Mapped[UUID]
    business_on: Mapped[date] = mapped_column(Date)
    posted_at: Mapped[Created]
    reverses_id: Mapped[UUID | None] = mapped_column(ForeignKey("entry.id"), unique=True)
    xact: Mapped[str] = mapped_column(Text, server_default=text("pg_current_xact_id()::text"))


class Posting(Base):
    """One leg: `minor` > 0 debits, `minor` < 0 credits. Written only in its entry's own transaction.

    That entry and account are there, the account with this currency, pool and side, a statement's trigger sees to.
    """

    __tablename__ = "posting"
    __table_args__ = (Index(None, "account_id"),)

    entry_id: Mapped[UUID] = mapped_column(primary_key=True)
    account_id: Mapped[UUID] = mapped_column(primary_key=True)
    currency: Mapped[Currency]
    pool: Mapped[str] = mapped_column(Text)
    side: Mapped[int] = mapped_column(SmallInteger)
    minor: Mapped[Minor]


class Hold(Base):
    """Money set aside for a purpose until it is resolved. A statement's trigger looks for the account."""

    __tablename__ = "hold"
    __table_args__ = (Index(None, "account_id"), Index(None, "subject_id"))

    id: Mapped[Id]
    account_id: Mapped[UUID]
    minor: Mapped[Minor]
    subject_kind: Mapped[str] = mapped_column(Text)
    subject_id: Mapped[UUID]
    placed_at: Mapped[Created]


class HoldResolution(Base):
    """How a hold ended, once: posted, voided or expired. A statement's trigger looks for the hold and the entry."""

    __tablename__ = "hold_resolution"

    hold_id: Mapped[UUID] = mapped_column(primary_key=True)
    outcome: Mapped[str] = mapped_column(Text)
    entry_id: Mapped[UUID | None]
    resolved_at: Mapped[Created]

"""Rows of collection: what is due to whom, what each receipt gave, which steps were taken."""

from datetime import date
from uuid import UUID

from sqlalchemy import BigInteger, Date, ForeignKey, Integer, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from marketplace.db import Base, Created, Currency, Id, Instant, Minor


class CollectionRow(Base):
    """A funded receivable on its way home."""

    __tablename__ = "collection"

    receivable_id: Mapped[UUID] = mapped_column(ForeignKey("title.receivable_id"), primary_key=True)
    lot_id: Mapped[UUID] = mapped_column(unique=True)
    seller_id: Mapped[UUID] = mapped_column(index=True)
    debtor_id: Mapped[UUID] = mapped_column(index=True)
    currency: Mapped[Currency]
    face_minor: Mapped[Minor]
    rate_bps: Mapped[int] = mapped_column(Integer)
    due_on: Mapped[date] = mapped_column(Date)
    expected_on: Mapped[date] = mapped_column(Date)
    late_charged_to: Mapped[date] = mapped_column(Date)
    state: Mapped[str] = mapped_column(Text, server_default=text("'due'"))
    policy_version: Mapped[str] = mapped_column(Text)
    opened_at: Mapped[Created]
    defaulted_at: Mapped[Instant | None]
    closed_at: Mapped[Instant | None]


class DueRow(Base):
    """What one party is due at one step of the waterfall; `party_id` is null for the platform."""

    __tablename__ = "due"
    __table_args__ = (UniqueConstraint("receivable_id", "step", "party_id", postgresql_nulls_not_distinct=True),)

    id: Mapped[Id]
    receivable_id: Mapped[UUID] = mapped_column(ForeignKey("collection.receivable_id"))
    step: Mapped[str] = mapped_column(Text)
    party_id: Mapped[UUID | None] = mapped_column(index=True)
    position: Mapped[int] = mapped_column(Integer)
    due_minor: Mapped[Minor]
    paid_minor: Mapped[Minor] = mapped_column(BigInteger, server_default=text("0"))


class DistributionRow(Base):
    """One receipt, shared out once."""

    __tablename__ = "distribution"

    id: Mapped[Id]
    receivable_id: Mapped[UUID] = mapped_column(ForeignKey("collection.receivable_id"), index=True)
    payment_id: Mapped[UUID] = mapped_column(unique=True)
    entry_id: Mapped[UUID] = mapped_column(ForeignKey("entry.id"))
    received_minor: Mapped[Minor]
    excess_minor: Mapped[Minor]
    recovery: Mapped[bool]
    distributed_at: Mapped[Created]


class ShareRow(Base):
    """What a receipt gave one party at one step."""

    __tablename__ = "share"

    due_id: Mapped[UUID] = mapped_column(ForeignKey("due.id"), primary_key=True)
    distribution_id: Mapped[UUID] = mapped_column(ForeignKey("distribution.id"), primary_key=True)
    minor: Mapped[Minor]


class AgeingStepRow(Base):
    """A step of collection that was taken, once."""

    __tablename__ = "ageing_step"

    receivable_id: Mapped[UUID] = mapped_column(ForeignKey("collection.receivable_id"), primary_key=True)
    step: Mapped[str] = mapped_column(Text, primary_key=True)
    taken_at: Mapped[Created]


class DilutionEffectRow(Base):
    """What a credit note took from the residual, what is demanded of the seller, what nobody owed any more."""

    __tablename__ = "dilution_effect"

    dilution_id: Mapped[UUID] = mapped_column(ForeignKey("dilution.id"), primary_key=True)
    receivable_id: Mapped[UUID] = mapped_column(ForeignKey("collection.receivable_id"), index=True)
    residual_minor: Mapped[Minor]
    demanded_minor: Mapped[Minor]
    beyond_minor: Mapped[Minor]
    at: Mapped[Created]

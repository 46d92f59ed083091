"""Rows of the room: who we are at the provider, money coming in and going out, calls, webhooks, alerts."""

from datetime import date, datetime
from typing import Annotated, Any
from uuid import UUID

from sqlalchemy import (
    CHAR,
    BigInteger,
    CheckConstraint,
    Date,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from marketplace.db import Base, Created, Currency, Id, Instant, Minor

Words = Annotated[str, mapped_column(Text)]
MaybeWords = Annotated[str | None, mapped_column(Text)]
Json = Annotated[Any, mapped_column(JSONB)]
Raw = Annotated[bytes, mapped_column(LargeBinary)]
OrganisationId = Annotated[UUID, mapped_column(ForeignKey("organisation.id"))]


class ProviderAccountRow(Base):
    """An organisation at the provider: as a payer (`customer`), or paid in one currency (`connected`)."""

    __tablename__ = "provider_account"
    __table_args__ = (
        UniqueConstraint("organisation_id", "kind", "currency", postgresql_nulls_not_distinct=True),
        UniqueConstraint("provider_id"),
    )

    id: Mapped[Id]
    organisation_id: Mapped[OrganisationId]
    kind: Mapped[Words]
    currency: Mapped[str | None] = mapped_column(CHAR(3))
    provider_id: Mapped[Words]
    created_at: Mapped[Created]


class Paying(Base):
    """What a funding and a debtor's payment have in common: what was asked for, and what the provider shows."""

    __abstract__ = True

    id: Mapped[Id]
    organisation_id: Mapped[OrganisationId]
    currency: Mapped[Currency]
    amount_minor: Mapped[Minor]
    words: Mapped[Words]
    return_url: Mapped[Words]
    state: Mapped[Words]
    state_since: Mapped[Created]
    session_id: Mapped[MaybeWords]
    pay_url: Mapped[MaybeWords]
    intent_id: Mapped[MaybeWords]
    received_minor: Mapped[int | None] = mapped_column(BigInteger)
    received_currency: Mapped[MaybeWords]
    created_at: Mapped[Created]


class FundingRow(Paying):
    """Money an investor puts in."""

    __tablename__ = "funding"
    __table_args__ = (
        UniqueConstraint("session_id"),
        Index(None, "organisation_id", "created_at"),
        Index(None, "state"),
    )


class DebtorPaymentRow(Paying):
    """Money a debtor pays for one receivable. `received_on`: the day it arrived, at the bank or with the provider."""

    __tablename__ = "debtor_payment"
    __table_args__ = (
        UniqueConstraint("session_id"),
        Index(None, "receivable_id", "created_at"),
        Index(None, "state"),
        Index("ix_debtor_payment_unapplied", "state_since",
              postgresql_where=text("state = 'succeeded' AND applied_at IS NULL")),
    )  # fmt: skip

    receivable_id: Mapped[UUID] = mapped_column(ForeignKey("receivable.id"))
    applied_at: Mapped[Instant | None]
    distribution_id: Mapped[UUID | None]
    rail: Mapped[str] = mapped_column(Text, server_default=text("'provider'"))
    received_on: Mapped[date | None] = mapped_column(Date)


PAYING: tuple[type[Paying], ...] = (FundingRow, DebtorPaymentRow)


class PayoutRow(Base):
    """Money to a bank: a transfer to the connected account, then a payout from there; or by a bank file, whole.

    `rail` is how: by the provider or by the bank. `pay_to_…` name who is not an organisation of ours: a sender that
    gets its money back.
    """

    __tablename__ = "payout"
    __table_args__ = (
        UniqueConstraint("business_key"),
        UniqueConstraint("payout_id"),
        Index(None, "organisation_id", "created_at"),
        Index(None, "subject_id"),
        Index(None, "state"),
        Index(None, "paid_at"),
    )

    id: Mapped[Id]
    organisation_id: Mapped[OrganisationId]
    currency: Mapped[Currency]
    amount_minor: Mapped[Minor]
    purpose: Mapped[Words]
    subject_kind: Mapped[Words]
    subject_id: Mapped[UUID]
    business_key: Mapped[Words]
    state: Mapped[Words]
    state_since: Mapped[Created]
    account_id: Mapped[MaybeWords]
    transfer_id: Mapped[MaybeWords]
    payout_id: Mapped[MaybeWords]
    reversal_id: Mapped[MaybeWords]
    failure_code: Mapped[MaybeWords]
    paid_at: Mapped[Instant | None]
    created_at: Mapped[Created]
    rail: Mapped[str] = mapped_column(Text, server_default=text("'provider'"))
    pay_to_name: Mapped[MaybeWords]
    pay_to_iban: Mapped[MaybeWords]


class OutgoingCallRow(Base):
    """An intent to call the provider, committed before the call. Its id is the idempotency key."""

    __tablename__ = "outgoing_call"
    __table_args__ = (
        UniqueConstraint("business_key"),
        Index(None, "subject_id"),
        Index("ix_outgoing_call_due", "next_at", postgresql_where=text("state IN ('pending', 'sent', 'unknown')")),
    )

    id: Mapped[Id]
    kind: Mapped[Words]
    business_key: Mapped[Words]
    subject_kind: Mapped[Words]
    subject_id: Mapped[UUID]
    request: Mapped[Raw]
    state: Mapped[Words]
    attempts: Mapped[int] = mapped_column(Integer)
    look_ups: Mapped[int] = mapped_column(Integer)
    next_at: Mapped[Instant | None]
    first_sent_at: Mapped[Instant | None]
    provider_id: Mapped[MaybeWords]
    failure_code: Mapped[MaybeWords]
    created_at: Mapped[Created]
    done_at: Mapped[Instant | None]
    proposed_by: Mapped[UUID | None]
    proposed_decision: Mapped[MaybeWords]
    released_by: Mapped[UUID | None]


class IncomingEventRow(Base):
    """A webhook as it came, signature and all. `happened_at` is the provider's instant."""

    __tablename__ = "incoming_event"
    __table_args__ = (
        UniqueConstraint("provider", "event_id"),
        Index("ix_incoming_event_due", "next_at", postgresql_where=text("state = 'received'")),
        Index("ix_incoming_event_arrived", "object_id",
              postgresql_where=text("kind = 'checkout.session.async_payment_succeeded'")),
    )  # fmt: skip

    id: Mapped[Id]
    provider: Mapped[Words]
    event_id: Mapped[Words]
    kind: Mapped[Words]
    object_kind: Mapped[Words]
    object_id: Mapped[Words]
    account: Mapped[MaybeWords]
    happened_at: Mapped[Instant | None]
    raw: Mapped[Raw]
    signature: Mapped[Words]
    state: Mapped[Words]
    attempts: Mapped[int] = mapped_column(Integer)
    next_at: Mapped[Created]
    received_at: Mapped[Created]
    settled_at: Mapped[Instant | None]


class ProviderTransitionRow(Base):
    """A step of a provider's object that moved money here: each at most once, for ever."""

    __tablename__ = "provider_transition"

    object_id: Mapped[str] = mapped_column(Text, primary_key=True)
    transition: Mapped[str] = mapped_column(Text, primary_key=True)
    entry_id: Mapped[UUID | None] = mapped_column(ForeignKey("entry.id"))
    at: Mapped[Created]


class ChargebackRow(Base):
    """Money that a payer's bank took back, as the provider tells it. Booked once; if it comes back, reinstated once."""

    __tablename__ = "chargeback"
    __table_args__ = (
        UniqueConstraint("dispute_id"),
        UniqueConstraint("entry_id"),
        UniqueConstraint("reinstated_entry_id"),
        Index(None, "payment_id"),
        Index("ix_chargeback_to_book", "seen_at",
              postgresql_where=text("entry_id IS NULL OR state = 'won' AND reinstated_entry_id IS NULL")),
    )  # fmt: skip

    id: Mapped[Id]
    dispute_id: Mapped[Words]
    payment_kind: Mapped[Words]
    payment_id: Mapped[UUID]
    currency: Mapped[Currency]
    minor: Mapped[Minor]
    state: Mapped[Words]
    seen_at: Mapped[Created]
    entry_id: Mapped[UUID | None] = mapped_column(ForeignKey("entry.id"))
    booked_at: Mapped[Instant | None]
    reinstated_entry_id: Mapped[UUID | None] = mapped_column(ForeignKey("entry.id"))


class PaymentAlertRow(Base):
    """Something a person must look at. Raised once for a subject and a kind."""

    __tablename__ = "payment_alert"
    __table_args__ = (UniqueConstraint("kind", "subject_id"),)

    id: Mapped[Id]
    kind: Mapped[Words]
    subject_kind: Mapped[Words]
    subject_id: Mapped[UUID]
    facts: Mapped[Json]
    raised_at: Mapped[Created]
    closed_at: Mapped[Instant | None]


class ReconciliationRow(Base):
    """One comparison of the provider's balance with our clearing accounts, in one currency.

    Of the provider's lines those since `read_from` were read for it, or its whole history.
    """

    __tablename__ = "reconciliation"
    __table_args__ = (Index(None, "at"),)

    id: Mapped[Id]
    at: Mapped[Created]
    currency: Mapped[Currency]
    provider_minor: Mapped[Minor]
    in_flight_minor: Mapped[Minor]
    ledger_minor: Mapped[Minor]
    explained_minor: Mapped[Minor]
    unexplained_minor: Mapped[Minor]
    breaks: Mapped[Json]
    read_from: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class ProviderLineRow(Base):
    """A line of the provider's balance as it was first read."""

    __tablename__ = "provider_line"
    __table_args__ = (Index(None, "made_at"),)

    line_id: Mapped[str] = mapped_column(Text, primary_key=True)
    kind: Mapped[Words]
    minor: Mapped[Minor]
    fee_minor: Mapped[Minor]
    currency: Mapped[Currency]
    made_at: Mapped[Instant]
    source_id: Mapped[MaybeWords]
    intent_id: Mapped[MaybeWords]


class ProcessingCostRow(Base):
    """What the provider kept of one line of its balance, and the entry that booked it."""

    __tablename__ = "processing_cost"
    __table_args__ = (CheckConstraint("minor <> 0", "minor"), Index(None, "entry_id"))

    line_id: Mapped[str] = mapped_column(Text, primary_key=True)
    currency: Mapped[Currency]
    minor: Mapped[Minor]
    entry_id: Mapped[UUID] = mapped_column(ForeignKey("entry.id"))

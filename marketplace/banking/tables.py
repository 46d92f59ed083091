"""Rows of the bank's files: each file as it came, and each movement once."""

from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import Boolean, Date, ForeignKey, Index, Integer, LargeBinary, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from marketplace.db import Base, Created, Currency, Id, Minor


class BankMessageRow(Base):
    """A file of the bank's, byte for byte, and what became of its entries. Kept once by its id and by its bytes."""

    __tablename__ = "bank_message"
    __table_args__ = (UniqueConstraint("kind", "message_id"), UniqueConstraint("sha256"), Index(None, "kept_at"))

    id: Mapped[Id]
    kind: Mapped[str] = mapped_column(Text)
    message_id: Mapped[str] = mapped_column(Text)
    name: Mapped[str] = mapped_column(Text)
    sha256: Mapped[bytes] = mapped_column(LargeBinary)
    raw: Mapped[bytes] = mapped_column(LargeBinary)
    entries: Mapped[int] = mapped_column(Integer)
    known: Mapped[int] = mapped_column(Integer)
    pending: Mapped[int] = mapped_column(Integer)
    outcomes: Mapped[Any] = mapped_column(JSONB)
    closing: Mapped[Any] = mapped_column(JSONB)
    kept_by: Mapped[UUID | None]
    kept_at: Mapped[Created]


class BankEntryRow(Base):
    """Money that came to our account or left it, booked once whichever file told of it first.

    `bank_ref` is the bank's name for the entry, `key` that of its part. `reverses_id` names the entry that it undoes,
    which can be undone once.
    """

    __tablename__ = "bank_entry"
    __table_args__ = (
        UniqueConstraint("iban", "key"),
        UniqueConstraint("reverses_id"),
        Index(None, "message_id"),
        Index(None, "payment_id"),
        Index(None, "iban", "bank_ref"),
        Index(None, "iban", "currency", "minor"),
        Index(None, "entry_id"),
        Index(
            "uq_bank_entry_payout",
            "payout_id",
            "outcome",
            unique=True,
            postgresql_where=text("outcome IN ('paid_out', 'came_back')"),
        ),
        Index(
            "uq_bank_entry_payout_file",
            "payout_file_id",
            "outcome",
            unique=True,
            postgresql_where=text("outcome IN ('paid_out', 'came_back')"),
        ),
    )

    id: Mapped[Id]
    message_id: Mapped[UUID] = mapped_column(ForeignKey("bank_message.id"))
    iban: Mapped[str] = mapped_column(Text)
    key: Mapped[str] = mapped_column(Text)
    bank_ref: Mapped[str] = mapped_column(Text)
    currency: Mapped[Currency]
    minor: Mapped[Minor]
    incoming: Mapped[bool] = mapped_column(Boolean)
    reversal: Mapped[bool] = mapped_column(Boolean)
    booked_on: Mapped[date] = mapped_column(Date)
    reference: Mapped[str | None] = mapped_column(Text)
    words: Mapped[str] = mapped_column(Text)
    names: Mapped[Any] = mapped_column(JSONB)
    outcome: Mapped[str] = mapped_column(Text)
    receivable_id: Mapped[UUID | None] = mapped_column(ForeignKey("receivable.id"))
    payment_id: Mapped[UUID | None] = mapped_column(ForeignKey("debtor_payment.id"))
    entry_id: Mapped[UUID] = mapped_column(ForeignKey("entry.id"))
    reverses_id: Mapped[UUID | None] = mapped_column(ForeignKey("bank_entry.id"))
    at: Mapped[Created]
    sender_name: Mapped[str | None] = mapped_column(Text)
    sender_iban: Mapped[str | None] = mapped_column(Text)
    payout_id: Mapped[UUID | None] = mapped_column(ForeignKey("payout.id"))
    payout_file_id: Mapped[UUID | None] = mapped_column(ForeignKey("payout_file.id"))


class PayoutFileRow(Base):
    """A file of credit transfers that two people ordered, byte for byte. Append-only; `message_id` is its name."""

    __tablename__ = "payout_file"
    __table_args__ = (
        UniqueConstraint("message_id"), UniqueConstraint("decision_id"), UniqueConstraint("sha256"),
        Index(None, "written_at"),
    )  # fmt: skip

    id: Mapped[Id]
    message_id: Mapped[str] = mapped_column(Text)
    decision_id: Mapped[UUID] = mapped_column(ForeignKey("money_decision.id"))
    iban: Mapped[str] = mapped_column(Text)
    currency: Mapped[Currency]
    execute_on: Mapped[date] = mapped_column(Date)
    orders: Mapped[int] = mapped_column(Integer)
    total_minor: Mapped[Minor]
    sha256: Mapped[bytes] = mapped_column(LargeBinary)
    raw: Mapped[bytes] = mapped_column(LargeBinary)
    written_at: Mapped[Created]


class PayoutOrderRow(Base):
    """A payout in a file: in one file ever, under the reference by which the bank's own files name it again."""

    __tablename__ = "payout_order"
    __table_args__ = (UniqueConstraint("end_to_end_id"),)

    payout_id: Mapped[UUID] = mapped_column(ForeignKey("payout.id"), primary_key=True)
    file_id: Mapped[UUID] = mapped_column(ForeignKey("payout_file.id"), index=True)
    end_to_end_id: Mapped[str] = mapped_column(Text)
    name: Mapped[str] = mapped_column(Text)
    iban: Mapped[str] = mapped_column(Text)
    minor: Mapped[Minor]
    xact: Mapped[str] = mapped_column(Text, server_default=text("pg_current_xact_id()::text"))


class BankReconciliationRow(Base):
    """One comparison of an account's last closing balance with our books. Append-only."""

    __tablename__ = "bank_reconciliation"
    __table_args__ = (Index(None, "iban", "currency", "at"),)

    id: Mapped[Id]
    at: Mapped[Created]
    iban: Mapped[str] = mapped_column(Text)
    currency: Mapped[Currency]
    stated_on: Mapped[date] = mapped_column(Date)
    stated_minor: Mapped[Minor]
    ledger_minor: Mapped[Minor]
    explained_minor: Mapped[Minor]
    unexplained_minor: Mapped[Minor]
    breaks: Mapped[Any] = mapped_column(JSONB)

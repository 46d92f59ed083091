"""Rows of the bank's files: each file as it came, and each movement once."""

from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import Boolean, Date, ForeignKey, Index, Integer, LargeBinary, Text, UniqueConstraint
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

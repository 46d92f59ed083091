"""What the companies register answered, when each party is asked again, and how the register itself does."""

from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import Boolean, Date, DateTime, ForeignKey, Index, Integer, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from marketplace.db import Base, Created, Id, Instant


class RegisterAnswerRow(Base):
    """One answer about one party; append-only. Without a `company_state` the register knows no such number."""

    __tablename__ = "register_answer"
    __table_args__ = (Index(None, "organisation_id", "asked_at"),)

    id: Mapped[Id]
    organisation_id: Mapped[UUID] = mapped_column(ForeignKey("organisation.id"))
    company_number: Mapped[str] = mapped_column(Text)
    source: Mapped[str] = mapped_column(Text)
    said_on: Mapped[date] = mapped_column(Date)
    company_name: Mapped[str | None] = mapped_column(Text)
    company_state: Mapped[str | None] = mapped_column(Text)
    company_kind: Mapped[str | None] = mapped_column(Text)
    incorporated_on: Mapped[date | None] = mapped_column(Date)
    ceased_on: Mapped[date | None] = mapped_column(Date)
    accounts_due_on: Mapped[date | None] = mapped_column(Date)
    accounts_overdue: Mapped[bool] = mapped_column(Boolean)
    accounts_made_up_to: Mapped[date | None] = mapped_column(Date)
    accounts_kind: Mapped[str | None] = mapped_column(Text)
    charges_total: Mapped[int] = mapped_column(Integer)
    charges_outstanding: Mapped[int] = mapped_column(Integer)
    cases: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    insolvent: Mapped[bool] = mapped_column(Boolean)
    document_id: Mapped[str | None] = mapped_column(Text)
    asked_at: Mapped[Created]


class RegisterWatchRow(Base):
    """When a party is asked about next, what went wrong the last time, and what became of its newest accounts there."""

    __tablename__ = "register_watch"
    __table_args__ = (Index(None, "next_at"),)

    organisation_id: Mapped[UUID] = mapped_column(ForeignKey("organisation.id"), primary_key=True)
    next_at: Mapped[Instant]
    failures: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    trouble: Mapped[str | None] = mapped_column(Text)
    document_id: Mapped[str | None] = mapped_column(Text)
    document_outcome: Mapped[str | None] = mapped_column(Text)
    document_words: Mapped[str | None] = mapped_column(Text)


class RegisterLineRow(Base):
    """How the register itself does: one row."""

    __tablename__ = "register_line"

    one: Mapped[bool] = mapped_column(Boolean, primary_key=True, server_default=text("true"))
    state: Mapped[str] = mapped_column(Text, server_default=text("'unasked'"))
    code: Mapped[str | None] = mapped_column(Text)
    since: Mapped[Created]
    heard_at: Mapped[Instant | None] = mapped_column(DateTime(timezone=True))
    rests_until: Mapped[Instant | None] = mapped_column(DateTime(timezone=True))

"""Rows of the title register."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, LargeBinary, Text, func, text
from sqlalchemy.dialects.postgresql import INT8RANGE, TSTZRANGE, ExcludeConstraint, Range
from sqlalchemy.orm import Mapped, mapped_column

from marketplace.db import Base, Created, Currency, Id, Instant, Minor


class Title(Base):
    """A registered receivable: `face_minor` units, one key that can never be registered again."""

    __tablename__ = "title"

    receivable_id: Mapped[UUID] = mapped_column(primary_key=True)
    key: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    face_minor: Mapped[Minor]
    currency: Mapped[Currency]
    registered_at: Mapped[Created]
    ended_at: Mapped[Instant | None]
    end_cause: Mapped[str | None] = mapped_column(Text)


class TitleHolding(Base):
    """A range of units owned during a period. No two overlap in both."""

    __tablename__ = "holding"
    __table_args__ = (
        ExcludeConstraint(
            ("receivable_id", "="), ("units", "&&"), ("held_during", "&&"), name="ex_holding_one_owner", using="gist"
        ),
        ExcludeConstraint(
            ("receivable_id", "="),
            (func.lower(text("held_during")), "<>"),
            name="ex_holding_sold_once",
            using="gist",
            where=text("cause = 'award'"),
        ),
    )

    id: Mapped[Id]
    receivable_id: Mapped[UUID] = mapped_column(index=True)  # of a title: a statement's trigger looks
    owner_id: Mapped[UUID] = mapped_column(index=True)
    units: Mapped[Range[int]] = mapped_column(INT8RANGE)
    held_during: Mapped[Range[datetime]] = mapped_column(TSTZRANGE)
    cause: Mapped[str] = mapped_column(Text)


class Tombstone(Base):
    """Why a registered receivable left the market; its key stays taken."""

    __tablename__ = "tombstone"

    receivable_id: Mapped[UUID] = mapped_column(ForeignKey("title.receivable_id"), primary_key=True)
    at: Mapped[Created] = mapped_column(primary_key=True)
    reason_code: Mapped[str] = mapped_column(Text)


class TitleReturn(Base):
    """A withdrawn receivable that came back, under its own key and with its seller still holding all of it."""

    __tablename__ = "title_return"

    receivable_id: Mapped[UUID] = mapped_column(ForeignKey("title.receivable_id"), primary_key=True)
    at: Mapped[Created] = mapped_column(primary_key=True)
    reason_code: Mapped[str] = mapped_column(Text)

"""Rows of this room: lots, sealed bids, awards with their transcripts, fills. Awards and fills are append-only."""

from datetime import date, datetime
from typing import Annotated, Any
from uuid import UUID

from sqlalchemy import (
    CHAR,
    BigInteger,
    Boolean,
    Date,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from marketplace.db import Base, Created, Currency, Id, Instant, Minor

Words = Annotated[str, mapped_column(Text)]
Rate = Annotated[int, mapped_column(Integer)]
OrganisationId = Annotated[UUID, mapped_column(ForeignKey("organisation.id"))]
OF_MANDATE = text("mandate_id IS NOT NULL")
LIVE = text("state IN ('open', 'awaiting_seller', 'accepted', 'held', 'settled')")


class LotRow(Base):
    """A receivable put up for bids once, under terms that never change; its state moves by the machine."""

    __tablename__ = "lot"
    __table_args__ = (
        UniqueConstraint("receivable_id", "number"),
        Index("uq_lot_receivable_id_live", "receivable_id", unique=True, postgresql_where=LIVE),
        ForeignKeyConstraint(
            ["session_id", "closes_at", "currency"],
            ["call_session.id", "call_session.closes_at", "call_session.currency"],
        ),
        Index(None, "session_id", postgresql_where=text("session_id IS NOT NULL")),
        Index(None, "state", "closes_at"),
        Index(None, "debtor_id"),
        Index(None, "seller_id"),
    )

    id: Mapped[Id]
    receivable_id: Mapped[UUID] = mapped_column(ForeignKey("receivable.id"))
    number: Mapped[int] = mapped_column(Integer)
    seller_id: Mapped[OrganisationId]
    debtor_id: Mapped[OrganisationId]
    deal_type: Mapped[Words]
    recourse: Mapped[Words]
    currency: Mapped[Currency]
    face_minor: Mapped[Minor]
    advance_bps: Mapped[Rate]
    target_minor: Mapped[Minor]
    lot_size_minor: Mapped[Minor]
    minimum_minor: Mapped[Minor]
    reserve_bps: Mapped[Rate]
    own_rate_bps: Mapped[int | None] = mapped_column(Integer)
    indicative_bps: Mapped[Rate]
    min_share_bps: Mapped[Rate]
    group_cap_bps: Mapped[Rate]
    fee_bps: Mapped[Rate]
    late_bps: Mapped[Rate]
    price_rule: Mapped[Words]
    seller_default: Mapped[Words]
    expected_on: Mapped[date] = mapped_column(Date)
    tenor_days: Mapped[int] = mapped_column(Integer)
    related_groups: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid))
    debtor_grade: Mapped[Words]
    seller_grade: Mapped[str | None] = mapped_column(Text)
    expected_loss_ppm: Mapped[int] = mapped_column(Integer)
    expected_loss_recourse_ppm: Mapped[int] = mapped_column(Integer)
    model_version: Mapped[Words]
    policy_version: Mapped[Words]
    state: Mapped[Words]
    opened_at: Mapped[Created]
    closes_at: Mapped[Instant]
    closed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    decide_by: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    decided_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    # own_rate: without asking, at the seller's own rate or below, or at the buy-now rate, which `bought_at` tells apart
    decided_how: Mapped[str | None] = mapped_column(Text)
    state_reason: Mapped[str | None] = mapped_column(Text)
    held_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    session_id: Mapped[UUID | None]
    bidding: Mapped[str] = mapped_column(Text, server_default=text("'sealed'"))
    buy_now_bps: Mapped[int | None] = mapped_column(Integer)
    late_seconds: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    extend_seconds: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    extensions_max: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    improve_only_seconds: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    extensions: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    bought_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class BidRow(Base):
    """One sealed bid with the hold that stands behind it. Improving is taking it back and placing another."""

    __tablename__ = "bid"
    __table_args__ = (
        UniqueConstraint("lot_id", "seq"),
        ForeignKeyConstraint(["mandate_id", "investor_id"], ["mandate.id", "mandate.investor_id"]),
        Index(None, "investor_id", "placed_at"),
        Index("ix_bid_resting", "lot_id", "investor_id", postgresql_where=text("hold_id IS NULL")),
        Index("uq_bid_mandate_id_lot_id", "mandate_id", "lot_id", unique=True, postgresql_where=OF_MANDATE),
    )

    id: Mapped[Id]
    lot_id: Mapped[UUID]  # that lot, investor and hold exist is asked once a statement (`bids_in_order`)
    seq: Mapped[int] = mapped_column(BigInteger, Identity(always=True))
    investor_id: Mapped[UUID]
    group_id: Mapped[UUID]
    cash_minor: Mapped[Minor]
    min_fill_minor: Mapped[Minor]
    rate_bps: Mapped[Rate]
    hold_id: Mapped[UUID | None] = mapped_column(unique=True)
    replaces_id: Mapped[UUID | None] = mapped_column(ForeignKey("bid.id"))
    placed_by: Mapped[UUID]
    placed_at: Mapped[Created]
    state: Mapped[str] = mapped_column(Text, server_default=text("'placed'"))
    reasons: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'"))
    ended_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    mandate_id: Mapped[UUID | None]


class AwardRow(Base):
    """What a clearing decided, with the transcript anyone can compute again. Round 2 is a reduced acceptance."""

    __tablename__ = "award"

    lot_id: Mapped[UUID] = mapped_column(ForeignKey("lot.id"), primary_key=True)
    round: Mapped[int] = mapped_column(Integer, primary_key=True)
    outcome: Mapped[Words]
    stop_out_bps: Mapped[int | None] = mapped_column(Integer)
    awarded_minor: Mapped[Minor]
    discount_minor: Mapped[Minor]
    standing_minor: Mapped[Minor]
    groups: Mapped[int] = mapped_column(Integer)
    rule: Mapped[Words]
    rule_version: Mapped[Words]
    transcript: Mapped[bytes] = mapped_column(LargeBinary, deferred=True)
    sha256: Mapped[str] = mapped_column(CHAR(64))
    made_at: Mapped[Created]
    xact: Mapped[str] = mapped_column(Text, server_default=text("pg_current_xact_id()::text"))


class FillRow(Base):
    """One bid's part of an award: cash to pay, discount to earn, the rate, the hold it is paid from."""

    __tablename__ = "fill"
    __table_args__ = (Index(None, "investor_id"),)

    lot_id: Mapped[UUID] = mapped_column(primary_key=True)
    round: Mapped[int] = mapped_column(Integer, primary_key=True)
    bid_id: Mapped[UUID] = mapped_column(primary_key=True)
    investor_id: Mapped[UUID]  # its bid's, as the hold is: the database looks at the bid and the award
    cash_minor: Mapped[Minor]
    discount_minor: Mapped[Minor]
    rate_bps: Mapped[Rate]
    hold_id: Mapped[UUID]


class MandateRow(Base):
    """One investor's standing instructions. Terms never change: who wants others ends it and writes another."""

    __tablename__ = "mandate"
    __table_args__ = (
        UniqueConstraint("id", "investor_id"),
        Index(None, "investor_id"),
        Index("ix_mandate_currency_active", "currency", postgresql_where=text("state = 'active'")),
    )

    id: Mapped[Id]
    investor_id: Mapped[OrganisationId]
    name: Mapped[Words]
    currency: Mapped[Currency]
    spread_bps: Mapped[Rate]
    rate_bps_min: Mapped[Rate]
    grade_worst: Mapped[Words]
    tenor_days_min: Mapped[Rate]
    tenor_days_max: Mapped[Rate]
    full_recourse_only: Mapped[bool] = mapped_column(Boolean)
    loss_ppm_max: Mapped[int | None] = mapped_column(Integer)
    lot_minor_max: Mapped[Minor]
    lot_share_bps_max: Mapped[Rate]
    min_fill_minor: Mapped[Minor]
    debtor_minor_max: Mapped[int | None] = mapped_column(BigInteger)
    seller_minor_max: Mapped[int | None] = mapped_column(BigInteger)
    outstanding_minor_max: Mapped[int | None] = mapped_column(BigInteger)
    budget_minor: Mapped[Minor]
    budget_days: Mapped[Rate]
    created_by: Mapped[UUID]
    created_at: Mapped[Created]
    state: Mapped[str] = mapped_column(Text, server_default=text("'active'"))
    state_since: Mapped[Created]


class MandateNoteRow(Base):
    """What a mandate did in one lot: its bid, or every reason why there is none."""

    __tablename__ = "mandate_note"
    __table_args__ = (Index(None, "mandate_id", "at"),)

    mandate_id: Mapped[UUID] = mapped_column(ForeignKey("mandate.id"), primary_key=True)
    lot_id: Mapped[UUID] = mapped_column(ForeignKey("lot.id"), primary_key=True)
    bid_id: Mapped[UUID | None] = mapped_column(ForeignKey("bid.id"))
    reasons: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    at: Mapped[Created]


class CallSessionRow(Base):
    """Lots that close at one instant and clear together; one that is open at a time and currency."""

    __tablename__ = "call_session"
    __table_args__ = (
        UniqueConstraint("id", "closes_at", "currency"),
        Index("uq_call_session_currency_open", "currency", unique=True, postgresql_where=text("state = 'open'")),
    )

    id: Mapped[Id]
    currency: Mapped[Currency]
    closes_at: Mapped[Instant]
    opened_at: Mapped[Created]
    state: Mapped[str] = mapped_column(Text, server_default=text("'open'"))
    closed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    transcript: Mapped[bytes | None] = mapped_column(LargeBinary, deferred=True)
    sha256: Mapped[str | None] = mapped_column(CHAR(64))
    path: Mapped[str | None] = mapped_column(Text)
    gap_ppm: Mapped[int | None] = mapped_column(BigInteger)


class SessionCapRow(Base):
    """The most an investor spends in a session: in all, or on one debtor."""

    __tablename__ = "session_cap"
    __table_args__ = (UniqueConstraint("session_id", "investor_id", "debtor_id", postgresql_nulls_not_distinct=True),)

    id: Mapped[Id]
    session_id: Mapped[UUID] = mapped_column(ForeignKey("call_session.id"))
    investor_id: Mapped[OrganisationId]
    debtor_id: Mapped[UUID | None] = mapped_column(ForeignKey("organisation.id"))
    minor: Mapped[Minor]
    set_at: Mapped[Created]


class SessionPurseRow(Base):
    """One hold of an investor's budget in a session, on which his bids there rest."""

    __tablename__ = "session_purse"

    session_id: Mapped[UUID] = mapped_column(ForeignKey("call_session.id"), primary_key=True)
    investor_id: Mapped[OrganisationId] = mapped_column(primary_key=True)
    hold_id: Mapped[UUID] = mapped_column(ForeignKey("hold.id"), unique=True)
    set_at: Mapped[Created]


class SessionReasonRow(Base):
    """What became of one bid of a session that has closed, and every reason why, as the close told it."""

    __tablename__ = "session_reason"
    __table_args__ = (Index(None, "session_id", "investor_id"),)

    bid_id: Mapped[UUID] = mapped_column(ForeignKey("bid.id"), primary_key=True)
    session_id: Mapped[UUID] = mapped_column(ForeignKey("call_session.id"))
    investor_id: Mapped[OrganisationId]
    state: Mapped[Words]
    cash_minor: Mapped[Minor]
    reasons: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)

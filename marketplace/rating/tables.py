"""Rows of this room. Append-only but for overrides: a new filing or rating is a new row, the old one stays."""

from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CHAR,
    BigInteger,
    Boolean,
    Date,
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

from marketplace.db import Base, Created, Id, Instant


class FilingRow(Base):
    """A set of accounts as it was handed in, with what was read from it."""

    __tablename__ = "filing"
    __table_args__ = (UniqueConstraint("organisation_id", "sha256"), Index(None, "organisation_id", "period_end"))

    id: Mapped[Id]
    organisation_id: Mapped[UUID] = mapped_column(ForeignKey("organisation.id"))
    filename: Mapped[str] = mapped_column(Text)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(CHAR(64))
    content: Mapped[bytes] = mapped_column(LargeBinary, deferred=True)
    company_number: Mapped[str | None] = mapped_column(Text)
    company_name: Mapped[str | None] = mapped_column(Text)
    period_end: Mapped[date] = mapped_column(Date)
    prior_period_end: Mapped[date | None] = mapped_column(Date)
    dormant: Mapped[bool] = mapped_column(Boolean)
    read: Mapped[dict[str, Any]] = mapped_column(JSONB)
    faults: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    attested_reason: Mapped[str | None] = mapped_column(Text)
    filed_by: Mapped[UUID | None]
    filed_by_role: Mapped[str] = mapped_column(Text)
    filed_at: Mapped[Created]


class PartyRatingRow(Base):
    """A party's PD and grade from one filing under one model and policy, with all that it was made from."""

    __tablename__ = "party_rating"
    __table_args__ = (Index(None, "organisation_id", "rated_at"), Index(None, "filing_id"))

    id: Mapped[Id]
    organisation_id: Mapped[UUID] = mapped_column(ForeignKey("organisation.id"))
    filing_id: Mapped[UUID] = mapped_column(ForeignKey("filing.id"))
    level: Mapped[str] = mapped_column(Text)
    ratios: Mapped[dict[str, str]] = mapped_column(JSONB)
    prior_ppm: Mapped[int] = mapped_column(Integer)
    floor_ppm: Mapped[int] = mapped_column(Integer)
    pd_ppm: Mapped[int] = mapped_column(Integer)
    grade: Mapped[str] = mapped_column(Text)
    challenger_ppm: Mapped[int] = mapped_column(Integer)
    z_milli: Mapped[int | None] = mapped_column(Integer)
    reasons: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    missing: Mapped[list[str]] = mapped_column(JSONB)
    model_version: Mapped[str] = mapped_column(Text)
    policy_version: Mapped[str] = mapped_column(Text)
    rated_at: Mapped[Created]
    payment_record_id: Mapped[UUID | None] = mapped_column(ForeignKey("payment_record.id"))
    override_id: Mapped[UUID | None] = mapped_column(ForeignKey("grade_override.id"), unique=True)
    model_pd_ppm: Mapped[int | None] = mapped_column(Integer)
    overdue: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))


class ReceivableRatingRow(Base):
    """A receivable's price from the ratings of its debtor and, where there is one, its seller."""

    __tablename__ = "receivable_rating"
    __table_args__ = (Index(None, "receivable_id", "rated_at"),)

    id: Mapped[Id]
    receivable_id: Mapped[UUID] = mapped_column(ForeignKey("receivable.id"))
    debtor_rating_id: Mapped[UUID] = mapped_column(ForeignKey("party_rating.id"))
    seller_id: Mapped[UUID] = mapped_column(ForeignKey("organisation.id"))
    seller_rating_id: Mapped[UUID | None] = mapped_column(ForeignKey("party_rating.id"))
    tenor_days: Mapped[int] = mapped_column(Integer)
    pd_tenor_ppm: Mapped[int] = mapped_column(Integer)
    expected_loss_ppm: Mapped[int] = mapped_column(Integer)
    expected_loss_recourse_ppm: Mapped[int] = mapped_column(Integer)
    indicative_bps: Mapped[int] = mapped_column(Integer)
    advance_bps: Mapped[int] = mapped_column(Integer)
    inputs: Mapped[dict[str, Any]] = mapped_column(JSONB)
    model_version: Mapped[str] = mapped_column(Text)
    policy_version: Mapped[str] = mapped_column(Text)
    rated_at: Mapped[Created]


class RatingObstacleRow(Base):
    """Why a confirmed receivable could not be rated when it was tried."""

    __tablename__ = "rating_obstacle"
    __table_args__ = (Index(None, "receivable_id", "met_at"),)

    id: Mapped[Id]
    receivable_id: Mapped[UUID] = mapped_column(ForeignKey("receivable.id"))
    organisation_id: Mapped[UUID] = mapped_column(ForeignKey("organisation.id"))
    reason: Mapped[str] = mapped_column(Text)
    met_at: Mapped[Created]


class PaymentRecordRow(Base):
    """How a debtor has paid on this market, as it stood when it was counted."""

    __tablename__ = "payment_record"
    __table_args__ = (Index(None, "organisation_id", "noted_at"),)

    id: Mapped[Id]
    organisation_id: Mapped[UUID] = mapped_column(ForeignKey("organisation.id"))
    paid: Mapped[int] = mapped_column(Integer)
    late: Mapped[int] = mapped_column(Integer)
    defaulted: Mapped[int] = mapped_column(Integer)
    exposure_days: Mapped[int] = mapped_column(Integer)
    late_days_sum: Mapped[int] = mapped_column(BigInteger)
    late_days_squares: Mapped[int] = mapped_column(BigInteger)
    past_due_days: Mapped[int] = mapped_column(Integer)
    noted_at: Mapped[Created]


class GradeOverrideRow(Base):
    """A grade proposed in place of the model's, and what a second person decided."""

    __tablename__ = "grade_override"
    __table_args__ = (
        Index("uq_grade_override_rating_id_live", "rating_id", unique=True,
              postgresql_where=text("state IN ('proposed', 'approved')")),
        Index(None, "organisation_id"),
    )  # fmt: skip

    id: Mapped[Id]
    organisation_id: Mapped[UUID] = mapped_column(ForeignKey("organisation.id"))
    rating_id: Mapped[UUID] = mapped_column(ForeignKey("party_rating.id", use_alter=True))
    from_grade: Mapped[str] = mapped_column(Text)
    to_grade: Mapped[str] = mapped_column(Text)
    reason: Mapped[str] = mapped_column(Text)
    maker_id: Mapped[UUID]
    proposed_at: Mapped[Created]
    approver_id: Mapped[UUID | None]
    approver_reason: Mapped[str | None] = mapped_column(Text)
    decided_at: Mapped[Instant | None]
    state: Mapped[str] = mapped_column(Text)


class RatingWatchRow(Base):
    """One thing measured about the model on one day."""

    __tablename__ = "rating_watch"
    __table_args__ = (UniqueConstraint("run_id", "kind", "key"), Index(None, "measured_at"))

    id: Mapped[Id]
    run_id: Mapped[UUID]
    measured_on: Mapped[date] = mapped_column(Date)
    model_version: Mapped[str] = mapped_column(Text)
    kind: Mapped[str] = mapped_column(Text)
    key: Mapped[str] = mapped_column(Text)
    n: Mapped[int] = mapped_column(Integer)
    defaults: Mapped[int] = mapped_column(Integer)
    expected_ppm: Mapped[int | None] = mapped_column(Integer)
    seen_ppm: Mapped[int | None] = mapped_column(Integer)
    value_micro: Mapped[int | None] = mapped_column(BigInteger)
    p_ppm: Mapped[int | None] = mapped_column(Integer)
    alarm: Mapped[str] = mapped_column(Text)
    measured_at: Mapped[Created]


class RatingOutcomeRow(Base):
    """How a funded receivable ended, with the rating of its debtor when its lot was listed. The newest one counts."""

    __tablename__ = "rating_outcome"
    __table_args__ = (UniqueConstraint("receivable_id", "outcome", "ended_on"), Index(None, "debtor_id", "filing_id"))

    id: Mapped[Id]
    receivable_id: Mapped[UUID] = mapped_column(ForeignKey("receivable.id"))
    debtor_id: Mapped[UUID] = mapped_column(ForeignKey("organisation.id"))
    debtor_rating_id: Mapped[UUID] = mapped_column(ForeignKey("party_rating.id"))
    filing_id: Mapped[UUID] = mapped_column(ForeignKey("filing.id"))
    model_version: Mapped[str] = mapped_column(Text)
    listed_on: Mapped[date] = mapped_column(Date)
    ended_on: Mapped[date] = mapped_column(Date)
    outcome: Mapped[str] = mapped_column(Text)
    noted_at: Mapped[Created]


class RatingModelRow(Base):
    """A model that was learnt here: its files, how it compared, and where it stands. Only that ever changes."""

    __tablename__ = "rating_model"
    __table_args__ = (
        Index("uq_rating_model_state_live", "state", unique=True,
              postgresql_where=text("state IN ('proposed', 'serving')")),
    )  # fmt: skip

    id: Mapped[Id]
    version: Mapped[str] = mapped_column(Text, unique=True)
    champion: Mapped[bytes] = mapped_column(LargeBinary)
    challenger: Mapped[bytes] = mapped_column(LargeBinary)
    card: Mapped[str] = mapped_column(Text)
    champion_sha256: Mapped[str] = mapped_column(CHAR(64))
    challenger_sha256: Mapped[str] = mapped_column(CHAR(64))
    card_sha256: Mapped[str] = mapped_column(CHAR(64))
    base: Mapped[str] = mapped_column(Text)
    own_rows: Mapped[int] = mapped_column(Integer)
    own_failures: Mapped[int] = mapped_column(Integer)
    learnt_until: Mapped[date] = mapped_column(Date)
    against_version: Mapped[str] = mapped_column(Text)
    comparison: Mapped[dict[str, Any]] = mapped_column(JSONB)
    state: Mapped[str] = mapped_column(Text)
    made_at: Mapped[Created]
    moved_at: Mapped[Instant | None]


class ModelVoiceRow(Base):
    """What one person said about a learnt model, and why."""

    __tablename__ = "model_voice"
    __table_args__ = (UniqueConstraint("model_id", "voice", "user_id"),)

    id: Mapped[Id]
    model_id: Mapped[UUID] = mapped_column(ForeignKey("rating_model.id"))
    voice: Mapped[str] = mapped_column(Text)
    user_id: Mapped[UUID]
    reason: Mapped[str] = mapped_column(Text)
    said_at: Mapped[Created]


class LearningRunRow(Base):
    """What a month's learning came to, also when it came to nothing."""

    __tablename__ = "learning_run"
    __table_args__ = (Index(None, "ran_at"),)

    id: Mapped[Id]
    month: Mapped[date] = mapped_column(Date)
    base: Mapped[str] = mapped_column(Text)
    outcomes: Mapped[int] = mapped_column(Integer)
    years: Mapped[int] = mapped_column(Integer)
    failures: Mapped[int] = mapped_column(Integer)
    judged: Mapped[int] = mapped_column(Integer)
    judged_failures: Mapped[int] = mapped_column(Integer)
    verdict: Mapped[str] = mapped_column(Text)
    model_id: Mapped[UUID | None] = mapped_column(ForeignKey("rating_model.id"))
    ran_at: Mapped[Created]

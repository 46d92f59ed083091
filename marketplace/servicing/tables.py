"""Rows of collection: what is due to whom, what each receipt gave, steps taken, holdings offered, buy-backs."""

from datetime import date, datetime
from typing import Any, cast
from uuid import UUID

from sqlalchemy import BigInteger, Date, DateTime, ForeignKey, Index, Integer, LargeBinary, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import ARRAY, INT8RANGE, JSONB, ExcludeConstraint, Range
from sqlalchemy.orm import Mapped, mapped_column

from marketplace.db import Base, Created, Currency, Id, Instant, Minor


class CollectionRow(Base):
    """A funded receivable on its way home. The late charge's rate, like the award's, is of the day it was sold."""

    __tablename__ = "collection"

    receivable_id: Mapped[UUID] = mapped_column(ForeignKey("title.receivable_id"), primary_key=True)
    lot_id: Mapped[UUID] = mapped_column(unique=True)
    seller_id: Mapped[UUID] = mapped_column(index=True)
    debtor_id: Mapped[UUID] = mapped_column(index=True)
    currency: Mapped[Currency]
    face_minor: Mapped[Minor]
    rate_bps: Mapped[int] = mapped_column(Integer)
    late_rate_bps: Mapped[int] = mapped_column(Integer)
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
    receivable_id: Mapped[UUID]  # of a collection: a statement's trigger looks, as it does for shares
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

    due_id: Mapped[UUID] = mapped_column(primary_key=True)
    distribution_id: Mapped[UUID] = mapped_column(primary_key=True)
    minor: Mapped[Minor]


class LateClaimRow(Base):
    """What the law lets us claim of a debtor that pays late, frozen when the debt became overdue. Append-only."""

    __tablename__ = "late_claim"

    receivable_id: Mapped[UUID] = mapped_column(ForeignKey("collection.receivable_id"), primary_key=True)
    law: Mapped[str] = mapped_column(Text)
    reference_bps: Mapped[int] = mapped_column(Integer)
    rate_bps: Mapped[int] = mapped_column(Integer)
    since_on: Mapped[date] = mapped_column(Date)
    compensation_minor: Mapped[Minor]
    policy_version: Mapped[str] = mapped_column(Text)
    opened_at: Mapped[Created]


class LateReceiptRow(Base):
    """What of a receipt was interest, beyond the debt itself. Append-only."""

    __tablename__ = "late_receipt"

    distribution_id: Mapped[UUID] = mapped_column(ForeignKey("distribution.id"), primary_key=True)
    receivable_id: Mapped[UUID] = mapped_column(ForeignKey("late_claim.receivable_id"), index=True)
    minor: Mapped[Minor]


class ReceiptReversalRow(Base):
    """What a chargeback took from a receipt that had been shared out. Append-only: one for each chargeback."""

    __tablename__ = "receipt_reversal"

    id: Mapped[Id]
    chargeback_id: Mapped[UUID] = mapped_column(ForeignKey("chargeback.id"), unique=True)
    distribution_id: Mapped[UUID] = mapped_column(ForeignKey("distribution.id"), index=True)
    entry_id: Mapped[UUID] = mapped_column(ForeignKey("entry.id"), unique=True)
    taken_minor: Mapped[Minor]
    excess_minor: Mapped[Minor]
    borne_minor: Mapped[Minor]
    at: Mapped[Created]


class ReversalShareRow(Base):
    """What of it one party was asked for, and how much of that the platform bore in its place."""

    __tablename__ = "reversal_share"

    reversal_id: Mapped[UUID] = mapped_column(ForeignKey("receipt_reversal.id"), primary_key=True)
    due_id: Mapped[UUID] = mapped_column(ForeignKey("due.id"), primary_key=True, index=True)
    minor: Mapped[Minor]
    borne_minor: Mapped[Minor]


class MoneyDecisionRow(Base):
    """What one person proposed to do with money, and another did. The database asks for it where money moves so."""

    __tablename__ = "money_decision"
    __table_args__ = (
        UniqueConstraint("entry_id"),
        Index("uq_money_decision_one_open", "kind", "subject_id", unique=True,
              postgresql_where=text("state = 'proposed'")),
        Index(None, "subject_id"),
    )  # fmt: skip

    id: Mapped[Id]
    kind: Mapped[str] = mapped_column(Text)
    subject_id: Mapped[UUID]
    payload: Mapped[Any] = mapped_column(JSONB)
    payload_hash: Mapped[bytes] = mapped_column(LargeBinary)
    reason: Mapped[str] = mapped_column(Text)
    proposed_by: Mapped[UUID] = mapped_column(ForeignKey("user_account.id"))
    proposed_at: Mapped[Created]
    state: Mapped[str] = mapped_column(Text, server_default=text("'proposed'"))
    decided_by: Mapped[UUID | None] = mapped_column(ForeignKey("user_account.id"))
    decided_at: Mapped[Instant | None]
    entry_id: Mapped[UUID | None] = mapped_column(ForeignKey("entry.id"))
    decided_xact: Mapped[str | None] = mapped_column(Text)


class ClosedPeriodRow(Base):
    """No entry bears this date or an earlier one any more; with the trial balance of that evening."""

    __tablename__ = "closed_period"

    through_on: Mapped[date] = mapped_column(Date, primary_key=True)
    decision_id: Mapped[UUID] = mapped_column(ForeignKey("money_decision.id"), unique=True)
    trial_balance: Mapped[Any] = mapped_column(JSONB)
    closed_at: Mapped[Created]


class AgeingStepRow(Base):
    """A step of collection that was taken, once."""

    __tablename__ = "ageing_step"

    receivable_id: Mapped[UUID] = mapped_column(ForeignKey("collection.receivable_id"), primary_key=True)
    step: Mapped[str] = mapped_column(Text, primary_key=True)
    taken_at: Mapped[Created]


class DilutionEffectRow(Base):
    """What a credit note took from the residual, and what is demanded of the seller by when. Append-only."""

    __tablename__ = "dilution_effect"

    dilution_id: Mapped[UUID] = mapped_column(ForeignKey("dilution.id"), primary_key=True)
    receivable_id: Mapped[UUID] = mapped_column(ForeignKey("collection.receivable_id"), index=True)
    residual_minor: Mapped[Minor]
    demanded_minor: Mapped[Minor]
    pay_by: Mapped[date | None] = mapped_column(Date)
    at: Mapped[Created]


class DilutionProposalRow(Base):
    """A credit note that waits for a second voice, and who gave it: the debtor by a link, or two operators."""

    __tablename__ = "dilution_proposal"
    __table_args__ = (
        Index("uq_dilution_proposal_open", "receivable_id", "number_key", unique=True,
              postgresql_where=text("state IN ('waiting', 'proposed')")),
    )  # fmt: skip

    id: Mapped[Id]
    receivable_id: Mapped[UUID] = mapped_column(ForeignKey("collection.receivable_id"), index=True)
    number: Mapped[str] = mapped_column(Text)
    number_key: Mapped[str] = mapped_column(Text)
    issued_on: Mapped[date | None] = mapped_column(Date)
    currency: Mapped[Currency]
    amount_minor: Mapped[Minor]
    document_id: Mapped[UUID | None] = mapped_column(ForeignKey("document.id"))
    words: Mapped[str | None] = mapped_column(Text)
    said_by: Mapped[str] = mapped_column(Text)
    said_at: Mapped[Created]
    state: Mapped[str] = mapped_column(Text, server_default=text("'waiting'"))
    maker_id: Mapped[UUID | None]
    maker_reason: Mapped[str | None] = mapped_column(Text)
    proposed_at: Mapped[Instant | None]
    approver_id: Mapped[UUID | None]
    approver_reason: Mapped[str | None] = mapped_column(Text)
    link_id: Mapped[UUID | None] = mapped_column(ForeignKey("debtor_link.id"))
    answered_by: Mapped[str | None] = mapped_column(Text)
    refused_by: Mapped[str | None] = mapped_column(Text)
    refusal: Mapped[str | None] = mapped_column(Text)
    decided_at: Mapped[Instant | None]
    dilution_id: Mapped[UUID | None] = mapped_column(ForeignKey("dilution.id"), unique=True)


class DilutionCoverRow(Base):
    """What the seller gave for a credit note beyond the residual. Append-only: one for each."""

    __tablename__ = "dilution_cover"

    dilution_id: Mapped[UUID] = mapped_column(ForeignKey("dilution_effect.dilution_id"), primary_key=True)
    receivable_id: Mapped[UUID] = mapped_column(ForeignKey("collection.receivable_id"), index=True)
    covered_minor: Mapped[Minor]
    entry_id: Mapped[UUID] = mapped_column(ForeignKey("entry.id"), unique=True)
    at: Mapped[Created]


class DilutionCoverShareRow(Base):
    """What of it went to whom, at which step of the waterfall."""

    __tablename__ = "dilution_cover_share"
    __table_args__ = (UniqueConstraint("dilution_id", "step", "party_id", postgresql_nulls_not_distinct=True),)

    id: Mapped[Id]
    dilution_id: Mapped[UUID] = mapped_column(ForeignKey("dilution_cover.dilution_id"))
    step: Mapped[str] = mapped_column(Text)
    party_id: Mapped[UUID | None] = mapped_column(index=True)
    minor: Mapped[Minor]


class HoldingOfferRow(Base):
    """A range of units that its owner offers at a fixed price until a deadline. No two open ones overlap."""

    __tablename__ = "holding_offer"
    __table_args__ = (
        ExcludeConstraint(
            ("receivable_id", "="),
            ("units", "&&"),
            name="ex_holding_offer_one_open",
            using="gist",
            where=text("state = 'open'"),
        ),
        Index(None, "state", "closes_at"),
    )

    id: Mapped[Id]
    receivable_id: Mapped[UUID] = mapped_column(ForeignKey("title.receivable_id"), index=True)
    owner_id: Mapped[UUID] = mapped_column(ForeignKey("organisation.id"), index=True)
    units: Mapped[Range[int]] = mapped_column(INT8RANGE)
    currency: Mapped[Currency]
    price_minor: Mapped[Minor]
    principal_minor: Mapped[Minor]
    to_come_minor: Mapped[Minor]
    fee_bps: Mapped[int] = mapped_column(Integer)
    policy_version: Mapped[str] = mapped_column(Text)
    offered_by: Mapped[UUID]
    offered_at: Mapped[Created]
    refusal_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    closes_at: Mapped[Instant]
    state: Mapped[str] = mapped_column(Text, server_default=text("'open'"))
    ended_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    end_reason: Mapped[str | None] = mapped_column(Text)
    buyer_id: Mapped[UUID | None] = mapped_column(ForeignKey("organisation.id"))
    fee_minor: Mapped[int | None] = mapped_column(BigInteger)
    acknowledged: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'"))
    entry_id: Mapped[UUID | None] = mapped_column(ForeignKey("entry.id"))

    @property
    def piece(self) -> tuple[int, int]:
        """The first unit and the one beyond the last: a CHECK keeps both ends closed."""
        return cast(int, self.units.lower), cast(int, self.units.upper)

    @property
    def size(self) -> int:
        """How many units."""
        return self.piece[1] - self.piece[0]


class BuyBackRow(Base):
    """A buy-back that is asked of the seller, or was paid. At most one of a receivable that is not withdrawn."""

    __tablename__ = "buy_back"

    id: Mapped[Id]
    receivable_id: Mapped[UUID] = mapped_column(ForeignKey("collection.receivable_id"), index=True)
    seller_id: Mapped[UUID] = mapped_column(ForeignKey("organisation.id"), index=True)
    currency: Mapped[Currency]
    reason: Mapped[str] = mapped_column(Text)
    note: Mapped[str | None] = mapped_column(Text)
    asked_at: Mapped[Created]
    asked_by: Mapped[UUID | None]
    pay_by: Mapped[date | None] = mapped_column(Date)
    state: Mapped[str] = mapped_column(Text, server_default=text("'asked'"))
    ended_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    priced_on: Mapped[date | None] = mapped_column(Date)
    principal_minor: Mapped[int | None] = mapped_column(BigInteger)
    discount_minor: Mapped[int | None] = mapped_column(BigInteger)
    late_minor: Mapped[int | None] = mapped_column(BigInteger)
    fee_minor: Mapped[int | None] = mapped_column(BigInteger)
    price_minor: Mapped[int | None] = mapped_column(BigInteger)
    entry_id: Mapped[UUID | None] = mapped_column(ForeignKey("entry.id"), unique=True)


class BuyBackShareRow(Base):
    """What a buy-back paid one party at one step; `party_id` is null for the platform."""

    __tablename__ = "buy_back_share"
    __table_args__ = (UniqueConstraint("buy_back_id", "step", "party_id", postgresql_nulls_not_distinct=True),)

    id: Mapped[Id]
    buy_back_id: Mapped[UUID] = mapped_column(ForeignKey("buy_back.id"))
    step: Mapped[str] = mapped_column(Text)
    party_id: Mapped[UUID | None] = mapped_column(index=True)
    minor: Mapped[Minor]

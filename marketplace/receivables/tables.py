"""Rows of the room: documents, drafts, receivables, the debtor's answers, notices, reviews, outgoing mail."""

from datetime import date
from typing import Annotated, Any
from uuid import UUID

from sqlalchemy import (
    CHAR,
    BigInteger,
    Boolean,
    Date,
    ForeignKey,
    ForeignKeyConstraint,
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
Json = Annotated[Any, mapped_column(JSONB)]
Day = Annotated[date, mapped_column(Date)]
OrganisationId = Annotated[UUID, mapped_column(ForeignKey("organisation.id"))]
DocumentId = Annotated[UUID, mapped_column(ForeignKey("document.id"))]
ReceivableId = Annotated[UUID, mapped_column(ForeignKey("receivable.id"))]


class DocumentRow(Base):
    """A file as it came, or as Duebill wrote it. Append-only; the database checks the hash."""

    __tablename__ = "document"

    id: Mapped[Id]
    organisation_id: Mapped[UUID | None] = mapped_column(ForeignKey("organisation.id"))
    kind: Mapped[Words]
    filename: Mapped[Words]
    media_type: Mapped[Words]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(CHAR(64), index=True)
    content: Mapped[bytes] = mapped_column(LargeBinary, deferred=True)
    created_at: Mapped[Created]


class DraftRow(Base):
    """What was read or typed before anything was listed. Its id becomes the receivable's."""

    __tablename__ = "draft"

    id: Mapped[Id]
    seller_id: Mapped[OrganisationId]
    document_id: Mapped[UUID | None] = mapped_column(ForeignKey("document.id"))
    evidence: Mapped[Words]
    format: Mapped[str | None] = mapped_column(Text)
    read: Mapped[Json]
    findings: Mapped[Json]
    listed_at: Mapped[Instant | None]
    dropped_at: Mapped[Instant | None]
    created_at: Mapped[Created]


class ReceivableRow(Base):
    """One invoice, listed once. Its facts never change, its terms only when it comes back in a new round."""

    __tablename__ = "receivable"
    __table_args__ = (
        ForeignKeyConstraint(
            ["id", "round"], ["listing_round.receivable_id", "listing_round.round"], name="fk_receivable_id_round",
            deferrable=True, initially="DEFERRED", use_alter=True,
        ),
    )  # fmt: skip

    id: Mapped[UUID] = mapped_column(ForeignKey("draft.id"), primary_key=True)
    ref: Mapped[str] = mapped_column(Text, unique=True)
    seller_id: Mapped[OrganisationId]
    debtor_id: Mapped[OrganisationId]
    number: Mapped[Words]
    document_type: Mapped[Words]
    currency: Mapped[Currency]
    face_minor: Mapped[Minor]
    total_minor: Mapped[Minor]
    issued_on: Mapped[Day]
    due_on: Mapped[Day]
    expected_on: Mapped[Day]
    purchase_order: Mapped[str | None] = mapped_column(Text)
    facts: Mapped[Json]
    evidence: Mapped[Words]
    document_id: Mapped[UUID | None] = mapped_column(ForeignKey("document.id"))
    sector: Mapped[str | None] = mapped_column(Text)
    debtor_email: Mapped[str | None] = mapped_column(Text)
    deal_type: Mapped[Words]
    recourse: Mapped[Words]
    price_rule: Mapped[Words]
    seller_default: Mapped[Words]
    bidding: Mapped[str] = mapped_column(Text, server_default=text("'sealed'"))
    buy_now_bps: Mapped[int | None] = mapped_column(Integer)
    reserve_bps: Mapped[int | None] = mapped_column(Integer)
    own_rate_bps: Mapped[int | None] = mapped_column(Integer)
    min_share_bps: Mapped[int] = mapped_column(Integer)
    policy_version: Mapped[Words]
    state: Mapped[Words]
    state_reason: Mapped[str | None] = mapped_column(Text)
    state_since: Mapped[Created]
    listed_at: Mapped[Created]
    confirmed_at: Mapped[Instant | None]
    confirmed_by: Mapped[str | None] = mapped_column(Text)
    promised_on: Mapped[date | None] = mapped_column(Date)
    notice_issued_at: Mapped[Instant | None]
    notice_acknowledged_at: Mapped[Instant | None]
    closed_at: Mapped[Instant | None]
    round: Mapped[int] = mapped_column(Integer, server_default=text("1"))
    keys_version: Mapped[int] = mapped_column(Integer, server_default=text("0"))


class ListingRoundRow(Base):
    """The terms a receivable was offered on, and where the seller was paid then. Append-only: one row each time."""

    __tablename__ = "listing_round"

    receivable_id: Mapped[UUID] = mapped_column(ForeignKey("receivable.id"), primary_key=True)
    round: Mapped[int] = mapped_column(Integer, primary_key=True)
    draft_id: Mapped[UUID | None] = mapped_column(ForeignKey("draft.id"))
    deal_type: Mapped[Words]
    recourse: Mapped[Words]
    price_rule: Mapped[Words]
    seller_default: Mapped[Words]
    bidding: Mapped[str] = mapped_column(Text, server_default=text("'sealed'"))
    buy_now_bps: Mapped[int | None] = mapped_column(Integer)
    reserve_bps: Mapped[int | None] = mapped_column(Integer)
    own_rate_bps: Mapped[int | None] = mapped_column(Integer)
    min_share_bps: Mapped[int] = mapped_column(Integer)
    policy_version: Mapped[Words]
    paid_to: Mapped[bytes | None] = mapped_column(LargeBinary)
    listed_at: Mapped[Created]


class FingerprintRow(Base):
    """One way to recognise a receivable again: the exact key and the looser ones, none of them readable."""

    __tablename__ = "fingerprint"

    value: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    receivable_id: Mapped[UUID] = mapped_column(ForeignKey("receivable.id"), primary_key=True)
    kind: Mapped[Words]


class ReceivableDocumentRow(Base):
    """A further document filed with a receivable."""

    __tablename__ = "receivable_document"

    receivable_id: Mapped[UUID] = mapped_column(ForeignKey("receivable.id"), primary_key=True)
    document_id: Mapped[UUID] = mapped_column(ForeignKey("document.id"), primary_key=True)
    added_at: Mapped[Created]


class DebtorLinkRow(Base):
    """A signed address sent to a debtor, for one purpose: one receivable, or all it owes. Only the hash is kept."""

    __tablename__ = "debtor_link"

    id: Mapped[Id]
    receivable_id: Mapped[UUID | None] = mapped_column(ForeignKey("receivable.id"), index=True)
    debtor_id: Mapped[UUID | None] = mapped_column(ForeignKey("organisation.id"), index=True)
    purpose: Mapped[Words]
    token_hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    issued_at: Mapped[Created]
    expires_at: Mapped[Instant]
    first_opened_at: Mapped[Instant | None]
    used_at: Mapped[Instant | None]
    revoked_at: Mapped[Instant | None]


class ConfirmationRow(Base):
    """The debtor's yes, or two operators' reasons for doing without it. Append-only."""

    __tablename__ = "confirmation"

    id: Mapped[Id]
    receivable_id: Mapped[UUID] = mapped_column(ForeignKey("receivable.id"), index=True)
    link_id: Mapped[UUID | None] = mapped_column(ForeignKey("debtor_link.id"))
    given_by: Mapped[Words]
    amount_minor: Mapped[Minor]
    pay_on: Mapped[date | None] = mapped_column(Date)
    prior_notice: Mapped[bool | None] = mapped_column(Boolean)
    answered_by: Mapped[str | None] = mapped_column(Text)
    words: Mapped[str | None] = mapped_column(Text)
    at: Mapped[Created]


class PriorNoticeRow(Base):
    """Somebody else told the debtor to pay them: outside evidence of an earlier assignment. Append-only."""

    __tablename__ = "prior_notice"

    id: Mapped[Id]
    receivable_id: Mapped[UUID] = mapped_column(ForeignKey("receivable.id"), index=True)
    link_id: Mapped[UUID | None] = mapped_column(ForeignKey("debtor_link.id"))
    claimant: Mapped[Words]
    told_on: Mapped[date | None] = mapped_column(Date)
    at: Mapped[Created]


class DisputeRow(Base):
    """What the debtor says is wrong, and how it ended."""

    __tablename__ = "dispute"

    id: Mapped[Id]
    receivable_id: Mapped[ReceivableId]
    link_id: Mapped[UUID | None] = mapped_column(ForeignKey("debtor_link.id"))
    amount_minor: Mapped[Minor]
    reason: Mapped[Words]
    words: Mapped[str | None] = mapped_column(Text)
    credit_note: Mapped[str | None] = mapped_column(Text)
    answered_by: Mapped[str | None] = mapped_column(Text)
    opened_at: Mapped[Created]
    state: Mapped[str] = mapped_column(Text, server_default=text("'open'"))
    ended_at: Mapped[Instant | None]
    outcome: Mapped[str | None] = mapped_column(Text)


class PaymentPromiseRow(Base):
    """A date on which the debtor says it will pay. Append-only: a new date is a new promise."""

    __tablename__ = "payment_promise"

    id: Mapped[Id]
    receivable_id: Mapped[UUID] = mapped_column(ForeignKey("receivable.id"), index=True)
    link_id: Mapped[UUID | None] = mapped_column(ForeignKey("debtor_link.id"))
    pay_on: Mapped[Day]
    amount_minor: Mapped[Minor]
    promised_by: Mapped[str | None] = mapped_column(Text)
    at: Mapped[Created]


class NoticeRow(Base):
    """A notice of assignment, or of its end: issued, written, sent and acknowledged, each to the second.

    `facts` is what it states, canonical JSON with its SHA-256; those before 0024 were written as they were issued.
    """

    __tablename__ = "notice_of_assignment"
    __table_args__ = (UniqueConstraint("receivable_id", "number"),)

    id: Mapped[Id]
    receivable_id: Mapped[ReceivableId]
    number: Mapped[int] = mapped_column(Integer)
    kind: Mapped[str] = mapped_column(Text, server_default=text("'assignment'"))
    facts: Mapped[str | None] = mapped_column(Text, deferred=True)
    facts_sha256: Mapped[str | None] = mapped_column(Text)
    written_at: Mapped[Instant | None]
    document_id: Mapped[UUID | None] = mapped_column(ForeignKey("document.id"))
    message_document_id: Mapped[UUID | None] = mapped_column(ForeignKey("document.id"))
    assignees: Mapped[Json]
    pay_to: Mapped[Json]
    phrase: Mapped[Words]
    issued_at: Mapped[Created]
    sent_at: Mapped[Instant | None]
    acknowledged_at: Mapped[Instant | None]
    acknowledged_by: Mapped[str | None] = mapped_column(Text)
    link_id: Mapped[UUID | None] = mapped_column(ForeignKey("debtor_link.id"))


class ReviewRow(Base):
    """Why a listing is held, and the two operators who decided. `goes_to` is where a release leads."""

    __tablename__ = "review"

    id: Mapped[Id]
    receivable_id: Mapped[ReceivableId]
    cause: Mapped[Words]
    findings: Mapped[Json]
    matches: Mapped[Json]
    goes_to: Mapped[Words]
    opened_at: Mapped[Created]
    state: Mapped[str] = mapped_column(Text, server_default=text("'open'"))
    maker_id: Mapped[UUID | None]
    maker_reason: Mapped[str | None] = mapped_column(Text)
    proposed_at: Mapped[Instant | None]
    approver_id: Mapped[UUID | None]
    approver_reason: Mapped[str | None] = mapped_column(Text)
    decided_at: Mapped[Instant | None]


class OutgoingMailRow(Base):
    """A letter waiting to be sent: no mail server is wired yet, operators see it and hand it over."""

    __tablename__ = "outgoing_mail"

    id: Mapped[Id]
    organisation_id: Mapped[OrganisationId]
    receivable_id: Mapped[UUID | None] = mapped_column(ForeignKey("receivable.id"), index=True)
    kind: Mapped[Words]
    address: Mapped[str | None] = mapped_column(Text)
    subject: Mapped[Words]
    body: Mapped[Words]
    queued_at: Mapped[Created]
    sent_at: Mapped[Instant | None]


class LetterDocumentRow(Base):
    """A file that goes out with a letter. Append-only."""

    __tablename__ = "letter_document"

    letter_id: Mapped[UUID] = mapped_column(ForeignKey("outgoing_mail.id"), primary_key=True)
    document_id: Mapped[UUID] = mapped_column(ForeignKey("document.id"), primary_key=True)


class DebtorContactRow(Base):
    """An address that an operator has verified for a debtor, and its language. Append-only: the last version counts."""

    __tablename__ = "debtor_contact"

    debtor_id: Mapped[UUID] = mapped_column(ForeignKey("organisation.id"), primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    address: Mapped[Words]
    language: Mapped[Words]
    evidence: Mapped[Words]
    set_by: Mapped[UUID]
    at: Mapped[Created]


class AnswerBatchRow(Base):
    """One answer of a debtor's for many receivables. Append-only."""

    __tablename__ = "answer_batch"
    __table_args__ = (Index(None, "debtor_id", "at"),)

    id: Mapped[Id]
    debtor_id: Mapped[OrganisationId]
    link_id: Mapped[UUID] = mapped_column(ForeignKey("debtor_link.id"))
    answer: Mapped[Words]
    answered_by: Mapped[Words]
    prior_notice: Mapped[bool | None] = mapped_column(Boolean)
    claimant: Mapped[str | None] = mapped_column(Text)
    told_on: Mapped[date | None] = mapped_column(Date)
    at: Mapped[Created]


class AnswerRow(Base):
    """What became of such an answer for one receivable: waiting, taken, or refused with its reason."""

    __tablename__ = "answer_row"
    __table_args__ = (UniqueConstraint("batch_id", "position"),)

    batch_id: Mapped[UUID] = mapped_column(ForeignKey("answer_batch.id"), primary_key=True)
    receivable_id: Mapped[UUID] = mapped_column(ForeignKey("receivable.id"), primary_key=True, index=True)
    position: Mapped[int] = mapped_column(Integer)
    pay_on: Mapped[date | None] = mapped_column(Date)
    state: Mapped[str] = mapped_column(Text, server_default=text("'waiting'"))
    code: Mapped[str | None] = mapped_column(Text)
    words: Mapped[str | None] = mapped_column(Text)
    done_at: Mapped[Instant | None]


class DilutionRow(Base):
    """A credit note against a listed receivable. Append-only; the same one counts once."""

    __tablename__ = "dilution"
    __table_args__ = (UniqueConstraint("receivable_id", "number_key"),)

    id: Mapped[Id]
    receivable_id: Mapped[ReceivableId]
    number: Mapped[Words]
    number_key: Mapped[Words]
    issued_on: Mapped[date | None] = mapped_column(Date)
    currency: Mapped[Currency]
    amount_minor: Mapped[Minor]
    document_id: Mapped[UUID | None] = mapped_column(ForeignKey("document.id"), index=True)
    dispute_id: Mapped[UUID | None] = mapped_column(ForeignKey("dispute.id"))
    recorded_by: Mapped[Words]
    words: Mapped[str | None] = mapped_column(Text)
    at: Mapped[Created]

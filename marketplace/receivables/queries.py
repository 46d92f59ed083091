"""Reading receivables and what belongs to them; locking one for a change."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session, undefer

from marketplace.kernel.errors import NotFound
from marketplace.kernel.words import N_
from marketplace.receivables.bulk.tables import BulkRowRow
from marketplace.receivables.facts import InvoiceFacts
from marketplace.receivables.states import LIVE
from marketplace.receivables.tables import (
    ConfirmationRow,
    DisputeRow,
    DocumentRow,
    DraftRow,
    NoticeRow,
    OutgoingMailRow,
    PaymentPromiseRow,
    PriorNoticeRow,
    ReceivableDocumentRow,
    ReceivableRow,
    ReviewRow,
)
from marketplace.receivables.walls.stops import UPHELD_DISPUTE as UPHELD_DISPUTE
from marketplace.receivables.walls.stops import perhaps_stopped as perhaps_stopped
from marketplace.receivables.walls.stops import stops as stops


@dataclass(frozen=True)
class Receivable:
    """A listed invoice as the other rooms see it. Face is what is sold, in minor units."""

    id: UUID
    ref: str
    seller_id: UUID
    debtor_id: UUID
    number: str
    document_type: str
    currency: str
    face_minor: int
    total_minor: int
    issued_on: date
    due_on: date
    expected_on: date
    purchase_order: str | None
    evidence: str
    document_id: UUID | None
    sector: str | None
    debtor_email: str | None
    deal_type: str
    recourse: str
    price_rule: str
    seller_default: str
    bidding: str
    buy_now_bps: int | None
    reserve_bps: int | None
    own_rate_bps: int | None
    min_share_bps: int
    policy_version: str
    state: str
    state_reason: str | None
    state_since: datetime
    listed_at: datetime
    confirmed_at: datetime | None
    confirmed_by: str | None
    promised_on: date | None
    notice_issued_at: datetime | None
    notice_acknowledged_at: datetime | None
    closed_at: datetime | None
    round: int
    facts: InvoiceFacts


@dataclass(frozen=True)
class Document:
    """A kept file without its bytes."""

    id: UUID
    organisation_id: UUID | None
    kind: str
    filename: str
    media_type: str
    size_bytes: int
    sha256: str
    created_at: datetime


@dataclass(frozen=True)
class Draft:
    """What was read or typed and is not listed yet. `findings` is what the reading left to say."""

    id: UUID
    seller_id: UUID
    document_id: UUID | None
    evidence: str
    format: str | None
    read: InvoiceFacts
    findings: dict[str, Any]
    created_at: datetime


PLAIN = [name for name in Receivable.__dataclass_fields__ if name != "facts"]


def as_receivable(row: ReceivableRow) -> Receivable:
    """Return the row as a value that no session holds."""
    return Receivable(**{name: getattr(row, name) for name in PLAIN}, facts=InvoiceFacts.from_json(row.facts))


def as_document(row: DocumentRow) -> Document:
    """Return the row as a value without its bytes."""
    return Document(**{name: getattr(row, name) for name in Document.__dataclass_fields__})


def _draft(row: DraftRow) -> Draft:
    return Draft(row.id, row.seller_id, row.document_id, row.evidence, row.format,
                 InvoiceFacts.from_json(row.read), row.findings, row.created_at)  # fmt: skip


def missing() -> NotFound:
    """Return the refusal that an absent thing and another's thing share."""
    return NotFound("not_found", N_("There is no such thing, or you may not see it."))


def find_receivable(session: Session, receivable_id: UUID) -> Receivable | None:
    """Return the receivable, or None."""
    row = session.get(ReceivableRow, receivable_id, populate_existing=True)
    return as_receivable(row) if row else None


def receivable(session: Session, receivable_id: UUID) -> Receivable:
    """Return the receivable.

    Raises: NotFound("not_found").
    """
    found = find_receivable(session, receivable_id)
    if found is None:
        raise missing()
    return found


def receivable_by_ref(session: Session, ref: str) -> Receivable:
    """Return the receivable of a reference such as DB-26-0001.

    Raises: NotFound("not_found").
    """
    row = session.execute(select(ReceivableRow).where(ReceivableRow.ref == ref)).scalar_one_or_none()
    if row is None:
        raise missing()
    return as_receivable(row)


def receivables(session: Session, ids: Sequence[UUID]) -> dict[UUID, Receivable]:
    """Return those of the receivables that exist."""
    rows = session.execute(select(ReceivableRow).where(ReceivableRow.id.in_(list(ids)))).scalars()
    return {row.id: as_receivable(row) for row in rows}


def lock_row(session: Session, receivable_id: UUID) -> ReceivableRow:
    """Lock the receivable for a change inside this room.

    Raises: NotFound("not_found").
    """
    row = session.execute(
        select(ReceivableRow)
        .where(ReceivableRow.id == receivable_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).scalar_one_or_none()
    if row is None:
        raise missing()
    return row


def lock_receivable(session: Session, receivable_id: UUID) -> Receivable:
    """Lock the receivable until the end of the transaction and return it. Lock order: lot, receivable, accounts.

    Raises: NotFound("not_found").
    """
    return as_receivable(lock_row(session, receivable_id))


def in_state(session: Session, state: str, limit: int = 100) -> list[Receivable]:
    """Return receivables in a state, longest there first."""
    rows = session.execute(
        select(ReceivableRow)
        .where(ReceivableRow.state == str(state))
        .order_by(ReceivableRow.state_since, ReceivableRow.ref)
        .limit(limit)
    ).scalars()
    return [as_receivable(row) for row in rows]


def ids_in_state(session: Session, state: str) -> list[UUID]:
    """Return the ids of all receivables in a state, longest there first."""
    wanted = select(ReceivableRow.id).where(ReceivableRow.state == str(state))
    return list(session.scalars(wanted.order_by(ReceivableRow.state_since, ReceivableRow.ref)))


def of_seller(session: Session, seller_id: UUID, limit: int = 500) -> list[Receivable]:
    """Return a seller's receivables, newest first."""
    rows = session.execute(
        select(ReceivableRow)
        .where(ReceivableRow.seller_id == seller_id)
        .order_by(ReceivableRow.listed_at.desc(), ReceivableRow.ref.desc())
        .limit(limit)
    ).scalars()
    return [as_receivable(row) for row in rows]


def of_debtor(session: Session, debtor_id: UUID, states: Sequence[str], limit: int = 200) -> list[Receivable]:
    """Return what a debtor owes in the given states, by due date."""
    rows = session.execute(
        select(ReceivableRow)
        .where(ReceivableRow.debtor_id == debtor_id, ReceivableRow.state.in_([str(s) for s in states]))
        .order_by(ReceivableRow.due_on, ReceivableRow.ref)
        .limit(limit)
    ).scalars()
    return [as_receivable(row) for row in rows]


def draft(session: Session, draft_id: UUID) -> Draft:
    """Return a draft that is neither listed nor dropped.

    Raises: NotFound("not_found").
    """
    row = session.get(DraftRow, draft_id, populate_existing=True)
    if row is None or row.listed_at or row.dropped_at:
        raise missing()
    return _draft(row)


def source(session: Session, receivable_id: UUID) -> Draft:
    """Return the draft that a receivable was listed from.

    Raises: NotFound("not_found").
    """
    row = session.get(DraftRow, receivable_id)
    if row is None:
        raise missing()
    return _draft(row)


def lock_draft(session: Session, draft_id: UUID) -> DraftRow:
    """Lock a draft, whatever became of it.

    Raises: NotFound("not_found").
    """
    row = session.execute(select(DraftRow).where(DraftRow.id == draft_id).with_for_update()).scalar_one_or_none()
    if row is None:
        raise missing()
    return row


def drafts(session: Session, seller_id: UUID, limit: int = 50) -> list[Draft]:
    """Return a seller's open drafts, newest first. Those of a bulk upload are shown there."""
    rows = session.execute(
        select(DraftRow)
        .where(
            DraftRow.seller_id == seller_id,
            DraftRow.listed_at.is_(None),
            DraftRow.dropped_at.is_(None),
            ~exists().where(BulkRowRow.draft_id == DraftRow.id),
        )
        .order_by(DraftRow.created_at.desc())
        .limit(limit)
    ).scalars()
    return [_draft(row) for row in rows]


def document(session: Session, document_id: UUID) -> Document:
    """Return a document without its bytes.

    Raises: NotFound("not_found").
    """
    row = session.get(DocumentRow, document_id)
    if row is None:
        raise missing()
    return as_document(row)


def content(session: Session, document_id: UUID) -> bytes:
    """Return the bytes of a document.

    Raises: NotFound("not_found").
    """
    row = session.get(DocumentRow, document_id, options=[undefer(DocumentRow.content)])
    if row is None:
        raise missing()
    return row.content


def documents(session: Session, receivable_id: UUID) -> list[Document]:
    """Return all documents of a receivable: the invoice, what was added, the notices."""
    found = receivable(session, receivable_id)
    added = select(ReceivableDocumentRow.document_id).where(ReceivableDocumentRow.receivable_id == receivable_id)
    notices_of = select(NoticeRow.document_id).where(NoticeRow.receivable_id == receivable_id)
    rows = session.execute(
        select(DocumentRow)
        .where((DocumentRow.id == found.document_id) | DocumentRow.id.in_(added) | DocumentRow.id.in_(notices_of))
        .order_by(DocumentRow.created_at)
    ).scalars()
    return [as_document(row) for row in rows]


def receivable_of_document(session: Session, document_id: UUID) -> Receivable | None:
    """Return the receivable a document belongs to."""
    added = select(ReceivableDocumentRow.receivable_id).where(ReceivableDocumentRow.document_id == document_id)
    noticed = select(NoticeRow.receivable_id).where(NoticeRow.document_id == document_id)
    row = session.execute(
        select(ReceivableRow).where(
            (ReceivableRow.document_id == document_id) | ReceivableRow.id.in_(added) | ReceivableRow.id.in_(noticed)
        )
    ).scalars().first()  # fmt: skip
    return as_receivable(row) if row else None


def book_share_bps(session: Session, debtor_id: UUID | None, more_minor: int, currency: str) -> tuple[int, int]:
    """Return the debtor's part of the live book of a currency after `more_minor`, in bp, and the number of debtors."""
    live = [str(state) for state in LIVE]
    total, debtors = session.execute(
        select(func.coalesce(func.sum(ReceivableRow.face_minor), 0), func.count(ReceivableRow.debtor_id.distinct()))
        .where(ReceivableRow.state.in_(live), ReceivableRow.currency == currency)
    ).one()  # fmt: skip
    own = 0
    if debtor_id is not None:
        own = session.execute(
            select(func.coalesce(func.sum(ReceivableRow.face_minor), 0)).where(
                ReceivableRow.state.in_(live),
                ReceivableRow.currency == currency,
                ReceivableRow.debtor_id == debtor_id,
            )
        ).scalar_one()
    return (int(own) + more_minor) * 10_000 // max(int(total) + more_minor, 1), int(debtors)


def confirmations(session: Session, receivable_id: UUID) -> list[ConfirmationRow]:
    """Return the debtor's and operators' confirmations, oldest first."""
    return _all(session, ConfirmationRow, ConfirmationRow.receivable_id, receivable_id, ConfirmationRow.at)


def prior_notices(session: Session, receivable_id: UUID) -> list[PriorNoticeRow]:
    """Return what the debtor said about others' notices."""
    return _all(session, PriorNoticeRow, PriorNoticeRow.receivable_id, receivable_id, PriorNoticeRow.at)


def disputes(session: Session, receivable_id: UUID) -> list[DisputeRow]:
    """Return the disputes, oldest first."""
    return _all(session, DisputeRow, DisputeRow.receivable_id, receivable_id, DisputeRow.opened_at)


def open_dispute(session: Session, receivable_id: UUID) -> DisputeRow | None:
    """Return the dispute that is not ended, if there is one."""
    return session.execute(
        select(DisputeRow).where(DisputeRow.receivable_id == receivable_id, DisputeRow.state == "open")
    ).scalar_one_or_none()


def promises(session: Session, receivable_id: UUID) -> list[PaymentPromiseRow]:
    """Return the debtor's promises to pay, oldest first."""
    return _all(session, PaymentPromiseRow, PaymentPromiseRow.receivable_id, receivable_id, PaymentPromiseRow.at)


def notices(session: Session, receivable_id: UUID) -> list[NoticeRow]:
    """Return the notices of assignment, by number."""
    return _all(session, NoticeRow, NoticeRow.receivable_id, receivable_id, NoticeRow.number)


def reviews(session: Session, receivable_id: UUID) -> list[ReviewRow]:
    """Return why it was held, oldest first."""
    return _all(session, ReviewRow, ReviewRow.receivable_id, receivable_id, ReviewRow.opened_at)


def open_review(session: Session, receivable_id: UUID) -> ReviewRow | None:
    """Return the review that is not decided, if there is one."""
    return session.execute(
        select(ReviewRow).where(ReviewRow.receivable_id == receivable_id, ReviewRow.state.in_(("open", "proposed")))
    ).scalar_one_or_none()


def open_reviews(session: Session, limit: int = 100) -> list[ReviewRow]:
    """Return what waits for operators, oldest first."""
    return list(
        session.execute(
            select(ReviewRow)
            .where(ReviewRow.state.in_(("open", "proposed")))
            .order_by(ReviewRow.opened_at)
            .limit(limit)
        ).scalars()
    )


def outgoing_mail(session: Session, receivable_id: UUID | None = None, limit: int = 100) -> list[OutgoingMailRow]:
    """Return letters, newest first; of one receivable when named."""
    query = select(OutgoingMailRow).order_by(OutgoingMailRow.queued_at.desc()).limit(limit)
    if receivable_id is not None:
        query = query.where(OutgoingMailRow.receivable_id == receivable_id)
    return list(session.execute(query).scalars())


def _all(session: Session, row: Any, column: Any, receivable_id: UUID, order: Any) -> list[Any]:
    return list(session.execute(select(row).where(column == receivable_id).order_by(order)).scalars())

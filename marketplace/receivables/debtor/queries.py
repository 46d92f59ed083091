"""Reading what debtors have to do with: verified addresses, batches of answers, credit notes, files of letters."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from marketplace.receivables import queries
from marketplace.receivables.tables import (
    AnswerBatchRow,
    AnswerRow,
    DebtorContactRow,
    DebtorLinkRow,
    DilutionRow,
    DocumentRow,
    LetterDocumentRow,
    NoticeRow,
)


@dataclass(frozen=True)
class Contact:
    """Where a debtor's letters go, and in which language. `verified` is false for an address a seller gave."""

    address: str | None
    language: str
    verified: bool


@dataclass(frozen=True)
class Progress:
    """How far a batch of answers has come."""

    batch: AnswerBatchRow
    waiting: int
    taken: int
    refused: int

    @property
    def rows(self) -> int:
        """How many receivables it is about."""
        return self.waiting + self.taken + self.refused


@dataclass(frozen=True)
class Dilution:
    """A credit note against a receivable, in minor units."""

    id: UUID
    receivable_id: UUID
    number: str
    issued_on: date | None
    currency: str
    amount_minor: int
    document_id: UUID | None
    recorded_by: str
    words: str | None
    at: datetime


def contact(session: Session, debtor_id: UUID) -> DebtorContactRow | None:
    """Return the address that operators verified for a debtor, if they did."""
    return session.execute(
        select(DebtorContactRow)
        .where(DebtorContactRow.debtor_id == debtor_id)
        .order_by(DebtorContactRow.version.desc())
        .limit(1)
    ).scalar_one_or_none()


def contacts(session: Session, debtor_id: UUID) -> list[DebtorContactRow]:
    """Return every address that ever was verified for a debtor, newest first."""
    return list(
        session.execute(
            select(DebtorContactRow)
            .where(DebtorContactRow.debtor_id == debtor_id)
            .order_by(DebtorContactRow.version.desc())
        ).scalars()
    )


def contact_for(session: Session, debtor_id: UUID, given: str | None) -> Contact:
    """Return where a letter to a debtor goes: the verified address before the one that the seller gave."""
    found = contact(session, debtor_id)
    return Contact(found.address, found.language, True) if found else Contact(given, "en", False)


def links_of(session: Session, debtor_id: UUID, receivable_ids: Iterable[UUID] = (), limit: int = 50) -> list[
    DebtorLinkRow
]:  # fmt: skip
    """Return links to all a debtor owes, and to the receivables named, newest first."""
    return list(
        session.execute(
            select(DebtorLinkRow)
            .where((DebtorLinkRow.debtor_id == debtor_id) | DebtorLinkRow.receivable_id.in_(list(receivable_ids)))
            .order_by(DebtorLinkRow.issued_at.desc())
            .limit(limit)
        ).scalars()
    )


def batch(session: Session, batch_id: UUID) -> AnswerBatchRow:
    """Return a batch of answers.

    Raises: NotFound("not_found").
    """
    found = session.get(AnswerBatchRow, batch_id)
    if found is None:
        raise queries.missing()
    return found


def progress(session: Session, batch_id: UUID) -> Progress:
    """Return how far a batch has come.

    Raises: NotFound("not_found").
    """
    found = batch(session, batch_id)
    counts = session.execute(
        select(AnswerRow.state, func.count()).where(AnswerRow.batch_id == batch_id).group_by(AnswerRow.state)
    )
    states = {str(state): int(count) for state, count in counts}
    return Progress(found, states.get("waiting", 0), states.get("taken", 0), states.get("refused", 0))


def batches_of(session: Session, debtor_id: UUID, limit: int = 20) -> list[AnswerBatchRow]:
    """Return a debtor's batches of answers, newest first."""
    return list(
        session.execute(
            select(AnswerBatchRow)
            .where(AnswerBatchRow.debtor_id == debtor_id)
            .order_by(AnswerBatchRow.at.desc())
            .limit(limit)
        ).scalars()
    )


def batches_waiting(session: Session, limit: int = 100) -> list[UUID]:
    """Return batches with rows that wait, oldest first."""
    return list(
        session.execute(
            select(AnswerBatchRow.id)
            .where(select(AnswerRow).where(AnswerRow.batch_id == AnswerBatchRow.id,
                                           AnswerRow.state == "waiting").exists())
            .order_by(AnswerBatchRow.at)
            .limit(limit)
        ).scalars()
    )  # fmt: skip


def rows_waiting(session: Session, batch_id: UUID, limit: int) -> list[UUID]:
    """Return the receivables of a batch that wait, in their order."""
    return list(
        session.execute(
            select(AnswerRow.receivable_id)
            .where(AnswerRow.batch_id == batch_id, AnswerRow.state == "waiting")
            .order_by(AnswerRow.position)
            .limit(limit)
        ).scalars()
    )


def dilutions(session: Session, *receivable_ids: UUID) -> list[Dilution]:
    """Return the credit notes against some receivables, oldest first."""
    rows = session.execute(
        select(DilutionRow)
        .where(DilutionRow.receivable_id.in_(receivable_ids))
        .order_by(DilutionRow.at, DilutionRow.number_key)
    ).scalars()
    return [Dilution(**{name: getattr(row, name) for name in Dilution.__dataclass_fields__}) for row in rows]


def credited_minor(session: Session, receivable_id: UUID) -> int:
    """Return the sum of the credit notes against a receivable: what of its face nobody owes any more."""
    total = select(func.coalesce(func.sum(DilutionRow.amount_minor), 0))
    return int(session.execute(total.where(DilutionRow.receivable_id == receivable_id)).scalar_one())


def letter_documents(session: Session, letter_ids: Sequence[UUID]) -> dict[UUID, list[queries.Document]]:
    """Return the files that go out with letters, by letter."""
    rows = session.execute(
        select(LetterDocumentRow.letter_id, DocumentRow)
        .join(DocumentRow, DocumentRow.id == LetterDocumentRow.document_id)
        .where(LetterDocumentRow.letter_id.in_(list(letter_ids)))
        .order_by(DocumentRow.filename)
    )
    found: dict[UUID, list[queries.Document]] = {}
    for letter_id, row in rows:
        found.setdefault(letter_id, []).append(queries.as_document(row))
    return found


def last_notice(session: Session, receivable_id: UUID) -> int:
    """Return the number of the latest notice, 0 when there is none."""
    last = select(func.max(NoticeRow.number)).where(NoticeRow.receivable_id == receivable_id)
    return session.execute(last).scalar_one() or 0


def unwritten_notices(session: Session, limit: int = 100) -> list[UUID]:
    """Return the notices that were issued and wait to be drawn and sent, the oldest first."""
    waiting = select(NoticeRow.id).where(NoticeRow.written_at.is_(None))
    return list(session.scalars(waiting.order_by(NoticeRow.issued_at, NoticeRow.id).limit(limit)))

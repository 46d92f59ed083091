"""The notice of assignment: issued when an award settles, delivered by link, acknowledged to the second.

Priority between assignees goes by notice. Source: Dearle v Hall (1828); UNIDROIT Model Law on Factoring 2023.
Each notice is a PDF for people and an ISO 20022 message for systems; both go with the letter.
"""

import hashlib
from collections.abc import Sequence
from uuid import UUID

from flask import current_app
from flask_babel import force_locale, gettext
from sqlalchemy import select

from marketplace.kernel.errors import Conflict, NotFound, RuleBroken
from marketplace.kernel.ids import new_id
from marketplace.kernel.words import N_
from marketplace.parties import queries as parties
from marketplace.parties.queries import Organisation
from marketplace.parties.rules import verb
from marketplace.perform import Result, Tx
from marketplace.receivables import queries
from marketplace.receivables.debtor import links, mail
from marketplace.receivables.debtor import queries as debtor_queries
from marketplace.receivables.debtor.assignment_message import Assignment, Party, assignment_message, letter_identifier
from marketplace.receivables.debtor.confirmation import answering
from marketplace.receivables.debtor.notice_text import (
    ASSIGNMENT,
    REASSIGNMENT,
    NoticeFacts,
    PayTo,
    Speech,
    creditor_reference,
    notice_pdf,
    phrase,
)
from marketplace.receivables.drafting import keep_document
from marketplace.receivables.facts import InvoiceFacts
from marketplace.receivables.schemas import AcknowledgeNotice
from marketplace.receivables.tables import DebtorLinkRow, NoticeRow, ReceivableDocumentRow, ReceivableRow


def issue_notice(tx: Tx, receivable_id: UUID, assignees: Sequence[UUID]) -> UUID:
    """Issue the notice that the receivable was assigned, file it, and send it to the debtor with a link.

    Called by the settlement of an award, in its transaction. Returns the notice's id.

    Raises: NotFound.
    """
    row = queries.lock_row(tx.session, receivable_id)
    return _issue(tx, row, ASSIGNMENT, list(dict.fromkeys(assignees)), pay_to(tx, row))


def issue_reassignment(tx: Tx, receivable_id: UUID) -> UUID:
    """Issue the notice that an assignment has ended: the seller bought the receivable back and is paid again.

    Called by the buy-back, in its transaction. Returns the notice's id.

    Raises: NotFound; RuleBroken("no_notice") when no assignment was ever told.
    """
    row = queries.lock_row(tx.session, receivable_id)
    earlier = queries.notices(tx.session, receivable_id)
    if not earlier or earlier[-1].kind != ASSIGNMENT:
        raise RuleBroken("no_notice", N_("The debtor was never told of an assignment."))
    seller = parties.organisation(tx.session, row.seller_id)
    account = PayTo(seller.legal_name, seller.iban, creditor_reference(row.ref))
    assignees = [UUID(one["id"]) for one in earlier[-1].assignees]
    return _issue(tx, row, REASSIGNMENT, assignees, account, earlier[-1])


def _issue(
    tx: Tx, row: ReceivableRow, kind: str, assignees: list[UUID], account: PayTo, ends: NoticeRow | None = None
) -> UUID:
    known = parties.organisations(tx.session, [row.seller_id, row.debtor_id, *assignees])
    owners = [known[one] for one in assignees]
    language = debtor_queries.contact_for(tx.session, row.debtor_id, row.debtor_email).language
    facts = _facts(tx, row, kind, known, owners, account, ends)
    with force_locale(language):
        content = notice_pdf(facts, Speech(language, gettext, mail.day))
    message = assignment_message(_message(tx, row, facts, known, owners, content, language, ends))
    stem = f"{row.ref}-notice-{facts.number}"
    document_id = keep_document(tx, "notice", f"{stem}.pdf", content, row.seller_id)
    message_id = keep_document(tx, "notice", f"{stem}-tsin.008.xml", message, row.seller_id)
    tx.session.add(ReceivableDocumentRow(receivable_id=row.id, document_id=message_id, added_at=tx.now))
    notice = NoticeRow(
        id=new_id(), receivable_id=row.id, number=facts.number, kind=kind, document_id=document_id,
        message_document_id=message_id, assignees=[{"id": str(one.id), "name": one.legal_name} for one in owners],
        pay_to=account.to_json(), phrase=facts.phrase, issued_at=tx.now,
    )  # fmt: skip
    tx.session.add(notice)
    if kind == ASSIGNMENT:
        row.notice_issued_at = tx.now
    tx.session.flush()
    tx.record("receivable", row.id, verb="issue_notice",
              after={"notice_id": notice.id, "number": notice.number, "kind": kind, "document_id": document_id,
                     "document_sha256": hashlib.sha256(content).hexdigest(), "message_document_id": message_id,
                     "message_sha256": hashlib.sha256(message).hexdigest(), "assignees": assignees,
                     "issued_at": tx.now})  # fmt: skip
    token = links.issue(tx, row.id, links.ACCOUNT)
    mail.queue_link(tx, row, known[row.seller_id].legal_name, links.ACCOUNT, token, (document_id, message_id),
                    ended=kind == REASSIGNMENT)  # fmt: skip
    return notice.id


def _facts(
    tx: Tx, row: ReceivableRow, kind: str, known: dict[UUID, Organisation], owners: Sequence[Organisation],
    account: PayTo, ends: NoticeRow | None,
) -> NoticeFacts:  # fmt: skip
    seller, debtor = known[row.seller_id], known[row.debtor_id]
    to = owners if kind == ASSIGNMENT else [seller]
    return NoticeFacts(
        number=len(queries.notices(tx.session, row.id)) + 1, ref=row.ref, invoice=row.number,
        issued_on=row.issued_on, due_on=row.due_on, face_minor=row.face_minor, currency=row.currency,
        seller=_named(seller), debtor=_named(debtor), assignees=tuple(_named(one) for one in to), pay_to=account,
        phrase=phrase_of(row.seller_id, row.debtor_id), issued_at=tx.now, zone=tx.policy.zone, kind=kind,
        ends=ends.number if ends else None,
    )  # fmt: skip


def _message(
    tx: Tx, row: ReceivableRow, facts: NoticeFacts, known: dict[UUID, Organisation], owners: Sequence[Organisation],
    content: bytes, language: str, ends: NoticeRow | None,
) -> Assignment:  # fmt: skip
    invoice = InvoiceFacts.from_json(row.facts)
    operators = parties.of_kind(tx.session, "operator")
    earlier = (letter_identifier(row.ref, ends.number), ends.issued_at.date()) if ends else None
    return Assignment(
        identifier=letter_identifier(row.ref, facts.number), kind=facts.kind, issued_at=tx.now, ref=row.ref,
        invoice=row.number, issued_on=row.issued_on, due_on=row.due_on, currency=row.currency,
        face_minor=row.face_minor, total_minor=row.total_minor, net_minor=invoice.net_minor,
        vat_minor=invoice.vat_minor, seller=_party(known[row.seller_id]), debtor=_party(known[row.debtor_id]),
        agent=_party(operators[0]) if operators else Party("Duebill"), assignees=tuple(_party(one) for one in owners),
        pay_to=facts.pay_to, phrase=facts.phrase, notice_sha256=hashlib.sha256(content).hexdigest(),
        language=language, ends=earlier,
    )  # fmt: skip


def _party(one: Organisation) -> Party:
    return Party(one.legal_name, one.legal_id, one.vat_id, one.country)


def _named(one: Organisation) -> str:
    return f"{one.legal_name} ({one.legal_id})" if one.legal_id else one.legal_name


def pay_to(tx: Tx, row: ReceivableRow) -> PayTo:
    """Return the client account into which the debtor pays, with a structured reference for this receivable."""
    operators = parties.of_kind(tx.session, "operator")
    operator = operators[0] if operators else None
    return PayTo(
        name=f"{operator.legal_name if operator else 'Duebill'} client account",
        iban=operator.iban if operator else None,
        reference=creditor_reference(row.ref),
    )


def phrase_of(seller_id: UUID, debtor_id: UUID) -> str:
    """Return the anti-fraud phrase that this seller and this debtor share; it takes the pepper to make it."""
    return phrase(current_app.extensions["duebill"].settings.pepper, seller_id, debtor_id)


@verb("acknowledge_notice")
def acknowledge_notice(tx: Tx, command: AcknowledgeNotice) -> Result:
    """Take the debtor's word that the notice was read and the named account will be paid.

    Raises: NotFound("unknown_link"); RuleBroken("link_expired", "link_purpose"); Conflict("acknowledged").
    """
    row, link = answering(tx, command.token, links.ACCOUNT, links.DEBTS, receivable_id=command.receivable_id)
    return take_acknowledgement(tx, row, link, command.number, command.answered_by)


def take_acknowledgement(
    tx: Tx, row: ReceivableRow, link: DebtorLinkRow, number: int, answered_by: str | None
) -> Result:  # fmt: skip
    """Write the acknowledgement of a notice down, for its PDF and its message alike; receivable and link are locked.

    Raises: NotFound; Conflict("acknowledged").
    """
    notice = tx.session.execute(
        select(NoticeRow).where(NoticeRow.receivable_id == row.id, NoticeRow.number == number)
        .with_for_update()
    ).scalar_one_or_none()  # fmt: skip
    if notice is None:
        raise NotFound("not_found", N_("There is no such notice."))
    if notice.acknowledged_at is not None:
        raise Conflict("acknowledged", N_("This notice was acknowledged already."))
    at = tx.clock()
    notice.sent_at = notice.sent_at or at
    notice.acknowledged_at, notice.acknowledged_by, notice.link_id = at, answered_by, link.id
    if notice.kind == ASSIGNMENT:
        row.notice_acknowledged_at = row.notice_acknowledged_at or at
    link.used_at = link.used_at or at
    tx.session.flush()
    tx.record("receivable", row.id,
              after={"notice_id": notice.id, "number": notice.number, "kind": notice.kind, "acknowledged_at": at,
                     "link_id": link.id, "document_id": notice.document_id,
                     "message_document_id": notice.message_document_id})  # fmt: skip
    return {"receivable_id": row.id, "number": notice.number, "acknowledged_at": at}

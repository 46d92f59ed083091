"""The notice of assignment: issued when an award settles, written after it, acknowledged to the second.

Priority between assignees goes by notice. Source: Dearle v Hall (1828); UNIDROIT Model Law on Factoring 2023.
What it states is kept and hashed in the settlement; drawing it takes as long as it has assignees, so that is done
afterwards, by the job `write_notices`: a PDF for people and an ISO 20022 message for systems, both with the letter.
"""

import hashlib
from collections.abc import Sequence
from uuid import UUID

from flask import current_app
from flask_babel import force_locale, gettext
from sqlalchemy import select
from sqlalchemy.orm import undefer

from marketplace.kernel.errors import Conflict, IntegrityBreach, NotFound, RuleBroken
from marketplace.kernel.ids import new_id
from marketplace.kernel.words import N_
from marketplace.parties import queries as parties
from marketplace.parties.queries import Organisation, Registered
from marketplace.parties.rules import verb
from marketplace.perform import Result, Tx
from marketplace.receivables import queries
from marketplace.receivables.debtor import links, mail
from marketplace.receivables.debtor import queries as debtor_queries
from marketplace.receivables.debtor.assignment_message import Party, assignment_message
from marketplace.receivables.debtor.confirmation import answering
from marketplace.receivables.debtor.notice_facts import Statement, fingerprint
from marketplace.receivables.debtor.notice_text import (
    ASSIGNMENT,
    REASSIGNMENT,
    PayTo,
    Speech,
    creditor_reference,
    notice_pdf,
    phrase,
)
from marketplace.receivables.debtor.schemas import WriteNotice
from marketplace.receivables.drafting import keep_document
from marketplace.receivables.facts import InvoiceFacts
from marketplace.receivables.schemas import AcknowledgeNotice
from marketplace.receivables.tables import DebtorLinkRow, NoticeRow, ReceivableDocumentRow, ReceivableRow


def issue_notice(tx: Tx, receivable_id: UUID, assignees: Sequence[UUID | str]) -> UUID:
    """Keep what the notice of an assignment states; `write_notice` draws and sends it afterwards.

    Called by the settlement of an award, in its transaction. Returns the notice's id.

    Raises: NotFound.
    """
    row = queries.lock_row(tx.session, receivable_id)
    return _issue(tx, row, ASSIGNMENT, list(dict.fromkeys(map(str, assignees))), pay_to(tx, row))


def issue_reassignment(tx: Tx, receivable_id: UUID) -> UUID:
    """Keep what the notice of an assignment's end states: the seller bought it back and is paid again.

    Called by the buy-back, in its transaction. Returns the notice's id.

    Raises: NotFound; RuleBroken("no_notice") when no assignment was ever told.
    """
    row = queries.lock_row(tx.session, receivable_id)
    earlier = queries.notices(tx.session, receivable_id)
    if not earlier or earlier[-1].kind != ASSIGNMENT:
        raise RuleBroken("no_notice", N_("The debtor was never told of an assignment."))
    seller = parties.organisation(tx.session, row.seller_id)
    account = PayTo(seller.legal_name, seller.iban, creditor_reference(row.ref))
    assignees = [one["id"] for one in earlier[-1].assignees]
    return _issue(tx, row, REASSIGNMENT, assignees, account, earlier[-1])


def _issue(
    tx: Tx, row: ReceivableRow, kind: str, assignees: list[str], account: PayTo, ends: NoticeRow | None = None
) -> UUID:
    known = {one.id: one for one in parties.registered(tx.session, [row.seller_id, row.debtor_id, *assignees])}
    owners = [known[one] for one in assignees]
    stated = _statement(tx, row, kind, known, owners, account, ends)
    kept = stated.to_bytes().decode()
    notice = NoticeRow(
        id=new_id(), receivable_id=row.id, number=stated.number, kind=kind, facts=kept,
        facts_sha256=fingerprint(kept), assignees=[{"id": one.id, "name": one.legal_name} for one in owners],
        pay_to=account.to_json(), phrase=stated.phrase, issued_at=tx.now,
    )  # fmt: skip
    tx.session.add(notice)
    if kind == ASSIGNMENT:
        row.notice_issued_at = tx.now
    tx.session.flush()
    tx.record("receivable", row.id, verb="issue_notice",
              after={"notice_id": notice.id, "number": notice.number, "kind": kind, "assignees": assignees,
                     "facts_sha256": notice.facts_sha256, "issued_at": tx.now})  # fmt: skip
    return notice.id


def _statement(
    tx: Tx, row: ReceivableRow, kind: str, known: dict[str, Registered], owners: Sequence[Registered],
    account: PayTo, ends: NoticeRow | None,
) -> Statement:  # fmt: skip
    invoice = InvoiceFacts.from_json(row.facts)
    operators = parties.of_kind(tx.session, "operator")
    return Statement(
        kind=kind, number=debtor_queries.last_notice(tx.session, row.id) + 1, ref=row.ref, invoice=row.number,
        issued_on=row.issued_on, due_on=row.due_on, currency=row.currency, face_minor=row.face_minor,
        total_minor=row.total_minor, net_minor=invoice.net_minor, vat_minor=invoice.vat_minor,
        seller=_party(known[str(row.seller_id)]), debtor=_party(known[str(row.debtor_id)]),
        agent=_agent(operators[0]) if operators else Party("Duebill"), owners=tuple(map(_party, owners)),
        pay_to=account, phrase=phrase_of(row.seller_id, row.debtor_id), issued_at=tx.now, zone=tx.policy.zone,
        language=debtor_queries.contact_for(tx.session, row.debtor_id, row.debtor_email).language,
        ends=(ends.number, ends.issued_at.date()) if ends else None,
    )  # fmt: skip


def _party(one: Registered) -> Party:
    return Party(*one[1:])


def _agent(one: Organisation) -> Party:
    return Party(one.legal_name, one.legal_id, one.vat_id, one.country)


@verb("write_notice")
def write_notice(tx: Tx, command: WriteNotice) -> Result:
    """Draw an issued notice from what it states, file it, and send it to the debtor with a link.

    It is drawn before any lock is taken. The letter is written with it, so that none goes out without its files.

    Raises: NotFound; Conflict("notice_written"); IntegrityBreach when the facts are not those that were issued.
    """
    notice = tx.session.get(NoticeRow, command.notice_id, options=[undefer(NoticeRow.facts)])
    if notice is None:
        raise NotFound("not_found", N_("There is no such notice."))
    if notice.written_at is not None or notice.facts is None:
        raise Conflict("notice_written", N_("This notice was written already."))
    if fingerprint(notice.facts) != notice.facts_sha256:
        raise IntegrityBreach("notice_facts", "A notice does not state what was issued.")
    stated = Statement.from_text(notice.facts)
    with force_locale(stated.language):
        content = notice_pdf(stated.for_people(), Speech(stated.language, gettext, mail.day))
    digest = hashlib.sha256(content).hexdigest()
    message = assignment_message(stated.for_systems(digest))
    row = queries.lock_row(tx.session, notice.receivable_id)
    tx.session.refresh(notice, ["written_at"], with_for_update=True)
    if notice.written_at is not None:
        raise Conflict("notice_written", N_("This notice was written already."))
    return _file(tx, row, notice, content, message)


def _file(tx: Tx, row: ReceivableRow, notice: NoticeRow, content: bytes, message: bytes) -> Result:
    stem = f"{row.ref}-notice-{notice.number}"
    document_id = keep_document(tx, "notice", f"{stem}.pdf", content, row.seller_id)
    message_id = keep_document(tx, "notice", f"{stem}-tsin.008.xml", message, row.seller_id)
    tx.session.add(ReceivableDocumentRow(receivable_id=row.id, document_id=message_id, added_at=tx.now))
    notice.document_id, notice.message_document_id, notice.written_at = document_id, message_id, tx.now
    tx.session.flush()
    tx.record("receivable", row.id,
              after={"notice_id": notice.id, "number": notice.number, "facts_sha256": notice.facts_sha256,
                     "document_id": document_id, "document_sha256": hashlib.sha256(content).hexdigest(),
                     "message_document_id": message_id, "message_sha256": hashlib.sha256(message).hexdigest(),
                     "written_at": tx.now})  # fmt: skip
    token = links.issue(tx, row.id, links.ACCOUNT)
    seller = parties.organisation(tx.session, row.seller_id)
    mail.queue_link(tx, row, seller.legal_name, links.ACCOUNT, token, (document_id, message_id),
                    ended=notice.kind == REASSIGNMENT)  # fmt: skip
    return {"notice_id": notice.id, "document_id": document_id, "message_document_id": message_id}


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
        select(NoticeRow).where(NoticeRow.receivable_id == row.id, NoticeRow.number == number,
                                NoticeRow.written_at.is_not(None))
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

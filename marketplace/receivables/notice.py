"""The notice of assignment: issued when an award settles, delivered by link, acknowledged to the second.

Priority between assignees goes by notice. Source: Dearle v Hall (1828); UNIDROIT Model Law on Factoring 2023.
"""

from collections.abc import Sequence
from uuid import UUID

from flask import current_app
from sqlalchemy import select

from marketplace.kernel.errors import Conflict, NotFound
from marketplace.kernel.ids import new_id
from marketplace.kernel.words import N_
from marketplace.parties import queries as parties
from marketplace.parties.queries import Organisation
from marketplace.parties.rules import verb
from marketplace.perform import Result, Tx
from marketplace.receivables import links, mail, queries
from marketplace.receivables.confirmation import answering
from marketplace.receivables.listing import keep_document
from marketplace.receivables.notice_text import NoticeFacts, PayTo, creditor_reference, notice_pdf, phrase
from marketplace.receivables.schemas import AcknowledgeNotice
from marketplace.receivables.tables import NoticeRow, ReceivableRow


def issue_notice(tx: Tx, receivable_id: UUID, assignees: Sequence[UUID]) -> UUID:
    """Issue the notice that the receivable was assigned, file its PDF, and send the debtor a link to it.

    Called by the settlement of an award, in its transaction. Returns the notice's id.

    Raises: NotFound.
    """
    row = queries.lock_row(tx.session, receivable_id)
    earlier = queries.notices(tx.session, receivable_id)
    known = parties.organisations(tx.session, [row.seller_id, row.debtor_id, *assignees])
    seller, debtor = known[row.seller_id], known[row.debtor_id]
    facts = NoticeFacts(
        number=len(earlier) + 1, ref=row.ref, invoice=row.number, issued_on=row.issued_on, due_on=row.due_on,
        face_minor=row.face_minor, currency=row.currency, seller=_named(seller), debtor=_named(debtor),
        assignees=tuple(_named(known[one]) for one in dict.fromkeys(assignees)), pay_to=pay_to(tx, row),
        phrase=phrase_of(row.seller_id, row.debtor_id), issued_at=tx.now, zone=tx.policy.zone,
    )  # fmt: skip
    document_id = keep_document(tx, "notice", f"{row.ref}-notice-{facts.number}.pdf", notice_pdf(facts), row.seller_id)
    notice = NoticeRow(
        id=new_id(), receivable_id=row.id, number=facts.number, document_id=document_id,
        assignees=[{"id": str(one), "name": known[one].legal_name} for one in dict.fromkeys(assignees)],
        pay_to=facts.pay_to.to_json(), phrase=facts.phrase, issued_at=tx.now,
    )  # fmt: skip
    tx.session.add(notice)
    row.notice_issued_at = tx.now
    tx.session.flush()
    tx.record("receivable", row.id, verb="issue_notice",
              after={"notice_id": notice.id, "number": notice.number, "document_id": document_id,
                     "assignees": list(assignees), "issued_at": tx.now})  # fmt: skip
    token = links.issue(tx, row.id, links.ACCOUNT)
    mail.queue_link(tx, row, seller.legal_name, links.ACCOUNT, token)
    return notice.id


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
    row, link = answering(tx, command.token, links.ACCOUNT)
    notice = tx.session.execute(
        select(NoticeRow).where(NoticeRow.receivable_id == row.id, NoticeRow.number == command.number)
        .with_for_update()
    ).scalar_one_or_none()  # fmt: skip
    if notice is None:
        raise NotFound("not_found", N_("There is no such notice."))
    if notice.acknowledged_at is not None:
        raise Conflict("acknowledged", N_("This notice was acknowledged already."))
    at = tx.clock()
    notice.sent_at = notice.sent_at or at
    notice.acknowledged_at, notice.acknowledged_by, notice.link_id = at, command.answered_by, link.id
    row.notice_acknowledged_at = row.notice_acknowledged_at or at
    link.used_at = link.used_at or at
    tx.session.flush()
    tx.record("receivable", row.id, after={"notice_id": notice.id, "number": notice.number, "acknowledged_at": at,
                                           "link_id": link.id})  # fmt: skip
    return {"receivable_id": row.id, "number": notice.number, "acknowledged_at": at}

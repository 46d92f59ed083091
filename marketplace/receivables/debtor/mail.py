"""Letters to debtors, in their language. No mail server is wired: they wait in `outgoing_mail`, where operators see
them and hand them over.

A letter goes to the address that operators verified, where there is one; before that to the one the listing gave.
"""

from collections.abc import Sequence
from datetime import date
from uuid import UUID

from flask_babel import force_locale, format_date, gettext

from marketplace.kernel.ids import new_id
from marketplace.parties.queries import Organisation
from marketplace.perform import Tx
from marketplace.receivables.debtor import links
from marketplace.receivables.debtor import queries as debtor_queries
from marketplace.receivables.debtor.notice_text import REASSIGNMENT
from marketplace.receivables.plain import plain_amount
from marketplace.receivables.tables import LetterDocumentRow, OutgoingMailRow, ReceivableRow

SIGNED = "Duebill"


def queue_link(
    tx: Tx, row: ReceivableRow, seller_name: str, purpose: str, token: str, documents: Sequence[UUID] = (),
    ended: bool = False,
) -> UUID:  # fmt: skip
    """Write the letter that carries a link about one receivable, with the files that go with it. Return its id.

    `ended` makes it the letter that says that an assignment is over.
    """
    to = debtor_queries.contact_for(tx.session, row.debtor_id, row.debtor_email)
    with force_locale(to.language):
        told = {
            "seller": seller_name,
            "number": row.number,
            "issued": day(row.issued_on),
            "due": day(row.due_on),
            "amount": plain_amount(row.face_minor, row.currency),
            "address": links.address(token),
            "until": day(links.find(tx.session, token).expires_at.date()),
            "ref": row.ref,
        }
        subject, parts = _question(told) if purpose == links.CONFIRM else _notice(told, ended, bool(documents))
        kind = REASSIGNMENT if ended else purpose
        return _queue(tx, row.debtor_id, row.id, kind, to.address, subject, parts, row.ref, documents)


def queue_debts_link(tx: Tx, debtor: Organisation, address: str, language: str, token: str) -> UUID:
    """Write the letter that carries the link to all that a debtor owes. Return its id."""
    with force_locale(language):
        told = {"address": links.address(token), "until": day(links.find(tx.session, token).expires_at.date()),
                "debtor": debtor.legal_name}  # fmt: skip
        subject = gettext("All that %(debtor)s owes through Duebill", **told)
        parts = [
            gettext("Dear accounts payable,"),
            gettext("every invoice of yours that was offered or sold on Duebill, with what is asked of you, is on one "
                    "page. There you may answer for many at once:"),
            told["address"],
            gettext("The link is for %(debtor)s alone and works until %(until)s. We record who answers and when. "
                    "Forward it only to a colleague who decides.", **told),
        ]  # fmt: skip
        return _queue(tx, debtor.id, None, links.DEBTS, address, subject, parts, "", ())


def queue_credit_note(tx: Tx, row: ReceivableRow, seller_name: str, number: str, amount_minor: int) -> UUID:
    """Write the letter that asks a debtor whether a seller's credit note is right. Return its id.

    It carries no link: the one of the notice of assignment shows the question, and nobody but the debtor has it.
    """
    to = debtor_queries.contact_for(tx.session, row.debtor_id, row.debtor_email)
    with force_locale(to.language):
        told = {"seller": seller_name, "number": row.number, "note": number, "ref": row.ref,
                "amount": plain_amount(amount_minor, row.currency)}  # fmt: skip
        subject = gettext("Is credit note %(note)s right? (%(ref)s)", **told)
        parts = [
            gettext("Dear accounts payable,"),
            gettext("%(seller)s says that its credit note %(note)s lowers its invoice %(number)s by %(amount)s. The "
                    "invoice has been assigned, so the credit note counts once you have said that it is right. Please "
                    "open the page of the notice of assignment, by the link that you have, and answer there.", **told),
            gettext("Until then the invoice is owed as before. If the link does not work any more, its page sends you "
                    "a new one."),
        ]  # fmt: skip
        return _queue(tx, row.debtor_id, row.id, "credit_note", to.address, subject, parts, row.ref, ())


def queue_words(
    tx: Tx, organisation_id: UUID, receivable_id: UUID, kind: str, subject: str, parts: Sequence[str], ref: str
) -> UUID:
    """Write a letter about a receivable to an organisation of this market, whose people operators know."""
    return _queue(tx, organisation_id, receivable_id, kind, None, subject, parts, ref, ())


def day(when: date) -> str:
    """Return a date in the language being spoken: `2 October 2026`, `2026年10月2日`."""
    return str(format_date(when, "d MMMM y" if _english() else "long"))


def _english() -> bool:
    return str(format_date(date(2000, 10, 1), "MMMM")) == "October"


def _question(told: dict[str, str]) -> tuple[str, list[str]]:
    subject = gettext("Is invoice %(number)s right? (%(ref)s)", **told)
    return subject, [
        gettext("Dear accounts payable,"),
        gettext("%(seller)s wants to be paid early for its invoice %(number)s of %(issued)s over %(amount)s, due "
                "%(due)s. Please say whether it is right. It takes about a minute, needs no account, and changes "
                "neither what you owe nor when:", **told),
        told["address"],
        gettext("The link is for your company alone and works until %(until)s. We record who answers and when. If you "
                "were not expecting this, ring %(seller)s on a number you already have.", **told),
    ]  # fmt: skip


def _notice(told: dict[str, str], ended: bool, with_files: bool) -> tuple[str, list[str]]:
    if ended:
        subject = gettext("The assignment has ended (%(ref)s)", **told)
        first = gettext("Invoice %(number)s of %(seller)s over %(amount)s, due %(due)s, which had been assigned, was "
                        "bought back: %(seller)s is your creditor again. The notice that says so, and the account to "
                        "pay from now on, are here:", **told)  # fmt: skip
    else:
        subject = gettext("Notice of assignment (%(ref)s)", **told)
        first = gettext("Invoice %(number)s of %(seller)s over %(amount)s, due %(due)s, has been assigned. The notice "
                        "of assignment, the account to pay from now on, and a way to pay at once are here:",
                        **told)  # fmt: skip
    last = gettext("Before you change any account, check the phrase on that page with %(seller)s, on a number you "
                   "already have. The link works until %(until)s.", **told)  # fmt: skip
    files = [gettext("The notice comes with this letter as a PDF, and for your system as an ISO 20022 message "
                     "(tsin.008).")] if with_files else []  # fmt: skip
    return subject, [gettext("Dear accounts payable,"), first, told["address"], *files, last]


def _queue(
    tx: Tx, debtor_id: UUID, receivable_id: UUID | None, kind: str, address: str | None, subject: str,
    parts: Sequence[str], ref: str, documents: Sequence[UUID],
) -> UUID:  # fmt: skip
    signed = gettext("Duebill, reference %(ref)s", ref=ref) if ref else SIGNED
    row = OutgoingMailRow(
        id=new_id(), organisation_id=debtor_id, receivable_id=receivable_id, kind=kind, address=address,
        subject=subject, body="\n\n".join([*parts, signed]) + "\n", queued_at=tx.now,
    )  # fmt: skip
    tx.session.add(row)
    tx.session.flush()
    tx.session.add_all(LetterDocumentRow(letter_id=row.id, document_id=one) for one in documents)
    tx.session.flush()
    return row.id

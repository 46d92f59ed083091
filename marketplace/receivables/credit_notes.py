"""Credit notes that name a listed receivable: read, matched to what they lower, written down once.

Source: EN 16931 BG-3 (BT-25: the number of the invoice that a credit note lowers); UNTDID 1001 code 381.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from marketplace.kernel.errors import Conflict, InvalidInput, Problem, RuleBroken
from marketplace.kernel.ids import new_id
from marketplace.kernel.words import N_
from marketplace.parties import queries as parties
from marketplace.parties.rules import verb
from marketplace.parties.schemas import plain_number
from marketplace.perform import Result, Tx
from marketplace.receivables import queries
from marketplace.receivables.debtor import queries as debtor_queries
from marketplace.receivables.debtor.schemas import KeepCreditNote, RecordDilution
from marketplace.receivables.drafting import keep_document
from marketplace.receivables.einvoice.neutral import Party, ReadInvoice
from marketplace.receivables.einvoice.reading import read_einvoice
from marketplace.receivables.ending import end_unsold
from marketplace.receivables.matching.fingerprint import canonical_number
from marketplace.receivables.plain import plain_amount
from marketplace.receivables.states import ReceivableState
from marketplace.receivables.tables import DilutionRow, DisputeRow, ReceivableDocumentRow, ReceivableRow
from marketplace.receivables.walls.reviewing import end_dispute

S = ReceivableState
# Nothing of it is sold yet: a credit note ends the listing, for its face is what investors would have paid for.
UNSOLD = frozenset({S.HELD_FOR_REVIEW, S.AWAITING_CONFIRMATION, S.CONFIRMED, S.RATED})
REASON = "credit_note"
LOOKED_THROUGH = 2_000


@dataclass(frozen=True)
class CreditNote:
    """What a credit note says. Amount in minor units; `invoices` are the numbers it lowers, as it writes them."""

    number: str
    issued_on: date | None
    currency: str
    amount_minor: int
    invoices: tuple[str, ...]
    seller: Party
    buyer: Party


def read_credit_note(content: bytes, filename: str) -> CreditNote:
    """Return what the file of a credit note says.

    Raises: InvalidInput as `read_einvoice`; RuleBroken("no_credit_note", "unreadable_credit_note").
    """
    read = read_einvoice(content, filename)
    if read.kind != "credit_note":
        raise RuleBroken.about("document", "no_credit_note", N_("This file is no credit note."))
    amount = _amount(read)
    if not read.fields.get("BT-1") or amount is None or amount <= 0 or read.total is None:
        raise RuleBroken.about(
            "document",
            "unreadable_credit_note",
            N_("The credit note lacks its number, its amount or its currency."),
            rule="unreadable",
        )
    return CreditNote(str(read.fields["BT-1"])[:100], read.issued_on, read.total.currency, amount,
                      tuple(dict.fromkeys(one.number for one in read.preceding)), read.seller, read.buyer)  # fmt: skip


def _amount(read: ReadInvoice) -> int | None:
    """Return by how much it lowers the debt: its total, whatever of it was settled already; signs differ by system."""
    return abs(read.total.minor) if read.total is not None else None


def named_by(session: Session, note: CreditNote, seller_id: UUID) -> list[queries.Receivable]:
    """Return the seller's listed receivables that a credit note names, newest first."""
    if not note.invoices:
        return []
    wanted = {canonical_number(number) for number in note.invoices}
    rows = session.execute(
        select(ReceivableRow)
        .where(ReceivableRow.seller_id == seller_id, ReceivableRow.currency == note.currency)
        .order_by(ReceivableRow.listed_at.desc())
        .limit(LOOKED_THROUGH)
    ).scalars()
    return [queries.as_receivable(row) for row in rows if canonical_number(row.number) in wanted]


@verb("keep_credit_note")
def keep_credit_note(tx: Tx, command: KeepCreditNote) -> Result:
    """Keep the file of a credit note. The result names the listed receivables that it lowers.

    Raises: InvalidInput; RuleBroken("no_credit_note", "unreadable_credit_note").
    """
    if len(command.content) > tx.policy.listing.document_bytes_max:
        raise InvalidInput.about("document", "too_large", N_("The file is too large."))
    note = read_credit_note(command.content, command.filename)
    document_id = keep_document(tx, REASON, command.filename or "credit-note", command.content)
    own = tx.actor.organisation_id
    found = named_by(tx.session, note, own) if own is not None else []
    return {"document_id": document_id, "number": note.number, "amount_minor": note.amount_minor,
            "currency": note.currency, "receivable_ids": [one.id for one in found]}  # fmt: skip


def facts_for(tx: Tx, row: ReceivableRow, command: RecordDilution) -> RecordDilution:
    """Return the command with number, amount and day as the kept file says them, or as they were typed.

    Raises: NotFound; RuleBroken with every reason why the file cannot be about this receivable.
    """
    if command.document_id is None:
        return command
    document = queries.document(tx.session, command.document_id)
    if document.kind != REASON or (tx.actor.organisation_id != document.organisation_id):
        raise queries.missing()
    note = read_credit_note(queries.content(tx.session, document.id), document.filename)
    problems = _strange(tx.session, note, row)
    amount = note.amount_minor
    if len(note.invoices) > 1:
        if command.amount_minor is None:
            problems.append(Problem("amount_minor", "several_invoices", N_(
                "It lowers several invoices. Enter the amount for this one.")))  # fmt: skip
        elif command.amount_minor > amount:
            problems.append(Problem("amount_minor", "more_than_note", N_("The credit note is over less than that.")))
        amount = command.amount_minor or amount
    if problems:
        raise RuleBroken("other_credit_note", N_("This credit note does not belong here."), problems=problems)
    return RecordDilution(row.id, document.id, note.number, amount, note.issued_on, command.words)


def _strange(session: Session, note: CreditNote, row: ReceivableRow) -> list[Problem]:
    problems = []
    if note.currency != row.currency:
        problems.append(Problem("document", "currency", N_("It is in %(note)s, the invoice in %(invoice)s."),
                                {"note": note.currency, "invoice": row.currency}))  # fmt: skip
    if note.invoices and canonical_number(row.number) not in {canonical_number(one) for one in note.invoices}:
        problems.append(Problem("document", "names_another", N_("It names the invoice %(number)s, not this one."),
                                {"number": ", ".join(note.invoices)[:200]}))  # fmt: skip
    known = parties.organisations(session, [row.seller_id, row.debtor_id])
    for party, who, words in (
        (note.seller, known[row.seller_id], N_("It was issued by %(name)s, not by the seller of this invoice.")),
        (note.buyer, known[row.debtor_id], N_("It was issued to %(name)s, not to the debtor of this invoice.")),
    ):
        if not _same(party, who):
            problems.append(Problem("document", "other_party", words, {"name": (party.name or "–")[:200]}))
    return problems


def _same(party: Party, who: parties.Organisation) -> bool:
    """Compare by the first kind of number that both have, else by name."""
    told = [(party.vat_id, who.vat_id), (party.legal_id.text if party.legal_id else None, who.legal_id)]
    pairs = [(plain_number(a, who.country), plain_number(b, who.country)) for a, b in told if a and b]
    if pairs:
        return any(a == b for a, b in pairs)
    return (party.name or "").strip().casefold() == who.legal_name.strip().casefold()


def require_new(tx: Tx, row: ReceivableRow, facts: RecordDilution, owed_minor: int) -> None:
    """Refuse a credit note that counts already, or that lowers a locked receivable by more than is owed on it.

    Raises: Conflict("credit_note_known"); RuleBroken("more_than_owed").
    """
    key, amount = canonical_number(facts.number or ""), facts.amount_minor or 0
    known = select(DilutionRow.id).where(DilutionRow.receivable_id == row.id, DilutionRow.number_key == key)
    if tx.session.execute(known).first() is not None:
        raise Conflict.about("number", "credit_note_known", N_("This credit note is recorded already. It counts once."))
    if amount > owed_minor:
        words = N_("Only %(owed)s is still owed: a credit note cannot lower it by more.")
        params = {"owed": plain_amount(owed_minor, row.currency)}
        raise RuleBroken("more_than_owed", words, params, [Problem("amount_minor", "more_than_owed", words, params)])


def dispute_about(session: Session, receivable_id: UUID, number: str) -> DisputeRow | None:
    """Return the open dispute in which the debtor names this credit note, if there is one."""
    dispute = queries.open_dispute(session, receivable_id)
    named = canonical_number(dispute.credit_note or "") if dispute is not None else None
    return dispute if named == canonical_number(number) else None


def insert_dilution(tx: Tx, row: ReceivableRow, facts: RecordDilution, owed_minor: int, said_by: str) -> UUID:
    """Write a credit note down against a locked receivable that `owed_minor` is still owed on. Return its id.

    An open dispute about the same credit note ends: the debtor was right.

    Raises: as require_new.
    """
    require_new(tx, row, facts, owed_minor)
    number, amount = facts.number or "", facts.amount_minor or 0
    dispute = dispute_about(tx.session, row.id, number)
    made = DilutionRow(
        id=new_id(), receivable_id=row.id, number=number, number_key=canonical_number(number),
        issued_on=facts.issued_on, currency=row.currency, amount_minor=amount, document_id=facts.document_id,
        dispute_id=dispute.id if dispute else None, recorded_by=said_by, words=facts.words, at=tx.clock(),
    )  # fmt: skip
    tx.session.add(made)
    attach(tx, row.id, facts.document_id)
    tx.session.flush()
    tx.record("receivable", row.id, verb="record_dilution",
              after={"dilution_id": made.id, "amount_minor": amount, "currency": row.currency,
                     "document_id": facts.document_id, "dispute_id": made.dispute_id, "state": row.state})  # fmt: skip
    if dispute is not None:
        end_dispute(tx, dispute.id, "upheld", REASON)
    return made.id


def attach(tx: Tx, receivable_id: UUID, document_id: UUID | None) -> None:
    """Put the file of a credit note, where there is one, with the receivable's."""
    if document_id is not None and tx.session.get(ReceivableDocumentRow, (receivable_id, document_id)) is None:
        tx.session.add(ReceivableDocumentRow(receivable_id=receivable_id, document_id=document_id, added_at=tx.now))


def unsold_owed_minor(tx: Tx, row: ReceivableRow) -> int:
    """Return what is owed on a receivable that nobody bought: its face less the credit notes before."""
    return row.face_minor - debtor_queries.credited_minor(tx.session, row.id)


def end_for_credit_note(tx: Tx, row: ReceivableRow) -> None:
    """End an unsold listing that a credit note lowers: its face, which cannot change, is not owed any more.

    The rest may be sold after the seller has put it on an invoice of its own.
    """
    end_unsold(tx, row, S.WITHDRAWN, REASON)


def sums_by_receivable(session: Session, receivable_ids: Sequence[UUID]) -> dict[UUID, int]:
    """Return what credit notes took off each of the receivables, where there is any."""
    rows = session.execute(
        select(DilutionRow.receivable_id, func.sum(DilutionRow.amount_minor))
        .where(DilutionRow.receivable_id.in_(list(receivable_ids)))
        .group_by(DilutionRow.receivable_id)
    )
    return {receivable_id: int(total) for receivable_id, total in rows}

"""Telling the debtor that a receivable is its seller's again."""

from uuid import UUID

from marketplace.kernel.ids import new_id
from marketplace.parties import queries as parties
from marketplace.perform import Tx
from marketplace.receivables import queries
from marketplace.receivables.plain import plain_amount, plain_day
from marketplace.receivables.tables import OutgoingMailRow

REASSIGNED = """Dear accounts payable,

Invoice {number} of {seller} over {amount}, due {due}, which had been assigned, was bought back by {seller}
on {day}. The earlier notice of assignment no longer applies: {seller} is your creditor again.

Please pay {seller}, into the account you have from {seller} itself. If in doubt, ring {seller} on a number
you already have; never change an account because of a letter alone. What you may still pay into the client
account named in the earlier notice is passed on to {seller}.

Duebill, reference {ref}
"""


def tell_debtor(tx: Tx, receivable_id: UUID) -> None:
    """Queue the letter that says whom to pay now, once the seller has bought the receivable back.

    Raises: NotFound.
    """
    row = queries.lock_row(tx.session, receivable_id)
    seller = parties.organisation(tx.session, row.seller_id)
    told = {"number": row.number, "seller": seller.legal_name, "amount": plain_amount(row.face_minor, row.currency),
            "due": plain_day(row.due_on), "day": plain_day(tx.today), "ref": row.ref}  # fmt: skip
    letter = OutgoingMailRow(
        id=new_id(), organisation_id=row.debtor_id, receivable_id=row.id, kind="reassignment",
        address=row.debtor_email, subject=f"Invoice {row.number} is {seller.legal_name}'s again ({row.ref})",
        body=REASSIGNED.format(**told), queued_at=tx.now,
    )  # fmt: skip
    tx.session.add(letter)
    tx.session.flush()
    tx.record("receivable", row.id, verb="tell_debtor", after={"letter_id": letter.id, "kind": letter.kind})

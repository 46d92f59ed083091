"""Letters to debtors. No mail server is wired: they wait in `outgoing_mail`, where operators see and hand them over."""

from marketplace.kernel.ids import new_id
from marketplace.perform import Tx
from marketplace.receivables import links
from marketplace.receivables.plain import plain_amount, plain_day
from marketplace.receivables.tables import OutgoingMailRow, ReceivableRow

CONFIRM = """Dear accounts payable,

{seller} wants to be paid early for its invoice {number} of {issued} over {amount}, due {due}.
Please say whether it is right. It takes about a minute, needs no account, and changes neither what you owe
nor when:

{address}

The link is for your company alone and works until {until}. We record who answers and when.
If you were not expecting this, ring {seller} on a number you already have.

Duebill, reference {ref}
"""

NOTICE = """Dear accounts payable,

Invoice {number} of {seller} over {amount}, due {due}, has been assigned. The notice of assignment, the account
to pay from now on, and a way to pay at once are here:

{address}

Before you change any account, check the phrase on that page with {seller}, on a number you already have.
The link works until {until}.

Duebill, reference {ref}
"""


def queue_link(tx: Tx, row: ReceivableRow, seller_name: str, purpose: str, token: str) -> None:
    """Write the letter that carries a link, to the address the listing gave for the debtor."""
    told = {
        "seller": seller_name,
        "number": row.number,
        "issued": plain_day(row.issued_on),
        "due": plain_day(row.due_on),
        "amount": plain_amount(row.face_minor, row.currency),
        "address": links.address(token),
        "until": plain_day(links.find(tx.session, token).expires_at.date()),
        "ref": row.ref,
    }
    confirm = purpose == links.CONFIRM
    subject = f"Is invoice {row.number} right? ({row.ref})" if confirm else f"Notice of assignment ({row.ref})"
    tx.session.add(
        OutgoingMailRow(
            id=new_id(),
            organisation_id=row.debtor_id,
            receivable_id=row.id,
            kind=purpose,
            address=row.debtor_email,
            subject=subject,
            body=(CONFIRM if confirm else NOTICE).format(**told),
            queued_at=tx.now,
        )
    )
    tx.session.flush()

"""What a debtor's slip shows: one receivable, what was asked and answered, its credit notes, the account to pay."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from marketplace.parties import queries as parties
from marketplace.parties.queries import Organisation
from marketplace.payments import queries as payments
from marketplace.receivables import queries as receivables
from marketplace.receivables.debtor import queries as debtor_queries
from marketplace.receivables.debtor.links import CONFIRM, DEBTS
from marketplace.receivables.queries import Document, Receivable
from marketplace.servicing import queries as servicing
from marketplace.servicing import second_voice
from marketplace.servicing.queries import Collection

ASKED = "awaiting_confirmation"
# Nobody has paid anything for it yet, but somebody may: the debtor can still say what is wrong, and when it pays.
ON_THE_WAY = ("held_for_review", "confirmed", "rated", "on_auction", "awarded")
SEEN = ("succeeded", "processing")


@dataclass(frozen=True)
class Slip:
    """Everything behind one link."""

    link: Any
    receivable: Receivable
    seller: Organisation
    debtor: Organisation
    documents: list[Document]
    confirmations: list[Any]
    disputes: list[Any]
    notices: list[Any]
    promises: list[Any]
    collection: Collection | None
    payments: list[payments.Payment]
    dilutions: list[debtor_queries.Dilution]
    to_confirm: list[Any]

    @property
    def outstanding_minor(self) -> int:
        """What is still owed on it now that it is financed; zero before and after."""
        return self.collection.outstanding_minor if self.collection and self.collection.open else 0

    @property
    def of_many(self) -> bool:
        """Whether it was reached from the page of all that the debtor owes."""
        return bool(self.link.purpose == DEBTS)

    @property
    def asks(self) -> bool:
        """Whether the debtor is asked if the invoice is right, and this link may answer."""
        open_question = self.link.purpose == DEBTS or (self.link.purpose == CONFIRM and not self.link.used_at)
        return self.receivable.state == ASKED and open_question

    @property
    def may_speak(self) -> bool:
        """Whether a dispute or a day of payment is taken here, before anybody has paid for it."""
        return self.of_many and self.receivable.state in ON_THE_WAY

    @property
    def on_its_way_minor(self) -> int:
        """What was paid and is not shared out yet."""
        return sum(one.amount_minor for one in self.payments if str(one.state) in SEEN and one.applied_at is None)

    @property
    def notice(self) -> Any:
        """The latest notice of assignment that is written, if there is one."""
        return next((one for one in reversed(self.notices) if one.written_at is not None), None)

    @property
    def invoice_document(self) -> Document | None:
        """The invoice as the seller sent it in."""
        return next((one for one in self.documents if one.kind == "invoice"), None)


def slip(session: Session, link: Any, receivable_id: UUID | None = None) -> Slip:
    """Return what a link shows; one to all that is owed says by `receivable_id` of which.

    Raises: NotFound.
    """
    about = link.receivable_id or receivable_id
    if about is None or receivable_id not in (None, about):
        raise receivables.missing()
    found = receivables.receivable(session, about)
    if link.debtor_id not in (None, found.debtor_id):
        raise receivables.missing()
    known = parties.organisations(session, [found.seller_id, found.debtor_id])
    return Slip(
        link=link,
        receivable=found,
        seller=known[found.seller_id],
        debtor=known[found.debtor_id],
        documents=receivables.documents(session, found.id),
        confirmations=receivables.confirmations(session, found.id),
        disputes=receivables.disputes(session, found.id),
        notices=receivables.notices(session, found.id),
        promises=receivables.promises(session, found.id),
        collection=servicing.collections(session, [found.id]).get(found.id),
        payments=payments.payments_of(session, found.id),
        dilutions=debtor_queries.dilutions(session, found.id),
        to_confirm=[one for one in second_voice.waiting(session, found.id) if one.said_by == second_voice.SELLER],
    )

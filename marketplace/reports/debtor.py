"""What a debtor's slip shows: one receivable, what was asked and answered, the account to pay, and all else owed."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from marketplace.parties import queries as parties
from marketplace.parties.queries import Organisation
from marketplace.payments import queries as payments
from marketplace.receivables import queries as receivables
from marketplace.receivables.queries import Document, Receivable
from marketplace.servicing import queries as servicing
from marketplace.servicing.queries import Collection

OWED = ("funded",)
ASKED = ("awaiting_confirmation",)
SEEN = ("succeeded", "processing")


@dataclass(frozen=True)
class Owed:
    """Another invoice of the same debtor."""

    receivable: Receivable
    seller: Organisation
    outstanding_minor: int


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
    others: list[Owed]

    @property
    def outstanding_minor(self) -> int:
        """What is still owed on it now that it is financed; zero before and after."""
        return self.collection.outstanding_minor if self.collection and self.collection.open else 0

    @property
    def on_its_way_minor(self) -> int:
        """What was paid and is not shared out yet."""
        return sum(one.amount_minor for one in self.payments if str(one.state) in SEEN and one.applied_at is None)

    @property
    def notice(self) -> Any:
        """The latest notice of assignment, if there is one."""
        return self.notices[-1] if self.notices else None

    @property
    def invoice_document(self) -> Document | None:
        """The invoice as the seller sent it in."""
        return next((one for one in self.documents if one.kind == "invoice"), None)


def slip(session: Session, link: Any) -> Slip:
    """Return what a link shows.

    Raises: NotFound.
    """
    found = receivables.receivable(session, link.receivable_id)
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
        others=_others(session, found),
    )


def _others(session: Session, found: Receivable) -> list[Owed]:
    """Return the debtor's other financed invoices, by due date."""
    owed = [one for one in receivables.of_debtor(session, found.debtor_id, OWED) if one.id != found.id]
    ids: list[UUID] = [one.id for one in owed]
    collections = servicing.collections(session, ids)
    sellers = parties.organisations(session, {one.seller_id for one in owed})
    return [
        Owed(one, sellers[one.seller_id], collections[one.id].outstanding_minor)
        for one in owed
        if one.id in collections and collections[one.id].outstanding_minor
    ]

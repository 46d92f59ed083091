"""Chargebacks for the room that knows how a receipt was shared out: which wait, and noting that one was booked."""

from dataclasses import dataclass
from datetime import date
from uuid import UUID

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from marketplace.kernel.errors import Conflict
from marketplace.kernel.ids import new_id
from marketplace.kernel.words import N_
from marketplace.payments import money
from marketplace.payments.rules import ChargebackState, PaymentState, Rail
from marketplace.payments.tables import ChargebackRow, DebtorPaymentRow, FundingRow
from marketplace.perform import Tx

WORDS = "Reinstated after a chargeback"


@dataclass(frozen=True)
class TakenBack:
    """A chargeback, and what is known of the payment it takes back."""

    id: UUID
    payment_kind: str
    payment_id: UUID
    organisation_id: UUID
    receivable_id: UUID | None
    parked: bool
    shared_out: bool
    currency: str
    minor: int
    state: str
    entry_id: UUID | None


def to_book(session: Session, limit: int = 100) -> list[UUID]:
    """Return chargebacks whose money is gone or back at the provider and not yet so in our books, oldest first.

    One that was won before it was booked took nothing in the end: nothing is to be booked.
    """
    gone = ChargebackRow.entry_id.is_(None) & (ChargebackRow.state != ChargebackState.WON)
    back = (
        ChargebackRow.entry_id.is_not(None)
        & (ChargebackRow.state == ChargebackState.WON)
        & ChargebackRow.reinstated_entry_id.is_(None)
    )
    query = select(ChargebackRow.id).where(or_(gone, back)).order_by(ChargebackRow.seen_at, ChargebackRow.id)
    return list(session.scalars(query.limit(limit)))


def lock(tx: Tx, chargeback_id: UUID) -> TakenBack:
    """Lock a chargeback and its payment.

    Raises: Conflict("chargeback_booked") when nothing is left to book.
    """
    row = tx.session.scalars(select(ChargebackRow).where(ChargebackRow.id == chargeback_id).with_for_update()).one()
    if (row.entry_id is None) == (row.state == ChargebackState.WON) or row.reinstated_entry_id is not None:
        raise Conflict("chargeback_booked", N_("This chargeback is booked."))
    payment: FundingRow | DebtorPaymentRow
    if row.payment_kind == "funding":
        payment = tx.session.scalars(select(FundingRow).where(FundingRow.id == row.payment_id).with_for_update()).one()
    else:
        payment = tx.session.scalars(
            select(DebtorPaymentRow).where(DebtorPaymentRow.id == row.payment_id).with_for_update()
        ).one()
    return TakenBack(
        row.id, row.payment_kind, row.payment_id, payment.organisation_id, getattr(payment, "receivable_id", None),
        payment.state == PaymentState.PARKED, getattr(payment, "applied_at", None) is not None, row.currency,
        row.minor, row.state, row.entry_id,
    )  # fmt: skip


def note_booked(tx: Tx, chargeback_id: UUID, entry_id: UUID) -> None:
    """Note the entry that books it; once, which the database keeps."""
    row = tx.session.get_one(ChargebackRow, chargeback_id)
    row.entry_id, row.booked_at = entry_id, tx.clock()
    tx.session.flush()
    tx.record("chargeback", row.id, verb="book_chargeback", after={"entry_id": entry_id})


def note_reinstated(tx: Tx, chargeback_id: UUID, entry_id: UUID) -> None:
    """Note the entry that books its coming back."""
    row = tx.session.get_one(ChargebackRow, chargeback_id)
    row.reinstated_entry_id = entry_id
    tx.session.flush()
    tx.record("chargeback", row.id, verb="reinstate_chargeback", after={"entry_id": entry_id})


def note_taken(tx: Tx, payment_id: UUID) -> None:
    """Note that a payment that nobody could share out is not here any more."""
    row = tx.session.get_one(DebtorPaymentRow, payment_id)
    row.applied_at = tx.clock()
    tx.session.flush()
    tx.record("debtor_payment", row.id, verb="take_back_payment", after={"applied_at": row.applied_at})


def arrives(
    tx: Tx,
    organisation_id: UUID,
    receivable_id: UUID,
    currency: str,
    minor: int,
    words: str,
    *,
    received_on: date,
    book: bool = True,
    rail: str = Rail.PROVIDER,
) -> tuple[UUID, UUID | None]:
    """Write a debtor's money down as arrived, to be shared out by the usual job: the payment, and its entry.

    `book=False`: the caller has already put it into debtor_receipts. `rail`: where the money lies.
    `received_on`: the day from which it counts as paid.
    """
    row = DebtorPaymentRow(
        id=new_id(), organisation_id=organisation_id, receivable_id=receivable_id, currency=currency,
        amount_minor=minor, words=words, return_url="", state=PaymentState.SUCCEEDED, received_minor=minor,
        received_currency=currency, rail=rail, received_on=received_on,
    )  # fmt: skip
    tx.session.add(row)
    tx.session.flush()
    tx.record("debtor_payment", row.id, after={"receivable_id": receivable_id, "amount_minor": minor,
                                               "currency": currency, "state": row.state, "words": words})  # fmt: skip
    return row.id, money.book_received(tx, row) if book else None

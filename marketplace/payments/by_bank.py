"""Money that a bank's own file tells of, in our books: what arrived, what left, what was undone.

It lies at the bank and not with the provider, so it has clearing accounts of its own.
"""

from datetime import date
from uuid import UUID

from marketplace.kernel.errors import RuleBroken
from marketplace.kernel.ids import new_id
from marketplace.ledger.actions import account, post_entry, reverse_entry
from marketplace.ledger.rules import credit, debit
from marketplace.payments.money import keep_transition
from marketplace.payments.rules import PaymentState, Rail
from marketplace.payments.tables import DebtorPaymentRow
from marketplace.perform import Tx


def receive(
    tx: Tx, receivable_id: UUID, debtor_id: UUID, currency: str, minor: int, words: str, name: str, booked_on: date
) -> tuple[UUID, UUID]:
    """Book a debtor's money as arrived for a receivable; the clock shares it out. Return the payment and its entry.

    `name` is the bank's own for it: the second time it is refused with the whole transaction. `booked_on` is the day
    on which the bank had the money, whenever its file came.
    """
    row = DebtorPaymentRow(
        id=new_id(), organisation_id=debtor_id, receivable_id=receivable_id, currency=currency, amount_minor=minor,
        words=words[:200], return_url="", state=PaymentState.SUCCEEDED, received_minor=minor,
        received_currency=currency, rail=Rail.BANK, received_on=min(booked_on, tx.today),
    )  # fmt: skip
    tx.session.add(row)
    tx.session.flush()
    tx.record("debtor_payment", row.id, verb="receive_by_bank", after={
        "receivable_id": receivable_id, "amount_minor": minor, "currency": currency, "state": row.state,
        "received_on": row.received_on,
    })  # fmt: skip
    legs = [
        debit(account(tx, "bank_borrower", None, currency), minor),
        credit(account(tx, "debtor_receipts", debtor_id, currency), minor),
    ]
    entry_id = post_entry(tx, "debtor_payment_received", "debtor_payment", row.id, legs)
    keep_transition(tx, f"bank:{name}", "received", entry_id)
    return row.id, entry_id


def suspend(tx: Tx, subject_id: UUID, currency: str, minor: int) -> UUID:
    """Book money that fits nowhere: it waits in suspense, in the currency it came in. Return the entry."""
    legs = [
        debit(account(tx, "bank_borrower", None, currency), minor),
        credit(account(tx, "suspense", None, currency), minor),
    ]
    return post_entry(tx, "bank_money_suspended", "bank_entry", subject_id, legs)


def miss(tx: Tx, subject_id: UUID, currency: str, minor: int, suspended_minor: int = 0) -> UUID:
    """Book money that left our account and that nothing here explains. Return the entry.

    `suspended_minor`: so much of it still lies in suspense, and is nobody's any more.
    """
    legs = [
        debit(account(tx, "suspense", None, currency), suspended_minor),
        debit(account(tx, "bank_unexplained", None, currency), minor - suspended_minor),
        credit(account(tx, "bank_borrower", None, currency), minor),
    ]
    return post_entry(tx, "bank_money_missing", "bank_entry", subject_id, legs)


def undo(tx: Tx, entry_id: UUID, payment_id: UUID | None) -> UUID | None:
    """Undo what an earlier entry booked, if that money is still where it was put; else return None.

    A debtor's payment that was not shared out yet is not shared out any more.
    """
    if payment_id is not None:
        row = tx.session.get(DebtorPaymentRow, payment_id, with_for_update=True, populate_existing=True)
        if row is None or row.applied_at is not None:
            return None
        row.applied_at = tx.clock()
        tx.session.flush()
        tx.record("debtor_payment", row.id, verb="take_back_by_bank", after={"distribution_id": None})
    try:
        with tx.session.begin_nested():
            return reverse_entry(tx, entry_id, "The bank took it back.")
    except RuleBroken:  # suspense was worked off in the meantime
        return None

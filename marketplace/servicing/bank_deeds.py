"""What the second person's yes does with money at the bank. Each deed reads anew what it rests on."""

from collections.abc import Callable
from datetime import date
from typing import cast
from uuid import UUID

from sqlalchemy import text

from marketplace.banking import orders
from marketplace.kernel.errors import RuleBroken
from marketplace.kernel.words import N_
from marketplace.ledger import actions as ledger
from marketplace.ledger.rules import credit, debit
from marketplace.parties import queries as parties
from marketplace.parties.actions import set_payout_rail
from marketplace.payments import actions as payments
from marketplace.payments import bank_payouts, chargebacks
from marketplace.payments.alerts import close_about
from marketplace.payments.rules import Rail
from marketplace.perform import Tx
from marketplace.servicing import bank_suspense
from marketplace.servicing.tables import MoneyDecisionRow

PAYEES_CHANGED = N_("Who is paid, or on which account, is not what was proposed: withdraw it and propose anew.")


def _write_payout_file(tx: Tx, row: MoneyDecisionRow) -> None:
    orders.keep_others_away(tx)
    payload = row.payload
    wanted = orders.draft(tx.session, str(payload["currency"]), [UUID(one) for one in payload["payout_ids"]])
    if wanted.sha256 != payload["sha256"]:
        raise RuleBroken("payees_changed", PAYEES_CHANGED)
    execute_on = max(date.fromisoformat(payload["execute_on"]), tx.today)
    orders.write_file(tx, row.subject_id, row.id, wanted, execute_on)


def _set_rail(tx: Tx, row: MoneyDecisionRow) -> None:
    if row.payload.get("iban_before") != parties.organisation(tx.session, row.subject_id).iban:
        raise RuleBroken("payees_changed", PAYEES_CHANGED)
    set_payout_rail(tx, row.subject_id, str(row.payload["rail"]), row.payload["iban"])


def _refuse_payout(tx: Tx, row: MoneyDecisionRow) -> UUID:
    entry_id = bank_payouts.refuse(tx, row.subject_id, row.reason)
    orders.pay_rest(tx, row.subject_id)
    return entry_id


def _apply(tx: Tx, row: MoneyDecisionRow) -> UUID:
    if row.payload.get("organisation_id"):
        return _fund(tx, row)
    minor, receivable_id = int(row.payload["minor"]), UUID(row.payload["receivable_id"])
    item = bank_suspense.lock(tx, row.subject_id, minor)
    debtor_id = bank_suspense.target(tx.session, receivable_id, item.currency)
    payment_id, _ = chargebacks.arrives(tx, debtor_id, receivable_id, item.currency, minor,
                                        "Applied from suspense", book=False, rail=Rail.BANK,
                                        received_on=min(item.booked_on, tx.today))  # fmt: skip
    legs = [
        debit(ledger.account(tx, "suspense", None, item.currency), minor),
        credit(ledger.account(tx, "debtor_receipts", debtor_id, item.currency), minor),
    ]
    return ledger.post_entry(tx, "suspense_applied", "debtor_payment", payment_id, legs, reason=row.reason)


def _fund(tx: Tx, row: MoneyDecisionRow) -> UUID:
    """Book money as what an investor or a seller put in; a lender's goes over to the lenders' money at the bank."""
    minor, owner_id = int(row.payload["minor"]), UUID(row.payload["organisation_id"])
    item = bank_suspense.lock(tx, row.subject_id, minor)
    code, pool = bank_suspense.cash_of(tx.session, owner_id)
    legs = [
        debit(ledger.account(tx, "suspense", None, item.currency), minor),
        credit(ledger.account(tx, "bank_borrower", None, item.currency), minor),
        debit(ledger.account(tx, f"bank_{pool}", None, item.currency), minor),
        credit(ledger.account(tx, code, owner_id, item.currency), minor),
    ]
    return ledger.post_entry(tx, "suspense_applied", "bank_entry", item.bank_entry_id, legs, reason=row.reason)


def _give_back(tx: Tx, row: MoneyDecisionRow) -> UUID:
    """Order the money back to where the bank said it came from; it leaves with the next file of pay-outs."""
    minor = int(row.payload["minor"])
    item = bank_suspense.lock(tx, row.subject_id, minor)
    own = orders.house(tx.session)
    payout_id = payments.request_payout(
        tx, own.id, item.currency, minor, "return", "bank_entry", item.bank_entry_id, f"return:{row.id}",
        pay_to=(item.sender_name or "NOTPROVIDED", cast(str, item.sender_iban)),
    )  # fmt: skip
    return cast(UUID, tx.session.scalar(
        text("SELECT id FROM entry WHERE subject_id = :id AND kind = 'return_requested'"), {"id": payout_id}
    ))  # fmt: skip


def _move_own(tx: Tx, row: MoneyDecisionRow) -> UUID:
    """Book that money of one pool lay with the provider and lies at the bank now. No pool gives anything to another."""
    minor, pool = int(row.payload["minor"]), str(row.payload["pool"])
    item = bank_suspense.lock(tx, row.subject_id, minor)
    legs = [
        debit(ledger.account(tx, "suspense", None, item.currency), minor),
        credit(ledger.account(tx, "bank_borrower", None, item.currency), minor),
        debit(ledger.account(tx, f"bank_{pool}", None, item.currency), minor),
        credit(ledger.account(tx, f"provider_{pool}", None, item.currency), minor),
    ]
    return ledger.post_entry(tx, "own_money_moved", "bank_entry", item.bank_entry_id, legs, reason=row.reason)


def _then_closing(deed: Callable[[Tx, MoneyDecisionRow], UUID]) -> Callable[[Tx, MoneyDecisionRow], UUID]:
    """Return a deed that works money off, and closes the call about it where that was all that was left."""

    def done(tx: Tx, row: MoneyDecisionRow) -> UUID:
        minor = int(row.payload["minor"])
        left = bank_suspense.lock(tx, row.subject_id, minor).left_minor
        entry_id = deed(tx, row)
        if left == minor:
            close_about(tx, row.subject_id, "bank_money_unmatched")
        return entry_id

    return done


DEEDS: dict[str, Callable[[Tx, MoneyDecisionRow], UUID | None]] = {
    "payout_file": _write_payout_file, "payout_rail": _set_rail, "payout_refused": _refuse_payout,
    "bank_suspense_apply": _then_closing(_apply), "bank_suspense_return": _then_closing(_give_back),
    "bank_suspense_own": _then_closing(_move_own),
}  # fmt: skip

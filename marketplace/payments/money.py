"""The ledger entries of payments. Each moves money at most once for a step of the provider's object."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy.dialects.postgresql import insert

from marketplace.ledger.actions import account, post_entry
from marketplace.ledger.rules import chart, credit, debit
from marketplace.parties import queries as parties
from marketplace.payments.rules import ROUTES, PayoutState, Purpose
from marketplace.payments.tables import DebtorPaymentRow, FundingRow, Paying, PayoutRow, ProviderTransitionRow
from marketplace.perform import Tx


def keep_transition(tx: Tx, object_id: str, transition: str, entry_id: UUID | None) -> None:
    """Mark a step as done; the primary key refuses it a second time, and with it the whole transaction."""
    tx.session.execute(
        insert(ProviderTransitionRow).values(object_id=object_id, transition=transition, entry_id=entry_id)
    )


def keep_transitions(tx: Tx, object_ids: Sequence[str], transition: str, entry_id: UUID) -> None:
    """Mark a step of many objects as done, by one statement: all of them, or none and nothing of the transaction."""
    tx.session.execute(
        insert(ProviderTransitionRow),
        [{"object_id": one, "transition": transition, "entry_id": entry_id} for one in object_ids],
    )


def book_received(tx: Tx, row: Paying) -> UUID:
    """Book money that arrived as asked."""
    if isinstance(row, FundingRow) and parties.organisation(tx.session, row.organisation_id).kind == "seller":
        provider, owed, kind = "provider_borrower", "seller_cash", "funding_received"
    elif isinstance(row, FundingRow):
        provider, owed, kind = "provider_lender", "investor_cash", "funding_received"
    else:
        provider, owed, kind = "provider_borrower", "debtor_receipts", "debtor_payment_received"
    legs = [
        debit(account(tx, provider, None, row.currency), row.amount_minor),
        credit(account(tx, owed, row.organisation_id, row.currency), row.amount_minor),
    ]
    return post_entry(tx, kind, row.__tablename__, row.id, legs)


def book_suspense(tx: Tx, row: DebtorPaymentRow, minor: int, currency: str) -> UUID:
    """Book a debtor's money that is not what was asked for: it waits in suspense, in the currency it came in."""
    legs = [
        debit(account(tx, "provider_borrower", None, currency), minor),
        credit(account(tx, "suspense", None, currency), minor),
    ]
    return post_entry(tx, "debtor_payment_suspended", "debtor_payment", row.id, legs)


def book_leaving(tx: Tx, row: PayoutRow) -> UUID:
    """Book money as on its way. Raises: RuleBroken("insufficient_cash")."""
    route = ROUTES[Purpose(row.purpose)]
    legs = [
        debit(_source(tx, row, route.source), row.amount_minor),
        credit(account(tx, route.transit, row.organisation_id, row.currency), row.amount_minor),
    ]
    return post_entry(tx, f"{row.purpose}_requested", "payout", row.id, legs)


def book_paid(tx: Tx, row: PayoutRow) -> UUID:
    """Book money as arrived at the bank."""
    route = ROUTES[Purpose(row.purpose)]
    legs = [
        debit(account(tx, route.transit, row.organisation_id, row.currency), row.amount_minor),
        credit(account(tx, route.clearing(row.rail), None, row.currency), row.amount_minor),
    ]
    return post_entry(tx, f"{row.purpose}_paid", "payout", row.id, legs)


def book_returned(tx: Tx, row: PayoutRow, before: str) -> UUID:
    """Give the money back to the account it left: from transit, or from where it lay when it had counted as paid."""
    route = ROUTES[Purpose(row.purpose)]
    if before == PayoutState.PAID:
        taken = account(tx, route.clearing(row.rail), None, row.currency)
    else:
        taken = account(tx, route.transit, row.organisation_id, row.currency)
    legs = [
        debit(taken, row.amount_minor),
        credit(_source(tx, row, route.source), row.amount_minor),
    ]
    return post_entry(tx, f"{row.purpose}_returned", "payout", row.id, legs)


def _source(tx: Tx, row: PayoutRow, code: str) -> UUID:
    own = chart()[code].owner == "organisation"
    return account(tx, code, row.organisation_id if own else None, row.currency)

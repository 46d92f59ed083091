"""Payouts that leave by a bank file: which wait, that one was ordered, and how the bank's own files end them.

What the bank booked is booked here by its own words and nothing else: a debit takes the money out of transit, a return
brings it back to the account it had left. Each happens at most once, in whichever order the files tell of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from marketplace.kernel.errors import Conflict, RuleBroken
from marketplace.kernel.words import N_
from marketplace.ledger import queries as ledger
from marketplace.ledger.actions import account, post_entry
from marketplace.ledger.rules import credit, debit
from marketplace.parties import queries as parties
from marketplace.payments import money
from marketplace.payments.calls import lock_payout, move_payout, tell_failed
from marketplace.payments.rules import ROUTES, PayoutState, Purpose, Rail
from marketplace.payments.tables import PayoutRow, ProviderTransitionRow
from marketplace.perform import Tx

POOLS = ("lender", "borrower")
CAME_BACK = "returned_by_bank"


@dataclass(frozen=True)
class Waiting:
    """A payout that waits for a file: to whom, on which account (None where no account is known)."""

    id: UUID
    organisation_id: UUID
    name: str
    iban: str | None
    currency: str
    minor: int
    purpose: str
    created_at: Any

    @property
    def pool(self) -> str:
        """Whose money it is: lenders' or borrowers'. One never pays for the other."""
        return ROUTES[Purpose(self.purpose)].pool


def waiting(session: Session, currency: str | None = None, ids: Sequence[UUID] | None = None) -> list[Waiting]:
    """Return the payouts by bank that are in no file yet, oldest first."""
    query = select(PayoutRow).where(PayoutRow.rail == Rail.BANK, PayoutRow.state == PayoutState.REQUESTED)
    if currency is not None:
        query = query.where(PayoutRow.currency == currency)
    if ids is not None:
        query = query.where(PayoutRow.id.in_(ids))
    rows = list(session.scalars(query.order_by(PayoutRow.created_at, PayoutRow.id)))
    payees = parties.organisations(session, {row.organisation_id for row in rows})
    return [
        Waiting(row.id, row.organisation_id, row.pay_to_name or payees[row.organisation_id].legal_name,
                row.pay_to_iban or payees[row.organisation_id].iban, row.currency, row.amount_minor, row.purpose,
                row.created_at)
        for row in rows
    ]  # fmt: skip


def free_minor(session: Session, currency: str) -> dict[str, int]:
    """Return by pool what our books say lies at the bank and is not ordered away yet."""
    free = {pool: ledger.balance(session, f"bank_{pool}", None, currency).posted_minor for pool in POOLS}
    gone = session.execute(
        select(PayoutRow.purpose, func.sum(PayoutRow.amount_minor))
        .where(PayoutRow.rail == Rail.BANK, PayoutRow.currency == currency, PayoutRow.state == PayoutState.IN_TRANSIT)
        .group_by(PayoutRow.purpose)
    )
    for purpose, minor in gone:
        free[ROUTES[Purpose(purpose)].pool] -= int(minor)
    return free


def order(tx: Tx, payout_id: UUID, end_to_end_id: str) -> None:
    """Note that a file orders a payout. Raises: Conflict("payout_gone") for one that is in a file, or given back."""
    row = lock_payout(tx, payout_id)
    if row.rail != Rail.BANK or row.state != PayoutState.REQUESTED:
        raise Conflict("payout_gone", N_("A pay-out of this proposal has left or was given back: withdraw it."))
    row.payout_id = end_to_end_id
    move_payout(tx, row, PayoutState.IN_TRANSIT)


def pay(tx: Tx, payout_id: UUID, currency: str, minor: int) -> UUID | None:
    """Book that the bank paid a payout; return the entry, or None where this cannot be what was ordered."""
    row = lock_payout(tx, payout_id)
    if not _may_pay(tx, row, currency, minor):
        return None
    entry_id = money.book_paid(tx, row)
    _note_paid(tx, row, entry_id)
    return entry_id


def pay_together(tx: Tx, file_id: UUID, payout_ids: Sequence[UUID], currency: str, minor: int) -> UUID | None:
    """Book that the bank paid a whole file at once: one entry, or None where the sum is another."""
    rows = [lock_payout(tx, one) for one in sorted(payout_ids, key=lambda one: one.int)]
    whole = sum(row.amount_minor for row in rows) == minor
    if not rows or not whole or not all(_may_pay(tx, row, currency, row.amount_minor) for row in rows):
        return None
    legs = []
    for row in rows:
        route = ROUTES[Purpose(row.purpose)]
        legs += [debit(account(tx, route.transit, row.organisation_id, currency), row.amount_minor),
                 credit(account(tx, route.clearing(row.rail), None, currency), row.amount_minor)]  # fmt: skip
    entry_id = post_entry(tx, "payout_file_paid", "payout_file", file_id, legs)
    for row in rows:
        _note_paid(tx, row, entry_id)
    return entry_id


def come_back(tx: Tx, payout_id: UUID, currency: str, minor: int, code: str | None) -> UUID | None:
    """Book that the bank gave a payout's money back; return the entry, or None where it cannot be that."""
    row = lock_payout(tx, payout_id)
    if (row.currency, row.amount_minor) != (currency, minor) or _done(tx, row, CAME_BACK, "refused"):
        return None
    if row.state not in (PayoutState.IN_TRANSIT, PayoutState.PAID):
        return None
    entry_id = money.book_returned(tx, row, PayoutState.PAID)
    money.keep_transition(tx, f"payout:{row.id}", CAME_BACK, entry_id)
    _give_up(tx, row, code or "returned_by_bank")
    return entry_id


def refuse(tx: Tx, payout_id: UUID, reason: str) -> UUID:
    """Give an ordered payout's money back because the bank never carried the order out. Return the entry.

    Raises: RuleBroken("payout_not_on_its_way").
    """
    row = lock_payout(tx, payout_id)
    if row.rail != Rail.BANK or row.state != PayoutState.IN_TRANSIT or _done(tx, row, "paid"):
        raise RuleBroken("payout_not_on_its_way", N_("This pay-out is not on its way by a bank file."))
    entry_id = money.book_returned(tx, row, row.state)
    money.keep_transition(tx, f"payout:{row.id}", "refused", entry_id)
    _give_up(tx, row, "refused_by_bank")
    return entry_id


def _may_pay(tx: Tx, row: PayoutRow, currency: str, minor: int) -> bool:
    fits = row.rail == Rail.BANK and (row.currency, row.amount_minor) == (currency, minor)
    ordered = row.state == PayoutState.IN_TRANSIT or _done(tx, row, CAME_BACK)
    return fits and ordered and not _done(tx, row, "paid", "refused")


def _note_paid(tx: Tx, row: PayoutRow, entry_id: UUID) -> None:
    money.keep_transition(tx, f"payout:{row.id}", "paid", entry_id)
    if row.state == PayoutState.IN_TRANSIT:  # else it has come back before the statement told that it left
        row.paid_at = tx.clock()
        move_payout(tx, row, PayoutState.PAID)


def _give_up(tx: Tx, row: PayoutRow, code: str) -> None:
    row.failure_code = code[:60]
    move_payout(tx, row, PayoutState.FAILED, reason=row.failure_code)
    move_payout(tx, row, PayoutState.RETURNED)
    tell_failed(tx, row, row.failure_code)


def _done(tx: Tx, row: PayoutRow, *transitions: str) -> bool:
    found = tx.session.scalar(
        select(func.count()).where(
            ProviderTransitionRow.object_id == f"payout:{row.id}", ProviderTransitionRow.transition.in_(transitions)
        )
    )
    return bool(found)

"""Payouts that leave by a bank file: which wait, that one was ordered, and how the bank's own files end them.

What the bank booked is booked here by its own words and nothing else: a debit takes the money out of transit, a return
brings it back to the account it had left. Each happens at most once, in whichever order the files tell of them.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import String, cast, func, select
from sqlalchemy.orm import Session

from marketplace.kernel.errors import Conflict, RuleBroken
from marketplace.kernel.words import N_
from marketplace.ledger import queries as ledger
from marketplace.ledger.actions import account, accounts, post_entry
from marketplace.ledger.rules import Leg, chart, credit, debit
from marketplace.parties import queries as parties
from marketplace.payments import money
from marketplace.payments.alerts import close_about
from marketplace.payments.calls import tell_failed
from marketplace.payments.rules import PAYOUT, ROUTES, PayoutState, Purpose, Rail
from marketplace.payments.tables import PayoutRow, ProviderTransitionRow
from marketplace.perform import Tx

POOLS = ("lender", "borrower")
CAME_BACK = "returned_by_bank"
RETURN_UNDONE = "return_undone_by_bank"


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
    """Return by pool what our books say lies at the bank and is not ordered away yet: never more than all of it does.

    What the bank gave back before it told that it had left is still to leave.
    """
    leaving = _leaving(session, currency)
    together = free_together(session, currency)
    return {
        pool: min(ledger.balance(session, f"bank_{pool}", None, currency).posted_minor - leaving[pool], together)
        for pool in POOLS
    }


def free_together(session: Session, currency: str) -> int:
    """Return what lies at the bank by our books, whosever it is, and is not ordered away yet."""
    codes = [f"bank_{pool}" for pool in (*POOLS, "platform")]
    lies = sum(ledger.balance(session, code, None, currency).posted_minor for code in codes)
    return lies - sum(_leaving(session, currency).values())


def _leaving(session: Session, currency: str) -> dict[str, int]:
    """Return by pool what is ordered and, as far as the bank told, has not left."""
    back, paid = (
        select(ProviderTransitionRow.object_id).where(
            ProviderTransitionRow.object_id == func.concat("payout:", cast(PayoutRow.id, String)),
            ProviderTransitionRow.transition == step,
        ).exists()
        for step in (CAME_BACK, "paid")
    )  # fmt: skip
    told_back = (PayoutRow.state == PayoutState.RETURNED) & back & ~paid
    rows = session.execute(
        select(PayoutRow.purpose, func.sum(PayoutRow.amount_minor))
        .where(PayoutRow.rail == Rail.BANK, PayoutRow.currency == currency)
        .where((PayoutRow.state == PayoutState.IN_TRANSIT) | told_back).group_by(PayoutRow.purpose)
    )  # fmt: skip
    gone = dict.fromkeys(POOLS, 0)
    for purpose, minor in rows:
        gone[ROUTES[Purpose(purpose)].pool] += int(minor)
    return gone


def order(tx: Tx, named: Mapping[UUID, str]) -> None:
    """Note that a file orders payouts, each by its end-to-end id.

    Raises: Conflict("payout_gone") where one is in a file, or was given back.
    """
    rows = _lock(tx, list(named))
    if len(rows) != len(named) or any((row.rail, row.state) != (Rail.BANK, PayoutState.REQUESTED) for row in rows):
        raise Conflict("payout_gone", N_("A pay-out of this proposal has left or was given back: withdraw it."))
    for row in rows:
        row.payout_id = named[row.id]
    _move(tx, rows, PayoutState.IN_TRANSIT)


def pay(tx: Tx, payout_id: UUID, currency: str, minor: int) -> UUID | None:
    """Book that the bank paid a payout; return the entry, or None where this cannot be what was ordered."""
    (row,) = _lock(tx, [payout_id])
    if row.amount_minor != minor or not _may_pay(tx, [row], currency):
        return None
    entry_id = money.book_paid(tx, row)
    _note_paid(tx, [row], entry_id)
    return entry_id


def pay_together(tx: Tx, file_id: UUID, payout_ids: Sequence[UUID], currency: str, minor: int) -> UUID | None:
    """Book that the bank paid a whole file at once: one entry, or None where the sum is another.

    Of a file is left what was neither paid by itself nor refused.
    """
    rows = _lock_but(tx, payout_ids, "paid", "refused")
    if not rows or sum(row.amount_minor for row in rows) != minor or not _may_pay(tx, rows, currency):
        return None
    entry_id = post_entry(tx, "payout_file_paid", "payout_file", file_id, _paid_legs(tx, rows))
    _note_paid(tx, rows, entry_id)
    return entry_id


def pay_unexplained(tx: Tx, bank_entry_id: UUID, payout_ids: Sequence[UUID], currency: str, minor: int) -> UUID | None:
    """Book that what left unexplained paid the rest of a file, once the others of it are refused.

    Return the entry, or None where the sum is another.
    """
    rows = _lock_but(tx, payout_ids, "paid", "refused")
    if not rows or sum(row.amount_minor for row in rows) != minor or not _may_pay(tx, rows, currency):
        return None
    back = [
        debit(account(tx, "bank_borrower", None, currency), minor),
        credit(account(tx, "bank_unexplained", None, currency), minor),
    ]
    entry_id = post_entry(tx, "payout_file_paid", "bank_entry", bank_entry_id, _paid_legs(tx, rows) + back)
    _note_paid(tx, rows, entry_id)
    close_about(tx, bank_entry_id)
    return entry_id


def come_back(tx: Tx, payout_id: UUID, currency: str, minor: int, code: str | None) -> UUID | None:
    """Book that the bank gave a payout's money back; return the entry, or None where it cannot be that."""
    (row,) = _lock(tx, [payout_id])
    if row.amount_minor != minor or not _may_come_back(tx, [row], currency):
        return None
    entry_id = money.book_returned(tx, row, PayoutState.PAID)
    _note_back(tx, [row], entry_id, code)
    return entry_id


def come_back_together(
    tx: Tx, file_id: UUID, payout_ids: Sequence[UUID], currency: str, minor: int, code: str | None = None
) -> UUID | None:
    """Book that the bank gave a whole file's money back: one entry, or None where it cannot be that."""
    rows = _lock_but(tx, payout_ids, CAME_BACK, "refused")
    if not rows or sum(row.amount_minor for row in rows) != minor or not _may_come_back(tx, rows, currency):
        return None
    legs = [credit(one, row.amount_minor) for row, one in zip(rows, _accounts(tx, rows, "source"), strict=True)]
    legs += [debit(one, there) for one, there in _clearing(tx, rows)]
    entry_id = post_entry(tx, "payout_file_returned", "payout_file", file_id, legs)
    _note_back(tx, rows, entry_id, code)
    return entry_id


def note_return_undone(tx: Tx, payout_ids: Sequence[UUID], entry_id: UUID) -> None:
    """Note that the bank took back what it had given back: the payee has it, and it is not to be sent again."""
    for one in payout_ids:
        money.keep_transition(tx, f"payout:{one}", RETURN_UNDONE, entry_id)


def refuse(tx: Tx, payout_id: UUID, reason: str) -> UUID:
    """Give an ordered payout's money back because the bank never carried the order out. Return the entry.

    Raises: RuleBroken("payout_not_on_its_way").
    """
    (row,) = _lock(tx, [payout_id])
    if row.rail != Rail.BANK or row.state != PayoutState.IN_TRANSIT or _done(tx, [row], "paid"):
        raise RuleBroken("payout_not_on_its_way", N_("This pay-out is not on its way by a bank file."))
    entry_id = money.book_returned(tx, row, row.state)
    money.keep_transition(tx, f"payout:{row.id}", "refused", entry_id)
    _give_up(tx, [row], "refused_by_bank")
    return entry_id


def _lock(tx: Tx, payout_ids: Sequence[UUID]) -> list[PayoutRow]:
    """Lock payouts, by id, and return them as they are."""
    return list(tx.session.scalars(
        select(PayoutRow).where(PayoutRow.id.in_(payout_ids)).order_by(PayoutRow.id).with_for_update()
        .execution_options(populate_existing=True)
    ))  # fmt: skip


def _lock_but(tx: Tx, payout_ids: Sequence[UUID], *transitions: str) -> list[PayoutRow]:
    """Lock payouts and return those that went through none of the steps."""
    rows = _lock(tx, payout_ids)
    gone = _done(tx, rows, *transitions)
    return [row for row in rows if row.id not in gone]


def _paid_legs(tx: Tx, rows: Sequence[PayoutRow]) -> list[Leg]:
    transit = [debit(one, row.amount_minor) for row, one in zip(rows, _accounts(tx, rows, "transit"), strict=True)]
    return transit + [credit(one, minor) for one, minor in _clearing(tx, rows)]


def _clearing(tx: Tx, rows: Sequence[PayoutRow]) -> list[tuple[UUID, int]]:
    """Return the accounts at the bank out of which payouts are paid, and how much of each."""
    sums = Counter[str]()
    for row in rows:
        sums[ROUTES[Purpose(row.purpose)].clearing(row.rail)] += row.amount_minor
    return [(account(tx, code, None, rows[0].currency), minor) for code, minor in sums.items()]


def _accounts(tx: Tx, rows: Sequence[PayoutRow], end: str) -> list[UUID]:
    """Return the account at one end of each payout, `source` or `transit`: a few statements, however many."""
    codes = [str(getattr(ROUTES[Purpose(row.purpose)], end)) for row in rows]
    known: dict[tuple[str, UUID], UUID] = {}
    for code in set(codes):
        owners = {row.organisation_id for row, one in zip(rows, codes, strict=True) if one == code}
        own = chart()[code].owner == "organisation"
        found = accounts(tx, code, owners, rows[0].currency) if own else {}
        shared = None if own else account(tx, code, None, rows[0].currency)
        known |= {(code, owner): shared or found[owner] for owner in owners}
    return [known[code, row.organisation_id] for code, row in zip(codes, rows, strict=True)]


def _may_pay(tx: Tx, rows: Sequence[PayoutRow], currency: str) -> bool:
    if any((row.rail, row.currency) != (Rail.BANK, currency) for row in rows) or _done(tx, rows, "paid", "refused"):
        return False
    back = _done(tx, rows, CAME_BACK)
    return all(row.state == PayoutState.IN_TRANSIT or row.id in back for row in rows)


def _may_come_back(tx: Tx, rows: Sequence[PayoutRow], currency: str) -> bool:
    there = (PayoutState.IN_TRANSIT, PayoutState.PAID)
    return all(row.currency == currency and row.state in there for row in rows) and not _done(
        tx, rows, CAME_BACK, "refused"
    )


def _note_paid(tx: Tx, rows: Sequence[PayoutRow], entry_id: UUID) -> None:
    money.keep_transitions(tx, [f"payout:{row.id}" for row in rows], "paid", entry_id)
    at = tx.clock()
    leaving = [row for row in rows if row.state == PayoutState.IN_TRANSIT]  # others came back before they left
    for row in leaving:
        row.paid_at = at
    _move(tx, leaving, PayoutState.PAID)


def _note_back(tx: Tx, rows: Sequence[PayoutRow], entry_id: UUID, code: str | None) -> None:
    money.keep_transitions(tx, [f"payout:{row.id}" for row in rows], CAME_BACK, entry_id)
    _give_up(tx, rows, code or "returned_by_bank")


def _give_up(tx: Tx, rows: Sequence[PayoutRow], code: str) -> None:
    for row in rows:
        row.failure_code = code[:60]
    _move(tx, rows, PayoutState.FAILED, reason=code[:60])
    _move(tx, rows, PayoutState.RETURNED)
    for row in rows:
        tell_failed(tx, row, row.failure_code)


def _move(tx: Tx, rows: Sequence[PayoutRow], after: PayoutState, reason: str | None = None) -> None:
    """Move payouts by their machine and record each."""
    at, told = tx.clock(), []
    for row in rows:
        PAYOUT.check(row.state, after)
        told.append((row.id, {"state": row.state}, {"state": after}))
        row.state, row.state_since = after, at
    tx.session.flush()
    if told:
        tx.record_many("payout", tx.verb, told, reason=reason)


def _done(tx: Tx, rows: Sequence[PayoutRow], *transitions: str) -> set[UUID]:
    """Return which of the payouts went through one of the steps."""
    names = {f"payout:{row.id}": row.id for row in rows}
    found = tx.session.scalars(
        select(ProviderTransitionRow.object_id).where(
            ProviderTransitionRow.object_id.in_(names), ProviderTransitionRow.transition.in_(transitions)
        )
    )
    return {names[one] for one in found}

"""What two people decide about money: one proposes it with a reason, another one does it; neither alone can."""

import hashlib
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any, cast
from uuid import UUID

from sqlalchemy import select, text

from marketplace.kernel.canonical import canonical_bytes, jsonable
from marketplace.kernel.errors import Conflict, InvalidInput, NotFound, NotPermitted, RuleBroken
from marketplace.kernel.ids import new_id
from marketplace.kernel.words import N_
from marketplace.ledger import actions as ledger
from marketplace.ledger import queries as ledger_queries
from marketplace.ledger.rules import chart, credit, debit
from marketplace.parties import queries as parties
from marketplace.parties.rules import verb
from marketplace.payments import actions as payments
from marketplace.payments import chargebacks
from marketplace.payments.alerts import close_about
from marketplace.payments.rules import Rail
from marketplace.perform import Result, Tx
from marketplace.receivables import queries as receivables
from marketplace.servicing import bank_deeds, suspense
from marketplace.servicing.decision_schemas import (
    DecideMoney,
    ProposeManualEntry,
    ProposePeriodClose,
    ProposeSuspense,
)
from marketplace.servicing.states import DECISION, DecisionState
from marketplace.servicing.tables import ClosedPeriodRow, MoneyDecisionRow

Payload = Mapping[str, Any]
# "PERIODS" in ASCII: every entry shares this lock while it is under way, and who closes a period waits for them all.
PERIODS = int.from_bytes(b"PERIODS", "big")
# The bank's entry that a payment came by: its own, or the one that two people made it of, perhaps by another payment.
SENDER = """
WITH RECURSIVE came_from (id) AS (SELECT CAST(:id AS uuid) UNION SELECT m.subject_id FROM came_from
    JOIN entry e ON e.subject_id = came_from.id AND e.kind = 'suspense_applied'
    JOIN money_decision m ON m.entry_id = e.id)
SELECT b.sender_name, b.sender_iban FROM bank_entry b JOIN came_from
    ON b.id = came_from.id OR (b.payment_id = came_from.id AND b.outcome = 'payment')
"""
AT_BANK = ("bank_lender", "bank_borrower", "bank_platform")
NOT_AN_OPENING = N_("An opening balance lies on one of the market’s accounts: one side is at the bank, one is not.")
FOUR_EYES = N_("A second person has to agree.")


@verb("propose_manual_entry")
def propose_manual_entry(tx: Tx, command: ProposeManualEntry) -> Result:
    """Propose an entry by hand: one account debited, one of the same pool credited.

    Raises: InvalidInput for accounts that the chart does not have or that lie in two pools.
    """
    debited = _line(tx, command.debit_code, command.debit_owner_id, "debit_owner")
    credited = _line(tx, command.credit_code, command.credit_owner_id, "credit_owner")
    if chart()[debited].pool != chart()[credited].pool:
        raise InvalidInput.about("credit_code", "pools_cross",
                      N_("Both accounts must lie in one pool: client money never crosses."))  # fmt: skip
    words = N_("Choose two accounts and one of the market’s currencies.")
    if (debited, command.debit_owner_id) == (credited, command.credit_owner_id):
        raise InvalidInput.about("credit_code", "invalid_fields", words)
    if command.currency not in tx.policy.currencies:
        raise InvalidInput.about("currency", "invalid_fields", words)
    _check_opening(tx, command)
    told = {name: getattr(command, name) for name in command.__dataclass_fields__ if name != "reason"}
    told["opening_iban"] = command.opening_iban and f"…{command.opening_iban[-4:]}"
    whose = {"debit_owner": command.debit_owner_id, "credit_owner": command.credit_owner_id}
    names = {name: owner and parties.organisation(tx.session, owner).legal_name for name, owner in whose.items()}
    payload = {**told, **names, "opening_iban": command.opening_iban}
    return propose(tx, "manual_entry", new_id(), payload, command.reason, told)


def _check_opening(tx: Tx, command: ProposeManualEntry) -> None:
    """Let only one side lie at the bank, and on an account of the market's own, where an opening balance is booked."""
    if command.opening_iban is None:
        return
    ours = parties.own_accounts(tx.session)
    if command.opening_iban not in ours or (command.debit_code in AT_BANK) == (command.credit_code in AT_BANK):
        raise InvalidInput.about("opening_iban", "not_an_opening", NOT_AN_OPENING)


def _line(tx: Tx, code: str, owner_id: UUID | None, field: str) -> str:
    line = chart().get(code)
    known = owner_id is None or owner_id in parties.organisations(tx.session, [owner_id])
    if line is None or (line.owner == "organisation") != (owner_id is not None) or not known:
        raise InvalidInput.about(
            field, "no_such_account", N_("The chart of accounts has no such account for this owner.")
        )
    return code


@verb("propose_suspense")
def propose_suspense(tx: Tx, command: ProposeSuspense) -> Result:
    """Propose what becomes of money in suspense.

    Raises: NotFound; RuleBroken("more_than_left"); InvalidInput without the receivable it is to be applied to.
    """
    item = _enough(next(iter(suspense.items(tx.session, command.payment_id)), None), command.minor)
    if (command.decision == "apply") != (command.receivable_id is not None):
        raise InvalidInput.about("ref", "receivable_needed", suspense.NAME_IT)
    if command.receivable_id is not None:
        _check_target(tx, command.receivable_id, item)
    told = {"minor": command.minor, "currency": item.currency, "receivable_id": command.receivable_id}
    payload = told | _named(tx, item, command.receivable_id)
    return propose(tx, f"suspense_{command.decision}", command.payment_id, payload, command.reason, told)


def _named(tx: Tx, item: suspense.SuspenseItem, target: UUID | None) -> dict[str, Any]:
    """Return by name what the second person decides about: whose money, paid for what, and where it goes."""
    told: dict[str, Any] = {
        "debtor": parties.organisation(tx.session, item.debtor_id).legal_name,
        "paid_for": receivables.receivable(tx.session, item.receivable_id).ref,
        "paid_on": item.received_on,
    }
    if target is not None:
        return told | {"receivable": receivables.receivable(tx.session, target).ref}
    sender = _sender(tx, item)
    return told | ({"sender": sender[0], "sender_iban": sender[1]} if sender else {})


def _still(item: suspense.SuspenseItem | None) -> suspense.SuspenseItem:
    """Return an item as it is now. Raises: RuleBroken("worked_off") where nothing of it is left since the proposal."""
    if item is None:
        raise RuleBroken("worked_off", suspense.WORKED_OFF)
    return item


def _enough(item: suspense.SuspenseItem | None, minor: int) -> suspense.SuspenseItem:
    if item is None:
        raise NotFound("not_found", N_("There is no such thing, or you may not see it."))
    if minor > item.left_minor:
        raise RuleBroken.about("minor", "more_than_left", suspense.NOT_SO_MUCH)
    return item


def _check_target(tx: Tx, receivable_id: UUID, item: suspense.SuspenseItem) -> None:
    owed = tx.session.execute(
        text("SELECT debtor_id, currency FROM collection WHERE receivable_id = :id"), {"id": receivable_id}
    ).one_or_none()
    if owed is None or owed.debtor_id != item.debtor_id or owed.currency != item.currency:
        raise RuleBroken("not_this_debtors", N_("It goes only to what the same debtor owes in this currency."))


@verb("propose_period_close")
def propose_period_close(tx: Tx, command: ProposePeriodClose) -> Result:
    """Propose that no entry bears this date or an earlier one any more.

    Raises: RuleBroken("period_not_over") for today and later, Conflict("period_closed").
    """
    if command.through_on >= tx.today:
        raise RuleBroken.about("through_on", "period_not_over", N_("Only days that are over can be closed."))
    _check_open(tx, command.through_on)
    return propose(tx, "close_period", UUID(int=command.through_on.toordinal()), {"through_on": command.through_on},
                   command.reason)  # fmt: skip


def _check_open(tx: Tx, through_on: date) -> None:
    """Raises: Conflict("period_closed") for a day that a closed period holds, by another proposal too."""
    last = tx.session.scalar(text("SELECT max(through_on) FROM closed_period"))
    if last is not None and through_on <= last:
        raise Conflict.about("through_on", "period_closed", N_("This period is closed already."))


@verb("decide_money")
def decide_money(tx: Tx, command: DecideMoney) -> Result:
    """Do what another person proposed; or withdraw a proposal.

    Raises: RuleBroken("four_eyes") for the proposer himself; Conflict("decided"); whatever the deed itself refuses.
    """
    row = tx.session.scalars(
        select(MoneyDecisionRow).where(MoneyDecisionRow.id == command.decision_id).with_for_update()
    ).one_or_none()
    if row is None or (command.agree and row.kind not in DEEDS):  # a write-off is done where it is proposed
        raise NotFound("not_found", N_("There is no such thing, or you may not see it."))
    return decide(tx, row, command.agree, DEEDS.get(row.kind, lambda *_: None))


# -- shared with other verbs of two people ------------------------------------------------------------------------


def propose(tx: Tx, kind: str, subject_id: UUID, payload: Payload, reason: str, told: Payload | None = None) -> Result:
    """Write a proposal down; `told` is what the audit trail shows of it where that is less.

    Raises: Conflict("proposed") while one of its kind stands about the same subject.
    """
    if open_proposal(tx, kind, subject_id) is not None:
        raise Conflict("proposed", N_("This is proposed already: a second person decides."))
    kept = cast(dict[str, Any], jsonable(payload))
    row = MoneyDecisionRow(
        id=new_id(), kind=kind, subject_id=subject_id, payload=kept,
        payload_hash=hashlib.sha256(canonical_bytes(kept)).digest(), reason=reason, proposed_by=person(tx),
        state=DecisionState.PROPOSED,
    )  # fmt: skip
    tx.session.add(row)
    tx.session.flush()
    tx.record("money_decision", row.id, reason=reason,
              after={"kind": kind, "subject_id": subject_id, "payload": kept if told is None else told,
                     "state": row.state})  # fmt: skip
    return {"decision_id": row.id, "state": row.state}


def open_proposal(tx: Tx, kind: str, subject_id: UUID) -> MoneyDecisionRow | None:
    """Lock and return the proposal of a kind that stands about a subject."""
    return tx.session.scalars(
        select(MoneyDecisionRow)
        .where(MoneyDecisionRow.kind == kind, MoneyDecisionRow.subject_id == subject_id,
               MoneyDecisionRow.state == DecisionState.PROPOSED)
        .with_for_update()
    ).one_or_none()  # fmt: skip


def decide(tx: Tx, row: MoneyDecisionRow, agree: bool, deed: Callable[[Tx, MoneyDecisionRow], UUID | None]) -> Result:
    """Let a second person do a locked proposal, bound to the bytes that were proposed; or anybody withdraw it."""
    who = person(tx)
    if row.state != DecisionState.PROPOSED:
        raise Conflict("decided", N_("This was decided before."))
    if agree and row.proposed_by == who:
        raise RuleBroken("four_eyes", FOUR_EYES)
    if hashlib.sha256(canonical_bytes(row.payload)).digest() != bytes(row.payload_hash):
        raise RuleBroken("payload_changed", N_("What was proposed is not what lies here: withdraw it."))
    after = DecisionState.DONE if agree else DecisionState.WITHDRAWN
    DECISION.check(row.state, after)
    entry_id = deed(tx, row) if agree else None
    row.state, row.decided_by, row.decided_at, row.entry_id = after, who, tx.clock(), entry_id
    tx.session.flush()
    tx.record("money_decision", row.id, before={"state": DecisionState.PROPOSED},
              after={"state": row.state, "entry_id": row.entry_id})  # fmt: skip
    return {"decision_id": row.id, "state": row.state, "entry_id": row.entry_id}


def person(tx: Tx) -> UUID:
    """Return who acts. Raises: NotPermitted for what is not a person."""
    if tx.actor.user_id is None:
        raise NotPermitted("person_needed", N_("Only a person may decide this."))
    return tx.actor.user_id


# -- the deeds ----------------------------------------------------------------------------------------------------


def _post_manual_entry(tx: Tx, row: MoneyDecisionRow) -> UUID:
    legs = [
        debit(ledger.account(tx, _text(row, "debit_code"), _id(row, "debit_owner_id"), _text(row, "currency")),
              int(row.payload["minor"])),
        credit(ledger.account(tx, _text(row, "credit_code"), _id(row, "credit_owner_id"), _text(row, "currency")),
               int(row.payload["minor"])),
    ]  # fmt: skip
    return ledger.post_entry(tx, "manual_entry", "money_decision", row.id, legs, reason=row.reason)


def _apply_suspense(tx: Tx, row: MoneyDecisionRow) -> UUID:
    item, minor = _taken(tx, row)
    target = cast(UUID, _id(row, "receivable_id"))
    _check_target(tx, target, item)
    payment_id, _ = chargebacks.arrives(tx, item.debtor_id, target, item.currency, minor,
                                        "Applied from suspense", book=False, rail=item.rail,
                                        received_on=item.received_on)  # fmt: skip
    legs = [
        debit(ledger.account(tx, "suspense", None, item.currency), minor),
        credit(ledger.account(tx, "debtor_receipts", item.debtor_id, item.currency), minor),
    ]
    return ledger.post_entry(tx, "suspense_applied", "debtor_payment", payment_id, legs, reason=row.reason)


def _return_suspense(tx: Tx, row: MoneyDecisionRow) -> UUID:
    item, minor = _taken(tx, row)
    payout_id = payments.request_payout(tx, item.debtor_id, item.currency, minor, "return", "debtor_payment",
                                        item.payment_id, f"return:{row.id}", pay_to=_sender(tx, item))  # fmt: skip
    return cast(UUID, tx.session.scalar(
        text("SELECT id FROM entry WHERE subject_id = :id AND kind = 'return_requested'"), {"id": payout_id}
    ))  # fmt: skip


def _taken(tx: Tx, row: MoneyDecisionRow) -> tuple[suspense.SuspenseItem, int]:
    """Lock what a proposal takes of and return it with how much; the call about it ends with the last of it."""
    minor = int(row.payload["minor"])
    item = _enough(_still(suspense.lock(tx, row.subject_id)), minor)
    if minor == item.left_minor:
        close_about(tx, row.subject_id, "not_as_asked")
    return item, minor


def _sender(tx: Tx, item: suspense.SuspenseItem) -> tuple[str, str] | None:
    """Return who sent money that came by the bank: it goes back by the bank, out of where it lies."""
    if item.rail != Rail.BANK:
        return None
    row = tx.session.execute(text(SENDER), {"id": item.payment_id}).one_or_none()
    if row is None or row.sender_iban is None:
        raise RuleBroken("sender_unknown", N_("The bank told no account of the sender: apply it, or ask the bank."))
    return row.sender_name or "NOTPROVIDED", row.sender_iban


def _close_period(tx: Tx, row: MoneyDecisionRow) -> None:
    through_on = date.fromisoformat(_text(row, "through_on"))
    tx.session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": PERIODS})
    _check_open(tx, through_on)
    balances = [vars(line) for line in ledger_queries.trial_balance(tx.session, through_on)]
    period = ClosedPeriodRow(through_on=through_on, decision_id=row.id, trial_balance=jsonable(balances))
    tx.session.add(period)
    tx.session.flush()
    tx.record("closed_period", row.id, after={"through_on": through_on, "lines": len(balances)})


def _text(row: MoneyDecisionRow, name: str) -> str:
    return str(row.payload[name])


def _id(row: MoneyDecisionRow, name: str) -> UUID | None:
    value = row.payload.get(name)
    return UUID(value) if value else None


DEEDS: dict[str, Callable[[Tx, MoneyDecisionRow], UUID | None]] = {
    "manual_entry": _post_manual_entry, "suspense_apply": _apply_suspense, "suspense_return": _return_suspense,
    "close_period": _close_period, **bank_deeds.DEEDS,
}  # fmt: skip

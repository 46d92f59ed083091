"""The life of a call: claimed, made outside any transaction, then confirmed or failed."""

import json
from uuid import UUID

from sqlalchemy import select

from marketplace.kernel.errors import Conflict, IntegrityBreach
from marketplace.kernel.ids import new_id
from marketplace.kernel.words import N_
from marketplace.parties.rules import verb
from marketplace.payments import intents, money
from marketplace.payments.alerts import raise_alert
from marketplace.payments.gateway import CallKind, Outcome
from marketplace.payments.rules import (
    CALL,
    INSUFFICIENT,
    LEASE,
    LOOK_UP_EVERY,
    LOOK_UPS_MAX,
    PAYMENT,
    PAYOUT,
    SHORT_RETRIES_MAX,
    SHORT_RETRY,
    CallState,
    PaymentState,
    PayoutState,
    backoff,
    must_look_up,
)
from marketplace.payments.schemas import ClaimCall, ConfirmCall, FailCall, ParkCall
from marketplace.payments.tables import (
    PAYING,
    DebtorPaymentRow,
    FundingRow,
    OutgoingCallRow,
    Paying,
    PayoutRow,
    ProviderAccountRow,
)
from marketplace.perform import Result, Tx

WAITING = (CallState.PENDING, CallState.SENT, CallState.UNKNOWN)


@verb("claim_call")
def claim_call(tx: Tx, command: ClaimCall) -> Result:
    """Take a call for LEASE: after that, if nobody said how it went, another worker makes it again, word for word.

    `look_up` in the result says that the provider may have forgotten the key: look, do not send.

    Raises: Conflict("not_due") when another worker has it, or it is done, or not due.
    """
    row = tx.session.scalars(
        select(OutgoingCallRow)
        .where(OutgoingCallRow.id == command.call_id, OutgoingCallRow.state.in_(WAITING))
        .with_for_update(skip_locked=True)
    ).one_or_none()
    now = tx.clock()
    if row is None or row.next_at is None or row.next_at > now:
        raise Conflict("not_due", N_("Somebody else is at it, or it is not due."))
    look_up = must_look_up(row.first_sent_at, now)
    if row.state != CallState.SENT:
        CALL.check(row.state, CallState.SENT)
        row.state = CallState.SENT
    row.attempts += 1
    row.look_ups += int(look_up)
    row.first_sent_at = row.first_sent_at or now
    row.next_at = now + LEASE
    tx.session.flush()
    tx.record("outgoing_call", row.id, after={"attempts": row.attempts, "look_up": look_up})
    return {"kind": row.kind, "request": row.request, "look_up": look_up, "attempts": row.attempts}


@verb("confirm_call")
def confirm_call(tx: Tx, command: ConfirmCall) -> Result:
    """Note what a call left outside, and write the call that follows from it.

    Raises: Conflict("call_done") when it was confirmed before with the same object; IntegrityBreach when with another.
    """
    row = lock_call(tx, command.call_id)
    if row.state == CallState.SUCCEEDED:
        if row.provider_id == command.provider_id:
            raise Conflict("call_done", N_("This call was confirmed before."))
        raise IntegrityBreach("two_objects", "One idempotency key led to two objects at the provider.")
    CALL.check(row.state, CallState.SUCCEEDED)
    row.state, row.provider_id, row.done_at, row.next_at = CallState.SUCCEEDED, command.provider_id, tx.clock(), None
    tx.session.flush()
    tx.record("outgoing_call", row.id, after={"state": row.state, "provider_id": command.provider_id})
    _go_on(tx, row, command)
    return {"call_id": row.id}


@verb("fail_call")
def fail_call(tx: Tx, command: FailCall) -> Result:
    """Note that a call did not succeed: refused ends it, all else asks again later with the same key and bytes.

    Raises: Conflict("call_done") when it is done already.
    """
    row = lock_call(tx, command.call_id)
    if row.state in (CallState.SUCCEEDED, CallState.FAILED):
        raise Conflict("call_done", N_("This call was confirmed before."))
    now = tx.clock()
    if command.outcome == Outcome.REFUSED and row.look_ups == 0:
        _move(row, CallState.FAILED)
        row.done_at, row.next_at, row.failure_code = now, None, command.code
    else:
        # What may have happened at an earlier attempt stays unknown until the provider has shown it.
        certain = command.outcome in (Outcome.LIMITED, Outcome.RETRY) and row.attempts == 1
        _move(row, CallState.PENDING if certain else CallState.UNKNOWN)
        row.next_at, row.failure_code = now + backoff(row.attempts), command.code
    tx.session.flush()
    tx.record("outgoing_call", row.id,
              after={"state": row.state, "outcome": command.outcome, "code": command.code,
                     "attempts": row.attempts})  # fmt: skip
    if row.state == CallState.FAILED:
        give_up(tx, row, command.code)
    return {"call_id": row.id, "state": row.state}


@verb("park_call")
def park_call(tx: Tx, command: ParkCall) -> Result:
    """Note that a look-up found nothing. After LOOK_UPS_MAX of them the call rests until two people release it."""
    row = lock_call(tx, command.call_id)
    if row.state in (CallState.SUCCEEDED, CallState.FAILED):
        raise Conflict("call_done", N_("This call was confirmed before."))
    _move(row, CallState.UNKNOWN)
    resting = row.look_ups >= LOOK_UPS_MAX
    row.next_at = None if resting else tx.clock() + LOOK_UP_EVERY
    tx.session.flush()
    tx.record("outgoing_call", row.id, after={"state": row.state, "look_ups": row.look_ups, "resting": resting})
    if resting:
        raise_alert(tx, "call_unknown", "outgoing_call", row.id, call_kind=row.kind, about=row.subject_id)
    return {"call_id": row.id, "resting": resting}


def lock_call(tx: Tx, call_id: UUID) -> OutgoingCallRow:
    """Lock a call."""
    return tx.session.scalars(select(OutgoingCallRow).where(OutgoingCallRow.id == call_id).with_for_update()).one()


def _move(row: OutgoingCallRow, after: CallState) -> None:
    if row.state != after:
        CALL.check(row.state, after)
        row.state = after


# -- what follows from a success ----------------------------------------------------------------------------------


def _go_on(tx: Tx, row: OutgoingCallRow, command: ConfirmCall) -> None:
    match CallKind(row.kind):
        case CallKind.CUSTOMER:
            _know(tx, row.subject_id, "customer", None, command.provider_id)
            intents.want_waiting_checkouts(tx, row.subject_id)
        case CallKind.ACCOUNT:
            currency = row.business_key.split(":")[2]
            _know(tx, row.subject_id, "connected", currency, command.provider_id)
            for payout in intents.waiting_payouts(tx, row.subject_id, currency):
                intents.want_transfer(tx, payout)
        case CallKind.CHECKOUT:
            _open_page(tx, row, command)
        case CallKind.TRANSFER:
            _transferred(tx, row, command.provider_id)
        case CallKind.PAYOUT:
            sent_to_bank(tx, lock_payout(tx, row.subject_id), command.provider_id)
        case CallKind.REVERSAL:
            payout = lock_payout(tx, row.subject_id)
            payout.reversal_id = command.provider_id
            move_payout(tx, payout, PayoutState.RETURNED)


def _know(tx: Tx, organisation_id: UUID, kind: str, currency: str | None, provider_id: str) -> None:
    row = ProviderAccountRow(id=new_id(), organisation_id=organisation_id, kind=kind, currency=currency,
                             provider_id=provider_id)  # fmt: skip
    tx.session.add(row)
    tx.session.flush()
    tx.record("provider_account", row.id, verb="know_at_provider",
              after={"organisation_id": organisation_id, "kind": kind, "currency": currency,
                     "provider_id": provider_id})  # fmt: skip


def _open_page(tx: Tx, row: OutgoingCallRow, command: ConfirmCall) -> None:
    payment = lock_payment(tx, row.subject_kind, row.subject_id)
    payment.session_id = payment.session_id or command.provider_id
    if payment.state == PaymentState.PREPARING and command.pay_url:
        payment.pay_url = command.pay_url
        move_payment(tx, payment, PaymentState.OPEN)
    tx.session.flush()


def _transferred(tx: Tx, row: OutgoingCallRow, transfer_id: str) -> None:
    payout = lock_payout(tx, row.subject_id)
    payout.transfer_id = transfer_id
    payout.account_id = str(json.loads(row.request)["params"]["destination"])
    move_payout(tx, payout, PayoutState.TRANSFERRED)
    intents.want_bank_payout(tx, payout)


def sent_to_bank(tx: Tx, payout: PayoutRow, payout_id: str) -> None:
    """Note the provider's payout; a webhook may have told it first."""
    payout.payout_id = payout.payout_id or payout_id
    if payout.state == PayoutState.TRANSFERRED:
        move_payout(tx, payout, PayoutState.IN_TRANSIT)


# -- what follows from a refusal ----------------------------------------------------------------------------------


def give_up(tx: Tx, row: OutgoingCallRow, code: str) -> None:
    """Let what hung on a call fail: money goes back to the account it left, and a person is told."""
    if row.kind == CallKind.TRANSFER:
        return _transfer_refused(tx, row, code)
    raise_alert(tx, "call_refused", "outgoing_call", row.id, call_kind=row.kind, code=code, about=row.subject_id)
    match CallKind(row.kind):
        case CallKind.CUSTOMER:
            for table in PAYING:
                for payment in tx.session.scalars(
                    select(table)
                    .where(table.organisation_id == row.subject_id, table.state == PaymentState.PREPARING)
                    .order_by(table.id).with_for_update()
                ):  # fmt: skip
                    move_payment(tx, payment, PaymentState.FAILED, reason=code)
        case CallKind.CHECKOUT:
            payment = lock_payment(tx, row.subject_kind, row.subject_id)
            if payment.state == PaymentState.PREPARING:
                move_payment(tx, payment, PaymentState.FAILED, reason=code)
        case CallKind.ACCOUNT:
            for payout in intents.waiting_payouts(tx, row.subject_id, row.business_key.split(":")[2]):
                return_money(tx, payout, code)
        case CallKind.PAYOUT:
            payout = lock_payout(tx, row.subject_id)
            if payout.state == PayoutState.TRANSFERRED:
                return_money(tx, payout, code)
        case _:
            pass  # a reversal: the money is back in our books and still at the connected account; a person is told


def _transfer_refused(tx: Tx, row: OutgoingCallRow, code: str) -> None:
    """Money at the provider that has not cleared yet is asked for again, with a new key; all else is given back."""
    payout = lock_payout(tx, row.subject_id)
    tries = int(row.business_key.rpartition(":")[2])
    if code == INSUFFICIENT and tries < SHORT_RETRIES_MAX:
        intents.want_transfer(tx, payout, wait=SHORT_RETRY)
    else:
        return_money(tx, payout, code)


def return_money(tx: Tx, payout: PayoutRow, code: str | None) -> None:
    """Give a payout's money back to the account it left; what was transferred is called back."""
    before = payout.state
    after = PayoutState.RETURNED if before == PayoutState.REQUESTED else PayoutState.FAILED
    payout.failure_code = code
    money.keep_transition(tx, f"payout:{payout.id}", "returned", money.book_returned(tx, payout, before))
    move_payout(tx, payout, after, reason=code)
    if after == PayoutState.FAILED:
        intents.want_reversal(tx, payout)
    tell_failed(tx, payout, code)


def tell_failed(tx: Tx, payout: PayoutRow, code: str | None) -> None:
    """Tell a person that a payout did not arrive."""
    raise_alert(tx, "payout_failed", "payout", payout.id, code=code, purpose=payout.purpose,
                amount_minor=payout.amount_minor, currency=payout.currency)  # fmt: skip


# -- rows and moves, shared with settle.py ------------------------------------------------------------------------


def lock_payment(tx: Tx, kind: str, payment_id: UUID) -> Paying:
    """Lock a funding or a debtor's payment."""
    table: type[Paying] = FundingRow if kind == "funding" else DebtorPaymentRow
    return tx.session.scalars(select(table).where(table.id == payment_id).with_for_update()).one()


def lock_payout(tx: Tx, payout_id: UUID) -> PayoutRow:
    """Lock a payout."""
    return tx.session.scalars(select(PayoutRow).where(PayoutRow.id == payout_id).with_for_update()).one()


def move_payment(tx: Tx, row: Paying, after: PaymentState, reason: str | None = None) -> None:
    """Move a payment by its machine and record it."""
    PAYMENT.check(row.state, after)
    before, row.state, row.state_since = row.state, after, tx.clock()
    tx.session.flush()
    tx.record(row.__tablename__, row.id, before={"state": before}, after={"state": after}, reason=reason)


def move_payout(tx: Tx, row: PayoutRow, after: PayoutState, reason: str | None = None) -> None:
    """Move a payout by its machine and record it."""
    PAYOUT.check(row.state, after)
    before, row.state, row.state_since = row.state, after, tx.clock()
    tx.session.flush()
    tx.record("payout", row.id, before={"state": before}, after={"state": after}, reason=reason)

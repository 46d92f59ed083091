"""What the provider shows, folded into our books: forward only, and money at most once."""

from datetime import date, timedelta
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from marketplace.db import on_market_clock
from marketplace.kernel.clock import business_date
from marketplace.kernel.errors import Conflict, RuleBroken
from marketplace.kernel.ids import new_id
from marketplace.kernel.words import N_
from marketplace.parties.rules import verb
from marketplace.payments import money, queries
from marketplace.payments.alerts import close_about, raise_alert
from marketplace.payments.calls import lock_payout, move_payment, move_payout, return_money, sent_to_bank
from marketplace.payments.gateway import BankPayout, Chargeback, Checkout
from marketplace.payments.rules import (
    CHARGEBACK,
    NOTICE,
    ChargebackState,
    NoticeState,
    PaymentState,
    PayoutState,
    Rail,
    as_expected,
    backoff,
    next_payment_state,
    next_payout_states,
)
from marketplace.payments.schemas import PostponeEvent, ReceiveEvent, SettleEvent
from marketplace.payments.tables import PAYING, ChargebackRow, DebtorPaymentRow, IncomingEventRow, Paying, PayoutRow
from marketplace.perform import Result, Tx

WAITS_FROM = 3


@verb("receive_event")
def receive_event(tx: Tx, command: ReceiveEvent) -> Result:
    """Keep a webhook's bytes and signature; work on it later.

    Raises: Conflict("event_known") when it came before.
    """
    values = {name: getattr(command, name) for name in command.__dataclass_fields__}
    event_id = tx.session.scalars(
        insert(IncomingEventRow)
        .values(id=new_id(), state=NoticeState.RECEIVED, attempts=0, next_at=tx.now, **values)
        .on_conflict_do_nothing()
        .returning(IncomingEventRow.id)
    ).one_or_none()
    if event_id is None:
        raise Conflict("event_known", N_("This event came before."))
    tx.record("incoming_event", event_id,
              after={"provider": command.provider, "event_id": command.event_id, "kind": command.kind})  # fmt: skip
    return {"incoming_event_id": event_id}


@verb("settle_event")
def settle_event(tx: Tx, command: SettleEvent) -> Result:
    """Fold what the provider shows now into our rows; what they know already changes nothing.

    Raises: Conflict("event_done") when the event was settled before; Conflict("nothing_new") without event and news.
    """
    event = _lock_event(tx, command.event_id) if command.event_id else None
    ours = _fold(tx, command.seen) if command.seen else False
    if event is not None:
        after = NoticeState.SETTLED if ours else NoticeState.IGNORED
        NOTICE.check(event.state, after)
        event.state, event.settled_at = after, tx.clock()
        tx.session.flush()
        tx.record("incoming_event", event.id, after={"state": after})
    if tx.events == 0:
        raise Conflict("nothing_new", N_("The provider shows nothing new."))
    return {"ours": ours}


@verb("postpone_event")
def postpone_event(tx: Tx, command: PostponeEvent) -> Result:
    """Put an event that could not be worked on behind all the others; from the third time on it also waits.

    Raises: Conflict("event_done").
    """
    event = _lock_event(tx, command.event_id)
    event.attempts += 1
    event.next_at = tx.clock() + (backoff(event.attempts) if event.attempts >= WAITS_FROM else timedelta(0))
    tx.session.flush()
    tx.record("incoming_event", event.id, after={"attempts": event.attempts, "code": command.code})
    return {"attempts": event.attempts}


def _lock_event(tx: Tx, event_id: UUID) -> IncomingEventRow:
    row = tx.session.scalars(
        select(IncomingEventRow)
        .where(IncomingEventRow.id == event_id, IncomingEventRow.state == NoticeState.RECEIVED)
        .with_for_update(skip_locked=True)
    ).one_or_none()
    if row is None:
        raise Conflict("event_done", N_("This event was worked on before, or is being worked on."))
    return row


def _fold(tx: Tx, seen: Checkout | BankPayout | Chargeback) -> bool:
    """Return whether it is ours at all."""
    if isinstance(seen, Checkout):
        return _fold_checkout(tx, seen)
    if isinstance(seen, BankPayout):
        return _fold_payout(tx, seen)
    return _fold_chargeback(tx, seen)


# -- money coming in ----------------------------------------------------------------------------------------------


def _fold_checkout(tx: Tx, seen: Checkout) -> bool:
    row = _lock_paying(tx, seen)
    if row is None:
        return False
    after = next_payment_state(row.state, seen.state)
    if after is None:
        return True
    row.session_id = row.session_id or seen.session_id
    row.intent_id = row.intent_id or seen.intent_id
    if after == PaymentState.OPEN:
        row.pay_url = row.pay_url or seen.pay_url
    if after == PaymentState.SUCCEEDED:
        _received(tx, row, seen)
    else:
        move_payment(tx, row, after)
    return True


def _received(tx: Tx, row: Paying, seen: Checkout) -> None:
    """Book what arrived; what is not what was asked for is parked, and a person is told."""
    row.received_minor, row.received_currency = seen.minor, seen.currency
    if isinstance(row, DebtorPaymentRow):
        row.received_on = _arrived_on(tx, row, seen)
    if as_expected(row.amount_minor, row.currency, seen.minor, seen.currency):
        entry_id = money.book_received(tx, row)
        money.keep_transition(tx, seen.session_id, "succeeded", entry_id)
        move_payment(tx, row, PaymentState.SUCCEEDED)
        return
    suspense_id = None
    if isinstance(row, DebtorPaymentRow) and seen.minor > 0 and seen.currency in tx.policy.currencies:
        suspense_id = money.book_suspense(tx, row, seen.minor, seen.currency)
    money.keep_transition(tx, seen.session_id, "succeeded", suspense_id)
    move_payment(tx, row, PaymentState.PARKED, reason="not_as_asked")
    raise_alert(
        tx, "not_as_asked", row.__tablename__, row.id, asked_minor=row.amount_minor, asked_currency=row.currency,
        received_minor=seen.minor, received_currency=seen.currency,
        suspended=suspense_id is not None,
    )  # fmt: skip


def _arrived_on(tx: Tx, row: DebtorPaymentRow, seen: Checkout) -> date:
    """Return the day on which the provider had the money: nobody is late because we were told so late, or were down.

    Where the provider does not show it, nor sent the event that tells it, the money counts from today.
    """
    told = seen.arrived_at or queries.arrived_later(tx.session, seen.session_id)
    if told is None:
        return tx.today
    instant = max(on_market_clock(tx.session, told), row.created_at)  # no clock of another's dates it before its asking
    return min(business_date(instant, tx.policy.zone), tx.today)


def _lock_paying(tx: Tx, seen: Checkout) -> Paying | None:
    """Find ours by the provider's id, else by the mark we gave it: the webhook may be faster than our own commit."""
    subject_id = _uuid(seen.subject_id)
    for table in PAYING:
        row = tx.session.scalars(
            select(table).where((table.session_id == seen.session_id) | (table.id == subject_id)).with_for_update()
        ).one_or_none()
        if row is not None and row.session_id in (None, seen.session_id):
            return row
    return None


# -- money going out ----------------------------------------------------------------------------------------------


def _fold_payout(tx: Tx, seen: BankPayout) -> bool:
    row = _find_payout(tx, seen)
    if row is None:
        return False
    if not as_expected(row.amount_minor, row.currency, seen.minor, seen.currency):
        raise_alert(tx, "payout_not_as_asked", "payout", row.id, asked_minor=row.amount_minor,
                    asked_currency=row.currency, sent_minor=seen.minor, sent_currency=seen.currency)  # fmt: skip
        return True
    for after in next_payout_states(row.state, seen.state):
        if after == PayoutState.IN_TRANSIT:
            sent_to_bank(tx, row, seen.payout_id)
        elif after == PayoutState.PAID:
            row.paid_at = tx.clock()
            money.keep_transition(tx, seen.payout_id, "paid", money.book_paid(tx, row))
            move_payout(tx, row, PayoutState.PAID)
        else:
            return_money(tx, row, seen.failure_code)
    return True


def _find_payout(tx: Tx, seen: BankPayout) -> PayoutRow | None:
    found = tx.session.scalars(
        select(PayoutRow.id).where((PayoutRow.payout_id == seen.payout_id) | (PayoutRow.id == _uuid(seen.subject_id)))
    ).one_or_none()
    if found is None:
        return None
    row = lock_payout(tx, found)
    ours = row.rail == Rail.PROVIDER and row.payout_id in (None, seen.payout_id)
    return row if ours else None


# -- money taken back ---------------------------------------------------------------------------------------------


def _fold_chargeback(tx: Tx, seen: Chargeback) -> bool:
    """Write it down, or how it ended, and tell a person. What was shared out is taken back by a job that knows shares.

    A payment whose money has not been booked is looked at again later: first it arrives, then it is taken back.
    """
    for table in PAYING:
        payment = tx.session.execute(
            select(table.id, table.state).where(table.intent_id == seen.intent_id)
        ).one_or_none()
        if payment is None or seen.intent_id is None:
            continue
        if payment.state not in (PaymentState.SUCCEEDED, PaymentState.PARKED):
            raise RuleBroken("not_arrived_yet", N_("What was taken back has not arrived here yet."))
        _keep_chargeback(tx, seen, table.__tablename__, payment.id)
        return True
    return False


def _keep_chargeback(tx: Tx, seen: Chargeback, kind: str, payment_id: UUID) -> None:
    row = tx.session.scalars(
        select(ChargebackRow).where(ChargebackRow.dispute_id == seen.dispute_id).with_for_update()
    ).one_or_none()
    if row is None:
        row = ChargebackRow(id=new_id(), dispute_id=seen.dispute_id, payment_kind=kind, payment_id=payment_id,
                            currency=seen.currency, minor=seen.minor, state=ChargebackState(seen.state))  # fmt: skip
        tx.session.add(row)
        before = None
    elif seen.state in CHARGEBACK.moves[ChargebackState(row.state)]:
        before, row.state = {"state": row.state}, seen.state
    else:
        return
    tx.session.flush()
    tx.record("chargeback", row.id, before=before, after={
        "dispute_id": row.dispute_id, "payment_id": payment_id, "minor": row.minor, "currency": row.currency,
        "state": row.state,
    })  # fmt: skip
    if row.state != ChargebackState.OPEN:
        close_about(tx, row.id, "chargeback_open")
    raise_alert(tx, f"chargeback_{row.state}", "chargeback", row.id, payment_id=payment_id, dispute_id=seen.dispute_id,
                minor=seen.minor, currency=seen.currency)  # fmt: skip


def _uuid(text: str | None) -> UUID | None:
    try:
        return UUID(text or "")
    except ValueError:
        return None

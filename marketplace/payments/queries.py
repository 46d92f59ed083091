"""Reads and locks of payments."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from marketplace.kernel.errors import NotFound
from marketplace.kernel.words import N_
from marketplace.payments.rules import CallState, ChargebackState, NoticeState, PaymentState, PayoutState, Rail
from marketplace.payments.tables import (
    PAYING,
    ChargebackRow,
    DebtorPaymentRow,
    FundingRow,
    IncomingEventRow,
    OutgoingCallRow,
    Paying,
    PaymentAlertRow,
    PayoutRow,
    ProviderAccountRow,
    ReconciliationRow,
)
from marketplace.payments.wire import ARRIVED_LATER

T = TypeVar("T")
WAITING = (CallState.PENDING, CallState.SENT, CallState.UNKNOWN)


@dataclass(frozen=True)
class Payment:
    """A funding or a debtor's payment as other rooms see it. What follows `created_at` only for a debtor's."""

    id: UUID
    organisation_id: UUID
    currency: str
    amount_minor: int
    state: str
    state_since: datetime
    session_id: str | None
    pay_url: str | None
    received_minor: int | None
    received_currency: str | None
    created_at: datetime
    receivable_id: UUID | None = None
    applied_at: datetime | None = None
    distribution_id: UUID | None = None
    rail: str | None = None
    received_on: date | None = None


@dataclass(frozen=True)
class Payout:
    """Money to a bank as other rooms see it."""

    id: UUID
    organisation_id: UUID
    currency: str
    amount_minor: int
    purpose: str
    subject_kind: str
    subject_id: UUID
    state: str
    state_since: datetime
    failure_code: str | None
    paid_at: datetime | None
    created_at: datetime
    rail: str = Rail.PROVIDER


@dataclass(frozen=True)
class Alert:
    """Something a person must look at."""

    id: UUID
    kind: str
    subject_kind: str
    subject_id: UUID
    facts: dict[str, Any]
    raised_at: datetime


@dataclass(frozen=True)
class RestingCall:
    """A call whose outcome nobody could find out, and what one person proposed."""

    id: UUID
    kind: str
    subject_kind: str
    subject_id: UUID
    created_at: datetime
    proposed_by: UUID | None
    proposed_decision: str | None


def funding(session: Session, funding_id: UUID) -> Payment:
    """Return one funding. Raises: NotFound("not_found")."""
    return _payment(_found(session.get(FundingRow, funding_id, populate_existing=True)))


def debtor_payment(session: Session, payment_id: UUID) -> Payment:
    """Return one debtor's payment. Raises: NotFound("not_found")."""
    return _payment(_found(session.get(DebtorPaymentRow, payment_id, populate_existing=True)))


def funding_or_payment(session: Session, payment_id: UUID) -> Payment:
    """Return a funding or a debtor's payment. Raises: NotFound("not_found")."""
    row: Paying | None = session.get(FundingRow, payment_id)
    return _payment(_found(row or session.get(DebtorPaymentRow, payment_id)))


def payout(session: Session, payout_id: UUID) -> Payout:
    """Return one payout. Raises: NotFound("not_found")."""
    return _payout(_found(session.get(PayoutRow, payout_id, populate_existing=True)))


def fundings_of(session: Session, organisation_id: UUID, limit: int = 100) -> list[Payment]:
    """Return an investor's fundings, newest first."""
    rows = session.scalars(
        select(FundingRow).where(FundingRow.organisation_id == organisation_id)
        .order_by(FundingRow.created_at.desc(), FundingRow.id).limit(limit)
    )  # fmt: skip
    return [_payment(row) for row in rows]


def payments_of(session: Session, receivable_id: UUID, limit: int = 100) -> list[Payment]:
    """Return what a debtor paid, or started to pay, for a receivable, newest first."""
    rows = session.scalars(
        select(DebtorPaymentRow).where(DebtorPaymentRow.receivable_id == receivable_id)
        .order_by(DebtorPaymentRow.created_at.desc(), DebtorPaymentRow.id).limit(limit)
    )  # fmt: skip
    return [_payment(row) for row in rows]


def payouts_of(session: Session, organisation_id: UUID, limit: int = 100) -> list[Payout]:
    """Return an organisation's payouts, newest first."""
    rows = session.scalars(
        select(PayoutRow).where(PayoutRow.organisation_id == organisation_id)
        .order_by(PayoutRow.created_at.desc(), PayoutRow.id).limit(limit)
    )  # fmt: skip
    return [_payout(row) for row in rows]


def payouts_about(session: Session, subject_id: UUID) -> list[Payout]:
    """Return the payouts made for a subject (a lot's advance, a distribution's residual), oldest first."""
    rows = session.scalars(
        select(PayoutRow).where(PayoutRow.subject_id == subject_id).order_by(PayoutRow.created_at, PayoutRow.id)
    )
    return [_payout(row) for row in rows]


def payouts_by_id(session: Session, ids: Sequence[UUID]) -> dict[UUID, Payout]:
    """Return the named payouts by their ids."""
    return {row.id: _payout(row) for row in session.scalars(select(PayoutRow).where(PayoutRow.id.in_(ids)))}


def received_unapplied(session: Session, limit: int = 100) -> list[Payment]:
    """Return debtors' payments whose money is in debtor_receipts and not yet shared out, oldest first."""
    rows = session.scalars(
        select(DebtorPaymentRow)
        .where(DebtorPaymentRow.state == PaymentState.SUCCEEDED, DebtorPaymentRow.applied_at.is_(None))
        .order_by(DebtorPaymentRow.state_since, DebtorPaymentRow.id)
        .limit(limit)
    )
    return [_payment(row) for row in rows]


def arriving(session: Session, receivable_id: UUID) -> bool:
    """Say whether a debtor's payment of this receivable has arrived and is not shared out yet."""
    query = select(DebtorPaymentRow.id).where(
        DebtorPaymentRow.receivable_id == receivable_id,
        DebtorPaymentRow.state == PaymentState.SUCCEEDED,
        DebtorPaymentRow.applied_at.is_(None),
    )
    return session.execute(query.limit(1)).first() is not None


def on_its_way(session: Session, receivable_id: UUID, *, lock: bool = False) -> bool:
    """Say whether a payment of this receivable has left the debtor and is not here yet.

    With `lock`, payments that have not ended stay as they are until the transaction ends.
    """
    query = select(DebtorPaymentRow.state).where(
        DebtorPaymentRow.receivable_id == receivable_id,
        DebtorPaymentRow.state.in_([PaymentState.PREPARING, PaymentState.OPEN, PaymentState.PROCESSING]),
    ).order_by(DebtorPaymentRow.id)  # fmt: skip
    states = session.scalars(query.with_for_update(read=True) if lock else query).all()
    return PaymentState.PROCESSING in states


def lock_debtor_payment(session: Session, payment_id: UUID) -> Payment:
    """Lock a debtor's payment and return it as it is now. Raises: NotFound("not_found")."""
    row = session.get(DebtorPaymentRow, payment_id, populate_existing=True, with_for_update=True)
    return _payment(_found(row))


def alerts_open(session: Session) -> int:
    """Return how many things people must look at."""
    return session.scalar(select(func.count()).where(PaymentAlertRow.closed_at.is_(None))) or 0


def open_alerts(session: Session, limit: int = 200) -> list[Alert]:
    """Return what people must look at, oldest first."""
    rows = session.scalars(
        select(PaymentAlertRow).where(PaymentAlertRow.closed_at.is_(None))
        .order_by(PaymentAlertRow.raised_at, PaymentAlertRow.id).limit(limit)
    )  # fmt: skip
    return [Alert(row.id, row.kind, row.subject_kind, row.subject_id, row.facts, row.raised_at) for row in rows]


def last_reconciliations(session: Session) -> list[ReconciliationRow]:
    """Return the newest comparison of each currency."""
    rows = session.scalars(
        select(ReconciliationRow).ext(distinct_on(ReconciliationRow.currency))
        .order_by(ReconciliationRow.currency, ReconciliationRow.at.desc())
    )  # fmt: skip
    return list(rows)


def due_calls(session: Session, limit: int) -> list[UUID]:
    """Return the calls to be made now."""
    return list(session.scalars(
        select(OutgoingCallRow.id)
        .where(OutgoingCallRow.state.in_(WAITING), OutgoingCallRow.next_at <= func.market_now())
        .order_by(OutgoingCallRow.next_at).limit(limit)
    ))  # fmt: skip


def waiting_call_for(session: Session, subject_ids: Sequence[UUID]) -> UUID | None:
    """Return a call due now for one of the subjects."""
    return session.scalars(
        select(OutgoingCallRow.id)
        .where(OutgoingCallRow.subject_id.in_(subject_ids), OutgoingCallRow.state == CallState.PENDING)
        .where(OutgoingCallRow.next_at <= func.market_now())
        .order_by(OutgoingCallRow.created_at).limit(1)
    ).first()  # fmt: skip


def resting_calls(session: Session) -> list[RestingCall]:
    """Return the calls whose outcome stays unknown and that wait for two people, oldest first."""
    rows = session.scalars(
        select(OutgoingCallRow)
        .where(OutgoingCallRow.state == CallState.UNKNOWN, OutgoingCallRow.next_at.is_(None))
        .order_by(OutgoingCallRow.created_at)
    )
    return [
        RestingCall(row.id, row.kind, row.subject_kind, row.subject_id, row.created_at, row.proposed_by,
                    row.proposed_decision)
        for row in rows
    ]  # fmt: skip


def arrived_later(session: Session, session_id: str) -> datetime | None:
    """Return when the money of a hosted payment arrived, as an event told it that may be worked on or still wait."""
    return session.scalar(
        select(func.min(IncomingEventRow.happened_at))
        .where(IncomingEventRow.object_id == session_id, IncomingEventRow.kind == ARRIVED_LATER)
    )  # fmt: skip


def due_events(session: Session, limit: int) -> list[IncomingEventRow]:
    """Return webhooks not yet worked on, oldest first; those that could not be worked on stand behind the others."""
    return list(session.scalars(
        select(IncomingEventRow)
        .where(IncomingEventRow.state == NoticeState.RECEIVED, IncomingEventRow.next_at <= func.market_now())
        .order_by(IncomingEventRow.next_at, IncomingEventRow.received_at).limit(limit)
    ))  # fmt: skip


def silent_sessions(session: Session, before: datetime, limit: int) -> list[str]:
    """Return sessions that have shown nothing new since an instant, in no order: a webhook may have got lost."""
    found: list[str] = []
    for row in PAYING:
        found += session.scalars(
            select(row.session_id)
            .where(row.state.in_((PaymentState.OPEN, PaymentState.PROCESSING)), row.state_since < before)
            .where(row.session_id.is_not(None)).order_by(func.random()).limit(limit)
        )  # fmt: skip
    return found


def silent_payouts(session: Session, before: datetime, limit: int) -> list[tuple[str, str]]:
    """Return (payout, account) under way that have shown nothing new since an instant, in no order."""
    return _asked_payouts(session, limit, PayoutRow.state == PayoutState.IN_TRANSIT, PayoutRow.state_since < before)


def payouts_paid_since(session: Session, since: datetime, limit: int) -> list[tuple[str, str]]:
    """Return (payout, account) told to be paid since an instant, in no order: a bank may still send them back."""
    return _asked_payouts(session, limit, PayoutRow.state == PayoutState.PAID, PayoutRow.paid_at > since)


def _asked_payouts(session: Session, limit: int, *which: ColumnElement[bool]) -> list[tuple[str, str]]:
    rows = session.execute(
        select(PayoutRow.payout_id, PayoutRow.account_id)
        .where(PayoutRow.rail == Rail.PROVIDER, PayoutRow.payout_id.is_not(None), *which)
        .order_by(func.random()).limit(limit)
    )  # fmt: skip
    return [(str(payout_id), str(account)) for payout_id, account in rows]


def silent_chargebacks(session: Session, before: datetime, limit: int) -> list[str]:
    """Return disputes seen before an instant and not decided yet as far as we know, in no order."""
    return list(session.scalars(
        select(ChargebackRow.dispute_id)
        .where(ChargebackRow.state == ChargebackState.OPEN, ChargebackRow.seen_at < before)
        .order_by(func.random()).limit(limit)
    ))  # fmt: skip


def waiting_payouts(session: Session, limit: int) -> list[UUID]:
    """Return payouts requested without any call under way for them, in no order: none may stand before the others."""
    calls = select(OutgoingCallRow.id).where(
        OutgoingCallRow.subject_id.in_((PayoutRow.id, PayoutRow.organisation_id)), OutgoingCallRow.state.in_(WAITING)
    )
    return list(session.scalars(
        select(PayoutRow.id)
        .where(PayoutRow.state == PayoutState.REQUESTED, PayoutRow.rail == Rail.PROVIDER, ~calls.exists())
        .order_by(func.random()).limit(limit)
    ))  # fmt: skip


def provider_id(session: Session, organisation_id: UUID, kind: str, currency: str | None = None) -> str | None:
    """Return what an organisation is called at the provider."""
    return session.scalars(
        select(ProviderAccountRow.provider_id).where(
            ProviderAccountRow.organisation_id == organisation_id, ProviderAccountRow.kind == kind,
            ProviderAccountRow.currency.is_not_distinct_from(currency),
        )
    ).one_or_none()  # fmt: skip


def known_at_provider(session: Session, organisation_id: UUID) -> bool:
    """Say whether the provider keeps an account to which an organisation is paid."""
    row = ProviderAccountRow
    return session.scalars(
        select(row.id).where(row.organisation_id == organisation_id, row.kind == "connected").limit(1)
    ).first() is not None  # fmt: skip


def _found(row: T | None) -> T:
    if row is None:
        raise NotFound("not_found", N_("There is no such thing, or you may not see it."))
    return row


def _payment(row: Paying) -> Payment:
    told: dict[str, Any] = {name: getattr(row, name, None) for name in Payment.__dataclass_fields__}
    return Payment(**told)


def _payout(row: PayoutRow) -> Payout:
    return Payout(**{name: getattr(row, name) for name in Payout.__dataclass_fields__})

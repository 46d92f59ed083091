"""The worker behind the webhooks: fetch the object fresh, then fold it in."""

import logging
from collections.abc import Iterable
from contextlib import suppress
from datetime import timedelta
from uuid import UUID

from sqlalchemy.orm import Session

from marketplace.db import db, market_now
from marketplace.kernel.actors import Actor
from marketplace.kernel.errors import Conflict, MarketplaceError
from marketplace.payments import queries
from marketplace.payments.gateway import BankPayout, CallFailed, Chargeback, Checkout, Gateway, Notice, Outcome
from marketplace.payments.schemas import PostponeEvent, ReceiveEvent, SettleEvent
from marketplace.payments.settle import postpone_event, receive_event, settle_event
from marketplace.payments.stripe_gateway import current_gateway
from marketplace.perform import perform

log = logging.getLogger(__name__)
SILENT_FOR = timedelta(minutes=10)
RETURNED_WITHIN = timedelta(days=10)  # banks send back what they cannot place within five business days
NO_SUCH_OBJECT = "resource_missing"
Seen = Checkout | BankPayout | Chargeback
Asked = tuple[str, str, str | None]


def keep(raw: bytes, signature: str) -> bool:
    """Check a webhook's signature and keep it; return False when the same event came before.

    Raises: InvalidInput for a signature that does not hold; nothing is kept then.
    """
    gateway = current_gateway()
    notice = gateway.read_event(raw, signature)
    command = ReceiveEvent(gateway.name, notice.event_id, notice.kind, notice.object_kind, notice.object_id,
                           notice.account, notice.happened_at, raw, signature)  # fmt: skip
    try:
        perform(receive_event, command, Actor.system("webhook"))
    except Conflict:
        return False
    return True


def run_inbox(batch: int = 100) -> int:
    """Work on webhooks, at most `batch`; return how many were settled. What cannot be shown now comes later."""
    gateway = current_gateway()
    with Session(db.engine) as session:
        events = [
            (row.id, Notice(row.event_id, row.kind, row.object_kind, row.object_id, row.account))
            for row in queries.due_events(session, batch)
        ]
    return sum(_work_on(gateway, event_id, notice) for event_id, notice in events)


def _work_on(gateway: Gateway, event_id: UUID, notice: Notice) -> int:
    """Settle one event. One that cannot be folded, for whatever reason, stays, and goes behind all the others."""
    try:
        return _settle(event_id, look(gateway, notice.object_kind, notice.object_id, notice.account))
    except CallFailed as failure:
        log.warning("event %s: %s", notice.event_id, failure.code)
        if failure.outcome == Outcome.REFUSED and failure.code == NO_SUCH_OBJECT:
            return _settle(event_id, None)
        code = failure.code
    except MarketplaceError as poison:
        log.error("event %s: %s", notice.event_id, poison.code)
        code = poison.code
    except Exception as poison:  # an object of a shape or state that nobody has seen yet
        log.exception("event %s", notice.event_id)
        code = type(poison).__name__
    with suppress(Conflict):
        perform(postpone_event, PostponeEvent(event_id, code), Actor.system("run_inbox"))
    return 0


def ask_after_silence(batch: int = 50) -> int:
    """Ask after what has been silent for SILENT_FOR, and what may still come back: webhooks may be lost."""
    gateway = current_gateway()
    with Session(db.engine) as session:
        now = market_now(session)
        before = now - SILENT_FOR
        sessions = queries.silent_sessions(session, before, batch)
        payouts = queries.silent_payouts(session, before, batch)
        payouts += queries.payouts_paid_since(session, now - RETURNED_WITHIN, batch)
        disputes = queries.silent_chargebacks(session, before, batch)
    asked: list[Asked] = [("checkout.session", name, None) for name in sessions]
    asked += [("payout", *names) for names in payouts] + [("dispute", name, None) for name in disputes]
    return _ask_after(gateway, asked)


def ask_after_disputes(gateway: Gateway, disputes: Iterable[str]) -> int:
    """Ask after disputes whose money the provider's books show to have gone or come, and of which nobody told us."""
    return _ask_after(gateway, [("dispute", name, None) for name in disputes])


def _ask_after(gateway: Gateway, asked: Iterable[Asked]) -> int:
    found = 0
    for kind, object_id, account in asked:
        try:
            found += _settle(None, look(gateway, kind, object_id, account))
        except MarketplaceError as failure:
            log.warning("%s %s: %s", kind, object_id, failure.code)
        except Exception:  # one that nobody understands must not hold up the others
            log.exception("%s %s", kind, object_id)
    return found


def look(gateway: Gateway, object_kind: str, object_id: str, account: str | None) -> Seen | None:
    """Return what the provider shows of an object now; None for kinds that move nothing here.

    Raises: CallFailed.
    """
    if object_kind == "checkout.session":
        return gateway.fetch_checkout(object_id)
    if object_kind == "payout" and account:
        return gateway.fetch_payout(object_id, account)
    if object_kind == "dispute":
        return gateway.fetch_chargeback(object_id)
    return None


def _settle(event_id: UUID | None, seen: Seen | None) -> int:
    try:
        perform(settle_event, SettleEvent(event_id, seen), Actor.system("run_inbox"))
    except Conflict as known:
        log.debug("event %s: %s", event_id, known.code)
        return 0
    return 1

"""The worker behind the webhooks: fetch the object fresh, then fold it in."""

import logging
from datetime import timedelta
from uuid import UUID

from sqlalchemy.orm import Session

from marketplace.db import db, market_now
from marketplace.kernel.actors import Actor
from marketplace.kernel.errors import Conflict, MarketplaceError
from marketplace.payments import queries
from marketplace.payments.gateway import BankPayout, CallFailed, Chargeback, Checkout, Gateway, Notice, Outcome
from marketplace.payments.schemas import ReceiveEvent, SettleEvent
from marketplace.payments.settle import receive_event, settle_event
from marketplace.payments.stripe_gateway import current_gateway
from marketplace.perform import perform

log = logging.getLogger(__name__)
SILENT_FOR = timedelta(minutes=10)
Seen = Checkout | BankPayout | Chargeback


def keep(raw: bytes, signature: str) -> bool:
    """Check a webhook's signature and keep it; return False when the same event came before.

    Raises: InvalidInput for a signature that does not hold; nothing is kept then.
    """
    gateway = current_gateway()
    notice = gateway.read_event(raw, signature)
    command = ReceiveEvent(gateway.name, notice.event_id, notice.kind, notice.object_kind, notice.object_id,
                           notice.account, raw, signature)  # fmt: skip
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
    done = 0
    for event_id, notice in events:
        try:
            done += _settle(event_id, look(gateway, notice.object_kind, notice.object_id, notice.account))
        except CallFailed as failure:
            log.warning("event %s: %s", notice.event_id, failure.code)
            if failure.outcome == Outcome.REFUSED:
                done += _settle(event_id, None)
        except MarketplaceError as poison:
            # One event that cannot be folded must not hold up the others; it stays, and stays in the log.
            log.error("event %s: %s", notice.event_id, poison.code)
    return done


def ask_after_silence(batch: int = 50) -> int:
    """Ask after payments and payouts that have been silent for SILENT_FOR: their webhooks may be lost."""
    gateway = current_gateway()
    with Session(db.engine) as session:
        before = market_now(session) - SILENT_FOR
        sessions = queries.silent_sessions(session, before, batch)
        payouts = queries.silent_payouts(session, before, batch)
    asked = [("checkout.session", name, None) for name in sessions] + [("payout", *names) for names in payouts]
    found = 0
    for kind, object_id, account in asked:
        try:
            found += _settle(None, look(gateway, kind, object_id, account))
        except CallFailed as failure:
            log.warning("%s %s: %s", kind, object_id, failure.code)
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

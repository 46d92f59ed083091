"""The worker that makes the calls: claim, call outside any transaction, confirm or fail."""

import logging
from uuid import UUID

from sqlalchemy.orm import Session

from marketplace.db import db
from marketplace.kernel import failpoints
from marketplace.kernel.actors import Actor
from marketplace.kernel.errors import Conflict, MarketplaceError
from marketplace.kernel.failpoints import Place
from marketplace.payments import queries
from marketplace.payments.actions import start_payout
from marketplace.payments.calls import claim_call, confirm_call, fail_call, park_call
from marketplace.payments.gateway import CallFailed, Gateway, Outcome, Sent
from marketplace.payments.schemas import ClaimCall, ConfirmCall, FailCall, ParkCall, StartPayout
from marketplace.payments.stripe_gateway import current_gateway
from marketplace.perform import perform

log = logging.getLogger(__name__)
STEPS_MAX = 4


def run_outbox(batch: int = 50) -> int:
    """Make the calls that are due, at most `batch`; return how many were made."""
    with Session(db.engine) as session:
        waiting = queries.waiting_payouts(session, batch)
    for payout_id in waiting:
        try:
            perform(start_payout, StartPayout(payout_id), Actor.system("run_outbox"))
        except Conflict:
            continue
        except MarketplaceError as poison:  # what is wrong with one must not hold up the others
            log.error("payout %s: %s", payout_id, poison.code)
    with Session(db.engine) as session:
        due = queries.due_calls(session, batch)
    return sum(_run_apart(call_id) for call_id in due)


def _run_apart(call_id: UUID) -> bool:
    """Make one call; what is wrong with it must not hold up the others."""
    try:
        return run_one(call_id)
    except MarketplaceError as poison:
        log.error("call %s: %s", call_id, poison.code)
    except Exception:  # its lease ends, and it is asked for again: unknown is not failed
        log.exception("call %s", call_id)
    return False


def run_one(call_id: UUID, gateway: Gateway | None = None) -> bool:
    """Make one call if it is due; return whether it was made. Safe to run by several workers at once."""
    system = Actor.system("run_outbox")
    try:
        claimed = perform(claim_call, ClaimCall(call_id), system)
    except Conflict:
        return False
    request, key, kind = bytes.fromhex(claimed["request"]), str(call_id), claimed["kind"]
    gateway = gateway or current_gateway()
    failpoints.reach(Place.BEFORE_SEND, kind)
    try:
        sent = _ask(gateway, request, key, look_up=claimed["look_up"], attempts=claimed["attempts"])
    except CallFailed as failure:
        log.warning("call %s: %s %s", call_id, failure.outcome, failure.code)
        verb, command = fail_call, FailCall(call_id, failure.outcome, failure.code, failure.said())
    else:
        if sent is None:
            verb, command = park_call, ParkCall(call_id)  # type: ignore[assignment]
        else:
            verb, command = confirm_call, ConfirmCall(call_id, sent.object_id, sent.pay_url)  # type: ignore[assignment]
    failpoints.reach(Place.ANSWERED, kind)
    try:
        perform(verb, command, system)
    except Conflict as late:
        log.info("call %s: %s", call_id, late.code)
    failpoints.reach(Place.RECORDED, kind)
    return True


def _ask(gateway: Gateway, request: bytes, key: str, *, look_up: bool, attempts: int) -> Sent | None:
    """Send, or look up what was sent long ago.

    A remembered "500" never gets better, and a refusal of a later attempt says nothing about an earlier one: then what
    the earlier attempts left is looked for before the answer is believed.
    """
    if look_up:
        return gateway.look_up(request, key=key)
    try:
        return gateway.send(request, key=key)
    except CallFailed as failure:
        doubtful = failure.replayed if failure.outcome == Outcome.UNKNOWN else attempts > 1
        if failure.outcome not in (Outcome.UNKNOWN, Outcome.REFUSED) or not doubtful:
            raise
        try:
            found = gateway.look_up(request, key=key)
        except CallFailed as blind:
            raise CallFailed(Outcome.UNKNOWN, blind.code, blind.said()) from blind
        if found is None:
            raise
        return found


def start_now(payment_id: UUID) -> str | None:
    """Make the calls that open a payment page at once; return its address, or None while it is being prepared.

    For a web page to call after `fund_account` or `start_debtor_payment` has committed. What fails here is made
    again by the worker.
    """
    for _ in range(STEPS_MAX):
        with Session(db.engine) as session:
            payment = queries.funding_or_payment(session, payment_id)
            if payment.state != "preparing":
                return payment.pay_url
            call_id = queries.waiting_call_for(session, (payment_id, payment.organisation_id))
        if call_id is None or not run_one(call_id):
            return None
    return None

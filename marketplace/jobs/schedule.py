"""Everything that runs on a clock: one row a job. The only importer of APScheduler."""

import logging
import signal
import threading
from collections.abc import Callable, Iterable
from typing import Any
from uuid import UUID

from apscheduler.schedulers.background import BackgroundScheduler
from flask import Flask, current_app

from marketplace.audit.building import build_bundles
from marketplace.audit.sequencer import sequence_events
from marketplace.db import db, market_now
from marketplace.jobs.invariants import verify_invariants
from marketplace.jobs.leader import Leadership
from marketplace.jobs.runner import Fenced, Job, run_job
from marketplace.kernel.actors import Actor
from marketplace.kernel.clock import business_date, utc_now
from marketplace.payments import queries as payments
from marketplace.payments.inbox import ask_after_silence, run_inbox
from marketplace.payments.outbox import run_outbox
from marketplace.payments.reconcile import run_reconciliation
from marketplace.perform import Verb, perform
from marketplace.rating import queries as ratings
from marketplace.rating.actions import rate_receivable
from marketplace.rating.schemas import RateReceivable
from marketplace.receivables import queries as receivables
from marketplace.servicing import queries as servicing
from marketplace.servicing.actions import age_receivable, apply_debtor_payment
from marketplace.servicing.schemas import AgeReceivable, ApplyDebtorPayment, SettleAward
from marketplace.servicing.settlement import settle_award
from marketplace.trading import queries as trading
from marketplace.trading.actions import close_lot, expire_award, open_lot
from marketplace.trading.schemas import CloseLot, ExpireAward, OpenLot

log = logging.getLogger(__name__)
BATCH = 200


def each(verb: Verb, command: Callable[[UUID], Any]) -> Callable[[UUID | None], object]:
    """Return the work that performs a verb for one item, as the system."""

    def work(item: UUID | None) -> object:
        assert item is not None
        return perform(verb, command(item), Actor.system(verb.name))

    return work


def once(body: Callable[[], object]) -> tuple[Callable[[], Iterable[UUID | None]], Callable[[UUID | None], object]]:
    """Return items and work of a job that is one call."""
    return (lambda: [None]), (lambda _: body())


def _to_age() -> list[UUID]:
    policy = current_app.extensions["duebill"].policy
    today = business_date(market_now(db.session), policy.zone)
    return servicing.to_age(db.session, today, policy.collection.reminder_days_before)


JOBS = (
    Job("close_lots", 1, lambda: trading.due_to_close(db.session, BATCH), each(close_lot, CloseLot)),
    Job("expire_awards", 5, lambda: trading.due_to_expire(db.session, BATCH), each(expire_award, ExpireAward)),
    Job("settle_awards", 1, lambda: trading.accepted(db.session, BATCH), each(settle_award, SettleAward)),
    Job("rate_receivables", 2, lambda: ratings.to_rate(db.session, BATCH), each(rate_receivable, RateReceivable)),
    Job("open_lots", 2, lambda: [r.id for r in receivables.in_state(db.session, "rated", BATCH)],
        each(open_lot, OpenLot)),
    Job("run_outbox", 1, *once(lambda: run_outbox(BATCH))),
    Job("run_inbox", 1, *once(lambda: run_inbox(BATCH))),
    Job("apply_payments", 1, lambda: [p.id for p in payments.received_unapplied(db.session, BATCH)],
        each(apply_debtor_payment, ApplyDebtorPayment)),
    Job("age_receivables", 3_600, _to_age, each(age_receivable, AgeReceivable), daily=True),
    Job("sequence_events", 1, *once(lambda: sequence_events())),
    Job("build_bundles", 2, *once(lambda: build_bundles(current_app.extensions["duebill"].settings.home / "bundles"))),
    Job("verify_invariants", 300, *once(verify_invariants)),
    Job("ask_after_silence", 300, *once(ask_after_silence)),
    Job("reconcile", 3_600, *once(run_reconciliation)),
)  # fmt: skip


def job(name: str) -> Job:
    """Return a job by its name. Raises: KeyError."""
    return {row.name: row for row in JOBS}[name]


def run_scheduler(app: Flask) -> None:
    """Keep time until SIGTERM or SIGINT: lead if nobody else does, run every job at its interval.

    A lost connection to the leader's lock ends the leadership; a tick that finds itself fenced ends the process.
    """
    stop = threading.Event()
    for wish in (signal.SIGTERM, signal.SIGINT):
        signal.signal(wish, lambda *_: stop.set())
    with app.app_context():
        leadership = Leadership(db.engine)
        while not stop.is_set():
            if leadership.seek():
                _lead(app, leadership, stop)
            stop.wait(2)
        leadership.resign()


def _lead(app: Flask, leadership: Leadership, stop: threading.Event) -> None:
    token, zone = leadership.token, app.extensions["duebill"].policy.zone
    fenced = threading.Event()

    def tick(row: Job) -> None:
        with app.app_context():
            try:
                run_job(row, token, zone=zone)
            except Fenced:
                fenced.set()
            except Exception:
                log.exception("job %s broke off", row.name)

    clock = BackgroundScheduler(timezone="UTC")
    for row in JOBS:
        clock.add_job(tick, "interval", [row], seconds=row.seconds, id=row.name, next_run_time=utc_now(),
                      coalesce=True, misfire_grace_time=None, max_instances=1)  # fmt: skip
    clock.start()
    log.info("leading with token %s", token)
    while not stop.wait(1) and not fenced.is_set() and leadership.seek():
        pass
    clock.shutdown(wait=True)
    if fenced.is_set():
        leadership.resign()



"""Everything that runs on a clock: one row a job. The only importer of APScheduler."""

import logging
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from flask import Flask, current_app
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from marketplace.audit.building import build_bundles
from marketplace.audit.sequencer import sequence_events
from marketplace.banking.folder import take_folder
from marketplace.banking.reconcile import run_bank_reconciliation
from marketplace.db import db, market_now
from marketplace.exchange.asking import run_exchange
from marketplace.jobs import model_learning
from marketplace.jobs.invariants import verify_invariants
from marketplace.jobs.leader import Leadership, sign_connections
from marketplace.jobs.runner import Fenced, Job, Teller, once, run_job
from marketplace.jobs.wishes import take_wishes
from marketplace.kernel.actors import Actor
from marketplace.kernel.clock import business_date, utc_now
from marketplace.kernel.log_lines import running
from marketplace.payments import chargebacks
from marketplace.payments import queries as payments
from marketplace.payments.inbox import ask_after_silence, run_inbox
from marketplace.payments.outbox import run_outbox
from marketplace.payments.reconcile import run_reconciliation
from marketplace.perform import Verb, perform
from marketplace.rating import queries as ratings
from marketplace.rating.actions import rate_party, rate_receivable
from marketplace.rating.register.asking import run_register
from marketplace.rating.schemas import NotePayments, NoteWatch, RateParty, RateReceivable
from marketplace.rating.serving import serving_model, serving_version
from marketplace.rating.watching import note_payments, note_watch
from marketplace.receivables.bulk import work as bulk_work
from marketplace.receivables.debtor import queries as debtor_queries
from marketplace.receivables.debtor.answering import work_batch
from marketplace.receivables.debtor.notice import write_notice
from marketplace.receivables.debtor.schemas import WriteNotice
from marketplace.receivables.ending import run_expiry
from marketplace.receivables.relisting import renew_keys
from marketplace.receivables.relisting_schemas import RenewKeys
from marketplace.receivables.walls.duplicates import outdated
from marketplace.reports import rating_watch
from marketplace.servicing import queries as servicing
from marketplace.servicing.actions import age_receivable, apply_debtor_payment
from marketplace.servicing.demands import demand_buy_back
from marketplace.servicing.offer_ends import expire_offer
from marketplace.servicing.reversing import reverse_receipt
from marketplace.servicing.schemas import (
    AgeReceivable,
    ApplyDebtorPayment,
    DemandBuyBack,
    ExpireOffer,
    ReverseReceipt,
    SettleAward,
)
from marketplace.servicing.settlement import settle_award
from marketplace.trading import queries as trading
from marketplace.trading.actions import close_lot, expire_award, open_lot
from marketplace.trading.batches import TOGETHER_MAX, close_lots
from marketplace.trading.schemas import CloseLot, CloseLots, ExpireAward, OpenLot
from marketplace.trading.sessions import clear_and_close, due_sessions

log = logging.getLogger(__name__)
CALLS = 20  # of the outside world in one tick: a stop need not wait for more
THREADS = 8  # at once; most hold one connection, and the pool has more
GRACE_SECONDS = 1.5
DUE_AT_ONCE = 10_000  # lots that one run closes at the most
A_NIGHT = 100_000  # parties that are rated anew in one night at the most
STEP_SECONDS = 5.0
ANSWER_SECONDS, ANSWER_ROWS = 4.0, 500  # of one debtor's in one tick: others wait their turn, not for the last row


def each(verb: Verb, command: Callable[[UUID], Any]) -> Callable[[UUID | None], object]:
    """Return the work that performs a verb for one item, as the system."""

    def work(item: UUID | None) -> object:
        assert item is not None
        return perform(verb, command(item), Actor.system(verb.name))

    return work


def take_answers(item: UUID | None) -> object:
    """Carry on with one answer of a debtor's for many invoices; what is left waits for the next tick."""
    assert item is not None
    return work_batch(item, ANSWER_SECONDS, ANSWER_ROWS)


def _today() -> date:
    return business_date(market_now(db.session()), current_app.extensions["duebill"].policy.zone)


def _to_age(_most: int) -> list[UUID]:
    return servicing.to_age(db.session(), _today(), current_app.extensions["duebill"].policy.collection)


def _bulk(upload_id: UUID | None) -> int:
    assert upload_id is not None
    return bulk_work.work_off(upload_id)


def _close_together(lot_ids: list[UUID]) -> object:
    return perform(close_lots, CloseLots(tuple(lot_ids)), Actor.system("close_lots"))


def _close_session(session_id: UUID | None) -> object:
    assert session_id is not None
    return clear_and_close(session_id, Actor.system("close_session"))


def _late_days() -> int:
    return int(current_app.extensions["duebill"].policy.collection.par_days)


def _to_learn(_most: int) -> list[UUID]:
    return list(rating_watch.changed_records(db.session(), _today(), _late_days()))


def _learn(debtor_id: UUID | None) -> object:
    assert debtor_id is not None
    record = rating_watch.payment_records(db.session(), _today(), _late_days(), debtor_id).get(debtor_id)
    return record and perform(note_payments, NotePayments(debtor_id, record), Actor.system("note_payments"))


def _to_rerate(most: int) -> list[UUID]:
    policy = current_app.extensions["duebill"].policy
    return ratings.parties_to_rerate(db.session(), serving_version(db.session()), policy, most)


def _watch() -> int:
    """Measure the model in use and keep it."""
    model, policy = serving_model(db.session()), current_app.extensions["duebill"].policy.rating
    found = tuple(rating_watch.measures(db.session(), model, policy))
    db.session.rollback()
    if found:
        perform(note_watch, NoteWatch(model.version, found), Actor.system("note_watch"))
    return len(found)


def _to_learn_from(_most: int) -> list[None]:
    return [None] if model_learning.is_due() else []


JOBS = (
    Job("close_lots", 1, lambda most: trading.due_to_close(db.session(), most), each(close_lot, CloseLot),
        together=_close_together, together_max=TOGETHER_MAX, most=DUE_AT_ONCE),
    Job("close_sessions", 1, lambda _: due_sessions(db.session()), _close_session),
    Job("expire_awards", 5, lambda most: trading.due_to_expire(db.session(), most), each(expire_award, ExpireAward)),
    Job("settle_awards", 1, lambda most: trading.accepted(db.session(), most), each(settle_award, SettleAward)),
    Job("write_notices", 1, lambda most: debtor_queries.unwritten_notices(db.session(), most),
        each(write_notice, WriteNotice)),
    Job("rate_parties", 10, lambda most: ratings.parties_to_rate(db.session(), most), each(rate_party, RateParty)),
    Job("rerate_parties", 3_600, _to_rerate, each(rate_party, RateParty), daily=True, most=A_NIGHT),
    Job("learn_payments", 3_600, _to_learn, _learn, daily=True),
    Job("watch_ratings", 3_600, *once(_watch), daily=True),
    Job("learn_model", 3_600, _to_learn_from, lambda _: model_learning.learn(), daily=True),
    Job("rate_receivables", 2, lambda most: ratings.to_rate(db.session(), most), each(rate_receivable, RateReceivable)),
    Job("open_lots", 2, lambda most: trading.to_open(db.session(), most), each(open_lot, OpenLot)),
    Job("run_outbox", 1, *once(lambda: run_outbox(CALLS))),
    Job("run_inbox", 1, *once(lambda: run_inbox(CALLS))),
    Job("take_bank_folder", 10, *once(lambda: take_folder())),
    Job("apply_payments", 1, lambda most: [p.id for p in payments.received_unapplied(db.session(), most)],
        each(apply_debtor_payment, ApplyDebtorPayment)),
    Job("reverse_receipts", 1, lambda most: chargebacks.to_book(db.session(), most),
        each(reverse_receipt, ReverseReceipt)),
    Job("run_bulk", 1, bulk_work.to_work, _bulk),
    Job("ask_registry", 2, *once(lambda: run_exchange())),
    Job("ask_companies_register", 10, *once(run_register)),
    Job("renew_keys", 30, lambda most: outdated(db.session(), most), each(renew_keys, RenewKeys)),
    Job("take_answers", 5, lambda most: debtor_queries.batches_waiting(db.session(), most), take_answers),
    Job("expire_links", 60, *once(run_expiry)),
    Job("age_receivables", 3_600, _to_age, each(age_receivable, AgeReceivable), daily=True),
    Job("demand_buy_backs", 60, lambda most: servicing.upheld_disputes(db.session(), most),
        each(demand_buy_back, lambda item: DemandBuyBack(item, "dispute"))),
    Job("expire_offers", 5, lambda most: servicing.offers_over(db.session(), market_now(db.session()), most),
        each(expire_offer, ExpireOffer)),
    Job("sequence_events", 1, *once(lambda: sequence_events())),
    Job("build_bundles", 2, *once(lambda: build_bundles(current_app.extensions["duebill"].settings.home / "bundles"))),
    Job("verify_invariants", 300, *once(verify_invariants)),
    Job("ask_after_silence", 300, *once(ask_after_silence)),
    Job("reconcile", 3_600, *once(run_reconciliation)),
    Job("reconcile_bank", 3_600, *once(run_bank_reconciliation)),
)  # fmt: skip


def job(name: str) -> Job:
    """Return a job by its name. Raises: KeyError."""
    return {row.name: row for row in JOBS}[name]


def run_scheduler(app: Flask) -> bool:
    """Keep time until SIGTERM or SIGINT: lead if nobody else does, run every job at its interval.

    A lost connection to the leader's lock ends the leadership, and so does a tick that finds itself fenced. Return
    whether every tick had ended in time; one that had not may be cut off: each transaction is whole or nothing.
    """
    stop = threading.Event()
    for wish in (signal.SIGTERM, signal.SIGINT):
        signal.signal(wish, lambda *_: stop.set())
    quiet = True
    with app.app_context():
        sign_connections(db.engine)
        leadership = Leadership(db.engine)
        while not stop.is_set():
            if leadership.seek():
                quiet = _Term(app, leadership, stop).lead()
            stop.wait(2)
        leadership.resign()
    return quiet


def _tell_schedule() -> None:
    """Let pages and commands know of every job, also of those that have not run yet."""
    with db.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO job_state (job, token, every_seconds) VALUES (:job, 0, :every) "
                "ON CONFLICT (job) DO UPDATE SET every_seconds = excluded.every_seconds"
            ),
            [{"job": row.name, "every": row.seconds} for row in JOBS],
        )


@dataclass
class Steps:
    """Whether the machine's clock was set: its time against one that only ever runs on."""

    wall: datetime
    steady: float

    def stepped(self, wall: datetime, steady: float) -> bool:
        """Note both clocks; return whether they have parted by more than a few seconds since they were last noted."""
        apart = (wall - self.wall).total_seconds() - (steady - self.steady)
        self.wall, self.steady = wall, steady
        return abs(apart) > STEP_SECONDS


def bring_forward(clock: BackgroundScheduler) -> None:
    """Let every job run now: one that waits for an hour that was set back would wait for that hour again."""
    for waiting in clock.get_jobs():
        waiting.modify(next_run_time=utc_now())


class _Term:
    """One time of leading, from election to resignation."""

    def __init__(self, app: Flask, leadership: Leadership, stop: threading.Event) -> None:
        self._app, self._leadership, self._stop = app, leadership, stop
        self._token, self._zone = leadership.token, app.extensions["duebill"].policy.zone
        self._over = threading.Event()
        self._teller = Teller(self._over.is_set)
        self._busy = 0
        self._changed = threading.Condition()

    def lead(self) -> bool:
        """Run all jobs at their intervals until told to stop or no longer leading; return whether all ended in time."""
        clock = BackgroundScheduler(timezone="UTC", executors={"default": ThreadPoolExecutor(THREADS)})
        for row in JOBS:
            clock.add_job(self._tick, "interval", [row], seconds=row.seconds, id=row.name, next_run_time=utc_now(),
                          coalesce=True, misfire_grace_time=None, max_instances=1)  # fmt: skip
        _tell_schedule()
        clock.start()
        log.info("leading with token %s", self._token)
        steps = Steps(utc_now(), time.monotonic())
        while not self._over.is_set() and not self._stop.wait(1):
            if not self._leadership.seek():
                break
            if steps.stepped(utc_now(), time.monotonic()):
                log.warning("the machine's clock was set: every job runs now")
                bring_forward(clock)
            self._grant_wishes(clock)
        self._over.set()
        clock.pause()
        with self._changed:
            quiet = self._changed.wait_for(lambda: self._busy == 0, GRACE_SECONDS)
        clock.shutdown(wait=False)
        self._leadership.resign()
        if not quiet:
            log.warning("%s jobs were still running: what they had not committed is done again", self._busy)
        return quiet

    def _grant_wishes(self, clock: BackgroundScheduler) -> None:
        """Run what people asked for, beside the ticks: a job works on durable rows and two runs share them out."""
        try:
            wanted = take_wishes(db.engine, self._token or 0)
        except DBAPIError:
            return  # the next look at the leadership tells what it means
        for name in wanted:
            row = {row.name: row for row in JOBS}.get(name)
            if row is not None:
                clock.add_job(self._tick, args=[row, True], next_run_time=utc_now(), misfire_grace_time=None)

    def _tick(self, row: Job, asked_for: bool = False) -> None:
        if self._over.is_set():
            return
        self._count(1)
        try:
            with self._app.app_context(), running(row.name):
                run_job(row, self._token, zone=self._zone, teller=self._teller, asked_for=asked_for)
        except Fenced:
            log.warning("token %s is late: another scheduler leads", self._token)
            self._over.set()
        except Exception:  # nothing that a job does may stop the clock
            log.exception("job %s broke off", row.name)
        finally:
            self._count(-1)

    def _count(self, by: int) -> None:
        with self._changed:
            self._busy += by
            self._changed.notify_all()

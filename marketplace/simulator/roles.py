"""What each forked process does: serve the web and people's wishes, run the jobs, look at the books."""

import gc
import threading
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.exc import DBAPIError
from werkzeug.serving import WSGIRequestHandler, make_server

from config.settings import sqlalchemy_url
from marketplace.audit.sequencer import sequence_events
from marketplace.db import db, let_go
from marketplace.demo.cast import PEOPLE
from marketplace.demo.market_clock import MarketClock
from marketplace.demo.outside import Outside
from marketplace.demo.papers import accounts_by_name, own_invoices
from marketplace.demo.story import Story
from marketplace.jobs.invariants import invariants
from marketplace.jobs.leader import Leadership
from marketplace.jobs.runner import Fenced, Teller, run_job
from marketplace.jobs.schedule import job
from marketplace.kernel.actors import Role
from marketplace.kernel.errors import MarketplaceError
from marketplace.payments import outbox
from marketplace.perform import Result, perform
from marketplace.rating.model import load_model
from marketplace.receivables.einvoice.reading import read_einvoice
from marketplace.simulator.acts import VERBS, Cast, Wish, plan
from marketplace.simulator.children import Handle
from marketplace.simulator.place import Place
from marketplace.stack.installation import OWNER
from marketplace.trading.actions import place_bid
from marketplace.trading.placing_together import place_together

# Each is run by every tick or by some, as the dice say; `verify_invariants` has a process of its own here.
OFTEN = ("run_outbox", "run_inbox", "apply_payments", "settle_awards", "write_notices", "reverse_receipts")
SOMETIMES = ("close_lots", "expire_awards", "rate_receivables", "open_lots", "expire_offers", "sequence_events",
             "demand_buy_backs", "age_receivables")  # fmt: skip
RARELY = ("ask_after_silence", "reconcile")
LISTED_AFTER = timedelta(days=2)  # the day of an invoice and the day on which its seller lists it


class _Quiet(WSGIRequestHandler):
    def log_request(self, *_: object) -> None:
        """Say nothing."""


def web(place: Place) -> Handle:
    """Serve webhooks on the socket that outlives every process of this name, and perform people's wishes."""
    app = place.apps["web"]
    server = make_server("127.0.0.1", 0, app, threaded=True, fd=place.listening.fileno(), request_handler=_Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    app.app_context().push()

    def handle(words: tuple[Any, ...]) -> Any:
        _, wish, key = words
        try:
            result = _done(wish, key)
        except MarketplaceError as refusal:
            return "refused", refusal.code
        except DBAPIError as error:
            let_go()
            return "unanswered", type(error).__name__
        if wish.verb in ("fund_account", "start_debtor_payment"):
            outbox.start_now(UUID(result.get("funding_id") or result["payment_id"]))
        return "done", result

    return handle


def _done(wish: Wish, key: str) -> Result:
    """Perform a wish as the doors do: bids by the way on which they meet others."""
    if wish.verb == place_bid.name:
        return place_together(wish.command, wish.actor, key)
    return perform(VERBS[wish.verb], wish.command, wish.actor, idempotency_key=key)


def worker(place: Place, leads: bool) -> Handle:
    """Run the jobs it is told to run: as the leader, or beside him as somebody does by hand."""
    place.apps["worker"].app_context().push()
    leadership, teller = Leadership(db.engine), Teller()

    def handle(words: tuple[Any, ...]) -> Any:
        _, names = words
        token = leadership.token if leads and leadership.seek() else None
        done = 0
        for name in names:
            try:
                done += run_job(job(name), token, teller=teller if token is not None else None)
            except (DBAPIError, Fenced):
                leadership.resign()
                let_go()
        return done

    return handle


def looker(place: Place) -> Handle:
    """Look at the books, and plan what people do: never killed, never writes."""
    place.apps["worker"].app_context().push()

    def handle(words: tuple[Any, ...]) -> Any:
        try:
            return _look(*words)
        finally:
            db.session.remove()

    return handle


def _look(what: str, *more: Any) -> Any:
    if what == "plan":
        return plan(*more)
    if what == "invariants":
        while sequence_events():
            pass
        return [(one.name, one.ok) for one in invariants(db.session())]
    rows = db.session.execute(text(more[0]), more[1] if len(more) > 1 else {}).all()
    return [tuple(row) for row in rows]


def warm(place: Place) -> int:
    """Work in this very process, which is never killed: what it has loaded and prepared, its forks need not again.

    Nothing stays open: no connection, no thread. Return how much was done.
    """
    app = place.apps["worker"]
    with app.app_context():
        load_model()
        done = sum(run_job(job(name)) for name in (*OFTEN, *SOMETIMES, *RARELY))
        db.session.remove()
        let_go()
    app.extensions.pop("duebill_gateway", None)
    gc.collect()
    return done


def crowd(place: Place) -> Handle:
    """Let people enter, and sellers list whenever they are asked to: in peace, a process that is never killed."""
    place.apps["application"].app_context().push()
    owner = create_engine(sqlalchemy_url(place.postgres.url(place.database, OWNER)), poolclass=NullPool)
    clock = MarketClock(owner)
    story = Story(clock, Outside(place.sandbox.url), lambda words: None, accounts=accounts_by_name(clock.now().date()))
    for person in PEOPLE:
        story.cast.enter(person)
    cast, listed = Cast(*(tuple(story.cast.of_role(role)) for role in (Role.INVESTOR, Role.OPERATOR))), 0

    def handle(words: tuple[Any, ...]) -> Any:
        nonlocal listed
        what, *more = words
        if what == "cast":
            return cast
        day = (clock.now() - LISTED_AFTER).date()
        for _, paper in own_invoices([day] * more[0], first=listed):
            listed += 1
            story.list_paper(paper, read_einvoice(paper.content, paper.name))
        db.session.remove()
        if story.refused.documents:
            raise RuntimeError(f"not listed: {story.refused.documents}")
        return listed

    return handle

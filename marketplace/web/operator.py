"""The operators' door: today, arrears, held listings, letters, money that fits nowhere, the clock."""

from datetime import UTC, date, datetime, time
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from flask import Blueprint, current_app, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext

from marketplace.db import db, market_now
from marketplace.kernel.actors import Role
from marketplace.kernel.clock import business_date
from marketplace.kernel.errors import MarketplaceError
from marketplace.kernel.policy import Policy
from marketplace.kernel.words import N_
from marketplace.parties import queries as parties
from marketplace.payments import queries as payments
from marketplace.perform import perform
from marketplace.rating import queries as ratings
from marketplace.receivables import queries as receivables
from marketplace.receivables.confirmation import issue_debtor_link
from marketplace.receivables.reviewing import accept_evidence, reject_receivable, release_review
from marketplace.receivables.schemas import EvidenceSchema, IssueDebtorLink, RejectSchema, ReleaseSchema
from marketplace.reports import operations
from marketplace.schemas import load
from marketplace.servicing import queries as servicing
from marketplace.servicing.actions import default_receivable, write_off_receivable
from marketplace.servicing.schemas import DefaultReceivableSchema, WriteOffReceivableSchema
from marketplace.title import queries as title
from marketplace.trading import queries as trading
from marketplace.web.forms import reasons, say, status_of
from marketplace.web.navigation import count_with
from marketplace.web.session import require_actor, signed_in

blueprint = Blueprint("operator", __name__, url_prefix="/operator")
only_operators = signed_in(Role.OPERATOR)

count_with("operator.queue", operations.reviews_open)
count_with("operator.jobs", operations.failures_open)

# The clock's jobs in the order in which a receivable meets them; told here so that no page imports the scheduler.
JOB_NAMES = (
    "expire_links", "rate_receivables", "open_lots", "close_lots", "expire_awards", "settle_awards", "run_outbox",
    "run_inbox", "ask_after_silence", "apply_payments", "age_receivables", "sequence_events", "build_bundles",
    "verify_invariants", "reconcile",
)  # fmt: skip


def _policy() -> Policy:
    policy: Policy = current_app.extensions["duebill"].policy
    return policy


def _today() -> date:
    return business_date(market_now(db.session()), _policy().zone)


@blueprint.get("/")
@only_operators
def today() -> ResponseReturnValue:
    """What needs somebody now, and where everything stands."""
    session, day = db.session(), _today()
    midnight = datetime.combine(day, time(), ZoneInfo(_policy().zone)).astimezone(UTC)
    codes = operations.currencies(session)
    return render_template(
        "operator/today.html",
        today=day,
        pipeline=operations.pipeline(session),
        books=[operations.book(session, code, day) for code in codes],
        collected=operations.collected_since(session, midnight),
        suspense=operations.suspense(session),
        failures=operations.failures(session, 10),
        late=operations.late(session, day, limit=8),
        reviews=operations.reviews(session, 8),
        unrated=ratings.unrated(session),
        alerts=payments.open_alerts(session, 20),
    )


@blueprint.get("/defaults")
@only_operators
def defaults() -> ResponseReturnValue:
    """Ageing by grade, debtor, seller or sector, and who is late."""
    session, day = db.session(), _today()
    codes = operations.currencies(session) or [_policy().currencies[0]]
    currency = request.args.get("currency") if request.args.get("currency") in codes else codes[0]
    by = request.args.get("by") if request.args.get("by") in ("grade", "debtor", "seller", "sector") else "grade"
    rows = operations.ageing(session, str(currency), day, str(by))
    return render_template(
        "operator/defaults.html", currency=currency, currencies=codes, by=by, rows=rows, total=operations.total_of(rows),
        book=operations.book(session, str(currency), day), late=operations.late(session, day, str(currency)), today=day,
    )  # fmt: skip


@blueprint.get("/queue")
@only_operators
def queue(error: MarketplaceError | None = None, about: UUID | None = None) -> ResponseReturnValue:
    """Held listings with what to look at, listings without an answer, and letters to hand over."""
    session = db.session()
    held = operations.reviews(session)
    refs = [match["ref"] for row in held for match in row.matches if match.get("ref")]
    page = render_template(
        "operator/queue.html", held=held, others=operations.facts_of(session, refs), me=require_actor().user_id,
        unanswered=operations.waiting(session, "awaiting_confirmation"), letters=operations.letters(session),
        problems=reasons(error) if error else (), error=error, about=about,
    )  # fmt: skip
    return (page, status_of(error)) if error else page


@blueprint.post("/queue/<uuid:review_id>/release")
@only_operators
def release(review_id: UUID) -> ResponseReturnValue:
    """Propose a release, or give it as the second person."""
    try:
        done = perform(release_review, load(ReleaseSchema, request.form, review_id=str(review_id)), require_actor())
    except MarketplaceError as error:
        return queue(error, review_id)
    waits = done["state"] == "proposed"
    say(gettext("Proposed. A second operator decides.") if waits else gettext("Released: the listing goes on."))
    return redirect(url_for("operator.queue"), 303)


@blueprint.post("/receivables/<uuid:receivable_id>/reject")
@only_operators
def reject(receivable_id: UUID) -> ResponseReturnValue:
    """Refuse a held listing for good."""
    try:
        perform(reject_receivable, load(RejectSchema, request.form, receivable_id=str(receivable_id)), require_actor())
    except MarketplaceError as error:
        return queue(error, receivable_id)
    say(gettext("Rejected. Its key stays taken."))
    return redirect(url_for("operator.queue"), 303)


@blueprint.post("/receivables/<uuid:receivable_id>/accept-evidence")
@only_operators
def accept(receivable_id: UUID) -> ResponseReturnValue:
    """Do without the debtor's answer: two operators say why."""
    try:
        done = perform(
            accept_evidence, load(EvidenceSchema, request.form, receivable_id=str(receivable_id)), require_actor()
        )
    except MarketplaceError as error:
        return receivable(receivable_id, error)
    say(gettext("Proposed. A second operator decides.") if done["state"] == "proposed" else gettext("Confirmed."))
    return redirect(url_for("operator.receivable", receivable_id=receivable_id), 303)


@blueprint.post("/receivables/<uuid:receivable_id>/link")
@only_operators
def link(receivable_id: UUID) -> ResponseReturnValue:
    """Write the debtor a new link; the old one stops working. The address is told once."""
    purpose = "account" if request.form.get("purpose") == "account" else "confirm"
    try:
        sent = perform(issue_debtor_link, IssueDebtorLink(receivable_id, purpose), require_actor())
    except MarketplaceError as error:
        return receivable(receivable_id, error)
    say(gettext("A new letter waits in the queue. The debtor’s address: %(address)s", address=sent["address"]), "info")
    return redirect(url_for("operator.receivable", receivable_id=receivable_id), 303)


@blueprint.get("/receivables/<uuid:receivable_id>")
@only_operators
def receivable(receivable_id: UUID, error: MarketplaceError | None = None) -> ResponseReturnValue:
    """Everything about one receivable: facts, confirmation, title, dues, receipts, steps."""
    session = db.session()
    if error:
        session.rollback()
    found = receivables.receivable(session, receivable_id)
    collection = servicing.collections(session, [receivable_id]).get(receivable_id)
    chain = title.chain(session, receivable_id)
    ids = {found.seller_id, found.debtor_id, *(holding.owner_id for holding in chain)}
    ids |= {due.party for due in collection.dues if due.party} if collection else set()
    page = render_template(
        "operator/receivable.html", receivable=found, collection=collection, chain=chain, today=_today(),
        names={key: house.legal_name for key, house in parties.organisations(session, ids).items()},
        receipts=servicing.receipts(session, receivable_id), steps=servicing.steps_taken(session, receivable_id),
        lot=trading.lot_of(session, receivable_id), rating=ratings.receivable_rating(session, receivable_id),
        documents=receivables.documents(session, receivable_id), error=error, problems=reasons(error) if error else (),
        given=request.form if error else {},
    )  # fmt: skip
    return (page, status_of(error)) if error else page


@blueprint.post("/receivables/<uuid:receivable_id>/default")
@only_operators
def declare_default(receivable_id: UUID) -> ResponseReturnValue:
    """Declare a default before ninety days, with the reason."""
    return _decide(default_receivable, DefaultReceivableSchema, receivable_id, gettext("The default is declared."))


@blueprint.post("/receivables/<uuid:receivable_id>/write-off")
@only_operators
def write_off(receivable_id: UUID) -> ResponseReturnValue:
    """Give up what is outstanding, with the reason."""
    return _decide(write_off_receivable, WriteOffReceivableSchema, receivable_id, gettext("Written off."))


def _decide(verb: Any, schema: Any, receivable_id: UUID, words: str) -> ResponseReturnValue:
    try:
        perform(verb, load(schema, request.form, receivable_id=str(receivable_id)), require_actor())
    except MarketplaceError as error:
        return receivable(receivable_id, error)
    say(words)
    return redirect(url_for("operator.receivable", receivable_id=receivable_id), 303)


@blueprint.get("/suspense")
@only_operators
def suspense() -> ResponseReturnValue:
    """Money that fits nowhere yet, and what payments put aside for a person."""
    session = db.session()
    return render_template(
        "operator/suspense.html", totals=operations.suspense(session), items=operations.suspense_items(session),
        alerts=payments.open_alerts(session),
    )  # fmt: skip


@blueprint.get("/reconciliation")
@only_operators
def reconciliation() -> ResponseReturnValue:
    """Provider against ledger, the last time they were compared."""
    return render_template("operator/reconciliation.html", rows=payments.last_reconciliations(db.session()))


@blueprint.get("/jobs")
@only_operators
def jobs() -> ResponseReturnValue:
    """Every job's last run, and what could not be done."""
    session = db.session()
    return render_template(
        "operator/jobs.html", jobs=operations.jobs(session, JOB_NAMES), failures=operations.failures(session),
        leader=operations.leader(session),
    )  # fmt: skip



STEP_WORDS = {
    "reminder": N_("Reminder"),
    "overdue": N_("Overdue, evidence asked"),
    "second_notice": N_("Second notice"),
    "recourse_demand": N_("Recourse demanded"),
    "par30": N_("Thirty days"),
    "delinquent": N_("Delinquent"),
    "recovery": N_("To recovery"),
    "default": N_("Default"),
    "write_off_review": N_("Write-off review"),
}
WATERFALL_WORDS = {
    "costs": N_("Recovery costs"),
    "principal": N_("Principal"),
    "discount": N_("Discount"),
    "late_charge": N_("Late charge"),
    "platform_fee": N_("Platform fee"),
    "residual": N_("Residual"),
}


@blueprint.app_context_processor
def words() -> dict[str, Any]:
    """Give templates the words of collection steps and of the waterfall's steps."""
    return {
        "step_word": lambda step: gettext(STEP_WORDS[str(step)]),
        "waterfall_word": lambda step: gettext(WATERFALL_WORDS[str(step)]),
    }

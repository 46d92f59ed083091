"""The operators' door: today, arrears, held listings, letters, money that fits nowhere, the clock."""

from typing import Any
from uuid import UUID

from flask import redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext
from sqlalchemy.orm import Session

from marketplace.db import db
from marketplace.kernel.errors import MarketplaceError
from marketplace.parties import queries as parties
from marketplace.payments import queries as payments
from marketplace.payments import seen_to
from marketplace.payments.again import came_back
from marketplace.payments.release import retry_call
from marketplace.payments.schemas import CloseAlertSchema, RetryCall
from marketplace.perform import perform
from marketplace.rating import queries as ratings
from marketplace.receivables import queries as receivables
from marketplace.receivables.debtor.confirmation import issue_debtor_link
from marketplace.receivables.schemas import (
    EvidenceSchema,
    IssueDebtorLink,
    RejectSchema,
    ReleaseSchema,
    ResolveSchema,
)
from marketplace.receivables.walls.reviewing import accept_evidence, reject_receivable, release_review, resolve_dispute
from marketplace.reports import arrears, breaks, operations
from marketplace.schemas import load
from marketplace.servicing import bank_suspense, late_claims
from marketplace.servicing import queries as servicing
from marketplace.servicing.actions import default_receivable, write_off_receivable
from marketplace.servicing.schemas import (
    ApproveDilutionSchema,
    DefaultReceivableSchema,
    RefuseDilutionSchema,
    WriteOffReceivableSchema,
)
from marketplace.servicing.second_voice import approve_dilution, refuse_dilution
from marketplace.servicing.waterfall import Step
from marketplace.title import queries as title
from marketplace.trading import queries as trading
from marketplace.trading.actions import cancel_lot
from marketplace.trading.schemas import CancelLotSchema
from marketplace.web import (
    alerts,
    operator_bank,
    operator_bank_payouts,
    operator_clock,
    operator_debtors,
    operator_duplicates,
    operator_exchange,
    operator_money,
    operator_party,
    operator_people,
    operator_ratings,
    operator_register,
    operator_sessions,
)
from marketplace.web.downloads import csv_file, plain
from marketplace.web.forms import reasons, say, status_of
from marketplace.web.navigation import count_with
from marketplace.web.operator_door import CAUSE_WORDS, JOB_NAMES, blueprint, only_operators, par_chart, policy
from marketplace.web.operator_door import today as business_day
from marketplace.web.session import require_actor

__all__ = [
    "JOB_NAMES",
    "blueprint",
    "operator_bank",
    "operator_bank_payouts",
    "operator_clock",
    "operator_debtors",
    "operator_duplicates",
    "operator_exchange",
    "operator_money",
    "operator_party",
    "operator_people",
    "operator_ratings",
    "operator_register",
    "operator_sessions",
]

count_with("operator.queue", operations.reviews_open)
count_with("operator.suspense", payments.alerts_open)
count_with("operator.jobs", operations.failures_open)


@blueprint.get("/")
@only_operators
def today() -> ResponseReturnValue:
    """What needs somebody now, and where everything stands."""
    session, day = db.session(), business_day()
    codes = operations.currencies(session)
    return render_template(
        "operator/today.html",
        today=day,
        pipeline=operations.pipeline(session),
        books=[operations.book(session, code, day) for code in codes],
        failures=operations.failures(session, 10),
        late=operations.late(session, day, limit=8),
        reviews=operations.reviews(session, 8),
        unrated=ratings.unrated(session),
        alerts=payments.open_alerts(session, 20),
        alerts_open=payments.alerts_open(session),
        alert_pages=alerts.PAGES,
        owed=breaks.owed_to_clients(session),
    )


def _wanted(codes: list[str]) -> tuple[str, str]:
    """Return the currency and the division that the address asks for, else the first."""
    asked, by = request.args.get("currency", ""), request.args.get("by", "")
    return asked if asked in codes else codes[0], by if by in ("grade", "debtor", "seller", "sector") else "grade"


@blueprint.get("/defaults")
@only_operators
def defaults() -> ResponseReturnValue:
    """Ageing by grade, debtor, seller or sector; portfolio at risk over half a year; vintages; who is late."""
    session, day, zone = db.session(), business_day(), policy().zone
    codes = operations.currencies(session) or [policy().currencies[0]]
    currency, by = _wanted(codes)
    rows = operations.ageing(session, currency, day, by)
    weeks = arrears.weeks(session, currency, day, zone)
    return render_template(
        "operator/defaults.html", currency=currency, currencies=codes, by=by, rows=rows,
        total=operations.total_of(rows),
        book=operations.book(session, currency, day), late=operations.late(session, day, currency), today=day,
        weeks=weeks, chart=par_chart(weeks), vintages=arrears.vintages(session, currency, zone),
        hhi=arrears.hhi(session, currency), proposed=_proposed(session),
    )  # fmt: skip


@blueprint.get("/defaults/ageing.csv")
@only_operators
def ageing_csv() -> ResponseReturnValue:
    """The ageing table as it is filtered, as CSV."""
    session, day = db.session(), business_day()
    codes = operations.currencies(session) or [policy().currencies[0]]
    currency, by = _wanted(codes)
    headers = (by, "currency", "not_due", "1_30", "31_60", "61_90", "over_90", "total", "par30_ppm")
    rows = [
        (row.label, currency, *(plain(minor, currency) for minor in (*row.buckets, row.total)), row.late30_ppm)
        for row in operations.ageing(session, currency, day, by)
    ]
    return csv_file(f"ageing-{by}-{currency}-{day}", headers, rows)


@blueprint.get("/defaults/queue.csv")
@only_operators
def late_csv() -> ResponseReturnValue:
    """The work queue of one currency as CSV."""
    session, day = db.session(), business_day()
    currency, _ = _wanted(operations.currencies(session) or [policy().currencies[0]])
    headers = ("receivable", "debtor", "seller", "currency", "outstanding", "due_on", "days_past_due", "grade", "state",
               "last_step", "promised_on")  # fmt: skip
    rows = [
        (row.ref, row.debtor, row.seller, row.currency, plain(row.outstanding_minor, row.currency), row.due_on, row.dpd,
         row.grade, row.state, row.last_step, row.promised_on)
        for row in operations.late(session, day, currency, 10_000)
    ]  # fmt: skip
    return csv_file(f"work-queue-{currency}-{day}", headers, rows)


def _proposed(session: Session) -> list[Any]:
    return [row for row in operations.reviews(session) if row.state == "proposed"]


@blueprint.get("/queue")
@only_operators
def queue(error: MarketplaceError | None = None, about: UUID | None = None, form: str = "") -> ResponseReturnValue:
    """Held listings with what to look at, listings without an answer, and letters to hand over."""
    session = db.session()
    if error:
        session.rollback()
    held = operations.reviews(session)
    page = render_template(
        "operator/queue.html", held=held, causes=CAUSE_WORDS, my_id=require_actor().user_id,
        unanswered=operations.waiting(session, "awaiting_confirmation"), letters=operations.letters(session),
        problems=reasons(error) if error else (), error=error, about=about, form=form,
        given=request.form if error else {},
    )  # fmt: skip
    return (page, status_of(error)) if error else page


@blueprint.post("/queue/<uuid:review_id>/release")
@only_operators
def release(review_id: UUID) -> ResponseReturnValue:
    """Propose a release, or give it as the second person."""
    try:
        done = perform(release_review, load(ReleaseSchema, request.form, review_id=str(review_id)), require_actor())
    except MarketplaceError as error:
        return queue(error, review_id, "release")
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
        return queue(error, _uuid(request.form.get("review_id", "")), "reject")
    say(gettext("Rejected. Its key stays taken."))
    return redirect(url_for("operator.queue"), 303)


def _uuid(words: str) -> UUID | None:
    try:
        return UUID(words)
    except ValueError:
        return None


@blueprint.post("/receivables/<uuid:receivable_id>/accept-evidence")
@only_operators
def accept(receivable_id: UUID) -> ResponseReturnValue:
    """Do without the debtor's answer: two operators say why."""
    try:
        done = perform(
            accept_evidence, load(EvidenceSchema, request.form, receivable_id=str(receivable_id)), require_actor()
        )
    except MarketplaceError as error:
        return receivable(receivable_id, error, "evidence")
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
        return receivable(receivable_id, error, "link")
    say(gettext("A new letter waits in the queue. The debtor’s address: %(address)s", address=sent["address"]), "info")
    return redirect(url_for("operator.receivable", receivable_id=receivable_id), 303)


@blueprint.get("/receivables/<uuid:receivable_id>")
@only_operators
def receivable(receivable_id: UUID, error: MarketplaceError | None = None, form: str = "") -> ResponseReturnValue:
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
        "operator/receivable.html", receivable=found, collection=collection, chain=chain, today=business_day(),
        names={key: house.legal_name for key, house in parties.organisations(session, ids).items()},
        late=late_claims.standing(session, collection, business_day()) if collection else None,
        receipts=servicing.receipts(session, receivable_id), steps=servicing.steps_taken(session, receivable_id),
        dues=sorted(collection.dues, key=lambda due: list(Step).index(due.step)) if collection else [],
        lot=trading.lot_of(session, receivable_id), rating=ratings.receivable_rating(session, receivable_id),
        rated_now=ratings.party_rating(session, found.debtor_id),
        documents=receivables.documents(session, receivable_id), error=error, problems=reasons(error) if error else (),
        dispute=receivables.open_dispute(session, receivable_id), given=request.form if error else {}, form=form,
        payments=payments.payments_of(session, receivable_id),
        write_off_proposed=any(one.subject_id == receivable_id and one.kind == "write_off"
                               for one in servicing.decisions(session, False)),
    )  # fmt: skip
    return (page, status_of(error)) if error else page


@blueprint.post("/receivables/<uuid:receivable_id>/default")
@only_operators
def declare_default(receivable_id: UUID) -> ResponseReturnValue:
    """Declare a default before ninety days, with the reason."""
    return _decide(
        default_receivable, DefaultReceivableSchema, receivable_id, "default", gettext("The default is declared.")
    )


@blueprint.post("/receivables/<uuid:receivable_id>/write-off")
@only_operators
def write_off(receivable_id: UUID) -> ResponseReturnValue:
    """Give up what is outstanding, with the reason."""
    return _decide(write_off_receivable, WriteOffReceivableSchema, receivable_id, "write-off", gettext("Written off."))


@blueprint.post("/receivables/<uuid:receivable_id>/disputes/<uuid:dispute_id>")
@only_operators
def end_dispute(receivable_id: UUID, dispute_id: UUID) -> ResponseReturnValue:
    """End a dispute: the debtor owes it after all, or was right."""
    known = {"dispute_id": str(dispute_id)}
    return _decide(resolve_dispute, ResolveSchema, receivable_id, "dispute", gettext("The dispute has ended."), **known)


@blueprint.post("/receivables/<uuid:receivable_id>/credit-notes/<uuid:proposal_id>")
@only_operators
def decide_credit_note(receivable_id: UUID, proposal_id: UUID) -> ResponseReturnValue:
    """Say that a credit note that waits is right, as the first or the second operator, or that it does not count."""
    known, form = {"proposal_id": str(proposal_id)}, f"credit-note-{proposal_id}"
    if request.form.get("decision") == "refuse":
        words = gettext("It does not count. Nothing has changed.")
        return _decide(refuse_dilution, RefuseDilutionSchema, receivable_id, form, words, **known)
    return _decide(approve_dilution, ApproveDilutionSchema, receivable_id, form, gettext("Recorded."), **known)


@blueprint.post("/receivables/<uuid:receivable_id>/lots/<uuid:lot_id>/cancel")
@only_operators
def stop_lot(receivable_id: UUID, lot_id: UUID) -> ResponseReturnValue:
    """Stop a lot before money moves: every hold is freed."""
    known = {"lot_id": str(lot_id)}
    return _decide(cancel_lot, CancelLotSchema, receivable_id, "lot", gettext("The lot is stopped."), **known)


def _decide(verb: Any, schema: Any, receivable_id: UUID, form: str, words: str, **known: str) -> ResponseReturnValue:
    known = known or {"receivable_id": str(receivable_id)}
    try:
        perform(verb, load(schema, request.form, **known), require_actor())
    except MarketplaceError as error:
        return receivable(receivable_id, error, form)
    say(words)
    return redirect(url_for("operator.receivable", receivable_id=receivable_id), 303)


@blueprint.get("/suspense")
@only_operators
def suspense(error: MarketplaceError | None = None, form: str = "") -> ResponseReturnValue:
    """Money that fits nowhere yet, and what payments put aside for a person."""
    session = db.session()
    if error:
        session.rollback()
    left, back, bank_left = servicing.suspended(session), came_back(session), bank_suspense.items(session)
    page = render_template(
        "operator/suspense.html", left=left, bank_left=bank_left,
        names=parties.organisations(session, {one.debtor_id for one in left} | {one.organisation_id for one in back}),
        funders=[one for kind in ("investor", "seller") for one in parties.of_kind(session, kind)] if bank_left else (),
        back=back, purposes=operator_bank_payouts.PURPOSES,
        proposed=len(servicing.decisions(session, False)), form=form, given=request.form,
        totals=operations.suspense(session), items=operations.suspense_items(session),
        alerts=payments.open_alerts(session), alert_pages=alerts.PAGES,
        resting=payments.resting_calls(session), mine=require_actor().user_id,
        error=error, problems=operator_money.beside(error),
    )  # fmt: skip
    return (page, status_of(error)) if error else page


@blueprint.post("/suspense/alerts/<uuid:alert_id>")
@only_operators
def close_alert(alert_id: UUID) -> ResponseReturnValue:
    """Say that what operators were called about is seen to, and what was done."""
    try:
        perform(seen_to.close_alert, load(CloseAlertSchema, request.form, alert_id=str(alert_id)), require_actor())
    except MarketplaceError as error:
        return suspense(error, str(alert_id))
    say(gettext("Seen to. The log says what was done, and by whom."))
    return redirect(url_for("operator.suspense"), 303)


@blueprint.post("/suspense/calls/<uuid:call_id>")
@only_operators
def decide_call(call_id: UUID) -> ResponseReturnValue:
    """Say what becomes of a call whose outcome nobody could find out; a second person of the same mind does it."""
    reason, decision = request.form.get("reason", "").strip(), request.form.get("decision", "")
    try:
        done = perform(retry_call, RetryCall(call_id, decision, reason), require_actor())
    except MarketplaceError as error:
        return suspense(error)
    say(gettext("Done.") if done["released"] else gettext("Proposed. A second operator decides."))
    return redirect(url_for("operator.suspense"), 303)


@blueprint.get("/reconciliation")
@only_operators
def reconciliation() -> ResponseReturnValue:
    """Provider and bank against the ledger, the last time they were compared, and every break by its age."""
    session = db.session()
    return render_template("operator/reconciliation.html", rows=payments.last_reconciliations(session),
                           banks=breaks.last_at_bank(session), breaks=breaks.standing(session),
                           owed=breaks.owed_to_clients(session))  # fmt: skip

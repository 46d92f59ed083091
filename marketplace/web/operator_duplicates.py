"""The operators' pages of listings that look alike: what waits, what was decided, two invoices side by side."""

from uuid import UUID

from flask import redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext

from marketplace.db import db
from marketplace.kernel.errors import MarketplaceError
from marketplace.perform import perform
from marketplace.receivables.schemas import RejectSchema, ReleaseSchema
from marketplace.receivables.walls.reviewing import reject_receivable, release_review
from marketplace.reports import duplicates as reports
from marketplace.schemas import load
from marketplace.trading.actions import reject_award
from marketplace.trading.schemas import RejectAwardSchema
from marketplace.web.forms import reasons, say, status_of
from marketplace.web.operator_door import CAUSE_WORDS, blueprint, only_operators
from marketplace.web.session import require_actor


@blueprint.get("/duplicates")
@only_operators
def duplicates() -> ResponseReturnValue:
    """Every pair that waits for two people, and what became of the others."""
    session = db.session()
    return render_template(
        "operator/duplicates.html", waiting=reports.pairs(session, decided=False),
        decided=reports.pairs(session, decided=True),
    )  # fmt: skip


@blueprint.get("/duplicates/<uuid:review_id>")
@only_operators
def duplicate(review_id: UUID, error: MarketplaceError | None = None, form: str = "") -> ResponseReturnValue:
    """A held listing beside what it resembles, line by line, with the two decisions."""
    session = db.session()
    if error:
        session.rollback()
    page = render_template(
        "operator/duplicate.html", page=reports.review_page(session, review_id), my_id=require_actor().user_id,
        causes=CAUSE_WORDS, error=error, problems=reasons(error) if error else (), form=form,
        given=request.form if error else {},
    )  # fmt: skip
    return (page, status_of(error)) if error else page


@blueprint.post("/duplicates/<uuid:review_id>/release")
@only_operators
def release_duplicate(review_id: UUID) -> ResponseReturnValue:
    """Propose a release, or give it as the second person."""
    try:
        done = perform(release_review, load(ReleaseSchema, request.form, review_id=str(review_id)), require_actor())
    except MarketplaceError as error:
        return duplicate(review_id, error, "release")
    if done["state"] == "proposed":
        say(gettext("Proposed. A second operator decides."))
    else:
        say(gettext("Released: these are different debts. They do not hold each other again."))
    return redirect(url_for("operator.duplicate", review_id=review_id), 303)


@blueprint.post("/duplicates/<uuid:review_id>/reject")
@only_operators
def reject_duplicate(review_id: UUID) -> ResponseReturnValue:
    """Refuse the held listing, for good or until it is put right."""
    receivable_id = str(reports.review_page(db.session(), review_id).receivable.id)
    try:
        command = load(RejectSchema, request.form, receivable_id=receivable_id, review_id=str(review_id))
        perform(reject_receivable, command, require_actor())
    except MarketplaceError as error:
        return duplicate(review_id, error, "reject")
    say(gettext("Rejected. Its key stays taken."))
    return redirect(url_for("operator.duplicates"), 303)


@blueprint.post("/duplicates/<uuid:review_id>/awards/<uuid:lot_id>/reject")
@only_operators
def reject_award_of(review_id: UUID, lot_id: UUID) -> ResponseReturnValue:
    """Refuse an accepted award whose title does not stand: every hold is freed, no money moves."""
    try:
        perform(reject_award, load(RejectAwardSchema, request.form, lot_id=str(lot_id)), require_actor())
    except MarketplaceError as error:
        return duplicate(review_id, error, "reject")
    say(gettext("The award is refused. Every hold is freed, and no money has moved."))
    return redirect(url_for("operator.duplicates"), 303)

"""The operators' pages of debtors: the verified address, links and their end, credit notes."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from flask import redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext
from sqlalchemy.orm import Session

from marketplace.db import db
from marketplace.kernel.errors import MarketplaceError
from marketplace.parties import queries as parties
from marketplace.perform import perform
from marketplace.receivables import actions, queries
from marketplace.receivables.debtor import queries as debtor_queries
from marketplace.receivables.debtor.schemas import ContactSchema, IssueDebtsLink, RevokeSchema
from marketplace.reports import debts as reports
from marketplace.reports.dilutions import dilutions
from marketplace.schemas import load
from marketplace.servicing.diluting import record_dilution
from marketplace.web.credit_note_words import credit_note_words, dilution_command, outcome_words
from marketplace.web.forms import reasons, say, status_of
from marketplace.web.frame import server_now
from marketplace.web.languages import LANGUAGES
from marketplace.web.operator_door import blueprint, only_operators
from marketplace.web.session import require_actor

blueprint.context_processor(credit_note_words)


@blueprint.get("/debtors/<uuid:debtor_id>")
@only_operators
def debtor(debtor_id: UUID) -> ResponseReturnValue:
    """One debtor: where its letters go, its links, what it owes."""
    return _page(debtor_id)


def _page(debtor_id: UUID, error: MarketplaceError | None = None, form: str = "") -> str:
    session: Session = db.session()
    found = reports.debts(session, debtor_id, reports.Wanted(), limit=20)
    return render_template(
        "operator/debtor.html", debtor=parties.organisation(session, debtor_id), found=found,
        contacts=debtor_queries.contacts(session, debtor_id), languages_known=LANGUAGES, error=error, form=form,
        links=debtor_queries.links_of(session, debtor_id, [one.id for one in found.lines]), at=server_now(),
        refs={one.id: one.ref for one in found.lines}, given=request.form if error else {},
        problems=reasons(error) if error else (),
    )  # fmt: skip


def _act(debtor_id: UUID, form: str, words: str, act: Callable[[], Any]) -> ResponseReturnValue:
    try:
        act()
    except MarketplaceError as error:
        db.session.rollback()
        return _page(debtor_id, error, form), status_of(error)
    say(words)
    return redirect(url_for("operator.debtor", debtor_id=debtor_id), 303)


@blueprint.post("/debtors/<uuid:debtor_id>/contact")
@only_operators
def set_debtor_contact(debtor_id: UUID) -> ResponseReturnValue:
    """Keep a verified address."""
    return _act(debtor_id, "contact", gettext("The address is kept. Links sent to an earlier one have ended."),
                lambda: perform(actions.set_debtor_contact, _contact(debtor_id), require_actor()))  # fmt: skip


def _contact(debtor_id: UUID) -> Any:
    return load(ContactSchema, request.form, debtor_id=str(debtor_id))


@blueprint.post("/debtors/<uuid:debtor_id>/link")
@only_operators
def issue_debts_link(debtor_id: UUID) -> ResponseReturnValue:
    """Send the link to all that the debtor owes."""
    return _act(debtor_id, "link", gettext("The letter with the link is written."),
                lambda: perform(actions.issue_debts_link, IssueDebtsLink(debtor_id), require_actor()))  # fmt: skip


@blueprint.post("/debtors/<uuid:debtor_id>/revoke")
@only_operators
def revoke_debtor_link(debtor_id: UUID) -> ResponseReturnValue:
    """End one link at once."""
    return _act(debtor_id, "revoke", gettext("The link has ended."),
                lambda: perform(actions.revoke_debtor_link, load(RevokeSchema, request.form),
                                require_actor()))  # fmt: skip


@blueprint.get("/receivables/<uuid:receivable_id>/credit-note")
@only_operators
def credit_note(receivable_id: UUID, error: MarketplaceError | None = None) -> ResponseReturnValue:
    """Type a credit note that the seller or the debtor told of."""
    found = queries.receivable(db.session(), receivable_id)
    page = render_template(
        "operator/credit_note.html", receivable=found, error=error, problems=reasons(error) if error else (),
        lines=dilutions(db.session(), receivable_id), given=request.form if error else request.args,
    )  # fmt: skip
    return (page, status_of(error)) if error else page


@blueprint.post("/receivables/<uuid:receivable_id>/credit-note")
@only_operators
def record_credit_note(receivable_id: UUID) -> ResponseReturnValue:
    """Record it."""
    found = queries.receivable(db.session(), receivable_id)
    try:
        made = perform(record_dilution, dilution_command(request.form.to_dict(), found), require_actor())
    except MarketplaceError as error:
        return credit_note(receivable_id, error)
    say(outcome_words(made))
    return redirect(url_for("operator.receivable", receivable_id=receivable_id), 303)

"""The operators' page of buy-backs: what sellers are asked for, since when, and what they paid."""

from uuid import UUID

from flask import redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext

from marketplace.db import db
from marketplace.kernel.errors import Conflict, InvalidInput, MarketplaceError, NotFound, RuleBroken
from marketplace.kernel.words import N_
from marketplace.parties import queries as parties
from marketplace.perform import perform
from marketplace.receivables import queries as receivables
from marketplace.reports.dilutions import demands
from marketplace.schemas import load
from marketplace.servicing import queries as servicing
from marketplace.servicing.buying_back import quote_buy_backs
from marketplace.servicing.demands import demand_buy_back, withdraw_demand
from marketplace.servicing.schemas import DemandBuyBackSchema, WithdrawDemandSchema
from marketplace.servicing.second_voice import waiting, waiting_count
from marketplace.web.forms import reasons, say, status_of
from marketplace.web.navigation import count_with
from marketplace.web.operator_door import blueprint, only_operators, today
from marketplace.web.seller_requests import REASONS
from marketplace.web.session import require_actor

TOLD = REASONS | {
    "warranty": N_("Something the seller warranted was not so"),
    "voluntary": N_("The seller’s own wish"),
}  # the same reasons, told to an operator

count_with("operator.buy_backs", lambda session: servicing.demands_open(session) + waiting_count(session))


@blueprint.get("/buy-backs")
@only_operators
def buy_backs() -> ResponseReturnValue:
    """Every buy-back, those asked first, with today's price; and a form to ask for another."""
    return _page()


def _page(refusal: MarketplaceError | None = None) -> str:
    session = db.session()
    found = servicing.buy_backs_of(session)
    owed = demands(session)
    told = waiting(session)
    named = {one.receivable_id for one in found} | {one.receivable_id for one in told}
    known = receivables.receivables(session, list(named | {line.note.receivable_id for line in owed}))
    asked = [one.receivable_id for one in found if one.state == "asked"]
    return render_template(
        "operator/buy_backs.html", found=found, known=known, reasons=TOLD, today=today(),
        prices=quote_buy_backs(session, asked, today()),
        sellers=parties.organisations(session, {one.seller_id for one in known.values()}), owed=owed, told=told,
        refusal=refusal, problems=list(reasons(refusal)) if refusal else [], typed=request.form,
    )  # fmt: skip


@blueprint.post("/buy-backs")
@only_operators
def demand() -> ResponseReturnValue:
    """Ask a seller to buy a receivable back."""
    try:
        found = receivables.receivable_by_ref(db.session(), request.form.get("ref", "").replace("\x00", "").strip())
    except NotFound:
        missing = InvalidInput("unknown_ref", N_("There is no receivable with this reference."))
        return _page(missing), status_of(missing)
    try:
        perform(demand_buy_back, load(DemandBuyBackSchema, request.form, receivable_id=str(found.id)), require_actor())
    except (InvalidInput, RuleBroken, Conflict, NotFound) as refusal:
        return _page(refusal), status_of(refusal)
    say(gettext("The seller is asked to buy %(ref)s back.", ref=found.ref))
    return redirect(url_for("operator.buy_backs"), 303)


@blueprint.post("/buy-backs/<uuid:buy_back_id>/withdraw")
@only_operators
def withdraw_buy_back(buy_back_id: UUID) -> ResponseReturnValue:
    """Ask no longer."""
    try:
        command = load(WithdrawDemandSchema, request.form, buy_back_id=str(buy_back_id))
        perform(withdraw_demand, command, require_actor())
    except (InvalidInput, RuleBroken, Conflict) as refusal:
        return _page(refusal), status_of(refusal)
    say(gettext("The seller is asked no longer."))
    return redirect(url_for("operator.buy_backs"), 303)

"""The operators' page of pay-outs by bank: what waits, what two people order, the files, and who is paid this way."""

from typing import Any
from uuid import UUID

from flask import Response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext

from marketplace.banking import orders
from marketplace.db import db
from marketplace.kernel.errors import MarketplaceError
from marketplace.kernel.words import N_
from marketplace.parties import queries as parties
from marketplace.payments import bank_payouts as payouts
from marketplace.payments import queries as payments
from marketplace.payments.again import SendAgain, send_payout_again
from marketplace.payments.rules import Rail
from marketplace.perform import Verb, perform
from marketplace.schemas import load
from marketplace.servicing import queries as servicing
from marketplace.servicing.bank_desk import propose_payout_file, propose_payout_rail, propose_payout_refused
from marketplace.servicing.bank_desk_schemas import PayoutFileSchema, PayoutRailSchema, PayoutRefusedSchema
from marketplace.web.forms import reasons, say, status_of
from marketplace.web.operator_door import blueprint, only_operators, policy, today
from marketplace.web.operator_money import DEEDS
from marketplace.web.session import require_actor

HERE = ("payout_file", "payout_rail", "payout_refused")
PURPOSES = {
    "advance": N_("Advance"),
    "residual": N_("Residual"),
    "withdrawal": N_("Withdrawal"),
    "refund": N_("Sent back, not used"),
    "return": N_("Back to the sender"),
}
RAILS = {"provider": N_("By the payment provider"), "bank": N_("By a file for the bank")}
PAID_KINDS = ("seller", "investor", "operator")


@blueprint.get("/bank/pay-outs")
@only_operators
def bank_payouts(error: MarketplaceError | None = None, form: str = "") -> ResponseReturnValue:
    """What waits to be paid by the bank, what is proposed, and the files that were written."""
    session = db.session()
    if error:
        session.rollback()
    files = orders.files(session)
    lines = orders.lines(session, [file.id for file in files])
    houses = [one for kind in PAID_KINDS for one in parties.of_kind(session, kind)]
    proposed = [row for row in servicing.decisions(session, False) if row.kind in HERE]
    named = {UUID(one) for row in proposed for one in row.payload.get("payout_ids", ())}
    page = render_template(
        "operator/bank_payouts.html", waiting=payouts.waiting(session), files=files, lines=lines,
        states=payments.payouts_by_id(session, [line.payout_id for group in lines.values() for line in group]),
        free={one: payouts.free_minor(session, one) for one in policy().currencies},
        proposed=proposed, named={one.id: one for one in payouts.waiting(session, ids=list(named))}, deeds=DEEDS,
        mine=require_actor().user_id, purposes=PURPOSES, rails=RAILS, today=today(), form=form, given=request.form,
        chosen=set(request.form.getlist("payout_ids")), error=error, problems=reasons(error) if error else (),
        by_bank=[one for one in houses if one.payout_rail == Rail.BANK],
        own=[one for one in houses if one.kind == "operator" and one.iban],
        house_options=[("", "–"), *sorted(((str(one.id), one.legal_name) for one in houses), key=lambda one: one[1])],
    )  # fmt: skip
    return (page, status_of(error)) if error else page


@blueprint.post("/bank/pay-outs")
@only_operators
def propose_bank_file() -> ResponseReturnValue:
    """Propose a file of the chosen pay-outs."""
    chosen = request.form.getlist("payout_ids")
    form = f"file-{request.form.get('currency', '')}"
    return _proposed(propose_payout_file, PayoutFileSchema, form, payout_ids=chosen)


@blueprint.post("/bank/pay-outs/rail")
@only_operators
def propose_rail() -> ResponseReturnValue:
    """Propose how and where an organisation is paid."""
    return _proposed(propose_payout_rail, PayoutRailSchema, "rail")


@blueprint.post("/bank/pay-outs/<uuid:payout_id>/refused")
@only_operators
def propose_refused(payout_id: UUID) -> ResponseReturnValue:
    """Propose to take the money of an order back that the bank did not carry out."""
    return _proposed(propose_payout_refused, PayoutRefusedSchema, str(payout_id), payout_id=str(payout_id))


@blueprint.get("/bank/pay-outs/<uuid:file_id>.xml")
@only_operators
def payout_file(file_id: UUID) -> ResponseReturnValue:
    """The file for the bank, the same bytes each time."""
    answer = Response(orders.content(db.session(), file_id), mimetype="application/xml")
    answer.headers["Content-Disposition"] = f'attachment; filename="pain.001-{file_id.hex}.xml"'
    answer.headers["Cache-Control"] = "no-store"
    return answer


@blueprint.post("/suspense/pay-outs/<uuid:payout_id>/again")
@only_operators
def send_again(payout_id: UUID) -> ResponseReturnValue:
    """Pay what came back once more."""
    from marketplace.web.operator import suspense

    try:
        perform(send_payout_again, SendAgain(payout_id), require_actor())
    except MarketplaceError as error:
        return suspense(error, str(payout_id))
    say(gettext("It is on its way once more."))
    return redirect(url_for("operator.suspense"), 303)


def _proposed(verb: Verb, schema: Any, form: str, **known: Any) -> ResponseReturnValue:
    try:
        command = load(schema, request.form, **known)
        perform(verb, command, require_actor(), idempotency_key=request.form.get("once") or None)
    except MarketplaceError as error:
        return bank_payouts(error, form)
    say(gettext("Proposed. A second operator decides."))
    return redirect(url_for("operator.bank_payouts"), 303)

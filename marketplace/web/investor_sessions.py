"""Call sessions: which lots clear together, what an investor caps, and why each of his bids ended as it did."""

from typing import Any
from uuid import UUID

from flask import Response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext

from marketplace.db import db
from marketplace.kernel.actors import Role
from marketplace.kernel.errors import Conflict, InvalidInput, MarketplaceError, Problem, RuleBroken
from marketplace.kernel.words import N_
from marketplace.parties import queries as parties
from marketplace.perform import perform
from marketplace.receivables import queries as receivables
from marketplace.trading import queries as trading
from marketplace.trading import session_queries as queries
from marketplace.trading import sessions as verbs
from marketplace.trading.purses import purse_minor
from marketplace.trading.schemas import SetSessionCaps
from marketplace.web.forms import minor_of, reasons, say, status_of
from marketplace.web.investor_door import REASONS, blueprint, house
from marketplace.web.session import require_actor, signed_in

WHY = {
    **REASONS,
    "group_cap": N_("cut to its group’s cap"),
    "lot_failed": N_("the lot was not covered"),
    "above_stop_out": N_("above the stop-out"),
    "at_stop_out": N_("at the stop-out, which is used up"),
    "lot_full": N_("the lot is full of bids that are worth more together"),
    "budget_used": N_("your budget went where it is worth more"),
    "debtor_limit_used": N_("your limit on this debtor is used"),
    "seller_limit_used": N_("your limit on this seller is used"),
    "least_fill": N_("less was left than the least you take"),
    "not_proved_best": N_("no solver proved that nothing better exists"),
}


@blueprint.get("/sessions")
@signed_in(Role.INVESTOR)
def sessions() -> ResponseReturnValue:
    """Show the sessions there are."""
    return render_template("investor/sessions.html", found=queries.sessions(db.session()))


@blueprint.get("/sessions/<uuid:session_id>")
@signed_in(Role.INVESTOR)
def session(session_id: UUID) -> ResponseReturnValue:
    """Show one session."""
    return _page(session_id)


@blueprint.post("/sessions/<uuid:session_id>/caps")
@signed_in(Role.INVESTOR)
def set_session_caps(session_id: UUID) -> ResponseReturnValue:
    """Cap what the investor spends in this session."""
    try:
        perform(verbs.set_session_caps, _typed(session_id), require_actor())
    except (InvalidInput, RuleBroken, Conflict) as refusal:
        return _page(session_id, refusal), status_of(refusal)
    say(gettext("Your caps are set. Nobody sees them before the close."))
    return redirect(url_for("investor.session", session_id=session_id), 303)


@blueprint.get("/sessions/<uuid:session_id>/transcript.json")
@signed_in(Role.INVESTOR)
def session_transcript(session_id: UUID) -> Response:
    """Download the transcript of a session that has closed, for `bin/market auction replay`."""
    answer = Response(queries.transcript(db.session(), session_id), mimetype="application/json")
    answer.headers["Content-Disposition"] = f'attachment; filename="session-{session_id}.json"'
    return answer


def _typed(session_id: UUID) -> SetSessionCaps:
    """Read the form. Raises: InvalidInput with a problem beside each field."""
    found = queries.session_of(db.session(), session_id)
    problems: list[Problem] = []
    caps: dict[str, int] = {}
    owners = {f"debtor-{lot.debtor_id}": lot.debtor_id for lot in queries.lots_of(db.session(), session_id)}
    for name in ("budget", *owners):
        typed = request.form.get(name, "").strip()
        if not typed:
            continue
        try:
            caps[name] = minor_of(typed, found.currency, name)
            if not 0 < caps[name] <= 10**15:
                problems.append(Problem(name, "amount", N_("Enter an amount like 10,000.00.")))
        except InvalidInput as error:
            problems += error.problems
    if problems:
        raise InvalidInput.of_fields(problems)
    debtors = tuple((owner, caps[name]) for name, owner in owners.items() if name in caps)
    return SetSessionCaps(session_id, caps.get("budget"), debtors, request.form.get("purse") == "1")


def _page(session_id: UUID, refusal: MarketplaceError | None = None) -> str:
    database, investor = db.session(), house()
    found = queries.session_of(database, session_id)
    lots = queries.lots_of(database, session_id)
    names = parties.organisations(database, {lot.debtor_id for lot in lots})
    refs = {one.id: one.ref for one in receivables.receivables(database, [lot.receivable_id for lot in lots]).values()}
    budget, debtors = queries.caps_of(database, session_id, investor.id)
    mine = queries.explained(database, session_id, investor.id) if found.state == "closed" else []
    bids: dict[UUID, list[Any]] = {
        lot.id: [bid for bid in trading.bids_of(database, lot.id, investor.id) if bid.state == "placed"] for lot in lots
    }
    return render_template(
        "investor/session.html", found=found, lots=lots, names={one: org.legal_name for one, org in names.items()},
        refs=refs, budget=budget, debtors=debtors, told=mine,
        purse=purse_minor(database, session_id, investor.id), bids=bids, why=WHY, refusal=refusal,
        problems=reasons(refusal) if refusal else (), typed=request.form if refusal else {},
        awards={lot.id: trading.award(database, lot.id) for lot in lots} if found.state == "closed" else {},
        lot_of={lot.id: lot for lot in lots},
    )  # fmt: skip

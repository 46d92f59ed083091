"""Mandates: standing instructions as an investor writes, reads, tests, rests and ends them."""

from typing import Any
from uuid import UUID

from flask import redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext

from marketplace.db import db
from marketplace.kernel.actors import Role
from marketplace.kernel.errors import Conflict, InvalidInput, MarketplaceError, Problem, RuleBroken
from marketplace.kernel.words import N_
from marketplace.perform import Verb, perform
from marketplace.rating.grades import GRADES
from marketplace.schemas import load
from marketplace.trading import mandate_queries as queries
from marketplace.trading import mandates as verbs
from marketplace.trading.schemas import CreateMandate, CreateMandateSchema, NameMandate
from marketplace.web.downloads import csv_file, plain
from marketplace.web.forms import minor_of, reasons, say, status_of
from marketplace.web.frame import server_now
from marketplace.web.investor_door import blueprint, house, policy
from marketplace.web.session import require_actor, signed_in

AMOUNTS = ("lot_minor_max", "budget_minor", "min_fill_minor", "debtor_minor_max", "seller_minor_max",
           "outstanding_minor_max")  # fmt: skip
NUMBERS = ("spread_bps", "rate_bps_min", "tenor_days_min", "tenor_days_max", "budget_days", "loss_ppm_max")
CHANGED = N_("This mandate has been changed since the page was shown: here it is as it stands now.")
WHY = {
    "related_party": N_("related party"),
    "grade_too_low": N_("the debtor’s grade is too low"),
    "tenor_outside": N_("too short or too long"),
    "not_full_recourse": N_("without full recourse"),
    "loss_too_high": N_("too much loss to be expected"),
    "below_least_rate": N_("below your least rate"),
    "above_reserve": N_("above the reserve"),
    "budget_used": N_("the budget is used"),
    "debtor_cap_used": N_("enough of this debtor"),
    "seller_cap_used": N_("enough of this seller"),
    "outstanding_cap_used": N_("enough is out"),
    "no_free_cash": N_("not enough free cash"),
    "too_small": N_("less than the smallest bid"),
}


@blueprint.get("/mandates")
@signed_in(Role.INVESTOR)
def mandates() -> ResponseReturnValue:
    """Show the investor's mandates and the form for another."""
    return _page()


@blueprint.post("/mandates")
@signed_in(Role.INVESTOR)
def create_mandate() -> ResponseReturnValue:
    """Write a mandate; or show what it would have done so far, and write nothing."""
    try:
        command = load(CreateMandateSchema, _typed())
        if request.form.get("step") == "test":
            return _page(tried=_tried(command))
        made = perform(verbs.create_mandate, command, require_actor(), idempotency_key=request.form.get("once") or None)
    except (InvalidInput, RuleBroken, Conflict) as refusal:
        return _page(refusal), status_of(refusal)
    say(gettext("The mandate is active. It bids in every lot that fits, from the next close on."))
    return redirect(url_for("investor.mandate", mandate_id=made["mandate_id"]), 303)


@blueprint.get("/mandates/<uuid:mandate_id>")
@signed_in(Role.INVESTOR)
def mandate(mandate_id: UUID) -> ResponseReturnValue:
    """Show one mandate: terms, what it did in every lot and why, and what it would have done before."""
    return _one(mandate_id)


@blueprint.get("/mandates/<uuid:mandate_id>/log.csv")
@signed_in(Role.INVESTOR)
def mandate_log(mandate_id: UUID) -> ResponseReturnValue:
    """Download what the mandate did in every lot."""
    found = queries.mandate(db.session(), mandate_id, house().id)
    headers = [
        gettext("At"),
        gettext("Lot"),
        gettext("Rate, bp"),
        gettext("Bid"),
        gettext("Filled"),
        gettext("Why not"),
    ]
    rows = (
        [note.at, note.ref, note.rate_bps, plain(note.cash_minor, found.currency),
         plain(note.filled_minor, found.currency), ", ".join(one["code"] for one in note.reasons)]
        for note in queries.notes(db.session(), mandate_id, 10_000)
    )  # fmt: skip
    return csv_file("mandate", headers, rows)


def _moved(mandate_id: UUID, verb: Verb, words: str) -> ResponseReturnValue:
    try:
        perform(verb, NameMandate(mandate_id), require_actor())
    except (RuleBroken, Conflict) as refused:
        refusal = Conflict("wrong_state", CHANGED) if refused.code == "wrong_state" else refused
        return _one(mandate_id, refusal), status_of(refusal)
    say(words)
    return redirect(url_for("investor.mandate", mandate_id=mandate_id), 303)


@blueprint.post("/mandates/<uuid:mandate_id>/pause")
@signed_in(Role.INVESTOR)
def pause_mandate(mandate_id: UUID) -> ResponseReturnValue:
    """Let a mandate rest."""
    return _moved(mandate_id, verbs.pause_mandate, gettext("The mandate rests: it does not bid."))


@blueprint.post("/mandates/<uuid:mandate_id>/resume")
@signed_in(Role.INVESTOR)
def resume_mandate(mandate_id: UUID) -> ResponseReturnValue:
    """Take a mandate up again."""
    return _moved(mandate_id, verbs.resume_mandate, gettext("The mandate is active again."))


@blueprint.post("/mandates/<uuid:mandate_id>/end")
@signed_in(Role.INVESTOR)
def end_mandate(mandate_id: UUID) -> ResponseReturnValue:
    """End a mandate for good."""
    return _moved(mandate_id, verbs.end_mandate, gettext("The mandate has ended. What it bought stays yours."))


def _typed() -> dict[str, Any]:
    """Return the form as the schema reads it.

    Raises: InvalidInput with a problem beside each field that cannot be read.
    """
    form = request.form
    values: dict[str, Any] = {name: form.get(name, "").strip() for name in ("name", "currency", "grade_worst")}
    values["full_recourse_only"] = form.get("full_recourse_only") == "1"
    problems: list[Problem] = []
    currency = values["currency"] if values["currency"] in policy().currencies else policy().currencies[0]
    for name in AMOUNTS:
        if form.get(name, "").strip():
            try:
                values[name] = minor_of(form[name], currency, name)
            except InvalidInput as error:
                problems += error.problems
    for name in NUMBERS:
        if form.get(name, "").strip():
            values[name] = form[name].strip().removesuffix("bp").strip()
    if share := form.get("lot_share_percent", "").strip():
        if share.isascii() and share.isdigit() and 1 <= int(share) <= 100:
            values["lot_share_bps_max"] = int(share) * 100
        else:
            problems.append(Problem("lot_share_percent", "percent", N_("Enter whole per cent, from 1 to 100.")))
    if problems:
        raise InvalidInput.of_fields(problems)
    return values


def _tried(command: CreateMandate) -> list[queries.Tried]:
    """Return what a mandate that is not written yet would have done. Raises: InvalidInput as `create_mandate`."""
    if problems := verbs.contradictions(command, policy().currencies):
        raise InvalidInput.of_fields(problems)
    return queries.backtest(db.session(), command, house().group, server_now())


def _page(refusal: MarketplaceError | None = None, tried: list[queries.Tried] | None = None) -> str:
    found = queries.mandates(db.session(), house().id)
    again = refusal is not None or tried is not None
    typed = request.form if again else {"budget_days": "30", "spread_bps": "0", "lot_share_percent": "25"}
    return render_template(
        "investor/mandates.html", found=found, totals=queries.totals(db.session(), [row.id for row in found]),
        typed=typed, refusal=refusal, problems=reasons(refusal) if refusal else (),
        grades=[(grade, grade.replace("-", "−")) for grade in GRADES],
        currency_pairs=[(code, code) for code in policy().currencies],
        tried=tried, tried_currency=typed.get("currency", ""), why=WHY, days=queries.DAYS,
    )  # fmt: skip


def _one(mandate_id: UUID, refusal: MarketplaceError | None = None) -> str:
    session, investor = db.session(), house()
    found = queries.mandate(session, mandate_id, investor.id)
    asked = request.args.get("test") == "1"
    tried = queries.backtest(session, found, investor.group, server_now()) if asked else None
    return render_template(
        "investor/mandate.html", mandate=found, notes=queries.notes(session, mandate_id), tried=tried, why=WHY,
        total=queries.totals(session, [mandate_id]).get(mandate_id), refusal=refusal,
        problems=reasons(refusal) if refusal else (), days=queries.DAYS,
    )  # fmt: skip

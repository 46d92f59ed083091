"""One holding: what it is, what happened to it, and offering it to other investors; and the list of such offers."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Any
from uuid import UUID

from flask import current_app, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext

from marketplace.db import db
from marketplace.kernel.actors import Role
from marketplace.kernel.clock import business_date
from marketplace.kernel.errors import Conflict, InvalidInput, MarketplaceError, NotFound, Problem, RuleBroken
from marketplace.kernel.ids import new_id
from marketplace.kernel.money import bps_of
from marketplace.kernel.words import N_
from marketplace.ledger import queries as ledger
from marketplace.perform import perform
from marketplace.rating.grades import GRADES
from marketplace.receivables import queries as receivables
from marketplace.reports import secondary as report
from marketplace.reports.losses import loss_minor, loss_now_ppm
from marketplace.reports.rating_watch import falls
from marketplace.schemas import load
from marketplace.servicing import offer_rules as rules
from marketplace.servicing import queries as servicing
from marketplace.servicing.offer_ends import withdraw_offer as take_back
from marketplace.servicing.offers import accept_offer as accept
from marketplace.servicing.offers import against_buying, part_of
from marketplace.servicing.offers import offer_holding as put_up
from marketplace.servicing.schemas import AcceptOfferSchema, OfferHolding, OfferHoldingSchema, WithdrawOffer
from marketplace.servicing.waterfall import TO_INVESTORS, Step
from marketplace.title import queries as title
from marketplace.title.rules import without
from marketplace.trading import queries as trading
from marketplace.web.downloads import plain
from marketplace.web.format import money_text
from marketplace.web.forms import SYMBOLS, minor_of, reasons, say, status_of
from marketplace.web.frame import server_now
from marketplace.web.investor_door import RECOURSE, RECOURSE_MEANS, blueprint, house, policy
from marketplace.web.investor_money import KINDS
from marketplace.web.session import require_actor, signed_in
from marketplace.web.title_page import title_page

DAYS = (15, 30, 60, 90, 180)
YIELDS = (300, 500, 700, 900, 1_200)
MISSING = N_("There is no such thing, or you may not see it.")
ENDS = {
    "owner": N_("You took it back"),
    "time_over": N_("Its time was over"),
    "payment_received": N_("The debtor paid, so what was offered had changed"),
    "payment_taken_back": N_("The debtor’s bank took a payment back, so what was offered had changed"),
    "bought_back": N_("The seller bought the receivable back"),
    "written_off": N_("The receivable was written off"),
}
IN_MONEY = {
    "not_in_one_piece": N_("You can offer at most %(largest)s of face in one piece."),
    "not_lot_multiple": N_("Offer all you hold in one piece, or whole steps of %(step)s of face."),
}
FLAGS = {
    "overdue": N_("Overdue"),
    "defaulted": N_("In default"),
    "disputed": N_("Disputed by the debtor"),
}


def _today() -> date:
    return business_date(server_now(), policy().zone)


@blueprint.get("/holdings/<uuid:receivable_id>")
@signed_in(Role.INVESTOR)
def holding(receivable_id: UUID) -> ResponseReturnValue:
    """Show one holding: now, its history, its offers, and the form to offer it."""
    return _page(receivable_id)


@blueprint.post("/holdings/<uuid:receivable_id>/offers")
@signed_in(Role.INVESTOR)
def offer_holding(receivable_id: UUID) -> ResponseReturnValue:
    """Offer a holding, or show first what that would mean."""
    investor = house()
    if not report.ever_held(db.session(), investor.id, receivable_id):
        raise NotFound("not_found", MISSING)
    currency = servicing.collection(db.session(), receivable_id).currency
    try:
        command = load(OfferHoldingSchema, _typed(currency), receivable_id=str(receivable_id))
        shown = request.form.get("shown", (told := f"{command.units} {command.price_minor}"))
        if request.form.get("step") != "offer" or shown != told:
            return _page(receivable_id, _foreseen(command), changed=shown != told)
        perform(put_up, command, require_actor(), idempotency_key=request.form.get("once") or None)
    except (InvalidInput, RuleBroken, Conflict) as refusal:
        return _page(receivable_id, refusal), status_of(refusal)
    say(gettext("It is on offer at %(price)s. Whoever takes it first has it.",
                price=money_text(command.price_minor, currency)))  # fmt: skip
    return redirect(url_for("investor.holding", receivable_id=receivable_id), 303)


def _foreseen(command: OfferHolding) -> RuleBroken | None:
    """Return the refusal that an offer would meet now, with every reason; None when nothing speaks against it."""
    session, owner_id = db.session(), house().id
    found = servicing.collection(session, command.receivable_id)
    lot, (units, free) = trading.lot(session, found.lot_id), _held(command.receivable_id, owner_id)
    _, to_come = part_of(found.dues, owner_id, min(command.units, units), units) if units else (0, 0)
    secondary = policy().secondary
    problems = rules.offering_problems(
        units=command.units, price_minor=command.price_minor, hours=command.hours or secondary.open_hours,
        step=lot.lot_size_minor, free=free, to_come_minor=to_come, policy=secondary,
    )  # fmt: skip
    return RuleBroken("offer_refused", N_("The holding was not offered."), problems=problems) if problems else None


def _held(receivable_id: UUID, owner_id: UUID) -> tuple[int, list[tuple[int, int]]]:
    """Return how many units one holds, and the ranges of those that he has not on offer."""
    session = db.session()
    held = [(a, b) for owner, a, b in title.held_now(session, receivable_id) if owner == owner_id]
    offers_ = servicing.offers_of(session, receivable_id, owner_id)
    free = without(held, [(one.first_unit, one.beyond_unit) for one in offers_ if one.state == "open"])
    return sum(b - a for a, b in held), free


def _in_money(problem: Problem, currency: str) -> Problem:
    """Return a problem about units as one about face: in what the field is typed in."""
    if problem.rule not in IN_MONEY:
        return problem
    params = {name: money_text(int(str(value).replace(",", "")), currency) for name, value in problem.params.items()}
    return replace(problem, words=IN_MONEY[problem.rule], params=params)


def _typed(currency: str) -> dict[str, Any]:
    """Return the form as the schema reads it.

    Raises: InvalidInput with a problem beside each field that cannot be read.
    """
    values: dict[str, Any] = {"hours": request.form.get("hours", "")}
    problems: list[Problem] = []
    for name in ("units", "price"):
        field = "price_minor" if name == "price" else "units"
        try:
            values[field] = minor_of(request.form.get(name, ""), currency, field)
        except InvalidInput as error:
            problems += error.problems
    if problems:
        raise InvalidInput.of_fields(problems)
    return values


@blueprint.post("/offers/<uuid:offer_id>/withdraw")
@signed_in(Role.INVESTOR)
def withdraw_offer(offer_id: UUID) -> ResponseReturnValue:
    """Take one's own offer back."""
    receivable_id = servicing.offer(db.session(), offer_id).receivable_id
    try:
        perform(take_back, WithdrawOffer(offer_id), require_actor())
    except (RuleBroken, Conflict) as refusal:
        return _page(receivable_id, refusal, gettext("Nothing changed.")), status_of(refusal)
    say(gettext("The offer is taken back."))
    return redirect(url_for("investor.holding", receivable_id=receivable_id), 303)


def _page(
    receivable_id: UUID, refusal: MarketplaceError | None = None, heading: str = "", *, changed: bool = False
) -> str:
    """Return the page; `changed` where an offer was sent with other figures than those that had been shown."""
    session, investor = db.session(), house()
    if not report.ever_held(session, investor.id, receivable_id):
        raise NotFound("not_found", MISSING)
    found = servicing.collection(session, receivable_id)
    lot = trading.lot(session, found.lot_id)
    mine = servicing.offers_of(session, receivable_id, investor.id)
    units, free = _held(receivable_id, investor.id)
    owed = {due.step: due.outstanding_minor for due in found.dues if due.party == investor.id}
    to_come = sum(owed.get(step, 0) for step in TO_INVESTORS)
    flows = report.cash_lines(session, investor.id, receivable_id)
    days = max((found.expected_on - _today()).days, 0)
    return render_template(
        "investor/holding.html",
        one=found, lot=lot, receivable=receivables.receivable(session, receivable_id), units=units, free=free,
        owed=owed, to_come_minor=to_come, steps=Step, flows=flows, kinds=KINDS, mine=mine, ends=ENDS,
        net_minor=sum(flow.minor for flow in flows), paid_minor=-sum(f.minor for f in flows if f.minor < 0),
        came_minor=sum(f.minor for f in flows if f.minor > 0), days=days, today=_today(),
        fall=next(iter(falls(session, policy().rating.fall_notches, [receivable_id])), None) if units else None,
        flags=[(flag, FLAGS[flag]) for flag in _flags(found)], recourse=RECOURSE[lot.recourse],
        problems=[_in_money(one, found.currency) for one in reasons(refusal)] if refusal else [], refusal=refusal,
        heading=heading, changed=changed,
        entry=_entry(found, investor.id, units, free, days, told=refusal is None),
        policy=policy().secondary, once=str(new_id()),
        symbol=SYMBOLS.get(found.currency, found.currency),
    )  # fmt: skip


def _flags(found: servicing.Collection) -> list[str]:
    disputed = receivables.open_dispute(db.session(), found.receivable_id) is not None
    return rules.flags_of(found.days_past_due(_today()), str(found.state), disputed)


def _entry(
    found: servicing.Collection, owner_id: UUID, units: int, free: Sequence[tuple[int, int]], days: int, *, told: bool
) -> dict[str, Any]:  # fmt: skip
    """Return the form's values and, when they can be read, what they would mean."""
    largest = max((b - a for a, b in free), default=0)
    text = {"units": request.form.get("units", plain(largest, found.currency)), "price": request.form.get("price", ""),
            "hours": request.form.get("hours", "").strip() or str(policy().secondary.open_hours)}  # fmt: skip
    entry: dict[str, Any] = {"text": text, "largest": largest, "told": None}
    try:
        count = minor_of(text["units"], found.currency, "units") if text["units"] else 0
        price = minor_of(text["price"], found.currency, "price_minor") if text["price"] else None
    except InvalidInput:
        return entry
    if not count or not units or count > units:
        return entry
    _, part = part_of(found.dues, owner_id, count, units)
    entry["suggested"] = {bps: rules.price_for(part, bps, days) for bps in (found.rate_bps, found.rate_bps + 200)}
    entry["part_minor"], entry["count"] = part, count
    entry["too_much"] = price is not None and price > part
    if told and price and not entry["too_much"]:
        entry["shown"] = f"{count} {price}"
        fee = rules.fee_minor(price, policy().secondary.fee_bps)
        entry["told"] = {"price": price, "fee": fee, "gets": price - fee, "gives_up": part,
                         "difference": price - fee - part, "yield": rules.yield_bps(price, part, days)}  # fmt: skip
    return entry


# -- the list of offers ---------------------------------------------------------------------------------------------


def _wanted() -> report.Wanted:
    """Return what the address asks for; what it says wrongly is left out, never an error."""
    given, currency = request.args, request.args.get("currency", "")

    def whole(name: str) -> int | None:
        words = given.get(name, "")
        return int(words) if words.isascii() and words.isdigit() and len(words) < 6 else None

    return report.Wanted(
        currency=currency if currency in policy().currencies else "", grade=given.get("grade", ""), days=whole("days"),
        least_yield_bps=whole("yield"), sound=given.get("sound") == "1", sort=given.get("sort", "closes"),
        page=whole("page") or 1,
    )  # fmt: skip


@blueprint.get("/offers")
@signed_in(Role.INVESTOR)
def offers() -> ResponseReturnValue:
    """Show the holdings that other investors offer, filtered and sorted by the address."""
    investor, asked = house(), _wanted()
    found = report.offers(db.session(), investor.id, investor.group, server_now(), _today(), asked)
    return render_template(
        "investor/offers.html", found=found, asked=asked, me=investor.id, flag_words=FLAGS,
        grade_choices=[(grade, gettext("%(grade)s or better", grade=grade.replace("-", "−"))) for grade in GRADES[:-1]],
        day_choices=[(days, gettext("Up to %(days)s", days=days)) for days in DAYS],
        yield_choices=[(bps, f"{bps // 100}.{bps % 100:02d} %") for bps in YIELDS],
        currency_choices=[(code, code) for code in policy().currencies],
    )  # fmt: skip


@blueprint.get("/offers/<uuid:offer_id>")
@signed_in(Role.INVESTOR)
def offer(offer_id: UUID) -> ResponseReturnValue:
    """Show one offer and what taking it would mean."""
    return _offer_page(offer_id)


@blueprint.post("/offers/<uuid:offer_id>/accept")
@signed_in(Role.INVESTOR)
def accept_offer(offer_id: UUID) -> ResponseReturnValue:
    """Buy what is offered, at the price that was shown."""
    try:
        command = load(AcceptOfferSchema, request.form, offer_id=str(offer_id))
        done = perform(accept, command, require_actor(), idempotency_key=request.form.get("once") or None)
    except (InvalidInput, RuleBroken, Conflict) as refusal:
        return _offer_page(offer_id, refusal), status_of(refusal)
    say(gettext("It is yours. What the debtor pays from now on for these units is paid to you."))
    return redirect(url_for("investor.holding", receivable_id=done["receivable_id"]), 303)


def _offer_page(offer_id: UUID, refusal: MarketplaceError | None = None) -> str:
    session, investor = db.session(), house()
    found = report.offer(session, offer_id, investor.id, investor.group, _today())
    if found is None:
        raise NotFound("not_found", MISSING)
    row = servicing.offer(session, offer_id)
    if row.state != "open" and investor.id not in (row.owner_id, row.buyer_id):
        raise NotFound("not_found", MISSING)
    lot = trading.lot(session, found.lot_id)
    return render_template(
        "investor/offer.html",
        one=found, row=row, lot=lot, own=row.owner_id == investor.id, flag_words=FLAGS, ends=ENDS,
        against=against_buying(session, row, investor.id, server_now()) if row.state == "open" else [],
        cash=ledger.balance(session, "investor_cash", investor.id, found.currency), recourse=RECOURSE[lot.recourse],
        recourse_means=RECOURSE_MEANS[lot.recourse], most_units=bps_of(found.face_minor, lot.group_cap_bps),
        loss_minor=_loss_minor(found),
        problems=list(reasons(refusal)) if refusal else [], refusal=refusal, once=str(new_id()),
    )  # fmt: skip


def _loss_minor(found: report.OfferLine) -> int:
    """Return what the buyer may lose, by the debtor's grade of today, as a portfolio tells it."""
    rating = current_app.extensions["duebill"].policy.rating
    ppm = loss_now_ppm(found.collection_state, found.expected_loss_ppm, found.moved_ppm, found.tenor_days, rating)
    return loss_minor(found.principal_minor, ppm)


@blueprint.get("/holdings/<uuid:receivable_id>/title")
@signed_in(Role.INVESTOR)
def title_chain(receivable_id: UUID) -> ResponseReturnValue:
    """Show the chain of title of a receivable that one holds, or held."""
    investor = house()
    if not report.ever_held(db.session(), investor.id, receivable_id):
        raise NotFound("not_found", MISSING)
    back = (gettext("Holding"), url_for("investor.holding", receivable_id=receivable_id))
    return title_page(receivable_id, [back], mine=investor.id)

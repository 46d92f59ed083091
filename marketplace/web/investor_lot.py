"""One lot: its terms, rating and timeline, the bid and what it would bring; after the close the book and the award."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from flask import Response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext

from marketplace.db import db
from marketplace.kernel.actors import Role
from marketplace.kernel.clock import business_date
from marketplace.kernel.errors import Conflict, InvalidInput, MarketplaceError, Problem, RuleBroken
from marketplace.kernel.ids import new_id
from marketplace.kernel.money import exponent
from marketplace.kernel.words import N_
from marketplace.ledger import queries as ledger
from marketplace.perform import perform
from marketplace.rating import queries as ratings
from marketplace.receivables import queries as receivables
from marketplace.reports import market as report
from marketplace.reports.rating_watch import falls
from marketplace.schemas import load
from marketplace.trading import actions, engine, placing, queries, rules, running
from marketplace.trading.calls import calls_of
from marketplace.trading.placing_together import place_together
from marketplace.trading.purses import purse_minor
from marketplace.trading.queries import Bid, Lot
from marketplace.trading.schemas import PlaceBidSchema, WithdrawBid
from marketplace.web import investor_lot_parts as parts
from marketplace.web.format import money_text
from marketplace.web.forms import SYMBOLS, minor_of, reasons, say, status_of
from marketplace.web.frame import server_now
from marketplace.web.investor_door import (
    PRICE_MEANS,
    PRICES,
    REASONS,
    RECOURSE,
    RECOURSE_MEANS,
    blueprint,
    house,
    policy,
)
from marketplace.web.session import require_actor, signed_in

FIELDS = {"rate_bps": "rate", "cash_minor": "cash", "min_fill_minor": "least"}
DOCUMENTS = {"invoice": N_("Invoice"), "supporting": N_("Supporting document"), "notice": N_("Notice of assignment"),
             "credit_note": N_("Credit note")}  # fmt: skip
STOOD = ("placed", "filled", "unfilled", "passed_over")  # neither taken back, replaced nor refused
CLOSED = ("closed_failed", "awaiting_seller", "accepted", "held", "refused", "settled")


@blueprint.get("/lots/<uuid:lot_id>")
@signed_in(Role.INVESTOR)
def lot(lot_id: UUID) -> ResponseReturnValue:
    """Show a lot."""
    return _page(lot_id)


@blueprint.post("/lots/<uuid:lot_id>/bids")
@signed_in(Role.INVESTOR)
def place_bid(lot_id: UUID) -> ResponseReturnValue:
    """Place a sealed bid, or replace an earlier one."""
    found = placing.terms(lot_id)
    try:
        command = load(PlaceBidSchema, _typed(found), lot_id=lot_id)
        placed = place_together(command, require_actor(), request.form.get("once") or None)
    except (InvalidInput, RuleBroken, Conflict) as refusal:
        db.session.rollback()
        return _page(lot_id, refusal), status_of(refusal)
    if placed.get("bought"):  # the lot may be closed before its page is asked for
        say(gettext("Your bid of %(cash)s at %(rate)s bp is in. It met the buy-now rate, so the lot closes now.",
                    cash=money_text(command.cash_minor, found.currency), rate=command.rate_bps))  # fmt: skip
        return redirect(url_for("investor.lot", lot_id=lot_id), 303)
    return redirect(url_for("investor.lot", lot_id=lot_id, bid=placed["bid_id"]), 303)


def _confirmation(found: Lot, mine: Sequence[Bid]) -> str:
    """Return what a bidder reads once his bid is in. His address names the bid: a message in the cookie costs more."""
    placed = next((bid for bid in mine if str(bid.id) == request.args.get("bid") and bid.state in STOOD), None)
    if placed is None or found.state == "cancelled":
        return ""
    known = {"cash": money_text(placed.cash_minor, found.currency), "rate": placed.rate_bps}
    if found.state != "open":
        words = gettext("Your bid of %(cash)s at %(rate)s bp was in when the lot closed.", **known)
    elif found.bidding == "open":
        words = gettext("Your bid of %(cash)s at %(rate)s bp is in. Others see only the rate the lot would clear at.",
                        **known)  # fmt: skip
    else:
        words = gettext("Your sealed bid of %(cash)s at %(rate)s bp is in. Nobody sees it before the close.", **known)
    return str(words)


@blueprint.post("/bids/<uuid:bid_id>/withdraw")
@signed_in(Role.INVESTOR)
def withdraw_bid(bid_id: UUID) -> ResponseReturnValue:
    """Take one of the investor's own bids back."""
    lot_id = queries.lot_of_bid(db.session(), bid_id)
    try:
        perform(actions.withdraw_bid, WithdrawBid(bid_id), require_actor())
    except (RuleBroken, Conflict) as refusal:
        return _page(lot_id, refusal), status_of(refusal)
    say(gettext("The bid is taken back and its cash is free again."))
    return redirect(url_for("investor.lot", lot_id=lot_id), 303)


@blueprint.get("/lots/<uuid:lot_id>/transcript.json")
@signed_in(Role.INVESTOR)
def transcript(lot_id: UUID) -> Response:
    """Download the transcript of a lot that has closed, with its hash, for `bin/market auction replay`."""
    found = queries.lot(db.session(), lot_id)
    if found.state not in CLOSED:
        raise queries.missing()
    raw = queries.transcript(db.session(), lot_id, 1 if request.args.get("round") == "1" else None)
    award = queries.award(db.session(), lot_id)
    stated = (
        engine.recompute(raw).computed_sha256 if request.args.get("round") == "1" or award is None else award.sha256
    )
    whole = json.loads(raw) | {"sha256": stated}
    response = Response(
        json.dumps(whole, ensure_ascii=False, sort_keys=True, separators=(",", ":")), mimetype="application/json"
    )
    response.headers["Content-Disposition"] = f'attachment; filename="transcript-{lot_id}.json"'
    return response


@blueprint.get("/lots/<uuid:lot_id>/documents/<uuid:document_id>")
@signed_in(Role.INVESTOR)
def document(lot_id: UUID, document_id: UUID) -> Response:
    """Give a document of a lot to whoever has a fill in it, once the award is accepted. Never shown inline."""
    session, investor = db.session(), house()
    found = queries.lot(session, lot_id)
    line = report.line(session, lot_id, investor.id, investor.group)
    known = {one.id: one for one in receivables.documents(session, found.receivable_id)}
    if line is None or not _may_read(found, line) or document_id not in known:
        raise queries.missing()
    response = Response(receivables.content(session, document_id), mimetype="application/octet-stream")
    name = "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in known[document_id].filename)
    response.headers["Content-Disposition"] = f'attachment; filename="{name.encode("ascii", "replace").decode()}"'
    return response


def _may_read(found: Lot, line: report.LotLine) -> bool:
    return found.state in report.CLEARED and bool(line.my_filled_minor)


def _typed(found: placing.Terms) -> dict[str, Any]:
    """Return the form as the schema reads it.

    Raises: InvalidInput with a problem beside each field that cannot be read.
    """
    form = request.form
    values: dict[str, Any] = {"replaces_bid_id": form.get("replaces", "")}
    problems: list[Problem] = []
    for typed, name, needed in (
        ("rate", "rate_bps", True),
        ("cash", "cash_minor", True),
        ("least", "min_fill_minor", False),
    ):
        text = form.get(typed, "").strip()
        if not text and not needed:
            continue
        try:
            values[name] = parts.rate_of(text) if typed == "rate" else minor_of(text, found.currency, name)
        except InvalidInput as error:
            problems += error.problems
    if problems:
        raise InvalidInput.of_fields(problems)
    return values


def _page(lot_id: UUID, refusal: MarketplaceError | None = None) -> str:
    session, investor = db.session(), house()
    found = queries.lot(session, lot_id)
    line = report.line(session, lot_id, investor.id, investor.group)
    if line is None:
        raise queries.missing()
    receivable = receivables.receivable(session, found.receivable_id)
    mine = queries.bids_of(session, lot_id, investor.id)
    award = queries.award(session, lot_id) if found.state in CLOSED else None
    standing = [bid for bid in mine if bid.state == "placed"]
    entry = parts.entry_of(found, standing[0] if standing else None)
    cash = ledger.balance(session, "investor_cash", investor.id, found.currency)
    book = report.closed_book(session, lot_id, investor.id) if award else []
    rate = award.stop_out_bps if award and award.stop_out_bps is not None else found.indicative_bps
    return render_template(
        "investor/lot.html",
        lot=found, line=line, receivable=receivable, mine=mine, standing=standing, award=award, entry=entry, cash=cash,
        split_parts=parts.split_of(found, (award and award.awarded_minor) or found.target_minor, rate),
        split_rate=rate,
        returns=parts.returns_of(found, entry), earn_rate=parts.rate_to_earn(found, entry),
        loss_minor=rules.expected_loss_minor(entry.cash_minor or 0, found.expected_loss_ppm),
        rating=(rating := ratings.receivable_rating(session, found.receivable_id)), weights=parts.weights_of(rating),
        history=(history := report.payment_history(session, found.debtor_id)), paid_chart=parts.bars_of(history),
        late_now=report.late_now(session, found.debtor_id, business_date(server_now(), policy().zone)),
        owned=report.concentration(session, investor.id, found.debtor_id, found.seller_id, found.currency),
        documents=receivables.documents(session, found.receivable_id),
        call_hours=policy().auction.call_hours,
        purse_minor=purse_minor(session, found.session_id, investor.id) if found.session_id else None,
        shown_bps=running.shown(session, [lot_id]).get(lot_id),
        only_improvements=running.only_improvements(found, server_now()),
        improve_from=running.improve_from(found),
        calls=calls_of(session, policy(), server_now(), investor.id, [lot_id]),
        timeline_items=parts.timeline_of(found, receivable),
        book=book,
        fall=next(iter(falls(session, policy().rating.fall_notches, [found.receivable_id])), None),
        verdict=_verdict(lot_id) if award and request.args.get("recompute") else None,
        confirmation=_confirmation(found, mine),
        refusal=refusal, problems=_beside_fields(refusal),
        once=str(new_id()), symbol=SYMBOLS.get(found.currency, found.currency), digits=exponent(found.currency),
        freed_minor=next((bid.cash_minor for bid in standing if str(bid.id) == entry.replaces), 0),
        cover=parts.times(award.standing_minor if award else 0, found.target_minor),
        my_discount_minor=sum(row.discount_minor or 0 for row in book if row.mine),
        my_loss_minor=rules.expected_loss_minor(line.my_filled_minor or 0, found.expected_loss_ppm),
        may_read=_may_read(found, line), document_words=DOCUMENTS, recourse_words=RECOURSE,
        recourse_means=RECOURSE_MEANS, price_words=PRICES, price_means=PRICE_MEANS, reason_words=REASONS,
    )  # fmt: skip


def _beside_fields(refusal: MarketplaceError | None) -> list[Problem]:
    """Return the reasons of a refusal, each under the name of the field it belongs to on the page."""
    found = reasons(refusal) if refusal else ()
    return [replace(problem, field=FIELDS.get(problem.field, "")) for problem in found]


def _verdict(lot_id: UUID) -> engine.Verdict:
    """Clear the stored book again, now."""
    return engine.recompute(queries.transcript(db.session(), lot_id))

"""One lot: its terms, rating and timeline, the bid and what it would bring; after the close the book and the award."""

import json
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from flask import Response, current_app, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext

from marketplace.db import db
from marketplace.kernel.actors import Role
from marketplace.kernel.errors import Conflict, InvalidInput, MarketplaceError, Problem, RuleBroken
from marketplace.kernel.ids import new_id
from marketplace.kernel.money import bps_of, exponent
from marketplace.kernel.words import N_
from marketplace.ledger import queries as ledger
from marketplace.perform import perform
from marketplace.rating import queries as ratings
from marketplace.receivables import queries as receivables
from marketplace.receivables.queries import Receivable
from marketplace.reports import market as report
from marketplace.schemas import load
from marketplace.trading import actions, engine, queries, rules
from marketplace.trading.queries import Lot
from marketplace.trading.schemas import PlaceBidSchema, WithdrawBid
from marketplace.web.format import day, money_text
from marketplace.web.forms import SYMBOLS, minor_of, reasons, say, status_of
from marketplace.web.investor_door import PRICE_MEANS, PRICES, REASONS, RECOURSE, RECOURSE_MEANS, blueprint, house
from marketplace.web.session import require_actor, signed_in

FIELDS = {"rate_bps": "rate", "cash_minor": "cash", "min_fill_minor": "least"}
DOCUMENTS = {"invoice": N_("Invoice"), "supporting": N_("Supporting document"), "notice": N_("Notice of assignment")}
CHART_MIN = 5
CLOSED = ("closed_failed", "awaiting_seller", "accepted", "refused", "settled")


@dataclass(frozen=True)
class Return:
    """What a bid would bring at one rate, if filled in full: money, and net of the expected loss."""

    rate_bps: int
    discount_minor: int
    after_loss_minor: int
    net_bps: int
    chosen: bool


@dataclass(frozen=True)
class Entry:
    """What stands in the bid's fields, as typed, and as far as it can be read."""

    rate: str
    cash: str
    least: str
    earn: str
    rate_bps: int | None
    cash_minor: int | None
    replaces: str = ""


@blueprint.get("/lots/<uuid:lot_id>")
@signed_in(Role.INVESTOR)
def lot(lot_id: UUID) -> ResponseReturnValue:
    """Show a lot."""
    return _page(lot_id)


@blueprint.post("/lots/<uuid:lot_id>/bids")
@signed_in(Role.INVESTOR)
def place_bid(lot_id: UUID) -> ResponseReturnValue:
    """Place a sealed bid, or replace an earlier one."""
    found = queries.lot(db.session(), lot_id)
    try:
        command = load(PlaceBidSchema, _typed(found), lot_id=lot_id)
        perform(actions.place_bid, command, require_actor(), idempotency_key=request.form.get("once") or None)
    except (InvalidInput, RuleBroken, Conflict) as refusal:
        db.session.rollback()
        return _page(lot_id, refusal), status_of(refusal)
    words = gettext(
        "Your sealed bid of %(cash)s at %(rate)s bp is in. Nobody sees it before the close.",
        cash=money_text(command.cash_minor, found.currency),
        rate=command.rate_bps,
    )
    say(words)
    return redirect(url_for("investor.lot", lot_id=lot_id), 303)


@blueprint.post("/bids/<uuid:bid_id>/withdraw")
@signed_in(Role.INVESTOR)
def withdraw_bid(bid_id: UUID) -> ResponseReturnValue:
    """Take one of the investor's own bids back."""
    lot_id = queries.lot_of_bid(db.session(), bid_id)
    try:
        perform(actions.withdraw_bid, WithdrawBid(bid_id), require_actor())
    except (RuleBroken, Conflict) as refusal:
        db.session.rollback()
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


def _times(part: int, whole: int) -> str:
    """Return a cover such as 1.31, rounded down."""
    return f"{part // whole}.{part * 100 // whole % 100:02d}"


def _typed(found: Lot) -> dict[str, Any]:
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
            values[name] = _rate(text) if typed == "rate" else minor_of(text, found.currency, name)
        except InvalidInput as error:
            problems += error.problems
    if problems:
        raise InvalidInput("invalid_fields", N_("Some fields need another look."), problems=problems)
    return values


def _rate(text: str) -> int:
    """Return basis points of a rate typed in whole basis points (710) or in per cent (7.10%).

    Raises: InvalidInput.
    """
    bare = text.replace(",", "").removesuffix("bp").strip()
    if bare.isascii() and bare.isdigit() and len(bare) < 6:
        return int(bare)
    if bare.endswith("%"):
        whole, _, part = bare.removesuffix("%").strip().partition(".")
        if whole.isascii() and whole.isdigit() and len(whole) < 4 and len(part) <= 2 and (not part or part.isdigit()):
            return int(whole) * 100 + int(part.ljust(2, "0") or 0)
    words = N_("Enter a rate in whole basis points, like 710, or in per cent, like 7.10%.")
    raise InvalidInput("invalid_fields", words, problems=[Problem("rate_bps", "rate", words)])


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
    entry = _entry(found, standing[0] if standing else None)
    cash = ledger.balance(session, "investor_cash", investor.id, found.currency)
    book = report.closed_book(session, lot_id, investor.id) if award else []
    rate = award.stop_out_bps if award and award.stop_out_bps is not None else found.indicative_bps
    return render_template(
        "investor/lot.html",
        lot=found, line=line, receivable=receivable, mine=mine, standing=standing, award=award, entry=entry, cash=cash,
        split_parts=_split(found, award.awarded_minor if award and award.awarded_minor else found.target_minor, rate),
        split_rate=rate,
        returns=_returns(found, entry), earn_rate=_rate_to_earn(found, entry),
        loss_minor=rules.expected_loss_minor(entry.cash_minor or 0, found.expected_loss_ppm),
        rating=(rating := ratings.receivable_rating(session, found.receivable_id)), weights=_weights(rating),
        history=(history := report.payment_history(session, found.debtor_id)), paid_chart=_bars(history),
        owned=report.concentration(session, investor.id, found.debtor_id, found.seller_id, found.currency),
        documents=receivables.documents(session, found.receivable_id),
        timeline_items=_timeline(found, receivable),
        book=book,
        verdict=engine.recompute(queries.transcript(session, lot_id)) if award and request.args.get("recompute") else None,
        refusal=refusal, problems=_beside_fields(refusal),
        once=str(new_id()), symbol=SYMBOLS.get(found.currency, found.currency), digits=exponent(found.currency),
        freed_minor=next((bid.cash_minor for bid in standing if str(bid.id) == entry.replaces), 0),
        cover=_times(award.standing_minor if award else 0, found.target_minor),
        my_discount_minor=sum(row.discount_minor or 0 for row in book if row.mine),
        my_loss_minor=rules.expected_loss_minor(line.my_filled_minor or 0, found.expected_loss_ppm),
        may_read=_may_read(found, line), document_words=DOCUMENTS, recourse_words=RECOURSE, recourse_means=RECOURSE_MEANS, price_words=PRICES,
        price_means=PRICE_MEANS, reason_words=REASONS,
    )  # fmt: skip


def _beside_fields(refusal: MarketplaceError | None) -> list[Problem]:
    """Return the reasons of a refusal, each under the name of the field it belongs to on the page."""
    found = reasons(refusal) if refusal else ()
    return [replace(problem, field=FIELDS.get(problem.field, "")) for problem in found]


def _entry(found: Lot, standing: queries.Bid | None) -> Entry:
    """Return what the fields show: what was just sent, what the address says, the standing bid, or a first guess."""
    given = request.form if request.method == "POST" else request.args
    rate, cash = given.get("rate"), given.get("cash")
    if standing is not None and request.method == "GET" and "new" not in request.args:
        rate = rate or str(standing.rate_bps)
        cash = cash or _plain(standing.cash_minor, found.currency)
    rate = rate if rate is not None else str(found.indicative_bps)
    guess = max(found.target_minor // 4 // found.lot_size_minor * found.lot_size_minor, found.minimum_minor)
    cash = cash if cash is not None else _plain(guess, found.currency)
    least = given.get(
        "least", _plain(standing.min_fill_minor, found.currency) if standing and standing.min_fill_minor else ""
    )
    replaces = given.get("replaces", str(standing.id) if standing and "new" not in request.args else "")
    try:
        rate_bps: int | None = _rate(rate)
    except InvalidInput:
        rate_bps = None
    try:
        cash_minor: int | None = minor_of(cash, found.currency)
    except InvalidInput:
        cash_minor = None
    return Entry(rate, cash, least, given.get("earn", ""), rate_bps, cash_minor, replaces)


def _plain(minor: int, currency: str) -> str:
    """Return an amount as it stands in a field: 10,000 or 10,000.50."""
    digits = exponent(currency)
    whole, rest = divmod(minor, 10**digits)
    return f"{whole:,}" + (f".{rest:0{digits}d}" if rest else "")


def _returns(found: Lot, entry: Entry) -> list[Return]:
    """Return what the bid would bring at its rate and at a few others, cheapest first."""
    cash = entry.cash_minor or 0
    if cash <= 0:
        return []
    chosen = entry.rate_bps if entry.rate_bps is not None and entry.rate_bps <= 10_000 else None
    rates = {found.indicative_bps, found.reserve_bps, max(found.indicative_bps - 50, 0)} | (
        {chosen} if chosen is not None else set()
    )
    loss = rules.expected_loss_minor(cash, found.expected_loss_ppm)
    rows = []
    for rate in sorted(rates):
        earned = rules.discount_minor(cash, rate, found.tenor_days)
        net = rules.net_yearly_bps(cash, earned - loss, found.tenor_days)
        rows.append(Return(rate, earned, earned - loss, net, rate == chosen))
    return rows


def _rate_to_earn(found: Lot, entry: Entry) -> int | None:
    """Return the lowest rate that earns the money asked for on the cash in the field."""
    if not entry.earn:
        return None
    try:
        wanted = minor_of(entry.earn, found.currency)
    except InvalidInput:
        return None
    return rules.rate_for(entry.cash_minor or 0, wanted, found.tenor_days)


def _split(found: Lot, cash_minor: int, rate_bps: int) -> list[tuple[str, int, str]]:
    """Return where the debtor's money goes, in the order of the waterfall; the parts sum to the face."""
    policy = current_app.extensions["duebill"].policy
    left = found.face_minor - cash_minor
    discount = min(rules.discount_minor(cash_minor, rate_bps, found.tenor_days), left)
    fee = min(bps_of(found.face_minor, policy.fees.platform_bps), left - discount)
    return [
        (gettext("Investors’ cash"), cash_minor, found.currency),
        (gettext("Discount"), discount, found.currency),
        (gettext("Platform fee"), fee, found.currency),
        (gettext("Back to the seller"), left - discount - fee, found.currency),
    ]


def _weights(rating: ratings.ReceivableRating | None) -> list[dict[str, Any]]:
    """Return the debtor's reasons as bars around a middle line at 50 %: safer to the left, riskier to the right."""
    reasons_ = rating.debtor.reasons if rating else ()
    most = max((abs(reason.weight_ppm) for reason in reasons_), default=0)
    rows = []
    for reason in reasons_:
        width = max(abs(reason.weight_ppm) * 48 // most, 1)
        safer = reason.weight_ppm < 0
        rows.append({"reason": reason, "safer": safer, "x": 50 - width if safer else 50, "width": width})
    return rows


def _bars(history: list[report.History]) -> dict[str, Any] | None:
    """Return the payment history as bars 116 units high, the scale in whole tens of days; None for only a few."""
    if len(history) < CHART_MIN:
        return None
    days = [max(one.days_late, 0) for one in history]
    top = max(-(-max(days) // 10) * 10, 10)
    rows = [
        {"x": 42 + place * 30, "height": max(late * 116 // top, 1), "late": late > 7, "one": one}
        for place, (one, late) in enumerate(zip(history, days, strict=True))
    ]
    median = sorted(days)[len(days) // 2]
    return {
        "rows": rows, "top": top, "median": median, "median_y": 126 - median * 116 // top, "most": max(days),
        "on_time": sum(late == 0 for late in days), "week": sum(0 < late <= 7 for late in days),
        "later": sum(late > 7 for late in days),
    }  # fmt: skip


def _timeline(found: Lot, receivable: Receivable) -> list[tuple[str, Any, str]]:
    """Return what has happened and what comes next, oldest first."""
    kind = gettext("Listed from an e-invoice") if receivable.evidence == "einvoice" else gettext("Listed by hand")
    items: list[tuple[str, Any, str]] = [(kind, receivable.listed_at, "")]
    if receivable.confirmed_at:
        by = (
            gettext("Debtor confirmed it")
            if receivable.confirmed_by == "debtor"
            else gettext("Two operators accepted other evidence")
        )
        items.append((by, receivable.confirmed_at, ""))
    seller_grade = found.seller_grade or gettext("not rated")
    graded = gettext(
        "Rated: debtor %(debtor)s, seller %(seller)s",
        debtor=found.debtor_grade.replace("-", "−"),
        seller=seller_grade.replace("-", "−"),
    )
    items.append((gettext("%(graded)s; on auction", graded=graded), found.opened_at, ""))
    if found.state == "open":
        items.append((gettext("Closes"), found.closes_at, "here"))
        items.append((gettext("Award, and two hours for the seller to decide"), "", "next"))
        return items
    items.append((gettext("Closed"), found.closed_at, ""))
    if found.state == "awaiting_seller":
        items.append((gettext("The seller decides by"), found.decide_by, "here"))
        return items
    ends = {
        "closed_failed": gettext("Not covered; all holds were freed"),
        "accepted": gettext("Accepted; the money is about to move"),
        "refused": gettext("Refused by the seller; all holds were freed"),
        "settled": gettext("Accepted and funded"),
        "cancelled": gettext("Cancelled; all holds were freed"),
    }
    items.append((ends[found.state], found.decided_at or found.closed_at, "here"))
    if found.state in ("accepted", "settled"):
        items.append((gettext("The debtor is expected to pay"), day(found.expected_on), "next"))
    return items

"""Buying back: what is asked of the seller, the exact price, the money for it, and the yes."""

from typing import Any
from uuid import UUID

from flask import current_app, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext

from marketplace.db import db
from marketplace.kernel.errors import Conflict, InvalidInput, MarketplaceError, NotFound, RuleBroken
from marketplace.kernel.ids import new_id
from marketplace.kernel.words import N_
from marketplace.ledger import queries as ledger
from marketplace.parties import queries as parties
from marketplace.parties.rules import require_own
from marketplace.payments import actions as payments
from marketplace.payments import queries as payment_queries
from marketplace.payments.schemas import FundAccount, WithdrawCash
from marketplace.perform import perform
from marketplace.receivables import queries as receivables
from marketplace.reports.dilutions import demands
from marketplace.schemas import load
from marketplace.servicing import queries as servicing
from marketplace.servicing.buying_back import buy_back_receivable, quote_buy_backs, waits_for_debtor
from marketplace.servicing.schemas import BuyBackReceivableSchema
from marketplace.servicing.seller_money import SOURCES
from marketplace.trading import queries as trading
from marketplace.web.downloads import plain
from marketplace.web.forms import minor_of, reasons, say, status_of
from marketplace.web.navigation import count_with
from marketplace.web.paying import lead_on
from marketplace.web.seller_door import blueprint, for_sellers, seller, today
from marketplace.web.session import current_actor

REASONS = {
    "recourse": N_("The debtor is late, and the sale was with recourse"),
    "dispute": N_("The debtor disputes it, and was found right"),
    "dilution": N_("A credit note took more than the residual"),
    "warranty": N_("Something you warranted was not so"),
    "voluntary": N_("Your own wish"),
}


def _asked(session: Any) -> int:
    actor = current_actor()
    if actor is None or actor.organisation_id is None:
        return 0
    return servicing.demands_open(session, actor.organisation_id)


count_with("seller.requests", _asked)


@blueprint.get("/requests")
@for_sellers
def requests() -> ResponseReturnValue:
    """What the market asks of the seller, and what was bought back."""
    _, seller_id = seller()
    found = servicing.buy_backs_of(db.session(), seller_id)
    owed = demands(db.session(), seller_id)
    named = [one.receivable_id for one in found] + [line.note.receivable_id for line in owed]
    asked = [one.receivable_id for one in found if one.state == "asked"]
    return render_template(
        "seller/requests.html", found=found, known=receivables.receivables(db.session(), named), reasons=REASONS,
        prices=quote_buy_backs(db.session(), asked, today()), owed=owed, today=today(),
    )  # fmt: skip


@blueprint.get("/invoices/<uuid:receivable_id>/buy-back")
@for_sellers
def buy_back(receivable_id: UUID) -> ResponseReturnValue:
    """The price today, what it is made of, the money at hand, and what happens on yes."""
    return _page(receivable_id)


@blueprint.post("/invoices/<uuid:receivable_id>/buy-back")
@for_sellers
def buy_back_now(receivable_id: UUID) -> ResponseReturnValue:
    """Buy back at the price that was shown."""
    actor, _ = seller()
    try:
        command = load(BuyBackReceivableSchema, {"price_minor": request.form.get("price_minor", "")},
                       receivable_id=str(receivable_id))  # fmt: skip
        perform(buy_back_receivable, command, actor, idempotency_key=request.form.get("once") or None)
    except (InvalidInput, RuleBroken, Conflict) as refusal:
        return _page(receivable_id, refusal), status_of(refusal)
    say(gettext("Bought back. The holders are paid, the receivable is yours, and the debtor is told."))
    return redirect(url_for("seller.receivable", receivable_id=receivable_id), 303)


@blueprint.post("/invoices/<uuid:receivable_id>/buy-back/money")
@for_sellers
def buy_back_money(receivable_id: UUID) -> ResponseReturnValue:
    """Ask for a payment page for what is missing, or send back what was not used."""
    actor, _ = seller()
    found = _own(receivable_id)
    try:
        amount = minor_of(request.form.get("amount", ""), found.currency, "amount")
        if request.form.get("way") == "out":
            perform(payments.withdraw_cash, WithdrawCash(amount, found.currency), actor,
                    idempotency_key=request.form.get("once") or None)  # fmt: skip
            say(gettext("The money is on its way to your bank."))
            return redirect(url_for("seller.buy_back", receivable_id=receivable_id), 303)
        back = current_app.extensions["duebill"].settings.base_url + url_for(
            "seller.buy_back", receivable_id=receivable_id
        )
        made = perform(payments.fund_account, FundAccount(amount, found.currency, back), actor,
                       idempotency_key=request.form.get("once") or None)  # fmt: skip
    except (InvalidInput, RuleBroken, Conflict) as refusal:
        return _page(receivable_id, refusal), status_of(refusal)
    return lead_on(UUID(made["funding_id"]), url_for("seller.buy_back", receivable_id=receivable_id))


def _own(receivable_id: UUID) -> receivables.Receivable:
    actor, _ = seller()
    found = receivables.receivable(db.session(), receivable_id)
    require_own(actor, found.seller_id)
    return found


def _page(receivable_id: UUID, refusal: MarketplaceError | None = None) -> str:
    session, found = db.session(), _own(receivable_id)
    _, seller_id = seller()
    collection = servicing.collections(session, [receivable_id]).get(receivable_id)
    if collection is None:
        raise NotFound("not_found", N_("There is no such thing, or you may not see it."))
    asked = servicing.buy_back_of(session, receivable_id)
    price = quote_buy_backs(session, [receivable_id], today())[receivable_id] if collection.open else None
    money = {code: ledger.balance(session, code, seller_id, found.currency) for code in SOURCES}
    free = sum(max(one.free_minor, 0) for one in money.values())
    fundings = payment_queries.fundings_of(session, seller_id, 20)
    missing = max(price.price_minor - free, 0) if price else 0
    return render_template(
        "seller/buy_back.html",
        r=found, c=collection, lot=trading.lot(session, collection.lot_id), asked=asked, price=price, free=free,
        cash=money["seller_cash"].free_minor, cash_text=plain(money["seller_cash"].free_minor, found.currency),
        missing=missing, missing_text=plain(missing, found.currency) if missing else "",
        debtor=parties.organisation(session, found.debtor_id), iban=parties.organisation(session, seller_id).iban,
        on_the_way=[one for one in fundings if one.state in ("preparing", "open", "processing")],
        shares=servicing.buy_back_shares(session, asked.id) if asked and asked.state == "paid" else [],
        waits=waits_for_debtor(session, receivable_id),
        reasons=REASONS, refusal=refusal, problems=list(reasons(refusal)) if refusal else [], today=today(),
        once=[str(new_id()), str(new_id()), str(new_id())], typed=request.form.get("amount", ""),
    )  # fmt: skip

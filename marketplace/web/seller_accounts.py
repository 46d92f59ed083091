"""The seller's own accounts: file them, see what was read, what is wrong with them, and the grade they gave."""

from collections.abc import Sequence
from decimal import ROUND_HALF_EVEN, Decimal
from uuid import UUID

from flask import current_app, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext

from marketplace.db import db, market_now
from marketplace.kernel.clock import business_date
from marketplace.kernel.errors import InvalidInput, MarketplaceError
from marketplace.kernel.words import N_
from marketplace.perform import perform
from marketplace.rating import actions, queries
from marketplace.rating.filing import Filing
from marketplace.rating.rules import is_stale
from marketplace.rating.schemas import FileAccountsSchema
from marketplace.rating.serving import serving_model
from marketplace.rating.what_if import Case, cases
from marketplace.schemas import load
from marketplace.web.format import number
from marketplace.web.forms import reasons, say, status_of
from marketplace.web.seller_door import blueprint, for_sellers, seller

FIGURES = {
    "fixed_assets": N_("Fixed assets"),
    "current_assets": N_("Current assets"),
    "debtors": N_("Owed by debtors"),
    "cash": N_("Cash"),
    "creditors_within_one_year": N_("Creditors within one year"),
    "creditors_after_one_year": N_("Creditors after one year"),
    "net_assets": N_("Net assets"),
    "pl_reserve": N_("Retained earnings"),
    "turnover": N_("Turnover"),
    "profit": N_("Profit"),
    "employees": N_("Employees"),
}


@blueprint.app_template_filter("figure")
def figure(text: str | None) -> str:
    """Return a tagged figure with the locale's grouping; absent ones as a dash, never as zero."""
    if text is None:
        return "–"
    whole = Decimal(text).quantize(Decimal(1), ROUND_HALF_EVEN)
    return number(int(whole))


@blueprint.get("/accounts")
@for_sellers
def accounts() -> ResponseReturnValue:
    """What is on file, and the grade it gave."""
    return _page()


def _page(error: MarketplaceError | None = None) -> str:
    _, seller_id = seller()
    filed = queries.filings(db.session(), seller_id)
    return render_template(
        "seller/accounts.html", filings=filed, rating=queries.party_rating(db.session(), seller_id), figures=FIGURES,
        what_if=_what_if(seller_id, filed), current_seller_id=seller_id,
        error=error, problems=reasons(error) if error else (),
    )  # fmt: skip


def _what_if(seller_id: UUID, filed: Sequence[queries.FiledAccounts]) -> list[Case]:
    """Return what would change the grade; nothing where there is none."""
    policy = current_app.extensions["duebill"].policy
    today = business_date(market_now(db.session()), policy.zone)
    if not filed or is_stale(filed[0].period_end, today, policy.rating.filing_months_max):
        return []
    record = queries.as_record(queries.newest_record(db.session(), seller_id))
    return cases(serving_model(db.session()), Filing.from_json(filed[0].read), record, today, policy.rating)


@blueprint.post("/accounts")
@for_sellers
def file_accounts() -> ResponseReturnValue:
    """Read the chosen accounts and keep them with their faults."""
    actor, seller_id = seller()
    chosen = request.files.get("document")
    try:
        if chosen is None or not chosen.filename:
            raise InvalidInput.about(
                "document", "no_file", N_("Choose the accounts as iXBRL (.html, .xhtml) or XBRL (.xml) first.")
            )
        command = load(FileAccountsSchema, {}, organisation_id=str(seller_id), filename=chosen.filename[-200:],
                       content=chosen.stream.read())  # fmt: skip
        perform(actions.file_accounts, command, actor)
    except MarketplaceError as error:
        return _page(error), status_of(error)
    say(gettext("The accounts are on file. A grade follows within minutes."))
    return redirect(url_for("seller.accounts"), 303)

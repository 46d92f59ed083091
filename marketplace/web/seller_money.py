"""The seller's money: paid, on its way, still to come."""

from flask import render_template
from flask.typing import ResponseReturnValue

from marketplace.db import db
from marketplace.reports import seller as reports
from marketplace.web.seller_door import blueprint, for_sellers, seller, today


@blueprint.get("/money")
@for_sellers
def money() -> ResponseReturnValue:
    """Advances, residuals and payouts, each with its state."""
    _, seller_id = seller()
    return render_template("seller/money.html", page=reports.money(db.session(), seller_id, today()))

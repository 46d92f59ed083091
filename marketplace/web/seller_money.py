"""The seller's money: paid, on its way, still to come."""

from flask import render_template
from flask.typing import ResponseReturnValue

from marketplace.db import db
from marketplace.reports import seller as reports
from marketplace.web.downloads import csv_file, plain
from marketplace.web.seller_door import blueprint, for_sellers, seller, today


@blueprint.get("/money")
@for_sellers
def money() -> ResponseReturnValue:
    """Advances, residuals and payouts, each with its state."""
    _, seller_id = seller()
    return render_template("seller/money.html", page=reports.money(db.session(), seller_id, today()))


@blueprint.get("/money.csv")
@for_sellers
def money_csv() -> ResponseReturnValue:
    """The payouts as a file."""
    _, seller_id = seller()
    headers = ["ordered_at", "purpose", "ref", "invoice", "currency", "amount", "state", "paid_at", "failure"]
    rows = [
        (one.created_at, one.purpose, r.ref if r else "", r.number if r else "", one.currency,
         plain(one.amount_minor, one.currency), one.state, one.paid_at, one.failure_code)
        for line in reports.money(db.session(), seller_id, today()).lines
        for one, r in ((line.payout, line.receivable),)
    ]  # fmt: skip
    return csv_file("payouts", headers, rows)

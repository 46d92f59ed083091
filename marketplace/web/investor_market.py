"""The market list: lots on auction, filtered by the address, sorted by its headers, downloaded as CSV."""

from flask import Response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext

from marketplace.db import db
from marketplace.kernel.actors import Role
from marketplace.kernel.words import N_
from marketplace.ledger import queries as ledger
from marketplace.rating.grades import GRADES
from marketplace.reports import market as report
from marketplace.reports import portfolio as money
from marketplace.trading.calls import calls_of
from marketplace.trading.running import shown
from marketplace.web.downloads import csv_file, plain
from marketplace.web.frame import server_now
from marketplace.web.investor_door import RECOURSE, blueprint, house, policy
from marketplace.web.session import signed_in

CSV_MAX = 10_000
DAYS = (30, 60, 90, 120, 180)
CHECKS = (
    ("einvoice", "file-earmark-code", N_("E-invoice")),
    ("confirmed", "check2-circle", N_("Debtor confirmed")),
    ("notice", "envelope-check", N_("No earlier notice")),
    ("duplicate", "intersect", N_("No duplicate")),
)


def wanted() -> report.Wanted:
    """Return what the address asks for; what it says wrongly is left out, never an error."""
    given = request.args

    def whole(name: str) -> int | None:
        text = given.get(name, "")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else None

    return report.Wanted(
        show=given.get("show", "open"),
        q=given.get("q", "").replace("\x00", "").strip()[:80],
        currency=given.get("currency", "")[:3],
        grade=given.get("grade", ""),
        days=whole("days"),
        sector=given.get("sector", "").replace("\x00", "")[:80],
        recourse=given.get("recourse", "") if given.get("recourse") in RECOURSE else "",
        checked=given.get("checked") == "1",
        sort=given.get("sort", "closes"),
        page=whole("page") or 1,
    )


@blueprint.get("/")
@signed_in(Role.INVESTOR)
def home() -> ResponseReturnValue:
    """Lead to the market."""
    return redirect(url_for("investor.market"), 303)


@blueprint.get("/market")
@signed_in(Role.INVESTOR)
def market() -> ResponseReturnValue:
    """Show the lots that the address asks for."""
    investor = house()
    asked = wanted()
    found = report.market(db.session(), investor.id, investor.group, asked)
    purses = ledger.balances(db.session(), investor.id, ["investor_cash"])
    mine = [line.id for line in found.lines if line.my_bids and line.state == "open"]
    called = calls_of(db.session(), policy(), server_now(), investor.id, mine, most=1)
    return render_template(
        "investor/market.html",
        called={one.lot_id: one for one in sorted(called, key=lambda one: one.clearing)},
        found=found,
        shown=shown(db.session(), [line.id for line in found.lines]),
        asked=asked,
        purses=[(code, purses[("investor_cash", code)]) for code in money.currencies(db.session(), investor.id)],
        recourse_words=RECOURSE,
        check_rows=check_rows,
        day_choices=[(days, gettext("Up to %(days)s", days=days)) for days in DAYS],
        grade_choices=[(grade, gettext("%(grade)s or better", grade=grade.replace("-", "−"))) for grade in GRADES[:-1]],
        sector_choices=[(sector, sector) for sector in found.sectors],
        currency_choices=[(code, code) for code in policy().currencies],
    )


def check_rows(line: report.LotLine) -> list[tuple[str, str, str]]:
    """Return a lot's checks as the page shows them: icon, words, yes, no or being looked at."""
    return [(shape, gettext(words), line.checks[name]) for name, shape, words in CHECKS]


@blueprint.get("/market.csv")
@signed_in(Role.INVESTOR)
def market_csv() -> Response:
    """Download the same lots."""
    investor = house()
    found = report.market(db.session(), investor.id, investor.group, wanted(), limit=CSV_MAX)
    headers = [
        gettext("Lot"), gettext("State"), gettext("Debtor"), gettext("Seller"), gettext("Sector"),
        gettext("Debtor grade"), gettext("Seller grade"), gettext("Currency"), gettext("Face"), gettext("Sought"),
        gettext("Reserve, bp"), gettext("Indicative, bp"), gettext("Expected"), gettext("Days"), gettext("Recourse"),
        gettext("Expected loss, ppm"), gettext("Closes"), gettext("My cash"), gettext("My rate, bp"),
        gettext("Stop-out, bp"), gettext("My fill"), gettext("Bidding"), gettext("Clearing now, bp"),
        gettext("Buy now, bp"),
    ]  # fmt: skip
    now = shown(db.session(), [line.id for line in found.lines])
    rows = (
        [
            line.ref, line.state, line.debtor_name, line.seller, line.debtor_sector, line.debtor_grade,
            line.seller_grade, line.currency, plain(line.face_minor, line.currency),
            plain(line.target_minor, line.currency), line.reserve_bps, line.indicative_bps, line.expected_on,
            line.tenor_days, line.recourse, line.expected_loss_ppm, line.closes_at,
            plain(line.my_cash_minor, line.currency), line.my_rate_bps, line.stop_out_bps,
            plain(line.my_filled_minor, line.currency), line.bidding, now.get(line.id), line.buy_now_bps,
        ]
        for line in found.lines
    )  # fmt: skip
    return csv_file("market", headers, rows)

"""The investor's money: portfolio, cash in and out, statement."""

from datetime import date, timedelta
from typing import Any
from uuid import UUID

from flask import Response, current_app, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext

from marketplace.db import db
from marketplace.kernel.actors import Role
from marketplace.kernel.clock import business_date
from marketplace.kernel.errors import (
    Conflict,
    InvalidInput,
    MarketplaceError,
    NotFound,
    Problem,
    RuleBroken,
)
from marketplace.kernel.ids import new_id
from marketplace.kernel.words import N_
from marketplace.ledger import queries as ledger
from marketplace.payments import actions as payments
from marketplace.payments import queries as payment_queries
from marketplace.payments.schemas import FundAccount, WithdrawCash
from marketplace.perform import perform
from marketplace.reports import portfolio as report
from marketplace.reports import rating_watch
from marketplace.reports.held import held_bids, held_budgets
from marketplace.web.downloads import csv_file, plain
from marketplace.web.format import day_short, money
from marketplace.web.forms import day_of, minor_of, reasons, say, status_of
from marketplace.web.frame import server_now
from marketplace.web.investor_door import blueprint, house, policy
from marketplace.web.paying import lead_on, page_of
from marketplace.web.session import require_actor, signed_in

KINDS = {
    "fund": N_("Put in"),
    "funding": N_("Put in"),
    "funding_received": N_("Put in"),
    "settle_award": N_("Paid for an award"),
    "distribute": N_("The debtor paid"),
    "withdrawal_requested": N_("Taken out"),
    "withdrawal_returned": N_("Came back: the bank did not take it"),
    "buy_back": N_("Bought back by the seller"),
    "transfer_holding": N_("A holding changed hands"),
}


def _policy_currencies() -> tuple[str, ...]:
    found: tuple[str, ...] = current_app.extensions["duebill"].policy.currencies
    return found


def _today() -> date:
    return business_date(server_now(), current_app.extensions["duebill"].policy.zone)


def _currency(investor_id: UUID) -> str:
    """Return the currency the address asks for, else the one the investor uses most."""
    asked = request.args.get("currency", "")
    if asked in _policy_currencies():
        return asked
    return next(iter(report.currencies(db.session(), investor_id)), _policy_currencies()[0])


def _portfolio() -> report.Portfolio:
    investor = house()
    return report.portfolio(
        db.session(), investor.id, _currency(investor.id), _today(),
        sort=request.args.get("sort", "-due"), ended=request.args.get("show") == "ended",
        rating=current_app.extensions["duebill"].policy.rating,
    )  # fmt: skip


@blueprint.get("/portfolio")
@signed_in(Role.INVESTOR)
def portfolio() -> ResponseReturnValue:
    """Show what is owned, in one currency, trouble first."""
    found = _portfolio()
    weeks = report.cash_by_week(db.session(), house().id, found.currency, _today())
    return render_template(
        "investor/portfolio.html",
        found=found,
        chart=_chart(weeks, found.currency),
        coming=sorted(
            (one for one in found.holdings if not one.in_recovery), key=lambda one: (one.expected_on, one.ref)
        ),
        ended=request.args.get("show") == "ended",
        falls={one.receivable_id: one for one in rating_watch.falls(
            db.session(), policy().rating.fall_notches, [one.receivable_id for one in found.holdings if not one.sold])},
    )  # fmt: skip


def _chart(weeks: list[report.Week], currency: str) -> dict[str, Any] | None:
    """Return the weeks as bars on a scale of 202 units, its top a round figure; None when there is nothing to draw."""
    most = max(max(week.contract_minor, week.expected_minor, week.received_minor) for week in weeks)
    if most == 0:
        return None
    step = 10 ** (len(str(most)) - 1)
    top = next(step * n for n in (1, 2, 4, 6, 8, 10) if step * n >= most)
    this_week = _today() - timedelta(days=_today().weekday())

    def height(minor: int) -> int:
        return max(minor * 202 // top, 1) if minor else 0

    return {
        "weeks": [
            {
                "x": 76 + place * 49, "monday": week.monday, "now": week.monday == this_week,
                "contract": height(week.contract_minor), "expected": height(week.expected_minor),
                "received": height(week.received_minor),
            }
            for place, week in enumerate(weeks)
        ],
        "lines": [{"y": 214 - 202 * n // 2, "minor": top * n // 2} for n in (1, 2)],
        "rows": [
            [day_short(week.monday), money(week.contract_minor, currency), money(week.expected_minor, currency),
             money(week.received_minor, currency)]
            for week in weeks
        ],
    }  # fmt: skip


@blueprint.get("/portfolio.csv")
@signed_in(Role.INVESTOR)
def portfolio_csv() -> Response:
    """Download the holdings."""
    found = _portfolio()
    headers = [
        gettext("Receivable"), gettext("Debtor"), gettext("Seller"), gettext("State"), gettext("Days past due"),
        gettext("Currency"), gettext("Cash out"), gettext("Outstanding"), gettext("Accrued"), gettext("Earned"),
        gettext("Due"), gettext("Expected"), gettext("Debtor grade"), gettext("Expected loss"), gettext("Units owned"),
        gettext("Face"),
    ]  # fmt: skip
    rows = (
        [
            one.ref, one.debtor_name, one.seller_name, one.state, one.days_past_due, one.currency,
            plain(one.cost_minor, one.currency), plain(one.outstanding_minor, one.currency),
            plain(one.accrued_minor, one.currency), plain(one.earned_minor, one.currency),
            one.due_on, one.expected_on, one.debtor_grade, plain(one.expected_loss_minor, one.currency), one.units,
            plain(one.face_minor, one.currency),
        ]
        for one in found.holdings
    )  # fmt: skip
    return csv_file(f"portfolio-{found.currency}", headers, rows)


@blueprint.get("/cash")
@signed_in(Role.INVESTOR)
def cash() -> ResponseReturnValue:
    """Show the purses, what is held, what is on its way, and the two forms."""
    return _cash_page()


@blueprint.post("/cash/top-up")
@signed_in(Role.INVESTOR)
def top_up() -> ResponseReturnValue:
    """Ask for a payment page and lead there; when it is not ready yet, come back to a page that waits for it."""
    try:
        amount, currency = _amount("top_up")
        base = current_app.extensions["duebill"].settings.base_url
        back = base + url_for("investor.top_up_state", funding_id=UUID(int=0))
        command = FundAccount(amount, currency, back.replace(str(UUID(int=0)), "{id}"))
        made = perform(
            payments.fund_account, command, require_actor(), idempotency_key=request.form.get("once") or None
        )
    except (InvalidInput, RuleBroken, Conflict) as refusal:
        return _cash_page(refusal, "top_up"), status_of(refusal)
    funding_id = UUID(made["funding_id"])
    return lead_on(funding_id, url_for("investor.top_up_state", funding_id=funding_id))


@blueprint.get("/cash/top-up/<uuid:funding_id>")
@signed_in(Role.INVESTOR)
def top_up_state(funding_id: UUID) -> ResponseReturnValue:
    """Show what became of money that was to be put in."""
    funding = payment_queries.funding(db.session(), funding_id)
    if funding.organisation_id != house().id:
        raise NotFound("not_found", N_("There is no such thing, or you may not see it."))
    return page_of(funding, render_template("investor/top_up.html", funding=funding))


@blueprint.post("/cash/withdraw")
@signed_in(Role.INVESTOR)
def withdraw() -> ResponseReturnValue:
    """Send free cash to the investor's bank."""
    try:
        amount, currency = _amount("withdraw")
        perform(payments.withdraw_cash, WithdrawCash(amount, currency), require_actor(),
                idempotency_key=request.form.get("once") or None)  # fmt: skip
    except (InvalidInput, RuleBroken, Conflict) as refusal:
        return _cash_page(refusal, "withdraw"), status_of(refusal)
    say(gettext("The money is on its way to your bank."))
    return redirect(url_for("investor.cash", currency=currency), 303)


def _amount(form: str) -> tuple[int, str]:
    """Return the amount and currency of one of the two forms.

    Raises: InvalidInput beside the field.
    """
    currency = request.form.get("currency", "")
    if currency not in _policy_currencies():
        problem = Problem(f"{form}_currency", "currency", N_("Choose one of the market’s currencies."))
        raise InvalidInput.of_fields([problem])
    minor = minor_of(request.form.get("amount", ""), currency, f"{form}_amount")
    if minor <= 0:
        problem = Problem(f"{form}_amount", "amount", N_("Enter an amount above zero."))
        raise InvalidInput.of_fields([problem])
    return minor, currency


def _cash_page(refusal: MarketplaceError | None = None, form: str = "") -> str:
    session, investor = db.session(), house()
    purses = ledger.balances(session, investor.id, ["investor_cash", "withdrawal_in_transit"])
    problems = [
        Problem(p.field if p.field.startswith(form) else f"{form}_amount", p.rule, p.words, p.params)
        for p in (reasons(refusal) if refusal else ())
    ]
    fundings = payment_queries.fundings_of(session, investor.id, 20)
    return render_template(
        "investor/cash.html",
        investor=investor,
        purses=purses,
        currencies=report.currencies(session, investor.id),
        traded=_policy_currencies(),
        chosen=request.form.get("currency") or _currency(investor.id),
        typed=request.form.get("amount", ""),
        form=form,
        problems=problems,
        refusal=refusal,
        held=held_bids(session, investor.id),
        budgets=held_budgets(session, investor.id),
        fundings=[one for one in fundings if one.state not in ("succeeded", "expired")],
        payouts=payment_queries.payouts_of(session, investor.id, 20),
        movements=report.last_movements(session, investor.id),
        kinds=KINDS,
        once=[str(new_id()), str(new_id())],
    )


def _usual() -> tuple[date, date]:
    """Return the period of a statement that nobody asked otherwise of: the last month and this one to date."""
    today = _today()
    return (today.replace(day=1) - timedelta(days=1)).replace(day=1), today


def _period() -> tuple[date, date]:
    """Return the period the address asks for, its earlier day first. Raises: InvalidInput naming `from` or `to`."""
    given = [request.args.get(name, "") for name in ("from", "to")]
    first, last = (day_of(said, name) if said else usual
                   for said, name, usual in zip(given, ("from", "to"), _usual(), strict=True))  # fmt: skip
    return min(first, last), max(first, last)


def _statement(period: tuple[date, date]) -> report.Statement:
    investor = house()
    zone = current_app.extensions["duebill"].policy.zone
    return report.statement(db.session(), investor.id, _currency(investor.id), *period, zone)


@blueprint.get("/statement")
@signed_in(Role.INVESTOR)
def statement() -> ResponseReturnValue:
    """Show every movement of a period, with the balances before and after."""
    try:
        error, found = None, _statement(_period())
    except InvalidInput as refusal:
        error, found = refusal, _statement(_usual())
    page = render_template(
        "investor/statement.html", found=found, kinds=KINDS, problems=reasons(error) if error else (), error=error,
        came_in=sum(one.minor for one in found.movements if one.minor > 0),
        went_out=sum(one.minor for one in found.movements if one.minor < 0),
        currencies=report.currencies(db.session(), house().id),
    )  # fmt: skip
    return (page, status_of(error)) if error else page


@blueprint.get("/statement.csv")
@signed_in(Role.INVESTOR)
def statement_csv() -> Response:
    """Download the same movements. Raises: InvalidInput for a date that is none."""
    found = _statement(_period())
    headers = [
        gettext("At"), gettext("What"), gettext("Receivable"), gettext("Currency"), gettext("Amount"),
        gettext("Balance"), gettext("Entry"),
    ]  # fmt: skip
    rows = (
        [one.at, gettext(KINDS.get(one.kind, one.kind)), one.ref, found.currency, plain(one.minor, found.currency),
         plain(one.balance_minor, found.currency), one.entry_id]
        for one in found.movements
    )  # fmt: skip
    return csv_file(f"statement-{found.currency}-{found.first}-{found.last}", headers, rows)

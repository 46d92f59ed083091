"""The pieces of a lot's page: the form's values, what a bid would bring, the split, the bars, the timeline."""

import re
from dataclasses import dataclass
from typing import Any

from flask import request
from flask_babel import gettext

from marketplace.kernel.errors import InvalidInput
from marketplace.kernel.money import bps_of, exponent
from marketplace.kernel.words import N_
from marketplace.rating.queries import ReceivableRating
from marketplace.receivables.queries import Receivable
from marketplace.reports.market import History
from marketplace.trading import queries, rules
from marketplace.trading.queries import Lot
from marketplace.web.format import day
from marketplace.web.forms import minor_of

CHART_MIN = 5
POINTS = re.compile(r"([0-9]{1,2},[0-9]{3}|[0-9]{1,5}) *(?:bp)?")  # 7,1 is no number here: it was meant as 7.1 %
PERCENT = re.compile(r"([0-9]{1,3})(?:\.([0-9]{0,2}))? *%")


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


def rate_of(text: str) -> int:
    """Return basis points of a rate typed in whole basis points (710) or in per cent (7.10%).

    Raises: InvalidInput.
    """
    if points := POINTS.fullmatch(text.strip()):
        return int(points.group(1).replace(",", ""))
    if percent := PERCENT.fullmatch(text.strip()):
        return int(percent.group(1)) * 100 + int((percent.group(2) or "").ljust(2, "0"))
    raise InvalidInput.about(
        "rate_bps",
        "invalid_fields",
        N_("Enter a rate in whole basis points, like 710, or in per cent, like 7.10%."),
        rule="rate",
    )


def entry_of(found: Lot, standing: queries.Bid | None) -> Entry:
    """Return what the fields show: what was just sent, what the address says, the standing bid, or a first guess."""
    given = request.form if request.method == "POST" else request.args
    rate, cash = given.get("rate"), given.get("cash")
    if standing is not None and request.method == "GET" and "new" not in request.args:
        rate = rate or str(standing.rate_bps)
        cash = cash or field_text(standing.cash_minor, found.currency)
    rate = rate if rate is not None else str(found.indicative_bps)
    guess = max(found.target_minor // 4 // found.lot_size_minor * found.lot_size_minor, found.minimum_minor)
    cash = cash if cash is not None else field_text(guess, found.currency)
    least = given.get(
        "least", field_text(standing.min_fill_minor, found.currency) if standing and standing.min_fill_minor else ""
    )
    replaces = given.get("replaces", str(standing.id) if standing and "new" not in request.args else "")
    try:
        rate_bps: int | None = rate_of(rate)
    except InvalidInput:
        rate_bps = None
    try:
        cash_minor: int | None = minor_of(cash, found.currency)
    except InvalidInput:
        cash_minor = None
    return Entry(rate, cash, least, given.get("earn", ""), rate_bps, cash_minor, replaces)


def field_text(minor: int, currency: str) -> str:
    """Return an amount as it stands in a field: 10,000 or 10,000.50."""
    digits = exponent(currency)
    whole, rest = divmod(minor, 10**digits)
    return f"{whole:,}" + (f".{rest:0{digits}d}" if rest else "")


def returns_of(found: Lot, entry: Entry) -> list[Return]:
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


def rate_to_earn(found: Lot, entry: Entry) -> int | None:
    """Return the lowest rate that earns the money asked for on the cash in the field."""
    if not entry.earn:
        return None
    try:
        wanted = minor_of(entry.earn, found.currency)
    except InvalidInput:
        return None
    return rules.rate_for(entry.cash_minor or 0, wanted, found.tenor_days)


def split_of(found: Lot, cash_minor: int, rate_bps: int) -> list[tuple[str, int, str]]:
    """Return where the debtor's money goes, in the order of the waterfall; the parts sum to the face."""
    left = found.face_minor - cash_minor
    discount = min(rules.discount_minor(cash_minor, rate_bps, found.tenor_days), left)
    fee = min(bps_of(found.face_minor, found.fee_bps), left - discount)
    return [
        (gettext("Investors’ cash"), cash_minor, found.currency),
        (gettext("Discount"), discount, found.currency),
        (gettext("Platform fee"), fee, found.currency),
        (gettext("Back to the seller"), left - discount - fee, found.currency),
    ]


def weights_of(rating: ReceivableRating | None) -> list[dict[str, Any]]:
    """Return the debtor's reasons as bars around a middle line at 50 %: safer to the left, riskier to the right."""
    reasons_ = rating.debtor.reasons if rating else ()
    most = max((abs(reason.weight_ppm) for reason in reasons_), default=0)
    rows = []
    for reason in reasons_:
        width = max(abs(reason.weight_ppm) * 48 // most, 1)
        safer = reason.weight_ppm < 0
        rows.append({"reason": reason, "safer": safer, "x": 50 - width if safer else 50, "width": width})
    return rows


def bars_of(history: list[History]) -> dict[str, Any] | None:
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


def timeline_of(found: Lot, receivable: Receivable) -> list[tuple[str, Any, str]]:
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
        "held": gettext("Accepted; two operators look at its title before money leaves"),
        "refused": gettext("Refused by the seller; all holds were freed"),
        "settled": gettext("Accepted and funded"),
        "cancelled": gettext("Something spoke against its title; not sold, all holds were freed")
        if found.state_reason == "title_check"
        else gettext("Cancelled; all holds were freed"),
    }
    items.append((ends[found.state], found.decided_at or found.closed_at, "here"))
    if found.state in ("accepted", "held", "settled"):
        items.append((gettext("The debtor is expected to pay"), day(found.expected_on), "next"))
    return items


def times(part: int, whole: int) -> str:
    """Return a cover such as 1.31, rounded down."""
    return f"{part // whole}.{part * 100 // whole % 100:02d}"

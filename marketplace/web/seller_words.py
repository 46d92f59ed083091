"""What each invoice waits for, and its life as a line of instants: from facts to words for the seller."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from flask_babel import gettext
from markupsafe import Markup, escape

from marketplace.receivables.queries import Receivable
from marketplace.reports.seller import InvoicePage
from marketplace.servicing.queries import Collection, Receipt
from marketplace.servicing.waterfall import Step as Rank
from marketplace.trading.queries import Lot
from marketplace.web.format import clock, day, moment, money

Line = tuple[Any, Any, str]


@dataclass(frozen=True)
class Step:
    """What is waited for, by whom, and whether it is the seller's turn."""

    words: str
    yours: bool = False


def next_step(found: Receivable, lot: Lot | None) -> Step:
    """Return what an invoice waits for."""
    if lot is not None and lot.state == "awaiting_seller" and lot.decide_by:
        return Step(gettext("Your decision, until %(time)s", time=clock(lot.decide_by)), True)
    if lot is not None and lot.state == "accepted":
        return Step(gettext("The money, within minutes"))
    if lot is not None and lot.state == "held":
        return Step(gettext("Two operators’ look at its title"))
    if lot is not None and lot.state == "open":
        return Step(gettext("Bids, until %(day)s, %(time)s", day=day(lot.closes_at), time=clock(lot.closes_at)))
    words = {
        "held_for_review": gettext("An operator’s look"),
        "awaiting_confirmation": gettext("The debtor’s answer"),
        "confirmed": gettext("The rating"),
        "rated": gettext("The opening of its auction"),
        "on_auction": gettext("Bids"),
        "awarded": gettext("The settlement"),
        "funded": gettext("The debtor’s payment, about %(day)s", day=day(found.expected_on)),
    }
    return Step(words.get(found.state, gettext("Nothing")))


def timeline_of(page: InvoicePage) -> list[Line]:
    """Return the invoice's life: what happened, what is now, what comes next."""
    found = page.receivable
    lines: list[Line] = [(gettext("You listed it"), found.listed_at, "")]
    lines += _asked(page)
    lines += _sold(page)
    lines += _paid(page)
    if found.closed_at:
        lines.append((_end_words(found.state, found.state_reason), found.closed_at, ""))
        return lines
    ahead = _ahead(page)
    if ahead:
        first, *rest = ahead
        lines.append((Markup("<strong>{}</strong>").format(first[0]), first[1], "here"))
        lines += [(words, when, "next") for words, when in rest]
    return lines


def _asked(page: InvoicePage) -> list[Line]:
    lines: list[Line] = []
    for letter in reversed(page.letters):
        if letter.kind == "confirm":
            lines.append((gettext("The debtor was sent a link"), letter.queued_at, ""))
    for one in page.confirmations:
        by_debtor = one.given_by == "debtor"
        told = gettext("The debtor confirmed") if by_debtor else gettext("Two operators accepted evidence")
        lines.append((told, one.at, ""))
    if page.rating is not None:
        lines.append((gettext("Rated"), page.rating.rated_at, ""))
    return sorted(lines, key=lambda line: line[1])


def _sold(page: InvoicePage) -> list[Line]:
    lines: list[Line] = []
    lot = page.lot
    if lot is not None:
        lines.append((gettext("The auction opened"), lot.opened_at, ""))
        if lot.closed_at:
            lines.append((gettext("The auction closed"), lot.closed_at, ""))
        if lot.decided_at:
            words = gettext("Refused") if lot.state == "refused" else gettext("Accepted")
            lines.append((words, lot.decided_at, ""))
    if page.collection is not None:
        lines.append((gettext("Funded"), page.collection.opened_at, ""))
    for one in page.notices:
        lines.append((gettext("Notice of assignment issued"), one.issued_at, ""))
        if one.acknowledged_at:
            lines.append((gettext("The debtor acknowledged it"), one.acknowledged_at, ""))
    return lines


def _paid(page: InvoicePage) -> list[Line]:
    currency = page.receivable.currency
    return [(Markup("{} {}").format(money(one.received_minor, currency), escape(gettext("received from the debtor"))),
             one.distributed_at, "") for one in page.receipts]  # fmt: skip


def _ahead(page: InvoicePage) -> list[tuple[str, datetime | str]]:
    """Return what is still to come from the present state, the present step first."""
    found, lot = page.receivable, page.lot
    coming: list[tuple[str, datetime | str]] = [
        (gettext("An operator’s look"), gettext("usually two hours")),
        (gettext("The debtor confirms"), gettext("usually a day")),
        (gettext("Both sides are rated"), gettext("within minutes")),
        (gettext("The auction"), lot.closes_at if lot and lot.state == "open" else gettext("a day")),
        (gettext("You decide"), lot.decide_by if lot and lot.decide_by else gettext("two hours")),
        (gettext("The money in your bank"), gettext("within minutes")),
        (gettext("The debtor pays"), gettext("about %(day)s", day=day(found.expected_on))),
    ]
    at = {"held_for_review": 0, "awaiting_confirmation": 1, "confirmed": 2, "rated": 3, "on_auction": 3, "awarded": 5,
          "funded": 6}.get(found.state)  # fmt: skip
    if at is None:
        return []
    if lot is not None and lot.state == "awaiting_seller":
        at = 4
    return coming[at:]


def _end_words(state: str, reason: str | None) -> str:
    if (state, reason) == ("withdrawn", "credit_note"):
        return str(gettext("A credit note ended the listing"))
    words: dict[str, str] = {
        "discharged": gettext("Paid in full"),
        "bought_back": gettext("You bought it back"),
        "written_off": gettext("Written off"),
        "withdrawn": gettext("You withdrew it"),
        "rejected": gettext("Refused by the operators"),
        "expired": gettext("It lapsed: too few days were left to sell it"),
    }
    return words.get(state, str(state))


def confirmed_words(page: InvoicePage) -> Markup:
    """Return where the debtor's confirmation stands."""
    found = page.receivable
    if found.confirmed_at and found.confirmed_by == "operators":
        return Markup("{} {}").format(gettext("Two operators accepted other evidence,"), moment(found.confirmed_at))
    if found.confirmed_at:
        return Markup("{} {}").format(gettext("Confirmed"), moment(found.confirmed_at))
    sent = [letter for letter in page.letters if letter.kind == "confirm"]
    if sent:
        return Markup("{} {}").format(gettext("Asked, no answer yet; sent"), moment(sent[0].queued_at))
    return escape(gettext("Not asked yet"))


def notice_words(page: InvoicePage) -> Markup:
    """Return where the notice of assignment stands."""
    if not page.notices:
        return Markup("–")
    last = page.notices[-1]
    if last.acknowledged_at:
        return Markup("{} {}").format(gettext("Acknowledged"), moment(last.acknowledged_at))
    if last.sent_at:
        return Markup("{} {}").format(gettext("Delivered, not acknowledged; opened"), moment(last.sent_at))
    return Markup("{} {}").format(gettext("Issued, not yet opened;"), moment(last.issued_at))


@dataclass(frozen=True)
class Rung:
    """One step of the waterfall, all parties together."""

    words: str
    due: int
    paid: int


def steps_of(collection: Collection | None) -> list[Rung]:
    """Return the waterfall's steps that have something due, in their order."""
    words = {
        Rank.COSTS: gettext("Recovery costs"),
        Rank.PRINCIPAL: gettext("Principal to the investors"),
        Rank.DISCOUNT: gettext("Discount to the investors"),
        Rank.LATE_CHARGE: gettext("Late charge"),
        Rank.PLATFORM_FEE: gettext("Platform fee"),
        Rank.RESIDUAL: gettext("Residual to you"),
    }
    dues = collection.dues if collection else ()
    rungs = [
        Rung(said, sum(d.due_minor for d in dues if d.step == step), sum(d.paid_minor for d in dues if d.step == step))
        for step, said in words.items()
    ]
    return [rung for rung in rungs if rung.due]


def sums_of(collection: Collection | None) -> dict[str, int]:
    """Return what the face is shared into."""
    dues = collection.dues if collection else ()

    def due(*steps: Rank) -> int:
        return sum(one.due_minor for one in dues if one.step in steps)

    return {"principal": due(Rank.PRINCIPAL), "discount": due(Rank.DISCOUNT, Rank.LATE_CHARGE),
            "fee": due(Rank.PLATFORM_FEE, Rank.COSTS), "residual": due(Rank.RESIDUAL)}  # fmt: skip


def share_of(receipt: Receipt, seller_id: UUID) -> int:
    """Return what the seller got of one receipt."""
    return sum(minor for _, party, minor in receipt.shares if party == seller_id)

"""All that a debtor owes, behind one link: the list, one answer for many, what became of it row by row."""

from collections.abc import Mapping
from datetime import date
from typing import Any
from uuid import UUID

from flask import Response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext

from marketplace.db import db
from marketplace.kernel.errors import InvalidInput, MarketplaceError, NotFound, RuleBroken
from marketplace.kernel.ids import new_id
from marketplace.kernel.words import N_
from marketplace.parties import queries as parties
from marketplace.perform import perform
from marketplace.receivables import actions, queries
from marketplace.receivables.debtor import links
from marketplace.receivables.debtor import queries as debtor_queries
from marketplace.receivables.debtor.schemas import ROWS_MAX, AnswerManySchema
from marketplace.reports import debts as reports
from marketplace.schemas import load
from marketplace.web.debtor_door import actor_of, blueprint, closed, open_link, today
from marketplace.web.downloads import csv_file, plain
from marketplace.web.format import month_name, translated
from marketplace.web.forms import reasons, say, status_of

AT_ONCE_SECONDS = 4.0
CSV_MAX = 10_000
SHOWN = {
    "open": N_("All open"),
    "confirm": N_("To confirm"),
    "acknowledge": N_("To acknowledge"),
    "pay": N_("To pay"),
    "disputed": N_("Disputed"),
    "waiting": N_("Nothing asked"),
    "ended": N_("Ended"),
}
ASKED = {
    "confirm": ("info", N_("Say whether it is right")),
    "acknowledge": ("warn", N_("Acknowledge the notice")),
    "pay": ("live", N_("Pay when due")),
    "disputed": ("hold", N_("You dispute it")),
    "waiting": ("wait", N_("Nothing now")),
    "ended": ("good", N_("Nothing: it has ended")),
}
ANSWERS = {"confirm": "confirm", "acknowledge": "acknowledge", "pay": "promise"}
CAME_TO = {
    "confirmed": ("good", N_("Confirmed")),
    "held_for_review": ("hold", N_("Held: somebody else gave notice")),
    "already": ("good", N_("Confirmed before")),
    "acknowledged": ("good", N_("Acknowledged")),
    "promised": ("good", N_("Day noted")),
}


def wanted(given: Mapping[str, str]) -> reports.Wanted:
    """Return what an address asks for; what it says wrongly is left out, never an error."""
    page, month, seller = given.get("page", ""), given.get("month", ""), given.get("seller", "")
    return reports.Wanted(
        what=given.get("what", "open"),
        q=given.get("q", "").replace("\x00", "").strip()[:80],
        seller_id=seller if len(seller) == 36 else "",
        currency=given.get("currency", "")[:3] if given.get("currency", "").isalpha() else "",
        month=month if len(month) == 7 and month.replace("-", "").isdigit() else "",
        sort=given.get("sort", "due"),
        page=int(page) if page.isascii() and page.isdigit() and len(page) < 6 else 1,
    )


def page_of_all(
    token: str, link: links.Link, given: Mapping[str, Any] | None = None, error: MarketplaceError | None = None
) -> str:
    """Return the page of all that the debtor of a link owes."""
    debtor_id = _debtor(link)
    asked = wanted(request.form if error else request.args)
    found = reports.debts(db.session(), debtor_id, asked)
    return render_template(
        "debtor/debts.html", token=token, link=link, debtor=parties.organisation(db.session(), debtor_id),
        found=found, asked=asked, shown=[(key, gettext(words)) for key, words in SHOWN.items()],
        asked_words={key: (css, gettext(words)) for key, (css, words) in ASKED.items()},
        answer=ANSWERS.get(asked.what), key=(given or {}).get("key") or new_id(), given=given or {}, error=error,
        ticked=set((given or {}).get("r", ())), problems=reasons(error) if error else (), today=today(),
        months=_calendar(found), batches=debtor_queries.batches_of(db.session(), debtor_id, 5),
        answer_words=answer_words(), currency_choices=[("", gettext("All")), *((c, c) for c in found.currencies)],
    )  # fmt: skip


def answer_words() -> dict[str, str]:
    """Return the kinds of answers in words."""
    return {"confirm": gettext("Confirmed many"), "acknowledge": gettext("Acknowledged many"),
            "promise": gettext("Noted a day for many")}  # fmt: skip


def _debtor(link: links.Link) -> UUID:
    links.require_purpose(link, links.DEBTS)
    if link.debtor_id is None:
        raise queries.missing()
    return link.debtor_id


def _calendar(found: reports.Debts) -> list[dict[str, Any]]:
    """Return the months with what falls due in each, per currency, and how long its bar is (0 … 100)."""
    most: dict[str, int] = {}
    for _, code, minor, _ in found.months:
        most[code] = max(most.get(code, 0), minor)
    return [{"month": month, "name": month_name(date(int(month[:4]), int(month[5:]), 1)), "currency": code,
             "minor": minor, "count": count, "width": max(2, minor * 100 // most[code])}
            for month, code, minor, count in found.months]  # fmt: skip


@blueprint.get("/<token>/owed.csv")
def owed_csv(token: str) -> ResponseReturnValue | Response:
    """Download the list as the filter has it."""
    try:
        link = open_link(token)
        found = reports.debts(db.session(), _debtor(link), wanted(request.args), limit=CSV_MAX)
    except (NotFound, RuleBroken) as error:
        return closed(error, token)
    headers = [gettext("Reference"), gettext("Invoice"), gettext("Seller"), gettext("Issued"), gettext("Due"),
               gettext("Currency"), gettext("Amount"), gettext("Credited"), gettext("Still owed"),
               gettext("Disputed"), gettext("You will pay on"), gettext("What is asked")]  # fmt: skip
    rows = ([one.ref, one.number, one.seller_name, one.issued_on, one.due_on, one.currency,
             plain(one.face_minor, one.currency), plain(one.credited_minor, one.currency),
             plain(one.owed_minor, one.currency), plain(one.disputed_minor, one.currency), one.promised_on,
             gettext(ASKED[one.asked][1])] for one in found.lines)  # fmt: skip
    return csv_file("owed", headers, rows)


@blueprint.post("/<token>/answers")
def answer_many(token: str) -> ResponseReturnValue:
    """Take one answer for the ticked invoices, or for all of the filter, and go to what became of it."""
    try:
        link = open_link(token)
        debtor_id = _debtor(link)
    except (NotFound, RuleBroken) as error:
        return closed(error, token)
    given: dict[str, Any] = request.form.to_dict() | {"r": request.form.getlist("r")}
    try:
        made = perform(actions.answer_many, _command(token, debtor_id, given), actor_of(link, debtor_id),
                       idempotency_key=_key(given))  # fmt: skip
    except MarketplaceError as error:
        if error.code in ("unknown_link", "link_expired"):
            return closed(error, token)
        return page_of_all(token, open_link(token), given, error), status_of(error)
    batch_id = UUID(made["batch_id"])
    actions.work_batch(batch_id, AT_ONCE_SECONDS)
    db.session.rollback()
    say(gettext("Your answer is recorded. Each invoice is told of below."))
    return redirect(url_for("debtor.answers", token=token, batch_id=batch_id), 303)


def _key(given: Mapping[str, Any]) -> str:
    """Return the key that the page was made with: sent twice, an answer is taken once."""
    try:
        return str(UUID(str(given.get("key", ""))))
    except ValueError as error:
        raise InvalidInput.about(
            "", "invalid_fields", N_("The page was incomplete. Load it anew."), rule="form"
        ) from error


def _command(token: str, debtor_id: UUID, given: Mapping[str, Any]) -> Any:
    asked = wanted({name: str(value) for name, value in given.items()})
    wanted_ids: list[Any] = list(given["r"])
    if given.get("every") == "1":
        wanted_ids = reports.ids(db.session(), debtor_id, asked, asked.what, ROWS_MAX)
    days = {name[4:]: value for name, value in given.items()
            if name.startswith("day-") and str(value).strip() and name[4:] in set(map(str, wanted_ids))}  # fmt: skip
    values = {name: value for name, value in given.items() if isinstance(value, str)}
    return load(AnswerManySchema, values | {"answer": ANSWERS.get(asked.what, ""), "days": days},
                token=token, receivable_ids=[str(one) for one in wanted_ids])  # fmt: skip


@blueprint.get("/<token>/answers/<uuid:batch_id>")
def answers(token: str, batch_id: UUID) -> ResponseReturnValue:
    """What became of one answer for many, row by row; while rows wait the page looks again by itself."""
    try:
        link, progress = _batch(token, batch_id)
    except (NotFound, RuleBroken) as error:
        return closed(error, token)
    given = request.args.get("page", "")
    page = int(given) if given.isascii() and given.isdigit() and len(given) < 6 else 1
    pages = max(1, -(-progress.rows // reports.PAGE))
    body = render_template(
        "debtor/answers.html", token=token, link=link, progress=progress, page=min(max(page, 1), pages), pages=pages,
        debtor=parties.organisation(db.session(), progress.batch.debtor_id), answer_words=answer_words(),
        lines=reports.answered(db.session(), batch_id, min(max(page, 1), pages)), came_to=came_to,
    )  # fmt: skip
    return body, 200, {"Refresh": "3"} if progress.waiting else {}


def _batch(token: str, batch_id: UUID) -> tuple[links.Link, debtor_queries.Progress]:
    link = open_link(token)
    progress = debtor_queries.progress(db.session(), batch_id)
    if progress.batch.debtor_id != _debtor(link):
        raise queries.missing()
    return link, progress


def came_to(line: reports.Answered) -> tuple[str, str]:
    """Return what a row came to: its look, and words; a refused one says why."""
    if line.state == "waiting":
        return "wait", gettext("Waits its turn")
    if line.state == "refused":
        return "bad", translated(line.words or "", {}) if line.words else gettext("Not taken")
    css, words = CAME_TO.get(line.code or "", ("good", N_("Taken")))
    return css, gettext(words)


@blueprint.get("/<token>/answers/<uuid:batch_id>/rows.csv")
def answers_csv(token: str, batch_id: UUID) -> ResponseReturnValue | Response:
    """Download what became of every row."""
    try:
        _batch(token, batch_id)
    except (NotFound, RuleBroken) as error:
        return closed(error, token)
    headers = [gettext("Reference"), gettext("Invoice"), gettext("Seller"), gettext("Currency"), gettext("Amount"),
               gettext("You will pay on"), gettext("What became of it"), gettext("At")]  # fmt: skip
    lines = reports.answered(db.session(), batch_id, 1, CSV_MAX)
    rows = ([one.ref, one.number, one.seller_name, one.currency, plain(one.face_minor, one.currency), one.pay_on,
             came_to(one)[1], one.done_at] for one in lines)  # fmt: skip
    return csv_file("answers", headers, rows)

"""The seller's invoices: the list, one invoice's life, and what the seller may do with it."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from flask import Response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext
from sqlalchemy.orm import Session

from marketplace.db import db, market_now
from marketplace.kernel.errors import InvalidInput, MarketplaceError
from marketplace.kernel.words import N_
from marketplace.parties.rules import require_own
from marketplace.perform import perform
from marketplace.receivables import actions, queries
from marketplace.receivables.debtor import notice
from marketplace.receivables.schemas import DISPUTE_REASONS, IssueDebtorLink, UploadDocument, WithdrawSchema
from marketplace.receivables.walls.considering import can_come_back
from marketplace.reports import seller as reports
from marketplace.schemas import load
from marketplace.trading import actions as trading
from marketplace.trading import queries as lots
from marketplace.trading.rules import least_award_minor
from marketplace.trading.running import shown
from marketplace.trading.schemas import AcceptAward, RefuseAward
from marketplace.web import seller_words as words
from marketplace.web.downloads import csv_file, plain
from marketplace.web.forms import minor_of, reasons, say, status_of
from marketplace.web.navigation import count_with
from marketplace.web.seller_door import blueprint, for_sellers, policy, seller, today
from marketplace.web.session import signed_in_person

GROUPS = {
    "all": (N_("All"), None),
    "now": (N_("Waiting"), ("held_for_review", "awaiting_confirmation", "confirmed", "rated")),
    "auction": (N_("On auction"), ("on_auction", "awarded")),
    "funded": (N_("Funded"), ("funded",)),
    "ended": (N_("Ended"), ("discharged", "bought_back", "written_off", "withdrawn", "rejected", "expired")),
}


ORDERS: dict[str, Callable[[reports.InvoiceLine], Any]] = {
    "ref": lambda line: line.receivable.ref,
    "debtor": lambda line: line.debtor.legal_name.casefold(),
    "face": lambda line: (line.receivable.currency, line.receivable.face_minor),
    "due": lambda line: line.receivable.due_on,
    "late": lambda line: line.past_due_days,
    "state": lambda line: line.machine[1],
}


def _decisions(session: Session) -> int:
    person = signed_in_person()
    if person is None or person.organisation_id is None:
        return 0
    return reports.waiting_decisions(session, person.organisation_id, market_now(session))


count_with("seller.invoices", _decisions)


@blueprint.get("/")
@for_sellers
def invoices() -> ResponseReturnValue:
    """All invoices of the seller: state, what each waits for, and the sums."""
    _, seller_id = seller()
    home = reports.home(db.session(), seller_id, today())
    return render_template("seller/invoices.html", home=home, lines=_chosen(home.lines), groups=GROUPS,
                           group=request.args.get("show", "all"), wanted=request.args.get("q", ""),
                           next_step=words.next_step, drafts=queries.drafts(db.session(), seller_id, 5),
                           principal_of=lambda line: reports.principal_due(line.collection))  # fmt: skip


def _chosen(lines: list[reports.InvoiceLine]) -> list[reports.InvoiceLine]:
    """Return the lines that the address asks for, in the order it asks for."""
    states = GROUPS.get(request.args.get("show", "all"), GROUPS["all"])[1]
    wanted = request.args.get("q", "").strip().casefold()
    found = [line for line in lines if states is None or line.receivable.state in states]
    if wanted:
        found = [line for line in found if any(wanted in text.casefold() for text in (
            line.receivable.ref, line.receivable.number, line.debtor.legal_name))]  # fmt: skip
    sort = request.args.get("sort", "")
    order = ORDERS.get(sort.lstrip("-"))
    return sorted(found, key=order, reverse=sort.startswith("-")) if order else found


@blueprint.get("/invoices.csv")
@for_sellers
def invoices_csv() -> ResponseReturnValue:
    """The same list as a file."""
    _, seller_id = seller()
    headers = ["ref", "invoice", "debtor", "currency", "face", "sold", "residual_to_come", "issued_on", "due_on",
               "expected_on", "days_past_due", "state"]  # fmt: skip
    rows = [
        (r.ref, r.number, line.debtor.legal_name, r.currency, plain(r.face_minor, r.currency),
         plain(reports.principal_due(line.collection) if line.collection else None, r.currency),
         plain(line.residual_minor if line.collection else None, r.currency), r.issued_on, r.due_on, r.expected_on,
         line.past_due_days, line.machine[1])
        for line in _chosen(reports.home(db.session(), seller_id, today()).lines)
        for r in (line.receivable,)
    ]  # fmt: skip
    return csv_file("invoices", headers, rows)


@blueprint.get("/invoices/<uuid:receivable_id>")
@for_sellers
def receivable(receivable_id: UUID) -> ResponseReturnValue:
    """One invoice: where it stands, what comes next, what it brings."""
    return _page(receivable_id)


def _page(receivable_id: UUID, error: MarketplaceError | None = None, wanted: str = "") -> str:
    actor, _ = seller()
    require_own(actor, queries.receivable(db.session(), receivable_id).seller_id)
    page = reports.invoice(db.session(), receivable_id, today(), policy())
    found = page.receivable
    return render_template(
        "seller/receivable.html", page=page, error=error, problems=reasons(error) if error else (), wanted=wanted,
        timeline_lines=words.timeline_of(page), confirmed_words=words.confirmed_words(page),
        notice_words=words.notice_words(page), steps=words.steps_of(page.collection),
        sums=words.sums_of(page.collection), to_you=lambda one: words.share_of(one, found.seller_id),
        shown_bps=next(iter(shown(db.session(), [page.lot.id] if page.lot else []).values()), None),
        lowest=least_award_minor(page.lot.target_minor, page.lot.min_share_bps) if page.lot else 0,
        whole_only=page.lot.session_id is not None if page.lot else False,
        returns=can_come_back(db.session(), found), given=request.form if error else {}, policy=policy(),
        dispute_reasons=DISPUTE_REASONS, phrase=notice.phrase_of(found.seller_id, found.debtor_id),
    )  # fmt: skip


def _once() -> str | None:
    """Return the form's own key: a form that is sent twice does what it does once, and answers the same."""
    return request.form.get("once") or None


def _back(receivable_id: UUID) -> ResponseReturnValue:
    return redirect(url_for("seller.receivable", receivable_id=receivable_id), 303)


@blueprint.post("/invoices/<uuid:receivable_id>/withdraw")
@for_sellers
def withdraw_receivable(receivable_id: UUID) -> ResponseReturnValue:
    """Take an invoice back before its auction."""
    actor, _ = seller()
    try:
        command = load(WithdrawSchema, request.form, receivable_id=str(receivable_id))
        perform(actions.withdraw_receivable, command, actor)
    except MarketplaceError as error:
        return refused(receivable_id, error)
    say(gettext("Withdrawn. It stays on record under its reference: you may bring it back, not list it anew."), "info")
    return _back(receivable_id)


def refused(receivable_id: UUID, error: MarketplaceError, wanted: str = "") -> ResponseReturnValue:
    """Show the invoice again with what was wrong.

    Raises: the error itself, where it is not the seller's to see.
    """
    db.session.rollback()
    if status_of(error) in (403, 404):
        raise error
    return _page(receivable_id, error, wanted), status_of(error)


@blueprint.post("/invoices/<uuid:receivable_id>/ask-again")
@for_sellers
def issue_debtor_link(receivable_id: UUID) -> ResponseReturnValue:
    """Send the debtor a new link; the seller never sees it."""
    actor, _ = seller()
    try:
        perform(actions.issue_debtor_link, IssueDebtorLink(receivable_id), actor)
    except MarketplaceError as error:
        return refused(receivable_id, error)
    say(gettext("The debtor is sent a new link. The earlier one no longer works."))
    return _back(receivable_id)


@blueprint.post("/invoices/<uuid:receivable_id>/documents")
@for_sellers
def upload_document(receivable_id: UUID) -> ResponseReturnValue:
    """File a supporting PDF with the invoice."""
    actor, _ = seller()
    chosen = request.files.get("document")
    try:
        if chosen is None or not chosen.filename:
            raise InvalidInput.about("document", "no_file", N_("Choose a PDF file first."))
        command = UploadDocument(receivable_id, chosen.filename, chosen.stream.read())
        perform(actions.upload_document, command, actor)
    except MarketplaceError as error:
        return refused(receivable_id, error)
    say(gettext("The document is filed with the invoice."))
    return _back(receivable_id)


@blueprint.post("/lots/<uuid:lot_id>/accept")
@for_sellers
def accept_award(lot_id: UUID) -> ResponseReturnValue:
    """Take the award, or a smaller amount of it."""
    actor, _ = seller()
    lot = lots.lot(db.session(), lot_id)
    require_own(actor, lot.seller_id)
    wanted = request.form.get("accepted_minor")  # of the form for less: left empty it never means the whole
    try:
        amount = minor_of(wanted, lot.currency, "accepted_minor") if wanted is not None else None
        perform(trading.accept_award, AcceptAward(lot_id, amount), actor, idempotency_key=_once())
    except MarketplaceError as error:
        return refused(lot.receivable_id, error, wanted or "")
    say(gettext("Accepted. The money is being moved; it is then sent to your bank."))
    return _back(lot.receivable_id)


@blueprint.post("/lots/<uuid:lot_id>/refuse")
@for_sellers
def refuse_award(lot_id: UUID) -> ResponseReturnValue:
    """Leave the award; nothing is sold."""
    actor, _ = seller()
    lot = lots.lot(db.session(), lot_id)
    require_own(actor, lot.seller_id)
    try:
        perform(trading.refuse_award, RefuseAward(lot_id), actor, idempotency_key=_once())
    except MarketplaceError as error:
        return refused(lot.receivable_id, error)
    say(gettext("Refused. Nothing was sold, and the investors’ money is free again."), "info")
    return _back(lot.receivable_id)


@blueprint.get("/documents/<uuid:document_id>")
@for_sellers
def document(document_id: UUID) -> ResponseReturnValue:
    """Give a document of the seller's own back, to be saved: nothing that was sent in is shown inside the site."""
    actor, _ = seller()
    found = queries.document(db.session(), document_id)
    require_own(actor, found.organisation_id)
    return attachment(found, queries.content(db.session(), document_id))


def attachment(found: queries.Document, content: bytes) -> Response:
    """Return a stored file as a download under a name of plain letters."""
    plain = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in found.filename)
    name = plain.encode("ascii", "ignore").decode() or "document"
    kind = found.media_type if found.media_type == "application/pdf" else "application/octet-stream"
    return Response(content, mimetype=kind, headers={"Content-Disposition": f'attachment; filename="{name}"'})

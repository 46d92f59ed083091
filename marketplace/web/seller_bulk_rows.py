"""One bulk upload: how far it is, its rows and what each needs, corrections, and the listing of what is ready."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any
from uuid import UUID

from flask import Response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext, ngettext

from marketplace.db import db, market_now
from marketplace.kernel.errors import InvalidInput, MarketplaceError, Problem
from marketplace.kernel.money import EXPONENTS
from marketplace.kernel.words import N_
from marketplace.perform import perform
from marketplace.receivables.bulk import actions as verbs
from marketplace.receivables.bulk import queries as bulk_queries
from marketplace.receivables.bulk.csv_reading import (
    AMOUNTS,
    COLUMNS,
    DATES,
    FIELDS,
    FILE,
    ROW,
    decimal_of,
    parse_cells,
    read_sheet,
)
from marketplace.receivables.bulk.queries import Row, Upload
from marketplace.receivables.bulk.schemas import PIECE_BYTES, CorrectBulkRows, Correction, ListBulkRows, OfBulkUpload
from marketplace.receivables.bulk.states import RowState, UploadState
from marketplace.web.downloads import csv_file, plain
from marketplace.web.forms import joined, reasons, say, status_of
from marketplace.web.seller_bulk import own, terms_of
from marketplace.web.seller_door import blueprint, for_sellers, policy
from marketplace.web.states import look_of

PAGE = 50
GROUPS: dict[str, tuple[str, tuple[RowState, ...]]] = {
    "all": (N_("All"), ()),
    "open": (N_("Need something"), (RowState.NEEDS, RowState.FAILED)),
    "ready": (N_("Ready"), (RowState.READY, RowState.ASKED)),
    "listed": (N_("Listed"), (RowState.LISTED,)),
    "held": (N_("Held for review"), (RowState.HELD,)),
    "known": (N_("Listed already"), (RowState.KNOWN,)),
    "refused": (N_("Refused"), (RowState.REFUSED, RowState.LEFT)),
    "unread": (N_("Not read yet"), (RowState.UNREAD,)),
}
FIELD_LABELS = {
    "number": N_("Invoice number"), "document_type": N_("Document type"), "currency": N_("Currency"),
    "issued_on": N_("Invoice date"), "due_on": N_("Due date"), "face_minor": N_("Amount due"),
    "total_minor": N_("Total"), "net_minor": N_("Net amount"), "vat_minor": N_("VAT"), "debtor_name": N_("Debtor"),
    "debtor_legal_id": N_("Debtor’s company number"), "debtor_vat_id": N_("Debtor’s VAT number"),
    "debtor_country": N_("Debtor’s country"), "debtor_email": N_("Accounts payable e-mail"),
    "purchase_order": N_("Purchase order number"), "iban": N_("Paid to (IBAN)"),
}  # fmt: skip


@blueprint.get("/bulk/<uuid:bulk_id>")
@for_sellers
def bulk(bulk_id: UUID) -> ResponseReturnValue:
    """Where an upload stands, row by row."""
    _, upload = own(bulk_id)
    return _page(upload)


def _page(
    upload: Upload, error: MarketplaceError | None = None, position: int | None = None,
    taken: Sequence[tuple[int, Sequence[Problem]]] = (),
) -> str:  # fmt: skip
    """Return the page of an upload; an error of one row stands in that row. Four statements, however many rows."""
    session = db.session()
    show, words = request.args.get("show", "all"), request.args.get("q", "").strip()[:100]
    states = GROUPS.get(show, GROUPS["all"])[1]
    total = bulk_queries.count_rows(session, upload.id, states, words) if words or states else upload.rows
    pages = max(1, -(-total // PAGE))
    page = min(max(request.args.get("page", 1, type=int), 1), pages)
    rows = bulk_queries.rows(session, upload.id, states, words, PAGE, (page - 1) * PAGE)
    problems = reasons(error) if error else ()
    return render_template(
        "seller/bulk_upload.html", upload=upload, rows=rows, groups=groups_of(upload), group=show, wanted=words,
        page=page, pages=pages, total=total, error=error if position is None else None, wrong_row=position,
        problems=problems, missing=_missing(upload), given=request.form, taken=taken, market=policy(),
        piece_bytes=PIECE_BYTES, fields_of=fields_of, known_currencies=EXPONENTS, **_progress(upload),
    )  # fmt: skip


def groups_of(upload: Upload) -> list[tuple[str, str, int]]:
    """Return what the rows can be narrowed to, with how many there are; empty groups are left out."""
    counted = [(key, label, sum(upload.counts.get(state, 0) for state in states) if states else upload.rows)
               for key, (label, states) in GROUPS.items()]  # fmt: skip
    return [one for one in counted if one[2] or one[0] == "all"]


def _missing(upload: Upload) -> int:
    return len(bulk_queries.missing_pieces(db.session(), upload.id)) if upload.state == UploadState.RECEIVING else 0


def _progress(upload: Upload) -> dict[str, Any]:
    left = upload.seconds_left(market_now(db.session()))
    return {"done": upload.rows - upload.to_do, "left_words": _left_words(left)}


def _left_words(seconds: int | None) -> str:
    if seconds is None:
        return ""
    if seconds < 90:
        words = ngettext("About %(num)s second left.", "About %(num)s seconds left.", -(-seconds // 5) * 5)
    else:
        words = ngettext("About %(num)s minute left.", "About %(num)s minutes left.", -(-seconds // 60))
    return str(words)


@blueprint.get("/bulk/<uuid:bulk_id>/progress")
@for_sellers
def bulk_progress(bulk_id: UUID) -> ResponseReturnValue:
    """How far it is, as a part of the page: a script puts it in place of the old one."""
    _, upload = own(bulk_id)
    return render_template("seller/_bulk_progress.html", upload=upload, **_progress(upload))


def fields_of(row: Row) -> list[dict[str, Any]]:
    """Return the fields that a row asks for: column, label, what it holds now, how it is typed."""
    found = []
    for name in dict.fromkeys(problem.field for problem in row.problems if problem.field in FIELDS):
        value = {**row.given, **row.corrections}.get(name)
        column = FIELDS[name]
        shown = decimal_of(value, row.currency) if column in AMOUNTS else value
        found.append({"name": column, "label": gettext(FIELD_LABELS[name]), "value": shown or "", "field": name,
                      "type": "date" if column in DATES else "text", "amount": column in AMOUNTS})  # fmt: skip
    return found


@blueprint.post("/bulk/<uuid:bulk_id>/rows/<int:position>")
@for_sellers
def correct_bulk_row(bulk_id: UUID, position: int) -> ResponseReturnValue:
    """Enter what one row needs."""
    actor, upload = own(bulk_id)
    try:
        values = _typed(request.form, _currency_of(upload, position))
        perform(verbs.correct_bulk_rows, CorrectBulkRows(bulk_id, (Correction(position, values),)), actor)
    except MarketplaceError as error:
        return _page(upload, error, position if error.problems else None), status_of(error)
    say(gettext("Row %(row)s is being checked again.", row=position), "info")
    return redirect(_back(bulk_id), 303)


def _typed(form: Mapping[str, str], currency: str | None) -> dict[str, Any]:
    values, problems = parse_cells({name: form[name] for name in COLUMNS if form.get(name)}, currency)
    if problems:
        raise InvalidInput.of_fields(problems)
    return values


def _currency_of(upload: Upload, position: int) -> str | None:
    for row in bulk_queries.rows(db.session(), upload.id, limit=1, offset=max(position, 1) - 1):
        currency: str | None = row.corrections.get("currency") or row.currency or row.given.get("currency")
        return currency if currency in EXPONENTS else None
    return None


def _back(bulk_id: UUID) -> str:
    kept: dict[str, Any] = {name: request.args[name] for name in ("show", "q", "page") if name in request.args}
    return url_for("seller.bulk", bulk_id=bulk_id, **kept)


@blueprint.post("/bulk/<uuid:bulk_id>/list")
@for_sellers
def list_bulk_rows(bulk_id: UUID) -> ResponseReturnValue:
    """List every row that is ready, on the terms of the form."""
    actor, upload = own(bulk_id)
    try:
        terms = terms_of(request.form)
        command = ListBulkRows(bulk_id, terms["terms"], terms["debtor_email"])
        perform(verbs.list_bulk_rows, command, actor)
    except MarketplaceError as error:
        return _page(upload, error), status_of(error)
    return redirect(url_for("seller.bulk", bulk_id=bulk_id), 303)


@blueprint.post("/bulk/<uuid:bulk_id>/leave")
@for_sellers
def leave_bulk_rows(bulk_id: UUID) -> ResponseReturnValue:
    """End an upload: what is not listed by now is left."""
    actor, _ = own(bulk_id)
    made = perform(verbs.leave_bulk_rows, OfBulkUpload(bulk_id), actor)
    say(ngettext("%(num)s row was left.", "%(num)s rows were left.", made["left"]), "info")
    return redirect(url_for("seller.bulk", bulk_id=bulk_id), 303)


# -- as files ---------------------------------------------------------------------------------------------------------


@blueprint.get("/bulk/<uuid:bulk_id>/rows.csv")
@for_sellers
def bulk_rows_csv(bulk_id: UUID) -> Response:
    """Every row with its outcome, its reference and every reason."""
    own(bulk_id)
    headers = [gettext("Row"), gettext("File"), gettext("Outcome"), gettext("Ref"), gettext("Invoice"),
               gettext("Debtor"), gettext("Currency"), gettext("Amount due"), gettext("Due"),
               gettext("Why")]  # fmt: skip
    rows = [
        (row.position, row.label, look_of("row", row.state).word, row.ref, row.number, row.debtor_name, row.currency,
         _plain(row), row.due_on, joined(row.problems or row.looks))
        for row in bulk_queries.rows(db.session(), bulk_id)
    ]  # fmt: skip
    return csv_file("bulk-upload", headers, rows)


def _plain(row: Row) -> str:
    return plain(row.face_minor, row.currency) if row.currency in EXPONENTS else ""


@blueprint.get("/bulk/<uuid:bulk_id>/corrections.csv")
@for_sellers
def bulk_corrections_csv(bulk_id: UUID) -> Response:
    """The rows that need something, as a CSV to be filled in and sent back. `why` is left out when it comes back."""
    own(bulk_id)
    states = (RowState.NEEDS, RowState.FAILED)
    rows = [
        [row.position, row.label, joined(row.problems), *(_cell(row, column) for column in COLUMNS)]
        for row in bulk_queries.rows(db.session(), bulk_id, states)
    ]  # fmt: skip
    return csv_file("corrections", [ROW, FILE, "why", *COLUMNS], rows)


def _cell(row: Row, column: str) -> Any:
    said = {"currency": row.currency, **row.given, **row.corrections}
    value = said.get(COLUMNS[column])
    if column in AMOUNTS:
        return decimal_of(value, said["currency"])
    return value.isoformat() if isinstance(value, date) else value


@blueprint.post("/bulk/<uuid:bulk_id>/corrections")
@for_sellers
def correct_bulk_rows(bulk_id: UUID) -> ResponseReturnValue:
    """Take a corrected CSV: rows by their number, cells that are not empty. What cannot be used is told row by row."""
    actor, upload = own(bulk_id)
    chosen = request.files.get("corrections")
    try:
        if chosen is None or not chosen.filename:
            raise InvalidInput.about("corrections", "no_file", N_("Choose the corrected CSV first."))
        sheet = read_sheet(chosen.stream.read(), policy().bulk.rows_max)
        fit = [line for line in sheet.lines if line.row is not None and not line.problems and line.values]
        unfit = [(line.row or line.number, line.problems) for line in sheet.lines if line.problems]
        if not fit and not unfit:
            raise InvalidInput.about(
                "corrections",
                "nothing_to_correct",
                N_("No row of the CSV holds a number of a row in “row” and something to correct."),
                rule="rows",
            )
        if fit:
            corrections = tuple(Correction(line.row or 0, line.values) for line in fit)
            made = perform(verbs.correct_bulk_rows, CorrectBulkRows(bulk_id, corrections), actor)
            say(ngettext("%(num)s row is being checked again.", "%(num)s rows are being checked again.",
                         made["corrected"]), "info")  # fmt: skip
    except MarketplaceError as error:
        return _page(upload, error), status_of(error)
    if unfit:
        return _page(own(bulk_id)[1], taken=unfit), 422
    return redirect(url_for("seller.bulk", bulk_id=bulk_id), 303)

"""Many invoices at once: sent piece by piece by a script, or as one form without it; then on to the upload's page.

A script announces the files with the hashes of their pieces and is told which are missing; it sends those, and only
those. That is all there is to resuming: the same files announced again are the same upload.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from flask import Response, jsonify, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext
from werkzeug.datastructures import FileStorage

from marketplace.db import db
from marketplace.kernel.actors import Actor
from marketplace.kernel.errors import InvalidInput, MarketplaceError, Problem
from marketplace.kernel.policy import Policy
from marketplace.kernel.words import N_
from marketplace.perform import perform
from marketplace.receivables.bulk import actions as bulk
from marketplace.receivables.bulk import queries as bulk_queries
from marketplace.receivables.bulk.csv_reading import COLUMNS, FILE
from marketplace.receivables.bulk.schemas import (
    PIECE_BYTES,
    Announced,
    AnnouncedSchema,
    BeginBulkUpload,
    BulkTermsSchema,
    KeepBulkPieces,
    OfBulkUpload,
    file_name,
)
from marketplace.receivables.queries import missing
from marketplace.receivables.schemas import Terms
from marketplace.schemas import load
from marketplace.web.downloads import csv_file
from marketplace.web.forms import bps_of_percent, joined, reasons, say, status_of
from marketplace.web.security import LARGE
from marketplace.web.seller_door import blueprint, for_sellers, policy, seller

AT_ONCE = 2  # pieces kept in one transaction
RATES = ("reserve_bps", "own_rate_bps", "min_share_bps", "buy_now_bps")


def _room(market: Policy) -> tuple[int, int]:
    return market.bulk.bytes_max, market.bulk.files_max


LARGE["seller.upload_many"] = _room


@blueprint.get("/bulk")
@for_sellers
def bulk_upload() -> ResponseReturnValue:
    """The form for many files, and what was uploaded before."""
    return _page()


def _page(error: MarketplaceError | None = None) -> str:
    _, seller_id = seller()
    return render_template(
        "seller/bulk.html", uploads=bulk_queries.uploads(db.session(), seller_id), given=request.form, error=error,
        problems=reasons(error) if error else (), limits=policy().bulk, market=policy(), piece_bytes=PIECE_BYTES,
    )  # fmt: skip


@blueprint.post("/bulk")
@for_sellers
def upload_many() -> ResponseReturnValue:
    """Take all files in one form, and go on to the upload's page. The same form again doubles nothing."""
    actor, _ = seller()
    try:
        terms = terms_of(request.form)
        files = [one for one in request.files.getlist("documents") if one.filename]
        announced = tuple(_announced(one) for one in files)
        made = perform(bulk.begin_bulk_upload, BeginBulkUpload(announced, **terms), actor)
        upload_id = UUID(made["upload_id"])
        for pieces in _pieces(files):
            perform(bulk.keep_bulk_pieces, KeepBulkPieces(upload_id, pieces), actor)
        perform(bulk.seal_bulk_upload, OfBulkUpload(upload_id), actor)
    except MarketplaceError as error:
        return _page(error), status_of(error)
    return redirect(url_for("seller.bulk", bulk_id=upload_id), 303)


def terms_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the terms for all rows as `BeginBulkUpload` takes them; rates are typed in per cent.

    Raises: InvalidInput with every problem.
    """
    values: dict[str, Any] = dict(given)
    problems: list[Problem] = []
    for name in RATES:
        typed = str(values.pop(name, "") or "").strip()
        try:
            values |= {name: bps_of_percent(typed, name)} if typed else {}
        except InvalidInput as refusal:
            problems += refusal.problems
    try:
        loaded = load(BulkTermsSchema, values)
    except InvalidInput as refusal:
        problems += refusal.problems
    if problems:
        raise InvalidInput.of_fields(problems)
    beside = {name: loaded.pop(name, None) for name in ("debtor_email", "list_as_read")}
    return {"terms": Terms(**loaded), "debtor_email": beside["debtor_email"],
            "list_as_read": bool(beside["list_as_read"])}  # fmt: skip


def _announced(file: FileStorage) -> Announced:
    hashes: list[str] = []
    size = 0
    for piece in _cut(file):
        one = Announced.of("", piece)
        hashes += one.pieces
        size += one.size_bytes
    return Announced(file_name(file.filename or ""), size, tuple(hashes))


def _cut(file: FileStorage) -> Iterator[bytes]:
    """Yield a file's pieces; it lies on the disk when it is large, and never in memory as a whole."""
    file.stream.seek(0)
    while piece := file.stream.read(PIECE_BYTES):
        yield piece


def _pieces(files: Sequence[FileStorage]) -> Iterator[tuple[bytes, ...]]:
    """Yield pieces in groups of about two large ones."""
    group: list[bytes] = []
    for file in files:
        for piece in _cut(file):
            group.append(piece)
            if sum(map(len, group)) >= AT_ONCE * PIECE_BYTES:
                yield tuple(group)
                group = []
    if group:
        yield tuple(group)


# -- for the script ---------------------------------------------------------------------------------------------------


def told(error: MarketplaceError) -> ResponseReturnValue:
    """Return a refusal to the script: the words for the page, in the reader's language."""
    db.session.rollback()
    problems = [{"field": one.field, "words": joined([one])} for one in reasons(error)]
    return jsonify({"code": error.code, "problems": problems}), status_of(error)


@blueprint.post("/bulk/begin")
@for_sellers
def begin_bulk_upload() -> ResponseReturnValue:
    """Take the list of files and the terms; tell which pieces are missing."""
    actor, _ = seller()
    try:
        said = _json()
        files = said.get("files")
        announced = tuple(_loaded(one) for one in files) if isinstance(files, list) else ()
        given = said.get("terms")
        terms = terms_of({str(k): str(v) for k, v in given.items()} if isinstance(given, dict) else {})
        made = perform(bulk.begin_bulk_upload, BeginBulkUpload(announced, **terms), actor)
    except MarketplaceError as error:
        return told(error)
    upload_id = UUID(made["upload_id"])
    return jsonify({"upload": str(upload_id), "address": url_for("seller.bulk", bulk_id=upload_id),
                    "missing": made["missing"], "resumed": made["resumed"],
                    "pieces": url_for("seller.keep_bulk_pieces", bulk_id=upload_id),
                    "seal": url_for("seller.seal_bulk_upload", bulk_id=upload_id)})  # fmt: skip


def _loaded(said: Any) -> Announced:
    if not isinstance(said, dict):
        raise _unreadable()
    announced: Announced = load(AnnouncedSchema, said)
    return announced


def _json() -> dict[str, Any]:
    try:
        said = json.loads(request.get_data())
    except (ValueError, RecursionError):
        raise _unreadable() from None
    if not isinstance(said, dict):
        raise _unreadable()
    return said


def _unreadable() -> InvalidInput:
    return InvalidInput.about("documents", "invalid_fields", N_("The list of files cannot be read."), rule="files")


@blueprint.post("/bulk/<uuid:bulk_id>/pieces")
@for_sellers
def keep_bulk_pieces(bulk_id: UUID) -> ResponseReturnValue:
    """Keep the pieces that came; tell how many are still missing."""
    actor, _ = own(bulk_id)
    pieces = tuple(one.stream.read() for one in request.files.getlist("piece"))
    try:
        return jsonify(perform(bulk.keep_bulk_pieces, KeepBulkPieces(bulk_id, pieces), actor))
    except MarketplaceError as error:
        return told(error)


@blueprint.post("/bulk/<uuid:bulk_id>/seal")
@for_sellers
def seal_bulk_upload(bulk_id: UUID) -> ResponseReturnValue:
    """Everything is here: from now on it goes on by itself."""
    actor, _ = own(bulk_id)
    try:
        perform(bulk.seal_bulk_upload, OfBulkUpload(bulk_id), actor)
    except MarketplaceError as error:
        return told(error)
    return jsonify({"address": url_for("seller.bulk", bulk_id=bulk_id)})


def own(bulk_id: UUID) -> tuple[Actor, bulk_queries.Upload]:
    """Return the seller and one of the seller's own uploads.

    Raises: NotFound("not_found").
    """
    actor, seller_id = seller()
    found = bulk_queries.upload(db.session(), bulk_id)
    if found.seller_id != seller_id:
        raise missing()
    return actor, found


@blueprint.post("/bulk/<uuid:bulk_id>/drop")
@for_sellers
def drop_bulk_upload(bulk_id: UUID) -> ResponseReturnValue:
    """Give up an upload whose files never all came."""
    actor, _ = own(bulk_id)
    perform(bulk.drop_bulk_upload, OfBulkUpload(bulk_id), actor)
    say(gettext("Dropped. Nothing of it was read."), "info")
    return redirect(url_for("seller.bulk_upload"), 303)


@blueprint.get("/bulk/template.csv")
@for_sellers
def bulk_template() -> Response:
    """A CSV with the header that is understood, and nothing else."""
    return csv_file("duebill-invoices", [FILE, *COLUMNS], [])

"""Many invoices at once: each file is read and listed by itself; one that fails stops no other."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from flask import render_template, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.datastructures import FileStorage

from marketplace.db import db
from marketplace.kernel.actors import Actor
from marketplace.kernel.errors import InvalidInput, MarketplaceError, Problem
from marketplace.kernel.words import N_
from marketplace.perform import perform
from marketplace.receivables import actions
from marketplace.receivables.schemas import DraftReceivable, ListReceivable, Terms, TermsSchema
from marketplace.schemas import load
from marketplace.web.forms import reasons, status_of
from marketplace.web.seller_door import blueprint, for_sellers, policy, seller

FILES_MAX = 30
LISTED, HELD, DRAFT, REFUSED = "listed", "held", "draft", "refused"


@dataclass(frozen=True)
class Row:
    """What became of one file: listed, held for a look, kept as a draft that needs the seller, or refused."""

    filename: str
    outcome: str
    ref: str = ""
    address: str = ""
    problems: tuple[Problem, ...] = ()


@blueprint.get("/bulk")
@for_sellers
def bulk_upload() -> ResponseReturnValue:
    """The form for many files."""
    return _page()


def _page(rows: Sequence[Row] = (), error: MarketplaceError | None = None) -> str:
    count = {outcome: sum(row.outcome == outcome for row in rows) for outcome in (LISTED, HELD, DRAFT, REFUSED)}
    return render_template(
        "seller/bulk.html", rows=rows, count=count, given=request.form, error=error, most=FILES_MAX,
        problems=reasons(error) if error else (), largest=policy().listing.document_bytes_max // 1_000_000,
    )  # fmt: skip


@blueprint.post("/bulk")
@for_sellers
def upload_many() -> ResponseReturnValue:
    """Read and list every file on the same terms, and show the outcome row by row."""
    actor, _ = seller()
    files = [one for one in request.files.getlist("documents") if one.filename]
    try:
        terms = Terms(**load(TermsSchema, request.form))
        _check(files)
    except MarketplaceError as error:
        return _page((), error), status_of(error)
    return _page([_one(file, terms, actor) for file in files])


def _check(files: Sequence[FileStorage]) -> None:
    words = ""
    if not files:
        words = N_("Choose the XML or PDF files first.")
    elif len(files) > FILES_MAX:
        words = N_("Choose at most %(most)s files at once.")
    if words:
        raise InvalidInput("invalid_fields", N_("Some fields need another look."),
                           problems=[Problem("documents", "files", words, {"most": FILES_MAX})])  # fmt: skip


def _one(file: FileStorage, terms: Terms, actor: Actor) -> Row:
    """Draft and list one file. What cannot be listed as it stands stays as a draft, to be corrected by hand."""
    name = file.filename or ""
    try:
        drafted = perform(actions.draft_receivable, DraftReceivable(name, file.stream.read()), actor)
    except MarketplaceError as error:
        db.session.rollback()
        return Row(name, REFUSED, problems=reasons(error))
    draft_id = UUID(drafted["draft_id"])
    try:
        made = perform(actions.list_receivable, ListReceivable(draft_id, {}, terms), actor)
    except MarketplaceError as error:
        db.session.rollback()
        return Row(name, DRAFT, address=url_for("seller.draft", draft_id=draft_id), problems=reasons(error))
    address = url_for("seller.receivable", receivable_id=made["receivable_id"])
    return Row(name, HELD if made["state"] == "held_for_review" else LISTED, made["ref"], address)

"""Credit notes of the seller's: dropped or typed, what they cost, and making the rest good."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from flask import redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext

from marketplace.db import db
from marketplace.kernel.errors import InvalidInput, MarketplaceError
from marketplace.kernel.words import N_
from marketplace.parties.rules import require_own
from marketplace.perform import perform
from marketplace.receivables import queries
from marketplace.receivables.credit_notes import CreditNote, keep_credit_note, read_credit_note
from marketplace.receivables.debtor.schemas import KeepCreditNote
from marketplace.reports.dilutions import dilutions
from marketplace.servicing import queries as servicing
from marketplace.servicing.diluting import cover_dilution, record_dilution
from marketplace.servicing.schemas import CoverDilution, RefuseDilution
from marketplace.servicing.second_voice import refuse_dilution
from marketplace.web.credit_note_words import credit_note_words, dilution_command, outcome_words
from marketplace.web.forms import reasons, say, status_of
from marketplace.web.seller_door import blueprint, for_sellers, seller, today

TAKEN_BACK = "The seller took it back."

blueprint.context_processor(credit_note_words)


@blueprint.get("/invoices/<uuid:receivable_id>/credit-note")
@for_sellers
def credit_note(receivable_id: UUID) -> ResponseReturnValue:
    """Drop a credit note or type it, and see what those before did."""
    return _page(receivable_id, {})


def _page(receivable_id: UUID, given: Mapping[str, Any], error: MarketplaceError | None = None) -> str:
    actor, _ = seller()
    found = queries.receivable(db.session(), receivable_id)
    require_own(actor, found.seller_id)
    return render_template(
        "seller/credit_note.html", receivable=found, given=given, error=error, today=today(), read=_kept(given),
        problems=reasons(error) if error else (), lines=dilutions(db.session(), receivable_id),
        collection=servicing.collections(db.session(), [receivable_id]).get(receivable_id),
    )  # fmt: skip


def _kept(given: Mapping[str, Any]) -> CreditNote | None:
    """Return what the kept file says, when one was kept and is the seller's."""
    actor, _ = seller()
    try:
        document = queries.document(db.session(), UUID(str(given.get("document_id", ""))))
        require_own(actor, document.organisation_id)
        return read_credit_note(queries.content(db.session(), document.id), document.filename)
    except (ValueError, MarketplaceError):
        return None


@blueprint.post("/invoices/<uuid:receivable_id>/credit-note/file")
@for_sellers
def keep_credit_note_file(receivable_id: UUID) -> ResponseReturnValue:
    """Keep the dropped file and show what it says; nothing changes yet."""
    actor, _ = seller()
    chosen = request.files.get("document")
    try:
        if chosen is None or not chosen.filename:
            raise InvalidInput.about("document", "no_file", N_("Choose the credit note’s file first."))
        made = perform(keep_credit_note, KeepCreditNote(chosen.filename, chosen.stream.read()), actor)
    except MarketplaceError as error:
        return _page(receivable_id, {}, error), status_of(error)
    return redirect(url_for("seller.read_credit_note_file", receivable_id=receivable_id,
                            document_id=made["document_id"]), 303)  # fmt: skip


@blueprint.get("/invoices/<uuid:receivable_id>/credit-note/<uuid:document_id>")
@for_sellers
def read_credit_note_file(receivable_id: UUID, document_id: UUID) -> ResponseReturnValue:
    """What the kept credit note says, and a button to record it."""
    return _page(receivable_id, {"document_id": str(document_id)})


@blueprint.post("/invoices/<uuid:receivable_id>/credit-note")
@for_sellers
def record_credit_note(receivable_id: UUID) -> ResponseReturnValue:
    """Record the kept file, or what was typed."""
    actor, _ = seller()
    given = request.form.to_dict()
    found = queries.receivable(db.session(), receivable_id)
    require_own(actor, found.seller_id)
    try:
        made = perform(record_dilution, dilution_command(given, found), actor)
    except MarketplaceError as error:
        return _page(receivable_id, given, error), status_of(error)
    say(outcome_words(made))
    return redirect(url_for("seller.receivable", receivable_id=receivable_id), 303)


@blueprint.post("/invoices/<uuid:receivable_id>/credit-note/<uuid:proposal_id>/take-back")
@for_sellers
def take_back_credit_note(receivable_id: UUID, proposal_id: UUID) -> ResponseReturnValue:
    """Take back a credit note that waits for a second voice."""
    actor, _ = seller()
    try:
        perform(refuse_dilution, RefuseDilution(proposal_id, TAKEN_BACK), actor)
    except MarketplaceError as error:
        return _page(receivable_id, {}, error), status_of(error)
    say(gettext("Taken back. Nothing has changed."))
    return redirect(url_for("seller.receivable", receivable_id=receivable_id), 303)


@blueprint.post("/invoices/<uuid:receivable_id>/credit-note/<uuid:dilution_id>/cover")
@for_sellers
def cover_credit_note(receivable_id: UUID, dilution_id: UUID) -> ResponseReturnValue:
    """Make good, out of the seller's own money here, what a credit note took beyond the residual."""
    actor, _ = seller()
    try:
        perform(cover_dilution, CoverDilution(dilution_id), actor, idempotency_key=request.form.get("once") or None)
    except MarketplaceError as error:
        return _page(receivable_id, {}, error), status_of(error)
    say(gettext("Paid. The holders have what the credit note took."))
    return redirect(url_for("seller.receivable", receivable_id=receivable_id), 303)


def offer(filename: str, content: bytes) -> ResponseReturnValue | None:
    """Return the way to record a credit note that was dropped as a listing; None when it lowers nothing listed."""
    actor, _ = seller()
    try:
        made = perform(keep_credit_note, KeepCreditNote(filename, content), actor)
    except MarketplaceError:
        return None
    for receivable_id in made["receivable_ids"]:
        say(gettext("This is a credit note for an invoice that you listed. Record it here."), "info")
        return redirect(url_for("seller.read_credit_note_file", receivable_id=receivable_id,
                                document_id=made["document_id"]), 303)  # fmt: skip
    return None

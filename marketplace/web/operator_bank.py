"""The operators' page of the bank's files: give one in, and see what became of each entry."""

from flask import redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext, ngettext

from marketplace.banking import queries
from marketplace.banking.actions import TakeBankFile, outcome_counts, take_bank_file
from marketplace.db import db
from marketplace.kernel.errors import InvalidInput, MarketplaceError
from marketplace.kernel.words import N_
from marketplace.parties import queries as parties
from marketplace.perform import perform
from marketplace.receivables import queries as receivables
from marketplace.receivables.einvoice.xml_guard import XML_BYTES_MAX
from marketplace.web.forms import reasons, say, status_of
from marketplace.web.operator_door import blueprint, only_operators
from marketplace.web.session import require_actor

OUTCOMES = {
    "payment": ("good", N_("a debtor’s payment")),
    "paid_out": ("good", N_("a pay-out of ours")),
    "came_back": ("bad", N_("a pay-out that came back")),
    "suspense": ("bad", N_("in suspense")),
    "undone": ("wait", N_("undone")),
    "taken_back": ("bad", N_("taken back")),
    "left": ("bad", N_("left unexplained")),
}
NO_FILE = N_("Choose a file of the bank’s.")


@blueprint.get("/bank")
@only_operators
def bank(error: MarketplaceError | None = None) -> ResponseReturnValue:
    """The files that were taken and what they booked."""
    session = db.session()
    if error:
        session.rollback()
    rows = queries.entries(session)
    page = render_template(
        "operator/bank.html", messages=queries.messages(session), entries=rows, counts=outcome_counts,
        known=receivables.receivables(session, [row.receivable_id for row in rows if row.receivable_id]),
        accounts=[house.iban[-4:] for house in parties.of_kind(session, "operator") if house.iban],
        left=queries.left_of(session, [row.id for row in rows if row.outcome == "suspense"]),
        outcome_word=lambda name: (OUTCOMES[name][0], gettext(OUTCOMES[name][1])),
        error=error, problems=reasons(error) if error else (),
    )  # fmt: skip
    return (page, status_of(error)) if error else page


@blueprint.post("/bank")
@only_operators
def take_file() -> ResponseReturnValue:
    """Take a statement or notification."""
    file = request.files.get("document")
    try:
        if file is None or not file.filename:
            raise InvalidInput.about("document", "no_file", NO_FILE)
        command = TakeBankFile(file.filename, file.stream.read(XML_BYTES_MAX + 1))
        done = perform(take_bank_file, command, require_actor())
    except MarketplaceError as error:
        return bank(error)
    fresh = done["entries"] - done["known"]
    say(ngettext("%(num)s entry was booked.", "%(num)s entries were booked.", fresh))
    return redirect(url_for("operator.bank"), 303)

"""What the doors share about credit notes: the lists on pages, the command of a form, the outcome in a sentence."""

from collections.abc import Mapping
from typing import Any

from flask_babel import gettext

from marketplace.db import db
from marketplace.kernel.errors import InvalidInput, Problem
from marketplace.receivables import queries
from marketplace.receivables.debtor.schemas import DilutionSchema
from marketplace.reports.dilutions import dilutions
from marketplace.schemas import load
from marketplace.servicing.second_voice import waiting
from marketplace.web.forms import minor_of


def credit_note_words() -> dict[str, Any]:
    """Give a door's pages the credit notes of a receivable, and those of them that wait for a second voice."""
    return {
        "dilutions_of": lambda receivable_id: dilutions(db.session(), receivable_id),
        "waiting_notes_of": lambda receivable_id: waiting(db.session(), receivable_id),
    }


def dilution_command(given: Mapping[str, str], found: queries.Receivable) -> Any:
    """Return the command of a typed or dropped credit note.

    Raises: InvalidInput naming the fields.
    """
    values: dict[str, Any] = {name: value for name, value in given.items() if name != "amount_minor"}
    problems: list[Problem] = []
    if given.get("amount_minor", "").strip():
        try:
            values["amount_minor"] = minor_of(given["amount_minor"], found.currency, "amount_minor")
        except InvalidInput as error:
            problems, values["amount_minor"] = list(error.problems), 1
    try:
        command = load(DilutionSchema, values, receivable_id=str(found.id))
    except InvalidInput as error:
        raise InvalidInput(error.code, error.words, problems=[*problems, *error.problems]) from error
    if problems:
        raise InvalidInput.of_fields(problems)
    return command


def outcome_words(made: Mapping[str, Any]) -> str:
    """Return what a recorded credit note changed, in a sentence."""
    words = gettext("The credit note is recorded, and the residual is lower by it.")
    if made.get("proposal_state") == "waiting":
        words = gettext("The credit note is kept and waits: the debtor is asked whether it is right. Two operators may "
                        "say so too. Nothing has changed yet.")  # fmt: skip
    elif made.get("proposal_state") == "proposed":
        words = gettext("The credit note is kept and waits for a second operator. Nothing has changed yet.")
    elif made["state"] == "withdrawn":
        words = gettext("The credit note is recorded, and the listing has ended: its face is not owed any more.")
    elif made.get("demanded_minor"):
        words = gettext("The credit note is recorded. It exceeds the residual: the rest is asked of the seller.")
    return str(words)

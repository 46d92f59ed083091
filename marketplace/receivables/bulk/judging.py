"""What a row still needs, or why it is refused: pure, from the checks that every listing goes through."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from marketplace.kernel.errors import Problem
from marketplace.kernel.words import N_
from marketplace.parties.schemas import plain_number
from marketplace.receivables.bulk.csv_reading import FIELDS
from marketplace.receivables.bulk.schemas import Outcome
from marketplace.receivables.bulk.states import RowState
from marketplace.receivables.facts import InvoiceFacts
from marketplace.receivables.matching.fingerprint import canonical_number, document_class

KNOWN = "already_listed"
# The book grows while an upload is listed: what is too large a part of it is judged again when all others are.
OF_THE_BOOK = "concentration"
MISSING = frozenset({"required", "form", "amount", "day", "cell", "ambiguous", "characters"})
# What no entry of the seller's can change.
FINAL = frozenset({"related", "debtor_standing", "seller_standing", "seller_is_you", "concentration",
                   "already_listed"})  # fmt: skip


def judged(problems: Sequence[Problem], *, typed: bool) -> RowState:
    """Return where a row stands with these problems: ready, known, needing an entry, or refused.

    A field that is missing or cannot be read may be entered. What a document says stays as it says; what was typed
    may have been typed wrongly, and may be entered anew.
    """
    if only_the_book(problems):
        return RowState.READY
    if any(problem.rule == KNOWN for problem in problems):
        return RowState.KNOWN
    return RowState.NEEDS if all(_may_be_entered(problem, typed) for problem in problems) else RowState.REFUSED


def only_the_book(problems: Sequence[Problem]) -> bool:
    """Say whether nothing stands against a row but the size of the book at this moment, if that."""
    return all(problem.rule == OF_THE_BOOK for problem in problems)


def _may_be_entered(problem: Problem, typed: bool) -> bool:
    if problem.field not in FIELDS or problem.rule in FINAL:
        return False
    return typed or problem.rule in MISSING


def open_faults(faults: Iterable[Problem], corrections: Mapping[str, Any]) -> tuple[Problem, ...]:
    """Return the cells that could not be used and that the seller has not entered since."""
    return tuple(fault for fault in faults if fault.field not in corrections)


def merged(faults: Sequence[Problem], failures: Sequence[Problem]) -> tuple[Problem, ...]:
    """Return both, without saying that a field is missing whose cell cannot be used."""
    told = {fault.field for fault in faults}
    return (*faults, *(one for one in failures if not (one.field in told and one.rule == "required")))


def claim_of(facts: InvoiceFacts, debtor: object | None) -> str | None:
    """Return what two rows about one invoice have in common, as far as it is known: debtor, number, kind, currency."""
    country = facts.debtor_country or ""
    who = debtor or plain_number(facts.debtor_legal_id, country) or plain_number(facts.debtor_vat_id)
    if not (who and facts.number and facts.currency):
        return None
    parts = (str(who), canonical_number(facts.number), document_class(facts.document_type), facts.currency)
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()


def shown(facts: InvoiceFacts, claim: str | None) -> dict[str, Any]:
    """Return what a page shows of a row."""
    return {"number": facts.number, "debtor_name": facts.debtor_name, "currency": facts.currency,
            "face_minor": facts.face_minor, "due_on": facts.due_on, "claim": claim}  # fmt: skip


def same_as(row: int) -> Problem:
    """Return that a row repeats another one of its upload."""
    return Problem("number", "same_invoice", N_("It is the same invoice as row %(row)s of this upload."), {"row": row})


def same_file(row: int) -> Problem:
    """Return that a row's file was there before."""
    return Problem("document", "same_file", N_("It is the same file as row %(row)s of this upload."), {"row": row})


def gave_up(row_id: Any) -> Outcome:
    """Return the outcome of a row at which the work ended again and again."""
    words = N_("Something failed here at this row, several times. The others went on. Try it again, or list it alone.")
    return Outcome(row_id, str(RowState.FAILED), (Problem("document", "failed", words),))

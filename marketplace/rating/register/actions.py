"""The verbs of the companies register: keep answers and troubles, ask again. None speaks to anybody: `asking` does."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import update
from sqlalchemy.dialects.postgresql import insert

from marketplace.kernel.errors import Conflict, RuleBroken
from marketplace.kernel.ids import new_id
from marketplace.kernel.words import N_
from marketplace.parties import queries as parties
from marketplace.parties.rules import verb
from marketplace.payments.alerts import raise_alert
from marketplace.perform import Result, Tx
from marketplace.rating.register import queries
from marketplace.rating.register.answers import CompanyAnswer
from marketplace.rating.register.schemas import (
    AskRegisterAgain,
    NoteRegisterDocument,
    NoteRegisterLine,
    NoteRegisterTrouble,
    RecordRegisterAnswer,
)
from marketplace.rating.register.tables import RegisterAnswerRow, RegisterLineRow, RegisterWatchRow

# An answer is good for a day. After a failure the party is asked about again after ten minutes, then twenty, …
API = "api"
AGAIN = timedelta(hours=24)
FIRST_WAIT, LONGEST_WAIT = timedelta(minutes=10), timedelta(days=1)
LINE_ID = UUID(int=1)  # the subject of events about the register as a whole


@verb("record_register_answer")
def record_register_answer(tx: Tx, command: RecordRegisterAnswer) -> Result:
    """Keep what the register said of a party, with the day; call an operator when it says that the party is insolvent.

    Raises: NotFound; RuleBroken("other_company") when the answer is about another number; Conflict("newer_known")
    when a file speaks of a day before the last answer's.
    """
    organisation, answer = parties.organisation(tx.session, command.organisation_id), command.answer
    if queries.number_of(organisation) != answer.number:
        raise RuleBroken("other_company", N_("The answer is about another company than this party."))
    said_on = command.said_on or tx.today
    known = queries.facts(tx.session, [organisation.id]).get(organisation.id)
    if command.source != API and known is not None and known.said_on >= said_on:
        raise Conflict("newer_known", N_("A newer answer of the companies register is known already."))
    row = {
        "id": new_id(),
        "organisation_id": organisation.id,
        "source": command.source,
        "said_on": said_on,
        "asked_at": tx.clock(),
        **_said(answer),
    }
    tx.session.execute(insert(RegisterAnswerRow).values(row))
    if command.source == API:
        _watch(tx, organisation.id, next_at=tx.now + AGAIN, failures=0, trouble=None)
    after = {name: row[name] for name in ("company_number", "source", "said_on", "company_state", "accounts_overdue",
             "accounts_due_on", "charges_outstanding", "insolvent")}  # fmt: skip
    tx.record("organisation", organisation.id, after=after)
    if answer.insolvent:
        raise_alert(tx, "register_insolvency", "organisation", organisation.id, company_number=answer.number,
                    state=row["company_state"], said_on=row["said_on"])  # fmt: skip
    return {"answer_id": row["id"], "insolvent": answer.insolvent}


def _said(answer: CompanyAnswer) -> dict[str, Any]:
    known = answer.profile
    return {
        "company_number": answer.number,
        "company_name": known.name if known else None,
        "company_state": known.state if known else None,
        "company_kind": known.kind if known else None,
        "incorporated_on": known.incorporated_on if known else None,
        "ceased_on": known.ceased_on if known else None,
        "accounts_due_on": known.accounts_due_on if known else None,
        "accounts_overdue": known.accounts_overdue if known else False,
        "accounts_made_up_to": (answer.accounts.made_up_to if answer.accounts else None)
        or (known.accounts_made_up_to if known else None),
        "accounts_kind": known.accounts_kind if known else None,
        "charges_total": answer.charges.total,
        "charges_outstanding": answer.charges.outstanding,
        "cases": [{"kind": case.kind, "began_on": case.began_on.isoformat() if case.began_on else None}
                  for case in answer.cases],
        "insolvent": answer.insolvent,
        "document_id": answer.accounts.document_id if answer.accounts else None,
    }  # fmt: skip


@verb("note_register_trouble")
def note_register_trouble(tx: Tx, command: NoteRegisterTrouble) -> Result:
    """Note that asking about a party failed; it is asked about again, later each time."""
    known = queries.watches(tx.session, [command.organisation_id]).get(command.organisation_id)
    failures = (known.failures if known else 0) + 1
    wait = min(FIRST_WAIT * 2 ** min(failures - 1, 10), LONGEST_WAIT)
    _watch(tx, command.organisation_id, next_at=tx.now + wait, failures=failures, trouble=command.code)
    tx.record("organisation", command.organisation_id, after={"register_trouble": command.code, "failures": failures})
    return {"failures": failures}


@verb("note_register_document")
def note_register_document(tx: Tx, command: NoteRegisterDocument) -> Result:
    """Note what became of a party's newest accounts at the register, so that they are fetched once."""
    tx.session.execute(
        update(RegisterWatchRow)
        .where(RegisterWatchRow.organisation_id == command.organisation_id)
        .values(document_id=command.document_id, document_outcome=command.outcome, document_words=command.words)
    )
    tx.record("organisation", command.organisation_id,
              after={"register_document": command.document_id, "outcome": command.outcome})  # fmt: skip
    return {"outcome": command.outcome}


@verb("note_register_line")
def note_register_line(tx: Tx, command: NoteRegisterLine) -> Result:
    """Note whether the register answers, and until when it is left alone."""
    before = queries.line(tx.session)
    rests_until = tx.now + timedelta(seconds=command.seconds) if command.seconds else None
    values: dict[str, Any] = {"state": command.state, "code": command.code, "rests_until": rests_until}
    if command.state != before.state:
        values["since"] = tx.now
    if command.state == "answering":
        values["heard_at"] = tx.now
    tx.session.execute(update(RegisterLineRow).values(values))
    tx.record("companies_register", LINE_ID, before={"state": before.state},
              after={"state": command.state, "code": command.code, "seconds": command.seconds})  # fmt: skip
    return {"state": command.state}


@verb("ask_register_again")
def ask_register_again(tx: Tx, command: AskRegisterAgain) -> Result:
    """Put a party first in line.

    Raises: NotFound; RuleBroken("not_in_register") for one that is no British company by its number.
    """
    organisation = parties.organisation(tx.session, command.organisation_id)
    if queries.number_of(organisation) is None:
        raise RuleBroken("not_in_register", N_("Only a party with a British company number is in the register."))
    known = queries.watches(tx.session, [organisation.id]).get(organisation.id)
    _watch(tx, organisation.id, next_at=tx.now, failures=known.failures if known else 0,
           trouble=known.trouble if known else None)  # fmt: skip
    tx.record("organisation", organisation.id, after={"ask_register_again": True})
    return {"organisation_id": organisation.id}


def _watch(tx: Tx, organisation_id: UUID, **values: Any) -> None:
    statement = insert(RegisterWatchRow).values(organisation_id=organisation_id, **values)
    tx.session.execute(statement.on_conflict_do_update(index_elements=["organisation_id"], set_=values))

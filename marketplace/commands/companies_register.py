"""`bin/market companies-register`: what the register's free monthly file says of our parties."""

from datetime import datetime
from pathlib import Path
from typing import Any

import click

from marketplace.commands.audit import opened
from marketplace.commands.output import as_json_option, emit, progress
from marketplace.kernel.errors import Conflict

COLUMNS = ("company_number", "legal_name", "company_state", "accounts_overdue", "insolvent", "kept")
PROGRESS_ROWS = 500_000


@click.group("companies-register")
def command() -> None:
    """What the companies register (Companies House) says. With REGISTRY_API_KEY it is asked by a job of its own."""


@command.command("load")
@click.argument("snapshot", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--day", type=click.DateTime(["%Y-%m-%d"]), help="The day the file speaks of; by default from its name.")
@as_json_option
def load(snapshot: Path, day: datetime | None, as_json: bool) -> None:
    """Keep what SNAPSHOT says of our British parties: BasicCompanyDataAsOneFile-YYYY-MM-DD.zip, or its CSV.

    A line for each party that is in the file. `kept` is false where a newer answer is known.
    """
    from marketplace.rating.register.snapshot import companies, day_of

    said_on = day.date() if day else day_of(snapshot)
    if said_on is None:
        raise click.UsageError("The file's name does not tell its day: give --day YYYY-MM-DD.")
    found: list[dict[str, Any]] = []
    with opened():
        ours = _ours()
        for company in companies(snapshot, said_on):
            if company.row % PROGRESS_ROWS == 0:
                progress(f"{company.row:,} companies read, {len(found):,} of {len(ours):,} parties found")
            if company.answer.number in ours:
                line = _kept(*ours[company.answer.number], company.answer, said_on)
                found.append({} if as_json else line)
                if as_json:
                    emit([line], True, ())
    if not as_json:
        emit(found, False, COLUMNS)
    progress(f"{len(found):,} of {len(ours):,} British parties are in the file of {said_on}")


def _ours() -> dict[str, tuple[Any, str]]:
    from marketplace.db import db
    from marketplace.parties import queries as parties
    from marketplace.rating.register.queries import number_of

    session = db.session()
    both = [one for kind in ("seller", "debtor") for one in parties.of_kind(session, kind)]
    found = {number: (one.id, one.legal_name) for one in both if (number := number_of(one))}
    session.rollback()
    return found


def _kept(organisation_id: Any, legal_name: str, answer: Any, said_on: Any) -> dict[str, Any]:
    from marketplace.kernel.actors import Actor
    from marketplace.perform import perform
    from marketplace.rating.register.actions import record_register_answer
    from marketplace.rating.register.schemas import RecordRegisterAnswer

    try:
        command = RecordRegisterAnswer(organisation_id, answer, "snapshot", said_on)
        perform(record_register_answer, command, Actor.system("bin/market companies-register load"))
        kept = True
    except Conflict:
        kept = False
    return {
        "company_number": answer.number,
        "organisation_id": organisation_id,
        "legal_name": legal_name,
        "said_on": said_on,
        "company_state": answer.profile.state,
        "accounts_overdue": answer.profile.accounts_overdue,
        "insolvent": answer.insolvent,
        "kept": kept,
    }

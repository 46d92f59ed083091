"""`bin/market relations`: which organisations share officers or owners, from a file that somebody drew up."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import click

from marketplace.commands.audit import opened
from marketplace.commands.output import as_json_option, emit, progress
from marketplace.kernel.errors import Conflict, InvalidInput, MarketplaceError, NotFound, Problem
from marketplace.kernel.words import N_

NEEDED = ("one", "other", "kind", "reference")
COLUMNS = ("row", "one", "other", "kind", "outcome", "withdrawn_bids", "why")
ROWS_MAX, CELL_MAX = 10_000, 400


@click.group("relations")
def command() -> None:
    """Organisations that share an officer or an owner, or of which one owns the other."""


@command.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@as_json_option
def import_relations(file: Path, as_json: bool) -> None:
    """Record the relations of FILE, a CSV with the columns one, other, kind and reference.

    An organisation is named by its id, or by country and register number: GB:04211907. Kinds: shared_officer,
    shared_owner, ownership. Each row is recorded by itself and counts at once: `outcome` is recorded, known or refused.
    """
    rows = list(read(file.read_bytes()))
    with opened():
        told = [recorded(number, row) for number, row in rows]
    emit(told, as_json, COLUMNS)
    counts = {name: sum(one["outcome"] == name for one in told) for name in ("recorded", "known", "refused")}
    progress(", ".join(f"{count} {name}" for name, count in counts.items()))


def read(raw: bytes) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the rows of a file with the numbers of their lines; columns in any order, empty lines skipped.

    Raises: InvalidInput saying what the file as a whole lacks.
    """
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _wrong(N_("The file is not UTF-8 text.")) from None
    lines = csv.reader(text.replace("\x00", "").splitlines())
    try:
        header = [name.strip().lower() for name in next(lines, [])]
        missing = next((name for name in NEEDED if name not in header), None)
        if missing:
            raise _wrong(N_("The file lacks the column %(name)s."), name=missing)
        found = [
            (lines.line_num, {name: cell.strip()[:CELL_MAX] for name, cell in zip(header, cells, strict=False)})
            for cells in lines
            if any(cell.strip() for cell in cells)
        ]
    except csv.Error:
        raise _wrong(N_("The file cannot be read as CSV.")) from None
    if not found:
        raise _wrong(N_("The file has no rows."))
    if len(found) > ROWS_MAX:
        raise _wrong(N_("The file has more than %(most)s rows."), most=ROWS_MAX)
    yield from found


def _wrong(words: str, **params: object) -> InvalidInput:
    return InvalidInput("invalid_fields", words, params, [Problem("file", "form", words, params)])


def recorded(number: int, row: dict[str, str]) -> dict[str, Any]:
    """Record one row and say what became of it."""
    from marketplace.db import db
    from marketplace.kernel.actors import Actor
    from marketplace.parties.schemas import RelateOrganisationsSchema
    from marketplace.perform import perform
    from marketplace.schemas import load
    from marketplace.trading.relations import relate_organisations

    told: dict[str, Any] = {"row": number, **{name: row.get(name, "") for name in NEEDED[:3]}}
    done: dict[str, Any] = {"outcome": "recorded", "relation_id": None, "withdrawn_bids": 0, "why": None, "rules": []}
    try:
        values = {name: row.get(name, "") for name in ("kind", "reference")}
        ids = {f"{name}_id": str(_organisation(name, row.get(name, ""))) for name in ("one", "other")}
        asked = load(RelateOrganisationsSchema, values, **ids)
        done |= perform(relate_organisations, asked, Actor.system("bin/market relations import"))
    except MarketplaceError as refusal:
        problems = refusal.problems or (Problem("", refusal.code, refusal.words, refusal.params),)
        known = isinstance(refusal, Conflict) and refusal.code == "relation_known"
        done |= {"outcome": "known" if known else "refused", "why": " ".join(one.said() for one in problems),
                 "rules": [refusal.code] if known else [f"{one.field}: {one.rule}" for one in problems]}  # fmt: skip
    finally:
        db.session.remove()
    return told | done


def _organisation(field: str, named: str) -> UUID:
    """Return the organisation of an id, or of a country and its register's number. Raises: InvalidInput, NotFound."""
    from marketplace.db import db
    from marketplace.parties import queries as parties

    try:
        if ":" not in named:
            return parties.organisation(db.session(), UUID(named)).id
        country, _, number = named.partition(":")
        found = parties.find_by_legal_id(db.session(), country.strip().upper(), number.strip())
        if found is None:
            raise NotFound("not_found", N_("There is no such thing, or you may not see it."))
        return found.id
    except (ValueError, NotFound):
        words = N_("No organisation is known by “%(named)s”: give its id, or country and number as GB:04211907.")
        problem = Problem(field, "unknown", words, {"named": named})
        raise InvalidInput.of_fields([problem]) from None

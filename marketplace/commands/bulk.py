"""`bin/market bulk upload`: many invoices from a folder, a ZIP or a CSV, as one of a seller's people."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import click
from sqlalchemy.orm import Session

from marketplace.commands.audit import opened
from marketplace.commands.output import as_json_option, emit, progress
from marketplace.db import db, let_go
from marketplace.kernel.actors import Actor, Role
from marketplace.parties import queries as parties
from marketplace.perform import perform
from marketplace.receivables.bulk import actions as bulk
from marketplace.receivables.bulk import queries as bulk_queries
from marketplace.receivables.bulk.queries import Row
from marketplace.receivables.bulk.schemas import (
    PIECE_BYTES,
    Announced,
    BeginBulkUpload,
    KeepBulkPieces,
    OfBulkUpload,
    file_name,
)
from marketplace.receivables.bulk.work import run_in_full
from marketplace.receivables.schemas import Terms

COLUMNS = ("row", "file", "outcome", "ref", "number", "why")


@click.group("bulk")
def command() -> None:
    """Upload many invoices at once."""


@command.command("upload")
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--seller", required=True, help="E-mail of the seller's person who sends them.")
@click.option("--list", "list_as_read", is_flag=True, help="List what nothing stands against; else only read it.")
@click.option("--deal-type", type=click.Choice(["advance", "outright"]), default="advance", show_default=True)
@click.option("--recourse", type=click.Choice(["full", "limited", "none"]), default="full", show_default=True)
@click.option("--debtor-email", help="Where the link goes if an invoice names no address.")
@as_json_option
def upload(
    paths: tuple[Path, ...], seller: str, list_as_read: bool, deal_type: str, recourse: str,
    debtor_email: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Send PATHS (folders are walked), read each invoice, and print a row for each; progress goes to standard error.

    The same files sent again go on where they broke off; what is listed already is told and not doubled.
    """
    files = [(name, path) for one in paths for name, path in _documents(one)]
    begin = BeginBulkUpload(
        tuple(Announced(file_name(name), *_hashed(path)) for name, path in files),
        Terms(deal_type=deal_type, recourse=recourse), debtor_email, list_as_read,
    )  # fmt: skip
    with opened():
        try:
            upload_id = _sent(begin, [path for _, path in files], _person(seller))
            run_in_full(upload_id, _told)
            session = db.session()
            for note in bulk_queries.upload(session, upload_id).notes:
                progress(note.said())
            emit([_record(row) for row in bulk_queries.rows(session, upload_id)], as_json, COLUMNS)
        finally:
            db.session.remove()
            let_go()


def _sent(begin: BeginBulkUpload, paths: list[Path], actor: Actor) -> UUID:
    """Announce the files, send what is missing of them, and seal the upload."""
    made = perform(bulk.begin_bulk_upload, begin, actor)
    upload_id, missing = UUID(made["upload_id"]), set(made["missing"])
    progress(f"{len(paths)} files, {len(missing)} pieces to send{', going on' if made['resumed'] else ''}")
    for piece in (piece for path in paths for piece in _cut(path)):
        key = Announced.of("", piece).pieces[0]
        if key in missing:
            missing.discard(key)
            perform(bulk.keep_bulk_pieces, KeepBulkPieces(upload_id, (piece,)), actor)
    perform(bulk.seal_bulk_upload, OfBulkUpload(upload_id), actor)
    return upload_id


def _documents(path: Path) -> Iterator[tuple[str, Path]]:
    """Yield name and place of each file, in a fixed order: a file by its name, a folder's by their paths in it."""
    if not path.is_dir():
        yield path.name, path
        return
    for file in sorted(path.rglob("*")):
        if file.is_file() and not file.is_symlink():
            yield file.relative_to(path).as_posix(), file


def _cut(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            yield piece


def _hashed(path: Path) -> tuple[int, tuple[str, ...]]:
    size = 0
    hashes: list[str] = []
    for piece in _cut(path):
        size += len(piece)
        hashes += Announced.of("", piece).pieces
    return size, tuple(hashes)


def _person(email: str) -> Actor:
    found = parties.find_user(db.session(), email.strip().lower())
    if found is None or found.role != Role.SELLER or not found.active:
        raise click.BadParameter("no active person of a seller has this e-mail.", param_hint="--seller")
    return Actor(Role.SELLER, found.id, found.organisation_id, on_behalf_of="bulk upload")


def _told(session: Session, upload_id: UUID) -> None:
    found = bulk_queries.upload(session, upload_id)
    if found.rows:
        progress(f"{found.state}: {found.rows - found.to_do} of {found.rows}")


def _record(row: Row) -> dict[str, Any]:
    return {"row": row.position, "file": row.label, "outcome": row.state, "ref": row.ref, "number": row.number,
            "debtor": row.debtor_name, "currency": row.currency, "amount_due_minor": row.face_minor,
            "due_on": row.due_on, "why": " ".join(problem.said() for problem in row.problems or row.looks) or None,
            "rules": [problem.rule for problem in row.problems]}  # fmt: skip

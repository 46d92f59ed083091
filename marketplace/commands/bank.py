"""`bin/market bank`: the bank's files in and out, for whoever carries them."""

from pathlib import Path
from uuid import UUID

import click

from marketplace.commands.audit import opened
from marketplace.commands.output import as_json_option, emit
from marketplace.kernel.errors import InvalidInput
from marketplace.kernel.words import N_

WAITING = ["id", "name", "iban", "currency", "minor", "purpose", "created_at"]
FILES = ["message_id", "currency", "execute_on", "orders", "total_minor", "written_at", "sha256"]
TAKEN = ["bank_message_id", "entries", "known", "pending", "outcomes"]


@click.group("bank")
def command() -> None:
    """Bank files: pay-outs to carry to the bank, and what the bank says."""


@command.command("waiting")
@as_json_option
def waiting(as_json: bool) -> None:
    """Print the pay-outs that wait for a bank file. Two operators order them on the page “Bank pay-outs”."""
    with opened():
        from marketplace.db import db, let_go
        from marketplace.payments.bank_payouts import waiting

        told = [{name: getattr(one, name) for name in WAITING} for one in waiting(db.session())]
        db.session.remove()
        let_go()
    emit(told, as_json, WAITING)


@command.command("files")
@as_json_option
def files(as_json: bool) -> None:
    """Print the files of pay-outs that were written, newest first."""
    with opened():
        from marketplace.banking.orders import files
        from marketplace.db import db, let_go

        told = [dict(row._mapping) for row in files(db.session())]
        db.session.remove()
        let_go()
    emit(told, as_json, FILES)


@command.command("fetch")
@click.argument("message_id")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The file to write.")
@as_json_option
def fetch(message_id: str, out: Path, as_json: bool) -> None:
    """Write the pain.001 file of MESSAGE_ID, the same bytes each time."""
    try:
        file_id = UUID(message_id)
    except ValueError as error:
        raise InvalidInput("bad_message_id", N_("A message id is 32 hexadecimal digits.")) from error
    with opened():
        from marketplace.banking.orders import content
        from marketplace.db import db, let_go

        raw = content(db.session(), file_id)
        db.session.remove()
        let_go()
    out.write_bytes(raw)
    emit([{"message_id": file_id.hex, "path": str(out), "bytes": len(raw)}], as_json, ["message_id", "path", "bytes"])


@command.command("take")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@as_json_option
def take(file: Path, as_json: bool) -> None:
    """Book a statement or notification (camt.053, camt.054), each entry once."""
    from marketplace.receivables.einvoice.xml_guard import XML_BYTES_MAX

    with file.open("rb") as opened_file:
        raw = opened_file.read(XML_BYTES_MAX + 1)
    with opened():
        from marketplace.banking.actions import TakeBankFile, take_bank_file
        from marketplace.db import let_go
        from marketplace.kernel.actors import Actor
        from marketplace.perform import perform

        done = perform(take_bank_file, TakeBankFile(file.name, raw), Actor.system("bin/market bank take"))
        let_go()
    emit([done], as_json, TAKEN)

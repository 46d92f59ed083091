"""`bin/market title`: who owned which units of a receivable, at any instant and from the beginning."""

from datetime import UTC, datetime

import click

from marketplace.commands.audit import opened
from marketplace.commands.output import as_json_option, emit

INSTANT = click.DateTime(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S.%fZ"])
COLUMNS = ("owner", "first_unit", "last_unit", "units", "since", "until", "cause")


@click.group("title")
def command() -> None:
    """The title register."""


@command.command("show")
@click.argument("ref")
@click.option("--at", type=INSTANT, help="Only what was held at this instant, UTC; by default the whole chain.")
@as_json_option
def show(ref: str, at: datetime | None, as_json: bool) -> None:
    """Show the chain of title of the receivable with the reference REF."""
    with opened():
        from marketplace.db import db, let_go
        from marketplace.kernel.actors import Actor
        from marketplace.parties import queries as parties
        from marketplace.perform import perform
        from marketplace.receivables import queries as receivables
        from marketplace.reports.look_ups import LookUp, look_up
        from marketplace.title import queries as title

        session = db.session()
        found = receivables.receivable_by_ref(session, ref)
        perform(look_up, LookUp("title", "title", found.id, {"at": str(at or "")}), Actor.system("bin/market title"))
        held = title.owners_at(session, found.id, at.replace(tzinfo=UTC)) if at else title.chain(session, found.id)
        names = parties.organisations(session, {one.owner_id for one in held})
        records = [
            {"ref": found.ref, "receivable_id": found.id, "owner_id": one.owner_id,
             "owner": names[one.owner_id].legal_name if one.owner_id in names else str(one.owner_id),
             "first_unit": one.first_unit, "last_unit": one.beyond_unit - 1, "units": one.units,
             "since": one.since.isoformat(), "until": one.until.isoformat() if one.until else None,
             "cause": one.cause}
            for one in held
        ]  # fmt: skip
        db.session.remove()
        let_go()
    emit([{**record, "receivable_id": str(record["receivable_id"]), "owner_id": str(record["owner_id"])}
          for record in records], as_json, COLUMNS)  # fmt: skip

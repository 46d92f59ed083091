"""`bin/market verify`: is everything true that must be true of the books? Asked with a role that may only read."""

import os
import sys

import click

from marketplace.commands.output import as_json_option, emit
from marketplace.stack.installation import installation


@click.command("verify")
@as_json_option
def command(as_json: bool) -> None:
    """Check every invariant of the books now, and print each with whether it holds. Exits 1 if one does not.

    The same is asked every five minutes by a job. It reads and writes nothing.
    """
    from marketplace.db import reading
    from marketplace.jobs.invariants import invariants

    environ = dict(os.environ)
    place = installation(environ)
    postgres = place.postgres()
    if postgres is None:
        url = place.database_url("duebill_reader")
    else:
        if not postgres.directory.is_dir():
            raise click.ClickException(f"There is no market in {place.home}. Open one with bin/run.")
        postgres.start()
        url = place.database_url("duebill_reader", postgres=postgres)
    try:
        with reading(url) as session:
            found = [{"name": one.name, "ok": one.ok} for one in invariants(session)]
    finally:
        if postgres is not None:
            postgres.stop()
    emit(found, as_json, ["name", "ok"])
    if not all(one["ok"] for one in found):
        sys.exit(1)

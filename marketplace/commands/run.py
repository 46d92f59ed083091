"""`bin/run`: open the market."""

import json
import os
import sys

import click

from config.settings import SettingsError
from marketplace.commands.output import progress
from marketplace.embedded_postgres import PostgresFailed
from marketplace.stack.installation import Installation, StackFailed, installation
from marketplace.stack.supervisor import run_market


@click.command("run")
@click.option("--port", type=click.IntRange(1, 65_534), default=8000, show_default=True, help="Port on 127.0.0.1.")
@click.option("--empty", is_flag=True, help="A market without people, rather than the demonstration.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object when it answers.")
def command(port: int, empty: bool, as_json: bool) -> None:
    """Open the market and keep it open until Ctrl-C.

    Data lies in $DUEBILL_HOME (default: var beside the code). $DATABASE_URL names a PostgreSQL of your own instead of
    the one that comes with the market.
    """

    def opened(place: Installation, demo: bool) -> None:
        if as_json:
            click.echo(json.dumps({"url": place.base_url, "demo": demo, "home": str(place.home), "pid": os.getpid()}))
        welcome(place, demo)

    try:
        run_market(installation(os.environ, port=port, demo=not empty), progress, opened)
    except (StackFailed, PostgresFailed, SettingsError) as error:
        progress(str(error))
        sys.exit(1)


def welcome(place: Installation, demo: bool) -> None:
    """Say where the market is and, in a demonstration, who can sign in."""
    progress(f"\nThe market is open: {place.base_url}   (Ctrl-C closes it; data in {place.home})")
    try:
        known = json.loads((place.home / "people.json").read_text(encoding="utf-8")) if demo else {}
    except OSError:
        known = {}
    if known:
        progress(f"Sign in as one of these; the password is “{known['password']}”:\n")
    for person in known.get("people", ()):
        progress(f"  {person['email']:32} {person['role']:10} {person['house']}")

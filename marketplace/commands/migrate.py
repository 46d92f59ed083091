"""`bin/market migrate`: bring the database up to the present."""

import os

import click

from config.settings import SettingsError, sqlalchemy_url
from marketplace.stack.migration import migrate
from marketplace.stack.preparing import newest_revision


@click.command("migrate")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(as_json: bool) -> None:
    """Apply every migration that the database of $DATABASE_URL has not seen. bin/run does this by itself."""
    if not os.environ.get("DATABASE_URL"):
        raise SettingsError("DATABASE_URL is not set; bin/run migrates the database that comes with the market")
    migrate(sqlalchemy_url(os.environ["DATABASE_URL"]))
    if as_json:
        click.echo(f'{{"revision": "{newest_revision()}"}}')

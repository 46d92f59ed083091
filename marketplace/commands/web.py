"""`bin/market web`: the web server alone, for an installation whose other processes somebody else keeps."""

import os

import click

from marketplace.stack.supervisor import web_command


@click.command("web")
@click.option("--bind", default="127.0.0.1:8000", show_default=True, help="Address and port.")
@click.option("--json", "as_json", is_flag=True, help="Accepted everywhere; this command prints nothing.")
def command(bind: str, as_json: bool) -> None:
    """Serve the pages and the API with the settings of the environment, until told to stop."""
    program = web_command(bind)
    os.execv(program[0], program)  # noqa: S606

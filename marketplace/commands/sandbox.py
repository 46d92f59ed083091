"""`bin/market sandbox`: the payment provider's stand-in."""

import sys

import click

from marketplace.payments.sandbox.__main__ import main


@click.command("sandbox", context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
@click.pass_context
def command(ctx: click.Context) -> None:
    """Run the Stripe sandbox on loopback: --dir FOLDER --port N --webhook-url URL."""
    sys.exit(main(ctx.args))

"""`bin/market sandbox`: the payment provider's stand-in."""

import sys
from pathlib import Path

import click

from marketplace.payments.sandbox.__main__ import serve


@click.command("sandbox")
@click.option("--dir", "folder", type=click.Path(file_okay=False, path_type=Path), required=True,
              help="Folder of the sandbox's own books.")  # fmt: skip
@click.option("--port", type=click.IntRange(0, 65_535), default=8001, show_default=True,
              help="Port on 127.0.0.1; 0 takes a free one.")  # fmt: skip
@click.option("--webhook-url", help="Where events are delivered; kept for the next start.")
@click.option("--debit-seconds", type=float, help="Until a bank answers; negative: only when told.")
@click.option("--payout-seconds", type=float, help="Until a payout arrives; negative: only when told.")
@click.option("--json", "as_json", is_flag=True, help="The first line is JSON with or without this.")
def command(
    folder: Path, port: int, webhook_url: str | None, debit_seconds: float | None, payout_seconds: float | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Run the Stripe sandbox on loopback until Ctrl-C. No real money; live keys are refused.

    The first line of output is a JSON object that says where it listens. Webhooks are signed with
    $STRIPE_WEBHOOK_SECRET.
    """
    sys.exit(serve(folder, port, webhook_url, debit_seconds, payout_seconds))

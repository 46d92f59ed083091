"""`bin/market ledger`: what the books say, for whoever checks them."""

from datetime import datetime

import click

from marketplace.commands.audit import opened
from marketplace.commands.output import as_json_option, emit

COLUMNS = ["currency", "pool", "code", "debit_minor", "credit_minor", "accounts"]


@click.group("ledger")
def command() -> None:
    """The books: trial balance."""


@command.command("trial-balance")
@click.option("--on", "through", type=click.DateTime(formats=["%Y-%m-%d"]), help="Through this business date.")
@as_json_option
def trial_balance(through: datetime | None, as_json: bool) -> None:
    """Print debits and credits of every account of the chart, by currency and pool. Both sides of a pool agree."""
    with opened():
        from marketplace.db import db, let_go
        from marketplace.ledger import queries

        lines = [vars(line) for line in queries.trial_balance(db.session(), through.date() if through else None)]
        db.session.remove()
        let_go()
    emit(lines, as_json, COLUMNS)

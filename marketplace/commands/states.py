"""`bin/market states`: every state machine as a diagram, made from the code; docs/state-machines.md is its text."""

import importlib
from pathlib import Path

import click

from marketplace.commands.output import as_json_option, emit
from marketplace.kernel.states import Machine

# machine's module and name, and the tables whose states it rules
MACHINES = (
    ("marketplace.receivables.states", "RECEIVABLE", ("receivable",)),
    ("marketplace.receivables.states", "REVIEW", ("review",)),
    ("marketplace.receivables.states", "DISPUTE", ("dispute",)),
    ("marketplace.receivables.bulk.states", "UPLOAD", ("bulk_upload",)),
    ("marketplace.receivables.bulk.states", "ROW", ("bulk_row",)),
    ("marketplace.trading.rules", "LOT", ("lot",)),
    ("marketplace.trading.rules", "BID", ("bid",)),
    ("marketplace.trading.rules", "MANDATE", ("mandate",)),
    ("marketplace.trading.rules", "SESSION", ("call_session",)),
    ("marketplace.payments.rules", "PAYMENT", ("funding", "debtor_payment")),
    ("marketplace.payments.rules", "PAYOUT", ("payout",)),
    ("marketplace.payments.rules", "CALL", ("outgoing_call",)),
    ("marketplace.payments.rules", "NOTICE", ("incoming_event",)),
    ("marketplace.payments.rules", "CHARGEBACK", ("chargeback",)),
    ("marketplace.servicing.states", "COLLECTION", ("collection",)),
    ("marketplace.servicing.states", "DECISION", ("money_decision",)),
    ("marketplace.servicing.states", "OFFER", ("holding_offer",)),
    ("marketplace.servicing.states", "BUYBACK", ("buy_back",)),
    ("marketplace.servicing.states", "PROPOSAL", ("dilution_proposal",)),
    ("marketplace.rating.overriding", "OVERRIDE", ("grade_override",)),
    ("marketplace.rating.candidates", "MODEL", ("rating_model",)),
    ("marketplace.exchange.states", "CLAIM", ("exchange_claim",)),
    ("marketplace.exchange.states", "HELD", ("registry_claim",)),
)
HEAD = """# State machines

Every noun has a small machine of its own: one list of states and one table of moves in the code, the same list in a
CHECK and the same moves in a trigger of the database. A test compares them, and this file with both.

Made by `bin/market states --write`; do not edit it by hand.
"""


def machines() -> list[tuple[Machine, tuple[str, ...]]]:
    """Return every machine with the tables that it rules."""
    return [(getattr(importlib.import_module(module), name), tables) for module, name, tables in MACHINES]


def document() -> str:
    """Return the text of docs/state-machines.md."""
    return HEAD + "".join(_section(machine, tables) for machine, tables in machines())


def _section(machine: Machine, tables: tuple[str, ...]) -> str:
    title = tables[0].replace("_", " ").capitalize() if len(tables) == 1 else machine.noun.capitalize()
    entered = {after for moves in machine.moves.values() for after in moves}
    lines = [f"    [*] --> {state}" for state in machine.states if state not in entered]
    if not lines:
        lines = [f"    [*] --> {next(iter(machine.states))}"]
    for before, moves in machine.moves.items():
        lines += [f"    {before} --> {after}" for after in moves] or [f"    {before} --> [*]"]
    body = "\n".join(lines)
    where = " and ".join(f"`{table}`" for table in tables)
    return f"\n## {title}\n\nTable {where}.\n\n```mermaid\nstateDiagram-v2\n{body}\n```\n"


@click.command("states")
@click.option("--write", is_flag=True, help="Write docs/state-machines.md instead of printing it.")
@as_json_option
def command(write: bool, as_json: bool) -> None:
    """Print every state machine as a Mermaid diagram."""
    if write:
        place = Path(__file__).resolve().parents[2] / "docs" / "state-machines.md"
        place.write_text(document(), encoding="utf-8")
    elif as_json:
        rows = [
            {"noun": machine.noun, "from": str(before), "to": str(after)}
            for machine, _ in machines()
            for before, moves in machine.moves.items()
            for after in moves
        ]
        emit(rows, True, [])
    else:
        click.echo(document(), nl=False)

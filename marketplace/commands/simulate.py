"""`bin/market simulate`: random sellers, investors, debtors and a provider, under faults and kills, by a seed."""

import json
import random
import sys
import time

import click

from marketplace.commands.output import progress

CHOICES = ("kills", "provider", "webhooks", "database", "clock")


@click.command("simulate")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), help="Which life; by default one that nobody has seen.")
@click.option("--steps", type=click.IntRange(1, 1_000_000), default=200, show_default=True, help="How long it lasts.")
@click.option("--faults", default="all", show_default=True,
              help=f"What goes wrong: all, none, or some of {', '.join(CHOICES)}, joined by commas.")  # fmt: skip
@click.option("--kills", type=click.IntRange(1), help="Go on until so many processes were killed.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(seed: int | None, steps: int, faults: str, kills: int | None, as_json: bool) -> None:
    """Play a random life of the market in a database of its own, and check after every recovery what must be true.

    Processes are real and are killed (SIGKILL) at named places and anywhere; the provider errs; events are lost,
    doubled and shuffled; the clock leaps; the database is killed. Exits 1 if anything was lost, done twice or untrue.
    """
    chosen = {"all": frozenset(CHOICES), "none": frozenset[str]()}.get(faults, frozenset(faults.split(",")))
    unknown = chosen - set(CHOICES)
    if unknown:
        raise click.BadParameter(f"there is no fault {', '.join(sorted(unknown))}", param_hint="--faults")
    if kills and "kills" not in chosen:
        raise click.BadParameter("nothing is killed without the fault “kills”", param_hint="--kills")
    from marketplace.simulator.run import simulate

    seed = random.SystemRandom().getrandbits(32) if seed is None else seed
    began = time.monotonic()
    tally = simulate(seed, steps, chosen, progress, kills=kills)
    record = tally.record(seed, time.monotonic() - began)
    if as_json:
        click.echo(json.dumps(record))
    else:
        for name, value in record.items():
            if name != "invariants":
                click.echo(f"{name:20}{value}")
        for check in record["invariants"]:
            click.echo(f"{check['name']:35}{'holds' if check['ok'] else 'BROKEN'}")
    if not tally.ok():
        for words in tally.wrong:
            progress(words)
        told = faults if kills is None else f"{faults} --kills {kills}"
        progress(f"replay: bin/market simulate --seed {seed} --steps {steps} --faults {told}")
        sys.exit(1)

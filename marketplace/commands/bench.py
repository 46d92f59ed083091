"""`bin/market bench`: the benchmarks of the folder `bench`, each a line with the ratio it claims."""

import importlib
import sys
from types import ModuleType

import click

from config.settings import HOUSE
from marketplace.commands.output import as_json_option, emit, progress

PLACE = HOUSE / "bench"
COLUMNS = ("name", "value", "target", "ok", "runs")


def names() -> list[str]:
    """Return the benchmarks there are: every module of the folder that can be measured."""
    return sorted(path.stem.replace("_", "-") for path in PLACE.glob("*.py")
                  if "\ndef measure(" in path.read_text(encoding="utf-8"))  # fmt: skip


def module(name: str) -> ModuleType:
    """Return a benchmark.

    Raises: BadParameter, naming those there are.
    """
    if name not in names():
        there = ", ".join(names()) or "none: they come with a clone of the market"
        raise click.BadParameter(f"there is no benchmark {name!r}. There are: {there}.", param_hint="NAME")
    if str(HOUSE) not in sys.path:
        sys.path.insert(0, str(HOUSE))
    return importlib.import_module(f"bench.{name.replace('-', '_')}")


@click.command("bench")
@click.argument("name")
@click.option("--size", type=click.IntRange(1_000), help="How much to measure; by default what the target asks.")
@click.option("--runs", type=click.IntRange(1, 99), default=5, show_default=True, help="The median of so many counts.")
@as_json_option
def command(name: str, size: int | None, runs: int, as_json: bool) -> None:
    """Measure the benchmark NAME, on a database of its own that is thrown away. Exits 1 if a target is missed."""
    figures = []
    for figure in module(name).measure(size, runs, progress):
        figures.append(figure)
        emit([figure.record()], as_json, COLUMNS)
    if any(figure.ok is False for figure in figures):
        sys.exit(1)

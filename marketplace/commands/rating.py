"""`bin/market rating`: train the model, judge it, show its card. Needs no database."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from config.settings import read_policy
from marketplace.commands.output import as_json_option, emit, progress
from marketplace.kernel import policy
from marketplace.kernel.errors import InvalidInput
from marketplace.rating.model import HOME, load_model, read_card
from marketplace.rating.ratios import LEVELS

METRICS = ("level", "rows", "failures", "auc", "auc_se", "ks", "brier", "log_loss", "ece", "slope")
JUDGED = ("model", "level", "n", "events", "auc", "auc_interval", "ks", "brier", "log_loss", "ece", "slope")
GRADES = ("grade", "n", "defaults", "mean_pd", "rate", "jeffreys_p")
DATA = "us_firmyears_*.parquet"
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)


@click.group("rating")
def command() -> None:
    """Train and judge the model behind the grades."""


@command.command("train")
@click.option("--data", required=True, type=click.Path(exists=True, path_type=Path),
              help=f"The file of firm-years, or a folder that holds one {DATA}.")  # fmt: skip
@click.option("--out", default=HOME, type=FOLDER, help="Where the model goes (default: the model in use).")
@click.option("--until", type=int, help="The last fiscal year to learn from: to judge a model on later ones.")
@as_json_option
def train(data: Path, out: Path, until: int | None, as_json: bool) -> None:
    """Fit champion and challenger, calibrate, judge, and write model and card. The same data give the same files."""
    from marketplace.rating.dataset import read_firm_years
    from marketplace.rating.training import train as fit

    card = fit(read_firm_years(_firm_years(data)), out, _timed(), until)
    _tell_card(card, as_json)
    progress(f"model {card['version']} written to {out}")


@command.command("evaluate")
@click.option("--data", required=True, type=click.Path(exists=True, path_type=Path),
              help=f"A Parquet or CSV file of firm-years, or a folder that holds one {DATA}.")  # fmt: skip
@click.option("--level", type=click.Choice(LEVELS), default="full", show_default=True, help="What filings would tell.")
@click.option("--dataset", "layout", type=click.Choice(("us", "polish")), default="us", show_default=True,
              help="The file's layout: figures by company and year, or the Polish set's 64 ratios.")  # fmt: skip
@click.option("--from-year", type=int, help="First fiscal year to judge.")
@click.option("--to-year", type=int, help="Last fiscal year to judge.")
@click.option("--model", "home", default=HOME, type=FOLDER, help="The model's folder (default: the model in use).")
@as_json_option
def evaluate(
    data: Path, level: str, layout: str, from_year: int | None, to_year: int | None, home: Path, as_json: bool
) -> None:
    """Judge the model on firm-years it may never have seen: AUC, KS, Brier, log loss, ECE, slope, table by grade."""
    from marketplace.rating.dataset import read_data
    from marketplace.rating.evaluation import evaluate as judge

    bounds = policy.parse(read_policy()).rating.grade_bounds_ppm
    population = read_data(_firm_years(data) if layout == "us" else data, layout)
    found = judge(load_model(home), population, level, bounds, from_year, to_year)
    if left_out := len(population.outcome) - found["n"]:
        progress(f"{left_out} rows are not judged: other years, or no assets")
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False))
        return
    size = {"level": level, "n": found["n"], "events": found["events"]}
    emit([{"model": name} | size | part for name, part in (("champion", found), ("challenger", found["challenger"]))],
         False, JUDGED)  # fmt: skip
    click.echo(f"Z″ alone: AUC {found['z_double_prime_auc']}\n")
    emit(found["grades"], False, GRADES)


@command.command("choose")
@click.option("--data", required=True, type=click.Path(exists=True, path_type=Path),
              help=f"The file of firm-years, or a folder that holds one {DATA}.")  # fmt: skip
@as_json_option
def choose(data: Path, as_json: bool) -> None:
    """Say what each choice in the model buys: mean AUC on growing windows until 2011. Takes minutes."""
    from marketplace.rating.choosing import compare
    from marketplace.rating.dataset import read_firm_years

    emit(compare(read_firm_years(_firm_years(data)), _timed()), as_json, ("choice", *LEVELS, "mean", "windows"))


@command.command("card")
@click.option("--model", "home", default=HOME, type=FOLDER, help="The model's folder (default: the model in use).")
@as_json_option
def card(home: Path, as_json: bool) -> None:
    """Show the model card: data, windows, measures, limits."""
    _tell_card(read_card(home), as_json)


def _firm_years(path: Path) -> Path:
    if not path.is_dir():
        return path
    found = sorted(path.glob(DATA))
    if len(found) != 1:
        raise InvalidInput("no_data", "The folder holds %(count)s files %(pattern)s; name one.",
                           {"count": len(found), "pattern": DATA})  # fmt: skip
    return found[0]


def _timed() -> Callable[[str], None]:
    began = time.monotonic()
    return lambda words: progress(f"{time.monotonic() - began:5.0f} s  {words}")


def _tell_card(card: dict[str, Any], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(card, ensure_ascii=False))
        return
    click.echo(f"{card['name']}, model {card['version']}, fitted on {card['windows']['fit']}\n")
    for note, found in (("metrics_note", "metrics"), ("by_company_note", "by_company")):
        rows = [part | {"level": f"{level} ({kind})"} for level, kinds in card[found].items()
                for kind, part in kinds.items()]  # fmt: skip
        click.echo(card[note])
        emit(rows, False, METRICS)
        click.echo()
    click.echo("\n" + "\n".join(f"- {limit}" for limit in card["limits"]))

"""`bin/market rating`: train the model, judge it, show its card; learn from the market's own outcomes; compute past
ratings again. Only the last two need a database.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from config.settings import read_policy
from marketplace.commands.output import as_json_option, emit, progress
from marketplace.kernel import policy
from marketplace.kernel.canonical import jsonable
from marketplace.kernel.errors import InvalidInput
from marketplace.rating.model import HOME, load_model, read_card
from marketplace.rating.ratios import LEVELS

METRICS = ("level", "rows", "failures", "auc", "auc_se", "ks", "brier", "log_loss", "ece", "slope")
JUDGED = ("model", "level", "n", "events", "auc", "auc_interval", "ks", "brier", "log_loss", "ece", "slope")
BY_YEARS = ("years", "level", "failures", "auc", "auc_se", "auc_within", "auc_within_se")
GRADES = ("grade", "n", "defaults", "mean_pd", "rate", "jeffreys_p")
LEARNT = ("verdict", "model", "base", "outcomes", "years", "failures", "judged", "judged_failures")
COMPARED = ("model", "candidate_auc", "serving_auc", "auc_gain", "auc_gain_error", "candidate_log_loss",
            "serving_log_loss", "loss_gain", "loss_gain_error")  # fmt: skip
DATA = "us_firmyears_*.parquet"
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)


@click.group("rating")
def command() -> None:
    """Train and judge the model behind the grades."""


def register_options(door: Callable[..., None]) -> Callable[..., None]:
    """Let a command take the companies register's bulk products in place of a file of firm-years."""
    for option in (
        click.option("--tolerance", type=click.IntRange(0, 36), default=6, show_default=True,
                     help="So many months after a window's end a monthly file may still judge it."),
        click.option("--horizon", type=click.IntRange(1, 36), default=12, show_default=True,
                     help="A failure counts so many months after the time for filing."),
        click.option("--lag", type=click.IntRange(0, 36), default=9, show_default=True,
                     help="The months allowed for filing after the balance sheet date."),
        click.option("--cases", multiple=True, type=FILE,
                     help="Insolvency cases as the register's API answers, a company a line: exact days."),
        click.option("--snapshot", "snapshots", multiple=True, type=FILE,
                     help="A monthly file BasicCompanyDataAsOneFile-YYYY-MM-DD.zip; give several."),
        click.option("--accounts", multiple=True, type=click.Path(exists=True, path_type=Path),
                     help="The register's ZIPs of accounts, files or folders, in place of --data; give several."),
    ):  # fmt: skip
        door = option(door)
    return door


@command.command("train")
@click.option("--data", type=click.Path(exists=True, path_type=Path),
              help=f"The file of firm-years, or a folder that holds one {DATA}.")  # fmt: skip
@register_options
@click.option("--out", default=HOME, type=FOLDER, help="Where the model goes (default: the model in use).")
@click.option("--until", type=int, help="The last fiscal year to learn from: to judge a model on later ones.")
@as_json_option
def train(data: Path | None, out: Path, until: int | None, as_json: bool, **bulk: Any) -> None:
    """Fit champion and challenger, calibrate, judge, and write model and card. The same data give the same files.

    Learns from a file of firm-years (--data), or from the companies register's bulk products: --accounts and
    --snapshot. What becomes of a company is told by the first monthly file on or after the end of its window.
    """
    from marketplace.rating.training import train as fit

    bounds = policy.parse(read_policy()).rating.grade_bounds_ppm
    card = fit(_population(data, "us", bulk), out, _timed(), until, bounds)
    _tell_card(card, as_json)
    progress(f"model {card['version']} written to {out}")


@command.command("evaluate")
@click.option("--data", type=click.Path(exists=True, path_type=Path),
              help=f"A Parquet or CSV file of firm-years, or a folder that holds one {DATA}.")  # fmt: skip
@register_options
@click.option("--level", type=click.Choice(LEVELS), default="full", show_default=True, help="What filings would tell.")
@click.option("--dataset", "layout", type=click.Choice(("us", "polish")), default="us", show_default=True,
              help="The file's layout: figures by company and year, or the Polish set's 64 ratios.")  # fmt: skip
@click.option("--from-year", type=int, help="First fiscal year to judge.")
@click.option("--to-year", type=int, help="Last fiscal year to judge.")
@click.option("--model", "home", default=HOME, type=FOLDER, help="The model's folder (default: the model in use).")
@as_json_option
def evaluate(
    data: Path | None, level: str, layout: str, from_year: int | None, to_year: int | None, home: Path, as_json: bool,
    **bulk: Any
) -> None:  # fmt: skip
    """Judge the model on firm-years it may never have seen: AUC, KS, Brier, log loss, ECE, slope, table by grade."""
    from marketplace.rating.evaluation import evaluate as judge

    bounds = policy.parse(read_policy()).rating.grade_bounds_ppm
    population = _population(data, layout, bulk)
    found = judge(load_model(home), population, level, bounds, from_year, to_year)
    if left_out := len(population.outcome) - found["n"]:
        progress(f"{left_out} rows are not judged: other years, or no assets")
    _tell_inversions(found["grades"])
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
    """Say what each choice in the model buys: AUC on growing windows and on companies held out, until 2011.

    Takes a quarter of an hour.
    """
    from marketplace.rating.choosing import compare
    from marketplace.rating.dataset import read_firm_years

    emit(compare(read_firm_years(_firm_years(data)), _timed()), as_json,
         ("choice", *LEVELS, "mean", "by_company", "windows"))  # fmt: skip


@command.command("card")
@click.option("--model", "home", default=HOME, type=FOLDER, help="The model's folder (default: the model in use).")
@as_json_option
def card(home: Path, as_json: bool) -> None:
    """Show the model card: data, windows, measures, limits."""
    _tell_card(read_card(home), as_json)


@command.command("learn")
@click.option("--data", type=click.Path(exists=True, path_type=Path),
              help=f"The public firm-years to learn from too: a file, or a folder that holds one {DATA}.")  # fmt: skip
@as_json_option
def learn(data: Path | None, as_json: bool) -> None:
    """Learn from the market's own outcomes now, as the monthly job does: fit, compare, keep, propose.

    What was fitted grades nobody until two operators have put it into service.
    """
    from marketplace.app import create_app
    from marketplace.jobs.model_learning import learn as once
    from marketplace.rating.learning import fit_here

    say = _timed()
    with create_app().app_context():
        done = once(lambda content, public: fit_here(content, public, say), say, _firm_years(data) if data else None)
    if as_json:
        click.echo(json.dumps(done, ensure_ascii=False, default=jsonable))
        return
    emit([done], False, LEARNT)
    if compared := done.get("comparison"):
        click.echo(f"\nOn the newest {compared['rows']} company years, {compared['failures']} failed; in millionths\n")
        emit([{"model": name} | compared[name] | {f"{which}_{key}": value for which in ("candidate", "serving")
              for key, value in compared[name][which].items()} for name in ("champion", "challenger")],
             False, COMPARED)  # fmt: skip


@command.command("recompute")
@as_json_option
def recompute(as_json: bool) -> None:
    """Compute every past rating again from what was kept beside it, with the model of its version.

    Prints what differs, with --json every rating. Exits 1 when one differs or its model is gone.
    """
    from flask import current_app

    from marketplace.app import create_app
    from marketplace.db import db
    from marketplace.rating.recomputing import recompute as again

    total = different = 0
    with create_app().app_context():
        for one in again(db.session(), current_app.extensions["duebill"].policy):
            total += 1
            different += not one.same
            if as_json or not one.same:
                emit([{"kind": one.kind, "rating_id": one.rating_id, "model_version": one.model_version,
                       "same": one.same, "whole": one.whole, "differs": list(one.differs), "why": one.why,
                       "kept": dict(one.kept), "again": dict(one.again)}], True, ())  # fmt: skip
    progress(f"{total:,} ratings computed again, {different:,} differ")
    if different:
        raise SystemExit(1)


def _population(data: Path | None, layout: str, bulk: dict[str, Any]) -> Any:
    """Read the firm-years of --data, or those of the register's bulk products.

    Raises: UsageError unless it is one of the two.
    """
    from marketplace.rating.dataset import read_data
    from marketplace.rating.register.outcomes import Window
    from marketplace.rating.register.population import read_bulk

    given = {name for name in ("accounts", "snapshots", "cases") if bulk[name]}
    if data is not None and not given:
        return read_data(_firm_years(data) if layout == "us" else data, layout)
    if data is not None or not {"accounts", "snapshots"} <= given:
        raise click.UsageError("Give either --data, or both --accounts and --snapshot.")
    window = Window(bulk["lag"], bulk["horizon"], bulk["tolerance"])
    found = read_bulk(bulk["accounts"], bulk["snapshots"], bulk["cases"], window, _timed())
    progress(f"{len(found.outcome):,} firm-years, {int(found.outcome.sum()):,} failures; left out: "
             + (", ".join(f"{why} {count:,}" for why, count in found.left_out.items()) or "none"))  # fmt: skip
    return found


def _firm_years(path: Path) -> Path:
    if not path.is_dir():
        return path
    found = sorted(path.glob(DATA))
    if len(found) != 1:
        raise InvalidInput("no_data", "The folder holds %(count)s files %(pattern)s; name one.",
                           {"count": len(found), "pattern": DATA})  # fmt: skip
    return found[0]


def _tell_inversions(grades: list[dict[str, Any]], where: str = "") -> None:
    """Say every pair of grades that stands upside down, and how often a right model's table would show one."""
    from marketplace.rating.evaluation import chance_of_inversion, inversions

    found = inversions(grades)
    for one in found:
        both = [f"{failed} of {n:,}, {failed / n:.3%}, 95 % between {low:.3%} and {high:.3%}"
                for (failed, n), (low, high) in zip(one["counts"], one["intervals"], strict=True)]  # fmt: skip
        verdict = "ALARM" if one["alarm"] else "no alarm"
        progress(f"{where}{verdict}: {one['better']} ({both[0]}) failed more often than {one['worse']} "
                 f"({both[1]}); by chance alone in {one['p']:.1%} of such cases")  # fmt: skip
    if found:
        progress(f"{where}were every mean PD exactly right, {chance_of_inversion(grades):.0%} of such tables would "
                 "show at least one such pair")  # fmt: skip


def _timed() -> Callable[[str], None]:
    began = time.monotonic()
    return lambda words: progress(f"{time.monotonic() - began:5.0f} s  {words}")


def _tell_card(card: dict[str, Any], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(card, ensure_ascii=False))
        return
    click.echo(f"{card['name']}, model {card['version']}, fitted on {card['windows']['fit']}\n")
    for found in (name for name in ("metrics", "by_company", "by_company_newest") if name in card):
        rows = [part | {"level": f"{level} ({kind})"} for level, kinds in card[found].items()
                for kind, part in kinds.items() if kind != "grades"]  # fmt: skip
        click.echo(card[f"{found}_note"])
        emit(rows, False, METRICS)
        click.echo()
    if "by_company_years" in card:
        click.echo(card["by_company_years_note"])
        emit(({**row, "years": "–".join(map(str, row["years"]))} for row in card["by_company_years"]), False, BY_YEARS)
        click.echo()
    graded = {level: kinds["grades"] for level, kinds in card.get("by_company", {}).items() if "grades" in kinds}
    if graded:
        click.echo("Companies held out, all years, by grade")
        emit([{"level": level, **row} for level, rows in graded.items() for row in rows], False, ("level", *GRADES))
        for level, rows in graded.items():
            _tell_inversions(rows, f"{level}, companies held out: ")
    _tell_making(card)
    click.echo("\n" + "\n".join(f"- {limit}" for limit in card["limits"]))


def _tell_making(card: dict[str, Any]) -> None:
    """Say what the model was made from and how: data, years, parameters, lines, whom reasons compare with."""
    data = card["data"]
    click.echo(f"\nData: {data['file']}, {data['rows']:,} company years, {data['failures']:,} failures, "
               f"SHA-256 {data['sha256']}")  # fmt: skip
    for name in ("left_out", "own"):
        if data.get(name):
            click.echo(f"  {name}: " + ", ".join(f"{key} {value}" for key, value in data[name].items()))
    click.echo("Years: " + ", ".join(f"{name} {first}–{last}" for name, (first, last) in card["windows"].items()))
    click.echo("Parameters: " + ", ".join(f"{name} {value}" for name, value in card["parameters"].items()))
    click.echo(f"Weight of the trees: {card.get('trees_weight', 1.0)}; failure rate calibrated to: {card['base_rate']}")
    click.echo("Calibration, log-odds = intercept + slope · score: " + ", ".join(
        f"{level} {intercept} + {slope}" for level, (intercept, slope) in card["calibration"].items()))  # fmt: skip
    click.echo("Reasons compare with: " + ", ".join(f"{name} {value}" for name, value in card["reference"].items()))
    click.echo("Files: " + ", ".join(f"{name} {sha256}" for name, sha256 in card["files"].items()))

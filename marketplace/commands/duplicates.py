"""`bin/market duplicates evaluate`: count up what the matcher finds in a set of judged pairs. Needs no database."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import click

from marketplace.commands.output import as_json_option, emit, progress
from marketplace.receivables.matching.judged_pairs import PAIR_BYTES_MAX, Score, judge, read_pair
from marketplace.receivables.matching.likeness import HOME

FIGURES = ("set", "model", "exact_blocked", "near", "composed", "all", "honest_blocked", "honest_held")


@click.group("duplicates")
def command() -> None:
    """Judge how well a debt listed twice is recognised."""


@command.command("evaluate")
@click.argument("pairs", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def evaluate(pairs: Path, as_json: bool) -> None:
    """Judge every pair of listings in PAIRS as the market would, and print the shares found and wrongly found.

    PAIRS holds a JSON object a line: {"a": listing, "b": listing, "same": true or false, "kind": text}; - reads
    standard input. Exits 2 at the first line that is not one, and names it.
    """
    started = time.perf_counter()
    score = Score()
    with click.open_file(str(pairs), "rb") as stream:
        for row, raw in _rows(stream):
            pair = read_pair(raw, row)
            score.add(pair, judge(pair.one, pair.other))
    report = {**score.report(), "seconds": round(time.perf_counter() - started, 3)}
    click.echo(json.dumps(report, ensure_ascii=False) if as_json else "\n".join(_told(report)))


@command.command("train")
@click.argument("pairs", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--out", default=HOME, type=click.Path(file_okay=False, path_type=Path),
              help="Where the model goes (default: the model in use).")  # fmt: skip
@click.option("--every", default=1, type=click.IntRange(1, 100), show_default=True,
              help="Take one pair of so many, chosen by the hash of its line.")  # fmt: skip
@as_json_option
def train(pairs: tuple[Path, ...], out: Path, every: int, as_json: bool) -> None:
    """Learn from judged sets, as evaluate takes them, which pairs to hold; judge each set by a model of the others.

    The same files give the same model, to the byte. Exits 2 at the first line that is not a pair, and names it.
    """
    from marketplace.receivables.matching.learning import read_judged
    from marketplace.receivables.matching.learning import train as learn

    sets = []
    for path in pairs:
        progress(f"reading {path.name}")
        sets.append(read_judged(path, every))
    card = learn(sets, out, progress, every)
    rows = [{"set": name, "model": model, **figures} for model in ("left_out", "learnt")
            for name, figures in card[model].items()]  # fmt: skip
    emit(rows, as_json, FIGURES)
    progress(f"model {card['version']}, threshold {card['threshold']}, written to {out}")


def _rows(stream: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """Yield every line that is not blank with its number; a longer one than may be comes cut, to be refused."""
    row = 0
    while raw := stream.readline(PAIR_BYTES_MAX + 1):
        row += 1
        if raw.strip():
            yield row, raw


def _told(report: dict[str, Any]) -> Iterator[str]:
    for name, value in report.items():
        if name != "by_kind":
            yield f"{name:<29}{'–' if value is None else value}"
    kinds = report["by_kind"]
    width = max(map(len, kinds), default=0)
    yield f"\n{'kind':<{width}}  {'n':>8}  {'blocked':>8}  {'held':>8}"
    for kind, tally in kinds.items():
        yield f"{kind:<{width}}  {tally['n']:>8}  {tally['blocked']:>8}  {tally['held']:>8}"

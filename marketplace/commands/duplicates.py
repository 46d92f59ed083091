"""`bin/market duplicates evaluate`: count up what the matcher finds in a set of judged pairs. Needs no database."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import click

from marketplace.receivables.matching.judged_pairs import PAIR_BYTES_MAX, Score, judge, read_pair


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

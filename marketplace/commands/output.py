"""What commands say: records to standard output, as a table or as JSON; progress to standard error."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click

from marketplace.kernel.canonical import jsonable

as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line.")


def emit(records: Iterable[Mapping[str, Any]], as_json: bool, columns: Sequence[str]) -> None:
    """Print records: with `as_json` one JSON object a line, with every field; else the named columns, aligned."""
    if as_json:
        for record in records:
            click.echo(json.dumps(dict(record), ensure_ascii=False, default=jsonable))
        return
    rows = [[_cell(record.get(column)) for column in columns] for record in records]
    widths = [max(map(len, cells)) for cells in zip(columns, *rows, strict=True)]
    for cells in (list(columns), *rows):
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())


def progress(words: str) -> None:
    """Say how far it is, to standard error."""
    click.echo(words, err=True)


def _cell(value: Any) -> str:
    return "–" if value is None else str(value)

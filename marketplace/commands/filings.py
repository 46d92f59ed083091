"""`bin/market filings read`: say what company accounts hold and what is wrong with them. Needs no database."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from marketplace.commands.output import as_json_option, emit
from marketplace.kernel.errors import InvalidInput, Problem
from marketplace.rating.figures import read_filing
from marketplace.rating.filing import REPORTED, Year
from marketplace.rating.ixbrl import BYTES_MAX
from marketplace.rating.numbers import plain

DOCUMENTS = frozenset((".html", ".xhtml", ".htm", ".xml"))
COLUMNS = ("file", "company_number", "period_end", "current_assets", "creditors_within", "net_assets", "faults")


@click.group("filings")
def command() -> None:
    """Read company accounts: iXBRL, and the plain XBRL of before 2011."""


@command.command("read")
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@as_json_option
def read(paths: tuple[Path, ...], as_json: bool) -> None:
    """Read every file in PATHS; folders are walked for .html, .xhtml and .xml.

    A file that cannot be read is a line too, with the reason. Exits 0 when every file could be looked at.
    """
    records = (_record(file) for path in paths for file in _documents(path))
    if as_json:
        for record in records:
            emit([record], True, ())
    else:
        emit([_told(record) for record in records], False, COLUMNS)


def _documents(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    for file in sorted(path.rglob("*")):
        if not file.is_symlink() and file.is_file() and file.suffix.lower() in DOCUMENTS:
            yield file


def _record(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as handle:
            content = handle.read(BYTES_MAX + 1)
        filing = read_filing(content, file.name)
    except InvalidInput as refusal:
        return {
            "file": str(file),
            "company_number": None,
            "period_end": None,
            "prior_period_end": None,
            "current": dict.fromkeys(REPORTED),
            "prior": dict.fromkeys(REPORTED),
            "refused": refusal.code,
            "faults": [_fault(problem) for problem in refusal.problems],
        }
    except OSError as error:
        click.echo(f"{file}: {error.strerror}", err=True)
        raise SystemExit(1) from None
    return {
        "file": str(file),
        "company_number": filing.company_number,
        "period_end": filing.period_end,
        "prior_period_end": filing.prior_period_end,
        "current": _figures(filing.current),
        "prior": _figures(filing.prior),
        "refused": None,
        "faults": [_fault(problem) for problem in filing.faults],
    }


def _figures(year: Year | None) -> dict[str, str | None]:
    values = {name: year.get(name) if year else None for name in REPORTED}
    return {name: None if value is None else plain(value) for name, value in values.items()}


def _fault(problem: Problem) -> dict[str, Any]:
    return asdict(problem) | {"params": {name: str(value) for name, value in problem.params.items()},
                              "words": problem.said()}  # fmt: skip


def _told(record: dict[str, Any]) -> dict[str, Any]:
    current = record["current"]
    return record | {
        "current_assets": current["current_assets"],
        "creditors_within": current["creditors_within_one_year"],
        "net_assets": current["net_assets"],
        "faults": "; ".join(fault["words"] for fault in record["faults"]) or None,
    }

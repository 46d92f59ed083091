"""`bin/market einvoice read`: say what e-invoices hold and whether they may be listed. Needs no database."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import click

from marketplace.kernel.errors import InvalidInput, Problem
from marketplace.receivables.einvoice.neutral import REPORTED
from marketplace.receivables.einvoice.policy import words_for
from marketplace.receivables.einvoice.reading import UPLOAD_BYTES_MAX, read_einvoice

DOCUMENTS = frozenset((".xml", ".pdf"))
READERS = 2


@click.group("einvoice")
def command() -> None:
    """Read e-invoices: UBL, CII, Factur-X / ZUGFeRD PDF, FatturaPA."""


@command.command("read")
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line, one line a file.")
def read(paths: tuple[Path, ...], as_json: bool) -> None:
    """Read every file in PATHS; folders are walked for .xml and .pdf.

    A document that is no invoice is a line too, with the reason. Exits 1 when a file could not be opened.
    """
    failed = False
    for file, record in _records(file for path in paths for file in _documents(path)):
        if isinstance(record, OSError):
            click.echo(f"{file}: {record.strerror}", err=True)
            failed = True
        else:
            click.echo(json.dumps(record, ensure_ascii=False) if as_json else _told(file, record))
    if failed:
        raise SystemExit(1)


def _records(files: Iterable[Path]) -> Iterator[tuple[Path, dict[str, object] | OSError]]:
    """Yield each file with what it says, in order; only a few are in memory at a time."""
    waiting: deque[tuple[Path, Future[dict[str, object] | OSError]]] = deque()
    with ThreadPoolExecutor(READERS) as readers:
        for file in files:
            waiting.append((file, readers.submit(_record, file)))
            if len(waiting) > READERS:
                first, found = waiting.popleft()
                yield first, found.result()
        for file, found in waiting:
            yield file, found.result()


def _documents(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    for file in sorted(path.rglob("*")):
        if file.is_symlink() or not file.is_file():
            continue
        if file.suffix.lower() in DOCUMENTS:
            yield file
        else:
            click.echo(f"{file}: not an .xml or .pdf document, left out", err=True)


def _record(file: Path) -> dict[str, object] | OSError:
    try:
        with file.open("rb") as handle:
            content = handle.read(UPLOAD_BYTES_MAX + 1)
        invoice = read_einvoice(content, file.name)
    except InvalidInput as refused:
        return {
            "file": str(file),
            "syntax": refused.params.get("syntax"),
            "kind": "unreadable",
            "fields": dict.fromkeys(REPORTED),
            "listable": "no",
            "reasons": [refused.code],
            "notes": [],
            "faults": [_fault(problem) for problem in refused.problems],
        }
    except OSError as error:
        return error
    return {
        "file": str(file),
        "syntax": invoice.syntax,
        "kind": invoice.kind,
        "fields": dict(invoice.fields),
        "listable": invoice.listable,
        "reasons": list(invoice.reasons),
        "notes": list(invoice.notes),
        "faults": [_fault(problem) for problem in invoice.faults],
    }


def _fault(problem: Problem) -> dict[str, str]:
    return {"field": problem.field, "rule": problem.rule, "words": problem.said()}


def _told(file: Path, record: dict[str, object]) -> str:
    fields = record["fields"]
    assert isinstance(fields, dict)
    due = f"{fields['BT-115']} {fields['BT-5']}" if fields["BT-115"] else "-"
    syntax, number = record["syntax"] or "no syntax known", fields["BT-1"] or "no number"
    lines = [f"{file}: {record['listable']}; {syntax}, {number}, due {due}"]
    reasons = record["reasons"]
    assert isinstance(reasons, list)
    faults = record["faults"]
    assert isinstance(faults, list)
    if record["kind"] == "unreadable":
        lines += [f"  {fault['rule']}: {fault['words']}" for fault in faults]
    else:
        lines += [f"  {reason}: {words_for(reason)}" for reason in reasons]
    return "\n".join(lines)

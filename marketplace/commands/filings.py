"""`bin/market filings read`: say what company accounts hold and what is wrong with them. Needs no database."""

import json
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import click

from marketplace.commands.output import as_json_option, progress
from marketplace.rating.reading.journal import CannotResume, Journal
from marketplace.rating.reading.sources import items, survey
from marketplace.rating.reading.workers import Readers

COLUMNS = {"file": 44, "company_number": 14, "period_end": 10, "current_assets": 14, "creditors_within": 16,
           "net_assets": 14, "faults": 0}  # fmt: skip
PROGRESS_SECONDS, NOTE_SECONDS = 2.0, 0.5
INTERRUPTED = 130


@click.group("filings")
def command() -> None:
    """Read company accounts: iXBRL, and the plain XBRL of before 2011."""


@command.command("read")
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--workers", type=click.IntRange(1, 64), help="Processes at once; by default one a processor.")
@click.option(
    "--resume",
    "journal",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="JOURNAL",
    help="Keep in JOURNAL how far it is, and go on from there if it exists. Append the output with >>.",
)
@as_json_option
def read(paths: tuple[Path, ...], workers: int | None, journal: Path | None, as_json: bool) -> None:
    """Read every document in PATHS: files, folders (.html, .xhtml, .htm, .xml, .zip) and the registry's bulk ZIPs.

    A file that cannot be read is a line too, with the reason. Each is read in a process that can open neither file nor
    socket and has 192 MB and two seconds. Exits 0 when every file has its line, 130 when interrupted.
    """
    known = survey(paths)
    output = sys.stdout.fileno() if journal else -1
    try:
        kept = Journal(journal, known.digest, output) if journal else None
    except CannotResume as why:
        raise click.UsageError(f"--resume {journal}: {why}.") from None
    run = _Run(known.count, kept, as_json)
    with _Interruptible() as wish, Readers(workers) as readers:
        lines = readers.read(items(paths, skip=run.done))
        for chunk in lines:
            run.out(chunk)
            if wish.stop:
                lines.close()
                break
        run.end(interrupted=wish.stop)
    if wish.stop:
        sys.exit(INTERRUPTED)


class _Run:
    """One reading: the lines that are out, and how it is told."""

    def __init__(self, total: int, journal: Journal | None, as_json: bool) -> None:
        self._total, self._journal, self._as_json = total, journal, as_json
        self.done = self._before = journal.place.done if journal else 0
        self.unreadable = journal.place.unreadable if journal else 0
        self._began = self._told = self._noted = time.monotonic()
        if self.done:
            progress(f"going on after {self.done:,} of {total:,}")
        if not as_json:
            click.echo(_row({name: name for name in COLUMNS}))

    def out(self, chunk: Sequence[bytes]) -> None:
        """Print the lines of a chunk, and note them."""
        if self._as_json:
            sys.stdout.buffer.write(b"".join(line + b"\n" for line in chunk))
        else:
            for line in chunk:
                click.echo(_row(_told(json.loads(line))))
        self.done += len(chunk)
        self.unreadable += sum(b'"period_end": null' in line for line in chunk)
        now = time.monotonic()
        if now - self._noted >= NOTE_SECONDS:
            self._note()
            self._noted = now
        if now - self._told >= PROGRESS_SECONDS:
            progress(self._words())
            self._told = now

    def end(self, *, interrupted: bool) -> None:
        """Note the last line, and tell the end of a long run or of one that was broken off."""
        self._note()
        if interrupted:
            progress(f"interrupted: {self._words()}")
        elif self._told > self._began or self._before:
            progress(f"done: {self._words()}")

    def _note(self) -> None:
        sys.stdout.flush()
        if self._journal:
            self._journal.note(self.done, self.unreadable)

    def _words(self) -> str:
        pace = (self.done - self._before) / max(time.monotonic() - self._began, 0.001)
        return f"{self.done:,} of {self._total:,} read, {pace:,.0f} a second, {self.unreadable:,} unreadable"


class _Interruptible:
    """Let Ctrl-C and SIGTERM end the run after the chunk at hand, so that the journal tells the truth."""

    def __init__(self) -> None:
        self.stop = False

    def __enter__(self) -> "_Interruptible":
        self._before = {wish: signal.signal(wish, self._wished) for wish in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for wish, before in self._before.items():
            signal.signal(wish, before)

    def _wished(self, number: int, frame: FrameType | None) -> None:
        self.stop = True


def _told(record: dict[str, Any]) -> dict[str, Any]:
    current = record["current"]
    return record | {
        "current_assets": current["current_assets"],
        "creditors_within": current["creditors_within_one_year"],
        "net_assets": current["net_assets"],
        "faults": "; ".join(fault["words"] for fault in record["faults"]) or None,
    }


def _row(record: dict[str, Any]) -> str:
    return "  ".join(_cell(record[name]).ljust(width) for name, width in COLUMNS.items()).rstrip()


def _cell(value: Any) -> str:
    """Return a value to be shown. What a file's name holds must not steer the terminal."""
    return "–" if value is None else "".join(sign if sign.isprintable() else "·" for sign in str(value))

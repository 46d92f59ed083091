"""`bin/market auction`: clear books, and compute stored awards again."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import click

from auction.book import Book
from auction.bookfile import read_book, refused, report
from auction.errors import AuctionError, BookInvalid
from auction.replay import Verdict, canonical, read, replay, run, sha256
from auction.stored import StoredAward, awards_in, is_bundle
from marketplace.commands.output import as_json_option

FILE = click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)


@click.group("auction")
def command() -> None:
    """Clear lots by UPM-1, or check stored awards. Needs no database."""


@command.command("replay")
@click.argument("file", type=click.Path(exists=True, allow_dash=True, path_type=Path))
@click.option("--lot", help="Of a bundle, only the awards of this lot.")
@as_json_option
def replay_stored(file: Path, lot: str | None, as_json: bool) -> None:
    """Clear the book stored in FILE again and compare: a transcript, or an audit bundle (a ZIP or its folder).

    Exits 0 when every award reproduces, 1 when one does not (and names the first difference) or cannot be read.
    """
    try:
        if str(file) == "-" or not is_bundle(file):
            sound = _tell(replay(_bytes(file)), as_json)
        else:
            stored = [award for award in awards_in(file) if lot in (None, award.lot)]
            told = [_tell_stored(award, as_json) for award in stored]
            if not told:
                click.echo("There is no such award in the bundle.", err=True)
            sound = bool(told) and all(told)
    except AuctionError as error:
        raise _refusal(error, as_json) from error
    if not sound:
        raise SystemExit(1)


@command.command("clear")
@click.argument("books", nargs=-1, required=True, type=FILE, metavar="BOOK.json…")
@click.option("--transcript", is_flag=True, help="Print the transcripts instead, in canonical form, ready to replay.")
@as_json_option
def clear_books(books: tuple[Path, ...], transcript: bool, as_json: bool) -> None:
    """Clear each book and print one line a book: what is funded, by whom, at what rate.

    A book that is not sound is a line too, with all its faults. Exits 0 when every file could be looked at.
    """
    for file in books:
        try:
            book = read_book(read(_bytes(file)))
        except AuctionError as error:
            told = {"book": str(file), **refused(_faults(error))}
            click.echo(json.dumps(told, ensure_ascii=False) if as_json or transcript else _in_words(told))
            continue
        outcome = run(book)
        if transcript:
            click.echo(canonical({**outcome.transcript, "sha256": sha256(outcome.transcript)}).decode())
            continue
        told = {"book": str(file), **report(book, outcome)}
        click.echo(json.dumps(told, ensure_ascii=False) if as_json else _in_words(told, book))


def _tell(verdict: Verdict, as_json: bool, named: dict[str, object] | None = None) -> bool:
    if as_json:
        told = {
            **(named or {}),
            "reproduces": verdict.reproduces,
            "stated_sha256": verdict.stated_sha256,
            "computed_sha256": verdict.computed_sha256,
            "difference": verdict.difference,
        }
        click.echo(json.dumps(told, ensure_ascii=False))
        return verdict.reproduces
    about = f"Lot {named['lot']}, round {named['round']}: the" if named else "The"
    if verdict.reproduces:
        stated = " as stated" if verdict.stated_sha256 else "; the file states no hash"
        click.echo(f"{about} award reproduces. SHA-256 {verdict.computed_sha256}{stated}.")
    else:
        click.echo(f"{about} award does not reproduce. First difference: {verdict.difference}", err=True)
    return verdict.reproduces


def _tell_stored(award: StoredAward, as_json: bool) -> bool:
    """Replay one award of a bundle, whose transcript must have the hash on record too."""
    named: dict[str, object] = {"lot": award.lot, "round": award.round}
    try:
        found = replay(award.raw)
    except AuctionError as error:
        computed = hashlib.sha256(award.raw).hexdigest()
        return _tell(Verdict(False, award.sha256, computed, str(error)), as_json, named)
    difference = found.difference
    if difference is None and found.computed_sha256 != award.sha256:
        difference = f"sha256: on record {award.sha256!r}, computed {found.computed_sha256!r}"
    return _tell(Verdict(difference is None, award.sha256, found.computed_sha256, difference), as_json, named)


def _in_words(told: dict[str, object], book: Book | None = None) -> str:
    lines = [f"{told['book']}: {told['outcome']}"]
    if book is not None:
        lines[0] += f", {told['funded_minor']} of {book.target_minor} at {told['stop_out_bps']} bp"
    rows: list[dict[str, object]]
    for key, words in (
        ("fills", "{bid}: {cash_minor} at {rate_bps} bp, discount {discount_minor}"),
        ("refused", "{bid}: refused, {reasons}"),
        ("faults", "{path}: {rule}"),
    ):
        rows = told[key]  # type: ignore[assignment]
        for row in rows:
            shown = {name: ", ".join(held) if isinstance(held, list) else held for name, held in row.items()}
            lines.append("  " + words.format(**shown))
    lines += [f"  {bid}: passed over" for bid in told["passed_over"]]  # type: ignore[attr-defined]
    if told["transcript_sha256"]:
        lines.append(f"  sha256 {told['transcript_sha256']}")
    return "\n".join(lines)


def _bytes(file: Path) -> bytes:
    with click.open_file(str(file), "rb") as stream:
        raw: bytes = stream.read()
    return raw


def _faults(error: AuctionError) -> list[dict[str, str]]:
    if isinstance(error, BookInvalid):
        return [{"path": fault.path, "rule": fault.rule} for fault in error.faults]
    return [{"path": "", "rule": "unreadable", "words": str(error)}]


def _refusal(error: AuctionError, as_json: bool) -> SystemExit:
    if as_json:
        faults = _faults(error) if isinstance(error, BookInvalid) else []
        click.echo(json.dumps({"reproduces": False, "error": str(error), "faults": faults}, ensure_ascii=False))
    else:
        click.echo(f"Not a book this engine can clear: {error}", err=True)
        for fault in _faults(error) if isinstance(error, BookInvalid) else []:
            click.echo(f"  {fault['path']}: {fault['rule']}", err=True)
    return SystemExit(1)

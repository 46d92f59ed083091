"""`bin/market auction`: clear a book, and compute a stored award again."""

from __future__ import annotations

import json
from pathlib import Path

import click

from auction.book import Book
from auction.errors import AuctionError, BookInvalid
from auction.replay import canonical, read, replay, run, sha256

FILE = click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@click.group("auction")
def command() -> None:
    """Clear a lot by UPM-1, or check a stored award. Needs no database."""


@command.command("replay")
@FILE
@AS_JSON
def replay_transcript(file: Path, as_json: bool) -> None:
    """Clear the book stored in the transcript FILE again and compare the result.

    Exits 0 when it reproduces, 1 when it does not (and names the first difference) or cannot be read.
    """
    try:
        verdict = replay(_bytes(file))
    except AuctionError as error:
        raise _refusal(error, as_json) from error
    if as_json:
        click.echo(
            json.dumps(
                {
                    "reproduces": verdict.reproduces,
                    "stated_sha256": verdict.stated_sha256,
                    "computed_sha256": verdict.computed_sha256,
                    "difference": verdict.difference,
                },
                ensure_ascii=False,
            )
        )
    elif verdict.reproduces:
        stated = " as stated" if verdict.stated_sha256 else "; the file states no hash"
        click.echo(f"The award reproduces. SHA-256 {verdict.computed_sha256}{stated}.")
    else:
        click.echo(f"The award does not reproduce. First difference: {verdict.difference}", err=True)
    if not verdict.reproduces:
        raise SystemExit(1)


@command.command("clear")
@FILE
@AS_JSON
def clear_book(file: Path, as_json: bool) -> None:
    """Clear the book in FILE and print the transcript, with its hash, in canonical form."""
    try:
        given = read(_bytes(file))
        outcome = run(Book.parse(given.get("book", given)))
    except AuctionError as error:
        raise _refusal(error, as_json) from error
    transcript = {**outcome.transcript, "sha256": sha256(outcome.transcript)}
    if as_json:
        click.echo(canonical(transcript).decode())
        return
    clearing = outcome.clearing
    click.echo(f"outcome {clearing.outcome}, awarded {clearing.awarded_minor}, discount {outcome.discount_minor}")
    click.echo(f"stop-out {clearing.stop_out_bps} bp, {len(outcome.fills)} fills, {outcome.groups} groups")
    for fill in outcome.fills:
        click.echo(f"  {fill.bid.id}: {fill.cash_minor} at {fill.rate_bps} bp, discount {fill.discount_minor}")
    for refusal in clearing.refusals:
        click.echo(f"  {refusal.bid.id}: refused, {', '.join(refusal.reasons)}")
    for bid in clearing.passed_over:
        click.echo(f"  {bid.id}: passed over")
    click.echo(f"sha256 {transcript['sha256']}")


def _bytes(file: Path) -> bytes:
    with click.open_file(str(file), "rb") as stream:
        raw: bytes = stream.read()
    return raw


def _refusal(error: AuctionError, as_json: bool) -> SystemExit:
    faults = (
        [{"path": fault.path, "rule": fault.rule} for fault in error.faults] if isinstance(error, BookInvalid) else []
    )
    if as_json:
        click.echo(json.dumps({"reproduces": False, "error": str(error), "faults": faults}, ensure_ascii=False))
    else:
        click.echo(f"Not a book this engine can clear: {error}", err=True)
        for fault in faults:
            click.echo(f"  {fault['path']}: {fault['rule']}", err=True)
    return SystemExit(1)

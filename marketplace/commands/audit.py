"""`bin/market audit`: export a bundle, verify one, see where the log stands, change the signing key."""

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import click
from flask import Flask
from sqlalchemy import create_engine, pool

from config.settings import from_environment, home_dir, sqlalchemy_url
from marketplace.audit.bundle import BundleOrder, export_bundle, verify_bundle
from marketplace.audit.checkpoint import SignerPlace, read_state, rotate_key
from marketplace.audit.keys import generate_key, read_key
from marketplace.commands.output import as_json_option, emit, progress
from marketplace.embedded_postgres import EmbeddedPostgres
from marketplace.stack.installation import APPLICATION, DATABASE, Installation, installation

DAY = click.DateTime(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ"])
FILE = click.Path(dir_okay=False, path_type=Path)
THERE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group("audit")
def command() -> None:
    """The trail that proves itself: export, verify, signing keys."""


@command.command("export")
@click.argument("out", type=FILE)
@click.option("--from", "from_at", type=DAY, help="First day or instant, UTC; by default the beginning.")
@click.option("--to", "to_at", type=DAY, help="The bundle ends before this day or instant, UTC; by default now.")
@click.option("--previous", type=click.IntRange(min=0), help="Size of the checkpoint you verified last.")
@as_json_option
def export(out: Path, from_at: datetime | None, to_at: datetime | None, previous: int | None, as_json: bool) -> None:
    """Write a bundle to the file OUT: events, leaf hashes, checkpoints, keys, packs and the verifier."""
    with opened() as app:
        from marketplace.db import db, let_go
        from marketplace.kernel.actors import Actor
        from marketplace.perform import perform
        from marketplace.reports.look_ups import LookUp, look_up

        actor = Actor.system("bin/market audit export")
        subject = LookUp("export", "bundle", actor.request_id, {"from": str(from_at), "to": str(to_at)})
        perform(look_up, subject, actor)
        order = BundleOrder(_utc(from_at), _utc(to_at), previous)
        made = export_bundle(db.engine, out, order, _tell)
        let_go()
        assert app
    record = {"path": str(made.path), "size": made.size, "events": made.events, "bytes": made.file_bytes,
              "sha256": made.file_hash}  # fmt: skip
    emit([record], as_json, ["path", "size", "events", "bytes", "sha256"])


@command.command("verify")
@click.argument("bundle", type=THERE)
@click.option("--key", required=True, help="Verifier key (name+id+base64), or a file that holds it.")
@click.option("--previous", type=THERE, help="A checkpoint you kept from before.")
@as_json_option
def verify(bundle: Path, key: str, previous: Path | None, as_json: bool) -> None:
    """Verify a bundle, as the verify.py in it does. Needs no database and no network."""
    if "+" not in key:
        if not Path(key).is_file():
            raise click.BadParameter("neither a verifier key nor a file", param_hint="--key")
        key = Path(key).read_text(encoding="utf-8")
    report = verify_bundle(bundle, key, previous.read_text(encoding="utf-8") if previous else None)
    if as_json:
        click.echo(json.dumps(report, ensure_ascii=False))
    elif report["ok"]:
        emit(report["checks"], False, ["name", "looked_at", "words"])
        click.echo(f"Whole and consistent: {report['origin']}, {report['size']:,} events, root {report['root']}")
        for words in report["not_proved"]:
            click.echo(f"not proved: {words}")
    else:
        click.echo(f"WRONG: {report['wrong']}", err=True)
    if not report["ok"]:
        sys.exit(1)


@command.command("state")
@as_json_option
def state(as_json: bool) -> None:
    """Show how far the log reaches, how much of it is signed, and the public key."""
    with opened():
        from marketplace.audit.queries import log_state
        from marketplace.db import db, let_go
        from marketplace.reports.shell import signing_keys

        found, keys = log_state(db.session()), signing_keys(db.session())
        db.session.remove()
        let_go()
    record = {**vars(found), "key": keys[0].verifier_key if keys else None}
    emit([record], as_json, ["size", "signed_size", "oldest_unsigned_seconds", "checkpoints", "key"])


@command.command("rotate-key")
@as_json_option
def rotate(as_json: bool) -> None:
    """Hand over to a new signing key, by a statement that both keys sign. Stop the signer first."""
    folder = Path(os.environ.get("DUEBILL_SIGNER_FOLDER") or home_dir(os.environ) / "signer")
    with _signer_url() as url:
        place = SignerPlace(url, folder)
        fresh = folder / f"key.{read_state(place).size}"
        new = read_key(fresh) if fresh.exists() else generate_key(fresh, read_key(place.key_file).name)
        note = rotate_key(place, create_engine(url, poolclass=pool.NullPool), new)
        fresh.unlink()
    emit([{"key": new.verifier.text(), "statement": note}], as_json, ["key"])


@contextlib.contextmanager
def opened() -> Iterator[Flask]:
    """Give the application with its context, on DATABASE_URL or on this installation's own server."""
    from marketplace.app import create_app

    environ = dict(os.environ)
    place = installation(environ)
    postgres = _started(place)
    if postgres is not None:
        environ["DATABASE_URL"] = postgres.url(DATABASE, APPLICATION)
    try:
        app = create_app(from_environment(environ))
        with app.app_context():
            yield app
    finally:
        if postgres is not None:
            postgres.stop()


def _started(place: Installation) -> EmbeddedPostgres | None:
    """Return this installation's own server, running; None with DATABASE_URL. Nothing is made where nothing was."""
    postgres = place.postgres()
    if postgres is None:
        return None
    if not postgres.directory.is_dir():
        raise click.ClickException(f"There is no market in {place.home}. Open one with bin/run, or set DUEBILL_HOME.")
    postgres.start()
    return postgres


@contextlib.contextmanager
def _signer_url() -> Iterator[str]:
    place = installation(dict(os.environ))
    postgres = _started(place)
    if postgres is None:
        yield sqlalchemy_url(os.environ.get("DUEBILL_SIGNER_DATABASE_URL") or os.environ["DATABASE_URL"])
        return
    try:
        yield postgres.url(DATABASE, "duebill_signer")
    finally:
        postgres.stop()


def _utc(value: datetime | None) -> datetime | None:
    return value.replace(tzinfo=UTC) if value else None


def _tell(step: str, done: int, whole: int) -> None:
    progress(f"{step}: {done:,}" + (f" of {whole:,}" if whole else ""))

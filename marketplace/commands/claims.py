"""`bin/market claims`: files of claims for other markets and from them, and how our own claims stand."""

import hashlib
import os
import secrets
import sys
from pathlib import Path

import click
from flask import current_app

from config.settings import home_dir
from marketplace.audit.keys import SignerKey, generate_key, read_key
from marketplace.commands.audit import opened
from marketplace.commands.output import as_json_option, emit, progress
from marketplace.kernel.errors import InvalidInput
from marketplace.kernel.words import N_

THERE = click.Path(exists=True, dir_okay=False, path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)


@click.group("claims")
def command() -> None:
    """Which invoices are claimed, told to other markets without telling them the invoices."""


@command.command("new-key")
@as_json_option
def new_key(as_json: bool) -> None:
    """Make a key for a consortium: every member sets it as EXCHANGE_KEY, and nobody else may have it."""
    emit([{"key": secrets.token_urlsafe(32)}], as_json, ["key"])


@command.command("key")
@click.option("--name", help="What other markets call this one; settled when the key is made.")
@as_json_option
def key(name: str | None, as_json: bool) -> None:
    """Show the public key that signs our files: hand it to other markets. It is made when there is none."""
    emit([{"verifier_key": _signer(name).verifier.text()}], as_json, ["verifier_key"])


@command.command("trust")
@click.argument("verifier_key")
@click.option("--revoke", is_flag=True, help="Take this market's files no longer.")
@as_json_option
def trust(verifier_key: str, revoke: bool, as_json: bool) -> None:
    """Take files that are signed with VERIFIER_KEY (name+id+base64), or a file that holds it."""
    if "+" not in verifier_key and Path(verifier_key).is_file():
        verifier_key = Path(verifier_key).read_text(encoding="utf-8")
    with opened():
        from marketplace.exchange.actions import trust_issuer
        from marketplace.exchange.schemas import TrustIssuer
        from marketplace.kernel.actors import Actor
        from marketplace.perform import perform

        done = perform(trust_issuer, TrustIssuer(verifier_key, revoke), Actor.system("bin/market claims trust"))
    emit([done], as_json, ["issuer", "key_id", "revoked_at"])


@command.command("export")
@click.option("--out", type=FILE, help="The file to write; by default standard output.")
@click.option("--name", help="What other markets call this one, where no key was made yet.")
@click.option("--json", "as_json", is_flag=True, help="Say what was written as JSON (the file is JSON lines anyway).")
def export(out: Path | None, name: str | None, as_json: bool) -> None:
    """Write a signed file of our claims for other markets to check."""
    signer = _signer(name)
    with opened():
        from marketplace.db import db, market_now
        from marketplace.exchange.actions import export_claims, exported
        from marketplace.exchange.claims import key_mark
        from marketplace.exchange.claims_file import write_file
        from marketplace.exchange.schemas import ExportClaims
        from marketplace.kernel.actors import Actor
        from marketplace.perform import perform

        consortium = current_app.extensions["duebill"].settings.exchange.key
        if not consortium:
            raise click.ClickException("EXCHANGE_KEY is not set: there is no consortium to make claims for.")
        entries = exported(db.session())
        raw = write_file(signer, key_mark(consortium), market_now(db.session()), entries)
        db.session.remove()
        sha256 = hashlib.sha256(raw).hexdigest()
        perform(export_claims, ExportClaims(sha256, len(entries)), Actor.system("bin/market claims export"))
    if out is None:
        sys.stdout.buffer.write(raw)
        sys.stdout.flush()
        progress(f"{len(entries)} claims")
        return
    out.write_bytes(raw)
    emit([{"path": str(out), "claims": len(entries), "sha256": sha256}], as_json, ["path", "claims", "sha256"])


@command.command("import")
@click.argument("file", type=THERE)
@click.option("--from", "issuer", metavar="PEER", help="Whose file it must be; by default any market that is trusted.")
@as_json_option
def import_(file: Path, issuer: str | None, as_json: bool) -> None:
    """Take another market's FILE of claims; what is live here and claimed there is held for two operators."""
    from marketplace.exchange.claims_file import BYTES_MAX

    if file.stat().st_size > BYTES_MAX:
        raise InvalidInput("bad_file", N_("The file is too large."))
    with opened():
        from marketplace.exchange.actions import import_claims
        from marketplace.exchange.schemas import ImportClaims
        from marketplace.kernel.actors import Actor
        from marketplace.perform import perform

        done = perform(import_claims, ImportClaims(file.read_bytes(), issuer), Actor.system("bin/market claims import"))
    emit([done], as_json, ["issuer", "claims", "changed", "held"])


@command.command("state")
@as_json_option
def state(as_json: bool) -> None:
    """Show how our claims stand and how the registry answers."""
    with opened():
        from marketplace.db import db
        from marketplace.exchange import queries

        session, exchange = db.session(), queries.settings()
        registry = queries.registry(session)
        told = {
            "exchanged": bool(exchange.key), "registry": exchange.url or None, "mode": exchange.mode,
            "registry_state": registry.state, "code": registry.code, "heard_at": registry.heard_at,
            **queries.counts(session),
        }  # fmt: skip
        db.session.remove()
    emit([told], as_json, list(told))


def _signer(name: str | None) -> SignerKey:
    """Return the key that signs our files; one is made where there is none and a name is given."""
    path = home_dir(os.environ) / "secrets" / "claims-key"
    if path.exists():
        return read_key(path)
    if not name:
        raise click.ClickException("No key was made yet: bin/market claims key --name NAME makes one.")
    return generate_key(path, name)

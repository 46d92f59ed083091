"""Bundles that were ordered: built one at a time by a job, verified at once, kept as files."""

import time
from pathlib import Path
from uuid import UUID

from sqlalchemy import Engine, Row, text

from marketplace.audit.bundle import BundleFile, BundleOrder, export_bundle, verify_bundle
from marketplace.db import db
from marketplace.kernel.canonical import canonical_bytes
from marketplace.kernel.errors import MarketplaceError

# One that is "building" for longer than this was left by a process that died, and is begun again.
ABANDONED = "15 minutes"
PROGRESS_SECONDS = 0.5


def bundle_path(folder: Path, bundle_id: UUID) -> Path:
    """Return where the file of a bundle lies."""
    return folder / f"{bundle_id}.zip"


def build_bundles(folder: Path, engine: Engine | None = None) -> int:
    """Build the bundles that wait; return how many were built. Needs the worker's role."""
    engine = engine or db.engine
    built = 0
    while (wanted := _claim(engine)) is not None:
        try:
            _build(engine, folder, wanted)
            built += 1
        except MarketplaceError as error:
            _end(engine, wanted.id, state="failed", words=error.said())
        except Exception as error:  # it must not be tried for ever
            _end(engine, wanted.id, state="failed", words=f"{type(error).__name__}: {error}"[:500])
            raise
    return built


def _claim(engine: Engine) -> Row[tuple[object, ...]] | None:
    with engine.begin() as connection:
        return connection.execute(
            text("""
                UPDATE bundle SET state = 'building', finished_at = market_now()
                WHERE id = (
                    SELECT id FROM bundle WHERE state = 'queued'
                        OR (state = 'building' AND finished_at < market_now() - CAST(:abandoned AS interval))
                    ORDER BY requested_at LIMIT 1 FOR UPDATE SKIP LOCKED)
                RETURNING id, from_at, to_at, previous_size"""),
            {"abandoned": ABANDONED},
        ).first()  # fmt: skip


def _build(engine: Engine, folder: Path, wanted: Row[tuple[object, ...]]) -> None:
    told = time.monotonic()

    def progress(step: str, done: int, whole: int) -> None:
        nonlocal told
        if time.monotonic() - told > PROGRESS_SECONDS or done == whole:
            told = time.monotonic()
            _tell(engine, wanted.id, step, done, whole)

    order = BundleOrder(wanted.from_at, wanted.to_at, wanted.previous_size)
    made = export_bundle(engine, bundle_path(folder, wanted.id), order, progress)
    _tell(engine, wanted.id, "verify", made.events, made.events)
    began = time.monotonic()
    report = verify_bundle(made.path, _key(engine))
    report["seconds_milli"] = int((time.monotonic() - began) * 1000)
    _keep(engine, wanted.id, made, report)


def _key(engine: Engine) -> str:
    """Return the newest public key: the server checks itself with it; a regulator uses the one he kept."""
    with engine.connect() as connection:
        newest = text("SELECT verifier_key FROM signing_key ORDER BY known_at DESC, key_id LIMIT 1")
        return str(connection.execute(newest).scalar_one())


def _tell(engine: Engine, bundle_id: UUID, step: str, done: int, whole: int) -> None:
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE bundle SET step = :step, done_rows = :done, all_rows = :whole, finished_at = market_now() "
                 "WHERE id = :id"),
            {"id": bundle_id, "step": step, "done": done, "whole": whole},
        )  # fmt: skip


def _keep(engine: Engine, bundle_id: UUID, made: BundleFile, report: dict[str, object]) -> None:
    with engine.begin() as connection:
        connection.execute(
            text("""
                UPDATE bundle SET state = 'ready', size = :size, file_bytes = :bytes, file_hash = :hash,
                       report = CAST(:report AS jsonb), finished_at = market_now() WHERE id = :id"""),
            {"id": bundle_id, "size": made.size, "bytes": made.file_bytes, "hash": bytes.fromhex(made.file_hash),
             "report": canonical_bytes(report).decode()},
        )  # fmt: skip


def _end(engine: Engine, bundle_id: UUID, *, state: str, words: str) -> None:
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE bundle SET state = :state, words = :words, finished_at = market_now() WHERE id = :id"),
            {"id": bundle_id, "state": state, "words": words},
        )

"""Bulk uploads for tests: many different lawful invoices, packed, announced, sent and sealed."""

import io
import zipfile
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from typing import Any
from uuid import UUID

from marketplace.db import db
from marketplace.kernel.actors import Actor
from marketplace.perform import perform
from marketplace.receivables.bulk import actions as bulk
from marketplace.receivables.bulk import queries as bulk_queries
from marketplace.receivables.bulk.schemas import (
    Announced,
    BeginBulkUpload,
    KeepBulkPieces,
    ListBulkRows,
    OfBulkUpload,
    cut,
)
from marketplace.receivables.bulk.work import run_in_full
from marketplace.receivables.schemas import Terms
from tests.receivables.invoices import Paper, cii, paper, ubl

GOODS = ("Turbine seal ring", "Pump housing", "Bearing cap", "Valve body", "Gear blank", "Manifold", "Bracket")


def papers(count: int, today: date, start: int = 0) -> list[Paper]:
    """Return different invoices to many debtors: other numbers, orders, amounts, goods and dates."""
    return [
        paper(
            today,
            number=f"TPC-{31_000 + 7 * index}",
            buyer=f"Customer {index % 97} Engineering Ltd",
            buyer_id=f"0{8_100_000 + index % 97}",
            order=f"PO-{50_000 + 13 * index}",
            pounds=1_000 + 37 * index,
            goods=f"{GOODS[index % len(GOODS)]} {index}",
            issued=today - timedelta(days=1 + index % 25),
            due=today + timedelta(days=30 + index % 60),
        )
        for index in range(start, start + count)
    ]


def files_of(written: Iterable[Paper]) -> dict[str, bytes]:
    """Return invoices as files, UBL and CII by turns."""
    return {f"{one.number}.xml": (ubl, cii)[index % 2](one) for index, one in enumerate(written)}


def zipped(files: Mapping[str, bytes]) -> bytes:
    """Return files as one ZIP."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in files.items():
            made.writestr(name, content)
    return out.getvalue()


def begin(actor: Actor, files: Mapping[str, bytes], **more: Any) -> dict[str, Any]:
    """Announce files; return what the verb answers."""
    announced = tuple(Announced.of(name, content) for name, content in files.items())
    return perform(bulk.begin_bulk_upload, BeginBulkUpload(announced, **more), actor)


def send(actor: Actor, upload_id: UUID, files: Mapping[str, bytes]) -> None:
    """Send every piece of the files."""
    for content in files.values():
        if content:
            perform(bulk.keep_bulk_pieces, KeepBulkPieces(upload_id, tuple(cut(content))), actor)


def sealed(actor: Actor, files: Mapping[str, bytes], **more: Any) -> UUID:
    """Announce, send and seal; return the upload."""
    upload_id = UUID(begin(actor, files, **more)["upload_id"])
    send(actor, upload_id, files)
    perform(bulk.seal_bulk_upload, OfBulkUpload(upload_id), actor)
    return upload_id


def worked(actor: Actor, files: Mapping[str, bytes], **more: Any) -> UUID:
    """Send files and work them off to where they wait for the seller, or are over."""
    upload_id = sealed(actor, files, **more)
    run_in_full(upload_id)
    return upload_id


def list_ready(actor: Actor, upload_id: UUID, **terms: Any) -> None:
    """Ask for what is ready, and work it off."""
    perform(bulk.list_bulk_rows, ListBulkRows(upload_id, Terms(**terms)), actor)
    run_in_full(upload_id)


def counts(upload_id: UUID) -> dict[str, int]:
    """Return how many rows stand where."""
    db.session.rollback()
    return dict(bulk_queries.upload(db.session(), upload_id).counts)


def rows(upload_id: UUID) -> list[bulk_queries.Row]:
    """Return all rows."""
    db.session.rollback()
    return bulk_queries.rows(db.session(), upload_id)


def state(upload_id: UUID) -> str:
    """Return where the upload stands."""
    db.session.rollback()
    return bulk_queries.upload(db.session(), upload_id).state


def why(row: bulk_queries.Row) -> str:
    """Return all reasons of a row in English."""
    return " ".join(problem.said() for problem in row.problems)

"""Many real e-invoices in one upload, end to end: sent, unpacked, read, judged, listed; and sent again.

Made up but valid EN 16931 documents, UBL and CII by turns, of one seller to a hundred debtors, one in twenty sent twice
under another name. Timed by the clock, from the announcement of the ZIP to the last row: what a seller waits for.
"""

import io
import tempfile
import time
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from uuid import UUID

from bench.figures import Figure, Say, middle
from bench.server import application, database, server
from marketplace.db import db, let_go, market_now
from marketplace.demo.companies import Company, debtors, sellers
from marketplace.demo.documents import invoice, invoice_spec
from marketplace.kernel.actors import Actor, Role
from marketplace.parties.actions import register_organisation, register_user
from marketplace.parties.schemas import RegisterOrganisation, RegisterUser
from marketplace.perform import perform
from marketplace.receivables.bulk import actions as bulk
from marketplace.receivables.bulk import queries as bulk_queries
from marketplace.receivables.bulk.schemas import Announced, BeginBulkUpload, KeepBulkPieces, OfBulkUpload, cut
from marketplace.receivables.bulk.work import run_in_full

ROWS, DEBTORS, SECONDS = 1_000, 100, 180.0


def measure(size: int | None, runs: int, say: Say) -> Iterator[Figure]:
    """Yield the seconds of an upload of `size` invoices, and of the same one sent again, of which nothing is listed."""
    count = size or ROWS
    first, again = [], []
    counts: dict[str, int] = {}
    with server(2_000_000_000, say) as postgres, tempfile.TemporaryDirectory() as home:
        for run in range(runs):
            app = application(database(postgres, f"bulk_{run}"), Path(home))
            with app.app_context():
                actor = _seller(sellers()[0])
                packed = _packed(count, market_now(db.session()).date())
                seconds, counts = _timed(actor, packed)
                first.append(seconds)
                seconds, known = _timed(actor, packed)
                again.append(seconds)
                db.session.remove()
                let_go()
            say(f"run {run + 1}: {first[-1]:.1f} s {counts}, again {again[-1]:.1f} s {known}")
    made = counts.get("listed", 0) + counts.get("held", 0)
    limit = SECONDS * count / ROWS
    yield Figure("bulk_seconds", middle(first), limit, middle(first) <= limit and made > 0, runs,
                 {"rows": count + count // 20, "outcomes": counts})  # fmt: skip
    yield Figure("bulk_again_seconds", middle(again), limit, middle(again) <= limit and set(known) == {"known"}, runs,
                 {"outcomes": known})  # fmt: skip


def _seller(company: Company) -> Actor:
    system = Actor.system("benchmark")
    known = RegisterOrganisation("seller", company.name, company.country, company.legal_id, vat_id=company.vat_id,
                                 iban=company.iban or None)  # fmt: skip
    house = UUID(perform(register_organisation, known, system)["organisation_id"])
    person = RegisterUser(house, "seller@example.com", "Seller", "a benchmark's password")
    return Actor(Role.SELLER, UUID(perform(register_user, person, system)["user_id"]), house)


def _packed(count: int, today: date) -> bytes:
    """Return a ZIP of so many invoices, and one in twenty of them again."""
    out, like = io.BytesIO(), debtors()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        for index in range(count):
            of = index % DEBTORS
            buyer = replace(like[of % len(like)], name=f"{like[of % len(like)].name} {of}", vat_id="",
                            legal_id=f"0{8_000_000 + of}")  # fmt: skip
            spec = invoice_spec(sellers()[0], buyer, today - timedelta(days=1 + index % 20), seed=index,
                                number=f"B-{40_000 + 7 * index}", about_minor=500_000 + 1_700 * index)  # fmt: skip
            written = invoice(spec, "cii" if index % 2 else "ubl")
            made.writestr(f"{spec.number}.xml", written)
            if index % 20 == 0:
                made.writestr(f"copies/{spec.number}.xml", written)
    return out.getvalue()


def _timed(actor: Actor, packed: bytes) -> tuple[float, dict[str, int]]:
    began = time.monotonic()
    begin = BeginBulkUpload((Announced.of("bulk.zip", packed),), list_as_read=True)
    upload_id = UUID(perform(bulk.begin_bulk_upload, begin, actor)["upload_id"])
    for piece in cut(packed):
        perform(bulk.keep_bulk_pieces, KeepBulkPieces(upload_id, (piece,)), actor)
    perform(bulk.seal_bulk_upload, OfBulkUpload(upload_id), actor)
    run_in_full(upload_id)
    seconds = time.monotonic() - began
    db.session.rollback()
    return seconds, dict(bulk_queries.upload(db.session(), upload_id).counts)
